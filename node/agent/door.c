#include "node/agent/door.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "node/lib/crypto.h"
#include "node/lib/log.h"

#define HEADERS_MAX 100u
#define HEADERS_SIZE_MAX 65536u
#define TIMEOUT_MS 60000u
#define CONNECTIONS_MAX 1024u
#define HELD_MAX (256u << 20) /* bytes of bodies each way, all together */

struct door {
	struct agent *agent;
	struct httpd *httpd;
};

/* One request on its way to a program. */
struct pass {
	struct httpd_request *request;
	char epoch[48];
};

/* Headers that speak of one connection only, and those that our own client
 * and server write themselves. */
static bool is_hop(const char *name)
{
	static const char *const names[] = { "connection", "keep-alive",
		"proxy-authenticate", "proxy-authorization", "te", "trailer",
		"transfer-encoding", "upgrade", "content-length", "expect",
		"proxy-connection", "berth-epoch" };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (strcasecmp(name, names[i]) == 0)
			return true;
	return name[0] == ':' || name[0] == '\0';
}

bool door_path(const char *raw, struct hash *program, const char **rest)
{
	char text[65];

	if (strncmp(raw, "/vm/", 4) != 0 || strnlen(raw + 4, 64) < 64)
		return false;
	memcpy(text, raw + 4, 64);
	text[64] = '\0';
	*rest = raw + 68;
	return (**rest == '/' || **rest == '\0') &&
	       hash_parse(text, program) == 0;
}

/* --- the answer's way back --------------------------------------------------- */

struct head_list {
	struct httpd_header rows[HEADERS_MAX];
	uint32_t count;
	const char *content_type;
};

