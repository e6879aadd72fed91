/* Intake from a CCN that tells the truth, that fails, that lies and that
 * forgets: what wants to run is known, and nothing is dropped by silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/aleph.h"
#include "tests/kit/replica_house.h"

#define PORT 21520
#define REF "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"

static struct house h;
static struct eth_key owner, stranger;
static double now = 1700000000;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(eth_key_make(&owner), 0);
	assert_int_equal(eth_key_make(&stranger), 0);
	house_open(&h, PORT);
	h.ccn.items = json_object();
	house_start(&h);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	house_stop(&h);
	json_decref(h.ccn.items);
	house_close(&h);
	return 0;
}

/* --- messages ---------------------------------------------------------------- */

static json_t *content_of(bool persistent, const char *replaces)
{
	json_t *content = json_pack(
		"{s:s, s:f, s:s, s:b, s:{s:b, s:b}, s:{}, s:{s:i, s:i, s:i},"
		" s:{s:s, s:s, s:s, s:b}, s:{s:s, s:s, s:b}, s:[]}",
		"address", owner.address, "time", now, "type", "vm-function",
		"allow_amend", 1, "on", "http", 1, "persistent", persistent,
		"environment", "resources", "vcpus", 1, "memory", 128,
		"seconds", 30, "code", "encoding", "zip", "entrypoint",
		"main:app", "ref", REF, "use_latest", 1, "runtime", "ref", REF,
		"comment", "", "use_latest", 1,
		"volumes");

	assert_non_null(content);
	if (replaces)
		json_object_set_new(content, "replaces",
				    json_string(replaces));
	now += 1;
	return content;
}

static json_t *sign(const struct eth_key *key, enum aleph_type type,
		    json_t *content)
{
	json_t *envelope = NULL;
	struct fault fault = { 0 };

	if (aleph_message_make(key, type, content, now, "TEST", &envelope,
			       &fault))
		fail_msg("%s", fault.text);
	json_decref(content);
	now += 1;
	return envelope;
}

static int setup_two(void **state)
{
	(void)state;
	assert_int_equal(eth_key_make(&owner), 0);
	house_open(&h, PORT);
	house_other_ccn(&h, true);
	house_start(&h);
	return 0;
}

static int setup_one_down(void **state)
{
	(void)state;
	assert_int_equal(eth_key_make(&owner), 0);
	house_open(&h, PORT);
	house_other_ccn(&h, false);
	house_start(&h);
	return 0;
}

static int setup_channel(void **state)
{
	static const char *const channels[] = { "TEST", "a,b", NULL };

	(void)state;
	assert_int_equal(eth_key_make(&owner), 0);
	house_open(&h, PORT);
	h.edge_config.channels = channels;
	house_start(&h);
	return 0;
}

static void list_message(json_t *envelope)
{
	assert_true(h.ccn.count < FAKE_MESSAGES_MAX);
	h.ccn.messages[h.ccn.count++] = envelope;
}

static const char *hash_of(const json_t *envelope)
{
	return json_string_value(json_object_get(envelope, "item_hash"));
}

static const char *list_program(bool persistent, const char *replaces)
{
	json_t *envelope = sign(&owner, ALEPH_PROGRAM,
				content_of(persistent, replaces));

	list_message(envelope);
	return hash_of(envelope);
}

static void unlist_all(void)
{
	while (h.ccn.count)
		json_decref(h.ccn.messages[--h.ccn.count]);
}

/* --- looking ------------------------------------------------------------------- */

static int64_t total_of(const char *query)
{
	char path[256];

	snprintf(path, sizeof path, "/admin/v1/programs?%s", query);
	assert_int_equal(house_ask(&h, "GET", path, NULL, false, NULL), 200);
	return json_integer_value(house_json(&h, "total"));
}

static uint64_t wanted_total;

static bool has_total(struct house *house)
{
	return (uint64_t)json_integer_value(house_json(house, "total")) ==
	       wanted_total;
}

static void until_programs(const char *state, uint64_t count)
{
	char path[128];

	wanted_total = count;
	snprintf(path, sizeof path, "/admin/v1/programs?state=%s", state);
	house_poll(&h, path, has_total);
}

static uint32_t asked_until;

static bool asked_enough(struct house *house)
{
	return house->ccn.asked >= asked_until;
}

/* Long enough for several rounds. */
static void some_polls(void)
{
	asked_until = h.ccn.asked + 12;
	house_wait(&h, asked_enough);
}

static bool has_refusal(struct house *house)
{
	return house_json(house, "refused.0") != NULL;
}

