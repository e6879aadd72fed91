#include "node/agent/runner_spec.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/lib/crypto.h"

#define PIDS_MAX 512u
#define STOP_MS 5000u
#define TMP_SIZE "268435456" /* of /tmp inside, bytes */
#define SHM_SIZE "67108864"  /* of /dev/shm inside, bytes */
#define STRINGS_MAX 4000u    /* bwrap and the launcher take a few more */
#define PATH_TEXT "/usr/local/bin:/usr/bin:/bin"

struct strings {
	char *data;
	size_t size, capacity;
	uint32_t count;
	bool failed;
};

static void add(struct strings *s, const char *text)
{
	size_t size = strlen(text) + 1;

	if (s->failed || size > RUN_SPEC_SIZE_MAX) {
		s->failed = true;
		return;
	}
	if (s->size + size > s->capacity) {
		size_t capacity = (s->size + size) * 2;
		char *data = realloc(s->data, capacity);

		if (!data) {
			s->failed = true;
			return;
		}
		s->data = data;
		s->capacity = capacity;
	}
	memcpy(s->data + s->size, text, size);
	s->size += size;
	s->count++;
}

static void add_all(struct strings *s, ...)
{
	va_list list;
	const char *text;

	va_start(list, s);
	while ((text = va_arg(list, const char *)))
		add(s, text);
	va_end(list);
}

PRINTF_LIKE(2, 3)
static void add_format(struct strings *s, const char *format, ...)
{
	char text[8192];
	va_list list;
	int size;

	va_start(list, format);
	size = vsnprintf(text, sizeof text, format, list);
	va_end(list);
	if (size < 0 || size >= (int)sizeof text)
		s->failed = true;
	else
		add(s, text);
}

/* --- the file system inside --------------------------------------------------- */

