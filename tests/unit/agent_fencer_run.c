/* What the fencer does around one run, step by step: R11's order of row,
 * launcher and word to go, R14's proof of death, whom it kills, A2's clock.
 * Processes, groups and the disk are pretended here; tests/check/fencer has
 * the real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "node/agent/fencer.h"

/* What was done, in order: g(roup), R(ow, durable), r(ow), L(auncher), K(illed
 * by pidfd), k(illed by group), c(leared row). */
static char trace[64];
static struct {
	bool row_fails, populated, unseen;
	uint64_t row_takes_ms;
	int launcher, end; /* its pidfd, its end of the socket */
	int killed[8];
	uint32_t kills;
	uint64_t boottime_ns, raw_ns;
} world;
static struct fencer fencer;
static struct fence_page page;

static void note(char what)
{
	size_t at = strlen(trace);

	assert_true(at < sizeof trace - 1);
	trace[at] = what;
}

static int fake_kill(int fd, int sig, siginfo_t *info, unsigned flags)
{
	(void)info;
	(void)flags;
	assert_int_equal(sig, SIGKILL);
	note('K');
	world.killed[world.kills++] = fd;
	return 0;
}

static int fake_group(const struct cgroup *group, uint32_t slot, bool hold)
{
	(void)group;
	(void)slot;
	(void)hold;
	note('g');
	return -1;
}

static void fake_group_kill(const struct cgroup *group, uint32_t slot, bool hold)
{
	(void)group;
	(void)slot;
	(void)hold;
	note('k');
}

static bool fake_populated(const struct cgroup *group, uint32_t slot, bool hold)
{
	(void)group;
	(void)slot;
	(void)hold;
	return world.populated;
}

static uint64_t fake_fd_id(int fd)
{
	(void)fd;
	return 5;
}

static int fake_write(const struct run_table *table, uint32_t slot,
		      const struct run_row *row, bool durable)
{
	(void)table;
	(void)slot;
	(void)row;
	note(durable ? 'R' : 'r');
	world.boottime_ns += world.row_takes_ms * 1000000u;
	errno = EIO;
	return world.row_fails ? BERTH_IO : 0;
}

static int fake_clear(const struct run_table *table, uint32_t slot)
{
	(void)table;
	(void)slot;
	note('c');
	return 0;
}

static pid_t fake_launcher(const struct launch *launch, int *pidfd)
{
	note('L');
	*pidfd = dup(world.launcher);
	world.end = dup(launch->socket);
	return 4711;
}

static uint64_t fake_start(uint32_t pid)
{
	return world.unseen ? PROCESS_UNSEEN : pid + 1000;
}

#define pidfd_send_signal fake_kill
#define cgroup_run_make fake_group
#define cgroup_run_kill fake_group_kill
#define cgroup_run_populated fake_populated
#define cgroup_fd_id fake_fd_id
#define run_table_write fake_write
#define run_table_clear fake_clear
#define launcher_start(launch, pidfd) fake_launcher((launch), (pidfd))
#define process_start fake_start
#include "node/agent/fencer_run.c"
#undef pidfd_send_signal

/* The two clocks are ours, for the whole of this program. */
int clock_gettime(clockid_t id, struct timespec *out)
{
	uint64_t ns = id == CLOCK_BOOTTIME ? world.boottime_ns : world.raw_ns;

	if (id != CLOCK_BOOTTIME && id != CLOCK_MONOTONIC_RAW)
		return (int)syscall(SYS_clock_gettime, id, out);
	out->tv_sec = (time_t)(ns / 1000000000u);
	out->tv_nsec = (long)(ns % 1000000000u);
	return 0;
}

/* The run table's, of which only the head gets here; and what launchers had
 * been given by then. */
static uint64_t given_ns, heads;

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
	(void)fd;
	(void)data;
	(void)at;
	given_ns = fencer.page->deadline_ns;
	heads++;
	return (ssize_t)size;
}

static struct hash name(uint8_t number)
{
	struct hash hash;

