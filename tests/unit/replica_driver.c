/* The leader's driver, told as stories. The state machine is the real one; the
 * log is a list that is applied when the story says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/kit/driver_world.h"

struct entry_bytes {
	uint8_t data[256];
	size_t size;
};

static bool own_write(void *ctx, const void *data, size_t size)
{
	struct entry_bytes *b = ctx;

	assert_true(size <= sizeof b->data - b->size);
	memcpy(b->data + b->size, data, size);
	b->size += size;
	return true;
}

static struct fsm_status status_of(struct world *w)
{
	struct fsm_status status;

	fsm_status(fsm_live(w->fsm), &status);
	return status;
}

static struct fsm_crn crn_of(struct world *w, const struct world_agent *a)
{
	struct fsm_crn crn;
	slot_t slot = fsm_crn_find(fsm_live(w->fsm), &a->crn);

	assert_true(slot != SLOT_NONE);
	assert_true(fsm_crn_read(fsm_live(w->fsm), slot, &crn));
	return crn;
}

static struct fsm_program program_of(struct world *w,
				     const struct command *put)
{
	struct fsm_program p;
	slot_t slot = fsm_program_find(fsm_live(w->fsm),
				       &put->program_put.program);

	assert_true(slot != SLOT_NONE);
	assert_true(fsm_program_read(fsm_live(w->fsm), slot, &p));
	return p;
}

static struct driver_status counts_of(struct world *w)
{
	struct driver_status counts;

	driver_status(w->driver, &counts);
	return counts;
}

/* --- R3, R4 ---------------------------------------------------------------- */

static void test_lead_comes_first(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	world_agent(&a, 1);
	driver_leader(w->driver, true, ++w->term);
	assert_int_equal(world_hello(w, &a, 1), BERTH_NOTLEADER);
	w->now_ms += 5000;
	world_tick(w);
	world_tick(w);
	assert_int_equal(world_waiting(w), 1);
	assert_int_equal(world_proposed(w, FSM_LEAD), 1);
	assert_false(counts_of(w).leading);
	assert_true(world_apply(w));
	assert_true(counts_of(w).leading);
	assert_int_equal(status_of(w).term, w->term);
	assert_int_equal(status_of(w).leader, 1);
}

static void test_clock_counts_from_own_lead(void **state)
{
	struct world *w = *state;

	driver_leader(w->driver, true, ++w->term);
	world_tick(w);
	w->now_ms += 1500; /* the Lead took long: no time of ours */
	assert_true(world_apply(w));
	world_settle(w);
	assert_int_equal(status_of(w).c_ms, 0);
	w->now_ms += 300;
	world_settle(w);
	assert_int_equal(status_of(w).c_ms, 300);
}

static void test_failed_beat_consumes_its_interval(void **state)
{
	struct world *w = *state;

	world_lead(w);
	world_settle(w);
	w->now_ms += 300;
	w->refuse = BERTH_BUSY;
	world_tick(w);
	w->refuse = 0;
	w->now_ms += 260;
	world_settle(w);
	assert_int_equal(status_of(w).c_ms, 260); /* R4: not 560 */
}

static void test_new_term_has_a_new_anchor(void **state)
{
	struct world *w = *state;

	world_lead(w);
	world_settle(w);
	driver_leader(w->driver, false, w->term);
	w->now_ms += 1900; /* another led, or nobody */
	world_tick(w);
	assert_int_equal(world_waiting(w), 0);
	world_lead(w);
	world_settle(w);
	assert_int_equal(status_of(w).c_ms, 0);
}

/* --- registration ------------------------------------------------------------ */

static void test_unknown_crn_is_refused_in_words(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_refused m;
	const struct world_frame *frame;

	world_agent(&a, 1);
	world_lead(w);
	assert_int_equal(world_hello(w, &a, 1), 0);
	frame = world_sent(w, AGENT_REFUSED);
	assert_non_null(frame);
	assert_int_equal(agent_refused_decode(frame->payload, frame->size, &m),
			 0);
	assert_int_equal(m.refusal, FSM_REFUSED_UNKNOWN_CRN);
	assert_int_equal(m.of, AGENT_HELLO);
	assert_true(m.message.size > 10);
	assert_null(world_sent(w, AGENT_CHALLENGE));
}

static void test_register_opens_a_session(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	stamp_t first;

	world_agent(&a, 1);
	world_lead(w);
	world_admit(w, &a);
	assert_true(world_register(w, &a, 7));
	assert_true(crn_of(w, &a).alive);
	assert_int_equal(crn_of(w, &a).session, a.session);
	first = a.session;
	assert_true(world_register(w, &a, 8));
	assert_true(a.session > first);
}

