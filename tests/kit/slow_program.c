/* Programs: puts, forgets, who supersedes whom (R21). */
#include "tests/kit/slow_state.h"

#include <stdlib.h>

struct slow_program *slow__new_program(struct slow *s, const struct hash *hash)
{
	struct slow_program *p;

	if (s->program_count == s->program_room) {
		s->program_room = s->program_room * 2 + 16;
		s->programs = realloc(s->programs, s->program_room *
						   sizeof *s->programs);
		REQUIRE(s->programs);
	}
	p = &s->programs[s->program_count++];
	memset(p, 0, sizeof *p);
	p->hash = *hash;
	p->touched = true;
	p->wish = calloc(1, sizeof *p->wish);
	REQUIRE(p->wish);
	return p;
}

/* Nothing stands against its running but what others do. */
bool slow__wanted(const struct slow_program *p)
{
	return p->wish->persistent && !p->superseded && !p->forgotten &&
	       !p->waiting;
}

bool slow__lineage_busy(const struct slow *s, const struct slow_program *p)
{
	for (uint32_t i = 0; i < s->program_count; i++) {
		const struct slow_program *q = &s->programs[i];

		if (q != p && q->state != PROGRAM_FREE &&
		    slow__same(&q->lineage, &p->lineage))
			return true;
	}
	return false;
}

void slow__set_changed(struct slow *s, const struct hash *crn)
{
	struct slow_crn *c = slow__crn(s, crn);

	if (!c)
		return;
	c->changed = s->stamp;
	c->touched = true;
}

void slow__revoke(struct slow *s, struct slow_program *p)
{
	p->touched = true;
	if (p->state != PROGRAM_ASSIGNED)
		return;
	p->state = PROGRAM_REVOKING;
	p->v_rev = s->stamp;
	slow__set_changed(s, &p->crn);
}

/* Where one that waits for `name` belongs: with the first that does not wait,
 * else under the name that nobody has. In a circle nobody comes first. */
static struct hash home_of(struct slow *s, struct hash name)
{
	const struct slow_program *p = slow__program(s, &name);
	struct hash first = name;

	for (uint32_t steps = 0; steps <= s->program_count; steps++) {
		if (!p || p->forgotten)
			return name;
		if (!p->waiting)
			return p->lineage;
		name = p->wish->replaces;
		p = slow__program(s, &name);
	}
	return first;
}

/* R17: what a restore left in doubt is not free before the survey ended. */
void slow__release(struct slow *s, struct slow_program *p)
{
	static const struct hash none;

	slow__set_changed(s, &p->crn);
	p->touched = true;
	p->state = p->lost && slow__survey_due(s) ? PROGRAM_LOST
						  : PROGRAM_FREE;
	p->lost = false;
	p->crn = p->host = none;
	p->session = p->v_rev = 0;
	p->hold = false;
	if (p->waiting)
		p->lineage = home_of(s, p->wish->replaces);
}

static void supersede(struct slow *s, struct slow_program *p)
{
	p->touched = true;
	p->superseded = true;
	slow__revoke(s, p);
}

/* --- records that go ----------------------------------------------------- */

static uint32_t count_lineage(const struct slow *s, const struct hash *lineage)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < s->program_count; i++)
		count += slow__same(&s->programs[i].lineage, lineage);
	return count;
}

/* A lineage root's record goes last; who waits has not begun. */
static bool may_go(const struct slow *s, const struct slow_program *p)
{
	if (!p->forgotten || p->state != PROGRAM_FREE)
		return false;
	if (!slow__same(&p->hash, &p->lineage))
		return true;
	for (uint32_t i = 0; i < s->program_count; i++)
		if (&s->programs[i] != p && !s->programs[i].waiting &&
		    slow__same(&s->programs[i].lineage, &p->lineage))
			return false;
	return true;
}

/* Directly, or by others who wait. */
static bool waits_for(struct slow *s, const struct slow_program *p,
		      const struct slow_program *whom)
{
	for (uint32_t steps = 0; steps <= s->program_count; steps++) {
		if (!p || !p->waiting)
			return false;
		p = slow__program(s, &p->wish->replaces);
		if (p == whom)
			return true;
	}
	return false;
}

/* Who waited for it waits for its name; what runs keeps its lineage. */
static void delete(struct slow *s, struct slow_program *p)
{
	for (uint32_t i = 0; i < s->program_count; i++) {
		struct slow_program *q = &s->programs[i];

		if (q == p || slow__placed(q) ||
		    !slow__same(&q->lineage, &p->lineage) ||
		    slow__same(&p->lineage, &p->hash) || !waits_for(s, q, p))
			continue;
		q->lineage = p->hash;
		q->touched = true;
	}
	free(p->wish);
	*p = s->programs[--s->program_count];
}

