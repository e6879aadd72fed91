/* A clogged way between two replicas: it loses nothing and keeps the order, and
 * lets so many bytes a second through. What waits is told by link_queued, by
 * which the engine holds back a snapshot's chunks. */
#include "tests/sim/whole/whole.h"

void clog_begin(struct world *world)
{
	uint32_t a = (uint32_t)chance_below(&world->chance,
					    world->node_count);
	uint32_t b = (uint32_t)chance_below(&world->chance,
					    world->node_count);
	uint32_t low = a < b ? a : b, high = a < b ? b : a;
	struct clog *clog = &world->clogs[low][high][a > b];

	clog->rate = 1000u << chance_below(&world->chance, 9);
	clog->until_us = world->now_us +
			 chance_between(&world->chance, 500000, 20000000);
	story(world, "the way from replica %u to %u is clogged: %u bytes a "
	      "second, for %.1f s", a + 1, b + 1, clog->rate,
	      (double)(clog->until_us - world->now_us) / 1e6);
}

/* When a frame gets through that is sent now; `at_us` if nothing is clogged. */
uint64_t clog_passes(struct world *world, uint32_t from, uint32_t to,
		     size_t size, uint64_t at_us)
{
	uint32_t low = from < to ? from : to, high = from < to ? to : from;
	struct clog *clog = &world->clogs[low][high][from > to];

	if (world->healed || world->now_us >= clog->until_us)
		return at_us;
	if (clog->last_us < world->now_us)
		clog->last_us = world->now_us;
	clog->last_us += size * UINT64_C(1000000) / clog->rate;
	if (clog->last_us > clog->until_us)
		clog->last_us = clog->until_us; /* what waits goes then */
	return at_us > clog->last_us ? at_us : clog->last_us;
}

size_t clog_queued(const struct world *world, uint32_t from, uint32_t to)
{
	uint32_t low = from < to ? from : to, high = from < to ? to : from;
	const struct clog *clog = &world->clogs[low][high][from > to];

	if (clog->last_us <= world->now_us)
		return 0;
	return (size_t)((clog->last_us - world->now_us) * clog->rate / 1000000);
}
