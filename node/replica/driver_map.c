#include "node/replica/driver_map.h"

#include <stdlib.h>

static uint32_t home(const struct driver_map *map, const struct hash *key)
{
	uint64_t word;

	memcpy(&word, key->bytes + 8, sizeof word);
	word *= 0x9e3779b97f4a7c15u;
	return (uint32_t)(word >> 32) & (map->capacity - 1);
}

void driver__map_fini(struct driver_map *map)
{
	free(map->keys);
	free(map->values);
	memset(map, 0, sizeof *map);
}

/* Where the key is, or the empty place where it would go. */
static uint32_t place_of(const struct driver_map *map, const struct hash *key)
{
	uint32_t at = home(map, key);

	while (map->values[at] != DRIVER_MAP_NONE &&
	       !hash_equal(&map->keys[at], key))
		at = (at + 1) & (map->capacity - 1);
	return at;
}

uint32_t driver__map_find(const struct driver_map *map, const struct hash *key)
{
	if (map->count == 0)
		return DRIVER_MAP_NONE;
	return map->values[place_of(map, key)];
}

static void grow(struct driver_map *map)
{
	struct driver_map old = *map;
	uint32_t at;

	map->capacity = old.capacity == 0 ? 64 : old.capacity * 2;
	map->keys = calloc(map->capacity, sizeof *map->keys);
	map->values = malloc(map->capacity * sizeof *map->values);
	REQUIRE(map->keys != NULL && map->values != NULL);
	memset(map->values, 0xff, map->capacity * sizeof *map->values);
	for (uint32_t i = 0; i < old.capacity; i++) {
		if (old.values[i] == DRIVER_MAP_NONE)
			continue;
		at = place_of(map, &old.keys[i]);
		map->keys[at] = old.keys[i];
		map->values[at] = old.values[i];
	}
	driver__map_fini(&old);
}

void driver__map_add(struct driver_map *map, const struct hash *key,
		     uint32_t value)
{
	uint32_t at;

	REQUIRE(value != DRIVER_MAP_NONE);
	if ((map->count + 1) * 4 > map->capacity * 3)
		grow(map);
	at = place_of(map, key);
	REQUIRE(map->values[at] == DRIVER_MAP_NONE);
	map->keys[at] = *key;
	map->values[at] = value;
	map->count++;
}

/* Moves back what stood behind, so that no probe meets a gap. */
static void close_gap(struct driver_map *map, uint32_t gap)
{
	uint32_t mask = map->capacity - 1, at = gap, want;

	for (;;) {
		at = (at + 1) & mask;
		if (map->values[at] == DRIVER_MAP_NONE)
			break;
		want = home(map, &map->keys[at]);
		if (((at - want) & mask) < ((at - gap) & mask))
			continue;
		map->keys[gap] = map->keys[at];
		map->values[gap] = map->values[at];
		gap = at;
	}
	map->values[gap] = DRIVER_MAP_NONE;
}

void driver__map_remove(struct driver_map *map, const struct hash *key)
{
	uint32_t at;

	if (map->count == 0)
		return;
	at = place_of(map, key);
	if (map->values[at] == DRIVER_MAP_NONE)
		return;
	map->count--;
	close_gap(map, at);
}
