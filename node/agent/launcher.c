#include "node/agent/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/lib/clock.h"

#define NS_PER_MS 1000000u
#define REARM_MS_MIN 5u
#define REARM_MS_MAX 1000u
#define FIXED_FD 10 /* first of the descriptors a launcher keeps */

static pid_t clone_child(uint64_t flags, int *pidfd, int cgroup_fd)
{
	struct clone_args args;

	memset(&args, 0, sizeof args);
	args.flags = flags | CLONE_PIDFD;
	args.pidfd = (uint64_t)(uintptr_t)pidfd;
	args.exit_signal = SIGCHLD;
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (__u64)cgroup_fd;
	}
	return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

static uint64_t init_flags(const struct launch *launch)
{
	uint64_t flags = 0;

	if (launch->pid_namespace)
		flags |= CLONE_NEWPID | CLONE_NEWNS;
	if (launch->user_namespace)
		flags |= CLONE_NEWUSER;
	return flags;
}

/* --- the dead man's handle ----------------------------------------------- */

static timer_t timer_make(void)
{
	struct sigevent event;
	timer_t timer;

	memset(&event, 0, sizeof event);
	event.sigev_notify = SIGEV_SIGNAL;
	event.sigev_signo = SIGKILL;
	if (timer_create(CLOCK_BOOTTIME, &event, &timer) != 0)
		_exit(125);
	return timer;
}

static void timer_arm(timer_t timer, uint64_t deadline_ns)
{
	struct itimerspec at;

	memset(&at, 0, sizeof at);
	at.it_value.tv_sec = (time_t)(deadline_ns / 1000000000u);
	at.it_value.tv_nsec = (long)(deadline_ns % 1000000000u);
	if (timer_settime(timer, TIMER_ABSTIME, &at, NULL) != 0)
		_exit(125);
}

/* Arms the timer for what the page says now; ms until the next look, which is
 * well before the expiry. No lease: dies here. */
static int lease_look(const struct launch *launch, timer_t timer,
		      uint64_t *armed_ns)
{
	uint64_t deadline_ns = atomic_load(&launch->page->deadline_ns);
	uint64_t now_ns = clock_boottime_ns(), half_ms;

	if (deadline_ns <= now_ns)
		raise(SIGKILL);
	if (deadline_ns != *armed_ns)
		timer_arm(timer, deadline_ns);
	*armed_ns = deadline_ns;
	half_ms = (deadline_ns - now_ns) / NS_PER_MS / 2;
	if (half_ms < REARM_MS_MIN)
		return (int)REARM_MS_MIN;
	return (int)(half_ms < REARM_MS_MAX ? half_ms : REARM_MS_MAX);
}

/* Waits for the init to end; it never starts anything again. */
__attribute__((noreturn)) static void
guard(const struct launch *launch, int init, timer_t timer, uint64_t armed_ns)
{
	struct pollfd wait = { .fd = init, .events = POLLIN };
	siginfo_t info;

	for (;;) {
		int ms = launch->hold ? -1 :
					lease_look(launch, timer, &armed_ns);

		if (poll(&wait, 1, ms) > 0)
			break;
	}
	waitid((idtype_t)P_PIDFD, (id_t)init, &info, WEXITED);
	_exit(0);
}

/* --- birth --------------------------------------------------------------- */

/* Descriptors are moved out of the way, 0 to 2 go nowhere, all others close:
 * above all the fencer's lock, table and sockets. */
static void descriptors_keep(struct launch *launch)
{
	int *all[] = { &launch->socket, &launch->files[0], &launch->files[1],
		       &launch->files[2] };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (unsigned i = 0; i < COUNT_OF(all); i++) {
		if (*all[i] >= 0)
			*all[i] = fcntl(*all[i], F_DUPFD_CLOEXEC, 100);
	}
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	for (unsigned i = 0; i < COUNT_OF(all); i++) {
		int to = FIXED_FD + (int)i;

		close(to);
		if (*all[i] >= 0)
			*all[i] = dup3(*all[i], to, O_CLOEXEC);
	}
	close_range(3, FIXED_FD - 1, 0);
	close_range(FIXED_FD + (unsigned)COUNT_OF(all), ~0u, 0);
}

static void page_protect(const struct fence_page *page)
{
	void *start = (void *)(uintptr_t)page;

	if (mprotect(start, FENCE_PAGE_SIZE, PROT_READ) != 0)
		_exit(125);
}

