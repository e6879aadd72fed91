/* Keeps a raft link to each replica with a larger id than ours (the smaller
 * dials, the larger accepts): connects on the edge loop, proves the identity,
 * hands the stream to the core, and again when the link is gone, with a
 * jittered pause. */
#ifndef NODE_REPLICA_PEER_DIAL_H
#define NODE_REPLICA_PEER_DIAL_H

#include "node/replica/core.h"

struct peer_dialer;

/* Borrows tls, core and peers until closed. Errors: NOMEM, IO. */
MUST_CHECK int peer_dialer_open(struct peer_dialer **out, uv_loop_t *loop,
				struct stream_tls *tls, struct core *core,
				uint64_t self, const struct core_peer *peers,
				uint32_t count);
void peer_dialer_close(struct peer_dialer *dialer, void (*closed)(void *ctx),
		       void *ctx);

#endif
