/* Bytes between replicas: what is put comes back; whatever is cut, garbled or
 * too long is malformed and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "node/replica/relay_wire.h"

static const struct text hello = { "hello", 5 };

static void request_of(struct wire *w)
{
	struct forward_request m = {
		.id = 77, .authority = 2, .local_only = true,
		.who = hello, .method = { "PUT", 3 },
		.path = { "/admin/v1/crns/x", 16 }, .query = { "a=b", 3 },
		.body = { "{}", 2 },
	};

	memset(m.request, 0xab, sizeof m.request);
	forward_request_put(w, &m);
	assert_false(w->failed);
}

static void answer_of(struct wire *w)
{
	const struct forward_answer m = {
		.id = 77, .index = 5, .term = 6, .leader = 2, .age_ms = 9,
		.status = 409, .content_type = { "text/plain", 10 },
		.location = { "", 0 }, .body = hello,
	};

	forward_answer_put(w, &m);
	assert_false(w->failed);
}

static void read_of(struct wire *w)
{
	const struct read_answer m = {
		.id = 3, .index = UINT64_MAX, .gen = 2, .epoch = 9, .code = 0,
		.has_run = true, .status = 3, .failures = 4, .reason = hello,
	};

	read_answer_put(w, &m);
	assert_false(w->failed);
}

static int get_request(const uint8_t *data, size_t size)
{
	struct forward_request m;

	return forward_request_get(data, size, &m);
}

static int get_answer(const uint8_t *data, size_t size)
{
	struct forward_answer m;

	return forward_answer_get(data, size, &m);
}

static int get_read(const uint8_t *data, size_t size)
{
	struct read_answer m;

	return read_answer_get(data, size, &m);
}

static void they_come_back(void **state)
{
	struct wire w = { 0 };
	struct forward_request request;
	struct forward_answer answer;
	struct read_answer read;

	(void)state;
	request_of(&w);
	assert_int_equal(forward_request_get(w.data, w.size, &request), 0);
	assert_int_equal(request.id, 77);
	assert_int_equal(request.authority, 2);
	assert_true(request.local_only);
	assert_int_equal(request.request[15], 0xab);
	assert_int_equal(request.path.size, 16);
	assert_memory_equal(request.body.data, "{}", 2);
	wire_fini(&w);
	answer_of(&w);
	assert_int_equal(forward_answer_get(w.data, w.size, &answer), 0);
	assert_int_equal(answer.status, 409);
	assert_memory_equal(answer.body.data, "hello", 5);
	wire_fini(&w);
	read_of(&w);
	assert_int_equal(read_answer_get(w.data, w.size, &read), 0);
	assert_true(read.index == UINT64_MAX);
	assert_true(read.has_run);
	assert_int_equal(read.failures, 4);
	wire_fini(&w);
}

/* A leader that refuses confirms no index, and a code that nobody knows is no
 * answer. */
static void refused_read_stays_refused(void **state)
{
	struct read_answer m = { .id = 3, .code = BERTH_NOTLEADER };
	struct read_answer read;
	struct wire w = { 0 };

	(void)state;
	read_answer_put(&w, &m);
	assert_int_equal(read_answer_get(w.data, w.size, &read), 0);
	assert_int_equal(read.code, BERTH_NOTLEADER);
	wire_fini(&w);
	m.code = BERTH_ERROR_COUNT;
	read_answer_put(&w, &m);
	assert_int_equal(read_answer_get(w.data, w.size, &read),
			 BERTH_MALFORMED);
	wire_fini(&w);
}

/* Every prefix, one byte more, and each byte changed to the worst. Copies of
 * the exact size: a read beyond the end is then seen by the sanitizers. */
