/* Linearizable reads: nothing is answered before the leader has confirmed an
 * index and this replica has applied it; whatever else happens is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "node/replica/relay.h"

static struct {
	struct core_call *posted; /* not run yet */
	struct replica_read *engine;
	struct relay_ask *ask;
	uint64_t asked, now_ms, applied;
	uint32_t finishes, refused;
	int post_code, says; /* says: at once, inside the call; 0: later */
	bool up, has_run;
} fake;

static int fake_post(struct core *core, struct core_call *call)
{
	(void)core;
	if (fake.post_code != 0) {
		fake.refused++;
		return fake.post_code;
	}
	assert_null(fake.posted);
	fake.posted = call;
	return 0;
}

static void fake_finish(struct core *core, struct core_call *call)
{
	(void)core;
	(void)call;
	fake.finishes++;
}

static void fake_index(struct replica *replica, struct replica_read *read)
{
	(void)replica;
	fake.engine = read;
	if (fake.says != 0)
		read->done(read->ctx, fake.says, 0);
}

static void fake_status(struct replica *replica, struct replica_status *out)
{
	(void)replica;
	memset(out, 0, sizeof *out);
	out->applied = fake.applied;
}

static bool fake_run(const struct driver *d, const struct hash *program,
		     struct agent_run *out)
{
	(void)d;
	assert_int_equal(program->bytes[0], 8);
	*out = (struct agent_run){ .program = *program, .epoch = 4,
				   .reason = { "slow disk", 9 } };
	return fake.has_run;
}

static bool fake_up(const struct relay *relay, uint64_t id)
{
	(void)relay;
	(void)id;
	return fake.up;
}

static uint64_t fake_id(struct relay *relay)
{
	(void)relay;
	return 55;
}

static void fake_ask(struct relay *relay, struct relay_ask *ask, uint64_t peer,
		     uint8_t type, const void *payload, size_t size,
		     uint32_t timeout_ms)
{
	struct wire_reader r = { payload, size, 0, false };

	(void)relay;
	(void)timeout_ms;
	assert_int_equal(type, PEER_READ_INDEX);
	assert_int_equal(ask->answer, PEER_READ_ANSWER);
	assert_int_equal(ask->id, 55);
	assert_int_equal(wire_get_u64(&r), 55);
	assert_int_equal(wire_get_u8(&r), 1);
	assert_int_equal(wire_get(&r, 32)[0], 8);
	assert_true(wire_end(&r));
	fake.ask = ask;
	fake.asked = peer;
}

static void *nothing(struct core *core)
{
	(void)core;
	return NULL;
}

static uint64_t fake_now(const uv_loop_t *loop)
{
	(void)loop;
	return fake.now_ms;
}

#define core_post fake_post
#define core_call_finish fake_finish
#define core_driver nothing
#define core_replica nothing
#define replica_read_index fake_index
#define replica_status(r, out) fake_status(r, out)
#define driver_run_status fake_run
#define relay_up fake_up
#define relay_ask_id fake_id
#define relay_ask(...) fake_ask(__VA_ARGS__)
#define uv_now fake_now
#include "node/replica/edge_read.c"

static struct edge edge;
static uv_loop_t loop;
static struct edge_read reading;
static uint32_t dones;
static int last;

