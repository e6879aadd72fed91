#include "fsm/columns.h"

#define COLUMN(type, kind_, member)                                     \
	{.kind = COLUMN_##kind_, .offset = offsetof(type, member),      \
	 .size = sizeof(((type *)NULL)->member)}
#define END {.kind = COLUMN_END}

#define V(kind, member) COLUMN(struct fsm_view, kind, member)
const struct column fsm__head_columns[] = {
	V(U64, index), V(U64, term), V(U64, gen), V(U64, c_ms),
	V(U64, wall_ms), V(U64, quar_until_ms), V(U64, leader),
	V(U64, programs_changed), V(U64, crns_changed), V(U64, ttl_s_max_ms),
	V(U64, hash_seed), V(BOOL, configured), V(BOOL, no_holds),
	V(U32, config.heartbeat_ms), V(U32, config.ttl_a_ms),
	V(U32, config.ttl_s_ms), V(U32, config.k_ms), V(U32, config.dt_max_ms),
	V(U32, config.beat_ms), V(U32, config.sticky_ms),
	V(U32, config.start_failures_max), V(U32, config.start_timeout_ms),
	V(U32, config.exclude_ms), V(U32, config.rho_ppm),
	V(U32, config.programs_max), V(U32, config.crns_max),
	V(BOOL, config.watchdog_none_ok), V(BOOL, config.unfenced_hold_ok),
	V(U32, program_bound), V(U32, program_free), V(U32, crn_bound),
	V(U32, crn_free), V(U32, exclusion_bound), V(U32, exclusion_free),
	V(U64, move_count), V(U64, request_count), END,
};

#define P(kind, member) COLUMN(struct program, kind, member)
const struct column fsm__program_columns[] = {
	P(BOOL, used), P(BYTES, hash), P(U64, session), P(U64, epoch),
	P(U64, v_rev), P(U64, changed), P(U64, gen), P(U64, code_revision),
	P(U64, time_ms), P(U64, since_wall_ms), P(U64, move_last),
	P(U64, memory_mib), P(U64, disk_mib), P(HASH_ID, lineage),
	P(HASH_ID, replaces), P(HASH_ID, node_pin), P(HASH_ID, data_crn),
	P(HASH_ID, host), P(TEXT, owner), P(TEXT, name), P(TOKENS, tokens),
	P(U32, vcpus), P(U32, crn), P(U32, crn_next), P(U32, crn_prev),
	P(U32, lineage_next), P(U32, lineage_prev), P(U32, last_crn),
	P(U32, exclusion), P(U8, state), P(U8, guarantee), P(U8, source),
	P(U8, kind), P(BOOL, lineage_head), P(BOOL, superseded),
	P(BOOL, waiting), P(BOOL, forgotten), P(BOOL, loser),
	P(BOOL, has_replaces), P(BOOL, amendable), P(BOOL, persistent),
	P(BOOL, has_data), P(BOOL, move_without_data), P(BOOL, has_node_pin),
	P(BOOL, hold), P(BOOL, lost), P(BOOL, prefer_last), END,
};

#define C(kind, member) COLUMN(struct crn, kind, member)
const struct column fsm__crn_columns[] = {
	C(BOOL, used), C(BYTES, hash), C(BYTES, host), C(BYTES, boot),
	C(BYTES, boot_before), C(BYTES, survey_host), C(U64, survey_session),
	C(U64, session), C(U64, changed), C(U64, seen), C(U64, exp_ms),
	C(U64, gen), C(U64, seq_seen), C(U64, sticky_until_ms),
	C(U64, memory_mib), C(U64, disk_mib), C(BYTES, nonce), C(U32, vcpus),
	C(U32, k_ms), C(TEXT, name), C(TEXT, owner), C(TEXT, url),
	C(TEXT, unfenced_reason), C(TOKENS, tokens), C(U32, program_first),
	C(U32, program_last), C(U8, class), C(U8, watchdog), C(BOOL, alive),
	C(BOOL, established), C(BOOL, linked), C(BOOL, surveyed),
	C(BOOL, reported), END,
};

#define X(kind, member) COLUMN(struct exclusion, kind, member)
const struct column fsm__exclusion_columns[] = {
	X(BOOL, used), X(U64, until_ms), X(U32, crn), X(TEXT, reason),
	X(U32, next), END,
};

#define M(kind, member) COLUMN(struct move, kind, member)
const struct column fsm__move_columns[] = {
	M(U64, epoch), M(U64, stamp), M(U64, wall_ms), M(U64, prev),
	M(HASH_ID, crn), M(TEXT, reason), M(U8, what), END,
};

#define R(kind, member) COLUMN(struct request, kind, member)
const struct column fsm__request_columns[] = {
	R(BYTES, id), R(U64, stamp), R(BYTES, subject), R(U8, type),
	R(U8, refusal), END,
};

#define TABLE(record, columns_, array_, capacity_, max)                  \
	{.columns = columns_, .row_size = sizeof(struct record),         \
	 .array = offsetof(struct fsm_view, array_),                     \
	 .capacity = offsetof(struct fsm_view, capacity_),               \
	 .bound_max = (max)}
const struct table fsm__tables[TABLE_COUNT] = {
	TABLE(program, fsm__program_columns, programs, program_capacity,
	      1u << 24),
	TABLE(crn, fsm__crn_columns, crns, crn_capacity, 1u << 20),
	TABLE(exclusion, fsm__exclusion_columns, exclusions,
	      exclusion_capacity, 1u << 24),
	TABLE(move, fsm__move_columns, moves, move_capacity, MOVES_MAX),
	TABLE(request, fsm__request_columns, requests, request_capacity,
	      REQUESTS_MAX),
};

static uint32_t at_most(uint64_t count, uint32_t max)
{
	return count < max ? (uint32_t)count : max;
}

uint32_t fsm__table_bound(const struct fsm_view *s, uint32_t table)
{
	switch (table) {
	case 0:
		return s->program_bound;
	case 1:
		return s->crn_bound;
	case 2:
		return s->exclusion_bound;
	case 3:
		return at_most(s->move_count, MOVES_MAX);
	default:
		return at_most(s->request_count, REQUESTS_MAX);
	}
}
