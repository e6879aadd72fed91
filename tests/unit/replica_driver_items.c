/* What agents ask for while it waits: its order, its room, and what it may
 * not push aside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/kit/driver_world.h"

/* What waits in the log, without Beats: types in their order, and of Reports
 * the cores. */
struct seen {
	uint32_t count, types[16], vcpus[16];
};

static struct seen work_of(const struct world *w)
{
	struct seen seen = { 0 };
	struct command_cursor cursor;
	struct command c;

	for (struct world_entry *e = w->log; e != NULL; e = e->next) {
		assert_int_equal(command_cursor_open(&cursor, e->data,
						     e->size), 0);
		while (command_cursor_next(&cursor, &c) == 0) {
			if (c.type == FSM_BEAT)
				continue;
			assert_true(seen.count < 16);
			seen.types[seen.count] = (uint32_t)c.type;
			if (c.type == FSM_CRN_REPORT)
				seen.vcpus[seen.count] = c.report.vcpus;
			seen.count++;
		}
		command_cursor_close(&cursor);
	}
	return seen;
}

/* Tokens as long as they may be: such a Report is three kilobytes. */
static int say_report(struct world *w, const struct world_agent *a,
		      uint32_t vcpus, bool big)
{
	struct command c = { .type = FSM_CRN_REPORT };
	char tokens[FSM_TOKENS_MAX][FSM_TOKEN_SIZE_MAX];
	uint8_t data[8192];
	size_t size;

	c.report.crn = a->crn;
	c.report.session = a->session;
	c.report.vcpus = vcpus;
	c.report.memory_mib = c.report.disk_mib = 1u << 20;
	c.report.url = (struct text){ "http://crn", 10 };
	c.report.token_count = big ? FSM_TOKENS_MAX : 1;
	for (uint32_t i = 0; i < c.report.token_count; i++) {
		memset(tokens[i], 'a' + (int)i, sizeof tokens[i]);
		c.report.tokens[i] = (struct text){ tokens[i],
						    sizeof tokens[i] };
	}
	size = agent_command_encode(&c, data, sizeof data);
	assert_int_not_equal(size, 0);
	return driver_agent_frame(w->driver, fsm_live(w->fsm), &a->route,
				  &a->crn, AGENT_REPORT, data, size);
}

static void join(struct world *w, struct world_agent *agents, uint8_t count)
{
	world_lead(w);
	for (uint8_t i = 0; i < count; i++) {
		world_agent(&agents[i], (uint8_t)(i + 1));
		world_join(w, &agents[i], 4);
	}
	world_settle(w);
}

/* A log that takes nothing for a while: nothing is lost, doubled or turned
 * round, and what comes meanwhile comes after. */
static void test_refused_items_keep_their_order(void **state)
{
	struct world *w = *state;
	struct world_agent agents[5];
	struct seen seen;

	join(w, agents, 5);
	w->refuse_work = true;
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(say_report(w, &agents[i], 10 + i, false), 0);
		if (i == 1 || i == 3)
			continue; /* two at once */
		w->now_ms += 11;
		world_tick(w);
	}
	w->refuse_work = false;
	w->now_ms += 11;
	world_tick(w);
	seen = work_of(w);
	assert_int_equal(seen.count, 5);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(seen.vcpus[i], 10 + i);
	world_settle(w);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(world_crn_of(w, &agents[i]).vcpus, 10 + i);
	/* One that waits for its own before it is behind those given back. */
	assert_int_equal(say_report(w, &agents[0], 30, false), 0);
	world_tick(w);
	assert_int_equal(say_report(w, &agents[1], 31, false), 0);
	assert_int_equal(say_report(w, &agents[0], 32, false), 0);
	w->refuse_work = true;
	world_tick(w);
	w->refuse_work = false;
	w->now_ms += 11;
	world_settle(w);
	assert_int_equal(world_crn_of(w, &agents[1]).vcpus, 31);
	assert_int_equal(world_crn_of(w, &agents[0]).vcpus, 32);
}

/* R15: a Register is not replaced by a Report that follows it, nor the other
 * way round. */
static void test_r15_register_and_report_wait_apart(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct seen seen;

	join(w, &a, 1);
	w->refuse_work = true;
	assert_int_equal(say_report(w, &a, 9, false), 0);
	assert_int_equal(world_say_register(w, &a, a.session, 60), 0);
	assert_int_equal(say_report(w, &a, 10, false), 0);
	w->refuse_work = false;
	world_tick(w);
	seen = work_of(w);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.types[0], FSM_CRN_REPORT);
	assert_int_equal(seen.vcpus[0], 10);
	assert_int_equal(seen.types[1], FSM_REGISTER);
}

/* R7: who floods us must not delay that others are freed. */
static void test_r07_expiry_goes_before_what_waited(void **state)
{
	struct world *w = *state;
	struct world_agent agents[5]; /* the last is silent */
	struct seen seen;

	join(w, agents, 5);
	while (world_status(w).c_ms < world_crn_of(w, &agents[4]).exp_ms) {
		for (uint32_t i = 0; i < 4; i++)
			world_heartbeat(w, &agents[i], NULL, 0);
		w->now_ms += 50;
		if (world_status(w).c_ms + 400 >=
		    world_crn_of(w, &agents[4]).exp_ms)
			break;
		world_settle(w);
	}
	for (uint32_t i = 0; i < 3; i++) { /* as many as fly */
		assert_int_equal(say_report(w, &agents[i], 10, false), 0);
		world_tick(w);
	}
	assert_int_equal(say_report(w, &agents[3], 11, false), 0);
	w->now_ms += 700;
	world_tick(w); /* with the Beat behind those three its time is over */
	assert_int_equal(work_of(w).count, 3);
	while (world_apply(w))
		;
	world_tick(w);
	seen = work_of(w);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.types[0], FSM_EXPIRE);
	assert_int_equal(seen.vcpus[1], 11);
}

static void test_r07_expiry_flies_once(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	join(w, &a, 1);
	while (world_proposed(w, FSM_EXPIRE) == 0) {
		(void)world_apply(w);
		w->now_ms += 50;
		world_tick(w);
	}
	/* Beats before it are applied, more are proposed: it flies still. */
	for (uint32_t i = 0; i < 20; i++) {
		driver_applied(w->driver, fsm_live(w->fsm), w->applied, NULL,
			       0);
		w->now_ms += 50;
		world_tick(w);
		assert_int_equal(world_proposed(w, FSM_EXPIRE), 1);
	}
}

/* What waits is bounded; what has gone, or was replaced, takes no room. */
static void test_items_that_went_take_no_room(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	join(w, &a, 1);
	for (uint32_t i = 0; i < 12000; i++) {
		assert_int_equal(say_report(w, &a, 10 + i, true), 0);
		if (i % 2 != 0)
			world_settle(w);
	}
	assert_int_equal(world_crn_of(w, &a).vcpus, 10 + 11999);
}

int main(void)
{
#define STORY(name) \
	cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_refused_items_keep_their_order),
		STORY(test_r15_register_and_report_wait_apart),
		STORY(test_r07_expiry_goes_before_what_waited),
		STORY(test_r07_expiry_flies_once),
		STORY(test_items_that_went_take_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
