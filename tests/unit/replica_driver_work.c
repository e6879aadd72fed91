/* What the leader's driver puts into entries besides Beats, and what follows
 * from what agents say of their runs: bounds, order, whose result is whose,
 * R22, R24. The rules of terms and Beats are in replica_driver_rules.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/kit/driver_world.h"

/* --- clients ------------------------------------------------------------------ */

#define NAME_SIZE 100u

struct client {
	struct driver_client client;
	uint8_t *data;
	size_t room;
	uint32_t results;
	struct fsm_result first;
	bool done;
	int code;
};

static bool client_write(void *ctx, const void *data, size_t size)
{
	struct client *c = ctx;

	while (c->client.size + size > c->room) {
		c->room = c->room * 2 + 4096;
		c->data = realloc(c->data, c->room);
		assert_non_null(c->data);
	}
	memcpy(c->data + c->client.size, data, size);
	c->client.size += size;
	return true;
}

static void client_result(struct driver_client *client,
			  const struct fsm_result *result)
{
	struct client *c = (struct client *)client;

	if (c->results++ == 0)
		c->first = *result;
}

static void client_done(struct driver_client *client, int code, uint64_t index)
{
	struct client *c = (struct client *)client;

	(void)index;
	assert_false(c->done);
	c->done = true;
	c->code = code;
}

static void client_close(struct client *c)
{
	free(c->data);
}

static void client_add(struct client *c, const struct command *command)
{
	struct byte_sink sink = { c, client_write };

	assert_true(command_encode(&sink, command));
	c->client.count++;
	c->client.commands = c->data;
	c->client.result = client_result;
	c->client.done = client_done;
}

/* Programs that are not to run: nothing follows from them. About 200 bytes
 * each. */
static void client_programs(struct client *c, uint32_t first, uint32_t count)
{
	char name[NAME_SIZE];
	struct command put;

	memset(c, 0, sizeof *c);
	memset(name, 'n', sizeof name);
	for (uint32_t i = 0; i < count; i++) {
		world_program(&put, first + i);
		put.program_put.persistent = false;
		put.program_put.name = (struct text){ name, sizeof name };
		client_add(c, &put);
	}
}

/* Entries in the log that are no Beats, and the biggest of them. */
static uint32_t work_waiting(const struct world *w, size_t *biggest)
{
	uint32_t count = 0;

	*biggest = 0;
	for (struct world_entry *e = w->log; e != NULL; e = e->next) {
		if (e->urgent)
			continue;
		count++;
		if (e->size > *biggest)
			*biggest = e->size;
	}
	return count;
}

/* 2.6: a Beat never queues behind much. Few entries, few bytes. */
static void test_few_entries_fly(void **state)
{
	static struct client c[10];
	struct world *w = *state;
	size_t biggest;

	world_lead(w);
	world_settle(w);
	for (uint32_t i = 0; i < 10; i++) {
		client_programs(&c[i], i, 1);
		driver_submit(w->driver, &c[i].client);
		world_tick(w);
	}
	assert_int_equal(work_waiting(w, &biggest), 3);
	world_settle(w);
	for (uint32_t i = 0; i < 10; i++) {
		assert_true(c[i].done && c[i].code == 0);
		client_close(&c[i]);
	}
}

static void test_few_bytes_fly(void **state)
{
	static struct client c[20];
	struct world *w = *state;
	size_t biggest;

	world_lead(w);
	world_settle(w);
	for (uint32_t i = 0; i < 20; i++) { /* 100 KB each */
		client_programs(&c[i], i * 500, 500);
		driver_submit(w->driver, &c[i].client);
	}
	world_tick(w);
	assert_in_range(work_waiting(w, &biggest), 2, 3);
	assert_in_range(biggest, 300u << 10, 384u << 10);
	world_settle(w);
	for (uint32_t i = 0; i < 20; i++) {
		assert_true(c[i].done && c[i].code == 0);
		assert_int_equal(c[i].results, 500);
		client_close(&c[i]);
	}
}

