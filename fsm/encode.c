/* Writing entries and commands: msgpack through a sink. What decode.c would
 * refuse is not written: apply must be able to read every entry. */
#include "fsm/fields.h"

#include <msgpack/pack.h>

_Static_assert(sizeof(enum crn_class) == sizeof(uint32_t),
	       "enums are read and written as 32 bits");

struct writer {
	msgpack_packer pk;
	const struct byte_sink *sink;
	bool failed;
};

static int writer_write(void *data, const char *bytes, size_t size)
{
	struct writer *w = data;

	if (!w->failed && !w->sink->write(w->sink->ctx, bytes, size))
		w->failed = true;
	return w->failed ? -1 : 0;
}

static void writer_init(struct writer *w, const struct byte_sink *sink)
{
	msgpack_packer_init(&w->pk, w, writer_write);
	w->sink = sink;
	w->failed = false;
}

static uint32_t u32_at(const uint8_t *base, size_t offset)
{
	uint32_t value;

	memcpy(&value, base + offset, sizeof value);
	return value;
}

static uint64_t u64_at(const uint8_t *base, size_t offset)
{
	uint64_t value;

	memcpy(&value, base + offset, sizeof value);
	return value;
}

static void write_text(struct writer *w, const struct text *text, uint32_t max)
{
	if (text->size > max ||
	    (text->size > 0 && memchr(text->data, '\0', text->size)))
		w->failed = true;
	if (w->failed)
		return;
	msgpack_pack_str(&w->pk, text->size);
	if (text->size > 0)
		msgpack_pack_str_body(&w->pk, text->data, text->size);
}

static void write_bytes(struct writer *w, const void *data, size_t size)
{
	msgpack_pack_bin(&w->pk, size);
	msgpack_pack_bin_body(&w->pk, data, size);
}

static void write_tokens(struct writer *w, const struct field *f,
			 const uint8_t *base)
{
	uint32_t count = u32_at(base, f->count_offset);

	REQUIRE(count <= f->max);
	msgpack_pack_array(&w->pk, count);
	for (uint32_t i = 0; i < count; i++) {
		struct text token;

		memcpy(&token, base + f->offset + i * sizeof token,
		       sizeof token);
		if (token.size == 0)
			w->failed = true;
		write_text(w, &token, FSM_TOKEN_SIZE_MAX);
	}
}

static void write_enum(struct writer *w, const struct field *f,
		       const uint8_t *base)
{
	uint32_t value = u32_at(base, f->offset);

	if (value < f->low || value > f->high)
		w->failed = true;
	msgpack_pack_uint32(&w->pk, value);
}

static void write_simple(struct writer *w, const struct field *f,
			 const uint8_t *base)
{
	const uint8_t *at = base + f->offset;
	struct text text;
	bool flag;

	switch (f->kind) {
	case FIELD_U64:
		msgpack_pack_uint64(&w->pk, u64_at(base, f->offset));
		break;
	case FIELD_U32:
		msgpack_pack_uint32(&w->pk, u32_at(base, f->offset));
		break;
	case FIELD_ENUM:
		write_enum(w, f, base);
		break;
	case FIELD_BOOL:
		memcpy(&flag, at, sizeof flag);
		(void)(flag ? msgpack_pack_true(&w->pk)
			    : msgpack_pack_false(&w->pk));
		break;
	case FIELD_HASH:
		write_bytes(w, at, sizeof(struct hash));
		break;
	case FIELD_ID:
		write_bytes(w, at, 16);
		break;
	case FIELD_TEXT:
		memcpy(&text, at, sizeof text);
		write_text(w, &text, f->max);
		break;
	case FIELD_TOKENS:
		write_tokens(w, f, base);
		break;
	case FIELD_END:
	case FIELD_ROWS:
	case FIELD_HASHES:
	default:
		NEVER("a field of this kind");
	}
}

static void write_rows(struct writer *w, const struct field *f,
		       const uint8_t *base)
{
	uint32_t count = u32_at(base, f->count_offset);
	const uint8_t *row;

	memcpy(&row, base + f->offset, sizeof row);
	if (count > f->max)
		w->failed = true;
	msgpack_pack_array(&w->pk, count);
	for (uint32_t i = 0; i < count && !w->failed; i++, row += f->row_size) {
		if (f->kind == FIELD_HASHES) {
			write_bytes(w, row, sizeof(struct hash));
			continue;
		}
		msgpack_pack_array(&w->pk, fsm__field_count(f->rows));
		for (const struct field *r = f->rows; r->kind != FIELD_END; r++)
			write_simple(w, r, row);
	}
}

bool command_entry_begin(const struct byte_sink *sink, uint64_t term,
			 uint32_t count)
{
	struct writer w;

	REQUIRE(count <= ENTRY_COMMANDS_MAX);
	writer_init(&w, sink);
	msgpack_pack_array(&w.pk, 3);
	msgpack_pack_uint32(&w.pk, ENTRY_FORMAT);
	msgpack_pack_uint64(&w.pk, term);
	msgpack_pack_array(&w.pk, count);
	return !w.failed;
}

static bool request_given(const uint8_t request[16])
{
	static const uint8_t none[16];

	return memcmp(request, none, sizeof none) != 0;
}

bool command_encode(const struct byte_sink *sink, const struct command *command)
{
	const struct field *fields = fsm__fields(command->type);
	const uint8_t *base = (const uint8_t *)command;
	struct writer w;

	REQUIRE(fields);
	writer_init(&w, sink);
	msgpack_pack_array(&w.pk, 2 + fsm__field_count(fields));
	msgpack_pack_uint32(&w.pk, command->type);
	if (request_given(command->request))
		write_bytes(&w, command->request, sizeof command->request);
	else
		msgpack_pack_nil(&w.pk);
	for (const struct field *f = fields; f->kind != FIELD_END; f++) {
		if (f->kind == FIELD_ROWS || f->kind == FIELD_HASHES)
			write_rows(&w, f, base);
		else
			write_simple(&w, f, base);
	}
	return !w.failed;
}
