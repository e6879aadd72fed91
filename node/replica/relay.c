#include "node/replica/relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/lib/crypto.h"
#include "node/replica/agent_link.h"
#include "node/replica/api.h"
#include "node/replica/relay_serve.h"
#include "node/replica/store.h"

#define TICK_MS 250u
#define HELLO_MS 1000u
#define IDLE_MS 5000u
#define QUEUE_SIZE_MAX (32u << 20)
#define BACKOFF_MIN_MS 100u
#define BACKOFF_MAX_MS 2000u

struct batch {
	struct wire wire;
	uint8_t type;
};

struct relay_peer {
	struct relay *relay;
	struct identity identity;
	const struct core_peer *config;
	struct stream *stream; /* ours while it lives */
	bool up, dials;
	uint64_t retry_ms;
	uint32_t backoff_ms;
	struct batch batches[2]; /* up, down */
};

struct relay {
	struct edge *edge;
	struct relay_peer peers[CORE_PEERS_MAX];
	uint32_t peer_count;
	struct relay_ask *asks;
	uint64_t ask_id, hello_ms;
	uv_timer_t tick, flush;
	bool closing;
};

static struct relay_peer *find(const struct relay *relay, uint64_t id)
{
	for (uint32_t i = 0; i < relay->peer_count; i++)
		if (relay->peers[i].config->id == id)
			return (struct relay_peer *)&relay->peers[i];
	return NULL;
}

bool relay_up(const struct relay *relay, uint64_t id)
{
	const struct relay_peer *peer = find(relay, id);

	return peer && peer->up;
}

static bool send_frame(struct relay_peer *peer, uint8_t type, const void *data,
		       size_t size)
{
	const struct stream_part part = { data, size };

	return peer && peer->up &&
	       stream_send(peer->stream, type, &part, 1) == 0;
}

static void hello(struct relay_peer *peer)
{
	struct wire w = { 0 };

	wire_u32(&w, PEER_VERSION);
	wire_u64(&w, peer->relay->edge->config.id);
	if (!w.failed)
		(void)send_frame(peer, PEER_HELLO, w.data, w.size);
	wire_fini(&w);
}

/* --- batches -------------------------------------------------------------- */

static void batch_flush(struct relay_peer *peer, struct batch *batch)
{
	if (!batch->wire.failed && batch->wire.size)
		(void)send_frame(peer, batch->type, batch->wire.data,
				 batch->wire.size);
	batch->wire.size = 0;
	batch->wire.failed = false;
	if (batch->wire.capacity > 4 * RELAY_BATCH_SIZE)
		wire_fini(&batch->wire);
}

static void flush_all(uv_timer_t *timer)
{
	struct relay *relay = timer->data;

	for (uint32_t i = 0; i < relay->peer_count; i++)
		for (uint32_t j = 0; j < 2; j++)
			batch_flush(&relay->peers[i],
				    &relay->peers[i].batches[j]);
}

static bool batch_add(struct relay_peer *peer, bool up,
		      const struct relay_item *item)
{
	struct batch *batch = &peer->batches[up ? 0 : 1];
	struct relay *relay = peer->relay;

	if (!peer->up)
		return false;
	if (batch->wire.size + item->bytes.size > RELAY_BATCH_SIZE)
		batch_flush(peer, batch);
	batch->type = up ? PEER_RELAY_UP : PEER_RELAY_DOWN;
	if (!batch->wire.size)
		wire_u64(&batch->wire, relay->edge->term);
	relay_item_put(&batch->wire, item, up);
	if (!uv_is_active((uv_handle_t *)&relay->flush))
		uv_timer_start(&relay->flush, flush_all, RELAY_BATCH_MS, 0);
	return true;
}

bool relay_agent_up(struct relay *relay, uint64_t id, uint64_t link,
		    const struct hash *crn, uint8_t type, const void *data,
		    size_t size)
{
	struct relay_peer *peer = find(relay, id);
	const struct relay_item item = { link, *crn, type,
					 { data, (uint32_t)size } };

	return peer && batch_add(peer, true, &item);
}

bool relay_agent_down(struct relay *relay, uint64_t id, uint64_t link,
		      uint8_t type, const void *data, size_t size)
{
	struct relay_peer *peer = find(relay, id);
	const struct relay_item item = { .link = link, .type = type,
					 .bytes = { data, (uint32_t)size } };

	return peer && batch_add(peer, false, &item);
}

static void asks_of_leader_end(struct relay *relay);

void relay_term(struct relay *relay)
{
	for (uint32_t i = 0; i < relay->peer_count; i++)
		for (uint32_t j = 0; j < 2; j++)
			relay->peers[i].batches[j].wire.size = 0;
	asks_of_leader_end(relay);
}

/* --- questions ------------------------------------------------------------ */

uint64_t relay_ask_id(struct relay *relay)
{
	return ++relay->ask_id;
}

