#include "tests/kit/sim_agents.h"

#include <stdlib.h>

#include "node/lib/clock.h"

#define LEASE_MS 4000u /* profile fast */

static void say(struct sim_agents *s, const struct sim_agent *a, uint8_t type,
		size_t size)
{
	struct agent_route route = { s->replica,
				     (uint64_t)(a - s->agents) + 1 };

	REQUIRE(size != 0);
	if (s->core != NULL)
		core_agent_frame(s->core, &route, &a->crn, type, s->frame,
				 size);
}

static void hello(struct sim_agents *s, struct sim_agent *a)
{
	struct agent_hello m = { .gen = a->gen, .crn = a->crn,
				 .boot = a->boot };

	memcpy(m.nonce, a->nonce, sizeof m.nonce);
	say(s, a, AGENT_HELLO,
	    agent_hello_encode(&m, s->frame, AGENT_FRAME_SIZE_MAX));
}

static void answer_challenge(struct sim_agents *s, struct sim_agent *a,
			     const void *payload, size_t size)
{
	struct command command = { .type = FSM_REGISTER };
	struct agent_challenge m;

	REQUIRE(agent_challenge_decode(payload, size, &m) == 0);
	if (a->session != 0)
		return;
	a->gen = m.gen;
	command.reg.gen = m.gen;
	command.reg.crn = a->crn;
	command.reg.host = a->host;
	command.reg.boot = a->boot;
	command.reg.prev = m.session;
	command.reg.k_ms = 900;
	command.reg.class = CRN_FENCED;
	memcpy(command.reg.nonce, a->nonce, sizeof a->nonce);
	say(s, a, AGENT_REGISTER, agent_command_encode(&command, s->frame,
						       AGENT_FRAME_SIZE_MAX));
}

static void report(struct sim_agents *s, struct sim_agent *a)
{
	struct command command = { .type = FSM_CRN_REPORT };

	command.report.crn = a->crn;
	command.report.session = a->session;
	command.report.vcpus = s->vcpus;
	command.report.memory_mib = 1u << 20;
	command.report.disk_mib = 1u << 20;
	command.report.url = (struct text){ "http://127.0.0.1:1", 18 };
	command.report.token_count = 1;
	command.report.tokens[0] = (struct text){ "runner:program", 14 };
	say(s, a, AGENT_REPORT, agent_command_encode(&command, s->frame,
						     AGENT_FRAME_SIZE_MAX));
}

static void heartbeat(struct sim_agents *s, struct sim_agent *a)
{
	struct agent_heartbeat m = { .gen = a->gen, .crn = a->crn,
				     .session = a->session, .seq = ++a->seq,
				     .applied = a->applied, .have = a->have,
				     .got_ack = a->got_ack };

	m.runs = a->runs;
	m.run_count = a->desired;
	s->heartbeats++;
	say(s, a, AGENT_HEARTBEAT,
	    agent_heartbeat_encode(&m, s->frame, AGENT_FRAME_SIZE_MAX));
}

static void take_ack(struct sim_agents *s, struct sim_agent *a,
		     const void *payload, size_t size)
{
	struct agent_register_ack m = { 0 };
	struct hash kept[64];

	m.kept = kept;
	m.kept_max = 64;
	REQUIRE(agent_register_ack_decode(payload, size, &m) == 0);
	if (a->session != 0)
		return;
	a->session = a->version = m.session;
	a->acked_ms = clock_monotonic_ms();
	report(s, a);
	heartbeat(s, a);
}

static void take_set(struct sim_agents *s, struct sim_agent *a,
		     const struct agent_reply *m)
{
	a->have = m->changed;
	a->applied = m->version;
	a->desired = m->desired_count;
	a->runs = realloc(a->runs, (m->desired_count + 1) * sizeof *a->runs);
	REQUIRE(a->runs != NULL);
	for (uint32_t i = 0; i < m->desired_count; i++)
		a->runs[i] = (struct agent_run){
			.program = s->rows[i].program, .gen = s->rows[i].gen,
			.epoch = s->rows[i].epoch, .status = RUN_RUNNING };
}

static void take_reply(struct sim_agents *s, struct sim_agent *a,
		       const void *payload, size_t size)
{
	struct agent_reply m = { .desired = s->rows,
				 .desired_max = AGENT_DESIRED_MAX };

	REQUIRE(agent_reply_decode(payload, size, &m) == 0);
	s->replies++;
	if (m.session != a->session || m.gen != a->gen)
		return;
	REQUIRE(m.ack_seq <= a->seq);
	if (m.ack_seq != 0) {
		a->got_ack = true;
		a->acked = m.ack_seq;
		a->acked_ms = clock_monotonic_ms();
		s->acks++;
	}
	if (m.version <= a->version)
		return;
	a->version = m.version;
	if (m.has_desired)
		take_set(s, a, &m);
}

void sim_agents_hear(struct sim_agents *s, const struct agent_route *route,
		     uint8_t type, const void *payload, size_t size)
{
	struct sim_agent *a = &s->agents[route->link - 1];

	if (type == AGENT_CHALLENGE)
		answer_challenge(s, a, payload, size);
	else if (type == AGENT_REGISTER_ACK)
		take_ack(s, a, payload, size);
	else if (type == AGENT_REPLY)
		take_reply(s, a, payload, size);
}

