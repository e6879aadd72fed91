/* Hashes of states compared: who stops (I8). First the judgement alone, then
 * replicas of which one has a bit of its state turned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fsm/state.h"
#include "node/lib/log.h"
#include "node/replica/audit.h"
#include "tests/kit/cores.h"

#define PORT 21510u

static void heard(struct audit *a, uint64_t id, uint64_t hash)
{
	const struct audit_said said = { .index = 8, .hash = hash,
					 .version = 1 };

	assert_true(audit_say(a, id, &said));
}

static enum audit_verdict judged(struct audit *a, uint32_t members,
				 uint32_t linked, uint64_t leader, bool waited)
{
	static const uint64_t ids[] = { 1, 2, 3, 4, 5 };
	const struct audit_court court = { ids, members, linked, leader,
					   waited };

	return audit_judge(a, 8, &court);
}

static void the_majority_decides_at_once(void **state)
{
	struct audit a;

	(void)state;
	audit_init(&a, 1);
	heard(&a, 1, 7);
	assert_int_equal(judged(&a, 3, 3, 1, false), AUDIT_AGREES);
	heard(&a, 2, 9);
	assert_int_equal(judged(&a, 3, 3, 1, false), AUDIT_WAITS);
	heard(&a, 3, 9);
	assert_int_equal(judged(&a, 3, 3, 1, false), AUDIT_STOPS);
	heard(&a, 3, 7); /* it says otherwise */
	assert_int_equal(judged(&a, 3, 3, 2, false), AUDIT_OTHERS);
}

static void between_two_the_leader_is_right(void **state)
{
	struct audit a;

	(void)state;
	audit_init(&a, 1);
	heard(&a, 1, 7);
	heard(&a, 2, 9);
	assert_int_equal(judged(&a, 3, 2, 1, false), AUDIT_OTHERS);
	assert_int_equal(judged(&a, 3, 2, 2, false), AUDIT_STOPS);
	/* The third is linked: it is waited for, not for ever. */
	assert_int_equal(judged(&a, 3, 3, 2, false), AUDIT_WAITS);
	assert_int_equal(judged(&a, 3, 3, 2, true), AUDIT_STOPS);
	/* Without the leader's word nobody stops. */
	assert_int_equal(judged(&a, 3, 2, 0, true), AUDIT_WAITS);
	assert_int_equal(judged(&a, 3, 2, 3, true), AUDIT_WAITS);
}

static void most_of_what_was_said_in_a_part_of_five(void **state)
{
	struct audit a;

	(void)state;
	audit_init(&a, 1);
	heard(&a, 1, 7);
	heard(&a, 2, 9);
	heard(&a, 3, 9);
	assert_int_equal(judged(&a, 5, 3, 1, false), AUDIT_STOPS);
	heard(&a, 4, 7); /* two and two */
	assert_int_equal(judged(&a, 5, 4, 1, false), AUDIT_OTHERS);
	assert_int_equal(judged(&a, 5, 4, 2, false), AUDIT_STOPS);
	heard(&a, 5, 7);
	assert_int_equal(judged(&a, 5, 5, 2, false), AUDIT_OTHERS);
}

static void who_is_no_member_has_no_opinion(void **state)
{
	static const uint64_t pair[] = { 1, 2 }, others[] = { 2, 3 };
	struct audit_court court = { others, 2, 2, 2, true };
	struct audit a;

	(void)state;
	audit_init(&a, 1);
	heard(&a, 1, 7);
	heard(&a, 3, 9);
	assert_int_equal(judged(&a, 2, 2, 2, true), AUDIT_AGREES);
	heard(&a, 2, 9);
	assert_int_equal(audit_judge(&a, 8, &court), AUDIT_AGREES);
	audit_keep(&a, pair, 2);
	assert_null(audit_said(&a, 3, 8));
	assert_non_null(audit_said(&a, 2, 8));
}

