/* Programs come, replace each other and go: R21.
 *
 * A lineage is a ring of records with one root hash. In it at most one record
 * is not superseded among those whose `replaces` is known: the head, found by
 * going from the root to the first child by (time, hash), again and again. A
 * record that was superseded stays so. Records that wait for an unknown
 * `replaces` stand in the ring of that unknown hash until it comes.
 */
#include "fsm/state.h"

#define EACH_MEMBER(s, first, m)                                     \
	for (slot_t m = (first), go_ = 1; m != SLOT_NONE && go_;     \
	     m = (s)->programs[m].lineage_next, go_ = m != (first))

static bool earlier(const struct program *a, const struct program *b)
{
	if (a->time_ms != b->time_ms)
		return a->time_ms < b->time_ms;
	return hash_compare(&a->hash, &b->hash) < 0;
}

/* --- superseding and going ----------------------------------------------- */

static void gone(struct fsm *f, slot_t slot, struct text reason)
{
	fsm__touch_program(f, slot);
	fsm__pending_update(&f->state, slot);
	fsm__effect(f, EFFECT_PROGRAM_GONE, slot, SLOT_NONE, reason);
	if (f->state.programs[slot].state == PROGRAM_ASSIGNED)
		fsm__revoke(f, slot, reason);
}

void fsm__supersede(struct fsm *f, slot_t slot, struct text reason)
{
	struct program *p = &f->state.programs[slot];

	if (p->superseded)
		return;
	p->superseded = true;
	gone(f, slot, reason);
}

static bool is_root(const struct fsm_view *s, slot_t slot)
{
	return fsm__hash_is(s, s->programs[slot].lineage,
			    &s->programs[slot].hash);
}

/* A root goes last: the others' lineage is its name. Those that wait for it
 * do not count: nothing of them ever ran. */
static bool root_needed(const struct fsm_view *s, slot_t root)
{
	EACH_MEMBER(s, root, m)
		if (m != root && !s->programs[m].waiting)
			return true;
	return false;
}

/* Does `slot` wait, directly or not, for `ancestor`? */
static bool waits_for(const struct fsm_view *s, slot_t slot, slot_t ancestor)
{
	for (uint32_t steps = 0; steps <= 2 * LINEAGE_MAX; steps++) {
		struct hash replaces;

		if (!s->programs[slot].waiting)
			return false;
		replaces = fsm__hash_get(s, s->programs[slot].replaces);
		slot = fsm_program_find(s, &replaces);
		if (slot == SLOT_NONE || slot == ancestor)
			return slot == ancestor;
	}
	return false;
}

/* Those that wait for a record that goes stand in the ring of its name; what
 * was found running (R17) blocks the lineage it was started with until then. */
static void leave_ring(struct fsm_view *s, slot_t slot)
{
	struct hash own = s->programs[slot].hash;
	slot_t m = s->programs[slot].lineage_next, next;

	if (is_root(s, slot))
		return;
	for (; m != slot; m = next) {
		next = s->programs[m].lineage_next;
		if (s->programs[m].crn == SLOT_NONE && waits_for(s, m, slot))
			fsm__lineage_move(s, m, &own);
	}
}

/* Where one that waits for `name` belongs: with the first that does not wait,
 * else under the name that nobody has. In a circle nobody comes first. */
static struct hash home_of(const struct fsm_view *s, struct hash name)
{
	slot_t slot = fsm_program_find(s, &name);
	struct hash first = name;

	for (uint32_t steps = 0; steps <= LINEAGE_MAX; steps++) {
		if (slot == SLOT_NONE || s->programs[slot].forgotten)
			return name;
		if (!s->programs[slot].waiting)
			return fsm__hash_get(s, s->programs[slot].lineage);
		name = fsm__hash_get(s, s->programs[slot].replaces);
		slot = fsm_program_find(s, &name);
	}
	return first;
}

void fsm__lineage_home(struct fsm_view *s, slot_t slot)
{
	struct hash home;

	if (!s->programs[slot].waiting)
		return;
	home = home_of(s, fsm__hash_get(s, s->programs[slot].replaces));
	fsm__lineage_move(s, slot, &home);
}

static void delete_record(struct fsm *f, slot_t slot)
{
	leave_ring(&f->state, slot);
	fsm__touch_program(f, slot);
	fsm__effect(f, EFFECT_PROGRAM_DELETED, slot, SLOT_NONE, fsm__text(""));
	fsm__program_drop(&f->state, slot);
}

