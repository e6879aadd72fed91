/* Figures, measured on quiet worlds: nothing fails but what is measured. How
 * often a CRN fences itself over the internet (a fence of a CRN that nothing
 * was done to), and the longest time without a scheduler that no program
 * notices. Deterministic. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/whole/figures.h"
#include "tests/sim/whole/oracle.h"
#include "tests/sim/whole/weather.h"

#define LAN_CRNS 10u
#define TRIES 5u
#define STEP_MS 50u
#define SECOND 1000000ull

static const char *const profiles[] = { "fast", "default", "calm" };

static struct world *quiet(uint64_t seed, uint32_t profile, uint32_t crns,
			   uint32_t hold, bool internet)
{
	struct options o = { .replicas = 3, .crns = crns, .programs = crns,
			     .profile = profile, .net_ms = 5, .wan_ms = 40,
			     .disk_ms = 5, .drift = 100, .hold = hold,
			     .snapshot_entries = 50000, .minutes = 1,
			     .internet = internet };
	struct world *world = need(calloc(1, sizeof *world));

	world_open(world, seed, &o);
	world->healed = true;
	return world;
}

static bool all_run(struct world *world)
{
	char why[160];

	return people_satisfied(world, why, sizeof why);
}

/* Until everything runs; then to a phase of its own within the second. */
static bool begin(struct world *world)
{
	uint64_t end_us = world->now_us + 300 * SECOND;

	while (!world->violation[0] && world->now_us < end_us) {
		world_run(world, world->now_us + SECOND);
		if (all_run(world))
			break;
	}
	world_run(world, world->now_us + 2 * world->config.ttl_s_ms * 1000 +
				 world->seed * 777777 % SECOND);
	return all_run(world) && !world->violation[0];
}

static void finish(struct world *world)
{
	world_close(world);
	free(world);
}

/* --- false fences -------------------------------------------------------------- */

static void rate(uint64_t count, double years)
{
	if (count)
		printf(" %.1f (%" PRIu64 ") |", (double)count / years, count);
	else
		printf(" below %.2f at 95 %% (0) |", 3 / years);
}

static bool fences(uint32_t profile, uint32_t days)
{
	struct world *world = quiet(profile + 1, profile, CRNS_MAX, 0, true);
	uint64_t day = 86400 * SECOND, begun_us;
	double years;
	bool good = begin(world);

	begun_us = world->now_us;
	world->totals.fences = world->totals.fences_outage = 0;
	world->totals.sent = world->totals.lost = 0;
	while (good && world->now_us < begun_us + days * day) {
		world_run(world, world->now_us + 3600 * SECOND);
		good = !world->violation[0];
	}
	years = (double)(world->now_us - begun_us) / (double)SECOND / 86400 /
		365.25 * CRNS_MAX;
	printf("| %s | %.2f | %.2f %% |", profiles[profile], years,
	       100 * (double)world->totals.lost / (double)world->totals.sent);
	rate(world->totals.fences - world->totals.fences_outage, years);
	rate(world->totals.fences_outage, years);
	printf(" %.1f |\n", (double)world->totals.fences / years);
	if (!good)
		printf("VIOLATION: %s\n", world->violation);
	finish(world);
	return good;
}

/* --- time without a scheduler ----------------------------------------------------- */

static void all_off(struct world *world, uint64_t until_us)
{
	for (uint32_t i = 0; i < world->options.replicas; i++) {
		node_crash(&world->nodes[i], "switched off");
		world->nodes[i].restart_us = until_us;
	}
	world_run(world, until_us - 1);
	world->next_sweep_us = until_us;
}

static void split(struct world *world, bool cut)
{
	for (uint32_t i = 0; i < NODES_MAX; i++)
		for (uint32_t j = 0; j < NODES_MAX; j++)
			world->peers[i][j].cut[0] =
				world->peers[i][j].cut[1] = cut;
}

static void outage(struct world *world, uint64_t ms, bool off)
{
	uint64_t until_us = world->now_us + ms * 1000;

	if (off) {
		all_off(world, until_us);
		return;
	}
	split(world, true);
	world_run(world, until_us);
	split(world, false);
}

/* No program stops, on any of the CRNs, in any of the tries? */
static bool survives(uint32_t profile, uint64_t ms, bool off)
{
	bool good = true;

	for (uint64_t seed = 1; good && seed <= TRIES; seed++) {
		struct world *world = quiet(seed, profile, LAN_CRNS, 0, false);
		uint64_t ends;

		good = begin(world);
		ends = world->totals.ends;
		outage(world, ms, off);
		world_run(world, world->now_us +
				 2ull * world->config.ttl_a_ms * 1000);
		good = good && world->totals.ends == ends;
		finish(world);
	}
	return good;
}

static uint64_t longest(uint32_t profile, bool off)
{
	uint64_t low = 0, high = 64000;

	while (high - low > STEP_MS) {
		uint64_t middle = (low + high) / 2;

		if (survives(profile, middle, off))
			low = middle;
		else
			high = middle;
	}
	return low;
}

static void outages(uint32_t profile)
{
	struct world *world = quiet(1, profile, 2, 0, false);
	struct fsm_config c = world->config;

	finish(world);
	printf("| %s | exclusive | %.2f s | %.2f s | ttl_a %u s, heartbeat "
	       "%.1f s |\n", profiles[profile],
	       (double)longest(profile, true) / 1000,
	       (double)longest(profile, false) / 1000, c.ttl_a_ms / 1000,
	       (double)c.heartbeat_ms / 1000);
}