/* The lease ran out: nothing runs any more, and a new session is asked for
 * under a new nonce. */
static void look_at_lease(struct sim_agent *a)
{
	if (a->session == 0 || clock_monotonic_ms() - a->acked_ms < LEASE_MS)
		return;
	a->session = a->have = a->applied = a->version = 0;
	a->seq = a->acked = 0;
	a->got_ack = false;
	a->desired = 0;
	a->nonce[15]++;
}

static void on_timer(uv_timer_t *timer)
{
	struct sim_agents *s = timer->data;

	for (uint32_t i = 0; i < s->count; i++)
		look_at_lease(&s->agents[i]);
	for (uint32_t i = 0; i < s->count; i++)
		if (s->agents[i].session == 0)
			hello(s, &s->agents[i]);
		else
			heartbeat(s, &s->agents[i]);
}

void sim_agents_open(struct sim_agents *s, uv_loop_t *loop, uint32_t count,
		     uint32_t vcpus, uint32_t heartbeat_ms)
{
	memset(s, 0, sizeof *s);
	s->count = count;
	s->vcpus = vcpus;
	s->heartbeat_ms = heartbeat_ms;
	s->agents = calloc(count, sizeof *s->agents);
	s->rows = calloc(AGENT_DESIRED_MAX, sizeof *s->rows);
	s->frame = malloc(AGENT_FRAME_SIZE_MAX);
	REQUIRE(s->agents != NULL && s->rows != NULL && s->frame != NULL);
	for (uint32_t i = 0; i < count; i++) {
		struct sim_agent *a = &s->agents[i];

		memset(&a->host, 2, sizeof a->host);
		memset(&a->boot, 3, sizeof a->boot);
		memset(&a->crn, 4, sizeof a->crn);
		memcpy(&a->host, &i, sizeof i);
		memcpy(&a->boot, &i, sizeof i);
		memcpy(&a->crn, &i, sizeof i);
		memcpy(a->nonce, &i, sizeof i);
		a->nonce[15] = 1;
	}
	uv_timer_init(loop, &s->timer);
	s->timer.data = s;
	uv_timer_start(&s->timer, on_timer, heartbeat_ms, heartbeat_ms);
}

void sim_agents_close(struct sim_agents *s)
{
	uv_close((uv_handle_t *)&s->timer, NULL);
	for (uint32_t i = 0; i < s->count; i++)
		free(s->agents[i].runs);
	free(s->agents);
	free(s->rows);
	free(s->frame);
	s->agents = NULL;
	s->count = 0;
}

void sim_agents_lead(struct sim_agents *s, struct core *core, uint64_t replica)
{
	s->core = core;
	s->replica = replica;
}

uint32_t sim_agents_established(const struct sim_agents *s)
{
	uint32_t count = 0;

	/* The second acknowledgement answers a heartbeat with got_ack. */
	for (uint32_t i = 0; i < s->count; i++)
		count += s->agents[i].acked >= 2;
	return count;
}

uint64_t sim_agents_desired(const struct sim_agents *s)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < s->count; i++)
		count += s->agents[i].desired;
	return count;
}

/* --- clients ------------------------------------------------------------------ */

static struct sim_submit *submit_of(struct driver_client *client)
{
	return (struct sim_submit *)((char *)client -
				     offsetof(struct sim_submit, client));
}

static void on_result(struct driver_client *client,
		      const struct fsm_result *result)
{
	struct sim_submit *s = submit_of(client);

	s->ok += result->refusal == FSM_OK;
	s->refused += result->refusal != FSM_OK;
}

static void on_client_done(struct driver_client *client, int code,
			   uint64_t index)
{
	struct sim_submit *s = submit_of(client);

	s->code = code;
	s->index = index;
	core_call_finish(s->core, &s->call);
}

static void on_run(struct core *core, struct core_call *call)
{
	struct sim_submit *s = (struct sim_submit *)call;

	call->pending = true;
	driver_submit(core_driver(core), &s->client);
}

static void on_done(struct core_call *call)
{
	struct sim_submit *s = (struct sim_submit *)call;

	if (call->code != 0)
		s->code = call->code;
	if (s->done != NULL)
		s->done(s);
	free(s->data);
	free(s);
}

struct sim_submit *sim_submit_new(void)
{
	struct sim_submit *s = calloc(1, sizeof *s);

	REQUIRE(s != NULL);
	s->call.run = on_run;
	s->call.done = on_done;
	s->client.result = on_result;
	s->client.done = on_client_done;
	return s;
}

static bool submit_write(void *ctx, const void *data, size_t size)
{
	struct sim_submit *s = ctx;

	s->data = realloc(s->data, s->client.size + size);
	REQUIRE(s->data != NULL);
	memcpy(s->data + s->client.size, data, size);
	s->client.size += size;
	return true;
}

void sim_submit_add(struct sim_submit *s, const struct command *command)
{
	struct byte_sink sink = { s, submit_write };

	REQUIRE(command_encode(&sink, command));
	s->client.count++;
	s->client.commands = s->data;
}

void sim_submit_send(struct sim_submit *s, struct core *core)
{
	s->core = core;
	REQUIRE(core_post(core, &s->call) == 0);
}
