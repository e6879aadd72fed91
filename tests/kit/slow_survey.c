/* Registrations (R15, R23), restores (R17), an operator's word (R16d). */
#include "tests/kit/slow_state.h"

/* When every CRN was asked, what is still in doubt is free. */
static void end_survey(struct slow *s)
{
	if (slow__survey_due(s))
		return;
	s->no_holds = false;
	for (uint32_t i = 0; i < s->program_count; i++) {
		struct slow_program *p = &s->programs[i];

		if (!p->lost && p->state != PROGRAM_LOST)
			continue;
		p->lost = false;
		p->touched = true;
		if (p->state == PROGRAM_LOST)
			p->state = PROGRAM_FREE;
	}
}

/* --- who may register ---------------------------------------------------- */

static enum crn_class class_of(const struct slow *s,
			       const struct command_register *m)
{
	if (m->watchdog == WATCHDOG_NONE && !s->config.watchdog_none_ok)
		return CRN_UNFENCED;
	return m->class;
}

/* R22: a class is what programs were given by. */
static bool class_fixed(const struct slow *s, const struct slow_crn *c)
{
	return c->registered &&
	       (c->alive || !c->surveyed || slow__holds_any(s, c));
}

static bool malformed(const struct command_register *m)
{
	static const uint8_t none[16];

	return hash_is_zero(&m->host) || hash_is_zero(&m->boot) ||
	       memcmp(m->nonce, none, 16) == 0;
}

static enum fsm_refusal may_register(struct slow *s, const struct slow_crn *c,
				     const struct command_register *m)
{
	enum crn_class class = class_of(s, m);

	if (m->gen != s->gen)
		return FSM_REFUSED_GEN;
	if (!c)
		return FSM_REFUSED_UNKNOWN_CRN;
	if (malformed(m))
		return FSM_REFUSED_MALFORMED;
	if (c->registered && memcmp(c->nonce, m->nonce, 16) == 0)
		return c->alive ? FSM_DUPLICATE : FSM_REFUSED_PREV;
	if (c->session != m->prev)
		return FSM_REFUSED_PREV;
	if (c->alive && !slow__same(&c->boot, &m->boot))
		return FSM_REFUSED_BOOT;
	if (m->class == CRN_FENCED && m->k_ms > s->config.k_ms)
		return FSM_REFUSED_K;
	if (class != c->class && class_fixed(s, c))
		return FSM_REFUSED_CLASS;
	return FSM_OK;
}

/* --- what held[] says ---------------------------------------------------- */

static const struct held_row *row_of(const struct command_register *m,
				     const struct slow_program *p)
{
	for (uint32_t i = 0; i < m->held_count; i++)
		if (slow__same(&m->held[i].program, &p->hash) &&
		    m->held[i].gen == p->gen && m->held[i].epoch == p->epoch)
			return &m->held[i];
	return NULL;
}

/* R23, in its order. */
static void settle_own(struct slow *s, const struct slow_crn *c,
		       const struct command_register *m)
{
	for (uint32_t i = 0; i < s->program_count; i++) {
		struct slow_program *p = &s->programs[i];

		if (!slow__on(p, c))
			continue;
		p->touched = true;
		if (!p->hold)
			slow__release(s, p);
		else if (!slow__same(&p->host, &m->host))
			continue;
		else if (row_of(m, p))
			p->session = s->stamp;
		else
			slow__release(s, p);
	}
}

/* Of a lineage the first that is told of goes on; the LOST ones tell nothing. */
static bool may_go_on(const struct slow *s, const struct slow_program *p)
{
	for (uint32_t i = 0; i < s->program_count; i++)
		if (&s->programs[i] != p && slow__placed(&s->programs[i]) &&
		    slow__same(&s->programs[i].lineage, &p->lineage))
			return false;
	return slow__wanted(p);
}

static void record(struct slow *s, struct slow_program *p,
		   const struct slow_crn *c, const struct command_register *m,
		   const struct held_row *row)
{
	p->touched = p->hold = true;
	p->lost = false;
	slow__set_changed(s, &p->crn);
	p->crn = c->hash;
	p->host = m->host;
	p->session = s->stamp;
	p->epoch = row->epoch;
	p->gen = row->gen;
	p->v_rev = 0;
	if (p->wish->has_data) {
		p->has_data_crn = true;
		p->data_crn = c->hash;
	}
	if (p->waiting && !hash_is_zero(&row->lineage))
		p->lineage = row->lineage;
	if (p->state != PROGRAM_REVOKING && may_go_on(s, p)) {
		p->state = PROGRAM_ASSIGNED;
	} else {
		p->state = PROGRAM_REVOKING;
		p->v_rev = s->stamp;
	}
}

static struct slow_program *unheard_of(struct slow *s,
				       const struct held_row *row)
{
	struct slow_program *p = slow__new_program(s, &row->program);

	p->lineage = hash_is_zero(&row->lineage) ? row->program : row->lineage;
	p->forgotten = p->superseded = true;
	return p;
}

static bool higher(const struct held_row *row, const struct slow_program *p)
{
	return row->gen != p->gen ? row->gen > p->gen : row->epoch > p->epoch;
}

