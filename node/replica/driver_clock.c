/* H38: is the cluster's clock C fast? Agents tell their own lease clocks with
 * each heartbeat; over a minute of C the median of what theirs counted is set
 * against what C did. A warning for people: no rule follows from it. */
#include <stdlib.h>

#include "node/replica/driver_impl.h"

/* Each window begins where the one before ended, so no jump falls between. */
void driver__clock_heard(struct driver *d, const struct fsm_view *view,
			 struct driver_agent *a,
			 const struct agent_heartbeat *m)
{
	struct driver_clocks *k = &a->clocks;
	struct fsm_status status;

	if (m->clock_ms == 0)
		return; /* it does not tell */
	fsm_status(view, &status);
	if (k->session != m->session || m->clock_ms < k->agent_last_ms ||
	    k->window + 1 < d->clock_window) {
		k->agent_last_ms = m->clock_ms;
		k->c_last_ms = status.c_ms;
		k->window = 0;
	}
	if (k->window != d->clock_window) {
		k->window = d->clock_window;
		k->session = m->session;
		k->agent_first_ms = k->agent_last_ms;
		k->c_first_ms = k->c_last_ms;
	}
	k->agent_last_ms = m->clock_ms;
	k->c_last_ms = status.c_ms;
}

/* How much faster C was than this agent's clock, beyond what Beats round. */
static uint32_t excess_ppm(const struct driver_clock *c, uint64_t slack_ms)
{
	uint64_t over_ms;

	if (c->agent_ms >= c->c_ms || c->c_ms - c->agent_ms <= slack_ms)
		return 0;
	over_ms = c->c_ms - c->agent_ms - slack_ms;
	return (uint32_t)(over_ms * 1000000 / c->c_ms);
}

static int by_excess(const void *left, const void *right)
{
	const struct driver_clock *a = left, *b = right;

	return (a->ppm > b->ppm) - (a->ppm < b->ppm);
}

static uint32_t gather(const struct driver *d, uint64_t slack_ms,
		       struct driver_clock *all)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < d->agent_count; i++) {
		const struct driver_clocks *k = &d->agents[i].clocks;
		struct driver_clock *c = &all[count];

		if (k->window != d->clock_window ||
		    k->c_last_ms - k->c_first_ms < DRIVER_CLOCK_MS / 2)
			continue;
		c->c_ms = k->c_last_ms - k->c_first_ms;
		c->agent_ms = k->agent_last_ms - k->agent_first_ms;
		c->ppm = excess_ppm(c, slack_ms);
		count++;
	}
	return count;
}

static void judge(struct driver *d, const struct fsm_config *config)
{
	struct driver_clock *all, *median;
	uint32_t count, limit_ppm = 2 * config->rho_ppm;

	if (d->agent_count == 0)
		return;
	all = driver__alloc(d->agent_count * sizeof *all);
	count = gather(d, 2 * (uint64_t)config->beat_ms, all);
	qsort(all, count, sizeof *all, by_excess);
	median = &all[count / 2];
	d->counts.clock_ppm = count == 0 ? 0 : median->ppm;
	if (count != 0 && median->ppm > limit_ppm) {
		median->agents = count;
		median->limit_ppm = limit_ppm;
		d->counts.clock_alarms++;
		if (d->ops.clock_alarm != NULL)
			d->ops.clock_alarm(d->ops.ctx, median);
	}
	free(all);
}

/* At most one alarm a window, and the window is C's own. */
void driver__clock_look(struct driver *d, const struct fsm_status *status)
{
	if (status->c_ms - d->clock_from_ms < DRIVER_CLOCK_MS &&
	    d->clock_window != 0)
		return;
	if (d->clock_window != 0)
		judge(d, &status->config);
	d->clock_window++;
	d->clock_from_ms = status->c_ms;
}
