/* Frames: whole, in pieces, many at once, and those that end a stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/frame.h"

static void feed(struct frame_reader *reader, const void *data, size_t size,
		 int code)
{
	assert_int_equal(frame_reader_feed(reader, data, size), code);
}

static void test_byte_by_byte(void **state)
{
	uint8_t data[FRAME_HEAD_SIZE + 3] = { 0 };
	struct frame_reader reader;
	const uint8_t *payload;
	uint8_t type;
	size_t size;

	(void)state;
	frame_head(data, 9, 3);
	memcpy(data + FRAME_HEAD_SIZE, "abc", 3);
	assert_memory_equal(data, "\0\0\0\4\11", 5);
	frame_reader_init(&reader, 3);
	for (size_t i = 0; i < sizeof data; i++) {
		assert_false(frame_reader_next(&reader, &type, &payload,
					       &size));
		feed(&reader, data + i, 1, 0);
	}
	assert_true(frame_reader_next(&reader, &type, &payload, &size));
	assert_int_equal(type, 9);
	assert_int_equal(size, 3);
	assert_memory_equal(payload, "abc", 3);
	assert_false(frame_reader_next(&reader, &type, &payload, &size));
	frame_reader_fini(&reader);
}

static void test_many_at_once(void **state)
{
	uint8_t data[100 * (FRAME_HEAD_SIZE + 100)];
	struct frame_reader reader;
	const uint8_t *payload;
	size_t used = 0, size;
	uint8_t type, i;

	(void)state;
	for (i = 0; i < 100; i++) {
		frame_head(data + used, i, i);
		memset(data + used + FRAME_HEAD_SIZE, i, i);
		used += FRAME_HEAD_SIZE + i;
	}
	frame_reader_init(&reader, 1000);
	feed(&reader, data, used, 0);
	for (i = 0; i < 100; i++) {
		assert_true(frame_reader_next(&reader, &type, &payload,
					      &size));
		assert_int_equal(type, i);
		assert_int_equal(size, i);
		assert_true(size == 0 || payload[size - 1] == i);
	}
	assert_false(frame_reader_next(&reader, &type, &payload, &size));
	frame_reader_fini(&reader);
}

static void test_too_big(void **state)
{
	struct frame_reader reader;
	uint8_t head[FRAME_HEAD_SIZE];

	(void)state;
	frame_reader_init(&reader, 10);
	frame_head(head, 1, 11);
	feed(&reader, head, 3, 0);
	feed(&reader, head + 3, 1, BERTH_TOOBIG);
	frame_reader_fini(&reader);
	frame_reader_init(&reader, 10);
	feed(&reader, "\xff\xff\xff\xff", 4, BERTH_TOOBIG);
	frame_reader_fini(&reader);
	frame_reader_init(&reader, 10);
	feed(&reader, "\0\0\0\0", 4, BERTH_MALFORMED);
	frame_reader_fini(&reader);
}

/* A bad head behind a good frame shows at the next feed. */
static void test_bad_behind_good(void **state)
{
	struct frame_reader reader;
	const uint8_t *payload;
	uint8_t type;
	size_t size;

	(void)state;
	frame_reader_init(&reader, 10);
	feed(&reader, "\0\0\0\2\1x\0\0\0\0", 10, 0);
	assert_true(frame_reader_next(&reader, &type, &payload, &size));
	assert_false(frame_reader_next(&reader, &type, &payload, &size));
	feed(&reader, NULL, 0, BERTH_MALFORMED);
	frame_reader_fini(&reader);
}

/* An announced size costs nothing until the bytes are there. */
static void test_bounded_memory(void **state)
{
	struct frame_reader reader;

	(void)state;
	frame_reader_init(&reader, 1u << 30);
	feed(&reader, "\x20\0\0\0\1", 5, 0);
	assert_true(reader.capacity <= 8192);
	frame_reader_fini(&reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_too_big),
		cmocka_unit_test(test_bad_behind_good),
		cmocka_unit_test(test_bounded_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
