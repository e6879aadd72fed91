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
#include "raft/wal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/bytes.h"
#include "raft/crc32c.h"

#define MAGIC 0x31676f4c68747242ull /* "BrthLog1" */
#define VERSION 1u
#define FLAG_RESET 1u
#define BUFFER_SIZE_MAX (4u << 20)

struct head {
	uint64_t prev_index, prev_term, prev_end;
	uint32_t flags;
};

struct record {
	uint64_t index, term, batch;
	uint32_t size;
	uint8_t type;
	const uint8_t *data;
};

static void name_of(char name[32], uint64_t number)
{
	snprintf(name, 32, "log-%016" PRIx64, number);
}

static size_t padded(size_t size)
{
	return (size + 7) & ~(size_t)7;
}

static uint32_t salt_of(const struct wal *wal, uint64_t number)
{
	uint8_t bytes[24];

	memcpy(bytes, wal->disk_id, 16);
	put_u64(bytes + 16, number);
	return crc32c(0, bytes, sizeof bytes) | 1;
}

static void head_encode(uint8_t out[WAL_SEGMENT_HEAD], uint64_t number,
			uint32_t salt, const struct head *head)
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

static bool head_decode(const uint8_t *in, size_t size, uint64_t number,
			uint32_t salt, struct head *head)
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

static bool record_decode(const uint8_t *in, uint64_t left, uint32_t salt,
			  struct record *out)
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

static struct wal_segment *last_segment(struct wal *wal)
{
	return wal->count ? &wal->segments[wal->count - 1] : NULL;
}

static int add_segment(struct wal *wal, uint64_t number)
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
static int begin_segment(struct wal *wal, const struct head *head,
			 uint64_t need)
{
	const struct replica_files *f = wal->files;
	const struct wal_segment *last = last_segment(wal);
	uint64_t number = last ? last->number + 1 : 1;
	uint64_t size = wal->segment_size;
	uint8_t bytes[WAL_SEGMENT_HEAD];
	char name[32];
	void *file;
	int code;

	if (size < need + WAL_SEGMENT_HEAD)
		size = need + WAL_SEGMENT_HEAD;
	name_of(name, number);
	code = f->open(f->ctx, name, true, &file);
	if (code)
		return code;
	code = f->truncate(f->ctx, file, 0);
	if (!code)
		code = f->allocate(f->ctx, file, size);
	head_encode(bytes, number, salt_of(wal, number), head);
	if (!code)
		code = f->write(f->ctx, file, 0, bytes, sizeof bytes);
	if (!code)
		code = f->sync(f->ctx, file);
	if (!code)
		code = f->sync_directory(f->ctx);
	if (!code)
		code = add_segment(wal, number);
	if (code) {
		f->close(f->ctx, file);
		return code;
	}
	if (wal->file)
		f->close(f->ctx, wal->file);
	wal->file = file;
	wal->salt = salt_of(wal, number);
	wal->allocated = size;
	wal->batch = WAL_SEGMENT_HEAD;
	return 0;
}

