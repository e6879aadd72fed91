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
	clock->agent_ns = clock->leader_ns = 0;
}

/* What a clock counted since it was last read. Neither should ever go back;
 * one that does stands still until it has caught up. */
static uint64_t span(uint64_t *last_ns, uint64_t now_ns)
{
	uint64_t ns = now_ns > *last_ns ? now_ns - *last_ns : 0;

	*last_ns += ns;
	return ns;
}

/* Span by span, not over all of the time: a clock that is ahead since long ago
 * would hide for as long that it goes too slowly now. */
static void read_both(struct lease_clock *clock)
{
	uint64_t boottime, raw;

	boottime = span(&clock->boottime_ns, clock_ns(CLOCK_BOOTTIME));
	raw = span(&clock->raw_ns, clock_ns(CLOCK_MONOTONIC_RAW));
	clock->agent_ns += boottime > raw ? boottime : raw;
	clock->leader_ns += boottime < raw ? boottime : raw;
}

uint64_t lease_clock_agent_ms(struct lease_clock *clock)
{
	read_both(clock);
	return clock->agent_ns / NS_PER_MS;
}

uint64_t lease_clock_leader_ms(struct lease_clock *clock)
{
	read_both(clock);
	return clock->leader_ns / NS_PER_MS;
}

void clock_wall_text(uint64_t wall_ms, char *text, size_t size)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm utc;

	if (!gmtime_r(&seconds, &utc) ||
	    strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
		snprintf(text, size, "-");
}
