/* Compares the model's records with those of the shipped state. */
#include "tests/kit/slow_state.h"

#include <stdio.h>

#define DUE_MAX 256u

struct diff {
	char *message;
	size_t room, at;
	const char *kind, *name;
	bool same;
};

static void number(struct diff *d, const char *what, uint64_t expected,
		   uint64_t seen)
{
	if (expected == seen)
		return;
	d->same = false;
	if (d->at + 200 < d->room)
		d->at += (size_t)snprintf(d->message + d->at, d->room - d->at,
					  "%s %s: %s: expected %llu (%llx), "
					  "the state says %llu (%llx)\n",
					  d->kind, d->name, what,
					  (unsigned long long)expected,
					  (unsigned long long)expected,
					  (unsigned long long)seen,
					  (unsigned long long)seen);
}

static void name(struct diff *d, const char *what, const struct hash *expected,
		 const struct hash *seen)
{
	if (slow__same(expected, seen))
		return;
	d->same = false;
	if (d->at + 200 < d->room)
		d->at += (size_t)snprintf(d->message + d->at, d->room - d->at,
					  "%s %s: %s: expected %s, the state "
					  "says %s\n", d->kind, d->name, what,
					  slow_name(expected), slow_name(seen));
}

static void words(struct diff *d, const char *what,
		  const struct slow_text *expected, const struct text *seen)
{
	if (expected->size == seen->size &&
	    memcmp(expected->data, seen->data, seen->size) == 0)
		return;
	d->same = false;
	if (d->at + 800 < d->room)
		d->at += (size_t)snprintf(d->message + d->at, d->room - d->at,
					  "%s %s: %s: expected %.*s, the state "
					  "says %.*s\n", d->kind, d->name, what,
					  (int)expected->size, expected->data,
					  (int)seen->size, seen->data);
}

static void token_words(struct diff *d, const struct slow_tokens *expected,
			uint32_t count, const struct text *seen)
{
	number(d, "tokens", expected->count, count);
	for (uint32_t i = 0; i < count && i < expected->count; i++)
		words(d, "token", &expected->token[i], &seen[i]);
}

/* --- programs ------------------------------------------------------------ */

static void compare_wish(struct diff *d, const struct slow_wish *w,
			 const struct fsm_program *p)
{
	number(d, "source", w->source, p->source);
	number(d, "kind", w->kind, p->kind);
	number(d, "guarantee", w->guarantee, p->guarantee);
	number(d, "amendable", w->amendable, p->amendable);
	number(d, "has_data", w->has_data, p->has_data);
	number(d, "move_without_data", w->move_without_data,
	       p->move_without_data);
	number(d, "persistent", w->persistent, p->persistent);
	number(d, "has_replaces", w->has_replaces, p->has_replaces);
	number(d, "has_node_pin", w->has_node_pin, p->has_node_pin);
	if (w->has_replaces)
		name(d, "replaces", &w->replaces, &p->replaces);
	if (w->has_node_pin)
		name(d, "node_pin", &w->node_pin, &p->node_pin);
	number(d, "time", w->time_ms, p->time_ms);
	number(d, "code", w->code_revision, p->code_revision);
	number(d, "vcpus", w->vcpus, p->vcpus);
	number(d, "memory", w->memory_mib, p->memory_mib);
	number(d, "disk", w->disk_mib, p->disk_mib);
	words(d, "owner", &w->owner, &p->owner);
	words(d, "name", &w->name, &p->name);
	token_words(d, &w->tokens, p->token_count, p->tokens);
}

