/* The kernel of a machine, as its fencer knows it: what the files of node/agent
 * call (kernel.h), over what really is there (struct live). Descriptors and
 * pids are made of a run's slot. */
#include <stdarg.h>

#include "tests/sim/whole/oracle.h"

#include "tests/sim/whole/kernel.h"

#define FD_FIRST 100
enum { FD_LAUNCHER = 0, FD_INIT, FD_SOCKET, FD_FAR_END, FD_KINDS };
#define PID_FIRST 1000u
#define START_AFTER 7u /* of a pid: when it began */

static struct host *here;
static uint32_t making; /* the slot that is being started */
static uint8_t memory[FENCER_REPLY_SIZE_MAX]; /* the file of no name */

void kernel_enter(struct host *host)
{
	REQUIRE(here == NULL && host->stall_us == 0);
	here = host;
	host->had_session = host->fencer.tenure.session != 0;
}

void kernel_takes(uint64_t us)
{
	here->stall_us += us;
}

uint64_t kernel_ms(void)
{
	return host_ms(here);
}

void kernel_log(enum log_level level, const char *area, const char *format, ...)
{
	char text[160];
	va_list list;

	if (level > LOG_LEVEL_WARN)
		return;
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	story(here->world, "%s: %s: %s", host_name(here), area, text);
}

/* --- what is alive -------------------------------------------------------------- */

static bool init_lives(const struct live *live)
{
	return !live->ghost &&
	       (live->state == LIVE_PREPARED || executing(live));
}

bool kernel_lives(const struct live *live)
{
	return init_lives(live) ||
	       (live->state == LIVE_DEAD && !live->launcher_dead);
}

static bool part_lives(const struct live *live, int kind)
{
	return kind == FD_LAUNCHER ? live->state != LIVE_NONE &&
					     !live->launcher_dead :
				     init_lives(live);
}

static int fd_of(uint32_t slot, int kind)
{
	return FD_FIRST + (int)slot * FD_KINDS + kind;
}

static struct live *live_of(int fd, int *kind)
{
	REQUIRE(fd >= FD_FIRST && fd < fd_of(RUNS_MAX, 0));
	*kind = (fd - FD_FIRST) % FD_KINDS;
	return &here->live[(fd - FD_FIRST) / FD_KINDS];
}

static uint32_t pid_of(const struct live *live, int kind)
{
	uint32_t slot = (uint32_t)(live - here->live);

	return PID_FIRST +
	       ((live->token * RUNS_MAX + slot) * 2 + (uint32_t)kind);
}

/* In the container that the fencer is in. */
static struct live *process(uint32_t pid, int *kind)
{
	struct live *live;

	if (pid < PID_FIRST)
		return NULL;
	*kind = (int)((pid - PID_FIRST) % 2);
	live = &here->live[(pid - PID_FIRST) / 2 % RUNS_MAX];
	return pid_of(live, *kind) == pid && live->far == FAR_NOT &&
			       part_lives(live, *kind) ?
		       live :
		       NULL;
}

uint64_t process_start(uint32_t pid)
{
	int kind;

	return process(pid, &kind) ? (uint64_t)pid + START_AFTER : 0;
}

int kernel_pidfd(pid_t pid, unsigned flags)
{
	int kind;
	struct live *live = process((uint32_t)pid, &kind);

	REQUIRE(flags == 0);
	if (live)
		return fd_of((uint32_t)(live - here->live), kind);
	errno = ESRCH;
	return -1;
}

int kernel_signal(int fd, int number, siginfo_t *info, unsigned flags)
{
	int kind;
	struct live *live = live_of(fd, &kind);
	uint32_t slot = (uint32_t)(live - here->live);

	REQUIRE(info == NULL && flags == 0);
	if (!part_lives(live, kind)) {
		errno = ESRCH;
		return -1;
	}
	if (number == SIGKILL)
		run_kill(here, slot);
	else
		run_stop(here, slot);
	return 0;
}

/* --- births ------------------------------------------------------------------------ */

int kernel_pair(int pair[2])
{
	pair[0] = fd_of(making, FD_SOCKET);
	pair[1] = fd_of(making, FD_FAR_END);
	return 0;
}