void fsm__reap(struct fsm *f, slot_t slot)
{
	struct fsm_view *s = &f->state;
	const struct program *p = &s->programs[slot];
	struct hash lineage = fsm__hash_get(s, p->lineage);
	slot_t root;

	if (!p->forgotten || p->state != PROGRAM_FREE)
		return;
	if (!is_root(s, slot)) {
		delete_record(f, slot);
		slot = fsm_program_find(s, &lineage);
	}
	root = slot;
	if (root == SLOT_NONE || !is_root(s, root))
		return;
	p = &s->programs[root];
	if (p->forgotten && p->state == PROGRAM_FREE && !root_needed(s, root))
		delete_record(f, root);
}

/* --- arrival ------------------------------------------------------------- */

static bool same_owner(const struct program *a, const struct program *b)
{
	return a->owner == b->owner; /* interned: equal texts, equal ids */
}

/* May `p` replace `parent`? (same owner, amendable) */
static enum fsm_refusal may_replace(const struct program *parent,
				    const struct program *p)
{
	if (!same_owner(parent, p))
		return FSM_REFUSED_OWNER;
	if (!parent->amendable)
		return FSM_REFUSED_NOT_AMENDABLE;
	return FSM_OK;
}

/* The record that `p` replaces, if it can be replaced now. */
static slot_t find_parent(const struct fsm_view *s, const struct program *p)
{
	struct hash replaces = fsm__hash_get(s, p->replaces);
	slot_t parent = fsm_program_find(s, &replaces);

	if (parent == SLOT_NONE || s->programs[parent].waiting ||
	    s->programs[parent].forgotten)
		return SLOT_NONE;
	return parent;
}

static bool has_earlier_sibling(const struct fsm_view *s, slot_t slot)
{
	const struct program *p = &s->programs[slot];

	EACH_MEMBER(s, slot, m) {
		const struct program *q = &s->programs[m];

		if (m != slot && !q->waiting && !q->forgotten &&
		    q->has_replaces && q->replaces == p->replaces &&
		    earlier(q, p))
			return true;
	}
	return false;
}

static void mark_ancestors(struct fsm_view *s, slot_t slot, bool mark)
{
	uint32_t steps = 0;

	while (slot != SLOT_NONE && steps++ <= 2 * LINEAGE_MAX) {
		struct hash replaces;

		s->programs[slot].mark = mark;
		if (!s->programs[slot].has_replaces)
			break;
		replaces = fsm__hash_get(s, s->programs[slot].replaces);
		slot = fsm_program_find(s, &replaces);
	}
}

/* The newcomer is the head: what it descends from is superseded, everything
 * else in the ring lost. */
static void win(struct fsm *f, slot_t slot)
{
	struct fsm_view *s = &f->state;

	mark_ancestors(s, slot, true);
	EACH_MEMBER(s, slot, m) {
		struct program *q = &s->programs[m];

		if (m == slot || q->waiting)
			continue;
		q->loser = q->loser || !q->mark;
		fsm__supersede(f, m, fsm__text("superseded"));
	}
	mark_ancestors(s, slot, false);
}

/* R21, when the record that `slot` replaces is known. */
static void contest(struct fsm *f, slot_t slot, slot_t parent)
{
	struct fsm_view *s = &f->state;
	struct program *p = &s->programs[slot];

	if (s->programs[parent].loser || has_earlier_sibling(s, slot)) {
		p->loser = true;
		fsm__supersede(f, slot, fsm__text("another came first"));
		return;
	}
	win(f, slot);
}

/* A waiting record whose `replaces` can be looked at now. */
static slot_t next_ready(const struct fsm_view *s, slot_t ring)
{
	EACH_MEMBER(s, ring, m) {
		const struct program *p = &s->programs[m];

		if (p->waiting && !p->forgotten &&
		    find_parent(s, p) != SLOT_NONE)
			return m;
	}
	return SLOT_NONE;
}

static void settle_waiting(struct fsm *f, slot_t slot)
{
	struct fsm_view *s = &f->state;
	struct program *p = &s->programs[slot];
	slot_t parent = find_parent(s, p);
	enum fsm_refusal refusal = may_replace(&s->programs[parent], p);

	p->waiting = false;
	if (refusal == FSM_OK) {
		contest(f, slot, parent);
		fsm__touch_program(f, slot);
		fsm__pending_update(s, slot);
		return;
	}
	/* It was never valid: as if it had not come. */
	p->forgotten = p->superseded = true;
	gone(f, slot, fsm__text(fsm_refusal_text(refusal)));
	fsm__reap(f, slot);
}

