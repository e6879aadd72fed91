/* What libraft 0.22.1's core does wrong, and what is put in front of it. The
 * numbers are those of libraft-step.md's table; each can be switched off by
 * replica_config.filters_off, for tests only.
 *
 * T5 (a leader never removes or demotes itself) is in member.c, T10 and T14's
 * other half are here. */
#include "raft/internal.h"

#include <stdlib.h>

bool filter_on(const struct replica *r, int t)
{
	return !(r->config.filters_off >> t & 1);
}

static struct raft_server *own_server(struct replica *r)
{
	unsigned i;

	for (i = 0; i < r->raft.configuration.n; i++)
		if (r->raft.configuration.servers[i].id == r->config.id)
			return &r->raft.configuration.servers[i];
	return NULL;
}

/* --- AppendEntries ------------------------------------------------------- */

struct piece {
	struct raft_append_entries *append;
	struct log_entry **entries;
};

static void skip_entries(struct piece *piece, unsigned count)
{
	piece->append->n_entries -= count;
	if (count)
		memmove(piece->append->entries,
			piece->append->entries + count,
			piece->append->n_entries *
				sizeof *piece->append->entries);
	while (count--) {
		struct log_entry *skipped = piece->entries[0];
		unsigned n = piece->append->n_entries + count;

		memmove(piece->entries, piece->entries + 1,
			n * sizeof(struct log_entry *));
		/* It stays in the array, behind the others, to be freed. */
		piece->entries[n] = skipped;
	}
}

/* T1: what prev says is compacted here, and the core would take the entries
 * for new ones and append them at wrong indexes. What the snapshot covers is
 * committed, hence in every valid leader's log: go on from there. */
static void behind_snapshot(struct replica *r, struct piece *piece)
{
	struct raft_append_entries *append = piece->append;
	uint64_t index = r->raft.trail.snapshot.index;
	uint64_t skip;
	void *batch;

	if (!filter_on(r, 1) || !index || r->installing ||
	    append->term < raft_current_term(&r->raft) ||
	    append->prev_log_index > r->raft.trail.offset ||
	    append->prev_log_index == index)
		return;
	if (append->prev_log_index > index)
		return;
	skip = index - append->prev_log_index;
	if (skip > append->n_entries)
		skip = append->n_entries;
	batch = append->n_entries ? append->entries[0].batch : NULL;
	skip_entries(piece, (unsigned)skip);
	if (!append->n_entries)
		raft_free(batch);
	append->prev_log_index = index;
	append->prev_log_term = r->raft.trail.snapshot.term;
}

/* T11: a late or repeated message would pull the commit index back. */
static void no_step_back(struct replica *r, struct raft_append_entries *append)
{
	uint64_t commit = raft_commit_index(&r->raft);

	if (filter_on(r, 11) &&
	    append->prev_log_index + append->n_entries < commit &&
	    append->leader_commit > commit)
		append->leader_commit = 0;
}

/* T2, second form: a change follows one that the core still takes for
 * uncommitted. There is at most one uncommitted change, so the earlier one is
 * committed; tell the core before it forgets it. */
static int commit_change(struct replica *r,
			 const struct raft_append_entries *append)
{
	uint64_t index = r->raft.configuration_uncommitted_index;
	struct raft_event event;
	struct members members;

	if (!index || index > append->prev_log_index ||
	    raft_state(&r->raft) != RAFT_FOLLOWER ||
	    append->term < raft_current_term(&r->raft) ||
	    engine_term_of(r, append->prev_log_index) != append->prev_log_term)
		return 0;
	members_from_raft(&members, &r->raft.configuration);
	memset(&event, 0, sizeof event);
	event.type = RAFT_CONFIGURATION;
	event.configuration.index = index;
	if (members_to_raft(&members, &event.configuration.conf))
		return BERTH_NOMEM;
	return engine_event(r, &event);
}

static unsigned piece_length(const struct raft_append_entries *append)
{
	unsigned i;

	for (i = 1; i < append->n_entries; i++)
		if (append->entries[i].type == RAFT_CHANGE)
			return i;
	return append->n_entries;
}

