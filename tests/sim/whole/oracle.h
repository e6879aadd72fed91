/* The oracle's own: the applied state of the highest index, and what it
 * remembers of the log and of time. oracle.c: the log, time, leases;
 * oracle_free.c: who may execute when something is freed. */
#ifndef TESTS_SIM_WHOLE_ORACLE_H
#define TESTS_SIM_WHOLE_ORACLE_H

#include "tests/sim/whole/whole.h"

#define ORACLE_RING 65536u

struct proposal {
	uint64_t index, bytes, at_us;
};

struct memory {
	uint8_t *data;
	size_t size, capacity, at;
};

struct boots { /* the last two of a CRN that were not alike */
	struct hash last, before;
};

struct oracle {
	struct world *world;
	struct fsm *fsm;
	/* read_us: no Beat to come counts time before it; proposed_us: only
	 * the next one does, and no more than dt_max of it. */
	uint64_t max, c_ms, read_us, proposed_us, next_restore;
	int64_t slack_us;
	bool has_slack, sessions_moved, in_quarantine;
	struct {
		uint64_t index, hash;
	} states[ORACLE_RING];
	struct {
		uint64_t index, bytes;
	} entries[ORACLE_RING];
	struct proposal proposals[ORACLE_RING];
	struct boots boots[CRNS_MAX];
	struct hash registered; /* of this entry; the last one */
	bool alarmed;
	struct slow_log *slow;
};

const struct fsm_view *oracle_view(const struct world *world);
void oracle_note(struct oracle *o, uint64_t index);
bool executing(const struct live *live);
bool oracle_write(void *memory, const void *data, size_t size);
bool oracle_read(void *memory, void *data, size_t size);
/* recall.c */
bool state_recalls(const struct fsm_view *view, const uint8_t id[16],
		   stamp_t *stamp, uint32_t *refusal);
bool state_survey_host(const struct fsm_view *view, slot_t crn,
		       struct hash *host);
/* It is not any more what it was: its counts, or what it holds. */
void state_spoil(struct fsm *fsm, bool counts);
/* After a disaster: what the backup holds is all there ever was. Takes fsm. */
void oracle_rewind(struct world *world, struct fsm *fsm);

/* slow.c */
void slow_log_open(struct oracle *oracle);
void slow_log_close(struct oracle *oracle);
void slow_log_heard(struct oracle *oracle, const struct fsm_result *result);
void slow_log_entry(struct oracle *oracle, uint64_t index, const void *data,
		    size_t size);
void slow_log_rewind(struct oracle *oracle);

/* oracle_free.c */
void oracle_freed(struct world *world, const struct fsm_effect *effect);
void oracle_placed(struct world *world, const struct fsm_effect *effect);
void oracle_quarantine(struct world *world);
void oracle_boots(struct world *world, const struct hash *hash, bool alarmed);

/* A survey believed a CRN that is outside of the assumptions: its lineage is
 * not asked for any more. */
void oracle_adopted(struct world *world, const struct fsm_effect *effect);

#endif