static bool is_token(const char *name)
{
	for (const char *c = name; *c; c++)
		if (*c <= ' ' || *c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", *c))
			return false;
	return *name != '\0';
}

static bool is_text(const char *value)
{
	for (; *value; value++)
		if (((unsigned char)*value < ' ' && *value != '\t') ||
		    *value == 127)
			return false;
	return true;
}

/* Takes raw headers apart in place. */
static void read_headers(char *raw, struct head_list *list)
{
	char *line, *rest = raw;

	while ((line = strsep(&rest, "\n"))) {
		char *colon = strchr(line, ':');

		line[strcspn(line, "\r")] = '\0';
		if (!colon || strncasecmp(line, "HTTP/", 5) == 0)
			continue;
		*colon = '\0';
		colon += 1 + strspn(colon + 1, " \t");
		if (!is_token(line) || !is_text(colon))
			continue;
		if (strcasecmp(line, "content-type") == 0)
			list->content_type = colon;
		else if (!is_hop(line) && list->count < HEADERS_MAX - 1)
			list->rows[list->count++] =
				(struct httpd_header){ line, colon };
	}
}

static void answer_back(struct pass *pass, const struct http_answer *answer)
{
	struct head_list list = { 0 };
	char *raw = strdup(answer->headers ? answer->headers : "");

	if (raw)
		read_headers(raw, &list);
	list.rows[list.count++] =
		(struct httpd_header){ "Berth-Epoch", pass->epoch };
	httpd_respond(pass->request, answer->status, list.rows, list.count,
		      list.content_type, answer->body, answer->body_size);
	free(raw);
}

static void passed(void *ctx, const struct http_answer *answer)
{
	struct pass *pass = ctx;

	/* An interim status as the last word would put every later answer of
	 * a connection out of step. */
	if (answer->status >= 200 && answer->status <= 599)
		answer_back(pass, answer);
	else if (answer->status != 0)
		httpd_respond_error(pass->request, 502, "malformed",
				    "the program answered with status %d",
				    answer->status);
	else if (answer->fault.code == BERTH_BUSY)
		httpd_respond_error(pass->request, 503, "busy",
				    "too much to hold at once");
	else if (answer->fault.code == BERTH_TIMEOUT)
		httpd_respond_error(pass->request, 504, "timeout",
				    "the program did not answer in %u s",
				    TIMEOUT_MS / 1000);
	else if (answer->fault.code == BERTH_TOOBIG)
		httpd_respond_error(pass->request, 502, "too_big",
				    "the program's answer is above %u bytes",
				    DOOR_BODY_SIZE_MAX);
	else
		httpd_respond_error(pass->request, 502, "unreachable",
				    "the program: %s", answer->fault.text);
	free(pass);
}

/* --- the request's way there ---------------------------------------------------- */

/* "Name: value" strings in `memory`; false when they are too many. */
static bool copy_headers(const struct httpd_request *request, char *memory,
			 const char **rows)
{
	const char *name, *value;
	uint32_t count = 0;
	size_t used = 0;

	for (uint32_t i = 0; httpd_header_at(request, i, &name, &value); i++) {
		int size;

		if (is_hop(name))
			continue;
		if (count == HEADERS_MAX)
			return false;
		size = snprintf(memory + used, HEADERS_SIZE_MAX - used,
				"%s: %s", name, value);
		if (size < 0 || (size_t)size >= HEADERS_SIZE_MAX - used)
			return false;
		rows[count++] = memory + used;
		used += (size_t)size + 1;
	}
	rows[count] = NULL;
	return true;
}

/* Of the whole process: each agent has one door. */
static size_t room = HELD_MAX;

static void send_pass(struct http_client *http, struct pass *pass,
		      const struct runner_target *target, const char *url,
		      char *memory)
{
	const char *rows[HEADERS_MAX + 1];
	struct http_call call = {
		.method = httpd_method(pass->request), .url = url,
		.headers = rows, .timeout_ms = TIMEOUT_MS,
		.connect_ms = 2000, .answer_size_max = DOOR_BODY_SIZE_MAX,
		.unix_socket = target->unix_socket[0] ? target->unix_socket :
			       NULL,
		.netns = target->netns[0] ? target->netns : NULL,
		.room = &room,
		.ctx = pass,
	};
	struct httpd_request *request = pass->request;

	call.body = httpd_body(request, &call.body_size);
	if (!copy_headers(request, memory, rows)) {
		free(pass);
		httpd_respond_error(request, 431, "too_big",
				    "too many headers");
	} else if (http_client_send(http, &call, passed) != 0) {
		free(pass);
		httpd_respond_error(request, 503, "busy",
				    "too many requests at once");
	}
}

void door_proxy(struct http_client *http, struct httpd_request *request,
		const struct runner_target *target, const char *path)
{
	const char *base = target->netns[0] ? "http://127.0.0.1:8080" :
			   "http://localhost";
	size_t size = strlen(base) + strlen(path) + 1;
	struct pass *pass = calloc(1, sizeof *pass);
	char *url = malloc(size), *memory = malloc(HEADERS_SIZE_MAX);

	if (!pass || !url || !memory) {
		free(pass);
		httpd_respond_error(request, 503, "busy", "out of memory");
	} else {
		pass->request = request;
		snprintf(pass->epoch, sizeof pass->epoch, "%llu.%llu",
			 (unsigned long long)target->gen,
			 (unsigned long long)target->epoch);
		snprintf(url, size, "%s%s", base, path);
		send_pass(http, pass, target, url, memory);
	}
	free(url);
	free(memory);
}

static void not_ready(struct httpd_request *request,
		      const struct runner_target *target)
{
	static const struct httpd_header retry[] = { { "Retry-After", "1" } };
	char body[160];
	int size = snprintf(body, sizeof body,
			    "{\"error\":\"not_ready\",\"message\":\"the program is %s\"}\n",
			    target->status ? run_status_name(target->status) :
			    "preparing");

	httpd_respond(request, 503, retry, 1, "application/json", body,
		      (size_t)size);
}

/* --- what is asked for ------------------------------------------------------------- */

static void serve_program(struct door *door, struct httpd_request *request,
			  const struct hash *program, const char *rest)
{
	const char *query = httpd_query(request);
	struct runner_target target;
	size_t size;
	char *path;

	if (!runner_find(door->agent->runner, program, &target)) {
		httpd_respond_error(request, 404, "not_found",
				    "no such program runs on this CRN");
		return;
	}
	if (!target.ready) {
		not_ready(request, &target);
		return;
	}
	size = strlen(rest) + (query ? strlen(query) : 0) + 3;
	path = malloc(size);
	if (!path) {
		httpd_respond_error(request, 503, "busy", "out of memory");
		return;
	}
	snprintf(path, size, "%s%s%s%s", *rest ? "" : "/", rest,
		 query && *query ? "?" : "", query && *query ? query : "");
	door_proxy(door->agent->http, request, &target, path);
	free(path);
}

static void serve_self(struct door *door, struct httpd_request *request,
		       bool full)
{
	const struct agent_config *config = &door->agent->config;
	struct machine_offer offer;
	struct json_writer w;

	jsonw_init(&w);
	jsonw_object(&w, NULL);
	jsonw_hash(&w, "crn", &config->crn_hash);
	jsonw_string(&w, "name", config->name);
	jsonw_bool(&w, "lease", session_lease_valid(door->agent->session));
	if (full) {
		agent_offer(config, &offer);
		jsonw_uint(&w, "vcpus", offer.vcpus);
		jsonw_uint(&w, "memory_mib", offer.memory_mib);
		jsonw_uint(&w, "disk_mib", offer.disk_mib);
		jsonw_array(&w, "tokens");
		for (uint32_t i = 0; i < offer.token_count; i++)
			jsonw_string(&w, NULL, offer.tokens[i]);
		jsonw_array_end(&w);
	}
	jsonw_object_end(&w);
	httpd_respond(request, 200, NULL, 0, "application/json", w.data,
		      w.size);
	jsonw_fini(&w);
}

static void handle(void *ctx, struct httpd_request *request)
{
	struct door *door = ctx;
	const char *raw = httpd_raw_path(request), *rest;
	struct hash program;

	if (door_path(raw, &program, &rest))
		serve_program(door, request, &program, rest);
	else if (strcmp(raw, "/") == 0)
		serve_self(door, request, false);
	else if (strcmp(raw, "/status/config") == 0)
		serve_self(door, request, true);
	else
		httpd_respond_error(request, 404, "not_found",
				    "/vm/{program hash}/... is served here");
}

int door_open(struct door **out, struct agent *agent, struct fault *fault)
{
	static const struct httpd_options options = {
		.body_size_max = DOOR_BODY_SIZE_MAX, .timeout_ms = 30000,
		.connections_max = CONNECTIONS_MAX, .server = "berth-agent",
		.held_max = HELD_MAX,
	};
	struct door *door = calloc(1, sizeof *door);
	char host[64];
	struct httpd_listen listen = { .kind = HTTPD_TCP, .host = host };
	int code;

	if (!door)
		return fault_set(fault, BERTH_NOMEM, "door");
	door->agent = agent;
	code = link_address(agent->config.door, host, sizeof host,
			    &listen.port);
	if (code == 0)
		code = httpd_open(&door->httpd, agent->loop, &listen, 1,
				  &options, handle, door, fault);
	if (code != 0) {
		free(door);
		return fault_wrap(fault, "door %s", agent->config.door);
	}
	*out = door;
	return 0;
}

void door_close(struct door *door, void (*closed)(void *ctx), void *ctx)
{
	httpd_close(door->httpd, closed, ctx);
	free(door);
}
