/* What happens to the world, and what its users want of it. */
#include <stdlib.h>

#include "raft/bytes.h"
#include "tests/sim/sim.h"

static uint64_t later(struct world *world, uint64_t every_ms)
{
	if (!every_ms)
		return UINT64_MAX;
	return world->now_us + 1 +
	       chance_below(&world->chance, every_ms * 2000);
}

void faults_plan(struct world *world)
{
	const struct options *o = &world->options;

	world->next_submit_us = later(world, o->submit_every_ms);
	world->next_crash_us = later(world, o->crash_every_ms);
	world->next_cut_us = later(world, o->cut_every_ms);
	world->next_change_us = later(world, o->change_every_ms);
	world->next_transfer_us = later(world, o->transfer_every_ms);
	world->next_read_us = later(world, o->submit_every_ms * 7);
	world->next_full_us = later(world, o->full_every_ms);
	world->next_hang_us = later(world, o->hang_every_ms);
	world->next_lose_us = later(world, o->lose_every_ms);
}

/* --- users ---------------------------------------------------------------- */

static void submit(struct world *world)
{
	struct node *node = &world->nodes[chance_below(&world->chance,
						       world->node_count)];
	uint8_t data[4096];
	uint64_t index, i;
	size_t size = 16 + chance_below(&world->chance,
					world->options.entry_size + 1);

	if (!node->alive || !node->leading_term)
		node = world_leader(world);
	if (!node)
		return;
	for (i = 0; i + 8 <= sizeof data && i < size; i += 8)
		put_u64(data + i, chance_next(&world->chance));
	if (replica_submit(node->replica, data, size,
			   chance_percent(&world->chance, 20), &index) == 0)
		node->submitted++;
}

struct reading {
	struct replica_read read;
	struct world *world;
	uint64_t at_least;
};

/* Linearizable: at least what anybody had applied when it was asked. */
static void on_read(void *ctx, int code, uint64_t index)
{
	struct reading *reading = ctx;

	if (!code) {
		reading->world->totals.reads++;
		if (index < reading->at_least)
			world_fail(reading->world, "a read is confirmed at "
				   "%llu and misses %llu",
				   (unsigned long long)index,
				   (unsigned long long)reading->at_least);
	}
	free(reading);
}

static void read_something(struct world *world)
{
	struct node *node = &world->nodes[chance_below(&world->chance,
						       world->node_count)];
	struct reading *reading;

	if (!node->alive)
		return;
	reading = calloc(1, sizeof *reading);
	if (!reading)
		abort();
	reading->world = world;
	reading->at_least = oracle_last(world->oracle);
	reading->read.ctx = reading;
	reading->read.done = on_read;
	replica_read_index(node->replica, &reading->read);
}

static void on_changed(void *ctx, int code)
{
	struct node *node = ctx;

	node->changing = false;
	node->world->totals.changes += code == 0;
}

/* Ids are never used twice; a new one starts with an empty disk. */
static void add_member(struct world *world, struct node *leader)
{
	struct replica_member member = { .role = ROLE_STANDBY };
	struct node *node;

	if (world->node_count == NODES_MAX)
		return;
	node = world_add_node(world, false, 0);
	member.id = node->id;
	if (node->alive &&
	    replica_member_add(leader->replica, &member, &leader->change) == 0)
		return;
	leader->changing = false;
	node_crash(node);
	node->gone = true;
}

