/* The rules of the lease that the leader's driver keeps, each by a story that
 * fails without it: R3 to R7, R12, R15, R23. Others are in replica_driver.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/kit/driver_world.h"

/* The newest Beat that waits in the log, and its first renewal. */
struct beat {
	uint32_t dt_ms, count;
	uint64_t wall_ms;
	struct command_renewal first;
};

static struct beat beat_of(const struct world *w)
{
	struct beat beat = { .dt_ms = UINT32_MAX };
	struct command_cursor cursor;
	struct command command;

	for (struct world_entry *e = w->log; e != NULL; e = e->next) {
		assert_int_equal(command_cursor_open(&cursor, e->data,
						     e->size), 0);
		while (command_cursor_next(&cursor, &command) == 0) {
			if (command.type != FSM_BEAT)
				continue;
			beat.dt_ms = command.beat.dt_ms;
			beat.wall_ms = command.beat.wall_ms;
			beat.count = command.beat.renewal_count;
			if (beat.count != 0)
				beat.first = command.beat.renewals[0];
		}
		command_cursor_close(&cursor);
	}
	return beat;
}

static uint32_t sent(const struct world *w, uint8_t type)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < w->frame_count; i++)
		count += w->frames[i].type == type;
	return count;
}

/* One agent that is established, and nothing on its way. */
static void join_one(struct world *w, struct world_agent *a)
{
	world_agent(a, 1);
	world_lead(w);
	world_join(w, a, 4);
	world_settle(w);
	world_forget_frames(w);
}

/* --- R3, R4: terms and time -------------------------------------------------- */

static void test_r03_lead_is_urgent_and_alone(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	join_one(w, &a);
	world_heartbeat(w, &a, NULL, 0);
	driver_leader(w->driver, true, ++w->term);
	w->now_ms += 5000;
	for (int i = 0; i < 3; i++)
		world_tick(w);
	assert_int_equal(world_waiting(w), 1);
	assert_int_equal(world_proposed(w, FSM_LEAD), 1);
	assert_true(w->log->urgent);
}

/* What waited or flew in one term is nothing of the next: neither a Register
 * that nobody repeated, nor the places and counts of what got lost. */
static void test_r03_nothing_is_carried_into_the_next_term(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	join_one(w, &a);
	w->refuse_work = true;
	assert_int_equal(world_say_register(w, &a, a.session, 70), 0);
	world_tick(w);
	world_lose(w);
	w->refuse_work = false;
	world_lead(w);
	for (int i = 0; i < 10; i++) {
		w->now_ms += 20;
		world_tick(w);
		assert_int_equal(world_proposed(w, FSM_REGISTER), 0);
	}
	world_settle(w);
	assert_true(world_crn_of(w, &a).session == a.session);
}

static void test_r03_lost_entries_hold_nothing_back(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct command put;

	join_one(w, &a);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	assert_int_equal(world_program_of(w, &put).state, PROGRAM_ASSIGNED);
	world_pass(w, 6000); /* silence: its CRN expires, it waits */
	assert_int_equal(world_program_of(w, &put).state, PROGRAM_FREE);
	assert_true(world_register(w, &a, 80));
	world_report(w, &a, 4);
	for (int i = 0; i < 40; i++) { /* Beats pile up, and an Assign */
		a.got_ack = true;
		world_heartbeat(w, &a, NULL, 0);
		w->now_ms += 100;
		world_tick(w);
		if (i == 2) {
			while (world_apply(w))
				;
			world_tick(w);
			assert_int_equal(world_proposed(w, FSM_ASSIGN), 1);
		}
	}
	world_lose(w);
	world_lead(w);
	world_heartbeat(w, &a, NULL, 0);
	world_pass(w, 600);
	assert_int_equal(world_program_of(w, &put).state, PROGRAM_ASSIGNED);
	world_pass(w, 6000); /* and silence is found out again */
	assert_false(world_crn_of(w, &a).alive);
}

