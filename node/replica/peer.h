/* Raft's links to the other replicas, on the consensus loop: established
 * streams come in, frames go to the engine and back. The last link of a peer
 * counts; an older one is closed. Dialling is peer_dial.h's. */
#ifndef NODE_REPLICA_PEER_H
#define NODE_REPLICA_PEER_H

#include <stdatomic.h>

#include "node/lib/stream.h"
#include "raft/replica.h"

#define PEER_SLOTS_MAX 32u
#define PEER_FRAME_TYPE 1u
#define PEER_KEEP_TYPE 2u /* says nothing; its absence says something */
#define PEER_STATE_TYPE 3u /* the hash of a state: index, hash, version */
/* A link that is silent for four to five of these is dialled anew: after a
 * split it is back in about two seconds, however long the split was. */
#define PEER_KEEP_MS 500u
#define PEER_QUEUE_SIZE_MAX (64u << 20)

struct peer_link;

struct peers {
	uv_loop_t *loop;
	struct replica **replica; /* NULL inside while there is none */
	/* A hash of a peer's state; false: malformed. */
	bool (*state)(void *ctx, uint64_t id, const uint8_t *data, size_t size);
	void *state_ctx;
	bool closing;
	/* Slots are added on the edge loop and never removed. */
	_Atomic uint32_t count;
	struct {
		_Atomic uint64_t id;
		_Atomic uint32_t links; /* and those on their way */
		struct peer_link *current; /* consensus loop only */
	} slots[PEER_SLOTS_MAX];
};

/* Edge loop: one more link of `id` is on its way. False: too many ids. */
bool peers_expect(struct peers *peers, uint64_t id, uint32_t *slot);
/* Edge loop: it does not come after all. */
void peers_forget(struct peers *peers, uint32_t slot);
/* Any thread. */
bool peers_linked(struct peers *peers, uint64_t id);

/* Consensus loop from here. Takes the parcel. */
void peers_attach(struct peers *peers, uint32_t slot,
		  struct stream_parcel *parcel);
bool peers_send(struct peers *peers, uint64_t id,
		const struct replica_part *parts, uint32_t count);
/* One PEER_STATE_TYPE frame; lost if there is no link. */
void peers_state(struct peers *peers, uint64_t id, const void *data,
		 size_t size);
size_t peers_queued(struct peers *peers, uint64_t id);
void peers_drop(struct peers *peers, uint64_t id, const char *why);
/* Closes all; links that come later are closed at once. */
void peers_close(struct peers *peers);

#endif
