/* member add|promote|demote|remove|transfer: who belongs to the cluster. One
 * change at a time; the leader refuses what would cost the majority. */
#include "node/cli/cli.h"

#include <inttypes.h>
#include <stdlib.h>

enum { OPTION_YES = 1 };

static const struct argp_option yes_option[] = {
	{ "yes", OPTION_YES, NULL, 0, "do not ask", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

struct order {
	const char *change, *id;
	bool ask, yes; /* ask before a vote that works is taken */
};

static uint32_t count(const json_t *rows, const char *role)
{
	const char *text;
	uint32_t found = 0;
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) {
		text = json_string_value(json_object_get(row, "role"));
		found += text && strcmp(text, role) == 0;
	}
	return found;
}

static const json_t *find(const json_t *rows, const char *id)
{
	char text[32];
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
		if (strcmp(cli_value(row, "id", CELL_COUNT, text, sizeof text),
			   id) == 0)
			return row;
	return NULL;
}

/* What is left when a voter that works goes: said before, not after. */
static bool confirmed(const struct order *o, const json_t *rows)
{
	const json_t *row = find(rows, o->id);
	const char *role = json_string_value(json_object_get(row, "role"));
	uint32_t left = count(rows, "voter") - 1;
	char line[64];

	if (!role || strcmp(role, "voter") != 0 || left == 0 ||
	    !json_is_true(json_object_get(row, "connected")))
		return true;
	fprintf(stderr, "Replica %s votes and is well. Without it %" PRIu32
		" vote%s, and the cluster stands still\nwhen %s of them "
		"fail%s.\n", o->id, left, left == 1 ? "s" : "",
		left < 3 ? "one" : left < 5 ? "two" : "three",
		left < 3 ? "s" : "");
	if (o->yes)
		return true;
	fprintf(stderr, "Type its id (%s) to %s it: ", o->id, o->change);
	fflush(stderr);
	if (!fgets(line, sizeof line, stdin)) {
		fputc('\n', stderr);
		return false;
	}
	line[strcspn(line, "\r\n")] = 0;
	return strcmp(line, o->id) == 0;
}

static int look_first(struct cli *cli, const struct order *o)
{
	json_t *answer = NULL;
	bool go;
	int code;

	if (!o->ask)
		return 0;
	code = cli_get(cli, "/admin/v1/replicas?consistency=leader", false,
		       &answer);
	if (code)
		return code;
	go = confirmed(o, json_object_get(answer, "replicas"));
	json_decref(answer);
	return go ? 0 : cli_fail(CLI_FAILED, "not confirmed; nothing was"
				 " changed");
}

static void tell(const struct order *o, const json_t *answer)
{
	char voters[24], may_fail[24];

	if (strcmp(o->change, "transfer") == 0) {
		printf("replica %s leads\n", o->id);
		return;
	}
	printf("%s of replica %s is done: %s vote, of which %s may fail\n",
	       o->change, o->id,
	       cli_value(answer, "voters", CELL_COUNT, voters, sizeof voters),
	       cli_value(answer, "may_fail", CELL_COUNT, may_fail,
			 sizeof may_fail));
	if (strcmp(o->change, "add") == 0)
		printf("It follows without a vote. When it is level:"
		       " berth member promote %s\n", o->id);
	if (strcmp(o->change, "remove") == 0)
		printf("Stop replica %s, delete its directory, and never use"
		       " its id again\n", o->id);
}

static int change(struct cli *cli, const struct order *o)
{
	json_t *answer = NULL, *body;
	int code = look_first(cli, o);

	if (code)
		return code;
	body = json_pack("{s:I, s:s}", "id",
			 (json_int_t)strtoull(o->id, NULL, 10), "change",
			 o->change);
	code = cli_mutate(cli, "POST", "/admin/v1/members", body, &answer);
	if (code == 0 && cli->json)
		cli_json(answer);
	else if (code == 0)
		tell(o, answer);
	else if (code == CLI_OUTCOME_UNKNOWN)
		fprintf(stderr, "berth: look at berth member list before you"
			" ask again\n");
	json_decref(answer);
	json_decref(body);
	return code;
}

static int run(struct cli *cli, const struct cli_command *command, int argc,
	       char **argv, bool ask)
{
	struct cli_option_value yes = { 0 };
	struct order o = { .change = command->verb, .ask = ask };

	cli_parse(cli, command, argc, argv, ask ? yes_option : NULL,
		  ask ? &yes : NULL, 1, 1, &o.id);
	o.yes = yes.value != NULL;
	if (!*o.id || *o.id == '0' || strlen(o.id) > 9 ||
	    strspn(o.id, "0123456789") != strlen(o.id))
		return cli_fail(CLI_USAGE, "\"%s\" is not a replica's id, a"
				" number as in berth member list", o.id);
	return change(cli, &o);
}

CLI_COMMAND(cmd_member_add)
{
	return run(cli, command, argc, argv, false);
}

CLI_COMMAND(cmd_member_promote)
{
	return run(cli, command, argc, argv, false);
}

CLI_COMMAND(cmd_member_demote)
{
	return run(cli, command, argc, argv, true);
}

CLI_COMMAND(cmd_member_remove)
{
	return run(cli, command, argc, argv, true);
}

CLI_COMMAND(cmd_member_transfer)
{
	return run(cli, command, argc, argv, false);
}
