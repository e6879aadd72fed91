/* DIRECTORY/cache kept below cache_size_max: what was used longest ago goes
 * first, what runs need stays. */
#ifndef NODE_AGENT_CACHE_H
#define NODE_AGENT_CACHE_H

#include "node/agent/agent.h"

#define CACHE_KINDS 4u
extern const char *const cache_kinds[CACHE_KINDS]; /* its folders */

struct cache_entry {
	struct hash hash;  /* its name's first 64 digits */
	char path[320];    /* below DIRECTORY/cache */
	uint64_t size;     /* bytes on the disk */
	int64_t used_ns;   /* CLOCK_REALTIME */
};
struct cache_list {
	struct cache_entry *rows;
	uint32_t count, capacity;
	uint64_t size;
};

/* It is used now. */
void cache_touch(const char *path);

/* What is there, oldest use first. Blocks: call it in the pool. */
void cache_list(const char *directory, struct cache_list *out);
void cache_list_fini(struct cache_list *list);

/* Hashes of what must stay. */
struct cache_pins {
	struct hash *rows;
	uint32_t count, capacity;
	bool failed;       /* some are not known: nothing may go */
};
void cache_pin(struct cache_pins *pins, const struct hash *hash);
void cache_pin_text(struct cache_pins *pins, const char *text);
/* A path whose last name begins with a hash. */
void cache_pin_path(struct cache_pins *pins, const char *path);
void cache_pins_fini(struct cache_pins *pins);

/* Moves the oldest that are not pinned to DIRECTORY/cache/gone until the rest
 * fits; how many bytes went. Quick: names only. */
uint64_t cache_evict(const char *directory, const struct cache_list *list,
		     const struct cache_pins *pins, uint64_t size_max);
/* Deletes DIRECTORY/cache/gone. Blocks. */
void cache_sweep(const char *directory);

#endif
