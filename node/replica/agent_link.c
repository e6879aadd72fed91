#include "node/replica/agent_link.h"

#include <assert.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/lib/crypto.h"
#include "node/replica/relay.h"
#include "node/replica/store.h"

#define SLOT_BITS 12
#define CONTENT_GETS_MAX 256u
#define LOG_TIMEOUT_MS 5000u
#define LOGS_MAX 256u
#define TICK_MS 250u

static_assert(EDGE_LINKS_MAX == 1 << SLOT_BITS, "a slot fits in the number");

struct link {
	struct agent_links *links;
	struct stream *stream;
	uint64_t number; /* counter << SLOT_BITS | slot; never used again */
	struct hash crn;
	uint32_t gets;
};

struct agent_links {
	struct edge *edge;
	struct link *slots[EDGE_LINKS_MAX];
	uint32_t count;
	uint64_t counter; /* begins at random: unlike that of an earlier life */
	struct agent_log *logs;
	uint32_t log_count;
	uint64_t log_id;
	uv_timer_t tick;
	bool closing;
};

uint32_t agent_links_count(const struct agent_links *links)
{
	return links->count;
}

static struct link *find(struct agent_links *links, uint64_t number)
{
	struct link *link = links->slots[number & (EDGE_LINKS_MAX - 1)];

	return link && link->number == number ? link : NULL;
}

static struct link *newest(struct agent_links *links, const struct hash *crn)
{
	struct link *best = NULL;

	for (uint32_t i = 0; i < EDGE_LINKS_MAX; i++) {
		struct link *link = links->slots[i];

		if (link && hash_equal(&link->crn, crn) &&
		    (!best || link->number > best->number))
			best = link;
	}
	return best;
}

bool agent_links_has(const struct agent_links *links, const struct hash *crn)
{
	return newest((struct agent_links *)links, crn) != NULL;
}

static bool write_link(struct link *link, uint8_t type, const void *payload,
		       size_t size)
{
	const struct stream_part part = { payload, size };

	return stream_send(link->stream, type, &part, 1) == 0;
}

bool agent_links_write(struct agent_links *links, uint64_t number, uint8_t type,
		       const void *payload, size_t size)
{
	struct link *link = find(links, number);

	return link && write_link(link, type, payload, size);
}

/* --- who leads ------------------------------------------------------------ */

static size_t replicas_encode(const struct edge *edge, uint8_t *data,
			      size_t size)
{
	struct agent_replicas m = { .leader = edge->leader };

	for (uint32_t i = 0; i < edge->config.peer_count &&
	     m.count < COUNT_OF(m.rows); i++) {
		const struct core_peer *peer = &edge->config.peers[i];

		/* Our file may name some that joined not yet, or left. */
		if (!edge_is_member(edge, peer->id))
			continue;
		m.rows[m.count].id = peer->id;
		snprintf(m.rows[m.count].address, sizeof m.rows[0].address,
			 "%.56s:%u", peer->host, (unsigned)peer->raft_port);
		m.count++;
	}
	return agent_replicas_encode(&m, data, size);
}

static void tell_replicas(struct link *link)
{
	uint8_t data[2048];
	size_t size = replicas_encode(link->links->edge, data, sizeof data);

	if (size)
		(void)write_link(link, AGENT_REPLICAS, data, size);
}

void agent_links_leader(struct agent_links *links)
{
	for (uint32_t i = 0; i < EDGE_LINKS_MAX; i++)
		if (links->slots[i])
			tell_replicas(links->slots[i]);
}

/* --- frames --------------------------------------------------------------- */

/* Straight to the core at the leader, by the relay elsewhere, and nowhere
 * while nobody leads: heartbeats repeat. */
static void to_leader(struct link *link, uint8_t type, const uint8_t *payload,
		      size_t size)
{
	struct edge *edge = link->links->edge;
	const struct agent_route route = { edge->config.id, link->number };
	bool sent = false;

	if (edge_is_leader(edge)) {
		core_agent_frame(edge->core, &route, &link->crn, type, payload,
				 size);
		metric_add(&edge->metrics.agent_frames, 1);
		return;
	}
	if (edge->core && edge->leader)
		sent = relay_agent_up(edge->relay, edge->leader, link->number,
				      &link->crn, type, payload, size);
	metric_add(sent ? &edge->metrics.relayed_up
			: &edge->metrics.agent_dropped, 1);
}

