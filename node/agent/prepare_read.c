#include "node/agent/prepare.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/agent/cache.h"
#include "node/lib/crypto.h"

void prepared_free(struct prepared *prepared)
{
	if (!prepared)
		return;
	json_decref(prepared->content);
	free(prepared->volumes);
	free(prepared);
}

void prepared_pins(const struct prepared *prepared,
		   const struct hash *program, struct cache_pins *pins)
{
	cache_pin(pins, program);
	cache_pin_text(pins, prepared->program.code_ref);
	cache_pin_path(pins, prepared->code);
	for (uint32_t i = 0; i < prepared->volume_count; i++) {
		if (prepared->volumes[i].kind != VOLUME_IMMUTABLE)
			continue;
		cache_pin_text(pins, prepared->program.volumes[i].ref);
		cache_pin_path(pins, prepared->volumes[i].source);
	}
}

/* A path inside the sandbox that a program may name as a mount. */
static bool mount_fits(const char *mount)
{
	static const char *const taken[] = { "/", "/usr", "/bin", "/sbin",
		"/lib", "/lib32", "/lib64", "/libx32", "/proc", "/dev",
		"/sys", "/etc", "/run", "/opt", "/opt/code", "/tmp" };

	if (mount[0] != '/' || strstr(mount, "/../") || strstr(mount, "//") ||
	    strstr(mount, "/./") || mount[strlen(mount) - 1] == '/' ||
	    (strlen(mount) >= 3 &&
	     strcmp(mount + strlen(mount) - 3, "/..") == 0) ||
	    (strlen(mount) >= 2 &&
	     strcmp(mount + strlen(mount) - 2, "/.") == 0))
		return false;
	for (size_t i = 0; i < COUNT_OF(taken); i++)
		if (strcmp(mount, taken[i]) == 0)
			return false;
	for (size_t i = 1; i <= 12; i++) {
		size_t size = strlen(taken[i]);

		if (strncmp(mount, taken[i], size) == 0 && mount[size] == '/')
			return false;
	}
	return strncmp(mount, "/opt/code/", 10) != 0;
}

/* Names of host volumes become directories here. */
static bool volume_name_fits(const char *name)
{
	if (name[0] == '\0' || name[0] == '.')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789-_.") == strlen(name);
}

static int check_volume(const struct aleph_volume *volume,
			const json_t *json, struct fault *fault)
{
	if (!volume->mount || !mount_fits(volume->mount))
		return fault_set(fault, BERTH_INVALID,
				 "a volume can not be mounted at \"%.100s\"",
				 volume->mount ? volume->mount : "");
	if (volume->kind != VOLUME_PERSISTENT)
		return 0;
	if (json_is_object(json_object_get(json, "parent")))
		return fault_set(fault, BERTH_INVALID,
				 "volume %.100s: a parent image is not supported",
				 volume->mount);
	if (volume->persistence && strcmp(volume->persistence, "host") != 0)
		return fault_set(fault, BERTH_INVALID,
				 "volume %.100s: persistence \"%.20s\" is not supported",
				 volume->mount, volume->persistence);
	if (volume->name && !volume_name_fits(volume->name))
		return fault_set(fault, BERTH_INVALID,
				 "volume %.100s: name \"%.100s\"",
				 volume->mount, volume->name);
	return 0;
}

/* Is b the same place as a, or below it? */
static bool is_below(const char *a, const char *b)
{
	size_t size = strlen(a);

	return strncmp(a, b, size) == 0 && (b[size] == '\0' || b[size] == '/');
}

/* No volume stands in another: what a program left in the outer one, a link
 * above all, would lead the sandbox's maker, which has rights, when it makes
 * the inner one's place at the next start. */
static int check_apart(const struct aleph_program *program,
		       struct fault *fault)
{
	for (uint32_t i = 0; i < program->volume_count; i++) {
		for (uint32_t j = 0; j < program->volume_count; j++) {
			const char *a = program->volumes[i].mount;
			const char *b = program->volumes[j].mount;

			if (i != j && is_below(a, b))
				return fault_set(fault, BERTH_INVALID,
						 "a volume at \"%.100s\" would stand in that at \"%.100s\"",
						 b, a);
		}
	}
	return 0;
}