static void test_register_for_another_is_denied(void **state)
{
	struct world *w = *state;
	struct world_agent a, b;

	world_agent(&a, 1);
	world_agent(&b, 2);
	world_lead(w);
	world_admit(w, &a);
	world_admit(w, &b);
	/* b's certificate, a's name. */
	a.crn = b.crn;
	world_agent(&b, 1);
	{
		uint8_t data[512];
		struct agent_hello m = { .crn = b.crn };
		size_t size = agent_hello_encode(&m, data, sizeof data);

		assert_int_equal(driver_agent_frame(w->driver,
						    fsm_live(w->fsm), &a.route,
						    &a.crn, AGENT_HELLO, data,
						    size), BERTH_DENIED);
	}
	assert_null(world_sent(w, AGENT_CHALLENGE));
}

static int say_as(struct world *w, const struct hash *certificate, uint8_t type,
		  const struct command *command)
{
	const struct agent_route route = { 1, 77 };
	uint8_t data[1024];
	size_t size = agent_command_encode(command, data, sizeof data);

	return driver_agent_frame(w->driver, fsm_live(w->fsm), &route,
				  certificate, type, data, size);
}

/* One CRN's certificate ends no other's session and offers nothing for it. */
static void test_commands_for_another_are_denied(void **state)
{
	struct command reg = { .type = FSM_REGISTER };
	struct command report = { .type = FSM_CRN_REPORT };
	struct world *w = *state;
	struct world_agent a, b;

	world_agent(&a, 1);
	world_agent(&b, 2);
	world_lead(w);
	world_join(w, &a, 4);
	world_admit(w, &b);
	reg.reg = (struct command_register){
		.gen = a.gen, .crn = a.crn, .host = a.host, .boot = a.boot,
		.prev = a.session, .k_ms = 900, .class = CRN_FENCED };
	memset(reg.reg.nonce, 9, sizeof reg.reg.nonce);
	report.report.crn = a.crn;
	report.report.session = a.session;
	assert_int_equal(say_as(w, &b.crn, AGENT_REGISTER, &reg),
			 BERTH_DENIED);
	assert_int_equal(say_as(w, &b.crn, AGENT_REPORT, &report),
			 BERTH_DENIED);
	world_settle(w);
	assert_true(crn_of(w, &a).session == a.session);
	assert_int_equal(crn_of(w, &a).vcpus, 4);
	/* and what is not a command of an agent is none */
	assert_int_equal(say_as(w, &a.crn, AGENT_REPORT, &reg),
			 BERTH_MALFORMED);
	reg.type = FSM_EXPIRE;
	assert_int_equal(say_as(w, &a.crn, AGENT_REGISTER, &reg),
			 BERTH_MALFORMED);
}

static void test_duplicate_register_is_acked_again(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	stamp_t session;

	world_agent(&a, 1);
	world_lead(w);
	world_admit(w, &a);
	assert_true(world_register(w, &a, 7));
	session = a.session;
	world_forget_frames(w);
	/* The same bytes, late. */
	assert_int_equal(world_say_register(w, &a, 0, 7), 0);
	world_settle(w);
	assert_non_null(world_sent(w, AGENT_REGISTER_ACK));
	assert_int_equal(crn_of(w, &a).session, session);
}

static void test_stale_register_is_refused(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_refused m;
	const struct world_frame *frame;

	world_agent(&a, 1);
	world_lead(w);
	world_admit(w, &a);
	assert_true(world_register(w, &a, 7));
	assert_int_equal(world_say_register(w, &a, 0, 9), 0);
	world_settle(w);
	frame = world_sent(w, AGENT_REFUSED);
	assert_non_null(frame);
	assert_int_equal(agent_refused_decode(frame->payload, frame->size, &m),
			 0);
	assert_int_equal(m.refusal, FSM_REFUSED_PREV);
	assert_int_equal(m.nonce[0], 9);
}

static void test_garbage_is_dropped_and_counted(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	static const uint8_t junk[] = { 0xc1, 0xff, 0x00, 0x93 };

	world_agent(&a, 1);
	world_lead(w);
	for (unsigned type = 0; type < 256; type++)
		(void)driver_agent_frame(w->driver, fsm_live(w->fsm), &a.route,
					 &a.crn, (uint8_t)type, junk,
					 sizeof junk);
	assert_int_equal(w->frame_count, 0);
	assert_true(counts_of(w).dropped_frames > 200);
}

/* --- R5, R6 ------------------------------------------------------------------- */

static void test_only_the_frozen_batch_is_acknowledged(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_reply reply;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_forget_frames(w);
	assert_int_equal(world_heartbeat(w, &a, NULL, 0), 0);
	w->now_ms += 300;
	world_tick(w); /* frozen and proposed */
	assert_int_equal(world_proposed(w, FSM_BEAT), 1);
	assert_int_equal(world_heartbeat(w, &a, NULL, 0), 0); /* too late */
	assert_int_equal(w->frame_count, 0); /* nothing before apply */
	assert_true(world_apply(w));
	assert_true(world_follow(w, &a, &reply));
	assert_int_equal(w->frame_count, 1);
	assert_int_equal(reply.ack_seq, a.seq - 1);
	assert_int_equal(reply.version, stamp_version(w->applied));
	w->now_ms += 300;
	world_settle(w);
	assert_true(world_follow(w, &a, &reply));
	assert_int_equal(reply.ack_seq, a.seq);
}