static void test_r03_lost_expiry_is_proposed_again(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	join_one(w, &a);
	while (world_proposed(w, FSM_EXPIRE) == 0) {
		(void)world_apply(w);
		w->now_ms += 50;
		world_tick(w);
	}
	world_lose(w);
	world_lead(w);
	world_pass(w, 3000);
	assert_false(world_crn_of(w, &a).alive);
}

/* The heartbeat of before, the route of before: neither is answered. */
static void test_r06_next_term_knows_no_agent(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct command put;

	join_one(w, &a);
	world_heartbeat(w, &a, NULL, 0);
	world_lose(w);
	world_lead(w);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	world_pass(w, 600);
	assert_int_equal(world_program_of(w, &put).state, PROGRAM_ASSIGNED);
	assert_int_equal(w->frame_count, 0);
}

/* The Beat comes late: its dt ends where the clock stands when the batch is
 * frozen, and not where it should have been. */
static void test_r05_interval_ends_when_the_batch_is_frozen(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	join_one(w, &a);
	w->now_ms += 250;
	world_settle(w);
	w->now_ms += 1700;
	world_heartbeat(w, &a, NULL, 0);
	world_tick(w);
	assert_int_equal(beat_of(w).dt_ms, 1700);
	assert_int_equal(beat_of(w).count, 1);
	world_heartbeat(w, &a, NULL, 0);
	w->now_ms += 400;
	world_tick(w);
	assert_int_equal(beat_of(w).dt_ms, 400);
}

/* An interval that does not fit is a long one, not what is left of it. */
static void test_r04_interval_of_two_months(void **state)
{
	struct world *w = *state;

	world_lead(w);
	world_settle(w);
	w->now_ms += (uint64_t)UINT32_MAX + 6;
	world_tick(w);
	assert_int_equal(beat_of(w).dt_ms, UINT32_MAX);
	world_settle(w);
	assert_int_equal(world_status(w).c_ms,
			 world_status(w).config.dt_max_ms);
}

/* A log that takes no entry for a while: few Beats fly, and their time is
 * counted once. */
static void test_r04_slow_log_counts_time_once(void **state)
{
	struct world *w = *state;
	uint64_t before_ms;

	world_lead(w);
	world_settle(w);
	before_ms = world_status(w).c_ms;
	for (int i = 0; i < 22; i++) {
		w->now_ms += 250;
		world_tick(w);
	}
	assert_in_range(world_proposed(w, FSM_BEAT), 2, 16);
	world_settle(w);
	world_pass(w, 250);
	assert_int_equal(world_status(w).c_ms - before_ms, 23 * 250);
}

/* 2.6 "Beat": first in what is written, and urgent. */
static void test_beat_goes_first(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	join_one(w, &a);
	assert_int_equal(world_say_register(w, &a, a.session, 71), 0);
	w->now_ms += 300;
	world_tick(w);
	assert_int_equal(world_waiting(w), 2);
	assert_int_equal(world_proposed(w, FSM_REGISTER), 1);
	assert_true(w->log->urgent);
	assert_false(w->log->next->urgent);
}

/* 2.6 "Beat": as often as the cluster's configuration says, and with the time
 * that people read. */
static void test_beat_has_the_pace_of_the_configuration(void **state)
{
	struct world *w = *state;
	struct command config = { .type = FSM_CONFIG };
	uint64_t last_ms;

	world_lead(w);
	world_settle(w);
	config.config = world_status(w).config;
	config.config.beat_ms = 100;
	assert_int_equal(world_command(w, &config), FSM_OK);
	world_pass(w, 1000);
	last_ms = w->now_ms;
	while (world_proposed(w, FSM_BEAT) == 0) {
		w->now_ms += 10;
		world_tick(w);
	}
	assert_in_range(w->now_ms - last_ms, 10, 100);
	assert_true(beat_of(w).wall_ms == w->now_ms);
	world_settle(w);
	assert_true(world_tick(w) == w->now_ms + 100);
}

/* --- R6: what is acknowledged ------------------------------------------------ */

