/* One vector for states that differ in names only.
 *
 * Dropped: messages that can have no effect any more, whatever follows, by
 * the very tests that their receivers make (so not with a mutant of such a
 * test). Renamed: stamps and nonces by their order, for
 * only their order is ever looked at.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/model.h"

static unsigned stamps[256], stamp_count, nonces[64], nonce_count;

#define AT(field) ((unsigned)offsetof(struct state, field))
#define STAMP(field) (stamps[stamp_count++] = AT(field))
#define NONCE(field) (nonces[nonce_count++] = AT(field))

static void name_fsm(void)
{
	STAMP(fsm.version);
	for (unsigned i = 0; i < CRNS; i++) {
		STAMP(fsm.crns[i].session);
		STAMP(fsm.crns[i].changed);
		STAMP(fsm.crns[i].survey_session);
		NONCE(fsm.crns[i].nonce);
		STAMP(leader.expire[i]);
	}
	STAMP(leader.confirm_session);
	for (unsigned i = 0; i < PROGRAMS; i++) {
		STAMP(fsm.programs[i].session);
		STAMP(fsm.programs[i].epoch);
		STAMP(fsm.programs[i].v_rev);
	}
	for (unsigned b = 0; b < BEATS_MAX; b++)
		for (unsigned i = 0; i < CRNS; i++) {
			STAMP(leader.beats[b].renewals[i].session);
			STAMP(leader.beats[b].renewals[i].applied);
		}
}

static void name_net(unsigned n, unsigned i)
{
	STAMP(nets[n].heartbeats[i].session);
	STAMP(nets[n].heartbeats[i].applied);
	STAMP(nets[n].replies[i].session);
	STAMP(nets[n].replies[i].version);
	STAMP(nets[n].replies[i].changed);
	STAMP(nets[n].challenges[i].session);
	NONCE(nets[n].challenges[i].nonce);
	STAMP(nets[n].registrations[i].prev);
	NONCE(nets[n].registrations[i].nonce);
	STAMP(nets[n].acks[i].session);
	NONCE(nets[n].acks[i].nonce);
	for (unsigned p = 0; p < PROGRAMS; p++) {
		STAMP(nets[n].replies[i].epoch[p]);
		STAMP(nets[n].registrations[i].held[p].epoch);
	}
}

static void name_machine(unsigned m)
{
	STAMP(machines[m].session);
	STAMP(machines[m].version);
	STAMP(machines[m].have);
	STAMP(machines[m].applied);
	STAMP(machines[m].prev_max);
	STAMP(machines[m].prev);
	NONCE(machines[m].nonce);
	for (unsigned p = 0; p < PROGRAMS; p++) {
		STAMP(machines[m].epoch[p]);
		STAMP(machines[m].held[p].epoch);
		STAMP(machines[m].runs[p].epoch);
	}
}

void canon_init(void)
{
	stamp_count = nonce_count = 0;
	name_fsm();
	for (unsigned n = 0; n < CRNS; n++)
		for (unsigned i = 0; i < SLOTS_MAX; i++)
			name_net(n, i);
	for (unsigned m = 0; m < MACHINES; m++)
		name_machine(m);
}

num canon_nonce(const struct state *s)
{
	num highest = 0;

	for (unsigned i = 0; i < nonce_count; i++)
		highest = most(highest, ((const num *)s)[nonces[i]]);
	return (num)(highest + 1);
}

static void rank(num *bytes, const unsigned *fields, unsigned count)
{
	num name[256] = { 0 };
	unsigned next = 1;

	for (unsigned i = 0; i < count; i++)
		name[bytes[fields[i]]] = 1;
	for (unsigned i = 1; i < 256; i++)
		if (name[i])
			name[i] = (num)next++;
	name[0] = 0;
	for (unsigned i = 0; i < count; i++)
		bytes[fields[i]] = name[bytes[fields[i]]];
}

void canon_rename(struct state *s)
{
	if (s->fsm.version > 240)
		abort();
	if (!opt->gens)
		rank((num *)s, stamps, stamp_count);
	rank((num *)s, nonces, nonce_count);
}

/* --- dead letters ------------------------------------------------- */

static const struct machine *bearer(const struct state *s, unsigned crn,
				    unsigned i)
{
	return crn_of(i) == crn ? &s->machines[i] : NULL;
}

static bool reply_counts(const struct state *s, unsigned crn,
			 const struct reply *r)
{
	for (unsigned i = 0; i < MACHINES; i++) {
		const struct machine *m = bearer(s, crn, i);

		if (!m || m->session != r->session || m->gen != r->gen ||
		    m->session == 0)
			continue;
		if (r->version > m->version || opt->config_ttl_a != 0)
			return true;
		if (r->ack != NO_ACK &&
		    (!m->got_ack || less(ttl_a(0), r->ack) > m->left))
			return true;
	}
	return false;
}

static bool renewal_counts(const struct state *s, unsigned crn,
			   const struct heartbeat *h)
{
	const struct crn *c = &s->fsm.crns[crn];

	return c->alive && h->gen == s->fsm.gen &&
	       (c->session == h->session || IS(RENEW_ANY_SESSION));
}

