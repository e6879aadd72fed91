/* What agents say of their runs, and R24: a program that does not start on its
 * CRN is revoked once an epoch, and placed elsewhere. */
#include <stdlib.h>

#include "node/replica/driver_impl.h"

static void run_free(struct driver *d, uint32_t at)
{
	struct driver_run *run = &d->runs[at];

	driver__map_remove(&d->run_map, &run->program);
	free(run->reason);
	memset(run, 0, sizeof *run);
	run->next = d->run_free;
	d->run_free = at;
}

static uint32_t run_new(struct driver *d)
{
	uint32_t at = d->run_free;

	if (at != UINT32_MAX) {
		d->run_free = d->runs[at].next;
	} else {
		if (d->run_count == d->run_capacity) {
			d->run_capacity = d->run_capacity == 0
						  ? 64 : d->run_capacity * 2;
			d->runs = realloc(d->runs,
					  d->run_capacity * sizeof *d->runs);
			REQUIRE(d->runs != NULL);
		}
		at = d->run_count++;
	}
	memset(&d->runs[at], 0, sizeof d->runs[at]);
	return at;
}

static void unlink_run(struct driver *d, uint32_t at)
{
	uint32_t *link = &d->agents[d->runs[at].agent].first_run;

	while (*link != at) {
		REQUIRE(*link != UINT32_MAX);
		link = &d->runs[*link].next;
	}
	*link = d->runs[at].next;
}

/* An agent's words become a command's (R24), which has no NUL in a text. */
static void set_reason(struct driver_run *run, const struct text *reason)
{
	char *nul;

	if (reason->size == run->reason_size &&
	    (reason->size == 0 ||
	     memcmp(run->reason, reason->data, reason->size) == 0))
		return;
	free(run->reason);
	run->reason = NULL;
	run->reason_size = 0;
	if (reason->size == 0)
		return;
	run->reason = driver__alloc(reason->size);
	memcpy(run->reason, reason->data, reason->size);
	run->reason_size = reason->size;
	while ((nul = memchr(run->reason, '\0', run->reason_size)) != NULL)
		*nul = '?';
}

/* Is this the epoch that the program has in the state, on this CRN? */
static bool is_current(const struct fsm_view *view, const struct hash *crn,
		       const struct agent_run *m)
{
	slot_t slot = fsm_program_find(view, &m->program);
	struct fsm_program p;

	return slot != SLOT_NONE && fsm_program_read(view, slot, &p) &&
	       (p.state == PROGRAM_ASSIGNED || p.state == PROGRAM_REVOKING) &&
	       p.epoch == m->epoch && p.gen == m->gen &&
	       hash_equal(&p.crn_hash, crn);
}

static uint32_t run_of(struct driver *d, uint32_t agent,
		       const struct agent_run *m)
{
	uint32_t at = driver__map_find(&d->run_map, &m->program);
	struct driver_run *run;

	if (at != DRIVER_MAP_NONE && d->runs[at].agent == agent &&
	    d->runs[at].epoch == m->epoch && d->runs[at].gen == m->gen)
		return at;
	if (at != DRIVER_MAP_NONE) {
		unlink_run(d, at);
		run_free(d, at);
	}
	at = run_new(d);
	run = &d->runs[at];
	run->program = m->program;
	run->agent = agent;
	run->gen = m->gen;
	run->epoch = m->epoch;
	run->since_ms = d->ops.clock_ms(d->ops.ctx);
	run->next = d->agents[agent].first_run;
	d->agents[agent].first_run = at;
	driver__map_add(&d->run_map, &m->program, at);
	return at;
}

static struct text why_of(const struct driver_run *run)
{
	static const char slow[] = "it did not start in time";
	static const char silent[] = "its agent took it and says nothing of it";

	if (run->reason_size != 0)
		return (struct text){ run->reason, run->reason_size };
	return run->silent ? (struct text){ silent, sizeof silent - 1 }
			   : (struct text){ slow, sizeof slow - 1 };
}

/* R24. A wish only: apply tests the epoch, and nothing is freed by it. */
static void judge(struct driver *d, const struct fsm_view *view,
		  struct driver_run *run)
{
	struct command revoke = { .type = FSM_REVOKE };
	struct fsm_status status;
	uint64_t waited_ms = d->ops.clock_ms(d->ops.ctx) - run->since_ms;
	bool late;

	if (run->revoked || run->status == RUN_STOPPING)
		return;
	fsm_status(view, &status);
	late = !run->was_running && waited_ms >= status.config.start_timeout_ms;
	if (!late && run->failures < status.config.start_failures_max)
		return;
	if (run->status == RUN_RUNNING)
		return;
	revoke.revoke.program = run->program;
	revoke.revoke.epoch = run->epoch;
	revoke.revoke.cause = REVOKE_START_FAILED;
	revoke.revoke.reason = why_of(run);
	run->revoked = driver__item_add(d, ITEM_REVOKE, &revoke) != NULL;
	d->counts.failed_starts += run->revoked;
}

static void forget_unmarked(struct driver *d, uint32_t agent)
{
	uint32_t *link = &d->agents[agent].first_run, at;

	while ((at = *link) != UINT32_MAX) {
		if (d->runs[at].mark == d->run_mark) {
			link = &d->runs[at].next;
			continue;
		}
		*link = d->runs[at].next;
		run_free(d, at);
	}
}

/* It has the set that the program is in, and does not speak of it. (`have` is
 * the stamp of the last change of the set that it took.) */
