/* Mutations, at the leader: JSON to commands, results to JSON. Long bodies are
 * parsed in the pool. */
#include <stdio.h>
#include <stdlib.h>

#include "node/replica/api_internal.h"
#include "node/replica/api_shape.h"

/* --- results -------------------------------------------------------------- */

static int status_of(enum fsm_refusal refusal)
{
	if (refusal == FSM_OK || refusal == FSM_DUPLICATE)
		return 200;
	if (refusal == FSM_REFUSED_MALFORMED)
		return 400;
	if (refusal == FSM_REFUSED_UNKNOWN_PROGRAM ||
	    refusal == FSM_REFUSED_UNKNOWN_CRN)
		return 404;
	return 409;
}

static void result_row(struct json_writer *w, const struct hash *subject,
		       const struct fsm_result *result)
{
	bool good = status_of(result->refusal) == 200;

	jsonw_object(w, NULL);
	jsonw_hash(w, "hash", subject);
	jsonw_string(w, "result", good ? "ok"
				       : fsm_refusal_name(result->refusal));
	if (!good)
		jsonw_string(w, "message", fsm_refusal_text(result->refusal));
	api_json_stamp(w, "stamp", result->stamp);
	jsonw_object_end(w);
}

static void answer_batch(struct api_request *request,
			 const struct edge_submit *s)
{
	struct json_writer *w = &request->json;

	jsonw_object(w, NULL);
	jsonw_array(w, "programs");
	for (uint32_t i = 0; i < s->result_count; i++)
		result_row(w, &request->subjects[i], &s->results[i]);
	jsonw_array_end(w);
	jsonw_object_end(w);
	api_respond_json(request, 200);
}

static void submitted(struct edge_submit *s, int code)
{
	struct api_request *request = s->ctx;
	const struct fsm_result *result = &s->results[0];
	int status;

	request->submit = NULL;
	request->index = s->index;
	if (code) {
		api_fail_code(request, code);
		return;
	}
	if (request->batch) {
		answer_batch(request, s);
		return;
	}
	status = status_of(result->refusal);
	if (status == 200) {
		result_row(&request->json, &request->subjects[0], result);
		api_respond_json(request, 200);
	} else {
		api_fail(request, status, fsm_refusal_name(result->refusal),
			 "%s", fsm_refusal_text(result->refusal));
	}
}

static bool begin(struct api_request *request, uint32_t count)
{
	request->subjects = calloc(count ? count : 1,
				   sizeof *request->subjects);
	request->submit = edge_submit_open(request->edge);
	if (request->subjects && request->submit) {
		request->submit->ctx = request;
		request->submit->done = submitted;
		return true;
	}
	if (request->submit)
		edge_submit_drop(request->submit);
	request->submit = NULL;
	return false;
}

static void single(struct api_request *request, struct command *command)
{
	if (!begin(request, 1)) {
		api_fail_code(request, BERTH_NOMEM);
		return;
	}
	request->subjects[0] = request->hash;
	memcpy(command->request, request->id, sizeof command->request);
	edge_submit_add(request->submit, command);
	edge_submit_send(request->submit);
}

/* --- bodies --------------------------------------------------------------- */

static json_t *body_of(struct api_request *request, bool may_be_empty,
		       struct fault *fault)
{
	json_t *body = NULL;

	if (!request->body_size && may_be_empty)
		return json_object();
	if (json_parse((const char *)request->body, request->body_size,
		       API_BODY_SIZE_MAX, &body, fault))
		return NULL;
	if (json_is_object(body))
		return body;
	json_decref(body);
	fault_set(fault, BERTH_MALFORMED, "a JSON object is wanted");
	return NULL;
}

static void malformed(struct api_request *request, const struct fault *fault)
{
	api_fail(request, 400, "malformed", "%s", fault->text);
}

/* --- programs ------------------------------------------------------------- */

/* Commands of a batch are told apart by their place under the request's id. */
static void derive(const struct api_request *request, uint32_t place,
		   struct hash *out)
{
	uint8_t bytes[20];

	memcpy(bytes, request->id, 16);
	for (int i = 0; i < 4; i++)
		bytes[16 + i] = (uint8_t)(place >> (24 - 8 * i));
	crypto_sha256(bytes, sizeof bytes, out);
}

