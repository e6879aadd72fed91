/* Steps of the leader, the log and the operator. */
#include <string.h>

#include "tests/model/step.h"

static unsigned beat_count(const struct leader *l)
{
	unsigned count = 0;

	while (count < BEATS_MAX && l->beats[count].there)
		count++;
	return count;
}

static void beat_drop(struct leader *l)
{
	memmove(&l->beats[0], &l->beats[1],
		(BEATS_MAX - 1) * sizeof l->beats[0]);
	memset(&l->beats[BEATS_MAX - 1], 0, sizeof l->beats[0]);
}

static bool session_lives(const struct state *s, num crn,
			  const struct heartbeat *h)
{
	const struct crn *c = &s->fsm.crns[crn];

	return c->alive && (c->session == h->session || IS(RENEW_ANY_SESSION));
}

static void beat_answer(struct state *s, const struct beat *beat)
{
	for (num c = 0; c < CRNS; c++) {
		const struct heartbeat *h = &beat->renewals[c];
		num ack = h->age;

		if (!h->there || !session_lives(s, c, h))
			continue;
		for (unsigned i = 0; i < SLOTS_MAX && IS(ACK_MORE); i++) {
			const struct heartbeat *o = &s->nets[c].heartbeats[i];

			if (o->there && o->session == h->session)
				ack = least(ack, o->age);
		}
		reply_put(s, c, h->session, ack);
	}
}

/* R5, R4: the batch is frozen, the clock read, the interval consumed. */
static bool beat_propose(struct state *s)
{
	struct leader *l = &s->leader;
	struct beat beat = { .there = 1 };
	unsigned count = beat_count(l), taken = 0;

	if (count >= opt->beats)
		return false;
	for (unsigned c = 0; c < crns() && !IS(SEPARATE_TICK); c++) {
		unsigned pick = choose(opt->slots + 1u);
		struct heartbeat *h;

		if (pick == 0)
			continue;
		h = &s->nets[c].heartbeats[pick - 1];
		if (!h->there)
			return false;
		beat.renewals[c] = *h;
		taken++;
		if (!opt->keep || choose(2) == 0)
			memset(h, 0, sizeof *h);
	}
	beat.dt = l->since;
	if (taken == 0 && beat.dt == 0)
		return false;
	l->since = 0;
	l->beats[count] = beat;
	if (IS(ACK_BEFORE_COMMIT))
		beat_answer(s, &beat);
	TELL("the leader proposes Beat{dt %u%s%s}", beat.dt,
	     beat.renewals[0].there ? ", A's heartbeat" : "",
	     beat.renewals[1].there ? ", B's heartbeat" : "");
	return true;
}

static bool beat_commit(struct state *s)
{
	struct beat beat = s->leader.beats[0];

	if (!beat.there)
		return false;
	beat_drop(&s->leader);
	fsm_beat(s, &beat);
	if (!IS(ACK_BEFORE_COMMIT))
		beat_answer(s, &beat);
	TELL("Beat{dt %u%s%s} is committed and applied%s", beat.dt,
	     beat.renewals[0].there ? ", A's renewal" : "",
	     beat.renewals[1].there ? ", B's renewal" : "",
	     beat.renewals[0].there || beat.renewals[1].there
		     ? "; the leader answers" : "");
	return true;
}

/* A new term: of what was proposed a prefix survives; Lead comes after it and
 * the new leader's anchor is set at Lead (R4). */
static bool elect(struct state *s)
{
	struct leader *l = &s->leader;
	unsigned count = beat_count(l), kept = choose(count + 1);
	struct beat first = l->beats[0];

	if (l->budget[B_ELECT] == 0)
		return false;
	for (unsigned i = 0; i < kept; i++) {
		struct beat beat = l->beats[0];

		beat_drop(l);
		fsm_beat(s, &beat);
	}
	memset(l->beats, 0, sizeof l->beats);
	if (IS(FORWARDED))
		l->zombie = l->since;
	l->since = IS(ANCHOR_KEPT) ? opt->dt_max : 0;
	if (IS(INTERVAL_AGAIN) && first.there) {
		l->beats[0] = first;
		memset(l->beats[0].renewals, 0, sizeof first.renewals);
	}
	TELL("another leader: %u of %u proposed Beats survive, then Lead is "
	     "applied", kept, count);
	return true;
}

