/* The network: between replicas one connection a pair, between a machine and
 * the replica it chose a link, and the relays' streams. Frames may come late,
 * twice, out of order, or from a link that is long gone. */
#include <stdlib.h>

#include "raft/internal.h"
#include "tests/sim/whole/weather.h"

#define AGAIN_US 20000u

/* By chance; what a split swallows is not counted. */
static bool loses(struct world *world)
{
	bool lost = chance_below(&world->chance, 1000) < world->options.loss;

	world->totals.by_message[MESSAGE_LOST] += lost;
	return lost;
}

static bool doubles(struct world *world)
{
	bool doubled = chance_percent(&world->chance,
				      world->options.duplicate);

	world->totals.by_message[MESSAGE_DOUBLED] += doubled;
	return doubled;
}

uint64_t wire_delay(struct world *world, bool wide)
{
	const struct options *o = &world->options;
	uint64_t ms = wide ? o->wan_ms : o->net_ms;

	if (!world->healed && o->late &&
	    chance_below(&world->chance, 1000) < o->late) {
		world->totals.by_message[MESSAGE_LATE]++;
		return chance_below(&world->chance, 40000000);
	}
	return 50 + ms * 250 + chance_below(&world->chance, ms * 750 + 1);
}

static uint8_t *copy(const void *data, size_t size)
{
	uint8_t *bytes = need(malloc(size + 1));

	if (size)
		memcpy(bytes, data, size);
	return bytes;
}

/* --- between replicas: the engine's links ---------------------------------------- */

static size_t size_of(const struct replica_part *parts, uint32_t count)
{
	size_t size = 0;

	for (uint32_t i = 0; i < count; i++)
		size += parts[i].size;
	return size;
}

static void carry(struct world *world, uint32_t from, uint32_t to,
		  const struct replica_part *parts, uint32_t count,
		  uint64_t at_us)
{
	struct event event = { .kind = EVENT_PEER, .from = from, .to = to,
			       .at_us = at_us };
	uint32_t low = from < to ? from : to, high = from < to ? to : from;
	size_t at = 0;

	event.size = size_of(parts, count);
	event.data = need(malloc(event.size + 1));
	for (uint32_t i = 0; i < count; i++) {
		if (parts[i].size)
			memcpy(event.data + at, parts[i].data, parts[i].size);
		at += parts[i].size;
	}
	event.a = world->peers[low][high].epoch;
	world_trace(world, event.size * 64 + to);
	event_push(world, &event);
}

bool peer_transmit(struct node *node, uint64_t id,
		   const struct replica_part *parts, uint32_t count)
{
	struct world *world = node->world;
	const struct options *o = &world->options;
	uint32_t from = node->number, to = (uint32_t)id - 1;
	uint32_t low = from < to ? from : to, high = from < to ? to : from;
	uint32_t way = from < to ? 0 : 1;
	uint8_t type = ((const uint8_t *)parts[0].data)[0];
	bool must = type == FRAME_HELLO || type == FRAME_REFUSED;
	uint64_t at, *last;

	if (id == 0 || to >= world->node_count || !world->peers[low][high].up ||
	    (world->peers[low][high].closing_us &&
	     world->peers[low][high].closer == from))
		return false;
	if (!must && (world->peers[low][high].cut[way] || loses(world)))
		return true;
	at = clog_passes(world, from, to, size_of(parts, count),
			 world->now_us + wire_delay(world, false) % 2000000);
	last = &world->peers[low][high].last_us[way];
	if (must || !chance_percent(&world->chance, o->reorder)) {
		if (at < *last)
			at = *last;
		*last = at;
	} else {
		world->totals.by_message[MESSAGE_REORDERED] += at < *last;
	}
	carry(world, from, to, parts, count, at);
	if (!must && doubles(world))
		carry(world, from, to, parts, count,
		      at + wire_delay(world, false) % 2000000);
	return true;
}

void peer_break(struct world *world, uint32_t a, uint32_t b, uint64_t again_us)
{
	uint32_t low = a < b ? a : b, high = a < b ? b : a;

	if (!world->peers[low][high].up)
		return;
	world->peers[low][high].up = false;
	world->peers[low][high].epoch++;
	world->peers[low][high].since_us = again_us;
	world->peers_look_us = world->now_us;
	if (world->nodes[low].alive)
		replica_link_down(world->nodes[low].replica, high + 1);
	if (world->nodes[high].alive)
		replica_link_down(world->nodes[high].replica, low + 1);
}

void peer_close(struct world *world, uint32_t closer, uint32_t other)
{
	uint32_t low = closer < other ? closer : other;
	uint32_t high = closer < other ? other : closer;
	uint64_t last_us = world->peers[low][high].last_us[closer > other];

	if (!world->peers[low][high].up || world->peers[low][high].closing_us)
		return;
	world->peers[low][high].closer = closer;
	world->peers[low][high].closing_us =
		1000 + (last_us > world->now_us ? last_us : world->now_us);
}

void peers_of_crashed(struct world *world, uint32_t number)
{
	for (uint32_t i = 0; i < world->node_count; i++)
		if (i != number)
			peer_break(world, i, number, world->now_us + AGAIN_US);
}

