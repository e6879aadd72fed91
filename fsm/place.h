/* Placement: a pure function from state to decisions and reasons.
 *
 * The leader, `berth plan` and the simulator run this very code. It only
 * proposes: apply tests every Assign again with the same predicate. What is
 * proposed and not yet applied is told by an overlay, so that two rounds do
 * not fill the same gap.
 */
#ifndef FSM_PLACE_H
#define FSM_PLACE_H

#include "fsm/fsm.h"

struct place_overlay; /* in-flight Assigns and Revokes of one term */

struct place_overlay *place_overlay_open(void);
void place_overlay_close(struct place_overlay *overlay);
/* Notes an Assign as proposed; forget removes it when its own entry was
 * applied (whatever the verdict); reset drops all: leadership was lost. */
void place_overlay_add(struct place_overlay *overlay,
		       const struct fsm_view *view,
		       const struct command_assign *assign);
void place_overlay_forget(struct place_overlay *overlay,
			  const struct hash *program);
void place_overlay_reset(struct place_overlay *overlay);

/* Why a program is not placed: the first thing that, relaxed, would help. */
enum place_reason {
	PLACE_OK = 0,
	PLACE_NOT_WANTED,     /* superseded, forgotten or not persistent */
	PLACE_WAITS_REPLACED, /* its `replaces` is not known yet (R21) */
	PLACE_LINEAGE,        /* another of its lineage has not stopped yet */
	PLACE_LOST,           /* after a restore, until CRNs were surveyed */
	PLACE_QUARANTINE,
	PLACE_REVOKING,       /* waits for the proof that it stopped */
	PLACE_HELD,           /* held by a silent CRN: nothing proves it stopped */
	PLACE_NO_CRN,         /* no CRN is alive and established */
	PLACE_PIN,            /* the pinned CRN is unknown or away */
	PLACE_DATA,           /* its data is on a CRN that is away */
	PLACE_TOKENS,         /* nobody offers what it requires: see token */
	PLACE_CLASS,          /* only unfenced CRNs are there */
	PLACE_SLOTS,          /* every CRN that fits has FSM_CRN_PROGRAMS_MAX */
	PLACE_UNKNOWN_SIZE,   /* a run of before a restore has not stopped yet */
	PLACE_VCPUS,
	PLACE_MEMORY,
	PLACE_DISK,
	PLACE_EXCLUDED,       /* failed to start on every CRN that fits */
	PLACE_STICKY,         /* waits for its last CRN (R20) */
	PLACE_IN_FLIGHT,      /* proposed, not applied yet */
	PLACE_REASON_COUNT
};

const char *place_reason_name(enum place_reason reason);

struct place_verdict {
	enum place_reason reason;
	slot_t crn;              /* with PLACE_OK; else the CRN spoken of, or none */
	struct text token;       /* with PLACE_TOKENS */
	uint32_t considered, no_token, no_class, no_vcpus, no_memory, no_disk,
		excluded;        /* how many CRNs failed on what */
};

/* Where one program should go now. */
void place_choose(const struct fsm_view *view,
		  const struct place_overlay *overlay, slot_t program,
		  struct place_verdict *out);

/* A sentence for people: "no CRN has 64 vcpus free (3 looked at, most free:
 * 8)". Writes at most `size` bytes with a NUL and returns the length. */
size_t place_explain(const struct fsm_view *view, slot_t program,
		     const struct place_verdict *verdict, char *text,
		     size_t size);

/* Walks pending programs from *cursor (0 at first) and gives up to `max`
 * Assigns; returns how many; *cursor is 0 again when all were looked at.
 * Looks at no more than `budget` programs. */
uint32_t place_round(const struct fsm_view *view,
		     const struct place_overlay *overlay, uint32_t *cursor,
		     uint32_t budget, struct command_assign *assigns,
		     uint32_t max);

#endif
