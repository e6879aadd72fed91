/* The shipped fencer_far.c, on a machine of the simulator. */
#include "tests/sim/whole/kernel.h"

#include "node/agent/fencer_far.c"
