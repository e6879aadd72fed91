/* The shipped edge of a replica, as far as agents' frames go: the relay
 * (relay.c, relay_serve.c) and agents' links (agent_link.c), compiled here on
 * streams, timers and chance of the simulator's. edge.c has those, and the
 * few lines of the shipped edge.c and core.c that stand around them;
 * edge_check.c says what must hold at the relay's borders.
 */
#ifndef TESTS_SIM_WHOLE_EDGE_H
#define TESTS_SIM_WHOLE_EDGE_H

#include "tests/sim/whole/whole.h"

#include "node/replica/edge_internal.h"

/* Ids of replicas are never used again, and no file is written anew here. */
#undef CORE_PEERS_MAX
#define CORE_PEERS_MAX NODES_MAX

#define EDGE_TIMERS_MAX 4u

struct edge_timer {
	uv_timer_t *timer;
	uv_timer_cb cb;
	uint64_t due_ms, repeat_ms, starts;
	bool active;
};

/* A connection's end at a replica: of another replica, or of an agent. */
struct stream {
	struct edge_sim *sim;
	struct stream *next;
	const struct stream_events *events;
	void *ctx;
	uint64_t id;    /* the connection's; of an agent: its link */
	uint32_t other; /* number of the replica or the machine */
	bool agent, open, ending;
	uint64_t heard_ms;
	uint64_t number; /* what the relay calls an agent's link; 0: refused */
};

/* A frame that was given to the relay and did not leave yet. */
struct waiting {
	uint64_t at_us, hash;
	uint32_t to;
	bool up, done;
};

/* What the shipped code is given at the moment. */
enum hearing { HEAR_NOTHING = 0, HEAR_AGENT, HEAR_UP, HEAR_DOWN, HEAR_ANSWER };
struct heard {
	enum hearing what;
	bool may;        /* this is of our term, and we are the one to hear it */
	uint32_t count;  /* passed on */
	uint32_t from;   /* replica */
	uint64_t link;   /* the relay's number of it */
	uint8_t type;
	const uint8_t *data;
	size_t size, at;
};

struct edge_sim {
	struct node *node;
	uv_loop_t loop;
	struct edge edge;
	struct core_peer peers[NODES_MAX];
	struct edge_timer timers[EDGE_TIMERS_MAX];
	uint32_t timer_count;
	struct stream *streams;
	uint64_t dialled, woke_us; /* a timer came late: it was paused */
	struct chance chance;
	bool core_heard;
	uint64_t apart_us[NODES_MAX]; /* from a replica that can be reached */
	struct heard heard;
	struct waiting *waiting;
	uint32_t waiting_count, waiting_capacity;
};

/* edge_links.c */
uint64_t edge_link_number(const struct agent_links *links,
			  const struct stream *stream);

/* edge_check.c */
void check_linked(struct edge_sim *sim); /* now and then */
void check_given(struct edge_sim *sim, bool up, uint32_t to, uint64_t link,
		 const struct hash *crn, uint8_t type, const void *data,
		 size_t size);
void check_term(struct edge_sim *sim); /* nothing of the old one may leave */
void check_leaves(struct stream *stream, uint8_t type, const void *data,
		  size_t size);
struct heard check_begin(struct edge_sim *sim, enum hearing what,
			 const struct stream *stream, uint8_t type,
			 const uint8_t *data, size_t size);
void check_end(struct edge_sim *sim, const struct heard *before);
void check_core(struct edge_sim *sim, const struct agent_route *route,
		const struct hash *crn, uint8_t type, const void *data,
		size_t size);
void check_written(const struct stream *stream, uint8_t type,
		   const void *data, size_t size);

/* --- what the shipped files are compiled on ---------------------------------- */

void edge_log_line(enum log_level level, const char *area,
		   const char *format, ...) PRINTF_LIKE(3, 4);
void edge_random(void *data, size_t size);
uint64_t edge_now(const uv_loop_t *loop);
int edge_timer_init(uv_loop_t *loop, uv_timer_t *timer);
int edge_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t ms,
		     uint64_t repeat_ms);
int edge_timer_active(const uv_handle_t *handle);
void edge_timer_close(uv_handle_t *handle, uv_close_cb cb);
int edge_stream_connect(struct stream **out, uv_loop_t *loop,
			struct stream_tls *tls, const char *host,
			uint16_t port, const char *alpn,
			const struct identity *expected,
			const struct stream_options *options,
			const struct stream_events *events, void *ctx);
void edge_stream_take(struct stream *stream,
		      const struct stream_events *events, void *ctx);
int edge_stream_send(struct stream *stream, uint8_t type,
		     const struct stream_part *parts, uint32_t count);
void edge_stream_close(struct stream *stream, const char *why);
const char *edge_stream_address(const struct stream *stream);

#define log_line edge_log_line
#define crypto_random edge_random
#define uv_now edge_now
#define uv_timer_init edge_timer_init
#define uv_timer_start edge_timer_start
#define uv_is_active edge_timer_active
#define uv_close edge_timer_close
#define stream_connect edge_stream_connect
#define stream_take edge_stream_take
#define stream_send edge_stream_send
#define stream_close edge_stream_close
#define stream_address edge_stream_address

#endif
