#include "node/replica/events_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/lib/log.h"
#include "node/replica/relay_wire.h"

/* A file: magic, u64 stamp before its first event; then records of u32 size,
 * u32 sum, payload. */
#define MAGIC "BRTHEVT1"
#define HEAD_SIZE 16u
#define RECORD_SIZE_MAX 512u
#define SEGMENTS_MAX 4096u

struct segment {
	uint64_t number, size;
	stamp_t before; /* the last stamp before its first event */
	uint32_t count;
};

struct events_log {
	pthread_mutex_t mutex;
	char directory[3800];
	uint32_t segment_events, segment_count;
	uint64_t keep, count;
	struct segment segments[SEGMENTS_MAX];
	stamp_t last;
	uint32_t last_ordinal;
	int fd; /* of the newest segment, -1: none */
};

static uint32_t sum_of(const uint8_t *data, size_t size)
{
	uint32_t sum = 2166136261u;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ data[i]) * 16777619u;
	return sum;
}

static void path_of(const struct events_log *log, uint64_t number,
		    char path[4096])
{
	snprintf(path, 4096, "%s/%016" PRIx64, log->directory, number);
}

/* --- records -------------------------------------------------------------- */

static void encode(struct wire *w, const struct event *e)
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
static bool decode(struct wire_reader *r, struct event *out)
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
static int slurp(const char *path, uint64_t size, struct wire *out)
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
	return !r->bad && !memcmp(magic, MAGIC, 8);
}

/* --- opening -------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

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
	while ((entry = readdir(dir)) && log->segment_count < SEGMENTS_MAX) {
		uint64_t number = strtoull(entry->d_name, &end, 16);

		if (strlen(entry->d_name) == 16 && !*end)
			log->segments[log->segment_count++].number = number;
	}
	closedir(dir);
	qsort(log->segments, log->segment_count, sizeof log->segments[0],
	      compare);
	return 0;
}

static int open_older(struct events_log *log, struct segment *segment,
		      struct fault *fault)
{
	struct wire file = { 0 };
	struct wire_reader r;
	char path[4096];
	int code;

	path_of(log, segment->number, path);
	code = slurp(path, HEAD_SIZE, &file);
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
static int open_newest(struct events_log *log, struct segment *segment,
		       struct fault *fault)
{
	struct wire file = { 0 };
	struct wire_reader r;
	struct event e;
	char path[4096];

	path_of(log, segment->number, path);
	if (slurp(path, 0, &file)) {
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
	while (decode(&r, &e)) {
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
	path_of(log, log->segments[log->segment_count - 1].number, path);
	if (stat(path, &st) || st.st_size >= (off_t)HEAD_SIZE)
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
		struct segment *segment = &log->segments[i];

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

/* --- appending ------------------------------------------------------------ */

static int write_all(struct events_log *log, uint64_t at, const uint8_t *data,
		     size_t size, struct fault *fault)
{
	ssize_t n;

	for (; size; data += n, at += (uint64_t)n, size -= (size_t)n) {
		n = pwrite(log->fd, data, size, (off_t)at);
		if (n <= 0)
			return fault_set(fault, errno == ENOSPC ? BERTH_NOSPACE
								: BERTH_IO,
					 "write events: %s", strerror(errno));
	}
	return 0;
}

static void drop_first(struct events_log *log)
{
	char path[4096];

	path_of(log, log->segments[0].number, path);
	unlink(path);
	log->count -= log->segments[0].count;
	log->segment_count--;
	memmove(&log->segments[0], &log->segments[1],
		log->segment_count * sizeof log->segments[0]);
}

static void drop_oldest(struct events_log *log)
{
	while (log->segment_count > 1 &&
	       (log->count - log->segments[0].count >= log->keep ||
		log->segment_count == SEGMENTS_MAX))
		drop_first(log);
}

/* The stamp before the first event we ever keep: 0 when that is of the first
 * entries of a cluster, else what came before was never seen here. */
static stamp_t before_first(stamp_t stamp)
{
	return stamp_index(stamp) <= 8 ? 0 : stamp - 1;
}

static int roll(struct events_log *log, stamp_t next, struct fault *fault);

/* A new segment that begins behind the gap, and nothing before it. */
static int skip_gap(struct events_log *log, stamp_t gap, struct fault *fault)
{
	int code;

	pthread_mutex_lock(&log->mutex);
	log->last = gap;
	log->last_ordinal = UINT32_MAX;
	pthread_mutex_unlock(&log->mutex);
	code = roll(log, gap, fault);
	if (code)
		return code;
	log_info("events", "a snapshot took the place of entries: events "
		 "begin anew after %" PRIu64, gap);
	pthread_mutex_lock(&log->mutex);
	while (log->segment_count > 1)
		drop_first(log);
	pthread_mutex_unlock(&log->mutex);
	return 0;
}

/* `before`: the stamp before its first event, if it is the first segment. */
static int roll(struct events_log *log, stamp_t before, struct fault *fault)
{
	struct segment segment = { .size = HEAD_SIZE };
	struct wire head = { 0 };
	char path[4096];
	int code;

	if (log->segment_count)
		segment.number = log->segments[log->segment_count - 1].number
				 + 1;
	segment.before = log->last ? log->last : before;
	if (log->fd >= 0) {
		fdatasync(log->fd);
		close(log->fd);
	}
	path_of(log, segment.number, path);
	log->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (log->fd < 0)
		return fault_set(fault, BERTH_IO, "make %s: %s", path,
				 strerror(errno));
	wire_put(&head, MAGIC, 8);
	wire_u64(&head, segment.before);
	code = head.failed ? fault_set(fault, BERTH_NOMEM, "events")
			   : write_all(log, 0, head.data, head.size, fault);
	wire_fini(&head);
	if (code) {
		unlink(path);
		close(log->fd);
		log->fd = -1;
		return code;
	}
	pthread_mutex_lock(&log->mutex);
	log->segments[log->segment_count++] = segment;
	drop_oldest(log);
	pthread_mutex_unlock(&log->mutex);
	return 0;
}