/* Brings those that waited for `slot` into its ring, first ones first. */
static void gather(struct fsm *f, slot_t slot)
{
	struct fsm_view *s = &f->state;
	struct hash own = s->programs[slot].hash;
	struct hash lineage = fsm__hash_get(s, s->programs[slot].lineage);
	slot_t ring = fsm__lineage_find(s, &own), m, last;

	if (ring == SLOT_NONE || hash_equal(&own, &lineage))
		return;
	last = s->programs[ring].lineage_prev;
	for (m = ring;; m = ring) {
		bool end = m == last;

		ring = s->programs[m].lineage_next;
		if (s->programs[m].waiting)
			fsm__lineage_move(s, m, &lineage);
		if (end)
			return;
	}
}

static uint32_t ring_size(const struct fsm_view *s, const struct hash *root)
{
	slot_t first = fsm__lineage_find(s, root);
	uint32_t count = 0;

	EACH_MEMBER(s, first, m)
		count++;
	return count;
}

/* --- ProgramPut ---------------------------------------------------------- */

/* R25: an instance has data wherever it runs. */
static bool has_data(const struct command_program_put *c)
{
	return c->has_data || c->kind == KIND_INSTANCE;
}

static void fill(struct fsm_view *s, struct program *p,
		 const struct command_program_put *c)
{
	uint32_t tokens = p->tokens;

	p->guarantee = (uint8_t)c->guarantee;
	p->has_data = has_data(c);
	p->move_without_data = c->move_without_data;
	p->has_node_pin = c->has_node_pin;
	p->code_revision = c->code_revision;
	p->vcpus = c->vcpus;
	p->memory_mib = c->memory_mib;
	p->disk_mib = c->disk_mib;
	fsm__text_set(s, &p->name, &c->name);
	fsm__hash_set(s, &p->node_pin, &c->node_pin);
	p->tokens = fsm__tokens_take(s, c->tokens, c->token_count);
	fsm__tokens_give(s, tokens);
}

static void fill_identity(struct fsm_view *s, struct program *p,
			  const struct command_program_put *c)
{
	p->source = (uint8_t)c->source;
	p->kind = (uint8_t)c->kind;
	p->amendable = c->amendable;
	p->persistent = c->persistent;
	p->has_replaces = c->has_replaces;
	p->time_ms = c->time_ms;
	fsm__text_set(s, &p->owner, &c->owner);
	if (c->has_replaces)
		fsm__hash_set(s, &p->replaces, &c->replaces);
}

static bool text_same(const struct fsm_view *s, uint32_t id,
		      const struct text *text)
{
	return fsm__pool_find(&s->texts, text->data, text->size) == id;
}

static bool same_identity(const struct fsm_view *s, const struct program *p,
			  const struct command_program_put *c)
{
	return p->source == c->source && p->kind == c->kind &&
	       p->amendable == c->amendable && p->time_ms == c->time_ms &&
	       p->persistent == c->persistent &&
	       p->has_replaces == c->has_replaces &&
	       (!c->has_replaces ||
		fsm__hash_is(s, p->replaces, &c->replaces)) &&
	       text_same(s, p->owner, &c->owner);
}

static bool same_tokens(const struct fsm_view *s, const struct program *p,
			const struct command_program_put *c)
{
	struct text own[FSM_TOKENS_MAX];

	if (fsm__tokens_read(s, p->tokens, own) != c->token_count)
		return false;
	for (uint32_t i = 0; i < c->token_count; i++)
		if (own[i].size != c->tokens[i].size ||
		    memcmp(own[i].data, c->tokens[i].data, own[i].size) != 0)
			return false;
	return true;
}

static bool same_wishes(const struct fsm_view *s, const struct program *p,
			const struct command_program_put *c)
{
	return p->guarantee == c->guarantee && p->has_data == has_data(c) &&
	       p->move_without_data == c->move_without_data &&
	       p->has_node_pin == c->has_node_pin &&
	       p->code_revision == c->code_revision && p->vcpus == c->vcpus &&
	       p->memory_mib == c->memory_mib && p->disk_mib == c->disk_mib &&
	       fsm__hash_is(s, p->node_pin, &c->node_pin) &&
	       text_same(s, p->name, &c->name) && same_tokens(s, p, c);
}

/* The same hash again: new code, or a wish that the channel let change. */
static enum fsm_refusal put_again(struct fsm *f, slot_t slot,
				  const struct command_program_put *c)
{
	struct fsm_view *s = &f->state;
	struct program *p = &s->programs[slot];
	slot_t crn = p->crn, last = p->last_crn;

	if (p->forgotten)
		return FSM_REFUSED_STATE; /* it is on its way out */
	if (!same_identity(s, p, c))
		return FSM_REFUSED_CONFLICT;
	if (same_wishes(s, p, c))
		return FSM_DUPLICATE;
	if (p->source == SOURCE_OPERATOR)
		return FSM_REFUSED_CONFLICT;
	if (crn != SLOT_NONE) {
		fsm__crn_unlink(s, slot);
		fill(s, p, c);
		fsm__crn_link(s, slot, crn);
		p->last_crn = last;
		fsm__touch_desired(f, crn);
	} else {
		fill(s, p, c);
	}
	fsm__touch_program(f, slot);
	fsm__effect(f, EFFECT_PROGRAM_KNOWN, slot, SLOT_NONE,
		    fsm__text("changed"));
	return FSM_OK;
}

