/* A run without its fencer (lease.md 2.6, "A run"): launcher, init and program
 * as they are, and this test in the fencer's place. The program makes a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/agent/fencer_wire.h"
#include "node/agent/launcher.h"
#include "node/lib/clock.h"

#define PATIENCE_MS 10000u

static struct fence_page *page;
static struct cgroup no_groups;
static struct launch launch;
static char folder[] = "/tmp/berth-launcher-XXXXXX";
static char mark[64];
static int ours, launcher = -1, init = -1;
static pid_t launcher_pid;
static bool able;

static void lease_for(uint64_t ms)
{
	atomic_store(&page->deadline_ns,
		     clock_boottime_ns() + ms * 1000000u);
}

/* A sealed spec: a shell that makes the file and stays. */
static int spec(void)
{
	char strings[256], command[160];
	struct run_spec_head head = { .argc = 3, .envc = 0, .stop_ms = 100 };
	int fd = memfd_create("spec", MFD_CLOEXEC), size;

	memcpy(head.magic, "BRTHRUN1", sizeof head.magic);
	snprintf(command, sizeof command, "echo > %s; sleep 1000; :", mark);
	size = snprintf(strings, sizeof strings, "/bin/sh%c-c%c%s%c", 0, 0,
			command, 0);
	head.strings_size = (uint32_t)size;
	assert_int_equal(write(fd, &head, sizeof head), sizeof head);
	assert_int_equal(write(fd, strings, (size_t)size), size);
	return fd;
}

