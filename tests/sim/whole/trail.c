/* The shipped audit trail, for --audit. What it logs is not of this world. */
#include "node/lib/log.h"

#define log_line(...) ((void)0)
#include "node/replica/relay_wire.c"
#include "node/replica/trail.c"
#include "node/replica/trail_anchor.c"
#include "node/replica/trail_open.c"
#include "node/replica/trail_read.c"
