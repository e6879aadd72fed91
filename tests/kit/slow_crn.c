/* CRNs, time, leases, assignments. */
#include "tests/kit/slow_state.h"

#include <stdlib.h>

struct slow_crn *slow__new_crn(struct slow *s, const struct hash *hash)
{
	struct slow_crn *c;

	if (s->crn_count == s->crn_room) {
		s->crn_room = s->crn_room * 2 + 16;
		s->crns = realloc(s->crns, s->crn_room * sizeof *s->crns);
		REQUIRE(s->crns);
	}
	c = &s->crns[s->crn_count++];
	memset(c, 0, sizeof *c);
	c->hash = *hash;
	c->surveyed = c->touched = true;
	return c;
}

bool slow__holds_any(const struct slow *s, const struct slow_crn *c)
{
	for (uint32_t i = 0; i < s->program_count; i++)
		if (slow__on(&s->programs[i], c))
			return true;
	return false;
}

/* What is placed there, orphans too. */
struct slow_use slow__use(const struct slow *s, const struct slow_crn *c)
{
	struct slow_use use = {0};

	for (uint32_t i = 0; i < s->program_count; i++) {
		const struct slow_program *p = &s->programs[i];

		if (!slow__on(p, c))
			continue;
		use.programs++;
		use.vcpus += p->wish->vcpus;
		use.memory_mib += p->wish->memory_mib;
		use.disk_mib += p->wish->disk_mib;
	}
	return use;
}

/* --- time ---------------------------------------------------------------- */

static void later(uint64_t *at, uint64_t ms)
{
	if (*at < ms)
		*at = ms;
}

/* R23: a stop is confirmed in the program's session. */
static void confirm(struct slow *s, const struct command_renewal *r)
{
	for (uint32_t i = 0; i < s->program_count; i++) {
		struct slow_program *p = &s->programs[i];

		if (p->state == PROGRAM_REVOKING &&
		    p->session == r->session && r->applied >= p->v_rev &&
		    slow__same(&p->crn, &r->crn))
			slow__release(s, p);
	}
}

static void renew(struct slow *s, const struct command_renewal *r)
{
	struct slow_crn *c;

	if (r->gen != s->gen)
		return;
	c = slow__crn(s, &r->crn);
	if (!c || !c->alive || c->session != r->session)
		return;
	later(&c->exp_ms, s->c_ms + s->config.ttl_s_ms);
	later(&c->seq_seen, r->seq);
	if (r->got_ack && !c->established)
		c->established = c->touched = true;
	confirm(s, r);
}

enum fsm_refusal slow__beat(struct slow *s, const struct command_beat *m)
{
	s->c_ms += m->dt_ms < s->config.dt_max_ms ? m->dt_ms
						  : s->config.dt_max_ms;
	for (uint32_t i = 0; i < m->renewal_count; i++)
		renew(s, &m->renewals[i]);
	return FSM_OK;
}

enum fsm_refusal slow__expire(struct slow *s, const struct command_expire *m)
{
	struct slow_crn *c = slow__crn(s, &m->crn);

	if (!c)
		return FSM_REFUSED_UNKNOWN_CRN;
	if (!c->alive || c->session != m->session)
		return FSM_REFUSED_SESSION;
	if (s->c_ms < c->exp_ms)
		return FSM_REFUSED_NOT_DUE;
	c->alive = c->established = false;
	c->changed = s->stamp;
	c->touched = true;
	for (uint32_t i = 0; i < s->program_count; i++) {
		struct slow_program *p = &s->programs[i];

		if (slow__on(p, c) && p->session == c->session && !p->hold)
			slow__release(s, p);
	}
	return FSM_OK;
}

/* --- what a CRN offers --------------------------------------------------- */

enum fsm_refusal slow__report(struct slow *s,
			      const struct command_crn_report *m)
{
	struct slow_crn *c = slow__crn(s, &m->crn);

	if (!c)
		return FSM_REFUSED_UNKNOWN_CRN;
	if (m->vcpus > SLOW_VCPUS || m->memory_mib > SLOW_MIB ||
	    m->disk_mib > SLOW_MIB)
		return FSM_REFUSED_MALFORMED;
	if (!c->alive || c->session != m->session)
		return FSM_REFUSED_SESSION;
	c->reported = c->touched = true;
	c->vcpus = m->vcpus;
	c->memory_mib = m->memory_mib;
	c->disk_mib = m->disk_mib;
	c->url = slow__text(&m->url);
	slow__tokens(&c->tokens, m->token_count, m->tokens);
	return FSM_OK;
}

enum fsm_refusal slow__crn_put(struct slow *s, const struct command_crn_put *m)
{
	struct slow_crn *c = slow__crn(s, &m->crn);
	struct slow_text name = slow__text(&m->name);
	struct slow_text owner = slow__text(&m->owner);

