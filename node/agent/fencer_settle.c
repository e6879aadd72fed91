/* What an earlier life left (lease.md 2.6, "Machine and run table"): each row
 * is settled as dead, running or unknown before the agent is heard. */
#include <errno.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "node/agent/fencer.h"
#include "node/lib/log.h"

#define NS_PER_MS 1000000u
#define KILL_TRIES 500 /* of 2 ms */

#define GONE -1
#define UNSEEN -2 /* it may be there: nothing can be said */

/* A pidfd of the process that had this pid at that time, or one of these. */
static int process_open(uint32_t pid, uint64_t start)
{
	uint64_t now;
	int fd;

	if (pid == 0 || start == 0)
		return GONE; /* it was never let go */
	fd = pidfd_open((pid_t)pid, 0);
	if (fd < 0 && errno == ESRCH)
		return GONE;
	/* After the opening: the pid may have passed to another before. */
	now = process_start(pid);
	if (now == start && fd >= 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return now == start || now == PROCESS_UNSEEN ? UNSEEN : GONE;
}

/* Kills what is in the groups of a slot; true when both are empty. */
static bool groups_empty(struct fencer *f, uint32_t slot)
{
	for (int try = 0; try < KILL_TRIES; try++) {
		bool alive = false;

		for (int hold = 0; hold < 2; hold++) {
			if (!cgroup_run_populated(&f->cgroup, slot, hold))
				continue;
			alive = true;
			cgroup_run_kill(&f->cgroup, slot, hold);
		}
		if (!alive) {
			cgroup_run_remove(&f->cgroup, slot, false);
			cgroup_run_remove(&f->cgroup, slot, true);
			return true;
		}
		usleep(2000);
	}
	return false;
}

static void drop(struct fencer *f, uint32_t slot)
{
	if (run_table_clear(&f->table, slot) != 0)
		log_warn("settle", "run table: %s", strerror(errno));
}

/* Enters a run into both tables; pidfds pass to it. */
static struct fencer_proc *enter(struct fencer *f, uint32_t slot,
				 const struct run_row *row, bool hold,
				 enum tenure_run_state state)
{
	struct fencer_proc *p = &f->procs[slot];
	struct tenure_run run = { .state = state, .program = row->program,
				  .lineage = row->lineage, .gen = row->gen,
				  .epoch = row->epoch, .hold = hold };

	*p = (struct fencer_proc){ .used = true, .went = true, .launcher = -1,
				   .init = -1, .socket = -1,
				   .socket_end = true, .row = *row };
	tenure_found(&f->tenure, slot, &run);
	return p;
}

static bool watch(struct fencer *f, uint32_t slot, int launcher, int init)
{
	struct fencer_proc *p = &f->procs[slot];

	p->launcher = launcher;
	p->init = init;
	p->launcher_dead = launcher < 0;
	p->init_dead = init < 0;
	return (launcher < 0 ||
		fencer__watch(f, launcher, SOURCE_LAUNCHER, slot)) &&
	       (init < 0 || fencer__watch(f, init, SOURCE_INIT, slot));
}

/* Too few descriptors, a /proc that hides: the fencer does not start. What
 * runs goes on as without one, to its deadline. */
static const char *settle_unseen(struct fencer *f, int launcher, int init)
{
	if (launcher >= 0)
		close(launcher);
	if (init >= 0)
		close(init);
	f->blind = true;
	return "not to be seen";
}

/* Of this kernel and this pid namespace: its processes can be looked at. */
static const char *settle_near(struct fencer *f, uint32_t slot,
			       const struct run_row *row)
{
	int launcher = process_open(row->launcher, row->launcher_start);
	int init = process_open(row->init, row->init_start);

	if (launcher == UNSEEN || init == UNSEEN)
		return settle_unseen(f, launcher, init);
	if (row->hold && launcher >= 0 && init >= 0) {
		enter(f, slot, row, true, TENURE_RUN_LIVE);
		if (!watch(f, slot, launcher, init))
			log_error("settle", "epoll: %s", strerror(errno));
		return "running";
	}
	if (launcher < 0 && init < 0 &&
	    !(row->in_cgroup &&
	      cgroup_run_populated(&f->cgroup, slot, row->hold))) {
		drop(f, slot);
		cgroup_run_remove(&f->cgroup, slot, row->hold);
		return "dead";
	}
	/* Whatever it was, it must be dead before the next Hello. */
	enter(f, slot, row, false, TENURE_RUN_STOPPING);
	if (!watch(f, slot, launcher, init))
		log_error("settle", "epoll: %s", strerror(errno));
	fencer__run_kill(f, slot);
	return "killed";
}

/* Of this kernel, but another container. The run's own empty
 * group is proof; an exclusive run dies by its launcher's timer besides;
 * a held one that may live is unknown. */
static const char *settle_far(struct fencer *f, uint32_t slot,
			      const struct run_row *row)
{
	struct fencer_proc *p;

	p = enter(f, slot, row, row->hold, TENURE_RUN_UNKNOWN);
	p->far = true;
	if (fencer__far_dead(f, slot)) {
		tenure_dead(&f->tenure, &f->tenure.runs[slot]);
		p->used = false;
		drop(f, slot);
		cgroup_run_remove(&f->cgroup, slot, row->hold);
		return "dead: its group is empty";
	}
	if (row->hold)
		return fencer__far_tell(f, slot), "unknown";
	/* K is real time, and our clock may be ahead of it. */
	p->gone_ns = f->head.deadline_ns == UINT64_MAX ?
			     0 :
			     f->head.deadline_ns +
				     (uint64_t)f->k_ms * NS_PER_MS / 50 * 51;
	fencer__run_kill(f, slot);
	return "waited for until its launcher's timer has expired";
}

/* A torn row tells nothing. If every run had a group under one root, that
 * root's and the slot's groups do. */
static bool torn_dead(struct fencer *f, uint32_t slot)
{
	uint64_t root = f->head.cgroup_root;

	if (root != 0 && root == cgroup_root_id(&f->cgroup))
		return groups_empty(f, slot);
	return cgroup_id_look(&f->cgroup, root, f->cgroup.root) ==
	       CGROUP_EMPTY;
}

static const char *settle_torn(struct fencer *f, uint32_t slot, bool rebooted)
{
	struct run_row row;

	if (rebooted || torn_dead(f, slot)) {
		drop(f, slot);
		return "torn, and dead";
	}
	memset(&row, 0, sizeof row);
	row.hold = true;
	enter(f, slot, &row, true, TENURE_RUN_UNKNOWN)->far = true;
	fencer__far_tell(f, slot);
	return "torn, and unknown";
}

/* No Hello while it lives; that its group is empty is what tells. */
static void settle_stubborn(struct fencer *f, uint32_t slot)
{
	struct fencer_proc *p;
	struct run_row row;

	memset(&row, 0, sizeof row);
	row.in_cgroup = 1;
	log_error("settle", "slot %u: a process without a row does not die",
		  slot);
	row.hold = cgroup_run_populated(&f->cgroup, slot, true);
	p = enter(f, slot, &row, false, TENURE_RUN_STOPPING);
	p->launcher_dead = p->init_dead = true;
	fencer__run_kill(f, slot);
}

static void settle_slot(struct fencer *f, uint32_t slot, bool rebooted)
{
	const char *verdict;
	struct run_row row;
	int rv = run_table_read(&f->table, slot, &row);

	if (rv == BERTH_NOTFOUND) {
		/* What lives here and has no row goes first. */
		if (f->cgroup.present && !groups_empty(f, slot))
			settle_stubborn(f, slot);
		return;
	}
	if (rv != 0)
		verdict = settle_torn(f, slot, rebooted);
	else if (memcmp(row.kernel_boot, f->machine.kernel_boot,
			sizeof row.kernel_boot) != 0)
		drop(f, slot), verdict = "dead: another boot";
	else if (row.pid_namespace != f->machine.pid_namespace)
		verdict = settle_far(f, slot, &row);
	else
		verdict = settle_near(f, slot, &row);
	log_info("settle", "slot %u: epoch %llu.%llu %s", slot,
		 rv == 0 ? (unsigned long long)row.gen : 0,
		 rv == 0 ? (unsigned long long)row.epoch : 0, verdict);
}

/* R15's memory holds within a boot, the generation for ever. */
static bool take_head(struct fencer *f)
{
	struct run_table_head *head = &f->head;
	int rv = run_table_head_read(&f->table, head);
	bool rebooted;

	if (rv != 0)
		memset(head, 0, sizeof *head);
	rebooted = memcmp(head->kernel_boot, f->machine.kernel_boot,
			  sizeof head->kernel_boot) != 0;
	if (rv != 0 && rv != BERTH_NOTFOUND) {
		/* It tells nothing: neither of a reboot, nor until when. */
		log_error("settle", "the head of the run table is %s",
			  berth_error_text(rv));
		head->deadline_ns = UINT64_MAX;
		rebooted = false;
	}
	f->tenure.gen = head->gen;
	if (hash_equal(&head->boot, &f->machine.boot))
		f->tenure.prev_max = head->prev_max;
	else
		head->prev_max = 0;
	return rebooted;
}

void fencer__settle(struct fencer *f)
{
	bool rebooted = take_head(f);
	uint64_t root;

	for (uint32_t slot = 0; slot < FENCER_RUNS_MAX; slot++)
		settle_slot(f, slot, rebooted);
	/* The latest deadline is of the kernel that counted to it. */
	if (rebooted)
		f->head.deadline_ns = 0;
	memcpy(f->head.kernel_boot, f->machine.kernel_boot,
	       sizeof f->head.kernel_boot);
	f->head.boot = f->machine.boot;
	if (f->head.deadline_ns == UINT64_MAX && f->tenure.run_count == 0)
		f->head.deadline_ns = 0;
	/* What is left is under the root of before, or it is not known. */
	root = cgroup_root_id(&f->cgroup);
	if (f->tenure.run_count == 0)
		f->head.cgroup_root = root;
	else if (f->head.cgroup_root != root)
		f->head.cgroup_root = 0;
	if (run_table_head_write(&f->table, &f->head, true) != 0)
		log_error("settle", "run table: %s", strerror(errno));
}
