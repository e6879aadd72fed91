/* The invariants of lease.md 2.4, as sentences about one state or a step. */
#include "tests/model/step.h"

static char sentence[256];

#define BROKEN(...) (snprintf(sentence, sizeof sentence, __VA_ARGS__), sentence)

static bool active(const struct state *s, unsigned m, unsigned p)
{
	return executes(&s->machines[m].runs[p]) && !s->machines[m].paused;
}

/* I1, over machines and over a lineage. */
static const char *check_once(const struct state *s)
{
	for (unsigned p = 0; p < PROGRAMS; p++)
		for (unsigned q = 0; q < PROGRAMS; q++) {
			if (q != p && !opt->lineage)
				continue;
			if (active(s, 0, p) && active(s, 1, q))
				return BROKEN("I1: p%u executes on %s while "
					      "p%u executes on %s", p,
					      machine_name(0), q,
					      machine_name(1));
			for (unsigned m = 0; m < MACHINES && q != p; m++)
				if (active(s, m, p) && active(s, m, q))
					return BROKEN("I1: both of a lineage "
						      "execute on %s",
						      machine_name(m));
		}
	return NULL;
}

/* May (p, epoch) execute on this machine, for all that the state knows? While
 * a restore is being surveyed it knows nothing of the lost tail. */
static bool named(const struct state *s, unsigned m, unsigned i, num gen,
		  num epoch)
{
	const struct program *p = &s->fsm.programs[i];

	if (p->state == LOST || p->lost)
		return true;
	if (p->state == FREE)
		return gen < s->fsm.gen && s->fsm.quar_in > 0;
	return p->crn == crn_of(m) && p->host == m + 1 && p->gen == gen &&
	       p->epoch == epoch;
}

/* I2 of every state: what executes, or may start, is what the state names. */
static const char *check_named(const struct state *s)
{
	for (unsigned m = 0; m < MACHINES; m++)
		for (unsigned p = 0; p < PROGRAMS; p++) {
			const struct machine *mm = &s->machines[m];
			const struct run *run = &mm->runs[p];

			if (executes(run) &&
			    !named(s, m, p, run->gen, run->epoch))
				return BROKEN("I2: %s executes p%u (epoch %u),"
					      " which the state has freed",
					      machine_name(m), p, run->epoch);
			if (mm->session != 0 && mm->left > 0 &&
			    mm->epoch[p] != 0 &&
			    !named(s, m, p, mm->epoch_gen[p], mm->epoch[p]))
				return BROKEN("I2: %s can start p%u (epoch "
					      "%u), which the state has freed",
					      machine_name(m), p, mm->epoch[p]);
		}
	return NULL;
}

/* Where the clock of a paused host stands still, only held programs run, and
 * nothing is said of leases. */
static bool clocks_run(void)
{
	return opt->budget[B_PAUSE] == 0 || !opt->guarantee[0];
}

/* I3: only from the first acknowledgement on; README.md says why. */
static const char *check_alive(const struct state *s)
{
	for (unsigned i = 0; i < MACHINES; i++) {
		const struct machine *m = &s->machines[i];
		const struct crn *c = &s->fsm.crns[crn_of(i)];

		if (m->session == 0 || m->left == 0 || !m->got_ack ||
		    m->gen != s->fsm.gen)
			continue;
		if (!c->alive || c->session != m->session)
			return BROKEN("I3: %s has a lease in session %u, which "
				      "is over", machine_name(i), m->session);
	}
	return NULL;
}

/* I4: what C lacks to exp, less what was measured already, is no less than
 * what the machine has left and the kill. */
static const char *check_margin(const struct state *s)
{
	unsigned measured = s->leader.since;

	for (unsigned b = 0; b < BEATS_MAX; b++)
		measured += s->leader.beats[b].dt;
	for (unsigned i = 0; i < MACHINES; i++) {
		const struct machine *m = &s->machines[i];
		const struct crn *c = &s->fsm.crns[crn_of(i)];

		if (m->session == 0 || !m->got_ack || opt->drift > 0 ||
		    m->paused || m->gen != s->fsm.gen ||
		    c->session != m->session)
			continue;
		if (c->exp_in < m->left + opt->k + measured)
			return BROKEN("I4: exp of %s comes in %u, its deadline "
				      "and kill in %u", machine_name(i),
				      less(c->exp_in, measured),
				      m->left + opt->k);
	}
	return NULL;
}

static const char *check_places(const struct state *s)
{
	for (unsigned i = 0; i < PROGRAMS; i++) {
		const struct program *p = &s->fsm.programs[i];
		bool placed = p->state == ASSIGNED || p->state == REVOKING;

		if (placed != (p->session != 0) || placed != (p->epoch != 0) ||
		    (p->state == REVOKING && p->v_rev == 0))
			return BROKEN("I7: the record of p%u is not in one "
				      "place", i);
		if (placed && p->gen == s->fsm.gen &&
		    p->session > s->fsm.crns[p->crn].session)
			return BROKEN("I7: p%u is in a session that its CRN "
				      "never had", i);
	}
	return NULL;
}

const char *check_state(const struct state *s, unsigned which)
{
	const char *broken = NULL;

	if (which & CHECK_I1)
		broken = check_once(s);
	if (!broken && which & CHECK_I2)
		broken = check_named(s);
	if (!broken && which & CHECK_I3 && clocks_run())
		broken = check_alive(s);
	if (!broken && which & CHECK_I4 && clocks_run())
		broken = check_margin(s);
	if (!broken && which & CHECK_I7)
		broken = check_places(s);
	return broken;
}

static bool epoch_below(const struct program *a, const struct program *b)
{
	return a->gen < b->gen || (a->gen == b->gen && a->epoch < b->epoch);
}

const char *check_pair(const struct state *a, const struct state *b,
		       unsigned which)
{
	if (!(which & CHECK_I6))
		return NULL;
	for (unsigned i = 0; i < MACHINES; i++) {
		const struct machine *m = &a->machines[i], *n = &b->machines[i];

		if (m->session != 0 && m->session == n->session &&
		    m->gen == n->gen && n->version < m->version)
			return BROKEN("I6: %s takes version %u after %u",
				      machine_name(i), n->version, m->version);
	}
	for (unsigned i = 0; i < CRNS && a->fsm.gen == b->fsm.gen; i++)
		if (b->fsm.crns[i].session < a->fsm.crns[i].session)
			return BROKEN("I6: session ids go back");
	for (unsigned i = 0; i < PROGRAMS; i++) {
		const struct program *p = &a->fsm.programs[i];
		const struct program *q = &b->fsm.programs[i];

		if (p->epoch != 0 && q->epoch != 0 && epoch_below(q, p) &&
		    a->fsm.gen == b->fsm.gen)
			return BROKEN("I6: the epochs of p%u go back", i);
	}
	return NULL;
}
