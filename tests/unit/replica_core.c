/* One replica on a real directory: it leads, a pretended agent registers, a
 * program is placed on it, and all of it is there after a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/lib/clock.h"
#include "node/replica/conf.h"
#include "tests/kit/certs.h"
#include "tests/kit/sim_agents.h"

#define PATIENCE_MS 20000u

/* CLOCK_MONOTONIC_RAW and CLOCK_BOOTTIME of this program: each goes as many
 * times as fast as told, from when that is told. */
static struct pace {
	uint64_t times, real_ns, shown_ns;
} paces[2] = { { 1, 0, 0 }, { 1, 0, 0 } };
static pthread_mutex_t pace_lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t real_ns(clockid_t id)
{
	struct timespec now;

	assert_int_equal(syscall(SYS_clock_gettime, id, &now), 0);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t paced(struct pace *pace, clockid_t id)
{
	uint64_t now_ns = real_ns(id);

	pace->shown_ns += pace->times * (now_ns - pace->real_ns);
	pace->real_ns = now_ns;
	return pace->shown_ns;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
	uint64_t ns;

	if (id != CLOCK_BOOTTIME && id != CLOCK_MONOTONIC_RAW)
		return (int)syscall(SYS_clock_gettime, id, out);
	pthread_mutex_lock(&pace_lock);
	ns = paced(&paces[id == CLOCK_BOOTTIME], id);
	pthread_mutex_unlock(&pace_lock);
	out->tv_sec = (time_t)(ns / 1000000000u);
	out->tv_nsec = (long)(ns % 1000000000u);
	return 0;
}

static void set_paces(uint64_t raw, uint64_t boottime)
{
	pthread_mutex_lock(&pace_lock);
	(void)paced(&paces[0], CLOCK_MONOTONIC_RAW);
	(void)paced(&paces[1], CLOCK_BOOTTIME);
	paces[0].times = raw;
	paces[1].times = boottime;
	pthread_mutex_unlock(&pace_lock);
}

struct house {
	uv_loop_t loop;
	char root[CERTS_PATH_SIZE], directory[CERTS_PATH_SIZE + 8];
	struct core *core;
	struct core_config config;
	struct core_events events;
	struct sim_agents agents;
	uint64_t leader, term, index, until_ms;
	uint32_t effects, assigned, submitted, acked;
	int last_code;
	bool closed, fatal, closing;
	uint32_t late; /* events after core_close: who listens may be gone */
};

static void on_send(void *ctx, const struct agent_route *route, uint8_t type,
		    const void *payload, size_t size)
{
	struct house *h = ctx;

	h->late += h->closing;
	sim_agents_hear(&h->agents, route, type, payload, size);
}

static void on_effects(void *ctx, const struct fsm_effect *effects,
		       uint32_t count)
{
	struct house *h = ctx;

	h->late += h->closing;
	h->effects += count;
	for (uint32_t i = 0; i < count; i++)
		h->assigned += effects[i].type == EFFECT_ASSIGNED;
}

static void on_leader(void *ctx, uint64_t leader, uint64_t term)
{
	struct house *h = ctx;

	h->late += h->closing;
	h->leader = leader;
	h->term = term;
	sim_agents_lead(&h->agents, leader == 1 ? h->core : NULL, leader);
}

static void on_members(void *ctx, const uint64_t *ids, uint32_t count)
{
	struct house *h = ctx;

	(void)ids;
	(void)count;
	h->late += h->closing;
}

static void on_changed(void *ctx, stamp_t programs, stamp_t crns,
		       uint64_t index)
{
	struct house *h = ctx;

	(void)programs;
	(void)crns;
	h->late += h->closing;
	assert_true(index >= h->index);
	h->index = index;
}

static void on_fatal(void *ctx, const struct fault *fault)
{
	struct house *h = ctx;

	print_message("fatal: %s\n", fault->text);
	h->fatal = true;
}

static void on_closed(void *ctx)
{
	((struct house *)ctx)->closed = true;
}

static void on_wake(uv_timer_t *timer)
{
	(void)timer;
}

static void wait_for(struct house *h, bool (*until)(struct house *h))
{
	uint64_t end_ms = clock_monotonic_ms() + PATIENCE_MS;
	uv_timer_t wake;

	uv_timer_init(&h->loop, &wake);
	uv_timer_start(&wake, on_wake, 20, 20);
	while (!until(h)) {
		assert_true(clock_monotonic_ms() < end_ms);
		assert_false(h->fatal);
		uv_run(&h->loop, UV_RUN_ONCE);
	}
	uv_close((uv_handle_t *)&wake, NULL);
	uv_run(&h->loop, UV_RUN_NOWAIT);
}

static int open_core(struct house *h, struct fault *fault)
{
	h->events = (struct core_events){
		.ctx = h, .agent_send = on_send, .effects = on_effects,
		.leader = on_leader, .members = on_members,
		.changed = on_changed,
		.fatal = on_fatal };
	h->closed = h->closing = false;
	h->leader = 0;
	h->index = 0;
	return core_open(&h->core, &h->config, &h->loop, &h->events, fault);
}

static bool is_closed(struct house *h)
{
	return h->closed;
}

static void close_core(struct house *h)
{
	sim_agents_lead(&h->agents, NULL, 0);
	h->closing = true;
	core_close(h->core, on_closed, h);
	wait_for(h, is_closed);
	assert_int_equal(h->late, 0);
	h->core = NULL;
}

static int setup(void **state)
{
	struct house *h = calloc(1, sizeof *h);

	uv_loop_init(&h->loop);
	certs_folder(h->root);
	snprintf(h->directory, sizeof h->directory, "%s/r1", h->root);
	h->config.directory = h->directory;
	h->config.bootstrap = true;
	h->config.replica.id = 1;
	h->config.replica.election_ms = 150;
	snprintf(h->config.replica.cluster, 64, "test");
	assert_true(conf_profile("fast", &h->config.initial));
	h->config.initial.watchdog_none_ok = true;
	h->config.members[0].id = 1;
	h->config.members[0].role = ROLE_VOTER;
	h->config.member_count = 1;
	sim_agents_open(&h->agents, &h->loop, 1, 8, 100);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct house *h = *state;

	sim_agents_close(&h->agents);
	uv_run(&h->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&h->loop), 0);
	certs_remove(h->root);
	free(h);
	return 0;
}

