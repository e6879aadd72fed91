/* Everything but Lead and Beat: what agents asked for, clients' commands and
 * placement, put together into few entries with few bytes in flight, so that
 * a Beat never waits long behind them (lease.md 2.6 "Beat"). */
#include <stdlib.h>

#include "node/replica/driver_impl.h"

/* Each is told and may be freed by that. */
void driver__clients_end(struct driver_client *clients, int code)
{
	struct driver_client *next;

	for (; clients != NULL; clients = next) {
		next = clients->next;
		clients->next = NULL;
		clients->done(clients, code, clients->index);
	}
}

static int admit(const struct driver *d, const struct driver_client *client)
{
	if (!d->leader)
		return BERTH_NOTLEADER;
	if (client->size > DRIVER_BODY_SIZE_MAX ||
	    client->count > ENTRY_COMMANDS_MAX)
		return BERTH_TOOBIG;
	if (d->clients.size + client->size > DRIVER_CLIENTS_SIZE_MAX)
		return BERTH_BUSY;
	return 0;
}

void driver_submit(struct driver *d, struct driver_client *client)
{
	int code = admit(d, client);

	client->next = NULL;
	client->index = 0;
	client->first = 0;
	if (code != 0) {
		client->done(client, code, 0);
		return;
	}
	*d->clients.last = client;
	d->clients.last = &client->next;
	d->clients.size += client->size;
}

/* --- building an entry ----------------------------------------------------- */

struct work {
	struct driver_entry *entry;
	uint32_t count;
	struct driver_item **item_last;
	struct driver_client **client_last;
};

static bool fits(const struct driver *d, const struct work *work, size_t size,
		 uint32_t count)
{
	size_t used = d->body.size - DRIVER_HEAD_ROOM;

	/* Alone, however big; but then behind nothing else. */
	if (work->count == 0)
		return d->work_count == 0 ||
		       d->work_size + size <= DRIVER_WORK_SIZE_MAX;
	return used + size <= DRIVER_ENTRY_SIZE_MAX &&
	       work->count + count <= DRIVER_ENTRY_COMMANDS_MAX;
}

static void append(struct driver *d, const void *data, size_t size)
{
	struct driver_buffer *b = &d->body;

	REQUIRE(size <= b->size_max - b->size);
	if (b->size + size > b->capacity) {
		b->capacity = (b->size + size) * 2;
		b->data = realloc(b->data, b->capacity);
		REQUIRE(b->data != NULL);
	}
	memcpy(b->data + b->size, data, size);
	b->size += size;
}

/* In their order, but for those that wait for their own before them. */
static void take_items(struct driver *d, struct driver_items *items,
		       struct work *work)
{
	struct driver_item **at = &items->first, *item;

	while ((item = *at) != NULL && fits(d, work, item->size, 1)) {
		if (!driver__item_may_go(d, item)) {
			at = &item->next;
			continue;
		}
		*at = item->next;
		if (item->next == NULL)
			items->last = at;
		items->size -= item->size;
		item->next = NULL;
		driver__item_goes(d, item);
		append(d, item->data, item->size);
		*work->item_last = item;
		work->item_last = &item->next;
		work->entry->item_count++;
		work->entry->expire_count += item->kind == ITEM_EXPIRE;
		work->count++;
	}
}

static void take_clients(struct driver *d, struct work *work)
{
	struct driver_client *client;

	while ((client = d->clients.first) != NULL &&
	       fits(d, work, client->size, client->count)) {
		d->clients.first = client->next;
		if (client->next == NULL)
			d->clients.last = &d->clients.first;
		d->clients.size -= client->size;
		client->next = NULL;
		client->first = work->count;
		append(d, client->commands, client->size);
		*work->client_last = client;
		work->client_last = &client->next;
		work->entry->client_commands += client->count;
		work->count += client->count;
	}
}

/* One slice of a round: chosen, encoded and noted in the overlay. */
static void place_slice(struct driver *d, const struct fsm_view *view,
			struct work *work)
{
	struct command command = { .type = FSM_ASSIGN };
	struct driver_entry *entry = work->entry;
	uint32_t got = place_round(view, d->overlay, &d->place_cursor,
				   DRIVER_PLACE_SLICE, d->assigns,
				   DRIVER_PLACE_SLICE);

	if (got != 0 && entry->assigned == NULL)
		entry->assigned = driver__alloc(DRIVER_ASSIGNS_MAX *
						sizeof *entry->assigned);
	for (uint32_t i = 0; i < got; i++) {
		command.assign = d->assigns[i];
		REQUIRE(driver__encode(d, &command));
		place_overlay_add(d->overlay, view, &d->assigns[i]);
		entry->assigned[entry->assign_count++] =
			d->assigns[i].program;
	}
	work->count += got;
	d->round_count += got;
}

/* A round that looked at many programs and placed none is not repeated at
 * once: four times as long as it took is left for the rest. */
static void round_ends(struct driver *d, uint64_t now_ms)
{
	uint64_t took_ms = now_ms - d->round_start_ms;

	d->placing = false;
	d->round_after_ms = d->round_count == 0 ? now_ms + 4 * took_ms : 0;
}

/* Places what waits, in slices, until the entry or the time is full. Each
 * slice is in the overlay before the next is chosen. */
static void take_assigns(struct driver *d, const struct fsm_view *view,
			 struct work *work)
{
	struct driver_entry *entry = work->entry;
	uint64_t start_ms = d->ops.clock_ms(d->ops.ctx), now_ms = start_ms;

