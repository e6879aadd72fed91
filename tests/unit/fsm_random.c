/* Random commands: the invariants hold after each entry, two states that got
 * the same bytes are equal, and a state read from a snapshot goes on as the
 * one it was taken from. Rules touched: all; oracle: fsm_check and fsm_hash.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fsm/place.h"
#include "tests/kit/fsm_random.h"
#include "tests/kit/fsm_script.h"

#define SEEDS 150u
#define ENTRIES 400u

struct tally {
	uint64_t refusals[FSM_REFUSAL_COUNT], effects[32], commands;
};

static void count_result(void *ctx, const struct fsm_result *result)
{
	struct tally *tally = ctx;

	tally->refusals[result->refusal]++;
	tally->commands++;
}

static void count_effect(void *ctx, const struct fsm_effect *effect)
{
	((struct tally *)ctx)->effects[effect->type]++;
}

static void make_entry(struct dice *d, const struct fsm_view *view,
		       uint64_t *term, struct buffer *entry)
{
	uint32_t count = 1 + dice_roll(d, 4);
	struct byte_sink sink = {entry, buffer_write};
	struct fsm_status status;

	fsm_status(view, &status);
	entry->size = 0;
	if (!status.configured || dice_roll(d, 60) == 0) {
		struct command c = {.type = FSM_CONFIG};

		c.config = random_config(d);
		if (status.configured) {
			c.type = FSM_LEAD;
			c.lead = (struct command_lead){++*term, 1};
		}
		assert_true(command_entry_begin(&sink, *term, 1));
		assert_true(command_encode(&sink, &c));
		return;
	}
	assert_true(command_entry_begin(&sink, *term - (dice_roll(d, 50) == 0),
					count));
	for (uint32_t i = 0; i < count; i++) {
		struct random_rows rows;
		struct command c;

		random_command(d, view, &c, &rows);
		assert_true(command_encode(&sink, &c));
	}
}

static struct fsm *copy_of(const struct fsm *fsm)
{
	struct buffer b = {0};
	struct byte_sink sink = {&b, buffer_write};
	struct byte_source source = {&b, buffer_read};
	struct fsm *out = NULL;

	assert_true(fsm_snapshot_write(fsm_live(fsm), &sink));
	assert_int_equal(fsm_snapshot_read(&out, &source), 0);
	assert_true(fsm_hash(out) == fsm_hash(fsm));
	assert_true(fsm_script_texts_agree(fsm_live(fsm), fsm_live(out)));
	fsm_check(out);
	buffer_fini(&b);
	return out;
}

/* I6, I7 over time: epochs and sessions only rise within a generation. */
struct history {
	stamp_t epochs[64], sessions[16];
	uint64_t gens[64];
};

static void check_rising(const struct fsm_view *view, struct history *h)
{
	for (slot_t i = 0; i < fsm_crn_bound(view); i++) {
		struct fsm_crn crn;
		uint8_t at;

		if (!fsm_crn_read(view, i, &crn) || crn.session == 0)
			continue;
		at = (uint8_t)(crn.hash.bytes[1] - 'a');
		assert_true(crn.session >= h->sessions[at]);
		h->sessions[at] = crn.session;
	}
}

/* Places by the very code of the leader; apply must agree. */
static void place_some(struct dice *d, struct fsm *fsm, uint64_t *index,
		       struct tally *tally, struct fsm *twin, uint64_t term)
{
	struct command_assign assigns[4];
	uint32_t cursor = 0, count, refused = 0;
	struct fsm_observer observer = {tally, count_result, count_effect};
	struct buffer b = {0};
	struct byte_sink sink = {&b, buffer_write};

	for (uint32_t i = 1; i < FSM_REFUSAL_COUNT; i++)
		refused += (uint32_t)tally->refusals[i];
	count = place_round(fsm_live(fsm), NULL, &cursor, 100, assigns,
			    1 + dice_roll(d, 4));
	assert_true(command_entry_begin(&sink, term, count));
	for (uint32_t i = 0; i < count; i++) {
		struct command c = {.type = FSM_ASSIGN, .assign = assigns[i]};

		assert_true(command_encode(&sink, &c));
	}
	++*index;
	fsm_apply(fsm, *index, b.data, b.size, &observer);
	fsm_apply(twin, *index, b.data, b.size, NULL);
	for (uint32_t i = 1; i < FSM_REFUSAL_COUNT; i++)
		refused -= (uint32_t)tally->refusals[i];
	assert_int_equal(refused, 0);
	buffer_fini(&b);
}

