/* Before a program is dropped its own status is asked of the CCNs. One that
 * says it is there keeps it; one that says it is gone drops it; that none knows
 * it counts only when all were asked and answered so. */
#include <stdio.h>
#include <stdlib.h>

#include "node/lib/crypto.h"
#include "node/replica/intake_internal.h"

struct confirm {
	struct intake *intake;
	struct hash programs[INTAKE_CONFIRMS_MAX];
	char reasons[INTAKE_CONFIRMS_MAX][64];
	bool gone[INTAKE_CONFIRMS_MAX];
	uint32_t count, at, ccn;
	uint32_t said_gone, said_unknown;
	bool there;
	void (*done)(struct intake *intake);
};

static void ask(struct confirm *c);

enum confirm_word intake_confirm_read(int status, const char *body, size_t size)
{
	enum confirm_word word = CONFIRM_FAILED;
	struct fault fault;
	const char *text;
	json_t *json;

	if (status == 404)
		return CONFIRM_UNKNOWN;
	if ((status != 200 && status != 410) ||
	    json_parse(body, size, INTAKE_ANSWER_SIZE_MAX, &json, &fault))
		return CONFIRM_FAILED;
	text = json_string_value(json_object_get(json, "status"));
	if (!text)
		word = CONFIRM_FAILED;
	else if (!strcmp(text, "forgotten") || !strcmp(text, "removed") ||
		 !strcmp(text, "rejected"))
		word = CONFIRM_GONE;
	else if (!strcmp(text, "processed") || !strcmp(text, "removing") ||
		 !strcmp(text, "pending"))
		word = CONFIRM_THERE;
	json_decref(json);
	return word;
}

/* --- forgetting ----------------------------------------------------------- */

static void finish(struct confirm *c)
{
	struct intake *intake = c->intake;
	void (*done)(struct intake *) = c->done;

	free(c);
	done(intake);
}

static void forgotten(struct edge_submit *s, int code)
{
	struct confirm *c = s->ctx;
	struct intake_table *table = &c->intake->table;
	struct intake_entry *entry;

	uv_mutex_lock(&table->mutex);
	for (uint32_t i = 0; code == 0 && i < c->count; i++) {
		entry = c->gone[i] ? intake_table_find(table, &c->programs[i]) : NULL;
		if (entry)
			entry->kind = ENTRY_GONE;
	}
	uv_mutex_unlock(&table->mutex);
	finish(c);
}

static void forget(struct confirm *c)
{
	struct edge_submit *s = edge_submit_open(c->intake->edge);
	char text[65];

	if (!s) {
		finish(c);
		return;
	}
	s->ctx = c;
	s->done = forgotten;
	for (uint32_t i = 0; i < c->count; i++) {
		struct command command = { .type = FSM_PROGRAM_FORGET };

		if (!c->gone[i])
			continue;
		hash_text(&c->programs[i], text);
		log_info("intake", "program %.16s is gone: %s", text,
			 c->reasons[i]);
		command.program_forget.program = c->programs[i];
		command.program_forget.reason = (struct text){
			c->reasons[i], (uint32_t)strlen(c->reasons[i]) };
		edge_submit_add(s, &command);
	}
	if (s->count) {
		edge_submit_send(s);
	} else {
		edge_submit_drop(s);
		finish(c);
	}
}

/* --- asking --------------------------------------------------------------- */

static void decide(struct confirm *c)
{
	uint32_t at = c->at;

	if (c->said_gone && !c->there) {
		c->gone[at] = true;
		snprintf(c->reasons[at], sizeof c->reasons[at],
			 "forgotten, removed or rejected");
	} else if (!c->there && c->said_unknown == c->intake->ccn_count) {
		c->gone[at] = true;
		snprintf(c->reasons[at], sizeof c->reasons[at],
			 "no CCN knows the message");
	}
	c->at++;
	c->ccn = 0;
	c->said_gone = 0;
	c->said_unknown = 0;
	c->there = false;
}

static void answered(void *ctx, const struct http_answer *answer)
{
	struct confirm *c = ctx;
	struct edge *edge = c->intake->edge;

	switch (intake_confirm_read(answer->status, answer->body,
				    answer->body_size)) {
	case CONFIRM_GONE:
		c->said_gone++;
		break;
	case CONFIRM_THERE:
		c->there = true;
		break;
	case CONFIRM_UNKNOWN:
		c->said_unknown++;
		break;
	case CONFIRM_FAILED:
	default:
		break;
	}
	c->ccn++;
	ask(c);
	edge_release(edge);
}

static bool send_question(struct confirm *c)
{
	struct edge *edge = c->intake->edge;
	char url[1024], hash[65];
	const struct http_call call = {
		.method = "GET", .url = url, .ctx = c, .timeout_ms = 5000,
		.connect_ms = 2000, .answer_size_max = 4u << 20,
	};

	hash_text(&c->programs[c->at], hash);
	snprintf(url, sizeof url, "%.800s/api/v0/messages/%s",
		 c->intake->ccns[c->ccn].url, hash);
	edge_hold(edge);
	if (http_client_send(edge->http, &call, answered) == 0)
		return true;
	edge_release(edge);
	return false;
}

static void ask(struct confirm *c)
{
	while (c->at < c->count && !c->intake->closing) {
		if (c->ccn >= c->intake->ccn_count || c->there)
			decide(c);
		else if (send_question(c))
			return;
		else
			c->ccn++;
	}
	if (c->intake->closing)
		finish(c);
	else
		forget(c);
}

void intake_confirm(struct intake *intake, const struct hash *programs,
		    uint32_t count, void (*done)(struct intake *intake))
{
	struct confirm *c = calloc(1, sizeof *c);

	if (!c) {
		done(intake);
		return;
	}
	c->intake = intake;
	c->done = done;
	c->count = count;
	memcpy(c->programs, programs, count * sizeof *programs);
	ask(c);
}
