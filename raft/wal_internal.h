/* What the two files of the log share: its layout and its segments. Read wal.h
 * first. */
#ifndef RAFT_WAL_INTERNAL_H
#define RAFT_WAL_INTERNAL_H

#include "raft/wal.h"

#define WAL_FLAG_RESET 1u

struct wal_head {
	uint64_t prev_index, prev_term, prev_end;
	uint32_t flags;
};

struct wal_record {
	uint64_t index, term, batch;
	uint32_t size;
	uint8_t type;
	const uint8_t *data;
};

void wal__name(char name[32], uint64_t number);
size_t wal__padded(size_t size);
uint32_t wal__salt(const struct wal *wal, uint64_t number);
/* False: no head of this segment. */
bool wal__head_decode(const uint8_t *in, size_t size, uint64_t number,
		      uint32_t salt, struct wal_head *head);
/* False: no record of this segment. out->data points into `in`. */
bool wal__record_decode(const uint8_t *in, uint64_t left, uint32_t salt,
			struct wal_record *out);
struct wal_segment *wal__last(struct wal *wal); /* NULL: none */
/* Lists a segment as the last one. Errors: NOMEM. */
MUST_CHECK int wal__add(struct wal *wal, uint64_t number);
/* Syncs, and begins a segment with room for a record of `need` bytes. */
MUST_CHECK int wal__next(struct wal *wal, size_t need);

#endif
