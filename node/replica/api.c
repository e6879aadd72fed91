/* The way of an HTTP request: from a listener to its route (what serves it
 * is in api_serve.c), and the answer. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/replica/api_internal.h"

#define TICK_MS 100u

static const struct api_route routes[] = {
	{ .method = "GET", .path = "/health", .consistency = STALE,
	  .open = true, .copy = COPY_STATUS, .render = api_health },
	{ .method = "GET", .path = "/metrics", .consistency = STALE,
	  .copy = COPY_STATUS | COPY_REPLICA, .render = api_metrics },
	{ .method = "GET", .path = "/api/v0/plan", .consistency = STALE,
	  .open = true, .collection = COLLECTION_PROGRAMS,
	  .view = api_v0_plan },
	{ .method = "GET", .path = "/api/v0/nodes", .consistency = STALE,
	  .open = true, .collection = COLLECTION_CRNS, .view = api_v0_nodes },
	{ .method = "GET", .path = "/api/v0/allocation/{hash}",
	  .consistency = STALE, .open = true, .at_leader = true,
	  .collection = COLLECTION_PROGRAMS, .copy = COPY_PROGRAM,
	  .render = api_v0_allocation },
	{ .method = "*", .path = "/vm/{hash}...",
	  .consistency = LINEARIZABLE, .open = true, .fallback = true,
	  .at_leader = true, .copy = COPY_PROGRAM, .render = api_door },
	{ .method = "GET", .path = "/admin/v1/cluster",
	  .consistency = LINEARIZABLE, .copy = COPY_STATUS | COPY_REPLICA,
	  .render = api_cluster },
	{ .method = "GET", .path = "/admin/v1/replicas",
	  .consistency = LINEARIZABLE, .copy = COPY_STATUS | COPY_REPLICA,
	  .render = api_replicas },
	{ .method = "POST", .path = "/admin/v1/members", .mutation = true,
	  .handle = api_change_member },
	{ .method = "GET", .path = "/admin/v1/crns",
	  .consistency = LINEARIZABLE, .collection = COLLECTION_CRNS,
	  .view = api_crns },
	{ .method = "GET", .path = "/admin/v1/crns/{hash}",
	  .consistency = LINEARIZABLE, .collection = COLLECTION_CRNS,
	  .at_leader = true, .copy = COPY_CRN, .render = api_crn },
	{ .method = "GET", .path = "/admin/v1/programs",
	  .consistency = LINEARIZABLE, .collection = COLLECTION_PROGRAMS,
	  .runs = true, .view = api_programs },
	{ .method = "GET", .path = "/admin/v1/programs/{hash}",
	  .consistency = LINEARIZABLE, .collection = COLLECTION_PROGRAMS,
	  .want_run = true, .at_leader = true,
	  .copy = COPY_PROGRAM | COPY_REASON, .render = api_program },
	{ .method = "GET", .path = "/admin/v1/programs/{hash}/where",
	  .consistency = LINEARIZABLE, .collection = COLLECTION_PROGRAMS,
	  .want_run = true, .at_leader = true,
	  .copy = COPY_PROGRAM | COPY_REASON, .render = api_where },
	{ .method = "GET", .path = "/admin/v1/programs/{hash}/logs",
	  .consistency = LINEARIZABLE, .fallback = true,
	  .copy = COPY_PROGRAM, .render = api_logs },
	{ .method = "GET", .path = "/admin/v1/events", .consistency = STALE,
	  .handle = api_events },
	{ .method = "GET", .path = "/admin/v1/audit", .consistency = STALE,
	  .handle = api_audit },
	{ .method = "GET", .path = "/admin/v1/intake", .consistency = STALE,
	  .handle = api_intake },
	{ .method = "POST", .path = "/admin/v1/programs", .mutation = true,
	  .handle = api_put_programs },
	{ .method = "DELETE", .path = "/admin/v1/programs/{hash}",
	  .mutation = true, .handle = api_forget_program },
	{ .method = "PUT", .path = "/admin/v1/crns/{hash}", .mutation = true,
	  .handle = api_put_crn },
	{ .method = "DELETE", .path = "/admin/v1/crns/{hash}",
	  .mutation = true, .handle = api_remove_crn },
	{ .method = "POST", .path = "/admin/v1/crns/{hash}/fence-confirm",
	  .mutation = true, .copy = COPY_STATUS,
	  .handle = api_fence_confirm },
};

/* --- answering ------------------------------------------------------------ */

