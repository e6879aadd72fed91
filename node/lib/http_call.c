#include "node/lib/http_call.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#define HEADERS_SIZE_MAX (64u << 10)
#define ANSWER_SIZE_DEFAULT (16u << 20)
#define SMALL_SIZE_MAX 65536u /* needs no room of the caller's */
#define REDIRECTS_MAX 5L
#define TIMEOUT_MS_DEFAULT 30000

static bool take_room(struct http_transfer *transfer, size_t size)
{
	if (!transfer->room)
		return true;
	if (size > *transfer->room) {
		fault_set(&transfer->fault, BERTH_BUSY,
			  "too much to hold at once");
		return false;
	}
	*transfer->room -= size;
	transfer->taken += size;
	return true;
}

static size_t on_body(char *data, size_t one, size_t size, void *arg)
{
	struct http_transfer *transfer = arg;
	size_t need = transfer->answer_size + size + 1, capacity;
	char *grown;

	(void)one; /* always 1 */
	if (size > transfer->answer_size_max - transfer->answer_size) {
		fault_set(&transfer->fault, BERTH_TOOBIG,
			  "the answer is above %zu bytes",
			  transfer->answer_size_max);
		return 0;
	}
	capacity = transfer->answer_capacity;
	while (capacity < need)
		capacity = capacity ? capacity * 2 : 4096;
	if (capacity > transfer->answer_capacity) {
		if (capacity > SMALL_SIZE_MAX &&
		    !take_room(transfer, capacity - transfer->answer_capacity))
			return 0;
		grown = realloc(transfer->answer, capacity);
		if (!grown)
			return 0;
		transfer->answer = grown;
		transfer->answer_capacity = capacity;
	}
	memcpy(transfer->answer + transfer->answer_size, data, size);
	transfer->answer_size += size;
	transfer->answer[transfer->answer_size] = '\0';
	return size;
}

/* Status lines come this way too, and begin the headers of the next answer
 * (after a redirect or a 100). */
static size_t on_header(char *data, size_t one, size_t size, void *arg)
{
	struct http_transfer *transfer = arg;
	char *grown;

	(void)one;
	if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) {
		transfer->headers_size = transfer->answer_size = 0;
		return size;
	}
	if (transfer->headers_size + size > HEADERS_SIZE_MAX) {
		fault_set(&transfer->fault, BERTH_TOOBIG,
			  "the answer's headers are above %u bytes",
			  HEADERS_SIZE_MAX);
		return 0;
	}
	grown = realloc(transfer->answer_headers,
			transfer->headers_size + size + 1);
	if (!grown)
		return 0;
	transfer->answer_headers = grown;
	memcpy(grown + transfer->headers_size, data, size);
	transfer->headers_size += size;
	grown[transfer->headers_size] = '\0';
	return size;
}

static int on_progress(void *arg, curl_off_t down_total, curl_off_t down,
		       curl_off_t up_total, curl_off_t up)
{
	struct http_transfer *transfer = arg;

	transfer->progress(transfer->ctx, (uint64_t)(down + up),
			   (uint64_t)(down_total + up_total));
	return 0;
}

/* A namespace is the thread's: we visit it for the length of one socket(2),
 * and the socket stays there. Signals wait meanwhile. A thread that could not
 * come back would open everything else in a guest's network. */
static curl_socket_t open_in_netns(void *arg, curlsocktype purpose,
				   struct curl_sockaddr *address)
{
	struct http_transfer *transfer = arg;
	int home, there, fd = -1, error;
	sigset_t all, before;

	(void)purpose;
	home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	there = open(transfer->netns, O_RDONLY | O_CLOEXEC);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = 0;
	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) != 0) {
		error = errno;
	} else {
		fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
			    address->protocol);
		error = fd < 0 ? errno : 0;
		REQUIRE(setns(home, CLONE_NEWNET) == 0);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		fault_set(&transfer->fault, BERTH_IO, "network namespace %s: %s",
			  transfer->netns, strerror(error));
	if (home >= 0)
		close(home);
	if (there >= 0)
		close(there);
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static bool has_header(const struct http_call *call, const char *name)
{
	size_t size = strlen(name);

	for (const char *const *at = call->headers; at && *at; at++)
		if (strncasecmp(*at, name, size) == 0 && (*at)[size] == ':')
			return true;
	return false;
}

static bool add_header(struct http_transfer *transfer, const char *line)
{
	struct curl_slist *list = curl_slist_append(transfer->headers, line);

	if (list)
		transfer->headers = list;
	return list != NULL;
}

