/* The events of a replica on disk: what applied entries did, in order, in
 * segment files that are dropped whole, the oldest first.
 *
 * An event's place is its stamp; one command may do several things, told apart
 * by `ordinal`. Effects that the log gives again after a restart are known by
 * (stamp, ordinal) and skipped. A torn end is cut. All calls may block: one
 * thread appends, others may read at the same time.
 */
#ifndef NODE_REPLICA_EVENTS_LOG_H
#define NODE_REPLICA_EVENTS_LOG_H

#include "fsm/fsm.h"
#include "raft/fault.h"

struct events_log;

struct event {
	enum fsm_effect_type type;
	stamp_t stamp;
	uint32_t ordinal; /* counts from 0 within a stamp */
	uint64_t gen, c_ms, wall_ms;
	struct hash program, crn;
	stamp_t epoch, session;
	struct text reason;
};

#define EVENTS_SEGMENT 16384u     /* events a segment */
#define EVENTS_KEEP (1u << 20)    /* at least so many are kept */

/* Errors: IO, NOMEM, CORRUPT (a file of ours that has another head). */
MUST_CHECK int events_log_open(struct events_log **out, const char *directory,
			       uint32_t segment, uint64_t keep,
			       struct fault *fault);
void events_log_close(struct events_log *log);

/* Appends those that are new, in order. One of type 0 is a gap: what happened
 * up to its stamp was not seen, so what is older is not kept. Errors: IO,
 * NOSPACE: then the rest of the batch is lost and the file ends with a whole
 * event. */
MUST_CHECK int events_log_append(struct events_log *log,
				 const struct event *events, uint32_t count,
				 struct fault *fault);

/* Calls back with the events after `since`, at least `limit` of them where
 * there are so many, and whole stamps always. *oldest: the smallest `since`
 * that is answered. Errors: NOTFOUND (compacted: since < *oldest), IO. */
MUST_CHECK int events_log_read(struct events_log *log, stamp_t since,
			       uint32_t limit,
			       void (*each)(void *ctx, const struct event *e),
			       void *ctx, stamp_t *oldest);
stamp_t events_log_last(struct events_log *log); /* 0: none */

#endif
