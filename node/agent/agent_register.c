/* Registration: lease.md R15, R23. HELLO, CHALLENGE, REGISTER, acknowledged. */
#include "node/agent/agent_session_inner.h"

#include <stdlib.h>

#include "node/lib/clock.h"
#include "node/lib/log.h"

#define ANSWER_MS 1500u     /* patience with a HELLO or a REGISTER */
#define REFUSED_MS_MAX 15000u
#define REPORT_MS_FIRST 2000u

static uint32_t backed_off(struct session *s)
{
	uint32_t delay = s->refused_ms;

	s->refused_ms = delay * 2 > REFUSED_MS_MAX ? REFUSED_MS_MAX :
			delay * 2;
	return delay;
}

/* --- registration --------------------------------------------------------- */

void session__greet(struct session *s)
{
	struct agent_hello m = { .gen = s->gen, .boot = s->boot,
				 .crn = s->agent->config.crn_hash };

	memcpy(m.nonce, s->nonce, sizeof m.nonce);
	s->sent_ms = clock_monotonic_ms();
	session__tell(s, AGENT_HELLO, s->buffer,
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
		session__enter(s, PHASE_GREETING);
		session__greet(s);
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

void session__hello(struct session *s)
{
	struct fencer_ask request = { .type = FENCER_HELLO };

	/* Asked again only if no answer came: a client that is down tells. */
	s->wait_ms = UINT64_MAX;
	if (session__ask(s, &request, hello_answered) != 0)
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

void session__register_send(struct session *s)
{
	s->sent_ms = clock_monotonic_ms();
	session__tell(s, AGENT_REGISTER, s->reg, s->reg_size);
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
		session__again(s, backed_off(s));
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
	session__enter(s, PHASE_REGISTERING);
	log_info("session", "registers: generation %llu, previous session %llu, %u held",
		 (unsigned long long)a->gen, (unsigned long long)a->prev,
		 a->held_count);
	session__register_send(s);
}

void session__challenged(struct session *s, const uint8_t *payload, size_t size)
{
	struct fencer_ask request = { .type = FENCER_CHALLENGE,
				      .data = payload, .size = size };
	struct agent_challenge m;

	if (s->phase != PHASE_GREETING ||
	    agent_challenge_decode(payload, size, &m) != 0 ||
	    memcmp(m.nonce, s->nonce, sizeof m.nonce) != 0)
		return;
	session__enter(s, PHASE_BINDING);
	if (session__ask(s, &request, challenge_answered) != 0)
		session__again(s, 200);
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
		session__again(s, backed_off(s));
		return;
	}
	session__opened(s, a);
	session__lease_heard(s, a);
	log_info("session", "session %llu is open, lease %llu ms",
		 (unsigned long long)s->id, (unsigned long long)a->lease_ms);
	session__report(s);
	/* Once more soon: a link may break and take the first with it. */
	s->report_ms = clock_monotonic_ms() + REPORT_MS_FIRST;
	session_beat_soon(s);
	session_look(s);
}

void session__acknowledged(struct session *s, const uint8_t *payload,
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
		session__heartbeat_heard(s, m.heartbeat_ms);
		session__enter(s, PHASE_ADOPTING);
		if (session__ask(s, &request, adopt_answered) != 0)
			session__again(s, 200);
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

void session__refused(struct session *s, const uint8_t *payload, size_t size)
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
		session__again(s, backed_off(s));
	else if (m.of == AGENT_REGISTER && s->phase == PHASE_REGISTERING)
		session__again(s, backed_off(s));
}

void session__register_tick(struct session *s, uint64_t now)
{
	if (!link_up(s->agent->link) || now < s->sent_ms + ANSWER_MS)
		return;
	if (s->phase == PHASE_GREETING && now < s->began_ms + 2 * ANSWER_MS) {
		session__greet(s);
		return;
	}
	log_warn("session", "no answer to a %s: another replica, a fresh nonce",
		 s->phase == PHASE_GREETING ? "hello" : "register");
	link_rotate(s->agent->link);
	session__again(s, 0);
}

