/* A bounded queue from any thread to one loop: one wake for all that was put
 * since the last time. Items know what to do when they arrive. */
#ifndef NODE_REPLICA_QUEUE_H
#define NODE_REPLICA_QUEUE_H

#include <uv.h>

#include "fsm/base.h"

struct queue_item {
	struct queue_item *next;
	size_t size; /* counted against the limit */
	/* On the taking loop; takes the item (frees it). */
	void (*take)(void *ctx, struct queue_item *item);
};

struct queue {
	uv_async_t async;
	uv_mutex_t lock;
	struct queue_item *first, **last;
	uint32_t count, count_max;
	size_t size, size_max;
	uint64_t refused; /* items that found no room */
	bool closed;
	void *ctx;
	void (*fini)(void *ctx);
};

/* On the taking loop. Errors: IO. */
MUST_CHECK int queue_init(struct queue *queue, uv_loop_t *loop, void *ctx,
			  uint32_t count_max, size_t size_max);
/* On the taking loop: gives what is left, then calls back when the handle is
 * closed. What is put later is refused: CLOSED. */
void queue_fini(struct queue *queue, void (*fini)(void *ctx));
/* Any thread. Takes the item, or not: BUSY (no room), CLOSED. */
MUST_CHECK int queue_put(struct queue *queue, struct queue_item *item);
/* Any thread. Takes it whatever the limits: what may not be lost. */
void queue_must_put(struct queue *queue, struct queue_item *item);

#endif
