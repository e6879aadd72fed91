/* The fencer's watchdog: what it asks of a device, when it pets, when it lets
 * go. A regular file stands in for the device, its driver is ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/watchdog.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sys/ioctl.h>

static int driver(int fd, unsigned long request, void *argument);
#define ioctl(fd, request, argument) \
	driver((fd), (unsigned long)(request), (argument))
#include "node/agent/fencer_watchdog.c"
#undef ioctl

static struct {
	int least_s, set_s; /* it cannot bite sooner; what it was set to */
	bool broken;
	const char *identity;
} device;
static struct fencer fencer;
static char path[64];

static int driver(int fd, unsigned long request, void *argument)
{
	assert_true(fd >= 0);
	if (device.broken)
		return -1;
	if (request == WDIOC_SETTIMEOUT)
		device.set_s = *(int *)argument > device.least_s ?
			       *(int *)argument : device.least_s;
	else if (request == WDIOC_GETTIMEOUT)
		*(int *)argument = device.set_s;
	else if (request == WDIOC_GETSUPPORT)
		strcpy((char *)((struct watchdog_info *)argument)->identity,
		       device.identity);
	else
		fail_msg("ioctl %lx", request);
	return 0;
}

static int set_up(void **state)
{
	int fd;

	(void)state;
	memset(&fencer, 0, sizeof fencer);
	memset(&device, 0, sizeof device);
	device.identity = "iTCO_wdt";
	fencer.k_ms = 5000;
	strcpy(path, "/tmp/berth-watchdog-XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
	(void)state;
	return unlink(path);
}

/* What was written to the device so far. */
static const char *written(void)
{
	static char text[64];
	FILE *file = fopen(path, "re");
	size_t size;

	assert_non_null(file);
	size = fread(text, 1, sizeof text - 1, file);
	fclose(file);
	for (size_t i = 0; i < size; i++)
		if (text[i] == '\0')
			text[i] = '.'; /* a pet */
	text[size] = '\0';
	return text;
}

static void no_device(void **state)
{
	struct fault fault = { 0 };

	(void)state;
	assert_int_equal(fencer__watchdog_open(&fencer, "", &fault), 0);
	assert_int_equal(fencer.watchdog, -1);
	assert_int_equal(fencer.watchdog_kind, WATCHDOG_NONE);
	fencer__watchdog_pet(&fencer);
	fencer__watchdog_close(&fencer);
}

static void bites_within_k(void **state)
{
	struct fault fault = { 0 };

	(void)state;
	assert_int_equal(fencer__watchdog_open(&fencer, path, &fault), 0);
	assert_int_equal(device.set_s, 4); /* 4000 + 200 <= 5000 */
	assert_int_equal(fencer.watchdog_kind, WATCHDOG_HARDWARE);
	fencer__watchdog_close(&fencer);
	device.identity = "Software Watchdog";
	assert_int_equal(fencer__watchdog_open(&fencer, path, &fault), 0);
	assert_int_equal(fencer.watchdog_kind, WATCHDOG_SOFT);
	fencer__watchdog_close(&fencer);
}

static void refuses_a_slow_one(void **state)
{
	struct fault fault = { 0 };

	(void)state;
	device.least_s = 16;
	assert_int_equal(fencer__watchdog_open(&fencer, path, &fault),
			 BERTH_INVALID);
	assert_non_null(strstr(fault.text, "16 s"));
	assert_int_equal(fencer.watchdog, -1);
	assert_string_equal(written(), "V"); /* not left to bite */
	device.least_s = 5; /* k_ms, but nothing to spare */
	assert_int_equal(fencer__watchdog_open(&fencer, path, &fault),
			 BERTH_INVALID);
	assert_int_equal(fencer.watchdog_kind, WATCHDOG_NONE);
}

static void refuses_what_is_none(void **state)
{
	struct fault fault = { 0 };

	(void)state;
	device.broken = true;
	assert_int_equal(fencer__watchdog_open(&fencer, path, &fault),
			 BERTH_IO);
	assert_int_equal(fencer.watchdog, -1);
	assert_int_equal(fencer__watchdog_open(&fencer, "/tmp/no/dog", &fault),
			 BERTH_IO);
	assert_non_null(strstr(fault.text, "/tmp/no/dog"));
}

/* No pet while a run is alive beyond the lease, and no disarming then. */
static void lets_it_bite(void **state)
{
	struct fault fault = { 0 };

	(void)state;
	assert_int_equal(fencer__watchdog_open(&fencer, path, &fault), 0);
	fencer__watchdog_pet(&fencer);
	fencer__watchdog_pet(&fencer); /* at once: not again */
	assert_string_equal(written(), ".");
	fencer.procs[0].used = true;
	fencer.tenure.runs[0].state = TENURE_RUN_LIVE;
	fencer.pet_ms = 0;
	fencer__watchdog_pet(&fencer);
	assert_string_equal(written(), ".");
	fencer.tenure.session = 7;
	fencer.tenure.deadline_ms = UINT64_MAX;
	fencer__watchdog_pet(&fencer);
	assert_string_equal(written(), "..");
	fencer.pet_ms = 0;
	fencer.tenure.deadline_ms = 1;
	fencer__watchdog_pet(&fencer);
	assert_string_equal(written(), "..");
	fencer__watchdog_close(&fencer);
	assert_string_equal(written(), "..");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(no_device),
		TEST(bites_within_k),
		TEST(refuses_a_slow_one),
		TEST(refuses_what_is_none),
		TEST(lets_it_bite),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
