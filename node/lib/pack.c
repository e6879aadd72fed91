#include "node/lib/pack.h"

static void put(struct pack_writer *w, const void *data, size_t size)
{
	if (w->full || size > w->size_max - w->size) {
		w->full = true;
		return;
	}
	if (size > 0)
		memcpy(w->data + w->size, data, size);
	w->size += size;
}

/* A tag and `count` bytes of a big-endian number. */
static void put_tagged(struct pack_writer *w, unsigned tag, uint64_t value,
		       unsigned count)
{
	uint8_t bytes[9];

	bytes[0] = (uint8_t)tag;
	for (unsigned i = 0; i < count; i++)
		bytes[1 + i] = (uint8_t)(value >> 8 * (count - 1 - i));
	put(w, bytes, 1 + count);
}

void pack_array(struct pack_writer *w, uint32_t count)
{
	if (count < 16)
		put_tagged(w, 0x90u | count, 0, 0);
	else if (count <= UINT16_MAX)
		put_tagged(w, 0xdc, count, 2);
	else
		put_tagged(w, 0xdd, count, 4);
}

void pack_uint(struct pack_writer *w, uint64_t value)
{
	if (value < 128)
		put_tagged(w, (unsigned)value, 0, 0);
	else if (value <= UINT8_MAX)
		put_tagged(w, 0xcc, value, 1);
	else if (value <= UINT16_MAX)
		put_tagged(w, 0xcd, value, 2);
	else if (value <= UINT32_MAX)
		put_tagged(w, 0xce, value, 4);
	else
		put_tagged(w, 0xcf, value, 8);
}

void pack_bool(struct pack_writer *w, bool value)
{
	put_tagged(w, value ? 0xc3 : 0xc2, 0, 0);
}

void pack_nil(struct pack_writer *w)
{
	put_tagged(w, 0xc0, 0, 0);
}

void pack_bytes(struct pack_writer *w, const void *data, size_t size)
{
	if (size <= UINT8_MAX)
		put_tagged(w, 0xc4, size, 1);
	else if (size <= UINT16_MAX)
		put_tagged(w, 0xc5, size, 2);
	else if (size <= UINT32_MAX)
		put_tagged(w, 0xc6, size, 4);
	else
		w->full = true;
	put(w, data, size);
}

void pack_text(struct pack_writer *w, struct text text)
{
	if (text.size < 32)
		put_tagged(w, 0xa0u | text.size, 0, 0);
	else if (text.size <= UINT8_MAX)
		put_tagged(w, 0xd9, text.size, 1);
	else if (text.size <= UINT16_MAX)
		put_tagged(w, 0xda, text.size, 2);
	else
		put_tagged(w, 0xdb, text.size, 4);
	put(w, text.data, text.size);
}

void pack_hash(struct pack_writer *w, const struct hash *hash)
{
	pack_bytes(w, hash->bytes, sizeof hash->bytes);
}

size_t pack_end(const struct pack_writer *w)
{
	return w->full ? 0 : w->size;
}

static void fail(struct pack_reader *r, int error)
{
	if (r->error == 0)
		r->error = error;
}

/* The next `size` bytes, or NULL. */
static const uint8_t *take(struct pack_reader *r, size_t size)
{
	const uint8_t *at = r->data + r->offset;

	if (r->error != 0 || size > r->size - r->offset) {
		fail(r, BERTH_MALFORMED);
		return NULL;
	}
	r->offset += size;
	return at;
}

static uint64_t take_number(struct pack_reader *r, unsigned count)
{
	const uint8_t *bytes = take(r, count);
	uint64_t value = 0;

	for (unsigned i = 0; bytes != NULL && i < count; i++)
		value = value << 8 | bytes[i];
	return value;
}

/* The tag of the next value; 0xc1, which msgpack never uses, after a fault. */
static unsigned take_tag(struct pack_reader *r)
{
	const uint8_t *tag = take(r, 1);

	return tag != NULL ? *tag : 0xc1;
}

uint32_t unpack_array_up_to(struct pack_reader *r, uint32_t count_max)
{
	unsigned tag = take_tag(r);
	uint64_t count = 0;

	if (tag >= 0x90 && tag <= 0x9f)
		count = tag & 15u;
	else if (tag == 0xdc || tag == 0xdd)
		count = take_number(r, tag == 0xdc ? 2 : 4);
	else
		fail(r, BERTH_MALFORMED);
	if (count > count_max)
		fail(r, BERTH_TOOBIG);
	return r->error == 0 ? (uint32_t)count : 0;
}

void unpack_array(struct pack_reader *r, uint32_t count)
{
	if (unpack_array_up_to(r, UINT32_MAX) != count)
		fail(r, BERTH_MALFORMED);
}

bool unpack_nil(struct pack_reader *r)
{
	if (r->error != 0 || r->offset >= r->size ||
	    r->data[r->offset] != 0xc0)
		return false;
	r->offset++;
	return true;
}

uint64_t unpack_uint(struct pack_reader *r, uint64_t max)
{
	unsigned tag = take_tag(r);
	uint64_t value = 0;

	if (tag < 128)
		value = tag;
	else if (tag >= 0xcc && tag <= 0xcf)
		value = take_number(r, 1u << (tag - 0xcc));
	else
		fail(r, BERTH_MALFORMED);
	if (value > max)
		fail(r, BERTH_MALFORMED);
	return r->error == 0 ? value : 0;
}

bool unpack_bool(struct pack_reader *r)
{
	unsigned tag = take_tag(r);

	if (tag != 0xc2 && tag != 0xc3)
		fail(r, BERTH_MALFORMED);
	return tag == 0xc3;
}

static const uint8_t *view(struct pack_reader *r, bool text, size_t size_max,
			   size_t *size)
{
	unsigned tag = take_tag(r), first = text ? 0xd9 : 0xc4;
	const uint8_t *at = NULL;
	uint64_t length = 0;

	if (text && (tag & 0xe0u) == 0xa0)
		length = tag & 31u;
	else if (tag >= first && tag <= first + 2)
		length = take_number(r, 1u << (tag - first));
	else
		fail(r, BERTH_MALFORMED);
	if (length > size_max)
		fail(r, BERTH_TOOBIG);
	if (r->error == 0)
		at = take(r, (size_t)length);
	*size = at != NULL ? (size_t)length : 0;
	return at;
}

const uint8_t *unpack_view(struct pack_reader *r, size_t size_max,
			   size_t *size)
{
	return view(r, false, size_max, size);
}

struct text unpack_text(struct pack_reader *r, size_t size_max)
{
	struct text text = { .data = NULL, .size = 0 };
	size_t size;

	text.data = (const char *)view(r, true, size_max, &size);
	text.size = (uint32_t)size;
	return text;
}

void unpack_bytes(struct pack_reader *r, void *data, size_t size)
{
	size_t got;
	const uint8_t *at = view(r, false, SIZE_MAX, &got);

	if (at == NULL || got != size)
		fail(r, BERTH_MALFORMED);
	if (r->error == 0)
		memcpy(data, at, size);
	else
		memset(data, 0, size);
}

void unpack_hash(struct pack_reader *r, struct hash *hash)
{
	unpack_bytes(r, hash->bytes, sizeof hash->bytes);
}

int unpack_end(const struct pack_reader *r)
{
	if (r->error != 0)
		return r->error;
	return r->offset == r->size ? 0 : BERTH_MALFORMED;
}
