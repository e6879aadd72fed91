/* Commits per second of three replicas: three threads of this process, real
 * files, frames handed over in memory. `window x commands x bytes`: so many
 * entries in flight, each of so many commands. The floor, fdatasync of one
 * block, is measured in the same run on the same disk.
 *
 * usage: replica_bench [SECONDS per line]
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/clock.h"
#include "node/lib/replica_io.h"
#include "raft/replica.h"

#define REPLICAS 3u
#define SAMPLES_MAX 2000000u

struct frame {
	struct frame *next;
	uint64_t from;
	size_t size;
	uint8_t data[];
};

struct bench;
struct member {
	struct bench *bench;
	uint64_t id;
	char directory[64];
	uv_thread_t thread;
	uv_loop_t loop;
	uv_prepare_t prepare;
	uv_timer_t timer;
	uv_async_t arrived;
	uv_mutex_t mutex;
	struct frame *frames, **frames_end;
	struct node_io *node_io;
	struct replica_io io;
	struct replica_machine machine;
	struct replica *replica;
	bool leading, closing;
};

struct bench {
	struct member members[REPLICAS];
	uv_barrier_t ready;
	/* the load; read by the leader's thread */
	_Atomic uint32_t window, commands, bytes;
	_Atomic uint64_t entries;
	_Atomic bool stop;
	/* the leader's thread only */
	uint32_t flying;
	uint64_t sent_ns[4096], first_index;
	uint32_t *samples_us;
	_Atomic uint32_t sample_count;
};

static uint8_t payload[4u << 20];

static void wake(void *ctx)
{
	(void)ctx;
}

static bool link_send(void *ctx, uint64_t id, const struct replica_part *parts,
		      uint32_t count)
{
	struct member *from = ctx, *to = &from->bench->members[id - 1];
	struct frame *frame;
	size_t size = 0;
	uint32_t i;

	for (i = 0; i < count; i++)
		size += parts[i].size;
	frame = malloc(sizeof *frame + size);
	if (!frame)
		return false;
	frame->next = NULL;
	frame->from = from->id;
	frame->size = 0;
	for (i = 0; i < count; i++) {
		if (parts[i].size)
			memcpy(frame->data + frame->size, parts[i].data,
			       parts[i].size);
		frame->size += parts[i].size;
	}
	uv_mutex_lock(&to->mutex);
	*to->frames_end = frame;
	to->frames_end = &frame->next;
	uv_mutex_unlock(&to->mutex);
	uv_async_send(&to->arrived);
	return true;
}

static size_t link_queued(void *ctx, uint64_t id)
{
	(void)ctx;
	(void)id;
	return 0;
}

static void link_drop(void *ctx, uint64_t id, const char *why)
{
	(void)ctx;
	fprintf(stderr, "link %d dropped: %s\n", (int)id, why);
}

static const struct node_io_hooks hooks = { wake, link_send, link_queued,
					    link_drop };

static void on_arrived(uv_async_t *async)
{
	struct member *member = async->data;
	struct frame *frame;

	uv_mutex_lock(&member->mutex);
	frame = member->frames;
	member->frames = NULL;
	member->frames_end = &member->frames;
	uv_mutex_unlock(&member->mutex);
	while (frame) {
		struct frame *next = frame->next;

		if (member->replica && !member->closing)
			replica_link_frame(member->replica, frame->from,
					   frame->data, frame->size);
		free(frame);
		frame = next;
	}
}

/* --- the load --------------------------------------------------------------- */

static void push(struct member *member)
{
	struct bench *bench = member->bench;
	size_t size = (size_t)bench->commands * bench->bytes;

	while (bench->flying < bench->window) {
		uint64_t index;

		if (replica_submit(member->replica, payload, size, false,
				   &index))
			return;
		bench->sent_ns[index % 4096] = clock_boottime_ns();
		bench->flying++;
	}
}

