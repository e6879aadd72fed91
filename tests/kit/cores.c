#include "tests/kit/cores.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "node/lib/clock.h"
#include "node/replica/conf.h"
#include "node/replica/peer.h"
#include "node/replica/peer_dial.h"

#define PATIENCE_MS 60000u

static _Noreturn void fail(const char *what, const struct fault *fault)
{
	fprintf(stderr, "cores: %s%s%s\n", what, fault ? ": " : "",
		fault ? fault->text : "");
	abort();
}

static void on_send(void *ctx, const struct agent_route *route, uint8_t type,
		    const void *payload, size_t size)
{
	struct cores_replica *r = ctx;

	if (r->all->agents.replica == r->id)
		sim_agents_hear(&r->all->agents, route, type, payload, size);
}

static void on_effects(void *ctx, const struct fsm_effect *effects,
		       uint32_t count)
{
	struct cores_replica *r = ctx;

	for (uint32_t i = 0; i < count; i++) {
		if (effects[i].type == CORE_EFFECT_GAP)
			r->gaps++;
		else if (effects[i].type == EFFECT_ASSIGNED)
			r->assigned++;
	}
}

static void on_leader(void *ctx, uint64_t leader, uint64_t term)
{
	struct cores_replica *r = ctx;

	r->leader = leader;
	r->term = term;
	if (leader == r->id && !r->closing)
		sim_agents_lead(&r->all->agents, r->core, leader);
}

static void on_changed(void *ctx, stamp_t programs, stamp_t crns,
		       uint64_t index)
{
	struct cores_replica *r = ctx;

	(void)programs;
	(void)crns;
	REQUIRE(index >= r->index);
	r->index = index;
}

static void on_fatal(void *ctx, const struct fault *fault)
{
	struct cores_replica *r = ctx;

	if (!r->may_stop)
		fail("a replica stopped", fault);
	r->fatal = *fault;
}

static void on_accept(void *ctx, struct stream *stream)
{
	struct cores_replica *r = ctx;
	struct stream_parcel *parcel;
	uint64_t id = strtoull(stream_peer(stream)->name, NULL, 10);

	if (r->core != NULL && !r->closing &&
	    stream_detach(stream, &parcel) == 0)
		core_peer_stream(r->core, id, parcel);
	else
		stream_close(stream, "stopping");
}

static void open_listener(struct cores *c, struct cores_replica *r)
{
	static const char *const alpns[] = { ALPN_RAFT, NULL };
	const struct stream_options options = {
		.frame_size_max = REPLICA_FRAME_SIZE_MAX,
		.queue_size_max = PEER_QUEUE_SIZE_MAX };
	struct fault fault;

	if (stream_listen(&r->listener, &c->loop, r->tls, "127.0.0.1",
			  (uint16_t)(c->port + r->id), alpns, &options,
			  on_accept, r, &fault) != 0)
		fail("listen", &fault);
}

static int open_core(struct cores *c, struct cores_replica *r,
		     struct fault *fault)
{
	const struct core_events events = {
		.ctx = r, .agent_send = on_send, .effects = on_effects,
		.leader = on_leader, .changed = on_changed,
		.fatal = on_fatal };
	struct core_config config = {
		.directory = r->directory,
		.replica = { .id = r->id, .cluster = "cores",
			     .election_ms = 500, .heartbeat_ms = 100,
			     .snapshot_entries = c->snapshot_entries,
			     .trailing = c->trailing },
		.member_count = c->count, .bootstrap = true,
		.trail_directory = r->trail, .trail_size = c->trail_size,
		.audit_entries = c->audit_entries };

	REQUIRE(conf_profile("fast", &config.initial));
	config.initial.watchdog_none_ok = true;
	for (uint32_t i = 0; i < c->count; i++) {
		config.members[i].id = i + 1;
		config.members[i].role = ROLE_VOTER;
	}
	return core_open(&r->core, &config, &c->loop, &events, fault);
}

int cores_refused(struct cores *c, uint64_t id, struct fault *fault)
{
	struct cores_replica *r = &c->replicas[id - 1];
	int code = open_core(c, r, fault);

	REQUIRE(code != 0 && r->core == NULL);
	return code;
}

void cores_start(struct cores *c, uint64_t id)
{
	struct cores_replica *r = &c->replicas[id - 1];
	struct fault fault;

	r->fatal.code = 0;
	r->leader = r->term = r->index = 0;
	r->assigned = 0;
	r->gaps = 0;
	r->closing = false;
	open_listener(c, r);
	if (open_core(c, r, &fault) != 0)
		fail("open", &fault);
	REQUIRE(peer_dialer_open(&r->dialer, &c->loop, r->tls, r->core, id,
				 c->peers, c->count) == 0);
}

static void on_core_closed(void *ctx)
{
	struct cores_replica *r = ctx;

	r->core = NULL;
}

static void on_dialer_closed(void *ctx)
{
	struct cores_replica *r = ctx;

	stream_listener_close(r->listener);
	core_close(r->core, on_core_closed, r);
}

static bool is_closed(struct cores *c, void *ctx)
{
	(void)c;
	return ((struct cores_replica *)ctx)->core == NULL;
}

