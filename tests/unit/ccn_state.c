/* What becomes of messages, and what a restart finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/ccn/ccn.h"
#include "node/ccn/render.h"
#include "node/lib/crypto.h"

struct world {
	char directory[64];
	struct ccn *ccn;
	struct eth_key alice, bob;
	double time;
};

static struct world *open_world(void **state)
{
	return *state;
}

static void restart(struct world *w)
{
	struct fault fault;

	ccn_close(w->ccn);
	if (ccn_open(&w->ccn, w->directory, &fault) != 0)
		fail_msg("%s", fault.text);
}

static int remove_one(const char *name, const struct stat *st, int kind,
		      struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(name);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	uint8_t secret[32];
	struct fault fault;

	strcpy(w->directory, "/tmp/berth-ccn-XXXXXX");
	if (!mkdtemp(w->directory))
		return -1;
	memset(secret, 0x11, sizeof secret);
	assert_int_equal(eth_key_from_secret(secret, &w->alice), 0);
	memset(secret, 0x22, sizeof secret);
	assert_int_equal(eth_key_from_secret(secret, &w->bob), 0);
	w->time = 1700000000;
	*state = w;
	return ccn_open(&w->ccn, w->directory, &fault);
}

static int teardown(void **state)
{
	struct world *w = *state;

	ccn_close(w->ccn);
	nftw(w->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

/* Posts; gives the item hash (static), and checks what became of it. */
static const char *post_as(struct world *w, const struct eth_key *key,
			   enum aleph_type type, json_t *content,
			   enum ccn_status wanted, int code)
{
	static char hashes[32][65];
	static unsigned next;
	const struct ccn_record *record;
	struct fault fault;
	char *hash = hashes[next++ % 32];
	json_t *envelope;

	w->time += 1;
	if (!json_object_get(content, "address"))
		json_object_set_new(content, "address",
				    json_string(key->address));
	json_object_set_new(content, "time", json_real(w->time));
	assert_int_equal(aleph_message_make(key, type, content, w->time,
					    "TEST", &envelope, &fault), 0);
	if (ccn_post(w->ccn, envelope, (uint64_t)(w->time * 1e6), &record,
		     &fault) != 0)
		fail_msg("%s", fault.text);
	if (record->status != wanted || (code >= 0 && record->code != code))
		fail_msg("%s, code %d: %s", ccn_status_name(record->status),
			 record->code, record->error);
	strcpy(hash, record->message.item_hash);
	json_decref(envelope);
	json_decref(content);
	return hash;
}

static const char *post(struct world *w, enum aleph_type type,
			json_t *content, enum ccn_status wanted, int code)
{
	return post_as(w, &w->alice, type, content, wanted, code);
}

static enum ccn_status status_of(const struct world *w, const char *hash)
{
	const struct ccn_record *record = ccn_find(w->ccn, hash);

	assert_non_null(record);
	return record->status;
}

static const char *add_file(struct world *w, const char *text)
{
	const struct ccn_file *file;
	struct fault fault;

	assert_int_equal(ccn_file_add(w->ccn, text, strlen(text), NULL, &file,
				      &fault), 0);
	return file->hash;
}

static json_t *store_of(const char *file)
{
	return json_pack("{ss ss}", "item_type", "storage", "item_hash", file);
}

static json_t *program_of(const char *store, const char *replaces)
{
	json_t *content = json_pack(
		"{ss sb s{sbsb} s{} s{} s{ssss} s{ssssss} ss*}", "type",
		"vm-function", "allow_amend", 1, "on", "http", 1, "persistent",
		1, "environment", "resources", "runtime", "ref", store,
		"comment", "", "code", "encoding", "zip", "entrypoint",
		"main:app", "ref", store, "replaces", replaces);

	assert_non_null(content);
	return content;
}

static json_t *forget_of(const char *hash)
{
	return json_pack("{s[s]}", "hashes", hash);
}

static void a_program_waits_for_its_code(void **state)
{
	struct world *w = open_world(state);
	char file[65] = "2cf24dba5fb0a30e26e83b2ac5b9e29e"
			"1b161e5c1fa7425e73043362938b9824"; /* "hello" */
	const char *store, *program;

	store = post(w, ALEPH_STORE, store_of(file), CCN_PENDING,
		     CCN_CODE_FILE);
	program = post(w, ALEPH_PROGRAM, program_of(store, NULL), CCN_PENDING,
		       CCN_CODE_VM_REF);
	assert_int_equal(w->ccn->pending_count, 2);
	restart(w);
	assert_int_equal(status_of(w, program), CCN_PENDING);
	assert_string_equal(add_file(w, "hello"), file);
	assert_int_equal(status_of(w, store), CCN_PROCESSED);
	assert_int_equal(status_of(w, program), CCN_PROCESSED);
	assert_int_equal(w->ccn->pending_count, 0);
	restart(w);
	assert_int_equal(status_of(w, program), CCN_PROCESSED);
}

