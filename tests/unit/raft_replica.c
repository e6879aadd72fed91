/* The engine with two or three replicas in one process: who is refused at the
 * door, what a failing disk does, and the story of an ordinary day. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <unistd.h>

#include "raft/bytes.h"
#include "raft/internal.h"
#include "tests/kit/lab.h"

/* --- an ordinary day ------------------------------------------------------ */

static void three_replicas_agree_and_restart(void **state)
{
	struct lab_replica *leader;
	struct lab lab;
	uint64_t index = 0, i, old;

	(void)state;
	leader = lab_up(&lab, 3);
	for (i = 0; i < 100; i++)
		assert_int_equal(replica_submit(leader->replica, "hello", 6,
						false, &index), 0);
	lab_run(&lab, 100);
	for (i = 0; i < 3; i++) {
		assert_int_equal(lab.replicas[i].applied, index);
		assert_string_equal((char *)lab.replicas[i].last, "hello");
	}
	old = leader->id;
	lab_stop(leader);
	lab_run(&lab, 2000);
	leader = lab_leader(&lab);
	assert_non_null(leader);
	assert_int_not_equal(leader->id, old);
	assert_int_equal(replica_submit(leader->replica, "again", 6, true,
					&index), 0);
	assert_int_equal(lab_start(&lab.replicas[old - 1], NULL), 0);
	lab_link(&lab);
	lab_run(&lab, 1000);
	assert_int_equal(lab.replicas[old - 1].applied, leader->applied);
	lab_close(&lab);
}

static void one_replica_alone(void **state)
{
	struct replica_status status;
	struct lab_replica *leader;
	struct lab lab;
	uint64_t index;

	(void)state;
	leader = lab_up(&lab, 1);
	assert_true(leader->leading_term > 1); /* T3 */
	assert_int_equal(replica_submit(leader->replica, "x", 2, false,
					&index), 0);
	assert_true(index > leader->applied);
	lab_run(&lab, 10);
	assert_int_equal(leader->applied, index);
	replica_status(leader->replica, &status);
	assert_int_equal(status.incarnation, 1);
	assert_int_equal(status.leader, 1);
	lab_close(&lab);
}

static void submits_are_bounded(void **state)
{
	static uint8_t big[REPLICA_FRAME_SIZE_MAX];
	struct lab_replica *leader;
	struct lab lab;
	uint64_t index, taken = 0;

	(void)state;
	leader = lab_up(&lab, 1);
	assert_int_equal(replica_submit(leader->replica, big, sizeof big,
					false, &index), BERTH_TOOBIG);
	while (replica_submit(leader->replica, big, 4096, false, &index) == 0)
		taken++;
	assert_int_equal(taken, 256);
	assert_int_equal(replica_submit(leader->replica, big, 10, false,
					&index), BERTH_BUSY);
	assert_int_equal(replica_submit(leader->replica, big, 10, true,
					&index), 0);
	lab_run(&lab, 10);
	assert_int_equal(leader->applied, index);
	assert_int_equal(replica_submit(leader->replica, big, 10, false,
					&index), 0);
	lab_close(&lab);
}

static void followers_do_not_take_work(void **state)
{
	struct lab_replica *leader, *other;
	struct lab lab;
	uint64_t index;

	(void)state;
	leader = lab_up(&lab, 3);
	other = &lab.replicas[leader->id % 3];
	assert_int_equal(replica_submit(other->replica, "x", 1, false, &index),
			 BERTH_NOTLEADER);
	assert_int_equal(replica_transfer(other->replica, 1),
			 BERTH_NOTLEADER);
	assert_int_equal(replica_member_remove(leader->replica, leader->id,
					       NULL), BERTH_INVALID); /* T5 */
	lab_close(&lab);
}

static void leadership_is_handed_over(void **state)
{
	struct lab_replica *leader, *other;
	struct lab lab;

	(void)state;
	leader = lab_up(&lab, 3);
	lab_run(&lab, 500);
	other = &lab.replicas[leader->id % 3];
	assert_int_equal(replica_transfer(leader->replica, other->id), 0);
	lab_run(&lab, 100);
	assert_int_equal(leader->leading_term, 0);
	assert_true(other->leading_term > 0);
	lab_close(&lab);
}

