/* The shipped fencer.c, on a machine of the simulator. */
#include "tests/sim/whole/kernel.h"

#include "node/agent/fencer.c"

void fencer_turn(struct fencer *f, enum fencer_source source, uint32_t index)
{
	fencer__tick(f);
	dispatch(f, (uint64_t)source << 32 | index);
}

void fencer_rest(struct fencer *f)
{
	fencer__tick(f);
	fencer__runs_poll(f);
	fencer__watchdog_pet(f);
}
