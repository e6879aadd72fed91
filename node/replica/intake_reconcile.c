/* The leader compares what the CCNs show with the state: programs that the
 * state does not know are put, newer code is told, and those that are gone are
 * confirmed and forgotten. The comparison runs in the pool on a view.
 *
 * A program whose `replaces` the state does not know waits (R21). If what it
 * replaces is known here, it is put first, as one that does not want to run;
 * else the CCNs are asked for it (intake_seek.c). Of one that was gone before
 * it was heard of only the sender is known, not what *it* replaced: see
 * owner_settled. */
#include <stdlib.h>
#include <strings.h>

#include "node/lib/crypto.h"
#include "node/replica/intake_internal.h"

struct put_row {
	struct hash program;
	uint64_t time_ms;
	stamp_t epoch; /* to revoke for newer code; 0: none */
	bool parent;   /* put only because another replaces it */
	bool gone;     /* and forgotten at once */
	bool root;     /* what it replaced is not known any more */
};

struct round {
	struct edge_view_job job;
	struct intake *intake;
	uint64_t now_ms;
	struct put_row puts[INTAKE_BATCH_MAX];
	uint32_t put_count;
	struct hash gone[INTAKE_CONFIRMS_MAX];
	uint32_t gone_count;
	struct seek_row seeks[INTAKE_SEEKS_MAX];
	uint32_t seek_count;
	bool more;
	/* Of the submit, one a command; zero for what needs no answer. */
	struct hash subjects[3 * INTAKE_BATCH_MAX];
	uint32_t subject_count;
};

/* --- in the pool: what is replaced ---------------------------------------- */

static bool shown_by(const struct intake *intake,
		     const struct intake_entry *entry, uint32_t ccn)
{
	uint32_t last = intake->ccns[ccn].complete[1];

	return last && entry && entry->seen[ccn] >= last;
}

/* Do the latest snapshots that show `child` (or all, if none does) show
 * `entry` as well? */
static bool shown_beside(const struct intake *intake,
			 const struct intake_entry *entry,
			 const struct intake_entry *child)
{
	bool listed = false, any = false;

	for (uint32_t i = 0; i < intake->ccn_count; i++)
		listed |= shown_by(intake, child, i);
	for (uint32_t i = 0; i < intake->ccn_count; i++) {
		if (!intake->ccns[i].complete[1] ||
		    (listed && !shown_by(intake, child, i)))
			continue;
		if (!shown_by(intake, entry, i))
			return false;
		any = true;
	}
	return any;
}

static bool may_run(const struct fsm_program *p)
{
	return p->state != PROGRAM_FREE || (p->persistent && !p->superseded);
}

/* A tomb does not say what it replaced: that may be a program of the same owner
 * which the state still has and the CCNs no longer list. Until each such one
 * is forgotten and stopped, the tomb's successor waits, else both could run.
 * Two whole snapshots are awaited, so that what was forgotten before the
 * successor came is seen to be gone. */
static bool owner_settled(const struct round *round,
			  const struct fsm_view *view,
			  const struct intake_entry *child)
{
	const struct intake *intake = round->intake;
	const struct text *owner = &child->put.owner;
	struct fsm_program p;

	if (!child->first ||
	    intake->ccns[child->first_ccn].complete[0] < child->first)
		return false;
	for (slot_t i = 0; i < fsm_program_bound(view); i++)
		if (fsm_program_read(view, i, &p) && p.source == SOURCE_CCN &&
		    may_run(&p) && !hash_equal(&p.hash, &child->key) &&
		    p.owner.size == owner->size &&
		    !strncasecmp(p.owner.data, owner->data, owner->size) &&
		    !shown_beside(intake, intake_table_find(&intake->table,
							    &p.hash), child))
			return false;
	return true;
}

static void seek(struct round *round, struct intake_entry *child)
{
	if (child->seek_ms > round->now_ms ||
	    round->seek_count >= INTAKE_SEEKS_MAX)
		return;
	child->seek_ms = round->now_ms + INTAKE_SEEK_MS;
	round->seeks[round->seek_count++] =
		(struct seek_row){ child->key, child->put.replaces };
}

static void add_row(struct round *round, const struct put_row *row)
{
	for (uint32_t i = 0; row->parent && i < round->put_count; i++)
		if (hash_equal(&round->puts[i].program, &row->program))
			return; /* of two that replace it */
	if (round->put_count < INTAKE_BATCH_MAX)
		round->puts[round->put_count++] = *row;
	else
		round->more = true;
}

/* Why what is gone cannot be put for `child` now; NULL: it can. What would be
 * refused or would wait is not put at all: it would be deleted at once, and
 * put again for ever. */
