/* The run table: what may be running, on disk (lease.md 2.6).
 *
 * Fixed slots in one file. A row is made durable before anything of the run
 * exists and cleared only after it is verified dead. Process ids are written
 * later without a flush: they are of use to this kernel's life only, in which
 * the page cache does not forget. A row that is cleared need not be flushed
 * either: it comes back only by a power cut, and then names another boot.
 */
#ifndef NODE_AGENT_RUN_TABLE_H
#define NODE_AGENT_RUN_TABLE_H

#include "raft/fault.h"

struct run_row {
	struct hash program, lineage;
	uint64_t gen;
	stamp_t epoch;
	uint64_t code_revision, memory_mib, disk_mib;
	uint32_t vcpus;
	uint8_t hold;
	uint8_t in_cgroup; /* it was created in cgroup slot `slot` */
	uint8_t pad[2];
	uint8_t kernel_boot[16];
	uint64_t pid_namespace;
	/* 0 until they are known; without them no program was let go. */
	uint32_t launcher, init;
	uint64_t launcher_start, init_start;
	uint64_t cgroup; /* id of its group; 0: none, or not known */
};

/* What outlives the fencer besides rows: the kernel that last used the table,
 * the latest deadline handed to launchers, and R15's memory. */
struct run_table_head {
	uint8_t kernel_boot[16];
	struct hash boot;
	uint64_t deadline_ns; /* CLOCK_BOOTTIME of that kernel */
	uint64_t gen;
	stamp_t prev_max;     /* of this gen and boot */
	uint64_t cgroup_root; /* id of the group over all rows' groups; 0: some
			       * row has none, or one elsewhere */
};

struct run_table {
	int fd;
};

/* Makes the file, whole, if it is not there. Errors: IO, NOSPACE, CORRUPT
 * (another file's size). */
MUST_CHECK int run_table_open(struct run_table *table, int directory,
			      struct fault *fault);
void run_table_close(struct run_table *table);
/* Errors: NOTFOUND (never written), CORRUPT, IO. */
MUST_CHECK int run_table_head_read(const struct run_table *table,
				   struct run_table_head *out);
MUST_CHECK int run_table_head_write(const struct run_table *table,
				    const struct run_table_head *head,
				    bool durable);
/* Errors: NOTFOUND (free), CORRUPT (torn), IO. */
MUST_CHECK int run_table_read(const struct run_table *table, uint32_t slot,
			      struct run_row *out);
/* Errors: IO; errno tells. */
MUST_CHECK int run_table_write(const struct run_table *table, uint32_t slot,
			       const struct run_row *row, bool durable);
MUST_CHECK int run_table_clear(const struct run_table *table, uint32_t slot);

#endif
