/* The content store's part on the loop: reads in the pool, questions to peers
 * on a miss, sweeps against the state. */
#include <stdlib.h>

#include "node/lib/crypto.h"
#include "node/replica/relay.h"
#include "node/replica/store.h"
#include "node/replica/store_internal.h"

#define CONTENT_TIMEOUT_MS 2000u

static void finish(struct store_get *get, int code)
{
	struct edge *edge = store_edge(get->store);
	uint8_t *data = get->data;

	get->data = NULL;
	get->done(get, code, data, code ? 0 : get->size);
	free(data);
	edge_release(edge);
}

static void ask_next(struct store_get *get);

static void keep_work(uv_work_t *work)
{
	struct store_get *get = work->data;
	struct fault fault;

	get->code = store_put(get->store, &get->hash, get->data, get->size,
			      &fault);
}

/* A failure to keep does not make the answer wrong, a mismatch does. */
static void kept(uv_work_t *work, int status)
{
	struct store_get *get = work->data;

	(void)status;
	if (get->code == BERTH_MISMATCH || get->code == BERTH_TOOBIG) {
		free(get->data);
		get->data = NULL;
		ask_next(get);
		return;
	}
	finish(get, 0);
}

static bool take(struct store_get *get, const uint8_t *payload, size_t size)
{
	struct wire_reader r = { payload, size, 0, false };
	struct text bytes;
	uint32_t code;

	(void)wire_get_u64(&r);
	code = wire_get_u32(&r);
	bytes = wire_get_bytes(&r, STORE_CONTENT_SIZE_MAX);
	if (!wire_end(&r) || code)
		return false;
	get->data = malloc(bytes.size + 1);
	if (!get->data)
		return false;
	memcpy(get->data, bytes.data, bytes.size);
	get->size = bytes.size;
	return true;
}

static void answered(struct relay_ask *ask, int code, const uint8_t *payload,
		     size_t size)
{
	struct store_get *get = ask->ctx;

	free(ask);
	if (code || !take(get, payload, size)) {
		ask_next(get);
		return;
	}
	uv_queue_work(store_edge(get->store)->loop, &get->work, keep_work,
		      kept);
}

static void ask_peer(struct store_get *get, uint64_t peer)
{
	struct relay *relay = store_edge(get->store)->relay;
	struct relay_ask *ask = calloc(1, sizeof *ask);
	struct wire w = { 0 };

	if (!ask) {
		finish(get, BERTH_NOMEM);
		return;
	}
	ask->id = relay_ask_id(relay);
	ask->answer = PEER_CONTENT;
	ask->ctx = get;
	ask->done = answered;
	wire_u64(&w, ask->id);
	wire_put(&w, get->hash.bytes, sizeof get->hash.bytes);
	relay_ask(relay, ask, peer, PEER_CONTENT_GET, w.data, w.size,
		  CONTENT_TIMEOUT_MS);
	wire_fini(&w);
}

static void ask_next(struct store_get *get)
{
	struct edge *edge = store_edge(get->store);

	while (get->peer < edge->config.peer_count && !edge->closing) {
		uint64_t peer = edge->config.peers[get->peer++].id;

		if (peer != edge->config.id && relay_up(edge->relay, peer)) {
			ask_peer(get, peer);
			return;
		}
	}
	finish(get, BERTH_NOTFOUND);
}

static void read_work(uv_work_t *work)
{
	struct store_get *get = work->data;

	get->code = store_read(get->store, &get->hash, &get->data, &get->size);
}

static void read_done(uv_work_t *work, int status)
{
	struct store_get *get = work->data;

	(void)status;
	if (get->code && !get->local_only)
		ask_next(get);
	else
		finish(get, get->code);
}

void store_get(struct store *store, struct store_get *get)
{
	get->store = store;
	get->work.data = get;
	get->data = NULL;
	get->size = 0;
	get->peer = 0;
	edge_hold(store_edge(store));
	uv_queue_work(store_edge(store)->loop, &get->work, read_work,
		      read_done);
}

/* --- sweep ---------------------------------------------------------------- */

struct sweep {
	struct edge_view_job job;
	struct store *store;
	const struct fsm_view *view;
	uint32_t count;
};

static bool wanted(void *ctx, const struct hash *hash)
{
	const struct sweep *s = ctx;

	return fsm_program_find(s->view, hash) != SLOT_NONE;
}

static void sweep_work(struct edge_view_job *job, const struct fsm_view *view)
{
	struct sweep *s = (struct sweep *)(void *)job;

	s->view = view;
	s->count = store_sweep(s->store, STORE_SWEEP_AGE_S, wanted, s);
}

static void sweep_done(struct edge_view_job *job, int code)
{
	struct sweep *s = (struct sweep *)(void *)job;

	if (code == 0 && s->count)
		log_info("store", "removed %u contents that nothing names",
			 s->count);
	free(s);
}

void store_sweep_start(struct store *store)
{
	struct sweep *s = calloc(1, sizeof *s);

	if (!s)
		return;
	s->store = store;
	s->job.work = sweep_work;
	s->job.done = sweep_done;
	edge_view(store_edge(store), &s->job);
}