static void test_r06_renewal_says_what_the_heartbeat_said(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct beat beat;

	join_one(w, &a);
	a.applied = a.session + 3;
	a.have = a.session + 5;
	a.got_ack = false;
	world_heartbeat(w, &a, NULL, 0);
	w->now_ms += 300;
	world_tick(w);
	beat = beat_of(w);
	assert_int_equal(beat.count, 1);
	assert_true(hash_equal(&beat.first.crn, &a.crn));
	assert_true(beat.first.gen == a.gen);
	assert_true(beat.first.session == a.session);
	assert_true(beat.first.seq == a.seq);
	assert_true(beat.first.applied == a.applied);
	assert_false(beat.first.got_ack);
	world_settle(w);
	w->now_ms += 300;
	world_tick(w);
	assert_int_equal(beat_of(w).count, 0); /* said once, renewed once */
}

static void test_r06_reply_tells_the_lease_of_agents(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_reply reply;

	join_one(w, &a);
	world_heartbeat(w, &a, NULL, 0);
	world_pass(w, 300);
	assert_true(world_follow(w, &a, &reply));
	assert_int_equal(reply.ttl_a_ms, world_status(w).config.ttl_a_ms);
	assert_true(reply.ttl_a_ms < world_status(w).config.ttl_s_ms);
}

/* Its lease ends in the log between the freezing and the Beat. */
static void test_r06_lease_that_ends_before_its_beat(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	join_one(w, &a);
	while (world_proposed(w, FSM_EXPIRE) == 0) {
		(void)world_apply(w);
		w->now_ms += 50;
		world_tick(w);
	}
	assert_true(world_crn_of(w, &a).alive);
	assert_int_equal(world_heartbeat(w, &a, NULL, 0), 0);
	w->now_ms += 300;
	world_tick(w);
	assert_int_equal(beat_of(w).count, 1);
	world_settle(w);
	assert_false(world_crn_of(w, &a).alive);
	assert_int_equal(w->frame_count, 0); /* neither answered nor pushed to */
}

/* Only the very entry of the Beat answers it. */
static void test_r06_other_entries_answer_nothing(void **state)
{
	const struct fsm_result ok = { .type = FSM_BEAT };
	struct world *w = *state;
	struct world_agent a;

	join_one(w, &a);
	world_heartbeat(w, &a, NULL, 0);
	w->now_ms += 300;
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_BEAT), 1);
	driver_applied(w->driver, fsm_live(w->fsm), w->log->index - 1, &ok, 1);
	assert_int_equal(w->frame_count, 0);
	world_settle(w);
	assert_int_equal(w->frame_count, 1);
}

/* A Beat that the log did not take: its heartbeats are in the next. */
static void test_r06_refused_beat_loses_no_heartbeat(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_reply reply;

	join_one(w, &a);
	world_heartbeat(w, &a, NULL, 0);
	w->refuse = BERTH_BUSY;
	w->now_ms += 300;
	world_tick(w);
	w->refuse = 0;
	world_pass(w, 300);
	assert_true(world_follow(w, &a, &reply));
	assert_true(reply.ack_seq == a.seq);
}

/* More agents than a Beat takes: none is forgotten, all have their turn. */
static void test_r06_more_heartbeats_than_a_beat_takes(void **state)
{
	enum { MANY = 4200, BEAT_MAX = 4096 };
	static struct world_agent agents[MANY];
	static bool answered[MANY];
	struct world *w = *state;
	uint32_t turns;

	world_lead(w);
	for (uint32_t i = 0; i < MANY; i++) {
		world_agent(&agents[i], 1);
		memcpy(agents[i].crn.bytes, &i, sizeof i);
		memcpy(agents[i].host.bytes, &i, sizeof i);
		agents[i].gen = 1;
		agents[i].route.link = i;
		world_admit(w, &agents[i]);
		assert_int_equal(world_say_register(w, &agents[i], 0, 1), 0);
	}
	world_settle(w);
	for (turns = 0; turns < 2; turns++) {
		world_forget_frames(w);
		for (uint32_t i = 0; i < MANY; i++) {
			agents[i].session = world_crn_of(w, &agents[i]).session;
			assert_int_equal(world_heartbeat(w, &agents[i], NULL,
							 0), 0);
		}
		w->now_ms += 250;
		world_tick(w);
		assert_int_equal(beat_of(w).count, BEAT_MAX);
		world_settle(w);
		for (uint32_t i = 0; i < w->frame_count; i++)
			answered[w->frames[i].route.link] |=
				w->frames[i].type == AGENT_REPLY;
	}
	for (uint32_t i = 0; i < MANY; i++)
		assert_true(answered[i]);
	world_forget_frames(w);
	w->now_ms += 250; /* what was left over is still there */
	world_tick(w);
	assert_int_equal(beat_of(w).count, MANY - BEAT_MAX);
}

