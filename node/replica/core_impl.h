/* The consensus thread's inside, shared by core*.c. Read core.h first.
 *
 * `in` is filled by the edge and taken on the consensus loop, `out` the other
 * way. All other members belong to the consensus thread once it runs.
 */
#ifndef NODE_REPLICA_CORE_IMPL_H
#define NODE_REPLICA_CORE_IMPL_H

#include "node/lib/clock.h"
#include "node/lib/replica_io.h"
#include "node/replica/audit.h"
#include "node/replica/core.h"
#include "node/replica/peer.h"
#include "node/replica/queue.h"
#include "node/replica/trail.h"

#define CORE_IN_COUNT_MAX 65536u
#define CORE_IN_SIZE_MAX (64u << 20)
#define CORE_OUT_COUNT_MAX 262144u
#define CORE_OUT_SIZE_MAX (128u << 20)
#define CORE_VIEWS_MAX 64u
#define CORE_SCRATCH_KEPT (64u << 10) /* items kept between entries */

/* A state machine and how many frozen views are open on it: one that was
 * replaced by a restore stays until the last is closed. */
struct core_state {
	struct fsm *fsm;
	uint32_t views;
};

/* core_audit.c: the hash that is being taken, and what was said. */
struct core_audit_work {
	struct core *core;
	struct audit said;
	uint32_t every;
	uv_work_t work;
	struct fsm_view *view; /* NULL: none is being hashed */
	uint64_t index, hash, last_ms;
	uint64_t doubt, doubt_end_ms; /* index that waits for more; 0: none */
	bool doubt_waited;
	uint64_t line_ms, line_id;
	_Atomic uint64_t taken, skipped, mismatches;
};

/* core_trail.c: entries on their way to the audit trail. */
struct trail_item;
struct core_trail {
	struct core *core;
	struct trail *trail; /* NULL: none is kept */
	struct trail_item *first, **last, *writing;
	size_t size;
	uv_work_t work;
	struct fault fault;
	int code;
	bool busy, failing, sync, sync_asked;
	bool wanted;     /* a state, by the trail */
	const char *gap; /* why entries are left out until there is one */
	uint64_t state_ms, synced_ms;
};

struct core {
	struct core_config config;
	struct core_events events;
	uv_loop_t *edge;
	uv_thread_t thread;
	uv_sem_t opened;
	int open_code;
	struct fault *open_fault;
	void (*closed)(void *ctx);
	void *closed_ctx;
	bool mute; /* edge loop: core_close was called, no event is told */
	struct queue in, out;
	struct peers peers;

	/* consensus thread */
	uv_loop_t loop;
	uv_prepare_t prepare;
	uv_timer_t timer;
	struct node_io *node_io;
	struct replica_io io; /* the node's, with our links */
	struct replica_machine machine;
	struct replica *replica;
	struct driver *driver;
	struct core_state *state;
	struct { struct fsm_view *view; struct core_state *state; }
		views[CORE_VIEWS_MAX];
	struct core_audit_work audit;
	struct core_trail trail;
	struct core_call *running; /* inside its run */
	bool finished;             /* it was finished there */
	bool handing; /* leadership is on its way to another: then we stop */
	uint64_t handing_end_ms;
	bool stopping, failed, moved; /* moved: the edge is told at the end */
	uint64_t applied, applied_ms;
	uint64_t leader, term; /* as last told */
	uint64_t member_ids[REPLICA_MEMBERS_MAX]; /* as last told */
	uint32_t member_count;
	struct lease_clock clock;
	uint64_t lease_ms; /* as the clock was last read */
	/* of the entry that is being applied */
	struct fsm_result *results;
	uint32_t result_count, result_capacity;
	struct fsm_effect *effects;
	uint32_t effect_count, effect_capacity;
	char *texts;
	size_t text_size, text_capacity;
	uint32_t *text_offsets; /* by effect */
};

/* core_machine.c: what the engine is given. */
void core__machine(struct core *core, struct replica_machine *out);
void core__scratch_free(struct core *core);
struct core_state *core__state_open(struct fsm *fsm);
void core__state_release(struct core *core, struct core_state *state);
/* core_post.c: what crosses to the edge. */
void core__tell_effects(struct core *core);
void core__tell_leader(struct core *core, uint64_t leader, uint64_t term);
void core__tell_members(struct core *core);
void core__tell_changed(struct core *core);
void core__tell_fatal(struct core *core, const struct fault *fault);
void core__tell_stopped(struct core *core);
void core__agent_send(void *ctx, const struct agent_route *route, uint8_t type,
		      const void *payload, size_t size);
void core__ask_stop(struct core *core);
/* core_audit.c */
MUST_CHECK int core__audit_open(struct core *core, struct fault *fault);
void core__audit_applied(struct core *core, uint64_t index);
void core__audit_tick(struct core *core);
bool core__audit_heard(void *ctx, uint64_t id, const uint8_t *data,
		       size_t size);
/* core_trail.c */
MUST_CHECK int core__trail_open(struct core *core, struct fault *fault);
void core__trail_close(struct core *core);
void core__trail_applied(struct core *core, uint64_t index, uint64_t term,
			 const void *data, size_t size);
void core__trail_restored(struct core *core, uint64_t index);
void core__trail_sync(struct core *core);
/* core.c */
void core__stop(struct core *core);
void core__stopped(struct core *core); /* on the edge loop */

#endif
