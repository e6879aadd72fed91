/* A program in the terms of the state machine: what it needs become tokens
 * that a CRN must offer, each of them. */
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "node/lib/aleph_shape.h"
#include "node/lib/crypto.h"

struct tokens {
	struct aleph_put_scratch *scratch;
	struct command_program_put *out;
	struct fault *fault;
	int rc;
};

/* Keeps the first failure; the calls after it do nothing. Empty is absent. */
static void add(struct tokens *t, const char *kind, const char *value)
{
	struct command_program_put *out = t->out;
	char *token;
	int length;

	if (t->rc != BERTH_OK || !value || !*value)
		return;
	if (out->token_count == FSM_TOKENS_MAX) {
		t->rc = fault_set(t->fault, BERTH_INVALID, "content."
				  "requirements: more than %d of them",
				  FSM_TOKENS_MAX);
		return;
	}
	token = t->scratch->tokens[out->token_count];
	length = snprintf(token, FSM_TOKEN_SIZE_MAX, "%s:%s", kind, value);
	if (length < 0 || length >= FSM_TOKEN_SIZE_MAX) {
		t->rc = fault_set(t->fault, BERTH_INVALID, "content."
				  "requirements: \"%s:%.40s...\" is longer "
				  "than %d", kind, value,
				  FSM_TOKEN_SIZE_MAX - 1);
		return;
	}
	out->tokens[out->token_count++] =
		(struct text){ token, (uint32_t)length };
}

/* The network compares these without regard to case. */
static void add_lower(struct tokens *t, const char *kind, const char *value)
{
	uint32_t before = t->out->token_count;

	add(t, kind, value);
	if (t->out->token_count == before)
		return;
	for (char *c = t->scratch->tokens[before]; *c; c++)
		*c = (char)tolower((unsigned char)*c);
}

static void add_vendor(struct tokens *t, const char *vendor)
{
	static const char *const known[] = { "AuthenticAMD", "GenuineIntel" };

	for (size_t i = 0; vendor && i < COUNT_OF(known); i++)
		if (strcasecmp(known[i], vendor) == 0)
			vendor = known[i];
	add(t, "vendor", vendor);
}

/* A token says "at least one": two of the same card can not be said. */
static void add_gpu(struct tokens *t, const json_t *gpu)
{
	const char *id = aleph__string(gpu, "device_id", "");
	const char *added;

	if (t->rc == BERTH_OK && !*id)
		t->rc = fault_set(t->fault, BERTH_INVALID, "content."
				  "requirements.gpu: an empty device_id");
	add_lower(t, "gpu", id);
	if (t->rc != BERTH_OK)
		return;
	added = t->scratch->tokens[t->out->token_count - 1];
	for (uint32_t i = 0; i + 1 < t->out->token_count; i++)
		if (strcmp(t->scratch->tokens[i], added) == 0)
			t->rc = fault_set(t->fault, BERTH_INVALID, "content."
					  "requirements.gpu: more than one %s",
					  added);
}

static void add_gpus(struct tokens *t, const json_t *gpus)
{
	for (size_t i = 0; i < json_array_size(gpus); i++)
		add_gpu(t, json_array_get(gpus, i));
}

static int put_tokens(const struct aleph_program *p,
		      struct aleph_put_scratch *scratch,
		      struct command_program_put *out, struct fault *fault)
{
	struct tokens t = { scratch, out, fault, BERTH_OK };

	add(&t, "runner", p->kind == KIND_INSTANCE ? "instance" : "program");
	add(&t, "arch", p->architecture);
	add_vendor(&t, p->vendor);
	for (size_t i = 0; i < json_array_size(p->features); i++)
		add_lower(&t, "feature",
			  json_string_value(json_array_get(p->features, i)));
	add_gpus(&t, p->gpus);
	add(&t, "tee", p->confidential ? "sev" : NULL);
	add_lower(&t, "owner", p->node_owner);
	add(&t, "terms", p->terms);
	add(&t, "address_regex", p->address_regex);
	return t.rc;
}

static int put_hashes(const struct aleph_message *message,
		      const struct aleph_program *p,
		      struct command_program_put *out, struct fault *fault)
{
	if (hash_parse(message->item_hash, &out->program) != BERTH_OK)
		return fault_set(fault, BERTH_INVALID, "item_hash: \"%s\" is "
				 "not a sha256", message->item_hash);
	out->has_node_pin = p->node_hash;
	if (p->node_hash && hash_parse(p->node_hash, &out->node_pin) != 0)
		return fault_set(fault, BERTH_INVALID, "content.requirements."
				 "node.node_hash: \"%s\" is not the hash of a "
				 "CRN", p->node_hash);
	out->has_replaces = p->replaces && *p->replaces;
	if (out->has_replaces && hash_parse(p->replaces, &out->replaces) != 0)
		return fault_set(fault, BERTH_INVALID, "content.replaces: "
				 "\"%.70s\" is not the hash of a program",
				 p->replaces);
	if (out->has_replaces && hash_equal(&out->replaces, &out->program))
		return fault_set(fault, BERTH_INVALID,
				 "content.replaces: itself");
	return BERTH_OK;
}

/* At most FSM_TEXT_SIZE_MAX bytes, cut before a character, not in one. */
static struct text bounded(const char *text)
{
	size_t size = text ? strlen(text) : 0;

	if (size > FSM_TEXT_SIZE_MAX) {
		size = FSM_TEXT_SIZE_MAX;
		while (size > 0 && (text[size] & 0xc0) == 0x80)
			size--;
	}
	return (struct text){ text, (uint32_t)size };
}

int aleph_program_put(const struct aleph_message *message,
		      const struct aleph_program *program,
		      struct aleph_put_scratch *scratch,
		      struct command_program_put *out, struct fault *fault)
{
	bool has_data = program->kind == KIND_INSTANCE ||
			program->has_host_volume;
	struct command_program_put put = {
		.source = SOURCE_CCN,
		.kind = program->kind,
		.guarantee = has_data ? GUARANTEE_HOLD : GUARANTEE_EXCLUSIVE,
		.amendable = program->allow_amend,
		.has_data = has_data,
		.persistent = program->persistent,
		.time_ms = (uint64_t)(message->time * 1000 + 0.5),
		.owner = bounded(program->address),
		.name = bounded(program->name),
		.vcpus = program->vcpus,
		.memory_mib = program->memory_mib,
		.disk_mib = program->disk_mib,
	};
	int rc;

	rc = put_hashes(message, program, &put, fault);
	if (rc == BERTH_OK)
		rc = put_tokens(program, scratch, &put, fault);
	if (rc == BERTH_OK)
		*out = put;
	return rc;
}
