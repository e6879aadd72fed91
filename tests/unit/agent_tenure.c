/* The lease core, rule by rule: each story is a directed scenario of lease.md
 * (R9 to R15, R23 and 2.6), told with made-up times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/agent/tenure.h"

#define GEN 7u
#define TTL 4000u
#define PREV 1000u
#define SESSION 2000u

static struct tenure t;
static bool took;
static const uint8_t nonce_a[16] = { 1 }, nonce_b[16] = { 2 };

static struct hash hash_of(uint8_t byte)
{
	struct hash hash;

	memset(hash.bytes, byte, sizeof hash.bytes);
	return hash;
}

static int fresh(void **state)
{
	struct hash crn = hash_of(0xc), host = hash_of(0xd),
		    boot = hash_of(0xe);

	(void)state;
	tenure_init(&t, &crn, &host, &boot, GEN);
	took = false;
	return 0;
}

static enum fencer_code challenge(const uint8_t nonce[16], uint64_t gen,
				  stamp_t session)
{
	struct agent_challenge m = { .gen = gen, .session = session };

	memcpy(m.nonce, nonce, sizeof m.nonce);
	return tenure_challenge(&t, &m);
}

static enum fencer_code adopt_kept(const uint8_t nonce[16], uint64_t now_ms,
				   stamp_t session, struct hash *kept,
				   uint32_t kept_count)
{
	struct agent_register_ack m = { .gen = t.gen, .session = session,
					.ttl_a_ms = TTL, .kept = kept,
					.kept_count = kept_count };

	memcpy(m.nonce, nonce, sizeof m.nonce);
	return tenure_adopt(&t, now_ms, &m);
}

static enum fencer_code adopt(const uint8_t nonce[16], uint64_t now_ms,
			      stamp_t session)
{
	return adopt_kept(nonce, now_ms, session, NULL, 0);
}

/* A session whose Register was sent at `now_ms`. */
static void open_session(uint64_t now_ms, stamp_t prev, stamp_t session)
{
	assert_int_equal(tenure_hello(&t, nonce_a), FENCER_OK);
	assert_int_equal(challenge(nonce_a, GEN, prev), FENCER_OK);
	tenure_register_mark(&t, now_ms);
	assert_int_equal(adopt(nonce_a, now_ms + 10, session), FENCER_OK);
}

static struct agent_reply reply_of(uint64_t ack_seq, stamp_t version,
				   stamp_t changed)
{
	return (struct agent_reply){ .gen = t.gen, .session = t.session,
				     .ack_seq = ack_seq, .ttl_a_ms = TTL,
				     .version = version, .changed = changed };
}

static enum fencer_code hear(uint64_t now_ms, const struct agent_reply *m)
{
	return tenure_reply(&t, now_ms, m, &took);
}

/* An acknowledgement alone. */
static enum fencer_code ack(uint64_t now_ms, uint64_t seq)
{
	struct agent_reply m = reply_of(seq, 0, 0);

	return hear(now_ms, &m);
}

static struct desired_row want(uint8_t program, stamp_t epoch, bool hold)
{
	return (struct desired_row){ .program = hash_of(program),
				     .lineage = hash_of(program),
				     .gen = GEN, .epoch = epoch, .hold = hold };
}

static void set(uint64_t now_ms, stamp_t version, stamp_t changed,
		struct desired_row *rows, uint32_t count)
{
	struct agent_reply m = reply_of(0, version, changed);

	m.has_desired = true;
	m.desired = rows;
	m.desired_count = count;
	assert_int_equal(hear(now_ms, &m), FENCER_OK);
}

static enum fencer_code gate(uint64_t now_ms, uint8_t program, stamp_t epoch,
			     struct tenure_run **run)
{
	struct hash hash = hash_of(program);

	return tenure_gate(&t, now_ms, &hash, GEN, epoch, run);
}

static struct tenure_run *start(uint64_t now_ms, uint8_t program, stamp_t epoch)
{
	struct tenure_run *run;

	assert_int_equal(gate(now_ms, program, epoch, &run), FENCER_OK);
	tenure_started(&t, run);
	return run;
}

static uint64_t mark(uint64_t now_ms)
{
	uint64_t seq;

	assert_int_equal(tenure_mark(&t, now_ms, &seq), FENCER_OK);
	return seq;
}

/* R10: the lease counts from the time of sending, not of receipt. */
static void test_deadline_from_send_time(void **state)
{
	uint64_t seq;

	(void)state;
	open_session(100, 0, SESSION);
	assert_int_equal(tenure_deadline(&t), 100 + TTL);
	seq = mark(500);
	assert_int_equal(ack(3000, seq), FENCER_OK);
	assert_int_equal(tenure_deadline(&t), 500 + TTL);
}

