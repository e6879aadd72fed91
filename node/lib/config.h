/* Configuration files by libconfig: typed reads, unknown settings refused,
 * faults with file and line.
 *
 * A table of settings says what may stand in the file and where it goes:
 *
 *	static const struct config_setting peer_settings[] = {
 *		{ .path = "id", .kind = CONFIG_UINT, .required = true,
 *		  .offset = offsetof(struct peer, id), .min = 1 },
 *		...
 *	};
 *	{ .path = "peers", .kind = CONFIG_LIST,
 *	  .offset = offsetof(struct conf, peers), .max = 9,
 *	  .row = peer_settings, .row_settings = COUNT_OF(peer_settings),
 *	  .row_size = sizeof(struct peer) },
 */
#ifndef NODE_LIB_CONFIG_H
#define NODE_LIB_CONFIG_H

#include "raft/fault.h"

enum config_kind {
	CONFIG_STRING = 1, /* char *: a copy, or NULL */
	CONFIG_UINT,       /* uint64_t */
	CONFIG_BOOL,       /* bool */
	CONFIG_STRINGS,    /* char **: NULL-ended copies; NULL if absent */
	CONFIG_LIST,       /* struct config_list: ( {...}, {...} ) */
};

/* Rows of a list: row_size bytes each, zero where a setting is absent. */
struct config_list {
	void *rows;
	uint32_t count;
};

/* One setting: where in the caller's struct it goes. */
struct config_setting {
	const char *path; /* "replica.id" */
	enum config_kind kind;
	size_t offset;
	bool required;
	uint64_t min, max; /* UINT: range; STRINGS, LIST: how many; max 0: any */
	const char *fallback;            /* STRING: copied when absent */
	const struct config_setting *row; /* LIST: the settings of one row */
	uint32_t row_settings;
	size_t row_size;
};

/* Reads FILE into `out`. UINT and BOOL members that are absent keep what the
 * caller put there; the others are overwritten (NULL, fallback or empty), so
 * they must not own anything. Errors: NOTFOUND, MALFORMED (syntax, unknown
 * setting, wrong type), INVALID (out of range, missing), with "file:line". On
 * an error nothing is left to free. */
/* (config_read is a function of libconfig.) */
MUST_CHECK int config_load(const char *file,
			   const struct config_setting *settings,
			   uint32_t count, void *out, struct fault *fault);
/* Frees what config_load allocated and clears the members. */
void config_fini(const struct config_setting *settings, uint32_t count,
		 void *out);

#endif
