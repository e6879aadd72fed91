/* The overlay from inside fsm/: see place.h. */
#ifndef FSM_OVERLAY_H
#define FSM_OVERLAY_H

#include "fsm/place.h"
#include "fsm/state.h"

struct flight {
	struct hash program, crn;
	struct crn_use use;
};

struct place_overlay {
	struct flight *flights;
	uint32_t count, capacity;
	struct index index; /* program to its flight */
};

bool place__in_flight(const struct place_overlay *overlay,
		      const struct hash *program);
/* Adds what is in flight to `uses`, by CRN slot. The overlay may be NULL. */
void place__uses(const struct place_overlay *overlay,
		 const struct fsm_view *view, struct crn_use *uses);

#endif
