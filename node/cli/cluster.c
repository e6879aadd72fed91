/* cluster status, replica list, crn list|show. */
#include "node/cli/cli.h"

static int options_only(struct cli *cli, const struct cli_command *command,
			int argc, char **argv)
{
	cli_parse(cli, command, argc, argv, NULL, NULL, 0, 0, NULL);
	return 0;
}

static void line(const char *title, const json_t *from, const char *key,
		 enum cli_cell cell)
{
	char text[512];

	printf("%-10s %s\n", title, cli_value(from, key, cell, text,
					      sizeof text));
}

CLI_COMMAND(cmd_cluster_status)
{
	json_t *cluster = NULL, *pending = NULL;
	size_t i;
	json_t *row;
	int code;

	options_only(cli, command, argc, argv);
	code = cli_get(cli, "/admin/v1/cluster", false, &cluster);
	if (code)
		return code;
	if (cli->json) {
		cli_json(cluster);
		json_decref(cluster);
		return CLI_DONE;
	}
	line("cluster", cluster, "cluster", CELL_TEXT);
	line("leader", cluster, "leader", CELL_TEXT);
	line("term", cluster, "term", CELL_TEXT);
	line("applied", cluster, "applied", CELL_TEXT);
	line("CRNs", cluster, "crns", CELL_TEXT);
	line("programs", cluster, "programs", CELL_TEXT);
	line("placed", cluster, "assigned", CELL_TEXT);
	line("waiting", cluster, "pending", CELL_TEXT);
	if (json_integer_value(json_object_get(cluster, "pending")) > 0 &&
	    cli_get(cli, "/admin/v1/programs?state=free&page_size=10", true,
		    &pending) == 0)
		json_array_foreach(json_object_get(pending, "programs"), i,
				   row) {
			char hash[80], why[512];

			printf("  %s  %s\n",
			       cli_value(row, "hash", CELL_HASH, hash,
					 sizeof hash),
			       cli_value(row, "reason.message", CELL_TEXT, why,
					 sizeof why));
		}
	json_decref(pending);
	json_decref(cluster);
	return CLI_DONE;
}

static int show_list(struct cli *cli, const char *path, const char *key,
		     const struct cli_column *columns, uint32_t count)
{
	json_t *answer = NULL;
	int code = cli_get(cli, path, false, &answer);

	if (code)
		return code;
	if (cli->json)
		cli_json(json_object_get(answer, key));
	else
		cli_table(columns, count, json_object_get(answer, key));
	json_decref(answer);
	return CLI_DONE;
}

CLI_COMMAND(cmd_replica_list)
{
	static const struct cli_column columns[] = {
		{ "ID", "id", CELL_TEXT },
		{ "ADDRESS", "address", CELL_TEXT },
		{ "HTTP", "http", CELL_TEXT },
		{ "ROLE", "role", CELL_TEXT },
		{ "STATE", "state", CELL_TEXT },
		{ "LEADER", "leader", CELL_BOOL },
		{ "CONNECTED", "connected", CELL_BOOL },
		{ "MATCH", "match", CELL_COUNT },
	};

	options_only(cli, command, argc, argv);
	return show_list(cli, "/admin/v1/replicas", "replicas", columns,
			 COUNT_OF(columns));
}

/* All pages of a collection, as one array. */
int cli_all_pages(struct cli *cli, const char *path, const char *key,
		     json_t **out)
{
	json_t *all = json_array();
	int code = 0;

	for (unsigned page = 1;; page++) {
		char at[512];
		json_t *answer = NULL, *rows;
		size_t total;

		snprintf(at, sizeof at, "%s%cpage=%u&page_size=200", path,
			 strchr(path, '?') ? '&' : '?', page);
		code = cli_get(cli, at, false, &answer);
		if (code)
			break;
		rows = json_object_get(answer, key);
		json_array_extend(all, rows);
		total = (size_t)json_integer_value(
			json_object_get(answer, "total"));
		bool last = json_array_size(rows) == 0 ||
			    json_array_size(all) >= total;
		json_decref(answer);
		if (last)
			break;
	}
	if (code) {
		json_decref(all);
		return code;
	}
	*out = all;
	return 0;
}