/* R7: hundreds that fall silent at once are ended in batches. */
static void test_r07_many_leases_end_at_once(void **state)
{
	enum { MANY = 600 };
	struct world *w = *state;
	struct world_agent a;

	world_lead(w);
	for (uint32_t i = 0; i < MANY; i++) {
		world_agent(&a, 1);
		memcpy(a.crn.bytes, &i, sizeof i);
		a.gen = 1;
		world_admit(w, &a);
		assert_int_equal(world_say_register(w, &a, 0, 1), 0);
		world_settle(w);
	}
	world_forget_frames(w);
	for (int i = 0; i < 200; i++) {
		w->now_ms += 50;
		world_tick(w);
		assert_true(world_proposed(w, FSM_EXPIRE) <= 256);
		while (world_apply(w))
			;
	}
	assert_int_equal(world_counts(w).expiries, MANY);
}

/* --- desired sets ------------------------------------------------------------ */

/* Each answer is by the `have` of the heartbeat that it answers. */
static void test_desired_is_by_the_heartbeat_answered(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_reply reply;
	stamp_t have;

	join_one(w, &a);
	have = a.have;
	a.have = 0;
	world_heartbeat(w, &a, NULL, 0);
	w->now_ms += 300;
	world_tick(w);
	a.have = have;
	world_heartbeat(w, &a, NULL, 0);
	assert_true(world_apply(w));
	assert_true(world_follow(w, &a, &reply));
	assert_true(reply.has_desired);
	/* One that has a later set than there is (another world's) gets it. */
	a.have = have + 1000;
	world_heartbeat(w, &a, NULL, 0);
	world_pass(w, 600);
	assert_true(world_follow(w, &a, &reply));
	assert_true(reply.has_desired);
}

/* A new leader pushes nothing to one who says that it has it. */
static void test_desired_that_is_there_is_not_pushed(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	join_one(w, &a);
	world_lose(w);
	world_lead(w);
	world_heartbeat(w, &a, NULL, 0);
	world_tick(w);
	world_settle(w);
	assert_int_equal(w->frame_count, 1); /* the acknowledgement */
}

/* The answer goes where the newest heartbeat came from; a late copy of the
 * Register from an older link changes nothing of that. */
static void test_answers_follow_the_agent_to_its_link(void **state)
{
	struct world *w = *state;
	struct world_agent a, old;
	struct command put;

	world_agent(&a, 1);
	world_lead(w);
	world_admit(w, &a);
	assert_true(world_register(w, &a, 7));
	world_report(w, &a, 4);
	old = a;
	a.route.link = 2;
	for (int i = 0; i < 2; i++) {
		a.got_ack = i != 0;
		world_heartbeat(w, &a, NULL, 0);
		world_forget_frames(w);
		world_pass(w, 300);
		assert_int_equal(world_sent(w, AGENT_REPLY)->route.link, 2);
	}
	old.route.link = 1;
	assert_int_equal(world_say_register(w, &old, 0, 7), 0);
	world_settle(w);
	world_forget_frames(w);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	assert_int_equal(sent(w, AGENT_REPLY), 1);
	assert_int_equal(world_sent(w, AGENT_REPLY)->route.link, 2);
}

/* --- R12: whose words --------------------------------------------------------- */