static bool set_headers(struct http_transfer *transfer,
			const struct http_call *call)
{
	for (const char *const *at = call->headers; at && *at; at++)
		if (!add_header(transfer, *at))
			return false;
	if (call->body && !has_header(call, "content-type") &&
	    !add_header(transfer, "Content-Type: application/octet-stream"))
		return false;
	if (!add_header(transfer, "Expect:"))
		return false;
	return curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER,
				transfer->headers) == CURLE_OK;
}

static bool wants_body(const char *method)
{
	return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
	       strcmp(method, "PATCH") == 0;
}

static bool set_method(struct http_transfer *transfer,
		       const struct http_call *call)
{
	CURL *easy = transfer->easy;
	bool good = true;

	if (call->body_size > 0) {
		transfer->body = malloc(call->body_size);
		if (!transfer->body)
			return false;
		memcpy(transfer->body, call->body, call->body_size);
	}
	if (call->body_size > 0 || wants_body(call->method)) {
		good = !curl_easy_setopt(easy, CURLOPT_POST, 1L) &&
		       !curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
					 (curl_off_t)call->body_size) &&
		       !curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
					 transfer->body ? transfer->body : "");
	} else if (strcmp(call->method, "HEAD") == 0) {
		return !curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	}
	return good &&
	       !curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

static bool set_where(struct http_transfer *transfer,
		      const struct http_call *call)
{
	CURL *easy = transfer->easy;

	/* A daemon does not take its routes from the environment. */
	if (curl_easy_setopt(easy, CURLOPT_URL, call->url) ||
	    curl_easy_setopt(easy, CURLOPT_PROXY, "") ||
	    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") ||
	    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") ||
	    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION,
			     call->follow ? 1L : 0L) ||
	    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX))
		return false;
	if (call->unix_socket &&
	    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, call->unix_socket))
		return false;
	if (!call->netns)
		return true;
	transfer->netns = strdup(call->netns);
	/* The same address in another namespace is another peer: libcurl's
	 * cache of connections cannot tell them apart. */
	return transfer->netns &&
	       !curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L) &&
	       !curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L) &&
	       !curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION,
				 open_in_netns) &&
	       !curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
}

static bool set_pki(CURL *easy, const char *pki)
{
	char path[4096];

	if (!pki)
		return true;
	snprintf(path, sizeof path, "%s/ca.pem", pki);
	if (curl_easy_setopt(easy, CURLOPT_CAINFO, path) ||
	    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL))
		return false;
	snprintf(path, sizeof path, "%s/cert.pem", pki);
	if (curl_easy_setopt(easy, CURLOPT_SSLCERT, path))
		return false;
	snprintf(path, sizeof path, "%s/key.pem", pki);
	return !curl_easy_setopt(easy, CURLOPT_SSLKEY, path);
}

static bool set_limits(struct http_transfer *transfer,
		       const struct http_call *call)
{
	CURL *easy = transfer->easy;
	long timeout_ms = call->timeout_ms ? (long)call->timeout_ms
					   : TIMEOUT_MS_DEFAULT;
	long connect_ms = call->connect_ms ? (long)call->connect_ms
					   : timeout_ms;

	transfer->answer_size_max = call->answer_size_max
					    ? call->answer_size_max
					    : ANSWER_SIZE_DEFAULT;
	return !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) &&
	       !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout_ms) &&
	       !curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
}

static bool set_callbacks(struct http_transfer *transfer,
			  const struct http_call *call)
{
	CURL *easy = transfer->easy;

	transfer->progress = call->progress;
	transfer->ctx = call->ctx;
	if (curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) ||
	    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer) ||
	    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) ||
	    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer) ||
	    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error) ||
	    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer))
		return false;
	if (!call->progress)
		return true;
	return !curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L) &&
	       !curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress) &&
	       !curl_easy_setopt(easy, CURLOPT_XFERINFODATA, transfer);
}

static bool describe(struct http_transfer *transfer,
		     const struct http_call *call)
{
	size_t size = strlen(call->method) + strlen(call->url) + 2;

	transfer->what = malloc(size);
	if (!transfer->what)
		return false;
	snprintf(transfer->what, size, "%s %s", call->method, call->url);
	return true;
}

static uv_once_t global_once = UV_ONCE_INIT;

static void global_init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
	signal(SIGPIPE, SIG_IGN);
}

