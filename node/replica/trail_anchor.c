/* An anchor's state: what a checker must know to go on from here. The same
 * state gives the same bytes on every replica. Layout: deploy/AUDIT.md. */
#include "node/lib/pack.h"
#include "node/replica/trail_internal.h"

#define STATE_VERSION 1u
#define ROW_SIZE_MAX 2048u

static void put_row(struct wire *w, const struct pack_writer *row)
{
	REQUIRE(!row->full);
	wire_put(w, row->data, row->size);
}

static void put_config(struct pack_writer *w, const struct fsm_config *c)
{
	const uint32_t numbers[] = {
		c->heartbeat_ms, c->ttl_a_ms, c->ttl_s_ms, c->k_ms,
		c->dt_max_ms, c->beat_ms, c->sticky_ms, c->start_failures_max,
		c->start_timeout_ms, c->exclude_ms, c->rho_ppm,
		c->programs_max, c->crns_max,
	};

	pack_array(w, COUNT_OF(numbers) + 2);
	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		pack_uint(w, numbers[i]);
	pack_bool(w, c->watchdog_none_ok);
	pack_bool(w, c->unfenced_hold_ok);
}

static void put_status(struct wire *w, const struct fsm_status *s)
{
	uint8_t data[ROW_SIZE_MAX];
	struct pack_writer row = { .data = data, .size_max = sizeof data };

	pack_array(&row, 13);
	pack_uint(&row, STATE_VERSION);
	pack_uint(&row, s->index);
	pack_uint(&row, s->term);
	pack_uint(&row, s->gen);
	pack_uint(&row, s->c_ms);
	pack_uint(&row, s->wall_ms);
	pack_uint(&row, s->quar_until_ms);
	pack_uint(&row, s->ttl_s_max_ms);
	pack_bool(&row, s->no_holds);
	pack_bool(&row, s->configured);
	put_config(&row, &s->config);
	put_row(w, &row);
}

static void put_crn(struct wire *w, const struct fsm_crn *c)
{
	uint8_t data[ROW_SIZE_MAX];
	struct pack_writer row = { .data = data, .size_max = sizeof data };

	pack_array(&row, 16);
	pack_hash(&row, &c->hash);
	pack_hash(&row, &c->host);
	pack_hash(&row, &c->boot);
	pack_bytes(&row, c->nonce, sizeof c->nonce);
	pack_uint(&row, c->session);
	pack_uint(&row, c->exp_ms);
	pack_uint(&row, c->gen);
	pack_uint(&row, c->k_ms);
	pack_uint(&row, (uint64_t)c->class);
	pack_bool(&row, c->alive);
	pack_bool(&row, c->established);
	pack_bool(&row, c->reported);
	pack_bool(&row, c->linked);
	pack_bool(&row, c->surveyed);
	pack_hash(&row, &c->survey_host);
	pack_uint(&row, c->survey_session);
	put_row(w, &row);
}

static void put_flags(struct pack_writer *row, const struct fsm_program *p)
{
	const bool flags[] = {
		p->hold, p->lost, p->superseded, p->waiting_for_replaced,
		p->loser, p->forgotten, p->amendable, p->persistent,
	};

	pack_array(row, COUNT_OF(flags));
	for (size_t i = 0; i < COUNT_OF(flags); i++)
		pack_bool(row, flags[i]);
}

static void put_program(struct wire *w, const struct fsm_program *p)
{
	uint8_t data[ROW_SIZE_MAX];
	struct pack_writer row = { .data = data, .size_max = sizeof data };

	pack_array(&row, 14);
	pack_hash(&row, &p->hash);
	pack_hash(&row, &p->lineage);
	if (p->has_replaces)
		pack_hash(&row, &p->replaces);
	else
		pack_nil(&row);
	pack_text(&row, p->owner);
	pack_uint(&row, (uint64_t)p->state);
	pack_uint(&row, (uint64_t)p->guarantee);
	pack_uint(&row, p->time_ms);
	pack_uint(&row, p->gen);
	pack_uint(&row, p->epoch);
	pack_uint(&row, p->session);
	pack_uint(&row, p->v_rev);
	if (p->crn != SLOT_NONE)
		pack_hash(&row, &p->crn_hash);
	else
		pack_nil(&row);
	pack_hash(&row, &p->host);
	put_flags(&row, p);
	put_row(w, &row);
}

static void put_count(struct wire *w, uint32_t count)
{
	uint8_t data[8];
	struct pack_writer row = { .data = data, .size_max = sizeof data };

	pack_array(&row, count);
	put_row(w, &row);
}

void trail__state(struct wire *w, const struct fsm_view *view)
{
	struct fsm_program program;
	struct fsm_status status;
	struct fsm_crn crn;

	fsm_status(view, &status);
	put_status(w, &status);
	put_count(w, status.crn_count);
	for (slot_t i = 0; i < fsm_crn_bound(view); i++)
		if (fsm_crn_read(view, i, &crn))
			put_crn(w, &crn);
	put_count(w, status.program_count);
	for (slot_t i = 0; i < fsm_program_bound(view); i++)
		if (fsm_program_read(view, i, &program))
			put_program(w, &program);
}
