/* The HTTP interface of a whole replica: who may, what is refused and how,
 * what is waited for, and that a restart keeps and repeats nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/lib/clock.h"
#include "tests/kit/replica_house.h"

#define PORT 21500
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define HASH "abababababababababababababababababababababababababababababababab"
#define CRN "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1"
#define ID "Berth-Request-Id: 00112233445566778899aabbccddeeff"

static struct house h;

static int setup(void **state)
{
	(void)state;
	house_open(&h, PORT);
	house_start(&h);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	house_stop(&h);
	house_close(&h);
	return 0;
}

static int get(const char *path)
{
	return house_ask(&h, "GET", path, NULL, false, NULL);
}

static int change(const char *method, const char *path, const char *body)
{
	return house_ask(&h, method, path, body, true, NULL);
}

static void refused(int status, const char *code)
{
	assert_int_equal(h.status, status);
	assert_string_equal(house_text(&h, "error"), code);
	assert_true(*house_text(&h, "message"));
}

static bool has_crn(struct house *house)
{
	return house_json(house, "crns.0") != NULL;
}

static void reads(void **state)
{
	(void)state;
	house_poll(&h, "/admin/v1/crns", has_crn);
	assert_string_equal(house_text(&h, "crns.0.hash"), CRN);
	assert_string_equal(house_text(&h, "crns.0.name"), "crn-1");
	assert_non_null(strstr(h.headers, "Berth-Index: "));
	assert_int_equal(get("/admin/v1/crns/" CRN), 200);
	assert_string_equal(house_text(&h, "hash"), CRN);
	assert_int_equal(get("/admin/v1/cluster"), 200);
	assert_int_equal(json_integer_value(house_json(&h, "leader")), 1);
	assert_int_equal(get("/admin/v1/replicas"), 200);
	assert_string_equal(house_text(&h, "replicas.0.state"), "leader");
	assert_int_equal(get("/admin/v1/events"), 200);
	assert_string_equal(house_text(&h, "events.0.type"), "config");
	assert_int_equal(get("/api/v0/plan"), 200);
	assert_non_null(house_json(&h, "plan." CRN ".persistent_vms"));
	assert_non_null(strstr(h.headers, "Access-Control-Allow-Origin: *"));
	assert_int_equal(get("/api/v0/nodes"), 200);
	assert_string_equal(house_text(&h, "nodes.0.node_id"), CRN);
	assert_int_equal(get("/metrics"), 200);
	assert_non_null(strstr(h.body, "berth_is_leader 1"));
	assert_int_equal(get("/admin/v1/intake"), 200);
}

static void what_is_not_there(void **state)
{
	(void)state;
	get("/nothing");
	refused(404, "not_found");
	get("/admin/v1/programs/" HASH);
	refused(404, "not_found");
	get("/admin/v1/programs/" HASH "/where");
	refused(404, "not_found");
	get("/admin/v1/programs/" HASH "/logs");
	refused(404, "not_found");
	get("/api/v0/allocation/" HASH);
	refused(404, "not_found");
	get("/vm/" HASH "/x");
	refused(404, "not_found");
	get("/admin/v1/crns/" HASH);
	refused(404, "not_found");
	get("/admin/v1/programs/xyz");
	refused(400, "malformed");
	get("/vm/../etc/passwd");
	assert_true(h.status == 400 || h.status == 404);
	house_ask(&h, "PATCH", "/health", "{}", false, NULL);
	refused(405, "method");
	change("DELETE", "/admin/v1/programs/" HASH, NULL);
	refused(404, "unknown_program");
	change("DELETE", "/admin/v1/crns/" HASH, NULL);
	refused(404, "unknown_crn");
}

/* A mutation over plain HTTP is denied whatever it says. */
static void plain_http_changes_nothing(void **state)
{
	static const char *const rows[][2] = {
		{ "POST", "/admin/v1/programs" },
		{ "DELETE", "/admin/v1/programs/" HASH },
		{ "POST", "/admin/v1/members" },
		{ "PUT", "/admin/v1/crns/" HASH },
		{ "DELETE", "/admin/v1/crns/" CRN },
		{ "POST", "/admin/v1/crns/" CRN "/fence-confirm" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		house_ask(&h, rows[i][0], rows[i][1], "{}", false, NULL);
		refused(403, "denied");
	}
}

static void bodies_are_checked(void **state)
{
	static const char *const bodies[][2] = {
		{ "", "" }, { "{", "" }, { "[]", "object" },
		{ "{\"a\":1}", "a: unknown" },
		{ "{\"vcpus\":0}", "vcpus" }, { "{\"vcpus\":257}", "vcpus" },
		{ "{\"vcpus\":1.5}", "vcpus" },
		{ "{\"memory_mib\":\"1\"}", "memory_mib" },
		{ "{\"disk_mib\":-1}", "disk_mib" },
		{ "{\"guarantee\":\"maybe\"}", "guarantee" },
		{ "{\"node\":\"ab\"}", "node" }, { "{\"hash\":1}", "hash" },
		{ "{\"tokens\":\"x\"}", "tokens" },
		{ "{\"tokens\":[\"\"]}", "tokens" },
		{ "{\"name\":\"a\",\"name\":\"b\"}", "" },
		{ "{\"programs\":[]}", "programs" },
		{ "{\"programs\":[{\"vcpus\":1},{\"x\":1}]}",
		  "programs[1]: x" },
		{ "{\"programs\":[1]}", "programs[0]" },
		{ "{\"programs\":[{}],\"vcpus\":1}", "programs" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		change("POST", "/admin/v1/programs", bodies[i][0]);
		refused(400, "malformed");
		if (!strstr(house_text(&h, "message"), bodies[i][1]))
			fail_msg("%s: %s", bodies[i][0], h.body);
	}
	change("PUT", "/admin/v1/crns/" CRN, "{\"linked\":1}");
	refused(400, "malformed");
	change("POST", "/admin/v1/crns/" CRN "/fence-confirm", "{}");
	refused(400, "malformed");
	change("POST", "/admin/v1/crns/" CRN "/fence-confirm",
	       "{\"session\":\"-1\"}");
	refused(400, "malformed");
	change("POST", "/admin/v1/crns/" CRN "/fence-confirm",
	       "{\"session\":\"77\"}");
	assert_int_equal(h.status, 409);
	house_ask(&h, "POST", "/admin/v1/programs", "{}", true,
		  "Berth-Request-Id: zz");
	refused(400, "malformed");
}

static void parameters_are_checked(void **state)
{
	static const char *const paths[] = {
		"/admin/v1/programs?consistency=maybe",
		"/admin/v1/programs?index=x", "/admin/v1/programs?wait=1y",
		"/admin/v1/programs?page=0", "/admin/v1/programs?page=x",
		"/admin/v1/programs?page_size=x",
		"/admin/v1/programs?crn=12", "/admin/v1/events?since=-1",
		"/admin/v1/events?limit=100000",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		get(paths[i]);
		refused(400, "malformed");
	}
	/* Empty ones are absent. */
	assert_int_equal(get("/admin/v1/programs?state=&owner=&index="), 200);
}

static void a_program_is_put_once(void **state)
{
	char hash[65];

	(void)state;
	house_ask(&h, "POST", "/admin/v1/programs",
		  "{\"name\":\"one\",\"memory_mib\":64}", true, ID);
	assert_int_equal(h.status, 200);
	assert_non_null(strstr(h.headers,
			       "00112233445566778899aabbccddeeff"));
	snprintf(hash, sizeof hash, "%.64s", house_text(&h, "hash"));
	assert_int_equal(strlen(hash), 64);
	house_ask(&h, "POST", "/admin/v1/programs",
		  "{\"name\":\"one\",\"memory_mib\":64}", true, ID);
	assert_int_equal(h.status, 200);
	assert_string_equal(house_text(&h, "hash"), hash);
	assert_int_equal(get("/admin/v1/programs"), 200);
	assert_int_equal(json_integer_value(house_json(&h, "total")), 1);
	assert_string_equal(house_text(&h, "programs.0.state"), "free");
	assert_string_equal(house_text(&h, "programs.0.reason.code"),
			    "no_crn");
	assert_int_equal(get("/admin/v1/programs?state=assigned"), 200);
	assert_int_equal(json_integer_value(house_json(&h, "total")), 0);
}

static void a_program_waits_and_goes(void **state)
{
	(void)state;
	change("POST", "/admin/v1/programs", "{\"hash\":\"" HASH "\"}");
	assert_int_equal(h.status, 200);
	assert_int_equal(get("/admin/v1/programs/" HASH "/where"), 200);
	assert_string_equal(house_text(&h, "state"), "free");
	assert_true(json_is_null(house_json(&h, "crn")));
	assert_true(*house_text(&h, "reason.message"));
	get("/api/v0/allocation/" HASH);
	refused(404, "not_found");
	get("/vm/" HASH "/x?y=1");
	refused(503, "not_placed");
	get("/admin/v1/programs/" HASH "/logs");
	refused(503, "not_placed");
	change("POST", "/admin/v1/programs",
	       "{\"hash\":\"" HASH "\",\"vcpus\":9}");
	refused(409, "conflict");
	change("DELETE", "/admin/v1/programs/" HASH, NULL);
	assert_int_equal(h.status, 200);
}

static void a_batch_is_answered_row_by_row(void **state)
{
	char *body = malloc(200000), *at = body;

	(void)state;
	at += sprintf(at, "{\"programs\":[");
	for (int i = 0; i < 1000; i++)
		at += sprintf(at, "%s{\"name\":\"p%d\",\"memory_mib\":%d}",
			      i ? "," : "", i, 1 + i);
	sprintf(at, "]}");
	assert_int_equal(change("POST", "/admin/v1/programs", body), 200);
	assert_int_equal(json_array_size(house_json(&h, "programs")), 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_string_equal(json_string_value(json_object_get(
			json_array_get(house_json(&h, "programs"), i),
			"result")), "ok");
	free(body);
	assert_int_equal(get("/admin/v1/programs?page=5&page_size=200"), 200);
	assert_int_equal(json_integer_value(house_json(&h, "total")), 1000);
	assert_int_equal(json_array_size(house_json(&h, "programs")), 200);
	assert_int_equal(get("/admin/v1/programs?page=6&page_size=200"), 200);
	assert_int_equal(json_array_size(house_json(&h, "programs")), 0);
	assert_int_equal(get("/admin/v1/programs?page=1&page_size=9999"), 200);
	assert_int_equal(json_array_size(house_json(&h, "programs")), 200);
}

static void member(const char *body, int status, const char *code)
{
	change("POST", "/admin/v1/members", body);
	if (h.status != status || strcmp(house_text(&h, "error"), code) != 0)
		fail_msg("%s: %s", body, h.body);
}

/* What one replica alone can refuse; the rest is e2e/members'. */
static void members_are_not_changed_lightly(void **state)
{
	static const char *const bad[] = {
		"", "{}", "[]", "1", "{\"id\":2}", "{\"change\":\"add\"}",
		"{\"id\":0,\"change\":\"add\"}",
		"{\"id\":-1,\"change\":\"add\"}",
		"{\"id\":4294967296,\"change\":\"add\"}",
		"{\"id\":\"2\",\"change\":\"add\"}",
		"{\"id\":2,\"change\":\"adds\"}",
		"{\"id\":2,\"change\":\"add\",\"force\":true}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		member(bad[i], 400, "malformed");
	member("{\"id\":2,\"change\":\"add\"}", 409, "unknown_id");
	member("{\"id\":2,\"change\":\"promote\"}", 409, "unknown_id");
	member("{\"id\":1,\"change\":\"promote\"}", 409, "same_role");
	member("{\"id\":1,\"change\":\"demote\"}", 409, "is_leader");
	member("{\"id\":1,\"change\":\"remove\"}", 409, "is_leader");
	member("{\"id\":1,\"change\":\"transfer\"}", 409, "is_leader");
	assert_int_equal(get("/admin/v1/replicas"), 200);
	assert_int_equal(json_array_size(house_json(&h, "replicas")), 1);
	assert_string_equal(house_text(&h, "replicas.0.role"), "voter");
}

static void on_put(void *ctx, const struct http_answer *answer)
{
	*(int *)ctx = answer->status;
}

/* A query with index waits for the next change, and no longer than asked. */
static void a_query_waits(void **state)
{
	char path[128], url[64] = "http://localhost/admin/v1/programs";
	uint64_t begin;
	int status = 0;
	const struct http_call call = {
		.method = "POST", .url = url, .body = "{}", .body_size = 2,
		.timeout_ms = 5000, .connect_ms = 1000,
		.answer_size_max = 1u << 20, .unix_socket = h.socket,
		.ctx = &status,
	};

	(void)state;
	assert_int_equal(get("/admin/v1/programs"), 200);
	snprintf(path, sizeof path, "/admin/v1/programs?index=%s&wait=200ms",
		 house_text(&h, "changed"));
	begin = clock_monotonic_ms();
	assert_int_equal(get(path), 200);
	assert_true(clock_monotonic_ms() - begin >= 190);
	snprintf(path, sizeof path, "/admin/v1/programs?index=%s&wait=15s",
		 house_text(&h, "changed"));
	assert_int_equal(http_client_send(h.client, &call, on_put), 0);
	begin = clock_monotonic_ms();
	assert_int_equal(get(path), 200);
	assert_true(clock_monotonic_ms() - begin < 10000);
	assert_int_equal(json_integer_value(house_json(&h, "total")), 1);
}

static void crns_come_and_go(void **state)
{
	(void)state;
	change("PUT", "/admin/v1/crns/" HASH, "{\"name\":\"n\"}");
	assert_int_equal(h.status, 200);
	assert_int_equal(get("/admin/v1/crns/" HASH), 200);
	assert_string_equal(house_text(&h, "name"), "n");
	change("DELETE", "/admin/v1/crns/" HASH, NULL);
	assert_int_equal(h.status, 200);
	get("/admin/v1/crns/" HASH);
	refused(404, "not_found");
	change("PUT", "/admin/v1/crns/" ZEROS, "{}");
	assert_int_equal(h.status, 400);
}

/* After a restart the same events, none twice, and the state is there. */
static void a_restart_repeats_nothing(void **state)
{
	size_t before;
	char *kept;

	(void)state;
	house_poll(&h, "/admin/v1/crns", has_crn);
	change("POST", "/admin/v1/programs", "{\"hash\":\"" HASH "\"}");
	assert_int_equal(h.status, 200);
	house_stop(&h);
	house_start(&h);
	assert_int_equal(get("/admin/v1/programs/" HASH), 200);
	assert_int_equal(get("/admin/v1/events"), 200);
	before = json_array_size(house_json(&h, "events"));
	kept = strndup(h.body, (size_t)(strstr(h.body, "program_known") -
				     h.body));
	house_stop(&h);
	house_start(&h);
	assert_int_equal(get("/admin/v1/programs/" HASH), 200);
	assert_int_equal(get("/admin/v1/events"), 200);
	/* One more: the new Lead. */
	assert_int_equal(json_array_size(house_json(&h, "events")),
			 before + 1);
	assert_int_equal(strncmp(h.body, kept, strlen(kept)), 0);
	free(kept);
}

static void an_address_in_use_is_named(void **state)
{
	struct edge *other = NULL;
	struct edge_config config = h.edge_config;
	struct fault fault = { 0 };
	char directory[300];

	(void)state;
	snprintf(directory, sizeof directory, "%s/other", h.root);
	config.directory = directory;
	assert_int_equal(edge_open(&other, &h.loop, &config, &fault),
			 BERTH_EXISTS);
	assert_non_null(strstr(fault.text, "21500"));
	assert_int_equal(get("/health"), 200);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(reads),
		CASE(what_is_not_there),
		CASE(plain_http_changes_nothing),
		CASE(bodies_are_checked),
		CASE(parameters_are_checked),
		CASE(a_program_is_put_once),
		CASE(a_program_waits_and_goes),
		CASE(a_batch_is_answered_row_by_row),
		CASE(members_are_not_changed_lightly),
		CASE(a_query_waits),
		CASE(crns_come_and_go),
		CASE(a_restart_repeats_nothing),
		CASE(an_address_in_use_is_named),
	};

	return cmocka_run_group_tests_name("replica_api", tests, NULL, NULL);
}
