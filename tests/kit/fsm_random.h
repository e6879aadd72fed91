/* Random commands over a small universe: valid ones often, wrong ones too. */
#ifndef TESTS_KIT_FSM_RANDOM_H
#define TESTS_KIT_FSM_RANDOM_H

#include "fsm/fsm.h"

/* A small generator: the same seed, the same numbers. */
struct dice {
	uint64_t state;
};
uint32_t dice_roll(struct dice *dice, uint32_t sides); /* 0..sides-1 */

/* Bytes that grow. */
struct buffer {
	uint8_t *data;
	size_t size, capacity, offset;
};
bool buffer_write(void *ctx, const void *data, size_t size);
bool buffer_read(void *ctx, void *data, size_t size);
void buffer_fini(struct buffer *buffer);

/* Fills a command that fits the state, more or less. Rows live in `rows`. */
struct random_rows {
	struct command_renewal renewals[8];
	struct held_row held[8];
	struct hash universe[4];
};
void random_command(struct dice *dice, const struct fsm_view *view,
		    struct command *out, struct random_rows *rows);
struct fsm_config random_config(struct dice *dice);

#endif
