#include "node/agent/runner_inner.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/lib/clock.h"
#include "node/lib/crypto.h"
#include "node/lib/log.h"

#define START_MS 60000u    /* to answer the first probe */
#define STEADY_MS 10000u   /* alive so long: the back-off begins anew */
#define TRIM_MS 250u /* what a fast disk takes in between is above the limit */
#define BACKOFF_MS_MIN 500u
#define BACKOFF_MS_MAX 30000u

static bool same(const struct fencer_run *a, const struct fencer_run *b)
{
	return hash_equal(&a->program, &b->program) && a->gen == b->gen &&
	       a->epoch == b->epoch;
}

void runner__set(struct run *run, enum run_status status, const char *reason)
{
	char text[65];

	if (run->status == status && strcmp(run->reason, reason) == 0)
		return;
	hash_text(&run->row.program, text);
	if (*reason)
		log_warn("run", "%.12s epoch %llu: %s: %s", text,
			 (unsigned long long)run->row.epoch,
			 run_status_name(status), reason);
	else
		log_info("run", "%.12s epoch %llu: %s", text,
			 (unsigned long long)run->row.epoch,
			 run_status_name(status));
	run->status = status;
	snprintf(run->reason, sizeof run->reason, "%s", reason);
	session_beat_soon(run->runner->agent->session);
}

void runner__retry(struct run *run, uint64_t now_ms)
{
	uint64_t delay = BACKOFF_MS_MIN << (run->ends > 6 ? 6 : run->ends);

	run->ends++;
	run->retry_ms = now_ms + (delay > BACKOFF_MS_MAX ? BACKOFF_MS_MAX :
				  delay);
}

/* --- rows ------------------------------------------------------------------------ */

static void run_free(struct run *run)
{
	if (run->job)
		prepare_cancel(run->job);
	runner__measure_cancel(run);
	prepared_free(run->prepared);
	if (run->reach >= 0)
		close(run->reach);
	free(run);
}

static struct run *find(struct runner *runner, const struct fencer_run *row)
{
	struct run *run = runner->runs;

	while (run && !same(&run->row, row))
		run = run->next;
	return run;
}

static struct run *make(struct runner *runner, const struct fencer_run *row)
{
	struct run *run = calloc(1, sizeof *run);

	if (!run)
		return NULL;
	run->runner = runner;
	run->row = *row;
	run->reach = -1;
	run->next = runner->runs;
	runner->runs = run;
	return run;
}

/* Why a run ended: how, and the last thing that it said. */
static void describe_end(struct run *run, char *text, size_t size)
{
	int status = run->row.exit_status;
	char line[160];
	int used;

	runner__log_last(run, line, sizeof line);
	if (run->over[0]) {
		snprintf(text, size, "%s", run->over);
		return;
	}
	if (run->stopped)
		used = snprintf(text, size, "did not answer in %u s",
				START_MS / 1000);
	else if (WIFSIGNALED(status))
		used = snprintf(text, size, "signal %d", WTERMSIG(status));
	else
		used = snprintf(text, size, "exit code %d",
				WEXITSTATUS(status));
	if (*line && used > 0 && (size_t)used < size)
		snprintf(text + used, size - (size_t)used, ": %s", line);
}

static void ended(struct run *run, uint64_t now)
{
	char reason[FSM_TEXT_SIZE_MAX];
	bool answered = run->status == RUN_RUNNING;

	describe_end(run, reason, sizeof reason);
	if (answered && now > run->started_ms + STEADY_MS)
		run->ends = 0;
	run->failures = answered ? 0 : run->failures + 1;
	run->started = run->stopped = run->measured = false;
	run->over[0] = '\0';
	if (run->reach >= 0)
		close(run->reach);
	run->reach = -1;
	runner__set(run, answered ? RUN_BACKOFF : RUN_FAILED, reason);
	runner__retry(run, now);
}

static void take_row(struct run *run, const struct fencer_run *row,
		     uint64_t now)
{
	bool was = run->started;

	run->row = *row;
	run->mark = true;
	if (row->stopping && row->running) {
		if (!run->stopped)
			runner__set(run, RUN_STOPPING, "");
		return;
	}
	if (row->running && !was) {
		/* It ran before this agent did. */
		run->started = true;
		run->started_ms = now;
		runner__set(run, RUN_STARTING, "");
	} else if (was && !row->running && !run->asking) {
		ended(run, now);
	}
}

/* The run is dead: its directory goes, unless another epoch has it now. */
static void clear_directory(const struct run *gone)
{
	char path[PREPARE_PATH_MAX];

	for (struct run *run = gone->runner->runs; run; run = run->next)
		if (hash_equal(&run->row.program, &gone->row.program))
			return;
	runner__directory(gone, path);
	agent_tree_remove(path);
}

static void sweep(struct runner *runner)
{
	struct run **at = &runner->runs;
	bool gone = false;

	while (*at) {
		struct run *run = *at;

		if (run->mark || run->asking) {
			at = &run->next;
			continue;
		}
		*at = run->next;
		gone = true;
		clear_directory(run);
		run_free(run);
		prepare_unpinned(runner->agent->prepare);
	}
	if (gone)
		runner__logs_forget(runner);
}

