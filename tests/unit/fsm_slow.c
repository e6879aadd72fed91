/* The state machine against a slow model of lease.md, command by command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/kit/fsm_random.h"
#include "tests/kit/fsm_script.h"
#include "tests/kit/slow.h"
#include "tests/kit/fsm_stream.h"

#define SEEDS 600u
#define ENTRIES 400u

struct pair {
	struct fsm *fsm;
	struct slow *slow;
	uint64_t index, term, asked_term;
	bool calm;      /* nothing is restored */
	struct fsm_stream stream;
	struct buffer entry;
};

static void pair_open(struct pair *p)
{
	*p = (struct pair){.fsm = fsm_open(), .slow = slow_open()};
}

static void pair_close(struct pair *p)
{
	fsm_close(p->fsm);
	slow_close(p->slow);
	buffer_fini(&p->entry);
}

static void talk(const struct pair *p)
{
	struct command_cursor cursor;
	struct command c;
	char words[600];

	if (command_cursor_open(&cursor, p->entry.data, p->entry.size) != 0)
		return;
	while (command_cursor_next(&cursor, &c) == 0) {
		slow_words(&c, words, sizeof words);
		printf("%llx term %llu %s\n", (unsigned long long)p->index,
		       (unsigned long long)cursor.term, words);
	}
	command_cursor_close(&cursor);
}

static bool pair_apply(struct pair *p, char *message, size_t room)
{
	const struct fsm_observer observer = {p->slow, slow_heard, NULL};

	if (getenv("BERTH_TALK"))
		talk(p);
	fsm_apply(p->fsm, p->index, p->entry.data, p->entry.size, &observer);
	return slow_entry(p->slow, p->index, p->entry.data, p->entry.size,
			  fsm_live(p->fsm), SLOW_ALL, message, room);
}

/* --- entries ------------------------------------------------------------- */

static void lead(struct pair *p, struct dice *d, struct command *c)
{
	c->type = FSM_LEAD;
	c->lead.leader = dice_roll(d, 3);
	c->lead.term = p->term;
	if (dice_roll(d, 8)) {
		c->lead.term = ++p->term;
		p->asked_term = p->term;
	}
	if (dice_roll(d, 8) == 0)
		c->lead.term = fsm_stream_near(d, c->lead.term);
	if (dice_roll(d, 8) == 0)
		c->lead.term = p->asked_term = p->term - dice_roll(d, 3);
}

static void make_first(struct pair *p, struct dice *d)
{
	struct byte_sink sink = {&p->entry, buffer_write};
	struct command c = {.type = FSM_CONFIG};
	struct random_rows rows;

	c.config = random_config(d);
	if (dice_roll(d, 3) == 0)
		random_command(d, fsm_live(p->fsm), &c, &rows);
	if (dice_roll(d, 4) == 0)
		fsm_stream_twist(d, &c);
	assert_true(command_entry_begin(&sink, p->term, 1));
	assert_true(command_encode(&sink, &c));
}

static void make_entry(struct pair *p, struct dice *d)
{
	uint32_t count = 1 + dice_roll(d, 4);
	struct byte_sink sink = {&p->entry, buffer_write};
	struct fsm_status status;

	fsm_status(fsm_live(p->fsm), &status);
	p->entry.size = 0;
	if (!status.configured) {
		make_first(p, d);
		return;
	}
	p->term = status.term;
	p->asked_term = p->term - (dice_roll(d, 50) == 0);
	if (dice_roll(d, 60) == 0) {
		struct command c = {0};

		lead(p, d, &c);
		assert_true(command_entry_begin(&sink, p->asked_term, 1));
		assert_true(command_encode(&sink, &c));
		return;
	}
	assert_true(command_entry_begin(&sink, p->asked_term, count));
	for (uint32_t i = 0; i < count; i++) {
		struct random_rows rows;
		struct command c;

		fsm_stream_command(&p->stream, d, fsm_live(p->fsm), &c, &rows);
		if (c.type == FSM_NEW_GEN && p->calm)
			c.new_gen.gen = 0;
		assert_true(command_encode(&sink, &c));
	}
}

/* How often each result was seen, over all seeds. */
static uint64_t reached[16][FSM_REFUSAL_COUNT];