/* --- the stories ------------------------------------------------------------------ */

static void persistent_programs_are_known(void **state)
{
	const char *hash = list_program(true, NULL);
	char path[512];

	(void)state;
	list_program(false, NULL);
	until_programs("free", 1);
	assert_string_equal(house_text(&h, "programs.0.hash"), hash);
	assert_string_equal(house_text(&h, "programs.0.source"), "ccn");
	some_polls();
	assert_int_equal(total_of(""), 1);
	/* Its content can be served to agents. */
	snprintf(path, sizeof path, "%s/content/%.2s/%s", h.directory, hash,
		 hash);
	assert_int_equal(access(path, R_OK), 0);
}

static void refuse_one(json_t *envelope, const char *field)
{
	list_message(envelope);
	house_poll(&h, "/admin/v1/intake", has_refusal);
	if (!strstr(house_text(&h, "refused.0.reason"), field))
		fail_msg("%s: %s", field,
			 house_text(&h, "refused.0.reason"));
	assert_true(*house_text(&h, "refused.0.hash"));
	list_program(true, NULL);
	until_programs("free", 1);
}

static void a_strange_signature_is_refused(void **state)
{
	json_t *envelope = sign(&stranger, ALEPH_PROGRAM,
				content_of(true, NULL));

	(void)state;
	json_object_set_new(envelope, "sender", json_string(owner.address));
	refuse_one(envelope, "sign");
}

static void another_hash_is_refused(void **state)
{
	json_t *envelope = sign(&owner, ALEPH_PROGRAM,
				content_of(true, NULL));

	(void)state;
	json_object_set_new(envelope, "item_hash", json_string(REF));
	refuse_one(envelope, "hash");
}

static void an_unknown_field_is_refused(void **state)
{
	json_t *content = content_of(true, NULL);

	(void)state;
	json_object_set_new(content, "surprise", json_true());
	refuse_one(sign(&owner, ALEPH_PROGRAM, content), "surprise");
}

static void too_many_vcpus_are_refused(void **state)
{
	json_t *content = content_of(true, NULL);

	(void)state;
	json_object_set_new(json_object_get(content, "resources"), "vcpus",
			    json_integer(257));
	refuse_one(sign(&owner, ALEPH_PROGRAM, content), "vcpus");
}

static void not_a_message_is_refused(void **state)
{
	(void)state;
	refuse_one(json_pack("{s:s}", "type", "PROGRAM"), "");
}

/* A refusal is of one envelope: the good one with the same hash is taken. */
static void a_good_twin_is_taken(void **state)
{
	json_t *good = sign(&owner, ALEPH_PROGRAM, content_of(true, NULL));
	json_t *bad = json_deep_copy(good);

	(void)state;
	json_object_set_new(bad, "sender", json_string(stranger.address));
	list_message(bad);
	house_poll(&h, "/admin/v1/intake", has_refusal);
	list_message(good);
	until_programs("free", 1);
}

static void settle_one(void)
{
	list_program(true, NULL);
	until_programs("free", 1);
	some_polls();
}

static void nothing_was_dropped(void)
{
	some_polls();
	assert_int_equal(total_of("state=free"), 1);
}

static void a_failing_ccn_drops_nothing(void **state)
{
	(void)state;
	settle_one();
	h.ccn.status = "forgotten"; /* it would be confirmed at once */
	h.ccn.fail = true;
	nothing_was_dropped();
	unlist_all();
	h.ccn.fail = false;
	h.ccn.garbage = true;
	nothing_was_dropped();
	h.ccn.garbage = false;
	h.ccn.truncate = true;
	nothing_was_dropped();
	h.ccn.truncate = false;
	h.ccn.not_list = true;
	nothing_was_dropped();
	h.ccn.not_list = false;
	h.ccn.lie_total = 5; /* a list shorter than it says itself */
	nothing_was_dropped();
	h.ccn.lie_total = 0;
	until_programs("free", 0);
}

static void a_failing_page_voids_the_whole(void **state)
{
	(void)state;
	for (int i = 0; i < 250; i++)
		list_program(true, NULL);
	until_programs("free", 250);
	h.ccn.status = "forgotten";
	h.ccn.fail_page = 2;
	json_decref(h.ccn.messages[0]);
	h.ccn.messages[0] = json_incref(h.ccn.messages[1]);
	some_polls();
	assert_int_equal(total_of("state=free"), 250);
}

