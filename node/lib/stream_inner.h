/* Shared by stream*.c, and by httpd and pki for certificates; nobody else's.
 *
 * A session is the half of a stream that can move between loops (TLS state,
 * queues, identity); `struct stream` adds the handles of one loop.
 */
#ifndef NODE_LIB_STREAM_INNER_H
#define NODE_LIB_STREAM_INNER_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "node/lib/frame.h"
#include "node/lib/stream.h"

#define STREAM_PUMP_SIZE_MAX (256u << 10) /* per stream and iteration */
#define STREAM_RECORD_SIZE_MAX (16u << 10)
#define STREAM_ALPN_SIZE_MAX 128
#define STREAM_ADDRESS_SIZE 64
#define STREAM_LINGER_MS 1000
#define STREAM_KEEP_ROUNDS 4u

/* The first frame of whoever accepts, before anything of the user: only then
 * does the other side know that its certificate was taken (in TLS 1.3 the
 * client's handshake ends before the server has looked at it). */
#define STREAM_WELCOME 0

struct stream_tls {
	SSL_CTX *context;
	struct identity self;
	_Atomic uint32_t references;
};
struct stream_tls *stream__tls_ref(struct stream_tls *tls);

/* The URI of a certificate. Errors: MALFORMED (none, several, not ours). */
MUST_CHECK int stream__identity_of(X509 *certificate, struct identity *out);
/* The last OpenSSL error as a phrase; clears the queue. */
const char *stream__ssl_reason(void);
/* "a","b" to the wire's form; 0 if it does not fit. */
size_t stream__alpn_wire(const char *const *alpns,
			 uint8_t wire[STREAM_ALPN_SIZE_MAX]);

struct stream_chunk {
	struct stream_chunk *next;
	size_t start, size, capacity;
	uint8_t data[];
};

struct stream_session {
	struct stream_tls *tls; /* a reference */
	SSL *ssl;
	BIO *in, *out; /* the SSL's */
	struct frame_reader reader;
	struct stream_chunk *first, *last; /* plain frames to send */
	size_t queued;
	uint8_t *tail; /* encrypted and unsent, between two loops */
	size_t tail_size;
	struct stream_options options;
	struct identity peer, expected;
	bool has_peer, has_expected;
	char alpn[32], address[STREAM_ADDRESS_SIZE];
	uint8_t offer[STREAM_ALPN_SIZE_MAX]; /* what we speak */
	size_t offer_size;
	struct fault refusal; /* why the peer's certificate was refused */
};
/* Takes a reference of tls. Returns NULL without memory. */
struct stream_session *
stream__session_make(struct stream_tls *tls, const uint8_t *offer,
		     size_t offer_size, const struct stream_options *options,
		     bool server);
void stream__session_free(struct stream_session *session);
/* Queues without any check of limits. Errors: NOMEM. */
MUST_CHECK int stream__queue(struct stream_session *session, uint8_t type,
			     const struct stream_part *parts, uint32_t count,
			     size_t size);
/* Moves up to size_max queued bytes into `data`; returns how many. */
size_t stream__dequeue(struct stream_session *session, uint8_t *data,
		       size_t size_max);

enum stream_state {
	STREAM_CONNECTING = 1, /* and resolving */
	STREAM_HANDSHAKE,
	STREAM_WELCOMED, /* client: waits for the welcome */
	STREAM_OPEN,
	STREAM_LINGER,  /* closed by us: the queue drains, nothing is given */
	STREAM_DETACHED,
	STREAM_CLOSED,
};

struct stream {
	struct stream_session *session; /* NULL once detached */
	uv_loop_t *loop;
	uv_tcp_t tcp;
	uv_timer_t timer; /* handshake, silence or keeping, linger */
	uv_idle_t kick;   /* work for the next iteration */
	uint32_t pending; /* handles and requests that will come back */
	enum stream_state state;
	bool writing, paused;
	bool goodbye, shut; /* close_notify is written; half-closed */
	size_t read_run; /* bytes read in this iteration */
	uint64_t heard_ms;
	uint32_t keep_ms, unheard; /* rounds in which nothing came */
	uint8_t keep_type;
	uv_write_t write;
	uint8_t *cipher; /* in flight */
	size_t cipher_size;
	uv_connect_t connect;
	uv_shutdown_t shutdown;
	uv_getaddrinfo_t *resolve; /* while it runs */
	uint16_t port;
	struct stream_events events;
	void *ctx;
	struct fault fault;
	struct stream_listener *listener; /* until accepted */
	struct stream *next, *prev;       /* the listener's handshakes */
};

/* Handles on `loop`; takes the session (frees it on failure). */
struct stream *stream__make(uv_loop_t *loop, struct stream_session *session);
/* The socket is connected: starts reading and the handshake. */
void stream__begin(struct stream *stream);
/* Starts reading. */
void stream__read(struct stream *stream);
void stream__kick(struct stream *stream);
void stream__pump(struct stream *stream);
/* Gives what was read to TLS and on to the user. */
void stream__process(struct stream *stream);
void stream__watch(struct stream *stream, uint64_t after_ms);
/* Ends it now; the first fault stays. */
void stream__finish(struct stream *stream, int code, const char *format, ...)
	PRINTF_LIKE(3, 4);
/* Closes the handles; when they have come back, the stream is freed. */
void stream__close_handles(struct stream *stream);
/* Takes malloc'ed encrypted bytes and writes them. */
void stream__write_rest(struct stream *stream, uint8_t *cipher, size_t size);
/* A request or handle came back; the last one frees the stream. */
void stream__came_back(struct stream *stream);
/* Sets the session's address from the socket, and the socket's options. */
void stream__tune(struct stream *stream);

/* stream_listen.c: the handshake of an accepted stream ended. */
void stream__accepted(struct stream *stream);
void stream__refused(struct stream *stream);

#endif
