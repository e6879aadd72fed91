/* The content store: verified item_content by its SHA-256, one file each under
 * DIRECTORY/content/ab/HASH. Written aside and renamed, so that a file that is
 * there is whole; read back, it is verified again. Blocking work runs in the
 * pool. Filled by intake, from peers on a miss, swept by state. */
#ifndef NODE_REPLICA_STORE_H
#define NODE_REPLICA_STORE_H

#include "node/replica/edge_internal.h"

#define STORE_CONTENT_SIZE_MAX (512u << 10)
#define STORE_SWEEP_AGE_S 600

int store_open(struct store **out, struct edge *edge, const char *directory,
	       struct fault *fault);
void store_close(struct store *store);

/* Any thread, blocking. Errors: MISMATCH (not the hash's bytes), TOOBIG, IO,
 * NOSPACE. Storing what is there is no error. */
MUST_CHECK int store_put(struct store *store, const struct hash *hash,
			 const void *data, size_t size, struct fault *fault);
/* Any thread, blocking. Gives malloc'd bytes. Errors: NOTFOUND, CORRUPT (the
 * file is removed), IO, NOMEM. */
MUST_CHECK int store_read(struct store *store, const struct hash *hash,
			  uint8_t **data, size_t *size);
bool store_has(struct store *store, const struct hash *hash);
/* Any thread, blocking: removes files older than STORE_SWEEP_AGE_S seconds
 * that `keep` does not want, and files left aside. Returns how many. */
uint32_t store_sweep(struct store *store, uint64_t age_s,
		     bool (*keep)(void *ctx, const struct hash *hash),
		     void *ctx);

/* On the loop: from disk, or else (unless `local_only`) from each peer in
 * turn. done once: 0 and bytes, NOTFOUND, or another code. */
struct store_get {
	struct hash hash;
	bool local_only;
	void *ctx;
	void (*done)(struct store_get *get, int code, const uint8_t *data,
		     size_t size);
	/* store.c's */
	struct store *store;
	uv_work_t work;
	uint8_t *data;
	size_t size;
	int code;
	uint32_t peer; /* the next one to ask */
};
void store_get(struct store *store, struct store_get *get);
/* Starts a sweep against the state in the pool. */
void store_sweep_start(struct store *store);

#endif
