/* The door: requests reach a program's socket and its answers come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/agent/door.h"
#include "node/lib/crypto.h"

#define PORT 21317
#define BASE "http://127.0.0.1:21317"
#define BODY_MAX 65536u

static const char program_text[] =
	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static uv_loop_t loop;
static struct http_client *http;
static struct httpd *httpd;
static uv_pipe_t listener;
static char folder[64], path[96];

/* --- a program: one connection, one raw answer ------------------------------- */

struct client {
	uv_pipe_t pipe;
	uv_write_t write;
	char request[BODY_MAX];
	size_t size;
	char *answer;
};
static char seen[BODY_MAX]; /* the last request, whole */

static void client_gone(uv_handle_t *handle)
{
	struct client *client = handle->data;

	free(client->answer);
	free(client);
}

static void written(uv_write_t *write, int status)
{
	struct client *client = write->data;

	(void)status;
	uv_close((uv_handle_t *)&client->pipe, client_gone);
}

static void answer(struct client *client, const char *text, size_t size)
{
	uv_buf_t part = uv_buf_init((char *)(uintptr_t)text, (unsigned)size);

	client->write.data = client;
	assert_int_equal(uv_write(&client->write, (uv_stream_t *)&client->pipe,
				  &part, 1, written), 0);
}

static void answer_big(struct client *client)
{
	size_t size = DOOR_BODY_SIZE_MAX + 1000;
	int head;

	client->answer = malloc(size + 200);
	head = snprintf(client->answer, 200,
			"HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
	memset(client->answer + head, 'x', size);
	answer(client, client->answer, (size_t)head + size);
}

static bool whole(const struct client *client)
{
	const char *end = strstr(client->request, "\r\n\r\n");
	const char *length = strcasestr(client->request, "content-length:");

	if (!end)
		return false;
	return !length || length > end ||
	       (size_t)(end + 4 - client->request) +
	       strtoul(length + 15, NULL, 10) <= client->size;
}

static void serve(struct client *client)
{
	static const char usual[] =
		"HTTP/1.1 201 Created\r\nContent-Type: text/x-test\r\n"
		"X-Program: yes\r\nConnection: close\r\nKeep-Alive: 5\r\n"
		"Berth-Epoch: 1.1\r\nContent-Length: 5\r\n\r\nhello";
	static const char chunked[] =
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";

	static const char switches[] = "HTTP/1.1 101 Switching Protocols\r\n"
		"Upgrade: x\r\nConnection: upgrade\r\n\r\n";
	static const char odd[] = "HTTP/1.1 200 OK\r\nX Y: space\r\n"
		"X-Bell: a\ab\r\nX-Good: 1\r\nTransfer-Encoding: identity\r\n"
		"Content-Length: 2\r\n\r\nok";

	memcpy(seen, client->request, client->size + 1);
	if (strstr(client->request, "/big"))
		answer_big(client);
	else if (strstr(client->request, "/hangup"))
		uv_close((uv_handle_t *)&client->pipe, client_gone);
	else if (strstr(client->request, "/switch"))
		answer(client, switches, sizeof switches - 1);
	else if (strstr(client->request, "/odd"))
		answer(client, odd, sizeof odd - 1);
	else if (strstr(client->request, "/chunked"))
		answer(client, chunked, sizeof chunked - 1);
	else
		answer(client, usual, sizeof usual - 1);
}

static void room(uv_handle_t *handle, size_t wanted, uv_buf_t *out)
{
	struct client *client = handle->data;

	(void)wanted;
	*out = uv_buf_init(client->request + client->size,
			   (unsigned)(BODY_MAX - 1 - client->size));
}

static void got(uv_stream_t *stream, ssize_t size, const uv_buf_t *part)
{
	struct client *client = stream->data;

	(void)part;
	if (size < 0) {
		if (!uv_is_closing((uv_handle_t *)stream) &&
		    !client->write.data)
			uv_close((uv_handle_t *)stream, client_gone);
		return;
	}
	client->size += (size_t)size;
	client->request[client->size] = '\0';
	if (whole(client)) {
		uv_read_stop(stream);
		serve(client);
	}
}

static void came(uv_stream_t *server, int status)
{
	struct client *client = calloc(1, sizeof *client);

	assert_int_equal(status, 0);
	assert_non_null(client);
	uv_pipe_init(&loop, &client->pipe, 0);
	client->pipe.data = client;
	assert_int_equal(uv_accept(server, (uv_stream_t *)&client->pipe), 0);
	uv_read_start((uv_stream_t *)&client->pipe, room, got);
}

/* --- the door, with a runner that knows one program ---------------------------- */

static void knock(void *ctx, struct httpd_request *request)
{
	struct runner_target target = { .ready = true, .gen = 2,
					.epoch = 655361 };
	struct hash hash, known;
	const char *rest;
	char text[4096];

	(void)ctx;
	assert_int_equal(hash_parse(program_text, &known), 0);
	if (!door_path(httpd_raw_path(request), &hash, &rest) ||
	    !hash_equal(&hash, &known)) {
		httpd_respond_error(request, 404, "not_found", "unknown");
		return;
	}
	snprintf(target.unix_socket, sizeof target.unix_socket, "%s", path);
	snprintf(text, sizeof text, "%s%s%s", rest,
		 httpd_query(request) ? "?" : "",
		 httpd_query(request) ? httpd_query(request) : "");
	door_proxy(http, request, &target, text);
}

/* --- asking ----------------------------------------------------------------------- */

static struct {
	int status;
	char body[BODY_MAX], headers[BODY_MAX];
	bool done;
} said;

static void heard(void *ctx, const struct http_answer *a)
{
	(void)ctx;
	said.status = a->status;
	snprintf(said.body, sizeof said.body, "%.*s", (int)a->body_size,
		 a->body ? a->body : "");
	snprintf(said.headers, sizeof said.headers, "%s",
		 a->headers ? a->headers : "");
	said.done = true;
}

static void ask(const char *method, const char *rest,
		const char *const *headers, const char *body)
{
	char url[512];
	struct http_call call = { .method = method, .url = url,
		.headers = headers, .body = body,
		.body_size = body ? strlen(body) : 0, .timeout_ms = 10000,
		.connect_ms = 1000, .answer_size_max = BODY_MAX };

	snprintf(url, sizeof url, BASE "%s", rest);
	memset(&said, 0, sizeof said);
	memset(seen, 0, sizeof seen);
	assert_int_equal(http_client_send(http, &call, heard), 0);
	while (!said.done)
		uv_run(&loop, UV_RUN_ONCE);
}

static const char *at(const char *rest)
{
	static char text[512];

	snprintf(text, sizeof text, "/vm/%s%s", program_text, rest);
	return text;
}

static void passes_a_request(void **state)
{
	static const char *const headers[] = { "X-Request-Id: one",
		"Connection: keep-alive", "Keep-Alive: 7", "TE: trailers",
		NULL };

	(void)state;
	ask("POST", at("/a%20b/c?x=%26&y"), headers, "the body");
	assert_int_equal(said.status, 201);
	assert_string_equal(said.body, "hello");
	/* As it was asked, without the door's prefix. */
	assert_memory_equal(seen, "POST /a%20b/c?x=%26&y HTTP/1.1\r\n", 32);
	assert_non_null(strcasestr(seen, "X-Request-Id: one"));
	assert_non_null(strcasestr(seen, "Host: 127.0.0.1:21317"));
	assert_non_null(strstr(seen, "\r\n\r\nthe body"));
	assert_null(strcasestr(seen, "Keep-Alive: 7"));
	assert_null(strcasestr(seen, "TE: trailers"));
}

static void brings_the_answer_back(void **state)
{
	(void)state;
	ask("GET", at("/"), NULL, NULL);
	assert_int_equal(said.status, 201);
	assert_non_null(strcasestr(said.headers, "X-Program: yes"));
	assert_non_null(strcasestr(said.headers, "Content-Type: text/x-test"));
	/* The epoch is ours to tell. */
	assert_non_null(strcasestr(said.headers, "Berth-Epoch: 2.655361"));
	assert_null(strcasestr(said.headers, "Berth-Epoch: 1.1"));
	assert_null(strcasestr(said.headers, "Keep-Alive: 5"));
	ask("GET", at("/chunked"), NULL, NULL);
	assert_int_equal(said.status, 200);
	assert_string_equal(said.body, "abcde");
}

static void bounds_the_answer(void **state)
{
	(void)state;
	ask("GET", at("/big"), NULL, NULL);
	assert_int_equal(said.status, 502);
	assert_non_null(strstr(said.body, "too_big"));
}

static void says_that_a_program_fails(void **state)
{
	(void)state;
	ask("GET", at("/hangup"), NULL, NULL);
	assert_int_equal(said.status, 502);
	assert_non_null(strstr(said.body, "unreachable"));
}

/* Nothing that would put answers out of step, or mean more than it says. */
static void passes_no_odd_heads(void **state)
{
	(void)state;
	ask("GET", at("/switch"), NULL, NULL);
	assert_int_equal(said.status, 502);
	ask("GET", at("/odd"), NULL, NULL);
	assert_int_equal(said.status, 200);
	assert_string_equal(said.body, "ok");
	assert_non_null(strcasestr(said.headers, "X-Good: 1"));
	assert_null(strcasestr(said.headers, "X Y"));
	assert_null(strcasestr(said.headers, "X-Bell"));
	assert_null(strcasestr(said.headers, "Transfer-Encoding"));
}

static void knows_its_paths(void **state)
{
	struct hash hash;
	const char *rest;
	char text[160];

	(void)state;
	assert_true(door_path(at("/x"), &hash, &rest));
	assert_string_equal(rest, "/x");
	assert_true(door_path(at(""), &hash, &rest));
	assert_string_equal(rest, "");
	assert_false(door_path(at("x"), &hash, &rest));
	assert_false(door_path("/vm/", &hash, &rest));
	assert_false(door_path("/vm/0011/", &hash, &rest));
	assert_false(door_path("/", &hash, &rest));
	snprintf(text, sizeof text, "/vm/%.62szz/", program_text);
	assert_false(door_path(text, &hash, &rest));
	ask("GET", "/vm/12/", NULL, NULL);
	assert_int_equal(said.status, 404);
}

static int set_up(void **state)
{
	static const struct httpd_options options = {
		.body_size_max = DOOR_BODY_SIZE_MAX, .timeout_ms = 5000,
		.connections_max = 16, .server = "test" };
	struct httpd_listen listen = { .kind = HTTPD_TCP,
		.host = "127.0.0.1", .port = PORT };
	struct fault fault = { 0 };

	(void)state;
	strcpy(folder, "/tmp/berth-door-XXXXXX");
	if (!mkdtemp(folder) || uv_loop_init(&loop) < 0)
		return -1;
	snprintf(path, sizeof path, "%s/http.sock", folder);
	uv_pipe_init(&loop, &listener, 0);
	if (uv_pipe_bind(&listener, path) < 0 ||
	    uv_listen((uv_stream_t *)&listener, 16, came) < 0)
		return -1;
	if (http_client_open(&http, &loop, &fault) != 0 ||
	    httpd_open(&httpd, &loop, &listen, 1, &options, knock, NULL,
		       &fault) != 0) {
		print_error("%s\n", fault.text);
		return -1;
	}
	return 0;
}

static void closed(void *ctx)
{
	--*(int *)ctx;
}

static int tear_down(void **state)
{
	int open = 2;

	(void)state;
	uv_close((uv_handle_t *)&listener, NULL);
	httpd_close(httpd, closed, &open);
	http_client_close(http, closed, &open);
	while (uv_run(&loop, UV_RUN_ONCE))
		;
	unlink(path);
	rmdir(folder);
	return open == 0 && uv_loop_close(&loop) == 0 ? 0 : -1;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(passes_a_request),
		cmocka_unit_test(brings_the_answer_back),
		cmocka_unit_test(bounds_the_answer),
		cmocka_unit_test(says_that_a_program_fails),
		cmocka_unit_test(passes_no_odd_heads),
		cmocka_unit_test(knows_its_paths),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
