/* What the agent asks of the fencer, and when: R24's failed starts, back-off
 * and the end of patience, "nobody starts anything without a session" (2.6).
 * Preparation, fencer and clock are pretended; tests/unit/agent_run has the
 * real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "node/agent/runner_inner.h"
#include "node/lib/clock.h"

static struct {
	uint64_t now_ms;
	struct fencer_ask asked; /* the last */
	uint32_t starts, stops, prepares;
	bool away, answers; /* the fencer; the program's probe */
	prepare_done done;
} world;

static int fake_ask(struct fencer_client *client, const struct fencer_ask *ask)
{
	(void)client;
	if (world.away)
		return BERTH_CLOSED;
	world.asked = *ask;
	world.starts += ask->type == FENCER_START;
	world.stops += ask->type == FENCER_STOP;
	return 0;
}

static int fake_prepare(struct prepare *prepare, const struct hash *program,
			const struct hash *lineage, prepare_done done,
			void *ctx, struct prepare_job **out)
{
	(void)prepare;
	(void)program;
	(void)lineage;
	world.prepares++;
	world.done = done;
	*out = ctx; /* anything but NULL */
	return 0;
}

static void fake_measure(struct run *run)
{
	run->measure_ms = UINT64_MAX;
	runner__measured(run, "", world.now_ms);
}

static int fake_build(const struct run_spec_in *in, struct run_spec *out,
		      struct fault *fault)
{
	(void)in;
	(void)fault;
	memset(out, 0, sizeof *out);
	return 0;
}

static int fake_file(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

#define clock_monotonic_ms() world.now_ms
#define fencer_client_ask fake_ask
#define prepare_start fake_prepare
#define prepare_cancel(job) (void)(job)
#define prepare_tick(prepare, now) (void)(prepare)
#define prepare_unpinned(prepare) (void)(prepare)
#define prepared_free(prepared) (void)(prepared)
#define session_beat_soon(session) (void)(session)
#define session_look(session) (void)(session)
#define runner__measure fake_measure
#define runner__measure_cancel(run) (void)(run)
#define runner__probe(run) ((void)(run), world.answers)
#define runner__uses_write(run, fault) 0
#define runner__log_open(runner, program) fake_file()
#define runner__log_note(run, ...) (void)(run)
#define runner__log_trim(run) (void)(run)
#define runner__log_last(run, line, size) (void)((line)[0] = '\0')
#define runner__logs_forget(runner) (void)(runner)
#define run_directory(directory, uid, fault) 0
#define run_spec_build fake_build
#define run_spec_file(spec) fake_file()
#define agent_tree_remove(path) (void)(path)
#include "node/agent/runner.c"

static struct agent agent;
static struct runner *runner;
static struct prepared prepared;
static struct fencer_run row;

/* The fencer's state, with that one row. */
static void state_is(bool desired, bool running)
{
	row.desired = desired;
	row.running = running;
	runner_state(runner, &row, 1, true);
}

static void at(uint64_t now_ms)
{
	world.now_ms = now_ms;
	runner_tick(runner, now_ms);
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof world);
	memset(&agent, 0, sizeof agent);
	memset(&row, 0, sizeof row);
	memset(&prepared, 0, sizeof prepared);
	agent.config.directory = (char *)(uintptr_t)"/nowhere";
	runner = calloc(1, sizeof *runner);
	runner->agent = &agent;
	memset(&row.program, 1, sizeof row.program);
	row.gen = 3;
	row.epoch = 50;
	world.now_ms = 1000000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	runner_close(runner);
	return 0;
}

static void prepares(int code)
{
	struct fault fault = { .code = code, .text = "why" };

	world.done(runner->runs, code == 0 ? &prepared : NULL, &fault);
}

/* Desired, prepared: START is asked. */
static struct run *asks(void)
{
	state_is(true, false);
	at(world.now_ms);
	assert_int_equal(world.prepares, 1);
	assert_int_equal(world.starts, 0);
	prepares(0);
	assert_int_equal(world.starts, 1);
	return runner->runs;
}

static void fencer_says(enum fencer_code code)
{
	const struct fencer_answer a = { .code = code, .error = ENOSPC };

	world.asked.done(world.asked.ctx, &a, NULL, 0);
}

/* It runs, and has answered. */
static struct run *runs(void)
{
	struct run *run = asks();

	fencer_says(FENCER_OK);
	state_is(true, true);
	world.answers = true;
	at(world.now_ms);
	assert_int_equal(run->status, RUN_RUNNING);
	return run;
}