void runner_state(struct runner *runner, const struct fencer_run *rows,
		  uint32_t count, bool session)
{
	uint64_t now = clock_monotonic_ms();

	runner->session = session;
	for (struct run *run = runner->runs; run; run = run->next)
		run->mark = false;
	for (uint32_t i = 0; i < count; i++) {
		struct run *run = find(runner, &rows[i]);

		if (!rows[i].desired && !rows[i].running)
			continue;
		if (!run)
			run = make(runner, &rows[i]);
		if (run)
			take_row(run, &rows[i], now);
	}
	sweep(runner);
}

static void tick_run(struct run *run, uint64_t now);

/* --- starting ---------------------------------------------------------------------- */

static void start_answered(void *ctx, const struct fencer_answer *a,
			   const void *rows, size_t size)
{
	struct run *run = ctx;
	uint64_t now = clock_monotonic_ms();

	(void)rows;
	(void)size;
	run->asking = false;
	if (!a) {
		run->retry_ms = now + BACKOFF_MS_MIN;
		return;
	}
	switch (a->code) {
	case FENCER_OK:
	case FENCER_RUNNING:
		run->started = true;
		run->started_ms = now;
		break;
	case FENCER_NOT_DEAD:
		/* Another epoch or another of its lineage is being stopped. */
		run->retry_ms = now + 100;
		break;
	case FENCER_FAILED:
	case FENCER_FULL:
	case FENCER_BAD_REQUEST:
		run->failures++;
		runner__set(run, RUN_FAILED, a->code == FENCER_FAILED ?
			    strerror(a->error) : fencer_code_text(a->code));
		runner__retry(run, now);
		break;
	default: /* no longer wanted: the next state tells */
		run->retry_ms = now + BACKOFF_MS_MIN;
	}
	session_look(run->runner->agent->session);
}

static int build(struct run *run, struct run_spec *spec, struct fault *fault)
{
	char directory[PREPARE_PATH_MAX];
	struct run_spec_in in = {
		.config = &run->runner->agent->config,
		.prepared = run->prepared, .program = run->row.program,
		.gen = run->row.gen, .epoch = run->row.epoch,
		.vcpus = run->row.vcpus, .memory_mib = run->row.memory_mib,
		.directory = directory, .uid = run_uid(&run->row.lineage),
	};
	int code;

	runner__directory(run, directory);
	code = run_directory(directory, in.uid, fault);
	for (uint32_t i = 0; code == 0 && i < run->prepared->volume_count; i++)
		if (run->prepared->volumes[i].kind == VOLUME_PERSISTENT &&
		    in.uid != 0 &&
		    chown(run->prepared->volumes[i].source, in.uid, in.uid) < 0)
			code = fault_set(fault, BERTH_IO, "chown volume");
	if (code == 0)
		code = runner__uses_write(run, fault);
	return code == 0 ? run_spec_build(&in, spec, fault) : code;
}

static int send_start(struct run *run, struct fault *fault)
{
	struct run_spec spec = { 0 };
	struct fencer_ask ask = { .type = FENCER_START,
		.program = run->row.program, .gen = run->row.gen,
		.epoch = run->row.epoch, .descriptor_count = 2,
		.done = start_answered, .ctx = run };
	int code = build(run, &spec, fault);

	if (code != 0)
		return code;
	ask.descriptors[0] = run_spec_file(&spec);
	ask.descriptors[1] = runner__log_open(run->runner, &run->row.program);
	free(spec.data);
	if (ask.descriptors[0] < 0 || ask.descriptors[1] < 0)
		code = fault_set(fault, BERTH_IO, "spec or log file");
	else
		code = fencer_client_ask(run->runner->agent->fencer, &ask);
	for (int i = 0; i < 2; i++)
		if (ask.descriptors[i] >= 0)
			close(ask.descriptors[i]);
	return code;
}

void runner__start(struct run *run, uint64_t now)
{
	struct fault fault = { 0 };
	int code;

	runner__log_note(run, "epoch %llu.%llu starts",
			 (unsigned long long)run->row.gen,
			 (unsigned long long)run->row.epoch);
	if (run->prepared->program.internet &&
	    strcmp(run->runner->agent->config.internet, "host") != 0)
		runner__log_note(run, "no way out to the internet on this CRN");
	run->asking = true;
	runner__set(run, RUN_STARTING, "");
	code = send_start(run, &fault);
	if (code == 0)
		return;
	run->asking = false;
	if (fault.code == 0) { /* the fencer is away */
		run->retry_ms = now + BACKOFF_MS_MIN;
		return;
	}
	run->failures++;
	runner__set(run, RUN_FAILED, fault.text);
	runner__retry(run, now);
}

static void stop_answered(void *ctx, const struct fencer_answer *a,
			  const void *rows, size_t size)
{
	struct runner *runner = ctx;

	(void)a;
	(void)rows;
	(void)size;
	session_look(runner->agent->session);
}

