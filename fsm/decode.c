/* Reading entries and commands: a bounded decoder that never reads past the
 * bytes it was given, and allocates nothing but the cursor's scratch. */
#include <stdlib.h>

#include "fsm/fields.h"

struct reader {
	const uint8_t *at, *end;
	int error; /* the first one sticks */
};

static bool reader_fail(struct reader *r, int error)
{
	if (r->error == 0)
		r->error = error;
	return false;
}

/* Takes `size` bytes; NULL past the end. */
static const uint8_t *take(struct reader *r, size_t size)
{
	const uint8_t *at = r->at;

	if (r->error != 0 || (size_t)(r->end - r->at) < size) {
		reader_fail(r, BERTH_MALFORMED);
		return NULL;
	}
	r->at += size;
	return at;
}

static uint64_t take_big_endian(struct reader *r, size_t size)
{
	const uint8_t *at = take(r, size);
	uint64_t value = 0;

	for (size_t i = 0; at && i < size; i++)
		value = value << 8 | at[i];
	return value;
}

static uint8_t take_tag(struct reader *r)
{
	const uint8_t *at = take(r, 1);

	return at ? *at : 0xc1; /* 0xc1 is never used by msgpack */
}

static uint64_t read_uint(struct reader *r, uint64_t max)
{
	uint8_t tag = take_tag(r);
	uint64_t value = 0;

	if (tag < 0x80)
		value = tag;
	else if (tag >= 0xcc && tag <= 0xcf)
		value = take_big_endian(r, (size_t)1 << (tag - 0xcc));
	else
		reader_fail(r, BERTH_MALFORMED);
	if (value > max)
		reader_fail(r, BERTH_MALFORMED);
	return r->error ? 0 : value;
}

static uint32_t read_array(struct reader *r, uint32_t max)
{
	uint8_t tag = take_tag(r);
	uint64_t count = 0;

	if ((tag & 0xf0) == 0x90)
		count = tag & 0x0f;
	else if (tag == 0xdc || tag == 0xdd)
		count = take_big_endian(r, tag == 0xdc ? 2 : 4);
	else
		reader_fail(r, BERTH_MALFORMED);
	if (count > max)
		reader_fail(r, BERTH_TOOBIG);
	/* Each element has a byte at least: refuse before allocating. */
	if (r->error == 0 && count > (uint64_t)(r->end - r->at))
		reader_fail(r, BERTH_MALFORMED);
	return r->error ? 0 : (uint32_t)count;
}

static void read_bytes(struct reader *r, void *out, size_t size)
{
	const uint8_t *at;

	if (take_tag(r) != 0xc4 || take_big_endian(r, 1) != size) {
		reader_fail(r, BERTH_MALFORMED);
		return;
	}
	at = take(r, size);
	if (at)
		memcpy(out, at, size);
}

static bool text_clean(const uint8_t *at, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		if (at[i] == 0)
			return false;
	return true;
}

static struct text read_text(struct reader *r, uint32_t max)
{
	uint8_t tag = take_tag(r);
	struct text text = {NULL, 0};
	uint64_t size = 0;
	const uint8_t *at;

	if ((tag & 0xe0) == 0xa0)
		size = tag & 0x1f;
	else if (tag >= 0xd9 && tag <= 0xdb)
		size = take_big_endian(r, (size_t)1 << (tag - 0xd9));
	else
		reader_fail(r, BERTH_MALFORMED);
	if (size > max)
		reader_fail(r, BERTH_TOOBIG);
	at = take(r, (size_t)size);
	if (!at)
		return text;
	if (!text_clean(at, (uint32_t)size))
		reader_fail(r, BERTH_MALFORMED);
	text.data = (const char *)at;
	text.size = (uint32_t)size;
	return text;
}

static bool read_bool(struct reader *r)
{
	uint8_t tag = take_tag(r);

	if (tag != 0xc2 && tag != 0xc3)
		reader_fail(r, BERTH_MALFORMED);
	return tag == 0xc3;
}

static void put_u32(uint8_t *base, size_t offset, uint32_t value)
{
	memcpy(base + offset, &value, sizeof value);
}

static void read_tokens(struct reader *r, const struct field *f, uint8_t *base)
{
	uint32_t count = read_array(r, f->max);

	put_u32(base, f->count_offset, count);
	for (uint32_t i = 0; i < count; i++) {
		struct text token = read_text(r, FSM_TOKEN_SIZE_MAX);

		if (token.size == 0)
			reader_fail(r, BERTH_MALFORMED);
		memcpy(base + f->offset + i * sizeof token, &token,
		       sizeof token);
	}
}

static void read_simple(struct reader *r, const struct field *f, uint8_t *base)
{
	uint8_t *at = base + f->offset;
	struct text text;
	uint64_t number;
	bool flag;

	switch (f->kind) {
	case FIELD_U64:
		number = read_uint(r, UINT64_MAX);
		memcpy(at, &number, sizeof number);
		break;
	case FIELD_U32:
		put_u32(base, f->offset, (uint32_t)read_uint(r, UINT32_MAX));
		break;
	case FIELD_ENUM:
		number = read_uint(r, f->high);
		if (number < f->low)
			reader_fail(r, BERTH_MALFORMED);
		put_u32(base, f->offset, (uint32_t)number);
		break;
	case FIELD_BOOL:
		flag = read_bool(r);
		memcpy(at, &flag, sizeof flag);
		break;
	case FIELD_HASH:
		read_bytes(r, at, sizeof(struct hash));
		break;
	case FIELD_ID:
		read_bytes(r, at, 16);
		break;
	case FIELD_TEXT:
		text = read_text(r, f->max);
		memcpy(at, &text, sizeof text);
		break;
	case FIELD_TOKENS:
		read_tokens(r, f, base);
		break;
	case FIELD_END:
	case FIELD_ROWS:
	case FIELD_HASHES:
	default:
		NEVER("a field of this kind");
	}
}

