/* The invariants of lease.md 2.4 that a state can show, and those of our own
 * links. For tests, the simulator, and what comes out of a snapshot. */
#include "fsm/state.h"

#define BROKEN_IF(condition)                      \
	do {                                      \
		if (condition)                    \
			return #condition;        \
	} while (0)

static bool busy(const struct program *p)
{
	return p->state == PROGRAM_ASSIGNED || p->state == PROGRAM_REVOKING;
}

/* I7: in one place at most; REVOKING keeps its CRN. */
static const char *broken_place(const struct fsm_view *s,
				const struct program *p)
{
	const struct crn *c;

	if (!busy(p)) {
		BROKEN_IF(p->crn != SLOT_NONE || p->session != 0);
		BROKEN_IF(p->v_rev != 0 || p->hold || p->lost);
		BROKEN_IF(p->state == PROGRAM_LOST && s->unsurveyed_count == 0);
		return NULL;
	}
	BROKEN_IF(p->crn == SLOT_NONE || !s->crns[p->crn].used);
	c = &s->crns[p->crn];
	BROKEN_IF(p->session == 0 || p->epoch == 0 || p->gen == 0);
	BROKEN_IF(stamp_index(p->session) > s->index || p->gen > s->gen);
	BROKEN_IF((p->state == PROGRAM_REVOKING) != (p->v_rev != 0));
	/* I6: sessions only rise. */
	BROKEN_IF(p->session > c->session);
	/* R7, R15, R23: only a held epoch outlives its session. */
	BROKEN_IF(!p->hold && (!c->alive || p->session != c->session));
	BROKEN_IF(c->class == CRN_UNFENCED && p->session == c->session &&
		  !p->hold);
	BROKEN_IF(p->state == PROGRAM_ASSIGNED && !fsm__wanted(p));
	BROKEN_IF(p->lost && (!p->hold || s->unsurveyed_count == 0));
	return NULL;
}

/* R21: at most one of a lineage is to run, and one at most is current. */
static const char *broken_lineage(const struct fsm_view *s, slot_t first)
{
	uint32_t assigned = 0, current = 0, heads = 0, steps = 0;
	slot_t m = first;

	do {
		const struct program *p = &s->programs[m];

		BROKEN_IF(!p->used || steps++ > s->program_bound);
		BROKEN_IF(s->programs[p->lineage_next].lineage_prev != m);
		BROKEN_IF(p->lineage != s->programs[first].lineage);
		assigned += p->state == PROGRAM_ASSIGNED;
		current += !p->superseded && !p->waiting;
		heads += p->lineage_head;
		m = p->lineage_next;
	} while (m != first);
	BROKEN_IF(assigned > 1 || current > 1 || heads != 1);
	return NULL;
}

static const char *broken_program(const struct fsm_view *s, slot_t slot)
{
	const struct program *p = &s->programs[slot];
	bool bit = s->pending[slot / 64] >> (slot % 64) & 1;
	const char *broken = broken_place(s, p);
	uint32_t steps = 0;

	if (broken)
		return broken;
	BROKEN_IF(fsm_program_find(s, &p->hash) != slot);
	BROKEN_IF(bit != (p->state == PROGRAM_FREE && fsm__wanted(p)));
	BROKEN_IF(p->mark || p->lineage == 0);
	BROKEN_IF(p->forgotten && !p->superseded);
	for (uint32_t id = p->exclusion; id != ID_NONE;
	     id = s->exclusions[id].next) {
		BROKEN_IF(steps++ > EXCLUSIONS_MAX || !s->exclusions[id].used);
		BROKEN_IF(s->exclusions[id].crn == SLOT_NONE);
	}
	if (p->lineage_head)
		return broken_lineage(s, slot);
	return NULL;
}