/* R10: a retransmission is a new seq and has its own t_send. */
static void test_retransmission_is_a_new_seq(void **state)
{
	uint64_t first, second;

	(void)state;
	open_session(0, 0, SESSION);
	first = mark(500);
	second = mark(2000);
	assert_true(second > first);
	assert_int_equal(ack(2100, first), FENCER_OK);
	assert_int_equal(tenure_deadline(&t), 500 + TTL);
}

/* R10: late, doubled and reordered acknowledgements never shorten it. */
static void test_deadline_only_grows(void **state)
{
	uint64_t first, second;

	(void)state;
	open_session(0, 0, SESSION);
	first = mark(500);
	second = mark(1000);
	assert_int_equal(ack(1100, second), FENCER_OK);
	assert_int_equal(ack(1200, first), FENCER_OK);
	assert_int_equal(tenure_deadline(&t), 1000 + TTL);
	assert_int_equal(ack(1300, second), FENCER_OK);
	assert_int_equal(tenure_deadline(&t), 1000 + TTL);
}

/* R10: at the deadline it is over, and an ack that was on its way is nothing. */
static void test_late_ack_revives_nothing(void **state)
{
	struct agent_reply m;
	uint64_t seq;

	(void)state;
	open_session(0, 0, SESSION);
	seq = mark(3000);
	m = reply_of(seq, 0, 0);
	assert_int_equal(hear(TTL, &m), FENCER_PAST_DEADLINE);
	assert_int_equal(tenure_deadline(&t), TTL);
	assert_false(tenure_tick(&t, TTL - 1));
	assert_true(tenure_tick(&t, TTL));
	assert_int_equal(t.session, 0);
	assert_int_equal(hear(TTL, &m), FENCER_STALE);
	assert_int_equal(tenure_deadline(&t), 0);
	assert_false(tenure_tick(&t, TTL + 1)); /* begins once */
	assert_int_equal(tenure_mark(&t, TTL, &seq), FENCER_NO_SESSION);
}

/* R12: another session, another gen, a seq that was never drawn. */
static void test_messages_of_others_are_dropped(void **state)
{
	struct agent_reply m;
	uint64_t seq;

	(void)state;
	open_session(0, 0, SESSION);
	seq = mark(500);
	m = reply_of(seq, SESSION + 10, SESSION);
	m.has_desired = true;
	m.session = SESSION - 1;
	assert_int_equal(hear(600, &m), FENCER_STALE);
	m.session = 0;
	assert_int_equal(hear(600, &m), FENCER_STALE);
	m.session = SESSION;
	m.gen = GEN + 1;
	assert_int_equal(hear(600, &m), FENCER_STALE);
	m.gen = GEN - 1;
	assert_int_equal(hear(600, &m), FENCER_STALE);
	m.gen = GEN;
	m.ack_seq = seq + 1;
	assert_int_equal(hear(600, &m), FENCER_STALE);
	assert_int_equal(tenure_deadline(&t), TTL);
	assert_int_equal(t.version, SESSION);
	assert_false(t.got_ack);
}

/* H2: seq is not used again in the next session, so an old ack matches none. */
static void test_seq_goes_on_over_sessions(void **state)
{
	uint64_t seq;

	(void)state;
	open_session(0, 0, SESSION);
	seq = mark(500);
	tenure_end(&t);
	open_session(1000, SESSION, SESSION + 100);
	assert_int_equal(ack(1100, seq), FENCER_OK); /* a lie, of no effect */
	assert_int_equal(tenure_deadline(&t), 1000 + TTL);
	assert_false(t.got_ack);
	assert_true(mark(1200) > seq);
}

/* got_ack is told after the first acknowledgement of this session (R8). */
static void test_got_ack(void **state)
{
	uint64_t seq;

	(void)state;
	open_session(0, 0, SESSION);
	seq = mark(100);
	assert_false(t.got_ack);
	assert_int_equal(ack(200, seq), FENCER_OK);
	assert_true(t.got_ack);
	tenure_end(&t);
	assert_false(t.got_ack);
}

/* R8: heartbeats go up for ever and nothing comes back: the session ends. */
static void test_no_ack_ends_the_session(void **state)
{
	(void)state;
	open_session(0, 0, SESSION);
	for (uint64_t now = 100; now < TTL; now += 500)
		mark(now);
	assert_true(tenure_tick(&t, TTL));
}

