/* An explicit-state model of the lease protocol: states, options, mutants.
 *
 * Nothing of the shipped code is used here; the names of the steps are those
 * of fsm commands and tenure calls. Time is relative to now, stamps only have
 * an order, so the state spaces are finite without a bound on time. Read
 * README.md first, then step.c.
 */
#ifndef TESTS_MODEL_MODEL_H
#define TESTS_MODEL_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Narrow, to be exhausted; wide, in milliseconds and the code's own stamps,
 * to follow what the simulator did (trace/). */
#ifdef MODEL_WIDE
typedef uint64_t num;
#define MACHINES 256
#define CRNS 64
#define PROGRAMS 256
#define NO_ACK UINT64_MAX
#else
typedef uint8_t num;
#define MACHINES 2
#define CRNS 2
#define PROGRAMS 2
#define NO_ACK 15
#endif
#define BEATS_MAX 2
#define SLOTS_MAX 2

enum program_state { FREE, ASSIGNED, REVOKING, LOST };
enum run_state { NONE, QUEUED, LIVE, UNKNOWN };

/* --- the replicated state ------------------------------------------------ */

struct program {
	num state, crn, session, gen, epoch, v_rev;
	num hold;      /* of the epoch */
	num guarantee; /* of the program: 1 is exclusive-hold */
	num host, lost, superseded, there;
};
struct crn {
	num session, alive, established, exp_in, boot, nonce, changed;
	num surveyed, survey_host, survey_session;
};
struct fsm {
	num gen, config, quar_in, version; /* version: of this very state */
	struct crn crns[CRNS];
	struct program programs[PROGRAMS];
};

/* --- messages ------------------------------------------------------------ */

struct heartbeat {
	num there, gen, session, age, applied, got_ack;
};
struct reply {
	num there, gen, session, ack, config, version, changed, full;
	num epoch[PROGRAMS], epoch_gen[PROGRAMS], hold[PROGRAMS];
};
struct challenge {
	num there, gen, nonce, session;
};
struct held {
	num state, gen, epoch;
};
struct registration {
	num there, gen, nonce, prev, boot;
	struct held held[PROGRAMS];
};
struct kept { /* a bit a program */
	num bits[(PROGRAMS + 7) / 8];
};
struct register_ack {
	num there, gen, nonce, session, config;
	struct kept kept;
};
struct net { /* of one CRN's name: a copied machine hears it as well */
	struct heartbeat heartbeats[SLOTS_MAX];
	struct reply replies[SLOTS_MAX];
	struct challenge challenges[SLOTS_MAX];
	struct registration registrations[SLOTS_MAX];
	struct register_ack acks[SLOTS_MAX];
};

/* --- the leader, and what is left of each kind of event ------------------- */

struct beat {
	num there, dt;
	struct heartbeat renewals[CRNS];
};
enum budget { B_HELLO, B_ASSIGN, B_REVOKE, B_ELECT, B_CRASH, B_REBOOT,
	      B_CONTAINER, B_OFF, B_BACKUP, B_NEW_GEN, B_CONFIG, B_PUT,
	      B_GUARANTEE, B_PAUSE, B_COUNT };
struct leader {
	num since;  /* clock since the anchor (R4), at most dt_max */
	num zombie; /* the same of a deposed leader; mutants only */
	num rest;   /* drift: ticks until the clock may run fast again */
	num expire[CRNS]; /* Expire in flight; mutants only */
	num confirm_there, confirm_crn, confirm_session, confirm_all;
	struct beat beats[BEATS_MAX]; /* proposed, not committed, in order */
	num budget[B_COUNT];
};

/* --- a machine: fencer, agent, runs --------------------------------------- */

struct run {
	num state, gen, epoch, hold, condemned;
};
struct machine {
	num off, paused, boot, gen, session, version, have, applied, prev_max;
	num left; /* ticks of its clock until the deadline */
	num kill; /* real ticks until each run with hold = 0 is dead */
	num nonce, bound, prev, register_age, got_ack, set_taken, rest;
	num epoch[PROGRAMS], epoch_gen[PROGRAMS], epoch_hold[PROGRAMS];
	struct held held[PROGRAMS];
	struct run runs[PROGRAMS];
};

struct state {
	struct fsm fsm;
	struct leader leader;
	struct machine machines[MACHINES];
	struct net nets[CRNS];
	struct fsm backup;
};

/* --- configurations ------------------------------------------------------ */

