/* Links between replicas: who speaks on them, what a batch bears, and whose
 * answer is whose. The bytes are in replica_relay.c, what is done with those
 * of agents in replica_relay_terms.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "node/lib/stream.h"

static struct sent {
	struct stream *stream;
	uint8_t type;
	size_t size;
	uint8_t bytes[256];
} sent[8];
static uint32_t sent_count, closed_count;
static struct stream *closed_stream;

static int fake_send(struct stream *stream, uint8_t type,
		     const struct stream_part *parts, uint32_t count)
{
	struct sent *s = &sent[sent_count++];

	assert_true(sent_count <= COUNT_OF(sent));
	assert_int_equal(count, 1);
	s->stream = stream;
	s->type = type;
	s->size = parts->size;
	memcpy(s->bytes, parts->data, parts->size < sizeof s->bytes ?
				      parts->size : sizeof s->bytes);
	return 0;
}

static void fake_close(struct stream *stream, const char *why)
{
	(void)why;
	closed_stream = stream;
	closed_count++;
}

static void fake_take(struct stream *stream, const struct stream_events *events,
		      void *ctx)
{
	(void)stream;
	(void)events;
	(void)ctx;
}

static const char *fake_address(const struct stream *stream)
{
	(void)stream;
	return "nowhere";
}

#define stream_address fake_address
#define stream_send fake_send
#define stream_close fake_close
#define stream_take fake_take
#include "node/replica/relay.c"

/* Replica 3, which dials nobody: 1 and 2 call it. */
static const struct core_peer peers[] = { { .id = 1 }, { .id = 2 },
					  { .id = 3 } };
static struct edge edge;
static struct relay *relay;
static uv_loop_t loop;
static char wires[4]; /* streams are never looked into */

static struct stream *wire_of(uint32_t i)
{
	return (struct stream *)&wires[i];
}

static int setup(void **state)
{
	(void)state;
	memset(&edge, 0, sizeof edge);
	assert_int_equal(uv_loop_init(&loop), 0);
	edge.loop = &loop;
	edge.config.id = 3;
	edge.config.cluster = "test";
	edge.config.peers = peers;
	edge.config.peer_count = COUNT_OF(peers);
	edge.term = 7;
	edge.leader = 1;
	assert_int_equal(relay_open(&relay, &edge), 0);
	relay_accept(relay, 1, wire_of(1));
	relay_accept(relay, 2, wire_of(2));
	assert_true(relay_up(relay, 1) && relay_up(relay, 2));
	sent_count = closed_count = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	relay_close(relay);
	uv_run(&loop, UV_RUN_DEFAULT);
	relay_free(relay);
	assert_int_equal(uv_loop_close(&loop), 0);
	return 0;
}

static void hear(uint64_t id, uint32_t wire, uint8_t type, const void *data,
		 size_t size)
{
	on_frame(find(relay, id), wire_of(wire), type, data, size);
}

static void hear_hello(uint32_t version, uint64_t id)
{
	struct wire w = { 0 };

	wire_u32(&w, version);
	wire_u64(&w, id);
	hear(1, 1, PEER_HELLO, w.data, w.size);
	wire_fini(&w);
}

static void lose(uint64_t id, uint32_t wire)
{
	struct fault fault = { .text = "gone" };

	on_closed(find(relay, id), wire_of(wire), &fault);
}

/* --- who speaks ------------------------------------------------------------ */

static void test_hello_says_who_it_is(void **state)
{
	struct wire_reader r;

	(void)state;
	lose(1, 1);
	relay_accept(relay, 1, wire_of(0));
	assert_int_equal(sent_count, 1);
	assert_ptr_equal(sent[0].stream, wire_of(0));
	assert_int_equal(sent[0].type, PEER_HELLO);
	r = (struct wire_reader){ sent[0].bytes, sent[0].size, 0, false };
	assert_int_equal(wire_get_u32(&r), PEER_VERSION);
	assert_int_equal(wire_get_u64(&r), 3);
	assert_true(wire_end(&r));
}

static void test_who_is_another_is_closed(void **state)
{
	(void)state;
	hear_hello(PEER_VERSION, 1);
	assert_int_equal(closed_count, 0);
	hear_hello(PEER_VERSION, 2);
	assert_int_equal(closed_count, 1);
	assert_ptr_equal(closed_stream, wire_of(1));
}