/* Only so many marks are remembered; an older one counts for nothing. */
static void test_marks_are_bounded(void **state)
{
	uint64_t first;

	(void)state;
	open_session(0, 0, SESSION);
	first = mark(100);
	for (uint32_t i = 0; i < TENURE_MARKS_MAX; i++)
		mark(200 + i);
	assert_int_equal(ack(400, first), FENCER_OK);
	assert_int_equal(tenure_deadline(&t), TTL);
	assert_int_equal(ack(400, first + 1), FENCER_OK);
	assert_int_equal(tenure_deadline(&t), 200 + TTL);
}

/* R10: who is late asks for no more time, even before its tick. */
static void test_no_heartbeat_past_the_deadline(void **state)
{
	uint64_t seq;

	(void)state;
	open_session(0, 0, SESSION);
	assert_int_equal(tenure_mark(&t, TTL, &seq), FENCER_PAST_DEADLINE);
	mark(TTL - 1);
}

/* 2.6: messages with session 0 match nothing. */
static void test_session_zero_matches_nothing(void **state)
{
	struct agent_reply m = reply_of(0, 10, 10);

	(void)state;
	m.has_desired = true;
	assert_int_equal(hear(0, &m), FENCER_STALE);
	assert_false(took);
	assert_int_equal(t.version, 0);
}

/* R13: what was desired in one session is nothing in the next. */
static void test_desired_set_ends_with_its_session(void **state)
{
	struct desired_row row = want(1, 1500, false);
	struct tenure_run *run;

	(void)state;
	open_session(0, 0, SESSION);
	set(100, SESSION + 10, SESSION, &row, 1);
	tenure_end(&t);
	open_session(200, SESSION, SESSION + 100);
	assert_int_equal(gate(300, 1, 1500, &run), FENCER_NOT_DESIRED);
	assert_int_equal(tenure_applied(&t), 0);
}

/* H1: a delayed older set inside the session starts nothing. */
static void test_older_set_is_ignored(void **state)
{
	struct desired_row row = want(1, 1500, false);
	struct tenure_run *run;

	(void)state;
	open_session(0, 0, SESSION);
	/* R13: the first version is the session itself */
	set(100, SESSION, SESSION, &row, 1);
	assert_false(took);
	set(100, SESSION + 10, SESSION + 5, NULL, 0);
	assert_true(took);
	set(100, SESSION + 9, SESSION + 4, &row, 1);
	assert_false(took);
	set(100, SESSION + 10, SESSION + 5, &row, 1);
	assert_false(took);
	assert_int_equal(gate(100, 1, 1500, &run), FENCER_NOT_DESIRED);
	assert_int_equal(t.version, SESSION + 10);
	assert_int_equal(t.have, SESSION + 5);
}

/* 2.6: a reply without a set raises the version only of the very set we have. */
static void test_reply_without_set(void **state)
{
	struct agent_reply m;

	(void)state;
	open_session(0, 0, SESSION);
	/* before any set: nothing to raise, whatever it says */
	m = reply_of(0, SESSION + 5, 0);
	assert_int_equal(hear(50, &m), FENCER_OK);
	assert_int_equal(t.version, SESSION);
	assert_int_equal(tenure_applied(&t), 0);
	set(100, SESSION + 10, SESSION + 1, NULL, 0);
	m = reply_of(0, SESSION + 20, SESSION + 1);
	assert_int_equal(hear(200, &m), FENCER_OK);
	assert_int_equal(t.version, SESSION + 20);
	assert_int_equal(tenure_applied(&t), SESSION + 20);
	m = reply_of(0, SESSION + 30, SESSION + 25);
	assert_int_equal(hear(300, &m), FENCER_OK);
	assert_false(took);
	assert_int_equal(t.version, SESSION + 20);
	assert_int_equal(t.have, SESSION + 1);
	/* so the set itself, at that version, is still news */
	set(400, SESSION + 30, SESSION + 25, NULL, 0);
	assert_true(took);
}

/* R14: nothing is applied before a full set of this session. */
static void test_applied_is_zero_after_adoption(void **state)
{
	(void)state;
	open_session(0, 0, SESSION);
	assert_int_equal(tenure_applied(&t), 0);
	set(100, SESSION + 10, SESSION, NULL, 0);
	assert_int_equal(tenure_applied(&t), SESSION + 10);
	tenure_end(&t);
	assert_int_equal(tenure_applied(&t), 0);
	open_session(200, SESSION, SESSION + 100);
	assert_int_equal(tenure_applied(&t), 0);
}

