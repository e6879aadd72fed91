#include "node/agent/prepare.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "node/agent/cache.h"
#include "node/agent/prepare_reference.h"
#include "node/agent/runner.h"
#include "node/lib/clock.h"
#include "node/lib/crypto.h"
#include "node/lib/log.h"

#define ACTIVE_MAX 4u     /* jobs that fetch and unpack at one time */
#define CONTENT_MS 3000u  /* patience with a replica */

enum job_step { JOB_WAITS = 1, JOB_REPLICA, JOB_CCN, JOB_REFERENCES };

struct prepare_job {
	struct prepare_job *next;
	struct prepare *prepare;
	struct hash program, lineage;
	enum job_step step;
	uint64_t ask_id, asked_ms;
	char replica_said[64];
	struct fetch fetch;
	struct reference reference;
	uint32_t at;             /* reference in work: 0 is the code */
	struct prepared *prepared;
	prepare_done done;
	void *ctx;
};

struct prepare {
	struct agent *agent;
	bool grown;               /* the cache may be too big */
	struct cache_work *cache; /* in the pool, or NULL */
	struct prepare_job *jobs; /* in order of arrival */
	uint64_t ask_id;
};

static void next_reference(struct prepare_job *job);

static void unlink_job(struct prepare_job *job)
{
	struct prepare_job **at = &job->prepare->jobs;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
}

/* Ends the job; the caller of it may start another one from `done`. */
static void finish(struct prepare_job *job, const struct fault *fault)
{
	struct prepared *prepared = job->prepared;

	job->prepare->grown = true;
	unlink_job(job);
	if (fault) {
		prepared_free(prepared);
		prepared = NULL;
	}
	job->done(job->ctx, prepared, fault);
	free(job);
}

/* --- references ------------------------------------------------------------- */

static int persistent_directory(struct prepare_job *job,
				struct prepared_volume *volume,
				const char *name, struct fault *fault)
{
	char lineage[65], fallback[32];

	hash_text(&job->lineage, lineage);
	if (!name) {
		snprintf(fallback, sizeof fallback, "volume-%u",
			 (unsigned)(volume - job->prepared->volumes));
		name = fallback;
	}
	if (snprintf(volume->source, sizeof volume->source,
		     "%s/volumes/%s/%s", job->prepare->agent->config.directory,
		     lineage, name) >= (int)sizeof volume->source)
		return fault_set(fault, BERTH_TOOBIG, "volume %s: name", name);
	return agent_directory(volume->source, fault);
}

static void reference_ended(struct reference *reference, int code)
{
	struct prepare_job *job = reference->ctx;
	struct prepared *prepared = job->prepared;

	if (code != 0) {
		finish(job, &reference->fault);
		return;
	}
	cache_touch(reference->path);
	if (job->at == 0)
		memcpy(prepared->code, reference->path, sizeof prepared->code);
	else
		memcpy(prepared->volumes[job->at - 1].source, reference->path,
		       sizeof reference->path);
	job->at++;
	next_reference(job);
}

static void fetch_reference(struct prepare_job *job, const char *ref,
			    bool use_latest, enum aleph_encoding encoding)
{
	struct reference *r = &job->reference;
	struct fault fault;

	memset(&r->fetch, 0, sizeof r->fetch);
	memset(&r->fault, 0, sizeof r->fault);
	r->agent = job->prepare->agent;
	r->use_latest = use_latest;
	r->encoding = encoding;
	r->done = reference_ended;
	r->ctx = job;
	if (!ref || hash_parse(ref, &r->ref) != 0) {
		fault_set(&fault, BERTH_INVALID,
			  "\"%.100s\" is no reference that can be fetched",
			  ref ? ref : "");
		finish(job, &fault);
		return;
	}
	reference_start(r);
}

/* The file that a plain encoding becomes: a module's, or the entrypoint's. */
static void plain_name(struct prepare_job *job)
{
	const struct aleph_program *program = &job->prepared->program;
	char *name = job->reference.name;
	size_t room = sizeof job->reference.name;

	if (program->interface == INTERFACE_ASGI)
		snprintf(name, room, "%.*s.py",
			 (int)strcspn(program->entrypoint, ":"),
			 program->entrypoint);
	else
		snprintf(name, room, "%s", program->entrypoint);
}

static void next_reference(struct prepare_job *job)
{
	const struct aleph_program *program = &job->prepared->program;
	struct fault fault;

	if (job->at == 0) {
		plain_name(job);
		fetch_reference(job, program->code_ref,
				program->code_use_latest, program->encoding);
		return;
	}
	for (; job->at <= job->prepared->volume_count; job->at++) {
		struct prepared_volume *volume =
			&job->prepared->volumes[job->at - 1];
		const struct aleph_volume *from =
			&program->volumes[job->at - 1];

		if (volume->kind == VOLUME_IMMUTABLE) {
			fetch_reference(job, from->ref, from->use_latest,
					ENCODING_SQUASHFS);
			return;
		}
		if (volume->kind == VOLUME_PERSISTENT &&
		    persistent_directory(job, volume, from->name,
					 &fault) != 0) {
			finish(job, &fault);
			return;
		}
	}
	finish(job, NULL);
}

