/* Shared by the files of the runner. */
#ifndef NODE_AGENT_RUNNER_INNER_H
#define NODE_AGENT_RUNNER_INNER_H

#include "node/agent/prepare.h"
#include "node/agent/runner.h"
#include "node/agent/runner_spec.h"

struct usage_work;

struct run {
	struct run *next;
	struct runner *runner;
	struct fencer_run row;     /* as the fencer last told */
	bool mark;                 /* seen in this state */
	enum run_status status;
	uint32_t failures;         /* starts in a row that never answered */
	uint32_t ends;             /* for the back-off */
	char reason[FSM_TEXT_SIZE_MAX];
	uint64_t retry_ms;         /* not before: prepare or start again */
	uint64_t started_ms;       /* when START was taken */
	uint64_t trimmed_ms;
	uint64_t log_start;        /* where this start's output begins */
	bool asking;               /* START waits for its answer */
	bool started;              /* the fencer took a START, or told of it */
	bool stopped;              /* we asked for a stop: it did not answer */
	bool measured;             /* its disk, since it last ended */
	uint64_t measure_ms;       /* when it is measured again */
	struct usage_work *usage;  /* being measured, or NULL */
	char over[256];            /* why we stopped it: its disk is full */
	struct prepare_job *job;
	struct prepared *prepared;
	/* How the program is reached: its network namespace (binary) or its
	 * socket (asgi), opened and looked at; -1 while there is none. */
	int reach;
};

struct runner {
	struct agent *agent;
	struct run *runs;
	uint32_t measuring; /* in the pool */
	bool session;
};

/* Directory of a run: short, for its socket's name is limited. */
void runner__directory(const struct run *run, char path[PREPARE_PATH_MAX]);
/* Opens what a program is reached by, or follows it when it was made anew. */
bool runner__reach(struct run *run);
/* Does the program take connections? */
bool runner__probe(struct run *run);

/* Notes which parts of the cache a start takes. */
MUST_CHECK int runner__uses_write(const struct run *run, struct fault *fault);
/* Measures in the pool what a prepared run takes of the disk ... */
void runner__measure(struct run *run);
void runner__measure_cancel(struct run *run);
/* ... and tells: `over` says what is above its size, or is empty. */
void runner__measured(struct run *run, const char *over, uint64_t now_ms);

/* The run's log, opened for appending; -1. */
int runner__log_open(struct runner *runner, const struct hash *program);
/* Writes our own line into it. */
void runner__log_note(struct run *run, const char *format, ...)
	PRINTF_LIKE(2, 3);
/* Of programs that are no longer here the newest logs are kept. */
#define RUNNER_LOGS_OLD_MAX 100u
void runner__logs_forget(const struct runner *runner);
/* Keeps the newest half when it is above the limit. */
void runner__log_trim(struct run *run);
/* The last line since this start, printable; empty if there is none. */
void runner__log_last(struct run *run, char *line, size_t size);

/* Statuses and what follows from them. */
void runner__set(struct run *run, enum run_status status, const char *reason);
void runner__retry(struct run *run, uint64_t now_ms);
void runner__start(struct run *run, uint64_t now_ms);
void runner__prepare(struct run *run);

#endif
