/* Replicas come and go: a disk is lost and its id never comes back, a new id
 * is added, catches up and is promoted; members are demoted, removed, handed
 * leadership. One change at a time, as an operator does it: by what the leader
 * shows, when all voters are well (H33), and now and then when they are not.
 *
 * Who tries to come back under its old id, with an empty disk or an older one,
 * must be refused and must stop for good (R18). Only where all members met a
 * later start of that disk: a copy of what nobody has seen change is the same
 * disk to everybody. */
#include <stdlib.h>

#include "raft/internal.h"
#include "tests/sim/whole/whole.h"

#define LEVEL_ENTRIES 256u

static bool busy(const struct world *world)
{
	return world->options.member_ms || world->options.replace_ms;
}

struct node *node_any(struct world *world)
{
	uint32_t count = 0, at;

	for (uint32_t i = 0; i < world->node_count; i++)
		count += !world->nodes[i].gone;
	at = (uint32_t)chance_below(&world->chance, count);
	for (uint32_t i = 0; i < world->node_count; i++)
		if (!world->nodes[i].gone && at-- == 0)
			return &world->nodes[i];
	return &world->nodes[0];
}

static void count(struct world *world, uint32_t which)
{
	if (world->over)
		return;
	world->totals.faults++;
	world->totals.by_fault[which]++;
}

/* --- what the leader shows ----------------------------------------------------- */

struct crew {
	struct node *leader;
	struct replica_status status;
	uint32_t voters, lost, leaving;
};

static struct node *of(struct world *world, uint64_t id)
{
	return &world->nodes[id - 1];
}

static const struct replica_member *member_of(const struct crew *crew,
					      const struct node *node)
{
	for (uint32_t i = 0; i < crew->status.member_count; i++)
		if (crew->status.members[i].id == node->id)
			return &crew->status.members[i];
	return NULL;
}

/* True when its configuration is the last that was committed: nobody in it
 * knows a later term, and nothing is on its way. */
static bool look(struct world *world, struct crew *crew)
{
	struct node *leader = node_leader(world);
	struct raft *raft;

	memset(crew, 0, sizeof *crew);
	if (!leader || !node_ready(leader) || leader->changing)
		return false;
	raft = &leader->replica->raft;
	if (raft->configuration_uncommitted_index ||
	    engine_term_of(leader->replica, raft_commit_index(raft)) !=
		    raft_current_term(raft))
		return false;
	crew->leader = leader;
	replica_status(leader->replica, &crew->status);
	for (uint32_t i = 0; i < crew->status.member_count; i++) {
		const struct replica_member *m = &crew->status.members[i];
		struct node *node = of(world, m->id);

		if (node->term > leader->term)
			return false;
		node->joining = false;
		crew->voters += m->role == ROLE_VOTER;
		crew->lost += node->lost;
		crew->leaving += node->leaving && m->role == ROLE_VOTER;
	}
	return true;
}

static bool well(const struct crew *crew, uint64_t except)
{
	const struct replica_status *s = &crew->status;

	for (uint32_t i = 0; i < s->member_count; i++)
		if (s->members[i].role == ROLE_VOTER &&
		    s->members[i].id != except && s->members[i].id != s->id &&
		    (!s->connected[i] ||
		     s->match[i] + LEVEL_ENTRIES < s->last))
			return false;
	return true;
}

/* --- one change ---------------------------------------------------------------- */

enum { ADD = 1, PROMOTE, DEMOTE, REMOVE };

static void on_changed(void *ctx, int code)
{
	static const char *const done[] = { "", "is added", "votes",
					    "is a standby", "is removed" };
	struct node *leader = ctx;
	struct world *world = leader->world;
	struct node *node = of(world, leader->change_id);

	leader->changing = false;
	if (code || world->over)
		return;
	story(world, "members: replica %" PRIu64 " %s", node->id,
	      done[leader->change_what]);
	count(world, FAULT_MEMBER);
	if (leader->change_what != PROMOTE || !world->replacing)
		return;
	world->replacing--;
	count(world, FAULT_REPLACED);
}

