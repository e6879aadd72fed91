/* Open, run, close: from a directory to a running engine and back. */
#include <inttypes.h>
#include <stdlib.h>

#include "raft/internal.h"

/* --- open ---------------------------------------------------------------- */

static void on_begin(void *ctx, uint64_t prev_index, uint64_t prev_term)
{
	struct replica *r = ctx;

	(void)prev_term;
	cache_reset(&r->cache, prev_index + 1);
}

static void on_cut(void *ctx, uint64_t index)
{
	struct replica *r = ctx;

	cache_cut(&r->cache, index);
}

static int on_entry(void *ctx, uint64_t index, uint64_t term, uint8_t type,
		    const uint8_t *data, size_t size)
{
	struct replica *r = ctx;
	struct log_entry *entry;

	/* Written over a tail whose first segments were dropped since: all
	 * below the start is in the snapshot. */
	if (index < r->cache.start)
		return 0;
	if (index != cache_last(&r->cache) + 1)
		return BERTH_CORRUPT;
	entry = entry_new(type, index, term, data, size);
	if (!entry)
		return BERTH_NOMEM;
	if (cache_append(&r->cache, entry)) {
		entry_give(entry);
		return BERTH_NOMEM;
	}
	return 0;
}

static int check_identity(struct replica *r, struct fault *fault)
{
	int code = identity_load(&r->io->files, &r->identity, fault);

	if (code == BERTH_NOTFOUND)
		return fault_set(fault, code,
				 "the directory holds no replica; an empty "
				 "disk joins under a new id (or is "
				 "bootstrapped with the whole cluster)");
	if (code)
		return code;
	if (strcmp(r->identity.cluster, r->config.cluster) != 0)
		return fault_set(fault, BERTH_MISMATCH,
				 "the directory belongs to cluster %s, not %s",
				 r->identity.cluster, r->config.cluster);
	if (r->identity.id != r->config.id)
		return fault_set(fault, BERTH_MISMATCH,
				 "the directory belongs to replica %" PRIu64
				 ", not %" PRIu64,
				 r->identity.id, r->config.id);
	if (r->identity.refused)
		return fault_set(fault, BERTH_DENIED,
				 "the cluster has refused this disk as older "
				 "than it remembers; the replica must be "
				 "removed and rejoin under a new id, with an "
				 "empty disk");
	r->identity.incarnation++;
	memmove(r->identity.nonces + 1, r->identity.nonces,
		sizeof r->identity.nonces - sizeof r->identity.nonces[0]);
	r->identity.nonces[0] = r->nonce;
	code = identity_store(&r->io->files, &r->identity);
	if (code)
		return fault_set(fault, code, "write identity: %s",
				 berth_error_text(code));
	return 0;
}

static int load_snapshot(struct replica *r, struct fault *fault)
{
	struct snapshot_source source;
	struct snapshot_meta meta;
	char name[SNAPSHOT_NAME_SIZE];
	uint64_t index, term;
	uint8_t *data;
	size_t size;
	int code = snapshot_newest(&r->io->files, &index, &term);

	if (code == BERTH_NOTFOUND)
		return 0;
	if (code)
		return fault_set(fault, code, "list snapshots: %s",
				 berth_error_text(code));
	snapshot_name(name, index, term);
	code = snapshot_load(&r->io->files, name, &meta, &data, &size, fault);
	if (code)
		return code;
	if (meta.index != index || meta.term != term) {
		free(data);
		return fault_set(fault, BERTH_CORRUPT,
				 "%s: is another snapshot", name);
	}
	source.at = data;
	source.left = size;
	code = r->machine->restore(r->machine->ctx, snapshot_source_read,
				   &source);
	free(data);
	if (code)
		return fault_set(fault, code, "%s: %s", name,
				 berth_error_text(code));
	engine_restored(r, &meta);
	return 0;
}