enum start { COLD, IDLE, RUNNING, ORPHAN, MOVED };
struct options {
	const char *name, *about;
	enum start start;
	num ttl_a, ttl_s, k, dt_max;
	num programs, guarantee[PROGRAMS];
	bool lineage;   /* both programs are of one lineage */
	bool clone;     /* both machines bear one CRN's name */
	bool alone;     /* CRN B is not there: A and the state against I2 */
	bool no_holds;  /* the operator's word at NewGen */
	bool deltas;    /* replies that omit the set */
	bool keep;      /* any message may be delivered again */
	bool gens;      /* a restore: stamps rewind, so they are absolute */
	num beats, slots; /* Beats in flight; messages of a kind and CRN */
	num drift;       /* a clock errs by one tick in so many; 0: rescaled */
	num budget[B_COUNT];
	num config_ttl_a, config_ttl_s; /* after Config */
};

#define MUTANTS(X)                                                         \
	X(NONE_AT_ALL, "none", "-", "")                                    \
	X(K_LEFT_OUT, "k_left_out", "A3 2.5", "ttl_s without K")           \
	X(TTL_S_SHORT, "ttl_s_short", "2.5", "ttl_s one tick short")       \
	X(KILL_SLOW, "kill_slow", "A3", "the kill takes K + 1")            \
	X(NO_VERSION_TEST, "no_version_test", "R13",                       \
	  "a set is taken whatever its version")                           \
	X(VERSION_FORGOTTEN, "version_forgotten", "R13",                   \
	  "the fencer forgets the version inside a session")               \
	X(REVOKE_FREES, "revoke_frees", "R16a",                            \
	  "a Revoke frees without confirmation")                           \
	X(APPLIED_EARLY, "applied_early", "R14",                           \
	  "applied is told before the run is dead")                        \
	X(APPLIED_SESSION, "applied_session", "R14",                       \
	  "applied is the session id after adoption")                      \
	X(QUEUED_SURVIVES, "queued_survives", "R13 R14",                   \
	  "a queued start outlives a newer set")                           \
	X(NO_GATE, "no_gate", "R11", "lease test and exec are two steps")  \
	X(CRASH_ORPHANS, "crash_orphans", "R9",                            \
	  "a fencer's crash leaves runs that nothing kills")               \
	X(RESPAWN, "respawn", "R11", "something restarts a killed run")    \
	X(HELLO_ALIVE, "hello_alive", "R15",                               \
	  "Hello while a run with hold = 0 lives")                         \
	X(NO_PREV_TEST, "no_prev_test", "R15",                             \
	  "Register without compare-and-set")                              \
	X(NO_BOOT_TEST, "no_boot_test", "R15",                             \
	  "another boot registers while the session lives")                \
	X(NO_NONCE_TEST, "no_nonce_test", "R12 R15",                       \
	  "a RegisterAck of any nonce opens a session")                    \
	X(TWO_PREVS, "two_prevs", "R15",                                   \
	  "two Challenges, two prevs under one nonce")                     \
	X(TWO_ADOPTIONS, "two_adoptions", "R15",                           \
	  "the nonce outlives its session")                                \
	X(RECEIVE_TIME, "receive_time", "R10",                             \
	  "deadline from the time of receipt")                             \
	X(RESEND_REFRESHES, "resend_refreshes", "R10",                     \
	  "a retransmission keeps its seq, with a new time")               \
	X(FENCED_RESUMES, "fenced_resumes", "R10",                         \
	  "a late ack revives a session past its deadline")                \
	X(ACK_BEFORE_COMMIT, "ack_before_commit", "R6",                    \
	  "the leader answers at the proposal")                            \
	X(ACK_MORE, "ack_more", "R6",                                      \
	  "a heartbeat that came after the batch is acknowledged with it") \
	X(ANCHOR_KEPT, "anchor_kept", "R4",                                \
	  "a new leader measures from an old anchor")                      \
	X(INTERVAL_AGAIN, "interval_again", "R4",                          \
	  "a Beat of unknown outcome is proposed again")                   \
	X(FORWARDED, "forwarded", "R3",                                    \
	  "a deposed leader's Beat is taken in the new term")              \
	X(SEPARATE_TICK, "separate_tick", "R5",                            \
	  "renewals are committed apart from the time")                    \
	X(RENEW_FIRST, "renew_first", "R5",                                \
	  "in a Beat, renewals are applied before the time")               \
	X(CLOCK_FIRST, "clock_first", "R5",                                \
	  "a heartbeat joins a batch after the clock was read")            \
	X(EXPIRE_AT_PROPOSE, "expire_at_propose", "R7",                    \
	  "Expire is tested at the proposal and not at apply")             \
	X(NO_EXPIRE_TEST, "no_expire_test", "R7", "expiry not tested")     \
	X(RENEW_ANY_SESSION, "renew_any_session", "R7",                    \
	  "a heartbeat of an old session renews and confirms")             \
	X(NO_ESTABLISHED, "no_established", "R8",                          \
	  "Assign to a session that had no acknowledgement")               \
	X(ASSIGN_NOT_FREE, "assign_not_free", "R8 R16",                    \
	  "Assign to a program that is not FREE")                          \
	X(NO_QUARANTINE, "no_quarantine", "R17",                           \
	  "no quarantine after a restore")                                 \
	X(CLOCK_STOPS, "clock_stops", "A2",                                \
	  "the CRN's clock stands still in a host pause")                  \
	X(SESSION_AND_VERSION, "session_and_version", "R12 R13",           \
	  "session test and first version both dropped")                   \
	X(HOLD_EXPIRES, "hold_expires", "R23",                             \
	  "Expire frees held programs too")                                \
	X(GUARANTEE_NOW, "guarantee_now", "R23",                           \
	  "Expire looks at the program's guarantee, not the epoch's")      \
	X(HOST_NOT_TESTED, "host_not_tested", "R23",                       \
	  "another host's empty held[] frees")                             \
	X(HELD_NOT_TOLD, "held_not_told", "R23", "Register without held[]") \
	X(KEPT_NOT_KILLED, "kept_not_killed", "R23",                       \
	  "runs outside kept[] live on past the first heartbeat")          \
	X(STOP_BY_CRN_SESSION, "stop_by_crn_session", "R23",               \
	  "a stop is confirmed under the CRN's session")                   \
	X(CONFIRM_ANY, "confirm_any", "R16d R23",                          \
	  "FenceConfirm frees whatever the CRN has now")                   \
	X(CONFIRM_NOT_OFF, "confirm_not_off", "R16d",                      \
	  "FenceConfirm of a machine that runs")                           \
	X(KEPT_IS_SET, "kept_is_set", "2.6",                               \
	  "kept[] is taken for a desired set")                             \
	X(HAVE_NOT_TESTED, "have_not_tested", "2.6",                       \
	  "a version without a set is taken with another set")             \
	X(RESTORE_FREES, "restore_frees", "R17",                           \
	  "held programs wait for a quarantine, not for a survey")         \
	X(SURVEY_NEW_HOST, "survey_new_host", "R17",                       \
	  "survey compared with the host that Register just set")          \
	X(SURVEY_LEFT_OVER, "survey_left_over", "R17",                     \
	  "an unknown row leaves the CRN surveyed")                        \
	X(ORPHAN_NOT_LOST, "orphan_not_lost", "R17",                       \
	  "an orphan over a restore is freed, not lost")                   \
	X(CONFIG_NO_EXTEND, "config_no_extend", "2.6",                     \
	  "Config does not move exp")                                      \
	X(LINEAGE_NOT_TESTED, "lineage_not_tested", "R21",                 \
	  "Assign does not look at the lineage")                           \
	X(SUPERSEDED_FREED, "superseded_freed", "R21",                     \
	  "supersession frees instead of revoking")                        \
	X(GEN_NOT_TESTED, "gen_not_tested", "2.6",                         \
	  "no message's generation is tested")                             \
	X(NONCE_GUARDS, "nonce_guards", "R15",                             \
	  "two_prevs and adopt_any, and a nonce counts twice at apply")    \
	X(ADOPT_ANY, "adopt_any", "R15",                                   \
	  "a session is adopted that is not above every prev sent")        \
	X(FIRST_VERSION, "first_version", "R13",                           \
	  "the first version is 0")                                        \
	X(SESSION_NOT_TESTED, "session_not_tested", "R12",                 \
	  "a reply of another session is taken")                           \
	X(HELD_EPOCH, "held_epoch", "R23",                                 \
	  "held[] matches whatever the epoch")

