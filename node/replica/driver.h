/* The leader's driver, pure: what to propose and what to answer agents, from
 * the applied state, the time and what came in. Follows R3 to R8 and 2.6.
 *
 * It owns no socket, no loop and no log: `propose` and `send` are given. The
 * core (core.h) and the simulator drive the same code. All calls on one thread.
 */
#ifndef NODE_REPLICA_DRIVER_H
#define NODE_REPLICA_DRIVER_H

#include "fsm/place.h"
#include "node/lib/agent_wire.h"

struct driver;

/* Where an answer goes: the replica that owns the agent's link, and the link's
 * number there. */
struct agent_route {
	uint64_t replica, link;
};

/* H38: over some time C counted more than the median of the agents' clocks. */
struct driver_clock {
	uint64_t c_ms, agent_ms; /* of the agent in the middle */
	uint32_t ppm, limit_ppm; /* how much faster; how much is allowed */
	uint32_t agents;         /* how many could be compared */
};

struct driver_ops {
	void *ctx;
	uint64_t self; /* our replica id, told in Lead */
	/* R4's clock: min elapsed, in ms. */
	uint64_t (*clock_ms)(void *ctx);
	uint64_t (*wall_ms)(void *ctx);
	/* Hands one entry to the log at once. 0 and its index, or NOTLEADER,
	 * BUSY. `urgent` for Beats. */
	int (*propose)(void *ctx, const void *data, size_t size, bool urgent,
		       uint64_t *index);
	uint64_t (*raft_term)(void *ctx); /* compared with the anchor's (R4) */
	void (*send)(void *ctx, const struct agent_route *route, uint8_t type,
		     const void *payload, size_t size);
	/* May be NULL. At most once a minute of C. */
	void (*clock_alarm)(void *ctx, const struct driver_clock *clock);
};

MUST_CHECK int driver_open(struct driver **out, const struct driver_ops *ops);
void driver_close(struct driver *driver);

/* Every call below may make work due: call driver_tick soon after, outside of
 * the engine's callbacks. Only driver_tick proposes; the others may only send.
 *
 * Leadership as the engine tells it. Gained: Lead(term) is proposed first, by
 * the next tick, and nothing else before that is applied. Lost: forgets every
 * batch, overlay and route; answers no agent; in-flight clients get
 * UNKNOWN_OUTCOME, waiting ones NOTLEADER. */
void driver_leader(struct driver *driver, bool leader, uint64_t term);
/* After each apply at this replica, with the results and effects of the entry
 * (collected by the caller). */
void driver_applied(struct driver *driver, const struct fsm_view *view,
		    uint64_t index, const struct fsm_result *results,
		    uint32_t result_count);
/* A frame of an authenticated agent (its certificate names `crn`). Frames that
 * speak for another CRN are refused. Malformed ones are counted and dropped;
 * the return value is for the log: 0, MALFORMED, DENIED, NOTLEADER. */
int driver_agent_frame(struct driver *driver, const struct fsm_view *view,
		       const struct agent_route *route, const struct hash *crn,
		       uint8_t type, const uint8_t *payload, size_t size);
/* A client's commands (already encoded, `count` of them without the entry's
 * head). They wait for the next proposal; done(code, result) is called when
 * applied (0), refused before (NOTLEADER, BUSY) or lost (UNKNOWN_OUTCOME). */
struct driver_client {
	struct driver_client *next;
	const void *commands;
	size_t size;
	uint32_t count;
	/* Called for each result in order, then done once. */
	void (*result)(struct driver_client *client,
		       const struct fsm_result *result);
	void (*done)(struct driver_client *client, int code, uint64_t index);
	uint64_t index; /* the driver's */
	uint32_t first; /* the driver's */
};
void driver_submit(struct driver *driver, struct driver_client *client);
/* Does what is due (Beat, Expire, placement, R24's revokes, desired sets) and
 * returns the clock_ms of the next call. */
uint64_t driver_tick(struct driver *driver, const struct fsm_view *view);

struct driver_status {
	bool leading; /* own Lead applied */
	uint64_t beats, placements, expiries, dropped_frames, relayed;
	uint64_t last_beat_ms; /* from its proposal to its apply here */
	uint64_t slowest_beat_ms;
	uint64_t failed_starts; /* revokes for R24 */
	uint64_t clock_alarms;  /* H38 */
	uint64_t clock_ppm;     /* in the last minute: how much C outran */
	uint64_t in_flight;     /* entries proposed and not applied yet */
};
void driver_status(const struct driver *driver, struct driver_status *out);
/* The last status that an agent told of a program's run; false: none known
 * (only the leader knows). */
bool driver_run_status(const struct driver *driver, const struct hash *program,
		       struct agent_run *out);

#endif
