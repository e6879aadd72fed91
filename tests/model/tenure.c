/* The lease core of a machine, call by call. lease.md R9 to R15, R23. */
#include <string.h>

#include "tests/model/model.h"

static void nonce_forget(struct machine *m)
{
	if (IS(TWO_ADOPTIONS))
		return;
	m->nonce = m->bound = m->prev = m->register_age = 0;
	memset(m->held, 0, sizeof m->held);
}

static bool exclusive_lives(const struct machine *m)
{
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (executes(&m->runs[i]) && !m->runs[i].hold)
			return true;
	return false;
}

void tenure_end(struct machine *m)
{
	m->session = m->version = m->have = m->applied = m->left = 0;
	m->got_ack = m->set_taken = 0;
	memset(m->epoch, 0, sizeof m->epoch);
	memset(m->epoch_gen, 0, sizeof m->epoch_gen);
	memset(m->epoch_hold, 0, sizeof m->epoch_hold);
	nonce_forget(m);
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (m->runs[i].state == QUEUED && !IS(NO_GATE))
			memset(&m->runs[i], 0, sizeof m->runs[i]);
}

static void kill_exclusive(struct machine *m)
{
	for (unsigned i = 0; i < PROGRAMS; i++) {
		struct run *run = &m->runs[i];

		if (run->hold || !executes(run))
			continue;
		if (IS(RESPAWN))
			run->state = QUEUED;
		else
			memset(run, 0, sizeof *run);
	}
}

/* Ticks of real time; `counts`: the lease clock saw them as well. A3 is the
 * countdown `kill`: it needs no fencer to be alive. */
void tenure_tick(struct machine *m, num ticks, bool counts)
{
	bool dying = m->kill > 0, lease = m->left > 0;

	m->kill = less(m->kill, ticks);
	if (dying && m->kill == 0)
		kill_exclusive(m);
	if (!counts)
		return;
	if (m->bound)
		m->register_age = least((uint64_t)m->register_age + ticks,
					NO_ACK - 1);
	m->left = less(m->left, ticks);
	if (!lease || m->left > 0)
		return;
	if (!IS(FENCED_RESUMES))
		tenure_end(m);
	if (exclusive_lives(m))
		m->kill = (num)(opt->k + IS(KILL_SLOW));
}

/* --- registration ------------------------------------------------- */

bool tenure_hello(struct machine *m, num nonce)
{
	if (IS(FENCED_RESUMES) && m->left == 0)
		tenure_end(m);
	if (m->session != 0)
		return false;
	for (unsigned i = 0; i < PROGRAMS; i++) {
		const struct run *run = &m->runs[i];

		if (run->state != NONE && (!run->hold || run->state == QUEUED) &&
		    !IS(HELLO_ALIVE) && !IS(RESPAWN) && !IS(NO_GATE) &&
		    !IS(CRASH_ORPHANS))
			return false;
	}
	m->nonce = nonce;
	m->bound = m->prev = m->register_age = 0;
	for (unsigned i = 0; i < PROGRAMS; i++) {
		const struct run *run = &m->runs[i];

		m->held[i] = (struct held){ 0 };
		if (!executes(run) || !run->hold || IS(HELD_NOT_TOLD))
			continue;
		m->held[i] = (struct held){ run->state, run->gen, run->epoch };
	}
	return true;
}

bool tenure_challenge(struct machine *m, const struct challenge *c)
{
	if (m->session != 0 || m->nonce == 0 || m->nonce != c->nonce)
		return false;
	if ((m->bound && !IS(TWO_PREVS) && !IS(NONCE_GUARDS)) || c->gen < m->gen)
		return false;
	if (c->gen > m->gen)
		m->prev_max = 0;
	m->gen = c->gen;
	m->prev = c->session;
	m->prev_max = most(m->prev_max, c->session);
	if (!m->bound)
		m->register_age = 0;
	m->bound = 1;
	return true;
}