void slow__sweep(struct slow *s)
{
	uint32_t i = 0;

	while (i < s->program_count) {
		if (!may_go(s, &s->programs[i])) {
			i++;
			continue;
		}
		delete(s, &s->programs[i]);
		i = 0;
	}
}

/* --- lineages ------------------------------------------------------------ */

static bool sibling_first(const struct slow_program *a,
			  const struct slow_program *b)
{
	if (a->wish->time_ms != b->wish->time_ms)
		return a->wish->time_ms < b->wish->time_ms;
	return hash_compare(&a->hash, &b->hash) < 0;
}

/* What p replaces, if that is known. */
static struct slow_program *replaced(struct slow *s,
				     const struct slow_program *p)
{
	struct slow_program *r = NULL;

	if (p->wish->has_replaces)
		r = slow__program(s, &p->wish->replaces);
	return r && !r->forgotten ? r : NULL;
}

static bool beaten(struct slow *s, const struct slow_program *p)
{
	for (uint32_t i = 0; i < s->program_count; i++) {
		const struct slow_program *q = &s->programs[i];

		if (q != p && q->wish->has_replaces && !q->waiting &&
		    !q->forgotten &&
		    slow__same(&q->lineage, &p->lineage) &&
		    slow__same(&q->wish->replaces, &p->wish->replaces) &&
		    sibling_first(q, p))
			return true;
	}
	return false;
}

static bool descends(struct slow *s, const struct slow_program *p,
		     const struct slow_program *from)
{
	for (uint32_t steps = 0; steps <= s->program_count; steps++) {
		if (!p || !p->wish->has_replaces)
			return false;
		p = slow__program(s, &p->wish->replaces);
		if (p == from)
			return true;
	}
	return false;
}

/* R21: `p` replaces `r`, both of one lineage, which has one head. */
static void contest(struct slow *s, struct slow_program *p,
		    const struct slow_program *r)
{
	if (r->loser || beaten(s, p)) {
		p->loser = true;
		supersede(s, p);
		return;
	}
	for (uint32_t i = 0; i < s->program_count; i++) {
		struct slow_program *q = &s->programs[i];

		if (q == p || q->waiting ||
		    !slow__same(&q->lineage, &p->lineage))
			continue;
		q->loser = q->loser || !descends(s, p, q);
		supersede(s, q);
	}
}

static enum fsm_refusal may_replace(const struct slow_program *p,
				    const struct slow_program *r)
{
	if (!slow__text_is(&p->wish->owner, &r->wish->owner))
		return FSM_REFUSED_OWNER;
	return r->wish->amendable ? FSM_OK : FSM_REFUSED_NOT_AMENDABLE;
}

/* `r` has come. */
static void settle(struct slow *s, struct slow_program *p,
		   const struct slow_program *r)
{
	p->touched = true;
	p->waiting = false;
	if (may_replace(p, r) == FSM_OK) {
		contest(s, p, r);
		return;
	}
	p->forgotten = true;
	supersede(s, p);
}

static bool settle_one(struct slow *s, const struct hash *lineage)
{
	for (uint32_t i = 0; i < s->program_count; i++) {
		struct slow_program *p = &s->programs[i];
		const struct slow_program *r = replaced(s, p);

		if (!p->waiting || p->forgotten || !r || r->waiting ||
		    !slow__same(&p->lineage, lineage))
			continue;
		settle(s, p, r);
		return true;
	}
	return false;
}

/* Those that waited for its name come into its lineage, and may begin. */
static void settle_waiting(struct slow *s, const struct slow_program *come)
{
	for (uint32_t i = 0; i < s->program_count; i++) {
		struct slow_program *p = &s->programs[i];

		if (!p->waiting || !slow__same(&p->lineage, &come->hash))
			continue;
		p->lineage = come->lineage;
		p->touched = true;
	}
	while (settle_one(s, &come->lineage))
		;
}

/* --- commands ------------------------------------------------------------ */

static void take_wish(struct slow_wish *w, const struct command_program_put *m)
{
	w->source = m->source;
	w->kind = m->kind;
	w->guarantee = m->guarantee;
	w->amendable = m->amendable;
	w->has_data = m->has_data || m->kind == KIND_INSTANCE;
	w->move_without_data = m->move_without_data;
	w->persistent = m->persistent;
	w->has_replaces = m->has_replaces;
	if (m->has_replaces)
		w->replaces = m->replaces;
	w->has_node_pin = m->has_node_pin;
	w->node_pin = m->node_pin;
	w->time_ms = m->time_ms;
	w->code_revision = m->code_revision;
	w->memory_mib = m->memory_mib;
	w->disk_mib = m->disk_mib;
	w->vcpus = m->vcpus;
	w->owner = slow__text(&m->owner);
	w->name = slow__text(&m->name);
	slow__tokens(&w->tokens, m->token_count, m->tokens);
}

