/* The control groups of one CRN: kill and count by v2, limits by v2 or v1.
 *
 * ROOT/s holds the runs that die with the session, ROOT/h the held ones, each
 * in a group run-SLOT of its own, where ROOT is berth-HASH at the top of the
 * v2 mount, of the CRN and the path of its folder: two of a name on one machine,
 * as in tests, do not settle each other's runs. Where v2 has no controllers, the v1 ones give the limits. All of it
 * may be absent: the pid namespaces alone kill everything too.
 */
#ifndef NODE_AGENT_CGROUP_H
#define NODE_AGENT_CGROUP_H

#include "fsm/base.h"

#define CGROUP_PATH_MAX 192

enum cgroup_v1 { CGROUP_MEMORY, CGROUP_CPU, CGROUP_PIDS, CGROUP_V1_COUNT };

struct cgroup {
	bool present, limits; /* v2, and with controllers for runs */
	char root[CGROUP_PATH_MAX];
	char v1[CGROUP_V1_COUNT][CGROUP_PATH_MAX]; /* "" if absent */
};

struct cgroup_limits {
	uint32_t memory_mib, cpu_milli, pids_max; /* 0: none */
};

/* Finds the mounts and makes ROOT. Uses the heap. */
void cgroup_open(struct cgroup *cgroup, const struct hash *crn,
		 const char *directory);
/* Removes what is empty. */
void cgroup_close(const struct cgroup *cgroup);

/* Makes the groups of a run. A descriptor for CLONE_INTO_CGROUP, or -1. */
int cgroup_run_make(const struct cgroup *cgroup, uint32_t slot, bool hold);
void cgroup_run_remove(const struct cgroup *cgroup, uint32_t slot, bool hold);
/* Every process of it gets SIGKILL. */
void cgroup_run_kill(const struct cgroup *cgroup, uint32_t slot, bool hold);
/* The same for all runs of the session at once. */
void cgroup_session_kill(const struct cgroup *cgroup);
/* Does anything live in it? An absent group is empty. */
bool cgroup_run_populated(const struct cgroup *cgroup, uint32_t slot,
			  bool hold);
/* Its path, where there is one. */
void cgroup_run_path(const struct cgroup *cgroup, uint32_t slot, bool hold,
		     char path[CGROUP_PATH_MAX]);

/* --- by id (cgroup_id.c): a group's inode, never given twice by a kernel ---- */

enum cgroup_life {
	CGROUP_UNSEEN, /* proves nothing */
	CGROUP_EMPTY,  /* nothing lives in it; it may be removed, as only empty
			* ones can be */
	CGROUP_LIVES,
};
/* Finds it wherever it is, if the kernel lets us, or else at `path`. id 0 is
 * not known. */
enum cgroup_life cgroup_id_look(const struct cgroup *cgroup, uint64_t id,
				const char *path);
void cgroup_id_kill(const struct cgroup *cgroup, uint64_t id, const char *path);
uint64_t cgroup_root_id(const struct cgroup *cgroup);
uint64_t cgroup_fd_id(int fd);

/* By the calling process, which joins the v1 groups: its children inherit. */
void cgroup_run_limit(const struct cgroup *cgroup, uint32_t slot, bool hold,
		      const struct cgroup_limits *limits);

#endif
