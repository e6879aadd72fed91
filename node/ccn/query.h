/* What a client may ask of the message list: aleph.md 3.1. */
#ifndef NODE_CCN_QUERY_H
#define NODE_CCN_QUERY_H

#include "node/ccn/ccn.h"

#define QUERY_PAGE_SIZE 20u
#define QUERY_CURSOR_PAGE_SIZE_MAX 1000u

enum query_format { QUERY_FULL = 0, QUERY_HEADERS, QUERY_NONE };

/* Lists are as they came: words between commas; NULL: not asked. */
struct query {
	const char *types, *addresses, *owners, *refs, *content_hashes,
		*content_keys, *content_types, *chains, *channels, *tags,
		*hashes, *payment_types;
	bool forgotten;  /* the dedicated list of what was forgotten */
	bool nothing;    /* only statuses that this node never lists */
	double start, end; /* message time, >= and < */
	bool oldest_first, by_reception;
	uint32_t page_size; /* 0: all */
	uint32_t page;      /* from 1 */
	bool has_cursor;
	const struct ccn_record *after; /* NULL: the first page */
	enum query_format format;
};

/* Reads the parameters that `get` finds (NULL: not there); texts are borrowed.
 * Errors: INVALID (422), DENIED (400: statuses that do not go together). */
MUST_CHECK int query_parse(const struct ccn *ccn,
			   const char *(*get)(void *ctx, const char *name),
			   void *ctx, struct query *out, struct fault *fault);
/* The records of the page in order; `total` counts all that match. Free the
 * array. `more`: something follows. Errors: NOMEM. */
MUST_CHECK int query_run(const struct ccn *ccn, const struct query *query,
			 const struct ccn_record ***out, uint32_t *count,
			 uint32_t *total, bool *more);

#endif
