/* Memory of the state machine: growing arrays, hash indexes, interned texts.
 *
 * Nothing here is part of the state's meaning: layouts may differ between two
 * replicas with equal states. Running out of memory panics: a replica that
 * skips an entry is worse than one that is absent.
 */
#ifndef FSM_STORE_H
#define FSM_STORE_H

#include "fsm/command.h"

#define ID_NONE UINT32_MAX

/* Grows `array` of `size`-byte elements to hold `need`; new ones are zero. */
void *fsm__grow(void *array, uint32_t *capacity, uint32_t need, size_t size);
/* A copy of `size` bytes; NULL for none. */
void *fsm__copy(const void *data, size_t size);

/* A 64-bit hash of bytes, the same on every machine. */
uint64_t fsm__mix(uint64_t seed, const void *data, size_t size);

/* Open addressing from a hash to a number; who asks compares the keys. */
struct index {
	uint32_t *tags, *values; /* values are stored plus one; 0 is empty */
	uint32_t capacity, count;
};

typedef bool (*index_match)(const void *ctx, uint32_t value, const void *key);

uint32_t fsm__index_find(const struct index *index, uint64_t hash,
			 index_match match, const void *ctx, const void *key);
void fsm__index_add(struct index *index, uint64_t hash, uint32_t value);
/* The pair must be there. */
void fsm__index_remove(struct index *index, uint64_t hash, uint32_t value);
void fsm__index_copy(struct index *to, const struct index *from);
void fsm__index_fini(struct index *index);

/* Byte strings, each kept once and counted; id 0 is the empty one. */
struct pool_entry {
	uint32_t offset, size, uses;
};
struct pool {
	struct pool_entry *entries;
	uint8_t *bytes;
	struct index index;
	uint32_t capacity, count, free; /* free: head of the free ids, or 0 */
	uint32_t bytes_capacity, bytes_count, bytes_dead;
};

void fsm__pool_init(struct pool *pool);
void fsm__pool_fini(struct pool *pool);
void fsm__pool_copy(struct pool *to, const struct pool *from);
/* One more use of the string; gives its id. */
uint32_t fsm__pool_take(struct pool *pool, const void *data, uint32_t size);
/* One use less; true when it was the last and the string is gone. */
bool fsm__pool_give(struct pool *pool, uint32_t id);
/* The id of a string that is there, or ID_NONE. */
uint32_t fsm__pool_find(const struct pool *pool, const void *data,
			uint32_t size);
struct text fsm__pool_get(const struct pool *pool, uint32_t id);

#endif
