/* The consensus thread's life: opening, its loop, its end. */
#include <stdlib.h>

#include "node/lib/log.h"
#include "node/replica/core_impl.h"

#define HANDING_LOOK_MS 10u

const struct fsm_view *core_view(struct core *core)
{
	return fsm_live(core->state->fsm);
}

struct fsm *core_fsm(struct core *core)
{
	return core->state->fsm;
}

struct replica *core_replica(struct core *core)
{
	return core->replica;
}

struct driver *core_driver(struct core *core)
{
	return core->driver;
}

uint64_t core_applied(struct core *core)
{
	return core->applied;
}

uint64_t core_applied_age_ms(struct core *core)
{
	return clock_monotonic_ms() - core->applied_ms;
}

/* --- what the driver is given ---------------------------------------------- */

/* A2: what the slower of the two clocks counted, span by span. */
static uint64_t lease_ms(void *ctx)
{
	struct core *core = ctx;

	core->lease_ms = lease_clock_leader_ms(&core->clock);
	return core->lease_ms;
}

static uint64_t wall_ms(void *ctx)
{
	(void)ctx;
	return clock_wall_ms();
}

static int propose(void *ctx, const void *data, size_t size, bool urgent,
		   uint64_t *index)
{
	struct core *core = ctx;

	return replica_submit(core->replica, data, size, urgent, index);
}

static uint64_t raft_term(void *ctx)
{
	struct core *core = ctx;
	struct replica_status status;

	replica_status(core->replica, &status);
	return status.term;
}

static void clock_alarm(void *ctx, const struct driver_clock *c)
{
	(void)ctx;
	log_warn("driver", "the lease clock is fast: it counted %llu ms where "
		 "the median of %u agents' clocks counted %llu; %u ppm too "
		 "much, %u are allowed for. Compare this machine's clock",
		 (unsigned long long)c->c_ms, c->agents,
		 (unsigned long long)c->agent_ms, c->ppm, c->limit_ppm);
}

static int open_driver(struct core *core)
{
	const struct driver_ops ops = {
		.ctx = core,
		.self = core->config.replica.id,
		.clock_ms = lease_ms,
		.wall_ms = wall_ms,
		.propose = propose,
		.raft_term = raft_term,
		.send = core__agent_send,
		.clock_alarm = clock_alarm,
	};

	lease_clock_init(&core->clock);
	return driver_open(&core->driver, &ops);
}

/* --- what the engine is given: ours of it ----------------------------------- */

static void on_engine_wake(void *ctx)
{
	(void)ctx; /* the prepare handle looks before each wait */
}

static bool link_send(void *ctx, uint64_t id, const struct replica_part *parts,
		      uint32_t count)
{
	struct core *core = ctx;

	return peers_send(&core->peers, id, parts, count);
}

static size_t link_queued(void *ctx, uint64_t id)
{
	struct core *core = ctx;

	return peers_queued(&core->peers, id);
}

static void link_drop(void *ctx, uint64_t id, const char *why)
{
	struct core *core = ctx;

	peers_drop(&core->peers, id, why);
}

static const struct node_io_hooks hooks = {
	.wake = on_engine_wake,
	.link_send = link_send,
	.link_queued = link_queued,
	.link_drop = link_drop,
};

/* --- the loop ---------------------------------------------------------------- */

/* True if they are not those that were told last. */
static bool members_moved(struct core *core, const struct replica_status *s)
{
	bool moved = s->member_count != core->member_count;

	for (uint32_t i = 0; i < s->member_count; i++) {
		moved = moved || s->members[i].id != core->member_ids[i];
		core->member_ids[i] = s->members[i].id;
	}
	core->member_count = s->member_count;
	return moved;
}

static void tell(struct core *core)
{
	struct replica_status status;

	replica_status(core->replica, &status);
	if (status.leader != core->leader || status.term != core->term) {
		core->leader = status.leader;
		core->term = status.term;
		core__tell_leader(core, status.leader, status.term);
	}
	if (members_moved(core, &status))
		core__tell_members(core);
	if (core->moved)
		core__tell_changed(core);
	core->moved = false;
}

static void on_timer(uv_timer_t *timer)
{
	(void)timer; /* wakes the loop; the prepare handle does the work */
}

static uint64_t until(uint64_t next_ms, uint64_t now_ms)
{
	if (next_ms == UINT64_MAX)
		return UINT64_MAX;
	return next_ms > now_ms ? next_ms - now_ms : 0;
}

