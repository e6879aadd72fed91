/* The hardware's last word (R9): a kernel that hangs, or a process that SIGKILL
 * does not reach, ends in a reset of the host within k_ms. */
#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "node/agent/fencer.h"

#define MARGIN_MS 200u

static int too_slow(const struct fencer *f, int timeout_s, struct fault *fault)
{
	return fault_set(fault, BERTH_INVALID,
			 "watchdog: it bites after %d s, k_ms is %u: at least "
			 "%u is needed", timeout_s, f->k_ms,
			 (unsigned)timeout_s * 1000u + MARGIN_MS);
}

int fencer__watchdog_open(struct fencer *f, const char *device,
			  struct fault *fault)
{
	struct watchdog_info info;
	int timeout_s = f->k_ms > MARGIN_MS ?
				(int)((f->k_ms - MARGIN_MS) / 1000u) :
				0;

	f->watchdog = -1;
	f->watchdog_kind = WATCHDOG_NONE;
	if (device == NULL || *device == '\0')
		return 0;
	timeout_s = timeout_s > 0 ? timeout_s : 1;
	f->watchdog = open(device, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	if (f->watchdog < 0)
		return fault_set(fault, BERTH_IO, "watchdog %s: %s", device,
				 strerror(errno));
	memset(&info, 0, sizeof info);
	if (ioctl(f->watchdog, WDIOC_SETTIMEOUT, &timeout_s) != 0 ||
	    ioctl(f->watchdog, WDIOC_GETTIMEOUT, &timeout_s) != 0 ||
	    ioctl(f->watchdog, WDIOC_GETSUPPORT, &info) != 0) {
		fault_set(fault, BERTH_IO, "watchdog %s: %s", device,
			  strerror(errno));
		fencer__watchdog_close(f);
		return fault->code;
	}
	if ((uint32_t)timeout_s * 1000u + MARGIN_MS > f->k_ms) {
		fencer__watchdog_close(f);
		return too_slow(f, timeout_s, fault);
	}
	f->watchdog_kind = strstr((const char *)info.identity, "Software") ?
				   WATCHDOG_SOFT :
				   WATCHDOG_HARDWARE;
	return 0;
}

void fencer__watchdog_pet(struct fencer *f)
{
	uint64_t now_ms = clock_monotonic_ms();

	if (f->watchdog < 0 || now_ms < f->pet_ms + 200 ||
	    !tenure_may_pet(&f->tenure, fencer__now(f)))
		return;
	if (write(f->watchdog, "", 1) == 1)
		f->pet_ms = now_ms;
}

/* Disarmed by the magic letter, but only when nothing exclusive is left. */
void fencer__watchdog_close(struct fencer *f)
{
	if (f->watchdog < 0)
		return;
	if (fencer__exclusive_count(f) == 0)
		(void)(write(f->watchdog, "V", 1) < 0);
	close(f->watchdog);
	f->watchdog = -1;
}
