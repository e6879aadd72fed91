/* Streams over loopback: who is let in, who is not and why; frames, limits,
 * goodbyes; a stream that moves to another thread while it is spoken on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/lib/clock.h"
#include "node/lib/stream.h"
#include "node/lib/stream_inner.h"
#include "tests/kit/certs.h"
#include "tests/kit/deaf.h"

#define CRN_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static char root[CERTS_PATH_SIZE];
static struct stream_tls *replica1, *replica2, *crn, *stranger, *foreigner;

/* One end, as a test sees it. */
struct end {
	struct stream *stream;
	uint32_t opened, closed, frames;
	struct fault fault;
	uint8_t type, last[256];
	size_t last_size, bytes;
	bool echo, close_at_frame;
	struct identity peer;
};

struct world {
	uv_loop_t loop;
	struct stream_listener *listener;
	uint16_t port;
	struct end server, client;
	bool refuse, leave_alone;
	uint32_t accepted;
};

static const struct stream_options options = {
	.frame_size_max = 1u << 20,
	.queue_size_max = 4u << 20,
	.handshake_ms = 2000,
};

static void on_open(void *ctx, struct stream *stream)
{
	struct end *end = ctx;

	assert_ptr_equal(end->stream, stream);
	end->peer = *stream_peer(stream);
	end->opened++;
}

static void on_frame(void *ctx, struct stream *stream, uint8_t type,
		     const uint8_t *payload, size_t size)
{
	struct stream_part part = { payload, size };
	struct end *end = ctx;

	end->frames++;
	end->bytes += size;
	end->type = type;
	end->last_size = size;
	memcpy(end->last, payload,
	       size < sizeof end->last ? size : sizeof end->last);
	if (end->echo)
		assert_int_equal(stream_send(stream, type, &part, 1), 0);
	if (end->close_at_frame)
		stream_close(stream, "enough");
}

static void on_closed(void *ctx, struct stream *stream,
		      const struct fault *fault)
{
	struct end *end = ctx;

	assert_ptr_equal(end->stream, stream);
	end->closed++;
	end->fault = *fault;
	end->stream = NULL;
}

static const struct stream_events events = { on_open, on_frame, on_closed };

static void on_accept(void *ctx, struct stream *stream)
{
	struct world *world = ctx;

	world->accepted++;
	if (world->leave_alone)
		return;
	if (world->refuse) {
		stream_close(stream, "not you");
		return;
	}
	world->server.stream = stream;
	world->server.peer = *stream_peer(stream);
	stream_take(stream, &events, &world->server);
}

static void world_open_with(struct world *world, struct stream_tls *tls,
			    const struct stream_options *with)
{
	static const char *const alpns[] = { ALPN_RAFT, ALPN_AGENT, NULL };
	struct fault fault;

	memset(world, 0, sizeof *world);
	assert_int_equal(uv_loop_init(&world->loop), 0);
	assert_int_equal(stream_listen(&world->listener, &world->loop, tls,
				       "127.0.0.1", 0, alpns, with, on_accept,
				       world, &fault), 0);
	world->port = stream_listener_port(world->listener);
	assert_true(world->port > 0);
}

static void world_open(struct world *world)
{
	world_open_with(world, replica1, &options);
}

static void connect_as(struct world *world, struct stream_tls *tls,
		       const char *alpn, const struct identity *expected)
{
	assert_int_equal(stream_connect(&world->client.stream, &world->loop,
					tls, "127.0.0.1", world->port, alpn,
					expected, &options, &events,
					&world->client), 0);
	assert_int_equal(world->client.closed, 0);
}

