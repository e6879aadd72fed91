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

static bool not_cut_off(struct lab *lab, const struct lab_frame *frame)
{
	(void)lab;
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
		assert_int_equal(lab_bootstrap(&lab->replicas[i], 3, NULL), 0);
		assert_int_equal(lab_start(&lab->replicas[i], NULL), 0);
	}
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
	lab->pass = not_cut_off;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_is_far_behind_gets_a_snapshot),
		cmocka_unit_test(snapshot_of_before_an_install_does_not_count),
		cmocka_unit_test(disk_does_not_fill_up),
		cmocka_unit_test(failed_snapshot_stops_the_replica),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
