/* Filters whose fault the simulator does not meet in a few seeds: each test
 * brings the fault about with the filter off, and shows that it does not
 * happen with it on. The others: tests/check/sim-filters. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "raft/bytes.h"
#include "raft/internal.h"
#include "tests/kit/lab.h"

#define OFF(t) (1u << (t))

static struct lab_replica *up(struct lab *lab, uint32_t count, uint32_t off)
{
	uint32_t i;

	lab_open(lab, count);
	for (i = 0; i < count; i++) {
		struct lab_replica *r = &lab->replicas[i];

		r->config.filters_off = off;
		r->config.snapshot_entries = 20;
		r->config.trailing = 0;
		assert_int_equal(lab_bootstrap(r, count, NULL), 0);
		assert_int_equal(lab_start(r, NULL), 0);
	}
	lab_link(lab);
	for (i = 0; i < 100 && !lab_leader(lab); i++)
		lab_run(lab, 100);
	assert_non_null(lab_leader(lab));
	return lab_leader(lab);
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

/* --- T1 --------------------------------------------------------------------- */

static bool harmed_by_prefix(uint32_t off)
{
	struct lab_replica *leader, *follower;
	struct replica_status before, after;
	uint8_t frame[37 + 3 * 17] = { 3 };
	struct lab lab;
	uint32_t i;
	bool harmed;

	leader = up(&lab, 3, off);
	submit(&lab, leader, 60);
	lab_run(&lab, 200);
	follower = &lab.replicas[leader->id % 3];
	replica_status(follower->replica, &before);
	assert_true(before.snapshot_index > 10);
	/* The leader begins from entry 1, as to one that has nothing. */
	put_u64(frame + 1, before.term);
	put_u32(frame + 33, 3);
	for (i = 0; i < 3; i++) {
		put_u64(frame + 37 + i * 16, 1);
		put_u32(frame + 37 + i * 16 + 8, 1);
		put_u32(frame + 37 + i * 16 + 12, 1);
	}
	replica_link_frame(follower->replica, leader->id, frame, sizeof frame);
	replica_status(follower->replica, &after);
	/* The core reads behind the entries: it may find a bad one there and
	 * refuse the message, or lose count, at which the engine stops. */
	harmed = follower->fatal.code || follower->drops ||
		 after.last != before.last;
	lab_close(&lab);
	return harmed;
}

/* In a process of its own: what is read behind an array may as well be the
 * end of it, and so may what a sanitizer says of that. */
