/* The HTTP client on a loop, against our own server on the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "node/lib/clock.h"
#include "node/lib/http_client.h"
#include "node/lib/httpd.h"

#define PORT 21120
#define URL(path) "http://127.0.0.1:21120" path

static uv_loop_t loop;
static struct httpd *httpd;
static struct http_client *client;
static struct httpd_request *held;
static uv_timer_t wake;

struct result {
	int status, code, done;
	size_t size;
	char body[256], location[128], text[512];
};

static void handler(void *ctx, struct httpd_request *request)
{
	static char big[100000];
	static const struct httpd_header there[] = { { "Location", "/there" } };
	static const struct httpd_header file[] = {
		{ "Location", "file:///etc/passwd" }
	};
	const char *path = httpd_path(request);

	(void)ctx;
	if (strcmp(path, "/hold") == 0)
		held = request;
	else if (strcmp(path, "/big") == 0)
		httpd_respond(request, 200, NULL, 0, "x/y", big, sizeof big);
	else if (strcmp(path, "/redirect") == 0)
		httpd_respond(request, 307, there, 1, NULL, NULL, 0);
	else if (strcmp(path, "/redirect-file") == 0)
		httpd_respond(request, 302, file, 1, NULL, NULL, 0);
	else
		httpd_respond(request, 200, NULL, 0, "text/plain", path,
			      strlen(path));
}

static void on_done(void *ctx, const struct http_answer *answer)
{
	struct result *result = ctx;

	result->done++;
	result->status = answer->status;
	result->code = answer->fault.code;
	result->size = answer->body_size;
	snprintf(result->body, sizeof result->body, "%s", answer->body);
	snprintf(result->text, sizeof result->text, "%s", answer->fault.text);
	http_answer_header(answer, "location", result->location,
			   sizeof result->location);
}

static void on_wake(uv_timer_t *timer)
{
	(void)timer;
}

#define UNTIL(condition)                                            \
	do {                                                        \
		uint64_t end_ms = clock_monotonic_ms() + 8000;      \
		while (!(condition)) {                              \
			uv_run(&loop, UV_RUN_ONCE);                 \
			if (clock_monotonic_ms() > end_ms)          \
				fail_msg("not in time: " #condition); \
		}                                                   \
	} while (0)

static void ask(struct http_call call, struct result *result)
{
	memset(result, 0, sizeof *result);
	if (!call.method)
		call.method = "GET";
	if (!call.timeout_ms)
		call.timeout_ms = 5000;
	call.ctx = result;
	assert_int_equal(http_client_send(client, &call, on_done), 0);
	assert_int_equal(result->done, 0); /* never inside send */
}

static void test_many_at_once(void **state)
{
	struct result results[40];

	(void)state;
	for (int i = 0; i < 40; i++)
		ask((struct http_call){ .url = URL("/x") }, &results[i]);
	for (int i = 0; i < 40; i++) {
		UNTIL(results[i].done);
		assert_int_equal(results[i].status, 200);
		assert_string_equal(results[i].body, "/x");
	}
}

static void test_too_big(void **state)
{
	struct result result;

	(void)state;
	ask((struct http_call){ .url = URL("/big"),
				.answer_size_max = 99999 }, &result);
	UNTIL(result.done);
	assert_int_equal(result.status, 0);
	assert_int_equal(result.code, BERTH_TOOBIG);
	assert_non_null(strstr(result.text, "GET " URL("/big")));
	ask((struct http_call){ .url = URL("/big"),
				.answer_size_max = 100000 }, &result);
	UNTIL(result.done);
	assert_int_equal(result.size, 100000);
}

static void test_time_out(void **state)
{
	uint64_t since = clock_monotonic_ms();
	struct result result;

	(void)state;
	ask((struct http_call){ .url = URL("/hold"), .timeout_ms = 100 },
	    &result);
	UNTIL(result.done);
	assert_int_equal(result.code, BERTH_TIMEOUT);
	assert_true(clock_monotonic_ms() - since < 2000);
	assert_non_null(held);
	httpd_respond(held, 200, NULL, 0, NULL, NULL, 0); /* to nobody */
	held = NULL;
}