#define UNTIL(world, condition)                                     \
	do {                                                        \
		uint64_t end_ms = clock_monotonic_ms() + 10000;     \
		bool late_ = false;                                 \
		uv_timer_start(&wake_, on_wake, 5, 5);              \
		while (!(condition) && !late_) {                    \
			uv_run(&(world)->loop, UV_RUN_ONCE);        \
			late_ = clock_monotonic_ms() > end_ms;      \
		}                                                   \
		uv_timer_stop(&wake_);                              \
		if (late_)                                          \
			fail_msg("not in time: " #condition);       \
	} while (0)

static void on_wake(uv_timer_t *timer)
{
	(void)timer;
}
static uv_timer_t wake_;

#define BEGIN(world) uv_timer_init(&(world)->loop, &wake_)

static void world_close(struct world *world)
{
	if (world->client.stream)
		stream_close(world->client.stream, "end of the test");
	if (world->server.stream)
		stream_close(world->server.stream, "end of the test");
	stream_listener_close(world->listener);
	uv_close((uv_handle_t *)&wake_, NULL);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	assert_null(world->client.stream);
	assert_null(world->server.stream);
}

static void send_text(struct stream *stream, uint8_t type, const char *text)
{
	struct stream_part parts[] = { { text, 1 },
				       { text + 1, strlen(text) - 1 } };

	assert_int_equal(stream_send(stream, type, parts, 2), 0);
}

static void test_open_and_talk(void **state)
{
	struct identity expected = { .cluster = "demo",
				     .role = IDENTITY_REPLICA, .name = "1" };
	struct world world;

	(void)state;
	world_open(&world);
	BEGIN(&world);
	connect_as(&world, crn, ALPN_AGENT, &expected);
	send_text(world.client.stream, 7, "before it is open");
	UNTIL(&world, world.client.opened && world.server.frames == 1);
	assert_int_equal(world.server.peer.role, IDENTITY_CRN);
	assert_string_equal(world.server.peer.name, CRN_A);
	assert_string_equal(world.client.peer.name, "1");
	assert_string_equal(stream_alpn(world.client.stream), ALPN_AGENT);
	assert_string_equal(stream_alpn(world.server.stream), ALPN_AGENT);
	assert_memory_equal(world.server.last, "before it is open", 17);
	assert_int_equal(world.server.type, 7);
	send_text(world.server.stream, 0, "and back");
	UNTIL(&world, world.client.frames == 1);
	assert_int_equal(world.client.type, 0);
	stream_close(world.client.stream, "bye");
	UNTIL(&world, world.client.closed && world.server.closed);
	assert_int_equal(world.client.fault.code, BERTH_CLOSED);
	assert_string_equal(world.client.fault.text, "bye");
	assert_int_equal(world.server.fault.code, BERTH_CLOSED);
	world_close(&world);
}

/* Each of these must end as `closed` on the client, with the code, and never
 * reach accept. */
static void refused(struct stream_tls *tls, const char *alpn,
		    const struct identity *expected, int code,
		    const char *text)
{
	struct world world;

	world_open(&world);
	BEGIN(&world);
	connect_as(&world, tls, alpn, expected);
	UNTIL(&world, world.client.closed);
	assert_int_equal(world.client.opened, 0);
	assert_int_equal(world.client.closed, 1);
	assert_int_equal(world.accepted, 0);
	assert_int_equal(world.client.fault.code, code);
	if (!strstr(world.client.fault.text, text))
		fail_msg("\"%s\" lacks \"%s\"", world.client.fault.text, text);
	/* and the next one is served */
	memset(&world.client, 0, sizeof world.client);
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	UNTIL(&world, world.client.opened);
	world_close(&world);
}

static void test_other_authority(void **state)
{
	(void)state;
	refused(foreigner, ALPN_RAFT, NULL, BERTH_DENIED, "certificate");
}

static void test_other_cluster(void **state)
{
	(void)state;
	refused(stranger, ALPN_RAFT, NULL, BERTH_DENIED, "another cluster");
}

static void test_other_identity(void **state)
{
	struct identity expected = { .cluster = "demo",
				     .role = IDENTITY_REPLICA, .name = "3" };

	(void)state;
	refused(replica2, ALPN_RAFT, &expected, BERTH_MISMATCH,
		"berth://demo/replica/1");
	expected.role = IDENTITY_CRN;
	snprintf(expected.name, sizeof expected.name, "%s", "1");
	refused(replica2, ALPN_RAFT, &expected, BERTH_MISMATCH, "expected");
}

static void test_other_protocol(void **state)
{
	(void)state;
	refused(replica2, ALPN_PEER, NULL, BERTH_DENIED, "protocol");
}

/* The server's side of a client of another CA: TLS 1.3 lets the client think
 * that all is well; it must not be told `open`. Server here is the foreigner's
 * victim: only the server refuses. */
static void test_server_refuses(void **state)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	char cert[CERTS_PATH_SIZE * 2], key[CERTS_PATH_SIZE * 2];
	struct stream_tls careless = { .context = context };
	struct world world;

	(void)state;
	/* A client that trusts anybody, with the foreigner's certificate. */
	careless.self = *stream_tls_self(replica1);
	atomic_init(&careless.references, 1000);
	snprintf(cert, sizeof cert, "%s/foreigner/cert.pem", root);
	snprintf(key, sizeof key, "%s/foreigner/key.pem", root);
	assert_int_equal(SSL_CTX_use_certificate_chain_file(context, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(context, key,
						     SSL_FILETYPE_PEM), 1);
	world_open(&world);
	BEGIN(&world);
	connect_as(&world, &careless, ALPN_RAFT, NULL);
	/* Skip our own check of the server. */
	world.client.stream->session->has_peer = true;
	UNTIL(&world, world.client.closed);
	assert_int_equal(world.client.opened, 0);
	assert_int_equal(world.accepted, 0);
	assert_int_equal(world.client.fault.code, BERTH_DENIED);
	assert_non_null(strstr(world.client.fault.text, "refuses us"));
	world_close(&world);
	SSL_CTX_free(context);
}

static void test_nobody_there(void **state)
{
	struct world world;

	(void)state;
	world_open(&world);
	BEGIN(&world);
	stream_listener_close(world.listener);
	world.listener = NULL;
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	UNTIL(&world, world.client.closed);
	assert_int_equal(world.client.fault.code, BERTH_IO);
	assert_non_null(strstr(world.client.fault.text, "refused"));
	assert_non_null(strstr(world.client.fault.text, "127.0.0.1:"));
	world_close(&world);
}

static void test_close_at_once(void **state)
{
	struct world world;

	(void)state;
	world_open(&world);
	BEGIN(&world);
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	stream_close(world.client.stream, "changed my mind");
	assert_int_equal(world.client.closed, 0);
	UNTIL(&world, world.client.closed);
	assert_string_equal(world.client.fault.text, "changed my mind");
	/* a name: resolved in the pool */
	memset(&world.client, 0, sizeof world.client);
	assert_int_equal(stream_connect(&world.client.stream, &world.loop,
					replica2, "localhost", world.port,
					ALPN_RAFT, NULL, &options, &events,
					&world.client), 0);
	stream_close(world.client.stream, "changed my mind");
	UNTIL(&world, world.client.closed);
	memset(&world.client, 0, sizeof world.client);
	assert_int_equal(stream_connect(&world.client.stream, &world.loop,
					replica2, "localhost", world.port,
					ALPN_RAFT, NULL, &options, &events,
					&world.client), 0);
	UNTIL(&world, world.client.opened);
	world_close(&world);
}

static void test_refused_after_handshake(void **state)
{
	struct world world;

	(void)state;
	world_open(&world);
	BEGIN(&world);
	world.refuse = true;
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	UNTIL(&world, world.client.closed);
	assert_int_equal(world.accepted, 1);
	world.refuse = false;
	world.leave_alone = true; /* neither taken nor closed */
	memset(&world.client, 0, sizeof world.client);
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	UNTIL(&world, world.client.closed);
	assert_int_equal(world.accepted, 2);
	world_close(&world);
}

/* A raw socket that says `data` (or nothing) must be cut. */
struct raw {
	uv_tcp_t tcp;
	uv_connect_t connect;
	uv_write_t write;
	const char *data;
	bool ended;
};

static void raw_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
	static char data[1024];

	(void)handle;
	(void)size;
	*buffer = uv_buf_init(data, sizeof data);
}

