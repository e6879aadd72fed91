/* A fault: what the world did to us, as a code and a sentence that grows by a
 * phrase at each level ("start: load snapshot 1841: checksum differs"). */
#ifndef RAFT_FAULT_H
#define RAFT_FAULT_H

#include "fsm/base.h"

struct fault {
	int code; /* enum berth_error */
	char text[512];
};

/* Sets the fault and returns the code. */
int fault_set(struct fault *fault, int code, const char *format, ...)
	PRINTF_LIKE(3, 4);
/* Puts "phrase: " before the text and returns the code. */
int fault_wrap(struct fault *fault, const char *format, ...) PRINTF_LIKE(2, 3);
const char *berth_error_name(int code); /* "NOSPACE" */
const char *berth_error_text(int code); /* "no space left" */

#endif
