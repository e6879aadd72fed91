/* HTTP requests by libcurl: many at once on a libuv loop, or one that blocks
 * (the command line). */
#ifndef NODE_LIB_HTTP_CLIENT_H
#define NODE_LIB_HTTP_CLIENT_H

#include <uv.h>

#include "raft/fault.h"

struct http_client;

struct http_call {
	const char *method, *url;
	const char *const *headers; /* "Name: value", NULL-ended; may be NULL */
	const void *body;
	size_t body_size;
	const char *unix_socket;    /* or NULL */
	const char *pki;            /* directory with ca, cert, key; or NULL */
	/* Namespace file: the calling thread visits it for one socket(2) and
	 * comes back; give a numeric host. Such connections are not reused. */
	const char *netns;
	uint32_t timeout_ms, connect_ms; /* 0: 30000, the same */
	size_t answer_size_max;     /* above: TOOBIG; 0: 16 MiB */
	bool follow;                /* redirects */
	/* Bytes that several calls may hold together, counted down while they
	 * do; what is beyond, unless small, is BUSY. Outlives the calls. NULL: no limit. */
	size_t *room;
	/* Progress of long work; may be NULL. */
	void (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
};

struct http_answer {
	int status;            /* 0 if there was none: see fault */
	const char *body;      /* NUL-terminated for convenience */
	size_t body_size;
	const char *headers;   /* raw, "Name: value\r\n"... */
	struct fault fault;
};
/* Value of a header, copied; false if absent. */
bool http_answer_header(const struct http_answer *answer, const char *name,
			char *value, size_t size);

MUST_CHECK int http_client_open(struct http_client **out, uv_loop_t *loop,
				struct fault *fault);
/* Requests that are open are answered with CLOSED first. */
void http_client_close(struct http_client *client, void (*closed)(void *ctx),
		       void *ctx);
/* Copies what it needs. done is called once, on the loop; answer is borrowed
 * until it returns. */
MUST_CHECK int http_client_send(struct http_client *client,
				const struct http_call *call,
				void (*done)(void *ctx,
					     const struct http_answer *answer));

/* Blocking; free with http_answer_fini. */
void http_blocking(const struct http_call *call, struct http_answer *answer);
void http_answer_fini(struct http_answer *answer);

#endif
