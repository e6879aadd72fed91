/* What the files of steps share: telling, and slots of messages. */
#ifndef TESTS_MODEL_STEP_H
#define TESTS_MODEL_STEP_H

#include "tests/model/model.h"

#define TELL(...)                                                    \
	do {                                                         \
		if (telling)                                         \
			snprintf(told, sizeof told, __VA_ARGS__);    \
	} while (0)

const char *machine_name(unsigned machine);

/* Puts a message into the net. With no room, one is lost: any one. */
void slot_put(void *slots, unsigned size, const void *message);
#define PUT(slots, message) slot_put(slots, sizeof *(message), message)

/* The leader's answer, read from the state as it is now. */
void reply_put(struct state *s, num crn, num session, num ack);
void reply_fill(const struct state *s, num crn, struct reply *r);

bool spend(struct state *s, enum budget kind);

/* step_leader.c, step_machine.c, step_wrong.c (mutants' own steps) */
bool step_leader(struct state *s);
bool step_operator(struct state *s);
bool step_machine(struct state *s);
bool step_wrong(struct state *s);

#endif
