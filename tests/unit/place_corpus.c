/* Runs the corpus of situations and decisions: tests/place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/kit/fsm_script.h"

static void every_situation_is_decided_as_told(void **state)
{
	(void)state;
	assert_int_equal(fsm_script_run_all("tests/place"), 0);
}

/* With a file as argument: that one alone, and each line that fails. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_situation_is_decided_as_told),
	};

	if (argc == 2)
		return fsm_script_report(argv[1]) == 0 ? 0 : 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