/* H17: a revoked program is reported stopped when it is verified dead. */
static void test_applied_waits_for_the_dead(void **state)
{
	struct desired_row row = want(1, 1500, false);
	struct tenure_run *run;

	(void)state;
	open_session(0, 0, SESSION);
	set(100, SESSION + 10, SESSION + 1, &row, 1);
	assert_int_equal(tenure_applied(&t), SESSION + 10);
	run = start(100, 1, 1500);
	assert_true(tenure_wanted(&t, run));
	set(200, SESSION + 20, SESSION + 11, NULL, 0);
	assert_false(tenure_wanted(&t, run));
	assert_int_equal(tenure_applied(&t), SESSION + 10);
	tenure_stopping(&t, run);
	assert_int_equal(tenure_applied(&t), SESSION + 10);
	tenure_dead(&t, run);
	assert_int_equal(tenure_applied(&t), SESSION + 20);
}

/* R14: it waits for what is outside the set, not for what goes on in it. */
static void test_applied_does_not_wait_for_the_desired(void **state)
{
	struct desired_row rows[2] = { want(1, 1500, false),
				       want(2, 1501, true) };
	struct tenure_run *run;

	(void)state;
	open_session(0, 0, SESSION);
	set(100, SESSION + 10, SESSION + 1, rows, 2);
	run = start(100, 1, 1500);
	start(100, 2, 1501);
	set(200, SESSION + 20, SESSION + 11, rows + 1, 1);
	assert_int_equal(tenure_applied(&t), SESSION + 10);
	tenure_dead(&t, run);
	assert_int_equal(tenure_applied(&t), SESSION + 20);
	set(300, SESSION + 30, SESSION + 21, rows + 1, 1);
	assert_int_equal(tenure_applied(&t), SESSION + 30);
}

/* H16: a queued start does not survive a newer set, nor is it forgotten. */
static void test_queued_start_holds_applied_back(void **state)
{
	struct desired_row row = want(1, 1500, false);
	struct tenure_run *run;

	(void)state;
	open_session(0, 0, SESSION);
	set(100, SESSION + 10, SESSION + 1, &row, 1);
	assert_int_equal(gate(100, 1, 1500, &run), FENCER_OK);
	set(200, SESSION + 20, SESSION + 11, NULL, 0);
	assert_false(tenure_wanted(&t, run)); /* the caller cancels it */
	assert_int_equal(tenure_applied(&t), SESSION + 10);
	tenure_dead(&t, run);
	assert_int_equal(tenure_applied(&t), SESSION + 20);
	assert_int_equal(gate(210, 1, 1500, &run), FENCER_NOT_DESIRED);
}

/* R11: session open, now < deadline, in the current set, not running. */
static void test_gate(void **state)
{
	struct desired_row rows[2] = { want(1, 1500, false),
				       want(2, 1501, false) };
	struct hash program = hash_of(1);
	struct tenure_run *run, *other;

	(void)state;
	rows[1].lineage = rows[0].lineage;
	assert_int_equal(gate(0, 1, 1500, &run), FENCER_NO_SESSION);
	open_session(0, 0, SESSION);
	assert_int_equal(gate(1, 1, 1500, &run), FENCER_NOT_DESIRED);
	set(100, SESSION + 10, SESSION, rows, 2);
	assert_int_equal(gate(100, 1, 1499, &run), FENCER_NOT_DESIRED);
	assert_int_equal(gate(100, 3, 1500, &run), FENCER_NOT_DESIRED);
	assert_int_equal(tenure_gate(&t, 100, &program, GEN - 1, 1500, &run),
			 FENCER_NOT_DESIRED);
	assert_int_equal(gate(TTL, 1, 1500, &run), FENCER_PAST_DEADLINE);
	assert_int_equal(t.run_count, 0);
	run = start(TTL - 1, 1, 1500);
	assert_int_equal(gate(TTL - 1, 1, 1500, &other), FENCER_RUNNING);
	assert_int_equal(gate(TTL - 1, 2, 1501, &other), FENCER_NOT_DEAD);
	/* a new epoch of it waits for the death of the old one */
	rows[0].epoch = SESSION + 15;
	set(TTL - 1, SESSION + 20, SESSION + 15, rows, 1);
	assert_int_equal(gate(TTL - 1, 1, SESSION + 15, &other),
			 FENCER_NOT_DEAD);
	tenure_dead(&t, run);
	start(TTL - 1, 1, SESSION + 15);
	/* R24: one that ended by itself may start again in its epoch */
	tenure_dead(&t, tenure_find(&t, &program, GEN, SESSION + 15));
	start(TTL - 1, 1, SESSION + 15);
}

