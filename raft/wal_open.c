/* Opening the log: the replay of its segments, and how it goes on behind them.
 * The layout, and what is a torn tail, are explained in wal.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/bytes.h"
#include "raft/wal_internal.h"

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
	struct wal_head head;
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
	wal__name(again, number);
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

	wal__name(name, number);
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
	wal__name(name, number);
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
	uint32_t salt = wal__salt(reading->wal, number);
	uint64_t at;

	for (at = offset; at < reading->size; at += 8) {
		uint64_t left = reading->size - at;
		struct wal_record record;

		if (left >= 8 && !get_u64(reading->data + at))
			continue;
		reading->torn = true;
		if (wal__record_decode(reading->data + at, left, salt,
				       &record) &&
		    record.batch > offset)
			return corrupt(reading, number, offset,
				       "bad record before valid ones");
	}
	return 0;
}

static int replay_record(struct reading *reading, uint64_t number,
			 uint64_t offset, const struct wal_record *record)
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
	uint32_t salt = wal__salt(wal, number);
	uint64_t at = WAL_SEGMENT_HEAD;
	int code = wal__add(wal, number);

	if (code)
		return fault_set(reading->fault, code, "no memory");
	segment = wal__last(wal);
	reading->batch = 0;
	while (last || at < end) {
		struct wal_record record;

		if (at > reading->size ||
		    !wal__record_decode(reading->data + at, reading->size - at,
					 salt, &record))
			break;
		code = replay_record(reading, number, at, &record);
		if (code)
			return code;
		if (record.index > segment->last)
			segment->last = record.index;
		reading->batch = record.batch;
		at += wal__padded(WAL_RECORD_HEAD + record.size);
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
	*headless = !wal__head_decode(reading->data, reading->size, number,
				      wal__salt(reading->wal, number),
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
			wal__name(name, reading->numbers[i]);
			code = f->remove(f->ctx, name);
			if (!code)
				code = f->sync_directory(f->ctx);
			if (code)
				return fault_set(reading->fault, code,
						 "%s: remove", name);
			reading->count--;
		} else if (reading->head.flags & WAL_FLAG_RESET) {
			first = i;
			break;
		}
	}
	for (i = 0; i < first; i++) {
		wal__name(name, reading->numbers[i]);
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
	uint64_t end = wal__last(wal)->end, from = reading->batch;
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
	wal->salt = wal__salt(wal, wal__last(wal)->number);
	wal->allocated = reading->size;
	wal->batch = wal__last(wal)->end;
	code = settle(reading);
	if (code)
		return fault_set(reading->fault, code,
				 "sync the log's tail: %s",
				 berth_error_text(code));
	if (!reading->torn)
		return 0;
	code = wal->files->truncate(wal->files->ctx, wal->file,
				    wal__last(wal)->end);
	if (!code)
		code = wal->files->sync(wal->files->ctx, wal->file);
	if (!code)
		code = wal__next(wal, 0);
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
