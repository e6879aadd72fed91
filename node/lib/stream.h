/* Authenticated streams: TCP, TLS 1.3, mutual certificates of the cluster's
 * own CA, ALPN names the protocol, frames inside. On a libuv loop.
 *
 * The peer's identity is the URI in its certificate:
 * berth://CLUSTER/replica/ID, berth://CLUSTER/crn/HASH,
 * berth://CLUSTER/operator/NAME. One loop per stream; a stream can be handed
 * to another loop. Nothing here decides anything.
 */
#ifndef NODE_LIB_STREAM_H
#define NODE_LIB_STREAM_H

#include <uv.h>

#include "raft/fault.h"

#define ALPN_RAFT "berth-raft/1"
#define ALPN_PEER "berth-peer/1"
#define ALPN_AGENT "berth-agent/1"

enum identity_role { IDENTITY_REPLICA = 1, IDENTITY_CRN, IDENTITY_OPERATOR };

struct identity {
	char cluster[64];
	enum identity_role role;
	char name[72]; /* replica id in decimal, CRN hash in hex, or a name */
};
/* Errors: MALFORMED. */
MUST_CHECK int identity_parse(const char *uri, struct identity *out);
void identity_text(const struct identity *identity, char *text, size_t size);

/* Certificates of one process. Directory holds ca.pem, cert.pem, key.pem. */
struct stream_tls;
MUST_CHECK int stream_tls_open(struct stream_tls **out, const char *directory,
			       struct fault *fault);
void stream_tls_close(struct stream_tls *tls);
const struct identity *stream_tls_self(const struct stream_tls *tls);

struct stream;
struct stream_part {
	const void *data;
	size_t size;
};
struct stream_events {
	/* The handshake is done; identity and ALPN are proven. */
	void (*open)(void *ctx, struct stream *stream);
	/* One frame; borrowed. */
	void (*frame)(void *ctx, struct stream *stream, uint8_t type,
		      const uint8_t *payload, size_t size);
	/* Ended, also when it never opened; the stream is freed after this
	 * returns. `fault` says why; code CLOSED is an orderly end. */
	void (*closed)(void *ctx, struct stream *stream,
		       const struct fault *fault);
};

struct stream_options {
	size_t frame_size_max, queue_size_max;
	uint32_t handshake_ms; /* 0: 5000 */
	uint32_t idle_ms;      /* closed after silence; 0: never */
};

/* Connects; a failure comes as `closed`, never inside this call. `open` comes
 * when the acceptor has proven itself and has taken our certificate. `expected`
 * (may be NULL) is compared with the certificate's: role and name. Names are
 * resolved in the pool, IPv4 first. Errors: NOMEM, INVALID (alpn). */
MUST_CHECK int stream_connect(struct stream **out, uv_loop_t *loop,
			      struct stream_tls *tls, const char *host,
			      uint16_t port, const char *alpn,
			      const struct identity *expected,
			      const struct stream_options *options,
			      const struct stream_events *events, void *ctx);

/* Listens on "host:port" for any of the protocols. accept is called after the
 * handshake, and sets events and ctx by stream_take, or closes it. Handshakes
 * are bounded in number and time; what fails is logged with the peer's
 * address and harms nobody. */
struct stream_listener;
MUST_CHECK int stream_listen(struct stream_listener **out, uv_loop_t *loop,
			     struct stream_tls *tls, const char *host,
			     uint16_t port, const char *const *alpns,
			     const struct stream_options *options,
			     void (*accept)(void *ctx, struct stream *stream),
			     void *ctx, struct fault *fault);
/* The port, also when it was asked for as 0. */
uint16_t stream_listener_port(const struct stream_listener *listener);
void stream_listener_close(struct stream_listener *listener);

void stream_take(struct stream *stream, const struct stream_events *events,
		 void *ctx);
const struct identity *stream_peer(const struct stream *stream);
const char *stream_alpn(const struct stream *stream);
const char *stream_address(const struct stream *stream); /* "10.0.0.7:4711" */

/* Queues a frame, copied; it leaves in the loop's next iteration, or when the
 * stream opens. Errors: TOOBIG (payload above frame_size_max), BUSY (queue
 * full: nothing was queued; an empty queue takes any one frame), CLOSED. */
MUST_CHECK int stream_send(struct stream *stream, uint8_t type,
			   const struct stream_part *parts, uint32_t count);
size_t stream_queued(const struct stream *stream);
/* From now on an empty frame of that type leaves every so often, and the stream
 * ends (TIMEOUT) when nothing came in between four of them and the next. For
 * who does the same on the other side: a connection whose packets were lost
 * for a while is otherwise silent for as long again, since TCP doubles its
 * pauses. In place of idle_ms; harmless unless open. */
void stream_keep(struct stream *stream, uint8_t type, uint32_t every_ms);
/* Ends it: no more frames are given; what is queued is still sent, for at most
 * a second; then `closed`. Harmless when it is closed already. */
void stream_close(struct stream *stream, const char *why);

/* Hands a stream to another loop: detach on the old one (no callback follows
 * there, and the stream is gone, payloads too), attach on the new one, from
 * that loop's thread. Bytes that were read and not yet given are given by the
 * new one, after attach returned; what was queued is sent there. detach:
 * CLOSED unless open, IO, NOMEM: nothing has changed. attach: the parcel is
 * used up, also when it fails (NOMEM, IO). */
struct stream_parcel;
MUST_CHECK int stream_detach(struct stream *stream,
			     struct stream_parcel **parcel);
MUST_CHECK int stream_attach(struct stream **out, uv_loop_t *loop,
			     struct stream_parcel *parcel,
			     const struct stream_events *events, void *ctx);
void stream_parcel_free(struct stream_parcel *parcel); /* unattached: closes */

#endif
