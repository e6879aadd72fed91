#include "node/agent/agent_session_inner.h"

#include <stdlib.h>

#include "node/agent/runner.h"
#include "node/lib/clock.h"
#include "node/lib/log.h"

#define HEARTBEAT_MS_DEFAULT 500u /* until a replica tells */
#define TICK_MS 50u
#define REPORT_MS 60000u

int session__ask(struct session *s, struct fencer_ask *request,
		 fencer_done done)
{
	request->done = done;
	request->ctx = s;
	return fencer_client_ask(s->agent->fencer, request);
}

void session__tell(struct session *s, uint8_t type, const void *data,
		   size_t size)
{
	int code = link_send(s->agent->link, type, data, size);

	if (code != 0 && code != BERTH_CLOSED)
		log_warn("session", "not sent: %s", berth_error_text(code));
}

void session__enter(struct session *s, enum phase phase)
{
	s->phase = phase;
	s->began_ms = clock_monotonic_ms();
}

void session__again(struct session *s, uint32_t delay_ms)
{
	s->id = 0;
	s->got_ack = false;
	s->lease_until_ms = 0;
	session__enter(s, PHASE_SETTLING);
	s->wait_ms = s->began_ms + delay_ms;
}

void session__lease_heard(struct session *s, const struct fencer_answer *a)
{
	s->lease_until_ms = a->lease_ms > 0 ?
			    clock_monotonic_ms() + a->lease_ms : 0;
}

bool session_lease_valid(const struct session *s)
{
	return s->phase == PHASE_OPEN &&
	       clock_monotonic_ms() < s->lease_until_ms;
}

/* --- the fencer's state --------------------------------------------------- */

void session__opened(struct session *s, const struct fencer_answer *a)
{
	uint64_t now = clock_monotonic_ms();

	s->gen = a->gen;
	s->id = a->session;
	s->got_ack = a->got_ack != 0;
	s->have = a->have;
	s->version = a->version;
	s->beat_ms = now;
	s->reply_ms = now;
	s->report_ms = now;
	s->refused_ms = REFUSED_MS_MIN;
	session__enter(s, PHASE_OPEN);
}

static void state_taken(struct session *s, const struct fencer_answer *a,
			const void *rows, size_t size)
{
	s->host = a->host;
	s->boot = a->boot;
	session__lease_heard(s, a);
	if (size >= a->run_count * sizeof(struct fencer_run))
		runner_state(s->agent->runner, rows, a->run_count,
			     a->session != 0);
	if (a->session == 0) {
		if (s->phase == PHASE_OPEN || s->phase == PHASE_FENCER) {
			if (s->phase == PHASE_OPEN)
				log_warn("session", "the session is over");
			session__again(s, 0);
		}
	} else if (s->phase != PHASE_OPEN || s->id != a->session) {
		log_info("session", "goes on in session %llu",
			 (unsigned long long)a->session);
		session__opened(s, a);
	}
}

static void state_answered(void *ctx, const struct fencer_answer *a,
			   const void *rows, size_t size)
{
	struct session *s = ctx;

	s->looking = false;
	if (!a)
		return;
	if (a->code == FENCER_OK)
		state_taken(s, a, rows, size);
	else
		log_warn("session", "state: %s", fencer_code_text(a->code));
	if (s->look_again) {
		s->look_again = false;
		session_look(s);
	}
}

void session_look(struct session *s)
{
	struct fencer_ask request = { .type = FENCER_STATE };

	if (s->looking) {
		s->look_again = true;
		return;
	}
	s->looking = session__ask(s, &request, state_answered) == 0;
}

/* --- reports ---------------------------------------------------------------- */

void session__report(struct session *s)
{
	struct command command = { .type = FSM_CRN_REPORT };
	struct command_crn_report *m = &command.report;
	const struct agent_config *config = &s->agent->config;
	struct machine_offer offer;

	agent_offer(config, &offer);
	m->crn = config->crn_hash;
	m->session = s->id;
	m->vcpus = offer.vcpus;
	m->memory_mib = offer.memory_mib;
	m->disk_mib = offer.disk_mib;
	m->url = (struct text){ config->url, (uint32_t)strlen(config->url) };
	m->token_count = offer.token_count;
	for (uint32_t i = 0; i < offer.token_count; i++)
		m->tokens[i] = (struct text){ offer.tokens[i],
			(uint32_t)strlen(offer.tokens[i]) };
	s->report_ms = clock_monotonic_ms() + REPORT_MS;
	session__tell(s, AGENT_REPORT, s->buffer,
		      agent_command_encode(&command, s->buffer, AGENT_FRAME_SIZE_MAX));
}

