/* Which CRN a program goes to.
 *
 * Among the CRNs that fit (fits.c), the first by this order:
 *   1. the one that holds its data (R25);
 *   2. one that was heard lately: what is given to one that has just fallen
 *      silent waits for its lease to run out as well;
 *   3. the one it was on, if its code is being changed, or if that CRN
 *      registered within the sticky time (R20);
 *   4. a fenced one before an unfenced one;
 *   5. the one with least memory left afterwards (best fit);
 *   6. with least vcpus left;
 *   7. with least disk left;
 *   8. the lowest hash, which no two CRNs share.
 */
#include <stdlib.h>

#include "fsm/overlay.h"

/* More than one was lost or is late: a heartbeat, the Beat that carries it and
 * the way to the leader take less than two periods. */
#define SILENT_HEARTBEATS 2u

struct candidate {
	bool data, heard, back, fenced;
	uint64_t memory_mib, vcpus, disk_mib; /* left afterwards */
	const struct hash *hash;
};

static int prefer_flag(bool a, bool b)
{
	return (a ? 0 : 1) - (b ? 0 : 1);
}

static int prefer_less(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* Negative: `a` goes first. */
static int compare(const struct candidate *a, const struct candidate *b)
{
	int order = prefer_flag(a->data, b->data);

	if (order == 0)
		order = prefer_flag(a->heard, b->heard);
	if (order == 0)
		order = prefer_flag(a->back, b->back);
	if (order == 0)
		order = prefer_flag(a->fenced, b->fenced);
	if (order == 0)
		order = prefer_less(a->memory_mib, b->memory_mib);
	if (order == 0)
		order = prefer_less(a->vcpus, b->vcpus);
	if (order == 0)
		order = prefer_less(a->disk_mib, b->disk_mib);
	return order ? order : hash_compare(a->hash, b->hash);
}

/* Its last renewal is not long ago. C counts only while somebody leads, so an
 * outage of the schedulers makes nobody look silent. After a change of leaders
 * some may, until their next heartbeat: it is only an order. */
static bool heard_lately(const struct fsm_view *s, const struct crn *c)
{
	uint64_t silence_ms =
		(uint64_t)SILENT_HEARTBEATS * s->config.heartbeat_ms;

	return c->exp_ms + silence_ms >= s->c_ms + s->config.ttl_s_ms;
}

/* R20: its last CRN registered a short while ago. */
static bool sticks(const struct fsm_view *s, const struct program *p,
		   slot_t crn)
{
	if (p->last_crn != crn)
		return false;
	return p->prefer_last || s->c_ms < s->crns[crn].sticky_until_ms;
}

static struct candidate candidate_of(const struct fsm_view *s,
				     const struct program *p, slot_t slot,
				     const struct crn_use *use)
{
	const struct crn *c = &s->crns[slot];

	return (struct candidate){
		.data = p->data_crn != 0 &&
			fsm__hash_is(s, p->data_crn, &c->hash),
		.heard = heard_lately(s, c),
		.back = sticks(s, p, slot),
		.fenced = c->class == CRN_FENCED,
		.memory_mib = c->memory_mib - c->memory_mib_used -
			      use->memory_mib - p->memory_mib,
		.vcpus = c->vcpus - c->vcpus_used - use->vcpus - p->vcpus,
		.disk_mib = c->disk_mib - c->disk_mib_used - use->disk_mib -
			    p->disk_mib,
		.hash = &c->hash,
	};
}

/* --- why not ------------------------------------------------------------- */

/* Why the program may not be assigned anywhere now; PLACE_OK: it may. */
static enum place_reason program_reason(const struct fsm_view *s, slot_t slot,
					struct place_verdict *out)
{
	const struct program *p = &s->programs[slot];
	const struct crn *c = p->crn != SLOT_NONE ? &s->crns[p->crn] : NULL;
	enum fsm_refusal refusal;

	out->crn = p->crn;
	if (p->state == PROGRAM_LOST)
		return PLACE_LOST;
	if (c && (!c->alive || c->session != p->session))
		return PLACE_HELD;
	if (p->state == PROGRAM_REVOKING)
		return PLACE_REVOKING;
	if (p->waiting)
		return PLACE_WAITS_REPLACED;
	if (!fsm__wanted(p))
		return PLACE_NOT_WANTED;
	if (p->state == PROGRAM_ASSIGNED)
		return PLACE_OK;
	refusal = fsm__fit_program(s, slot);
	if (refusal == FSM_REFUSED_LINEAGE)
		return PLACE_LINEAGE;
	if (refusal == FSM_REFUSED_QUARANTINE)
		return PLACE_QUARANTINE;
	ENSURE(refusal == FSM_OK);
	return PLACE_OK;
}

/* What is short now; a run of unknown size only where all would fit. */
static enum place_reason capacity_reason(const struct program *p,
					 const struct crn *c,
					 const struct crn_use *use)
{
	if (c->program_count + use->programs >= FSM_CRN_PROGRAMS_MAX)
		return PLACE_SLOTS;
	if (c->vcpus_used + use->vcpus + p->vcpus > c->vcpus)
		return PLACE_VCPUS;
	if (c->memory_mib_used + use->memory_mib + p->memory_mib >
	    c->memory_mib)
		return PLACE_MEMORY;
	if (c->disk_mib_used + use->disk_mib + p->disk_mib > c->disk_mib)
		return PLACE_DISK;
	return PLACE_UNKNOWN_SIZE;
}

static enum place_reason pin_reason(const struct fsm_view *s,
				    const struct program *p,
				    const struct crn *c)
{
	if (p->has_node_pin && !fsm__hash_is(s, p->node_pin, &c->hash))
		return PLACE_PIN;
	return PLACE_DATA;
}

/* Keeps the reason of the CRN that came nearest: the later a test in
 * fsm__fit_crn, the less is missing. */
static void blame(struct place_verdict *out, enum place_reason reason,
		  slot_t crn)
{
	static const uint8_t nearness[PLACE_REASON_COUNT] = {
		[PLACE_NO_CRN] = 1, [PLACE_PIN] = 2, [PLACE_DATA] = 3,
		[PLACE_TOKENS] = 4, [PLACE_CLASS] = 5, [PLACE_SLOTS] = 6,
		[PLACE_VCPUS] = 7, [PLACE_MEMORY] = 8, [PLACE_DISK] = 9,
		[PLACE_UNKNOWN_SIZE] = 10, [PLACE_EXCLUDED] = 11,
	};

	if (nearness[reason] <= nearness[out->reason])
		return;
	out->reason = reason;
	out->crn = crn;
}

static void count_refusal(const struct fsm_view *s, const struct program *p,
			  slot_t slot, const struct crn_use *use,
			  enum fsm_refusal refusal, struct text token,
			  struct place_verdict *out)
{
	const struct crn *c = &s->crns[slot];
	enum place_reason reason = PLACE_NO_CRN;

	if (refusal == FSM_REFUSED_PIN) {
		reason = pin_reason(s, p, c);
	} else if (refusal == FSM_REFUSED_TOKENS) {
		reason = PLACE_TOKENS;
		out->no_token++;
		if (out->token.size == 0)
			out->token = token;
	} else if (refusal == FSM_REFUSED_CLASS) {
		reason = PLACE_CLASS;
		out->no_class++;
	} else if (refusal == FSM_REFUSED_CAPACITY) {
		reason = capacity_reason(p, c, use);
		out->no_vcpus += reason == PLACE_VCPUS;
		out->no_memory += reason == PLACE_MEMORY;
		out->no_disk += reason == PLACE_DISK;
	} else if (refusal == FSM_REFUSED_EXCLUDED) {
		reason = PLACE_EXCLUDED;
		out->excluded++;
	} else {
		return; /* away, unlinked, silent about itself */
	}
	out->considered++;
	blame(out, reason, slot);
}

/* --- choosing ------------------------------------------------------------ */

/* R20: its last CRN is back and about to be ready; a heartbeat decides. */
static bool wait_for_last(const struct fsm_view *s, const struct program *p)
{
	const struct exclusion *e;
	const struct crn *c;

	if (p->last_crn == SLOT_NONE)
		return false;
	c = &s->crns[p->last_crn];
	e = fsm__exclusion_find(s, p, p->last_crn);
	return c->alive && c->linked && s->c_ms < c->sticky_until_ms &&
	       (!c->established || !c->reported) &&
	       !(e && s->c_ms < e->until_ms) &&
	       (c->class == CRN_FENCED || s->config.unfenced_hold_ok) &&
	       (!p->has_node_pin || fsm__hash_is(s, p->node_pin, &c->hash));
}

static void look_at(const struct fsm_view *s, slot_t program,
		    const struct crn_use *uses, struct place_verdict *out)
{
	const struct program *p = &s->programs[program];
	struct candidate best = {0};
	slot_t chosen = SLOT_NONE;

	out->reason = PLACE_NO_CRN;
	for (slot_t i = 0; i < s->crn_bound; i++) {
		struct text token = {"", 0};
		enum fsm_refusal refusal;
		struct candidate c;

		if (!s->crns[i].used)
			continue;
		refusal = fsm__fit_crn(s, program, i, &uses[i], &token);
		if (refusal != FSM_OK) {
			count_refusal(s, p, i, &uses[i], refusal, token, out);
			continue;
		}
		out->considered++;
		c = candidate_of(s, p, i, &uses[i]);
		if (chosen == SLOT_NONE || compare(&c, &best) < 0) {
			best = c;
			chosen = i;
		}
	}
	if (chosen != SLOT_NONE) {
		out->reason = PLACE_OK;
		out->crn = chosen;
	}
	if ((chosen == SLOT_NONE || !best.back) && !best.data &&
	    wait_for_last(s, p)) {
		out->reason = PLACE_STICKY;
		out->crn = p->last_crn;
	}
}

static void choose(const struct fsm_view *s, const struct place_overlay *o,
		   const struct crn_use *uses, slot_t program,
		   struct place_verdict *out)
{
	const struct program *p = &s->programs[program];

	*out = (struct place_verdict){.crn = SLOT_NONE};
	out->reason = program_reason(s, program, out);
	if (out->reason != PLACE_OK || p->state == PROGRAM_ASSIGNED)
		return;
	if (place__in_flight(o, &p->hash)) {
		out->reason = PLACE_IN_FLIGHT;
		return;
	}
	look_at(s, program, uses, out);
	/* Nobody is ready: what it is bound to says more than that. */
	if (out->reason == PLACE_NO_CRN && p->has_node_pin)
		out->reason = PLACE_PIN;
	else if (out->reason == PLACE_NO_CRN && p->has_data &&
		 p->data_crn != 0 && !p->move_without_data)
		out->reason = PLACE_DATA;
	/* A pin can only be away: speak of the CRN that it names. */
	if (out->reason == PLACE_PIN || out->reason == PLACE_DATA) {
		struct hash pin = fsm__hash_get(s, out->reason == PLACE_PIN
							   ? p->node_pin
							   : p->data_crn);

		out->crn = fsm_crn_find(s, &pin);
	}
}

static struct crn_use *uses_of(const struct fsm_view *s,
			       const struct place_overlay *o)
{
	struct crn_use *uses = calloc(s->crn_bound + 1, sizeof *uses);

	REQUIRE(uses);
	place__uses(o, s, uses);
	return uses;
}

void place_choose(const struct fsm_view *s, const struct place_overlay *o,
		  slot_t program, struct place_verdict *out)
{
	struct crn_use *uses;

	REQUIRE(program < s->program_bound && s->programs[program].used);
	uses = uses_of(s, o);
	choose(s, o, uses, program, out);
	free(uses);
}

/* The next program that waits for a place, from `slot` on. */
static slot_t next_pending(const struct fsm_view *s, slot_t slot)
{
	while (slot < s->program_bound) {
		uint64_t word = s->pending[slot / 64] >> (slot % 64);

		if (word == 0) {
			slot = (slot / 64 + 1) * 64;
			continue;
		}
		while (!(word & 1)) {
			word >>= 1;
			slot++;
		}
		return slot;
	}
	return SLOT_NONE;
}

static void take(const struct fsm_view *s, slot_t program, slot_t crn,
		 struct crn_use *uses, struct command_assign *assign)
{
	const struct program *p = &s->programs[program];

	uses[crn].vcpus += p->vcpus;
	uses[crn].memory_mib += p->memory_mib;
	uses[crn].disk_mib += p->disk_mib;
	uses[crn].programs++;
	*assign = (struct command_assign){
		.program = p->hash,
		.crn = s->crns[crn].hash,
		.session = s->crns[crn].session,
	};
}

uint32_t place_round(const struct fsm_view *s, const struct place_overlay *o,
		     uint32_t *cursor, uint32_t budget,
		     struct command_assign *assigns, uint32_t max)
{
	struct crn_use *uses = uses_of(s, o);
	slot_t slot = next_pending(s, *cursor);
	uint32_t count = 0;

	while (slot != SLOT_NONE && budget > 0 && count < max) {
		struct place_verdict verdict;

		budget--;
		choose(s, o, uses, slot, &verdict);
		if (verdict.reason == PLACE_OK)
			take(s, slot, verdict.crn, uses, &assigns[count++]);
		slot = next_pending(s, slot + 1);
	}
	*cursor = slot == SLOT_NONE ? 0 : slot;
	free(uses);
	return count;
}
