/* Snapshots out, and the hash of the state: the same bytes. Integers are
 * little-endian. */
#include "fsm/columns.h"

#define BUFFER_SIZE 16384u

struct out {
	const struct fsm_view *s;
	const struct byte_sink *sink;
	bool failed;
	uint32_t count;
	uint8_t buffer[BUFFER_SIZE];
};

static void flush(struct out *o)
{
	if (!o->failed && o->count > 0 &&
	    !o->sink->write(o->sink->ctx, o->buffer, o->count))
		o->failed = true;
	o->count = 0;
}

static void put(struct out *o, const void *data, size_t size)
{
	const uint8_t *at = data;

	while (size > 0) {
		size_t part = BUFFER_SIZE - o->count;

		if (part > size)
			part = size;
		memcpy(o->buffer + o->count, at, part);
		o->count += (uint32_t)part;
		at += part;
		size -= part;
		if (o->count == BUFFER_SIZE)
			flush(o);
	}
}

static void put_number(struct out *o, uint64_t number, size_t size)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(number >> (8 * i));
	put(o, bytes, size);
}

static void put_text(struct out *o, struct text text)
{
	put_number(o, text.size, 4);
	put(o, text.data, text.size);
}

static void put_tokens(struct out *o, uint32_t set)
{
	struct text tokens[FSM_TOKENS_MAX];
	uint32_t count = fsm__tokens_read(o->s, set, tokens);

	put_number(o, count, 1);
	for (uint32_t i = 0; i < count; i++)
		put_text(o, tokens[i]);
}

static uint32_t u32_at(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof value);
	return value;
}

static void put_value(struct out *o, const struct column *c, const uint8_t *row)
{
	const uint8_t *at = row + c->offset;
	struct hash hash;
	uint64_t number;

	switch (c->kind) {
	case COLUMN_BOOL:
	case COLUMN_U8:
	case COLUMN_BYTES:
		put(o, at, c->size);
		break;
	case COLUMN_U32:
		put_number(o, u32_at(at), 4);
		break;
	case COLUMN_U64:
		memcpy(&number, at, sizeof number);
		put_number(o, number, 8);
		break;
	case COLUMN_HASH_ID:
		hash = fsm__hash_get(o->s, u32_at(at));
		put(o, hash.bytes, sizeof hash.bytes);
		break;
	case COLUMN_TEXT:
		put_text(o, fsm__pool_get(&o->s->texts, u32_at(at)));
		break;
	case COLUMN_TOKENS:
		put_tokens(o, u32_at(at));
		break;
	case COLUMN_END:
	default:
		NEVER("a column of this kind");
	}
}

static void put_table(struct out *o, uint32_t index)
{
	const struct table *t = &fsm__tables[index];
	uint32_t bound = fsm__table_bound(o->s, index);
	const uint8_t *rows;

	memcpy(&rows, (const uint8_t *)o->s + t->array, sizeof rows);
	for (const struct column *c = t->columns; c->kind != COLUMN_END; c++)
		for (uint32_t i = 0; i < bound; i++)
			put_value(o, c, rows + i * t->row_size);
}

bool fsm_snapshot_write(const struct fsm_view *s, const struct byte_sink *sink)
{
	struct out o;

	o.s = s;
	o.sink = sink;
	o.failed = false;
	o.count = 0;
	put(&o, "BRTHFSM", 8);
	put_number(&o, SNAPSHOT_VERSION, 4);
	for (const struct column *c = fsm__head_columns; c->kind; c++)
		put_value(&o, c, (const uint8_t *)s);
	for (uint32_t i = 0; i < TABLE_COUNT; i++)
		put_table(&o, i);
	put_number(&o, UINT64_C(0x444e4542), 4); /* "BEND" */
	flush(&o);
	return !o.failed;
}

static bool hash_write(void *ctx, const void *data, size_t size)
{
	uint64_t *sum = ctx;

	*sum = fsm__mix(*sum, data, size);
	return true;
}

uint64_t fsm_view_hash(const struct fsm_view *s)
{
	uint64_t sum = 0;
	struct byte_sink sink = {&sum, hash_write};
	bool whole = fsm_snapshot_write(s, &sink);

	ENSURE(whole);
	return sum;
}

uint64_t fsm_hash(const struct fsm *f)
{
	return fsm_view_hash(&f->state);
}

uint32_t fsm_hash_version(void)
{
	return SNAPSHOT_VERSION;
}
