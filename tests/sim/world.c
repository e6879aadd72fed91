#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/bytes.h"
#include "tests/sim/sim.h"

/* --- chance: splitmix64 -------------------------------------------------- */

uint64_t chance_next(struct chance *chance)
{
	uint64_t z = chance->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t chance_below(struct chance *chance, uint64_t bound)
{
	return bound ? chance_next(chance) % bound : 0;
}

uint64_t chance_between(struct chance *chance, uint64_t low, uint64_t high)
{
	return low + chance_below(chance, high - low + 1);
}

bool chance_percent(struct chance *chance, uint32_t percent)
{
	return chance_below(chance, 100) < percent;
}

void world_trace(struct world *world, uint64_t value)
{
	struct chance mix = { world->trace ^ value };

	world->trace = chance_next(&mix);
}

void world_fail(struct world *world, const char *format, ...)
{
	va_list args;
	int at;

	if (world->violation[0])
		return;
	at = snprintf(world->violation, sizeof world->violation,
		      "at %" PRIu64 " ms: ", world->now_us / 1000);
	va_start(args, format);
	vsnprintf(world->violation + at,
		  sizeof world->violation - (size_t)at, format, args);
	va_end(args);
}

/* --- events: a heap by time, ties by number ------------------------------ */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us :
				      a->sequence < b->sequence;
}

void event_push(struct world *world, const struct sim_event *event)
{
	uint32_t i;

	if (world->heap_count == world->heap_capacity) {
		world->heap_capacity = world->heap_capacity * 2 + 256;
		world->heap = realloc(world->heap, world->heap_capacity *
							   sizeof *world->heap);
		if (!world->heap)
			abort();
	}
	i = world->heap_count++;
	world->heap[i] = *event;
	world->heap[i].sequence = world->sequence++;
	while (i && before(&world->heap[i], &world->heap[(i - 1) / 2])) {
		struct sim_event up = world->heap[i];

		world->heap[i] = world->heap[(i - 1) / 2];
		world->heap[(i - 1) / 2] = up;
		i = (i - 1) / 2;
	}
}

static struct sim_event event_pop(struct world *world)
{
	struct sim_event first = world->heap[0];
	uint32_t i = 0;

	world->heap[0] = world->heap[--world->heap_count];
	for (;;) {
		uint32_t least = i, child;
		struct sim_event down;

		for (child = 2 * i + 1;
		     child <= 2 * i + 2 && child < world->heap_count; child++)
			if (before(&world->heap[child], &world->heap[least]))
				least = child;
		if (least == i)
			return first;
		down = world->heap[i];
		world->heap[i] = world->heap[least];
		world->heap[least] = down;
		i = least;
	}
}

/* --- what a node is given ------------------------------------------------ */

static uint64_t node_now(void *ctx)
{
	struct node *node = ctx;

	return node->world->now_us / 1000 + 1000;
}

static uint64_t node_random(void *ctx)
{
	struct node *node = ctx;

	return chance_next(&node->world->chance);
}

static void node_wake(void *ctx)
{
	(void)ctx; /* the world asks replica_next_ms before each event */
}

