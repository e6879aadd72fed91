/* The log in memory: what the core does not keep and must be sent, written or
 * applied. A ring of entries with consecutive indexes. */
#ifndef RAFT_CACHE_H
#define RAFT_CACHE_H

#include "raft/wal.h"

struct cache {
	struct log_entry **ring;
	size_t capacity, head, count;
	uint64_t start; /* index of the first; where the next goes if empty */
};

/* Gives an entry with one reference, or NULL. `data` may be NULL. */
struct log_entry *entry_new(uint8_t type, uint64_t index, uint64_t term,
			    const void *data, size_t size);
struct log_entry *entry_take(struct log_entry *entry);
void entry_give(struct log_entry *entry);

void cache_reset(struct cache *cache, uint64_t start);
void cache_fini(struct cache *cache);
/* Takes the reference. Errors: NOMEM. */
MUST_CHECK int cache_append(struct cache *cache, struct log_entry *entry);
/* Forgets everything from index on. */
void cache_cut(struct cache *cache, uint64_t index);
/* Forgets everything below index. */
void cache_drop(struct cache *cache, uint64_t index);
/* NULL: not here. Borrowed. */
struct log_entry *cache_find(const struct cache *cache, uint64_t index);
uint64_t cache_last(const struct cache *cache); /* start - 1 when empty */

#endif
