/* What must hold at the borders of the relay (lease.md 2.6), looked at with a
 * decoder of our own: a follower copies what it was given, once, to the leader
 * of the term in which it was given, within 5 ms and in at most 64 KiB; the
 * core hears frames of its own term only, each as it was sent; an answer is
 * written to the link that it was made for, and to no other; and after the
 * heal all are linked. Who leads can be reached without a relay, so that
 * programs run again would not tell. */
#include "tests/sim/whole/edge.h"

#include <stdlib.h>

#include "node/replica/relay.h"

#define BATCH_US 5000u
#define BATCH_SIZE 65536u
#define LINKED_US 15000000u /* a lost handshake, and a wait before the next */

struct item {
	uint64_t link;
	const uint8_t *crn, *data;
	size_t size;
	uint8_t type;
};

static uint64_t integer(const uint8_t *at, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | at[i];
	return value;
}

static bool item_next(const uint8_t *data, size_t size, size_t *at, bool up,
		      struct item *out)
{
	size_t head = 8 + (up ? 32u : 0) + 1 + 4;

	if (size - *at < head)
		return false;
	out->link = integer(data + *at, 8);
	out->crn = data + *at + 8;
	out->type = data[*at + head - 5];
	out->size = integer(data + *at + head - 4, 4);
	out->data = data + *at + head;
	if (size - *at - head < out->size)
		return false;
	*at += head + out->size;
	return true;
}

static void wrong(const struct edge_sim *sim, const char *what)
{
	world_fail(sim->node->world, "lease.md 2.6: at replica %" PRIu64
		   " %s", sim->node->id, what);
}

/* --- links ----------------------------------------------------------------------- */

/* What was put off while it was paused comes when that pause was to end, also
 * when it ended earlier. */
static bool runs(const struct node *node)
{
	uint64_t now = drifting_ms(&node->clock, node->world->now_us);

	if (!node_ready(node))
		return false;
	for (uint32_t i = 0; i < node->edge->timer_count; i++)
		if (node->edge->timers[i].active &&
		    node->edge->timers[i].due_ms + 1000 < now)
			return false;
	return true;
}

static bool reachable(const struct node *node, uint32_t other)
{
	const struct world *world = node->world;
	uint32_t low = node->number < other ? node->number : other;
	uint32_t high = node->number < other ? other : node->number;

	return other != node->number && runs(&world->nodes[other]) &&
	       !world->peers[low][high].cut[0] &&
	       !world->peers[low][high].cut[1];
}

void check_linked(struct edge_sim *sim)
{
	struct world *world = sim->node->world;

	for (uint32_t i = 0; world->healed && i < world->node_count; i++) {
		uint64_t *since_us = &sim->apart_us[i];

		if (!reachable(sim->node, i) ||
		    relay_up(sim->edge.relay, i + 1))
			*since_us = 0;
		else if (!*since_us)
			*since_us = world->now_us;
		else if (world->now_us - *since_us > LINKED_US)
			wrong(sim, "a link to another replica is not made");
	}
}

/* --- what leaves ------------------------------------------------------------------ */

static uint64_t hash_of(const uint8_t *crn, uint64_t link, uint8_t type,
			const void *data, size_t size)
{
	return bytes_hash(data, size) * 31 + type +
	       (crn ? bytes_hash(crn, 32) : 0) + link * 0x9fb21c651e98df25u;
}

void check_given(struct edge_sim *sim, bool up, uint32_t to, uint64_t link,
		 const struct hash *crn, uint8_t type, const void *data,
		 size_t size)
{
	if (sim->waiting_count == sim->waiting_capacity) {
		sim->waiting_capacity = sim->waiting_capacity * 2 + 16;
		sim->waiting = need(realloc(sim->waiting,
					    sim->waiting_capacity *
						    sizeof *sim->waiting));
	}
	sim->waiting[sim->waiting_count++] = (struct waiting){
		.at_us = sim->node->world->now_us, .to = to, .up = up,
		.hash = hash_of(crn ? crn->bytes : NULL, link, type, data,
				size) };
}

void check_term(struct edge_sim *sim)
{
	sim->waiting_count = 0;
}

/* Of those that may still be there: the relay's clock counts milliseconds, and
 * a process that is paused sends when it wakes. What is in front of the one
 * that is found was dropped. */
static bool take(struct edge_sim *sim, bool up, uint32_t to, uint64_t hash)
{
	const struct node *node = sim->node;

	for (uint32_t i = 0; i < sim->waiting_count; i++) {
		struct waiting *w = &sim->waiting[i];

		if (w->done || w->up != up || w->to != to)
			continue;
		w->done = true;
		if (w->hash == hash &&
		    (node->world->now_us - w->at_us <= BATCH_US + 1500 ||
		     node->paused_us > w->at_us || sim->woke_us >= w->at_us))
			return true;
	}
	return false;
}