static void apply(void *ctx, uint64_t index, uint64_t term, const void *data,
		  size_t size)
{
	struct member *member = ctx;
	struct bench *bench = member->bench;
	uint32_t count;
	uint64_t sent;

	(void)term;
	(void)data;
	(void)size;
	if (!member->leading)
		return;
	sent = bench->sent_ns[index % 4096];
	bench->sent_ns[index % 4096] = 0;
	if (!sent)
		return;
	bench->flying--;
	atomic_fetch_add(&bench->entries, 1);
	/* Counted when it is there; not at all if a new count began. */
	count = bench->sample_count;
	if (count < SAMPLES_MAX) {
		bench->samples_us[count] =
			(uint32_t)((clock_boottime_ns() - sent) / 1000);
		atomic_compare_exchange_strong(&bench->sample_count, &count,
					       count + 1);
	}
}

static void *snapshot_begin(void *ctx)
{
	(void)ctx;
	return NULL;
}

static void leadership(void *ctx, bool leader, uint64_t term)
{
	struct member *member = ctx;

	(void)term;
	member->leading = leader;
	member->bench->flying = 0;
	memset(member->bench->sent_ns, 0, sizeof member->bench->sent_ns);
}

static void fatal(void *ctx, const struct fault *fault)
{
	(void)ctx;
	fprintf(stderr, "fatal: %s\n", fault->text);
	exit(1);
}

