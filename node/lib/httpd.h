/* An HTTP/1.1 server on libwebsockets over a libuv loop: whole bounded
 * requests in, whole or streamed answers out. All calls on the loop's thread.
 */
#ifndef NODE_LIB_HTTPD_H
#define NODE_LIB_HTTPD_H

#include "node/lib/stream.h"

struct httpd;
struct httpd_request;

/* What the listener proves about who asks. */
enum httpd_authority {
	HTTPD_PLAIN = 0, /* anybody: reads only */
	HTTPD_LOCAL,     /* Unix socket, peer credentials: root or our own uid */
	HTTPD_OPERATOR,  /* TLS with an operator's certificate */
	HTTPD_REPLICA,   /* TLS with a replica's certificate */
};

struct httpd_listen {
	enum { HTTPD_TCP = 1, HTTPD_UNIX, HTTPD_TLS } kind;
	const char *host;      /* TCP, TLS: address to bind */
	uint16_t port;
	const char *path;      /* UNIX: mode 0600, an old one is replaced */
	const char *pki;       /* TLS: directory with ca, cert, key */
};

struct httpd_options {
	size_t body_size_max;     /* above: 413 */
	uint32_t timeout_ms;      /* slow headers and bodies are cut */
	uint32_t connections_max;
	const char *server;       /* Server: header */
	bool close_each;          /* one request a connection */
	/* Bytes of bodies and of answers that wait, all connections together;
	 * what comes on top, unless small, is answered 503. 0: no limit. */
	size_t held_max;
};

/* One request, whole. It lives until httpd_respond (or _end) was called, also
 * when the client has gone; texts are borrowed from it. Call one of them
 * exactly once, now or later. */
typedef void (*httpd_handler)(void *ctx, struct httpd_request *request);

/* Opens all listeners or none; hosts are numeric. Errors: EXISTS when an
 * address is in use, with the address; IO, INVALID, TOOBIG, NOMEM. Also after
 * an error the loop must turn a few times for the handles to close. Bodies
 * need Content-Length (chunked requests: 411); upgrades are hung up on. */
MUST_CHECK int httpd_open(struct httpd **out, uv_loop_t *loop,
			  const struct httpd_listen *listens, uint32_t count,
			  const struct httpd_options *options,
			  httpd_handler handler, void *ctx,
			  struct fault *fault);
void httpd_close(struct httpd *httpd, void (*closed)(void *ctx), void *ctx);

const char *httpd_method(const struct httpd_request *request); /* "GET" */
/* Decoded once; "//", "." and ".." are resolved. */
const char *httpd_path(const struct httpd_request *request);
/* Encoded again from that ("%2F" has become '/'); the query likewise, no '?'. */
const char *httpd_raw_path(const struct httpd_request *request);
const char *httpd_query(const struct httpd_request *request);
/* Decoded value of one query parameter, or NULL. Borrowed. */
const char *httpd_param(const struct httpd_request *request, const char *name);
const char *httpd_header(const struct httpd_request *request,
			 const char *lower_case_name); /* or NULL */
const void *httpd_body(const struct httpd_request *request, size_t *size);
enum httpd_authority httpd_authority(const struct httpd_request *request);
const char *httpd_who(const struct httpd_request *request); /* for the audit */
/* Request headers, names in lower case, for proxying; false at the end.
 * libwebsockets 4.1 cannot list headers that it does not know: there a list of
 * well-known ones is asked for, and httpd_header finds any by its name. */
bool httpd_header_at(const struct httpd_request *request, uint32_t index,
		     const char **name, const char **value);
void httpd_set_data(struct httpd_request *request, void *data);
void *httpd_data(const struct httpd_request *request);

struct httpd_header {
	const char *name, *value;
};
void httpd_respond(struct httpd_request *request, int status,
		   const struct httpd_header *headers, uint32_t header_count,
		   const char *content_type, const void *body, size_t size);
/* {"error":CODE,"message":TEXT} with the status. */
void httpd_respond_error(struct httpd_request *request, int status,
			 const char *code, const char *format, ...)
	PRINTF_LIKE(4, 5);
/* Streamed answers: begin, any number of chunks, end. `gone` (may be NULL) is
 * called once if the client goes before the end; end must be called all the
 * same. chunk returns false when the client is gone or too slow. */
void httpd_respond_begin(struct httpd_request *request, int status,
			 const struct httpd_header *headers,
			 uint32_t header_count, const char *content_type,
			 void (*gone)(struct httpd_request *request));
bool httpd_respond_chunk(struct httpd_request *request, const void *data,
			 size_t size);
void httpd_respond_end(struct httpd_request *request);

#endif