static uint64_t slow_to, early;
static bool slow;

/* Entries do not reach that one, heartbeats do. */
static bool no_entries(struct lab *lab, const struct lab_frame *frame)
{
	(void)lab;
	if (slow && frame->to == slow_to &&
	    frame->data[0] == FRAME_TIMEOUT_NOW)
		early++;
	return !slow || frame->to != slow_to ||
	       frame->data[0] != FRAME_APPEND || frame->size < 400;
}

/* Who is asked to stand while it lacks entries cannot win, and is asked only
 * once: so it is not asked before it has everything. */
static void leadership_goes_to_who_has_everything(void **state)
{
	struct lab_replica *leader, *other;
	char data[1000] = { 0 };
	struct lab lab;
	uint64_t index;

	(void)state;
	leader = lab_up(&lab, 3);
	lab_run(&lab, 500);
	other = &lab.replicas[leader->id % 3];
	lab.pass = no_entries;
	slow_to = other->id;
	early = 0;
	slow = true;
	assert_int_equal(replica_submit(leader->replica, data, sizeof data,
					false, &index), 0);
	lab_run(&lab, 100);
	assert_int_equal(leader->applied, index);
	assert_true(other->applied < index);
	assert_int_equal(replica_transfer(leader->replica, other->id), 0);
	lab_run(&lab, 200);
	assert_int_equal(early, 0);
	assert_true(leader->leading_term > 0);
	slow = false;
	lab_run(&lab, 150);
	assert_int_equal(leader->leading_term, 0);
	assert_true(other->leading_term > 0);
	lab_close(&lab);
}

/* --- reads ----------------------------------------------------------------- */

struct asked {
	struct replica_read read;
	int code;
	uint64_t index;
	bool done;
};

static void on_read(void *ctx, int code, uint64_t index)
{
	struct asked *asked = ctx;

	asked->code = code;
	asked->index = index;
	asked->done = true;
}

static void ask(struct lab_replica *r, struct asked *asked)
{
	*asked = (struct asked){ .read = { .ctx = asked, .done = on_read } };
	replica_read_index(r->replica, &asked->read);
}

static bool deaf;
static uint64_t deaf_to;

static bool not_to_leader(struct lab *lab, const struct lab_frame *frame)
{
	(void)lab;
	return !deaf || frame->to != deaf_to;
}

static void reads_are_confirmed_after_they_came(void **state)
{
	struct lab_replica *leader;
	struct asked first, second, late;
	struct lab lab;
	uint64_t index;

	(void)state;
	leader = lab_up(&lab, 3);
	lab_run(&lab, 300);
	/* An entry is in flight: its commit proves nothing for these. */
	assert_int_equal(replica_submit(leader->replica, "x", 2, false,
					&index), 0);
	ask(leader, &first);
	ask(leader, &second);
	assert_false(first.done);
	lab_run(&lab, 50);
	assert_true(first.done && second.done);
	assert_int_equal(first.code, 0);
	assert_true(first.index > index);
	assert_int_equal(first.index, second.index); /* one serves both */
	/* A leader that nobody answers confirms nothing. */
	lab.pass = not_to_leader;
	deaf = true;
	deaf_to = leader->id;
	ask(leader, &late);
	lab_run(&lab, 100);
	assert_false(late.done);
	lab_run(&lab, 2000);
	assert_true(late.done);
	assert_int_equal(late.code, BERTH_NOTLEADER);
	deaf = false;
	lab_close(&lab);
}

/* --- how soon followers know ------------------------------------------------ */

/* The longest, in ms, that a follower applied after the leader. */
static uint64_t longest_lag(struct lab *lab, struct lab_replica *leader)
{
	uint64_t index = 0, longest = 0, since, i, j;

	for (i = 0; i < 50; i++) {
		lab_run(lab, i % 17); /* anywhere between two heartbeats */
		assert_int_equal(replica_submit(leader->replica, "x", 2, false,
						&index), 0);
		while (leader->applied < index)
			lab_run(lab, 1);
		since = lab->now_ms;
		for (j = 0; j < lab->count; j++)
			while (lab->replicas[j].applied < index)
				lab_run(lab, 1);
		if (lab->now_ms - since > longest)
			longest = lab->now_ms - since;
	}
	return longest;
}

