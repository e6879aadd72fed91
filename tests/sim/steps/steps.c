/* Writes what the simulator does as steps of the model (tests/model/trace): one
 * line an action, then what the state shows after it. The calls of the shipped
 * code are caught where they cross into it (--wrap), so that no other file of
 * the simulator knows of this one. Only what was accepted is a step.
 *
 * Numbers for names: programs and CRNs by their number in the world, machines
 * by theirs, hosts, boots and nonces by the order they were first met in.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/whole/oracle.h"

#define NAMES_MAX (1u << 20)

static FILE *out;
static struct world *world;

/* --- names --------------------------------------------------------------------- */

static struct {
	uint8_t bytes[32];
	uint32_t number;
} names[NAMES_MAX];
static uint32_t name_count;

static uint32_t name_of(const void *bytes, size_t size)
{
	uint8_t whole[32] = { 0 };
	uint64_t at;

	memcpy(whole, bytes, size);
	memcpy(&at, whole, sizeof at);
	if (at == 0)
		return 0;
	for (at = bytes_hash(whole, 32) % NAMES_MAX; names[at].number != 0;
	     at = (at + 1) % NAMES_MAX)
		if (memcmp(names[at].bytes, whole, 32) == 0)
			return names[at].number;
	REQUIRE(name_count < NAMES_MAX / 2);
	memcpy(names[at].bytes, whole, 32);
	names[at].number = ++name_count;
	return name_count;
}

static uint32_t crn_of(const struct hash *hash)
{
	uint32_t number;

	memcpy(&number, hash->bytes + 28, sizeof number);
	return number;
}

static uint32_t host_name_of(const struct hash *hash)
{
	return name_of(hash->bytes, sizeof hash->bytes);
}

static uint32_t nonce_name(const uint8_t nonce[16])
{
	return name_of(nonce, 16);
}

/* --- the replicated state ------------------------------------------------------- */

static struct {
	char crns[CRNS_MAX][256], programs[PROGRAMS_MAX][256], whole[128];
	bool crn_seen[CRNS_MAX], program_seen[PROGRAMS_MAX];
	uint64_t index, gen;
} shown;

static void show(char *last, size_t size, const char *line)
{
	if (strcmp(last, line) == 0)
		return;
	snprintf(last, size, "%s", line);
	fputs(line, out);
}

static void show_crn(const struct fsm_crn *c)
{
	uint32_t number = crn_of(&c->hash);
	char line[256];

	snprintf(line, sizeof line, "C %u 1 %" PRIu64 " %d %d %" PRIu64
		 " %u %u %u %" PRIu64 " %d %" PRIu64 "\n", number, c->session,
		 c->alive, c->established, c->exp_ms, host_name_of(&c->host),
		 host_name_of(&c->boot), nonce_name(c->nonce), c->changed,
		 c->surveyed, c->surveyed ? 0 : c->survey_session);
	shown.crn_seen[number] = true;
	show(shown.crns[number], sizeof line, line);
}

static void show_program(const struct fsm_program *p)
{
	uint32_t number = program_number(world, &p->hash);
	bool placed = p->state == PROGRAM_ASSIGNED ||
		      p->state == PROGRAM_REVOKING;
	bool unwanted = p->superseded || p->waiting_for_replaced ||
			!p->persistent;
	char line[256];

	snprintf(line, sizeof line, "P %u 1 %d %u %" PRIu64 " %" PRIu64 " %"
		 PRIu64 " %" PRIu64 " %d %u %d %d %u %d\n", number, p->state,
		 placed ? crn_of(&p->crn_hash) : 0, placed ? p->session : 0,
		 placed ? p->gen : 0, placed ? p->epoch : 0,
		 p->state == PROGRAM_REVOKING ? p->v_rev : 0,
		 placed && p->hold, placed ? host_name_of(&p->host) : 0,
		 placed && p->lost, unwanted,
		 program_number(world, &p->lineage),
		 p->guarantee == GUARANTEE_HOLD);
	shown.program_seen[number] = true;
	show(shown.programs[number], sizeof line, line);
}

static void show_gone(void)
{
	char line[64];

	for (uint32_t i = 0; i < CRNS_MAX; i++) {
		snprintf(line, sizeof line, "C %u 0\n", i);
		if (!shown.crn_seen[i] && shown.crns[i][0] != 0)
			show(shown.crns[i], sizeof shown.crns[i], line);
	}
	for (uint32_t i = 0; i < PROGRAMS_MAX; i++) {
		snprintf(line, sizeof line, "P %u 0\n", i);
		if (!shown.program_seen[i] && shown.programs[i][0] != 0)
			show(shown.programs[i], sizeof shown.programs[i], line);
	}
}

