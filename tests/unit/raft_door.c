/* R18 at the door, in small: which hellos a replica takes, told by frames that
 * were captured and changed; and T14's answer to one of an old term. The whole
 * stories of disks are in raft_replica.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "raft/bytes.h"
#include "tests/kit/lab.h"

enum { HELLO = 1, APPEND = 3, APPEND_RESULT = 4 };
enum { AT_ID = 67, AT_DISK = 75, AT_INCARNATION = 91, AT_NONCE = 99,
       AT_PAST = 107 };

/* The last hello of replica 2 to replica 1, and the last refusal. */
static uint8_t hello[1024], result[64];
static size_t hello_size;
static bool result_heard;
static uint32_t said; /* frames of replica 1 to 2, hellos aside */

static bool capture(struct lab *lab, const struct lab_frame *frame)
{
	(void)lab;
	said += frame->from == 1 && frame->to == 2 && frame->data[0] != HELLO;
	if (frame->from == 2 && frame->to == 1 && frame->data[0] == HELLO) {
		assert_true(frame->size <= sizeof hello);
		memcpy(hello, frame->data, frame->size);
		hello_size = frame->size;
	}
	if (frame->data[0] == APPEND_RESULT && frame->size <= sizeof result &&
	    get_u64(frame->data + 9) != 0) { /* a refusal */
		memcpy(result, frame->data, frame->size);
		result_heard = true;
	}
	return true;
}

static void up(struct lab *lab)
{
	hello_size = 0;
	lab_open(lab, 3);
	lab->pass = capture;
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(lab_bootstrap(&lab->replicas[i], 3, NULL), 0);
		assert_int_equal(lab_start(&lab->replicas[i], NULL), 0);
	}
	lab_link(lab);
	for (int i = 0; i < 100 && !lab_leader(lab); i++)
		lab_run(lab, 100);
	assert_non_null(lab_leader(lab));
	lab_run(lab, 300);
	assert_int_not_equal(hello_size, 0);
}

/* Is this hello of replica 2 refused by replica 1? Why: see `dropped`. */
static bool refused(struct lab *lab)
{
	struct lab_replica *one = &lab->replicas[0];
	uint64_t before = one->drops;

	replica_link_up(one->replica, 2);
	replica_link_frame(one->replica, 2, hello, hello_size);
	lab_run(lab, 5);
	return one->drops != before;
}

static void the_same_hello_is_taken_again(void **state)
{
	struct lab lab;

	(void)state;
	up(&lab);
	assert_false(refused(&lab));
	lab_close(&lab);
}

/* Two disks that both count the same start: one of them is a copy. */
static void one_start_has_one_nonce(void **state)
{
	struct lab lab;

	(void)state;
	up(&lab);
	hello[AT_NONCE] ^= 1;
	assert_true(refused(&lab));
	assert_non_null(strstr(lab.replicas[0].dropped, "older"));
	lab_close(&lab);
}

static void a_certificate_names_its_replica(void **state)
{
	struct lab lab;

	(void)state;
	up(&lab);
	put_u64(hello + AT_ID, 3);
	assert_true(refused(&lab));
	assert_non_null(strstr(lab.replicas[0].dropped, "certificate"));
	lab_close(&lab);
}

static void another_disk_of_a_known_id(void **state)
{
	struct lab lab;

	(void)state;
	up(&lab);
	hello[AT_DISK] ^= 1;
	assert_true(refused(&lab));
	assert_non_null(strstr(lab.replicas[0].dropped, "another one"));
	lab_close(&lab);
}

static void another_version_of_the_protocol(void **state)
{
	struct lab lab;

	(void)state;
	up(&lab);
	hello[1] ^= 2;
	assert_true(refused(&lab));
	assert_non_null(strstr(lab.replicas[0].dropped, "version"));
	lab_close(&lab);
}

/* A new link counts for nothing until its own hello is taken, even if the one
 * before was: nothing is heard on it and nothing is said. */
static void nothing_passes_before_the_hello(void **state)
{
	uint8_t frame[37] = { APPEND };
	struct replica_status before, after;
	struct lab lab;

	(void)state;
	up(&lab);
	/* A leader has always something to say. */
	if (lab_leader(&lab)->id != 1)
		assert_int_equal(replica_transfer(lab_leader(&lab)->replica,
						  1), 0);
	lab_run(&lab, 200);
	assert_int_equal(lab_leader(&lab)->id, 1);
	replica_status(lab.replicas[0].replica, &before);
	replica_link_up(lab.replicas[0].replica, 2);
	put_u64(frame + 1, before.term + 5);
	replica_link_frame(lab.replicas[0].replica, 2, frame, sizeof frame);
	replica_status(lab.replicas[0].replica, &after);
	assert_int_equal(after.term, before.term);
	assert_false(after.connected[1]);
	said = 0;
	lab_run(&lab, 1000);
	assert_int_equal(said, 0);
	replica_link_frame(lab.replicas[0].replica, 2, hello, hello_size);
	lab_run(&lab, 1000);
	assert_true(said > 0);
	lab_close(&lab);
}

