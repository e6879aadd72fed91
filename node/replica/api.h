/* The HTTP interface, deploy/API.md. A request is the same whether it came by
 * one of our listeners or was forwarded by another replica. */
#ifndef NODE_REPLICA_API_H
#define NODE_REPLICA_API_H

#include "node/replica/edge_internal.h"

int api_open(struct api **out, struct edge *edge);
void api_close(struct api *api);  /* releases the edge when done */
void api_finish(struct api *api); /* frees it, when nothing holds the edge */
/* httpd's handler; ctx is the api. */
void api_handle(void *ctx, struct httpd_request *request);
/* A PEER_FORWARD payload from replica `peer`. Errors: MALFORMED. */
MUST_CHECK int api_forwarded(struct api *api, uint64_t peer,
			     const uint8_t *payload, size_t size);
/* Collections changed, or the leader: blocking queries look again. */
void api_wake(struct api *api);

#endif
