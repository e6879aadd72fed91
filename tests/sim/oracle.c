/* What must hold, seen from outside the engine, except where a look at the
 * core is the point. */
#include <inttypes.h>
#include <stdlib.h>

#include "raft/bytes.h"
#include "raft/crc32c.h"
#include "tests/sim/sim.h"

struct applied {
	uint64_t term, state;
	uint32_t crc;
	bool known;
};

struct oracle {
	struct applied *entries; /* by index */
	uint64_t capacity, last;
	uint64_t *leaders; /* by term */
	uint64_t leader_capacity;
};

struct oracle *oracle_new(void)
{
	struct oracle *oracle = calloc(1, sizeof *oracle);

	if (!oracle)
		abort();
	return oracle;
}

void oracle_free(struct oracle *oracle)
{
	free(oracle->entries);
	free(oracle->leaders);
	free(oracle);
}

uint64_t oracle_last(const struct oracle *oracle)
{
	return oracle->last;
}

static struct applied *entry_at(struct oracle *oracle, uint64_t index)
{
	if (index >= oracle->capacity) {
		uint64_t capacity = index * 2 + 1024;

		oracle->entries = realloc(oracle->entries,
					  capacity * sizeof *oracle->entries);
		if (!oracle->entries)
			abort();
		memset(oracle->entries + oracle->capacity, 0,
		       (capacity - oracle->capacity) *
			       sizeof *oracle->entries);
		oracle->capacity = capacity;
	}
	return &oracle->entries[index];
}

/* State-machine safety, log matching and "committed is for ever" in one: what
 * was applied at an index anywhere, ever, is what is applied there. */
void oracle_applied(struct node *node, uint64_t index, uint64_t term,
		    const void *data, size_t size)
{
	struct world *world = node->world;
	struct applied *entry = entry_at(world->oracle, index);
	uint32_t crc = crc32c(0, data, size);

	world_trace(world, index * 1000003 + node->id);
	if (!entry->known) {
		entry->known = true;
		entry->term = term;
		entry->crc = crc;
		entry->state = node->chain.hash;
		world->totals.commits++;
	} else if (entry->term != term || entry->crc != crc) {
		world_fail(world, "replica %" PRIu64 " applies another entry "
			   "%" PRIu64 " (term %" PRIu64 ", was %" PRIu64 ")",
			   node->id, index, term, entry->term);
	} else if (entry->state != node->chain.hash) {
		world_fail(world, "replica %" PRIu64 " has another state at "
			   "%" PRIu64, node->id, index);
	}
	if (index > world->oracle->last)
		world->oracle->last = index;
}

void oracle_restored(struct node *node)
{
	struct applied *entry = entry_at(node->world->oracle,
					 node->chain.index);

	if (node->chain.index &&
	    (!entry->known || entry->state != node->chain.hash))
		world_fail(node->world, "replica %" PRIu64 " restores a state "
			   "that never was, at %" PRIu64, node->id,
			   node->chain.index);
}

void oracle_leader(struct node *node, uint64_t term)
{
	struct oracle *oracle = node->world->oracle;

	node->world->totals.elections++;
	if (term >= oracle->leader_capacity) {
		uint64_t capacity = term * 2 + 64;

		oracle->leaders = realloc(oracle->leaders,
					  capacity * sizeof *oracle->leaders);
		if (!oracle->leaders)
			abort();
		memset(oracle->leaders + oracle->leader_capacity, 0,
		       (capacity - oracle->leader_capacity) *
			       sizeof *oracle->leaders);
		oracle->leader_capacity = capacity;
	}
	if (oracle->leaders[term])
		world_fail(node->world, "term %" PRIu64 " has two leaders, "
			   "%" PRIu64 " and %" PRIu64, term,
			   oracle->leaders[term] & 255, node->id);
	oracle->leaders[term] = node->id | (uint64_t)node->life << 8;
}

