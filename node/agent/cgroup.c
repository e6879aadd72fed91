#include "node/agent/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CPU_PERIOD_US 100000u

static const char *const v1_names[CGROUP_V1_COUNT] = { "memory", "cpu",
							"pids" };

static bool write_file(const char *folder, const char *name, const char *text)
{
	char path[CGROUP_PATH_MAX + 64];
	bool done;
	int fd;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return done;
}

static bool write_number(const char *folder, const char *name, uint64_t number)
{
	char text[32];

	snprintf(text, sizeof text, "%llu", (unsigned long long)number);
	return write_file(folder, name, text);
}

static bool make(const char *path)
{
	return mkdir(path, 0755) == 0 || errno == EEXIST;
}

static bool has_option(const char *options, const char *name)
{
	size_t size = strlen(name);

	for (const char *at = options; at != NULL; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, size) == 0 &&
		    (at[size] == ',' || at[size] == '\n' || at[size] == '\0'))
			return true;
	}
	return false;
}

/* One line of mountinfo: ... mount-point (field 5) ... - type source options */
static void mount_line(struct cgroup *cgroup, const char *line, const char *leaf)
{
	char point[128], type[32], options[256];
	const char *rest = strstr(line, " - ");

	if (rest == NULL ||
	    sscanf(line, "%*s %*s %*s %*s %127s", point) != 1 ||
	    sscanf(rest, " - %31s %*s %255s", type, options) != 2)
		return;
	if (strcmp(type, "cgroup2") == 0 && cgroup->root[0] == '\0')
		snprintf(cgroup->root, sizeof cgroup->root, "%s/%s", point,
			 leaf);
	if (strcmp(type, "cgroup") != 0)
		return;
	for (int i = 0; i < CGROUP_V1_COUNT; i++)
		if (has_option(options, v1_names[i]))
			snprintf(cgroup->v1[i], sizeof cgroup->v1[i], "%s/%s",
				 point, leaf);
}

static void find_mounts(struct cgroup *cgroup, const char *leaf)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[1024];

	if (file == NULL)
		return;
	while (fgets(line, sizeof line, file) != NULL)
		mount_line(cgroup, line, leaf);
	fclose(file);
}

/* Controllers for the runs: enabled from the top down to ROOT/s and ROOT/h. */
static bool enable(const char *folder)
{
	return write_file(folder, "cgroup.subtree_control",
			  "+memory +cpu +pids");
}

static void session_path(const struct cgroup *cgroup, bool hold, char *path)
{
	snprintf(path, CGROUP_PATH_MAX, "%.160s/%s", cgroup->root,
		 hold ? "h" : "s");
}

void cgroup_run_path(const struct cgroup *cgroup, uint32_t slot, bool hold,
		     char path[CGROUP_PATH_MAX])
{
	snprintf(path, CGROUP_PATH_MAX, "%.160s/%s/run-%u", cgroup->root,
		 hold ? "h" : "s", slot);
}

static void v1_path(const struct cgroup *cgroup, int i, uint32_t slot,
		    char *path)
{
	snprintf(path, CGROUP_PATH_MAX, "%.160s/run-%u", cgroup->v1[i], slot);
}

static void make_root(struct cgroup *cgroup)
{
	char session[CGROUP_PATH_MAX], held[CGROUP_PATH_MAX];
	char kill[CGROUP_PATH_MAX + 16];

	session_path(cgroup, false, session);
	session_path(cgroup, true, held);
	snprintf(kill, sizeof kill, "%s/cgroup.kill", session);
	cgroup->present = make(cgroup->root) && make(session) && make(held) &&
			  access(kill, W_OK) == 0;
	cgroup->limits = cgroup->present && enable(cgroup->root) &&
			 enable(session) && enable(held);
}

/* FNV-1a over both: the same at each start. */
static void leaf_name(const struct hash *crn, const char *directory, char *leaf,
		      size_t size)
{
	uint64_t sum = 0xcbf29ce484222325u;
	char *path = realpath(directory, NULL);

	for (size_t i = 0; i < sizeof crn->bytes; i++)
		sum = (sum ^ crn->bytes[i]) * 0x100000001b3u;
	for (const char *c = path != NULL ? path : directory; *c != '\0'; c++)
		sum = (sum ^ (uint8_t)*c) * 0x100000001b3u;
	free(path);
	snprintf(leaf, size, "berth-%016llx", (unsigned long long)sum);
}

void cgroup_open(struct cgroup *cgroup, const struct hash *crn,
		 const char *directory)
{
	char leaf[32];

	memset(cgroup, 0, sizeof *cgroup);
	leaf_name(crn, directory, leaf, sizeof leaf);
	find_mounts(cgroup, leaf);
	if (cgroup->root[0] != '\0')
		make_root(cgroup);
	for (int i = 0; i < CGROUP_V1_COUNT; i++)
		if (cgroup->v1[i][0] != '\0' &&
		    (cgroup->limits || !make(cgroup->v1[i])))
			cgroup->v1[i][0] = '\0';
}

