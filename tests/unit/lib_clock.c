/* Lease clocks: what A2 of the protocol asks of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/clock.h"

static void test_counts_from_anchor(void **state)
{
	struct lease_clock agent, leader;
	uint64_t until_ms = clock_monotonic_ms() + 30;

	(void)state;
	lease_clock_init(&agent);
	lease_clock_init(&leader);
	assert_true(lease_clock_agent_ms(&agent) <= 5);
	while (clock_monotonic_ms() < until_ms)
		;
	assert_in_range(lease_clock_agent_ms(&agent), 25, 2000);
	assert_in_range(lease_clock_leader_ms(&leader), 25, 2000);
}

/* The anchors are moved apart: one clock counted 5 s, the other 1 s. */
static void test_agent_takes_more_leader_less(void **state)
{
	struct lease_clock clock;

	(void)state;
	lease_clock_init(&clock);
	clock.boottime_ns -= 5000000000u;
	clock.raw_ns -= 1000000000u;
	assert_in_range(lease_clock_leader_ms(&clock), 1000, 1900);
	assert_in_range(lease_clock_agent_ms(&clock), 5000, 5900);
	lease_clock_init(&clock);
	clock.boottime_ns -= 1000000000u;
	clock.raw_ns -= 5000000000u;
	assert_in_range(lease_clock_leader_ms(&clock), 1000, 1900);
	assert_in_range(lease_clock_agent_ms(&clock), 5000, 5900);
}

/* A clock that came to be ahead long ago and is slowed down now: the other one
 * counts. Over all of the time the first would hide it for 5 s. */
static void test_old_lead_hides_no_slowness(void **state)
{
	struct lease_clock clock;

	(void)state;
	lease_clock_init(&clock);
	clock.boottime_ns -= 5000000000u;
	assert_in_range(lease_clock_agent_ms(&clock), 5000, 5900);
	clock.raw_ns -= 5000000000u;
	assert_in_range(lease_clock_agent_ms(&clock), 10000, 10900);
	assert_in_range(lease_clock_leader_ms(&clock), 0, 900);
}

static void test_never_back(void **state)
{
	struct lease_clock clock;
	uint64_t before, now;

	(void)state;
	lease_clock_init(&clock);
	clock.boottime_ns -= 3000000000u;
	clock.raw_ns -= 3000000000u;
	before = lease_clock_agent_ms(&clock);
	/* both clocks jump back before their anchor */
	clock.boottime_ns += 100000000000u;
	clock.raw_ns += 100000000000u;
	now = lease_clock_agent_ms(&clock);
	assert_int_equal(now, before);
	assert_int_equal(lease_clock_leader_ms(&clock), before);
}

static void test_text(void **state)
{
	char text[32];

	(void)state;
	clock_wall_text(1795376172123u, text, sizeof text);
	assert_string_equal(text, "2026-11-22T19:36:12Z");
	clock_wall_text(0, text, sizeof text);
	assert_string_equal(text, "1970-01-01T00:00:00Z");
	assert_true(clock_wall_ms() > 1700000000000u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts_from_anchor),
		cmocka_unit_test(test_agent_takes_more_leader_less),
		cmocka_unit_test(test_old_lead_hides_no_slowness),
		cmocka_unit_test(test_never_back),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
