#include "node/agent/agent.h"

#include <stdlib.h>

#include "node/agent/runner.h"
#include "node/lib/clock.h"
#include "node/lib/crypto.h"
#include "node/lib/log.h"

#define HEARTBEAT_MS_DEFAULT 500u /* until a replica tells */
#define TICK_MS 50u
#define ANSWER_MS 1500u     /* patience with a HELLO or a REGISTER */
#define REFUSED_MS_MIN 500u
#define REFUSED_MS_MAX 15000u
#define REPORT_MS_FIRST 2000u
#define REPORT_MS 60000u

/* Where the session stands. Each phase waits for one thing. */
enum phase {
	PHASE_FENCER,      /* for the fencer's state */
	PHASE_SETTLING,    /* for a nonce: what ran must be dead first */
	PHASE_GREETING,    /* HELLO sent, for a CHALLENGE */
	PHASE_BINDING,     /* for the fencer to bind the challenge */
	PHASE_REGISTERING, /* REGISTER sent, for its acknowledgement */
	PHASE_ADOPTING,    /* for the fencer to open the session */
	PHASE_OPEN,        /* heartbeats */
};

struct session {
	struct agent *agent;
	uv_timer_t timer;
	enum phase phase;
	uint64_t wait_ms;      /* not before this time: the next attempt */
	uint64_t sent_ms;      /* when HELLO or REGISTER was last sent */
	uint64_t began_ms;     /* when this phase began */
	uint32_t refused_ms;
	uint64_t gen;
	stamp_t id, have, version;
	struct hash host, boot;
	uint8_t nonce[16];
	uint8_t *reg;          /* bytes of the REGISTER, repeated as they are */
	size_t reg_size;
	bool marking, looking, look_again, got_ack, heartbeat_known;
	uint32_t heartbeat_ms;
	uint64_t beat_ms;      /* when the next heartbeat is due */
	uint64_t reply_ms;     /* when the last reply came */
	uint64_t report_ms;    /* when the next report is due */
	uint64_t look_ms;      /* past the deadline: when to look again */
	uint64_t lease_until_ms; /* monotonic; for the door and for people */
	uint8_t *buffer;       /* AGENT_FRAME_SIZE_MAX bytes to encode in */
};

static void hello(struct session *s);

static int ask(struct session *s, struct fencer_ask *request, fencer_done done)
{
	request->done = done;
	request->ctx = s;
	return fencer_client_ask(s->agent->fencer, request);
}

static void tell(struct session *s, uint8_t type, const void *data,
		 size_t size)
{
	int code = link_send(s->agent->link, type, data, size);

	if (code != 0 && code != BERTH_CLOSED)
		log_warn("session", "not sent: %s", berth_error_text(code));
}

static void enter(struct session *s, enum phase phase)
{
	s->phase = phase;
	s->began_ms = clock_monotonic_ms();
}

/* Starts over with a fresh nonce, not before `delay_ms`. */
static void again(struct session *s, uint32_t delay_ms)
{
	s->id = 0;
	s->got_ack = false;
	s->lease_until_ms = 0;
	enter(s, PHASE_SETTLING);
	s->wait_ms = s->began_ms + delay_ms;
}

static uint32_t backed_off(struct session *s)
{
	uint32_t delay = s->refused_ms;

	s->refused_ms = delay * 2 > REFUSED_MS_MAX ? REFUSED_MS_MAX :
			delay * 2;
	return delay;
}

static void lease_heard(struct session *s, const struct fencer_answer *a)
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

static void opened(struct session *s, const struct fencer_answer *a)
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
	enter(s, PHASE_OPEN);
}