static void replaces_and_amend(void **state)
{
	struct world *w = open_world(state);
	const char *store = post(w, ALEPH_STORE,
				 store_of(add_file(w, "code")), CCN_PROCESSED,
				 -1);
	const char *first, *second, *fixed;
	json_t *content;

	first = post(w, ALEPH_PROGRAM, program_of(store, NULL), CCN_PROCESSED,
		     -1);
	second = post(w, ALEPH_PROGRAM, program_of(store, first),
		      CCN_PROCESSED, -1);
	post(w, ALEPH_PROGRAM, program_of(store, second), CCN_REJECTED,
	     CCN_CODE_VM_UPDATE);
	post_as(w, &w->bob, ALEPH_PROGRAM, program_of(store, first),
		CCN_REJECTED, CCN_CODE_PERMISSION);
	post(w, ALEPH_PROGRAM, program_of(store, store), CCN_PENDING,
	     CCN_CODE_VM_REF);
	content = program_of(store, NULL);
	json_object_set_new(content, "allow_amend", json_false());
	fixed = post(w, ALEPH_PROGRAM, content, CCN_PROCESSED, -1);
	post(w, ALEPH_PROGRAM, program_of(store, fixed), CCN_REJECTED,
	     CCN_CODE_VM_AMEND);
	/* persist, unpersist, persist: the first one was forgotten. */
	post(w, ALEPH_FORGET, forget_of(first), CCN_PROCESSED, -1);
	post(w, ALEPH_PROGRAM, program_of(store, second), CCN_PROCESSED, -1);
}

static void forgetting(void **state)
{
	struct world *w = open_world(state);
	const char *store = post(w, ALEPH_STORE,
				 store_of(add_file(w, "code")), CCN_PROCESSED,
				 -1);
	const char *program = post(w, ALEPH_PROGRAM, program_of(store, NULL),
				   CCN_PROCESSED, -1);
	const char *forget;

	post(w, ALEPH_FORGET, forget_of(store), CCN_REJECTED,
	     CCN_CODE_FORGET_DENIED);
	post_as(w, &w->bob, ALEPH_FORGET, forget_of(program), CCN_REJECTED,
		CCN_CODE_PERMISSION);
	assert_int_equal(status_of(w, program), CCN_PROCESSED);
	forget = post(w, ALEPH_FORGET, forget_of(program), CCN_PROCESSED, -1);
	assert_int_equal(status_of(w, program), CCN_FORGOTTEN);
	assert_string_equal(ccn_find(w->ccn, program)->forgotten_by, forget);
	post(w, ALEPH_FORGET, forget_of(forget), CCN_REJECTED,
	     CCN_CODE_FORGET_FORGET);
	post(w, ALEPH_FORGET, forget_of(store), CCN_PROCESSED, -1);
	restart(w);
	assert_int_equal(status_of(w, program), CCN_FORGOTTEN);
	assert_int_equal(status_of(w, store), CCN_FORGOTTEN);
	/* One of two is not to be forgotten: none is. */
	store = post(w, ALEPH_STORE, store_of(add_file(w, "x")), CCN_PROCESSED,
		     -1);
	program = post_as(w, &w->bob, ALEPH_STORE, store_of(add_file(w, "x")),
			  CCN_PROCESSED, -1);
	post(w, ALEPH_FORGET, json_pack("{s[ss]}", "hashes", store, program),
	     CCN_REJECTED, CCN_CODE_PERMISSION);
	assert_int_equal(status_of(w, store), CCN_PROCESSED);
}

static void a_program_and_its_code_in_one_forget(void **state)
{
	struct world *w = open_world(state);
	const char *store = post(w, ALEPH_STORE,
				 store_of(add_file(w, "code")), CCN_PROCESSED,
				 -1);
	const char *program = post(w, ALEPH_PROGRAM, program_of(store, NULL),
				   CCN_PROCESSED, -1);

	post(w, ALEPH_FORGET, json_pack("{s[ss]}", "hashes", store, program),
	     CCN_PROCESSED, -1);
	assert_int_equal(status_of(w, store), CCN_FORGOTTEN);
	assert_int_equal(status_of(w, program), CCN_FORGOTTEN);
}