/* --- threads ----------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
	(void)timer;
}

static void on_walk(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void on_closed(void *ctx)
{
	struct member *member = ctx;

	node_io_close(member->node_io);
	uv_close((uv_handle_t *)&member->prepare, NULL);
	uv_close((uv_handle_t *)&member->timer, NULL);
	uv_close((uv_handle_t *)&member->arrived, NULL);
}

static void on_prepare(uv_prepare_t *prepare)
{
	struct member *member = prepare->data;
	uint64_t now = clock_monotonic_ms(), next;

	if (member->bench->stop && !member->closing) {
		member->closing = true;
		replica_close(member->replica, on_closed, member);
		return;
	}
	if (member->closing)
		return;
	if (replica_next_ms(member->replica) <= now)
		replica_tick(member->replica);
	if (member->leading)
		push(member);
	next = replica_next_ms(member->replica);
	now = clock_monotonic_ms();
	uv_update_time(&member->loop);
	uv_timer_start(&member->timer, on_timer, next > now ? next - now : 0,
		       0);
}

static void open_member(struct member *member)
{
	struct replica_config config = {
		.id = member->id, .cluster = "bench", .election_ms = 1000,
		.heartbeat_ms = 100, .snapshot_entries = UINT32_MAX,
		.snapshot_bytes = UINT64_MAX, .trailing = 1024,
	};
	struct replica_member list[REPLICAS];
	struct fault fault = { 0 };
	uint32_t i;

	memset(list, 0, sizeof list);
	for (i = 0; i < REPLICAS; i++) {
		list[i].id = i + 1;
		list[i].role = ROLE_VOTER;
	}
	member->machine = (struct replica_machine){
		.ctx = member, .apply = apply,
		.snapshot_begin = snapshot_begin, .leadership = leadership,
		.fatal = fatal,
	};
	if (node_io_open(&member->node_io, &member->loop, member->directory,
			 &hooks, member, &member->io, &fault) ||
	    replica_bootstrap(&member->io, &config, list, REPLICAS, "first",
			      5, &fault) ||
	    replica_open(&member->replica, &config, &member->io,
			 &member->machine, &fault)) {
		fprintf(stderr, "open: %s\n", fault.text);
		exit(1);
	}
}

static void run(void *arg)
{
	struct member *member = arg;
	uint32_t i;

	uv_loop_init(&member->loop);
	uv_prepare_init(&member->loop, &member->prepare);
	uv_timer_init(&member->loop, &member->timer);
	uv_async_init(&member->loop, &member->arrived, on_arrived);
	member->prepare.data = member->arrived.data = member;
	open_member(member);
	uv_barrier_wait(&member->bench->ready);
	for (i = 1; i <= REPLICAS; i++)
		if (i != member->id)
			replica_link_up(member->replica, i);
	uv_prepare_start(&member->prepare, on_prepare);
	uv_run(&member->loop, UV_RUN_DEFAULT);
	uv_walk(&member->loop, on_walk, NULL);
	uv_run(&member->loop, UV_RUN_DEFAULT);
	uv_loop_close(&member->loop);
}

/* --- figures ------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void measure(struct bench *bench, uint32_t window, uint32_t commands,
		    uint32_t bytes, double seconds)
{
	uint64_t entries, start;
	uint32_t n;
	double took;

	bench->commands = commands;
	bench->bytes = bytes;
	bench->window = window;
	uv_async_send(&bench->members[0].arrived);
	uv_async_send(&bench->members[1].arrived);
	uv_async_send(&bench->members[2].arrived);
	usleep(300000);
	bench->sample_count = 0;
	entries = bench->entries;
	start = clock_boottime_ns();
	usleep((useconds_t)(seconds * 1e6));
	took = (double)(clock_boottime_ns() - start) / 1e9;
	entries = bench->entries - entries;
	bench->window = 0;
	usleep(200000);
	n = bench->sample_count;
	if (!n)
		return;
	qsort(bench->samples_us, n, sizeof *bench->samples_us, by_value);
	printf("%3u x %4u x %3u  %9.0f commands/s  %7.0f entries/s  "
	       "p50 %.2f ms  p99 %.2f ms\n",
	       window, commands, bytes, (double)(entries * commands) / took,
	       (double)entries / took,
	       (double)bench->samples_us[n / 2] / 1000,
	       (double)bench->samples_us[(uint64_t)n * 99 / 100] / 1000);
}

static void floor_of(const char *directory, size_t size)
{
	char path[100];
	uint32_t i, took[1000];
	int fd;

	snprintf(path, sizeof path, "%s/floor", directory);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || posix_fallocate(fd, 0, 1 << 20))
		return;
	for (i = 0; i < 1000; i++) {
		uint64_t start = clock_boottime_ns();

		if (pwrite(fd, payload, size, (off_t)(i % 8) * (1 << 17)) < 0 ||
		    fdatasync(fd))
			return;
		took[i] = (uint32_t)((clock_boottime_ns() - start) / 1000);
	}
	close(fd);
	unlink(path);
	qsort(took, 1000, sizeof *took, by_value);
	printf("fdatasync of %zu KiB  p50 %u us  p99 %u us\n", size / 1024,
	       took[500], took[990]);
}

int main(int argc, char **argv)
{
	static struct bench bench;
	double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
	char root[] = "bench-XXXXXX", command[100];
	uint32_t i;

	bench.samples_us = calloc(SAMPLES_MAX, sizeof *bench.samples_us);
	if (!bench.samples_us || !mkdtemp(root))
		return 1;
	floor_of(root, 4096);
	floor_of(root, 65536);
	uv_barrier_init(&bench.ready, REPLICAS);
	for (i = 0; i < REPLICAS; i++) {
		struct member *member = &bench.members[i];

		member->bench = &bench;
		member->id = i + 1;
		member->frames_end = &member->frames;
		uv_mutex_init(&member->mutex);
		snprintf(member->directory, sizeof member->directory,
			 "%s/%u", root, i + 1);
		uv_thread_create(&member->thread, run, member);
	}
	usleep(3000000);
	measure(&bench, 1, 1, 64, seconds);
	measure(&bench, 64, 1, 64, seconds);
	measure(&bench, 1, 128, 64, seconds);
	measure(&bench, 8, 128, 64, seconds);
	measure(&bench, 8, 1024, 64, seconds);
	bench.stop = true;
	for (i = 0; i < REPLICAS; i++)
		uv_async_send(&bench.members[i].arrived);
	for (i = 0; i < REPLICAS; i++)
		uv_thread_join(&bench.members[i].thread);
	free(bench.samples_us);
	snprintf(command, sizeof command, "rm -r %s", root);
	return system(command) != 0;
}
