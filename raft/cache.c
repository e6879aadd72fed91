#include "raft/cache.h"

#include <stdlib.h>

struct log_entry *entry_new(uint8_t type, uint64_t index, uint64_t term,
			    const void *data, size_t size)
{
	struct log_entry *entry = malloc(sizeof *entry + size);

	if (!entry)
		return NULL;
	entry->refs = 1;
	entry->type = type;
	entry->index = index;
	entry->term = term;
	entry->size = size;
	if (size && data)
		memcpy(entry->data, data, size);
	return entry;
}

struct log_entry *entry_take(struct log_entry *entry)
{
	entry->refs++;
	return entry;
}

void entry_give(struct log_entry *entry)
{
	if (entry && --entry->refs == 0)
		free(entry);
}

static struct log_entry **slot(const struct cache *cache, size_t i)
{
	return &cache->ring[(cache->head + i) & (cache->capacity - 1)];
}

static int grow(struct cache *cache)
{
	size_t capacity = cache->capacity ? cache->capacity * 2 : 64, i;
	struct log_entry **ring = calloc(capacity, sizeof *ring);

	if (!ring)
		return BERTH_NOMEM;
	for (i = 0; i < cache->count; i++)
		ring[i] = *slot(cache, i);
	free(cache->ring);
	cache->ring = ring;
	cache->capacity = capacity;
	cache->head = 0;
	return 0;
}

void cache_reset(struct cache *cache, uint64_t start)
{
	if (cache->count)
		cache_cut(cache, cache->start);
	cache->start = start;
}

void cache_fini(struct cache *cache)
{
	cache_reset(cache, 1);
	free(cache->ring);
	memset(cache, 0, sizeof *cache);
}

int cache_append(struct cache *cache, struct log_entry *entry)
{
	if (cache->count == cache->capacity && grow(cache))
		return BERTH_NOMEM;
	*slot(cache, cache->count++) = entry;
	return 0;
}

uint64_t cache_last(const struct cache *cache)
{
	return cache->start + cache->count - 1;
}

void cache_cut(struct cache *cache, uint64_t index)
{
	while (cache->count && cache_last(cache) >= index)
		entry_give(*slot(cache, --cache->count));
}

void cache_drop(struct cache *cache, uint64_t index)
{
	while (cache->count && cache->start < index) {
		entry_give(*slot(cache, 0));
		cache->head = (cache->head + 1) & (cache->capacity - 1);
		cache->count--;
		cache->start++;
	}
	if (!cache->count && cache->start < index)
		cache->start = index;
}

struct log_entry *cache_find(const struct cache *cache, uint64_t index)
{
	if (index < cache->start || index - cache->start >= cache->count)
		return NULL;
	return *slot(cache, (size_t)(index - cache->start));
}
