/* What the shipped relay stands on: a loop's timers, streams between replicas
 * that are dialled, fall silent and end, an end for each link of an agent; and
 * what the shipped edge.c and core.c say around it, in the same order. */
#include "tests/sim/whole/edge.h"

#include <stdlib.h>

#include "node/replica/agent_link.h"
#include "node/replica/api.h"
#include "node/replica/relay.h"
#include "node/replica/store.h"

#define PEER_IDLE_MS 5000u   /* relay.c's, and a handshake's */
#define AGENT_IDLE_MS 60000u /* edge.c's */
#define LINKS_OF_HOST_MAX 2u /* at a replica; older ones end */

static struct edge_sim *turn; /* whose code runs */

static struct edge_sim *of_loop(const uv_loop_t *loop)
{
	return loop->data;
}

static uint64_t now_ms(const struct edge_sim *sim)
{
	return drifting_ms(&sim->node->clock, sim->node->world->now_us);
}

/* --- small things --------------------------------------------------------------- */

void edge_log_line(enum log_level level, const char *area,
		   const char *format, ...)
{
	(void)level;
	(void)area;
	(void)format;
}

void edge_random(void *data, size_t size)
{
	uint64_t value = chance_next(&turn->chance);

	REQUIRE(size <= sizeof value);
	memcpy(data, &value, size);
}

void edge_hold(struct edge *edge)
{
	edge->busy++;
}

void edge_release(struct edge *edge)
{
	REQUIRE(edge->busy > 0);
	edge->busy--;
}

bool edge_is_leader(const struct edge *edge)
{
	return edge->core && edge->leader == edge->config.id;
}

bool edge_is_member(const struct edge *edge, uint64_t id)
{
	(void)edge;
	return id != 0;
}

/* Nobody forwards requests here, reads or fetches contents. */
int api_forwarded(struct api *api, uint64_t peer, const uint8_t *payload,
		  size_t size)
{
	(void)api;
	(void)peer;
	(void)payload;
	(void)size;
	return BERTH_MALFORMED;
}

void edge_read_engine(struct edge *edge, struct edge_read *read)
{
	(void)edge;
	read->done(read, BERTH_BUSY);
}

void store_get(struct store *store, struct store_get *get)
{
	(void)store;
	get->done(get, BERTH_NOTFOUND, NULL, 0);
}

/* --- timers ---------------------------------------------------------------------- */

uint64_t edge_now(const uv_loop_t *loop)
{
	return now_ms(of_loop(loop));
}

static struct edge_timer *timer_of(const void *handle)
{
	struct edge_sim *sim = of_loop(((const uv_timer_t *)handle)->loop);

	for (uint32_t i = 0; i < sim->timer_count; i++)
		if (sim->timers[i].timer == handle)
			return &sim->timers[i];
	REQUIRE(false); /* a timer that was never initialised */
	return NULL;
}

static void timer_push(struct edge_sim *sim, const struct edge_timer *timer)
{
	struct node *node = sim->node;
	const struct event event = {
		.kind = EVENT_EDGE, .to = node->number, .life = node->life,
		.a = (uint64_t)(timer - sim->timers), .b = timer->starts,
		.at_us = drifting_when(&node->clock, timer->due_ms) };

	event_push(node->world, &event);
}

int edge_timer_init(uv_loop_t *loop, uv_timer_t *timer)
{
	struct edge_sim *sim = of_loop(loop);

	REQUIRE(sim->timer_count < EDGE_TIMERS_MAX);
	timer->loop = loop;
	sim->timers[sim->timer_count++].timer = timer;
	return 0;
}

int edge_timer_start(uv_timer_t *handle, uv_timer_cb cb, uint64_t ms,
		     uint64_t repeat_ms)
{
	struct edge_sim *sim = of_loop(handle->loop);
	struct edge_timer *timer = timer_of(handle);

	timer->cb = cb;
	timer->due_ms = now_ms(sim) + ms;
	timer->repeat_ms = repeat_ms;
	timer->active = true;
	timer->starts++;
	timer_push(sim, timer);
	return 0;
}

