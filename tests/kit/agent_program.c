#include "tests/kit/agent_program.h"

#include <stdlib.h>

#include "node/lib/crypto.h"

#define REF "\"9a4735bca0d3f7032ddd6659c35387b57b470550c931841e6862ece4e9e6523e\""

json_t *kit_program(void)
{
	static const char text[] =
		"{\"address\":\"0x9C2FD74F9CA2B7C4941690316B0Ebc35ce55c885\","
		"\"time\":1757026128.5,\"allow_amend\":false,"
		"\"type\":\"vm-function\",\"variables\":{},"
		"\"environment\":{\"internet\":false},"
		"\"resources\":{\"vcpus\":1,\"memory\":128,\"seconds\":30},"
		"\"volumes\":[],\"runtime\":{\"ref\":" REF ",\"comment\":\"\"},"
		"\"code\":{\"encoding\":\"zip\",\"entrypoint\":\"main:app\","
		"\"ref\":" REF ",\"use_latest\":false},"
		"\"on\":{\"http\":true,\"persistent\":true}}";
	json_t *content = json_loads(text, 0, NULL);

	REQUIRE(content);
	return content;
}

void kit_program_set(json_t *content, const char *path, const char *json)
{
	json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
	char copy[256], *rest = copy, *part;
	size_t size = strlen(path);

	REQUIRE(value && size < sizeof copy);
	memcpy(copy, path, size + 1);
	while ((part = strsep(&rest, ".")) && rest)
		content = json_is_array(content) ?
			  json_array_get(content, (size_t)atoi(part)) :
			  json_object_get(content, part);
	REQUIRE(json_object_set_new(content, part, value) == 0);
}

int kit_program_read(const struct agent_config *config, json_t *content,
		     struct prepared **out, struct fault *fault)
{
	char *text = json_dumps(content, JSON_COMPACT);
	struct hash hash;
	int code;

	REQUIRE(text);
	*fault = (struct fault){ 0 };
	crypto_sha256(text, strlen(text), &hash);
	code = prepare_read(config, &hash, text, strlen(text), out, fault);
	free(text);
	return code;
}
