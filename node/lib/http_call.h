/* One request of libcurl: what http_client.c and the blocking variant share.
 */
#ifndef NODE_LIB_HTTP_CALL_H
#define NODE_LIB_HTTP_CALL_H

#include <curl/curl.h>

#include "node/lib/http_client.h"

struct http_transfer {
	struct http_transfer *next, *prev; /* the client's */
	CURL *easy;
	struct curl_slist *headers;
	char *body, *netns, *what; /* what: "GET http://..." */
	char *answer;
	size_t answer_size, answer_capacity, answer_size_max;
	char *answer_headers;
	size_t headers_size;
	size_t *room, taken; /* of the caller's room */
	char error[CURL_ERROR_SIZE];
	struct fault fault; /* ours, found in a callback */
	void (*done)(void *ctx, const struct http_answer *answer);
	void (*progress)(void *ctx, uint64_t done, uint64_t total);
	void *ctx;
};

/* Errors: NOMEM, INVALID. */
MUST_CHECK int http_transfer_open(struct http_transfer **out,
				  const struct http_call *call,
				  struct fault *fault);
void http_transfer_close(struct http_transfer *transfer);
/* Fills the answer from what was received; borrowed from the transfer. */
void http_transfer_answer(const struct http_transfer *transfer, CURLcode code,
			  struct http_answer *answer);

#endif
