/* Programs and CRNs as JSON, deploy/API.md. */
#include <inttypes.h>
#include <stdio.h>

#include "node/replica/api_internal.h"

void api_json_time(struct json_writer *w, const char *key, uint64_t wall_ms)
{
	char text[32];

	if (!wall_ms) {
		jsonw_null(w, key);
		return;
	}
	clock_wall_text(wall_ms, text, sizeof text);
	jsonw_string(w, key, text);
}

void api_json_stamp(struct json_writer *w, const char *key, stamp_t stamp)
{
	char text[24];

	if (!stamp) {
		jsonw_null(w, key);
		return;
	}
	snprintf(text, sizeof text, "%" PRIu64, stamp);
	jsonw_string(w, key, text);
}

void api_json_text(struct json_writer *w, const char *key,
		   const struct text *text)
{
	jsonw_text(w, key, text->size ? text->data : "", text->size);
}

bool api_wanted(const struct fsm_program *p)
{
	return p->persistent && !p->superseded;
}

const char *api_program_state(const struct fsm_program *p)
{
	switch (p->state) {
	case PROGRAM_ASSIGNED:
		return "assigned";
	case PROGRAM_REVOKING:
		return "revoking";
	case PROGRAM_LOST:
		return "lost";
	case PROGRAM_FREE:
	default:
		return api_wanted(p) ? "free" : "superseded";
	}
}

const char *api_guarantee(enum guarantee guarantee)
{
	return guarantee == GUARANTEE_HOLD ? "exclusive-hold" : "exclusive";
}

static const char *class_name(enum crn_class class)
{
	return class == CRN_FENCED ? "fenced" : "unfenced";
}

static const char *watchdog_name(enum crn_watchdog watchdog)
{
	switch (watchdog) {
	case WATCHDOG_HARDWARE:
		return "hardware";
	case WATCHDOG_SOFT:
		return "soft";
	case WATCHDOG_NONE:
	default:
		return "none";
	}
}

static uint64_t lease_left(const struct fsm_crn *crn, uint64_t c_ms)
{
	return crn->alive && crn->exp_ms > c_ms ? crn->exp_ms - c_ms : 0;
}

static void tokens(struct json_writer *w, const struct text *list,
		   uint32_t count)
{
	jsonw_array(w, "tokens");
	for (uint32_t i = 0; i < count; i++)
		api_json_text(w, NULL, &list[i]);
	jsonw_array_end(w);
}

void api_json_crn(struct json_writer *w, const struct fsm_crn *crn,
		  uint64_t c_ms)
{
	jsonw_object(w, NULL);
	jsonw_hash(w, "hash", &crn->hash);
	api_json_text(w, "name", &crn->name);
	api_json_text(w, "owner", &crn->owner);
	api_json_text(w, "url", &crn->url);
	jsonw_string(w, "class", class_name(crn->class));
	if (crn->unfenced_reason.size)
		api_json_text(w, "unfenced_reason", &crn->unfenced_reason);
	else
		jsonw_null(w, "unfenced_reason");
	jsonw_string(w, "watchdog", watchdog_name(crn->watchdog));
	jsonw_uint(w, "k_ms", crn->k_ms);
	jsonw_bool(w, "alive", crn->alive);
	jsonw_bool(w, "established", crn->established);
	jsonw_bool(w, "linked", crn->linked);
	jsonw_bool(w, "surveyed", crn->surveyed);
	api_json_stamp(w, "session", crn->session);
	if (hash_is_zero(&crn->host))
		jsonw_null(w, "host");
	else
		jsonw_hash(w, "host", &crn->host);
	jsonw_uint(w, "lease_ms", lease_left(crn, c_ms));
	jsonw_uint(w, "vcpus", crn->vcpus);
	jsonw_uint(w, "vcpus_used", crn->vcpus_used);
	jsonw_uint(w, "memory_mib", crn->memory_mib);
	jsonw_uint(w, "memory_mib_used", crn->memory_mib_used);
	jsonw_uint(w, "disk_mib", crn->disk_mib);
	jsonw_uint(w, "disk_mib_used", crn->disk_mib_used);
	jsonw_uint(w, "programs", crn->program_count);
	tokens(w, crn->tokens, crn->token_count);
	jsonw_object_end(w);
}

static void epoch(struct json_writer *w, const struct fsm_program *p)
{
	char text[48];

	if (p->state != PROGRAM_ASSIGNED && p->state != PROGRAM_REVOKING) {
		jsonw_null(w, "epoch");
		return;
	}
	snprintf(text, sizeof text, "%" PRIu64 ".%" PRIu64, p->gen, p->epoch);
	jsonw_string(w, "epoch", text);
}