static void test_gate_is_bounded(void **state)
{
	static struct desired_row rows[FENCER_RUNS_MAX];
	struct agent_reply m;
	struct tenure_run *run;

	(void)state;
	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++) {
		rows[i] = want(0, 1500 + i, false);
		memcpy(rows[i].program.bytes, &i, sizeof i);
		rows[i].lineage = rows[i].program;
	}
	open_session(0, 0, SESSION);
	set(1, SESSION + 10, SESSION, rows, FENCER_RUNS_MAX);
	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++) {
		assert_int_equal(tenure_gate(&t, 2, &rows[i].program, GEN,
					     1500 + i, &run), FENCER_OK);
		tenure_started(&t, run);
	}
	set(3, SESSION + 20, SESSION + 11, rows, 1);
	rows[0] = want(9, SESSION + 12, false);
	set(3, SESSION + 30, SESSION + 12, rows, 1);
	assert_int_equal(gate(4, 9, SESSION + 12, &run), FENCER_FULL);
	/* a set beyond what can run is refused whole */
	m = reply_of(0, SESSION + 40, SESSION + 31);
	m.has_desired = true;
	m.desired_count = FENCER_RUNS_MAX + 1;
	assert_int_equal(hear(5, &m), FENCER_FULL);
	assert_int_equal(t.version, SESSION + 30);
}

/* R15: nothing registers while something of an earlier session may live. */
static void test_hello_needs_the_dead(void **state)
{
	struct desired_row row = want(1, 1500, false);
	struct tenure_run *run;

	(void)state;
	open_session(0, 0, SESSION);
	set(100, SESSION + 10, SESSION, &row, 1);
	run = start(100, 1, 1500);
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_HAS_SESSION);
	assert_true(tenure_tick(&t, TTL));
	assert_true(t.fencing);
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_NOT_DEAD);
	assert_int_equal(gate(TTL, 1, 1500, &run), FENCER_NO_SESSION);
	run = tenure_find(&t, &row.program, GEN, 1500);
	assert_non_null(run);
	tenure_dead(&t, run);
	assert_false(t.fencing);
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_OK);
}

/* R15: a held start that is still queued counts as alive: nothing is started
 * between drawing held[] and the adoption. */
static void test_hello_needs_no_queued_start(void **state)
{
	struct desired_row row = want(1, 1500, true);
	struct tenure_run *run;

	(void)state;
	open_session(0, 0, SESSION);
	set(100, SESSION + 10, SESSION, &row, 1);
	assert_int_equal(gate(100, 1, 1500, &run), FENCER_OK);
	assert_true(tenure_tick(&t, TTL));
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_NOT_DEAD);
	tenure_dead(&t, run);
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_OK);
	assert_int_equal(t.held_count, 0);
}

/* R10: nonce := 0. What was asked for before the end opens nothing. */
static void test_goodbye_forgets_the_nonce(void **state)
{
	(void)state;
	assert_int_equal(tenure_hello(&t, nonce_a), FENCER_OK);
	assert_int_equal(challenge(nonce_a, GEN, PREV), FENCER_OK);
	tenure_register_mark(&t, 100);
	tenure_end(&t);
	assert_int_equal(adopt(nonce_a, 101, SESSION), FENCER_STALE);
	assert_int_equal(t.session, 0);
}

/* Nor does a nonce of zeros, as one that was forgotten is: its held[] would be
 * empty, and what is not in held[] is free. */
static void test_no_nonce_is_no_nonce(void **state)
{
	static const uint8_t none[16];

	(void)state;
	assert_int_equal(challenge(none, GEN, PREV), FENCER_STALE);
	open_session(0, PREV, SESSION);
	tenure_end(&t);
	assert_int_equal(challenge(none, GEN, SESSION), FENCER_STALE);
	assert_int_equal(adopt(none, 100, SESSION + 100), FENCER_STALE);
}

/* A wish names the program and its epoch, the epoch its generation: what is
 * another's is not found. */
static void test_find(void **state)
{
	struct desired_row row = want(1, 1500, false);
	struct hash program = hash_of(1), other = hash_of(2);
	struct tenure_run *run;

	(void)state;
	open_session(0, 0, SESSION);
	set(100, SESSION + 10, SESSION + 1, &row, 1);
	run = start(100, 1, 1500);
	assert_ptr_equal(tenure_find(&t, &program, GEN, 1500), run);
	assert_null(tenure_find(&t, &program, GEN, 1499));
	assert_null(tenure_find(&t, &program, GEN - 1, 1500));
	assert_null(tenure_find(&t, &other, GEN, 1500));
}

/* H22: one nonce, one prev. */
static void test_second_challenge_is_ignored(void **state)
{
	(void)state;
	assert_int_equal(challenge(nonce_a, GEN, PREV), FENCER_STALE);
	assert_int_equal(tenure_hello(&t, nonce_a), FENCER_OK);
	assert_int_equal(challenge(nonce_b, GEN, PREV), FENCER_STALE);
	assert_int_equal(challenge(nonce_a, GEN, PREV), FENCER_OK);
	assert_int_equal(challenge(nonce_a, GEN, PREV + 1), FENCER_STALE);
	assert_int_equal(challenge(nonce_a, GEN + 1, 0), FENCER_STALE);
	assert_int_equal(t.prev, PREV);
	assert_int_equal(t.gen, GEN);
}