static bool we_lead(struct house *h)
{
	return h->leader == 1;
}

static void on_acked(struct sim_submit *s)
{
	struct house *h = s->ctx;

	h->last_code = s->code;
	h->acked += s->ok;
	h->submitted++;
}

static bool answered(struct house *h)
{
	return h->submitted > 0;
}

static void submit(struct house *h, const struct command *command)
{
	struct sim_submit *s = sim_submit_new();

	sim_submit_add(s, command);
	s->done = on_acked;
	s->ctx = h;
	h->submitted = 0;
	sim_submit_send(s, h->core);
	wait_for(h, answered);
}

static bool established(struct house *h)
{
	return sim_agents_established(&h->agents) == h->agents.count;
}

static bool program_runs(struct house *h)
{
	return sim_agents_desired(&h->agents) == 1;
}

static void admit_crn(struct house *h)
{
	struct command put = { .type = FSM_CRN_PUT };

	put.crn_put.crn = h->agents.agents[0].crn;
	put.crn_put.name = (struct text){ "crn-1", 5 };
	put.crn_put.linked = true;
	submit(h, &put);
	assert_int_equal(h->last_code, 0);
}

static void put_program(struct house *h)
{
	struct command put = { .type = FSM_PROGRAM_PUT };

	memset(&put.program_put.program, 9, sizeof(struct hash));
	put.program_put.source = SOURCE_OPERATOR;
	put.program_put.persistent = true;
	put.program_put.owner = (struct text){ "owner", 5 };
	put.program_put.name = (struct text){ "p", 1 };
	put.program_put.vcpus = 1;
	put.program_put.memory_mib = 1;
	submit(h, &put);
	assert_int_equal(h->last_code, 0);
}

struct look {
	struct core_call call;
	struct house *house;
	struct fsm_status status;
	bool done;
};

static void look_run(struct core *core, struct core_call *call)
{
	struct look *look = (struct look *)call;

	fsm_status(core_view(core), &look->status);
}

static void look_done(struct core_call *call)
{
	struct look *look = (struct look *)call;

	look->house->submitted = 1;
}

