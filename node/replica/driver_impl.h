/* The driver's inside, shared by driver*.c. Read driver.h first.
 *
 * What waits: items (the driver's own commands: Register, CrnReport, Expire,
 * Revoke) and clients' commands. What was proposed: entries, found again by
 * their index when they are applied. All of it belongs to one term and is
 * dropped whole when leadership is lost.
 */
#ifndef NODE_REPLICA_DRIVER_IMPL_H
#define NODE_REPLICA_DRIVER_IMPL_H

#include "node/replica/driver.h"
#include "node/replica/driver_map.h"

#define DRIVER_AGENTS_MAX 65536u
#define DRIVER_RENEWALS_MAX 4096u
#define DRIVER_BEATS_MAX 16u          /* in flight */
#define DRIVER_WORK_MAX 3u            /* other entries in flight... */
#define DRIVER_WORK_SIZE_MAX (1u << 20) /* ...and their bytes */
#define DRIVER_ENTRY_SIZE_MAX (384u << 10)
#define DRIVER_ENTRY_COMMANDS_MAX 4096u
#define DRIVER_ASSIGNS_MAX 2048u      /* in an entry */
#define DRIVER_PLACE_SLICE 256u
#define DRIVER_PLACE_MS 4u            /* of one tick */
#define DRIVER_EXPIRES_MAX 256u
#define DRIVER_DRAINS_MAX 256u        /* in a second */
#define DRIVER_ITEMS_SIZE_MAX (16u << 20)
#define DRIVER_CLIENTS_SIZE_MAX (64u << 20)
#define DRIVER_HEAD_ROOM 64u          /* for the head before the commands */
#define DRIVER_RETRY_MS 10u
#define DRIVER_ROUND_MS 1000u         /* looks at waiting programs again */
#define DRIVER_BODY_SIZE_MAX (FSM_ENTRY_SIZE_MAX - DRIVER_HEAD_ROOM)

/* What this leader knows of an agent: where it answers, the heartbeat that
 * waits for the next Beat, and how its runs are. */
struct driver_item;
/* H38: an agent's clock and C, at the first and the last heartbeat of a
 * window. */
#define DRIVER_CLOCK_MS 60000u
struct driver_clocks {
	uint64_t window; /* 0: none */
	stamp_t session;
	uint64_t agent_first_ms, agent_last_ms, c_first_ms, c_last_ms;
};
enum { WISH_REGISTER = 0, WISH_REPORT, WISH_COUNT };
struct driver_agent {
	struct hash crn;
	bool has_route, pending;
	struct agent_route route;
	stamp_t session;      /* of its last heartbeat or RegisterAck */
	stamp_t sent_changed; /* of the set that it was last sent or has */
	struct command_renewal renewal; /* pending */
	stamp_t have;                   /* pending */
	/* Its Register and its Report: one of each in flight, and the newest
	 * one behind it. */
	struct driver_item *waiting[WISH_COUNT], *flying[WISH_COUNT];
	struct driver_clocks clocks;
	uint32_t first_run;
};

/* A run as its agent last told it. */
struct driver_run {
	struct hash program;
	uint32_t agent, next; /* of the agent's list; free list when unused */
	uint32_t mark;
	uint64_t gen;
	stamp_t epoch;
	enum run_status status;
	uint32_t failures;
	char *reason; /* NULL: none */
	uint32_t reason_size;
	uint64_t since_ms; /* when this leader first heard of this epoch */
	bool was_running, revoked;
	bool silent; /* its agent took it and did not speak of it since */
};

enum driver_item_kind { ITEM_REGISTER = 1, ITEM_REPORT, ITEM_EXPIRE,
			ITEM_REVOKE };
struct driver_item {
	struct driver_item *next;
	enum driver_item_kind kind;
	uint32_t agent; /* Register, Report: whose; else DRIVER_MAP_NONE */
	struct hash crn;
	uint32_t k_ms;           /* Register: told in a refusal */
	uint8_t nonce[16];       /* Register */
	struct agent_route route; /* Register */
	size_t size;
	uint8_t *data;
};

/* A tuple of a proposed Beat: what is answered when it is applied (R6). */
struct driver_ack {
	uint32_t agent;
	uint64_t gen;
	stamp_t session, have;
	uint64_t seq;
};

enum driver_entry_kind { ENTRY_LEAD = 1, ENTRY_BEAT, ENTRY_WORK };
struct driver_entry {
	struct driver_entry *next;
	enum driver_entry_kind kind;
	uint64_t index, proposed_ms;
	size_t size;
	/* Beat */
	struct driver_ack *acks;
	uint32_t ack_count;
	/* work: items, then clients, then assigns, by position */
	struct driver_item *items;
	struct driver_client *clients;
	struct hash *assigned; /* programs */
	uint32_t item_count, client_commands, assign_count, expire_count;
};