static void count_reached(const struct pair *p)
{
	for (uint32_t t = 0; t <= FSM_CRN_REMOVE; t++)
		for (uint32_t r = 0; r < FSM_REFUSAL_COUNT; r++)
			reached[t][r] += slow_reached(p->slow, t,
						      (enum fsm_refusal)r);
}

static bool run_seed(uint64_t seed)
{
	struct dice d = {seed * 7919 + 1};
	static char message[8192];
	struct pair p;
	bool ok = true;

	pair_open(&p);
	p.calm = seed % 3 == 0;
	p.stream.sense = 2 * (uint32_t)(seed % 4);
	for (uint32_t i = 0; ok && i < ENTRIES; i++) {
		make_entry(&p, &d);
		p.index += 1 + dice_roll(&d, 2);
		ok = pair_apply(&p, message, sizeof message);
	}
	if (!ok)
		printf("seed %llu: %s\n", (unsigned long long)seed, message);
	count_reached(&p);
	pair_close(&p);
	return ok;
}

/* What each command can be answered: the dice must reach all of it, or they
 * prove little. */
#define CAN(refusal) (UINT64_C(1) << FSM_##refusal)
#define WRONG(refusal) CAN(REFUSED_##refusal)
static const uint64_t reachable[] = {
	[FSM_LEAD] = CAN(OK) | WRONG(TERM) | WRONG(MALFORMED),
	[FSM_BEAT] = CAN(OK) | WRONG(TERM) | WRONG(STATE),
	[FSM_REGISTER] = CAN(OK) | CAN(DUPLICATE) | WRONG(TERM) | WRONG(GEN) |
		WRONG(MALFORMED) | WRONG(UNKNOWN_CRN) | WRONG(PREV) |
		WRONG(BOOT) | WRONG(K) | WRONG(CLASS) | WRONG(STATE),
	[FSM_CRN_REPORT] = CAN(OK) | WRONG(TERM) | WRONG(MALFORMED) |
		WRONG(UNKNOWN_CRN) | WRONG(SESSION) | WRONG(STATE),
	[FSM_EXPIRE] = CAN(OK) | WRONG(TERM) | WRONG(UNKNOWN_CRN) |
		WRONG(SESSION) | WRONG(NOT_DUE) | WRONG(STATE),
	[FSM_ASSIGN] = CAN(OK) | WRONG(TERM) | WRONG(UNKNOWN_CRN) |
		WRONG(UNKNOWN_PROGRAM) | WRONG(SESSION) | WRONG(NOT_FREE) |
		WRONG(LINEAGE) | WRONG(QUARANTINE) | WRONG(NOT_ESTABLISHED) |
		WRONG(CLASS) | WRONG(CAPACITY) | WRONG(TOKENS) | WRONG(PIN) |
		WRONG(EXCLUDED) | WRONG(STATE),
	[FSM_REVOKE] = CAN(OK) | WRONG(TERM) | WRONG(UNKNOWN_PROGRAM) |
		WRONG(EPOCH) | WRONG(STATE),
	[FSM_FENCE_CONFIRM] = CAN(OK) | WRONG(TERM) | WRONG(GEN) |
		WRONG(UNKNOWN_CRN) | WRONG(SESSION) | WRONG(STATE),
	[FSM_NEW_GEN] = CAN(OK) | WRONG(TERM) | WRONG(GEN) | WRONG(STATE),
	[FSM_CONFIG] = CAN(OK) | WRONG(TERM) | WRONG(CONFIG),
	[FSM_PROGRAM_PUT] = CAN(OK) | CAN(DUPLICATE) | WRONG(TERM) |
		WRONG(MALFORMED) | WRONG(STATE) | WRONG(FULL) | WRONG(OWNER) |
		WRONG(NOT_AMENDABLE) | WRONG(CONFLICT),
	[FSM_PROGRAM_FORGET] = CAN(OK) | CAN(DUPLICATE) | WRONG(TERM) |
		WRONG(UNKNOWN_PROGRAM) | WRONG(STATE),
	[FSM_CRN_PUT] = CAN(OK) | CAN(DUPLICATE) | WRONG(TERM) |
		WRONG(MALFORMED) | WRONG(STATE) | WRONG(FULL),
	[FSM_CRN_REMOVE] = CAN(OK) | WRONG(TERM) | WRONG(UNKNOWN_CRN) |
		WRONG(STATE),
};

