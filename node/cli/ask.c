/* Asking replicas: in order, safely, and saying in words what went wrong. */
#include "node/cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define ANSWER_SIZE_MAX (256u << 20)
#define URLS_MAX 16

struct target {
	char url[512], socket[512]; /* socket: empty unless unix: */
};

static uint32_t targets(const struct cli *cli, struct target *out)
{
	const char *at = cli->url;
	uint32_t count = 0;

	while (at && *at && count < URLS_MAX) {
		size_t size = strcspn(at, ",");
		struct target *t = &out[count++];

		t->socket[0] = 0;
		if (strncmp(at, "unix:", 5) == 0) {
			snprintf(t->socket, sizeof t->socket, "%.*s",
				 (int)(size - 5), at + 5);
			snprintf(t->url, sizeof t->url, "http://berth");
		} else {
			snprintf(t->url, sizeof t->url, "%.*s", (int)size, at);
			size_t length = strlen(t->url);
			while (length && t->url[length - 1] == '/')
				t->url[--length] = 0;
		}
		at += size;
		at += *at == ',';
	}
	return count;
}

static const char *name_of(const struct target *t)
{
	return t->socket[0] ? t->socket : t->url;
}

/* curl knows nothing of the socket that it went through. */
static const char *why(const struct target *t, const struct http_answer *answer)
{
	if (!t->socket[0])
		return answer->fault.text;
	if (access(t->socket, F_OK) != 0)
		return errno == ENOENT ? "no such socket: is this replica up, "
					 "and on this machine?"
				       : strerror(errno);
	return access(t->socket, W_OK) != 0
		       ? "the socket belongs to another user"
		       : "nobody answers at the socket: is this replica up?";
}

static void ask_one(const struct cli *cli, const struct target *target,
		    const char *method, const char *path, const char *request,
		    const char *body, struct http_answer *answer)
{
	char url[4096], id[96];
	const char *headers[3] = { "Content-Type: application/json", NULL,
				   NULL };
	bool tls = strncmp(target->url, "https:", 6) == 0;

	snprintf(url, sizeof url, "%s%s", target->url, path);
	snprintf(id, sizeof id, "Berth-Request-Id: %s", request);
	headers[1] = request[0] ? id : NULL;
	http_blocking(&(struct http_call){
		.method = method, .url = url, .headers = headers,
		.body = body, .body_size = body ? strlen(body) : 0,
		.unix_socket = target->socket[0] ? target->socket : NULL,
		.pki = tls ? cli->pki : NULL,
		.timeout_ms = 75000, .connect_ms = 2000,
		.answer_size_max = ANSWER_SIZE_MAX }, answer);
}

/* A replica that cannot say may have a neighbour that can. */
static bool try_next(const struct http_answer *answer)
{
	return answer->status == 0 || answer->status == 503;
}

static int ask(struct cli *cli, const char *method, const char *path,
	       const char *body, struct http_answer *answer)
{
	static bool told[URLS_MAX];
	struct target list[URLS_MAX];
	uint32_t count = targets(cli, list);
	uint8_t id[16];
	char request[33] = "";
	bool reached = false;

	memset(answer, 0, sizeof *answer);
	if (!count)
		return cli_fail(CLI_USAGE, "no replica to ask: give --dir,"
				" --url, or set BERTH_DIR or BERTH_URL");
	if (strcmp(method, "GET") != 0) {
		crypto_random(id, sizeof id);
		hex_encode(id, sizeof id, request);
	}
	for (uint32_t i = 0; i < count; i++) {
		struct http_answer next;

		ask_one(cli, &list[i], method, path, request, body, &next);
		if (next.status == 0 && reached) {
			http_answer_fini(&next);
			continue;
		}
		http_answer_fini(answer);
		*answer = next;
		reached = reached || next.status != 0;
		if (!try_next(answer))
			return 0;
		/* Said once, however much a command asks. */
		if (next.status == 0 && count > 1 && !told[i])
			fprintf(stderr, "berth: %s does not answer (%s)\n",
				name_of(&list[i]), why(&list[i], &next));
		told[i] = told[i] || next.status == 0;
	}
	if (!reached)
		return count > 1 ?
		       cli_fail(CLI_NO_LEADER, "no replica answers, of %u that"
				" were asked", count) :
		       cli_fail(CLI_NO_LEADER, "no replica answers: %s: %s",
				name_of(list), why(list, answer));
	return 0;
}

