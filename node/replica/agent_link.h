/* Agents' links, berth-agent/1, at the replica that owns them. What is for the
 * leader goes to the core or to the relay; CONTENT and REPLICAS are answered
 * here; logs are asked for here. */
#ifndef NODE_REPLICA_AGENT_LINK_H
#define NODE_REPLICA_AGENT_LINK_H

#include "node/replica/edge_internal.h"

int agent_links_open(struct agent_links **out, struct edge *edge);
void agent_links_close(struct agent_links *links); /* releases the edge */
void agent_links_free(struct agent_links *links);  /* when nothing holds it */
/* A stream with ALPN_AGENT that the listener took from `crn`. */
void agent_links_accept(struct agent_links *links, const struct hash *crn,
			struct stream *stream);
/* Bytes from the leader for link number `link`; false: it is gone. */
bool agent_links_write(struct agent_links *links, uint64_t link, uint8_t type,
		       const void *payload, size_t size);
/* Tells every agent who leads now. */
void agent_links_leader(struct agent_links *links);
uint32_t agent_links_count(const struct agent_links *links);
/* Is a link of this CRN here? */
bool agent_links_has(const struct agent_links *links, const struct hash *crn);

/* Asks the agent of `crn` for the end of a program's log. done once: 0 and the
 * bytes, the agent's own code, NOTFOUND (no link here), CLOSED, TIMEOUT. */
struct agent_log {
	struct agent_log *next;
	uint64_t id, link, deadline_ms;
	void *ctx;
	void (*done)(struct agent_log *log, int code, const uint8_t *data,
		     size_t size);
};
void agent_links_log(struct agent_links *links, const struct hash *crn,
		     const struct hash *program, uint64_t tail_size,
		     struct agent_log *log);

#endif
