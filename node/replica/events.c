#include "node/replica/events.h"

#include <stdlib.h>

struct batch {
	struct event *list;
	uint32_t count, capacity;
};

struct events {
	struct edge *edge;
	struct events_log *log;
	struct batch queue, writing;
	struct events_waiter *waiters;
	stamp_t stamp; /* of the last effect queued */
	uint32_t ordinal;
	uv_work_t work;
	struct fault fault;
	int code;
	bool busy, closing, failing;
};

static void batch_fini(struct batch *batch)
{
	for (uint32_t i = 0; i < batch->count; i++)
		free((void *)(uintptr_t)batch->list[i].reason.data);
	free(batch->list);
	*batch = (struct batch){ 0 };
}

static bool batch_grow(struct batch *batch)
{
	uint32_t capacity = batch->capacity ? batch->capacity * 2 : 256;
	struct event *grown;

	if (batch->count < batch->capacity)
		return true;
	grown = realloc(batch->list, capacity * sizeof *grown);
	if (!grown)
		return false;
	batch->list = grown;
	batch->capacity = capacity;
	return true;
}

static struct text keep(const struct text *text)
{
	char *copy = text->size ? malloc(text->size) : NULL;

	if (!copy)
		return (struct text){ NULL, 0 };
	memcpy(copy, text->data, text->size);
	return (struct text){ copy, text->size };
}

/* What one command did is counted within its stamp, the same way whenever the
 * entry is applied again. */
static uint32_t ordinal_of(struct events *events, stamp_t stamp)
{
	if (events->stamp != stamp)
		events->ordinal = 0;
	events->stamp = stamp;
	return events->ordinal++;
}

static void add(struct events *events, const struct fsm_effect *effect)
{
	struct batch *queue = &events->queue;
	uint32_t ordinal = ordinal_of(events, effect->stamp);

	if (queue->count >= EVENTS_QUEUE_MAX || !batch_grow(queue)) {
		metric_add(&events->edge->metrics.events_lost, 1);
		return;
	}
	queue->list[queue->count++] = (struct event){
		.type = effect->type, .stamp = effect->stamp,
		.ordinal = ordinal, .gen = effect->gen, .c_ms = effect->c_ms,
		.wall_ms = effect->wall_ms, .program = effect->program,
		.crn = effect->crn, .epoch = effect->epoch,
		.session = effect->session, .reason = keep(&effect->reason),
	};
}

static void write_next(struct events *events);

static void work(uv_work_t *req)
{
	struct events *events = req->data;

	events->code = events_log_append(events->log, events->writing.list,
					 events->writing.count,
					 &events->fault);
}

static void wake(struct events *events)
{
	struct events_waiter *list = events->waiters, *next;

	events->waiters = NULL;
	for (; list; list = next) {
		next = list->next;
		list->woken(list);
	}
}

static void written(uv_work_t *req, int status)
{
	struct events *events = req->data;
	struct edge *edge = events->edge;

	(void)status;
	metric_add(events->code ? &edge->metrics.events_lost
				: &edge->metrics.events,
		   events->writing.count);
	if (events->code && !events->failing)
		log_error("events", "%s: events are lost until this is mended",
			  events->fault.text);
	else if (!events->code && events->failing)
		log_info("events", "are written again");
	events->failing = events->code != 0;
	batch_fini(&events->writing);
	events->busy = false;
	wake(events);
	write_next(events);
	edge_release(edge);
}

static void write_next(struct events *events)
{
	if (events->busy || !events->queue.count)
		return;
	events->writing = events->queue;
	events->queue = (struct batch){ 0 };
	events->busy = true;
	events->work.data = events;
	edge_hold(events->edge);
	uv_queue_work(events->edge->loop, &events->work, work, written);
}

void events_add(struct events *events, const struct fsm_effect *effects,
		uint32_t count)
{
	if (events->closing)
		return;
	for (uint32_t i = 0; i < count; i++)
		add(events, &effects[i]);
	write_next(events);
}

struct events_log *events_log_of(struct events *events)
{
	return events->log;
}

void events_wait(struct events *events, struct events_waiter *waiter)
{
	waiter->next = events->waiters;
	events->waiters = waiter;
}

void events_wait_end(struct events *events, struct events_waiter *waiter)
{
	struct events_waiter **at = &events->waiters;

	while (*at && *at != waiter)
		at = &(*at)->next;
	if (*at)
		*at = waiter->next;
}

int events_open(struct events **out, struct edge *edge, const char *directory,
		struct fault *fault)
{
	struct events *events = calloc(1, sizeof *events);
	int code;

	if (!events)
		return fault_set(fault, BERTH_NOMEM, "events");
	events->edge = edge;
	code = events_log_open(&events->log, directory, EVENTS_SEGMENT,
			       EVENTS_KEEP, fault);
	if (code) {
		free(events);
		return code;
	}
	*out = events;
	return 0;
}

void events_close(struct events *events)
{
	events->closing = true;
	wake(events);
}

void events_free(struct events *events)
{
	if (!events)
		return;
	batch_fini(&events->queue);
	batch_fini(&events->writing);
	events_log_close(events->log);
	free(events);
}
