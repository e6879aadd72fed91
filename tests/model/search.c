/* Breadth first over all states; exact: each part of a state is interned, and
 * a state is the vector of its parts' numbers. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/model/model.h"

const struct options *opt;
enum mutant mutant;
bool telling;

#define PARTS 7
#define NO_STATE UINT32_MAX

struct pool {
	uint32_t size, count, capacity, mask;
	num *data;
	uint32_t *table; /* number + 1 */
};
struct key {
	uint32_t part[PARTS];
};

static const struct {
	unsigned offset, size, pool;
} parts[PARTS] = {
	{ offsetof(struct state, fsm), sizeof(struct fsm), 0 },
	{ offsetof(struct state, leader), sizeof(struct leader), 1 },
	{ offsetof(struct state, machines[0]), sizeof(struct machine), 2 },
	{ offsetof(struct state, machines[1]), sizeof(struct machine), 2 },
	{ offsetof(struct state, nets[0]), sizeof(struct net), 3 },
	{ offsetof(struct state, nets[1]), sizeof(struct net), 3 },
	{ offsetof(struct state, backup), sizeof(struct fsm), 0 },
};
static struct pool pools[4];
static struct pool states; /* of keys */
static uint32_t *parents, parents_capacity, culprit;

static void *must(void *memory)
{
	if (!memory) {
		fputs("model: out of memory\n", stderr);
		abort();
	}
	return memory;
}

