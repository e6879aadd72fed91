/* R24, R22: in whose words a program leaves its CRN, and what a leader tells
 * of its runs. When it leaves is in replica_driver_work.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/kit/driver_world.h"

static void place_one(struct world *w, struct world_agent *a,
		      struct command *put)
{
	world_agent(a, 1);
	world_lead(w);
	world_join(w, a, 4);
	world_program(put, 1);
	assert_int_equal(world_command(w, put), FSM_OK);
	assert_int_equal(world_program_of(w, put).state, PROGRAM_ASSIGNED);
}

static struct agent_run run_of(struct world *w, const struct command *put,
			       enum run_status status, uint32_t failures,
			       const char *reason)
{
	struct fsm_program p = world_program_of(w, put);

	return (struct agent_run){
		.program = p.hash, .gen = p.gen, .epoch = p.epoch,
		.status = status, .failures = failures,
		.reason = { reason, (uint32_t)strlen(reason) } };
}

struct words {
	uint32_t count, cause;
	stamp_t epoch;
	char text[FSM_TEXT_SIZE_MAX + 1];
};

/* The Revoke that waits in the log. */
static struct words revoke_of(const struct world *w)
{
	struct words words = { 0 };
	struct command_cursor cursor;
	struct command c;

	for (struct world_entry *e = w->log; e != NULL; e = e->next) {
		assert_int_equal(command_cursor_open(&cursor, e->data,
						     e->size), 0);
		while (command_cursor_next(&cursor, &c) == 0) {
			if (c.type != FSM_REVOKE)
				continue;
			words.count++;
			words.cause = (uint32_t)c.revoke.cause;
			words.epoch = c.revoke.epoch;
			memcpy(words.text, c.revoke.reason.data,
			       c.revoke.reason.size);
			words.text[c.revoke.reason.size] = '\0';
		}
		command_cursor_close(&cursor);
	}
	return words;
}

/* Heartbeats, each half a second, until a Revoke waits; how many it took. */
static uint32_t beats_until_revoke(struct world *w, struct world_agent *a,
				   struct agent_run *run)
{
	struct agent_reply reply;
	uint32_t count = 1;

	for (; count < 400; count++) {
		world_heartbeat(w, a, run, run != NULL);
		world_tick(w);
		if (revoke_of(w).count != 0)
			break;
		world_pass(w, 500);
		assert_true(world_follow(w, a, &reply));
		world_forget_frames(w);
	}
	return count;
}

/* Its last words, of all that it said. */
static void test_r24_revoke_has_the_agents_words(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_run run;
	struct command put;
	struct words words;

	place_one(w, &a, &put);
	run = run_of(w, &put, RUN_BACKOFF, 1, "no such image");
	world_heartbeat(w, &a, &run, 1);
	run = run_of(w, &put, RUN_BACKOFF, 2, "no such imago");
	world_heartbeat(w, &a, &run, 1);
	assert_int_equal(revoke_of(w).count, 0);
	run = run_of(w, &put, RUN_BACKOFF, 3, "disk is full");
	assert_int_equal(beats_until_revoke(w, &a, &run), 1);
	words = revoke_of(w);
	assert_int_equal(words.count, 1);
	assert_int_equal(words.cause, REVOKE_START_FAILED);
	assert_true(words.epoch == world_program_of(w, &put).epoch);
	assert_string_equal(words.text, "disk is full");
}

/* Words of the same length are other words; no words are none. */
static void test_r24_words_are_the_last_ones(void **state)
{
	static const char *const said[] = { "first", "other", "", "third" };
	struct world *w = *state;
	struct agent_run run, told;
	struct world_agent a;
	struct command put;

	place_one(w, &a, &put);
	for (uint32_t i = 0; i < 4; i++) {
		run = run_of(w, &put, RUN_STARTING, i / 2, said[i]);
		world_heartbeat(w, &a, &run, 1);
		assert_true(driver_run_status(w->driver, &run.program, &told));
		assert_true(hash_equal(&told.program, &run.program));
		assert_true(told.gen == run.gen);
		assert_true(told.epoch == run.epoch);
		assert_int_equal(told.status, RUN_STARTING);
		assert_int_equal(told.failures, i / 2);
		assert_int_equal(told.reason.size, strlen(said[i]));
		if (told.reason.size != 0)
			assert_memory_equal(told.reason.data, said[i],
					    told.reason.size);
	}
}

static void test_r24_slow_start_is_said_so(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_run run;
	struct command put;

	place_one(w, &a, &put);
	run = run_of(w, &put, RUN_STARTING, 0, "");
	assert_in_range(beats_until_revoke(w, &a, &run), 115, 125);
	assert_string_equal(revoke_of(w).text, "it did not start in time");
}

/* It ran, after many failures, and then its agent forgot it: that is told
 * after the time that a start has, and not in its old words. */
static void test_r24_silence_of_what_ran(void **state)
{
	struct world *w = *state;
	struct agent_reply reply;
	struct agent_run run;
	struct world_agent a;
	struct command put;

	place_one(w, &a, &put);
	run = run_of(w, &put, RUN_RUNNING, 9, "it came up at last");
	for (uint32_t i = 0; i < 4; i++) {
		world_heartbeat(w, &a, &run, 1);
		world_pass(w, 500);
		assert_true(world_follow(w, &a, &reply));
		world_forget_frames(w);
	}
	assert_in_range(beats_until_revoke(w, &a, NULL), 115, 125);
	assert_string_equal(revoke_of(w).text,
			    "its agent took it and says nothing of it");
}

/* R22: and a program that leaves since its CRN does is told that. */
static void test_r22_drain_is_said_so(void **state)
{
	struct command crn = { .type = FSM_CRN_PUT };
	struct world *w = *state;
	struct world_agent a;
	struct command put;

	place_one(w, &a, &put);
	crn.crn_put.crn = a.crn;
	crn.crn_put.name = (struct text){ "crn", 3 };
	crn.crn_put.linked = false;
	assert_int_equal(world_command(w, &crn), FSM_OK);
	for (uint32_t i = 0; i < 40 && revoke_of(w).count == 0; i++) {
		(void)world_apply(w);
		w->now_ms += 50;
		world_heartbeat(w, &a, NULL, 0);
		world_tick(w);
	}
	assert_int_equal(revoke_of(w).cause, REVOKE_DRAIN);
	assert_string_equal(revoke_of(w).text, "its CRN is no longer linked");
}

int main(void)
{
#define STORY(name) \
	cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_r24_revoke_has_the_agents_words),
		STORY(test_r24_words_are_the_last_ones),
		STORY(test_r24_slow_start_is_said_so),
		STORY(test_r24_silence_of_what_ran),
		STORY(test_r22_drain_is_said_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
