#ifndef TESTS_SIM_WHOLE_FIGURES_H
#define TESTS_SIM_WHOLE_FIGURES_H

#include "tests/sim/whole/whole.h"

/* Measures and prints tests/sim/FIGURES.md; `days`: simulated for
 * `fast`; four times for `default`, eight times for `calm`. */
int figures_print(uint32_t days);

#endif