/* 1.5: the log counts only if it has the snapshot's last entry, or begins
 * right behind it; otherwise a crash came between the snapshot's rename and
 * the voiding of the log. */
static bool log_counts(const struct replica *r)
{
	const struct log_entry *entry;

	if (!r->snap.index)
		return r->wal.count != 0;
	if (!r->wal.count)
		return false;
	if (r->cache.start == r->snap.index + 1)
		return true;
	entry = cache_find(&r->cache, r->snap.index);
	return entry && entry->term == r->snap.term;
}

static int load_log(struct replica *r, struct fault *fault)
{
	struct wal_replay replay = { r, on_begin, on_cut, on_entry };
	struct log_entry *entry;
	int code;

	r->cache.start = 1;
	code = wal_open(&r->wal, &r->io->files, r->identity.disk_id,
			r->config.segment_size, &replay, fault);
	if (code)
		return code;
	/* Only what a snapshot covers is ever dropped from the front. */
	if (r->snap.index && r->wal.count &&
	    r->cache.start > r->snap.index + 1)
		return fault_set(fault, BERTH_CORRUPT,
				 "the log begins at entry %" PRIu64
				 ", behind the end of snapshot %" PRIu64,
				 r->cache.start, r->snap.index);
	if (!log_counts(r)) {
		cache_reset(&r->cache, r->snap.index + 1);
		code = wal_reset(&r->wal, r->snap.index, r->snap.term);
		if (code)
			return fault_set(fault, code, "write log: %s",
					 berth_error_text(code));
	}
	if (r->snap.index && r->cache.start == 1 && !r->cache.count)
		cache_reset(&r->cache, r->snap.index + 1);
	entry = cache_find(&r->cache, r->cache.start);
	if (!r->snap.index && entry &&
	    (r->cache.start != 1 || entry->type != RAFT_CHANGE))
		return fault_set(fault, BERTH_CORRUPT,
				 "the log begins at entry %" PRIu64
				 " and there is no snapshot",
				 r->cache.start);
	return 0;
}

/* The last configuration, committed or not: it is in force (4.1 of Ongaro). */
static void latest_members(const struct replica *r, struct members *out)
{
	uint64_t index;

	*out = r->snap.members;
	for (index = cache_last(&r->cache); index >= r->cache.start; index--) {
		const struct log_entry *entry = cache_find(&r->cache, index);

		if (entry && entry->type == RAFT_CHANGE &&
		    members_decode(out, entry->data, entry->size))
			return;
	}
}

/* A process that was killed may have left term and vote written and not
 * synced: they count only when they are durable, as the log's tail does
 * (wal_open.c). The directory was synced with the identity. */
static int load_vote(struct replica *r, struct fault *fault)
{
	struct members members;
	int code = vote_open(&r->vote, &r->io->files, fault);

	if (code)
		return code;
	if (!r->vote.sequence)
		return fault_set(fault, BERTH_CORRUPT,
				 "vote: offset 0: neither slot is whole");
	code = vote_settle(&r->vote, &r->io->files);
	if (code)
		return fault_set(fault, code, "write term and vote: %s",
				 berth_error_text(code));
	latest_members(r, &members);
	if (!filter_start_needs_term(r, &members))
		return 0;
	code = vote_store(&r->vote, &r->io->files, r->vote.term + 1,
			  r->config.id);
	if (code)
		return fault_set(fault, code, "write term and vote: %s",
				 berth_error_text(code));
	return 0;
}

static int start(struct replica *r, struct fault *fault)
{
	uint64_t i;
	int code = check_identity(r, fault);

	if (!code)
		code = peers_load(&r->io->files, &r->peers, fault);
	if (!code)
		code = load_snapshot(r, fault);
	if (!code)
		code = load_log(r, fault);
	if (!code)
		code = load_vote(r, fault);
	if (code)
		return code;
	for (i = 0; i < r->cache.count; i++)
		r->log_bytes += WAL_RECORD_HEAD +
				cache_find(&r->cache, r->cache.start + i)->size;
	engine_now(r);
	code = engine_start(r, r->vote.term, r->vote.vote);
	if (code)
		return fault_set(fault, code, "start the core: %s",
				 berth_error_text(code));
	r->next_timeout_ms = r->now_ms; /* the first tick settles */
	return 0;
}

