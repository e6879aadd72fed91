/* Aleph messages: real ones taken, altered and oversized ones refused for the
 * reason that is theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "node/lib/aleph.h"
#include "node/lib/crypto.h"

static const char ref[] =
	"9a4735bca0d3f7032ddd6659c35387b57b470550c931841e6862ece4e9e6523e";

static json_t *load(const char *name)
{
	json_error_t error;
	char path[256];
	json_t *value;

	snprintf(path, sizeof path, "tests/data/messages/%s.json", name);
	value = json_load_file(path, 0, &error);
	if (!value)
		fail_msg("%s: %s (run from the project's folder)", path,
			 error.text);
	return value;
}

static struct eth_key key(void)
{
	uint8_t secret[32];
	struct eth_key made;

	memset(secret, 0x42, sizeof secret);
	assert_int_equal(eth_key_from_secret(secret, &made), 0);
	return made;
}

/* Real messages. */

static void real_program(void **unused)
{
	struct aleph_put_scratch scratch;
	struct command_program_put put;
	struct aleph_program program;
	struct aleph_message message;
	json_t *json = load("program");
	struct fault fault;

	(void)unused;
	assert_int_equal(aleph_message_parse(json, &message, &fault), 0);
	assert_int_equal(aleph_message_verify(&message, &fault), 0);
	assert_int_equal(message.type, ALEPH_PROGRAM);
	assert_string_equal(message.channel, "ALEPH-CLOUDSOLUTIONS");
	assert_int_equal(aleph_program_parse(message.content, message.type,
					     &program, &fault), 0);
	assert_string_equal(program.name, "Hoymiles");
	assert_int_equal(program.vcpus, 2);
	assert_int_equal(program.memory_mib, 4096);
	assert_int_equal(program.seconds, 30);
	assert_false(program.persistent);
	assert_true(program.http && program.internet && program.aleph_api);
	assert_int_equal(program.encoding, ENCODING_ZIP);
	assert_int_equal(program.interface, INTERFACE_ASGI);
	assert_string_equal(program.code_ref, ref);
	assert_true(program.code_use_latest);
	assert_int_equal(program.volume_count, 1);
	assert_int_equal(program.volumes[0].kind, VOLUME_IMMUTABLE);
	assert_string_equal(program.payment, "hold");
	assert_int_equal(aleph_program_put(&message, &program, &scratch, &put,
					   &fault), 0);
	assert_int_equal(put.guarantee, GUARANTEE_EXCLUSIVE);
	assert_false(put.persistent || put.has_data || put.has_replaces);
	assert_true(put.time_ms == 1757026128773u);
	assert_int_equal(put.token_count, 1);
	assert_memory_equal(put.tokens[0].data, "runner:program", 14);
	assert_int_equal(put.owner.size, 42);
	aleph_message_fini(&message);
	json_decref(json);
}

static void real_messages_of_other_types(void **unused)
{
	static const struct {
		const char *name;
		enum aleph_type type;
	} rows[] = { { "store-ipfs", ALEPH_STORE }, { "forget", ALEPH_FORGET } };
	struct aleph_message message;
	struct fault fault;
	json_t *json;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		json = load(rows[i].name);
		assert_int_equal(aleph_message_parse(json, &message, &fault),
				 0);
		assert_int_equal(message.type, rows[i].type);
		assert_int_equal(aleph_message_verify(&message, &fault), 0);
		assert_int_equal(aleph_content_check(&message, &fault), 0);
		aleph_message_fini(&message);
		json_decref(json);
	}
}

/* Its content stands elsewhere: the signature counts, `content` is not read. */
static void real_aggregate(void **unused)
{
	struct aleph_message message;
	json_t *json = load("aggregate");
	struct fault fault;

	(void)unused;
	assert_int_equal(aleph_message_parse(json, &message, &fault), 0);
	assert_int_equal(message.item_type, ALEPH_STORAGE);
	assert_null(message.content);
	assert_null(message.item_content);
	assert_int_equal(aleph_message_verify(&message, &fault), 0);
	assert_int_equal(aleph_content_check(&message, &fault), BERTH_INVALID);
	assert_string_equal(fault.text, "content: absent");
	aleph_message_fini(&message);
	json_decref(json);
}

static void examples_with_made_up_hashes(void **unused)
{
	static const char *const names[] = { "vm-example-program",
		"vm-example-instance", "vm-example-confidential_instance" };
	struct aleph_message message;
	struct aleph_program program;
	struct fault fault;
	json_t *json;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		json = load(names[i]);
		assert_int_equal(aleph_message_parse(json, &message, &fault),
				 0);
		assert_int_equal(aleph_message_verify(&message, &fault),
				 BERTH_MISMATCH);
		assert_non_null(strstr(fault.text, "fake-hash"));
		/* `content` was edited by hand, and is another program. */
		assert_int_equal(aleph_program_parse(
			json_object_get(json, "content"), message.type,
			&program, &fault), 0);
		aleph_message_fini(&message);
		json_decref(json);
	}
}

