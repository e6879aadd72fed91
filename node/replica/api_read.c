/* Single records under /admin/v1, rendered on the edge loop from copies. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/replica/agent_link.h"
#include "node/replica/api_internal.h"

void api_health(struct api_request *request)
{
	const struct edge *edge = request->edge;
	struct json_writer *w = &request->json;

	jsonw_object(w, NULL);
	jsonw_string(w, "status", edge->leader ? "ok" : "no_leader");
	jsonw_uint(w, "replica", edge->config.id);
	jsonw_uint(w, "leader", edge->leader);
	jsonw_uint(w, "term", edge->term);
	jsonw_uint(w, "applied", request->index);
	jsonw_uint(w, "age_ms", request->age_ms);
	jsonw_object_end(w);
	api_respond_json(request, edge->leader ? 200 : 503);
}

static void config_of(struct json_writer *w, const struct fsm_config *c)
{
	jsonw_object(w, "config");
	jsonw_uint(w, "heartbeat_ms", c->heartbeat_ms);
	jsonw_uint(w, "ttl_a_ms", c->ttl_a_ms);
	jsonw_uint(w, "ttl_s_ms", c->ttl_s_ms);
	jsonw_uint(w, "k_ms", c->k_ms);
	jsonw_uint(w, "dt_max_ms", c->dt_max_ms);
	jsonw_uint(w, "beat_ms", c->beat_ms);
	jsonw_uint(w, "sticky_ms", c->sticky_ms);
	jsonw_uint(w, "start_failures_max", c->start_failures_max);
	jsonw_uint(w, "start_timeout_ms", c->start_timeout_ms);
	jsonw_uint(w, "exclude_ms", c->exclude_ms);
	jsonw_uint(w, "rho_ppm", c->rho_ppm);
	jsonw_uint(w, "programs_max", c->programs_max);
	jsonw_uint(w, "crns_max", c->crns_max);
	jsonw_bool(w, "watchdog_none_ok", c->watchdog_none_ok);
	jsonw_bool(w, "unfenced_hold_ok", c->unfenced_hold_ok);
	jsonw_object_end(w);
}

void api_cluster(struct api_request *request)
{
	const struct fsm_status *s = &request->copy.status;
	const struct edge *edge = request->edge;
	struct json_writer *w = &request->json;

	jsonw_object(w, NULL);
	jsonw_string(w, "cluster", edge->config.cluster);
	jsonw_uint(w, "replica", edge->config.id);
	jsonw_uint(w, "gen", s->gen);
	jsonw_uint(w, "term", edge->term);
	jsonw_uint(w, "leader", edge->leader);
	jsonw_uint(w, "applied", request->index);
	jsonw_uint(w, "commit", request->copy.replica.commit);
	jsonw_uint(w, "c_ms", s->c_ms);
	jsonw_uint(w, "quarantine_ms", s->quar_until_ms > s->c_ms
					       ? s->quar_until_ms - s->c_ms
					       : 0);
	jsonw_uint(w, "programs", s->program_count);
	jsonw_uint(w, "crns", s->crn_count);
	jsonw_uint(w, "assigned", s->assigned_count);
	jsonw_uint(w, "pending", s->pending_count);
	jsonw_uint(w, "agent_links", agent_links_count(edge->agents));
	config_of(w, &s->config);
	jsonw_object_end(w);
	api_respond_json(request, 200);
}

static const char *role_name(enum replica_role role)
{
	switch (role) {
	case ROLE_VOTER:
		return "voter";
	case ROLE_STANDBY:
		return "standby";
	case ROLE_SPARE:
	default:
		return "spare";
	}
}

static const char *state_name(enum replica_state state)
{
	switch (state) {
	case REPLICA_LEADER:
		return "leader";
	case REPLICA_CANDIDATE:
		return "candidate";
	case REPLICA_FOLLOWER:
	default:
		return "follower";
	}
}

static void address(struct json_writer *w, const char *key, const char *host,
		    uint16_t port)
{
	char text[96];

	snprintf(text, sizeof text, "%s:%u", host, (unsigned)port);
	jsonw_string(w, key, text);
}

/* Of the others this replica knows what its links and, if it leads, the log's
 * progress say. */
static void member(struct api_request *request, uint32_t i)
{
	const struct replica_status *s = &request->copy.replica;
	const struct edge *edge = request->edge;
	struct json_writer *w = &request->json;
	uint64_t id = s->members[i].id;
	const struct core_peer *peer = edge_peer(edge, id);
	bool self = id == edge->config.id, leader = id == edge->leader;

	jsonw_object(w, NULL);
	jsonw_uint(w, "id", id);
	if (peer) {
		address(w, "address", peer->host, peer->raft_port);
		address(w, "http", peer->host, peer->http_port);
	}
	jsonw_string(w, "role", role_name(s->members[i].role));
	if (self || leader)
		jsonw_string(w, "state", leader ? "leader"
						: state_name(s->state));
	else
		jsonw_string(w, "state", s->connected[i] ? "follower"
							 : "unknown");
	jsonw_bool(w, "leader", leader);
	jsonw_bool(w, "connected", self || s->connected[i]);
	if (s->state == REPLICA_LEADER)
		jsonw_uint(w, "match", self ? s->last : s->match[i]);
	else
		jsonw_null(w, "match");
	if (self)
		jsonw_uint(w, "applied", request->index);
	else
		jsonw_null(w, "applied");
	jsonw_object_end(w);
}