static void hear_silent(struct driver *d, const struct fsm_view *view,
			uint32_t agent, const struct fsm_program *p)
{
	const struct agent_run m = { .program = p->hash, .gen = p->gen,
				     .epoch = p->epoch };
	uint32_t at = run_of(d, agent, &m); /* may move d->runs */
	struct driver_run *run = &d->runs[at];

	if (run->mark == d->run_mark)
		return; /* it does, in this very heartbeat */
	run->mark = d->run_mark;
	if (!run->silent) {
		run->silent = true;
		run->since_ms = d->ops.clock_ms(d->ops.ctx);
		run->was_running = false;
		run->status = RUN_PREPARING;
		run->failures = 0;
		set_reason(run, &(struct text){ "", 0 });
	}
	judge(d, view, run);
}

static void hear_silence(struct driver *d, const struct fsm_view *view,
			 uint32_t agent, const struct agent_heartbeat *m)
{
	slot_t crn = fsm_crn_find(view, &d->agents[agent].crn), at;
	struct fsm_program p;
	struct fsm_crn c;

	/* As many as it can tell: the rest may run as well. */
	if (m->run_count >= FSM_CRN_PROGRAMS_MAX || crn == SLOT_NONE ||
	    !fsm_crn_read(view, crn, &c) || !c.alive ||
	    c.session != m->session)
		return;
	for (at = fsm_crn_next_program(view, crn, SLOT_NONE); at != SLOT_NONE;
	     at = fsm_crn_next_program(view, crn, at))
		if (fsm_program_read(view, at, &p) &&
		    p.state == PROGRAM_ASSIGNED && p.session == c.session &&
		    (m->have == c.changed || m->have >= p.epoch))
			hear_silent(d, view, agent, &p);
}

void driver__runs_heard(struct driver *d, const struct fsm_view *view,
			uint32_t agent, const struct agent_heartbeat *m)
{
	const struct hash *crn = &d->agents[agent].crn;
	struct driver_run *run;
	uint32_t at;

	if (m->session != d->agents[agent].session)
		return; /* an older session's words */
	d->run_mark++;
	for (uint32_t i = 0; i < m->run_count; i++) {
		if (!is_current(view, crn, &m->runs[i]))
			continue;
		at = run_of(d, agent, &m->runs[i]); /* may move d->runs */
		run = &d->runs[at];
		run->mark = d->run_mark;
		run->silent = false;
		run->status = m->runs[i].status;
		run->failures = m->runs[i].failures;
		run->was_running |= run->status == RUN_RUNNING;
		set_reason(run, &m->runs[i].reason);
		judge(d, view, run);
	}
	hear_silence(d, view, agent, m);
	forget_unmarked(d, agent);
}

void driver__runs_forget(struct driver *d)
{
	for (uint32_t i = 0; i < d->run_count; i++)
		free(d->runs[i].reason);
	free(d->runs);
	d->runs = NULL;
	d->run_count = d->run_capacity = 0;
	d->run_free = UINT32_MAX;
	driver__map_fini(&d->run_map);
}

bool driver_run_status(const struct driver *d, const struct hash *program,
		       struct agent_run *out)
{
	uint32_t at = driver__map_find(&d->run_map, program);
	const struct driver_run *run;

	if (at == DRIVER_MAP_NONE)
		return false;
	run = &d->runs[at];
	if (run->silent)
		return false;
	*out = (struct agent_run){
		.program = run->program, .gen = run->gen, .epoch = run->epoch,
		.status = run->status, .failures = run->failures,
		.reason = { run->reason, run->reason_size } };
	return true;
}

/* --- R22 ------------------------------------------------------------------- */

static bool drain_one(struct driver *d, const struct fsm_program *p)
{
	static const char why[] = "its CRN is no longer linked";
	struct command revoke = { .type = FSM_REVOKE };

	revoke.revoke.program = p->hash;
	revoke.revoke.epoch = p->epoch;
	revoke.revoke.cause = REVOKE_DRAIN;
	revoke.revoke.reason = (struct text){ why, sizeof why - 1 };
	return driver__item_add(d, ITEM_REVOKE, &revoke) != NULL;
}

static uint32_t drain_crn(struct driver *d, const struct fsm_view *view,
			  slot_t crn, uint32_t max)
{
	slot_t at = fsm_crn_next_program(view, crn, SLOT_NONE);
	struct fsm_program p;
	uint32_t count = 0;

	for (; at != SLOT_NONE && count < max;
	     at = fsm_crn_next_program(view, crn, at)) {
		if (!fsm_program_read(view, at, &p) ||
		    p.state != PROGRAM_ASSIGNED)
			continue;
		if (!drain_one(d, &p))
			return max;
		count++;
	}
	return count;
}

/* What is on a CRN that is no longer linked leaves it. One that is silent is
 * left alone: nothing could be confirmed. */
void driver__drain(struct driver *d, const struct fsm_view *view)
{
	uint32_t count = 0;
	struct fsm_crn crn;

	for (struct driver_item *i = d->items.first; i != NULL; i = i->next)
		if (i->kind == ITEM_REVOKE)
			return; /* the last ones have not gone out yet */
	for (slot_t i = 0; i < fsm_crn_bound(view); i++)
		if (count < DRIVER_DRAINS_MAX && fsm_crn_read(view, i, &crn) &&
		    crn.alive && !crn.linked)
			count += drain_crn(d, view, i,
					   DRIVER_DRAINS_MAX - count);
}
