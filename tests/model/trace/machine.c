/* Each accepted call of a machine's lease core, taken by the model's. */
#include <string.h>

#include "tests/model/trace/trace.h"

/* As many as the code keeps: an acknowledgement of an older one says nothing. */
#define MARKS 64u

static struct {
	num now, crn, seq;
	bool fresh; /* R15's memory is read back after the init */
	struct {
		num seq, at;
	} marks[MARKS];
} seen[MACHINES];

static bool found_now[MACHINES][PROGRAMS];
static struct line shown; /* what the code's lease core shows */

void machines_open(void)
{
	memset(seen, 0, sizeof seen);
}

/* --- comparing --------------------------------------------------------------- */

enum { M_GEN, M_SESSION, M_VERSION, M_HAVE, M_APPLIED, M_DEADLINE, M_GOT_ACK,
       M_SET_TAKEN, M_BOUND, M_PREV, M_PREV_MAX, M_DESIRED };

static void compare_rows(const struct machine *m, const num *a)
{
	num count = *a++, own = 0;

	for (unsigned i = 0; i < PROGRAMS; i++)
		own += m->epoch[i] != 0;
	WANT(own == count, "%lu rows in its set, the model has %lu", count,
	     own);
	for (num i = 0; i < count; i++, a += 3)
		WANT(m->epoch[a[0]] == a[2] && m->epoch_gen[a[0]] == a[1],
		     "its set has program %lu, epoch %lu; the model has %lu",
		     a[0], a[2], m->epoch[a[0]]);
	count = *a++;
	own = 0;
	for (unsigned i = 0; i < PROGRAMS; i++)
		own += m->runs[i].state != NONE;
	WANT(own == count, "%lu runs, the model has %lu", count, own);
	for (num i = 0; i < count; i++, a += 6) {
		const struct run *run = &m->runs[a[0]];

		WANT(run->state != NONE && run->gen == a[1] &&
		     run->epoch == a[2] && run->hold == a[3] &&
		     run->condemned == a[4] &&
		     (run->state == UNKNOWN) == (a[5] != 0),
		     "a run of program %lu, epoch %lu, hold %lu, condemned "
		     "%lu; the model has epoch %lu, %lu, %lu", a[0], a[2],
		     a[3], a[4], run->epoch, run->hold, run->condemned);
	}
}

static void compare(const struct machine *m, num now)
{
	const num *a = shown.args;

	WANT(m->gen == a[M_GEN] && m->session == a[M_SESSION],
	     "it shows session %lu.%lu, the model %lu.%lu", a[M_GEN],
	     a[M_SESSION], m->gen, m->session);
	WANT(m->version == a[M_VERSION] && m->have == a[M_HAVE],
	     "it shows version %lu, have %lu, the model %lu, %lu",
	     a[M_VERSION], a[M_HAVE], m->version, m->have);
	WANT(m->applied == a[M_APPLIED], "it shows applied %lu, the model %lu",
	     a[M_APPLIED], m->applied);
	WANT(m->left == less(a[M_DEADLINE], now),
	     "its deadline is in %lu ms, the model's in %lu",
	     less(a[M_DEADLINE], now), m->left);
	WANT(m->got_ack == a[M_GOT_ACK] && m->set_taken == a[M_SET_TAKEN],
	     "it shows got_ack %lu, a set taken %lu, the model %lu, %lu",
	     a[M_GOT_ACK], a[M_SET_TAKEN], m->got_ack, m->set_taken);
	WANT(m->bound == a[M_BOUND] && m->prev == a[M_PREV] &&
	     m->prev_max == a[M_PREV_MAX],
	     "it shows bound %lu, prev %lu, at most %lu, the model %lu, %lu, "
	     "%lu", a[M_BOUND], a[M_PREV], a[M_PREV_MAX], m->bound, m->prev,
	     m->prev_max);
	compare_rows(m, &a[M_DESIRED]);
}

/* --- the fencer's life --------------------------------------------------------- */

/* The fencer's memory is gone; its runs are there until they are found dead.
 * Another boot is another kernel, and none is found, or another container. */
static void step_init(struct machine *m, num machine, const num *a)
{
	num boot = a[1] << 32 | a[2];

	WANT(m->boot != boot || shown.args[M_GEN] >= m->gen,
	     "R15: a lower generation");
	if (m->boot != boot)
		m->prev_max = 0;
	tenure_end(m);
	m->boot = boot;
	m->gen = shown.args[M_GEN];
	for (unsigned i = 0; i < PROGRAMS; i++)
		m->runs[i].condemned = 0;
	memset(&seen[machine], 0, sizeof seen[machine]);
	memset(found_now[machine], 0, sizeof found_now[machine]);
	seen[machine].crn = a[0];
	seen[machine].fresh = true;
}

