/* The configuration file of berthd: what is taken, and each refusal with its
 * setting in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/replica/conf.h"

static const char good[] =
	"cluster = \"demo\"; directory = \"/tmp/r1\"; id = 1;\n"
	"pki = \"/tmp/pki\"; listen = \"127.0.0.1:7101\";\n"
	"http = \"[::1]:7201\"; profile = \"fast\"; bootstrap = true;\n"
	"watchdog_none_ok = true; election_ms = 400;\n"
	"peers = ( { id = 1; address = \"127.0.0.1:7101\"; },\n"
	"  { id = 2; address = \"host-2:7102\"; http = \"host-2:7202\"; } );\n"
	"ccns = [ \"http://127.0.0.1:4024\" ];\n"
	"crns = ( { hash = \"0123456789abcdef0123456789abcdef"
	"0123456789abcdef0123456789abcdef\"; name = \"crn-1\"; } );\n";

static int load(const char *text, struct conf *out, struct fault *fault)
{
	char name[] = "/tmp/berth-conf-XXXXXX";
	int fd = mkstemp(name), code;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	code = conf_load(name, out, fault);
	unlink(name);
	return code;
}

/* The good text with `from` replaced by `to`. */
static void refused(const char *from, const char *to, const char *named)
{
	static char text[4096];
	const char *at = strstr(good, from);
	struct fault fault = { .code = 0 };
	struct conf conf;

	assert_non_null(at);
	snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to,
		 at + strlen(from));
	assert_int_not_equal(load(text, &conf, &fault), 0);
	print_message("  %s\n", fault.text);
	assert_non_null(strstr(fault.text, named));
}

static void test_good_file(void **state)
{
	struct fault fault;
	struct conf conf;

	(void)state;
	assert_int_equal(load(good, &conf, &fault), 0);
	assert_int_equal(conf.listen_at.port, 7101);
	assert_string_equal(conf.http_at.host, "::1");
	assert_int_equal(conf.replica_count, 2);
	assert_string_equal(conf.replicas[1].host, "host-2");
	assert_int_equal(conf.replicas[1].http_port, 7202);
	assert_int_equal(conf.allowed_count, 1);
	assert_int_equal(conf.allowed[0].hash.bytes[1], 0x23);
	assert_int_equal(conf.initial.ttl_s_ms, 5200);
	assert_true(conf.initial.watchdog_none_ok);
	assert_false(conf.initial.unfenced_hold_ok);
	assert_int_equal(conf.election_ms, 400);
	conf_fini(&conf);
}

static void test_each_refusal_names_its_setting(void **state)
{
	(void)state;
	refused("cluster = \"demo\";", "", "cluster");
	refused("id = 1;", "id = 3;", "our own id 3");
	refused("{ id = 2;", "{ id = 1;", "id 1 twice");
	refused("127.0.0.1:7101\";\n", "127.0.0.1\";\n", "listen");
	refused("[::1]:7201", "[::1]:72010", "http");
	refused("host-2:7102", "host-2:0", "peers.address");
	refused("\"fast\"", "\"hasty\"", "hasty");
	refused("0123456789abcdef0123456789abcdef\";",
		"0123456789abcdef0123456789abcdeX\";", "64 hex digits");
	refused("bootstrap = true;", "bootstrap = 7;", "bootstrap");
	refused("bootstrap = true;", "bootstarp = true;", "bootstarp");
	refused("election_ms = 400;", "election_ms = 1;", "election_ms");
	refused("id = 1;\n", "id = ;\n", ":1"); /* syntax: the line */
}

/* R18: who founds, who joins, and never both. */
static void test_founding_and_joining(void **state)
{
	static char text[4096];
	const char *at = strstr(good, "} );\nccns");
	struct fault fault;
	struct conf conf;

	(void)state;
	snprintf(text, sizeof text, "%.*sjoins = true; %s", (int)(at - good),
		 good, at);
	assert_int_equal(load(text, &conf, &fault), 0);
	assert_true(conf.bootstrap && conf.founded && conf.replicas[1].joins);
	assert_false(conf.replicas[0].joins);
	conf_fini(&conf);
	refused("bootstrap = true;", "bootstrap = true; join = true;",
		"not both");
	refused("bootstrap = true;", "join = true;", "founding member");
	refused("7101\"; },", "7101\"; joins = true; },", "join = true");
}

static void test_profiles_keep_the_formula(void **state)
{
	static const char *const names[] = { "fast", "default", "calm" };
	struct fsm_config c;

	(void)state;
	assert_false(conf_profile("none", &c));
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		double rho, needed;

		assert_true(conf_profile(names[i], &c));
		rho = c.rho_ppm / 1e6;
		/* lease.md 2.5 */
		needed = (1 + rho) * (c.ttl_a_ms / (1 - rho) + c.k_ms) + 20;
		assert_true(c.ttl_s_ms >= needed);
		assert_true(c.sticky_ms == 2 * c.ttl_a_ms);
		assert_true(c.ttl_a_ms >= 3 * c.heartbeat_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_file),
		cmocka_unit_test(test_each_refusal_names_its_setting),
		cmocka_unit_test(test_founding_and_joining),
		cmocka_unit_test(test_profiles_keep_the_formula),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