static void forgetting_what_comes_later(void **state)
{
	struct world *w = open_world(state);
	json_t *content = store_of(add_file(w, "late")), *envelope;
	const struct ccn_record *record;
	struct fault fault;
	const char *forget;

	json_object_set_new(content, "address", json_string(w->alice.address));
	json_object_set_new(content, "time", json_real(1));
	assert_int_equal(aleph_message_make(&w->alice, ALEPH_STORE, content, 1,
					    NULL, &envelope, &fault), 0);
	forget = post(w, ALEPH_FORGET, forget_of(json_string_value(
			json_object_get(envelope, "item_hash"))), CCN_PENDING,
		      CCN_CODE_FORGET_TARGET);
	assert_int_equal(ccn_post(w->ccn, envelope, 1, &record, &fault), 0);
	assert_int_equal(record->status, CCN_FORGOTTEN);
	assert_int_equal(status_of(w, forget), CCN_PROCESSED);
	json_decref(envelope);
	json_decref(content);
}

static void store_updates(void **state)
{
	struct world *w = open_world(state);
	const char *file = add_file(w, "v2");
	const char *first = post(w, ALEPH_STORE, store_of(file),
				 CCN_PROCESSED, -1), *second;
	json_t *content = store_of(file);

	json_object_set_new(content, "ref", json_string(first));
	second = post(w, ALEPH_STORE, json_incref(content), CCN_PROCESSED, -1);
	json_object_set_new(content, "ref", json_string(second));
	post(w, ALEPH_STORE, json_incref(content), CCN_REJECTED,
	     CCN_CODE_STORE_UPDATE);
	json_object_set_new(content, "ref", json_string(file));
	post(w, ALEPH_STORE, json_incref(content), CCN_PENDING,
	     CCN_CODE_STORE_TARGET);
	json_object_set_new(content, "ref", json_string("my-site"));
	post(w, ALEPH_STORE, json_incref(content), CCN_PROCESSED, -1);
	json_object_set_new(content, "ref", json_string(first));
	json_object_set_new(content, "address", json_string(w->bob.address));
	post_as(w, &w->bob, ALEPH_STORE, content, CCN_REJECTED,
		CCN_CODE_PERMISSION);
}

static void delegation(void **state)
{
	struct world *w = open_world(state);
	json_t *content = json_pack("{ss ss}", "address", w->alice.address,
				    "type", "note");

	post_as(w, &w->bob, ALEPH_POST, json_deep_copy(content), CCN_REJECTED,
		CCN_CODE_PERMISSION);
	post(w, ALEPH_AGGREGATE, json_pack(
		"{ss s{s[{ss s[s]}]}}", "key", "security", "content",
		"authorizations", "address", w->bob.address, "types", "POST"),
	     CCN_PROCESSED, -1);
	post_as(w, &w->bob, ALEPH_POST, json_deep_copy(content),
		CCN_PROCESSED, -1);
	json_decref(content);
	post_as(w, &w->bob, ALEPH_AGGREGATE, json_pack(
		"{ss ss s{}}", "address", w->alice.address, "key", "k",
		"content"), CCN_REJECTED, CCN_CODE_PERMISSION);
}

/* A refused message does not stand in the way of the good one of that hash. */
static void a_bad_signature_does_not_squat(void **state)
{
	struct world *w = open_world(state);
	json_t *content = json_pack("{ss sf ss}", "address", w->alice.address,
				    "time", 1.0, "type", "note");
	const struct ccn_record *record;
	json_t *good, *bad;
	struct fault fault;

	assert_int_equal(aleph_message_make(&w->alice, ALEPH_POST, content, 1,
					    NULL, &good, &fault), 0);
	bad = json_deep_copy(good);
	json_object_set_new(bad, "signature", json_string("0x00"));
	assert_int_equal(ccn_post(w->ccn, bad, 1, &record, &fault), 0);
	assert_int_equal(record->status, CCN_REJECTED);
	assert_int_equal(record->code, CCN_CODE_SIGNATURE);
	restart(w);
	assert_int_equal(ccn_post(w->ccn, good, 2, &record, &fault), 0);
	assert_int_equal(record->status, CCN_PROCESSED);
	assert_int_equal(ccn_post(w->ccn, bad, 3, &record, &fault), 0);
	assert_int_equal(record->status, CCN_PROCESSED);
	restart(w);
	assert_int_equal(w->ccn->record_count, 1);
	assert_int_equal(w->ccn->records[0]->status, CCN_PROCESSED);
	json_object_set_new(bad, "item_content", json_string("{}"));
	json_object_set_new(bad, "item_hash", json_string("made-up"));
	assert_int_equal(ccn_post(w->ccn, bad, 3, &record, &fault), 0);
	assert_int_equal(record->status, CCN_REJECTED);
	assert_int_equal(record->code, CCN_CODE_FORMAT);
	json_decref(content);
	json_decref(good);
	json_decref(bad);
}