static struct fsm_status look_at(struct house *h)
{
	struct look look = { .call = { .run = look_run, .done = look_done },
			     .house = h };

	h->submitted = 0;
	assert_int_equal(core_post(h->core, &look.call), 0);
	wait_for(h, answered);
	return look.status;
}

/* What was applied, and not told yet, when it is closed. */
static void test_closed_core_tells_nothing(void **state)
{
	struct house *h = *state;
	struct fault fault;

	assert_int_equal(open_core(h, &fault), 0);
	wait_for(h, we_lead);
	uv_sleep(600); /* our loop stands: Beats are applied meanwhile */
	close_core(h);
	/* Not even who is a member, which is told at the very first step. */
	assert_int_equal(open_core(h, &fault), 0);
	uv_sleep(300);
	close_core(h);
}

static void test_places_and_remembers(void **state)
{
	struct house *h = *state;
	struct fault fault;
	uint64_t term;

	assert_int_equal(open_core(h, &fault), 0);
	wait_for(h, we_lead);
	admit_crn(h);
	wait_for(h, established);
	put_program(h);
	wait_for(h, program_runs);
	assert_int_equal(look_at(h).assigned_count, 1);
	assert_int_equal(h->assigned, 1);
	term = h->term;
	close_core(h);
	assert_int_equal(open_core(h, &fault), 0);
	wait_for(h, we_lead);
	assert_true(h->term > term);
	assert_int_equal(look_at(h).program_count, 1);
	assert_int_equal(look_at(h).assigned_count, 1);
	/* The session lives on over the restart: a heartbeat is answered. */
	h->agents.acks = 0;
	h->agents.agents[0].acked = 0;
	wait_for(h, established);
	assert_int_equal(sim_agents_desired(&h->agents), 1);
	close_core(h);
}

static bool a_second_passed(struct house *h)
{
	return clock_monotonic_ms() >= h->until_ms;
}

static uint64_t c_after_a_second(struct house *h)
{
	uint64_t before_ms = look_at(h).c_ms;

	h->until_ms = clock_monotonic_ms() + 1000;
	wait_for(h, a_second_passed);
	return look_at(h).c_ms - before_ms;
}

/* A2: C counts by the slower of the two clocks, whichever that is. */
static void test_leaders_clock_is_the_slower_one(void **state)
{
	struct house *h = *state;
	struct fault fault;

	assert_int_equal(open_core(h, &fault), 0);
	wait_for(h, we_lead);
	set_paces(5, 1);
	assert_in_range(c_after_a_second(h), 300, 3000);
	set_paces(1, 5);
	assert_in_range(c_after_a_second(h), 300, 3000);
	set_paces(1, 1);
	close_core(h);
}

static void test_wrong_directories_are_refused(void **state)
{
	struct house *h = *state;
	struct core *first, *second = NULL;
	struct fault fault;

	assert_int_equal(open_core(h, &fault), 0);
	first = h->core;
	assert_int_equal(core_open(&second, &h->config, &h->loop, &h->events,
				   &fault), BERTH_BUSY);
	print_message("  %s\n", fault.text);
	assert_null(second);
	h->core = first;
	close_core(h);
	snprintf(h->config.replica.cluster, 64, "other");
	assert_int_equal(open_core(h, &fault), BERTH_MISMATCH);
	print_message("  %s\n", fault.text);
	snprintf(h->config.replica.cluster, 64, "test");
	h->config.replica.id = 2;
	assert_int_equal(open_core(h, &fault), BERTH_MISMATCH);
	print_message("  %s\n", fault.text);
	h->config.replica.id = 1;
	assert_int_equal(open_core(h, &fault), 0);
	close_core(h);
}

static void test_empty_directory_needs_a_bootstrap(void **state)
{
	struct house *h = *state;
	struct fault fault;

	h->config.bootstrap = false;
	assert_int_equal(open_core(h, &fault), BERTH_NOTFOUND);
	print_message("  %s\n", fault.text);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_places_and_remembers),
		STORY(test_closed_core_tells_nothing),
		STORY(test_leaders_clock_is_the_slower_one),
		STORY(test_wrong_directories_are_refused),
		STORY(test_empty_directory_needs_a_bootstrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
