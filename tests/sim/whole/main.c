/* tests/sim/whole/main: runs seeds of the whole system, each in two phases:
 * first anything may fail; then all is healed and every program must run. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/sim/whole/figures.h"

static struct world *current;

/* An assertion of the shipped code: a violation with its story. */
void berth_panic(const char *what, const char *file, int line)
{
	printf("panic: %s at %s:%d\n", what, file, line);
	if (current) {
		printf("seed %" PRIu64 ", after %.3f s\n", current->seed,
		       (double)current->now_us / 1e6);
		story_print(current);
	}
	fflush(stdout);
	abort();
}

/* --- options ------------------------------------------------------------------------ */

static uint32_t pick(struct chance *chance, const uint32_t *from,
		     uint32_t count)
{
	return from[chance_below(chance, count)];
}
#define PICK(...)                                                  \
	pick(&chance, (const uint32_t[]){ __VA_ARGS__ },           \
	     COUNT_OF(((const uint32_t[]){ __VA_ARGS__ })))

static void draw_network(struct options *o, struct chance *from)
{
	struct chance chance = { chance_next(from) };

	if (chance_percent(&chance, 70)) {
		o->loss = PICK(0, 2, 10, 50);
		o->duplicate = PICK(0, 1, 5);
		o->reorder = PICK(0, 0, 5, 20);
	}
	o->late = PICK(0, 0, 1, 5);
	o->net_ms = PICK(1, 2, 10);
	o->wan_ms = PICK(5, 20, 60);
	o->disk_ms = PICK(1, 1, 5, 20);
	o->one_way = PICK(0, 1);
	o->cut_ms = PICK(0, 5000, 20000);
	o->clog_ms = PICK(0, 0, 8000, 30000);
}

static void draw_disasters(struct options *o, struct chance *from)
{
	struct chance chance = { chance_next(from) };
	uint32_t dice = (uint32_t)chance_below(&chance, 100);

	o->container_ms = PICK(0, 0, 0, 20000, 100000);
	o->directory_ms = PICK(0, 0, 0, 50000, 200000);
	if (dice < 15) { /* one CRN, outside of the assumptions */
		o->copy_ms = PICK(0, 20000, 50000);
		o->wild_host_ms = PICK(8000, 30000);
	} else if (dice < 30) {
		o->wild_node_ms = PICK(8000, 30000, 90000);
		if (chance_percent(&chance, 60)) { /* so that H38 is asked */
			o->late = o->duplicate = 0;
			o->crash_node_ms = o->pause_node_ms = 0;
			return;
		}
	}
	o->restore_ms = PICK(0, 0, 0, 30000, 60000, 150000, 400000);
	if (!o->restore_ms || chance_percent(&chance, 40))
		return;
	/* What a restore has to be careful of. */
	o->hold = PICK(50, 100);
	o->data_ms = PICK(0, 20000, 60000);
	o->twin_ms = PICK(0, 0, 40000, 150000);
	o->operator_ms = PICK(2000, 8000);
}

static void draw_members(struct options *o, struct chance *from)
{
	struct chance chance = { chance_next(from) };

	if (chance_percent(&chance, 50))
		return;
	o->replace_ms = PICK(0, 30000, 90000, 200000);
	o->member_ms = PICK(0, 10000, 40000, 120000);
}

static void draw_disks(struct options *o, struct chance *from)
{
	struct chance chance = { chance_next(from) };

	if (o->wild_node_ms && !o->crash_node_ms)
		return; /* so that H38 is asked */
	o->kill_ms = PICK(0, 10000, 40000);
	o->sync_ms = PICK(0, 0, 15000, 60000);
	o->slow_ms = PICK(0, 0, 20000, 60000);
}

