/* A replica: engine, state machine and driver, as core.c holds them together,
 * on a disk and a clock of the simulator's. */
#include <stdio.h>
#include <stdlib.h>

#include "raft/internal.h"
#include "tests/sim/whole/whole.h"

#define START_MS 1000u /* what a replica's clock reads at first */

bool node_ready(const struct node *node)
{
	return node->alive && node->paused_us <= node->world->now_us;
}

static uint64_t node_ms(const struct node *node)
{
	return drifting_ms(&node->clock, node->world->now_us);
}

/* --- what the engine is given ------------------------------------------------ */

static uint64_t io_now(void *ctx)
{
	return node_ms(ctx);
}

static uint64_t io_random(void *ctx)
{
	struct node *node = ctx;

	return chance_next(&node->world->chance);
}

static void io_wake(void *ctx)
{
	struct node *node = ctx;

	node->next_us = node->world->now_us;
}

static void lane_begin(struct node *node, uint32_t number)
{
	struct world *world = node->world;
	struct lane *lane = &node->lanes[number];
	uint64_t us = world->options.disk_ms * 1000ull;
	struct event event = { .kind = EVENT_JOB, .to = node->number,
			       .life = node->life, .a = number };

	if (lane->busy || !lane->head)
		return;
	lane->busy = true;
	if (number)
		us *= 10;
	if (!world->healed && chance_below(&world->chance, 400) == 0)
		us = 300000; /* a disk that thinks */
	if (world->now_us < node->slow_until_us)
		us = node->slow_us ? node->slow_us : 1000;
	event.at_us = world->now_us + 50 + chance_below(&world->chance, us + 1);
	if (world->now_us < node->slow_until_us && !node->slow_us)
		event.at_us += node->slow_until_us - world->now_us;
	event_push(world, &event);
}

static void submit(struct node *node, uint32_t number, struct replica_job *job)
{
	struct lane *lane = &node->lanes[number];

	job->next = NULL;
	*lane->tail = job;
	lane->tail = &job->next;
	lane_begin(node, number);
}

static void submit_log(void *ctx, struct replica_job *job)
{
	submit(ctx, 0, job);
}

static void submit_slow(void *ctx, struct replica_job *job)
{
	submit(ctx, 1, job);
}

void node_job(struct world *world, const struct event *event)
{
	struct node *node = &world->nodes[event->to];
	struct lane *lane = &node->lanes[event->a];
	struct replica_job *job = lane->head;
	int code;

	if (node->life != event->life || !node->alive)
		return;
	lane->head = job->next;
	if (!lane->head)
		lane->tail = &lane->head;
	code = job->run(job);
	lane->busy = false;
	if (disk_off(node->disk)) {
		job->next = lane->head;
		lane->head = job;
		if (!job->next)
			lane->tail = &job->next;
		node_crash(node, "the power failed while it wrote");
		return;
	}
	job->done(job, code);
	if (node->alive)
		lane_begin(node, (uint32_t)event->a);
}

static bool io_link_send(void *ctx, uint64_t id,
			 const struct replica_part *parts, uint32_t count)
{
	return peer_transmit(ctx, id, parts, count);
}

static size_t io_link_queued(void *ctx, uint64_t id)
{
	const struct node *node = ctx;

	return id == 0 || id > NODES_MAX ? 0 :
		clog_queued(node->world, node->number, (uint32_t)id - 1);
}

static void io_link_drop(void *ctx, uint64_t id, const char *why)
{
	struct node *node = ctx;

	if (strstr(why, "malformed"))
		world_fail(node->world, "replica %" PRIu64 " drops its link to "
			   "%" PRIu64 ": %s", node->id, id, why);
	peer_close(node->world, node->number, (uint32_t)id - 1);
}

/* --- the driver's world ----------------------------------------------------------- */

static uint64_t op_clock(void *ctx)
{
	return node_ms(ctx);
}

static uint64_t op_wall(void *ctx)
{
	struct node *node = ctx;

	return 1700000000000u + node->world->now_us / 1000;
}

static int op_propose(void *ctx, const void *data, size_t size, bool urgent,
		      uint64_t *index)
{
	struct node *node = ctx;
	uint8_t first[65536];
	size_t first_size = sizeof first;
	int code;

	if (restore_first(node, data, size, first, &first_size)) {
		data = first;
		size = first_size;
	}
	code = replica_submit(node->replica, data, size, urgent, index);

	if (code == 0)
		oracle_proposed(node, *index, data, size);
	return code;
}