/* Only what differs from what was shown last. */
static void show_state(const struct fsm_view *view)
{
	struct fsm_status status;
	struct fsm_program program;
	struct fsm_crn crn;
	char line[128];

	memset(shown.crn_seen, 0, sizeof shown.crn_seen);
	memset(shown.program_seen, 0, sizeof shown.program_seen);
	fsm_status(view, &status);
	snprintf(line, sizeof line, "S %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
		 status.gen, status.c_ms, status.quar_until_ms);
	show(shown.whole, sizeof shown.whole, line);
	for (slot_t i = 0; i < fsm_crn_bound(view); i++)
		if (fsm_crn_read(view, i, &crn))
			show_crn(&crn);
	for (slot_t i = 0; i < fsm_program_bound(view); i++)
		if (fsm_program_read(view, i, &program))
			show_program(&program);
	show_gone();
	fputs(".\n", out);
}

/* --- commands -------------------------------------------------------------------- */

static void write_beat(const struct command_beat *beat)
{
	fprintf(out, "beat %u %u", beat->dt_ms, beat->renewal_count);
	for (uint32_t i = 0; i < beat->renewal_count; i++) {
		const struct command_renewal *r = &beat->renewals[i];

		fprintf(out, " %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
			" %d", crn_of(&r->crn), r->gen, r->session, r->seq,
			r->applied, r->got_ack);
	}
}

static void write_register(const struct command_register *r)
{
	fprintf(out, "register %u %" PRIu64 " %" PRIu64 " %u %u %u %u",
		crn_of(&r->crn), r->gen, r->prev, nonce_name(r->nonce),
		host_name_of(&r->host), host_name_of(&r->boot), r->held_count);
	for (uint32_t i = 0; i < r->held_count; i++)
		fprintf(out, " %u %" PRIu64 " %" PRIu64 " %d",
			program_number(world, &r->held[i].program),
			r->held[i].gen, r->held[i].epoch, r->held[i].running);
}

static void write_new_gen(const struct command_new_gen *m)
{
	fprintf(out, "newgen %" PRIu64 " %d %u", m->gen, m->no_holds,
		m->universe_count);
	for (uint32_t i = 0; i < m->universe_count; i++)
		fprintf(out, " %u", crn_of(&m->universe[i]));
}

static void write_placing(const struct command *c)
{
	if (c->type == FSM_EXPIRE)
		fprintf(out, "expire %u %" PRIu64, crn_of(&c->expire.crn),
			c->expire.session);
	else if (c->type == FSM_ASSIGN)
		fprintf(out, "assign %u %u %" PRIu64,
			program_number(world, &c->assign.program),
			crn_of(&c->assign.crn), c->assign.session);
	else if (c->type == FSM_REVOKE)
		fprintf(out, "revoke %u %" PRIu64,
			program_number(world, &c->revoke.program),
			c->revoke.epoch);
	else if (c->type == FSM_FENCE_CONFIRM)
		fprintf(out, "confirm %u %" PRIu64 " %d",
			crn_of(&c->fence_confirm.crn),
			c->fence_confirm.session,
			c->fence_confirm.all_machines);
	else if (c->type == FSM_CRN_REMOVE)
		fprintf(out, "remove %u", crn_of(&c->crn_remove.crn));
	else if (c->type == FSM_CONFIG)
		fprintf(out, "config %u %u %u", c->config.ttl_a_ms,
			c->config.ttl_s_ms, c->config.dt_max_ms);
	else
		fprintf(out, "other %d", (int)c->type);
}

struct applying {
	const struct fsm_observer *observer;
	struct command_cursor cursor;
	struct fsm *fsm;
};

static void on_result(void *ctx, const struct fsm_result *result)
{
	struct applying *a = ctx;
	struct command command;

	REQUIRE(command_cursor_next(&a->cursor, &command) == 0);
	if (result->refusal == FSM_OK) {
		if (command.type == FSM_BEAT)
			write_beat(&command.beat);
		else if (command.type == FSM_REGISTER)
			write_register(&command.reg);
		else if (command.type == FSM_NEW_GEN)
			write_new_gen(&command.new_gen);
		else
			write_placing(&command);
		fprintf(out, " stamp %" PRIu64 "\n", result->stamp);
		show_state(fsm_live(a->fsm));
	}
	a->observer->result(a->observer->ctx, result);
}

static void on_effect(void *ctx, const struct fsm_effect *effect)
{
	struct applying *a = ctx;

	a->observer->effect(a->observer->ctx, effect);
}

void __real_fsm_apply(struct fsm *fsm, uint64_t index, const void *data,
		      size_t size, const struct fsm_observer *observer);
