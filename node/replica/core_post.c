/* What crosses between the edge and the consensus thread, both ways. */
#include <stdlib.h>

#include "node/lib/log.h"
#include "node/replica/core_impl.h"

static void *item_new(size_t size, size_t counted,
		      void (*take)(void *ctx, struct queue_item *item))
{
	struct queue_item *item = malloc(size);

	REQUIRE(item != NULL);
	item->next = NULL;
	item->size = counted;
	item->take = take;
	return item;
}

/* --- calls ---------------------------------------------------------------- */

struct call_item {
	struct queue_item item;
	struct core_call *call;
};

static void call_done(void *ctx, struct queue_item *item)
{
	struct core_call *call = ((struct call_item *)item)->call;

	(void)ctx;
	free(item);
	call->done(call);
}

static void send_back(struct core *core, struct core_call *call)
{
	struct call_item *item =
		item_new(sizeof *item, sizeof *item, call_done);

	item->call = call;
	queue_must_put(&core->out, &item->item);
}

/* From here the call is the edge's. One that is finished inside its own run
 * goes back when run has returned, for run may still look at it. */
void core_call_finish(struct core *core, struct core_call *call)
{
	if (call == core->running)
		core->finished = true;
	else
		send_back(core, call);
}

static void call_run(void *ctx, struct queue_item *item)
{
	struct core_call *call = ((struct call_item *)item)->call;
	struct core *core = ctx;

	bool waits;

	free(item);
	call->pending = false;
	core->running = call;
	core->finished = false;
	if (core->stopping || core->failed)
		call->code = BERTH_CLOSED;
	else
		call->run(core, call);
	waits = call->pending && !core->finished;
	core->running = NULL;
	if (!waits)
		send_back(core, call);
}

int core_post(struct core *core, struct core_call *call)
{
	struct call_item *item = item_new(sizeof *item, sizeof *item, call_run);
	int code;

	item->call = call;
	code = queue_put(&core->in, &item->item);
	if (code != 0)
		free(item);
	return code;
}

/* --- frames of agents ------------------------------------------------------ */

struct frame_item {
	struct queue_item item;
	struct agent_route route;
	struct hash crn;
	uint8_t type;
	size_t size;
	uint8_t payload[];
};

static struct frame_item *frame_new(const struct agent_route *route,
				    uint8_t type, const void *payload,
				    size_t size,
				    void (*take)(void *ctx,
						 struct queue_item *item))
{
	struct frame_item *frame = item_new(sizeof *frame + size,
					    sizeof *frame + size, take);

	frame->route = *route;
	frame->type = type;
	frame->size = size;
	if (size != 0)
		memcpy(frame->payload, payload, size);
	return frame;
}

static void frame_heard(void *ctx, struct queue_item *item)
{
	struct frame_item *frame = (struct frame_item *)item;
	struct core *core = ctx;
	int code = 0;

	if (!core->stopping && !core->failed)
		code = driver_agent_frame(core->driver, core_view(core),
					  &frame->route, &frame->crn,
					  frame->type, frame->payload,
					  frame->size);
	if (code != 0 && code != BERTH_NOTLEADER)
		log_debug("agent", "a frame of type %u was dropped: code %d",
			  frame->type, code);
	free(item);
}

void core_agent_frame(struct core *core, const struct agent_route *route,
		      const struct hash *crn, uint8_t type,
		      const void *payload, size_t size)
{
	struct frame_item *frame;

	if (size > AGENT_FRAME_SIZE_MAX)
		return;
	frame = frame_new(route, type, payload, size, frame_heard);
	frame->crn = *crn;
	/* Full: dropped and counted by the queue; agents repeat. */
	if (queue_put(&core->in, &frame->item) != 0)
		free(frame);
}

static void frame_out(void *ctx, struct queue_item *item)
{
	struct frame_item *frame = (struct frame_item *)item;
	struct core *core = ctx;

	if (!core->mute)
		core->events.agent_send(core->events.ctx, &frame->route,
					frame->type, frame->payload,
					frame->size);
	free(item);
}

void core__agent_send(void *ctx, const struct agent_route *route, uint8_t type,
		      const void *payload, size_t size)
{
	struct core *core = ctx;
	struct frame_item *frame =
		frame_new(route, type, payload, size, frame_out);

	if (queue_put(&core->out, &frame->item) != 0)
		free(frame);
}

/* --- raft's streams --------------------------------------------------------- */

struct stream_item {
	struct queue_item item;
	uint32_t slot;
	struct stream_parcel *parcel;
};

static void stream_arrived(void *ctx, struct queue_item *item)
{
	struct stream_item *arrived = (struct stream_item *)item;
	struct core *core = ctx;

	peers_attach(&core->peers, arrived->slot, arrived->parcel);
	free(item);
}

void core_peer_stream(struct core *core, uint64_t id,
		      struct stream_parcel *parcel)
{
	struct stream_item *item;
	uint32_t slot;

