/* What the files of the edge share. All on the edge loop unless said. */
#ifndef NODE_REPLICA_EDGE_INTERNAL_H
#define NODE_REPLICA_EDGE_INTERNAL_H

#include "node/lib/http_client.h"
#include "node/lib/httpd.h"
#include "node/lib/log.h"
#include "node/lib/metrics.h"
#include "node/replica/edge.h"

#define EDGE_LINKS_MAX 4096     /* agents' links */
#define EDGE_READ_TIMEOUT_MS 5000u

struct agent_links;
struct relay;
struct api;
struct store;
struct events;
struct intake;
struct intake_crns;
struct edge_read;
struct edge_view_job;

/* Counters told by /metrics; one name a row. */
#define EDGE_METRICS(X)                                                     \
	X(http_requests, "berth_http_requests_total", "HTTP requests.")     \
	X(forwarded, "berth_http_forwarded_total",                          \
	  "Requests forwarded to another replica.")                         \
	X(agent_links, "berth_agent_links_total", "Links of agents taken.") \
	X(agent_frames, "berth_agent_frames_total",                         \
	  "Frames of agents for the leader.")                               \
	X(agent_dropped, "berth_agent_frames_dropped_total",                \
	  "Frames of agents dropped for want of a leader or of room.")      \
	X(relayed_up, "berth_relay_up_total", "Frames relayed to the leader.") \
	X(relayed_down, "berth_relay_down_total",                           \
	  "Frames relayed to agents.")                                      \
	X(relay_stale, "berth_relay_stale_total",                           \
	  "Relay frames dropped: another term, or a link that is gone.")    \
	X(refused_links, "berth_links_refused_total",                       \
	  "Streams refused for protocol or identity.")                      \
	X(events, "berth_events_total", "Events written.")                  \
	X(events_lost, "berth_events_lost_total",                           \
	  "Events dropped because the disk did not follow.")                \
	X(intake_polls, "berth_intake_polls_total", "Complete snapshots.")  \
	X(intake_void, "berth_intake_void_total",                           \
	  "Snapshots void because a page failed.")                          \
	X(intake_taken, "berth_intake_taken_total", "Messages taken.")      \
	X(intake_refused, "berth_intake_refused_total", "Messages refused.")

struct edge_metrics {
#define X(field, name, help) struct metric field;
	EDGE_METRICS(X)
#undef X
};

struct edge {
	uv_loop_t *loop;
	struct edge_config config;
	struct core *core; /* NULL until edge_set_core */
	uint64_t leader, term;
	uint64_t member_ids[REPLICA_MEMBERS_MAX]; /* none: not told yet */
	uint32_t member_count;
	stamp_t programs_changed, crns_changed;
	bool closing;
	struct stream_listener *listener;
	struct httpd *httpd;
	struct http_client *http;
	struct agent_links *agents;
	struct relay *relay;
	struct api *api;
	struct store *store;
	struct events *events;
	struct intake *intake;
	struct intake_crns *crns;
	struct edge_metrics metrics;

	uv_timer_t applied_timer; /* polls the applied index while waited for */
	uv_timer_cb applied_poll;
	uint64_t applied_seen;
	bool applied_polling;
	struct core_call applied_call;
	struct edge_read *reads_applied; /* wait for the local apply */
	struct edge_read *reads_waiting; /* wait for a leader */
	struct edge_view_job *views_next, **views_tail;
	bool viewing;

	uint32_t busy; /* calls and jobs under way; close waits for zero */
	void (*fatal)(void *ctx, const struct fault *fault);
	void *fatal_ctx;
	void (*closed)(void *ctx);
	void *closed_ctx;
	uv_timer_t close_timer, sweep_timer;
};

/* Counts what must come back before the edge may be freed. */
void edge_hold(struct edge *edge);
void edge_release(struct edge *edge);

bool edge_is_leader(const struct edge *edge);
const struct core_peer *edge_peer(const struct edge *edge, uint64_t id);
/* In the cluster as far as is known here, and not only in our file. */
bool edge_is_member(const struct edge *edge, uint64_t id);

/* --- edge_say.c: the log -------------------------------------------------- */

void edge_say_effects(const struct edge *edge, const struct fsm_effect *effects,
		      uint32_t count);
void edge_say_leader(const struct edge *edge, uint64_t leader, uint64_t term);

/* --- edge_read.c: a linearizable read ------------------------------------- */

/* `done` is called once the local state holds all that was committed when
 * this was asked. Codes: 0, NOTLEADER (nobody leads), BUSY, TIMEOUT. If
 * `want_run` the leader also tells how `program` runs (has_run). */
struct edge_read {
	struct edge_read *next;
	void *ctx;
	void (*done)(struct edge_read *read, int code);
	bool want_run, has_run;
	struct hash program;
	struct agent_run run; /* reason points to `reason` */
	char reason[FSM_TEXT_SIZE_MAX];
	uint64_t index;
	/* edge_read.c's */
	struct edge *edge;
	uint64_t deadline_ms;
	struct core_call call;
	struct replica_read engine;
	struct relay_ask *ask;
	bool wait_applied, in_run, finished;
};
void edge_read(struct edge *edge, struct edge_read *read);
/* The leader's side alone: the index, not waiting for the apply. */
void edge_read_engine(struct edge *edge, struct edge_read *read);
void edge_read_leader(struct edge *edge); /* leader changed: try again */
void edge_read_applied(struct edge *edge, uint64_t index);
void edge_read_open(struct edge *edge);
void edge_read_close(struct edge *edge);

/* --- edge_view.c: work on a frozen view in the pool ----------------------- */

struct edge_view_job {
	struct edge_view_job *next;
	/* Any thread; the view is good until return. */
	void (*work)(struct edge_view_job *job, const struct fsm_view *view);
	/* The edge loop. Codes: 0, BUSY, CLOSED. */
	void (*done)(struct edge_view_job *job, int code);
	uint64_t index, age_ms; /* of the view */
};
void edge_view(struct edge *edge, struct edge_view_job *job);

/* --- edge_submit.c: commands to the leader's driver ----------------------- */

struct edge_submit {
	struct edge *edge;
	struct core_call call;
	struct driver_client client;
	uint8_t *data;
	size_t size, capacity;
	uint32_t count, result_count;
	struct fsm_result *results; /* `count` of them once done with 0 */
	uint64_t index;
	bool failed, in_run, finished;
	void *ctx;
	/* Called once; then the submit is freed. Codes: 0, NOTLEADER, BUSY
	 * (surely not done), UNKNOWN_OUTCOME, NOMEM. */
	void (*done)(struct edge_submit *submit, int code);
};
struct edge_submit *edge_submit_open(struct edge *edge); /* NULL: no memory */
void edge_submit_add(struct edge_submit *submit, const struct command *command);
void edge_submit_send(struct edge_submit *submit);
void edge_submit_drop(struct edge_submit *submit); /* instead of send */

#endif
