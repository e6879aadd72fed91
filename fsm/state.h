/* The state itself, inside fsm/ only. All of it lives in struct fsm_view, so
 * that a frozen copy is the same type. Texts and seldom hashes are ids in the
 * pools; programs and CRNs are slots in arrays.
 */
#ifndef FSM_STATE_H
#define FSM_STATE_H

#include "fsm/fsm.h"
#include "fsm/store.h"

#define MOVES_MAX 32768u       /* of all programs together */
#define MOVES_SHOWN_MAX 8u     /* of one program */
#define REQUESTS_MAX 4096u     /* client requests remembered */
#define LINEAGE_MAX 4096u      /* records of one lineage (R21) */
#define EXCLUSIONS_MAX 64u     /* CRNs remembered per program (R24) */
#define VCPUS_MAX 65535u       /* sums of these cannot overflow */
#define MIB_MAX (UINT64_C(1) << 40)
#define VIEWS_MAX 2
#define SNAPSHOT_VERSION 1u

struct program {
	struct hash hash;
	stamp_t session, epoch, v_rev, changed;
	uint64_t gen;            /* of the epoch */
	uint64_t code_revision, time_ms, since_wall_ms;
	uint64_t move_last;      /* serial of its newest move, 0: none */
	uint64_t memory_mib, disk_mib;
	uint32_t lineage, replaces, node_pin, data_crn, host; /* hash ids */
	uint32_t owner, name, tokens;                         /* text ids */
	uint32_t vcpus;
	slot_t crn, crn_next, crn_prev; /* crn_next: free list when unused */
	slot_t lineage_next, lineage_prev; /* a ring */
	slot_t last_crn;
	uint32_t exclusion;      /* first of its exclusions, or ID_NONE */
	uint8_t state, guarantee, source, kind;
	bool used, lineage_head; /* head: the lineage index names this one */
	bool superseded, waiting, forgotten;
	bool loser;              /* lost against an earlier sibling, or a
				  * descendant of such a one (R21) */
	bool has_replaces, amendable, persistent, has_data, move_without_data;
	bool has_node_pin;
	bool hold, lost;         /* R23, R17 */
	bool prefer_last;        /* its code changes: back to the same CRN */
	bool mark;               /* scratch of one command, else false */
};

struct crn {
	struct hash hash, host, boot, boot_before;
	struct hash survey_host;     /* R17: host at NewGen */
	stamp_t survey_session;      /* session at NewGen */
	stamp_t session, changed, seen; /* seen: last visible change */
	uint64_t exp_ms, gen, seq_seen, sticky_until_ms;
	uint64_t memory_mib, disk_mib, memory_mib_used, disk_mib_used;
	uint8_t nonce[16];
	uint32_t vcpus, vcpus_used, k_ms;
	uint32_t name, owner, url, unfenced_reason, tokens;
	slot_t program_first, program_last; /* _first: free list when unused */
	uint32_t program_count, revoking_count;
	uint8_t class, watchdog;
	bool used, alive, established, linked, surveyed, reported;
};

struct move {
	stamp_t epoch, stamp;
	uint64_t wall_ms, prev; /* prev: serial of the program's move before */
	uint32_t crn, reason;   /* hash id, text id */
	uint8_t what;
};

/* R24: a CRN where a program failed to start. */
struct exclusion {
	uint64_t until_ms;
	slot_t crn;
	uint32_t reason; /* text id */
	uint32_t next;   /* of the same program, or of the free list */
	bool used;
};

struct request {
	uint8_t id[16];
	stamp_t stamp;
	struct hash subject;
	uint8_t type, refusal;
};

struct fsm_view {
	uint64_t index, term, gen, c_ms, wall_ms, quar_until_ms, leader;
	stamp_t programs_changed, crns_changed;
	uint64_t ttl_s_max_ms, hash_seed;
	bool configured, no_holds;
	struct fsm_config config;