static void change(const struct crew *crew, uint32_t what, uint64_t id)
{
	struct node *leader = crew->leader;
	struct replica_member member = { .id = id, .role = ROLE_STANDBY };
	int code;

	leader->changing = true;
	leader->change_what = what;
	leader->change_id = id;
	leader->change = (struct replica_change){ leader, on_changed };
	if (what == ADD)
		code = replica_member_add(leader->replica, &member,
					  &leader->change);
	else if (what == REMOVE)
		code = replica_member_remove(leader->replica, id,
					     &leader->change);
	else
		code = replica_member_role(leader->replica, id,
					   what == PROMOTE ? ROLE_VOTER :
							     ROLE_STANDBY,
					   &leader->change);
	if (code)
		leader->changing = false;
	leader->next_us = leader->world->now_us;
}

static void hand_over(const struct crew *crew, uint64_t id)
{
	if (replica_transfer(crew->leader->replica, id) != 0)
		return;
	story(crew->leader->world, "replica %" PRIu64 " hands leadership to %"
	      PRIu64, crew->leader->id, id);
	count(crew->leader->world, FAULT_MEMBER);
	crew->leader->next_us = crew->leader->world->now_us;
}

static void hand_to_any(struct world *world, const struct crew *crew)
{
	const struct replica_status *s = &crew->status;
	uint32_t at = (uint32_t)chance_below(&world->chance, s->member_count);

	for (uint32_t i = 0; i < s->member_count; i++) {
		uint32_t j = (at + i) % s->member_count;

		if (s->members[j].role == ROLE_VOTER &&
		    s->members[j].id != s->id && s->connected[j] &&
		    !of(world, s->members[j].id)->leaving) {
			hand_over(crew, s->members[j].id);
			return;
		}
	}
}

/* --- towards as many voters as there shall be ----------------------------------- */

static bool remove_lost(struct world *world, const struct crew *crew)
{
	for (uint32_t i = 0; i < crew->status.member_count; i++)
		if (of(world, crew->status.members[i].id)->lost) {
			change(crew, REMOVE, crew->status.members[i].id);
			return true;
		}
	return false;
}

static bool let_leave(struct world *world, const struct crew *crew)
{
	for (uint32_t i = 0; i < crew->status.member_count; i++) {
		struct node *node = of(world, crew->status.members[i].id);

		if (!node->leaving)
			continue;
		if (node == crew->leader)
			hand_to_any(world, crew);
		else
			change(crew, REMOVE, node->id);
		return true;
	}
	return false;
}

static void one_more(struct world *world, const struct crew *crew)
{
	const struct replica_status *s = &crew->status;

	for (uint32_t i = 0; i < s->member_count; i++)
		if (s->members[i].role != ROLE_VOTER &&
		    !of(world, s->members[i].id)->leaving) {
			if (s->connected[i])
				change(crew, PROMOTE, s->members[i].id);
			return;
		}
	for (uint32_t i = 0; i < world->node_count; i++)
		if (world->nodes[i].joining && !world->nodes[i].gone) {
			if (world->nodes[i].alive)
				change(crew, ADD, world->nodes[i].id);
			return;
		}
	if (world->node_count < NODES_MAX)
		node_join(world);
}

/* Who is no member any more is turned off, soon or at the heal. */
static void turn_off(struct world *world, const struct crew *crew)
{
	for (uint32_t i = 0; i < world->node_count; i++) {
		struct node *node = &world->nodes[i];

		if (node->gone || node->joining || node->lost ||
		    member_of(crew, node))
			continue;
		if (!world->healed && chance_percent(&world->chance, 80))
			continue;
		node_crash(node, "it is no member any more");
		node->gone = true;
		node->leaving = false;
	}
}