static void raw_read(uv_stream_t *handle, ssize_t size, const uv_buf_t *buffer)
{
	struct raw *raw = handle->data;

	(void)buffer;
	if (size >= 0)
		return;
	raw->ended = true;
	uv_close((uv_handle_t *)handle, NULL);
}

static void raw_connected(uv_connect_t *connect, int status)
{
	struct raw *raw = connect->handle->data;
	uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)raw->data,
				      (unsigned)strlen(raw->data));

	assert_int_equal(status, 0);
	uv_read_start(connect->handle, raw_alloc, raw_read);
	if (buffer.len > 0)
		uv_write(&raw->write, connect->handle, &buffer, 1, NULL);
}

static void raw_open(struct raw *raw, struct world *world, const char *data)
{
	struct sockaddr_in address;

	memset(raw, 0, sizeof *raw);
	raw->data = data;
	raw->tcp.data = raw;
	uv_ip4_addr("127.0.0.1", world->port, &address);
	uv_tcp_init(&world->loop, &raw->tcp);
	assert_int_equal(uv_tcp_connect(&raw->connect, &raw->tcp,
					(struct sockaddr *)&address,
					raw_connected), 0);
}

static void test_garbage_and_slow(void **state)
{
	struct stream_options quick = options;
	struct raw garbage, http, slow;
	struct world world;

	(void)state;
	quick.handshake_ms = 150;
	world_open_with(&world, replica1, &quick);
	BEGIN(&world);
	raw_open(&garbage, &world, "\x16\x03\x01\xff\xff\xff garbage");
	raw_open(&http, &world, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	raw_open(&slow, &world, "");
	UNTIL(&world, garbage.ended && http.ended && slow.ended);
	assert_int_equal(world.accepted, 0);
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	UNTIL(&world, world.client.opened);
	world_close(&world);
}

static void test_too_many_from_one_source(void **state)
{
	struct raw raws[70];
	struct world world;
	uint32_t ended = 0;

	(void)state;
	world_open(&world);
	BEGIN(&world);
	for (uint32_t i = 0; i < COUNT_OF(raws); i++)
		raw_open(&raws[i], &world, "");
	do {
		ended = 0;
		uv_run(&world.loop, UV_RUN_ONCE);
		for (uint32_t i = 0; i < COUNT_OF(raws); i++)
			ended += raws[i].ended;
	} while (ended < COUNT_OF(raws) - 64);
	assert_int_equal(ended, COUNT_OF(raws) - 64);
	for (uint32_t i = 0; i < COUNT_OF(raws); i++)
		if (!raws[i].ended)
			uv_close((uv_handle_t *)&raws[i].tcp, NULL);
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	UNTIL(&world, world.client.opened || world.client.closed);
	world_close(&world);
}

/* Frames over the receiver's limit end the stream there. */
static void test_oversized_frame(void **state)
{
	struct stream_options small = options;
	static uint8_t data[2000];
	struct stream_part part = { data, sizeof data };
	struct world world;

	(void)state;
	small.frame_size_max = 1000;
	world_open_with(&world, replica1, &small);
	BEGIN(&world);
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	UNTIL(&world, world.client.opened);
	assert_int_equal(stream_send(world.server.stream, 1, &part, 1),
			 BERTH_TOOBIG);
	part.size = 1000;
	assert_int_equal(stream_send(world.client.stream, 1, &part, 1), 0);
	UNTIL(&world, world.server.frames == 1);
	part.size = 1001;
	assert_int_equal(stream_send(world.client.stream, 1, &part, 1), 0);
	UNTIL(&world, world.server.closed && world.client.closed);
	assert_int_equal(world.server.fault.code, BERTH_TOOBIG);
	assert_int_equal(world.server.frames, 1);
	world_close(&world);
}

static void test_queue_bounded(void **state)
{
	static uint8_t data[1u << 20];
	struct stream_part part = { data, sizeof data };
	struct world world;
	uint32_t sent = 0;
	int code;

	(void)state;
	world_open(&world);
	BEGIN(&world);
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	UNTIL(&world, world.client.opened);
	while ((code = stream_send(world.client.stream, 1, &part, 1)) == 0)
		sent++;
	assert_int_equal(code, BERTH_BUSY);
	assert_int_equal(sent, 3); /* 4 MiB less the heads */
	assert_true(stream_queued(world.client.stream) <=
		    options.queue_size_max);
	UNTIL(&world, world.server.frames == sent);
	assert_int_equal(world.server.bytes, sent * sizeof data);
	assert_int_equal(stream_queued(world.client.stream), 0);
	world_close(&world);
}

/* What was queued before stream_close arrives. */
static void test_close_flushes(void **state)
{
	static uint8_t data[1u << 20];
	struct stream_part part = { data, sizeof data };
	struct world world;

	(void)state;
	world_open(&world);
	BEGIN(&world);
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	UNTIL(&world, world.client.opened);
	for (int i = 0; i < 3; i++)
		assert_int_equal(stream_send(world.client.stream, 1, &part, 1),
				 0);
	stream_close(world.client.stream, "said all");
	assert_int_equal(stream_send(world.client.stream, 1, &part, 1),
			 BERTH_CLOSED);
	UNTIL(&world, world.client.closed && world.server.closed);
	assert_int_equal(world.server.frames, 3);
	assert_int_equal(world.server.fault.code, BERTH_CLOSED);
	world_close(&world);
}

static void test_close_inside_frame(void **state)
{
	struct world world;

	(void)state;
	world_open(&world);
	BEGIN(&world);
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	UNTIL(&world, world.client.opened);
	world.server.close_at_frame = world.server.echo = true;
	for (int i = 0; i < 5; i++)
		send_text(world.client.stream, 3, "hello");
	UNTIL(&world, world.client.closed && world.server.closed);
	assert_int_equal(world.server.frames, 1);
	assert_int_equal(world.client.frames, 1); /* the echo still came */
	world_close(&world);
}

static void test_silence(void **state)
{
	struct stream_options quiet = options;
	struct world world;

	(void)state;
	quiet.idle_ms = 120;
	world_open_with(&world, replica1, &quiet);
	BEGIN(&world);
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	UNTIL(&world, world.client.opened);
	UNTIL(&world, world.server.closed);
	assert_int_equal(world.server.fault.code, BERTH_TIMEOUT);
	world_close(&world);
}

/* Both ends hear nothing more of this connection. */
static void lose_packets(struct world *world)
{
	struct stream *ends[] = { world->server.stream, world->client.stream };
	int fd;

	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(uv_fileno((uv_handle_t *)&ends[i]->tcp, &fd),
				 0);
		deaf_make(fd);
	}
}

