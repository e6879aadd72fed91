/* The shipped relay. Its bytes (relay_wire.c) are in trail.c. */
#include "tests/sim/whole/edge.h"

#include "node/replica/relay.c"
#include "node/replica/relay_serve.c"
