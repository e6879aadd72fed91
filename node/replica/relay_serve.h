/* What a replica does for its peers. Each returns 0 or MALFORMED: then the
 * link is closed. */
#ifndef NODE_REPLICA_RELAY_SERVE_H
#define NODE_REPLICA_RELAY_SERVE_H

#include "node/replica/edge_internal.h"

MUST_CHECK int relay_serve_up(struct edge *edge, uint64_t peer,
			      const uint8_t *payload, size_t size);
MUST_CHECK int relay_serve_down(struct edge *edge, const uint8_t *payload,
				size_t size);
MUST_CHECK int relay_serve_read(struct edge *edge, uint64_t peer,
				const uint8_t *payload, size_t size);
MUST_CHECK int relay_serve_content(struct edge *edge, uint64_t peer,
				   const uint8_t *payload, size_t size);

#endif