static void test_newest_heartbeat_counts(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_reply reply;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_heartbeat(w, &a, NULL, 0);
	world_heartbeat(w, &a, NULL, 0);
	a.seq -= 2; /* one that was overtaken on its way */
	world_heartbeat(w, &a, NULL, 0);
	a.seq += 1;
	world_forget_frames(w);
	world_pass(w, 300);
	assert_true(world_follow(w, &a, &reply));
	assert_int_equal(reply.ack_seq, a.seq);
	assert_int_equal(w->frame_count, 1);
}

static void test_deposed_leader_answers_nothing(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_forget_frames(w);
	world_heartbeat(w, &a, NULL, 0);
	w->now_ms += 300;
	world_tick(w);
	driver_leader(w->driver, false, w->term);
	while (world_apply(w)) /* committed after all, by another */
		world_tick(w);
	assert_int_equal(w->frame_count, 0);
	assert_int_equal(world_heartbeat(w, &a, NULL, 0), BERTH_NOTLEADER);
	/* Nor does the next term answer for this one. */
	world_lead(w);
	world_pass(w, 1000);
	assert_int_equal(w->frame_count, 0);
}

/* Another leader's entry may stand where ours was proposed. */
static void test_anothers_entry_at_our_index_answers_nothing(void **state)
{
	struct world *w = *state;
	struct command lead = { .type = FSM_LEAD };
	struct fsm_result result = { .type = FSM_LEAD };
	struct entry_bytes b = { .size = 0 };
	struct byte_sink sink = { &b, own_write };
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_pass(w, 1000);
	world_forget_frames(w);
	world_heartbeat(w, &a, NULL, 0);
	w->now_ms += 300;
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_BEAT), 1);
	lead.lead.term = w->term + 1;
	assert_true(command_entry_begin(&sink, w->term + 1, 1));
	assert_true(command_encode(&sink, &lead));
	fsm_apply(w->fsm, w->log->index, b.data, b.size, NULL);
	driver_applied(w->driver, fsm_live(w->fsm), w->log->index, &result, 1);
	assert_int_equal(w->frame_count, 0);
	driver_leader(w->driver, false, w->term);
}

/* A heartbeat of a session that is not: refused, and the true ones count. */
static void test_made_up_session_hides_nothing(void **state)
{
	struct world *w = *state;
	struct world_agent a, other;
	struct agent_reply reply;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	other = a;
	other.session += 1000;
	assert_int_equal(world_heartbeat(w, &other, NULL, 0), BERTH_MISMATCH);
	world_forget_frames(w);
	world_heartbeat(w, &a, NULL, 0);
	world_pass(w, 600);
	assert_true(world_follow(w, &a, &reply));
	assert_int_equal(reply.ack_seq, a.seq);
}

static void test_dead_session_is_not_acknowledged(void **state)
{
	struct world *w = *state;
	struct world_agent a, old;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	old = a;
	assert_true(world_register(w, &a, 50));
	world_forget_frames(w);
	world_heartbeat(w, &old, NULL, 0);
	world_pass(w, 600);
	assert_int_equal(w->frame_count, 0);
}

static void test_session_that_ends_before_its_beat(void **state)
{
	struct world *w = *state;
	struct world_agent a, old;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_settle(w);
	old = a;
	world_forget_frames(w);
	assert_int_equal(world_say_register(w, &a, a.session, 60), 0);
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_REGISTER), 1);
	/* Not applied yet: the old session is still alive in the state. */
	assert_int_equal(world_heartbeat(w, &old, NULL, 0), 0);
	w->now_ms += 300;
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_BEAT), 1);
	world_settle(w);
	assert_non_null(world_sent(w, AGENT_REGISTER_ACK));
	assert_null(world_sent(w, AGENT_REPLY)); /* it renewed nothing */
}

static void test_desired_is_left_out_when_known(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_reply reply;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_heartbeat(w, &a, NULL, 0);
	world_pass(w, 300);
	assert_true(world_follow(w, &a, &reply));
	assert_false(reply.has_desired);
	assert_int_equal(reply.changed, a.have);
	a.have = 0; /* lost it: it is told again */
	world_heartbeat(w, &a, NULL, 0);
	world_pass(w, 300);
	assert_true(world_follow(w, &a, &reply));
	assert_true(reply.has_desired);
}

/* --- R7, R8 -------------------------------------------------------------------- */

static void test_silence_ends_in_expiry_at_apply(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_pass(w, 4000);
	assert_true(crn_of(w, &a).alive);
	while (world_proposed(w, FSM_EXPIRE) == 0) {
		w->now_ms += 50;
		world_tick(w);
		if (world_proposed(w, FSM_EXPIRE) == 0)
			(void)world_apply(w);
		assert_true(w->now_ms < 30000);
	}
	assert_true(crn_of(w, &a).alive); /* proposing ends nothing */
	world_settle(w);
	assert_false(crn_of(w, &a).alive);
	assert_int_equal(counts_of(w).expiries, 1);
}

