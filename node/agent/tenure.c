#include "node/agent/tenure.h"

#define RUN_EACH(t, run)                                               \
	for (struct tenure_run *run = (t)->runs;                       \
	     run < (t)->runs + COUNT_OF((t)->runs); run++)             \
		if (run->state != TENURE_RUN_NONE)

void tenure_init(struct tenure *t, const struct hash *crn,
		 const struct hash *host, const struct hash *boot, uint64_t gen)
{
	memset(t, 0, sizeof *t);
	t->crn = *crn;
	t->host = *host;
	t->boot = *boot;
	t->gen = gen;
}

static struct tenure_run *run_free(struct tenure *t)
{
	for (uint32_t i = 0; i < COUNT_OF(t->runs); i++)
		if (t->runs[i].state == TENURE_RUN_NONE)
			return &t->runs[i];
	return NULL;
}

struct tenure_run *tenure_found(struct tenure *t, uint32_t at,
				const struct tenure_run *run)
{
	REQUIRE(at < COUNT_OF(t->runs) && run->state != TENURE_RUN_NONE);
	REQUIRE(t->runs[at].state == TENURE_RUN_NONE);
	REQUIRE(t->session == 0 && !t->nonce_drawn);
	t->runs[at] = *run;
	t->run_count++;
	if (!run->hold)
		t->fencing = true;
	return &t->runs[at];
}

static bool exclusive_lives(struct tenure *t)
{
	RUN_EACH(t, run) {
		if (!run->hold)
			return true;
	}
	return false;
}

static void nonce_forget(struct tenure *t)
{
	memset(t->nonce, 0, sizeof t->nonce);
	t->nonce_drawn = false;
	t->nonce_bound = false;
	t->register_marked = false;
	t->register_ms = 0;
	t->prev = 0;
	t->held_count = 0;
}

/* R10: session := 0, nonce := 0, and no message of it matches ever again. The
 * seq goes on: it is never used twice in a fencer's life. */
void tenure_end(struct tenure *t)
{
	t->session = 0;
	t->version = 0;
	t->have = 0;
	t->applied = 0;
	t->deadline_ms = 0;
	t->lease = false;
	t->got_ack = false;
	t->set_taken = false;
	t->desired_count = 0;
	memset(t->marks, 0, sizeof t->marks);
	nonce_forget(t);
	t->fencing = exclusive_lives(t);
}

bool tenure_tick(struct tenure *t, uint64_t now_ms)
{
	if (t->session == 0 || now_ms < t->deadline_ms)
		return false;
	tenure_end(t);
	return true;
}

uint64_t tenure_deadline(const struct tenure *t)
{
	return t->session != 0 ? t->deadline_ms : 0;
}

/* --- registration: R15, R23 --------------------------------------------- */

/* held[]: every held row that is not proven dead. Drawn with the nonce, so
 * that a repeated Register repeats it byte for byte. */
static void held_draw(struct tenure *t)
{
	t->held_count = 0;
	RUN_EACH(t, run) {
		struct held_row *row = &t->held[t->held_count++];

		row->program = run->program;
		row->gen = run->gen;
		row->epoch = run->epoch;
		row->lineage = run->lineage;
		row->running = run->state != TENURE_RUN_UNKNOWN;
	}
}

enum fencer_code tenure_hello(struct tenure *t, const uint8_t nonce[16])
{
	if (t->session != 0)
		return FENCER_HAS_SESSION;
	/* R15: everything of all earlier sessions is proven dead. */
#ifndef MUTANT_hello_alive
	RUN_EACH(t, run) {
		if (!run->hold || run->state == TENURE_RUN_QUEUED)
			return FENCER_NOT_DEAD;
	}
#endif
	nonce_forget(t);
	memcpy(t->nonce, nonce, sizeof t->nonce);
	t->nonce_drawn = true;
	held_draw(t);
	return FENCER_OK;
}

static bool nonce_is(const struct tenure *t, const uint8_t nonce[16])
{
	return t->nonce_drawn &&
	       memcmp(t->nonce, nonce, sizeof t->nonce) == 0;
}

enum fencer_code tenure_challenge(struct tenure *t,
				  const struct agent_challenge *m)
{
	if (t->session != 0)
		return FENCER_HAS_SESSION;
	if (!nonce_is(t, m->nonce))
		return FENCER_STALE; /* R12 */
	/* R15: one Register value for one nonce. */
	if (t->nonce_bound)
		return FENCER_STALE;
	/* 2.6: a higher gen is taken from a Challenge alone and without a
	 * session, a lower one never. Stamps rewind with it. */
	if (m->gen < t->gen)
		return FENCER_STALE;
	if (m->gen > t->gen) {
		t->gen = m->gen;
		t->prev_max = 0;
	}
	t->prev = m->session;
	t->nonce_bound = true;
	if (m->session > t->prev_max)
		t->prev_max = m->session;
	return FENCER_OK;
}