static void draw_options(uint64_t seed, struct options *o)
{
	struct chance chance = { seed * 0x2545f4914f6cdd1du };

	memset(o, 0, sizeof *o);
	draw_network(o, &chance);
	o->replicas = PICK(3, 3, 3, 5);
	o->crns = PICK(2, 3, 4, 5, 6, 8, 12);
	if (chance_percent(&chance, 5))
		o->crns = PICK(20, 35, 50);
	o->programs = (uint32_t)chance_between(&chance, 2, o->crns * 2 + 3);
	o->profile = PICK(0, 0, 0, 1, 1, 2);
	o->tight = PICK(0, 1, 1);
	o->hold = PICK(0, 0, 30, 50, 100);
	o->drift = PICK(0, 100, 5000, 10000, 10000);
	o->crash_node_ms = PICK(0, 8000, 30000, 120000);
	o->pause_node_ms = PICK(0, 8000, 40000);
	o->crash_host_ms = PICK(0, 10000, 40000, 200000);
	o->pause_host_ms = PICK(0, 5000, 20000, 60000);
	o->fencer_ms = PICK(0, 20000, 100000);
	o->agent_ms = PICK(0, 10000, 50000);
	o->clock_ms = PICK(0, 2000, 20000);
	o->data_ms = PICK(0, 0, 60000, 300000);
	o->twin_ms = PICK(0, 0, 100000, 400000);
	o->disk_fault_ms = PICK(0, 0, 60000);
	o->operator_ms = PICK(0, 5000, 30000);
	o->client_ms = PICK(1000, 5000, 20000);
	o->program_ms = PICK(0, 5000, 40000);
	o->start_fails = PICK(0, 5, 30);
	o->snapshot_entries = PICK(100, 500, 3000);
	o->minutes = PICK(5, 10, 20);
	draw_disasters(o, &chance);
	draw_members(o, &chance);
	draw_disks(o, &chance);
}

static void print_options(const struct options *o)
{
	printf("  replicas %u, crns %u, programs %u, profile %s%s, hold %u%%, "
	       "drift %u ppm\n  loss %u duplicate %u reorder %u late %u, net "
	       "%u wan %u disk %u ms, snapshot %u, %s\n  every (ms): replica "
	       "crash %u pause %u, machine crash %u pause %u, fencer %u, agent "
	       "%u, cut %u, clog %u, clock %u, data %u, twin %u, disk %u, "
	       "operator %u, client %u, program %u, restore %u, replaced %u, "
	       "members %u, kill %u, sync %u, slow disk %u, container "
	       "%u, directory %u, copy %u, wild clocks %u and %u; starts "
	       "fail %u%%, %u minutes\n",
	       o->replicas, o->crns, o->programs,
	       o->profile == 0 ? "fast" : o->profile == 1 ? "default" : "calm",
	       o->tight ? ", ttl_s at the formula's limit" : "", o->hold,
	       o->drift, o->loss, o->duplicate, o->reorder, o->late, o->net_ms,
	       o->wan_ms, o->disk_ms, o->snapshot_entries,
	       o->one_way ? "one-way splits" : "splits", o->crash_node_ms,
	       o->pause_node_ms, o->crash_host_ms, o->pause_host_ms,
	       o->fencer_ms, o->agent_ms, o->cut_ms, o->clog_ms, o->clock_ms, o->data_ms,
	       o->twin_ms, o->disk_fault_ms, o->operator_ms, o->client_ms,
	       o->program_ms, o->restore_ms, o->replace_ms,
	       o->member_ms, o->kill_ms, o->sync_ms, o->slow_ms,
	       o->container_ms, o->directory_ms, o->copy_ms,
	       o->wild_host_ms, o->wild_node_ms, o->start_fails, o->minutes);
}