/* What is too big to fly with others waits until it flies alone, and nothing
 * else takes off with it. */
static void test_a_big_entry_flies_alone(void **state)
{
	static struct client small, big, later;
	struct world *w = *state;
	size_t biggest;

	world_lead(w);
	world_settle(w);
	client_programs(&small, 0, 1);
	client_programs(&big, 1, 8000);
	client_programs(&later, 9000, 1);
	assert_true(big.client.size > 1u << 20);
	driver_submit(w->driver, &small.client);
	world_tick(w);
	driver_submit(w->driver, &big.client);
	driver_submit(w->driver, &later.client);
	world_tick(w);
	assert_int_equal(work_waiting(w, &biggest), 1);
	assert_true(world_apply(w));
	world_tick(w);
	assert_int_equal(work_waiting(w, &biggest), 1);
	assert_true(biggest > 1u << 20);
	/* Lost with its leader, it leaves no trace of its size. */
	world_lose(w);
	assert_int_equal(big.code, BERTH_UNKNOWN_OUTCOME);
	assert_int_equal(later.code, BERTH_NOTLEADER);
	client_close(&later);
	world_lead(w);
	client_programs(&later, 9000, 1);
	driver_submit(w->driver, &later.client);
	world_settle(w);
	assert_true(later.done && later.code == 0);
	client_close(&small);
	client_close(&big);
	client_close(&later);
}

static void test_few_commands_an_entry(void **state)
{
	static struct client c[10];
	struct command_cursor cursor;
	struct world *w = *state;
	struct command forget = { .type = FSM_PROGRAM_FORGET };

	world_lead(w);
	world_settle(w);
	forget.program_forget.reason = (struct text){ "x", 1 };
	for (uint32_t i = 0; i < 10; i++) {
		memset(&c[i], 0, sizeof c[i]);
		for (uint32_t j = 0; j < 1000; j++)
			client_add(&c[i], &forget);
		driver_submit(w->driver, &c[i].client);
	}
	world_tick(w);
	for (struct world_entry *e = w->log; e != NULL; e = e->next) {
		assert_int_equal(command_cursor_open(&cursor, e->data,
						     e->size), 0);
		assert_true(cursor.count <= 4096);
		command_cursor_close(&cursor);
	}
	world_settle(w);
	for (uint32_t i = 0; i < 10; i++) {
		assert_true(c[i].done && c[i].code == 0);
		client_close(&c[i]);
	}
}

static void test_what_cannot_wait_is_refused(void **state)
{
	static struct client c[80];
	struct world *w = *state;
	uint32_t busy = 0;

	world_lead(w);
	world_settle(w);
	client_programs(&c[0], 0, 1);
	c[0].client.size = FSM_ENTRY_SIZE_MAX;
	driver_submit(w->driver, &c[0].client);
	assert_true(c[0].done);
	assert_int_equal(c[0].code, BERTH_TOOBIG);
	client_close(&c[0]);
	client_programs(&c[0], 0, 1);
	c[0].client.count = ENTRY_COMMANDS_MAX + 1;
	driver_submit(w->driver, &c[0].client);
	assert_int_equal(c[0].code, BERTH_TOOBIG);
	client_close(&c[0]);
	w->refuse = BERTH_BUSY;
	for (uint32_t i = 0; i < 80; i++) { /* 1 MiB each, never looked at */
		client_programs(&c[i], 0, 1);
		c[i].client.size = 1u << 20;
		driver_submit(w->driver, &c[i].client);
		busy += c[i].done && c[i].code == BERTH_BUSY;
	}
	assert_int_equal(busy, 80 - 64);
	driver_leader(w->driver, false, w->term);
	for (uint32_t i = 0; i < 80; i++) {
		assert_true(c[i].done);
		client_close(&c[i]);
	}
}

/* What waits is bounded; what has gone takes no room, even if the log did not
 * take it at first. */