void __wrap_fsm_apply(struct fsm *fsm, uint64_t index, const void *data,
		      size_t size, const struct fsm_observer *observer);
void __wrap_fsm_apply(struct fsm *fsm, uint64_t index, const void *data,
		      size_t size, const struct fsm_observer *observer)
{
	struct applying a = { .observer = observer, .fsm = fsm };
	const struct fsm_observer own = { &a, on_result, on_effect };
	struct fsm_status status;

	if (!out || fsm_live(fsm) != oracle_view(world)) {
		__real_fsm_apply(fsm, index, data, size, observer);
		return;
	}
	fsm_status(fsm_live(fsm), &status);
	/* A backup may end where the world before it did. */
	if (status.index != shown.index || status.gen != shown.gen) {
		fprintf(out, "restored %" PRIu64 " stamp 0\n", status.index);
		show_state(fsm_live(fsm));
	}
	if (size == 0) {
		__real_fsm_apply(fsm, index, data, size, observer);
	} else {
		REQUIRE(command_cursor_open(&a.cursor, data, size) == 0);
		__real_fsm_apply(fsm, index, data, size, &own);
		command_cursor_close(&a.cursor);
	}
	fsm_status(fsm_live(fsm), &status);
	shown.index = index;
	shown.gen = status.gen;
}

/* --- machines --------------------------------------------------------------------- */

static struct host *host_around(struct tenure *t)
{
	return (struct host *)(void *)((char *)t -
				       offsetof(struct host, fencer.tenure));
}

static void begin(struct tenure *t, const char *call)
{
	struct host *host = host_around(t);

	fprintf(out, "%s %u %" PRIu64, call, host->number, host_ms(host));
}

/* What the machine's lease core shows after the call. */
static void end(struct tenure *t)
{
	fprintf(out, "\nM %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %"
		PRIu64 " %" PRIu64 " %d %d %d %" PRIu64 " %" PRIu64 " %u",
		t->gen, t->session, t->version, t->have, t->applied,
		tenure_deadline(t), t->got_ack, t->set_taken, t->nonce_bound,
		t->nonce_bound ? t->prev : 0, t->prev_max, t->desired_count);
	for (uint32_t i = 0; i < t->desired_count; i++)
		fprintf(out, " %u %" PRIu64 " %" PRIu64,
			program_number(world, &t->desired[i].program),
			t->desired[i].gen, t->desired[i].epoch);
	fprintf(out, " %u", t->run_count);
	for (uint32_t i = 0; i < RUNS_MAX; i++)
		if (t->runs[i].state != TENURE_RUN_NONE)
			fprintf(out, " %u %" PRIu64 " %" PRIu64 " %d %d %d",
				program_number(world, &t->runs[i].program),
				t->runs[i].gen, t->runs[i].epoch,
				t->runs[i].hold, t->runs[i].condemned,
				t->runs[i].state == TENURE_RUN_UNKNOWN);
	fputs("\n", out);
}

static void begin_run(struct tenure *t, const char *call,
		      const struct tenure_run *run)
{
	begin(t, call);
	fprintf(out, " %u %" PRIu64 " %" PRIu64 " %d %d",
		program_number(world, &run->program), run->gen, run->epoch,
		run->hold, run->state == TENURE_RUN_UNKNOWN);
}

#define WRAP(type, name, ...)                  \
	type __real_##name(__VA_ARGS__);       \
	type __wrap_##name(__VA_ARGS__);       \
	type __wrap_##name(__VA_ARGS__)

static struct tenure *started;

WRAP(void, tenure_init, struct tenure *t, const struct hash *crn,
     const struct hash *host, const struct hash *boot, uint64_t gen)
{
	__real_tenure_init(t, crn, host, boot, gen);
	started = t;
}

/* Told when the head of the run table is read: before any row of it. */
static void init_told(void)
{
	struct tenure *t = started;

	started = NULL;
	if (!out || !t)
		return;
	begin(t, "init");
	fprintf(out, " %u %u %u", crn_of(&t->crn), host_name_of(&t->host),
		host_name_of(&t->boot));
	end(t);
}

WRAP(void, fencer__settle, struct fencer *f)
{
	__real_fencer__settle(f);
	init_told();
}

WRAP(struct tenure_run *, tenure_found, struct tenure *t, uint32_t at,
     const struct tenure_run *run)
{
	struct tenure_run *found;

	init_told();
	found = __real_tenure_found(t, at, run);
	if (out) {
		begin_run(t, "found", run);
		end(t);
	}
	return found;
}

WRAP(bool, tenure_tick, struct tenure *t, uint64_t now_ms)
{
	bool ended = __real_tenure_tick(t, now_ms);

	if (out && ended) {
		begin(t, "tick");
		end(t);
	}
	return ended;
}

