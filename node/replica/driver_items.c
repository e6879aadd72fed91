/* The driver's own commands while they wait. What agents ask for is bounded a
 * CRN: however often one says Register or Report, one of each is in flight and
 * one waits. */
#include <stdlib.h>

#include "node/replica/driver_impl.h"

void driver__items_free(struct driver_item *items)
{
	struct driver_item *next;

	for (; items != NULL; items = next) {
		next = items->next;
		free(items->data);
		free(items);
	}
}

static struct driver_items *list_of(struct driver *d,
				    enum driver_item_kind kind)
{
	return kind == ITEM_EXPIRE ? &d->expiries : &d->items;
}

/* The command's bytes stand in the body, behind the room for the head. */
static bool encoded(struct driver *d, const struct command *command)
{
	driver__body_reset(d);
	return driver__encode(d, command);
}

static void set_data(struct driver *d, struct driver_item *item)
{
	free(item->data);
	item->size = d->body.size - DRIVER_HEAD_ROOM;
	item->data = driver__alloc(item->size);
	memcpy(item->data, d->body.data + DRIVER_HEAD_ROOM, item->size);
}

struct driver_item *driver__item_add(struct driver *d,
				     enum driver_item_kind kind,
				     const struct command *command)
{
	struct driver_items *list = list_of(d, kind);
	struct driver_item *item;

	if (list->size > DRIVER_ITEMS_SIZE_MAX || !encoded(d, command))
		return NULL;
	item = driver__alloc(sizeof *item);
	item->kind = kind;
	item->agent = DRIVER_MAP_NONE;
	set_data(d, item);
	*list->last = item;
	list->last = &item->next;
	list->size += item->size;
	return item;
}

static uint32_t wish_of(enum driver_item_kind kind)
{
	return kind == ITEM_REGISTER ? WISH_REGISTER : WISH_REPORT;
}

static bool is_same(const struct driver *d, const struct driver_item *item)
{
	return item->size == d->body.size - DRIVER_HEAD_ROOM &&
	       memcmp(item->data, d->body.data + DRIVER_HEAD_ROOM,
		      item->size) == 0;
}

struct driver_item *driver__item_newest(struct driver *d,
					enum driver_item_kind kind,
					uint32_t agent,
					const struct command *command)
{
	struct driver_agent *a = &d->agents[agent];
	struct driver_item *item = a->waiting[wish_of(kind)];
	struct driver_item *flying = a->flying[wish_of(kind)];

	if (!encoded(d, command))
		return NULL;
	if (item != NULL) {
		d->items.size -= item->size;
		set_data(d, item);
		d->items.size += item->size;
		return item;
	}
	if (flying != NULL && is_same(d, flying))
		return flying;
	item = driver__item_add(d, kind, command);
	if (item != NULL)
		item->agent = agent;
	a->waiting[wish_of(kind)] = item;
	return item;
}

bool driver__item_may_go(const struct driver *d, const struct driver_item *item)
{
	return item->agent == DRIVER_MAP_NONE ||
	       d->agents[item->agent].flying[wish_of(item->kind)] == NULL;
}

void driver__item_goes(struct driver *d, struct driver_item *item)
{
	struct driver_agent *a;

	if (item->agent == DRIVER_MAP_NONE)
		return;
	a = &d->agents[item->agent];
	a->waiting[wish_of(item->kind)] = NULL;
	a->flying[wish_of(item->kind)] = item;
}

void driver__item_lands(struct driver *d, const struct driver_item *item)
{
	if (item->agent != DRIVER_MAP_NONE)
		d->agents[item->agent].flying[wish_of(item->kind)] = NULL;
}

static void prepend(struct driver_items *list, struct driver_items *front)
{
	if (front->first == NULL)
		return;
	*front->last = list->first;
	if (list->first == NULL)
		list->last = front->last;
	list->first = front->first;
	list->size += front->size;
}

void driver__items_back(struct driver *d, struct driver_item *items)
{
	struct driver_items expiries = { .last = &expiries.first };
	struct driver_items others = { .last = &others.first };
	struct driver_items *to;
	struct driver_item *next;

	for (; items != NULL; items = next) {
		next = items->next;
		items->next = NULL;
		to = items->kind == ITEM_EXPIRE ? &expiries : &others;
		*to->last = items;
		to->last = &items->next;
		to->size += items->size;
		driver__item_lands(d, items);
		if (items->agent != DRIVER_MAP_NONE)
			d->agents[items->agent].waiting[wish_of(items->kind)] =
				items;
	}
	prepend(&d->expiries, &expiries);
	prepend(&d->items, &others);
}
