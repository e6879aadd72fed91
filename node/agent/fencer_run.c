#include "node/agent/fencer.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/lib/log.h"

#define DYING_POLL_MS 2u
#define FAR_POLL_MS 10u
#define FAR_LOOK_MS 1000u /* at those that nobody wants dead */

static struct tenure_run *run_of(struct fencer *f, uint32_t index)
{
	return &f->tenure.runs[index];
}

uint32_t fencer__exclusive_count(const struct fencer *f)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++)
		count += f->procs[i].used && !f->tenure.runs[i].hold;
	return count;
}

/* --- ends ---------------------------------------------------------------- */

static struct fencer_end *end_get(struct fencer *f, const struct run_row *row)
{
	struct fencer_end *end;

	for (uint32_t i = 0; i < f->end_count; i++) {
		end = &f->ends[i];
		if (end->epoch == row->epoch && end->gen == row->gen &&
		    hash_equal(&end->program, &row->program))
			return end;
	}
	if (f->end_count == FENCER_RUNS_MAX)
		return NULL; /* told as never ended; the next set makes room */
	end = &f->ends[f->end_count++];
	*end = (struct fencer_end){ .program = row->program, .gen = row->gen,
				    .epoch = row->epoch };
	return end;
}

static void end_note(struct fencer *f, const struct fencer_proc *p)
{
	struct fencer_end *end = end_get(f, &p->row);

	if (end == NULL)
		return;
	end->count++;
	end->status = p->has_status ? p->status :
		      p->went	    ? SIGKILL :
				      125 << 8;
}

static bool desired(const struct fencer *f, const struct fencer_end *end)
{
	for (uint32_t i = 0; i < f->tenure.desired_count; i++) {
		const struct desired_row *row = &f->tenure.desired[i];

		if (row->epoch == end->epoch && row->gen == end->gen &&
		    hash_equal(&row->program, &end->program))
			return true;
	}
	return false;
}

static void ends_prune(struct fencer *f)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < f->end_count; i++)
		if (desired(f, &f->ends[i]))
			f->ends[kept++] = f->ends[i];
	f->end_count = kept;
}

/* --- death --------------------------------------------------------------- */

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Nothing of it executes: launcher and init were seen dead (an init is not
 * before all of its namespace is), and its group is empty. Before the init told
 * its pid no program was let go, and the socket's end is the end of both. */
static bool is_dead(struct fencer *f, uint32_t index)
{
	struct fencer_proc *p = &f->procs[index];

	if (p->far)
		return fencer__far_dead(f, index);
	if (!p->launcher_dead || !p->init_dead || !p->socket_end)
		return false;
	return !p->row.in_cgroup ||
	       !cgroup_run_populated(&f->cgroup, index, p->row.hold);
}

static void forget(struct fencer *f, uint32_t index)
{
	struct fencer_proc *p = &f->procs[index];

	shut(&p->launcher);
	shut(&p->init);
	shut(&p->socket);
	cgroup_run_remove(&f->cgroup, index, p->row.hold);
	/* A row that cannot be cleared is settled as dead at the next start. */
	if (run_table_clear(&f->table, index) != 0)
		log_warn("runs", "run table: %s", strerror(errno));
	p->used = false;
}

static void buried(struct fencer *f, uint32_t index)
{
	struct fencer_proc *p = &f->procs[index];

	if (p->went || !p->killing)
		end_note(f, p);
	forget(f, index);
	tenure_dead(&f->tenure, run_of(f, index));
	fencer__event(f);
}

static void look_again(struct fencer *f, uint32_t after_ms)
{
	uint64_t at_ms = clock_monotonic_ms() + after_ms;

	if (f->dying_ms == 0 || at_ms < f->dying_ms)
		f->dying_ms = at_ms;
}

static void settle_dying(struct fencer *f, uint32_t index)
{
	if (is_dead(f, index))
		buried(f, index);
	else
		look_again(f, f->procs[index].far ? FAR_POLL_MS :
						    DYING_POLL_MS);
}

