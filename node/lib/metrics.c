#include "node/lib/metrics.h"

#include <inttypes.h>
#include <stdio.h>

void metric_add(struct metric *metric, uint64_t by)
{
	atomic_fetch_add_explicit(&metric->value, by, memory_order_relaxed);
}

void metric_set(struct metric *metric, uint64_t value)
{
	atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

static size_t render_head(const struct metric *metric, char *text, size_t size)
{
	int length;

	length = snprintf(text, size, "# HELP %s %s\n# TYPE %s %s\n",
			  metric->name, metric->help, metric->name,
			  metric->kind == METRIC_COUNTER ? "counter" : "gauge");
	return length < 0 ? 0 : (size_t)length;
}

static size_t render_value(struct metric const *metric, char *text, size_t size)
{
	const char *labels = metric->labels;
	uint64_t value;
	int length;

	value = atomic_load_explicit(&metric->value, memory_order_relaxed);
	length = snprintf(text, size, "%s%s%s%s %" PRIu64 "\n", metric->name,
			  labels ? "{" : "", labels ? labels : "",
			  labels ? "}" : "", value);
	return length < 0 ? 0 : (size_t)length;
}

/* A metric that does not fit is left out whole, so that what was written can
 * always be read. */
size_t metrics_render(const struct metric *const *metrics, uint32_t count,
		      char *text, size_t size)
{
	size_t used = 0;

	for (uint32_t i = 0; i < count; i++) {
		bool head = i == 0 ||
			    strcmp(metrics[i]->name, metrics[i - 1]->name) != 0;
		size_t more = 0;

		if (head)
			more = render_head(metrics[i], text + used,
					   size - used);
		if (more < size - used)
			more += render_value(metrics[i], text + used + more,
					     size - used - more);
		if (more >= size - used)
			break;
		used += more;
	}
	if (size > 0)
		text[used] = '\0';
	return used;
}
