/* The shipped fencer_socket.c, on a machine of the simulator. */
#include "tests/sim/whole/kernel.h"

#include "node/agent/fencer_socket.c"

/* What a request of the agent comes to, from where it was read on. */
enum fencer_code fencer_obey(struct fencer *f,
			     const struct fencer_request *request,
			     struct fencer_answer *answer)
{
	struct heard h = { .request = *request,
			   .files = { KERNEL_MEMORY, KERNEL_MEMORY, -1 },
			   .file_count = request->type == FENCER_START ? 2 :
									 1 };
	enum fencer_code code;
	int file = -1;

	memset(answer, 0, sizeof *answer);
	code = obey(f, &h, answer, &file);
	fencer__answer_fill(f, answer);
	return code;
}
