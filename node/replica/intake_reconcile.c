/* The leader compares what the CCNs show with the state: programs that the
 * state does not know are put, newer code is told, and those that are gone are
 * confirmed and forgotten. The comparison runs in the pool on a view. */
#include <stdlib.h>

#include "node/lib/crypto.h"
#include "node/replica/intake_internal.h"

struct put_row {
	struct hash program;
	uint64_t time_ms;
	stamp_t epoch; /* to revoke for newer code; 0: none */
};

struct round {
	struct edge_view_job job;
	struct intake *intake;
	uint64_t now_ms;
	struct put_row puts[INTAKE_BATCH_MAX];
	uint32_t put_count;
	struct hash gone[INTAKE_CONFIRMS_MAX];
	uint32_t gone_count;
	bool more;
	/* Of the submit, one a command; zero for a Revoke. */
	struct hash subjects[2 * INTAKE_BATCH_MAX];
	uint32_t subject_count;
};

/* --- in the pool ---------------------------------------------------------- */

static void look_at_entry(struct round *round, const struct fsm_view *view,
			  const struct intake_entry *entry)
{
	struct put_row row = { entry->key, entry->put.time_ms, 0 };
	struct fsm_program p;
	slot_t slot;

	if (entry->kind != ENTRY_TAKEN || entry->retry_ms > round->now_ms ||
	    !intake_present(round->intake, entry))
		return;
	slot = fsm_program_find(view, &entry->key);
	if (slot != SLOT_NONE) {
		if (!fsm_program_read(view, slot, &p) || p.superseded ||
		    p.source != SOURCE_CCN ||
		    p.code_revision >= entry->put.code_revision)
			return;
		if (p.state == PROGRAM_ASSIGNED)
			row.epoch = p.epoch;
	}
	if (round->put_count < INTAKE_BATCH_MAX)
		round->puts[round->put_count++] = row;
	else
		round->more = true;
}

static void look_at_program(struct round *round, const struct fsm_program *p)
{
	const struct intake *intake = round->intake;

	if (p->source != SOURCE_CCN || p->superseded ||
	    !intake_absent(intake, intake_table_find(&intake->table, &p->hash)))
		return;
	if (round->gone_count < INTAKE_CONFIRMS_MAX)
		round->gone[round->gone_count++] = p->hash;
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
	const struct intake_entry *entry;
	struct fsm_program p;

	uv_mutex_lock(&table->mutex);
	for (uint32_t i = 0; i < table->bucket_count; i++)
		for (entry = table->buckets[i]; entry; entry = entry->next)
			look_at_entry(round, view, entry);
	for (slot_t i = 0; i < fsm_program_bound(view); i++)
		if (fsm_program_read(view, i, &p))
			look_at_program(round, &p);
	uv_mutex_unlock(&table->mutex);
	qsort(round->puts, round->put_count, sizeof round->puts[0], by_time);
}

/* --- on the loop ---------------------------------------------------------- */

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

static void add(struct round *round, struct edge_submit *s,
		const struct put_row *row)
{
	struct command put = { .type = FSM_PROGRAM_PUT };
	struct command revoke = { .type = FSM_REVOKE };
	const struct intake_entry *entry;

	entry = intake_table_find(&round->intake->table, &row->program);
	if (!entry || entry->kind != ENTRY_TAKEN)
		return;
	put.program_put = entry->put;
	edge_submit_add(s, &put);
	round->subjects[round->subject_count++] = row->program;
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