static void test_a_start_names_its_epoch(void **state)
{
	(void)state;
	asks();
	assert_true(hash_equal(&world.asked.program, &row.program));
	assert_int_equal(world.asked.gen, 3);
	assert_int_equal(world.asked.epoch, 50);
	assert_int_equal(world.asked.descriptor_count, 2);
	at(world.now_ms + 60000); /* no second one before its answer */
	assert_int_equal(world.starts, 1);
}

/* 2.6: without a session nobody starts anything, prepared or not; nor what is
 * not desired, or is being stopped. */
static void test_nothing_starts_unasked(void **state)
{
	(void)state;
	row.desired = true;
	runner_state(runner, &row, 1, false);
	at(world.now_ms);
	prepares(0); /* may happen before and outside the gate (R11) */
	at(world.now_ms + 1000);
	assert_int_equal(world.starts, 0);
	row.stopping = true;
	runner_state(runner, &row, 1, true);
	at(world.now_ms + 1000);
	assert_int_equal(world.starts, 0);
	row.stopping = false;
	runner_state(runner, &row, 1, true);
	at(world.now_ms);
	assert_int_equal(world.starts, 1);
}

/* A held run that ends while it is in no set stays dead (2.6). */
static void test_an_undesired_run_is_not_restarted(void **state)
{
	(void)state;
	row.hold = true;
	runs();
	state_is(false, true);
	assert_int_equal(runner->runs->row.desired, 0);
	row.running = false;
	runner_state(runner, &row, 1, false);
	assert_null(runner->runs);
	at(world.now_ms + 60000);
	assert_int_equal(world.starts, 1);
}

/* What ran before this agent did is not started once more. */
static void test_what_runs_is_not_started(void **state)
{
	(void)state;
	state_is(true, true);
	at(world.now_ms);
	prepares(0);
	at(world.now_ms + 1000);
	assert_int_equal(world.starts, 0);
	assert_int_equal(runner->runs->status, RUN_STARTING);
	world.answers = true;
	at(world.now_ms + 1000);
	assert_int_equal(runner->runs->status, RUN_RUNNING);
}

/* R24: each failed start counts, says why, and is tried again later and later
 * in the same epoch. */
static void test_failed_starts_count(void **state)
{
	struct run *run = asks();

	(void)state;
	for (uint32_t i = 0; i < 9; i++) {
		uint64_t wait_ms = 500u << i < 30000 ? 500u << i : 30000;

		fencer_says(i % 2 ? FENCER_FULL : FENCER_FAILED);
		assert_int_equal(run->failures, i + 1);
		assert_int_equal(run->status, RUN_FAILED);
		assert_string_equal(run->reason, i % 2 ?
				    fencer_code_text(FENCER_FULL) :
				    strerror(ENOSPC));
		at(world.now_ms + wait_ms - 1);
		assert_int_equal(world.starts, i + 1);
		at(world.now_ms + 1);
		assert_int_equal(world.starts, i + 2);
		assert_int_equal(world.asked.epoch, 50);
	}
}

/* A start that ends before it ever answered failed; and how. */
static void test_an_end_before_the_answer_is_a_failure(void **state)
{
	struct run *run = asks();

	(void)state;
	for (uint32_t i = 1; i < 4; i++) {
		fencer_says(FENCER_OK);
		state_is(true, true);
		at(world.now_ms + 10);
		assert_int_equal(run->status, RUN_STARTING);
		row.exit_status = 7 << 8;
		state_is(true, false);
		assert_int_equal(run->failures, i);
		assert_int_equal(run->status, RUN_FAILED);
		assert_string_equal(run->reason, "exit code 7");
		at(world.now_ms + 30000);
		assert_int_equal(world.starts, i + 1);
	}
}

/* A crash of one that ran is none: it is restarted with back-off, in the same
 * epoch; what ran for long begins with a short one. */
static void test_a_crash_backs_off(void **state)
{
	struct run *run = runs();

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		row.exit_status = SIGSEGV;
		state_is(true, false);
		assert_int_equal(run->status, RUN_BACKOFF);
		assert_int_equal(run->failures, 0);
		assert_string_equal(run->reason, "signal 11");
		at(world.now_ms + (500u << i) - 1);
		assert_int_equal(world.starts, i + 1);
		at(world.now_ms + 1);
		assert_int_equal(world.starts, i + 2);
		fencer_says(FENCER_OK);
		state_is(true, true);
		at(world.now_ms);
		assert_int_equal(run->status, RUN_RUNNING);
	}
	at(world.now_ms + 10001);
	state_is(true, false);
	at(world.now_ms + 499);
	assert_int_equal(world.starts, 4);
	at(world.now_ms + 1);
	assert_int_equal(world.starts, 5);
	assert_int_equal(world.asked.epoch, 50);
}