void api_free(struct api_request *request)
{
	struct edge *edge = request->edge;

	free(request->path);
	free(request->query);
	free(request->body);
	free(request->copy.texts);
	free(request->subjects);
	free(request->rows);
	jsonw_fini(&request->json);
	free(request);
	edge_release(edge);
}

struct heads {
	struct httpd_header list[12];
	uint32_t count;
	char numbers[4][24], id[33];
};

static void head(struct heads *h, const char *name, const char *value)
{
	h->list[h->count++] = (struct httpd_header){ name, value };
}

static void head_number(struct heads *h, unsigned slot, const char *name,
			uint64_t value)
{
	snprintf(h->numbers[slot], sizeof h->numbers[0], "%" PRIu64, value);
	head(h, name, h->numbers[slot]);
}

static void make_heads(struct heads *h, const struct api_request *request)
{
	const struct edge *edge = request->edge;

	head_number(h, 0, "Berth-Index", request->index);
	head_number(h, 1, "Berth-Term", edge->term);
	head_number(h, 2, "Berth-Leader", edge->leader);
	head_number(h, 3, "Berth-Age-Ms", request->age_ms);
	if (request->route && request->route->open) {
		head(h, "Access-Control-Allow-Origin", "*");
		head(h, "Access-Control-Expose-Headers",
		     "Berth-Index, Berth-Term, Berth-Leader, Berth-Age-Ms");
	}
	if (request->route && request->route->mutation) {
		hex_encode(request->id, sizeof request->id, h->id);
		head(h, "Berth-Request-Id", h->id);
	}
	if (*request->audit_next)
		head(h, "Berth-Audit-Next", request->audit_next);
	if (*request->location)
		head(h, "Location", request->location);
}

void api_respond(struct api_request *request, int status,
		 const char *content_type, const void *body, size_t size)
{
	struct heads h = { 0 };

	if (request->http) {
		make_heads(&h, request);
		httpd_respond(request->http, status, h.list, h.count,
			      content_type, body, size);
	} else {
		api_forward_answer(request, status, content_type, body, size);
	}
	api_free(request);
}

void api_respond_json(struct api_request *request, int status)
{
	struct json_writer *w = &request->json;

	if (w->failed) {
		jsonw_fini(w);
		jsonw_init(w);
		api_fail(request, 500, "nomem", "no memory for the answer");
		return;
	}
	api_respond(request, status, "application/json", w->data, w->size);
}

void api_fail(struct api_request *request, int status, const char *code,
	      const char *format, ...)
{
	struct json_writer w;
	char message[1024], id[33];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	jsonw_init(&w);
	jsonw_object(&w, NULL);
	jsonw_string(&w, "error", code);
	jsonw_text(&w, "message", message, strlen(message));
	if (request->route && request->route->mutation && status == 503) {
		hex_encode(request->id, sizeof request->id, id);
		jsonw_string(&w, "request", id);
	}
	jsonw_object_end(&w);
	api_respond(request, status, "application/json", w.data, w.size);
	jsonw_fini(&w);
}

void api_fail_code(struct api_request *request, int code)
{
	switch (code) {
	case BERTH_NOTLEADER:
	case BERTH_CLOSED:
		api_fail(request, 503, "no_leader",
			 "no leader is known: surely not done");
		break;
	case BERTH_UNKNOWN_OUTCOME:
		api_fail(request, 503, "unknown_outcome",
			 "the leader was lost on the way: ask again under the"
			 " same request id");
		break;
	case BERTH_BUSY:
		api_fail(request, 429, "busy", "too much is under way");
		break;
	case BERTH_TIMEOUT:
		api_fail(request, 503, "no_leader", "this replica lags");
		break;
	default:
		api_fail(request, 500, "internal", "%s",
			 berth_error_text(code));
		break;
	}
}

/* --- routing -------------------------------------------------------------- */

/* Matches `path` with a route's; fills hash and rest. -1: another path, 1: the
 * hash is none. */
static int match(const char *route, const char *path, struct hash *hash,
		 const char **rest)
{
	char text[65];
	int bad = 0;

	while (*route) {
		if (!strcmp(route, "...")) {
			*rest = path;
			return *path && *path != '/' ? -1 : bad;
		}
		if (*route == '{') {
			size_t length = strcspn(path, "/");

			route += strlen("{hash}");
			snprintf(text, sizeof text, "%.*s",
				 (int)(length < 64 ? length : 64), path);
			if (length != 64 || hash_parse(text, hash))
				bad = 1;
			path += length;
			continue;
		}
		if (*route++ != *path++)
			return -1;
	}
	return *path ? -1 : bad;
}

