/* The world for the replica engine: files of a real directory, two lanes of
 * jobs (a thread each), time and chance, on a libuv loop. Links are the
 * caller's, through hooks. Read raft/io.h first.
 */
#ifndef NODE_LIB_REPLICA_IO_H
#define NODE_LIB_REPLICA_IO_H

#include <uv.h>

#include "raft/fault.h"
#include "raft/io.h"

/* The caller's part; as the members of struct replica_io of the same name,
 * each called on the loop with the ctx given to node_io_open. */
struct node_io_hooks {
	void (*wake)(void *ctx);
	bool (*link_send)(void *ctx, uint64_t id,
			  const struct replica_part *parts, uint32_t count);
	size_t (*link_queued)(void *ctx, uint64_t id);
	void (*link_drop)(void *ctx, uint64_t id, const char *why);
};

struct node_io;

/* Opens the directory (made, mode 0700, if its parent exists) and starts the
 * lanes. Fills `out`, which is good until node_io_close. Borrows loop, hooks
 * and ctx. Errors: IO, NOMEM, NOTFOUND. */
MUST_CHECK int node_io_open(struct node_io **out_io, uv_loop_t *loop,
			    const char *directory,
			    const struct node_io_hooks *hooks, void *ctx,
			    struct replica_io *out, struct fault *fault);

/* On the loop, when no job is in flight (after replica_close has called back,
 * or replica_open failed). Ends the lanes, releases the directory's lock; the
 * memory goes with the loop's last handle. */
void node_io_close(struct node_io *io);

#endif
