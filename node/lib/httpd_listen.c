#include "node/lib/httpd_inner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/lib/log.h"

#define BACKLOG 256

union address {
	struct sockaddr any;
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
	struct sockaddr_storage storage;
};

static int failed(struct fault *fault, const char *address)
{
	int code = errno == EADDRINUSE ? BERTH_EXISTS : BERTH_IO;

	return fault_set(fault, code, "listen %s: %s", address,
			 errno == EADDRINUSE ? "address in use"
					     : strerror(errno));
}

static int listen_on(int family, const union address *at, socklen_t size)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, error;

	if (fd < 0)
		return -1;
	if (family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, &at->any, size) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int bind_tcp(struct httpd_listener *listener,
		    const struct httpd_listen *listen, struct fault *fault)
{
	union address at;
	char text[96];

	snprintf(text, sizeof text,
		 strchr(listen->host, ':') ? "[%s]:%u" : "%s:%u", listen->host,
		 listen->port);
	if (uv_ip4_addr(listen->host, listen->port, &at.in4) == 0)
		listener->fd = listen_on(AF_INET, &at, sizeof at.in4);
	else if (uv_ip6_addr(listen->host, listen->port, &at.in6) == 0)
		listener->fd = listen_on(AF_INET6, &at, sizeof at.in6);
	else
		return fault_set(fault, BERTH_INVALID,
				 "listen %s: a numeric address is needed",
				 text);
	return listener->fd < 0 ? failed(fault, text) : BERTH_OK;
}

/* A socket file that nobody listens on is what a killed process left. */
static bool is_stale(const union address *at)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool stale;

	if (fd < 0)
		return false;
	stale = connect(fd, &at->any, sizeof at->un) != 0 &&
		errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int bind_unix(struct httpd_listener *listener,
		     const struct httpd_listen *listen, struct fault *fault)
{
	union address at = { .un = { .sun_family = AF_UNIX } };
	struct stat status;
	mode_t mask;

	if (strlen(listen->path) >= sizeof at.un.sun_path)
		return fault_set(fault, BERTH_TOOBIG,
				 "listen %s: a socket's path has at most %zu "
				 "characters", listen->path,
				 sizeof at.un.sun_path - 1);
	memcpy(at.un.sun_path, listen->path, strlen(listen->path));
	if (lstat(listen->path, &status) == 0 && S_ISSOCK(status.st_mode) &&
	    is_stale(&at))
		unlink(listen->path);
	mask = umask(0177); /* 0600 from its first moment */
	listener->fd = listen_on(AF_UNIX, &at, sizeof at.un);
	umask(mask);
	if (listener->fd < 0)
		return failed(fault, listen->path);
	snprintf(listener->path, sizeof listener->path, "%s", listen->path);
	return BERTH_OK;
}

int httpd__bind(struct httpd_listener *listener,
		const struct httpd_listen *listen, struct fault *fault)
{
	listener->kind = (int)listen->kind;
	listener->fd = -1;
	if (listen->kind == HTTPD_UNIX)
		return bind_unix(listener, listen, fault);
	return bind_tcp(listener, listen, fault);
}

static bool check_credentials(int fd, struct httpd_conn *conn)
{
	struct ucred peer;
	socklen_t size = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return false;
	snprintf(conn->address, sizeof conn->address, "unix:pid=%ld",
		 (long)peer.pid);
	if (peer.uid != 0 && peer.uid != geteuid()) {
		log_warn("httpd", "refused uid %lu (pid %ld) on the admin "
			 "socket", (unsigned long)peer.uid, (long)peer.pid);
		return false;
	}
	snprintf(conn->who, sizeof conn->who, "local uid %lu",
		 (unsigned long)peer.uid);
	conn->authority = HTTPD_LOCAL;
	return true;
}

static void name_peer(const union address *peer, struct httpd_conn *conn)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (peer->any.sa_family == AF_INET6) {
		uv_ip6_name(&peer->in6, host, sizeof host);
		snprintf(conn->address, sizeof conn->address, "[%s]:%u", host,
			 ntohs(peer->in6.sin6_port));
	} else {
		uv_ip4_name(&peer->in4, host, sizeof host);
		snprintf(conn->address, sizeof conn->address, "%s:%u", host,
			 ntohs(peer->in4.sin_port));
	}
	snprintf(conn->who, sizeof conn->who, "%s", conn->address);
}

int httpd__accept(struct httpd_listener *listener, struct httpd_conn *conn)
{
	union address peer = { .any = { .sa_family = AF_UNSPEC } };
	socklen_t size = sizeof peer;
	int fd, on = 1;

	fd = accept4(listener->fd, &peer.any, &size,
		     SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return -1;
	conn->authority = HTTPD_PLAIN;
	conn->kind = listener->kind;
	if (listener->kind != HTTPD_UNIX) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		name_peer(&peer, conn);
	} else if (!check_credentials(fd, conn)) {
		close(fd);
		return -1;
	}
	return fd;
}