/* Does what is due and says how long nothing will be. */
static uint64_t step(struct core *core)
{
	struct replica_io *io = &core->io;
	uint64_t driver_ms, engine_ms, driver_next;

	if (io->now_ms(io->ctx) >= replica_next_ms(core->replica))
		replica_tick(core->replica);
	if (core->failed)
		return UINT64_MAX;
	driver_next = driver_tick(core->driver, core_view(core));
	if (core->failed)
		return UINT64_MAX;
	driver_ms = until(driver_next, core->lease_ms);
	engine_ms = until(replica_next_ms(core->replica), io->now_ms(io->ctx));
	tell(core);
	core__audit_tick(core);
	return driver_ms < engine_ms ? driver_ms : engine_ms;
}

static void stop_now(struct core *core);

/* While leadership is handed over the loop goes on as usual, for a while. */
static bool handed_over(const struct core *core)
{
	return core->handing &&
	       (core->leader != core->config.replica.id ||
		clock_monotonic_ms() >= core->handing_end_ms);
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct core *core = prepare->data;
	uint64_t wait_ms;

	/* A closing engine counts its jobs in its tick. */
	if (core->stopping && core->replica != NULL)
		replica_tick(core->replica);
	if (core->handing && core->failed && !core->stopping)
		stop_now(core);
	if (core->failed || core->stopping)
		return;
	wait_ms = step(core);
	if (handed_over(core)) {
		stop_now(core);
		return;
	}
	if (core->handing && wait_ms > HANDING_LOOK_MS)
		wait_ms = HANDING_LOOK_MS;
	uv_update_time(&core->loop);
	if (wait_ms == UINT64_MAX)
		uv_timer_stop(&core->timer);
	else
		uv_timer_start(&core->timer, on_timer, wait_ms, 0);
}

/* --- opening ------------------------------------------------------------------ */

struct bytes {
	uint8_t data[1024];
	size_t size;
};

static bool bytes_write(void *ctx, const void *data, size_t size)
{
	struct bytes *b = ctx;

	if (size > sizeof b->data - b->size)
		return false;
	memcpy(b->data + b->size, data, size);
	b->size += size;
	return true;
}

/* A disk id and no log; the engine follows once it is added. */
static int join(struct core *core, struct fault *fault)
{
	int code = replica_bootstrap(&core->io, &core->config.replica, NULL, 0,
				     NULL, 0, fault);

	if (code == 0)
		log_info("raft", "this replica is new and waits to be added: "
			 "berth member add %llu",
			 (unsigned long long)core->config.replica.id);
	return code == BERTH_EXISTS ? 0 : code;
}

/* The log of a new cluster begins with its configuration, the same bytes on
 * every member. */
static int bootstrap(struct core *core, struct fault *fault)
{
	struct command first = { .type = FSM_CONFIG };
	struct bytes bytes = { .size = 0 };
	struct byte_sink sink = { &bytes, bytes_write };
	int code;

	if (core->config.join)
		return join(core, fault);
	if (!core->config.bootstrap)
		return 0;
	first.config = core->config.initial;
	REQUIRE(command_entry_begin(&sink, 0, 1) &&
		command_encode(&sink, &first));
	code = replica_bootstrap(&core->io, &core->config.replica,
				 core->config.members,
				 core->config.member_count, bytes.data,
				 bytes.size, fault);
	return code == BERTH_EXISTS ? 0 : code;
}

static int open_engine(struct core *core, struct fault *fault)
{
	int code = core__audit_open(core, fault);

	if (code != 0)
		return code;
	code = core__trail_open(core, fault);
	if (code != 0)
		return code;
	code = node_io_open(&core->node_io, &core->loop,
			    core->config.directory, &hooks, core, &core->io,
			    fault);
	if (code != 0)
		return code;
	code = bootstrap(core, fault);
	if (code != 0)
		return code;
	core__machine(core, &core->machine);
	return replica_open(&core->replica, &core->config.replica, &core->io,
			    &core->machine, fault);
}

static int open_loop(struct core *core, struct fault *fault)
{
	if (uv_prepare_init(&core->loop, &core->prepare) != 0 ||
	    uv_timer_init(&core->loop, &core->timer) != 0)
		return fault_set(fault, BERTH_IO, "the consensus loop");
	core->prepare.data = core;
	core->timer.data = core;
	core->peers.loop = &core->loop;
	core->peers.replica = &core->replica;
	core->peers.state = core__audit_heard;
	core->peers.state_ctx = core;
	core->state = core__state_open(fsm_open());
	if (open_driver(core) != 0)
		return fault_set(fault, BERTH_NOMEM, "the driver");
	return open_engine(core, fault);
}

/* --- the end -------------------------------------------------------------------- */

static void on_in_closed(void *ctx)
{
	(void)ctx;
}