static void instance_without_item_content(void **unused)
{
	struct aleph_message message;
	struct aleph_program program;
	json_t *json = load("instance-machine");
	struct fault fault;

	(void)unused;
	assert_int_equal(aleph_message_parse(json, &message, &fault),
			 BERTH_MALFORMED);
	assert_string_equal(fault.text, "item_hash: missing");
	json_object_set_new(json, "item_hash", json_string("made-up"));
	assert_int_equal(aleph_message_parse(json, &message, &fault),
			 BERTH_MALFORMED);
	assert_string_equal(fault.text,
			    "item_content: missing with item_type inline");
	assert_int_equal(aleph_program_parse(json_object_get(json, "content"),
					     ALEPH_INSTANCE, &program, &fault),
			 0);
	assert_true(program.persistent && program.has_host_volume);
	assert_true(program.disk_mib == 20000 + 5 + 10 + 10 + 10);
	assert_int_equal(program.volume_count, 5);
	assert_int_equal(program.volumes[1].kind, VOLUME_EPHEMERAL);
	assert_string_equal(program.volumes[3].persistence, "store");
	assert_string_equal(program.architecture, "x86_64");
	json_decref(json);
}

static void answers_of_the_api_are_no_messages(void **unused)
{
	static const char *const names[] = { "api-forgotten-message",
					     "api-pending-message" };
	struct aleph_message message;
	struct fault fault;
	json_t *json;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		json = load(names[i]);
		assert_int_equal(aleph_message_parse(json, &message, &fault),
				 BERTH_INVALID);
		assert_non_null(strstr(fault.text, "unknown field"));
		json_decref(json);
	}
	/* The message inside has its time as text. */
	json = load("api-pending-message");
	assert_int_equal(aleph_message_parse(
		json_array_get(json_object_get(json, "messages"), 0), &message,
		&fault), 0);
	assert_true(message.time > 1778286634.2486 &&
		    message.time < 1778286634.2487);
	assert_int_equal(aleph_message_verify(&message, &fault), 0);
	aleph_message_fini(&message);
	json_decref(json);
}

/* Envelopes that must not pass. `value` NULL removes the field. */

struct envelope_row {
	const char *field, *value; /* as JSON */
	int parse, verify;
	const char *says;
};