/* clone3: from here on something of it is. */
pid_t launcher_start(const struct launch *launch, int *pidfd)
{
	const struct tenure_run *run = &here->fencer.tenure.runs[launch->slot];
	struct live *live = &here->live[launch->slot];
	struct world *world = here->world;
	uint64_t us;

	if (executing(live) && guarded(here))
		world_fail(world, "R11: %s starts a run in slot %u, where "
			   "program %u executes", host_name(here),
			   launch->slot, live->program);
	if (executing(live))
		oracle_ends(here, live);
	if (live->state == LIVE_NONE)
		here->live_count++;
	*live = (struct live){ .state = LIVE_PREPARED, .hold = launch->hold,
			       .token = live->token + 1, .gen = run->gen,
			       .program = program_number(world, &run->program),
			       .epoch = run->epoch };
	if (launch->cgroup_fd >= 0)
		live->group = here->group_ids[launch->slot];
	us = chance_below(&world->chance, 20000);
	if (!world->healed && chance_below(&world->chance, 50) == 0)
		us += chance_below(&world->chance, 9000000); /* a full machine */
	run_event(here, launch->slot, RUN_IS_MADE, host_us(here) + us);
	*pidfd = fd_of(launch->slot, FD_LAUNCHER);
	return (pid_t)pid_of(live, FD_LAUNCHER);
}

bool launcher_try(struct launch *launch, char *why, size_t size)
{
	snprintf(why, size, "%s", "");
	launch->pid_namespace = true;
	return true;
}

/* The init's pid and its pidfd, once; and the end. */
ssize_t kernel_receive(int fd, struct msghdr *head)
{
	int kind;
	struct live *live = live_of(fd, &kind);
	struct launch_message message = {
		.kind = LAUNCH_INIT, .value = (int32_t)pid_of(live, FD_INIT)
	};
	int init = fd_of((uint32_t)(live - here->live), FD_INIT);
	struct cmsghdr *c;

	if (!kernel_lives(live))
		return 0;
	if (!live->told || live->went) {
		errno = EAGAIN;
		return -1;
	}
	live->told = false;
	memcpy(head->msg_iov->iov_base, &message, sizeof message);
	c = CMSG_FIRSTHDR(head);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof init);
	memcpy(CMSG_DATA(c), &init, sizeof init);
	head->msg_controllen = CMSG_SPACE(sizeof init);
	return (ssize_t)sizeof message;
}

/* The word to go; and a pause between the last test and it. */
ssize_t kernel_send(int fd, const void *data, size_t size)
{
	int kind;
	struct live *live = live_of(fd, &kind);
	struct world *world = here->world;
	uint64_t us = chance_below(&world->chance, 40000);
	uint32_t slot = (uint32_t)(live - here->live);

	if (!init_lives(live) || *(const char *)data != LAUNCH_GO) {
		errno = EPIPE;
		return -1;
	}
	if (!world->healed && chance_below(&world->chance, 50) == 0) {
		faults_count(world, FAULT_GATE);
		kernel_takes(chance_below(&world->chance, 20000000));
	}
	live->state = LIVE_GOING;
	live->went = true;
	oracle_executes(here, live);
	spoil_start(here, live);
	if (!world->healed &&
	    chance_percent(&world->chance, world->options.start_fails))
		run_event(here, slot, RUN_FAILS, host_us(here) + us);
	else
		run_event(here, slot, RUN_EXECUTES, host_us(here) + us);
	return (ssize_t)size;
}

/* --- groups ------------------------------------------------------------------------- */

void cgroup_open(struct cgroup *cgroup, const struct hash *crn,
		 const char *directory)
{
	(void)crn;
	(void)directory;
	cgroup->present = here->has_groups;
}

void cgroup_close(const struct cgroup *cgroup)
{
	(void)cgroup;
}

int cgroup_run_make(const struct cgroup *cgroup, uint32_t slot, bool hold)
{
	(void)hold;
	making = slot;
	if (!cgroup->present)
		return -1;
	here->group_ids[slot] = ++here->groups;
	return fd_of(slot, FD_KINDS - 1);
}

uint64_t cgroup_fd_id(int fd)
{
	return fd < 0 ? 0 : here->group_ids[(fd - FD_FIRST) / FD_KINDS];
}

void cgroup_run_remove(const struct cgroup *cgroup, uint32_t slot, bool hold)
{
	(void)cgroup;
	(void)slot;
	(void)hold;
}

