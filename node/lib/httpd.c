#include "node/lib/httpd.h"

#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/clock.h"
#include "node/lib/httpd_inner.h"
#include "node/lib/log.h"
#include "node/lib/stream_inner.h"

#define ACCEPTS_PER_TURN 32
/* Turns of the loop in which libwebsockets closes its handles: connections in
 * one, what is shared in the next. Doubled. */
#define CLOSING_TURNS 6

static const struct lws_protocols protocols[] = {
	{ .name = "http", .callback = httpd__callback },
	{ .name = NULL },
};

static void lws_says(int level, const char *line)
{
	size_t size = strlen(line);

	if (size > 0 && line[size - 1] == '\n')
		size--;
	if (level & LLL_ERR)
		log_warn("httpd", "lws: %.*s", (int)size, line);
	else
		log_debug("httpd", "lws: %.*s", (int)size, line);
}

static void adopt(struct httpd_listener *listener, struct httpd_conn *conn,
		  int fd)
{
	struct httpd *httpd = listener->httpd;
	lws_adopt_desc_t adoption = {
		.vh = listener->vhost,
		.type = LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP |
			(listener->kind == HTTPD_TLS ? LWS_ADOPT_ALLOW_SSL : 0),
		.fd = { .sockfd = fd },
		.opaque = conn,
	};
	struct lws *wsi;

	conn->httpd = httpd;
	conn->deadline_ms = clock_monotonic_ms() + httpd->options.timeout_ms;
	conn->next = httpd->conns;
	if (conn->next)
		conn->next->prev = conn;
	httpd->conns = conn;
	httpd->conn_count++;
	httpd->created = false;
	wsi = lws_adopt_descriptor_vhost_via_info(&adoption);
	if (wsi)
		conn->wsi = wsi;
	else if (!httpd->created)
		httpd__forget(conn);
	/* else: it was made and failed; its destruction forgets the connection,
	 * or has done so. */
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct httpd_listener *listener = poll->data;
	struct httpd *httpd = listener->httpd;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct httpd_conn *conn = calloc(1, sizeof *conn);
		int fd = conn ? httpd__accept(listener, conn) : -1;

		if (fd < 0) {
			free(conn);
			return;
		}
		if (httpd->conn_count >= httpd->options.connections_max) {
			close(fd);
			free(conn);
			continue;
		}
		adopt(listener, conn, fd);
	}
}

void httpd__forget(struct httpd_conn *conn)
{
	struct httpd *httpd = conn->httpd;

	if (conn->prev)
		conn->prev->next = conn->next;
	else
		httpd->conns = conn->next;
	if (conn->next)
		conn->next->prev = conn->prev;
	httpd->conn_count--;
	if (conn->request)
		httpd__client_gone(conn->request);
	free(conn);
}

/* While an answer is awaited libwebsockets does not read, and would not see
 * that the client has hung up. */
