/* Long reads: a frozen view of the state, read in the pool. What waits shares
 * one view; at most one is open for the edge (the other is the snapshot's). */
#include "node/replica/edge_internal.h"

#include <stdlib.h>

struct view_batch {
	struct edge *edge;
	struct edge_view_job *jobs;
	struct fsm_view *view;
	uint64_t index, age_ms;
	struct core_call call;
	uv_work_t work;
	uint32_t tries;
	uv_timer_t timer;
};

#define VIEW_TRIES_MAX 100
#define VIEW_RETRY_MS 10

static void start(struct edge *edge);

static struct view_batch *of_call(struct core_call *call)
{
	return (struct view_batch *)(void *)
		((char *)call - offsetof(struct view_batch, call));
}

static void jobs_done(struct edge_view_job *jobs, int code)
{
	struct edge_view_job *job, *next;

	for (job = jobs; job; job = next) {
		next = job->next;
		job->done(job, code);
	}
}

static void timer_closed(uv_handle_t *handle)
{
	struct view_batch *b = handle->data;
	struct edge *edge = b->edge;

	free(b);
	edge_release(edge);
}

static void end(struct view_batch *b, int code)
{
	struct edge *edge = b->edge;

	jobs_done(b->jobs, code);
	b->jobs = NULL;
	edge->viewing = false;
	uv_close((uv_handle_t *)&b->timer, timer_closed);
	start(edge);
}

static void close_run(struct core *core, struct core_call *call)
{
	core_view_close(core, of_call(call)->view);
}

static void close_done(struct core_call *call)
{
	end(of_call(call), 0);
}

static void close_retry(uv_timer_t *timer);

static void close_post(struct view_batch *b)
{
	b->call = (struct core_call){ .run = close_run, .done = close_done };
	if (core_post(b->edge->core, &b->call))
		uv_timer_start(&b->timer, close_retry, VIEW_RETRY_MS, 0);
}

static void close_retry(uv_timer_t *timer)
{
	close_post(timer->data);
}

static void work(uv_work_t *req)
{
	struct view_batch *b = req->data;
	struct edge_view_job *job;

	for (job = b->jobs; job; job = job->next) {
		job->index = b->index;
		job->age_ms = b->age_ms;
		job->work(job, b->view);
	}
}

static void worked(uv_work_t *req, int status)
{
	(void)status;
	close_post(req->data);
}

static void open_run(struct core *core, struct core_call *call)
{
	struct view_batch *b = of_call(call);

	b->view = core_view_open(core);
	b->index = core_applied(core);
	b->age_ms = core_applied_age_ms(core);
}

static void open_post(uv_timer_t *timer);

static void open_done(struct core_call *call)
{
	struct view_batch *b = of_call(call);

	if (b->view) {
		uv_queue_work(b->edge->loop, &b->work, work, worked);
		return;
	}
	if (++b->tries > VIEW_TRIES_MAX) {
		end(b, BERTH_BUSY);
		return;
	}
	uv_timer_start(&b->timer, open_post, VIEW_RETRY_MS, 0);
}

static void open_post(uv_timer_t *timer)
{
	struct view_batch *b = timer->data;

	b->call = (struct core_call){ .run = open_run, .done = open_done };
	if (core_post(b->edge->core, &b->call))
		end(b, BERTH_BUSY);
}

static void start(struct edge *edge)
{
	struct view_batch *b;

	if (edge->viewing || !edge->views_next)
		return;
	b = calloc(1, sizeof *b);
	if (!b) {
		struct edge_view_job *jobs = edge->views_next;

		edge->views_next = NULL;
		edge->views_tail = NULL;
		jobs_done(jobs, BERTH_NOMEM);
		return;
	}
	b->edge = edge;
	b->jobs = edge->views_next;
	edge->views_next = NULL;
	edge->views_tail = NULL;
	edge->viewing = true;
	edge_hold(edge);
	b->work.data = b;
	uv_timer_init(edge->loop, &b->timer);
	b->timer.data = b;
	open_post(&b->timer);
}

void edge_view(struct edge *edge, struct edge_view_job *job)
{
	job->next = NULL;
	if (!edge->core || edge->closing) {
		job->done(job, BERTH_CLOSED);
		return;
	}
	if (!edge->views_tail)
		edge->views_tail = &edge->views_next;
	*edge->views_tail = job;
	edge->views_tail = &job->next;
	start(edge);
}