static void on_done(struct edge_read *read, int code)
{
	(void)read;
	dones++;
	last = code;
}

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof fake);
	memset(&edge, 0, sizeof edge);
	memset(&reading, 0, sizeof reading);
	dones = 0;
	last = -1;
	fake.now_ms = 1000;
	reading.done = on_done;
	reading.want_run = true;
	reading.program.bytes[0] = 8;
	assert_int_equal(uv_loop_init(&loop), 0);
	edge.loop = &loop;
	edge.config.id = 1;
	edge.core = (struct core *)&edge; /* never looked into */
	edge.leader = 1;
	edge_read_open(&edge);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(edge.busy, 0); /* whoever began has ended */
	uv_close((uv_handle_t *)&edge.applied_timer, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

/* What the consensus loop does with a call, and the edge after it. */
static void run_posted(void)
{
	struct core_call *call = fake.posted;

	assert_non_null(call);
	fake.posted = NULL;
	call->pending = false;
	call->run(edge.core, call);
	if (!call->pending)
		call->done(call);
}

/* The engine answers a read that it kept. */
static void engine_says(int code, uint64_t index)
{
	assert_non_null(fake.engine);
	assert_int_equal(fake.finishes, 0);
	fake.engine->done(fake.engine->ctx, code, index);
	assert_int_equal(fake.finishes, 1);
	reading.call.done(&reading.call);
}

/* The poll of what is applied here. */
static void poll_once(uint64_t applied)
{
	for (uint32_t i = 0; i < 100 && fake.posted == NULL; i++)
		uv_run(&loop, UV_RUN_ONCE);
	fake.applied = applied;
	run_posted();
}

static void leader_answers(int code, uint64_t index, bool has_run)
{
	const struct read_answer m = {
		.id = 55, .index = index, .gen = 2, .epoch = 9, .code = code,
		.has_run = has_run, .status = RUN_FAILED, .failures = 4,
		.reason = { "no disk", 7 } };
	struct relay_ask *ask = fake.ask;
	struct wire w = { 0 };

	assert_non_null(ask);
	fake.ask = NULL;
	read_answer_put(&w, &m);
	ask->done(ask, 0, w.data, w.size);
	wire_fini(&w);
}

/* --- on the leader ------------------------------------------------------------ */

static void test_confirmed_and_applied(void **state)
{
	(void)state;
	edge_read(&edge, &reading);
	run_posted();
	assert_int_equal(dones, 0); /* the engine has not confirmed it */
	engine_says(0, 9);
	assert_int_equal(dones, 0);
	poll_once(8);
	assert_int_equal(dones, 0);
	poll_once(9);
	assert_int_equal(dones, 1);
	assert_int_equal(last, 0);
	assert_int_equal(reading.index, 9);
}

static void test_engine_that_refuses(void **state)
{
	static const int codes[][2] = {
		{ BERTH_NOTLEADER, BERTH_NOTLEADER },
		{ BERTH_BUSY, BERTH_BUSY },
		/* A read whose outcome is unknown was simply not made. */
		{ BERTH_UNKNOWN_OUTCOME, BERTH_NOTLEADER },
	};

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		fake.finishes = 0;
		edge_read(&edge, &reading);
		run_posted();
		engine_says(codes[i][0], 9);
		assert_int_equal(dones, i + 1);
		assert_int_equal(last, codes[i][1]);
	}
}

/* Inside the very call: it goes back when that has returned, and once. */
static void test_engine_that_refuses_at_once(void **state)
{
	(void)state;
	fake.says = BERTH_NOTLEADER;
	for (uint32_t i = 0; i < 2; i++) {
		edge_read(&edge, &reading);
		run_posted();
		assert_int_equal(fake.finishes, 0);
		assert_int_equal(dones, i + 1);
		assert_int_equal(last, BERTH_NOTLEADER);
	}
	fake.says = 0;
	edge_read(&edge, &reading); /* the same one, asked anew */
	run_posted();
	assert_int_equal(dones, 2);
	engine_says(0, 9);
	poll_once(9);
	assert_int_equal(last, 0);
}

/* A queue that is full for a while: what waits is looked at later. */
static void test_poll_that_finds_no_room(void **state)
{
	(void)state;
	edge_read(&edge, &reading);
	run_posted();
	engine_says(0, 9);
	fake.post_code = BERTH_BUSY;
	for (uint32_t i = 0; i < 3; i++)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(fake.refused >= 2);
	assert_int_equal(dones, 0);
	fake.post_code = 0;
	poll_once(9);
	assert_int_equal(last, 0);
	for (uint32_t i = 0; i < 3; i++) /* and then no more */
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_null(fake.posted);
	assert_false(uv_is_active((uv_handle_t *)&edge.applied_timer));
}

static void test_apply_that_does_not_come(void **state)
{
	(void)state;
	edge_read(&edge, &reading);
	run_posted();
	engine_says(0, 9);
	fake.now_ms += EDGE_READ_TIMEOUT_MS - 1;
	poll_once(8);
	assert_int_equal(dones, 0);
	fake.now_ms++;
	poll_once(8);
	assert_int_equal(dones, 1);
	assert_int_equal(last, BERTH_TIMEOUT);
}

static void test_full_core_is_busy(void **state)
{
	(void)state;
	fake.post_code = BERTH_BUSY;
	edge_read(&edge, &reading);
	assert_int_equal(last, BERTH_BUSY);
}

static void test_run_is_the_leaders(void **state)
{
	(void)state;
	fake.has_run = true;
	edge_read(&edge, &reading);
	run_posted();
	engine_says(0, 9);
	poll_once(9);
	assert_true(reading.has_run);
	assert_true(reading.run.epoch == 4);
	/* The driver's text may be gone by now. */
	assert_ptr_equal(reading.run.reason.data, reading.reason);
	assert_int_equal(reading.run.reason.size, 9);
	assert_memory_equal(reading.reason, "slow disk", 9);
}

/* --- on a follower ------------------------------------------------------------ */

static void follow(void)
{
	edge.leader = 2;
	fake.up = true;
	edge_read(&edge, &reading);
	assert_null(fake.posted);
	assert_true(fake.asked == 2);
}