static void release(struct replica *r)
{
	lane_fini(r);
	link_fini(r);
	transfer_fini(r);
	if (r->started)
		raft_close(&r->raft, NULL);
	if (r->install_handle) {
		raft_free(r->install_handle);
		raft_configuration_close(&r->install_metadata.configuration);
	}
	cache_fini(&r->cache);
	wal_close(&r->wal);
	vote_close(&r->vote, &r->io->files);
	free(r->reads);
	free(r);
}

static void defaults(struct replica_config *config)
{
	if (!config->election_ms)
		config->election_ms = 500;
	if (!config->heartbeat_ms)
		config->heartbeat_ms = config->election_ms / 10;
	if (!config->snapshot_entries)
		config->snapshot_entries = 100000;
	if (!config->snapshot_bytes)
		config->snapshot_bytes = 256u << 20;
	if (!config->max_inflight)
		config->max_inflight = INFLIGHT_ENTRIES_MAX;
}

int replica_open(struct replica **out, const struct replica_config *config,
		 const struct replica_io *io,
		 const struct replica_machine *machine, struct fault *fault)
{
	struct replica *r = calloc(1, sizeof *r);
	int code;

	if (!r)
		return fault_set(fault, BERTH_NOMEM, "open: no memory");
	r->config = *config;
	defaults(&r->config);
	r->io = io;
	r->machine = machine;
	r->waiting_end = &r->waiting;
	r->held_end = &r->held;
	r->reads_new_end = &r->reads_new;
	r->nonce = io->random(io->ctx);
	r->tell_ms = UINT64_MAX;
	code = io->files.lock(io->files.ctx);
	if (code)
		fault_set(fault, code, code == BERTH_BUSY ?
			  "another process holds the directory" :
			  "lock the directory");
	else
		code = start(r, fault);
	if (code) {
		r->dead = true;
		release(r);
		return code;
	}
	*out = r;
	return 0;
}

/* --- running and closing ------------------------------------------------- */

uint64_t replica_next_ms(const struct replica *r)
{
	uint64_t next = r->next_timeout_ms, other;

	if (r->dead)
		return UINT64_MAX;
	other = lane_next_ms(r);
	if (other < next)
		next = other;
	if (r->tell_ms < next)
		next = r->tell_ms;
	other = member_next_ms(r);
	return other < next ? other : next;
}

static bool close_maybe(struct replica *r)
{
	void (*closed)(void *ctx) = r->closed;
	void *ctx = r->closed_ctx;

	if (!r->closing || r->jobs)
		return false;
	release(r);
	closed(ctx);
	return true;
}

void replica_tick(struct replica *r)
{
	int code;

	if (close_maybe(r) || r->dead)
		return;
	engine_now(r);
	r->settled = true;
	lane_tick(r);
	if (!r->dead && r->now_ms >= filter_next_timeout(r)) {
		r->last_timeout_ms = r->now_ms;
		code = filter_timeout(r);
		if (code)
			engine_fatal(r, code, "timeout: %s",
				     berth_error_text(code));
	}
	engine_settle(r);
}

void replica_close(struct replica *r, void (*closed)(void *ctx), void *ctx)
{
	bool leading = r->leading && !r->dead;

	r->closing = true;
	r->closed = closed;
	r->closed_ctx = ctx;
	r->leading = false;
	/* Who waits is told, after a fault as well. */
	read_lost(r);
	member_lost(r);
	if (leading)
		r->machine->leadership(r->machine->ctx, false,
				       r->leading_term);
	r->dead = true;
	close_maybe(r);
}