bool tenure_adopt(struct machine *m, const struct register_ack *a)
{
	num left;

	if (m->session != 0 || !m->bound)
		return false;
	if (m->nonce != a->nonce && !IS(NO_NONCE_TEST))
		return false;
	if (m->gen != a->gen && !IS(GEN_NOT_TESTED))
		return false;
	if (a->session <= m->prev_max && !IS(ADOPT_ANY) &&
	    !IS(NONCE_GUARDS) && !IS(NO_NONCE_TEST))
		return false;
	left = less(ttl_a(a->config), m->register_age);
	nonce_forget(m);
	if (left == 0)
		return true;
	m->session = a->session;
	m->version = IS(FIRST_VERSION) || IS(SESSION_AND_VERSION) ? 0
								  : a->session;
	m->left = left;
	m->applied = IS(APPLIED_SESSION) ? a->session : 0;
	for (unsigned i = 0; i < PROGRAMS; i++) {
		struct run *run = &m->runs[i];

		if (run->state == NONE)
			continue;
		if (!kept_has(&a->kept, i) && !IS(KEPT_NOT_KILLED))
			run->condemned = 1;
		if (!IS(KEPT_IS_SET) || run->condemned)
			continue;
		m->epoch[i] = run->epoch;
		m->epoch_gen[i] = run->gen;
		m->epoch_hold[i] = run->hold;
	}
	if (IS(KEPT_IS_SET)) {
		m->set_taken = 1;
		m->have = m->version;
	}
	return true;
}

/* --- heartbeats --------------------------------------------------- */

bool tenure_wanted(const struct machine *m, unsigned program)
{
	const struct run *run = &m->runs[program];

	if (run->condemned)
		return false;
	if (m->session == 0 || !m->set_taken)
		return run->hold;
	return m->epoch[program] == run->epoch &&
	       m->epoch_gen[program] == run->gen;
}

static void applied_settle(struct machine *m)
{
	if (m->session == 0 || !m->set_taken)
		return;
	for (unsigned i = 0; i < PROGRAMS; i++) {
		const struct run *run = &m->runs[i];

		if (run->state == NONE || IS(APPLIED_EARLY) ||
		    (run->state == QUEUED && IS(QUEUED_SURVIVES)))
			continue;
		if (!tenure_wanted(m, i))
			return;
	}
	m->applied = m->version;
}

bool tenure_mark(struct machine *m, struct heartbeat *out)
{
	if (m->session == 0 || m->left == 0)
		return false;
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (m->runs[i].condemned)
			return false;
	*out = (struct heartbeat){ .there = 1, .gen = m->gen,
				   .session = m->session,
				   .applied = m->applied,
				   .got_ack = m->got_ack };
	return true;
}

static void set_take(struct machine *m, const struct reply *r)
{
	if (r->version <= m->version && !IS(NO_VERSION_TEST))
		return;
	if (!r->full) {
		if (m->set_taken &&
		    (m->have == r->changed || IS(HAVE_NOT_TESTED))) {
			m->version = r->version;
			applied_settle(m);
		}
		return;
	}
	m->version = r->version;
	m->have = r->changed;
	m->set_taken = 1;
	memcpy(m->epoch, r->epoch, sizeof m->epoch);
	memcpy(m->epoch_gen, r->epoch_gen, sizeof m->epoch_gen);
	memcpy(m->epoch_hold, r->hold, sizeof m->epoch_hold);
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (m->runs[i].state == QUEUED && !tenure_wanted(m, i) &&
		    !IS(QUEUED_SURVIVES))
			memset(&m->runs[i], 0, sizeof m->runs[i]);
	applied_settle(m);
}

bool tenure_reply(struct machine *m, const struct reply *r)
{
	num age = IS(RECEIVE_TIME) ? 0 : r->ack;

	if (m->session == 0 || (m->left == 0 && !IS(FENCED_RESUMES)))
		return false;
	if (m->session != r->session && !IS(SESSION_AND_VERSION) &&
	    !IS(SESSION_NOT_TESTED))
		return false;
	if (m->gen != r->gen && !IS(GEN_NOT_TESTED))
		return false;
	if (r->ack != NO_ACK && m->session == r->session) {
		m->left = most(m->left, less(ttl_a(r->config), age));
		m->got_ack = 1;
	}
	set_take(m, r);
	return true;
}

/* --- runs --------------------------------------------------------- */

/* The gate and the creation are one step: what it lets through executes. */
bool tenure_gate(struct machine *m, unsigned program)
{
	struct run *run = &m->runs[program];
	bool two_steps = IS(NO_GATE) || IS(QUEUED_SURVIVES);

	if (m->session == 0 || m->left == 0 || !m->set_taken ||
	    m->epoch[program] == 0)
		return false;
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (m->runs[i].state != NONE &&
		    (i == program || same_lineage(i, program)))
			return false;
	*run = (struct run){ .state = two_steps ? QUEUED : LIVE,
			     .gen = m->epoch_gen[program],
			     .epoch = m->epoch[program],
			     .hold = m->epoch_hold[program] };
	return true;
}

void tenure_dead(struct machine *m, unsigned program)
{
	memset(&m->runs[program], 0, sizeof m->runs[program]);
	applied_settle(m);
}
