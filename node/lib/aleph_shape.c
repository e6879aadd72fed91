#include "node/lib/aleph_shape.h"

#include <stdio.h>

/* aleph.md 1.1; the models name 33. */
static const struct {
	const char *name;
	bool evm;
} chains[] = {
	{ "ARB", true },      { "AURORA", true }, { "AVAX", true },
	{ "BASE", true },     { "BLAST", true },  { "BOB", true },
	{ "BSC", true },      { "CSDK", false },  { "CYBER", true },
	{ "DOT", false },     { "ES", false },    { "ETH", true },
	{ "ETHERLINK", true }, { "FRAX", true },  { "HYPE", true },
	{ "INK", true },      { "LENS", true },   { "LINEA", true },
	{ "LISK", true },     { "METIS", true },  { "MODE", true },
	{ "NEO", false },     { "NULS", false },  { "NULS2", false },
	{ "OP", true },       { "POL", true },    { "SOL", false },
	{ "SONIC", true },    { "STT", true },    { "TEZOS", false },
	{ "UNICHAIN", true }, { "WLD", true },    { "ZORA", true },
};

bool aleph__chain_known(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(chains); i++)
		if (strcmp(chains[i].name, name) == 0)
			return true;
	return false;
}

bool aleph__chain_is_evm(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(chains); i++)
		if (strcmp(chains[i].name, name) == 0)
			return chains[i].evm;
	return false;
}

bool aleph__item_hash_valid(const char *text)
{
	static const char base58[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
				     "abcdefghijkmnopqrstuvwxyz";
	size_t size = strnlen(text, 65);

	if (size == 64)
		return strspn(text, "0123456789abcdef") == 64;
	if (size >= 44 && size <= 46 && memcmp(text, "Qm", 2) == 0)
		return strspn(text, base58) == size;
	return size == 59 && memcmp(text, "bafy", 4) == 0 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz234567") == size;
}

static int type_fault(const char *path, const char *wanted,
		      const json_t *value, struct fault *fault)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",
		[JSON_STRING] = "a string",  [JSON_INTEGER] = "an integer",
		[JSON_REAL] = "a real",	     [JSON_TRUE] = "true",
		[JSON_FALSE] = "false",	     [JSON_NULL] = "null",
	};

	return fault_set(fault, BERTH_MALFORMED, "%s: %s is not %s", path,
			 names[json_typeof(value)], wanted);
}

/* Limits count characters, as the network's models do, not bytes. */
static size_t characters(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += (*text & 0xc0) != 0x80;
	return count;
}

static int check_string(const struct shape *shape, const json_t *value,
			const char *path, struct fault *fault)
{
	size_t count;

	if (!json_is_string(value))
		return type_fault(path, "a string", value, fault);
	count = characters(json_string_value(value));
	if (shape->max && count > shape->max)
		return fault_set(fault, BERTH_TOOBIG,
				 "%s: %zu characters are above %llu", path,
				 count, (unsigned long long)shape->max);
	return BERTH_OK;
}

static int check_uint(const struct shape *shape, const json_t *value,
		      const char *path, struct fault *fault)
{
	json_int_t number;

	if (!json_is_integer(value))
		return type_fault(path, "an integer", value, fault);
	number = json_integer_value(value);
	if (number < (json_int_t)shape->min)
		return fault_set(fault, BERTH_INVALID, "%s: %lld is below %llu",
				 path, (long long)number,
				 (unsigned long long)shape->min);
	if (number > (json_int_t)shape->max)
		return fault_set(fault, BERTH_INVALID, "%s: %lld is above %llu",
				 path, (long long)number,
				 (unsigned long long)shape->max);
	return BERTH_OK;
}

static int check_time(const json_t *value, const char *path,
		      struct fault *fault)
{
	double time;

	if (!json_is_number(value))
		return type_fault(path, "a number", value, fault);
	time = json_number_value(value);
	if (!(time >= 0 && time <= ALEPH_TIME_MAX))
		return fault_set(fault, BERTH_INVALID,
				 "%s: %.17g is not between 0 and %.0f", path,
				 time, ALEPH_TIME_MAX);
	return BERTH_OK;
}

static int check_hash(const json_t *value, const char *path,
		      struct fault *fault)
{
	if (!json_is_string(value))
		return type_fault(path, "an item hash", value, fault);
	if (!aleph__item_hash_valid(json_string_value(value)))
		return fault_set(fault, BERTH_INVALID,
				 "%s: \"%.70s\" is not an item hash", path,
				 json_string_value(value));
	return BERTH_OK;
}

static int check_choice(const struct shape *shape, const json_t *value,
			const char *path, struct fault *fault)
{
	if (!json_is_string(value))
		return type_fault(path, "a string", value, fault);
	for (const char *const *c = shape->choices; *c; c++)
		if (strcmp(*c, json_string_value(value)) == 0)
			return BERTH_OK;
	return fault_set(fault, BERTH_INVALID,
			 "%s: \"%.40s\" is not known here", path,
			 json_string_value(value));
}

static int check_chain(const json_t *value, const char *path,
		       struct fault *fault)
{
	if (!json_is_string(value))
		return type_fault(path, "a chain", value, fault);
	if (!aleph__chain_known(json_string_value(value)))
		return fault_set(fault, BERTH_INVALID,
				 "%s: \"%.40s\" is not a known chain", path,
				 json_string_value(value));
	return BERTH_OK;
}

