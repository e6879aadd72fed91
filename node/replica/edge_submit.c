/* Commands from the edge to the leader's driver, and their results back. */
#include "node/replica/edge_internal.h"

#include <stdlib.h>

struct edge_submit *edge_submit_open(struct edge *edge)
{
	struct edge_submit *s = calloc(1, sizeof *s);

	if (s)
		s->edge = edge;
	return s;
}

void edge_submit_drop(struct edge_submit *s)
{
	free(s->data);
	free(s->results);
	free(s);
}

static bool take(void *ctx, const void *data, size_t size)
{
	struct edge_submit *s = ctx;
	size_t capacity = s->capacity ? s->capacity : 1024;
	uint8_t *grown;

	while (capacity < s->size + size)
		capacity *= 2;
	if (capacity != s->capacity) {
		grown = realloc(s->data, capacity);
		if (!grown)
			return false;
		s->data = grown;
		s->capacity = capacity;
	}
	memcpy(s->data + s->size, data, size);
	s->size += size;
	return true;
}

void edge_submit_add(struct edge_submit *s, const struct command *command)
{
	const struct byte_sink sink = { s, take };

	if (s->failed || !command_encode(&sink, command))
		s->failed = true;
	s->count++;
}

static void client_result(struct driver_client *client,
			  const struct fsm_result *result)
{
	struct edge_submit *s = (struct edge_submit *)(void *)
		((char *)client - offsetof(struct edge_submit, client));

	if (s->result_count < s->count)
		s->results[s->result_count++] = *result;
}

static void client_done(struct driver_client *client, int code, uint64_t index)
{
	struct edge_submit *s = (struct edge_submit *)(void *)
		((char *)client - offsetof(struct edge_submit, client));

	s->call.code = code;
	s->index = index;
	s->finished = true;
	if (!s->in_run)
		core_call_finish(s->edge->core, &s->call);
}

static struct edge_submit *of_call(struct core_call *call)
{
	return (struct edge_submit *)(void *)
		((char *)call - offsetof(struct edge_submit, call));
}

static void run(struct core *core, struct core_call *call)
{
	struct edge_submit *s = of_call(call);

	s->in_run = true;
	s->client.commands = s->data;
	s->client.size = s->size;
	s->client.count = s->count;
	s->client.result = client_result;
	s->client.done = client_done;
	driver_submit(core_driver(core), &s->client);
	s->in_run = false;
	call->pending = !s->finished;
}

static void finish(struct edge_submit *s, int code)
{
	struct edge *edge = s->edge;

	if (code == 0 && s->result_count != s->count)
		code = BERTH_UNKNOWN_OUTCOME;
	s->done(s, code);
	edge_submit_drop(s);
	edge_release(edge);
}

static void done(struct core_call *call)
{
	finish(of_call(call), call->code);
}

void edge_submit_send(struct edge_submit *s)
{
	int code;

	edge_hold(s->edge);
	s->results = calloc(s->count ? s->count : 1, sizeof *s->results);
	if (s->failed || !s->results) {
		finish(s, BERTH_NOMEM);
		return;
	}
	if (!s->edge->core) {
		finish(s, BERTH_NOTLEADER);
		return;
	}
	s->call.run = run;
	s->call.done = done;
	code = core_post(s->edge->core, &s->call);
	if (code)
		finish(s, code);
}
