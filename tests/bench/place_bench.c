/* How long do 10,000 operator programs take on 100 simulated CRNs and three
 * local replicas, from the first submit to the last Assign applied?
 *
 * Three consensus threads in one process, over TLS on the loopback and real
 * files; the agents are pretended (tests/kit/sim_agents.h). Prints the floor
 * of the same disk in the same run: what one fdatasync takes.
 *
 * usage: place_bench [PROGRAMS [CRNS]]
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/lib/clock.h"
#include "node/lib/log.h"
#include "node/replica/conf.h"
#include "node/replica/peer.h"
#include "node/replica/peer_dial.h"
#include "tests/kit/certs.h"
#include "tests/kit/sim_agents.h"

#define REPLICAS 3u
#define BASE_PORT 21400u
#define BATCH 4096u
#define PATIENCE_MS 60000u
#define SYNCS 200u

struct bench;
struct replica_here {
	struct bench *bench;
	uint64_t id, leader;
	uint32_t assigned;
	struct core *core;
	struct stream_tls *tls;
	struct stream_listener *listener;
	struct peer_dialer *dialer;
	char directory[CERTS_PATH_SIZE + 16];
};

struct bench {
	uv_loop_t loop;
	char root[CERTS_PATH_SIZE];
	struct replica_here replicas[REPLICAS];
	struct core_peer peers[REPLICAS];
	struct sim_agents agents;
	uint64_t leader;
	uint32_t programs, crns, acked, refused, closed;
};

static _Noreturn void fail(const char *what, const struct fault *fault)
{
	fprintf(stderr, "place_bench: %s%s%s\n", what, fault ? ": " : "",
		fault ? fault->text : "");
	exit(1);
}

/* --- one replica ---------------------------------------------------------- */

static void on_send(void *ctx, const struct agent_route *route, uint8_t type,
		    const void *payload, size_t size)
{
	struct replica_here *r = ctx;

	sim_agents_hear(&r->bench->agents, route, type, payload, size);
}

static void on_effects(void *ctx, const struct fsm_effect *effects,
		       uint32_t count)
{
	struct replica_here *r = ctx;

	for (uint32_t i = 0; i < count; i++)
		r->assigned += effects[i].type == EFFECT_ASSIGNED;
}

static void on_leader(void *ctx, uint64_t leader, uint64_t term)
{
	struct replica_here *r = ctx;

	(void)term;
	r->leader = leader;
	if (leader != r->id)
		return;
	r->bench->leader = leader;
	sim_agents_lead(&r->bench->agents, r->core, leader);
}

static void on_fatal(void *ctx, const struct fault *fault)
{
	(void)ctx;
	fail("a replica stopped", fault);
}

static void on_accept(void *ctx, struct stream *stream)
{
	struct replica_here *r = ctx;
	struct stream_parcel *parcel;
	uint64_t id = strtoull(stream_peer(stream)->name, NULL, 10);

	if (stream_detach(stream, &parcel) == 0)
		core_peer_stream(r->core, id, parcel);
	else
		stream_close(stream, "cannot be handed over");
}

static void open_listener(struct bench *b, struct replica_here *r)
{
	static const char *const alpns[] = { ALPN_RAFT, NULL };
	struct stream_options options = {
		.frame_size_max = REPLICA_FRAME_SIZE_MAX,
		.queue_size_max = PEER_QUEUE_SIZE_MAX };
	char name[32], id[8];
	struct fault fault;

	snprintf(name, sizeof name, "r%" PRIu64, r->id);
	snprintf(id, sizeof id, "%" PRIu64, r->id);
	certs_issue(b->root, "bench", name, "bench", IDENTITY_REPLICA, id);
	r->tls = certs_open(b->root, name);
	if (stream_listen(&r->listener, &b->loop, r->tls, "127.0.0.1",
			  (uint16_t)(BASE_PORT + r->id), alpns, &options,
			  on_accept, r, &fault) != 0)
		fail("listen", &fault);
}

