/* CRNs of the configuration file: the leader lets in those that the state does
 * not know, and touches no other; what an operator unlinked stays unlinked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "node/replica/edge_internal.h"
#include "tests/kit/driver_world.h"

static struct {
	struct world *world;
	struct core_call *posted;
	uint32_t puts, sends;
	struct hash put;
	bool linked;
	struct edge_submit submit;
} fake;

static int fake_post(struct core *core, struct core_call *call)
{
	(void)core;
	assert_null(fake.posted);
	fake.posted = call;
	return 0;
}

static const struct fsm_view *fake_view(struct core *core)
{
	(void)core;
	return fsm_live(fake.world->fsm);
}

static struct edge_submit *fake_open(struct edge *edge)
{
	fake.submit = (struct edge_submit){ .edge = edge };
	return &fake.submit;
}

static void fake_add(struct edge_submit *s, const struct command *command)
{
	s->count++;
	assert_int_equal(command->type, FSM_CRN_PUT);
	fake.puts++;
	fake.put = command->crn_put.crn;
	fake.linked = command->crn_put.linked;
}

static void fake_send(struct edge_submit *s)
{
	fake.sends++;
	s->done(s, 0);
}

#define core_post fake_post
#define core_view fake_view
#define edge_submit_open fake_open
#define edge_submit_add fake_add
#define edge_submit_send fake_send
#include "node/replica/intake_crns.c"

static struct edge edge;
static uv_loop_t loop;
static struct intake_crns *crns;
static struct edge_crn configured[3];

static int setup(void **state)
{
	struct world_agent a;

	memset(&fake, 0, sizeof fake);
	memset(&edge, 0, sizeof edge);
	memset(configured, 0, sizeof configured);
	assert_int_equal(world_setup(state), 0);
	fake.world = *state;
	assert_int_equal(uv_loop_init(&loop), 0);
	edge.loop = &loop;
	edge.core = (struct core *)&edge; /* never looked into */
	edge.config.id = edge.leader = 1;
	edge.config.crns = configured;
	edge.config.crn_count = 3;
	for (uint8_t i = 0; i < 3; i++) {
		world_agent(&a, (uint8_t)(i + 1));
		configured[i].hash = a.crn;
		memcpy(configured[i].name, "crn", 4);
	}
	assert_int_equal(intake_crns_open(&crns, &edge), 0);
	return 0;
}

static int teardown(void **state)
{
	intake_crns_close(crns);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(edge.busy, 0);
	intake_crns_free(crns);
	assert_int_equal(uv_loop_close(&loop), 0);
	return world_teardown(state);
}

/* One is known and linked, one was unlinked, and the third is new. */
static void know_two(struct world *w)
{
	struct command put = { .type = FSM_CRN_PUT };
	struct world_agent a;

	world_lead(w);
	for (uint8_t i = 1; i <= 2; i++) {
		world_agent(&a, i);
		put.crn_put.crn = a.crn;
		put.crn_put.name = (struct text){ "crn", 3 };
		put.crn_put.linked = i == 1;
		assert_int_equal(world_command(w, &put), FSM_OK);
	}
}

static void look(void)
{
	struct core_call *call;

	intake_crns_leader(crns);
	for (uint32_t i = 0; i < 20 && fake.posted == NULL; i++) {
		uv_sleep(1);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	call = fake.posted;
	if (call == NULL)
		return;
	fake.posted = NULL;
	call->run(edge.core, call);
	call->done(call);
}

static void test_only_new_ones_are_put(void **state)
{
	know_two(*state);
	look();
	assert_int_equal(fake.sends, 1);
	assert_int_equal(fake.puts, 1);
	assert_true(hash_equal(&fake.put, &configured[2].hash));
	assert_true(fake.linked);
}

static void test_followers_put_nothing(void **state)
{
	know_two(*state);
	edge.leader = 2;
	look();
	assert_int_equal(fake.sends, 0);
}

/* Leadership is lost between the look and the word. */
static void test_leader_of_before_puts_nothing(void **state)
{
	struct core_call *call;

	know_two(*state);
	intake_crns_leader(crns);
	for (uint32_t i = 0; i < 20 && fake.posted == NULL; i++) {
		uv_sleep(1);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	call = fake.posted;
	assert_non_null(call);
	call->run(edge.core, call);
	edge.leader = 2;
	call->done(call);
	assert_int_equal(fake.sends, 0);
}

static void test_nothing_new_is_nothing_said(void **state)
{
	know_two(*state);
	edge.config.crn_count = 2;
	look();
	look();
	assert_int_equal(fake.sends, 0);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_only_new_ones_are_put),
		STORY(test_followers_put_nothing),
		STORY(test_leader_of_before_puts_nothing),
		STORY(test_nothing_new_is_nothing_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
