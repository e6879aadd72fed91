/* event list|watch. */
#include "node/cli/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPTION_SINCE = 1, OPTION_LIMIT };

static const struct argp_option list_options[] = {
	{ "since", OPTION_SINCE, "STAMP", 0, "after this stamp", 0 },
	{ "limit", OPTION_LIMIT, "N", 0, "at most so many (default 200)", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

static void print_event(struct cli *cli, const json_t *event)
{
	char time[64], type[64], program[80], crn[80], reason[512];

	if (cli->json) {
		json_dumpf(event, stdout, JSON_COMPACT);
		putchar('\n');
		return;
	}
	printf("%s  %-20s %-12s  %-12s  %s\n",
	       cli_value(event, "time", CELL_TEXT, time, sizeof time),
	       cli_value(event, "type", CELL_TEXT, type, sizeof type),
	       cli_value(event, "program", CELL_HASH, program, sizeof program),
	       cli_value(event, "crn", CELL_HASH, crn, sizeof crn),
	       cli_value(event, "reason", CELL_TEXT, reason, sizeof reason));
}

static int page(struct cli *cli, const char *since, uint64_t limit,
		const char *more, json_t **out)
{
	char path[256];

	snprintf(path, sizeof path,
		 "/admin/v1/events?since=%s&limit=%" PRIu64 "%s", since, limit,
		 more);
	return cli_get(cli, path, false, out);
}

CLI_COMMAND(cmd_event_list)
{
	struct cli_option_value values[2] = { 0 };
	json_t *answer = NULL, *event;
	size_t i;
	int code;

	cli_parse(cli, command, argc, argv, list_options, values, 0, 0, NULL);
	code = page(cli, values[0].value ? values[0].value : "0",
		    cli_number(&values[1], "limit", 200, 1, 10000), "",
		    &answer);
	if (code)
		return code;
	if (cli->json)
		cli_json(json_object_get(answer, "events"));
	else
		json_array_foreach(json_object_get(answer, "events"), i, event)
			print_event(cli, event);
	json_decref(answer);
	return CLI_DONE;
}

/* Follows by asking for what came after the last one seen, on whichever
 * replica answers: a replica that dies interrupts nothing. */
CLI_COMMAND(cmd_event_watch)
{
	struct cli_option_value values[2] = { 0 };
	char since[32] = "0";
	uint64_t limit;

	cli_parse(cli, command, argc, argv, list_options, values, 0, 0, NULL);
	limit = cli_number(&values[1], "limit", 200, 1, 10000);
	if (values[0].value)
		snprintf(since, sizeof since, "%s", values[0].value);
	for (;;) {
		json_t *answer = NULL, *events, *event;
		const char *next;
		size_t i;
		int code = page(cli, since, limit, "", &answer);

		if (code == CLI_NO_LEADER) {
			sleep(1);
			continue;
		}
		if (code)
			return code;
		events = json_object_get(answer, "events");
		json_array_foreach(events, i, event)
			print_event(cli, event);
		next = json_string_value(json_object_get(answer, "next"));
		if (next)
			snprintf(since, sizeof since, "%s", next);
		if (fflush(stdout) != 0)
			return CLI_FAILED;
		if (json_array_size(events) == 0)
			usleep(500000);
		json_decref(answer);
	}
}