void cgroup_close(const struct cgroup *cgroup)
{
	char path[CGROUP_PATH_MAX];

	for (int i = 0; i < CGROUP_V1_COUNT; i++)
		if (cgroup->v1[i][0] != '\0')
			rmdir(cgroup->v1[i]);
	if (!cgroup->present)
		return;
	session_path(cgroup, false, path);
	rmdir(path);
	session_path(cgroup, true, path);
	rmdir(path);
	rmdir(cgroup->root);
}

int cgroup_run_make(const struct cgroup *cgroup, uint32_t slot, bool hold)
{
	char path[CGROUP_PATH_MAX];

	for (int i = 0; i < CGROUP_V1_COUNT; i++) {
		if (cgroup->v1[i][0] == '\0')
			continue;
		v1_path(cgroup, i, slot, path);
		make(path);
	}
	if (!cgroup->present)
		return -1;
	cgroup_run_path(cgroup, slot, hold, path);
	if (!make(path))
		return -1;
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void cgroup_run_remove(const struct cgroup *cgroup, uint32_t slot, bool hold)
{
	char path[CGROUP_PATH_MAX];

	for (int i = 0; i < CGROUP_V1_COUNT; i++) {
		if (cgroup->v1[i][0] == '\0')
			continue;
		v1_path(cgroup, i, slot, path);
		rmdir(path);
	}
	if (!cgroup->present)
		return;
	cgroup_run_path(cgroup, slot, hold, path);
	rmdir(path);
}

void cgroup_run_kill(const struct cgroup *cgroup, uint32_t slot, bool hold)
{
	char path[CGROUP_PATH_MAX];

	if (!cgroup->present)
		return;
	cgroup_run_path(cgroup, slot, hold, path);
	write_file(path, "cgroup.kill", "1");
}

void cgroup_session_kill(const struct cgroup *cgroup)
{
	char path[CGROUP_PATH_MAX];

	if (!cgroup->present)
		return;
	session_path(cgroup, false, path);
	write_file(path, "cgroup.kill", "1");
}

bool cgroup_run_populated(const struct cgroup *cgroup, uint32_t slot,
			  bool hold)
{
	char path[CGROUP_PATH_MAX], file[CGROUP_PATH_MAX + 16], text[256];
	ssize_t size;
	int fd;

	if (!cgroup->present)
		return false;
	cgroup_run_path(cgroup, slot, hold, path);
	snprintf(file, sizeof file, "%s/cgroup.events", path);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno != ENOENT; /* what cannot be read is not empty */
	size = read(fd, text, sizeof text - 1);
	close(fd);
	if (size < 0)
		return errno != ENODEV;
	text[size] = '\0';
	return strstr(text, "populated 0") == NULL;
}

static void limit_v2(const char *path, const struct cgroup_limits *limits)
{
	char text[48];

	if (limits->memory_mib > 0) {
		write_number(path, "memory.max",
			     (uint64_t)limits->memory_mib << 20);
		write_number(path, "memory.swap.max", 0);
	}
	if (limits->cpu_milli > 0) {
		snprintf(text, sizeof text, "%llu %u",
			 (unsigned long long)limits->cpu_milli *
				 CPU_PERIOD_US / 1000,
			 CPU_PERIOD_US);
		write_file(path, "cpu.max", text);
	}
	if (limits->pids_max > 0)
		write_number(path, "pids.max", limits->pids_max);
}

static void limit_v1(const char *path, int which,
		     const struct cgroup_limits *limits)
{
	if (which == CGROUP_MEMORY && limits->memory_mib > 0)
		write_number(path, "memory.limit_in_bytes",
			     (uint64_t)limits->memory_mib << 20);
	if (which == CGROUP_CPU && limits->cpu_milli > 0)
		write_number(path, "cpu.cfs_quota_us",
			     (uint64_t)limits->cpu_milli * CPU_PERIOD_US /
				     1000);
	if (which == CGROUP_PIDS && limits->pids_max > 0)
		write_number(path, "pids.max", limits->pids_max);
	write_file(path, "cgroup.procs", "0");
}

void cgroup_run_limit(const struct cgroup *cgroup, uint32_t slot, bool hold,
		      const struct cgroup_limits *limits)
{
	char path[CGROUP_PATH_MAX];

	if (cgroup->limits) {
		cgroup_run_path(cgroup, slot, hold, path);
		limit_v2(path, limits);
	}
	for (int i = 0; i < CGROUP_V1_COUNT; i++) {
		if (cgroup->v1[i][0] == '\0')
			continue;
		v1_path(cgroup, i, slot, path);
		limit_v1(path, i, limits);
	}
}
