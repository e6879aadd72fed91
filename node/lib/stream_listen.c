#include "node/lib/stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/lib/log.h"
#include "node/lib/stream_inner.h"

#define BACKLOG 128
#define HANDSHAKES_MAX 256
#define HANDSHAKES_PER_SOURCE_MAX 64
#define REFUSALS_PER_SECOND_MAX 20

struct stream_listener {
	uv_tcp_t tcp;
	uv_loop_t *loop;
	struct stream_tls *tls;
	struct stream_options options;
	uint8_t offer[STREAM_ALPN_SIZE_MAX];
	size_t offer_size;
	char address[STREAM_ADDRESS_SIZE];
	void (*accept)(void *ctx, struct stream *stream);
	void *ctx;
	struct stream *handshakes;
	uint32_t handshake_count;
	uint32_t waiting; /* connections that the backlog holds back */
	uint64_t second, logged, unlogged;
	bool closing, gone;
};

static void take_connection(struct stream_listener *listener);

/* The listener outlives its handle until its handshakes have left. */
static void maybe_free(struct stream_listener *listener)
{
	if (!listener->gone || listener->handshakes)
		return;
	stream_tls_close(listener->tls);
	free(listener);
}

static void enter(struct stream_listener *listener, struct stream *stream)
{
	stream->listener = listener;
	stream->next = listener->handshakes;
	if (stream->next)
		stream->next->prev = stream;
	listener->handshakes = stream;
	listener->handshake_count++;
}

static void leave(struct stream *stream)
{
	struct stream_listener *listener = stream->listener;

	stream->listener = NULL;
	if (stream->prev)
		stream->prev->next = stream->next;
	else
		listener->handshakes = stream->next;
	if (stream->next)
		stream->next->prev = stream->prev;
	stream->next = stream->prev = NULL;
	listener->handshake_count--;
	if (!listener->closing && listener->waiting > 0) {
		listener->waiting--;
		take_connection(listener);
	}
}

/* A flood of refusals must not become a flood of lines. */
static void log_refusal(struct stream_listener *listener, const char *text)
{
	uint64_t second = uv_now(listener->loop) / 1000;

	if (second != listener->second) {
		if (listener->unlogged > 0)
			log_warn("stream", "%s: %llu more were refused",
				 listener->address,
				 (unsigned long long)listener->unlogged);
		listener->second = second;
		listener->logged = listener->unlogged = 0;
	}
	if (listener->logged++ < REFUSALS_PER_SECOND_MAX)
		log_warn("stream", "%s: refused %s", listener->address, text);
	else
		listener->unlogged++;
}

void stream__refused(struct stream *stream)
{
	struct stream_listener *listener = stream->listener;

	if (!listener->closing)
		log_refusal(listener, stream->fault.text);
	leave(stream);
	maybe_free(listener);
}

static void nobody_listens(void *ctx, struct stream *stream, uint8_t type,
			   const uint8_t *payload, size_t size)
{
	(void)ctx;
	(void)type;
	(void)payload;
	(void)size;
	stream_close(stream, "nobody took it");
}

void stream__accepted(struct stream *stream)
{
	struct stream_listener *listener = stream->listener;

	leave(stream);
	stream->events.frame = nobody_listens;
	listener->accept(listener->ctx, stream);
	if (stream->state == STREAM_OPEN &&
	    stream->events.frame == nobody_listens)
		stream_close(stream, "nobody took it");
	maybe_free(listener);
}

/* Host part of "host:port". */
static size_t host_size(const char *address)
{
	const char *colon = strrchr(address, ':');

	return colon ? (size_t)(colon - address) : strlen(address);
}

static uint32_t count_source(const struct stream_listener *listener,
			     const char *address)
{
	size_t size = host_size(address);
	uint32_t count = 0;

	for (const struct stream *at = listener->handshakes; at; at = at->next)
		if (host_size(at->session->address) == size &&
		    memcmp(at->session->address, address, size) == 0)
			count++;
	return count;
}

