/* Runs the scenarios of the state machine: tests/script. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/kit/fsm_script.h"

static void every_scenario_goes_as_told(void **state)
{
	(void)state;
	assert_int_equal(fsm_script_run_all("tests/script"), 0);
}

/* The interpreter itself must be able to fail. */
static void a_wrong_scenario_is_told(void **state)
{
	char message[512], path[] = "/tmp/berth-script-XXXXXX";
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");

	(void)state;
	fprintf(file, "config\nlead\nput p1\nassign p1 A\n");
	fclose(file);
	assert_false(fsm_script_run(path, message, sizeof message));
	assert_non_null(strstr(message, ":4: expected ok, got unknown_crn"));
	remove(path);
}

/* With a file as argument: that one alone, and each line that fails. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_scenario_goes_as_told),
		cmocka_unit_test(a_wrong_scenario_is_told),
	};

	if (argc == 2)
		return fsm_script_report(argv[1]) == 0 ? 0 : 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
