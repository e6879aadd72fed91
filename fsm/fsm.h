/* The replicated state machine: same bytes, same state, on every replica.
 *
 * No clock, I/O, chance, float, thread or failure in apply. Rules R1 to R25 of
 * lease.md; each is tested at apply and nowhere else counts. Reading goes
 * through a view: the live state (fsm_live) or a frozen copy (fsm_view_open).
 * Read fsm/command.h before, fsm/place.h after.
 */
#ifndef FSM_FSM_H
#define FSM_FSM_H

#include "fsm/command.h"

struct fsm;
struct fsm_view;

/* Slots name programs and CRNs in one view; they are reused after removal. */
typedef uint32_t slot_t;
#define SLOT_NONE UINT32_MAX

enum fsm_refusal {
	FSM_OK = 0,
	FSM_DUPLICATE,         /* same request or nonce: no effect, re-answered */
	FSM_REFUSED_TERM,      /* R3 */
	FSM_REFUSED_GEN,
	FSM_REFUSED_MALFORMED,
	FSM_REFUSED_UNKNOWN_CRN,
	FSM_REFUSED_UNKNOWN_PROGRAM,
	FSM_REFUSED_SESSION,
	FSM_REFUSED_PREV,      /* R15 compare-and-set */
	FSM_REFUSED_BOOT,      /* R15 other boot while the old session lives */
	FSM_REFUSED_K,         /* k_ms above the configured k */
	FSM_REFUSED_NOT_DUE,   /* R7 */
	FSM_REFUSED_NOT_FREE,  /* R8 */
	FSM_REFUSED_LINEAGE,   /* R21 */
	FSM_REFUSED_QUARANTINE, /* R17 */
	FSM_REFUSED_NOT_ESTABLISHED,
	FSM_REFUSED_CLASS,
	FSM_REFUSED_CAPACITY,
	FSM_REFUSED_TOKENS,    /* a requirement the CRN does not offer */
	FSM_REFUSED_PIN,       /* node pin or data pin */
	FSM_REFUSED_EXCLUDED,  /* R24 */
	FSM_REFUSED_EPOCH,
	FSM_REFUSED_STATE,     /* not in a state that allows it */
	FSM_REFUSED_CONFIG,    /* the numbers break the formula of lease.md 2.5 */
	FSM_REFUSED_FULL,      /* a replicated limit */
	FSM_REFUSED_OWNER,
	FSM_REFUSED_NOT_AMENDABLE,
	FSM_REFUSED_CONFLICT,  /* the same name with another content */
	FSM_REFUSAL_COUNT
};

/* Name for programs ("not_established") and a sentence for people. */
const char *fsm_refusal_name(enum fsm_refusal refusal);
const char *fsm_refusal_text(enum fsm_refusal refusal);

/* Result of one command. `stamp` is the command's; for Assign it is the epoch,
 * for Register the session. For a duplicate it is the first one's; a request
 * that was refused is refused again for the same reason, and not tried. */
struct fsm_result {
	uint32_t position;
	enum fsm_command_type type;
	enum fsm_refusal refusal;
	stamp_t stamp;
	uint8_t request[16];
	struct hash subject; /* program or CRN */
};

enum fsm_effect_type {
	EFFECT_PROGRAM_KNOWN = 1, /* put: wants to run */
	EFFECT_PROGRAM_GONE,      /* superseded, forgotten or not persistent */
	EFFECT_PROGRAM_DELETED,   /* its record was reused */
	EFFECT_ASSIGNED,
	EFFECT_REVOKING,
	EFFECT_FREED,             /* the epoch ended: nothing runs it */
	EFFECT_HELD,              /* expired CRN, program stays with it */
	EFFECT_ADOPTED,           /* survived into a new session */
	EFFECT_LOST,
	EFFECT_CRN_KNOWN,
	EFFECT_CRN_REGISTERED,
	EFFECT_CRN_ESTABLISHED,
	EFFECT_CRN_EXPIRED,
	EFFECT_CRN_FENCE_CONFIRMED,
	EFFECT_CRN_REPORTED,
	EFFECT_CRN_REMOVED,
	EFFECT_CRN_ALARM,         /* boots of one CRN alternate: a copied host? */
	EFFECT_LEAD,
	EFFECT_CONFIG,
	EFFECT_NEW_GEN,
};