static void test_renewal_before_expiry_wins(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct fsm_status status;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	for (;;) { /* to the brink, without an Expire proposed */
		w->now_ms += 50;
		status = status_of(w);
		if (crn_of(w, &a).exp_ms - status.c_ms <= 300)
			break;
		world_settle(w);
	}
	world_settle(w);
	world_heartbeat(w, &a, NULL, 0);
	world_pass(w, 1000);
	assert_true(crn_of(w, &a).alive);
	assert_int_equal(counts_of(w).expiries, 0);
}

static void test_program_is_placed_and_pushed(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_reply reply;
	struct command put;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_forget_frames(w);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	assert_int_equal(program_of(w, &put).state, PROGRAM_ASSIGNED);
	assert_true(world_follow(w, &a, &reply)); /* without a heartbeat */
	assert_int_equal(reply.ack_seq, 0);
	assert_true(reply.has_desired);
	assert_int_equal(reply.desired_count, 1);
	assert_true(hash_equal(&reply.desired[0].program,
			       &put.program_put.program));
	assert_int_equal(reply.desired[0].epoch, program_of(w, &put).epoch);
	assert_int_equal(counts_of(w).placements, 1);
	/* Told once; the next answer need not repeat it. */
	world_forget_frames(w);
	world_heartbeat(w, &a, NULL, 0);
	world_pass(w, 300);
	assert_true(world_follow(w, &a, &reply));
	assert_false(reply.has_desired);
	assert_int_equal(w->frame_count, 1);
}

static void test_nothing_is_placed_before_established(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct command put;

	world_agent(&a, 1);
	world_lead(w);
	world_admit(w, &a);
	assert_true(world_register(w, &a, 7));
	world_report(w, &a, 4);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	world_pass(w, 2000);
	assert_int_equal(program_of(w, &put).state, PROGRAM_FREE);
}

static void test_moves_after_expiry(void **state)
{
	struct world *w = *state;
	struct world_agent a, b;
	struct agent_reply reply;
	struct command put;
	struct fsm_program p;
	struct world_agent *alive, *silent;

	world_agent(&a, 1);
	world_agent(&b, 2);
	world_lead(w);
	world_join(w, &a, 4);
	world_join(w, &b, 4);
	world_heartbeat(w, &a, NULL, 0);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	p = program_of(w, &put);
	assert_int_equal(p.state, PROGRAM_ASSIGNED);
	silent = hash_equal(&p.crn_hash, &a.crn) ? &a : &b;
	alive = silent == &a ? &b : &a;
	for (int i = 0; i < 20; i++) {
		world_heartbeat(w, alive, NULL, 0);
		world_pass(w, 500);
		world_follow(w, alive, &reply);
		world_forget_frames(w);
	}
	assert_false(crn_of(w, silent).alive);
	p = program_of(w, &put);
	assert_int_equal(p.state, PROGRAM_ASSIGNED);
	assert_true(hash_equal(&p.crn_hash, &alive->crn));
}

/* --- R24 -------------------------------------------------------------------------- */

static struct agent_run run_of(struct world *w, const struct command *put,
			       enum run_status status, uint32_t failures)
{
	struct fsm_program p = program_of(w, put);

	return (struct agent_run){ .program = put->program_put.program,
				   .gen = p.gen, .epoch = p.epoch,
				   .status = status, .failures = failures,
				   .reason = { "no such file", 12 } };
}

static void test_failed_starts_are_revoked_once(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_run run;
	struct agent_run told;
	struct command put;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	run = run_of(w, &put, RUN_BACKOFF, 2);
	world_heartbeat(w, &a, &run, 1);
	world_settle(w);
	assert_int_equal(program_of(w, &put).state, PROGRAM_ASSIGNED);
	assert_true(driver_run_status(w->driver, &run.program, &told));
	assert_int_equal(told.status, RUN_BACKOFF);
	run.failures = 3;
	world_heartbeat(w, &a, &run, 1);
	world_settle(w);
	assert_int_equal(program_of(w, &put).state, PROGRAM_REVOKING);
	world_heartbeat(w, &a, &run, 1);
	world_settle(w);
	assert_int_equal(counts_of(w).failed_starts, 1);
	world_heartbeat(w, &a, NULL, 0);
	assert_false(driver_run_status(w->driver, &run.program, &told));
}

/* What an agent writes as a reason is told in the log of all replicas: bytes
 * that apply could not read there would stop every one of them, for ever. */
static void test_no_reason_of_an_agent_stops_the_replicas(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_run run;
	struct command put;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	run = run_of(w, &put, RUN_FAILED, 3);
	run.reason = (struct text){ "no\0such\0file", 12 };
	world_heartbeat(w, &a, &run, 1);
	world_settle(w);
	assert_int_equal(program_of(w, &put).state, PROGRAM_REVOKING);
	assert_int_equal(counts_of(w).failed_starts, 1);
}

