/* Leases: Beat, Register, Expire, FenceConfirm. R5, R7, R8, R15, R16, R23. */
#include "fsm/state.h"

/* Moves are walked while programs leave the list: the next is read before. */
#define EACH_PROGRAM(s, crn, p, next)                                      \
	for (slot_t p = (s)->crns[crn].program_first, next;                \
	     p != SLOT_NONE && (next = (s)->programs[p].crn_next, true);   \
	     p = next)

/* --- Beat ---------------------------------------------------------------- */

/* R16a, R23: proof that a revoked program stopped counts in the program's own
 * session only. */
static void free_confirmed(struct fsm *f, slot_t crn,
			   const struct command_renewal *r)
{
	struct fsm_view *s = &f->state;

	if (s->crns[crn].revoking_count == 0)
		return;
	EACH_PROGRAM(s, crn, i, next) {
		const struct program *p = &s->programs[i];

#ifdef MUTANT_unconfirmed
		if (p->state == PROGRAM_REVOKING)
			fsm__release(f, i, fsm__text("stopped"));
#endif
		if (p->state == PROGRAM_REVOKING && p->session == r->session &&
		    r->applied >= p->v_rev)
			fsm__release(f, i, fsm__text("stopped"));
	}
}

static void renew(struct fsm *f, const struct command_renewal *r)
{
	struct fsm_view *s = &f->state;
	slot_t slot = fsm_crn_find(s, &r->crn);
	struct crn *crn;

	if (r->gen != s->gen || slot == SLOT_NONE)
		return;
	crn = &s->crns[slot];
#ifdef MUTANT_renew_any
	r = &(struct command_renewal){ r->gen, r->crn, crn->session, r->seq,
				       r->applied, r->got_ack };
#endif
	/* R7: alive and of this session, tested here and nowhere else. */
	if (!crn->alive || crn->session != r->session)
		return;
	if (crn->exp_ms < s->c_ms + s->config.ttl_s_ms)
		crn->exp_ms = s->c_ms + s->config.ttl_s_ms; /* R2 */
	if (crn->seq_seen < r->seq)
		crn->seq_seen = r->seq;
#ifdef MUTANT_without_k
	crn->exp_ms = s->c_ms + s->config.ttl_s_ms - s->config.k_ms;
#endif
	if (r->got_ack && !crn->established) { /* R8 */
		crn->established = true;
		fsm__touch_crn(f, slot);
		fsm__effect(f, EFFECT_CRN_ESTABLISHED, SLOT_NONE, slot,
			    fsm__text(""));
	}
	free_confirmed(f, slot, r);
}

APPLY(beat, command_beat)
{
	struct fsm_view *s = &f->state;

	/* R5: first the time, then the renewals. H37, H38: the clamp. */
	s->c_ms += c->dt_ms < s->config.dt_max_ms ? c->dt_ms
						   : s->config.dt_max_ms;
	s->wall_ms = c->wall_ms;
	for (uint32_t i = 0; i < c->renewal_count; i++)
		renew(f, &c->renewals[i]);
	return FSM_OK;
}

/* --- Expire -------------------------------------------------------------- */

static void silence(struct fsm *f, slot_t slot)
{
	struct crn *crn = &f->state.crns[slot];

	crn->alive = false;
	crn->established = false;
	fsm__touch_desired(f, slot);
}

APPLY(expire, command_expire)
{
	struct fsm_view *s = &f->state;
	slot_t slot = fsm_crn_find(s, &c->crn);
	struct crn *crn;

	if (slot == SLOT_NONE)
		return FSM_REFUSED_UNKNOWN_CRN;
	crn = &s->crns[slot];
	if (!crn->alive || crn->session != c->session) /* R7 */
		return FSM_REFUSED_SESSION;
#ifndef MUTANT_not_due
	if (s->c_ms < crn->exp_ms) /* R7 */
		return FSM_REFUSED_NOT_DUE;
#endif
	silence(f, slot);
	fsm__effect(f, EFFECT_CRN_EXPIRED, SLOT_NONE, slot, fsm__text(""));
	EACH_PROGRAM(s, slot, i, next) {
		const struct program *p = &s->programs[i];

		if (p->session != c->session)
			continue;
#ifdef MUTANT_hold_expires
		fsm__release(f, i, fsm__text("the lease ran out"));
		continue;
#endif
		if (!p->hold) /* R23: the epoch's guarantee, not the program's */
			fsm__release(f, i, fsm__text("the lease ran out"));
		else
			fsm__effect(f, EFFECT_HELD, i, slot,
				    fsm__text("the CRN is silent"));
	}
	return FSM_OK;
}