void tenure_register_mark(struct tenure *t, uint64_t now_ms)
{
	REQUIRE(t->nonce_bound);
	if (t->register_marked)
		return;
	t->register_marked = true;
	t->register_ms = now_ms;
}

static bool kept(const struct agent_register_ack *m, const struct hash *program)
{
	for (uint32_t i = 0; i < m->kept_count; i++)
		if (hash_equal(&m->kept[i], program))
			return true;
	return false;
}

enum fencer_code tenure_adopt(struct tenure *t, uint64_t now_ms,
			      const struct agent_register_ack *m)
{
	uint64_t deadline_ms;

	if (t->session != 0)
		return FENCER_HAS_SESSION;
	if (!nonce_is(t, m->nonce) || !t->nonce_bound || !t->register_marked ||
	    m->gen != t->gen)
		return FENCER_STALE; /* R12 */
	/* R15: all sessions up to any prev that was sent are promised dead. */
	if (m->session <= t->prev_max)
		return FENCER_STALE;
	deadline_ms = t->register_ms + m->ttl_a_ms;
	nonce_forget(t); /* R15: one adoption */
	if (now_ms >= deadline_ms)
		return FENCER_PAST_DEADLINE;
	t->session = m->session;
	t->version = m->session; /* R13 */
	t->have = 0;             /* kept[] is not a desired set */
	t->applied = 0;          /* R14: not the session id */
	t->set_taken = false;
	t->got_ack = false;
	t->lease = true;
	t->deadline_ms = deadline_ms;
	RUN_EACH(t, run) {
		if (!kept(m, &run->program))
			run->condemned = true; /* R23 */
	}
	ENSURE(t->desired_count == 0 && !t->fencing);
	return FENCER_OK;
}

/* --- heartbeats: R10, R12 to R14 ---------------------------------------- */

enum fencer_code tenure_mark(struct tenure *t, uint64_t now_ms, uint64_t *seq)
{
	uint32_t at;

	if (t->session == 0)
		return FENCER_NO_SESSION;
	if (now_ms >= t->deadline_ms)
		return FENCER_PAST_DEADLINE;
	RUN_EACH(t, run) {
		if (run->condemned)
			return FENCER_NOT_DEAD; /* R23 */
	}
	t->seq++; /* R10: a retransmission is a new seq with a new t_send */
	at = (uint32_t)(t->seq % COUNT_OF(t->marks));
	t->marks[at].seq = t->seq;
	t->marks[at].t_send_ms = now_ms;
	*seq = t->seq;
	return FENCER_OK;
}

static const struct desired_row *desired_find(const struct tenure *t,
					      const struct hash *program,
					      uint64_t gen, stamp_t epoch)
{
	for (uint32_t i = 0; i < t->desired_count; i++) {
		const struct desired_row *row = &t->desired[i];

		if (row->epoch == epoch && row->gen == gen &&
		    hash_equal(&row->program, program))
			return row;
	}
	return NULL;
}

bool tenure_wanted(const struct tenure *t, const struct tenure_run *run)
{
	if (run->condemned)
		return false;
	/* R23: without a session a held run stays; after adoption it is left
	 * alone until the first desired set of that session. */
	if (t->session == 0 || !t->set_taken)
		return run->hold;
	return desired_find(t, &run->program, run->gen, run->epoch) != NULL;
}

/* R14: `applied` follows the version once nothing outside the set may live;
 * until then the earlier promise stands. */
static void applied_settle(struct tenure *t)
{
	if (t->session == 0 || !t->set_taken)
		return;
#ifndef MUTANT_applied_early
	RUN_EACH(t, run) {
		if (!tenure_wanted(t, run))
			return;
	}
#endif
	t->applied = t->version;
}

stamp_t tenure_applied(const struct tenure *t)
{
	return t->applied;
}

/* R10: from the time of sending, and never backwards. */
static void acknowledge(struct tenure *t, uint64_t seq, uint32_t ttl_a_ms)
{
	uint32_t at = (uint32_t)(seq % COUNT_OF(t->marks));
	uint64_t deadline_ms;

	if (seq == 0 || t->marks[at].seq != seq)
		return;
	deadline_ms = t->marks[at].t_send_ms + ttl_a_ms;
	if (deadline_ms > t->deadline_ms)
		t->deadline_ms = deadline_ms;
	t->got_ack = true;
}

