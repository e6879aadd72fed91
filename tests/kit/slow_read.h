/* Walks the commands of an entry, without fsm/'s decoder. */
#ifndef TESTS_KIT_SLOW_READ_H
#define TESTS_KIT_SLOW_READ_H

#include "fsm/command.h"

struct slow_reader {
	const uint8_t *data;
	size_t size, offset;
	uint64_t term;
	uint32_t left;
	void *rows; /* of the command at hand */
};

void slow_read_open(struct slow_reader *reader, const void *data, size_t size);
/* False: that was the last one. What *out points to is good until the next. */
MUST_CHECK bool slow_read_next(struct slow_reader *reader, struct command *out);
void slow_read_close(struct slow_reader *reader);

#endif
