/* Lines for the operator: time, level, area, sentence, key=value pairs.
 * To stderr (with <N> prefixes under systemd) or a file; any thread. */
#ifndef NODE_LIB_LOG_H
#define NODE_LIB_LOG_H

#include "fsm/base.h"

enum log_level { LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARN = 4, LOG_LEVEL_INFO = 6,
		 LOG_LEVEL_DEBUG = 7 };

void log_init(const char *program, enum log_level level);
void log_line(enum log_level level, const char *area, const char *format, ...)
	PRINTF_LIKE(3, 4);
#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
/* The last log index that berth_panic prints. */
void log_set_index(uint64_t index);

#endif