/* R24 speaks of starts: one that runs at last, or that ran, is left alone; and
 * so is what another generation says. */
static void test_running_program_is_not_revoked(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_run run;
	struct command put;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	run = run_of(w, &put, RUN_FAILED, 9);
	run.gen++;
	world_heartbeat(w, &a, &run, 1);
	world_settle(w);
	assert_int_equal(program_of(w, &put).state, PROGRAM_ASSIGNED);
	run = run_of(w, &put, RUN_RUNNING, 9);
	world_heartbeat(w, &a, &run, 1);
	world_settle(w);
	assert_int_equal(program_of(w, &put).state, PROGRAM_ASSIGNED);
	assert_int_equal(counts_of(w).failed_starts, 0);
}

static void test_slow_start_is_revoked(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_reply reply;
	struct agent_run run;
	struct command put;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	run = run_of(w, &put, RUN_STARTING, 0);
	for (int i = 0; i < 130; i++) {
		world_heartbeat(w, &a, &run, 1);
		world_pass(w, 500);
		assert_true(world_follow(w, &a, &reply));
		world_forget_frames(w);
		if (i == 110)
			assert_int_equal(program_of(w, &put).state,
					 PROGRAM_ASSIGNED);
	}
	assert_int_equal(counts_of(w).failed_starts, 1);
}

/* One that its agent took and does not speak of is no better off than one that
 * does not start; what it spoke of once is not yet late when it stops that. */
static void test_unmentioned_program_is_revoked(void **state)
{
	struct world *w = *state;
	struct agent_reply reply;
	struct agent_run run, told;
	struct world_agent a;
	struct command put;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	run = run_of(w, &put, RUN_STARTING, 0);
	for (int i = 0; i < 240; i++) {
		world_heartbeat(w, &a, &run, i == 100);
		assert_true(driver_run_status(w->driver, &run.program,
					      &told) == (i == 100));
		world_pass(w, 500);
		assert_true(world_follow(w, &a, &reply));
		world_forget_frames(w);
		if (i == 215)
			assert_int_equal(counts_of(w).failed_starts, 0);
	}
	assert_int_equal(counts_of(w).failed_starts, 1);
	assert_int_not_equal(program_of(w, &put).state, PROGRAM_ASSIGNED);
}

/* A set that did not arrive says nothing of the agent. */
static void test_untaken_program_is_not_judged(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct command put;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	for (int i = 0; i < 140; i++) {
		a.got_ack = true;
		world_heartbeat(w, &a, NULL, 0);
		world_pass(w, 500);
		world_forget_frames(w);
	}
	assert_int_equal(counts_of(w).failed_starts, 0);
	assert_int_equal(program_of(w, &put).state, PROGRAM_ASSIGNED);
}

/* --- one agent that says more than its share ------------------------------- */

#define DRIVER_RETRY_TEST_MS 20u /* longer than the driver's */

/* The first command of the first entry that is neither Lead nor Beat. */
static enum fsm_command_type first_of_work(const struct world *w)
{
	struct command_cursor cursor;
	struct command command = { .type = FSM_BEAT };

	for (struct world_entry *e = w->log; e != NULL; e = e->next) {
		assert_int_equal(command_cursor_open(&cursor, e->data,
						     e->size), 0);
		assert_int_equal(command_cursor_next(&cursor, &command), 0);
		command_cursor_close(&cursor);
		if (command.type != FSM_BEAT && command.type != FSM_LEAD)
			break;
	}
	return command.type;
}

static uint32_t wishes_proposed(const struct world *w)
{
	return world_proposed(w, FSM_REGISTER) +
	       world_proposed(w, FSM_CRN_REPORT);
}

static void test_flood_of_registers_is_one_at_a_time(void **state)
{
	struct world *w = *state;
	const struct world_frame *frame;
	struct agent_register_ack ack = { 0 };
	struct world_agent a;
	struct hash kept[16];

	world_agent(&a, 1);
	world_lead(w);
	world_admit(w, &a);
	a.gen = 1;
	for (uint32_t i = 1; i <= 250; i++) {
		assert_int_equal(world_say_register(w, &a, 0, (uint8_t)i), 0);
		world_tick(w);
		assert_true(wishes_proposed(w) <= 1);
	}
	world_settle(w);
	/* The first and the newest; none of those between. */
	frame = world_sent(w, AGENT_REGISTER_ACK);
	assert_non_null(frame);
	ack.kept = kept;
	ack.kept_max = 16;
	assert_int_equal(agent_register_ack_decode(frame->payload, frame->size,
						   &ack), 0);
	assert_int_equal(ack.nonce[0], 1);
	frame = world_sent(w, AGENT_REFUSED);
	assert_non_null(frame);
	assert_int_equal(frame, &w->frames[w->frame_count - 1]);
	assert_int_equal(w->frame_count, 2);
	assert_int_equal(counts_of(w).in_flight, 0);
}

