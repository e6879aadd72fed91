/* Starting the core: at open, and again in a term of its own. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/internal.h"

static int core_init(struct replica *r)
{
	snprintf(r->address, sizeof r->address, "%" PRIu64, r->config.id);
	if (raft_init(&r->raft, NULL, NULL, r->config.id, r->address))
		return BERTH_NOMEM;
	r->raft.tracer = NULL;
	raft_seed(&r->raft, (unsigned)r->io->random(r->io->ctx));
	raft_set_heartbeat_timeout(&r->raft, r->config.heartbeat_ms);
	raft_set_election_timeout(&r->raft, r->config.election_ms);
	raft_set_pre_vote(&r->raft, true);
	raft_set_max_inflight_entries(&r->raft, r->config.max_inflight);
	raft_set_capacity_threshold(&r->raft, 0);
	raft_set_max_catch_up_round_duration(&r->raft,
					     10 * r->config.election_ms);
	r->started = true;
	return 0;
}

/* The core keeps copies; entries of a start stay ours. */
static struct raft_entry *start_entries(struct replica *r, void **batch)
{
	size_t i, n = r->cache.count;
	struct raft_entry *list = calloc(n + 1, sizeof *list);

	*batch = malloc(8);
	for (i = 0; list && i < n; i++) {
		struct log_entry *entry =
			cache_find(&r->cache, r->cache.start + i);

		list[i].term = entry->term;
		list[i].type = entry->type;
		list[i].buf.base = entry->data;
		list[i].buf.len = entry->size;
		list[i].batch = *batch;
	}
	return list;
}

int engine_start(struct replica *r, uint64_t term, uint64_t vote)
{
	struct raft_snapshot_metadata metadata = { 0 };
	struct raft_event event;
	void *batch = NULL;
	int code = core_init(r);

	if (code)
		return code;
	memset(&event, 0, sizeof event);
	event.type = RAFT_START;
	event.start.term = term;
	event.start.voted_for = vote;
	if (r->snap.index) {
		metadata.index = r->snap.index;
		metadata.term = r->snap.term;
		metadata.configuration_index = r->snap.conf_index;
		code = members_to_raft(&r->snap.members,
				       &metadata.configuration);
		event.start.metadata = &metadata;
	}
	event.start.start_index = r->cache.start;
	event.start.entries = start_entries(r, &batch);
	event.start.n_entries = (unsigned)r->cache.count;
	if (!event.start.entries || !batch)
		code = BERTH_NOMEM;
	if (!code)
		code = engine_event(r, &event);
	if (code)
		return code; /* the core has freed what it was given */
	free(event.start.entries);
	free(batch);
	return 0;
}

/* T4's belt: through START again, in a term of its own. */
void engine_restart(struct replica *r)
{
	uint64_t term = raft_current_term(&r->raft) + 1;
	int code;

	raft_close(&r->raft, NULL);
	memset(&r->raft, 0, sizeof r->raft);
	lane_vote(r, term, r->config.id); /* holds what the start sends */
	code = engine_start(r, term, r->config.id);
	if (code) {
		engine_fatal(r, code, "restart the core: %s",
			     berth_error_text(code));
		return;
	}
	/* It takes the last change of the log for uncommitted. */
	if (r->applied_conf_index &&
	    r->raft.configuration_uncommitted_index == r->applied_conf_index)
		engine_tell_change(r, r->applied_conf_index);
	lane_kick(r);
}

void engine_restored(struct replica *r, const struct snapshot_meta *meta)
{
	r->snap = *meta;
	r->applied = meta->index;
	r->applied_members = meta->members;
	r->applied_conf_index = meta->conf_index;
	r->entries_since_snap = r->bytes_since_snap = 0;
}
