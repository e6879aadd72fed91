#include "tests/kit/fsm_script.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "fsm/place.h"
#include "fsm/state.h"
#include "tests/kit/slow.h"

#define WORDS_MAX 40
#define EFFECTS_MAX 256
#define VARIABLES_MAX 64

struct bytes {
	uint8_t *data;
	size_t size, capacity, offset;
};

struct script {
	const char *path;
	int line;
	bool failed;   /* at the line at hand, or, without `failures`, ever */
	int *failures; /* not NULL: each is told, and it goes on */
	char *message;
	size_t message_size;
	struct fsm *fsm;
	struct slow *slow; /* NULL: not compared */
	uint64_t index, term, nonce;
	struct fsm_result result;
	bool answered;
	struct fsm_effect effects[EFFECTS_MAX];
	uint32_t effect_count, effect_seen;
	bool effect_asked;
	int effect_line; /* of the last "=" */
	struct { char name[32]; uint64_t value; } variables[VARIABLES_MAX];
	uint32_t variable_count;
	char *words[WORDS_MAX];
	int word_count;
	const char *expected; /* after -> */
	const char *expected_more;
};

PRINTF_LIKE(2, 3)
static void fail(struct script *t, const char *format, ...)
{
	char what[400];
	va_list args;

	if (t->failed && !t->failures)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	snprintf(t->message, t->message_size, "%s:%d: %s", t->path, t->line,
		 what);
	t->failed = true;
	if (t->failures) {
		printf("%s\n", t->message);
		(*t->failures)++;
	}
}

/* --- names and values ---------------------------------------------------- */

static struct hash name_hash(const char *name)
{
	struct hash hash = {{0}};
	size_t size = strlen(name);

	if (strcmp(name, "none") == 0)
		return hash;
	memcpy(hash.bytes, name, size < sizeof hash.bytes ? size
							  : sizeof hash.bytes);
	return hash;
}

static const struct fsm_view *view(const struct script *t)
{
	return fsm_live(t->fsm);
}

static bool read_crn(const struct script *t, const char *name,
		     struct fsm_crn *out)
{
	struct hash hash = name_hash(name);

	return fsm_crn_read(view(t), fsm_crn_find(view(t), &hash), out);
}

static bool read_program(const struct script *t, const char *name,
			 struct fsm_program *out)
{
	struct hash hash = name_hash(name);

	return fsm_program_read(view(t), fsm_program_find(view(t), &hash), out);
}

static uint64_t value_of(struct script *t, const char *word)
{
	struct fsm_program program;
	struct fsm_crn crn;

	const char *minus = strchr(word, '-');

	if (word[0] != '$')
		return strtoull(word, NULL, 10);
	if (minus) {
		char name[40];

		snprintf(name, sizeof name, "%.*s", (int)(minus - word), word);
		return value_of(t, name) - strtoull(minus + 1, NULL, 10);
	}
	word++;
	if (strcmp(word, "now") == 0)
		return stamp_version(t->index);
	if (strcmp(word, "last") == 0)
		return t->result.stamp;
	for (uint32_t i = 0; i < t->variable_count; i++)
		if (strcmp(t->variables[i].name, word) == 0)
			return t->variables[i].value;
	if (read_crn(t, word, &crn))
		return crn.session;
	if (read_program(t, word, &program))
		return program.epoch;
	fail(t, "nothing is called $%s", word);
	return 0;
}

/* The value of key=... among the words, or `or_else`. */
static const char *word_of(struct script *t, const char *key,
			   const char *or_else)
{
	size_t size = strlen(key);

	for (int i = 1; i < t->word_count; i++)
		if (strncmp(t->words[i], key, size) == 0 &&
		    t->words[i][size] == '=')
			return t->words[i] + size + 1;
	return or_else;
}

static uint64_t number_of(struct script *t, const char *key, uint64_t or_else)
{
	const char *word = word_of(t, key, NULL);

	return word ? value_of(t, word) : or_else;
}

static struct text text_of(struct script *t, const char *key,
			   const char *or_else)
{
	const char *word = word_of(t, key, or_else);

	return (struct text){word, (uint32_t)strlen(word)};
}

static const char *word_at(struct script *t, int at)
{
	if (at < t->word_count)
		return t->words[at];
	fail(t, "a word is missing");
	return "";
}

/* Splits "a,b,c" in place. */
static uint32_t split(char *list, char separator, char **parts, uint32_t max)
{
	uint32_t count = 0;

	while (list && *list && count < max) {
		char *end = strchr(list, separator);

		parts[count++] = list;
		if (!end)
			break;
		*end = '\0';
		list = end + 1;
	}
	return count;
}

static uint32_t tokens_of(struct script *t, struct text tokens[FSM_TOKENS_MAX])
{
	static char list[1024];
	char *parts[FSM_TOKENS_MAX];
	uint32_t count;

	snprintf(list, sizeof list, "%s", word_of(t, "tokens", ""));
	count = split(list, ',', parts, FSM_TOKENS_MAX);
	for (uint32_t i = 0; i < count; i++)
		tokens[i] = (struct text){parts[i],
					  (uint32_t)strlen(parts[i])};
	return count;
}

/* --- applying ------------------------------------------------------------ */

static bool bytes_write(void *ctx, const void *data, size_t size)
{
	struct bytes *b = ctx;

	if (b->size + size > b->capacity) {
		b->capacity = (b->size + size) * 2;
		b->data = realloc(b->data, b->capacity);
		REQUIRE(b->data);
	}
	memcpy(b->data + b->size, data, size);
	b->size += size;
	return true;
}