static int say_heartbeat(struct world *w, const struct world_agent *a,
			 const struct hash *certificate,
			 struct agent_heartbeat m)
{
	uint8_t data[512];
	size_t size;

	m.crn = a->crn;
	size = agent_heartbeat_encode(&m, data, sizeof data);
	assert_int_not_equal(size, 0);
	return driver_agent_frame(w->driver, fsm_live(w->fsm), &a->route,
				  certificate, AGENT_HEARTBEAT, data, size);
}

static void test_r12_heartbeats_of_others(void **state)
{
	struct world *w = *state;
	struct agent_heartbeat m = { 0 };
	struct world_agent a, b, fresh;

	join_one(w, &a);
	world_agent(&b, 2);
	world_join(w, &b, 4);
	world_agent(&fresh, 3);
	world_admit(w, &fresh);
	world_settle(w);
	m = (struct agent_heartbeat){ .gen = a.gen, .session = a.session,
				      .seq = a.seq + 1 };
	assert_int_equal(say_heartbeat(w, &a, &b.crn, m), BERTH_DENIED);
	m.gen = a.gen + 1;
	assert_int_equal(say_heartbeat(w, &a, &a.crn, m), BERTH_MISMATCH);
	m.gen = a.gen - 1;
	assert_int_equal(say_heartbeat(w, &a, &a.crn, m), BERTH_MISMATCH);
	m.gen = a.gen;
	m.session = a.session - 1;
	assert_int_equal(say_heartbeat(w, &a, &a.crn, m), BERTH_MISMATCH);
	m.session = a.session;
	m.seq = 0; /* an ack_seq of 0 is none */
	assert_int_equal(say_heartbeat(w, &a, &a.crn, m), BERTH_MISMATCH);
	m.seq = 1;
	m.session = 0; /* one without a session has none to renew */
	assert_int_equal(say_heartbeat(w, &fresh, &fresh.crn, m),
			 BERTH_MISMATCH);
	w->now_ms += 300;
	world_tick(w);
	assert_int_equal(beat_of(w).count, 0);
}

static int say_command(struct world *w, const struct world_agent *a,
		       uint8_t type, const struct command *command)
{
	uint8_t data[1024];
	size_t size = agent_command_encode(command, data, sizeof data);

	return driver_agent_frame(w->driver, fsm_live(w->fsm), &a->route,
				  &a->crn, type, data, size);
}

/* As world_join() has reported. */
static struct command same_report(const struct world_agent *a)
{
	struct command c = { .type = FSM_CRN_REPORT };

	c.report.crn = a->crn;
	c.report.session = a->session;
	c.report.vcpus = 4;
	c.report.memory_mib = c.report.disk_mib = 1u << 20;
	c.report.url = (struct text){ "http://crn", 10 };
	c.report.token_count = 1;
	c.report.tokens[0] = (struct text){ "runner:program", 14 };
	return c;
}

static int say_report(struct world *w, const struct world_agent *a,
		      stamp_t session, uint32_t vcpus)
{
	struct command command = same_report(a);

	command.report.session = session;
	command.report.vcpus = vcpus;
	return say_command(w, a, AGENT_REPORT, &command);
}

/* The newest word counts, also while an older one is on its way; what the
 * state says already is not told to the log again. */
static void test_reports_of_a_session(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	join_one(w, &a);
	assert_int_equal(say_report(w, &a, a.session - 1, 9), BERTH_MISMATCH);
	assert_int_equal(say_report(w, &a, a.session, 4), 0);
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_CRN_REPORT), 0);
	assert_int_equal(say_report(w, &a, a.session, 8), 0);
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_CRN_REPORT), 1);
	assert_int_equal(say_report(w, &a, a.session, 4), 0);
	world_settle(w);
	assert_int_equal(world_crn_of(w, &a).vcpus, 4);
	world_pass(w, 8000);
	assert_false(world_crn_of(w, &a).alive);
	assert_int_equal(say_report(w, &a, a.session, 9), BERTH_MISMATCH);
}