int replica_submit(struct replica *r, const void *data, size_t size,
		   bool urgent, uint64_t *index)
{
	uint32_t at;
	int code;

	if (!engine_is_leader(r) || !r->leading)
		return BERTH_NOTLEADER;
	if (size > REPLICA_ENTRY_SIZE_MAX)
		return BERTH_TOOBIG;
	if (r->stalled || r->transfer_to)
		return BERTH_BUSY;
	if (urgent ? r->inflight_urgent >= URGENT_ENTRIES_MAX :
		     r->inflight_count - r->inflight_urgent >=
				     INFLIGHT_ENTRIES_MAX ||
			     (r->inflight_size &&
			      r->inflight_size + size > INFLIGHT_BYTES_MAX))
		return BERTH_BUSY;
	engine_now(r);
	code = engine_append(r, RAFT_COMMAND, data, size, index);
	if (code)
		return code == BERTH_NOTLEADER ? BERTH_BUSY : code;
	at = (r->inflight_head + r->inflight_count) % COUNT_OF(r->inflight);
	r->inflight[at].index = *index;
	r->inflight[at].size = size;
	r->inflight[at].urgent = urgent;
	r->inflight_count++;
	r->inflight_size += size;
	r->inflight_urgent += urgent;
	r->next_timeout_ms = filter_next_timeout(r);
	r->io->wake(r->io->ctx);
	return 0;
}

static void member_status(const struct replica *r, struct replica_status *out,
			  uint32_t i)
{
	struct replica_member *member = &out->members[i];
	raft_index match = 0;
	uint32_t j;

	if (r->leading && raft_match_index(&r->raft, member->id, &match) == 0)
		out->match[i] = match;
	out->connected[i] = member->id == r->config.id;
	for (j = 0; j < PEERS_LINKED_MAX; j++)
		if (r->linked[j].id == member->id && r->linked[j].accepted)
			out->connected[i] = true;
	for (j = 0; j < r->peers.count; j++)
		if (r->peers.peers[j].id == member->id)
			memcpy(member->disk_id, r->peers.peers[j].disk_id, 16);
	if (member->id == r->config.id)
		memcpy(member->disk_id, r->identity.disk_id, 16);
}

static uint64_t leader_of(const struct replica *r)
{
	if (r->raft.state == RAFT_LEADER)
		return r->config.id;
	return r->raft.state == RAFT_FOLLOWER ?
		       r->raft.follower_state.current_leader.id :
		       0;
}

void replica_status(const struct replica *r, struct replica_status *out)
{
	struct members members;
	uint32_t i;

	memset(out, 0, sizeof *out);
	out->id = r->config.id;
	out->leader = leader_of(r);
	out->term = raft_current_term(&r->raft);
	out->commit = raft_commit_index(&r->raft);
	out->applied = r->applied;
	out->last = cache_last(&r->cache);
	out->stored = r->raft.last_stored;
	out->snapshot_index = r->snap.index;
	out->log_bytes = r->log_bytes;
	out->incarnation = r->identity.incarnation;
	memcpy(out->disk_id, r->identity.disk_id, 16);
	out->state = r->raft.state == RAFT_LEADER ? REPLICA_LEADER :
		     r->raft.state == RAFT_CANDIDATE ? REPLICA_CANDIDATE :
						       REPLICA_FOLLOWER;
	members_from_raft(&members, &r->raft.configuration);
	out->member_count = members.count;
	memcpy(out->members, members.list, sizeof out->members);
	for (i = 0; i < members.count; i++)
		member_status(r, out, i);
	out->installing = r->installing;
	out->snapshotting = r->snapping.busy;
	out->appended_entries = r->appended_entries;
	out->appended_bytes = r->appended_bytes;
	out->log_writes = r->log_writes;
	out->snapshots = r->snapshots;
	out->installs = r->installs;
	out->elections = r->elections;
}
