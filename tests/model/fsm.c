/* The replicated state: what each command does at apply. lease.md 2.3, 2.6. */
#include "tests/model/model.h"

#ifndef MODEL_WIDE
num ttl_a(num config)
{
	return config ? opt->config_ttl_a : opt->ttl_a;
}

num ttl_s(num config)
{
	num ttl = config ? opt->config_ttl_s : opt->ttl_s;

	if (IS(K_LEFT_OUT))
		return (num)(ttl - opt->k);
	return IS(TTL_S_SHORT) ? (num)(ttl - 1) : ttl;
}

static num ttl_s_most(num config)
{
	(void)config; /* no configuration has both Config and NewGen */
	return ttl_s(0);
}

/* A command's own place on the line of stamps; the state after it has a
 * version between this stamp and the next. */
static num stamp(struct fsm *f)
{
	num own = (num)(f->version + 1);

	f->version = (num)(own + 1);
	return own;
}
#endif

static bool placed(const struct program *p)
{
	return p->state == ASSIGNED || p->state == REVOKING;
}

static bool all_surveyed(const struct fsm *f)
{
	for (unsigned c = 0; c < CRNS; c++)
		if (!f->crns[c].surveyed)
			return false;
	return true;
}

static void vacate(struct program *p, enum program_state state)
{
	p->state = (num)state;
	p->crn = p->session = p->gen = p->epoch = p->v_rev = 0;
	p->hold = p->host = p->lost = 0;
}

/* The epoch ends: I2 must be true from here on. */
static void release(struct fsm *f, struct program *p, num at)
{
	bool lost = p->lost && !all_surveyed(f);

	f->crns[p->crn].changed = at;
	vacate(p, lost ? LOST : FREE);
}

/* --- Beat --------------------------------------------------------- */

static void free_confirmed(struct fsm *f, num crn, const struct heartbeat *r)
{
	for (unsigned i = 0; i < PROGRAMS; i++) {
		struct program *p = &f->programs[i];

		if (p->state != REVOKING || p->crn != crn)
			continue;
		if (p->session != r->session && !IS(STOP_BY_CRN_SESSION))
			continue;
		if (r->applied >= p->v_rev)
			release(f, p, stamp(f));
	}
}

void fsm_renew(struct state *s, num crn, const struct heartbeat *r)
{
	struct crn *c = &s->fsm.crns[crn];

	if ((r->gen != s->fsm.gen && !IS(GEN_NOT_TESTED)) || !c->alive)
		return;
	if (c->session != r->session && !IS(RENEW_ANY_SESSION))
		return;
	c->exp_in = most(c->exp_in, ttl_s(s->fsm.config));
	if (r->got_ack)
		c->established = 1;
	free_confirmed(&s->fsm, crn, r);
}

static void advance(struct fsm *f, num dt)
{
	dt = least(dt, opt->dt_max);
	for (unsigned c = 0; c < CRNS; c++)
		f->crns[c].exp_in = less(f->crns[c].exp_in, dt);
	f->quar_in = less(f->quar_in, dt);
}

void fsm_beat(struct state *s, const struct beat *beat)
{
	if (!IS(RENEW_FIRST))
		advance(&s->fsm, beat->dt);
	for (num c = 0; c < CRNS; c++)
		if (beat->renewals[c].there)
			fsm_renew(s, c, &beat->renewals[c]);
	if (IS(RENEW_FIRST))
		advance(&s->fsm, beat->dt);
}

/* --- Expire, FenceConfirm ----------------------------------------- */

void fsm_expire(struct state *s, num crn)
{
	struct fsm *f = &s->fsm;
	struct crn *c = &f->crns[crn];
	num at = stamp(f);

	c->alive = c->established = c->exp_in = 0;
	c->changed = at;
	for (unsigned i = 0; i < PROGRAMS; i++) {
		struct program *p = &f->programs[i];
		bool hold = IS(GUARANTEE_NOW) ? p->guarantee : p->hold;

		if (placed(p) && p->crn == crn && p->session == c->session &&
		    (!hold || IS(HOLD_EXPIRES)))
			release(f, p, at);
	}
}

static void survey_end(struct fsm *f)
{
	if (!all_surveyed(f))
		return;
	for (unsigned i = 0; i < PROGRAMS; i++) {
		f->programs[i].lost = 0;
		if (f->programs[i].state == LOST)
			vacate(&f->programs[i], FREE);
	}
}