static void keep_both(struct world *world, uint32_t every_ms)
{
	connect_as(world, replica2, ALPN_RAFT, NULL);
	UNTIL(world, world->client.opened && world->server.stream);
	stream_keep(world->client.stream, 9, every_ms);
	stream_keep(world->server.stream, 9, every_ms);
}

static void wait_ms(struct world *world, uint64_t ms)
{
	uint64_t from_ms = clock_monotonic_ms();

	UNTIL(world, clock_monotonic_ms() - from_ms >= ms);
}

/* Nobody has anything to say, and the stream stays; frames that only keep it
 * are given like others. Then packets are lost, and both ends are told soon:
 * what was sent in between would be repeated later and later. */
static void test_kept_until_packets_are_lost(void **state)
{
	struct world world;
	uint64_t from_ms;

	(void)state;
	if (!deaf_able())
		skip();
	world_open(&world);
	BEGIN(&world);
	keep_both(&world, 40);
	wait_ms(&world, 500);
	UNTIL(&world, world.client.frames >= 4 && world.server.frames >= 4);
	assert_int_equal(world.client.closed + world.server.closed, 0);
	assert_int_equal(world.client.type, 9);
	assert_int_equal(world.client.bytes, 0);
	from_ms = clock_monotonic_ms();
	lose_packets(&world);
	UNTIL(&world, world.client.closed && world.server.closed);
	assert_true(clock_monotonic_ms() - from_ms >= 4 * 40);
	assert_true(clock_monotonic_ms() - from_ms < 3000);
	assert_int_equal(world.client.fault.code, BERTH_TIMEOUT);
	assert_int_equal(world.server.fault.code, BERTH_TIMEOUT);
	world_close(&world);
}

