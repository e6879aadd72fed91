/* The shipped run_table.c, on a machine of the simulator. */
#include "tests/sim/whole/kernel.h"

#include "node/agent/run_table.c"
