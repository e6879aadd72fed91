/* Frozen views of the core's state: they outlive a restore, and what a snapshot
 * stands for is in the audit trail first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/replica/core_impl.h"

static uint32_t closes, syncs;

static void counted_close(struct fsm *fsm)
{
	closes++;
	fsm_close(fsm);
}

static void counted_sync(struct core *core)
{
	(void)core;
	syncs++;
}

#define fsm_close counted_close
#define core__trail_sync counted_sync
#include "node/replica/core_machine.c"
#undef fsm_close

static struct core core;

static int setup(void **state)
{
	(void)state;
	memset(&core, 0, sizeof core);
	closes = syncs = 0;
	core.state = core__state_open(fsm_open());
	return 0;
}

static int teardown(void **state)
{
	fsm_close(core.state->fsm);
	free(core.state);
	(void)state;
	return 0;
}

/* A snapshot is being written while another one is installed. */
static void test_view_outlives_a_restore(void **state)
{
	struct core_state *old = core.state;
	struct fsm_view *view = core_view_open(&core);
	struct fsm_view *other = core_view_open(&core);

	(void)state;
	assert_true(view != NULL && other != NULL);
	core.state = core__state_open(fsm_open());
	core__state_release(&core, old);
	assert_int_equal(closes, 0);
	core_view_close(&core, view);
	assert_int_equal(closes, 0);
	core_view_close(&core, other);
	assert_int_equal(closes, 1);
}

static void test_state_in_use_is_kept(void **state)
{
	struct fsm_view *view = core_view_open(&core);

	(void)state;
	core_view_close(&core, view);
	assert_int_equal(closes, 0);
}

static void test_trail_goes_before_a_snapshot(void **state)
{
	void *view = on_snapshot_begin(&core);

	(void)state;
	assert_non_null(view);
	assert_int_equal(syncs, 1);
	on_snapshot_end(&core, view);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_view_outlives_a_restore),
		STORY(test_state_in_use_is_kept),
		STORY(test_trail_goes_before_a_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
