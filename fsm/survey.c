/* After a restore: NewGen, and the survey of what still runs. R17 with holds. */
#include "fsm/state.h"

/* A LOST program may have been held when it was lost: a second restore does
 * not exempt it any more. */
static void lose(struct fsm *f, slot_t slot)
{
	struct fsm_view *s = &f->state;
	struct program *p = &s->programs[slot];
	slot_t crn = p->crn;
	bool exempt = s->no_holds && !p->hold && p->state != PROGRAM_LOST &&
		      p->guarantee == GUARANTEE_EXCLUSIVE;

	if (crn != SLOT_NONE)
		fsm__crn_unlink(s, slot);
	p->session = 0;
	p->v_rev = 0;
	p->hold = p->lost = false;
	fsm__lineage_home(s, slot);
	fsm__set_state(s, slot, exempt ? PROGRAM_FREE : PROGRAM_LOST);
	fsm__touch_program(f, slot);
	fsm__effect(f, exempt ? EFFECT_FREED : EFFECT_LOST, slot, crn,
		    fsm__text("restored from a backup"));
	fsm__reap(f, slot);
}

/* An orphan: held under a session that is not its CRN's (R23). */
static bool is_orphan(const struct fsm_view *s, const struct program *p)
{
	return p->crn != SLOT_NONE && p->session != s->crns[p->crn].session;
}

static void begin_survey(struct fsm *f, slot_t slot)
{
	struct crn *crn = &f->state.crns[slot];

	crn->alive = crn->established = false;
	if (crn->surveyed) { /* else: kept as it was */
		crn->surveyed = false;
		crn->survey_host = crn->host;
		crn->survey_session = crn->session;
		f->state.unsurveyed_count++;
	}
	fsm__touch_desired(f, slot);
}

/* A CRN that the backup does not know: its survey is the operator's. */
static void add_universe(struct fsm *f, const struct hash *hash)
{
	slot_t slot = fsm_crn_find(&f->state, hash);

	if (slot != SLOT_NONE || hash_is_zero(hash))
		return;
	slot = fsm__crn_new(&f->state, hash);
	fsm__effect(f, EFFECT_CRN_KNOWN, SLOT_NONE, slot,
		    fsm__text("named at the restore"));
	begin_survey(f, slot);
}

APPLY(new_gen, command_new_gen)
{
	struct fsm_view *s = &f->state;

	if (c->gen != s->gen + 1)
		return FSM_REFUSED_GEN;
	s->gen = c->gen;
	s->no_holds = c->no_holds;
	s->quar_until_ms = s->c_ms + s->ttl_s_max_ms;
	fsm__effect(f, EFFECT_NEW_GEN, SLOT_NONE, SLOT_NONE, c->who);
	for (slot_t i = 0; i < s->crn_bound; i++)
		if (s->crns[i].used)
			begin_survey(f, i);
	for (uint32_t i = 0; i < c->universe_count; i++)
		add_universe(f, &c->universe[i]);
	for (slot_t i = 0; i < s->program_bound; i++) {
		if (!s->programs[i].used)
			continue;
		if (is_orphan(s, &s->programs[i]))
			s->programs[i].lost = true;
		else
			lose(f, i);
	}
	fsm__survey_end(f);
	return FSM_OK;
}

void fsm__survey_end(struct fsm *f)
{
	struct fsm_view *s = &f->state;

	if (s->unsurveyed_count > 0)
		return;
	for (slot_t i = 0; i < s->program_bound; i++) {
		struct program *p = &s->programs[i];

		p->lost = false;
		if (!p->used || p->state != PROGRAM_LOST)
			continue;
		fsm__set_state(s, i, PROGRAM_FREE);
		fsm__touch_program(f, i);
		fsm__effect(f, EFFECT_FREED, i, SLOT_NONE,
			    fsm__text("every CRN was surveyed"));
		fsm__reap(f, i);
	}
}

/* --- held rows of a Register --------------------------------------------- */

static bool lineage_busy(const struct fsm_view *s, slot_t slot)
{
	for (slot_t m = s->programs[slot].lineage_next; m != slot;
	     m = s->programs[m].lineage_next)
		if (s->programs[m].state == PROGRAM_ASSIGNED ||
		    s->programs[m].state == PROGRAM_REVOKING)
			return true;
	return false;
}