/* lease.md 2.5 and 2.6; `tight`: the least ttl_s that the formula allows. */
static void config_draw(struct world *world)
{
	static const uint32_t table[3][4] = { { 500, 4000, 1000, 5200 },
					      { 1000, 10000, 2000, 12500 },
					      { 3000, 30000, 5000, 36000 } };
	const uint32_t *row = table[world->options.profile];
	struct fsm_config *c = &world->config;
	uint64_t sum;

	*c = (struct fsm_config){
		.heartbeat_ms = row[0], .ttl_a_ms = row[1], .k_ms = row[2],
		.ttl_s_ms = row[3], .dt_max_ms = 2000, .beat_ms = 250,
		.sticky_ms = 2 * row[1], .start_failures_max = 3,
		.start_timeout_ms = 60000, .exclude_ms = 20000,
		.rho_ppm = 10000, .programs_max = 4096, .crns_max = 256,
	};
	world->rho_ppm = c->rho_ppm;
	if (world->options.mutation == MUTATE_TTL_S) {
		c->rho_ppm = 0;
		c->ttl_s_ms = c->ttl_a_ms + c->k_ms + 20;
		return;
	}
	if (!world->options.tight)
		return;
	sum = (c->ttl_a_ms * 1000000ull + 989999) / 990000 + c->k_ms;
	c->ttl_s_ms = (uint32_t)((sum * 1010000 + 999999) / 1000000 + 20);
}

/* --- a world ------------------------------------------------------------------------ */

void world_open(struct world *world, uint64_t seed,
		const struct options *options)
{
	memset(world, 0, sizeof *world);
	world->options = *options;
	world->seed = seed;
	world->chance.state = seed;
	world->weather.state = ~seed;
	world->frame = need(malloc(AGENT_FRAME_SIZE_MAX));
	world->rows = need(calloc(RUNS_MAX, sizeof *world->rows));
	world->next_sweep_us = 1000000;
	world->gen = 1;
	world->outside_crn = (uint32_t)(seed % options->crns);
	config_draw(world);
	oracle_open(world);
	for (uint32_t i = 0; i < options->crns; i++) {
		for (uint32_t j = 0; j < 28; j++)
			world->crns[i].bytes[j] =
				(uint8_t)chance_next(&world->chance);
		memcpy(world->crns[i].bytes + 28, &i, sizeof i);
		/* Any of them may be what is short. */
		world->crn_sizes[i] = (struct size){
			(uint32_t)chance_between(&world->chance, 4, 8),
			chance_between(&world->chance, 1500, 6000),
			chance_between(&world->chance, 3000, 16000) };
	}
	world->voters = options->replicas;
	for (uint32_t i = 0; i < options->replicas; i++)
		node_init(world, i);
	for (uint32_t i = 0; i < options->crns; i++)
		host_on(host_new(world, i));
	people_open(world);
	faults_plan(world);
}

void world_close(struct world *world)
{
	world->over = true;
	for (uint32_t i = 0; i < world->node_count; i++)
		node_fini(&world->nodes[i]);
	for (uint32_t i = 0; i < world->host_count; i++) {
		free(world->hosts[i]->reg);
		free(world->hosts[i]);
	}
	for (uint32_t i = 0; i < world->heap_count; i++)
		free(world->heap[i].data);
	free(world->heap);
	free(world->frame);
	free(world->rows);
	restore_close(world);
	oracle_close(world);
}

static void happen(struct world *world, struct event *event)
{
	struct host *host = event->to < world->host_count ?
				    world->hosts[event->to] : NULL;
	bool same = host && host->life == event->life;
	struct node *node = NULL;

	switch (event->kind) {
	case EVENT_JOB:
		node = &world->nodes[event->to];
		if (node->alive && node->life == event->life &&
		    !node_ready(node)) {
			event->at_us = node->paused_us;
			event_push(world, event);
			return;
		}
		node_job(world, event);
		break;
	case EVENT_PEER:
	case EVENT_UP:
	case EVENT_DOWN:
	case EVENT_RELAY:
	case EVENT_EDGE:
		node = wire_arrive(world, event);
		break;
	case EVENT_AGENT:
		if (same && event->a == host->agent_token)
			agent_timer(host);
		break;
	case EVENT_DEADLINE:
		if (same && event->at_us == host->deadline_event_us)
			host_deadline(host);
		break;
	case EVENT_RUN:
		host_run(host, event);
		break;
	case EVENT_FENCER:
		if (same)
			fencer_wake(host);
		break;
	case EVENT_CLIENT:
		people_client(world, event);
		break;
	case EVENT_FAULT:
		faults_happen(world, event->x);
		break;
	case EVENT_KIND_COUNT:
		break;
	}
	if (node && node_ready(node))
		node_step(node);
}

