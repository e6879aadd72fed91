/* The shipped tenure, with the simulator's room for runs. */
#include "tests/sim/whole/whole.h"

#include "node/agent/tenure.c"