static void attack(void (*put)(struct wire *w),
		   int (*get)(const uint8_t *data, size_t size))
{
	struct wire w = { 0 };
	uint8_t *copy;

	put(&w);
	for (size_t size = 0; size < w.size; size++) {
		copy = malloc(size ? size : 1);
		memcpy(copy, w.data, size);
		assert_int_equal(get(copy, size), BERTH_MALFORMED);
		free(copy);
	}
	copy = malloc(w.size + 1);
	memcpy(copy, w.data, w.size);
	copy[w.size] = 0;
	assert_int_equal(get(copy, w.size + 1), BERTH_MALFORMED);
	free(copy);
	for (size_t i = 0; i < w.size; i++) {
		copy = malloc(w.size);
		memcpy(copy, w.data, w.size);
		copy[i] = 0xff;
		(void)get(copy, w.size);
		free(copy);
	}
	wire_fini(&w);
}

static void what_is_cut_is_malformed(void **state)
{
	(void)state;
	attack(request_of, get_request);
	attack(answer_of, get_answer);
	attack(read_of, get_read);
}

static void noise_is_malformed(void **state)
{
	uint8_t *noise;

	(void)state;
	srand(7);
	for (int round = 0; round < 20000; round++) {
		size_t size = (size_t)rand() % 200;

		noise = malloc(size ? size : 1);
		for (size_t i = 0; i < size; i++)
			noise[i] = (uint8_t)rand();
		assert_int_equal(get_request(noise, size), BERTH_MALFORMED);
		assert_int_equal(get_answer(noise, size), BERTH_MALFORMED);
		(void)get_read(noise, size);
		free(noise);
	}
}

static void too_long_is_malformed(void **state)
{
	struct wire w = { 0 };
	struct forward_request m = { .method = { "GET", 3 } };
	struct forward_answer odd = { .status = 99 };
	char *path = malloc(5000);

	(void)state;
	memset(path, '/', 5000);
	m.path = (struct text){ path, 5000 };
	forward_request_put(&w, &m);
	assert_int_equal(get_request(w.data, w.size), BERTH_MALFORMED);
	wire_fini(&w);
	free(path);
	m.path = (struct text){ "", 0 };
	forward_request_put(&w, &m);
	assert_int_equal(get_request(w.data, w.size), BERTH_MALFORMED);
	wire_fini(&w);
	forward_answer_put(&w, &odd);
	assert_int_equal(get_answer(w.data, w.size), BERTH_MALFORMED);
	wire_fini(&w);
}

/* --- batches --------------------------------------------------------------- */

static void items(bool up)
{
	struct wire w = { 0 };
	struct wire_reader r;
	struct relay_item item = { .link = 9, .type = 6, .bytes = hello }, got;

	memset(item.crn.bytes, 0x11, 32);
	for (uint32_t i = 0; i < 3; i++) {
		item.link = i;
		relay_item_put(&w, &item, up);
	}
	r = (struct wire_reader){ w.data, w.size, 0, false };
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(relay_item_next(&r, up, &got));
		assert_int_equal(got.link, i);
		assert_int_equal(got.type, 6);
		assert_memory_equal(got.bytes.data, "hello", 5);
		if (up)
			assert_memory_equal(got.crn.bytes, item.crn.bytes, 32);
	}
	assert_false(relay_item_next(&r, up, &got));
	assert_false(r.bad);
	/* Cut inside the third: two come, then it is malformed. */
	r = (struct wire_reader){ w.data, w.size - 1, 0, false };
	assert_true(relay_item_next(&r, up, &got));
	assert_true(relay_item_next(&r, up, &got));
	assert_false(relay_item_next(&r, up, &got));
	assert_true(r.bad);
	wire_fini(&w);
}

static void batches_come_back(void **state)
{
	(void)state;
	items(true);
	items(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_come_back),
		cmocka_unit_test(refused_read_stays_refused),
		cmocka_unit_test(what_is_cut_is_malformed),
		cmocka_unit_test(noise_is_malformed),
		cmocka_unit_test(too_long_is_malformed),
		cmocka_unit_test(batches_come_back),
	};

	return cmocka_run_group_tests_name("replica_relay", tests, NULL, NULL);
}