/* A process that stood still reads what came meanwhile before it judges. */
static void test_kept_over_standing_still(void **state)
{
	struct world world;

	(void)state;
	world_open(&world);
	BEGIN(&world);
	keep_both(&world, 40);
	wait_ms(&world, 100);
	for (uint32_t i = 0; i < 3; i++) {
		usleep(400000);
		wait_ms(&world, 20);
	}
	assert_int_equal(world.client.closed + world.server.closed, 0);
	world_close(&world);
}

static void test_port_in_use(void **state)
{
	static const char *const alpns[] = { ALPN_RAFT, NULL };
	struct stream_listener *second = NULL;
	struct fault fault;
	struct world world;
	char text[64];

	(void)state;
	world_open(&world);
	BEGIN(&world);
	assert_int_equal(stream_listen(&second, &world.loop, replica1,
				       "127.0.0.1", world.port, alpns,
				       &options, on_accept, &world, &fault),
			 BERTH_EXISTS);
	assert_null(second);
	snprintf(text, sizeof text, "listen 127.0.0.1:%u: address in use",
		 world.port);
	assert_string_equal(fault.text, text);
	world_close(&world);
}

/* A stream goes to another thread's loop and back in the middle of traffic:
 * every frame arrives once, in order, both ways. */
struct mover {
	uv_loop_t loop;
	uv_thread_t thread;
	uv_async_t wake;
	struct stream_parcel *parcel;
	struct stream *stream;
	uint32_t next, until;
	bool wrong;
	uv_sem_t done;
};