/* All are held back, in the init too from its first instruction: a polite stop
 * that comes while it is being born must wait for it, not be lost. */
static void signals_block(void)
{
	struct sigaction action;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	memset(&action, 0, sizeof action);
	action.sa_handler = SIG_DFL;
	for (int signal = 1; signal < NSIG; signal++)
		sigaction(signal, &action, NULL);
}

static void write_proc(pid_t pid, const char *name, const char *text)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		errno = 0; /* seen by what the program may do */
	close(fd);
}

/* The same user and group inside as outside. */
static void map_user(pid_t init)
{
	char text[48];

	snprintf(text, sizeof text, "%u %u 1", getuid(), getuid());
	write_proc(init, "uid_map", text);
	write_proc(init, "setgroups", "deny");
	snprintf(text, sizeof text, "%u %u 1", getgid(), getgid());
	write_proc(init, "gid_map", text);
}

static void tell_init(int socket, pid_t pid, int pidfd)
{
	struct launch_message message = { .kind = LAUNCH_INIT, .value = pid };
	struct iovec bytes = { .iov_base = &message,
			       .iov_len = sizeof message };
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr head = { .msg_iov = &bytes, .msg_iovlen = 1,
			       .msg_control = &control,
			       .msg_controllen = sizeof control };
	struct cmsghdr *c;

	memset(&control, 0, sizeof control);
	c = CMSG_FIRSTHDR(&head);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &pidfd, sizeof pidfd);
	if (sendmsg(socket, &head, MSG_NOSIGNAL) < 0)
		_exit(125); /* the fencer is gone: nothing starts */
}

__attribute__((noreturn)) static void launcher_main(struct launch launch)
{
	int init = -1, alive[2];
	uint64_t armed_ns = 0;
	timer_t timer = NULL;
	pid_t pid;

	descriptors_keep(&launch);
	page_protect(launch.page);
	signals_block();
	setsid();
	prctl(PR_SET_NAME, "berth-launcher");
	if (!launch.hold) {
		timer = timer_make();
		lease_look(&launch, timer, &armed_ns);
	}
	/* The init sees by this pipe that its parent is gone. */
	if (pipe2(alive, O_CLOEXEC) != 0)
		_exit(125);
	pid = clone_child(init_flags(&launch), &init, -1);
	if (pid < 0)
		_exit(125);
	if (pid == 0) {
		close(alive[1]);
		launcher_init(&launch, alive[0]);
	}
	close(alive[0]);
	if (launch.user_namespace)
		map_user(pid);
	tell_init(launch.socket, pid, init);
	guard(&launch, init, timer, armed_ns);
}

pid_t launcher_start(const struct launch *launch, int *pidfd)
{
	pid_t pid = clone_child(0, pidfd, launch->cgroup_fd);

	if (pid == 0)
		launcher_main(*launch);
	return pid;
}

/* --- what the machine allows --------------------------------------------- */

/* A child that arms the timer and waits: it must die of it. */
static bool try_timer(void)
{
	int pidfd = -1, status = 0;
	pid_t pid = clone_child(0, &pidfd, -1);

	if (pid == 0) {
		timer_arm(timer_make(), clock_boottime_ns() + NS_PER_MS);
		for (int i = 0; i < 20; i++)
			usleep(100000);
		_exit(1);
	}
	if (pid < 0)
		return false;
	waitpid(pid, &status, 0);
	close(pidfd);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static bool try_namespaces(const struct launch *launch)
{
	int pidfd = -1, status = 0;
	pid_t pid = clone_child(init_flags(launch), &pidfd, -1);

	if (pid == 0)
		_exit(getpid() == 1 ? 0 : 1);
	if (pid < 0)
		return false;
	waitpid(pid, &status, 0);
	close(pidfd);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool launcher_try(struct launch *launch, char *why, size_t size)
{
	launch->pid_namespace = true;
	launch->user_namespace = false;
	if (!try_namespaces(launch)) {
		launch->user_namespace = true;
		if (!try_namespaces(launch)) {
			snprintf(why, size, "no pid namespaces: %s",
				 strerror(errno));
			launch->pid_namespace = false;
			launch->user_namespace = false;
			return false;
		}
	}
	if (!try_timer()) {
		snprintf(why, size, "no CLOCK_BOOTTIME timer that kills");
		return false;
	}
	return true;
}
