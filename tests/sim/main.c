/* tests/sim/main: runs seeds, each in two phases: first anything may fail,
 * then everything is healed and must agree within a bounded time. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/sim/sim.h"

#define PHASE_MS 20000u
#define HEAL_ROUNDS 5u

/* The engine's assertions end here. */
void berth_panic(const char *what, const char *file, int line)
{
	fprintf(stderr, "panic: %s at %s:%d\n", what, file, line);
	abort();
}

/* Whatever the core allocates must be gone with its replica (T10). */
static uint64_t allocated;

static void *heap_malloc(void *data, size_t size)
{
	(void)data;
	allocated++;
	return malloc(size);
}

static void heap_free(void *data, void *memory)
{
	(void)data;
	allocated -= memory != NULL;
	free(memory);
}

static void *heap_calloc(void *data, size_t count, size_t size)
{
	(void)data;
	allocated++;
	return calloc(count, size);
}

static void *heap_realloc(void *data, void *memory, size_t size)
{
	(void)data;
	allocated += memory == NULL;
	return realloc(memory, size);
}

static uint32_t pick(struct chance *chance, const uint32_t *from,
		     uint32_t count)
{
	return from[chance_below(chance, count)];
}
#define PICK(...)                                                  \
	pick(&chance, (const uint32_t[]){ __VA_ARGS__ },           \
	     COUNT_OF(((const uint32_t[]){ __VA_ARGS__ })))

static void draw_options(uint64_t seed, struct options *o)
{
	struct chance chance = { seed };

	memset(o, 0, sizeof *o);
	o->voters = PICK(1, 3, 3, 3, 3, 5);
	if (chance_percent(&chance, 60)) {
		o->loss = PICK(0, 1, 3, 9);
		o->duplicate = PICK(0, 2, 10);
		o->reorder = PICK(0, 5, 30);
	}
	o->net_ms = PICK(1, 3, 10, 30);
	o->disk_ms = PICK(1, 2, 10, 60);
	o->slow_disk_ms = PICK(2, 20, 300);
	o->crash_every_ms = PICK(0, 500, 1500, 4000);
	o->cut_every_ms = PICK(0, 800, 3000);
	o->one_way = PICK(0, 1);
	o->submit_every_ms = PICK(3, 10, 40);
	o->change_every_ms = PICK(0, 700, 2000);
	o->transfer_every_ms = PICK(0, 1500);
	o->snapshot_entries = PICK(5, 40, 200, 100000);
	o->trailing = PICK(0, 3, 20, 1024);
	o->inflight = PICK(1, 4, 32, 256);
	/* One entry a round trip cannot keep up with slow disks. */
	if (o->disk_ms > 2 || o->net_ms > 3)
		o->inflight += 3;
	if (o->inflight < 32 && (o->disk_ms > 2 || o->net_ms > 3))
		o->submit_every_ms = 40;
	o->segment_size = PICK(1u << 12, 1u << 14, 1u << 16);
	o->entry_size = PICK(8, 200, 3000);
	if (o->segment_size < o->entry_size * 16)
		o->segment_size = o->entry_size * 16;
	o->filler = PICK(0, 1, 60, 700);
	o->election_ms = PICK(200, 500);
	o->heartbeat_ms = o->election_ms / 10;
	o->full_every_ms = PICK(0, 0, 0, 2000, 5000);
	o->hang_every_ms = PICK(0, 0, 0, 3000);
	o->lose_every_ms = PICK(0, 0, 2000, 5000);
}

static void add(struct totals *to, const struct totals *from, uint64_t ms)
{
	to->seeds++;
	to->ms += ms;
	to->crashes += from->crashes;
	to->torn += from->torn;
	to->commits += from->commits;
	to->elections += from->elections;
	to->snapshots += from->snapshots;
	to->installs += from->installs;
	to->changes += from->changes;
	to->transfers += from->transfers;
	to->reads += from->reads;
	to->frames += from->frames;
	to->kills += from->kills;
	to->full += from->full;
	to->hangs += from->hangs;
	to->lost += from->lost;
	to->cuts += from->cuts;
	to->stops += from->stops;
}

static void count_life(struct world *world)
{
	uint32_t i;

	for (i = 0; i < world->node_count; i++)
		if (world->nodes[i].alive) {
			struct replica_status status;

			replica_status(world->nodes[i].replica, &status);
			world->totals.snapshots += status.snapshots;
			world->totals.installs += status.installs;
		}
}

static void settle_down(struct world *world)
{
	uint64_t start = world->now_us, round;

	world_heal(world);
	for (round = 1; !world->violation[0] && round <= HEAL_ROUNDS; round++) {
		world->next_submit_us = world->now_us + 1;
		world_run(world, world->now_us + 1000000);
		world->next_submit_us = world->next_read_us = UINT64_MAX;
		world_run(world, world->now_us + round * 8000000);
		if (world_converged(world))
			return;
	}
	world_fail(world, "does not agree %" PRIu64 " ms after everything was "
		   "healed", (world->now_us - start) / 1000);
}

