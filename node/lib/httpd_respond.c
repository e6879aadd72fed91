#include "node/lib/httpd_inner.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/lib/clock.h"

#define ERROR_TEXT_SIZE 1024

static const char *phrase(int status)
{
	switch (status) {
	case 200: return "OK";
	case 201: return "Created";
	case 202: return "Accepted";
	case 204: return "No Content";
	case 206: return "Partial Content";
	case 301: return "Moved Permanently";
	case 302: return "Found";
	case 304: return "Not Modified";
	case 307: return "Temporary Redirect";
	case 400: return "Bad Request";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 409: return "Conflict";
	case 410: return "Gone";
	case 411: return "Length Required";
	case 413: return "Content Too Large";
	case 422: return "Unprocessable Content";
	case 429: return "Too Many Requests";
	case 500: return "Internal Server Error";
	case 502: return "Bad Gateway";
	case 503: return "Service Unavailable";
	case 504: return "Gateway Timeout";
	default: return "Status";
	}
}

/* Reading and writing go together in libwebsockets: both are on while there is
 * something to write, both off while an answer is awaited. */
static void attend(struct httpd_request *request)
{
	struct httpd_conn *conn = request->conn;
	bool work = request->first || request->ended || request->broken;

	if (!conn || !request->whole)
		return;
	if (work && conn->deadline_ms == 0)
		conn->deadline_ms = clock_monotonic_ms() +
				    request->httpd->options.timeout_ms;
	lws_rx_flow_control(conn->wsi, work);
	if (work)
		lws_callback_on_writable(conn->wsi);
}

static bool queue(struct httpd_request *request, const void *data, size_t size)
{
	struct httpd_piece *piece;

	if (!request->conn || size == 0)
		return request->conn != NULL;
	piece = malloc(sizeof *piece + size);
	if (!piece) {
		request->broken = true;
		return false;
	}
	piece->next = NULL;
	piece->start = 0;
	piece->size = size;
	memcpy(piece->data, data, size);
	if (request->last)
		request->last->next = piece;
	else
		request->first = piece;
	request->last = piece;
	request->queued += size;
	request->httpd->held += size;
	return true;
}

/* The head, built as text. */
struct head {
	char text[16384];
	size_t size;
	bool full;
};

static void head_line(struct head *head, const char *name, const char *value)
{
	size_t left = sizeof head->text - head->size;
	int size;

	/* A line break in a value would be another header. */
	if (strpbrk(name, "\r\n") || strpbrk(value, "\r\n"))
		return;
	size = snprintf(head->text + head->size, left, "%s: %s\r\n", name,
			value);
	if (size < 0 || (size_t)size >= left)
		head->full = true;
	else
		head->size += (size_t)size;
}

static bool has(const struct httpd_header *headers, uint32_t count,
		const char *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (strcasecmp(headers[i].name, name) == 0)
			return true;
	return false;
}

/* Headers that are ours to say. */
static bool is_ours(const char *name)
{
	return strcasecmp(name, "content-length") == 0 ||
	       strcasecmp(name, "transfer-encoding") == 0 ||
	       strcasecmp(name, "connection") == 0;
}

static void begin_head(struct httpd_request *request, struct head *head,
		       int status, const struct httpd_header *headers,
		       uint32_t count, const char *content_type)
{
	int size;

	size = snprintf(head->text, sizeof head->text, "HTTP/1.1 %d %s\r\n",
			status, phrase(status));
	head->size = size > 0 ? (size_t)size : 0;
	head->full = false;
	if (!has(headers, count, "server"))
		head_line(head, "Server", request->httpd->server);
	for (uint32_t i = 0; i < count; i++)
		if (!is_ours(headers[i].name))
			head_line(head, headers[i].name, headers[i].value);
	if (content_type && !has(headers, count, "content-type"))
		head_line(head, "Content-Type", content_type);
	if (request->close)
		head_line(head, "Connection", "close");
}

static void end_head(struct httpd_request *request, struct head *head)
{
	if (head->full || head->size + 2 > sizeof head->text) {
		request->broken = true;
		return;
	}
	memcpy(head->text + head->size, "\r\n", 2);
	queue(request, head->text, head->size + 2);
}

/* No body at all may follow these. */
static bool is_bodiless(int status)
{
	return status == 204 || status == 304 || status < 200;
}

/* After httpd_respond or _end: without a client nothing else is to be done. */
static void finish(struct httpd_request *request)
{
	REQUIRE(!request->ended);
	request->ended = true;
	if (request->conn)
		attend(request);
	else
		httpd__request_free(request);
}

void httpd_respond(struct httpd_request *request, int status,
		   const struct httpd_header *headers, uint32_t header_count,
		   const char *content_type, const void *body, size_t size)
{
	struct head head;
	char length[32];

	REQUIRE(!request->begun);
	if (!httpd__has_room(request->httpd, size)) {
		httpd_respond_error(request, 503, "busy",
				    "too much to hold at once");
		return;
	}
	request->begun = true;
	if (request->conn) {
		begin_head(request, &head, status, headers, header_count,
			   content_type);
		snprintf(length, sizeof length, "%zu", size);
		if (!is_bodiless(status))
			head_line(&head, "Content-Length", length);
		end_head(request, &head);
		if (!request->head && !is_bodiless(status))
			queue(request, body, size);
	}
	finish(request);
}