void api_replicas(struct api_request *request)
{
	struct json_writer *w = &request->json;

	jsonw_object(w, NULL);
	jsonw_array(w, "replicas");
	for (uint32_t i = 0; i < request->copy.replica.member_count; i++)
		member(request, i);
	jsonw_array_end(w);
	jsonw_object_end(w);
	api_respond_json(request, 200);
}

void api_crn(struct api_request *request)
{
	if (!request->copy.has_crn) {
		api_fail(request, 404, "not_found", "no such CRN");
		return;
	}
	api_json_crn(&request->json, &request->copy.crn,
		     request->copy.status.c_ms);
	api_respond_json(request, 200);
}

/* The leader's word on this very run, not on an earlier one. */
static bool is_run_of(const struct api_request *request,
		      const struct fsm_program *p)
{
	const struct edge_read *read = &request->read;

	return read->has_run && p->state != PROGRAM_FREE &&
	       read->run.epoch == p->epoch && read->run.gen == p->gen;
}

static const char *reason_of(struct api_request *request,
			     const struct agent_run *run)
{
	struct api_copy *copy = &request->copy;

	if (copy->has_verdict)
		return api_reason_name(copy->reason);
	if (!copy->has_crn)
		return NULL;
	return api_run_reason(&copy->program, &copy->crn, run, copy->explained,
			      sizeof copy->explained);
}

static struct api_program_row row_of(struct api_request *request)
{
	struct api_copy *copy = &request->copy;
	struct api_program_row row = {
		.program = &copy->program,
		.crn = copy->has_crn ? &copy->crn : NULL,
		.c_ms = copy->status.c_ms,
		.status = &copy->status,
		.moves = copy->moves,
		.move_count = copy->move_count,
	};

	if (is_run_of(request, &copy->program))
		row.run = &request->read.run;
	row.reason = reason_of(request, row.run);
	row.explained = copy->explained;
	return row;
}

void api_program(struct api_request *request)
{
	struct api_program_row row;

	if (!request->copy.found) {
		api_fail(request, 404, "not_found", "no such program");
		return;
	}
	row = row_of(request);
	api_json_program(&request->json, &row);
	api_respond_json(request, 200);
}

/* One word for people: how it runs if that is known, else its state. */
static const char *where_state(const struct api_program_row *row)
{
	const struct fsm_program *p = row->program;

	if (p->state == PROGRAM_REVOKING)
		return "stopping";
	if (p->state != PROGRAM_ASSIGNED)
		return api_program_state(p);
	if (row->crn && api_away(p, row->crn))
		return "held";
	return row->run ? run_status_name(row->run->status) : "assigned";
}

static void door_url(const struct api_copy *copy, char *url, size_t size)
{
	char hash[65];

	hash_text(&copy->program.hash, hash);
	snprintf(url, size, "%.*s/vm/%s", (int)copy->crn.url.size,
		 copy->crn.url.data, hash);
}

void api_where(struct api_request *request)
{
	struct json_writer *w = &request->json;
	const struct api_copy *copy = &request->copy;
	struct api_program_row row;
	char url[FSM_TEXT_SIZE_MAX + 80], epoch[48];

	if (!copy->found) {
		api_fail(request, 404, "not_found", "no such program");
		return;
	}
	row = row_of(request);
	jsonw_object(w, NULL);
	jsonw_hash(w, "program", &row.program->hash);
	jsonw_string(w, "state", where_state(&row));
	if (row.crn) {
		door_url(copy, url, sizeof url);
		snprintf(epoch, sizeof epoch, "%" PRIu64 ".%" PRIu64,
			 row.program->gen, row.program->epoch);
		jsonw_hash(w, "crn", &row.crn->hash);
		api_json_text(w, "crn_name", &row.crn->name);
		jsonw_string(w, "url", url);
		jsonw_string(w, "epoch", epoch);
	} else {
		jsonw_null(w, "crn");
		jsonw_null(w, "crn_name");
		jsonw_null(w, "url");
		jsonw_null(w, "epoch");
	}
	api_json_guarantee(w, &row);
	if (row.crn && !api_away(row.program, row.crn) &&
	    row.crn->exp_ms > row.c_ms)
		jsonw_uint(w, "lease_ms", row.crn->exp_ms - row.c_ms);
	else
		jsonw_null(w, "lease_ms");
	if (row.reason) {
		jsonw_object(w, "reason");
		jsonw_string(w, "code", row.reason);
		jsonw_string(w, "message", row.explained);
		jsonw_object_end(w);
	} else {
		jsonw_null(w, "reason");
	}
	jsonw_object_end(w);
	api_respond_json(request, 200);
}
