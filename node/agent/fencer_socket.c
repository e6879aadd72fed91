#include "node/agent/fencer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "node/lib/log.h"

#define MILLION 1000000u
#define K_MARGIN_MS 100u

struct heard {
	struct fencer_request request;
	int files[LAUNCH_FILES_MAX];
	uint32_t file_count;
};

int fencer__socket_open(struct fencer *f, const char *directory,
			struct fault *fault)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int size = snprintf(f->path, sizeof f->path, "%s/fencer.sock",
			    directory);
	mode_t mask;
	int rv;

	if (size < 0 || (size_t)size >= sizeof address.sun_path)
		return fault_set(fault, BERTH_TOOBIG,
				 "%s: too long a path for a socket", directory);
	memcpy(address.sun_path, f->path, (size_t)size + 1);
	f->listener = socket(AF_UNIX,
			     SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(f->path); /* the lock says that nobody else uses it */
	mask = umask(0177);
	rv = f->listener < 0 ? -1 :
			       bind(f->listener, (struct sockaddr *)&address,
				    sizeof address);
	umask(mask);
	if (rv != 0 || listen(f->listener, 4) != 0 ||
	    !fencer__watch(f, f->listener, SOURCE_LISTENER, 0))
		return fault_set(fault, BERTH_IO, "%s: %s", f->path,
				 strerror(errno));
	return 0;
}

void fencer__socket_drop(struct fencer *f)
{
	if (f->client >= 0)
		close(f->client);
	f->client = -1;
}

static bool peer_allowed(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof peer;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == getuid());
}

void fencer__socket_accept(struct fencer *f)
{
	int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (f->client >= 0 || !peer_allowed(fd)) {
		log_warn("socket", "refused: %s", f->client >= 0 ?
			 "an agent is connected" : "another user");
		close(fd);
		return;
	}
	f->client = fd;
	if (!fencer__watch(f, fd, SOURCE_CLIENT, 0))
		fencer__socket_drop(f);
}

static bool answer_send(struct fencer *f, const struct fencer_answer *answer,
			int file)
{
	struct iovec bytes = { .iov_base = (void *)(uintptr_t)answer,
			       .iov_len = sizeof *answer };
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr head = { .msg_iov = &bytes, .msg_iovlen = 1 };
	struct cmsghdr *c;

	memset(&control, 0, sizeof control);
	if (file >= 0) {
		head.msg_control = &control;
		head.msg_controllen = sizeof control;
		c = CMSG_FIRSTHDR(&head);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &file, sizeof file);
	}
	return sendmsg(f->client, &head, MSG_DONTWAIT | MSG_NOSIGNAL) ==
	       (ssize_t)sizeof *answer;
}

void fencer__event(struct fencer *f)
{
	struct fencer_answer event;

	if (f->client < 0)
		return;
	memset(&event, 0, sizeof event);
	event.type = FENCER_EVENT;
	fencer__answer_fill(f, &event);
	(void)answer_send(f, &event, -1);
}

/* --- long bytes ---------------------------------------------------------- */

/* From a memfd alone: nothing else is sure not to keep us waiting. */
static bool is_memfd(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0;
}

static const uint8_t *bytes_read(const struct heard *h)
{
	static uint8_t bytes[FENCER_REPLY_SIZE_MAX];
	uint32_t size = h->request.size;

	if (h->file_count != 1 || size == 0 || size > sizeof bytes ||
	    !is_memfd(h->files[0]) ||
	    pread(h->files[0], bytes, size, 0) != (ssize_t)size)
		return NULL;
	return bytes;
}

/* --- requests ------------------------------------------------------------ */

/* R23: what held[] does not name is freed by the Register. A torn row cannot
 * name what it may hide. */
static enum fencer_code on_hello(struct fencer *f)
{
	uint8_t nonce[16];

	if (fencer__far_nameless(f))
		return FENCER_NOT_DEAD;
	if (getrandom(nonce, sizeof nonce, 0) != (ssize_t)sizeof nonce)
		return FENCER_FAILED;
	return tenure_hello(&f->tenure, nonce);
}

/* R15 over the fencer's own death: gen and prev are on disk before the
 * Register can be sent. */
