/* The agent's end of the fencer's socket: asks, answers, events, and comes
 * back by itself when the fencer does.
 *
 * Requests wait in a queue and go one at a time, in order. What the fencer may
 * do is in fencer_wire.h; nothing here decides.
 */
#ifndef NODE_AGENT_FENCER_CLIENT_H
#define NODE_AGENT_FENCER_CLIENT_H

#include <uv.h>

#include "node/agent/fencer_wire.h"
#include "raft/fault.h"

struct fencer_client;

struct fencer_client_events {
	void (*up)(void *ctx);
	/* The fencer is gone: every open request was answered before. */
	void (*down)(void *ctx);
	void (*event)(void *ctx, const struct fencer_answer *event);
};

/* `answer` is NULL when the fencer went away before it answered. `rows` are
 * the bytes of the memfd that came along; borrowed until this returns. */
typedef void (*fencer_done)(void *ctx, const struct fencer_answer *answer,
			    const void *rows, size_t size);

struct fencer_ask {
	enum fencer_request_type type;
	struct hash program;
	uint64_t gen;
	stamp_t epoch;
	uint32_t grace_ms;
	const void *data; /* long bytes, copied into a memfd */
	size_t size;
	int descriptors[3]; /* START; copied, the caller keeps its own */
	uint32_t descriptor_count;
	fencer_done done;
	void *ctx;
};

/* Begins to connect to the socket at `path`, again and again until closed. */
MUST_CHECK int fencer_client_open(struct fencer_client **out, uv_loop_t *loop,
				  const char *path,
				  const struct fencer_client_events *events,
				  void *ctx, struct fault *fault);
/* Open requests are answered with NULL first. */
void fencer_client_close(struct fencer_client *client);
/* Errors: CLOSED (not connected), NOMEM, BUSY (queue full), IO. done is not
 * called then. */
MUST_CHECK int fencer_client_ask(struct fencer_client *client,
				 const struct fencer_ask *ask);

#endif
