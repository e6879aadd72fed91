/* berth-agent: what its parts share.
 *
 * agent_session.c holds the session (HELLO to heartbeats), runner.c makes the
 * runs follow the desired set, prepare.c brings code to the disk, door.c lets
 * requests in. The fencer alone extends the deadline, starts and kills: the
 * agent may stop, crash and restart at any time and nothing is lost but time.
 */
#ifndef NODE_AGENT_AGENT_H
#define NODE_AGENT_AGENT_H

#include <uv.h>

#include "node/agent/fencer_client.h"
#include "node/agent/link.h"
#include "node/lib/config.h"
#include "node/lib/http_client.h"

#define RUNTIME_ROWS_MAX 64u

struct agent_runtime {
	char *ref, *root;
};

/* The file that berth-agent and berth-fencer share: deploy/API.md. */
struct agent_config {
	char *crn, *name, *cluster, *directory, *pki, *door, *url, *watchdog;
	char *runtime_default, *dev_bind, *internet;
	char **replicas, **ccns;
	struct config_list runtimes; /* struct agent_runtime */
	uint64_t vcpus, memory_mib, disk_mib, k_ms, slew_ppm, log_size_max;
	uint64_t cache_size_max;
	struct hash crn_hash;
};
/* Also tests what cannot be told by types. The fault names the setting. */
MUST_CHECK int agent_config_read(const char *file, struct agent_config *out,
				 struct fault *fault);
void agent_config_fini(struct agent_config *config);

struct session;
struct runner;
struct door;
struct prepare;

struct agent {
	uv_loop_t *loop;
	struct agent_config config;
	struct stream_tls *tls;
	struct fencer_client *fencer;
	struct link *link;
	struct http_client *http;
	struct session *session;
	struct runner *runner;
	struct prepare *prepare;
	struct door *door;
	bool stopping;
};

/* Makes a directory and its missing parents, mode 0755. */
MUST_CHECK int agent_directory(const char *path, struct fault *fault);
/* Writes a file whole: temporary name, then renamed. */
MUST_CHECK int agent_file_write(const char *path, const void *data,
				size_t size, unsigned mode,
				struct fault *fault);
/* Reads a file of at most size_max bytes; NUL-ended, free it. Errors:
 * NOTFOUND, TOOBIG, IO, NOMEM. */
MUST_CHECK int agent_file_read(const char *path, size_t size_max, char **data,
			       size_t *size, struct fault *fault);
/* Removes a tree without following links out of it. */
void agent_tree_remove(const char *path);

/* --- session: lease.md R10, R12, R15, 2.6 -------------------------------- */

MUST_CHECK int session_open(struct session **out, struct agent *agent,
			    struct fault *fault);
void session_close(struct session *session);
void session_fencer_up(struct session *session);
void session_fencer_down(struct session *session);
void session_fencer_event(struct session *session);
void session_link_up(struct session *session);
void session_frame(struct session *session, uint8_t type,
		   const uint8_t *payload, size_t size);
/* A status has changed: heartbeats at once, many changes as one. */
void session_beat_soon(struct session *session);
/* Asks the fencer for its state; the runner is told. */
void session_look(struct session *session);
/* The deadline as last heard of has not passed. */
bool session_lease_valid(const struct session *session);

/* What this machine has: configured, else measured. */
struct machine_offer {
	uint32_t vcpus;
	uint64_t memory_mib, disk_mib;
	uint32_t token_count;
	char tokens[FSM_TOKENS_MAX][FSM_TOKEN_SIZE_MAX];
};
void agent_offer(const struct agent_config *config, struct machine_offer *out);

#endif
