#include "node/replica/relay_wire.h"

#include <stdlib.h>

#define WHO_SIZE_MAX 256u
#define METHOD_SIZE_MAX 8u
#define PATH_SIZE_MAX 4096u
#define QUERY_SIZE_MAX 4096u
#define TYPE_SIZE_MAX 128u

void wire_fini(struct wire *w)
{
	free(w->data);
	*w = (struct wire){ 0 };
}

void wire_put(struct wire *w, const void *data, size_t size)
{
	size_t capacity = w->capacity ? w->capacity : 256;
	uint8_t *grown;

	if (w->failed || !size)
		return;
	while (capacity < w->size + size)
		capacity *= 2;
	if (capacity != w->capacity) {
		grown = realloc(w->data, capacity);
		if (!grown) {
			w->failed = true;
			return;
		}
		w->data = grown;
		w->capacity = capacity;
	}
	memcpy(w->data + w->size, data, size);
	w->size += size;
}

void wire_u8(struct wire *w, uint8_t value)
{
	wire_put(w, &value, 1);
}

static void put_integer(struct wire *w, uint64_t value, unsigned size)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
	wire_put(w, bytes, size);
}

void wire_u32(struct wire *w, uint32_t value)
{
	put_integer(w, value, 4);
}

void wire_u64(struct wire *w, uint64_t value)
{
	put_integer(w, value, 8);
}

void wire_bytes(struct wire *w, const void *data, size_t size)
{
	wire_u32(w, (uint32_t)size);
	wire_put(w, data, size);
}

const uint8_t *wire_get(struct wire_reader *r, size_t size)
{
	const uint8_t *at = r->data + r->at;

	if (r->bad || size > r->size - r->at) {
		r->bad = true;
		return NULL;
	}
	r->at += size;
	return at;
}

static uint64_t get_integer(struct wire_reader *r, unsigned size)
{
	const uint8_t *at = wire_get(r, size);
	uint64_t value = 0;

	for (unsigned i = 0; at && i < size; i++)
		value = value << 8 | at[i];
	return value;
}

uint8_t wire_get_u8(struct wire_reader *r)
{
	return (uint8_t)get_integer(r, 1);
}

uint32_t wire_get_u32(struct wire_reader *r)
{
	return (uint32_t)get_integer(r, 4);
}

uint64_t wire_get_u64(struct wire_reader *r)
{
	return get_integer(r, 8);
}

struct text wire_get_bytes(struct wire_reader *r, size_t size_max)
{
	uint32_t size = wire_get_u32(r);
	const uint8_t *at;

	if (size > size_max)
		r->bad = true;
	at = wire_get(r, size);
	if (!at)
		return (struct text){ "", 0 };
	return (struct text){ (const char *)at, size };
}

bool wire_end(const struct wire_reader *r)
{
	return !r->bad && r->at == r->size;
}

void relay_item_put(struct wire *w, const struct relay_item *item, bool up)
{
	wire_u64(w, item->link);
	if (up)
		wire_put(w, item->crn.bytes, sizeof item->crn.bytes);
	wire_u8(w, item->type);
	wire_bytes(w, item->bytes.data, item->bytes.size);
}

bool relay_item_next(struct wire_reader *r, bool up, struct relay_item *out)
{
	const uint8_t *crn;

	if (r->bad || r->at == r->size)
		return false;
	out->link = wire_get_u64(r);
	if (up) {
		crn = wire_get(r, sizeof out->crn.bytes);
		if (crn)
			memcpy(out->crn.bytes, crn, sizeof out->crn.bytes);
	}
	out->type = wire_get_u8(r);
	out->bytes = wire_get_bytes(r, PEER_FRAME_SIZE_MAX);
	return !r->bad;
}

static void put_text(struct wire *w, const struct text *text)
{
	wire_bytes(w, text->data, text->size);
}

