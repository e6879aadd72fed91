/* The replicated limits that no scenario of a few lines can reach. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fsm/place.h"
#include "fsm/state.h"
#include "tests/kit/fsm_random.h"
#include "tests/kit/fsm_script.h"

struct world {
	struct fsm *fsm;
	uint64_t index;
	enum fsm_refusal refusal;
	stamp_t stamp;
};

static struct hash name(char kind, uint32_t number)
{
	struct hash hash = {{(uint8_t)kind}};

	memcpy(hash.bytes + 1, &number, sizeof number);
	return hash;
}

static void on_result(void *ctx, const struct fsm_result *result)
{
	struct world *w = ctx;

	w->refusal = result->refusal;
	w->stamp = result->stamp;
}

static enum fsm_refusal apply(struct world *w, const struct command *c)
{
	struct fsm_observer observer = {w, on_result, NULL};
	struct buffer b = {0};
	struct byte_sink sink = {&b, buffer_write};

	assert_true(command_entry_begin(&sink, 1, 1));
	assert_true(command_encode(&sink, c));
	fsm_apply(w->fsm, ++w->index, b.data, b.size, &observer);
	buffer_fini(&b);
	return w->refusal;
}

static struct text words(const char *string)
{
	return (struct text){string, (uint32_t)strlen(string)};
}

static int open_world(void **state)
{
	static struct world w;
	struct command c = {.type = FSM_CONFIG};

	w = (struct world){.fsm = fsm_open()};
	c.config = (struct fsm_config){
		.heartbeat_ms = 500, .ttl_a_ms = 4000, .ttl_s_ms = 5200,
		.k_ms = 1000, .dt_max_ms = 2000, .beat_ms = 250,
		.sticky_ms = 8000, .start_failures_max = 3,
		.start_timeout_ms = 60000, .exclude_ms = 600000,
		.rho_ppm = 10000, .programs_max = 100000, .crns_max = 1000};
	assert_int_equal(apply(&w, &c), FSM_OK);
	c = (struct command){.type = FSM_LEAD, .lead = {1, 1}};
	assert_int_equal(apply(&w, &c), FSM_OK);
	*state = &w;
	return 0;
}

static int close_world(void **state)
{
	struct world *w = *state;

	fsm_check(w->fsm);
	fsm_close(w->fsm);
	return 0;
}

/* A CRN that is ready, with room for everything. */
static stamp_t crn_ready(struct world *w, struct hash crn)
{
	struct command c = {.type = FSM_CRN_PUT,
			    .crn_put = {crn, {"", 0}, {"", 0}, true}};
	struct command_renewal renewal = {.gen = 1, .crn = crn,
					  .got_ack = true};

	assert_int_equal(apply(w, &c), FSM_OK);
	c = (struct command){.type = FSM_REGISTER};
	c.reg = (struct command_register){
		.gen = 1, .crn = crn, .host = crn, .boot = crn,
		.nonce = {1, crn.bytes[1]}, .k_ms = 1000,
		.watchdog = WATCHDOG_HARDWARE, .class = CRN_FENCED};
	assert_int_equal(apply(w, &c), FSM_OK);
	renewal.session = w->stamp;
	c = (struct command){.type = FSM_CRN_REPORT};
	c.report = (struct command_crn_report){
		.crn = crn, .session = renewal.session, .vcpus = 10000,
		.memory_mib = 1 << 20, .disk_mib = 1 << 20,
		.url = words("http://crn")};
	assert_int_equal(apply(w, &c), FSM_OK);
	c = (struct command){.type = FSM_BEAT, .beat = {0, 0, 1, &renewal}};
	assert_int_equal(apply(w, &c), FSM_OK);
	return renewal.session;
}

static enum fsm_refusal put(struct world *w, struct hash program,
			    const struct hash *replaces, uint64_t time_ms)
{
	struct command c = {.type = FSM_PROGRAM_PUT};

	c.program_put = (struct command_program_put){
		.program = program, .amendable = true, .persistent = true,
		.owner = words("al"), .vcpus = 1, .time_ms = time_ms};
	if (replaces) {
		c.program_put.has_replaces = true;
		c.program_put.replaces = *replaces;
	}
	return apply(w, &c);
}

static enum fsm_refusal assign(struct world *w, struct hash program,
			       struct hash crn, stamp_t session)
{
	struct command c = {.type = FSM_ASSIGN,
			    .assign = {program, crn, session}};

	return apply(w, &c);
}