static bool is_new(const struct events_log *log, const struct event *e)
{
	if (e->stamp != log->last || !log->segment_count)
		return e->stamp > log->last;
	return e->ordinal > log->last_ordinal;
}

/* Events first..end (all of one segment) in one write. */
static int write_run(struct events_log *log, const struct event *first,
		     uint32_t count, struct fault *fault)
{
	struct segment *segment = &log->segments[log->segment_count - 1];
	struct wire w = { 0 };
	int code;

	for (uint32_t i = 0; i < count; i++)
		encode(&w, &first[i]);
	code = w.failed ? fault_set(fault, BERTH_NOMEM, "events")
			: write_all(log, segment->size, w.data, w.size, fault);
	if (code == 0) {
		pthread_mutex_lock(&log->mutex);
		segment->size += w.size;
		segment->count += count;
		log->count += count;
		log->last = first[count - 1].stamp;
		log->last_ordinal = first[count - 1].ordinal;
		pthread_mutex_unlock(&log->mutex);
	} else if (ftruncate(log->fd, (off_t)segment->size)) {
		log_warn("events", "cannot cut a failed write");
	}
	wire_fini(&w);
	return code;
}

static bool must_roll(const struct events_log *log, const struct event *e)
{
	return log->fd < 0 || (log->segments[log->segment_count - 1].count >=
				       log->segment_events &&
			       e->stamp != log->last);
}

int events_log_append(struct events_log *log, const struct event *events,
		      uint32_t count, struct fault *fault)
{
	uint32_t i = 0, end;
	int code = 0;

	while (i < count && !is_new(log, &events[i]))
		i++;
	while (i < count && code == 0) {
		if (!events[i].type) {
			if (events[i].stamp > log->last)
				code = skip_gap(log, events[i].stamp, fault);
			i++;
			continue;
		}
		if (must_roll(log, &events[i])) {
			code = roll(log, before_first(events[i].stamp),
				    fault);
			if (code)
				break;
		}
		/* To the end of the segment, and of the stamp there. */
		end = i + log->segment_events;
		if (end >= count)
			end = count;
		else
			while (end < count &&
			       events[end].stamp == events[end - 1].stamp)
				end++;
		for (uint32_t j = i; j < end; j++)
			if (!events[j].type)
				end = j;
		code = write_run(log, &events[i], end - i, fault);
		i = end;
	}
	return code;
}

/* --- reading -------------------------------------------------------------- */

struct reading {
	stamp_t since, last;
	uint32_t left;
	void (*each)(void *ctx, const struct event *e);
	void *ctx;
	bool full;
};

static void read_file(struct reading *reading, const struct wire *file)
{
	struct wire_reader r = { file->data, file->size, HEAD_SIZE, false };
	struct event e;

	while (!reading->full && decode(&r, &e)) {
		if (e.stamp <= reading->since)
			continue;
		if (!reading->left && e.stamp != reading->last) {
			reading->full = true;
			break;
		}
		if (reading->left)
			reading->left--;
		reading->last = e.stamp;
		reading->each(reading->ctx, &e);
	}
}

/* The segments that may hold events after `since`, copied under the lock. */
static int choose(struct events_log *log, stamp_t since, uint32_t limit,
		  struct segment **out, uint32_t *count, stamp_t *oldest)
{
	uint32_t first = 0, last, n = log->segment_count;
	uint64_t have = 0;

	*count = 0;
	*oldest = n ? log->segments[0].before : 0;
	if (since < *oldest)
		return BERTH_NOTFOUND;
	while (first + 1 < n && log->segments[first + 1].before <= since)
		first++;
	/* The first may give nothing; then enough to reach the limit. */
	for (last = first; last < n; last++) {
		if (last > first)
			have += log->segments[last].count;
		if (have > limit)
			break;
	}
	if (last < n)
		last++;
	*out = malloc((last - first + 1) * sizeof **out);
	if (!*out)
		return BERTH_NOMEM;
	memcpy(*out, log->segments + first,
	       (last - first) * sizeof **out);
	*count = last - first;
	return 0;
}

int events_log_read(struct events_log *log, stamp_t since, uint32_t limit,
		    void (*each)(void *ctx, const struct event *e), void *ctx,
		    stamp_t *oldest)
{
	struct reading reading = { .since = since, .left = limit,
				   .each = each, .ctx = ctx };
	struct segment *segments = NULL;
	uint32_t count;
	int code;

	pthread_mutex_lock(&log->mutex);
	code = choose(log, since, limit, &segments, &count, oldest);
	pthread_mutex_unlock(&log->mutex);
	for (uint32_t i = 0; i < count && !code && !reading.full; i++) {
		struct wire file = { 0 };
		char path[4096];

		path_of(log, segments[i].number, path);
		code = slurp(path, segments[i].size == UINT64_MAX
					   ? 0 : segments[i].size, &file);
		if (code == 0)
			read_file(&reading, &file);
		wire_fini(&file);
	}
	free(segments);
	return code;
}

stamp_t events_log_last(struct events_log *log)
{
	stamp_t last;

	pthread_mutex_lock(&log->mutex);
	last = log->last;
	pthread_mutex_unlock(&log->mutex);
	return last;
}