int http_transfer_open(struct http_transfer **out, const struct http_call *call,
		       struct fault *fault)
{
	struct http_transfer *transfer;

	uv_once(&global_once, global_init);
	transfer = calloc(1, sizeof *transfer);
	if (!transfer)
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	transfer->room = call->room;
	transfer->easy = curl_easy_init();
	if (call->body_size > SMALL_SIZE_MAX &&
	    !take_room(transfer, call->body_size)) {
		http_transfer_close(transfer);
		return fault_set(fault, BERTH_BUSY, "too much to hold at once");
	}
	if (transfer->easy && describe(transfer, call) &&
	    set_where(transfer, call) && set_method(transfer, call) &&
	    set_headers(transfer, call) &&
	    set_pki(transfer->easy, call->pki) && set_limits(transfer, call) &&
	    set_callbacks(transfer, call)) {
		*out = transfer;
		return BERTH_OK;
	}
	http_transfer_close(transfer);
	return fault_set(fault, BERTH_INVALID, "%s %s: cannot be asked for",
			 call->method, call->url);
}

void http_transfer_close(struct http_transfer *transfer)
{
	if (!transfer)
		return;
	if (transfer->room)
		*transfer->room += transfer->taken;
	curl_easy_cleanup(transfer->easy);
	curl_slist_free_all(transfer->headers);
	free(transfer->body);
	free(transfer->netns);
	free(transfer->what);
	free(transfer->answer);
	free(transfer->answer_headers);
	free(transfer);
}

static int code_of(CURLcode code)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		return BERTH_TIMEOUT;
	case CURLE_OUT_OF_MEMORY:
		return BERTH_NOMEM;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return BERTH_INVALID;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
		return BERTH_DENIED;
	case CURLE_ABORTED_BY_CALLBACK:
		return BERTH_CLOSED;
	default:
		return BERTH_IO;
	}
#pragma GCC diagnostic pop
}

void http_transfer_answer(const struct http_transfer *transfer, CURLcode code,
			  struct http_answer *answer)
{
	long status = 0;

	memset(answer, 0, sizeof *answer);
	answer->body = transfer->answer_size > 0 ? transfer->answer : "";
	answer->body_size = transfer->answer_size;
	answer->headers = transfer->headers_size > 0 ? transfer->answer_headers
						     : "";
	if (code == CURLE_OK) {
		curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE,
				  &status);
		answer->status = (int)status;
		return;
	}
	if (transfer->fault.code)
		fault_set(&answer->fault, transfer->fault.code, "%s: %s",
			  transfer->what, transfer->fault.text);
	else
		fault_set(&answer->fault, code_of(code), "%s: %s",
			  transfer->what,
			  *transfer->error ? transfer->error
					   : curl_easy_strerror(code));
}

bool http_answer_header(const struct http_answer *answer, const char *name,
			char *value, size_t size)
{
	const char *line = answer->headers;
	size_t length = strlen(name);

	while (line && *line) {
		size_t end = strcspn(line, "\r\n");

		if (end > length && line[length] == ':' &&
		    strncasecmp(line, name, length) == 0) {
			const char *at = line + length + 1;

			at += strspn(at, " \t");
			snprintf(value, size, "%.*s",
				 (int)(end - (size_t)(at - line)), at);
			return true;
		}
		line += end;
		line += strspn(line, "\r\n");
	}
	return false;
}

/* The blocking variant. The texts move to the answer. */
void http_blocking(const struct http_call *call, struct http_answer *answer)
{
	struct http_transfer *transfer = NULL;
	struct fault fault;

	memset(answer, 0, sizeof *answer);
	if (http_transfer_open(&transfer, call, &fault)) {
		answer->fault = fault;
		answer->body = strdup("");
		answer->headers = strdup("");
		return;
	}
	http_transfer_answer(transfer, curl_easy_perform(transfer->easy),
			     answer);
	/* Own copies, also of the empty ones, for http_answer_fini. */
	answer->body = transfer->answer_size > 0 ? transfer->answer
						 : strdup("");
	answer->headers = transfer->headers_size > 0 ? transfer->answer_headers
						     : strdup("");
	if (transfer->answer_size > 0)
		transfer->answer = NULL;
	if (transfer->headers_size > 0)
		transfer->answer_headers = NULL;
	http_transfer_close(transfer);
}

void http_answer_fini(struct http_answer *answer)
{
	free((void *)(uintptr_t)answer->body);
	free((void *)(uintptr_t)answer->headers);
	memset(answer, 0, sizeof *answer);
}
