/* The command that a run is: the sandbox around a program, as the fencer's
 * child executes it (struct run_spec_head, then strings). */
#ifndef NODE_AGENT_RUNNER_SPEC_H
#define NODE_AGENT_RUNNER_SPEC_H

#include "node/agent/prepare.h"

struct run_spec_in {
	const struct agent_config *config;
	const struct prepared *prepared;
	struct hash program;
	uint64_t gen;
	stamp_t epoch;
	uint32_t vcpus;
	uint64_t memory_mib;
	const char *directory; /* of this run: sock/ and etc/ in it */
	uint32_t uid;          /* 0: we have no rights, the run keeps our uid */
};

struct run_spec {
	uint8_t *data; /* free it */
	size_t size;
};

/* Errors: TOOBIG (variables and arguments), INVALID (a variable's name),
 * NOMEM; the fault is for the program's owner. */
MUST_CHECK int run_spec_build(const struct run_spec_in *in,
			      struct run_spec *out, struct fault *fault);
/* Gives a sealed memfd, or -1. */
int run_spec_file(const struct run_spec *spec);

/* The unprivileged user of a program's lineage; 0 if we may not change. */
uint32_t run_uid(const struct hash *lineage);
/* Makes the run's directory: sock/ (the program's), etc/ (small files). */
MUST_CHECK int run_directory(const char *directory, uint32_t uid,
			     struct fault *fault);

#endif