/* The fencer has so many slots, and no more. */
static void a_crn_takes_so_many(void **state)
{
	struct world *w = *state;
	struct hash crn = name('c', 1), last;
	stamp_t session = crn_ready(w, crn);
	struct place_verdict verdict;

	for (uint32_t i = 0; i <= FSM_CRN_PROGRAMS_MAX; i++)
		assert_int_equal(put(w, name('p', i), NULL, 0), FSM_OK);
	for (uint32_t i = 0; i < FSM_CRN_PROGRAMS_MAX; i++)
		assert_int_equal(assign(w, name('p', i), crn, session), FSM_OK);
	assert_int_equal(assign(w, name('p', FSM_CRN_PROGRAMS_MAX), crn,
				session), FSM_REFUSED_CAPACITY);
	last = name('p', FSM_CRN_PROGRAMS_MAX);
	place_choose(fsm_live(w->fsm), NULL,
		     fsm_program_find(fsm_live(w->fsm), &last), &verdict);
	assert_int_equal(verdict.reason, PLACE_SLOTS);
}

/* R21: a lineage is looked through, so it has an end; those that wait in a
 * newcomer's name count as well, for they come into its ring. */
static void a_lineage_is_bounded(void **state)
{
	struct world *w = *state;
	struct hash root = name('r', 1), other = name('r', 2);
	struct hash nobody = name('r', 3);

	assert_int_equal(put(w, root, NULL, 0), FSM_OK);
	for (uint32_t i = 1; i < LINEAGE_MAX; i++)
		assert_int_equal(put(w, name('p', i), &root, i), FSM_OK);
	assert_int_equal(put(w, name('p', LINEAGE_MAX), &root, LINEAGE_MAX),
			 FSM_REFUSED_FULL);
	for (uint32_t i = 0; i < LINEAGE_MAX; i++)
		assert_int_equal(put(w, name('q', i), &other, i), FSM_OK);
	assert_int_equal(put(w, other, NULL, 0), FSM_REFUSED_FULL);
	assert_int_equal(put(w, other, &nobody, 0), FSM_REFUSED_FULL);
}

static enum fsm_refusal forget(struct world *w, struct hash program)
{
	struct command c = {.type = FSM_PROGRAM_FORGET,
			    .program_forget = {program, {"", 0}}};

	return apply(w, &c);
}

static uint32_t exclusions_used(const struct world *w)
{
	const struct fsm_view *s = &w->fsm->state;
	uint32_t count = 0;

	for (uint32_t i = 0; i < s->exclusion_bound; i++)
		count += s->exclusions[i].used;
	return count;
}

/* R24: where a program failed is remembered for so many CRNs, newest first. */
static void exclusions_are_bounded(void **state)
{
	struct world *w = *state;
	struct hash program = name('p', 1);
	struct fsm_exclusion out[2 * EXCLUSIONS_MAX];
	struct hash crn;
	slot_t slot;

	assert_int_equal(put(w, program, NULL, 0), FSM_OK);
	for (uint32_t i = 0; i < EXCLUSIONS_MAX + 3; i++) {
		struct command c = {.type = FSM_REVOKE};
		struct command_renewal renewal = {.gen = 1};

		crn = renewal.crn = name('c', i);
		renewal.session = crn_ready(w, crn);
		assert_int_equal(assign(w, program, crn, renewal.session),
				 FSM_OK);
		c.revoke = (struct command_revoke){program, w->stamp,
						   REVOKE_START_FAILED,
						   words("no")};
		assert_int_equal(apply(w, &c), FSM_OK);
		renewal.applied = w->stamp;
		c = (struct command){.type = FSM_BEAT,
				     .beat = {0, 0, 1, &renewal}};
		assert_int_equal(apply(w, &c), FSM_OK);
	}
	slot = fsm_program_find(fsm_live(w->fsm), &program);
	assert_int_equal(fsm_program_exclusions(fsm_live(w->fsm), slot, out,
						2 * EXCLUSIONS_MAX),
			 EXCLUSIONS_MAX);
	crn = name('c', EXCLUSIONS_MAX + 2);
	assert_int_equal(out[0].crn, fsm_crn_find(fsm_live(w->fsm), &crn));
	/* places are used again; and none is kept for a program that went */
	assert_int_equal(exclusions_used(w), EXCLUSIONS_MAX);
	assert_int_equal(w->fsm->state.exclusion_bound, EXCLUSIONS_MAX);
	assert_int_equal(forget(w, program), FSM_OK);
	assert_int_equal(exclusions_used(w), 0);
}

/* The last requests are remembered; one that was forgotten is done again. */
static void requests_are_remembered_so_long(void **state)
{
	struct world *w = *state;

	for (uint32_t i = 0; i <= REQUESTS_MAX; i++) {
		struct command c = {.type = FSM_PROGRAM_FORGET,
				    .request = {1},
				    .program_forget = {name('p', 1), {"", 0}}};

		memcpy(c.request + 1, &i, sizeof i);
		assert_int_equal(apply(w, &c), FSM_REFUSED_UNKNOWN_PROGRAM);
	}
	assert_int_equal(put(w, name('p', 1), NULL, 0), FSM_OK);
	for (uint32_t i = 0; i <= 1; i++) {
		struct command c = {.type = FSM_PROGRAM_FORGET,
				    .request = {1},
				    .program_forget = {name('p', 1), {"", 0}}};
		uint32_t number = i == 0 ? 1 : 0;

		memcpy(c.request + 1, &number, sizeof number);
		assert_int_equal(apply(w, &c),
				 i == 0 ? FSM_REFUSED_UNKNOWN_PROGRAM : FSM_OK);
	}
}

