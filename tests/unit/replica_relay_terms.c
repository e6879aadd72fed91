/* lease.md 2.6, "Relay": what a replica does with the bytes of agents whose
 * link it owns, and with those of others. Frames of another term are dropped;
 * with no leader nothing is kept; a follower copies, and makes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "node/replica/agent_link.h"
#include "node/replica/api.h"
#include "node/replica/relay.h"
#include "node/replica/relay_serve.h"
#include "node/replica/store.h"

static struct {
	uint32_t to_core, to_links, to_leader;
	struct agent_route route;
	struct hash crn;
	uint64_t link, leader;
	uint8_t type;
	size_t size;
	char bytes[32];
} told;

static void keep(uint8_t type, const void *data, size_t size)
{
	assert_true(size <= sizeof told.bytes);
	told.type = type;
	told.size = size;
	memcpy(told.bytes, data, size);
}

static void fake_core(struct core *core, const struct agent_route *route,
		      const struct hash *crn, uint8_t type, const void *data,
		      size_t size)
{
	(void)core;
	told.to_core++;
	told.route = *route;
	told.crn = *crn;
	keep(type, data, size);
}

static bool fake_links(struct agent_links *links, uint64_t link, uint8_t type,
		       const void *data, size_t size)
{
	(void)links;
	told.to_links++;
	told.link = link;
	keep(type, data, size);
	return true;
}

static bool fake_up(struct relay *relay, uint64_t id, uint64_t link,
		    const struct hash *crn, uint8_t type, const void *data,
		    size_t size)
{
	(void)relay;
	told.to_leader++;
	told.leader = id;
	told.link = link;
	told.crn = *crn;
	keep(type, data, size);
	return true;
}

#define core_agent_frame fake_core
#define agent_links_write fake_links
#define content_done serve_content_done
#include "node/replica/relay_serve.c"
#undef content_done
#undef agent_links_write
#define relay_agent_up fake_up
#include "node/replica/agent_link.c"

static struct edge edge;
static struct agent_links links;
static struct link a_link;

static int setup(void **state)
{
	(void)state;
	memset(&told, 0, sizeof told);
	memset(&edge, 0, sizeof edge);
	memset(&links, 0, sizeof links);
	memset(&a_link, 0, sizeof a_link);
	edge.config.id = 1;
	edge.core = (struct core *)&edge; /* never looked into */
	edge.term = 7;
	links.edge = &edge;
	a_link.links = &links;
	a_link.number = 300;
	memset(&a_link.crn, 3, sizeof a_link.crn);
	return 0;
}

/* A batch as another replica sends it. */
static int hear(bool up, uint64_t term, size_t cut)
{
	struct relay_item item = { .link = 44, .type = AGENT_HEARTBEAT,
				   .bytes = { "heartbeat", 9 } };
	struct wire w = { 0 };
	int code;

	memset(&item.crn, 5, sizeof item.crn);
	wire_u64(&w, term);
	relay_item_put(&w, &item, up);
	relay_item_put(&w, &item, up);
	assert_false(w.failed);
	code = up ? relay_serve_up(&edge, 2, w.data, w.size - cut)
		  : relay_serve_down(&edge, w.data, w.size - cut);
	wire_fini(&w);
	return code;
}

static void test_leader_hears_frames_of_its_term(void **state)
{
	(void)state;
	edge.leader = 1;
	assert_int_equal(hear(true, 7, 0), 0);
	assert_int_equal(told.to_core, 2);
	assert_int_equal(told.route.replica, 2);
	assert_int_equal(told.route.link, 44);
	assert_int_equal(told.crn.bytes[0], 5);
	assert_int_equal(told.type, AGENT_HEARTBEAT);
	assert_int_equal(told.size, 9);
	assert_memory_equal(told.bytes, "heartbeat", 9);
}

static void test_frames_of_another_term_are_dropped(void **state)
{
	(void)state;
	edge.leader = 1;
	assert_int_equal(hear(true, 6, 0), 0);
	assert_int_equal(hear(true, 8, 0), 0);
	assert_int_equal(told.to_core, 0);
	assert_int_equal(hear(false, 6, 0), 0);
	assert_int_equal(hear(false, 8, 0), 0);
	assert_int_equal(told.to_links, 0);
	assert_int_equal(edge.metrics.relay_stale.value, 8);
}

