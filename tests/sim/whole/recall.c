/* A look into the state: does it remember that request, whose Register will
 * survey that CRN? (Its header and the simulator's have names in common.) */
#include "fsm/state.h"

bool state_recalls(const struct fsm_view *view, const uint8_t id[16],
		   stamp_t *stamp, uint32_t *refusal);

bool state_recalls(const struct fsm_view *view, const uint8_t id[16],
		   stamp_t *stamp, uint32_t *refusal)
{
	const struct request *request = fsm__request_find(view, id);

	if (!request)
		return false;
	*stamp = request->stamp;
	*refusal = request->refusal;
	return true;
}

bool state_survey_host(const struct fsm_view *view, slot_t crn,
		       struct hash *host);

/* The machine that a NewGen now would wait for. */
bool state_survey_host(const struct fsm_view *view, slot_t crn,
		       struct hash *host)
{
	if (crn == SLOT_NONE)
		return false;
	*host = view->crns[crn].surveyed ? view->crns[crn].host :
					   view->crns[crn].survey_host;
	return true;
}

void state_spoil(struct fsm *fsm, bool counts);

/* Of a CRN: what its programs sum up to, or what it has. */
void state_spoil(struct fsm *fsm, bool counts)
{
	struct fsm_view *s = &fsm->state;

	for (slot_t i = 0; i < s->crn_bound; i++)
		if (s->crns[i].used && counts)
			s->crns[i].vcpus_used++;
		else if (s->crns[i].used)
			s->crns[i].memory_mib++;
}
