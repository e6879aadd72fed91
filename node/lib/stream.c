#include "node/lib/stream.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/lib/stream_inner.h"

/* Reading and TLS are in here; writing is in stream_write.c. The rule that
 * makes re-entrant calls safe: nothing is freed before the handles have come
 * back, in a later phase of the loop, and after each callback the state is
 * looked at again. */

void stream__came_back(struct stream *stream)
{
	ENSURE(stream->pending > 0);
	if (--stream->pending > 0)
		return;
	if (stream->state == STREAM_CLOSED && stream->events.closed)
		stream->events.closed(stream->ctx, stream, &stream->fault);
	free(stream->cipher);
	stream__session_free(stream->session);
	free(stream);
}

static void on_closed(uv_handle_t *handle)
{
	stream__came_back(handle->data);
}

void stream__close_handles(struct stream *stream)
{
	uv_close((uv_handle_t *)&stream->tcp, on_closed);
	uv_close((uv_handle_t *)&stream->timer, on_closed);
	uv_close((uv_handle_t *)&stream->kick, on_closed);
	if (stream->resolve)
		uv_cancel((uv_req_t *)stream->resolve);
}

void stream__finish(struct stream *stream, int code, const char *format, ...)
{
	va_list args;

	if (stream->state == STREAM_CLOSED || stream->state == STREAM_DETACHED)
		return;
	if (!stream->fault.code) {
		stream->fault.code = code;
		va_start(args, format);
		vsnprintf(stream->fault.text, sizeof stream->fault.text, format,
			  args);
		va_end(args);
	}
	stream->state = STREAM_CLOSED;
	if (stream->listener)
		stream__refused(stream);
	stream__close_handles(stream);
}

/* Counts rounds and no time: who stood still itself has yet to read what came
 * meanwhile. What is queued keeps the stream as well. */
static void keep(struct stream *stream)
{
	if (stream->unheard++ == STREAM_KEEP_ROUNDS) {
		stream__finish(stream, BERTH_TIMEOUT,
			       "%s: nothing heard for %llu ms",
			       stream->session->address,
			       (unsigned long long)(uv_now(stream->loop) -
						    stream->heard_ms));
		return;
	}
	if (stream_queued(stream) == 0)
		(void)!stream_send(stream, stream->keep_type, NULL, 0);
	stream__watch(stream, stream->keep_ms);
}

void stream_keep(struct stream *stream, uint8_t type, uint32_t every_ms)
{
	if (stream->state != STREAM_OPEN)
		return;
	stream->keep_type = type;
	stream->keep_ms = every_ms;
	stream__watch(stream, every_ms);
}

static void on_timer(uv_timer_t *timer)
{
	struct stream *stream = timer->data;
	uint64_t silent_ms;

	if (stream->state == STREAM_LINGER) {
		stream__finish(stream, BERTH_CLOSED, "closed");
		return;
	}
	if (stream->state != STREAM_OPEN) {
		stream__finish(stream, BERTH_TIMEOUT,
			       "%s: no handshake within %u ms",
			       stream->session->address,
			       stream->session->options.handshake_ms);
		return;
	}
	if (stream->keep_ms > 0) {
		keep(stream);
		return;
	}
	silent_ms = uv_now(stream->loop) - stream->heard_ms;
	if (silent_ms < stream->session->options.idle_ms)
		stream__watch(stream, stream->session->options.idle_ms -
					      silent_ms);
	else
		stream__finish(stream, BERTH_TIMEOUT, "%s: silent for %llu ms",
			       stream->session->address,
			       (unsigned long long)silent_ms);
}

void stream__watch(struct stream *stream, uint64_t after_ms)
{
	uv_timer_start(&stream->timer, on_timer, after_ms, 0);
}

static void on_kick(uv_idle_t *idle)
{
	struct stream *stream = idle->data;

	uv_idle_stop(idle);
	stream->read_run = 0;
	if (stream->paused && stream->state < STREAM_DETACHED) {
		stream->paused = false;
		stream__process(stream);
		if (stream->state < STREAM_DETACHED)
			stream__read(stream);
	}
	stream__pump(stream);
}

void stream__kick(struct stream *stream)
{
	if (stream->state < STREAM_DETACHED)
		uv_idle_start(&stream->kick, on_kick);
}

