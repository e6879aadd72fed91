/* The bytes of an entry, read again: msgpack by hand, field by field, in the
 * order of fsm/command.h. What is not as it has to be ends the program: the
 * state machine has taken these bytes already. */
#include "tests/kit/slow_read.h"

#include <stdlib.h>

/* --- msgpack ------------------------------------------------------------- */

static uint8_t byte(struct slow_reader *r)
{
	REQUIRE(r->offset < r->size);
	return r->data[r->offset++];
}

static uint64_t big_endian(struct slow_reader *r, uint32_t bytes)
{
	uint64_t value = 0;

	while (bytes-- > 0)
		value = value << 8 | byte(r);
	return value;
}

static uint64_t number(struct slow_reader *r)
{
	uint8_t head = byte(r);

	if (head < 0x80)
		return head;
	REQUIRE(head >= 0xcc && head <= 0xcf);
	return big_endian(r, 1u << (head - 0xcc));
}

static uint32_t small(struct slow_reader *r)
{
	uint64_t value = number(r);

	REQUIRE(value <= UINT32_MAX);
	return (uint32_t)value;
}

static bool boolean(struct slow_reader *r)
{
	uint8_t head = byte(r);

	REQUIRE(head == 0xc2 || head == 0xc3);
	return head == 0xc3;
}

static uint32_t array(struct slow_reader *r)
{
	uint8_t head = byte(r);

	if ((head & 0xf0) == 0x90)
		return head & 0x0f;
	REQUIRE(head == 0xdc || head == 0xdd);
	return (uint32_t)big_endian(r, head == 0xdc ? 2 : 4);
}

static const uint8_t *take(struct slow_reader *r, uint32_t size)
{
	const uint8_t *at = r->data + r->offset;

	REQUIRE(size <= r->size - r->offset);
	r->offset += size;
	return at;
}

static struct text text(struct slow_reader *r)
{
	uint8_t head = byte(r);
	struct text out;

	if ((head & 0xe0) == 0xa0) {
		out.size = head & 0x1f;
	} else {
		REQUIRE(head >= 0xd9 && head <= 0xdb);
		out.size = (uint32_t)big_endian(r, 1u << (head - 0xd9));
	}
	out.data = (const char *)take(r, out.size);
	return out;
}

static void bytes(struct slow_reader *r, void *out, uint32_t size)
{
	uint8_t head = byte(r);

	REQUIRE(head >= 0xc4 && head <= 0xc6);
	REQUIRE(big_endian(r, 1u << (head - 0xc4)) == size);
	memcpy(out, take(r, size), size);
}

static struct hash hash(struct slow_reader *r)
{
	struct hash out;

	bytes(r, out.bytes, sizeof out.bytes);
	return out;
}

static uint32_t tokens(struct slow_reader *r, struct text *out)
{
	uint32_t count = array(r);

	REQUIRE(count <= FSM_TOKENS_MAX);
	for (uint32_t i = 0; i < count; i++)
		out[i] = text(r);
	return count;
}

/* --- rows ---------------------------------------------------------------- */

static void *room(struct slow_reader *r, uint32_t count, size_t size)
{
	free(r->rows);
	r->rows = calloc(count ? count : 1, size);
	REQUIRE(r->rows);
	return r->rows;
}

static void read_renewals(struct slow_reader *r, struct command_beat *m)
{
	struct command_renewal *rows;

	m->renewal_count = array(r);
	rows = room(r, m->renewal_count, sizeof *rows);
	m->renewals = rows;
	for (uint32_t i = 0; i < m->renewal_count; i++) {
		REQUIRE(array(r) == 6);
		rows[i].gen = number(r);
		rows[i].crn = hash(r);
		rows[i].session = number(r);
		rows[i].seq = number(r);
		rows[i].applied = number(r);
		rows[i].got_ack = boolean(r);
	}
}

static void read_held(struct slow_reader *r, struct command_register *m)
{
	struct held_row *rows;

	m->held_count = array(r);
	rows = room(r, m->held_count, sizeof *rows);
	m->held = rows;
	for (uint32_t i = 0; i < m->held_count; i++) {
		REQUIRE(array(r) == 5);
		rows[i].program = hash(r);
		rows[i].gen = number(r);
		rows[i].epoch = number(r);
		rows[i].lineage = hash(r);
		rows[i].running = boolean(r);
	}
}

static void read_universe(struct slow_reader *r, struct command_new_gen *m)
{
	struct hash *rows;

	m->universe_count = array(r);
	rows = room(r, m->universe_count, sizeof *rows);
	m->universe = rows;
	for (uint32_t i = 0; i < m->universe_count; i++)
		rows[i] = hash(r);
}

/* --- commands ------------------------------------------------------------ */

static void read_register(struct slow_reader *r, struct command_register *m)
{
	m->gen = number(r);
	m->crn = hash(r);
	m->host = hash(r);
	m->boot = hash(r);
	m->prev = number(r);
	bytes(r, m->nonce, sizeof m->nonce);
	m->k_ms = small(r);
	m->watchdog = (enum crn_watchdog)small(r);
	m->class = (enum crn_class)small(r);
	m->unfenced_reason = text(r);
	read_held(r, m);
}