static int flush(struct wal *wal)
{
	struct wal_segment *last = last_segment(wal);
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
	struct wal_segment *last = last_segment(wal);
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

static int next_segment(struct wal *wal, size_t need)
{
	struct head head = { .prev_index = wal->last_index,
			     .prev_term = wal->last_term };
	int code = wal_sync(wal);

	if (code)
		return code;
	head.prev_end = last_segment(wal)->end;
	return begin_segment(wal, &head, need);
}

int wal_put(struct wal *wal, const struct log_entry *entry)
{
	size_t size = padded(WAL_RECORD_HEAD + entry->size);
	struct wal_segment *last = last_segment(wal);
	int code = 0;

	if (last->end + wal->used + size > wal->allocated)
		code = next_segment(wal, size);
	else if (wal->used > BUFFER_SIZE_MAX)
		code = flush(wal);
	if (!code)
		code = reserve(wal, wal->used + size);
	if (code)
		return code;
	encode(wal, entry, size);
	last = last_segment(wal);
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

		name_of(name, wal->segments[0].number);
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
	struct head head = { .prev_index = prev_index, .prev_term = prev_term,
			     .flags = FLAG_RESET };
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

/* --- reading ------------------------------------------------------------- */

struct reading {
	struct wal *wal;
	const struct wal_replay *replay;
	struct fault *fault;
	uint64_t *numbers;
	uint32_t count, capacity;
	bool nomem;
	uint8_t *data;
	uint64_t size;
	void *file;
	struct head head;
	uint64_t batch; /* where the last record's began */
	bool begun, torn;
};

static void collect(void *ctx, const char *name)
{
	struct reading *reading = ctx;
	uint64_t number;
	char again[32];

	if (sscanf(name, "log-%16" SCNx64, &number) != 1)
		return;
	name_of(again, number);
	if (strcmp(again, name) != 0)
		return;
	if (reading->count == reading->capacity) {
		uint32_t capacity = reading->capacity * 2 + 16;
		uint64_t *more = realloc(reading->numbers,
					 capacity * sizeof *more);

		if (!more) {
			reading->nomem = true;
			return;
		}
		reading->numbers = more;
		reading->capacity = capacity;
	}
	reading->numbers[reading->count++] = number;
}

static int corrupt(struct reading *reading, uint64_t number, uint64_t offset,
		   const char *what)
{
	char name[32];

	name_of(name, number);
	return fault_set(reading->fault, BERTH_CORRUPT,
			 "%s: offset %" PRIu64 ": %s", name, offset, what);
}

static void unload(struct reading *reading)
{
	const struct replica_files *f = reading->wal->files;

	free(reading->data);
	reading->data = NULL;
	if (reading->file)
		f->close(f->ctx, reading->file);
	reading->file = NULL;
}

static int load(struct reading *reading, uint64_t number)
{
	const struct replica_files *f = reading->wal->files;
	char name[32];
	size_t got = 0;
	int code;

	unload(reading);
	name_of(name, number);
	code = f->open(f->ctx, name, false, &reading->file);
	if (!code)
		code = f->size(f->ctx, reading->file, &reading->size);
	if (code)
		return fault_set(reading->fault, code, "%s: %s", name,
				 berth_error_text(code));
	reading->data = malloc(reading->size + 8);
	if (!reading->data)
		return fault_set(reading->fault, BERTH_NOMEM, "%s: no memory",
				 name);
	code = f->read(f->ctx, reading->file, 0, reading->data, reading->size,
		       &got);
	if (code || got < reading->size)
		return fault_set(reading->fault, code ? code : BERTH_IO,
				 "%s: read failed", name);
	return 0;
}

/* Looks behind a bad place for what could not be there after a torn write. */
static int inspect_tail(struct reading *reading, uint64_t number,
			uint64_t offset)
{
	uint32_t salt = salt_of(reading->wal, number);
	uint64_t at;

	for (at = offset; at < reading->size; at += 8) {
		uint64_t left = reading->size - at;
		struct record record;

		if (left >= 8 && !get_u64(reading->data + at))
			continue;
		reading->torn = true;
		if (record_decode(reading->data + at, left, salt, &record) &&
		    record.batch > offset)
			return corrupt(reading, number, offset,
				       "bad record before valid ones");
	}
	return 0;
}

static int replay_record(struct reading *reading, uint64_t number,
			 uint64_t offset, const struct record *record)
{
	struct wal *wal = reading->wal;
	int code;

	if (record->index == 0 || record->index > wal->last_index + 1 ||
	    record->term == 0)
		return corrupt(reading, number, offset,
			       "record out of sequence");
	if (record->index <= wal->last_index)
		reading->replay->cut(reading->replay->ctx, record->index);
	code = reading->replay->entry(reading->replay->ctx, record->index,
				      record->term, record->type,
				      record->data, record->size);
	if (code)
		return corrupt(reading, number, offset,
			       berth_error_text(code));
	wal->last_index = record->index;
	wal->last_term = record->term;
	return 0;
}

/* Replays one segment up to `end` (of its successor's head), or, when it is
 * the last one, up to the first bad record. */
static int replay_segment(struct reading *reading, uint64_t number,
			  uint64_t end, bool last)
{
	struct wal *wal = reading->wal;
	struct wal_segment *segment;
	uint32_t salt = salt_of(wal, number);
	uint64_t at = WAL_SEGMENT_HEAD;
	int code = add_segment(wal, number);

	if (code)
		return fault_set(reading->fault, code, "no memory");
	segment = last_segment(wal);
	reading->batch = 0;
	while (last || at < end) {
		struct record record;

		if (at > reading->size ||
		    !record_decode(reading->data + at, reading->size - at,
				   salt, &record))
			break;
		code = replay_record(reading, number, at, &record);
		if (code)
			return code;
		if (record.index > segment->last)
			segment->last = record.index;
		reading->batch = record.batch;
		at += padded(WAL_RECORD_HEAD + record.size);
	}
	segment->end = at;
	if (!last && at != end)
		return corrupt(reading, number, at, "bad record");
	return last ? inspect_tail(reading, number, at) : 0;
}

static void begin(struct reading *reading)
{
	struct wal *wal = reading->wal;

	wal->last_index = reading->head.prev_index;
	wal->last_term = reading->head.prev_term;
	reading->begun = true;
	reading->replay->begin(reading->replay->ctx, wal->last_index,
			       wal->last_term);
}

/* Loads segment i and takes its head. A last one without head was being made
 * when the power failed: nothing is in it. */
static int load_head(struct reading *reading, uint32_t i, bool *headless)
{
	uint64_t number = reading->numbers[i];
	int code = load(reading, number);

	if (code)
		return code;
	*headless = !head_decode(reading->data, reading->size, number,
				 salt_of(reading->wal, number),
				 &reading->head);
	if (!*headless)
		return 0;
	if (i + 1 < reading->count)
		return corrupt(reading, number, 0, "bad segment head");
	return inspect_tail(reading, number, 0);
}

/* Drops everything in front of the last segment that resets the log, and a
 * last one without head. */
static int trim(struct reading *reading)
{
	const struct replica_files *f = reading->wal->files;
	uint32_t i, first = 0;
	char name[32];
	bool headless;
	int code;

	for (i = reading->count; i-- > 0;) {
		code = load_head(reading, i, &headless);
		if (code)
			return code;
		if (headless) {
			unload(reading);
			name_of(name, reading->numbers[i]);
			code = f->remove(f->ctx, name);
			if (!code)
				code = f->sync_directory(f->ctx);
			if (code)
				return fault_set(reading->fault, code,
						 "%s: remove", name);
			reading->count--;
		} else if (reading->head.flags & FLAG_RESET) {
			first = i;
			break;
		}
	}
	for (i = 0; i < first; i++) {
		name_of(name, reading->numbers[i]);
		code = f->remove(f->ctx, name);
		if (!code)
			code = f->sync_directory(f->ctx);
		if (code)
			return fault_set(reading->fault, code, "%s: remove",
					 name);
	}
	reading->count -= first;
	if (reading->count)
		memmove(reading->numbers, reading->numbers + first,
			reading->count * sizeof *reading->numbers);
	return 0;
}

static int check_follows(struct reading *reading, uint32_t i)
{
	struct wal *wal = reading->wal;

	if (!reading->begun)
		begin(reading);
	else if (reading->head.prev_index != wal->last_index ||
		 reading->head.prev_term != wal->last_term)
		return corrupt(reading, reading->numbers[i], 0,
			       "segment does not follow the one before");
	return 0;
}

static int replay_one(struct reading *reading, uint32_t i)
{
	uint64_t number = reading->numbers[i], end = 0;
	bool last = i + 1 == reading->count, headless;
	int code;

	if (!last) {
		if (reading->numbers[i + 1] != number + 1)
			return corrupt(reading, number + 1, 0,
				       "segment is missing");
		code = load_head(reading, i + 1, &headless);
		if (code)
			return code;
		end = reading->head.prev_end;
	}
	code = load_head(reading, i, &headless);
	if (!code)
		code = check_follows(reading, i);
	if (!code)
		code = replay_segment(reading, number, end, last);
	return code;
}

/* What was read of the last batch may be in the kernel's memory only: the
 * process was killed before its sync, or the sync failed and the kernel
 * forgot. Before it counts as stored it is written again, and synced; and with
 * the first batch the head. */
static int settle(struct reading *reading)
{
	struct wal *wal = reading->wal;
	const struct replica_files *f = wal->files;
	uint64_t end = last_segment(wal)->end, from = reading->batch;
	int code;

	if (end > reading->size)
		end = reading->size;
	if (from <= WAL_SEGMENT_HEAD || from > end)
		from = 0;
	code = f->write(f->ctx, wal->file, from, reading->data + from,
			(size_t)(end - from));
	return code ? code : f->sync(f->ctx, wal->file);
}

/* Goes on in the last segment, or, after a cut, in a new one. */
static int resume(struct reading *reading)
{
	struct wal *wal = reading->wal;
	int code;

	if (!wal->count)
		return 0;
	wal->file = reading->file;
	reading->file = NULL;
	wal->salt = salt_of(wal, last_segment(wal)->number);
	wal->allocated = reading->size;
	wal->batch = last_segment(wal)->end;
	code = settle(reading);
	if (code)
		return fault_set(reading->fault, code,
				 "sync the log's tail: %s",
				 berth_error_text(code));
	if (!reading->torn)
		return 0;
	code = wal->files->truncate(wal->files->ctx, wal->file,
				    last_segment(wal)->end);
	if (!code)
		code = wal->files->sync(wal->files->ctx, wal->file);
	if (!code)
		code = next_segment(wal, 0);
	if (code)
		return fault_set(reading->fault, code, "cut a torn tail: %s",
				 berth_error_text(code));
	return 0;
}

int wal_open(struct wal *wal, const struct replica_files *files,
	     const uint8_t disk_id[16], uint64_t segment_size,
	     const struct wal_replay *replay, struct fault *fault)
{
	struct reading reading = { .wal = wal, .replay = replay,
				   .fault = fault };
	uint32_t i;
	int code;

	memset(wal, 0, sizeof *wal);
	wal->files = files;
	wal->segment_size = segment_size ? segment_size : WAL_SEGMENT_SIZE;
	memcpy(wal->disk_id, disk_id, 16);
	code = files->list(files->ctx, collect, &reading);
	if (code || reading.nomem)
		code = fault_set(fault, code ? code : BERTH_NOMEM,
				 "list the log's segments");
	if (!code)
		code = trim(&reading);
	reading.torn = false;
	for (i = 0; !code && i < reading.count; i++)
		code = replay_one(&reading, i);
	if (!code)
		code = resume(&reading);
	unload(&reading);
	free(reading.numbers);
	if (code)
		wal_close(wal);
	return code;
}

void wal_close(struct wal *wal)
{
	if (wal->file)
		wal->files->close(wal->files->ctx, wal->file);
	free(wal->segments);
	free(wal->buffer);
	wal->file = NULL;
	wal->segments = NULL;
	wal->buffer = NULL;
	wal->count = 0;
}
