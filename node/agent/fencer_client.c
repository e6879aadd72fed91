#include "node/agent/fencer_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/lib/log.h"

#define QUEUE_MAX 4096u
#define RETRY_MS 200u
#define DESCRIPTORS_MAX 3u
#define ROWS_SIZE_MAX (4u << 20)

struct ask {
	struct ask *next;
	struct fencer_request request;
	int descriptors[DESCRIPTORS_MAX];
	uint32_t descriptor_count;
	fencer_done done;
	void *ctx;
};

struct fencer_client {
	uv_loop_t *loop;
	uv_poll_t poll;
	uv_timer_t retry;
	bool polling, up, told, closing;
	int handles; /* still to close */
	int fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct fencer_client_events events;
	void *ctx;
	uint64_t cookie;
	bool sent; /* the head of the queue waits for its answer */
	uint32_t count;
	struct ask *head, **tail;
};

static void connect_now(uv_timer_t *timer);
static void readable(uv_poll_t *poll, int status, int events);

static void ask_free(struct ask *ask)
{
	for (uint32_t i = 0; i < ask->descriptor_count; i++)
		close(ask->descriptors[i]);
	free(ask);
}

static struct ask *take(struct fencer_client *client)
{
	struct ask *ask = client->head;

	client->head = ask->next;
	if (!client->head)
		client->tail = &client->head;
	client->count--;
	client->sent = false;
	return ask;
}

static void poll_closed(uv_handle_t *handle)
{
	struct fencer_client *client = handle->data;

	close(client->fd);
	client->fd = -1;
	client->polling = false;
	if (client->closing) {
		if (--client->handles == 0)
			free(client);
		return;
	}
	(void)uv_timer_start(&client->retry, connect_now, RETRY_MS, 0);
}

/* The fencer is gone: answers what waits, then tries again. */
static void disconnect(struct fencer_client *client)
{
	bool was_up = client->up;

	client->up = false;
	while (client->head) {
		struct ask *ask = take(client);

		ask->done(ask->ctx, NULL, NULL, 0);
		ask_free(ask);
	}
	if (was_up && !client->closing)
		client->events.down(client->ctx);
	if (client->polling && !uv_is_closing((uv_handle_t *)&client->poll))
		uv_close((uv_handle_t *)&client->poll, poll_closed);
}

static int open_socket(struct fencer_client *client)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);

	if (fd < 0)
		return -1;
	memcpy(address.sun_path, client->path, sizeof address.sun_path);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static void connect_now(uv_timer_t *timer)
{
	struct fencer_client *client = timer->data;
	int fd = open_socket(client);

	if (fd < 0) {
		if (!client->told)
			log_warn("fencer", "no fencer at %s (%s): waiting",
				 client->path, strerror(errno));
		client->told = true;
		(void)uv_timer_start(timer, connect_now, RETRY_MS, 0);
		return;
	}
	client->fd = fd;
	if (uv_poll_init(client->loop, &client->poll, fd) < 0) {
		close(fd);
		(void)uv_timer_start(timer, connect_now, RETRY_MS, 0);
		return;
	}
	client->poll.data = client;
	client->polling = true;
	client->up = true;
	client->told = false;
	(void)uv_poll_start(&client->poll, UV_READABLE | UV_DISCONNECT,
			    readable);
	client->events.up(client->ctx);
}

