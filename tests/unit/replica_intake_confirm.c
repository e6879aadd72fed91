/* What is not listed any more is not gone: CCNs are asked for it, one after
 * the other, and only their own words drop it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "node/replica/intake_internal.h"

static struct {
	void (*then)(void *ctx, const struct http_answer *answer);
	void *ctx;
	char url[1024];
	uint32_t asked, forgotten, sends, drops;
	struct hash program;
	char reason[64];
	bool unreachable;
	struct edge_submit submit;
} fake;

static int fake_send(struct http_client *client, const struct http_call *call,
		     void (*then)(void *ctx, const struct http_answer *answer))
{
	(void)client;
	fake.asked++;
	snprintf(fake.url, sizeof fake.url, "%s", call->url);
	if (fake.unreachable)
		return BERTH_IO;
	fake.then = then;
	fake.ctx = call->ctx;
	return 0;
}

static struct edge_submit *fake_open(struct edge *edge)
{
	memset(&fake.submit, 0, sizeof fake.submit);
	fake.submit.edge = edge;
	return &fake.submit;
}

static void fake_add(struct edge_submit *s, const struct command *command)
{
	assert_int_equal(command->type, FSM_PROGRAM_FORGET);
	s->count++;
	fake.forgotten++;
	fake.program = command->program_forget.program;
	snprintf(fake.reason, sizeof fake.reason, "%.*s",
		 (int)command->program_forget.reason.size,
		 command->program_forget.reason.data);
}

static void fake_submit_send(struct edge_submit *s)
{
	fake.sends++;
	s->done(s, 1); /* nothing of it was done: the table stays as it is */
}

static void fake_drop(struct edge_submit *s)
{
	(void)s;
	fake.drops++;
}

#define http_client_send fake_send
#define edge_submit_open fake_open
#define edge_submit_add fake_add
#define edge_submit_send fake_submit_send
#define edge_submit_drop fake_drop
#include "node/replica/intake_confirm.c"

static struct edge edge;
static struct intake intake;
static uint32_t dones;

static void on_done(struct intake *of)
{
	(void)of;
	dones++;
}

static void fresh(void)
{
	static const char *const urls[] = { "http://ccn0", "http://ccn1",
					    "http://ccn2" };

	memset(&fake, 0, sizeof fake);
	memset(&edge, 0, sizeof edge);
	memset(&intake, 0, sizeof intake);
	dones = 0;
	uv_mutex_init(&intake.table.mutex);
	intake.edge = &edge;
	intake.ccn_count = 3;
	for (uint32_t i = 0; i < 3; i++)
		intake.ccns[i].url = urls[i];
}

static void ended(void)
{
	uv_mutex_destroy(&intake.table.mutex);
	assert_int_equal(dones, 1);
	assert_int_equal(edge.busy, 0);
}

/* For the second and each further turn of one story. */
static void again(uint32_t turn)
{
	if (turn == 0)
		return;
	ended();
	fresh();
}

static int setup(void **state)
{
	(void)state;
	fresh();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ended();
	return 0;
}

static void begin(uint32_t count)
{
	struct hash programs[2];

	memset(&programs[0], 0x11, sizeof programs[0]);
	memset(&programs[1], 0x22, sizeof programs[1]);
	intake_confirm(&intake, programs, count, on_done);
}

/* The CCN that was asked answers; of its words only the status counts. */
static void says(uint32_t ccn, int status, const char *word)
{
	char body[64], url[64];
	struct http_answer answer = { .status = status };

	snprintf(url, sizeof url, "http://ccn%u/api/v0/messages/", ccn);
	assert_memory_equal(fake.url, url, strlen(url));
	snprintf(body, sizeof body, "{\"status\": \"%s\"}", word);
	answer.body = body;
	answer.body_size = strlen(body);
	assert_int_equal(dones, 0);
	fake.then(fake.ctx, &answer);
}

static void test_unknown_to_all_is_gone(void **state)
{
	(void)state;
	begin(1);
	says(0, 404, "");
	says(1, 404, "");
	says(2, 404, "");
	assert_int_equal(fake.forgotten, 1);
	assert_string_equal(fake.reason, "no CCN knows the message");
}

/* One that fails might know it: with it, nobody has said anything. */
static void test_silence_of_one_keeps_it(void **state)
{
	static const int silent[] = { 500, 0, 200, 500 };

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		again(i);
		begin(1);
		says(0, 404, "");
		says(1, silent[i], i == 3 ? "forgotten" : "new word");
		says(2, 404, "");
		assert_int_equal(fake.forgotten, 0);
		assert_int_equal(fake.drops, 1);
	}
}

static void test_one_that_has_it_keeps_it(void **state)
{
	static const char *const there[] = { "processed", "pending",
					     "removing" };

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		again(i);
		begin(1);
		says(0, 200, "forgotten");
		says(1, 200, there[i]);
		assert_int_equal(fake.asked, 2); /* the third need not be */
		assert_int_equal(fake.forgotten, 0);
	}
}

static void test_one_that_dropped_it_drops_it(void **state)
{
	static const char *const gone[] = { "forgotten", "removed",
					    "rejected", "forgotten" };

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		again(i);
		begin(1);
		says(0, 500, "");
		says(1, i == 3 ? 410 : 200, gone[i]);
		says(2, 404, "");
		assert_int_equal(fake.forgotten, 1);
		assert_int_equal(fake.program.bytes[0], 0x11);
		assert_string_equal(fake.reason,
				    "forgotten, removed or rejected");
	}
}

/* What was said of one is not said of the next. */
static void test_each_is_asked_for_itself(void **state)
{
	(void)state;
	begin(2);
	says(0, 404, "");
	says(1, 200, "forgotten");
	says(2, 404, "");
	assert_int_equal(fake.asked, 4);
	assert_non_null(strstr(fake.url, "/2222"));
	says(0, 404, "");
	says(1, 500, "");
	says(2, 500, "");
	assert_int_equal(fake.asked, 6);
	assert_int_equal(fake.forgotten, 1);
	assert_int_equal(fake.program.bytes[0], 0x11);
}

static void test_kept_one_says_nothing_of_the_next(void **state)
{
	(void)state;
	begin(2);
	says(0, 200, "processed");
	says(0, 200, "forgotten");
	says(1, 404, "");
	says(2, 404, "");
	assert_int_equal(fake.forgotten, 1);
	assert_int_equal(fake.program.bytes[0], 0x22);
}

static void test_nobody_can_be_asked(void **state)
{
	(void)state;
	fake.unreachable = true;
	begin(1);
	assert_int_equal(fake.asked, 3);
	assert_int_equal(fake.forgotten, 0);
}

static void test_who_closes_drops_nothing(void **state)
{
	(void)state;
	begin(2);
	for (uint32_t i = 0; i < 3; i++)
		says(i, 200, "forgotten");
	intake.closing = true;
	says(0, 200, "forgotten");
	assert_int_equal(fake.sends, 0);
	assert_int_equal(fake.forgotten, 0);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_unknown_to_all_is_gone),
		STORY(test_silence_of_one_keeps_it),
		STORY(test_one_that_has_it_keeps_it),
		STORY(test_one_that_dropped_it_drops_it),
		STORY(test_each_is_asked_for_itself),
		STORY(test_kept_one_says_nothing_of_the_next),
		STORY(test_nobody_can_be_asked),
		STORY(test_who_closes_drops_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
