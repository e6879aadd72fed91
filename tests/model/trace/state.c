/* Each accepted command, taken by the model's state; then both are compared. */
#include <stdlib.h>
#include <string.h>

#include "tests/model/trace/trace.h"

#define CONFIGS_MAX 4096u
#define SETS_MAX 65536u
#define TUPLES_MAX (1u << 21)
#define NONCES_MAX (1u << 20)
#define SURVEYS_MAX 65536u

/* What the code shows: programs and CRNs. */
struct shown_program {
	num there, state, crn, session, gen, epoch, v_rev, hold, host, lost;
	num superseded, lineage, guarantee;
};
struct shown_crn {
	num there, session, alive, established, exp, host, boot, nonce, changed;
	num surveyed, survey_session;
};
static struct {
	num gen, c, quar;
	struct shown_program programs[PROGRAMS];
	struct shown_crn crns[CRNS];
} code, before;

static num stamp_now;
static struct {
	num gen, stamp, ttl_a, ttl_s, most;
} configs[CONFIGS_MAX];
static num config_count, gens_seen;
static bool passing; /* a restore is not done: stamps are another world's */
static struct {
	num crn, session, host;
} surveys[SURVEYS_MAX];
static num survey_count;
static struct set *sets[CRNS];
static num set_count[CRNS];
static uint64_t tuples[TUPLES_MAX];
static struct {
	num gen, session;
} nonces[NONCES_MAX];

num ttl_a(num config)
{
	return configs[config].ttl_a;
}

num ttl_s(num config)
{
	return configs[config].ttl_s;
}

num ttl_s_most(num config)
{
	return configs[config].most;
}

num stamp(struct fsm *f)
{
	f->version = stamp_now;
	return stamp_now;
}

bool same_lineage(unsigned a, unsigned b)
{
	return code.programs[a].lineage == code.programs[b].lineage;
}

void state_open(void)
{
	memset(&code, 0, sizeof code);
	memset(&before, 0, sizeof before);
	memset(set_count, 0, sizeof set_count);
	memset(tuples, 0, sizeof tuples);
	memset(nonces, 0, sizeof nonces);
	config_count = 1; /* 0: not configured */
	gens_seen = 1;
	survey_count = 0;
	passing = false;
	for (unsigned i = 0; i < CRNS; i++)
		model.fsm.crns[i].surveyed = 1;
	for (unsigned i = 0; i < PROGRAMS; i++)
		code.programs[i].lineage = i;
}

/* --- what the code shows ---------------------------------------------------- */

static void take_program(const struct line *l)
{
	struct shown_program *p = &code.programs[l->args[0]];
	const num *a = l->args;

	if (a[1] == 0) {
		p->there = p->state = 0;
		return;
	}
	*p = (struct shown_program){ a[1], a[2], a[3], a[4], a[5], a[6], a[7],
				     a[8], a[9], a[10], a[11], a[12], a[13] };
}

static void take_crn(const struct line *l)
{
	struct shown_crn *c = &code.crns[l->args[0]];
	const num *a = l->args;

	memset(c, 0, sizeof *c);
	if (a[1] != 0)
		*c = (struct shown_crn){ a[1], a[2], a[3], a[4], a[5], a[6],
					 a[7], a[8], a[9], a[10], a[11] };
}

static bool take_state(void)
{
	static struct line l;

	before = code;
	while (line_read(&l)) {
		if (l.word[0] == '.')
			return true;
		if (l.word[0] == 'S') {
			code.gen = l.args[0];
			code.c = l.args[1];
			code.quar = l.args[2];
		} else if (l.word[0] == 'C') {
			take_crn(&l);
		} else {
			take_program(&l);
		}
	}
	return false;
}

static num boot_of(num host, num boot)
{
	return host << 32 | boot;
}

/* --- comparing --------------------------------------------------------------- */

static bool placed(num state)
{
	return state == ASSIGNED || state == REVOKING;
}

static void compare_program(unsigned i)
{
	const struct program *m = &model.fsm.programs[i];
	const struct shown_program *c = &code.programs[i];

	WANT(m->state == c->state, "program %u: state %lu, the model has %lu",
	     i, c->state, m->state);
	if (!placed(m->state))
		return;
	WANT(m->crn == c->crn && m->session == c->session,
	     "program %u: crn %lu session %lu, the model has crn %lu session "
	     "%lu", i, c->crn, c->session, m->crn, m->session);
	WANT(m->gen == c->gen && m->epoch == c->epoch,
	     "program %u: epoch %lu.%lu, the model has %lu.%lu", i, c->gen,
	     c->epoch, m->gen, m->epoch);
	WANT(m->v_rev == c->v_rev, "program %u: v_rev %lu, the model has %lu",
	     i, c->v_rev, m->v_rev);
	WANT(m->hold == c->hold && m->host == c->host && m->lost == c->lost,
	     "program %u: hold %lu host %lu lost %lu, the model has %lu, %lu, "
	     "%lu", i, c->hold, c->host, c->lost, m->hold, m->host, m->lost);
}

