/* May this program be on that CRN? Apply and placement ask the same code. */
#include "fsm/state.h"

/* R21: every other record of the lineage is FREE. */
static bool lineage_free(const struct fsm_view *s, slot_t slot)
{
	for (slot_t m = s->programs[slot].lineage_next; m != slot;
	     m = s->programs[m].lineage_next)
		if (s->programs[m].state != PROGRAM_FREE)
			return false;
	return true;
}

enum fsm_refusal fsm__fit_program(const struct fsm_view *s, slot_t slot)
{
	const struct program *p = &s->programs[slot];

	if (p->state != PROGRAM_FREE) /* R8 */
		return FSM_REFUSED_NOT_FREE;
	if (p->superseded || p->waiting) /* R21 */
		return FSM_REFUSED_LINEAGE;
	if (!p->persistent)
		return FSM_REFUSED_STATE;
	if (!lineage_free(s, slot)) /* R21 */
		return FSM_REFUSED_LINEAGE;
	if (s->c_ms < s->quar_until_ms) /* R17 */
		return FSM_REFUSED_QUARANTINE;
	return FSM_OK;
}

static uint32_t id_at(const uint8_t *ids, uint32_t i)
{
	uint32_t id;

	memcpy(&id, ids + i * sizeof id, sizeof id);
	return id;
}

static bool offers(const uint8_t *ids, uint32_t count, uint32_t id)
{
	for (uint32_t i = 0; i < count; i++)
		if (id_at(ids, i) == id)
			return true;
	return false;
}

static bool tokens_offered(const struct fsm_view *s, const struct program *p,
			   const struct crn *c, struct text *missing)
{
	uint32_t need_count, offer_count;
	const uint8_t *need, *offer;

	if (p->tokens == c->tokens || p->tokens == 0)
		return true;
	need = fsm__tokens_get(s, p->tokens, &need_count);
	offer = fsm__tokens_get(s, c->tokens, &offer_count);
	for (uint32_t i = 0; i < need_count; i++) {
		uint32_t id = id_at(need, i);

		if (offers(offer, offer_count, id))
			continue;
		if (missing)
			*missing = fsm__pool_get(&s->texts, id);
		return false;
	}
	return true;
}

static bool pins_allow(const struct fsm_view *s, const struct program *p,
		       const struct crn *c)
{
	if (p->has_node_pin && !fsm__hash_is(s, p->node_pin, &c->hash))
		return false;
	/* R25: never away from its data unless the owner allowed it. */
	if (p->has_data && p->data_crn != 0 && !p->move_without_data &&
	    !fsm__hash_is(s, p->data_crn, &c->hash))
		return false;
	return true;
}

/* A run that a survey found and whose program nobody told us of (R17): it is
 * REVOKING until it stopped, and takes nobody knows how much. */
bool fsm__size_unknown(const struct fsm_view *s, const struct crn *c)
{
	const struct program *p;

	if (c->revoking_count == 0)
		return false;
	for (slot_t i = c->program_first; i != SLOT_NONE; i = p->crn_next) {
		p = &s->programs[i];
		if (p->state == PROGRAM_REVOKING && p->forgotten &&
		    p->vcpus == 0 && p->memory_mib == 0)
			return true;
	}
	return false;
}

static bool room_for(const struct fsm_view *s, const struct program *p,
		     const struct crn *c, const struct crn_use *use)
{
	static const struct crn_use none;

	if (!use)
		use = &none;
	return c->program_count + use->programs < FSM_CRN_PROGRAMS_MAX &&
	       c->vcpus_used + use->vcpus + p->vcpus <= c->vcpus &&
	       p->memory_mib <= c->memory_mib &&
	       c->memory_mib_used + use->memory_mib <=
		       c->memory_mib - p->memory_mib &&
	       p->disk_mib <= c->disk_mib &&
	       c->disk_mib_used + use->disk_mib <=
		       c->disk_mib - p->disk_mib &&
	       !fsm__size_unknown(s, c);
}

enum fsm_refusal fsm__fit_crn(const struct fsm_view *s, slot_t program,
			      slot_t crn, const struct crn_use *use,
			      struct text *token)
{
	const struct program *p = &s->programs[program];
	const struct crn *c = &s->crns[crn];
	const struct exclusion *e;

	/* R8; without a report a CRN gets nothing (2.6). */
	if (!c->alive || !c->established || !c->reported)
		return FSM_REFUSED_NOT_ESTABLISHED;
	if (!c->linked) /* R22 */
		return FSM_REFUSED_STATE;
	if (!pins_allow(s, p, c))
		return FSM_REFUSED_PIN;
	if (!tokens_offered(s, p, c, token))
		return FSM_REFUSED_TOKENS;
	if (c->class == CRN_UNFENCED && !s->config.unfenced_hold_ok)
		return FSM_REFUSED_CLASS;
	if (!room_for(s, p, c, use))
		return FSM_REFUSED_CAPACITY;
	e = fsm__exclusion_find(s, p, crn);
	if (e && s->c_ms < e->until_ms) /* R24 */
		return FSM_REFUSED_EXCLUDED;
	return FSM_OK;
}