static void stop_run(struct run *run)
{
	struct fencer_ask ask = { .type = FENCER_STOP,
		.program = run->row.program, .gen = run->row.gen,
		.epoch = run->row.epoch, .grace_ms = 2000,
		.done = stop_answered, .ctx = run->runner };

	run->stopped = fencer_client_ask(run->runner->agent->fencer,
					 &ask) == 0;
}

void runner__measured(struct run *run, const char *over, uint64_t now)
{
	if (!*over) {
		run->measured = true;
		tick_run(run, now);
	} else if (!run->started) {
		run->failures++;
		runner__set(run, RUN_FAILED, over);
		runner__retry(run, now);
	} else if (!run->stopped) {
		runner__log_note(run, "%s: stopped", over);
		snprintf(run->over, sizeof run->over, "%s", over);
		stop_run(run);
	}
}

/* --- preparing ------------------------------------------------------------------------ */

/* A fault that another try may not meet does not count as a failed start: the
 * leader's own patience with a start decides (R24). */
static bool passing(int code)
{
	return code == BERTH_IO || code == BERTH_TIMEOUT ||
	       code == BERTH_CLOSED || code == BERTH_BUSY ||
	       code == BERTH_NOTFOUND || code == BERTH_NOMEM;
}

static void prepared_now(void *ctx, struct prepared *prepared,
			 const struct fault *fault)
{
	struct run *run = ctx;
	char reason[FSM_TEXT_SIZE_MAX];

	run->job = NULL;
	if (prepared) {
		run->prepared = prepared;
		run->ends = 0;
		tick_run(run, clock_monotonic_ms());
		return;
	}
	snprintf(reason, sizeof reason, "%.*s", (int)sizeof reason - 1,
		 fault->text);
	if (!passing(fault->code))
		run->failures++;
	if (!run->started)
		runner__set(run, RUN_FAILED, reason);
	runner__retry(run, clock_monotonic_ms());
}

void runner__prepare(struct run *run)
{
	if (!run->started && run->status != RUN_FAILED)
		runner__set(run, RUN_PREPARING, "");
	if (prepare_start(run->runner->agent->prepare, &run->row.program,
			  &run->row.lineage, prepared_now, run,
			  &run->job) != 0)
		runner__retry(run, clock_monotonic_ms());
}

/* --- time ------------------------------------------------------------------------------ */

static void tick_started(struct run *run, uint64_t now)
{
	if (run->status == RUN_STARTING && run->prepared) {
		if (runner__probe(run)) {
			run->failures = 0;
			runner__set(run, RUN_RUNNING, "");
		} else if (now > run->started_ms + START_MS && !run->stopped) {
			stop_run(run);
		}
	}
	if (now > run->trimmed_ms + TRIM_MS) {
		run->trimmed_ms = now;
		runner__log_trim(run);
	}
	if (run->prepared && now >= run->measure_ms && !run->usage &&
	    run->runner->measuring == 0)
		runner__measure(run);
}

/* Prepared, wanted and not started. */
static void tick_start(struct run *run, uint64_t now)
{
	if (run->measured)
		runner__start(run, now);
	else if (!run->usage)
		runner__measure(run);
}

static void tick_run(struct run *run, uint64_t now)
{
	bool wanted = run->row.desired && !run->row.stopping;

	if (!run->prepared && !run->job && now >= run->retry_ms &&
	    (wanted || run->row.running))
		runner__prepare(run);
	else if (run->started)
		tick_started(run, now);
	else if (wanted && run->runner->session && run->prepared &&
		 !run->asking && now >= run->retry_ms)
		tick_start(run, now);
}

void runner_tick(struct runner *runner, uint64_t now_ms)
{
	for (struct run *run = runner->runs; run; run = run->next)
		tick_run(run, now_ms);
	prepare_tick(runner->agent->prepare, now_ms);
}

int runner_open(struct runner **out, struct agent *agent, struct fault *fault)
{
	static const char *const kinds[] = { "logs", "run", "volumes" };
	char path[PREPARE_PATH_MAX];
	struct runner *runner = calloc(1, sizeof *runner);
	int code = 0;

	if (!runner)
		return fault_set(fault, BERTH_NOMEM, "runner");
	for (size_t i = 0; code == 0 && i < COUNT_OF(kinds); i++) {
		snprintf(path, sizeof path, "%s/%s", agent->config.directory,
			 kinds[i]);
		code = agent_directory(path, fault);
		if (code == 0 && chmod(path, 0700) < 0)
			code = fault_set(fault, BERTH_IO, "%s: chmod", path);
	}
	if (code != 0) {
		free(runner);
		return code;
	}
	runner->agent = agent;
	*out = runner;
	return 0;
}

void runner_close(struct runner *runner)
{
	while (runner->runs) {
		struct run *run = runner->runs;

		runner->runs = run->next;
		run_free(run);
	}
	free(runner);
}