static void test_clients_that_went_take_no_room(void **state)
{
	static char tokens[FSM_TOKENS_MAX][FSM_TOKEN_SIZE_MAX];
	struct world *w = *state;
	struct command put;
	struct client c;

	world_lead(w);
	world_settle(w);
	memset(&c, 0, sizeof c);
	world_program(&put, 1);
	put.program_put.persistent = false;
	put.program_put.token_count = FSM_TOKENS_MAX;
	for (uint32_t i = 0; i < FSM_TOKENS_MAX; i++) {
		memset(tokens[i], 'a' + (int)i, sizeof tokens[i]);
		put.program_put.tokens[i] =
			(struct text){ tokens[i], sizeof tokens[i] };
	}
	for (uint32_t i = 0; i < 1000; i++)
		client_add(&c, &put);
	for (uint32_t sent = 0; sent < 70; sent += 3) { /* MiB */
		c.done = false;
		driver_submit(w->driver, &c.client);
		w->refuse_work = true;
		world_tick(w);
		assert_false(c.done);
		w->refuse_work = false;
		w->now_ms += 20;
		world_settle(w);
		assert_true(c.done);
		assert_int_equal(c.code, 0);
	}
	assert_true(c.client.size > 3u << 20);
	client_close(&c);
}

/* A busy log: what waited longest is still first, and nobody is lost. */
static void test_busy_log_keeps_the_order(void **state)
{
	static struct client c[4];
	struct world *w = *state;

	world_lead(w);
	world_settle(w);
	w->refuse = BERTH_BUSY;
	for (uint32_t i = 0; i < 4; i++) { /* one entry takes but one */
		client_programs(&c[i], i * 1500, 1500);
		driver_submit(w->driver, &c[i].client);
		w->now_ms += 20;
		world_tick(w);
	}
	w->refuse = 0;
	world_pass(w, 100);
	for (uint32_t i = 0; i < 4; i++) {
		assert_true(c[i].done && c[i].code == 0);
		assert_true(i == 0 ||
			    c[i].client.index > c[i - 1].client.index);
		client_close(&c[i]);
	}
}

/* --- whose result is whose ------------------------------------------------------- */

/* One entry with a Register that counts, one that does not, two clients and
 * an Assign: each hears of its own. */
static void test_each_hears_its_own_result(void **state)
{
	static struct client good, bad;
	struct command put, revoke = { .type = FSM_REVOKE };
	struct world *w = *state;
	struct world_agent a, b, c;
	uint64_t placed;

	world_agent(&a, 1);
	world_agent(&b, 2);
	world_agent(&c, 3);
	world_lead(w);
	world_admit(w, &a);
	world_admit(w, &b);
	world_join(w, &c, 1);
	a.gen = b.gen = 1;
	world_program(&put, 7);
	assert_int_equal(world_command(w, &put), FSM_OK);
	assert_int_equal(world_program_of(w, &put).state, PROGRAM_ASSIGNED);
	placed = world_counts(w).placements;
	w->refuse_work = true;
	world_forget_frames(w);
	assert_int_equal(world_say_register(w, &b, 12345, 2), 0);
	assert_int_equal(world_say_register(w, &a, 0, 1), 0);
	memset(&good, 0, sizeof good);
	memset(&bad, 0, sizeof bad);
	revoke.revoke.program = put.program_put.program;
	revoke.revoke.cause = REVOKE_OPERATOR;
	revoke.revoke.epoch = 1; /* of no Assign */
	client_add(&bad, &revoke);
	world_program(&put, 8); /* fits nowhere: no Assign of it */
	put.program_put.vcpus = 64;
	client_add(&good, &put);
	driver_submit(w->driver, &bad.client);
	driver_submit(w->driver, &good.client);
	w->refuse_work = false;
	w->now_ms += 20;
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_REGISTER), 2);
	while (world_apply(w))
		;
	assert_true(good.done && bad.done);
	assert_int_equal(good.first.refusal, FSM_OK);
	assert_int_not_equal(bad.first.refusal, FSM_OK);
	assert_int_equal(world_sent(w, AGENT_REFUSED)->route.link, 2);
	assert_int_equal(world_sent(w, AGENT_REGISTER_ACK)->route.link, 1);
	assert_int_equal(world_counts(w).placements, placed);
	client_close(&good);
	client_close(&bad);
}