	memset(&hash, number, sizeof hash);
	return hash;
}

/* One entry of the desired set, not yet started. */
static void desire(bool hold)
{
	fencer.tenure.desired[0] = (struct desired_row){
		.program = name(1), .lineage = name(1), .gen = 1, .epoch = 50,
		.hold = hold };
	fencer.tenure.desired_count = 1;
	fencer.tenure.set_taken = true;
}

static int setup(void **state)
{
	struct hash crn = name(9);

	(void)state;
	memset(trace, 0, sizeof trace);
	memset(&world, 0, sizeof world);
	memset(&fencer, 0, sizeof fencer);
	world.boottime_ns = world.raw_ns = 1000000000u;
	world.launcher = eventfd(0, EFD_CLOEXEC);
	world.end = -1;
	fencer.client = fencer.watchdog = -1;
	fencer.epoll = epoll_create1(EPOLL_CLOEXEC);
	fencer.timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
	fencer.page = &page;
	fencer.cgroup.present = true;
	lease_clock_init(&fencer.clock);
	tenure_init(&fencer.tenure, &crn, &crn, &crn, 1);
	fencer.tenure.session = 40;
	fencer.tenure.deadline_ms = 1000;
	desire(false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		shut(&fencer.procs[i].launcher);
		shut(&fencer.procs[i].init);
		shut(&fencer.procs[i].socket);
	}
	shut(&world.end);
	shut(&world.launcher);
	shut(&fencer.epoll);
	shut(&fencer.timer);
	return 0;
}

static enum fencer_code start(void)
{
	const int files[LAUNCH_FILES_MAX] = { -1, -1, -1 };
	struct hash program = name(1);
	struct tenure_run *run;
	int error;

	assert_int_equal(tenure_gate(&fencer.tenure, fencer__now(&fencer), &program, 1,
				     50, &run), FENCER_OK);
	assert_ptr_equal(run, &fencer.tenure.runs[0]);
	return fencer__run_start(&fencer, run, files, &error);
}

/* The launcher tells its init, as launcher.c does. */
static void init_tells(void)
{
	struct launch_message message = { .kind = LAUNCH_INIT, .value = 4712 };
	struct iovec bytes = { &message, sizeof message };
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .space = { 0 } };
	struct msghdr head = { .msg_iov = &bytes, .msg_iovlen = 1,
			       .msg_control = &control,
			       .msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&head);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &world.launcher, sizeof(int));
	assert_int_equal(sendmsg(world.end, &head, 0), sizeof message);
	fencer__run_event(&fencer, SOURCE_RUN, 0);
}

/* Was the program let go? */
static bool went(void)
{
	char word;

	return recv(world.end, &word, 1, MSG_DONTWAIT) == 1 &&
	       word == LAUNCH_GO;
}

static void begin(bool hold)
{
	desire(hold);
	assert_int_equal(start(), FENCER_OK);
	init_tells();
	assert_true(went());
	assert_int_equal(fencer.tenure.runs[0].state, TENURE_RUN_LIVE);
	memset(trace, 0, sizeof trace);
}

/* --- R11: a start ------------------------------------------------------------- */

static void test_row_is_durable_before_the_launcher(void **state)
{
	(void)state;
	assert_int_equal(start(), FENCER_OK);
	assert_string_equal(trace, "gRL");
	assert_false(went()); /* not before its init is in the row */
	init_tells();
	assert_string_equal(trace, "gRLr");
	assert_true(went());
	assert_int_equal(fencer.procs[0].row.launcher, 4711);
	assert_int_equal(fencer.procs[0].row.init, 4712);
	assert_int_equal(fencer.procs[0].row.init_start, 5712);
}

static void test_no_launcher_without_a_row(void **state)
{
	(void)state;
	world.row_fails = true;
	assert_int_equal(start(), FENCER_FAILED);
	assert_null(strchr(trace, 'L'));
	assert_int_equal(fencer.tenure.run_count, 0);
	assert_false(fencer.procs[0].used);
}

