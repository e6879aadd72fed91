/* One step of the world: time, the leader, an operator, a machine. */
#include <string.h>

#include "tests/model/step.h"

char told[512];

const char *machine_name(unsigned machine)
{
	static const char *const apart[] = { "CRN A", "CRN B" };
	static const char *const copied[] = { "CRN A", "CRN A's copy" };

	return opt->clone ? copied[machine] : apart[machine];
}

void slot_put(void *slots, unsigned size, const void *message)
{
	num *slot = slots;
	unsigned lost;

	for (unsigned i = 0; i < opt->slots; i++)
		if (memcmp(slot + i * size, message, size) == 0)
			return;
	for (unsigned i = 0; i < opt->slots; i++) {
		if (slot[i * size] != 0)
			continue;
		memcpy(slot + i * size, message, size);
		return;
	}
	lost = choose(opt->slots + 1u);
	if (lost < opt->slots)
		memcpy(slot + lost * size, message, size);
}

bool spend(struct state *s, enum budget kind)
{
	if (s->leader.budget[kind] == 0)
		return false;
	s->leader.budget[kind]--;
	return true;
}

void reply_fill(const struct state *s, num crn, struct reply *r)
{
	const struct fsm *f = &s->fsm;

	r->config = f->config;
	r->version = f->version;
	r->changed = f->crns[crn].changed;
	if (!r->full)
		return;
	for (num i = 0; i < PROGRAMS; i++) {
		const struct program *p = &f->programs[i];
		bool in = fsm_wants(f, i, crn);

		r->epoch[i] = in ? p->epoch : 0;
		r->epoch_gen[i] = in ? p->gen : 0;
		r->hold[i] = in ? p->hold : 0;
	}
}

void reply_put(struct state *s, num crn, num session, num ack)
{
	struct reply r = { .there = 1, .gen = s->fsm.gen, .session = session,
			   .ack = ack };

	r.full = (num)(opt->deltas ? choose(2) : 1);
	reply_fill(s, crn, &r);
	PUT(s->nets[crn].replies, &r);
}

/* --- time --------------------------------------------------------- */

static num oldest(void)
{
	return most(opt->ttl_a, opt->config_ttl_a);
}

static void age(struct state *s, num crn)
{
	struct net *n = &s->nets[crn];

	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		struct heartbeat *h = &n->heartbeats[i];
		struct reply *r = &n->replies[i];

		if (h->there)
			h->age = least(h->age + 1u, oldest());
		if (r->there && r->ack != NO_ACK)
			r->ack = least(r->ack + 1u, oldest());
	}
	for (unsigned i = 0; i < BEATS_MAX; i++) {
		struct heartbeat *h = &s->leader.beats[i].renewals[crn];

		if (h->there)
			h->age = least(h->age + 1u, oldest());
	}
}

static void leader_tick(struct leader *l)
{
	unsigned ticks = 1;

	if (l->rest > 0) {
		l->rest--;
	} else if (opt->drift > 0 && choose(2) == 1) {
		l->rest = opt->drift;
		ticks = 2;
	}
	l->since = least(l->since + ticks, opt->dt_max);
	if (IS(FORWARDED))
		l->zombie = least(l->zombie + 1u, opt->dt_max);
}

static bool machine_tick(struct machine *m)
{
	bool counts = true;

	if (m->off || m->paused)
		return false;
	if (m->rest > 0) {
		m->rest--;
	} else if (opt->drift > 0 && choose(2) == 1) {
		m->rest = opt->drift;
		counts = false;
	}
	tenure_tick(m, 1, counts);
	return counts;
}

/* Where two machines bear one name their messages age alike: a machine that
 * is paused then only thinks them older than they are, which is safe. */
static bool step_tick(struct state *s)
{
	bool older[CRNS] = { false };

	leader_tick(&s->leader);
	for (unsigned m = 0; m < machines(); m++)
		if (machine_tick(&s->machines[m]))
			older[crn_of(m)] = true;
	for (num c = 0; c < crns(); c++)
		if (older[c])
			age(s, c);
	TELL("a tick passes%s",
	     s->leader.rest == opt->drift && opt->drift > 0
		     ? " (the leader's clock counts two)" : "");
	return true;
}

/* --- the world ---------------------------------------------------- */