/* --- FenceConfirm -------------------------------------------------------- */

/* R17: the operator saw all machines of the restored session off. */
static bool survey_by_hand(struct fsm *f, slot_t slot,
			   const struct command_fence_confirm *c)
{
	struct crn *crn = &f->state.crns[slot];

	if (crn->surveyed || !c->all_machines ||
	    c->session != crn->survey_session)
		return false;
	crn->surveyed = true;
	f->state.unsurveyed_count--;
	fsm__touch_crn(f, slot);
	return true;
}

APPLY(fence_confirm, command_fence_confirm)
{
	struct fsm_view *s = &f->state;
	slot_t slot = fsm_crn_find(s, &c->crn);
	bool any = false;

	if (c->gen != s->gen)
		return FSM_REFUSED_GEN;
	if (slot == SLOT_NONE)
		return FSM_REFUSED_UNKNOWN_CRN;
	any = s->crns[slot].session == c->session;
	EACH_PROGRAM(s, slot, i, next)
		any = any || s->programs[i].session == c->session;
	any = any || (!s->crns[slot].surveyed && c->all_machines &&
		      s->crns[slot].survey_session == c->session);
	if (!any)
		return FSM_REFUSED_SESSION;
	if (s->crns[slot].session == c->session)
		silence(f, slot);
	fsm__effect(f, EFFECT_CRN_FENCE_CONFIRMED, SLOT_NONE, slot, c->who);
	/* R16d, R23: only what belongs to the session that was seen off. */
	EACH_PROGRAM(s, slot, i, next)
#ifndef MUTANT_confirm_all
		if (s->programs[i].session == c->session)
#endif
			fsm__release(f, i, fsm__text("seen off by an operator"));
	if (survey_by_hand(f, slot, c))
		fsm__survey_end(f);
	return FSM_OK;
}

/* --- Register ------------------------------------------------------------ */

struct admission {
	enum crn_class class;
	struct text reason; /* why it is unfenced */
};

/* 2.6: K is in the state. A CRN without a watchdog counts as fenced only where
 * the configuration says so. */
static enum fsm_refusal admit(const struct fsm_view *s,
			      const struct command_register *c,
			      struct admission *out)
{
	*out = (struct admission){c->class, c->unfenced_reason};
	if (c->class == CRN_UNFENCED)
		return FSM_OK;
	if (c->k_ms > s->config.k_ms)
		return FSM_REFUSED_K;
	if (c->watchdog == WATCHDOG_NONE && !s->config.watchdog_none_ok)
		*out = (struct admission){CRN_UNFENCED,
					  fsm__text("it has no watchdog")};
	else
		out->reason = fsm__text("");
	return FSM_OK;
}

static enum fsm_refusal register_test(const struct fsm_view *s, slot_t slot,
				      const struct command_register *c,
				      struct admission *admission)
{
	static const uint8_t none[16];
	const struct crn *crn;
	enum fsm_refusal refusal;

	if (c->gen != s->gen)
		return FSM_REFUSED_GEN;
	if (slot == SLOT_NONE)
		return FSM_REFUSED_UNKNOWN_CRN;
	if (memcmp(c->nonce, none, sizeof none) == 0 ||
	    hash_is_zero(&c->boot) || hash_is_zero(&c->host))
		return FSM_REFUSED_MALFORMED;
	crn = &s->crns[slot];
	/* R15: one session a nonce; acknowledged again while it lives. */
	if (memcmp(c->nonce, crn->nonce, sizeof none) == 0)
		return crn->alive ? FSM_DUPLICATE : FSM_REFUSED_PREV;
#ifndef MUTANT_prev
	if (c->prev != crn->session) /* R15: compare and set */
		return FSM_REFUSED_PREV;
#endif
#ifndef MUTANT_boot
	if (crn->alive && !hash_equal(&c->boot, &crn->boot)) /* R15 */
		return FSM_REFUSED_BOOT;
#endif
	refusal = admit(s, c, admission);
	if (refusal != FSM_OK)
		return refusal;
	/* R22: a class changes only when nothing depends on the old one. */
	if (crn->session != 0 && admission->class != crn->class &&
	    (crn->alive || crn->program_count > 0 || !crn->surveyed))
		return FSM_REFUSED_CLASS;
	return FSM_OK;
}

