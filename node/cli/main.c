/* berth NOUN VERB: finds the command in the table and runs it. */
#include "node/cli/cli.h"

#include <curl/curl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

const struct cli_command cli_commands[] = {
	{ "cluster", "status", "", "who leads, what runs, what waits and why",
	  cmd_cluster_status },
	{ "replica", "list", "", "the scheduler's replicas and their logs",
	  cmd_replica_list },
	{ "member", "list", "", "who belongs to the cluster, and votes",
	  cmd_replica_list },
	{ "member", "add", "ID", "let a new replica follow, without a vote",
	  cmd_member_add },
	{ "member", "promote", "ID", "give a member that follows a vote",
	  cmd_member_promote },
	{ "member", "demote", "ID", "take a member's vote",
	  cmd_member_demote },
	{ "member", "remove", "ID", "take a member out, for good",
	  cmd_member_remove },
	{ "member", "transfer", "ID", "have a member lead",
	  cmd_member_transfer },
	{ "crn", "list", "", "compute resource nodes", cmd_crn_list },
	{ "crn", "show", "CRN", "one CRN, with the programs on it",
	  cmd_crn_show },
	{ "crn", "fence-confirm", "CRN", "attest that its machine was seen off",
	  cmd_crn_fence_confirm },
	{ "program", "upload", "PATH ENTRYPOINT",
	  "publish a program as signed messages", cmd_program_upload },
	{ "program", "list", "", "programs and where they run",
	  cmd_program_list },
	{ "program", "show", "PROGRAM", "all that is known of a program",
	  cmd_program_show },
	{ "program", "where", "PROGRAM", "the CRN where a program is running",
	  cmd_program_where },
	{ "program", "logs", "PROGRAM", "the end of a program's log",
	  cmd_program_logs },
	{ "program", "update", "PROGRAM PATH", "publish new code for it",
	  cmd_program_update },
	{ "program", "persist", "PROGRAM", "have it run all the time",
	  cmd_program_persist },
	{ "program", "unpersist", "PROGRAM", "stop having it run all the time",
	  cmd_program_unpersist },
	{ "program", "forget", "PROGRAM", "take the program's message back",
	  cmd_program_forget },
	{ "event", "list", "", "what happened", cmd_event_list },
	{ "event", "watch", "", "what happens, as it happens",
	  cmd_event_watch },
	{ "audit", "export", "",
	  "a replica's audit trail: every entry, hash-chained",
	  cmd_audit_export },
	{ "audit", "verify", "FILE...",
	  "prove from exports alone that nothing overlapped",
	  cmd_audit_verify },
	{ "pki", "init", "DIR", "make the cluster's certificate authority",
	  cmd_pki_init },
	{ "pki", "issue", "DIR OUT URI", "issue a certificate",
	  cmd_pki_issue },
	{ NULL, NULL, NULL, NULL, NULL },
};

static void usage(FILE *out, const char *noun)
{
	fputs("usage: berth NOUN VERB [OPTION...] [WORD...]\n\n", out);
	for (const struct cli_command *c = cli_commands; c->noun; c++) {
		char line[64];

		if (noun && strcmp(noun, c->noun) != 0)
			continue;
		snprintf(line, sizeof line, "%s %s %s", c->noun, c->verb,
			 c->args);
		fprintf(out, "  %-34s %s\n", line, c->help);
	}
	fputs("\n"
	      "Common options: --dir DIR (a one-machine cluster's folder), --url URL[,URL...],\n"
	      "--ccn URL, --pki DIR, --key FILE, -o table|json. `berth NOUN VERB --help` has the\n"
	      "rest. Environment: BERTH_DIR, BERTH_URL, BERTH_CCN, BERTH_PKI, BERTH_KEY.\n"
	      "Exit codes: 0 done, 1 failed, 2 usage, 3 not placed, 4 unknown, 5 denied,\n"
	      "6 no leader or nobody answers, 7 outcome unknown (ask again).\n",
	      out);
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 ||
	       strcmp(word, "help") == 0;
}

static bool noun_known(const char *noun)
{
	for (const struct cli_command *c = cli_commands; c->noun; c++)
		if (strcmp(c->noun, noun) == 0)
			return true;
	return false;
}

static const struct cli_command *find(const char *noun, const char *verb)
{
	for (const struct cli_command *c = cli_commands; c->noun; c++)
		if (strcmp(c->noun, noun) == 0 && strcmp(c->verb, verb) == 0)
			return c;
	return NULL;
}

static bool takes_value(const char *option)
{
	static const char *const names[] = { "--dir", "--url", "--ccn", "--pki",
					     "--key", "--output", "-o" };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (strcmp(option, names[i]) == 0)
			return true;
	return false;
}

/* Options before the noun mean the same behind the verb: they go there. */
static void options_behind(int argc, char **argv)
{
	char *moved[64];
	int options = 1;

	while (options < argc && argv[options][0] == '-' &&
	       !is_help(argv[options]))
		options += takes_value(argv[options]) ? 2 : 1;
	if (options == 1 || options + 2 > argc ||
	    options > (int)COUNT_OF(moved))
		return;
	memcpy(moved, argv + 1, (size_t)(options - 1) * sizeof *argv);
	argv[1] = argv[options];
	argv[2] = argv[options + 1];
	memcpy(argv + 3, moved, (size_t)(options - 1) * sizeof *argv);
}

int main(int argc, char **argv)
{
	const struct cli_command *command;
	struct cli cli = { .terminal = isatty(STDERR_FILENO) };
	int code;

	signal(SIGPIPE, SIG_DFL);
	options_behind(argc, argv);
	if (argc >= 2 && is_help(argv[1])) {
		usage(stdout, NULL);
		return CLI_DONE;
	}
	if (argc < 2 || !noun_known(argv[1])) {
		if (argc >= 2)
			fprintf(stderr, "berth: no noun \"%s\"\n", argv[1]);
		usage(stderr, NULL);
		return CLI_USAGE;
	}
	if (argc >= 3 && is_help(argv[2])) {
		usage(stdout, argv[1]);
		return CLI_DONE;
	}
	command = argc < 3 ? NULL : find(argv[1], argv[2]);
	if (!command) {
		if (argc >= 3)
			fprintf(stderr, "berth: no verb \"%s %s\"\n", argv[1],
				argv[2]);
		usage(stderr, argv[1]);
		return CLI_USAGE;
	}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	code = command->run(&cli, command, argc - 2, argv + 2);
	curl_global_cleanup();
	if (fflush(stdout) != 0)
		return cli_fail(CLI_FAILED, "cannot write the output");
	return code;
}