static bool find_route(struct api_request *request)
{
	bool known = false, bad = false;

	for (size_t i = 0; i < COUNT_OF(routes); i++) {
		const struct api_route *route = &routes[i];
		int how = match(route->path, request->path, &request->hash,
				&request->rest);

		if (how < 0)
			continue;
		known = true;
		if (strcmp(route->method, request->method) &&
		    strcmp(route->method, "*"))
			continue;
		bad = how != 0;
		request->route = route;
		break;
	}
	if (request->route && !bad)
		return true;
	if (request->route)
		api_fail(request, 400, "malformed",
			 "a hash has 64 hexadecimal digits");
	else if (known)
		api_fail(request, 405, "method", "%s is not for this path",
			 request->method);
	else
		api_fail(request, 404, "not_found", "no such path");
	return false;
}

void api_begin(struct api_request *request)
{
	metric_add(&request->edge->metrics.http_requests, 1);
	if (!find_route(request))
		return;
	if (!request->edge->core || request->api->closing) {
		api_fail_code(request, BERTH_NOTLEADER);
		return;
	}
	if (request->route->mutation)
		api__mutate(request);
	else
		api__query(request);
}

struct api_request *api_request_open(struct api *api)
{
	struct api_request *request = calloc(1, sizeof *request);

	if (!request)
		return NULL;
	request->api = api;
	request->edge = api->edge;
	jsonw_init(&request->json);
	edge_hold(api->edge);
	return request;
}

/* --- from our listeners --------------------------------------------------- */

static bool options(struct httpd_request *http)
{
	static const struct httpd_header cors[] = {
		{ "Access-Control-Allow-Origin", "*" },
		{ "Access-Control-Allow-Methods", "GET, OPTIONS" },
		{ "Access-Control-Allow-Headers", "*" },
		{ "Access-Control-Max-Age", "600" },
	};

	if (strcmp(httpd_method(http), "OPTIONS") ||
	    !strncmp(httpd_path(http), "/vm/", 4))
		return false;
	httpd_respond(http, 204, cors, COUNT_OF(cors), NULL, NULL, 0);
	return true;
}

static bool take_id(struct api_request *request)
{
	const char *id = httpd_header(request->http, "berth-request-id");

	if (!id) {
		crypto_random(request->id, sizeof request->id);
		return true;
	}
	if (strlen(id) == 32 &&
	    hex_decode(id, 32, request->id, sizeof request->id) == 0)
		return true;
	api_fail(request, 400, "malformed",
		 "Berth-Request-Id: 32 hexadecimal digits");
	return false;
}

static bool copy_request(struct api_request *request,
			 struct httpd_request *http)
{
	const char *query = httpd_query(http);
	const void *body = httpd_body(http, &request->body_size);

	request->http = http;
	request->path = strdup(httpd_raw_path(http));
	request->query = strdup(query ? query : "");
	request->body = malloc(request->body_size + 1);
	if (!request->path || !request->query || !request->body)
		return false;
	if (request->body_size)
		memcpy(request->body, body, request->body_size);
	request->body[request->body_size] = 0;
	snprintf(request->method, sizeof request->method, "%.7s",
		 httpd_method(http));
	request->authority = httpd_authority(http);
	snprintf(request->who, sizeof request->who, "%s",
		 httpd_who(http) ? httpd_who(http) : "");
	return true;
}

void api_handle(void *ctx, struct httpd_request *http)
{
	struct api *api = ctx;
	struct api_request *request;

	if (options(http))
		return;
	request = api_request_open(api);
	if (!request || !copy_request(request, http)) {
		httpd_respond_error(http, 503, "nomem", "out of memory");
		if (request)
			api_free(request);
		return;
	}
	if (take_id(request))
		api_begin(request);
}

static void tick(uv_timer_t *timer)
{
	api_wake(timer->data);
}

int api_open(struct api **out, struct edge *edge)
{
	struct api *api = calloc(1, sizeof *api);

	if (!api)
		return BERTH_NOMEM;
	api->edge = edge;
	api->overlay = place_overlay_open();
	api->tick.data = api;
	uv_timer_init(edge->loop, &api->tick);
	uv_timer_start(&api->tick, tick, TICK_MS, TICK_MS);
	edge_hold(edge);
	*out = api;
	return 0;
}

static void tick_closed(uv_handle_t *handle)
{
	struct api *api = handle->data;

	edge_release(api->edge);
}

void api_close(struct api *api)
{
	api->closing = true;
	api_wake(api);
	uv_close((uv_handle_t *)&api->tick, tick_closed);
}

void api_finish(struct api *api)
{
	if (!api)
		return;
	place_overlay_close(api->overlay);
	free(api);
}
