/* The oracle's own: the applied state of the highest index. */
#ifndef TESTS_SIM_WHOLE_ORACLE_H
#define TESTS_SIM_WHOLE_ORACLE_H

#include "tests/sim/whole/whole.h"

const struct fsm_view *oracle_view(const struct world *world);

#endif