static void print_world(struct world *world)
{
	const struct options *o = &world->options;
	uint32_t i;

	printf("  voters %u, loss %u duplicate %u reorder %u, net %u disk %u/%u "
	       "ms, snapshot %u trailing %u inflight %u segment %u entry %u "
	       "filler %u, election %u ms\n",
	       o->voters, o->loss, o->duplicate, o->reorder, o->net_ms,
	       o->disk_ms, o->slow_disk_ms, o->snapshot_entries, o->trailing,
	       o->inflight, o->segment_size, o->entry_size, o->filler,
	       o->election_ms);
	for (i = 0; i < world->node_count; i++) {
		struct replica_status s;

		if (!world->nodes[i].alive)
			continue;
		replica_status(world->nodes[i].replica, &s);
		printf("  replica %" PRIu64 ": state %d term %" PRIu64
		       " commit %" PRIu64 " applied %" PRIu64 " last %" PRIu64
		       " stored %" PRIu64 " snapshot %" PRIu64
		       " members %u%s\n", s.id, (int)s.state, s.term, s.commit,
		       s.applied, s.last, s.stored, s.snapshot_index,
		       s.member_count, s.installing ? " installing" : "");
	}
}

static bool run_seed(uint64_t seed, uint32_t filters_off,
		     struct totals *totals, uint64_t *trace)
{
	struct options options;
	struct world *world = malloc(sizeof *world);
	bool good;

	if (!world)
		abort();
	allocated = 0;
	draw_options(seed, &options);
	options.filters_off = filters_off;
	world_init(world, seed, &options);
	world_run(world, PHASE_MS * 1000ull);
	if (!world->violation[0])
		settle_down(world);
	count_life(world);
	good = !world->violation[0];
	if (!good)
		printf("seed %" PRIu64 ": %s\n  again: build/gcc/tests/sim/main"
		       " --seed %" PRIu64 "\n",
		       seed, world->violation, seed);
	if (!good)
		print_world(world);
	add(totals, &world->totals, world->now_us / 1000);
	*trace = *trace * 31 + world->trace;
	world_fini(world);
	free(world);
	if (good && allocated) {
		printf("seed %" PRIu64 ": %" PRIu64 " allocations of the core "
		       "are left\n", seed, allocated);
		good = false;
	}
	return good;
}

struct arguments {
	uint64_t first, count;
	double minutes;
	uint32_t filters_off;
	bool stop; /* at the first violation */
};

static int usage(void)
{
	fputs("usage: main [--seed N | --seeds N [--first M]] [--minutes M] "
	      "[--filter-off Tn]... [--stop]\n", stderr);
	return 2;
}

static int parse(int argc, char **argv, struct arguments *a)
{
	int i;

	for (i = 1; i < argc; i += 2) {
		const char *value = argv[i + 1];

		if (strcmp(argv[i], "--stop") == 0) {
			a->stop = true;
			i--;
			continue;
		}
		if (i + 1 == argc)
			return usage();
		if (strcmp(argv[i], "--seed") == 0) {
			a->first = strtoull(value, NULL, 10);
			a->count = 1;
		} else if (strcmp(argv[i], "--seeds") == 0) {
			a->count = strtoull(value, NULL, 10);
		} else if (strcmp(argv[i], "--first") == 0) {
			a->first = strtoull(value, NULL, 10);
		} else if (strcmp(argv[i], "--minutes") == 0) {
			a->minutes = strtod(value, NULL);
		} else if (strcmp(argv[i], "--filter-off") == 0 &&
			   value[0] == 'T') {
			a->filters_off |= 1u << strtoul(value + 1, NULL, 10);
		} else {
			return usage();
		}
	}
	return 0;
}

static void print_totals(const struct totals *t, uint64_t trace, uint64_t bad)
{
	printf("crashes=%" PRIu64 " (torn %" PRIu64 ") kills=%" PRIu64
	       " full=%" PRIu64 " hangs=%" PRIu64 " (stops %" PRIu64
	       ") lost=%" PRIu64 " cuts=%" PRIu64 " commits=%" PRIu64
	       " elections=%" PRIu64 " snapshots=%" PRIu64 " installs=%" PRIu64
	       " changes=%" PRIu64 " transfers=%" PRIu64 " reads=%" PRIu64
	       " frames=%" PRIu64 "\n",
	       t->crashes, t->torn, t->kills, t->full, t->hangs, t->stops,
	       t->lost, t->cuts, t->commits, t->elections, t->snapshots,
	       t->installs, t->changes, t->transfers, t->reads, t->frames);
	/* No program is moved here: that is the lease simulator's. */
	printf("seeds=%" PRIu64 " hours=%.2f faults=%" PRIu64
	       " moves=0 violations=%" PRIu64 " trace=%016" PRIx64 "\n",
	       t->seeds, (double)t->ms / 3600000,
	       t->crashes + t->kills + t->full + t->hangs + t->lost + t->cuts,
	       bad, trace);
}

int main(int argc, char **argv)
{
	struct arguments a = { .first = 1, .count = 500 };
	static struct raft_heap heap;
	struct totals totals = { 0 };
	uint64_t seed, trace = 0, bad = 0;
	time_t end;

	if (parse(argc, argv, &a))
		return 2;
	heap.malloc = heap_malloc;
	heap.free = heap_free;
	heap.calloc = heap_calloc;
	heap.realloc = heap_realloc;
	raft_heap_set(&heap);
	setvbuf(stdout, NULL, _IOLBF, 0);
	end = a.minutes > 0 ? time(NULL) + (time_t)(a.minutes * 60) : 0;
	for (seed = a.first; seed < a.first + a.count; seed++) {
		if ((end && time(NULL) >= end) || (a.stop && bad))
			break;
		bad += !run_seed(seed, a.filters_off, &totals, &trace);
	}
	print_totals(&totals, trace, bad);
	return bad ? 1 : 0;
}
