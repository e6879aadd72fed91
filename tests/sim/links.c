/* The network: one connection for each pair. As TCP when nothing is lost,
 * doubled or reordered by the options; a handshake always arrives, or the
 * connection breaks. */
#include <stdlib.h>

#include "raft/bytes.h"
#include "raft/crc32c.h"
#include "tests/sim/sim.h"

#define AGAIN_US 20000u

static uint64_t delay_us(struct world *world)
{
	uint64_t ms = world->options.net_ms;

	if (chance_percent(&world->chance, 2))
		ms *= 8;
	return 20 + chance_below(&world->chance, ms * 1000 + 1);
}

static void carry(struct world *world, uint32_t from, uint32_t to,
		  const struct replica_part *parts, uint32_t count,
		  uint64_t at_us)
{
	struct sim_event event = { .kind = EVENT_FRAME, .from = from,
				   .to = to, .at_us = at_us };
	uint32_t low = from < to ? from : to, high = from < to ? to : from, i;
	size_t at = 0;

	for (i = 0; i < count; i++)
		event.size += parts[i].size;
	event.data = malloc(event.size + 1);
	if (!event.data)
		abort();
	for (i = 0; i < count; i++) {
		if (parts[i].size)
			memcpy(event.data + at, parts[i].data, parts[i].size);
		at += parts[i].size;
	}
	event.link = world->links[low][high].epoch;
	world->totals.frames++;
	world_trace(world, crc32c(0, event.data, event.size));
	oracle_sending(&world->nodes[from], event.data, event.size);
	event_push(world, &event);
}

bool link_transmit(struct node *node, uint64_t id,
		   const struct replica_part *parts, uint32_t count)
{
	struct world *world = node->world;
	const struct options *o = &world->options;
	uint32_t from = (uint32_t)(node - world->nodes), to = (uint32_t)id - 1;
	uint32_t low = from < to ? from : to, high = from < to ? to : from;
	uint32_t way = from < to ? 0 : 1;
	uint8_t type = ((const uint8_t *)parts[0].data)[0];
	bool must = type == FRAME_HELLO || type == FRAME_REFUSED;
	uint64_t at = world->now_us + delay_us(world), *last;

	if (id == 0 || to >= world->node_count || !world->links[low][high].up)
		return false;
	if (!must && (world->links[low][high].cut[way] ||
		      chance_percent(&world->chance, o->loss)))
		return true;
	last = &world->links[low][high].last_us[way];
	if (must || !chance_percent(&world->chance, o->reorder)) {
		if (at < *last)
			at = *last;
		*last = at;
	}
	carry(world, from, to, parts, count, at);
	if (!must && chance_percent(&world->chance, o->duplicate))
		carry(world, from, to, parts, count, at + delay_us(world));
	return true;
}

void link_arrive(struct world *world, struct sim_event *event)
{
	uint32_t low = event->from < event->to ? event->from : event->to;
	uint32_t high = event->from < event->to ? event->to : event->from;
	struct node *node = &world->nodes[event->to];

	if (!world->links[low][high].up ||
	    world->links[low][high].epoch != event->link || !node->alive)
		return;
	replica_link_frame(node->replica, event->from + 1, event->data,
			   event->size);
}

void link_break(struct world *world, uint32_t a, uint32_t b, uint64_t again_us)
{
	uint32_t low = a < b ? a : b, high = a < b ? b : a;

	if (!world->links[low][high].up)
		return;
	world->links[low][high].up = false;
	world->links[low][high].epoch++;
	world->links[low][high].since_us = again_us;
	if (world->nodes[low].alive)
		replica_link_down(world->nodes[low].replica, high + 1);
	if (world->nodes[high].alive)
		replica_link_down(world->nodes[high].replica, low + 1);
}

void links_of_crashed(struct world *world, uint32_t number)
{
	uint32_t i;

	for (i = 0; i < world->node_count; i++)
		if (i != number)
			link_break(world, i, number, world->now_us + AGAIN_US);
}

/* Connects whoever can be connected. */
void link_keep(struct world *world)
{
	uint32_t a, b;

	for (a = 0; a < world->node_count; a++)
		for (b = a + 1; b < world->node_count; b++) {
			if (world->links[a][b].up || !world->nodes[a].alive ||
			    !world->nodes[b].alive ||
			    world->links[a][b].since_us > world->now_us ||
			    world->links[a][b].cut[0] ||
			    world->links[a][b].cut[1])
				continue;
			world->links[a][b].up = true;
			world->links[a][b].epoch++;
			world->links[a][b].last_us[0] =
				world->links[a][b].last_us[1] = 0;
			replica_link_up(world->nodes[a].replica, b + 1);
			replica_link_up(world->nodes[b].replica, a + 1);
		}
}
