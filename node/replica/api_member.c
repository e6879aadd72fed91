/* Changes of the membership, asked of the leader: one at a time, and only when
 * no other voter is down (H33). Health is what was acknowledged: a while after
 * it was asked the end of the log is noted, which a Beat has moved since, and
 * as long again later each voter must have it. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/replica/api_internal.h"

#define LOOK_MS 300u     /* more than from Beat to Beat */
#define POLL_MS 50u
#define PATIENCE_MS 8000u
#define TRANSFER_MS 4000u

enum phase { WAIT, NOTE, CHANGE };
enum what { ADD, PROMOTE, DEMOTE, REMOVE, TRANSFER };

static const char *const names[] = {
	[ADD] = "add", [PROMOTE] = "promote", [DEMOTE] = "demote",
	[REMOVE] = "remove", [TRANSFER] = "transfer",
};

/* Lives until its timer is closed and its call is back, which may be after the
 * answer. */
struct ask {
	struct api_request *request; /* NULL once it is answered */
	struct edge *edge; /* good until the timer is closed */
	struct core *core;
	uint64_t id, deadline_ms;
	enum what what;
	enum phase phase;
	uv_timer_t timer;
	struct core_call call;
	struct replica_change change;
	bool open, calling;
	uint64_t last; /* entry that was the last when it was noted */
	const char *refusal;
	char message[400];
	uint32_t voters; /* afterwards */
};

/* --- on the consensus loop ------------------------------------------------- */

static void refuse(struct ask *ask, const char *refusal, const char *format,
		   ...) PRINTF_LIKE(3, 4);
static void refuse(struct ask *ask, const char *refusal, const char *format,
		   ...)
{
	va_list args;

	if (ask->refusal)
		return; /* the first says it best */
	ask->refusal = refusal;
	va_start(args, format);
	vsnprintf(ask->message, sizeof ask->message, format, args);
	va_end(args);
}

static bool has_all(const struct ask *ask, const struct replica_status *s,
		    uint32_t i)
{
	return s->members[i].id == s->id ||
	       (s->connected[i] && s->match[i] >= ask->last);
}

/* Others than the one that it is about. One that is down may be taken out
 * while more are, if those that are well make a majority without it. */
static void check_others(struct ask *ask, const struct replica_status *s,
			 bool takes_out_dead)
{
	uint32_t voters = 0, well = 0;
	uint64_t down = 0;

	for (uint32_t i = 0; i < s->member_count; i++) {
		if (s->members[i].role != ROLE_VOTER ||
		    s->members[i].id == ask->id)
			continue;
		voters++;
		if (has_all(ask, s, i))
			well++;
		else
			down = s->members[i].id;
	}
	if (takes_out_dead ? well < voters / 2 + 1 : well < voters)
		refuse(ask, "voter_down", "replica %" PRIu64 " votes and does "
		       "not follow: members change only when all others that "
		       "vote are well. Bring it back, or remove it first",
		       down);
}

static void check_target(struct ask *ask, const struct replica_status *s,
			 uint32_t i)
{
	const struct replica_member *m = &s->members[i];
	bool votes = m->role == ROLE_VOTER;
	const unsigned long long id = m->id;

	if (m->id == s->id && ask->what != PROMOTE)
		refuse(ask, "is_leader", ask->what == TRANSFER ?
		       "replica %llu leads already" :
		       "replica %llu leads: hand leadership to another first "
		       "(berth member transfer ID)", id);
	if ((ask->what == PROMOTE && votes) || (ask->what == DEMOTE && !votes))
		refuse(ask, "same_role", "replica %llu is a %s already", id,
		       votes ? "voter" : "standby");
	if (ask->what == TRANSFER && !votes)
		refuse(ask, "not_voter", "replica %llu does not vote: promote "
		       "it first", id);
	if (ask->what != PROMOTE && ask->what != TRANSFER)
		return;
	if (!s->connected[i])
		refuse(ask, "not_connected", "the leader has no link to replica"
		       " %llu: is it up, and is its address right in every "
		       "replica's `peers`?", id);
	else if (!has_all(ask, s, i))
		refuse(ask, "not_level", "replica %llu has entry %" PRIu64
		       " of %" PRIu64 ": ask again when it has caught up", id,
		       s->match[i], s->last);
}

static void check_new(struct ask *ask, const struct replica_status *s,
		      struct core *core)
{
	const unsigned long long id = ask->id;

	if (s->member_count == REPLICA_MEMBERS_MAX)
		refuse(ask, "full", "a cluster has at most %u members",
		       (unsigned)REPLICA_MEMBERS_MAX);
	if (!core_peer_linked(core, ask->id))
		refuse(ask, "not_connected", "replica %llu has no link to the "
		       "leader: start it with join = true and an empty "
		       "directory. An id that was a member before is refused "
		       "for ever (see its log): take a new one", id);
}

