/* What agents and replicas say to each other, inside berth-agent/1 frames.
 *
 * Payloads are msgpack arrays, decoded with bounds and without allocation:
 * arrays are filled into what the caller gives. The relay carries the same
 * bytes unread. Rules: lease.md 2.2, 2.6. Requests go up, answers down.
 */
#ifndef NODE_LIB_AGENT_WIRE_H
#define NODE_LIB_AGENT_WIRE_H

#include "fsm/fsm.h"

#define AGENT_FRAME_SIZE_MAX (2u << 20)
#define AGENT_DESIRED_MAX 4096
#define AGENT_STATUS_MAX 4096

enum agent_frame {
	AGENT_HELLO = 1,     /* up: gen, crn, nonce, boot */
	AGENT_CHALLENGE,     /* down: gen, nonce, current session */
	AGENT_REGISTER,      /* up: a command_register */
	AGENT_REGISTER_ACK,  /* down: gen, nonce, session, ttl_a, kept[] */
	AGENT_REFUSED,       /* down: of what, fsm_refusal or other, sentence */
	AGENT_HEARTBEAT,     /* up */
	AGENT_REPLY,         /* down */
	AGENT_REPORT,        /* up: a command_crn_report */
	AGENT_REPLICAS = 10, /* down, from whichever replica: all addresses */
	AGENT_CONTENT_GET,   /* up: request id, item hash */
	AGENT_CONTENT,       /* down: request id, found, item_content */
	AGENT_LOG_GET,       /* down: request id, program, offset from the end */
	AGENT_LOG,           /* up: request id, code, bytes */
};

/* HELLO, HEARTBEAT, REGISTER and REPORT are for the leader: a follower relays
 * them. CONTENT and REPLICAS are answered by the replica that owns the link. */

enum run_status { RUN_PREPARING = 1, RUN_STARTING, RUN_RUNNING, RUN_BACKOFF,
		  RUN_FAILED, RUN_STOPPING };
const char *run_status_name(enum run_status status);

struct agent_hello {
	uint64_t gen;
	struct hash crn, boot;
	uint8_t nonce[16];
};
struct agent_challenge {
	uint64_t gen;
	uint8_t nonce[16];
	stamp_t session; /* current one of this CRN, 0 if none */
};
struct agent_register_ack {
	uint64_t gen;
	uint8_t nonce[16];
	stamp_t session;
	uint32_t ttl_a_ms, heartbeat_ms;
	uint32_t kept_count;
	struct hash *kept; /* decode: room for kept_max */
	uint32_t kept_max;
};
struct agent_refused {
	uint8_t of; /* enum agent_frame */
	uint32_t refusal;
	uint8_t nonce[16];
	struct text message;
};
struct agent_run {
	struct hash program;
	uint64_t gen;
	stamp_t epoch;
	enum run_status status;
	uint32_t failures;
	struct text reason; /* with BACKOFF and FAILED; at most FSM_TEXT_SIZE_MAX */
};
struct agent_heartbeat {
	uint64_t gen;
	struct hash crn;
	stamp_t session;
	uint64_t seq;
	stamp_t applied, have;
	bool got_ack;
	uint64_t clock_ms; /* the agent's own lease clock, for the alarm of H38 */
	uint32_t run_count;
	struct agent_run *runs; /* decode: room for run_max */
	uint32_t run_max;
};
struct agent_reply {
	uint64_t gen;
	stamp_t session;
	uint64_t ack_seq;
	uint32_t ttl_a_ms;
	stamp_t version, changed;
	bool has_desired;
	uint32_t desired_count;
	struct desired_row *desired; /* decode: room for desired_max */
	uint32_t desired_max;
};
struct agent_replicas {
	uint64_t leader; /* 0: unknown */
	uint32_t count;
	struct { uint64_t id; char address[64]; } rows[9]; /* "host:port" */
};

/* Encoders return the size, or 0 if `size_max` is too small. Decoders return 0
 * or MALFORMED, TOOBIG; texts are borrowed from the payload. */
size_t agent_hello_encode(const struct agent_hello *m, uint8_t *data,
			  size_t size_max);
MUST_CHECK int agent_hello_decode(const uint8_t *data, size_t size,
				  struct agent_hello *out);
size_t agent_challenge_encode(const struct agent_challenge *m, uint8_t *data,
			      size_t size_max);
MUST_CHECK int agent_challenge_decode(const uint8_t *data, size_t size,
				      struct agent_challenge *out);
/* REGISTER and REPORT payloads are the command's own encoding (command.h). */
size_t agent_command_encode(const struct command *command, uint8_t *data,
			    size_t size_max);
MUST_CHECK int agent_command_decode(struct command_cursor *cursor,
				    const uint8_t *data, size_t size,
				    struct command *out);
size_t agent_register_ack_encode(const struct agent_register_ack *m,
				 uint8_t *data, size_t size_max);
MUST_CHECK int agent_register_ack_decode(const uint8_t *data, size_t size,
					 struct agent_register_ack *out);
size_t agent_refused_encode(const struct agent_refused *m, uint8_t *data,
			    size_t size_max);
MUST_CHECK int agent_refused_decode(const uint8_t *data, size_t size,
				    struct agent_refused *out);
size_t agent_heartbeat_encode(const struct agent_heartbeat *m, uint8_t *data,
			      size_t size_max);
MUST_CHECK int agent_heartbeat_decode(const uint8_t *data, size_t size,
				      struct agent_heartbeat *out);
size_t agent_reply_encode(const struct agent_reply *m, uint8_t *data,
			  size_t size_max);
MUST_CHECK int agent_reply_decode(const uint8_t *data, size_t size,
				  struct agent_reply *out);
size_t agent_replicas_encode(const struct agent_replicas *m, uint8_t *data,
			     size_t size_max);
MUST_CHECK int agent_replicas_decode(const uint8_t *data, size_t size,
				     struct agent_replicas *out);

/* CONTENT_GET and LOG_GET: a number, a hash, a number. CONTENT and LOG: a
 * number, a code (enum berth_error), bytes. */
struct agent_ask {
	uint64_t id;
	struct hash program;
	uint64_t tail_size; /* LOG_GET: how many bytes from the end */
};
struct agent_answer {
	uint64_t id;
	int code;
	const uint8_t *data;
	size_t size;
};
size_t agent_ask_encode(const struct agent_ask *m, uint8_t *data,
			size_t size_max);
MUST_CHECK int agent_ask_decode(const uint8_t *data, size_t size,
				struct agent_ask *out);
size_t agent_answer_encode(const struct agent_answer *m, uint8_t *data,
			   size_t size_max);
MUST_CHECK int agent_answer_decode(const uint8_t *data, size_t size,
				   struct agent_answer *out);

#endif
