/* Three replicas over TLS: a program is placed, the leader goes, another goes
 * on with the agent's session as it was, and the one that went catches up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/lib/log.h"
#include "tests/kit/cores.h"

#define PORT 21410u

struct outcome {
	bool done;
	uint32_t ok, refused;
	int code;
};

static void on_submitted(struct sim_submit *s)
{
	struct outcome *o = s->ctx;

	o->code = s->code;
	o->ok = s->ok;
	o->refused = s->refused;
	o->done = true;
}

static bool is_done(struct cores *c, void *ctx)
{
	(void)c;
	return ((struct outcome *)ctx)->done;
}

static void put_program(struct cores *c, struct core *core, uint8_t number,
			struct outcome *outcome)
{
	struct sim_submit *s = sim_submit_new();
	struct command put = { .type = FSM_PROGRAM_PUT };

	memset(&put.program_put.program, number, sizeof(struct hash));
	put.program_put.source = SOURCE_OPERATOR;
	put.program_put.persistent = true;
	put.program_put.owner = (struct text){ "owner", 5 };
	put.program_put.name = (struct text){ "p", 1 };
	put.program_put.vcpus = 1;
	put.program_put.memory_mib = 1;
	sim_submit_add(s, &put);
	s->done = on_submitted;
	s->ctx = outcome;
	sim_submit_send(s, core);
	cores_wait(c, is_done, outcome, "no outcome");
}

static bool runs(struct cores *c, void *ctx)
{
	return sim_agents_desired(&c->agents) == *(uint32_t *)ctx;
}

static bool acked_again(struct cores *c, void *ctx)
{
	(void)ctx;
	return c->agents.acks > 0;
}

static bool caught_up(struct cores *c, void *ctx)
{
	struct cores_replica *r = ctx;
	struct cores_replica *leader = cores_leader(c);

	return leader != NULL && r->index != 0 && r->index + 2 >= leader->index;
}

static void test_leader_goes_and_nothing_else(void **state)
{
	static struct cores c;
	struct outcome outcome = { .done = false }, second = { .done = false };
	struct cores_replica *gone;
	stamp_t session;
	uint32_t one = 1, two = 2;

	(void)state;
	cores_open(&c, 3, PORT, 1, 8, 200);
	cores_wait_leader(&c);
	cores_admit(&c);
	put_program(&c, cores_leader(&c)->core, 1, &outcome);
	assert_int_equal(outcome.code, 0);
	assert_int_equal(outcome.ok, 1);
	cores_wait(&c, runs, &one, "the program is not told");
	session = c.agents.agents[0].session;

	gone = cores_leader(&c);
	cores_stop(&c, gone->id);
	cores_wait_leader(&c);
	assert_true(cores_leader(&c) != gone);
	c.agents.acks = 0;
	cores_wait(&c, acked_again, NULL, "the new leader acknowledges nothing");
	assert_int_equal(c.agents.agents[0].session, session);
	assert_int_equal(sim_agents_desired(&c.agents), 1);
	put_program(&c, cores_leader(&c)->core, 2, &second);
	assert_int_equal(second.ok, 1);
	cores_wait(&c, runs, &two, "the second program is not told");

	cores_start(&c, gone->id);
	cores_wait(&c, caught_up, gone, "the old leader does not catch up");
	cores_close(&c);
}

static void test_follower_refuses_commands(void **state)
{
	static struct cores c;
	struct outcome outcome = { .done = false };
	uint64_t leader;

	(void)state;
	cores_open(&c, 3, PORT + 10, 1, 8, 200);
	cores_wait_leader(&c);
	leader = cores_leader(&c)->id;
	put_program(&c, c.replicas[leader % 3].core, 1, &outcome);
	assert_int_equal(outcome.code, BERTH_NOTLEADER);
	assert_int_equal(outcome.ok + outcome.refused, 0);
	cores_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leader_goes_and_nothing_else),
		cmocka_unit_test(test_follower_refuses_commands),
	};

	log_init("replica_cores", LOG_LEVEL_INFO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