static void followers_know_of_a_commit_at_once(void **state)
{
	struct lab_replica *leader;
	struct lab lab;
	uint32_t i;

	(void)state;
	leader = lab_up(&lab, 3);
	lab_run(&lab, 300);
	assert_in_range(longest_lag(&lab, leader), 0, 3);
	lab_close(&lab);
	/* Without, the next heartbeat says it: the measure can tell. */
	lab_open(&lab, 3);
	for (i = 0; i < 3; i++) {
		lab.replicas[i].config.filters_off = 1u << 31;
		assert_int_equal(lab_bootstrap(&lab.replicas[i], 3, NULL), 0);
		assert_int_equal(lab_start(&lab.replicas[i], NULL), 0);
	}
	lab_link(&lab);
	while (!lab_leader(&lab))
		lab_run(&lab, 1);
	lab_run(&lab, 300);
	assert_in_range(longest_lag(&lab, lab_leader(&lab)), 10, 25);
	lab_close(&lab);
}

static uint64_t appends;

static bool count_appends(struct lab *lab, const struct lab_frame *frame)
{
	(void)lab;
	appends += frame->data[0] == 3; /* FRAME_APPEND */
	return true;
}

/* A quiet cluster stays quiet, and a burst is told once. */
static void commits_are_told_sparingly(void **state)
{
	struct lab_replica *leader;
	struct lab lab;
	uint64_t index, quiet, i;

	(void)state;
	leader = lab_up(&lab, 3);
	lab_run(&lab, 300);
	lab.pass = count_appends;
	appends = 0;
	lab_run(&lab, 1000);
	quiet = appends; /* heartbeats of 20 ms to two peers */
	assert_in_range(quiet, 90, 110);
	appends = 0;
	for (i = 0; i < 200; i++)
		assert_int_equal(replica_submit(leader->replica, "x", 2, false,
						&index), 0);
	lab_run(&lab, 10);
	assert_int_equal(lab.replicas[leader->id % 3].applied, index);
	assert_in_range(appends, 400, 410);
	lab_close(&lab);
}

/* --- at the door ------------------------------------------------------------ */

static void older_disk_is_refused(void **state)
{
	struct fault fault = { 0 };
	struct lab_replica *leader, *other;
	char command[300];
	struct lab lab;

	(void)state;
	leader = lab_up(&lab, 3);
	other = &lab.replicas[leader->id % 3];
	lab_run(&lab, 300);
	/* A copy of the disk; then the replica starts twice more. */
	lab_stop(other);
	snprintf(command, sizeof command, "cp -r %s %s.old", other->directory,
		 other->directory);
	assert_int_equal(system(command), 0);
	assert_int_equal(lab_start(other, NULL), 0);
	lab_link(&lab);
	lab_run(&lab, 300);
	assert_int_equal(other->fatal.code, 0);
	lab_stop(other);
	assert_int_equal(lab_start(other, NULL), 0);
	lab_link(&lab);
	lab_run(&lab, 300);
	assert_int_equal(other->fatal.code, 0);
	lab_stop(other);
	/* The copy comes back. */
	snprintf(command, sizeof command,
		 "rm %s/* && cp %s.old/* %s/ && rm -r %s.old",
		 other->directory, other->directory, other->directory,
		 other->directory);
	assert_int_equal(system(command), 0);
	assert_int_equal(lab_start(other, NULL), 0);
	lab_link(&lab);
	lab_run(&lab, 300);
	assert_int_equal(other->fatal.code, BERTH_DENIED);
	assert_non_null(strstr(other->fatal.text,
			       "older than the cluster remembers"));
	assert_non_null(strstr(other->fatal.text, "rejoin under a new id"));
	assert_int_equal(leader->fatal.code, 0);
	/* Whatever starts it again: it would count up until it is believed. */
	lab_stop(other);
	assert_int_equal(lab_start(other, &fault), BERTH_DENIED);
	assert_non_null(strstr(fault.text, "rejoin under a new id"));
	lab_close(&lab);
}