static void everything_was_reached(void)
{
	for (uint32_t t = FSM_LEAD; t <= FSM_CRN_REMOVE; t++)
		for (uint32_t r = 0; r < FSM_REFUSAL_COUNT; r++) {
			bool can = reachable[t] >> r & 1;

			if (can == (reached[t][r] > 0))
				continue;
			print_error("%s: %s: %s\n",
				    slow_command_name((enum fsm_command_type)t),
				    fsm_refusal_name((enum fsm_refusal)r),
				    can ? "never reached" : "not in the table");
			assert_false(can);
		}
}

static void print_reached(void)
{
	for (uint32_t t = 0; t <= FSM_CRN_REMOVE; t++) {
		printf("%s:", t ? slow_command_name((enum fsm_command_type)t)
				: "asked again");
		for (uint32_t r = 0; r < FSM_REFUSAL_COUNT; r++)
			if (reached[t][r] > 0)
				printf(" %s=%llu",
				       fsm_refusal_name((enum fsm_refusal)r),
				       (unsigned long long)reached[t][r]);
		printf("\n");
	}
}

static void random_entries_agree(void **state)
{
	const char *many = getenv("BERTH_FSM_SEEDS");
	const char *only = getenv("BERTH_FSM_SEED");
	uint64_t first = only ? strtoull(only, NULL, 10) : 1;
	uint64_t seeds = only ? first : many ? strtoull(many, NULL, 10) : SEEDS;

	(void)state;
	for (uint64_t seed = first; seed <= seeds; seed++)
		assert_true(run_seed(seed));
	print_reached();
	if (seeds - first + 1 >= SEEDS)
		everything_was_reached();
}

/* --- replicated limits ----------------------------------------------------- */

static void one(struct pair *p, const struct command *c)
{
	struct byte_sink sink = {&p->entry, buffer_write};
	static char message[8192];
	const struct fsm_observer observer = {p->slow, slow_heard, NULL};

	p->entry.size = 0;
	p->index++;
	assert_true(command_entry_begin(&sink, p->term, 1));
	assert_true(command_encode(&sink, c));
	fsm_apply(p->fsm, p->index, p->entry.data, p->entry.size, &observer);
	if (slow_entry(p->slow, p->index, p->entry.data, p->entry.size,
		       fsm_live(p->fsm), SLOW_TOUCHED, message,
		       sizeof message))
		return;
	print_error("%s\n", message);
	assert_true(false);
}

static struct hash numbered(char kind, uint32_t number)
{
	struct hash hash = {{0}};

	hash.bytes[0] = (uint8_t)kind;
	memcpy(hash.bytes + 28, &number, sizeof number);
	hash.bytes[1] = '.';
	return hash;
}

static void configure(struct pair *p)
{
	struct command c = {.type = FSM_CONFIG};

	c.config = (struct fsm_config){
		.heartbeat_ms = 500, .ttl_a_ms = 4000, .ttl_s_ms = 5200,
		.k_ms = 1000, .dt_max_ms = 2000, .beat_ms = 250,
		.exclude_ms = 600000, .rho_ppm = 10000, .programs_max = 5000,
		.crns_max = 100};
	one(p, &c);
	c = (struct command){.type = FSM_LEAD};
	c.lead.term = ++p->term;
	one(p, &c);
}

static stamp_t ready(struct pair *p, uint32_t number)
{
	struct command c = {.type = FSM_CRN_PUT};
	struct command_renewal renewal;
	struct hash crn = numbered('c', number);
	stamp_t session;

	c.crn_put = (struct command_crn_put){crn, {"", 0}, {"", 0}, true};
	one(p, &c);
	c = (struct command){.type = FSM_REGISTER};
	c.reg = (struct command_register){.gen = 1, .crn = crn, .host = crn,
		.boot = crn, .nonce = {1}, .k_ms = 1000,
		.watchdog = WATCHDOG_SOFT, .class = CRN_FENCED};
	one(p, &c);
	session = stamp_make(p->index, 0);
	c = (struct command){.type = FSM_CRN_REPORT};
	c.report = (struct command_crn_report){.crn = crn, .session = session,
		.vcpus = 65535, .memory_mib = 1u << 30, .disk_mib = 1u << 30};
	one(p, &c);
	renewal = (struct command_renewal){1, crn, session, 1, 0, true};
	c = (struct command){.type = FSM_BEAT};
	c.beat = (struct command_beat){1, 1, 1, &renewal};
	one(p, &c);
	return session;
}