/* One more move of a program: assigned, revoked, stopped, and again. */
static void move(struct world *w, struct hash program, struct hash crn,
		 stamp_t session, uint32_t number)
{
	struct command_renewal renewal = {.gen = 1, .crn = crn,
					  .session = session};
	struct command c = {.type = FSM_ASSIGN,
			    .assign = {program, crn, session}};
	char reason[32];

	snprintf(reason, sizeof reason, "reason %u", (unsigned)number);
	if (number % 3 == 1) {
		c = (struct command){.type = FSM_REVOKE};
		c.revoke = (struct command_revoke){
			program, w->stamp, REVOKE_OPERATOR, words(reason)};
	} else if (number % 3 == 2) {
		renewal.applied = w->stamp;
		c = (struct command){.type = FSM_BEAT,
				     .beat = {0, 0, 1, &renewal}};
	}
	assert_int_equal(apply(w, &c), FSM_OK);
}

static uint32_t moves_of(const struct world *w, struct hash program)
{
	struct fsm_move moves[2 * MOVES_SHOWN_MAX];
	const struct fsm_view *view = fsm_live(w->fsm);

	return fsm_program_moves(view, fsm_program_find(view, &program), moves,
				 2 * MOVES_SHOWN_MAX);
}

static void texts_are_given_back(const struct world *w)
{
	struct buffer b = {0};
	struct byte_sink sink = {&b, buffer_write};
	struct byte_source source = {&b, buffer_read};
	struct fsm *twin = NULL;

	assert_true(fsm_snapshot_write(fsm_live(w->fsm), &sink));
	assert_int_equal(fsm_snapshot_read(&twin, &source), 0);
	assert_true(fsm_script_texts_agree(fsm_live(w->fsm), fsm_live(twin)));
	fsm_close(twin);
	buffer_fini(&b);
}

/* The last moves of all programs are remembered; one that was forgotten is not
 * another program's. */
static void moves_are_remembered_so_long(void **state)
{
	struct world *w = *state;
	struct hash crn = name('c', 1), old = name('p', 1), p = name('p', 2);
	stamp_t session = crn_ready(w, crn);
	uint32_t number = 0;

	assert_int_equal(put(w, old, NULL, 0), FSM_OK);
	assert_int_equal(assign(w, old, crn, session), FSM_OK);
	assert_int_equal(put(w, p, NULL, 0), FSM_OK);
	while (w->fsm->state.move_count < MOVES_MAX)
		move(w, p, crn, session, number++);
	assert_int_equal(moves_of(w, old), 1);
	assert_int_equal(moves_of(w, p), MOVES_SHOWN_MAX);
	move(w, p, crn, session, number++);
	assert_int_equal(moves_of(w, old), 0);
	for (uint32_t i = 0; i < 9; i++)
		move(w, p, crn, session, number++);
	assert_int_equal(moves_of(w, p), MOVES_SHOWN_MAX);
	texts_are_given_back(w);
}

/* Who chooses names must not know which of them meet in a table. */
static void tables_are_seeded_by_the_first_config(void **state)
{
	struct world *w = *state, other = {.fsm = fsm_open(), .index = 7};
	struct command c = {.type = FSM_CONFIG,
			    .config = w->fsm->state.config};
	uint64_t seed = w->fsm->state.hash_seed;

	assert_int_equal(apply(&other, &c), FSM_OK);
	assert_true(seed != 0);
	assert_true(seed != other.fsm->state.hash_seed);
	fsm_close(other.fsm);
}

/* Replay needs no observer, and who observes may look at one thing alone. */
static void nobody_has_to_watch(void **state)
{
	struct world *w = *state;
	struct fsm_observer deaf = {w, NULL, NULL};
	struct fsm *other = fsm_open(), *third = fsm_open();
	struct command c = {.type = FSM_CONFIG,
			    .config = w->fsm->state.config};
	struct buffer b = {0};
	struct byte_sink sink = {&b, buffer_write};

	assert_true(command_entry_begin(&sink, 1, 1));
	assert_true(command_encode(&sink, &c));
	fsm_apply(other, 1, b.data, b.size, NULL);
	fsm_apply(third, 1, b.data, b.size, &deaf);
	assert_true(fsm_live(other)->configured);
	assert_true(fsm_hash(other) == fsm_hash(third));
	fsm_close(other);
	fsm_close(third);
	buffer_fini(&b);
}

#define STORY(function) \
	cmocka_unit_test_setup_teardown(function, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(a_crn_takes_so_many),
		STORY(a_lineage_is_bounded),
		STORY(exclusions_are_bounded),
		STORY(requests_are_remembered_so_long),
		STORY(moves_are_remembered_so_long),
		STORY(tables_are_seeded_by_the_first_config),
		STORY(nobody_has_to_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