static bool bytes_read(void *ctx, void *data, size_t size)
{
	struct bytes *b = ctx;

	if (b->size - b->offset < size)
		return false;
	memcpy(data, b->data + b->offset, size);
	b->offset += size;
	return true;
}

static void on_result(void *ctx, const struct fsm_result *result)
{
	struct script *t = ctx;

	t->result = *result;
	t->answered = true;
	if (t->slow)
		slow_heard(t->slow, result);
}

static void on_effect(void *ctx, const struct fsm_effect *effect)
{
	struct script *t = ctx;

	if (t->effect_count < EFFECTS_MAX)
		t->effects[t->effect_count++] = *effect;
}

static void twin_result(void *ctx, const struct fsm_result *result)
{
	*(struct fsm_result *)ctx = *result;
}

static bool strings_agree(const struct pool *a, const struct pool *b)
{
	if (a->index.count != b->index.count)
		return false;
	for (uint32_t i = 1; i < a->count; i++) {
		struct text text = fsm__pool_get(a, i);
		uint32_t other;

		if (a->entries[i].uses == 0)
			continue;
		other = fsm__pool_find(b, text.data, text.size);
		if (other == ID_NONE ||
		    a->entries[i].uses != b->entries[other].uses)
			return false;
	}
	return true;
}

static uint64_t uses_of(const struct pool *pool)
{
	uint64_t uses = 0;

	for (uint32_t i = 1; i < pool->count; i++)
		uses += pool->entries[i].uses;
	return uses;
}

bool fsm_script_texts_agree(const struct fsm_view *a, const struct fsm_view *b)
{
	return strings_agree(&a->texts, &b->texts) &&
	       a->sets.index.count == b->sets.index.count &&
	       uses_of(&a->sets) == uses_of(&b->sets);
}

/* A state that was read from a snapshot must go on in the same way. */
static struct fsm *twin_of(struct script *t)
{
	struct bytes b = {0};
	struct byte_sink sink = {&b, bytes_write};
	struct byte_source source = {&b, bytes_read};
	struct fsm *twin = NULL;

	if (!fsm_snapshot_write(view(t), &sink))
		fail(t, "the snapshot was not written");
	else if (fsm_snapshot_read(&twin, &source) != 0)
		fail(t, "the snapshot was not read back");
	else if (fsm_hash(twin) != fsm_hash(t->fsm))
		fail(t, "the snapshot has another hash");
	else if (!fsm_script_texts_agree(view(t), fsm_live(twin)))
		fail(t, "the texts are not counted as they are used");
	free(b.data);
	return twin;
}

static bool compare_slow;

void fsm_script_compare(bool compare)
{
	compare_slow = compare;
}

static void compare(struct script *t, const struct bytes *entry)
{
	char message[4096];

	if (t->slow && !slow_entry(t->slow, t->index, entry->data, entry->size,
				   view(t), SLOW_ALL, message, sizeof message))
		fail(t, "%s", message);
}

static void apply_bytes(struct script *t, const struct bytes *entry)
{
	struct fsm_observer observer = {t, on_result, on_effect};
	struct fsm_result other = {0};
	struct fsm_observer quiet = {&other, twin_result, NULL};
	struct fsm *twin = twin_of(t);

	t->index++;
	t->effect_count = t->effect_seen = 0;
	t->effect_asked = false;
	fsm_apply(t->fsm, t->index, entry->data, entry->size, &observer);
	fsm_check(t->fsm);
	compare(t, entry);
	if (!twin)
		return;
	fsm_apply(twin, t->index, entry->data, entry->size, &quiet);
	if (fsm_hash(twin) != fsm_hash(t->fsm) ||
	    other.refusal != t->result.refusal ||
	    other.stamp != t->result.stamp)
		fail(t, "a restored state goes another way");
	fsm_close(twin);
}

static void apply_quietly(struct script *t, const struct command *command)
{
	struct bytes b = {0};
	struct byte_sink sink = {&b, bytes_write};
	uint64_t term = command->type == FSM_LEAD
				? number_of(t, "as", command->lead.term)
				: t->term;

	if (!command_entry_begin(&sink, term, 1) ||
	    !command_encode(&sink, command))
		fail(t, "the command was not encoded");
	else
		apply_bytes(t, &b);
	free(b.data);
}

static void expect(struct script *t, enum fsm_refusal refusal)
{
	const char *want = t->expected ? t->expected : "ok";
	const char *got = fsm_refusal_name(refusal);

	if (strcmp(want, got) != 0)
		fail(t, "expected %s, got %s", want, got);
}

static void apply(struct script *t, struct command *command)
{
	char *request = (char *)(uintptr_t)word_of(t, "request", NULL);

	if (request)
		memcpy(command->request, name_hash(request).bytes, 16);
	apply_quietly(t, command);
	expect(t, t->result.refusal);
}

/* --- commands ------------------------------------------------------------ */

static void do_lead(struct script *t)
{
	struct command c = {.type = FSM_LEAD};

	c.lead.term = number_of(t, "term", t->term + 1);
	c.lead.leader = 1;
	apply(t, &c);
	if (t->result.refusal == FSM_OK)
		t->term = c.lead.term;
}

static void do_term(struct script *t)
{
	t->term = value_of(t, word_at(t, 1));
}