/* Writing the row takes its time, and the lease ends meanwhile. */
static void test_no_launcher_past_the_deadline(void **state)
{
	(void)state;
	world.row_takes_ms = 1000;
	assert_int_equal(start(), FENCER_PAST_DEADLINE);
	assert_null(strchr(trace, 'L'));
	assert_int_equal(fencer.tenure.run_count, 0);
}

static void never_goes(void)
{
	init_tells();
	assert_false(went());
	assert_true(fencer.procs[0].killing);
	assert_int_not_equal(fencer.tenure.runs[0].state, TENURE_RUN_LIVE);
}

static void test_no_word_past_the_deadline(void **state)
{
	(void)state;
	assert_int_equal(start(), FENCER_OK);
	world.raw_ns += 1000000000u;
	never_goes();
}

static void test_no_word_after_a_newer_set(void **state)
{
	(void)state;
	assert_int_equal(start(), FENCER_OK);
	fencer.tenure.desired_count = 0;
	never_goes();
}

static void test_no_word_after_a_stop(void **state)
{
	(void)state;
	assert_int_equal(start(), FENCER_OK);
	fencer__run_stop(&fencer, 0, 5000); /* nothing to be polite to yet */
	never_goes();
}

/* Fenced, and a new session wants the same: the old start is not for it. */
static void test_no_word_for_a_start_that_was_fenced(void **state)
{
	(void)state;
	desire(true);
	assert_int_equal(start(), FENCER_OK);
	tenure_end(&fencer.tenure);
	fencer__fence(&fencer, "a test");
	fencer.tenure.session = 60;
	fencer.tenure.deadline_ms = 1000;
	desire(true);
	never_goes();
}

/* A row that cannot find its processes again would call them dead. */
static void test_no_word_for_what_cannot_be_found_again(void **state)
{
	(void)state;
	assert_int_equal(start(), FENCER_OK);
	world.unseen = true;
	never_goes();
}

static void test_no_word_without_the_inits_row(void **state)
{
	(void)state;
	assert_int_equal(start(), FENCER_OK);
	world.row_fails = true;
	never_goes();
}

static void test_one_init_a_launcher(void **state)
{
	(void)state;
	begin(false);
	init_tells();
	assert_false(went());
	assert_true(fencer.procs[0].killing);
}

/* --- R14: death ------------------------------------------------------------------ */

static bool buried_now(void)
{
	bool free_again = fencer.tenure.runs[0].state == TENURE_RUN_NONE;

	assert_int_equal(free_again, !fencer.procs[0].used);
	assert_int_equal(free_again, strchr(trace, 'c') != NULL);
	return free_again;
}

/* Launcher, init, their socket and the group: only all four are a death, in
 * whatever order they come; until then row and slot stay. */
static void test_dead_is_when_all_of_it_is(void **state)
{
	(void)state;
	begin(false);
	world.populated = true;
	fencer__run_kill(&fencer, 0);
	assert_int_equal(world.kills, 2);
	assert_int_equal(world.killed[0], fencer.procs[0].launcher);
	assert_int_equal(world.killed[1], fencer.procs[0].init);
	assert_non_null(strchr(trace, 'k'));
	assert_false(buried_now());
	fencer__run_event(&fencer, SOURCE_LAUNCHER, 0);
	assert_false(buried_now());
	fencer__run_event(&fencer, SOURCE_INIT, 0);
	assert_false(buried_now());
	shut(&world.end);
	fencer__run_event(&fencer, SOURCE_RUN, 0);
	assert_false(buried_now());
	assert_int_equal(fencer__exclusive_count(&fencer), 1);
	world.populated = false;
	fencer.dying_ms = 1;
	fencer__runs_poll(&fencer);
	assert_true(buried_now());
	assert_int_equal(fencer__exclusive_count(&fencer), 0);
}

