/* A program's log, from the agent of its CRN, whose link any replica may own:
 * ours first, else each peer is asked in turn. */
#include <stdlib.h>

#include "node/replica/agent_link.h"
#include "node/replica/api_internal.h"

#define STATUS_ELSEWHERE 421 /* a peer's: the link is not here */

static void next_peer(struct api_request *request);

static void given(struct agent_log *log, int code, const uint8_t *data,
		  size_t size)
{
	struct api_request *request = log->ctx;

	free(log);
	request->log = NULL;
	switch (code) {
	case 0:
		api_respond(request, 200, "text/plain; charset=utf-8", data,
			    size);
		break;
	case BERTH_NOTFOUND:
		api_fail(request, 404, "not_found", "the CRN has no log of it");
		break;
	case BERTH_TIMEOUT:
	case BERTH_CLOSED:
		api_fail(request, 503, "crn_away", "the CRN does not answer");
		break;
	default:
		api_fail_code(request, code);
		break;
	}
}

static void lost(struct api_request *request, int code)
{
	(void)code;
	request->local_only = false;
	next_peer(request);
}

static void next_peer(struct api_request *request)
{
	const struct edge *edge = request->edge;

	while (request->peer_at < edge->config.peer_count) {
		uint64_t id = edge->config.peers[request->peer_at++].id;

		if (id != edge->config.id && relay_up(edge->relay, id)) {
			api_forward(request, id, true, false, lost);
			return;
		}
	}
	api_fail(request, 503, "crn_away",
		 "no replica has a link of the program's CRN");
}

void api_logs(struct api_request *request)
{
	const struct api_copy *copy = &request->copy;
	struct agent_links *links = request->edge->agents;
	uint64_t tail;

	if (!api_param_number(request, "tail", 65536, API_LOG_SIZE_MAX, &tail))
		return;
	if (!copy->found || !copy->has_crn) {
		api_fail(request, copy->found ? 503 : 404,
			 copy->found ? "not_placed" : "not_found", "%s",
			 copy->found ? "the program is on no CRN"
				     : "no such program");
		return;
	}
	if (!agent_links_has(links, &copy->crn.hash)) {
		if (request->http)
			next_peer(request);
		else
			api_fail(request, STATUS_ELSEWHERE, "elsewhere",
				 "the CRN has no link here");
		return;
	}
	request->log = calloc(1, sizeof *request->log);
	if (!request->log) {
		api_fail_code(request, BERTH_NOMEM);
		return;
	}
	request->log->ctx = request;
	request->log->done = given;
	agent_links_log(links, &copy->crn.hash, &copy->program.hash, tail,
			request->log);
}
