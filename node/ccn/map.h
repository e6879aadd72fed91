/* Texts to pointers: open addressing under a seed of the process's own, so
 * that nobody can choose hashes that collide. Entries are never removed. Keys
 * are borrowed and must outlive the map. */
#ifndef NODE_CCN_MAP_H
#define NODE_CCN_MAP_H

#include "fsm/base.h"

struct map_entry {
	const char *key; /* NULL: free */
	void *value;
};

struct map {
	struct map_entry *entries;
	size_t count, capacity;
	uint64_t seed;
};

void map_init(struct map *map);
void map_fini(struct map *map);
void *map_find(const struct map *map, const char *key); /* or NULL */
/* Sets or replaces (the new key is borrowed then, too). Errors: NOMEM. */
MUST_CHECK int map_put(struct map *map, const char *key, void *value);

#endif
