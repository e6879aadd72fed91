/* H38: who is heard when it is asked whether C is fast, and who is not. That
 * it is asked at all is in replica_driver.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/kit/driver_world.h"

static void join(struct world *w, struct world_agent *agents, uint8_t first,
		 uint8_t count)
{
	for (uint8_t i = first; i < first + count; i++) {
		world_agent(&agents[i], (uint8_t)(i + 1));
		world_join(w, &agents[i], 4);
	}
}

static void says(struct world *w, struct world_agent *a)
{
	assert_int_equal(world_heartbeat(w, a, NULL, 0), 0);
}

/* Time passes for so many agents, and of every thousand their clocks count as
 * many as told. */
static void pass(struct world *w, struct world_agent *agents, uint32_t count,
		 const uint32_t *per_mille, uint32_t seconds)
{
	for (uint32_t i = 0; i < 2 * seconds; i++) {
		for (uint32_t j = 0; j < count; j++) {
			agents[j].clock_ms += per_mille[j] / 2;
			says(w, &agents[j]);
		}
		world_pass(w, 500);
		world_forget_frames(w);
	}
}

static void test_h38_alarm_says_how_fast(void **state)
{
	static const uint32_t slow[] = { 900, 900, 900 };
	struct world *w = *state;
	struct world_agent agents[3];

	world_lead(w);
	join(w, agents, 0, 3);
	for (uint32_t i = 0; i < 3; i++)
		agents[i].clock_ms = 1000;
	pass(w, agents, 3, slow, 190);
	assert_in_range(w->alarms, 2, 3);
	assert_int_equal(w->alarms, world_counts(w).clock_alarms);
	assert_int_equal(w->alarm.agents, 3);
	assert_in_range(w->alarm.ppm, 80000, 100000);
	assert_int_equal(w->alarm.limit_ppm,
			 2 * world_status(w).config.rho_ppm);
	assert_in_range(w->alarm.c_ms, 50000, 70000);
	assert_in_range(w->alarm.agent_ms, w->alarm.c_ms * 88 / 100,
			w->alarm.c_ms * 92 / 100);
}

/* Agents of before clocks were told say 0. */
static void test_h38_who_does_not_tell_is_not_asked(void **state)
{
	static const uint32_t none[] = { 0, 0, 0 };
	struct world *w = *state;
	struct world_agent agents[3];

	world_lead(w);
	join(w, agents, 0, 3);
	pass(w, agents, 3, none, 130);
	assert_int_equal(w->alarms, 0);
	assert_int_equal(world_counts(w).clock_ppm, 0);
}

/* C is old and their clocks are young: only what both counted since matters. */
static void test_h38_young_agents_of_an_old_cluster(void **state)
{
	static const uint32_t even[] = { 1000, 1000, 1000 };
	struct world *w = *state;
	struct world_agent agents[3];

	world_lead(w);
	world_pass(w, 200000);
	join(w, agents, 0, 3);
	for (uint32_t i = 0; i < 3; i++)
		agents[i].clock_ms = 1;
	pass(w, agents, 3, even, 130);
	assert_int_equal(w->alarms, 0);
	assert_int_equal(world_counts(w).clock_ppm, 0);
}

/* Those that are gone have no say: they would be the majority. */
static void test_h38_who_is_gone_has_no_say(void **state)
{
	static const uint32_t even[] = { 1000, 1000, 1000, 1000, 1000 };
	static const uint32_t slow[] = { 900, 900 };
	struct world *w = *state;
	struct world_agent agents[5];

	world_lead(w);
	join(w, agents, 0, 5);
	for (uint32_t i = 0; i < 5; i++)
		agents[i].clock_ms = 1000;
	pass(w, agents, 5, even, 110);
	assert_int_equal(w->alarms, 0);
	pass(w, agents, 2, slow, 200);
	assert_in_range(w->alarms, 2, 4);
	assert_int_equal(w->alarm.agents, 2);
}

/* The one in the middle is asked, of five as of three. */
static void test_h38_majority_decides(void **state)
{
	static const uint32_t two[] = { 900, 900, 1000, 1000, 1000 };
	static const uint32_t three[] = { 900, 900, 900, 1000, 1000 };
	struct world *w = *state;
	struct world_agent agents[5];

	world_lead(w);
	join(w, agents, 0, 5);
	for (uint32_t i = 0; i < 5; i++)
		agents[i].clock_ms = 1000;
	pass(w, agents, 5, two, 130);
	assert_int_equal(w->alarms, 0);
	pass(w, agents, 5, three, 190);
	assert_in_range(w->alarms, 2, 3);
}

/* A heartbeat that comes late, after a newer one, is no clock that stands. */
static void test_h38_late_words_are_no_slow_clock(void **state)
{
	struct world *w = *state;
	struct world_agent a, late;

	world_lead(w);
	join(w, &a, 0, 1);
	a.clock_ms = 10000;
	for (uint32_t i = 0; i < 400; i++) {
		a.clock_ms += 500;
		says(w, &a);
		late = a;
		late.clock_ms -= 8000;
		says(w, &late);
		a.seq = late.seq;
		world_pass(w, 500);
		world_forget_frames(w);
	}
	assert_int_equal(w->alarms, 0);
}

int main(void)
{
#define STORY(name) \
	cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_h38_alarm_says_how_fast),
		STORY(test_h38_who_does_not_tell_is_not_asked),
		STORY(test_h38_young_agents_of_an_old_cluster),
		STORY(test_h38_who_is_gone_has_no_say),
		STORY(test_h38_majority_decides),
		STORY(test_h38_late_words_are_no_slow_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