static void altered_envelopes(void **unused)
{
	static const struct envelope_row rows[] = {
		{ "surprise", "1", BERTH_INVALID, 0, "surprise: unknown" },
		{ "chain", NULL, BERTH_MALFORMED, 0, "chain: missing" },
		{ "chain", "\"DOGE\"", BERTH_INVALID, 0, "chain: \"DOGE\"" },
		{ "chain", "7", BERTH_MALFORMED, 0, "chain: an integer" },
		{ "chain", "\"BSC\"", 0, BERTH_DENIED, "signature: " },
		{ "chain", "\"SOL\"", 0, BERTH_INVALID,
		  "cannot verify chain SOL" },
		{ "type", "\"V-PROGRAM\"", BERTH_INVALID, 0, "type: " },
		{ "type", "\"STORE\"", 0, BERTH_DENIED, "signature: by 0x" },
		{ "sender", "\"0x9C2FD74F9CA2B7C4941690316B0Ebc35ce55c886\"",
		  0, BERTH_DENIED, "not by the sender" },
		{ "sender", "\"bob\"", 0, BERTH_INVALID, "cannot verify" },
		{ "time", "\"yesterday\"", BERTH_INVALID, 0, "time: " },
		{ "time", "-1", BERTH_INVALID, 0, "time: " },
		{ "time", "1e300", BERTH_INVALID, 0, "time: " },
		{ "item_type", "\"carrier pigeon\"", BERTH_INVALID, 0,
		  "item_type: " },
		{ "item_type", "\"storage\"", BERTH_INVALID, 0,
		  "item_content: only with" },
		{ "item_content", "null", BERTH_MALFORMED, 0,
		  "item_content: missing" },
		{ "item_content", "\"{\"", BERTH_MALFORMED, 0,
		  "item_content: json: line 1" },
		{ "item_content", "\"[]\"", BERTH_MALFORMED, 0,
		  "item_content: not an object" },
		{ "item_content", "\"{\\\"a\\\":1,\\\"a\\\":2}\"",
		  BERTH_MALFORMED, 0, "duplicate" },
		{ "item_content", "\"{}\"", 0, BERTH_MISMATCH, "item_hash: " },
		{ "item_hash", "\"\"", BERTH_INVALID, 0, "item_hash: " },
		{ "item_hash", "\"a b\"", BERTH_INVALID, 0, "item_hash: " },
		{ "item_hash", "\"acab0108713\"", 0, BERTH_MISMATCH,
		  "item_hash: " },
		{ "signature", "null", 0, BERTH_DENIED, "signature: missing" },
		{ "signature", "\"0x00\"", 0, BERTH_DENIED, "signature: " },
		{ "signature", "7", BERTH_MALFORMED, 0, "signature: " },
		{ "signature", "{\"signature\":\"x\",\"publicKey\":\"y\"}", 0,
		  BERTH_DENIED, "signature: " },
		{ "hash_type", "\"md5\"", BERTH_INVALID, 0, "hash_type: " },
		{ "size", "-1", BERTH_INVALID, 0, "size: -1 is below 0" },
		{ "confirmed", "true", BERTH_INVALID, 0, "confirmed: " },
	};
	struct aleph_message message;
	struct fault fault;
	json_t *json;
	int rc;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		json = load("program");
		if (rows[i].value)
			json_object_set_new(json, rows[i].field,
				json_loads(rows[i].value, JSON_DECODE_ANY,
					   NULL));
		else
			json_object_del(json, rows[i].field);
		rc = aleph_message_parse(json, &message, &fault);
		if (rc != rows[i].parse)
			fail_msg("row %zu: parse gave %s: %s", i,
				 berth_error_name(rc), fault.text);
		if (rc == 0) {
			rc = aleph_message_verify(&message, &fault);
			if (rc != rows[i].verify || rc == 0)
				fail_msg("row %zu: verify gave %s: %s", i,
					 berth_error_name(rc), fault.text);
			aleph_message_fini(&message);
		}
		if (!strstr(fault.text, rows[i].says))
			fail_msg("row %zu: \"%s\" does not say \"%s\"", i,
				 fault.text, rows[i].says);
		json_decref(json);
	}
}

static json_t *long_string(size_t size)
{
	char *text = malloc(size + 1);
	json_t *value;

	assert_non_null(text);
	memset(text, 'a', size);
	text[size] = '\0';
	value = json_string(text);
	free(text);
	return value;
}

static void oversized_envelopes(void **unused)
{
	static const struct {
		const char *field;
		size_t size;
	} rows[] = { { "item_content", ALEPH_INLINE_SIZE_MAX + 1 },
		     { "channel", 129 },   { "sender", 128 },
		     { "signature", 512 }, { "item_hash", 96 } };
	struct aleph_message message;
	struct fault fault;
	json_t *json;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		json = load("program");
		json_object_set_new(json, rows[i].field,
				    long_string(rows[i].size));
		assert_int_equal(aleph_message_parse(json, &message, &fault),
				 BERTH_TOOBIG);
		assert_memory_equal(fault.text, rows[i].field,
				    strlen(rows[i].field));
		json_decref(json);
	}
	assert_int_equal(aleph_message_parse(json_null(), &message, &fault),
			 BERTH_MALFORMED);
}

/* Contents that must not pass: a path and a value put into a good one. */

static const char good_program[] =
	"{\"address\":\"0x9C2FD74F9CA2B7C4941690316B0Ebc35ce55c885\",\"time\":"
	"1757026128.773,\"type\":\"vm-function\",\"allow_amend\":false,"
	"\"on\":{\"http\":true,\"persistent\":true},\"environment\":{},"
	"\"resources\":{},\"payment\":{\"type\":\"hold\"},"
	"\"requirements\":{\"cpu\":{},\"node\":{},\"gpu\":[]},"
	"\"metadata\":{},\"variables\":{},\"authorized_keys\":[],"
	"\"runtime\":{\"ref\":\"9a4735bca0d3f7032ddd6659c35387b57b470550c93184"
	"1e6862ece4e9e6523e\",\"comment\":\"\"},"
	"\"volumes\":[{\"size_mib\":3,\"persistence\":\"host\","
	"\"mount\":\"/data\"},{\"ephemeral\":true,\"size_mib\":4},"
	"{\"ref\":\"QmYULJoNGPDmoRq4WNWTDTUvJGJv1hosox8H6vVd1kCsY8\"}],"
	"\"code\":{\"encoding\":\"zip\",\"entrypoint\":\"run.sh\",\"ref\":"
	"\"9a4735bca0d3f7032ddd6659c35387b57b470550c931841e6862ece4e9e6523e\""
	"}}";