static uint64_t hash(const num *data, uint32_t size)
{
	uint64_t h = size, word;

	for (; size >= 8; size -= 8, data += 8) {
		memcpy(&word, data, 8);
		h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	word = 0;
	memcpy(&word, data, size);
	h = (h ^ word) * UINT64_C(0xbf58476d1ce4e5b9);
	return h ^ h >> 32;
}

static void pool_open(struct pool *p, uint32_t size)
{
	*p = (struct pool){ .size = size, .capacity = 1024, .mask = 4095 };
	p->data = must(malloc((size_t)p->capacity * size));
	p->table = must(calloc(p->mask + 1u, sizeof *p->table));
}

static void pool_close(struct pool *p)
{
	free(p->data);
	free(p->table);
}

static void pool_grow(struct pool *p)
{
	p->capacity *= 2;
	p->data = must(realloc(p->data, (size_t)p->capacity * p->size));
	if (p->capacity <= p->mask / 2)
		return;
	free(p->table);
	p->mask = p->mask * 2 + 1;
	p->table = must(calloc(p->mask + (size_t)1, sizeof *p->table));
	for (uint32_t i = 0; i < p->count; i++) {
		const num *item = p->data + (size_t)i * p->size;
		uint32_t at = (uint32_t)hash(item, p->size) & p->mask;

		while (p->table[at] != 0)
			at = (at + 1) & p->mask;
		p->table[at] = i + 1;
	}
}

static uint32_t intern(struct pool *p, const void *item, bool *new)
{
	uint32_t at = (uint32_t)hash(item, p->size) & p->mask, number;

	for (; (number = p->table[at]) != 0; at = (at + 1) & p->mask)
		if (memcmp(p->data + (size_t)(number - 1) * p->size, item,
			   p->size) == 0)
			return number - 1;
	*new = true;
	p->table[at] = p->count + 1;
	memcpy(p->data + (size_t)p->count * p->size, item, p->size);
	number = p->count++;
	if (p->count == p->capacity)
		pool_grow(p);
	return number;
}

static uint32_t pack(const struct state *s, const struct key *near, bool *new)
{
	struct key key;
	bool ignored;
	uint32_t number;

	for (unsigned i = 0; i < PARTS; i++) {
		struct pool *p = &pools[parts[i].pool];
		const num *part = (const num *)s + parts[i].offset;

		if (near && memcmp(p->data + (size_t)near->part[i] * p->size,
				   part, p->size) == 0)
			key.part[i] = near->part[i];
		else
			key.part[i] = intern(p, part, &ignored);
	}
	number = intern(&states, &key, new);
	return number;
}

static void unpack(uint32_t number, struct state *s, struct key *key)
{
	memcpy(key, states.data + (size_t)number * sizeof *key, sizeof *key);
	for (unsigned i = 0; i < PARTS; i++) {
		const struct pool *p = &pools[parts[i].pool];

		memcpy((num *)s + parts[i].offset,
		       p->data + (size_t)key->part[i] * p->size, p->size);
	}
}

static void remember_parent(uint32_t child, uint32_t parent)
{
	if (child >= parents_capacity) {
		parents_capacity = parents_capacity ? parents_capacity * 2
						    : 4096;
		parents = must(realloc(parents, parents_capacity *
							sizeof *parents));
	}
	parents[child] = parent;
}

static void open_all(void)
{
	static const uint32_t sizes[4] = { sizeof(struct fsm),
		sizeof(struct leader), sizeof(struct machine),
		sizeof(struct net) };

	for (unsigned i = 0; i < 4; i++)
		pool_open(&pools[i], sizes[i]);
	pool_open(&states, sizeof(struct key));
	parents = NULL;
	parents_capacity = 0;
	canon_init();
}

static void close_all(void)
{
	for (unsigned i = 0; i < 4; i++)
		pool_close(&pools[i]);
	pool_close(&states);
	free(parents);
}

/* --- the story ---------------------------------------------------- */

/* Takes from `shown`, whose names are never changed, the very step that leads
 * from state `from` to `to`. */
static void tell_step(uint32_t from, uint32_t to, struct state *shown)
{
	struct state base, next;
	struct key key;
	bool ignored, done = false;

	unpack(from, &base, &key);
	choice_begin();
	do {
		next = base;
		if (!model_step(&next))
			continue;
		canon_settle(&next);
		canon_rename(&next);
		done = pack(&next, &key, &ignored) == to;
		if (done)
			break;
	} while (choice_next());
	if (!done)
		abort();
	next = *shown;
	telling = true;
	told[0] = 0;
	choice_again();
	if (!model_step(&next))
		abort();
	telling = false;
	canon_settle(&next);
	*shown = next;
}

static void tell(FILE *story, uint32_t last, unsigned which,
		 const char *broken)
{
	uint32_t path[512];
	unsigned count = 0;
	struct state shown;
	const char *again;

	for (uint32_t at = last; at != NO_STATE && count < 512;
	     at = parents[at])
		path[count++] = at;
	model_start(&shown);
	canon_settle(&shown);
	fprintf(story, "  start: %s\n", opt->about);
	for (unsigned i = count - 1; i > 0; i--) {
		tell_step(path[i], path[i - 1], &shown);
		fprintf(story, "  step %u: %s\n", count - i, told);
	}
	again = check_state(&shown, which);
	fprintf(story, "  broken: %s\n", again ? again : broken);
}

/* --- the search --------------------------------------------------- */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* All successors of a state. NULL, or what the last one of them broke. */
static const char *expand(uint32_t number, unsigned which,
			  struct outcome *out)
{
	struct state base, next;
	struct key key;
	const char *broken;

	unpack(number, &base, &key);
	choice_begin();
	do {
		bool new = false;
		uint32_t child;

		next = base;
		if (!model_step(&next))
			continue;
		canon_settle(&next);
		out->steps++;
		broken = check_pair(&base, &next, which);
		canon_rename(&next);
		child = pack(&next, &key, &new);
		if (!new && !broken)
			continue;
		if (new)
			remember_parent(child, number);
		if (!broken)
			broken = check_state(&next, which);
		culprit = child;
		if (broken)
			return broken;
	} while (choice_next());
	return NULL;
}

struct outcome search(FILE *story, unsigned which, uint64_t states_max)
{
	struct outcome out = { 0 };
	double start = seconds();
	struct state first;
	uint32_t level_end = 1;
	bool new = false;

	open_all();
	model_start(&first);
	canon_settle(&first);
	canon_rename(&first);
	remember_parent(pack(&first, NULL, &new), NO_STATE);
	out.broken = check_state(&first, which);
	for (uint32_t i = 0; i < states.count && !out.broken; i++) {
		if (i == level_end) {
			level_end = states.count;
			out.depth++;
		}
		if (states.count >= states_max) {
			out.full = true;
			break;
		}
		out.broken = expand(i, which, &out);
	}
	out.states = states.count;
	out.seconds = seconds() - start;
	if (out.broken && story)
		tell(story, culprit, which, out.broken);
	close_all();
	return out;
}
