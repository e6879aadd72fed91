/* The shipped fencer_settle.c, on a machine of the simulator. */
#include "tests/sim/whole/kernel.h"

#include "node/agent/fencer_settle.c"
