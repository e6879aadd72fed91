#include "node/lib/stream.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "node/lib/stream_inner.h"

/* Writing: frames are queued plain, encrypted a record at a time when the last
 * write is done, and handed to the kernel at most STREAM_PUMP_SIZE_MAX at
 * once. stream_send only queues; the pump runs in the next iteration, so that
 * what is sent together leaves together. */

/* False: the stream is finished. */
static bool encrypt(struct stream *stream)
{
	struct stream_session *session = stream->session;
	uint8_t plain[STREAM_RECORD_SIZE_MAX];
	size_t done = 0;

	if (stream->state != STREAM_OPEN && stream->state != STREAM_LINGER)
		return true;
	while (session->queued > 0 && done < STREAM_PUMP_SIZE_MAX) {
		size_t size = stream__dequeue(session, plain, sizeof plain);
		int written;

		ERR_clear_error();
		written = SSL_write(session->ssl, plain, (int)size);
		if (written < 0 || (size_t)written != size) {
			stream__finish(stream, BERTH_IO, "%s: TLS: %s",
				       session->address, stream__ssl_reason());
			return false;
		}
		done += size;
	}
	return true;
}

static void on_written(uv_write_t *request, int status)
{
	struct stream *stream = request->handle->data;

	free(stream->cipher);
	stream->cipher = NULL;
	stream->cipher_size = 0;
	stream->writing = false;
	if (stream->state >= STREAM_DETACHED)
		return;
	if (status < 0)
		stream__finish(stream, BERTH_IO, "%s: write: %s",
			       stream->session->address, uv_strerror(status));
	else
		stream__pump(stream);
}

void stream__write_rest(struct stream *stream, uint8_t *cipher, size_t size)
{
	uv_buf_t buffer = uv_buf_init((char *)cipher, (unsigned)size);
	int code;

	stream->cipher = cipher;
	stream->cipher_size = size;
	stream->writing = true;
	code = uv_write(&stream->write, (uv_stream_t *)&stream->tcp, &buffer, 1,
			on_written);
	if (code) {
		stream->writing = false;
		stream__finish(stream, BERTH_IO, "%s: write: %s",
			       stream->session->address, uv_strerror(code));
	}
}

/* Hands the encrypted bytes to the kernel; false: finished. */
static bool transmit(struct stream *stream)
{
	struct stream_session *session = stream->session;
	uv_buf_t buffer;
	uint8_t *rest;
	char *data;
	long size = BIO_get_mem_data(session->out, &data);
	int done;

	if (size <= 0)
		return true;
	buffer = uv_buf_init(data, (unsigned)size);
	done = uv_try_write((uv_stream_t *)&stream->tcp, &buffer, 1);
	if (done == UV_EAGAIN)
		done = 0;
	if (done < 0) {
		stream__finish(stream, BERTH_IO, "%s: write: %s",
			       session->address, uv_strerror(done));
		return false;
	}
	if (done < size) {
		rest = malloc((size_t)(size - done));
		if (!rest) {
			stream__finish(stream, BERTH_NOMEM, "out of memory");
			return false;
		}
		memcpy(rest, data + done, (size_t)(size - done));
		stream__write_rest(stream, rest, (size_t)(size - done));
	}
	if (stream->state < STREAM_DETACHED)
		(void)BIO_reset(session->out);
	return stream->state < STREAM_DETACHED;
}

static void on_shut(uv_shutdown_t *request, int status)
{
	(void)request;
	(void)status; /* the end of input or the timer follows */
}

/* All is written: says goodbye, then half-closes. The peer's end of input
 * ends it, so that what was sent is not lost in a reset. */
static void say_goodbye(struct stream *stream)
{
	if (!stream->goodbye) {
		stream->goodbye = true;
		ERR_clear_error();
		SSL_shutdown(stream->session->ssl);
		if (!transmit(stream))
			return;
	}
	if (stream->writing || stream->shut)
		return;
	stream->shut = true;
	if (uv_shutdown(&stream->shutdown, (uv_stream_t *)&stream->tcp,
			on_shut) < 0)
		stream__finish(stream, BERTH_CLOSED, "closed");
}

void stream__pump(struct stream *stream)
{
	if (stream->writing || stream->state == STREAM_CONNECTING ||
	    stream->state >= STREAM_DETACHED)
		return;
	if (!encrypt(stream) || !transmit(stream))
		return;
	if (stream->session->queued > 0) {
		if (!stream->writing)
			stream__kick(stream);
		return;
	}
	if (stream->state == STREAM_LINGER && !stream->writing)
		say_goodbye(stream);
}

static size_t parts_size(const struct stream_part *parts, uint32_t count)
{
	size_t size = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (parts[i].size > UINT32_MAX - size)
			return SIZE_MAX;
		size += parts[i].size;
	}
	return size;
}

int stream_send(struct stream *stream, uint8_t type,
		const struct stream_part *parts, uint32_t count)
{
	size_t size = parts_size(parts, count), queued;
	int code;

	if (stream->state >= STREAM_LINGER)
		return BERTH_CLOSED;
	if (size > stream->session->options.frame_size_max)
		return BERTH_TOOBIG;
	/* One frame always fits, whatever the limit of the queue. */
	queued = stream_queued(stream);
	if (queued > 0 && queued + FRAME_HEAD_SIZE + size >
				  stream->session->options.queue_size_max)
		return BERTH_BUSY;
	code = stream__queue(stream->session, type, parts, count, size);
	if (!code)
		stream__kick(stream);
	return code;
}

size_t stream_queued(const struct stream *stream)
{
	if (stream->state >= STREAM_DETACHED)
		return 0;
	return stream->session->queued +
	       uv_stream_get_write_queue_size(
		       (const uv_stream_t *)&stream->tcp);
}

void stream_close(struct stream *stream, const char *why)
{
	if (stream->state >= STREAM_LINGER)
		return;
	if (stream->state != STREAM_OPEN) {
		stream__finish(stream, BERTH_CLOSED, "%s", why);
		return;
	}
	fault_set(&stream->fault, BERTH_CLOSED, "%s", why);
	stream->state = STREAM_LINGER;
	stream__watch(stream, STREAM_LINGER_MS);
	stream__kick(stream);
}

void stream__tune(struct stream *stream)
{
	struct sockaddr_storage peer;
	char host[INET6_ADDRSTRLEN] = "?";
	int size = sizeof peer, fd, unacknowledged_ms = 30000;
	char *address = stream->session->address;

	uv_tcp_nodelay(&stream->tcp, 1);
	uv_tcp_keepalive(&stream->tcp, 1, 15);
	/* A peer that vanished while we write to it is noticed in this time,
	 * not after the kernel's quarter of an hour. */
	if (uv_fileno((uv_handle_t *)&stream->tcp, &fd) == 0)
		setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
			   &unacknowledged_ms, sizeof unacknowledged_ms);
	if (uv_tcp_getpeername(&stream->tcp, (struct sockaddr *)&peer, &size))
		return;
	if (peer.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)&peer;

		uv_ip6_name(in6, host, sizeof host);
		snprintf(address, STREAM_ADDRESS_SIZE, "[%s]:%u", host,
			 ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in4 = (const void *)&peer;

		uv_ip4_name(in4, host, sizeof host);
		snprintf(address, STREAM_ADDRESS_SIZE, "%s:%u", host,
			 ntohs(in4->sin_port));
	}
}
