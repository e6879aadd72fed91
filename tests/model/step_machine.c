/* Steps of machines: tenure calls, crashes, reboots. */
#include <string.h>

#include "tests/model/step.h"

static bool mark(struct state *s, unsigned m)
{
	struct heartbeat h;

	if (!tenure_mark(&s->machines[m], &h))
		return false;
	PUT(s->nets[crn_of(m)].heartbeats, &h);
	TELL("%s: tenure_mark, a heartbeat (session %u, applied %u, got_ack "
	     "%u)", machine_name(m), h.session, h.applied, h.got_ack);
	return true;
}

/* R6 lets the leader answer late, from a later state with another ttl_a. */
static void answered_late(struct state *s, num crn, struct reply *r)
{
	const struct crn *c = &s->fsm.crns[crn];

	if (opt->config_ttl_a == 0 || r->config == s->fsm.config ||
	    !c->alive || c->session != r->session || choose(2) == 0)
		return;
	reply_fill(s, crn, r);
}

static bool reply(struct state *s, unsigned m)
{
	struct reply *slot =
		&s->nets[crn_of(m)].replies[choose(opt->slots)];
	struct reply r = *slot;

	if (!r.there)
		return false;
	if (!opt->keep || choose(2) == 0)
		memset(slot, 0, sizeof *slot);
	answered_late(s, crn_of(m), &r);
	if (!tenure_reply(&s->machines[m], &r))
		return false;
	TELL("%s: tenure_reply (session %u, version %u%s%s%s%s), %u left",
	     machine_name(m), r.session, r.version,
	     r.ack != NO_ACK ? ", acknowledges" : "",
	     r.full ? ", set {" : ", no set",
	     r.full && r.epoch[0] ? "p0" : "",
	     !r.full ? "" : r.epoch[1] ? " p1}" : "}", s->machines[m].left);
	return true;
}

static bool gate(struct state *s, unsigned m)
{
	unsigned p = choose(opt->programs);

	if (!tenure_gate(&s->machines[m], p))
		return false;
	TELL("%s: tenure_gate lets p%u (epoch %u) start", machine_name(m), p,
	     s->machines[m].runs[p].epoch);
	return true;
}

/* It ended by itself, was stopped, or was killed: verified dead. */
static bool dead(struct state *s, unsigned m)
{
	unsigned p = choose(opt->programs);

	if (!executes(&s->machines[m].runs[p]))
		return false;
	tenure_dead(&s->machines[m], p);
	TELL("%s: tenure_dead, p%u is verified dead", machine_name(m), p);
	return true;
}

static bool hello(struct state *s, unsigned m)
{
	if (!spend(s, B_HELLO) ||
	    !tenure_hello(&s->machines[m], canon_nonce(s)))
		return false;
	TELL("%s: tenure_hello%s%s", machine_name(m),
	     s->machines[m].held[0].state != NONE ? ", holds p0" : "",
	     s->machines[m].held[1].state != NONE ? ", holds p1" : "");
	return true;
}

/* The Register goes out with its own time at once. */
static bool challenged(struct state *s, unsigned m)
{
	struct machine *mm = &s->machines[m];
	struct net *n = &s->nets[crn_of(m)];
	struct challenge *slot = &n->challenges[choose(opt->slots)];
	struct challenge c = *slot;
	struct registration r = { .there = 1 };

	if (!c.there || !tenure_challenge(mm, &c))
		return false;
	memset(slot, 0, sizeof *slot);
	r.gen = mm->gen;
	r.nonce = mm->nonce;
	r.prev = mm->prev;
	r.boot = mm->boot;
	memcpy(r.held, mm->held, sizeof r.held);
	PUT(n->registrations, &r);
	TELL("%s: tenure_challenge, tenure_register_mark: Register{prev %u}",
	     machine_name(m), r.prev);
	return true;
}

