#include "node/lib/httpd_inner.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "node/lib/clock.h"
#include "node/lib/log.h"
#include "node/lib/stream_inner.h"

/* Bodies must arrive at no less than this rate, after a first time-out. */
#define BODY_RATE_PER_MS 16
#define DISCARD_MS 2000
#define BODY_ENDS_MAX 10000

/* At once, with a reset: closing in good order would wait for a client that
 * does not read. */
void httpd__cut(struct httpd_conn *conn)
{
	struct linger reset = { .l_onoff = 1 };
	int fd = lws_get_socket_fd(conn->wsi);

	conn->deadline_ms = 0;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	shutdown(fd, SHUT_RDWR);
	lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

/* What the client's certificate proves; asked again for each request, of the
 * connection itself. */
static bool identify(struct httpd_conn *conn, struct lws *wsi)
{
	SSL *ssl = lws_get_ssl(wsi);
	X509 *certificate;
	struct identity peer;
	int code;

	if (conn->kind != HTTPD_TLS)
		return true;
	certificate = ssl ? SSL_get1_peer_certificate(ssl) : NULL;
	if (!certificate || SSL_get_verify_result(ssl) != X509_V_OK) {
		X509_free(certificate);
		return false;
	}
	code = stream__identity_of(certificate, &peer);
	X509_free(certificate);
	if (code || strcmp(peer.cluster, conn->httpd->self.cluster) != 0) {
		log_warn("httpd", "refused %s: its certificate is of another "
			 "cluster", conn->address);
		return false;
	}
	conn->authority = HTTPD_PLAIN;
	if (peer.role == IDENTITY_OPERATOR)
		conn->authority = HTTPD_OPERATOR;
	else if (peer.role == IDENTITY_REPLICA)
		conn->authority = HTTPD_REPLICA;
	snprintf(conn->who, sizeof conn->who, "%s %s",
		 peer.role == IDENTITY_OPERATOR	 ? "operator"
		 : peer.role == IDENTITY_REPLICA ? "replica"
						 : "crn",
		 peer.name);
	return true;
}

static void refuse(struct httpd_request *request, int status, const char *code,
		   const char *text)
{
	request->whole = true;
	request->close = true;
	httpd_respond_error(request, status, code, "%s", text);
}

/* Gives it to the handler. No reading until there is something to write:
 * libwebsockets would spin on what a client sends ahead. */
static int dispatch(struct httpd_request *request, struct lws *wsi)
{
	struct httpd *httpd = request->httpd;

	request->whole = true;
	request->conn->deadline_ms = 0;
	lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
	lws_rx_flow_control(wsi, 0);
	httpd->handler(httpd->ctx, request);
	return 0;
}

/* The length that was announced; false if it is not a number. */
static bool body_length(struct httpd_request *request, bool *given)
{
	const char *text = httpd_header(request, "content-length");
	size_t size = text ? strlen(text) : 0;

	*given = text != NULL;
	request->body_length = 0;
	if (!text)
		return true;
	if (size == 0 || size > 18 || text[strspn(text, "0123456789")])
		return false;
	request->body_length = (size_t)strtoull(text, NULL, 10);
	return true;
}

static void say_continue(struct lws *wsi)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
	unsigned char data[LWS_PRE + sizeof line];

	memcpy(data + LWS_PRE, line, sizeof line - 1);
	lws_write(wsi, data + LWS_PRE, sizeof line - 1, LWS_WRITE_HTTP_HEADERS);
}

static void expect_body(struct httpd_request *request, struct lws *wsi)
{
	const char *expect = httpd_header(request, "expect");

	request->body_since_ms = clock_monotonic_ms();
	request->conn->deadline_ms = request->body_since_ms +
				     request->httpd->options.timeout_ms;
	if (expect && strcasecmp(expect, "100-continue") == 0)
		say_continue(wsi);
}

static int on_request(struct httpd_conn *conn, struct lws *wsi)
{
	struct httpd_request *request;
	bool given;

	conn->wsi = wsi;
	if (conn->request || !identify(conn, wsi))
		return -1;
	request = httpd__request_make(conn);
	if (!request)
		return -1;
	conn->request = request;
	conn->requests++;
	request->close = request->httpd->options.close_each;
	if (!httpd__request_read(request, wsi) ||
	    !body_length(request, &given)) {
		refuse(request, 400, "malformed", "the request is malformed");
		return 0;
	}
	if (httpd_header(request, "transfer-encoding")) {
		refuse(request, 411, "malformed",
		       "a body needs Content-Length here");
		return 0;
	}
	if (request->body_length > request->httpd->options.body_size_max) {
		refuse(request, 413, "too_big", "the body is too big");
		return 0;
	}
	if (request->body_length > 0) {
		expect_body(request, wsi);
		return 0;
	}
	/* libwebsockets waits for a body after POST, PUT and PATCH without a
	 * length; there is none, and it cannot be told: end the connection. */
	if (!given && (strcmp(request->method, "POST") == 0 ||
		       strcmp(request->method, "PUT") == 0 ||
		       strcmp(request->method, "PATCH") == 0))
		request->close = true;
	return dispatch(request, wsi);
}