/* What a message's hash stands for never changes. */
static bool same_message(const struct slow_wish *a, const struct slow_wish *b)
{
	return a->source == b->source && a->kind == b->kind &&
	       a->amendable == b->amendable && a->time_ms == b->time_ms &&
	       a->persistent == b->persistent &&
	       a->has_replaces == b->has_replaces &&
	       slow__same(&a->replaces, &b->replaces) &&
	       slow__text_is(&a->owner, &b->owner);
}

static bool same_wish(const struct slow_wish *a, const struct slow_wish *b)
{
	return a->guarantee == b->guarantee && a->has_data == b->has_data &&
	       a->move_without_data == b->move_without_data &&
	       a->code_revision == b->code_revision &&
	       a->has_node_pin == b->has_node_pin &&
	       slow__same(&a->node_pin, &b->node_pin) &&
	       a->vcpus == b->vcpus && a->memory_mib == b->memory_mib &&
	       a->disk_mib == b->disk_mib &&
	       slow__text_is(&a->name, &b->name) &&
	       slow__tokens_are(&a->tokens, &b->tokens);
}

static enum fsm_refusal put_again(struct slow *s, struct slow_program *p,
				  const struct slow_wish *w)
{
	p->touched = true;
	if (p->forgotten)
		return FSM_REFUSED_STATE;
	if (!same_message(p->wish, w))
		return FSM_REFUSED_CONFLICT;
	if (same_wish(p->wish, w))
		return FSM_DUPLICATE;
	if (w->source == SOURCE_OPERATOR)
		return FSM_REFUSED_CONFLICT;
	*p->wish = *w;
	slow__set_changed(s, &p->crn);
	return FSM_OK;
}

/* As if the newest record had not come. */
static enum fsm_refusal undo(struct slow *s, enum fsm_refusal refusal)
{
	free(s->programs[--s->program_count].wish);
	return refusal;
}

static enum fsm_refusal put_new(struct slow *s, const struct hash *hash,
				const struct slow_wish *w)
{
	struct slow_program *p, *r = NULL;

	if (s->program_count >= s->config.programs_max)
		return FSM_REFUSED_FULL;
	p = slow__new_program(s, hash);
	*p->wish = *w;
	r = replaced(s, p);
	if (r && may_replace(p, r) != FSM_OK)
		return undo(s, may_replace(p, r));
	p->lineage = *hash;
	if (w->has_replaces)
		p->lineage = home_of(s, w->replaces);
	if (count_lineage(s, &p->lineage) > SLOW_LINEAGE ||
	    count_lineage(s, hash) >= SLOW_LINEAGE)
		return undo(s, FSM_REFUSED_FULL);
	p->waiting = w->has_replaces && (!r || r->waiting);
	if (slow__survey_due(s) &&
	    !(s->no_holds && w->guarantee == GUARANTEE_EXCLUSIVE))
		p->state = PROGRAM_LOST;
	if (r && !r->waiting)
		contest(s, p, r);
	settle_waiting(s, p);
	return FSM_OK;
}

enum fsm_refusal slow__put(struct slow *s, const struct command_program_put *m)
{
	struct slow_program *p = slow__program(s, &m->program);
	struct slow_wish w = {0};

	if (hash_is_zero(&m->program) || m->vcpus > SLOW_VCPUS ||
	    m->memory_mib > SLOW_MIB || m->disk_mib > SLOW_MIB ||
	    (m->has_node_pin && hash_is_zero(&m->node_pin)) ||
	    (m->has_replaces && (hash_is_zero(&m->replaces) ||
				 slow__same(&m->replaces, &m->program))))
		return FSM_REFUSED_MALFORMED;
	take_wish(&w, m);
	return p ? put_again(s, p, &w) : put_new(s, &m->program, &w);
}

enum fsm_refusal slow__forget(struct slow *s,
			      const struct command_program_forget *m)
{
	struct slow_program *p = slow__program(s, &m->program);

	if (!p)
		return FSM_REFUSED_UNKNOWN_PROGRAM;
	if (p->forgotten)
		return FSM_DUPLICATE;
	p->forgotten = true;
	supersede(s, p);
	return FSM_OK;
}