void forward_request_put(struct wire *w, const struct forward_request *m)
{
	wire_u64(w, m->id);
	wire_u8(w, m->authority);
	wire_u8(w, m->local_only);
	wire_put(w, m->request, sizeof m->request);
	put_text(w, &m->who);
	put_text(w, &m->method);
	put_text(w, &m->path);
	put_text(w, &m->query);
	put_text(w, &m->body);
}

int forward_request_get(const uint8_t *data, size_t size,
			struct forward_request *out)
{
	struct wire_reader r = { data, size, 0, false };
	struct forward_request m = { .id = wire_get_u64(&r) };
	const uint8_t *request;

	m.authority = wire_get_u8(&r);
	m.local_only = wire_get_u8(&r) != 0;
	request = wire_get(&r, sizeof m.request);
	if (request)
		memcpy(m.request, request, sizeof m.request);
	m.who = wire_get_bytes(&r, WHO_SIZE_MAX);
	m.method = wire_get_bytes(&r, METHOD_SIZE_MAX);
	m.path = wire_get_bytes(&r, PATH_SIZE_MAX);
	m.query = wire_get_bytes(&r, QUERY_SIZE_MAX);
	m.body = wire_get_bytes(&r, PEER_FRAME_SIZE_MAX);
	if (!wire_end(&r) || !m.method.size || !m.path.size)
		return BERTH_MALFORMED;
	*out = m;
	return 0;
}

void forward_answer_put(struct wire *w, const struct forward_answer *m)
{
	wire_u64(w, m->id);
	wire_u64(w, m->index);
	wire_u64(w, m->term);
	wire_u64(w, m->leader);
	wire_u64(w, m->age_ms);
	wire_u32(w, m->status);
	put_text(w, &m->content_type);
	put_text(w, &m->location);
	put_text(w, &m->body);
}

int forward_answer_get(const uint8_t *data, size_t size,
		       struct forward_answer *out)
{
	struct wire_reader r = { data, size, 0, false };
	struct forward_answer m = { .id = wire_get_u64(&r) };

	m.index = wire_get_u64(&r);
	m.term = wire_get_u64(&r);
	m.leader = wire_get_u64(&r);
	m.age_ms = wire_get_u64(&r);
	m.status = wire_get_u32(&r);
	m.content_type = wire_get_bytes(&r, TYPE_SIZE_MAX);
	m.location = wire_get_bytes(&r, PATH_SIZE_MAX + QUERY_SIZE_MAX + 512);
	m.body = wire_get_bytes(&r, PEER_FRAME_SIZE_MAX);
	if (!wire_end(&r) || m.status < 200 || m.status > 599)
		return BERTH_MALFORMED;
	*out = m;
	return 0;
}

void read_answer_put(struct wire *w, const struct read_answer *m)
{
	wire_u64(w, m->id);
	wire_u32(w, (uint32_t)m->code);
	wire_u64(w, m->index);
	wire_u8(w, m->has_run);
	wire_u64(w, m->gen);
	wire_u64(w, m->epoch);
	wire_u8(w, m->status);
	wire_u32(w, m->failures);
	put_text(w, &m->reason);
}

int read_answer_get(const uint8_t *data, size_t size, struct read_answer *out)
{
	struct wire_reader r = { data, size, 0, false };
	struct read_answer m = { .id = wire_get_u64(&r) };
	uint32_t code = wire_get_u32(&r);

	m.index = wire_get_u64(&r);
	m.has_run = wire_get_u8(&r) != 0;
	m.gen = wire_get_u64(&r);
	m.epoch = wire_get_u64(&r);
	m.status = wire_get_u8(&r);
	m.failures = wire_get_u32(&r);
	m.reason = wire_get_bytes(&r, FSM_TEXT_SIZE_MAX);
	if (!wire_end(&r) || code >= BERTH_ERROR_COUNT)
		return BERTH_MALFORMED;
	m.code = (int)code;
	*out = m;
	return 0;
}
