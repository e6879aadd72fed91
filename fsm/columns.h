/* The columns of a snapshot: which members of which record, in which shape.
 * What is derived is not among them. fsm_hash is the hash of these bytes.
 */
#ifndef FSM_COLUMNS_H
#define FSM_COLUMNS_H

#include "fsm/state.h"

enum column_kind {
	COLUMN_END = 0,
	COLUMN_BOOL,
	COLUMN_U8,
	COLUMN_U32,
	COLUMN_U64,
	COLUMN_BYTES,   /* `size` of them */
	COLUMN_HASH_ID, /* an interned hash, written out */
	COLUMN_TEXT,    /* an interned text, written out */
	COLUMN_TOKENS,  /* an interned set, written out */
};

struct column {
	enum column_kind kind;
	uint32_t size;
	size_t offset;
};

extern const struct column fsm__head_columns[]; /* of struct fsm_view */
extern const struct column fsm__program_columns[];
extern const struct column fsm__crn_columns[];
extern const struct column fsm__exclusion_columns[];
extern const struct column fsm__move_columns[];
extern const struct column fsm__request_columns[];

/* The arrays, in the order of a snapshot. */
struct table {
	const struct column *columns;
	size_t row_size;
	size_t array, capacity; /* offsets in struct fsm_view */
	uint32_t bound_max;
};
#define TABLE_COUNT 5
extern const struct table fsm__tables[TABLE_COUNT];
/* How many rows of a table a state has. */
uint32_t fsm__table_bound(const struct fsm_view *s, uint32_t table);

#endif
