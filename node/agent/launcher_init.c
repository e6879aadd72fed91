/* The init of a run: pid 1 of its namespace. It starts the program once, on
 * the fencer's word, reaps, passes on a polite stop, and ends with the program;
 * the kernel then kills whatever is left in the namespace. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/agent/launcher.h"
#include "node/lib/clock.h"

struct init {
	const struct launch *launch;
	sigset_t signals; /* blocked since before it was born */
	uint32_t stop_ms;
	bool proc;        /* /proc shows this namespace */
};

/* After any change of credentials; the parent may have died before. */
static void die_with_parent(int parent)
{
	struct pollfd gone = { .fd = parent, .events = POLLIN };

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || poll(&gone, 1, 0) != 0)
		_exit(125);
	close(parent);
}

/* A /proc that shows this namespace; a program in a sandbox mounts its own. */
static bool mount_proc(const struct launch *launch)
{
	return launch->pid_namespace &&
	       mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) == 0 &&
	       mount("proc", "/proc", "proc",
		     MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0;
}

static void wait_for_go(int socket)
{
	char word;
	ssize_t got;

	do {
		got = recv(socket, &word, 1, 0);
	} while (got < 0 && errno == EINTR);
	if (got != 1 || word != LAUNCH_GO)
		_exit(125); /* the fencer is gone: nothing starts */
}

static bool is_sandbox(const char *pid)
{
	char path[64], name[32];
	ssize_t size = -1;
	int fd;

	snprintf(path, sizeof path, "/proc/%.20s/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		size = read(fd, name, sizeof name - 1);
		close(fd);
	}
	return size == 6 && memcmp(name, "bwrap\n", 6) == 0;
}

/* SIGTERM to everything in here save bubblewrap's own processes: those pass
 * nothing on, and their death would be the program's, impolitely. */
static void stop_politely(const struct init *init, pid_t program)
{
	DIR *folder = init->proc ? opendir("/proc") : NULL;
	struct dirent *entry;

	if (folder == NULL) {
		/* Everyone, but only where everyone is the run. */
		kill(init->launch->pid_namespace ? -1 : -program, SIGTERM);
		return;
	}
	while ((entry = readdir(folder)) != NULL) {
		int pid = atoi(entry->d_name);

		if (pid > 1 && !is_sandbox(entry->d_name))
			kill(pid, SIGTERM);
	}
	closedir(folder);
}

/* Reaps; true when the program itself has ended. */
static bool reap(pid_t program, int *status)
{
	bool ended = false;
	pid_t pid;
	int s;

	while ((pid = waitpid(-1, &s, WNOHANG)) > 0) {
		if (pid == program) {
			*status = s;
			ended = true;
		}
	}
	return ended;
}

static void tell_end(int socket, int status)
{
	struct launch_message message = { .kind = LAUNCH_END,
					  .value = status };

	/* A fencer that is gone need not know. */
	(void)(send(socket, &message, sizeof message,
		    MSG_NOSIGNAL | MSG_DONTWAIT) < 0);
}

/* A second at most, and not beyond `at_ms` if that is not 0. */
static int wait_signal(const sigset_t *set, uint64_t at_ms)
{
	uint64_t now_ms = clock_monotonic_ms(), ms = 1000;
	struct timespec wait;

	if (at_ms != 0 && at_ms < now_ms + ms)
		ms = at_ms > now_ms ? at_ms - now_ms : 0;
	wait.tv_sec = (time_t)(ms / 1000);
	wait.tv_nsec = (long)(ms % 1000 * 1000000);
	return sigtimedwait(set, NULL, &wait);
}

/* Until the program ends, or has had its time to. */
static int serve(const struct init *init, pid_t program)
{
	uint64_t stop_at_ms = 0;
	int status = 0;

	for (;;) {
		int signal = wait_signal(&init->signals, stop_at_ms);
		uint64_t now_ms = clock_monotonic_ms();

		if (signal == SIGTERM && stop_at_ms == 0) {
			stop_at_ms = now_ms + init->stop_ms;
			stop_politely(init, program);
		}
		if (reap(program, &status))
			return status;
		if (stop_at_ms != 0 && now_ms >= stop_at_ms)
			return SIGKILL;
	}
}

void launcher_init(const struct launch *launch, int parent)
{
	struct init init = { .launch = launch };
	struct cgroup_limits limits;
	pid_t program;
	int status;

	die_with_parent(parent);
	prctl(PR_SET_NAME, "berth-init");
	sigemptyset(&init.signals);
	sigaddset(&init.signals, SIGCHLD);
	sigaddset(&init.signals, SIGTERM);
	/* Before the program: it inherits groups and mounts. */
	if (!launcher_spec_head(launch, &limits, &init.stop_ms))
		_exit(125);
	cgroup_run_limit(launch->cgroup, launch->slot, launch->hold, &limits);
	wait_for_go(launch->socket);
	init.proc = mount_proc(launch);
	program = fork();
	if (program == 0)
		launcher_program(launch);
	status = program > 0 ? serve(&init, program) : 125 << 8;
	/* Without a namespace that ends with us, as much as can be reached. */
	if (program > 0 && !launch->pid_namespace)
		kill(-program, SIGKILL);
	tell_end(launch->socket, status);
	_exit(0);
}