static void lane_begin(struct node *node, uint32_t number)
{
	struct world *world = node->world;
	struct lane *lane = &node->lanes[number];
	uint32_t ms = number ? world->options.slow_disk_ms :
			       world->options.disk_ms;
	struct sim_event event = { .kind = EVENT_JOB, .lane = number };

	if (lane->busy || !lane->head)
		return;
	lane->busy = true;
	event.at_us = world->now_us + 50 +
		      chance_below(&world->chance, ms * 1000 + 1);
	event.to = (uint32_t)(node - world->nodes);
	event.life = node->life;
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

static void run_job(struct world *world, const struct sim_event *event)
{
	struct node *node = &world->nodes[event->to];
	struct lane *lane = &node->lanes[event->lane];
	struct replica_job *job = lane->head;
	int code;

	if (node->life != event->life || !node->alive)
		return;
	if (node->hang_until_us > world->now_us) {
		struct sim_event again = *event;

		again.at_us = node->hang_until_us;
		again.data = NULL;
		event_push(world, &again);
		return;
	}
	lane->head = job->next;
	if (!lane->head)
		lane->tail = &lane->head;
	code = job->run(job);
	lane->busy = false;
	if (disk_off(node->disk)) {
		/* Power failed on the way: it stays the lane's, to be ended
		 * with the others. */
		job->next = lane->head;
		lane->head = job;
		if (!job->next)
			lane->tail = &job->next;
		if (chance_percent(&world->chance, 40))
			node_kill(node);
		else
			node_crash(node);
		return;
	}
	job->done(job, code);
	if (node->alive)
		lane_begin(node, event->lane);
}

static bool send_frame(void *ctx, uint64_t id, const struct replica_part *parts,
		       uint32_t count)
{
	return link_transmit(ctx, id, parts, count);
}

static size_t queued(void *ctx, uint64_t id)
{
	(void)ctx;
	(void)id;
	return 0;
}

static void drop(void *ctx, uint64_t id, const char *why)
{
	struct node *node = ctx;
	uint32_t a = (uint32_t)(node - node->world->nodes);

	if (strstr(why, "malformed"))
		world_fail(node->world, "replica %" PRIu64 " drops its link "
			   "to %" PRIu64 ": %s", node->id, id, why);
	link_break(node->world, a, (uint32_t)id - 1,
		   node->world->now_us + 100000);
}

static void log_text(void *ctx, int level, const char *text)
{
	struct node *node = ctx;

	if (level <= 4 && getenv("SIM_LOG"))
		fprintf(stderr, "%8" PRIu64 " ms, replica %" PRIu64 ": %s\n",
			node->world->now_us / 1000, node->id, text);
}

/* --- the machine ---------------------------------------------------------- */

static uint64_t chained(uint64_t hash, uint64_t index, const uint8_t *data,
			size_t size)
{
	struct chance mix = { hash ^ index };
	size_t i;

	for (i = 0; i + 8 <= size; i += 8)
		mix.state = chance_next(&mix) ^ get_u64(data + i);
	return chance_next(&mix);
}

static void apply(void *ctx, uint64_t index, uint64_t term, const void *data,
		  size_t size)
{
	struct node *node = ctx;

	if (index <= node->chain.index)
		world_fail(node->world, "replica %" PRIu64 " applies %" PRIu64
			   " after %" PRIu64, node->id, index,
			   node->chain.index);
	node->chain.hash = chained(node->chain.hash, index, data, size);
	node->chain.index = index;
	oracle_applied(node, index, term, data, size);
}

struct view {
	struct chain chain;
	uint32_t filler;
};

static void *snapshot_begin(void *ctx)
{
	struct node *node = ctx;
	struct view *view = calloc(1, sizeof *view);

	if (!view)
		abort();
	view->chain = node->chain;
	view->filler = node->world->options.filler;
	return view;
}

static bool snapshot_write(void *ctx,
			   bool (*sink)(void *sink_ctx, const void *data,
					size_t size),
			   void *sink_ctx)
{
	struct view *view = ctx;
	struct chance noise = { view->chain.hash };
	uint8_t bytes[20], ballast[1024];
	uint32_t i, j;

	put_u64(bytes, view->chain.index);
	put_u64(bytes + 8, view->chain.hash);
	put_u32(bytes + 16, view->filler);
	if (!sink(sink_ctx, bytes, sizeof bytes))
		return false;
	for (i = 0; i < view->filler; i++) {
		for (j = 0; j < sizeof ballast; j += 8)
			put_u64(ballast + j, chance_next(&noise));
		if (!sink(sink_ctx, ballast, sizeof ballast))
			return false;
	}
	return true;
}

static void snapshot_end(void *ctx, void *view)
{
	(void)ctx;
	free(view);
}

static int restore(void *ctx,
		   bool (*source)(void *source_ctx, void *data, size_t size),
		   void *source_ctx)
{
	struct node *node = ctx;
	uint8_t bytes[20], ballast[1024];
	uint32_t i, filler;

	if (!source(source_ctx, bytes, sizeof bytes))
		return BERTH_CORRUPT;
	filler = get_u32(bytes + 16);
	for (i = 0; i < filler; i++)
		if (!source(source_ctx, ballast, sizeof ballast))
			return BERTH_CORRUPT;
	node->chain.index = get_u64(bytes);
	node->chain.hash = get_u64(bytes + 8);
	oracle_restored(node);
	return 0;
}

static void leadership(void *ctx, bool leader, uint64_t term)
{
	struct node *node = ctx;

	node->leading_term = leader ? term : 0;
	if (leader)
		oracle_leader(node, term);
}

static void fatal(void *ctx, const struct fault *fault)
{
	struct node *node = ctx;

	if ((node->full && fault->code == BERTH_NOSPACE) ||
	    (node->hang_until_us >= node->world->now_us &&
	     fault->code == BERTH_TIMEOUT))
		node->stopped = true;
	else if (!disk_off(node->disk) && !node->dying)
		world_fail(node->world, "replica %" PRIu64 " stops: %s",
			   node->id, fault->text);
}

/* --- nodes ----------------------------------------------------------------- */

static void config_of(const struct node *node, struct replica_config *config)
{
	const struct options *o = &node->world->options;

	memset(config, 0, sizeof *config);
	config->id = node->id;
	strcpy(config->cluster, "sim");
	config->election_ms = o->election_ms;
	config->heartbeat_ms = o->heartbeat_ms;
	config->snapshot_entries = o->snapshot_entries;
	config->snapshot_bytes = UINT64_MAX;
	config->trailing = o->trailing;
	config->max_inflight = o->inflight;
	config->filters_off = o->filters_off;
	config->segment_size = o->segment_size;
}

static void bootstrap(struct node *node, uint32_t voters)
{
	struct replica_member members[REPLICA_MEMBERS_MAX];
	struct replica_config config;
	struct fault fault = { 0 };
	uint32_t i;

	memset(members, 0, sizeof members);
	for (i = 0; i < voters; i++) {
		members[i].id = i + 1;
		members[i].role = ROLE_VOTER;
	}
	config_of(node, &config);
	if (replica_bootstrap(&node->io, &config, members, voters, "firstone",
			      8, &fault))
		world_fail(node->world, "%s", fault.text);
}

void node_start(struct node *node)
{
	struct replica_config config;
	struct fault fault = { 0 };

	node->life++;
	node->chain.index = node->chain.hash = node->commit = 0;
	node->leading_term = 0;
	node->changing = false;
	node->lanes[0] = (struct lane){ .tail = &node->lanes[0].head };
	node->lanes[1] = (struct lane){ .tail = &node->lanes[1].head };
	config_of(node, &config);
	if (replica_open(&node->replica, &config, &node->io, &node->machine,
			 &fault)) {
		if (disk_off(node->disk)) {
			disk_crash(node->disk);
			return;
		}
		if (node->full && fault.code == BERTH_NOSPACE)
			return;
		world_fail(node->world, "replica %" PRIu64 " does not open: "
			   "%s", node->id, fault.text);
		node->gone = true;
		return;
	}
	node->alive = true;
}

struct node *world_add_node(struct world *world, bool voter, uint32_t voters)
{
	struct node *node = &world->nodes[world->node_count++];

	memset(node, 0, sizeof *node);
	node->world = world;
	node->id = world->node_count;
	node->used = true;
	node->disk = disk_new(&world->chance);
	node->io = (struct replica_io){
		.ctx = node, .now_ms = node_now, .random = node_random,
		.wake = node_wake, .submit_log = submit_log,
		.submit_slow = submit_slow, .link_send = send_frame,
		.link_queued = queued, .link_drop = drop, .log = log_text,
	};
	disk_files(node->disk, &node->io.files);
	node->machine = (struct replica_machine){
		node, apply, snapshot_begin, snapshot_write, snapshot_end,
		restore, leadership, fatal,
	};
	bootstrap(node, voter ? voters : 0);
	node_start(node);
	return node;
}

static void on_closed(void *ctx)
{
	struct node *node = ctx;

	node->replica = NULL;
}

static bool end(struct node *node)
{
	uint32_t i;

	if (!node->alive)
		return false;
	node->dying = true;
	node->stopped = false;
	node->alive = false;
	replica_close(node->replica, on_closed, node);
	for (i = 0; i < 2; i++)
		while (node->lanes[i].head) {
			struct replica_job *job = node->lanes[i].head;

			node->lanes[i].head = job->next;
			job->done(job, BERTH_IO);
		}
	if (node->replica)
		world_fail(node->world, "replica %" PRIu64 " does not close",
			   node->id);
	node->dying = false;
	return true;
}

void node_crash(struct node *node)
{
	if (!end(node))
		return;
	disk_crash(node->disk);
	links_of_crashed(node->world, (uint32_t)(node - node->world->nodes));
}

void node_kill(struct node *node)
{
	struct world *world = node->world;

	if (!end(node))
		return;
	world->totals.kills++;
	disk_kill(node->disk);
	if (chance_percent(&world->chance, 20))
		disk_forget(node->disk);
	links_of_crashed(world, (uint32_t)(node - world->nodes));
}

struct node *world_leader(struct world *world)
{
	struct node *best = NULL;
	uint32_t i;

	for (i = 0; i < world->node_count; i++) {
		struct node *node = &world->nodes[i];

		if (node->alive && node->leading_term &&
		    (!best || node->leading_term > best->leading_term))
			best = node;
	}
	return best;
}

/* --- the run ---------------------------------------------------------------- */

void world_init(struct world *world, uint64_t seed,
		const struct options *options)
{
	uint32_t i;

	memset(world, 0, sizeof *world);
	world->options = *options;
	world->seed = seed;
	world->chance.state = seed * 0x2545f4914f6cdd1du + 17;
	world->oracle = oracle_new();
	for (i = 0; i < options->voters; i++)
		world_add_node(world, true, options->voters);
	faults_plan(world);
}

void world_fini(struct world *world)
{
	uint32_t i;

	for (i = 0; i < world->node_count; i++) {
		node_crash(&world->nodes[i]);
		disk_free(world->nodes[i].disk);
	}
	for (i = 0; i < world->heap_count; i++)
		free(world->heap[i].data);
	free(world->heap);
	oracle_free(world->oracle);
}

static uint64_t next_tick_us(const struct world *world, struct node **which)
{
	uint64_t best = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < world->node_count; i++) {
		struct node *node = (struct node *)&world->nodes[i];
		uint64_t at;

		if (!node->alive)
			continue;
		at = replica_next_ms(node->replica);
		if (at == UINT64_MAX)
			continue;
		at = at <= 1000 ? 0 : (at - 1000) * 1000;
		if (at < world->now_us)
			at = world->now_us;
		if (at < best) {
			best = at;
			*which = node;
		}
	}
	return best;
}

