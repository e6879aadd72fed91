/* Links between replicas, berth-peer/1: the relay of agents' frames, forwarded
 * requests, read index and content. One stream a pair; the smaller id dials.
 *
 * Rules (lease.md 2.6, Relay): requests are forwarded, commands never; frames
 * of another term are dropped; a follower copies bytes and makes, keeps or
 * repeats none.
 */
#ifndef NODE_REPLICA_RELAY_H
#define NODE_REPLICA_RELAY_H

#include "node/replica/edge_internal.h"
#include "node/replica/relay_wire.h"

#define RELAY_BATCH_MS 5u
#define RELAY_BATCH_SIZE (64u << 10)

int relay_open(struct relay **out, struct edge *edge);
void relay_close(struct relay *relay); /* releases the edge when done */
void relay_free(struct relay *relay);  /* once nothing holds the edge */
/* A stream with ALPN_PEER that the listener took from replica `id`. */
void relay_accept(struct relay *relay, uint64_t id, struct stream *stream);
bool relay_up(const struct relay *relay, uint64_t id);

/* An agent's frame for the leader `id`, batched. False: no link, dropped. */
bool relay_agent_up(struct relay *relay, uint64_t id, uint64_t link,
		    const struct hash *crn, uint8_t type, const void *data,
		    size_t size);
/* An answer for an agent whose link replica `id` owns, batched. */
bool relay_agent_down(struct relay *relay, uint64_t id, uint64_t link,
		      uint8_t type, const void *data, size_t size);
/* Leader or term changed: what waits in batches is of an old term. */
void relay_term(struct relay *relay);

/* A request to another replica, answered once: with a frame's payload, or with
 * a code: CLOSED (never sent), UNKNOWN_OUTCOME (lost on the way), TIMEOUT. */
struct relay_ask {
	struct relay_ask *next;
	uint64_t id, peer, deadline_ms;
	enum peer_frame answer; /* the type that answers */
	bool of_leader;         /* CLOSED once another leads: nothing is lost */
	void *ctx;
	void (*done)(struct relay_ask *ask, int code, const uint8_t *payload,
		     size_t size);
};
/* Draws ask->id, which `encode` must write first (u64). */
uint64_t relay_ask_id(struct relay *relay);
void relay_ask(struct relay *relay, struct relay_ask *ask, uint64_t peer,
	       uint8_t type, const void *payload, size_t size,
	       uint32_t timeout_ms);
/* Sends an answer frame; false: the link is gone. */
bool relay_answer(struct relay *relay, uint64_t peer, uint8_t type,
		  const void *payload, size_t size);

#endif
