/* Frozen views: a copy of the arrays, taken where apply runs. Ten thousand
 * programs are some megabytes, copied in about a millisecond. */
#include "fsm/state.h"

static void freeze(struct fsm_view *to, const struct fsm_view *s)
{
	*to = *s;
	to->program_capacity = s->program_bound;
	to->programs = fsm__copy(s->programs,
				 s->program_bound * sizeof *s->programs);
	to->crn_capacity = s->crn_bound;
	to->crns = fsm__copy(s->crns, s->crn_bound * sizeof *s->crns);
	to->exclusions = fsm__copy(s->exclusions, s->exclusion_capacity *
							  sizeof *s->exclusions);
	to->moves = fsm__copy(s->moves, s->move_capacity * sizeof *s->moves);
	to->requests = fsm__copy(s->requests,
				 s->request_capacity * sizeof *s->requests);
	to->pending = fsm__copy(s->pending,
				s->pending_capacity * sizeof *s->pending);
	fsm__pool_copy(&to->texts, &s->texts);
	fsm__pool_copy(&to->sets, &s->sets);
	fsm__index_copy(&to->program_index, &s->program_index);
	fsm__index_copy(&to->crn_index, &s->crn_index);
	fsm__index_copy(&to->lineage_index, &s->lineage_index);
	fsm__index_copy(&to->request_index, &s->request_index);
}

struct fsm_view *fsm_view_open(struct fsm *f)
{
	uint32_t slot = VIEWS_MAX;

	for (uint32_t i = 0; i < VIEWS_MAX; i++) {
		if (f->frozen[i].uses == 0) {
			slot = i;
		} else if (f->frozen[i].view.index == f->state.index) {
			f->frozen[i].uses++;
			return &f->frozen[i].view;
		}
	}
	if (slot == VIEWS_MAX)
		return NULL;
	freeze(&f->frozen[slot].view, &f->state);
	f->frozen[slot].uses = 1;
	return &f->frozen[slot].view;
}

void fsm_view_close(struct fsm *f, struct fsm_view *view)
{
	for (uint32_t i = 0; i < VIEWS_MAX; i++) {
		if (&f->frozen[i].view != view)
			continue;
		REQUIRE(f->frozen[i].uses > 0);
		if (--f->frozen[i].uses == 0)
			fsm__state_fini(&f->frozen[i].view);
		return;
	}
	NEVER("a view of this state");
}
