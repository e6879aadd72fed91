/* Frames of agents: checked, answered from the leader's applied state, or made
 * into what the next entry carries. Every test here is advisory. */
#include <stdio.h>
#include <stdlib.h>

#include "node/replica/driver_impl.h"

struct driver_agent *driver__agent_find(struct driver *d,
					const struct hash *crn)
{
	uint32_t at = driver__map_find(&d->agent_map, crn);

	return at == DRIVER_MAP_NONE ? NULL : &d->agents[at];
}

static struct driver_agent *agent_of(struct driver *d, const struct hash *crn)
{
	struct driver_agent *a = driver__agent_find(d, crn);

	if (a != NULL || d->agent_count == DRIVER_AGENTS_MAX)
		return a;
	if (d->agent_count == d->agent_capacity) {
		d->agent_capacity = d->agent_capacity == 0
					    ? 16 : d->agent_capacity * 2;
		d->agents = realloc(d->agents,
				    d->agent_capacity * sizeof *d->agents);
		REQUIRE(d->agents != NULL);
	}
	a = &d->agents[d->agent_count];
	memset(a, 0, sizeof *a);
	a->crn = *crn;
	a->first_run = UINT32_MAX;
	driver__map_add(&d->agent_map, crn, d->agent_count++);
	return a;
}

static void send_to(struct driver *d, const struct agent_route *route,
		    enum agent_frame type, size_t size)
{
	REQUIRE(size != 0);
	d->ops.send(d->ops.ctx, route, (uint8_t)type, d->frame, size);
}

static void refuse(struct driver *d, const struct agent_route *route,
		   enum agent_frame of, const uint8_t nonce[16],
		   enum fsm_refusal refusal, const char *sentence)
{
	struct agent_refused m = { .of = (uint8_t)of,
				   .refusal = (uint32_t)refusal };

	memcpy(m.nonce, nonce, sizeof m.nonce);
	m.message = (struct text){ sentence, (uint32_t)strlen(sentence) };
	send_to(d, route, AGENT_REFUSED,
		agent_refused_encode(&m, d->frame, AGENT_FRAME_SIZE_MAX));
}

/* Reads the CRN's record, or refuses in words. */
static bool known(struct driver *d, const struct fsm_view *view,
		  const struct agent_route *route, const struct hash *crn,
		  enum agent_frame of, const uint8_t nonce[16],
		  struct fsm_crn *out)
{
	slot_t slot = fsm_crn_find(view, crn);

	if (slot != SLOT_NONE && fsm_crn_read(view, slot, out))
		return true;
	refuse(d, route, of, nonce, FSM_REFUSED_UNKNOWN_CRN,
	       "this CRN is not known to the cluster: an operator has to "
	       "admit it first");
	return false;
}

/* --- HELLO ---------------------------------------------------------------- */

static int hear_hello(struct driver *d, const struct fsm_view *view,
		      const struct agent_route *route, const struct hash *crn,
		      const uint8_t *payload, size_t size)
{
	struct agent_hello m;
	struct agent_challenge c = { 0 };
	struct fsm_status status;
	struct fsm_crn record;
	int code = agent_hello_decode(payload, size, &m);

	if (code != 0)
		return code;
	if (!hash_equal(&m.crn, crn))
		return BERTH_DENIED;
	if (!known(d, view, route, crn, AGENT_HELLO, m.nonce, &record))
		return 0;
	fsm_status(view, &status);
	c.gen = status.gen;
	c.session = record.session;
	memcpy(c.nonce, m.nonce, sizeof c.nonce);
	send_to(d, route, AGENT_CHALLENGE,
		agent_challenge_encode(&c, d->frame, AGENT_FRAME_SIZE_MAX));
	return 0;
}

/* --- REGISTER ------------------------------------------------------------- */

static int take_register(struct driver *d, const struct fsm_view *view,
			 const struct agent_route *route,
			 const struct hash *crn, struct command *command)
{
	struct command_register *reg = &command->reg;
	struct driver_agent *a;
	struct driver_item *item = NULL;
	struct fsm_crn record;

	if (!known(d, view, route, crn, AGENT_REGISTER, reg->nonce, &record))
		return 0;
	memset(command->request, 0, sizeof command->request);
	a = agent_of(d, crn);
	if (a != NULL)
		item = driver__item_newest(d, ITEM_REGISTER,
					   (uint32_t)(a - d->agents), command);
	if (item == NULL)
		return BERTH_BUSY;
	item->crn = *crn;
	item->route = *route;
	item->k_ms = reg->k_ms;
	memcpy(item->nonce, reg->nonce, sizeof item->nonce);
	return 0;
}