static void compact(struct edge_sim *sim)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < sim->waiting_count; i++)
		if (!sim->waiting[i].done)
			sim->waiting[kept++] = sim->waiting[i];
	sim->waiting_count = kept;
}

void check_leaves(struct stream *stream, uint8_t type, const void *data,
		  size_t size)
{
	struct edge_sim *sim = stream->sim;
	bool up = type == PEER_RELAY_UP;
	uint32_t count = 0;
	size_t at = 8;
	struct item item;

	if (!up && type != PEER_RELAY_DOWN)
		return;
	if (size < at || integer(data, 8) != sim->edge.term)
		wrong(sim, "a batch leaves with another term");
	for (; item_next(data, size, &at, up, &item); count++) {
		uint64_t hash = hash_of(up ? item.crn : NULL, item.link,
					item.type, item.data, item.size);

		if (take(sim, up, stream->other, hash))
			continue;
		wrong(sim, "the relay made, repeated or kept a frame for more "
			   "than 5 ms");
		return;
	}
	if (at != size || count == 0)
		wrong(sim, "a batch leaves that cannot be read");
	/* The head of each is not counted by the relay. */
	if (count > 1 && size > BATCH_SIZE + 64)
		wrong(sim, "a batch of more than 64 KiB leaves");
	compact(sim);
}

/* --- what arrives ------------------------------------------------------------------ */

struct heard check_begin(struct edge_sim *sim, enum hearing what,
			 const struct stream *stream, uint8_t type,
			 const uint8_t *data, size_t size)
{
	struct heard before = sim->heard;
	const struct edge *edge = &sim->edge;
	uint64_t leader = edge->leader, self = sim->node->id;

	sim->heard = (struct heard){ .what = what, .type = type, .data = data,
				     .size = size, .at = 8 };
	if (what == HEAR_AGENT) {
		sim->heard.link = stream->number;
		sim->heard.may = leader == self;
		if (leader && leader != self)
			check_given(sim, true, (uint32_t)leader - 1,
				    stream->number,
				    &sim->node->world->hosts[stream->other]
					     ->crn_hash,
				    type, data, size);
	} else if (what == HEAR_UP || what == HEAR_DOWN) {
		sim->heard.from = stream->other;
		sim->heard.may = size >= 8 &&
				 integer(data, 8) == edge->term &&
				 (what == HEAR_DOWN || leader == self);
	}
	return before;
}

/* An answer that was not written was for a link that is gone. */
static void left_out(struct edge_sim *sim, const struct item *item)
{
	for (const struct stream *s = sim->streams; s; s = s->next)
		if (s->agent && s->number == item->link && !s->ending)
			wrong(sim, "an answer of its term is not written");
}

void check_end(struct edge_sim *sim, const struct heard *before)
{
	struct heard *h = &sim->heard;
	struct item item;

	if (h->may && h->what == HEAR_UP &&
	    item_next(h->data, h->size, &h->at, true, &item))
		wrong(sim, "the leader left out a frame of its term");
	while (h->may && h->what == HEAR_DOWN &&
	       item_next(h->data, h->size, &h->at, false, &item))
		left_out(sim, &item);
	if (h->may && h->what == HEAR_AGENT && h->count != 1)
		wrong(sim, "the leader did not hear its own link's frame");
	sim->heard = *before;
}

void check_core(struct edge_sim *sim, const struct agent_route *route,
		const struct hash *crn, uint8_t type, const void *data,
		size_t size)
{
	struct heard *h = &sim->heard;
	struct item item;

	h->count++;
	if (!h->may || (h->what != HEAR_UP && h->what != HEAR_AGENT)) {
		wrong(sim, "the core hears a frame of another term, or does "
			   "not lead");
	} else if (h->what == HEAR_AGENT) {
		if (route->replica != sim->node->id || route->link != h->link ||
		    type != h->type || data != h->data || size != h->size)
			wrong(sim, "the core hears another frame");
	} else if (!item_next(h->data, h->size, &h->at, true, &item) ||
		   route->replica != h->from + 1 || route->link != item.link ||
		   memcmp(crn->bytes, item.crn, 32) || type != item.type ||
		   size != item.size || memcmp(data, item.data, size)) {
		wrong(sim, "the core hears another frame than was relayed");
	}
}

void check_written(const struct stream *stream, uint8_t type,
		   const void *data, size_t size)
{
	struct edge_sim *sim = stream->sim;
	struct heard *h = &sim->heard;
	struct item item;

	if (h->what == HEAR_ANSWER && stream->number == h->link &&
	    type == h->type && size == h->size &&
	    !memcmp(data, h->data, size) && h->count++ == 0)
		return;
	while (h->what == HEAR_DOWN && h->may &&
	       item_next(h->data, h->size, &h->at, false, &item)) {
		if (stream->number == item.link && type == item.type &&
		    size == item.size && !memcmp(data, item.data, size))
			return;
		left_out(sim, &item);
	}
	wrong(sim, "an answer is written that is not for this link or of "
		   "another term");
}
