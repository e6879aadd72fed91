/* What must be on the disk before it counts: the entries that a snapshot stands
 * for, and the term and vote that a killed process left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/snapshot.h"
#include "tests/kit/lab.h"

static struct replica_status status_of(const struct lab_replica *r)
{
	struct replica_status status;

	replica_status(r->replica, &status);
	return status;
}

/* A leader whose disk hangs commits by the others' disks, and applies; it takes
 * no snapshot of what a crash would take from its own log. */
static void snapshots_are_of_durable_entries(void **state)
{
	struct lab_replica *leader;
	struct lab lab;
	uint64_t index = 0;
	int i;

	(void)state;
	lab_open(&lab, 3);
	for (i = 0; i < 3; i++) {
		lab.replicas[i].config.snapshot_entries = 20;
		lab.replicas[i].config.trailing = 5;
		assert_int_equal(lab_bootstrap(&lab.replicas[i], 3, NULL), 0);
		assert_int_equal(lab_start(&lab.replicas[i], NULL), 0);
	}
	lab_link(&lab);
	for (i = 0; i < 100 && !lab_leader(&lab); i++)
		lab_run(&lab, 100);
	leader = lab_leader(&lab);
	assert_non_null(leader);
	lab_run(&lab, 100);
	leader->hang = true;
	for (i = 0; i < 30; i++)
		assert_int_equal(replica_submit(leader->replica, "x", 1, false,
						&index), 0);
	lab_run(&lab, 50);
	assert_int_equal(leader->applied, index);
	assert_true(status_of(leader).stored < index);
	assert_false(status_of(leader).snapshotting);
	leader->hang = false;
	lab_run(&lab, 50);
	assert_true(status_of(leader).snapshots > 0);
	lab_close(&lab);
}

/* --- term and vote ----------------------------------------------------------- */

static struct replica_files real;
static void *vote, *segment;
static bool vote_durable, log_durable;

static int watch_open(void *ctx, const char *name, bool create, void **file)
{
	int code = real.open(ctx, name, create, file);

	if (!code && strcmp(name, "vote") == 0)
		vote = *file;
	if (!code && strncmp(name, "log-", 4) == 0)
		segment = *file;
	return code;
}

static int watch_write(void *ctx, void *file, uint64_t offset,
		       const void *data, size_t size)
{
	if (file == vote)
		vote_durable = false;
	if (file == segment)
		log_durable = false;
	return real.write(ctx, file, offset, data, size);
}

static int watch_sync(void *ctx, void *file)
{
	int code = real.sync(ctx, file);

	if (!code && file == vote)
		vote_durable = true;
	if (!code && file == segment)
		log_durable = true;
	return code;
}

/* Killed between a write and its sync, it left what a power cut still takes
 * away: they are written and synced before it starts by them. So is the end of
 * the log. */
static void term_and_vote_are_durable_at_the_start(void **state)
{
	struct lab_replica *r;
	struct lab lab;

	(void)state;
	r = lab_up(&lab, 3);
	lab_run(&lab, 100);
	lab_stop(r);
	real = r->io.files;
	r->io.files.open = watch_open;
	r->io.files.write = watch_write;
	r->io.files.sync = watch_sync;
	assert_int_equal(lab_start(r, NULL), 0);
	assert_non_null(vote);
	assert_true(vote_durable);
	assert_non_null(segment);
	assert_true(log_durable);
	lab_close(&lab);
}

/* --- what is damaged --------------------------------------------------------- */

static void spoil(struct lab_replica *r, const char *name, uint64_t offset)
{
	const struct replica_files *f = &r->io.files;
	uint8_t byte;
	void *file;
	size_t got;

	assert_int_equal(f->open(f->ctx, name, false, &file), 0);
	assert_int_equal(f->read(f->ctx, file, offset, &byte, 1, &got), 0);
	assert_int_equal(got, 1);
	byte ^= 0x10;
	assert_int_equal(f->write(f->ctx, file, offset, &byte, 1), 0);
	f->close(f->ctx, file);
}

static void is_refused(struct lab_replica *r, const char *name)
{
	struct fault fault = { 0 };

	assert_int_equal(lab_start(r, &fault), BERTH_CORRUPT);
	if (!strstr(fault.text, name))
		fail_msg("%s: does not name %s", fault.text, name);
}

/* Who it is, whom it knows, what it promised: a byte that differs, anywhere, is
 * told and nothing is made up. */
static void damaged_files_are_refused(void **state)
{
	struct replica_status before;
	struct lab_replica *r;
	struct lab lab;

	(void)state;
	r = lab_up(&lab, 3);
	lab_run(&lab, 100);
	before = status_of(r);
	lab_stop(r);
	spoil(r, "identity", 100);
	is_refused(r, "identity");
	spoil(r, "identity", 100);
	spoil(r, "peers", 30);
	is_refused(r, "peers");
	spoil(r, "peers", 30);
	/* One slot of the two is a write that was torn. */
	spoil(r, "vote", 16);
	spoil(r, "vote", 4096 + 16);
	is_refused(r, "vote");
	spoil(r, "vote", 16);
	spoil(r, "vote", 4096 + 16);
	assert_int_equal(lab_start(r, NULL), 0);
	assert_int_equal(status_of(r).term, before.term);
	lab_close(&lab);
}

static void copy(struct lab_replica *r, const char *from, const char *to)
{
	const struct replica_files *f = &r->io.files;
	static uint8_t data[1u << 16];
	void *file;
	size_t got;

	assert_int_equal(f->open(f->ctx, from, false, &file), 0);
	assert_int_equal(f->read(f->ctx, file, 0, data, sizeof data, &got), 0);
	f->close(f->ctx, file);
	assert_true(got > 0 && got < sizeof data);
	assert_int_equal(f->open(f->ctx, to, true, &file), 0);
	assert_int_equal(f->write(f->ctx, file, 0, data, got), 0);
	f->close(f->ctx, file);
}

static void note_snapshot(void *ctx, const char *name)
{
	if (strncmp(name, "snapshot-", 9) == 0)
		snprintf(ctx, SNAPSHOT_NAME_SIZE, "%s", name);
}

/* A snapshot under the name of a later one stands for entries it lacks. */
static void renamed_snapshot_is_refused(void **state)
{
	char name[SNAPSHOT_NAME_SIZE] = "", later[SNAPSHOT_NAME_SIZE];
	struct lab_replica *r;
	struct lab lab;
	uint64_t index;
	int i;

	(void)state;
	lab_open(&lab, 1);
	r = &lab.replicas[0];
	r->config.snapshot_entries = 20;
	assert_int_equal(lab_bootstrap(r, 1, NULL), 0);
	assert_int_equal(lab_start(r, NULL), 0);
	lab_run(&lab, 500);
	for (i = 0; i < 50; i++) {
		assert_int_equal(replica_submit(r->replica, "x", 1, false,
						&index), 0);
		lab_run(&lab, 2);
	}
	index = status_of(r).snapshot_index;
	assert_true(index > 0);
	lab_stop(r);
	r->io.files.list(r->io.files.ctx, note_snapshot, name);
	snprintf(later, sizeof later, "%s", name);
	later[9] = '1'; /* the index's first digit */
	copy(r, name, later);
	is_refused(r, later);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snapshots_are_of_durable_entries),
		cmocka_unit_test(term_and_vote_are_durable_at_the_start),
		cmocka_unit_test(damaged_files_are_refused),
		cmocka_unit_test(renamed_snapshot_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