static void explain_all(const struct fsm_view *view)
{
	for (slot_t i = 0; i < fsm_program_bound(view); i++) {
		struct fsm_program program;
		struct place_verdict verdict;
		char text[300];

		if (!fsm_program_read(view, i, &program))
			continue;
		place_choose(view, NULL, i, &verdict);
		assert_true(place_explain(view, i, &verdict, text,
					  sizeof text) > 0);
	}
}

static void run_seed(uint64_t seed, struct tally *tally)
{
	struct dice d = {seed * 7919 + 1};
	struct fsm_observer observer = {tally, count_result, count_effect};
	struct fsm *fsm = fsm_open(), *twin = fsm_open();
	struct history history = {{0}, {0}, {0}};
	struct buffer entry = {0};
	uint64_t term = 0, index = 0;

	for (uint32_t i = 0; i < ENTRIES; i++) {
		struct fsm_status status;

		make_entry(&d, fsm_live(fsm), &term, &entry);
		index += 1 + dice_roll(&d, 2);
		fsm_apply(fsm, index, entry.data, entry.size, &observer);
		fsm_apply(twin, index, entry.data, entry.size, NULL);
		fsm_check(fsm);
		check_rising(fsm_live(fsm), &history);
		assert_true(fsm_hash(fsm) == fsm_hash(twin));
		fsm_status(fsm_live(fsm), &status);
		if (dice_roll(&d, 8) == 0 && status.term == term &&
		    status.configured)
			place_some(&d, fsm, &index, tally, twin, term);
		if (dice_roll(&d, 20) == 0) {
			fsm_close(twin);
			twin = copy_of(fsm);
			explain_all(fsm_live(fsm));
		}
	}
	buffer_fini(&entry);
	fsm_close(fsm);
	fsm_close(twin);
}

static void random_entries_keep_the_invariants(void **state)
{
	struct tally tally = {{0}, {0}, 0};
	const char *many = getenv("BERTH_FSM_SEEDS");
	uint64_t seeds = many ? strtoull(many, NULL, 10) : SEEDS;

	(void)state;
	for (uint64_t seed = 1; seed <= seeds; seed++)
		run_seed(seed, &tally);
	printf("totals: %llu seeds, %llu commands\n",
	       (unsigned long long)seeds,
	       (unsigned long long)tally.commands);
	/* The dice must reach everything, or this proves little. */
	for (uint32_t i = 0; i < FSM_REFUSAL_COUNT; i++) {
		if (i == FSM_REFUSED_MALFORMED || i == FSM_REFUSED_CONFIG)
			continue;
		if (tally.refusals[i] == 0)
			print_error("never: %s\n",
				    fsm_refusal_name((enum fsm_refusal)i));
		assert_true(tally.refusals[i] > 0);
	}
	for (uint32_t i = EFFECT_PROGRAM_KNOWN; i <= EFFECT_NEW_GEN; i++) {
		if (tally.effects[i] == 0)
			print_error("never: %s\n",
				    fsm_effect_name((enum fsm_effect_type)i));
		assert_true(tally.effects[i] > 0);
	}
}

/* A wrong snapshot is refused and never becomes a state. */
static void torn_and_changed_snapshots_are_refused(void **state)
{
	struct tally tally = {{0}, {0}, 0};
	struct fsm_observer observer = {&tally, count_result, count_effect};
	struct dice d = {99};
	struct fsm *fsm = fsm_open();
	struct buffer entry = {0}, b = {0};
	struct byte_sink sink = {&b, buffer_write};
	uint64_t term = 0;
	uint32_t refused = 0;

	(void)state;
	for (uint32_t i = 1; i < 300; i++) {
		make_entry(&d, fsm_live(fsm), &term, &entry);
		fsm_apply(fsm, i, entry.data, entry.size, &observer);
	}
	assert_true(fsm_snapshot_write(fsm_live(fsm), &sink));
	for (uint32_t i = 0; i < 2000; i++) {
		struct byte_source source = {&b, buffer_read};
		size_t at = dice_roll(&d, (uint32_t)b.size), size = b.size;
		uint8_t was = b.data[at];
		struct fsm *out = NULL;
		int error;

		b.offset = 0;
		if (i % 4 == 0)
			b.size = at; /* torn */
		else
			b.data[at] = (uint8_t)dice_roll(&d, 256);
		error = fsm_snapshot_read(&out, &source);
		if (error) {
			assert_null(out);
			refused++;
		} else {
			fsm_check(out);
			fsm_close(out);
		}
		assert_true(i % 4 != 0 || error != 0);
		b.size = size;
		b.data[at] = was;
	}
	assert_true(refused > 550); /* every torn one, and some changed */
	buffer_fini(&b);
	buffer_fini(&entry);
	fsm_close(fsm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_entries_keep_the_invariants),
		cmocka_unit_test(torn_and_changed_snapshots_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