static void compare_crn(unsigned i)
{
	const struct crn *m = &model.fsm.crns[i];
	const struct shown_crn *c = &code.crns[i];
	num exp_in = c->exp > code.c ? c->exp - code.c : 0;

	WANT(m->session == c->session && m->alive == c->alive &&
	     m->established == c->established,
	     "crn %u: session %lu alive %lu established %lu, the model has %lu,"
	     " %lu, %lu", i, c->session, c->alive, c->established, m->session,
	     m->alive, m->established);
	WANT(!m->alive || m->exp_in == exp_in,
	     "crn %u: expires in %lu ms, in the model in %lu", i, exp_in,
	     m->exp_in);
	WANT(m->changed == c->changed,
	     "crn %u: changed %lu, the model has %lu", i, c->changed,
	     m->changed);
	WANT(m->surveyed == c->surveyed, "crn %u: surveyed %lu, the model has "
	     "%lu", i, c->surveyed, m->surveyed);
}

static void compare(void)
{
	num quar_in = code.quar > code.c ? code.quar - code.c : 0;

	for (unsigned i = 0; i < PROGRAMS; i++)
		compare_program(i);
	for (unsigned i = 0; i < CRNS; i++)
		if (code.crns[i].there)
			compare_crn(i);
	WANT(model.fsm.gen == code.gen && model.fsm.quar_in == quar_in,
	     "generation %lu, quarantine %lu ms; the model has %lu, %lu",
	     code.gen, quar_in, model.fsm.gen, model.fsm.quar_in);
}

/* What owners and operators say is given, not foretold. */
static void take_given(void)
{
	for (unsigned i = 0; i < PROGRAMS; i++) {
		struct program *p = &model.fsm.programs[i];

		p->there = code.programs[i].there;
		p->superseded = code.programs[i].superseded;
		p->guarantee = code.programs[i].guarantee;
	}
	for (unsigned i = 0; i < CRNS; i++) {
		if (code.crns[i].there || !before.crns[i].there)
			continue;
		memset(&model.fsm.crns[i], 0, sizeof model.fsm.crns[i]);
		model.fsm.crns[i].surveyed = 1;
	}
}

/* --- sets -------------------------------------------------------------------- */

static void set_now(unsigned crn, struct set *set)
{
	const struct fsm *f = &model.fsm;

	*set = (struct set){ .gen = f->gen, .stamp = stamp_now,
			     .changed = f->crns[crn].changed };
	for (unsigned i = 0; i < PROGRAMS; i++) {
		const struct program *p = &f->programs[i];

		if (p->crn == crn && fsm_wants(f, i, crn) && set->count < 48)
			set->rows[set->count++] = (struct set_row){
				i, p->gen, p->epoch, p->hold };
	}
}

/* `changed` names the set: with one value it has one content (2.6). */
static void sets_note(void)
{
	struct set set;

	for (unsigned c = 0; c < CRNS; c++) {
		const struct set *last = set_count[c] > 0
			? &sets[c][set_count[c] - 1] : NULL;

		if (!code.crns[c].there)
			continue;
		set_now(c, &set);
		if (last && last->gen == set.gen &&
		    last->changed == set.changed) {
			WANT(last->count == set.count &&
			     memcmp(last->rows, set.rows, sizeof set.rows) == 0,
			     "crn %u: another set, and `changed` is %lu as "
			     "before", c, set.changed);
			continue;
		}
		if (set_count[c] % 256 == 0)
			sets[c] = realloc(sets[c], (set_count[c] + 256) *
							   sizeof set);
		if (!sets[c])
			abort();
		sets[c][set_count[c]++] = set;
	}
}

const struct set *set_at(num crn, num gen, num version)
{
	for (num i = set_count[crn]; i-- > 0;) {
		const struct set *set = &sets[crn][i];

		if (set->gen == gen && set->stamp <= version)
			return set;
	}
	return NULL;
}

/* --- what is asked for later --------------------------------------------------- */

