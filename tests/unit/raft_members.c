/* Changes of the membership and transfers: which are taken, when they are
 * done, and what becomes of them with the leader that took them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "raft/internal.h"
#include "tests/kit/lab.h"

#define ELECTION_MS 200u

struct told {
	struct replica_change change;
	uint32_t times;
	int code;
};

static void on_change(void *ctx, int code)
{
	struct told *told = ctx;

	told->times++;
	told->code = code;
}

static struct replica_change *tell(struct told *told)
{
	*told = (struct told){ .change = { told, on_change } };
	return &told->change;
}

/* Frames to and from that one are lost. */
static uint64_t cut_off, no_entries_to;

static bool passes(struct lab *lab, const struct lab_frame *frame)
{
	(void)lab;
	return frame->from != cut_off && frame->to != cut_off &&
	       (frame->to != no_entries_to || frame->data[0] != FRAME_APPEND ||
		frame->size < 400);
}

static struct lab_replica *up(struct lab *lab)
{
	struct lab_replica *leader = lab_up(lab, 3);

	cut_off = no_entries_to = 0;
	lab->pass = passes;
	lab_run(lab, 300);
	return leader;
}

static uint32_t member_count(const struct lab_replica *r)
{
	struct replica_status status;

	replica_status(r->replica, &status);
	return status.member_count;
}

static void changes_that_may_not_be(void **state)
{
	struct replica_member member = { .id = 9, .role = ROLE_VOTER };
	struct lab_replica *leader;
	struct replica *r;
	struct told told;
	struct lab lab;
	uint64_t other;

	(void)state;
	leader = up(&lab);
	r = leader->replica;
	other = leader->id % 3 + 1;
	/* A voter has caught up first. */
	assert_int_equal(replica_member_add(r, &member, tell(&told)),
			 BERTH_INVALID);
	member.role = ROLE_STANDBY;
	member.id = 0;
	assert_int_equal(replica_member_add(r, &member, tell(&told)),
			 BERTH_INVALID);
	member.id = other;
	assert_int_equal(replica_member_add(r, &member, tell(&told)),
			 BERTH_EXISTS);
	assert_int_equal(replica_member_role(r, 9, ROLE_VOTER, tell(&told)),
			 BERTH_NOTFOUND);
	assert_int_equal(replica_member_role(r, other, ROLE_VOTER,
					     tell(&told)), BERTH_INVALID);
	assert_int_equal(replica_member_remove(r, 9, tell(&told)),
			 BERTH_NOTFOUND);
	/* T5 */
	assert_int_equal(replica_member_role(r, leader->id, ROLE_STANDBY,
					     tell(&told)), BERTH_INVALID);
	assert_int_equal(replica_member_remove(r, leader->id, tell(&told)),
			 BERTH_INVALID);
	assert_int_equal(replica_transfer(r, 9), BERTH_NOTFOUND);
	assert_int_equal(replica_transfer(r, leader->id), BERTH_INVALID);
	assert_int_equal(replica_member_role(r, other, ROLE_STANDBY,
					     tell(&told)), 0);
	lab_run(&lab, 100);
	assert_int_equal(told.times, 1);
	assert_int_equal(replica_transfer(r, other), BERTH_INVALID);
	assert_int_equal(told.times, 1);
	assert_int_equal(member_count(leader), 3);
	lab_close(&lab);
}

/* One is on its way: no second one, and no transfer; and it is done when it is
 * applied and not before. */
static void one_change_at_a_time(void **state)
{
	struct replica_member member = { .id = 9, .role = ROLE_STANDBY };
	struct lab_replica *leader;
	struct told first, second;
	struct lab lab;
	uint64_t other;

	(void)state;
	leader = up(&lab);
	other = leader->id % 3 + 1;
	cut_off = leader->id;
	assert_int_equal(replica_member_add(leader->replica, &member,
					    tell(&first)), 0);
	lab_run(&lab, 50);
	assert_int_equal(first.times, 0);
	assert_int_equal(replica_member_remove(leader->replica, other,
					       tell(&second)), BERTH_BUSY);
	assert_int_equal(replica_transfer(leader->replica, other),
			 BERTH_BUSY);
	cut_off = 0;
	lab_run(&lab, 100);
	assert_int_equal(first.times, 1);
	assert_int_equal(first.code, 0);
	assert_int_equal(member_count(leader), 4);
	assert_int_equal(second.times, 0);
	lab_close(&lab);
}

/* Who is no leader any more does not know what becomes of the change that it
 * wrote down, and says so. */
static void deposed_leader_does_not_know(void **state)
{
	struct replica_member member = { .id = 9, .role = ROLE_STANDBY };
	struct lab_replica *leader;
	struct told told;
	struct lab lab;

	(void)state;
	leader = up(&lab);
	cut_off = leader->id;
	assert_int_equal(replica_member_add(leader->replica, &member,
					    tell(&told)), 0);
	lab_run(&lab, 20 * ELECTION_MS);
	assert_int_equal(leader->leading_term, 0);
	assert_int_equal(told.times, 1);
	assert_int_equal(told.code, BERTH_UNKNOWN_OUTCOME);
	lab_close(&lab);
}

/* A transfer that comes to nothing holds work up for two election time-outs;
 * meanwhile neither entries nor changes are taken. */
static void transfer_gives_up(void **state)
{
	struct lab_replica *leader;
	char data[1000] = { 0 };
	struct told told;
	struct lab lab;
	uint64_t other, index;

	(void)state;
	leader = up(&lab);
	other = no_entries_to = leader->id % 3 + 1;
	assert_int_equal(replica_submit(leader->replica, data, sizeof data,
					false, &index), 0);
	lab_run(&lab, 20);
	assert_int_equal(replica_transfer(leader->replica, other), 0);
	lab_run(&lab, ELECTION_MS);
	assert_int_equal(replica_submit(leader->replica, "x", 1, false,
					&index), BERTH_BUSY);
	assert_int_equal(replica_member_remove(leader->replica, other,
					       tell(&told)), BERTH_BUSY);
	lab_run(&lab, ELECTION_MS + 10);
	assert_true(leader->leading_term > 0);
	assert_int_equal(replica_submit(leader->replica, "x", 1, false,
					&index), 0);
	lab_close(&lab);
}

/* A leader whose disk hangs hands over to the one that has most. */
static void hanging_leader_hands_over_to_the_best(void **state)
{
	struct lab_replica *leader, *first, *second;
	char data[1000] = { 0 };
	struct lab lab;
	uint64_t index;

	(void)state;
	leader = up(&lab);
	first = &lab.replicas[leader->id == 1];
	second = &lab.replicas[3 - (leader - lab.replicas) -
			       (first - lab.replicas)];
	no_entries_to = first->id;
	leader->hang = true;
	assert_int_equal(replica_submit(leader->replica, data, sizeof data,
					false, &index), 0);
	lab_run(&lab, 3 * ELECTION_MS);
	assert_int_equal(leader->leading_term, 0);
	assert_true(second->leading_term > 0);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_that_may_not_be),
		cmocka_unit_test(one_change_at_a_time),
		cmocka_unit_test(deposed_leader_does_not_know),
		cmocka_unit_test(transfer_gives_up),
		cmocka_unit_test(hanging_leader_hands_over_to_the_best),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
