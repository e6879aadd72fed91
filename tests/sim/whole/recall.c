/* A look into the state: does it remember that request? (Its header and the
 * simulator's have names in common.) */
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
