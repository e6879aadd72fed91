/* One entry: each command in turn, its result, its effects. */
#include <stdlib.h>

#include "fsm/state.h"

static const struct text no_reason = {"", 0};

void fsm__effect(struct fsm *f, enum fsm_effect_type type, slot_t program,
		 slot_t crn, struct text reason)
{
	const struct fsm_view *s = &f->state;
	struct fsm_effect e = {
		.type = type, .stamp = f->stamp, .gen = s->gen,
		.c_ms = s->c_ms, .wall_ms = s->wall_ms, .reason = reason,
	};

	if (!f->observer || !f->observer->effect)
		return;
	if (crn != SLOT_NONE) {
		e.crn = s->crns[crn].hash;
		e.session = s->crns[crn].session;
	}
	if (program != SLOT_NONE) {
		const struct program *p = &s->programs[program];

		e.program = p->hash;
		e.epoch = p->epoch;
		if (p->session != 0)
			e.session = p->session;
	}
	f->observer->effect(f->observer->ctx, &e);
}

void fsm__touch_program(struct fsm *f, slot_t program)
{
	f->state.programs[program].changed = f->stamp;
	f->state.programs_changed = f->stamp;
}

void fsm__touch_crn(struct fsm *f, slot_t crn)
{
	f->state.crns[crn].seen = f->stamp;
	f->state.crns_changed = f->stamp;
}

void fsm__touch_desired(struct fsm *f, slot_t crn)
{
	f->state.crns[crn].changed = f->stamp;
	fsm__touch_crn(f, crn);
}

static enum fsm_refusal apply_lead(struct fsm *f, const struct command_lead *c,
				   uint64_t term)
{
	/* R3: a term begins once, and never goes back. */
	if (c->term != term)
		return FSM_REFUSED_MALFORMED;
	if (c->term <= f->state.term)
		return FSM_REFUSED_TERM;
	f->state.term = c->term;
	f->state.leader = c->leader;
	fsm__effect(f, EFFECT_LEAD, SLOT_NONE, SLOT_NONE, no_reason);
	return FSM_OK;
}

static enum fsm_refusal apply_any(struct fsm *f, const struct command *c)
{
	switch (c->type) {
	case FSM_BEAT:
		return fsm__apply_beat(f, &c->beat);
	case FSM_REGISTER:
		return fsm__apply_register(f, &c->reg);
	case FSM_CRN_REPORT:
		return fsm__apply_report(f, &c->report);
	case FSM_EXPIRE:
		return fsm__apply_expire(f, &c->expire);
	case FSM_ASSIGN:
		return fsm__apply_assign(f, &c->assign);
	case FSM_REVOKE:
		return fsm__apply_revoke(f, &c->revoke);
	case FSM_FENCE_CONFIRM:
		return fsm__apply_fence_confirm(f, &c->fence_confirm);
	case FSM_NEW_GEN:
		return fsm__apply_new_gen(f, &c->new_gen);
	case FSM_CONFIG:
		return fsm__apply_config(f, &c->config);
	case FSM_PROGRAM_PUT:
		return fsm__apply_program_put(f, &c->program_put);
	case FSM_PROGRAM_FORGET:
		return fsm__apply_program_forget(f, &c->program_forget);
	case FSM_CRN_PUT:
		return fsm__apply_crn_put(f, &c->crn_put);
	case FSM_CRN_REMOVE:
		return fsm__apply_crn_remove(f, &c->crn_remove);
	case FSM_LEAD:
	default:
		NEVER("a command of this type");
	}
	return FSM_REFUSED_MALFORMED;
}

/* What the result is about. */
static struct hash subject_of(const struct command *c)
{
	static const struct hash none;