static uint32_t small_of(struct script *t, const char *key, uint32_t or_else)
{
	return (uint32_t)number_of(t, key, or_else);
}

static void do_config(struct script *t)
{
	struct command c = {.type = FSM_CONFIG};

	c.config = (struct fsm_config){
		.heartbeat_ms = small_of(t, "heartbeat", 500),
		.ttl_a_ms = small_of(t, "ttl_a", 4000),
		.ttl_s_ms = small_of(t, "ttl_s", 5200),
		.k_ms = small_of(t, "k", 1000),
		.dt_max_ms = small_of(t, "dt_max", 2000),
		.beat_ms = small_of(t, "beat", 250),
		.sticky_ms = small_of(t, "sticky", 8000),
		.start_failures_max = small_of(t, "failures", 3),
		.start_timeout_ms = small_of(t, "timeout", 60000),
		.exclude_ms = small_of(t, "exclude", 600000),
		.rho_ppm = small_of(t, "rho", 10000),
		.programs_max = small_of(t, "programs", 1000),
		.crns_max = small_of(t, "crns", 100),
		.watchdog_none_ok = number_of(t, "no_watchdog_ok", 0),
		.unfenced_hold_ok = number_of(t, "unfenced_ok", 0),
	};
	apply(t, &c);
}

static void do_crn_put(struct script *t)
{
	struct command c = {.type = FSM_CRN_PUT};

	c.crn_put.crn = name_hash(word_at(t, 1));
	c.crn_put.name = text_of(t, "name", "");
	c.crn_put.owner = text_of(t, "owner", "");
	c.crn_put.linked = number_of(t, "linked", 1);
	apply(t, &c);
}

static void do_crn_remove(struct script *t)
{
	struct command c = {.type = FSM_CRN_REMOVE};

	c.crn_remove.crn = name_hash(word_at(t, 1));
	apply(t, &c);
}

static void held_row(struct script *t, char *spec, struct held_row *row)
{
	char *parts[8] = {spec};
	uint32_t count = split(spec, '/', parts, 8);
	struct fsm_program program;

	*row = (struct held_row){.program = name_hash(parts[0]),
				 .running = true};
	if (read_program(t, parts[0], &program)) {
		row->gen = program.gen;
		row->epoch = program.epoch;
		row->lineage = program.lineage;
	}
	for (uint32_t i = 1; i < count; i++) {
		if (strncmp(parts[i], "epoch=", 6) == 0)
			row->epoch = value_of(t, parts[i] + 6);
		else if (strncmp(parts[i], "gen=", 4) == 0)
			row->gen = value_of(t, parts[i] + 4);
		else if (strncmp(parts[i], "lineage=", 8) == 0)
			row->lineage = name_hash(parts[i] + 8);
		else if (strcmp(parts[i], "unknown") == 0)
			row->running = false;
		else
			fail(t, "a held row has no %s", parts[i]);
	}
}

static void fill_register(struct script *t, const char *crn,
			  struct command_register *r, struct held_row *rows)
{
	static char list[1024];
	char own[40], nonce[40], *specs[16];
	struct fsm_status status;
	struct fsm_crn record = {0};

	fsm_status(view(t), &status);
	(void)read_crn(t, crn, &record);
	snprintf(own, sizeof own, "host-%s", crn);
	r->host = name_hash(word_of(t, "host", own));
	snprintf(own, sizeof own, "boot-%s", crn);
	r->boot = name_hash(word_of(t, "boot", own));
	snprintf(nonce, sizeof nonce, "nonce-%u", (unsigned)++t->nonce);
	memcpy(r->nonce, name_hash(word_of(t, "nonce", nonce)).bytes, 16);
	r->crn = name_hash(crn);
	r->gen = number_of(t, "gen", status.gen);
	r->prev = number_of(t, "prev", record.session);
	r->k_ms = small_of(t, "k", 1000);
	r->watchdog = (enum crn_watchdog)number_of(t, "watchdog",
						   WATCHDOG_HARDWARE);
	r->class = number_of(t, "fenced", 1) ? CRN_FENCED : CRN_UNFENCED;
	r->unfenced_reason = text_of(t, "why", "");
	snprintf(list, sizeof list, "%s", word_of(t, "held", ""));
	r->held_count = split(list, ',', specs, 16);
	for (uint32_t i = 0; i < r->held_count; i++)
		held_row(t, specs[i], &rows[i]);
	r->held = rows;
}

static void do_register(struct script *t)
{
	struct command c = {.type = FSM_REGISTER};
	struct held_row rows[16];

	fill_register(t, word_at(t, 1), &c.reg, rows);
	apply(t, &c);
}

static void fill_report(struct script *t, const char *crn,
			struct command_crn_report *r)
{
	struct fsm_crn record = {0};

	(void)read_crn(t, crn, &record);
	r->crn = name_hash(crn);
	r->session = number_of(t, "session", record.session);
	r->vcpus = small_of(t, "vcpus", 8);
	r->memory_mib = number_of(t, "memory", 8192);
	r->disk_mib = number_of(t, "disk", 100000);
	r->url = text_of(t, "url", "http://crn");
	r->token_count = tokens_of(t, r->tokens);
}

static void do_report(struct script *t)
{
	struct command c = {.type = FSM_CRN_REPORT};

	fill_report(t, word_at(t, 1), &c.report);
	apply(t, &c);
}