static void test_another_version_is_closed(void **state)
{
	(void)state;
	hear_hello(PEER_VERSION + 1, 1);
	assert_int_equal(closed_count, 1);
}

static void test_stranger_is_closed(void **state)
{
	(void)state;
	relay_accept(relay, 9, wire_of(3));
	assert_ptr_equal(closed_stream, wire_of(3));
	assert_int_equal(edge.metrics.refused_links.value, 1);
}

/* What the older link still brings is nobody's. */
static void test_newer_link_takes_the_olders_place(void **state)
{
	(void)state;
	relay_accept(relay, 1, wire_of(0));
	assert_ptr_equal(closed_stream, wire_of(1));
	closed_count = 0;
	hear(1, 1, 200, "x", 1);
	assert_int_equal(closed_count, 0);
	lose(1, 1);
	assert_true(relay_up(relay, 1));
	hear(1, 0, 200, "x", 1);
	assert_ptr_equal(closed_stream, wire_of(0));
}

/* --- batches ---------------------------------------------------------------- */

static bool say_up(const char *text)
{
	const struct hash crn = { .bytes = { 5 } };

	return relay_agent_up(relay, 1, 44, &crn, 3, text, strlen(text));
}

static void test_batch_bears_its_term(void **state)
{
	struct relay_item item;
	struct wire_reader r;

	(void)state;
	assert_true(say_up("one"));
	assert_true(say_up("two"));
	flush_all(&relay->flush);
	assert_int_equal(sent_count, 1);
	assert_ptr_equal(sent[0].stream, wire_of(1));
	assert_int_equal(sent[0].type, PEER_RELAY_UP);
	r = (struct wire_reader){ sent[0].bytes, sent[0].size, 0, false };
	assert_int_equal(wire_get_u64(&r), 7);
	assert_true(relay_item_next(&r, true, &item));
	assert_int_equal(item.link, 44);
	assert_int_equal(item.crn.bytes[0], 5);
	assert_true(relay_item_next(&r, true, &item));
	assert_memory_equal(item.bytes.data, "two", 3);
	assert_false(relay_item_next(&r, true, &item));
	assert_true(wire_end(&r));
}

/* Nothing of one term is said in the next, nor takes the next one's along. */
static void test_new_term_drops_what_waits(void **state)
{
	struct relay_item item;
	struct wire_reader r;

	(void)state;
	assert_true(say_up("old"));
	assert_true(relay_agent_down(relay, 2, 45, 3, "old", 3));
	edge.term = 8;
	relay_term(relay);
	flush_all(&relay->flush);
	assert_int_equal(sent_count, 0);
	assert_true(say_up("new"));
	flush_all(&relay->flush);
	assert_int_equal(sent_count, 1);
	r = (struct wire_reader){ sent[0].bytes, sent[0].size, 0, false };
	assert_int_equal(wire_get_u64(&r), 8);
	assert_true(relay_item_next(&r, true, &item));
	assert_memory_equal(item.bytes.data, "new", 3);
	assert_false(relay_item_next(&r, true, &item));
}

static void test_new_link_does_not_bring_the_olds(void **state)
{
	(void)state;
	assert_true(say_up("old"));
	lose(1, 1);
	assert_false(say_up("no link"));
	relay_accept(relay, 1, wire_of(0));
	sent_count = 0;
	flush_all(&relay->flush);
	assert_int_equal(sent_count, 0);
}

/* A batch waits for 5 ms, or until the next frame would make it 64 KiB. */
static void test_batch_does_not_wait_nor_grow(void **state)
{
	static const uint8_t half[40000];

	(void)state;
	assert_true(say_up("waits"));
	assert_int_equal(sent_count, 0);
	assert_true(uv_timer_get_due_in(&relay->flush) <= 5);
	assert_true(uv_is_active((const uv_handle_t *)&relay->flush));
	assert_true(relay_agent_down(relay, 2, 45, 3, half, sizeof half));
	assert_int_equal(sent_count, 0);
	assert_true(relay_agent_down(relay, 2, 46, 3, half, sizeof half));
	assert_int_equal(sent_count, 1);
	assert_int_equal(sent[0].type, PEER_RELAY_DOWN);
	assert_true(sent[0].size < 65536);
	flush_all(&relay->flush);
	assert_int_equal(sent_count, 3);
	assert_int_equal(sent[2].size, sent[0].size);
}