/* Placements are counted by the Assigns' own results, whatever goes before. */
static void test_placements_are_the_assigns(void **state)
{
	static struct client bad[3];
	struct command put, revoke = { .type = FSM_REVOKE };
	struct world *w = *state;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_program(&put, 1);
	memset(bad, 0, sizeof bad);
	client_add(&bad[0], &put);
	driver_submit(w->driver, &bad[0].client);
	world_tick(w);
	assert_true(world_apply(w));
	revoke.revoke.program = put.program_put.program;
	revoke.revoke.cause = REVOKE_OPERATOR;
	revoke.revoke.epoch = 1;
	for (uint32_t i = 1; i < 3; i++) {
		client_add(&bad[i], &revoke);
		driver_submit(w->driver, &bad[i].client);
	}
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_ASSIGN), 1);
	assert_int_equal(world_proposed(w, FSM_REVOKE), 2);
	world_settle(w);
	assert_int_equal(world_counts(w).placements, 1);
	for (uint32_t i = 0; i < 3; i++)
		client_close(&bad[i]);
}

/* --- placement on its way ----------------------------------------------------------- */

/* Hundreds wait for the room of four: what is on its way counts as taken, in
 * this entry and in the next ones. */
static void test_assigns_on_their_way_take_room(void **state)
{
	static struct client c;
	struct world *w = *state;
	struct command put;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	memset(&c, 0, sizeof c);
	for (uint32_t i = 0; i < 1000; i++) {
		world_program(&put, i);
		client_add(&c, &put);
	}
	driver_submit(w->driver, &c.client);
	world_tick(w);
	assert_true(world_apply(w));
	for (int i = 0; i < 30; i++) {
		w->now_ms += 50;
		world_tick(w);
		assert_int_equal(world_proposed(w, FSM_ASSIGN), 4);
	}
	world_settle(w);
	assert_int_equal(world_status(w).assigned_count, 4);
	client_close(&c);
}

/* A CRN has so many slots, and those of a round that is on its way are taken. */
static void test_assigns_on_their_way_take_slots(void **state)
{
	static struct client few, many;
	struct world *w = *state;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 3000);
	client_programs(&few, 0, 0);
	client_programs(&many, 0, 0);
	for (uint32_t i = 0; i < FSM_CRN_PROGRAMS_MAX + 50; i++) {
		struct command put;

		world_program(&put, i);
		client_add(i < 10 ? &few : &many, &put);
	}
	driver_submit(w->driver, &few.client);
	world_settle(w);
	assert_int_equal(world_status(w).assigned_count, 10);
	driver_submit(w->driver, &many.client);
	world_tick(w);
	assert_true(world_apply(w));
	for (int i = 0; i < 30; i++) {
		w->now_ms += 50;
		world_tick(w);
	}
	assert_int_equal(world_proposed(w, FSM_ASSIGN),
			 FSM_CRN_PROGRAMS_MAX - 10);
	client_close(&few);
	client_close(&many);
}

/* Where there is room enough, what is on its way is not sent again. */
static void test_assign_is_proposed_once(void **state)
{
	static struct client c;
	struct world *w = *state;
	struct command put;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	memset(&c, 0, sizeof c);
	world_program(&put, 1);
	client_add(&c, &put);
	driver_submit(w->driver, &c.client);
	world_tick(w);
	assert_true(world_apply(w));
	for (int i = 0; i < 30; i++) {
		w->now_ms += 100;
		world_tick(w);
		assert_int_equal(world_proposed(w, FSM_ASSIGN), 1);
	}
	client_close(&c);
}