static uint64_t op_term(void *ctx)
{
	struct node *node = ctx;

	return raft_current_term(&node->replica->raft);
}

static void op_send(void *ctx, const struct agent_route *route, uint8_t type,
		    const void *payload, size_t size)
{
	edge_answer(ctx, route, type, payload, size);
}

/* --- the machine above the engine ------------------------------------------------- */

static void on_result(void *ctx, const struct fsm_result *result)
{
	struct node *node = ctx;

	if (node->result_count == node->result_capacity) {
		node->result_capacity = node->result_capacity * 2 + 64;
		node->results = need(realloc(node->results,
					     node->result_capacity *
						     sizeof *node->results));
	}
	node->results[node->result_count++] = *result;
}

static void on_apply(void *ctx, uint64_t index, uint64_t term,
		     const void *data, size_t size)
{
	struct node *node = ctx;
	const struct fsm_observer observer = { node, on_result, NULL };

	(void)term;
	if (node->lost)
		world_fail(node->world, "R18: replica %" PRIu64 " lost its "
			   "disk and applies an entry", node->id);
	if (index <= node->applied)
		world_fail(node->world, "replica %" PRIu64 " applies %" PRIu64
			   " after %" PRIu64, node->id, index, node->applied);
	oracle_apply(node, index, spoil_entry(node, index, data, size), size);
	node->result_count = 0;
	node->applied = index;
	fsm_apply(node->fsm, index, data, size, &observer);
	spoil_applied(node, index);
	oracle_applied(node, index);
	driver_applied(node->driver, fsm_live(node->fsm), index, node->results,
		       node->result_count);
}

static void *on_snapshot_begin(void *ctx)
{
	struct node *node = ctx;

	if (node->view)
		return NULL;
	node->view = fsm_view_open(node->fsm);
	if (node->view)
		oracle_snapshot(node, node->applied);
	return node->view;
}

static bool on_snapshot_write(void *view,
			      bool (*sink)(void *sink_ctx, const void *data,
					   size_t size),
			      void *sink_ctx)
{
	struct byte_sink out = { sink_ctx, sink };

	return fsm_snapshot_write(view, &out);
}

static void on_snapshot_end(void *ctx, void *view)
{
	struct node *node = ctx;

	fsm_view_close(node->old ? node->old : node->fsm, view);
	node->view = NULL;
	if (node->old)
		fsm_close(node->old);
	node->old = NULL;
	node->world->totals.snapshots++;
}

static int on_restore(void *ctx,
		      bool (*source)(void *source_ctx, void *data, size_t size),
		      void *source_ctx)
{
	struct node *node = ctx;
	struct byte_source in = { source_ctx, source };
	struct fsm_status status;
	struct fsm *fsm = NULL;
	int code = fsm_snapshot_read(&fsm, &in);

	if (code != 0)
		return code;
	if (node->view && !node->old)
		node->old = node->fsm;
	else
		fsm_close(node->fsm);
	node->fsm = fsm;
	fsm_status(fsm_live(fsm), &status);
	node->applied = status.index;
	node->world->totals.restores++;
	oracle_restored(node, status.index);
	return 0;
}

static void on_leadership(void *ctx, bool leader, uint64_t term)
{
	struct node *node = ctx;

	story(node->world, "replica %" PRIu64 " %s, term %" PRIu64, node->id,
	      leader ? "leads" : "leads no more", term);
	node->world->totals.elections += leader;
	if (node->lost && leader)
		world_fail(node->world, "R18: replica %" PRIu64 " lost its "
			   "disk and leads", node->id);
	driver_leader(node->driver, leader, term);
}

static void on_fatal(void *ctx, const struct fault *fault)
{
	struct node *node = ctx;

	node->failed = true;
	if (node->dying || disk_off(node->disk))
		return;
	story(node->world, "replica %" PRIu64 " stops: %s", node->id,
	      fault->text);
	if (node->lost && fault->code == BERTH_DENIED)
		return;
	/* A long pause while a write is under way is a disk that hangs. */
	if (fault->code != BERTH_NOSPACE && fault->code != BERTH_IO &&
	    !strstr(fault->text, "hangs"))
		world_fail(node->world, "replica %" PRIu64 " stops: %s",
			   node->id, fault->text);
}

/* --- start, step and end ------------------------------------------------------------ */