static void one_event(struct world *world)
{
	struct sim_event event = event_pop(world);

	world->now_us = event.at_us;
	world_trace(world, event.at_us * 31 + event.kind * 7 + event.to);
	if (event.kind == EVENT_JOB)
		run_job(world, &event);
	else if (event.kind == EVENT_FRAME)
		link_arrive(world, &event);
	free(event.data);
}

static void check_nodes(struct world *world)
{
	uint32_t i;

	for (i = 0; i < world->node_count; i++) {
		struct node *node = &world->nodes[i];

		if (node->alive && node->stopped) {
			world->totals.stops++;
			node->restart_us = world->now_us + 500000;
			node_kill(node);
		} else if (node->alive) {
			oracle_stepped(node);
		}
	}
}

void world_run(struct world *world, uint64_t until_us)
{
	uint64_t spins = 0, last = 0;

	while (!world->violation[0]) {
		struct node *node = NULL;
		uint64_t tick = next_tick_us(world, &node);
		uint64_t fault = faults_next_us(world);
		uint64_t at = world->heap_count ? world->heap[0].at_us :
						  UINT64_MAX;
		uint64_t next = at < tick ? at : tick;

		if (fault < next)
			next = fault;
		if (next >= until_us)
			break;
		spins = next == last ? spins + 1 : 0;
		last = next;
		if (spins > 100000) {
			world_fail(world, "time stands still");
			break;
		}
		if (fault == next) {
			world->now_us = fault;
			faults_happen(world);
		} else if (at == next) {
			one_event(world);
		} else {
			world->now_us = tick;
			world_trace(world, tick * 3 + node->id);
			replica_tick(node->replica);
		}
		link_keep(world);
		check_nodes(world);
	}
	if (!world->violation[0])
		world->now_us = until_us;
}