/* Without groups, each of the other three alone keeps it. */
static void test_dead_without_groups(void **state)
{
	(void)state;
	fencer.cgroup.present = false;
	begin(false);
	fencer__run_kill(&fencer, 0);
	fencer__run_event(&fencer, SOURCE_LAUNCHER, 0);
	assert_false(buried_now());
	shut(&world.end);
	fencer__run_event(&fencer, SOURCE_RUN, 0);
	assert_false(buried_now());
	fencer__run_event(&fencer, SOURCE_INIT, 0);
	assert_true(buried_now());
}

static void test_dead_without_its_launcher_is_not(void **state)
{
	(void)state;
	begin(false);
	fencer__run_kill(&fencer, 0);
	shut(&world.end);
	fencer__run_event(&fencer, SOURCE_RUN, 0);
	fencer__run_event(&fencer, SOURCE_INIT, 0);
	assert_false(buried_now());
	fencer__run_event(&fencer, SOURCE_LAUNCHER, 0);
	assert_true(buried_now());
}

static void test_socket_end_is_waited_for(void **state)
{
	(void)state;
	begin(false);
	fencer__run_kill(&fencer, 0);
	fencer__run_event(&fencer, SOURCE_LAUNCHER, 0);
	fencer__run_event(&fencer, SOURCE_INIT, 0);
	assert_false(buried_now());
	shut(&world.end);
	fencer__run_event(&fencer, SOURCE_RUN, 0);
	assert_true(buried_now());
}

/* One part dies by itself: the rest is killed at once. */
static void test_one_part_takes_the_others_along(void **state)
{
	(void)state;
	begin(true);
	world.populated = true;
	fencer__run_event(&fencer, SOURCE_INIT, 0);
	assert_int_equal(world.kills, 1); /* not by the pidfd of the dead one */
	assert_int_equal(world.killed[0], fencer.procs[0].launcher);
	assert_non_null(strchr(trace, 'k'));
}

/* --- whom a fence kills ------------------------------------------------------------ */

static void test_fence_leaves_held_runs(void **state)
{
	(void)state;
	begin(true);
	tenure_end(&fencer.tenure);
	fencer__fence(&fencer, "a test");
	assert_int_equal(world.kills, 0);
	assert_false(fencer.procs[0].killing);
}

static void test_fence_kills_exclusive_runs(void **state)
{
	(void)state;
	begin(false);
	fencer__arm(&fencer);
	assert_true(fencer.page->deadline_ns != 0);
	world.raw_ns += 1000000000u; /* the deadline, by the faster clock */
	fencer__tick(&fencer);
	assert_int_equal(world.kills, 2);
	assert_true(fencer.procs[0].killing);
	assert_true(fencer.page->deadline_ns == 0); /* nor do launchers wait */
}

/* A later life that cannot see them counts from what is written: a launcher
 * never has a later deadline than that. */
static void test_deadline_is_written_before_it_is_given(void **state)
{
	(void)state;
	begin(false);
	heads = 0;
	fencer__arm(&fencer);
	assert_int_equal(heads, 1);
	assert_int_equal(given_ns, 0);
	assert_true(fencer.page->deadline_ns != 0);
	assert_int_equal(fencer.head.deadline_ns, fencer.page->deadline_ns);
}

/* "A queued start is cancelled, held too" (2.6). */
static void test_fence_cancels_held_starts(void **state)
{
	(void)state;
	desire(true);
	assert_int_equal(start(), FENCER_OK);
	tenure_end(&fencer.tenure);
	fencer__fence(&fencer, "a test");
	assert_true(fencer.procs[0].killing);
}

static void test_condemned_run_is_killed_impolitely(void **state)
{
	(void)state;
	begin(true);
	fencer.tenure.runs[0].condemned = true;
	fencer__runs_prune(&fencer);
	assert_true(fencer.procs[0].killing);
}

static void test_polite_stop_has_an_end(void **state)
{
	(void)state;
	begin(false);
	fencer.procs[0].kill_ms = clock_monotonic_ms() + 50;
	fencer__runs_poll(&fencer);
	assert_false(fencer.procs[0].killing);
	fencer.procs[0].kill_ms = clock_monotonic_ms();
	fencer__runs_poll(&fencer);
	assert_true(fencer.procs[0].killing);
}

