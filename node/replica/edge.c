#include "node/replica/edge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "node/lib/crypto.h"
#include "node/replica/agent_link.h"
#include "node/replica/api.h"
#include "node/replica/events.h"
#include "node/replica/intake.h"
#include "node/replica/relay.h"
#include "node/replica/store.h"

#define AGENT_IDLE_MS 60000u
#define BODY_SIZE_MAX (4u << 20)
#define HTTP_TIMEOUT_MS 10000u
#define HTTP_CONNECTIONS_MAX 1024u
#define HTTP_HELD_MAX (256u << 20) /* bytes on their way */
#define SWEEP_MS 300000u

void edge_hold(struct edge *edge)
{
	edge->busy++;
}

void edge_release(struct edge *edge)
{
	REQUIRE(edge->busy > 0);
	edge->busy--;
}

bool edge_is_leader(const struct edge *edge)
{
	return edge->core && edge->leader == edge->config.id;
}

const struct core_peer *edge_peer(const struct edge *edge, uint64_t id)
{
	for (uint32_t i = 0; i < edge->config.peer_count; i++)
		if (edge->config.peers[i].id == id)
			return &edge->config.peers[i];
	return NULL;
}

/* --- what the core says --------------------------------------------------- */

static void on_agent_send(void *ctx, const struct agent_route *route,
			  uint8_t type, const void *payload, size_t size)
{
	struct edge *edge = ctx;

	if (edge->closing)
		return;
	if (route->replica == edge->config.id)
		(void)agent_links_write(edge->agents, route->link, type,
					payload, size);
	else
		(void)relay_agent_down(edge->relay, route->replica,
				       route->link, type, payload, size);
}

static void on_effects(void *ctx, const struct fsm_effect *effects,
		       uint32_t count)
{
	struct edge *edge = ctx;

	events_add(edge->events, effects, count);
	edge_say_effects(edge, effects, count);
}

static void on_leader(void *ctx, uint64_t leader, uint64_t term)
{
	struct edge *edge = ctx;

	if (edge->closing)
		return;
	if (leader != edge->leader)
		edge_say_leader(edge, leader, term);
	edge->leader = leader;
	edge->term = term;
	relay_term(edge->relay);
	agent_links_leader(edge->agents);
	intake_leader(edge->intake);
	intake_crns_leader(edge->crns);
	edge_read_leader(edge);
	api_wake(edge->api);
}

bool edge_is_member(const struct edge *edge, uint64_t id)
{
	for (uint32_t i = 0; i < edge->member_count; i++)
		if (edge->member_ids[i] == id)
			return true;
	return edge->member_count == 0;
}

static void on_members(void *ctx, const uint64_t *ids, uint32_t count)
{
	struct edge *edge = ctx;

	memcpy(edge->member_ids, ids, count * sizeof *ids);
	edge->member_count = count;
	if (!edge->closing && edge->core)
		agent_links_leader(edge->agents);
}

static void on_changed(void *ctx, stamp_t programs, stamp_t crns,
		       uint64_t index)
{
	struct edge *edge = ctx;
	bool moved = programs != edge->programs_changed ||
		     crns != edge->crns_changed;

	edge->programs_changed = programs;
	edge->crns_changed = crns;
	if (edge->closing)
		return;
	edge_read_applied(edge, index);
	if (moved)
		api_wake(edge->api);
}

static void on_fatal(void *ctx, const struct fault *fault)
{
	struct edge *edge = ctx;

	edge->fatal(edge->fatal_ctx, fault);
}

void edge_core_events(struct edge *edge, struct core_events *out,
		      void (*fatal)(void *ctx, const struct fault *fault),
		      void *fatal_ctx)
{
	edge->fatal = fatal;
	edge->fatal_ctx = fatal_ctx;
	*out = (struct core_events){
		.ctx = edge, .agent_send = on_agent_send,
		.effects = on_effects, .leader = on_leader,
		.members = on_members, .changed = on_changed, .fatal = on_fatal,
	};
}

void edge_set_core(struct edge *edge, struct core *core)
{
	edge->core = core;
	/* What the core said meanwhile was kept; now it can be acted on. */
	on_leader(edge, edge->leader, edge->term);
}

