/* Runs: what the fencer's desired set asks for is prepared, started, watched
 * and started again; statuses are told in heartbeats (lease.md R24).
 *
 * Starting is the fencer's (R11): a refusal there is not an error here, the
 * next state tells what is wanted now.
 */
#ifndef NODE_AGENT_RUNNER_H
#define NODE_AGENT_RUNNER_H

#include "node/agent/agent.h"

MUST_CHECK int runner_open(struct runner **out, struct agent *agent,
			   struct fault *fault);
void runner_close(struct runner *runner);

/* The fencer's rows, whole: what is not among them is forgotten. */
void runner_state(struct runner *runner, const struct fencer_run *rows,
		  uint32_t count, bool session);
void runner_tick(struct runner *runner, uint64_t now_ms);
uint32_t runner_statuses(struct runner *runner, struct agent_run *out,
			 uint32_t max);

struct cache_pins;
/* Pins what runs take from the cache. */
void runner_pins(const struct runner *runner, struct cache_pins *pins);

/* Where requests for a program go. */
struct runner_target {
	bool ready;           /* it answered the probe */
	char unix_socket[108]; /* asgi; else empty */
	char netns[64];        /* binary, on port 8080; else empty */
	uint64_t gen;
	stamp_t epoch;
	enum run_status status;
};
/* False: no run of that program is wanted here, or the lease is over. */
bool runner_find(struct runner *runner, const struct hash *program,
		 struct runner_target *out);
/* The newest bytes of a program's log, at most `size`; malloc'd, NULL with
 * NOTFOUND, IO or NOMEM. */
MUST_CHECK int runner_log(struct runner *runner, const struct hash *program,
			  uint64_t size_max, char **data, size_t *size);

#endif