/* --- R9: the watchdog ----------------------------------------------------------------- */

/* Told to leave after 700 ms; how often it petted until then. */
static ssize_t pets_in_the_loop(void)
{
	struct signalfd_siginfo term = { .ssi_signo = SIGTERM };
	int dog[2], signals[2];
	uint8_t bytes[256];
	ssize_t pets;
	pid_t pid;

	assert_int_equal(pipe2(dog, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(signals, O_CLOEXEC | O_NONBLOCK), 0);
	fencer.watchdog = dog[1];
	fencer.signals = signals[0];
	assert_true(fencer__watch(&fencer, fencer.signals, SOURCE_SIGNALS, 0));
	pid = fork();
	if (pid == 0) {
		usleep(700000);
		_exit(write(signals[1], &term, sizeof term) !=
		      (ssize_t)sizeof term);
	}
	fencer_loop(&fencer);
	waitpid(pid, NULL, 0);
	pets = read(dog[0], bytes, sizeof bytes);
	close(dog[0]);
	close(dog[1]);
	close(signals[0]);
	close(signals[1]);
	fencer.watchdog = -1;
	return pets;
}

/* Often enough for one that bites after a second. */
static void test_loop_pets_the_watchdog(void **state)
{
	(void)state;
	assert_in_range(pets_in_the_loop(), 3, 10);
}

/* The lease is over and an exclusive run is not seen dead: never again. */
static void test_loop_lets_it_bite(void **state)
{
	(void)state;
	begin(false);
	world.populated = true;
	world.raw_ns += 1000000000u;
	/* it leaves with the run alive, if late: as if that had passed */
	fencer.quit = true;
	fencer.quit_ms = clock_monotonic_ms() + 300;
	assert_int_equal(pets_in_the_loop(), -1);
	assert_int_equal(fencer__exclusive_count(&fencer), 1);
}

/* --- A2 -------------------------------------------------------------------------------- */

/* The fencer counts by the faster clock, span by span; launchers are told in
 * CLOCK_BOOTTIME, and what is left is what the faster one left. */
static void test_fencers_clock_is_the_faster_one(void **state)
{
	(void)state;
	world.boottime_ns += 300000000u;
	world.raw_ns += 100000000u;
	assert_int_equal(fencer__now(&fencer), 300);
	world.boottime_ns += 100000000u;
	world.raw_ns += 400000000u;
	assert_int_equal(fencer__now(&fencer), 700);
	fencer__arm(&fencer);
	assert_int_equal(fencer.page->deadline_ns,
			 world.boottime_ns + 300 * 1000000u);
	world.raw_ns += 300000000u;
	fencer__tick(&fencer);
	assert_true(fencer.tenure.session == 0);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_row_is_durable_before_the_launcher),
		STORY(test_no_launcher_without_a_row),
		STORY(test_no_launcher_past_the_deadline),
		STORY(test_no_word_past_the_deadline),
		STORY(test_no_word_after_a_newer_set),
		STORY(test_no_word_after_a_stop),
		STORY(test_no_word_for_a_start_that_was_fenced),
		STORY(test_no_word_for_what_cannot_be_found_again),
		STORY(test_no_word_without_the_inits_row),
		STORY(test_one_init_a_launcher),
		STORY(test_dead_is_when_all_of_it_is),
		STORY(test_dead_without_groups),
		STORY(test_dead_without_its_launcher_is_not),
		STORY(test_socket_end_is_waited_for),
		STORY(test_one_part_takes_the_others_along),
		STORY(test_fence_leaves_held_runs),
		STORY(test_fence_kills_exclusive_runs),
		STORY(test_deadline_is_written_before_it_is_given),
		STORY(test_fence_cancels_held_starts),
		STORY(test_condemned_run_is_killed_impolitely),
		STORY(test_polite_stop_has_an_end),
		STORY(test_loop_pets_the_watchdog),
		STORY(test_loop_lets_it_bite),
		STORY(test_fencers_clock_is_the_faster_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