static void what_cannot_be_compared_is_not(void **state)
{
	const struct audit_said newer = { .index = 8, .hash = 9, .version = 2 };
	const struct audit_said none = { .index = 0, .hash = 9, .version = 1 };
	struct audit a;

	(void)state;
	audit_init(&a, 1);
	heard(&a, 1, 7);
	assert_true(audit_say(&a, 2, &newer));
	assert_true(audit_say(&a, 3, &newer));
	assert_false(audit_say(&a, 3, &newer)); /* nothing new */
	assert_false(audit_say(&a, 3, &none));
	assert_int_equal(judged(&a, 3, 3, 2, true), AUDIT_AGREES);
}

static void memory_is_bounded(void **state)
{
	struct audit_said said = { .hash = 1, .version = 1 };
	struct audit a;

	(void)state;
	audit_init(&a, 1);
	for (said.index = 1; said.index <= AUDIT_KEPT + 1; said.index++)
		assert_true(audit_say(&a, 2, &said));
	assert_null(audit_said(&a, 2, 1));
	assert_non_null(audit_said(&a, 2, 2));
	for (uint64_t id = 3; id <= AUDIT_REPLICAS_MAX; id++)
		assert_true(audit_say(&a, id, &said));
	assert_false(audit_say(&a, AUDIT_REPLICAS_MAX + 1, &said));
}

/* --- replicas ------------------------------------------------------------------ */

struct look {
	struct core_call call;
	struct core_audit counts;
	bool bend, bent, done;
};

static void look_run(struct core *core, struct core_call *call)
{
	struct look *look = (struct look *)call;

	core_audit_counts(core, &look->counts);
	look->bent = look->bend && fsm_program_bound(core_view(core)) != 0;
	if (look->bent)
		core_fsm(core)->state.programs[0].time_ms ^= 1;
}

static void look_done(struct core_call *call)
{
	((struct look *)call)->done = true;
}

static bool looked(struct cores *c, void *ctx)
{
	(void)c;
	return ((struct look *)ctx)->done;
}

static struct look look_with(struct cores *c, uint64_t id, bool bend)
{
	struct look look = { .call = { .run = look_run, .done = look_done },
			     .bend = bend };

	assert_int_equal(core_post(c->replicas[id - 1].core, &look.call), 0);
	cores_wait(c, looked, &look, "a look does not come back");
	return look;
}

static struct core_audit look_at(struct cores *c, uint64_t id)
{
	return look_with(c, id, false).counts;
}

/* As a bit that turned over in memory would. */
static void bend(struct cores *c, uint64_t id)
{
	while (!look_with(c, id, true).bent)
		; /* the program has not come here yet */
}

static void on_put(struct sim_submit *s)
{
	*(bool *)s->ctx = true;
}

static bool is_put(struct cores *c, void *ctx)
{
	(void)c;
	return *(bool *)ctx;
}

static void put_program(struct cores *c, uint8_t number)
{
	struct sim_submit *s = sim_submit_new();
	struct command put = { .type = FSM_PROGRAM_PUT };
	bool done = false;

	memset(&put.program_put.program, number, sizeof(struct hash));
	put.program_put.source = SOURCE_OPERATOR;
	put.program_put.persistent = true;
	put.program_put.owner = (struct text){ "owner", 5 };
	put.program_put.name = (struct text){ "p", 1 };
	put.program_put.vcpus = 1;
	put.program_put.memory_mib = 1;
	sim_submit_add(s, &put);
	s->done = on_put;
	s->ctx = &done;
	sim_submit_send(s, cores_leader(c)->core);
	cores_wait(c, is_put, &done, "no outcome");
}

static void open_it(struct cores *c, uint32_t count, uint16_t port)
{
	cores_open(c, count, port, 0, 8, 200);
	cores_wait_leader(c);
	for (uint64_t id = 1; id <= count; id++)
		cores_stop(c, id);
	c->audit_entries = 4;
	for (uint64_t id = 1; id <= count; id++) {
		c->replicas[id - 1].may_stop = true;
		cores_start(c, id);
	}
	cores_wait_leader(c);
	put_program(c, 1);
}

