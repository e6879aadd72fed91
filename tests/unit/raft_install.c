/* Snapshots: a leader's at a follower that fell behind, at its worst moments;
 * and one's own, one after another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "raft/internal.h"
#include "tests/kit/lab.h"

#define SNAPSHOT_ENTRIES 20u

static struct replica_status status_of(const struct lab_replica *r)
{
	struct replica_status status;

	replica_status(r->replica, &status);
	return status;
}

/* The first slow job after `hold_slow`, and what an install waits for with
 * `hold_install`, are kept back. */
static struct replica_job *held_slow, *held_install;
static bool hold_slow, hold_install;
static void (*lab_submit)(void *ctx, struct replica_job *job);

static void submit_slow(void *ctx, struct replica_job *job)
{
	if (!hold_slow) {
		lab_submit(ctx, job);
		return;
	}
	hold_slow = false;
	held_slow = job;
}

static void submit_log(void *ctx, struct replica_job *job)
{
	struct lab_replica *r = ctx;

	if (!hold_install || !r->replica || !r->replica->installing) {
		lab_submit(ctx, job);
		return;
	}
	hold_install = false;
	held_install = job;
}

static void run_held(struct replica_job *job)
{
	assert_non_null(job);
	job->done(job, job->run(job));
}

static uint64_t cut_off;

static bool watching;
static void durable_before(const void *ctx);

static bool not_cut_off(struct lab *lab, const struct lab_frame *frame)
{
	if (watching)
		durable_before(&lab->replicas[frame->from - 1].files);
	return frame->from != cut_off && frame->to != cut_off;
}

static void submit(struct lab *lab, struct lab_replica *leader, uint32_t count)
{
	uint64_t index;

	while (count--) {
		assert_int_equal(replica_submit(leader->replica, "x", 1, false,
						&index), 0);
		lab_run(lab, 2);
	}
}

static void watch(struct lab_replica *r);

/* A follower behind all that the leader's log still has. */
static struct lab_replica *open_behind(struct lab *lab, bool snapshot_held)
{
	struct lab_replica *leader, *behind;
	uint32_t i;

	lab_open(lab, 3);
	for (i = 0; i < 3; i++) {
		lab->replicas[i].config.snapshot_entries = SNAPSHOT_ENTRIES;
		lab->replicas[i].config.trailing = 5;
		lab_submit = lab->replicas[i].io.submit_log;
		lab->replicas[i].io.submit_log = submit_log;
		lab->replicas[i].io.submit_slow = submit_slow;
		if (watching) {
			lab->replicas[i].config.segment_size = 1024;
			watch(&lab->replicas[i]);
		}
		assert_int_equal(lab_bootstrap(&lab->replicas[i], 3, NULL), 0);
		assert_int_equal(lab_start(&lab->replicas[i], NULL), 0);
	}
	cut_off = 0;
	lab->pass = not_cut_off;
	lab_link(lab);
	for (i = 0; i < 100 && !lab_leader(lab); i++)
		lab_run(lab, 100);
	leader = lab_leader(lab);
	assert_non_null(leader);
	behind = &lab->replicas[leader->id % 3];
	held_slow = held_install = NULL;
	hold_slow = snapshot_held;
	if (snapshot_held)
		behind->replica->config.snapshot_entries = 10;
	submit(lab, leader, 12);
	assert_int_equal(held_slow != NULL, snapshot_held);
	assert_int_equal(status_of(behind).snapshotting, snapshot_held);
	cut_off = behind->id;
	submit(lab, leader, 3 * SNAPSHOT_ENTRIES);
	assert_true(status_of(leader).snapshot_index > behind->applied);
	cut_off = 0;
	return behind;
}

/* The follower falls behind, is given the snapshot and goes on; also after it
 * has been started anew, from what it was given. */
static void who_is_far_behind_gets_a_snapshot(void **state)
{
	struct lab_replica *behind, *leader;
	struct lab lab;

	(void)state;
	behind = open_behind(&lab, false);
	leader = lab_leader(&lab);
	lab_run(&lab, 500);
	assert_int_equal(status_of(behind).installs, 1);
	assert_int_equal(behind->applied, leader->applied);
	assert_true(status_of(behind).snapshot_index > 12);
	lab_stop(behind);
	assert_int_equal(lab_start(behind, NULL), 0);
	lab_link(&lab);
	submit(&lab, lab_leader(&lab), 1);
	lab_run(&lab, 500);
	assert_int_equal(behind->applied, lab_leader(&lab)->applied);
	assert_int_equal(status_of(behind).installs, 0);
	lab_close(&lab);
}

