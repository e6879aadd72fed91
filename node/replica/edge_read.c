/* Linearizable reads: an index from the leader that a committed entry
 * confirms, then waiting until it is applied here. */
#include "node/replica/relay.h"

#include <stdlib.h>

#define POLL_MS 2u
#define LEADER_WAIT_MS 1500u

static void poll_kick(struct edge *edge);

static struct edge_read *of_call(struct core_call *call)
{
	return (struct edge_read *)(void *)
		((char *)call - offsetof(struct edge_read, call));
}

static void finish(struct edge_read *read, int code)
{
	struct edge *edge = read->edge;

	read->done(read, code);
	edge_release(edge);
}

static void push(struct edge_read **list, struct edge_read *read)
{
	while (*list)
		list = &(*list)->next;
	read->next = NULL;
	*list = read;
}

static void indexed(struct edge_read *read, int code)
{
	if (code || !read->wait_applied) {
		finish(read, code);
		return;
	}
	read->deadline_ms = uv_now(read->edge->loop) + EDGE_READ_TIMEOUT_MS;
	push(&read->edge->reads_applied, read);
	poll_kick(read->edge);
}

/* --- on the consensus loop of the leader ---------------------------------- */

static void look_at_run(struct edge_read *read)
{
	struct text *reason = &read->run.reason;

	if (!read->want_run)
		return;
	read->has_run = driver_run_status(core_driver(read->edge->core),
					  &read->program, &read->run);
	if (!read->has_run)
		return;
	if (reason->size > sizeof read->reason)
		reason->size = sizeof read->reason;
	if (reason->size)
		memcpy(read->reason, reason->data, reason->size);
	reason->data = read->reason;
}

static void engine_done(void *ctx, int code, uint64_t index)
{
	struct edge_read *read = ctx;

	read->index = index;
	read->call.code = code;
	read->finished = true;
	look_at_run(read);
	if (!read->in_run)
		core_call_finish(read->edge->core, &read->call);
}

static void engine_run(struct core *core, struct core_call *call)
{
	struct edge_read *read = of_call(call);

	read->in_run = true;
	read->engine = (struct replica_read){ .ctx = read,
					      .done = engine_done };
	replica_read_index(core_replica(core), &read->engine);
	read->in_run = false;
	call->pending = !read->finished;
}

static void engine_called(struct core_call *call)
{
	int code = call->code;

	indexed(of_call(call), code == BERTH_UNKNOWN_OUTCOME ? BERTH_NOTLEADER
							     : code);
}

static void ask_engine(struct edge_read *read)
{
	read->finished = false;
	read->call = (struct core_call){ .run = engine_run,
					 .done = engine_called };
	if (core_post(read->edge->core, &read->call))
		finish(read, BERTH_BUSY);
}

/* --- from a follower ------------------------------------------------------ */

static void take_answer(struct edge_read *read, const struct read_answer *m)
{
	read->index = m->index;
	read->has_run = m->has_run;
	if (!m->has_run)
		return;
	read->run = (struct agent_run){
		.program = read->program, .gen = m->gen, .epoch = m->epoch,
		.status = (enum run_status)m->status,
		.failures = m->failures,
		.reason = { read->reason, m->reason.size },
	};
	memcpy(read->reason, m->reason.data, m->reason.size);
}

static void answered(struct relay_ask *ask, int code, const uint8_t *payload,
		     size_t size)
{
	struct edge_read *read = ask->ctx;
	struct read_answer m;

	free(ask);
	read->ask = NULL;
	if (code == 0)
		code = read_answer_get(payload, size, &m);
	if (code == 0)
		code = m.code;
	if (code == 0)
		take_answer(read, &m);
	else
		code = BERTH_NOTLEADER;
	indexed(read, code);
}

static void ask_leader(struct edge_read *read)
{
	struct relay *relay = read->edge->relay;
	struct relay_ask *ask = calloc(1, sizeof *ask);
	struct wire w = { 0 };

	if (!ask) {
		finish(read, BERTH_NOMEM);
		return;
	}
	ask->id = relay_ask_id(relay);
	ask->answer = PEER_READ_ANSWER;
	ask->ctx = read;
	ask->done = answered;
	read->ask = ask;
	wire_u64(&w, ask->id);
	wire_u8(&w, read->want_run);
	wire_put(&w, read->program.bytes, sizeof read->program.bytes);
	relay_ask(relay, ask, read->edge->leader, PEER_READ_INDEX, w.data,
		  w.size, EDGE_READ_TIMEOUT_MS);
	wire_fini(&w);
}