int edge_timer_active(const uv_handle_t *handle)
{
	return timer_of(handle)->active;
}

/* A replica of this world ends at once, as one that is killed. */
void edge_timer_close(uv_handle_t *handle, uv_close_cb cb)
{
	(void)cb;
	timer_of(handle)->active = false;
}

static void streams_watch(struct edge_sim *sim);

static void timer_due(struct edge_sim *sim, const struct event *event)
{
	struct edge_timer *timer = &sim->timers[event->a];

	if (!timer->active || timer->starts != event->b)
		return;
	if (now_ms(sim) < timer->due_ms) { /* its clock was set */
		timer_push(sim, timer);
		return;
	}
	if (sim->node->world->now_us >
	    drifting_when(&sim->node->clock, timer->due_ms) + 1000)
		sim->woke_us = sim->node->world->now_us;
	timer->active = false;
	if (timer->repeat_ms) {
		streams_watch(sim);
		edge_timer_start(timer->timer, timer->cb, timer->repeat_ms,
				 timer->repeat_ms);
	}
	timer->cb(timer->timer);
}

/* --- streams --------------------------------------------------------------------- */

enum { PEER_FRAME = 0, PEER_CONNECT, PEER_OPENED, PEER_CLOSED };

static struct stream *stream_add(struct edge_sim *sim, bool agent,
				 uint64_t id, uint32_t other)
{
	struct stream *stream = need(calloc(1, sizeof *stream));

	stream->sim = sim;
	stream->agent = agent;
	stream->id = id;
	stream->other = other;
	stream->heard_ms = now_ms(sim);
	stream->next = sim->streams;
	sim->streams = stream;
	return stream;
}

static struct stream *stream_find(struct edge_sim *sim, bool agent,
				  uint64_t id)
{
	for (struct stream *s = sim->streams; s; s = s->next)
		if (s->agent == agent && s->id == id && !s->ending)
			return s;
	return NULL;
}

int edge_stream_connect(struct stream **out, uv_loop_t *loop,
			struct stream_tls *tls, const char *host,
			uint16_t port, const char *alpn,
			const struct identity *expected,
			const struct stream_options *options,
			const struct stream_events *events, void *ctx)
{
	struct edge_sim *sim = of_loop(loop);
	struct node *node = sim->node;
	uint32_t to = (uint32_t)strtoul(expected->name, NULL, 10) - 1;

	(void)tls;
	(void)host;
	(void)port;
	(void)alpn;
	(void)options;
	if (to >= node->world->node_count || node->world->nodes[to].gone)
		return BERTH_NOTFOUND;
	*out = stream_add(sim, false, (uint64_t)node->number << 56 |
			  (uint64_t)node->life << 32 | ++sim->dialled, to);
	edge_stream_take(*out, events, ctx);
	if (node->world->nodes[to].alive)
		wire_control(node->world, node->number, to, PEER_CONNECT,
			     (*out)->id);
	else
		wire_control(node->world, to, node->number, PEER_CLOSED,
			     (*out)->id);
	return 0;
}

void edge_stream_take(struct stream *stream,
		      const struct stream_events *events, void *ctx)
{
	stream->events = events;
	stream->ctx = ctx;
}

int edge_stream_send(struct stream *stream, uint8_t type,
		     const struct stream_part *parts, uint32_t count)
{
	struct node *node = stream->sim->node;

	REQUIRE(count == 1);
	if (stream->ending)
		return BERTH_CLOSED;
	if (!stream->agent) {
		check_leaves(stream, type, parts->data, parts->size);
		wire_relay(node, stream->other, stream->id, type, parts->data,
			   parts->size);
	} else if (type != AGENT_REPLICAS) { /* agents know them all */
		check_written(stream, type, parts->data, parts->size);
		wire_down(node, stream->id, type, parts->data, parts->size);
	}
	return 0;
}

/* Its end is told when the code that runs has returned. */
static void stream_end(struct stream *stream, bool tell)
{
	const struct node *node = stream->sim->node;

	if (!stream->ending && tell && !stream->agent)
		wire_control(node->world, node->number, stream->other,
			     PEER_CLOSED, stream->id);
	stream->ending = true;
}

