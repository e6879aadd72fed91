/* The fields of each command, once: encode.c writes by these tables and
 * decode.c reads by them, so that the two cannot differ.
 */
#ifndef FSM_FIELDS_H
#define FSM_FIELDS_H

#include "fsm/command.h"

#define ENTRY_FORMAT 1u

enum field_kind {
	FIELD_END = 0,
	FIELD_U64,
	FIELD_U32,
	FIELD_BOOL,
	FIELD_ENUM,   /* low..high */
	FIELD_HASH,
	FIELD_ID,     /* 16 bytes */
	FIELD_TEXT,   /* at most `max` bytes */
	FIELD_TOKENS, /* an array of texts inside the command */
	FIELD_ROWS,   /* a pointer to rows, each of the fields `rows` */
	FIELD_HASHES, /* a pointer to hashes */
};

struct field {
	enum field_kind kind;
	size_t offset, count_offset; /* in the command or the row */
	uint32_t low, high, max;
	const struct field *rows;
	size_t row_size;
};

/* Table of a command's fields, ended by FIELD_END; NULL: no such type. */
const struct field *fsm__fields(enum fsm_command_type type);
/* How many fields a table has. */
uint32_t fsm__field_count(const struct field *fields);

#endif