/* What happened, in apply order; the event stream is made of these. */
struct fsm_effect {
	enum fsm_effect_type type;
	stamp_t stamp;
	uint64_t gen, c_ms, wall_ms;
	struct hash program, crn; /* zero where there is none */
	stamp_t epoch, session;
	struct text reason;       /* borrowed until the callback returns */
};

const char *fsm_effect_name(enum fsm_effect_type type);

struct fsm_observer {
	void *ctx;
	void (*result)(void *ctx, const struct fsm_result *result);
	void (*effect)(void *ctx, const struct fsm_effect *effect);
};

/* An empty state: gen 0, no Config; the first entry must configure it: that
 * Config is taken whatever its term, and begins generation 1.
 * `hash_seed` seeds the hash tables and is replicated by the bootstrap Config
 * entry's index, so pass 0 here. Gives ownership; fsm_close takes it. */
struct fsm *fsm_open(void);
void fsm_close(struct fsm *fsm);

/* Applies the entry at `index` (strictly rising). Never fails; an entry that
 * this version cannot read panics, a command that may not be is refused.
 * `observer` may be NULL. */
void fsm_apply(struct fsm *fsm, uint64_t index, const void *data, size_t size,
	       const struct fsm_observer *observer);

/* Checks every invariant of lease.md 2.4 that a state can show; panics. Slow,
 * for tests and the simulator. */
void fsm_check(const struct fsm *fsm);

/* Hash of the whole state; equal states, equal hash, on every replica (I8). */
uint64_t fsm_hash(const struct fsm *fsm);
/* The same of a view: of a frozen one on any thread. Hashes of one version of
 * the hash compare, of two they say nothing. */
uint64_t fsm_view_hash(const struct fsm_view *view);
uint32_t fsm_hash_version(void);

/* --- reading ------------------------------------------------------------ */

/* The live state: read only where apply runs. Texts read from it are good
 * until the next apply. */
const struct fsm_view *fsm_live(const struct fsm *fsm);

/* A frozen copy, readable from any thread while apply goes on. Open and close
 * where apply runs. At most two at a time; more share the newest one. NULL if
 * both are in use by older states. */
struct fsm_view *fsm_view_open(struct fsm *fsm);
void fsm_view_close(struct fsm *fsm, struct fsm_view *view);

struct fsm_status {
	uint64_t index, term, gen, c_ms, wall_ms, quar_until_ms, leader;
	uint32_t program_count, crn_count, assigned_count, pending_count;
	uint32_t unsurveyed_count; /* CRNs that a restore still waits for (R17) */
	uint64_t ttl_s_max_ms; /* the largest ever used (R17) */
	bool no_holds;         /* as the last NewGen said */
	stamp_t programs_changed, crns_changed; /* for blocking queries */
	bool configured;
	struct fsm_config config;
};
void fsm_status(const struct fsm_view *view, struct fsm_status *out);

enum program_state { PROGRAM_FREE = 0, PROGRAM_ASSIGNED, PROGRAM_REVOKING,
		     PROGRAM_LOST };

/* A copy of a program's record. Texts are borrowed from the view. */
struct fsm_program {
	struct hash hash, lineage, replaces, crn_hash, data_crn, host;
	enum program_state state;
	enum guarantee guarantee; /* what the owner asked for */
	enum program_source source;
	enum program_kind kind;
	bool superseded, waiting_for_replaced, has_replaces, amendable;
	bool forgotten; /* its record goes when it is FREE */
	bool loser;     /* lost against an earlier sibling (R21) */
	bool persistent, hold, orphan, lost, has_data, has_data_crn;
	bool move_without_data, has_node_pin;
	slot_t crn;
	/* epoch and gen stay those of the last Assign when it is FREE. */
	stamp_t session, epoch, v_rev, changed;
	uint64_t gen, code_revision, time_ms, since_wall_ms;
	struct text owner, name;
	uint32_t vcpus;
	uint64_t memory_mib, disk_mib;
	struct hash node_pin;
	uint32_t token_count;
	struct text tokens[FSM_TOKENS_MAX];
};

