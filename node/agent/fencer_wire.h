/* What berth-agent and berth-fencer say: fixed-size messages over a
 * SOCK_SEQPACKET Unix socket, peer credentials checked (same uid or root).
 *
 * The agent asks, the fencer answers each request with one ANSWER, except that
 * it sends EVENT by itself when a run ends or the session does. Only the fencer
 * extends the deadline, starts and kills (lease.md R9 to R14, 2.6). One agent
 * at a time; its death kills no program and ends no session.
 */
#ifndef NODE_AGENT_FENCER_WIRE_H
#define NODE_AGENT_FENCER_WIRE_H

#include "node/lib/agent_wire.h"

#ifndef FENCER_RUNS_MAX /* the simulator's machines never hold as many */
#define FENCER_RUNS_MAX 1024
#define FENCER_RUNS_ALL
#endif
#define FENCER_REPLY_SIZE_MAX (256u << 10) /* bytes of a Reply or Ack */
#define FENCER_HELD_MAX FENCER_RUNS_MAX
/* A set with more rows than these would be refused whole, and with it the
 * acknowledgement that it came with. */
#ifdef FENCER_RUNS_ALL
_Static_assert(FENCER_RUNS_MAX >= FSM_CRN_PROGRAMS_MAX, "a slot each");
#endif

enum fencer_request_type {
	FENCER_STATE = 1, /* who are you, what runs: answer + rows */
	FENCER_HELLO,     /* settle everything dead that must be; draw a nonce */
	FENCER_CHALLENGE, /* bytes of a Challenge: binds prev; gives a Register */
	FENCER_ADOPT,     /* bytes of a RegisterAck: opens the session */
	FENCER_MARK,      /* draw seq, read t_send: then send the heartbeat */
	FENCER_ACK,       /* bytes of a Reply: extends, takes the desired set */
	FENCER_START,     /* program, epoch; descriptors: spec, log, [netns] */
	FENCER_STOP,      /* program, epoch: wish; politely, then by force */
	FENCER_CLOSE,     /* end the session: stop everything with hold = 0 */
};

/* Long bytes (replies) travel in a memfd whose descriptor comes along. */
struct fencer_request {
	uint32_t type, size; /* size of the bytes in the memfd, if any */
	uint64_t cookie;     /* echoed */
	struct hash program;
	uint64_t gen;
	stamp_t epoch;
	uint32_t grace_ms;   /* STOP: polite time */
	uint32_t pad;
};

enum fencer_code {
	FENCER_OK = 0,
	FENCER_BAD_REQUEST,
	FENCER_NO_SESSION,
	FENCER_HAS_SESSION,
	FENCER_NOT_DEAD,      /* something earlier still runs: try again soon */
	FENCER_STALE,         /* other gen, session, nonce or seq: ignored */
	FENCER_PAST_DEADLINE,
	FENCER_NOT_DESIRED,   /* (program, epoch) not in the current set */
	FENCER_RUNNING,       /* it runs already */
	FENCER_FULL,
	FENCER_FAILED,        /* the world's: see error */
};
const char *fencer_code_text(enum fencer_code code);

struct fencer_answer {
	uint32_t type, code; /* type of the request, or FENCER_EVENT */
	uint64_t cookie;
	int32_t error;       /* errno with FENCER_FAILED */
	uint32_t run_count;  /* STATE: rows in the memfd that comes along */
	uint64_t gen;
	stamp_t session, version, applied, have;
	uint64_t seq;        /* MARK: of this heartbeat */
	uint64_t lease_ms;   /* what is left until the deadline; 0: none */
	uint64_t clock_ms;   /* the agent's lease clock */
	uint8_t nonce[16];
	struct hash host, boot;
	stamp_t prev;        /* CHALLENGE */
	uint32_t held_count; /* CHALLENGE: held rows in the memfd */
	uint32_t k_ms, watchdog, class;
	uint8_t got_ack, pad[7];
	char unfenced_reason[128];
};

#define FENCER_EVENT 100u

/* Rows of STATE. desired: in the current set; the agent prepares and then
 * asks START for the desired rows that do not run. */
struct fencer_run {
	struct hash program, lineage;
	uint64_t gen;
	stamp_t epoch;
	uint64_t code_revision;
	uint32_t vcpus;
	uint32_t pid;         /* of the program as seen here; 0: not yet known */
	uint64_t memory_mib, disk_mib;
	/* running: from START until all of it is verified dead */
	uint8_t desired, running, stopping, hold, unknown, pad[3];
	int32_t exit_status;  /* wait status of the last end, if ended; 125: it
			       * was never let go, 127: exec failed (its log) */
	uint32_t ended;       /* how often, in this epoch */
};

/* The spec that START carries (a sealed memfd), read by the child alone: */
#define RUN_SPEC_SIZE_MAX (256u << 10)
struct run_spec_head {
	char magic[8];          /* "BRTHRUN1" */
	uint32_t argc, envc;    /* then argc + envc NUL-ended strings */
	uint32_t strings_size;
	uint32_t memory_mib;    /* cgroup limits where there are any; 0: none */
	uint32_t cpu_milli;     /* 1000 = one core */
	uint32_t pids_max;
	uint32_t uid, gid;      /* after the cgroup, before exec; 0: stay */
	uint32_t stop_ms;       /* polite stop */
};

#endif
