/* An append-only file of records, each durable before it is acknowledged.
 *
 * Head "berth-ccn 1\n", then records: mark, size, 8 bytes of the sha256 of
 * (offset, size, payload), payload. A bad record after which no good one
 * follows is the tail that a crash tore: it is cut, and said so. One that is
 * followed by a good one is damage: refused with the offset.
 *
 * fdatasync is called on the caller's thread: this is a small tool for one
 * machine, and its loop may wait for its disk.
 */
#ifndef NODE_CCN_JOURNAL_H
#define NODE_CCN_JOURNAL_H

#include "raft/fault.h"

#define JOURNAL_PAYLOAD_SIZE_MAX (4u << 20)

struct journal {
	char *path;
	int fd;
	uint64_t end; /* where the next record goes */
	bool broken;  /* what the disk holds is not known: no more appends */
};

/* Opens or makes, and replays each record in order. `take` returns 0 or an
 * error that ends the opening. `cut` (may be NULL) gets the bytes that were
 * cut. Errors: IO, CORRUPT, NOMEM, and take's. */
MUST_CHECK int journal_open(struct journal *journal, const char *path,
			    int (*take)(void *ctx, const char *payload,
					size_t size, struct fault *fault),
			    void *ctx, uint64_t *cut, struct fault *fault);
/* Durable on return. Errors: NOSPACE or IO (nothing was added), TOOBIG; after
 * a failed sync the journal is broken and every append is refused. */
MUST_CHECK int journal_append(struct journal *journal, const void *payload,
			      size_t size, struct fault *fault);
void journal_close(struct journal *journal);

#endif
