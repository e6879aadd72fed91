/* The edge of a replica: everything that touches the world on the main
 * thread's loop. Agents' links, peer links (relay, forwarded requests, read
 * index), the HTTP API, events on disk, the content store and CCN intake.
 *
 * Nothing here decides: bytes become requests to the core, and what the core
 * says becomes bytes. Order of use:
 *
 *	stream_tls_open, edge_open        (listens: errors name the address)
 *	edge_core_events, core_open       (the core calls back on our loop)
 *	edge_set_core                     (from here requests are answered)
 *	...
 *	edge_close, then in its callback core_close, stream_tls_close
 *
 * Raft's own streams: those that come in are handed to the core by
 * core_peer_stream; dialling them is the core's (peer.c), with the same TLS.
 */
#ifndef NODE_REPLICA_EDGE_H
#define NODE_REPLICA_EDGE_H

#include "node/replica/core.h"

struct edge;

#define EDGE_CCNS_MAX 8
#define EDGE_CRNS_MAX 1024

/* A CRN that the configuration file allows to register. */
struct edge_crn {
	struct hash hash;
	char name[64];
};

/* Borrowed until edge_close has called back. */
struct edge_config {
	const char *cluster, *directory; /* made if it is not there */
	const char *pki;                 /* of the operators' HTTPS listener */
	struct stream_tls *tls;
	uint64_t id;
	const char *listen_host; /* TLS: raft, peer and agent protocols */
	uint16_t listen_port;
	const char *http_host;   /* plain, read-only */
	uint16_t http_port;
	const char *admin_host;  /* operators' TLS; NULL: none */
	uint16_t admin_port;
	const struct core_peer *peers; /* all replicas, ourselves included */
	uint32_t peer_count;
	const char *const *ccns;       /* NULL-ended, at most EDGE_CCNS_MAX */
	uint32_t ccn_poll_ms;          /* 0: 2000 */
	const char *const *channels;   /* NULL-ended; empty or NULL: all */
	const struct edge_crn *crns;
	uint32_t crn_count;
};

/* Opens directories, event files and all listeners, or nothing. Errors: EXISTS
 * (an address is in use), IO, NOSPACE, CORRUPT, INVALID. */
MUST_CHECK int edge_open(struct edge **out, uv_loop_t *loop,
			 const struct edge_config *config,
			 struct fault *fault);

/* Fills the callbacks to give core_open. `fatal` is called through: the
 * process must end with the fault's line. */
void edge_core_events(struct edge *edge, struct core_events *out,
		      void (*fatal)(void *ctx, const struct fault *fault),
		      void *fatal_ctx);

/* Before this every request is answered 503. */
void edge_set_core(struct edge *edge, struct core *core);

/* Ends listeners and links, waits for what is under way in the core and the
 * pool (the core must still be open), frees, then calls back. */
void edge_close(struct edge *edge, void (*closed)(void *ctx), void *ctx);

#endif