static void change_members(struct world *world)
{
	struct node *leader = world_leader(world);
	struct replica_status status;
	const struct replica_member *member;
	uint32_t voters = 0, i;
	int code;

	if (!leader || leader->changing)
		return;
	replica_status(leader->replica, &status);
	for (i = 0; i < status.member_count; i++)
		voters += status.members[i].role == ROLE_VOTER;
	leader->changing = true;
	leader->change.ctx = leader;
	leader->change.done = on_changed;
	/* Who lost its disk goes first, and a new id takes its place. */
	for (i = 0; i < status.member_count; i++)
		if (world->nodes[status.members[i].id - 1].gone) {
			if (replica_member_remove(leader->replica,
						  status.members[i].id,
						  &leader->change))
				leader->changing = false;
			return;
		}
	if (status.member_count < world->options.voters) {
		add_member(world, leader);
		return;
	}
	if (status.member_count < 6 && chance_percent(&world->chance, 35)) {
		add_member(world, leader);
		return;
	}
	member = &status.members[chance_below(&world->chance,
					      status.member_count)];
	if (member->role != ROLE_VOTER && chance_percent(&world->chance, 70))
		code = replica_member_role(leader->replica, member->id,
					   ROLE_VOTER, &leader->change);
	else if (voters > 2 && chance_percent(&world->chance, 30))
		code = replica_member_role(leader->replica, member->id,
					   ROLE_STANDBY, &leader->change);
	else if (member->role != ROLE_VOTER || voters > 1)
		code = replica_member_remove(leader->replica, member->id,
					     &leader->change);
	else
		code = BERTH_INVALID;
	if (code)
		leader->changing = false;
}

static void hand_over(struct world *world)
{
	struct node *leader = world_leader(world);

	if (leader &&
	    replica_transfer(leader->replica,
			     1 + chance_below(&world->chance,
					      world->node_count)) == 0)
		world->totals.transfers++;
}

/* --- disasters ------------------------------------------------------------- */

static void crash(struct world *world)
{
	struct node *node = &world->nodes[chance_below(&world->chance,
						       world->node_count)];

	if (!node->alive)
		return;
	node->restart_us = world->now_us +
			   chance_below(&world->chance, 3000000);
	world->totals.crashes++;
	if (chance_percent(&world->chance, 50)) {
		world->totals.torn++;
		disk_fuse(node->disk, 1 + chance_below(&world->chance, 12));
		return;
	}
	if (chance_percent(&world->chance, 30))
		node_kill(node);
	else
		node_crash(node);
}

/* Full, and after a while no longer; what runs on it must stop at its next
 * write and come back. */
static void fill(struct world *world)
{
	struct node *node = &world->nodes[chance_below(&world->chance,
						       world->node_count)];

	node->full = !node->full;
	disk_full(node->disk, node->full);
	world->totals.full += node->full;
}

static void hang(struct world *world)
{
	struct node *node = &world->nodes[chance_below(&world->chance,
						       world->node_count)];
	uint64_t ms = chance_percent(&world->chance, 20) ? 15000 : 2500;

	if (node->hang_until_us > world->now_us)
		return;
	node->hang_until_us = world->now_us +
			      chance_below(&world->chance, ms * 1000);
	world->totals.hangs++;
}

/* Only while nothing else is on its way and the others are a majority: the
 * rest is an operator's mistake. */
static bool may_lose(struct world *world, const struct node *node)
{
	struct node *leader = world_leader(world);
	struct replica_status status;
	uint32_t voters = 0, i;
	bool voter = false;

	if (!leader || leader->changing || node->gone ||
	    leader->replica->raft.configuration_uncommitted_index ||
	    engine_term_of(leader->replica,
			   raft_commit_index(&leader->replica->raft)) !=
		    raft_current_term(&leader->replica->raft))
		return false;
	replica_status(leader->replica, &status);
	for (i = 0; i < status.member_count; i++) {
		uint64_t id = status.members[i].id;

		if (world->nodes[id - 1].gone)
			return false;
		if (status.members[i].role != ROLE_VOTER)
			continue;
		voters++;
		voter = voter || id == node->id;
	}
	return voter && voters - 1 > voters / 2;
}

/* Under its id it never comes back (R18). */
static void lose(struct world *world)
{
	struct node *node = &world->nodes[chance_below(&world->chance,
						       world->node_count)];

	if (world->node_count == NODES_MAX || !may_lose(world, node))
		return;
	node_crash(node);
	node->gone = true;
	world->totals.lost++;
	if (world->options.change_every_ms == 0)
		world->options.change_every_ms = 1000;
	world->next_change_us = later(world, 300);
}

