#include "tests/kit/replica_house.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/lib/clock.h"
#include "node/replica/conf.h"

#define PATIENCE_MS 10000u

/* --- the CCN ----------------------------------------------------------------- */

static void answer_json(struct fake_ccn *ccn, struct httpd_request *request,
			json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);
	size_t size = strlen(text);

	if (ccn->truncate)
		size /= 2;
	httpd_respond(request, 200, NULL, 0, "application/json", text, size);
	free(text);
	json_decref(json);
}

static bool fits(const json_t *message, const char *types)
{
	const char *type = json_string_value(json_object_get(message, "type"));

	return !types || !type || strstr(types, type);
}

static void answer_list(struct fake_ccn *ccn, struct httpd_request *request)
{
	const char *text = httpd_param(request, "page");
	const char *types = httpd_param(request, "msgTypes");
	uint32_t page = text ? (uint32_t)atoi(text) : 1, total = 0;
	json_t *list = json_array(), *all = json_object();

	for (uint32_t i = 0; i < ccn->count; i++) {
		if (!fits(ccn->messages[i], types))
			continue;
		if (total / 200 == page - 1)
			json_array_append(list, ccn->messages[i]);
		total++;
	}
	json_object_set_new(all, "messages",
			    ccn->not_list ? json_string("none") : list);
	if (ccn->not_list)
		json_decref(list);
	json_object_set_new(all, "pagination_per_page", json_integer(200));
	json_object_set_new(all, "pagination_page", json_integer(page));
	json_object_set_new(all, "pagination_total",
			    json_integer(total + ccn->lie_total));
	answer_json(ccn, request, all);
}

static void ccn_handle(void *ctx, struct httpd_request *request)
{
	struct fake_ccn *ccn = ctx;
	const char *page = httpd_param(request, "page");
	const char *slash = strrchr(httpd_path(request), '/');
	json_t *item = json_object_get(ccn->items, slash ? slash + 1 : "");

	ccn->asked++;
	if (ccn->fail || (ccn->fail_page && page &&
			  (uint32_t)atoi(page) == ccn->fail_page)) {
		httpd_respond_error(request, 500, "internal", "no");
	} else if (ccn->garbage) {
		httpd_respond(request, 200, NULL, 0, "application/json",
			      "<html>", 6);
	} else if (!strcmp(httpd_path(request), "/api/v0/messages.json")) {
		answer_list(ccn, request);
	} else {
		ccn->confirms++;
		if (item)
			answer_json(ccn, request, json_incref(item));
		else if (ccn->status)
			answer_json(ccn, request,
				    json_pack("{s:s}", "status", ccn->status));
		else
			httpd_respond_error(request, 404, "not_found", "no");
	}
}

static void ccn_open(struct house *h, struct fake_ccn *ccn, uint16_t port)
{
	const struct httpd_listen listen = { .kind = HTTPD_TCP,
					     .host = "127.0.0.1",
					     .port = port };
	const struct httpd_options options = {
		.body_size_max = 1u << 20, .timeout_ms = 5000,
		.connections_max = 64, .server = "fake",
	};
	struct fault fault = { 0 };

	if (httpd_open(&ccn->httpd, &h->loop, &listen, 1, &options,
		       ccn_handle, ccn, &fault))
		fail_msg("%s", fault.text);
}

void house_other_ccn(struct house *h, bool up)
{
	uint16_t port = (uint16_t)(h->port + 3);

	snprintf(h->other_url, sizeof h->other_url, "http://127.0.0.1:%u",
		 port);
	h->ccns[1] = h->other_url;
	if (up)
		ccn_open(h, &h->other, port);
}

/* --- waiting -------------------------------------------------------------------- */

static void on_wake(uv_timer_t *timer)
{
	(void)timer;
}

void house_wait(struct house *h, bool (*until)(struct house *h))
{
	uint64_t end_ms = clock_monotonic_ms() + PATIENCE_MS;

	uv_timer_start(&h->wake, on_wake, 10, 10);
	while (!until(h)) {
		assert_true(clock_monotonic_ms() < end_ms);
		assert_false(h->fatal);
		uv_run(&h->loop, UV_RUN_ONCE);
	}
	uv_timer_stop(&h->wake);
}

static void on_closed(void *ctx)
{
	((struct house *)ctx)->closed = true;
}

static bool is_closed(struct house *h)
{
	return h->closed;
}

static bool is_answered(struct house *h)
{
	return h->answered;
}

/* --- asking ------------------------------------------------------------------------ */

static void on_answer(void *ctx, const struct http_answer *answer)
{
	struct house *h = ctx;

	h->status = answer->status;
	free(h->body);
	h->body = strndup(answer->body ? answer->body : "",
			  answer->body_size);
	snprintf(h->headers, sizeof h->headers, "%s",
		 answer->headers ? answer->headers : "");
	json_decref(h->json);
	h->json = json_loadb(h->body, strlen(h->body), 0, NULL);
	h->answered = true;
}

int house_ask(struct house *h, const char *method, const char *path,
	      const char *body, bool local, const char *header)
{
	const char *const headers[] = { header, NULL };
	char url[2048];
	const struct http_call call = {
		.method = method, .url = url, .body = body,
		.body_size = body ? strlen(body) : 0, .timeout_ms = 15000,
		.connect_ms = 2000, .answer_size_max = 64u << 20, .ctx = h,
		.unix_socket = local ? h->socket : NULL,
		.headers = header ? headers : NULL,
	};

	snprintf(url, sizeof url, "http://127.0.0.1:%u%s", h->port + 1u, path);
	h->answered = false;
	assert_int_equal(http_client_send(h->client, &call, on_answer), 0);
	house_wait(h, is_answered);
	return h->status;
}

