#include "node/lib/http_client.h"

#include <stdlib.h>

#include "node/lib/http_call.h"

/* libcurl says which sockets to watch and when to wake; we do both with libuv
 * and let it act. Answers are given after it has returned, so that a callback
 * may ask for more, or close the client. */

struct http_client {
	uv_loop_t *loop;
	CURLM *multi;
	uv_timer_t timer;
	struct http_transfer *transfers;
	uint32_t handles; /* the timer and the watched sockets */
	bool closing, giving;
	void (*closed)(void *ctx);
	void *closed_ctx;
};

struct watch {
	uv_poll_t poll;
	struct http_client *client;
	curl_socket_t socket;
};

static void handle_gone(struct http_client *client)
{
	ENSURE(client->handles > 0);
	if (--client->handles > 0 || !client->closing)
		return;
	if (client->closed)
		client->closed(client->closed_ctx);
	free(client);
}

static void unlink_transfer(struct http_client *client,
			    struct http_transfer *transfer)
{
	if (transfer->prev)
		transfer->prev->next = transfer->next;
	else
		client->transfers = transfer->next;
	if (transfer->next)
		transfer->next->prev = transfer->prev;
}

static void give(struct http_client *client, struct http_transfer *transfer,
		 CURLcode code)
{
	struct http_answer answer;

	curl_multi_remove_handle(client->multi, transfer->easy);
	unlink_transfer(client, transfer);
	http_transfer_answer(transfer, code, &answer);
	transfer->done(transfer->ctx, &answer);
	http_transfer_close(transfer);
}

static void close_now(struct http_client *client);

static void give_all(struct http_client *client)
{
	CURLMsg *message;
	int left;

	client->giving = true;
	while (!client->closing &&
	       (message = curl_multi_info_read(client->multi, &left))) {
		struct http_transfer *transfer = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
				  &transfer);
		give(client, transfer, code);
	}
	client->giving = false;
	if (client->closing)
		close_now(client);
}

static void act(struct http_client *client, curl_socket_t socket, int events)
{
	int running;

	curl_multi_socket_action(client->multi, socket, events, &running);
	give_all(client);
}

static void on_timer(uv_timer_t *timer)
{
	act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int want_timer(CURLM *multi, long after_ms, void *arg)
{
	struct http_client *client = arg;

	(void)multi;
	if (client->closing)
		return 0;
	if (after_ms < 0)
		uv_timer_stop(&client->timer);
	else
		uv_timer_start(&client->timer, on_timer, (uint64_t)after_ms, 0);
	return 0;
}

static void on_socket(uv_poll_t *poll, int status, int events)
{
	struct watch *watch = poll->data;
	int flags = 0;

	if (status < 0)
		flags = CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	act(watch->client, watch->socket, flags);
}

static void on_watch_gone(uv_handle_t *handle)
{
	struct watch *watch = handle->data;
	struct http_client *client = watch->client;

	free(watch);
	handle_gone(client);
}

static struct watch *watch_make(struct http_client *client,
				curl_socket_t socket)
{
	struct watch *watch = malloc(sizeof *watch);

	if (!watch)
		return NULL;
	watch->client = client;
	watch->socket = socket;
	if (uv_poll_init_socket(client->loop, &watch->poll, socket)) {
		free(watch);
		return NULL;
	}
	watch->poll.data = watch;
	client->handles++;
	curl_multi_assign(client->multi, socket, watch);
	return watch;
}

static int want_socket(CURL *easy, curl_socket_t socket, int what, void *arg,
		       void *socket_data)
{
	struct http_client *client = arg;
	struct watch *watch = socket_data;
	int events = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watch) {
			uv_poll_stop(&watch->poll);
			uv_close((uv_handle_t *)&watch->poll, on_watch_gone);
			curl_multi_assign(client->multi, socket, NULL);
		}
		return 0;
	}
	if (!watch)
		watch = watch_make(client, socket);
	if (!watch)
		return -1;
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= UV_READABLE;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= UV_WRITABLE;
	uv_poll_start(&watch->poll, events, on_socket);
	return 0;
}

int http_client_open(struct http_client **out, uv_loop_t *loop,
		     struct fault *fault)
{
	struct http_client *client = calloc(1, sizeof *client);

	if (!client)
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	client->multi = curl_multi_init();
	if (!client->multi) {
		free(client);
		return fault_set(fault, BERTH_NOMEM, "libcurl cannot start");
	}
	client->loop = loop;
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, 64L);
	uv_timer_init(loop, &client->timer);
	client->timer.data = client;
	client->handles = 1;
	*out = client;
	return BERTH_OK;
}

int http_client_send(struct http_client *client, const struct http_call *call,
		     void (*done)(void *ctx, const struct http_answer *answer))
{
	struct http_transfer *transfer = NULL;
	int code;

	if (client->closing)
		return BERTH_CLOSED;
	code = http_transfer_open(&transfer, call, NULL);
	if (code)
		return code;
	transfer->done = done;
	transfer->next = client->transfers;
	if (transfer->next)
		transfer->next->prev = transfer;
	client->transfers = transfer;
	if (curl_multi_add_handle(client->multi, transfer->easy) == CURLM_OK)
		return BERTH_OK;
	unlink_transfer(client, transfer);
	http_transfer_close(transfer);
	return BERTH_NOMEM;
}

static void on_timer_gone(uv_handle_t *handle)
{
	handle_gone(handle->data);
}

static void close_now(struct http_client *client)
{
	while (client->transfers) {
		struct http_transfer *transfer = client->transfers;

		fault_set(&transfer->fault, BERTH_CLOSED, "closing");
		give(client, transfer, CURLE_ABORTED_BY_CALLBACK);
	}
	curl_multi_cleanup(client->multi);
	uv_timer_stop(&client->timer);
	uv_close((uv_handle_t *)&client->timer, on_timer_gone);
}

void http_client_close(struct http_client *client, void (*closed)(void *ctx),
		       void *ctx)
{
	if (client->closing)
		return;
	client->closing = true;
	client->closed = closed;
	client->closed_ctx = ctx;
	if (!client->giving)
		close_now(client);
}