/* R13 and 2.6, "Desired sets". */
static bool set_take(struct tenure *t, const struct agent_reply *m)
{
#ifndef MUTANT_version
	if (m->version <= t->version)
		return false;
#endif
	if (!m->has_desired) {
		/* The set is the one we have, or we know nothing new. */
		if (t->set_taken && t->have == m->changed) {
			t->version = m->version;
			applied_settle(t);
		}
		return false;
	}
	if (m->desired_count > 0)
		memcpy(t->desired, m->desired,
		       m->desired_count * sizeof t->desired[0]);
	t->desired_count = m->desired_count;
	t->version = m->version;
	t->have = m->changed;
	t->set_taken = true;
	applied_settle(t);
	return true;
}

enum fencer_code tenure_reply(struct tenure *t, uint64_t now_ms,
			      const struct agent_reply *m, bool *took)
{
	*took = false;
	/* R12; and a seq that was never drawn is no acknowledgement. */
	if (t->session == 0 || m->session != t->session || m->gen != t->gen ||
	    m->ack_seq > t->seq)
		return FENCER_STALE;
	if (now_ms >= t->deadline_ms)
		return FENCER_PAST_DEADLINE; /* R10: never resumes */
	if (m->has_desired && m->desired_count > COUNT_OF(t->desired))
		return FENCER_FULL;
#ifdef MUTANT_receive_time
	t->marks[m->ack_seq % COUNT_OF(t->marks)].t_send_ms = now_ms;
#endif
	acknowledge(t, m->ack_seq, m->ttl_a_ms);
	*took = set_take(t, m);
	return FENCER_OK;
}

/* --- runs: R11, R14 ------------------------------------------------------ */

struct tenure_run *tenure_find(struct tenure *t, const struct hash *program,
			       uint64_t gen, stamp_t epoch)
{
	RUN_EACH(t, run) {
		if (run->epoch == epoch && run->gen == gen &&
		    hash_equal(&run->program, program))
			return run;
	}
	return NULL;
}

/* A row of the program or of its lineage stands in the way: one execution of
 * a lineage, whatever the epoch. */
static enum fencer_code gate_conflict(struct tenure *t,
				      const struct desired_row *row)
{
	RUN_EACH(t, run) {
		if (hash_equal(&run->program, &row->program))
			return run->gen == row->gen &&
					       run->epoch == row->epoch ?
				       FENCER_RUNNING :
				       FENCER_NOT_DEAD;
		if (hash_equal(&run->lineage, &row->lineage))
			return FENCER_NOT_DEAD;
	}
	return FENCER_OK;
}

enum fencer_code tenure_gate(struct tenure *t, uint64_t now_ms,
			     const struct hash *program, uint64_t gen,
			     stamp_t epoch, struct tenure_run **run)
{
	const struct desired_row *row;
	enum fencer_code code;

	if (t->session == 0)
		return FENCER_NO_SESSION;
	if (now_ms >= t->deadline_ms)
		return FENCER_PAST_DEADLINE;
	row = t->set_taken ? desired_find(t, program, gen, epoch) : NULL;
	if (row == NULL)
		return FENCER_NOT_DESIRED;
	code = gate_conflict(t, row);
	if (code != FENCER_OK)
		return code;
	*run = run_free(t);
	if (*run == NULL)
		return FENCER_FULL;
	**run = (struct tenure_run){ .state = TENURE_RUN_QUEUED,
				     .program = row->program,
				     .lineage = row->lineage,
				     .gen = row->gen,
				     .epoch = row->epoch,
				     .hold = row->hold };
	t->run_count++;
	return FENCER_OK;
}

void tenure_started(struct tenure *t, struct tenure_run *run)
{
	(void)t;
	REQUIRE(run->state == TENURE_RUN_QUEUED);
	run->state = TENURE_RUN_LIVE;
}

void tenure_stopping(struct tenure *t, struct tenure_run *run)
{
	(void)t;
	REQUIRE(run->state != TENURE_RUN_NONE &&
		run->state != TENURE_RUN_QUEUED);
	if (run->state == TENURE_RUN_LIVE)
		run->state = TENURE_RUN_STOPPING;
}

void tenure_dead(struct tenure *t, struct tenure_run *run)
{
	REQUIRE(run->state != TENURE_RUN_NONE && t->run_count > 0);
	memset(run, 0, sizeof *run);
	t->run_count--;
	if (t->fencing)
		t->fencing = exclusive_lives(t);
	applied_settle(t);
}

bool tenure_may_pet(const struct tenure *t, uint64_t now_ms)
{
	if (t->session != 0 && now_ms < t->deadline_ms)
		return true;
	for (uint32_t i = 0; i < COUNT_OF(t->runs); i++)
		if (t->runs[i].state != TENURE_RUN_NONE && !t->runs[i].hold)
			return false;
	return true;
}