/* What is due without an event: machines and replicas that come back. */
static void sweep(struct world *world)
{
	world->next_sweep_us = world->now_us + 100000;
	for (uint32_t i = 0; i < world->node_count; i++)
		if (!world->nodes[i].alive && !world->nodes[i].gone &&
		    world->nodes[i].restart_us <= world->now_us) {
			if (!world->healed &&
			    chance_percent(&world->chance, 10))
				disk_fuse(world->nodes[i].disk,
					  1 + chance_below(&world->chance,
							   30));
			node_start(&world->nodes[i]);
		}
	for (uint32_t i = 0; i < world->host_count; i++)
		if (!world->hosts[i]->on && !world->hosts[i]->gone &&
		    world->hosts[i]->on_us <= world->now_us)
			host_on(world->hosts[i]);
	members_keep(world);
	clock_keep(world);
	restore_keep(world);
}

static struct node *next_node(struct world *world, uint64_t *at_us)
{
	struct node *best = NULL;

	*at_us = NEVER_US;
	for (uint32_t i = 0; i < world->node_count; i++) {
		struct node *node = &world->nodes[i];
		uint64_t at = node->next_us;

		if (!node->alive)
			continue;
		if (at < node->paused_us)
			at = node->paused_us;
		if (at < *at_us) {
			*at_us = at;
			best = node;
		}
	}
	return best;
}

void world_run(struct world *world, uint64_t until_us)
{
	struct event event;
	uint64_t node_us;

	while (!world->violation[0]) {
		struct node *node = next_node(world, &node_us);
		uint64_t bound = node_us < world->next_sweep_us ?
					 node_us : world->next_sweep_us;

		if (bound > until_us)
			bound = until_us;
		/* At the same instant events come before the replica's tick. */
		if (event_pop(world, &event, bound + (bound < until_us))) {
			world->now_us = event.at_us;
			world_trace(world, event.at_us * 31 + event.to * 7 +
						   event.kind);
			if (world->events)
				printf("%" PRIu64 " kind %d %u>%u a %" PRIu64
				       " size %zu hash %" PRIx64 "\n",
				       event.at_us, (int)event.kind,
				       event.from, event.to, event.a,
				       event.size, event.data ? bytes_hash(
				       event.data, event.size) : 0);
			happen(world, &event);
			if (event.kind != EVENT_JOB)
				free(event.data);
		} else if (bound == until_us) {
			break;
		} else if (bound == world->next_sweep_us) {
			world->now_us = bound > world->now_us ? bound :
								world->now_us;
			sweep(world);
		} else {
			world->now_us = bound > world->now_us ? bound :
								world->now_us;
			node_step(node);
		}
		peers_keep(world);
	}
	if (!world->violation[0])
		world->now_us = until_us;
}

/* Within two leases, a start and what back-offs may take. */
static void settle(struct world *world)
{
	uint64_t start = world->now_us;
	uint64_t bound = 3ull * world->config.ttl_s_ms * 1000 + 150000000;
	char why[160] = "";

	faults_heal(world);
	world_run(world, world->now_us + 30000000);
	while (!world->violation[0] && world->now_us < start + bound) {
		people_settle(world);
		world_run(world, world->now_us + 5000000);
		if (world->violation[0] ||
		    (people_satisfied(world, why, sizeof why) &&
		     members_satisfied(world, why, sizeof why)))
			break;
		if (world->now_us >= start + bound)
			world_fail(world, "%.0f s after the heal: %s",
				   (double)(world->now_us - start) / 1e6, why);
	}
	world->totals.healed_ms = (world->now_us - start) / 1000;
}