/* Its own snapshot is finished while the leader's is being installed: it is of
 * a log that is gone, and the core is not told. */
static void snapshot_of_before_an_install_does_not_count(void **state)
{
	struct lab_replica *behind;
	struct lab lab;
	uint64_t index;

	(void)state;
	behind = open_behind(&lab, true);
	hold_install = true;
	lab_run(&lab, 100);
	assert_non_null(held_install);
	index = behind->replica->raft.trail.snapshot.index;
	assert_true(index > 12);
	run_held(held_slow);
	assert_int_equal(behind->fatal.code, 0);
	assert_int_equal(status_of(behind).snapshots, 0);
	assert_int_equal(behind->replica->raft.trail.snapshot.index, index);
	assert_true(behind->replica->raft.trail.snapshot.term > 0);
	run_held(held_install);
	lab_run(&lab, 500);
	assert_int_equal(behind->fatal.code, 0);
	assert_int_equal(status_of(behind).installs, 1);
	assert_int_equal(behind->applied, lab_leader(&lab)->applied);
	lab_close(&lab);
}

struct files_seen {
	uint32_t snapshots, segments;
};

static void see_file(void *ctx, const char *name)
{
	struct files_seen *seen = ctx;

	seen->snapshots += strncmp(name, "snapshot-", 9) == 0;
	seen->segments += strncmp(name, "log-", 4) == 0;
}

static struct lab_replica *open_alone(struct lab *lab)
{
	struct lab_replica *alone;

	lab_open(lab, 1);
	alone = &lab->replicas[0];
	alone->config.snapshot_entries = SNAPSHOT_ENTRIES;
	alone->config.trailing = 5;
	alone->config.segment_size = 1024;
	assert_int_equal(lab_bootstrap(alone, 1, NULL), 0);
	assert_int_equal(lab_start(alone, NULL), 0);
	lab_run(lab, 500);
	assert_true(alone->leading_term > 0);
	return alone;
}

/* One snapshot after another is taken, each makes the log shorter, at once,
 * and only the last is kept. */
static void disk_does_not_fill_up(void **state)
{
	struct files_seen seen = { 0 };
	struct lab_replica *alone;
	struct lab lab;

	(void)state;
	alone = open_alone(&lab);
	submit(&lab, alone, 10 * SNAPSHOT_ENTRIES);
	assert_in_range(status_of(alone).snapshots, 9, 10);
	assert_int_equal(alone->io.files.list(alone->io.files.ctx, see_file,
					      &seen), 0);
	assert_int_equal(seen.snapshots, 1);
	assert_in_range(seen.segments, 1, 3);
	assert_in_range(status_of(alone).log_bytes, 1,
			(SNAPSHOT_ENTRIES + 6) * (WAL_RECORD_HEAD + 1));
	lab_close(&lab);
}

static int fail_rename(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	(void)from;
	(void)to;
	return BERTH_IO;
}

/* A disk that fails is not waited for until it is full. */
static void failed_snapshot_stops_the_replica(void **state)
{
	struct lab_replica *alone;
	struct lab lab;
	uint64_t index;

	(void)state;
	alone = open_alone(&lab);
	alone->io.files.rename = fail_rename;
	for (uint32_t i = 0; i < 2 * SNAPSHOT_ENTRIES && alone->leading_term;
	     i++) {
		if (replica_submit(alone->replica, "x", 1, false, &index) != 0)
			break;
		lab_run(&lab, 2);
	}
	assert_int_equal(alone->fatal.code, BERTH_IO);
	assert_non_null(strstr(alone->fatal.text, "snapshot"));
	lab_close(&lab);
}

/* --- what a power cut leaves ------------------------------------------------- */

/* All replicas' files, by handle: was it written to since its last sync? And
 * is there a name that the directory may lose? */
static struct replica_files real;
static struct watched {
	void *file;
	void *ctx;
	char name[SNAPSHOT_NAME_SIZE];
	bool dirty;
} watched[256];
static void *dirty_directory[LAB_MAX];
static uint32_t renames, segments;