static void state_taken(struct session *s, const struct fencer_answer *a,
			const void *rows, size_t size)
{
	s->host = a->host;
	s->boot = a->boot;
	lease_heard(s, a);
	if (size >= a->run_count * sizeof(struct fencer_run))
		runner_state(s->agent->runner, rows, a->run_count,
			     a->session != 0);
	if (a->session == 0) {
		if (s->phase == PHASE_OPEN || s->phase == PHASE_FENCER) {
			if (s->phase == PHASE_OPEN)
				log_warn("session", "the session is over");
			again(s, 0);
		}
	} else if (s->phase != PHASE_OPEN || s->id != a->session) {
		log_info("session", "goes on in session %llu",
			 (unsigned long long)a->session);
		opened(s, a);
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
	s->looking = ask(s, &request, state_answered) == 0;
}

/* --- registration --------------------------------------------------------- */

static void greet(struct session *s)
{
	struct agent_hello m = { .gen = s->gen, .boot = s->boot,
				 .crn = s->agent->config.crn_hash };

	memcpy(m.nonce, s->nonce, sizeof m.nonce);
	s->sent_ms = clock_monotonic_ms();
	tell(s, AGENT_HELLO, s->buffer,
	     agent_hello_encode(&m, s->buffer, AGENT_FRAME_SIZE_MAX));
}

static void hello_answered(void *ctx, const struct fencer_answer *a,
			   const void *rows, size_t size)
{
	struct session *s = ctx;

	(void)rows;
	(void)size;
	if (!a || s->phase != PHASE_SETTLING)
		return;
	switch (a->code) {
	case FENCER_OK:
		s->gen = a->gen;
		s->host = a->host;
		s->boot = a->boot;
		memcpy(s->nonce, a->nonce, sizeof s->nonce);
		enter(s, PHASE_GREETING);
		greet(s);
		break;
	case FENCER_HAS_SESSION:
		session_look(s);
		s->wait_ms = clock_monotonic_ms() + 200;
		break;
	case FENCER_NOT_DEAD:
		s->wait_ms = clock_monotonic_ms() + 100;
		break;
	default:
		log_warn("session", "hello: %s", fencer_code_text(a->code));
		s->wait_ms = clock_monotonic_ms() + backed_off(s);
	}
}

static void hello(struct session *s)
{
	struct fencer_ask request = { .type = FENCER_HELLO };

	/* Asked again only if no answer came: a client that is down tells. */
	s->wait_ms = UINT64_MAX;
	if (ask(s, &request, hello_answered) != 0)
		s->wait_ms = clock_monotonic_ms() + 200;
}

static void register_build(struct session *s, const struct fencer_answer *a,
			   const struct held_row *rows,
			   struct command *command)
{
	struct command_register *reg = &command->reg;

	*command = (struct command){ .type = FSM_REGISTER };
	reg->gen = a->gen;
	reg->crn = s->agent->config.crn_hash;
	reg->host = a->host;
	reg->boot = a->boot;
	reg->prev = a->prev;
	memcpy(reg->nonce, a->nonce, sizeof reg->nonce);
	reg->k_ms = a->k_ms;
	reg->watchdog = (enum crn_watchdog)a->watchdog;
	reg->class = (enum crn_class)a->class;
	reg->unfenced_reason = (struct text){ a->unfenced_reason,
		(uint32_t)strnlen(a->unfenced_reason,
				  sizeof a->unfenced_reason) };
	reg->held_count = a->held_count;
	reg->held = rows;
}

static void register_send(struct session *s)
{
	s->sent_ms = clock_monotonic_ms();
	tell(s, AGENT_REGISTER, s->reg, s->reg_size);
}

static void challenge_answered(void *ctx, const struct fencer_answer *a,
			       const void *rows, size_t size)
{
	struct session *s = ctx;
	struct command command;
	uint8_t *bytes;

	if (!a || s->phase != PHASE_BINDING)
		return;
	if (a->code != FENCER_OK ||
	    size < a->held_count * sizeof(struct held_row)) {
		log_warn("session", "challenge: %s", fencer_code_text(a->code));
		again(s, backed_off(s));
		return;
	}
	register_build(s, a, rows, &command);
	s->gen = a->gen;
	s->reg_size = agent_command_encode(&command, s->buffer,
					   AGENT_FRAME_SIZE_MAX);
	bytes = realloc(s->reg, s->reg_size + 1);
	REQUIRE(s->reg_size > 0 && bytes);
	s->reg = bytes;
	memcpy(s->reg, s->buffer, s->reg_size);
	enter(s, PHASE_REGISTERING);
	log_info("session", "registers: generation %llu, previous session %llu, %u held",
		 (unsigned long long)a->gen, (unsigned long long)a->prev,
		 a->held_count);
	register_send(s);
}

static void challenged(struct session *s, const uint8_t *payload, size_t size)
{
	struct fencer_ask request = { .type = FENCER_CHALLENGE,
				      .data = payload, .size = size };
	struct agent_challenge m;

	if (s->phase != PHASE_GREETING ||
	    agent_challenge_decode(payload, size, &m) != 0 ||
	    memcmp(m.nonce, s->nonce, sizeof m.nonce) != 0)
		return;
	enter(s, PHASE_BINDING);
	if (ask(s, &request, challenge_answered) != 0)
		again(s, 200);
}

/* --- reports ---------------------------------------------------------------- */

static void report(struct session *s)
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
	tell(s, AGENT_REPORT, s->buffer,
	     agent_command_encode(&command, s->buffer, AGENT_FRAME_SIZE_MAX));
}

