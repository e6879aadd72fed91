/* The snapshot store: one file a snapshot, written aside, synced, renamed, the
 * directory synced. Blocking: jobs of the slow lane, and open. */
#ifndef RAFT_SNAPSHOT_H
#define RAFT_SNAPSHOT_H

#include "raft/members.h"

struct snapshot_meta {
	uint64_t index, term, conf_index;
	struct members members;
};

#define SNAPSHOT_NAME_SIZE 64u
void snapshot_name(char name[SNAPSHOT_NAME_SIZE], uint64_t index,
		   uint64_t term);
void snapshot_staging_name(char name[SNAPSHOT_NAME_SIZE], uint64_t index,
			   uint64_t term);

/* Writes what machine->snapshot_write gives. Errors: IO, NOSPACE, NOMEM;
 * CLOSED: the machine gave up. */
MUST_CHECK int snapshot_store(const struct replica_files *files,
			      const struct snapshot_meta *meta,
			      const struct replica_machine *machine,
			      void *view, struct fault *fault);
/* Reads and verifies; gives the uncompressed bytes, to be freed. Errors:
 * CORRUPT with the file, IO, NOMEM. `data` NULL: verifies only. */
MUST_CHECK int snapshot_load(const struct replica_files *files,
			     const char *name, struct snapshot_meta *meta,
			     uint8_t **data, size_t *size,
			     struct fault *fault);
/* The newest snapshot by name; NOTFOUND if there is none. */
MUST_CHECK int snapshot_newest(const struct replica_files *files,
			       uint64_t *index, uint64_t *term);
/* Removes snapshots and staging files below `keep`, and what was written
 * aside and never finished. */
int snapshot_sweep(const struct replica_files *files, uint64_t keep);

/* machine->restore's source, over memory. */
struct snapshot_source {
	const uint8_t *at;
	size_t left;
};
bool snapshot_source_read(void *ctx, void *data, size_t size);

#endif
