/* program show: all that is known of a program, in words. */
#include "node/cli/cli.h"

#include <stdlib.h>
#include <unistd.h>

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : NULL;
}

static void line(const char *key, const char *format, ...) PRINTF_LIKE(2, 3);

static void line(const char *key, const char *format, ...)
{
	va_list args;

	printf("%-10s ", key);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* For people, text that is longer than a line goes on under its beginning. */
static void paragraph(const char *key, const char *text)
{
	size_t left = strlen(text);

	while (left > 68 && isatty(STDOUT_FILENO)) {
		size_t at = 68;

		while (at > 0 && text[at] != ' ')
			at--;
		if (at == 0)
			break;
		line(key, "%.*s", (int)at, text);
		text += at + 1;
		left = strlen(text);
		key = "";
	}
	line(key, "%s", text);
}

static void show_crn(const json_t *program)
{
	const json_t *crn = json_object_get(program, "crn");
	char hash[80], name[256], epoch[64], host[80], session[32], left[64];

	if (!json_is_object(crn)) {
		line("crn", "none");
		return;
	}
	line("crn", "%s (%s), %s, watchdog: %s",
	     cli_value(crn, "hash", CELL_HASH, hash, sizeof hash),
	     cli_value(crn, "name", CELL_TEXT, name, sizeof name),
	     text_of(crn, "class"), text_of(crn, "watchdog"));
	line("run", "epoch %s, session %s, host %s%s",
	     cli_value(program, "epoch", CELL_TEXT, epoch, sizeof epoch),
	     cli_value(program, "session", CELL_TEXT, session, sizeof session),
	     cli_value(program, "host", CELL_HASH, host, sizeof host),
	     json_is_true(json_object_get(program, "held")) ? ", held" : "");
	if (json_integer_value(json_object_get(program, "lease_ms")) > 0)
		line("lease", "%s left; renewed for as long as its CRN is"
		     " heard", cli_value(program, "lease_ms", CELL_MS, left,
					 sizeof left));
	else
		line("lease", "none: that machine is not heard");
	if (text_of(crn, "url"))
		line("url", "%s/vm/%s", text_of(crn, "url"),
		     text_of(program, "hash"));
}

static void show_guarantee(const json_t *program)
{
	const char *now = text_of(program, "guarantee");
	const char *asked = text_of(program, "guarantee_asked");
	const json_t *exact = json_object_get(program, "exact");

	line("guarantee", "%s%s%s%s", now,
	     json_is_false(exact) ? ", weaker than exact" : "",
	     asked && strcmp(asked, now) ? "; from the next run on: " : "",
	     asked && strcmp(asked, now) ? asked : "");
	if (text_of(program, "promise"))
		paragraph("", text_of(program, "promise"));
}

static void show_data(const json_t *program)
{
	const char *crn = text_of(program, "data_on");

	if (!crn)
		line("data", "none of its own on any CRN");
	else
		line("data", "on CRN %.12s: %s", crn,
		     json_is_true(json_object_get(program,
						  "move_without_data"))
			     ? "its owner lets it go elsewhere without"
			     : "it runs there or waits");
}

static void show_needs(const json_t *program)
{
	char vcpus[24], memory[24], disk[24], node[80];

	line("needs", "%s vcpus, %s MiB memory, %s MiB disk",
	     cli_value(program, "vcpus", CELL_TEXT, vcpus, sizeof vcpus),
	     cli_value(program, "memory_mib", CELL_TEXT, memory,
		       sizeof memory),
	     cli_value(program, "disk_mib", CELL_TEXT, disk, sizeof disk));
	if (text_of(program, "node"))
		line("node", "%s: its owner pinned it there",
		     cli_value(program, "node", CELL_HASH, node, sizeof node));
}

/* A program that was replaced, stopped or forgotten, and by what. */
static void show_lineage(const json_t *program)
{
	const char *hash = text_of(program, "hash");
	const char *lineage = text_of(program, "lineage");

	if (text_of(program, "replaces"))
		line("replaces", "%s", text_of(program, "replaces"));
	if (lineage && hash && strcmp(lineage, hash) != 0)
		line("lineage", "%s: one of it runs at a time", lineage);
	if (json_is_true(json_object_get(program, "superseded")))
		line("", "superseded: replaced, stopped or forgotten");
	if (json_is_false(json_object_get(program, "persistent")))
		line("", "not persistent: it does not ask to run all the time");
}

static void show_state(const json_t *program)
{
	char state[64], status[64];

	const json_t *crn = json_object_get(program, "crn");
	bool heard = json_integer_value(json_object_get(program,
							"lease_ms")) > 0;

	cli_value(program, "status", CELL_TEXT, status, sizeof status);
	line("state", "%s%s%s",
	     cli_value(program, "state", CELL_TEXT, state, sizeof state),
	     strcmp(status, "-") == 0 ? "" :
	     json_is_object(crn) && !heard ? ", when last heard: " : ", ",
	     strcmp(status, "-") ? status : "");
	if (text_of(program, "down_since"))
		line("", "not running since %s or before",
		     text_of(program, "down_since"));
	if (text_of(json_object_get(program, "reason"), "message"))
		paragraph("why", text_of(json_object_get(program, "reason"),
					 "message"));
}

/* "0.3 s to 5.5 s", "0.3 s or more", "unknown"; "-" where no run begins. */
static void put_downtime(json_t *move)
{
	json_t *down = json_object_get(move, "downtime");
	char least[64], most[64], text[160] = "-";

	if (json_is_null(down))
		snprintf(text, sizeof text, "unknown");
	else if (json_is_object(down) &&
		 json_is_null(json_object_get(down, "max_ms")))
		snprintf(text, sizeof text, "%s or more",
			 cli_value(down, "min_ms", CELL_MS, least,
				   sizeof least));
	else if (json_is_object(down))
		snprintf(text, sizeof text, "%s to %s",
			 cli_value(down, "min_ms", CELL_MS, least,
				   sizeof least),
			 cli_value(down, "max_ms", CELL_MS, most,
				   sizeof most));
	json_object_set_new(move, "down", json_string(text));
}

static void show_moves(const json_t *program)
{
	static const struct cli_column columns[] = {
		{ "WHAT", "what", CELL_TEXT },
		{ "CRN", "crn", CELL_HASH },
		{ "EPOCH", "epoch", CELL_TEXT },
		{ "TIME", "time", CELL_TEXT },
		{ "DOWN BEFORE", "down", CELL_TEXT },
		{ "REASON", "reason", CELL_TEXT },
	};
	json_t *moves = json_object_get(program, "moves"), *move, *oldest;
	size_t count = json_array_size(moves), i;

	if (count == 0) {
		printf("\nIt was never placed.\n");
		return;
	}
	json_array_foreach(moves, i, move)
		put_downtime(move);
	/* Of the first run nothing is known before it. */
	oldest = json_array_get(moves, count - 1);
	if (count < 8 && json_is_null(json_object_get(oldest, "downtime")))
		json_object_set_new(oldest, "down", json_string("first known"));
	putchar('\n');
	cli_table(columns, COUNT_OF(columns), moves);
	printf("\nDOWN BEFORE: how long it had not been running when that run"
	       " was assigned, as far\nas the replicas can tell; its start"
	       " comes on top. Times are the leaders' clocks.\n");
}

static void show(const json_t *program)
{
	line("program", "%s", text_of(program, "hash"));
	line("name", "%s", text_of(program, "name")
				   ? text_of(program, "name") : "-");
	line("owner", "%s", text_of(program, "owner")
				    ? text_of(program, "owner") : "-");
	show_state(program);
	show_crn(program);
	show_guarantee(program);
	show_data(program);
	show_needs(program);
	show_lineage(program);
	show_moves(program);
}

CLI_COMMAND(cmd_program_show)
{
	const char *words[1];
	json_t *program = NULL;
	char path[256];
	int code;

	cli_parse(cli, command, argc, argv, NULL, NULL, 1, 1, words);
	code = cli_program_path(cli, words[0], "", path, sizeof path);
	if (code == 0)
		code = cli_get(cli, path, false, &program);
	if (code)
		return code;
	if (cli->json)
		cli_json(program);
	else
		show(program);
	json_decref(program);
	return CLI_DONE;
}