void cores_stop(struct cores *c, uint64_t id)
{
	struct cores_replica *r = &c->replicas[id - 1];

	r->closing = true;
	if (c->agents.core == r->core)
		sim_agents_lead(&c->agents, NULL, 0);
	peer_dialer_close(r->dialer, on_dialer_closed, r);
	cores_wait(c, is_closed, r, "a replica does not close");
}

void cores_open(struct cores *c, uint32_t count, uint16_t port,
		uint32_t agent_count, uint32_t vcpus, uint32_t heartbeat_ms)
{
	char name[32], id[16];

	memset(c, 0, sizeof *c);
	c->count = count;
	c->port = port;
	uv_loop_init(&c->loop);
	certs_folder(c->root);
	certs_authority(c->root, "cores", "cores");
	sim_agents_open(&c->agents, &c->loop, agent_count, vcpus,
			heartbeat_ms);
	for (uint32_t i = 0; i < count; i++) {
		struct cores_replica *r = &c->replicas[i];

		r->all = c;
		r->id = c->peers[i].id = i + 1;
		snprintf(c->peers[i].host, sizeof c->peers[i].host,
			 "127.0.0.1");
		c->peers[i].raft_port = (uint16_t)(port + i + 1);
		snprintf(r->directory, sizeof r->directory, "%s/data%u",
			 c->root, i + 1);
		snprintf(r->trail, sizeof r->trail, "%s/trail%u", c->root,
			 i + 1);
		REQUIRE(mkdir(r->trail, 0700) == 0);
		snprintf(name, sizeof name, "r%u", i + 1);
		snprintf(id, sizeof id, "%u", i + 1);
		certs_issue(c->root, "cores", name, "cores", IDENTITY_REPLICA,
			    id);
		r->tls = certs_open(c->root, name);
	}
	for (uint32_t i = 0; i < count; i++)
		cores_start(c, i + 1);
}

void cores_close(struct cores *c)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (c->replicas[i].core != NULL)
			cores_stop(c, i + 1);
	sim_agents_close(&c->agents);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	for (uint32_t i = 0; i < c->count; i++)
		stream_tls_close(c->replicas[i].tls);
	REQUIRE(uv_loop_close(&c->loop) == 0);
	certs_remove(c->root);
}

struct cores_replica *cores_leader(struct cores *c)
{
	uint64_t leader = 0;

	for (uint32_t i = 0; i < c->count; i++) {
		const struct cores_replica *r = &c->replicas[i];

		if (r->core == NULL)
			continue;
		if (r->leader == 0 || (leader != 0 && r->leader != leader))
			return NULL;
		leader = r->leader;
	}
	if (leader == 0 || c->replicas[leader - 1].core == NULL)
		return NULL;
	return &c->replicas[leader - 1];
}

static void on_wake(uv_timer_t *timer)
{
	(void)timer;
}

static void on_wake_closed(uv_handle_t *handle)
{
	free(handle);
}

void cores_wait(struct cores *c, bool (*until)(struct cores *c, void *ctx),
		void *ctx, const char *what)
{
	uint64_t end_ms = clock_monotonic_ms() + PATIENCE_MS;
	uv_timer_t *wake = malloc(sizeof *wake);

	REQUIRE(wake != NULL);
	uv_timer_init(&c->loop, wake);
	uv_timer_start(wake, on_wake, 20, 20);
	while (!until(c, ctx)) {
		if (clock_monotonic_ms() > end_ms)
			fail(what, NULL);
		uv_run(&c->loop, UV_RUN_ONCE);
	}
	uv_close((uv_handle_t *)wake, on_wake_closed);
}

static bool led(struct cores *c, void *ctx)
{
	(void)ctx;
	return cores_leader(c) != NULL;
}

void cores_wait_leader(struct cores *c)
{
	cores_wait(c, led, NULL, "no leader");
}

/* --- agents ------------------------------------------------------------------ */

struct admission {
	uint32_t ok;
	bool done;
};

static void on_admitted(struct sim_submit *s)
{
	struct admission *a = s->ctx;

	REQUIRE(s->code == 0);
	a->ok = s->ok;
	a->done = true;
}

static bool admitted(struct cores *c, void *ctx)
{
	(void)c;
	return ((struct admission *)ctx)->done;
}

static bool established(struct cores *c, void *ctx)
{
	(void)ctx;
	return sim_agents_established(&c->agents) == c->agents.count;
}

void cores_admit(struct cores *c)
{
	struct sim_submit *s = sim_submit_new();
	struct command put = { .type = FSM_CRN_PUT };
	struct admission admission = { .done = false };

	for (uint32_t i = 0; i < c->agents.count; i++) {
		put.crn_put.crn = c->agents.agents[i].crn;
		put.crn_put.name = (struct text){ "crn", 3 };
		put.crn_put.linked = true;
		sim_submit_add(s, &put);
	}
	s->done = on_admitted;
	s->ctx = &admission;
	sim_submit_send(s, cores_leader(c)->core);
	cores_wait(c, admitted, &admission, "CRNs are not admitted");
	REQUIRE(admission.ok == c->agents.count);
	cores_wait(c, established, NULL, "agents are not established");
}
