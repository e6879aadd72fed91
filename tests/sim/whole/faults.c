/* Disasters, each at its own pace. */
#include <stdlib.h>

#include "tests/sim/whole/whole.h"

static uint32_t pace(const struct options *o, uint32_t which)
{
	switch ((enum fault_kind)which) {
	case FAULT_NODE_CRASH: return o->crash_node_ms;
	case FAULT_NODE_PAUSE: return o->pause_node_ms;
	case FAULT_HOST_CRASH: return o->crash_host_ms;
	case FAULT_HOST_FREEZE: return o->pause_host_ms;
	case FAULT_FENCER: return o->fencer_ms;
	case FAULT_AGENT: return o->agent_ms;
	case FAULT_CUT: return o->cut_ms;
	case FAULT_CLOCK: return o->clock_ms;
	case FAULT_DATA: return o->data_ms;
	case FAULT_TWIN: return o->twin_ms;
	case FAULT_DISK: return o->disk_fault_ms;
	case FAULT_OPERATOR: return o->operator_ms;
	case FAULT_PROGRAM: return o->program_ms;
	case FAULT_CLIENT: return o->client_ms;
	case FAULT_RESTORE: return o->restore_ms;
	case FAULT_REPLACED: return o->replace_ms;
	case FAULT_MEMBER: return o->member_ms;
	case FAULT_OLD_DISK: break;
	case FAULT_CONTAINER: return o->container_ms;
	case FAULT_DIRECTORY: return o->directory_ms;
	case FAULT_COPY: return o->copy_ms;
	case FAULT_WILD_HOST: return o->wild_host_ms;
	case FAULT_WILD_NODE: return o->wild_node_ms;
	case FAULT_CLOG: return o->clog_ms;
	case FAULT_KILL: return o->kill_ms;
	case FAULT_SYNC: return o->sync_ms;
	case FAULT_SLOW: return o->slow_ms;
	case FAULT_TORN:
	case FAULT_START:
	case FAULT_STOP:
	case FAULT_GATE: break;
	case FAULT_KIND_COUNT: break;
	}
	return 0;
}

static void plan(struct world *world, uint32_t which)
{
	struct event event = { .kind = EVENT_FAULT, .x = which };
	uint64_t ms = pace(&world->options, which);

	if (!ms)
		return;
	event.at_us = world->now_us + 1 +
		      chance_below(&world->chance, ms * 2000);
	event_push(world, &event);
}

void faults_plan(struct world *world)
{
	for (uint32_t i = 0; i < FAULT_KIND_COUNT; i++)
		plan(world, i);
}

static struct node *some_node(struct world *world)
{
	return node_any(world);
}

static struct host *some_host(struct world *world)
{
	return world->hosts[chance_below(&world->chance, world->host_count)];
}

static void node_dies(struct world *world)
{
	struct node *node = some_node(world);

	if (!node->alive)
		return;
	node->restart_us = world->now_us +
			   chance_between(&world->chance, 100000, 8000000);
	if (chance_percent(&world->chance, 50))
		disk_fuse(node->disk, 1 + chance_below(&world->chance, 20));
	else
		node_crash(node, "killed");
}

static void node_sleeps(struct world *world)
{
	struct node *node = chance_percent(&world->chance, 50) ?
				    node_leader(world) : some_node(world);

	if (!node || !node->alive)
		return;
	node->paused_us = world->now_us +
			  chance_below(&world->chance,
				       chance_percent(&world->chance, 70) ?
					       3000000 : 30000000);
	story(world, "replica %" PRIu64 " is paused for %.3f s", node->id,
	      (double)(node->paused_us - world->now_us) / 1e6);
}

static void host_sleeps(struct world *world)
{
	struct host *host = some_host(world);
	uint64_t us = chance_below(&world->chance,
				   2 * world->config.ttl_s_ms * 1000ull);
	bool fencer = chance_percent(&world->chance, 60);

	if (!host->on)
		return;
	if (fencer)
		fencer_pause(host, us);
	if (!fencer || chance_percent(&world->chance, 60))
		agent_pause(host, us + chance_below(&world->chance, 100000));
	story(world, "%s of %s is paused for %.3f s",
	      fencer ? "the fencer" : "the agent", host_name(host),
	      (double)us / 1e6);
}