static void kill_all(struct fencer *f, uint32_t index)
{
	struct fencer_proc *p = &f->procs[index];

	if (p->launcher >= 0 && !p->launcher_dead)
		pidfd_send_signal(p->launcher, SIGKILL, NULL, 0);
	if (p->init >= 0 && !p->init_dead)
		pidfd_send_signal(p->init, SIGKILL, NULL, 0);
	if (p->far)
		fencer__far_kill(f, index);
	else if (p->row.in_cgroup)
		cgroup_run_kill(&f->cgroup, index, p->row.hold);
	p->dying = true;
	look_again(f, DYING_POLL_MS);
}

void fencer__run_kill(struct fencer *f, uint32_t index)
{
	if (!f->procs[index].used)
		return;
	f->procs[index].killing = true;
	kill_all(f, index);
}

/* SIGTERM to the init, which passes it on and keeps the spec's time; ours is
 * the longest that anyone waits. */
void fencer__run_stop(struct fencer *f, uint32_t index, uint32_t grace_ms)
{
	struct fencer_proc *p = &f->procs[index];
	uint64_t kill_ms = clock_monotonic_ms() + grace_ms;

	if (!p->used || p->killing)
		return;
	if (!p->went || p->init < 0 || grace_ms == 0) {
		fencer__run_kill(f, index);
		return;
	}
	tenure_stopping(&f->tenure, run_of(f, index));
	if (p->kill_ms == 0)
		pidfd_send_signal(p->init, SIGTERM, NULL, 0);
	if (p->kill_ms == 0 || kill_ms < p->kill_ms)
		p->kill_ms = kill_ms;
}

void fencer__runs_prune(struct fencer *f)
{
	if (f->tenure.set_taken)
		ends_prune(f);
	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++) {
		struct tenure_run *run = run_of(f, i);

		if (!f->procs[i].used || tenure_wanted(&f->tenure, run))
			continue;
		if (run->condemned)
			fencer__run_kill(f, i);
		else
			fencer__run_stop(f, i, FENCER_GRACE_MS);
	}
}

/* Their ends are told by nobody. */
static void far_look(struct fencer *f, uint64_t now_ms)
{
	if (now_ms < f->far_ms)
		return;
	f->far_ms = now_ms + FAR_LOOK_MS;
	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++)
		if (f->procs[i].used && f->procs[i].far && is_dead(f, i))
			buried(f, i);
}

void fencer__runs_poll(struct fencer *f)
{
	uint64_t now_ms = clock_monotonic_ms();

	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++) {
		struct fencer_proc *p = &f->procs[i];

		if (p->used && !p->killing && p->kill_ms != 0 &&
		    now_ms >= p->kill_ms)
			fencer__run_kill(f, i);
	}
	far_look(f, now_ms);
	if (f->dying_ms == 0 || now_ms < f->dying_ms)
		return;
	f->dying_ms = 0;
	/* Launchers, and inits that lost theirs: pidfds tell which died. */
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++)
		if (f->procs[i].used && f->procs[i].dying)
			settle_dying(f, i);
}

/* --- birth --------------------------------------------------------------- */

static void row_fill(struct fencer *f, struct fencer_proc *p,
		     const struct tenure_run *run)
{
	struct run_row *row = &p->row;

	row->program = run->program;
	row->lineage = run->lineage;
	row->gen = run->gen;
	row->epoch = run->epoch;
	row->hold = run->hold;
	row->in_cgroup = f->cgroup.present;
	memcpy(row->kernel_boot, f->machine.kernel_boot,
	       sizeof row->kernel_boot);
	row->pid_namespace = f->machine.pid_namespace;
	for (uint32_t i = 0; i < f->tenure.desired_count; i++) {
		const struct desired_row *d = &f->tenure.desired[i];

		if (d->epoch != run->epoch ||
		    !hash_equal(&d->program, &run->program))
			continue;
		row->code_revision = d->code_revision;
		row->vcpus = d->vcpus;
		row->memory_mib = d->memory_mib;
		row->disk_mib = d->disk_mib;
	}
}