/* "content" + "resources"; what does not fit loses its head, not its tail. */
static void path_join(char out[SHAPE_PATH_SIZE], const char *path,
		      const char *name)
{
	size_t keep = strlen(path), size = strnlen(name, 64);

	if (keep + size + 2 > SHAPE_PATH_SIZE) {
		path += keep + size + 2 - SHAPE_PATH_SIZE;
		keep = strlen(path);
	}
	snprintf(out, SHAPE_PATH_SIZE, "%.*s%s%.*s", (int)keep, path,
		 keep > 0 ? "." : "", (int)size, name);
}

static const struct shape_field *field_find(const struct shape *shape,
					    const char *name)
{
	for (const struct shape_field *f = shape->fields; f && f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return NULL;
}

static int check_known(const struct shape *shape, const json_t *value,
		       const char *path, struct fault *fault)
{
	char inner[SHAPE_PATH_SIZE];
	const char *key;
	json_t *member;

	if (shape->open)
		return BERTH_OK;
	json_object_foreach((json_t *)value, key, member) {
		if (field_find(shape, key))
			continue;
		path_join(inner, path, key);
		return fault_set(fault, BERTH_INVALID, "%s: unknown field",
				 inner);
	}
	return BERTH_OK;
}

static int check_object(const struct shape *shape, const json_t *value,
			const char *path, struct fault *fault)
{
	char inner[SHAPE_PATH_SIZE];
	const json_t *member;
	int rc;

	if (!json_is_object(value))
		return type_fault(path, "an object", value, fault);
	rc = check_known(shape, value, path, fault);
	for (const struct shape_field *f = shape->fields;
	     rc == BERTH_OK && f->name; f++) {
		path_join(inner, path, f->name);
		member = json_object_get(value, f->name);
		if (!member && (f->flags & SHAPE_REQUIRED))
			return fault_set(fault, BERTH_MALFORMED, "%s: missing",
					 inner);
		if (!member ||
		    (json_is_null(member) && (f->flags & SHAPE_NULLABLE)))
			continue;
		rc = aleph__shape_check(f->shape, member, inner, fault);
	}
	return rc;
}

static int check_map(const struct shape *shape, const json_t *value,
		     const char *path, struct fault *fault)
{
	char inner[SHAPE_PATH_SIZE];
	const char *key;
	json_t *member;
	int rc = BERTH_OK;

	if (!json_is_object(value))
		return type_fault(path, "an object", value, fault);
	if (json_object_size(value) > shape->max)
		return fault_set(fault, BERTH_TOOBIG,
				 "%s: %zu entries are above %llu", path,
				 json_object_size(value),
				 (unsigned long long)shape->max);
	json_object_foreach((json_t *)value, key, member) {
		path_join(inner, path, key);
		if (shape->key_max && characters(key) > shape->key_max)
			return fault_set(fault, BERTH_TOOBIG,
					 "%s: the key has more than %u "
					 "characters", inner, shape->key_max);
		rc = aleph__shape_check(shape->item, member, inner, fault);
		if (rc != BERTH_OK)
			break;
	}
	return rc;
}

static int check_list(const struct shape *shape, const json_t *value,
		      const char *path, struct fault *fault)
{
	char inner[SHAPE_PATH_SIZE];
	int rc = BERTH_OK;

	if (!json_is_array(value))
		return type_fault(path, "a list", value, fault);
	if (shape->max && json_array_size(value) > shape->max)
		return fault_set(fault, BERTH_TOOBIG,
				 "%s: %zu items are above %llu", path,
				 json_array_size(value),
				 (unsigned long long)shape->max);
	for (size_t i = 0; rc == BERTH_OK && i < json_array_size(value); i++) {
		snprintf(inner, sizeof inner, "%.*s[%zu]",
			 SHAPE_PATH_SIZE - 24, path, i);
		rc = aleph__shape_check(shape->item,
					json_array_get(value, i), inner,
					fault);
	}
	return rc;
}

int aleph__shape_check(const struct shape *shape, const json_t *value,
		       const char *path, struct fault *fault)
{
	switch (shape->kind) {
	case SHAPE_STRING:
		return check_string(shape, value, path, fault);
	case SHAPE_UINT:
		return check_uint(shape, value, path, fault);
	case SHAPE_TIME:
		return check_time(value, path, fault);
	case SHAPE_BOOL:
		return json_is_boolean(value) ? BERTH_OK :
		       type_fault(path, "a boolean", value, fault);
	case SHAPE_HASH:
		return check_hash(value, path, fault);
	case SHAPE_CHOICE:
		return check_choice(shape, value, path, fault);
	case SHAPE_OBJECT:
		return check_object(shape, value, path, fault);
	case SHAPE_MAP:
		return check_map(shape, value, path, fault);
	case SHAPE_LIST:
		return check_list(shape, value, path, fault);
	case SHAPE_ANY:
		return BERTH_OK;
	case SHAPE_CHAIN:
		return check_chain(value, path, fault);
	case SHAPE_CUSTOM:
		return shape->check(value, path, fault);
	}
	berth_panic("a shape of unknown kind", __FILE__, __LINE__);
}

const char *aleph__string(const json_t *object, const char *key,
			  const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : otherwise;
}

uint32_t aleph__uint(const json_t *object, const char *key, uint32_t otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? (uint32_t)json_integer_value(value) :
					otherwise;
}

bool aleph__bool(const json_t *object, const char *key, bool otherwise)
{
	const json_t *value = json_object_get(object, key);

	return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

const json_t *aleph__object(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_object(value) || json_is_array(value) ? value : NULL;
}