/* The copy starts where nobody hears it, until its number is the higher one. */
static void older_disk_does_not_count_up(void **state)
{
	struct lab_replica *leader, *other;
	char command[300];
	struct lab lab;
	uint32_t i;

	(void)state;
	leader = lab_up(&lab, 3);
	other = &lab.replicas[leader->id % 3];
	lab_run(&lab, 300);
	lab_stop(other);
	snprintf(command, sizeof command, "cp -r %s %s.old", other->directory,
		 other->directory);
	assert_int_equal(system(command), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(lab_start(other, NULL), 0);
		lab_link(&lab);
		lab_run(&lab, 300);
		assert_int_equal(other->fatal.code, 0);
		lab_stop(other);
	}
	snprintf(command, sizeof command,
		 "rm %s/* && cp %s.old/* %s/ && rm -r %s.old",
		 other->directory, other->directory, other->directory,
		 other->directory);
	assert_int_equal(system(command), 0);
	for (i = 0; i < 5; i++) {
		assert_int_equal(lab_start(other, NULL), 0);
		lab_run(&lab, 100);
		lab_stop(other);
	}
	assert_int_equal(lab_start(other, NULL), 0);
	lab_link(&lab);
	lab_run(&lab, 300);
	assert_int_equal(other->fatal.code, BERTH_DENIED);
	assert_non_null(strstr(other->fatal.text, "older"));
	lab_close(&lab);
}

static void other_disk_is_refused(void **state)
{
	struct lab_replica *leader, *other;
	char command[100];
	struct lab lab;

	(void)state;
	leader = lab_up(&lab, 3);
	other = &lab.replicas[leader->id % 3];
	lab_run(&lab, 300);
	lab_stop(other);
	snprintf(command, sizeof command, "rm %s/*", other->directory);
	assert_int_equal(system(command), 0);
	assert_int_equal(lab_bootstrap(other, 3, NULL), 0);
	assert_int_equal(lab_start(other, NULL), 0);
	lab_link(&lab);
	lab_run(&lab, 100);
	assert_int_equal(other->fatal.code, BERTH_DENIED);
	assert_non_null(strstr(other->fatal.text, "another one than"));
	lab_close(&lab);
}

static void other_cluster_is_refused(void **state)
{
	struct fault fault = { 0 };
	struct lab lab;

	(void)state;
	lab_open(&lab, 2);
	strcpy(lab.replicas[1].config.cluster, "other");
	assert_int_equal(lab_bootstrap(&lab.replicas[0], 2, NULL), 0);
	assert_int_equal(lab_bootstrap(&lab.replicas[1], 2, NULL), 0);
	assert_int_equal(lab_start(&lab.replicas[0], NULL), 0);
	assert_int_equal(lab_start(&lab.replicas[1], NULL), 0);
	lab_link(&lab);
	lab_run(&lab, 3000);
	assert_null(lab_leader(&lab));
	assert_non_null(strstr(lab.replicas[0].dropped, "another cluster"));
	assert_int_equal(lab.replicas[0].fatal.code, 0);
	lab_stop(&lab.replicas[1]);
	/* The same directory under other names. */
	strcpy(lab.replicas[1].config.cluster, "lab");
	assert_int_equal(lab_start(&lab.replicas[1], &fault), BERTH_MISMATCH);
	assert_non_null(strstr(fault.text, "belongs to cluster other"));
	strcpy(lab.replicas[1].config.cluster, "other");
	lab.replicas[1].config.id = 1;
	assert_int_equal(lab_start(&lab.replicas[1], &fault), BERTH_MISMATCH);
	assert_non_null(strstr(fault.text, "belongs to replica 2, not 1"));
	lab_close(&lab);
}

static void directories_are_guarded(void **state)
{
	struct fault fault = { 0 };
	struct node_files again;
	struct replica_io io;
	struct replica *replica;
	struct lab lab;

	(void)state;
	lab_open(&lab, 1);
	assert_int_equal(lab_start(&lab.replicas[0], &fault), BERTH_NOTFOUND);
	assert_non_null(strstr(fault.text, "new id"));
	assert_int_equal(lab_bootstrap(&lab.replicas[0], 1, NULL), 0);
	assert_int_equal(lab_bootstrap(&lab.replicas[0], 1, &fault),
			 BERTH_EXISTS);
	assert_int_equal(lab_start(&lab.replicas[0], NULL), 0);
	again = (struct node_files){ .lock = -1 };
	again.directory = open(lab.replicas[0].directory,
			       O_RDONLY | O_DIRECTORY);
	io = lab.replicas[0].io;
	node_files_calls(&again, &io.files);
	assert_int_equal(replica_open(&replica, &lab.replicas[0].config, &io,
				      &lab.replicas[0].machine, &fault),
			 BERTH_BUSY);
	assert_non_null(strstr(fault.text, "another process"));
	close(again.directory);
	lab_close(&lab);
}

