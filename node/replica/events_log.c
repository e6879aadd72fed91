/* Appending and reading; what is on disk is in events_log_disk.c. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/log.h"
#include "node/replica/events_log_internal.h"

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

	events_log__path(log, log->segments[0].number, path);
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
		log->segment_count == EVENTS_SEGMENTS_MAX))
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
	struct events_segment segment = { .size = EVENTS_HEAD_SIZE };
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
	events_log__path(log, segment.number, path);
	log->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (log->fd < 0)
		return fault_set(fault, BERTH_IO, "make %s: %s", path,
				 strerror(errno));
	wire_put(&head, EVENTS_MAGIC, 8);
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
	struct events_segment *segment = &log->segments[log->segment_count - 1];
	struct wire w = { 0 };
	int code;

	for (uint32_t i = 0; i < count; i++)
		events_log__encode(&w, &first[i]);
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
	struct wire_reader r = { file->data, file->size, EVENTS_HEAD_SIZE,
				 false };
	struct event e;

	while (!reading->full && events_log__decode(&r, &e)) {
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
		  struct events_segment **out, uint32_t *count, stamp_t *oldest)
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
	struct events_segment *segments = NULL;
	uint32_t count;
	int code;

	pthread_mutex_lock(&log->mutex);
	code = choose(log, since, limit, &segments, &count, oldest);
	pthread_mutex_unlock(&log->mutex);
	for (uint32_t i = 0; i < count && !code && !reading.full; i++) {
		struct wire file = { 0 };
		char path[4096];

		events_log__path(log, segments[i].number, path);
		code = events_log__slurp(path, segments[i].size == UINT64_MAX
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