static const char good_instance[] =
	"{\"address\":\"0x9C2FD74F9CA2B7C4941690316B0Ebc35ce55c885\",\"time\":"
	"1757026128.773,\"allow_amend\":false,\"environment\":{},"
	"\"resources\":{},\"payment\":{\"type\":\"hold\"},"
	"\"requirements\":{\"cpu\":{},\"node\":{},\"gpu\":[]},"
	"\"volumes\":[],\"rootfs\":{\"parent\":{\"ref\":\"9a4735bca0d3f7032ddd"
	"6659c35387b57b470550c931841e6862ece4e9e6523e\"},\"persistence\":"
	"\"host\",\"size_mib\":20000}}";

static json_t *parsed(const char *text)
{
	struct fault fault;
	json_t *value;

	if (json_parse(text, strlen(text), 1u << 20, &value, &fault) != 0)
		fail_msg("%s: %s", text, fault.text);
	return value;
}

/* Puts `value` at a dotted path; "volumes.0.mount" goes into a list. */
static void put_at(json_t *at, const char *path, json_t *value)
{
	char part[64];
	size_t size;

	for (;;) {
		size = strcspn(path, ".");
		assert_true(size < sizeof part);
		memcpy(part, path, size);
		part[size] = '\0';
		if (path[size] == '\0')
			break;
		path += size + 1;
		at = json_is_array(at) ?
			json_array_get(at, (size_t)atoi(part)) :
			json_object_get(at, part);
		assert_non_null(at);
	}
	if (!value)
		json_object_del(at, part);
	else if (json_is_array(at))
		json_array_append_new(at, value);
	else
		json_object_set_new(at, part, value);
}

struct content_row {
	const char *path, *value;
	int rc;
	const char *says;
};

static void try_content(const char *good, enum aleph_type type,
			const struct content_row *row)
{
	struct aleph_program program;
	json_t *content = parsed(good);
	struct fault fault = { 0 };
	int rc;

	put_at(content, row->path, row->value ? parsed(row->value) : NULL);
	rc = aleph_program_parse(content, type, &program, &fault);
	if (rc != row->rc)
		fail_msg("%s = %s: %s: %s", row->path,
			 row->value ? row->value : "(none)",
			 berth_error_name(rc), fault.text);
	if (rc != 0 && !strstr(fault.text, row->says))
		fail_msg("%s: \"%s\" does not say \"%s\"", row->path,
			 fault.text, row->says);
	json_decref(content);
}

