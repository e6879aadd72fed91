/* The CRNs: put, removed, and what they report. R22. */
#include "fsm/state.h"

static bool text_same(const struct fsm_view *s, uint32_t id,
		      const struct text *text)
{
	struct text own = fsm__pool_get(&s->texts, id);

	return own.size == text->size &&
	       memcmp(own.data, text->size ? text->data : "", own.size) == 0;
}

APPLY(crn_put, command_crn_put)
{
	struct fsm_view *s = &f->state;
	slot_t slot = fsm_crn_find(s, &c->crn);
	struct crn *crn;

	if (hash_is_zero(&c->crn))
		return FSM_REFUSED_MALFORMED;
	if (slot == SLOT_NONE) {
		if (s->crn_count >= s->config.crns_max)
			return FSM_REFUSED_FULL;
		slot = fsm__crn_new(s, &c->crn);
	} else if (s->crns[slot].linked == c->linked &&
		   text_same(s, s->crns[slot].name, &c->name) &&
		   text_same(s, s->crns[slot].owner, &c->owner)) {
		return FSM_DUPLICATE;
	}
	crn = &s->crns[slot];
	fsm__text_set(s, &crn->name, &c->name);
	fsm__text_set(s, &crn->owner, &c->owner);
	crn->linked = c->linked;
	fsm__touch_crn(f, slot);
	fsm__effect(f, EFFECT_CRN_KNOWN, SLOT_NONE, slot, fsm__text(""));
	return FSM_OK;
}

/* R22: not alive, holds nothing (orphans included), and surveyed. */
static bool removable(const struct crn *crn)
{
	return !crn->alive && crn->program_count == 0 && crn->surveyed;
}

APPLY(crn_remove, command_crn_remove)
{
	struct fsm_view *s = &f->state;
	slot_t slot = fsm_crn_find(s, &c->crn);

	if (slot == SLOT_NONE)
		return FSM_REFUSED_UNKNOWN_CRN;
	if (!removable(&s->crns[slot]))
		return FSM_REFUSED_STATE;
	fsm__touch_crn(f, slot);
	fsm__effect(f, EFFECT_CRN_REMOVED, SLOT_NONE, slot, fsm__text(""));
	fsm__crn_drop(s, slot);
	return FSM_OK;
}

static void set_tokens(struct fsm_view *s, uint32_t *id,
		       const struct command_crn_report *c)
{
	uint32_t old = *id;

	*id = fsm__tokens_take(s, c->tokens, c->token_count);
	fsm__tokens_give(s, old);
}

APPLY(report, command_crn_report)
{
	struct fsm_view *s = &f->state;
	slot_t slot = fsm_crn_find(s, &c->crn);
	struct crn *crn;

	if (slot == SLOT_NONE)
		return FSM_REFUSED_UNKNOWN_CRN;
	if (c->vcpus > VCPUS_MAX || c->memory_mib > MIB_MAX ||
	    c->disk_mib > MIB_MAX)
		return FSM_REFUSED_MALFORMED;
	crn = &s->crns[slot];
	if (!crn->alive || crn->session != c->session)
		return FSM_REFUSED_SESSION;
	crn->vcpus = c->vcpus;
	crn->memory_mib = c->memory_mib;
	crn->disk_mib = c->disk_mib;
	crn->reported = true;
	fsm__text_set(s, &crn->url, &c->url);
	set_tokens(s, &crn->tokens, c);
	fsm__touch_crn(f, slot);
	fsm__effect(f, EFFECT_CRN_REPORTED, SLOT_NONE, slot, fsm__text(""));
	return FSM_OK;
}
