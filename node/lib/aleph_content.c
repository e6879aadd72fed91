/* POST, AGGREGATE, STORE and FORGET contents: aleph.md 2.1, 2.4, 3.4. */
#include "node/lib/aleph_shape.h"

#define HASHES_MAX 1000

static const struct shape any = { .kind = SHAPE_ANY };
static const struct shape hash = { .kind = SHAPE_HASH };
static const struct shape time_shape = { .kind = SHAPE_TIME };
static const struct shape string = { .kind = SHAPE_STRING };
static const struct shape address = { .kind = SHAPE_STRING, .max = 127 };
static const struct shape reason = { .kind = SHAPE_STRING, .max = 1000 };
static const struct shape size = { .kind = SHAPE_UINT, .max = INT64_MAX };
static const struct shape map = { .kind = SHAPE_MAP, .max = 1u << 20,
				  .item = &any };
static const struct shape hashes = { .kind = SHAPE_LIST, .max = HASHES_MAX,
				     .item = &hash };
static const char *const file_choices[] = { "storage", "ipfs", NULL };
static const struct shape file_type = { .kind = SHAPE_CHOICE,
					.choices = file_choices };

/* A string, or {"name": string}. */
static const struct shape_field name_fields[] = {
	{ "name", SHAPE_REQUIRED, &string },
	{ NULL, 0, NULL },
};
static const struct shape name = { .kind = SHAPE_OBJECT,
				   .fields = name_fields };

static int check_key(const json_t *value, const char *path,
		     struct fault *fault)
{
	return aleph__shape_check(json_is_object(value) ? &name : &string,
				  value, path, fault);
}

static const struct shape key = { .kind = SHAPE_CUSTOM, .check = check_key };

#define CONTENT(shape_name, is_open, ...)                              \
	static const struct shape_field shape_name##_fields[] = {      \
		{ "address", SHAPE_REQUIRED, &address },               \
		{ "time", SHAPE_REQUIRED, &time_shape },               \
		__VA_ARGS__, { NULL, 0, NULL }                         \
	};                                                             \
	static const struct shape shape_name = {                       \
		.kind = SHAPE_OBJECT, .open = is_open,                 \
		.fields = shape_name##_fields                          \
	}

CONTENT(post, false, { "type", SHAPE_REQUIRED, &string },
	{ "ref", SHAPE_NULLABLE, &any }, { "content", SHAPE_NULLABLE, &any });
CONTENT(aggregate, false, { "key", SHAPE_REQUIRED, &key },
	{ "content", SHAPE_REQUIRED, &map });
/* Clients add fields of their own to a STORE, and the network keeps them. */
CONTENT(store, true, { "item_type", SHAPE_REQUIRED, &file_type },
	{ "item_hash", SHAPE_REQUIRED, &hash }, { "size", SHAPE_NULLABLE, &size },
	{ "content_type", SHAPE_NULLABLE, &string },
	{ "ref", SHAPE_NULLABLE, &string },
	{ "mime_type", SHAPE_NULLABLE, &string });
CONTENT(forget, false, { "hashes", SHAPE_REQUIRED, &hashes },
	{ "aggregates", 0, &hashes }, { "reason", SHAPE_NULLABLE, &reason });

static int check_post(const json_t *content, struct fault *fault)
{
	const json_t *ref = json_object_get(content, "ref");
	int rc;

	rc = aleph__shape_check(&post, content, "content", fault);
	if (rc != BERTH_OK)
		return rc;
	if (ref && !json_is_null(ref) && !json_is_string(ref) &&
	    !json_is_object(ref))
		return fault_set(fault, BERTH_MALFORMED,
				 "content.ref: neither a string nor an object");
	if (strcmp(aleph__string(content, "type", ""), "amend") == 0 &&
	    !*aleph__string(content, "ref", ""))
		return fault_set(fault, BERTH_INVALID,
				 "content.ref: missing with type amend");
	return BERTH_OK;
}

static int check_forget(const json_t *content, struct fault *fault)
{
	int rc;

	rc = aleph__shape_check(&forget, content, "content", fault);
	if (rc != BERTH_OK)
		return rc;
	if (json_array_size(json_object_get(content, "hashes")) == 0 &&
	    json_array_size(json_object_get(content, "aggregates")) == 0)
		return fault_set(fault, BERTH_INVALID,
				 "content.hashes: nothing to forget");
	return BERTH_OK;
}

int aleph_content_check(const struct aleph_message *message,
			struct fault *fault)
{
	struct aleph_program program;

	if (!message->content)
		return fault_set(fault, BERTH_INVALID, "content: absent");
	switch (message->type) {
	case ALEPH_POST:
		return check_post(message->content, fault);
	case ALEPH_AGGREGATE:
		return aleph__shape_check(&aggregate, message->content,
					  "content", fault);
	case ALEPH_STORE:
		return aleph__shape_check(&store, message->content, "content",
					  fault);
	case ALEPH_FORGET:
		return check_forget(message->content, fault);
	case ALEPH_PROGRAM:
	case ALEPH_INSTANCE:
		return aleph_program_parse(message->content, message->type,
					   &program, fault);
	}
	berth_panic("a message of unknown type", __FILE__, __LINE__);
}
