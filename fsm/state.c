/* Records and their links: slots, rings, lists, counts. */
#include "fsm/state.h"

#include <stdlib.h>

void fsm__state_init(struct fsm_view *s)
{
	memset(s, 0, sizeof *s);
	s->program_free = SLOT_NONE;
	s->crn_free = SLOT_NONE;
	s->exclusion_free = ID_NONE;
	fsm__pool_init(&s->texts);
	fsm__pool_init(&s->sets);
}

void fsm__state_fini(struct fsm_view *s)
{
	free(s->programs);
	free(s->crns);
	free(s->exclusions);
	free(s->moves);
	free(s->requests);
	free(s->pending);
	fsm__pool_fini(&s->texts);
	fsm__pool_fini(&s->sets);
	fsm__index_fini(&s->program_index);
	fsm__index_fini(&s->crn_index);
	fsm__index_fini(&s->lineage_index);
	fsm__index_fini(&s->request_index);
}

/* --- hashes and texts ---------------------------------------------------- */

uint32_t fsm__hash_take(struct fsm_view *s, const struct hash *hash)
{
	return hash_is_zero(hash) ? 0
				  : fsm__pool_take(&s->texts, hash->bytes,
						   sizeof hash->bytes);
}

struct hash fsm__hash_get(const struct fsm_view *s, uint32_t id)
{
	struct hash hash = {{0}};

	if (id != 0) {
		struct text text = fsm__pool_get(&s->texts, id);

		REQUIRE(text.size == sizeof hash.bytes);
		memcpy(hash.bytes, text.data, sizeof hash.bytes);
	}
	return hash;
}

bool fsm__hash_is(const struct fsm_view *s, uint32_t id,
		  const struct hash *hash)
{
	struct hash own = fsm__hash_get(s, id);

	return hash_equal(&own, hash);
}

uint32_t fsm__text_take(struct fsm_view *s, const struct text *text)
{
	return fsm__pool_take(&s->texts, text->data, text->size);
}

void fsm__text_set(struct fsm_view *s, uint32_t *id, const struct text *text)
{
	uint32_t old = *id;

	*id = fsm__text_take(s, text);
	fsm__pool_give(&s->texts, old);
}

void fsm__hash_set(struct fsm_view *s, uint32_t *id, const struct hash *hash)
{
	uint32_t old = *id;

	*id = fsm__hash_take(s, hash);
	fsm__pool_give(&s->texts, old);
}

uint32_t fsm__tokens_take(struct fsm_view *s, const struct text *tokens,
			  uint32_t count)
{
	uint32_t ids[FSM_TOKENS_MAX], size = count * 4, known;

	REQUIRE(count <= FSM_TOKENS_MAX);
	if (count == 0)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		ids[i] = fsm__text_take(s, &tokens[i]);
	known = fsm__pool_find(&s->sets, ids, size);
	/* A set that is there has a use of each token already. */
	for (uint32_t i = 0; known != ID_NONE && i < count; i++)
		fsm__pool_give(&s->texts, ids[i]);
	return fsm__pool_take(&s->sets, ids, size);
}

static uint32_t id_at(const uint8_t *ids, uint32_t i)
{
	uint32_t id;

	memcpy(&id, ids + i * sizeof id, sizeof id);
	return id;
}

void fsm__tokens_give(struct fsm_view *s, uint32_t set)
{
	uint32_t ids[FSM_TOKENS_MAX], count;
	const uint8_t *at = fsm__tokens_get(s, set, &count);

	for (uint32_t i = 0; i < count; i++)
		ids[i] = id_at(at, i);
	if (!fsm__pool_give(&s->sets, set))
		return;
	for (uint32_t i = 0; i < count; i++)
		fsm__pool_give(&s->texts, ids[i]);
}

const uint8_t *fsm__tokens_get(const struct fsm_view *s, uint32_t set,
			       uint32_t *count)
{
	struct text ids = fsm__pool_get(&s->sets, set);

	*count = ids.size / 4;
	return (const uint8_t *)ids.data;
}

