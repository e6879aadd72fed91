/* Multipart bodies, IPFS names, maps, and the parameters of the list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "node/lib/cid.h"
#include "node/ccn/map.h"
#include "node/ccn/multipart.h"
#include "node/ccn/query.h"

#define TYPE "multipart/form-data; boundary=b0"

static int parse(const char *type, const char *body, struct multipart *out)
{
	struct fault fault;
	char *copy = malloc(strlen(body) ? strlen(body) : 1);
	int rc;

	/* Without a NUL at the end, so that a sanitizer sees a read too far. */
	memcpy(copy, body, strlen(body));
	rc = multipart_parse(type, copy, strlen(body), out, &fault);
	for (uint32_t i = 0; rc == 0 && i < out->count; i++)
		out->parts[i].data = body + (out->parts[i].data - copy);
	free(copy);
	return rc;
}

static void good_bodies(void **unused)
{
	static const char body[] =
		"--b0\r\nContent-Disposition: form-data; name=\"metadata\"\r\n"
		"Content-Type: application/json\r\n\r\n{}\r\n"
		"--b0\r\nCONTENT-DISPOSITION: form-data; filename=\"name=x\"; "
		"name=file\r\n\r\n-\r\n--b\r\n\r\n--b0--\r\n";
	const struct multipart_part *part;
	struct multipart parts;

	(void)unused;
	assert_int_equal(parse("multipart/form-data; charset=x; "
			       "boundary=\"b0\"", body, &parts), 0);
	assert_int_equal(parts.count, 2);
	part = multipart_find(&parts, "metadata");
	assert_non_null(part);
	assert_int_equal(part->size, 2);
	part = multipart_find(&parts, "file");
	assert_non_null(part);
	assert_int_equal(part->size, 8);
	assert_memory_equal(part->data, "-\r\n--b\r\n", 8);
	assert_null(multipart_find(&parts, "name"));
	assert_int_equal(parse(TYPE, "--b0--", &parts), 0);
	assert_int_equal(parts.count, 0);
}

static void every_cut_is_refused(void **unused)
{
	static const char body[] = "--b0\r\nContent-Disposition: form-data; "
				   "name=\"a\"\r\n\r\ndata\r\n--b0--";
	struct multipart parts;
	char cut[sizeof body];

	(void)unused;
	assert_int_equal(parse(TYPE, body, &parts), 0);
	for (size_t size = 0; size < sizeof body - 1; size++) {
		memcpy(cut, body, size);
		cut[size] = '\0';
		assert_int_equal(parse(TYPE, cut, &parts), BERTH_MALFORMED);
	}
}

static void bad_bodies(void **unused)
{
	struct multipart parts;
	char many[1024] = "", type[128];

	(void)unused;
	assert_int_equal(parse("multipart/form-data", "--b0--", &parts),
			 BERTH_MALFORMED);
	assert_int_equal(parse("multipart/form-data; boundary=", "----",
			       &parts), BERTH_MALFORMED);
	snprintf(type, sizeof type, "multipart/form-data; boundary=%071d", 0);
	assert_int_equal(parse(type, "--", &parts), BERTH_MALFORMED);
	assert_int_equal(parse(TYPE, "x\r\n--b0--", &parts), BERTH_MALFORMED);
	assert_int_equal(parse(TYPE, "--b0\r\nContent-Disposition: form-data"
			       "\r\n\r\n\r\n--b0--", &parts), BERTH_MALFORMED);
	for (int i = 0; i <= MULTIPART_PARTS_MAX; i++)
		strcat(many, "--b0\r\nContent-Disposition: x; name=a\r\n\r\n"
			     "\r\n");
	strcat(many, "--b0--");
	assert_int_equal(parse(TYPE, many, &parts), BERTH_TOOBIG);
	assert_true(multipart_is("Multipart/Form-Data; boundary=x"));
	assert_false(multipart_is("application/json"));
	assert_false(multipart_is(NULL));
}

/* As `ipfs add` names them. */
static void cids_of_small_files(void **unused)
{
	char cid[CID_TEXT_SIZE];
	struct hash digest, again;

	(void)unused;
	cid_of_file("", 0, &digest);
	cid_text(&digest, cid);
	assert_string_equal(cid,
			    "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH");
	cid_of_file("hello world\n", 12, &digest);
	cid_text(&digest, cid);
	assert_int_equal(cid_parse(cid, &again), 0);
	assert_true(hash_equal(&digest, &again));
	cid[45] = '0'; /* no digit of base 58 */
	assert_int_equal(cid_parse(cid, &again), BERTH_MALFORMED);
	memset(cid, 'z', 46); /* more than 34 bytes */
	assert_int_equal(cid_parse(cid, &again), BERTH_MALFORMED);
	memset(cid, '1', 46); /* no sha256 */
	assert_int_equal(cid_parse(cid, &again), BERTH_MALFORMED);
	assert_int_equal(cid_parse("bafybeigdyrzt", &again), BERTH_MALFORMED);
	cid_text(&digest, cid);
	assert_string_equal(cid,
			    "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o");
}