/* Room for `size` bytes in the cursor's scratch. */
static uint8_t *scratch(struct command_cursor *cursor, size_t size)
{
	void *grown;

	if (size <= cursor->scratch_size)
		return cursor->scratch;
	grown = realloc(cursor->scratch, size);
	REQUIRE(grown);
	cursor->scratch = grown;
	cursor->scratch_size = size;
	return grown;
}

static void read_row(struct reader *r, const struct field *f, uint8_t *row)
{
	if (f->kind == FIELD_HASHES) {
		read_bytes(r, row, sizeof(struct hash));
		return;
	}
	if (read_array(r, 255) != fsm__field_count(f->rows))
		reader_fail(r, BERTH_MALFORMED);
	for (const struct field *x = f->rows;
	     r->error == 0 && x->kind != FIELD_END; x++)
		read_simple(r, x, row);
}

static void read_rows(struct command_cursor *cursor, struct reader *r,
		      const struct field *f, uint8_t *base)
{
	uint32_t count = read_array(r, f->max);
	uint8_t *rows = NULL;

	if (count > 0) {
		rows = scratch(cursor, count * f->row_size);
		memset(rows, 0, count * f->row_size);
	}
	for (uint32_t i = 0; i < count && r->error == 0; i++)
		read_row(r, f, rows + i * f->row_size);
	put_u32(base, f->count_offset, count);
	memcpy(base + f->offset, &rows, sizeof rows);
}

static void read_request(struct reader *r, uint8_t request[16])
{
	if (r->error == 0 && r->at < r->end && *r->at == 0xc0)
		r->at++;
	else
		read_bytes(r, request, 16);
}

static const struct field *read_type(struct reader *r, uint32_t items,
				     struct command *out)
{
	uint64_t type = read_uint(r, UINT32_MAX);
	const struct field *fields;

	out->type = (enum fsm_command_type)type;
	fields = fsm__fields(out->type);
	if (r->error == 0 && !fields)
		reader_fail(r, BERTH_VERSION);
	else if (fields && items != 2 + fsm__field_count(fields))
		reader_fail(r, BERTH_MALFORMED);
	return fields;
}

/* One command at the reader; *out is touched only on success. */
static int read_command(struct command_cursor *cursor, struct reader *r,
			struct command *out)
{
	struct command command;
	const struct field *f;
	uint32_t items;

	memset(&command, 0, sizeof command);
	items = read_array(r, 255);
	f = read_type(r, items, &command);
	read_request(r, command.request);
	for (; r->error == 0 && f->kind != FIELD_END; f++) {
		if (f->kind == FIELD_ROWS || f->kind == FIELD_HASHES)
			read_rows(cursor, r, f, (uint8_t *)&command);
		else
			read_simple(r, f, (uint8_t *)&command);
	}
	if (r->error == 0)
		*out = command;
	return r->error;
}

int command_cursor_open(struct command_cursor *cursor, const void *data,
			size_t size)
{
	struct reader r = {data, (const uint8_t *)data + size, 0};
	uint64_t term;
	uint32_t count;

	if (size > FSM_ENTRY_SIZE_MAX)
		return BERTH_TOOBIG;
	if (size == 0 || read_array(&r, 255) != 3)
		return BERTH_MALFORMED;
	if (read_uint(&r, UINT32_MAX) != ENTRY_FORMAT)
		return r.error ? r.error : BERTH_VERSION;
	term = read_uint(&r, UINT64_MAX);
	count = read_array(&r, ENTRY_COMMANDS_MAX);
	if (r.error)
		return r.error;
	*cursor = (struct command_cursor){
		.data = data, .size = size, .term = term, .count = count,
		.offset = (size_t)(r.at - (const uint8_t *)data),
	};
	return 0;
}

int command_cursor_next(struct command_cursor *cursor, struct command *out)
{
	struct reader r = {cursor->data + cursor->offset,
			   cursor->data + cursor->size, 0};
	int error;

	if (cursor->position == cursor->count)
		return cursor->offset == cursor->size ? BERTH_NOTFOUND
						      : BERTH_MALFORMED;
	error = read_command(cursor, &r, out);
	if (error)
		return error;
	cursor->offset = (size_t)(r.at - cursor->data);
	cursor->position++;
	return 0;
}

int command_decode(struct command_cursor *cursor, const void *data, size_t size,
		   struct command *out)
{
	struct reader r = {data, (const uint8_t *)data + size, 0};
	struct command command;
	int error;

	if (size > FSM_ENTRY_SIZE_MAX)
		return BERTH_TOOBIG;
	if (size == 0)
		return BERTH_MALFORMED;
	error = read_command(cursor, &r, &command);
	if (error)
		return error;
	if (r.at != r.end)
		return BERTH_MALFORMED;
	*out = command;
	return 0;
}

void command_cursor_close(struct command_cursor *cursor)
{
	free(cursor->scratch);
	cursor->scratch = NULL;
	cursor->scratch_size = 0;
}
