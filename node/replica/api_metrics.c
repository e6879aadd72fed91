/* GET /metrics: the edge's counters, and gauges of the state as it is here. */
#include <stdlib.h>

#include "node/replica/agent_link.h"
#include "node/replica/api_internal.h"

#define TEXT_SIZE (64u << 10)

static const struct metric metric_none;

struct gauge {
	const char *name, *help;
	uint64_t value;
};

static uint32_t gauges_of(const struct api_request *request, struct gauge *g)
{
	const struct fsm_status *s = &request->copy.status;
	const struct replica_status *r = &request->copy.replica;
	const struct edge *edge = request->edge;
	const struct gauge list[] = {
		{ "berth_leader", "Id of the leader, 0 if none is known.",
		  edge->leader },
		{ "berth_is_leader", "1 if this replica leads.",
		  edge_is_leader(edge) },
		{ "berth_term", "Raft term.", edge->term },
		{ "berth_applied_index", "Last applied log index.",
		  request->index },
		{ "berth_commit_index", "Last committed log index.",
		  r->commit },
		{ "berth_applied_age_ms", "Time since the last apply.",
		  request->age_ms },
		{ "berth_log_bytes", "Size of the log on disk.",
		  r->log_bytes },
		{ "berth_log_writes", "Writes of the log.", r->log_writes },
		{ "berth_elections", "Elections seen.", r->elections },
		{ "berth_snapshots", "Snapshots taken.", r->snapshots },
		{ "berth_state_hashes",
		  "Hashes of the state compared with other replicas'.",
		  request->copy.audit.taken },
		{ "berth_state_hashes_skipped",
		  "Hashes not taken: no room for another view.",
		  request->copy.audit.skipped },
		{ "berth_state_mismatches",
		  "Other replicas' hashes that differed from ours.",
		  request->copy.audit.mismatches },
		{ "berth_clock_alarms",
		  "Minutes in which the lease clock was too fast.",
		  request->copy.driver.clock_alarms },
		{ "berth_clock_excess_ppm",
		  "How much faster than the agents' the lease clock was.",
		  request->copy.driver.clock_ppm },
		{ "berth_generation", "Generation of the state.", s->gen },
		{ "berth_programs", "Programs known.", s->program_count },
		{ "berth_programs_assigned", "Programs with a CRN.",
		  s->assigned_count },
		{ "berth_programs_pending", "Programs that wait for a CRN.",
		  s->pending_count },
		{ "berth_crns", "CRNs known.", s->crn_count },
		{ "berth_agent_links_open", "Links of agents at this replica.",
		  agent_links_count(edge->agents) },
	};

	memcpy(g, list, sizeof list);
	return COUNT_OF(list);
}

void api_metrics(struct api_request *request)
{
	struct edge_metrics *m = &request->edge->metrics;
	const struct metric *counters[] = {
#define X(field, name, help) &m->field,
		EDGE_METRICS(X)
#undef X
	};
	const struct metric *all[COUNT_OF(counters) + 32];
	struct metric gauges[32];
	struct gauge list[32];
	uint32_t count = gauges_of(request, list), n = 0;
	char *text = malloc(TEXT_SIZE);

	if (!text) {
		api_fail_code(request, BERTH_NOMEM);
		return;
	}
	for (uint32_t i = 0; i < COUNT_OF(counters); i++)
		all[n++] = counters[i];
	for (uint32_t i = 0; i < count; i++) {
		gauges[i] = metric_none;
		gauges[i].name = list[i].name;
		gauges[i].help = list[i].help;
		gauges[i].kind = METRIC_GAUGE;
		metric_set(&gauges[i], list[i].value);
		all[n++] = &gauges[i];
	}
	api_respond(request, 200, "text/plain; version=0.0.4", text,
		    metrics_render(all, n, text, TEXT_SIZE));
	free(text);
}
