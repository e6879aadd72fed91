/* Tables (libsmartcols), JSON, and progress lines. */
#include "node/cli/cli.h"

#include <libsmartcols.h>
#include <stdlib.h>
#include <unistd.h>

static const json_t *lookup(const json_t *object, const char *key)
{
	char part[64];
	const char *dot = strchr(key, '.');

	if (!dot)
		return json_object_get(object, key);
	snprintf(part, sizeof part, "%.*s", (int)(dot - key), key);
	return lookup(json_object_get(object, part), dot + 1);
}

static void value_ms(const json_t *value, char *text, size_t size)
{
	double ms = json_number_value(value);

	if (ms < 1000)
		snprintf(text, size, "%.0f ms", ms);
	else if (ms < 120000)
		snprintf(text, size, "%.1f s", ms / 1000);
	else
		snprintf(text, size, "%.0f min", ms / 60000);
}

const char *cli_value(const json_t *object, const char *key, enum cli_cell cell,
		      char *text, size_t size)
{
	const json_t *value = lookup(object, key);

	if (json_is_string(value))
		snprintf(text, size, cell == CELL_HASH ? "%.12s" : "%s",
			 json_string_value(value));
	else if (json_is_boolean(value))
		snprintf(text, size, "%s", json_is_true(value) ? "yes" : "no");
	else if (json_is_array(value))
		snprintf(text, size, "%zu", json_array_size(value));
	else if (json_is_number(value) && cell == CELL_MS)
		value_ms(value, text, size);
	else if (json_is_integer(value))
		snprintf(text, size, "%" JSON_INTEGER_FORMAT,
			 json_integer_value(value));
	else if (json_is_real(value))
		snprintf(text, size, "%.1f", json_real_value(value));
	else
		snprintf(text, size, "-");
	if (!*text)
		snprintf(text, size, "-");
	return text;
}

void cli_table(const struct cli_column *columns, uint32_t count,
	       const json_t *rows)
{
	struct libscols_table *table = scols_new_table();
	size_t i;
	json_t *row;

	if (!table)
		exit(cli_fail(CLI_FAILED, "out of memory"));
	for (uint32_t c = 0; c < count; c++)
		scols_table_new_column(table, columns[c].title, 0,
				       columns[c].cell == CELL_COUNT ||
				       columns[c].cell == CELL_MS ?
				       SCOLS_FL_RIGHT : 0);
	json_array_foreach(rows, i, row) {
		struct libscols_line *line = scols_table_new_line(table, NULL);
		char text[512];

		for (uint32_t c = 0; line && c < count; c++)
			scols_line_set_data(line, c,
					    cli_value(row, columns[c].key,
						      columns[c].cell, text,
						      sizeof text));
	}
	scols_print_table(table);
	scols_unref_table(table);
}

void cli_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY |
		   JSON_REAL_PRECISION(12));
	fputc('\n', stdout);
}

int cli_progress_begin(struct cli *cli, const char *what)
{
	fprintf(stderr, cli->terminal ? "%s ... " : "%s\n", what);
	return fflush(stderr);
}

void cli_progress(void *ctx, uint64_t done, uint64_t total)
{
	const struct cli *cli = ctx;

	if (cli->terminal && total)
		fprintf(stderr, "\033[s%3u %%\033[u",
			(unsigned)(done * 100 / total));
}

void cli_progress_end(struct cli *cli, const char *outcome)
{
	if (cli->terminal)
		fprintf(stderr, "%s\n", outcome);
}