static void what_is_no_message_leaves_nothing(void **state)
{
	struct world *w = open_world(state);
	const struct ccn_record *record = NULL;
	json_t *envelope = json_pack("{ss}", "chain", "ETH");
	uint64_t end = w->ccn->journal.end;
	struct fault fault;

	assert_int_equal(ccn_post(w->ccn, envelope, 1, &record, &fault),
			 BERTH_MALFORMED);
	assert_null(record);
	assert_true(w->ccn->journal.end == end);
	assert_int_equal(w->ccn->record_count, 0);
	json_decref(envelope);
	post(w, ALEPH_PROGRAM, json_object(), CCN_REJECTED, CCN_CODE_FORMAT);
}

static void content_of_a_stored_message(void **state)
{
	struct world *w = open_world(state);
	char text[256], hash[65];
	const struct ccn_record *record;
	struct eth_key *key = &w->alice;
	struct hash digest;
	char signature[ETH_SIGNATURE_TEXT_SIZE], signed_text[256];
	struct fault fault;
	json_t *envelope;

	snprintf(text, sizeof text, "{\"address\":\"%s\",\"time\":1.0,"
		 "\"type\":\"note\",\"content\":7}", key->address);
	crypto_sha256(text, strlen(text), &digest);
	hash_text(&digest, hash);
	snprintf(signed_text, sizeof signed_text, "ETH\n%s\nPOST\n%s",
		 key->address, hash);
	assert_int_equal(eth_sign(key, signed_text, strlen(signed_text),
				  signature), 0);
	envelope = json_pack("{ss ss ss ss ss ss si}", "chain", "ETH",
			     "sender", key->address, "type", "POST",
			     "item_type", "storage", "item_hash", hash,
			     "signature", signature, "time", 1);
	assert_int_equal(ccn_post(w->ccn, envelope, 1, &record, &fault), 0);
	assert_int_equal(record->status, CCN_PENDING);
	assert_int_equal(record->code, CCN_CODE_CONTENT);
	add_file(w, text);
	assert_int_equal(record->status, CCN_PROCESSED);
	restart(w);
	record = ccn_find(w->ccn, hash);
	assert_int_equal(record->status, CCN_PROCESSED);
	assert_int_equal(record->size, strlen(text));
	json_decref(envelope);
}

static void aggregates_merge(void **state)
{
	struct world *w = open_world(state);
	json_t *data;

	post(w, ALEPH_AGGREGATE, json_pack("{ss s{sisi}}", "key", "k",
		"content", "a", 1, "b", 2), CCN_PROCESSED, -1);
	post(w, ALEPH_AGGREGATE, json_pack("{ss s{si}}", "key", "k",
		"content", "b", 3), CCN_PROCESSED, -1);
	post(w, ALEPH_AGGREGATE, json_pack("{ss s{}}", "key", "other",
		"content"), CCN_PROCESSED, -1);
	data = render_aggregates(w->ccn, w->alice.address, "k");
	assert_int_equal(json_object_size(data), 1);
	assert_int_equal(json_integer_value(json_object_get(
		json_object_get(data, "k"), "a")), 1);
	assert_int_equal(json_integer_value(json_object_get(
		json_object_get(data, "k"), "b")), 3);
	json_decref(data);
	assert_null(render_aggregates(w->ccn, w->alice.address, "kk"));
	assert_null(render_aggregates(w->ccn, w->bob.address, NULL));
	data = render_aggregates(w->ccn,
		"0xFba561a84A537fCaa567bb7A2257e7142701ae2A", "pricing");
	assert_non_null(json_object_get(json_object_get(data, "pricing"),
					"program_persistent"));
	json_decref(data);
}

static void a_second_one_is_refused(void **state)
{
	struct world *w = open_world(state);
	struct ccn *second;
	struct fault fault;

	assert_int_equal(ccn_open(&second, w->directory, &fault), BERTH_BUSY);
	assert_non_null(strstr(fault.text, "another berth-ccn"));
	assert_non_null(strstr(fault.text, w->directory));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_program_waits_for_its_code),
		TEST(replaces_and_amend),
		TEST(forgetting),
		TEST(a_program_and_its_code_in_one_forget),
		TEST(forgetting_what_comes_later),
		TEST(store_updates),
		TEST(delegation),
		TEST(a_bad_signature_does_not_squat),
		TEST(what_is_no_message_leaves_nothing),
		TEST(content_of_a_stored_message),
		TEST(aggregates_merge),
		TEST(a_second_one_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
