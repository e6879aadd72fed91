#ifndef TESTS_SIM_WHOLE_WEATHER_H
#define TESTS_SIM_WHOLE_WEATHER_H

#include "tests/sim/whole/whole.h"

#define WEATHER_GOOD_US 120000000u /* means, of exponential lengths */
#define WEATHER_BURST_US 1000000u
#define WEATHER_GOOD_LOSS 1u /* of a thousand messages */
#define WEATHER_BURST_LOSS 500u
#define WEATHER_OUTAGE_US (7 * 86400 * 1000000ull) /* mean, between two */
#define WEATHER_OUTAGE_US_MIN 5000000u
#define WEATHER_OUTAGE_US_MAX 60000000u

/* Is a message that leaves now lost? way 0: from the machine. */
bool weather_loses(struct host *host, uint32_t way);
void weather_fenced(struct host *host);

#endif