static bool adopt(struct state *s, unsigned m)
{
	struct register_ack *slot =
		&s->nets[crn_of(m)].acks[choose(opt->slots)];
	struct register_ack a = *slot;

	if (!a.there)
		return false;
	if (!opt->keep || choose(2) == 0)
		memset(slot, 0, sizeof *slot);
	if (!tenure_adopt(&s->machines[m], &a))
		return false;
	TELL("%s: tenure_adopt, session %u, %u left", machine_name(m),
	     s->machines[m].session, s->machines[m].left);
	return true;
}

/* --- what befalls a machine --------------------------------------- */

/* The fencer's memory goes. Runs with hold = 0 die by their launcher's own
 * timer at the deadline it was last given; queued starts were not created. */
static void forget(struct machine *m)
{
	num kill = (num)(m->left + opt->k + IS(KILL_SLOW));

	if (m->session != 0 && m->kill == 0)
		m->kill = IS(CRASH_ORPHANS) ? 0 : kill;
	tenure_end(m);
	m->prev_max = m->gen = 0;
	for (unsigned i = 0; i < PROGRAMS; i++)
		m->runs[i].condemned = 0;
}

static bool crash(struct state *s, unsigned m)
{
	if (!spend(s, B_CRASH))
		return false;
	forget(&s->machines[m]);
	TELL("%s: the fencer crashes and starts again (tenure_init)",
	     machine_name(m));
	return true;
}

/* Another pid namespace: another boot of the same host; held runs cannot be
 * looked at from there. */
static bool container(struct state *s, unsigned m)
{
	struct machine *mm = &s->machines[m];

	if (!spend(s, B_CONTAINER))
		return false;
	forget(mm);
	mm->boot++;
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (mm->runs[i].state == LIVE && mm->runs[i].hold)
			mm->runs[i].state = UNKNOWN;
	TELL("%s: the fencer starts in another container: held runs are "
	     "unknown to it", machine_name(m));
	return true;
}

static void power(struct machine *m, bool off)
{
	num boot = m->boot;

	memset(m, 0, sizeof *m);
	m->boot = (num)(boot + !off);
	m->off = off;
}

static bool reboot(struct state *s, unsigned m)
{
	if (!s->machines[m].off && !spend(s, B_REBOOT))
		return false;
	TELL("%s: the machine %s", machine_name(m),
	     s->machines[m].off ? "is switched on again" : "reboots");
	power(&s->machines[m], false);
	return true;
}

static bool power_off(struct state *s, unsigned m)
{
	if (!spend(s, B_OFF))
		return false;
	power(&s->machines[m], true);
	TELL("%s: the machine loses power", machine_name(m));
	return true;
}

/* Its clock stands still meanwhile: outside A2, so only where nothing depends
 * on clocks, and as a mutant. */
static bool pause_host(struct state *s, unsigned m)
{
	struct machine *mm = &s->machines[m];

	if (!mm->paused && !IS(CLOCK_STOPS) &&
	    !(opt->guarantee[0] && (opt->programs < 2 || opt->guarantee[1])))
		return false;
	if (!mm->paused && !spend(s, B_PAUSE))
		return false;
	mm->paused ^= 1;
	TELL("%s: the host %s", machine_name(m),
	     mm->paused ? "is paused, its clock stands still" : "resumes");
	return true;
}

bool step_machine(struct state *s)
{
	unsigned m = choose(machines()), what = choose(12);

	if (s->machines[m].off && what != 7)
		return false;
	if (s->machines[m].paused && what != 11)
		return false;
	switch (what) {
	case 0:
		return mark(s, m);
	case 1:
		return reply(s, m);
	case 2:
		return gate(s, m);
	case 3:
		return dead(s, m);
	case 4:
		return hello(s, m);
	case 5:
		return challenged(s, m);
	case 6:
		return adopt(s, m);
	case 7:
		return reboot(s, m);
	case 8:
		return crash(s, m);
	case 9:
		return container(s, m);
	case 10:
		return power_off(s, m);
	default:
		return pause_host(s, m);
	}
}