static bool expire(struct state *s)
{
	num c = (num)choose(crns());
	struct crn *crn = &s->fsm.crns[c];

	if (!crn->alive || IS(EXPIRE_AT_PROPOSE))
		return false;
	if (crn->exp_in > 0 && !IS(NO_EXPIRE_TEST))
		return false;
	TELL("Expire{CRN %c, session %u} is applied", 'A' + c, crn->session);
	fsm_expire(s, c);
	return true;
}

static bool assign(struct state *s)
{
	num p = (num)choose(opt->programs), c = (num)choose(crns());

	if (!fsm_assign(s, p, c) || !spend(s, B_ASSIGN))
		return false;
	TELL("Assign{p%u to CRN %c} is applied: epoch %u, %s", p, 'A' + c,
	     s->fsm.programs[p].epoch,
	     s->fsm.programs[p].hold ? "exclusive-hold" : "exclusive");
	return true;
}

static bool revoke(struct state *s)
{
	num p = (num)choose(opt->programs);

	if (s->fsm.programs[p].state != ASSIGNED || !spend(s, B_REVOKE))
		return false;
	fsm_revoke(s, p);
	TELL("Revoke{p%u} is applied: %s", p,
	     s->fsm.programs[p].state == FREE ? "it is FREE"
					      : "it is REVOKING");
	return true;
}

/* A set that changed goes out at once, without an acknowledgement. */
static bool push(struct state *s)
{
	num c = (num)choose(crns());
	struct crn *crn = &s->fsm.crns[c];
	bool news = false;

	for (unsigned m = 0; m < MACHINES; m++)
		if (crn_of(m) == c &&
		    s->machines[m].session == crn->session &&
		    s->machines[m].version < s->fsm.version)
			news = true;
	if (!crn->alive || !news)
		return false;
	reply_put(s, c, crn->session, NO_ACK);
	TELL("the leader sends CRN %c its set (version %u)", 'A' + c,
	     s->fsm.version);
	return true;
}

static bool challenge(struct state *s)
{
	unsigned m = choose(machines());
	num c = crn_of(m);
	const struct machine *mm = &s->machines[m];
	struct challenge message = { 1, s->fsm.gen, mm->nonce,
				     s->fsm.crns[c].session };

	if (mm->off || mm->nonce == 0 || mm->session != 0 ||
	    (mm->bound && !IS(TWO_PREVS) && !IS(NONCE_GUARDS)))
		return false;
	PUT(s->nets[c].challenges, &message);
	TELL("the leader answers %s's Hello: Challenge{session %u}",
	     machine_name(m), message.session);
	return true;
}

static bool registering(struct state *s)
{
	num c = (num)choose(crns());
	struct registration *slot =
		&s->nets[c].registrations[choose(opt->slots)];
	struct registration r = *slot;
	struct register_ack ack = { .there = 1 };

	if (!r.there)
		return false;
	if (!opt->keep || choose(2) == 0)
		memset(slot, 0, sizeof *slot);
	if (!fsm_register(s, c, &r))
		return false;
	ack.gen = s->fsm.gen;
	ack.nonce = r.nonce;
	ack.session = s->fsm.crns[c].session;
	ack.config = s->fsm.config;
	ack.kept = fsm_kept(&s->fsm, c);
	PUT(s->nets[c].acks, &ack);
	TELL("Register{CRN %c, prev %u, host %u%s%s} is applied: session %u, "
	     "kept %s", 'A' + c, r.prev, host_of(r.boot),
	     r.held[0].state != NONE ? ", holds p0" : "",
	     r.held[1].state != NONE ? ", holds p1" : "", ack.session,
	     ack.kept.bits[0] == 0 ? "nothing" : ack.kept.bits[0] == 1 ? "p0"
				       : ack.kept.bits[0] == 2 ? "p1" : "p0 and p1");
	return true;
}