static bool entrypoint_fits(const struct aleph_program *program)
{
	const char *text = program->entrypoint;

	if (!text || !*text || *text == '/' || *text == '-' ||
	    strlen(text) > 256)
		return false;
	for (const char *at = text; (at = strstr(at, "..")); at += 2)
		if ((at == text || at[-1] == '/') &&
		    (at[2] == '\0' || at[2] == '/'))
			return false;
	return true;
}

static const char *find_root(const struct agent_config *config,
			     const char *ref)
{
	const struct agent_runtime *rows = config->runtimes.rows;

	for (uint32_t i = 0; ref && i < config->runtimes.count; i++)
		if (strcmp(rows[i].ref, ref) == 0)
			return rows[i].root;
	return config->runtime_default[0] ? config->runtime_default : NULL;
}

static int check(const struct agent_config *config, struct prepared *prepared,
		 struct fault *fault)
{
	const struct aleph_program *program = &prepared->program;
	const json_t *volumes = json_object_get(prepared->content, "volumes");

	if (program->kind != KIND_PROGRAM)
		return fault_set(fault, BERTH_INVALID,
				 "an instance: this CRN runs programs only");
	if (!entrypoint_fits(program))
		return fault_set(fault, BERTH_INVALID,
				 "entrypoint \"%.100s\"", program->entrypoint ?
				 program->entrypoint : "");
	prepared->root = find_root(config, program->runtime_ref);
	if (!prepared->root)
		return fault_set(fault, BERTH_INVALID,
				 "runtime %.100s is not offered here",
				 program->runtime_ref);
	for (uint32_t i = 0; i < program->volume_count; i++) {
		int code = check_volume(&program->volumes[i],
					json_array_get(volumes, i), fault);

		if (code != 0)
			return code;
	}
	return check_apart(program, fault);
}

static void list_volumes(struct prepared *prepared)
{
	prepared->volume_count = prepared->program.volume_count;
	for (uint32_t i = 0; i < prepared->volume_count; i++) {
		const struct aleph_volume *from =
			&prepared->program.volumes[i];

		prepared->volumes[i].kind = from->kind;
		prepared->volumes[i].mount = from->mount;
		prepared->volumes[i].size_mib = from->size_mib;
	}
}

static int parse(const char *text, size_t size, struct prepared *prepared,
		 struct fault *fault)
{
	enum aleph_type type = ALEPH_PROGRAM;
	const char *name;
	int code = json_parse(text, size, ALEPH_MESSAGE_SIZE_MAX,
			      &prepared->content, fault);

	if (code != 0)
		return code;
	/* Only an instance has a rootfs. */
	name = json_string_value(json_object_get(prepared->content, "type"));
	if (!name && json_object_get(prepared->content, "rootfs"))
		type = ALEPH_INSTANCE;
	return aleph_program_parse(prepared->content, type,
				   &prepared->program, fault);
}

int prepare_read(const struct agent_config *config,
		 const struct hash *program, const char *text, size_t size,
		 struct prepared **out, struct fault *fault)
{
	struct prepared *prepared;
	struct hash found;
	int code;

	crypto_sha256(text, size, &found);
	if (!hash_equal(&found, program))
		return fault_set(fault, BERTH_MISMATCH,
				 "item_content has another hash");
	prepared = calloc(1, sizeof *prepared);
	if (prepared)
		prepared->volumes = calloc(ALEPH_VOLUMES_MAX,
					   sizeof *prepared->volumes);
	if (!prepared || !prepared->volumes) {
		free(prepared);
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	}
	code = parse(text, size, prepared, fault);
	if (code == 0)
		code = check(config, prepared, fault);
	if (code != 0) {
		prepared_free(prepared);
		return code;
	}
	list_volumes(prepared);
	*out = prepared;
	return 0;
}