/* Entries of a message share a batch; pieces need one each. */
static int own_batch(struct raft_entry *entries, unsigned count)
{
	void *batch = raft_malloc(8);
	unsigned i;

	if (!batch)
		return BERTH_NOMEM;
	for (i = 0; i < count; i++)
		entries[i].batch = batch;
	return 0;
}

static int deliver(struct replica *r, struct raft_message *message,
		   struct log_entry **entries)
{
	no_step_back(r, &message->append_entries);
	return engine_receive(r, message, entries);
}

/* T2, first form: the core misplaces a change that is not the first of its
 * message. One delivery per piece; each change begins one. */
static int split(struct replica *r, const struct raft_message *whole,
		 struct log_entry **entries)
{
	struct raft_message message = *whole;
	struct raft_append_entries *append = &message.append_entries;
	unsigned left = append->n_entries;
	int code = 0;

	while (left && !code && !r->dead) {
		unsigned count, last;
		uint64_t last_index, last_term;

		append->n_entries = left;
		count = piece_length(append);
		last = count - 1;
		if (append->entries[0].type == RAFT_CHANGE)
			code = commit_change(r, append);
		if (!code)
			code = own_batch(append->entries, count);
		if (code)
			break;
		append->n_entries = count;
		last_index = append->prev_log_index + count;
		last_term = append->entries[last].term;
		append->leader_commit =
			whole->append_entries.leader_commit;
		code = deliver(r, &message, entries);
		if (code || engine_term_of(r, last_index) != last_term)
			break;
		append->prev_log_index = last_index;
		append->prev_log_term = last_term;
		append->entries += count;
		entries += count;
		left -= count;
	}
	return code;
}

static int receive_append(struct replica *r, struct raft_message *message,
			  struct log_entry **entries)
{
	struct piece piece = { &message->append_entries, entries };

	behind_snapshot(r, &piece);
	if (!filter_on(r, 2) || !message->append_entries.n_entries)
		return deliver(r, message, entries);
	raft_free(message->append_entries.entries[0].batch);
	return split(r, message, entries);
}

/* --- the other messages -------------------------------------------------- */

/* T6: the core refuses votes by a flag that only its own timer clears, and as
 * a non-voter for ever. (a) by time: nothing was heard from a leader for an
 * election time-out. (b) the candidate counts us as a voter, so its
 * configuration is newer than ours: vote. */
static int receive_vote(struct replica *r, struct raft_message *message)
{
	struct raft_server *own = own_server(r);
	int role = own ? own->role : 0, code;
	uint64_t quiet = engine_now(r) - r->heard_ms;

	if (!filter_on(r, 6) || raft_state(&r->raft) != RAFT_FOLLOWER)
		return engine_receive(r, message, NULL);
	if (quiet >= r->config.election_ms)
		message->request_vote.disrupt_leader = true;
	if (own)
		own->role = RAFT_VOTER;
	code = engine_receive(r, message, NULL);
	own = own_server(r);
	if (own)
		own->role = role;
	return code;
}

/* T8: a late rejection of what is known to match would set next_index below
 * match_index. */
static int receive_result(struct replica *r, struct raft_message *message)
{
	struct raft_append_entries_result *result =
		&message->append_entries_result;
	raft_index match = 0;

	if (filter_on(r, 8) && result->rejected &&
	    result->term == raft_current_term(&r->raft) &&
	    raft_match_index(&r->raft, message->server_id, &match) == 0 &&
	    result->rejected <= match) {
		result->last_log_index = result->rejected;
		result->rejected = 0;
	}
	return engine_receive(r, message, NULL);
}

/* T10: one that comes while another is installed is never freed. T14: the
 * answer to one of an old term has a field that was never set, and the core
 * may take it for an acknowledgement: it is not delivered at all. */
static int receive_install(struct replica *r, struct raft_message *message)
{
	struct raft_install_snapshot *install = &message->install_snapshot;

	if ((filter_on(r, 10) && r->installing) ||
	    install->term < raft_current_term(&r->raft) ||
	    raft_state(&r->raft) == RAFT_LEADER) {
		raft_configuration_close(&install->conf);
		raft_free(install->data.base);
		return 0;
	}
	return engine_receive(r, message, NULL);
}