static bool hung_up(struct httpd_conn *conn)
{
	struct pollfd at = { .fd = lws_get_socket_fd(conn->wsi),
			     .events = POLLRDHUP };

	return at.fd >= 0 && poll(&at, 1, 0) == 1 &&
	       (at.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

static void look_after(struct httpd *httpd)
{
	uint64_t now_ms = clock_monotonic_ms();
	struct httpd_conn *next;

	for (struct httpd_conn *at = httpd->conns; at; at = next) {
		next = at->next;
		if (!at->wsi)
			continue;
		if (at->deadline_ms > 0 && now_ms >= at->deadline_ms)
			httpd__cut(at);
		else if (at->request && at->request->whole &&
			 !at->request->first && hung_up(at))
			httpd__cut(at);
	}
}

static void on_tick_gone(uv_handle_t *handle)
{
	struct httpd *httpd = handle->data;

	free(handle);
	stream_tls_close(httpd->pki);
	if (httpd->closed)
		httpd->closed(httpd->closed_ctx);
	free(httpd);
}

static void on_tick(uv_timer_t *timer)
{
	struct httpd *httpd = timer->data;

	if (!httpd->closing) {
		look_after(httpd);
		return;
	}
	if (httpd->closing_turns++ == 0) {
		lws_context_destroy(httpd->context);
		return;
	}
	if (httpd->closing_turns < CLOSING_TURNS || httpd->conn_count > 0)
		return;
	/* On a loop that is not its own, libwebsockets waits to be asked once
	 * more when its handles are closed. */
	if (httpd->context)
		lws_context_destroy(httpd->context);
	uv_timer_stop(timer);
	uv_close((uv_handle_t *)timer, on_tick_gone);
}

static void on_poll_gone(uv_handle_t *handle)
{
	free(handle);
}

static void close_listener(struct httpd_listener *listener)
{
	if (listener->poll) {
		uv_poll_stop(listener->poll);
		uv_close((uv_handle_t *)listener->poll, on_poll_gone);
		listener->poll = NULL;
	}
	if (listener->fd >= 0)
		close(listener->fd);
	listener->fd = -1;
	if (*listener->path)
		unlink(listener->path);
	*listener->path = '\0';
}

void httpd_close(struct httpd *httpd, void (*closed)(void *ctx), void *ctx)
{
	if (httpd->closing)
		return;
	httpd->closing = true;
	httpd->closed = closed;
	httpd->closed_ctx = ctx;
	for (uint32_t i = 0; i < httpd->listener_count; i++)
		close_listener(&httpd->listeners[i]);
	/* Later: we may be inside a callback of libwebsockets. */
	uv_timer_start(httpd->tick, on_tick, 0, 1);
}

static unsigned timeout_seconds(const struct httpd *httpd)
{
	return (httpd->options.timeout_ms + 999) / 1000;
}

static int open_context(struct httpd *httpd, struct fault *fault)
{
	void *loops[] = { httpd->loop };
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.options = LWS_SERVER_OPTION_LIBUV |
			   LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
		.foreign_loops = loops,
		.pcontext = &httpd->context,
		.protocols = protocols,
		.max_http_header_data2 = HTTPD_HEADERS_SIZE_MAX + 512,
		.max_http_header_pool2 = httpd->options.connections_max,
		.pt_serv_buf_size = HTTPD_PIECE_SIZE_MAX,
		.timeout_secs = timeout_seconds(httpd),
		.timeout_secs_ah_idle = timeout_seconds(httpd),
		.fd_limit_per_thread = httpd->options.connections_max + 64,
		.server_string = httpd->server,
		.user = httpd,
	};

	lws_set_log_level(LLL_ERR | LLL_WARN, lws_says);
	httpd->context = lws_create_context(&info);
	if (!httpd->context)
		return fault_set(fault, BERTH_NOMEM,
				 "libwebsockets cannot start (is its libuv "
				 "plugin installed?)");
	return BERTH_OK;
}

static struct lws_vhost *open_vhost(struct httpd *httpd, const char *name,
				    struct lws_context_creation_info *info)
{
	info->port = CONTEXT_PORT_NO_LISTEN_SERVER;
	info->protocols = protocols;
	info->vhost_name = name;
	info->keepalive_timeout = HTTPD_KEEPALIVE_MS / 1000;
	info->timeout_secs = timeout_seconds(httpd);
	info->user = httpd;
	info->alpn = "http/1.1";
	return lws_create_vhost(httpd->context, info);
}

static int open_tls(struct httpd *httpd, const char *pki, struct fault *fault)
{
	char ca[4096], cert[4096], key[4096];
	struct lws_context_creation_info info = {
		.options = LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT |
			   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
		.ssl_ca_filepath = ca,
		.ssl_cert_filepath = cert,
		.ssl_private_key_filepath = key,
	};
	int code;

	/* The same checks, with the same words, as for streams. Its context is
	 * also the one for clients that libwebsockets would otherwise make for
	 * itself, and not free (4.1). */
	code = stream_tls_open(&httpd->pki, pki, fault);
	if (code)
		return code;
	httpd->self = *stream_tls_self(httpd->pki);
	info.provided_client_ssl_ctx = httpd->pki->context;
	snprintf(ca, sizeof ca, "%s/ca.pem", pki);
	snprintf(cert, sizeof cert, "%s/cert.pem", pki);
	snprintf(key, sizeof key, "%s/key.pem", pki);
	httpd->tls = open_vhost(httpd, "berth tls", &info);
	if (!httpd->tls)
		return fault_set(fault, BERTH_IO, "TLS with %s failed", pki);
	return BERTH_OK;
}

static int open_listener(struct httpd *httpd, const struct httpd_listen *listen,
			 struct fault *fault)
{
	struct httpd_listener *listener =
		&httpd->listeners[httpd->listener_count++];
	int code;

	listener->httpd = httpd;
	code = httpd__bind(listener, listen, fault);
	if (code)
		return code;
	if (listen->kind == HTTPD_TLS && !httpd->tls)
		code = open_tls(httpd, listen->pki, fault);
	if (code)
		return code;
	listener->vhost = listen->kind == HTTPD_TLS ? httpd->tls : httpd->plain;
	listener->poll = malloc(sizeof *listener->poll);
	if (!listener->poll)
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	uv_poll_init(httpd->loop, listener->poll, listener->fd);
	listener->poll->data = listener;
	uv_poll_start(listener->poll, UV_READABLE, on_connection);
	return BERTH_OK;
}

static int open_all(struct httpd *httpd, const struct httpd_listen *listens,
		    uint32_t count, struct fault *fault)
{
	struct lws_context_creation_info info = { .port = 0 };
	int code = open_context(httpd, fault);

	if (code)
		return code;
	httpd->plain = open_vhost(httpd, "berth plain", &info);
	if (!httpd->plain)
		return fault_set(fault, BERTH_NOMEM, "libwebsockets: no vhost");
	for (uint32_t i = 0; i < count && !code; i++)
		code = open_listener(httpd, &listens[i], fault);
	return code;
}

static void set_options(struct httpd *httpd, const struct httpd_options *given)
{
	httpd->options = *given;
	if (httpd->options.connections_max == 0)
		httpd->options.connections_max = 256;
	if (httpd->options.timeout_ms == 0)
		httpd->options.timeout_ms = 10000;
	if (httpd->options.body_size_max == 0)
		httpd->options.body_size_max = 1u << 20;
	snprintf(httpd->server, sizeof httpd->server, "%s",
		 given->server ? given->server : "berth");
	httpd->options.server = httpd->server;
}

int httpd_open(struct httpd **out, uv_loop_t *loop,
	       const struct httpd_listen *listens, uint32_t count,
	       const struct httpd_options *options, httpd_handler handler,
	       void *ctx, struct fault *fault)
{
	struct httpd *httpd = calloc(1, sizeof *httpd);
	int code;

	REQUIRE(count > 0 && count <= HTTPD_LISTENS_MAX);
	if (!httpd || !(httpd->tick = malloc(sizeof *httpd->tick))) {
		free(httpd);
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	}
	signal(SIGPIPE, SIG_IGN);
	httpd->loop = loop;
	httpd->handler = handler;
	httpd->ctx = ctx;
	set_options(httpd, options);
	uv_timer_init(loop, httpd->tick);
	httpd->tick->data = httpd;
	code = open_all(httpd, listens, count, fault);
	if (code) {
		httpd_close(httpd, NULL, NULL);
		return code;
	}
	uv_timer_start(httpd->tick, on_tick, HTTPD_TICK_MS, HTTPD_TICK_MS);
	*out = httpd;
	return BERTH_OK;
}