static bool report_differs(const struct fsm_crn *crn,
			   const struct command_crn_report *m)
{
	if (!crn->reported || crn->vcpus != m->vcpus ||
	    crn->memory_mib != m->memory_mib || crn->disk_mib != m->disk_mib ||
	    crn->token_count != m->token_count ||
	    crn->url.size != m->url.size ||
	    memcmp(crn->url.data, m->url.data, m->url.size) != 0)
		return true;
	for (uint32_t i = 0; i < m->token_count; i++)
		if (crn->tokens[i].size != m->tokens[i].size ||
		    memcmp(crn->tokens[i].data, m->tokens[i].data,
			   m->tokens[i].size) != 0)
			return true;
	return false;
}

static int take_report(struct driver *d, const struct fsm_view *view,
		       const struct hash *crn, struct command *command)
{
	slot_t slot = fsm_crn_find(view, crn);
	struct driver_agent *a;
	struct fsm_crn record;

	if (slot == SLOT_NONE || !fsm_crn_read(view, slot, &record))
		return BERTH_NOTFOUND;
	if (!record.alive || record.session != command->report.session)
		return BERTH_MISMATCH;
	a = agent_of(d, crn);
	if (a == NULL)
		return BERTH_BUSY;
	/* What the state says already, unless another one is on its way. */
	if (a->waiting[WISH_REPORT] == NULL && a->flying[WISH_REPORT] == NULL &&
	    !report_differs(&record, &command->report))
		return 0;
	memset(command->request, 0, sizeof command->request);
	if (driver__item_newest(d, ITEM_REPORT, (uint32_t)(a - d->agents),
				command) == NULL)
		return BERTH_BUSY;
	return 0;
}

static int take_command(struct driver *d, const struct fsm_view *view,
			const struct agent_route *route,
			const struct hash *crn, uint8_t frame,
			struct command *command)
{
	if (frame == AGENT_REGISTER && command->type == FSM_REGISTER)
		return hash_equal(&command->reg.crn, crn)
			       ? take_register(d, view, route, crn, command)
			       : BERTH_DENIED;
	if (frame == AGENT_REPORT && command->type == FSM_CRN_REPORT)
		return hash_equal(&command->report.crn, crn)
			       ? take_report(d, view, crn, command)
			       : BERTH_DENIED;
	return BERTH_MALFORMED;
}

static int hear_command(struct driver *d, const struct fsm_view *view,
			const struct agent_route *route,
			const struct hash *crn, uint8_t frame,
			const uint8_t *payload, size_t size)
{
	struct command_cursor cursor;
	struct command command;
	int code;

	memset(&cursor, 0, sizeof cursor);
	code = agent_command_decode(&cursor, payload, size, &command);
	if (code == 0)
		code = take_command(d, view, route, crn, frame, &command);
	command_cursor_close(&cursor);
	return code;
}

static void ack_register(struct driver *d, const struct fsm_view *view,
			 const struct driver_item *item, slot_t slot,
			 const struct fsm_crn *crn)
{
	struct driver_agent *a = agent_of(d, &item->crn);
	struct agent_register_ack m = { 0 };
	struct fsm_status status;

	fsm_status(view, &status);
	m.gen = status.gen;
	memcpy(m.nonce, item->nonce, sizeof m.nonce);
	m.session = crn->session;
	m.ttl_a_ms = status.config.ttl_a_ms;
	m.heartbeat_ms = status.config.heartbeat_ms;
	m.kept = d->kept;
	m.kept_count = fsm_kept(view, slot, d->kept, FSM_HELD_MAX);
	if (m.kept_count > FSM_HELD_MAX)
		return; /* a part of the list would kill what is kept */
	send_to(d, &item->route, AGENT_REGISTER_ACK,
		agent_register_ack_encode(&m, d->frame,
					  AGENT_FRAME_SIZE_MAX));
	if (a == NULL || a->session >= crn->session)
		return;
	/* Its first heartbeat has nothing and is answered with the set. */
	a->route = item->route;
	a->has_route = true;
	a->session = crn->session;
	a->sent_changed = crn->changed;
}

static void refuse_register(struct driver *d, const struct fsm_view *view,
			    const struct driver_item *item,
			    enum fsm_refusal refusal)
{
	struct fsm_status status;
	char text[FSM_TEXT_SIZE_MAX];

