/* What is on disk: records, heads of segments, and opening a directory of
 * them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/lib/log.h"
#include "node/replica/events_log_internal.h"

/* A file: magic, u64 stamp before its first event; then records of u32 size,
 * u32 sum, payload. */
#define RECORD_SIZE_MAX 512u

static uint32_t sum_of(const uint8_t *data, size_t size)
{
	uint32_t sum = 2166136261u;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ data[i]) * 16777619u;
	return sum;
}

void events_log__path(const struct events_log *log, uint64_t number,
		      char path[4096])
{
	snprintf(path, 4096, "%s/%016" PRIx64, log->directory, number);
}

/* --- records -------------------------------------------------------------- */

void events_log__encode(struct wire *w, const struct event *e)
{
	size_t at = w->size, size;
	uint32_t reason = e->reason.size;
	uint32_t sum;
	uint8_t head[8];

	if (reason > FSM_TEXT_SIZE_MAX)
		reason = FSM_TEXT_SIZE_MAX;
	wire_u64(w, 0); /* size and sum, filled below */
	wire_u8(w, (uint8_t)e->type);
	wire_u64(w, e->stamp);
	wire_u32(w, e->ordinal);
	wire_u64(w, e->gen);
	wire_u64(w, e->c_ms);
	wire_u64(w, e->wall_ms);
	wire_u64(w, e->epoch);
	wire_u64(w, e->session);
	wire_bytes(w, e->program.bytes, hash_is_zero(&e->program) ? 0 : 32);
	wire_bytes(w, e->crn.bytes, hash_is_zero(&e->crn) ? 0 : 32);
	wire_bytes(w, e->reason.data, reason);
	if (w->failed)
		return;
	size = w->size - at - sizeof head;
	sum = sum_of(w->data + at + sizeof head, size);
	for (int i = 0; i < 4; i++) {
		w->data[at + (size_t)i] = (uint8_t)(size >> (24 - 8 * i));
		w->data[at + 4 + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
	}
}

static void take_hash(struct wire_reader *r, struct hash *out)
{
	struct text bytes = wire_get_bytes(r, 32);

	if (bytes.size == 32)
		memcpy(out->bytes, bytes.data, 32);
	else if (bytes.size)
		r->bad = true;
}

/* The record at r; false at the end, or where bytes are no record. */
bool events_log__decode(struct wire_reader *r, struct event *out)
{
	struct wire_reader in = { 0 };
	struct event e = { 0 };
	uint32_t size = wire_get_u32(r), sum = wire_get_u32(r);
	uint8_t type;

	if (r->bad || size > RECORD_SIZE_MAX)
		return false;
	in.data = wire_get(r, size);
	in.size = size;
	if (!in.data || sum_of(in.data, size) != sum)
		return false;
	type = wire_get_u8(&in);
	e.type = (enum fsm_effect_type)type;
	e.stamp = wire_get_u64(&in);
	e.ordinal = wire_get_u32(&in);
	e.gen = wire_get_u64(&in);
	e.c_ms = wire_get_u64(&in);
	e.wall_ms = wire_get_u64(&in);
	e.epoch = wire_get_u64(&in);
	e.session = wire_get_u64(&in);
	take_hash(&in, &e.program);
	take_hash(&in, &e.crn);
	e.reason = wire_get_bytes(&in, FSM_TEXT_SIZE_MAX);
	if (!wire_end(&in))
		return false;
	*out = e;
	return true;
}

/* Reads a file's first `size` bytes; 0: all of it. */
int events_log__slurp(const char *path, uint64_t size, struct wire *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		return BERTH_IO;
	if (fstat(fd, &st) == 0 && (!size || size > (uint64_t)st.st_size))
		size = (uint64_t)st.st_size;
	out->data = malloc(size ? size : 1);
	out->capacity = size;
	while (out->data && out->size < size) {
		n = read(fd, out->data + out->size, size - out->size);
		if (n <= 0)
			break;
		out->size += (size_t)n;
	}
	close(fd);
	return out->data && out->size == size ? 0 : BERTH_IO;
}

static bool head_of(struct wire_reader *r, stamp_t *before)
{
	const uint8_t *magic = wire_get(r, 8);

	*before = wire_get_u64(r);
	return !r->bad && !memcmp(magic, EVENTS_MAGIC, 8);
}

/* --- opening -------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct events_segment *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int list(struct events_log *log, struct fault *fault)
{
	DIR *dir = opendir(log->directory);
	struct dirent *entry;
	char *end;

	if (!dir)
		return fault_set(fault, BERTH_IO, "read %s: %s",
				 log->directory, strerror(errno));
	while ((entry = readdir(dir)) &&
	       log->segment_count < EVENTS_SEGMENTS_MAX) {
		uint64_t number = strtoull(entry->d_name, &end, 16);

		if (strlen(entry->d_name) == 16 && !*end)
			log->segments[log->segment_count++].number = number;
	}
	closedir(dir);
	qsort(log->segments, log->segment_count, sizeof log->segments[0],
	      compare);
	return 0;
}

static int open_older(struct events_log *log, struct events_segment *segment,
		      struct fault *fault)
{
	struct wire file = { 0 };
	struct wire_reader r;
	char path[4096];
	int code;

	events_log__path(log, segment->number, path);
	code = events_log__slurp(path, EVENTS_HEAD_SIZE, &file);
	r = (struct wire_reader){ file.data, file.size, 0, false };
	if (code || !head_of(&r, &segment->before))
		code = fault_set(fault, BERTH_CORRUPT, "%s: not an event file",
				 path);
	wire_fini(&file);
	segment->count = log->segment_events;
	segment->size = UINT64_MAX;
	return code;
}

/* The newest: its events are counted, and a torn end is cut. */
static int open_newest(struct events_log *log, struct events_segment *segment,
		       struct fault *fault)
{
	struct wire file = { 0 };
	struct wire_reader r;
	struct event e;
	char path[4096];

	events_log__path(log, segment->number, path);
	if (events_log__slurp(path, 0, &file)) {
		wire_fini(&file);
		return fault_set(fault, BERTH_IO, "read %s", path);
	}
	r = (struct wire_reader){ file.data, file.size, 0, false };
	if (!head_of(&r, &segment->before)) {
		wire_fini(&file);
		return fault_set(fault, BERTH_CORRUPT, "%s: not an event file",
				 path);
	}
	log->last = segment->before;
	segment->size = r.at;
	while (events_log__decode(&r, &e)) {
		segment->count++;
		segment->size = r.at;
		log->last = e.stamp;
		log->last_ordinal = e.ordinal;
	}
	if (!segment->count)
		log->last_ordinal = UINT32_MAX;
	if (segment->size < file.size)
		log_warn("events", "%s: cut a torn end of %zu bytes", path,
			 file.size - (size_t)segment->size);
	wire_fini(&file);
	log->fd = open(path, O_WRONLY | O_CLOEXEC);
	if (log->fd < 0 || ftruncate(log->fd, (off_t)segment->size))
		return fault_set(fault, BERTH_IO, "open %s: %s", path,
				 strerror(errno));
	return 0;
}

/* A crash while a file was made leaves one without a whole head. */
static void drop_headless(struct events_log *log)
{
	char path[4096];
	struct stat st;

	if (!log->segment_count)
		return;
	events_log__path(log, log->segments[log->segment_count - 1].number,
			 path);
	if (stat(path, &st) || st.st_size >= (off_t)EVENTS_HEAD_SIZE)
		return;
	unlink(path);
	log->segment_count--;
}

static int open_segments(struct events_log *log, struct fault *fault)
{
	int code = list(log, fault);

	if (code)
		return code;
	drop_headless(log);
	for (uint32_t i = 0; i < log->segment_count; i++) {
		struct events_segment *segment = &log->segments[i];

		code = i + 1 < log->segment_count
			       ? open_older(log, segment, fault)
			       : open_newest(log, segment, fault);
		if (code)
			return code;
		log->count += segment->count;
	}
	return 0;
}

int events_log_open(struct events_log **out, const char *directory,
		    uint32_t segment, uint64_t keep, struct fault *fault)
{
	struct events_log *log = calloc(1, sizeof *log);
	int code;

	if (!log)
		return fault_set(fault, BERTH_NOMEM, "events");
	log->fd = -1;
	log->segment_events = segment;
	log->keep = keep;
	pthread_mutex_init(&log->mutex, NULL);
	snprintf(log->directory, sizeof log->directory, "%s/events",
		 directory);
	if (mkdir(log->directory, 0700) && errno != EEXIST)
		code = fault_set(fault, BERTH_IO, "make %s: %s",
				 log->directory, strerror(errno));
	else
		code = open_segments(log, fault);
	if (code) {
		events_log_close(log);
		return code;
	}
	*out = log;
	return 0;
}

void events_log_close(struct events_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	pthread_mutex_destroy(&log->mutex);
	free(log);
}