/* --- the listener --------------------------------------------------------- */

static void refuse(struct edge *edge, struct stream *stream, const char *why)
{
	char who[160];

	identity_text(stream_peer(stream), who, sizeof who);
	log_warn("edge", "refused %s (%s, %s): %s", stream_address(stream),
		 who, stream_alpn(stream), why);
	metric_add(&edge->metrics.refused_links, 1);
	stream_close(stream, why);
}

static bool replica_id(const struct identity *identity, uint64_t *id)
{
	char *end;

	if (identity->role != IDENTITY_REPLICA)
		return false;
	*id = strtoull(identity->name, &end, 10);
	return *id && !*end;
}

static void accept_replica(struct edge *edge, struct stream *stream)
{
	struct stream_parcel *parcel;
	uint64_t id;

	if (!replica_id(stream_peer(stream), &id) ||
	    !edge_peer(edge, id) || id == edge->config.id) {
		refuse(edge, stream, "not a replica of this cluster");
	} else if (!strcmp(stream_alpn(stream), ALPN_PEER)) {
		relay_accept(edge->relay, id, stream);
	} else if (!edge->core) {
		refuse(edge, stream, "the engine is not ready");
	} else if (stream_detach(stream, &parcel)) {
		refuse(edge, stream, "cannot be handed over");
	} else {
		core_peer_stream(edge->core, id, parcel);
	}
}

static void on_accept(void *ctx, struct stream *stream)
{
	struct edge *edge = ctx;
	const struct identity *peer = stream_peer(stream);
	struct hash crn;

	if (edge->closing)
		stream_close(stream, "shutting down");
	else if (strcmp(peer->cluster, edge->config.cluster))
		refuse(edge, stream, "a certificate of another cluster");
	else if (strcmp(stream_alpn(stream), ALPN_AGENT))
		accept_replica(edge, stream);
	else if (peer->role != IDENTITY_CRN || hash_parse(peer->name, &crn))
		refuse(edge, stream, "not a CRN's certificate");
	else
		agent_links_accept(edge->agents, &crn, stream);
}

static int listen_streams(struct edge *edge, struct fault *fault)
{
	static const char *const alpns[] = { ALPN_RAFT, ALPN_PEER, ALPN_AGENT,
					     NULL };
	const struct stream_options options = {
		.frame_size_max = PEER_FRAME_SIZE_MAX + (64u << 10),
		.queue_size_max = 32u << 20,
		.idle_ms = AGENT_IDLE_MS,
	};

	return stream_listen(&edge->listener, edge->loop, edge->config.tls,
			     edge->config.listen_host,
			     edge->config.listen_port, alpns, &options,
			     on_accept, edge, fault);
}

/* --- HTTP ----------------------------------------------------------------- */

static int listen_http(struct edge *edge, struct fault *fault)
{
	const struct edge_config *c = &edge->config;
	const struct httpd_options options = {
		.body_size_max = BODY_SIZE_MAX,
		.timeout_ms = HTTP_TIMEOUT_MS,
		.connections_max = HTTP_CONNECTIONS_MAX,
		.held_max = HTTP_HELD_MAX,
		.server = "berth",
		/* libwebsockets 4.1 may give a later POST of a connection
		 * its own head as its body (httpd.h). */
		.close_each = true,
	};
	char path[4096];
	const struct httpd_listen listens[] = {
		{ .kind = HTTPD_TCP, .host = c->http_host,
		  .port = c->http_port },
		{ .kind = HTTPD_UNIX, .path = path },
		{ .kind = HTTPD_TLS, .host = c->admin_host,
		  .port = c->admin_port, .pki = c->pki },
	};

	snprintf(path, sizeof path, "%s/admin.sock", c->directory);
	return httpd_open(&edge->httpd, edge->loop, listens,
			  c->admin_host ? 3 : 2, &options, api_handle,
			  edge->api, fault);
}

/* --- opening and closing -------------------------------------------------- */

static void init_metrics(struct edge_metrics *m)
{
#define X(field, metric_name, metric_help)       \
	m->field.name = metric_name;             \
	m->field.help = metric_help;             \
	m->field.kind = METRIC_COUNTER;
	EDGE_METRICS(X)
#undef X
}

