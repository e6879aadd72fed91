/* What a CRN takes on of a program's message, and what it refuses, with words
 * that its owner can understand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "node/lib/crypto.h"
#include "tests/kit/agent_program.h"

static struct agent_runtime runtimes[] = {
	{ .ref = (char[]){ "special" }, .root = (char[]){ "/srv/special" } },
};
static struct agent_config config = {
	.runtime_default = (char[]){ "host" }, .internet = (char[]){ "none" },
	.dev_bind = (char[]){ "" }, .name = (char[]){ "crn-1" },
};

static void takes_the_usual(void **state)
{
	json_t *content = kit_program();
	struct prepared *prepared;
	struct fault fault;

	(void)state;
	if (kit_program_read(&config, content, &prepared, &fault) != 0)
		fail_msg("%s", fault.text);
	assert_string_equal(prepared->root, "host");
	assert_int_equal(prepared->program.interface, INTERFACE_ASGI);
	assert_int_equal(prepared->program.encoding, ENCODING_ZIP);
	assert_int_equal(prepared->volume_count, 0);
	prepared_free(prepared);
	json_decref(content);
}

static void refuses_another_hash(void **state)
{
	static const struct hash hash = { { 1 } };
	struct prepared *prepared;
	struct fault fault;

	(void)state;
	assert_int_equal(prepare_read(&config, &hash, "{}", 2, &prepared,
				      &fault), BERTH_MISMATCH);
}

static void refuses_set(const char *path, const char *json, const char *words)
{
	json_t *content = kit_program();
	struct prepared *prepared;
	struct fault fault;

	kit_program_set(content, path, json);
	if (kit_program_read(&config, content, &prepared, &fault) == 0)
		fail_msg("%s = %s was taken", path, json);
	if (!strstr(fault.text, words))
		fail_msg("\"%s\" says nothing of \"%s\"", fault.text, words);
	json_decref(content);
}

static void refuses_entrypoints(void **state)
{
	(void)state;
	refuses_set("code.entrypoint", "\"../main:app\"", "entrypoint");
	refuses_set("code.entrypoint", "\"/bin/sh\"", "entrypoint");
	refuses_set("code.entrypoint", "\"--reload\"", "entrypoint");
	refuses_set("code.entrypoint", "\"\"", "entrypoint");
	refuses_set("code.entrypoint", "\"a/../../b\"", "entrypoint");
}

static void refuses_volumes(void **state)
{
	static const char *const mounts[] = { "/", "/usr", "/usr/lib/x", "/etc",
		"/proc/self", "relative", "/srv/../etc", "/srv/..", "/opt/code",
		"/opt/code/x", "/srv/", "/srv//x", "/dev/x", "/run/berth" };
	char json[256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(mounts); i++) {
		snprintf(json, sizeof json,
			 "[{\"mount\":\"%s\",\"ephemeral\":true,\"size_mib\":5}]",
			 mounts[i]);
		refuses_set("volumes", json, "mount");
	}
	refuses_set("volumes", "[{\"mount\":\"/srv/x\",\"size_mib\":5,"
		    "\"persistence\":\"store\",\"name\":\"x\"}]", "store");
	refuses_set("volumes", "[{\"mount\":\"/srv/x\",\"size_mib\":5,"
		    "\"persistence\":\"host\",\"name\":\"../x\"}]", "name");
	refuses_set("volumes", "[{\"mount\":\"/srv/x\",\"size_mib\":5,"
		    "\"persistence\":\"host\",\"name\":\"x\",\"parent\":{\"ref\":"
		    "\"9a4735bca0d3f7032ddd6659c35387b57b470550c931841e6862ece4"
		    "e9e6523e\"}}]", "parent");
}

/* A link that the program left in the outer one, "/data/x" to any place of the
 * host, would be followed with root's rights at the next start. */
static void refuses_volumes_in_volumes(void **state)
{
	static const char *const pairs[][2] = {
		{ "/data", "/data/x/y" }, { "/data/x", "/data" },
		{ "/data", "/data" } };
	char json[256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		snprintf(json, sizeof json,
			 "[{\"mount\":\"%s\",\"size_mib\":5,\"persistence\":"
			 "\"host\",\"name\":\"d\"},{\"mount\":\"%s\","
			 "\"ephemeral\":true,\"size_mib\":5}]",
			 pairs[i][0], pairs[i][1]);
		refuses_set("volumes", json, "would stand in");
	}
}

static void takes_volumes(void **state)
{
	json_t *content = kit_program();
	struct prepared *prepared;
	struct fault fault;

	(void)state;
	kit_program_set(content, "volumes",
			"[{\"mount\":\"/srv/x\",\"ephemeral\":true,"
			"\"size_mib\":5},{\"mount\":\"/srv/x2\",\"size_mib\":9,"
			"\"persistence\":\"host\",\"name\":\"data.v1\"}]");
	if (kit_program_read(&config, content, &prepared, &fault) != 0)
		fail_msg("%s", fault.text);
	assert_int_equal(prepared->volume_count, 2);
	assert_int_equal(prepared->volumes[0].kind, VOLUME_EPHEMERAL);
	assert_int_equal(prepared->volumes[0].size_mib, 5);
	assert_int_equal(prepared->volumes[1].kind, VOLUME_PERSISTENT);
	prepared_free(prepared);
	json_decref(content);
}

static void maps_runtimes(void **state)
{
	struct agent_config other = config;
	json_t *content = kit_program();
	struct prepared *prepared;
	struct fault fault;
	char *ref = (char *)(uintptr_t)json_string_value(json_object_get(
		json_object_get(content, "runtime"), "ref"));

	(void)state;
	other.runtimes = (struct config_list){ runtimes, 1 };
	other.runtime_default = (char[]){ "" };
	assert_int_equal(kit_program_read(&other, content, &prepared, &fault),
			 BERTH_INVALID);
	assert_non_null(strstr(fault.text, ref));
	runtimes[0].ref = ref;
	assert_int_equal(kit_program_read(&other, content, &prepared, &fault),
			 0);
	assert_string_equal(prepared->root, "/srv/special");
	prepared_free(prepared);
	json_decref(content);
}

static void refuses_instances_and_rubbish(void **state)
{
	static const char *const texts[] = { "", "{", "[]", "{}", "null",
		"{\"rootfs\":{}}", "{\"type\":\"vm-function\"}" };
	struct prepared *prepared;
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct hash hash;

		crypto_sha256(texts[i], strlen(texts[i]), &hash);
		assert_int_not_equal(prepare_read(&config, &hash, texts[i],
						  strlen(texts[i]), &prepared,
						  &fault), 0);
		assert_int_not_equal(fault.text[0], 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_the_usual),
		cmocka_unit_test(refuses_another_hash),
		cmocka_unit_test(refuses_entrypoints),
		cmocka_unit_test(refuses_volumes),
		cmocka_unit_test(refuses_volumes_in_volumes),
		cmocka_unit_test(takes_volumes),
		cmocka_unit_test(maps_runtimes),
		cmocka_unit_test(refuses_instances_and_rubbish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