static bool add_program(struct api_request *request, const json_t *row,
			uint32_t place, struct fault *fault)
{
	struct command command = { .type = FSM_PROGRAM_PUT };
	struct command_program_put *put = &command.program_put;
	struct hash derived;
	char owner[FSM_TEXT_SIZE_MAX];

	derive(request, place, &derived);
	put->program = derived;
	snprintf(owner, sizeof owner, "%.200s", request->who);
	put->owner = (struct text){ owner, (uint32_t)strlen(owner) };
	if (api_shape_program(row, put, fault)) {
		if (request->batch)
			fault_wrap(fault, "programs[%u]", place);
		return false;
	}
	request->subjects[place] = put->program;
	memcpy(command.request, request->batch ? derived.bytes : request->id,
	       sizeof command.request);
	edge_submit_add(request->submit, &command);
	return true;
}

static bool add_all(struct api_request *request, const json_t *body,
		    struct fault *fault)
{
	const json_t *list = json_object_get(body, "programs");
	size_t count = list ? json_array_size(list) : 1;

	request->batch = list != NULL;
	if (list && (!json_is_array(list) || json_object_size(body) != 1)) {
		fault_set(fault, BERTH_MALFORMED,
			  "programs: an array, and nothing beside it");
		return false;
	}
	if (!count || count > API_BATCH_MAX) {
		fault_set(fault, BERTH_MALFORMED, "programs: 1 to %u of them",
			  API_BATCH_MAX);
		return false;
	}
	if (!begin(request, (uint32_t)count)) {
		fault_set(fault, BERTH_NOMEM, "out of memory");
		return false;
	}
	for (uint32_t i = 0; i < count; i++)
		if (!add_program(request, list ? json_array_get(list, i) : body,
				 i, fault))
			return false;
	return true;
}

/* In the pool: up to 4,096 programs are parsed here. */
static void prepare(uv_work_t *work)
{
	struct api_request *request = work->data;
	struct fault fault = { 0 };
	json_t *body = body_of(request, false, &fault);
	bool good = body && add_all(request, body, &fault);

	json_decref(body);
	if (good)
		return;
	if (request->submit)
		edge_submit_drop(request->submit);
	request->submit = NULL;
	snprintf(request->message, sizeof request->message, "%s", fault.text);
}

static void prepared(uv_work_t *work, int status)
{
	struct api_request *request = work->data;

	(void)status;
	if (request->submit)
		edge_submit_send(request->submit);
	else
		api_fail(request, 400, "malformed", "%s", request->message);
}

void api_put_programs(struct api_request *request)
{
	request->work.data = request;
	uv_queue_work(request->edge->loop, &request->work, prepare, prepared);
}

void api_forget_program(struct api_request *request)
{
	struct command command = { .type = FSM_PROGRAM_FORGET };
	char reason[FSM_TEXT_SIZE_MAX];

	snprintf(reason, sizeof reason, "forgotten by %.200s", request->who);
	command.program_forget.program = request->hash;
	command.program_forget.reason =
		(struct text){ reason, (uint32_t)strlen(reason) };
	single(request, &command);
}

/* --- CRNs ----------------------------------------------------------------- */

void api_put_crn(struct api_request *request)
{
	struct command command = { .type = FSM_CRN_PUT };
	struct fault fault;
	json_t *body = body_of(request, true, &fault);

	if (!body || api_shape_crn(body, &command.crn_put, &fault)) {
		malformed(request, &fault);
	} else {
		command.crn_put.crn = request->hash;
		single(request, &command);
	}
	json_decref(body);
}

void api_remove_crn(struct api_request *request)
{
	struct command command = { .type = FSM_CRN_REMOVE };

	command.crn_remove.crn = request->hash;
	single(request, &command);
}

/* The session is named by who saw its machine off (R16); the generation is
 * the present one unless it is named too. */
void api_fence_confirm(struct api_request *request)
{
	struct command command = { .type = FSM_FENCE_CONFIRM };
	struct command_fence_confirm *confirm = &command.fence_confirm;
	struct fault fault;
	json_t *body = body_of(request, false, &fault);

	confirm->gen = request->copy.status.gen;
	if (!body || api_shape_fence_confirm(body, confirm, &fault)) {
		malformed(request, &fault);
	} else {
		confirm->crn = request->hash;
		confirm->who = (struct text){ request->who,
					      (uint32_t)strlen(request->who) };
		if (confirm->who.size > FSM_TEXT_SIZE_MAX)
			confirm->who.size = FSM_TEXT_SIZE_MAX;
		single(request, &command);
	}
	json_decref(body);
}