static void say_report(struct world *w, const struct world_agent *a,
		       uint32_t vcpus)
{
	struct command command = { .type = FSM_CRN_REPORT };
	uint8_t data[512];

	command.report.crn = a->crn;
	command.report.session = a->session;
	command.report.vcpus = vcpus;
	command.report.memory_mib = 1u << 20;
	command.report.disk_mib = 1u << 20;
	command.report.url = (struct text){ "http://crn", 10 };
	assert_int_equal(driver_agent_frame(
		w->driver, fsm_live(w->fsm), &a->route, &a->crn, AGENT_REPORT,
		data, agent_command_encode(&command, data, sizeof data)), 0);
}

/* What others wait for (R7) stands before all that agents ask for, and the
 * last word of an agent is what remains. */
static void test_expiry_goes_before_a_flood(void **state)
{
	struct world *w = *state;
	struct world_agent silent, loud;

	world_agent(&silent, 1);
	world_agent(&loud, 2);
	world_lead(w);
	world_join(w, &silent, 4);
	world_join(w, &loud, 4);
	w->refuse_work = true; /* all but Beats waits */
	for (int i = 0; i < 40; i++) {
		world_heartbeat(w, &loud, NULL, 0);
		for (uint32_t j = 0; j < 100; j++)
			say_report(w, &loud, 5 + j);
		world_pass(w, 200);
	}
	w->refuse_work = false;
	w->now_ms += DRIVER_RETRY_TEST_MS;
	world_tick(w);
	assert_int_equal(wishes_proposed(w), 1);
	assert_int_equal(world_proposed(w, FSM_EXPIRE), 1);
	assert_int_equal(first_of_work(w), FSM_EXPIRE);
	world_settle(w);
	assert_int_equal(counts_of(w).expiries, 1);
	assert_false(crn_of(w, &silent).alive);
	assert_int_equal(crn_of(w, &loud).vcpus, 5 + 99);
}

/* --- H38 ------------------------------------------------------------------- */

/* Time passes with three agents whose clocks count as many of a thousand as
 * told; the last word is how many alarms there were. */
static uint64_t alarms_after(struct world *w, struct world_agent *agents,
			     const uint32_t *per_mille, uint32_t seconds)
{
	uint64_t before = counts_of(w).clock_alarms;
	struct agent_reply reply;

	for (uint32_t i = 0; i < 2 * seconds; i++) {
		for (uint32_t j = 0; j < 3; j++) {
			agents[j].clock_ms += per_mille[j] / 2;
			assert_int_equal(world_heartbeat(w, &agents[j], NULL,
							 0), 0);
		}
		world_pass(w, 500);
		for (uint32_t j = 0; j < 3; j++)
			assert_true(world_follow(w, &agents[j], &reply));
		world_forget_frames(w);
	}
	return counts_of(w).clock_alarms - before;
}

static void test_fast_clock_is_told(void **state)
{
	static const uint32_t even[] = { 1000, 1000, 1000 };
	static const uint32_t within[] = { 990, 990, 990 };
	static const uint32_t one_slow[] = { 500, 1000, 1010 };
	static const uint32_t slow[] = { 960, 950, 1000 };
	struct world *w = *state;
	struct world_agent agents[3];

	world_lead(w);
	for (uint8_t i = 0; i < 3; i++) {
		world_agent(&agents[i], (uint8_t)(i + 1));
		world_join(w, &agents[i], 4);
		agents[i].clock_ms = 1000000u * (i + 1u);
	}
	assert_int_equal(alarms_after(w, agents, even, 190), 0);
	assert_int_equal(counts_of(w).clock_ppm, 0);
	assert_int_equal(alarms_after(w, agents, within, 130), 0);
	/* One agent is not the median. */
	assert_int_equal(alarms_after(w, agents, one_slow, 130), 0);
	assert_in_range(alarms_after(w, agents, slow, 180), 2, 3);
	assert_in_range(counts_of(w).clock_ppm, 30000, 41000);
}

static void test_jump_of_the_clock_is_told_once(void **state)
{
	static const uint32_t even[] = { 1000, 1000, 1000 };
	struct world *w = *state;
	struct world_agent agents[3];

	world_lead(w);
	for (uint8_t i = 0; i < 3; i++) {
		world_agent(&agents[i], (uint8_t)(i + 1));
		world_join(w, &agents[i], 4);
		agents[i].clock_ms = i == 0 ? UINT64_MAX - 100000 : 5000;
	}
	assert_int_equal(alarms_after(w, agents, even, 95), 0);
	for (uint32_t i = 0; i < 2; i++) {
		w->now_ms += 2500; /* and no agent's clock did */
		world_settle(w);
	}
	assert_int_equal(alarms_after(w, agents, even, 130), 1);
	assert_int_equal(alarms_after(w, agents, even, 130), 0);
}