	fsm_status(view, &status);
	snprintf(text, sizeof text, "%s", fsm_refusal_text(refusal));
	if (refusal == FSM_REFUSED_K)
		snprintf(text, sizeof text,
			 "this CRN needs k_ms %u to stop its programs, the "
			 "cluster allows %u", item->k_ms, status.config.k_ms);
	refuse(d, &item->route, AGENT_REGISTER, item->nonce, refusal, text);
}

/* After apply: the acknowledgement or the refusal. A duplicate is answered
 * again as long as its session is the current one. */
void driver__registered(struct driver *d, const struct fsm_view *view,
			const struct driver_item *item,
			const struct fsm_result *result)
{
	slot_t slot = fsm_crn_find(view, &item->crn);
	struct fsm_crn crn;
	bool there = slot != SLOT_NONE && fsm_crn_read(view, slot, &crn);

	if (result->refusal != FSM_OK && result->refusal != FSM_DUPLICATE)
		refuse_register(d, view, item, result->refusal);
	else if (there && crn.alive && crn.session == result->stamp &&
		 memcmp(crn.nonce, item->nonce, sizeof crn.nonce) == 0)
		ack_register(d, view, item, slot, &crn);
}

/* --- HEARTBEAT ------------------------------------------------------------ */

/* Only the newest of the newest session waits for the Beat. */
static void remember(struct driver_agent *a, const struct agent_route *route,
		     const struct agent_heartbeat *m)
{
	if (m->session < a->session ||
	    (a->pending && m->session == a->renewal.session &&
	     m->seq <= a->renewal.seq))
		return;
	if (m->session > a->session)
		a->sent_changed = m->have;
	a->route = *route;
	a->has_route = true;
	a->session = m->session;
	a->pending = true;
	a->have = m->have;
	a->renewal = (struct command_renewal){
		.gen = m->gen, .crn = a->crn, .session = m->session,
		.seq = m->seq, .applied = m->applied, .got_ack = m->got_ack };
}

/* Of the session that the CRN has: the state here is no older than any session
 * that an agent can know. One of another would only hide the true ones. */
static bool session_is(const struct fsm_view *view, const struct hash *crn,
		       stamp_t session)
{
	slot_t slot = fsm_crn_find(view, crn);
	struct fsm_crn record;

	return slot != SLOT_NONE && fsm_crn_read(view, slot, &record) &&
	       record.session == session;
}

static int hear_heartbeat(struct driver *d, const struct fsm_view *view,
			  const struct agent_route *route,
			  const struct hash *crn, const uint8_t *payload,
			  size_t size)
{
	struct agent_heartbeat m = { .runs = d->heard,
				     .run_max = AGENT_STATUS_MAX };
	struct driver_agent *a;
	struct fsm_status status;
	int code = agent_heartbeat_decode(payload, size, &m);

	if (code != 0)
		return code;
	if (!hash_equal(&m.crn, crn))
		return BERTH_DENIED;
	fsm_status(view, &status);
	if (m.seq == 0 || m.session == 0 || m.gen != status.gen ||
	    !session_is(view, crn, m.session))
		return BERTH_MISMATCH;
	a = agent_of(d, crn);
	if (a == NULL)
		return BERTH_BUSY;
	remember(a, route, &m);
	driver__clock_heard(d, view, a, &m);
	driver__runs_heard(d, view, (uint32_t)(a - d->agents), &m);
	return 0;
}

static int hear(struct driver *d, const struct fsm_view *view,
		const struct agent_route *route, const struct hash *crn,
		uint8_t type, const uint8_t *payload, size_t size)
{
	switch (type) {
	case AGENT_HELLO:
		return hear_hello(d, view, route, crn, payload, size);
	case AGENT_REGISTER:
	case AGENT_REPORT:
		return hear_command(d, view, route, crn, type, payload, size);
	case AGENT_HEARTBEAT:
		return hear_heartbeat(d, view, route, crn, payload, size);
	default:
		return BERTH_MALFORMED;
	}
}

/* Before the own Lead is applied there is no state to answer from: agents
 * repeat themselves. */
int driver_agent_frame(struct driver *d, const struct fsm_view *view,
		       const struct agent_route *route, const struct hash *crn,
		       uint8_t type, const uint8_t *payload, size_t size)
{
	int code;

	if (!d->leading)
		code = BERTH_NOTLEADER;
	else
		code = hear(d, view, route, crn, type, payload, size);
	d->counts.relayed += code == 0 && route->replica != d->ops.self;
	d->counts.dropped_frames += code != 0;
	return code;
}
