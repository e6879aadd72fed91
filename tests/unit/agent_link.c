/* The agent's link: with whom, and which of two when one is silent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "node/lib/stream.h"

#define WIRES 4u

static struct {
	uint32_t connects, sent[WIRES], closed[WIRES];
	uint32_t ups, downs, frames;
	uint64_t handshake_ms; /* how long the last one may take */
	char host[64];
	uint16_t port;
	struct identity peer;
} world;
static char wires[WIRES]; /* streams are never looked into */
static const struct identity self = { "test", IDENTITY_CRN, "crn" };

static struct stream *wire(uint32_t i)
{
	return (struct stream *)&wires[i];
}

static uint32_t number(const struct stream *stream)
{
	return (uint32_t)((const char *)stream - wires);
}

static int fake_connect(struct stream **out, uv_loop_t *loop,
			struct stream_tls *tls, const char *host, uint16_t port,
			const char *alpn, const struct identity *expected,
			const struct stream_options *options,
			const struct stream_events *events, void *ctx)
{
	(void)loop;
	(void)tls;
	(void)alpn;
	(void)expected;
	(void)events;
	(void)ctx;
	world.handshake_ms = options->handshake_ms;
	assert_true(world.connects < WIRES);
	*out = wire(world.connects++);
	snprintf(world.host, sizeof world.host, "%s", host);
	world.port = port;
	return 0;
}

static int fake_send(struct stream *stream, uint8_t type,
		     const struct stream_part *parts, uint32_t count)
{
	(void)type;
	(void)parts;
	(void)count;
	world.sent[number(stream)]++;
	return 0;
}

static void fake_close(struct stream *stream, const char *why)
{
	(void)why;
	world.closed[number(stream)]++;
}

static const struct identity *fake_peer(const struct stream *stream)
{
	(void)stream;
	return &world.peer;
}

static const struct identity *fake_self(const struct stream_tls *tls)
{
	(void)tls;
	return &self;
}

static const char *fake_address(const struct stream *stream)
{
	(void)stream;
	return "nowhere";
}

#define stream_connect fake_connect
#define stream_send fake_send
#define stream_close fake_close
#define stream_peer fake_peer
#define stream_tls_self fake_self
#define stream_address fake_address
#include "node/agent/link.c"

static void on_up(void *ctx)
{
	(void)ctx;
	world.ups++;
}

static void on_down(void *ctx)
{
	(void)ctx;
	world.downs++;
}

static void on_frame(void *ctx, uint8_t type, const uint8_t *payload,
		     size_t size)
{
	(void)ctx;
	(void)type;
	(void)payload;
	(void)size;
	world.frames++;
}

static struct link *it;
static uv_loop_t loop;

