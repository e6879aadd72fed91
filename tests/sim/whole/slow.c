/* An independent model of the rules (tests/kit/slow.h) goes along with the
 * oracle's state machine: it predicts the result of each command, and the
 * records that it touches; every 64 entries all of them are compared. After a
 * disaster it comes again from the entries that the backup holds. */
#include <stdlib.h>

#include "tests/kit/slow.h"
#include "tests/sim/whole/oracle.h"

#define ALL_EVERY 64u

#define NO_ENTRY UINT32_MAX

/* An entry and the one before it: a backup of an older past may be restored
 * after another one was, so the entries are a tree. */
struct kept {
	uint64_t index, gen; /* after it */
	uint32_t before;
	uint8_t *data;
	size_t size;
};

struct slow_log {
	struct slow *model;
	struct kept *kept;
	uint32_t count, capacity, last;
};

static void keep(struct oracle *oracle, uint64_t index, const void *data,
		 size_t size)
{
	struct slow_log *log = oracle->slow;
	struct fsm_status status;
	struct kept *k;

	if (log->count == log->capacity) {
		log->capacity = log->capacity * 2 + 1024;
		log->kept = need(realloc(log->kept,
					 log->capacity * sizeof *log->kept));
	}
	fsm_status(fsm_live(oracle->fsm), &status);
	k = &log->kept[log->count];
	k->before = log->last;
	log->last = log->count++;
	k->index = index;
	k->gen = status.gen;
	k->size = size;
	k->data = need(malloc(size));
	memcpy(k->data, data, size);
}

void slow_log_heard(struct oracle *oracle, const struct fsm_result *result)
{
	slow_heard(oracle->slow->model, result);
}

void slow_log_entry(struct oracle *oracle, uint64_t index, const void *data,
		    size_t size)
{
	enum slow_depth depth = index % ALL_EVERY == 0 ? SLOW_ALL
						       : SLOW_TOUCHED;
	char message[4096];

	if (oracle->world->options.internet)
		return; /* days long: figures.c */
	keep(oracle, index, data, size);
	if (!slow_entry(oracle->slow->model, index, data, size,
			fsm_live(oracle->fsm), depth, message, sizeof message))
		world_fail(oracle->world, "the slow model: %s", message);
}

static uint32_t find(const struct slow_log *log, uint64_t index, uint64_t gen)
{
	for (uint32_t i = log->count; i-- > 0;)
		if (log->kept[i].index == index && log->kept[i].gen == gen)
			return i;
	NEVER("a backup of entries that were not seen");
}

/* The oracle's state is that of a backup: what came after it never was. */
void slow_log_rewind(struct oracle *oracle)
{
	struct slow_log *log = oracle->slow;
	uint32_t *way = need(malloc((log->count + 1) * sizeof *way)), steps = 0;
	struct fsm_status status;

	fsm_status(fsm_live(oracle->fsm), &status);
	log->last = find(log, status.index, status.gen);
	for (uint32_t i = log->last; i != NO_ENTRY; i = log->kept[i].before)
		way[steps++] = i;
	slow_close(log->model);
	log->model = slow_open();
	while (steps-- > 0) {
		const struct kept *k = &log->kept[way[steps]];

		slow_replay(log->model, k->index, k->data, k->size);
	}
	free(way);
}

void slow_log_open(struct oracle *oracle)
{
	oracle->slow = need(calloc(1, sizeof *oracle->slow));
	oracle->slow->model = slow_open();
	oracle->slow->last = NO_ENTRY;
}

void slow_log_close(struct oracle *oracle)
{
	slow_close(oracle->slow->model);
	for (uint32_t i = 0; i < oracle->slow->count; i++)
		free(oracle->slow->kept[i].data);
	free(oracle->slow->kept);
	free(oracle->slow);
}