static void bad_programs(void **unused)
{
	static const struct content_row rows[] = {
		{ "surprise", "1", BERTH_INVALID,
		  "content.surprise: unknown field" },
		{ "resources.gpus", "1", BERTH_INVALID,
		  "content.resources.gpus: unknown field" },
		{ "address", NULL, BERTH_MALFORMED, "content.address: missing" },
		{ "time", "-1", BERTH_INVALID, "content.time: " },
		{ "time", "9223372037", BERTH_INVALID, "content.time: " },
		{ "type", "\"vm-instance\"", BERTH_INVALID, "content.type: " },
		{ "allow_amend", "1", BERTH_MALFORMED,
		  "content.allow_amend: an integer is not a boolean" },
		{ "allow_amend", "null", BERTH_MALFORMED, "content.allow_am" },
		{ "metadata", "[]", BERTH_MALFORMED, "content.metadata: " },
		{ "authorized_keys", "[7]", BERTH_MALFORMED,
		  "content.authorized_keys[0]: " },
		{ "variables.N", "32", BERTH_MALFORMED,
		  "content.variables.N: an integer is not a string" },
		{ "resources.vcpus", "300", BERTH_INVALID,
		  "content.resources.vcpus: 300 is above 256" },
		{ "resources.vcpus", "0", BERTH_INVALID,
		  "content.resources.vcpus: 0 is below 1" },
		{ "resources.vcpus", "1.5", BERTH_MALFORMED,
		  "content.resources.vcpus: a real" },
		{ "resources.memory", "1048577", BERTH_INVALID,
		  "content.resources.memory: 1048577 is above 1048576" },
		{ "resources.seconds", "315360001", BERTH_INVALID,
		  "content.resources.seconds: " },
		{ "resources.published_ports", "[{\"port\":65536}]",
		  BERTH_INVALID, "content.resources.published_ports[0].port" },
		{ "resources.published_ports",
		  "[{\"port\":1,\"protocol\":\"sctp\"}]", BERTH_INVALID,
		  "content.resources.published_ports[0].protocol" },
		{ "payment.type", "\"promise\"", BERTH_INVALID,
		  "content.payment.type: \"promise\"" },
		{ "payment.chain", "\"DOGE\"", BERTH_INVALID,
		  "content.payment.chain: " },
		{ "environment.hypervisor", "\"qemu\"", BERTH_INVALID,
		  "content.environment.hypervisor: unknown field" },
		{ "requirements.cpu.architecture", "\"mips\"", BERTH_INVALID,
		  "content.requirements.cpu.architecture: " },
		{ "requirements.cpu.features", "[1]", BERTH_MALFORMED,
		  "content.requirements.cpu.features[0]: " },
		{ "requirements.node.node_hash", "\"abc\"", BERTH_INVALID,
		  "content.requirements.node.node_hash: \"abc\"" },
		{ "requirements.gpu.0", "{}", BERTH_MALFORMED,
		  "content.requirements.gpu[0].vendor: missing" },
		{ "volumes", "null", BERTH_MALFORMED, "content.volumes: null" },
		{ "volumes.9", "{\"ref\":\"x\"}", BERTH_INVALID,
		  "content.volumes[3].ref: " },
		{ "volumes.9", "{\"mount\":\"/x\"}", BERTH_MALFORMED,
		  "content.volumes[3].size_mib: missing" },
		{ "volumes.9", "{\"ephemeral\":false,\"size_mib\":1}",
		  BERTH_INVALID, "content.volumes[3].ephemeral: only true" },
		{ "volumes.9", "{\"ephemeral\":true,\"size_mib\":1001}",
		  BERTH_INVALID, "content.volumes[3].size_mib: 1001 is above" },
		{ "volumes.9", "{\"size_mib\":1953126}", BERTH_INVALID,
		  "content.volumes[3].size_mib: 1953126 is above 1953125" },
		{ "volumes.9", "{\"size_mib\":\"4\"}", BERTH_MALFORMED,
		  "content.volumes[3].size_mib: a string" },
		{ "volumes.9", "{\"size_mib\":4,\"persistence\":\"usb\"}",
		  BERTH_INVALID, "content.volumes[3].persistence: " },
		{ "code.encoding", "\"rar\"", BERTH_INVALID,
		  "content.code.encoding: " },
		{ "code.interface", "\"wsgi\"", BERTH_INVALID,
		  "content.code.interface: " },
		{ "code.ref", "\"9A\"", BERTH_INVALID, "content.code.ref: " },
		{ "code.args", "[1]", BERTH_MALFORMED,
		  "content.code.args[0]: " },
		{ "runtime.comment", NULL, BERTH_MALFORMED,
		  "content.runtime.comment: missing" },
		{ "on.http", NULL, BERTH_MALFORMED,
		  "content.on.http: missing" },
		{ "on.persistent", "\"yes\"", BERTH_MALFORMED,
		  "content.on.persistent: a string" },
		{ "on.cron", "\"* * * * *\"", BERTH_INVALID,
		  "content.on.cron: unknown field" },
		{ "on.message", "[1]", BERTH_MALFORMED,
		  "content.on.message[0]: " },
		{ "rootfs", "{}", BERTH_INVALID, "content.rootfs: unknown" },
		/* and these pass */
		{ "payment.type", "\"credit\"", 0, NULL },
		{ "payment", "null", 0, NULL },
		{ "requirements", "null", 0, NULL },
		{ "on.persistent", "null", 0, NULL },
		{ "code.interface", "null", 0, NULL },
		{ "data", "null", 0, NULL },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		try_content(good_program, ALEPH_PROGRAM, &rows[i]);
}

static void bad_instances(void **unused)
{
	static const struct content_row rows[] = {
		{ "rootfs", NULL, BERTH_MALFORMED, "content.rootfs: missing" },
		{ "rootfs.parent.ref", "\"x\"", BERTH_INVALID,
		  "content.rootfs.parent.ref: " },
		{ "rootfs.size_mib", "0", BERTH_INVALID,
		  "content.rootfs.size_mib: 0 is below 1" },
		{ "cloud_config", "{}", BERTH_INVALID,
		  "content.cloud_config: unknown field" },
		{ "payment.type", "\"credit\"", BERTH_INVALID,
		  "node_hash: missing with credit" },
		{ "payment.type", "\"superfluid\"", BERTH_INVALID,
		  "node_hash: missing with superfluid" },
		{ "requirements.gpu.0",
		  "{\"vendor\":\"NVIDIA\",\"device_name\":\"A\",\"device_class"
		  "\":\"0300\",\"device_id\":\"10de:2504\"}", BERTH_INVALID,
		  "node_hash: missing with gpu" },
		{ "requirements.node.terms_and_conditions",
		  "\"9a4735bca0d3f7032ddd6659c35387b57b470550c931841e6862ece4e"
		  "9e6523e\"", BERTH_INVALID, "node_hash: missing with terms" },
		{ "environment.trusted_execution", "{}", BERTH_INVALID,
		  "content.environment.trusted_execution: only with" },
		{ "environment.hypervisor", "\"xen\"", BERTH_INVALID,
		  "content.environment.hypervisor: " },
		{ "requirements.node.node_hash",
		  "\"9a4735bca0d3f7032ddd6659c35387b57b470550c931841e6862ece4e"
		  "9e6523e\"", 0, NULL },
		{ "environment.hypervisor", "\"qemu\"", 0, NULL },
	};
	static const struct content_row free_of_rules = {
		"requirements", NULL, 0, NULL
	};
	struct aleph_program program;
	json_t *content;
	struct fault fault;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		try_content(good_instance, ALEPH_INSTANCE, &rows[i]);
	try_content(good_instance, ALEPH_INSTANCE, &free_of_rules);
	/* Credit without a node is good when nothing is required. */
	content = parsed(good_instance);
	json_object_del(content, "requirements");
	put_at(content, "payment.type", json_string("credit"));
	assert_int_equal(aleph_program_parse(content, ALEPH_INSTANCE, &program,
					     &fault), 0);
	json_decref(content);
}

static void limits_of_counts_and_sizes(void **unused)
{
	static const struct {
		const char *path;
		size_t size;
		int rc;
	} rows[] = {
		{ "replaces", 129, BERTH_TOOBIG }, { "replaces", 128, 0 },
		{ "variables.v", 4097, BERTH_TOOBIG },
		{ "variables.v", 4096, 0 },
		{ "authorized_keys.0", 8193, BERTH_TOOBIG },
		{ "volumes.0.mount", 257, BERTH_TOOBIG },
		{ "volumes.0.mount", 256, 0 },
		{ "requirements.node.address_regex", 257, BERTH_TOOBIG },
		{ "address", 128, BERTH_TOOBIG },
	};
	struct aleph_program program;
	struct fault fault;
	json_t *content, *list;
	char name[16];

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		content = parsed(good_program);
		put_at(content, rows[i].path, long_string(rows[i].size));
		assert_int_equal(aleph_program_parse(content, ALEPH_PROGRAM,
						     &program, &fault),
				 rows[i].rc);
		json_decref(content);
	}
	content = parsed(good_program);
	list = json_object_get(content, "volumes");
	while (json_array_size(list) < ALEPH_VOLUMES_MAX)
		json_array_append(list, json_array_get(list, 0));
	assert_int_equal(aleph_program_parse(content, ALEPH_PROGRAM, &program,
					     &fault), 0);
	assert_int_equal(program.volume_count, ALEPH_VOLUMES_MAX);
	json_array_append(list, json_array_get(list, 0));
	assert_int_equal(aleph_program_parse(content, ALEPH_PROGRAM, &program,
					     &fault), BERTH_TOOBIG);
	assert_string_equal(fault.text,
			    "content.volumes: 257 items are above 256");
	json_array_clear(list);
	for (int i = 0; i < 257; i++) {
		snprintf(name, sizeof name, "v%d", i);
		json_object_set_new(json_object_get(content, "variables"),
				    name, json_string(""));
	}
	assert_int_equal(aleph_program_parse(content, ALEPH_PROGRAM, &program,
					     &fault), BERTH_TOOBIG);
	json_decref(content);
}