	if (hash_is_zero(&m->crn))
		return FSM_REFUSED_MALFORMED;
	if (c && c->linked == m->linked && slow__text_is(&c->name, &name) &&
	    slow__text_is(&c->owner, &owner))
		return FSM_DUPLICATE;
	if (!c && s->crn_count >= s->config.crns_max)
		return FSM_REFUSED_FULL;
	if (!c)
		c = slow__new_crn(s, &m->crn);
	c->touched = true;
	c->linked = m->linked;
	c->name = name;
	c->owner = owner;
	return FSM_OK;
}

/* A CRN that comes back under its old name is a new one. */
static void forgive(struct slow_program *p, const struct hash *crn)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < p->exclusion_count; i++)
		if (!slow__same(&p->exclusions[i].crn, crn))
			p->exclusions[kept++] = p->exclusions[i];
	p->exclusion_count = kept;
}

enum fsm_refusal slow__crn_remove(struct slow *s,
				  const struct command_crn_remove *m)
{
	struct slow_crn *c = slow__crn(s, &m->crn);

	if (!c)
		return FSM_REFUSED_UNKNOWN_CRN;
	if (c->alive || !c->surveyed || slow__holds_any(s, c))
		return FSM_REFUSED_STATE;
	for (uint32_t i = 0; i < s->program_count; i++)
		forgive(&s->programs[i], &m->crn);
	*c = s->crns[--s->crn_count];
	return FSM_OK;
}

/* --- assignments --------------------------------------------------------- */

static bool offers(const struct slow_crn *c, const struct slow_text *token)
{
	for (uint32_t i = 0; i < c->tokens.count; i++)
		if (slow__text_is(&c->tokens.token[i], token))
			return true;
	return false;
}

static bool offers_all(const struct slow_crn *c, const struct slow_tokens *t)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (!offers(c, &t->token[i]))
			return false;
	return true;
}

static bool fits(const struct slow *s, const struct slow_crn *c,
		 const struct slow_wish *w)
{
	struct slow_use use = slow__use(s, c);

	for (uint32_t i = 0; i < s->program_count; i++) {
		const struct slow_program *p = &s->programs[i];

		/* R17: a run of which only its CRN has ever told us. */
		if (slow__on(p, c) && p->state == PROGRAM_REVOKING &&
		    p->forgotten && p->wish->vcpus == 0 &&
		    p->wish->memory_mib == 0)
			return false;
	}
	return use.programs < FSM_CRN_PROGRAMS_MAX &&
	       use.vcpus + w->vcpus <= c->vcpus &&
	       use.memory_mib + w->memory_mib <= c->memory_mib &&
	       use.disk_mib + w->disk_mib <= c->disk_mib;
}

static bool pinned_elsewhere(const struct slow_program *p,
			     const struct slow_crn *c)
{
	const struct slow_wish *w = p->wish;

	if (w->has_node_pin && !slow__same(&w->node_pin, &c->hash))
		return true;
	return w->has_data && !w->move_without_data && p->has_data_crn &&
	       !slow__same(&p->data_crn, &c->hash);
}

bool slow__excluded(const struct slow *s, const struct slow_program *p,
		    const struct hash *crn)
{
	for (uint32_t i = 0; i < p->exclusion_count; i++)
		if (slow__same(&p->exclusions[i].crn, crn))
			return s->c_ms < p->exclusions[i].until_ms;
	return false;
}

static enum fsm_refusal program_ready(const struct slow *s,
				      const struct slow_program *p)
{
	if (p->state != PROGRAM_FREE)
		return FSM_REFUSED_NOT_FREE;
	if (p->superseded || p->waiting)
		return FSM_REFUSED_LINEAGE;
	if (!p->wish->persistent)
		return FSM_REFUSED_STATE;
	if (slow__lineage_busy(s, p))
		return FSM_REFUSED_LINEAGE;
	return s->c_ms < s->quar_until_ms ? FSM_REFUSED_QUARANTINE : FSM_OK;
}

static enum fsm_refusal crn_ready(const struct slow_crn *c, stamp_t session)
{
	if (c->session != session)
		return FSM_REFUSED_SESSION;
	if (!c->alive || !c->established || !c->reported)
		return FSM_REFUSED_NOT_ESTABLISHED;
	return c->linked ? FSM_OK : FSM_REFUSED_STATE;
}

static enum fsm_refusal match(const struct slow *s,
			      const struct slow_program *p,
			      const struct slow_crn *c)
{
	if (pinned_elsewhere(p, c))
		return FSM_REFUSED_PIN;
	if (!offers_all(c, &p->wish->tokens))
		return FSM_REFUSED_TOKENS;
	if (c->class == CRN_UNFENCED && !s->config.unfenced_hold_ok)
		return FSM_REFUSED_CLASS;
	if (!fits(s, c, p->wish))
		return FSM_REFUSED_CAPACITY;
	return slow__excluded(s, p, &c->hash) ? FSM_REFUSED_EXCLUDED : FSM_OK;
}

