/* What a core channel node is asked: messages, files. */
#include "node/cli/cli.h"

#include <stdlib.h>

#include "node/lib/aleph.h"

#define CHANNEL "ALEPH-CLOUDSOLUTIONS"

int cli_ccn(struct cli *cli, const char *method, const char *path,
	    const char *content_type, const void *body, size_t body_size,
	    int *status, json_t **out)
{
	char url[4096], type[128];
	const char *headers[2] = { type, NULL };
	struct http_answer answer;
	struct fault fault;
	int code = 0;

	snprintf(url, sizeof url, "%s%s", cli->ccn, path);
	snprintf(type, sizeof type, "Content-Type: %s", content_type);
	http_blocking(&(struct http_call){
		.method = method, .url = url,
		.headers = content_type ? headers : NULL, .body = body,
		.body_size = body_size, .timeout_ms = 60000,
		.connect_ms = 5000, .answer_size_max = 64u << 20,
		.progress = body_size > 65536 ? cli_progress : NULL,
		.ctx = cli }, &answer);
	*status = answer.status;
	*out = NULL;
	if (!answer.status)
		code = cli_fail(CLI_FAILED, "the CCN %s does not answer: %s",
				cli->ccn, answer.fault.text);
	else if (json_parse(answer.body, answer.body_size, 64u << 20, out,
			    &fault))
		*out = json_pack("{s:s%}", "message", answer.body,
				 answer.body_size < 200 ? answer.body_size :
				 (size_t)200);
	http_answer_fini(&answer);
	return code;
}

int cli_key(struct cli *cli, bool create, struct eth_key *key)
{
	struct fault fault;

	if (!cli->key)
		return cli_fail(CLI_USAGE, "no key: give --key FILE or set"
				" BERTH_KEY (a new file is made by upload)");
	if (eth_key_load(cli->key, create, key, &fault))
		return cli_fail(CLI_FAILED, "%s", fault.text);
	return 0;
}

/* Why the CCN rejected it, from what it keeps about the message. */
static int rejected(struct cli *cli, const char *what, const char *hash,
		    int status, const json_t *answer)
{
	static const char *const meanings[] = {
		[0] = "the format is wrong", [1] = "the signature is wrong",
		[2] = "permission denied", [3] = "content unavailable",
		[4] = "a file is unavailable", [5] = "balance too low",
		[6] = "credit too low",
	};
	const char *text = json_string_value(
		json_object_get(answer, "message"));
	json_t *kept = NULL, *details;
	char path[128], why[512] = "";
	json_int_t error = -1;
	int kept_status;

	snprintf(path, sizeof path, "/api/v0/messages/%s", hash);
	if (cli_ccn(cli, "GET", path, NULL, NULL, 0, &kept_status, &kept) == 0)
	{
		error = json_is_integer(json_object_get(kept, "error_code")) ?
			json_integer_value(json_object_get(kept,
							   "error_code")) : -1;
		details = json_object_get(json_object_get(kept, "details"),
					  "errors");
		if (json_is_string(json_array_get(details, 0)))
			snprintf(why, sizeof why, ": %s", json_string_value(
				 json_array_get(details, 0)));
	}
	if (error >= 0 && error < (json_int_t)COUNT_OF(meanings))
		text = meanings[error];
	cli_fail(CLI_FAILED, "the CCN rejected the %s message %s (HTTP %d,"
		 " error %lld: %s%s)", what, hash, status, (long long)error,
		 text ? text : "no reason given", why);
	json_decref(kept);
	return CLI_FAILED;
}

static int post(struct cli *cli, const char *what, json_t *envelope, bool sync,
		char hash[65])
{
	json_t *body = json_pack("{s:b, s:O}", "sync", sync, "message",
				 envelope);
	char *text = json_dumps(body, JSON_COMPACT);
	json_t *answer = NULL;
	int status = 0, code;

	snprintf(hash, 65, "%s", json_string_value(
		 json_object_get(envelope, "item_hash")));
	code = cli_ccn(cli, "POST", "/api/v0/messages", "application/json",
		       text, strlen(text), &status, &answer);
	if (code == 0 && status != 200 && status != 202)
		code = rejected(cli, what, hash, status, answer);
	json_decref(answer);
	json_decref(body);
	free(text);
	return code;
}

int cli_publish(struct cli *cli, const struct eth_key *key, int type,
		json_t *content, bool sync, char hash[65])
{
	struct fault fault;
	json_t *envelope = NULL;
	int code;

	if (aleph_message_make(key, (enum aleph_type)type, content, cli_now(),
			       CHANNEL, &envelope, &fault))
		return cli_fail(CLI_FAILED, "%s", fault.text);
	code = post(cli, aleph_type_name((enum aleph_type)type), envelope,
		    sync, hash);
	json_decref(envelope);
	return code;
}
