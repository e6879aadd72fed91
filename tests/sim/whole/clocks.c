/* Clocks beyond rho (A2 does not hold): of a CRN's machine, whose CRN is then
 * outside of the guarantee; of a replica, and then nothing that rests on time
 * is asked until the leases of that time are over. What is asked is that C
 * makes no step above dt_max, and that the leader notices (H38). */
#include "tests/sim/whole/oracle.h"

#define WATCH_C_MS 135000u /* two windows of the driver's, and more */
#define RATE_LEAST 1045u   /* of C to real time, in thousandths */
#define SILENT_US 10000000u

bool clock_trusted(const struct world *world)
{
	return world->wild.state == WILD_NOT;
}

bool clock_is_wild(const struct node *node)
{
	return node->world->wild.state == WILD_RATE &&
	       node->world->wild.node == node->number;
}

static void ends(struct world *world)
{
	world->wild.state = WILD_OVER;
	world->wild.end_us = world->now_us;
	world->wild.beats = 0;
}

bool clock_of_node(struct world *world)
{
	struct node *node = chance_percent(&world->chance, 80) ?
				    node_leader(world) : node_any(world);
	struct driver_status status;

	if (!node || !node->alive || world->wild.state != WILD_NOT)
		return false;
	node->next_us = world->now_us;
	if (chance_percent(&world->chance, 60)) {
		driver_status(node->driver, &status);
		drifting_set(&node->clock, world->now_us, node->clock.ppm);
		node->clock.base_us += chance_between(&world->chance, 500000,
						      60000000);
		story(world, "the clock of replica %" PRIu64 " jumps ahead",
		      node->id);
		if (status.leading)
			ends(world);
		return true;
	}
	drifting_set(&node->clock, world->now_us,
		     (int32_t)chance_between(&world->chance, 60000, 300000));
	world->wild.state = WILD_RATE;
	world->wild.node = node->number;
	world->wild.watching = false;
	world->wild.until_us = world->now_us + chance_between(
		&world->chance, 60000000, 300000000);
	story(world, "the clock of replica %" PRIu64 " is fast, %+d ppm",
	      node->id, node->clock.ppm);
	return true;
}

bool clock_of_host(struct world *world)
{
	uint32_t crn = world->outside_crn;
	struct host *host = world->hosts[world->host_of_crn[crn]];
	int32_t ppm = (int32_t)chance_between(&world->chance, 15000, 300000);

	if (!host->on)
		return false;
	world->outside[crn] = true;
	if (chance_percent(&world->chance, 60))
		ppm = -ppm;
	drifting_set(&host->clock, world->now_us, ppm);
	if (chance_percent(&world->chance, 20))
		host->clock.base_us += chance_below(&world->chance, 30000000);
	story(world, "the clock of %s goes %+d ppm", host_name(host), ppm);
	host->deadline_event_us = NEVER_US;
	host_deadline(host);
	return true;
}

/* --- until C is to be trusted again ------------------------------------------ */

/* The first Beat after the end may count some of it, the second one does not;
 * what was renewed until then runs out by the agents' clocks. */
void clock_beat(struct world *world, uint64_t proposed_us)
{
	if (world->wild.state != WILD_OVER ||
	    proposed_us < world->wild.end_us || ++world->wild.beats < 2)
		return;
	world->wild.state = WILD_SETTLES;
	world->wild.end_us = world->now_us +
			     world->longest.ttl_a_ms * 1020ull +
			     world->longest.k_ms * 1000ull + 2000000;
}

/* --- H38 ------------------------------------------------------------------------ */

static void watch_crns(struct world *world, bool begin)
{
	const struct fsm_view *view = oracle_view(world);
	struct fsm_crn crn;

	for (uint32_t i = 0; i < world->options.crns; i++) {
		slot_t slot = fsm_crn_find(view, &world->crns[i]);
		bool alive = slot != SLOT_NONE &&
			     fsm_crn_read(view, slot, &crn) && crn.alive;
		struct wild_crn *w = &world->wild.crns[i];

		if (begin && alive)
			*w = (struct wild_crn){ crn.session, crn.seq_seen,
						world->now_us };
		else if (begin || !alive || crn.session != w->session)
			w->session = 0;
		else if (crn.seq_seen != w->seq)
			*w = (struct wild_crn){ crn.session, crn.seq_seen,
						world->now_us };
		else if (world->now_us > w->moved_us + SILENT_US)
			w->session = 0;
	}
}

static bool any_compared(const struct world *world)
{
	for (uint32_t i = 0; i < world->options.crns; i++)
		if (world->wild.crns[i].session != 0)
			return true;
	return false;
}

static void judge(struct world *world, uint64_t alarms)
{
	struct wild *w = &world->wild;
	uint64_t c_ms = world->oracle->c_ms - w->c_ms;
	uint64_t real_us = world->now_us - w->from_us;

	w->watching = false;
	/* Late and doubled heartbeats make the driver begin anew. */
	if (world->options.late || world->options.duplicate ||
	    c_ms * 1000000 < real_us * RATE_LEAST || !any_compared(world))
		return;
	world->totals.clock_alarms += alarms > w->alarms;
	if (alarms <= w->alarms)
		world_fail(world, "H38: C counted %" PRIu64 " ms in %" PRIu64
			   " ms and nobody was warned", c_ms, real_us / 1000);
}

static void watch(struct world *world, struct node *node)
{
	struct wild *w = &world->wild;
	struct driver_status status = { .leading = false };

	if (world->now_us < w->look_us)
		return;
	w->look_us = world->now_us + 1000000;
	if (node_ready(node))
		driver_status(node->driver, &status);
	if (!status.leading || (w->watching && node->term != w->term)) {
		w->watching = false;
		return;
	}
	watch_crns(world, !w->watching);
	if (!w->watching) {
		w->watching = true;
		w->from_us = world->now_us;
		w->c_ms = world->oracle->c_ms;
		w->term = node->term;
		w->alarms = status.clock_alarms;
	} else if (world->oracle->c_ms >= w->c_ms + WATCH_C_MS) {
		judge(world, status.clock_alarms);
	}
}

void clock_keep(struct world *world)
{
	struct wild *w = &world->wild;
	struct node *node = &world->nodes[w->node];

	if (w->state == WILD_RATE && !world->healed &&
	    world->now_us < w->until_us) {
		watch(world, node);
	} else if (w->state == WILD_RATE) {
		drifting_set(&node->clock, world->now_us, 0);
		story(world, "the clock of replica %" PRIu64 " is right again",
		      node->id);
		ends(world);
	} else if (w->state == WILD_SETTLES && world->now_us >= w->end_us) {
		w->state = WILD_NOT;
		world->oracle->has_slack = false;
		story(world, "C is to be trusted again");
	}
}