struct place {
	struct hash crn;
	stamp_t epoch;
};

static void places(struct world *world, struct place *out)
{
	const struct fsm_view *view = oracle_view(world);

	for (uint32_t i = 0; i < world->program_count; i++) {
		slot_t slot = fsm_program_find(view, &world->programs[i].hash);
		struct fsm_program program;

		memset(&out[i], 0, sizeof out[i]);
		if (slot != SLOT_NONE &&
		    fsm_program_read(view, slot, &program) &&
		    program.state == PROGRAM_ASSIGNED) {
			out[i].crn = program.crn_hash;
			out[i].epoch = program.epoch;
		}
	}
}

/* An hour without a scheduler, and what is afterwards. */
static bool hour(uint32_t profile, uint32_t hold)
{
	struct world *world = quiet(9, profile, LAN_CRNS, hold, false);
	struct place before[PROGRAMS_MAX], after[PROGRAMS_MAX];
	uint32_t same = 0, epochs = 0, count;
	uint64_t ends, back_us;
	bool good = begin(world);

	count = world->program_count;
	places(world, before);
	ends = world->totals.ends;
	outage(world, 3600000, true);
	ends = world->totals.ends - ends;
	back_us = world->now_us;
	while (good && !world->violation[0] && !all_run(world) &&
	       world->now_us < back_us + 300 * SECOND)
		world_run(world, world->now_us + SECOND / 10);
	places(world, after);
	for (uint32_t i = 0; i < count; i++) {
		same += hash_equal(&before[i].crn, &after[i].crn);
		epochs += before[i].epoch == after[i].epoch;
	}
	good = good && all_run(world) && !world->violation[0];
	printf("| %s | %s | %" PRIu64 " of %u | %u of %u | %u of %u | %.1f s "
	       "|%s\n", profiles[profile],
	       hold ? "exclusive-hold" : "exclusive", ends, count, same, count,
	       epochs, count, (double)(world->now_us - back_us) / 1e6,
	       good ? "" : " NOT ALL RUN");
	finish(world);
	return good && same == count && (!hold || (ends == 0 &&
						   epochs == count));
}

/* --- the page -------------------------------------------------------------------------- */

static void head(void)
{
	printf("# Figures from the simulator\n\n"
	       "Written by `make sim-figures` (again gives the same, at the "
	       "same commit). Shipped state machine,\ndriver, engine and "
	       "tenure, as `tests/sim/whole/README.md` says; three replicas "
	       "(links 1.3 to 5 ms one way,\ndisks up to 5 ms), machines 10 to "
	       "40 ms away one way, clocks within 100 ppm, and nothing fails "
	       "but what is told here.\n\n"
	       "## False fences per CRN-year\n\n"
	       "A fence of a CRN that nothing was done to, over this "
	       "internet: each way of each link loses %.1f %% of its\nmessages,"
	       " and in bursts (Gilbert and Elliott; mean length %.0f s, mean "
	       "distance %.0f s, exponential) %.0f %%;\nin all about 0.5 %%. A "
	       "lost message is lost: TCP would repeat it, so this is worse "
	       "than the internet is. Besides, each CRN\nis off the internet "
	       "once in %.0f days in the mean (exponential), for %u to %u s "
	       "(even). In brackets: counted.\n\n"
	       "| profile | CRN-years | lost, outages aside | by bursts | in "
	       "outages | together |\n|---|---|---|---|---|---|\n",
	       WEATHER_GOOD_LOSS / 10.0, WEATHER_BURST_US / 1e6,
	       WEATHER_GOOD_US / 1e6, WEATHER_BURST_LOSS / 10.0,
	       WEATHER_OUTAGE_US / 86400e6,
	       (unsigned)(WEATHER_OUTAGE_US_MIN / SECOND),
	       (unsigned)(WEATHER_OUTAGE_US_MAX / SECOND));
}

int figures_print(uint32_t days)
{
	bool good = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	head();
	for (uint32_t i = 0; i < 3; i++)
		good = fences(i, days << (i + (i > 0))) && good;
	printf("\n`fast` is for one data centre: the row says why. An outage "
	       "that is longer than ttl_a fences by design.\n"
	       "\n## The longest time without a scheduler that stops no "
	       "program\n\n"
	       "From the last replica's end to the start of all (elections "
	       "are on top and inside the lease), or all replicas split\n"
	       "from each other; by bisection to %u ms, no program of %u on "
	       "%u CRNs stopped in any of %u tries. That is the worst of\n"
	       "%u phases: ttl_a less two heartbeats (the last before and the "
	       "first after: what is sent meanwhile is lost), an election\n"
	       "(1 to 2 s), round trip and commit. A simulated link does not "
	       "notice that its other end is off, which costs up to a\n"
	       "heartbeat more than a real one that is refused and made "
	       "anew.\n\n"
	       "| profile | guarantee | all off | no quorum | |\n"
	       "|---|---|---|---|---|\n", STEP_MS, LAN_CRNS, LAN_CRNS, TRIES,
	       LAN_CRNS * TRIES);
	for (uint32_t i = 0; i < 3; i++)
		outages(i);
	printf("\n`exclusive-hold` has no such bound. An hour with all "
	       "replicas off, and what is afterwards (R20, R23):\n\n"
	       "| profile | guarantee | stopped | on the same CRN | same epoch "
	       "| all as it shall be after |\n|---|---|---|---|---|---|\n");
	for (uint32_t i = 0; i < 3; i++) {
		good = hour(i, 0) && good;
		good = hour(i, 100) && good;
	}
	return good ? 0 : 1;
}