static bool in_group(const struct live *live, bool hold)
{
	return live->group != 0 && live->hold == hold &&
	       live->far != FAR_UNSEEN && kernel_lives(live);
}

bool cgroup_run_populated(const struct cgroup *cgroup, uint32_t slot, bool hold)
{
	return cgroup->present && in_group(&here->live[slot], hold);
}

void cgroup_run_kill(const struct cgroup *cgroup, uint32_t slot, bool hold)
{
	if (cgroup_run_populated(cgroup, slot, hold))
		run_kill(here, slot);
}

void cgroup_session_kill(const struct cgroup *cgroup)
{
	for (uint32_t i = 0; i < RUNS_MAX && here->live_count; i++)
		if (here->live[i].far == FAR_NOT)
			cgroup_run_kill(cgroup, i, false);
}

void cgroup_run_path(const struct cgroup *cgroup, uint32_t slot, bool hold,
		     char path[CGROUP_PATH_MAX])
{
	(void)cgroup;
	(void)slot;
	(void)hold;
	path[0] = '\0';
}

static struct live *group(uint64_t id)
{
	for (uint32_t i = 0; i < RUNS_MAX; i++)
		if (here->live[i].group == id &&
		    here->live[i].state != LIVE_NONE)
			return &here->live[i];
	return NULL;
}

enum cgroup_life cgroup_id_look(const struct cgroup *cgroup, uint64_t id,
				const char *path)
{
	const struct live *live = id != 0 ? group(id) : NULL;

	(void)path;
	if (id == 0 || !cgroup->present)
		return CGROUP_UNSEEN;
	if (live ? live->far == FAR_UNSEEN : here->groups_unseen)
		return CGROUP_UNSEEN;
	return live && kernel_lives(live) ? CGROUP_LIVES : CGROUP_EMPTY;
}

void cgroup_id_kill(const struct cgroup *cgroup, uint64_t id, const char *path)
{
	struct live *live = id != 0 ? group(id) : NULL;

	(void)path;
	if (cgroup->present && live && live->far != FAR_UNSEEN)
		run_kill(here, (uint32_t)(live - here->live));
}

uint64_t cgroup_root_id(const struct cgroup *cgroup)
{
	return cgroup->present ? 1 + here->container : 0;
}

/* --- files ---------------------------------------------------------------------------- */

int machine_open(struct machine *machine, const char *directory,
		 struct fault *fault)
{
	(void)directory;
	(void)fault;
	machine->host = here->host_hash;
	machine->boot = here->boot_hash;
	memcpy(machine->kernel_boot, here->kernel.bytes,
	       sizeof machine->kernel_boot);
	machine->pid_namespace = 1 + here->container;
	return 0;
}

void machine_close(struct machine *machine)
{
	(void)machine;
}

int kernel_stat(int fd, struct stat *st)
{
	(void)fd;
	memset(st, 0, sizeof *st);
	st->st_size = here->cache.there ? (off_t)sizeof here->cache.bytes : 0;
	return 0;
}

int kernel_allocate(int fd, off_t from, off_t size)
{
	(void)fd;
	REQUIRE(from == 0 && size == (off_t)sizeof here->cache.bytes);
	here->cache.there = true;
	return 0;
}

/* A START waits for the disk; the time of others is in their messages'. */
int kernel_sync(int fd)
{
	struct world *world = here->world;

	(void)fd;
	here->durable = here->cache;
	if (!here->starting)
		return 0;
	kernel_takes(100 + chance_below(&world->chance, 4000));
	if (!world->healed && chance_below(&world->chance, 100) == 0)
		kernel_takes(chance_below(&world->chance, 9000000));
	return 0;
}

ssize_t kernel_pread(int fd, void *data, size_t size, off_t at)
{
	const uint8_t *from = fd == KERNEL_TABLE ? here->cache.bytes :
						   memory;

	REQUIRE(at >= 0 && (size_t)at + size <= (fd == KERNEL_TABLE ?
							 sizeof(here->cache.bytes) :
							 sizeof memory));
	memcpy(data, from + at, size);
	return (ssize_t)size;
}