static uint64_t tuple(num gen, num session, num seq)
{
	uint64_t x = (session * 0x9e3779b97f4a7c15u ^ seq) *
			     0xbf58476d1ce4e5b9u ^ gen;

	return (x ^ x >> 29) | 1;
}

static uint64_t *tuple_slot(uint64_t x)
{
	uint64_t at = x % TUPLES_MAX;

	while (tuples[at] != 0 && tuples[at] != x)
		at = (at + 1) % TUPLES_MAX;
	return &tuples[at];
}

bool was_renewed(num gen, num session, num seq)
{
	return *tuple_slot(tuple(gen, session, seq)) != 0;
}

bool was_registered(num nonce, num gen, num session)
{
	return nonces[nonce].gen == gen && nonces[nonce].session == session;
}

bool config_find(num ttl, num gen, num version, num *config)
{
	for (num i = config_count; i-- > 1;) {
		if (version == 0 && configs[i].ttl_a != ttl)
			continue;
		if (version != 0 && (configs[i].gen != gen ||
				     configs[i].stamp > version))
			continue;
		*config = i;
		return ttl == 0 || configs[i].ttl_a == ttl;
	}
	return false;
}

static num config_add(num a, num s, num most_s)
{
	num at = config_count++;

	if (at == CONFIGS_MAX)
		abort();
	configs[at].gen = passing ? 0 : code.gen;
	configs[at].stamp = stamp_now;
	configs[at].ttl_a = a;
	configs[at].ttl_s = s;
	configs[at].most = s > most_s ? s : most_s;
	return at;
}

/* --- commands ---------------------------------------------------------------- */

static void step_beat(const struct line *l)
{
	struct beat beat = { .there = 1, .dt = l->args[0] };

	fsm_beat(&model, &beat);
	for (num i = 0; i < l->args[1]; i++) {
		const num *a = &l->args[2 + i * 6];
		const struct crn *c = &model.fsm.crns[a[0]];
		struct heartbeat h = { .there = 1, .gen = a[1],
				       .session = a[2], .applied = a[4],
				       .got_ack = a[5] };

		if (a[1] == model.fsm.gen && c->alive && c->session == a[2]) {
			uint64_t x = tuple(a[1], a[2], a[3]);

			*tuple_slot(x) = x;
		}
		fsm_renew(&model, a[0], &h);
	}
}

static void step_register(const struct line *l)
{
	const num *a = l->args;
	struct registration r = { .there = 1, .gen = a[1], .prev = a[2],
				  .nonce = a[3], .boot = boot_of(a[4], a[5]) };

	for (num i = 0; i < a[6]; i++) {
		const num *row = &a[7 + i * 4];

		r.held[row[0]] = (struct held){ row[3] ? LIVE : UNKNOWN, row[1],
						row[2] };
	}
	WANT(fsm_register(&model, a[0], &r) &&
	     model.fsm.crns[a[0]].session == stamp_now,
	     "the model refuses this Register");
	nonces[a[3]].gen = a[1];
	nonces[a[3]].session = stamp_now;
}

static void step_expire(const struct line *l)
{
	const struct crn *c = &model.fsm.crns[l->args[0]];

	WANT(c->alive && c->session == l->args[1] && c->exp_in == 0,
	     "the model has session %lu, alive %lu, %lu ms left", c->session,
	     c->alive, c->exp_in);
	fsm_expire(&model, l->args[0]);
}

static void step_assign(const struct line *l)
{
	WANT(model.fsm.crns[l->args[1]].session == l->args[2] &&
	     fsm_assign(&model, l->args[0], l->args[1]),
	     "the model refuses this Assign");
}

static void step_revoke(const struct line *l)
{
	const struct program *p = &model.fsm.programs[l->args[0]];

	WANT(p->state == ASSIGNED && p->epoch == l->args[1],
	     "the model has state %lu, epoch %lu", p->state, p->epoch);
	fsm_revoke(&model, l->args[0]);
}

static void step_remove(const struct line *l)
{
	num crn = l->args[0];

	WANT(!model.fsm.crns[crn].alive && model.fsm.crns[crn].surveyed,
	     "R22: its session is alive, or it is not surveyed");
	for (unsigned i = 0; i < PROGRAMS; i++)
		WANT(!placed(model.fsm.programs[i].state) ||
		     model.fsm.programs[i].crn != crn,
		     "R22: program %u is there", i);
}

