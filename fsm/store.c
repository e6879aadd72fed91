#include "fsm/store.h"

#include <stdlib.h>

#define INDEX_CAPACITY_MIN 16u
#define POOL_DEAD_MIN 65536u

void *fsm__grow(void *array, uint32_t *capacity, uint32_t need, size_t size)
{
	uint32_t grown = *capacity ? *capacity : 16;
	uint8_t *out;

	if (need <= *capacity)
		return array;
	REQUIRE(need <= UINT32_MAX / 2);
	while (grown < need)
		grown += grown / 2;
	out = realloc(array, grown * size);
	REQUIRE(out);
	memset(out + *capacity * size, 0, (grown - *capacity) * size);
	*capacity = grown;
	return out;
}

void *fsm__copy(const void *data, size_t size)
{
	void *out;

	if (size == 0)
		return NULL;
	out = malloc(size);
	REQUIRE(out);
	memcpy(out, data, size);
	return out;
}

static uint64_t scramble(uint64_t x)
{
	x ^= x >> 29;
	x *= UINT64_C(0x8ebc6af09c88c6e3);
	x ^= x >> 32;
	x *= UINT64_C(0x589965cc75374cc3);
	return x ^ x >> 29;
}

/* Eight bytes as a little-endian number, whatever the machine. */
static uint64_t word_at(const uint8_t *at)
{
	uint64_t word = 0;

	for (unsigned int i = 0; i < 8; i++)
		word |= (uint64_t)at[i] << (8 * i);
	return word;
}

uint64_t fsm__mix(uint64_t seed, const void *data, size_t size)
{
	const uint8_t *at = data;
	uint64_t sum = scramble(seed ^ size);
	uint8_t tail[8] = {0};

	for (; size >= 8; size -= 8, at += 8)
		sum = scramble(sum ^ word_at(at)) + UINT64_C(0x9e3779b97f4a7c15);
	if (size > 0) {
		memcpy(tail, at, size);
		sum = scramble(sum ^ word_at(tail));
	}
	return scramble(sum);
}

/* --- index --------------------------------------------------------------- */

uint32_t fsm__index_find(const struct index *index, uint64_t hash,
			 index_match match, const void *ctx, const void *key)
{
	uint32_t mask = index->capacity - 1, tag = (uint32_t)(hash >> 32);

	if (index->count == 0)
		return ID_NONE;
	for (uint32_t i = tag & mask; index->values[i]; i = (i + 1) & mask)
		if (index->tags[i] == tag &&
		    match(ctx, index->values[i] - 1, key))
			return index->values[i] - 1;
	return ID_NONE;
}

static void index_place(struct index *index, uint32_t tag, uint32_t value)
{
	uint32_t mask = index->capacity - 1, i = tag & mask;

	while (index->values[i])
		i = (i + 1) & mask;
	index->tags[i] = tag;
	index->values[i] = value;
}

static void index_widen(struct index *index)
{
	struct index old = *index;

	index->capacity = old.capacity ? old.capacity * 2 : INDEX_CAPACITY_MIN;
	index->tags = calloc(index->capacity, sizeof *index->tags);
	index->values = calloc(index->capacity, sizeof *index->values);
	REQUIRE(index->tags && index->values);
	for (uint32_t i = 0; i < old.capacity; i++)
		if (old.values[i])
			index_place(index, old.tags[i], old.values[i]);
	fsm__index_fini(&old);
}

void fsm__index_add(struct index *index, uint64_t hash, uint32_t value)
{
	if ((uint64_t)(index->count + 1) * 4 > (uint64_t)index->capacity * 3)
		index_widen(index);
	index_place(index, (uint32_t)(hash >> 32), value + 1);
	index->count++;
}

void fsm__index_remove(struct index *index, uint64_t hash, uint32_t value)
{
	uint32_t mask = index->capacity - 1, tag = (uint32_t)(hash >> 32);
	uint32_t hole = tag & mask, i;

	while (index->values[hole] != value + 1) {
		REQUIRE(index->values[hole]);
		hole = (hole + 1) & mask;
	}
	/* Close the gap: move back whoever may stand in the hole. */
	for (i = (hole + 1) & mask; index->values[i]; i = (i + 1) & mask) {
		uint32_t home = index->tags[i] & mask;

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		index->tags[hole] = index->tags[i];
		index->values[hole] = index->values[i];
		hole = i;
	}
	index->values[hole] = 0;
	index->count--;
}

void fsm__index_copy(struct index *to, const struct index *from)
{
	*to = *from;
	to->tags = fsm__copy(from->tags, from->capacity * sizeof *from->tags);
	to->values = fsm__copy(from->values,
			       from->capacity * sizeof *from->values);
}