/* Parents that bwrap makes by itself are closed to others. */
static void add_parents(struct strings *s, const char *path)
{
	char part[PREPARE_PATH_MAX];

	for (size_t i = 1; path[i] && i < sizeof part; i++) {
		if (path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		add_all(s, "--perms", "0755", "--dir", part, (char *)NULL);
	}
}

static void add_bind(struct strings *s, const char *how, const char *from,
		     const char *to)
{
	add_parents(s, to);
	add_all(s, how, from, to, (char *)NULL);
}

/* One directory of the root, as it is there: a link stays a link. */
static void add_root_part(struct strings *s, const char *root,
			  const char *name)
{
	char from[PREPARE_PATH_MAX], to[16], target[PREPARE_PATH_MAX];
	struct stat status;
	ssize_t size;

	snprintf(from, sizeof from, "%s/%s", root, name);
	snprintf(to, sizeof to, "/%s", name);
	if (lstat(from, &status) < 0)
		return;
	if (!S_ISLNK(status.st_mode)) {
		add_all(s, "--ro-bind", from, to, (char *)NULL);
		return;
	}
	size = readlink(from, target, sizeof target - 1);
	if (size > 0) {
		target[size] = '\0';
		add_all(s, "--symlink", target, to, (char *)NULL);
	}
}

static void add_etc(struct strings *s, const struct run_spec_in *in,
		    const char *root, bool network)
{
	static const char *const own[] = { "passwd", "group", "hosts",
					   "nsswitch.conf" };
	static const char *const theirs[] = { "ld.so.cache", "alternatives",
		"ssl/certs", "ssl/openssl.cnf", "mime.types", "localtime" };
	char from[PREPARE_PATH_MAX], to[64];
	struct stat status;

	for (size_t i = 0; i < COUNT_OF(own); i++) {
		snprintf(from, sizeof from, "%s/etc/%s", in->directory, own[i]);
		snprintf(to, sizeof to, "/etc/%s", own[i]);
		add_bind(s, "--ro-bind", from, to);
	}
	for (size_t i = 0; i < COUNT_OF(theirs); i++) {
		snprintf(from, sizeof from, "%s/etc/%s", root, theirs[i]);
		snprintf(to, sizeof to, "/etc/%s", theirs[i]);
		if (stat(from, &status) == 0)
			add_bind(s, "--ro-bind", from, to);
	}
	if (network && stat("/etc/resolv.conf", &status) == 0)
		add_bind(s, "--ro-bind", "/etc/resolv.conf",
			 "/etc/resolv.conf");
}

static void add_root(struct strings *s, const struct run_spec_in *in,
		     bool network)
{
	static const char *const parts[] = { "usr", "bin", "sbin", "lib",
					     "lib32", "lib64", "libx32" };
	const char *root = strcmp(in->prepared->root, "host") == 0 ? "" :
			   in->prepared->root;

	for (size_t i = 0; i < COUNT_OF(parts); i++)
		add_root_part(s, root, parts[i]);
	add_etc(s, in, root, network);
	add_all(s, "--proc", "/proc", "--dev", "/dev", "--perms", "1777",
		"--size", TMP_SIZE, "--tmpfs", "/tmp", "--perms", "1777",
		"--size", SHM_SIZE, "--tmpfs", "/dev/shm", (char *)NULL);
}

static void add_volumes(struct strings *s, const struct run_spec_in *in)
{
	const struct prepared *prepared = in->prepared;

	add_bind(s, "--ro-bind", prepared->code, "/opt/code");
	for (uint32_t i = 0; i < prepared->volume_count; i++) {
		const struct prepared_volume *v = &prepared->volumes[i];

		if (v->kind == VOLUME_EPHEMERAL) {
			add_parents(s, v->mount);
			add_all(s, "--perms", "1777", "--size", (char *)NULL);
			add_format(s, "%llu",
				   (unsigned long long)v->size_mib << 20);
			add_all(s, "--tmpfs", v->mount, (char *)NULL);
		} else {
			add_bind(s, v->kind == VOLUME_IMMUTABLE ? "--ro-bind" :
				 "--bind", v->source, v->mount);
		}
	}
}

static void add_directories(struct strings *s, const struct run_spec_in *in)
{
	const char *dev_bind = in->config->dev_bind;
	char socket[PREPARE_PATH_MAX];

	add_volumes(s, in);
	snprintf(socket, sizeof socket, "%s/sock", in->directory);
	add_bind(s, "--bind", socket, "/run/berth");
	if (dev_bind && dev_bind[0])
		add_bind(s, "--bind", dev_bind, dev_bind);
	/* Its own root is a small memory file system: not a place to write. */
	add_all(s, "--remount-ro", "/", (char *)NULL);
}

/* --- who runs --------------------------------------------------------------------- */

static void add_sandbox(struct strings *s, const struct run_spec_in *in,
			bool network)
{
	const char *name = in->config->name;
	bool named = name && name[0] && strlen(name) < 64;

	/* With rights of our own the program gets a user of its own; without,
	 * a user namespace hides ours. */
	add(s, "/usr/bin/bwrap");
	if (in->uid == 0)
		add_all(s, "--unshare-user", "--uid", "65534", "--gid",
			"65534", (char *)NULL);
	add_all(s, "--unshare-ipc", "--unshare-pid", "--unshare-uts",
		"--unshare-cgroup-try", (char *)NULL);
	if (!network)
		add(s, "--unshare-net");
	add_all(s, "--die-with-parent", "--new-session", "--hostname",
		named ? name : "berth", "--cap-drop", "ALL", (char *)NULL);
	if (in->uid != 0)
		add_all(s, "--cap-add", "CAP_SETUID", "--cap-add",
			"CAP_SETGID", "--cap-add", "CAP_SETPCAP",
			(char *)NULL);
}

static void add_user(struct strings *s, const struct run_spec_in *in)
{
	add_all(s, "--chdir", "/opt/code", "--clearenv", "--", (char *)NULL);
	if (in->uid == 0)
		return;
	add_all(s, "/usr/bin/setpriv", "--reuid", (char *)NULL);
	add_format(s, "%u", in->uid);
	add(s, "--regid");
	add_format(s, "%u", in->uid);
	add_all(s, "--clear-groups", "--inh-caps=-all", "--ambient-caps=-all",
		"--bounding-set=-all", "--no-new-privs", (char *)NULL);
}

static bool name_fits(const char *name)
{
	if (!isalpha((unsigned char)*name) && *name != '_')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && *name != '_')
			return false;
	return true;
}

/* The environment is set by env, after the rights are gone: a variable like
 * LD_PRELOAD must not meet a process that has any. */
static int add_environment(struct strings *s, const struct run_spec_in *in,
			   struct fault *fault)
{
	const json_t *variables = in->prepared->program.variables;
	char program[65];
	const char *name;
	json_t *value;

	add_all(s, "/usr/bin/env", "-i", "PATH=" PATH_TEXT, "HOME=/tmp",
		"LANG=C.UTF-8", "PYTHONUNBUFFERED=1",
		"PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=/opt/packages",
		(char *)NULL);
	json_object_foreach((json_t *)(uintptr_t)variables, name, value) {
		if (!name_fits(name) || !json_is_string(value))
			return fault_set(fault, BERTH_INVALID,
					 "variable \"%.100s\": its name", name);
		add_format(s, "%s=%s", name, json_string_value(value));
	}
	/* Last, so that no variable of the message stands in for them. */
	hash_text(&in->program, program);
	add_format(s, "BERTH_EPOCH=%llu.%llu", (unsigned long long)in->gen,
		   (unsigned long long)in->epoch);
	add_format(s, "BERTH_PROGRAM=%s", program);
	return 0;
}

