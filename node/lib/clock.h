/* The clocks of lease.md A2, and nothing else that tells time.
 *
 * A lease clock is counted from an anchor, over BOOTTIME and MONOTONIC_RAW: of
 * each span between two readings agents take what the faster clock counted, the
 * leader what the slower did, so that slewing and suspends only ever make both
 * sides safer. */
#ifndef NODE_LIB_CLOCK_H
#define NODE_LIB_CLOCK_H

#include "fsm/base.h"

struct lease_clock {
	uint64_t boottime_ns, raw_ns; /* as last read; at first the anchor */
	uint64_t agent_ns, leader_ns; /* counted since the anchor */
};

void lease_clock_init(struct lease_clock *clock);
uint64_t lease_clock_agent_ms(struct lease_clock *clock);  /* max of spans */
uint64_t lease_clock_leader_ms(struct lease_clock *clock); /* min of spans */
uint64_t clock_monotonic_ms(void); /* for timers of loops */
uint64_t clock_boottime_ns(void);
uint64_t clock_wall_ms(void); /* Unix time, for people only */
/* "2026-11-22T19:36:12Z" into at least 25 bytes. */
void clock_wall_text(uint64_t wall_ms, char *text, size_t size);

#endif