void node_config(const struct node *node, struct replica_config *config)
{
	const struct options *o = &node->world->options;

	memset(config, 0, sizeof *config);
	config->id = node->id;
	strcpy(config->cluster, "sim");
	config->election_ms = o->wan_ms > 20 ? 1000 : 500;
	config->heartbeat_ms = config->election_ms / 5;
	config->snapshot_entries = o->snapshot_entries;
	config->snapshot_bytes = UINT64_MAX;
	config->trailing = o->snapshot_entries / 4;
	config->max_inflight = 64;
	config->segment_size = 1u << 18;
}

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

static void bootstrap(struct node *node)
{
	struct world *world = node->world;
	struct replica_member members[REPLICA_MEMBERS_MAX];
	struct command first = { .type = FSM_CONFIG };
	struct bytes bytes = { .size = 0 };
	struct byte_sink sink = { &bytes, bytes_write };
	struct replica_config config;
	struct fault fault = { 0 };

	memset(members, 0, sizeof members);
	for (uint32_t i = 0; i < world->options.replicas; i++) {
		members[i].id = i + 1;
		members[i].role = ROLE_VOTER;
	}
	first.config = world->config;
	node_config(node, &config);
	REQUIRE(command_entry_begin(&sink, 0, 1) &&
		command_encode(&sink, &first));
	if (replica_bootstrap(&node->io, &config, members,
			      world->options.replicas, bytes.data, bytes.size,
			      &fault))
		world_fail(world, "bootstrap: %s", fault.text);
}

static struct node *node_make(struct world *world, uint32_t number)
{
	struct node *node = &world->nodes[number];
	uint32_t life = node->life;

	memset(node, 0, sizeof *node);
	node->life = life; /* of the one before a restore */
	node->world = world;
	node->number = number;
	node->id = number + 1;
	node->disk = disk_new(&world->chance);
	node->clock.base_us = START_MS * 1000u;
	node->io = (struct replica_io){
		.ctx = node, .now_ms = io_now, .random = io_random,
		.wake = io_wake, .submit_log = submit_log,
		.submit_slow = submit_slow, .link_send = io_link_send,
		.link_queued = io_link_queued, .link_drop = io_link_drop,
	};
	disk_files(node->disk, &node->io.files);
	node->machine = (struct replica_machine){
		node, on_apply, on_snapshot_begin, on_snapshot_write,
		on_snapshot_end, on_restore, on_leadership, on_fatal,
	};
	return node;
}

void node_init(struct world *world, uint32_t number)
{
	struct node *node = node_make(world, number);

	world->node_count = number + 1;
	bootstrap(node);
	node_start(node);
}

void node_join(struct world *world)
{
	struct node *node = node_make(world, world->node_count++);
	int32_t drift = (int32_t)world->options.drift;
	struct replica_config config;
	struct fault fault = { 0 };

	drifting_set(&node->clock, world->now_us,
		     (int32_t)chance_below(&world->chance,
					   2 * (uint64_t)drift + 1) - drift);
	node->joining = true;
	node_config(node, &config);
	if (replica_bootstrap(&node->io, &config, NULL, 0, NULL, 0, &fault))
		world_fail(world, "bootstrap: %s", fault.text);
	story(world, "replica %" PRIu64 " is new and waits to be added",
	      node->id);
	node_start(node);
}

static void open_above(struct node *node)
{
	const struct driver_ops ops = {
		.ctx = node, .self = node->id, .clock_ms = op_clock,
		.wall_ms = op_wall, .propose = op_propose,
		.raft_term = op_term, .send = op_send };

	node->fsm = fsm_open();
	node->applied = 0;
	node->view = NULL;
	node->old = NULL;
	REQUIRE(driver_open(&node->driver, &ops) == 0);
}

static void close_above(struct node *node)
{
	driver_close(node->driver);
	if (node->old)
		fsm_close(node->old);
	fsm_close(node->fsm);
	node->driver = NULL;
	node->fsm = node->old = NULL;
}

void node_start(struct node *node)
{
	struct world *world = node->world;
	struct replica_config config;
	struct fault fault = { 0 };

	node->life++;
	node->failed = false;
	node->leader = node->term = 0;
	node->paused_us = 0;
	node->changing = false;
	node->lanes[0] = (struct lane){ .tail = &node->lanes[0].head };
	node->lanes[1] = (struct lane){ .tail = &node->lanes[1].head };
	open_above(node);
	node_config(node, &config);
	if (replica_open(&node->replica, &config, &node->io, &node->machine,
			 &fault)) {
		close_above(node);
		node->restart_us = world->now_us + 200000;
		if (disk_off(node->disk)) {
			disk_crash(node->disk);
			if (disk_torn(node->disk))
				faults_count(world, FAULT_TORN);
		} else if (node->lost && (fault.code == BERTH_NOTFOUND ||
					  fault.code == BERTH_DENIED)) {
			members_refused(node, fault.text);
		} else if (fault.code == BERTH_NOSPACE ||
			   fault.code == BERTH_IO) {
			disk_full(node->disk, false);
		} else {
			world_fail(world, "replica %" PRIu64 " does not open: "
				   "%s", node->id, fault.text);
		}
		return;
	}
	node->alive = true;
	edge_start(node);
	node->next_us = world->now_us;
	story(world, "replica %" PRIu64 " starts at index %" PRIu64, node->id,
	      node->applied);
}

