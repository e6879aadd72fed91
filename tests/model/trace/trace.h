/* The simulator's steps, taken again by the model (../README.md).
 *
 * The text is written by tests/sim/whole/steps.c: an action a line, then what
 * the code's state shows after it. Each action is taken by the model's own
 * fsm.c and tenure.c, compiled wide: milliseconds for ticks, the code's stamps
 * for ranks. A step that the model refuses, or after which it shows something
 * else, is a finding.
 */
#ifndef TESTS_MODEL_TRACE_H
#define TESTS_MODEL_TRACE_H

#define MODEL_WIDE
#include "tests/model/model.h"

#define ARGS_MAX 8192u

/* A line: a word, then numbers; `stamp N` at its end. */
struct line {
	char word[16], text[400];
	num args[ARGS_MAX], stamp;
	unsigned count;
	bool has_stamp;
};
bool line_read(struct line *line);
void line_back(void); /* the next line_read gives the same line again */

extern struct state model;
extern struct options options; /* opt; Config and NewGen change it */

/* Says what is wrong with this step; the rest of its world is passed over. */
void finding(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define WANT(condition, ...)                  \
	do {                                  \
		if (!(condition)) {           \
			finding(__VA_ARGS__); \
			return;               \
		}                             \
	} while (0)

/* state.c: commands, and what must be known of them later. */
void state_open(void);
void state_step(const struct line *command);
/* The config with this ttl_a (0: any), in force at `version` (0: ever). */
bool config_find(num ttl_a, num gen, num version, num *config);
bool was_renewed(num gen, num session, num seq);
bool was_registered(num nonce, num gen, num session);
/* What the leader sends of `version` is what the state was. */
struct set_row {
	num program, gen, epoch, hold;
};
struct set {
	num gen, stamp, changed, count;
	struct set_row rows[48];
};
const struct set *set_at(num crn, num gen, num version);

/* machine.c: calls. */
void machines_open(void);
bool machine_step(const struct line *call); /* false: no such call */

#endif
