/* REGISTER and REPORT: an entry of one command, term 0. Apart from
 * agent_wire.c because reading a command allocates, which a fencer may not. */
#include "node/lib/agent_wire.h"

struct buffer {
	uint8_t *data;
	size_t size, size_max;
};

static bool buffer_write(void *ctx, const void *data, size_t size)
{
	struct buffer *b = ctx;

	if (size > b->size_max - b->size)
		return false;
	if (size > 0)
		memcpy(b->data + b->size, data, size);
	b->size += size;
	return true;
}

size_t agent_command_encode(const struct command *command, uint8_t *data,
			    size_t size_max)
{
	struct buffer b = { .data = data, .size_max = size_max };
	struct byte_sink sink = { .ctx = &b, .write = buffer_write };

	if (!command_entry_begin(&sink, 0, 1) ||
	    !command_encode(&sink, command))
		return 0;
	return b.size;
}

int agent_command_decode(struct command_cursor *cursor, const uint8_t *data,
			 size_t size, struct command *out)
{
	int rv = command_cursor_open(cursor, data, size);

	if (rv != 0)
		return rv;
	if (cursor->count != 1)
		rv = BERTH_MALFORMED;
	else
		rv = command_cursor_next(cursor, out);
	/* Nothing may hide behind it. */
	if (rv == 0 && cursor->offset != cursor->size)
		rv = BERTH_MALFORMED;
	if (rv == 0 && out->type != FSM_REGISTER && out->type != FSM_CRN_REPORT)
		rv = BERTH_MALFORMED;
	if (rv != 0)
		command_cursor_close(cursor);
	return rv == BERTH_NOTFOUND ? BERTH_MALFORMED : rv;
}