static void add(struct totals *to, const struct world *world)
{
	const struct totals *from = &world->totals;

	to->seeds++;
	to->ms += world->now_us / 1000;
	to->faults += from->faults;
	to->moves += from->moves;
	to->starts += from->starts;
	to->applied += from->applied;
	to->acks += from->acks;
	to->expiries += from->expiries;
	to->elections += from->elections;
	to->snapshots += from->snapshots;
	to->restores += from->restores;
	to->registers += from->registers;
	to->confirms += from->confirms;
	to->new_gens += from->new_gens;
	to->surveys += from->surveys;
	to->clock_alarms += from->clock_alarms;
	to->boot_alarms += from->boot_alarms;
	if (from->healed_ms > to->healed_ms)
		to->healed_ms = from->healed_ms;
	for (uint32_t i = 0; i < FAULT_KIND_COUNT; i++)
		to->by_fault[i] += from->by_fault[i];
	for (uint32_t i = 0; i < MESSAGE_KIND_COUNT; i++)
		to->by_message[i] += from->by_message[i];
}

struct arguments {
	uint64_t first, count;
	double minutes;
	uint32_t mutation, days;
	bool stop, talk, quiet, events;
	const char *audit; /* folder, NULL: none */
};

static const char *const mutations[MUTATE_COUNT] = {
	"none", "slow-kill", "let-go", "fast-clock", "no-timer", "row-lost",
	"lying-fence", "ttl-s", "same-gen", "config-lost",
	"early-gone", "twin-left", "two-run", "broken-state", "other-state",
	"other-entry", "snapshot", "more-vcpus", "more-memory", "more-disk",
	"applied-twice", "ack-early", "ack-other", "lazy",
};

static void tell(struct world *world, const struct arguments *a)
{
	story_print(world);
	printf("  in this world:\n");
	print_options(&world->options);
	printf("  again, from the beginning: build/gcc/tests/sim/whole/main "
	       "--seed %" PRIu64 "%s%s --talk\n", world->seed,
	       a->mutation ? " --mutation " : "",
	       a->mutation ? mutations[a->mutation] : "");
}

static bool run_seed(uint64_t seed, const struct arguments *a,
		     struct totals *totals, uint64_t *trace)
{
	static bool told;
	struct options options;
	struct world *world = need(malloc(sizeof *world));
	bool good;

	draw_options(seed, &options);
	options.mutation = (enum mutation)a->mutation;
	if (a->count == 1)
		print_options(&options);
	current = world;
	world_open(world, seed, &options);
	world->talk = a->talk;
	world->events = a->events;
	if (a->audit)
		audit_open(world, a->audit);
	world_run(world, options.minutes * 60000000ull);
	if (!world->violation[0])
		settle(world);
	good = !world->violation[0];
	if (!good) {
		printf("seed %" PRIu64 ", after %.3f s: %s\n", seed,
		       (double)world->now_us / 1e6, world->violation);
		if (!a->quiet || !told)
			tell(world, a);
		told = true;
	}
	audit_close(world);
	add(totals, world);
	*trace = *trace * 31 + world->trace;
	world_close(world);
	free(world);
	current = NULL;
	return good;
}

/* --- the command line ----------------------------------------------------------------- */

static int usage(void)
{
	fputs("usage: main [--seed N | --seeds N [--first M]] [--minutes M] "
	      "[--mutation NAME] [--audit DIR] [--stop] [--talk] "
	      "[--events] [--quiet] | --figures DAYS\n", stderr);
	for (uint32_t i = 1; i < MUTATE_COUNT; i++)
		fprintf(stderr, "  --mutation %s\n", mutations[i]);
	return 2;
}

static bool flag(struct arguments *a, const char *text)
{
	if (strcmp(text, "--stop") == 0)
		a->stop = true;
	else if (strcmp(text, "--talk") == 0)
		a->talk = true;
	else if (strcmp(text, "--events") == 0)
		a->events = true;
	else if (strcmp(text, "--quiet") == 0)
		a->quiet = true;
	else
		return false;
	return true;
}