/* --- the program's message --------------------------------------------------- */

static void have_content(struct prepare_job *job, const char *data,
			 size_t size)
{
	struct fault fault;

	job->step = JOB_REFERENCES;
	if (prepare_read(&job->prepare->agent->config, &job->program, data,
			 size, &job->prepared, &fault) != 0) {
		finish(job, &fault);
		return;
	}
	next_reference(job);
}

static void got_content(struct fetch *fetch, const char *data, size_t size)
{
	struct prepare_job *job = fetch->ctx;
	struct fault fault = fetch->fault;

	if (!data) {
		fault_wrap(&fault, "no content: replica: %s; CCN",
			   job->replica_said);
		finish(job, &fault);
		return;
	}
	cache_message_put(&fetch->agent->config, &job->program, data, size);
	have_content(job, data, size);
}

static void ask_ccn(struct prepare_job *job, const char *replica_said)
{
	snprintf(job->replica_said, sizeof job->replica_said, "%s",
		 replica_said);
	job->step = JOB_CCN;
	job->fetch.agent = job->prepare->agent;
	job->fetch.ctx = job;
	fetch_message(&job->fetch, &job->program, got_content);
}

static void ask_replica(struct prepare_job *job)
{
	uint8_t data[128];
	struct agent_ask ask = { .id = ++job->prepare->ask_id,
				 .program = job->program };

	job->step = JOB_REPLICA;
	job->ask_id = ask.id;
	job->asked_ms = clock_monotonic_ms();
	if (link_send(job->prepare->agent->link, AGENT_CONTENT_GET, data,
		      agent_ask_encode(&ask, data, sizeof data)) != 0)
		ask_ccn(job, "no link");
}

static void begin(struct prepare_job *job)
{
	size_t size;
	char *cached = cache_message(&job->prepare->agent->config,
				     &job->program, &size);

	if (!cached) {
		ask_replica(job);
		return;
	}
	have_content(job, cached, size);
	free(cached);
}

static struct prepare_job *find_ask(struct prepare *prepare, uint64_t id)
{
	struct prepare_job *job = prepare->jobs;

	while (job && (job->step != JOB_REPLICA || job->ask_id != id))
		job = job->next;
	return job;
}

void prepare_frame(struct prepare *prepare, uint8_t type,
		   const uint8_t *payload, size_t size)
{
	struct agent_answer answer;
	struct prepare_job *job;
	struct hash found;

	if (type != AGENT_CONTENT ||
	    agent_answer_decode(payload, size, &answer) != 0)
		return;
	job = find_ask(prepare, answer.id);
	if (!job)
		return;
	if (answer.code != 0) {
		ask_ccn(job, berth_error_text(answer.code));
		return;
	}
	crypto_sha256(answer.data, answer.size, &found);
	if (!hash_equal(&found, &job->program)) {
		ask_ccn(job, "content of another hash");
		return;
	}
	cache_message_put(&prepare->agent->config, &job->program,
			  (const char *)answer.data, answer.size);
	have_content(job, (const char *)answer.data, answer.size);
}

/* Asks a CCN in place of replicas that do not answer. */
static void give_up_replica(struct prepare *prepare, uint64_t asked_before,
			    const char *why)
{
	struct prepare_job *job = prepare->jobs, *next;

	for (; job; job = next) {
		next = job->next;
		if (job->step == JOB_REPLICA && job->asked_ms <= asked_before)
			ask_ccn(job, why);
	}
}

void prepare_link_down(struct prepare *prepare)
{
	give_up_replica(prepare, UINT64_MAX, "the link broke");
}

static struct prepare_job *first_waiting(struct prepare *prepare,
					 uint32_t *active)
{
	struct prepare_job *waiting = NULL;

	*active = 0;
	for (struct prepare_job *job = prepare->jobs; job; job = job->next) {
		if (job->step != JOB_WAITS)
			++*active;
		else if (!waiting)
			waiting = job;
	}
	return waiting;
}

/* --- the cache's size ---------------------------------------------------------- */

/* Listed in the pool, chosen and renamed here, where nothing else happens at
 * the same time, deleted in the pool. */
struct cache_work {
	uv_work_t work;
	struct prepare *prepare; /* NULL: it is closed */
	char directory[PREPARE_PATH_MAX];
	bool sweeping;
	struct cache_list list;
};

void prepare_pins(const struct prepare *prepare, struct cache_pins *pins)
{
	for (struct prepare_job *job = prepare->jobs; job; job = job->next) {
		cache_pin(pins, &job->program);
		cache_pin(pins, &job->reference.ref);
		cache_pin(pins, &job->reference.file.digest);
		if (job->prepared)
			prepared_pins(job->prepared, &job->program, pins);
	}
}