static void put(struct pair *p, uint32_t number, uint32_t replaces)
{
	struct command c = {.type = FSM_PROGRAM_PUT};

	c.program_put = (struct command_program_put){
		.program = numbered('p', number), .amendable = true,
		.persistent = true, .owner = {"al", 2}, .vcpus = 1,
		.has_replaces = replaces > 0, .time_ms = number,
		.replaces = numbered('p', replaces)};
	one(p, &c);
}

static void assign(struct pair *p, uint32_t number, uint32_t crn,
		   stamp_t session)
{
	struct command c = {.type = FSM_ASSIGN};

	c.assign = (struct command_assign){numbered('p', number),
					   numbered('c', crn), session};
	one(p, &c);
}

static uint64_t seen(const struct pair *p, enum fsm_command_type type,
		     enum fsm_refusal refusal)
{
	return slow_reached(p->slow, type, refusal);
}

/* A fencer has so many rows. */
static void limits_agree(void **state)
{
	struct pair p;
	stamp_t session;

	(void)state;
	pair_open(&p);
	configure(&p);
	session = ready(&p, 1);
	for (uint32_t i = 1; i <= FSM_CRN_PROGRAMS_MAX + 1; i++) {
		put(&p, i, 0);
		assign(&p, i, 1, session);
	}
	assert_int_equal(seen(&p, FSM_ASSIGN, FSM_OK), FSM_CRN_PROGRAMS_MAX);
	assert_int_equal(seen(&p, FSM_ASSIGN, FSM_REFUSED_CAPACITY), 1);
	pair_close(&p);
}

static void lineages_end_alike(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	configure(&p);
	put(&p, 1, 0);
	for (uint32_t i = 2; i <= 4098; i++)
		put(&p, i, 1);
	assert_int_equal(seen(&p, FSM_PROGRAM_PUT, FSM_OK), 4096);
	assert_int_equal(seen(&p, FSM_PROGRAM_PUT, FSM_REFUSED_FULL), 2);
	pair_close(&p);
}

static void requests_are_remembered_alike(void **state)
{
	struct command c = {.type = FSM_CRN_PUT};
	struct pair p;

	(void)state;
	pair_open(&p);
	configure(&p);
	c.crn_put.crn = numbered('c', 1);
	for (uint32_t i = 1; i <= 4200; i++) {
		uint32_t id = i;

		memcpy(c.request, &id, sizeof id);
		one(&p, &c);
		id = i > 4096 ? i - 4096 : 1; /* the oldest, or just gone */
		memcpy(c.request, &id, sizeof id);
		if (i % 50 == 0)
			one(&p, &c);
	}
	pair_close(&p);
}

/* More CRNs where it failed than are remembered. */
static void failures_are_remembered_alike(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	configure(&p);
	put(&p, 1, 0);
	for (uint32_t i = 1; i <= 70; i++) {
		struct command c = {.type = FSM_REVOKE};
		stamp_t session = ready(&p, i);
		struct command_renewal renewal = {
			1, numbered('c', i), session, 2, 0, true};

		assign(&p, 1, i, session);
		c.revoke = (struct command_revoke){
			numbered('p', 1), stamp_make(p.index, 0),
			REVOKE_START_FAILED, {"", 0}};
		one(&p, &c);
		renewal.applied = stamp_version(p.index);
		c = (struct command){.type = FSM_BEAT};
		c.beat = (struct command_beat){1, 1, 1, &renewal};
		one(&p, &c);
	}
	assert_int_equal(seen(&p, FSM_ASSIGN, FSM_OK), 70);
	pair_close(&p);
}

static void every_scenario_agrees(void **state)
{
	(void)state;
	fsm_script_compare(true);
	assert_int_equal(fsm_script_run_all("tests/script"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_entries_agree),
		cmocka_unit_test(limits_agree),
		cmocka_unit_test(lineages_end_alike),
		cmocka_unit_test(requests_are_remembered_alike),
		cmocka_unit_test(failures_are_remembered_alike),
		cmocka_unit_test(every_scenario_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