/* H22: one nonce, one adoption; never before the Register was sent. */
static void test_one_adoption(void **state)
{
	(void)state;
	assert_int_equal(tenure_hello(&t, nonce_a), FENCER_OK);
	assert_int_equal(adopt(nonce_a, 1, SESSION), FENCER_STALE);
	assert_int_equal(challenge(nonce_a, GEN, PREV), FENCER_OK);
	assert_int_equal(adopt(nonce_a, 1, SESSION), FENCER_STALE);
	tenure_register_mark(&t, 100);
	assert_int_equal(adopt(nonce_b, 101, SESSION), FENCER_STALE);
	assert_int_equal(adopt(nonce_a, 101, SESSION), FENCER_OK);
	assert_int_equal(adopt(nonce_a, 102, SESSION + 1), FENCER_HAS_SESSION);
	tenure_end(&t);
	assert_int_equal(adopt(nonce_a, 103, SESSION + 1), FENCER_STALE);
	assert_int_equal(t.session, 0);
}

/* R15: S above every prev that was ever sent, not only the last one. */
static void test_adopts_only_above_every_prev(void **state)
{
	(void)state;
	assert_int_equal(tenure_hello(&t, nonce_a), FENCER_OK);
	assert_int_equal(challenge(nonce_a, GEN, PREV), FENCER_OK);
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_OK);
	assert_int_equal(challenge(nonce_b, GEN, PREV - 500), FENCER_OK);
	tenure_register_mark(&t, 100);
	assert_int_equal(adopt(nonce_b, 101, PREV), FENCER_STALE);
	assert_int_equal(adopt(nonce_b, 101, PREV + 1), FENCER_OK);
}

/* A repeated Register keeps the time at which its bytes were first sent. */
static void test_register_keeps_its_first_time(void **state)
{
	(void)state;
	assert_int_equal(tenure_hello(&t, nonce_a), FENCER_OK);
	assert_int_equal(challenge(nonce_a, GEN, PREV), FENCER_OK);
	tenure_register_mark(&t, 100);
	tenure_register_mark(&t, 3000);
	assert_int_equal(adopt(nonce_a, 3100, SESSION), FENCER_OK);
	assert_int_equal(tenure_deadline(&t), 100 + TTL);
}

static void test_ack_of_register_comes_too_late(void **state)
{
	(void)state;
	assert_int_equal(tenure_hello(&t, nonce_a), FENCER_OK);
	assert_int_equal(challenge(nonce_a, GEN, PREV), FENCER_OK);
	tenure_register_mark(&t, 100);
	assert_int_equal(adopt(nonce_a, 100 + TTL, SESSION),
			 FENCER_PAST_DEADLINE);
	assert_int_equal(t.session, 0);
	assert_int_equal(adopt(nonce_a, 200, SESSION), FENCER_STALE);
}

/* 2.6: a higher gen by a Challenge without a session, a lower one never. */
static void test_generation(void **state)
{
	(void)state;
	open_session(0, PREV, SESSION);
	assert_int_equal(challenge(nonce_a, GEN + 1, 0), FENCER_HAS_SESSION);
	assert_int_equal(t.gen, GEN);
	tenure_end(&t);
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_OK);
	assert_int_equal(challenge(nonce_b, GEN - 1, 0), FENCER_STALE);
	assert_int_equal(challenge(nonce_b, GEN + 1, 5), FENCER_OK);
	assert_int_equal(t.gen, GEN + 1);
	/* stamps rewound: a session below those of the old gen is fine */
	tenure_register_mark(&t, 0);
	assert_int_equal(adopt(nonce_b, 1, 6), FENCER_OK);
	tenure_end(&t);
	assert_int_equal(tenure_hello(&t, nonce_a), FENCER_OK);
	assert_int_equal(challenge(nonce_a, GEN, SESSION), FENCER_STALE);
}

static void test_adoption_in_another_gen(void **state)
{
	struct agent_register_ack m = { .gen = GEN + 1, .session = SESSION,
					.ttl_a_ms = TTL };

	(void)state;
	memcpy(m.nonce, nonce_a, sizeof m.nonce);
	assert_int_equal(tenure_hello(&t, nonce_a), FENCER_OK);
	assert_int_equal(challenge(nonce_a, GEN, 0), FENCER_OK);
	tenure_register_mark(&t, 0);
	assert_int_equal(tenure_adopt(&t, 1, &m), FENCER_STALE);
}

