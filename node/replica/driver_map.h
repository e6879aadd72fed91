/* A small map from hash to index, for the driver's tables. Open addressing;
 * never iterated, so its order cannot matter. */
#ifndef NODE_REPLICA_DRIVER_MAP_H
#define NODE_REPLICA_DRIVER_MAP_H

#include "fsm/base.h"

#define DRIVER_MAP_NONE UINT32_MAX

struct driver_map {
	struct hash *keys;
	uint32_t *values; /* DRIVER_MAP_NONE: empty */
	uint32_t capacity, count;
};

void driver__map_fini(struct driver_map *map);
uint32_t driver__map_find(const struct driver_map *map,
			  const struct hash *key);
/* The key must not be there yet. */
void driver__map_add(struct driver_map *map, const struct hash *key,
		     uint32_t value);
void driver__map_remove(struct driver_map *map, const struct hash *key);

#endif
