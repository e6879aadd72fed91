#include "node/lib/clock.h"

#include <stdio.h>
#include <time.h>

#define NS_PER_MS 1000000u

static uint64_t clock_ns(clockid_t id)
{
	struct timespec now;

	REQUIRE(clock_gettime(id, &now) == 0);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_boottime_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

uint64_t clock_monotonic_ms(void)
{
	return clock_ns(CLOCK_MONOTONIC) / NS_PER_MS;
}

uint64_t clock_wall_ms(void)
{
	return clock_ns(CLOCK_REALTIME) / NS_PER_MS;
}

void lease_clock_init(struct lease_clock *clock)
{
	clock->boottime_ns = clock_ns(CLOCK_BOOTTIME);
	clock->raw_ns = clock_ns(CLOCK_MONOTONIC_RAW);
	clock->last_ms = 0;
}

/* Neither clock should ever go back; one that does counts as standing still,
 * which the other side of max and min makes up for. */
static uint64_t elapsed_ms(uint64_t now_ns, uint64_t anchor_ns)
{
	return now_ns > anchor_ns ? (now_ns - anchor_ns) / NS_PER_MS : 0;
}

static uint64_t forward(struct lease_clock *clock, uint64_t ms)
{
	if (ms > clock->last_ms)
		clock->last_ms = ms;
	return clock->last_ms;
}

uint64_t lease_clock_agent_ms(struct lease_clock *clock)
{
	uint64_t boottime, raw;

	boottime = elapsed_ms(clock_ns(CLOCK_BOOTTIME), clock->boottime_ns);
	raw = elapsed_ms(clock_ns(CLOCK_MONOTONIC_RAW), clock->raw_ns);
	return forward(clock, boottime > raw ? boottime : raw);
}

uint64_t lease_clock_leader_ms(struct lease_clock *clock)
{
	uint64_t boottime, raw;

	boottime = elapsed_ms(clock_ns(CLOCK_BOOTTIME), clock->boottime_ns);
	raw = elapsed_ms(clock_ns(CLOCK_MONOTONIC_RAW), clock->raw_ns);
	return forward(clock, boottime < raw ? boottime : raw);
}

void clock_wall_text(uint64_t wall_ms, char *text, size_t size)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm utc;

	if (!gmtime_r(&seconds, &utc) ||
	    strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
		snprintf(text, size, "-");
}
