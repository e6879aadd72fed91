/* What the files of the events log share. Read events_log.h first. */
#ifndef NODE_REPLICA_EVENTS_LOG_INTERNAL_H
#define NODE_REPLICA_EVENTS_LOG_INTERNAL_H

#include <pthread.h>

#include "node/replica/events_log.h"
#include "node/replica/relay_wire.h"

#define EVENTS_MAGIC "BRTHEVT1"
#define EVENTS_HEAD_SIZE 16u
#define EVENTS_SEGMENTS_MAX 4096u

struct events_segment {
	uint64_t number, size;
	stamp_t before; /* the last stamp before its first event */
	uint32_t count;
};

struct events_log {
	pthread_mutex_t mutex;
	char directory[3800];
	uint32_t segment_events, segment_count;
	uint64_t keep, count;
	struct events_segment segments[EVENTS_SEGMENTS_MAX];
	stamp_t last;
	uint32_t last_ordinal;
	int fd; /* of the newest segment, -1: none */
};

void events_log__path(const struct events_log *log, uint64_t number,
		      char path[4096]);
/* Appends the record of an event; a failure stays in w. */
void events_log__encode(struct wire *w, const struct event *e);
/* The record at r; false at the end, or where bytes are no record. The reason
 * points into r. */
bool events_log__decode(struct wire_reader *r, struct event *out);
/* Reads a file's first `size` bytes (0: all of it) into `out`, which the
 * caller frees, after an error as well. Errors: IO. */
MUST_CHECK int events_log__slurp(const char *path, uint64_t size,
				 struct wire *out);

#endif