static void test_other_epochs_words_count_for_nothing(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_run run, told;
	struct command put;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	run = run_of(w, &put, RUN_FAILED, 9);
	run.epoch--;
	world_heartbeat(w, &a, &run, 1);
	world_settle(w);
	assert_int_equal(program_of(w, &put).state, PROGRAM_ASSIGNED);
	assert_false(driver_run_status(w->driver, &run.program, &told));
}

/* --- clients ------------------------------------------------------------------------ */

struct test_client {
	struct driver_client client;
	uint8_t *data;
	uint32_t results, refused;
	int code;
	bool done;
};

static bool entry_write(void *ctx, const void *data, size_t size)
{
	struct test_client *c = ctx;

	c->data = realloc(c->data, c->client.size + size);
	assert_non_null(c->data);
	memcpy(c->data + c->client.size, data, size);
	c->client.size += size;
	return true;
}

static void client_result(struct driver_client *client,
			  const struct fsm_result *result)
{
	struct test_client *c = (struct test_client *)client;

	assert_false(c->done);
	assert_int_equal(result->position, client->first + c->results);
	c->results++;
	c->refused += result->refusal != FSM_OK;
}

static void client_done(struct driver_client *client, int code, uint64_t index)
{
	struct test_client *c = (struct test_client *)client;

	assert_false(c->done);
	c->done = true;
	c->code = code;
	assert_true((code == 0) == (index != 0 && code == 0));
}

static void client_open(struct test_client *c, uint32_t first, uint32_t count)
{
	struct byte_sink sink = { c, entry_write };
	struct command put;

	memset(c, 0, sizeof *c);
	for (uint32_t i = 0; i < count; i++) {
		world_program(&put, first + i);
		assert_true(command_encode(&sink, &put));
	}
	c->client.count = count;
	c->client.commands = c->data;
	c->client.result = client_result;
	c->client.done = client_done;
}

static void test_other_term_proposes_nothing(void **state)
{
	struct world *w = *state;
	struct test_client c;

	world_lead(w);
	world_settle(w);
	client_open(&c, 1, 1);
	w->term++; /* raft moved on, the news has not come yet */
	w->now_ms += 1000;
	driver_submit(w->driver, &c.client);
	world_tick(w);
	assert_int_equal(world_waiting(w), 0);
	assert_false(c.done);
	driver_leader(w->driver, false, w->term);
	assert_int_equal(c.code, BERTH_NOTLEADER);
	free(c.data);
}

static void test_not_leader_is_said_at_once(void **state)
{
	struct world *w = *state;
	struct test_client c;

	client_open(&c, 1, 1);
	driver_submit(w->driver, &c.client);
	assert_true(c.done);
	assert_int_equal(c.code, BERTH_NOTLEADER);
	free(c.data);
}

static void test_lost_leadership_is_told_exactly(void **state)
{
	struct world *w = *state;
	struct test_client in_flight, waiting;

	world_lead(w);
	world_settle(w);
	client_open(&in_flight, 1, 3);
	client_open(&waiting, 10, 1);
	driver_submit(w->driver, &in_flight.client);
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_PROGRAM_PUT), 3);
	driver_submit(w->driver, &waiting.client);
	driver_leader(w->driver, false, w->term);
	assert_true(in_flight.done);
	assert_int_equal(in_flight.code, BERTH_UNKNOWN_OUTCOME);
	assert_true(waiting.done);
	assert_int_equal(waiting.code, BERTH_NOTLEADER);
	while (world_apply(w)) /* it was committed: nobody is told twice */
		;
	world_lead(w);
	world_settle(w);
	assert_int_equal(world_proposed(w, FSM_PROGRAM_PUT), 0);
	assert_int_equal(status_of(w).program_count, 3);
	free(in_flight.data);
	free(waiting.data);
}

static void test_busy_log_delays_and_loses_nothing(void **state)
{
	struct world *w = *state;
	struct test_client c[3];

	world_lead(w);
	world_settle(w);
	w->refuse = BERTH_BUSY;
	for (uint32_t i = 0; i < 3; i++) {
		client_open(&c[i], i * 10, 10);
		driver_submit(w->driver, &c[i].client);
		world_tick(w);
		assert_false(c[i].done);
	}
	w->refuse = 0;
	world_pass(w, 100);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(c[i].done);
		assert_int_equal(c[i].code, 0);
		assert_int_equal(c[i].results, 10);
		assert_int_equal(c[i].refused, 0);
		free(c[i].data);
	}
}

static void test_ten_thousand_programs(void **state)
{
	static struct test_client c[100];
	static struct world_agent agents[20];
	struct world *w = *state;
	struct fsm_status status;

	world_lead(w);
	for (uint8_t i = 0; i < 20; i++) {
		world_agent(&agents[i], (uint8_t)(i + 1));
		world_join(w, &agents[i], 1000);
		for (uint8_t j = 0; j < i; j++)
			world_heartbeat(w, &agents[j], NULL, 0);
	}
	for (uint32_t i = 0; i < 100; i++) {
		client_open(&c[i], i * 100, 100);
		driver_submit(w->driver, &c[i].client);
	}
	world_tick(w); /* few entries in flight, however much waits */
	assert_true(world_waiting(w) <= 4);
	world_forget_frames(w);
	world_settle(w);
	for (uint32_t i = 0; i < 100; i++) {
		assert_true(c[i].done);
		assert_int_equal(c[i].results, 100);
		assert_int_equal(c[i].refused, 0);
		free(c[i].data);
	}
	status = status_of(w);
	assert_int_equal(status.program_count, 10000);
	assert_int_equal(status.assigned_count, 10000);
	assert_int_equal(counts_of(w).placements, 10000);
}

