#include <stdlib.h>

#include "node/replica/api_internal.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One decoded character of `at`; 0: a stray percent sign or a NUL. */
static char decode(const char **at)
{
	const char *c = *at;
	int high, low;

	*at = c + 1;
	if (*c == '+')
		return ' ';
	if (*c != '%')
		return *c;
	high = hex_digit(c[1]);
	low = high < 0 ? -1 : hex_digit(c[2]);
	if (low < 0)
		return 0;
	*at = c + 3;
	return (char)(high << 4 | low);
}

bool api_param(const struct api_request *request, const char *name,
	       char *value, size_t size)
{
	const char *at = request->query;
	size_t length = strlen(name), used = 0;

	while (at && *at &&
	       !(strncmp(at, name, length) == 0 && at[length] == '=')) {
		at = strchr(at, '&');
		at = at ? at + 1 : NULL;
	}
	if (!at || !*at)
		return false;
	at += length + 1;
	while (*at && *at != '&') {
		char c = decode(&at);

		if (!c || used + 1 >= size)
			return false;
		value[used++] = c;
	}
	value[used] = 0;
	return used > 0;
}

static bool number_of(const char *text, uint64_t *out, const char **end)
{
	uint64_t value = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (value > (UINT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (uint64_t)(*at - '0');
	}
	*out = value;
	*end = at;
	return at != text;
}

bool api_param_number(struct api_request *request, const char *name,
		      uint64_t standard, uint64_t max, uint64_t *out)
{
	char value[32];
	const char *end;

	*out = standard;
	if (!api_param(request, name, value, sizeof value))
		return true;
	if (number_of(value, out, &end) && !*end && *out <= max)
		return true;
	api_fail(request, 400, "malformed", "%s: a number up to %llu", name,
		 (unsigned long long)max);
	return false;
}

/* "5s", "200ms", "1m" or plain seconds. */
bool api_param_duration(struct api_request *request, const char *name,
			uint64_t *ms)
{
	char value[32];
	const char *unit;
	uint64_t number, scale = 0;

	if (!api_param(request, name, value, sizeof value))
		return true;
	if (number_of(value, &number, &unit) && number <= 1000000) {
		if (!*unit || !strcmp(unit, "s"))
			scale = 1000;
		else if (!strcmp(unit, "ms"))
			scale = 1;
		else if (!strcmp(unit, "m"))
			scale = 60000;
	}
	if (!scale) {
		api_fail(request, 400, "malformed",
			 "%s: a time as 5s, 200ms or 1m", name);
		return false;
	}
	*ms = number * scale;
	return true;
}