static void operate(struct world *world)
{
	struct crew crew;

	if (!look(world, &crew))
		return;
	turn_off(world, &crew);
	if (remove_lost(world, &crew))
		return;
	if (!well(&crew, 0) && !world->healed &&
	    !chance_percent(&world->chance, 10))
		return;
	if (crew.voters < world->voters + crew.leaving)
		one_more(world, &crew);
	else
		let_leave(world, &crew);
}

static void copy_disk(struct world *world)
{
	struct node *node = node_any(world);
	struct replica_status status;

	if (!node->alive || node->lost || node->joining)
		return;
	replica_status(node->replica, &status);
	if (node->copy)
		disk_free(node->copy);
	node->copy = disk_copy(node->disk);
	node->copy_incarnation = status.incarnation;
}

void members_keep(struct world *world)
{
	if (!busy(world) || world->now_us < world->operate_us)
		return;
	world->operate_us = world->now_us +
			    chance_between(&world->chance, 300000,
					   world->healed ? 1000000 : 4000000);
	if (chance_percent(&world->chance, 3) && !world->healed)
		copy_disk(world);
	operate(world);
}

/* --- disks that are lost ---------------------------------------------------------- */

static bool all_remember(struct world *world, const struct crew *crew,
			 const struct node *node, uint64_t incarnation)
{
	for (uint32_t i = 0; i < crew->status.member_count; i++) {
		struct node *other = of(world, crew->status.members[i].id);
		const struct peer_memory *known;

		if (other == node)
			continue;
		if (!other->alive ||
		    other->replica->binds_durable != other->replica->binds)
			return false;
		known = peers_find(&other->replica->peers, node->id);
		if (!known || known->incarnation < incarnation)
			return false;
	}
	return true;
}

static bool may_lose(const struct crew *crew, const struct node *node)
{
	const struct replica_member *m = member_of(crew, node);
	const struct world *world = node->world;

	return m && !crew->lost && !node->gone &&
	       world->node_count + world->replacing < NODES_MAX &&
	       (m->role != ROLE_VOTER || crew->voters - 1 > crew->voters / 2);
}

/* What tries to come back under that id; it is refused. */
static void haunt(struct node *node, uint32_t dice, bool older)
{
	struct world *world = node->world;
	struct replica_config config;
	struct fault fault = { 0 };

	disk_free(node->disk);
	if (older) {
		node->disk = node->copy;
		node->copy = NULL;
	} else {
		node->disk = disk_new(&world->chance);
	}
	disk_files(node->disk, &node->io.files);
	node_config(node, &config);
	if (!older && dice >= 50 &&
	    replica_bootstrap(&node->io, &config, NULL, 0, NULL, 0, &fault))
		world_fail(world, "bootstrap: %s", fault.text);
	node->gone = false;
	node->restart_us = world->now_us +
			   chance_below(&world->chance, 8000000);
	story(world, "replica %" PRIu64 " comes back with %s", node->id,
	      older ? "an older disk" : dice >= 50 ? "another disk" :
	      "an empty directory");
}

static void wipe(struct world *world, const struct crew *crew,
		 struct node *node)
{
	uint32_t dice = (uint32_t)chance_below(&world->chance, 100);
	bool older = dice >= 65 && node->copy &&
		     all_remember(world, crew, node,
				  node->copy_incarnation + 1);

	story(world, "the disk of replica %" PRIu64 " is lost", node->id);
	if (!all_remember(world, crew, node, 0))
		dice = 0;
	node_crash(node, "its disk is lost");
	node->lost = node->gone = true;
	node->leaving = false;
	world->replacing++;
	if (dice >= 25)
		haunt(node, dice, older);
}

/* A disk is lost, or a replica goes to another machine in good order. */
void members_replace(struct world *world)
{
	struct node *node = node_any(world);
	struct crew crew;

	if (!look(world, &crew) || !may_lose(&crew, node))
		return;
	if (chance_percent(&world->chance, 70)) {
		wipe(world, &crew, node);
	} else if (!node->leaving &&
		   member_of(&crew, node)->role == ROLE_VOTER) {
		story(world, "replica %" PRIu64 " is to be replaced", node->id);
		node->leaving = true;
		world->replacing++;
	}
}

