#include "tests/kit/fsm_stream.h"

#include "fsm/place.h"

/* --- near misses --------------------------------------------------------- */

/* A number that is just wrong. */
uint64_t fsm_stream_near(struct dice *d, uint64_t right)
{
	static const uint64_t odd[] = {0, 1, UINT64_C(1) << 40,
				       (UINT64_C(1) << 40) + 1, 65535, 65536};

	switch (dice_roll(d, 4)) {
	case 0:
		return right + 1;
	case 1:
		return right ? right - 1 : 1;
	case 2:
		return right * 2;
	default:
		return odd[dice_roll(d, COUNT_OF(odd))];
	}
}

static uint32_t near32(struct dice *d, uint32_t right)
{
	return (uint32_t)fsm_stream_near(d, right);
}

static struct hash near_hash(struct dice *d, struct hash right)
{
	struct hash none = {{0}};

	if (dice_roll(d, 3) == 0)
		return none;
	right.bytes[dice_roll(d, 2)] ^= (uint8_t)(1 << dice_roll(d, 3));
	return right;
}

/* ttl_s as short as the formula of lease.md 2.5 allows, or a millisecond off. */
static void tight(struct dice *d, struct fsm_config *c)
{
	uint64_t million = 1000000, sum;

	c->ttl_a_ms = 3000 + dice_roll(d, 1000);
	c->rho_ppm = dice_roll(d, 3) ? dice_roll(d, 20000)
				     : 199999 + dice_roll(d, 3);
	sum = (c->ttl_a_ms * million + million - c->rho_ppm - 1) /
	      (million - c->rho_ppm);
	sum = (sum + c->k_ms) * (million + c->rho_ppm);
	c->ttl_s_ms = (uint32_t)((sum + million - 1) / million) + 19 +
		      dice_roll(d, 3);
}

static void twist_config(struct dice *d, struct fsm_config *c)
{
	uint32_t *fields[] = {&c->heartbeat_ms, &c->ttl_a_ms, &c->ttl_s_ms,
			      &c->k_ms, &c->dt_max_ms, &c->beat_ms,
			      &c->sticky_ms, &c->start_failures_max,
			      &c->start_timeout_ms, &c->exclude_ms,
			      &c->rho_ppm, &c->programs_max, &c->crns_max};
	uint32_t *field = fields[dice_roll(d, COUNT_OF(fields))];

	if (dice_roll(d, 3) == 0)
		tight(d, c);
	else
		*field = near32(d, *field);
}

static void twist_put(struct dice *d, struct command_program_put *m)
{
	switch (dice_roll(d, 8)) {
	case 0:
		m->program = near_hash(d, m->program);
		break;
	case 1:
		m->vcpus = near32(d, m->vcpus);
		break;
	case 2:
		m->memory_mib = fsm_stream_near(d, m->memory_mib);
		break;
	case 3:
		m->disk_mib = fsm_stream_near(d, m->disk_mib);
		break;
	case 4:
		m->replaces = near_hash(d, m->replaces);
		break;
	case 5:
		m->has_replaces = true;
		m->replaces = m->program;
		break;
	case 6:
		m->kind = KIND_INSTANCE;
		break;
	default:
		m->has_node_pin = true;
		m->node_pin = near_hash(d, m->node_pin);
	}
}

static void twist_register(struct dice *d, struct command_register *m)
{
	switch (dice_roll(d, 7)) {
	case 0:
		m->gen = fsm_stream_near(d, m->gen);
		break;
	case 1:
		m->crn = near_hash(d, m->crn);
		break;
	case 2:
		m->host = near_hash(d, m->host);
		break;
	case 3:
		m->boot = near_hash(d, m->boot);
		break;
	case 4:
		m->prev = fsm_stream_near(d, m->prev);
		break;
	case 5:
		memset(m->nonce, 0, sizeof m->nonce);
		break;
	default:
		m->k_ms = near32(d, m->k_ms);
	}
}

static void twist_report(struct dice *d, struct command_crn_report *m)
{
	uint32_t what = dice_roll(d, 5);

	if (what == 0)
		m->session = fsm_stream_near(d, m->session);
	else if (what == 1)
		m->vcpus = near32(d, m->vcpus);
	else if (what == 2)
		m->memory_mib = fsm_stream_near(d, m->memory_mib);
	else if (what == 3)
		m->disk_mib = fsm_stream_near(d, m->disk_mib);
	else
		m->crn = near_hash(d, m->crn);
}