static void test_refused(void **state)
{
	struct result result;
	struct http_call call = { .method = "GET", .url = "gopher://x/" };

	(void)state;
	ask((struct http_call){ .url = "http://127.0.0.1:21199/" }, &result);
	UNTIL(result.done);
	assert_int_equal(result.code, BERTH_IO);
	assert_non_null(strstr(result.text, "127.0.0.1"));
	ask(call, &result);
	UNTIL(result.done);
	assert_int_equal(result.code, BERTH_INVALID);
	ask((struct http_call){ .url = "file:///etc/passwd" }, &result);
	UNTIL(result.done);
	assert_int_equal(result.code, BERTH_INVALID);
	ask((struct http_call){ .url = "http://x/",
				.unix_socket = "/nowhere/x.sock" }, &result);
	UNTIL(result.done);
	assert_int_equal(result.code, BERTH_IO);
}

static void test_redirects(void **state)
{
	struct result result;

	(void)state;
	ask((struct http_call){ .url = URL("/redirect") }, &result);
	UNTIL(result.done);
	assert_int_equal(result.status, 307);
	assert_string_equal(result.location, "/there");
	ask((struct http_call){ .url = URL("/redirect"), .follow = true },
	    &result);
	UNTIL(result.done);
	assert_int_equal(result.status, 200);
	assert_string_equal(result.body, "/there");
	ask((struct http_call){ .url = URL("/redirect-file"), .follow = true },
	    &result);
	UNTIL(result.done);
	assert_int_equal(result.status, 0);
	assert_int_equal(result.code, BERTH_INVALID);
}

/* In a namespace of its own nothing listens; and the thread has come back:
 * the next request without one is served. */
static void test_netns(void **state)
{
	char path[] = "/tmp/berth-netns-XXXXXX";
	struct result result;
	int home, fd;

	(void)state;
	home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (unshare(CLONE_NEWNET) != 0) {
		print_message("skipped: no network namespaces: %s\n",
			      strerror(errno));
		close(home);
		skip();
	}
	fd = mkstemp(path);
	close(fd);
	if (mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) != 0) {
		assert_int_equal(setns(home, CLONE_NEWNET), 0);
		close(home);
		unlink(path);
		print_message("skipped: no bind mounts\n");
		skip();
	}
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	ask((struct http_call){ .url = URL("/x") }, &result);
	UNTIL(result.done);
	assert_int_equal(result.status, 200);
	ask((struct http_call){ .url = URL("/x"), .netns = path,
				.timeout_ms = 1000 }, &result);
	UNTIL(result.done);
	assert_int_equal(result.status, 0);
	umount2(path, MNT_DETACH);
	unlink(path);
	ask((struct http_call){ .url = URL("/x") }, &result);
	UNTIL(result.done);
	assert_int_equal(result.status, 200);
	ask((struct http_call){ .url = URL("/x"), .netns = "/nowhere/net" },
	    &result);
	UNTIL(result.done);
	assert_int_equal(result.code, BERTH_IO);
	assert_non_null(strstr(result.text, "/nowhere/net"));
}

static void on_closed(void *ctx)
{
	++*(int *)ctx;
}

/* What is open is answered with CLOSED, then the client goes. */
static void test_close(void **state)
{
	struct http_call call = { .method = "GET", .url = URL("/x") };
	struct result result;
	int closed = 0;

	(void)state;
	ask((struct http_call){ .url = URL("/hold") }, &result);
	UNTIL(held);
	http_client_close(client, on_closed, &closed);
	assert_int_equal(result.done, 1);
	assert_int_equal(result.code, BERTH_CLOSED);
	assert_int_equal(http_client_send(client, &call, on_done),
			 BERTH_CLOSED);
	UNTIL(closed);
	httpd_respond(held, 200, NULL, 0, NULL, NULL, 0);
	held = NULL;
}

static int setup(void **state)
{
	static const struct httpd_options options = { .timeout_ms = 2000 };
	struct httpd_listen listen = { .kind = HTTPD_TCP, .host = "127.0.0.1",
				       .port = PORT };
	struct fault fault;

	(void)state;
	uv_loop_init(&loop);
	uv_timer_init(&loop, &wake);
	uv_timer_start(&wake, on_wake, 10, 10);
	if (httpd_open(&httpd, &loop, &listen, 1, &options, handler, NULL,
		       &fault) || http_client_open(&client, &loop, &fault)) {
		fprintf(stderr, "%s\n", fault.text);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	int closed = 0;

	(void)state;
	httpd_close(httpd, on_closed, &closed);
	uv_close((uv_handle_t *)&wake, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	return closed == 1 ? uv_loop_close(&loop) : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_too_big),
		cmocka_unit_test(test_time_out),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_redirects),
		cmocka_unit_test(test_netns),
		cmocka_unit_test(test_close),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
