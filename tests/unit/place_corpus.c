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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_situation_is_decided_as_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
