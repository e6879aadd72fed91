#include "node/agent/link.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/lib/clock.h"
#include "node/lib/crypto.h"
#include "node/lib/log.h"

#define QUEUE_SIZE_MAX (8u << 20)
#define BACKOFF_MS_MIN 50u
#define BACKOFF_MS_MAX 3000u
#define HANDSHAKE_MS_MIN 500u
#define HANDSHAKE_MS_MAX 3000u

struct link {
	uv_loop_t *loop;
	struct stream_tls *tls;
	struct link_events events;
	void *ctx;
	uv_timer_t retry;
	struct stream *stream; /* open, the newest */
	struct stream *old;    /* open, without an answer for some time */
	struct stream *trial;  /* connecting: takes its place, or is the first */
	uint32_t streams;      /* not closed yet, those replaced included */
	bool closing, timer_gone;
	uint64_t since_ms;
	uint32_t backoff_ms, handshake_ms;
	uint32_t failures; /* since it was open */
	uint32_t next, count, told_next, told_count;
	char addresses[LINK_ADDRESSES_MAX][64]; /* configured */
	char told[LINK_ADDRESSES_MAX][64];
	char current[64], trying[64]; /* addresses of stream and trial */
};

static void connect_next(uv_timer_t *timer);

int link_address(const char *text, char *host, size_t host_size,
		 uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	size_t size;
	unsigned long value;
	char *end;

	if (!colon || colon == text || colon[1] < '0' || colon[1] > '9')
		return BERTH_INVALID;
	value = strtoul(colon + 1, &end, 10);
	if (*end || value > 65535)
		return BERTH_INVALID;
	size = (size_t)(colon - text);
	if (*text == '[' && colon[-1] == ']') {
		text++;
		size -= 2;
	}
	if (size == 0 || size >= host_size)
		return BERTH_INVALID;
	memcpy(host, text, size);
	host[size] = '\0';
	*port = (uint16_t)value;
	return 0;
}

static uint32_t jitter(uint32_t ms)
{
	uint32_t random;

	crypto_random(&random, sizeof random);
	return ms / 2 + random % (ms / 2 + 1);
}

static void free_if_done(struct link *link)
{
	if (link->closing && link->timer_gone && link->streams == 0)
		free(link);
}

static void retry(struct link *link)
{
	if (link->closing || link->trial ||
	    uv_is_active((uv_handle_t *)&link->retry))
		return;
	(void)uv_timer_start(&link->retry, connect_next,
			     jitter(link->backoff_ms), 0);
	link->backoff_ms *= 2;
	if (link->backoff_ms > BACKOFF_MS_MAX)
		link->backoff_ms = BACKOFF_MS_MAX;
}

/* Any replica of our own cluster will do, and nobody else. */
static bool peer_fits(struct link *link, const struct stream *stream)
{
	const struct identity *peer = stream_peer(stream);

	return peer->role == IDENTITY_REPLICA &&
	       strcmp(peer->cluster, stream_tls_self(link->tls)->cluster) == 0;
}

static void drop_old(struct link *link, const char *why)
{
	struct stream *old = link->old;

	link->old = NULL; /* its end is nobody's concern */
	if (old)
		stream_close(old, why);
}

/* Of two links the one that brings an answer is kept. That who leads changed
 * is no answer: every replica tells it. */
static void answered(struct link *link, struct stream *stream)
{
	if (!link->old)
		return;
	if (stream == link->old) {
		link->old = link->stream;
		link->stream = stream;
	}
	drop_old(link, "the other link answers");
}

static void opened(void *ctx, struct stream *stream)
{
	struct link *link = ctx;

	if (!peer_fits(link, stream)) {
		log_warn("link", "%s is no replica of our cluster",
			 stream_address(stream));
		stream_close(stream, "not a replica of our cluster");
		return;
	}
	log_info("link", "connected to replica %s at %s",
		 stream_peer(stream)->name, stream_address(stream));
	drop_old(link, "no acknowledgement");
	link->old = link->stream;
	link->stream = stream;
	link->trial = NULL;
	memcpy(link->current, link->trying, sizeof link->current);
	link->since_ms = clock_monotonic_ms();
	link->backoff_ms = BACKOFF_MS_MIN;
	link->failures = 0;
	link->events.up(link->ctx);
}

static void framed(void *ctx, struct stream *stream, uint8_t type,
		   const uint8_t *payload, size_t size)
{
	struct link *link = ctx;

	if ((stream != link->stream && stream != link->old) || link->closing)
		return;
	if (type != AGENT_REPLICAS)
		answered(link, stream);
	link->events.frame(link->ctx, type, payload, size);
}

static void closed(void *ctx, struct stream *stream, const struct fault *fault)
{
	struct link *link = ctx;
	bool was_open = stream == link->stream;
	bool was_trial = stream == link->trial;

	link->streams--;
	if (stream == link->old)
		link->old = NULL;
	if (was_open) {
		link->stream = link->old;
		link->old = NULL;
	}
	if (was_trial)
		link->trial = NULL;
	if (link->closing) {
		free_if_done(link);
		return;
	}
	if (was_open || was_trial)
		log_warn("link", "%s: %s",
			 was_open ? link->current : link->trying, fault->text);
	if (was_open && !link->stream)
		link->events.down(link->ctx);
	if (!link->stream)
		retry(link);
}

/* Members in turn; the configured list after each round of them without
 * success, for all that we were told of may be gone. */
static const char *next_address(struct link *link)
{
	uint32_t round = link->told_count + 1;
	uint32_t tried = link->failures++;

	if (link->told_count > 0 && tried % round != link->told_count) {
		const char *told =
			link->told[link->told_next++ % link->told_count];

		if (!link->stream || strcmp(told, link->current) != 0)
			return told;
		return link->told[link->told_next++ % link->told_count];
	}
	return link->addresses[link->next++ % link->count];
}

