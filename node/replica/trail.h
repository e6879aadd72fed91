/* The audit trail: every applied entry with its results, hash-chained, in
 * segment files that are dropped whole, the oldest first. It is what `berth
 * audit export` gives away; deploy/AUDIT.md describes each byte.
 *
 *	h = SHA-256(h before, index, term, results, bytes)
 *
 * The chain begins with the cluster (its name) or with an *anchor*: a state
 * that is to be taken as given, because what led to it is not here. Entries
 * that the log gives again after a restart are compared and skipped. A torn
 * end is cut. All calls may block: one thread writes, others may read.
 */
#ifndef NODE_REPLICA_TRAIL_H
#define NODE_REPLICA_TRAIL_H

#include "fsm/fsm.h"
#include "raft/fault.h"

struct trail;

#define TRAIL_SEGMENT_SIZE (64u << 20)
#define TRAIL_PAGE_SIZE (4u << 20) /* about as much as one read gives */

/* Borrowed while the trail is opened. */
struct trail_config {
	const char *directory; /* segments go to its "audit", made if missing */
	const char *cluster;
	uint64_t id;           /* of the replica, told only */
	uint64_t size;         /* of all segments together, about; not 0 */
};

struct trail_entry {
	uint64_t index, term;
	const uint8_t *results; /* a refusal's code for each command */
	uint32_t result_count;
	const void *data;
	size_t size;
};

/* Reads the newest segment to its last whole record; writes nothing yet, for
 * another process may still have the directory. A damaged segment is told in
 * the log and stops nobody: an older one is left as it is and left out, before
 * a newest one the trail goes on and puts it aside. Errors: IO (no directory),
 * NOMEM, CORRUPT (all that can be read is of another cluster). */
MUST_CHECK int trail_open(struct trail **out, const struct trail_config *config,
			  struct fault *fault);
/* Makes all durable. */
void trail_close(struct trail *trail);

/* --- the writing thread -------------------------------------------------- */

/* Adds an entry to what trail_flush writes. One that cannot follow what is
 * here is left out, and trail_wants tells. */
void trail_append(struct trail *trail, const struct trail_entry *entry);
/* What follows is not of the log that is here: nothing is written until there
 * is an anchor, which begins the chain anew. */
void trail_break(struct trail *trail, const char *why);
/* A state after the entry at `index`: begins a segment where the newest is
 * full, or the chain anew where entries are missing, of which `why` tells; else
 * nothing. Flushes. Errors as trail_flush's. */
MUST_CHECK int trail_anchor(struct trail *trail, uint64_t index,
			    const struct fsm_view *view, const char *why,
			    struct fault *fault);
/* Errors: IO, NOSPACE, NOMEM; then nothing of it was written, and the chain
 * begins anew with the next anchor. */
MUST_CHECK int trail_flush(struct trail *trail, struct fault *fault);
MUST_CHECK int trail_sync(struct trail *trail, struct fault *fault);
/* It cannot go on (or should not, in this segment) without an anchor. */
bool trail_wants(const struct trail *trail);
/* Nothing is written until there is one. */
bool trail_broken(const struct trail *trail);

/* --- any thread ----------------------------------------------------------- */

struct trail_status {
	uint64_t first, last; /* indexes; 0: nothing is recorded */
	struct hash head;     /* the chain's, at `last` */
	uint64_t size;
	uint32_t segments;
};
void trail_status(struct trail *trail, struct trail_status *out);

/* Where reading goes on. */
struct trail_place {
	uint64_t segment, offset;
};
/* Of the newest segment that begins at `since` or before, else the oldest. */
struct trail_place trail_find(struct trail *trail, uint64_t since);
/* About TRAIL_PAGE_SIZE bytes from `place`, which moves on, malloced; at the
 * end of the trail with a record that tells it, and *end. Errors: NOTFOUND
 * (that segment is gone), IO, NOMEM. */
MUST_CHECK int trail_read(struct trail *trail, struct trail_place *place,
			  uint8_t **out, size_t *size, bool *end);

#endif