uint32_t fsm__tokens_read(const struct fsm_view *s, uint32_t set,
			  struct text tokens[FSM_TOKENS_MAX])
{
	uint32_t count;
	const uint8_t *ids = fsm__tokens_get(s, set, &count);

	for (uint32_t i = 0; i < count; i++)
		tokens[i] = fsm__pool_get(&s->texts, id_at(ids, i));
	return count;
}

/* --- programs ------------------------------------------------------------ */

bool fsm__wanted(const struct program *p)
{
	return p->persistent && !p->superseded && !p->waiting && !p->forgotten;
}

void fsm__pending_update(struct fsm_view *s, slot_t slot)
{
	const struct program *p = &s->programs[slot];
	uint64_t bit = UINT64_C(1) << (slot % 64);
	uint64_t *word;
	bool pending;

	s->pending = fsm__grow(s->pending, &s->pending_capacity, slot / 64 + 1,
			       sizeof *s->pending);
	word = &s->pending[slot / 64];
	pending = p->used && p->state == PROGRAM_FREE && fsm__wanted(p);
	if (pending && !(*word & bit))
		s->pending_count++;
	else if (!pending && (*word & bit))
		s->pending_count--;
	*word = pending ? *word | bit : *word & ~bit;
}

static uint64_t key_of(const struct fsm_view *s, const struct hash *hash)
{
	return fsm__mix(s->hash_seed, hash->bytes, sizeof hash->bytes);
}

static void lineage_leave(struct fsm_view *s, slot_t slot)
{
	struct program *p = &s->programs[slot];
	struct hash root = fsm__hash_get(s, p->lineage);

	if (p->lineage_head) {
		fsm__index_remove(&s->lineage_index, key_of(s, &root), slot);
		p->lineage_head = false;
		if (p->lineage_next != slot) {
			s->programs[p->lineage_next].lineage_head = true;
			fsm__lineage_index_add(s, p->lineage_next);
		}
	}
	s->programs[p->lineage_prev].lineage_next = p->lineage_next;
	s->programs[p->lineage_next].lineage_prev = p->lineage_prev;
	fsm__pool_give(&s->texts, p->lineage);
	p->lineage = 0;
}

static void lineage_join(struct fsm_view *s, slot_t slot,
			 const struct hash *root)
{
	struct program *p = &s->programs[slot];
	slot_t head = fsm__lineage_find(s, root);

	p->lineage = fsm__hash_take(s, root);
	if (head == SLOT_NONE) {
		p->lineage_next = p->lineage_prev = slot;
		p->lineage_head = true;
		fsm__lineage_index_add(s, slot);
		return;
	}
	p->lineage_next = head;
	p->lineage_prev = s->programs[head].lineage_prev;
	s->programs[p->lineage_prev].lineage_next = slot;
	s->programs[head].lineage_prev = slot;
}

static bool lineage_match(const void *ctx, uint32_t value, const void *key)
{
	const struct fsm_view *s = ctx;

	return fsm__hash_is(s, s->programs[value].lineage, key);
}

slot_t fsm__lineage_find(const struct fsm_view *s, const struct hash *root)
{
	return fsm__index_find(&s->lineage_index, key_of(s, root),
			       lineage_match, s, root);
}

void fsm__lineage_index_add(struct fsm_view *s, slot_t slot)
{
	struct hash root = fsm__hash_get(s, s->programs[slot].lineage);

	fsm__index_add(&s->lineage_index, key_of(s, &root), slot);
}

void fsm__lineage_move(struct fsm_view *s, slot_t slot, const struct hash *to)
{
	lineage_leave(s, slot);
	lineage_join(s, slot, to);
}

slot_t fsm__program_new(struct fsm_view *s, const struct hash *hash,
			const struct hash *lineage)
{
	slot_t slot = s->program_free;
	struct program *p;

	if (slot == SLOT_NONE) {
		slot = s->program_bound++;
		s->programs = fsm__grow(s->programs, &s->program_capacity,
					s->program_bound, sizeof *s->programs);
	} else {
		s->program_free = s->programs[slot].crn_next;
	}
	p = &s->programs[slot];
	memset(p, 0, sizeof *p);
	p->hash = *hash;
	p->used = true;
	p->crn = p->crn_next = p->crn_prev = p->last_crn = SLOT_NONE;
	p->exclusion = ID_NONE;
	lineage_join(s, slot, lineage);
	fsm__index_add(&s->program_index, key_of(s, hash), slot);
	s->program_count++;
	return slot;
}

