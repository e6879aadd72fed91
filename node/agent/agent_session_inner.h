/* Shared by the files of the session: agent_register.c brings it about,
 * agent_session.c keeps it. */
#ifndef NODE_AGENT_AGENT_SESSION_INNER_H
#define NODE_AGENT_AGENT_SESSION_INNER_H

#include "node/agent/agent.h"

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

#define REFUSED_MS_MIN 500u

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
	bool rotating; /* no acknowledgement for long: another replica is tried */
	uint32_t heartbeat_ms;
	uint64_t beat_ms;      /* when the next heartbeat is due */
	uint64_t reply_ms;     /* when the last reply came */
	uint64_t report_ms;    /* when the next report is due */
	uint64_t look_ms;      /* past the deadline: when to look again */
	uint64_t lease_until_ms; /* monotonic; for the door and for people */
	uint8_t *buffer;       /* AGENT_FRAME_SIZE_MAX bytes to encode in */
};

/* Asks the fencer; `done` gets the session. */
int session__ask(struct session *s, struct fencer_ask *request,
		 fencer_done done);
/* Sends a frame if there is a link. */
void session__tell(struct session *s, uint8_t type, const void *data,
		   size_t size);
void session__enter(struct session *s, enum phase phase);
/* Starts over with a fresh nonce, not before `delay_ms`. */
void session__again(struct session *s, uint32_t delay_ms);
/* The fencer says that the session is open. */
void session__opened(struct session *s, const struct fencer_answer *a);
void session__lease_heard(struct session *s, const struct fencer_answer *a);
void session__heartbeat_heard(struct session *s, uint32_t ms);
void session__report(struct session *s);

/* --- registration ---------------------------------------------------------- */

void session__hello(struct session *s);
/* Says HELLO, or repeats the REGISTER, over a link. */
void session__greet(struct session *s);
void session__register_send(struct session *s);
void session__challenged(struct session *s, const uint8_t *payload,
			 size_t size);
void session__acknowledged(struct session *s, const uint8_t *payload,
			   size_t size);
void session__refused(struct session *s, const uint8_t *payload, size_t size);
/* An answer that does not come. */
void session__register_tick(struct session *s, uint64_t now);

#endif