static void test_who_does_not_lead_hears_nothing(void **state)
{
	(void)state;
	edge.leader = 2;
	assert_int_equal(hear(true, 7, 0), 0);
	edge.leader = 0;
	assert_int_equal(hear(true, 7, 0), 0);
	edge.leader = 1;
	edge.core = NULL;
	assert_int_equal(hear(true, 7, 0), 0);
	assert_int_equal(told.to_core, 0);
}

static void test_answers_go_down_as_they_are(void **state)
{
	(void)state;
	edge.leader = 2;
	assert_int_equal(hear(false, 7, 0), 0);
	assert_int_equal(told.to_links, 2);
	assert_int_equal(told.link, 44);
	assert_memory_equal(told.bytes, "heartbeat", 9);
	assert_int_equal(hear(false, 7, 3), BERTH_MALFORMED);
}

/* The route is the link's, the CRN is the certificate's. */
static void test_frames_go_to_the_leader_once(void **state)
{
	(void)state;
	edge.leader = 1;
	assert_int_equal(take_frame(&a_link, AGENT_HEARTBEAT,
				    (const uint8_t *)"abc", 3), 0);
	assert_int_equal(told.to_core, 1);
	assert_int_equal(told.to_leader, 0);
	assert_int_equal(told.route.replica, 1);
	assert_int_equal(told.route.link, 300);
	assert_int_equal(told.crn.bytes[0], 3);
	edge.leader = 2;
	assert_int_equal(take_frame(&a_link, AGENT_REGISTER,
				    (const uint8_t *)"abcd", 4), 0);
	assert_int_equal(told.to_core, 1);
	assert_int_equal(told.to_leader, 1);
	assert_int_equal(told.leader, 2);
	assert_int_equal(told.link, 300);
	assert_int_equal(told.crn.bytes[0], 3);
	assert_int_equal(told.type, AGENT_REGISTER);
	assert_memory_equal(told.bytes, "abcd", 4);
}

static void test_with_no_leader_heartbeats_are_dropped(void **state)
{
	(void)state;
	edge.leader = 0;
	assert_int_equal(take_frame(&a_link, AGENT_HEARTBEAT,
				    (const uint8_t *)"abc", 3), 0);
	edge.leader = 2; /* one is found: nothing was kept for it */
	assert_int_equal(told.to_core, 0);
	assert_int_equal(told.to_leader, 0);
	assert_int_equal(edge.metrics.agent_dropped.value, 1);
}

/* An agent cannot say what only a leader says. */
static void test_agents_say_no_answers(void **state)
{
	static const uint8_t types[] = { AGENT_CHALLENGE, AGENT_REGISTER_ACK,
					 AGENT_REPLY, AGENT_REFUSED, 0, 200 };

	(void)state;
	edge.leader = 1;
	for (uint32_t i = 0; i < sizeof types; i++)
		assert_int_equal(take_frame(&a_link, types[i],
					    (const uint8_t *)"abc", 3),
				 BERTH_MALFORMED);
	assert_int_equal(told.to_core, 0);
}

/* A number that its slot does not have any more is nobody's: an answer for an
 * old link goes to no new one. */
static void test_old_links_have_no_heirs(void **state)
{
	struct hash crn = { .bytes = { 1 } };
	struct link *first, *second;

	(void)state;
	first = add(&links, &crn, NULL);
	assert_non_null(first);
	assert_ptr_equal(find(&links, first->number), first);
	links.slots[first->number & (EDGE_LINKS_MAX - 1)] = NULL;
	second = add(&links, &crn, NULL);
	assert_non_null(second);
	assert_int_equal(second->number & (EDGE_LINKS_MAX - 1),
			 first->number & (EDGE_LINKS_MAX - 1));
	assert_null(find(&links, first->number));
	free(first);
	free(second);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		STORY(test_leader_hears_frames_of_its_term),
		STORY(test_frames_of_another_term_are_dropped),
		STORY(test_who_does_not_lead_hears_nothing),
		STORY(test_answers_go_down_as_they_are),
		STORY(test_frames_go_to_the_leader_once),
		STORY(test_with_no_leader_heartbeats_are_dropped),
		STORY(test_agents_say_no_answers),
		STORY(test_old_links_have_no_heirs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