bool step_leader(struct state *s)
{
	switch (choose(9)) {
	case 0:
		return beat_propose(s);
	case 1:
		return beat_commit(s);
	case 2:
		return elect(s);
	case 3:
		return expire(s);
	case 4:
		return assign(s);
	case 5:
		return revoke(s);
	case 6:
		return push(s);
	case 7:
		return challenge(s);
	default:
		return registering(s);
	}
}

/* --- operators ---------------------------------------------------- */

/* The operator read the session id, and saw its machine off after that. */
static bool confirm_send(struct state *s)
{
	struct leader *l = &s->leader;
	num c = (num)choose(crns());
	const struct crn *crn = &s->fsm.crns[c];
	unsigned what = choose(PROGRAMS + 2u), host = host_of(crn->boot);
	bool all = true;

	if (l->confirm_there || l->budget[B_OFF] == opt->budget[B_OFF])
		return false;
	l->confirm_session = crn->session;
	if (what > 0 && what <= PROGRAMS) {
		const struct program *p = &s->fsm.programs[what - 1];

		if (p->session == 0 || p->crn != c ||
		    p->session == crn->session)
			return false;
		l->confirm_session = p->session;
		host = p->host;
	} else if (what > PROGRAMS) {
		if (crn->surveyed || crn->survey_session == crn->session)
			return false;
		l->confirm_session = crn->survey_session;
		host = crn->survey_host;
	}
	for (unsigned m = 0; m < MACHINES; m++)
		if (crn_of(m) == c && !s->machines[m].off)
			all = false;
	if (host == 0 || l->confirm_session == 0 ||
	    (!s->machines[host - 1].off && !IS(CONFIRM_NOT_OFF)))
		return false;
	l->confirm_there = 1;
	l->confirm_crn = c;
	l->confirm_all = all;
	TELL("an operator sees the machine of session %u of CRN %c off%s",
	     l->confirm_session, 'A' + c,
	     s->machines[host - 1].off ? "" : " (so he believes)");
	return true;
}

static bool confirm_apply(struct state *s)
{
	struct leader *l = &s->leader;

	if (!l->confirm_there)
		return false;
	fsm_fence_confirm(s, l->confirm_crn, l->confirm_session,
			  l->confirm_all);
	TELL("FenceConfirm{CRN %c, session %u%s} is applied",
	     'A' + l->confirm_crn, l->confirm_session,
	     l->confirm_all ? ", all machines" : "");
	l->confirm_there = l->confirm_crn = l->confirm_session = 0;
	l->confirm_all = 0;
	return true;
}

static bool new_gen(struct state *s)
{
	struct leader *l = &s->leader;

	if (!opt->gens || !spend(s, B_NEW_GEN))
		return false;
	fsm_new_gen(s);
	memset(l->beats, 0, sizeof l->beats);
	l->since = l->zombie = 0;
	l->confirm_there = l->confirm_crn = l->confirm_session = 0;
	l->confirm_all = 0;
	TELL("disaster: the old quorum is off for good, the backup is "
	     "restored: NewGen{%u}", s->fsm.gen);
	return true;
}

static bool guarantee_change(struct state *s)
{
	num p = (num)choose(opt->programs);

	if (!spend(s, B_GUARANTEE))
		return false;
	s->fsm.programs[p].guarantee ^= 1;
	TELL("ProgramPut: the guarantee of p%u is now %s", p,
	     s->fsm.programs[p].guarantee ? "exclusive-hold" : "exclusive");
	return true;
}

bool step_operator(struct state *s)
{
	switch (choose(7)) {
	case 0:
		return confirm_send(s);
	case 1:
		return confirm_apply(s);
	case 2:
		if (!opt->gens || !spend(s, B_BACKUP))
			return false;
		s->backup = s->fsm;
		TELL("a backup is taken");
		return true;
	case 3:
		return new_gen(s);
	case 4:
		if (!spend(s, B_CONFIG))
			return false;
		fsm_config(s, 1);
		TELL("Config is applied: ttl_a %u, ttl_s %u", ttl_a(1),
		     ttl_s(1));
		return true;
	case 5:
		if (!spend(s, B_PUT))
			return false;
		fsm_program_new(s, 1);
		fsm_supersede(s, 0);
		TELL("ProgramPut{p1, replaces p0} is applied");
		return true;
	default:
		return guarantee_change(s);
	}
}