/* An Assign that the log did not take is tried again at once. */
static void test_refused_assign_is_tried_again(void **state)
{
	static struct client c;
	struct world *w = *state;
	struct command put;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	w->now_ms += 1000; /* a regular round is behind us */
	world_settle(w);
	memset(&c, 0, sizeof c);
	world_program(&put, 1);
	client_add(&c, &put);
	driver_submit(w->driver, &c.client);
	world_tick(w);
	assert_true(world_apply(w));
	w->refuse_work = true;
	w->now_ms += 20;
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_ASSIGN), 0);
	w->refuse_work = false;
	w->now_ms += 20;
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_ASSIGN), 1);
	client_close(&c);
}

/* --- R24 ------------------------------------------------------------------------------ */

static struct agent_run run_of(struct world *w, const struct command *put,
			       enum run_status status, uint32_t failures)
{
	struct fsm_program p = world_program_of(w, put);

	return (struct agent_run){ .program = put->program_put.program,
				   .gen = p.gen, .epoch = p.epoch,
				   .status = status, .failures = failures,
				   .reason = { "no such file", 12 } };
}

static void place_one(struct world *w, struct world_agent *a,
		      struct command *put)
{
	world_agent(a, 1);
	world_lead(w);
	world_join(w, a, 4);
	world_program(put, 1);
	assert_int_equal(world_command(w, put), FSM_OK);
	assert_int_equal(world_program_of(w, put).state, PROGRAM_ASSIGNED);
}

/* Only the CRN that has it may say that it does not start. */
static void test_r24_words_of_another_crn(void **state)
{
	struct world *w = *state;
	struct world_agent a, b;
	struct agent_run run, told;
	struct command put;

	place_one(w, &a, &put);
	world_agent(&b, 2);
	world_join(w, &b, 4);
	run = run_of(w, &put, RUN_FAILED, 9);
	world_heartbeat(w, &b, &run, 1);
	world_settle(w);
	assert_int_equal(world_program_of(w, &put).state, PROGRAM_ASSIGNED);
	assert_int_equal(world_counts(w).failed_starts, 0);
	assert_false(driver_run_status(w->driver, &run.program, &told));
}

/* One that is being stopped, and one that ran and is being started again. */
static void test_r24_judges_first_starts_only(void **state)
{
	struct world *w = *state;
	struct agent_reply reply;
	struct world_agent a;
	struct agent_run run;
	struct command put;

	place_one(w, &a, &put);
	run = run_of(w, &put, RUN_STOPPING, 9);
	world_heartbeat(w, &a, &run, 1);
	world_settle(w);
	assert_int_equal(world_counts(w).failed_starts, 0);
	run = run_of(w, &put, RUN_RUNNING, 0);
	world_heartbeat(w, &a, &run, 1);
	run = run_of(w, &put, RUN_STARTING, 1);
	for (int i = 0; i < 140; i++) {
		world_heartbeat(w, &a, &run, 1);
		world_pass(w, 500);
		assert_true(world_follow(w, &a, &reply));
		world_forget_frames(w);
	}
	assert_int_equal(world_counts(w).failed_starts, 0);
	assert_int_equal(world_program_of(w, &put).state, PROGRAM_ASSIGNED);
}

static void revoke(struct world *w, const struct command *put)
{
	struct command c = { .type = FSM_REVOKE };

	c.revoke.program = put->program_put.program;
	c.revoke.epoch = world_program_of(w, put).epoch;
	c.revoke.cause = REVOKE_OPERATOR;
	c.revoke.reason = (struct text){ "told to", 7 };
	assert_int_equal(world_command(w, &c), FSM_OK);
}

/* A new epoch has its own time to start. */
static void test_r24_each_epoch_has_its_time(void **state)
{
	struct world *w = *state;
	struct agent_reply reply;
	struct world_agent a;
	struct agent_run run;
	struct command put;
	stamp_t first;

	place_one(w, &a, &put);
	first = world_program_of(w, &put).epoch;
	for (int i = 0; i < 160; i++) { /* 40 s of each */
		run = run_of(w, &put, RUN_STARTING, 0);
		world_heartbeat(w, &a, &run, 1);
		world_pass(w, 500);
		assert_true(world_follow(w, &a, &reply));
		world_forget_frames(w);
		if (i == 80)
			revoke(w, &put);
	}
	assert_true(world_program_of(w, &put).epoch > first);
	assert_int_equal(world_counts(w).failed_starts, 0);
}