static void test_follower_waits_for_its_own_apply(void **state)
{
	(void)state;
	follow();
	leader_answers(0, 12, true);
	assert_int_equal(dones, 0);
	poll_once(11);
	assert_int_equal(dones, 0);
	poll_once(12);
	assert_int_equal(dones, 1);
	assert_int_equal(last, 0);
	assert_true(reading.has_run);
	assert_true(reading.run.gen == 2 && reading.run.epoch == 9);
	assert_int_equal(reading.run.status, RUN_FAILED);
	assert_int_equal(reading.run.failures, 4);
	assert_int_equal(reading.run.program.bytes[0], 8);
	assert_memory_equal(reading.run.reason.data, "no disk", 7);
}

/* The one who was asked leads no more: its index confirms nothing. */
static void test_refused_answer_is_no_answer(void **state)
{
	(void)state;
	follow();
	leader_answers(BERTH_NOTLEADER, 12, false);
	assert_int_equal(dones, 1);
	assert_int_equal(last, BERTH_NOTLEADER);
}

static void test_garbled_or_lost_answer_is_no_answer(void **state)
{
	struct relay_ask *ask;

	(void)state;
	follow();
	ask = fake.ask;
	ask->done(ask, 0, (const uint8_t *)"junk", 4);
	assert_int_equal(last, BERTH_NOTLEADER);
	follow();
	ask = fake.ask;
	ask->done(ask, BERTH_TIMEOUT, NULL, 0);
	assert_int_equal(dones, 2);
	assert_int_equal(last, BERTH_NOTLEADER);
}

static void test_others_ask_the_leader_only(void **state)
{
	(void)state;
	edge.leader = 2;
	edge_read_engine(&edge, &reading);
	assert_int_equal(last, BERTH_NOTLEADER);
	assert_null(fake.posted);
	edge.leader = 1;
	edge_read_engine(&edge, &reading);
	run_posted();
	engine_says(0, 9);
	assert_int_equal(dones, 2); /* who asked waits for the apply itself */
	assert_int_equal(last, 0);
	assert_int_equal(reading.index, 9);
}

/* --- with no leader ------------------------------------------------------------ */

static void test_leader_that_comes_is_asked(void **state)
{
	(void)state;
	edge.leader = 0;
	edge_read(&edge, &reading);
	assert_int_equal(dones, 0);
	fake.now_ms += 1400;
	poll_once(50);
	assert_int_equal(dones, 0);
	edge.leader = 1;
	edge_read_leader(&edge);
	run_posted();
	engine_says(0, 9);
	poll_once(50);
	assert_int_equal(last, 0);
}

static void test_link_that_comes_is_used(void **state)
{
	(void)state;
	edge.leader = 2;
	edge_read(&edge, &reading); /* no link to it yet */
	assert_null(fake.ask);
	fake.up = true;
	poll_once(50);
	leader_answers(0, 12, false);
	poll_once(50);
	assert_int_equal(last, 0);
	assert_false(reading.has_run);
}

static void test_leader_that_does_not_come(void **state)
{
	(void)state;
	edge.leader = 0;
	edge_read(&edge, &reading);
	fake.now_ms += LEADER_WAIT_MS;
	poll_once(50); /* applied or not: nothing was confirmed */
	assert_int_equal(dones, 1);
	assert_int_equal(last, BERTH_NOTLEADER);
}

static void test_who_closes_tells_everybody(void **state)
{
	static struct edge_read second;

	(void)state;
	edge.leader = 0;
	edge_read(&edge, &reading);
	edge.leader = 1;
	second = (struct edge_read){ .done = on_done };
	edge_read(&edge, &second);
	run_posted();
	second.call.code = 0;
	fake.engine->done(fake.engine->ctx, 0, 9);
	second.call.done(&second.call);
	assert_int_equal(dones, 0);
	edge.closing = true;
	edge_read_close(&edge);
	assert_int_equal(dones, 2);
	assert_int_equal(last, BERTH_NOTLEADER);
	edge_read(&edge, &reading);
	assert_int_equal(dones, 3);
	assert_int_equal(last, BERTH_NOTLEADER);
	edge_read_engine(&edge, &reading);
	assert_int_equal(dones, 4);
	assert_int_equal(last, BERTH_NOTLEADER);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_confirmed_and_applied),
		STORY(test_engine_that_refuses),
		STORY(test_engine_that_refuses_at_once),
		STORY(test_poll_that_finds_no_room),
		STORY(test_apply_that_does_not_come),
		STORY(test_full_core_is_busy),
		STORY(test_run_is_the_leaders),
		STORY(test_follower_waits_for_its_own_apply),
		STORY(test_refused_answer_is_no_answer),
		STORY(test_garbled_or_lost_answer_is_no_answer),
		STORY(test_others_ask_the_leader_only),
		STORY(test_leader_that_comes_is_asked),
		STORY(test_link_that_comes_is_used),
		STORY(test_leader_that_does_not_come),
		STORY(test_who_closes_tells_everybody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
