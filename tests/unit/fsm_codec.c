/* Commands to bytes and back; bounds; rubbish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/kit/fsm_random.h"

static void encode(struct buffer *b, const struct command *c)
{
	struct byte_sink sink = {b, buffer_write};

	b->size = 0;
	assert_true(command_encode(&sink, c));
}

/* Encoding what was decoded gives the same bytes, for every type. */
static void commands_come_back_as_they_went(void **state)
{
	struct command_cursor cursor = {0};
	struct fsm *fsm = fsm_open();
	struct buffer a = {0}, b = {0};
	struct dice d = {5};
	bool seen[32] = {false};

	(void)state;
	for (uint32_t i = 0; i < 20000; i++) {
		struct random_rows rows;
		struct command c, back;

		random_command(&d, fsm_live(fsm), &c, &rows);
		encode(&a, &c);
		assert_int_equal(command_decode(&cursor, a.data, a.size, &back),
				 0);
		assert_int_equal(back.type, c.type);
		encode(&b, &back);
		assert_int_equal(a.size, b.size);
		assert_memory_equal(a.data, b.data, a.size);
		seen[c.type] = true;
	}
	for (uint32_t type = FSM_BEAT; type <= FSM_CRN_REMOVE; type++)
		assert_true(seen[type]);
	command_cursor_close(&cursor);
	buffer_fini(&a);
	buffer_fini(&b);
	fsm_close(fsm);
}

static void an_entry_is_walked_to_its_end(void **state)
{
	struct command lead = {.type = FSM_LEAD}, out;
	struct buffer b = {0};
	struct byte_sink sink = {&b, buffer_write};
	struct command_cursor cursor;

	(void)state;
	lead.lead = (struct command_lead){7, 2};
	assert_true(command_entry_begin(&sink, 7, 2));
	assert_true(command_encode(&sink, &lead));
	assert_true(command_encode(&sink, &lead));
	assert_int_equal(command_cursor_open(&cursor, b.data, b.size), 0);
	assert_true(cursor.term == 7 && cursor.count == 2);
	assert_int_equal(command_cursor_next(&cursor, &out), 0);
	assert_int_equal(command_cursor_next(&cursor, &out), 0);
	assert_true(out.lead.leader == 2);
	assert_int_equal(command_cursor_next(&cursor, &out), BERTH_NOTFOUND);
	command_cursor_close(&cursor);
	/* one byte too many */
	assert_true(buffer_write(&b, "x", 1));
	assert_int_equal(command_cursor_open(&cursor, b.data, b.size), 0);
	assert_int_equal(command_cursor_next(&cursor, &out), 0);
	assert_int_equal(command_cursor_next(&cursor, &out), 0);
	assert_int_equal(command_cursor_next(&cursor, &out), BERTH_MALFORMED);
	command_cursor_close(&cursor);
	/* cut at every place */
	for (size_t size = 0; size + 1 < b.size; size++) {
		int error = command_cursor_open(&cursor, b.data, size);

		while (error == 0)
			error = command_cursor_next(&cursor, &out);
		assert_int_equal(error, BERTH_MALFORMED);
	}
	buffer_fini(&b);
}

static int decode(const void *data, size_t size)
{
	struct command_cursor cursor = {0};
	struct command out;
	int error = command_decode(&cursor, data, size, &out);

	command_cursor_close(&cursor);
	return error;
}

static void bounds_are_kept(void **state)
{
	static const uint8_t future_entry[] = {0x93, 2, 1, 0x90};
	static const uint8_t future_type[] = {0x92, 99, 0xc0};
	/* a Beat that announces 65,535 renewals and has none */
	static const uint8_t hollow[] = {0x95, 2, 0xc0, 1, 1, 0xdc, 0xff, 0xff};
	/* ... and one more than may be */
	static const uint8_t many[] = {0x95, 2,    0xc0, 1, 1, 0xdd,
				       0,    0x01, 0,    0};
	struct command put = {.type = FSM_CRN_PUT};
	char text[FSM_TEXT_SIZE_MAX + 1];
	struct command_cursor cursor;
	struct buffer b = {0};
	struct byte_sink sink = {&b, buffer_write};

	(void)state;
	assert_int_equal(command_cursor_open(&cursor, future_entry,
					     sizeof future_entry),
			 BERTH_VERSION);
	assert_int_equal(command_cursor_open(&cursor, future_entry, 0),
			 BERTH_MALFORMED);
	assert_int_equal(command_cursor_open(&cursor, future_entry,
					     FSM_ENTRY_SIZE_MAX + 1),
			 BERTH_TOOBIG);
	assert_int_equal(decode(future_type, sizeof future_type),
			 BERTH_VERSION);
	assert_int_equal(decode(hollow, sizeof hollow), BERTH_MALFORMED);
	assert_int_equal(decode(many, sizeof many), BERTH_TOOBIG);
	/* a text at the limit, above it, and one with a NUL inside */
	memset(text, 'a', sizeof text);
	put.crn_put.name = (struct text){text, FSM_TEXT_SIZE_MAX};
	encode(&b, &put);
	assert_int_equal(decode(b.data, b.size), 0);
	put.crn_put.name.size++;
	b.size = 0;
	assert_false(command_encode(&sink, &put));
	put.crn_put.name.size = 3;
	encode(&b, &put);
	*(char *)memchr(b.data, 'a', b.size) = '\0';
	assert_int_equal(decode(b.data, b.size), BERTH_MALFORMED);
	text[1] = '\0';
	b.size = 0;
	assert_false(command_encode(&sink, &put));
	buffer_fini(&b);
}

