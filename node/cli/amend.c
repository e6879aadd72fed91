/* program update|persist|unpersist|forget: as the aleph client does (aleph.md
 * 2.2 to 2.4). */
#include "node/cli/archive.h"
#include "node/cli/cli.h"

#include <stdlib.h>
#include <strings.h>

#include "node/lib/aleph.h"

enum { OPTION_KEEP = 1, OPTION_REASON };

/* The current message, if it is a live PROGRAM of ours. */
static int fetch(struct cli *cli, const struct eth_key *key, const char *hash,
		 json_t **content)
{
	char path[128];
	json_t *answer = NULL, *message;
	const char *status, *sender;
	int http = 0, code;

	if (strlen(hash) != 64)
		return cli_fail(CLI_USAGE, "\"%s\" is not a whole item hash"
				" (64 hex digits)", hash);
	snprintf(path, sizeof path, "/api/v0/messages/%s", hash);
	code = cli_ccn(cli, "GET", path, NULL, NULL, 0, &http, &answer);
	if (code)
		return code;
	status = json_string_value(json_object_get(answer, "status"));
	message = json_object_get(answer, "message");
	sender = json_string_value(json_object_get(message, "sender"));
	*content = json_object_get(message, "content");
	if (http == 404)
		code = cli_fail(CLI_UNKNOWN, "the CCN knows no message %s",
				hash);
	else if (!status || (strcmp(status, "processed") != 0 &&
			     strcmp(status, "removing") != 0))
		code = cli_fail(CLI_UNKNOWN, "the message is %s",
				status ? status : "not there");
	else if (!sender || strcasecmp(sender, key->address) != 0)
		code = cli_fail(CLI_DENIED, "the message is of %s, the key of"
				" %s", sender ? sender : "nobody",
				key->address);
	else if (!json_is_object(*content))
		code = cli_fail(CLI_FAILED, "the message has no content");
	/* The answer owns it: ours is a reference, or none. */
	*content = code ? NULL : json_incref(*content);
	json_decref(answer);
	return code;
}

static int forget(struct cli *cli, const struct eth_key *key, const char *hash,
		  const char *reason)
{
	char forget_hash[65];
	json_t *content;
	int code;

	content = json_pack("{s:s, s:f, s:[s], s:[], s:s}", "address",
			    key->address, "time", cli_now(), "hashes", hash,
			    "aggregates", "reason", reason);
	code = cli_publish(cli, key, ALEPH_FORGET, content, true, forget_hash);
	json_decref(content);
	return code;
}

static int check_amend(const json_t *content, bool persist)
{
	json_t *on = json_object_get(content, "on");
	bool is = json_is_true(json_object_get(on, "persistent"));

	if (!json_is_true(json_object_get(content, "allow_amend")))
		return cli_fail(CLI_DENIED, "the program may not be changed: it"
				" was not uploaded with --updatable");
	if (is == persist)
		return cli_fail(CLI_FAILED, "the program is %s already",
				persist ? "persistent" : "not persistent");
	return 0;
}

static int amend(struct cli *cli, const struct cli_command *command, int argc,
		 char **argv, bool persist)
{
	static const struct argp_option options[] = {
		{ "keep-prev", OPTION_KEEP, NULL, 0,
		  "do not forget the message that is replaced", 0 },
		{ NULL, 0, NULL, 0, NULL, 0 },
	};
	struct cli_option_value values[1] = { 0 };
	const char *words[1];
	struct eth_key key;
	json_t *content = NULL;
	char hash[65];
	int code;

	cli_parse(cli, command, argc, argv, options, values, 1, 1, words);
	code = cli_key(cli, false, &key);
	if (code == 0)
		code = fetch(cli, &key, words[0], &content);
	if (code == 0)
		code = check_amend(content, persist);
	if (code == 0) {
		json_object_set_new(json_object_get(content, "on"),
				    "persistent", json_boolean(persist));
		json_object_set_new(content, "replaces",
				    json_string(words[0]));
		code = cli_publish(cli, &key, ALEPH_PROGRAM, content, true,
				   hash);
	}
	if (code == 0 && !values[0].value)
		code = forget(cli, &key, words[0], persist ?
			      "Program persisted" : "Program unpersisted");
	if (code == 0 && cli->json)
		printf("{\"program\": \"%s\", \"replaces\": \"%s\"}\n", hash,
		       words[0]);
	else if (code == 0)
		printf("%s\n", hash);
	json_decref(content);
	return code;
}

CLI_COMMAND(cmd_program_persist)
{
	return amend(cli, command, argc, argv, true);
}

CLI_COMMAND(cmd_program_unpersist)
{
	return amend(cli, command, argc, argv, false);
}

/* The new archive must be read in the way that the program's message says. */
static int upload_code(struct cli *cli, const struct eth_key *key,
		       const json_t *content, const char *path,
		       char store_hash[65])
{
	json_t *old = json_object_get(content, "code");
	const char *was = json_string_value(json_object_get(old, "encoding"));
	const char *ref = json_string_value(json_object_get(old, "ref"));
	const char *encoding = NULL;
	struct fault fault;
	void *data = NULL;
	size_t size = 0;
	int code = 0;

	if (!was || !ref)
		return cli_fail(CLI_FAILED, "the program's message names no"
				" code");
	if (archive_make(path, &encoding, &data, &size, &fault))
		return cli_fail(CLI_FAILED, "%s", fault.text);
	if (strcmp(was, encoding) != 0)
		code = cli_fail(CLI_USAGE, "the program's code is a %s, %s"
				" makes a %s", was, path, encoding);
	if (code == 0)
		code = cli_store(cli, key, data, size, ref, cli_now(),
				 store_hash);
	free(data);
	return code;
}

CLI_COMMAND(cmd_program_update)
{
	const char *words[2];
	struct eth_key key;
	json_t *content = NULL;
	char store_hash[65];
	int code;

	cli_parse(cli, command, argc, argv, NULL, NULL, 2, 2, words);
	code = cli_key(cli, false, &key);
	if (code == 0)
		code = fetch(cli, &key, words[0], &content);
	if (code == 0)
		code = upload_code(cli, &key, content, words[1], store_hash);
	if (code == 0 && cli->json)
		printf("{\"program\": \"%s\", \"code\": \"%s\"}\n",
		       words[0], store_hash);
	else if (code == 0)
		printf("%s\n", store_hash);
	json_decref(content);
	return code;
}

CLI_COMMAND(cmd_program_forget)
{
	static const struct argp_option options[] = {
		{ "reason", OPTION_REASON, "TEXT", 0,
		  "why (default: User deletion)", 0 },
		{ NULL, 0, NULL, 0, NULL, 0 },
	};
	struct cli_option_value values[1] = { 0 };
	const char *words[1];
	struct eth_key key;
	json_t *content = NULL;
	int code;

	cli_parse(cli, command, argc, argv, options, values, 1, 1, words);
	code = cli_key(cli, false, &key);
	if (code == 0)
		code = fetch(cli, &key, words[0], &content);
	json_decref(content);
	if (code == 0)
		code = forget(cli, &key, words[0], values[0].value ?
			      values[0].value : "User deletion");
	if (code == 0)
		printf("%s forgotten\n", words[0]);
	return code;
}
