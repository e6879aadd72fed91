#include "node/replica/intake.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/replica/api_internal.h"
#include "node/replica/intake_internal.h"

/* "&channels=A,B" with what is not plain escaped; "" for every channel. */
static char *encode_channels(const char *const *channels)
{
	static const char hex[] = "0123456789ABCDEF";
	struct wire w = { 0 };

	for (uint32_t i = 0; channels && channels[i]; i++) {
		wire_put(&w, i ? "," : "&channels=", i ? 1 : 10);
		for (const char *c = channels[i]; *c; c++) {
			const char escaped[3] = { '%', hex[(*c >> 4) & 15],
						  hex[*c & 15] };
			bool plain = (*c >= 'a' && *c <= 'z') ||
				     (*c >= 'A' && *c <= 'Z') ||
				     (*c >= '0' && *c <= '9') || *c == '-';

			wire_put(&w, plain ? c : escaped, plain ? 1 : 3);
		}
	}
	wire_u8(&w, 0);
	if (w.failed) {
		wire_fini(&w);
		return NULL;
	}
	return (char *)w.data;
}

int intake_open(struct intake **out, struct edge *edge)
{
	struct intake *intake = calloc(1, sizeof *intake);
	const char *const *urls = edge->config.ccns;

	if (!intake)
		return BERTH_NOMEM;
	intake->edge = edge;
	intake->channels = encode_channels(edge->config.channels);
	if (!intake->channels || intake_table_init(&intake->table)) {
		free(intake->channels);
		free(intake);
		return BERTH_NOMEM;
	}
	for (; urls && *urls && intake->ccn_count < EDGE_CCNS_MAX; urls++) {
		struct ccn *ccn = &intake->ccns[intake->ccn_count];

		ccn->intake = intake;
		ccn->index = intake->ccn_count++;
		ccn->url = *urls;
		edge_hold(edge);
		intake_ccn_start(ccn);
	}
	*out = intake;
	return 0;
}

static void timer_closed(uv_handle_t *handle)
{
	struct ccn *ccn = handle->data;

	edge_release(ccn->intake->edge);
}

void intake_close(struct intake *intake)
{
	intake->closing = true;
	for (uint32_t i = 0; i < intake->ccn_count; i++)
		uv_close((uv_handle_t *)&intake->ccns[i].timer, timer_closed);
}

void intake_free(struct intake *intake)
{
	if (!intake)
		return;
	intake_table_fini(&intake->table);
	free(intake->channels);
	free(intake);
}

void intake_leader(struct intake *intake)
{
	intake_reconcile(intake);
}

static void render_ccn(struct json_writer *w, const struct ccn *ccn)
{
	jsonw_object(w, NULL);
	jsonw_string(w, "url", ccn->url);
	jsonw_bool(w, "ok", !ccn->failing && ccn->complete_count);
	jsonw_uint(w, "snapshots", ccn->complete[1]);
	jsonw_uint(w, "messages", ccn->count);
	if (ccn->problem[0])
		jsonw_text(w, "problem", ccn->problem, strlen(ccn->problem));
	else
		jsonw_null(w, "problem");
	jsonw_object_end(w);
}

/* Those whose `replaces` cannot be made known; the leader finds them. */
static void render_waiting(const struct intake_table *table,
			   struct json_writer *w)
{
	const struct intake_entry *entry;
	uint32_t shown = 0;

	jsonw_array(w, "waiting");
	for (uint32_t i = 0; i < table->bucket_count; i++)
		for (entry = table->buckets[i]; entry; entry = entry->next) {
			if (!entry->why || shown++ >= INTAKE_REFUSALS)
				continue;
			jsonw_object(w, NULL);
			jsonw_hash(w, "hash", &entry->key);
			jsonw_hash(w, "replaces", &entry->put.replaces);
			jsonw_string(w, "reason", entry->why);
			jsonw_object_end(w);
		}
	jsonw_array_end(w);
}

void intake_render(struct intake *intake, struct json_writer *w)
{
	struct intake_table *table = &intake->table;
	uint64_t first;

	jsonw_object(w, NULL);
	jsonw_array(w, "ccns");
	for (uint32_t i = 0; i < intake->ccn_count; i++)
		render_ccn(w, &intake->ccns[i]);
	jsonw_array_end(w);
	uv_mutex_lock(&table->mutex);
	render_waiting(table, w);
	jsonw_array(w, "refused");
	first = table->refused > INTAKE_REFUSALS
			? table->refused - INTAKE_REFUSALS : 0;
	for (uint64_t i = table->refused; i-- > first;) {
		const struct intake_refusal *r =
			&table->refusals[i % INTAKE_REFUSALS];

		jsonw_object(w, NULL);
		jsonw_text(w, "hash", r->hash,
			   strnlen(r->hash, sizeof r->hash));
		jsonw_text(w, "reason", r->reason,
			   strnlen(r->reason, sizeof r->reason));
		api_json_time(w, "time", r->wall_ms);
		jsonw_object_end(w);
	}
	uv_mutex_unlock(&table->mutex);
	jsonw_array_end(w);
	jsonw_object_end(w);
}

void api_intake(struct api_request *request)
{
	intake_render(request->edge->intake, &request->json);
	api_respond_json(request, 200);
}
