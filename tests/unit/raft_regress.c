/* Two classic faults, which an older libraft has, do not happen with the
 * library in use: committing an entry of an old term by counting (Figure 8 of
 * the Raft paper), and acknowledging an entry that never passed log matching
 * with the present leader. One engine is real; its peers are the test, which
 * writes their frames by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "raft/bytes.h"
#include "tests/kit/lab.h"

#define APPEND 3
#define APPEND_RESULT 4
#define VOTE 5
#define VOTE_RESULT 6
#define PRE_VOTE 2
#define GRANTED 4

static struct {
	uint64_t id; /* the real one */
	uint64_t vote_term, ack_term, ack_highest;
	bool pre_vote, asked;
} seen;

/* Only handshakes get through; what the real one says is noted. */
static bool isolate(struct lab *lab, const struct lab_frame *frame)
{
	(void)lab;
	if (frame->from == seen.id && frame->data[0] == VOTE) {
		seen.vote_term = get_u64(frame->data + 1);
		seen.pre_vote = frame->data[33] & PRE_VOTE;
		seen.asked = true;
	}
	if (frame->from == seen.id && frame->data[0] == APPEND_RESULT &&
	    get_u64(frame->data + 1) == seen.ack_term &&
	    get_u64(frame->data + 9) == 0 &&
	    get_u64(frame->data + 17) > seen.ack_highest)
		seen.ack_highest = get_u64(frame->data + 17);
	return frame->data[0] <= 2;
}

static void grant(struct lab_replica *to, uint64_t from)
{
	uint8_t frame[10] = { VOTE_RESULT };

	put_u64(frame + 1, seen.vote_term);
	frame[9] = (uint8_t)(GRANTED | (seen.pre_vote ? PRE_VOTE : 0));
	seen.asked = false;
	replica_link_frame(to->replica, from, frame, sizeof frame);
}

static void acknowledge(struct lab_replica *to, uint64_t from, uint64_t term,
			uint64_t index)
{
	uint8_t frame[25] = { APPEND_RESULT };

	put_u64(frame + 1, term);
	put_u64(frame + 17, index);
	replica_link_frame(to->replica, from, frame, sizeof frame);
}

static void old_term_is_not_committed_by_counting(void **state)
{
	struct replica_status status;
	struct lab_replica *leader;
	struct lab lab;
	uint64_t old, peer, commit, term;

	(void)state;
	leader = lab_up(&lab, 3);
	lab_run(&lab, 300);
	peer = leader->id % 3 + 1;
	memset(&seen, 0, sizeof seen);
	seen.id = leader->id;
	lab.pass = isolate;
	/* An entry that only this disk has; then leadership is lost. */
	assert_int_equal(replica_submit(leader->replica, "old", 4, false,
					&old), 0);
	lab_run(&lab, 5);
	replica_status(leader->replica, &status);
	commit = status.commit;
	term = status.term;
	assert_int_equal(status.stored, old);
	assert_true(commit < old);
	/* Elected again, in a later term, by one peer. */
	while (leader->leading_term <= term) {
		lab_run(&lab, 1);
		if (seen.asked)
			grant(leader, peer);
		assert_true(lab.now_ms < 60000);
	}
	term = leader->leading_term;
	lab_run(&lab, 5);
	/* Two of three have the old entry now: that must not count. */
	acknowledge(leader, peer, term, old);
	replica_status(leader->replica, &status);
	assert_int_equal(status.term, term);
	assert_int_equal(status.commit, commit);
	assert_true(leader->applied < old);
	/* An entry of its own term brings the old one along. */
	assert_true(status.last > old);
	acknowledge(leader, peer, term, status.last);
	replica_status(leader->replica, &status);
	assert_int_equal(status.commit, status.last);
	assert_int_equal(leader->applied, old);
	lab_close(&lab);
}

/* `entries` of one byte, behind prev. */
static void append(struct lab_replica *to, uint64_t from, uint64_t term,
		   uint64_t prev, uint64_t prev_term, uint32_t entries)
{
	uint8_t frame[37 + 17 * 4] = { APPEND };
	uint32_t i;

	put_u64(frame + 1, term);
	put_u64(frame + 9, prev);
	put_u64(frame + 17, prev_term);
	put_u32(frame + 33, entries);
	for (i = 0; i < entries; i++) {
		put_u64(frame + 37 + i * 16, term);
		put_u32(frame + 37 + i * 16 + 8, 1);
		put_u32(frame + 37 + i * 16 + 12, 1);
	}
	replica_link_frame(to->replica, from, frame, 37 + 17 * entries);
}

