#include "node/lib/stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/lib/stream_inner.h"

static void on_connected(uv_connect_t *request, int status)
{
	struct stream *stream = request->handle->data;

	if (stream->state != STREAM_CONNECTING)
		return;
	if (status < 0)
		stream__finish(stream, BERTH_IO, "connect to %s: %s",
			       stream->session->address, uv_strerror(status));
	else
		stream__begin(stream);
}

static void connect_to(struct stream *stream, const struct sockaddr *address)
{
	int code = uv_tcp_connect(&stream->connect, &stream->tcp, address,
				  on_connected);

	if (code)
		stream__finish(stream, BERTH_IO, "connect to %s: %s",
			       stream->session->address, uv_strerror(code));
}

static const struct addrinfo *prefer_ip4(const struct addrinfo *list)
{
	for (const struct addrinfo *at = list; at; at = at->ai_next)
		if (at->ai_family == AF_INET)
			return at;
	return list;
}

static void on_resolved(uv_getaddrinfo_t *request, int status,
			struct addrinfo *list)
{
	struct stream *stream = request->data;

	stream->resolve = NULL;
	free(request);
	if (stream->state != STREAM_CONNECTING)
		; /* closed meanwhile */
	else if (status < 0)
		stream__finish(stream, BERTH_IO, "resolve %s: %s",
			       stream->session->address, uv_strerror(status));
	else
		connect_to(stream, prefer_ip4(list)->ai_addr);
	uv_freeaddrinfo(list);
	stream__came_back(stream);
}

static int resolve(struct stream *stream, const char *host, uint16_t port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_family = AF_UNSPEC };
	uv_getaddrinfo_t *request = malloc(sizeof *request);
	char service[8];
	int code;

	if (!request)
		return UV_ENOMEM;
	snprintf(service, sizeof service, "%u", port);
	request->data = stream;
	code = uv_getaddrinfo(stream->loop, request, on_resolved, host, service,
			      &hints);
	if (code) {
		free(request);
		return code;
	}
	stream->resolve = request;
	stream->pending++;
	return 0;
}

static void start(struct stream *stream, const char *host, uint16_t port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	} address;
	int code;

	if (uv_ip4_addr(host, port, &address.in4) == 0 ||
	    uv_ip6_addr(host, port, &address.in6) == 0) {
		connect_to(stream, &address.any);
		return;
	}
	code = resolve(stream, host, port);
	if (code)
		stream__finish(stream, BERTH_IO, "resolve %s: %s", host,
			       uv_strerror(code));
}

int stream_connect(struct stream **out, uv_loop_t *loop, struct stream_tls *tls,
		   const char *host, uint16_t port, const char *alpn,
		   const struct identity *expected,
		   const struct stream_options *options,
		   const struct stream_events *events, void *ctx)
{
	const char *alpns[] = { alpn, NULL };
	uint8_t offer[STREAM_ALPN_SIZE_MAX];
	size_t offer_size = stream__alpn_wire(alpns, offer);
	struct stream_session *session;
	struct stream *stream;

	if (offer_size == 0)
		return BERTH_INVALID;
	session = stream__session_make(tls, offer, offer_size, options, false);
	stream = session ? stream__make(loop, session) : NULL;
	if (!stream)
		return BERTH_NOMEM;
	snprintf(session->address, sizeof session->address,
		 strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
	session->has_expected = expected != NULL;
	if (expected)
		session->expected = *expected;
	stream_take(stream, events, ctx);
	uv_update_time(loop);
	stream__watch(stream, session->options.handshake_ms);
	*out = stream;
	start(stream, host, port);
	return BERTH_OK;
}