static int group_setup(void **state)
{
	char why[128];

	(void)state;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	page = mmap(NULL, FENCE_PAGE_SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	launch.page = page;
	launch.cgroup = &no_groups;
	launch.cgroup_fd = -1;
	launch.files_max = 1024;
	able = launcher_try(&launch, why, sizeof why);
	if (!able)
		print_message("skipped: %s\n", why);
	return mkdtemp(folder) == NULL;
}

static int group_teardown(void **state)
{
	(void)state;
	return rmdir(folder);
}

/* A launcher is born and has told its init; nothing was let go. */
static void born(bool hold)
{
	struct launch_message message;
	struct iovec bytes = { &message, sizeof message };
	union {
		char space[CMSG_SPACE(sizeof(int)) +
			   CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct msghdr head = { .msg_iov = &bytes, .msg_iovlen = 1,
			       .msg_control = &control,
			       .msg_controllen = sizeof control };
	int pair[2];

	if (!able)
		skip();
	snprintf(mark, sizeof mark, "%s/mark", folder);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
				    pair), 0);
	ours = pair[0];
	launch.socket = pair[1];
	launch.hold = hold;
	launch.files[0] = spec();
	launch.files[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	launch.files[2] = -1;
	launcher_pid = launcher_start(&launch, &launcher);
	assert_true(launcher_pid > 0);
	close(pair[1]);
	close(launch.files[0]);
	close(launch.files[1]);
	assert_int_equal(recvmsg(ours, &head, MSG_CMSG_CLOEXEC),
			 sizeof message);
	assert_int_equal(message.kind, LAUNCH_INIT);
	memcpy(&init, CMSG_DATA(CMSG_FIRSTHDR(&head)), sizeof init);
}

static void go(void)
{
	const char word = LAUNCH_GO;

	assert_int_equal(send(ours, &word, 1, MSG_NOSIGNAL), 1);
}

static bool dead(int pidfd)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return pidfd_send_signal(pidfd, 0, NULL, 0) != 0;
}

static bool runs(void)
{
	return access(mark, F_OK) == 0;
}

#define UNTIL(condition)                                                 \
	do {                                                             \
		uint64_t end_ = clock_monotonic_ms() + PATIENCE_MS;      \
		while (!(condition)) {                                   \
			assert_true(clock_monotonic_ms() < end_);        \
			usleep(1000);                                    \
		}                                                        \
	} while (0)

static int story_end(void **state)
{
	(void)state;
	if (!able)
		return 0;
	pidfd_send_signal(launcher, SIGKILL, NULL, 0);
	pidfd_send_signal(init, SIGKILL, NULL, 0);
	UNTIL(dead(launcher) && dead(init));
	close(launcher);
	close(init);
	close(ours);
	unlink(mark);
	return 0;
}

/* R11: the program begins on the fencer's word and not before. */
static void test_nothing_begins_without_the_word(void **state)
{
	(void)state;
	lease_for(20000);
	born(false);
	usleep(150000);
	assert_false(runs());
	go();
	UNTIL(runs());
}

/* A fencer that is gone, or says anything else, starts nothing. */
static void test_a_fencer_that_is_gone_starts_nothing(void **state)
{
	(void)state;
	lease_for(20000);
	born(false);
	shutdown(ours, SHUT_RDWR);
	UNTIL(dead(init) && dead(launcher));
	assert_false(runs());
}

static void test_another_word_starts_nothing(void **state)
{
	(void)state;
	lease_for(20000);
	born(false);
	assert_int_equal(send(ours, "x", 1, MSG_NOSIGNAL), 1);
	UNTIL(dead(init) && dead(launcher));
	assert_false(runs());
}

/* The dead man's handle: by the page alone, at the deadline, not before. */
static void test_it_dies_at_the_deadline(void **state)
{
	uint64_t begin_ms;

	(void)state;
	lease_for(600);
	begin_ms = clock_monotonic_ms();
	born(false);
	go();
	UNTIL(dead(launcher) && dead(init));
	assert_in_range(clock_monotonic_ms() - begin_ms, 590, 2000);
}

static void test_it_dies_though_its_launcher_is_stopped(void **state)
{
	(void)state;
	lease_for(500);
	born(false);
	go();
	pidfd_send_signal(launcher, SIGSTOP, NULL, 0);
	UNTIL(dead(launcher) && dead(init));
}

static void test_a_longer_lease_is_followed(void **state)
{
	(void)state;
	lease_for(400);
	born(false);
	go();
	UNTIL(runs());
	lease_for(1500);
	usleep(800000);
	assert_false(dead(init));
	UNTIL(dead(launcher) && dead(init));
}

/* A lease that has ended in the page ends it before its old deadline. */
static void test_an_ended_lease_is_followed(void **state)
{
	uint64_t begin_ms;

	(void)state;
	lease_for(60000);
	born(false);
	go();
	UNTIL(runs());
	atomic_store(&page->deadline_ns, 0);
	begin_ms = clock_monotonic_ms();
	UNTIL(dead(launcher) && dead(init));
	assert_true(clock_monotonic_ms() - begin_ms < 5000);
}

/* R23: a held run has no such timer. */
static void test_a_held_run_outlives_the_deadline(void **state)
{
	(void)state;
	lease_for(200);
	born(true);
	go();
	UNTIL(runs());
	usleep(500000);
	assert_false(dead(launcher));
	assert_false(dead(init));
}

static void test_it_dies_with_its_launcher(void **state)
{
	(void)state;
	lease_for(20000);
	born(true);
	go();
	UNTIL(runs());
	pidfd_send_signal(launcher, SIGKILL, NULL, 0);
	UNTIL(dead(init));
}

/* The page is the fencer's alone to write. */
static void test_it_cannot_lengthen_its_lease(void **state)
{
	char path[64], line[512], rights[8];
	bool shared = false;
	FILE *maps;

	(void)state;
	lease_for(20000);
	born(false);
	snprintf(path, sizeof path, "/proc/%d/maps", (int)launcher_pid);
	maps = fopen(path, "re");
	assert_non_null(maps);
	while (fgets(line, sizeof line, maps)) {
		assert_int_equal(sscanf(line, "%*s %7s", rights), 1);
		shared = shared || rights[3] == 's';
		assert_false(rights[3] == 's' && rights[1] == 'w');
	}
	fclose(maps);
	assert_true(shared);
}

/* None of the fencer's locks, tables and sockets stays open in a run. */
static void test_it_keeps_no_descriptor_of_the_fencer(void **state)
{
	char path[64], target[256];
	int own = memfd_create("fencer's own", 0);
	int fd = dup2(own, 200); /* beyond those that it keeps */
	ssize_t size;

	(void)state;
	close(own);
	lease_for(20000);
	born(false);
	for (int i = 0; i < 1024; i++) {
		snprintf(path, sizeof path, "/proc/%d/fd/%d",
			 (int)launcher_pid, i);
		size = readlink(path, target, sizeof target - 1);
		if (size < 0)
			continue;
		target[size] = '\0';
		assert_null(strstr(target, "fencer's own"));
	}
	close(fd);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_teardown(name, story_end)
	const struct CMUnitTest tests[] = {
		STORY(test_nothing_begins_without_the_word),
		STORY(test_a_fencer_that_is_gone_starts_nothing),
		STORY(test_another_word_starts_nothing),
		STORY(test_it_dies_at_the_deadline),
		STORY(test_it_dies_though_its_launcher_is_stopped),
		STORY(test_a_longer_lease_is_followed),
		STORY(test_an_ended_lease_is_followed),
		STORY(test_a_held_run_outlives_the_deadline),
		STORY(test_it_dies_with_its_launcher),
		STORY(test_it_cannot_lengthen_its_lease),
		STORY(test_it_keeps_no_descriptor_of_the_fencer),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