static void connect_next(uv_timer_t *timer)
{
	static const struct stream_events events = { opened, framed, closed };
	struct link *link = timer->data;
	const struct stream_options options = {
		.frame_size_max = AGENT_FRAME_SIZE_MAX,
		.queue_size_max = QUEUE_SIZE_MAX,
		.handshake_ms = link->handshake_ms,
	};
	char host[64];
	uint16_t port;

	snprintf(link->trying, sizeof link->trying, "%s", next_address(link));
	if (link_address(link->trying, host, sizeof host, &port) != 0 ||
	    stream_connect(&link->trial, link->loop, link->tls, host, port,
			   ALPN_AGENT, NULL, &options, &events, link) != 0) {
		link->trial = NULL;
		if (!link->stream)
			retry(link);
		return;
	}
	link->streams++;
}

bool link_up(const struct link *link)
{
	return link->stream != NULL;
}

uint64_t link_since_ms(const struct link *link)
{
	return link->since_ms;
}

int link_send(struct link *link, uint8_t type, const void *payload,
	      size_t size)
{
	struct stream_part part = { payload, size };

	if (!link->stream)
		return BERTH_CLOSED;
	if (link->old && stream_send(link->old, type, &part, 1) != 0)
		drop_old(link, "it takes no more");
	return stream_send(link->stream, type, &part, 1);
}

void link_rotate(struct link *link)
{
	if (link->stream)
		retry(link);
}

void link_settle(struct link *link)
{
	if (!link->stream || link->closing)
		return;
	uv_timer_stop(&link->retry);
	link->backoff_ms = BACKOFF_MS_MIN;
	link->failures = 0;
	if (link->trial)
		stream_close(link->trial, "the other link works");
}

void link_patience(struct link *link, uint64_t handshake_ms)
{
	link->handshake_ms = handshake_ms < HANDSHAKE_MS_MIN ?
				     HANDSHAKE_MS_MIN :
			     handshake_ms > HANDSHAKE_MS_MAX ?
				     HANDSHAKE_MS_MAX :
				     (uint32_t)handshake_ms;
}

static bool known(const struct link *link, const char *address)
{
	for (uint32_t i = 0; i < link->told_count; i++)
		if (strcmp(link->told[i], address) == 0)
			return true;
	return false;
}

/* Where the link goes to next is kept where it can be: each agent began at a
 * place of its own. */
void link_learn(struct link *link, const struct agent_replicas *replicas)
{
	char before[LINK_ADDRESSES_MAX][64];
	uint32_t count = link->told_count;
	char host[64];
	uint16_t port;

	if (replicas->count == 0)
		return;
	memcpy(before, link->told, sizeof before);
	link->told_count = 0;
	for (uint32_t i = 0; i < replicas->count; i++) {
		const char *address = replicas->rows[i].address;
		bool new = true;

		if (known(link, address) ||
		    link_address(address, host, sizeof host, &port) != 0)
			continue;
		for (uint32_t k = 0; k < count; k++)
			new = new && strcmp(before[k], address) != 0;
		snprintf(link->told[link->told_count++],
			 sizeof link->told[0], "%s", address);
		if (new)
			log_info("link", "learned of a replica at %s",
				 address);
	}
}

static int add_addresses(struct link *link, const char *const *addresses,
			 struct fault *fault)
{
	char host[64];
	uint16_t port;

	for (; *addresses && link->count < LINK_ADDRESSES_MAX; addresses++) {
		if (strlen(*addresses) >= sizeof link->addresses[0] ||
		    link_address(*addresses, host, sizeof host, &port) != 0)
			return fault_set(fault, BERTH_INVALID,
					 "replicas: \"%s\" is no host:port",
					 *addresses);
		snprintf(link->addresses[link->count++],
			 sizeof link->addresses[0], "%s", *addresses);
	}
	if (link->count == 0)
		return fault_set(fault, BERTH_INVALID, "replicas: none");
	return 0;
}

int link_open(struct link **out, uv_loop_t *loop, struct stream_tls *tls,
	      const char *const *addresses, const struct link_events *events,
	      void *ctx, struct fault *fault)
{
	struct link *link = calloc(1, sizeof *link);
	uint32_t random;
	int code;

	if (!link)
		return fault_set(fault, BERTH_NOMEM, "link");
	link->loop = loop;
	link->tls = tls;
	link->events = *events;
	link->ctx = ctx;
	link->backoff_ms = BACKOFF_MS_MIN;
	link->handshake_ms = HANDSHAKE_MS_MAX;
	code = add_addresses(link, addresses, fault);
	if (code == 0 && uv_timer_init(loop, &link->retry) < 0)
		code = fault_set(fault, BERTH_IO, "link: timer");
	if (code != 0) {
		free(link);
		return code;
	}
	link->retry.data = link;
	/* Agents spread over the replicas. */
	crypto_random(&random, sizeof random);
	link->next = random % link->count;
	link->told_next = random;
	(void)uv_timer_start(&link->retry, connect_next, 0, 0);
	*out = link;
	return 0;
}

static void timer_closed(uv_handle_t *handle)
{
	struct link *link = handle->data;

	link->timer_gone = true;
	free_if_done(link);
}

void link_close(struct link *link)
{
	link->closing = true;
	uv_close((uv_handle_t *)&link->retry, timer_closed);
	if (link->trial)
		stream_close(link->trial, "the agent ends");
	drop_old(link, "the agent ends");
	if (link->stream)
		stream_close(link->stream, "the agent ends");
}
