/* The last steps of a start: read the spec, shed what is the fencer's, exec. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "node/agent/confine.h"
#include "node/agent/fencer_wire.h"
#include "node/agent/launcher.h"

#define SPEC_STRINGS_MAX 4096u
#define STOP_MS_MAX 60000u

enum { FILE_SPEC, FILE_LOG, FILE_NETNS };

static bool head_read(int spec, struct run_spec_head *head)
{
	return pread(spec, head, sizeof *head, 0) == (ssize_t)sizeof *head &&
	       memcmp(head->magic, "BRTHRUN1", sizeof head->magic) == 0 &&
	       head->argc > 0 && head->argc <= SPEC_STRINGS_MAX &&
	       head->envc <= SPEC_STRINGS_MAX && head->strings_size > 0 &&
	       head->strings_size <= RUN_SPEC_SIZE_MAX;
}

bool launcher_spec_head(const struct launch *launch,
			struct cgroup_limits *limits, uint32_t *stop_ms)
{
	struct run_spec_head head;

	if (!head_read(launch->files[FILE_SPEC], &head))
		return false;
	limits->memory_mib = head.memory_mib;
	limits->cpu_milli = head.cpu_milli;
	limits->pids_max = head.pids_max;
	*stop_ms = head.stop_ms < STOP_MS_MAX ? head.stop_ms : STOP_MS_MAX;
	return true;
}

__attribute__((noreturn)) static void fail(const char *what)
{
	dprintf(STDERR_FILENO, "berth: %s: %s\n", what, strerror(errno));
	_exit(127);
}

/* NUL-ended strings, one after the other, into a NULL-ended list. */
static char *strings_split(char *at, const char *end, uint32_t count,
			   char **list)
{
	for (uint32_t i = 0; i < count; i++) {
		if (at >= end)
			return NULL;
		list[i] = at;
		at += strlen(at) + 1;
	}
	list[count] = NULL;
	return at;
}

static void exec_spec(int spec)
{
	static char strings[RUN_SPEC_SIZE_MAX + 1];
	static char *argv[SPEC_STRINGS_MAX + 1], *envp[SPEC_STRINGS_MAX + 1];
	struct run_spec_head head;
	char *at;

	errno = EINVAL;
	if (!head_read(spec, &head) ||
	    pread(spec, strings, head.strings_size, sizeof head) !=
		    (ssize_t)head.strings_size)
		fail("the run's specification cannot be read");
	strings[head.strings_size] = '\0';
	at = strings_split(strings, strings + head.strings_size, head.argc,
			   argv);
	if (at == NULL ||
	    strings_split(at, strings + head.strings_size, head.envc, envp) ==
		    NULL)
		fail("the run's specification is cut");
	execvpe(argv[0], argv, envp);
	fail(argv[0]);
}

static void limits_reset(const struct launch *launch)
{
	struct rlimit files = { .rlim_cur = launch->files_max,
				.rlim_max = launch->files_max };
	struct rlimit core = { 0 };
	struct rlimit real_time = { 0 };

	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_CORE, &core);
	setrlimit(RLIMIT_RTPRIO, &real_time);
}

static void priority_reset(void)
{
	struct sched_param normal = { 0 };
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	sched_setscheduler(0, SCHED_OTHER, &normal);
	setpriority(PRIO_PROCESS, 0, 0);
	if (fd >= 0) {
		(void)(write(fd, "0", 1) < 0);
		close(fd);
	}
}

static void signals_reset(void)
{
	static const uint64_t by_default[8]; /* SIG_DFL, in any layout */
	sigset_t none;

	/* Not by signal(): glibc keeps its own two to itself, and who starts
	 * us by posix_spawn, as make does, has them ignored. */
	for (int signum = 1; signum < NSIG; signum++)
		syscall(SYS_rt_sigaction, signum, by_default, NULL, 8);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void user_change(int spec)
{
	struct run_spec_head head;

	if (!head_read(spec, &head))
		fail("the run's specification cannot be read");
	if (head.gid != 0 &&
	    (setgroups(0, NULL) != 0 || setgid(head.gid) != 0))
		fail("setgid");
	if (head.uid != 0 && setuid(head.uid) != 0)
		fail("setuid");
}

void launcher_program(const struct launch *launch)
{
	struct launch_message message = { .kind = LAUNCH_PROGRAM };
	int log = launch->files[FILE_LOG];

	setsid();
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	if (launch->files[FILE_NETNS] >= 0 &&
	    setns(launch->files[FILE_NETNS], CLONE_NEWNET) != 0)
		fail("the network namespace");
	priority_reset();
	limits_reset(launch);
	signals_reset();
	/* A sandbox without rights of ours needs a user namespace itself. */
	if (geteuid() == 0 && !launch->user_namespace &&
	    confine_program() != 0)
		fail("the filter of system calls");
	user_change(launch->files[FILE_SPEC]);
	(void)(send(launch->socket, &message, sizeof message,
		    MSG_NOSIGNAL | MSG_DONTWAIT) < 0);
	close(launch->socket);
	exec_spec(launch->files[FILE_SPEC]); /* the rest closes by exec */
	_exit(127);
}
