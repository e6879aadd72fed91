/* Shapes of the admin API's bodies. Unknown fields are refused; the fault
 * names the field. Texts borrow from the json. Errors: MALFORMED. */
#ifndef NODE_REPLICA_API_SHAPE_H
#define NODE_REPLICA_API_SHAPE_H

#include "fsm/command.h"
#include "node/lib/json.h"

/* Keeps put->program and put->owner when the body names none. */
MUST_CHECK int api_shape_program(const json_t *body,
				 struct command_program_put *put,
				 struct fault *fault);
MUST_CHECK int api_shape_crn(const json_t *body, struct command_crn_put *put,
			     struct fault *fault);
MUST_CHECK int api_shape_fence_confirm(const json_t *body,
				       struct command_fence_confirm *confirm,
				       struct fault *fault);

#endif