static bool crashes_or(bool (*harmed)(uint32_t off), uint32_t off)
{
	pid_t child = fork();
	int status = 0;

	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGABRT, SIG_DFL);
		_exit(harmed(off) ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void t1_compacted_prefix_is_not_appended(void **state)
{
	(void)state;
	assert_false(harmed_by_prefix(0));
	assert_true(crashes_or(harmed_by_prefix, OFF(1)));
}

/* --- T2 --------------------------------------------------------------------- */

struct sent {
	struct lab_replica *to;
	uint64_t from, term, commit;
};

/* A leader's entry behind `prev`: a change to `members`. */
static void send_change(const struct sent *sent, uint64_t prev,
			uint64_t prev_term, const struct members *members)
{
	struct raft_append_entries append = {
		.term = sent->term, .prev_log_index = prev,
		.prev_log_term = prev_term, .leader_commit = sent->commit };
	struct raft_buffer buffer;
	struct log_entry *entry;
	uint8_t frame[4096];
	size_t size;

	assert_int_equal(members_encode(members, &buffer), 0);
	entry = entry_new(RAFT_CHANGE, prev + 1, sent->term, buffer.base,
			  buffer.len);
	assert_non_null(entry);
	size = codec_encode_append(&append, &entry, 1, frame);
	assert_true(size + entry->size <= sizeof frame);
	memcpy(frame + size, entry->data, entry->size);
	replica_link_frame(sent->to->replica, sent->from, frame,
			   size + entry->size);
	entry_give(entry);
	raft_free(buffer.base);
}

static struct members plus(const struct members *members, uint64_t id)
{
	struct members more = *members;

	more.list[more.count++] = (struct replica_member){
		.id = id, .role = ROLE_STANDBY };
	return more;
}

/* A change that follows another says that the other is committed; the other
 * itself, sent again, does not, nor what is not of this leader's log. */
static void t2_earlier_change_is_committed_or_not(void **state)
{
	struct members first, one, two;
	struct lab_replica *leader;
	struct sent sent;
	struct raft *core;
	struct lab lab;
	uint64_t last, was;

	(void)state;
	leader = up(&lab, 3, 0);
	submit(&lab, leader, 3);
	lab_run(&lab, 100);
	sent.to = &lab.replicas[leader->id % 3];
	sent.from = leader->id;
	core = &sent.to->replica->raft;
	sent.term = raft_current_term(core);
	sent.commit = raft_commit_index(core);
	last = raft_last_index(core);
	was = core->configuration_committed_index;
	members_from_raft(&first, &core->configuration);
	one = plus(&first, 8);
	two = plus(&one, 9);
	send_change(&sent, last, sent.term, &one);
	assert_int_equal(core->configuration_uncommitted_index, last + 1);
	send_change(&sent, last, sent.term, &one); /* again */
	assert_int_equal(core->configuration_committed_index, was);
	/* Of a later leader, that has another entry there. */
	sent.term += 2;
	send_change(&sent, last + 1, sent.term - 1, &two);
	assert_int_equal(raft_current_term(core), sent.term);
	assert_int_equal(core->configuration_committed_index, was);
	/* Of the one before it, now. */
	sent.term -= 2;
	send_change(&sent, last + 1, sent.term, &two);
	assert_int_equal(core->configuration_committed_index, was);
	assert_int_equal(core->configuration_uncommitted_index, last + 1);
	/* Of the later one again, that has this entry. */
	sent.term += 2;
	send_change(&sent, last + 1, sent.term - 2, &two);
	assert_int_equal(core->configuration_committed_index, last + 1);
	assert_int_equal(core->configuration_uncommitted_index, last + 2);
	lab_close(&lab);
}

/* --- T4 --------------------------------------------------------------------- */

static uint64_t mute;

static bool not_from_mute(struct lab *lab, const struct lab_frame *frame)
{
	(void)lab;
	return frame->from != mute;
}

static void on_change(void *ctx, int code)
{
	(void)ctx;
	(void)code;
}

static bool two_leaders_in_a_term(uint32_t off)
{
	struct replica_change change = { NULL, on_change };
	struct lab_replica *leader, *other;
	struct lab lab;
	bool seen = false;
	uint32_t i;

	leader = up(&lab, 2, off | OFF(5));
	other = &lab.replicas[leader->id % 2];
	lab_run(&lab, 300);
	lab.pass = not_from_mute;
	mute = other->id; /* it gets the entry, its answer is lost */
	assert_int_equal(replica_member_remove(leader->replica, leader->id,
					       &change), 0);
	lab_run(&lab, 5);
	lab_stop(leader); /* leads in its term for ever, as far as it knows */
	{
		uint64_t term = 2;
		struct replica_status status;

		replica_status(other->replica, &status);
		term = status.term;
		for (i = 0; i < 2000 && !seen; i++) {
			lab_run(&lab, 1);
			seen = other->leading_term == term;
		}
		assert_true(other->leading_term != 0);
	}
	lab_close(&lab);
	return seen;
}

static void t4_new_sole_voter_takes_a_new_term(void **state)
{
	(void)state;
	assert_false(two_leaders_in_a_term(0));
	assert_true(two_leaders_in_a_term(OFF(4)));
}

/* --- T6 --------------------------------------------------------------------- */

static uint64_t unheard, answered_by;
static bool granted;

static bool vote_seen(struct lab *lab, const struct lab_frame *frame)
{
	(void)lab;
	if (frame->from == answered_by && frame->data[0] == FRAME_VOTE_RESULT)
		granted = frame->data[9] & 4;
	return frame->from != unheard;
}

/* Another follower asks for a vote, so long after the leader was heard last.
 * Whether it is given before the own timer fires, by time alone. */
static bool votes_after(uint64_t quiet_ms, bool standby, uint32_t off)
{
	struct replica_change change = { NULL, on_change };
	struct lab_replica *leader, *asked, *asks;
	struct replica_status status;
	uint8_t frame[34] = { FRAME_VOTE };
	struct lab lab;

	leader = up(&lab, 3, off);
	lab_run(&lab, 300);
	asked = &lab.replicas[leader->id % 3];
	asks = &lab.replicas[asked->id % 3];
	if (standby)
		assert_int_equal(replica_member_role(leader->replica,
						     asked->id, ROLE_STANDBY,
						     &change), 0);
	unheard = 0;
	lab_run(&lab, 100);
	lab.pass = vote_seen;
	answered_by = asked->id;
	granted = false;
	/* A heartbeat was heard at this moment, and then nothing. */
	while (asked->replica->heard_ms != lab.now_ms - 1)
		lab_run(&lab, 1);
	unheard = leader->id;
	lab_run(&lab, quiet_ms);
	replica_status(asked->replica, &status);
	assert_int_equal(status.state, REPLICA_FOLLOWER);
	assert_int_equal(status.leader, leader->id);
	put_u64(frame + 1, status.term + 1);
	put_u64(frame + 9, asks->id);
	put_u64(frame + 17, status.last + 1);
	put_u64(frame + 25, status.term + 1);
	frame[33] = 2; /* a pre-vote */
	replica_link_frame(asked->replica, asks->id, frame, sizeof frame);
	unheard = 0;
	lab_run(&lab, 1);
	lab_close(&lab);
	return granted;
}

/* The leader is heard: no vote, whoever asks. It was not for an election
 * time-out: a vote, although the own timer takes longer. */
static void t6_votes_go_by_time(void **state)
{
	(void)state;
	assert_false(votes_after(150, false, 0));
	assert_true(votes_after(201, false, 0));
	assert_false(votes_after(201, false, OFF(6)));
}

/* A candidate may know that we are a voter before we do, and need our vote. */
static void t6_who_is_asked_votes(void **state)
{
	(void)state;
	assert_false(votes_after(150, true, 0));
	assert_true(votes_after(201, true, 0));
	assert_false(votes_after(201, true, OFF(6)));
}

/* --- T7 --------------------------------------------------------------------- */

static uint64_t refused_term;

static bool catch_refusal(struct lab *lab, const struct lab_frame *frame)
{
	(void)lab;
	if (frame->data[0] == 6 && frame->size == 10)
		refused_term = get_u64(frame->data + 1);
	return frame->data[0] <= 2; /* nobody hears anything */
}

static uint64_t term_of_refusal(uint32_t off, uint64_t *term)
{
	struct lab_replica *leader, *follower;
	struct replica_status status;
	uint8_t frame[34] = { 5 };
	struct lab lab;

	leader = up(&lab, 3, off);
	submit(&lab, leader, 5);
	follower = &lab.replicas[leader->id % 3];
	lab.pass = catch_refusal;
	lab_run(&lab, 201);
	/* A pre-vote of an old term and a short log. */
	put_u64(frame + 1, 1);
	put_u64(frame + 9, leader->id);
	put_u64(frame + 17, 2);
	put_u64(frame + 25, 1);
	frame[33] = 2;
	refused_term = 0;
	replica_link_frame(follower->replica, leader->id, frame, sizeof frame);
	replica_status(follower->replica, &status);
	*term = status.term;
	lab_run(&lab, 1);
	lab_close(&lab);
	return refused_term;
}

static void t7_refused_candidate_learns_the_term(void **state)
{
	uint64_t term, said;

	(void)state;
	said = term_of_refusal(0, &term);
	assert_int_equal(said, term);
	said = term_of_refusal(OFF(7), &term);
	assert_true(said < term);
}

/* --- T8 --------------------------------------------------------------------- */

static bool follows_after_stale_rejection(uint32_t off)
{
	struct lab_replica *leader, *follower;
	struct replica_status status;
	uint8_t frame[25] = { 4 };
	struct lab lab;
	uint64_t match = 0;
	uint32_t i;
	bool good;

	leader = up(&lab, 3, off);
	submit(&lab, leader, 5);
	lab_run(&lab, 100);
	follower = &lab.replicas[leader->id % 3];
	lab.pass = not_from_mute;
	mute = follower->id;
	lab_run(&lab, 500); /* the leader goes back to probing */
	replica_status(leader->replica, &status);
	for (i = 0; i < status.member_count; i++)
		if (status.members[i].id == follower->id)
			match = status.match[i];
	put_u64(frame + 1, status.term);
	put_u64(frame + 9, match);
	put_u64(frame + 17, match - 1);
	replica_link_frame(leader->replica, follower->id, frame, sizeof frame);
	mute = 0;
	submit(&lab, leader, 3);
	lab_run(&lab, 1000);
	good = leader->leading_term == status.term &&
	       follower->applied == leader->applied;
	lab_close(&lab);
	return good;
}

static void t8_late_rejection_does_not_stop_replication(void **state)
{
	(void)state;
	assert_true(follows_after_stale_rejection(0));
	assert_false(follows_after_stale_rejection(OFF(8)));
}

/* What it says of its log's end then may be another leader's entries. */
static void t8_late_rejection_acknowledges_nothing(void **state)
{
	struct lab_replica *leader, *follower;
	struct replica_status status;
	uint8_t frame[25] = { FRAME_APPEND_RESULT };
	uint64_t match;
	struct lab lab;

	(void)state;
	leader = up(&lab, 3, 0);
	submit(&lab, leader, 5);
	lab_run(&lab, 100);
	follower = &lab.replicas[leader->id % 3];
	replica_status(leader->replica, &status);
	match = status.match[follower->id - 1];
	assert_int_equal(match, status.last);
	lab.pass = not_from_mute;
	mute = leader->id;
	submit(&lab, leader, 2);
	put_u64(frame + 1, status.term);
	put_u64(frame + 9, match);
	put_u64(frame + 17, match + 2);
	replica_link_frame(leader->replica, follower->id, frame, sizeof frame);
	replica_status(leader->replica, &status);
	assert_int_equal(status.match[follower->id - 1], match);
	assert_int_equal(status.commit, match);
	mute = 0;
	lab_close(&lab);
}

/* --- T9 --------------------------------------------------------------------- */

static uint32_t wakes(uint32_t off)
{
	struct replica_member spare = { .id = 9, .role = ROLE_SPARE };
	struct replica_change change = { NULL, on_change };
	struct lab_replica *leader;
	struct lab lab;
	uint32_t i, count = 0;

	leader = up(&lab, 1, off);
	lab_run(&lab, 100);
	assert_int_equal(replica_member_add(leader->replica, &spare, &change),
			 0);
	lab_run(&lab, 100);
	assert_int_equal(replica_member_role(leader->replica, 9, ROLE_VOTER,
					     &change), 0);
	lab_run(&lab, 16000); /* its catch-up ends in nothing */
	for (i = 0; i < 200; i++) {
		count += replica_next_ms(leader->replica) <= lab.now_ms;
		lab_run(&lab, 1);
	}
	lab_close(&lab);
	return count;
}

static void t9_timer_does_not_spin(void **state)
{
	(void)state;
	assert_true(wakes(0) <= 25);
	assert_true(wakes(OFF(9)) >= 150);
}

/* --- T13 -------------------------------------------------------------------- */

static bool no_results(struct lab *lab, const struct lab_frame *frame)
{
	(void)lab;
	return frame->data[0] != 4;
}

static uint64_t appended_before_own_commit(uint32_t off)
{
	struct replica_member standby = { .id = 9, .role = ROLE_STANDBY };
	struct replica_change change = { NULL, on_change };
	struct replica_status before, after;
	struct lab_replica *leader;
	struct lab lab;
	uint32_t i;

	lab_open(&lab, 3);
	lab.pass = no_results;
	for (i = 0; i < 3; i++) {
		lab.replicas[i].config.filters_off = off;
		assert_int_equal(lab_bootstrap(&lab.replicas[i], 3, NULL), 0);
		assert_int_equal(lab_start(&lab.replicas[i], NULL), 0);
	}
	lab_link(&lab);
	while (!lab_leader(&lab))
		lab_run(&lab, 1);
	leader = lab_leader(&lab);
	replica_status(leader->replica, &before);
	assert_int_equal(replica_member_add(leader->replica, &standby,
					    &change), 0);
	replica_status(leader->replica, &after);
	assert_int_equal(after.commit, 1);
	lab_close(&lab);
	return after.last - before.last;
}

static void t13_change_waits_for_a_commit_of_the_term(void **state)
{
	(void)state;
	assert_int_equal(appended_before_own_commit(0), 0);
	assert_int_equal(appended_before_own_commit(OFF(13)), 1);
}

/* --- T14 -------------------------------------------------------------------- */

/* A pre-vote's late answer names a term that nobody may ever have. To a leader
 * it must be nothing; the core takes it for a vote's, as its own union says. */
static bool unseated_by_late_answer(uint32_t off)
{
	struct replica_status before, after;
	uint8_t frame[10] = { 6 }; /* vote result: term, flags */
	struct lab_replica *leader;
	struct lab lab;

	leader = up(&lab, 3, off);
	lab_run(&lab, 100);
	replica_status(leader->replica, &before);
	put_u64(frame + 1, before.term + 5);
	frame[9] = 2; /* pre-vote, refused */
	replica_link_frame(leader->replica, leader == &lab.replicas[0] ? 2 : 1,
			   frame, sizeof frame);
	replica_status(leader->replica, &after);
	lab_close(&lab);
	return after.term != before.term || after.state != REPLICA_LEADER;
}

static void t14_only_candidates_hear_of_votes(void **state)
{
	(void)state;
	assert_false(unseated_by_late_answer(0));
	assert_true(unseated_by_late_answer(OFF(14)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t1_compacted_prefix_is_not_appended),
		cmocka_unit_test(t4_new_sole_voter_takes_a_new_term),
		cmocka_unit_test(t6_votes_go_by_time),
		cmocka_unit_test(t6_who_is_asked_votes),
		cmocka_unit_test(t2_earlier_change_is_committed_or_not),
		cmocka_unit_test(t8_late_rejection_acknowledges_nothing),
		cmocka_unit_test(t7_refused_candidate_learns_the_term),
		cmocka_unit_test(t8_late_rejection_does_not_stop_replication),
		cmocka_unit_test(t9_timer_does_not_spin),
		cmocka_unit_test(t13_change_waits_for_a_commit_of_the_term),
		cmocka_unit_test(t14_only_candidates_hear_of_votes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
