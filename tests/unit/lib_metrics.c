/* Prometheus text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/metrics.h"

static struct metric beats = { .name = "berth_entries_total",
			       .help = "Entries applied.",
			       .labels = "kind=\"beat\"",
			       .kind = METRIC_COUNTER };
static struct metric leads = { .name = "berth_entries_total",
			       .help = "Entries applied.",
			       .labels = "kind=\"lead\"",
			       .kind = METRIC_COUNTER };
static struct metric programs = { .name = "berth_programs",
				  .help = "Programs known.",
				  .kind = METRIC_GAUGE };
static const struct metric *const all[] = { &beats, &leads, &programs };

static const char expected[] =
	"# HELP berth_entries_total Entries applied.\n"
	"# TYPE berth_entries_total counter\n"
	"berth_entries_total{kind=\"beat\"} 3\n"
	"berth_entries_total{kind=\"lead\"} 0\n"
	"# HELP berth_programs Programs known.\n"
	"# TYPE berth_programs gauge\n"
	"berth_programs 42\n";

static void test_renders(void **state)
{
	char text[1024];

	(void)state;
	metric_add(&beats, 1);
	metric_add(&beats, 2);
	metric_set(&programs, 7);
	metric_set(&programs, 42);
	assert_int_equal(metrics_render(all, 3, text, sizeof text),
			 sizeof expected - 1);
	assert_string_equal(text, expected);
}

/* Whatever the room, what is written is whole lines and no more than fits. */
static void test_bounded(void **state)
{
	char text[1024];

	(void)state;
	for (size_t size = 0; size < sizeof expected; size++) {
		size_t used;

		memset(text, '#', sizeof text);
		used = metrics_render(all, 3, text, size);
		assert_true(used < size || used == 0);
		assert_true(used == 0 || text[used - 1] == '\n');
		assert_int_equal(text[size], '#');
		assert_memory_equal(text, expected, used);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_renders),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