static const char *gone_waits(const struct round *round,
			      const struct fsm_view *view,
			      const struct intake_entry *child,
			      const struct intake_entry *parent, bool *root)
{
	const struct text *a = &child->put.owner, *b = &parent->put.owner;
	struct fsm_program p;
	slot_t slot = SLOT_NONE;

	if (a->size != b->size || memcmp(a->data, b->data, a->size))
		return "what it replaces is gone, and was another owner's";
	if (!parent->put.amendable)
		return "what it replaces is gone, and could not be amended";
	if (parent->put.has_replaces)
		slot = fsm_program_find(view, &parent->put.replaces);
	*root = slot == SLOT_NONE || !fsm_program_read(view, slot, &p);
	if (!*root && (p.forgotten || p.waiting_for_replaced))
		return "an earlier version of it is not settled yet";
	if (*root && !owner_settled(round, view, child))
		return "what it replaces is gone, and the owner's programs "
		       "that are gone as well must stop first";
	return NULL;
}

/* `child` replaces what the state does not know: how can it be known? One that
 * is gone is put when its successor waits in the state, or it would be deleted
 * before that comes. */
static void look_for_parent(struct round *round, const struct fsm_view *view,
			    struct intake_entry *child, bool waiting)
{
	const struct intake *intake = round->intake;
	const struct intake_entry *parent =
		intake_table_find(&intake->table, &child->put.replaces);
	struct put_row row = { .parent = true };
	const char *why = NULL;

	if (!parent || !parent->texts ||
	    (parent->kind == ENTRY_TAKEN && !intake_present(intake, parent))) {
		seek(round, child);
		return;
	}
	if (parent->kind == ENTRY_TAKEN || parent->retry_ms > round->now_ms)
		return; /* put for its own sake, or later */
	row.program = parent->key;
	row.time_ms = parent->put.time_ms;
	row.gone = parent->kind != ENTRY_SPARE;
	if (row.gone)
		why = gone_waits(round, view, child, parent, &row.root);
	if (why) {
		intake_entry_wait(child, why);
		return;
	}
	if (waiting || !row.gone)
		add_row(round, &row);
}

static bool knows(const struct fsm_view *view, const struct hash *program)
{
	return fsm_program_find(view, program) != SLOT_NONE;
}

/* --- in the pool: the comparison ------------------------------------------ */

static void look_at_entry(struct round *round, const struct fsm_view *view,
			  struct intake_entry *entry)
{
	struct put_row row = { .program = entry->key,
			       .time_ms = entry->put.time_ms };
	struct fsm_program p;
	slot_t slot;

	if (entry->kind != ENTRY_TAKEN || entry->retry_ms > round->now_ms ||
	    !intake_present(round->intake, entry))
		return;
	slot = fsm_program_find(view, &entry->key);
	if (slot == SLOT_NONE && entry->put.has_replaces &&
	    !knows(view, &entry->put.replaces))
		look_for_parent(round, view, entry, false);
	if (slot != SLOT_NONE) {
		if (!fsm_program_read(view, slot, &p) || p.superseded ||
		    p.source != SOURCE_CCN ||
		    p.code_revision >= entry->put.code_revision)
			return;
		if (p.state == PROGRAM_ASSIGNED)
			row.epoch = p.epoch;
	}
	add_row(round, &row);
}

static void look_at_waiting(struct round *round, const struct fsm_view *view,
			    const struct fsm_program *p)
{
	struct intake_entry *entry =
		intake_table_find(&round->intake->table, &p->hash);

	if (!entry || !entry->texts)
		return;
	if (p->waiting_for_replaced && !knows(view, &p->replaces))
		look_for_parent(round, view, entry, true);
	else if (!p->waiting_for_replaced)
		intake_entry_wait(entry, NULL);
}

/* Superseded ones too: their records are kept no longer than the message. */
static void look_at_program(struct round *round, const struct fsm_program *p)
{
	const struct intake *intake = round->intake;

	if (!intake_absent(intake, intake_table_find(&intake->table, &p->hash)))
		return;
	if (round->gone_count < INTAKE_CONFIRMS_MAX)
		round->gone[round->gone_count++] = p->hash;
}

/* Goes on where the last round ended: those that are absent and yet there do
 * not keep the others from being asked for. */
static void look_at_programs(struct round *round, const struct fsm_view *view)
{
	struct intake *intake = round->intake;
	slot_t bound = fsm_program_bound(view), slot;
	struct fsm_program p;

	for (slot_t i = 0; i < bound; i++) {
		slot = (slot_t)(((uint64_t)intake->gone_at + i) % bound);
		if (!fsm_program_read(view, slot, &p) || p.forgotten ||
		    p.source != SOURCE_CCN)
			continue;
		look_at_waiting(round, view, &p);
		look_at_program(round, &p);
		if (round->gone_count == INTAKE_CONFIRMS_MAX)
			break;
	}
	intake->gone_at = bound ? (slot_t)((uint64_t)slot + 1) % bound : 0;
}

static int by_time(const void *a, const void *b)
{
	const struct put_row *x = a, *y = b;

	if (x->time_ms != y->time_ms)
		return x->time_ms < y->time_ms ? -1 : 1;
	return hash_compare(&x->program, &y->program);
}

static void work(struct edge_view_job *job, const struct fsm_view *view)
{
	struct round *round = (struct round *)(void *)job;
	struct intake_table *table = &round->intake->table;
	struct intake_entry *entry;

	uv_mutex_lock(&table->mutex);
	for (uint32_t i = 0; i < table->bucket_count; i++)
		for (entry = table->buckets[i]; entry; entry = entry->next)
			look_at_entry(round, view, entry);
	look_at_programs(round, view);
	uv_mutex_unlock(&table->mutex);
	qsort(round->puts, round->put_count, sizeof round->puts[0], by_time);
}