/* --- frames ------------------------------------------------------------------ */

static void garbage_harms_only_its_link(void **state)
{
	struct lab_replica *leader;
	struct lab lab;
	uint8_t frame[200];
	uint64_t index, i, j, chance = 12345;

	(void)state;
	leader = lab_up(&lab, 3);
	for (i = 0; i < 20000; i++) {
		uint64_t from = leader->id % 3 + 1;
		size_t size;

		for (j = 0; j < sizeof frame; j++) {
			chance = chance * 6364136223846793005u + 1442695040888963407u;
			/* small numbers more often than chance has them */
			frame[j] = chance >> 40 & 3 ?
					   0 : (uint8_t)(chance >> 56);
		}
		size = 1 + (chance >> 33) % sizeof frame;
		frame[0] = (uint8_t)(3 + i % 9);
		/* Terms so high that they would be believed are a matter of
		 * trust, not of decoding. */
		frame[1] = (uint8_t)(i % 3);
		memset(frame + 2, 0, 7);
		replica_link_frame(leader->replica, from, frame, size);
		if (i % 50 == 0) {
			replica_link_up(leader->replica, from);
			replica_link_up(lab.replicas[from - 1].replica,
					leader->id);
			lab_run(&lab, 2);
		}
	}
	assert_true(leader->drops > 100);
	assert_string_equal(leader->dropped, "malformed frame");
	lab_link(&lab);
	lab_run(&lab, 3000);
	leader = lab_leader(&lab);
	assert_non_null(leader);
	assert_int_equal(replica_submit(leader->replica, "x", 1, false,
					&index), 0);
	lab_run(&lab, 500);
	for (i = 0; i < 3; i++)
		assert_int_equal(lab.replicas[i].applied, leader->applied);
	lab_close(&lab);
}

/* --- disks ------------------------------------------------------------------- */

static int no_space(void *ctx, void *file, uint64_t offset, const void *data,
		    size_t size)
{
	(void)ctx;
	(void)file;
	(void)offset;
	(void)data;
	(void)size;
	return BERTH_NOSPACE;
}

static void votes_are_asked_in_ones_own_name(void **state)
{
	uint8_t vote[34] = { 5 }; /* FRAME_VOTE */
	struct lab_replica *leader;
	struct lab lab;
	uint64_t drops;

	(void)state;
	leader = lab_up(&lab, 3);
	put_u64(vote + 1, 1);
	put_u64(vote + 9, leader->id % 3 + 1);
	drops = leader->drops;
	replica_link_frame(leader->replica, leader->id % 3 + 1, vote,
			   sizeof vote);
	assert_int_equal(leader->drops, drops); /* old, but honest */
	put_u64(vote + 9, (leader->id + 1) % 3 + 1);
	replica_link_frame(leader->replica, leader->id % 3 + 1, vote,
			   sizeof vote);
	assert_int_equal(leader->drops, drops + 1);
	assert_string_equal(leader->dropped, "malformed frame");
	lab_close(&lab);
}

/* As many entries as no replica would send in a frame: what is done for each
 * must stay bounded. */
static void frames_hold_so_many_entries(void **state)
{
	static uint8_t frame[37 + 257 * 16];
	struct lab_replica *leader, *other;
	struct replica_status status;
	struct lab lab;
	uint64_t count;

	(void)state;
	leader = lab_up(&lab, 3);
	lab_run(&lab, 100);
	other = &lab.replicas[leader->id % 3];
	replica_status(other->replica, &status);
	for (count = 256; count <= 257; count++) {
		uint64_t i;

		memset(frame, 0, sizeof frame);
		frame[0] = 3; /* FRAME_APPEND */
		put_u64(frame + 1, status.term);
		put_u64(frame + 9, status.last + 1000);
		put_u64(frame + 17, status.term);
		put_u32(frame + 33, (uint32_t)count);
		for (i = 0; i < count; i++) {
			put_u64(frame + 37 + i * 16, status.term);
			put_u32(frame + 37 + i * 16 + 12, 1);
		}
		assert_int_equal(other->drops, 0);
		replica_link_frame(other->replica, leader->id, frame,
				   37 + count * 16);
	}
	assert_int_equal(other->drops, 1);
	lab_close(&lab);
}

