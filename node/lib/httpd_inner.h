/* Shared by httpd*.c alone.
 *
 * We accept connections ourselves (addresses in use are then errors, peer
 * credentials are looked at first, and what a listener proves is tied to the
 * connection and to nothing that a client can say) and give them to
 * libwebsockets, which does TLS, parsing, keep-alive and timeouts.
 */
#ifndef NODE_LIB_HTTPD_INNER_H
#define NODE_LIB_HTTPD_INNER_H

#include <libwebsockets.h>

#include "node/lib/httpd.h"

#define HTTPD_LISTENS_MAX 8
#define HTTPD_HEADERS_SIZE_MAX 8192
#define HTTPD_HEADERS_MAX 96
#define HTTPD_PIECE_SIZE_MAX (64u << 10) /* written at once */
#define HTTPD_STREAM_QUEUE_MAX (8u << 20)
#define HTTPD_SMALL_SIZE_MAX (64u << 10)
#define HTTPD_TICK_MS 200
#define HTTPD_KEEPALIVE_MS 60000

struct httpd_conn {
	struct httpd *httpd;
	struct httpd_conn *next, *prev;
	struct lws *wsi;
	struct httpd_request *request; /* the one in hand, or NULL */
	enum httpd_authority authority;
	int kind; /* of the listener */
	char who[96], address[64];
	uint32_t requests;    /* so far */
	uint64_t deadline_ms; /* 0: none; then it is cut */
};

/* Bytes to write. */
struct httpd_piece {
	struct httpd_piece *next;
	size_t start, size;
	char data[];
};

struct httpd_request {
	struct httpd *httpd;
	struct httpd_conn *conn; /* NULL: the client has gone */
	char method[8], who[96];
	enum httpd_authority authority;
	char *path, *raw_path, *query;
	/* Names and values, NUL-terminated, in one buffer each. */
	struct httpd_header headers[HTTPD_HEADERS_MAX];
	uint32_t header_count;
	struct httpd_param *params;
	char *body;
	size_t body_size, body_capacity, body_length; /* length: announced */
	uint64_t body_since_ms;
	uint32_t body_ends; /* how often lws said so */
	bool whole;     /* given to the handler */
	bool http11, head, chunked;
	bool close;     /* the connection ends with the answer */
	bool begun, ended, broken;
	struct httpd_piece *first, *last;
	size_t queued;
	size_t held; /* of its body, as counted in httpd->held */
	void (*gone)(struct httpd_request *request);
	void *data;
};

struct httpd_param {
	struct httpd_param *next;
	char *name, *value;
};

struct httpd_listener {
	struct httpd *httpd;
	uv_poll_t *poll; /* NULL: not open */
	int fd, kind;
	struct lws_vhost *vhost;
	char path[128]; /* UNIX */
};

struct httpd {
	uv_loop_t *loop;
	struct lws_context *context;
	struct httpd_options options;
	char server[64];
	struct httpd_listener listeners[HTTPD_LISTENS_MAX];
	uint32_t listener_count;
	struct lws_vhost *plain, *tls;
	struct stream_tls *pki; /* TLS */
	struct identity self;   /* our own */
	httpd_handler handler;
	void *ctx;
	uv_timer_t *tick;
	struct httpd_conn *conns;
	uint32_t conn_count;
	size_t held; /* bodies and queued answers, bytes */
	uint32_t closing_turns;
	bool created; /* libwebsockets made something of what it was given */
	bool closing;
	void (*closed)(void *ctx);
	void *closed_ctx;
};

/* httpd.c: the connection is no more. */
void httpd__forget(struct httpd_conn *conn);

/* httpd_listen.c. Binds and listens, without accepting yet. */
MUST_CHECK int httpd__bind(struct httpd_listener *listener,
			   const struct httpd_listen *listen,
			   struct fault *fault);
/* Accepts one; fills authority, who and address of the connection. Returns
 * the descriptor, or -1 if there is none or it is refused. */
int httpd__accept(struct httpd_listener *listener, struct httpd_conn *conn);

/* httpd_lws.c: the callback of libwebsockets. */
int httpd__callback(struct lws *wsi, enum lws_callback_reasons reason,
		    void *user, void *in, size_t size);
/* The connection is cut, soon, from any place. */
void httpd__cut(struct httpd_conn *conn);

/* httpd_request.c */
struct httpd_request *httpd__request_make(struct httpd_conn *conn);
void httpd__request_free(struct httpd_request *request);
/* Copies what libwebsockets parsed. False: answer 400. */
bool httpd__request_read(struct httpd_request *request, struct lws *wsi);

/* Is there room for so many bytes more? What is small always passes: the
 * number of connections bounds it. */
static inline bool httpd__has_room(const struct httpd *httpd, size_t size)
{
	size_t max = httpd->options.held_max;

	return max == 0 || size <= HTTPD_SMALL_SIZE_MAX ||
	       (httpd->held <= max && size <= max - httpd->held);
}

/* httpd_respond.c */
/* Writes a piece of what is queued. -1: close, 1: the answer is complete. */
int httpd__write_some(struct httpd_request *request, struct lws *wsi);
/* The client went. May free the request. */
void httpd__client_gone(struct httpd_request *request);

#endif
