/* Events, chance, clocks, the trace. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/whole/whole.h"

void *need(void *memory)
{
	if (!memory) {
		fputs("simulator: out of memory\n", stderr);
		abort();
	}
	return memory;
}

/* --- chance: splitmix64 ------------------------------------------------------ */

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

uint64_t chance_next(struct chance *chance)
{
	return mix(chance->state += 0x9e3779b97f4a7c15u);
}

uint64_t chance_below(struct chance *chance, uint64_t bound)
{
	return bound ? chance_next(chance) % bound : 0;
}

uint64_t chance_between(struct chance *chance, uint64_t low, uint64_t high)
{
	return low + chance_below(chance, high - low + 1);
}

bool chance_percent(struct chance *chance, uint32_t percent)
{
	return chance_below(chance, 100) < percent;
}

void world_trace(struct world *world, uint64_t value)
{
	world->trace = mix(world->trace ^ value) + 0x9e3779b97f4a7c15u;
}

uint64_t bytes_hash(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint64_t hash = size, word = 0;
	size_t i;

	for (i = 0; i + 8 <= size; i += 8) {
		memcpy(&word, bytes + i, 8);
		hash = (hash ^ word) * 0x9fb21c651e98df25u;
		hash ^= hash >> 29;
	}
	for (word = 0; i < size; i++)
		word = word << 8 | bytes[i];
	return mix(hash ^ word);
}

/* --- events: a heap by time, ties by number ------------------------------------- */

static bool before(const struct event *a, const struct event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us :
				      a->sequence < b->sequence;
}

void event_push(struct world *world, const struct event *event)
{
	struct event new = *event;
	uint32_t i;

	if (world->heap_count == world->heap_capacity) {
		world->heap_capacity = world->heap_capacity * 2 + 256;
		world->heap = need(realloc(world->heap, world->heap_capacity *
							sizeof *world->heap));
	}
	if (new.at_us < world->now_us)
		new.at_us = world->now_us;
	new.sequence = world->sequence++;
	i = world->heap_count++;
	while (i && before(&new, &world->heap[(i - 1) / 2])) {
		world->heap[i] = world->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	world->heap[i] = new;
}

bool event_pop(struct world *world, struct event *out, uint64_t until_us)
{
	struct event last;
	uint32_t i = 0, child;

	if (!world->heap_count || world->heap[0].at_us >= until_us)
		return false;
	*out = world->heap[0];
	last = world->heap[--world->heap_count];
	for (;;) {
		child = 2 * i + 1;
		if (child + 1 < world->heap_count &&
		    before(&world->heap[child + 1], &world->heap[child]))
			child++;
		if (child >= world->heap_count ||
		    !before(&world->heap[child], &last))
			break;
		world->heap[i] = world->heap[child];
		i = child;
	}
	world->heap[i] = last;
	return true;
}

/* --- clocks ------------------------------------------------------------------------ */

uint64_t drifting_us(const struct drifting *clock, uint64_t now_us)
{
	uint64_t real = now_us - clock->at_us;

	return clock->base_us +
	       real * (uint64_t)(1000000 + clock->ppm) / 1000000;
}

uint64_t drifting_ms(const struct drifting *clock, uint64_t now_us)
{
	return drifting_us(clock, now_us) / 1000;
}

uint64_t drifting_when(const struct drifting *clock, uint64_t ms)
{
	uint64_t rate = (uint64_t)(1000000 + clock->ppm);
	uint64_t us = ms * 1000;

	if (us <= clock->base_us)
		return clock->at_us;
	return clock->at_us +
	       ((us - clock->base_us) * 1000000 + rate - 1) / rate;
}

void drifting_set(struct drifting *clock, uint64_t now_us, int32_t ppm)
{
	clock->base_us = drifting_us(clock, now_us);
	clock->at_us = now_us;
	clock->ppm = ppm;
}
