/* Taking snapshots of our own, and installing a leader's. */
#include "raft/internal.h"

#include <inttypes.h>
#include <stdlib.h>

/* --- taking -------------------------------------------------------------- */

struct sweep_job {
	struct replica_job job;
	struct replica *replica;
	uint64_t keep;
};

static int sweep_run(struct replica_job *job)
{
	struct sweep_job *sweeping = (struct sweep_job *)job;

	return snapshot_sweep(&sweeping->replica->io->files, sweeping->keep);
}

static void sweep_done(struct replica_job *job, int code)
{
	struct sweep_job *sweeping = (struct sweep_job *)job;
	struct replica *r = sweeping->replica;

	r->jobs--;
	if (code)
		engine_log(r, 4, "old snapshots could not be removed: %s",
			   berth_error_text(code));
	free(sweeping);
	replica_tick(r);
}

void sweep(struct replica *r)
{
	struct sweep_job *sweeping = calloc(1, sizeof *sweeping);
	uint64_t used = transfer_oldest(r);

	if (!sweeping)
		return;
	sweeping->job.run = sweep_run;
	sweeping->job.done = sweep_done;
	sweeping->replica = r;
	sweeping->keep = used < r->snap.index ? used : r->snap.index;
	transfer_obsolete(r, sweeping->keep);
	r->jobs++;
	r->io->submit_slow(r->io->ctx, &sweeping->job);
}

static int take_run(struct replica_job *job)
{
	struct snapshot_job *taking = (struct snapshot_job *)job;

	return snapshot_store(&taking->replica->io->files, &taking->meta,
			      taking->replica->machine, taking->view,
			      &taking->fault);
}

/* Everything below what the core still keeps goes. */
static void compact(struct replica *r)
{
	uint64_t first = r->raft.trail.offset + 1, index;

	for (index = r->cache.start; index < first; index++) {
		const struct log_entry *entry = cache_find(&r->cache, index);

		if (entry)
			r->log_bytes -= WAL_RECORD_HEAD + entry->size;
	}
	cache_drop(&r->cache, first);
	lane_drop(r, first);
	lane_kick(r);
}

static void taken(struct replica *r, const struct snapshot_meta *meta)
{
	struct raft_event event;
	int code;

	memset(&event, 0, sizeof event);
	event.type = RAFT_SNAPSHOT;
	event.snapshot.metadata.index = meta->index;
	event.snapshot.metadata.term = meta->term;
	event.snapshot.metadata.configuration_index = meta->conf_index;
	event.snapshot.trailing = r->config.trailing;
	code = members_to_raft(&meta->members,
			       &event.snapshot.metadata.configuration);
	if (!code)
		code = engine_event(r, &event);
	if (code) {
		engine_fatal(r, code, "snapshot %" PRIu64 ": %s", meta->index,
			     berth_error_text(code));
		return;
	}
	r->snap = *meta;
	r->snapshots++;
	compact(r);
	sweep(r);
}

static void take_done(struct replica_job *job, int code)
{
	struct snapshot_job *taking = (struct snapshot_job *)job;
	struct replica *r = taking->replica;

	r->jobs--;
	taking->busy = false;
	r->machine->snapshot_end(r->machine->ctx, taking->view);
	if (code && code != BERTH_CLOSED)
		engine_fatal_fault(r, &taking->fault);
	else if (!code && !r->dead && !taking->cancelled &&
		 taking->meta.index > r->snap.index)
		taken(r, &taking->meta);
	replica_tick(r);
}

/* The index must be durable here (1.3): applied may run ahead of the disk. */
void take_maybe(struct replica *r)
{
	struct snapshot_job *taking = &r->snapping;

	if (taking->busy || r->installing || r->closing ||
	    r->applied <= r->snap.index || r->applied > r->raft.last_stored ||
	    (r->entries_since_snap < r->config.snapshot_entries &&
	     r->bytes_since_snap < r->config.snapshot_bytes))
		return;
	taking->view = r->machine->snapshot_begin(r->machine->ctx);
	if (!taking->view)
		return;
	taking->meta.index = r->applied;
	taking->meta.term = engine_term_of(r, r->applied);
	taking->meta.conf_index = r->applied_conf_index;
	taking->meta.members = r->applied_members;
	taking->job.run = take_run;
	taking->job.done = take_done;
	taking->replica = r;
	taking->busy = true;
	taking->cancelled = false;
	r->entries_since_snap = r->bytes_since_snap = 0;
	r->jobs++;
	r->io->submit_slow(r->io->ctx, &taking->job);
}

/* One that is reported after an install has begun would make the core believe
 * in a snapshot of term 0. */
static void cancel(struct replica *r)
{
	if (r->snapping.busy)
		r->snapping.cancelled = true;
}

/* --- installing ---------------------------------------------------------- */

void install_begin(struct replica *r, struct raft_update *update)
{
	struct snapshot_meta meta = { 0 };

	r->install_metadata = update->snapshot.metadata;
	r->install_handle = update->snapshot.chunk.base;
	meta.index = update->snapshot.metadata.index;
	meta.term = update->snapshot.metadata.term;
	meta.conf_index = update->snapshot.metadata.configuration_index;
	members_from_raft(&meta.members,
			  &update->snapshot.metadata.configuration);
	r->installing = true;
	cache_reset(&r->cache, meta.index + 1);
	r->log_bytes = 0;
	cancel(r);
	lane_install(r, &meta);
}

void install_done(struct replica *r, struct log_op *op)
{
	struct snapshot_source source = { op->data, op->size };
	struct raft_event event;
	int code;

	code = r->machine->restore(r->machine->ctx, snapshot_source_read,
				   &source);
	if (code) {
		engine_fatal(r, code, "install snapshot %" PRIu64 ": %s",
			     op->meta.index, berth_error_text(code));
		return;
	}
	engine_restored(r, &op->meta);
	r->installing = false;
	r->installs++;
	raft_free(r->install_handle);
	r->install_handle = NULL;
	memset(&event, 0, sizeof event);
	event.type = RAFT_PERSISTED_SNAPSHOT;
	event.persisted_snapshot.metadata = r->install_metadata;
	event.persisted_snapshot.last = true;
	memset(&r->install_metadata, 0, sizeof r->install_metadata);
	transfer_consumed(r);
	code = engine_event(r, &event);
	if (code)
		engine_fatal(r, code, "install snapshot %" PRIu64 ": %s",
			     op->meta.index, berth_error_text(code));
	else
		sweep(r);
}