static bool head_save(struct fencer *f)
{
	f->head.gen = f->tenure.gen;
	f->head.prev_max = f->tenure.prev_max;
	return run_table_head_write(&f->table, &f->head, true) == 0;
}

static enum fencer_code on_challenge(struct fencer *f, const struct heard *h)
{
	const uint8_t *bytes = bytes_read(h);
	struct agent_challenge m;
	enum fencer_code code;

	if (bytes == NULL ||
	    agent_challenge_decode(bytes, h->request.size, &m) != 0)
		return FENCER_BAD_REQUEST;
	code = tenure_challenge(&f->tenure, &m);
	if (code != FENCER_OK)
		return code;
	if (!head_save(f))
		return FENCER_FAILED;
	tenure_register_mark(&f->tenure, fencer__now(f));
	return FENCER_OK;
}

/* 2.6: the launcher's clock may be slewed while ours is not. By a clock that
 * lags by that much the lease takes ttl_a / (1 - slew) of real time. */
static bool k_allows(const struct fencer *f, uint32_t ttl_a_ms)
{
	uint64_t rest = MILLION - f->slew_ppm;
	uint64_t slack_ms =
		((uint64_t)ttl_a_ms * f->slew_ppm + rest - 1) / rest;

	if (f->k_ms >= slack_ms + K_MARGIN_MS)
		return true;
	log_error("session", "refused: k_ms is %u, at least %llu is needed: a "
		  "lease of %u ms under a clock that is slewed by %u ppm may "
		  "last %llu ms longer, and %u for the kill. Raise k_ms, or "
		  "bound the time daemon and set slew_ppm", f->k_ms,
		  (unsigned long long)slack_ms + K_MARGIN_MS, ttl_a_ms,
		  f->slew_ppm, (unsigned long long)slack_ms, K_MARGIN_MS);
	errno = ERANGE;
	return false;
}

static enum fencer_code on_adopt(struct fencer *f, const struct heard *h)
{
	static struct hash kept[FENCER_HELD_MAX];
	struct agent_register_ack m = { .kept = kept,
					.kept_max = FENCER_HELD_MAX };
	const uint8_t *bytes = bytes_read(h);
	enum fencer_code code;

	if (bytes == NULL ||
	    agent_register_ack_decode(bytes, h->request.size, &m) != 0)
		return FENCER_BAD_REQUEST;
	if (!k_allows(f, m.ttl_a_ms))
		return FENCER_FAILED;
	code = tenure_adopt(&f->tenure, fencer__now(f), &m);
	if (code != FENCER_OK)
		return code;
	log_info("session", "%llu in generation %llu, lease %u ms",
		 (unsigned long long)f->tenure.session,
		 (unsigned long long)f->tenure.gen, m.ttl_a_ms);
	fencer__arm(f);
	fencer__runs_prune(f);
	return FENCER_OK;
}

static enum fencer_code on_ack(struct fencer *f, const struct heard *h)
{
	static struct desired_row desired[FENCER_RUNS_MAX];
	struct agent_reply m = { .desired = desired,
				 .desired_max = FENCER_RUNS_MAX };
	const uint8_t *bytes = bytes_read(h);
	enum fencer_code code;
	bool took;
	int rv = BERTH_MALFORMED;

	if (bytes != NULL)
		rv = agent_reply_decode(bytes, h->request.size, &m);
	if (rv == BERTH_TOOBIG)
		return FENCER_FULL;
	if (rv != 0 || !k_allows(f, m.ttl_a_ms))
		return rv != 0 ? FENCER_BAD_REQUEST : FENCER_FAILED;
	code = tenure_reply(&f->tenure, fencer__now(f), &m, &took);
	if (code != FENCER_OK)
		return code;
	fencer__arm(f);
	if (took)
		fencer__runs_prune(f);
	return FENCER_OK;
}

static enum fencer_code on_start(struct fencer *f, const struct heard *h,
				 int *error)
{
	const struct fencer_request *r = &h->request;
	struct tenure_run *run;
	enum fencer_code code;

	if (h->file_count < 2 || !is_memfd(h->files[0]) || f->quit)
		return FENCER_BAD_REQUEST;
	code = tenure_gate(&f->tenure, fencer__now(f), &r->program, r->gen,
			   r->epoch, &run);
	if (code == FENCER_OK)
		code = fencer__run_start(f, run, h->files, error);
	return code;
}