static int setup(void **state)
{
	static const char *const addresses[] = { "10.0.0.1:1", NULL };
	static const struct link_events events = { .up = on_up,
						   .frame = on_frame,
						   .down = on_down };

	(void)state;
	memset(&world, 0, sizeof world);
	world.peer = (struct identity){ "test", IDENTITY_REPLICA, "1" };
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(link_open(&it, &loop, NULL, addresses, &events,
				   NULL, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	struct fault fault = { .text = "the end" };
	uint32_t left = it->streams;

	(void)state;
	link_close(it);
	uv_run(&loop, UV_RUN_DEFAULT);
	for (; left != 0; left--) /* the last one frees it */
		closed(it, NULL, &fault);
	return uv_loop_close(&loop);
}

static void connects(void)
{
	connect_next(&it->retry);
}

/* Two links: the first one has been silent. */
static void both(void)
{
	connects();
	opened(it, wire(0));
	connects();
	opened(it, wire(1));
	assert_int_equal(world.ups, 2);
}

static void test_only_replicas_are_spoken_to(void **state)
{
	(void)state;
	world.peer.role = IDENTITY_CRN;
	connects();
	opened(it, wire(0));
	assert_int_equal(world.closed[0], 1);
	assert_false(link_up(it));
	assert_int_equal(world.ups, 0);
}

/* Of two that are silent nobody knows which one is alive. */
static void test_both_links_are_told(void **state)
{
	(void)state;
	both();
	assert_int_equal(world.closed[0], 0);
	assert_int_equal(link_send(it, 1, "x", 1), 0);
	assert_int_equal(world.sent[0], 1);
	assert_int_equal(world.sent[1], 1);
}

static void test_the_one_that_answers_is_kept(void **state)
{
	(void)state;
	both();
	framed(it, wire(0), AGENT_REPLY, NULL, 0); /* the first one */
	assert_int_equal(world.frames, 1);
	assert_int_equal(world.closed[0], 0);
	assert_int_equal(world.closed[1], 1);
	assert_int_equal(link_send(it, 1, "x", 1), 0);
	assert_int_equal(world.sent[0], 1);
	assert_int_equal(world.sent[1], 0);
	framed(it, wire(1), AGENT_REPLY, NULL, 0); /* closed: not heard */
	assert_int_equal(world.frames, 1);
}

static void test_who_leads_is_no_answer(void **state)
{
	(void)state;
	both();
	framed(it, wire(1), AGENT_REPLICAS, NULL, 0);
	assert_int_equal(world.closed[0], 0);
	framed(it, wire(1), AGENT_REPLY, NULL, 0);
	assert_int_equal(world.closed[0], 1);
	assert_int_equal(world.closed[1], 0);
}

static void test_third_link_takes_the_olds_place(void **state)
{
	(void)state;
	both();
	connects();
	opened(it, wire(2));
	assert_int_equal(world.closed[0], 1);
	assert_int_equal(world.closed[1], 0);
	assert_int_equal(link_send(it, 1, "x", 1), 0);
	assert_int_equal(world.sent[0], 0);
	assert_int_equal(world.sent[1], 1);
	assert_int_equal(world.sent[2], 1);
}

/* The newer one ends: the older one is still there, and nothing is down. */
static void test_old_link_is_fallen_back_to(void **state)
{
	struct fault fault = { .text = "gone" };

	(void)state;
	both();
	closed(it, wire(1), &fault);
	assert_true(link_up(it));
	assert_int_equal(world.downs, 0);
	assert_int_equal(link_send(it, 1, "x", 1), 0);
	assert_int_equal(world.sent[0], 1);
	closed(it, wire(0), &fault);
	assert_false(link_up(it));
	assert_int_equal(world.downs, 1);
}

/* Members of now in turn; after a round without success what is configured. */
static void test_configured_address_after_each_round(void **state)
{
	struct agent_replicas replicas = { .count = 2 };

	(void)state;
	strcpy(replicas.rows[0].address, "10.0.0.2:2");
	strcpy(replicas.rows[1].address, "10.0.0.3:3");
	link_learn(it, &replicas);
	connects();
	assert_int_not_equal(world.port, 1);
	it->trial = NULL;
	connects();
	assert_int_not_equal(world.port, 1);
	it->trial = NULL;
	connects();
	assert_int_equal(world.port, 1);
	assert_string_equal(world.host, "10.0.0.1");
	it->trial = NULL;
}

/* Who left the cluster is not called any more, nor is one that is to join: a
 * lease would run out meanwhile. */
static void test_members_of_now_replace_those_before(void **state)
{
	struct agent_replicas replicas = { .count = 2 };

	(void)state;
	strcpy(replicas.rows[0].address, "10.0.0.2:2");
	strcpy(replicas.rows[1].address, "10.0.0.3:3");
	link_learn(it, &replicas);
	replicas.count = 1;
	strcpy(replicas.rows[0].address, "10.0.0.4:4");
	link_learn(it, &replicas);
	connects();
	assert_int_equal(world.port, 4);
	it->trial = NULL;
	connects();
	assert_int_equal(world.port, 1); /* and what is configured */
	it->trial = NULL;
	/* Nobody tells of no members: those before stay. */
	replicas.count = 0;
	link_learn(it, &replicas);
	connects();
	assert_int_equal(world.port, 4);
	it->trial = NULL;
}

/* A stopped replica's greeting is waited for no longer than a lease bears. */
static void test_a_greeting_has_as_long_as_it_is_told(void **state)
{
	(void)state;
	link_patience(it, 1000);
	connects();
	assert_int_equal(world.handshake_ms, 1000);
	it->trial = NULL;
	link_patience(it, 0);
	connects();
	assert_int_equal(world.handshake_ms, HANDSHAKE_MS_MIN);
	it->trial = NULL;
	link_patience(it, 60000);
	connects();
	assert_int_equal(world.handshake_ms, HANDSHAKE_MS_MAX);
	it->trial = NULL;
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_only_replicas_are_spoken_to),
		STORY(test_both_links_are_told),
		STORY(test_the_one_that_answers_is_kept),
		STORY(test_who_leads_is_no_answer),
		STORY(test_third_link_takes_the_olds_place),
		STORY(test_old_link_is_fallen_back_to),
		STORY(test_configured_address_after_each_round),
		STORY(test_members_of_now_replace_those_before),
		STORY(test_a_greeting_has_as_long_as_it_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
