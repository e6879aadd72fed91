/* Counters, gauges and histograms in Prometheus text. Values are atomics; any
 * thread adds, one renders. */
#ifndef NODE_LIB_METRICS_H
#define NODE_LIB_METRICS_H

#include <stdatomic.h>

#include "fsm/base.h"

struct metric {
	const char *name, *help, *labels; /* labels: "kind=\"beat\"" or NULL */
	enum { METRIC_COUNTER = 1, METRIC_GAUGE } kind;
	_Atomic uint64_t value;
};
void metric_add(struct metric *metric, uint64_t by);
void metric_set(struct metric *metric, uint64_t value);
/* Appends one metric with HELP and TYPE when the name changes from the one
 * before. Returns the length; writes at most size bytes. */
size_t metrics_render(const struct metric *const *metrics, uint32_t count,
		      char *text, size_t size);

#endif