/* Whether the row is a fact that the state did not know. */
static bool is_news(const struct slow_crn *c, const struct slow_program *p,
		    const struct held_row *row)
{
	if (!p || p->state == PROGRAM_FREE)
		return !c->surveyed;
	if (p->state == PROGRAM_LOST)
		return true;
	return p->lost && p->session != 0 && higher(row, p);
}

/* One row; false: it is left over. */
static bool take_row(struct slow *s, const struct slow_crn *c,
		     const struct command_register *m,
		     const struct held_row *row)
{
	struct slow_program *p = slow__program(s, &row->program);

	if (!row->running || row->gen == 0 || row->gen > s->gen ||
	    row->epoch == 0 || hash_is_zero(&row->program))
		return false;
	if (p && slow__on(p, c) && p->session == s->stamp &&
	    p->gen == row->gen && p->epoch == row->epoch)
		return true;
	if (!is_news(c, p, row))
		return false;
	if (!p)
		p = unheard_of(s, row);
	record(s, p, c, m, row);
	return true;
}

static bool take_rows(struct slow *s, const struct slow_crn *c,
		      const struct command_register *m)
{
	bool all = true;

	for (uint32_t i = 0; i < m->held_count; i++)
		all &= take_row(s, c, m, &m->held[i]);
	return all;
}

static void open_session(struct slow *s, struct slow_crn *c,
			 const struct command_register *m)
{
	c->session = c->changed = s->stamp;
	c->alive = c->registered = c->touched = true;
	c->established = c->reported = false;
	c->exp_ms = s->c_ms + s->config.ttl_s_ms;
	c->host = m->host;
	c->boot = m->boot;
	memcpy(c->nonce, m->nonce, 16);
	c->k_ms = m->k_ms;
	c->watchdog = m->watchdog;
	c->class = class_of(s, m);
	c->seq_seen = 0;
}

enum fsm_refusal slow__register(struct slow *s,
				const struct command_register *m)
{
	struct slow_crn *c = slow__crn(s, &m->crn);
	enum fsm_refusal refusal = may_register(s, c, m);
	bool all;

	if (refusal != FSM_OK)
		return refusal;
	settle_own(s, c, m);
	slow__sweep(s);
	all = !slow__survey_due(s) || take_rows(s, c, m);
	if (!c->surveyed && all && !hash_is_zero(&c->survey_host) &&
	    slow__same(&c->survey_host, &m->host))
		c->surveyed = true;
	open_session(s, c, m);
	end_survey(s);
	return FSM_OK;
}

/* --- restores ------------------------------------------------------------ */

static void question(struct slow *s, struct slow_crn *c)
{
	if (c->surveyed) {
		c->survey_host = c->host;
		c->survey_session = c->session;
	}
	c->surveyed = c->alive = c->established = false;
	c->changed = s->stamp;
	c->touched = true;
}

static void doubt(struct slow *s, struct slow_program *p, bool no_holds)
{
	const struct slow_crn *c = slow__crn(s, &p->crn);
	bool held = p->hold || p->wish->guarantee == GUARANTEE_HOLD ||
		    p->state == PROGRAM_LOST;

	p->touched = true;
	if (slow__placed(p) && c && c->session != p->session) {
		p->lost = true;
		return;
	}
	slow__release(s, p);
	p->state = no_holds && !held ? PROGRAM_FREE : PROGRAM_LOST;
}

enum fsm_refusal slow__new_gen(struct slow *s, const struct command_new_gen *m)
{
	if (m->gen != s->gen + 1)
		return FSM_REFUSED_GEN;
	for (uint32_t i = 0; i < s->program_count; i++)
		doubt(s, &s->programs[i], m->no_holds);
	s->gen = m->gen;
	s->no_holds = m->no_holds;
	s->quar_until_ms = s->c_ms + s->ttl_s_ever_ms;
	for (uint32_t i = 0; i < m->universe_count; i++)
		if (!hash_is_zero(&m->universe[i]) &&
		    !slow__crn(s, &m->universe[i]))
			(void)slow__new_crn(s, &m->universe[i]);
	for (uint32_t i = 0; i < s->crn_count; i++)
		question(s, &s->crns[i]);
	end_survey(s);
	return FSM_OK;
}

enum fsm_refusal slow__fence_confirm(struct slow *s,
				     const struct command_fence_confirm *m)
{
	struct slow_crn *c = slow__crn(s, &m->crn);
	bool restored, any = false;

	if (m->gen != s->gen)
		return FSM_REFUSED_GEN;
	if (!c)
		return FSM_REFUSED_UNKNOWN_CRN;
	restored = !c->surveyed && m->all_machines &&
		   m->session == c->survey_session;
	for (uint32_t i = 0; i < s->program_count; i++)
		any |= slow__on(&s->programs[i], c) &&
		       s->programs[i].session == m->session;
	if (!any && !restored && c->session != m->session)
		return FSM_REFUSED_SESSION;
	for (uint32_t i = 0; i < s->program_count; i++)
		if (slow__on(&s->programs[i], c) &&
		    s->programs[i].session == m->session)
			slow__release(s, &s->programs[i]);
	if (c->session == m->session) {
		c->alive = c->established = false;
		c->changed = s->stamp;
	}
	c->surveyed |= restored;
	c->touched = true;
	end_survey(s);
	return FSM_OK;
}
