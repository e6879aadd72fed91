/* A program's disk: its volumes that stay and the folder of its socket are
 * measured before each start and from time to time. This is no hard quota:
 * what it writes between two looks is there, and so are files that it deleted
 * and still holds open. */
#include "node/agent/runner_inner.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/agent/usage.h"
#include "node/lib/clock.h"
#include "node/lib/log.h"

#define MEASURE_MS 10000u
#define MEASURE_SHARE 10u /* rests so many times as long as it took */
#define SOCKET_FOLDER_MIB 16u

struct usage_row {
	char path[PREPARE_PATH_MAX];
	char mount[PREPARE_PATH_MAX];
	uint32_t size_mib;
};

/* Outlives its run when that ends. */
struct usage_work {
	uv_work_t work;
	struct run *run;
	uint64_t begun_ms;
	char over[256]; /* what is above its size; empty: nothing */
	uint32_t count;
	struct usage_row rows[];
};

static void measure(uv_work_t *work)
{
	struct usage_work *w = work->data;

	for (uint32_t i = 0; i < w->count && !w->over[0]; i++) {
		const struct usage_row *row = &w->rows[i];
		uint64_t limit = (uint64_t)row->size_mib << 20;

		if (usage_measure(row->path, limit) > limit)
			snprintf(w->over, sizeof w->over,
				 "volume %.128s holds more than its %u MiB",
				 row->mount, row->size_mib);
	}
}

static void measured(uv_work_t *work, int status)
{
	struct usage_work *w = work->data;
	uint64_t now_ms = clock_monotonic_ms();
	uint64_t rest_ms = (now_ms - w->begun_ms) * MEASURE_SHARE;
	struct run *run = w->run;

	(void)status;
	if (run) {
		run->usage = NULL;
		run->runner->measuring--;
		run->measure_ms = now_ms +
				  (rest_ms > MEASURE_MS ? rest_ms : MEASURE_MS);
		runner__measured(run, w->over, now_ms);
	}
	free(w);
}

static void add(struct usage_work *w, const char *path, const char *mount,
		uint32_t size_mib)
{
	struct usage_row *row = &w->rows[w->count++];

	snprintf(row->path, sizeof row->path, "%s", path);
	snprintf(row->mount, sizeof row->mount, "%s", mount);
	row->size_mib = size_mib;
}

static void list(struct run *run, struct usage_work *w)
{
	const struct prepared *prepared = run->prepared;
	char path[PREPARE_PATH_MAX];

	for (uint32_t i = 0; i < prepared->volume_count; i++) {
		const struct prepared_volume *v = &prepared->volumes[i];

		if (v->kind == VOLUME_PERSISTENT)
			add(w, v->source, v->mount, v->size_mib);
	}
	runner__directory(run, path);
	add(w, path, "/run/berth", SOCKET_FOLDER_MIB);
}

void runner__measure(struct run *run)
{
	size_t size = sizeof(struct usage_work) +
		      (run->prepared->volume_count + 1) *
			      sizeof(struct usage_row);
	struct usage_work *w = calloc(1, size);

	if (!w)
		return;
	w->work.data = w;
	w->run = run;
	w->begun_ms = clock_monotonic_ms();
	list(run, w);
	if (uv_queue_work(run->runner->agent->loop, &w->work, measure,
			  measured) < 0) {
		free(w);
		return;
	}
	run->usage = w;
	run->runner->measuring++;
}

void runner__measure_cancel(struct run *run)
{
	if (!run->usage)
		return;
	run->usage->run = NULL;
	run->usage = NULL;
	run->runner->measuring--;
}
