/* GET /admin/v1/audit: the audit trail of this replica, page by page. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/replica/api_internal.h"
#include "node/replica/trail.h"

#define READERS_MAX 4u

struct reading {
	struct api_request *request;
	struct trail *trail;
	struct trail_place place;
	uv_work_t work;
	uint8_t *data;
	size_t size;
	bool end;
	int code;
};

static void work(uv_work_t *req)
{
	struct reading *r = req->data;

	r->code = trail_read(r->trail, &r->place, &r->data, &r->size, &r->end);
}

static void worked(uv_work_t *req, int status)
{
	struct reading *r = req->data;
	struct api_request *request = r->request;

	(void)status;
	request->api->audit_readers--;
	if (r->code == BERTH_NOTFOUND) {
		api_fail(request, 410, "compacted", "that part of the audit "
			 "trail is not kept any more");
	} else if (r->code) {
		api_fail_code(request, r->code);
	} else {
		if (!r->end)
			snprintf(request->audit_next,
				 sizeof request->audit_next,
				 "%" PRIu64 ".%" PRIu64, r->place.segment,
				 r->place.offset);
		api_respond(request, 200, "application/octet-stream", r->data,
			    r->size);
	}
	free(r->data);
	free(r);
}

/* "SEGMENT.OFFSET", as the header of the page before had it. */
static bool parse_place(const char *text, struct trail_place *out)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	out->segment = strtoull(text, &end, 10);
	if (*end != '.' || end[1] < '0' || end[1] > '9')
		return false;
	out->offset = strtoull(end + 1, &end, 10);
	return !*end;
}

static bool choose(struct api_request *request, struct trail *trail,
		   struct trail_place *out)
{
	uint64_t since;
	char from[48];

	if (!api_param_number(request, "since", 0, UINT64_MAX, &since))
		return false;
	if (!api_param(request, "from", from, sizeof from)) {
		*out = trail_find(trail, since);
		return true;
	}
	if (parse_place(from, out))
		return true;
	api_fail(request, 400, "malformed",
		 "from: what Berth-Audit-Next said");
	return false;
}

static bool allowed(struct api_request *request)
{
	if (request->authority != HTTPD_LOCAL &&
	    request->authority != HTTPD_OPERATOR)
		api_fail(request, 403, "denied", "the audit trail needs the "
			 "admin socket or an operator's certificate");
	else if (!core_trail(request->edge->core))
		api_fail(request, 404, "not_found",
			 "this replica keeps no audit trail (audit_mib = 0)");
	else if (request->api->audit_readers >= READERS_MAX)
		api_fail_code(request, BERTH_BUSY);
	else
		return true;
	return false;
}

void api_audit(struct api_request *request)
{
	struct reading *r;
	struct trail_place place = { 0 };
	struct trail *trail;

	if (!allowed(request))
		return;
	trail = core_trail(request->edge->core);
	if (!choose(request, trail, &place))
		return;
	r = calloc(1, sizeof *r);
	if (!r) {
		api_fail_code(request, BERTH_NOMEM);
		return;
	}
	*r = (struct reading){ .request = request, .trail = trail,
			       .place = place };
	r->work.data = r;
	request->api->audit_readers++;
	uv_queue_work(request->edge->loop, &r->work, work, worked);
}