	switch (c->type) {
	case FSM_REGISTER:
		return c->reg.crn;
	case FSM_CRN_REPORT:
		return c->report.crn;
	case FSM_EXPIRE:
		return c->expire.crn;
	case FSM_ASSIGN:
		return c->assign.program;
	case FSM_REVOKE:
		return c->revoke.program;
	case FSM_FENCE_CONFIRM:
		return c->fence_confirm.crn;
	case FSM_PROGRAM_PUT:
		return c->program_put.program;
	case FSM_PROGRAM_FORGET:
		return c->program_forget.program;
	case FSM_CRN_PUT:
		return c->crn_put.crn;
	case FSM_CRN_REMOVE:
		return c->crn_remove.crn;
	case FSM_LEAD:
	case FSM_BEAT:
	case FSM_NEW_GEN:
	case FSM_CONFIG:
	default:
		return none;
	}
}

/* R3: what another leader proposed has no effect. The first Config comes from
 * the bootstrap, before there is a leader. */
static bool term_refused(const struct fsm_view *s, const struct command *c,
			 uint64_t term)
{
	if (!s->configured && c->type == FSM_CONFIG)
		return false;
#ifdef MUTANT_any_term
	term = s->term;
#endif
	return term != s->term;
}

static void decide(struct fsm *f, const struct command *c, uint64_t term,
		   struct fsm_result *result)
{
	static const uint8_t none[16];
	bool asked = memcmp(c->request, none, sizeof none) != 0;
	const struct request *before;

	if (c->type == FSM_LEAD) {
		result->refusal = apply_lead(f, &c->lead, term);
		return;
	}
	if (term_refused(&f->state, c, term)) {
		result->refusal = FSM_REFUSED_TERM;
		return;
	}
	if (!f->state.configured && c->type != FSM_CONFIG) {
		result->refusal = FSM_REFUSED_STATE;
		return;
	}
	before = asked ? fsm__request_find(&f->state, c->request) : NULL;
	if (before) {
		/* What was refused stays refused: it was never done. */
		result->refusal = before->refusal == FSM_OK
					  ? FSM_DUPLICATE
					  : (enum fsm_refusal)before->refusal;
		result->stamp = before->stamp;
		return;
	}
	result->refusal = apply_any(f, c);
	/* A nonce seen again is answered with the session it opened (R15). */
	if (c->type == FSM_REGISTER && result->refusal == FSM_DUPLICATE)
		result->stamp = f->state.crns[fsm_crn_find(&f->state,
							   &c->reg.crn)].session;
	if (asked) {
		struct request r = {.stamp = result->stamp,
				    .subject = result->subject,
				    .type = (uint8_t)c->type,
				    .refusal = (uint8_t)result->refusal};

		memcpy(r.id, c->request, sizeof r.id);
		fsm__request_add(&f->state, &r);
	}
}

static void apply_command(struct fsm *f, const struct command *c,
			  uint64_t index, uint32_t position, uint64_t term)
{
	struct fsm_result result = {
		.position = position, .type = c->type,
		.stamp = stamp_make(index, position), .subject = subject_of(c),
	};

	memcpy(result.request, c->request, sizeof result.request);
	f->stamp = result.stamp;
	decide(f, c, term, &result);
	if (f->observer && f->observer->result)
		f->observer->result(f->observer->ctx, &result);
}

void fsm_apply(struct fsm *f, uint64_t index, const void *data, size_t size,
	       const struct fsm_observer *observer)
{
	struct command command;
	uint32_t position = 0;
	int error;

	REQUIRE(index > f->state.index);
	REQUIRE(index < UINT64_C(1) << (64 - STAMP_POSITION_BITS));
	f->state.index = index;
	if (size == 0)
		return; /* only the index moves */
	f->observer = observer;
	command_cursor_close(&f->cursor);
	error = command_cursor_open(&f->cursor, data, size);
	REQUIRE(error == 0);
	while ((error = command_cursor_next(&f->cursor, &command)) == 0)
		apply_command(f, &command, index, position++, f->cursor.term);
	REQUIRE(error == BERTH_NOTFOUND);
	f->observer = NULL;
}

struct fsm *fsm_open(void)
{
	struct fsm *f = calloc(1, sizeof *f);

	REQUIRE(f);
	fsm__state_init(&f->state);
	return f;
}

void fsm_close(struct fsm *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; i < VIEWS_MAX; i++)
		REQUIRE(f->frozen[i].uses == 0);
	command_cursor_close(&f->cursor);
	fsm__state_fini(&f->state);
	free(f);
}