static void renewal(struct script *t, char *spec, struct command_renewal *r)
{
	char *parts[8] = {spec};
	uint32_t count = split(spec, '/', parts, 8);
	struct fsm_status status;
	struct fsm_crn crn = {0};

	fsm_status(view(t), &status);
	(void)read_crn(t, parts[0], &crn);
	*r = (struct command_renewal){.gen = status.gen,
				      .crn = name_hash(parts[0]),
				      .session = crn.session,
				      .seq = crn.seq_seen + 1};
	for (uint32_t i = 1; i < count; i++) {
		if (strncmp(parts[i], "session=", 8) == 0)
			r->session = value_of(t, parts[i] + 8);
		else if (strncmp(parts[i], "gen=", 4) == 0)
			r->gen = value_of(t, parts[i] + 4);
		else if (strncmp(parts[i], "seq=", 4) == 0)
			r->seq = value_of(t, parts[i] + 4);
		else if (strncmp(parts[i], "applied=", 8) == 0)
			r->applied = value_of(t, parts[i] + 8);
		else if (strcmp(parts[i], "ack") == 0)
			r->got_ack = true;
		else
			fail(t, "a renewal has no %s", parts[i]);
	}
}

static void beat(struct script *t, uint32_t dt_ms, char **specs, int count)
{
	struct command c = {.type = FSM_BEAT};
	struct command_renewal renewals[WORDS_MAX];
	uint32_t used = 0;
	struct fsm_status status;

	fsm_status(view(t), &status);
	for (int i = 0; i < count; i++) {
		char spec[128];

		if (strncmp(specs[i], "dt=", 3) == 0)
			continue;
		snprintf(spec, sizeof spec, "%s", specs[i]);
		renewal(t, spec, &renewals[used++]);
	}
	c.beat = (struct command_beat){dt_ms, status.wall_ms + dt_ms, used,
				       renewals};
	apply(t, &c);
}

static void do_beat(struct script *t)
{
	beat(t, small_of(t, "dt", 250), t->words + 1, t->word_count - 1);
}

static void do_pass(struct script *t)
{
	uint64_t left = value_of(t, word_at(t, 1));
	struct fsm_status status;

	fsm_status(view(t), &status);
	while (left > 0 && !t->failed) {
		uint32_t dt_ms = status.config.dt_max_ms;

		if (left < dt_ms)
			dt_ms = (uint32_t)left;
		if (dt_ms == 0)
			fail(t, "no time can pass");
		beat(t, dt_ms, t->words + 2, t->word_count - 2);
		left -= dt_ms;
	}
}

static void do_ready(struct script *t)
{
	const char *crn = word_at(t, 1);
	struct command put = {.type = FSM_CRN_PUT}, reg = {.type = FSM_REGISTER},
		       report = {.type = FSM_CRN_REPORT};
	struct held_row rows[16];
	char spec[64], *specs[1] = {spec};

	put.crn_put.crn = name_hash(crn);
	put.crn_put.linked = number_of(t, "linked", 1);
	apply_quietly(t, &put);
	fill_register(t, crn, &reg.reg, rows);
	apply(t, &reg);
	fill_report(t, crn, &report.report);
	apply(t, &report);
	snprintf(spec, sizeof spec, "%s/ack", crn);
	beat(t, 0, specs, 1);
}

static void do_put(struct script *t)
{
	struct command c = {.type = FSM_PROGRAM_PUT};
	struct command_program_put *p = &c.program_put;

	p->program = name_hash(word_at(t, 1));
	p->source = strcmp(word_of(t, "source", "ccn"), "ccn") == 0
			    ? SOURCE_CCN : SOURCE_OPERATOR;
	p->kind = number_of(t, "instance", 0) ? KIND_INSTANCE : KIND_PROGRAM;
	p->guarantee = number_of(t, "hold", 0) ? GUARANTEE_HOLD
					       : GUARANTEE_EXCLUSIVE;
	p->amendable = number_of(t, "amendable", 1);
	p->has_data = number_of(t, "data", 0);
	p->move_without_data = number_of(t, "move_without_data", 0);
	p->persistent = number_of(t, "persistent", 1);
	p->has_replaces = word_of(t, "replaces", NULL) != NULL;
	p->replaces = name_hash(word_of(t, "replaces", "none"));
	p->time_ms = number_of(t, "time", 0);
	p->code_revision = number_of(t, "code", 0);
	p->owner = text_of(t, "owner", "al");
	p->name = text_of(t, "name", "");
	p->vcpus = small_of(t, "vcpus", 1);
	p->memory_mib = number_of(t, "memory", 128);
	p->disk_mib = number_of(t, "disk", 0);
	p->has_node_pin = word_of(t, "pin", NULL) != NULL;
	p->node_pin = name_hash(word_of(t, "pin", "none"));
	p->token_count = tokens_of(t, p->tokens);
	apply(t, &c);
}

static void do_forget(struct script *t)
{
	struct command c = {.type = FSM_PROGRAM_FORGET};

	c.program_forget.program = name_hash(word_at(t, 1));
	c.program_forget.reason = text_of(t, "reason", "forgotten");
	apply(t, &c);
}

static void do_assign(struct script *t)
{
	struct command c = {.type = FSM_ASSIGN};
	struct fsm_crn crn = {0};

	(void)read_crn(t, word_at(t, 2), &crn);
	c.assign.program = name_hash(word_at(t, 1));
	c.assign.crn = name_hash(word_at(t, 2));
	c.assign.session = number_of(t, "session", crn.session);
	apply(t, &c);
}