/* R18: nobody takes part before what is known of its disk is durable, not even
 * by connecting twice. */
static void binding_is_durable_first(void **state)
{
	struct replica_status status;
	struct lab lab;

	(void)state;
	lab_open(&lab, 2);
	assert_int_equal(lab_bootstrap(&lab.replicas[0], 2, NULL), 0);
	assert_int_equal(lab_bootstrap(&lab.replicas[1], 2, NULL), 0);
	assert_int_equal(lab_start(&lab.replicas[0], NULL), 0);
	assert_int_equal(lab_start(&lab.replicas[1], NULL), 0);
	lab.replicas[0].hang = true;
	lab_link(&lab);
	lab_run(&lab, 5);
	lab_link(&lab);
	lab_run(&lab, 5);
	replica_status(lab.replicas[0].replica, &status);
	assert_int_equal(status.members[1].id, 2);
	assert_false(status.connected[1]);
	lab.replicas[0].hang = false;
	lab_run(&lab, 5);
	replica_status(lab.replicas[0].replica, &status);
	assert_true(status.connected[1]);
	lab_close(&lab);
}

static void full_disk_stops_the_replica(void **state)
{
	struct lab_replica *leader;
	struct lab lab;
	uint64_t index, sent;

	(void)state;
	leader = lab_up(&lab, 3);
	leader->io.files.write = no_space;
	assert_int_equal(replica_submit(leader->replica, "x", 1, false,
					&index), 0);
	lab_run(&lab, 5);
	assert_int_equal(leader->fatal.code, BERTH_NOSPACE);
	assert_non_null(strstr(leader->fatal.text, "no space left"));
	sent = replica_next_ms(leader->replica);
	assert_true(sent == UINT64_MAX); /* nothing more comes of it */
	assert_int_equal(replica_submit(leader->replica, "x", 1, false,
					&index), BERTH_NOTLEADER);
	leader->leading_term = 0;
	lab_run(&lab, 2000);
	assert_non_null(lab_leader(&lab));
	lab_close(&lab);
}

static void hanging_disk_hands_over_then_stops(void **state)
{
	struct lab_replica *leader;
	struct lab lab;
	uint64_t index;

	(void)state;
	leader = lab_up(&lab, 3);
	lab_run(&lab, 300);
	leader->hang = true;
	assert_int_equal(replica_submit(leader->replica, "x", 1, false,
					&index), 0);
	lab_run(&lab, 390);
	assert_true(leader->leading_term > 0);
	lab_run(&lab, 1000);
	assert_int_equal(leader->leading_term, 0);
	assert_non_null(lab_leader(&lab));
	assert_int_equal(leader->fatal.code, 0);
	lab_run(&lab, 9000);
	assert_int_equal(leader->fatal.code, BERTH_TIMEOUT);
	assert_non_null(strstr(leader->fatal.text, "disk hangs"));
	lab_close(&lab);
}

/* The whole machine stood still with a write on its way: not the disk's
 * fault. */
static void pause_is_not_a_hanging_disk(void **state)
{
	struct lab_replica *leader;
	struct lab lab;
	uint64_t index;

	(void)state;
	leader = lab_up(&lab, 3);
	lab_run(&lab, 300);
	assert_int_equal(replica_submit(leader->replica, "x", 1, false,
					&index), 0);
	lab.now_ms += 60000;
	replica_tick(leader->replica); /* timers come first */
	assert_int_equal(leader->fatal.code, 0);
	lab_run(&lab, 3000);
	assert_int_equal(leader->fatal.code, 0);
	assert_non_null(lab_leader(&lab));
	lab_close(&lab);
}

/* The first segment is gone: what it held was acknowledged, so the rest may
 * not be thrown away as if an install had been interrupted. */
