/* Three replicas over TLS: a program is placed, the leader goes, another goes
 * on with the agent's session as it was, and the one that went catches up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/socket.h>

#include "node/lib/clock.h"
#include "node/lib/log.h"
#include "node/replica/trail.h"
#include "tests/kit/cores.h"
#include "tests/kit/deaf.h"

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

static bool leader_lost(struct cores *c, void *ctx)
{
	(void)ctx;
	return cores_leader(c) == NULL;
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

struct ends {
	uint16_t first, last; /* ports of the replicas */
	bool lose;
};

/* How many sockets are connected now with these ports; with `lose` they hear
 * nothing more. What connects later does. */
static uint32_t ends_of_links(const struct ends *ends)
{
	uint32_t count = 0;

	for (int fd = 3; fd < 1024; fd++) {
		struct sockaddr_in own, peer;
		socklen_t own_size = sizeof own, peer_size = sizeof peer;

		memset(&own, 0, sizeof own);
		memset(&peer, 0, sizeof peer);
		if (getsockname(fd, (struct sockaddr *)&own, &own_size) ||
		    getpeername(fd, (struct sockaddr *)&peer, &peer_size) ||
		    own.sin_family != AF_INET)
			continue;
		if ((ntohs(own.sin_port) < ends->first ||
		     ntohs(own.sin_port) > ends->last) &&
		    (ntohs(peer.sin_port) < ends->first ||
		     ntohs(peer.sin_port) > ends->last))
			continue;
		if (ends->lose)
			deaf_make(fd);
		count++;
	}
	return count;
}

static bool all_linked(struct cores *c, void *ctx)
{
	(void)c;
	return ends_of_links(ctx) == 6;
}

/* A split that loses packets leaves connections that TCP repeats on later and
 * later. They are given up soon and dialled anew, those of two followers
 * too. */
static void test_silent_links_are_dialled_anew(void **state)
{
	static struct cores c;
	struct outcome outcome = { .done = false };
	struct ends ends = { PORT + 30, PORT + 33, false };
	uint64_t from_ms;
	uint32_t one = 1;

	(void)state;
	if (!deaf_able())
		skip();
	cores_open(&c, 3, PORT + 30, 1, 8, 200);
	cores_wait_leader(&c);
	cores_admit(&c);
	cores_wait(&c, all_linked, &ends, "not all are linked");
	ends.lose = true;
	assert_int_equal(ends_of_links(&ends), 6);
	from_ms = clock_monotonic_ms();
	cores_wait(&c, leader_lost, NULL, "the split is not noticed");
	cores_wait_leader(&c);
	put_program(&c, cores_leader(&c)->core, 1, &outcome);
	assert_int_equal(outcome.ok, 1);
	cores_wait(&c, runs, &one, "the program is not told");
	for (uint32_t i = 0; i < 3; i++)
		cores_wait(&c, caught_up, &c.replicas[i], "no catching up");
	assert_true(clock_monotonic_ms() - from_ms < 12000);
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

struct look {
	struct core_call call;
	uint64_t snapshots, installs;
	uint32_t programs;
	bool done;
};

static void look_run(struct core *core, struct core_call *call)
{
	struct look *look = (struct look *)call;
	struct replica_status replica;
	struct fsm_status status;

	fsm_status(core_view(core), &status);
	replica_status(core_replica(core), &replica);
	look->programs = status.program_count;
	look->snapshots = replica.snapshots;
	look->installs = replica.installs;
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

static struct look look_at(struct cores *c, struct core *core)
{
	struct look look = { .call = { .run = look_run, .done = look_done } };

	assert_int_equal(core_post(core, &look.call), 0);
	cores_wait(c, looked, &look, "a look does not come back");
	return look;
}

/* Its audit trail, whole, into a file. */
static void export_trail(struct cores *c, struct cores_replica *r,
			 char path[CERTS_PATH_SIZE + 32])
{
	struct trail *trail = core_trail(r->core);
	struct trail_place place = trail_find(trail, 0);
	bool end = false;
	FILE *out;

	snprintf(path, CERTS_PATH_SIZE + 32, "%s/export%u", c->root,
		 (unsigned)r->id);
	out = fopen(path, "wb");
	assert_non_null(out);
	while (!end) {
		uint8_t *data = NULL;
		size_t size;

		assert_int_equal(trail_read(trail, &place, &data, &size, &end),
				 0);
		assert_int_equal(fwrite(data, 1, size, out), size);
		free(data);
	}
	fclose(out);
}

/* Both are proven; the late one's says that a snapshot stands in it, once. */
static void verify_trails(struct cores *c, struct cores_replica *late)
{
	char own[CERTS_PATH_SIZE + 32], other[CERTS_PATH_SIZE + 32];
	char line[3 * CERTS_PATH_SIZE], words[8192];
	const char *given;
	size_t size;
	FILE *pipe;

	export_trail(c, late, own);
	export_trail(c, cores_leader(c), other);
	snprintf(line, sizeof line, "deploy/berth-audit-verify %s %s 2>&1",
		 own, other);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	size = fread(words, 1, sizeof words - 1, pipe);
	words[size] = '\0';
	if (pclose(pipe) != 0)
		fail_msg("%s", words);
	given = strstr(words, "a snapshot took the place of entries");
	assert_non_null(given);
	assert_null(strstr(given + 1, "a snapshot took the place"));
	assert_non_null(strstr(words, "the trail begins with the cluster"));
	assert_non_null(strstr(words, "the same in each"));
}

/* A follower that was away longer than the log reaches gets a snapshot over
 * its link, and goes on from there; so does it after its own restart. */
static void test_late_follower_gets_a_snapshot(void **state)
{
	static struct cores c;
	struct cores_replica *late;
	struct look look;

	(void)state;
	cores_open(&c, 3, PORT + 20, 1, 200, 200);
	cores_wait_leader(&c);
	for (uint64_t id = 1; id <= 3; id++)
		cores_stop(&c, id);
	c.snapshot_entries = 32;
	c.trailing = 8;
	c.trail_size = 64u << 20;
	for (uint64_t id = 1; id <= 3; id++)
		cores_start(&c, id);
	cores_wait_leader(&c);
	cores_admit(&c);
	late = &c.replicas[cores_leader(&c)->id % 3];
	cores_stop(&c, late->id);
	for (uint8_t i = 1; i <= 100; i++) {
		struct outcome outcome = { .done = false };

		put_program(&c, cores_leader(&c)->core, i, &outcome);
		assert_int_equal(outcome.ok, 1);
	}
	assert_true(look_at(&c, cores_leader(&c)->core).snapshots > 0);
	for (int i = 0; i < 2; i++) {
		cores_start(&c, late->id);
		cores_wait(&c, caught_up, late, "the late one stays behind");
		look = look_at(&c, late->core);
		assert_int_equal(look.programs, 100);
		assert_true(look.installs == (i == 0));
		/* Told after an installation, not after a start. */
		assert_int_equal(late->gaps, i == 0);
		if (i == 1)
			verify_trails(&c, late);
		cores_stop(&c, late->id);
	}
	cores_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leader_goes_and_nothing_else),
		cmocka_unit_test(test_silent_links_are_dialled_anew),
		cmocka_unit_test(test_follower_refuses_commands),
		cmocka_unit_test(test_late_follower_gets_a_snapshot),
	};

	log_init("replica_cores", LOG_LEVEL_INFO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