/* A held run and an exclusive one, running at `now_ms`. */
static struct tenure_run *start_both(uint64_t now_ms)
{
	struct desired_row rows[2] = { want(1, 1500, true),
				       want(2, 1501, false) };

	open_session(now_ms, PREV, SESSION);
	set(now_ms, SESSION + 10, SESSION, rows, 2);
	start(now_ms, 2, 1501);
	return start(now_ms, 1, 1500);
}

/* R23: the held run survives, is reported, and nobody starts or stops it. */
static void test_held_run_survives_the_deadline(void **state)
{
	struct hash exclusive = hash_of(2), program = hash_of(1);
	struct tenure_run *run = start_both(0), *other;

	(void)state;
	assert_true(tenure_tick(&t, TTL));
	assert_true(tenure_wanted(&t, run));
	other = tenure_find(&t, &exclusive, GEN, 1501);
	assert_false(tenure_wanted(&t, other));
	tenure_dead(&t, other);
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_OK);
	assert_int_equal(t.held_count, 1);
	assert_true(hash_equal(&t.held[0].program, &program));
	assert_int_equal(t.held[0].epoch, 1500);
	assert_true(t.held[0].running);
	assert_int_equal(gate(TTL, 1, 1500, &other), FENCER_NO_SESSION);
	/* drawn with the nonce: a death in between changes no byte of it */
	tenure_dead(&t, run);
	assert_int_equal(t.held_count, 1);
	assert_int_equal(challenge(nonce_b, GEN, SESSION), FENCER_OK);
	assert_int_equal(t.held_count, 1);
}

/* R23: kept[] is left alone until the first set, then the set decides. */
static void test_kept_run(void **state)
{
	struct tenure_run *run = start_both(0);
	struct hash program = hash_of(1), exclusive = hash_of(2);

	(void)state;
	tenure_end(&t);
	tenure_dead(&t, tenure_find(&t, &exclusive, GEN, 1501));
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_OK);
	assert_int_equal(challenge(nonce_b, GEN, SESSION), FENCER_OK);
	tenure_register_mark(&t, 5000);
	assert_int_equal(adopt_kept(nonce_b, 5001, SESSION + 100, &program, 1),
			 FENCER_OK);
	assert_false(run->condemned);
	assert_true(tenure_wanted(&t, run));
	mark(5002);
	/* it is not a set: nothing is applied, and `have` tells so */
	assert_int_equal(t.have, 0);
	assert_int_equal(tenure_applied(&t), 0);
	set(5003, SESSION + 110, SESSION + 100, NULL, 0);
	assert_false(tenure_wanted(&t, run));
	assert_int_equal(tenure_applied(&t), 0);
	tenure_dead(&t, run);
	assert_int_equal(tenure_applied(&t), SESSION + 110);
}

/* R14: kept[] is no set, and the death of a run in it makes none of it. */
static void test_kept_run_dies(void **state)
{
	struct tenure_run *run = start_both(0);
	struct hash program = hash_of(1), exclusive = hash_of(2);

	(void)state;
	tenure_end(&t);
	tenure_dead(&t, tenure_find(&t, &exclusive, GEN, 1501));
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_OK);
	assert_int_equal(challenge(nonce_b, GEN, SESSION), FENCER_OK);
	tenure_register_mark(&t, 5000);
	assert_int_equal(adopt_kept(nonce_b, 5001, SESSION + 100, &program, 1),
			 FENCER_OK);
	tenure_dead(&t, run);
	assert_int_equal(tenure_applied(&t), 0);
}

/* R23: a held run that is not kept dies before the first heartbeat. */
static void test_run_that_is_not_kept(void **state)
{
	struct tenure_run *run = start_both(0);
	struct hash other = hash_of(9), exclusive = hash_of(2);
	uint64_t seq;

	(void)state;
	tenure_end(&t);
	tenure_dead(&t, tenure_find(&t, &exclusive, GEN, 1501));
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_OK);
	assert_int_equal(challenge(nonce_b, GEN, SESSION), FENCER_OK);
	tenure_register_mark(&t, 5000);
	assert_int_equal(adopt_kept(nonce_b, 5001, SESSION + 100, &other, 1),
			 FENCER_OK);
	assert_true(run->condemned);
	assert_false(tenure_wanted(&t, run));
	assert_int_equal(tenure_mark(&t, 5002, &seq), FENCER_NOT_DEAD);
	tenure_dead(&t, run);
	assert_int_equal(tenure_mark(&t, 5003, &seq), FENCER_OK);
}

/* Rows that an earlier fencer left: exclusive ones bar the Hello, an unknown
 * held one is told as unknown and bars its program. */
