/* The agent's link among replicas that are well, silent, dead or deaf. Each of
 * these cost a CRN its lease once (tests/FOUND.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include "node/agent/link.h"
#include "node/lib/clock.h"
#include "tests/kit/certs.h"

#define CRN_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define REPLICAS 3

/* A replica as the agent meets it: it takes what comes, and counts. */
struct replica {
	struct world *world;
	struct stream_listener *listener;
	struct stream *stream; /* the newest */
	uint32_t accepted, closed, frames;
	char address[64];
};

struct world {
	uv_loop_t loop;
	struct replica replicas[REPLICAS];
	struct link *link;
	uint32_t ups, downs, answers;
};

static char root[CERTS_PATH_SIZE];
static struct stream_tls *tls_replica, *tls_crn;

/* --- replicas ------------------------------------------------------------- */

static void on_open(void *ctx, struct stream *stream)
{
	(void)ctx;
	(void)stream;
}

static void on_frame(void *ctx, struct stream *stream, uint8_t type,
		     const uint8_t *payload, size_t size)
{
	struct replica *replica = ctx;

	(void)stream;
	(void)type;
	(void)payload;
	(void)size;
	replica->frames++;
}

static void on_closed(void *ctx, struct stream *stream,
		      const struct fault *fault)
{
	struct replica *replica = ctx;

	(void)fault;
	replica->closed++;
	if (replica->stream == stream)
		replica->stream = NULL;
}

static void on_accept(void *ctx, struct stream *stream)
{
	static const struct stream_events events = { on_open, on_frame,
						     on_closed };
	struct replica *replica = ctx;

	replica->accepted++;
	replica->stream = stream;
	stream_take(stream, &events, replica);
}

static void listen_as(struct world *world, uint32_t i)
{
	static const char *const alpns[] = { ALPN_AGENT, NULL };
	static const struct stream_options options = {
		.frame_size_max = 1u << 20, .queue_size_max = 1u << 20,
		.handshake_ms = 2000,
	};
	struct replica *replica = &world->replicas[i];
	struct fault fault;

	replica->world = world;
	assert_int_equal(stream_listen(&replica->listener, &world->loop,
				       tls_replica, "127.0.0.1", 0, alpns,
				       &options, on_accept, replica, &fault),
			 0);
	snprintf(replica->address, sizeof replica->address, "127.0.0.1:%u",
		 (unsigned)stream_listener_port(replica->listener));
}

/* Connections are taken by the kernel, and nobody says a word: a stopped
 * replica. Gives the socket. */
static int listen_stopped(char address[64])
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t size = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	snprintf(address, 64, "127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
	return fd;
}

static void say(struct replica *replica, uint8_t type)
{
	struct stream_part part = { "x", 1 };

	assert_non_null(replica->stream);
	assert_int_equal(stream_send(replica->stream, type, &part, 1), 0);
}

/* --- the agent ------------------------------------------------------------ */

static void link_is_up(void *ctx)
{
	((struct world *)ctx)->ups++;
}

static void link_is_down(void *ctx)
{
	((struct world *)ctx)->downs++;
}

static void link_frame(void *ctx, uint8_t type, const uint8_t *payload,
		       size_t size)
{
	struct world *world = ctx;

	(void)payload;
	(void)size;
	if (type == AGENT_REPLY)
		world->answers++;
}

static void open_link(struct world *world, const char *const *addresses)
{
	static const struct link_events events = { link_is_up, link_is_down,
						   link_frame };
	struct fault fault;

	assert_int_equal(link_open(&world->link, &world->loop, tls_crn,
				   addresses, &events, world, &fault), 0);
}

static void learn(struct world *world, const char *const *addresses)
{
	struct agent_replicas told = { .leader = 1 };

	for (; *addresses; addresses++) {
		told.rows[told.count].id = told.count + 1;
		snprintf(told.rows[told.count++].address,
			 sizeof told.rows[0].address, "%s", *addresses);
	}
	link_learn(world->link, &told);
}

static void on_wake(uv_timer_t *timer)
{
	(void)timer;
}

/* Runs the loop until it is so; fails after ten seconds. */
#define UNTIL(world, condition)                                       \
	do {                                                          \
		uint64_t end_ms = clock_monotonic_ms() + 10000;       \
		uv_timer_t wake_;                                     \
		uv_timer_init(&(world)->loop, &wake_);                \
		uv_timer_start(&wake_, on_wake, 5, 5);                \
		while (!(condition) && clock_monotonic_ms() < end_ms) \
			uv_run(&(world)->loop, UV_RUN_ONCE);          \
		uv_close((uv_handle_t *)&wake_, NULL);                \
		uv_run(&(world)->loop, UV_RUN_NOWAIT);                \
		assert_true(condition);                               \
	} while (0)

static void world_open(struct world *world)
{
	memset(world, 0, sizeof *world);
	assert_int_equal(uv_loop_init(&world->loop), 0);
	for (uint32_t i = 0; i < REPLICAS; i++)
		listen_as(world, i);
}

