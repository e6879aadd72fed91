/* Law 1 put to the test (R1, I8): replicas tell each other the hash of their
 * state at the same log indexes, and compare.
 *
 * Pure: what was said is kept here, and judged. Taking the view, hashing it,
 * sending and stopping are core_audit.c's.
 */
#ifndef NODE_REPLICA_AUDIT_H
#define NODE_REPLICA_AUDIT_H

#include "fsm/base.h"

#define AUDIT_KEPT 64u       /* newest ones, of each replica */
#define AUDIT_REPLICAS_MAX 16u
#define AUDIT_WAIT_MS 5000u  /* for those who have not said theirs yet */

struct audit_said {
	uint64_t index, hash; /* index 0: none */
	uint32_t version;     /* of the hash: others are not compared */
	bool told;            /* that it differs from ours */
};

struct audit_replica {
	uint64_t id; /* 0: unused */
	uint32_t next;
	struct audit_said said[AUDIT_KEPT];
};

struct audit {
	uint64_t self;
	struct audit_replica replicas[AUDIT_REPLICAS_MAX]; /* ours is one */
};

void audit_init(struct audit *audit, uint64_t self);
/* What that replica says; false: nothing new, or there is no room for it. */
bool audit_say(struct audit *audit, uint64_t id, const struct audit_said *said);
/* What it said of that index, or NULL. */
struct audit_said *audit_said(struct audit *audit, uint64_t id, uint64_t index);
/* Drops those that are members no longer. */
void audit_keep(struct audit *audit, const uint64_t *members, uint32_t count);

enum audit_verdict {
	AUDIT_AGREES = 1, /* nobody said anything else */
	AUDIT_WAITS,      /* somebody did; not all have said theirs */
	AUDIT_OTHERS,     /* who differs is not us: it stops */
	AUDIT_STOPS,      /* our state is the wrong one */
};

struct audit_court {
	const uint64_t *members; /* of the cluster, ours among them */
	uint32_t member_count;
	uint32_t linked_count;   /* who can be heard now, ours among them */
	uint64_t leader;         /* 0: none known */
	bool waited;             /* AUDIT_WAIT_MS have passed */
};
/* More than half of all members decide at once. Else, when all that can be
 * heard were, or the wait is over: most of what was said; between two, or
 * without most, the leader's. Nobody stops for want of an opinion. */
enum audit_verdict audit_judge(struct audit *audit, uint64_t index,
			       const struct audit_court *court);

#endif