void edge_stream_close(struct stream *stream, const char *why)
{
	if (strstr(why, "malformed") || strstr(why, "version"))
		world_fail(stream->sim->node->world, "replica %" PRIu64
			   " closes a link: %s", stream->sim->node->id, why);
	stream_end(stream, true);
}

const char *edge_stream_address(const struct stream *stream)
{
	(void)stream;
	return "simulated";
}

static void stream_reap(struct stream *stream)
{
	static const struct fault silent = { BERTH_CLOSED, "it ended" };

	if (stream->events)
		stream->events->closed(stream->ctx, stream, &silent);
	free(stream);
}

static void streams_reap(struct edge_sim *sim)
{
	struct stream **at = &sim->streams;

	while (*at) {
		struct stream *stream = *at;

		if (!stream->ending) {
			at = &stream->next;
			continue;
		}
		*at = stream->next;
		stream_reap(stream);
		at = &sim->streams;
	}
}

static void streams_watch(struct edge_sim *sim)
{
	uint64_t now = now_ms(sim);

	for (struct stream *s = sim->streams; s; s = s->next)
		if (now - s->heard_ms >= (s->agent ? AGENT_IDLE_MS :
						     PEER_IDLE_MS))
			stream_end(s, true);
	check_linked(sim);
}

/* --- what arrives ---------------------------------------------------------------- */

static void hand_over(struct stream *stream, enum hearing what,
		      const struct event *event)
{
	struct edge_sim *sim = stream->sim;
	struct heard before = check_begin(sim, what, stream, event->type,
					  event->data, event->size);

	stream->heard_ms = now_ms(sim);
	stream->events->frame(stream->ctx, stream, event->type, event->data,
			      event->size);
	check_end(sim, &before);
}

/* A new link takes the place of the oldest of that machine. */
static struct stream *agent_accept(struct edge_sim *sim, uint64_t link,
				   uint32_t number)
{
	struct stream *stream, *oldest = NULL;
	uint32_t count = 0;

	for (struct stream *s = sim->streams; s; s = s->next)
		if (s->agent && s->other == number && !s->ending) {
			count++;
			if (!oldest || s->id < oldest->id)
				oldest = s;
		}
	if (count >= LINKS_OF_HOST_MAX)
		stream_end(oldest, false);
	stream = stream_add(sim, true, link, number);
	stream->open = true;
	agent_links_accept(sim->edge.agents,
			   &sim->node->world->hosts[number]->crn_hash, stream);
	stream->number = edge_link_number(sim->edge.agents, stream);
	return stream;
}

static void agent_arrives(struct edge_sim *sim, const struct event *event)
{
	struct stream *stream = stream_find(sim, true, event->a);

	if (!stream)
		stream = agent_accept(sim, event->a, event->from);
	if (!stream->ending)
		hand_over(stream, HEAR_AGENT, event);
}

static struct stream *open_to(struct edge_sim *sim, uint32_t other)
{
	for (struct stream *s = sim->streams; s; s = s->next)
		if (!s->agent && s->other == other && s->open && !s->ending)
			return s;
	return NULL;
}

/* A connection that is gone brings nothing, as a rule. */
static void frame_arrives(struct edge_sim *sim, const struct event *event)
{
	struct stream *stream = stream_find(sim, false, event->a);

	if (!stream && sim->node->world->options.late)
		stream = open_to(sim, event->from);
	if (stream && stream->open)
		hand_over(stream, event->type == PEER_RELAY_UP ? HEAR_UP :
				  event->type == PEER_RELAY_DOWN ? HEAR_DOWN :
				  HEAR_NOTHING, event);
}