static void do_revoke(struct script *t)
{
	static const char *const causes[] = {"", "operator", "start_failed",
					     "drain", "update"};
	const char *cause = word_of(t, "cause", "operator");
	struct command c = {.type = FSM_REVOKE};
	struct fsm_program program = {0};

	(void)read_program(t, word_at(t, 1), &program);
	c.revoke.program = name_hash(word_at(t, 1));
	c.revoke.epoch = number_of(t, "epoch", program.epoch);
	c.revoke.reason = text_of(t, "reason", "");
	for (unsigned i = 1; i < COUNT_OF(causes); i++)
		if (strcmp(causes[i], cause) == 0)
			c.revoke.cause = (enum revoke_cause)i;
	apply(t, &c);
}

static void do_expire(struct script *t)
{
	struct command c = {.type = FSM_EXPIRE};
	struct fsm_crn crn = {0};

	(void)read_crn(t, word_at(t, 1), &crn);
	c.expire.crn = name_hash(word_at(t, 1));
	c.expire.session = number_of(t, "session", crn.session);
	apply(t, &c);
}

static void do_fence_confirm(struct script *t)
{
	struct command c = {.type = FSM_FENCE_CONFIRM};
	struct fsm_status status;
	struct fsm_crn crn = {0};

	fsm_status(view(t), &status);
	(void)read_crn(t, word_at(t, 1), &crn);
	c.fence_confirm.gen = number_of(t, "gen", status.gen);
	c.fence_confirm.crn = name_hash(word_at(t, 1));
	c.fence_confirm.session = number_of(t, "session", crn.session);
	c.fence_confirm.all_machines = number_of(t, "all", 0);
	c.fence_confirm.who = text_of(t, "who", "operator");
	apply(t, &c);
}

static void do_new_gen(struct script *t)
{
	struct command c = {.type = FSM_NEW_GEN};
	struct hash universe[16];
	char list[256], *names[16];
	struct fsm_status status;

	fsm_status(view(t), &status);
	snprintf(list, sizeof list, "%s", word_of(t, "universe", ""));
	c.new_gen.universe_count = split(list, ',', names, 16);
	for (uint32_t i = 0; i < c.new_gen.universe_count; i++)
		universe[i] = name_hash(names[i]);
	c.new_gen.universe = universe;
	c.new_gen.gen = number_of(t, "gen", status.gen + 1);
	c.new_gen.no_holds = number_of(t, "no_holds", 0);
	c.new_gen.who = text_of(t, "who", "operator");
	apply(t, &c);
}

static void do_let(struct script *t)
{
	uint32_t at = t->variable_count++;

	if (at >= VARIABLES_MAX || t->word_count != 4) {
		fail(t, "let NAME = VALUE");
		return;
	}
	snprintf(t->variables[at].name, sizeof t->variables[at].name, "%s",
		 t->words[1]);
	t->variables[at].value = value_of(t, t->words[3]);
}

/* --- questions ----------------------------------------------------------- */

static void ask_number(struct script *t, const char *key, uint64_t got)
{
	const char *word = word_of(t, key, NULL);
	uint64_t want = word ? value_of(t, word) : 0;

	if (word && want != got)
		fail(t, "%s: expected %llu, got %llu", key,
		     (unsigned long long)want, (unsigned long long)got);
}

static void ask_hash(struct script *t, const char *key, const struct hash *got)
{
	const char *word = word_of(t, key, NULL);
	struct hash want = name_hash(word ? word : "none");

	if (word && !hash_equal(&want, got))
		fail(t, "%s: expected %s, got %.32s", key, word,
		     (const char *)got->bytes);
}

static void ask_text(struct script *t, const char *key, struct text got)
{
	const char *word = word_of(t, key, NULL);

	if (word && (strlen(word) != got.size ||
		     memcmp(word, got.data, got.size) != 0))
		fail(t, "%s: expected %s, got %.*s", key, word, (int)got.size,
		     got.data);
}

static void ask_known_keys(struct script *t, const char *keys)
{
	for (int i = 2; i < t->word_count; i++) {
		char *end = strchr(t->words[i], '=');
		char key[40];

		snprintf(key, sizeof key, " %.*s ",
			 end ? (int)(end - t->words[i]) : 0, t->words[i]);
		if (!end || !strstr(keys, key))
			fail(t, "no such question: %s", t->words[i]);
	}
}

static void ask_program(struct script *t)
{
	static const char *const states[] = {"free", "assigned", "revoking",
					     "lost"};
	const char *state = word_of(t, "state", NULL);
	struct fsm_program p;

	ask_known_keys(t, " state crn session epoch v_rev gen hold orphan lost "
			  "superseded waiting forgotten lineage data_crn host "
			  "code changed since name ");
	if (t->expected && strcmp(t->expected, "unknown") == 0) {
		if (read_program(t, word_at(t, 1), &p))
			fail(t, "%s is known", t->words[1]);
		return;
	}
	if (!read_program(t, word_at(t, 1), &p)) {
		fail(t, "program %s is not known", t->words[1]);
		return;
	}
	if (state && strcmp(state, states[p.state]) != 0)
		fail(t, "expected %s, got %s", state, states[p.state]);
	ask_hash(t, "crn", &p.crn_hash);
	ask_hash(t, "lineage", &p.lineage);
	ask_hash(t, "data_crn", &p.data_crn);
	ask_hash(t, "host", &p.host);
	ask_number(t, "session", p.session);
	ask_number(t, "epoch", p.epoch);
	ask_number(t, "v_rev", p.v_rev);
	ask_number(t, "gen", p.gen);
	ask_number(t, "hold", p.hold);
	ask_number(t, "orphan", p.orphan);
	ask_number(t, "lost", p.lost);
	ask_number(t, "superseded", p.superseded);
	ask_number(t, "waiting", p.waiting_for_replaced);
	ask_number(t, "forgotten", p.forgotten);
	ask_number(t, "code", p.code_revision);
	ask_number(t, "changed", p.changed);
	ask_number(t, "since", p.since_wall_ms);
	ask_text(t, "name", p.name);
}

