/* A peer for berth-agent in tests: says what a leader would over a real TLS
 * link, and serves messages and files as a CCN does. It decides nothing by
 * itself: the test tells what is desired. Not a leader, and never used where a
 * whole cluster is meant. */
#ifndef TESTS_KIT_AGENT_PEER_H
#define TESTS_KIT_AGENT_PEER_H

#include "node/lib/agent_wire.h"
#include "node/lib/crypto.h"
#include "node/lib/httpd.h"
#include "node/lib/json.h"
#include "node/lib/stream.h"

#define AGENT_PEER_ROWS 8u
#define AGENT_PEER_ITEMS 32u

struct agent_peer {
	uv_loop_t *loop;
	struct stream_listener *listener;
	struct stream *stream; /* the agent's link, or NULL */
	struct httpd *ccn;
	/* What it tells. */
	uint64_t gen, index;
	stamp_t session, changed;
	uint32_t ttl_a_ms, heartbeat_ms;
	bool silent;           /* no more replies */
	struct desired_row desired[AGENT_PEER_ROWS];
	uint32_t desired_count;
	/* Contents of programs and STOREs, files: by hash. */
	struct agent_peer_item {
		struct hash hash;
		char *data;
		size_t size;
		bool file;
	} items[AGENT_PEER_ITEMS];
	uint32_t item_count;
	json_t *stores;        /* envelopes of STOREs, for messages.json */
	/* What it heard. */
	uint32_t links, hellos, registers, reports, heartbeats, refused_links;
	uint32_t contents_asked, files_asked;
	bool got_ack, report_fits;
	stamp_t applied;
	enum crn_class class;
	struct agent_run runs[AGENT_PEER_ROWS];
	char reasons[AGENT_PEER_ROWS][FSM_TEXT_SIZE_MAX + 1];
	uint32_t run_count;
	char log[65536];       /* the last AGENT_LOG */
	bool log_heard;
};

/* Opens both listeners. `tls` is a replica's. */
void agent_peer_open(struct agent_peer *peer, uv_loop_t *loop,
		     struct stream_tls *tls, uint16_t port, uint16_t ccn_port);
void agent_peer_close(struct agent_peer *peer);
/* Adds bytes that are asked for by their sha256; copied. */
struct hash agent_peer_add(struct agent_peer *peer, const void *data,
			   size_t size, bool file);
/* Makes a program of the content: STORE for its code file, message, both
 * served; gives its hash. `file` is the code's hash; `store` (may be NULL) gets
 * the STORE's. */
struct hash agent_peer_program(struct agent_peer *peer, json_t *content,
			       const struct hash *file, const char *owner,
			       struct hash *store);
/* A signed STORE of `file` that follows the STORE `ref` of the same owner. */
void agent_peer_store(struct agent_peer *peer, const struct eth_key *key,
		      const struct hash *ref, const struct hash *file,
		      double time);
/* A new desired set, pushed at once. Gives its epoch. */
stamp_t agent_peer_desire(struct agent_peer *peer, const struct hash *program);
void agent_peer_undesire(struct agent_peer *peer);
void agent_peer_ask_log(struct agent_peer *peer, const struct hash *program);
/* The status last told of a program; NULL. */
const struct agent_run *agent_peer_run(const struct agent_peer *peer,
				       const struct hash *program);

#endif
