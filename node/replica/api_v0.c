/* What clients of the network ask a scheduler today (aleph.md 5.1), and the
 * way to a program's door. */
#include <inttypes.h>
#include <stdio.h>

#include "node/replica/api_internal.h"

#define PERIOD_SECONDS 60u

static void period(struct json_writer *w)
{
	jsonw_object(w, "period");
	api_json_time(w, "start_timestamp", clock_wall_ms());
	jsonw_uint(w, "duration_seconds", PERIOD_SECONDS);
	jsonw_object_end(w);
}

/* Programs of one CRN that are assigned to it, of one kind. */
static void hashes(struct json_writer *w, const char *key,
		   const struct fsm_view *view, slot_t crn,
		   enum program_kind kind)
{
	struct fsm_program p;
	slot_t at = SLOT_NONE;

	jsonw_array(w, key);
	while ((at = fsm_crn_next_program(view, crn, at)) != SLOT_NONE)
		if (fsm_program_read(view, at, &p) && p.kind == kind &&
		    p.state == PROGRAM_ASSIGNED)
			jsonw_hash(w, NULL, &p.hash);
	jsonw_array_end(w);
}

void api_v0_plan(struct api_request *request, const struct fsm_view *view)
{
	struct json_writer *w = &request->json;
	struct fsm_crn crn;
	char name[65];

	jsonw_object(w, NULL);
	period(w);
	jsonw_object(w, "plan");
	for (slot_t i = 0; i < fsm_crn_bound(view); i++) {
		if (!fsm_crn_read(view, i, &crn))
			continue;
		hash_text(&crn.hash, name);
		jsonw_object(w, name);
		hashes(w, "persistent_vms", view, i, KIND_PROGRAM);
		hashes(w, "instances", view, i, KIND_INSTANCE);
		jsonw_array(w, "on_demand_vms");
		jsonw_array_end(w);
		jsonw_array(w, "jobs");
		jsonw_array_end(w);
		jsonw_object_end(w);
	}
	jsonw_object_end(w);
	jsonw_object_end(w);
}

static void node(struct json_writer *w, const char *key,
		 const struct fsm_crn *crn)
{
	jsonw_object(w, key);
	jsonw_hash(w, "node_id", &crn->hash);
	api_json_text(w, "url", &crn->url);
	jsonw_null(w, "ipv6");
	jsonw_bool(w, "supports_ipv6", false);
	jsonw_object_end(w);
}

void api_v0_nodes(struct api_request *request, const struct fsm_view *view)
{
	struct json_writer *w = &request->json;
	struct fsm_crn crn;

	jsonw_object(w, NULL);
	jsonw_array(w, "nodes");
	for (slot_t i = 0; i < fsm_crn_bound(view); i++)
		if (fsm_crn_read(view, i, &crn))
			node(w, NULL, &crn);
	jsonw_array_end(w);
	jsonw_object_end(w);
}

void api_v0_allocation(struct api_request *request)
{
	const struct api_copy *copy = &request->copy;
	struct json_writer *w = &request->json;

	if (!copy->found || copy->program.state != PROGRAM_ASSIGNED ||
	    !copy->has_crn) {
		api_fail(request, 404, "not_found", "%s", copy->found
			 ? "the program is not allocated" : "no such program");
		return;
	}
	jsonw_object(w, NULL);
	jsonw_hash(w, "vm_hash", &copy->program.hash);
	jsonw_string(w, "vm_type", copy->program.kind == KIND_INSTANCE
					   ? "instance"
					   : "persistent_program");
	jsonw_null(w, "vm_ipv6");
	period(w);
	node(w, "node", &copy->crn);
	jsonw_object_end(w);
	api_respond_json(request, 200);
}

/* A program has one record, which names the CRN of its highest (gen, epoch):
 * the redirection is as right as the read, which is linearizable if anybody
 * leads. */
void api_door(struct api_request *request)
{
	const struct api_copy *copy = &request->copy;
	char hash[65];
	int length;

	if (!copy->found || (copy->program.state == PROGRAM_FREE &&
			     !api_wanted(&copy->program))) {
		api_fail(request, 404, "not_found", copy->found
			 ? "this program was replaced, stopped or forgotten"
			 : "no such program");
		return;
	}
	if (!copy->has_crn || !copy->crn.url.size) {
		api_fail(request, 503, "not_placed", "the program is %s",
			 api_program_state(&copy->program));
		return;
	}
	hash_text(&copy->program.hash, hash);
	length = snprintf(request->location, sizeof request->location,
			  "%.*s/vm/%s%s%s%s", (int)copy->crn.url.size,
			  copy->crn.url.data, hash,
			  *request->rest ? request->rest : "/",
			  *request->query ? "?" : "", request->query);
	if (length < 0 || (size_t)length >= sizeof request->location) {
		*request->location = 0;
		api_fail(request, 413, "too_big", "the address is too long");
		return;
	}
	api_respond(request, 307, "text/plain", "", 0);
}