void relay_ask(struct relay *relay, struct relay_ask *ask, uint64_t peer_id,
	       uint8_t type, const void *payload, size_t size,
	       uint32_t timeout_ms)
{
	struct relay_peer *peer = find(relay, peer_id);

	ask->peer = peer_id;
	ask->deadline_ms = uv_now(relay->edge->loop) + timeout_ms;
	if (!payload || !send_frame(peer, type, payload, size)) {
		ask->done(ask, BERTH_CLOSED, NULL, 0);
		return;
	}
	edge_hold(relay->edge);
	ask->next = relay->asks;
	relay->asks = ask;
}

static void answer(struct relay *relay, struct relay_ask **at, int code,
		   const uint8_t *payload, size_t size)
{
	struct relay_ask *ask = *at;

	*at = ask->next;
	ask->done(ask, code, payload, size);
	edge_release(relay->edge);
}

/* The first question of those that `peer` (or all: 0) will not answer, again
 * and again: a callback may ask anew. */
static void asks_end(struct relay *relay, uint64_t peer, uint64_t now, int code)
{
	struct relay_ask **at = &relay->asks;

	while (*at) {
		if ((peer && (*at)->peer == peer) ||
		    (now && (*at)->deadline_ms <= now)) {
			answer(relay, at, code, NULL, 0);
			at = &relay->asks;
		} else {
			at = &(*at)->next;
		}
	}
}

/* A leader that hangs is not waited for when there is another. */
static void asks_of_leader_end(struct relay *relay)
{
	struct relay_ask **at = &relay->asks;

	while (*at) {
		if ((*at)->of_leader && (*at)->peer != relay->edge->leader) {
			answer(relay, at, BERTH_CLOSED, NULL, 0);
			at = &relay->asks;
		} else {
			at = &(*at)->next;
		}
	}
}

static bool asks_take(struct relay_peer *peer, uint8_t type,
		      const uint8_t *payload, size_t size)
{
	struct relay_ask **at = &peer->relay->asks;
	struct wire_reader r = { payload, size, 0, false };
	uint64_t id = wire_get_u64(&r);

	if (r.bad)
		return false;
	for (; *at; at = &(*at)->next)
		if ((*at)->id == id && (*at)->peer == peer->config->id &&
		    (uint8_t)(*at)->answer == type) {
			answer(peer->relay, at, 0, payload, size);
			break;
		}
	return true; /* late ones are nobody's */
}

bool relay_answer(struct relay *relay, uint64_t id, uint8_t type,
		  const void *payload, size_t size)
{
	return send_frame(find(relay, id), type, payload, size);
}

/* --- streams -------------------------------------------------------------- */

static bool take_hello(const uint8_t *payload, size_t size, uint64_t expected)
{
	struct wire_reader r = { payload, size, 0, false };
	uint32_t version = wire_get_u32(&r);
	uint64_t id = wire_get_u64(&r);

	return wire_end(&r) && version == PEER_VERSION && id == expected;
}

static int take_frame(struct relay_peer *peer, uint8_t type,
		      const uint8_t *payload, size_t size)
{
	struct edge *edge = peer->relay->edge;
	uint64_t id = peer->config->id;

	switch (type) {
	case PEER_HELLO:
		return take_hello(payload, size, id) ? 0 : BERTH_VERSION;
	case PEER_RELAY_UP:
		return relay_serve_up(edge, id, payload, size);
	case PEER_RELAY_DOWN:
		return relay_serve_down(edge, payload, size);
	case PEER_FORWARD:
		return api_forwarded(edge->api, id, payload, size);
	case PEER_READ_INDEX:
		return relay_serve_read(edge, id, payload, size);
	case PEER_CONTENT_GET:
		return relay_serve_content(edge, id, payload, size);
	case PEER_FORWARD_ANSWER:
	case PEER_READ_ANSWER:
	case PEER_CONTENT:
		return asks_take(peer, type, payload, size) ? 0
							    : BERTH_MALFORMED;
	default:
		return BERTH_MALFORMED;
	}
}

static void on_frame(void *ctx, struct stream *stream, uint8_t type,
		     const uint8_t *payload, size_t size)
{
	struct relay_peer *peer = ctx;
	int code;

	if (peer->stream != stream || peer->relay->closing)
		return;
	code = take_frame(peer, type, payload, size);
	if (code)
		stream_close(stream, code == BERTH_VERSION
					     ? "peer of another version"
					     : "malformed frame of a peer");
}

static void on_open(void *ctx, struct stream *stream)
{
	struct relay_peer *peer = ctx;

	if (peer->stream != stream || peer->relay->closing)
		return;
	peer->up = true;
	peer->backoff_ms = BACKOFF_MIN_MS;
	log_info("peer", "link to replica %" PRIu64 " is up",
		 peer->config->id);
	hello(peer);
}

static void went_down(struct relay_peer *peer)
{
	bool was_up = peer->up;
	uint32_t jitter;

	crypto_random(&jitter, sizeof jitter);
	peer->stream = NULL;
	peer->up = false;
	peer->batches[0].wire.size = 0;
	peer->batches[1].wire.size = 0;
	peer->retry_ms = uv_now(peer->relay->edge->loop) + peer->backoff_ms +
			 jitter % (peer->backoff_ms + 1);
	peer->backoff_ms *= 2;
	if (peer->backoff_ms > BACKOFF_MAX_MS)
		peer->backoff_ms = BACKOFF_MAX_MS;
	if (was_up)
		asks_end(peer->relay, peer->config->id, 0,
			 BERTH_UNKNOWN_OUTCOME);
}

