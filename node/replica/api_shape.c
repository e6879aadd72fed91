#include "node/replica/api_shape.h"

#include <stdlib.h>

#include "node/lib/clock.h"
#include "node/lib/crypto.h"

#define VCPUS_MAX 256u
#define MEMORY_MIB_MAX (1u << 20)
#define DISK_MIB_MAX (1u << 30)

static int bad(struct fault *fault, const char *field, const char *wanted)
{
	return fault_set(fault, BERTH_MALFORMED, "%s: %s", field, wanted);
}

static int known(const json_t *body, const char *const *names,
		 struct fault *fault)
{
	const char *key;
	json_t *value;
	size_t i;

	if (!json_is_object(body))
		return fault_set(fault, BERTH_MALFORMED, "not an object");
	json_object_foreach((json_t *)body, key, value) {
		for (i = 0; names[i] && strcmp(names[i], key); i++)
			;
		if (!names[i])
			return bad(fault, key, "unknown field");
	}
	return 0;
}

static int text_of(const json_t *body, const char *field, struct text *out,
		   struct fault *fault)
{
	const json_t *value = json_object_get(body, field);

	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value) ||
	    json_string_length(value) > FSM_TEXT_SIZE_MAX)
		return bad(fault, field, "a string of at most 256 bytes");
	out->data = json_string_value(value);
	out->size = (uint32_t)json_string_length(value);
	return 0;
}

static int number_of(const json_t *body, const char *field, uint64_t min,
		     uint64_t max, uint64_t *out, struct fault *fault)
{
	const json_t *value = json_object_get(body, field);

	if (!value)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    (uint64_t)json_integer_value(value) < min ||
	    (uint64_t)json_integer_value(value) > max)
		return fault_set(fault, BERTH_MALFORMED,
				 "%s: an integer from %llu to %llu", field,
				 (unsigned long long)min,
				 (unsigned long long)max);
	*out = (uint64_t)json_integer_value(value);
	return 0;
}

static int hash_of(const json_t *body, const char *field, bool *has,
		   struct hash *out, struct fault *fault)
{
	const json_t *value = json_object_get(body, field);
	const char *text = json_string_value(value);

	if (!value || json_is_null(value))
		return 0;
	if (!text || strlen(text) != 64 || hash_parse(text, out))
		return bad(fault, field, "64 hexadecimal digits");
	*has = true;
	return 0;
}

static int bool_of(const json_t *body, const char *field, bool *out,
		   struct fault *fault)
{
	const json_t *value = json_object_get(body, field);

	if (!value)
		return 0;
	if (!json_is_boolean(value))
		return bad(fault, field, "true or false");
	*out = json_is_true(value);
	return 0;
}

static int guarantee_of(const json_t *body, enum guarantee *out,
			struct fault *fault)
{
	const json_t *value = json_object_get(body, "guarantee");
	const char *text = json_string_value(value);

	if (!value || (text && !strcmp(text, "exclusive"))) {
		*out = GUARANTEE_EXCLUSIVE;
		return 0;
	}
	if (!text || strcmp(text, "exclusive-hold"))
		return bad(fault, "guarantee", "exclusive or exclusive-hold");
	*out = GUARANTEE_HOLD;
	return 0;
}

static int tokens_of(const json_t *body, struct command_program_put *put,
		     struct fault *fault)
{
	const json_t *list = json_object_get(body, "tokens"), *token;

	if (!list)
		return 0;
	if (!json_is_array(list) || json_array_size(list) > FSM_TOKENS_MAX)
		return bad(fault, "tokens", "an array of at most 24");
	for (size_t i = 0; i < json_array_size(list); i++) {
		token = json_array_get(list, i);
		if (!json_is_string(token) || !json_string_length(token) ||
		    json_string_length(token) > FSM_TOKEN_SIZE_MAX)
			return bad(fault, "tokens",
				   "strings of 1 to 128 bytes");
		put->tokens[i] = (struct text){
			json_string_value(token),
			(uint32_t)json_string_length(token) };
	}
	put->token_count = (uint32_t)json_array_size(list);
	return 0;
}

int api_shape_program(const json_t *body, struct command_program_put *put,
		      struct fault *fault)
{
	static const char *const names[] = { "hash", "name", "vcpus",
		"memory_mib", "disk_mib", "guarantee", "node", "tokens", NULL };
	uint64_t vcpus = 1, memory = 128, disk = 0;
	bool has_hash = false;
	int code = known(body, names, fault);

	if (!code)
		code = hash_of(body, "hash", &has_hash, &put->program, fault);
	if (!code)
		code = text_of(body, "name", &put->name, fault);
	if (!code)
		code = number_of(body, "vcpus", 1, VCPUS_MAX, &vcpus, fault);
	if (!code)
		code = number_of(body, "memory_mib", 1, MEMORY_MIB_MAX,
				 &memory, fault);
	if (!code)
		code = number_of(body, "disk_mib", 0, DISK_MIB_MAX, &disk,
				 fault);
	if (!code)
		code = guarantee_of(body, &put->guarantee, fault);
	if (!code)
		code = hash_of(body, "node", &put->has_node_pin,
			       &put->node_pin, fault);
	if (!code)
		code = tokens_of(body, put, fault);
	put->source = SOURCE_OPERATOR;
	put->kind = KIND_PROGRAM;
	put->persistent = true;
	put->time_ms = clock_wall_ms();
	put->vcpus = (uint32_t)vcpus;
	put->memory_mib = memory;
	put->disk_mib = disk;
	return code;
}

int api_shape_crn(const json_t *body, struct command_crn_put *put,
		  struct fault *fault)
{
	static const char *const names[] = { "name", "owner", "linked", NULL };
	int code = known(body, names, fault);

	put->linked = true;
	put->name = put->owner = (struct text){ "", 0 };
	if (!code)
		code = text_of(body, "name", &put->name, fault);
	if (!code)
		code = text_of(body, "owner", &put->owner, fault);
	if (!code)
		code = bool_of(body, "linked", &put->linked, fault);
	return code;
}

/* A CRN that a restored backup does not know has session 0 (R17): it is the
 * one number that may be 0. */
static int stamp_of(const json_t *body, const char *field, bool required,
		    bool zero, uint64_t *out, struct fault *fault)
{
	const json_t *value = json_object_get(body, field);
	const char *text = json_string_value(value);
	char *end;

	if (!value && !required)
		return 0;
	if (json_is_integer(value) &&
	    json_integer_value(value) >= (zero ? 0 : 1)) {
		*out = (uint64_t)json_integer_value(value);
		return 0;
	}
	if (!text || *text < '0' || *text > '9')
		return bad(fault, field, "a number, as a string of digits");
	*out = strtoull(text, &end, 10);
	if (*end || (!*out && !zero))
		return bad(fault, field, "a number, as a string of digits");
	return 0;
}

int api_shape_fence_confirm(const json_t *body,
			    struct command_fence_confirm *confirm,
			    struct fault *fault)
{
	static const char *const names[] = { "session", "all_machines", "gen",
					     NULL };
	int code = known(body, names, fault);

	if (!code)
		code = stamp_of(body, "session", true, true,
				&confirm->session, fault);
	if (!code)
		code = stamp_of(body, "gen", false, false, &confirm->gen,
				fault);
	if (!code)
		code = bool_of(body, "all_machines", &confirm->all_machines,
			       fault);
	return code;
}
