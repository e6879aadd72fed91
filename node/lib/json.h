/* JSON: jansson for what comes in, a streaming writer for what goes out. */
#ifndef NODE_LIB_JSON_H
#define NODE_LIB_JSON_H

#include <jansson.h>

#include "raft/fault.h"

/* Strict parse of exactly one value; duplicate keys refused, depth bounded.
 * Gives a new reference. Errors: MALFORMED with line and column, TOOBIG. */
MUST_CHECK int json_parse(const char *text, size_t size, size_t size_max,
			  json_t **out, struct fault *fault);

/* A growing buffer that is JSON at any closing. Commas are its business. After
 * a failed allocation it stays empty and `failed` is set. */
struct json_writer {
	char *data;
	size_t size, capacity;
	uint32_t depth;
	bool comma, failed;
};
void jsonw_init(struct json_writer *w);
void jsonw_fini(struct json_writer *w);
/* `key` is NULL inside arrays and at the top. */
void jsonw_object(struct json_writer *w, const char *key);
void jsonw_object_end(struct json_writer *w);
void jsonw_array(struct json_writer *w, const char *key);
void jsonw_array_end(struct json_writer *w);
void jsonw_string(struct json_writer *w, const char *key, const char *value);
void jsonw_text(struct json_writer *w, const char *key, const char *data,
		size_t size); /* invalid UTF-8 becomes U+FFFD */
void jsonw_uint(struct json_writer *w, const char *key, uint64_t value);
void jsonw_int(struct json_writer *w, const char *key, int64_t value);
void jsonw_double(struct json_writer *w, const char *key, double value);
void jsonw_bool(struct json_writer *w, const char *key, bool value);
void jsonw_null(struct json_writer *w, const char *key);
void jsonw_hash(struct json_writer *w, const char *key,
		const struct hash *hash);
void jsonw_raw(struct json_writer *w, const char *key, const char *json,
	       size_t size);

#endif