static void test_found_runs(void **state)
{
	struct tenure_run left = { .state = TENURE_RUN_LIVE,
				   .program = hash_of(1),
				   .lineage = hash_of(1), .gen = GEN,
				   .epoch = 1500 };
	struct tenure_run held = { .state = TENURE_RUN_UNKNOWN,
				   .program = hash_of(2),
				   .lineage = hash_of(2), .gen = GEN - 1,
				   .epoch = 9000, .hold = true };
	struct desired_row row = want(2, 1600, true);
	struct tenure_run *run, *other;

	(void)state;
	run = tenure_found(&t, 0, &left);
	tenure_found(&t, 7, &held);
	assert_int_equal(tenure_hello(&t, nonce_a), FENCER_NOT_DEAD);
	assert_false(tenure_may_pet(&t, 0));
	tenure_dead(&t, run);
	assert_true(tenure_may_pet(&t, 0));
	assert_int_equal(tenure_hello(&t, nonce_a), FENCER_OK);
	assert_int_equal(t.held_count, 1);
	assert_false(t.held[0].running);
	assert_int_equal(t.held[0].gen, GEN - 1);
	assert_int_equal(challenge(nonce_a, GEN, 0), FENCER_OK);
	tenure_register_mark(&t, 0);
	assert_int_equal(adopt_kept(nonce_a, 1, SESSION, &held.program, 1),
			 FENCER_OK);
	set(2, SESSION + 10, SESSION, &row, 1);
	assert_int_equal(gate(3, 2, 1600, &other), FENCER_NOT_DEAD);
}

/* R9: the dog is petted while the lease holds or nothing exclusive lives. */
static void test_watchdog(void **state)
{
	struct hash exclusive = hash_of(2);

	(void)state;
	assert_true(tenure_may_pet(&t, 0));
	start_both(0);
	assert_true(tenure_may_pet(&t, TTL - 1));
	assert_false(tenure_may_pet(&t, TTL)); /* before any tick */
	assert_true(tenure_tick(&t, TTL));
	assert_false(tenure_may_pet(&t, TTL));
	tenure_dead(&t, tenure_find(&t, &exclusive, GEN, 1501));
	assert_true(tenure_may_pet(&t, TTL)); /* the held one may live */
}

/* A goodbye is the deadline, earlier. */
static void test_goodbye(void **state)
{
	struct hash exclusive = hash_of(2);
	uint64_t seq;

	(void)state;
	start_both(0);
	tenure_end(&t);
	assert_true(t.fencing);
	assert_int_equal(tenure_deadline(&t), 0);
	assert_int_equal(tenure_mark(&t, 1, &seq), FENCER_NO_SESSION);
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_NOT_DEAD);
	tenure_dead(&t, tenure_find(&t, &exclusive, GEN, 1501));
	assert_int_equal(tenure_hello(&t, nonce_b), FENCER_OK);
}

#define STORY(function) cmocka_unit_test_setup(function, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_deadline_from_send_time),
		STORY(test_retransmission_is_a_new_seq),
		STORY(test_deadline_only_grows),
		STORY(test_late_ack_revives_nothing),
		STORY(test_messages_of_others_are_dropped),
		STORY(test_seq_goes_on_over_sessions),
		STORY(test_got_ack),
		STORY(test_no_ack_ends_the_session),
		STORY(test_marks_are_bounded),
		STORY(test_no_heartbeat_past_the_deadline),
		STORY(test_session_zero_matches_nothing),
		STORY(test_desired_set_ends_with_its_session),
		STORY(test_older_set_is_ignored),
		STORY(test_reply_without_set),
		STORY(test_applied_is_zero_after_adoption),
		STORY(test_applied_waits_for_the_dead),
		STORY(test_applied_does_not_wait_for_the_desired),
		STORY(test_queued_start_holds_applied_back),
		STORY(test_gate),
		STORY(test_gate_is_bounded),
		STORY(test_hello_needs_the_dead),
		STORY(test_hello_needs_no_queued_start),
		STORY(test_goodbye_forgets_the_nonce),
		STORY(test_no_nonce_is_no_nonce),
		STORY(test_find),
		STORY(test_second_challenge_is_ignored),
		STORY(test_one_adoption),
		STORY(test_adopts_only_above_every_prev),
		STORY(test_register_keeps_its_first_time),
		STORY(test_ack_of_register_comes_too_late),
		STORY(test_generation),
		STORY(test_adoption_in_another_gen),
		STORY(test_held_run_survives_the_deadline),
		STORY(test_kept_run),
		STORY(test_kept_run_dies),
		STORY(test_run_that_is_not_kept),
		STORY(test_found_runs),
		STORY(test_watchdog),
		STORY(test_goodbye),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
