/* The agent's part of a session: what the fencer and the leader say goes from
 * one to the other as it is. A pretended fencer and a pretended link stand at
 * both ends. Rules: lease.md R10, R12, R14, R15, R19, R23. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "node/agent/agent.h"
#include "node/agent/runner.h"

static struct {
	struct fencer_ask asked; /* the last */
	uint8_t data[512];
	uint32_t asks, frames, rotations;
	uint8_t type, frame[4096];
	size_t size;
	uint64_t patience_ms; /* of the link, for a greeting */
	bool linked;
} world;

static int fake_ask(struct fencer_client *client, const struct fencer_ask *ask)
{
	(void)client;
	assert_true(ask->size <= sizeof world.data);
	world.asked = *ask;
	world.asks++;
	if (ask->size != 0)
		memcpy(world.data, ask->data, ask->size);
	return 0;
}

static int fake_send(struct link *link, uint8_t type, const void *data,
		     size_t size)
{
	(void)link;
	if (!world.linked)
		return BERTH_CLOSED;
	assert_true(size != 0 && size <= sizeof world.frame);
	world.frames++;
	world.type = type;
	world.size = size;
	memcpy(world.frame, data, size);
	return 0;
}

static bool fake_linked(const struct link *link)
{
	(void)link;
	return world.linked;
}

static void fake_rotate(struct link *link)
{
	(void)link;
	world.rotations++;
}

static uint64_t fake_since(const struct link *link)
{
	(void)link;
	return 0;
}

static void fake_state(struct runner *runner, const struct fencer_run *rows,
		       uint32_t count, bool session)
{
	(void)runner;
	(void)rows;
	(void)count;
	(void)session;
}

static void fake_patience(struct link *link, uint64_t handshake_ms)
{
	(void)link;
	world.patience_ms = handshake_ms;
}

static void fake_offer(const struct agent_config *config,
		       struct machine_offer *out)
{
	(void)config;
	memset(out, 0, sizeof *out);
}

static void fake_tick(struct runner *runner, uint64_t now_ms)
{
	(void)runner;
	(void)now_ms;
}

#define link_patience fake_patience
#define agent_offer fake_offer
#define runner_tick fake_tick
#define fencer_client_ask fake_ask
#define link_send fake_send
#define link_up fake_linked
#define link_rotate fake_rotate
#define link_since_ms fake_since
#define runner_state fake_state
#include "node/agent/agent_register.c"
#include "node/agent/agent_session.c"
#include "node/agent/runner_ask.c"

static uv_loop_t loop;
static struct agent agent;
static struct runner runner;
static struct session *session;

