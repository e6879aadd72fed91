#include "node/lib/frame.h"

#include <stdlib.h>

/* `size` counts from `data`; `start` is how much of it was given already. */

void frame_reader_init(struct frame_reader *reader, size_t size_max)
{
	memset(reader, 0, sizeof *reader);
	reader->size_max = size_max;
}

void frame_reader_fini(struct frame_reader *reader)
{
	free(reader->data);
	memset(reader, 0, sizeof *reader);
}

static uint32_t announced(const uint8_t *head)
{
	return (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 |
	       (uint32_t)head[2] << 8 | head[3];
}

/* The size on the wire counts the type and the payload; size_max bounds the
 * payload. */
static int check(const struct frame_reader *reader)
{
	uint32_t rest;

	if (reader->size - reader->start < 4)
		return BERTH_OK;
	rest = announced(reader->data + reader->start);
	if (rest == 0)
		return BERTH_MALFORMED;
	if (rest - 1 > reader->size_max)
		return BERTH_TOOBIG;
	return BERTH_OK;
}

/* Given frames are dropped only here, so that payloads stay borrowed until the
 * next feed. */
static void compact(struct frame_reader *reader)
{
	size_t rest = reader->size - reader->start;

	if (reader->start == 0)
		return;
	memmove(reader->data, reader->data + reader->start, rest);
	reader->size = rest;
	reader->start = 0;
}

static int reserve(struct frame_reader *reader, size_t more)
{
	size_t need = reader->size + more, capacity = reader->capacity;
	uint8_t *data;

	if (need < reader->size)
		return BERTH_TOOBIG;
	if (need <= capacity)
		return BERTH_OK;
	if (capacity == 0)
		capacity = 4096;
	while (capacity < need)
		capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
	if (capacity > reader->size_max + FRAME_HEAD_SIZE)
		capacity = reader->size_max + FRAME_HEAD_SIZE;
	if (capacity < need)
		capacity = need;
	data = realloc(reader->data, capacity);
	if (!data)
		return BERTH_NOMEM;
	reader->data = data;
	reader->capacity = capacity;
	return BERTH_OK;
}

int frame_reader_feed(struct frame_reader *reader, const void *data,
		      size_t size)
{
	int code;

	compact(reader);
	code = reserve(reader, size);
	if (code)
		return code;
	if (size > 0)
		memcpy(reader->data + reader->size, data, size);
	reader->size += size;
	return check(reader);
}

bool frame_reader_next(struct frame_reader *reader, uint8_t *type,
		       const uint8_t **payload, size_t *size)
{
	const uint8_t *head;
	size_t rest;

	if (check(reader) || reader->size - reader->start < FRAME_HEAD_SIZE)
		return false;
	head = reader->data + reader->start;
	rest = announced(head);
	if (reader->size - reader->start - 4 < rest)
		return false;
	*type = head[4];
	*payload = head + FRAME_HEAD_SIZE;
	*size = rest - 1;
	reader->start += 4 + rest;
	return true;
}

void frame_head(uint8_t head[FRAME_HEAD_SIZE], uint8_t type, size_t size)
{
	uint32_t rest = (uint32_t)size + 1;

	REQUIRE(size < UINT32_MAX);
	head[0] = (uint8_t)(rest >> 24);
	head[1] = (uint8_t)(rest >> 16);
	head[2] = (uint8_t)(rest >> 8);
	head[3] = (uint8_t)rest;
	head[4] = type;
}
