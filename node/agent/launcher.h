/* Launcher, init, program: what a run is made of (lease.md 2.6, "A run is").
 *
 * The launcher is a dead man's handle. It holds a CLOCK_BOOTTIME timer that
 * sends SIGKILL to itself at the deadline, re-armed only from a page that the
 * fencer writes and it can only read. Its one child is the init of a new pid
 * namespace, which dies with it (PDEATHSIG), and with the init everything that
 * the program ever forked. None of it needs the fencer to be alive or awake.
 * The init starts the program only on the fencer's word, and only once.
 */
#ifndef NODE_AGENT_LAUNCHER_H
#define NODE_AGENT_LAUNCHER_H

#include <stdatomic.h>
#include <sys/types.h>

#include "node/agent/cgroup.h"

#define LAUNCH_GO 'g'
#define LAUNCH_FILES_MAX 3 /* spec, log, network namespace */

#define FENCE_PAGE_SIZE 4096u

/* A page of its own, shared; written by the fencer alone: when the lease ends, CLOCK_BOOTTIME; 0: it has
 * ended. */
struct fence_page {
	_Atomic uint64_t deadline_ns;
};

/* What launcher and init tell over their socket. */
enum launch_message_kind {
	LAUNCH_INIT = 1, /* value: pid of the init; its pidfd comes along */
	LAUNCH_PROGRAM,  /* about to exec: the credentials tell its pid */
	LAUNCH_END,      /* value: wait status of the program */
};
struct launch_message {
	uint32_t kind;
	int32_t value;
};

struct launch {
	const struct fence_page *page;
	const struct cgroup *cgroup;
	uint32_t slot;
	bool hold;
	bool pid_namespace, user_namespace; /* what this machine allows */
	uint64_t files_max; /* RLIMIT_NOFILE for the program */
	int cgroup_fd;      /* created in it; -1: none */
	int socket;         /* the launcher's end */
	int files[LAUNCH_FILES_MAX]; /* -1: absent */
};

/* clone3 of the launcher. Its pid and a pidfd, or -1 with errno. Descriptors
 * stay the caller's. */
pid_t launcher_start(const struct launch *launch, int *pidfd);

/* What this machine allows, tried with a child: pid namespaces, with a user
 * namespace if need be, and a timer that kills. Sets both flags; false: `why`
 * says what is missing. For start-up: waits for the child. */
bool launcher_try(struct launch *launch, char *why, size_t size);

/* The init's life; `socket` and `files` are the launch's. */
__attribute__((noreturn)) void launcher_init(const struct launch *launch,
					     int parent);
/* Becomes the program; 127 and a line in its log if that fails. */
__attribute__((noreturn)) void launcher_program(const struct launch *launch);
/* polite time of the spec in ms; `limits` as the spec wants them. */
bool launcher_spec_head(const struct launch *launch,
			struct cgroup_limits *limits, uint32_t *stop_ms);

#endif
