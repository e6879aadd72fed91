/* A program's content for tests of the agent, to be changed field by field. */
#ifndef TESTS_KIT_AGENT_PROGRAM_H
#define TESTS_KIT_AGENT_PROGRAM_H

#include "node/agent/prepare.h"

/* A new, valid PROGRAM content. */
json_t *kit_program(void);
/* Sets PATH ("code.entrypoint", "volumes.0.mount") to a JSON text. */
void kit_program_set(json_t *content, const char *path, const char *json);
/* What prepare_read makes of it. */
int kit_program_read(const struct agent_config *config, json_t *content,
		     struct prepared **out, struct fault *fault);

#endif