/* One that is held and dying is no longer told as held. A table that was copied
 * names runs of another machine: they are unknown to this one. */
static void step_found(struct machine *m, num machine, const num *a)
{
	struct run *run = &m->runs[a[0]];

	WANT(a[4] || (run->state != NONE && run->gen == a[1] &&
		      run->epoch == a[2]), "the model has no such run");
	run->gen = a[1];
	run->epoch = a[2];
	run->hold = a[3];
	run->state = a[4] ? UNKNOWN : LIVE;
	found_now[machine][a[0]] = true;
}

/* The first call after a start: what was not found is dead, and the largest
 * prev has been read back (R15). */
static void settle(struct machine *m, num machine)
{
	if (!seen[machine].fresh)
		return;
	seen[machine].fresh = false;
	for (unsigned i = 0; i < PROGRAMS; i++)
		if (m->runs[i].state != NONE && !found_now[machine][i])
			tenure_dead(m, i);
	WANT(shown.args[M_PREV_MAX] >= m->prev_max,
	     "R15: of the prevs that it sent it remembers %lu, not %lu",
	     shown.args[M_PREV_MAX], m->prev_max);
	m->prev_max = shown.args[M_PREV_MAX];
}

/* --- registration --------------------------------------------------------------- */

static void step_hello(struct machine *m, const num *a)
{
	num own = 0;

	WANT(tenure_hello(m, a[0]), "the model refuses this Hello");
	for (unsigned i = 0; i < PROGRAMS; i++)
		own += m->held[i].state != NONE;
	WANT(own == a[1], "it tells of %lu held runs, the model of %lu", a[1],
	     own);
	for (num i = 0; i < a[1]; i++) {
		const num *row = &a[2 + i * 4];
		const struct held *held = &m->held[row[0]];

		WANT(held->gen == row[1] && held->epoch == row[2] &&
		     held->state == (row[3] ? LIVE : UNKNOWN),
		     "it tells of program %lu, epoch %lu; the model of %lu",
		     row[0], row[2], held->epoch);
	}
}

static void step_challenge(struct machine *m, const num *a)
{
	const struct challenge c = { 1, a[1], a[0], a[2] };

	WANT(tenure_challenge(m, &c), "the model refuses this Challenge");
}

static void step_adopt(struct machine *m, const num *a)
{
	struct register_ack ack = { .there = 1, .nonce = a[0], .gen = a[1],
				    .session = a[2] };

	WANT(was_registered(a[0], a[1], a[2]),
	     "no Register of this nonce opened session %lu", a[2]);
	WANT(config_find(a[3], 0, 0, &ack.config), "ttl_a was never %lu",
	     a[3]);
	for (num i = 0; i < a[4]; i++)
		ack.kept.bits[a[5 + i] / 8] |= 1u << a[5 + i] % 8;
	WANT(tenure_adopt(m, &ack), "the model refuses this session");
}

/* --- heartbeats ------------------------------------------------------------------ */

static void step_mark(struct machine *m, num machine, num now, num seq)
{
	struct heartbeat h;

	WANT(tenure_mark(m, &h), "the model sends no heartbeat now");
	WANT(seq > seen[machine].seq, "R10: seq %lu after %lu", seq,
	     seen[machine].seq);
	seen[machine].seq = seq;
	seen[machine].marks[seq % MARKS].seq = seq;
	seen[machine].marks[seq % MARKS].at = now;
}

enum { R_GEN, R_SESSION, R_ACK, R_TTL_A, R_VERSION, R_CHANGED, R_FULL, R_COUNT,
       R_ROWS };

/* The reply is of one state (R6): its set, `changed` and ttl_a of `version`. */
static void check_reply(num machine, const num *a, struct reply *r)
{
	const struct set *set = set_at(seen[machine].crn, a[R_GEN],
				       a[R_VERSION]);

	WANT(config_find(a[R_TTL_A], a[R_GEN], a[R_VERSION], &r->config),
	     "R6: ttl_a was not %lu then", a[R_TTL_A]);
	WANT(a[R_ACK] == 0 ||
	     was_renewed(a[R_GEN], a[R_SESSION], a[R_ACK]),
	     "R6: heartbeat %lu is acknowledged, which no Beat renewed",
	     a[R_ACK]);
	WANT(set && set->changed == a[R_CHANGED],
	     "2.6: `changed` is %lu, in that state it was %lu", a[R_CHANGED],
	     set ? set->changed : 0);
	WANT(!a[R_FULL] || set->count == a[R_COUNT],
	     "2.6: a set of %lu, in that state there were %lu", a[R_COUNT],
	     set->count);
	for (num i = 0; a[R_FULL] && i < a[R_COUNT]; i++) {
		const num *row = &a[R_ROWS + i * 4];
		bool there = false;

		for (num k = 0; k < set->count; k++)
			there |= set->rows[k].program == row[0] &&
				 set->rows[k].gen == row[1] &&
				 set->rows[k].epoch == row[2] &&
				 set->rows[k].hold == row[3];
		WANT(there, "2.6: program %lu, epoch %lu, was not in that set",
		     row[0], row[2]);
	}
}