static void check(struct ask *ask, const struct replica_status *s,
		  struct core *core)
{
	uint32_t i = 0;
	bool votes, well;

	while (i < s->member_count && s->members[i].id != ask->id)
		i++;
	if (ask->what == ADD && i < s->member_count)
		refuse(ask, "exists", "replica %" PRIu64 " is a member already",
		       ask->id);
	if (ask->what == ADD) {
		check_new(ask, s, core);
		check_others(ask, s, false);
		return;
	}
	if (i == s->member_count) {
		refuse(ask, "unknown_id", "no member has id %" PRIu64, ask->id);
		return;
	}
	check_target(ask, s, i);
	votes = s->members[i].role == ROLE_VOTER;
	well = has_all(ask, s, i);
	/* Who does not vote can go at any time, and leadership as well. */
	if (ask->what == PROMOTE || (votes && ask->what != TRANSFER))
		check_others(ask, s, ask->what != PROMOTE && !well);
}

static struct ask *of_call(struct core_call *call)
{
	return (struct ask *)(void *)((char *)call - offsetof(struct ask, call));
}

static void run_note(struct core *core, struct core_call *call)
{
	struct replica_status s;

	replica_status(core_replica(core), &s);
	of_call(call)->last = s.last;
	call->code = s.state == REPLICA_LEADER ? 0 : BERTH_NOTLEADER;
}

static void on_changed(void *ctx, int code)
{
	struct ask *ask = ctx;
	struct replica_status s;

	replica_status(core_replica(ask->core), &s);
	for (uint32_t i = 0; i < s.member_count; i++)
		ask->voters += s.members[i].role == ROLE_VOTER;
	ask->call.code = code;
	core_call_finish(ask->core, &ask->call);
}

static int begin(struct ask *ask, struct replica *replica)
{
	const struct replica_member member = { .id = ask->id,
					       .role = ROLE_STANDBY };

	ask->change = (struct replica_change){ .ctx = ask, .done = on_changed };
	switch (ask->what) {
	case ADD:
		return replica_member_add(replica, &member, &ask->change);
	case PROMOTE:
		return replica_member_role(replica, ask->id, ROLE_VOTER,
					   &ask->change);
	case DEMOTE:
		return replica_member_role(replica, ask->id, ROLE_STANDBY,
					   &ask->change);
	case REMOVE:
		return replica_member_remove(replica, ask->id, &ask->change);
	case TRANSFER:
	default:
		return replica_transfer(replica, ask->id);
	}
}

static void run_change(struct core *core, struct core_call *call)
{
	struct ask *ask = of_call(call);
	struct replica_status s;
	int code;

	call->code = 0;
	replica_status(core_replica(core), &s);
	if (s.state != REPLICA_LEADER) {
		call->code = BERTH_NOTLEADER;
		return;
	}
	check(ask, &s, core);
	if (ask->refusal)
		return;
	/* Done may come before this returns, and has told its code then. */
	call->pending = ask->what != TRANSFER;
	code = begin(ask, core_replica(core));
	if (code == 0)
		return;
	call->code = code;
	call->pending = false;
	if (code == BERTH_BUSY)
		refuse(ask, "busy", "another change of the members, or of the "
		       "leader, is under way: ask again when it is done");
}

/* --- on the edge loop ------------------------------------------------------- */

static void free_maybe(struct ask *ask)
{
	if (!ask->open && !ask->calling)
		free(ask);
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct ask *ask = handle->data;
	struct edge *edge = ask->edge;

	ask->open = false;
	free_maybe(ask);
	edge_release(edge);
}

static struct api_request *take_request(struct ask *ask)
{
	struct api_request *request = ask->request;

	ask->request = NULL;
	uv_close((uv_handle_t *)&ask->timer, on_timer_closed);
	return request;
}

static void fail(struct ask *ask, int code)
{
	api_fail_code(take_request(ask), code);
}

static void refused(struct ask *ask)
{
	char message[sizeof ask->message];

	snprintf(message, sizeof message, "%s", ask->message);
	api_fail(take_request(ask), 409, ask->refusal, "%s", message);
}

static void answer(struct ask *ask)
{
	struct api_request *request = take_request(ask);
	struct json_writer *w = &request->json;

	log_info("member", "%s of replica %" PRIu64 " by %s: done",
		 names[ask->what], ask->id, request->who);
	jsonw_object(w, NULL);
	jsonw_uint(w, "id", ask->id);
	jsonw_string(w, "change", names[ask->what]);
	jsonw_string(w, "result", "ok");
	if (ask->what != TRANSFER) {
		jsonw_uint(w, "voters", ask->voters);
		jsonw_uint(w, "may_fail", (ask->voters - 1) / 2);
	}
	jsonw_object_end(w);
	api_respond_json(request, 200);
}

