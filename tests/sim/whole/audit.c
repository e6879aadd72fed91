/* --audit DIR: what the first replica applies goes into an audit trail, which
 * is exported as DIR/SEED at the seed's end: for the verifier, which knows the
 * rules by itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/replica/trail.h"
#include "tests/sim/whole/whole.h"

#define AUDIT_SIZE (UINT64_C(1) << 40) /* nothing is dropped */
#define FLUSH_EVERY 256u

struct audit_file {
	struct trail *trail;
	char directory[256], name[300];
	uint8_t *results;
	uint32_t count, capacity, unwritten;
};

static void need_good(int code, const struct fault *fault)
{
	if (code == 0)
		return;
	fprintf(stderr, "audit: %s\n", fault->text);
	exit(2);
}

void audit_open(struct world *world, const char *directory)
{
	struct audit_file *a = need(calloc(1, sizeof *a));
	struct trail_config config = { .directory = a->directory,
				       .cluster = "simulated", .id = 1,
				       .size = AUDIT_SIZE };
	struct fault fault = { .code = 0 };

	snprintf(a->directory, sizeof a->directory, "%s/seed-%" PRIu64,
		 directory, world->seed);
	snprintf(a->name, sizeof a->name, "%s/%" PRIu64 ".audit", directory,
		 world->seed);
	if (mkdir(a->directory, 0700) != 0 && errno != EEXIST)
		fault_set(&fault, BERTH_IO, "%s: %s", a->directory,
			  strerror(errno));
	need_good(fault.code, &fault);
	need_good(trail_open(&a->trail, &config, &fault), &fault);
	world->audit = a;
}

void audit_result(struct world *world, const struct fsm_result *result)
{
	struct audit_file *a = world->audit;

	if (!a)
		return;
	if (a->count == a->capacity) {
		a->capacity = a->capacity * 2 + 64;
		a->results = need(realloc(a->results, a->capacity));
	}
	a->results[a->count++] = (uint8_t)result->refusal;
}

void audit_entry(struct world *world, uint64_t index, const void *data,
		 size_t size, const struct fsm_view *view)
{
	struct audit_file *a = world->audit;
	struct fault fault;
	struct fsm_status status;

	if (!a)
		return;
	fsm_status(view, &status);
	trail_append(a->trail, &(struct trail_entry){
		.index = index, .term = status.term, .results = a->results,
		.result_count = a->count, .data = data, .size = size });
	a->count = 0;
	if (++a->unwritten % FLUSH_EVERY == 0)
		need_good(trail_flush(a->trail, &fault), &fault);
	if (trail_wants(a->trail))
		need_good(trail_anchor(a->trail, index, view, "", &fault),
			  &fault);
}

/* A backup took the place of what was. */
void audit_rewind(struct world *world, uint64_t index,
		  const struct fsm_view *view)
{
	struct audit_file *a = world->audit;
	struct fault fault;

	if (!a)
		return;
	trail_break(a->trail, "another log took this one's place");
	need_good(trail_anchor(a->trail, index, view, "", &fault), &fault);
}

static void export(struct audit_file *a)
{
	struct trail_place place = trail_find(a->trail, 0);
	FILE *out = fopen(a->name, "wb");
	bool end = false;

	while (out && !end) {
		uint8_t *data = NULL;
		size_t size;

		if (trail_read(a->trail, &place, &data, &size, &end) != 0 ||
		    fwrite(data, 1, size, out) != size) {
			fprintf(stderr, "audit: %s is not whole\n", a->name);
			exit(2);
		}
		free(data);
	}
	if (out == NULL || fclose(out) != 0) {
		fprintf(stderr, "audit: %s: %s\n", a->name, strerror(errno));
		exit(2);
	}
}

void audit_close(struct world *world)
{
	struct audit_file *a = world->audit;
	struct trail_status status;
	struct fault fault;
	char path[400];

	if (!a)
		return;
	need_good(trail_flush(a->trail, &fault), &fault);
	export(a);
	trail_status(a->trail, &status);
	trail_close(a->trail);
	for (uint32_t i = 0; i < status.segments; i++) {
		snprintf(path, sizeof path, "%s/audit/%016x", a->directory, i);
		unlink(path);
	}
	snprintf(path, sizeof path, "%s/audit", a->directory);
	rmdir(path);
	rmdir(a->directory);
	free(a->results);
	free(a);
	world->audit = NULL;
}
