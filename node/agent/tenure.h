/* The lease core of a CRN, pure: takes `now`, says what must be done.
 *
 * The fencer drives it and does what it says; the simulator drives the very
 * same code. No clock, heap, I/O. Rules R9 to R15, R23 of lease.md; where 2.6
 * is more exact, it wins.
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
};

struct tenure {
	struct hash crn, host, boot;
	uint64_t gen;
	stamp_t session, version, have, prev_max;
	uint64_t deadline_ms, seq;
	bool lease, got_ack, fencing, nonce_drawn, nonce_bound;
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

/* R10: at or past the deadline the session ends. True when fencing begins
 * now: the caller shuts the gate and kills each run with hold = 0. */
bool tenure_tick(struct tenure *t, uint64_t now_ms);
uint64_t tenure_deadline(const struct tenure *t); /* 0: none */
/* The lease is over (goodbye, or a fault): same as passing the deadline. */
void tenure_end(struct tenure *t);

/* Registration (R15, R23). hello needs no session and no live run without
 * hold; draws `nonce` (given, random) and held[]. */
enum fencer_code tenure_hello(struct tenure *t, const uint8_t nonce[16]);
enum fencer_code tenure_challenge(struct tenure *t,
				  const struct agent_challenge *m);
/* Opens the session: deadline = t_send of the Register + ttl_a. The caller
 * kills each held run that is not in kept[], before the first heartbeat. */
void tenure_register_mark(struct tenure *t, uint64_t now_ms);
enum fencer_code tenure_adopt(struct tenure *t, uint64_t now_ms,
			      const struct agent_register_ack *m);

/* A heartbeat: seq and t_send (R10), applied (R14). */
enum fencer_code tenure_mark(struct tenure *t, uint64_t now_ms, uint64_t *seq);
stamp_t tenure_applied(const struct tenure *t);
/* A reply (R10, R12, R13, 2.6 "Desired sets"). Sets *took when a desired set
 * was taken: the caller stops the runs that tenure_wanted refuses. */
enum fencer_code tenure_reply(struct tenure *t, uint64_t now_ms,
			      const struct agent_reply *m, bool *took);
bool tenure_wanted(const struct tenure *t, const struct tenure_run *run);

/* The gate of R11, in one step with the creation that follows it. OK: the run
 * is entered as QUEUED and *run points to it. */
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