static void on_timer(uv_timer_t *timer);

static void post(struct ask *ask,
		 void (*run)(struct core *core, struct core_call *call));

static void done(struct core_call *call)
{
	struct ask *ask = of_call(call);

	ask->calling = false;
	if (!ask->request)
		free_maybe(ask);
	else if (ask->refusal)
		refused(ask);
	else if (call->code == BERTH_TIMEOUT)
		fail(ask, BERTH_NOTLEADER); /* given up before it was begun */
	else if (call->code)
		fail(ask, call->code);
	else if (ask->phase == CHANGE && ask->what != TRANSFER)
		answer(ask);
	else
		uv_timer_start(&ask->timer, on_timer,
			       ask->phase == CHANGE ? POLL_MS : LOOK_MS, 0);
}

static void post(struct ask *ask,
		 void (*run)(struct core *core, struct core_call *call))
{
	ask->call = (struct core_call){ .run = run, .done = done };
	ask->calling = true;
	if (core_post(ask->core, &ask->call) == 0)
		return;
	ask->calling = false;
	fail(ask, BERTH_BUSY);
}

/* Leadership moves by itself, or does not. */
static void look_who_leads(struct ask *ask)
{
	const struct edge *edge = ask->edge;

	if (edge->leader == ask->id) {
		answer(ask);
	} else if (uv_now(edge->loop) < ask->deadline_ms) {
		uv_timer_start(&ask->timer, on_timer, POLL_MS, 0);
	} else {
		refuse(ask, "not_moved", "leadership did not go to replica %"
		       PRIu64 "; replica %" PRIu64 " leads (0: nobody)",
		       ask->id, edge->leader);
		refused(ask);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct ask *ask = timer->data;
	const struct edge *edge = ask->edge;

	if (!ask->request)
		return;
	if (edge->closing ||
	    (ask->calling && uv_now(edge->loop) >= ask->deadline_ms)) {
		fail(ask, BERTH_UNKNOWN_OUTCOME);
	} else if (ask->calling) {
		uv_timer_start(timer, on_timer, POLL_MS, 0);
	} else if (ask->phase == WAIT) {
		ask->phase = NOTE;
		post(ask, run_note);
	} else if (ask->phase == NOTE) {
		ask->phase = CHANGE;
		ask->deadline_ms = uv_now(edge->loop) +
				   (ask->what == TRANSFER ? TRANSFER_MS :
							    PATIENCE_MS);
		post(ask, run_change);
		if (ask->request)
			uv_timer_start(timer, on_timer, POLL_MS, 0);
	} else {
		look_who_leads(ask);
	}
}

static bool shape(struct api_request *request, struct ask *ask)
{
	struct fault fault = { 0 };
	json_t *body = NULL;
	const char *change;
	json_int_t id;
	size_t i = 0;

	if (json_parse((const char *)request->body, request->body_size,
		       API_BODY_SIZE_MAX, &body, &fault))
		return false;
	change = json_string_value(json_object_get(body, "change"));
	id = json_integer_value(json_object_get(body, "id"));
	while (change && i < COUNT_OF(names) && strcmp(names[i], change))
		i++;
	if (json_object_size(body) != 2)
		change = NULL;
	ask->what = (enum what)i;
	ask->id = (uint64_t)id;
	i = change && id > 0 && id <= UINT32_MAX ? i : COUNT_OF(names);
	json_decref(body);
	return i < COUNT_OF(names);
}

void api_change_member(struct api_request *request)
{
	struct edge *edge = request->edge;
	struct ask *ask = calloc(1, sizeof *ask);

	if (!ask) {
		api_fail_code(request, BERTH_NOMEM);
		return;
	}
	if (!shape(request, ask)) {
		free(ask);
		api_fail(request, 400, "malformed", "{\"id\": N, \"change\": "
			 "\"add\", \"promote\", \"demote\", \"remove\" or "
			 "\"transfer\"} is wanted");
		return;
	}
	ask->request = request;
	ask->edge = edge;
	ask->core = edge->core;
	ask->timer.data = ask;
	uv_timer_init(edge->loop, &ask->timer);
	ask->open = true;
	edge_hold(edge);
	if (ask->what == ADD && !edge_peer(edge, ask->id)) {
		refuse(ask, "unknown_id", "replica %" PRIu64 " is not in the "
		       "leader's `peers`: add it to every replica's file, "
		       "with joins = true, and restart them one at a time",
		       ask->id);
		refused(ask);
	} else {
		uv_timer_start(&ask->timer, on_timer, LOOK_MS, 0);
	}
}