static void on_closed(void *ctx, struct stream *stream,
		      const struct fault *fault)
{
	struct relay_peer *peer = ctx;
	struct edge *edge = peer->relay->edge;

	if (peer->stream == stream) {
		if (peer->up && !peer->relay->closing)
			log_warn("peer", "link to replica %" PRIu64
				 " is down: %s", peer->config->id, fault->text);
		went_down(peer);
	}
	edge_release(edge);
}

static const struct stream_events events = { on_open, on_frame, on_closed };

static const struct stream_options options = {
	.frame_size_max = PEER_FRAME_SIZE_MAX,
	.queue_size_max = QUEUE_SIZE_MAX,
	.idle_ms = IDLE_MS,
};

static void dial(struct relay_peer *peer)
{
	struct edge *edge = peer->relay->edge;

	edge_hold(edge);
	if (stream_connect(&peer->stream, edge->loop, edge->config.tls,
			   peer->config->host, peer->config->raft_port,
			   ALPN_PEER, &peer->identity, &options, &events,
			   peer)) {
		went_down(peer);
		edge_release(edge);
	}
}

void relay_accept(struct relay *relay, uint64_t id, struct stream *stream)
{
	struct relay_peer *peer = find(relay, id);
	struct stream *old;

	if (!peer || relay->closing) {
		metric_add(&relay->edge->metrics.refused_links, 1);
		log_warn("peer", "refused %s: replica %" PRIu64
			 " is not configured here", stream_address(stream), id);
		stream_close(stream, "not a peer of ours");
		return;
	}
	old = peer->stream;
	if (old)
		went_down(peer);
	edge_hold(relay->edge);
	peer->stream = stream;
	stream_take(stream, &events, peer);
	on_open(peer, stream);
	if (old)
		stream_close(old, "replaced by a newer link");
}

static void tick(uv_timer_t *timer)
{
	struct relay *relay = timer->data;
	uint64_t now = uv_now(relay->edge->loop);
	bool greet = now >= relay->hello_ms;

	if (greet)
		relay->hello_ms = now + HELLO_MS;
	for (uint32_t i = 0; i < relay->peer_count; i++) {
		struct relay_peer *peer = &relay->peers[i];

		if (peer->dials && !peer->stream && now >= peer->retry_ms)
			dial(peer);
		else if (peer->up && greet)
			hello(peer);
	}
	asks_end(relay, 0, now, BERTH_TIMEOUT);
}

static void add_peer(struct relay *relay, const struct core_peer *config)
{
	struct edge *edge = relay->edge;
	struct relay_peer *peer = &relay->peers[relay->peer_count++];

	peer->relay = relay;
	peer->config = config;
	peer->dials = edge->config.id < config->id;
	peer->backoff_ms = BACKOFF_MIN_MS;
	peer->identity.role = IDENTITY_REPLICA;
	snprintf(peer->identity.cluster, sizeof peer->identity.cluster, "%s",
		 edge->config.cluster);
	snprintf(peer->identity.name, sizeof peer->identity.name, "%" PRIu64,
		 config->id);
}

int relay_open(struct relay **out, struct edge *edge)
{
	struct relay *relay = calloc(1, sizeof *relay);

	if (!relay)
		return BERTH_NOMEM;
	relay->edge = edge;
	for (uint32_t i = 0; i < edge->config.peer_count; i++)
		if (edge->config.peers[i].id != edge->config.id &&
		    relay->peer_count < CORE_PEERS_MAX)
			add_peer(relay, &edge->config.peers[i]);
	relay->tick.data = relay;
	relay->flush.data = relay;
	uv_timer_init(edge->loop, &relay->tick);
	uv_timer_init(edge->loop, &relay->flush);
	uv_timer_start(&relay->tick, tick, 1, TICK_MS);
	edge_hold(edge);
	*out = relay;
	return 0;
}

static void closed_tick(uv_handle_t *handle)
{
	struct relay *relay = handle->data;

	edge_release(relay->edge);
}

void relay_close(struct relay *relay)
{
	relay->closing = true;
	asks_end(relay, 0, UINT64_MAX, BERTH_UNKNOWN_OUTCOME);
	for (uint32_t i = 0; i < relay->peer_count; i++)
		if (relay->peers[i].stream)
			stream_close(relay->peers[i].stream, "shutting down");
	uv_close((uv_handle_t *)&relay->flush, NULL);
	uv_close((uv_handle_t *)&relay->tick, closed_tick);
}

void relay_free(struct relay *relay)
{
	if (!relay)
		return;
	for (uint32_t i = 0; i < relay->peer_count; i++) {
		wire_fini(&relay->peers[i].batches[0].wire);
		wire_fini(&relay->peers[i].batches[1].wire);
	}
	free(relay);
}