static void adopt_answered(void *ctx, const struct fencer_answer *a,
			   const void *rows, size_t size)
{
	struct session *s = ctx;

	(void)rows;
	(void)size;
	if (!a || s->phase != PHASE_ADOPTING)
		return;
	if (a->code != FENCER_OK) {
		log_warn("session", "adopt: %s", fencer_code_text(a->code));
		again(s, backed_off(s));
		return;
	}
	opened(s, a);
	lease_heard(s, a);
	log_info("session", "session %llu is open, lease %llu ms",
		 (unsigned long long)s->id, (unsigned long long)a->lease_ms);
	report(s);
	/* Once more soon: a link may break and take the first with it. */
	s->report_ms = clock_monotonic_ms() + REPORT_MS_FIRST;
	session_beat_soon(s);
	session_look(s);
}

static void heartbeat_heard(struct session *s, uint32_t ms)
{
	s->heartbeat_ms = ms < 50 ? 50 : ms > 10000 ? 10000 : ms;
	s->heartbeat_known = true;
}

static void acknowledged(struct session *s, const uint8_t *payload,
			 size_t size)
{
	struct fencer_ask request = { .type = FENCER_ADOPT, .data = payload,
				      .size = size };
	struct agent_register_ack m = { .kept_max = FSM_HELD_MAX };

	if (s->phase != PHASE_REGISTERING)
		return;
	m.kept = calloc(FSM_HELD_MAX, sizeof *m.kept);
	if (m.kept && agent_register_ack_decode(payload, size, &m) == 0 &&
	    memcmp(m.nonce, s->nonce, sizeof m.nonce) == 0) {
		heartbeat_heard(s, m.heartbeat_ms);
		enter(s, PHASE_ADOPTING);
		if (ask(s, &request, adopt_answered) != 0)
			again(s, 200);
	}
	free(m.kept);
}

static const char *frame_name(uint8_t type)
{
	switch (type) {
	case AGENT_HELLO: return "hello";
	case AGENT_REGISTER: return "register";
	case AGENT_HEARTBEAT: return "heartbeat";
	case AGENT_REPORT: return "report";
	default: return "frame";
	}
}

static void refused(struct session *s, const uint8_t *payload, size_t size)
{
	struct agent_refused m;

	if (agent_refused_decode(payload, size, &m) != 0)
		return;
	/* A refusal of an earlier attempt says nothing about this one. */
	if ((m.of == AGENT_HELLO || m.of == AGENT_REGISTER) &&
	    (s->phase == PHASE_OPEN ||
	     memcmp(m.nonce, s->nonce, sizeof m.nonce) != 0))
		return;
	log_warn("session", "%s refused: %.*s", frame_name(m.of),
		 (int)m.message.size, m.message.data);
	if (m.of == AGENT_HELLO && s->phase == PHASE_GREETING)
		again(s, backed_off(s));
	else if (m.of == AGENT_REGISTER && s->phase == PHASE_REGISTERING)
		again(s, backed_off(s));
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
	tell(s, AGENT_HEARTBEAT, s->buffer,
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

static void beat(struct session *s)
{
	struct fencer_ask request = { .type = FENCER_MARK };

	uint64_t now = clock_monotonic_ms();

	s->beat_ms = now + (s->marking ? 10 : s->heartbeat_ms);
	/* Without a link nothing is sent: a mark would be drawn for nothing. */
	if (s->marking || !link_up(s->agent->link))
		return;
	s->marking = ask(s, &request, mark_answered) == 0;
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
	lease_heard(s, a);
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
		heartbeat_heard(s, m.ttl_a_ms / 10);
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
	if (ask(s, &request, ack_answered) != 0)
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

static void tick_register(struct session *s, uint64_t now)
{
	if (!link_up(s->agent->link) || now < s->sent_ms + ANSWER_MS)
		return;
	if (s->phase == PHASE_GREETING && now < s->began_ms + 2 * ANSWER_MS) {
		greet(s);
		return;
	}
	log_warn("session", "no answer to a %s: another replica, a fresh nonce",
		 s->phase == PHASE_GREETING ? "hello" : "register");
	link_rotate(s->agent->link, "no answer");
	again(s, 0);
}

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
		report(s);
	if (now > heard + 2 * s->heartbeat_ms + 300) {
		log_warn("session", "no acknowledgement for %llu ms: another replica",
			 (unsigned long long)(now - heard));
		link_rotate(s->agent->link, "no acknowledgement");
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
			hello(s);
		break;
	case PHASE_GREETING:
	case PHASE_REGISTERING:
		tick_register(s, now);
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
	enter(s, PHASE_FENCER);
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
		greet(s);
		break;
	case PHASE_REGISTERING:
		register_send(s);
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
		challenged(s, payload, size);
		break;
	case AGENT_REGISTER_ACK:
		acknowledged(s, payload, size);
		break;
	case AGENT_REFUSED:
		refused(s, payload, size);
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
