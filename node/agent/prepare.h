/* Preparation of a run, outside the gate: the program's message, its code and
 * its volumes are brought to the disk, verified by their hashes, unpacked.
 *
 * Messages come from a replica, else from a CCN; code and volumes from the
 * CCNs of the configuration. Everything is cached under DIRECTORY/cache by
 * hash, so that losing every CCN does not prevent a move to a CRN that has it.
 */
#ifndef NODE_AGENT_PREPARE_H
#define NODE_AGENT_PREPARE_H

#include "node/agent/agent.h"
#include "node/lib/aleph.h"

#define PREPARE_PATH_MAX 1024u
#define PREPARE_FILE_SIZE_MAX (256u << 20)

struct prepared_volume {
	enum aleph_volume_kind kind;
	char source[PREPARE_PATH_MAX]; /* directory here; EPHEMERAL: empty */
	const char *mount;             /* borrowed from the content */
	uint32_t size_mib;
};

/* What a run needs to start. */
struct prepared {
	json_t *content;
	struct aleph_program program; /* borrows from content */
	char code[PREPARE_PATH_MAX];  /* directory */
	const char *root;             /* of the runtime: "host" or a path */
	uint32_t volume_count;
	struct prepared_volume *volumes;
};
void prepared_free(struct prepared *prepared);

MUST_CHECK int prepare_open(struct prepare **out, struct agent *agent,
			    struct fault *fault);
void prepare_close(struct prepare *prepare);
/* Frames of the link that answer us. */
void prepare_frame(struct prepare *prepare, uint8_t type,
		   const uint8_t *payload, size_t size);
void prepare_link_down(struct prepare *prepare);
void prepare_tick(struct prepare *prepare, uint64_t now_ms);

struct prepare_job;
/* `prepared` is NULL when it failed: see fault; else the callee owns it. */
typedef void (*prepare_done)(void *ctx, struct prepared *prepared,
			     const struct fault *fault);
MUST_CHECK int prepare_start(struct prepare *prepare,
			     const struct hash *program,
			     const struct hash *lineage, prepare_done done,
			     void *ctx, struct prepare_job **out);
/* done is not called any more. */
void prepare_cancel(struct prepare_job *job);

struct cache_pins;
/* Pins what an unfinished preparation has come to. */
void prepare_pins(const struct prepare *prepare, struct cache_pins *pins);
/* A run went, and what it pinned may go: the cache is looked at again. */
void prepare_unpinned(struct prepare *prepare);
/* Pins what a run needs: code, volumes, the messages that led to them. */
void prepared_pins(const struct prepared *prepared,
		   const struct hash *program, struct cache_pins *pins);

/* Reads a program's item_content (sha256 is `program`'s) into *out: content
 * parsed, program checked, what we cannot run refused with a sentence. */
MUST_CHECK int prepare_read(const struct agent_config *config,
			    const struct hash *program, const char *text,
			    size_t size, struct prepared **out,
			    struct fault *fault);

#endif