/* --- questions -------------------------------------------------------------- */

static struct relay_ask first, second; /* they end with the relay */
static int ask_code;
static uint32_t asks_done;

static void on_done(struct relay_ask *ask, int code, const uint8_t *payload,
		    size_t size)
{
	(void)ask;
	(void)payload;
	(void)size;
	ask_code = code;
	asks_done++;
}

static void ask(struct relay_ask *a, uint64_t peer, uint32_t timeout_ms)
{
	memset(a, 0, sizeof *a);
	a->id = relay_ask_id(relay);
	a->answer = PEER_READ_ANSWER;
	a->done = on_done;
	asks_done = 0;
	relay_ask(relay, a, peer, PEER_READ_INDEX, "q", 1, timeout_ms);
}

static void answers(uint64_t id, uint8_t type, uint64_t number)
{
	struct wire w = { 0 };

	wire_u64(&w, number);
	hear(id, (uint32_t)id, type, w.data, w.size);
	wire_fini(&w);
}

static void test_answer_is_of_who_was_asked(void **state)
{
	struct relay_ask *a = &first;

	(void)state;
	ask(a, 1, 1000);
	answers(2, PEER_READ_ANSWER, a->id);
	answers(1, PEER_CONTENT, a->id);
	answers(1, PEER_READ_ANSWER, a->id + 1);
	assert_int_equal(asks_done, 0);
	answers(1, PEER_READ_ANSWER, a->id);
	assert_int_equal(asks_done, 1);
	assert_int_equal(ask_code, 0);
	answers(1, PEER_READ_ANSWER, a->id); /* once more: nobody's */
	assert_int_equal(asks_done, 1);
	assert_int_equal(closed_count, 0);
}

/* What was only asked of a leader is asked of the next one; what may have been
 * done is waited for. */
static void test_new_leader_ends_what_the_old_was_asked(void **state)
{
	(void)state;
	ask(&first, 1, 1000);
	ask(&second, 1, 1000);
	second.of_leader = true;
	relay_term(relay);
	assert_int_equal(asks_done, 0);
	edge.leader = 2;
	relay_term(relay);
	assert_int_equal(asks_done, 1);
	assert_int_equal(ask_code, BERTH_CLOSED);
	assert_ptr_equal(relay->asks, &first);
}

static void test_lost_link_leaves_the_outcome_open(void **state)
{
	(void)state;
	ask(&first, 2, 1000);
	ask(&second, 1, 1000);
	lose(1, 1);
	assert_int_equal(asks_done, 1);
	assert_int_equal(ask_code, BERTH_UNKNOWN_OUTCOME);
	assert_ptr_equal(relay->asks, &first);
	ask(&second, 1, 1000); /* and without a link it was surely not asked */
	assert_int_equal(asks_done, 1);
	assert_int_equal(ask_code, BERTH_CLOSED);
}

static void test_question_has_an_end(void **state)
{
	(void)state;
	ask(&first, 1, 60000);
	ask(&second, 1, 0);
	uv_sleep(2);
	uv_update_time(&loop);
	tick(&relay->tick);
	assert_int_equal(asks_done, 1);
	assert_int_equal(ask_code, BERTH_TIMEOUT);
	assert_ptr_equal(relay->asks, &first);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_hello_says_who_it_is),
		STORY(test_who_is_another_is_closed),
		STORY(test_another_version_is_closed),
		STORY(test_stranger_is_closed),
		STORY(test_newer_link_takes_the_olders_place),
		STORY(test_batch_bears_its_term),
		STORY(test_batch_does_not_wait_nor_grow),
		STORY(test_new_term_drops_what_waits),
		STORY(test_new_link_does_not_bring_the_olds),
		STORY(test_answer_is_of_who_was_asked),
		STORY(test_new_leader_ends_what_the_old_was_asked),
		STORY(test_lost_link_leaves_the_outcome_open),
		STORY(test_question_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
