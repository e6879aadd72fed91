/* The shipped links of agents. */
#include "tests/sim/whole/edge.h"

#include "node/replica/agent_link.c"
