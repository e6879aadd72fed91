/* CRNs that the configuration allows: the leader puts those that the state
 * does not know, at once when it begins to lead and every few seconds. */
#include <stdlib.h>

#include "node/lib/crypto.h"
#include "node/replica/intake.h"

#define CHECK_MS 5000u
#define SOON_MS 50u

struct intake_crns {
	struct edge *edge;
	uv_timer_t timer;
	struct core_call call;
	bool *missing; /* one a configured CRN */
	uint32_t missing_count, told; /* told: how many were refused */
	bool busy, closing;
};

static struct intake_crns *of_call(struct core_call *call)
{
	return (struct intake_crns *)(void *)
		((char *)call - offsetof(struct intake_crns, call));
}

/* At most EDGE_CRNS_MAX look-ups by hash. */
static void run(struct core *core, struct core_call *call)
{
	struct intake_crns *crns = of_call(call);
	const struct edge_config *config = &crns->edge->config;
	const struct fsm_view *view = core_view(core);

	crns->missing_count = 0;
	for (uint32_t i = 0; i < config->crn_count; i++) {
		crns->missing[i] = fsm_crn_find(view, &config->crns[i].hash) ==
				   SLOT_NONE;
		crns->missing_count += crns->missing[i];
	}
}

static void again(struct intake_crns *crns, uint32_t ms);

static void submitted(struct edge_submit *s, int code)
{
	struct intake_crns *crns = s->ctx;

	uint32_t refused = 0;
	char hash[65];

	for (uint32_t i = 0; code == 0 && i < s->result_count; i++) {
		if (s->results[i].refusal == FSM_OK ||
		    s->results[i].refusal == FSM_DUPLICATE ||
		    ++refused <= crns->told)
			continue;
		hash_text(&s->results[i].subject, hash);
		log_warn("crns", "CRN %.12s of the configuration file cannot "
			 "be let in: %s; tried again", hash,
			 fsm_refusal_text(s->results[i].refusal));
	}
	if (!code)
		crns->told = refused; /* each once, not every time */
	crns->busy = false;
	again(crns, code ? 10 * SOON_MS : CHECK_MS);
}

static void submit(struct intake_crns *crns)
{
	const struct edge_config *config = &crns->edge->config;
	struct edge_submit *s = edge_submit_open(crns->edge);

	if (!s) {
		crns->busy = false;
		again(crns, CHECK_MS);
		return;
	}
	s->ctx = crns;
	s->done = submitted;
	for (uint32_t i = 0; i < config->crn_count; i++) {
		struct command command = { .type = FSM_CRN_PUT };
		const char *name = config->crns[i].name;

		if (!crns->missing[i])
			continue;
		command.crn_put.crn = config->crns[i].hash;
		command.crn_put.name =
			(struct text){ name, (uint32_t)strlen(name) };
		command.crn_put.owner = (struct text){ "", 0 };
		command.crn_put.linked = true;
		edge_submit_add(s, &command);
	}
	edge_submit_send(s);
}

static void looked(struct core_call *call)
{
	struct intake_crns *crns = of_call(call);
	struct edge *edge = crns->edge;

	if (crns->missing_count && edge_is_leader(edge) && !crns->closing) {
		submit(crns);
	} else {
		crns->busy = false;
		again(crns, CHECK_MS);
	}
	edge_release(edge);
}

static void check(uv_timer_t *timer)
{
	struct intake_crns *crns = timer->data;
	struct edge *edge = crns->edge;

	if (crns->busy || crns->closing || !edge_is_leader(edge))
		return;
	crns->busy = true;
	crns->call = (struct core_call){ .run = run, .done = looked };
	edge_hold(edge);
	if (core_post(edge->core, &crns->call) == 0)
		return;
	crns->busy = false;
	again(crns, SOON_MS);
	edge_release(edge);
}

static void again(struct intake_crns *crns, uint32_t ms)
{
	if (!crns->closing)
		uv_timer_start(&crns->timer, check, ms, 0);
}

void intake_crns_leader(struct intake_crns *crns)
{
	if (edge_is_leader(crns->edge))
		again(crns, 1);
}

int intake_crns_open(struct intake_crns **out, struct edge *edge)
{
	struct intake_crns *crns = calloc(1, sizeof *crns);

	if (!crns)
		return BERTH_NOMEM;
	crns->edge = edge;
	crns->missing = calloc(edge->config.crn_count + 1,
			       sizeof *crns->missing);
	if (!crns->missing) {
		free(crns);
		return BERTH_NOMEM;
	}
	crns->timer.data = crns;
	uv_timer_init(edge->loop, &crns->timer);
	edge_hold(edge);
	*out = crns;
	return 0;
}

static void timer_closed(uv_handle_t *handle)
{
	struct intake_crns *crns = handle->data;

	edge_release(crns->edge);
}

void intake_crns_close(struct intake_crns *crns)
{
	crns->closing = true;
	uv_close((uv_handle_t *)&crns->timer, timer_closed);
}

void intake_crns_free(struct intake_crns *crns)
{
	if (!crns)
		return;
	free(crns->missing);
	free(crns);
}
