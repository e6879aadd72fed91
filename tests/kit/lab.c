#include "tests/kit/lab.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t now_ms(void *ctx)
{
	struct lab_replica *r = ctx;

	return r->lab->now_ms;
}

static uint64_t draw(void *ctx)
{
	struct lab_replica *r = ctx;
	uint64_t x = r->lab->chance;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return r->lab->chance = x;
}

static void wake(void *ctx)
{
	(void)ctx;
}

static void submit(void *ctx, struct replica_job *job)
{
	struct lab_replica *r = ctx;

	job->next = NULL;
	*r->jobs_end = job;
	r->jobs_end = &job->next;
}

static bool link_send(void *ctx, uint64_t id, const struct replica_part *parts,
		      uint32_t count)
{
	struct lab_replica *r = ctx;
	struct lab_frame *frame;
	size_t size = 0;
	uint32_t i;

	for (i = 0; i < count; i++)
		size += parts[i].size;
	frame = malloc(sizeof *frame + size);
	REQUIRE(frame);
	frame->next = NULL;
	frame->from = r->id;
	frame->to = id;
	frame->size = 0;
	for (i = 0; i < count; i++) {
		if (parts[i].size)
			memcpy(frame->data + frame->size, parts[i].data,
			       parts[i].size);
		frame->size += parts[i].size;
	}
	*r->lab->frames_end = frame;
	r->lab->frames_end = &frame->next;
	return true;
}

static size_t link_queued(void *ctx, uint64_t id)
{
	(void)ctx;
	(void)id;
	return 0;
}

static void link_drop(void *ctx, uint64_t id, const char *why)
{
	struct lab_replica *r = ctx;

	r->drops++;
	snprintf(r->dropped, sizeof r->dropped, "%s", why);
	replica_link_down(r->replica, id);
}

static void apply(void *ctx, uint64_t index, uint64_t term, const void *data,
		  size_t size)
{
	struct lab_replica *r = ctx;

	(void)term;
	REQUIRE(index > r->applied);
	r->applied = index;
	r->applied_size = size;
	memset(r->last, 0, sizeof r->last);
	if (size)
		memcpy(r->last, data, size < 64 ? size : 64);
}

static void *snapshot_begin(void *ctx)
{
	struct lab_replica *r = ctx;
	uint64_t *view = malloc(sizeof *view);

	REQUIRE(view);
	*view = r->applied;
	return view;
}

static bool snapshot_write(void *view,
			   bool (*sink)(void *sink_ctx, const void *data,
					size_t size),
			   void *sink_ctx)
{
	return sink(sink_ctx, view, sizeof(uint64_t));
}

static void snapshot_end(void *ctx, void *view)
{
	(void)ctx;
	free(view);
}

static int restore(void *ctx,
		   bool (*source)(void *source_ctx, void *data, size_t size),
		   void *source_ctx)
{
	struct lab_replica *r = ctx;

	return source(source_ctx, &r->applied, sizeof r->applied) ?
		       0 :
		       BERTH_CORRUPT;
}

static void leadership(void *ctx, bool leader, uint64_t term)
{
	struct lab_replica *r = ctx;

	r->leading_term = leader ? term : 0;
}

static void fatal(void *ctx, const struct fault *fault)
{
	struct lab_replica *r = ctx;

	r->fatal = *fault;
}

static void setup(struct lab *lab, uint32_t number)
{
	struct lab_replica *r = &lab->replicas[number];

	r->lab = lab;
	r->id = number + 1;
	snprintf(r->directory, sizeof r->directory, "/tmp/berth-lab-XXXXXX");
	REQUIRE(mkdtemp(r->directory));
	r->files.lock = -1;
	r->files.directory = open(r->directory, O_RDONLY | O_DIRECTORY);
	REQUIRE(r->files.directory >= 0);
	r->io = (struct replica_io){
		.ctx = r, .now_ms = now_ms, .random = draw, .wake = wake,
		.submit_log = submit, .submit_slow = submit,
		.link_send = link_send, .link_queued = link_queued,
		.link_drop = link_drop,
	};
	node_files_calls(&r->files, &r->io.files);
	r->machine = (struct replica_machine){
		r, apply, snapshot_begin, snapshot_write, snapshot_end,
		restore, leadership, fatal,
	};
	r->config = (struct replica_config){
		.id = r->id, .cluster = "lab", .election_ms = 200,
		.heartbeat_ms = 20, .snapshot_entries = 100000,
		.snapshot_bytes = UINT64_MAX, .trailing = 1024,
		.max_inflight = 256, .segment_size = 1u << 16,
	};
	r->jobs_end = &r->jobs;
}

void lab_open(struct lab *lab, uint32_t count)
{
	uint32_t i;

	memset(lab, 0, sizeof *lab);
	lab->now_ms = 1000;
	lab->chance = 88172645463325252u;
	lab->count = count;
	lab->frames_end = &lab->frames;
	for (i = 0; i < count; i++)
		setup(lab, i);
}