static void add_program(struct strings *s, const struct run_spec_in *in)
{
	const struct aleph_program *program = &in->prepared->program;
	size_t index;
	json_t *value;

	if (program->interface == INTERFACE_ASGI) {
		add_all(s, "/usr/bin/python3", "-m", "uvicorn",
			program->entrypoint, "--uds", "/run/berth/http.sock",
			"--no-access-log", (char *)NULL);
		return;
	}
	add_format(s, "/opt/code/%s", program->entrypoint);
	json_array_foreach((json_t *)(uintptr_t)program->args, index, value)
		add(s, json_is_string(value) ? json_string_value(value) : "");
}

int run_spec_build(const struct run_spec_in *in, struct run_spec *out,
		   struct fault *fault)
{
	bool network = in->prepared->program.internet &&
		       strcmp(in->config->internet, "host") == 0;
	struct strings s = { 0 };
	struct run_spec_head head = { .magic = "BRTHRUN1", .envc = 1,
		.memory_mib = in->memory_mib > UINT32_MAX ? UINT32_MAX :
			      (uint32_t)in->memory_mib,
		.cpu_milli = in->vcpus * 1000, .pids_max = PIDS_MAX,
		.stop_ms = STOP_MS };
	int code;

	add_sandbox(&s, in, network);
	add_root(&s, in, network);
	add_directories(&s, in);
	add_user(&s, in);
	code = add_environment(&s, in, fault);
	add_program(&s, in);
	head.argc = s.count;
	add(&s, "PATH=" PATH_TEXT);
	head.strings_size = (uint32_t)s.size;
	if (code == 0 && (s.failed || s.count > STRINGS_MAX ||
			  s.size + sizeof head > RUN_SPEC_SIZE_MAX))
		code = fault_set(fault, BERTH_TOOBIG,
				 "variables and arguments are too long");
	if (code == 0 && !(out->data = malloc(s.size + sizeof head)))
		code = fault_set(fault, BERTH_NOMEM, "out of memory");
	if (code == 0) {
		memcpy(out->data, &head, sizeof head);
		memcpy(out->data + sizeof head, s.data, s.size);
		out->size = s.size + sizeof head;
	}
	free(s.data);
	return code;
}

int run_spec_file(const struct run_spec *spec)
{
	int fd = memfd_create("berth-run", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (write(fd, spec->data, spec->size) != (ssize_t)spec->size ||
	    lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
		  F_SEAL_SEAL) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* --- its user and its directory ------------------------------------------------------ */

#define UID_BASE 0x70000000u /* far above any that a distribution gives */
#define UID_NOBODY 65534u

static bool uid_mapped(uint32_t uid)
{
	FILE *file = fopen("/proc/self/uid_map", "re");
	unsigned long inside, outside, count;
	bool mapped = false;

	while (file && fscanf(file, "%lu %lu %lu", &inside, &outside,
			      &count) == 3)
		mapped |= uid >= inside && uid - inside < count;
	if (file)
		fclose(file);
	return mapped;
}

uint32_t run_uid(const struct hash *lineage)
{
	uint32_t uid = UID_BASE | (uint32_t)lineage->bytes[0] << 16 |
		       (uint32_t)lineage->bytes[1] << 8 | lineage->bytes[2];

	if (geteuid() != 0)
		return 0;
	return uid_mapped(uid) ? uid : UID_NOBODY;
}

static int write_etc(const char *directory, uint32_t uid, struct fault *fault)
{
	char path[PREPARE_PATH_MAX], text[2][256];
	uint32_t shown = uid ? uid : UID_NOBODY;
	struct {
		const char *name, *text;
	} files[] = {
		{ "passwd", text[0] },
		{ "group", text[1] },
		{ "hosts", "127.0.0.1 localhost\n::1 localhost\n" },
		{ "nsswitch.conf", "passwd: files\ngroup: files\n"
				   "hosts: files dns\n" },
	};

	snprintf(text[0], sizeof text[0],
		 "root:x:0:0::/:/usr/sbin/nologin\n"
		 "program:x:%u:%u::/tmp:/usr/sbin/nologin\n", shown, shown);
	snprintf(text[1], sizeof text[1], "root:x:0:\nprogram:x:%u:\n", shown);
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		int code;

		snprintf(path, sizeof path, "%s/etc/%s", directory,
			 files[i].name);
		code = agent_file_write(path, files[i].text,
					strlen(files[i].text), 0644, fault);
		if (code != 0)
			return code;
	}
	return 0;
}

int run_directory(const char *directory, uint32_t uid, struct fault *fault)
{
	char path[PREPARE_PATH_MAX];
	int code;

	snprintf(path, sizeof path, "%s/etc", directory);
	code = agent_directory(path, fault);
	if (code == 0)
		code = write_etc(directory, uid, fault);
	snprintf(path, sizeof path, "%s/sock", directory);
	if (code == 0)
		code = agent_directory(path, fault);
	if (code == 0 && uid != 0 && chown(path, uid, uid) < 0)
		code = fault_set(fault, BERTH_IO, "chown %s: %s", path,
				 strerror(errno));
	snprintf(path, sizeof path, "%s/sock/http.sock", directory);
	if (code == 0)
		(void)unlink(path);
	return code;
}