bool model_step(struct state *s)
{
	switch (choose(mutant == M_NONE_AT_ALL ? 4 : 5)) {
	case 0:
		return step_tick(s);
	case 1:
		return step_leader(s);
	case 2:
		return step_machine(s);
	case 3:
		return step_operator(s);
	default:
		return step_wrong(s);
	}
}

static void machine_open(struct state *s, unsigned i)
{
	struct machine *m = &s->machines[i];
	struct crn *c = &s->fsm.crns[crn_of(i)];

	c->session = c->changed = m->session = (num)(s->fsm.version + 1);
	s->fsm.version = (num)(c->session + 1);
	c->alive = c->established = 1;
	c->boot = m->boot;
	c->exp_in = ttl_s(0);
	m->left = opt->ttl_a;
	m->version = s->fsm.version;
	m->got_ack = m->set_taken = 1;
	m->have = c->changed;
	m->applied = m->version;
}

static void program_run(struct state *s)
{
	struct program *p = &s->fsm.programs[0];
	struct machine *m = &s->machines[0];

	if (!fsm_assign(s, 0, 0))
		return;
	m->version = m->applied = s->fsm.version;
	m->have = s->fsm.crns[0].changed;
	m->set_taken = 1;
	m->epoch[0] = p->epoch;
	m->epoch_hold[0] = p->hold;
	m->runs[0] = (struct run){ .state = LIVE, .epoch = p->epoch,
				   .hold = p->hold };
}

static void run_on(struct state *s, unsigned m)
{
	struct machine *b = &s->machines[m];
	const struct program *p = &s->fsm.programs[0];

	b->version = b->applied = s->fsm.version;
	b->have = s->fsm.crns[crn_of(m)].changed;
	b->epoch[0] = p->epoch;
	b->epoch_hold[0] = p->hold;
	b->runs[0] = (struct run){ .state = LIVE, .hold = p->hold,
				   .epoch = p->epoch };
}

/* p0 was held on A; the copy took A's name; so far the backup. Then A was seen
 * off, p0 went to the copy, and A came back empty. */
static void orphan(struct state *s)
{
	struct machine *a = &s->machines[0], *copy = &s->machines[1];
	struct crn *c = &s->fsm.crns[0];

	*a = (struct machine){ .boot = (num)(a->boot + 1) };
	c->boot = copy->boot;
	c->session = c->changed = copy->session = (num)(s->fsm.version + 1);
	s->fsm.version = (num)(c->session + 1);
	s->backup = s->fsm;
	fsm_fence_confirm(s, 0, s->fsm.programs[0].session, false);
	if (!fsm_assign(s, 0, 0))
		return;
	copy->left = opt->ttl_a;
	copy->got_ack = copy->set_taken = 1;
	run_on(s, 1);
}

/* The backup has p0 on CRN A; in the lost tail it was revoked there and went
 * to CRN B. */
static void moved(struct state *s)
{
	struct machine *a = &s->machines[0];
	struct heartbeat h = { .there = 1 };

	s->backup = s->fsm;
	fsm_revoke(s, 0);
	a->version = a->applied = s->fsm.version;
	a->epoch[0] = a->epoch_hold[0] = 0;
	a->runs[0] = (struct run){ 0 };
	h.session = a->session;
	h.applied = a->applied;
	fsm_renew(s, 0, &h);
	if (fsm_assign(s, 0, 1))
		run_on(s, 1);
}

void model_start(struct state *s)
{
	memset(s, 0, sizeof *s);
	s->fsm.version = 1;
	memcpy(s->leader.budget, opt->budget, sizeof opt->budget);
	for (unsigned i = 0; i < MACHINES; i++)
		s->machines[i].boot = (num)(i * 4 + 1);
	for (unsigned c = 0; c < CRNS; c++)
		s->fsm.crns[c].surveyed = 1;
	for (unsigned i = 0; i < opt->programs; i++) {
		s->fsm.programs[i].guarantee = opt->guarantee[i];
		s->fsm.programs[i].there =
			i == 0 || opt->budget[B_PUT] == 0;
	}
	if (opt->start == COLD)
		return;
	for (unsigned i = 0; i < crns(); i++)
		machine_open(s, i);
	if (opt->start != IDLE)
		program_run(s);
	if (opt->start == ORPHAN)
		orphan(s);
	else if (opt->start == MOVED)
		moved(s);
	else if (opt->gens)
		s->backup = s->fsm;
}