/* R22: an unlinked CRN gets nothing new, and what it has leaves it. */
static void test_unlinked_crn_is_drained(void **state)
{
	struct command unlink = { .type = FSM_CRN_PUT }, put;
	struct world *w = *state;
	struct world_agent a, b;
	struct agent_reply reply;
	struct fsm_program p;

	world_agent(&a, 1);
	world_agent(&b, 2);
	world_lead(w);
	world_join(w, &a, 4);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	p = program_of(w, &put);
	assert_true(hash_equal(&p.crn_hash, &a.crn));
	world_join(w, &b, 4);
	unlink.crn_put.crn = a.crn;
	assert_int_equal(world_command(w, &unlink), FSM_OK);
	for (int i = 0; i < 6; i++) {
		world_heartbeat(w, &a, NULL, 0);
		world_heartbeat(w, &b, NULL, 0);
		world_pass(w, 500);
		(void)world_follow(w, &a, &reply);
		(void)world_follow(w, &b, &reply);
		world_forget_frames(w);
	}
	p = program_of(w, &put);
	assert_true(hash_equal(&p.crn_hash, &b.crn));
}

/* A fencer has so many slots: of a longer set nothing would count, its
 * acknowledgement included, and the CRN would be fenced again and again. */
static void test_a_crn_gets_no_more_than_it_can_hold(void **state)
{
	static struct test_client c;
	struct world *w = *state;
	struct world_agent a;
	struct agent_reply reply;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 2000);
	client_open(&c, 0, FSM_CRN_PROGRAMS_MAX + 76);
	driver_submit(w->driver, &c.client);
	world_settle(w);
	free(c.data);
	assert_int_equal(status_of(w).assigned_count, FSM_CRN_PROGRAMS_MAX);
	assert_int_equal(status_of(w).pending_count, 76);
	world_forget_frames(w);
	world_heartbeat(w, &a, NULL, 0);
	world_pass(w, 500);
	assert_true(world_follow(w, &a, &reply));
	assert_int_equal(reply.desired_count, FSM_CRN_PROGRAMS_MAX);
}

int main(void)
{
#define STORY(name) \
	cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_lead_comes_first),
		STORY(test_clock_counts_from_own_lead),
		STORY(test_failed_beat_consumes_its_interval),
		STORY(test_other_term_proposes_nothing),
		STORY(test_new_term_has_a_new_anchor),
		STORY(test_unknown_crn_is_refused_in_words),
		STORY(test_register_opens_a_session),
		STORY(test_register_for_another_is_denied),
		STORY(test_commands_for_another_are_denied),
		STORY(test_duplicate_register_is_acked_again),
		STORY(test_stale_register_is_refused),
		STORY(test_garbage_is_dropped_and_counted),
		STORY(test_only_the_frozen_batch_is_acknowledged),
		STORY(test_newest_heartbeat_counts),
		STORY(test_deposed_leader_answers_nothing),
		STORY(test_anothers_entry_at_our_index_answers_nothing),
		STORY(test_made_up_session_hides_nothing),
		STORY(test_dead_session_is_not_acknowledged),
		STORY(test_session_that_ends_before_its_beat),
		STORY(test_desired_is_left_out_when_known),
		STORY(test_silence_ends_in_expiry_at_apply),
		STORY(test_renewal_before_expiry_wins),
		STORY(test_program_is_placed_and_pushed),
		STORY(test_nothing_is_placed_before_established),
		STORY(test_moves_after_expiry),
		STORY(test_failed_starts_are_revoked_once),
		STORY(test_unmentioned_program_is_revoked),
		STORY(test_fast_clock_is_told),
		STORY(test_jump_of_the_clock_is_told_once),
		STORY(test_untaken_program_is_not_judged),
		STORY(test_flood_of_registers_is_one_at_a_time),
		STORY(test_expiry_goes_before_a_flood),
		STORY(test_unlinked_crn_is_drained),
		STORY(test_a_crn_gets_no_more_than_it_can_hold),
		STORY(test_no_reason_of_an_agent_stops_the_replicas),
		STORY(test_running_program_is_not_revoked),
		STORY(test_slow_start_is_revoked),
		STORY(test_other_epochs_words_count_for_nothing),
		STORY(test_not_leader_is_said_at_once),
		STORY(test_lost_leadership_is_told_exactly),
		STORY(test_busy_log_delays_and_loses_nothing),
		STORY(test_ten_thousand_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