void session__heartbeat_heard(struct session *s, uint32_t ms)
{
	s->heartbeat_ms = ms < 50 ? 50 : ms > 10000 ? 10000 : ms;
	link_patience(s->agent->link, 2 * s->heartbeat_ms);
	s->heartbeat_known = true;
}

/* --- heartbeats ------------------------------------------------------------- */

static void beat_send(struct session *s, const struct fencer_answer *a)
{
	struct agent_heartbeat m = {
		.gen = a->gen, .crn = s->agent->config.crn_hash,
		.session = a->session, .seq = a->seq, .applied = a->applied,
		.have = a->have, .got_ack = a->got_ack != 0,
		.clock_ms = a->clock_ms,
	};

	m.runs = calloc(FENCER_RUNS_MAX, sizeof *m.runs);
	if (!m.runs)
		return;
	m.run_max = FENCER_RUNS_MAX;
	m.run_count = runner_statuses(s->agent->runner, m.runs, m.run_max);
	session__tell(s, AGENT_HEARTBEAT, s->buffer,
		      agent_heartbeat_encode(&m, s->buffer, AGENT_FRAME_SIZE_MAX));
	free(m.runs);
}

static void mark_answered(void *ctx, const struct fencer_answer *a,
			  const void *rows, size_t size)
{
	struct session *s = ctx;

	(void)rows;
	(void)size;
	s->marking = false;
	if (!a || s->phase != PHASE_OPEN)
		return;
	if (a->code == FENCER_OK) {
		beat_send(s, a);
	} else {
		log_warn("session", "heartbeat: %s", fencer_code_text(a->code));
		session_look(s);
	}
}

/* Replicas drop heartbeats while nobody leads. Whoever waits for one that does
 * asks more often: what is left of the lease is short by then. */
static uint64_t beat_pause(const struct session *s, uint64_t now)
{
	uint64_t often = s->heartbeat_ms / 4;

	if (now <= s->reply_ms + 2 * s->heartbeat_ms)
		return s->heartbeat_ms;
	return often > 100 ? often : 100;
}

static void beat(struct session *s)
{
	struct fencer_ask request = { .type = FENCER_MARK };

	uint64_t now = clock_monotonic_ms();

	s->beat_ms = now + (s->marking ? 10 : beat_pause(s, now));
	/* Without a link nothing is sent: a mark would be drawn for nothing. */
	if (s->marking || !link_up(s->agent->link))
		return;
	s->marking = session__ask(s, &request, mark_answered) == 0;
}

static void ack_answered(void *ctx, const struct fencer_answer *a,
			 const void *rows, size_t size)
{
	struct session *s = ctx;
	bool first;

	(void)rows;
	(void)size;
	if (!a || s->phase != PHASE_OPEN)
		return;
	if (a->code != FENCER_OK) {
		if (a->code != FENCER_STALE) {
			log_warn("session", "reply: %s",
				 fencer_code_text(a->code));
			session_look(s);
		}
		return;
	}
	session__lease_heard(s, a);
	first = !s->got_ack && a->got_ack;
	s->got_ack = a->got_ack != 0;
	/* A new set, or a new version whose promise is worth telling. */
	if (a->have != s->have || first)
		session_look(s);
	if (a->have != s->have || first)
		session_beat_soon(s);
	s->have = a->have;
	s->version = a->version;
}

/* A restarted agent has missed the acknowledgement that told the pace. Every
 * profile of lease.md 2.6 has ttl_a >= 8 heartbeats. */
static void heartbeat_guess(struct session *s, const uint8_t *payload,
			    size_t size)
{
	struct agent_reply m = { .desired_max = AGENT_DESIRED_MAX };

	m.desired = calloc(AGENT_DESIRED_MAX, sizeof *m.desired);
	if (m.desired && agent_reply_decode(payload, size, &m) == 0)
		session__heartbeat_heard(s, m.ttl_a_ms / 10);
	free(m.desired);
}

static void replied(struct session *s, const uint8_t *payload, size_t size)
{
	struct fencer_ask request = { .type = FENCER_ACK, .data = payload,
				      .size = size };

	if (s->phase != PHASE_OPEN)
		return;
	if (size > FENCER_REPLY_SIZE_MAX) {
		log_error("session", "a reply of %zu bytes is too big", size);
		return;
	}
	s->reply_ms = clock_monotonic_ms();
	if (!s->heartbeat_known)
		heartbeat_guess(s, payload, size);
	if (session__ask(s, &request, ack_answered) != 0)
		log_warn("session", "the fencer takes no reply");
}

