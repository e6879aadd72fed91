/* Changes of the membership, and handing over leadership (libraft-step.md 1.6
 * and 1.7). One change at a time; a new configuration is the present one in
 * the same order, with one member added at the end, removed, or in another
 * role. A leader never removes or demotes itself (T5): it could be the only
 * one that knows. */
#include "raft/internal.h"

#include <inttypes.h>

#define PATIENCE_ELECTIONS 60u /* election time-outs until a change gives up */

static void finish(struct replica *r, int code)
{
	struct replica_change *change = r->change.change;

	memset(&r->change, 0, sizeof r->change);
	if (change)
		change->done(change->ctx, code);
}

void member_lost(struct replica *r)
{
	r->transfer_to = 0;
	r->transferring = false;
	if (r->change.active)
		finish(r, r->change.index ? BERTH_UNKNOWN_OUTCOME :
					    BERTH_NOTLEADER);
}

static void submit_change(struct replica *r)
{
	struct pending_change *change = &r->change;
	struct raft_buffer buffer = { 0 };
	uint64_t barrier;
	int code;

	/* T13: with nothing of our own on its way, an empty entry. */
	if (!filter_may_change(r) && !r->transfer_to &&
	    raft_commit_index(&r->raft) >= raft_last_index(&r->raft) &&
	    engine_append(r, RAFT_BARRIER, NULL, 0, &barrier) != 0)
		return;
	if (!filter_may_change(r) || r->transfer_to ||
	    r->raft.configuration_uncommitted_index ||
	    r->raft.leader_state.promotee_id)
		return; /* asked again when something moves */
	code = members_encode(&change->target, &buffer);
	if (!code)
		code = engine_append(r, RAFT_CHANGE, buffer.base, buffer.len,
				     &change->index);
	raft_free(buffer.base);
	if (code && code != BERTH_BUSY && code != BERTH_NOTLEADER)
		finish(r, code);
}

/* 1.6: who is level with us is promoted at once; a catch-up of one that is
 * would never end on an idle cluster. */
static void promote(struct replica *r)
{
	struct pending_change *change = &r->change;
	struct raft_event event;
	raft_index match = 0;
	int status = RAFT_CATCH_UP_NONE;

	if (raft_match_index(&r->raft, change->promote, &match)) {
		finish(r, BERTH_NOTFOUND);
		return;
	}
	raft_catch_up(&r->raft, change->promote, &status);
	if (!r->raft.leader_state.promotee_id &&
	    (match == raft_last_index(&r->raft) ||
	     (change->catching && status == RAFT_CATCH_UP_FINISHED))) {
		submit_change(r);
		return;
	}
	if (r->raft.leader_state.promotee_id ||
	    r->raft.configuration_uncommitted_index ||
	    (change->catching && status == RAFT_CATCH_UP_FINISHED))
		return;
	memset(&event, 0, sizeof event);
	event.type = RAFT_CATCH_UP;
	event.catch_up.server_id = change->promote;
	change->catching = engine_event(r, &event) == 0;
}

static void change_settle(struct replica *r)
{
	struct pending_change *change = &r->change;

	if (!change->active)
		return;
	if (change->index) {
		if (change->index <= r->applied)
			finish(r, 0);
		return;
	}
	if (r->now_ms >= change->deadline_ms) {
		finish(r, BERTH_TIMEOUT);
		return;
	}
	if (change->promote)
		promote(r);
	else
		submit_change(r);
}

/* 1.7: nothing new is taken until the other has everything, or the core's one
 * TimeoutNow would be ignored. */
static void transfer_settle(struct replica *r)
{
	struct raft_event event;
	raft_index match = 0;

	if (!r->transfer_to)
		return;
	if (r->transferring ? !raft_transferee(&r->raft) :
			      r->now_ms >= r->transfer_deadline_ms) {
		r->transfer_to = 0;
		r->transferring = false;
		return;
	}
	if (r->transferring ||
	    raft_match_index(&r->raft, r->transfer_to, &match) ||
	    match < raft_last_index(&r->raft))
		return;
	memset(&event, 0, sizeof event);
	event.type = RAFT_TRANSFER;
	event.transfer.server_id = r->transfer_to;
	r->transferring = engine_event(r, &event) == 0;
	if (!r->transferring)
		r->transfer_to = 0;
}

