/* How a request is served once its route is known: consistency, waiting,
 * reading; a mutation goes to the leader. */
#include <inttypes.h>
#include <stdlib.h>

#include "node/replica/api_internal.h"

#define API_THERE_BODY_MAX 4096u /* of what is sent on to be redirected */

/* --- reading -------------------------------------------------------------- */

static void copied(struct core_call *call)
{
	struct api_request *request = (struct api_request *)(void *)
		((char *)call - offsetof(struct api_request, call));

	if (call->code)
		api_fail_code(request, call->code);
	else if (request->route->render)
		request->route->render(request);
	else
		request->route->handle(request);
}

static struct api_request *of_job(struct edge_view_job *job)
{
	return (struct api_request *)(void *)
		((char *)job - offsetof(struct api_request, job));
}

static void view_work(struct edge_view_job *job, const struct fsm_view *view)
{
	struct api_request *request = of_job(job);

	request->route->view(request, view);
}

static void rows_told(struct core_call *call)
{
	struct api_request *request = (struct api_request *)(void *)
		((char *)call - offsetof(struct api_request, call));

	api_rows_fill(request);
	api_respond_json(request, 200);
}

static bool ask_rows(struct api_request *request)
{
	request->call = (struct core_call){ .run = api_rows_run,
					    .done = rows_told };
	return core_post(request->edge->core, &request->call) == 0;
}

static void viewed(struct edge_view_job *job, int code)
{
	struct api_request *request = of_job(job);

	request->index = job->index;
	request->age_ms = job->age_ms;
	if (code)
		api_fail_code(request, code);
	else if (request->error)
		api_fail(request, request->status, request->error, "%s",
			 request->message);
	else if (!request->row_count || !ask_rows(request))
		api_respond_json(request, 200);
}

static void fetch(struct api_request *request)
{
	const struct api_route *route = request->route;
	int code;

	if (route->view) {
		if (route->runs && request->consistency != STALE &&
		    edge_is_leader(request->edge))
			request->rows = calloc(API_PAGE_SIZE_MAX,
					       sizeof *request->rows);
		request->job.work = view_work;
		request->job.done = viewed;
		edge_view(request->edge, &request->job);
	} else if (route->copy) {
		request->call = (struct core_call){ .run = api_copy_run,
						    .done = copied };
		code = core_post(request->edge->core, &request->call);
		if (code)
			api_fail_code(request, code);
	} else {
		route->handle(request);
	}
}

/* --- waiting -------------------------------------------------------------- */

static stamp_t changed_of(const struct api_request *request)
{
	const struct edge *edge = request->edge;

	return request->route->collection == COLLECTION_CRNS
		       ? edge->crns_changed : edge->programs_changed;
}

static void proceed(struct api_request *request)
{
	struct api *api = request->api;

	if (request->wait_until_ms &&
	    changed_of(request) <= request->wait_index &&
	    uv_now(api->edge->loop) < request->wait_until_ms && !api->closing) {
		if (api->waiting_count >= API_WAITING_MAX) {
			api_fail(request, 429, "busy",
				 "too many queries are waiting");
			return;
		}
		request->next = api->waiting;
		api->waiting = request;
		api->waiting_count++;
		return;
	}
	fetch(request);
}

void api_wake(struct api *api)
{
	struct api_request *list = api->waiting, *next;

	api->waiting = NULL;
	api->waiting_count = 0;
	for (; list; list = next) {
		next = list->next;
		proceed(list);
	}
}

static bool parse_wait(struct api_request *request)
{
	uint64_t ms = 5000, index;
	char text[32];

	if (!api_param_number(request, "index", 0, UINT64_MAX, &index))
		return false;
	if (!api_param_duration(request, "wait", &ms))
		return false;
	if (ms > API_WAIT_MS_MAX)
		ms = API_WAIT_MS_MAX;
	if (request->route->collection == COLLECTION_NONE ||
	    !api_param(request, "index", text, sizeof text))
		return true;
	request->wait_index = index;
	request->wait_until_ms = uv_now(request->edge->loop) + ms;
	return true;
}

/* --- consistency ---------------------------------------------------------- */

static void read_done(struct edge_read *read, int code)
{
	struct api_request *request = read->ctx;

	if (code && !request->route->fallback)
		api_fail_code(request, code);
	else
		proceed(request);
}

static void read_lost(struct api_request *request, int code)
{
	api_fail_code(request, code == BERTH_UNKNOWN_OUTCOME ? BERTH_NOTLEADER
							     : code);
}

static void read_here(struct api_request *request)
{
	request->read.ctx = request;
	request->read.done = read_done;
	request->read.want_run = request->route->want_run;
	request->read.program = request->hash;
	edge_read(request->edge, &request->read);
}

static void leader_lost(struct api_request *request, int code)
{
	(void)code; /* a read: ask anew */
	read_here(request);
}

/* A follower learns what is committed a heartbeat later; a single record is
 * sooner read at the leader, as linearizable as here. */
static bool read_there(const struct api_request *request)
{
	const struct edge *edge = request->edge;

	return request->route->at_leader && request->http &&
	       !request->wait_until_ms && !edge_is_leader(edge) &&
	       edge->leader && relay_up(edge->relay, edge->leader) &&
	       request->body_size < API_THERE_BODY_MAX;
}

static void read_request(struct api_request *request)
{
	struct edge *edge = request->edge;

	if (request->consistency == LEADER && !edge_is_leader(edge)) {
		if (request->http)
			api_forward(request, edge->leader, false, true,
				    read_lost);
		else
			api_fail_code(request, BERTH_NOTLEADER);
		return;
	}
	/* How a program runs is known to the leader only: ask it even then. */
	if (request->consistency == LINEARIZABLE ||
	    (request->consistency == LEADER && request->route->want_run)) {
		if (read_there(request))
			api_forward(request, edge->leader, false, true,
				    leader_lost);
		else
			read_here(request);
		return;
	}
	proceed(request);
}

static bool parse_consistency(struct api_request *request)
{
	char value[16];

	request->consistency = request->route->consistency;
	if (!api_param(request, "consistency", value, sizeof value))
		return true;
	if (!strcmp(value, "stale"))
		request->consistency = STALE;
	else if (!strcmp(value, "leader"))
		request->consistency = LEADER;
	else if (!strcmp(value, "linearizable"))
		request->consistency = LINEARIZABLE;
	else {
		api_fail(request, 400, "malformed", "consistency: stale, "
			 "leader or linearizable");
		return false;
	}
	return true;
}

static void mutation_lost(struct api_request *request, int code)
{
	api_fail_code(request, code == BERTH_TIMEOUT ? BERTH_UNKNOWN_OUTCOME
						     : code);
}

void api__mutate(struct api_request *request)
{
	struct edge *edge = request->edge;

	if (request->authority != HTTPD_LOCAL &&
	    request->authority != HTTPD_OPERATOR) {
		api_fail(request, 403, "denied", "changes need the admin"
			 " socket or an operator's certificate");
	} else if (edge_is_leader(edge)) {
		if (request->http)
			log_info("api", "%s %s by %s", request->method,
				 request->path, request->who);
		fetch(request);
	} else if (request->http && edge->leader) {
		log_info("api", "%s %s by %s, to replica %" PRIu64,
			 request->method, request->path, request->who,
			 edge->leader);
		api_forward(request, edge->leader, false, false,
			    mutation_lost);
	} else {
		api_fail_code(request, BERTH_NOTLEADER);
	}
}

void api__query(struct api_request *request)
{
	if (parse_consistency(request) && parse_wait(request))
		read_request(request);
}