static void open_core(struct bench *b, struct replica_here *r)
{
	struct core_events events = {
		.ctx = r, .agent_send = on_send, .effects = on_effects,
		.leader = on_leader, .fatal = on_fatal };
	struct core_config config = {
		.replica = { .id = r->id, .cluster = "bench",
			     .election_ms = 500, .heartbeat_ms = 100 },
		.member_count = REPLICAS, .bootstrap = true };
	struct fault fault;

	snprintf(r->directory, sizeof r->directory, "%s/data%" PRIu64,
		 b->root, r->id);
	config.directory = r->directory;
	if (!conf_profile("fast", &config.initial))
		fail("profile", NULL);
	config.initial.watchdog_none_ok = true;
	for (uint32_t i = 0; i < REPLICAS; i++) {
		config.members[i].id = i + 1;
		config.members[i].role = ROLE_VOTER;
	}
	if (core_open(&r->core, &config, &b->loop, &events, &fault) != 0)
		fail("open", &fault);
}

static void open_replicas(struct bench *b)
{
	for (uint32_t i = 0; i < REPLICAS; i++) {
		b->peers[i].id = i + 1;
		snprintf(b->peers[i].host, sizeof b->peers[i].host,
			 "127.0.0.1");
		b->peers[i].raft_port = (uint16_t)(BASE_PORT + i + 1);
		b->replicas[i].bench = b;
		b->replicas[i].id = i + 1;
		open_listener(b, &b->replicas[i]);
	}
	for (uint32_t i = 0; i < REPLICAS; i++)
		open_core(b, &b->replicas[i]);
	for (uint32_t i = 0; i < REPLICAS; i++)
		if (peer_dialer_open(&b->replicas[i].dialer, &b->loop,
				     b->replicas[i].tls, b->replicas[i].core,
				     i + 1, b->peers, REPLICAS) != 0)
			fail("dialer", NULL);
}

/* --- waiting ---------------------------------------------------------------- */

static void on_wake(uv_timer_t *timer)
{
	(void)timer;
}

static void wait_for(struct bench *b, bool (*until)(const struct bench *b),
		     const char *what)
{
	uint64_t end_ms = clock_monotonic_ms() + PATIENCE_MS;
	uv_timer_t wake;

	uv_timer_init(&b->loop, &wake);
	uv_timer_start(&wake, on_wake, 100, 100);
	while (!until(b)) {
		if (clock_monotonic_ms() > end_ms)
			fail(what, NULL);
		uv_run(&b->loop, UV_RUN_ONCE);
	}
	uv_close((uv_handle_t *)&wake, NULL);
	uv_run(&b->loop, UV_RUN_NOWAIT);
}

static bool led(const struct bench *b)
{
	for (uint32_t i = 0; i < REPLICAS; i++)
		if (b->leader == 0 || b->replicas[i].leader != b->leader)
			return false;
	return true;
}

static bool admitted(const struct bench *b)
{
	return b->acked == b->crns;
}

static bool established(const struct bench *b)
{
	return sim_agents_established(&b->agents) == b->crns;
}

static bool placed(const struct bench *b)
{
	return b->replicas[b->leader - 1].assigned >= b->programs;
}

static bool placed_everywhere(const struct bench *b)
{
	for (uint32_t i = 0; i < REPLICAS; i++)
		if (b->replicas[i].assigned < b->programs)
			return false;
	return true;
}

static bool told(const struct bench *b)
{
	return sim_agents_desired(&b->agents) == b->programs;
}

static bool all_closed(const struct bench *b)
{
	return b->closed == REPLICAS;
}

/* --- work --------------------------------------------------------------------- */

static void on_submitted(struct sim_submit *s)
{
	struct bench *b = s->ctx;

	if (s->code != 0)
		fail("a submit failed", NULL);
	b->acked += s->ok;
	b->refused += s->refused;
}

static void send_off(struct bench *b, struct sim_submit *s)
{
	s->done = on_submitted;
	s->ctx = b;
	sim_submit_send(s, b->replicas[b->leader - 1].core);
}

static void admit_crns(struct bench *b)
{
	struct sim_submit *s = sim_submit_new();
	struct command put = { .type = FSM_CRN_PUT };

	for (uint32_t i = 0; i < b->crns; i++) {
		put.crn_put.crn = b->agents.agents[i].crn;
		put.crn_put.name = (struct text){ "crn", 3 };
		put.crn_put.linked = true;
		sim_submit_add(s, &put);
	}
	send_off(b, s);
	wait_for(b, admitted, "CRNs were not admitted");
	wait_for(b, established, "agents were not established");
	b->acked = 0;
}

