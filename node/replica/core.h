/* The consensus thread: replica engine, state machine and leader driver on one
 * libuv loop, and the only way in and out of it.
 *
 * The edge (HTTP, agents' links, intake) runs on another loop. It posts calls;
 * each runs on the consensus loop and comes back. Nothing that is given to run
 * may block or take more than a few milliseconds (law 3).
 */
#ifndef NODE_REPLICA_CORE_H
#define NODE_REPLICA_CORE_H

#include <uv.h>

#include "node/lib/stream.h"
#include "node/replica/driver.h"
#include "raft/replica.h"

struct core;
struct trail;

#define CORE_PEERS_MAX 9
struct core_peer {
	uint64_t id;
	char host[64];
	uint16_t raft_port; /* its TLS listener: raft, peer and agent protocols */
	uint16_t http_port; /* its plain HTTP, told to clients */
	bool joins;         /* not one of those that founded the cluster */
};

struct core_config {
	const char *directory;
	struct replica_config replica;
	struct fsm_config initial; /* bootstrap's Config entry */
	struct replica_member members[REPLICA_MEMBERS_MAX];
	uint32_t member_count;
	/* If the directory is empty: make it one of a founding member, or of
	 * one that joins and waits to be added. Neither: refused (R18). */
	bool bootstrap, join;
	/* The audit trail goes to "audit" in this directory; of about so many
	 * bytes, 0: none is kept. */
	const char *trail_directory;
	uint64_t trail_size;
	uint32_t audit_entries; /* between two hashes; 0: as all others do */
};

/* Called on the edge loop. */
#define CORE_EFFECT_GAP ((enum fsm_effect_type)0)

struct core_events {
	void *ctx;
	/* Bytes for an agent: route.replica is us, or a peer to relay to. */
	void (*agent_send)(void *ctx, const struct agent_route *route,
			   uint8_t type, const void *payload, size_t size);
	/* Effects of applied entries, in order; texts are good until return.
	 * One of type CORE_EFFECT_GAP: a snapshot took the place of entries
	 * up to its stamp, whose effects are not known here. */
	void (*effects)(void *ctx, const struct fsm_effect *effects,
			uint32_t count);
	/* Leader (0: none) and term changed. */
	void (*leader)(void *ctx, uint64_t leader, uint64_t term);
	/* Who is in the cluster changed. */
	void (*members)(void *ctx, const uint64_t *ids, uint32_t count);
	/* Collections changed: wake blocking queries. */
	void (*changed)(void *ctx, stamp_t programs, stamp_t crns,
			uint64_t index);
	/* The engine stopped; the process must end with this line. */
	void (*fatal)(void *ctx, const struct fault *fault);
};

/* Starts the thread. Errors as replica_open's. */
MUST_CHECK int core_open(struct core **out, const struct core_config *config,
			 uv_loop_t *edge, const struct core_events *events,
			 struct fault *fault);
/* Stops it and joins; posted calls come back first. From here no event is told
 * any more: who listens may be gone (a leader still hands over, and applies). */
void core_close(struct core *core, void (*closed)(void *ctx), void *ctx);

/* A call: `run` on the consensus loop, then `done` on the edge loop. If run
 * sets `pending`, done waits until core_call_finish. Bounded: BUSY. */
struct core_call {
	struct core_call *next;
	void (*run)(struct core *core, struct core_call *call);
	void (*done)(struct core_call *call);
	bool pending;
	int code; /* for run and done to agree on */
};
MUST_CHECK int core_post(struct core *core, struct core_call *call);
void core_call_finish(struct core *core, struct core_call *call);

/* Inside run only: */
const struct fsm_view *core_view(struct core *core);
/* A frozen view for long reads on any thread; NULL: not now (two are open).
 * Survives a restore, unlike one opened on core_fsm directly. */
struct fsm_view *core_view_open(struct core *core);
void core_view_close(struct core *core, struct fsm_view *view);
struct fsm *core_fsm(struct core *core); /* rather use core_view_open */
struct replica *core_replica(struct core *core);
struct driver *core_driver(struct core *core);
/* Hashes of the state that were compared with the other replicas' (I8). Any
 * thread. */
struct core_audit {
	uint64_t taken, skipped, mismatches;
};
void core_audit_counts(struct core *core, struct core_audit *out);
uint64_t core_applied(struct core *core);
uint64_t core_applied_age_ms(struct core *core); /* since the last apply */

/* From the edge: a frame of an agent, ours or relayed. Copied; dropped with a
 * count when the queue is full (heartbeats repeat). */
void core_agent_frame(struct core *core, const struct agent_route *route,
		      const struct hash *crn, uint8_t type,
		      const void *payload, size_t size);
/* From the edge: an established raft stream of peer `id`, handed over. */
void core_peer_stream(struct core *core, uint64_t id,
		      struct stream_parcel *parcel);
/* Any thread: the audit trail, or NULL. It lives as long as the core. */
struct trail *core_trail(struct core *core);
/* Any thread: is there a raft link of that peer (or one on its way)? */
bool core_peer_linked(struct core *core, uint64_t id);

#endif