static void moves(struct json_writer *w, const struct api_program_row *row)
{
	jsonw_array(w, "moves");
	for (uint32_t i = 0; i < row->move_count; i++) {
		const struct fsm_move *move = &row->moves[i];

		jsonw_object(w, NULL);
		jsonw_string(w, "what", fsm_effect_name(move->what));
		if (hash_is_zero(&move->crn))
			jsonw_null(w, "crn");
		else
			jsonw_hash(w, "crn", &move->crn);
		api_json_stamp(w, "epoch", move->epoch);
		api_json_stamp(w, "stamp", move->stamp);
		api_json_time(w, "time", move->wall_ms);
		api_json_move_reason(w, row, i);
		api_json_downtime(w, row, i);
		jsonw_object_end(w);
	}
	jsonw_array_end(w);
}

static void crn_of(struct json_writer *w, const struct api_program_row *row)
{
	if (!row->crn) {
		jsonw_null(w, "crn");
		jsonw_null(w, "lease_ms");
		return;
	}
	jsonw_object(w, "crn");
	jsonw_hash(w, "hash", &row->crn->hash);
	api_json_text(w, "name", &row->crn->name);
	api_json_text(w, "url", &row->crn->url);
	jsonw_string(w, "class", class_name(row->crn->class));
	jsonw_string(w, "watchdog", watchdog_name(row->crn->watchdog));
	jsonw_uint(w, "k_ms", row->crn->k_ms);
	jsonw_object_end(w);
	/* R23: an orphan has no part in the lease of the session today. */
	if (api_away(row->program, row->crn))
		jsonw_uint(w, "lease_ms", 0);
	else
		jsonw_uint(w, "lease_ms", lease_left(row->crn, row->c_ms));
}

static void reason(struct json_writer *w, const struct api_program_row *row)
{
	if (!row->reason) {
		jsonw_null(w, "reason");
		return;
	}
	jsonw_object(w, "reason");
	jsonw_string(w, "code", row->reason);
	jsonw_string(w, "message", row->explained);
	jsonw_object_end(w);
}

static void maybe_hash(struct json_writer *w, const char *key, bool has,
		       const struct hash *hash)
{
	if (has)
		jsonw_hash(w, key, hash);
	else
		jsonw_null(w, key);
}

void api_json_program(struct json_writer *w, const struct api_program_row *row)
{
	const struct fsm_program *p = row->program;

	jsonw_object(w, NULL);
	jsonw_hash(w, "hash", &p->hash);
	api_json_text(w, "name", &p->name);
	api_json_text(w, "owner", &p->owner);
	jsonw_string(w, "kind", p->kind == KIND_INSTANCE ? "instance"
							 : "program");
	jsonw_string(w, "source", p->source == SOURCE_OPERATOR ? "operator"
							       : "ccn");
	jsonw_string(w, "state", api_program_state(p));
	if (row->run)
		jsonw_string(w, "status", run_status_name(row->run->status));
	else
		jsonw_null(w, "status");
	if (row->status_end)
		*row->status_end = w->size;
	crn_of(w, row);
	epoch(w, p);
	/* Of the run: an orphan's are not those of its CRN today (R23). */
	api_json_stamp(w, "session", row->crn ? p->session : 0);
	maybe_hash(w, "host", row->crn && !hash_is_zero(&p->host), &p->host);
	api_json_guarantee(w, row);
	jsonw_bool(w, "held", p->hold && row->crn);
	reason(w, row);
	maybe_hash(w, "data_on", p->has_data_crn, &p->data_crn);
	jsonw_hash(w, "lineage", &p->lineage);
	maybe_hash(w, "replaces", p->has_replaces, &p->replaces);
	jsonw_bool(w, "superseded", p->superseded);
	jsonw_bool(w, "persistent", p->persistent);
	maybe_hash(w, "node", p->has_node_pin, &p->node_pin);
	jsonw_uint(w, "code_revision", p->code_revision);
	jsonw_uint(w, "vcpus", p->vcpus);
	jsonw_uint(w, "memory_mib", p->memory_mib);
	jsonw_uint(w, "disk_mib", p->disk_mib);
	tokens(w, p->tokens, p->token_count);
	jsonw_bool(w, "move_without_data", p->move_without_data);
	if (row->moves) {
		api_json_down_since(w, row);
		moves(w, row);
	}
	jsonw_object_end(w);
}