/* The command. */

static int put(const char *good, enum aleph_type type, const char *changes,
	       struct command_program_put *out, struct fault *fault,
	       char tokens[512])
{
	static struct aleph_put_scratch scratch;
	struct aleph_message message = { .type = type, .time = 1.5 };
	struct aleph_program program;
	json_t *content = parsed(good), *extra = parsed(changes);
	int rc;

	strcpy(message.item_hash, ref);
	json_object_update(content, extra);
	assert_int_equal(aleph_program_parse(content, type, &program, fault),
			 0);
	memset(out, 0, sizeof *out);
	rc = aleph_program_put(&message, &program, &scratch, out, fault);
	tokens[0] = '\0';
	for (uint32_t i = 0; i < out->token_count; i++) {
		assert_int_equal(strlen(out->tokens[i].data),
				 out->tokens[i].size);
		strcat(strcat(tokens, out->tokens[i].data), " ");
	}
	json_decref(content);
	json_decref(extra);
	return rc;
}

static void a_program_with_a_host_volume_is_held(void **unused)
{
	struct command_program_put out;
	struct fault fault;
	char tokens[512];

	(void)unused;
	assert_int_equal(put(good_program, ALEPH_PROGRAM, "{}", &out, &fault,
			     tokens), 0);
	assert_int_equal(out.guarantee, GUARANTEE_HOLD);
	assert_true(out.has_data && out.persistent);
	assert_false(out.move_without_data);
	assert_true(out.disk_mib == 7 && out.time_ms == 1500);
	assert_string_equal(tokens, "runner:program ");
	assert_int_equal(put(good_program, ALEPH_PROGRAM, "{\"volumes\":[]}",
			     &out, &fault, tokens), 0);
	assert_int_equal(out.guarantee, GUARANTEE_EXCLUSIVE);
	assert_false(out.has_data);
	assert_int_equal(put(good_instance, ALEPH_INSTANCE, "{}", &out, &fault,
			     tokens), 0);
	assert_int_equal(out.guarantee, GUARANTEE_HOLD);
	assert_int_equal(out.kind, KIND_INSTANCE);
	assert_true(out.persistent && out.disk_mib == 20000);
	assert_string_equal(tokens, "runner:instance ");
}