static void twist_fence(struct dice *d, struct command_fence_confirm *m)
{
	uint32_t what = dice_roll(d, 3);

	if (what == 0)
		m->gen = fsm_stream_near(d, m->gen);
	else if (what == 1)
		m->session = fsm_stream_near(d, m->session);
	else
		m->crn = near_hash(d, m->crn);
}

/* Changes one field of a command that may have been right. */
void fsm_stream_twist(struct dice *d, struct command *c)
{
	if (c->type == FSM_CONFIG)
		twist_config(d, &c->config);
	else if (c->type == FSM_PROGRAM_PUT)
		twist_put(d, &c->program_put);
	else if (c->type == FSM_REGISTER)
		twist_register(d, &c->reg);
	else if (c->type == FSM_CRN_REPORT)
		twist_report(d, &c->report);
	else if (c->type == FSM_FENCE_CONFIRM)
		twist_fence(d, &c->fence_confirm);
	else if (c->type == FSM_EXPIRE)
		c->expire.crn = near_hash(d, c->expire.crn);
	else if (c->type == FSM_ASSIGN && dice_roll(d, 2))
		c->assign.crn = near_hash(d, c->assign.crn);
	else if (c->type == FSM_ASSIGN)
		c->assign.program = near_hash(d, c->assign.program);
	else if (c->type == FSM_REVOKE)
		c->revoke.program = near_hash(d, c->revoke.program);
	else if (c->type == FSM_CRN_PUT)
		c->crn_put.crn = near_hash(d, c->crn_put.crn);
	else if (c->type == FSM_CRN_REMOVE)
		c->crn_remove.crn = near_hash(d, c->crn_remove.crn);
	else if (c->type == FSM_PROGRAM_FORGET)
		c->program_forget.program =
			near_hash(d, c->program_forget.program);
}

/* --- a leader ------------------------------------------------------------- */

static void steady_beat(struct dice *d, const struct fsm_view *view,
			struct command *c, struct random_rows *rows)
{
	struct fsm_status status;
	uint32_t count = 0;

	fsm_status(view, &status);
	for (slot_t i = 0; i < fsm_crn_bound(view) && count < 8; i++) {
		struct fsm_crn r;

		if (!fsm_crn_read(view, i, &r) || !r.alive ||
		    dice_roll(d, 10) == 0)
			continue;
		rows->renewals[count++] = (struct command_renewal){
			status.gen, r.hash, r.session, r.seq_seen + 1,
			dice_roll(d, 3) ? stamp_version(status.index) : 0,
			dice_roll(d, 4) > 0};
	}
	c->type = FSM_BEAT;
	c->beat = (struct command_beat){250, status.wall_ms + 250, count,
					rows->renewals};
}

static bool place(const struct fsm_view *view, struct command *c)
{
	uint32_t cursor = 0;

	c->type = FSM_ASSIGN;
	return place_round(view, NULL, &cursor, 100, &c->assign, 1) == 1;
}

static bool expire(const struct fsm_view *view, struct command *c)
{
	struct fsm_crn r;
	slot_t slot;

	if (fsm_due(view, &slot, 1) == 0 || !fsm_crn_read(view, slot, &r))
		return false;
	c->type = FSM_EXPIRE;
	c->expire = (struct command_expire){r.hash, r.session};
	return true;
}

static bool report(const struct fsm_view *view, slot_t slot, struct command *c)
{
	static const char *const all[] = {"arch:x86_64", "arch:arm64",
					  "runner:program", "gpu:10de:2504"};
	struct fsm_crn r;

	if (!fsm_crn_read(view, slot, &r) || !r.alive || r.reported)
		return false;
	c->type = FSM_CRN_REPORT;
	c->report = (struct command_crn_report){
		r.hash, r.session, 6, 4096, 100, {"http://crn", 10}, 4, {{0}}};
	for (uint32_t i = 0; i < 4; i++)
		c->report.tokens[i] = (struct text){
			all[i], (uint32_t)strlen(all[i])};
	return true;
}