static const char *broken_list(const struct fsm_view *s, slot_t slot)
{
	const struct crn *c = &s->crns[slot];
	uint64_t vcpus = 0, memory_mib = 0, disk_mib = 0;
	uint32_t count = 0, revoking = 0;
	slot_t previous = SLOT_NONE;

	for (slot_t i = c->program_first; i != SLOT_NONE;
	     i = s->programs[i].crn_next) {
		const struct program *p = &s->programs[i];

		BROKEN_IF(!p->used || p->crn != slot || count++ > c->program_count);
		BROKEN_IF(p->crn_prev != previous);
		revoking += p->state == PROGRAM_REVOKING;
		vcpus += p->vcpus;
		memory_mib += p->memory_mib;
		disk_mib += p->disk_mib;
		previous = i;
	}
	BROKEN_IF(c->program_last != previous || count != c->program_count);
	BROKEN_IF(revoking != c->revoking_count || vcpus != c->vcpus_used);
	BROKEN_IF(memory_mib != c->memory_mib_used ||
		  disk_mib != c->disk_mib_used);
	return NULL;
}

static const char *broken_crn(const struct fsm_view *s, slot_t slot)
{
	const struct crn *c = &s->crns[slot];

	BROKEN_IF(fsm_crn_find(s, &c->hash) != slot);
	BROKEN_IF(c->established && !c->alive);
	BROKEN_IF(c->alive && (c->session == 0 || c->gen != s->gen));
	BROKEN_IF(stamp_index(c->session) > s->index);
	/* 2.6: nobody is fenced with a longer K than the lease allows for. */
	BROKEN_IF(c->alive && c->class == CRN_FENCED &&
		  c->k_ms > s->config.k_ms);
	return broken_list(s, slot);
}

/* What is not used is on a free list, once. */
static const char *broken_free(const struct fsm_view *s)
{
	uint32_t count = 0;

	for (slot_t i = s->program_free; i != SLOT_NONE;
	     i = s->programs[i].crn_next)
		BROKEN_IF(s->programs[i].used || count++ > s->program_bound);
	BROKEN_IF(count != s->program_bound - s->program_count);
	count = 0;
	for (slot_t i = s->crn_free; i != SLOT_NONE;
	     i = s->crns[i].program_first)
		BROKEN_IF(s->crns[i].used || count++ > s->crn_bound);
	BROKEN_IF(count != s->crn_bound - s->crn_count);
	count = 0;
	for (uint32_t i = s->exclusion_free; i != ID_NONE;
	     i = s->exclusions[i].next)
		BROKEN_IF(s->exclusions[i].used ||
			  count++ > s->exclusion_bound);
	return NULL;
}

const char *fsm__broken(const struct fsm_view *s)
{
	uint32_t programs = 0, crns = 0, pending = 0, assigned = 0, surveys = 0;
	const char *broken = NULL;

	for (slot_t i = 0; !broken && i < s->crn_bound; i++) {
		if (!s->crns[i].used)
			continue;
		crns++;
		surveys += !s->crns[i].surveyed;
		broken = broken_crn(s, i);
	}
	for (slot_t i = 0; !broken && i < s->program_bound; i++) {
		const struct program *p = &s->programs[i];

		if (!p->used)
			continue;
		programs++;
		pending += p->state == PROGRAM_FREE && fsm__wanted(p);
		assigned += p->state == PROGRAM_ASSIGNED;
		broken = broken_program(s, i);
	}
	if (broken)
		return broken;
	BROKEN_IF(programs != s->program_count || crns != s->crn_count);
	BROKEN_IF(pending != s->pending_count);
	BROKEN_IF(assigned != s->assigned_count);
	BROKEN_IF(surveys != s->unsurveyed_count);
	BROKEN_IF(s->program_index.count != programs);
	BROKEN_IF(s->crn_index.count != crns);
	return broken_free(s);
}

void fsm_check(const struct fsm *f)
{
	const char *broken = fsm__broken(&f->state);

	if (broken)
		berth_panic(broken, __FILE__, __LINE__);
}