static void ask_crn(struct script *t)
{
	const char *why = word_of(t, "why", NULL);
	struct fsm_crn c;

	ask_known_keys(t, " alive established linked surveyed reported fenced "
			  "session changed exp programs vcpus_used host k why "
			  "memory_used seen seq watchdog gen disk name owner "
			  "url ");
	if (t->expected && strcmp(t->expected, "unknown") == 0) {
		if (read_crn(t, word_at(t, 1), &c))
			fail(t, "%s is known", t->words[1]);
		return;
	}
	if (!read_crn(t, word_at(t, 1), &c)) {
		fail(t, "CRN %s is not known", t->words[1]);
		return;
	}
	ask_hash(t, "host", &c.host);
	ask_number(t, "alive", c.alive);
	ask_number(t, "established", c.established);
	ask_number(t, "linked", c.linked);
	ask_number(t, "surveyed", c.surveyed);
	ask_number(t, "reported", c.reported);
	ask_number(t, "fenced", c.class == CRN_FENCED);
	ask_number(t, "session", c.session);
	ask_number(t, "changed", c.changed);
	ask_number(t, "exp", c.exp_ms);
	ask_number(t, "programs", c.program_count);
	ask_number(t, "vcpus_used", c.vcpus_used);
	ask_number(t, "memory_used", c.memory_mib_used);
	ask_number(t, "k", c.k_ms);
	ask_number(t, "seen", c.seen);
	ask_number(t, "seq", c.seq_seen);
	ask_number(t, "watchdog", c.watchdog);
	ask_number(t, "gen", c.gen);
	ask_number(t, "disk", c.disk_mib);
	ask_text(t, "name", c.name);
	ask_text(t, "owner", c.owner);
	ask_text(t, "url", c.url);
	if (why && strcmp(why, "none") == 0 && c.unfenced_reason.size > 0)
		fail(t, "there is a reason");
	else if (why && strcmp(why, "none") != 0 &&
		 (c.unfenced_reason.size == 0 ||
		  !strstr(c.unfenced_reason.data, why)))
		fail(t, "why: not %s", why);
}

static void ask_status(struct script *t)
{
	struct fsm_status s;

	fsm_status(view(t), &s);
	ask_number(t, "gen", s.gen);
	ask_number(t, "term", s.term);
	ask_number(t, "c", s.c_ms);
	ask_number(t, "pending", s.pending_count);
	ask_number(t, "assigned", s.assigned_count);
	ask_number(t, "programs", s.program_count);
	ask_number(t, "crns", s.crn_count);
	ask_number(t, "unsurveyed", s.unsurveyed_count);
	ask_number(t, "quarantine", s.quar_until_ms);
	ask_number(t, "ttl_s", s.config.ttl_s_ms);
	ask_number(t, "leader", s.leader);
	ask_number(t, "wall", s.wall_ms);
	ask_number(t, "programs_changed", s.programs_changed);
	ask_number(t, "crns_changed", s.crns_changed);
}

static void ask_names(struct script *t, const struct hash *names,
		      uint32_t count, int first)
{
	if (count != (uint32_t)(t->word_count - first)) {
		fail(t, "expected %d, got %u", t->word_count - first, count);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct hash want = name_hash(t->words[first + (int)i]);

		if (!hash_equal(&want, &names[i]))
			fail(t, "expected %s, got %.32s",
			     t->words[first + (int)i],
			     (const char *)names[i].bytes);
	}
}

static void ask_desired(struct script *t)
{
	struct hash crn = name_hash(word_at(t, 1)), names[64];
	slot_t slot = fsm_crn_find(view(t), &crn);
	struct desired_row rows[64];
	uint32_t count = 0;

	if (strcmp(t->words[0], "kept") == 0) {
		count = fsm_kept(view(t), slot, names, 64);
	} else {
		count = fsm_desired(view(t), slot, rows, 64);
		for (uint32_t i = 0; i < count; i++)
			names[i] = rows[i].program;
	}
	ask_names(t, names, count, 2);
}

static void ask_due(struct script *t)
{
	slot_t slots[64];
	struct hash names[64];
	uint32_t count = fsm_due(view(t), slots, 64);

	for (uint32_t i = 0; i < count; i++) {
		struct fsm_crn crn;

		(void)fsm_crn_read(view(t), slots[i], &crn);
		names[i] = crn.hash;
	}
	ask_names(t, names, count, 1);
}