static bool challenge_counts(const struct state *s, unsigned crn,
			     const struct challenge *c)
{
	for (unsigned i = 0; i < MACHINES; i++) {
		const struct machine *m = bearer(s, crn, i);

		if (m && m->nonce == c->nonce && m->session == 0 &&
		    c->gen >= m->gen &&
		    (!m->bound || IS(TWO_PREVS) || IS(NONCE_GUARDS)))
			return true;
	}
	return false;
}

static bool nonce_waits(const struct state *s, unsigned crn, num nonce)
{
	for (unsigned i = 0; i < MACHINES; i++) {
		const struct machine *m = bearer(s, crn, i);

		if (!m)
			continue;
		if (IS(NO_NONCE_TEST) || (m->nonce == nonce && m->bound))
			return true;
	}
	return false;
}

static bool register_counts(const struct state *s, unsigned crn,
			    const struct registration *r)
{
	const struct crn *c = &s->fsm.crns[crn];

	if (r->gen != s->fsm.gen)
		return false;
	return r->nonce == c->nonce && !IS(NONCE_GUARDS)
		       ? c->alive && nonce_waits(s, crn, r->nonce)
				    : r->prev == c->session ||
					      IS(NO_PREV_TEST);
}

#define DROP_UNLESS(counts, message)                                  \
	do {                                                          \
		if ((message)->there && !(counts))                    \
			memset(message, 0, sizeof *(message));        \
	} while (0)

static void drop_dead(struct state *s, unsigned crn)
{
	struct net *n = &s->nets[crn];

	for (unsigned i = 0; i < opt->slots; i++) {
		DROP_UNLESS(reply_counts(s, crn, &n->replies[i]),
			    &n->replies[i]);
		DROP_UNLESS(renewal_counts(s, crn, &n->heartbeats[i]),
			    &n->heartbeats[i]);
		DROP_UNLESS(challenge_counts(s, crn, &n->challenges[i]),
			    &n->challenges[i]);
		DROP_UNLESS(register_counts(s, crn, &n->registrations[i]),
			    &n->registrations[i]);
		DROP_UNLESS(nonce_waits(s, crn, n->acks[i].nonce) &&
				    n->acks[i].gen == s->fsm.gen,
			    &n->acks[i]);
	}
	for (unsigned i = 0; i < BEATS_MAX; i++) {
		struct heartbeat *h = &s->leader.beats[i].renewals[crn];

		DROP_UNLESS(renewal_counts(s, crn, h), h);
	}
}

/* A nonce that nobody can bring any more is forgotten. */
static void drop_nonce(struct state *s, unsigned crn)
{
	num *nonce = &s->fsm.crns[crn].nonce;
	const struct net *n = &s->nets[crn];

	s->backup.crns[crn].nonce = 0;
	if (nonce_waits(s, crn, *nonce))
		return;
	for (unsigned i = 0; i < opt->slots; i++)
		if (n->registrations[i].there &&
		    n->registrations[i].nonce == *nonce)
			return;
	*nonce = 0;
}

/* --- the order of slots ------------------------------------------- */

static void sort(void *slots, unsigned size)
{
	num *a = slots, *b = a + size, spare[64];

	if (opt->slots < 2 || memcmp(a, b, size) >= 0)
		return;
	memcpy(spare, a, size);
	memcpy(a, b, size);
	memcpy(b, spare, size);
}

static void settle_machine(struct machine *m)
{
	bool dying = false;

	for (unsigned i = 0; i < PROGRAMS; i++)
		if (executes(&m->runs[i]) && !m->runs[i].hold)
			dying = true;
	if (!dying)
		m->kill = 0;
	m->prev = 0; /* it is in the Register */
	if (!opt->deltas)
		m->have = 0;
}

/* Mutants of the tests of old leases keep every message. */
static bool may_drop(void)
{
	return !IS(NO_VERSION_TEST) && !IS(VERSION_FORGOTTEN) &&
	       !IS(SESSION_AND_VERSION) && !IS(GEN_NOT_TESTED) &&
	       !IS(FIRST_VERSION) && !IS(SESSION_NOT_TESTED) &&
	       !IS(RECEIVE_TIME) && !IS(RESEND_REFRESHES) &&
	       !IS(FENCED_RESUMES) && !IS(HAVE_NOT_TESTED);
}

void canon_settle(struct state *s)
{
	for (unsigned m = 0; m < MACHINES; m++)
		settle_machine(&s->machines[m]);
	for (unsigned c = 0; c < CRNS; c++) {
		struct net *n = &s->nets[c];

		if (may_drop()) {
			drop_dead(s, c);
			drop_nonce(s, c);
		}
		if (!opt->deltas) {
			s->fsm.crns[c].changed = 0;
			for (unsigned i = 0; i < SLOTS_MAX; i++)
				n->replies[i].changed = 0;
		}
		sort(n->heartbeats, sizeof n->heartbeats[0]);
		sort(n->replies, sizeof n->replies[0]);
		sort(n->challenges, sizeof n->challenges[0]);
		sort(n->registrations, sizeof n->registrations[0]);
		sort(n->acks, sizeof n->acks[0]);
	}
}