#define X(id, name, rule, about) M_##id,
enum mutant { MUTANTS(X) M_COUNT };
#undef X

extern const struct options *opt;
extern enum mutant mutant;
extern bool telling; /* write what each step does into `told` */
extern char told[512];

#define IS(m) (mutant == M_##m)

static inline num least(uint64_t a, uint64_t b)
{
	return (num)(a < b ? a : b);
}
static inline num most(uint64_t a, uint64_t b)
{
	return (num)(a > b ? a : b);
}
static inline num less(uint64_t a, uint64_t b)
{
	return (num)(a > b ? a - b : 0);
}

static inline num crn_of(unsigned machine)
{
	return (num)(opt->clone ? 0 : machine);
}
static inline num host_of(num boot)
{
#ifdef MODEL_WIDE
	return boot >> 32;
#else
	return (num)(boot == 0 ? 0 : (boot - 1) / 4 + 1);
#endif
}
static inline bool executes(const struct run *run)
{
	return run->state == LIVE || run->state == UNKNOWN;
}
/* How many take part. */
static inline unsigned machines(void)
{
	return opt->alone ? 1 : MACHINES;
}
static inline unsigned crns(void)
{
	return opt->alone || opt->clone ? 1 : CRNS;
}
#ifdef MODEL_WIDE
num ttl_a(num config);
num ttl_s(num config);
num ttl_s_most(num config); /* ever used, up to this one */
num stamp(struct fsm *f);
bool same_lineage(unsigned a, unsigned b);
#else
num ttl_a(num config);
num ttl_s(num config);
static inline bool same_lineage(unsigned a, unsigned b)
{
	(void)a;
	(void)b;
	return opt->lineage;
}
#endif
static inline bool kept_has(const struct kept *kept, unsigned program)
{
	return kept->bits[program / 8] >> program % 8 & 1;
}

