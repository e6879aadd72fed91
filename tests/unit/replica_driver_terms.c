/* Where a leader's term begins and ends: what the driver begins with, what it
 * forgets, whom it tells, and when it wants to be asked again. The rules of
 * what happens in between are in replica_driver_rules.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/kit/driver_world.h"

/* One agent that is established, and nothing on its way. */
static void join_one(struct world *w, struct world_agent *a)
{
	world_agent(a, 1);
	world_lead(w);
	world_join(w, a, 4);
	world_settle(w);
	world_forget_frames(w);
}

/* --- the Lead ---------------------------------------------------------------- */

/* R3: without its own Lead nobody leads, so one that the log did not take is
 * said again, and soon. */
static void test_r03_refused_lead_is_proposed_again(void **state)
{
	struct world *w = *state;

	w->refuse = BERTH_BUSY;
	driver_leader(w->driver, true, ++w->term);
	assert_true(world_tick(w) <= w->now_ms + 10);
	assert_int_equal(world_waiting(w), 0);
	w->refuse = 0;
	w->now_ms += 10;
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_LEAD), 1);
	world_settle(w);
	assert_true(world_counts(w).leading);
}

/* Agents have waited for a leader: the first Beat does not wait as well, be it
 * ever so short after the last one of the term before. */
static void test_first_beat_follows_the_lead(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	join_one(w, &a);
	w->now_ms += 300;
	world_settle(w); /* a Beat, now */
	world_lose(w);
	w->now_ms += 20;
	world_lead(w);
	assert_int_equal(world_heartbeat(w, &a, NULL, 0), 0);
	world_settle(w);
	assert_non_null(world_sent(w, AGENT_REPLY));
}

/* --- what is forgotten ------------------------------------------------------- */

/* R24: what was heard of a start in another term is not this leader's. */
static void test_r24_next_term_knows_no_run(void **state)
{
	struct world *w = *state;
	struct agent_run run, told;
	struct world_agent a;
	struct command put;
	struct fsm_program p;

	join_one(w, &a);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	p = world_program_of(w, &put);
	assert_int_equal(p.state, PROGRAM_ASSIGNED);
	run = (struct agent_run){ .program = p.hash, .gen = p.gen,
				  .epoch = p.epoch, .status = RUN_STARTING,
				  .reason = { "slow", 4 } };
	assert_int_equal(world_heartbeat(w, &a, &run, 1), 0);
	assert_true(driver_run_status(w->driver, &p.hash, &told));
	world_lose(w);
	assert_false(driver_run_status(w->driver, &p.hash, &told));
	world_lead(w);
	assert_false(driver_run_status(w->driver, &p.hash, &told));
	assert_int_equal(world_heartbeat(w, &a, &run, 1), 0);
	assert_true(driver_run_status(w->driver, &p.hash, &told));
}

/* An agent says nothing new to a new leader but its heartbeats, and that is
 * enough for a set that changes to reach it at once. */
static void test_next_leader_pushes_after_one_heartbeat(void **state)
{
	struct world *w = *state;
	struct world_agent a;
	struct agent_reply reply;
	struct command put;

	join_one(w, &a);
	world_lose(w);
	world_lead(w);
	assert_int_equal(world_heartbeat(w, &a, NULL, 0), 0);
	world_pass(w, 300);
	world_forget_frames(w);
	world_program(&put, 1);
	assert_int_equal(world_command(w, &put), FSM_OK);
	assert_int_equal(world_program_of(w, &put).state, PROGRAM_ASSIGNED);
	assert_true(world_follow(w, &a, &reply));
	assert_int_equal(reply.ack_seq, 0);
	assert_int_equal(reply.desired_count, 1);
}

/* R7: an Expire that never went out is looked for anew. */
static void test_r07_waiting_expiry_is_not_carried(void **state)
{
	struct world *w = *state;
	struct world_agent a;

	join_one(w, &a);
	w->refuse_work = true;
	world_pass(w, 6000); /* silence: its lease has ended */
	assert_int_equal(world_proposed(w, FSM_EXPIRE), 0);
	assert_true(world_crn_of(w, &a).alive);
	world_lose(w);
	w->refuse_work = false;
	world_lead(w);
	assert_int_equal(world_proposed(w, FSM_EXPIRE), 0);
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_EXPIRE), 1);
	world_settle(w);
	assert_false(world_crn_of(w, &a).alive);
	assert_int_equal(world_counts(w).expiries, 1);
}

/* --- who is told ------------------------------------------------------------- */

