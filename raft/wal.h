/* The log on disk: numbered segments, overwritten in place, CRC-32C a record.
 *
 * Blocking; used by one job at a time (the log lane) and by open. Layout,
 * torn tails and corruption are explained in wal.c. Read raft/io.h first.
 */
#ifndef RAFT_WAL_H
#define RAFT_WAL_H

#include "raft/fault.h"
#include "raft/io.h"

#define WAL_SEGMENT_SIZE (64u << 20)
#define WAL_RECORD_HEAD 40u
#define WAL_SEGMENT_HEAD 64u

/* An entry in memory; shared by reference count, counted on the loop only. */
struct log_entry {
	uint32_t refs;
	uint8_t type; /* as libraft numbers them */
	uint64_t index, term;
	size_t size;
	uint8_t data[];
};

struct wal_segment {
	uint64_t number, last; /* highest index that was ever in it */
	uint64_t end;          /* bytes used */
};

struct wal {
	const struct replica_files *files;
	uint8_t disk_id[16];
	uint64_t segment_size;
	struct wal_segment *segments;
	uint32_t count, capacity;
	void *file; /* the last segment's */
	uint32_t salt;
	uint64_t allocated;
	uint64_t last_index, last_term;
	uint8_t *buffer; /* records not written yet; they go to `end` */
	size_t used, room;
	uint64_t batch; /* where the present batch begins in the segment */
};

/* What a replay tells, in order. */
struct wal_replay {
	void *ctx;
	/* The log begins behind prev; whatever was told before is void. */
	void (*begin)(void *ctx, uint64_t prev_index, uint64_t prev_term);
	/* Everything from index on is void. */
	void (*cut)(void *ctx, uint64_t index);
	int (*entry)(void *ctx, uint64_t index, uint64_t term, uint8_t type,
		     const uint8_t *data, size_t size);
};

/* Reads all segments. A torn tail is cut. Errors: CORRUPT with file and
 * offset, IO, NOMEM. Then the log is ready for wal_put, if it holds anything;
 * an empty one needs wal_reset. */
MUST_CHECK int wal_open(struct wal *wal, const struct replica_files *files,
			const uint8_t disk_id[16], uint64_t segment_size,
			const struct wal_replay *replay, struct fault *fault);
void wal_close(struct wal *wal);
/* Voids everything; the next entry follows prev. Durable on return. */
MUST_CHECK int wal_reset(struct wal *wal, uint64_t prev_index,
			 uint64_t prev_term);
/* Adds an entry; one whose index is not above the last cuts the log there.
 * Durable after wal_sync only. */
MUST_CHECK int wal_put(struct wal *wal, const struct log_entry *entry);
MUST_CHECK int wal_sync(struct wal *wal);
/* Removes whole segments that hold nothing from index `first` on. */
MUST_CHECK int wal_drop(struct wal *wal, uint64_t first);

#endif