static void read_report(struct slow_reader *r, struct command_crn_report *m)
{
	m->crn = hash(r);
	m->session = number(r);
	m->vcpus = small(r);
	m->memory_mib = number(r);
	m->disk_mib = number(r);
	m->url = text(r);
	m->token_count = tokens(r, m->tokens);
}

static void read_config(struct slow_reader *r, struct fsm_config *m)
{
	uint32_t *numbers[] = {
		&m->heartbeat_ms, &m->ttl_a_ms, &m->ttl_s_ms, &m->k_ms,
		&m->dt_max_ms, &m->beat_ms, &m->sticky_ms,
		&m->start_failures_max, &m->start_timeout_ms, &m->exclude_ms,
		&m->rho_ppm, &m->programs_max, &m->crns_max};

	for (size_t i = 0; i < COUNT_OF(numbers); i++)
		*numbers[i] = small(r);
	m->watchdog_none_ok = boolean(r);
	m->unfenced_hold_ok = boolean(r);
}

static void read_put(struct slow_reader *r, struct command_program_put *m)
{
	m->program = hash(r);
	m->source = (enum program_source)small(r);
	m->kind = (enum program_kind)small(r);
	m->guarantee = (enum guarantee)small(r);
	m->amendable = boolean(r);
	m->has_data = boolean(r);
	m->move_without_data = boolean(r);
	m->persistent = boolean(r);
	m->has_replaces = boolean(r);
	m->replaces = hash(r);
	m->time_ms = number(r);
	m->code_revision = number(r);
	m->owner = text(r);
	m->name = text(r);
	m->vcpus = small(r);
	m->memory_mib = number(r);
	m->disk_mib = number(r);
	m->has_node_pin = boolean(r);
	m->node_pin = hash(r);
	m->token_count = tokens(r, m->tokens);
}

static void read_programs(struct slow_reader *r, struct command *c)
{
	switch ((int)c->type) {
	case FSM_ASSIGN:
		c->assign.program = hash(r);
		c->assign.crn = hash(r);
		c->assign.session = number(r);
		break;
	case FSM_REVOKE:
		c->revoke.program = hash(r);
		c->revoke.epoch = number(r);
		c->revoke.cause = (enum revoke_cause)small(r);
		c->revoke.reason = text(r);
		break;
	case FSM_PROGRAM_PUT:
		read_put(r, &c->program_put);
		break;
	case FSM_PROGRAM_FORGET:
		c->program_forget.program = hash(r);
		c->program_forget.reason = text(r);
		break;
	default:
		NEVER("a command of another type");
	}
}

static void read_crns(struct slow_reader *r, struct command *c)
{
	switch ((int)c->type) {
	case FSM_EXPIRE:
		c->expire.crn = hash(r);
		c->expire.session = number(r);
		break;
	case FSM_FENCE_CONFIRM:
		c->fence_confirm.gen = number(r);
		c->fence_confirm.crn = hash(r);
		c->fence_confirm.session = number(r);
		c->fence_confirm.all_machines = boolean(r);
		c->fence_confirm.who = text(r);
		break;
	case FSM_CRN_PUT:
		c->crn_put.crn = hash(r);
		c->crn_put.name = text(r);
		c->crn_put.owner = text(r);
		c->crn_put.linked = boolean(r);
		break;
	case FSM_CRN_REMOVE:
		c->crn_remove.crn = hash(r);
		break;
	default:
		read_programs(r, c);
	}
}

static void read_fields(struct slow_reader *r, struct command *c)
{
	switch ((int)c->type) {
	case FSM_LEAD:
		c->lead.term = number(r);
		c->lead.leader = number(r);
		break;
	case FSM_BEAT:
		c->beat.dt_ms = small(r);
		c->beat.wall_ms = number(r);
		read_renewals(r, &c->beat);
		break;
	case FSM_REGISTER:
		read_register(r, &c->reg);
		break;
	case FSM_CRN_REPORT:
		read_report(r, &c->report);
		break;
	case FSM_NEW_GEN:
		c->new_gen.gen = number(r);
		c->new_gen.no_holds = boolean(r);
		read_universe(r, &c->new_gen);
		c->new_gen.who = text(r);
		break;
	case FSM_CONFIG:
		read_config(r, &c->config);
		break;
	default:
		read_crns(r, c);
	}
}

void slow_read_open(struct slow_reader *r, const void *data, size_t size)
{
	*r = (struct slow_reader){.data = data, .size = size};
	REQUIRE(array(r) == 3 && number(r) == 1);
	r->term = number(r);
	r->left = array(r);
}

bool slow_read_next(struct slow_reader *r, struct command *c)
{
	if (r->left == 0) {
		REQUIRE(r->offset == r->size);
		return false;
	}
	r->left--;
	memset(c, 0, sizeof *c);
	(void)array(r);
	c->type = (enum fsm_command_type)small(r);
	if (r->offset < r->size && r->data[r->offset] == 0xc0)
		r->offset++;
	else
		bytes(r, c->request, sizeof c->request);
	read_fields(r, c);
	return true;
}

void slow_read_close(struct slow_reader *r)
{
	free(r->rows);
	r->rows = NULL;
}
