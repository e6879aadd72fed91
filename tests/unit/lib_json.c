/* JSON in: strict and bounded. JSON out: what was written reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "node/lib/json.h"

static int parse(const char *text, size_t size, struct fault *fault)
{
	json_t *value = NULL;
	int rc = json_parse(text, size, 1000, &value, fault);

	if (rc != 0)
		assert_null(value);
	json_decref(value);
	return rc;
}

static void strict_parse(void **unused)
{
	static const char *const bad[] = { "", "{", "{}{}", "[1,]", "nul",
		"{\"a\":1,\"a\":2}", "'a'", "\"\xff\"", "\"\\u0000\"",
		"{\"a\":{\"b\":1,\"b\":1}}", "1e999", "99999999999999999999",
		"// x\n1", "NaN", "01" };
	static const char *const good[] = { "1", "null", " [1] ", "\"a\"",
					    "{\"a\":{\"b\":[1,2.5,true]}}" };
	struct fault fault;
	char many[1001];

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (parse(bad[i], strlen(bad[i]), &fault) != BERTH_MALFORMED)
			fail_msg("taken: %s", bad[i]);
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_int_equal(parse(good[i], strlen(good[i]), &fault), 0);
	assert_int_equal(parse("{\n \"a\" 1}", 9, &fault), BERTH_MALFORMED);
	assert_non_null(strstr(fault.text, "line 2 column"));
	memset(many, ' ', sizeof many);
	many[0] = '1';
	assert_int_equal(parse(many, 1000, &fault), 0);
	assert_int_equal(parse(many, 1001, &fault), BERTH_TOOBIG);
	assert_int_equal(parse("1\0", 2, &fault), BERTH_MALFORMED);
}

static void depth_is_bounded(void **unused)
{
	static char deep[20000];
	json_t *value;
	struct fault fault;

	(void)unused;
	memset(deep, '[', 10000);
	memset(deep + 10000, ']', 10000);
	assert_int_equal(json_parse(deep, sizeof deep, sizeof deep, &value,
				    &fault), BERTH_MALFORMED);
	assert_non_null(strstr(fault.text, "depth"));
}

static void writer_reads_back(void **unused)
{
	struct json_writer w;
	struct hash hash;
	struct fault fault;
	json_t *value;

	(void)unused;
	memset(&hash, 0xab, sizeof hash);
	jsonw_init(&w);
	jsonw_object(&w, NULL);
	jsonw_string(&w, "text", "a\"b\\c\n\t\x01 \xc3\xa9\x7f");
	jsonw_string(&w, "nothing", NULL);
	jsonw_text(&w, "broken", "x\xff\xc3(\xed\xa0\x80y", 8);
	jsonw_array(&w, "list");
	jsonw_uint(&w, NULL, UINT64_MAX / 2);
	jsonw_int(&w, NULL, -7);
	jsonw_bool(&w, NULL, true);
	jsonw_null(&w, NULL);
	jsonw_double(&w, NULL, 0.1);
	jsonw_double(&w, NULL, INFINITY);
	jsonw_object(&w, NULL);
	jsonw_object_end(&w);
	jsonw_array_end(&w);
	jsonw_hash(&w, "hash", &hash);
	jsonw_raw(&w, "raw", "{\"k\":[]}", 8);
	jsonw_object_end(&w);
	assert_false(w.failed);
	assert_int_equal(w.depth, 0);
	assert_int_equal(strlen(w.data), w.size);
	assert_int_equal(json_parse(w.data, w.size, 4096, &value, &fault), 0);
	assert_string_equal(json_string_value(json_object_get(value, "text")),
			    "a\"b\\c\n\t\x01 \xc3\xa9\x7f");
	assert_string_equal(json_string_value(json_object_get(value,
							      "broken")),
			    "x\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf"
			    "\xbd\xef\xbf\xbdy");
	assert_non_null(strstr(w.data, ",0.1,null,{}]"));
	assert_int_equal(json_array_size(json_object_get(value, "list")), 7);
	assert_int_equal(json_object_size(value), 6);
	assert_int_equal(json_string_length(json_object_get(value, "hash")),
			 64);
	json_decref(value);
	jsonw_fini(&w);
}

static void doubles_are_exact(void **unused)
{
	static const double values[] = { 0, 1757026128.773, 1761047957.7483068,
		1e300, 5e-324, 0.1 + 0.2, -2.5 };
	struct json_writer w;
	struct fault fault;
	json_t *value;
	double read_back;

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(values); i++) {
		jsonw_init(&w);
		jsonw_double(&w, NULL, values[i]);
		assert_int_equal(json_parse(w.data, w.size, 99, &value,
					    &fault), 0);
		read_back = json_number_value(value);
		assert_memory_equal(&read_back, &values[i], sizeof read_back);
		json_decref(value);
		jsonw_fini(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strict_parse),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(writer_reads_back),
		cmocka_unit_test(doubles_are_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