static int parse(int argc, char **argv, struct arguments *a)
{
	for (int i = 1; i < argc; i += 2) {
		const char *value = argv[i + 1];

		if (flag(a, argv[i])) {
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
		} else if (strcmp(argv[i], "--audit") == 0) {
			a->audit = value;
		} else if (strcmp(argv[i], "--figures") == 0) {
			a->days = (uint32_t)strtoul(value, NULL, 10);
		} else if (strcmp(argv[i], "--mutation") == 0) {
			while (a->mutation < MUTATE_COUNT &&
			       strcmp(mutations[a->mutation], value) != 0)
				a->mutation++;
			if (a->mutation == MUTATE_COUNT)
				return usage();
		} else {
			return usage();
		}
	}
	return 0;
}

static void print_totals(const struct totals *t, uint64_t trace, uint64_t bad)
{
	static const char *const names[FAULT_KIND_COUNT] = {
		"replica crash", "replica pause", "machine crash",
		"machine pause", "fencer kill", "agent kill", "split",
		"clock", "data lost", "twin", "disk full", "operator",
		"program end", "client", "restore", "replica replaced",
		"member change", "old disk", "container", "directory copied",
		"machine copied", "machine clock beyond rho",
		"replica clock beyond rho", "clog", "replica kill",
		"failed sync", "slow disk", "torn write",
		"failed start", "ignored stop", "pause before a start" };
	static const char *const messages[MESSAGE_KIND_COUNT] = {
		"lost", "late", "doubled", "reordered" };

	printf("faults:");
	for (uint32_t i = 0; i < FAULT_KIND_COUNT; i++)
		printf(" %s %" PRIu64 "%s", names[i], t->by_fault[i],
		       i + 1 < FAULT_KIND_COUNT ? "," : "\n");
	printf("messages:");
	for (uint32_t i = 0; i < MESSAGE_KIND_COUNT; i++)
		printf(" %s %" PRIu64 "%s", messages[i], t->by_message[i],
		       i + 1 < MESSAGE_KIND_COUNT ? "," : "\n");
	printf("entries %" PRIu64 ", elections %" PRIu64 ", snapshots %" PRIu64
	       ", restores %" PRIu64 ", registers %" PRIu64 ", expiries %"
	       PRIu64 ", confirms %" PRIu64 ", starts %" PRIu64
	       ", acks %" PRIu64 ", generations %" PRIu64
	       ", surveys by hand %" PRIu64 ", clock alarms %" PRIu64
	       ", boot alarms %" PRIu64 ", slowest heal %.1f s\n",
	       t->applied, t->elections, t->snapshots, t->restores,
	       t->registers, t->expiries, t->confirms, t->starts, t->acks,
	       t->new_gens, t->surveys, t->clock_alarms, t->boot_alarms,
	       (double)t->healed_ms / 1000);
	printf("seeds=%" PRIu64 " hours=%.2f faults=%" PRIu64 " moves=%" PRIu64
	       " violations=%" PRIu64 " trace=%016" PRIx64 "\n", t->seeds,
	       (double)t->ms / 3600000, t->faults, t->moves, bad, trace);
}

int main(int argc, char **argv)
{
	struct arguments a = { .first = 1, .count = 200 };
	struct totals totals = { 0 };
	struct timespec begin, end;
	uint64_t seed, trace = 0, bad = 0;
	double seconds = 0;

	if (parse(argc, argv, &a))
		return 2;
	if (a.days)
		return figures_print(a.days);
	setvbuf(stdout, NULL, _IOLBF, 0);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (seed = a.first; seed < a.first + a.count; seed++) {
		clock_gettime(CLOCK_MONOTONIC, &end);
		seconds = (double)(end.tv_sec - begin.tv_sec) +
			  (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
		if ((a.minutes > 0 && seconds >= a.minutes * 60) ||
		    (a.stop && bad))
			break;
		bad += !run_seed(seed, &a, &totals, &trace);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds = (double)(end.tv_sec - begin.tv_sec) +
		  (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	printf("speed: %.0f times real time a core, %.0f by the wall clock\n",
	       (double)totals.ms * (CLOCKS_PER_SEC / 1000.0) /
		       (double)(clock() + 1),
	       (double)totals.ms / 1000 / seconds);
	print_totals(&totals, trace, bad);
	return bad ? 1 : 0;
}