static void requirements_become_tokens(void **unused)
{
	struct command_program_put out;
	struct fault fault;
	char tokens[512];

	(void)unused;
	assert_int_equal(put(good_program, ALEPH_PROGRAM,
		"{\"metadata\":{\"name\":\"n\"},\"replaces\":\"acab01087137c68"
		"a5e84734e75145482651accf3bea80fb9b723b761639ecc1c\","
		"\"requirements\":{\"cpu\":{\"architecture\":\"arm64\","
		"\"vendor\":\"genuineintel\",\"features\":[\"SEV\",\"sev_es\"]"
		"},\"node\":{\"owner\":\"0xABC\",\"address_regex\":\"^h\","
		"\"node_hash\":\"549ec451d9b099cad112d4aaa2c00ac40fb6729a92ff2"
		"52ff22eef0b5c3cb613\"},\"gpu\":[{\"vendor\":\"N\","
		"\"device_name\":\"A\",\"device_class\":\"0302\",\"device_id\""
		":\"10DE:2504\"}]}}", &out, &fault, tokens), 0);
	assert_string_equal(tokens, "runner:program arch:arm64 "
			    "vendor:GenuineIntel feature:sev feature:sev_es "
			    "gpu:10de:2504 owner:0xabc address_regex:^h ");
	assert_true(out.has_node_pin && out.node_pin.bytes[0] == 0x54);
	assert_true(out.has_replaces && out.replaces.bytes[0] == 0xac);
	assert_int_equal(out.name.size, 1);
}

static void what_no_command_can_say(void **unused)
{
	static const char *const gpu =
		"{\"vendor\":\"N\",\"device_name\":\"A\",\"device_class\":"
		"\"0302\",\"device_id\":\"10de:2504\"}";
	struct command_program_put out;
	struct fault fault;
	char tokens[512], changes[2048];

	(void)unused;
	snprintf(changes, sizeof changes,
		 "{\"requirements\":{\"gpu\":[%s,%s]}}", gpu, gpu);
	assert_int_equal(put(good_program, ALEPH_PROGRAM, changes, &out,
			     &fault, tokens), BERTH_INVALID);
	assert_non_null(strstr(fault.text, "more than one gpu:10de:2504"));
	snprintf(changes, sizeof changes, "{\"requirements\":{\"node\":"
		 "{\"address_regex\":\"%0200d\"}}}", 0);
	assert_int_equal(put(good_program, ALEPH_PROGRAM, changes, &out,
			     &fault, tokens), BERTH_INVALID);
	assert_int_equal(put(good_program, ALEPH_PROGRAM,
			     "{\"replaces\":\"0x9319\"}", &out, &fault,
			     tokens), BERTH_INVALID);
	assert_non_null(strstr(fault.text, "content.replaces"));
	snprintf(changes, sizeof changes, "{\"replaces\":\"%s\"}", ref);
	assert_int_equal(put(good_program, ALEPH_PROGRAM, changes, &out,
			     &fault, tokens), BERTH_INVALID);
	assert_int_equal(put(good_program, ALEPH_PROGRAM,
		"{\"requirements\":{\"cpu\":{\"features\":[\"1\",\"2\",\"3\","
		"\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\","
		"\"13\",\"14\",\"15\",\"16\",\"17\",\"18\",\"19\",\"20\","
		"\"21\",\"22\",\"23\",\"24\"]}}}", &out, &fault, tokens),
		BERTH_INVALID);
	assert_non_null(strstr(fault.text, "more than 24"));
}