static void count_frame(struct mover *mover, const uint8_t *payload)
{
	uint32_t number;

	memcpy(&number, payload, sizeof number);
	if (number != mover->next)
		mover->wrong = true;
	mover->next++;
}

static void moved_frame(void *ctx, struct stream *stream, uint8_t type,
			const uint8_t *payload, size_t size)
{
	struct stream_part part = { payload, size };
	struct mover *mover = ctx;

	count_frame(mover, payload);
	if (stream_send(stream, type, &part, 1) != 0)
		mover->wrong = true;
	if (mover->next == mover->until &&
	    stream_detach(stream, &mover->parcel) == 0) {
		mover->stream = NULL;
		uv_close((uv_handle_t *)&mover->wake, NULL);
	}
}

static void moved_closed(void *ctx, struct stream *stream,
			 const struct fault *fault)
{
	struct mover *mover = ctx;

	(void)stream;
	(void)fault;
	mover->wrong = true; /* it must be detached, not closed */
	uv_close((uv_handle_t *)&mover->wake, NULL);
}

static const struct stream_events moved_events = { NULL, moved_frame,
						   moved_closed };

static void mover_wake(uv_async_t *async)
{
	struct mover *mover = async->data;

	if (stream_attach(&mover->stream, &mover->loop, mover->parcel,
			  &moved_events, mover) != 0)
		mover->wrong = true;
	mover->parcel = NULL;
}

static void mover_run(void *arg)
{
	struct mover *mover = arg;

	uv_run(&mover->loop, UV_RUN_DEFAULT);
	uv_sem_post(&mover->done);
}

struct traffic {
	struct world world;
	struct mover mover;
	uint32_t sent, got;
	bool wrong, gone;
};

