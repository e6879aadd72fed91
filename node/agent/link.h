/* The agent's one link to the cluster: a TLS stream to any of the replicas that
 * the last one told of; when none of those answers, and at first, to one of the
 * configured list. It reconnects and rotates with jitter; sessions live across
 * links (lease.md 2.6, Relay). */
#ifndef NODE_AGENT_LINK_H
#define NODE_AGENT_LINK_H

#include "node/lib/agent_wire.h"
#include "node/lib/stream.h"

#define LINK_ADDRESSES_MAX 16u

struct link;

struct link_events {
	void (*up)(void *ctx);
	void (*down)(void *ctx);
	void (*frame)(void *ctx, uint8_t type, const uint8_t *payload,
		      size_t size);
};

/* `addresses`: NULL-ended "host:port", at least one; copied. Errors: INVALID
 * (an address), NOMEM, IO. */
MUST_CHECK int link_open(struct link **out, uv_loop_t *loop,
			 struct stream_tls *tls,
			 const char *const *addresses,
			 const struct link_events *events, void *ctx,
			 struct fault *fault);
void link_close(struct link *link);
bool link_up(const struct link *link);
/* When the link opened, in monotonic ms. */
uint64_t link_since_ms(const struct link *link);
/* Errors: CLOSED (no link at the moment), TOOBIG, BUSY. */
MUST_CHECK int link_send(struct link *link, uint8_t type, const void *payload,
			 size_t size);
/* Tries the next replica. What is there is kept: it may be well and only wait
 * for a leader, and the next one worse. Both are used until one answers. */
void link_rotate(struct link *link);
/* The link that is there works: no other is needed. */
void link_settle(struct link *link);
/* How long a replica may take to greet us before the next one is tried: a
 * stopped one accepts connections and says nothing. */
void link_patience(struct link *link, uint64_t handshake_ms);
/* Takes the cluster's members of now in the place of those told before. */
void link_learn(struct link *link, const struct agent_replicas *replicas);

/* Splits "host:port" or "[v6]:port". Errors: INVALID. */
MUST_CHECK int link_address(const char *text, char *host, size_t host_size,
			    uint16_t *port);

#endif
