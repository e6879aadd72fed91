/* I2: who executes, or may start, what the state has just freed or placed; and
 * the same over generations (R17). A CRN that is outside of the assumptions is
 * not asked, nor are exclusive runs while C is not to be trusted (A2). */
#include "tests/sim/whole/oracle.h"

static bool not_above(uint64_t gen, stamp_t epoch, uint64_t gen_b,
		      stamp_t epoch_b)
{
	return gen != gen_b ? gen < gen_b : epoch <= epoch_b;
}

bool guarded(const struct host *host)
{
	return !host->world->outside[host->crn];
}

/* Exclusive runs of an older generation may live until the quarantine ends. */
static bool quarantined(const struct world *world)
{
	struct fsm_status status;

	fsm_status(oracle_view(world), &status);
	return status.c_ms < status.quar_until_ms;
}

static void freed_on(struct host *host, const struct fsm_effect *e,
		     uint32_t number, bool held_only)
{
	const struct tenure *t = &host->fencer.tenure;

	for (uint32_t i = 0; i < RUNS_MAX; i++) {
		const struct live *live = &host->live[i];

		if (executing(live) && live->program == number &&
		    (live->hold || !held_only) &&
		    not_above(live->gen, live->epoch, e->gen, e->epoch))
			world_fail(host->world, "I2: program %u, epoch %" PRIu64
				   ", is freed while %s executes epoch %" PRIu64,
				   number, e->epoch >> 16, host_name(host),
				   live->epoch >> 16);
	}
	for (uint32_t i = 0; t->set_taken && lease_valid(host) &&
			     i < t->desired_count; i++) {
		const struct desired_row *row = &t->desired[i];

		if (hash_equal(&row->program, &e->program) &&
		    (row->hold || !held_only) &&
		    not_above(row->gen, row->epoch, e->gen, e->epoch))
			world_fail(host->world, "I2: program %u, epoch %" PRIu64
				   ", is freed while %s may start it", number,
				   e->epoch >> 16, host_name(host));
	}
}

void oracle_adopted(struct world *world, const struct fsm_effect *e)
{
	const struct program *p =
		&world->programs[program_number(world, &e->program)];
	uint32_t crn;

	memcpy(&crn, e->crn.bytes + 28, sizeof crn);
	if (world->outside[crn])
		world->programs[p->root].outside = true;
}

void oracle_freed(struct world *world, const struct fsm_effect *e)
{
	uint32_t number = program_number(world, &e->program);
	bool held_only = quarantined(world) || !clock_trusted(world);

	if (world->programs[world->programs[number].root].outside)
		return;
	for (uint32_t h = 0; h < world->host_count; h++)
		if (world->hosts[h]->on && guarded(world->hosts[h]))
			freed_on(world->hosts[h], e, number, held_only);
}

static void placed_beside(struct host *host, const struct fsm_effect *e,
			  uint32_t root, bool held_only)
{
	const struct world *world = host->world;
	const struct tenure *t = &host->fencer.tenure;

	for (uint32_t i = 0; i < RUNS_MAX && host->live_count; i++) {
		const struct live *live = &host->live[i];

		if (executing(live) && (live->hold || !held_only) &&
		    world->programs[live->program].root == root)
			world_fail(host->world, "I2: program %u is assigned "
				   "while %s executes program %u, epoch %"
				   PRIu64, program_number(world, &e->program),
				   host_name(host), live->program,
				   live->epoch >> 16);
	}
	for (uint32_t i = 0; t->set_taken && lease_valid(host) &&
			     i < t->desired_count; i++) {
		const struct desired_row *row = &t->desired[i];
		uint32_t number = program_number(world, &row->program);

		if (world->programs[number].root == root &&
		    (row->hold || !held_only) &&
		    (row->gen != e->gen || row->epoch != e->epoch))
			world_fail(host->world, "I2: program %u is assigned "
				   "while %s may start program %u, epoch %"
				   PRIu64, program_number(world, &e->program),
				   host_name(host), number, row->epoch >> 16);
	}
}

/* At an Assign nothing of the lineage executes or may start, of any epoch. */
void oracle_placed(struct world *world, const struct fsm_effect *e)
{
	uint32_t number = program_number(world, &e->program);
	uint32_t root = world->programs[number].root;
	bool held_only = !clock_trusted(world);

	if (world->programs[root].outside)
		return;
	for (uint32_t h = 0; h < world->host_count; h++)
		if (world->hosts[h]->on && guarded(world->hosts[h]))
			placed_beside(world->hosts[h], e, root, held_only);
}

/* R17: when the quarantine ends, nothing exclusive of an older generation
 * executes, and no lease of one is valid. */
void oracle_quarantine(struct world *world)
{
	struct oracle *o = world->oracle;
	bool over = o->in_quarantine && !quarantined(world);

	o->in_quarantine = quarantined(world);
	if (!over || !clock_trusted(world))
		return;
	for (uint32_t h = 0; h < world->host_count; h++) {
		struct host *host = world->hosts[h];

		if (!host->on || !guarded(host))
			continue;
		if (lease_valid(host) && host->fencer.tenure.gen != world->gen)
			world_fail(world, "R17: the quarantine is over and %s "
				   "has a lease of generation %" PRIu64,
				   host_name(host), host->fencer.tenure.gen);
		for (uint32_t i = 0; i < RUNS_MAX; i++)
			if (executing(&host->live[i]) && !host->live[i].hold &&
			    host->live[i].gen != world->gen)
				world_fail(world, "R17: the quarantine is over "
					   "and %s executes program %u of "
					   "generation %" PRIu64,
					   host_name(host),
					   host->live[i].program,
					   host->live[i].gen);
	}
}

/* --- copies are noticed -------------------------------------------------------- */

/* Boots of a CRN that alternate are told of (lease.md 2.6). Looked at after the
 * entry; `alarmed`: an alarm was among its effects. */
void oracle_boots(struct world *world, const struct hash *hash, bool alarmed)
{
	const struct fsm_view *view = oracle_view(world);
	slot_t slot = fsm_crn_find(view, hash);
	struct fsm_crn crn;
	struct boots *b;
	uint32_t number;

	memcpy(&number, hash->bytes + 28, sizeof number);
	b = &world->oracle->boots[number];
	/* Removed, and perhaps admitted anew in the same entry. */
	if (slot == SLOT_NONE || !fsm_crn_read(view, slot, &crn) ||
	    hash_is_zero(&crn.boot)) {
		memset(b, 0, sizeof *b);
		return;
	}
	if (hash_equal(&crn.boot, &b->last))
		return;
	if (!hash_is_zero(&b->before) && hash_equal(&crn.boot, &b->before)) {
		world->totals.boot_alarms += alarmed;
		if (!alarmed)
			world_fail(world, "2.6: two boots of crn %u alternate "
				   "and nobody was warned", number);
	}
	b->before = b->last;
	b->last = crn.boot;
}
