/* program list|where|logs: what the cluster knows of a program. */
#include "node/cli/cli.h"

enum { OPTION_STATE = 1, OPTION_OWNER, OPTION_TAIL };

CLI_COMMAND(cmd_program_list)
{
	static const struct cli_column columns[] = {
		{ "PROGRAM", "hash", CELL_HASH },
		{ "NAME", "name", CELL_TEXT },
		{ "STATE", "state", CELL_TEXT },
		{ "STATUS", "status", CELL_TEXT },
		{ "CRN", "crn.hash", CELL_HASH },
		{ "EPOCH", "epoch", CELL_TEXT },
		{ "GUARANTEE", "guarantee", CELL_TEXT },
		{ "REASON", "reason.message", CELL_TEXT },
	};
	static const struct argp_option options[] = {
		{ "state", OPTION_STATE, "STATE", 0, "free, assigned, revoking,"
		  " lost or superseded", 0 },
		{ "owner", OPTION_OWNER, "ADDRESS", 0, "of this owner", 0 },
		{ NULL, 0, NULL, 0, NULL, 0 },
	};
	struct cli_option_value values[2] = { 0 };
	char path[512];

	cli_parse(cli, command, argc, argv, options, values, 0, 0, NULL);
	snprintf(path, sizeof path, "/admin/v1/programs?state=%s&owner=%s"
		 "&consistency=leader",
		 values[0].value ? values[0].value : "",
		 values[1].value ? values[1].value : "");
	return cli_show_pages(cli, path, "programs", columns, COUNT_OF(columns));
}

int cli_program_path(struct cli *cli, const char *given, const char *rest,
		     char *path, size_t size)
{
	char hash[65];
	int code = cli_resolve(cli, "/admin/v1/programs", "programs", given, hash);

	if (code == 0)
		snprintf(path, size, "/admin/v1/programs/%s%s", hash, rest);
	return code;
}

/* The same keys in the table and in JSON; the lease is in seconds. */
static json_t *where_row(const json_t *answer)
{
	const json_t *lease = json_object_get(answer, "lease_ms");
	json_t *row = json_object();
	static const char *const keys[] = { "program", "state", "crn", "url",
					    "epoch", "guarantee" };

	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		json_t *value = json_object_get(answer, keys[i]);

		json_object_set_new(row, keys[i],
				    value ? json_incref(value) : json_null());
	}
	json_object_set_new(row, "lease", json_is_number(lease) ?
			    json_real(json_number_value(lease) / 1000) :
			    json_null());
	return row;
}

CLI_COMMAND(cmd_program_where)
{
	static const struct cli_column columns[] = {
		{ "PROGRAM", "program", CELL_TEXT },
		{ "STATE", "state", CELL_TEXT },
		{ "CRN", "crn", CELL_TEXT },
		{ "URL", "url", CELL_TEXT },
		{ "EPOCH", "epoch", CELL_TEXT },
		{ "GUARANTEE", "guarantee", CELL_TEXT },
		{ "LEASE", "lease", CELL_TEXT },
	};
	const char *words[1], *state;
	char path[256], reason[512];
	json_t *answer = NULL, *row;
	bool running;
	int code;

	cli_parse(cli, command, argc, argv, NULL, NULL, 1, 1, words);
	code = cli_program_path(cli, words[0], "/where", path, sizeof path);
	if (code == 0)
		code = cli_get(cli, path, false, &answer);
	if (code)
		return code;
	row = where_row(answer);
	state = json_string_value(json_object_get(row, "state"));
	running = state && strcmp(state, "running") == 0;
	if (cli->json) {
		cli_json(row);
	} else {
		json_t *rows = json_array();

		json_array_append(rows, row);
		cli_table(columns, COUNT_OF(columns), rows);
		json_decref(rows);
	}
	if (!running)
		cli_fail(CLI_NOT_PLACED, "%s: %s", state ? state : "not placed",
			 cli_value(answer, json_is_object(json_object_get(
						answer, "reason")) ?
				   "reason.message" : "reason", CELL_TEXT,
				   reason, sizeof reason));
	json_decref(row);
	json_decref(answer);
	return running ? CLI_DONE : CLI_NOT_PLACED;
}

CLI_COMMAND(cmd_program_logs)
{
	static const struct argp_option options[] = {
		{ "tail", OPTION_TAIL, "BYTES", 0, "how much from the end"
		  " (default 65536)", 0 },
		{ NULL, 0, NULL, 0, NULL, 0 },
	};
	struct cli_option_value values[1] = { 0 };
	const char *words[1];
	char path[320], rest[64];
	struct http_answer answer;
	int code;

	cli_parse(cli, command, argc, argv, options, values, 1, 1, words);
	snprintf(rest, sizeof rest, "/logs?tail=%llu",
		 (unsigned long long)cli_number(&values[0], "tail", 65536, 1,
						1u << 20));
	code = cli_program_path(cli, words[0], rest, path, sizeof path);
	if (code == 0)
		code = cli_get_raw(cli, path, &answer);
	if (code)
		return code;
	fwrite(answer.body, 1, answer.body_size, stdout);
	http_answer_fini(&answer);
	return CLI_DONE;
}
