/* Messages as the JSON that a core channel node answers: aleph.md 3.1 to 3.4. */
#ifndef NODE_CCN_RENDER_H
#define NODE_CCN_RENDER_H

#include "node/ccn/query.h"

/* "2026-11-22T19:36:12.123456Z" into at least 32 bytes. */
void render_time(uint64_t time_us, char *text, size_t size);
/* A page of the list. Errors: NOMEM. */
MUST_CHECK int render_list(const struct ccn *ccn, const struct query *query,
			   struct json_writer *w);
/* One message with its status. */
void render_item(const struct ccn_record *record, struct json_writer *w);
void render_status(const struct ccn_record *record, struct json_writer *w);
/* The aggregates of an address, of `keys` (NULL: all), merged key by key in
 * the order of time. NULL: there are none. A new reference. */
json_t *render_aggregates(const struct ccn *ccn, const char *address,
			  const char *keys);

#endif
