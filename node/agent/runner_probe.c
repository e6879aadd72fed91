/* Reaching a program: its socket, or its own network namespace. */
#include "node/agent/runner_inner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/lib/crypto.h"

#define PROGRAM_PORT 8080
#define DESCENDANTS_MAX 64u
#define SOCKET_NAME "/sock/http.sock"

void runner__directory(const struct run *run, char path[PREPARE_PATH_MAX])
{
	char text[65];

	hash_text(&run->row.program, text);
	snprintf(path, PREPARE_PATH_MAX, "%s/run/%.16s",
		 run->runner->agent->config.directory, text);
}

/* --- a socket ------------------------------------------------------------- */

/* The program owns the directory and may put there what it likes: a link to
 * some socket that only we may open, say. So the last name is never followed,
 * must be a socket of the program's own user, and is used by descriptor: what
 * was looked at is what is connected to (and its path may be of any length). */
static int open_socket(const struct run *run)
{
	uint32_t uid = run_uid(&run->row.lineage);
	char path[PREPARE_PATH_MAX];
	struct stat status;
	size_t size;
	int fd;

	runner__directory(run, path);
	size = strlen(path);
	if (size + sizeof SOCKET_NAME > sizeof path)
		return -1;
	memcpy(path + size, SOCKET_NAME, sizeof SOCKET_NAME);
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISSOCK(status.st_mode) ||
			(uid != 0 && status.st_uid != uid))) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool same_file(int a, int b)
{
	struct stat one, other;

	return fstat(a, &one) == 0 && fstat(b, &other) == 0 &&
	       one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

static bool reach_socket(struct run *run)
{
	int fd = open_socket(run);

	if (fd < 0)
		return false;
	if (run->reach < 0) {
		run->reach = fd;
		return true;
	}
	/* The number stays: requests on their way name it. */
	if (!same_file(fd, run->reach))
		(void)dup3(fd, run->reach, O_CLOEXEC);
	close(fd);
	return true;
}

static bool probe_socket(struct run *run)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;
	bool taken;

	if (!reach_socket(run))
		return false;
	snprintf(address.sun_path, sizeof address.sun_path,
		 "/proc/self/fd/%d", run->reach);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	taken = fd >= 0 && connect(fd, (struct sockaddr *)&address,
				   sizeof address) == 0;
	if (fd >= 0)
		close(fd);
	return taken;
}

/* --- a network namespace ------------------------------------------------------- */

static ino_t namespace_of(const char *who)
{
	char path[64];
	struct stat status;

	snprintf(path, sizeof path, "/proc/%s/ns/net", who);
	return stat(path, &status) == 0 ? status.st_ino : 0;
}

static uint32_t add_children(pid_t pid, pid_t *pids, uint32_t count)
{
	char path[64];
	FILE *file;
	int child;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid,
		 (int)pid);
	file = fopen(path, "re");
	while (file && count < DESCENDANTS_MAX &&
	       fscanf(file, "%d", &child) == 1)
		pids[count++] = child;
	if (file)
		fclose(file);
	return count;
}

/* The program's namespace is made by its sandbox, below the process that the
 * fencer knows: the first descendant that lives in another than ours. */
static int find_namespace(pid_t pid)
{
	pid_t pids[DESCENDANTS_MAX] = { pid };
	ino_t ours = namespace_of("self"), theirs;
	uint32_t count = 1;
	char path[64], who[16];

	for (uint32_t i = 0; i < count; i++) {
		snprintf(who, sizeof who, "%d", (int)pids[i]);
		theirs = namespace_of(who);
		if (theirs != 0 && theirs != ours) {
			snprintf(path, sizeof path, "/proc/%s/ns/net", who);
			return open(path, O_RDONLY | O_CLOEXEC);
		}
		count = add_children(pids[i], pids, count);
	}
	return -1;
}

/* A socket belongs to the namespace that its thread was in; ours is this
 * thread's again before anything else happens. */
static int socket_in(int netns)
{
	int ours = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd = -1;

	if (ours < 0)
		return -1;
	if (setns(netns, CLONE_NEWNET) == 0) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC |
			    SOCK_NONBLOCK, 0);
		REQUIRE(setns(ours, CLONE_NEWNET) == 0);
	}
	close(ours);
	return fd;
}

static bool connects(int fd)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons(PROGRAM_PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct pollfd row = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = 1;

	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return true;
	/* On its loopback the answer is there at once. */
	return errno == EINPROGRESS && poll(&row, 1, 2) == 1 &&
	       getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 &&
	       error == 0;
}

static bool reach_namespace(struct run *run)
{
	if (run->row.pid == 0) /* the fencer was asked before it knew */
		session_look(run->runner->agent->session);
	else if (run->reach < 0)
		run->reach = find_namespace((pid_t)run->row.pid);
	return run->reach >= 0;
}

static bool probe_namespace(struct run *run)
{
	bool taken;
	int fd;

	if (!reach_namespace(run))
		return false;
	fd = socket_in(run->reach);
	taken = fd >= 0 && connects(fd);
	if (fd >= 0)
		close(fd);
	return taken;
}

bool runner__reach(struct run *run)
{
	if (run->prepared->program.interface == INTERFACE_ASGI)
		return reach_socket(run);
	return reach_namespace(run);
}

bool runner__probe(struct run *run)
{
	if (run->prepared->program.interface == INTERFACE_ASGI)
		return probe_socket(run);
	return probe_namespace(run);
}