/* The engine is closed, or never opened: what is left is ours. */
static void close_rest(void *ctx)
{
	struct core *core = ctx;

	core->replica = NULL;
	if (core->node_io != NULL)
		node_io_close(core->node_io);
	uv_close((uv_handle_t *)&core->prepare, NULL);
	uv_close((uv_handle_t *)&core->timer, NULL);
	queue_fini(&core->in, on_in_closed);
}

/* The voter that has most of the log, if we lead and there is one: it leads
 * at once, where silence would cost the others an election time-out. */
static uint64_t successor(struct core *core)
{
	struct replica_status s;
	uint64_t id = 0, most = 0;

	replica_status(core->replica, &s);
	if (s.state != REPLICA_LEADER)
		return 0;
	for (uint32_t i = 0; i < s.member_count; i++) {
		if (s.members[i].id == s.id || !s.connected[i] ||
		    s.members[i].role != ROLE_VOTER || s.match[i] <= most)
			continue;
		most = s.match[i];
		id = s.members[i].id;
	}
	return id;
}

void core__stop(struct core *core)
{
	uint64_t id;

	if (core->stopping || core->handing)
		return;
	id = core->failed ? 0 : successor(core);
	if (id == 0 || replica_transfer(core->replica, id) != 0) {
		stop_now(core);
		return;
	}
	log_info("raft", "leadership goes to replica %llu",
		 (unsigned long long)id);
	core->handing = true;
	core->handing_end_ms = clock_monotonic_ms() +
			       2 * (uint64_t)core->config.replica.election_ms;
}

static void stop_now(struct core *core)
{
	core->stopping = true;
	driver_leader(core->driver, false, 0);
	peers_close(&core->peers);
	replica_close(core->replica, close_rest, core);
}

static void free_state(struct core *core)
{
	struct core_state *state = core->state;

	driver_close(core->driver);
	core__trail_close(core);
	core->state = NULL;
	for (uint32_t i = 0; i < CORE_VIEWS_MAX; i++)
		if (core->views[i].view != NULL)
			log_warn("core", "a view was left open");
	core__state_release(core, state);
	core__scratch_free(core);
}

static void run(void *arg)
{
	struct core *core = arg;
	int code = open_loop(core, core->open_fault);

	core->open_code = code;
	if (code == 0) {
		uv_prepare_start(&core->prepare, on_prepare);
		uv_sem_post(&core->opened);
	} else {
		core->stopping = true;
		close_rest(core);
	}
	uv_run(&core->loop, UV_RUN_DEFAULT);
	free_state(core);
	uv_loop_close(&core->loop);
	if (code == 0)
		core__tell_stopped(core);
	else
		uv_sem_post(&core->opened);
}

/* --- on the edge loop -------------------------------------------------------------- */

static void on_out_closed(void *ctx)
{
	struct core *core = ctx;
	void (*closed)(void *) = core->closed;
	void *closed_ctx = core->closed_ctx;

	uv_sem_destroy(&core->opened);
	free(core);
	if (closed != NULL)
		closed(closed_ctx);
}

void core__stopped(struct core *core)
{
	uv_thread_join(&core->thread);
	queue_fini(&core->out, on_out_closed);
}

static int start(struct core *core)
{
	if (uv_loop_init(&core->loop) != 0)
		return BERTH_IO;
	if (queue_init(&core->in, &core->loop, core, CORE_IN_COUNT_MAX,
		       CORE_IN_SIZE_MAX) != 0 ||
	    queue_init(&core->out, core->edge, core, CORE_OUT_COUNT_MAX,
		       CORE_OUT_SIZE_MAX) != 0 ||
	    uv_sem_init(&core->opened, 0) != 0 ||
	    uv_thread_create(&core->thread, run, core) != 0)
		return BERTH_IO;
	uv_sem_wait(&core->opened);
	return core->open_code;
}

int core_open(struct core **out, const struct core_config *config,
	      uv_loop_t *edge, const struct core_events *events,
	      struct fault *fault)
{
	struct core *core = calloc(1, sizeof *core);
	int code;

	if (core == NULL)
		return fault_set(fault, BERTH_NOMEM, "the core");
	core->config = *config;
	core->events = *events;
	core->edge = edge;
	core->open_fault = fault;
	fault_set(fault, BERTH_IO, "the consensus thread cannot be started");
	code = start(core);
	if (code == 0) {
		*out = core;
		return 0;
	}
	/* The thread, if it ran, is at its end; the queue's handle closes when
	 * the edge loop runs, and the memory with it. */
	core->closed = NULL;
	if (core->open_code != 0)
		core__stopped(core);
	return code;
}

void core_close(struct core *core, void (*closed)(void *ctx), void *ctx)
{
	core->closed = closed;
	core->closed_ctx = ctx;
	core->mute = true;
	core__ask_stop(core);
}
