/* berth-fencer inside: one thread, one epoll loop, no heap once it loops.
 *
 * fencer.c turns the loop and keeps the deadline; fencer_run.c starts, kills
 * and verifies; fencer_settle.c looks at what an earlier life left;
 * fencer_socket.c hears the agent; fencer_answer.c fills what it is told.
 * tenure.h decides. Slot i of procs[], of the run table and of the groups is
 * tenure's runs[i].
 */
#ifndef NODE_AGENT_FENCER_H
#define NODE_AGENT_FENCER_H

#include "node/agent/launcher.h"
#include "node/agent/machine.h"
#include "node/agent/run_table.h"
#include "node/agent/tenure.h"
#include "node/lib/clock.h"

#define FENCER_GRACE_MS_MAX 60000u
/* By how much the host's time daemon may bend CLOCK_BOOTTIME, by which
 * launchers die: ntpd keeps to the first, chrony to the second by default, and
 * the kernel to the third. */
#define FENCER_SLEW_PPM_MIN 500u
#define FENCER_SLEW_PPM 83334u
#define FENCER_SLEW_PPM_MAX 110000u
#define FENCER_GRACE_MS 10500u /* after a stop: the init's 10 s, and some */

/* What executes, or may. */
struct fencer_proc {
	bool used;
	bool went;          /* the program was let go */
	bool killing;       /* by our wish, not its own end */
	bool dying;         /* SIGKILL was sent to all of it */
	bool launcher_dead, init_dead, socket_end;
	int launcher, init; /* pidfds, or -1 */
	int socket;         /* to launcher and init, or -1 */
	uint32_t program;   /* pid; 0: not yet known */
	bool has_status;
	int32_t status;     /* wait status of the program */
	uint64_t kill_ms;   /* end of a polite stop; 0: none */
	bool far;           /* of another container, or of a torn row */
	bool told;          /* that a wish to kill it cannot be confirmed */
	uint64_t gone_ns;   /* far: dead by its own timer then; 0: has none */
	struct run_row row;
};

/* How the last run of a desired (program, epoch) ended, and how many did. */
struct fencer_end {
	struct hash program;
	uint64_t gen;
	stamp_t epoch;
	uint32_t count;
	int32_t status;
};

struct fencer_options {
	struct hash crn;
	char *directory, *watchdog;
	uint32_t k_ms, slew_ppm;
};

struct fencer {
	struct machine machine;
	struct run_table table;
	struct run_table_head head;
	struct cgroup cgroup;
	struct launch launch; /* what all launches have in common */
	struct fence_page *page;
	struct lease_clock clock;
	struct tenure tenure;
	struct fencer_proc procs[FENCER_RUNS_MAX];
	struct fencer_end ends[FENCER_RUNS_MAX];
	uint32_t end_count;
	int epoll, listener, client, timer, signals, watchdog;
	uint64_t dying_ms;   /* look again at what dies then; 0: nothing does */
	uint64_t far_ms;     /* look again at runs of other containers then */
	uint64_t pet_ms;     /* when the watchdog was petted */
	uint64_t quit_ms;    /* leave then at the latest; 0: stay */
	bool quit;
	bool blind;          /* a process of the run table cannot be looked at */
	uint32_t k_ms, slew_ppm;
	enum crn_watchdog watchdog_kind;
	enum crn_class class;
	char reason[128];
	char path[108];      /* of the socket */
};

enum fencer_source { SOURCE_LISTENER = 1, SOURCE_CLIENT, SOURCE_TIMER,
		     SOURCE_SIGNALS, SOURCE_LAUNCHER, SOURCE_INIT,
		     SOURCE_RUN };

/* Opens everything and settles what is left of earlier lives. May use the
 * heap. On an error it is not to be used. */
MUST_CHECK int fencer_open(struct fencer *f, const struct fencer_options *o,
			   struct fault *fault);
/* Loops until SIGTERM or SIGINT; leaves when no exclusive run is alive. */
void fencer_loop(struct fencer *f);
/* The local operator's word (R23): held runs die as well, and the loop leaves
 * when all are verified dead. */
void fencer_kill_all(struct fencer *f);
void fencer_close(struct fencer *f);

/* --- shared by the files ------------------------------------------------- */

uint64_t fencer__now(struct fencer *f);
MUST_CHECK bool fencer__watch(struct fencer *f, int fd,
			      enum fencer_source source, uint32_t index);
/* The deadline goes to launchers and timer; with no session they are off. */
void fencer__arm(struct fencer *f);
/* R10: ends the session if it is over, and fences. */
void fencer__tick(struct fencer *f);
/* The session has ended: everything with hold = 0 is killed. */
void fencer__fence(struct fencer *f, const char *why);

enum fencer_code fencer__run_start(struct fencer *f, struct tenure_run *run,
				   const int files[LAUNCH_FILES_MAX],
				   int *error);
void fencer__run_stop(struct fencer *f, uint32_t index, uint32_t grace_ms);
void fencer__run_kill(struct fencer *f, uint32_t index);
/* Something happened at one of its descriptors. */
void fencer__run_event(struct fencer *f, enum fencer_source source,
		       uint32_t index);
/* Looks after stops that last and deaths to verify. */
void fencer__runs_poll(struct fencer *f);
/* Stops what a newly taken set does not hold, kills what is condemned. */
void fencer__runs_prune(struct fencer *f);
uint32_t fencer__exclusive_count(const struct fencer *f);

void fencer__settle(struct fencer *f);
/* A far run: proven dead? Killed, as far as it can be reached. What the host
 * must do where neither will ever be seen is told once. */
bool fencer__far_dead(const struct fencer *f, uint32_t index);
/* A torn row is among them: what it names cannot be told by a Register. */
bool fencer__far_nameless(const struct fencer *f);
void fencer__far_kill(struct fencer *f, uint32_t index);
void fencer__far_tell(struct fencer *f, uint32_t index);

MUST_CHECK int fencer__socket_open(struct fencer *f, const char *directory,
				   struct fault *fault);
void fencer__socket_accept(struct fencer *f);
void fencer__socket_read(struct fencer *f);
void fencer__socket_drop(struct fencer *f);
/* Tells the agent that something changed; lost if it does not listen. */
void fencer__event(struct fencer *f);

void fencer__answer_fill(struct fencer *f, struct fencer_answer *a);
/* A memfd with the rows of STATE or of held[], or -1; *count is set. */
int fencer__rows_state(struct fencer *f, uint32_t *count);
int fencer__rows_held(struct fencer *f, uint32_t *count);

MUST_CHECK int fencer__watchdog_open(struct fencer *f, const char *device,
				     struct fault *fault);
void fencer__watchdog_pet(struct fencer *f);
void fencer__watchdog_close(struct fencer *f);

#endif
