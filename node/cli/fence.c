/* crn fence-confirm: the only force there is (R16d). An operator attests that
 * the machine of one session was seen off; what was held there becomes free. */
#include "node/cli/cli.h"

#include <stdlib.h>

enum { OPTION_SESSION = 1, OPTION_YES, OPTION_ALL };

static const struct argp_option options[] = {
	{ "session", OPTION_SESSION, "S", 0, "the session whose machine was"
	  " seen off; `berth crn show` and `berth program show` tell it", 0 },
	{ "yes", OPTION_YES, NULL, 0, "do not ask (power-off drivers)", 0 },
	{ "all-machines", OPTION_ALL, NULL, 0, "after a restore: every machine"
	  " that ever was this CRN was seen off", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

/* What the operator is shown, and what is then asked for. */
struct fence {
	char hash[65];
	const char *session;
	bool all_machines;
	json_t *cluster, *crn, *freed; /* freed: programs of that session */
};

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : NULL;
}

static bool of_session(const struct fence *f, const json_t *row)
{
	const char *session = text_of(row, "session");

	return session && strcmp(session, f->session) == 0;
}

static int programs_read(struct cli *cli, struct fence *f)
{
	char path[128];
	json_t *rows = NULL, *row;
	size_t i;
	int code;

	snprintf(path, sizeof path, "/admin/v1/programs?crn=%s", f->hash);
	code = cli_all_pages(cli, path, "programs", &rows);
	if (code)
		return code;
	f->freed = json_array();
	json_array_foreach(rows, i, row)
		if (of_session(f, row))
			json_array_append(f->freed, row);
	json_decref(rows);
	return 0;
}

/* The generation is read first: a restore in between must be refused. */
static int state_read(struct cli *cli, struct fence *f)
{
	char path[128];
	int code = cli_get(cli, "/admin/v1/cluster", false, &f->cluster);

	snprintf(path, sizeof path, "/admin/v1/crns/%s", f->hash);
	if (code == 0)
		code = cli_get(cli, path, false, &f->crn);
	if (code == 0)
		code = programs_read(cli, f);
	return code;
}

static void state_free(struct fence *f)
{
	json_decref(f->cluster);
	json_decref(f->crn);
	json_decref(f->freed);
}

static const char *name_of(const struct fence *f)
{
	const char *name = text_of(f->crn, "name");

	return name ? name : f->hash;
}

static const char *host_of(const struct fence *f)
{
	const char *host = text_of(json_array_get(f->freed, 0), "host");

	if (!host && of_session(f, f->crn))
		host = text_of(f->crn, "host");
	return host ? host : "unknown";
}

static int not_that(const struct fence *f)
{
	const char *now = text_of(f->crn, "session");

	return cli_fail(CLI_FAILED, "nothing of %s belongs to session %s (its"
			" last session is %s): it was replaced since you read"
			" it, or confirmed before. Nothing was changed. Look"
			" again: berth crn show %s, and berth program show for"
			" what waits", name_of(f), f->session,
			now ? now : "none", name_of(f));
}

/* A lease that still runs is a machine that most likely does. */
static void warn_alive(const struct fence *f)
{
	char left[64];

	if (!of_session(f, f->crn) ||
	    !json_is_true(json_object_get(f->crn, "alive")))
		return;
	fprintf(stderr, "\nWARNING: this session is alive, its lease runs for"
		" another %s. Unless you have just\ncut its power yourself,"
		" that machine is on, and its programs run.\n",
		cli_value(f->crn, "lease_ms", CELL_MS, left, sizeof left));
}

static void show(const struct fence *f)
{
	size_t count = json_array_size(f->freed), i;
	json_t *row;

	fprintf(stderr, "CRN      %s  %s\nsession  %s\nhost     %s\n"
		"frees    %zu program%s\n", name_of(f), f->hash, f->session,
		host_of(f), count, count == 1 ? "" : "s");
	json_array_foreach(f->freed, i, row) {
		char hash[80], name[256], epoch[64], guarantee[64];

		fprintf(stderr, "  %-12s  epoch %-14s  %-14s  %s\n",
			cli_value(row, "hash", CELL_HASH, hash, sizeof hash),
			cli_value(row, "epoch", CELL_TEXT, epoch, sizeof epoch),
			cli_value(row, "guarantee", CELL_TEXT, guarantee,
				  sizeof guarantee),
			cli_value(row, "name", CELL_TEXT, name, sizeof name));
	}
	fprintf(stderr, "\nYou attest that the machine of this session was"
		" seen off (power, not network) after\nits session id was"
		" read. If it is on, these programs will run twice.\n");
	warn_alive(f);
}

static bool confirmed(const struct fence *f)
{
	char line[512];

	fprintf(stderr, "\nType the CRN's name (%s) to confirm: ", name_of(f));
	fflush(stderr);
	if (!fgets(line, sizeof line, stdin)) {
		fputc('\n', stderr);
		return false;
	}
	line[strcspn(line, "\r\n")] = 0;
	return strcmp(line, name_of(f)) == 0;
}

static int attest(struct cli *cli, const struct fence *f)
{
	char path[128];
	json_t *answer = NULL, *body = json_pack(
		"{s:s, s:b}", "session", f->session, "all_machines",
		(int)f->all_machines);
	int code;

	json_object_set(body, "gen", json_object_get(f->cluster, "gen"));
	snprintf(path, sizeof path, "/admin/v1/crns/%s/fence-confirm", f->hash);
	code = cli_mutate(cli, "POST", path, body, &answer);
	if (code == 0 && cli->json)
		cli_json(answer);
	else if (code == 0)
		printf("session %s of %s is confirmed off; %zu program%s"
		       " freed\n", f->session, name_of(f),
		       json_array_size(f->freed),
		       json_array_size(f->freed) == 1 ? "" : "s");
	json_decref(answer);
	json_decref(body);
	return code;
}

static int ask_and_send(struct cli *cli, const struct fence *f, bool yes)
{
	/* After a restore the session may be known to the replicas alone. */
	if (!f->all_machines && !of_session(f, f->crn) &&
	    json_array_size(f->freed) == 0)
		return not_that(f);
	show(f);
	if (!yes && !confirmed(f))
		return cli_fail(CLI_FAILED, "not confirmed; nothing was"
				" changed");
	return attest(cli, f);
}

CLI_COMMAND(cmd_crn_fence_confirm)
{
	struct cli_option_value values[3] = { 0 };
	const char *words[1];
	struct fence f = { 0 };
	int code;

	cli_parse(cli, command, argc, argv, options, values, 1, 1, words);
	f.session = values[0].value;
	f.all_machines = values[2].value != NULL;
	if (!f.session || !*f.session ||
	    strspn(f.session, "0123456789") != strlen(f.session))
		return cli_fail(CLI_USAGE, "--session takes the number of the"
				" session that was seen off");
	code = cli_resolve(cli, "/admin/v1/crns", "crns", words[0], f.hash);
	if (code == 0)
		code = state_read(cli, &f);
	if (code == 0)
		code = ask_and_send(cli, &f, values[1].value != NULL);
	state_free(&f);
	return code;
}