static bool make_socket(struct fencer_proc *p, struct launch *launch)
{
	int pair[2], on = 1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return false;
	p->socket = pair[0];
	launch->socket = pair[1];
	return setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) ==
	       0;
}

/* Before the row, which names it; empty, it may be left over. */
static bool make_group(struct fencer *f, uint32_t index, struct launch *launch)
{
	struct run_row *row = &f->procs[index].row;

	launch->cgroup_fd = cgroup_run_make(&f->cgroup, index, row->hold);
	row->cgroup = cgroup_fd_id(launch->cgroup_fd);
	return !row->in_cgroup || row->cgroup != 0;
}

/* The row is durable, the group is there: the launcher is made. */
static bool make_launcher(struct fencer *f, uint32_t index,
			  struct launch *launch)
{
	struct fencer_proc *p = &f->procs[index];
	pid_t pid;

	if (!make_socket(p, launch) ||
	    !fencer__watch(f, p->socket, SOURCE_RUN, index))
		return false;
	/* R11: the same critical section; writing the row took its time. */
	if (fencer__now(f) >= tenure_deadline(&f->tenure)) {
		errno = ETIME;
		return false;
	}
	pid = launcher_start(launch, &p->launcher);
	if (pid < 0) {
		p->launcher = -1;
		return false;
	}
	p->row.launcher = (uint32_t)pid;
	p->row.launcher_start = process_start((uint32_t)pid);
	p->launcher_dead = false;
	p->socket_end = false;
	return true;
}

enum fencer_code fencer__run_start(struct fencer *f, struct tenure_run *run,
				   const int files[LAUNCH_FILES_MAX],
				   int *error)
{
	uint32_t index = (uint32_t)(run - f->tenure.runs);
	struct fencer_proc *p = &f->procs[index];
	struct launch launch = f->launch;
	bool done;

	REQUIRE(!p->used && run->state == TENURE_RUN_QUEUED);
	*p = (struct fencer_proc){ .used = true, .launcher = -1, .init = -1,
				   .socket = -1, .launcher_dead = true,
				   .init_dead = true, .socket_end = true };
	row_fill(f, p, run);
	launch.slot = index;
	launch.hold = run->hold;
	launch.socket = -1;
	launch.cgroup_fd = -1;
	memcpy(launch.files, files, sizeof launch.files);
	done = make_group(f, index, &launch) &&
	       run_table_write(&f->table, index, &p->row, true) == 0 &&
	       make_launcher(f, index, &launch);
	*error = errno;
	shut(&launch.socket);
	shut(&launch.cgroup_fd);
	if (!done) {
		forget(f, index);
		tenure_dead(&f->tenure, run);
		return *error == ETIME ? FENCER_PAST_DEADLINE : FENCER_FAILED;
	}
	/* A launcher that nobody watches is killed by its timer; ours is the
	 * death to see. */
	if (!fencer__watch(f, p->launcher, SOURCE_LAUNCHER, index))
		fencer__run_kill(f, index);
	return FENCER_OK;
}

/* R11 once more, at the very moment of letting go: a session may have ended,
 * a newer set may have cancelled the start, since the gate was passed. */