struct stream *stream__make(uv_loop_t *loop, struct stream_session *session)
{
	struct stream *stream = calloc(1, sizeof *stream);

	if (!stream) {
		stream__session_free(session);
		return NULL;
	}
	stream->loop = loop;
	stream->session = session;
	stream->heard_ms = uv_now(loop);
	uv_tcp_init(loop, &stream->tcp);
	uv_timer_init(loop, &stream->timer);
	uv_idle_init(loop, &stream->kick);
	stream->tcp.data = stream->timer.data = stream->kick.data = stream;
	stream->pending = 3;
	stream->state = STREAM_CONNECTING;
	return stream;
}

/* Reading. */

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
	/* Used up before the callback returns, so one per thread is enough. */
	static _Thread_local char data[64u << 10];

	(void)handle;
	(void)size;
	*buffer = uv_buf_init(data, sizeof data);
}

static void end_of_input(struct stream *stream, ssize_t code)
{
	const char *address = stream->session->address;

	if (stream->state == STREAM_LINGER)
		stream__finish(stream, BERTH_CLOSED, "closed");
	else if (code != UV_EOF)
		stream__finish(stream, BERTH_IO, "%s: %s", address,
			       uv_strerror((int)code));
	else if (stream->state != STREAM_OPEN)
		stream__finish(stream, BERTH_IO,
			       "%s: the peer hung up in the handshake",
			       address);
	else
		stream__finish(stream, BERTH_IO,
			       "%s: the connection ended without a goodbye",
			       address);
}

static void on_read(uv_stream_t *handle, ssize_t size, const uv_buf_t *buffer)
{
	struct stream *stream = handle->data;

	if (stream->state >= STREAM_DETACHED)
		return;
	if (size < 0) {
		end_of_input(stream, size);
		return;
	}
	/* A short read was this iteration's last (libuv returns to its loop).
	 * After many full ones the others have their turn. */
	stream->read_run += (size_t)size;
	if ((size_t)size < buffer->len)
		stream->read_run = 0;
	if (stream->state == STREAM_LINGER || size == 0)
		return;
	stream->heard_ms = uv_now(stream->loop);
	stream->unheard = 0;
	if (BIO_write(stream->session->in, buffer->base, (int)size) != size) {
		stream__finish(stream, BERTH_NOMEM, "out of memory");
		return;
	}
	stream__process(stream);
	if (stream->read_run >= STREAM_PUMP_SIZE_MAX &&
	    stream->state < STREAM_DETACHED) {
		uv_read_stop(handle);
		stream->paused = true;
		stream__kick(stream);
	}
}

void stream__read(struct stream *stream)
{
	int code = uv_read_start((uv_stream_t *)&stream->tcp, give_buffer,
				 on_read);

	if (code)
		stream__finish(stream, BERTH_IO, "%s: %s",
			       stream->session->address, uv_strerror(code));
}

/* TLS and frames. */

static void tls_failed(struct stream *stream, const char *when)
{
	struct stream_session *session = stream->session;
	const struct fault *refusal = &session->refusal;

	if (refusal->code)
		fault_set(&stream->fault, refusal->code, "%s: %s",
			  session->address, refusal->text);
	else
		fault_set(&stream->fault, BERTH_DENIED, "%s: %s: %s",
			  session->address, when, stream__ssl_reason());
	ERR_clear_error();
	stream__pump(stream); /* the alert, if it can be written at once */
	stream__finish(stream, stream->fault.code, "TLS failed");
}

static void opened(struct stream *stream)
{
	stream->state = STREAM_OPEN;
	if (stream->session->options.idle_ms > 0)
		stream__watch(stream, stream->session->options.idle_ms);
	else
		uv_timer_stop(&stream->timer);
	if (stream->listener)
		stream__accepted(stream);
	else if (stream->events.open)
		stream->events.open(stream->ctx, stream);
}

/* The verify callback has looked at the identity; no ALPN at all passes TLS
 * and is refused here. */
static bool proven(struct stream *stream)
{
	struct stream_session *session = stream->session;
	const unsigned char *alpn = NULL;
	unsigned size = 0;

	SSL_get0_alpn_selected(session->ssl, &alpn, &size);
	if (size == 0 || size >= sizeof session->alpn || !session->has_peer) {
		fault_set(&session->refusal, BERTH_DENIED,
			  size == 0 ? "it agreed on no protocol (ALPN)"
				    : "it proved no identity");
		return false;
	}
	memcpy(session->alpn, alpn, size);
	session->alpn[size] = '\0';
	return true;
}

