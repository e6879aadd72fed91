/* Replicas of one cluster in this process: consensus threads over TLS on the
 * loopback and real files, with pretended agents. The edge is what the test
 * is: its loop, its events. */
#ifndef TESTS_KIT_CORES_H
#define TESTS_KIT_CORES_H

#include "tests/kit/certs.h"
#include "tests/kit/sim_agents.h"

#define CORES_MAX 5u

struct cores;
struct cores_replica {
	struct cores *all;
	uint64_t id, leader, term, index;
	uint32_t assigned, gaps; /* effects seen since it was opened */
	struct core *core; /* NULL: stopped */
	struct stream_tls *tls;
	struct stream_listener *listener;
	struct peer_dialer *dialer;
	bool closing;
	bool may_stop;      /* a fatal fault is kept and no failure */
	struct fault fatal; /* code 0: none */
	char directory[CERTS_PATH_SIZE + 16];
	char trail[CERTS_PATH_SIZE + 16]; /* the audit trail's folder */
};

struct cores {
	uv_loop_t loop;
	char root[CERTS_PATH_SIZE];
	uint32_t count;
	uint16_t port; /* replica i listens on port + i */
	uint32_t snapshot_entries, trailing, audit_entries; /* of replicas started later */
	uint64_t trail_size; /* the same; 0: no audit trail */
	struct cores_replica replicas[CORES_MAX];
	struct core_peer peers[CORES_MAX];
	struct sim_agents agents;
};

/* Everything here asserts (REQUIRE). */
void cores_open(struct cores *c, uint32_t count, uint16_t port,
		uint32_t agent_count, uint32_t vcpus, uint32_t heartbeat_ms);
void cores_start(struct cores *c, uint64_t id);
/* Opens a stopped one's directory, which must be refused: the code. */
int cores_refused(struct cores *c, uint64_t id, struct fault *fault);
/* Returns when it is closed. */
void cores_stop(struct cores *c, uint64_t id);
void cores_close(struct cores *c);
/* The replica that all that run say leads, or NULL. */
struct cores_replica *cores_leader(struct cores *c);
/* Runs the loop until it is so; panics with `what` after 60 s. */
void cores_wait(struct cores *c, bool (*until)(struct cores *c, void *ctx),
		void *ctx, const char *what);
void cores_wait_leader(struct cores *c);
/* Lets the agents register and waits until they are established. */
void cores_admit(struct cores *c);

#endif