/* Whatever differs from what the state says goes into the log. */
static void test_report_tells_every_change(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct command all[8];

	join_one(w, &a);
	for (uint32_t i = 0; i < 8; i++)
		all[i] = same_report(&a);
	all[1].report.memory_mib--;
	all[2].report.disk_mib--;
	all[3].report.url = (struct text){ "http://cr", 9 };
	all[4].report.url = (struct text){ "http://crm", 10 };
	all[5].report.token_count = 2;
	all[5].report.tokens[1] = (struct text){ "gpu:1", 5 };
	all[6].report.tokens[0] = (struct text){ "runner:progra", 13 };
	all[7].report.tokens[0] = (struct text){ "runner:progran", 14 };
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(say_command(w, &a, AGENT_REPORT, &all[i]), 0);
		world_tick(w);
		assert_int_equal(world_proposed(w, FSM_CRN_REPORT), i != 0);
		world_settle(w);
		world_report(w, &a, 4);
	}
}

/* One that takes back what waits, and one in the frame of something else. */
static void test_newest_report_counts(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct command report;

	join_one(w, &a);
	report = same_report(&a);
	assert_int_equal(say_command(w, &a, AGENT_REGISTER, &report),
			 BERTH_MALFORMED);
	w->refuse_work = true;
	report.report.vcpus = 8;
	assert_int_equal(say_command(w, &a, AGENT_REPORT, &report), 0);
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_CRN_REPORT), 0);
	report.report.vcpus = 4;
	assert_int_equal(say_command(w, &a, AGENT_REPORT, &report), 0);
	w->refuse_work = false;
	world_pass(w, 100);
	assert_int_equal(world_crn_of(w, &a).vcpus, 4);
}

/* --- R15, R23: registration ---------------------------------------------------- */

static void test_r15_challenge_is_of_that_hello(void **state)
{
	struct world *w = *state;
	struct agent_challenge m;
	struct world_agent a;

	join_one(w, &a);
	assert_int_equal(world_hello(w, &a, 55), 0);
	assert_int_equal(agent_challenge_decode(
		world_sent(w, AGENT_CHALLENGE)->payload,
		world_sent(w, AGENT_CHALLENGE)->size, &m), 0);
	assert_int_equal(m.nonce[0], 55);
	assert_true(m.session == a.session);
	assert_true(m.gen == world_status(w).gen);
}

/* A late copy of the Register of a session that is over opens nothing. */
static void test_r15_register_of_a_dead_session(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_admit(w, &a);
	assert_true(world_register(w, &a, 7));
	world_pass(w, 8000);
	assert_false(world_crn_of(w, &a).alive);
	world_forget_frames(w);
	assert_int_equal(world_say_register(w, &a, 0, 7), 0);
	world_settle(w);
	assert_int_equal(sent(w, AGENT_REGISTER_ACK), 0);
}

/* Its session is over before the entry is: nobody is told that it is open. */
static void test_r15_register_that_a_restore_follows(void **state)
{
	struct command gen = { .type = FSM_NEW_GEN };
	struct world *w = *state;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_admit(w, &a);
	a.gen = 1;
	w->refuse_work = true;
	assert_int_equal(world_say_register(w, &a, 0, 7), 0);
	world_tick(w);
	w->refuse_work = false;
	w->now_ms += 20;
	gen.new_gen.gen = world_status(w).gen + 1;
	gen.new_gen.who = (struct text){ "us", 2 };
	assert_int_equal(world_command(w, &gen), FSM_OK);
	assert_true(world_crn_of(w, &a).session != 0);
	assert_false(world_crn_of(w, &a).alive);
	assert_int_equal(sent(w, AGENT_REGISTER_ACK), 0);
}

/* Once said twice in a hurry is once. */
static void test_r15_repeated_register_is_one(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_admit(w, &a);
	a.gen = 1;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(world_say_register(w, &a, 0, 7), 0);
		world_tick(w);
		assert_int_equal(world_proposed(w, FSM_REGISTER), 1);
	}
	assert_true(world_apply(w));
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_REGISTER), 0);
	assert_int_equal(sent(w, AGENT_REGISTER_ACK), 1);
}