static void what_is_still_there_is_kept(void **state)
{
	(void)state;
	settle_one();
	h.ccn.status = "processed";
	unlist_all();
	nothing_was_dropped();
	assert_true(h.ccn.confirms > 0);
	h.ccn.status = "forgotten";
	until_programs("free", 0);
}

static void what_no_ccn_knows_is_dropped(void **state)
{
	(void)state;
	settle_one();
	h.ccn.status = NULL; /* 404 */
	unlist_all();
	until_programs("free", 0);
}

static void an_odd_status_drops_nothing(void **state)
{
	(void)state;
	settle_one();
	h.ccn.status = "confused";
	unlist_all();
	nothing_was_dropped();
}

/* aleph.md 2.3: a new message, not persistent, that replaces the old one. */
static void unpersist_ends_a_program(void **state)
{
	char first[65];

	(void)state;
	snprintf(first, sizeof first, "%s", list_program(true, NULL));
	until_programs("free", 1);
	list_program(false, first);
	until_programs("free", 0);
	assert_int_equal(total_of("state=superseded"), 2);
}

/* --- what is replaced is not known ----------------------------------------------- */

/* The CCN does not list `envelope` and answers so when asked for it. */
static void tell(const json_t *envelope, const char *status, bool whole)
{
	json_t *message = json_deep_copy(envelope);

	if (!whole)
		json_object_del(message, "item_content");
	json_object_set_new(h.ccn.items, hash_of(envelope), json_pack(
		"{s:s, s:s, s:o}", "status", status, "item_hash",
		hash_of(envelope), "message", message));
}

static json_t *make_program(const struct eth_key *key, bool persistent,
			    const char *replaces)
{
	json_t *content = content_of(persistent, replaces);

	json_object_set_new(content, "address", json_string(key->address));
	return sign(key, ALEPH_PROGRAM, content);
}

static bool has_why(struct house *house)
{
	return house_json(house, "waiting.0") != NULL;
}

static void until_waits(const char *why)
{
	house_poll(&h, "/admin/v1/intake", has_why);
	if (!strstr(house_text(&h, "waiting.0.reason"), why))
		fail_msg("%s: %s", why, house_text(&h, "waiting.0.reason"));
}

static char found[65];

/* `hash` may be placed: it waits for a CRN, not for what it replaces. */
static bool may_be_placed(struct house *house)
{
	const char *why = house_text(house, "reason.message");

	return house->status == 200 && !strstr(why, "replaces") &&
	       !strcmp(house_text(house, "state"), "free");
}

static void until_free_to_run(const char *hash)
{
	char path[128];

	snprintf(path, sizeof path, "/admin/v1/programs/%s", hash);
	house_poll(&h, path, may_be_placed);
}

static bool waits_for_ever(const char *hash)
{
	char path[128];

	some_polls();
	snprintf(path, sizeof path, "/admin/v1/programs/%s", hash);
	house_ask(&h, "GET", path, NULL, false, NULL);
	return !may_be_placed(&h);
}

static void on_demand_then_persisted(void **state)
{
	char first[65];

	(void)state;
	snprintf(first, sizeof first, "%s", list_program(false, NULL));
	some_polls();
	assert_int_equal(total_of(""), 0);
	until_free_to_run(list_program(true, first));
	assert_int_equal(total_of("state=superseded"), 1);
}

static void replaced_and_forgotten_at_once(void **state)
{
	json_t *first = make_program(&owner, false, NULL);

	(void)state;
	tell(first, "forgotten", false);
	h.ccn.status = "processed"; /* whatever else is asked for */
	until_free_to_run(list_program(true, hash_of(first)));
	json_decref(first);
}

/* Persisted, not, persisted: all but the last forgotten, none ever seen. The
 * first of them is still known by its record. */
static void toggled_between_two_polls(void **state)
{
	json_t *first = make_program(&owner, true, NULL), *second;

	(void)state;
	list_message(json_incref(first));
	until_free_to_run(hash_of(first));
	some_polls();
	second = make_program(&owner, false, hash_of(first));
	tell(second, "forgotten", false);
	tell(first, "processed", true); /* so the CCN says, for a while */
	unlist_all();
	list_program(true, hash_of(second));
	snprintf(found, sizeof found, "%s", hash_of(h.ccn.messages[0]));
	/* The first may still run: nothing of its owner is started. */
	until_waits("must stop first");
	assert_true(waits_for_ever(found));
	tell(first, "forgotten", false);
	until_free_to_run(found);
	json_decref(first);
	json_decref(second);
}

static bool is_empty(struct house *house)
{
	return json_integer_value(house_json(house, "total")) == 0;
}

