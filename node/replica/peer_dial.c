#include "node/replica/peer_dial.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/lib/crypto.h"
#include "node/lib/log.h"
#include "node/replica/peer.h"

#define DIAL_PAUSE_MS_MIN 100u
#define DIAL_PAUSE_MS_MAX 500u
#define DIAL_HANDSHAKE_MS 2000u

struct dial {
	struct peer_dialer *dialer;
	const struct core_peer *peer;
	uv_timer_t timer;
	struct stream *stream; /* on its way */
	bool told; /* the failure was logged; not each try again */
};

struct peer_dialer {
	uv_loop_t *loop;
	struct stream_tls *tls;
	struct core *core;
	bool closing;
	uint32_t count, open; /* handles and streams that are still there */
	void (*closed)(void *ctx);
	void *ctx;
	struct dial dials[CORE_PEERS_MAX];
};

static void on_timer(uv_timer_t *timer);

static void pause_dial(struct dial *dial)
{
	uint32_t chance;

	crypto_random(&chance, sizeof chance);
	uv_timer_start(&dial->timer, on_timer,
		       DIAL_PAUSE_MS_MIN + chance % (DIAL_PAUSE_MS_MAX -
						     DIAL_PAUSE_MS_MIN), 0);
}

static void release(struct peer_dialer *dialer)
{
	if (--dialer->open > 0 || !dialer->closing)
		return;
	dialer->closed(dialer->ctx);
	free(dialer);
}

static void on_open(void *ctx, struct stream *stream)
{
	struct dial *dial = ctx;
	struct peer_dialer *dialer = dial->dialer;
	struct stream_parcel *parcel;

	if (dialer->closing || stream_detach(stream, &parcel) != 0) {
		stream_close(stream, "stopping");
		return;
	}
	dial->stream = NULL;
	dial->told = false;
	core_peer_stream(dialer->core, dial->peer->id, parcel);
	pause_dial(dial);
	release(dialer);
}

static void on_frame(void *ctx, struct stream *stream, uint8_t type,
		     const uint8_t *payload, size_t size)
{
	(void)ctx;
	(void)stream;
	(void)type;
	(void)payload;
	(void)size;
}

static void on_closed(void *ctx, struct stream *stream,
		      const struct fault *fault)
{
	struct dial *dial = ctx;
	struct peer_dialer *dialer = dial->dialer;

	(void)stream;
	dial->stream = NULL;
	if (!dialer->closing) {
		if (!dial->told)
			log_warn("raft", "replica %" PRIu64 " at %s:%u: %s",
				 dial->peer->id, dial->peer->host,
				 dial->peer->raft_port, fault->text);
		dial->told = true;
		pause_dial(dial);
	}
	release(dialer);
}

static const struct stream_events dial_events = {
	.open = on_open,
	.frame = on_frame,
	.closed = on_closed,
};

static void connect_to(struct dial *dial)
{
	struct peer_dialer *dialer = dial->dialer;
	struct stream_options options = {
		.frame_size_max = REPLICA_FRAME_SIZE_MAX,
		.queue_size_max = PEER_QUEUE_SIZE_MAX,
		.handshake_ms = DIAL_HANDSHAKE_MS,
	};
	struct identity expected = *stream_tls_self(dialer->tls);

	snprintf(expected.name, sizeof expected.name, "%" PRIu64,
		 dial->peer->id);
	dialer->open++;
	if (stream_connect(&dial->stream, dialer->loop, dialer->tls,
			   dial->peer->host, dial->peer->raft_port, ALPN_RAFT,
			   &expected, &options, &dial_events, dial) == 0)
		return;
	dial->stream = NULL;
	dialer->open--;
	pause_dial(dial);
}

static void on_timer(uv_timer_t *timer)
{
	struct dial *dial = timer->data;

	if (core_peer_linked(dial->dialer->core, dial->peer->id))
		pause_dial(dial);
	else
		connect_to(dial);
}

static void dial_init(struct peer_dialer *dialer, const struct core_peer *peer)
{
	struct dial *dial = &dialer->dials[dialer->count++];

	dial->dialer = dialer;
	dial->peer = peer;
	uv_timer_init(dialer->loop, &dial->timer);
	dial->timer.data = dial;
	dialer->open++;
	uv_timer_start(&dial->timer, on_timer, 0, 0);
}

int peer_dialer_open(struct peer_dialer **out, uv_loop_t *loop,
		     struct stream_tls *tls, struct core *core, uint64_t self,
		     const struct core_peer *peers, uint32_t count)
{
	struct peer_dialer *dialer = calloc(1, sizeof *dialer);

	if (dialer == NULL)
		return BERTH_NOMEM;
	dialer->loop = loop;
	dialer->tls = tls;
	dialer->core = core;
	dialer->open = 1; /* ours, until close */
	for (uint32_t i = 0; i < count && i < CORE_PEERS_MAX; i++)
		if (peers[i].id > self)
			dial_init(dialer, &peers[i]);
	*out = dialer;
	return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct dial *dial = handle->data;

	release(dial->dialer);
}

void peer_dialer_close(struct peer_dialer *dialer, void (*closed)(void *ctx),
		       void *ctx)
{
	dialer->closing = true;
	dialer->closed = closed;
	dialer->ctx = ctx;
	for (uint32_t i = 0; i < dialer->count; i++) {
		uv_close((uv_handle_t *)&dialer->dials[i].timer,
			 on_timer_closed);
		if (dialer->dials[i].stream != NULL)
			stream_close(dialer->dials[i].stream, "stopping");
	}
	release(dialer);
}
