/* Streams of commands for the slow model: what a leader would propose, what
 * anybody may, and near misses of both. */
#ifndef TESTS_KIT_FSM_STREAM_H
#define TESTS_KIT_FSM_STREAM_H

#include "tests/kit/fsm_random.h"

struct fsm_stream {
	uint32_t sense; /* of ten commands so many are a leader's */
	bool has_next;  /* what has to follow the last one */
	struct command next;
};

void fsm_stream_command(struct fsm_stream *stream, struct dice *dice,
			const struct fsm_view *view, struct command *command,
			struct random_rows *rows);
/* Changes one field of a command that may have been right. */
void fsm_stream_twist(struct dice *dice, struct command *command);
/* A number that is just wrong. */
uint64_t fsm_stream_near(struct dice *dice, uint64_t right);

#endif