void fsm__program_drop(struct fsm_view *s, slot_t slot)
{
	struct program *p = &s->programs[slot];

	REQUIRE(p->state == PROGRAM_FREE && p->crn == SLOT_NONE);
	lineage_leave(s, slot);
	fsm__index_remove(&s->program_index, key_of(s, &p->hash), slot);
	fsm__exclusions_drop(s, p);
	fsm__pool_give(&s->texts, p->replaces);
	fsm__pool_give(&s->texts, p->node_pin);
	fsm__pool_give(&s->texts, p->data_crn);
	fsm__pool_give(&s->texts, p->host);
	fsm__pool_give(&s->texts, p->owner);
	fsm__pool_give(&s->texts, p->name);
	fsm__tokens_give(s, p->tokens);
	memset(p, 0, sizeof *p);
	p->crn_next = s->program_free;
	s->program_free = slot;
	s->program_count--;
	fsm__pending_update(s, slot);
}

void fsm__set_state(struct fsm_view *s, slot_t slot, enum program_state state)
{
	struct program *p = &s->programs[slot];
	bool was = p->state == PROGRAM_ASSIGNED;
	bool is = state == PROGRAM_ASSIGNED;

	if (p->crn != SLOT_NONE && p->state == PROGRAM_REVOKING)
		s->crns[p->crn].revoking_count--;
	if (p->crn != SLOT_NONE && state == PROGRAM_REVOKING)
		s->crns[p->crn].revoking_count++;
	s->assigned_count += is;
	s->assigned_count -= was;
	p->state = (uint8_t)state;
	fsm__pending_update(s, slot);
}

/* --- CRNs ---------------------------------------------------------------- */

slot_t fsm__crn_new(struct fsm_view *s, const struct hash *hash)
{
	slot_t slot = s->crn_free;
	struct crn *c;

	if (slot == SLOT_NONE) {
		slot = s->crn_bound++;
		s->crns = fsm__grow(s->crns, &s->crn_capacity, s->crn_bound,
				    sizeof *s->crns);
	} else {
		s->crn_free = s->crns[slot].program_first;
	}
	c = &s->crns[slot];
	memset(c, 0, sizeof *c);
	c->hash = *hash;
	c->used = c->surveyed = true;
	c->program_first = c->program_last = SLOT_NONE;
	fsm__index_add(&s->crn_index, key_of(s, hash), slot);
	s->crn_count++;
	return slot;
}

void fsm__crn_drop(struct fsm_view *s, slot_t slot)
{
	struct crn *c = &s->crns[slot];

	REQUIRE(c->program_count == 0 && c->surveyed);
	/* Another CRN may get the slot. */
	for (slot_t i = 0; i < s->program_bound; i++) {
		struct program *p = &s->programs[i];

		if (!p->used)
			continue;
		fsm__exclusion_drop(s, p, slot);
		if (p->last_crn == slot)
			p->last_crn = SLOT_NONE;
	}
	fsm__index_remove(&s->crn_index, key_of(s, &c->hash), slot);
	fsm__pool_give(&s->texts, c->name);
	fsm__pool_give(&s->texts, c->owner);
	fsm__pool_give(&s->texts, c->url);
	fsm__pool_give(&s->texts, c->unfenced_reason);
	fsm__tokens_give(s, c->tokens);
	memset(c, 0, sizeof *c);
	c->program_first = s->crn_free;
	s->crn_free = slot;
	s->crn_count--;
}

