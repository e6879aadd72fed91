/* How long do 10,000 operator programs take on 100 simulated CRNs and three
 * local replicas, from the first submit to the last Assign applied?
 *
 * Three consensus threads in one process, over TLS on the loopback and real
 * files; the agents are pretended (tests/kit/cores.h). Prints the floor of
 * the same disk in the same run: what one fdatasync takes.
 *
 * usage: place_bench [PROGRAMS [CRNS]]
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/log.h"
#include "tests/kit/cores.h"

#define REPLICAS 3u
#define PORT 21400u
#define BATCH 4096u
#define SYNCS 200u

struct bench {
	struct cores cores;
	uint32_t programs, refused;
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "place_bench: %s\n", what);
	exit(1);
}

/* --- work ----------------------------------------------------------------- */

static void on_submitted(struct sim_submit *s)
{
	struct bench *b = s->ctx;

	if (s->code != 0)
		fail("a submit failed");
	b->refused += s->refused;
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

static void submit_programs(struct bench *b, struct core *leader)
{
	struct sim_submit *s;
	struct command put;

	for (uint32_t i = 0; i < b->programs;) {
		s = sim_submit_new();
		for (uint32_t j = 0; j < BATCH && i < b->programs; j++) {
			program_of(&put, i++);
			sim_submit_add(s, &put);
		}
		s->done = on_submitted;
		s->ctx = b;
		sim_submit_send(s, leader);
	}
}

static bool placed(struct cores *c, void *ctx)
{
	struct bench *b = ctx;
	struct cores_replica *leader = cores_leader(c);

	return leader != NULL && leader->assigned >= b->programs;
}

static bool placed_everywhere(struct cores *c, void *ctx)
{
	struct bench *b = ctx;

	for (uint32_t i = 0; i < c->count; i++)
		if (c->replicas[i].assigned < b->programs)
			return false;
	return true;
}

static bool told(struct cores *c, void *ctx)
{
	struct bench *b = ctx;

	return sim_agents_desired(&c->agents) == b->programs;
}

/* --- figures ---------------------------------------------------------------- */

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
		fail("the floor's file");
	for (uint32_t i = 0; i < SYNCS; i++) {
		start = uv_hrtime();
		if (pwrite(fd, block, sizeof block, 0) != sizeof block ||
		    fdatasync(fd) != 0)
			fail("the floor's file");
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

struct look {
	struct core_call call;
	struct driver_status driver;
	bool done;
};

static void look_run(struct core *core, struct core_call *call)
{
	driver_status(core_driver(core), &((struct look *)call)->driver);
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

/* How long a Beat waited behind all that, at worst. */
static uint64_t slowest_beat_ms(struct bench *b)
{
	struct look look = { .call = { .run = look_run, .done = look_done } };

	if (core_post(cores_leader(&b->cores)->core, &look.call) != 0)
		fail("the leader is busy");
	cores_wait(&b->cores, looked, &look, "a look does not come back");
	return look.driver.slowest_beat_ms;
}

static void measure(struct bench *b)
{
	uint64_t floor_us = sync_floor_us(b->cores.root);
	uint64_t before = resident_kib(), start = uv_hrtime();
	double leader, everywhere;

	submit_programs(b, cores_leader(&b->cores)->core);
	cores_wait(&b->cores, placed, b, "not everything was placed");
	leader = seconds_since(start);
	cores_wait(&b->cores, placed_everywhere, b, "not on all replicas");
	everywhere = seconds_since(start);
	cores_wait(&b->cores, told, b, "agents were not told");
	printf("place: %u programs on %u CRNs, %u replicas: %.3f s to the last "
	       "Assign applied by the leader, %.3f s by all, %.3f s to the "
	       "last agent told; %u refused\n", b->programs,
	       b->cores.agents.count, REPLICAS, leader, everywhere,
	       seconds_since(start), b->refused);
	printf("place: floor: write and fdatasync of 4 KiB, median %" PRIu64
	       " us; slowest Beat %" PRIu64 " ms; resident: %" PRIu64
	       " MiB for three replicas and the agents (%" PRIu64
	       " MiB before)\n", floor_us, slowest_beat_ms(b),
	       resident_kib() / 1024, before / 1024);
}

int main(int argc, char **argv)
{
	static struct bench b;
	uint32_t crns = argc > 2 ? (uint32_t)atoi(argv[2]) : 100;

	log_init("place_bench", LOG_LEVEL_WARN);
	b.programs = argc > 1 ? (uint32_t)atoi(argv[1]) : 10000;
	if (b.programs == 0 || crns == 0)
		fail("usage: place_bench [PROGRAMS [CRNS]]");
	cores_open(&b.cores, REPLICAS, PORT, crns, b.programs / crns + 10,
		   500);
	cores_wait_leader(&b.cores);
	cores_admit(&b.cores);
	measure(&b);
	cores_close(&b.cores);
	return 0;
}
