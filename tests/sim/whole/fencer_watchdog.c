/* The shipped fencer_watchdog.c, on a machine of the simulator. */
#include "tests/sim/whole/kernel.h"

#include "node/agent/fencer_watchdog.c"