void fsm__index_fini(struct index *index)
{
	free(index->tags);
	free(index->values);
	*index = (struct index){0};
}

/* --- pool ---------------------------------------------------------------- */

void fsm__pool_init(struct pool *pool)
{
	*pool = (struct pool){.count = 1};
	pool->entries = fsm__grow(NULL, &pool->capacity, 1,
				  sizeof *pool->entries);
}

void fsm__pool_fini(struct pool *pool)
{
	free(pool->entries);
	free(pool->bytes);
	fsm__index_fini(&pool->index);
}

void fsm__pool_copy(struct pool *to, const struct pool *from)
{
	*to = *from;
	to->capacity = from->count;
	to->entries = fsm__copy(from->entries,
				from->count * sizeof *from->entries);
	to->bytes_capacity = from->bytes_count;
	to->bytes = fsm__copy(from->bytes, from->bytes_count);
	to->index = (struct index){0}; /* a copy is only read by id */
}

struct pool_key {
	const void *data;
	uint32_t size;
};

static bool pool_match(const void *ctx, uint32_t id, const void *key)
{
	const struct pool *pool = ctx;
	const struct pool_entry *entry = &pool->entries[id];
	const struct pool_key *k = key;

	return entry->size == k->size &&
	       memcmp(pool->bytes + entry->offset, k->data, k->size) == 0;
}

uint32_t fsm__pool_find(const struct pool *pool, const void *data,
			uint32_t size)
{
	struct pool_key key = {data, size};

	if (size == 0)
		return 0;
	return fsm__index_find(&pool->index, fsm__mix(0, data, size),
			       pool_match, pool, &key);
}

static uint32_t pool_new_id(struct pool *pool)
{
	uint32_t id = pool->free;

	if (id) {
		pool->free = pool->entries[id].offset;
		return id;
	}
	pool->entries = fsm__grow(pool->entries, &pool->capacity,
				  pool->count + 1, sizeof *pool->entries);
	return pool->count++;
}

uint32_t fsm__pool_take(struct pool *pool, const void *data, uint32_t size)
{
	uint32_t id = fsm__pool_find(pool, data, size);
	struct pool_entry *entry;

	if (id == 0)
		return 0;
	if (id != ID_NONE) {
		pool->entries[id].uses++;
		return id;
	}
	id = pool_new_id(pool);
	pool->bytes = fsm__grow(pool->bytes, &pool->bytes_capacity,
				pool->bytes_count + size, 1);
	memcpy(pool->bytes + pool->bytes_count, data, size);
	entry = &pool->entries[id];
	*entry = (struct pool_entry){pool->bytes_count, size, 1};
	pool->bytes_count += size;
	fsm__index_add(&pool->index, fsm__mix(0, data, size), id);
	return id;
}

/* Throws out the bytes of strings that are gone. */
static void pool_compact(struct pool *pool)
{
	uint32_t capacity = 0, count = 0;
	uint8_t *bytes = fsm__grow(NULL, &capacity,
				   pool->bytes_count - pool->bytes_dead + 1, 1);

	for (uint32_t id = 1; id < pool->count; id++) {
		struct pool_entry *entry = &pool->entries[id];

		if (entry->uses == 0)
			continue;
		memcpy(bytes + count, pool->bytes + entry->offset, entry->size);
		entry->offset = count;
		count += entry->size;
	}
	free(pool->bytes);
	pool->bytes = bytes;
	pool->bytes_capacity = capacity;
	pool->bytes_count = count;
	pool->bytes_dead = 0;
}

bool fsm__pool_give(struct pool *pool, uint32_t id)
{
	struct pool_entry *entry = &pool->entries[id];

	if (id == 0)
		return false;
	REQUIRE(id < pool->count && entry->uses > 0);
	if (--entry->uses > 0)
		return false;
	fsm__index_remove(&pool->index,
			  fsm__mix(0, pool->bytes + entry->offset, entry->size),
			  id);
	pool->bytes_dead += entry->size;
	*entry = (struct pool_entry){.offset = pool->free};
	pool->free = id;
	if (pool->bytes_dead > POOL_DEAD_MIN &&
	    pool->bytes_dead > pool->bytes_count / 2)
		pool_compact(pool);
	return true;
}

struct text fsm__pool_get(const struct pool *pool, uint32_t id)
{
	const struct pool_entry *entry = &pool->entries[id];

	REQUIRE(id < pool->count);
	if (id == 0)
		return (struct text){"", 0};
	return (struct text){(const char *)pool->bytes + entry->offset,
			     entry->size};
}