static void sweep(uv_timer_t *timer)
{
	struct edge *edge = timer->data;

	if (edge->core && !edge->closing)
		store_sweep_start(edge->store);
}

static int open_parts(struct edge *edge, struct fault *fault)
{
	const char *directory = edge->config.directory;
	int code;

	if (mkdir(directory, 0700) && errno != EEXIST)
		return fault_set(fault, BERTH_IO, "make %s: %s", directory,
				 strerror(errno));
	code = store_open(&edge->store, edge, directory, fault);
	if (!code)
		code = events_open(&edge->events, edge, directory, fault);
	if (!code)
		code = http_client_open(&edge->http, edge->loop, fault);
	if (code)
		return code;
	if (agent_links_open(&edge->agents, edge) ||
	    relay_open(&edge->relay, edge) || api_open(&edge->api, edge) ||
	    intake_open(&edge->intake, edge) ||
	    intake_crns_open(&edge->crns, edge))
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	code = listen_streams(edge, fault);
	return code ? code : listen_http(edge, fault);
}

static void unopened(void *ctx)
{
	*(bool *)ctx = true;
}

int edge_open(struct edge **out, uv_loop_t *loop,
	      const struct edge_config *config, struct fault *fault)
{
	struct edge *edge = calloc(1, sizeof *edge);
	bool gone = false;
	int code;

	if (!edge)
		return fault_set(fault, BERTH_NOMEM, "edge");
	edge->loop = loop;
	edge->config = *config;
	init_metrics(&edge->metrics);
	edge_read_open(edge);
	uv_timer_init(loop, &edge->sweep_timer);
	edge->sweep_timer.data = edge;
	uv_timer_start(&edge->sweep_timer, sweep, SWEEP_MS, SWEEP_MS);
	code = open_parts(edge, fault);
	if (code) {
		/* Runs what must be run for the handles to go. */
		edge_close(edge, unopened, &gone);
		while (!gone)
			uv_run(loop, UV_RUN_ONCE);
		return code;
	}
	*out = edge;
	return 0;
}

static void freed(uv_handle_t *handle)
{
	struct edge *edge = handle->data;
	void (*closed)(void *) = edge->closed;
	void *ctx = edge->closed_ctx;

	agent_links_free(edge->agents);
	relay_free(edge->relay);
	api_finish(edge->api);
	intake_free(edge->intake);
	intake_crns_free(edge->crns);
	events_free(edge->events);
	if (edge->store)
		store_close(edge->store);
	free(edge);
	if (closed)
		closed(ctx);
}

/* Everything that holds the edge lets go by itself: streams when closed, calls
 * when the core answers, questions when their links end. */
static void close_wait(uv_timer_t *timer)
{
	struct edge *edge = timer->data;

	if (edge->busy)
		return;
	uv_close((uv_handle_t *)&edge->applied_timer, NULL);
	uv_close((uv_handle_t *)&edge->sweep_timer, NULL);
	uv_close((uv_handle_t *)timer, freed);
}

static void part_closed(void *ctx)
{
	edge_release(ctx);
}

void edge_close(struct edge *edge, void (*closed)(void *ctx), void *ctx)
{
	edge->closing = true;
	edge->closed = closed;
	edge->closed_ctx = ctx;
	if (edge->listener)
		stream_listener_close(edge->listener);
	edge_read_close(edge);
	if (edge->intake)
		intake_close(edge->intake);
	if (edge->crns)
		intake_crns_close(edge->crns);
	if (edge->api)
		api_close(edge->api);
	if (edge->events)
		events_close(edge->events);
	if (edge->relay)
		relay_close(edge->relay);
	if (edge->agents)
		agent_links_close(edge->agents);
	if (edge->http) {
		edge_hold(edge);
		http_client_close(edge->http, part_closed, edge);
	}
	if (edge->httpd) {
		edge_hold(edge);
		httpd_close(edge->httpd, part_closed, edge);
	}
	uv_timer_init(edge->loop, &edge->close_timer);
	edge->close_timer.data = edge;
	uv_timer_start(&edge->close_timer, close_wait, 1, 5);
}
