/* Aleph messages: shape, limits, hash, signature; programs in our terms.
 *
 * Hash and signature bind item_content, never `content`: everything is derived
 * from item_content. Source: aleph.md section 1; every limit is named there.
 */
#ifndef NODE_LIB_ALEPH_H
#define NODE_LIB_ALEPH_H

#include "fsm/command.h"
#include "node/lib/json.h"

#define ALEPH_INLINE_SIZE_MAX 200000u
#define ALEPH_MESSAGE_SIZE_MAX (512u << 10)

enum aleph_type { ALEPH_POST = 1, ALEPH_AGGREGATE, ALEPH_STORE, ALEPH_PROGRAM,
		  ALEPH_INSTANCE, ALEPH_FORGET };
enum aleph_item_type { ALEPH_INLINE = 1, ALEPH_STORAGE, ALEPH_IPFS };

struct aleph_message {
	enum aleph_type type;
	enum aleph_item_type item_type;
	char chain[16], sender[128], signature[512], item_hash[96];
	char channel[132];
	double time;
	char *item_content; /* NULL unless inline */
	size_t item_content_size;
	json_t *content;    /* parsed from item_content; NULL unless inline */
};

const char *aleph_type_name(enum aleph_type type);

/* Reads an envelope. Only shape and limits; the fault names the field. Errors:
 * MALFORMED, TOOBIG, INVALID. Free with aleph_message_fini. */
MUST_CHECK int aleph_message_parse(const json_t *envelope,
				   struct aleph_message *out,
				   struct fault *fault);
void aleph_message_fini(struct aleph_message *message);
/* item_hash == sha256(item_content) and EIP-191 by sender. Errors: MISMATCH
 * (hash), DENIED (signature), INVALID (a chain we cannot verify). */
MUST_CHECK int aleph_message_verify(const struct aleph_message *message,
				    struct fault *fault);

#define ALEPH_VOLUMES_MAX 256
enum aleph_volume_kind { VOLUME_IMMUTABLE = 1, VOLUME_EPHEMERAL,
			 VOLUME_PERSISTENT };
struct aleph_volume {
	enum aleph_volume_kind kind;
	const char *mount, *ref, *name, *persistence; /* NULL: absent */
	bool use_latest;
	uint32_t size_mib;
};
enum aleph_encoding { ENCODING_PLAIN = 1, ENCODING_ZIP, ENCODING_SQUASHFS };
enum aleph_interface { INTERFACE_ASGI = 1, INTERFACE_BINARY };

/* A PROGRAM or INSTANCE content; strings are borrowed from the json. */
struct aleph_program {
	enum program_kind kind;
	const char *address, *name, *replaces;
	double time;
	bool allow_amend, persistent, http;
	uint32_t vcpus, memory_mib, seconds;
	uint64_t disk_mib;
	bool internet, aleph_api, reproducible, shared_cache;
	const char *payment; /* "hold", "superfluid", "credit" */
	const char *hypervisor;
	bool confidential, has_host_volume;
	/* requirements */
	const char *architecture, *vendor, *node_hash, *node_owner,
		*address_regex, *terms;
	const json_t *features, *gpus, *variables, *args;
	/* programs only */
	enum aleph_encoding encoding;
	enum aleph_interface interface;
	const char *entrypoint, *code_ref, *runtime_ref;
	bool code_use_latest;
	uint32_t volume_count;
	struct aleph_volume volumes[ALEPH_VOLUMES_MAX];
};
/* Full check of the schema: unknown fields, types, limits and the rules of
 * INSTANCE. The fault names the field by path ("content.resources.vcpus"). */
MUST_CHECK int aleph_program_parse(const json_t *content,
				   enum aleph_type type,
				   struct aleph_program *out,
				   struct fault *fault);
/* STORE and FORGET contents, checked likewise. */
MUST_CHECK int aleph_content_check(const struct aleph_message *message,
				   struct fault *fault);

/* The command that makes the program known; texts borrow from `program` and
 * `scratch`. Errors: INVALID when it can not be expressed (too many tokens). */
struct aleph_put_scratch {
	char tokens[FSM_TOKENS_MAX][FSM_TOKEN_SIZE_MAX];
};
MUST_CHECK int aleph_program_put(const struct aleph_message *message,
				 const struct aleph_program *program,
				 struct aleph_put_scratch *scratch,
				 struct command_program_put *out,
				 struct fault *fault);

/* Makes and signs an inline message around `content` (compact separators).
 * Gives a new envelope. */
struct eth_key;
MUST_CHECK int aleph_message_make(const struct eth_key *key,
				  enum aleph_type type, const json_t *content,
				  double time, const char *channel,
				  json_t **envelope, struct fault *fault);

#endif
