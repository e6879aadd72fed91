#include "node/agent/fencer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "node/lib/log.h"

#define NS_PER_MS 1000000u
#define FILES_WANTED 8192u
#define IDLE_MS 1000u
#define PET_MS 200u
#define EVENTS_MAX 64
#define QUIT_MS 15000u

uint64_t fencer__now(struct fencer *f)
{
	return lease_clock_agent_ms(&f->clock);
}

bool fencer__watch(struct fencer *f, int fd, enum fencer_source source,
		   uint32_t index)
{
	struct epoll_event event = { .events = EPOLLIN };

	event.data.u64 = (uint64_t)source << 32 | index;
	return epoll_ctl(f->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* --- the deadline -------------------------------------------------------- */

static void timer_set(struct fencer *f, uint64_t at_ns)
{
	struct itimerspec at;

	memset(&at, 0, sizeof at);
	at.it_value.tv_sec = (time_t)(at_ns / 1000000000u);
	at.it_value.tv_nsec = (long)(at_ns % 1000000000u);
	if (timerfd_settime(f->timer, TFD_TIMER_ABSTIME, &at, NULL) != 0)
		log_error("fencer", "timerfd: %s", strerror(errno));
}

/* For a later life that cannot see these launchers and takes them for dead K
 * after it: written before any launcher is given it. */
static void deadline_note(struct fencer *f, uint64_t at_ns)
{
	if (at_ns <= f->head.deadline_ns)
		return;
	f->head.deadline_ns = at_ns;
	if (run_table_head_write(&f->table, &f->head, false) != 0)
		log_warn("fencer", "run table: %s", strerror(errno));
}

/* CLOCK_BOOTTIME is read first: whatever delays us between the two readings
 * makes the launchers' deadline earlier, never later. */
void fencer__arm(struct fencer *f)
{
	uint64_t boottime_ns = clock_boottime_ns(), now_ms = fencer__now(f);
	uint64_t deadline_ms = tenure_deadline(&f->tenure), at_ns = 0;

	if (deadline_ms > now_ms)
		at_ns = boottime_ns + (deadline_ms - now_ms) * NS_PER_MS;
	deadline_note(f, at_ns);
	atomic_store(&f->page->deadline_ns, at_ns);
	timer_set(f, at_ns);
}

void fencer__fence(struct fencer *f, const char *why)
{
	fencer__arm(f);
	cgroup_session_kill(&f->cgroup);
	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++) {
		const struct tenure_run *run = &f->tenure.runs[i];

		/* A queued start is cancelled, held or not (2.6). */
		if (f->procs[i].used &&
		    (!run->hold || run->state == TENURE_RUN_QUEUED))
			fencer__run_kill(f, i);
	}
	log_warn("session", "ended, %u runs die: %s",
		 fencer__exclusive_count(f), why);
	fencer__event(f);
}

void fencer__tick(struct fencer *f)
{
	uint64_t now_ms = fencer__now(f);

	if (tenure_tick(&f->tenure, now_ms))
		fencer__fence(f, "the lease ran out");
}

/* --- the loop ------------------------------------------------------------ */

static void quit(struct fencer *f)
{
	f->quit = true;
	f->quit_ms = clock_monotonic_ms() + QUIT_MS;
	tenure_end(&f->tenure);
	fencer__fence(f, "told to leave");
}

void fencer_kill_all(struct fencer *f)
{
	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++)
		if (f->procs[i].used)
			f->tenure.runs[i].hold = false;
	quit(f);
}

static void signals_read(struct fencer *f)
{
	struct signalfd_siginfo info;

	while (read(f->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			f->dying_ms = 1; /* reaped by fencer__runs_poll */
		else if (!f->quit)
			quit(f);
	}
}

static void dispatch(struct fencer *f, uint64_t what)
{
	enum fencer_source source = (enum fencer_source)(what >> 32);
	uint32_t index = (uint32_t)what;
	uint64_t expirations;

	switch (source) {
	case SOURCE_LISTENER:
		fencer__socket_accept(f);
		break;
	case SOURCE_CLIENT:
		if (f->client >= 0)
			fencer__socket_read(f);
		break;
	case SOURCE_TIMER:
		(void)(read(f->timer, &expirations, sizeof expirations) < 0);
		/* The two clocks may differ by a little: not yet, then. */
		if (tenure_deadline(&f->tenure) != 0)
			fencer__arm(f);
		break;
	case SOURCE_SIGNALS:
		signals_read(f);
		break;
	case SOURCE_LAUNCHER:
	case SOURCE_INIT:
	case SOURCE_RUN:
		fencer__run_event(f, source, index);
		break;
	}
}

static int wait_ms(const struct fencer *f)
{
	uint64_t now_ms = clock_monotonic_ms();
	uint64_t at_ms = now_ms + (f->watchdog >= 0 ? PET_MS : IDLE_MS);

	if (f->dying_ms != 0 && f->dying_ms < at_ms)
		at_ms = f->dying_ms;
	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++) {
		const struct fencer_proc *p = &f->procs[i];

		if (p->used && !p->dying && p->kill_ms != 0 &&
		    p->kill_ms < at_ms)
			at_ms = p->kill_ms;
	}
	return at_ms > now_ms ? (int)(at_ms - now_ms) : 0;
}