static void cut_peers(struct world *world)
{
	uint32_t a = (uint32_t)chance_below(&world->chance,
					    world->node_count);
	uint32_t b = (uint32_t)chance_below(&world->chance,
					    world->node_count);
	uint32_t low = a < b ? a : b, high = a < b ? b : a;
	bool one_way = world->options.one_way;

	if (a == b)
		return;
	if (world->peers[low][high].cut[0] || world->peers[low][high].cut[1]) {
		world->peers[low][high].cut[0] =
			world->peers[low][high].cut[1] = false;
		return;
	}
	world->peers[low][high].cut[0] = chance_percent(&world->chance, 70);
	world->peers[low][high].cut[1] =
		!one_way || chance_percent(&world->chance, 50);
	if (chance_percent(&world->chance, 50))
		peer_break(world, low, high, world->now_us + 50000);
	story(world, "replicas %u and %u are split", low + 1, high + 1);
}

static void cut_host(struct world *world)
{
	struct host *host = some_host(world);
	bool cut = !host->cut_up[0] && !host->cut_down[0];
	bool up = chance_percent(&world->chance, 70);
	bool down = !up || !world->options.one_way ||
		    chance_percent(&world->chance, 50);

	for (uint32_t i = 0; i < NODES_MAX; i++) {
		if (i && chance_percent(&world->chance, 30))
			continue;
		host->cut_up[i] = cut && up;
		host->cut_down[i] = cut && down;
	}
	story(world, "%s is %s", host_name(host),
	      cut ? "cut off" : "connected again");
}

static void clock_turns(struct world *world)
{
	int64_t drift = world->options.drift;
	int32_t ppm = (int32_t)((int64_t)chance_below(&world->chance,
					2 * (uint64_t)drift + 1) - drift);
	struct host *host = some_host(world);

	if (chance_percent(&world->chance, 30))
		ppm = ppm < 0 ? (int32_t)-drift : (int32_t)drift;
	if (chance_percent(&world->chance, 40)) {
		struct node *node = some_node(world);

		if (clock_is_wild(node))
			return;
		if (world->options.mutation == MUTATE_FAST_CLOCK)
			ppm = 40000;
		drifting_set(&node->clock, world->now_us, ppm);
		node->next_us = world->now_us;
		return;
	}
	if (!host->on)
		return;
	drifting_set(&host->clock, world->now_us, ppm);
	host->deadline_event_us = NEVER_US;
	host_deadline(host);
}

/* The machine comes back with an empty data directory: another host. */
static void data_lost(struct world *world)
{
	struct host *host = some_host(world);
	uint32_t crn = host->crn;
	struct host *next;

	if (host->gone || world->host_count == HOSTS_MAX ||
	    world->host_of_crn[crn] != (int32_t)host->number)
		return;
	host_off(host, "its data directory is lost");
	host->gone = true;
	next = host_new(world, crn);
	next->on_us = world->now_us + chance_below(&world->chance, 20000000);
}

/* Another machine takes the identity while the first still runs. */
static void twin_comes(struct world *world)
{
	struct host *host = some_host(world);
	uint32_t crn = host->crn;
	struct host *next;

	if (host->gone || world->host_count + 8 >= HOSTS_MAX ||
	    world->host_of_crn[crn] != (int32_t)host->number)
		return;
	story(world, "%s gets a twin", host_name(host));
	next = host_new(world, crn);
	next->on_us = world->now_us;
}

static void fencer_dies(struct world *world)
{
	struct host *host = some_host(world);

	if (host->on && host->fencer_up)
		fencer_stop(host);
}

static void agent_dies(struct world *world)
{
	struct host *host = some_host(world);

	if (host->on && host->agent_up)
		agent_stop(host);
}

static void program_dies(struct world *world)
{
	struct host *host = some_host(world);
	uint32_t slot = (uint32_t)chance_below(&world->chance, RUNS_MAX);

	for (uint32_t i = 0; host->on && i < RUNS_MAX; i++) {
		uint32_t at = (slot + i) % RUNS_MAX;
		struct event event = { .kind = EVENT_RUN, .to = host->number,
				       .life = host->life, .a = at, .x = 5,
				       .at_us = world->now_us };

		if (host->live[at].state != LIVE_EXECUTING)
			continue;
		event.b = host->live[at].token;
		event_push(world, &event);
		return;
	}
}

static void disk_fails(struct world *world)
{
	struct node *node = some_node(world);

	if (!node->alive)
		return;
	disk_full(node->disk, true);
	story(world, "the disk of replica %" PRIu64 " is full", node->id);
}

/* kill -9: what it wrote and did not sync is there when it comes back. */
static bool node_killed(struct world *world)
{
	struct node *node = some_node(world);

	if (!node->alive)
		return false;
	node->restart_us = world->now_us +
			   chance_between(&world->chance, 10000, 3000000);
	node_kill(node, "kill -9");
	return true;
}

static bool sync_fails(struct world *world)
{
	struct node *node = some_node(world);

	if (!node->alive)
		return false;
	disk_sync_fails(node->disk);
	story(world, "the next sync of replica %" PRIu64 " will fail",
	      node->id);
	return true;
}

