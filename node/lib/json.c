#include "node/lib/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define CAPACITY_FIRST 256u

int json_parse(const char *text, size_t size, size_t size_max, json_t **out,
	       struct fault *fault)
{
	json_error_t error;
	json_t *value;

	if (size > size_max)
		return fault_set(fault, BERTH_TOOBIG,
				 "json: %zu bytes are above %zu", size,
				 size_max);
	/* The library takes a NUL byte for the end: it would miss the rest. */
	if (size > 0 && memchr(text, '\0', size))
		return fault_set(fault, BERTH_MALFORMED,
				 "json: a NUL byte in the text");
	value = json_loadb(text, size,
			   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!value && json_error_code(&error) == json_error_out_of_memory)
		return fault_set(fault, BERTH_NOMEM, "json: out of memory");
	if (!value)
		return fault_set(fault, BERTH_MALFORMED,
				 "json: line %d column %d: %s", error.line,
				 error.column, error.text);
	*out = value;
	return BERTH_OK;
}

void jsonw_init(struct json_writer *w)
{
	memset(w, 0, sizeof *w);
}

void jsonw_fini(struct json_writer *w)
{
	free(w->data);
	memset(w, 0, sizeof *w);
}

static void fail(struct json_writer *w)
{
	free(w->data);
	w->data = NULL;
	w->size = w->capacity = 0;
	w->failed = true;
}

static void put(struct json_writer *w, const char *data, size_t size)
{
	size_t capacity = w->capacity;
	char *grown;

	if (w->failed || size == 0)
		return;
	/* One byte more than needed: the text always ends in a NUL. */
	if (size >= SIZE_MAX / 2 - w->size) {
		fail(w);
		return;
	}
	if (w->size + size + 1 > capacity) {
		capacity = capacity ? capacity : CAPACITY_FIRST;
		while (capacity < w->size + size + 1)
			capacity *= 2;
		grown = realloc(w->data, capacity);
		if (!grown) {
			fail(w);
			return;
		}
		w->data = grown;
		w->capacity = capacity;
	}
	memcpy(w->data + w->size, data, size);
	w->size += size;
	w->data[w->size] = '\0';
}

static void put_text(struct json_writer *w, const char *text)
{
	put(w, text, strlen(text));
}

/* Size of the well-formed UTF-8 sequence at data, 0 if there is none. */
static size_t utf8_size(const uint8_t *data, size_t left)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t size;

	if (data[0] < 0x80)
		return 1;
	if (data[0] < 0xc2 || data[0] > 0xf4)
		return 0;
	size = data[0] < 0xe0 ? 2 : data[0] < 0xf0 ? 3 : 4;
	if (left < size)
		return 0;
	/* No overlong forms, no surrogates, nothing above U+10FFFF. */
	if (data[0] == 0xe0)
		low = 0xa0;
	else if (data[0] == 0xed)
		high = 0x9f;
	else if (data[0] == 0xf0)
		low = 0x90;
	else if (data[0] == 0xf4)
		high = 0x8f;
	if (data[1] < low || data[1] > high)
		return 0;
	for (size_t i = 2; i < size; i++)
		if ((data[i] & 0xc0) != 0x80)
			return 0;
	return size;
}

static void put_escape(struct json_writer *w, uint8_t c)
{
	static const char short_form[] = "btn\0fr";
	char text[8];

	if (c == '"' || c == '\\')
		snprintf(text, sizeof text, "\\%c", c);
	else if (c >= 8 && c <= 13 && short_form[c - 8])
		snprintf(text, sizeof text, "\\%c", short_form[c - 8]);
	else
		snprintf(text, sizeof text, "\\u%04x", c);
	put_text(w, text);
}

static void put_quoted(struct json_writer *w, const char *data, size_t size)
{
	const uint8_t *bytes = (const uint8_t *)data;
	size_t start = 0, step;

	put(w, "\"", 1);
	for (size_t i = 0; i < size; i += step) {
		step = utf8_size(bytes + i, size - i);
		if (step > 0 && bytes[i] >= 32 && bytes[i] != '"' &&
		    bytes[i] != '\\' && bytes[i] != 127)
			continue;
		put(w, data + start, i - start);
		if (step == 0)
			put_text(w, "\xef\xbf\xbd");
		else
			put_escape(w, bytes[i]);
		step = 1;
		start = i + 1;
	}
	put(w, data + start, size - start);
	put(w, "\"", 1);
}

static void before(struct json_writer *w, const char *key)
{
	if (w->comma)
		put(w, ",", 1);
	if (key) {
		put_quoted(w, key, strlen(key));
		put(w, ":", 1);
	}
	w->comma = true;
}

static void open_with(struct json_writer *w, const char *key, const char *mark)
{
	before(w, key);
	put(w, mark, 1);
	w->comma = false;
	w->depth++;
}

static void close_with(struct json_writer *w, const char *mark)
{
	REQUIRE(w->depth > 0);
	put(w, mark, 1);
	w->comma = true;
	w->depth--;
}

void jsonw_object(struct json_writer *w, const char *key)
{
	open_with(w, key, "{");
}

void jsonw_object_end(struct json_writer *w)
{
	close_with(w, "}");
}

void jsonw_array(struct json_writer *w, const char *key)
{
	open_with(w, key, "[");
}

void jsonw_array_end(struct json_writer *w)
{
	close_with(w, "]");
}

void jsonw_text(struct json_writer *w, const char *key, const char *data,
		size_t size)
{
	before(w, key);
	put_quoted(w, data, size);
}

void jsonw_string(struct json_writer *w, const char *key, const char *value)
{
	if (value)
		jsonw_text(w, key, value, strlen(value));
	else
		jsonw_null(w, key);
}

void jsonw_uint(struct json_writer *w, const char *key, uint64_t value)
{
	char text[24];

	before(w, key);
	snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	put_text(w, text);
}

void jsonw_int(struct json_writer *w, const char *key, int64_t value)
{
	char text[24];

	before(w, key);
	snprintf(text, sizeof text, "%lld", (long long)value);
	put_text(w, text);
}

/* The shortest digits that read back as the same double. */
void jsonw_double(struct json_writer *w, const char *key, double value)
{
	char text[40];

	if (!isfinite(value)) {
		jsonw_null(w, key);
		return;
	}
	before(w, key);
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, value);
		if (!(strtod(text, NULL) < value) &&
		    !(strtod(text, NULL) > value))
			break;
	}
	put_text(w, text);
}

void jsonw_bool(struct json_writer *w, const char *key, bool value)
{
	before(w, key);
	put_text(w, value ? "true" : "false");
}

void jsonw_null(struct json_writer *w, const char *key)
{
	before(w, key);
	put_text(w, "null");
}

void jsonw_hash(struct json_writer *w, const char *key,
		const struct hash *hash)
{
	static const char digits[] = "0123456789abcdef";
	char text[65];

	for (size_t i = 0; i < sizeof hash->bytes; i++) {
		text[2 * i] = digits[hash->bytes[i] >> 4];
		text[2 * i + 1] = digits[hash->bytes[i] & 15];
	}
	jsonw_text(w, key, text, 64);
}

void jsonw_raw(struct json_writer *w, const char *key, const char *json,
	       size_t size)
{
	before(w, key);
	put(w, json, size);
}
