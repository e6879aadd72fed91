/* What was proposed and is not applied yet: per program and per CRN. */
#include <stdlib.h>

#include "fsm/overlay.h"

struct place_overlay *place_overlay_open(void)
{
	struct place_overlay *o = calloc(1, sizeof *o);

	REQUIRE(o);
	return o;
}

void place_overlay_close(struct place_overlay *o)
{
	if (!o)
		return;
	fsm__index_fini(&o->index);
	free(o->flights);
	free(o);
}

static uint64_t key_of(const struct hash *program)
{
	return fsm__mix(0, program->bytes, sizeof program->bytes);
}

static bool flight_match(const void *ctx, uint32_t value, const void *key)
{
	const struct place_overlay *o = ctx;

	return hash_equal(&o->flights[value].program, key);
}

static uint32_t flight_find(const struct place_overlay *o,
			    const struct hash *program)
{
	return fsm__index_find(&o->index, key_of(program), flight_match, o,
			       program);
}

bool place__in_flight(const struct place_overlay *o, const struct hash *program)
{
	return o && flight_find(o, program) != ID_NONE;
}

void place_overlay_add(struct place_overlay *o, const struct fsm_view *view,
		       const struct command_assign *assign)
{
	slot_t slot = fsm_program_find(view, &assign->program);
	struct flight flight = {.program = assign->program, .crn = assign->crn};

	place_overlay_forget(o, &assign->program);
	if (slot != SLOT_NONE) {
		const struct program *p = &view->programs[slot];

		flight.use = (struct crn_use){p->vcpus, p->memory_mib,
					      p->disk_mib, 1};
	}
	o->flights = fsm__grow(o->flights, &o->capacity, o->count + 1,
			       sizeof *o->flights);
	o->flights[o->count] = flight;
	fsm__index_add(&o->index, key_of(&assign->program), o->count);
	o->count++;
}

void place_overlay_forget(struct place_overlay *o, const struct hash *program)
{
	uint32_t at = flight_find(o, program), last = o->count - 1;

	if (at == ID_NONE)
		return;
	fsm__index_remove(&o->index, key_of(program), at);
	if (at != last) {
		const struct hash *moved = &o->flights[last].program;

		fsm__index_remove(&o->index, key_of(moved), last);
		fsm__index_add(&o->index, key_of(moved), at);
		o->flights[at] = o->flights[last];
	}
	o->count--;
}

void place_overlay_reset(struct place_overlay *o)
{
	fsm__index_fini(&o->index);
	o->count = 0;
}

void place__uses(const struct place_overlay *o, const struct fsm_view *view,
		 struct crn_use *uses)
{
	for (uint32_t i = 0; o && i < o->count; i++) {
		const struct flight *flight = &o->flights[i];
		slot_t crn = fsm_crn_find(view, &flight->crn);

		if (crn == SLOT_NONE)
			continue;
		uses[crn].vcpus += flight->use.vcpus;
		uses[crn].memory_mib += flight->use.memory_mib;
		uses[crn].disk_mib += flight->use.disk_mib;
		uses[crn].programs += flight->use.programs;
	}
}
