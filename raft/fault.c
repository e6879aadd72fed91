#include "raft/fault.h"

#include <stdarg.h>
#include <stdio.h>

int fault_set(struct fault *fault, int code, const char *format, ...)
{
	va_list args;

	if (!fault)
		return code;
	fault->code = code;
	va_start(args, format);
	vsnprintf(fault->text, sizeof fault->text, format, args);
	va_end(args);
	return code;
}

int fault_wrap(struct fault *fault, const char *format, ...)
{
	char rest[sizeof fault->text];
	va_list args;
	size_t size;
	int length;

	if (!fault)
		return BERTH_OK;
	memcpy(rest, fault->text, sizeof rest);
	va_start(args, format);
	length = vsnprintf(fault->text, sizeof fault->text, format, args);
	va_end(args);
	size = length < 0 ? 0 : (size_t)length;
	if (size + 2 < sizeof fault->text) {
		memcpy(fault->text + size, ": ", 3);
		size += 2;
		snprintf(fault->text + size, sizeof fault->text - size,
			 "%.*s", (int)(sizeof fault->text - size - 1), rest);
	}
	return fault->code;
}

const char *berth_error_name(int code)
{
	static const char *const names[] = {
		[BERTH_OK] = "OK",
#define X(name, text) [BERTH_##name] = #name,
		BERTH_ERRORS(X)
#undef X
	};

	if (code < 0 || code >= BERTH_ERROR_COUNT)
		return "?";
	return names[code];
}

const char *berth_error_text(int code)
{
	static const char *const texts[] = {
		[BERTH_OK] = "done",
#define X(name, text) [BERTH_##name] = text,
		BERTH_ERRORS(X)
#undef X
	};

	if (code < 0 || code >= BERTH_ERROR_COUNT)
		return "an unknown error";
	return texts[code];
}
