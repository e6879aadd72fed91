/* Segment: a head of 64 bytes, then records padded to eight bytes.
 *
 * A record says its index, so a record whose index is not above the last one
 * cuts the log there: truncation needs no write of its own and cannot be
 * overtaken. All that is put between two syncs is a batch; each record says
 * where its batch began. At the first bad record of the last segment there are
 * two cases. Nothing valid behind it, or only records whose batch began at or
 * before it: the write was torn and never acknowledged, and is cut. A valid
 * record of a batch that began behind it: that batch was written only after
 * the bad place had been synced, so the disk lost what it had promised, and
 * the log is refused with file and offset.
 *
 * Records carry a salt made of disk id and segment number, so that bytes of
 * another life of the file are never taken for records; after a cut, a new
 * segment is begun for the same reason. A segment's head says where the one
 * before it ends, so the loss of an earlier tail is seen as well.
 */
#include "raft/wal_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/bytes.h"
#include "raft/crc32c.h"

#define MAGIC 0x31676f4c68747242ull /* "BrthLog1" */
#define VERSION 1u
#define BUFFER_SIZE_MAX (4u << 20)

void wal__name(char name[32], uint64_t number)
{
	snprintf(name, 32, "log-%016" PRIx64, number);
}

size_t wal__padded(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

uint32_t wal__salt(const struct wal *wal, uint64_t number)
{
	uint8_t bytes[24];

	memcpy(bytes, wal->disk_id, 16);
	put_u64(bytes + 16, number);
	return crc32c(0, bytes, sizeof bytes) | 1;
}

static void head_encode(uint8_t out[WAL_SEGMENT_HEAD], uint64_t number,
			uint32_t salt, const struct wal_head *head)
{
	memset(out, 0, WAL_SEGMENT_HEAD);
	put_u64(out, MAGIC);
	put_u32(out + 8, VERSION);
	put_u32(out + 12, salt);
	put_u64(out + 16, number);
	put_u64(out + 24, head->prev_index);
	put_u64(out + 32, head->prev_term);
	put_u64(out + 40, head->prev_end);
	put_u32(out + 48, head->flags);
	put_u32(out + 52, crc32c(0, out, 52));
}

bool wal__head_decode(const uint8_t *in, size_t size, uint64_t number,
		      uint32_t salt, struct wal_head *head)
{
	if (size < WAL_SEGMENT_HEAD || get_u64(in) != MAGIC ||
	    get_u32(in + 8) != VERSION || get_u32(in + 12) != salt ||
	    get_u64(in + 16) != number ||
	    get_u32(in + 52) != crc32c(0, in, 52))
		return false;
	head->prev_index = get_u64(in + 24);
	head->prev_term = get_u64(in + 32);
	head->prev_end = get_u64(in + 40);
	head->flags = get_u32(in + 48);
	return true;
}

bool wal__record_decode(const uint8_t *in, uint64_t left, uint32_t salt,
			struct wal_record *out)
{
	if (left < WAL_RECORD_HEAD || get_u32(in + 4) != salt)
		return false;
	out->size = get_u32(in + 8);
	if (out->size > left - WAL_RECORD_HEAD ||
	    get_u32(in) != crc32c(0, in + 4, WAL_RECORD_HEAD - 4 + out->size))
		return false;
	out->type = in[12];
	out->index = get_u64(in + 16);
	out->term = get_u64(in + 24);
	out->batch = get_u64(in + 32);
	out->data = in + WAL_RECORD_HEAD;
	return true;
}

/* --- writing ------------------------------------------------------------- */

struct wal_segment *wal__last(struct wal *wal)
{
	return wal->count ? &wal->segments[wal->count - 1] : NULL;
}

int wal__add(struct wal *wal, uint64_t number)
{
	if (wal->count == wal->capacity) {
		uint32_t capacity = wal->capacity ? wal->capacity * 2 : 8;
		struct wal_segment *more = realloc(
			wal->segments, capacity * sizeof *more);

		if (!more)
			return BERTH_NOMEM;
		wal->segments = more;
		wal->capacity = capacity;
	}
	wal->segments[wal->count++] = (struct wal_segment){
		.number = number, .end = WAL_SEGMENT_HEAD };
	return 0;
}

/* Makes the next segment, durable with its name before any record is put
 * there. */
static int begin_segment(struct wal *wal, const struct wal_head *head,
			 uint64_t need)
{
	const struct replica_files *f = wal->files;
	const struct wal_segment *last = wal__last(wal);
	uint64_t number = last ? last->number + 1 : 1;
	uint64_t size = wal->segment_size;
	uint8_t bytes[WAL_SEGMENT_HEAD];
	char name[32];
	void *file;
	int code;

	if (size < need + WAL_SEGMENT_HEAD)
		size = need + WAL_SEGMENT_HEAD;
	wal__name(name, number);
	code = f->open(f->ctx, name, true, &file);
	if (code)
		return code;
	code = f->truncate(f->ctx, file, 0);
	if (!code)
		code = f->allocate(f->ctx, file, size);
	head_encode(bytes, number, wal__salt(wal, number), head);
	if (!code)
		code = f->write(f->ctx, file, 0, bytes, sizeof bytes);
	if (!code)
		code = f->sync(f->ctx, file);
	if (!code)
		code = f->sync_directory(f->ctx);
	if (!code)
		code = wal__add(wal, number);
	if (code) {
		f->close(f->ctx, file);
		return code;
	}
	if (wal->file)
		f->close(f->ctx, wal->file);
	wal->file = file;
	wal->salt = wal__salt(wal, number);
	wal->allocated = size;
	wal->batch = WAL_SEGMENT_HEAD;
	return 0;
}

static int flush(struct wal *wal)
{
	struct wal_segment *last = wal__last(wal);
	int code;

	if (!wal->used)
		return 0;
	code = wal->files->write(wal->files->ctx, wal->file, last->end,
				 wal->buffer, wal->used);
	if (code)
		return code;
	last->end += wal->used;
	wal->used = 0;
	return 0;
}

int wal_sync(struct wal *wal)
{
	struct wal_segment *last = wal__last(wal);
	int code = flush(wal);

	if (code || !last || last->end == wal->batch)
		return code;
	code = wal->files->sync(wal->files->ctx, wal->file);
	if (!code)
		wal->batch = last->end;
	return code;
}

static int reserve(struct wal *wal, size_t size)
{
	size_t room = wal->room ? wal->room : 64u << 10;
	uint8_t *more;

	while (room < size)
		room *= 2;
	if (room == wal->room)
		return 0;
	more = realloc(wal->buffer, room);
	if (!more)
		return BERTH_NOMEM;
	wal->buffer = more;
	wal->room = room;
	return 0;
}

static void encode(struct wal *wal, const struct log_entry *entry, size_t size)
{
	uint8_t *at = wal->buffer + wal->used;

	memset(at, 0, WAL_RECORD_HEAD);
	put_u32(at + 4, wal->salt);
	put_u32(at + 8, (uint32_t)entry->size);
	at[12] = entry->type;
	put_u64(at + 16, entry->index);
	put_u64(at + 24, entry->term);
	put_u64(at + 32, wal->batch);
	if (entry->size)
		memcpy(at + WAL_RECORD_HEAD, entry->data, entry->size);
	put_u32(at, crc32c(0, at + 4, WAL_RECORD_HEAD - 4 + entry->size));
	memset(at + WAL_RECORD_HEAD + entry->size, 0,
	       size - WAL_RECORD_HEAD - entry->size);
	wal->used += size;
}

int wal__next(struct wal *wal, size_t need)
{
	struct wal_head head = { .prev_index = wal->last_index,
				 .prev_term = wal->last_term };
	int code = wal_sync(wal);

	if (code)
		return code;
	head.prev_end = wal__last(wal)->end;
	return begin_segment(wal, &head, need);
}

int wal_put(struct wal *wal, const struct log_entry *entry)
{
	size_t size = wal__padded(WAL_RECORD_HEAD + entry->size);
	struct wal_segment *last = wal__last(wal);
	int code = 0;

	if (last->end + wal->used + size > wal->allocated)
		code = wal__next(wal, size);
	else if (wal->used > BUFFER_SIZE_MAX)
		code = flush(wal);
	if (!code)
		code = reserve(wal, wal->used + size);
	if (code)
		return code;
	encode(wal, entry, size);
	last = wal__last(wal);
	if (entry->index > last->last)
		last->last = entry->index;
	wal->last_index = entry->index;
	wal->last_term = entry->term;
	return 0;
}

static int remove_first(struct wal *wal, uint32_t count)
{
	const struct replica_files *f = wal->files;
	uint32_t i;

	/* One after another, each durable: a hole in the numbers can then only
	 * be a loss. */
	for (i = 0; i < count; i++) {
		char name[32];
		int code;

		wal__name(name, wal->segments[0].number);
		code = f->remove(f->ctx, name);
		if (!code)
			code = f->sync_directory(f->ctx);
		if (code)
			return code;
		wal->count--;
		memmove(wal->segments, wal->segments + 1,
			wal->count * sizeof *wal->segments);
	}
	return 0;
}

int wal_reset(struct wal *wal, uint64_t prev_index, uint64_t prev_term)
{
	struct wal_head head = { .prev_index = prev_index,
				 .prev_term = prev_term,
				 .flags = WAL_FLAG_RESET };
	int code;

	wal->used = 0;
	code = begin_segment(wal, &head, 0);
	if (code)
		return code;
	wal->last_index = prev_index;
	wal->last_term = prev_term;
	return remove_first(wal, wal->count - 1);
}

int wal_drop(struct wal *wal, uint64_t first)
{
	uint32_t count = 0;

	while (count + 1 < wal->count && wal->segments[count].last < first)
		count++;
	return remove_first(wal, count);
}