/* Whom a leader with a hanging disk hands over to. */
static uint64_t best_voter(struct replica *r)
{
	struct members members;
	uint64_t best = 0, best_match = 0;
	uint32_t i;

	members_from_raft(&members, &r->raft.configuration);
	for (i = 0; i < members.count; i++) {
		raft_index match = 0;

		if (members.list[i].id == r->config.id ||
		    members.list[i].role != ROLE_VOTER ||
		    raft_match_index(&r->raft, members.list[i].id, &match))
			continue;
		if (!best || match > best_match) {
			best = members.list[i].id;
			best_match = match;
		}
	}
	return best;
}

static void transfer_begin(struct replica *r, uint64_t id)
{
	r->transfer_to = id;
	r->transferring = false;
	r->transfer_deadline_ms = r->now_ms + 2 * r->config.election_ms;
}

void member_settle(struct replica *r)
{
	if (!r->leading || r->dead)
		return;
	if (r->stalled && !r->transfer_to)
		transfer_begin(r, best_voter(r));
	change_settle(r);
	if (r->leading && !r->dead)
		transfer_settle(r);
}

uint64_t member_next_ms(const struct replica *r)
{
	uint64_t next = UINT64_MAX;

	if (r->change.active && !r->change.index)
		next = r->change.deadline_ms;
	if (r->transfer_to && !r->transferring &&
	    r->transfer_deadline_ms < next)
		next = r->transfer_deadline_ms;
	return next;
}

/* --- what is asked -------------------------------------------------------- */

static int begin(struct replica *r, struct members *members)
{
	if (!engine_is_leader(r) || !r->leading)
		return BERTH_NOTLEADER;
	if (r->change.active || r->transfer_to)
		return BERTH_BUSY;
	engine_now(r);
	members_from_raft(members, &r->raft.configuration);
	return 0;
}

static void go(struct replica *r, const struct members *target,
	       uint64_t promoted, struct replica_change *change)
{
	r->change = (struct pending_change){
		.change = change,
		.target = *target,
		.promote = promoted,
		.deadline_ms = r->now_ms +
			       PATIENCE_ELECTIONS * r->config.election_ms,
		.active = true,
	};
	engine_settle(r);
}

int replica_member_add(struct replica *r, const struct replica_member *member,
		       struct replica_change *change)
{
	struct members members;
	int code = begin(r, &members);

	if (code)
		return code;
	if (!member->id || member->role == ROLE_VOTER ||
	    members.count == REPLICA_MEMBERS_MAX)
		return BERTH_INVALID;
	if (members_find(&members, member->id))
		return BERTH_EXISTS;
	members.list[members.count++] = *member;
	go(r, &members, 0, change);
	return 0;
}

int replica_member_role(struct replica *r, uint64_t id, enum replica_role role,
			struct replica_change *change)
{
	const struct replica_member *found;
	struct members members;
	uint64_t promoted;
	int code = begin(r, &members);

	if (code)
		return code;
	found = members_find(&members, id);
	if (!found)
		return BERTH_NOTFOUND;
	if (found->role == role || (id == r->config.id && filter_on(r, 5)))
		return BERTH_INVALID;
	promoted = role == ROLE_VOTER ? id : 0;
	members.list[found - members.list].role = role;
	go(r, &members, promoted, change);
	return 0;
}

int replica_member_remove(struct replica *r, uint64_t id,
			  struct replica_change *change)
{
	const struct replica_member *found;
	struct members members;
	size_t at;
	int code = begin(r, &members);

	if (code)
		return code;
	found = members_find(&members, id);
	if (!found)
		return BERTH_NOTFOUND;
	if (id == r->config.id && filter_on(r, 5))
		return BERTH_INVALID;
	at = (size_t)(found - members.list);
	members.count--;
	memmove(&members.list[at], &members.list[at + 1],
		(members.count - at) * sizeof *members.list);
	memset(&members.list[members.count], 0, sizeof *members.list);
	go(r, &members, 0, change);
	return 0;
}

int replica_transfer(struct replica *r, uint64_t id)
{
	const struct replica_member *found;
	struct members members;
	int code = begin(r, &members);

	if (code)
		return code;
	found = members_find(&members, id);
	if (!found)
		return BERTH_NOTFOUND;
	if (found->role != ROLE_VOTER || id == r->config.id)
		return BERTH_INVALID;
	transfer_begin(r, id);
	engine_settle(r);
	return 0;
}