static void begin(struct edge_read *read)
{
	struct edge *edge = read->edge;

	if (edge_is_leader(edge)) {
		ask_engine(read);
	} else if (edge->leader && relay_up(edge->relay, edge->leader)) {
		ask_leader(read);
	} else {
		push(&edge->reads_waiting, read);
		poll_kick(edge);
	}
}

void edge_read(struct edge *edge, struct edge_read *read)
{
	read->edge = edge;
	read->wait_applied = true;
	read->deadline_ms = uv_now(edge->loop) + LEADER_WAIT_MS;
	edge_hold(edge);
	if (!edge->core || edge->closing)
		finish(read, BERTH_NOTLEADER);
	else
		begin(read);
}

void edge_read_engine(struct edge *edge, struct edge_read *read)
{
	read->edge = edge;
	read->wait_applied = false;
	edge_hold(edge);
	if (edge->core && !edge->closing && edge_is_leader(edge))
		ask_engine(read);
	else
		finish(read, BERTH_NOTLEADER);
}

/* --- waiting -------------------------------------------------------------- */

void edge_read_leader(struct edge *edge)
{
	struct edge_read *list = edge->reads_waiting, *next;

	edge->reads_waiting = NULL;
	for (; list; list = next) {
		next = list->next;
		begin(list);
	}
}

/* Takes out what `index` satisfies or the time has ended. */
static void sweep(struct edge_read **at, uint64_t index, uint64_t now, int late)
{
	struct edge_read *out = NULL, *read, *next;

	while (*at) {
		read = *at;
		if (!(index && read->index <= index) &&
		    now < read->deadline_ms) {
			at = &read->next;
			continue;
		}
		*at = read->next;
		push(&out, read);
	}
	for (; out; out = next) {
		next = out->next;
		finish(out, index && out->index <= index ? 0 : late);
	}
}

void edge_read_applied(struct edge *edge, uint64_t index)
{
	uint64_t now = uv_now(edge->loop);

	sweep(&edge->reads_applied, index, now, BERTH_TIMEOUT);
	sweep(&edge->reads_waiting, 0, now, BERTH_NOTLEADER);
}

static void applied_run(struct core *core, struct core_call *call)
{
	struct edge *edge = (struct edge *)(void *)
		((char *)call - offsetof(struct edge, applied_call));
	struct replica_status status;

	/* The engine's own count: the entry that confirms a read may be an
	 * empty one, which the state machine never sees. */
	replica_status(core_replica(core), &status);
	edge->applied_seen = status.applied;
}

static void applied_done(struct core_call *call)
{
	struct edge *edge = (struct edge *)(void *)
		((char *)call - offsetof(struct edge, applied_call));

	edge->applied_polling = false;
	edge_read_applied(edge, edge->applied_seen);
	if (!edge->closing && (edge->reads_applied || edge->reads_waiting))
		uv_timer_start(&edge->applied_timer, edge->applied_poll,
			       POLL_MS, 0);
	edge_release(edge);
}

static void poll_now(uv_timer_t *timer)
{
	struct edge *edge = timer->data;

	if (edge->applied_polling || !edge->core)
		return;
	edge->applied_polling = true;
	edge->applied_call = (struct core_call){ .run = applied_run,
						 .done = applied_done };
	edge_hold(edge);
	/* Links to a leader come without an event: try those again too. */
	edge_read_leader(edge);
	if (core_post(edge->core, &edge->applied_call) == 0)
		return;
	edge->applied_polling = false;
	edge_release(edge);
	uv_timer_start(timer, poll_now, POLL_MS, 0);
}

static void poll_kick(struct edge *edge)
{
	if (!edge->applied_polling && !uv_is_active(
			(uv_handle_t *)&edge->applied_timer))
		uv_timer_start(&edge->applied_timer, poll_now, 0, 0);
}

void edge_read_open(struct edge *edge)
{
	edge->applied_timer.data = edge;
	edge->applied_poll = poll_now;
	uv_timer_init(edge->loop, &edge->applied_timer);
}

static void flush(struct edge_read *list)
{
	struct edge_read *next;

	for (; list; list = next) {
		next = list->next;
		finish(list, BERTH_NOTLEADER);
	}
}

void edge_read_close(struct edge *edge)
{
	struct edge_read *applied = edge->reads_applied;
	struct edge_read *waiting = edge->reads_waiting;

	edge->reads_applied = NULL;
	edge->reads_waiting = NULL;
	uv_timer_stop(&edge->applied_timer);
	flush(applied);
	flush(waiting);
}