static void let_go(struct fencer *f, uint32_t index)
{
	struct fencer_proc *p = &f->procs[index];
	struct tenure_run *run = run_of(f, index);
	const char go = LAUNCH_GO;

	/* A row that could not find its processes again would call them dead. */
	if (p->row.launcher_start == 0 || p->row.init_start == 0 ||
	    p->row.launcher_start == PROCESS_UNSEEN ||
	    p->row.init_start == PROCESS_UNSEEN ||
	    run->state != TENURE_RUN_QUEUED || p->killing || p->kill_ms != 0 ||
	    !tenure_wanted(&f->tenure, run) ||
	    fencer__now(f) >= tenure_deadline(&f->tenure) ||
	    run_table_write(&f->table, index, &p->row, false) != 0 ||
	    send(p->socket, &go, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
		fencer__run_kill(f, index);
		return;
	}
	p->went = true;
	tenure_started(&f->tenure, run);
	fencer__event(f);
}

static void init_known(struct fencer *f, uint32_t index, int32_t pid, int fd)
{
	struct fencer_proc *p = &f->procs[index];

	if (p->init >= 0 || fd < 0 || pid <= 0) {
		shut(&fd);
		fencer__run_kill(f, index);
		return;
	}
	p->init = fd;
	p->init_dead = false;
	p->row.init = (uint32_t)pid;
	p->row.init_start = process_start((uint32_t)pid);
	if (fencer__watch(f, fd, SOURCE_INIT, index))
		let_go(f, index);
	else
		fencer__run_kill(f, index);
}

/* --- what launcher and init tell ----------------------------------------- */

struct told {
	struct launch_message message;
	int fd;
	uint32_t pid; /* of the sender */
};

static void told_parse(struct msghdr *head, struct told *told)
{
	struct ucred credentials;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c != NULL;
	     c = CMSG_NXTHDR(head, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS && told->fd < 0)
			memcpy(&told->fd, CMSG_DATA(c), sizeof told->fd);
		if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&credentials, CMSG_DATA(c), sizeof credentials);
			told->pid = (uint32_t)credentials.pid;
		}
	}
}

/* 1: a message; 0: nothing now; -1: both ends are closed. */
static int told_read(int socket, struct told *told)
{
	struct iovec bytes = { .iov_base = &told->message,
			       .iov_len = sizeof told->message };
	union {
		char space[CMSG_SPACE(sizeof(int)) +
			   CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct msghdr head = { .msg_iov = &bytes, .msg_iovlen = 1,
			       .msg_control = &control,
			       .msg_controllen = sizeof control };
	ssize_t got = recvmsg(socket, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	told->fd = -1;
	told->pid = 0;
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (got == 0)
		return -1;
	told_parse(&head, told);
	if ((size_t)got != sizeof told->message)
		told->message.kind = 0;
	return 1;
}

static void listen_to_run(struct fencer *f, uint32_t index)
{
	struct fencer_proc *p = &f->procs[index];
	struct told told;
	int got;

	while ((got = told_read(p->socket, &told)) > 0) {
		if (told.message.kind == LAUNCH_INIT) {
			init_known(f, index, told.message.value, told.fd);
			continue;
		}
		shut(&told.fd);
		if (told.message.kind == LAUNCH_PROGRAM)
			p->program = told.pid;
		if (told.message.kind == LAUNCH_END) {
			p->status = told.message.value;
			p->has_status = true;
		}
	}
	if (got < 0) {
		shut(&p->socket);
		p->socket_end = true;
	}
}

void fencer__run_event(struct fencer *f, enum fencer_source source,
		       uint32_t index)
{
	struct fencer_proc *p = &f->procs[index];

	if (!p->used)
		return; /* an event of before its slot was freed */
	if (p->socket >= 0)
		listen_to_run(f, index);
	if (source == SOURCE_LAUNCHER && p->launcher >= 0 &&
	    !p->launcher_dead) {
		p->launcher_dead = true;
		epoll_ctl(f->epoll, EPOLL_CTL_DEL, p->launcher, NULL);
	}
	if (source == SOURCE_INIT && p->init >= 0 && !p->init_dead) {
		p->init_dead = true;
		epoll_ctl(f->epoll, EPOLL_CTL_DEL, p->init, NULL);
	}
	if (source == SOURCE_RUN && !p->socket_end)
		return;
	/* One part is dead: so is the run, and the rest must follow. */
	if (!p->dying)
		kill_all(f, index);
	settle_dying(f, index);
}