static void compare_program(struct diff *d, const struct slow *s,
			    const struct slow_program *m,
			    const struct fsm_program *p)
{
	const struct slow_crn *c = slow__crn((struct slow *)(uintptr_t)s,
					     &m->crn);

	number(d, "state", m->state, p->state);
	name(d, "crn", &m->crn, &p->crn_hash);
	number(d, "session", m->session, p->session);
	number(d, "epoch", m->epoch, p->epoch);
	number(d, "gen", m->gen, p->gen);
	number(d, "v_rev", m->v_rev, p->v_rev);
	number(d, "hold", m->hold, p->hold);
	if (slow__placed(m))
		name(d, "host", &m->host, &p->host);
	number(d, "orphan", slow__placed(m) && c && c->session != m->session,
	       p->orphan);
	number(d, "lost", m->lost, p->lost);
	number(d, "superseded", m->superseded, p->superseded);
	number(d, "waiting", m->waiting, p->waiting_for_replaced);
	number(d, "forgotten", m->forgotten, p->forgotten);
	/* One that waits and is FREE blocks nobody: of a chain of records that
	 * went, any name will do. */
	if (!m->waiting || m->state != PROGRAM_FREE)
		name(d, "lineage", &m->lineage, &p->lineage);
	number(d, "has_data_crn", m->has_data_crn, p->has_data_crn);
	name(d, "data_crn", &m->data_crn, &p->data_crn);
}

static void compare_exclusions(struct diff *d, const struct slow *s,
			       const struct slow_program *m,
			       const struct fsm_view *view, slot_t slot)
{
	struct fsm_exclusion list[SLOW_EXCLUSIONS];
	uint32_t count = fsm_program_exclusions(view, slot, list,
						SLOW_EXCLUSIONS);

	number(d, "exclusions", m->exclusion_count, count);
	for (uint32_t i = 0; i < count; i++) {
		struct fsm_crn crn;

		if (!fsm_crn_read(view, list[i].crn, &crn))
			continue;
		number(d, "excluded now", slow__excluded(s, m, &crn.hash),
		       list[i].now);
	}
}

static bool program_agrees(struct slow *s, const struct slow_program *m,
			   const struct fsm_view *view, char *message,
			   size_t room)
{
	slot_t slot = fsm_program_find(view, &m->hash);
	struct diff d = {message, room, 0, "program", slow_name(&m->hash),
			 true};
	struct fsm_program p;

	if (slot == SLOT_NONE || !fsm_program_read(view, slot, &p)) {
		snprintf(message, room, "program %s: expected, the state has "
			 "none\n", d.name);
		return false;
	}
	compare_program(&d, s, m, &p);
	compare_wish(&d, m->wish, &p);
	compare_exclusions(&d, s, m, view, slot);
	return d.same;
}

/* --- CRNs ---------------------------------------------------------------- */

static void compare_offer(struct diff *d, const struct slow *s,
			  const struct slow_crn *m, const struct fsm_crn *c)
{
	struct slow_use use = slow__use(s, m);

	number(d, "vcpus", m->vcpus, c->vcpus);
	number(d, "memory", m->memory_mib, c->memory_mib);
	number(d, "disk", m->disk_mib, c->disk_mib);
	number(d, "vcpus used", use.vcpus, c->vcpus_used);
	number(d, "memory used", use.memory_mib, c->memory_mib_used);
	number(d, "disk used", use.disk_mib, c->disk_mib_used);
	number(d, "programs", use.programs, c->program_count);
	words(d, "name", &m->name, &c->name);
	words(d, "owner", &m->owner, &c->owner);
	words(d, "url", &m->url, &c->url);
	token_words(d, &m->tokens, c->token_count, c->tokens);
}

static void compare_crn(struct diff *d, const struct slow_crn *m,
			const struct fsm_crn *c)
{
	number(d, "session", m->session, c->session);
	number(d, "alive", m->alive, c->alive);
	number(d, "established", m->established, c->established);
	number(d, "exp", m->exp_ms, c->exp_ms);
	number(d, "changed", m->changed, c->changed);
	number(d, "seq", m->seq_seen, c->seq_seen);
	number(d, "linked", m->linked, c->linked);
	number(d, "surveyed", m->surveyed, c->surveyed);
	number(d, "reported", m->reported, c->reported);
	number(d, "class", m->class, c->class);
	number(d, "watchdog", m->watchdog, c->watchdog);
	number(d, "k", m->k_ms, c->k_ms);
	if (!m->surveyed)
		number(d, "survey session", m->survey_session,
		       c->survey_session);
	name(d, "host", &m->host, &c->host);
	name(d, "boot", &m->boot, &c->boot);
	if (memcmp(m->nonce, c->nonce, 16) != 0)
		number(d, "nonce", m->nonce[0], c->nonce[0]);
}