static void on_closed(void *ctx)
{
	struct node *node = ctx;

	node->replica = NULL;
}

static bool end(struct node *node, const char *why)
{
	struct world *world = node->world;

	if (!node->alive)
		return false;
	if (!world->over)
		story(world, "replica %" PRIu64 " crashes: %s", node->id, why);
	node->dying = true;
	node->alive = false;
	replica_close(node->replica, on_closed, node);
	for (uint32_t i = 0; i < 2; i++)
		while (node->lanes[i].head) {
			struct replica_job *job = node->lanes[i].head;

			node->lanes[i].head = job->next;
			job->done(job, BERTH_IO);
		}
	if (node->replica)
		world_fail(world, "replica %" PRIu64 " does not close",
			   node->id);
	close_above(node);
	edge_stop(node);
	node->dying = false;
	peers_of_crashed(world, node->number);
	if (node->restart_us <= world->now_us)
		node->restart_us = world->now_us + 500000;
	return true;
}

void node_crash(struct node *node, const char *why)
{
	if (!end(node, why))
		return;
	disk_crash(node->disk);
	if (!node->world->over && disk_torn(node->disk))
		faults_count(node->world, FAULT_TORN);
	disk_full(node->disk, false);
}

void node_kill(struct node *node, const char *why)
{
	if (!end(node, why))
		return;
	disk_kill(node->disk);
	disk_full(node->disk, false);
}

void node_fini(struct node *node)
{
	node_crash(node, "the end");
	if (node->disk)
		disk_free(node->disk);
	if (node->copy)
		disk_free(node->copy);
	free(node->results);
	node->disk = node->copy = NULL;
	node->results = NULL;
}

/* As replica_status tells it: all of that at each step costs a tenth of the
 * simulator's time. */
static uint64_t leader_of(const struct node *node)
{
	const struct raft *raft = &node->replica->raft;

	if (raft->state == RAFT_LEADER)
		return node->id;
	return raft->state == RAFT_FOLLOWER ?
		       raft->follower_state.current_leader.id : 0;
}

/* As core.c's step: the engine, then the driver, then the edge is told. */
void node_step(struct node *node)
{
	struct world *world = node->world;
	uint64_t engine_ms, driver_ms;

	if (!node->alive)
		return;
	if (node_ms(node) >= replica_next_ms(node->replica))
		replica_tick(node->replica);
	driver_ms = node->failed ? UINT64_MAX :
				   driver_tick(node->driver,
					       fsm_live(node->fsm));
	if (node->failed || disk_off(node->disk)) {
		node->restart_us = world->now_us +
				   chance_between(&world->chance, 200000,
						  3000000);
		if (disk_off(node->disk))
			node_crash(node, "the power failed");
		else
			node_kill(node, "its process ends");
		return;
	}
	node->leader = leader_of(node);
	node->term = op_term(node);
	edge_told(node);
	engine_ms = replica_next_ms(node->replica);
	if (driver_ms < engine_ms)
		engine_ms = driver_ms;
	node->next_us = engine_ms == UINT64_MAX ?
				NEVER_US :
				drifting_when(&node->clock, engine_ms);
	if (node->next_us <= world->now_us)
		node->next_us = world->now_us + 50;
}

struct node *node_leader(struct world *world)
{
	struct driver_status status;
	struct node *best = NULL;

	for (uint32_t i = 0; i < world->node_count; i++) {
		struct node *node = &world->nodes[i];

		if (!node->alive || node->leader != node->id)
			continue;
		driver_status(node->driver, &status);
		if (status.leading && (!best || node->term > best->term))
			best = node;
	}
	return best;
}

struct node *node_best(struct world *world)
{
	struct node *best = NULL;

	for (uint32_t i = 0; i < world->node_count; i++) {
		struct node *node = &world->nodes[i];

		if (node->alive && (!best || node->applied > best->applied))
			best = node;
	}
	return best;
}