/* Marks what the agent says that it still holds here, by the very epoch of the
 * record (R23). */
static void mark_held(struct fsm *f, slot_t slot,
			  const struct command_register *c, bool mark)
{
	struct fsm_view *s = &f->state;
	for (uint32_t i = 0; i < c->held_count; i++) {
		const struct held_row *row = &c->held[i];
		slot_t program = fsm_program_find(s, &row->program);
		struct program *p;

		if (program == SLOT_NONE)
			continue;
		p = &s->programs[program];
		if (p->crn != slot || !p->hold || p->gen != row->gen ||
		    p->epoch != row->epoch)
			continue;
		p->mark = mark;
	}
}

/* R23, in its order: not held: free. Another host: unchanged, an orphan. The
 * same host: kept if the agent still has it, else free. */
static void settle_programs(struct fsm *f, slot_t slot,
			    const struct command_register *c)
{
	struct fsm_view *s = &f->state;

	EACH_PROGRAM(s, slot, i, next) {
		struct program *p = &s->programs[i];

		if (!p->hold) {
			fsm__release(f, i, fsm__text("the CRN registered anew"));
#ifndef MUTANT_other_host
		} else if (!fsm__hash_is(s, p->host, &c->host)) {
			continue;
#endif
		} else if (p->mark) {
			p->session = f->stamp;
			fsm__touch_program(f, i);
			fsm__effect(f, EFFECT_ADOPTED, i, slot,
				    fsm__text("the CRN still has it"));
		} else {
			fsm__release(f, i,
				     fsm__text("the CRN has it no longer"));
		}
	}
}

static void open_session(struct fsm *f, slot_t slot,
			 const struct command_register *c,
			 const struct admission *admission)
{
	struct fsm_view *s = &f->state;
	struct crn *crn = &s->crns[slot];
	bool alternate = hash_equal(&c->boot, &crn->boot_before) &&
			 !hash_equal(&c->boot, &crn->boot);

	if (!hash_equal(&c->boot, &crn->boot))
		crn->boot_before = crn->boot;
	crn->session = f->stamp;
	crn->host = c->host;
	crn->boot = c->boot;
	memcpy(crn->nonce, c->nonce, sizeof crn->nonce);
	crn->gen = s->gen;
	crn->alive = true;
	crn->established = false;
	crn->reported = false;
	crn->seq_seen = 0;
	crn->exp_ms = s->c_ms + s->config.ttl_s_ms;
	crn->sticky_until_ms = s->c_ms + s->config.sticky_ms; /* R20 */
	crn->class = (uint8_t)admission->class;
	crn->watchdog = (uint8_t)c->watchdog;
	crn->k_ms = c->k_ms;
	fsm__text_set(s, &crn->unfenced_reason, &admission->reason);
	fsm__touch_desired(f, slot);
	fsm__effect(f, EFFECT_CRN_REGISTERED, SLOT_NONE, slot,
		    admission->reason);
	if (alternate)
		fsm__effect(f, EFFECT_CRN_ALARM, SLOT_NONE, slot,
			    fsm__text("two boots alternate: a copied machine?"));
}

APPLY(register, command_register)
{
	struct fsm_view *s = &f->state;
	slot_t slot = fsm_crn_find(s, &c->crn);
	struct admission admission;
	enum fsm_refusal refusal = register_test(s, slot, c, &admission);
	uint32_t left;
	struct crn *crn;

	if (refusal != FSM_OK)
		return refusal;
	mark_held(f, slot, c, true);
	settle_programs(f, slot, c);
	mark_held(f, slot, c, false);
	open_session(f, slot, c, &admission);
	left = fsm__survey_rows(f, slot, c);
	crn = &s->crns[slot];
	/* R17: compared with the host at NewGen, not with the one just set. */
	if (!crn->surveyed && left == 0 && !hash_is_zero(&crn->survey_host) &&
	    hash_equal(&c->host, &crn->survey_host)) {
		crn->surveyed = true;
		s->unsurveyed_count--;
		fsm__survey_end(f);
	}
	return FSM_OK;
}
