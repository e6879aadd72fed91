#include "node/lib/stream.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/stream_inner.h"

/* The socket is duplicated: the old handle closes its own descriptor, and
 * libuv takes that one out of the old loop's epoll set as it does. */
struct stream_parcel {
	struct stream_session *session;
	int fd;
};

/* What the kernel has not taken of the write in flight. libuv counts exactly,
 * and closing the handle stops the rest. */
static int keep_tail(struct stream *stream)
{
	struct stream_session *session = stream->session;
	size_t rest;

	if (!stream->writing)
		return BERTH_OK;
	rest = uv_stream_get_write_queue_size((uv_stream_t *)&stream->tcp);
	ENSURE(rest <= stream->cipher_size);
	if (rest == 0)
		return BERTH_OK;
	session->tail = malloc(rest);
	if (!session->tail)
		return BERTH_NOMEM;
	memcpy(session->tail, stream->cipher + stream->cipher_size - rest,
	       rest);
	session->tail_size = rest;
	return BERTH_OK;
}

int stream_detach(struct stream *stream, struct stream_parcel **parcel)
{
	struct stream_parcel *made;
	int fd, code;

	if (stream->state != STREAM_OPEN)
		return BERTH_CLOSED;
	made = malloc(sizeof *made);
	if (!made)
		return BERTH_NOMEM;
	code = keep_tail(stream);
	if (code) {
		free(made);
		return code;
	}
	if (uv_fileno((uv_handle_t *)&stream->tcp, &fd) ||
	    (made->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0) {
		free(stream->session->tail);
		stream->session->tail = NULL;
		free(made);
		return BERTH_IO;
	}
	made->session = stream->session;
	stream->session = NULL;
	stream->state = STREAM_DETACHED;
	uv_read_stop((uv_stream_t *)&stream->tcp);
	stream__close_handles(stream);
	*parcel = made;
	return BERTH_OK;
}

int stream_attach(struct stream **out, uv_loop_t *loop,
		  struct stream_parcel *parcel,
		  const struct stream_events *events, void *ctx)
{
	struct stream_session *session = parcel->session;
	struct stream *stream = stream__make(loop, session);
	uint8_t *tail;

	if (!stream) {
		close(parcel->fd);
		free(parcel);
		return BERTH_NOMEM;
	}
	if (uv_tcp_open(&stream->tcp, parcel->fd)) {
		close(parcel->fd);
		free(parcel);
		stream__finish(stream, BERTH_IO, "attach");
		return BERTH_IO;
	}
	free(parcel);
	stream_take(stream, events, ctx);
	stream->state = STREAM_OPEN;
	stream->paused = true; /* the kick gives what is left, then reads */
	if (session->options.idle_ms > 0)
		stream__watch(stream, session->options.idle_ms);
	*out = stream;
	tail = session->tail;
	session->tail = NULL;
	if (tail)
		stream__write_rest(stream, tail, session->tail_size);
	stream__kick(stream);
	return BERTH_OK;
}

void stream_parcel_free(struct stream_parcel *parcel)
{
	if (!parcel)
		return;
	close(parcel->fd);
	stream__session_free(parcel->session);
	free(parcel);
}
