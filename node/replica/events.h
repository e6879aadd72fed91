/* The event stream of a replica: effects are queued on the edge loop and
 * written by the pool (events_log.h); readers are served from the files. */
#ifndef NODE_REPLICA_EVENTS_H
#define NODE_REPLICA_EVENTS_H

#include "node/replica/edge_internal.h"
#include "node/replica/events_log.h"

#define EVENTS_QUEUE_MAX 262144u /* effects that may wait for the disk */

int events_open(struct events **out, struct edge *edge, const char *directory,
		struct fault *fault);
void events_close(struct events *events); /* releases the edge when written */
void events_free(struct events *events);

void events_add(struct events *events, const struct fsm_effect *effects,
		uint32_t count);
struct events_log *events_log_of(struct events *events); /* for the pool */

/* Called (once each) after the next batch was written. */
struct events_waiter {
	struct events_waiter *next;
	void *ctx;
	void (*woken)(struct events_waiter *waiter);
};
void events_wait(struct events *events, struct events_waiter *waiter);
void events_wait_end(struct events *events, struct events_waiter *waiter);

#endif