/* The log takes nothing for a while: the newest Register stays, alone. */
static void test_r15_newest_register_waits_alone(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_admit(w, &a);
	a.gen = 1;
	w->refuse_work = true;
	for (uint8_t i = 1; i < 5; i++) {
		assert_int_equal(world_say_register(w, &a, 0, i), 0);
		w->now_ms += 20;
		world_tick(w);
	}
	w->refuse_work = false;
	w->now_ms += 20;
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_REGISTER), 1);
	world_settle(w);
	assert_int_equal(world_crn_of(w, &a).nonce[0], 4);
}

/* R23: what it holds and may keep is told, or it would be killed. */
static void test_r23_register_ack_tells_what_is_kept(void **state)
{
	struct agent_register_ack ack = { .kept_max = 4 };
	struct command reg = { .type = FSM_REGISTER }, put;
	struct held_row held = { .running = true };
	struct world *w = *state;
	struct hash kept[4];
	struct world_agent a;
	uint8_t data[1024];
	size_t size;

	join_one(w, &a);
	world_program(&put, 1);
	put.program_put.guarantee = GUARANTEE_HOLD;
	assert_int_equal(world_command(w, &put), FSM_OK);
	held.program = held.lineage = put.program_put.program;
	held.gen = 1;
	held.epoch = world_program_of(w, &put).epoch;
	reg.reg = (struct command_register){
		.gen = 1, .crn = a.crn, .host = a.host, .boot = a.boot,
		.prev = a.session, .k_ms = 900, .class = CRN_FENCED,
		.held_count = 1, .held = &held };
	memset(reg.reg.nonce, 77, sizeof reg.reg.nonce);
	size = agent_command_encode(&reg, data, sizeof data);
	assert_int_equal(driver_agent_frame(w->driver, fsm_live(w->fsm),
					    &a.route, &a.crn, AGENT_REGISTER,
					    data, size), 0);
	world_settle(w);
	ack.kept = kept;
	assert_int_equal(agent_register_ack_decode(
		world_sent(w, AGENT_REGISTER_ACK)->payload,
		world_sent(w, AGENT_REGISTER_ACK)->size, &ack), 0);
	assert_int_equal(ack.kept_count, 1);
	assert_true(hash_equal(&kept[0], &held.program));
	assert_int_equal(ack.nonce[0], 77);
	assert_true(ack.gen == world_status(w).gen); /* R12 */
	assert_int_equal(ack.ttl_a_ms, world_status(w).config.ttl_a_ms);
	assert_int_equal(ack.heartbeat_ms,
			 world_status(w).config.heartbeat_ms);
	assert_true(ack.session == world_crn_of(w, &a).session);
}

/* 2.6: the refusal names both, what it needs and what the cluster allows. */
static void test_refused_register_is_told_why(void **state)
{
	const char *why = fsm_refusal_text(FSM_REFUSED_PREV);
	struct world *w = *state;
	struct agent_refused m;
	struct world_agent a;

	join_one(w, &a);
	assert_int_equal(world_say_register(w, &a, a.session - 1, 79), 0);
	world_settle(w);
	assert_int_equal(agent_refused_decode(
		world_sent(w, AGENT_REFUSED)->payload,
		world_sent(w, AGENT_REFUSED)->size, &m), 0);
	assert_int_equal(m.of, AGENT_REGISTER);
	assert_int_equal(m.nonce[0], 79);
	assert_int_equal(m.refusal, FSM_REFUSED_PREV);
	assert_int_equal(m.message.size, strlen(why));
	assert_memory_equal(m.message.data, why, strlen(why));
}