void session_beat_soon(struct session *s)
{
	uint64_t soon = clock_monotonic_ms() + 5;

	if (s->phase != PHASE_OPEN)
		return;
	if (s->beat_ms > soon)
		s->beat_ms = soon;
	(void)uv_timer_start(&s->timer, s->timer.timer_cb, 5, TICK_MS);
}

/* --- time --------------------------------------------------------------------- */

static void tick_open(struct session *s, uint64_t now)
{
	uint64_t since = link_since_ms(s->agent->link);
	uint64_t heard = s->reply_ms > since ? s->reply_ms : since;

	if (now >= s->lease_until_ms && now >= s->look_ms) {
		s->look_ms = now + 200;
		session_look(s);
	}
	if (now >= s->beat_ms)
		beat(s);
	if (!link_up(s->agent->link))
		return;
	if (now >= s->report_ms)
		session__report(s);
	if (now > heard + 2 * s->heartbeat_ms + 300) {
		if (!s->rotating)
			log_warn("session", "no acknowledgement for %llu ms: another replica",
				 (unsigned long long)(now - heard));
		s->rotating = true;
		link_rotate(s->agent->link);
	} else if (s->rotating) {
		s->rotating = false;
		link_settle(s->agent->link);
	}
}

static void tick(uv_timer_t *timer)
{
	struct session *s = timer->data;
	uint64_t now = clock_monotonic_ms();

	switch (s->phase) {
	case PHASE_FENCER:
	case PHASE_BINDING:
	case PHASE_ADOPTING:
		break;
	case PHASE_SETTLING:
		if (now >= s->wait_ms)
			session__hello(s);
		break;
	case PHASE_GREETING:
	case PHASE_REGISTERING:
		session__register_tick(s, now);
		break;
	case PHASE_OPEN:
		tick_open(s, now);
		break;
	}
	runner_tick(s->agent->runner, now);
}

/* --- what happens to it --------------------------------------------------------- */

void session_fencer_up(struct session *s)
{
	session_look(s);
}

void session_fencer_down(struct session *s)
{
	s->looking = s->look_again = s->marking = false;
	s->lease_until_ms = 0;
	session__enter(s, PHASE_FENCER);
}

void session_fencer_event(struct session *s)
{
	session_look(s);
	session_beat_soon(s);
}

void session_link_up(struct session *s)
{
	switch (s->phase) {
	case PHASE_GREETING:
		session__greet(s);
		break;
	case PHASE_REGISTERING:
		session__register_send(s);
		break;
	case PHASE_OPEN:
		s->report_ms = 0;
		session_beat_soon(s);
		break;
	case PHASE_FENCER:
	case PHASE_SETTLING:
	case PHASE_BINDING:
	case PHASE_ADOPTING:
		break;
	}
}

void session_frame(struct session *s, uint8_t type, const uint8_t *payload,
		   size_t size)
{
	switch (type) {
	case AGENT_CHALLENGE:
		session__challenged(s, payload, size);
		break;
	case AGENT_REGISTER_ACK:
		session__acknowledged(s, payload, size);
		break;
	case AGENT_REFUSED:
		session__refused(s, payload, size);
		break;
	case AGENT_REPLY:
		replied(s, payload, size);
		break;
	default:
		break;
	}
}

int session_open(struct session **out, struct agent *agent,
		 struct fault *fault)
{
	struct session *s = calloc(1, sizeof *s);

	if (s)
		s->buffer = malloc(AGENT_FRAME_SIZE_MAX);
	if (!s || !s->buffer || uv_timer_init(agent->loop, &s->timer) < 0) {
		free(s ? s->buffer : NULL);
		free(s);
		return fault_set(fault, BERTH_NOMEM, "session");
	}
	s->agent = agent;
	s->timer.data = s;
	s->heartbeat_ms = HEARTBEAT_MS_DEFAULT;
	s->refused_ms = REFUSED_MS_MIN;
	(void)uv_timer_start(&s->timer, tick, TICK_MS, TICK_MS);
	*out = s;
	return 0;
}

static void timer_closed(uv_handle_t *handle)
{
	struct session *s = handle->data;

	free(s->reg);
	free(s->buffer);
	free(s);
}

void session_close(struct session *s)
{
	uv_close((uv_handle_t *)&s->timer, timer_closed);
}