static int setup(void **state)
{
	struct fault fault;

	(void)state;
	memset(&world, 0, sizeof world);
	memset(&agent, 0, sizeof agent);
	memset(&runner, 0, sizeof runner);
	world.linked = true;
	uv_loop_init(&loop);
	agent.loop = &loop;
	agent.runner = &runner;
	agent.config.url = (char *)(uintptr_t)"http://crn";
	memset(&agent.config.crn_hash, 3, sizeof(struct hash));
	runner.agent = &agent;
	assert_int_equal(session_open(&session, &agent, &fault), 0);
	agent.session = session;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	session_close(session);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

/* The fencer answers what was asked last. */
static void fencer_says(struct fencer_answer a, const void *rows, size_t size)
{
	fencer_done done = world.asked.done;

	a.type = world.asked.type;
	done(session, &a, rows, size);
}

static struct fencer_answer answer_of(stamp_t id)
{
	struct fencer_answer a = { .gen = 4, .session = id, .version = 901,
				   .applied = 902, .have = 903, .seq = 904,
				   .lease_ms = 5000, .clock_ms = 905,
				   .prev = 77, .k_ms = 906, .watchdog = 2,
				   .class = CRN_FENCED };

	memset(a.nonce, 8, sizeof a.nonce);
	memset(&a.host, 9, sizeof a.host);
	memset(&a.boot, 10, sizeof a.boot);
	return a;
}

static void challenge(uint8_t nonce)
{
	struct agent_challenge m = { .gen = 4, .session = 77 };
	uint8_t data[128];

	memset(m.nonce, nonce, sizeof m.nonce);
	session_frame(session, AGENT_CHALLENGE, data,
		      agent_challenge_encode(&m, data, sizeof data));
}

/* Until the REGISTER is on its way, with one held row. */
static void registers(void)
{
	struct fencer_answer a = answer_of(0);
	const struct held_row held = { .gen = 4, .epoch = 55, .running = true };

	session__enter(session, PHASE_SETTLING);
	session__hello(session);
	assert_int_equal(world.asked.type, FENCER_HELLO);
	fencer_says(a, NULL, 0);
	assert_int_equal(world.type, AGENT_HELLO);
	challenge(8);
	assert_int_equal(world.asked.type, FENCER_CHALLENGE);
	a.held_count = 1;
	fencer_says(a, &held, sizeof held);
	assert_int_equal(world.type, AGENT_REGISTER);
}

static void opens(void)
{
	registers();
	session__enter(session, PHASE_ADOPTING);
	adopt_answered(session, &(struct fencer_answer){ .session = 100,
				.gen = 4, .lease_ms = 5000 }, NULL, 0);
	assert_int_equal(session->phase, PHASE_OPEN);
	world.frames = world.asks = 0;
}

/* R15, R23: all of it is the fencer's word. */
static void test_register_says_what_the_fencer_says(void **state)
{
	struct command_cursor cursor;
	struct command c;
	const struct fencer_answer a = answer_of(0);

	(void)state;
	registers();
	memset(&cursor, 0, sizeof cursor);
	assert_int_equal(agent_command_decode(&cursor, world.frame, world.size,
					      &c), 0);
	assert_int_equal(c.type, FSM_REGISTER);
	assert_true(c.reg.gen == 4 && c.reg.prev == 77);
	assert_true(hash_equal(&c.reg.crn, &agent.config.crn_hash));
	assert_true(hash_equal(&c.reg.host, &a.host));
	assert_true(hash_equal(&c.reg.boot, &a.boot));
	assert_memory_equal(c.reg.nonce, a.nonce, sizeof a.nonce);
	assert_int_equal(c.reg.k_ms, 906);
	assert_int_equal(c.reg.watchdog, WATCHDOG_HARDWARE);
	assert_int_equal(c.reg.class, CRN_FENCED);
	assert_int_equal(c.reg.held_count, 1);
	assert_true(c.reg.held[0].epoch == 55 && c.reg.held[0].running);
	command_cursor_close(&cursor);
}

/* R15: a retransmission repeats the same bytes, whatever was built since. */
static void test_register_is_repeated_as_it_is(void **state)
{
	uint8_t first[sizeof world.frame];
	size_t size;

	(void)state;
	registers();
	size = world.size;
	memcpy(first, world.frame, size);
	memset(session->buffer, 0xee, 1000);
	memset(session->nonce, 0xee, sizeof session->nonce);
	world.size = 0;
	session_link_up(session);
	assert_int_equal(world.type, AGENT_REGISTER);
	assert_int_equal(world.size, size);
	assert_memory_equal(world.frame, first, size);
}

/* R12, R15: a Challenge or an acknowledgement for another nonce, a second
 * Challenge, a refusal of an earlier attempt. */
static void test_answers_to_others_are_not_heard(void **state)
{
	struct agent_register_ack ack = { .gen = 4, .session = 100,
					  .ttl_a_ms = 4000,
					  .heartbeat_ms = 500 };
	struct agent_refused no = { .of = AGENT_REGISTER, .refusal = 1 };
	uint8_t data[256];
	uint32_t asks;

	(void)state;
	session__enter(session, PHASE_SETTLING);
	session__hello(session);
	fencer_says(answer_of(0), NULL, 0);
	asks = world.asks;
	challenge(7);
	assert_int_equal(world.asks, asks);
	challenge(8);
	assert_int_equal(world.asks, ++asks);
	challenge(8);
	assert_int_equal(world.asks, asks);
	fencer_says(answer_of(0), NULL, 0);
	assert_int_equal(session->phase, PHASE_REGISTERING);
	memset(ack.nonce, 7, sizeof ack.nonce);
	session_frame(session, AGENT_REGISTER_ACK, data,
		      agent_register_ack_encode(&ack, data, sizeof data));
	assert_int_equal(world.asks, asks);
	memset(no.nonce, 7, sizeof no.nonce);
	no.message = (struct text){ "no", 2 };
	session_frame(session, AGENT_REFUSED, data,
		      agent_refused_encode(&no, data, sizeof data));
	assert_int_equal(session->phase, PHASE_REGISTERING);
	memset(ack.nonce, 8, sizeof ack.nonce);
	session_frame(session, AGENT_REGISTER_ACK, data,
		      agent_register_ack_encode(&ack, data, sizeof data));
	assert_int_equal(world.asked.type, FENCER_ADOPT);
	assert_int_equal(session->phase, PHASE_ADOPTING);
}

/* R10, R14: seq, applied and have of a heartbeat are of one MARK; none goes
 * out that the fencer did not draw. */
static void test_heartbeat_says_what_the_fencer_says(void **state)
{
	struct agent_heartbeat m = { .run_max = 4 };
	struct agent_run runs[4];

	(void)state;
	opens();
	beat(session);
	assert_int_equal(world.asked.type, FENCER_MARK);
	assert_int_equal(world.frames, 0);
	beat(session); /* one at a time */
	assert_int_equal(world.asks, 1);
	fencer_says(answer_of(100), NULL, 0);
	assert_int_equal(world.frames, 1);
	assert_int_equal(world.type, AGENT_HEARTBEAT);
	m.runs = runs;
	assert_int_equal(agent_heartbeat_decode(world.frame, world.size, &m),
			 0);
	assert_true(m.gen == 4 && m.session == 100);
	assert_true(m.seq == 904 && m.applied == 902 && m.have == 903);
	assert_int_equal(m.clock_ms, 905);
	assert_false(m.got_ack);
	assert_true(hash_equal(&m.crn, &agent.config.crn_hash));
	beat(session);
	fencer_says((struct fencer_answer){ .code = FENCER_PAST_DEADLINE },
		    NULL, 0);
	assert_int_equal(world.frames, 1);
}

/* Without a link no mark is drawn; a session that is over sends nothing. */
static void test_no_heartbeat_without_link_or_session(void **state)
{
	(void)state;
	opens();
	world.linked = false;
	beat(session);
	assert_int_equal(world.asks, 0);
	world.linked = true;
	beat(session);
	assert_int_equal(world.asked.type, FENCER_MARK);
	session_fencer_down(session);
	fencer_says(answer_of(100), NULL, 0);
	assert_int_equal(world.frames, 0);
}

/* The fencer takes the leader's bytes, not what we make of them. */
static void test_reply_goes_to_the_fencer_as_it_is(void **state)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5 };

	(void)state;
	opens();
	session->heartbeat_known = true;
	session_frame(session, AGENT_REPLY, bytes, sizeof bytes);
	assert_int_equal(world.asked.type, FENCER_ACK);
	assert_int_equal(world.asked.size, sizeof bytes);
	assert_memory_equal(world.data, bytes, sizeof bytes);
	session__again(session, 0);
	world.asks = 0;
	session_frame(session, AGENT_REPLY, bytes, sizeof bytes);
	assert_int_equal(world.asks, 0);
}

