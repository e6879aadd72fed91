/* What a program is really given, in words: the guarantee of its run, and how
 * long it was not running between two runs. Nothing here is better than what
 * can be shown: what cannot be told is null. */
#include <stdio.h>

#include "node/replica/api_internal.h"

#define WITHOUT_PROOF "until that machine says that it stopped, or an " \
	"operator confirms that it is off"

/* A3: what kills a run at the deadline of a CRN that hangs as a whole. */
static bool is_exact(const struct api_program_row *row)
{
	return row->crn->class == CRN_FENCED &&
	       (row->program->hold || row->crn->watchdog != WATCHDOG_NONE);
}

static void say_moving(const struct api_program_row *row, char *text,
		       size_t size)
{
	const struct fsm_config *c = &row->status->config;
	const char *head = "at most one copy runs, always";

	if (row->crn->watchdog == WATCHDOG_NONE)
		head = "at most one copy runs as long as its CRN's kernel "
		       "works (there is no watchdog to reset one that hangs: "
		       "this is weaker than exact)";
	snprintf(text, size, "%s; when its CRN falls silent it is stopped "
		 "there and may run elsewhere %u.%u s later", head,
		 c->ttl_s_ms / 1000, c->ttl_s_ms % 1000 / 100);
}

static void say_promise(const struct api_program_row *row, char *text,
			size_t size)
{
	const struct fsm_program *p = row->program;

	if (p->state == PROGRAM_LOST)
		snprintf(text, size, "nothing may start it before every CRN "
			 "has said, after the restore, what it holds");
	else if (!row->crn)
		snprintf(text, size, "no copy of it runs, and none may start "
			 "before it is placed");
	else if (row->crn->class == CRN_UNFENCED)
		snprintf(text, size, "weaker than exact: at most one CRN is "
			 "told to run it, but this one is unfenced (%.*s), so "
			 "nothing enforces that a copy there stops; it is not "
			 "moved " WITHOUT_PROOF,
			 (int)row->crn->unfenced_reason.size,
			 row->crn->unfenced_reason.data);
	else if (p->hold)
		snprintf(text, size, "at most one copy runs, always; it runs "
			 "on while its CRN is silent, and is not moved "
			 WITHOUT_PROOF);
	else
		say_moving(row, text, size);
}

void api_json_guarantee(struct json_writer *w,
			const struct api_program_row *row)
{
	const struct fsm_program *p = row->program;
	enum guarantee now = p->guarantee;
	char text[768];

	/* R23: the run's own, whatever was asked for meanwhile. */
	if (row->crn)
		now = p->hold ? GUARANTEE_HOLD : GUARANTEE_EXCLUSIVE;
	jsonw_string(w, "guarantee", api_guarantee(now));
	jsonw_string(w, "guarantee_asked", api_guarantee(p->guarantee));
	if (row->crn)
		jsonw_bool(w, "exact", is_exact(row));
	else
		jsonw_null(w, "exact");
	if (!row->status)
		return;
	say_promise(row, text, sizeof text);
	jsonw_text(w, "promise", text, strlen(text));
}

/* --- not running ------------------------------------------------------------ */

struct downtime {
	bool known, bounded;
	uint64_t min_ms, max_ms;
};

static bool ended(const struct fsm_move *move)
{
	return move->what == EFFECT_FREED || move->what == EFFECT_LOST;
}

static bool reason_is(const struct fsm_move *move, const char *text)
{
	return move->reason.size == strlen(text) &&
	       memcmp(move->reason.data, text, move->reason.size) == 0;
}

/* Since when it may not have been running, by how its run `end` ended. */
static bool began(const struct api_program_row *row, uint32_t end,
		  uint64_t *wall_ms)
{
	const struct fsm_move *move = &row->moves[end];
	const struct fsm_config *c = &row->status->config;

	if (reason_is(move, "the lease ran out")) {
		/* It was heard of when the lease was renewed. */
		*wall_ms = move->wall_ms - c->ttl_s_ms - c->beat_ms;
		return true;
	}
	for (uint32_t i = end + 1; i < row->move_count; i++)
		if (row->moves[i].epoch == move->epoch &&
		    row->moves[i].what == EFFECT_REVOKING) {
			*wall_ms = row->moves[i].wall_ms;
			return reason_is(move, "stopped");
		}
	return false;
}

/* How the run before the one that begins with moves[at] ended, newest move
 * first; move_count if it is not known. */
static uint32_t end_before(const struct api_program_row *row, uint32_t at)
{
	uint32_t end = at + 1;

	while (end < row->move_count && !ended(&row->moves[end]))
		end++;
	return end;
}

static struct downtime downtime_before(const struct api_program_row *row,
				       uint32_t at)
{
	uint64_t now_ms = row->moves[at].wall_ms, since_ms;
	struct downtime d = { .known = false };
	uint32_t end = end_before(row, at);

	/* The clocks of two leaders: what they make negative is not known. */
	if (end >= row->move_count || row->moves[end].wall_ms > now_ms)
		return d;
	d.known = true;
	d.min_ms = now_ms - row->moves[end].wall_ms;
	d.bounded = began(row, end, &since_ms) && since_ms <= now_ms;
	if (d.bounded)
		d.max_ms = now_ms - since_ms;
	return d;
}

void api_json_downtime(struct json_writer *w, const struct api_program_row *row,
		       uint32_t at)
{
	struct downtime d;

	if (row->moves[at].what != EFFECT_ASSIGNED)
		return;
	d = downtime_before(row, at);
	if (!d.known) {
		jsonw_null(w, "downtime");
		return;
	}
	jsonw_object(w, "downtime");
	jsonw_uint(w, "min_ms", d.min_ms);
	if (d.bounded)
		jsonw_uint(w, "max_ms", d.max_ms);
	else
		jsonw_null(w, "max_ms");
	jsonw_object_end(w);
}

/* What ended a run: of one that was told to stop, why it was told. */
static const struct text *cause_of(const struct api_program_row *row,
				   uint32_t end)
{
	const struct fsm_move *moves = row->moves;

	if (reason_is(&moves[end], "stopped"))
		for (uint32_t i = end + 1; i < row->move_count; i++)
			if (moves[i].epoch == moves[end].epoch &&
			    moves[i].what == EFFECT_REVOKING &&
			    moves[i].reason.size > 0)
				return &moves[i].reason;
	return &moves[end].reason;
}

void api_json_move_reason(struct json_writer *w,
			  const struct api_program_row *row, uint32_t at)
{
	const struct fsm_move *move = &row->moves[at];
	uint32_t end = end_before(row, at);
	const char *how = "moved here";
	char text[512];

	if (move->what != EFFECT_ASSIGNED) {
		api_json_text(w, "reason", &move->reason);
		return;
	}
	if (end >= row->move_count) {
		/* Older ones may be gone: the ring is of all programs. */
		jsonw_string(w, "reason", "first known placement");
		return;
	}
	if (hash_compare(&move->crn, &row->moves[end].crn) == 0)
		how = "again where it was";
	snprintf(text, sizeof text, "%s: %.*s", how,
		 (int)cause_of(row, end)->size, cause_of(row, end)->data);
	jsonw_text(w, "reason", text, strlen(text));
}

void api_json_down_since(struct json_writer *w,
			 const struct api_program_row *row)
{
	bool down = api_wanted(row->program) && !row->crn &&
		    row->move_count > 0 && ended(&row->moves[0]);

	api_json_time(w, "down_since", down ? row->moves[0].wall_ms : 0);
}
