#include "node/replica/relay_serve.h"

#include <stdlib.h>

#include "node/replica/agent_link.h"
#include "node/replica/relay.h"
#include "node/replica/store.h"

/* Frames of another term are dropped (lease.md 2.6). */
int relay_serve_up(struct edge *edge, uint64_t peer, const uint8_t *payload,
		   size_t size)
{
	struct wire_reader r = { payload, size, 0, false };
	uint64_t term = wire_get_u64(&r);
	bool stale = term != edge->term || !edge_is_leader(edge);
	struct relay_item item;

	while (relay_item_next(&r, true, &item)) {
		const struct agent_route route = { peer, item.link };

		if (stale || !edge->core) {
			metric_add(&edge->metrics.relay_stale, 1);
			continue;
		}
		metric_add(&edge->metrics.agent_frames, 1);
		core_agent_frame(edge->core, &route, &item.crn, item.type,
				 item.bytes.data, item.bytes.size);
	}
	return r.bad ? BERTH_MALFORMED : 0;
}

int relay_serve_down(struct edge *edge, const uint8_t *payload, size_t size)
{
	struct wire_reader r = { payload, size, 0, false };
	bool stale = wire_get_u64(&r) != edge->term;
	struct relay_item item;

	while (relay_item_next(&r, false, &item)) {
		if (!stale && agent_links_write(edge->agents, item.link,
						item.type, item.bytes.data,
						item.bytes.size))
			metric_add(&edge->metrics.relayed_down, 1);
		else
			metric_add(&edge->metrics.relay_stale, 1);
	}
	return r.bad ? BERTH_MALFORMED : 0;
}

struct serve_read {
	struct edge_read read;
	uint64_t id, peer;
};

static void read_done(struct edge_read *read, int code)
{
	struct serve_read *s = read->ctx;
	struct read_answer m = { .id = s->id, .code = code,
				 .index = read->index,
				 .has_run = read->has_run };
	struct wire w = { 0 };

	if (read->has_run) {
		m.gen = read->run.gen;
		m.epoch = read->run.epoch;
		m.status = (uint8_t)read->run.status;
		m.failures = read->run.failures;
		m.reason = read->run.reason;
	}
	read_answer_put(&w, &m);
	if (!w.failed)
		(void)relay_answer(read->edge->relay, s->peer,
				   PEER_READ_ANSWER, w.data, w.size);
	wire_fini(&w);
	free(s);
}

int relay_serve_read(struct edge *edge, uint64_t peer, const uint8_t *payload,
		     size_t size)
{
	struct wire_reader r = { payload, size, 0, false };
	struct serve_read *s;
	const uint8_t *program;
	uint64_t id = wire_get_u64(&r);
	bool want_run = wire_get_u8(&r) != 0;

	program = wire_get(&r, sizeof s->read.program.bytes);
	if (!wire_end(&r))
		return BERTH_MALFORMED;
	s = calloc(1, sizeof *s);
	if (!s)
		return 0; /* the one who asks has a time limit */
	s->id = id;
	s->peer = peer;
	s->read.ctx = s;
	s->read.done = read_done;
	s->read.want_run = want_run;
	memcpy(s->read.program.bytes, program, sizeof s->read.program.bytes);
	edge_read_engine(edge, &s->read);
	return 0;
}

struct serve_content {
	struct store_get get;
	struct edge *edge;
	uint64_t id, peer;
};

static void content_done(struct store_get *get, int code, const uint8_t *data,
			 size_t size)
{
	struct serve_content *s = get->ctx;
	struct wire w = { 0 };

	wire_u64(&w, s->id);
	wire_u32(&w, (uint32_t)code);
	wire_bytes(&w, data, size);
	if (!w.failed)
		(void)relay_answer(s->edge->relay, s->peer, PEER_CONTENT,
				   w.data, w.size);
	wire_fini(&w);
	free(s);
}

int relay_serve_content(struct edge *edge, uint64_t peer,
			const uint8_t *payload, size_t size)
{
	struct wire_reader r = { payload, size, 0, false };
	uint64_t id = wire_get_u64(&r);
	const uint8_t *hash = wire_get(&r, 32);
	struct serve_content *s;

	if (!wire_end(&r))
		return BERTH_MALFORMED;
	s = calloc(1, sizeof *s);
	if (!s)
		return 0;
	s->edge = edge;
	s->id = id;
	s->peer = peer;
	s->get.ctx = s;
	s->get.done = content_done;
	s->get.local_only = true;
	memcpy(s->get.hash.bytes, hash, 32);
	store_get(edge->store, &s->get);
	return 0;
}
