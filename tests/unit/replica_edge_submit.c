/* Commands of clients: given to the driver once and never again, and whatever
 * is not surely known is told as unknown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "node/replica/edge_internal.h"

static struct {
	struct core_call *posted; /* not run yet */
	struct driver_client *client;
	uint32_t submits, finishes;
	int post_code, says; /* says: at once, inside the call; 0: later */
} fake;

static int fake_post(struct core *core, struct core_call *call)
{
	(void)core;
	if (fake.post_code == 0)
		fake.posted = call;
	return fake.post_code;
}

static void fake_finish(struct core *core, struct core_call *call)
{
	(void)core;
	(void)call;
	fake.finishes++;
}

static struct driver *no_driver(struct core *core)
{
	(void)core;
	return NULL;
}

static void fake_submit(struct driver *d, struct driver_client *client)
{
	(void)d;
	fake.submits++;
	fake.client = client;
	if (fake.says != 0)
		client->done(client, fake.says, 0);
}

#define core_post fake_post
#define core_call_finish fake_finish
#define core_driver no_driver
#define driver_submit fake_submit
#include "node/replica/edge_submit.c"

static struct edge edge;
static uint32_t dones;
static int last;
static uint64_t last_index;
static struct fsm_result last_results[2];

static void on_done(struct edge_submit *s, int code)
{
	dones++;
	last = code;
	last_index = s->index;
	for (uint32_t i = 0; i < 2 && code == 0; i++)
		last_results[i] = s->results[i];
}

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof fake);
	memset(&edge, 0, sizeof edge);
	dones = 0;
	last = -1;
	edge.core = (struct core *)&edge; /* never looked into */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(edge.busy, 0);
	assert_int_equal(dones, 1);
	return 0;
}

/* Two commands that are easily told apart. */
static void send_two(void)
{
	struct edge_submit *s = edge_submit_open(&edge);
	struct command c = { .type = FSM_REVOKE };

	assert_non_null(s);
	for (uint64_t epoch = 1; epoch <= 2; epoch++) {
		c.revoke.epoch = epoch;
		c.revoke.cause = REVOKE_OPERATOR;
		edge_submit_add(s, &c);
	}
	s->done = on_done;
	edge_submit_send(s);
}

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

/* The driver ends what it kept: so many results, then its code. */
static void driver_says(int code, uint64_t index, uint32_t results)
{
	struct edge_submit *s = (struct edge_submit *)(void *)
		((char *)fake.client - offsetof(struct edge_submit, client));
	struct fsm_result result = { .type = FSM_REVOKE };

	assert_int_equal(dones, 0);
	for (uint32_t i = 0; i < results; i++) {
		result.position = i;
		result.refusal = i == 0 ? FSM_OK : FSM_DUPLICATE;
		fake.client->result(fake.client, &result);
	}
	assert_int_equal(fake.finishes, 0);
	fake.client->done(fake.client, code, index);
	assert_int_equal(fake.finishes, 1);
	s->call.done(&s->call);
}

static bool keep(void *ctx, const void *data, size_t size)
{
	struct text *t = ctx;

	assert_true(t->size + size <= 256);
	memcpy((char *)t->data + t->size, data, size);
	t->size += (uint32_t)size;
	return true;
}

static void test_results_come_back(void **state)
{
	char room[256];
	struct text bytes = { room, 0 };
	const struct byte_sink sink = { &bytes, keep };
	struct command c = { .type = FSM_REVOKE };

	(void)state;
	send_two();
	assert_int_equal(dones, 0);
	run_posted();
	c.revoke.cause = REVOKE_OPERATOR;
	for (c.revoke.epoch = 1; c.revoke.epoch <= 2; c.revoke.epoch++)
		assert_true(command_encode(&sink, &c));
	assert_int_equal(fake.client->count, 2);
	assert_int_equal(fake.client->size, bytes.size);
	assert_memory_equal(fake.client->commands, room, bytes.size);
	driver_says(0, 77, 2);
	assert_int_equal(last, 0);
	assert_int_equal(last_index, 77);
	assert_int_equal(last_results[0].refusal, FSM_OK);
	assert_int_equal(last_results[1].refusal, FSM_DUPLICATE);
}

/* Committed, but what became of it was not all heard: not a success. */
static void test_missing_result_is_unknown(void **state)
{
	(void)state;
	send_two();
	run_posted();
	driver_says(0, 77, 1);
	assert_int_equal(last, BERTH_UNKNOWN_OUTCOME);
}

static void test_lost_leadership_is_unknown(void **state)
{
	(void)state;
	send_two();
	run_posted();
	driver_says(BERTH_UNKNOWN_OUTCOME, 0, 0);
	assert_int_equal(last, BERTH_UNKNOWN_OUTCOME);
	assert_int_equal(fake.submits, 1); /* R3: never proposed again */
	assert_null(fake.posted);
}

/* Refused inside the very call: it goes back when that has returned. */
static void test_driver_that_refuses_at_once(void **state)
{
	(void)state;
	fake.says = BERTH_NOTLEADER;
	send_two();
	run_posted();
	assert_int_equal(fake.finishes, 0);
	assert_int_equal(last, BERTH_NOTLEADER);
	assert_int_equal(fake.submits, 1);
}

static void test_full_core_is_busy(void **state)
{
	(void)state;
	fake.post_code = BERTH_BUSY;
	send_two();
	assert_int_equal(last, BERTH_BUSY);
	assert_int_equal(fake.submits, 0);
}

/* One that stops runs no call: it never saw the commands. */
static void test_core_that_stops_is_told(void **state)
{
	struct core_call *call;

	(void)state;
	send_two();
	call = fake.posted;
	call->code = BERTH_CLOSED;
	call->done(call);
	assert_int_equal(last, BERTH_CLOSED);
	assert_int_equal(fake.submits, 0);
}

static void test_without_a_core_nobody_leads(void **state)
{
	(void)state;
	edge.core = NULL;
	send_two();
	assert_int_equal(last, BERTH_NOTLEADER);
	assert_null(fake.posted);
}

/* Not all of it is there: none of it is sent. */
static void test_what_cannot_be_encoded_is_not_sent(void **state)
{
	struct edge_submit *s = edge_submit_open(&edge);
	struct command c = { .type = FSM_REVOKE };

	(void)state;
	edge_submit_add(s, &c);
	s->failed = true; /* as after the memory ran out */
	edge_submit_add(s, &c);
	s->done = on_done;
	edge_submit_send(s);
	assert_int_equal(last, BERTH_NOMEM);
	assert_null(fake.posted);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_results_come_back),
		STORY(test_missing_result_is_unknown),
		STORY(test_lost_leadership_is_unknown),
		STORY(test_driver_that_refuses_at_once),
		STORY(test_full_core_is_busy),
		STORY(test_core_that_stops_is_told),
		STORY(test_without_a_core_nobody_leads),
		STORY(test_what_cannot_be_encoded_is_not_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