WRAP(void, tenure_end, struct tenure *t)
{
	__real_tenure_end(t);
	if (!out)
		return;
	begin(t, "end");
	end(t);
}

WRAP(enum fencer_code, tenure_hello, struct tenure *t, const uint8_t nonce[16])
{
	enum fencer_code code = __real_tenure_hello(t, nonce);

	if (!out || code != FENCER_OK)
		return code;
	begin(t, "hello");
	fprintf(out, " %u %u", nonce_name(nonce), t->held_count);
	for (uint32_t i = 0; i < t->held_count; i++)
		fprintf(out, " %u %" PRIu64 " %" PRIu64 " %d",
			program_number(world, &t->held[i].program),
			t->held[i].gen, t->held[i].epoch, t->held[i].running);
	end(t);
	return code;
}

WRAP(enum fencer_code, tenure_challenge, struct tenure *t,
     const struct agent_challenge *m)
{
	enum fencer_code code = __real_tenure_challenge(t, m);

	if (!out || code != FENCER_OK)
		return code;
	begin(t, "challenge");
	fprintf(out, " %u %" PRIu64 " %" PRIu64, nonce_name(m->nonce), m->gen,
		m->session);
	end(t);
	return code;
}

WRAP(enum fencer_code, tenure_adopt, struct tenure *t, uint64_t now_ms,
     const struct agent_register_ack *m)
{
	enum fencer_code code = __real_tenure_adopt(t, now_ms, m);

	if (!out || (code != FENCER_OK && code != FENCER_PAST_DEADLINE))
		return code;
	begin(t, "adopt");
	fprintf(out, " %u %" PRIu64 " %" PRIu64 " %u %u", nonce_name(m->nonce),
		m->gen, m->session, m->ttl_a_ms, m->kept_count);
	for (uint32_t i = 0; i < m->kept_count; i++)
		fprintf(out, " %u", program_number(world, &m->kept[i]));
	end(t);
	return code;
}

WRAP(enum fencer_code, tenure_mark, struct tenure *t, uint64_t now_ms,
     uint64_t *seq)
{
	enum fencer_code code = __real_tenure_mark(t, now_ms, seq);

	if (!out || code != FENCER_OK)
		return code;
	begin(t, "mark");
	fprintf(out, " %" PRIu64, *seq);
	end(t);
	return code;
}

WRAP(enum fencer_code, tenure_reply, struct tenure *t, uint64_t now_ms,
     const struct agent_reply *m, bool *took)
{
	enum fencer_code code = __real_tenure_reply(t, now_ms, m, took);

	if (!out || code != FENCER_OK)
		return code;
	begin(t, "reply");
	fprintf(out, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %" PRIu64 " %"
		PRIu64 " %d %u", m->gen, m->session, m->ack_seq, m->ttl_a_ms,
		m->version, m->changed, m->has_desired,
		m->has_desired ? m->desired_count : 0);
	for (uint32_t i = 0; m->has_desired && i < m->desired_count; i++)
		fprintf(out, " %u %" PRIu64 " %" PRIu64 " %d",
			program_number(world, &m->desired[i].program),
			m->desired[i].gen, m->desired[i].epoch,
			m->desired[i].hold);
	end(t);
	return code;
}

WRAP(enum fencer_code, tenure_gate, struct tenure *t, uint64_t now_ms,
     const struct hash *program, uint64_t gen, stamp_t epoch,
     struct tenure_run **run)
{
	enum fencer_code code = __real_tenure_gate(t, now_ms, program, gen,
						   epoch, run);

	if (!out || code != FENCER_OK)
		return code;
	begin_run(t, "gate", *run);
	end(t);
	return code;
}

WRAP(void, tenure_dead, struct tenure *t, struct tenure_run *run)
{
	struct tenure_run before = *run;

	__real_tenure_dead(t, run);
	if (!out)
		return;
	begin_run(t, "dead", &before);
	end(t);
}

/* --- a world ------------------------------------------------------------------------ */

WRAP(void, oracle_open, struct world *opened)
{
	const char *file = getenv("BERTH_SIM_STEPS");

	__real_oracle_open(opened);
	world = opened;
	if (file && !out)
		out = need(fopen(file, "w"));
	if (!out)
		return;
	memset(&shown, 0, sizeof shown);
	memset(names, 0, sizeof names);
	name_count = 0;
	fprintf(out, "world %" PRIu64 "\n", opened->seed);
}

WRAP(void, oracle_close, struct world *closed)
{
	if (out)
		fflush(out);
	__real_oracle_close(closed);
}