/* What we make is what we take. */

static void made_messages_verify(void **unused)
{
	struct eth_key signer = key();
	struct aleph_message message;
	json_t *content = parsed(good_program), *envelope;
	struct fault fault;

	(void)unused;
	assert_int_equal(aleph_message_make(&signer, ALEPH_PROGRAM, content,
					    1757026128.773, "TEST", &envelope,
					    &fault), 0);
	assert_int_equal(aleph_message_parse(envelope, &message, &fault), 0);
	assert_int_equal(aleph_message_verify(&message, &fault), 0);
	assert_true(json_equal(message.content, content));
	assert_null(strstr(message.item_content, "\": "));
	assert_string_equal(message.sender, signer.address);
	aleph_message_fini(&message);
	json_decref(envelope);
	assert_int_equal(aleph_message_make(&signer, ALEPH_FORGET, content, 1,
					    NULL, &envelope, &fault), 0);
	assert_int_equal(aleph_message_parse(envelope, &message, &fault), 0);
	assert_string_equal(message.channel, "");
	aleph_message_fini(&message);
	json_decref(envelope);
	json_object_set_new(content, "address",
			    long_string(ALEPH_INLINE_SIZE_MAX));
	assert_int_equal(aleph_message_make(&signer, ALEPH_PROGRAM, content, 1,
					    NULL, &envelope, &fault),
			 BERTH_TOOBIG);
	json_decref(content);
}

static void contents_of_other_types(void **unused)
{
	static const struct {
		enum aleph_type type;
		const char *content;
		int rc;
		const char *says;
	} rows[] = {
		{ ALEPH_FORGET, "{\"address\":\"a\",\"time\":1,\"hashes\":[]}",
		  BERTH_INVALID, "nothing to forget" },
		{ ALEPH_FORGET, "{\"address\":\"a\",\"time\":1,\"hashes\":"
		  "[\"x\"]}", BERTH_INVALID, "content.hashes[0]" },
		{ ALEPH_FORGET, "{\"address\":\"a\",\"time\":1}",
		  BERTH_MALFORMED, "content.hashes: missing" },
		{ ALEPH_STORE, "{\"address\":\"a\",\"time\":1,\"item_type\":"
		  "\"inline\",\"item_hash\":\"x\"}", BERTH_INVALID,
		  "content.item_type" },
		{ ALEPH_STORE, "{\"address\":\"a\",\"time\":1,\"item_type\":"
		  "\"ipfs\",\"item_hash\":\"QmYULJoNGPDmoRq4WNWTDTUvJGJv1hosox"
		  "8H6vVd1kCsY8\",\"note\":\"mine\"}", 0, NULL },
		{ ALEPH_POST, "{\"address\":\"a\",\"time\":1,\"type\":\"amend"
		  "\"}", BERTH_INVALID, "content.ref: missing" },
		{ ALEPH_POST, "{\"address\":\"a\",\"time\":1,\"type\":\"x\","
		  "\"content\":[1]}", 0, NULL },
		{ ALEPH_AGGREGATE, "{\"address\":\"a\",\"time\":1,\"key\":1,"
		  "\"content\":{}}", BERTH_MALFORMED, "content.key" },
		{ ALEPH_AGGREGATE, "{\"address\":\"a\",\"time\":1,\"key\":"
		  "{\"name\":\"k\"},\"content\":{}}", 0, NULL },
	};
	struct aleph_message message = { 0 };
	struct fault fault;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		message.type = rows[i].type;
		message.content = parsed(rows[i].content);
		assert_int_equal(aleph_content_check(&message, &fault),
				 rows[i].rc);
		if (rows[i].rc && !strstr(fault.text, rows[i].says))
			fail_msg("row %zu: %s", i, fault.text);
		json_decref(message.content);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_program),
		cmocka_unit_test(real_messages_of_other_types),
		cmocka_unit_test(real_aggregate),
		cmocka_unit_test(examples_with_made_up_hashes),
		cmocka_unit_test(instance_without_item_content),
		cmocka_unit_test(answers_of_the_api_are_no_messages),
		cmocka_unit_test(altered_envelopes),
		cmocka_unit_test(oversized_envelopes),
		cmocka_unit_test(bad_programs),
		cmocka_unit_test(bad_instances),
		cmocka_unit_test(limits_of_counts_and_sizes),
		cmocka_unit_test(a_program_with_a_host_volume_is_held),
		cmocka_unit_test(requirements_become_tokens),
		cmocka_unit_test(what_no_command_can_say),
		cmocka_unit_test(made_messages_verify),
		cmocka_unit_test(contents_of_other_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
