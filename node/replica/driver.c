#include "node/replica/driver_impl.h"

#include <stdlib.h>

void *driver__alloc(size_t size)
{
	void *data = calloc(1, size);

	REQUIRE(data != NULL);
	return data;
}

int driver_open(struct driver **out, const struct driver_ops *ops)
{
	struct driver *d = calloc(1, sizeof *d);

	if (d == NULL)
		return BERTH_NOMEM;
	d->ops = *ops;
	d->items.last = &d->items.first;
	d->expiries.last = &d->expiries.first;
	d->clients.last = &d->clients.first;
	d->run_free = UINT32_MAX;
	d->body.size_max = DRIVER_HEAD_ROOM + DRIVER_BODY_SIZE_MAX;
	d->overlay = place_overlay_open();
	REQUIRE(d->overlay != NULL);
	*out = d;
	return 0;
}

/* What only a leader needs; a follower's memory stays small. */
static void scratch_open(struct driver *d)
{
	if (d->renewals != NULL)
		return;
	d->renewals = driver__alloc(DRIVER_RENEWALS_MAX * sizeof *d->renewals);
	d->heard = driver__alloc(AGENT_STATUS_MAX * sizeof *d->heard);
	d->desired = driver__alloc(AGENT_DESIRED_MAX * sizeof *d->desired);
	d->kept = driver__alloc(FSM_HELD_MAX * sizeof *d->kept);
	d->frame = driver__alloc(AGENT_FRAME_SIZE_MAX);
	d->assigns = driver__alloc(DRIVER_ASSIGNS_MAX * sizeof *d->assigns);
}

static void scratch_close(struct driver *d)
{
	free(d->renewals);
	free(d->heard);
	free(d->desired);
	free(d->kept);
	free(d->frame);
	free(d->assigns);
	free(d->body.data);
}

static void entry_free(struct driver_entry *entry, int code)
{
	driver__items_free(entry->items);
	driver__clients_end(entry->clients, code);
	free(entry->acks);
	free(entry->assigned);
	free(entry);
}

static void agents_forget(struct driver *d)
{
	driver__runs_forget(d);
	driver__map_fini(&d->agent_map);
	free(d->agents);
	d->agents = NULL;
	d->agent_count = d->agent_capacity = 0;
}

/* Everything of the term goes. Taken out first: a client's done may submit
 * again. */
static void forget(struct driver *d)
{
	struct driver_entry *entries = d->entries, *next;
	struct driver_client *clients = d->clients.first;

	driver__items_free(d->items.first);
	driver__items_free(d->expiries.first);
	d->items = (struct driver_items){ .last = &d->items.first };
	d->expiries = (struct driver_items){ .last = &d->expiries.first };
	d->clients = (struct driver_clients){ .last = &d->clients.first };
	d->entries = NULL;
	d->work_count = d->beat_count = d->expires = 0;
	d->work_size = 0;
	place_overlay_reset(d->overlay);
	agents_forget(d);
	for (; entries != NULL; entries = next) {
		next = entries->next;
		entry_free(entries, BERTH_UNKNOWN_OUTCOME);
	}
	driver__clients_end(clients, BERTH_NOTLEADER);
}

void driver_close(struct driver *d)
{
	d->leader = d->leading = false;
	forget(d);
	place_overlay_close(d->overlay);
	scratch_close(d);
	free(d);
}

void driver_leader(struct driver *d, bool leader, uint64_t term)
{
	d->leader = false;
	d->leading = false;
	d->lead_proposed = false;
	forget(d);
	if (!leader)
		return;
	scratch_open(d);
	d->leader = true;
	d->term = term;
	d->place_cursor = 0;
	d->placing = true;
	d->next_round_ms = d->retry_ms = d->round_after_ms = 0;
	d->round_count = d->beat_start = 0;
	d->clock_window = d->clock_from_ms = 0;
}

/* --- proposing ----------------------------------------------------------- */

static bool buffer_write(void *ctx, const void *data, size_t size)
{
	struct driver_buffer *b = ctx;
	size_t capacity = b->capacity == 0 ? 4096 : b->capacity;

	if (size > b->size_max - b->size)
		return false;
	while (capacity < b->size + size)
		capacity *= 2;
	if (capacity != b->capacity) {
		b->data = realloc(b->data, capacity);
		REQUIRE(b->data != NULL);
		b->capacity = capacity;
	}
	memcpy(b->data + b->size, data, size);
	b->size += size;
	return true;
}

/* The body begins behind room for the head, whose size is known last. */
void driver__body_reset(struct driver *d)
{
	static const uint8_t room[DRIVER_HEAD_ROOM];

	d->body.size = 0;
	REQUIRE(buffer_write(&d->body, room, sizeof room));
}

bool driver__encode(struct driver *d, const struct command *command)
{
	struct byte_sink sink = { &d->body, buffer_write };
	size_t before = d->body.size;

	if (command_encode(&sink, command))
		return true;
	d->body.size = before;
	return false;
}

static const uint8_t *put_head(struct driver *d, uint32_t count, size_t *size)
{
	uint8_t space[DRIVER_HEAD_ROOM];
	struct driver_buffer head = { space, 0, sizeof space, sizeof space };
	struct byte_sink sink = { &head, buffer_write };
	uint8_t *start;

	REQUIRE(command_entry_begin(&sink, d->term, count));
	start = d->body.data + DRIVER_HEAD_ROOM - head.size;
	memcpy(start, space, head.size);
	*size = d->body.size - DRIVER_HEAD_ROOM + head.size;
	return start;
}