	struct program *programs;
	uint32_t program_capacity, program_bound, program_count;
	slot_t program_free;
	struct crn *crns;
	uint32_t crn_capacity, crn_bound, crn_count;
	slot_t crn_free;
	struct exclusion *exclusions;
	uint32_t exclusion_capacity, exclusion_bound, exclusion_free;
	struct move *moves; /* a ring; serial n stands at (n - 1) % MOVES_MAX */
	uint32_t move_capacity;
	uint64_t move_count;
	struct request *requests; /* a ring, in the same way */
	uint32_t request_capacity;
	uint64_t request_count;

	struct pool texts, sets; /* hashes are in texts; sets hold text ids */

	/* Derived from the above: not hashed, not in snapshots. */
	struct index program_index, crn_index, lineage_index, request_index;
	uint64_t *pending; /* a bit per program slot */
	uint32_t pending_capacity;
	uint32_t pending_count, assigned_count, unsurveyed_count;
};

struct fsm {
	struct fsm_view state;
	/* Of the command at hand: */
	stamp_t stamp;
	const struct fsm_observer *observer;
	struct command_cursor cursor;
	struct {
		struct fsm_view view;
		uint32_t uses;
	} frozen[VIEWS_MAX];
};

/* --- state.c: records, lists, indexes ------------------------------------ */

void fsm__state_init(struct fsm_view *s);
void fsm__state_fini(struct fsm_view *s);
slot_t fsm__program_new(struct fsm_view *s, const struct hash *hash,
			const struct hash *lineage);
void fsm__program_drop(struct fsm_view *s, slot_t slot);
slot_t fsm__crn_new(struct fsm_view *s, const struct hash *hash);
void fsm__crn_drop(struct fsm_view *s, slot_t slot);
/* The lineage: any member's slot, or SLOT_NONE. */
slot_t fsm__lineage_find(const struct fsm_view *s, const struct hash *root);
void fsm__lineage_move(struct fsm_view *s, slot_t slot, const struct hash *to);
void fsm__lineage_index_add(struct fsm_view *s, slot_t slot);
/* Puts a program on a CRN's list and into its use, and takes it off. */
void fsm__crn_link(struct fsm_view *s, slot_t program, slot_t crn);
void fsm__crn_unlink(struct fsm_view *s, slot_t program);
/* The only way to change program.state: keeps the counts. */
void fsm__set_state(struct fsm_view *s, slot_t slot, enum program_state state);
/* Recomputes whether the program waits for a place. */
void fsm__pending_update(struct fsm_view *s, slot_t slot);
bool fsm__wanted(const struct program *p);
uint32_t fsm__tokens_take(struct fsm_view *s, const struct text *tokens,
			  uint32_t count);
void fsm__tokens_give(struct fsm_view *s, uint32_t id);
/* Ids of a token set; NULL for the empty one. */
const uint8_t *fsm__tokens_get(const struct fsm_view *s, uint32_t set,
			       uint32_t *count);
uint32_t fsm__tokens_read(const struct fsm_view *s, uint32_t set,
			  struct text tokens[FSM_TOKENS_MAX]);
uint32_t fsm__hash_take(struct fsm_view *s, const struct hash *hash);
struct hash fsm__hash_get(const struct fsm_view *s, uint32_t id);
bool fsm__hash_is(const struct fsm_view *s, uint32_t id,
		  const struct hash *hash);
uint32_t fsm__text_take(struct fsm_view *s, const struct text *text);
/* Replaces the text at *id. */
void fsm__text_set(struct fsm_view *s, uint32_t *id, const struct text *text);
void fsm__hash_set(struct fsm_view *s, uint32_t *id, const struct hash *hash);
void fsm__exclusions_drop(struct fsm_view *s, struct program *p);
void fsm__exclusion_drop(struct fsm_view *s, struct program *p, slot_t crn);
const struct exclusion *fsm__exclusion_find(const struct fsm_view *s,
					    const struct program *p,
					    slot_t crn);
