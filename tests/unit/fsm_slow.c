/* The state machine against a slow model of lease.md, command by command. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/kit/fsm_random.h"
#include "tests/kit/slow.h"

#define SEEDS 60u
#define ENTRIES 400u

struct pair {
	struct fsm *fsm;
	struct slow *slow;
	uint64_t index, term;
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

static void make_entry(struct pair *p, struct dice *d)
{
	uint32_t count = 1 + dice_roll(d, 4);
	struct byte_sink sink = {&p->entry, buffer_write};
	struct fsm_status status;

	fsm_status(fsm_live(p->fsm), &status);
	p->entry.size = 0;
	if (!status.configured || dice_roll(d, 60) == 0) {
		struct command c = {.type = FSM_CONFIG};

		c.config = random_config(d);
		if (status.configured) {
			c.type = FSM_LEAD;
			c.lead = (struct command_lead){++p->term, 1};
		}
		assert_true(command_entry_begin(&sink, p->term, 1));
		assert_true(command_encode(&sink, &c));
		return;
	}
	assert_true(command_entry_begin(
		&sink, p->term - (dice_roll(d, 50) == 0), count));
	for (uint32_t i = 0; i < count; i++) {
		struct random_rows rows;
		struct command c;

		random_command(d, fsm_live(p->fsm), &c, &rows);
		assert_true(command_encode(&sink, &c));
	}
}

static bool run_seed(uint64_t seed)
{
	struct dice d = {seed * 7919 + 1};
	static char message[8192];
	struct pair p;
	bool ok = true;

	pair_open(&p);
	for (uint32_t i = 0; ok && i < ENTRIES; i++) {
		make_entry(&p, &d);
		p.index += 1 + dice_roll(&d, 2);
		ok = pair_apply(&p, message, sizeof message);
	}
	if (!ok)
		printf("seed %llu: %s\n", (unsigned long long)seed, message);
	pair_close(&p);
	return ok;
}

static void random_entries_agree(void **state)
{
	const char *many = getenv("BERTH_FSM_SEEDS");
	const char *one = getenv("BERTH_FSM_SEED");
	uint64_t first = one ? strtoull(one, NULL, 10) : 1;
	uint64_t seeds = one ? first : many ? strtoull(many, NULL, 10) : SEEDS;

	(void)state;
	for (uint64_t seed = first; seed <= seeds; seed++)
		assert_true(run_seed(seed));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_entries_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
