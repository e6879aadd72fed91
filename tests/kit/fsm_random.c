#include "tests/kit/fsm_random.h"

#include <stdlib.h>

#define PROGRAMS 14u
#define CRNS 5u

uint32_t dice_roll(struct dice *dice, uint32_t sides)
{
	dice->state = dice->state * UINT64_C(6364136223846793005) +
		      UINT64_C(1442695040888963407);
	return (uint32_t)((dice->state >> 33) % sides);
}

static bool chance(struct dice *d, uint32_t percent)
{
	return dice_roll(d, 100) < percent;
}

bool buffer_write(void *ctx, const void *data, size_t size)
{
	struct buffer *b = ctx;

	if (b->size + size > b->capacity) {
		b->capacity = (b->size + size) * 2;
		b->data = realloc(b->data, b->capacity);
		REQUIRE(b->data);
	}
	memcpy(b->data + b->size, data, size);
	b->size += size;
	return true;
}

bool buffer_read(void *ctx, void *data, size_t size)
{
	struct buffer *b = ctx;

	if (b->size - b->offset < size)
		return false;
	memcpy(data, b->data + b->offset, size);
	b->offset += size;
	return true;
}

void buffer_fini(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){0};
}

static struct hash name(char kind, uint32_t number)
{
	struct hash hash = {{0}};

	hash.bytes[0] = (uint8_t)kind;
	hash.bytes[1] = (uint8_t)('a' + number);
	return hash;
}

static struct hash a_program(struct dice *d)
{
	return name('p', dice_roll(d, PROGRAMS));
}

static struct hash a_crn(struct dice *d)
{
	return name('c', dice_roll(d, CRNS));
}

static struct text words(const char *string)
{
	return (struct text){string, (uint32_t)strlen(string)};
}

/* The record of a random CRN or program; false if there is none. */
static bool read_crn(struct dice *d, const struct fsm_view *view,
		     struct fsm_crn *out)
{
	memset(out, 0, sizeof *out);
	out->hash = a_crn(d);
	return fsm_crn_read(view, fsm_crn_find(view, &out->hash), out);
}

static bool read_program(struct dice *d, const struct fsm_view *view,
			 struct fsm_program *out)
{
	memset(out, 0, sizeof *out);
	out->hash = a_program(d);
	return fsm_program_read(view, fsm_program_find(view, &out->hash), out);
}

struct fsm_config random_config(struct dice *d)
{
	return (struct fsm_config){
		.heartbeat_ms = 500, .ttl_a_ms = 4000,
		.ttl_s_ms = 5200 + 100 * dice_roll(d, 5),
		.k_ms = 1000 + 50 * dice_roll(d, 3), .dt_max_ms = 2000,
		.beat_ms = 250, .sticky_ms = 4000, .start_failures_max = 3,
		.start_timeout_ms = 60000, .exclude_ms = 5000,
		.rho_ppm = 10000, .programs_max = PROGRAMS - 2, .crns_max = 8,
		.watchdog_none_ok = chance(d, 50),
		.unfenced_hold_ok = chance(d, 70),
	};
}

static void renewals(struct dice *d, const struct fsm_view *view,
		     struct command_beat *beat, struct random_rows *rows)
{
	struct fsm_status status;

	fsm_status(view, &status);
	beat->dt_ms = chance(d, 30) ? dice_roll(d, 4000) : 250;
	beat->wall_ms = status.wall_ms + beat->dt_ms;
	beat->renewals = rows->renewals;
	for (uint32_t i = 0; i < CRNS; i++) {
		struct command_renewal *r = &rows->renewals[i];
		struct fsm_crn crn;

		(void)read_crn(d, view, &crn);
		*r = (struct command_renewal){
			.gen = status.gen - chance(d, 3),
			.crn = crn.hash,
			.session = crn.session - chance(d, 5),
			.seq = dice_roll(d, 1000),
			.got_ack = chance(d, 70),
		};
		if (chance(d, 60))
			r->applied = chance(d, 80) ? stamp_version(status.index)
						   : crn.session;
	}
	beat->renewal_count = dice_roll(d, CRNS + 1);
}

static void held(struct dice *d, const struct fsm_view *view,
		 struct command_register *reg, struct random_rows *rows)
{
	reg->held_count = dice_roll(d, 7);
	reg->held = rows->held;
	for (uint32_t i = 0; i < reg->held_count; i++) {
		struct held_row *row = &rows->held[i];
		struct fsm_program p;

		(void)read_program(d, view, &p);
		*row = (struct held_row){
			.program = p.hash, .gen = p.gen, .epoch = p.epoch,
			.lineage = chance(d, 90) ? p.lineage : a_program(d),
			.running = chance(d, 85),
		};
		if (p.epoch == 0 || chance(d, 15)) {
			row->epoch = stamp_make(1 + dice_roll(d, 900), 1);
			row->gen = dice_roll(d, 5);
		}
	}
}

static void registration(struct dice *d, const struct fsm_view *view,
			 struct command_register *reg, struct random_rows *rows)
{
	struct fsm_status status;
	struct fsm_crn crn;