static void world_close(struct world *world)
{
	link_close(world->link);
	for (uint32_t i = 0; i < REPLICAS; i++)
		stream_listener_close(world->replicas[i].listener);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
}

/* --- tests ---------------------------------------------------------------- */

/* The next replica is stopped: the one that is there is used all along, and
 * what it says at last is heard. */
static void test_kept(void **state)
{
	struct world w;
	char stopped[64];
	int fd = listen_stopped(stopped);
	struct replica *first = &w.replicas[0];
	uint64_t began;

	(void)state;
	world_open(&w);
	open_link(&w, (const char *const[]){ first->address, NULL });
	UNTIL(&w, w.ups == 1 && first->stream);
	learn(&w, (const char *const[]){ stopped, NULL });
	link_patience(w.link, 500);
	began = clock_monotonic_ms();
	while (clock_monotonic_ms() < began + 800) {
		link_rotate(w.link);
		assert_int_equal(link_send(w.link, AGENT_HEARTBEAT, "x", 1), 0);
		UNTIL(&w, true);
		usleep(20000);
	}
	assert_true(link_up(w.link));
	assert_int_equal(w.downs, 0);
	UNTIL(&w, first->frames > 10);
	say(first, AGENT_REPLY);
	UNTIL(&w, w.answers == 1);
	link_settle(w.link);
	world_close(&w);
	close(fd);
}

/* The next one greets us and is deaf: both are asked, and who answers is
 * kept. */
static void test_both(void **state)
{
	struct world w;
	struct replica *first = &w.replicas[0], *second = &w.replicas[1];

	(void)state;
	world_open(&w);
	open_link(&w, (const char *const[]){ first->address, NULL });
	UNTIL(&w, w.ups == 1 && first->stream);
	learn(&w, (const char *const[]){ second->address, NULL });
	link_rotate(w.link);
	UNTIL(&w, w.ups == 2 && second->stream);
	assert_int_equal(link_send(w.link, AGENT_HEARTBEAT, "x", 1), 0);
	UNTIL(&w, first->frames == 1 && second->frames == 1);
	say(second, AGENT_REPLICAS); /* no answer: any replica says that */
	say(first, AGENT_REPLY);
	UNTIL(&w, w.answers == 1);
	UNTIL(&w, second->closed == 1);
	assert_int_equal(w.downs, 0);
	assert_int_equal(link_send(w.link, AGENT_HEARTBEAT, "x", 1), 0);
	UNTIL(&w, first->frames == 2);
	assert_int_equal(first->closed, 0);
	world_close(&w);
}

/* A stopped one costs no more than the patience that was asked for. */
static void test_patience(void **state)
{
	struct world w;
	char stopped[64];
	int fd = listen_stopped(stopped);
	uint64_t began = clock_monotonic_ms();

	(void)state;
	world_open(&w);
	open_link(&w, (const char *const[]){ stopped, NULL });
	link_patience(w.link, 500);
	UNTIL(&w, clock_monotonic_ms() > began + 50); /* it is called */
	learn(&w, (const char *const[]){ w.replicas[0].address, NULL });
	UNTIL(&w, w.ups == 1);
	assert_true(clock_monotonic_ms() - began < 2500);
	world_close(&w);
	close(fd);
}

/* Who left the cluster is called no more; if all of them are gone, whom the
 * configuration names is. */
static void test_members(void **state)
{
	struct world w;
	struct replica *left = &w.replicas[0], *now = &w.replicas[1];

	(void)state;
	world_open(&w);
	open_link(&w, (const char *const[]){ w.replicas[2].address, NULL });
	UNTIL(&w, w.ups == 1 && w.replicas[2].stream);
	learn(&w, (const char *const[]){ left->address, NULL });
	learn(&w, (const char *const[]){ now->address, NULL });
	for (uint32_t i = 1; i <= 3; i++) {
		say(i == 1 ? &w.replicas[2] : now, AGENT_REPLY);
		UNTIL(&w, w.answers == i);
		stream_close(i == 1 ? w.replicas[2].stream : now->stream, "x");
		UNTIL(&w, w.ups == i + 1 && now->stream);
	}
	assert_int_equal(left->accepted, 0);
	assert_int_equal(now->accepted, 3);
	learn(&w, (const char *const[]){ "127.0.0.1:1", NULL });
	stream_close(now->stream, "x");
	UNTIL(&w, w.replicas[2].accepted == 2);
	world_close(&w);
}

static int prepare(void **state)
{
	(void)state;
	certs_folder(root);
	certs_authority(root, "a", "demo");
	certs_issue(root, "a", "r1", "demo", IDENTITY_REPLICA, "1");
	certs_issue(root, "a", "crn", "demo", IDENTITY_CRN, CRN_A);
	tls_replica = certs_open(root, "r1");
	tls_crn = certs_open(root, "crn");
	return 0;
}

static int finish(void **state)
{
	(void)state;
	stream_tls_close(tls_replica);
	stream_tls_close(tls_crn);
	certs_remove(root);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_both),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_members),
	};

	return cmocka_run_group_tests(tests, prepare, finish);
}