static void first_frames(void *ctx, struct stream *stream, uint8_t type,
			 const uint8_t *payload, size_t size)
{
	struct traffic *traffic = ctx;
	struct mover *mover = &traffic->mover;
	struct stream_part part = { payload, size };

	count_frame(mover, payload);
	if (stream_send(stream, type, &part, 1) != 0)
		mover->wrong = true;
	if (traffic->gone || mover->next != 100)
		return;
	traffic->gone = true;
	assert_int_equal(stream_detach(stream, &mover->parcel), 0);
	uv_async_send(&mover->wake);
}

static void traffic_closed(void *ctx, struct stream *stream,
			   const struct fault *fault)
{
	(void)ctx;
	(void)stream;
	(void)fault;
}

static void traffic_accept(void *ctx, struct stream *stream)
{
	static const struct stream_events taken = { NULL, first_frames,
						    traffic_closed };
	struct world *world = ctx;

	/* struct world is the first member of struct traffic */
	stream_take(stream, &taken, (struct traffic *)(void *)world);
}

static void echo_frame(void *ctx, struct stream *stream, uint8_t type,
		       const uint8_t *payload, size_t size)
{
	struct traffic *traffic = ctx;
	uint32_t number;

	(void)stream;
	(void)type;
	memcpy(&number, payload, sizeof number);
	if (number != traffic->got || size < 4)
		traffic->wrong = true;
	traffic->got++;
}

static void send_numbers(struct traffic *traffic, struct stream *stream,
			 uint32_t upto)
{
	static uint8_t data[20000];
	struct stream_part parts[2] = { { &traffic->sent, 4 }, { data, 0 } };

	while (traffic->sent < upto) {
		parts[1].size = traffic->sent * 37 % sizeof data;
		if (stream_send(stream, 5, parts, 2) != 0)
			break;
		traffic->sent++;
	}
}

static void test_move_with_traffic(void **state)
{
	static const struct stream_events echoes = { NULL, echo_frame,
						     traffic_closed };
	static struct traffic traffic;
	struct world *world = &traffic.world;
	struct mover *mover = &traffic.mover;
	static const char *const alpns[] = { ALPN_RAFT, NULL };
	const uint32_t total = 1000;
	struct stream_options wide = options;
	struct stream *client, *back = NULL;
	struct fault fault;

	(void)state;
	memset(&traffic, 0, sizeof traffic);
	wide.queue_size_max = 64u << 20;
	uv_loop_init(&world->loop);
	BEGIN(world);
	uv_loop_init(&mover->loop);
	uv_async_init(&mover->loop, &mover->wake, mover_wake);
	mover->wake.data = mover;
	mover->until = 700;
	uv_sem_init(&mover->done, 0);
	uv_thread_create(&mover->thread, mover_run, mover);
	assert_int_equal(stream_listen(&world->listener, &world->loop,
				       replica1, "127.0.0.1", 0, alpns, &wide,
				       traffic_accept, world, &fault), 0);
	world->port = stream_listener_port(world->listener);
	assert_int_equal(stream_connect(&client, &world->loop, replica2,
					"127.0.0.1", world->port, ALPN_RAFT,
					NULL, &wide, &echoes, &traffic), 0);
	send_numbers(&traffic, client, total);
	UNTIL(world, uv_sem_trywait(&mover->done) == 0);
	uv_thread_join(&mover->thread);
	assert_false(mover->wrong);
	assert_int_equal(mover->next, 700);
	/* and back, here */
	assert_non_null(mover->parcel);
	static const struct stream_events taken = { NULL, first_frames,
						    traffic_closed };
	assert_int_equal(stream_attach(&back, &world->loop, mover->parcel,
				       &taken, &traffic), 0);
	UNTIL(world, traffic.got == total);
	assert_false(traffic.wrong);
	assert_false(mover->wrong);
	assert_int_equal(mover->next, total);
	stream_close(client, "done");
	stream_close(back, "done");
	stream_listener_close(world->listener);
	uv_close((uv_handle_t *)&wake_, NULL);
	uv_run(&world->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world->loop), 0);
	assert_int_equal(uv_loop_close(&mover->loop), 0);
	uv_sem_destroy(&mover->done);
}