static void missing_front_of_the_log_is_refused(void **state)
{
	struct fault fault = { 0 };
	struct lab_replica *r;
	struct lab lab;
	uint64_t index, i;
	char command[120], big[100] = "big";

	(void)state;
	lab_open(&lab, 1);
	r = &lab.replicas[0];
	r->config.snapshot_entries = 50;
	r->config.trailing = 5;
	r->config.segment_size = 2048;
	assert_int_equal(lab_bootstrap(r, 1, NULL), 0);
	assert_int_equal(lab_start(r, NULL), 0);
	lab_run(&lab, 10);
	for (i = 0; i < 95; i++) {
		assert_int_equal(replica_submit(r->replica, big, 100, false,
						&index), 0);
		lab_run(&lab, 1);
	}
	lab_stop(r);
	assert_int_equal(lab_start(r, NULL), 0); /* it is good so far */
	lab_stop(r);
	snprintf(command, sizeof command,
		 "cd %s && rm $(ls log-* | head -n 1)", r->directory);
	assert_int_equal(system(command), 0);
	assert_int_equal(lab_start(r, &fault), BERTH_CORRUPT);
	assert_non_null(strstr(fault.text, "behind the end of snapshot"));
	lab_close(&lab);
}

static void find_snapshot(void *ctx, const char *name)
{
	if (strncmp(name, "snapshot-", 9) == 0)
		snprintf(ctx, 100, "%s", name);
}

static void damaged_snapshot_is_refused(void **state)
{
	struct fault fault = { 0 };
	struct lab_replica *r;
	char name[100] = "";
	struct lab lab;
	uint64_t index, i;
	uint8_t byte;
	size_t got;
	void *file;

	(void)state;
	lab_open(&lab, 1);
	r = &lab.replicas[0];
	r->config.snapshot_entries = 50;
	assert_int_equal(lab_bootstrap(r, 1, NULL), 0);
	assert_int_equal(lab_start(r, NULL), 0);
	lab_run(&lab, 10);
	for (i = 0; i < 60; i++) {
		assert_int_equal(replica_submit(r->replica, "x", 1, false,
						&index), 0);
		lab_run(&lab, 1);
	}
	lab_stop(r);
	assert_int_equal(r->io.files.list(&r->files, find_snapshot, name), 0);
	assert_true(name[0] != 0);
	assert_int_equal(lab_start(r, NULL), 0); /* it is good so far */
	assert_true(r->applied >= 50);
	lab_stop(r);
	assert_int_equal(r->io.files.open(&r->files, name, false, &file), 0);
	assert_int_equal(r->io.files.read(&r->files, file, 520, &byte, 1,
					  &got), 0);
	byte ^= 1;
	assert_int_equal(r->io.files.write(&r->files, file, 520, &byte, 1),
			 0);
	r->io.files.close(&r->files, file);
	assert_int_equal(lab_start(r, &fault), BERTH_CORRUPT);
	assert_non_null(strstr(fault.text, name));
	assert_non_null(strstr(fault.text, "checksum differs"));
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_replicas_agree_and_restart),
		cmocka_unit_test(one_replica_alone),
		cmocka_unit_test(submits_are_bounded),
		cmocka_unit_test(followers_do_not_take_work),
		cmocka_unit_test(leadership_is_handed_over),
		cmocka_unit_test(leadership_goes_to_who_has_everything),
		cmocka_unit_test(reads_are_confirmed_after_they_came),
		cmocka_unit_test(followers_know_of_a_commit_at_once),
		cmocka_unit_test(commits_are_told_sparingly),
		cmocka_unit_test(older_disk_is_refused),
		cmocka_unit_test(older_disk_does_not_count_up),
		cmocka_unit_test(other_disk_is_refused),
		cmocka_unit_test(other_cluster_is_refused),
		cmocka_unit_test(directories_are_guarded),
		cmocka_unit_test(garbage_harms_only_its_link),
		cmocka_unit_test(votes_are_asked_in_ones_own_name),
		cmocka_unit_test(frames_hold_so_many_entries),
		cmocka_unit_test(binding_is_durable_first),
		cmocka_unit_test(full_disk_stops_the_replica),
		cmocka_unit_test(hanging_disk_hands_over_then_stops),
		cmocka_unit_test(pause_is_not_a_hanging_disk),
		cmocka_unit_test(missing_front_of_the_log_is_refused),
		cmocka_unit_test(damaged_snapshot_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