static void *ctx_slot(void *ctx, bool dirty)
{
	for (uint32_t i = 0; i < LAB_MAX; i++)
		if (dirty_directory[i] == (dirty ? NULL : ctx)) {
			dirty_directory[i] = dirty ? ctx : NULL;
			return ctx;
		}
	return NULL;
}

static bool directory_is_dirty(const void *ctx)
{
	for (uint32_t i = 0; i < LAB_MAX; i++)
		if (dirty_directory[i] == ctx)
			return true;
	return false;
}

static struct watched *of_file(const void *file)
{
	for (uint32_t i = 0; i < COUNT_OF(watched); i++)
		if (watched[i].file == file)
			return &watched[i];
	return NULL;
}

static int watch_open(void *ctx, const char *name, bool create, void **file)
{
	bool log = strncmp(name, "log-", 4) == 0;
	int code = log && create ? real.open(ctx, name, false, file) :
				   BERTH_NOTFOUND;
	struct watched *w;

	if (log && create && code == BERTH_NOTFOUND) {
		/* A rename before it, of a snapshot, is durable. */
		assert_false(directory_is_dirty(ctx));
		ctx_slot(ctx, true);
		segments++;
	}
	if (code == BERTH_NOTFOUND)
		code = real.open(ctx, name, create, file);
	if (code)
		return code;
	w = of_file(NULL);
	assert_non_null(w);
	*w = (struct watched){ .file = *file, .ctx = ctx };
	snprintf(w->name, sizeof w->name, "%s", name);
	return 0;
}

static void watch_close(void *ctx, void *file)
{
	struct watched *w = of_file(file);

	/* Closing syncs nothing: what is dirty stays known by its name. */
	if (w && !w->dirty)
		memset(w, 0, sizeof *w);
	else if (w)
		w->file = w;
	real.close(ctx, file);
}

static int watch_write(void *ctx, void *file, uint64_t offset,
		       const void *data, size_t size)
{
	struct watched *w = of_file(file);

	/* Records only into a segment that is there, with its head. */
	if (strncmp(w->name, "log-", 4) == 0 && offset == WAL_SEGMENT_HEAD &&
	    (w->dirty || directory_is_dirty(ctx)))
		fail_msg("%s: a record before the head is durable", w->name);
	w->dirty = true;
	return real.write(ctx, file, offset, data, size);
}

static int watch_sync(void *ctx, void *file)
{
	of_file(file)->dirty = false;
	return real.sync(ctx, file);
}

static int watch_sync_directory(void *ctx)
{
	while (ctx_slot(ctx, false))
		;
	return real.sync_directory(ctx);
}

static int watch_rename(void *ctx, const char *from, const char *to)
{
	for (uint32_t i = 0; i < COUNT_OF(watched); i++)
		if (watched[i].file && watched[i].ctx == ctx &&
		    watched[i].dirty && strcmp(watched[i].name, from) == 0)
			fail_msg("%s becomes %s and is not durable", from, to);
	ctx_slot(ctx, true);
	renames++;
	return real.rename(ctx, from, to);
}

static int watch_remove(void *ctx, const char *name)
{
	if (strncmp(name, "log-", 4) == 0) {
		/* One after another: a hole can only be a loss. */
		if (directory_is_dirty(ctx))
			fail_msg("%s goes before the last one has", name);
		ctx_slot(ctx, true);
	}
	return real.remove(ctx, name);
}

static void watch(struct lab_replica *r)
{
	real = r->io.files;
	r->io.files.open = watch_open;
	r->io.files.close = watch_close;
	r->io.files.write = watch_write;
	r->io.files.sync = watch_sync;
	r->io.files.sync_directory = watch_sync_directory;
	r->io.files.rename = watch_rename;
	r->io.files.remove = watch_remove;
}

/* The lab's jobs write and sync in one go, so whatever is said is said with all
 * that was written durable. */
static void durable_before(const void *ctx)
{
	for (uint32_t i = 0; i < COUNT_OF(watched); i++)
		if (watched[i].file && watched[i].ctx == ctx &&
		    watched[i].dirty &&
		    (strncmp(watched[i].name, "log-", 4) == 0 ||
		     strcmp(watched[i].name, "vote") == 0))
			fail_msg("a frame is sent and %s is not durable",
				 watched[i].name);
}