static void peer_arrives(struct edge_sim *sim, const struct event *event)
{
	struct node *node = sim->node;
	struct stream *stream = stream_find(sim, false, event->a);

	if (event->x == PEER_FRAME) {
		frame_arrives(sim, event);
	} else if (event->x == PEER_CONNECT && !stream) {
		wire_control(node->world, node->number, event->from,
			     PEER_OPENED, event->a);
		stream = stream_add(sim, false, event->a, event->from);
		stream->open = true;
		relay_accept(sim->edge.relay, event->from + 1, stream);
	} else if (event->x == PEER_OPENED && stream) {
		stream->open = true;
		stream->heard_ms = now_ms(sim);
		stream->events->open(stream->ctx, stream);
	} else if (event->x == PEER_OPENED) {
		wire_control(node->world, node->number, event->from,
			     PEER_CLOSED, event->a);
	} else if (event->x == PEER_CLOSED && stream) {
		stream_end(stream, false);
	}
}

bool edge_arrive(struct node *node, const struct event *event)
{
	struct edge_sim *sim = turn = node->edge;

	sim->core_heard = false;
	if (event->kind == EVENT_UP)
		agent_arrives(sim, event);
	else if (event->kind == EVENT_RELAY)
		peer_arrives(sim, event);
	else if (event->life == node->life)
		timer_due(sim, event);
	streams_reap(sim);
	return sim->core_heard;
}

/* --- between the edge and the core ------------------------------------------------ */

void core_agent_frame(struct core *core, const struct agent_route *route,
		      const struct hash *crn, uint8_t type,
		      const void *payload, size_t size)
{
	struct node *node = (struct node *)core;

	check_core(node->edge, route, crn, type, payload, size);
	node->edge->core_heard = true;
	(void)driver_agent_frame(node->driver, fsm_live(node->fsm), route,
				 crn, type, payload, size);
}

/* edge.c's on_agent_send: the leader answers to (replica, link). */
void edge_answer(struct node *node, const struct agent_route *route,
		 uint8_t type, const void *data, size_t size)
{
	struct edge_sim *sim = turn = node->edge;
	struct heard before;

	if (route->replica == node->id) {
		before = check_begin(sim, HEAR_ANSWER, NULL, type, data, size);
		sim->heard.link = route->link;
		(void)agent_links_write(sim->edge.agents, route->link, type,
					data, size);
		check_end(sim, &before);
		return;
	}
	check_given(sim, false, (uint32_t)route->replica - 1, route->link,
		    NULL, type, data, size);
	(void)relay_agent_down(sim->edge.relay, route->replica, route->link,
			       type, data, size);
}

/* edge.c's on_leader: after the core's step, when either changed. */
void edge_told(struct node *node)
{
	struct edge_sim *sim = turn = node->edge;

	if (sim->edge.leader == node->leader && sim->edge.term == node->term)
		return;
	sim->edge.leader = node->leader;
	sim->edge.term = node->term;
	check_term(sim);
	relay_term(sim->edge.relay);
	agent_links_leader(sim->edge.agents);
}

/* --- start and end ----------------------------------------------------------------- */

void edge_start(struct node *node)
{
	struct edge_sim *sim = turn = need(calloc(1, sizeof *sim));

	node->edge = sim;
	sim->node = node;
	sim->loop.data = sim;
	sim->chance.state = node->world->seed ^ (uint64_t)node->id << 48 ^
			    (uint64_t)node->life << 32;
	for (uint32_t i = 0; i < NODES_MAX; i++)
		sim->peers[i].id = i + 1;
	sim->edge.loop = &sim->loop;
	sim->edge.core = (struct core *)node;
	sim->edge.config.id = node->id;
	sim->edge.config.cluster = "sim";
	sim->edge.config.peers = sim->peers;
	sim->edge.config.peer_count = NODES_MAX;
	REQUIRE(agent_links_open(&sim->edge.agents, &sim->edge) == 0);
	REQUIRE(relay_open(&sim->edge.relay, &sim->edge) == 0);
}

/* The process is gone: whom it spoke to may be told so by the kernel. */
void edge_stop(struct node *node)
{
	struct edge_sim *sim = turn = node->edge;

	while (sim->streams) {
		struct stream *stream = sim->streams;

		sim->streams = stream->next;
		stream_end(stream, !node->world->over);
		stream_reap(stream);
	}
	relay_free(sim->edge.relay);
	agent_links_free(sim->edge.agents);
	free(sim->waiting);
	free(sim);
	node->edge = NULL;
}