void members_refused(struct node *node, const char *why)
{
	story(node->world, "replica %" PRIu64 " is refused and stops for good: "
	      "%s", node->id, why);
	node->gone = true;
	count(node->world, FAULT_OLD_DISK);
}

/* --- an operator's moods ------------------------------------------------------------ */

void members_change(struct world *world)
{
	uint32_t dice = (uint32_t)chance_below(&world->chance, 100);
	const struct replica_member *m;
	struct crew crew;

	if (!look(world, &crew) || crew.lost)
		return;
	if (dice < 40) {
		hand_to_any(world, &crew);
		return;
	}
	m = &crew.status.members[chance_below(&world->chance,
					      crew.status.member_count)];
	if (!well(&crew, m->id) && !chance_percent(&world->chance, 25))
		return;
	if (dice < 70 && m->role == ROLE_VOTER && crew.voters > 2)
		change(&crew, DEMOTE, m->id);
	else if (dice < 80 && m->role != ROLE_VOTER)
		change(&crew, REMOVE, m->id);
	else if (dice < 90 && world->node_count + 4 < NODES_MAX)
		world->voters = world->voters == 5 ? 3 : world->voters + 1;
	else if (m->role == ROLE_VOTER && crew.voters > world->voters)
		of(world, m->id)->leaving = true;
}

/* --- restores and the end ------------------------------------------------------------- */

/* A new cluster: whoever was added to the old one is off for good. */
void members_restart(struct world *world)
{
	for (uint32_t i = 0; i < world->node_count; i++) {
		struct node *node = &world->nodes[i];

		node->lost = node->leaving = node->joining = false;
		node->gone = false;
		if (node->copy)
			disk_free(node->copy);
		node->copy = NULL;
		if (i >= world->options.replicas)
			node_fini(node);
	}
	world->node_count = world->voters = world->options.replicas;
	world->replacing = 0;
}

/* Somebody is there who remembers another disk under its id, or a later start
 * of that one. Where it was cut off until all those had left, nobody does; it
 * is no member, and nobody asks it. */
static bool remembered(struct world *world, const struct node *node)
{
	const struct identity_file *own = &node->replica->identity;

	for (uint32_t i = 0; i < world->node_count; i++) {
		struct node *other = &world->nodes[i];
		const struct peer_memory *known;

		if (other == node || !other->alive)
			continue;
		known = peers_find(&other->replica->peers, node->id);
		if (known && (memcmp(known->disk_id, own->disk_id,
				     sizeof own->disk_id) != 0 ||
			      known->incarnation > own->incarnation))
			return true;
	}
	return false;
}

bool members_satisfied(struct world *world, char *why, size_t size)
{
	struct crew crew;

	for (uint32_t i = 0; i < world->node_count; i++)
		if (world->nodes[i].lost && world->nodes[i].alive &&
		    remembered(world, &world->nodes[i])) {
			snprintf(why, size, "R18: replica %u is not refused",
				 i + 1);
			return false;
		}
	if (!look(world, &crew)) {
		snprintf(why, size, "no replica leads");
		return false;
	}
	for (uint32_t i = 0; i < crew.status.member_count; i++) {
		const struct node *node = of(world, crew.status.members[i].id);

		snprintf(why, size, "replica %" PRIu64 " is a member and has "
			 "entry %" PRIu64 " of %" PRIu64, node->id,
			 node->applied, oracle_max(world));
		if (!node->alive ||
		    node->applied + LEVEL_ENTRIES < oracle_max(world))
			return false;
	}
	snprintf(why, size, "%u replicas vote, and %u shall", crew.voters,
		 world->voters);
	return !busy(world) || crew.voters >= world->voters ||
	       world->node_count == NODES_MAX;
}
