/* GET /admin/v1/events: pages from the files, or a stream that follows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/replica/api_internal.h"
#include "node/replica/events.h"

#define LIMIT_STANDARD 200u
#define LIMIT_MAX 10000u
#define FOLLOW_LIMIT 500u

struct reading {
	struct api_request *request;
	struct events_waiter waiter;
	uv_work_t work;
	struct json_writer w;
	struct wire lines;
	stamp_t since, oldest, last;
	uint32_t limit;
	int code;
	bool follow, begun, gone, working, waiting;
};

static void render(struct json_writer *w, const struct event *e)
{
	char epoch[48];

	jsonw_object(w, NULL);
	api_json_stamp(w, "stamp", e->stamp);
	jsonw_string(w, "type", fsm_effect_name(e->type));
	api_json_time(w, "time", e->wall_ms);
	if (hash_is_zero(&e->program))
		jsonw_null(w, "program");
	else
		jsonw_hash(w, "program", &e->program);
	if (hash_is_zero(&e->crn))
		jsonw_null(w, "crn");
	else
		jsonw_hash(w, "crn", &e->crn);
	if (e->epoch) {
		snprintf(epoch, sizeof epoch, "%" PRIu64 ".%" PRIu64, e->gen,
			 e->epoch);
		jsonw_string(w, "epoch", epoch);
	} else {
		jsonw_null(w, "epoch");
	}
	api_json_stamp(w, "session", e->session);
	api_json_text(w, "reason", &e->reason);
	jsonw_object_end(w);
}

static void each(void *ctx, const struct event *e)
{
	struct reading *r = ctx;
	struct json_writer line;

	r->last = e->stamp;
	if (!r->follow) {
		render(&r->w, e);
		return;
	}
	/* A line an object: each is a document of its own. */
	jsonw_init(&line);
	render(&line, e);
	r->lines.failed |= line.failed;
	wire_put(&r->lines, line.data, line.size);
	wire_put(&r->lines, "\n", 1);
	jsonw_fini(&line);
}

static void work(uv_work_t *req)
{
	struct reading *r = req->data;
	struct events *events = r->request->edge->events;

	r->last = r->since;
	r->code = events_log_read(events_log_of(events), r->since, r->limit,
				  each, r, &r->oldest);
}

static void finish(struct reading *r)
{
	jsonw_fini(&r->w);
	wire_fini(&r->lines);
	free(r);
}

static void answer_page(struct reading *r)
{
	struct api_request *request = r->request;
	struct json_writer *w = &r->w;
	char oldest[24], next[24];

	snprintf(oldest, sizeof oldest, "%" PRIu64, r->oldest);
	snprintf(next, sizeof next, "%" PRIu64, r->last);
	if (r->code == BERTH_NOTFOUND) {
		api_fail(request, 410, "compacted",
			 "events after %s are kept, older ones are not",
			 oldest);
	} else if (r->code) {
		api_fail_code(request, r->code);
	} else {
		jsonw_array_end(w);
		jsonw_string(w, "oldest", oldest);
		jsonw_string(w, "next", next);
		jsonw_object_end(w);
		request->json = *w;
		jsonw_init(w);
		api_respond_json(request, 200);
	}
	finish(r);
}

/* --- following ------------------------------------------------------------ */

static void start(struct reading *r);

static void end_stream(struct reading *r)
{
	httpd_respond_end(r->request->http);
	r->request->http = NULL;
	api_free(r->request);
	finish(r);
}

static void gone(struct httpd_request *http)
{
	struct reading *r = httpd_data(http);

	r->gone = true;
	if (r->waiting) {
		events_wait_end(r->request->edge->events, &r->waiter);
		r->waiting = false;
		end_stream(r);
	}
}

static void woken(struct events_waiter *waiter)
{
	struct reading *r = waiter->ctx;

	r->waiting = false;
	if (r->request->api->closing)
		end_stream(r);
	else
		start(r);
}

static void wait_more(struct reading *r)
{
	r->waiter.ctx = r;
	r->waiter.woken = woken;
	r->waiting = true;
	events_wait(r->request->edge->events, &r->waiter);
}

static void stream(struct reading *r)
{
	struct httpd_request *http = r->request->http;
	bool more = r->last != r->since;

	if (!r->begun) {
		if (r->code) {
			answer_page(r);
			return;
		}
		r->begun = true;
		httpd_set_data(http, r);
		httpd_respond_begin(http, 200, NULL, 0, "application/x-ndjson",
				    gone);
	}
	if (r->gone || r->code || r->lines.failed ||
	    (r->lines.size &&
	     !httpd_respond_chunk(http, r->lines.data, r->lines.size))) {
		end_stream(r);
		return;
	}
	r->since = r->last;
	if (more)
		start(r);
	else
		wait_more(r);
}

static void worked(uv_work_t *req, int status)
{
	struct reading *r = req->data;

	(void)status;
	if (r->follow)
		stream(r);
	else
		answer_page(r);
}

static void start(struct reading *r)
{
	r->lines.size = 0;
	jsonw_fini(&r->w);
	jsonw_init(&r->w);
	if (!r->follow) {
		jsonw_object(&r->w, NULL);
		jsonw_array(&r->w, "events");
	}
	r->work.data = r;
	uv_queue_work(r->request->edge->loop, &r->work, work, worked);
}

void api_events(struct api_request *request)
{
	struct reading *r;
	uint64_t since, limit, follow;

	if (!api_param_number(request, "since", 0, UINT64_MAX, &since) ||
	    !api_param_number(request, "limit", LIMIT_STANDARD, LIMIT_MAX,
			      &limit) ||
	    !api_param_number(request, "follow", 0, 1, &follow))
		return;
	r = calloc(1, sizeof *r);
	if (!r) {
		api_fail_code(request, BERTH_NOMEM);
		return;
	}
	r->request = request;
	r->since = since;
	r->follow = follow && request->http;
	r->limit = r->follow ? FOLLOW_LIMIT : (uint32_t)(limit ? limit : 1);
	start(r);
}