static bool handshake(struct stream *stream)
{
	struct stream_session *session = stream->session;
	int done, error;

	ERR_clear_error();
	done = SSL_do_handshake(session->ssl);
	if (done != 1) {
		error = SSL_get_error(session->ssl, done);
		if (error != SSL_ERROR_WANT_READ)
			tls_failed(stream, "TLS handshake");
		return false;
	}
	if (!proven(stream)) {
		tls_failed(stream, "TLS handshake");
		return false;
	}
	if (!SSL_is_server(session->ssl)) {
		stream->state = STREAM_WELCOMED;
		return true;
	}
	if (stream__queue(session, STREAM_WELCOME, NULL, 0, 0)) {
		stream__finish(stream, BERTH_NOMEM, "out of memory");
		return false;
	}
	opened(stream);
	return stream->state == STREAM_OPEN;
}

static void give_frames(struct stream *stream)
{
	struct stream_session *session = stream->session;
	const uint8_t *payload;
	uint8_t type;
	size_t size;
	int code;

	while ((stream->state == STREAM_OPEN ||
		stream->state == STREAM_WELCOMED) &&
	       frame_reader_next(&session->reader, &type, &payload, &size)) {
		if (stream->state == STREAM_OPEN)
			stream->events.frame(stream->ctx, stream, type,
					     payload, size);
		else if (type == STREAM_WELCOME && size == 0)
			opened(stream);
		else
			stream__finish(stream, BERTH_MALFORMED,
				       "%s: a frame before the welcome",
				       session->address);
	}
	if (stream->state != STREAM_OPEN && stream->state != STREAM_WELCOMED)
		return;
	code = frame_reader_feed(&session->reader, NULL, 0);
	if (code)
		stream__finish(stream, code, "%s: frame: %s", session->address,
			       berth_error_text(code));
}

static void input_stopped(struct stream *stream, int result)
{
	struct stream_session *session = stream->session;
	int error = SSL_get_error(session->ssl, result);

	if (error == SSL_ERROR_WANT_READ)
		return;
	if (error != SSL_ERROR_ZERO_RETURN)
		tls_failed(stream, stream->state == STREAM_WELCOMED
					   ? "the peer refuses us"
					   : "TLS");
	else if (session->reader.size > session->reader.start)
		stream__finish(stream, BERTH_MALFORMED,
			       "%s: the stream ends inside a frame",
			       session->address);
	else
		stream__finish(stream, BERTH_CLOSED, "%s: closed by the peer",
			       session->address);
}

void stream__process(struct stream *stream)
{
	uint8_t data[STREAM_RECORD_SIZE_MAX];

	if (stream->state == STREAM_HANDSHAKE && !handshake(stream))
		goto out;
	give_frames(stream); /* those that came with an attached stream */
	while (stream->state == STREAM_OPEN ||
	       stream->state == STREAM_WELCOMED) {
		struct stream_session *session = stream->session;
		int got, code;

		ERR_clear_error();
		got = SSL_read(session->ssl, data, (int)sizeof data);
		if (got <= 0) {
			input_stopped(stream, got);
			break;
		}
		code = frame_reader_feed(&session->reader, data, (size_t)got);
		if (code) {
			stream__finish(stream, code, "%s: frame: %s",
				       session->address,
				       berth_error_text(code));
			break;
		}
		give_frames(stream);
	}
out:
	stream__pump(stream);
}

void stream__begin(struct stream *stream)
{
	stream__tune(stream);
	stream->state = STREAM_HANDSHAKE;
	stream__read(stream);
	stream__process(stream);
}

void stream_take(struct stream *stream, const struct stream_events *events,
		 void *ctx)
{
	stream->events = *events;
	stream->ctx = ctx;
}

const struct identity *stream_peer(const struct stream *stream)
{
	return &stream->session->peer;
}

const char *stream_alpn(const struct stream *stream)
{
	return stream->session->alpn;
}

const char *stream_address(const struct stream *stream)
{
	return stream->session->address;
}