/* Three failures, then it answers: the next crash counts from none. */
static void test_an_answer_clears_the_failures(void **state)
{
	struct run *run = asks();

	(void)state;
	fencer_says(FENCER_FAILED);
	at(world.now_ms + 500);
	fencer_says(FENCER_OK);
	state_is(true, true);
	assert_int_equal(run->failures, 1);
	world.answers = true;
	at(world.now_ms);
	assert_int_equal(run->failures, 0);
	assert_int_equal(run->status, RUN_RUNNING);
}

/* 60 s without an answer: it is stopped, and that was a failed start. */
static void test_patience_ends(void **state)
{
	struct run *run = asks();

	(void)state;
	fencer_says(FENCER_OK);
	state_is(true, true);
	at(world.now_ms + 60000);
	assert_int_equal(world.stops, 0);
	at(world.now_ms + 1);
	assert_int_equal(world.stops, 1);
	assert_int_equal(world.asked.epoch, 50);
	assert_int_equal(world.asked.gen, 3);
	at(world.now_ms + 50);
	assert_int_equal(world.stops, 1);
	row.exit_status = SIGKILL;
	state_is(true, false);
	assert_int_equal(run->failures, 1);
	assert_string_equal(run->reason, "did not answer in 60 s");
}

/* Nobody's fault: an older epoch that is being stopped, a gate that shut, a
 * fencer that is away. */
static void test_what_is_no_failure(void **state)
{
	struct run *run = asks();

	(void)state;
	fencer_says(FENCER_NOT_DEAD);
	at(world.now_ms + 99);
	assert_int_equal(world.starts, 1);
	at(world.now_ms + 1);
	assert_int_equal(world.starts, 2);
	fencer_says(FENCER_PAST_DEADLINE);
	at(world.now_ms + 499);
	assert_int_equal(world.starts, 2);
	at(world.now_ms + 1);
	fencer_says(FENCER_NOT_DESIRED);
	at(world.now_ms + 500);
	assert_int_equal(world.starts, 4);
	world.asked.done(world.asked.ctx, NULL, NULL, 0);
	world.away = true;
	at(world.now_ms + 500);
	assert_false(run->asking);
	world.away = false;
	at(world.now_ms + 500);
	assert_int_equal(world.starts, 5);
	fencer_says(FENCER_RUNNING);
	at(world.now_ms + 500);
	assert_int_equal(world.starts, 5);
	assert_int_equal(run->failures, 0);
	assert_int_not_equal(run->status, RUN_FAILED);
}

/* A fault of preparing that another try may not meet is the leader's to lose
 * patience with; one that stays counts. */
static void test_faults_of_preparing(void **state)
{
	static const int passing_codes[] = { BERTH_IO, BERTH_TIMEOUT,
		BERTH_CLOSED, BERTH_BUSY, BERTH_NOTFOUND, BERTH_NOMEM };

	(void)state;
	state_is(true, false);
	at(world.now_ms);
	for (size_t i = 0; i < COUNT_OF(passing_codes); i++) {
		prepares(passing_codes[i]);
		assert_int_equal(runner->runs->status, RUN_FAILED);
		assert_string_equal(runner->runs->reason, "why");
		assert_int_equal(runner->runs->failures, 0);
		at(world.now_ms + 30000);
		assert_int_equal(world.prepares, i + 2);
	}
	prepares(BERTH_INVALID);
	assert_int_equal(runner->runs->failures, 1);
	at(world.now_ms + 30000);
	prepares(BERTH_MISMATCH);
	assert_int_equal(runner->runs->failures, 2);
}

/* Another epoch is another run: nothing is taken over from the old one. */
static void test_another_epoch_counts_anew(void **state)
{
	struct run *run = asks();

	(void)state;
	fencer_says(FENCER_FAILED);
	assert_int_equal(run->failures, 1);
	row.epoch = 60;
	state_is(true, false);
	assert_null(runner->runs->next);
	assert_int_equal(runner->runs->row.epoch, 60);
	assert_int_equal(runner->runs->failures, 0);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_a_start_names_its_epoch),
		STORY(test_nothing_starts_unasked),
		STORY(test_an_undesired_run_is_not_restarted),
		STORY(test_what_runs_is_not_started),
		STORY(test_failed_starts_count),
		STORY(test_an_end_before_the_answer_is_a_failure),
		STORY(test_a_crash_backs_off),
		STORY(test_an_answer_clears_the_failures),
		STORY(test_patience_ends),
		STORY(test_what_is_no_failure),
		STORY(test_faults_of_preparing),
		STORY(test_another_epoch_counts_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
