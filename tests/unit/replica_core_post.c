/* What the consensus thread still takes once it has failed or is stopping:
 * nothing. Its state may be wrong by then, and nobody may be answered from it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "node/replica/core_impl.h"

static uint32_t frames, runs, dones;
static struct core thread;
static uv_loop_t loop;

/* Stands for the driver: it would answer from the state. */
static int heard(struct driver *d, const struct fsm_view *view,
		 const struct agent_route *route, const struct hash *crn,
		 uint8_t type, const uint8_t *payload, size_t size)
{
	(void)d;
	(void)view;
	(void)crn;
	assert_int_equal(route->link, 7);
	assert_int_equal(type, AGENT_HELLO);
	assert_int_equal(size, 3);
	assert_memory_equal(payload, "abc", 3);
	frames++;
	return 0;
}

static const struct fsm_view *no_view(struct core *from)
{
	(void)from;
	return NULL;
}

#define driver_agent_frame heard
#define core_view no_view
#include "node/replica/core_post.c"
#undef driver_agent_frame
#undef core_view

static int setup(void **state)
{
	(void)state;
	memset(&thread, 0, sizeof thread);
	frames = runs = dones = 0;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(queue_init(&thread.in, &loop, &thread, 8, 4096), 0);
	assert_int_equal(queue_init(&thread.out, &loop, &thread, 8, 4096), 0);
	return 0;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static int teardown(void **state)
{
	(void)state;
	queue_fini(&thread.in, nothing);
	queue_fini(&thread.out, nothing);
	uv_run(&loop, UV_RUN_DEFAULT);
	return uv_loop_close(&loop);
}

/* Both queues are taken on this one loop. */
static void turn(void)
{
	for (int i = 0; i < 4; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
}

static void say_hello(void)
{
	const struct agent_route route = { 1, 7 };
	struct hash crn;

	memset(&crn, 1, sizeof crn);
	core_agent_frame(&thread, &route, &crn, AGENT_HELLO, "abc", 3);
	turn();
}

static void on_run(struct core *of, struct core_call *call)
{
	(void)of;
	call->code = 0;
	runs++;
}

static void on_done(struct core_call *call)
{
	(void)call;
	dones++;
}

static int call_code(void)
{
	struct core_call call = { .run = on_run, .done = on_done };

	assert_int_equal(core_post(&thread, &call), 0);
	turn();
	assert_int_equal(dones, 1);
	return call.code;
}

static void test_frames_reach_the_driver(void **state)
{
	(void)state;
	say_hello();
	assert_int_equal(frames, 1);
	assert_int_equal(call_code(), 0);
	assert_int_equal(runs, 1);
}

/* R6: nobody is answered from a state that may be wrong. */
static void test_failed_core_hears_no_frame(void **state)
{
	(void)state;
	thread.failed = true;
	say_hello();
	assert_int_equal(frames, 0);
}

static void test_stopping_core_hears_no_frame(void **state)
{
	(void)state;
	thread.stopping = true;
	say_hello();
	assert_int_equal(frames, 0);
}

/* Nor is it read, or written: the call comes back, and says so. */
static void test_failed_core_runs_no_call(void **state)
{
	(void)state;
	thread.failed = true;
	assert_int_equal(call_code(), BERTH_CLOSED);
	assert_int_equal(runs, 0);
}

static void test_stopping_core_runs_no_call(void **state)
{
	(void)state;
	thread.stopping = true;
	assert_int_equal(call_code(), BERTH_CLOSED);
	assert_int_equal(runs, 0);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_frames_reach_the_driver),
		STORY(test_failed_core_hears_no_frame),
		STORY(test_stopping_core_hears_no_frame),
		STORY(test_failed_core_runs_no_call),
		STORY(test_stopping_core_runs_no_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
