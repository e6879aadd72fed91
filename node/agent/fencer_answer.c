#include "node/agent/fencer.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

void fencer__answer_fill(struct fencer *f, struct fencer_answer *a)
{
	const struct tenure *t = &f->tenure;
	uint64_t now_ms = fencer__now(f), deadline_ms = tenure_deadline(t);

	a->gen = t->gen;
	a->session = t->session;
	a->version = t->version;
	a->applied = tenure_applied(t);
	a->have = t->have;
	a->lease_ms = deadline_ms > now_ms ? deadline_ms - now_ms : 0;
	a->clock_ms = now_ms;
	memcpy(a->nonce, t->nonce, sizeof a->nonce);
	a->host = t->host;
	a->boot = t->boot;
	a->prev = t->prev;
	a->k_ms = f->k_ms;
	a->watchdog = (uint32_t)f->watchdog_kind;
	a->class = (uint32_t)f->class;
	a->got_ack = t->got_ack;
	snprintf(a->unfenced_reason, sizeof a->unfenced_reason, "%s",
		 f->reason);
}

static int file_of(const void *data, size_t size)
{
	int fd = memfd_create("berth-rows", MFD_CLOEXEC);

	if (fd >= 0 && pwrite(fd, data, size, 0) != (ssize_t)size) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void run_fill(const struct fencer *f, uint32_t index,
		     struct fencer_run *row)
{
	const struct fencer_proc *p = &f->procs[index];
	const struct tenure_run *run = &f->tenure.runs[index];

	row->program = run->program;
	row->lineage = run->lineage;
	row->gen = run->gen;
	row->epoch = run->epoch;
	row->code_revision = p->row.code_revision;
	row->vcpus = p->row.vcpus;
	row->memory_mib = p->row.memory_mib;
	row->disk_mib = p->row.disk_mib;
	row->pid = p->program;
	row->running = 1;
	row->stopping = run->state == TENURE_RUN_STOPPING || p->dying;
	row->unknown = run->state == TENURE_RUN_UNKNOWN;
	row->hold = run->hold;
}

static void end_fill(const struct fencer *f, struct fencer_run *row)
{
	for (uint32_t i = 0; i < f->end_count; i++) {
		const struct fencer_end *end = &f->ends[i];

		if (end->epoch != row->epoch || end->gen != row->gen ||
		    !hash_equal(&end->program, &row->program))
			continue;
		row->ended = end->count;
		row->exit_status = end->status;
	}
}

static void desired_fill(const struct desired_row *d, struct fencer_run *row)
{
	row->program = d->program;
	row->lineage = d->lineage;
	row->gen = d->gen;
	row->epoch = d->epoch;
	row->code_revision = d->code_revision;
	row->vcpus = d->vcpus;
	row->memory_mib = d->memory_mib;
	row->disk_mib = d->disk_mib;
	row->hold = d->hold;
	row->desired = 1;
}

static bool is_desired(const struct tenure *t, const struct tenure_run *run)
{
	for (uint32_t i = 0; i < t->desired_count; i++)
		if (t->desired[i].epoch == run->epoch &&
		    t->desired[i].gen == run->gen &&
		    hash_equal(&t->desired[i].program, &run->program))
			return true;
	return false;
}

/* The desired rows, running or not, then whatever else still is. */
int fencer__rows_state(struct fencer *f, uint32_t *count)
{
	static struct fencer_run rows[2 * FENCER_RUNS_MAX];
	struct tenure *t = &f->tenure;
	uint32_t n = 0;

	memset(rows, 0, sizeof rows);
	for (uint32_t i = 0; i < t->desired_count; i++) {
		const struct desired_row *d = &t->desired[i];
		struct tenure_run *run =
			tenure_find(t, &d->program, d->gen, d->epoch);

		if (run != NULL)
			run_fill(f, (uint32_t)(run - t->runs), &rows[n]);
		desired_fill(d, &rows[n]);
		end_fill(f, &rows[n++]);
	}
	for (uint32_t i = 0; i < FENCER_RUNS_MAX; i++) {
		if (!f->procs[i].used || is_desired(t, &t->runs[i]))
			continue;
		run_fill(f, i, &rows[n]);
		end_fill(f, &rows[n++]);
	}
	*count = n;
	return n > 0 ? file_of(rows, n * sizeof rows[0]) : -1;
}

int fencer__rows_held(struct fencer *f, uint32_t *count)
{
	*count = f->tenure.held_count;
	if (*count == 0)
		return -1;
	return file_of(f->tenure.held, *count * sizeof f->tenure.held[0]);
}