/* A row that goes says that nothing of the run executes. */
static void row_goes(uint32_t slot)
{
	struct live *live = &here->live[slot];

	if (executing(live) && guarded(here))
		world_fail(here->world, "R14: the fencer of %s takes the row "
			   "of program %u out of the run table while it "
			   "executes", host_name(here), live->program);
	if (executing(live) || live->state == LIVE_NONE || live->ghost)
		return;
	live->state = LIVE_NONE;
	live->far = FAR_NOT;
	live->token++;
	here->live_count--;
}

ssize_t kernel_pwrite(int fd, const void *data, size_t size, off_t at)
{
	static const uint8_t zero[TABLE_BLOCK];

	if (fd != KERNEL_TABLE) {
		REQUIRE(size <= sizeof memory);
		memcpy(memory, data, size);
		return (ssize_t)size;
	}
	REQUIRE(size == TABLE_BLOCK && at % TABLE_BLOCK == 0 &&
		(size_t)at < sizeof here->cache.bytes);
	memcpy(here->cache.bytes + at, data, size);
	if (at > 0 && memcmp(data, zero, size) == 0)
		row_goes((uint32_t)(at / TABLE_BLOCK) - 1);
	return (ssize_t)size;
}

void kernel_bytes(const void *bytes, size_t size)
{
	REQUIRE(size <= sizeof memory);
	memcpy(memory, bytes, size);
}

int kernel_file(void)
{
	return KERNEL_MEMORY;
}

mode_t kernel_mask(mode_t mask)
{
	return mask;
}

/* --- the rest ------------------------------------------------------------------------ */

int kernel_fine(void)
{
	return 0;
}

int kernel_descriptor(void)
{
	return 5;
}

void *kernel_page(void)
{
	return &here->page;
}

int kernel_limit(struct rlimit *limit)
{
	memset(limit, 0, sizeof *limit);
	return 0;
}

ssize_t kernel_fetch(void *data, size_t size)
{
	memset(data, 0, size);
	errno = EAGAIN;
	return -1;
}

ssize_t kernel_random(void *data, size_t size)
{
	uint64_t words[2] = { chance_next(&here->world->chance),
			      chance_next(&here->world->chance) };

	REQUIRE(size == sizeof words);
	memcpy(data, words, size);
	return (ssize_t)size;
}

int kernel_timer(int fd, uint64_t at_ns)
{
	(void)fd;
	here->timer_ms = (at_ns + 999999) / 1000000;
	return 0;
}

/* An event: the agent looks. */
ssize_t kernel_answer(const struct msghdr *head)
{
	agent_soon(here, host_us(here) + 5000);
	return (ssize_t)head->msg_iov->iov_len;
}

/* What the fencer's descriptors would wake it for. */
static uint64_t poll_ms(const struct fencer *f)
{
	uint64_t at_ms = UINT64_MAX, ms;

	for (uint32_t i = 0; i < RUNS_MAX; i++) {
		const struct fencer_proc *p = &f->procs[i];

		ms = UINT64_MAX;
		if (!p->used)
			continue;
		if (p->far)
			/* Looked at less often than 10 ms, but in time. */
			ms = p->gone_ns && p->gone_ns / 1000000 <
						   kernel_ms() + 200 ?
				     p->gone_ns / 1000000 :
				     kernel_ms() + 200;
		else if (p->dying && !kernel_lives(&here->live[i]))
			ms = f->dying_ms;
		else if (!p->dying && p->kill_ms)
			ms = p->kill_ms;
		if (ms < at_ms)
			at_ms = ms;
	}
	return at_ms;
}

static void poll_soon(struct host *host)
{
	struct event event = { .kind = EVENT_FENCER, .to = host->number,
			       .life = host->life };
	uint64_t ms = poll_ms(&host->fencer);

	if (ms == UINT64_MAX)
		return;
	if (ms <= kernel_ms())
		ms = kernel_ms() + 1;
	event.at_us = drifting_when(&host->clock, ms);
	if (event.at_us >= host->poll_us)
		return;
	host->poll_us = event.at_us;
	event_push(host->world, &event);
}

void kernel_leave(struct host *host)
{
	uint64_t us = host->stall_us;

	if (host->fencer.tenure.run_count)
		poll_soon(host);
	host->stall_us = 0;
	here = NULL;
	if (us)
		fencer_pause(host, us);
	host_armed(host);
}