/* A program that nobody told us of: it gets a record, is never wanted, and
 * goes as soon as it is proven stopped. */
static slot_t record_unknown(struct fsm *f, const struct held_row *row)
{
	struct fsm_view *s = &f->state;
	struct hash lineage = hash_is_zero(&row->lineage) ? row->program
							  : row->lineage;
	slot_t slot = fsm__program_new(s, &row->program, &lineage);

	s->programs[slot].forgotten = s->programs[slot].superseded = true;
	return slot;
}

/* The reported run is a fact: the record follows it. */
static void adopt(struct fsm *f, slot_t slot, slot_t crn,
		  const struct held_row *row, const struct hash *host)
{
	struct fsm_view *s = &f->state;
	struct program *p = &s->programs[slot];
	bool may_run;

	/* One that waits has no lineage of its own yet; what it was started
	 * with must block the others (R21). */
	if (p->waiting && !hash_is_zero(&row->lineage))
		fsm__lineage_move(s, slot, &row->lineage);
	may_run = fsm__wanted(p) && !lineage_busy(s, slot) &&
		  p->state != PROGRAM_REVOKING;

	if (p->crn != SLOT_NONE) {
		fsm__touch_desired(f, p->crn);
		fsm__crn_unlink(s, slot);
	}
	p->gen = row->gen;
	p->epoch = row->epoch;
	p->session = f->stamp;
	p->hold = true;
	p->lost = false;
	p->v_rev = may_run ? 0 : f->stamp;
	fsm__hash_set(s, &p->host, host);
	if (p->has_data)
		fsm__hash_set(s, &p->data_crn, &s->crns[crn].hash);
	fsm__crn_link(s, slot, crn);
	/* set_state counts by crn: leave the old state first. */
	if (p->state == PROGRAM_REVOKING)
		fsm__set_state(s, slot, PROGRAM_ASSIGNED);
	fsm__set_state(s, slot, may_run ? PROGRAM_ASSIGNED : PROGRAM_REVOKING);
	fsm__touch_program(f, slot);
	fsm__effect(f, EFFECT_ADOPTED, slot, crn,
		    fsm__text("found running after a restore"));
}

static bool epoch_higher(const struct held_row *row, const struct program *p)
{
	return row->gen != p->gen ? row->gen > p->gen : row->epoch > p->epoch;
}

static bool is_adopted(const struct fsm *f, const struct program *p, slot_t crn,
		       const struct held_row *row)
{
	return p->crn == crn && p->session == f->stamp &&
	       p->gen == row->gen && p->epoch == row->epoch;
}

static bool adoptable(const struct fsm_view *s, slot_t slot, slot_t crn,
		      const struct held_row *row)
{
	const struct program *p;

	/* From no generation that was: left over, so that nothing is freed. */
	if (row->gen == 0 || row->gen > s->gen || row->epoch == 0)
		return false;
	if (slot == SLOT_NONE)
		return !s->crns[crn].surveyed;
	p = &s->programs[slot];
	if (p->state == PROGRAM_LOST)
		return true;
	if (p->state == PROGRAM_FREE)
		return !s->crns[crn].surveyed;
	return p->lost && epoch_higher(row, p);
}

uint32_t fsm__survey_rows(struct fsm *f, slot_t crn,
			  const struct command_register *c)
{
	struct fsm_view *s = &f->state;
	uint32_t left = 0;

	for (uint32_t i = 0; i < c->held_count; i++) {
		const struct held_row *row = &c->held[i];
		slot_t slot = fsm_program_find(s, &row->program);

		/* An unknown row is not proven: not adopted, and it leaves
		 * the CRN unsurveyed. */
		if (!row->running) {
			left++;
			continue;
		}
		if (slot != SLOT_NONE &&
		    is_adopted(f, &s->programs[slot], crn, row))
			continue;
		if (hash_is_zero(&row->program) ||
		    !adoptable(s, slot, crn, row)) {
			left++;
			continue;
		}
		if (slot == SLOT_NONE)
			slot = record_unknown(f, row);
		adopt(f, slot, crn, row, &c->host);
	}
	return left;
}
