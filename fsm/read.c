/* Reading a view: copies of records, sets of rows. */
#include "fsm/state.h"

const struct fsm_view *fsm_live(const struct fsm *f)
{
	return &f->state;
}

void fsm_status(const struct fsm_view *s, struct fsm_status *out)
{
	*out = (struct fsm_status){
		.index = s->index, .term = s->term, .gen = s->gen,
		.c_ms = s->c_ms, .wall_ms = s->wall_ms,
		.quar_until_ms = s->quar_until_ms, .leader = s->leader,
		.program_count = s->program_count, .crn_count = s->crn_count,
		.assigned_count = s->assigned_count,
		.pending_count = s->pending_count,
		.unsurveyed_count = s->unsurveyed_count,
		.ttl_s_max_ms = s->ttl_s_max_ms, .no_holds = s->no_holds,
		.programs_changed = s->programs_changed,
		.crns_changed = s->crns_changed,
		.configured = s->configured, .config = s->config,
	};
}

slot_t fsm_program_bound(const struct fsm_view *s)
{
	return s->program_bound;
}

slot_t fsm_crn_bound(const struct fsm_view *s)
{
	return s->crn_bound;
}

static void read_flags(const struct fsm_view *s, const struct program *p,
		       struct fsm_program *out)
{
	out->superseded = p->superseded;
	out->forgotten = p->forgotten;
	out->loser = p->loser;
	out->waiting_for_replaced = p->waiting;
	out->has_replaces = p->has_replaces;
	out->amendable = p->amendable;
	out->persistent = p->persistent;
	out->hold = p->hold;
	out->lost = p->lost;
	out->orphan = p->crn != SLOT_NONE &&
		      p->session != s->crns[p->crn].session;
	out->has_data = p->has_data;
	out->has_data_crn = p->data_crn != 0;
	out->move_without_data = p->move_without_data;
	out->has_node_pin = p->has_node_pin;
}

bool fsm_program_read(const struct fsm_view *s, slot_t slot,
		      struct fsm_program *out)
{
	const struct program *p;

	if (slot >= s->program_bound || !s->programs[slot].used)
		return false;
	p = &s->programs[slot];
	*out = (struct fsm_program){
		.hash = p->hash,
		.lineage = fsm__hash_get(s, p->lineage),
		.replaces = fsm__hash_get(s, p->replaces),
		.data_crn = fsm__hash_get(s, p->data_crn),
		.host = fsm__hash_get(s, p->host),
		.node_pin = fsm__hash_get(s, p->node_pin),
		.state = (enum program_state)p->state,
		.guarantee = (enum guarantee)p->guarantee,
		.source = (enum program_source)p->source,
		.kind = (enum program_kind)p->kind,
		.crn = p->crn, .session = p->session, .epoch = p->epoch,
		.v_rev = p->v_rev, .changed = p->changed, .gen = p->gen,
		.code_revision = p->code_revision, .time_ms = p->time_ms,
		.since_wall_ms = p->since_wall_ms,
		.owner = fsm__pool_get(&s->texts, p->owner),
		.name = fsm__pool_get(&s->texts, p->name),
		.vcpus = p->vcpus, .memory_mib = p->memory_mib,
		.disk_mib = p->disk_mib,
	};
	if (p->crn != SLOT_NONE)
		out->crn_hash = s->crns[p->crn].hash;
	out->token_count = fsm__tokens_read(s, p->tokens, out->tokens);
	read_flags(s, p, out);
	return true;
}

bool fsm_crn_read(const struct fsm_view *s, slot_t slot, struct fsm_crn *out)
{
	const struct crn *c;

	if (slot >= s->crn_bound || !s->crns[slot].used)
		return false;
	c = &s->crns[slot];
	*out = (struct fsm_crn){
		.hash = c->hash, .host = c->host, .boot = c->boot,
		.session = c->session, .changed = c->changed, .seen = c->seen,
		.survey_session = c->survey_session,
		.survey_host = c->survey_host,
		.alive = c->alive, .established = c->established,
		.linked = c->linked, .surveyed = c->surveyed,
		.reported = c->reported, .class = (enum crn_class)c->class,
		.watchdog = (enum crn_watchdog)c->watchdog, .k_ms = c->k_ms,
		.vcpus = c->vcpus, .vcpus_used = c->vcpus_used,
		.program_count = c->program_count,
		.memory_mib = c->memory_mib,
		.memory_mib_used = c->memory_mib_used,
		.disk_mib = c->disk_mib, .disk_mib_used = c->disk_mib_used,
		.exp_ms = c->exp_ms, .gen = c->gen, .seq_seen = c->seq_seen,
		.name = fsm__pool_get(&s->texts, c->name),
		.owner = fsm__pool_get(&s->texts, c->owner),
		.url = fsm__pool_get(&s->texts, c->url),
		.unfenced_reason = fsm__pool_get(&s->texts, c->unfenced_reason),
	};
	memcpy(out->nonce, c->nonce, sizeof out->nonce);
	out->token_count = fsm__tokens_read(s, c->tokens, out->tokens);
	return true;
}

slot_t fsm_crn_next_program(const struct fsm_view *s, slot_t crn,
			    slot_t previous)
{
	return previous == SLOT_NONE ? s->crns[crn].program_first
				     : s->programs[previous].crn_next;
}

uint32_t fsm_desired(const struct fsm_view *s, slot_t crn,
		     struct desired_row *rows, uint32_t max)
{
	uint32_t count = 0;

	for (slot_t i = s->crns[crn].program_first; i != SLOT_NONE;
	     i = s->programs[i].crn_next) {
		const struct program *p = &s->programs[i];

		if (p->state != PROGRAM_ASSIGNED ||
		    p->session != s->crns[crn].session)
			continue;
		if (count < max)
			rows[count] = (struct desired_row){
				.program = p->hash, .epoch = p->epoch,
				.gen = p->gen,
				.code_revision = p->code_revision,
				.lineage = fsm__hash_get(s, p->lineage),
				.hold = p->hold, .vcpus = p->vcpus,
				.memory_mib = p->memory_mib,
				.disk_mib = p->disk_mib,
			};
		count++;
	}
	return count;
}

uint32_t fsm_kept(const struct fsm_view *s, slot_t crn, struct hash *programs,
		  uint32_t max)
{
	uint32_t count = 0;

	for (slot_t i = s->crns[crn].program_first; i != SLOT_NONE;
	     i = s->programs[i].crn_next) {
		if (s->programs[i].session != s->crns[crn].session)
			continue;
		if (count < max)
			programs[count] = s->programs[i].hash;
		count++;
	}
	return count;
}

uint32_t fsm_due(const struct fsm_view *s, slot_t *crns, uint32_t max)
{
	uint32_t count = 0;

	for (slot_t i = 0; i < s->crn_bound && count < max; i++) {
		const struct crn *c = &s->crns[i];

		if (c->used && c->alive && s->c_ms >= c->exp_ms)
			crns[count++] = i;
	}
	return count;
}