static bool send_head(struct fencer_client *client)
{
	struct ask *ask = client->head;
	struct iovec part = { &ask->request, sizeof ask->request };
	union {
		char bytes[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (ask->descriptor_count > 0) {
		size_t size = ask->descriptor_count * sizeof(int);
		struct cmsghdr *head;

		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(size);
		head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(size);
		memcpy(CMSG_DATA(head), ask->descriptors, size);
	}
	return sendmsg(client->fd, &message, MSG_NOSIGNAL) ==
	       (ssize_t)sizeof ask->request;
}

/* One request at a time: the socket's buffer always has room for it. */
static void pump(struct fencer_client *client)
{
	if (!client->up || client->sent || !client->head)
		return;
	if (!send_head(client)) {
		log_warn("fencer", "send: %s", strerror(errno));
		disconnect(client);
		return;
	}
	client->sent = true;
}

static void give(struct fencer_client *client,
		 const struct fencer_answer *answer, int fd)
{
	struct stat status;
	void *rows = NULL;
	size_t size = 0;
	struct ask *ask;

	if (fd >= 0 && fstat(fd, &status) == 0 && status.st_size > 0 &&
	    status.st_size <= (off_t)ROWS_SIZE_MAX) {
		size = (size_t)status.st_size;
		rows = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (rows == MAP_FAILED) {
			rows = NULL;
			size = 0;
		}
	}
	ask = take(client);
	ask->done(ask->ctx, answer, rows, size);
	ask_free(ask);
	if (rows)
		munmap(rows, size);
}

static int received_fd(struct msghdr *message)
{
	struct cmsghdr *head = CMSG_FIRSTHDR(message);
	int fd = -1;

	if (head && head->cmsg_level == SOL_SOCKET &&
	    head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(head), sizeof fd);
	return fd;
}

/* Reads one message. False: nothing there, or the fencer is gone. */
static bool receive(struct fencer_client *client)
{
	struct fencer_answer answer;
	struct iovec part = { &answer, sizeof answer };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof control.bytes };
	ssize_t size = recvmsg(client->fd, &message, MSG_CMSG_CLOEXEC);
	int fd;

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (size != (ssize_t)sizeof answer) {
		log_warn("fencer", "%s", size == 0 ? "the fencer is gone" :
			 size < 0 ? strerror(errno) : "an answer of a wrong size");
		disconnect(client);
		return false;
	}
	fd = received_fd(&message);
	if (answer.type == FENCER_EVENT)
		client->events.event(client->ctx, &answer);
	else if (client->sent && client->head &&
		 answer.cookie == client->head->request.cookie)
		give(client, &answer, fd);
	else
		log_warn("fencer", "an answer that nobody asked for");
	if (fd >= 0)
		close(fd);
	return client->up;
}

static void readable(uv_poll_t *poll, int status, int events)
{
	struct fencer_client *client = poll->data;

	(void)events;
	if (status < 0) {
		disconnect(client);
		return;
	}
	while (client->up && receive(client))
		;
	pump(client);
}

static int memory_file(const void *data, size_t size)
{
	int fd = memfd_create("berth-agent", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (write(fd, data, size) != (ssize_t)size ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
		  F_SEAL_SEAL) < 0) {
		close(fd);
		return -1;
	}
	(void)lseek(fd, 0, SEEK_SET);
	return fd;
}

static bool descriptors_copy(struct ask *ask, const struct fencer_ask *from)
{
	if (from->size > 0) {
		int fd = memory_file(from->data, from->size);

		if (fd < 0)
			return false;
		ask->descriptors[ask->descriptor_count++] = fd;
	}
	for (uint32_t i = 0; i < from->descriptor_count; i++) {
		int fd = fcntl(from->descriptors[i], F_DUPFD_CLOEXEC, 3);

		if (fd < 0)
			return false;
		ask->descriptors[ask->descriptor_count++] = fd;
	}
	return true;
}

int fencer_client_ask(struct fencer_client *client,
		      const struct fencer_ask *from)
{
	struct ask *ask;

	REQUIRE(from->descriptor_count + (from->size > 0) <= DESCRIPTORS_MAX);
	if (!client->up)
		return BERTH_CLOSED;
	if (client->count >= QUEUE_MAX)
		return BERTH_BUSY;
	ask = calloc(1, sizeof *ask);
	if (!ask)
		return BERTH_NOMEM;
	if (!descriptors_copy(ask, from)) {
		ask_free(ask);
		return BERTH_IO;
	}
	ask->request = (struct fencer_request){
		.type = from->type, .size = (uint32_t)from->size,
		.cookie = ++client->cookie, .program = from->program,
		.gen = from->gen, .epoch = from->epoch,
		.grace_ms = from->grace_ms,
	};
	ask->done = from->done;
	ask->ctx = from->ctx;
	*client->tail = ask;
	client->tail = &ask->next;
	client->count++;
	pump(client);
	return 0;
}

int fencer_client_open(struct fencer_client **out, uv_loop_t *loop,
		       const char *path,
		       const struct fencer_client_events *events, void *ctx,
		       struct fault *fault)
{
	struct fencer_client *client = calloc(1, sizeof *client);

	if (!client)
		return fault_set(fault, BERTH_NOMEM, "fencer client");
	if (strlen(path) >= sizeof client->path) {
		free(client);
		return fault_set(fault, BERTH_TOOBIG,
				 "%s: too long for a socket", path);
	}
	memcpy(client->path, path, strlen(path));
	client->loop = loop;
	client->events = *events;
	client->ctx = ctx;
	client->fd = -1;
	client->tail = &client->head;
	if (uv_timer_init(loop, &client->retry) < 0) {
		free(client);
		return fault_set(fault, BERTH_IO, "fencer client: timer");
	}
	client->retry.data = client;
	(void)uv_timer_start(&client->retry, connect_now, 0, 0);
	*out = client;
	return 0;
}

static void timer_closed(uv_handle_t *handle)
{
	struct fencer_client *client = handle->data;

	if (--client->handles == 0)
		free(client);
}

void fencer_client_close(struct fencer_client *client)
{
	client->closing = true;
	client->handles = 1 + (client->polling ? 1 : 0);
	disconnect(client);
	uv_close((uv_handle_t *)&client->retry, timer_closed);
}
