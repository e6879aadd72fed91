#include "fsm/fields.h"

#define AT(member) offsetof(struct command, member)
#define END {.kind = FIELD_END}
#define U64(member) {.kind = FIELD_U64, .offset = AT(member)}
#define U32(member) {.kind = FIELD_U32, .offset = AT(member)}
#define BOOL(member) {.kind = FIELD_BOOL, .offset = AT(member)}
#define HASH(member) {.kind = FIELD_HASH, .offset = AT(member)}
#define ID(member) {.kind = FIELD_ID, .offset = AT(member)}
#define TEXT(member) \
	{.kind = FIELD_TEXT, .offset = AT(member), .max = FSM_TEXT_SIZE_MAX}
#define ENUM(member, from, to) \
	{.kind = FIELD_ENUM, .offset = AT(member), .low = (from), .high = (to)}
#define TOKENS(member)                                             \
	{.kind = FIELD_TOKENS, .offset = AT(member.tokens),        \
	 .count_offset = AT(member.token_count), .max = FSM_TOKENS_MAX}

#define ROW(type, kind_, member) \
	{.kind = (kind_), .offset = offsetof(type, member)}

static const struct field renewal_fields[] = {
	ROW(struct command_renewal, FIELD_U64, gen),
	ROW(struct command_renewal, FIELD_HASH, crn),
	ROW(struct command_renewal, FIELD_U64, session),
	ROW(struct command_renewal, FIELD_U64, seq),
	ROW(struct command_renewal, FIELD_U64, applied),
	ROW(struct command_renewal, FIELD_BOOL, got_ack),
	END,
};

static const struct field held_fields[] = {
	ROW(struct held_row, FIELD_HASH, program),
	ROW(struct held_row, FIELD_U64, gen),
	ROW(struct held_row, FIELD_U64, epoch),
	ROW(struct held_row, FIELD_HASH, lineage),
	ROW(struct held_row, FIELD_BOOL, running),
	END,
};

static const struct field lead_fields[] = {
	U64(lead.term), U64(lead.leader), END,
};

static const struct field beat_fields[] = {
	U32(beat.dt_ms), U64(beat.wall_ms),
	{.kind = FIELD_ROWS, .offset = AT(beat.renewals),
	 .count_offset = AT(beat.renewal_count), .max = FSM_RENEWALS_MAX,
	 .rows = renewal_fields, .row_size = sizeof(struct command_renewal)},
	END,
};

static const struct field register_fields[] = {
	U64(reg.gen), HASH(reg.crn), HASH(reg.host), HASH(reg.boot),
	U64(reg.prev), ID(reg.nonce), U32(reg.k_ms),
	ENUM(reg.watchdog, WATCHDOG_NONE, WATCHDOG_HARDWARE),
	ENUM(reg.class, CRN_UNFENCED, CRN_FENCED), TEXT(reg.unfenced_reason),
	{.kind = FIELD_ROWS, .offset = AT(reg.held),
	 .count_offset = AT(reg.held_count), .max = FSM_HELD_MAX,
	 .rows = held_fields, .row_size = sizeof(struct held_row)},
	END,
};

static const struct field report_fields[] = {
	HASH(report.crn), U64(report.session), U32(report.vcpus),
	U64(report.memory_mib), U64(report.disk_mib), TEXT(report.url),
	TOKENS(report), END,
};

static const struct field expire_fields[] = {
	HASH(expire.crn), U64(expire.session), END,
};

static const struct field assign_fields[] = {
	HASH(assign.program), HASH(assign.crn), U64(assign.session), END,
};

static const struct field revoke_fields[] = {
	HASH(revoke.program), U64(revoke.epoch),
	ENUM(revoke.cause, REVOKE_OPERATOR, REVOKE_UPDATE),
	TEXT(revoke.reason), END,
};

static const struct field fence_confirm_fields[] = {
	U64(fence_confirm.gen), HASH(fence_confirm.crn),
	U64(fence_confirm.session), BOOL(fence_confirm.all_machines),
	TEXT(fence_confirm.who), END,
};

static const struct field new_gen_fields[] = {
	U64(new_gen.gen), BOOL(new_gen.no_holds),
	{.kind = FIELD_HASHES, .offset = AT(new_gen.universe),
	 .count_offset = AT(new_gen.universe_count), .max = FSM_UNIVERSE_MAX,
	 .row_size = sizeof(struct hash)},
	TEXT(new_gen.who), END,
};

static const struct field config_fields[] = {
	U32(config.heartbeat_ms), U32(config.ttl_a_ms), U32(config.ttl_s_ms),
	U32(config.k_ms), U32(config.dt_max_ms), U32(config.beat_ms),
	U32(config.sticky_ms), U32(config.start_failures_max),
	U32(config.start_timeout_ms), U32(config.exclude_ms),
	U32(config.rho_ppm), U32(config.programs_max), U32(config.crns_max),
	BOOL(config.watchdog_none_ok), BOOL(config.unfenced_hold_ok), END,
};

static const struct field program_put_fields[] = {
	HASH(program_put.program),
	ENUM(program_put.source, SOURCE_CCN, SOURCE_OPERATOR),
	ENUM(program_put.kind, KIND_PROGRAM, KIND_INSTANCE),
	ENUM(program_put.guarantee, GUARANTEE_EXCLUSIVE, GUARANTEE_HOLD),
	BOOL(program_put.amendable), BOOL(program_put.has_data),
	BOOL(program_put.move_without_data), BOOL(program_put.persistent),
	BOOL(program_put.has_replaces), HASH(program_put.replaces),
	U64(program_put.time_ms), U64(program_put.code_revision),
	TEXT(program_put.owner), TEXT(program_put.name),
	U32(program_put.vcpus), U64(program_put.memory_mib),
	U64(program_put.disk_mib), BOOL(program_put.has_node_pin),
	HASH(program_put.node_pin), TOKENS(program_put), END,
};

static const struct field program_forget_fields[] = {
	HASH(program_forget.program), TEXT(program_forget.reason), END,
};

static const struct field crn_put_fields[] = {
	HASH(crn_put.crn), TEXT(crn_put.name), TEXT(crn_put.owner),
	BOOL(crn_put.linked), END,
};

static const struct field crn_remove_fields[] = {
	HASH(crn_remove.crn), END,
};

static const struct field *const tables[] = {
	[FSM_LEAD] = lead_fields,
	[FSM_BEAT] = beat_fields,
	[FSM_REGISTER] = register_fields,
	[FSM_CRN_REPORT] = report_fields,
	[FSM_EXPIRE] = expire_fields,
	[FSM_ASSIGN] = assign_fields,
	[FSM_REVOKE] = revoke_fields,
	[FSM_FENCE_CONFIRM] = fence_confirm_fields,
	[FSM_NEW_GEN] = new_gen_fields,
	[FSM_CONFIG] = config_fields,
	[FSM_PROGRAM_PUT] = program_put_fields,
	[FSM_PROGRAM_FORGET] = program_forget_fields,
	[FSM_CRN_PUT] = crn_put_fields,
	[FSM_CRN_REMOVE] = crn_remove_fields,
};

const struct field *fsm__fields(enum fsm_command_type type)
{
	return (size_t)type < COUNT_OF(tables) ? tables[type] : NULL;
}

uint32_t fsm__field_count(const struct field *fields)
{
	uint32_t count = 0;

	while (fields[count].kind != FIELD_END)
		count++;
	return count;
}