void fsm__crn_link(struct fsm_view *s, slot_t program, slot_t crn)
{
	struct program *p = &s->programs[program];
	struct crn *c = &s->crns[crn];

	REQUIRE(p->crn == SLOT_NONE);
	p->crn = p->last_crn = crn;
	p->crn_prev = c->program_last;
	p->crn_next = SLOT_NONE;
	if (c->program_last != SLOT_NONE)
		s->programs[c->program_last].crn_next = program;
	else
		c->program_first = program;
	c->program_last = program;
	c->program_count++;
	c->vcpus_used += p->vcpus;
	c->memory_mib_used += p->memory_mib;
	c->disk_mib_used += p->disk_mib;
	if (p->state == PROGRAM_REVOKING)
		c->revoking_count++;
}

void fsm__crn_unlink(struct fsm_view *s, slot_t program)
{
	struct program *p = &s->programs[program];
	struct crn *c = &s->crns[p->crn];

	if (p->crn_prev != SLOT_NONE)
		s->programs[p->crn_prev].crn_next = p->crn_next;
	else
		c->program_first = p->crn_next;
	if (p->crn_next != SLOT_NONE)
		s->programs[p->crn_next].crn_prev = p->crn_prev;
	else
		c->program_last = p->crn_prev;
	c->program_count--;
	c->vcpus_used -= p->vcpus;
	c->memory_mib_used -= p->memory_mib;
	c->disk_mib_used -= p->disk_mib;
	if (p->state == PROGRAM_REVOKING)
		c->revoking_count--;
	p->crn = p->crn_next = p->crn_prev = SLOT_NONE;
}

static bool program_match(const void *ctx, uint32_t value, const void *key)
{
	const struct fsm_view *s = ctx;

	return hash_equal(&s->programs[value].hash, key);
}

slot_t fsm_program_find(const struct fsm_view *s, const struct hash *hash)
{
	return fsm__index_find(&s->program_index, key_of(s, hash),
			       program_match, s, hash);
}

static bool crn_match(const void *ctx, uint32_t value, const void *key)
{
	const struct fsm_view *s = ctx;

	return hash_equal(&s->crns[value].hash, key);
}

slot_t fsm_crn_find(const struct fsm_view *s, const struct hash *hash)
{
	return fsm__index_find(&s->crn_index, key_of(s, hash), crn_match, s,
			       hash);
}

/* --- rebuilding what is derived ------------------------------------------ */

static bool derive_programs(struct fsm_view *s)
{
	for (slot_t i = 0; i < s->program_bound; i++) {
		struct program *p = &s->programs[i];

		/* Of unused slots too: who walks the bits goes to the bound. */
		fsm__pending_update(s, i);
		if (!p->used)
			continue;
		if (fsm_program_find(s, &p->hash) != SLOT_NONE)
			return false;
		fsm__index_add(&s->program_index, key_of(s, &p->hash), i);
		s->program_count++;
		s->assigned_count += p->state == PROGRAM_ASSIGNED;
		if (p->lineage_head) {
			struct hash root = fsm__hash_get(s, p->lineage);

			if (fsm__lineage_find(s, &root) != SLOT_NONE)
				return false;
			fsm__lineage_index_add(s, i);
		}
		if (p->crn != SLOT_NONE) {
			struct crn *c = &s->crns[p->crn];

			c->program_count++;
			c->revoking_count += p->state == PROGRAM_REVOKING;
			c->vcpus_used += p->vcpus;
			c->memory_mib_used += p->memory_mib;
			c->disk_mib_used += p->disk_mib;
		}
	}
	return true;
}

bool fsm__derive(struct fsm_view *s)
{
	uint64_t first = s->request_count > REQUESTS_MAX
				 ? s->request_count - REQUESTS_MAX : 0;

	for (slot_t i = 0; i < s->crn_bound; i++) {
		const struct crn *c = &s->crns[i];

		if (!c->used)
			continue;
		if (fsm_crn_find(s, &c->hash) != SLOT_NONE)
			return false;
		fsm__index_add(&s->crn_index, key_of(s, &c->hash), i);
		s->crn_count++;
		s->unsurveyed_count += !c->surveyed;
	}
	for (uint64_t n = first; n < s->request_count; n++)
		fsm__index_add(&s->request_index,
			       fsm__mix(0, s->requests[n % REQUESTS_MAX].id, 16),
			       (uint32_t)(n % REQUESTS_MAX));
	return derive_programs(s);
}