/* choice.c: a step is plain code that asks; each answer is tried. */
unsigned choose(unsigned count);
void choice_begin(void);
bool choice_next(void);
void choice_again(void); /* the same answers once more */

/* fsm.c: apply, one function a command. */
void fsm_beat(struct state *s, const struct beat *beat);
void fsm_renew(struct state *s, num crn, const struct heartbeat *r);
bool fsm_register(struct state *s, num crn, const struct registration *r);
void fsm_expire(struct state *s, num crn);
bool fsm_assign(struct state *s, num program, num crn);
void fsm_revoke(struct state *s, num program);
void fsm_fence_confirm(struct state *s, num crn, num session, bool all);
void fsm_new_gen(struct state *s);
void fsm_config(struct state *s, num config);
void fsm_program_new(struct state *s, num program);
void fsm_supersede(struct state *s, num program);
struct kept fsm_kept(const struct fsm *f, num crn);
bool fsm_wants(const struct fsm *f, num program, num crn);

/* tenure.c: one function a call. */
void tenure_tick(struct machine *m, num ticks, bool counts);
void tenure_end(struct machine *m);
bool tenure_hello(struct machine *m, num nonce);
bool tenure_challenge(struct machine *m, const struct challenge *c);
bool tenure_adopt(struct machine *m, const struct register_ack *a);
bool tenure_mark(struct machine *m, struct heartbeat *out);
bool tenure_reply(struct machine *m, const struct reply *r);
bool tenure_gate(struct machine *m, unsigned program);
void tenure_dead(struct machine *m, unsigned program);
bool tenure_wanted(const struct machine *m, unsigned program);

/* step.c */
void model_start(struct state *s);
bool model_step(struct state *s);

/* canon.c */
void canon_init(void);
num canon_nonce(const struct state *s);
void canon_settle(struct state *s); /* drops the dead letters, sorts the rest */
void canon_rename(struct state *s); /* stamps and nonces by their order */

/* check.c: NULL, or the sentence of what is broken. */
#define CHECK_I1 1
#define CHECK_I2 2
#define CHECK_I3 4
#define CHECK_I4 8
#define CHECK_I6 16
#define CHECK_I7 32
#define CHECK_ALL 63
const char *check_state(const struct state *s, unsigned which);
const char *check_pair(const struct state *a, const struct state *b,
		       unsigned which);

/* search.c */
struct outcome {
	uint64_t states, steps;
	unsigned depth;
	double seconds;
	const char *broken; /* NULL: holds */
	bool full;          /* out of room: not exhausted */
};
struct outcome search(FILE *story, unsigned which, uint64_t states_max);

/* configs.c */
extern const struct options configurations[];
extern const unsigned configuration_count;
struct trial {
	enum mutant mutant;
	const char *configuration;
	bool redundant; /* caught by nothing, and README.md says why */
	bool twice;     /* only I1 counts: the state's own doubt is no catch */
};
extern const struct trial trials[];
extern const unsigned trial_count;
const char *mutant_name(enum mutant m);
const char *mutant_rule(enum mutant m);
const char *mutant_about(enum mutant m);

#endif
