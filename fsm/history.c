/* What the state remembers of the past: moves, exclusions, requests. */
#include "fsm/state.h"

/* --- moves --------------------------------------------------------------- */

const struct move *fsm__move_at(const struct fsm_view *s, uint64_t serial)
{
	if (serial == 0 || serial + MOVES_MAX <= s->move_count)
		return NULL;
	return &s->moves[(serial - 1) % MOVES_MAX];
}

void fsm__move_add(struct fsm_view *s, slot_t program, const struct move *move)
{
	uint32_t at = (uint32_t)(s->move_count % MOVES_MAX);
	struct program *p = &s->programs[program];

	s->moves = fsm__grow(s->moves, &s->move_capacity, at + 1,
			     sizeof *s->moves);
	if (s->move_count >= MOVES_MAX) {
		fsm__pool_give(&s->texts, s->moves[at].crn);
		fsm__pool_give(&s->texts, s->moves[at].reason);
	}
	s->moves[at] = *move;
	s->moves[at].prev = p->move_last;
	p->move_last = ++s->move_count;
}

uint32_t fsm_program_moves(const struct fsm_view *s, slot_t program,
			   struct fsm_move *moves, uint32_t max)
{
	const struct move *m = fsm__move_at(s, s->programs[program].move_last);
	uint32_t count = 0;

	for (; m && count < MOVES_SHOWN_MAX; m = fsm__move_at(s, m->prev)) {
		if (count < max)
			moves[count] = (struct fsm_move){
				.crn = fsm__hash_get(s, m->crn),
				.epoch = m->epoch,
				.stamp = m->stamp,
				.wall_ms = m->wall_ms,
				.what = (enum fsm_effect_type)m->what,
				.reason = fsm__pool_get(&s->texts, m->reason),
			};
		count++;
	}
	return count < max ? count : max;
}

/* --- exclusions (R24) ---------------------------------------------------- */

static void exclusion_free(struct fsm_view *s, uint32_t *link)
{
	uint32_t id = *link;
	struct exclusion *e = &s->exclusions[id];

	*link = e->next;
	fsm__pool_give(&s->texts, e->reason);
	*e = (struct exclusion){.next = s->exclusion_free};
	s->exclusion_free = id;
}

void fsm__exclusions_drop(struct fsm_view *s, struct program *p)
{
	while (p->exclusion != ID_NONE)
		exclusion_free(s, &p->exclusion);
}

void fsm__exclusion_drop(struct fsm_view *s, struct program *p, slot_t crn)
{
	uint32_t *link = &p->exclusion;

	while (*link != ID_NONE) {
		if (s->exclusions[*link].crn == crn)
			exclusion_free(s, link);
		else
			link = &s->exclusions[*link].next;
	}
}

const struct exclusion *fsm__exclusion_find(const struct fsm_view *s,
					    const struct program *p, slot_t crn)
{
	for (uint32_t id = p->exclusion; id != ID_NONE;
	     id = s->exclusions[id].next)
		if (s->exclusions[id].crn == crn)
			return &s->exclusions[id];
	return NULL;
}

/* Drops the exclusion of this CRN, and the oldest ones above the limit. */
static void exclusions_trim(struct fsm_view *s, struct program *p, slot_t crn)
{
	uint32_t *link = &p->exclusion;
	uint32_t count = 0;

	while (*link != ID_NONE) {
		if (s->exclusions[*link].crn == crn ||
		    count >= EXCLUSIONS_MAX - 1) {
			exclusion_free(s, link);
			continue;
		}
		count++;
		link = &s->exclusions[*link].next;
	}
}

void fsm__exclusion_add(struct fsm_view *s, slot_t program, slot_t crn,
			const struct text *reason)
{
	struct program *p = &s->programs[program];
	uint32_t id;

	exclusions_trim(s, p, crn);
	id = s->exclusion_free;
	if (id == ID_NONE) {
		id = s->exclusion_bound++;
		s->exclusions = fsm__grow(s->exclusions, &s->exclusion_capacity,
					  s->exclusion_bound,
					  sizeof *s->exclusions);
	} else {
		s->exclusion_free = s->exclusions[id].next;
	}
	s->exclusions[id] = (struct exclusion){
		.until_ms = s->c_ms + s->config.exclude_ms,
		.crn = crn,
		.reason = fsm__text_take(s, reason),
		.next = p->exclusion,
		.used = true,
	};
	p->exclusion = id;
}

uint32_t fsm_program_exclusions(const struct fsm_view *s, slot_t program,
				struct fsm_exclusion *out, uint32_t max)
{
	uint32_t count = 0;

	for (uint32_t id = s->programs[program].exclusion;
	     id != ID_NONE && count < max; id = s->exclusions[id].next) {
		const struct exclusion *e = &s->exclusions[id];

		out[count++] = (struct fsm_exclusion){
			.crn = e->crn,
			.until_ms = e->until_ms,
			.now = s->c_ms < e->until_ms,
			.reason = fsm__pool_get(&s->texts, e->reason),
		};
	}
	return count;
}

/* --- requests of clients ------------------------------------------------- */

static bool request_match(const void *ctx, uint32_t value, const void *key)
{
	const struct fsm_view *s = ctx;

	return memcmp(s->requests[value].id, key, 16) == 0;
}

const struct request *fsm__request_find(const struct fsm_view *s,
					const uint8_t id[16])
{
	uint32_t at = fsm__index_find(&s->request_index, fsm__mix(0, id, 16),
				      request_match, s, id);

	return at == ID_NONE ? NULL : &s->requests[at];
}

void fsm__request_add(struct fsm_view *s, const struct request *request)
{
	uint32_t at = (uint32_t)(s->request_count % REQUESTS_MAX);

	s->requests = fsm__grow(s->requests, &s->request_capacity, at + 1,
				sizeof *s->requests);
	if (s->request_count >= REQUESTS_MAX)
		fsm__index_remove(&s->request_index,
				  fsm__mix(0, s->requests[at].id, 16), at);
	s->requests[at] = *request;
	s->request_count++;
	fsm__index_add(&s->request_index, fsm__mix(0, request->id, 16), at);
}
