#include "node/replica/queue.h"

static struct queue_item *take_all(struct queue *q)
{
	struct queue_item *items;

	uv_mutex_lock(&q->lock);
	items = q->first;
	q->first = NULL;
	q->last = &q->first;
	q->count = 0;
	q->size = 0;
	uv_mutex_unlock(&q->lock);
	return items;
}

static void give(struct queue *q)
{
	struct queue_item *items = take_all(q), *next;

	for (; items != NULL; items = next) {
		next = items->next;
		items->next = NULL;
		items->take(q->ctx, items);
	}
}

static void on_wake(uv_async_t *async)
{
	give(async->data);
}

int queue_init(struct queue *q, uv_loop_t *loop, void *ctx, uint32_t count_max,
	       size_t size_max)
{
	memset(q, 0, sizeof *q);
	q->last = &q->first;
	q->count_max = count_max;
	q->size_max = size_max;
	q->ctx = ctx;
	if (uv_mutex_init(&q->lock) != 0)
		return BERTH_IO;
	if (uv_async_init(loop, &q->async, on_wake) != 0) {
		uv_mutex_destroy(&q->lock);
		return BERTH_IO;
	}
	q->async.data = q;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct queue *q = handle->data;
	void (*fini)(void *ctx) = q->fini;
	void *ctx = q->ctx;

	uv_mutex_destroy(&q->lock);
	if (fini != NULL)
		fini(ctx);
}

void queue_fini(struct queue *q, void (*fini)(void *ctx))
{
	uv_mutex_lock(&q->lock);
	q->closed = true;
	uv_mutex_unlock(&q->lock);
	give(q);
	q->fini = fini;
	uv_close((uv_handle_t *)&q->async, on_closed);
}

static int put(struct queue *q, struct queue_item *item, bool bounded)
{
	int code = 0;
	bool wake = false;

	item->next = NULL;
	uv_mutex_lock(&q->lock);
	if (q->closed) {
		code = BERTH_CLOSED;
	} else if (bounded && (q->count >= q->count_max ||
			       q->size + item->size > q->size_max)) {
		q->refused++;
		code = BERTH_BUSY;
	} else {
		wake = q->first == NULL;
		*q->last = item;
		q->last = &item->next;
		q->count++;
		q->size += item->size;
	}
	/* Under the lock: the handle is not closed meanwhile. */
	if (wake)
		uv_async_send(&q->async);
	uv_mutex_unlock(&q->lock);
	return code;
}

int queue_put(struct queue *q, struct queue_item *item)
{
	return put(q, item, true);
}

void queue_must_put(struct queue *q, struct queue_item *item)
{
	int code = put(q, item, false);

	REQUIRE(code == 0);
}