static void assign(struct slow *s, struct slow_program *p, struct slow_crn *c)
{
	p->state = PROGRAM_ASSIGNED;
	p->crn = c->hash;
	p->host = c->host;
	p->session = c->session;
	p->epoch = s->stamp;
	p->gen = s->gen;
	p->hold = p->wish->guarantee == GUARANTEE_HOLD ||
		  c->class == CRN_UNFENCED;
	if (p->wish->has_data) {
		p->has_data_crn = true;
		p->data_crn = c->hash;
	}
	c->changed = s->stamp;
	p->touched = c->touched = true;
}

enum fsm_refusal slow__assign(struct slow *s, const struct command_assign *m)
{
	struct slow_program *p = slow__program(s, &m->program);
	struct slow_crn *c = slow__crn(s, &m->crn);
	enum fsm_refusal refusal;

	if (!p)
		return FSM_REFUSED_UNKNOWN_PROGRAM;
	if (!c)
		return FSM_REFUSED_UNKNOWN_CRN;
	refusal = program_ready(s, p);
	if (refusal == FSM_OK)
		refusal = crn_ready(c, m->session);
	if (refusal == FSM_OK)
		refusal = match(s, p, c);
	if (refusal == FSM_OK)
		assign(s, p, c);
	return refusal;
}

/* The newest last; the oldest goes when there are too many. */
static void exclude(struct slow *s, struct slow_program *p)
{
	struct slow_exclusion *list = p->exclusions;

	forgive(p, &p->crn);
	if (p->exclusion_count == SLOW_EXCLUSIONS)
		memmove(list, list + 1, --p->exclusion_count * sizeof *list);
	list[p->exclusion_count].crn = p->crn;
	list[p->exclusion_count++].until_ms = s->c_ms + s->config.exclude_ms;
}

enum fsm_refusal slow__revoke_command(struct slow *s,
				      const struct command_revoke *m)
{
	struct slow_program *p = slow__program(s, &m->program);

	if (!p)
		return FSM_REFUSED_UNKNOWN_PROGRAM;
	if (p->state != PROGRAM_ASSIGNED)
		return FSM_REFUSED_STATE;
	if (p->epoch != m->epoch)
		return FSM_REFUSED_EPOCH;
	if (m->cause == REVOKE_START_FAILED)
		exclude(s, p);
	slow__revoke(s, p);
	return FSM_OK;
}

/* --- configuration ------------------------------------------------------- */

static uint64_t over(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

/* 2.5, each division rounded up. */
static uint64_t least_ttl_s(const struct fsm_config *m)
{
	uint64_t million = 1000000;
	uint64_t agent = over(m->ttl_a_ms * million, million - m->rho_ppm);

	return over((agent + m->k_ms) * (million + m->rho_ppm), million) + 20;
}

static bool sensible(const struct fsm_config *m)
{
	return m->heartbeat_ms > 0 && m->beat_ms > 0 && m->dt_max_ms > 0 &&
	       m->ttl_a_ms > m->heartbeat_ms && m->k_ms > 0 &&
	       m->programs_max > 0 && m->crns_max > 0 && m->rho_ppm <= 200000 &&
	       m->ttl_s_ms >= least_ttl_s(m);
}

static bool allowed(const struct slow *s, const struct fsm_config *m)
{
	if (m->k_ms > s->config.k_ms && m->ttl_s_ms <= s->config.ttl_s_ms)
		return false;
	for (uint32_t i = 0; i < s->crn_count; i++)
		if (s->crns[i].alive && s->crns[i].class == CRN_FENCED &&
		    s->crns[i].k_ms > m->k_ms)
			return false;
	return true;
}

/* An ack of an older Beat may carry the new ttl_a. One who has not renewed yet
 * counts by the old one, from a Register that no time travelled with. */
static void extend_all(struct slow *s, const struct fsm_config *m)
{
	for (uint32_t i = 0; i < s->crn_count; i++) {
		struct slow_crn *c = &s->crns[i];

		if (!c->alive)
			continue;
		later(&c->exp_ms, s->c_ms + m->ttl_s_ms);
		if (m->ttl_s_ms < s->config.ttl_s_ms)
			later(&c->exp_ms, s->c_ms + s->config.ttl_s_ms +
					  m->dt_max_ms);
		c->touched = true;
	}
}

enum fsm_refusal slow__config(struct slow *s, const struct fsm_config *m)
{
	if (!sensible(m) || (s->configured && !allowed(s, m)))
		return FSM_REFUSED_CONFIG;
	if (!s->configured)
		s->gen = 1;
	else
		extend_all(s, m);
	s->configured = true;
	s->config = *m;
	later(&s->ttl_s_ever_ms, m->ttl_s_ms);
	return FSM_OK;
}