/* A request with a body that was sent ahead of the answer before it: given the
 * chance, libwebsockets 4.1 takes its head for its body. Nobody sends such
 * requests in earnest; a body that begins like its own request line is one. */
static bool is_head_again(const struct httpd_request *request,
			  const void *data, size_t size)
{
	size_t length = strlen(request->method);

	return request->conn->requests > 1 &&
	       memcmp(data, request->method, size < length ? size : length) ==
		       0;
}

static int on_body(struct httpd_conn *conn, const void *data, size_t size)
{
	struct httpd_request *request = conn->request;
	uint64_t slow_ms;

	if (!request || request->whole)
		return 0; /* refused: what still comes is thrown away */
	if (size > request->body_length - request->body_size ||
	    (request->body_size == 0 && is_head_again(request, data, size)))
		return -1;
	if (!request->body) {
		if (!httpd__has_room(request->httpd, request->body_length)) {
			refuse(request, 503, "busy", "too much to hold at once");
			return 0;
		}
		request->body = malloc(request->body_length + 1);
		if (!request->body)
			return -1;
		request->held = request->body_length;
		request->httpd->held += request->held;
	}
	memcpy(request->body + request->body_size, data, size);
	request->body_size += size;
	slow_ms = request->httpd->options.timeout_ms +
		  request->body_size / BODY_RATE_PER_MS;
	conn->deadline_ms = request->body_since_ms + slow_ms;
	return 0;
}

static int on_body_end(struct httpd_conn *conn, struct lws *wsi)
{
	struct httpd_request *request = conn->request;

	if (!request)
		return -1;
	/* What a client sends ahead behind a body makes libwebsockets say this
	 * again and again: while the answer is awaited, which does no harm, or
	 * in a loop that would never end (lws_http_action of 4.1). */
	if (++request->body_ends > BODY_ENDS_MAX)
		return -1;
	if (request->whole)
		return 0;
	if (request->body_size != request->body_length)
		return -1;
	if (request->body)
		request->body[request->body_size] = '\0';
	return dispatch(request, wsi);
}

/* The answer is out: on to the next request, or the end. */
static int completed(struct httpd_conn *conn, struct lws *wsi)
{
	struct httpd_request *request = conn->request;
	bool close = request->close;
	bool unread = request->body_size < request->body_length;

	conn->request = NULL;
	/* What is not sent yet must go soon; then come idle times. */
	conn->deadline_ms = clock_monotonic_ms() +
			    (lws_partial_buffered(wsi) ?
				     conn->httpd->options.timeout_ms :
				     HTTPD_KEEPALIVE_MS);
	httpd__request_free(request);
	if (!close)
		return lws_http_transaction_completed(wsi) ? -1 : 0;
	if (!unread)
		return -1;
	/* Closing on unread bytes would reset the connection, and the client
	 * might never see why: take them for a while. */
	conn->deadline_ms = clock_monotonic_ms() + DISCARD_MS;
	return 0;
}

static int on_writable(struct httpd_conn *conn, struct lws *wsi)
{
	struct httpd_request *request = conn->request;
	int done;

	if (!request)
		return 0;
	done = httpd__write_some(request, wsi);
	if (done > 0)
		return completed(conn, wsi);
	return done;
}

/* Runs once, for the TLS listener. */
static void configure_tls(SSL_CTX *context)
{
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

static int on_conn(struct lws *wsi, struct httpd_conn *conn,
		   enum lws_callback_reasons reason, void *in, size_t size)
{
	/* The others are of roles and events that we do not use. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
	switch (reason) {
	case LWS_CALLBACK_HTTP:
		return on_request(conn, wsi);
	case LWS_CALLBACK_HTTP_BODY:
		return on_body(conn, in, size);
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return on_body_end(conn, wsi);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return on_writable(conn, wsi);
	case LWS_CALLBACK_CLOSED_HTTP:
		if (conn->request)
			httpd__client_gone(conn->request);
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		lws_set_opaque_user_data(wsi, NULL);
		httpd__forget(conn);
		return 0;
	/* Upgrades and other roles are not spoken here: hang up, and answer
	 * nothing (an answer from within the first is CVE-2025-11677). */
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
	case LWS_CALLBACK_ESTABLISHED:
	case LWS_CALLBACK_RECEIVE:
	case LWS_CALLBACK_RAW_ADOPT:
	case LWS_CALLBACK_RAW_RX:
	case LWS_CALLBACK_RAW_WRITEABLE:
		return -1;
	default:
		return 0;
	}
#pragma GCC diagnostic pop
}

int httpd__callback(struct lws *wsi, enum lws_callback_reasons reason,
		    void *user, void *in, size_t size)
{
	struct httpd_conn *conn;

	if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
		configure_tls(user);
		return 0;
	}
	/* `size` is OpenSSL's own verdict; it stands. */
	if (reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION)
		return size == 1 ? 0 : 1;
	if (reason == LWS_CALLBACK_WSI_CREATE) {
		struct httpd *httpd = lws_context_user(lws_get_context(wsi));

		httpd->created = true;
		return 0;
	}
	conn = wsi ? lws_get_opaque_user_data(wsi) : NULL;
	if (!conn)
		return 0;
	return on_conn(wsi, conn, reason, in, size);
}