int cli_show_pages(struct cli *cli, const char *path, const char *key,
		      const struct cli_column *columns, uint32_t count)
{
	json_t *rows = NULL;
	int code = cli_all_pages(cli, path, key, &rows);

	if (code)
		return code;
	if (cli->json)
		cli_json(rows);
	else
		cli_table(columns, count, rows);
	json_decref(rows);
	return CLI_DONE;
}

CLI_COMMAND(cmd_crn_list)
{
	static const struct cli_column columns[] = {
		{ "CRN", "hash", CELL_HASH },
		{ "NAME", "name", CELL_TEXT },
		{ "CLASS", "class", CELL_TEXT },
		{ "ALIVE", "alive", CELL_BOOL },
		{ "LEASE", "lease_ms", CELL_MS },
		{ "PROGRAMS", "programs", CELL_COUNT },
		{ "VCPUS", "vcpus", CELL_COUNT },
		{ "USED", "vcpus_used", CELL_COUNT },
		{ "MEMORY", "memory_mib", CELL_COUNT },
		{ "USED", "memory_mib_used", CELL_COUNT },
		{ "URL", "url", CELL_TEXT },
	};

	options_only(cli, command, argc, argv);
	return cli_show_pages(cli, "/admin/v1/crns", "crns", columns,
			  COUNT_OF(columns));
}

void cli_show_fields(const json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		char text[512];

		if (json_is_object(value) || json_is_array(value))
			continue;
		printf("%-18s %s\n", key, cli_value(object, key, CELL_TEXT,
						    text, sizeof text));
	}
}

/* A name or the beginning of a hash is as good as the whole, if only one
 * fits. */
int cli_resolve(struct cli *cli, const char *path, const char *key,
		   const char *given, char hash[65])
{
	json_t *rows = NULL, *row;
	size_t i, found = 0;
	int code;

	if (strlen(given) == 64) {
		snprintf(hash, 65, "%s", given);
		return 0;
	}
	code = cli_all_pages(cli, path, key, &rows);
	if (code)
		return code;
	json_array_foreach(rows, i, row) {
		const char *h = json_string_value(json_object_get(row, "hash"));
		const char *n = json_string_value(json_object_get(row, "name"));

		if (h && ((n && strcmp(n, given) == 0) ||
			  (strlen(given) >= 4 &&
			   strncmp(h, given, strlen(given)) == 0))) {
			snprintf(hash, 65, "%s", h);
			found++;
		}
	}
	json_decref(rows);
	if (found == 1)
		return 0;
	if (!found)
		return cli_fail(CLI_UNKNOWN, "nothing is called \"%s\", and no"
				" hash begins with it", given);
	return cli_fail(CLI_USAGE, "\"%s\" fits %zu of them: give more of the"
			" hash", given, found);
}

CLI_COMMAND(cmd_crn_show)
{
	static const struct cli_column columns[] = {
		{ "PROGRAM", "hash", CELL_HASH },
		{ "NAME", "name", CELL_TEXT },
		{ "STATE", "state", CELL_TEXT },
		{ "EPOCH", "epoch", CELL_TEXT },
		{ "GUARANTEE", "guarantee", CELL_TEXT },
	};
	const char *words[1];
	char path[256], hash[65];
	json_t *crn = NULL;
	int code;

	cli_parse(cli, command, argc, argv, NULL, NULL, 1, 1, words);
	code = cli_resolve(cli, "/admin/v1/crns", "crns", words[0], hash);
	if (code)
		return code;
	snprintf(path, sizeof path, "/admin/v1/crns/%s", hash);
	code = cli_get(cli, path, false, &crn);
	if (code)
		return code;
	if (cli->json) {
		cli_json(crn);
		json_decref(crn);
		return CLI_DONE;
	}
	cli_show_fields(crn);
	json_decref(crn);
	snprintf(path, sizeof path, "/admin/v1/programs?crn=%s", hash);
	putchar('\n');
	return cli_show_pages(cli, path, "programs", columns, COUNT_OF(columns));
}