void fsm_fence_confirm(struct state *s, num crn, num session, bool all)
{
	struct fsm *f = &s->fsm;
	struct crn *c = &f->crns[crn];
	num at = stamp(f);

	if (c->session == session) {
		c->alive = c->established = c->exp_in = 0;
		c->changed = at;
	}
	for (unsigned i = 0; i < PROGRAMS; i++) {
		struct program *p = &f->programs[i];

		if (placed(p) && p->crn == crn &&
		    (p->session == session || IS(CONFIRM_ANY)))
			release(f, p, at);
	}
	if (all && !c->surveyed && c->survey_session == session) {
		c->surveyed = 1;
		survey_end(f);
	}
}

/* --- Register ----------------------------------------------------- */

static bool register_refused(const struct fsm *f, const struct crn *c,
			     const struct registration *r)
{
	if (r->gen != f->gen && !IS(GEN_NOT_TESTED))
		return true;
	if (r->prev != c->session && !IS(NO_PREV_TEST))
		return true;
	return c->alive && r->boot != c->boot && !IS(NO_BOOT_TEST);
}

static void settle_program(struct fsm *f, struct program *p,
			   const struct held *row, num host, num at)
{
	bool same_epoch = row->gen == p->gen && row->epoch == p->epoch;

	if (!p->hold)
		release(f, p, at);
	else if (p->host != host && !IS(HOST_NOT_TESTED))
		return; /* an orphan */
	else if (row->state != NONE && (same_epoch || IS(HELD_EPOCH)))
		p->session = at;
	else
		release(f, p, at);
}

static bool lineage_busy(const struct fsm *f, num program, bool any)
{
	for (unsigned i = 0; i < PROGRAMS; i++) {
		const struct program *other = &f->programs[i];

		if (i == program || !other->there || !same_lineage(i, (unsigned)program))
			continue;
		if (placed(other) || (any && other->state == LOST))
			return true;
	}
	return false;
}

static void adopt(struct fsm *f, unsigned i, num crn, const struct held *row,
		  num host, num at)
{
	struct program *p = &f->programs[i];
	bool may_run = p->there && !p->superseded && p->state != REVOKING &&
		       !lineage_busy(f, (num)i, false);

	if (placed(p))
		f->crns[p->crn].changed = at;
	p->state = may_run ? ASSIGNED : REVOKING;
	p->v_rev = may_run ? 0 : at;
	p->crn = crn;
	p->session = at;
	p->gen = row->gen;
	p->epoch = row->epoch;
	p->host = host;
	p->hold = 1;
	p->lost = 0;
}

static bool adoptable(const struct fsm *f, const struct program *p, num crn,
		      const struct held *row)
{
	if (row->state == UNKNOWN)
		return false;
	if (p->state == LOST)
		return true;
	if (p->state == FREE)
		return !f->crns[crn].surveyed;
	return p->lost && (row->gen > p->gen ||
			   (row->gen == p->gen && row->epoch > p->epoch));
}

static void survey(struct fsm *f, num crn, const struct registration *r, num at)
{
	num host = host_of(r->boot);
	struct crn *c = &f->crns[crn];
	unsigned left = 0;

	for (unsigned i = 0; i < PROGRAMS; i++) {
		const struct held *row = &r->held[i];
		struct program *p = &f->programs[i];

		if (row->state == NONE)
			continue;
		if (row->state == LIVE && placed(p) && p->crn == crn &&
		    p->session == at && p->epoch == row->epoch &&
		    p->gen == row->gen)
			continue;
		if (adoptable(f, p, crn, row))
			adopt(f, i, crn, row, host, at);
		else
			left++;
	}
	if (c->surveyed || (left > 0 && !IS(SURVEY_LEFT_OVER)))
		return;
	if (IS(SURVEY_NEW_HOST) || host == c->survey_host) {
		c->surveyed = 1;
		survey_end(f);
	}
}

bool fsm_register(struct state *s, num crn, const struct registration *r)
{
	struct fsm *f = &s->fsm;
	struct crn *c = &f->crns[crn];
	num at;

	if (r->nonce == c->nonce && !IS(NONCE_GUARDS))
		return c->alive && r->gen == f->gen;
	if (register_refused(f, c, r))
		return false;
	at = stamp(f);
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (placed(&f->programs[i]) && f->programs[i].crn == crn)
			settle_program(f, &f->programs[i], &r->held[i],
				       host_of(r->boot), at);
	c->session = c->changed = at;
	c->boot = r->boot;
	c->nonce = r->nonce;
	c->alive = 1;
	c->established = 0;
	c->exp_in = ttl_s(f->config);
	survey(f, crn, r, at);
	return true;
}