static void take_connection(struct stream_listener *listener)
{
	struct stream_session *session;
	struct stream *stream;

	session = stream__session_make(listener->tls, listener->offer,
				       listener->offer_size, &listener->options,
				       true);
	stream = session ? stream__make(listener->loop, session) : NULL;
	if (!stream) {
		log_error("stream", "%s: out of memory", listener->address);
		listener->waiting++;
		return;
	}
	if (uv_accept((uv_stream_t *)&listener->tcp,
		      (uv_stream_t *)&stream->tcp)) {
		stream__finish(stream, BERTH_IO, "accept");
		return;
	}
	stream__tune(stream);
	enter(listener, stream);
	if (count_source(listener, session->address) >
	    HANDSHAKES_PER_SOURCE_MAX) {
		stream__finish(stream, BERTH_BUSY,
			       "%s: too many handshakes from there",
			       session->address);
		return;
	}
	stream__watch(stream, session->options.handshake_ms);
	stream__begin(stream);
}

/* Without uv_accept libuv leaves what follows in the kernel's backlog. */
static void on_connection(uv_stream_t *handle, int status)
{
	struct stream_listener *listener = handle->data;

	if (status < 0)
		log_refusal(listener, uv_strerror(status));
	else if (listener->handshake_count >= HANDSHAKES_MAX)
		listener->waiting++;
	else
		take_connection(listener);
}

static void on_gone(uv_handle_t *handle)
{
	struct stream_listener *listener = handle->data;

	listener->gone = true;
	maybe_free(listener);
}

void stream_listener_close(struct stream_listener *listener)
{
	if (!listener || listener->closing)
		return;
	listener->closing = true;
	uv_close((uv_handle_t *)&listener->tcp, on_gone);
	while (listener->handshakes)
		stream__finish(listener->handshakes, BERTH_CLOSED,
			       "the listener closes");
}

uint16_t stream_listener_port(const struct stream_listener *listener)
{
	struct sockaddr_storage address;
	int size = sizeof address;

	if (uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&address,
			       &size))
		return 0;
	if (address.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static int bind_to(struct stream_listener *listener, const char *host,
		   uint16_t port)
{
	struct sockaddr_in6 in6;
	struct sockaddr_in in4;
	int code;

	if (uv_ip4_addr(host, port, &in4) == 0)
		code = uv_tcp_bind(&listener->tcp, (struct sockaddr *)&in4, 0);
	else if (uv_ip6_addr(host, port, &in6) == 0)
		code = uv_tcp_bind(&listener->tcp, (struct sockaddr *)&in6, 0);
	else
		code = UV_EINVAL;
	if (!code)
		code = uv_listen((uv_stream_t *)&listener->tcp, BACKLOG,
				 on_connection);
	return code;
}

int stream_listen(struct stream_listener **out, uv_loop_t *loop,
		  struct stream_tls *tls, const char *host, uint16_t port,
		  const char *const *alpns,
		  const struct stream_options *options,
		  void (*accept)(void *ctx, struct stream *stream), void *ctx,
		  struct fault *fault)
{
	struct stream_listener *listener = calloc(1, sizeof *listener);
	int code;

	if (!listener)
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	listener->loop = loop;
	listener->tls = stream__tls_ref(tls);
	listener->options = *options;
	listener->accept = accept;
	listener->ctx = ctx;
	listener->tcp.data = listener;
	listener->offer_size = stream__alpn_wire(alpns, listener->offer);
	snprintf(listener->address, sizeof listener->address,
		 strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
	uv_tcp_init(loop, &listener->tcp);
	code = listener->offer_size ? bind_to(listener, host, port) : UV_EINVAL;
	if (!code) {
		snprintf(listener->address, sizeof listener->address,
			 strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
			 stream_listener_port(listener));
		*out = listener;
		return BERTH_OK;
	}
	fault_set(fault, code == UV_EADDRINUSE ? BERTH_EXISTS : BERTH_IO,
		  "listen %s: %s", listener->address,
		  code == UV_EADDRINUSE ? "address in use" : uv_strerror(code));
	stream_listener_close(listener);
	return code == UV_EADDRINUSE ? BERTH_EXISTS : BERTH_IO;
}