/* Time alone makes a place: nothing in the state says that it has passed. */
static void test_r24_excluded_crn_is_tried_again(void **state)
{
	struct world *w = *state;
	struct agent_reply reply;
	struct world_agent a;
	struct agent_run run;
	struct command put;
	uint64_t failed_ms;

	place_one(w, &a, &put);
	run = run_of(w, &put, RUN_FAILED, 3);
	world_heartbeat(w, &a, &run, 1);
	while (world_program_of(w, &put).state != PROGRAM_FREE) {
		world_pass(w, 500);
		assert_true(world_follow(w, &a, &reply));
		a.applied = reply.version; /* it does not run: all is stopped */
		world_forget_frames(w);
		world_heartbeat(w, &a, NULL, 0);
	}
	failed_ms = world_status(w).c_ms;
	while (world_program_of(w, &put).state == PROGRAM_FREE) {
		assert_true(world_status(w).c_ms < failed_ms + 602000);
		world_heartbeat(w, &a, NULL, 0);
		world_pass(w, 500);
		world_forget_frames(w);
	}
	assert_true(world_status(w).c_ms > failed_ms + 595000);
	assert_int_equal(world_program_of(w, &put).state, PROGRAM_ASSIGNED);
}

/* A program that is being revoked need not be spoken of. */
static void test_r24_silence_of_what_is_revoked(void **state)
{
	struct world *w = *state;
	struct agent_reply reply;
	struct world_agent a;
	struct command put;

	place_one(w, &a, &put);
	revoke(w, &put);
	for (int i = 0; i < 140; i++) {
		a.applied = 0; /* it stops for ever */
		world_heartbeat(w, &a, NULL, 0);
		world_pass(w, 500);
		assert_true(world_follow(w, &a, &reply));
		world_forget_frames(w);
	}
	assert_int_equal(world_program_of(w, &put).state, PROGRAM_REVOKING);
	assert_int_equal(world_counts(w).failed_starts, 0);
}

/* A heartbeat that tells of as many runs as it can has no room for the rest:
 * there its silence says nothing. With one less it does. */
static void test_r24_silence_of_a_full_heartbeat(void **state)
{
	static struct agent_run runs[FSM_CRN_PROGRAMS_MAX];
	struct world *w = *state;
	struct agent_reply reply;
	struct world_agent a;
	struct command put;

	place_one(w, &a, &put);
	for (uint32_t i = 0; i < COUNT_OF(runs); i++) {
		runs[i] = run_of(w, &put, RUN_STOPPING, 0);
		memset(&runs[i].program, 0xee, sizeof runs[i].program);
		runs[i].epoch = i + 1;
	}
	for (uint32_t i = 0; i < 280; i++) {
		if (i == 140)
			assert_int_equal(world_counts(w).failed_starts, 0);
		world_heartbeat(w, &a, runs, COUNT_OF(runs) - (i >= 140));
		world_pass(w, 500);
		world_follow(w, &a, &reply);
		world_forget_frames(w);
	}
	assert_true(world_counts(w).failed_starts > 0);
}

/* An orphan of another host is in no set of this session: its silence here
 * says nothing of it. */
static void test_r24_silence_of_an_orphan(void **state)
{
	struct command put;
	struct world *w = *state;
	struct agent_reply reply;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_program(&put, 1);
	put.program_put.guarantee = GUARANTEE_HOLD;
	assert_int_equal(world_command(w, &put), FSM_OK);
	world_pass(w, 8000);
	assert_false(world_crn_of(w, &a).alive);
	memset(a.host.bytes, 77, sizeof a.host.bytes);
	memset(a.boot.bytes, 78, sizeof a.boot.bytes);
	assert_true(world_register(w, &a, 90));
	for (int i = 0; i < 140; i++) {
		world_heartbeat(w, &a, NULL, 0);
		world_pass(w, 500);
		assert_true(world_follow(w, &a, &reply));
		world_forget_frames(w);
	}
	assert_true(world_program_of(w, &put).orphan);
	assert_int_equal(world_program_of(w, &put).state, PROGRAM_ASSIGNED);
	assert_int_equal(world_counts(w).failed_starts, 0);
}