static void step_reply(struct machine *m, num machine, num now, const num *a)
{
	static struct reply r;
	num at = a[R_ACK] % MARKS;

	memset(&r, 0, sizeof r);
	check_reply(machine, a, &r);
	r.there = 1;
	r.gen = a[R_GEN];
	r.session = a[R_SESSION];
	r.version = a[R_VERSION];
	r.changed = a[R_CHANGED];
	r.full = a[R_FULL];
	r.ack = NO_ACK;
	if (a[R_ACK] != 0 && seen[machine].marks[at].seq == a[R_ACK])
		r.ack = now - seen[machine].marks[at].at;
	for (num i = 0; i < a[R_COUNT]; i++) {
		const num *row = &a[R_ROWS + i * 4];

		r.epoch_gen[row[0]] = row[1];
		r.epoch[row[0]] = row[2];
		r.hold[row[0]] = row[3];
	}
	WANT(tenure_reply(m, &r), "the model refuses this reply");
}

/* --- runs -------------------------------------------------------------------------- */

static void step_gate(struct machine *m, const num *a)
{
	WANT(m->epoch[a[0]] == a[2] && m->epoch_gen[a[0]] == a[1],
	     "R11: this epoch is not in the model's set, which has %lu",
	     m->epoch[a[0]]);
	WANT(tenure_gate(m, (unsigned)a[0]), "the model's gate is shut");
}

static void step_dead(struct machine *m, const num *a)
{
	const struct run *run = &m->runs[a[0]];

	WANT(run->state != NONE && run->gen == a[1] && run->epoch == a[2],
	     "the model has no such run");
	tenure_dead(m, (unsigned)a[0]);
}

static bool take(const struct line *l, struct machine *m, num machine)
{
	num now = l->args[1];
	const num *a = &l->args[2];

	if (strcmp(l->word, "init") == 0)
		step_init(m, machine, a);
	else if (strcmp(l->word, "found") == 0)
		step_found(m, machine, a);
	else if (strcmp(l->word, "tick") == 0)
		; /* time alone ends the model's lease */
	else if (strcmp(l->word, "end") == 0)
		tenure_end(m);
	else if (strcmp(l->word, "hello") == 0)
		step_hello(m, a);
	else if (strcmp(l->word, "challenge") == 0)
		step_challenge(m, a);
	else if (strcmp(l->word, "adopt") == 0)
		step_adopt(m, a);
	else if (strcmp(l->word, "mark") == 0)
		step_mark(m, machine, now, a[0]);
	else if (strcmp(l->word, "reply") == 0)
		step_reply(m, machine, now, a);
	else if (strcmp(l->word, "gate") == 0)
		step_gate(m, a);
	else if (strcmp(l->word, "dead") == 0)
		step_dead(m, a);
	else
		return false;
	return true;
}

/* A fencer that was paused hears of deaths before it looks at the time: what it
 * shows then is of before its deadline. Its next call is compared again, and
 * its gate asks for the time itself. */
static bool has_not_looked(const struct line *l, const struct machine *m)
{
	const num *a = shown.args;

	return strcmp(l->word, "dead") == 0 && m->session == 0 &&
	       a[M_SESSION] != 0 && a[M_DEADLINE] <= l->args[1];
}

bool machine_step(const struct line *l)
{
	num machine = l->args[0], now = l->args[1];
	struct machine *m = &model.machines[machine];
	bool found = strcmp(l->word, "found") == 0;

	if (!line_read(&shown) || l->count < 2 || machine >= MACHINES)
		return false;
	if (strcmp(l->word, "init") != 0) {
		if (!found)
			settle(m, machine);
		tenure_tick(m, now - seen[machine].now, true);
		seen[machine].now = now;
	}
	if (!take(l, m, machine))
		return false;
	seen[machine].now = now;
	if (!seen[machine].fresh && !has_not_looked(l, m))
		compare(m, now);
	return true;
}