/* Singly linked queues with a tail. */
struct driver_items {
	struct driver_item *first, **last;
	size_t size;
};
struct driver_clients {
	struct driver_client *first, **last;
	size_t size;
};

struct driver_buffer {
	uint8_t *data;
	size_t size, capacity, size_max;
};

struct driver {
	struct driver_ops ops;
	bool leader;  /* the engine says so */
	bool leading; /* own Lead applied: anchor and the rest are good */
	bool lead_proposed;
	uint64_t term;
	uint64_t applied; /* index of the state that views show */

	uint64_t anchor_ms, next_beat_ms; /* R4 */
	uint64_t next_round_ms, retry_ms;
	uint64_t round_start_ms, round_after_ms; /* a fruitless one rests */
	uint32_t round_count;                    /* placed in this round */
	uint32_t beat_start;
	uint64_t clock_window, clock_from_ms; /* H38; 0: none yet */
	bool looked; /* pushes and expiry follow the last applied entry */
	bool placing; /* a round is under way or due */
	stamp_t programs_changed, crns_changed; /* when looked at last */
	uint32_t place_cursor;
	struct place_overlay *overlay;

	struct driver_agent *agents; /* by first contact */
	uint32_t agent_count, agent_capacity;
	struct driver_map agent_map;
	struct driver_run *runs;
	uint32_t run_count, run_capacity, run_free, run_mark;
	struct driver_map run_map;

	struct driver_items expiries, items; /* these go first */
	struct driver_clients clients;
	struct driver_entry *entries; /* in flight, oldest first */
	uint32_t work_count, beat_count, expires;
	size_t work_size;

	/* Scratch, allocated once. */
	struct driver_buffer body;
	struct command_renewal *renewals;
	struct agent_run *heard;
	struct desired_row *desired;
	struct hash *kept;
	uint8_t *frame;
	struct command_assign *assigns;

	struct driver_status counts;
};

void *driver__alloc(size_t size); /* zeroed; panics when out of memory */

/* driver.c */
bool driver__propose(struct driver *d, struct driver_entry *entry, bool urgent,
		     uint32_t count);
bool driver__encode(struct driver *d, const struct command *command);
void driver__body_reset(struct driver *d);
const struct fsm_result *driver__result(const struct fsm_result *results,
					uint32_t count, uint32_t position);

/* driver_items.c */
/* Makes an item of a command; NULL when too much waits already. */
struct driver_item *driver__item_add(struct driver *d,
				     enum driver_item_kind kind,
				     const struct command *command);
/* The same for a Register or Report of an agent: it takes the place of one
 * that waits; the one in flight, if it is the very same, is given instead. */
struct driver_item *driver__item_newest(struct driver *d,
					enum driver_item_kind kind,
					uint32_t agent,
					const struct command *command);
/* May it be proposed now, or is one before it in flight? */
bool driver__item_may_go(const struct driver *d, const struct driver_item *item);
void driver__item_goes(struct driver *d, struct driver_item *item);
void driver__item_lands(struct driver *d, const struct driver_item *item);
/* Items that were not proposed after all, back where they were. */
void driver__items_back(struct driver *d, struct driver_item *items);
void driver__items_free(struct driver_item *items);

/* driver_agent.c */
struct driver_agent *driver__agent_find(struct driver *d,
					const struct hash *crn);
void driver__registered(struct driver *d, const struct fsm_view *view,
			const struct driver_item *item,
			const struct fsm_result *result);

/* driver_beat.c */
void driver__beat(struct driver *d, const struct fsm_view *view,
		  uint64_t now_ms);
void driver__beat_applied(struct driver *d, const struct fsm_view *view,
			  const struct driver_entry *entry);
void driver__push(struct driver *d, const struct fsm_view *view);

/* driver_work.c */
void driver__work(struct driver *d, const struct fsm_view *view,
		  uint64_t now_ms);
void driver__work_applied(struct driver *d, const struct fsm_view *view,
			  struct driver_entry *entry,
			  const struct fsm_result *results, uint32_t count);
void driver__expire(struct driver *d, const struct fsm_view *view);
void driver__drain(struct driver *d, const struct fsm_view *view);
void driver__clients_end(struct driver_client *clients, int code);

/* driver_clock.c */
void driver__clock_heard(struct driver *d, const struct fsm_view *view,
			 struct driver_agent *a,
			 const struct agent_heartbeat *m);
void driver__clock_look(struct driver *d, const struct fsm_status *status);

/* driver_runs.c */
void driver__runs_heard(struct driver *d, const struct fsm_view *view,
			uint32_t agent, const struct agent_heartbeat *m);
void driver__runs_forget(struct driver *d);

#endif
