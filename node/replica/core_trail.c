/* The audit trail as the loop sees it: entries are copied into a bounded
 * queue; one piece of work at a time writes them in the pool. What found no
 * room is told by the trail itself, which begins anew with a state. */
#include <stdlib.h>

#include "node/lib/log.h"
#include "node/replica/core_impl.h"

#define QUEUE_SIZE_MAX (64u << 20)
#define STATE_PERIOD_MS 5000u /* between two states that were asked for */
#define SYNC_PERIOD_MS 5000u

/* An entry, or (view) a state. */
struct trail_item {
	struct trail_item *next;
	uint64_t index, term;
	struct fsm_view *view;
	const char *why;
	uint32_t result_count;
	size_t size;
	uint8_t bytes[]; /* results, then the entry */
};

static size_t cost(const struct trail_item *item)
{
	return sizeof *item + item->result_count + item->size;
}

/* --- in the pool ---------------------------------------------------------- */

static int write_item(struct trail *trail, const struct trail_item *item,
		      struct fault *fault)
{
	const struct trail_entry entry = {
		.index = item->index, .term = item->term,
		.results = item->bytes, .result_count = item->result_count,
		.data = item->bytes + item->result_count, .size = item->size,
	};

	if (item->view)
		return trail_anchor(trail, item->index, item->view, item->why,
				    fault);
	trail_append(trail, &entry);
	return 0;
}

static void work(uv_work_t *req)
{
	struct core_trail *t = req->data;
	uint64_t now_ms = clock_monotonic_ms();

	t->code = 0;
	for (struct trail_item *i = t->writing; i && !t->code; i = i->next)
		t->code = write_item(t->trail, i, &t->fault);
	if (!t->code)
		t->code = trail_flush(t->trail, &t->fault);
	if (!t->code && (t->sync || now_ms - t->synced_ms >= SYNC_PERIOD_MS)) {
		t->code = trail_sync(t->trail, &t->fault);
		t->synced_ms = now_ms;
	}
}

/* --- on the loop ---------------------------------------------------------- */

static void drop(struct core *core, struct trail_item *item)
{
	if (item->view)
		core_view_close(core, item->view);
	free(item);
}

static void write_next(struct core *core);

static void tell(struct core_trail *t)
{
	if (t->code && !t->failing)
		log_error("trail", "%s: the audit trail has a gap until this "
			  "is mended", t->fault.text);
	else if (!t->code && t->failing && !trail_broken(t->trail))
		log_info("trail", "the audit trail is written again");
	if (t->code)
		t->failing = true;
	else if (!trail_broken(t->trail))
		t->failing = false;
}

static void written(uv_work_t *req, int status)
{
	struct core_trail *t = req->data;
	struct core *core = t->core;
	struct trail_item *item;

	(void)status;
	while ((item = t->writing) != NULL) {
		t->writing = item->next;
		drop(core, item);
	}
	tell(t);
	t->busy = t->sync = false;
	t->wanted = trail_wants(t->trail);
	write_next(core);
}

static void write_next(struct core *core)
{
	struct core_trail *t = &core->trail;

	if (t->busy || t->first == NULL)
		return;
	t->writing = t->first;
	t->first = NULL;
	t->last = &t->first;
	t->size = 0;
	t->sync = t->sync_asked;
	t->sync_asked = false;
	t->work.data = t;
	t->busy = true;
	REQUIRE(uv_queue_work(&core->loop, &t->work, work, written) == 0);
}

static void put(struct core *core, struct trail_item *item)
{
	struct core_trail *t = &core->trail;

	item->next = NULL;
	*t->last = item;
	t->last = &item->next;
	t->size += cost(item);
	write_next(core);
}

static void put_state(struct core *core, uint64_t index, const char *why)
{
	struct core_trail *t = &core->trail;
	struct fsm_view *view = core_view_open(core);
	struct trail_item *item;

	if (view == NULL)
		return; /* others have them: with a later entry */
	item = calloc(1, sizeof *item);
	REQUIRE(item != NULL);
	item->index = index;
	item->view = view;
	item->why = why != NULL ? why : "";
	t->state_ms = clock_monotonic_ms();
	t->wanted = false;
	t->gap = NULL;
	put(core, item);
}

static void put_entry(struct core *core, uint64_t index, uint64_t term,
		      const void *data, size_t size)
{
	struct trail_item *item =
		malloc(sizeof *item + core->result_count + size);

	REQUIRE(item != NULL);
	*item = (struct trail_item){ .index = index, .term = term,
				     .result_count = core->result_count,
				     .size = size };
	for (uint32_t i = 0; i < core->result_count; i++)
		item->bytes[i] = (uint8_t)core->results[i].refusal;
	if (size != 0)
		memcpy(item->bytes + core->result_count, data, size);
	put(core, item);
}

void core__trail_applied(struct core *core, uint64_t index, uint64_t term,
			 const void *data, size_t size)
{
	struct core_trail *t = &core->trail;
	uint64_t now_ms;

	if (t->trail == NULL)
		return;
	if (!t->gap && t->size + size > QUEUE_SIZE_MAX) {
		log_warn("trail", "the disk does not keep up: entries from "
			 "%llu on are left out", (unsigned long long)index);
		t->gap = "the writing did not keep up";
	}
	if (!t->gap)
		put_entry(core, index, term, data, size);
	else if (t->size > QUEUE_SIZE_MAX / 2)
		return;
	if (!t->gap && !t->wanted)
		return;
	now_ms = clock_monotonic_ms();
	if (t->state_ms == 0 || now_ms - t->state_ms >= STATE_PERIOD_MS)
		put_state(core, index, t->gap);
}

void core__trail_restored(struct core *core, uint64_t index)
{
	struct core_trail *t = &core->trail;

	if (t->trail == NULL)
		return;
	t->gap = "a snapshot took the place of entries";
	put_state(core, index, t->gap);
}

void core__trail_sync(struct core *core)
{
	core->trail.sync_asked = true;
}

int core__trail_open(struct core *core, struct fault *fault)
{
	const struct trail_config config = {
		.directory = core->config.trail_directory,
		.cluster = core->config.replica.cluster,
		.id = core->config.replica.id,
		.size = core->config.trail_size,
	};

	core->trail.core = core;
	core->trail.last = &core->trail.first;
	if (config.size == 0)
		return 0;
	return trail_open(&core->trail.trail, &config, fault);
}

void core__trail_close(struct core *core)
{
	trail_close(core->trail.trail);
	core->trail.trail = NULL;
}

struct trail *core_trail(struct core *core)
{
	return core->trail.trail;
}