/* Term and vote as a crash at this moment would leave them, at worst. */
static void durable_vote(const struct node *node, uint64_t *term,
			 uint64_t *vote)
{
	const uint8_t *data;
	uint64_t size, sequence = 0, i;

	*term = *vote = 0;
	if (!disk_durable(node->disk, "vote", &data, &size))
		return;
	for (i = 0; i < 2 && i * 4096 + 40 <= size; i++) {
		const uint8_t *slot = data + i * 4096;

		if (get_u32(slot + 32) != crc32c(0, slot, 32) ||
		    get_u64(slot + 8) <= sequence)
			continue;
		sequence = get_u64(slot + 8);
		*term = get_u64(slot + 16);
		*vote = get_u64(slot + 24);
	}
}

/* Nothing that promises a term or a vote leaves before it is durable. */
void oracle_sending(struct node *node, const uint8_t *frame, size_t size)
{
	uint64_t term, vote, said;
	bool own = false, real = true;

	if (size < 10 || frame[0] < FRAME_APPEND || frame[0] > FRAME_INSTALL)
		return;
	said = get_u64(frame + 1);
	if (frame[0] == FRAME_VOTE) {
		real = !(frame[33] & 2);
		own = true;
	} else if (frame[0] == FRAME_VOTE_RESULT) {
		real = !(frame[9] & 2);
	}
	durable_vote(node, &term, &vote);
	if (!real)
		return;
	if (said > term || (own && said == term && vote != node->id))
		world_fail(node->world, "replica %" PRIu64 " says term "
			   "%" PRIu64 " before it is durable (%" PRIu64
			   ", vote %" PRIu64 ")", node->id, said, term, vote);
}

/* The configuration that the core goes by is the last one in its log. */
static void check_configuration(struct node *node)
{
	const struct replica *r = node->replica;
	struct members core, log = r->snap.members;
	uint64_t index;

	for (index = cache_last(&r->cache); index >= r->cache.start; index--) {
		const struct log_entry *entry = cache_find(&r->cache, index);

		if (entry->type == RAFT_CHANGE) {
			members_decode(&log, entry->data, entry->size);
			break;
		}
	}
	members_from_raft(&core, &r->raft.configuration);
	if (memcmp(&core, &log, sizeof core) != 0)
		world_fail(node->world, "replica %" PRIu64 "'s core goes by "
			   "another configuration than its log's", node->id);
	if (r->applied_conf_index &&
	    r->raft.configuration_committed_index == r->applied_conf_index) {
		members_from_raft(&core, &r->raft.configuration_committed);
		if (memcmp(&core, &r->applied_members, sizeof core) != 0)
			world_fail(node->world, "replica %" PRIu64 "'s core "
				   "has another committed configuration",
				   node->id);
	}
}

void oracle_stepped(struct node *node)
{
	struct replica *r = node->replica;
	uint64_t commit = raft_commit_index(&r->raft);
	uint64_t last = raft_last_index(&r->raft);

	if (r->dead)
		return;
	if (commit < node->commit)
		world_fail(node->world, "replica %" PRIu64 "'s commit index "
			   "goes back from %" PRIu64 " to %" PRIu64, node->id,
			   node->commit, commit);
	node->commit = commit;
	if (r->installing)
		return;
	if (commit > last)
		world_fail(node->world, "replica %" PRIu64 " commits %" PRIu64
			   " and has %" PRIu64, node->id, commit, last);
	if (last != cache_last(&r->cache) || r->raft.last_stored > last)
		world_fail(node->world, "replica %" PRIu64 "'s core ends at "
			   "%" PRIu64 ", its log at %" PRIu64, node->id, last,
			   cache_last(&r->cache));
	if (r->raft.trail.offset + 1 != r->cache.start)
		world_fail(node->world, "replica %" PRIu64 "'s core begins at "
			   "%llu, its log at %" PRIu64, node->id,
			   r->raft.trail.offset + 1, r->cache.start);
	check_configuration(node);
}
