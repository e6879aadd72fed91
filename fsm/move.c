/* Moves of programs: Assign, Revoke, release. R8, R16, R20, R24, R25. */
#include "fsm/state.h"

static void remember(struct fsm *f, slot_t program, slot_t crn,
		     enum fsm_effect_type what, struct text reason)
{
	struct fsm_view *s = &f->state;
	struct program *p = &s->programs[program];
	struct move m = {
		.epoch = p->epoch, .stamp = f->stamp, .wall_ms = s->wall_ms,
		.what = (uint8_t)what,
	};

	/* `reason` may be a text of the pool, which taking may move. */
	m.reason = fsm__pool_take(&s->texts, reason.data, reason.size);
	m.crn = crn == SLOT_NONE ? 0 : fsm__hash_take(s, &s->crns[crn].hash);
	fsm__move_add(s, program, &m);
	p->since_wall_ms = s->wall_ms;
	fsm__touch_program(f, program);
	fsm__effect(f, what, program, crn, reason);
}

APPLY(assign, command_assign)
{
	struct fsm_view *s = &f->state;
	slot_t program = fsm_program_find(s, &c->program);
	slot_t crn = fsm_crn_find(s, &c->crn);
	enum fsm_refusal refusal;
	struct program *p;

	if (program == SLOT_NONE)
		return FSM_REFUSED_UNKNOWN_PROGRAM;
	if (crn == SLOT_NONE)
		return FSM_REFUSED_UNKNOWN_CRN;
	refusal = fsm__fit_program(s, program);
	if (refusal != FSM_OK)
		return refusal;
	if (s->crns[crn].session != c->session) /* R8 */
		return FSM_REFUSED_SESSION;
	refusal = fsm__fit_crn(s, program, crn, NULL, NULL);
	if (refusal != FSM_OK)
		return refusal;
	p = &s->programs[program];
	p->epoch = f->stamp; /* R8: the fencing token (R19) */
	p->gen = s->gen;
	p->session = c->session;
	p->v_rev = 0;
	p->lost = false;
	p->prefer_last = false;
	/* R23: the guarantee is copied to the epoch; an unfenced CRN can prove
	 * nothing by silence, so what runs there is always held. */
	p->hold = p->guarantee == GUARANTEE_HOLD ||
		  s->crns[crn].class == CRN_UNFENCED;
	fsm__hash_set(s, &p->host, &s->crns[crn].host);
	if (p->has_data) /* R25 */
		fsm__hash_set(s, &p->data_crn, &s->crns[crn].hash);
	fsm__crn_link(s, program, crn);
	fsm__set_state(s, program, PROGRAM_ASSIGNED);
	fsm__touch_desired(f, crn);
	remember(f, program, crn, EFFECT_ASSIGNED, fsm__text(""));
	return FSM_OK;
}

void fsm__revoke(struct fsm *f, slot_t program, struct text reason)
{
	struct fsm_view *s = &f->state;
	struct program *p = &s->programs[program];

	REQUIRE(p->state == PROGRAM_ASSIGNED);
	p->v_rev = f->stamp;
	fsm__set_state(s, program, PROGRAM_REVOKING); /* I7: keeps its CRN */
	fsm__touch_desired(f, p->crn);
	remember(f, program, p->crn, EFFECT_REVOKING, reason);
}

APPLY(revoke, command_revoke)
{
	struct fsm_view *s = &f->state;
	slot_t program = fsm_program_find(s, &c->program);
	struct program *p;

	if (program == SLOT_NONE)
		return FSM_REFUSED_UNKNOWN_PROGRAM;
	p = &s->programs[program];
	if (p->state != PROGRAM_ASSIGNED)
		return FSM_REFUSED_STATE;
	/* R24: a wish about another epoch is stale. (The generation cannot
	 * differ: a proposer of an older one has an older term.) */
	if (p->epoch != c->epoch)
		return FSM_REFUSED_EPOCH;
	if (c->cause == REVOKE_START_FAILED)
		fsm__exclusion_add(s, program, p->crn, &c->reason);
	p->prefer_last = c->cause == REVOKE_UPDATE;
	fsm__revoke(f, program, c->reason);
	return FSM_OK;
}

void fsm__release(struct fsm *f, slot_t program, struct text reason)
{
	struct fsm_view *s = &f->state;
	struct program *p = &s->programs[program];
	slot_t crn = p->crn;
	/* R17: while a survey is due the lost tail may have moved it. */
	bool lost = p->lost && s->unsurveyed_count > 0;

	REQUIRE(p->state == PROGRAM_ASSIGNED || p->state == PROGRAM_REVOKING);
	remember(f, program, crn, lost ? EFFECT_LOST : EFFECT_FREED, reason);
	fsm__crn_unlink(s, program);
	p->session = 0;
	p->v_rev = 0;
	p->hold = false;
	p->lost = false;
	fsm__set_state(s, program, lost ? PROGRAM_LOST : PROGRAM_FREE);
	fsm__touch_desired(f, crn);
	fsm__lineage_home(s, program);
	fsm__reap(f, program);
}