static void cut(struct world *world)
{
	uint32_t a = (uint32_t)chance_below(&world->chance, world->node_count);
	uint32_t b = (uint32_t)chance_below(&world->chance, world->node_count);
	uint32_t low = a < b ? a : b, high = a < b ? b : a;

	if (low == high)
		return;
	world->totals.cuts++;
	if (world->links[low][high].cut[0] || world->links[low][high].cut[1]) {
		world->links[low][high].cut[0] =
			world->links[low][high].cut[1] = false;
		return;
	}
	world->links[low][high].cut[0] = chance_percent(&world->chance, 70);
	world->links[low][high].cut[1] =
		!world->options.one_way || chance_percent(&world->chance, 50);
	if (chance_percent(&world->chance, 50))
		link_break(world, low, high, world->now_us + 50000);
}

static void restart_due(struct world *world)
{
	uint32_t i;

	for (i = 0; i < world->node_count; i++) {
		struct node *node = &world->nodes[i];

		if (!node->alive && !node->gone &&
		    node->restart_us <= world->now_us) {
			if (!world->healed &&
			    chance_percent(&world->chance, 10))
				disk_fuse(node->disk,
					  1 + chance_below(&world->chance,
							   20));
			node_start(node);
			if (!node->alive)
				node->restart_us = world->now_us + 100000;
		}
	}
}

static uint64_t restart_next(const struct world *world)
{
	uint64_t next = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < world->node_count; i++) {
		const struct node *node = &world->nodes[i];

		if (!node->alive && !node->gone && node->restart_us < next)
			next = node->restart_us;
	}
	return next < world->now_us ? world->now_us : next;
}

uint64_t faults_next_us(const struct world *world)
{
	uint64_t next = restart_next(world);

	if (world->next_submit_us < next)
		next = world->next_submit_us;
	if (world->next_read_us < next)
		next = world->next_read_us;
	if (world->healed)
		return next;
	if (world->next_crash_us < next)
		next = world->next_crash_us;
	if (world->next_cut_us < next)
		next = world->next_cut_us;
	if (world->next_change_us < next)
		next = world->next_change_us;
	if (world->next_transfer_us < next)
		next = world->next_transfer_us;
	if (world->next_full_us < next)
		next = world->next_full_us;
	if (world->next_hang_us < next)
		next = world->next_hang_us;
	if (world->next_lose_us < next)
		next = world->next_lose_us;
	return next;
}

void faults_happen(struct world *world)
{
	const struct options *o = &world->options;
	uint64_t now = world->now_us;

	restart_due(world);
	if (world->next_submit_us <= now) {
		submit(world);
		world->next_submit_us = later(world, o->submit_every_ms);
	}
	if (world->next_read_us <= now) {
		read_something(world);
		world->next_read_us = later(world, o->submit_every_ms * 7);
	}
	if (world->healed)
		return;
	if (world->next_crash_us <= now) {
		crash(world);
		world->next_crash_us = later(world, o->crash_every_ms);
	}
	if (world->next_cut_us <= now) {
		cut(world);
		world->next_cut_us = later(world, o->cut_every_ms);
	}
	if (world->next_change_us <= now) {
		change_members(world);
		world->next_change_us = later(world, o->change_every_ms);
	}
	if (world->next_transfer_us <= now) {
		hand_over(world);
		world->next_transfer_us = later(world, o->transfer_every_ms);
	}
	if (world->next_full_us <= now) {
		fill(world);
		world->next_full_us = later(world, o->full_every_ms);
	}
	if (world->next_hang_us <= now) {
		hang(world);
		world->next_hang_us = later(world, o->hang_every_ms);
	}
	if (world->next_lose_us <= now) {
		lose(world);
		world->next_lose_us = later(world, o->lose_every_ms);
	}
}