	if (d->place_cursor == 0) {
		if (now_ms < d->round_after_ms)
			return;
		d->round_start_ms = now_ms;
		d->round_count = 0;
	}
	while (d->placing && now_ms - start_ms < DRIVER_PLACE_MS &&
	       entry->assign_count + DRIVER_PLACE_SLICE <= DRIVER_ASSIGNS_MAX &&
	       fits(d, work, DRIVER_PLACE_SLICE * 160u, DRIVER_PLACE_SLICE)) {
		place_slice(d, view, work);
		now_ms = d->ops.clock_ms(d->ops.ctx);
		if (d->place_cursor == 0)
			round_ends(d, now_ms);
	}
}

static void give_back(struct driver *d, struct work *work)
{
	struct driver_entry *entry = work->entry;

	driver__items_back(d, entry->items);
	for (struct driver_client *c = entry->clients; c != NULL; c = c->next)
		d->clients.size += c->size;
	if (entry->clients != NULL) {
		if (d->clients.first == NULL)
			d->clients.last = work->client_last;
		*work->client_last = d->clients.first;
		d->clients.first = entry->clients;
	}
	for (uint32_t i = 0; i < entry->assign_count; i++)
		place_overlay_forget(d->overlay, &entry->assigned[i]);
	d->placing |= entry->assign_count != 0;
	free(entry->assigned);
	free(entry);
}

/* One entry of what waits; false: nothing to propose, or not now. */
static bool propose_one(struct driver *d, const struct fsm_view *view,
			uint64_t now_ms)
{
	struct work work = { .entry = driver__alloc(sizeof *work.entry) };

	work.entry->kind = ENTRY_WORK;
	work.item_last = &work.entry->items;
	work.client_last = &work.entry->clients;
	driver__body_reset(d);
	/* One who floods us must not delay that others are freed. */
	take_items(d, &d->expiries, &work);
	take_items(d, &d->items, &work);
	take_clients(d, &work);
	take_assigns(d, view, &work);
	if (work.count == 0) {
		free(work.entry->assigned);
		free(work.entry);
		return false;
	}
	if (driver__propose(d, work.entry, false, work.count))
		return true;
	give_back(d, &work);
	d->retry_ms = now_ms + DRIVER_RETRY_MS;
	return false;
}

void driver__work(struct driver *d, const struct fsm_view *view,
		  uint64_t now_ms)
{
	if (now_ms < d->retry_ms)
		return;
	d->retry_ms = 0;
	if (now_ms >= d->next_round_ms) {
		d->placing = true;
		d->next_round_ms = now_ms + DRIVER_ROUND_MS;
		driver__drain(d, view);
	}
	while (d->work_count < DRIVER_WORK_MAX &&
	       d->work_size < DRIVER_WORK_SIZE_MAX)
		if (!propose_one(d, view, now_ms))
			break;
	/* A round that was cut short goes on after a breath. */
	if (d->placing && d->retry_ms == 0 && d->work_count < DRIVER_WORK_MAX)
		d->retry_ms = d->round_after_ms > now_ms ? d->round_after_ms
							 : now_ms + 1;
}

/* --- what was applied ------------------------------------------------------ */

static void answer_items(struct driver *d, const struct fsm_view *view,
			 const struct driver_entry *entry,
			 const struct fsm_result *results, uint32_t count)
{
	const struct driver_item *item = entry->items;
	const struct fsm_result *result;

	for (uint32_t i = 0; item != NULL; i++, item = item->next) {
		driver__item_lands(d, item);
		result = driver__result(results, count, i);
		if (result == NULL)
			continue;
		if (item->kind == ITEM_REGISTER)
			driver__registered(d, view, item, result);
		d->counts.expiries += item->kind == ITEM_EXPIRE &&
				      result->refusal == FSM_OK;
	}
}

static void answer_client(struct driver_client *client, uint64_t index,
			  const struct fsm_result *results, uint32_t count)
{
	const struct fsm_result *result;

	client->index = index;
	for (uint32_t i = 0; i < client->count; i++) {
		result = driver__result(results, count, client->first + i);
		if (result != NULL)
			client->result(client, result);
	}
}

static void settle_assigns(struct driver *d, const struct driver_entry *entry,
			   const struct fsm_result *results, uint32_t count)
{
	uint32_t first = entry->item_count + entry->client_commands;
	const struct fsm_result *result;

	for (uint32_t i = 0; i < entry->assign_count; i++) {
		place_overlay_forget(d->overlay, &entry->assigned[i]);
		result = driver__result(results, count, first + i);
		d->counts.placements += result != NULL &&
					result->refusal == FSM_OK;
	}
}

void driver__work_applied(struct driver *d, const struct fsm_view *view,
			  struct driver_entry *entry,
			  const struct fsm_result *results, uint32_t count)
{
	struct driver_client *client = entry->clients;

	entry->clients = NULL;
	settle_assigns(d, entry, results, count);
	answer_items(d, view, entry, results, count);
	for (struct driver_client *c = client; c != NULL; c = c->next)
		answer_client(c, entry->index, results, count);
	driver__clients_end(client, 0);
}

/* R7: proposed when due, decided at apply. One batch at a time. */
void driver__expire(struct driver *d, const struct fsm_view *view)
{
	struct command command = { .type = FSM_EXPIRE };
	slot_t due[DRIVER_EXPIRES_MAX];
	struct fsm_crn crn;
	uint32_t count;

	if (d->expires != 0 || d->expiries.first != NULL)
		return;
	count = fsm_due(view, due, DRIVER_EXPIRES_MAX);
	if (count > DRIVER_EXPIRES_MAX)
		count = DRIVER_EXPIRES_MAX;
	for (uint32_t i = 0; i < count; i++) {
		if (!fsm_crn_read(view, due[i], &crn))
			continue;
		command.expire.crn = crn.hash;
		command.expire.session = crn.session;
		if (driver__item_add(d, ITEM_EXPIRE, &command) == NULL)
			return;
	}
}