static bool all_compared(struct cores *c, void *ctx)
{
	for (uint64_t id = 1; id <= c->count; id++)
		if (look_at(c, id).taken < *(uint64_t *)ctx)
			return false;
	return true;
}

static bool stopped(struct cores *c, void *ctx)
{
	(void)c;
	return ((struct cores_replica *)ctx)->fatal.code != 0;
}

static void only_it_stopped(struct cores *c, struct cores_replica *bent)
{
	char id[16];

	cores_wait(c, stopped, bent, "the bent one goes on");
	print_message("  %s\n", bent->fatal.text);
	snprintf(id, sizeof id, "replica %u", (unsigned)bent->id);
	assert_non_null(strstr(bent->fatal.text, id));
	cores_stop(c, bent->id);
	cores_wait_leader(c);
	put_program(c, 2);
	for (uint32_t i = 0; i < c->count; i++)
		if (&c->replicas[i] != bent)
			assert_int_equal(c->replicas[i].fatal.code, 0);
}

static void equal_states_go_on(void **state)
{
	static struct cores c;
	uint64_t few = 3;

	(void)state;
	open_it(&c, 3, PORT);
	cores_wait(&c, all_compared, &few, "no hashes are taken");
	for (uint64_t id = 1; id <= 3; id++) {
		assert_int_equal(look_at(&c, id).mismatches, 0);
		assert_int_equal(c.replicas[id - 1].fatal.code, 0);
	}
	cores_close(&c);
}

static void a_bent_follower_stops_for_good(void **state)
{
	static struct cores c;
	struct cores_replica *bent;
	struct fault fault;
	uint64_t leader;

	(void)state;
	open_it(&c, 3, PORT + 10);
	leader = cores_leader(&c)->id;
	bent = &c.replicas[leader % 3];
	bend(&c, bent->id);
	only_it_stopped(&c, bent);
	assert_true(look_at(&c, leader).mismatches > 0);
	assert_int_equal(cores_refused(&c, bent->id, &fault), BERTH_CORRUPT);
	print_message("  %s\n", fault.text);
	assert_non_null(strstr(fault.text, "new id"));
	cores_close(&c);
}

static void a_bent_leader_stops_and_another_leads(void **state)
{
	static struct cores c;
	struct cores_replica *bent;

	(void)state;
	open_it(&c, 3, PORT + 20);
	bent = cores_leader(&c);
	bend(&c, bent->id);
	only_it_stopped(&c, bent);
	assert_true(cores_leader(&c) != bent);
	cores_close(&c);
}

static void with_one_away_the_leader_is_right(void **state)
{
	static struct cores c;
	struct cores_replica *bent;
	uint64_t leader;

	(void)state;
	open_it(&c, 3, PORT + 30);
	leader = cores_leader(&c)->id;
	bent = &c.replicas[leader % 3];
	cores_stop(&c, (leader + 1) % 3 + 1);
	bend(&c, bent->id);
	cores_wait(&c, stopped, bent, "the bent one goes on");
	assert_int_equal(c.replicas[leader - 1].fatal.code, 0);
	cores_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_majority_decides_at_once),
		cmocka_unit_test(between_two_the_leader_is_right),
		cmocka_unit_test(most_of_what_was_said_in_a_part_of_five),
		cmocka_unit_test(who_is_no_member_has_no_opinion),
		cmocka_unit_test(what_cannot_be_compared_is_not),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(equal_states_go_on),
		cmocka_unit_test(a_bent_follower_stops_for_good),
		cmocka_unit_test(a_bent_leader_stops_and_another_leads),
		cmocka_unit_test(with_one_away_the_leader_is_right),
	};

	log_init("replica_audit", LOG_LEVEL_INFO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
