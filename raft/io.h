/* What the replica engine is given: time, chance, files and links.
 *
 * The real ones are node/lib/replica_io.[ch]; the simulator has its own. File
 * calls that may wait are asynchronous: a request is queued and completed by
 * its callback, on the loop, in the order of their submission.
 */
#ifndef RAFT_IO_H
#define RAFT_IO_H

#include "fsm/base.h"

#define REPLICA_FRAME_SIZE_MAX (8u << 20)

struct replica_job {
	/* Set by the engine; run off the loop (real) or by the simulator. */
	int (*run)(struct replica_job *job);
	void (*done)(struct replica_job *job, int code);
	struct replica_job *next; /* the executor's */
};

struct replica_part {
	const void *data;
	size_t size;
};

/* Files of one directory, by plain names. Blocking; called from jobs, and on
 * the loop only in bootstrap and open, before the loop matters. Handles are
 * the implementation's. Errors: IO, NOSPACE, NOTFOUND, EXISTS, BUSY. */
struct replica_files {
	void *ctx;
	int (*open)(void *ctx, const char *name, bool create, void **file);
	void (*close)(void *ctx, void *file);
	int (*size)(void *ctx, void *file, uint64_t *size);
	/* Whole or an error. A read past the end gives *got < size. */
	int (*read)(void *ctx, void *file, uint64_t offset, void *data,
		    size_t size, size_t *got);
	int (*write)(void *ctx, void *file, uint64_t offset, const void *data,
		     size_t size);
	int (*allocate)(void *ctx, void *file, uint64_t size);
	int (*truncate)(void *ctx, void *file, uint64_t size);
	int (*sync)(void *ctx, void *file);
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*remove)(void *ctx, const char *name);
	int (*sync_directory)(void *ctx);
	/* Calls back for each name, in byte order. */
	int (*list)(void *ctx, void (*each)(void *each_ctx, const char *name),
		    void *each_ctx);
	/* Excludes other processes until close; BUSY if one is there. */
	int (*lock)(void *ctx);
};

struct replica_io {
	void *ctx;
	uint64_t (*now_ms)(void *ctx); /* monotonic */
	uint64_t (*random)(void *ctx);
	/* replica_next_ms may have moved; called on the loop. */
	void (*wake)(void *ctx);
	/* Two lanes: log jobs run one after another; slow jobs (snapshots,
	 * reading for a transfer) beside them, also one after another. */
	void (*submit_log)(void *ctx, struct replica_job *job);
	void (*submit_slow)(void *ctx, struct replica_job *job);
	/* Sends a frame, copied from the parts; false: the link is down or
	 * clogged and the frame is dropped. */
	bool (*link_send)(void *ctx, uint64_t id,
			  const struct replica_part *parts, uint32_t count);
	/* Bytes that wait to be sent to the peer. */
	size_t (*link_queued)(void *ctx, uint64_t id);
	void (*link_drop)(void *ctx, uint64_t id, const char *why);
	/* For the operator; level as in syslog. May be NULL. */
	void (*log)(void *ctx, int level, const char *text);
	struct replica_files files;
};

#endif