struct content {
	struct store_get get;
	struct agent_links *links;
	uint64_t number, id;
};

static void content_done(struct store_get *get, int code, const uint8_t *data,
			 size_t size)
{
	struct content *c = get->ctx;
	struct link *link = find(c->links, c->number);
	const struct agent_answer m = { c->id, code, data, size };
	uint8_t *bytes;
	size_t used;

	if (link)
		link->gets--;
	bytes = link ? malloc(size + 64) : NULL;
	if (bytes) {
		used = agent_answer_encode(&m, bytes, size + 64);
		if (used)
			(void)write_link(link, AGENT_CONTENT, bytes, used);
	}
	free(bytes);
	free(c);
}

static int take_content_get(struct link *link, const uint8_t *payload,
			    size_t size)
{
	struct agent_ask ask;
	struct content *c;
	int code = agent_ask_decode(payload, size, &ask);

	if (code)
		return code;
	if (link->gets >= CONTENT_GETS_MAX)
		return BERTH_BUSY;
	c = calloc(1, sizeof *c);
	if (!c)
		return 0; /* the agent asks again */
	link->gets++;
	c->links = link->links;
	c->number = link->number;
	c->id = ask.id;
	c->get.ctx = c;
	c->get.done = content_done;
	c->get.hash = ask.program;
	store_get(link->links->edge->store, &c->get);
	return 0;
}

static void log_finish(struct agent_links *links, struct agent_log **at,
		       int code, const uint8_t *data, size_t size)
{
	struct agent_log *log = *at;

	*at = log->next;
	links->log_count--;
	log->done(log, code, data, size);
	edge_release(links->edge);
}

static int take_log(struct link *link, const uint8_t *payload, size_t size)
{
	struct agent_links *links = link->links;
	struct agent_log **at = &links->logs;
	struct agent_answer m;
	int code = agent_answer_decode(payload, size, &m);

	if (code)
		return code;
	for (; *at; at = &(*at)->next)
		if ((*at)->id == m.id && (*at)->link == link->number) {
			log_finish(links, at, m.code, m.data, m.size);
			break;
		}
	return 0;
}

static int take_frame(struct link *link, uint8_t type, const uint8_t *payload,
		      size_t size)
{
	switch (type) {
	case AGENT_HELLO:
	case AGENT_REGISTER:
	case AGENT_HEARTBEAT:
	case AGENT_REPORT:
		to_leader(link, type, payload, size);
		return 0;
	case AGENT_CONTENT_GET:
		return take_content_get(link, payload, size);
	case AGENT_LOG:
		return take_log(link, payload, size);
	default:
		return BERTH_MALFORMED;
	}
}

static void on_frame(void *ctx, struct stream *stream, uint8_t type,
		     const uint8_t *payload, size_t size)
{
	struct link *link = ctx;
	int code;

	if (link->links->closing)
		return;
	code = take_frame(link, type, payload, size);
	if (code)
		stream_close(stream, code == BERTH_BUSY
					     ? "too many questions at once"
					     : "malformed frame of an agent");
}

/* Questions about logs end with their link (0: all that are late). */
static void logs_end(struct agent_links *links, uint64_t link, uint64_t now,
		     int code)
{
	struct agent_log **at = &links->logs;

	while (*at) {
		if ((link && (*at)->link == link) ||
		    (now && (*at)->deadline_ms <= now)) {
			log_finish(links, at, code, NULL, 0);
			at = &links->logs;
		} else {
			at = &(*at)->next;
		}
	}
}

