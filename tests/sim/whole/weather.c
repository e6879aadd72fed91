/* The internet between machines and replicas, for figures: bursts of loss by
 * the model of Gilbert and Elliott, each way its own, and outages of both. A
 * message is lost as a whole, where TCP would repeat it: this is the worse. */
#include "tests/sim/whole/weather.h"

/* -ln of an even chance, in 1 / 65536: by the binary digits of log2. */
static uint64_t minus_ln(struct chance *chance)
{
	uint64_t x = chance_next(chance) >> 32 | 1, digits;
	uint32_t high = 31;

	while (!(x >> high))
		high--;
	digits = high;
	x <<= 31 - high;
	for (uint32_t i = 0; i < 16; i++) {
		x = x * x >> 31;
		digits <<= 1;
		if (x >> 32) {
			x >>= 1;
			digits |= 1;
		}
	}
	return ((32ull << 16) - digits) * 45426 >> 16; /* ln 2 */
}

static uint64_t about(struct chance *chance, uint64_t mean_us)
{
	return 1 + (mean_us >> 10) * minus_ln(chance) / 64;
}

static void outages(struct host *host)
{
	struct weather *w = &host->weather;
	struct chance *chance = &host->world->weather;

	while (w->outage_end_us <= host->world->now_us) {
		w->last_end_us = w->outage_end_us;
		w->outage_us = w->outage_end_us +
			       about(chance, WEATHER_OUTAGE_US);
		w->outage_end_us = w->outage_us +
				   chance_between(chance, WEATHER_OUTAGE_US_MIN,
						  WEATHER_OUTAGE_US_MAX);
	}
}

bool weather_loses(struct host *host, uint32_t way)
{
	struct weather *w = &host->weather;
	struct chance *chance = &host->world->weather;
	uint64_t now_us = host->world->now_us;

	if (!host->world->options.internet)
		return false;
	outages(host);
	while (w->turn_us[way] <= now_us) {
		w->bad[way] = !w->bad[way] && w->turn_us[way] > 0;
		w->turn_us[way] += about(chance, w->bad[way] ?
				WEATHER_BURST_US : WEATHER_GOOD_US);
	}
	host->world->totals.sent++;
	if (now_us >= w->outage_us) /* not part of the average */
		return true;
	if (chance_below(chance, 1000) >=
	    (w->bad[way] ? WEATHER_BURST_LOSS : WEATHER_GOOD_LOSS))
		return false;
	host->world->totals.lost++;
	return true;
}

void weather_fenced(struct host *host)
{
	struct world *world = host->world;
	uint64_t ttl_us = world->config.ttl_a_ms * 1000ull;

	world->totals.fences++;
	outages(host);
	world->totals.fences_outage +=
		world->now_us >= host->weather.outage_us ||
		(host->weather.last_end_us > 0 &&
		 world->now_us < host->weather.last_end_us + ttl_us);
}