/* What was known and has gone altogether, with what it replaced, is made known
 * again for one that replaces it. */
static void forgotten_then_replaced(void **state)
{
	json_t *first = make_program(&owner, true, NULL);
	json_t *second = make_program(&owner, true, hash_of(first));

	(void)state;
	list_message(json_incref(first));
	list_message(json_incref(second));
	until_programs("superseded", 1);
	until_free_to_run(hash_of(second));
	unlist_all();
	tell(first, "forgotten", false);
	tell(second, "removed", false);
	house_poll(&h, "/admin/v1/programs", is_empty);
	list_program(true, hash_of(second));
	until_free_to_run(hash_of(h.ccn.messages[0]));
	some_polls();
	assert_int_equal(total_of("state=free"), 1);
	assert_int_equal(total_of("state=superseded"), 1);
	json_decref(first);
	json_decref(second);
}

/* A tomb of another owner is never put, nor is its successor ever placed. */
static void anothers_tomb_is_not_replaced(void **state)
{
	json_t *first = make_program(&stranger, false, NULL);

	(void)state;
	tell(first, "forgotten", false);
	list_program(true, hash_of(first));
	snprintf(found, sizeof found, "%s", hash_of(h.ccn.messages[0]));
	until_waits("another owner");
	assert_true(waits_for_ever(found));
	assert_int_equal(total_of(""), 1);
	json_decref(first);
}

static void a_chain_is_followed(void **state)
{
	json_t *chain[4] = { make_program(&owner, false, NULL) };

	(void)state;
	json_object_set_new(chain[0], "channel", json_string("OTHER"));
	for (int i = 1; i < 4; i++)
		chain[i] = make_program(&owner, false, hash_of(chain[i - 1]));
	for (int i = 1; i < 3; i++)
		list_message(json_incref(chain[i]));
	tell(chain[0], "removing", true);
	list_program(true, hash_of(chain[2]));
	until_free_to_run(hash_of(h.ccn.messages[2]));
	assert_int_equal(total_of("state=superseded"), 3);
	for (int i = 0; i < 4; i++)
		json_decref(chain[i]);
}

static void what_no_ccn_tells_of_is_waited_for(void **state)
{
	json_t *first = make_program(&owner, false, NULL);

	(void)state;
	h.ccn.status = NULL; /* 404 */
	list_program(true, hash_of(first));
	snprintf(found, sizeof found, "%s", hash_of(h.ccn.messages[0]));
	until_waits("does not know it");
	assert_true(waits_for_ever(found));
	tell(first, "pending", false);
	assert_true(waits_for_ever(found));
	tell(first, "rejected", true);
	assert_true(waits_for_ever(found));
	tell(first, "processed", true);
	until_free_to_run(found);
	json_decref(first);
}

static void anothers_program_is_not_replaced(void **state)
{
	json_t *first = make_program(&stranger, false, NULL);

	(void)state;
	tell(first, "processed", true);
	list_program(true, hash_of(first));
	house_poll(&h, "/admin/v1/intake", has_refusal);
	assert_non_null(strstr(house_text(&h, "refused.0.reason"), "owner"));
	assert_int_equal(total_of("state=free"), 0);
	json_decref(first);
}

/* The sender of what is gone is proven by its signature, not by the CCN. */
static void a_false_tomb_is_refused(void **state)
{
	json_t *first = make_program(&stranger, false, NULL);

	(void)state;
	json_object_set_new(first, "sender", json_string(owner.address));
	tell(first, "forgotten", false);
	list_program(true, hash_of(first));
	snprintf(found, sizeof found, "%s", hash_of(h.ccn.messages[0]));
	until_waits("signature");
	assert_true(waits_for_ever(found));
	json_decref(first);
}

static bool has_revision(struct house *house)
{
	return json_integer_value(house_json(
		       house, "programs.0.code_revision")) > 0;
}

static json_t *store_of(const struct eth_key *key)
{
	json_t *content = json_pack("{s:s, s:f, s:s, s:s, s:s}", "address",
				    key->address, "time", now, "item_type",
				    "storage", "item_hash", REF, "ref", REF);

	return sign(key, ALEPH_STORE, content);
}

static void newer_code_is_found(void **state)
{
	(void)state;
	settle_one();
	list_message(store_of(&stranger)); /* not its owner's: no update */
	some_polls();
	total_of("");
	assert_false(has_revision(&h));
	list_message(store_of(&owner));
	house_poll(&h, "/admin/v1/programs", has_revision);
}