static enum fencer_code on_stop(struct fencer *f, const struct heard *h)
{
	const struct fencer_request *r = &h->request;
	struct tenure_run *run =
		tenure_find(&f->tenure, &r->program, r->gen, r->epoch);
	uint32_t grace_ms = r->grace_ms < FENCER_GRACE_MS_MAX ?
				    r->grace_ms :
				    FENCER_GRACE_MS_MAX;

	/* R23: without a session nobody but a local operator stops a held
	 * run, and that is the operator who kills its launcher. */
	if (run == NULL || (f->tenure.session == 0 && run->hold))
		return FENCER_NOT_DESIRED;
	fencer__run_stop(f, (uint32_t)(run - f->tenure.runs), grace_ms);
	return FENCER_OK;
}

static enum fencer_code on_close(struct fencer *f)
{
	if (f->tenure.session == 0)
		return FENCER_NO_SESSION;
	tenure_end(&f->tenure);
	fencer__fence(f, "closed by the agent");
	return FENCER_OK;
}

static enum fencer_code obey(struct fencer *f, const struct heard *h,
			     struct fencer_answer *a, int *file)
{
	enum fencer_code code = FENCER_OK;
	int error = 0;

	switch (h->request.type) {
	case FENCER_STATE:
		*file = fencer__rows_state(f, &a->run_count);
		return FENCER_OK;
	case FENCER_HELLO:
		return on_hello(f);
	case FENCER_CHALLENGE:
		code = on_challenge(f, h);
		if (code == FENCER_OK)
			*file = fencer__rows_held(f, &a->held_count);
		break;
	case FENCER_ADOPT:
		code = on_adopt(f, h);
		break;
	case FENCER_MARK:
		return tenure_mark(&f->tenure, fencer__now(f), &a->seq);
	case FENCER_ACK:
		return on_ack(f, h);
	case FENCER_START:
		code = on_start(f, h, &error);
		errno = error;
		break;
	case FENCER_STOP:
		return on_stop(f, h);
	case FENCER_CLOSE:
		return on_close(f);
	default:
		return FENCER_BAD_REQUEST;
	}
	a->error = code == FENCER_FAILED ? errno : 0;
	return code;
}

static void answer(struct fencer *f, const struct heard *h)
{
	struct fencer_answer a;
	int file = -1;

	memset(&a, 0, sizeof a);
	a.type = h->request.type;
	a.cookie = h->request.cookie;
	a.code = (uint32_t)obey(f, h, &a, &file);
	fencer__answer_fill(f, &a);
	/* An agent that does not read its answers is no agent. */
	if (f->client >= 0 && !answer_send(f, &a, file))
		fencer__socket_drop(f);
	if (file >= 0)
		close(file);
}

static void files_take(struct msghdr *head, struct heard *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL;
	     c = CMSG_NXTHDR(head, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		h->file_count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) /
					   sizeof(int));
		/* The kernel was given no room for more. */
		REQUIRE(h->file_count <= LAUNCH_FILES_MAX);
		memcpy(h->files, CMSG_DATA(c), h->file_count * sizeof(int));
	}
}

void fencer__socket_read(struct fencer *f)
{
	struct heard h = { .files = { -1, -1, -1 } };
	struct iovec bytes = { .iov_base = &h.request,
			       .iov_len = sizeof h.request };
	union {
		char space[CMSG_SPACE(LAUNCH_FILES_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr head = { .msg_iov = &bytes, .msg_iovlen = 1,
			       .msg_control = &control };
	ssize_t got;

	/* Without the padding, which would hold a fourth. */
	head.msg_controllen = CMSG_LEN(LAUNCH_FILES_MAX * sizeof(int));
	got = recvmsg(f->client, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		fencer__socket_drop(f); /* its death stops nothing */
		return;
	}
	files_take(&head, &h);
	if ((size_t)got != sizeof h.request ||
	    (head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
		h.request.type = 0;
	answer(f, &h);
	for (uint32_t i = 0; i < h.file_count; i++)
		close(h.files[i]);
}
