/* What others ask of the runner: statuses, the way to a program, what must
 * stay in the cache. */
#include "node/agent/runner_inner.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/agent/cache.h"

uint32_t runner_statuses(struct runner *runner, struct agent_run *out,
			 uint32_t max)
{
	uint32_t count = 0;

	for (struct run *run = runner->runs; run && count < max;
	     run = run->next) {
		if (!run->status)
			continue;
		out[count++] = (struct agent_run){
			.program = run->row.program, .gen = run->row.gen,
			.epoch = run->row.epoch, .status = run->status,
			.failures = run->failures,
			.reason = { run->reason,
				    (uint32_t)strlen(run->reason) },
		};
	}
	return count;
}

bool runner_find(struct runner *runner, const struct hash *program,
		 struct runner_target *out)
{
	bool lease = session_lease_valid(runner->agent->session);
	struct run *best = NULL;

	for (struct run *run = runner->runs; run; run = run->next)
		if (hash_equal(&run->row.program, program) &&
		    ((run->row.desired && lease) ||
		     (run->row.hold && run->row.running)) &&
		    (!best || run->row.epoch > best->row.epoch))
			best = run;
	if (!best)
		return false;
	memset(out, 0, sizeof *out);
	out->gen = best->row.gen;
	out->epoch = best->row.epoch;
	out->status = best->status;
	if (best->status != RUN_RUNNING || !best->prepared)
		return true;
	out->ready = runner__reach(best);
	if (best->prepared->program.interface == INTERFACE_ASGI)
		snprintf(out->unix_socket, sizeof out->unix_socket,
			 "/proc/self/fd/%d", best->reach);
	else
		snprintf(out->netns, sizeof out->netns, "/proc/self/fd/%d",
			 best->reach);
	return true;
}

/* --- the cache --------------------------------------------------------------- */

static void uses_path(const struct run *run, char path[PREPARE_PATH_MAX])
{
	size_t size;

	runner__directory(run, path);
	size = strlen(path);
	snprintf(path + size, PREPARE_PATH_MAX - size, "/uses");
}

/* What a run was started with; another agent may have to know it, when the
 * newest code is already other. */
int runner__uses_write(const struct run *run, struct fault *fault)
{
	const struct prepared *prepared = run->prepared;
	size_t room = (prepared->volume_count + 1) * PREPARE_PATH_MAX, used;
	char path[PREPARE_PATH_MAX], *text = malloc(room);
	int code;

	if (!text)
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	used = (size_t)snprintf(text, room, "%s\n", prepared->code);
	for (uint32_t i = 0; i < prepared->volume_count; i++)
		if (prepared->volumes[i].kind == VOLUME_IMMUTABLE)
			used += (size_t)snprintf(text + used, room - used,
						 "%s\n",
						 prepared->volumes[i].source);
	uses_path(run, path);
	code = agent_file_write(path, text, used, 0644, fault);
	free(text);
	return code;
}

static void pin_uses(const struct run *run, struct cache_pins *pins)
{
	char path[PREPARE_PATH_MAX], *text, *rest, *line;
	struct fault fault;
	size_t size;

	uses_path(run, path);
	if (agent_file_read(path, 1u << 20, &text, &size, &fault) != 0) {
		pins->failed = true;
		return;
	}
	rest = text;
	while ((line = strsep(&rest, "\n")))
		if (*line)
			cache_pin_path(pins, line);
	free(text);
}

void runner_pins(const struct runner *runner, struct cache_pins *pins)
{
	for (const struct run *run = runner->runs; run; run = run->next) {
		if (run->prepared)
			prepared_pins(run->prepared, &run->row.program, pins);
		if (run->row.running || run->asking)
			pin_uses(run, pins);
	}
}