/* KEY=NUMBER of a move */
static void ask_move_number(struct script *t, const char *word,
			    const struct fsm_move *m)
{
	const char *equals = strchr(word, '=');
	uint64_t want = value_of(t, equals + 1), got = 0;

	if (strncmp(word, "epoch=", 6) == 0)
		got = m->epoch;
	else if (strncmp(word, "stamp=", 6) == 0)
		got = m->stamp;
	else if (strncmp(word, "wall=", 5) == 0)
		got = m->wall_ms;
	else
		fail(t, "no such question: %s", word);
	if (want != got)
		fail(t, "expected %s, got %llu", word, (unsigned long long)got);
}

/* WHAT, WHAT/CRN or WHAT/CRN/reason; then epoch=, stamp= and wall= */
static void ask_move(struct script *t, char *spec, const struct fsm_move *m)
{
	char *parts[6];
	uint32_t count = split(spec, '/', parts, 6);
	struct hash crn;

	for (; count > 1 && strchr(parts[count - 1], '='); count--)
		ask_move_number(t, parts[count - 1], m);
	crn = name_hash(count > 1 ? parts[1] : "none");
	if (strcmp(parts[0], fsm_effect_name(m->what)) != 0)
		fail(t, "expected %s, got %s", parts[0],
		     fsm_effect_name(m->what));
	if (count > 1 && !hash_equal(&crn, &m->crn))
		fail(t, "expected %s, got %.32s", parts[1],
		     (const char *)m->crn.bytes);
	if (count > 2 && (strlen(parts[2]) != m->reason.size ||
			  memcmp(parts[2], m->reason.data, m->reason.size)))
		fail(t, "expected %s, got %.*s", parts[2],
		     (int)m->reason.size, m->reason.data);
}

static void ask_moves(struct script *t)
{
	struct hash hash = name_hash(word_at(t, 1));
	slot_t slot = fsm_program_find(view(t), &hash);
	struct fsm_move moves[8];
	uint32_t count = 0;

	if (slot != SLOT_NONE)
		count = fsm_program_moves(view(t), slot, moves, 8);
	if (count != (uint32_t)(t->word_count - 2))
		fail(t, "it moved %u times", count);
	for (uint32_t i = 0; i < count && !t->failed; i++)
		ask_move(t, t->words[i + 2], &moves[i]);
}

static void ask_place(struct script *t)
{
	struct hash hash = name_hash(word_at(t, 1)), want;
	slot_t slot = fsm_program_find(view(t), &hash);
	struct place_verdict v;
	struct fsm_crn crn = {0};

	if (slot == SLOT_NONE || !t->expected) {
		fail(t, "place PROGRAM -> REASON [CRN]");
		return;
	}
	place_choose(view(t), NULL, slot, &v);
	if (strcmp(place_reason_name(v.reason), t->expected) != 0)
		fail(t, "expected %s, got %s", t->expected,
		     place_reason_name(v.reason));
	if (!t->expected_more)
		return;
	want = name_hash(t->expected_more);
	(void)fsm_crn_read(view(t), v.crn, &crn);
	if (!hash_equal(&want, &crn.hash))
		fail(t, "expected %s, got %.32s", t->expected_more,
		     (const char *)crn.hash.bytes);
}

static void ask_explain(struct script *t)
{
	struct hash hash = name_hash(word_at(t, 1));
	slot_t slot = fsm_program_find(view(t), &hash);
	char sentence[400], want[400] = "";
	struct place_verdict v;

	if (slot == SLOT_NONE) {
		fail(t, "explain PROGRAM WORDS");
		return;
	}
	place_choose(view(t), NULL, slot, &v);
	place_explain(view(t), slot, &v, sentence, sizeof sentence);
	for (int i = 2; i < t->word_count; i++) {
		size_t at = strlen(want);

		snprintf(want + at, sizeof want - at, "%s%s", at ? " " : "",
			 t->words[i]);
	}
	if (!strstr(sentence, want))
		fail(t, "it says: %s", sentence);
}

static void do_round(struct script *t)
{
	struct command_assign assigns[64];
	uint32_t cursor = 0, count;

	count = place_round(view(t), NULL, &cursor, 1000, assigns, 64);
	if (count != (uint32_t)(t->word_count - 1))
		fail(t, "%u were placed", count);
	for (uint32_t i = 0; i < count && !t->failed; i++) {
		struct command c = {.type = FSM_ASSIGN, .assign = assigns[i]};
		char got[80];

		snprintf(got, sizeof got, "%.32s=%.32s",
			 (const char *)assigns[i].program.bytes,
			 (const char *)assigns[i].crn.bytes);
		if (strcmp(got, t->words[i + 1]) != 0)
			fail(t, "expected %s, got %s", t->words[i + 1], got);
		apply(t, &c);
	}
}

/* result stamp=N subject=NAME: of the last command. */
static void ask_result(struct script *t)
{
	ask_number(t, "stamp", t->result.stamp);
	ask_hash(t, "subject", &t->result.subject);
}