static bool done(const struct fencer *f)
{
	return f->quit && (fencer__exclusive_count(f) == 0 ||
			   clock_monotonic_ms() >= f->quit_ms);
}

void fencer_loop(struct fencer *f)
{
	struct epoll_event events[EVENTS_MAX];

	while (!done(f)) {
		int count = epoll_wait(f->epoll, events, EVENTS_MAX,
				       wait_ms(f));

		for (int i = 0; i < count; i++) {
			/* R10 comes before anything else that happened. */
			fencer__tick(f);
			dispatch(f, events[i].data.u64);
		}
		fencer__tick(f);
		fencer__runs_poll(f);
		fencer__watchdog_pet(f);
	}
	if (fencer__exclusive_count(f) > 0)
		log_error("fencer", "leaving with %u runs not seen dead",
			  fencer__exclusive_count(f));
}

/* --- start and end ------------------------------------------------------- */

static bool descriptors_open(struct fencer *f)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* A log that nobody reads, a terminal that closes: no reason to go. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	f->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	f->epoll = epoll_create1(EPOLL_CLOEXEC);
	f->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	return f->signals >= 0 && f->epoll >= 0 && f->timer >= 0 &&
	       fencer__watch(f, f->signals, SOURCE_SIGNALS, 0) &&
	       fencer__watch(f, f->timer, SOURCE_TIMER, 0);
}

static bool page_open(struct fencer *f)
{
	f->page = mmap(NULL, FENCE_PAGE_SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f->page == MAP_FAILED)
		return false;
	atomic_store(&f->page->deadline_ns, 0);
	return true;
}

static void files_raise(struct fencer *f)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	f->launch.files_max = files.rlim_cur;
	if (files.rlim_cur < FILES_WANTED)
		files.rlim_cur = files.rlim_max < FILES_WANTED ?
					 files.rlim_max :
					 FILES_WANTED;
	setrlimit(RLIMIT_NOFILE, &files);
}

/* What the class rests on (2.6), tried on this machine. One thing cannot be
 * tried: a host that is itself a machine which others pause or copy stops our
 * clocks (A2, H36), and its operator must not call it fenced. */
static void class_find(struct fencer *f)
{
	bool able = launcher_try(&f->launch, f->reason, sizeof f->reason);

	f->class = able ? CRN_FENCED : CRN_UNFENCED;
	log_info("fencer", "class %s%s%s; groups %s, limits by %s; watchdog %s",
		 able ? "fenced" : "unfenced: ", f->reason,
		 f->launch.user_namespace ? ", by user namespaces" : "",
		 f->cgroup.present ? f->cgroup.root : "absent",
		 f->cgroup.limits		    ? "v2" :
		 f->cgroup.v1[CGROUP_MEMORY][0] != 0 ? "v1" :
						      "nothing",
		 f->watchdog_kind == WATCHDOG_NONE ? "none" :
		 f->watchdog_kind == WATCHDOG_SOFT ? "soft" :
						     "hardware");
}

int fencer_open(struct fencer *f, const struct fencer_options *o,
		struct fault *fault)
{
	int rv;

	memset(f, 0, sizeof *f);
	f->listener = f->client = f->watchdog = -1;
	f->k_ms = o->k_ms;
	f->slew_ppm = o->slew_ppm;
	rv = machine_open(&f->machine, o->directory, fault);
	if (rv == 0)
		rv = run_table_open(&f->table, f->machine.directory, fault);
	if (rv == 0)
		rv = fencer__watchdog_open(f, o->watchdog, fault);
	if (rv != 0)
		return rv;
	if (!descriptors_open(f) || !page_open(f))
		return fault_set(fault, BERTH_IO, "start: %s",
				 strerror(errno));
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	files_raise(f);
	cgroup_open(&f->cgroup, &o->crn, o->directory);
	f->launch.page = f->page;
	f->launch.cgroup = &f->cgroup;
	class_find(f);
	lease_clock_init(&f->clock);
	tenure_init(&f->tenure, &o->crn, &f->machine.host, &f->machine.boot, 0);
	fencer__settle(f);
	if (f->blind)
		return fault_set(fault, BERTH_IO, "a process of an earlier "
				 "life cannot be looked at");
	return fencer__socket_open(f, o->directory, fault);
}

void fencer_close(struct fencer *f)
{
	fencer__socket_drop(f);
	if (f->listener >= 0) {
		unlink(f->path);
		close(f->listener);
	}
	cgroup_close(&f->cgroup);
	fencer__watchdog_close(f);
	run_table_close(&f->table);
	machine_close(&f->machine);
}
