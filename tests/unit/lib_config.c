/* Configuration: what is read, and what is refused with file and line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/config.h"

struct peer {
	uint64_t id;
	char *address, *http;
};
struct conf {
	char *cluster, *profile;
	uint64_t id, election_ms;
	bool bootstrap;
	char **ccns;
	struct config_list peers;
	uint64_t depth;
};

static const struct config_setting peer_settings[] = {
	{ .path = "id", .kind = CONFIG_UINT, .required = true, .min = 1,
	  .offset = offsetof(struct peer, id) },
	{ .path = "address", .kind = CONFIG_STRING, .required = true,
	  .offset = offsetof(struct peer, address) },
	{ .path = "http", .kind = CONFIG_STRING,
	  .offset = offsetof(struct peer, http) },
};
static const struct config_setting settings[] = {
	{ .path = "cluster", .kind = CONFIG_STRING, .required = true,
	  .offset = offsetof(struct conf, cluster) },
	{ .path = "profile", .kind = CONFIG_STRING, .fallback = "default",
	  .offset = offsetof(struct conf, profile) },
	{ .path = "id", .kind = CONFIG_UINT, .required = true, .min = 1,
	  .max = 9, .offset = offsetof(struct conf, id) },
	{ .path = "election_ms", .kind = CONFIG_UINT,
	  .offset = offsetof(struct conf, election_ms) },
	{ .path = "bootstrap", .kind = CONFIG_BOOL,
	  .offset = offsetof(struct conf, bootstrap) },
	{ .path = "ccns", .kind = CONFIG_STRINGS, .max = 3,
	  .offset = offsetof(struct conf, ccns) },
	{ .path = "peers", .kind = CONFIG_LIST, .max = 3,
	  .offset = offsetof(struct conf, peers), .row = peer_settings,
	  .row_settings = COUNT_OF(peer_settings),
	  .row_size = sizeof(struct peer) },
	{ .path = "group.depth", .kind = CONFIG_UINT,
	  .offset = offsetof(struct conf, depth) },
};

static char path[] = "/tmp/berth-config-XXXXXX";

static int load(const char *text, struct conf *conf, struct fault *fault)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	memset(conf, 0, sizeof *conf);
	conf->election_ms = 500;
	memset(fault, 0, sizeof *fault);
	return config_load(path, settings, COUNT_OF(settings), conf, fault);
}

static void test_reads(void **state)
{
	struct fault fault;
	struct conf conf;
	struct peer *peers;

	(void)state;
	assert_int_equal(load("cluster = \"demo\"; id = 3; bootstrap = true;\n"
			      "ccns = [ \"a\", \"b\" ];\n"
			      "group = { depth = 7; };\n"
			      "peers = ( { id = 1; address = \"x:1\"; },\n"
			      "  { id = 2; address = \"y:2\"; http = \"z\"; } );",
			      &conf, &fault), 0);
	assert_string_equal(conf.cluster, "demo");
	assert_string_equal(conf.profile, "default");
	assert_int_equal(conf.id, 3);
	assert_int_equal(conf.election_ms, 500);
	assert_true(conf.bootstrap);
	assert_string_equal(conf.ccns[1], "b");
	assert_null(conf.ccns[2]);
	assert_int_equal(conf.depth, 7);
	assert_int_equal(conf.peers.count, 2);
	peers = conf.peers.rows;
	assert_int_equal(peers[1].id, 2);
	assert_string_equal(peers[1].http, "z");
	assert_null(peers[0].http);
	config_fini(settings, COUNT_OF(settings), &conf);
	assert_null(conf.cluster);
	assert_int_equal(conf.peers.count, 0);
}

static void refused(const char *text, int code, const char *where,
		    const char *why)
{
	struct fault fault;
	struct conf conf;
	char line[128];

	assert_int_equal(load(text, &conf, &fault), code);
	snprintf(line, sizeof line, "%s%s", path, where);
	if (!strstr(fault.text, line) || !strstr(fault.text, why))
		fail_msg("\"%s\" lacks \"%s\" or \"%s\"", fault.text, line,
			 why);
}

static void test_refuses(void **state)
{
	(void)state;
	refused("cluster = \"d\";\nid = 1;\nnonsense = 2;\n", BERTH_MALFORMED,
		":3: nonsense", "no such setting");
	refused("cluster = \"d\";\nid = \"one\";\n", BERTH_MALFORMED, ":2: id",
		"whole number");
	refused("cluster = 5;\nid = 1;\n", BERTH_MALFORMED, ":1: cluster",
		"string");
	refused("cluster = \"d\";\nid = 1;\nbootstrap = 1;\n", BERTH_MALFORMED,
		":3: bootstrap", "true or false");
	refused("cluster = \"d\";\nid = 10;\n", BERTH_INVALID, ":2: id",
		"not between 1 and 9");
	refused("cluster = \"d\";\nid = -1;\n", BERTH_INVALID, ":2: id", "-1");
	refused("id = 1;\n", BERTH_INVALID, ": cluster", "required");
	refused("cluster = \"d\";\nid = 1;\nccns = \"x\";", BERTH_MALFORMED,
		":3: ccns", "[ ]");
	refused("cluster = \"d\";\nid = 1;\nccns = [ 1, 2 ];", BERTH_MALFORMED,
		":3: ccns", "string");
	refused("cluster = \"d\";\nid = 1;\nccns = [\"a\",\"b\",\"c\",\"d\"];",
		BERTH_INVALID, ":3: ccns", "4 items");
	refused("cluster = \"d\";\nid = 1;\npeers = (\n{ id = 1; } );",
		BERTH_INVALID, ":4: address", "required");
	refused("cluster = \"d\";\nid = 1;\npeers = (\n{ id = 1; "
		"address = \"a\"; }, { id = 2; address = \"b\"; x = 1; } );",
		BERTH_MALFORMED, ":4: x", "no such setting");
	refused("cluster = \"d\";\nid = 1;\npeers = ( 1 );", BERTH_MALFORMED,
		":3: peers", "{ }");
	refused("cluster = \"d\";\nid = 1;\ngroup = 3;", BERTH_MALFORMED,
		":3: group", "{ }");
	refused("cluster = \"d\"\nid 1;\n", BERTH_MALFORMED, ":2", "syntax");
}

static void test_no_file(void **state)
{
	struct conf conf = { .id = 0 };
	struct fault fault;

	(void)state;
	assert_int_equal(config_load("/nowhere/x.conf", settings,
				     COUNT_OF(settings), &conf, &fault),
			 BERTH_NOTFOUND);
	assert_non_null(strstr(fault.text, "/nowhere/x.conf"));
}

static int setup(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	close(fd);
	return fd < 0;
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
