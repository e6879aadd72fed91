/* Configuration files by libconfig: typed reads, unknown settings refused,
 * faults with file and line. */
#ifndef NODE_LIB_CONFIG_H
#define NODE_LIB_CONFIG_H

#include "raft/fault.h"

enum config_kind { CONFIG_STRING = 1, CONFIG_UINT, CONFIG_BOOL,
		   CONFIG_STRINGS };
/* One setting: where in the caller's struct it goes. Strings are copied and
 * freed by config_fini; STRINGS is a NULL-ended array. */
struct config_setting {
	const char *path; /* "replica.id" */
	enum config_kind kind;
	size_t offset;
	bool required;
	uint64_t min, max; /* UINT */
};
MUST_CHECK int config_read(const char *file,
			   const struct config_setting *settings,
			   uint32_t count, void *out, struct fault *fault);
void config_fini(const struct config_setting *settings, uint32_t count,
		 void *out);

#endif
