/* The schema of PROGRAM and INSTANCE: aleph.md 1.3 to 1.8. Tables first, then
 * the rules that are no table, then the reading. */
#include "node/lib/aleph_shape.h"

#include <strings.h>

#define EPHEMERAL_MIB_MAX 1000
#define PERSISTENT_MIB_MAX 1953125

static const struct shape any = { .kind = SHAPE_ANY };
static const struct shape boolean = { .kind = SHAPE_BOOL };
static const struct shape hash = { .kind = SHAPE_HASH };
static const struct shape chain = { .kind = SHAPE_CHAIN };
static const struct shape time_shape = { .kind = SHAPE_TIME };
static const struct shape string = { .kind = SHAPE_STRING };
static const struct shape string_127 = { .kind = SHAPE_STRING, .max = 127 };
static const struct shape string_128 = { .kind = SHAPE_STRING, .max = 128 };
static const struct shape string_256 = { .kind = SHAPE_STRING, .max = 256 };
static const struct shape string_4096 = { .kind = SHAPE_STRING, .max = 4096 };
static const struct shape string_8192 = { .kind = SHAPE_STRING, .max = 8192 };
static const struct shape strings = { .kind = SHAPE_LIST, .max = 4096,
				      .item = &string };
static const struct shape metadata = { .kind = SHAPE_MAP, .max = 256,
				       .item = &any };
static const struct shape keys = { .kind = SHAPE_LIST, .max = 256,
				   .item = &string_8192 };
static const struct shape variables = { .kind = SHAPE_MAP, .max = 256,
					.key_max = 128, .item = &string_4096 };

