#include "node/lib/stream_inner.h"

#include <stdlib.h>

static bool session_tls(struct stream_session *session, bool server)
{
	session->ssl = SSL_new(session->tls->context);
	session->in = BIO_new(BIO_s_mem());
	session->out = BIO_new(BIO_s_mem());
	if (!session->ssl || !session->in || !session->out) {
		BIO_free(session->in);
		BIO_free(session->out);
		SSL_free(session->ssl);
		session->ssl = NULL;
		return false;
	}
	SSL_set_bio(session->ssl, session->in, session->out);
	SSL_set_app_data(session->ssl, session);
	if (server) {
		SSL_set_accept_state(session->ssl);
		return true;
	}
	SSL_set_connect_state(session->ssl);
	return SSL_set_alpn_protos(session->ssl, session->offer,
				   (unsigned)session->offer_size) == 0;
}

struct stream_session *
stream__session_make(struct stream_tls *tls, const uint8_t *offer,
		     size_t offer_size, const struct stream_options *options,
		     bool server)
{
	struct stream_session *session = calloc(1, sizeof *session);

	if (!session)
		return NULL;
	session->tls = stream__tls_ref(tls);
	session->options = *options;
	if (session->options.handshake_ms == 0)
		session->options.handshake_ms = 5000;
	memcpy(session->offer, offer, offer_size);
	session->offer_size = offer_size;
	frame_reader_init(&session->reader, options->frame_size_max);
	if (session_tls(session, server))
		return session;
	stream__session_free(session);
	return NULL;
}

void stream__session_free(struct stream_session *session)
{
	struct stream_chunk *chunk;

	if (!session)
		return;
	while ((chunk = session->first)) {
		session->first = chunk->next;
		free(chunk);
	}
	free(session->tail);
	frame_reader_fini(&session->reader);
	SSL_free(session->ssl);
	stream_tls_close(session->tls);
	free(session);
}

/* Room for `size` bytes at the end: small frames share a chunk. */
static struct stream_chunk *room(struct stream_session *session, size_t size)
{
	struct stream_chunk *chunk = session->last;
	size_t capacity = size;

	if (chunk && chunk->capacity - chunk->size >= size)
		return chunk;
	if (capacity < 4096)
		capacity = 4096;
	chunk = malloc(sizeof *chunk + capacity);
	if (!chunk)
		return NULL;
	chunk->next = NULL;
	chunk->start = chunk->size = 0;
	chunk->capacity = capacity;
	if (session->last)
		session->last->next = chunk;
	else
		session->first = chunk;
	session->last = chunk;
	return chunk;
}

static void append(struct stream_chunk *chunk, const void *data, size_t size)
{
	if (size > 0)
		memcpy(chunk->data + chunk->size, data, size);
	chunk->size += size;
}

int stream__queue(struct stream_session *session, uint8_t type,
		  const struct stream_part *parts, uint32_t count, size_t size)
{
	struct stream_chunk *chunk = room(session, FRAME_HEAD_SIZE + size);
	uint8_t head[FRAME_HEAD_SIZE];

	if (!chunk)
		return BERTH_NOMEM;
	frame_head(head, type, size);
	append(chunk, head, sizeof head);
	for (uint32_t i = 0; i < count; i++)
		append(chunk, parts[i].data, parts[i].size);
	session->queued += FRAME_HEAD_SIZE + size;
	return BERTH_OK;
}

size_t stream__dequeue(struct stream_session *session, uint8_t *data,
		       size_t size_max)
{
	size_t size = 0;

	while (size < size_max && session->first) {
		struct stream_chunk *chunk = session->first;
		size_t take = chunk->size - chunk->start;

		if (take > size_max - size)
			take = size_max - size;
		memcpy(data + size, chunk->data + chunk->start, take);
		size += take;
		chunk->start += take;
		if (chunk->start < chunk->size)
			break;
		session->first = chunk->next;
		if (!session->first)
			session->last = NULL;
		free(chunk);
	}
	session->queued -= size;
	return size;
}
