/* Two lanes, each one thread with a queue, so that order is kept by nature;
 * what they finish comes back to the loop through one uv_async. */
#include "node/lib/replica_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/lib/clock.h"
#include "node/lib/log.h"
#include "node/lib/replica_io_internal.h"

struct lane {
	struct node_io *io;
	uv_thread_t thread;
	uv_mutex_t mutex;
	uv_cond_t more;
	struct replica_job *waiting, **waiting_end;
	bool stop;
};

struct finished {
	struct replica_job *job;
	int code;
};

struct node_io {
	struct node_files files;
	const struct node_io_hooks *hooks;
	void *ctx;
	struct lane log, slow;
	uv_async_t async;
	uv_mutex_t mutex; /* of the list below */
	struct finished *list;
	size_t count, capacity;
};

static void finish(struct node_io *io, struct replica_job *job, int code)
{
	uv_mutex_lock(&io->mutex);
	if (io->count == io->capacity) {
		size_t capacity = io->capacity * 2 + 64;
		struct finished *more =
			realloc(io->list, capacity * sizeof *more);

		/* A job that never ends would stop the replica in ten
		 * seconds without saying why. */
		if (!more)
			berth_panic("out of memory", __FILE__, __LINE__);
		io->list = more;
		io->capacity = capacity;
	}
	io->list[io->count].job = job;
	io->list[io->count++].code = code;
	uv_mutex_unlock(&io->mutex);
	uv_async_send(&io->async);
}

static struct replica_job *take(struct lane *lane)
{
	struct replica_job *job;

	uv_mutex_lock(&lane->mutex);
	while (!lane->waiting && !lane->stop)
		uv_cond_wait(&lane->more, &lane->mutex);
	job = lane->waiting;
	if (job) {
		lane->waiting = job->next;
		if (!lane->waiting)
			lane->waiting_end = &lane->waiting;
	}
	uv_mutex_unlock(&lane->mutex);
	return job;
}

static void run_lane(void *arg)
{
	struct lane *lane = arg;
	struct replica_job *job;

	while ((job = take(lane)))
		finish(lane->io, job, job->run(job));
}

static void submit(struct lane *lane, struct replica_job *job)
{
	job->next = NULL;
	uv_mutex_lock(&lane->mutex);
	*lane->waiting_end = job;
	lane->waiting_end = &job->next;
	uv_cond_signal(&lane->more);
	uv_mutex_unlock(&lane->mutex);
}

/* A done callback may close the engine and this with it: then the async is
 * closing, and nothing of the list is left. */
static void on_async(uv_async_t *async)
{
	struct node_io *io = async->data;
	struct finished *list;
	size_t i, count;

	uv_mutex_lock(&io->mutex);
	list = io->list;
	count = io->count;
	io->list = NULL;
	io->count = io->capacity = 0;
	uv_mutex_unlock(&io->mutex);
	for (i = 0; i < count; i++)
		list[i].job->done(list[i].job, list[i].code);
	free(list);
}

/* --- what the engine calls ------------------------------------------------ */

static uint64_t now_ms(void *ctx)
{
	(void)ctx;
	return clock_monotonic_ms();
}

static uint64_t draw(void *ctx)
{
	uint64_t value;

	(void)ctx;
	if (getrandom(&value, sizeof value, 0) != sizeof value)
		berth_panic("getrandom failed", __FILE__, __LINE__);
	return value;
}

static void wake(void *ctx)
{
	struct node_io *io = ctx;

	io->hooks->wake(io->ctx);
}

static void submit_log(void *ctx, struct replica_job *job)
{
	struct node_io *io = ctx;

	submit(&io->log, job);
}

static void submit_slow(void *ctx, struct replica_job *job)
{
	struct node_io *io = ctx;

	submit(&io->slow, job);
}

static bool link_send(void *ctx, uint64_t id, const struct replica_part *parts,
		      uint32_t count)
{
	struct node_io *io = ctx;

	return io->hooks->link_send(io->ctx, id, parts, count);
}