static bool full_write(void *ctx, const void *data, size_t size)
{
	size_t *room = ctx;

	(void)data;
	if (*room < size)
		return false;
	*room -= size;
	return true;
}

static void a_full_sink_is_told(void **state)
{
	struct command c = {.type = FSM_EXPIRE};
	struct buffer b = {0};

	(void)state;
	encode(&b, &c);
	for (size_t room = 0; room <= b.size; room++) {
		size_t left = room;
		struct byte_sink sink = {&left, full_write};

		assert_int_equal(command_encode(&sink, &c), room == b.size);
	}
	buffer_fini(&b);
}

static void enums_outside_their_range_are_refused(void **state)
{
	struct command c = {.type = FSM_REVOKE};
	struct buffer b = {0};
	struct byte_sink sink = {&b, buffer_write};

	(void)state;
	c.revoke.cause = (enum revoke_cause)9;
	assert_false(command_encode(&sink, &c));
	c.revoke.cause = (enum revoke_cause)0;
	assert_false(command_encode(&sink, &c));
	c.revoke.cause = REVOKE_DRAIN;
	encode(&b, &c);
	assert_int_equal(decode(b.data, b.size), 0);
	/* the last field but one, before an empty reason */
	assert_true(b.data[b.size - 2] == REVOKE_DRAIN);
	b.data[b.size - 2] = 9;
	assert_int_equal(decode(b.data, b.size), BERTH_MALFORMED);
	b.data[b.size - 2] = 0;
	assert_int_equal(decode(b.data, b.size), BERTH_MALFORMED);
	buffer_fini(&b);
}

static void an_empty_token_is_not_written(void **state)
{
	struct command c = {.type = FSM_CRN_REPORT};
	struct buffer b = {0};
	struct byte_sink sink = {&b, buffer_write};

	(void)state;
	c.report.token_count = 1;
	c.report.tokens[0] = (struct text){"a", 1};
	encode(&b, &c);
	assert_int_equal(decode(b.data, b.size), 0);
	c.report.tokens[0].size = 0;
	assert_false(command_encode(&sink, &c));
	buffer_fini(&b);
}

static void rubbish_is_refused(void **state)
{
	struct fsm *fsm = fsm_open();
	struct buffer b = {0};
	struct dice d = {77};
	uint32_t refused = 0;

	(void)state;
	for (uint32_t i = 0; i < 60000; i++) {
		struct random_rows rows;
		struct command c;
		uint8_t *exact;

		random_command(&d, fsm_live(fsm), &c, &rows);
		encode(&b, &c);
		for (uint32_t n = 1 + dice_roll(&d, 4); n > 0; n--)
			b.data[dice_roll(&d, (uint32_t)b.size)] =
				(uint8_t)dice_roll(&d, 256);
		if (dice_roll(&d, 4) == 0)
			b.size = 1 + dice_roll(&d, (uint32_t)b.size);
		/* of exactly that size, for the address sanitizer */
		exact = malloc(b.size);
		assert_non_null(exact);
		memcpy(exact, b.data, b.size);
		refused += decode(exact, b.size) != 0;
		free(exact);
	}
	assert_true(refused > 10000);
	buffer_fini(&b);
	fsm_close(fsm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_come_back_as_they_went),
		cmocka_unit_test(an_entry_is_walked_to_its_end),
		cmocka_unit_test(bounds_are_kept),
		cmocka_unit_test(a_full_sink_is_told),
		cmocka_unit_test(enums_outside_their_range_are_refused),
		cmocka_unit_test(an_empty_token_is_not_written),
		cmocka_unit_test(rubbish_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