static void connect_pair(struct world *world, uint32_t a, uint32_t b)
{
	if (world->peers[a][b].up || !world->nodes[a].alive ||
	    !world->nodes[b].alive || world->peers[a][b].cut[0] ||
	    world->peers[a][b].cut[1] ||
	    world->peers[a][b].since_us > world->now_us)
		return;
	world->peers[a][b].up = true;
	world->peers[a][b].epoch++;
	world->peers[a][b].closing_us = 0;
	world->peers[a][b].last_us[0] = world->peers[a][b].last_us[1] = 0;
	replica_link_up(world->nodes[a].replica, b + 1);
	replica_link_up(world->nodes[b].replica, a + 1);
	world->nodes[a].next_us = world->nodes[b].next_us = world->now_us;
}

static void look_at_pair(struct world *world, uint32_t a, uint32_t b)
{
	if (!world->peers[a][b].up)
		connect_pair(world, a, b);
	else if (world->peers[a][b].closing_us &&
		 world->peers[a][b].closing_us <= world->now_us)
		peer_break(world, a, b, world->now_us + 100000);
}

/* Looks every 20 ms for pairs that could be connected, or are closed. */
void peers_keep(struct world *world)
{
	if (world->now_us < world->peers_look_us)
		return;
	world->peers_look_us = world->now_us + AGAIN_US;
	for (uint32_t a = 0; a < world->node_count; a++)
		for (uint32_t b = a + 1; b < world->node_count; b++)
			look_at_pair(world, a, b);
}

/* --- machines and replicas --------------------------------------------------------- */

static void post(struct world *world, struct event *event, const void *data,
		 size_t size, bool wide)
{
	if (loses(world))
		return;
	event->at_us = world->now_us + wire_delay(world, wide);
	event->size = size;
	event->data = copy(data, size);
	event_push(world, event);
	if (!doubles(world))
		return;
	event->at_us += wire_delay(world, wide);
	event->data = copy(data, size);
	event_push(world, event);
}

void wire_up(struct host *host, uint8_t type, const void *data, size_t size)
{
	struct world *world = host->world;
	struct event event = { .kind = EVENT_UP, .from = host->number,
			       .to = host->link_node, .a = host->link,
			       .type = type };

	world_trace(world, bytes_hash(data, size) ^ type);
	if (!host->cut_up[host->link_node] && !weather_loses(host, 0))
		post(world, &event, data, size, true);
}

void wire_down(struct node *node, uint64_t link, uint8_t type,
	       const void *data, size_t size)
{
	uint32_t number = (uint32_t)(link >> 40);
	struct event event = { .kind = EVENT_DOWN, .from = node->number,
			       .to = number, .a = link, .type = type };

	if (!node->world->hosts[number]->cut_down[node->number] &&
	    !weather_loses(node->world->hosts[number], 1))
		post(node->world, &event, data, size, true);
}

static bool relay_cut(const struct world *world, uint32_t from, uint32_t to)
{
	uint32_t low = from < to ? from : to, high = from < to ? to : from;

	return world->peers[low][high].cut[from < to ? 0 : 1] ||
	       !world->nodes[to].alive;
}

/* A frame of the stream between two relays. */
void wire_relay(struct node *node, uint32_t to, uint64_t id, uint8_t type,
		const void *data, size_t size)
{
	struct event event = { .kind = EVENT_RELAY, .from = node->number,
			       .to = to, .a = id, .type = type };

	world_trace(node->world, bytes_hash(data, size) ^ id);
	if (!relay_cut(node->world, event.from, to))
		post(node->world, &event, data, size, false);
}

/* That it begins or ends: sent again until it arrives, unless it is cut. */
void wire_control(struct world *world, uint32_t from, uint32_t to,
		  uint32_t what, uint64_t id)
{
	const struct event event = {
		.kind = EVENT_RELAY, .from = from, .to = to, .a = id,
		.x = what,
		.at_us = world->now_us + wire_delay(world, false) % 2000000 };

	if (!relay_cut(world, from, to))
		event_push(world, &event);
}

static void arrive_peer(struct node *node, const struct event *event)
{
	uint32_t low = event->from < event->to ? event->from : event->to;
	uint32_t high = event->from < event->to ? event->to : event->from;

	if (node->world->peers[low][high].up &&
	    node->world->peers[low][high].epoch == event->a &&
	    !(node->world->peers[low][high].closing_us &&
	      node->world->peers[low][high].closer == event->to))
		replica_link_frame(node->replica, event->from + 1, event->data,
				   event->size);
}

/* A paused process finds everything when it wakes, in order. */
static bool put_off(struct world *world, struct event *event, uint64_t until)
{
	struct event later = *event;

	if (until <= world->now_us)
		return false;
	later.at_us = until;
	event->data = NULL;
	event_push(world, &later);
	return true;
}

static void arrive_down(struct world *world, struct event *event)
{
	struct host *host = world->hosts[event->to];

	/* A link that is gone brings nothing, as a rule. */
	if (host->link != event->a && !world->options.late)
		return;
	if (host->on && host->agent_up &&
	    !put_off(world, event, host->agent_paused_us))
		agent_frame(host, event->type, event->data, event->size);
}

struct node *wire_arrive(struct world *world, struct event *event)
{
	struct node *node = &world->nodes[event->to % NODES_MAX];

	if (event->kind == EVENT_DOWN) {
		arrive_down(world, event);
		return NULL;
	}
	if (!node->alive || put_off(world, event, node->paused_us))
		return NULL;
	if (event->kind != EVENT_PEER)
		return edge_arrive(node, event) ? node : NULL;
	arrive_peer(node, event);
	return node;
}