/* = effect [program] [crn] [epoch=] [session=] [gen=], in order; "= none". */
static void ask_effect(struct script *t)
{
	const struct fsm_effect *e = &t->effects[t->effect_seen];
	int at = 2;

	t->effect_asked = true;
	t->effect_line = t->line;
	if (strcmp(word_at(t, 1), "none") == 0) {
		if (t->effect_count > 0)
			fail(t, "there was %s",
			     fsm_effect_name(t->effects[0].type));
		return;
	}
	if (t->effect_seen++ >= t->effect_count) {
		fail(t, "there were only %u effects", t->effect_count);
		return;
	}
	if (strcmp(t->words[1], fsm_effect_name(e->type)) != 0)
		fail(t, "it was %s", fsm_effect_name(e->type));
	ask_number(t, "epoch", e->epoch);
	ask_number(t, "session", e->session);
	ask_number(t, "gen", e->gen);
	for (; at < t->word_count; at++) {
		struct hash want = name_hash(t->words[at]);

		if (!strchr(t->words[at], '=') &&
		    !hash_equal(&want, &e->program) &&
		    !hash_equal(&want, &e->crn))
			fail(t, "it was about %.32s %.32s",
			     (const char *)e->program.bytes,
			     (const char *)e->crn.bytes);
	}
}

static const struct {
	const char *word;
	void (*run)(struct script *t);
} verbs[] = {
	{"lead", do_lead}, {"term", do_term}, {"config", do_config},
	{"crn_put", do_crn_put}, {"crn_remove", do_crn_remove},
	{"register", do_register}, {"report", do_report}, {"beat", do_beat},
	{"pass", do_pass}, {"ready", do_ready}, {"put", do_put},
	{"forget", do_forget}, {"assign", do_assign}, {"revoke", do_revoke},
	{"expire", do_expire}, {"fence_confirm", do_fence_confirm},
	{"new_gen", do_new_gen}, {"let", do_let}, {"program", ask_program},
	{"crn", ask_crn}, {"status", ask_status}, {"desired", ask_desired},
	{"kept", ask_desired}, {"due", ask_due}, {"moves", ask_moves},
	{"result", ask_result}, {"place", ask_place}, {"explain", ask_explain}, {"round", do_round},
	{"=", ask_effect},
};

/* --- lines --------------------------------------------------------------- */

static void split_line(struct script *t, char *line)
{
	char *save = NULL;

	t->word_count = 0;
	t->expected = t->expected_more = NULL;
	for (char *w = strtok_r(line, " \t\n", &save); w && w[0] != '#';
	     w = strtok_r(NULL, " \t\n", &save)) {
		if (strcmp(w, "->") == 0) {
			t->expected = strtok_r(NULL, " \t\n", &save);
			t->expected_more = strtok_r(NULL, " \t\n", &save);
			if (t->expected_more && t->expected_more[0] == '#')
				t->expected_more = NULL;
			return;
		}
		if (t->word_count < WORDS_MAX)
			t->words[t->word_count++] = w;
	}
}

/* Who tells effects tells them all. */
static void effects_end(struct script *t)
{
	int line = t->line;

	if (t->effect_asked && t->effect_seen < t->effect_count) {
		t->line = t->effect_line;
		fail(t, "the command had one more effect: %s",
		     fsm_effect_name(t->effects[t->effect_seen].type));
		t->line = line;
	}
	t->effect_asked = false;
}

static void run_line(struct script *t, char *line)
{
	split_line(t, line);
	if (t->word_count == 0)
		return;
	if (strcmp(t->words[0], "=") != 0)
		effects_end(t);
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (strcmp(verbs[i].word, t->words[0]) == 0) {
			verbs[i].run(t);
			return;
		}
	fail(t, "no such verb: %s", t->words[0]);
}

/* Goes on after a line that failed if `failures` is given, and counts them. */
static void run_lines(struct script *t, FILE *file)
{
	char line[2048];

	t->fsm = fsm_open();
	t->slow = compare_slow ? slow_open() : NULL;
	if (!file)
		fail(t, "cannot be read");
	while (file && !t->failed && fgets(line, sizeof line, file)) {
		t->line++;
		run_line(t, line);
		if (t->failures)
			t->failed = false;
	}
	if (!t->failed)
		effects_end(t);
	if (file)
		fclose(file);
	slow_close(t->slow);
}

static bool run(const char *path, char *message, size_t size, int *failures)
{
	struct script t = {.path = path, .message = message,
			   .message_size = size, .failures = failures};

	run_lines(&t, fopen(path, "r"));
	fsm_close(t.fsm);
	return !t.failed;
}

struct fsm *fsm_script_state(const char *lines)
{
	char message[512];
	struct script t = {.path = "lines", .message = message,
			   .message_size = sizeof message};

	run_lines(&t, fmemopen((char *)(uintptr_t)lines, strlen(lines), "r"));
	if (!t.failed)
		return t.fsm;
	printf("%s\n", message);
	fsm_close(t.fsm);
	return NULL;
}

bool fsm_script_run(const char *path, char *message, size_t size)
{
	return run(path, message, size, NULL);
}

int fsm_script_report(const char *path)
{
	char message[512];
	int failures = 0;

	setvbuf(stdout, NULL, _IOLBF, 0); /* a panic must not swallow it */
	(void)run(path, message, sizeof message, &failures);
	printf("%s: %d failed\n", path, failures);
	return failures;
}

static int is_script(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return size > 4 && strcmp(entry->d_name + size - 4, ".txt") == 0;
}

int fsm_script_run_all(const char *folder)
{
	struct dirent **list = NULL;
	int count = scandir(folder, &list, is_script, alphasort), failed = 0;

	for (int i = 0; i < count; i++) {
		char path[512], message[512];

		snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
		if (!fsm_script_run(path, message, sizeof message)) {
			printf("%s\n", message);
			failed++;
		}
		free(list[i]);
	}
	free(list);
	return count > 0 ? failed : -1;
}
