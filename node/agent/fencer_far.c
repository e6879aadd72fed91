/* Runs of this kernel whose processes cannot be looked at by pid: another
 * container made them (lease.md 2.6). Their own group is what shows and kills
 * them; where it is not to be found either, they stay unknown. */
#include "node/agent/fencer.h"
#include "node/lib/log.h"

static enum cgroup_life group_life(const struct fencer *f, uint32_t index)
{
	const struct run_row *row = &f->procs[index].row;
	char path[CGROUP_PATH_MAX];

	if (!row->in_cgroup)
		return CGROUP_UNSEEN;
	cgroup_run_path(&f->cgroup, index, row->hold, path);
	return cgroup_id_look(&f->cgroup, row->cgroup, path);
}

bool fencer__far_dead(const struct fencer *f, uint32_t index)
{
	const struct fencer_proc *p = &f->procs[index];

	if (p->gone_ns != 0 && clock_boottime_ns() >= p->gone_ns)
		return true;
	return group_life(f, index) == CGROUP_EMPTY;
}

bool fencer__far_nameless(const struct fencer *f)
{
	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++)
		if (f->procs[i].used && f->procs[i].far &&
		    f->procs[i].row.pid_namespace == 0)
			return true;
	return false;
}

void fencer__far_tell(struct fencer *f, uint32_t index)
{
	const struct run_row *row = &f->procs[index].row;

	if (row->pid_namespace == 0)
		log_error("far", "slot %u of the run table is torn, and the "
			  "program it named may run: until this host has "
			  "rebooted this CRN does not register; reboot it",
			  index);
	else if (group_life(f, index) == CGROUP_LIVES)
		log_warn("far", "slot %u: epoch %llu.%llu runs in another "
			 "container and goes on; a stop of it works, and "
			 "berth-fencer --kill-all too", index,
			 (unsigned long long)row->gen,
			 (unsigned long long)row->epoch);
	else
		log_error("far", "slot %u: epoch %llu.%llu was started in "
			  "another container (pid namespace %llu) and cannot "
			  "be seen from this one: no stop of it is confirmed. "
			  "Run berth-fencer --kill-all as root on the host, "
			  "which may see its group, or reboot the host",
			  index, (unsigned long long)row->gen,
			  (unsigned long long)row->epoch,
			  (unsigned long long)row->pid_namespace);
}

void fencer__far_kill(struct fencer *f, uint32_t index)
{
	struct fencer_proc *p = &f->procs[index];
	char path[CGROUP_PATH_MAX];

	if (group_life(f, index) == CGROUP_LIVES) {
		cgroup_run_path(&f->cgroup, index, p->row.hold, path);
		cgroup_id_kill(&f->cgroup, p->row.cgroup, path);
	} else if (!p->told && p->gone_ns == 0) {
		fencer__far_tell(f, index);
		p->told = true;
	}
}