/* A hello that is being made durable when its link is replaced does not let the
 * new link in: that one may be another disk's. */
static void a_hello_is_for_its_link(void **state)
{
	struct lab_replica *one;
	struct replica_status status;
	struct lab lab;

	(void)state;
	up(&lab);
	one = &lab.replicas[0];
	memcpy(hello + AT_PAST, hello + AT_NONCE, 8);
	put_u64(hello + AT_INCARNATION, get_u64(hello + AT_INCARNATION) + 1);
	hello[AT_NONCE] ^= 1;
	one->hang = true;
	replica_link_up(one->replica, 2);
	replica_link_frame(one->replica, 2, hello, hello_size);
	replica_link_up(one->replica, 2);
	one->hang = false;
	lab_run(&lab, 5);
	replica_status(one->replica, &status);
	assert_false(status.connected[1]);
	assert_false(refused(&lab));
	replica_status(one->replica, &status);
	assert_true(status.connected[1]);
	lab_close(&lab);
}

/* What is remembered of a peer outlives the one who remembers. */
static void a_restart_forgets_no_disk(void **state)
{
	uint8_t before[1024];
	struct lab lab;

	(void)state;
	up(&lab);
	memcpy(before, hello, sizeof before);
	lab_stop(&lab.replicas[1]);
	assert_int_equal(lab_start(&lab.replicas[1], NULL), 0);
	lab_link(&lab);
	lab_run(&lab, 300);
	assert_true(get_u64(hello + AT_INCARNATION) >
		    get_u64(before + AT_INCARNATION));
	lab_stop(&lab.replicas[0]);
	assert_int_equal(lab_start(&lab.replicas[0], NULL), 0);
	memcpy(hello, before, sizeof before);
	assert_true(refused(&lab));
	assert_non_null(strstr(lab.replicas[0].dropped, "older"));
	lab_close(&lab);
}

static void on_change(void *ctx, int code)
{
	(void)ctx;
	assert_int_equal(code, 0);
}

/* A member that was added with a disk is that disk, also when nobody has heard
 * of it yet. */
static void an_added_disk_is_the_one_that_may_come(void **state)
{
	struct replica_member standby = { .id = 9, .role = ROLE_STANDBY };
	struct replica_change change = { NULL, on_change };
	struct lab_replica *leader;
	struct lab lab;

	(void)state;
	up(&lab);
	leader = lab_leader(&lab);
	memset(standby.disk_id, 6, sizeof standby.disk_id);
	assert_int_equal(replica_member_add(leader->replica, &standby,
					    &change), 0);
	lab_run(&lab, 500);
	put_u64(hello + AT_ID, 9);
	memset(hello + AT_DISK, 7, 16);
	put_u64(hello + AT_INCARNATION, 1);
	replica_link_up(leader->replica, 9);
	leader->dropped[0] = '\0';
	replica_link_frame(leader->replica, 9, hello, hello_size);
	assert_non_null(strstr(leader->dropped, "added with"));
	lab_close(&lab);
}

/* T14: the core leaves the hint of such an answer as it was; ours is 0. */
static void t14_answers_of_old_terms_have_no_hint(void **state)
{
	struct lab_replica *leader, *follower;
	uint8_t frame[37] = { APPEND };
	uint64_t index;
	struct lab lab;

	(void)state;
	up(&lab);
	leader = lab_leader(&lab);
	follower = &lab.replicas[leader->id % 3];
	for (int i = 0; i < 20; i++) {
		assert_int_equal(replica_submit(leader->replica, "x", 1, false,
						&index), 0);
		lab_run(&lab, 5);
	}
	lab_run(&lab, 300);
	put_u64(frame + 1, 1); /* nobody ever led in it */
	put_u64(frame + 9, 5);
	put_u64(frame + 17, 1);
	result_heard = false;
	replica_link_frame(follower->replica, leader->id, frame, sizeof frame);
	for (int i = 0; i < 50 && !result_heard; i++)
		lab_run(&lab, 1);
	assert_true(result_heard);
	assert_int_equal(get_u64(result + 17), 0);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_hello_is_taken_again),
		cmocka_unit_test(one_start_has_one_nonce),
		cmocka_unit_test(a_certificate_names_its_replica),
		cmocka_unit_test(another_disk_of_a_known_id),
		cmocka_unit_test(another_version_of_the_protocol),
		cmocka_unit_test(nothing_passes_before_the_hello),
		cmocka_unit_test(a_hello_is_for_its_link),
		cmocka_unit_test(a_restart_forgets_no_disk),
		cmocka_unit_test(an_added_disk_is_the_one_that_may_come),
		cmocka_unit_test(t14_answers_of_old_terms_have_no_hint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
