/* Asks the CCNs for messages that others replace and the state does not know:
 * one after the other, each CCN in turn until one can tell. */
#include <stdio.h>
#include <stdlib.h>

#include "node/lib/crypto.h"
#include "node/replica/intake_internal.h"

#define ANSWER_SIZE_MAX (4u << 20)

struct seek {
	struct intake *intake;
	struct seek_row rows[INTAKE_SEEKS_MAX];
	uint32_t count, at, ccn;
	bool found, answered;
	struct fault fault; /* the last CCN's word on the row at hand */
	void (*done)(struct intake *intake, bool found);
};

static void ask(struct seek *s);

static bool is_one_of(const char *text, const char *a, const char *b)
{
	return !strcmp(text, a) || !strcmp(text, b);
}

/* Errors: why it cannot be made known by this answer. */
static int take(struct seek *s, const json_t *json)
{
	const struct hash *hash = &s->rows[s->at].replaces;
	const char *status =
		json_string_value(json_object_get(json, "status"));
	const json_t *message = json_object_get(json, "message");

	if (!status)
		return fault_set(&s->fault, BERTH_MALFORMED, "no status");
	if (is_one_of(status, "processed", "removing"))
		return intake_take_spare(s->intake, s->ccn, message, hash,
					 &s->fault);
	if (is_one_of(status, "forgotten", "removed"))
		return intake_take_tomb(s->intake, s->ccn, message, hash,
					&s->fault);
	return fault_set(&s->fault, BERTH_BUSY, "the CCN says it is %.20s",
			 status);
}

static int read_answer(struct seek *s, const struct http_answer *answer)
{
	json_t *json;
	int code;

	if (answer->status == 404)
		return fault_set(&s->fault, BERTH_NOTFOUND,
				 "the CCN does not know it");
	if (answer->status != 200 && answer->status != 410)
		return fault_set(&s->fault, BERTH_IO, "the CCN answers %d",
				 answer->status);
	code = json_parse(answer->body, answer->body_size, ANSWER_SIZE_MAX,
			  &json, &s->fault);
	if (code)
		return code;
	code = take(s, json);
	json_decref(json);
	return code;
}

/* Nobody could tell: its successor waits, and says why. */
static void give_up(struct seek *s)
{
	struct intake_table *table = &s->intake->table;
	struct intake_entry *entry;
	char text[65], why[256];

	hash_text(&s->rows[s->at].replaces, text);
	snprintf(why, sizeof why, "it replaces %.16s: %.150s", text,
		 s->answered ? s->fault.text : "no CCN can be asked for it");
	uv_mutex_lock(&table->mutex);
	entry = intake_table_find(table, &s->rows[s->at].program);
	if (entry)
		intake_entry_wait(entry, why);
	uv_mutex_unlock(&table->mutex);
}

static void next_row(struct seek *s)
{
	s->at++;
	s->ccn = 0;
	s->answered = false;
}

static void answered(void *ctx, const struct http_answer *answer)
{
	struct seek *s = ctx;
	struct edge *edge = s->intake->edge;

	/* What failed to answer does not hide another's word. */
	if (answer->status)
		s->answered = true;
	if (!s->intake->closing && answer->status &&
	    read_answer(s, answer) == 0) {
		s->found = true;
		next_row(s);
	} else {
		s->ccn++;
	}
	ask(s);
	edge_release(edge);
}

static bool send_question(struct seek *s)
{
	struct edge *edge = s->intake->edge;
	char url[1024], hash[65];
	const struct http_call call = {
		.method = "GET", .url = url, .ctx = s, .timeout_ms = 5000,
		.connect_ms = 2000, .answer_size_max = ANSWER_SIZE_MAX,
	};

	hash_text(&s->rows[s->at].replaces, hash);
	snprintf(url, sizeof url, "%.800s/api/v0/messages/%s",
		 s->intake->ccns[s->ccn].url, hash);
	edge_hold(edge);
	if (http_client_send(edge->http, &call, answered) == 0)
		return true;
	edge_release(edge);
	return false;
}

static void ask(struct seek *s)
{
	struct intake *intake = s->intake;
	bool found = s->found;
	void (*done)(struct intake *, bool) = s->done;

	while (s->at < s->count && !intake->closing) {
		if (s->ccn >= intake->ccn_count) {
			give_up(s);
			next_row(s);
		} else if (send_question(s)) {
			return;
		} else {
			s->ccn++;
		}
	}
	free(s);
	done(intake, found && !intake->closing);
}

void intake_seek(struct intake *intake, const struct seek_row *rows,
		 uint32_t count, void (*done)(struct intake *intake,
					      bool found))
{
	struct seek *s = calloc(1, sizeof *s);

	if (!s) {
		done(intake, false);
		return;
	}
	s->intake = intake;
	s->done = done;
	s->count = count;
	memcpy(s->rows, rows, count * sizeof *rows);
	ask(s);
}