int lab_bootstrap(struct lab_replica *r, uint32_t voters, struct fault *fault)
{
	struct replica_member members[LAB_MAX];
	uint32_t i;

	memset(members, 0, sizeof members);
	for (i = 0; i < voters; i++) {
		members[i].id = i + 1;
		members[i].role = ROLE_VOTER;
	}
	return replica_bootstrap(&r->io, &r->config, members, voters, "first",
				 5, fault);
}

int lab_start(struct lab_replica *r, struct fault *fault)
{
	r->applied = 0;
	r->fatal.code = 0;
	return replica_open(&r->replica, &r->config, &r->io, &r->machine,
			    fault);
}

static bool run_job(struct lab_replica *r)
{
	struct replica_job *job = r->jobs;

	if (!job || r->hang)
		return false;
	r->jobs = job->next;
	if (!r->jobs)
		r->jobs_end = &r->jobs;
	job->done(job, job->run(job));
	return true;
}

static void on_closed(void *ctx)
{
	struct lab_replica *r = ctx;

	r->replica = NULL;
}

void lab_stop(struct lab_replica *r)
{
	uint32_t i;

	if (!r->replica)
		return;
	r->hang = false;
	replica_close(r->replica, on_closed, r);
	while (run_job(r))
		;
	REQUIRE(!r->replica);
	r->leading_term = 0;
	for (i = 0; i < r->lab->count; i++)
		if (r->lab->replicas[i].replica)
			replica_link_down(r->lab->replicas[i].replica, r->id);
}

void lab_link(struct lab *lab)
{
	uint32_t i, j;

	for (i = 0; i < lab->count; i++)
		for (j = 0; j < lab->count; j++)
			if (i != j && lab->replicas[i].replica &&
			    lab->replicas[j].replica)
				replica_link_up(lab->replicas[i].replica,
						j + 1);
}

static bool deliver(struct lab *lab)
{
	struct lab_frame *frame = lab->frames;
	struct replica *to;

	if (!frame)
		return false;
	lab->frames = frame->next;
	if (!lab->frames)
		lab->frames_end = &lab->frames;
	to = lab->replicas[frame->to - 1].replica;
	if (to && (!lab->pass || lab->pass(lab, frame)))
		replica_link_frame(to, frame->from, frame->data, frame->size);
	free(frame);
	return true;
}

static bool one(struct lab *lab)
{
	bool some = deliver(lab);
	uint32_t i;

	for (i = 0; i < lab->count; i++) {
		struct lab_replica *r = &lab->replicas[i];

		if (r->replica && run_job(r))
			some = true;
	}
	return some;
}

void lab_run(struct lab *lab, uint64_t ms)
{
	uint64_t end = lab->now_ms + ms;
	uint32_t i;

	for (; lab->now_ms < end; lab->now_ms++) {
		for (i = 0; i < lab->count; i++) {
			struct lab_replica *r = &lab->replicas[i];

			if (r->replica &&
			    replica_next_ms(r->replica) <= lab->now_ms)
				replica_tick(r->replica);
		}
		while (one(lab))
			;
	}
}

struct lab_replica *lab_leader(struct lab *lab)
{
	struct lab_replica *best = NULL;
	uint32_t i;

	for (i = 0; i < lab->count; i++)
		if (lab->replicas[i].leading_term &&
		    (!best || lab->replicas[i].leading_term >
				      best->leading_term))
			best = &lab->replicas[i];
	return best;
}

struct lab_replica *lab_up(struct lab *lab, uint32_t count)
{
	uint32_t i;

	lab_open(lab, count);
	for (i = 0; i < count; i++) {
		REQUIRE(!lab_bootstrap(&lab->replicas[i], count, NULL));
		REQUIRE(!lab_start(&lab->replicas[i], NULL));
	}
	lab_link(lab);
	for (i = 0; i < 100 && !lab_leader(lab); i++)
		lab_run(lab, 100);
	REQUIRE(lab_leader(lab));
	return lab_leader(lab);
}

static void remove_file(void *ctx, const char *name)
{
	struct lab_replica *r = ctx;

	unlinkat(r->files.directory, name, 0);
}

void lab_close(struct lab *lab)
{
	uint32_t i;

	for (i = 0; i < lab->count; i++)
		lab_stop(&lab->replicas[i]);
	while (lab->frames) {
		struct lab_frame *next = lab->frames->next;

		free(lab->frames);
		lab->frames = next;
	}
	for (i = 0; i < lab->count; i++) {
		struct lab_replica *r = &lab->replicas[i];

		r->io.files.list(&r->files, remove_file, r);
		close(r->files.directory);
		if (r->files.lock >= 0)
			close(r->files.lock);
		rmdir(r->directory);
	}
}