static bool crn_agrees(struct slow *s, const struct slow_crn *m,
		       const struct fsm_view *view, char *message, size_t room)
{
	slot_t slot = fsm_crn_find(view, &m->hash);
	struct diff d = {message, room, 0, "crn", slow_name(&m->hash), true};
	struct fsm_crn c;

	if (slot == SLOT_NONE || !fsm_crn_read(view, slot, &c)) {
		snprintf(message, room, "crn %s: expected, the state has "
			 "none\n", d.name);
		return false;
	}
	compare_crn(&d, m, &c);
	compare_offer(&d, s, m, &c);
	return d.same;
}

/* --- all of it ----------------------------------------------------------- */

static bool status_agrees(const struct slow *s, const struct fsm_view *view,
			  char *message, size_t room)
{
	struct diff d = {message, room, 0, "state", "", true};
	struct fsm_status status;
	uint32_t unsurveyed = 0;

	for (uint32_t i = 0; i < s->crn_count; i++)
		unsurveyed += !s->crns[i].surveyed;
	fsm_status(view, &status);
	number(&d, "index", s->index, status.index);
	number(&d, "C", s->c_ms, status.c_ms);
	number(&d, "term", s->term, status.term);
	number(&d, "leader", s->leader, status.leader);
	number(&d, "gen", s->gen, status.gen);
	number(&d, "quar_until", s->quar_until_ms, status.quar_until_ms);
	number(&d, "configured", s->configured, status.configured);
	number(&d, "programs", s->program_count, status.program_count);
	number(&d, "crns", s->crn_count, status.crn_count);
	number(&d, "unsurveyed", unsurveyed, status.unsurveyed_count);
	if (memcmp(&s->config, &status.config, sizeof s->config) != 0)
		number(&d, "config, ttl_s", s->config.ttl_s_ms,
		       status.config.ttl_s_ms);
	return d.same;
}

static bool sets_agree(struct slow *s, const struct fsm_view *view,
		       char *message, size_t room)
{
	struct diff d = {message, room, 0, "set of", "", true};
	slot_t slots[DUE_MAX];
	uint32_t due = 0;

	for (uint32_t i = 0; i < s->crn_count; i++) {
		const struct slow_crn *c = &s->crns[i];
		slot_t slot = fsm_crn_find(view, &c->hash);
		uint32_t desired = 0, kept = 0;

		for (uint32_t j = 0; j < s->program_count; j++) {
			const struct slow_program *p = &s->programs[j];

			if (!slow__on(p, c) || p->session != c->session)
				continue;
			kept++;
			desired += p->state == PROGRAM_ASSIGNED;
		}
		due += c->alive && c->exp_ms <= s->c_ms;
		d.name = slow_name(&c->hash);
		number(&d, "desired", desired, fsm_desired(view, slot, NULL, 0));
		number(&d, "kept", kept, fsm_kept(view, slot, NULL, 0));
	}
	d.name = "all";
	number(&d, "due", due < DUE_MAX ? due : DUE_MAX,
	       fsm_due(view, slots, DUE_MAX));
	return d.same;
}

bool slow__records_agree(struct slow *s, const struct fsm_view *view,
			 enum slow_depth depth, char *message, size_t room)
{
	bool same = status_agrees(s, view, message, room);
	bool all = depth == SLOW_ALL || !same;
	size_t at = strlen(message);

	message += at;
	room -= at;
	for (uint32_t i = 0; i < s->program_count; i++)
		if ((all || s->programs[i].touched) &&
		    !program_agrees(s, &s->programs[i], view, message, room))
			return false;
	for (uint32_t i = 0; i < s->crn_count; i++)
		if ((all || s->crns[i].touched) &&
		    !crn_agrees(s, &s->crns[i], view, message, room))
			return false;
	return same && (!all || sets_agree(s, view, message, room));
}
