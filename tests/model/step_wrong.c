/* Steps that only a mutant can take. */
#include <string.h>

#include "tests/model/step.h"

/* R3 left out: a deposed leader's clock, in the new term's log. */
static bool zombie_beat(struct state *s)
{
	struct leader *l = &s->leader;
	unsigned at = 0;

	while (at < opt->beats && l->beats[at].there)
		at++;
	if (l->zombie == 0 || at == opt->beats)
		return false;
	l->beats[at] = (struct beat){ .there = 1, .dt = l->zombie };
	TELL("a Beat{dt %u} of the deposed leader is forwarded", l->zombie);
	l->zombie = 0;
	return true;
}

static bool renew_apart(struct state *s)
{
	num c = (num)choose(crns());
	struct heartbeat *slot = &s->nets[c].heartbeats[choose(opt->slots)];
	struct heartbeat h = *slot;

	if (!h.there)
		return false;
	memset(slot, 0, sizeof *slot);
	fsm_renew(s, c, &h);
	if (s->fsm.crns[c].alive && s->fsm.crns[c].session == h.session)
		reply_put(s, c, h.session, h.age);
	TELL("a renewal of CRN %c is committed by itself", 'A' + c);
	return true;
}

static bool join_batch(struct state *s)
{
	num c = (num)choose(crns());
	struct heartbeat *slot = &s->nets[c].heartbeats[choose(opt->slots)];
	struct heartbeat *into = &s->leader.beats[0].renewals[c];

	if (!slot->there || !s->leader.beats[0].there || into->there)
		return false;
	*into = *slot;
	memset(slot, 0, sizeof *slot);
	TELL("a heartbeat of CRN %c joins the batch after the clock was read",
	     'A' + c);
	return true;
}

static bool expire_late(struct state *s)
{
	num c = (num)choose(crns());
	struct crn *crn = &s->fsm.crns[c];
	num *proposed = &s->leader.expire[c];
	unsigned measured = s->leader.since;

	for (unsigned i = 0; i < BEATS_MAX; i++)
		measured += s->leader.beats[i].dt;
	if (*proposed == 0) {
		if (!crn->alive || crn->exp_in > measured)
			return false;
		*proposed = crn->session;
		TELL("the leader finds CRN %c due and proposes Expire",
		     'A' + c);
		return true;
	}
	if (crn->alive)
		fsm_expire(s, c);
	*proposed = 0;
	TELL("Expire{CRN %c} is applied without a test", 'A' + c);
	return true;
}

static bool started(struct state *s)
{
	unsigned m = choose(machines()), p = choose(opt->programs);
	struct run *run = &s->machines[m].runs[p];

	if (run->state != QUEUED || s->machines[m].off ||
	    s->machines[m].paused)
		return false;
	if (IS(QUEUED_SURVIVES) && s->machines[m].left == 0)
		return false;
	run->state = LIVE;
	TELL("%s: p%u (epoch %u) executes: %s", machine_name(m), p, run->epoch,
	     IS(RESPAWN) ? "something restarted it"
			 : "tenure_started, tested earlier");
	return true;
}

static bool resend(struct state *s)
{
	num c = (num)choose(crns());
	struct machine *m = &s->machines[c];

	if (m->session == 0 || m->left == 0)
		return false;
	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		struct heartbeat *h = &s->nets[c].heartbeats[i];
		struct reply *r = &s->nets[c].replies[i];

		if (h->there)
			h->age = 0;
		if (r->there && r->ack != NO_ACK)
			r->ack = 0;
	}
	for (unsigned i = 0; i < BEATS_MAX; i++)
		s->leader.beats[i].renewals[c].age = 0;
	TELL("%s: the heartbeat is sent again under its seq, t_send is now",
	     machine_name(c));
	return true;
}

static bool version_forgotten(struct state *s)
{
	unsigned m = choose(machines());

	if (s->machines[m].session == 0)
		return false;
	s->machines[m].version = 0;
	TELL("%s: the version is forgotten", machine_name(m));
	return true;
}

bool step_wrong(struct state *s)
{
	if (IS(FORWARDED))
		return zombie_beat(s);
	if (IS(SEPARATE_TICK))
		return renew_apart(s);
	if (IS(CLOCK_FIRST))
		return join_batch(s);
	if (IS(EXPIRE_AT_PROPOSE))
		return expire_late(s);
	if (IS(RESPAWN) || IS(NO_GATE) || IS(QUEUED_SURVIVES))
		return started(s);
	if (IS(RESEND_REFRESHES))
		return resend(s);
	return IS(VERSION_FORGOTTEN) && version_forgotten(s);
}
