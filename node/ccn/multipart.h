/* multipart/form-data, whole in memory. Source: RFC 7578, RFC 2046 5.1. */
#ifndef NODE_CCN_MULTIPART_H
#define NODE_CCN_MULTIPART_H

#include "raft/fault.h"

#define MULTIPART_PARTS_MAX 8

struct multipart_part {
	char name[64];
	const char *data; /* borrowed from the body */
	size_t size;
};

struct multipart {
	struct multipart_part parts[MULTIPART_PARTS_MAX];
	uint32_t count;
};

/* True: the Content-Type says multipart/form-data. */
bool multipart_is(const char *content_type);
/* Errors: MALFORMED, TOOBIG (too many parts). */
MUST_CHECK int multipart_parse(const char *content_type, const void *body,
			       size_t size, struct multipart *out,
			       struct fault *fault);
const struct multipart_part *multipart_find(const struct multipart *parts,
					    const char *name); /* or NULL */

#endif