/* ProgramPut and Forget, told by which programs are new and superseded now. */
static void step_other(void)
{
	for (unsigned i = 0; i < PROGRAMS; i++) {
		const struct shown_program *c = &code.programs[i];

		if (c->there && !before.programs[i].there) {
			model.fsm.programs[i].guarantee = c->guarantee;
			fsm_program_new(&model, i);
		}
		if (c->superseded && !before.programs[i].superseded)
			fsm_supersede(&model, i);
	}
}

static void step_config(const struct line *l)
{
	num last = model.fsm.config;
	num config = config_add(l->args[0], l->args[1], configs[last].most);

	options.dt_max = l->args[2];
	if (last == 0)
		model.fsm.gen = 1;
	fsm_config(&model, config);
}

/* The model's CRNs are all of them; those without a record have no survey. */
static void step_new_gen(const struct line *l)
{
	num last = model.fsm.config;

	options.no_holds = l->args[1] != 0;
	passing = l->args[0] <= gens_seen;
	gens_seen = most(gens_seen, l->args[0]);
	model.backup = model.fsm;
	fsm_new_gen(&model);
	model.fsm.config = config_add(configs[last].ttl_a, configs[last].ttl_s,
				      configs[last].most);
	for (unsigned i = 0; i < CRNS; i++) {
		const struct crn *c = &model.fsm.crns[i];

		if (!code.crns[i].there) {
			model.fsm.crns[i].surveyed = 1;
			continue;
		}
		surveys[survey_count % SURVEYS_MAX].crn = i;
		surveys[survey_count % SURVEYS_MAX].session = c->survey_session;
		surveys[survey_count++ % SURVEYS_MAX].host = c->survey_host;
	}
}

/* The newest survey of that session: its host is not shown. */
static num survey_host(num crn, num session)
{
	for (num i = survey_count; i-- > 0;)
		if (surveys[i % SURVEYS_MAX].crn == crn &&
		    surveys[i % SURVEYS_MAX].session == session)
			return surveys[i % SURVEYS_MAX].host;
	return 0;
}

/* A backup is some earlier state: it is given. */
static void step_restored(const struct line *l)
{
	num version = l->args[0] << 16 | 65535;
	struct fsm *f = &model.fsm;

	passing = true;
	WANT(config_find(0, code.gen, version, &f->config),
	     "no config was in force at %lu", l->args[0]);

	for (unsigned i = 0; i < CRNS; i++) {
		const struct shown_crn *c = &code.crns[i];
		struct crn *m = &f->crns[i];
		*m = (struct crn){
			.session = c->session, .alive = c->alive,
			.established = c->established,
			.exp_in = less(c->exp, code.c),
			.boot = boot_of(c->host, c->boot), .nonce = c->nonce,
			.changed = c->changed, .surveyed = c->surveyed,
			.survey_host = c->surveyed ? 0 :
				survey_host(i, c->survey_session),
			.survey_session = c->survey_session };
		m->surveyed |= !c->there;
	}
	for (unsigned i = 0; i < PROGRAMS; i++) {
		const struct shown_program *c = &code.programs[i];

		f->programs[i] = (struct program){
			.state = c->state, .crn = c->crn,
			.session = c->session, .gen = c->gen,
			.epoch = c->epoch, .v_rev = c->v_rev, .hold = c->hold,
			.host = c->host, .lost = c->lost };
	}
	f->gen = code.gen;
	f->quar_in = less(code.quar, code.c);
}

static void take(const struct line *l)
{
	if (strcmp(l->word, "beat") == 0)
		step_beat(l);
	else if (strcmp(l->word, "register") == 0)
		step_register(l);
	else if (strcmp(l->word, "expire") == 0)
		step_expire(l);
	else if (strcmp(l->word, "assign") == 0)
		step_assign(l);
	else if (strcmp(l->word, "revoke") == 0)
		step_revoke(l);
	else if (strcmp(l->word, "confirm") == 0)
		fsm_fence_confirm(&model, l->args[0], l->args[1],
				  l->args[2] != 0);
	else if (strcmp(l->word, "config") == 0)
		step_config(l);
	else if (strcmp(l->word, "newgen") == 0)
		step_new_gen(l);
	else if (strcmp(l->word, "remove") == 0)
		step_remove(l);
	else if (strcmp(l->word, "restored") == 0)
		step_restored(l);
	else
		step_other();
}

void state_step(const struct line *l)
{
	stamp_now = l->stamp;
	if (!take_state())
		return;
	take(l);
	compare();
	take_given();
	if (l->stamp != 0 && !passing)
		sets_note();
}