static size_t link_queued(void *ctx, uint64_t id)
{
	struct node_io *io = ctx;

	return io->hooks->link_queued(io->ctx, id);
}

static void link_drop(void *ctx, uint64_t id, const char *why)
{
	struct node_io *io = ctx;

	io->hooks->link_drop(io->ctx, id, why);
}

static void log_text(void *ctx, int level, const char *text)
{
	(void)ctx;
	log_line((enum log_level)level, "raft", "%s", text);
}

/* --- opening and closing --------------------------------------------------- */

static void lane_start(struct node_io *io, struct lane *lane)
{
	lane->io = io;
	lane->waiting_end = &lane->waiting;
	if (uv_mutex_init(&lane->mutex) || uv_cond_init(&lane->more) ||
	    uv_thread_create(&lane->thread, run_lane, lane))
		berth_panic("a thread cannot be made", __FILE__, __LINE__);
}

static void lane_stop(struct lane *lane)
{
	uv_mutex_lock(&lane->mutex);
	lane->stop = true;
	uv_cond_signal(&lane->more);
	uv_mutex_unlock(&lane->mutex);
	uv_thread_join(&lane->thread);
	uv_cond_destroy(&lane->more);
	uv_mutex_destroy(&lane->mutex);
}

static void fill(struct node_io *io, struct replica_io *out)
{
	*out = (struct replica_io){
		.ctx = io,
		.now_ms = now_ms,
		.random = draw,
		.wake = wake,
		.submit_log = submit_log,
		.submit_slow = submit_slow,
		.link_send = link_send,
		.link_queued = link_queued,
		.link_drop = link_drop,
		.log = log_text,
	};
	node_files_calls(&io->files, &out->files);
}

/* A directory that was just made is in its parent when that is synced. */
static int sync_parent(int directory)
{
	int parent = openat(directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rv;

	if (parent < 0)
		return -1;
	rv = fsync(parent);
	close(parent);
	return rv;
}

int node_io_open(struct node_io **out_io, uv_loop_t *loop,
		 const char *directory, const struct node_io_hooks *hooks,
		 void *ctx, struct replica_io *out, struct fault *fault)
{
	struct node_io *io = calloc(1, sizeof *io);
	bool made;

	if (!io)
		return fault_set(fault, BERTH_NOMEM, "%s: out of memory",
				 directory);
	io->files.lock = -1;
	made = mkdir(directory, 0700) == 0;
	if (!made && errno != EEXIST) {
		free(io);
		return fault_set(fault, BERTH_IO, "%s: %s", directory,
				 strerror(errno));
	}
	io->files.directory =
		open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (io->files.directory < 0 ||
	    (made && sync_parent(io->files.directory))) {
		int error = errno;

		if (io->files.directory >= 0)
			close(io->files.directory);
		free(io);
		errno = error;
		return fault_set(fault, BERTH_IO, "%s: %s", directory,
				 strerror(errno));
	}
	io->hooks = hooks;
	io->ctx = ctx;
	if (uv_mutex_init(&io->mutex) ||
	    uv_async_init(loop, &io->async, on_async))
		berth_panic("uv_async_init failed", __FILE__, __LINE__);
	io->async.data = io;
	lane_start(io, &io->log);
	lane_start(io, &io->slow);
	fill(io, out);
	*out_io = io;
	return 0;
}

static void free_io(uv_handle_t *handle)
{
	struct node_io *io = handle->data;

	uv_mutex_destroy(&io->mutex);
	free(io->list);
	free(io);
}

void node_io_close(struct node_io *io)
{
	lane_stop(&io->log);
	lane_stop(&io->slow);
	if (io->files.lock >= 0)
		close(io->files.lock);
	close(io->files.directory);
	uv_close((uv_handle_t *)&io->async, free_io);
}
