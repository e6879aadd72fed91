/* The lease core of a CRN, pure: takes `now`, says what must be done.
 *
 * The fencer drives it and does what it says; the simulator drives the very
 * same code. No clock, heap, I/O. Rules R9 to R15, R23 of lease.md; where 2.6
 * is more exact, it wins. Times are ms of the agent's lease clock (clock.h).
 *
 * A row of runs[] stands for something that may execute: it is there before
 * the creation and goes away only by tenure_dead, when death was verified.
 * R8's "a session with no acknowledgement is closed" needs no rule of its own:
 * without one the deadline of the Register passes.
 */
#ifndef NODE_AGENT_TENURE_H
#define NODE_AGENT_TENURE_H

#include "node/agent/fencer_wire.h"

#define TENURE_MARKS_MAX 64 /* heartbeats whose acknowledgement may yet count */

enum tenure_run_state { TENURE_RUN_NONE = 0, TENURE_RUN_QUEUED,
			TENURE_RUN_LIVE, TENURE_RUN_STOPPING,
			TENURE_RUN_UNKNOWN };

struct tenure_run {
	enum tenure_run_state state;
	struct hash program, lineage;
	uint64_t gen;
	stamp_t epoch;
	bool hold;
	bool condemned; /* held, but not in kept[]: dies before a heartbeat */
};

struct tenure {
	struct hash crn, host, boot;
	uint64_t gen;
	stamp_t session, version, have;
	stamp_t prev_max; /* the largest prev sent, of this gen and boot */
	stamp_t applied;  /* R14 */
	uint64_t deadline_ms, seq;
	uint64_t register_ms; /* t_send of the Register */
	bool register_marked;
	bool lease, got_ack;
	bool fencing; /* the session ended, a run with hold = 0 may live */
	bool nonce_drawn, nonce_bound;
	bool set_taken; /* a full desired set of this session was taken */
	uint8_t nonce[16];
	stamp_t prev;
	struct { uint64_t seq, t_send_ms; } marks[TENURE_MARKS_MAX];
	uint32_t run_count, desired_count, held_count;
	struct tenure_run runs[FENCER_RUNS_MAX];
	struct desired_row desired[FENCER_RUNS_MAX];
	struct held_row held[FENCER_HELD_MAX];
};

void tenure_init(struct tenure *t, const struct hash *crn,
		 const struct hash *host, const struct hash *boot,
		 uint64_t gen);

/* A run that an earlier fencer left, found at start; it takes runs[at]. */
struct tenure_run *tenure_found(struct tenure *t, uint32_t at,
				const struct tenure_run *run);

/* R10: at or past the deadline the session ends. True when fencing begins
 * now: the caller shuts the gate and kills each run with hold = 0. */
bool tenure_tick(struct tenure *t, uint64_t now_ms);
uint64_t tenure_deadline(const struct tenure *t); /* 0: none */
/* The lease is over (goodbye, or a fault): same as passing the deadline. */
void tenure_end(struct tenure *t);

/* Registration (R15, R23). hello needs no session and no live run without
 * hold; draws `nonce` (given, random) and held[]. Errors: HAS_SESSION,
 * NOT_DEAD. */
enum fencer_code tenure_hello(struct tenure *t, const uint8_t nonce[16]);
/* Binds the nonce to this prev, host, boot, held[], and takes a higher gen.
 * Errors: STALE (another nonce, a second Challenge, a lower gen). */
enum fencer_code tenure_challenge(struct tenure *t,
				  const struct agent_challenge *m);
/* t_send of the Register: called once it is bound and before it is sent. A
 * retransmission repeats the bytes and keeps the first time. */
void tenure_register_mark(struct tenure *t, uint64_t now_ms);
/* Opens the session: deadline = t_send of the Register + ttl_a. The caller
 * kills each run that is now condemned; no heartbeat goes out before they are
 * dead. Errors: STALE, PAST_DEADLINE (came too late: a new Hello is needed). */
enum fencer_code tenure_adopt(struct tenure *t, uint64_t now_ms,
			      const struct agent_register_ack *m);

/* A heartbeat: seq and t_send (R10), applied (R14). Errors: NO_SESSION,
 * PAST_DEADLINE, NOT_DEAD (a condemned run). */
enum fencer_code tenure_mark(struct tenure *t, uint64_t now_ms, uint64_t *seq);
stamp_t tenure_applied(const struct tenure *t);
/* A reply (R10, R12, R13, 2.6 "Desired sets"). Sets *took when a desired set
 * was taken: the caller stops the runs that tenure_wanted refuses, and cancels
 * the queued ones among them by tenure_dead. Errors: STALE, PAST_DEADLINE,
 * FULL (more rows than runs are possible: nothing of it counts). */
enum fencer_code tenure_reply(struct tenure *t, uint64_t now_ms,
			      const struct agent_reply *m, bool *took);
bool tenure_wanted(const struct tenure *t, const struct tenure_run *run);

/* The gate of R11, in one step with the creation that follows it. OK: the run
 * is entered as QUEUED and *run points to it. Errors: NO_SESSION,
 * PAST_DEADLINE, NOT_DESIRED, RUNNING, NOT_DEAD (another epoch of it, or
 * another program of its lineage, is not dead), FULL. */
enum fencer_code tenure_gate(struct tenure *t, uint64_t now_ms,
			     const struct hash *program, uint64_t gen,
			     stamp_t epoch, struct tenure_run **run);
void tenure_started(struct tenure *t, struct tenure_run *run);
void tenure_stopping(struct tenure *t, struct tenure_run *run);
/* The run is verified dead; its row is free again. */
void tenure_dead(struct tenure *t, struct tenure_run *run);
struct tenure_run *tenure_find(struct tenure *t, const struct hash *program,
			       uint64_t gen, stamp_t epoch);
/* R9: may the watchdog be petted? */
bool tenure_may_pet(const struct tenure *t, uint64_t now_ms);

#endif
