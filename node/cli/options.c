/* Options: the common ones of every command, its own, and the environment. */
#include "node/cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPTION_DIR = 0x1000, OPTION_URL, OPTION_CCN, OPTION_PKI, OPTION_KEY };

static const struct argp_option common_options[] = {
	{ NULL, 0, NULL, 0, "Common:", 100 },
	{ "dir", OPTION_DIR, "DIR", 0, "folder of a one-machine cluster", 100 },
	{ "url", OPTION_URL, "URL", 0, "replicas, in the order to ask", 100 },
	{ "ccn", OPTION_CCN, "URL", 0, "core channel node for messages", 100 },
	{ "pki", OPTION_PKI, "DIR", 0, "operator's certificate (https)", 100 },
	{ "key", OPTION_KEY, "FILE", 0, "Ethereum key file", 100 },
	{ "output", 'o', "FORMAT", 0, "table or json", 100 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

struct parse {
	struct cli *cli;
	const struct argp_option *options;
	struct cli_option_value *values;
	uint32_t arg_min, arg_max, arg_count;
	const char *takes; /* the names of the words */
	const char **args;
};

static void take_common(struct parse *p, int key, char *value,
			struct argp_state *state)
{
	switch (key) {
	case OPTION_DIR: p->cli->dir = value; break;
	case OPTION_URL: p->cli->url = value; break;
	case OPTION_CCN: p->cli->ccn = value; break;
	case OPTION_PKI: p->cli->pki = value; break;
	case OPTION_KEY: p->cli->key = value; break;
	default:
		p->cli->json = strcmp(value, "json") == 0;
		if (!p->cli->json && strcmp(value, "table") != 0)
			argp_error(state, "-o takes table or json, not \"%s\"",
				   value);
	}
}

static error_t parse_common(int key, char *value, struct argp_state *state)
{
	if (key != 'o' && (key < OPTION_DIR || key > OPTION_KEY))
		return ARGP_ERR_UNKNOWN;
	take_common(state->input, key, value, state);
	return 0;
}

static error_t take_own(struct parse *p, int key, char *value)
{
	for (uint32_t i = 0; p->options && p->options[i].name; i++) {
		struct cli_option_value *v = &p->values[i];

		if (p->options[i].key != key)
			continue;
		v->value = value ? value : "";
		if (v->count < COUNT_OF(v->values))
			v->values[v->count++] = v->value;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static error_t parse_own(int key, char *value, struct argp_state *state)
{
	struct parse *p = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = p;
		return 0;
	case ARGP_KEY_ARG:
		if (p->arg_count >= p->arg_max)
			argp_error(state, "one word too many: \"%s\"", value);
		p->args[p->arg_count++] = value;
		return 0;
	case ARGP_KEY_END:
		if (p->arg_count < p->arg_min)
			argp_error(state, "a word is missing: it takes %s",
				   p->takes);
		return 0;
	default:
		return take_own(p, key, value);
	}
}

/* "KEY=value" lines, as `deploy/cluster` writes them; quotes are peeled. The
 * values live as long as the process. */
static const char *env_file_value(const char *dir, const char *name)
{
	static char *values[8];
	static size_t count;
	char path[4096], line[8192], *found = NULL;
	size_t length = strlen(name);
	FILE *file;

	snprintf(path, sizeof path, "%s/env", dir);
	file = fopen(path, "re");
	if (!file)
		return NULL;
	while (!found && fgets(line, sizeof line, file)) {
		char *at = line;

		if (strncmp(at, "export ", 7) == 0)
			at += 7;
		if (strncmp(at, name, length) != 0 || at[length] != '=')
			continue;
		at += length + 1;
		at[strcspn(at, "\n")] = 0;
		if (*at == '"' || *at == '\'') {
			at[strlen(at) - 1] = 0;
			at++;
		}
		found = strdup(at);
	}
	fclose(file);
	if (found && count < COUNT_OF(values))
		values[count++] = found;
	return found;
}

static bool is_cluster(const char *dir)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/env", dir);
	return access(path, R_OK) == 0;
}

static const char *settle(const struct cli *cli, const char *given,
			  bool dir_given, const char *name,
			  const char *otherwise)
{
	const char *value = given;

	/* A folder named on the command line beats the environment. */
	if (!value && dir_given)
		value = env_file_value(cli->dir, name);
	if (!value)
		value = getenv(name);
	if (!value && cli->dir)
		value = env_file_value(cli->dir, name);
	return value ? value : otherwise;
}

void cli_parse(struct cli *cli, const struct cli_command *command, int argc,
	       char **argv, const struct argp_option *options,
	       struct cli_option_value *values, uint32_t arg_min,
	       uint32_t arg_max, const char **args)
{
	const struct argp common = { common_options, parse_common, NULL, NULL,
				     NULL, NULL, NULL };
	const struct argp_child children[] = { { &common, 0, NULL, 100 },
					       { NULL, 0, NULL, 0 } };
	const struct argp own = { options, parse_own, command->args,
				  command->help, children, NULL, NULL };
	struct parse parse = { .cli = cli, .options = options,
			       .values = values, .takes = command->args,
			       .arg_min = arg_min,
			       .arg_max = arg_max, .args = args };
	static char name[64];
	bool dir_given;

	snprintf(name, sizeof name, "berth %s %s", command->noun,
		 command->verb);
	argv[0] = name;
	argp_err_exit_status = CLI_USAGE;
	argp_parse(&own, argc, argv, 0, NULL, &parse);
	dir_given = cli->dir != NULL;
	if (dir_given && !is_cluster(cli->dir))
		exit(cli_fail(CLI_USAGE, "no cluster in %s: there is no %s/env;"
			      " deploy/cluster up --dir makes one", cli->dir,
			      cli->dir));
	if (!cli->dir)
		cli->dir = getenv("BERTH_DIR");
	cli->url = settle(cli, cli->url, dir_given, "BERTH_URL", NULL);
	cli->ccn = settle(cli, cli->ccn, dir_given, "BERTH_CCN",
			  "https://api2.aleph.im");
	cli->pki = settle(cli, cli->pki, dir_given, "BERTH_PKI", NULL);
	cli->key = settle(cli, cli->key, dir_given, "BERTH_KEY", NULL);
}

uint64_t cli_number(const struct cli_option_value *value, const char *name,
		    uint64_t otherwise, uint64_t min, uint64_t max)
{
	unsigned long long number;
	char *end;

	if (!value->value)
		return otherwise;
	errno = 0;
	number = strtoull(value->value, &end, 10);
	if (errno || *end || end == value->value || value->value[0] == '-' ||
	    number < min || number > max)
		exit(cli_fail(CLI_USAGE, "--%s takes a number from %llu to"
			      " %llu, not \"%s\"", name,
			      (unsigned long long)min, (unsigned long long)max,
			      value->value));
	return number;
}

int cli_fail(int code, const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("berth: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return code;
}