/* Names count when what they name is durable, the directory before what builds
 * on it, entries and votes before anything is said: over elections, segments,
 * snapshots, an install, a start. */
static void names_and_words_are_of_what_is_durable(void **state)
{
	struct lab_replica *behind;
	struct lab lab;
	uint64_t index;

	(void)state;
	memset(watched, 0, sizeof watched);
	memset(dirty_directory, 0, sizeof dirty_directory);
	renames = segments = 0;
	watching = true;
	behind = open_behind(&lab, false);
	lab_run(&lab, 500);
	assert_int_equal(status_of(behind).installs, 1);
	lab_stop(behind);
	assert_int_equal(lab_start(behind, NULL), 0);
	lab_link(&lab);
	submit(&lab, lab_leader(&lab), 2 * SNAPSHOT_ENTRIES);
	/* One write over several segments. */
	lab_leader(&lab)->hang = true;
	for (uint32_t i = 0; i < 60; i++)
		assert_int_equal(replica_submit(lab_leader(&lab)->replica, "x",
						1, false, &index), 0);
	lab_leader(&lab)->hang = false;
	lab_run(&lab, 500);
	assert_int_equal(behind->applied, lab_leader(&lab)->applied);
	assert_true(renames > 15 && segments > 15);
	for (uint32_t i = 0; i < LAB_MAX; i++)
		assert_null(dirty_directory[i]);
	watching = false;
	lab_close(&lab);
}

/* --- a sync that fails ----------------------------------------------------- */

static struct {
	void *file;
	uint64_t written; /* from its beginning, in this life */
	bool fails;
	uint32_t failed, synced;
} staged;

static int staged_open(void *ctx, const char *name, bool create, void **file)
{
	int code = real.open(ctx, name, create, file);

	if (code == 0 && strncmp(name, "incoming-", 9) == 0) {
		staged.file = *file;
		staged.written = 0;
	}
	return code;
}

static void staged_close(void *ctx, void *file)
{
	if (file == staged.file)
		staged.file = NULL;
	real.close(ctx, file);
}

static int staged_write(void *ctx, void *file, uint64_t offset,
			const void *data, size_t size)
{
	if (file == staged.file && offset == staged.written)
		staged.written += size;
	return real.write(ctx, file, offset, data, size);
}

static int staged_sync(void *ctx, void *file)
{
	uint64_t size = 0;

	if (file != staged.file)
		return real.sync(ctx, file);
	if (staged.fails) {
		staged.fails = false;
		staged.failed++;
		return BERTH_IO;
	}
	assert_int_equal(real.size(ctx, file, &size), 0);
	assert_int_equal(staged.written, size);
	staged.synced++;
	return real.sync(ctx, file);
}

/* After a sync that failed the kernel takes what it could not store for
 * stored: the next life writes all of it again before it syncs. */
static void what_a_failed_sync_left_is_written_again(void **state)
{
	struct lab_replica *behind;
	struct lab lab;

	(void)state;
	behind = open_behind(&lab, false);
	memset(&staged, 0, sizeof staged);
	staged.fails = true;
	real = behind->io.files;
	behind->io.files.open = staged_open;
	behind->io.files.close = staged_close;
	behind->io.files.write = staged_write;
	behind->io.files.sync = staged_sync;
	lab_run(&lab, 500);
	assert_int_equal(staged.failed, 1);
	assert_int_equal(behind->fatal.code, BERTH_IO);
	lab_stop(behind);
	behind->fatal.code = 0;
	assert_int_equal(lab_start(behind, NULL), 0);
	lab_link(&lab);
	lab_run(&lab, 500);
	assert_int_equal(behind->fatal.code, 0);
	assert_int_equal(staged.synced, 1);
	assert_int_equal(behind->applied, lab_leader(&lab)->applied);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_far_behind_gets_a_snapshot),
		cmocka_unit_test(snapshot_of_before_an_install_does_not_count),
		cmocka_unit_test(disk_does_not_fill_up),
		cmocka_unit_test(failed_snapshot_stops_the_replica),
		cmocka_unit_test(names_and_words_are_of_what_is_durable),
		cmocka_unit_test(what_a_failed_sync_left_is_written_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