static int exit_of(int status, const char *code)
{
	if (status == 403 || status == 401)
		return CLI_DENIED;
	if (status == 404)
		return CLI_UNKNOWN;
	if (strcmp(code, "unknown_outcome") == 0)
		return CLI_OUTCOME_UNKNOWN;
	if (status == 503)
		return CLI_NO_LEADER;
	return CLI_FAILED;
}

/* Prints the error of an answer and gives the exit code. */
static int refuse(const struct http_answer *answer, const char *path,
		  bool quiet)
{
	json_t *json = NULL;
	struct fault fault;
	const char *code = "", *message = NULL;
	int result;

	if (json_parse(answer->body, answer->body_size, ANSWER_SIZE_MAX, &json,
		       &fault) == 0) {
		const char *c = json_string_value(
			json_object_get(json, "error"));

		code = c ? c : "";
		message = json_string_value(json_object_get(json, "message"));
	}
	result = exit_of(answer->status, code);
	if (!(quiet && result == CLI_UNKNOWN))
		cli_fail(result, "%s (HTTP %d%s%s: %s)",
			 message ? message : "the replica refused",
			 answer->status, *code ? ", " : "", code, path);
	json_decref(json);
	return result;
}

static int decode(const struct http_answer *answer, json_t **out)
{
	struct fault fault;

	if (json_parse(answer->body, answer->body_size, ANSWER_SIZE_MAX, out,
		       &fault) == 0)
		return 0;
	return cli_fail(CLI_FAILED, "the answer is not JSON: %s", fault.text);
}

/* With no leader the last known state is still worth showing, marked so. */
static int get_stale(struct cli *cli, const char *path,
		     struct http_answer *answer)
{
	static const char asked[] = "&consistency=leader";
	const char *at = strstr(path, asked);
	static bool told;
	char stale[2048], age[32] = "?";
	int code;

	if (at)
		snprintf(stale, sizeof stale, "%.*s&consistency=stale%s",
			 (int)(at - path), path, at + sizeof asked - 1);
	else
		snprintf(stale, sizeof stale, "%s%cconsistency=stale", path,
			 strchr(path, '?') ? '&' : '?');
	http_answer_fini(answer);
	code = ask(cli, "GET", stale, NULL, answer);
	if (code == 0 && answer->status == 200 && !told) {
		told = true;
		http_answer_header(answer, "Berth-Age-Ms", age, sizeof age);
		fprintf(stderr, "berth: no leader; showing what one replica"
			" knew %s ms ago\n", age);
	}
	return code;
}

int cli_get_raw(struct cli *cli, const char *path, struct http_answer *answer)
{
	int code = ask(cli, "GET", path, NULL, answer);

	if (code == 0 && answer->status == 503 &&
	    strncmp(path, "/admin/v1/", 10) == 0)
		code = get_stale(cli, path, answer);
	if (code == 0 && answer->status / 100 != 2)
		code = refuse(answer, path, false);
	if (code)
		http_answer_fini(answer);
	return code;
}

int cli_get(struct cli *cli, const char *path, bool quiet, json_t **out)
{
	struct http_answer answer;
	int code = ask(cli, "GET", path, NULL, &answer);

	if (code == 0 && answer.status == 503)
		code = get_stale(cli, path, &answer);
	if (code == 0 && answer.status / 100 != 2)
		code = refuse(&answer, path, quiet);
	else if (code == 0)
		code = decode(&answer, out);
	http_answer_fini(&answer);
	return code;
}

int cli_mutate(struct cli *cli, const char *method, const char *path,
	       const json_t *body, json_t **out)
{
	struct http_answer answer;
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	int code = ask(cli, method, path, text, &answer);

	if (code == 0 && answer.status / 100 != 2)
		code = refuse(&answer, path, false);
	else if (code == 0)
		code = decode(&answer, out);
	http_answer_fini(&answer);
	free(text);
	return code;
}
