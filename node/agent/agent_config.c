#include "node/agent/agent.h"

#include <stddef.h>
#include <stdlib.h>

#include "node/lib/crypto.h"

#define STRING(name, need, otherwise)                                    \
	{ .path = #name, .kind = CONFIG_STRING, .required = (need),      \
	  .offset = offsetof(struct agent_config, name),                 \
	  .fallback = (otherwise) }
#define UINT(name, low, high)                                            \
	{ .path = #name, .kind = CONFIG_UINT,                            \
	  .offset = offsetof(struct agent_config, name), .min = (low),   \
	  .max = (high) }
#define STRINGS(name, need, low, high)                                   \
	{ .path = #name, .kind = CONFIG_STRINGS, .required = (need),     \
	  .offset = offsetof(struct agent_config, name), .min = (low),   \
	  .max = (high) }

static const struct config_setting runtime_settings[] = {
	{ .path = "ref", .kind = CONFIG_STRING, .required = true,
	  .offset = offsetof(struct agent_runtime, ref) },
	{ .path = "root", .kind = CONFIG_STRING, .required = true,
	  .offset = offsetof(struct agent_runtime, root) },
};

static const struct config_setting settings[] = {
	STRING(crn, true, NULL),
	STRING(name, false, ""),
	STRING(cluster, true, NULL),
	STRING(directory, true, NULL),
	STRING(pki, true, NULL),
	STRING(door, true, NULL),
	STRING(url, false, ""),
	STRING(watchdog, false, ""),
	STRING(runtime_default, false, ""),
	STRING(dev_bind, false, ""),
	STRING(internet, false, "none"),
	STRINGS(replicas, true, 1, LINK_ADDRESSES_MAX),
	STRINGS(ccns, false, 0, 16),
	UINT(vcpus, 0, 4096),
	UINT(memory_mib, 0, 1u << 28),
	UINT(disk_mib, 0, 1ull << 40),
	UINT(k_ms, 1, 600000),
	UINT(slew_ppm, 500, 110000), /* the fencer's alone */
	UINT(log_size_max, 4096, 1ull << 34),
	UINT(cache_size_max, 0, 1ull << 50),
	{ .path = "runtimes", .kind = CONFIG_LIST, .max = RUNTIME_ROWS_MAX,
	  .offset = offsetof(struct agent_config, runtimes),
	  .row = runtime_settings, .row_settings = COUNT_OF(runtime_settings),
	  .row_size = sizeof(struct agent_runtime) },
};

static bool absolute_or_empty(const char *path)
{
	return *path == '\0' || *path == '/';
}

static int check(struct agent_config *config, struct fault *fault)
{
	char host[64];
	uint16_t port;

	if (hash_parse(config->crn, &config->crn_hash) != 0)
		return fault_set(fault, BERTH_INVALID,
				 "crn: 64 hexadecimal digits are needed");
	if (link_address(config->door, host, sizeof host, &port) != 0)
		return fault_set(fault, BERTH_INVALID,
				 "door: \"%s\" is no host:port", config->door);
	if (strcmp(config->internet, "none") != 0 &&
	    strcmp(config->internet, "host") != 0)
		return fault_set(fault, BERTH_INVALID,
				 "internet: \"%s\" is neither none nor host",
				 config->internet);
	if (!absolute_or_empty(config->dev_bind))
		return fault_set(fault, BERTH_INVALID,
				 "dev_bind: an absolute path is needed");
	if (strlen(config->url) > FSM_TEXT_SIZE_MAX)
		return fault_set(fault, BERTH_TOOBIG, "url: too long");
	return 0;
}

/* Everything that follows takes absolute paths. */
static int absolute_directory(struct agent_config *config,
			      struct fault *fault)
{
	char *path;
	int code = agent_directory(config->directory, fault);

	if (code != 0)
		return code;
	path = realpath(config->directory, NULL);
	if (!path)
		return fault_set(fault, BERTH_IO, "directory %s",
				 config->directory);
	free(config->directory);
	config->directory = path;
	return 0;
}

int agent_config_read(const char *file, struct agent_config *out,
		      struct fault *fault)
{
	int code;

	*out = (struct agent_config){ .k_ms = 1000,
				      .log_size_max = 10485760,
				      .cache_size_max = 10ull << 30 };
	code = config_load(file, settings, COUNT_OF(settings), out, fault);
	if (code != 0)
		return code;
	code = check(out, fault);
	if (code != 0)
		fault_wrap(fault, "%s", file);
	else
		code = absolute_directory(out, fault);
	if (code != 0)
		config_fini(settings, COUNT_OF(settings), out);
	return code;
}

void agent_config_fini(struct agent_config *config)
{
	config_fini(settings, COUNT_OF(settings), config);
}
