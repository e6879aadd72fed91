#include "node/lib/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/clock.h"

#define LINE_SIZE_MAX 4096

/* Written once by log_init, before there are threads; the rest are atomics. */
static char program_name[32] = "berth";
static bool journal_prefix;
static _Atomic int level_max = LOG_LEVEL_INFO;
static _Atomic uint64_t last_index;

void log_init(const char *program, enum log_level level)
{
	const char *journal = getenv("JOURNAL_STREAM");

	snprintf(program_name, sizeof program_name, "%s", program);
	journal_prefix = journal && *journal;
	atomic_store(&level_max, (int)level);
}

void log_set_index(uint64_t index)
{
	atomic_store_explicit(&last_index, index, memory_order_relaxed);
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "ERROR";
	case LOG_LEVEL_WARN:
		return "WARN";
	case LOG_LEVEL_INFO:
		return "INFO";
	case LOG_LEVEL_DEBUG:
		return "DEBUG";
	}
	return "?";
}

/* One write(2) a line: lines of several threads and processes that share the
 * file then stay whole. */
static void write_line(const char *line, size_t size)
{
	ssize_t done;

	do {
		done = write(STDERR_FILENO, line, size);
	} while (done < 0 && errno == EINTR);
}

/* Control bytes come from peers' names and the like; an event is one line. */
static void one_line(char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = ' ';
}

static size_t start_line(char *line, size_t size, enum log_level level,
			 const char *area)
{
	uint64_t now_ms = clock_wall_ms();
	char time[32], prefix[8] = "";
	int length;

	clock_wall_text(now_ms, time, sizeof time);
	time[strcspn(time, "Z")] = '\0';
	if (journal_prefix)
		snprintf(prefix, sizeof prefix, "<%d>", (int)level);
	length = snprintf(line, size, "%s%s.%03uZ %s %s: ", prefix, time,
			  (unsigned)(now_ms % 1000), level_name(level), area);
	return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

void log_line(enum log_level level, const char *area, const char *format, ...)
{
	char line[LINE_SIZE_MAX];
	size_t start, size;
	va_list args;
	int length;

	if ((int)level > atomic_load_explicit(&level_max, memory_order_relaxed))
		return;
	start = start_line(line, sizeof line - 1, level, area);
	va_start(args, format);
	length = vsnprintf(line + start, sizeof line - 1 - start, format, args);
	va_end(args);
	size = start + (length < 0 ? 0 : (size_t)length);
	if (size > sizeof line - 2)
		size = sizeof line - 2;
	one_line(line, size);
	line[size] = '\n';
	write_line(line, size + 1);
}

void berth_panic(const char *what, const char *file, int line)
{
	char text[LINE_SIZE_MAX];
	size_t start;
	int length;

	start = start_line(text, sizeof text - 1, LOG_LEVEL_ERROR, "panic");
	length = snprintf(text + start, sizeof text - start,
			  "%s: %s at %s:%d, last log index %" PRIu64 "\n",
			  program_name, what, file, line,
			  atomic_load_explicit(&last_index,
					       memory_order_relaxed));
	if (length > 0 && (size_t)length < sizeof text - start)
		write_line(text, start + (size_t)length);
	abort();
}