static void test_k_that_is_too_long_is_told(void **state)
{
	struct command reg = { .type = FSM_REGISTER };
	struct agent_refused m;
	struct world *w = *state;
	struct world_agent a;
	uint8_t data[1024];
	char text[300];
	size_t size;

	world_agent(&a, 1);
	world_lead(w);
	world_admit(w, &a);
	reg.reg = (struct command_register){
		.gen = 1, .crn = a.crn, .host = a.host, .boot = a.boot,
		.k_ms = 34567, .class = CRN_FENCED };
	memset(reg.reg.nonce, 78, sizeof reg.reg.nonce);
	size = agent_command_encode(&reg, data, sizeof data);
	assert_int_equal(driver_agent_frame(w->driver, fsm_live(w->fsm),
					    &a.route, &a.crn, AGENT_REGISTER,
					    data, size), 0);
	world_settle(w);
	assert_int_equal(agent_refused_decode(
		world_sent(w, AGENT_REFUSED)->payload,
		world_sent(w, AGENT_REFUSED)->size, &m), 0);
	assert_int_equal(m.refusal, FSM_REFUSED_K);
	snprintf(text, sizeof text, "%.*s", (int)m.message.size,
		 m.message.data);
	assert_non_null(strstr(text, "34567"));
	assert_non_null(strstr(text, "1000"));
}

/* The ids of requests are the clients': an agent's would answer theirs. */
static void test_request_ids_of_agents_count_for_nothing(void **state)
{
	struct command reg = { .type = FSM_REGISTER }, put;
	struct world *w = *state;
	struct world_agent a;
	uint8_t data[1024];
	size_t size;

	join_one(w, &a);
	reg.reg = (struct command_register){
		.gen = 1, .crn = a.crn, .host = a.host, .boot = a.boot,
		.prev = a.session, .k_ms = 900, .class = CRN_FENCED };
	memset(reg.reg.nonce, 79, sizeof reg.reg.nonce);
	memset(reg.request, 0xaa, sizeof reg.request);
	size = agent_command_encode(&reg, data, sizeof data);
	assert_int_equal(driver_agent_frame(w->driver, fsm_live(w->fsm),
					    &a.route, &a.crn, AGENT_REGISTER,
					    data, size), 0);
	world_settle(w);
	world_program(&put, 1);
	memset(put.request, 0xaa, sizeof put.request);
	assert_int_equal(world_command(w, &put), FSM_OK);
	assert_int_equal(world_status(w).program_count, 1);
}

int main(void)
{
#define STORY(name) \
	cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_r03_lead_is_urgent_and_alone),
		STORY(test_r03_nothing_is_carried_into_the_next_term),
		STORY(test_r03_lost_entries_hold_nothing_back),
		STORY(test_r03_lost_expiry_is_proposed_again),
		STORY(test_r06_next_term_knows_no_agent),
		STORY(test_r05_interval_ends_when_the_batch_is_frozen),
		STORY(test_r04_interval_of_two_months),
		STORY(test_r04_slow_log_counts_time_once),
		STORY(test_beat_goes_first),
		STORY(test_beat_has_the_pace_of_the_configuration),
		STORY(test_r06_renewal_says_what_the_heartbeat_said),
		STORY(test_r06_reply_tells_the_lease_of_agents),
		STORY(test_r06_lease_that_ends_before_its_beat),
		STORY(test_r06_other_entries_answer_nothing),
		STORY(test_r06_refused_beat_loses_no_heartbeat),
		STORY(test_r06_more_heartbeats_than_a_beat_takes),
		STORY(test_r07_many_leases_end_at_once),
		STORY(test_desired_is_by_the_heartbeat_answered),
		STORY(test_desired_that_is_there_is_not_pushed),
		STORY(test_answers_follow_the_agent_to_its_link),
		STORY(test_r12_heartbeats_of_others),
		STORY(test_reports_of_a_session),
		STORY(test_report_tells_every_change),
		STORY(test_newest_report_counts),
		STORY(test_r15_challenge_is_of_that_hello),
		STORY(test_r15_register_of_a_dead_session),
		STORY(test_r15_register_that_a_restore_follows),
		STORY(test_r15_repeated_register_is_one),
		STORY(test_r15_newest_register_waits_alone),
		STORY(test_r23_register_ack_tells_what_is_kept),
		STORY(test_refused_register_is_told_why),
		STORY(test_k_that_is_too_long_is_told),
		STORY(test_request_ids_of_agents_count_for_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
