/* Agents as far as the consensus thread sees them: they register, report,
 * send heartbeats and follow desired sets, all over core_agent_frame, without
 * links or processes. On the edge loop. */
#ifndef TESTS_KIT_SIM_AGENTS_H
#define TESTS_KIT_SIM_AGENTS_H

#include "node/replica/core.h"

struct sim_agent {
	struct hash crn, host, boot;
	uint8_t nonce[16];
	uint64_t gen, seq, acked, acked_ms;
	stamp_t session, have, applied, version;
	bool got_ack;
	uint32_t desired; /* rows of its set */
	struct agent_run *runs; /* all running */
};

struct sim_agents {
	struct core *core; /* the leader's, or NULL */
	uint64_t replica;
	uint32_t count, heartbeat_ms, vcpus;
	struct sim_agent *agents;
	uv_timer_t timer;
	uint64_t heartbeats, replies, acks;
	struct desired_row *rows;
	uint8_t *frame;
};

void sim_agents_open(struct sim_agents *s, uv_loop_t *loop, uint32_t count,
		     uint32_t vcpus, uint32_t heartbeat_ms);
void sim_agents_close(struct sim_agents *s);
/* Where they send from now on. */
void sim_agents_lead(struct sim_agents *s, struct core *core,
		     uint64_t replica);
/* What core_events.agent_send was given. */
void sim_agents_hear(struct sim_agents *s, const struct agent_route *route,
		     uint8_t type, const void *payload, size_t size);
uint32_t sim_agents_established(const struct sim_agents *s);
uint64_t sim_agents_desired(const struct sim_agents *s);

/* A client's commands, submitted from the edge loop; frees itself after
 * `done` (which may be NULL) has been called there. */
struct sim_submit {
	struct core_call call;
	struct driver_client client;
	struct core *core;
	uint8_t *data;
	uint32_t ok, refused;
	int code;
	uint64_t index;
	void (*done)(struct sim_submit *s);
	void *ctx;
};
struct sim_submit *sim_submit_new(void);
void sim_submit_add(struct sim_submit *s, const struct command *command);
void sim_submit_send(struct sim_submit *s, struct core *core);

#endif