static void test_parcel_free(void **state)
{
	struct stream_parcel *parcel = NULL;
	struct world world;

	(void)state;
	world_open(&world);
	BEGIN(&world);
	connect_as(&world, replica2, ALPN_RAFT, NULL);
	assert_int_equal(stream_detach(world.client.stream, &parcel),
			 BERTH_CLOSED); /* not open yet */
	UNTIL(&world, world.client.opened);
	assert_int_equal(stream_detach(world.client.stream, &parcel), 0);
	world.client.stream = NULL;
	stream_parcel_free(parcel);
	UNTIL(&world, world.server.closed);
	assert_int_equal(world.client.closed, 0);
	world_close(&world);
}

static void identity_is(const char *uri, int code)
{
	struct identity identity;
	char text[192];

	assert_int_equal(identity_parse(uri, &identity), code);
	if (code)
		return;
	identity_text(&identity, text, sizeof text);
	assert_string_equal(text, uri);
}

static void test_identities(void **state)
{
	(void)state;
	identity_is("berth://demo/replica/1", 0);
	identity_is("berth://demo/crn/" CRN_A, 0);
	identity_is("berth://my-cluster.1/operator/alice@example.org", 0);
	identity_is("berth://demo/replica/01", BERTH_MALFORMED);
	identity_is("berth://demo/replica/0", BERTH_MALFORMED);
	identity_is("berth://demo/replica/", BERTH_MALFORMED);
	identity_is("berth://demo/replica/1/2", BERTH_MALFORMED);
	identity_is("berth://demo/crn/abc", BERTH_MALFORMED);
	identity_is("berth://demo/king/1", BERTH_MALFORMED);
	identity_is("berth:///replica/1", BERTH_MALFORMED);
	identity_is("berth://de mo/replica/1", BERTH_MALFORMED);
	identity_is("http://demo/replica/1", BERTH_MALFORMED);
	identity_is("", BERTH_MALFORMED);
}

static int setup(void **state)
{
	(void)state;
	certs_folder(root);
	certs_authority(root, "demo", "demo");
	certs_authority(root, "foreign", "demo");
	certs_issue(root, "demo", "r1", "demo", IDENTITY_REPLICA, "1");
	certs_issue(root, "demo", "r2", "demo", IDENTITY_REPLICA, "2");
	certs_issue(root, "demo", "crn", "demo", IDENTITY_CRN, CRN_A);
	certs_issue(root, "foreign", "foreigner", "demo", IDENTITY_REPLICA,
		    "2");
	replica1 = certs_open(root, "r1");
	replica2 = certs_open(root, "r2");
	crn = certs_open(root, "crn");
	foreigner = certs_open(root, "foreigner");
	/* The same authority, but it believes to be of another cluster: the
	 * authority itself refuses to sign for one. */
	stranger = certs_open(root, "r2");
	snprintf(stranger->self.cluster, sizeof stranger->self.cluster,
		 "other");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stream_tls_close(replica1);
	stream_tls_close(replica2);
	stream_tls_close(crn);
	stream_tls_close(foreigner);
	stream_tls_close(stranger);
	certs_remove(root);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identities),
		cmocka_unit_test(test_open_and_talk),
		cmocka_unit_test(test_other_authority),
		cmocka_unit_test(test_other_cluster),
		cmocka_unit_test(test_other_identity),
		cmocka_unit_test(test_other_protocol),
		cmocka_unit_test(test_server_refuses),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_close_at_once),
		cmocka_unit_test(test_refused_after_handshake),
		cmocka_unit_test(test_garbage_and_slow),
		cmocka_unit_test(test_too_many_from_one_source),
		cmocka_unit_test(test_oversized_frame),
		cmocka_unit_test(test_queue_bounded),
		cmocka_unit_test(test_close_flushes),
		cmocka_unit_test(test_close_inside_frame),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_kept_until_packets_are_lost),
		cmocka_unit_test(test_kept_over_standing_still),
		cmocka_unit_test(test_port_in_use),
		cmocka_unit_test(test_move_with_traffic),
		cmocka_unit_test(test_parcel_free),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