/* --- R22 ------------------------------------------------------------------------------- */

static void unlink_crn(struct world *w, const struct world_agent *a)
{
	struct command unlink = { .type = FSM_CRN_PUT };

	unlink.crn_put.crn = a->crn;
	unlink.crn_put.name = (struct text){ "crn", 3 };
	assert_int_equal(world_command(w, &unlink), FSM_OK);
}

/* What a silent CRN holds stays its own: nothing could be confirmed, and the
 * owner chose that it waits. */
static void test_r22_silent_crn_is_not_drained(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct command put;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 4);
	world_program(&put, 1);
	put.program_put.guarantee = GUARANTEE_HOLD;
	assert_int_equal(world_command(w, &put), FSM_OK);
	world_pass(w, 8000);
	assert_false(world_crn_of(w, &a).alive);
	unlink_crn(w, &a);
	world_pass(w, 5000);
	assert_int_equal(world_program_of(w, &put).state, PROGRAM_ASSIGNED);
}

/* A drain that the log does not take is not asked for twice. */
static void test_r22_drain_is_asked_once(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct command put;

	place_one(w, &a, &put);
	world_heartbeat(w, &a, NULL, 0);
	unlink_crn(w, &a);
	w->refuse_work = true;
	for (int i = 0; i < 8; i++) {
		world_heartbeat(w, &a, NULL, 0);
		world_pass(w, 500);
	}
	w->refuse_work = false;
	w->now_ms += 20;
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_REVOKE), 1);
}

/* A CRN with many leaves slowly, not in one avalanche. */
static void test_r22_drain_is_slow(void **state)
{
	static struct client c;
	struct world *w = *state;
	struct command put;
	struct world_agent a;

	world_agent(&a, 1);
	world_lead(w);
	world_join(w, &a, 1000);
	memset(&c, 0, sizeof c);
	for (uint32_t i = 0; i < 600; i++) {
		world_program(&put, i);
		client_add(&c, &put);
	}
	driver_submit(w->driver, &c.client);
	world_settle(w);
	assert_int_equal(world_status(w).assigned_count, 600);
	unlink_crn(w, &a);
	w->now_ms += 1000;
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_REVOKE), 256);
	client_close(&c);
}

int main(void)
{
#define STORY(name) \
	cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_few_entries_fly),
		STORY(test_few_bytes_fly),
		STORY(test_a_big_entry_flies_alone),
		STORY(test_few_commands_an_entry),
		STORY(test_what_cannot_wait_is_refused),
		STORY(test_clients_that_went_take_no_room),
		STORY(test_busy_log_keeps_the_order),
		STORY(test_each_hears_its_own_result),
		STORY(test_placements_are_the_assigns),
		STORY(test_assigns_on_their_way_take_room),
		STORY(test_assigns_on_their_way_take_slots),
		STORY(test_assign_is_proposed_once),
		STORY(test_refused_assign_is_tried_again),
		STORY(test_r24_words_of_another_crn),
		STORY(test_r24_judges_first_starts_only),
		STORY(test_r24_each_epoch_has_its_time),
		STORY(test_r24_excluded_crn_is_tried_again),
		STORY(test_r24_silence_of_what_is_revoked),
		STORY(test_r24_silence_of_a_full_heartbeat),
		STORY(test_r24_silence_of_an_orphan),
		STORY(test_r22_silent_crn_is_not_drained),
		STORY(test_r22_drain_is_asked_once),
		STORY(test_r22_drain_is_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