/* The sentence as a JSON string; what is not ASCII passes as it is. */
static void quote(char *out, size_t size, const char *text)
{
	size_t used = 0;

	for (; *text && used + 8 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			used += (size_t)snprintf(out + used, 3, "\\%c", c);
		else if (c < 0x20)
			used += (size_t)snprintf(out + used, 7, "\\u%04x", c);
		else
			out[used++] = (char)c;
	}
	out[used] = '\0';
}

void httpd_respond_error(struct httpd_request *request, int status,
			 const char *code, const char *format, ...)
{
	char text[ERROR_TEXT_SIZE], quoted[2 * ERROR_TEXT_SIZE];
	char body[3 * ERROR_TEXT_SIZE];
	va_list args;
	int size;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	quote(quoted, sizeof quoted, text);
	size = snprintf(body, sizeof body,
			"{\"error\":\"%s\",\"message\":\"%s\"}\n", code, quoted);
	httpd_respond(request, status, NULL, 0, "application/json", body,
		      size > 0 ? (size_t)size : 0);
}

void httpd_respond_begin(struct httpd_request *request, int status,
			 const struct httpd_header *headers,
			 uint32_t header_count, const char *content_type,
			 void (*gone)(struct httpd_request *request))
{
	struct head head;

	REQUIRE(!request->begun);
	request->begun = true;
	request->gone = gone;
	if (!request->conn)
		return;
	request->chunked = request->http11 && !is_bodiless(status);
	begin_head(request, &head, status, headers, header_count, content_type);
	if (request->chunked)
		head_line(&head, "Transfer-Encoding", "chunked");
	end_head(request, &head);
	attend(request);
}

bool httpd_respond_chunk(struct httpd_request *request, const void *data,
			 size_t size)
{
	char length[32];

	REQUIRE(request->begun && !request->ended);
	if (!request->conn || request->broken)
		return false;
	if (size == 0 || request->head)
		return true;
	if (request->queued > HTTPD_STREAM_QUEUE_MAX) {
		request->broken = true; /* the end must not look whole */
		attend(request);
		return false;
	}
	snprintf(length, sizeof length, "%zx\r\n", size);
	if (request->chunked)
		queue(request, length, strlen(length));
	queue(request, data, size);
	if (request->chunked)
		queue(request, "\r\n", 2);
	attend(request);
	return !request->broken;
}

void httpd_respond_end(struct httpd_request *request)
{
	REQUIRE(request->begun && !request->ended);
	if (request->chunked && !request->head)
		queue(request, "0\r\n\r\n", 5);
	finish(request);
}

/* Writing, from the writable callback. */

/* Takes up to a piece's size from the queue. */
static size_t take(struct httpd_request *request, unsigned char *data)
{
	size_t used = 0;

	while (used < HTTPD_PIECE_SIZE_MAX && request->first) {
		struct httpd_piece *piece = request->first;
		size_t size = piece->size - piece->start;

		if (size > HTTPD_PIECE_SIZE_MAX - used)
			size = HTTPD_PIECE_SIZE_MAX - used;
		memcpy(data + used, piece->data + piece->start, size);
		used += size;
		piece->start += size;
		if (piece->start < piece->size)
			break;
		request->first = piece->next;
		if (!request->first)
			request->last = NULL;
		free(piece);
	}
	request->queued -= used;
	request->httpd->held -= used;
	return used;
}

int httpd__write_some(struct httpd_request *request, struct lws *wsi)
{
	static _Thread_local unsigned char
		data[LWS_PRE + HTTPD_PIECE_SIZE_MAX];
	size_t size;

	if (request->broken)
		return -1;
	if (!request->first) {
		/* This callback came after the last write was flushed. */
		request->conn->deadline_ms = 0;
		if (request->ended)
			return 1;
		attend(request);
		return 0;
	}
	size = take(request, data + LWS_PRE);
	if (lws_write(wsi, data + LWS_PRE, size, LWS_WRITE_HTTP) < 0)
		return -1;
	request->conn->deadline_ms = clock_monotonic_ms() +
				     request->httpd->options.timeout_ms;
	/* Over with the last byte: libwebsockets 4.3 ends a connection whose
	 * next request comes before it was told so. */
	if (request->ended && !request->first && !request->close)
		return 1;
	lws_callback_on_writable(wsi);
	return 0;
}

void httpd__client_gone(struct httpd_request *request)
{
	void (*gone)(struct httpd_request *) = request->gone;

	request->conn->request = NULL;
	request->conn = NULL;
	if (request->ended || !request->whole) {
		httpd__request_free(request);
		return;
	}
	request->gone = NULL;
	if (request->begun && gone)
		gone(request);
}