void world_heal(struct world *world)
{
	uint32_t i, j;

	world->healed = true;
	world->options.loss = world->options.duplicate = 0;
	world->options.reorder = 0;
	for (i = 0; i < world->node_count; i++) {
		world->nodes[i].restart_us = world->now_us;
		world->nodes[i].full = false;
		disk_full(world->nodes[i].disk, false);
		disk_fuse(world->nodes[i].disk, 0);
		for (j = i + 1; j < world->node_count; j++)
			world->links[i][j].cut[0] =
				world->links[i][j].cut[1] = false;
	}
}

bool world_converged(struct world *world)
{
	struct node *leader = world_leader(world);
	struct replica_status status, other;
	uint32_t i;

	if (!leader)
		return false;
	replica_status(leader->replica, &status);
	if (status.applied < status.last)
		return false;
	for (i = 0; i < status.member_count; i++) {
		struct node *node = &world->nodes[status.members[i].id - 1];

		if (status.members[i].role == ROLE_SPARE || node->gone)
			continue;
		if (!node->alive)
			return false;
		replica_status(node->replica, &other);
		if (other.applied != status.applied || other.installing)
			return false;
		if (node->chain.hash != leader->chain.hash) {
			world_fail(world, "replicas %" PRIu64 " and %" PRIu64
				   " differ at %" PRIu64, node->id, leader->id,
				   status.applied);
			return false;
		}
	}
	return leader->chain.index >= oracle_last(world->oracle);
}