void house_poll(struct house *h, const char *path,
		bool (*until)(struct house *h))
{
	uint64_t end_ms = clock_monotonic_ms() + PATIENCE_MS;

	do {
		assert_true(clock_monotonic_ms() < end_ms);
		house_ask(h, "GET", path, NULL, false, NULL);
	} while (!until(h));
}

const json_t *house_json(struct house *h, const char *path)
{
	const json_t *at = h->json;
	char key[80];
	size_t length;

	for (; at && *path; path += length, path += *path == '.') {
		length = strcspn(path, ".");
		snprintf(key, sizeof key, "%.*s", (int)length, path);
		at = json_is_array(at)
			     ? json_array_get(at, (size_t)atoi(key))
			     : json_object_get(at, key);
	}
	return at;
}

const char *house_text(struct house *h, const char *path)
{
	const char *text = json_string_value(house_json(h, path));

	return text ? text : "";
}

/* --- opening and closing --------------------------------------------------------------- */

static void on_fatal(void *ctx, const struct fault *fault)
{
	print_message("fatal: %s\n", fault->text);
	((struct house *)ctx)->fatal = true;
}

static void configure(struct house *h)
{
	struct core_config *core = &h->core_config;

	h->peers[0] = (struct core_peer){ 1, "127.0.0.1", h->port,
					  (uint16_t)(h->port + 1), false };
	h->edge_config = (struct edge_config){
		.cluster = "test", .directory = h->directory, .pki = h->pki,
		.tls = h->tls, .id = 1, .listen_host = "127.0.0.1",
		.listen_port = h->port, .http_host = "127.0.0.1",
		.http_port = (uint16_t)(h->port + 1), .peers = h->peers,
		.peer_count = 1, .ccns = h->ccns, .ccn_poll_ms = 20,
		.crns = h->crns, .crn_count = 1,
	};
	memset(h->crns[0].hash.bytes, 0xc1, 32);
	snprintf(h->crns[0].name, sizeof h->crns[0].name, "crn-1");
	core->bootstrap = true;
	core->replica.id = 1;
	core->replica.election_ms = 150;
	snprintf(core->replica.cluster, 64, "test");
	assert_true(conf_profile("fast", &core->initial));
	core->initial.watchdog_none_ok = true;
	core->members[0].id = 1;
	core->members[0].role = ROLE_VOTER;
	core->member_count = 1;
}

void house_open(struct house *h, uint16_t port)
{
	struct fault fault = { 0 };

	memset(h, 0, sizeof *h);
	h->port = port;
	uv_loop_init(&h->loop);
	uv_timer_init(&h->loop, &h->wake);
	certs_folder(h->root);
	certs_authority(h->root, "a", "test");
	certs_issue(h->root, "a", "r1", "test", IDENTITY_REPLICA, "1");
	h->tls = certs_open(h->root, "r1");
	snprintf(h->pki, sizeof h->pki, "%s/r1", h->root);
	snprintf(h->directory, sizeof h->directory, "%s/data", h->root);
	snprintf(h->socket, sizeof h->socket, "%s/admin.sock", h->directory);
	snprintf(h->ccn_url, sizeof h->ccn_url, "http://127.0.0.1:%u",
		 port + 2u);
	h->ccns[0] = h->ccn_url;
	configure(h);
	if (http_client_open(&h->client, &h->loop, &fault))
		fail_msg("%s", fault.text);
	ccn_open(h, &h->ccn, (uint16_t)(port + 2));
}

static bool leads(struct house *h)
{
	return h->status == 200;
}

void house_start(struct house *h)
{
	static char raft[CERTS_PATH_SIZE + 32];
	struct core_events events;
	struct fault fault = { 0 };

	if (edge_open(&h->edge, &h->loop, &h->edge_config, &fault))
		fail_msg("%s", fault.text);
	edge_core_events(h->edge, &events, on_fatal, h);
	snprintf(raft, sizeof raft, "%s/raft", h->directory);
	h->core_config.directory = raft;
	if (core_open(&h->core, &h->core_config, &h->loop, &events, &fault))
		fail_msg("%s", fault.text);
	edge_set_core(h->edge, h->core);
	house_poll(h, "/health", leads);
}

void house_stop(struct house *h)
{
	h->closed = false;
	edge_close(h->edge, on_closed, h);
	house_wait(h, is_closed);
	h->closed = false;
	core_close(h->core, on_closed, h);
	house_wait(h, is_closed);
	h->edge = NULL;
	h->core = NULL;
}

void house_close(struct house *h)
{
	h->closed = false;
	httpd_close(h->ccn.httpd, on_closed, h);
	house_wait(h, is_closed);
	h->closed = !h->other.httpd;
	if (h->other.httpd)
		httpd_close(h->other.httpd, on_closed, h);
	house_wait(h, is_closed);
	h->closed = false;
	http_client_close(h->client, on_closed, h);
	house_wait(h, is_closed);
	uv_close((uv_handle_t *)&h->wake, NULL);
	uv_run(&h->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&h->loop), 0);
	stream_tls_close(h->tls);
	certs_remove(h->root);
	free(h->body);
	json_decref(h->json);
	for (uint32_t i = 0; i < h->ccn.count; i++)
		json_decref(h->ccn.messages[i]);
	for (uint32_t i = 0; i < h->other.count; i++)
		json_decref(h->other.messages[i]);
}