/* T14: before the core looks whether it is a candidate at all, it reads "in
 * pre-vote" out of a union: in a follower that is a byte of a pointer, and
 * chance decided whether a late result raises the term. Only a candidate has
 * a use for it. */
static int receive_vote_result(struct replica *r, struct raft_message *message)
{
	if (filter_on(r, 14) && raft_state(&r->raft) != RAFT_CANDIDATE)
		return 0;
	return engine_receive(r, message, NULL);
}

int filter_receive(struct replica *r, struct raft_message *message,
		   struct log_entry **entries)
{
	switch (message->type) {
	case RAFT_APPEND_ENTRIES:
		return receive_append(r, message, entries);
	case RAFT_REQUEST_VOTE:
		return receive_vote(r, message);
	case RAFT_APPEND_ENTRIES_RESULT:
		return receive_result(r, message);
	case RAFT_INSTALL_SNAPSHOT:
		return receive_install(r, message);
	case RAFT_REQUEST_VOTE_RESULT:
		return receive_vote_result(r, message);
	case RAFT_TIMEOUT_NOW:
	default:
		return engine_receive(r, message, NULL);
	}
}

void filter_send(struct replica *r, struct raft_message *message)
{
	struct raft_request_vote_result *vote = &message->request_vote_result;
	uint64_t term = raft_current_term(&r->raft);

	/* T7: a refused pre-vote echoes the request's term, and a candidate
	 * with an older term would never learn. */
	if (message->type == RAFT_REQUEST_VOTE_RESULT && filter_on(r, 7) &&
	    vote->pre_vote && !vote->vote_granted && vote->term < term)
		vote->term = term;
	/* T14: see engine_receive. */
	if (message->type == RAFT_APPEND_ENTRIES_RESULT && r->stale_reply)
		message->append_entries_result.last_log_index = 0;
}

/* --- time, start, changes ------------------------------------------------ */

/* T4: a follower that is the only voter would make itself leader of a term
 * that has one. It goes through a start of its own, in a new term. */
static bool sole_voter_timer(struct replica *r)
{
	struct members members;

	if (!filter_on(r, 4) || raft_state(&r->raft) != RAFT_FOLLOWER ||
	    raft_timeout(&r->raft) > r->now_ms)
		return false;
	members_from_raft(&members, &r->raft.configuration);
	return members_sole_voter(&members, r->config.id);
}

int filter_timeout(struct replica *r)
{
	struct raft_event event;

	if (sole_voter_timer(r)) {
		/* What is being written counts as stored after a start, so
		 * wait for it; and never while a snapshot is installed. */
		if (!r->writing.busy && !r->waiting && !r->installing)
			engine_restart(r);
		return 0;
	}
	memset(&event, 0, sizeof event);
	event.type = RAFT_TIMEOUT;
	return engine_event(r, &event);
}

/* T9: a spare that was sent to once keeps its time of sending, so the core's
 * time-out may be in the past for ever. */
uint64_t filter_next_timeout(const struct replica *r)
{
	uint64_t next = raft_timeout(&r->raft);
	uint64_t least = r->last_timeout_ms + r->config.heartbeat_ms / 2;

	if (filter_on(r, 9) && r->last_timeout_ms && next < least)
		return least;
	return next;
}

/* T13: a change before anything is committed in the leader's own term may
 * make two majorities that do not meet (Ongaro, 2015). */
bool filter_may_change(struct replica *r)
{
	return !filter_on(r, 13) ||
	       engine_term_of(r, raft_commit_index(&r->raft)) ==
		       raft_current_term(&r->raft);
}

/* T12: the commit index runs ahead of what is being installed. */
bool filter_may_apply(const struct replica *r)
{
	return !filter_on(r, 12) || !r->installing;
}

/* T3: a sole voter makes itself leader at once, in the term of its last life,
 * and would give other entries the same index and term. */
bool filter_start_needs_term(const struct replica *r,
			     const struct members *members)
{
	return filter_on(r, 3) && members_sole_voter(members, r->config.id);
}