static bool pick(struct dice *d, const struct fsm_view *view, struct command *c)
{
	slot_t crn = dice_roll(d, fsm_crn_bound(view) + 1);
	slot_t program = dice_roll(d, fsm_program_bound(view) + 1);
	struct fsm_status status;
	struct fsm_program p;
	struct fsm_crn r;

	fsm_status(view, &status);
	if (!fsm_crn_read(view, crn, &r) ||
	    !fsm_program_read(view, program, &p))
		return false;
	if (p.orphan && dice_roll(d, 4) == 0) {
		c->type = FSM_FENCE_CONFIRM;
		c->fence_confirm = (struct command_fence_confirm){
			status.gen, p.crn_hash, p.session, false, {"me", 2}};
	} else if (p.state == PROGRAM_ASSIGNED && dice_roll(d, 2)) {
		c->type = FSM_REVOKE;
		c->revoke = (struct command_revoke){p.hash, p.epoch,
			(enum revoke_cause)(1 + dice_roll(d, 4)), {"it", 2}};
	} else if (!r.alive && dice_roll(d, 8) == 0) {
		c->type = FSM_CRN_REMOVE;
		c->crn_remove.crn = r.hash;
	} else {
		c->type = FSM_ASSIGN;
		c->assign = (struct command_assign){p.hash, r.hash, r.session};
	}
	return true;
}

/* What a leader would propose; false: nothing now. */
static bool sensible(struct dice *d, const struct fsm_view *view,
		     struct command *c, struct random_rows *rows)
{
	memset(c, 0, sizeof *c);
	switch (dice_roll(d, 6)) {
	case 0:
	case 1:
		steady_beat(d, view, c, rows);
		return true;
	case 2:
		return place(view, c);
	case 3:
		return expire(view, c);
	case 4:
		return report(view, dice_roll(d, fsm_crn_bound(view) + 1), c);
	default:
		return pick(d, view, c);
	}
}

/* The same message again, or the same with another wish. */
static void put_again(struct dice *d, const struct fsm_view *view,
		      struct command *c)
{
	struct command_program_put *m = &c->program_put;
	struct fsm_program p;

	if (!fsm_program_read(view, dice_roll(d, fsm_program_bound(view) + 1),
			      &p))
		return;
	memset(c, 0, sizeof *c);
	c->type = FSM_PROGRAM_PUT;
	*m = (struct command_program_put){
		p.hash, p.source, p.kind, p.guarantee, p.amendable, p.has_data,
		p.move_without_data, p.persistent, p.has_replaces, p.replaces,
		p.time_ms, p.code_revision, p.owner, p.name, p.vcpus,
		p.memory_mib, p.disk_mib, p.has_node_pin, p.node_pin,
		p.token_count, {{0}}};
	memcpy(m->tokens, p.tokens, p.token_count * sizeof m->tokens[0]);
	switch (dice_roll(d, 12)) {
	case 0:
		m->code_revision++;
		break;
	case 1:
		m->guarantee = m->guarantee == GUARANTEE_HOLD
				       ? GUARANTEE_EXCLUSIVE : GUARANTEE_HOLD;
		break;
	case 2:
		m->vcpus = 1 + dice_roll(d, 3);
		break;
	case 3:
		m->memory_mib = 128 + dice_roll(d, 2);
		break;
	case 4:
		m->has_data = !m->has_data;
		break;
	case 5:
		m->name = (struct text){"db", 2};
		break;
	case 6:
		m->token_count = m->token_count ? m->token_count - 1 : 0;
		break;
	case 7:
		m->amendable = !m->amendable;
		break;
	case 8:
		m->persistent = !m->persistent;
		break;
	case 9:
		m->time_ms++;
		break;
	case 10:
		m->move_without_data = !m->move_without_data;
		break;
	default:
		break;
	}
}

/* --- to the millisecond -------------------------------------------------- */

/* When something ends, and the command that is allowed just before or just
 * from then on. */
static bool lease_ends(struct dice *d, const struct fsm_view *view,
		       uint64_t *at_ms, struct command *c)
{
	struct fsm_crn r;

	if (!fsm_crn_read(view, dice_roll(d, fsm_crn_bound(view) + 1), &r) ||
	    !r.alive)
		return false;
	*at_ms = r.exp_ms;
	c->type = FSM_EXPIRE;
	c->expire = (struct command_expire){r.hash, r.session};
	return true;
}