static void program_of(struct command *put, uint32_t number)
{
	memset(put, 0, sizeof *put);
	put->type = FSM_PROGRAM_PUT;
	memset(&put->program_put.program, 7, sizeof(struct hash));
	memcpy(&put->program_put.program, &number, sizeof number);
	put->program_put.source = SOURCE_OPERATOR;
	put->program_put.persistent = true;
	put->program_put.owner = (struct text){ "bench", 5 };
	put->program_put.name = (struct text){ "program", 7 };
	put->program_put.vcpus = 1;
	put->program_put.memory_mib = 128;
	put->program_put.disk_mib = 16;
}

static void submit_programs(struct bench *b)
{
	struct sim_submit *s;
	struct command put;

	for (uint32_t i = 0; i < b->programs;) {
		s = sim_submit_new();
		for (uint32_t j = 0; j < BATCH && i < b->programs; j++) {
			program_of(&put, i++);
			sim_submit_add(s, &put);
		}
		send_off(b, s);
	}
}

/* --- figures ------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Median of one write of 4 KiB and its fdatasync, in microseconds. */
static uint64_t sync_floor_us(const char *root)
{
	static uint8_t block[4096];
	uint64_t took[SYNCS], start;
	char name[CERTS_PATH_SIZE + 16];
	int fd;

	snprintf(name, sizeof name, "%s/floor", root);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || posix_fallocate(fd, 0, sizeof block) != 0)
		fail("the floor's file", NULL);
	for (uint32_t i = 0; i < SYNCS; i++) {
		start = uv_hrtime();
		if (pwrite(fd, block, sizeof block, 0) != sizeof block ||
		    fdatasync(fd) != 0)
			fail("the floor's file", NULL);
		took[i] = (uv_hrtime() - start) / 1000;
	}
	close(fd);
	qsort(took, SYNCS, sizeof took[0], compare);
	return took[SYNCS / 2];
}

static uint64_t resident_kib(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file == NULL || fscanf(file, "%*u %llu", &pages) != 1)
		pages = 0;
	if (file != NULL)
		fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static double seconds_since(uint64_t start)
{
	return (double)(uv_hrtime() - start) / 1e9;
}

static void measure(struct bench *b)
{
	uint64_t floor_us = sync_floor_us(b->root), before = resident_kib();
	uint64_t start = uv_hrtime();
	double first, everywhere;

	submit_programs(b);
	wait_for(b, placed, "not everything was placed");
	first = seconds_since(start);
	wait_for(b, placed_everywhere, "not placed on all replicas");
	everywhere = seconds_since(start);
	wait_for(b, told, "agents were not told");
	printf("place: %u programs on %u CRNs, %u replicas: %.3f s to the last "
	       "Assign applied by the leader, %.3f s by all, %.3f s to the "
	       "last agent told; %u refused\n", b->programs, b->crns, REPLICAS,
	       first, everywhere, seconds_since(start), b->refused);
	printf("place: floor: write and fdatasync of 4 KiB, median %" PRIu64
	       " us; resident: %" PRIu64 " MiB for three replicas and the "
	       "agents (%" PRIu64 " MiB before)\n", floor_us,
	       resident_kib() / 1024, before / 1024);
}

/* --- the end ---------------------------------------------------------------------- */

static void on_core_closed(void *ctx)
{
	struct replica_here *r = ctx;

	stream_tls_close(r->tls);
	r->bench->closed++;
}

static void on_dialer_closed(void *ctx)
{
	struct replica_here *r = ctx;

	stream_listener_close(r->listener);
	core_close(r->core, on_core_closed, r);
}

static void close_all(struct bench *b)
{
	sim_agents_lead(&b->agents, NULL, 0);
	for (uint32_t i = 0; i < REPLICAS; i++)
		peer_dialer_close(b->replicas[i].dialer, on_dialer_closed,
				  &b->replicas[i]);
	wait_for(b, all_closed, "not everything closed");
	sim_agents_close(&b->agents);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	uv_loop_close(&b->loop);
	certs_remove(b->root);
}

int main(int argc, char **argv)
{
	static struct bench b;

	log_init("place_bench", LOG_LEVEL_WARN);
	b.programs = argc > 1 ? (uint32_t)atoi(argv[1]) : 10000;
	b.crns = argc > 2 ? (uint32_t)atoi(argv[2]) : 100;
	uv_loop_init(&b.loop);
	certs_folder(b.root);
	certs_authority(b.root, "bench", "bench");
	sim_agents_open(&b.agents, &b.loop, b.crns,
			b.programs / b.crns + 10, 500);
	open_replicas(&b);
	wait_for(&b, led, "no leader");
	admit_crns(&b);
	measure(&b);
	close_all(&b);
	return 0;
}
