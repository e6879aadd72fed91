#include "node/agent/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define HOST_MIB_MAX 1024u /* of memory that is not offered */

static void token(struct machine_offer *offer, const char *kind,
		  const char *value)
{
	char *to = offer->tokens[offer->token_count];

	if (offer->token_count == FSM_TOKENS_MAX)
		return;
	if (snprintf(to, FSM_TOKEN_SIZE_MAX, "%s:%s", kind, value) <
	    (int)FSM_TOKEN_SIZE_MAX)
		offer->token_count++;
}

/* The value of "name : value" in /proc/cpuinfo; false if there is none. */
static bool cpuinfo(const char *name, char *value, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[4096];
	bool found = false;

	while (file && !found && fgets(line, sizeof line, file)) {
		char *colon = strchr(line, ':');

		if (!colon || strncmp(line, name, strlen(name)) != 0)
			continue;
		colon[strcspn(colon, "\n")] = '\0';
		colon += 1 + strspn(colon + 1, " \t");
		snprintf(value, size, "%s", colon);
		found = true;
	}
	if (file)
		fclose(file);
	return found;
}

static void cpu_tokens(struct machine_offer *offer)
{
	static const char *const features[] = { "sev", "sev_es", "sev_snp" };
	char value[4096];
	struct utsname name;

	if (uname(&name) == 0)
		token(offer, "arch", strcmp(name.machine, "aarch64") == 0 ?
		      "arm64" : name.machine);
	if (cpuinfo("vendor_id", value, sizeof value))
		token(offer, "vendor", value);
	if (!cpuinfo("flags", value, sizeof value))
		return;
	for (char *rest = value, *word; (word = strtok_r(rest, " ", &rest));)
		for (size_t i = 0; i < COUNT_OF(features); i++)
			if (strcmp(word, features[i]) == 0)
				token(offer, "feature", word);
}

/* What was free when first asked: what programs have taken since then is still
 * part of the offer. */
static uint64_t disk_mib(const char *directory)
{
	static uint64_t measured;
	struct statvfs status;

	if (measured == 0 && statvfs(directory, &status) == 0)
		measured = status.f_bavail * status.f_frsize >> 20;
	return measured;
}

static uint64_t memory_mib(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	uint64_t all = pages > 0 && size > 0 ?
		       ((uint64_t)pages * (uint64_t)size) >> 20 : 0;
	uint64_t ours = all / 8 < HOST_MIB_MAX ? all / 8 : HOST_MIB_MAX;

	/* The host and its daemons live, too: above all the fencer. */
	return all - ours;
}

void agent_offer(const struct agent_config *config, struct machine_offer *out)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	memset(out, 0, sizeof *out);
	out->vcpus = config->vcpus ? (uint32_t)config->vcpus :
		     cpus > 0 ? (uint32_t)cpus : 1;
	out->memory_mib = config->memory_mib ? config->memory_mib :
			  memory_mib();
	out->disk_mib = config->disk_mib ? config->disk_mib :
			disk_mib(config->directory);
	token(out, "runner", "program");
	cpu_tokens(out);
}
