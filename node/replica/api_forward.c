/* Requests for another replica, and those of others for us. Requests are
 * forwarded, commands never (lease.md 2.6): the leader decodes and validates
 * anew, with the authority that the first replica has proven. */
#include <stdio.h>
#include <stdlib.h>

#include "node/replica/api_internal.h"

struct forward {
	struct relay_ask ask;
	struct api_request *request;
	void (*lost)(struct api_request *request, int code);
};

static char *text_of(const struct text *text)
{
	return strndup(text->data, text->size);
}

static void give(struct api_request *request, const struct forward_answer *m)
{
	char type[160];

	snprintf(type, sizeof type, "%.*s", (int)m->content_type.size,
		 m->content_type.data);
	snprintf(request->location, sizeof request->location, "%.*s",
		 (int)m->location.size, m->location.data);
	request->index = m->index;
	request->age_ms = m->age_ms;
	api_respond(request, (int)m->status, type, m->body.data,
		    m->body.size);
}

static void answered(struct relay_ask *ask, int code, const uint8_t *payload,
		     size_t size)
{
	struct forward *f = ask->ctx;
	struct api_request *request = f->request;
	void (*lost)(struct api_request *, int) = f->lost;
	struct forward_answer m;

	if (code == 0 && forward_answer_get(payload, size, &m))
		code = BERTH_UNKNOWN_OUTCOME;
	free(f);
	if (code)
		lost(request, code);
	else if (request->local_only && m.status == 421)
		lost(request, BERTH_NOTFOUND);
	else
		give(request, &m);
}

static void encode(const struct api_request *request, uint64_t id,
		   bool local_only, struct wire *w)
{
	struct forward_request m = {
		.id = id,
		.authority = (uint8_t)request->authority,
		.local_only = local_only,
		.who = { request->who, (uint32_t)strlen(request->who) },
		.method = { request->method,
			    (uint32_t)strlen(request->method) },
		.path = { request->path, (uint32_t)strlen(request->path) },
		.query = { request->query, (uint32_t)strlen(request->query) },
		.body = { (const char *)request->body,
			  (uint32_t)request->body_size },
	};

	memcpy(m.request, request->id, sizeof m.request);
	forward_request_put(w, &m);
}

void api_forward(struct api_request *request, uint64_t peer, bool local_only,
		 bool of_leader,
		 void (*lost)(struct api_request *request, int code))
{
	struct relay *relay = request->edge->relay;
	struct forward *f = calloc(1, sizeof *f);
	struct wire w = { 0 };

	if (!f) {
		lost(request, BERTH_NOTLEADER);
		return;
	}
	request->local_only = local_only;
	f->request = request;
	f->lost = lost;
	f->ask.id = relay_ask_id(relay);
	f->ask.answer = PEER_FORWARD_ANSWER;
	f->ask.ctx = f;
	f->ask.of_leader = of_leader;
	f->ask.done = answered;
	encode(request, f->ask.id, local_only, &w);
	metric_add(&request->edge->metrics.forwarded, 1);
	relay_ask(relay, &f->ask, peer, PEER_FORWARD,
		  w.failed ? NULL : w.data, w.size, API_FORWARD_MS);
	wire_fini(&w);
}

void api_forward_answer(struct api_request *request, int status,
			const char *content_type, const void *body, size_t size)
{
	struct edge *edge = request->edge;
	const char *type = content_type ? content_type : "";
	struct forward_answer m = {
		.id = request->forward_id,
		.index = request->index,
		.term = edge->term,
		.leader = edge->leader,
		.age_ms = request->age_ms,
		.status = (uint32_t)status,
		.content_type = { type, (uint32_t)strlen(type) },
		.location = { request->location,
			      (uint32_t)strlen(request->location) },
		.body = { body, (uint32_t)size },
	};
	struct wire w = { 0 };

	forward_answer_put(&w, &m);
	if (!w.failed)
		(void)relay_answer(edge->relay, request->peer,
				   PEER_FORWARD_ANSWER, w.data, w.size);
	wire_fini(&w);
}

static bool fill(struct api_request *request, const struct forward_request *m)
{
	request->forward_id = m->id;
	request->local_only = m->local_only;
	request->authority = (enum httpd_authority)m->authority;
	memcpy(request->id, m->request, sizeof request->id);
	request->path = text_of(&m->path);
	request->query = text_of(&m->query);
	request->body = malloc((size_t)m->body.size + 1);
	request->body_size = m->body.size;
	if (!request->path || !request->query || !request->body)
		return false;
	memcpy(request->body, m->body.data, m->body.size);
	request->body[m->body.size] = 0;
	snprintf(request->method, sizeof request->method, "%.*s",
		 (int)m->method.size, m->method.data);
	snprintf(request->who, sizeof request->who, "%.*s", (int)m->who.size,
		 m->who.data);
	return true;
}

int api_forwarded(struct api *api, uint64_t peer, const uint8_t *payload,
		  size_t size)
{
	struct forward_request m;
	struct api_request *request;
	int code = forward_request_get(payload, size, &m);

	if (code)
		return code;
	if (m.authority > HTTPD_REPLICA || m.method.size > 7)
		return BERTH_MALFORMED;
	request = api_request_open(api);
	if (!request)
		return 0; /* the one who asks has a time limit */
	request->peer = peer;
	if (fill(request, &m))
		api_begin(request);
	else
		api_fail_code(request, BERTH_NOMEM);
	return 0;
}
