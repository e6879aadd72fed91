/* The log lane: term and vote, entries, installs and drops go to disk in the
 * order in which the core wanted them. One job is in flight; all that waits
 * meanwhile goes into the next one (group commit). Any failure stops the
 * replica before anything else is sent.
 */
#include "raft/internal.h"

#include <inttypes.h>
#include <stdlib.h>

static void op_free(struct log_op *op)
{
	uint32_t i;

	for (i = 0; i < op->count; i++)
		entry_give(op->entries[i]);
	free(op->entries);
	free(op->data);
	free(op);
}

static struct log_op *op_add(struct replica *r, enum log_op_kind kind)
{
	struct log_op *op = calloc(1, sizeof *op);

	if (!op) {
		engine_fatal(r, BERTH_NOMEM, "log: out of memory");
		return NULL;
	}
	op->kind = kind;
	*r->waiting_end = op;
	r->waiting_end = &op->next;
	return op;
}

void lane_vote(struct replica *r, uint64_t term, uint64_t vote)
{
	struct log_op *op = op_add(r, OP_VOTE);

	if (!op)
		return;
	op->term = term;
	op->vote = vote;
	r->votes_wanted++;
}

int lane_entries(struct replica *r, struct log_entry **entries, uint32_t count)
{
	struct log_op *op;
	uint32_t i;
	struct log_entry **list = malloc(count * sizeof *list);

	if (!list)
		return BERTH_NOMEM;
	op = op_add(r, OP_ENTRIES);
	if (!op) {
		free(list);
		return BERTH_NOMEM;
	}
	for (i = 0; i < count; i++) {
		list[i] = entry_take(entries[i]);
		r->log_bytes += WAL_RECORD_HEAD + entries[i]->size;
	}
	op->entries = list;
	op->count = count;
	op->first = entries[0]->index;
	op->last = entries[count - 1]->index;
	return 0;
}

void lane_install(struct replica *r, const struct snapshot_meta *meta)
{
	struct log_op *op = op_add(r, OP_INSTALL);

	if (op)
		op->meta = *meta;
}

void lane_drop(struct replica *r, uint64_t first)
{
	struct log_op *op = op_add(r, OP_DROP);

	if (op)
		op->first = first;
}

/* --- off the loop -------------------------------------------------------- */

static int put_entries(struct replica *r, const struct log_op *op)
{
	uint32_t i;
	int code = 0;

	for (i = 0; !code && i < op->count; i++)
		code = wal_put(&r->wal, op->entries[i]);
	return code;
}

/* The new snapshot is durable under its name before the old log is touched
 * (1.4); open finds out which of the two steps was reached. */
static int install(struct replica *r, struct log_op *op, struct fault *fault)
{
	const struct replica_files *f = &r->io->files;
	char name[SNAPSHOT_NAME_SIZE], staging[SNAPSHOT_NAME_SIZE];
	struct snapshot_meta meta;
	int code;

	snapshot_name(name, op->meta.index, op->meta.term);
	snapshot_staging_name(staging, op->meta.index, op->meta.term);
	code = f->rename(f->ctx, staging, name);
	if (!code)
		code = f->sync_directory(f->ctx);
	if (!code)
		code = wal_reset(&r->wal, op->meta.index, op->meta.term);
	if (code)
		return fault_set(fault, code, "install %s: %s", name,
				 berth_error_text(code));
	return snapshot_load(f, name, &meta, &op->data, &op->size, fault);
}

static int run_op(struct replica *r, struct log_op *op, struct fault *fault)
{
	const char *what = "log";
	int code = 0;

	if (op->kind == OP_ENTRIES)
		code = put_entries(r, op);
	/* Entries before anything else are on disk first. */
	if (!code && (op->kind != OP_ENTRIES || !op->next ||
		      op->next->kind != OP_ENTRIES))
		code = wal_sync(&r->wal);
	if (!code && op->kind == OP_VOTE) {
		what = "term and vote";
		code = vote_store(&r->vote, &r->io->files, op->term, op->vote);
	} else if (!code && op->kind == OP_INSTALL) {
		return install(r, op, fault);
	} else if (!code && op->kind == OP_DROP) {
		what = "dropping log segments";
		code = wal_drop(&r->wal, op->first);
	}
	if (code)
		return fault_set(fault, code, "write %s: %s", what,
				 berth_error_text(code));
	return 0;
}

static int run(struct replica_job *job)
{
	struct log_job *log = (struct log_job *)job;
	struct log_op *op;
	int code = 0;

	for (op = log->ops; op && !code; op = op->next)
		code = run_op(log->replica, op, &log->fault);
	return code;
}

/* --- on the loop --------------------------------------------------------- */

/* What a finished write made durable, less what a waiting one cuts: the same
 * index and term may be cut and written again, so the order decides. */