	if (!peers_expect(&core->peers, id, &slot)) {
		log_warn("raft", "too many replica ids: link of %llu refused",
			 (unsigned long long)id);
		stream_parcel_free(parcel);
		return;
	}
	item = item_new(sizeof *item, sizeof *item, stream_arrived);
	item->slot = slot;
	item->parcel = parcel;
	if (queue_put(&core->in, &item->item) == 0)
		return;
	peers_forget(&core->peers, slot);
	stream_parcel_free(parcel);
	free(item);
}

bool core_peer_linked(struct core *core, uint64_t id)
{
	return peers_linked(&core->peers, id);
}

/* --- what the edge is told -------------------------------------------------- */

struct effects_item {
	struct queue_item item;
	uint32_t count;
	struct fsm_effect effects[]; /* and their texts behind them */
};

static void effects_out(void *ctx, struct queue_item *item)
{
	struct effects_item *e = (struct effects_item *)item;
	struct core *core = ctx;

	if (core->events.effects != NULL && !core->mute)
		core->events.effects(core->events.ctx, e->effects, e->count);
	free(item);
}

void core__tell_effects(struct core *core)
{
	size_t rows = core->effect_count * sizeof(struct fsm_effect);
	struct effects_item *e;
	char *texts;
	size_t size;

	size = sizeof *e + rows + core->text_size;
	e = item_new(size, size, effects_out);
	e->count = core->effect_count;
	memcpy(e->effects, core->effects, rows);
	texts = (char *)(e->effects + e->count);
	if (core->text_size != 0)
		memcpy(texts, core->texts, core->text_size);
	for (uint32_t i = 0; i < e->count; i++)
		e->effects[i].reason.data = texts + core->text_offsets[i];
	queue_must_put(&core->out, &e->item);
}

struct numbers_item {
	struct queue_item item;
	uint64_t a, b, c;
};

static void tell_numbers(struct core *core, uint64_t a, uint64_t b, uint64_t c,
			 void (*take)(void *ctx, struct queue_item *item))
{
	struct numbers_item *n = item_new(sizeof *n, sizeof *n, take);

	n->a = a;
	n->b = b;
	n->c = c;
	queue_must_put(&core->out, &n->item);
}

static void leader_out(void *ctx, struct queue_item *item)
{
	struct numbers_item *n = (struct numbers_item *)item;
	struct core *core = ctx;

	if (core->events.leader != NULL && !core->mute)
		core->events.leader(core->events.ctx, n->a, n->b);
	free(item);
}

void core__tell_leader(struct core *core, uint64_t leader, uint64_t term)
{
	tell_numbers(core, leader, term, 0, leader_out);
}

struct members_item {
	struct queue_item item;
	uint32_t count;
	uint64_t ids[REPLICA_MEMBERS_MAX];
};

static void members_out(void *ctx, struct queue_item *item)
{
	struct members_item *m = (struct members_item *)item;
	struct core *core = ctx;

	if (core->events.members != NULL && !core->mute)
		core->events.members(core->events.ctx, m->ids, m->count);
	free(item);
}

void core__tell_members(struct core *core)
{
	struct members_item *m = item_new(sizeof *m, sizeof *m, members_out);

	m->count = core->member_count;
	memcpy(m->ids, core->member_ids, sizeof m->ids);
	queue_must_put(&core->out, &m->item);
}

static void changed_out(void *ctx, struct queue_item *item)
{
	struct numbers_item *n = (struct numbers_item *)item;
	struct core *core = ctx;

	if (core->events.changed != NULL && !core->mute)
		core->events.changed(core->events.ctx, n->a, n->b, n->c);
	free(item);
}

void core__tell_changed(struct core *core)
{
	struct fsm_status status;

	fsm_status(core_view(core), &status);
	tell_numbers(core, status.programs_changed, status.crns_changed,
		     core->applied, changed_out);
}

struct fatal_item {
	struct queue_item item;
	struct fault fault;
};

static void fatal_out(void *ctx, struct queue_item *item)
{
	struct fatal_item *f = (struct fatal_item *)item;
	struct core *core = ctx;

	if (core->mute)
		log_error("core", "while stopping: %s", f->fault.text);
	else if (core->events.fatal != NULL)
		core->events.fatal(core->events.ctx, &f->fault);
	free(item);
}

void core__tell_fatal(struct core *core, const struct fault *fault)
{
	struct fatal_item *f = item_new(sizeof *f, sizeof *f, fatal_out);

	f->fault = *fault;
	queue_must_put(&core->out, &f->item);
}

static void stopped_out(void *ctx, struct queue_item *item)
{
	free(item);
	core__stopped(ctx);
}

void core__tell_stopped(struct core *core)
{
	struct queue_item *item =
		item_new(sizeof *item, sizeof *item, stopped_out);

	queue_must_put(&core->out, item);
}

static void stop_asked(void *ctx, struct queue_item *item)
{
	free(item);
	core__stop(ctx);
}

void core__ask_stop(struct core *core)
{
	struct queue_item *item =
		item_new(sizeof *item, sizeof *item, stop_asked);

	queue_must_put(&core->in, item);
}