#define CHOICES(name, ...)                                             \
	static const char *const name##_choices[] = { __VA_ARGS__, NULL }; \
	static const struct shape name = { .kind = SHAPE_CHOICE,       \
					   .choices = name##_choices }
#define FIELDS(name, ...)                                             \
	static const struct shape_field name##_fields[] = {           \
		__VA_ARGS__, { NULL, 0, NULL }                        \
	};                                                            \
	static const struct shape name = { .kind = SHAPE_OBJECT,      \
					   .fields = name##_fields }
#define NEEDED SHAPE_REQUIRED
#define OR_NULL SHAPE_NULLABLE

CHOICES(protocol, "tcp", "udp");
CHOICES(payment_type, "hold", "superfluid", "credit");
CHOICES(encoding, "plain", "zip", "squashfs");
CHOICES(interface, "asgi", "binary");
CHOICES(vm_function, "vm-function");
CHOICES(hypervisor, "qemu", "firecracker");
CHOICES(architecture, "x86_64", "arm64");
CHOICES(device_class, "0300", "0302");
CHOICES(persistence, "host", "store");

static const struct shape vcpus = { .kind = SHAPE_UINT, .min = 1, .max = 256 };
static const struct shape memory = { .kind = SHAPE_UINT, .min = 1,
				     .max = 1048576 };
static const struct shape seconds = { .kind = SHAPE_UINT, .min = 1,
				      .max = 315360000 };
static const struct shape port = { .kind = SHAPE_UINT, .min = 1,
				   .max = 65535 };
static const struct shape policy = { .kind = SHAPE_UINT, .max = INT32_MAX };
static const struct shape ephemeral_mib = { .kind = SHAPE_UINT, .min = 1,
					    .max = EPHEMERAL_MIB_MAX };
static const struct shape persistent_mib = { .kind = SHAPE_UINT, .min = 1,
					     .max = PERSISTENT_MIB_MAX };

FIELDS(published_port, { "protocol", 0, &protocol },
       { "port", NEEDED, &port });
static const struct shape published_ports = { .kind = SHAPE_LIST, .max = 65535,
					      .item = &published_port };
FIELDS(resources, { "vcpus", 0, &vcpus }, { "memory", 0, &memory },
       { "seconds", 0, &seconds },
       { "published_ports", OR_NULL, &published_ports });
FIELDS(payment, { "chain", OR_NULL, &chain },
       { "receiver", OR_NULL, &string_127 },
       { "type", NEEDED, &payment_type });

FIELDS(cpu, { "architecture", OR_NULL, &architecture },
       { "vendor", OR_NULL, &string }, { "features", OR_NULL, &strings });
FIELDS(node, { "owner", OR_NULL, &string },
       { "address_regex", OR_NULL, &string_256 },
       { "node_hash", OR_NULL, &hash },
       { "terms_and_conditions", OR_NULL, &hash });
FIELDS(gpu, { "vendor", NEEDED, &string },
       { "device_name", NEEDED, &string },
       { "device_class", NEEDED, &device_class },
       { "device_id", NEEDED, &string });
static const struct shape gpus = { .kind = SHAPE_LIST, .max = 256,
				   .item = &gpu };
FIELDS(requirements, { "cpu", OR_NULL, &cpu }, { "node", OR_NULL, &node },
       { "gpu", OR_NULL, &gpus });

FIELDS(volume_immutable, { "comment", OR_NULL, &string_256 },
       { "mount", OR_NULL, &string_256 }, { "ref", NEEDED, &hash },
       { "use_latest", 0, &boolean });
FIELDS(volume_ephemeral, { "comment", OR_NULL, &string_256 },
       { "mount", OR_NULL, &string_256 }, { "ephemeral", NEEDED, &any },
       { "size_mib", NEEDED, &ephemeral_mib });
FIELDS(parent, { "ref", NEEDED, &hash }, { "use_latest", 0, &boolean });
FIELDS(volume_persistent, { "comment", OR_NULL, &string_256 },
       { "mount", OR_NULL, &string_256 }, { "parent", OR_NULL, &parent },
       { "persistence", OR_NULL, &persistence },
       { "name", OR_NULL, &string_256 },
       { "size_mib", NEEDED, &persistent_mib });

/* A union whose first match wins: since each kind refuses the other kinds'
 * fields, `ref` and `ephemeral` tell which one is meant. */
static int check_volume(const json_t *value, const char *path,
			struct fault *fault)
{
	const json_t *ephemeral = json_object_get(value, "ephemeral");

	if (json_object_get(value, "ref"))
		return aleph__shape_check(&volume_immutable, value, path,
					  fault);
	if (ephemeral && !json_is_true(ephemeral))
		return fault_set(fault, BERTH_INVALID,
				 "%s.ephemeral: only true", path);
	return aleph__shape_check(ephemeral ? &volume_ephemeral :
					      &volume_persistent,
				  value, path, fault);
}

static const struct shape volume = { .kind = SHAPE_CUSTOM,
				     .check = check_volume };
static const struct shape volumes = { .kind = SHAPE_LIST,
				      .max = ALEPH_VOLUMES_MAX,
				      .item = &volume };

FIELDS(code, { "encoding", NEEDED, &encoding },
       { "entrypoint", NEEDED, &string }, { "ref", NEEDED, &hash },
       { "interface", OR_NULL, &interface }, { "args", OR_NULL, &strings },
       { "use_latest", 0, &boolean });
FIELDS(runtime, { "ref", NEEDED, &hash }, { "use_latest", 0, &boolean },
       { "comment", NEEDED, &string });
FIELDS(data, { "encoding", NEEDED, &encoding }, { "mount", NEEDED, &string },
       { "ref", NEEDED, &hash }, { "use_latest", OR_NULL, &boolean });
FIELDS(export, { "encoding", NEEDED, &encoding },
       { "mount", NEEDED, &string });
static const struct shape subscription = { .kind = SHAPE_MAP, .max = 32,
					   .item = &any };
static const struct shape subscriptions = { .kind = SHAPE_LIST,
					    .item = &subscription };
FIELDS(on, { "http", NEEDED, &boolean }, { "message", OR_NULL, &subscriptions },
       { "persistent", OR_NULL, &boolean });
FIELDS(environment_program, { "reproducible", 0, &boolean },
       { "internet", 0, &boolean }, { "aleph_api", 0, &boolean },
       { "shared_cache", 0, &boolean });

FIELDS(trusted_execution, { "firmware", OR_NULL, &hash },
       { "policy", 0, &policy });
FIELDS(environment_instance, { "internet", 0, &boolean },
       { "aleph_api", 0, &boolean }, { "hypervisor", OR_NULL, &hypervisor },
       { "trusted_execution", OR_NULL, &trusted_execution },
       { "reproducible", 0, &boolean }, { "shared_cache", 0, &boolean });
FIELDS(rootfs, { "parent", NEEDED, &parent },
       { "persistence", NEEDED, &persistence },
       { "size_mib", NEEDED, &persistent_mib },
       { "forgotten_by", OR_NULL, &strings });

#define COMMON_FIELDS                                      \
	{ "address", NEEDED, &string_127 },                \
	{ "time", NEEDED, &time_shape },                   \
	{ "allow_amend", NEEDED, &boolean },               \
	{ "metadata", OR_NULL, &metadata },                \
	{ "authorized_keys", OR_NULL, &keys },             \
	{ "variables", OR_NULL, &variables },              \
	{ "resources", NEEDED, &resources },               \
	{ "payment", OR_NULL, &payment },                  \
	{ "requirements", OR_NULL, &requirements },        \
	{ "volumes", 0, &volumes },                        \
	{ "replaces", OR_NULL, &string_128 }

FIELDS(content_program, COMMON_FIELDS, { "type", NEEDED, &vm_function },
       { "environment", NEEDED, &environment_program },
       { "code", NEEDED, &code }, { "runtime", NEEDED, &runtime },
       { "data", OR_NULL, &data }, { "export", OR_NULL, &export },
       { "on", NEEDED, &on });
FIELDS(content_instance, COMMON_FIELDS,
       { "environment", NEEDED, &environment_instance },
       { "rootfs", NEEDED, &rootfs });

/* aleph.md 1.8: asked only of instances that have requirements. */
static int check_instance(const struct aleph_program *p,
			  const json_t *content, struct fault *fault)
{
	bool pays_as_it_goes = strcmp(p->payment, "hold") != 0;
	bool qemu = p->hypervisor && strcmp(p->hypervisor, "qemu") == 0;
	const char *needs = NULL;

	if (p->confidential && !qemu)
		return fault_set(fault, BERTH_INVALID,
				 "content.environment.trusted_execution: only "
				 "with hypervisor qemu");
	if (!aleph__object(content, "requirements"))
		return BERTH_OK;
	if (pays_as_it_goes)
		needs = p->payment;
	else if (json_array_size(p->gpus) > 0)
		needs = "gpu";
	else if (p->terms)
		needs = "terms_and_conditions";
	if (needs && !p->node_hash)
		return fault_set(fault, BERTH_INVALID, "content.requirements."
				 "node.node_hash: missing with %s", needs);
	if (json_array_size(p->gpus) > 0 && !qemu)
		return fault_set(fault, BERTH_INVALID,
				 "content.environment.hypervisor: a gpu needs "
				 "qemu");
	if (p->terms && !pays_as_it_goes && !p->confidential)
		return fault_set(fault, BERTH_INVALID, "content.requirements."
				 "node.terms_and_conditions: only with "
				 "superfluid, credit or trusted_execution");
	return BERTH_OK;
}

static void read_volume(const json_t *value, struct aleph_program *out)
{
	struct aleph_volume *v = &out->volumes[out->volume_count++];

	v->mount = aleph__string(value, "mount", NULL);
	v->ref = aleph__string(value, "ref", NULL);
	v->name = aleph__string(value, "name", NULL);
	v->persistence = aleph__string(value, "persistence", NULL);
	v->size_mib = aleph__uint(value, "size_mib", 0);
	v->kind = v->ref ? VOLUME_IMMUTABLE :
		  json_object_get(value, "ephemeral") ? VOLUME_EPHEMERAL :
							VOLUME_PERSISTENT;
	v->use_latest = aleph__bool(value, "use_latest", true);
	out->disk_mib += v->size_mib;
	/* Without a word on it the data stands on the host, too. */
	if (v->kind == VOLUME_PERSISTENT &&
	    (!v->persistence || strcmp(v->persistence, "host") == 0))
		out->has_host_volume = true;
}

static void read_environment(const json_t *environment,
			     struct aleph_program *out)
{
	out->internet = aleph__bool(environment, "internet", false);
	out->aleph_api = aleph__bool(environment, "aleph_api", false);
	out->reproducible = aleph__bool(environment, "reproducible", false);
	out->shared_cache = aleph__bool(environment, "shared_cache", false);
	out->hypervisor = aleph__string(environment, "hypervisor", NULL);
	out->confidential = aleph__object(environment, "trusted_execution");
}

static void read_requirements(const json_t *content,
			      struct aleph_program *out)
{
	const json_t *wanted = aleph__object(content, "requirements");
	const json_t *cpus = aleph__object(wanted, "cpu");
	const json_t *nodes = aleph__object(wanted, "node");

	out->architecture = aleph__string(cpus, "architecture", NULL);
	out->vendor = aleph__string(cpus, "vendor", NULL);
	out->features = aleph__object(cpus, "features");
	out->node_hash = aleph__string(nodes, "node_hash", NULL);
	out->node_owner = aleph__string(nodes, "owner", NULL);
	out->address_regex = aleph__string(nodes, "address_regex", NULL);
	out->terms = aleph__string(nodes, "terms_and_conditions", NULL);
	out->gpus = aleph__object(wanted, "gpu");
}

static void read_common(const json_t *content, struct aleph_program *out)
{
	const json_t *wanted = json_object_get(content, "resources");
	const json_t *list = json_object_get(content, "volumes");

	out->address = aleph__string(content, "address", NULL);
	out->name = aleph__string(aleph__object(content, "metadata"), "name",
				  NULL);
	out->replaces = aleph__string(content, "replaces", NULL);
	out->time = json_number_value(json_object_get(content, "time"));
	out->allow_amend = aleph__bool(content, "allow_amend", false);
	out->vcpus = aleph__uint(wanted, "vcpus", 1);
	out->memory_mib = aleph__uint(wanted, "memory", 128);
	out->seconds = aleph__uint(wanted, "seconds", 1);
	out->payment = aleph__string(aleph__object(content, "payment"), "type",
				     "hold");
	out->variables = aleph__object(content, "variables");
	read_environment(json_object_get(content, "environment"), out);
	read_requirements(content, out);
	for (size_t i = 0; i < json_array_size(list); i++)
		read_volume(json_array_get(list, i), out);
}

static void read_code(const json_t *content, struct aleph_program *out)
{
	static const char *const names[] = { "plain", "zip", "squashfs" };
	const json_t *from = json_object_get(content, "code");
	const json_t *when = json_object_get(content, "on");
	const char *text = aleph__string(from, "encoding", "plain");

	for (unsigned i = 0; i < COUNT_OF(names); i++)
		if (strcmp(names[i], text) == 0)
			out->encoding = ENCODING_PLAIN + i;
	out->entrypoint = aleph__string(from, "entrypoint", NULL);
	text = aleph__string(from, "interface",
			     strchr(out->entrypoint, ':') ? "asgi" : "binary");
	out->interface = strcmp(text, "asgi") == 0 ? INTERFACE_ASGI :
						     INTERFACE_BINARY;
	out->code_ref = aleph__string(from, "ref", NULL);
	out->code_use_latest = aleph__bool(from, "use_latest", false);
	out->args = aleph__object(from, "args");
	out->runtime_ref = aleph__string(json_object_get(content, "runtime"),
					 "ref", NULL);
	out->http = aleph__bool(when, "http", false);
	out->persistent = aleph__bool(when, "persistent", false);
}

static void read_rootfs(const json_t *content, struct aleph_program *out)
{
	out->persistent = true;
	out->disk_mib += aleph__uint(json_object_get(content, "rootfs"),
				     "size_mib", 0);
}

int aleph_program_parse(const json_t *content, enum aleph_type type,
			struct aleph_program *out, struct fault *fault)
{
	bool instance = type == ALEPH_INSTANCE;
	struct aleph_program program;
	int rc;

	if (type != ALEPH_PROGRAM && type != ALEPH_INSTANCE)
		return fault_set(fault, BERTH_INVALID, "type: %s is neither "
				 "PROGRAM nor INSTANCE", aleph_type_name(type));
	if (!content)
		return fault_set(fault, BERTH_INVALID, "content: absent");
	rc = aleph__shape_check(instance ? &content_instance :
					   &content_program,
				content, "content", fault);
	if (rc != BERTH_OK)
		return rc;
	memset(&program, 0, sizeof program);
	program.kind = instance ? KIND_INSTANCE : KIND_PROGRAM;
	read_common(content, &program);
	if (instance) {
		read_rootfs(content, &program);
		rc = check_instance(&program, content, fault);
	} else {
		read_code(content, &program);
	}
	if (rc == BERTH_OK)
		*out = program;
	return rc;
}