static void cache_work(uv_work_t *work)
{
	struct cache_work *w = work->data;

	if (w->sweeping)
		cache_sweep(w->directory);
	else
		cache_list(w->directory, &w->list);
}

static void cache_work_end(struct cache_work *w)
{
	if (w->prepare)
		w->prepare->cache = NULL;
	cache_list_fini(&w->list);
	free(w);
}

static void cache_worked(uv_work_t *work, int status)
{
	struct cache_work *w = work->data;
	struct cache_pins pins = { 0 };
	struct agent *agent = w->prepare ? w->prepare->agent : NULL;

	(void)status;
	if (agent && !w->sweeping) {
		prepare_pins(w->prepare, &pins);
		runner_pins(agent->runner, &pins);
		w->sweeping = cache_evict(w->directory, &w->list, &pins,
					  agent->config.cache_size_max) > 0;
		cache_pins_fini(&pins);
		if (w->sweeping &&
		    uv_queue_work(agent->loop, &w->work, cache_work,
				  cache_worked) == 0)
			return;
	}
	cache_work_end(w);
}

static void cache_look(struct prepare *prepare)
{
	struct cache_work *w = calloc(1, sizeof *w);

	prepare->grown = false;
	if (!w)
		return;
	w->work.data = w;
	w->prepare = prepare;
	snprintf(w->directory, sizeof w->directory, "%s",
		 prepare->agent->config.directory);
	prepare->cache = w;
	if (uv_queue_work(prepare->agent->loop, &w->work, cache_work,
			  cache_worked) < 0)
		cache_work_end(w);
}

void prepare_unpinned(struct prepare *prepare)
{
	prepare->grown = true;
}

void prepare_tick(struct prepare *prepare, uint64_t now_ms)
{
	struct prepare_job *job;
	uint32_t active;

	if (now_ms > CONTENT_MS)
		give_up_replica(prepare, now_ms - CONTENT_MS, "no answer");
	while ((job = first_waiting(prepare, &active)) && active < ACTIVE_MAX)
		begin(job);
	if (prepare->grown && !prepare->cache)
		cache_look(prepare);
}

int prepare_start(struct prepare *prepare, const struct hash *program,
		  const struct hash *lineage, prepare_done done, void *ctx,
		  struct prepare_job **out)
{
	struct prepare_job *job = calloc(1, sizeof *job), **at;

	if (!job)
		return BERTH_NOMEM;
	job->prepare = prepare;
	job->program = *program;
	job->lineage = *lineage;
	job->step = JOB_WAITS;
	job->done = done;
	job->ctx = ctx;
	for (at = &prepare->jobs; *at; at = &(*at)->next)
		;
	*at = job;
	*out = job;
	return 0;
}

void prepare_cancel(struct prepare_job *job)
{
	unlink_job(job);
	fetch_cancel(&job->fetch);
	reference_cancel(&job->reference);
	prepared_free(job->prepared);
	free(job);
}

/* What a crash left half-made. */
static void clear_parts(const char *folder)
{
	char path[PREPARE_PATH_MAX];
	DIR *directory = opendir(folder);
	struct dirent *row;

	while (directory && (row = readdir(directory)))
		if (strstr(row->d_name, ".part") &&
		    snprintf(path, sizeof path, "%s/%s", folder,
			     row->d_name) < (int)sizeof path)
			agent_tree_remove(path);
	if (directory)
		closedir(directory);
}

int prepare_open(struct prepare **out, struct agent *agent,
		 struct fault *fault)
{
	char path[PREPARE_PATH_MAX];
	struct prepare *prepare = calloc(1, sizeof *prepare);
	int code = 0;

	if (!prepare)
		return fault_set(fault, BERTH_NOMEM, "prepare");
	for (size_t i = 0; code == 0 && i < CACHE_KINDS; i++) {
		if (snprintf(path, sizeof path, "%s/cache/%s",
			     agent->config.directory, cache_kinds[i]) >=
		    (int)sizeof path)
			code = fault_set(fault, BERTH_TOOBIG, "directory");
		else
			code = agent_directory(path, fault);
		/* Closed to others on this host: images hold what they like
		 * until they are inspected. */
		if (code == 0 && chmod(path, 0700) < 0)
			code = fault_set(fault, BERTH_IO, "%s: chmod", path);
		if (code == 0)
			clear_parts(path);
	}
	if (code == 0)
		cache_sweep(agent->config.directory);
	if (code != 0) {
		free(prepare);
		return code;
	}
	prepare->agent = agent;
	prepare->grown = true;
	*out = prepare;
	return 0;
}

void prepare_close(struct prepare *prepare)
{
	while (prepare->jobs)
		prepare_cancel(prepare->jobs);
	if (prepare->cache)
		prepare->cache->prepare = NULL;
	free(prepare);
}