struct fsm_crn {
	struct hash hash, host, boot;
	stamp_t session, changed;
	bool alive, established, linked, surveyed, reported;
	enum crn_class class;
	enum crn_watchdog watchdog;
	uint32_t k_ms, vcpus, vcpus_used, program_count;
	uint64_t memory_mib, memory_mib_used, disk_mib, disk_mib_used;
	uint64_t exp_ms, gen, seq_seen;
	stamp_t seen;           /* last visible change; changed: of its set */
	stamp_t survey_session; /* session at NewGen, while not surveyed */
	struct hash survey_host; /* host at NewGen */
	struct text name, owner, url, unfenced_reason;
	uint8_t nonce[16];
	uint32_t token_count;
	struct text tokens[FSM_TOKENS_MAX];
};

/* Past and present moves of one program, newest first. */
struct fsm_move {
	struct hash crn;
	stamp_t epoch, stamp; /* stamp: when it was assigned, revoked or freed */
	uint64_t wall_ms;
	enum fsm_effect_type what;
	struct text reason;
};

/* Slots run from 0 to the bound, some empty: read returns false there. */
slot_t fsm_program_bound(const struct fsm_view *view);
slot_t fsm_crn_bound(const struct fsm_view *view);
slot_t fsm_program_find(const struct fsm_view *view, const struct hash *hash);
slot_t fsm_crn_find(const struct fsm_view *view, const struct hash *hash);
bool fsm_program_read(const struct fsm_view *view, slot_t slot,
		      struct fsm_program *out);
bool fsm_crn_read(const struct fsm_view *view, slot_t slot,
		  struct fsm_crn *out);
/* Programs whose record names the CRN (orphans included), in a fixed order:
 * pass SLOT_NONE to begin; SLOT_NONE at the end. */
slot_t fsm_crn_next_program(const struct fsm_view *view, slot_t crn,
			    slot_t previous);
uint32_t fsm_program_moves(const struct fsm_view *view, slot_t program,
			   struct fsm_move *moves, uint32_t max);

/* CRNs where a program failed to start (R24), newest first; `now`: it is still
 * excluded there. The reason stays known afterwards. */
struct fsm_exclusion {
	slot_t crn;
	bool now;
	uint64_t until_ms; /* on C */
	struct text reason;
};
uint32_t fsm_program_exclusions(const struct fsm_view *view, slot_t program,
				struct fsm_exclusion *out, uint32_t max);

/* One row of the set that a CRN should run: ASSIGNED, of its live session. */
struct desired_row {
	struct hash program;
	stamp_t epoch;
	uint64_t gen, code_revision;
	struct hash lineage;
	bool hold;
	uint32_t vcpus;
	uint64_t memory_mib, disk_mib;
};
/* Fills at most `max` rows and returns how many there are. */
uint32_t fsm_desired(const struct fsm_view *view, slot_t crn,
		     struct desired_row *rows, uint32_t max);
/* The programs kept over a Register (RegisterAck.kept): session == crn's. */
uint32_t fsm_kept(const struct fsm_view *view, slot_t crn, struct hash *programs,
		  uint32_t max);

/* CRNs that are alive with exp <= C, for the leader to propose Expire. */
uint32_t fsm_due(const struct fsm_view *view, slot_t *crns, uint32_t max);

/* --- snapshots ---------------------------------------------------------- */

/* Writes the state as columnar blocks; the same state gives the same bytes.
 * Compression and checksums are the snapshot store's. False: sink refused. */
MUST_CHECK bool fsm_snapshot_write(const struct fsm_view *view,
				   const struct byte_sink *sink);

/* Reads `size` bytes into `data`; false at a short read. */
struct byte_source {
	void *ctx;
	bool (*read)(void *ctx, void *data, size_t size);
};
/* A new state from a snapshot. Errors: CORRUPT, VERSION; then *out is as it
 * was. */
MUST_CHECK int fsm_snapshot_read(struct fsm **out,
				 const struct byte_source *source);

#endif