/* The fencer has no session any more: a new registration, with a new nonce. */
static void test_a_fenced_session_is_left(void **state)
{
	(void)state;
	opens();
	assert_true(session_lease_valid(session));
	session_look(session);
	assert_int_equal(world.asked.type, FENCER_STATE);
	fencer_says(answer_of(0), NULL, 0);
	assert_int_equal(session->phase, PHASE_SETTLING);
	assert_false(session_lease_valid(session));
	world.asks = 0;
	session->wait_ms = 0;
	session->timer.timer_cb(&session->timer);
	assert_int_equal(world.asked.type, FENCER_HELLO);
}

/* A replica that is stopped is left while the lease lasts. */
static void test_greetings_have_two_heartbeats(void **state)
{
	(void)state;
	session__heartbeat_heard(session, 500);
	assert_int_equal(world.patience_ms, 1000);
	session__heartbeat_heard(session, 3000);
	assert_int_equal(world.patience_ms, 6000);
}

/* 2.6: after a missed acknowledgement, to another replica. */
static void test_silence_rotates(void **state)
{
	(void)state;
	opens();
	session->timer.timer_cb(&session->timer);
	assert_int_equal(world.rotations, 0);
	session->reply_ms -= 2 * session->heartbeat_ms + 400;
	session->timer.timer_cb(&session->timer);
	assert_int_equal(world.rotations, 1);
}

/* R19 and the door: the highest epoch, and only while the lease lasts; a held
 * run outlives it. */
static void test_requests_go_to_the_highest_epoch(void **state)
{
	struct run old = { .row = { .epoch = 5, .gen = 4, .desired = 1 } };
	struct run newer = { .row = { .epoch = 6, .gen = 4, .desired = 1 },
			     .next = &old };
	struct runner_target target;

	(void)state;
	runner.runs = &newer;
	assert_false(runner_find(&runner, &old.row.program, &target));
	opens();
	assert_true(runner_find(&runner, &old.row.program, &target));
	assert_true(target.epoch == 6 && target.gen == 4);
	newer.next = NULL;
	old.next = &newer;
	runner.runs = &old;
	assert_true(runner_find(&runner, &old.row.program, &target));
	assert_true(target.epoch == 6);
	session->lease_until_ms = clock_monotonic_ms();
	assert_false(runner_find(&runner, &old.row.program, &target));
	old.row.hold = old.row.running = 1;
	assert_true(runner_find(&runner, &old.row.program, &target));
	assert_true(target.epoch == 5);
	runner.runs = NULL;
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_register_says_what_the_fencer_says),
		STORY(test_register_is_repeated_as_it_is),
		STORY(test_answers_to_others_are_not_heard),
		STORY(test_heartbeat_says_what_the_fencer_says),
		STORY(test_no_heartbeat_without_link_or_session),
		STORY(test_reply_goes_to_the_fencer_as_it_is),
		STORY(test_a_fenced_session_is_left),
		STORY(test_greetings_have_two_heartbeats),
		STORY(test_silence_rotates),
		STORY(test_requests_go_to_the_highest_epoch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