/* Where a newcomer belongs: its lineage, and whether it must wait. */
static enum fsm_refusal find_place(const struct fsm_view *s,
				   const struct command_program_put *c,
				   struct hash *lineage, slot_t *parent)
{
	const struct program *m;
	slot_t slot;

	*parent = SLOT_NONE;
	*lineage = c->has_replaces ? c->replaces : c->program;
	if (!c->has_replaces)
		return FSM_OK;
	slot = fsm_program_find(s, &c->replaces);
	if (slot == SLOT_NONE || s->programs[slot].forgotten)
		return FSM_OK;
	m = &s->programs[slot];
	if (!text_same(s, m->owner, &c->owner))
		return FSM_REFUSED_OWNER;
	if (!m->amendable)
		return FSM_REFUSED_NOT_AMENDABLE;
	*lineage = home_of(s, c->replaces);
	if (!m->waiting)
		*parent = slot;
	return FSM_OK;
}

/* R17: what was put in the lost tail may run somewhere; so a newcomer waits
 * for the survey as well, unless it could never have been held. */
static bool born_lost(const struct fsm_view *s, const struct program *p)
{
	return s->unsurveyed_count > 0 &&
	       !(s->no_holds && p->guarantee == GUARANTEE_EXCLUSIVE);
}

static enum fsm_refusal put_new(struct fsm *f,
				const struct command_program_put *c)
{
	struct fsm_view *s = &f->state;
	enum fsm_refusal refusal;
	struct hash lineage;
	slot_t parent, slot, ready;

	if (s->program_count >= s->config.programs_max)
		return FSM_REFUSED_FULL;
	refusal = find_place(s, c, &lineage, &parent);
	if (refusal != FSM_OK)
		return refusal;
	if (ring_size(s, &lineage) >= LINEAGE_MAX ||
	    ring_size(s, &c->program) >= LINEAGE_MAX)
		return FSM_REFUSED_FULL;
	slot = fsm__program_new(s, &c->program, &lineage);
	fill_identity(s, &s->programs[slot], c);
	fill(s, &s->programs[slot], c);
	s->programs[slot].since_wall_ms = s->wall_ms;
	s->programs[slot].waiting = c->has_replaces && parent == SLOT_NONE;
	fsm__set_state(s, slot, born_lost(s, &s->programs[slot])
					? PROGRAM_LOST : PROGRAM_FREE);
	fsm__touch_program(f, slot);
	fsm__effect(f, c->persistent ? EFFECT_PROGRAM_KNOWN
				     : EFFECT_PROGRAM_GONE,
		    slot, SLOT_NONE, fsm__text(""));
	if (parent != SLOT_NONE)
		contest(f, slot, parent);
	gather(f, slot);
	while ((ready = next_ready(s, slot)) != SLOT_NONE)
		settle_waiting(f, ready);
	return FSM_OK;
}

APPLY(program_put, command_program_put)
{
	slot_t slot = fsm_program_find(&f->state, &c->program);

	if (hash_is_zero(&c->program) || c->vcpus > VCPUS_MAX ||
	    c->memory_mib > MIB_MAX || c->disk_mib > MIB_MAX ||
	    (c->has_replaces && (hash_is_zero(&c->replaces) ||
				 hash_equal(&c->replaces, &c->program))) ||
	    (c->has_node_pin && hash_is_zero(&c->node_pin)))
		return FSM_REFUSED_MALFORMED;
	return slot == SLOT_NONE ? put_new(f, c) : put_again(f, slot, c);
}

/* --- ProgramForget ------------------------------------------------------- */

APPLY(program_forget, command_program_forget)
{
	struct fsm_view *s = &f->state;
	slot_t slot = fsm_program_find(s, &c->program);
	struct program *p;

	if (slot == SLOT_NONE)
		return FSM_REFUSED_UNKNOWN_PROGRAM;
	p = &s->programs[slot];
	if (p->forgotten)
		return FSM_DUPLICATE;
	p->forgotten = p->superseded = true;
	gone(f, slot, c->reason);
	fsm__reap(f, slot);
	return FSM_OK;
}
