/* The door: requests for the programs that run here, over plain HTTP.
 * /vm/{hash}/... goes to the program; anybody may knock. */
#ifndef NODE_AGENT_DOOR_H
#define NODE_AGENT_DOOR_H

#include "node/agent/agent.h"
#include "node/agent/runner.h"
#include "node/lib/httpd.h"
#include "node/lib/json.h"

#define DOOR_BODY_SIZE_MAX (16u << 20)

/* Opens the listener of the configuration. Errors: EXISTS (in use). */
MUST_CHECK int door_open(struct door **out, struct agent *agent,
			 struct fault *fault);
void door_close(struct door *door, void (*closed)(void *ctx), void *ctx);

/* Sends a request on to `target` and answers it. `path` is what the program
 * sees, raw, with its leading slash and query. */
void door_proxy(struct http_client *http, struct httpd_request *request,
		const struct runner_target *target, const char *path);
/* Splits a raw "/vm/{64 hex}/rest": false if it is no such path. */
bool door_path(const char *raw, struct hash *program, const char **rest);

#endif
