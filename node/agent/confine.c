#include "node/agent/confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fsm/base.h"

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "this architecture's audit number is not known here"
#endif

#define X32_BIT 0x40000000u /* x86-64's other numbers; free elsewhere */

#define LOAD(field)                              \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS,       \
		 (unsigned)offsetof(struct seccomp_data, field))
#define SKIP_UNLESS_EQUAL(value, skip) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))
#define SKIP_UNLESS_BITS(bits, skip) \
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), 0, (skip))
#define SKIP_UNLESS_ABOVE(value, skip) \
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (value), 0, (skip))
#define ANSWER(value) BPF_STMT(BPF_RET | BPF_K, (value))
#define REFUSE(error) ANSWER(SECCOMP_RET_ERRNO | (error))

#define REFUSE_CALL(number, error) \
	SKIP_UNLESS_EQUAL((number), 1), REFUSE(error)
/* Arguments are 64 bits wide; these flags are in the lower half. Both our
 * architectures have it first. */
#define REFUSE_NEW_USER(number)            \
	SKIP_UNLESS_EQUAL((number), 4),    \
	LOAD(args[0]),                     \
	SKIP_UNLESS_BITS(CLONE_NEWUSER, 1), \
	REFUSE(EPERM),                     \
	LOAD(nr)

static struct sock_filter rules[] = {
	LOAD(arch),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0),
	REFUSE(ENOSYS),
	LOAD(nr),
	SKIP_UNLESS_ABOVE(X32_BIT, 1),
	REFUSE(ENOSYS),
	REFUSE_NEW_USER(SYS_clone),
	REFUSE_NEW_USER(SYS_unshare),
	/* Its flags are in memory, where a filter does not see: libraries go
	 * back to clone. */
	REFUSE_CALL(SYS_clone3, ENOSYS),
	REFUSE_CALL(SYS_keyctl, EPERM),
	REFUSE_CALL(SYS_add_key, EPERM),
	REFUSE_CALL(SYS_request_key, EPERM),
	REFUSE_CALL(SYS_bpf, EPERM),
	REFUSE_CALL(SYS_perf_event_open, EPERM),
	REFUSE_CALL(SYS_userfaultfd, EPERM),
	REFUSE_CALL(SYS_io_uring_setup, ENOSYS),
	REFUSE_CALL(SYS_open_by_handle_at, EPERM),
	REFUSE_CALL(SYS_kexec_load, EPERM),
	REFUSE_CALL(SYS_init_module, EPERM),
	REFUSE_CALL(SYS_finit_module, EPERM),
	ANSWER(SECCOMP_RET_ALLOW),
};

int confine_program(void)
{
	struct sock_fprog program = { .len = COUNT_OF(rules),
				      .filter = rules };

	/* Else it would hold that of whoever started the fencer. A kernel
	 * without keys has none to hold. */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 &&
	    errno != ENOSYS && errno != EPERM)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
