#include "node/ccn/map.h"

#include <stdlib.h>

#include "node/lib/crypto.h"

#define CAPACITY_FIRST 64u

void map_init(struct map *map)
{
	memset(map, 0, sizeof *map);
	crypto_random(&map->seed, sizeof map->seed);
}

void map_fini(struct map *map)
{
	free(map->entries);
	memset(map, 0, sizeof *map);
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15u;
	return h ^ h >> 29;
}

static size_t slot_of(const struct map *map, const char *key)
{
	uint64_t h = map->seed;
	size_t i;

	for (const char *c = key; *c; c++)
		h = mix(h ^ (uint8_t)*c);
	i = (size_t)h & (map->capacity - 1);
	while (map->entries[i].key && strcmp(map->entries[i].key, key) != 0)
		i = (i + 1) & (map->capacity - 1);
	return i;
}

void *map_find(const struct map *map, const char *key)
{
	if (map->capacity == 0)
		return NULL;
	return map->entries[slot_of(map, key)].value;
}

static int grow(struct map *map)
{
	struct map old = *map;
	size_t capacity = old.capacity ? 2 * old.capacity : CAPACITY_FIRST;
	struct map_entry *entries = calloc(capacity, sizeof *entries);

	if (!entries)
		return BERTH_NOMEM;
	map->entries = entries;
	map->capacity = capacity;
	for (size_t i = 0; i < old.capacity; i++)
		if (old.entries[i].key)
			entries[slot_of(map, old.entries[i].key)] =
				old.entries[i];
	free(old.entries);
	return BERTH_OK;
}

int map_put(struct map *map, const char *key, void *value)
{
	size_t i;
	int rc;

	if (4 * (map->count + 1) > 3 * map->capacity) {
		rc = grow(map);
		if (rc != BERTH_OK)
			return rc;
	}
	i = slot_of(map, key);
	map->count += !map->entries[i].key;
	map->entries[i] = (struct map_entry){ key, value };
	return BERTH_OK;
}