static struct lab_replica *follower_of(struct lab *lab, uint64_t *last,
				       uint64_t *last_term)
{
	struct replica_status status;
	struct lab_replica *leader = lab_up(lab, 3), *follower;

	lab_run(lab, 300);
	follower = &lab->replicas[leader->id % 3];
	replica_status(follower->replica, &status);
	*last = status.last;
	*last_term = status.term;
	memset(&seen, 0, sizeof seen);
	seen.id = follower->id;
	lab->pass = isolate;
	return follower;
}

/* An old leader's entries are in the log when the new leader's heartbeat
 * matches an earlier place: only that place may be acknowledged. */
static void tail_that_never_matched_is_not_acknowledged(void **state)
{
	struct lab_replica *follower;
	struct lab lab;
	uint64_t last, term, old, new;

	(void)state;
	follower = follower_of(&lab, &last, &term);
	old = follower->id % 3 + 1;
	new = old % 3 + 1;
	append(follower, old, term + 1, last, term, 3);
	lab_run(&lab, 5);
	seen.ack_term = term + 2;
	append(follower, new, term + 2, last, term, 0);
	lab_run(&lab, 5);
	assert_int_equal(seen.ack_highest, last);
	/* The same three, now from the new leader: with matching, yes. */
	append(follower, new, term + 2, last, term, 3);
	lab_run(&lab, 5);
	assert_int_equal(seen.ack_highest, last + 3);
	lab_close(&lab);
}

/* The same, with the old leader's entries still on their way to the disk. */
static void late_write_is_not_acknowledged_to_another(void **state)
{
	struct replica_status status;
	struct lab_replica *follower;
	struct lab lab;
	uint64_t last, term, old, new;

	(void)state;
	follower = follower_of(&lab, &last, &term);
	old = follower->id % 3 + 1;
	new = old % 3 + 1;
	follower->hang = true;
	append(follower, old, term + 1, last, term, 3);
	lab_run(&lab, 5);
	seen.ack_term = term + 2;
	append(follower, new, term + 2, last, term, 0);
	lab_run(&lab, 5);
	follower->hang = false;
	lab_run(&lab, 5);
	replica_status(follower->replica, &status);
	assert_int_equal(status.stored, last + 3);
	assert_int_equal(seen.ack_highest, last);
	lab_close(&lab);
}

/* A write that a truncation overtook is not reported for what replaced it. */
static void overtaken_write_is_not_acknowledged(void **state)
{
	struct lab_replica *follower;
	struct lab lab;
	uint64_t last, term, old, new;

	(void)state;
	follower = follower_of(&lab, &last, &term);
	old = follower->id % 3 + 1;
	new = old % 3 + 1;
	follower->hang = true;
	append(follower, old, term + 1, last, term, 3);
	seen.ack_term = term + 2;
	append(follower, new, term + 2, last, term, 2);
	lab_run(&lab, 5);
	assert_int_equal(seen.ack_highest, 0); /* nothing is durable */
	follower->hang = false;
	lab_run(&lab, 5);
	assert_int_equal(seen.ack_highest, last + 2);
	lab_close(&lab);
}

/* The write that is under way ends; no other. */
static void end_one_write(struct lab_replica *r)
{
	struct replica_job *job = r->jobs;

	assert_non_null(job);
	r->jobs = job->next;
	if (!r->jobs)
		r->jobs_end = &r->jobs;
	job->done(job, job->run(job));
}

/* What a write made durable counts less what was cut since: by one that waits
 * behind it, whatever its term. */
static void overtaken_write_is_not_stored(void **state)
{
	struct replica_status status;
	struct lab_replica *follower;
	struct lab lab;
	uint64_t last, term, old, new;

	(void)state;
	follower = follower_of(&lab, &last, &term);
	old = follower->id % 3 + 1;
	new = old % 3 + 1;
	follower->hang = true;
	append(follower, old, term + 1, last, term, 3);
	append(follower, new, term + 2, last, term, 2);
	end_one_write(follower);
	replica_status(follower->replica, &status);
	assert_int_equal(status.last, last + 2);
	assert_int_equal(status.stored, last);
	end_one_write(follower);
	replica_status(follower->replica, &status);
	assert_int_equal(status.stored, last + 2);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_term_is_not_committed_by_counting),
		cmocka_unit_test(tail_that_never_matched_is_not_acknowledged),
		cmocka_unit_test(late_write_is_not_acknowledged_to_another),
		cmocka_unit_test(overtaken_write_is_not_acknowledged),
		cmocka_unit_test(overtaken_write_is_not_stored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