struct client {
	struct driver_client client;
	struct driver *driver; /* submitted again when it is told; or NULL */
	uint8_t data[1024];
	uint32_t told;
	int codes[2];
};

static bool client_write(void *ctx, const void *data, size_t size)
{
	struct client *c = ctx;

	assert_true(c->client.size + size <= sizeof c->data);
	memcpy(c->data + c->client.size, data, size);
	c->client.size += size;
	return true;
}

static void client_result(struct driver_client *client,
			  const struct fsm_result *result)
{
	(void)client;
	(void)result;
}

static void client_done(struct driver_client *client, int code, uint64_t index)
{
	struct client *c = (struct client *)client;

	(void)index;
	assert_true(c->told < 2);
	c->codes[c->told++] = code;
	if (c->told == 1 && c->driver != NULL)
		driver_submit(c->driver, &c->client);
}

static void client_submit(struct world *w, struct client *c, uint32_t number)
{
	struct byte_sink sink = { c, client_write };
	struct command put;

	world_program(&put, number);
	memset(c, 0, sizeof *c);
	assert_true(command_encode(&sink, &put));
	c->client.commands = c->data;
	c->client.count = 1;
	c->client.result = client_result;
	c->client.done = client_done;
	driver_submit(w->driver, &c->client);
}

/* A replica that stops: what flew is unknown, what waited was surely not
 * submitted, and who asks again at that moment is refused. */
static void test_who_stops_tells_everybody(void **state)
{
	static struct client flying, waiting;
	struct world *w = calloc(1, sizeof *w);

	(void)state;
	assert_non_null(w);
	world_open(w);
	world_lead(w);
	world_settle(w);
	client_submit(w, &flying, 1);
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_PROGRAM_PUT), 1);
	client_submit(w, &waiting, 2);
	flying.driver = w->driver;
	world_close(w);
	assert_int_equal(flying.told, 2);
	assert_int_equal(flying.codes[0], BERTH_UNKNOWN_OUTCOME);
	assert_int_equal(flying.codes[1], BERTH_NOTLEADER);
	assert_int_equal(waiting.told, 1);
	assert_int_equal(waiting.codes[0], BERTH_NOTLEADER);
	free(w);
}

/* --- when it is due again ---------------------------------------------------- */

static void test_ticks_say_when_the_next_is_due(void **state)
{
	static struct client c;
	struct world *w = *state;
	uint64_t beat_ms;

	assert_true(world_tick(w) == UINT64_MAX); /* it does not lead */
	world_lead(w);
	world_settle(w);
	beat_ms = world_tick(w);
	assert_in_range(beat_ms, w->now_ms + 1,
			w->now_ms + world_status(w).config.beat_ms);
	w->now_ms = beat_ms - 50;
	client_submit(w, &c, 1);
	w->refuse_work = true;
	assert_true(world_tick(w) == w->now_ms + 10); /* sooner than the Beat */
	w->refuse_work = false;
	w->now_ms = beat_ms - 40;
	world_settle(w);
	assert_int_equal(c.told, 1);
	world_settle(w);
	assert_true(world_tick(w) == beat_ms);
	w->now_ms = beat_ms - 5;
	client_submit(w, &c, 2);
	w->refuse_work = true;
	assert_true(world_tick(w) == beat_ms); /* the Beat is sooner */
	w->refuse_work = false;
	w->now_ms = beat_ms + 5;
	world_settle(w);
	assert_int_equal(c.told, 1);
}

/* A long term: what Beats weighed is not taken for work on its way. */
static void test_beats_take_no_room_of_work(void **state)
{
	static struct client c;
	struct world *w = *state;

	world_lead(w);
	for (uint32_t i = 0; i < 100000; i++) {
		w->now_ms += 250;
		world_tick(w);
		while (world_apply(w))
			;
	}
	client_submit(w, &c, 1);
	world_tick(w);
	assert_int_equal(world_proposed(w, FSM_PROGRAM_PUT), 1);
	world_settle(w);
	assert_int_equal(c.told, 1);
	assert_int_equal(c.codes[0], 0);
}

int main(void)
{
#define STORY(name) \
	cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_r03_refused_lead_is_proposed_again),
		STORY(test_first_beat_follows_the_lead),
		STORY(test_r24_next_term_knows_no_run),
		STORY(test_next_leader_pushes_after_one_heartbeat),
		STORY(test_r07_waiting_expiry_is_not_carried),
		cmocka_unit_test(test_who_stops_tells_everybody),
		STORY(test_ticks_say_when_the_next_is_due),
		STORY(test_beats_take_no_room_of_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