static bool exclusion_ends(struct dice *d, const struct fsm_view *view,
			   uint64_t *at_ms, struct command *c)
{
	slot_t slot = dice_roll(d, fsm_program_bound(view) + 1);
	struct fsm_exclusion exclusion;
	struct fsm_program p;
	struct fsm_crn r;

	if (!fsm_program_read(view, slot, &p) ||
	    fsm_program_exclusions(view, slot, &exclusion, 1) == 0 ||
	    !fsm_crn_read(view, exclusion.crn, &r))
		return false;
	*at_ms = exclusion.until_ms;
	c->type = FSM_ASSIGN;
	c->assign = (struct command_assign){p.hash, r.hash, r.session};
	return true;
}

static bool quarantine_ends(struct dice *d, const struct fsm_view *view,
			    uint64_t *at_ms, struct command *c)
{
	struct fsm_status status;
	struct fsm_program p;
	struct fsm_crn r;

	fsm_status(view, &status);
	*at_ms = status.quar_until_ms;
	c->type = FSM_ASSIGN;
	for (uint32_t i = 0; i < 20; i++)
		if (fsm_crn_read(view, dice_roll(d, fsm_crn_bound(view) + 1),
				 &r) && r.established && r.reported &&
		    fsm_program_read(view, dice_roll(d, fsm_program_bound(view)
						     + 1), &p) &&
		    p.state == PROGRAM_FREE) {
			c->assign = (struct command_assign){p.hash, r.hash,
							    r.session};
			return true;
		}
	return false;
}

/* A Beat up to the edge, and what it is the edge of. */
static bool edge(struct fsm_stream *stream, struct dice *d,
		 const struct fsm_view *view, struct command *c)
{
	uint32_t which = dice_roll(d, 3);
	struct fsm_status status;
	uint64_t at_ms = 0;

	memset(&stream->next, 0, sizeof stream->next);
	stream->has_next = false;
	if (which == 0 ? !lease_ends(d, view, &at_ms, &stream->next) :
	    which == 1 ? !exclusion_ends(d, view, &at_ms, &stream->next) :
			 !quarantine_ends(d, view, &at_ms, &stream->next))
		return false;
	fsm_status(view, &status);
	if (at_ms < status.c_ms + 1)
		return false;
	memset(c, 0, sizeof *c);
	c->type = FSM_BEAT;
	c->beat.dt_ms = (uint32_t)(at_ms - status.c_ms) - 1 + dice_roll(d, 3);
	stream->has_next = c->beat.dt_ms <= status.config.dt_max_ms;
	return true;
}

/* A row of held[] that is nearly right; CRNs that promise another K. */
static void twist_rows(struct dice *d, struct command_register *m,
		       struct random_rows *rows)
{
	struct held_row *row;

	if (m->k_ms == 1000)
		m->k_ms = 950 + 50 * dice_roll(d, 3);
	if (m->held_count == 0 || dice_roll(d, 3))
		return;
	row = &rows->held[dice_roll(d, m->held_count)];
	switch (dice_roll(d, 4)) {
	case 0:
		row->gen += dice_roll(d, 2) ? 1 : UINT64_MAX;
		break;
	case 1:
		row->epoch += dice_roll(d, 2) ? 1 : UINT64_MAX;
		break;
	case 2:
		row->epoch = 0;
		row->running = true;
		break;
	default:
		row->program = near_hash(d, row->program);
	}
}

void fsm_stream_command(struct fsm_stream *stream, struct dice *d,
			const struct fsm_view *view, struct command *c,
			struct random_rows *rows)
{
	if (stream->has_next) {
		*c = stream->next;
		stream->has_next = false;
		return;
	}
	if (dice_roll(d, 12) < stream->sense && edge(stream, d, view, c))
		return;
	if (dice_roll(d, 10) >= stream->sense || !sensible(d, view, c, rows))
		random_command(d, view, c, rows);
	if (c->type == FSM_REGISTER)
		twist_rows(d, &c->reg, rows);
	if (dice_roll(d, 20) == 0)
		put_again(d, view, c);
	if (dice_roll(d, 12) == 0)
		fsm_stream_twist(d, c);
	if (dice_roll(d, 30) == 0)
		c->request[0] = (uint8_t)(1 + dice_roll(d, 60));
}