/* --- Assign, Revoke, ProgramPut, Config --------------------------- */

bool fsm_assign(struct state *s, num program, num crn)
{
	struct fsm *f = &s->fsm;
	struct program *p = &f->programs[program];
	struct crn *c = &f->crns[crn];

	if (!p->there || p->superseded || !c->alive || f->quar_in > 0)
		return false;
	if (p->state != FREE && !(IS(ASSIGN_NOT_FREE) && p->state == ASSIGNED))
		return false;
	if (!c->established && !IS(NO_ESTABLISHED))
		return false;
	if (lineage_busy(f, program, true) && !IS(LINEAGE_NOT_TESTED))
		return false;
	p->state = ASSIGNED;
	p->crn = crn;
	p->session = c->session;
	p->gen = f->gen;
	p->epoch = c->changed = stamp(f);
	p->v_rev = 0;
	p->hold = p->guarantee;
	p->host = host_of(c->boot);
	return true;
}

void fsm_revoke(struct state *s, num program)
{
	struct fsm *f = &s->fsm;
	struct program *p = &f->programs[program];
	num at = stamp(f);

	if (IS(REVOKE_FREES)) {
		release(f, p, at);
		return;
	}
	p->state = REVOKING;
	p->v_rev = f->crns[p->crn].changed = at;
}

/* While a restore is surveyed, one that the backup does not know may have been
 * assigned as held in the lost tail. */
void fsm_program_new(struct state *s, num program)
{
	struct program *p = &s->fsm.programs[program];
	bool exempt = opt->no_holds && !p->guarantee;

	if (p->state == FREE && !exempt && !all_surveyed(&s->fsm))
		p->state = LOST;
	p->there = 1;
}

void fsm_supersede(struct state *s, num program)
{
	struct program *p = &s->fsm.programs[program];

	p->superseded = 1;
	if (p->state == ASSIGNED && IS(SUPERSEDED_FREED))
		release(&s->fsm, p, stamp(&s->fsm));
	else if (p->state == ASSIGNED)
		fsm_revoke(s, program);
}

void fsm_config(struct state *s, num config)
{
	num floor = ttl_s(config), old = ttl_s(s->fsm.config);

	/* A session not renewed yet counts from its Register (R5). */
	if (floor < old)
		floor = (num)(old + opt->dt_max);
	s->fsm.config = config;
	for (unsigned c = 0; c < CRNS; c++) {
		struct crn *crn = &s->fsm.crns[c];

		if (crn->alive && !IS(CONFIG_NO_EXTEND))
			crn->exp_in = most(crn->exp_in, floor);
	}
}

/* --- NewGen ------------------------------------------------------- */

static void begin_survey(struct crn *c)
{
	c->alive = c->established = c->exp_in = 0;
	if (!c->surveyed)
		return;
	c->surveyed = 0;
	c->survey_host = host_of(c->boot);
	c->survey_session = c->session;
}

static void lose(struct fsm *f, struct program *p)
{
	bool orphan = placed(p) && p->session != f->crns[p->crn].session;
	bool exempt = opt->no_holds && !p->hold && !p->guarantee;

	if (orphan)
		p->lost = !IS(ORPHAN_NOT_LOST);
	else
		vacate(p, exempt || IS(RESTORE_FREES) ? FREE : LOST);
}

void fsm_new_gen(struct state *s)
{
	num gen = (num)(s->fsm.gen + 1);
	struct fsm *f = &s->fsm;
	num at;

	*f = s->backup;
	f->gen = gen;
	f->quar_in = IS(NO_QUARANTINE) ? 0 : ttl_s_most(f->config);
	at = stamp(f);
	for (unsigned c = 0; c < crns(); c++) {
		begin_survey(&f->crns[c]);
		f->crns[c].changed = at;
	}
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (f->programs[i].there)
			lose(f, &f->programs[i]);
	survey_end(f);
}

struct kept fsm_kept(const struct fsm *f, num crn)
{
	struct kept kept = { { 0 } };

	for (unsigned i = 0; i < PROGRAMS; i++)
		if (placed(&f->programs[i]) && f->programs[i].crn == crn &&
		    f->programs[i].session == f->crns[crn].session)
			kept.bits[i / 8] |= (num)(1u << i % 8);
	return kept;
}

bool fsm_wants(const struct fsm *f, num program, num crn)
{
	const struct program *p = &f->programs[program];

	return p->state == ASSIGNED && p->crn == crn &&
	       p->session == f->crns[crn].session;
}