/* One leaf and a byte, one full node of leaves and a byte: the names that kubo
 * gives to files of zeroes of these sizes. */
static void cids_of_big_files(void **unused)
{
	static const struct {
		size_t size;
		const char *cid;
	} rows[] = {
		{ 262144, "QmRk1rduJvo5DfEYAaLobS2za9tDszk35hzaNSDCJ74DA7" },
		{ 262145, "QmbVuw4C4vcmVKqxoWtgDVobvcHrSn51qsmQmyxjk4sB2Q" },
		{ 45613056, "QmY4HSz1oVGdUzb8poVYPLsoqBZjH6LZrtgnme9wWn2Qko" },
		{ 45613057, "QmehMASWcBsX7VcEQqs6rpR5AHoBfKyBVEgmkJHjpPg8jq" },
	};
	char *data = calloc(1, rows[3].size), cid[CID_TEXT_SIZE];

	(void)unused;
	assert_non_null(data);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct hash digest;

		cid_of_file(data, rows[i].size, &digest);
		cid_text(&digest, cid);
		assert_string_equal(cid, rows[i].cid);
	}
	free(data);
}

static void a_map_holds_thousands(void **unused)
{
	static char keys[5000][16];
	struct map map;

	(void)unused;
	map_init(&map);
	assert_null(map_find(&map, "none"));
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		snprintf(keys[i], sizeof keys[i], "key %zu", i);
		assert_int_equal(map_put(&map, keys[i], keys[i]), 0);
	}
	assert_int_equal(map_put(&map, keys[7], keys[8]), 0);
	assert_int_equal(map.count, COUNT_OF(keys));
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		assert_ptr_equal(map_find(&map, keys[i]),
				 i == 7 ? keys[8] : keys[i]);
	assert_null(map_find(&map, "none"));
	map_fini(&map);
}

struct given {
	const char *name, *value;
};

static const char *get(void *ctx, const char *name)
{
	const struct given *given = ctx;

	return strcmp(given->name, name) == 0 ? given->value : NULL;
}

static int ask(const char *name, const char *value, struct query *out,
	       struct fault *fault)
{
	struct given given = { name, value };
	struct ccn nothing = { .directory = NULL };

	return query_parse(&nothing, get, &given, out, fault);
}

static void parameters(void **unused)
{
	static const struct {
		const char *name, *value;
		int rc;
	} rows[] = {
		{ "pagination", "-1", BERTH_INVALID },
		{ "pagination", "1e3", BERTH_INVALID },
		{ "pagination", " 1", BERTH_INVALID },
		{ "pagination", "99999999999999999999", BERTH_INVALID },
		{ "page", "0", BERTH_INVALID },
		{ "msgTypes", "PROGRAM,,", BERTH_INVALID },
		{ "msgTypes", "program", BERTH_INVALID },
		{ "msgStatuses", "processed,forgotten", BERTH_DENIED },
		{ "startDate", "inf", BERTH_INVALID },
		{ "startDate", "-1", BERTH_INVALID },
		{ "sortOrder", "0", BERTH_INVALID },
		{ "cursor", "AAAA", BERTH_INVALID },
		{ "msgTypes", "V-PROGRAM,FORGET", 0 },
		{ "msgStatuses", "processed,removing", 0 },
		{ "unheardOf", "x", 0 },
		{ "page", "", 0 },
	};
	struct query query;
	struct fault fault;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if (ask(rows[i].name, rows[i].value, &query, &fault) !=
		    rows[i].rc)
			fail_msg("%s=%s", rows[i].name, rows[i].value);
		if (rows[i].rc)
			assert_memory_equal(fault.text, rows[i].name,
					    strlen(rows[i].name));
	}
	assert_int_equal(ask("none", "", &query, &fault), 0);
	assert_int_equal(query.page_size, 20);
	assert_int_equal(query.page, 1);
	assert_false(query.has_cursor || query.oldest_first || query.forgotten);
	assert_int_equal(ask("cursor", "", &query, &fault), 0);
	assert_true(query.has_cursor && !query.after);
	assert_int_equal(ask("pagination", "0", &query, &fault), 0);
	assert_int_equal(query.page_size, 0);
	assert_int_equal(ask("msgStatuses", "rejected", &query, &fault), 0);
	assert_true(query.nothing);
	assert_int_equal(ask("excludeContent", "true", &query, &fault), 0);
	assert_int_equal(query.format, QUERY_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_bodies),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(bad_bodies),
		cmocka_unit_test(cids_of_small_files),
		cmocka_unit_test(cids_of_big_files),
		cmocka_unit_test(a_map_holds_thousands),
		cmocka_unit_test(parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