	fsm_status(view, &status);
	(void)read_crn(d, view, &crn);
	*reg = (struct command_register){
		.gen = status.gen, .crn = crn.hash,
		.host = name('h', chance(d, 85) ? crn.hash.bytes[1]
						: dice_roll(d, 3)),
		.boot = name('b', dice_roll(d, 2)),
		.prev = crn.session - chance(d, 5),
		.k_ms = chance(d, 90) ? 1000 : 3000,
		.watchdog = (enum crn_watchdog)dice_roll(d, 3),
		.class = chance(d, 80) ? CRN_FENCED : CRN_UNFENCED,
		.unfenced_reason = words("no pid namespaces"),
	};
	for (uint32_t i = 0; i < 16; i++)
		reg->nonce[i] = (uint8_t)dice_roll(d, 256);
	if (chance(d, 5))
		memcpy(reg->nonce, crn.nonce, sizeof reg->nonce);
	held(d, view, reg, rows);
}

static uint32_t tokens(struct dice *d, struct text *out, uint32_t percent)
{
	static const char *const all[] = {"arch:x86_64", "arch:arm64",
					  "runner:program", "gpu:10de:2504"};
	uint32_t count = 0;

	for (uint32_t i = 0; i < COUNT_OF(all); i++)
		if (chance(d, percent))
			out[count++] = words(all[i]);
	return count;
}

static void put(struct dice *d, struct command_program_put *p)
{
	*p = (struct command_program_put){
		.program = a_program(d),
		.source = chance(d, 80) ? SOURCE_CCN : SOURCE_OPERATOR,
		.guarantee = chance(d, 50) ? GUARANTEE_HOLD
					   : GUARANTEE_EXCLUSIVE,
		.amendable = chance(d, 90), .has_data = chance(d, 20),
		.move_without_data = chance(d, 30),
		.persistent = chance(d, 85), .has_replaces = chance(d, 50),
		.replaces = a_program(d), .time_ms = dice_roll(d, 5),
		.code_revision = dice_roll(d, 2),
		.owner = words(chance(d, 90) ? "0xalice" : "0xbob"),
		.name = words("web"), .vcpus = 1 + dice_roll(d, 2),
		.memory_mib = 128, .has_node_pin = chance(d, 5),
		.node_pin = a_crn(d),
	};
	p->token_count = tokens(d, p->tokens, 10);
}

static void move(struct dice *d, const struct fsm_view *view,
		 struct command *out)
{
	struct fsm_program p;
	struct fsm_crn crn;

	(void)read_program(d, view, &p);
	(void)read_crn(d, view, &crn);
	if (chance(d, 70)) {
		out->type = FSM_ASSIGN;
		out->assign = (struct command_assign){
			p.hash, crn.hash, crn.session - chance(d, 5)};
		return;
	}
	out->type = FSM_REVOKE;
	out->revoke = (struct command_revoke){
		p.hash, p.epoch + chance(d, 5),
		(enum revoke_cause)(1 + dice_roll(d, 4)), words("why not")};
}

static void operators(struct dice *d, const struct fsm_view *view,
		      struct command *out, struct random_rows *rows)
{
	struct fsm_status status;
	struct fsm_crn crn;

	fsm_status(view, &status);
	(void)read_crn(d, view, &crn);
	if (chance(d, 12)) {
		out->type = FSM_NEW_GEN;
		rows->universe[0] = a_crn(d);
		out->new_gen = (struct command_new_gen){
			status.gen + 1 - chance(d, 10), chance(d, 10),
			dice_roll(d, 2), rows->universe, words("operator")};
	} else if (chance(d, 50)) {
		stamp_t session = chance(d, 50) ? crn.session
						: crn.survey_session;

		out->type = FSM_FENCE_CONFIRM;
		out->fence_confirm = (struct command_fence_confirm){
			status.gen, crn.hash, session, chance(d, 70),
			words("operator")};
	} else if (chance(d, 30)) {
		out->type = FSM_CRN_REMOVE;
		out->crn_remove.crn = crn.hash;
	} else if (chance(d, 30)) {
		out->type = FSM_CONFIG;
		out->config = random_config(d);
	} else {
		out->type = FSM_PROGRAM_FORGET;
		out->program_forget = (struct command_program_forget){
			a_program(d), words("forgotten")};
	}
}

void random_command(struct dice *d, const struct fsm_view *view,
		    struct command *out, struct random_rows *rows)
{
	uint32_t what = dice_roll(d, 100);
	struct fsm_crn crn;

	memset(out, 0, sizeof *out);
	if (chance(d, 5))
		out->request[0] = (uint8_t)(1 + dice_roll(d, 30));
	(void)read_crn(d, view, &crn);
	if (what < 25) {
		out->type = FSM_BEAT;
		renewals(d, view, &out->beat, rows);
	} else if (what < 35) {
		out->type = FSM_REGISTER;
		registration(d, view, &out->reg, rows);
	} else if (what < 45) {
		out->type = FSM_CRN_REPORT;
		out->report = (struct command_crn_report){
			crn.hash, crn.session, 2 + dice_roll(d, 4), 4096, 100,
			words("http://crn"), 0, {{0}}};
		out->report.token_count = tokens(d, out->report.tokens, 80);
	} else if (what < 50) {
		out->type = FSM_EXPIRE;
		out->expire = (struct command_expire){crn.hash, crn.session};
	} else if (what < 75) {
		move(d, view, out);
	} else if (what < 90) {
		out->type = FSM_PROGRAM_PUT;
		put(d, &out->program_put);
	} else if (what < 94) {
		out->type = FSM_CRN_PUT;
		out->crn_put = (struct command_crn_put){
			a_crn(d), words("crn"), words("owner"), chance(d, 90)};
	} else {
		operators(d, view, out, rows);
	}
}