void fsm__exclusion_add(struct fsm_view *s, slot_t program, slot_t crn,
			const struct text *reason);
void fsm__move_add(struct fsm_view *s, slot_t program, const struct move *move);
const struct move *fsm__move_at(const struct fsm_view *s, uint64_t serial);
void fsm__request_add(struct fsm_view *s, const struct request *request);
const struct request *fsm__request_find(const struct fsm_view *s,
					const uint8_t id[16]);
/* Rebuilds what is derived after the arrays were read from a snapshot; false
 * if two records have one name. */
bool fsm__derive(struct fsm_view *s);
/* The first broken invariant, or NULL. */
const char *fsm__broken(const struct fsm_view *s);

/* --- apply: one function a command; each gives its refusal --------------- */

#define APPLY(name, type_)                                      \
	enum fsm_refusal fsm__apply_##name(struct fsm *f,       \
					   const struct type_ *c)
APPLY(beat, command_beat);
APPLY(register, command_register);
APPLY(report, command_crn_report);
APPLY(expire, command_expire);
APPLY(assign, command_assign);
APPLY(revoke, command_revoke);
APPLY(fence_confirm, command_fence_confirm);
APPLY(new_gen, command_new_gen);
APPLY(config, fsm_config);
APPLY(program_put, command_program_put);
APPLY(program_forget, command_program_forget);
APPLY(crn_put, command_crn_put);
APPLY(crn_remove, command_crn_remove);

/* Steps shared by the commands; f->stamp is the command's. */
void fsm__effect(struct fsm *f, enum fsm_effect_type type, slot_t program,
		 slot_t crn, struct text reason);
void fsm__touch_program(struct fsm *f, slot_t program);
void fsm__touch_crn(struct fsm *f, slot_t crn);      /* visible change */
void fsm__touch_desired(struct fsm *f, slot_t crn);  /* its set changed */
/* The epoch ended: FREE, or LOST while a survey is due (R17). Deletes the
 * record if it was forgotten. */
void fsm__release(struct fsm *f, slot_t program, struct text reason);
/* ASSIGNED to REVOKING. */
void fsm__revoke(struct fsm *f, slot_t program, struct text reason);
void fsm__supersede(struct fsm *f, slot_t program, struct text reason);
/* One that waits for what it replaces, and was found running (R17), stopped:
 * the lineage it was started with is no longer its own. */
void fsm__lineage_home(struct fsm_view *s, slot_t slot);
/* Deletes a forgotten record that is FREE (R21); root last. */
void fsm__reap(struct fsm *f, slot_t program);
/* R17, part of Register: adopts running rows nobody else has; returns how many
 * rows were left over. */
uint32_t fsm__survey_rows(struct fsm *f, slot_t crn,
			  const struct command_register *c);
/* Ends the survey when every CRN was seen. */
void fsm__survey_end(struct fsm *f);

static inline struct text fsm__text(const char *string)
{
	struct text text = {string, 0};

	while (string[text.size])
		text.size++;
	return text;
}

/* --- fits.c: the predicates of apply and of placement -------------------- */

struct crn_use {
	uint64_t vcpus, memory_mib, disk_mib;
	uint32_t programs;
};

/* Is the program one that may be assigned at all now? (R8, R17, R21) */
enum fsm_refusal fsm__fit_program(const struct fsm_view *s, slot_t program);
/* Nothing new goes to a CRN while this holds. */
bool fsm__size_unknown(const struct fsm_view *s, const struct crn *c);
/* May it be on this CRN, with `use` taken there beside the state's? The token
 * that is missing is told with FSM_REFUSED_TOKENS if `token` is given. */
enum fsm_refusal fsm__fit_crn(const struct fsm_view *s, slot_t program,
			      slot_t crn, const struct crn_use *use,
			      struct text *token);

#endif