/* --- on the loop ---------------------------------------------------------- */

static void sought(struct intake *intake, bool found)
{
	intake->seeking = false;
	if (found)
		intake_reconcile(intake);
}

static void confirmed(struct intake *intake)
{
	bool again = intake->again;

	intake->reconciling = false;
	intake->again = false;
	if (again)
		intake_reconcile(intake);
}

static void end(struct round *round)
{
	struct intake *intake = round->intake;

	intake->again |= round->more;
	if (round->seek_count && !intake->seeking && !intake->closing) {
		intake->seeking = true;
		intake_seek(intake, round->seeks, round->seek_count, sought);
	}
	if (round->gone_count && !intake->closing &&
	    edge_is_leader(intake->edge))
		intake_confirm(intake, round->gone, round->gone_count,
			       confirmed);
	else
		confirmed(intake);
	free(round);
}

/* A refusal is told once and tried again a minute later: the state may have
 * changed. */
static void refused(struct round *round, const struct hash *program,
		    enum fsm_refusal refusal)
{
	struct intake_table *table = &round->intake->table;
	struct intake_entry *entry;
	char text[65];
	bool told;

	uv_mutex_lock(&table->mutex);
	entry = intake_table_find(table, program);
	told = !entry || entry->retry_ms;
	if (entry)
		entry->retry_ms = uv_now(round->intake->edge->loop) +
				  INTAKE_RETRY_MS;
	hash_text(program, text);
	if (!told)
		intake_table_refuse(table, text, fsm_refusal_text(refusal));
	uv_mutex_unlock(&table->mutex);
}

static void submitted(struct edge_submit *s, int code)
{
	struct round *round = s->ctx;

	for (uint32_t i = 0; code == 0 && i < s->result_count; i++)
		if (s->results[i].refusal != FSM_OK &&
		    s->results[i].refusal != FSM_DUPLICATE &&
		    !hash_is_zero(&round->subjects[i]))
			refused(round, &round->subjects[i],
				s->results[i].refusal);
	if (code)
		round->more = false; /* the next poll comes soon enough */
	end(round);
}

static void forget(struct round *round, struct edge_submit *s,
		   const struct hash *program)
{
	struct command command = { .type = FSM_PROGRAM_FORGET };

	command.program_forget.program = *program;
	command.program_forget.reason = (struct text){ "was gone", 8 };
	edge_submit_add(s, &command);
	round->subjects[round->subject_count++] = (struct hash){ { 0 } };
}

static void add(struct round *round, struct edge_submit *s,
		const struct put_row *row)
{
	struct command put = { .type = FSM_PROGRAM_PUT };
	struct command revoke = { .type = FSM_REVOKE };
	const struct intake_entry *entry;

	entry = intake_table_find(&round->intake->table, &row->program);
	if (!entry || !entry->texts ||
	    (!row->parent && entry->kind != ENTRY_TAKEN))
		return;
	put.program_put = entry->put;
	if (row->parent)
		put.program_put.persistent = false;
	if (row->root)
		put.program_put.has_replaces = false;
	edge_submit_add(s, &put);
	round->subjects[round->subject_count++] = row->program;
	if (row->gone)
		forget(round, s, &row->program);
	if (!row->epoch)
		return;
	revoke.revoke = (struct command_revoke){
		.program = row->program, .epoch = row->epoch,
		.cause = REVOKE_UPDATE, .reason = { "newer code", 10 },
	};
	edge_submit_add(s, &revoke);
	round->subjects[round->subject_count++] = (struct hash){ { 0 } };
}

static void submit(struct round *round)
{
	struct intake_table *table = &round->intake->table;
	struct edge_submit *s = edge_submit_open(round->intake->edge);

	if (!s) {
		end(round);
		return;
	}
	s->ctx = round;
	s->done = submitted;
	uv_mutex_lock(&table->mutex);
	for (uint32_t i = 0; i < round->put_count; i++)
		add(round, s, &round->puts[i]);
	uv_mutex_unlock(&table->mutex);
	if (!s->count) {
		edge_submit_drop(s);
		end(round);
		return;
	}
	edge_submit_send(s);
}

static void compared(struct edge_view_job *job, int code)
{
	struct round *round = (struct round *)(void *)job;
	struct intake *intake = round->intake;

	if (code == 0 && round->put_count && !intake->closing &&
	    edge_is_leader(intake->edge))
		submit(round);
	else
		end(round);
}

void intake_reconcile(struct intake *intake)
{
	struct round *round;

	if (!edge_is_leader(intake->edge) || intake->closing)
		return;
	if (intake->reconciling) {
		intake->again = true;
		return;
	}
	round = calloc(1, sizeof *round);
	if (!round)
		return;
	intake->reconciling = true;
	round->intake = intake;
	round->now_ms = uv_now(intake->edge->loop);
	round->job.work = work;
	round->job.done = compared;
	edge_view(intake->edge, &round->job);
}