static void entry_append(struct driver *d, struct driver_entry *entry)
{
	struct driver_entry **last = &d->entries;

	while (*last != NULL)
		last = &(*last)->next;
	*last = entry;
}

/* R4: in another term than the anchor's nothing is proposed. True: the entry
 * is in flight and the driver's; false: it was surely not submitted. */
bool driver__propose(struct driver *d, struct driver_entry *entry, bool urgent,
		     uint32_t count)
{
	const uint8_t *data;

	if (d->ops.raft_term(d->ops.ctx) != d->term)
		return false;
	data = put_head(d, count, &entry->size);
	if (d->ops.propose(d->ops.ctx, data, entry->size, urgent,
			   &entry->index) != 0)
		return false;
	entry->proposed_ms = d->ops.clock_ms(d->ops.ctx);
	entry_append(d, entry);
	d->work_count += entry->kind == ENTRY_WORK;
	d->work_size += entry->kind == ENTRY_WORK ? entry->size : 0;
	d->beat_count += entry->kind == ENTRY_BEAT;
	d->expires += entry->expire_count;
	return true;
}

static void propose_lead(struct driver *d)
{
	struct command lead = { .type = FSM_LEAD };
	struct driver_entry *entry;

	if (d->lead_proposed)
		return;
	lead.lead.term = d->term;
	lead.lead.leader = d->ops.self;
	entry = driver__alloc(sizeof *entry);
	entry->kind = ENTRY_LEAD;
	driver__body_reset(d);
	REQUIRE(driver__encode(d, &lead));
	d->lead_proposed = driver__propose(d, entry, true, 1);
	if (!d->lead_proposed)
		free(entry);
}

/* --- what was applied ---------------------------------------------------- */

const struct fsm_result *driver__result(const struct fsm_result *results,
					uint32_t count, uint32_t position)
{
	if (position < count && results[position].position == position)
		return &results[position];
	for (uint32_t i = 0; i < count; i++)
		if (results[i].position == position)
			return &results[i];
	return NULL;
}

static struct driver_entry *entry_take(struct driver *d, uint64_t index)
{
	struct driver_entry **at = &d->entries, *entry;

	while (*at != NULL && (*at)->index != index)
		at = &(*at)->next;
	entry = *at;
	if (entry == NULL)
		return NULL;
	*at = entry->next;
	entry->next = NULL;
	d->work_count -= entry->kind == ENTRY_WORK;
	d->work_size -= entry->kind == ENTRY_WORK ? entry->size : 0;
	d->beat_count -= entry->kind == ENTRY_BEAT;
	d->expires -= entry->expire_count;
	return entry;
}

static void lead_applied(struct driver *d)
{
#ifndef MUTANT_anchor_kept
	d->anchor_ms = d->ops.clock_ms(d->ops.ctx); /* R4 */
#endif
	d->next_beat_ms = d->anchor_ms;
	d->leading = true;
}

/* R6: what was applied at this index is ours only while the state's term is:
 * another leader's entry there came after its own Lead. */
static bool own_term(const struct driver *d, const struct fsm_view *view)
{
	struct fsm_status status;

	fsm_status(view, &status);
	return status.term == d->term;
}

void driver_applied(struct driver *d, const struct fsm_view *view,
		    uint64_t index, const struct fsm_result *results,
		    uint32_t result_count)
{
	struct driver_entry *entry;
	const struct fsm_result *first;

	d->applied = index;
	d->looked = false;
	if (!d->leader || !own_term(d, view))
		return; /* the engine will say that leadership was lost */
	entry = entry_take(d, index);
	if (entry == NULL)
		return;
	first = driver__result(results, result_count, 0);
	if (entry->kind == ENTRY_LEAD && first != NULL &&
	    first->refusal == FSM_OK)
		lead_applied(d);
	if (entry->kind == ENTRY_BEAT && first != NULL &&
	    first->refusal == FSM_OK)
		driver__beat_applied(d, view, entry);
	if (entry->kind == ENTRY_WORK)
		driver__work_applied(d, view, entry, results, result_count);
	entry_free(entry, 0);
}

/* --- what is due --------------------------------------------------------- */

/* After the state moved: new sets are pushed, sessions that ran out are
 * looked for, and where programs or CRNs changed there may be a place. (An
 * Assign that was refused changes nothing: it is tried again by the next
 * regular round, not at once for ever.) */
static void look(struct driver *d, const struct fsm_view *view)
{
	struct fsm_status status;

	if (d->looked)
		return;
	d->looked = true;
	fsm_status(view, &status);
	d->placing |= status.programs_changed != d->programs_changed ||
		      status.crns_changed != d->crns_changed;
	d->programs_changed = status.programs_changed;
	d->crns_changed = status.crns_changed;
	driver__push(d, view);
	driver__expire(d, view);
	driver__clock_look(d, &status);
}

uint64_t driver_tick(struct driver *d, const struct fsm_view *view)
{
	uint64_t now_ms = d->ops.clock_ms(d->ops.ctx);
	uint64_t next_ms;

	if (!d->leader)
		return UINT64_MAX;
	if (!d->leading) {
		propose_lead(d);
		return now_ms + (d->lead_proposed ? 1000 : DRIVER_RETRY_MS);
	}
	look(d, view);
	if (now_ms >= d->next_beat_ms)
		driver__beat(d, view, now_ms);
	driver__work(d, view, now_ms);
	next_ms = d->next_beat_ms;
	if (d->retry_ms != 0 && d->retry_ms < next_ms)
		next_ms = d->retry_ms;
	return next_ms;
}

void driver_status(const struct driver *d, struct driver_status *out)
{
	*out = d->counts;
	out->leading = d->leading;
	out->in_flight = d->work_count + d->beat_count;
}