/* --- several CCNs ------------------------------------------------------------------- */

static bool other_fails(struct house *house)
{
	return *house_text(house, "ccns.1.problem") &&
	       json_is_false(house_json(house, "ccns.1.ok")) &&
	       json_is_true(house_json(house, "ccns.0.ok"));
}

static void one_ccn_is_down(void **state)
{
	(void)state;
	settle_one();
	house_poll(&h, "/admin/v1/intake", other_fails);
	nothing_was_dropped();
	unlist_all();
	h.ccn.status = "removing"; /* there still, says the one that answers */
	nothing_was_dropped();
	h.ccn.status = NULL; /* unknown here: the other might know it */
	nothing_was_dropped();
	h.ccn.status = "forgotten";
	until_programs("free", 0);
}

static bool other_is_asked(struct house *house)
{
	return house->other.asked >= 12;
}

/* What one leaves out is there if the other shows it, whatever the first says
 * of it; and neither's omission alone is believed. */
static void one_ccn_omits(void **state)
{
	(void)state;
	h.other.status = "forgotten";
	settle_one();
	house_wait(&h, other_is_asked);
	nothing_was_dropped();
	assert_int_equal(h.other.confirms, 0);
	/* Gone from both lists, but there: one of them says so. */
	h.ccn.status = "processed";
	unlist_all();
	nothing_was_dropped();
	assert_true(h.ccn.confirms > 0);
	h.ccn.status = NULL;
	until_programs("free", 0);
}

/* A bad envelope at one does not keep the good one of the other out. */
static void one_ccn_lies(void **state)
{
	json_t *good = sign(&owner, ALEPH_PROGRAM, content_of(true, NULL));
	json_t *bad = json_deep_copy(good);

	(void)state;
	json_object_set_new(bad, "signature", json_string("0x00"));
	h.other.messages[h.other.count++] = bad;
	house_poll(&h, "/admin/v1/intake", has_refusal);
	list_message(good);
	until_programs("free", 1);
	nothing_was_dropped();
}

static void other_channels_are_not_ours(void **state)
{
	json_t *envelope = sign(&owner, ALEPH_PROGRAM,
				content_of(true, NULL));

	(void)state;
	json_object_set_new(envelope, "channel", json_string("OTHER"));
	list_message(envelope);
	list_program(true, NULL);
	until_programs("free", 1);
	some_polls();
	assert_int_equal(total_of(""), 1);
	envelope = sign(&owner, ALEPH_PROGRAM, content_of(true, NULL));
	json_object_set_new(envelope, "channel", json_string("a,b"));
	list_message(envelope);
	until_programs("free", 2);
}

static void a_restart_goes_on(void **state)
{
	(void)state;
	settle_one();
	house_stop(&h);
	unlist_all();
	h.ccn.status = "processed";
	house_start(&h);
	nothing_was_dropped();
	h.ccn.status = "removed";
	until_programs("free", 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(persistent_programs_are_known),
		CASE(a_strange_signature_is_refused),
		CASE(another_hash_is_refused),
		CASE(an_unknown_field_is_refused),
		CASE(too_many_vcpus_are_refused),
		CASE(not_a_message_is_refused),
		CASE(a_good_twin_is_taken),
		CASE(a_failing_ccn_drops_nothing),
		CASE(a_failing_page_voids_the_whole),
		CASE(what_is_still_there_is_kept),
		CASE(what_no_ccn_knows_is_dropped),
		CASE(an_odd_status_drops_nothing),
		CASE(unpersist_ends_a_program),
		CASE(on_demand_then_persisted),
		CASE(replaced_and_forgotten_at_once),
		CASE(toggled_between_two_polls),
		CASE(forgotten_then_replaced),
		CASE(anothers_tomb_is_not_replaced),
		CASE(a_chain_is_followed),
		CASE(what_no_ccn_tells_of_is_waited_for),
		CASE(anothers_program_is_not_replaced),
		CASE(a_false_tomb_is_refused),
		CASE(newer_code_is_found),
		CASE(a_restart_goes_on),
		cmocka_unit_test_setup_teardown(one_ccn_is_down,
						setup_one_down, teardown),
		cmocka_unit_test_setup_teardown(one_ccn_omits, setup_two,
						teardown),
		cmocka_unit_test_setup_teardown(one_ccn_lies, setup_two,
						teardown),
		cmocka_unit_test_setup_teardown(other_channels_are_not_ours,
						setup_channel, teardown),
	};

	return cmocka_run_group_tests_name("replica_intake", tests, NULL,
					   NULL);
}