/* Each write takes long, or none ends before it is over. */
static bool disk_slows(struct world *world)
{
	struct node *node = some_node(world);
	bool hangs = chance_percent(&world->chance, 30);

	if (!node->alive || world->now_us < node->slow_until_us)
		return false;
	node->slow_until_us = world->now_us +
			      chance_between(&world->chance, 200000,
					     hangs ? 15000000 : 60000000);
	node->slow_us = hangs ? 0 : chance_between(&world->chance, 50000,
						   2000000);
	story(world, "the disk of replica %" PRIu64 " %s for %.1f s", node->id,
	      hangs ? "hangs" : "is slow",
	      (double)(node->slow_until_us - world->now_us) / 1e6);
	return true;
}

/* True where it counts: the others do when their turn comes, or when they are
 * done. */
static bool happen(struct world *world, uint32_t which)
{
	switch ((enum fault_kind)which) {
	case FAULT_NODE_CRASH: node_dies(world); break;
	case FAULT_NODE_PAUSE: node_sleeps(world); break;
	case FAULT_HOST_CRASH: host_off(some_host(world), "power cut"); break;
	case FAULT_HOST_FREEZE: host_sleeps(world); break;
	case FAULT_FENCER: fencer_dies(world); break;
	case FAULT_AGENT: agent_dies(world); break;
	case FAULT_CUT:
		if (chance_percent(&world->chance, 50))
			cut_peers(world);
		else
			cut_host(world);
		break;
	case FAULT_CLOCK: clock_turns(world); break;
	case FAULT_DATA: data_lost(world); break;
	case FAULT_TWIN: twin_comes(world); break;
	case FAULT_DISK: disk_fails(world); break;
	case FAULT_PROGRAM: program_dies(world); break;
	case FAULT_OPERATOR:
	case FAULT_CLIENT: people_act(world, which); break;
	case FAULT_RESTORE: return restore_backup(world);
	case FAULT_REPLACED: members_replace(world); break;
	case FAULT_MEMBER: members_change(world); break;
	case FAULT_OLD_DISK: break;
	case FAULT_CONTAINER: return container_changes(world);
	case FAULT_DIRECTORY: return directory_copied(world);
	case FAULT_COPY: return machine_copied(world);
	case FAULT_WILD_HOST: return clock_of_host(world);
	case FAULT_WILD_NODE: return clock_of_node(world);
	case FAULT_CLOG: clog_begin(world); break;
	case FAULT_KILL: return node_killed(world);
	case FAULT_SYNC: return sync_fails(world);
	case FAULT_SLOW: return disk_slows(world);
	case FAULT_TORN:
	case FAULT_START:
	case FAULT_STOP:
	case FAULT_GATE: break;
	case FAULT_KIND_COUNT: break;
	}
	return which != FAULT_REPLACED && which != FAULT_MEMBER;
}

void faults_count(struct world *world, enum fault_kind which)
{
	if (world->healed)
		return;
	world->totals.faults++;
	world->totals.by_fault[which]++;
}

void faults_happen(struct world *world, uint32_t which)
{
	if (world->healed)
		return;
	if (happen(world, which))
		faults_count(world, (enum fault_kind)which);
	plan(world, which);
}

void faults_heal(struct world *world)
{
	struct options *o = &world->options;

	story(world, "everything is healed");
	world->healed = true;
	o->loss = o->duplicate = o->reorder = o->late = 0;
	for (uint32_t i = 0; i < world->node_count; i++) {
		struct node *node = &world->nodes[i];

		node->restart_us = node->paused_us = world->now_us;
		disk_fuse(node->disk, 0);
		disk_full(node->disk, false);
		node->slow_until_us = 0;
		for (uint32_t j = 0; j < NODES_MAX; j++)
			world->peers[i][j].cut[0] =
				world->peers[i][j].cut[1] = false;
	}
	for (uint32_t i = 0; i < world->host_count; i++) {
		struct host *host = world->hosts[i];

		memset(host->cut_up, 0, sizeof host->cut_up);
		memset(host->cut_down, 0, sizeof host->cut_down);
		if (world->host_of_crn[host->crn] != (int32_t)i) {
			host_off(host, "its twin has its place");
			host->gone = true;
		}
		/* An operator reboots what was told to be unknown. */
		if (has_unknown(host))
			host_off(host, "an operator reboots it");
		if (world->outside[host->crn])
			drifting_set(&host->clock, world->now_us, 0);
		if (host->on_us > world->now_us + 1000000)
			host->on_us = world->now_us + 1000000;
	}
}