static void on_closed(void *ctx, struct stream *stream,
		      const struct fault *fault)
{
	struct link *link = ctx;
	struct agent_links *links = link->links;
	char crn[65];

	(void)stream;
	hash_text(&link->crn, crn);
	if (!links->closing)
		log_info("agent", "link of CRN %.12s ended: %s", crn,
			 fault->text);
	links->slots[link->number & (EDGE_LINKS_MAX - 1)] = NULL;
	links->count--;
	logs_end(links, link->number, 0, BERTH_CLOSED);
	free(link);
	edge_release(links->edge);
}

static const struct stream_events events = { .frame = on_frame,
					     .closed = on_closed };

static struct link *add(struct agent_links *links, const struct hash *crn,
			struct stream *stream)
{
	struct link *link = links->closing ? NULL : calloc(1, sizeof *link);
	uint64_t slot;

	for (slot = 0; slot < EDGE_LINKS_MAX && links->slots[slot]; slot++)
		;
	if (!link || slot == EDGE_LINKS_MAX) {
		free(link);
		return NULL;
	}
	link->links = links;
	link->stream = stream;
	link->crn = *crn;
	link->number = ++links->counter << SLOT_BITS | slot;
	links->slots[slot] = link;
	links->count++;
	return link;
}

void agent_links_accept(struct agent_links *links, const struct hash *crn,
			struct stream *stream)
{
	struct link *link = add(links, crn, stream);
	char text[65];

	if (!link) {
		log_warn("agent", "refused %s: %u links are open",
			 stream_address(stream), links->count);
		metric_add(&links->edge->metrics.refused_links, 1);
		stream_close(stream, "no room for another link");
		return;
	}
	edge_hold(links->edge);
	metric_add(&links->edge->metrics.agent_links, 1);
	hash_text(crn, text);
	log_info("agent", "link of CRN %.12s from %s", text,
		 stream_address(stream));
	stream_take(stream, &events, link);
	tell_replicas(link);
}

/* --- logs ----------------------------------------------------------------- */

void agent_links_log(struct agent_links *links, const struct hash *crn,
		     const struct hash *program, uint64_t tail_size,
		     struct agent_log *log)
{
	struct link *link = newest(links, crn);
	struct agent_ask ask = { ++links->log_id, *program, tail_size };
	uint8_t data[128];
	size_t size = agent_ask_encode(&ask, data, sizeof data);

	if (!link || links->log_count >= LOGS_MAX) {
		log->done(log, link ? BERTH_BUSY : BERTH_NOTFOUND, NULL, 0);
		return;
	}
	if (!size || !write_link(link, AGENT_LOG_GET, data, size)) {
		log->done(log, BERTH_CLOSED, NULL, 0);
		return;
	}
	log->id = ask.id;
	log->link = link->number;
	log->deadline_ms = uv_now(links->edge->loop) + LOG_TIMEOUT_MS;
	log->next = links->logs;
	links->logs = log;
	links->log_count++;
	edge_hold(links->edge);
}

static void tick(uv_timer_t *timer)
{
	struct agent_links *links = timer->data;

	logs_end(links, 0, uv_now(links->edge->loop), BERTH_TIMEOUT);
}

int agent_links_open(struct agent_links **out, struct edge *edge)
{
	struct agent_links *links = calloc(1, sizeof *links);

	if (!links)
		return BERTH_NOMEM;
	links->edge = edge;
	crypto_random(&links->counter, sizeof links->counter);
	links->counter >>= SLOT_BITS + 4;
	links->tick.data = links;
	uv_timer_init(edge->loop, &links->tick);
	uv_timer_start(&links->tick, tick, TICK_MS, TICK_MS);
	edge_hold(edge);
	*out = links;
	return 0;
}

static void tick_closed(uv_handle_t *handle)
{
	struct agent_links *links = handle->data;

	edge_release(links->edge);
}

void agent_links_close(struct agent_links *links)
{
	links->closing = true;
	logs_end(links, 0, UINT64_MAX, BERTH_CLOSED);
	for (uint32_t i = 0; i < EDGE_LINKS_MAX; i++)
		if (links->slots[i])
			stream_close(links->slots[i]->stream, "shutting down");
	uv_close((uv_handle_t *)&links->tick, tick_closed);
}

void agent_links_free(struct agent_links *links)
{
	free(links);
}