static uint64_t less_cuts(const struct log_op *op, uint64_t last)
{
	for (; op; op = op->next) {
		if (op->kind == OP_INSTALL)
			return 0;
		if (op->kind == OP_ENTRIES && op->first <= last)
			last = op->first - 1;
	}
	return last;
}

static uint64_t durable(const struct replica *r, uint64_t last)
{
	return less_cuts(r->waiting, less_cuts(r->writing.ops, last));
}

static void report(struct replica *r, uint64_t last)
{
	struct raft_event event;
	int code;

	if (r->installing || last <= r->raft.last_stored)
		return;
	/* The core does not take it as candidate. */
	if (raft_state(&r->raft) == RAFT_CANDIDATE) {
		r->postponed = last;
		return;
	}
	r->postponed = 0;
	memset(&event, 0, sizeof event);
	event.type = RAFT_PERSISTED_ENTRIES;
	event.persisted_entries.index = last;
	code = engine_event(r, &event);
	if (code && !r->dead)
		engine_fatal(r, code, "persisted %" PRIu64 ": %s", last,
			     berth_error_text(code));
}

void lane_report_postponed(struct replica *r)
{
	uint64_t last = r->postponed;

	if (!last || raft_state(&r->raft) == RAFT_CANDIDATE)
		return;
	r->postponed = 0;
	if (last > raft_last_index(&r->raft))
		last = raft_last_index(&r->raft);
	report(r, durable(r, last));
}

static void finish(struct replica *r, struct log_op *ops)
{
	struct log_op *op;
	uint64_t last = 0;

	while ((op = ops)) {
		ops = op->next;
		if (op->kind == OP_VOTE) {
			r->votes_durable++;
		} else if (op->kind == OP_ENTRIES) {
			last = op->last;
		} else if (op->kind == OP_INSTALL) {
			last = 0;
			install_done(r, op);
		}
		op_free(op);
	}
	if (r->dead)
		return;
	if (r->votes_durable == r->votes_wanted)
		link_release_held(r);
	if (last)
		report(r, durable(r, last));
}

static void done(struct replica_job *job, int code)
{
	struct log_job *log = (struct log_job *)job;
	struct replica *r = log->replica;
	struct log_op *ops = log->ops;

	log->busy = false;
	log->ops = NULL;
	r->jobs--;
	r->log_writes++;
	if (code || r->dead) {
		if (code)
			engine_fatal_fault(r, &log->fault);
		while (ops) {
			struct log_op *next = ops->next;

			op_free(ops);
			ops = next;
		}
		replica_tick(r);
		return;
	}
	finish(r, ops);
	lane_kick(r);
	engine_settle(r);
}

void lane_kick(struct replica *r)
{
	struct log_job *log = &r->writing;

	if (log->busy || !r->waiting || r->dead)
		return;
	log->job.run = run;
	log->job.done = done;
	log->replica = r;
	log->ops = r->waiting;
	log->busy = true;
	log->since_ms = r->now_ms;
	r->waiting = NULL;
	r->waiting_end = &r->waiting;
	r->jobs++;
	r->io->submit_log(r->io->ctx, &log->job);
}

/* A write that hangs: a leader hands over after two election time-outs, and
 * whoever it is stops after ten seconds. */
void lane_tick(struct replica *r)
{
	uint64_t gap = r->now_ms - r->ticked_ms, waited;

	/* We stood still ourselves (a stopped or moved machine): that is not
	 * the disk's time. */
	if (r->ticked_ms && gap > 4 * (uint64_t)r->config.election_ms)
		r->writing.since_ms += gap;
	if (r->writing.since_ms > r->now_ms)
		r->writing.since_ms = r->now_ms;
	r->ticked_ms = r->now_ms;
	if (!r->writing.busy) {
		r->stalled = false;
		return;
	}
	waited = r->now_ms - r->writing.since_ms;
	if (waited >= WRITE_HANG_MS) {
		engine_fatal(r, BERTH_TIMEOUT,
			     "a write to the log has not ended for %" PRIu64
			     " ms: the disk hangs",
			     waited);
		return;
	}
	r->stalled = waited >= 2 * (uint64_t)r->config.election_ms;
}

uint64_t lane_next_ms(const struct replica *r)
{
	uint64_t end = r->writing.since_ms + WRITE_HANG_MS;
	uint64_t from = r->writing.since_ms;

	if (!r->writing.busy)
		return UINT64_MAX;
	/* Often enough to tell a hanging disk from standing still. */
	if (r->stalled)
		from = r->ticked_ms;
	from += 2 * (uint64_t)r->config.election_ms;
	return from < end ? from : end;
}

void lane_fini(struct replica *r)
{
	while (r->waiting) {
		struct log_op *next = r->waiting->next;

		op_free(r->waiting);
		r->waiting = next;
	}
	r->waiting_end = &r->waiting;
}
