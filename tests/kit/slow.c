#include "tests/kit/slow_state.h"
#include "tests/kit/slow_read.h"

#include <stdio.h>
#include <stdlib.h>

/* --- small things -------------------------------------------------------- */

bool slow__same(const struct hash *a, const struct hash *b)
{
	uint64_t x[4], y[4];

	memcpy(x, a->bytes, sizeof x);
	memcpy(y, b->bytes, sizeof y);
	return x[3] == y[3] && x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

struct slow_text slow__text(const struct text *text)
{
	struct slow_text out = {0};

	REQUIRE(text->size <= sizeof out.data);
	out.size = text->size;
	if (text->size)
		memcpy(out.data, text->data, text->size);
	return out;
}

bool slow__text_is(const struct slow_text *a, const struct slow_text *b)
{
	return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

void slow__tokens(struct slow_tokens *out, uint32_t count,
		  const struct text *tokens)
{
	REQUIRE(count <= FSM_TOKENS_MAX);
	out->count = count;
	for (uint32_t i = 0; i < count; i++)
		out->token[i] = slow__text(&tokens[i]);
}

bool slow__tokens_are(const struct slow_tokens *a, const struct slow_tokens *b)
{
	if (a->count != b->count)
		return false;
	for (uint32_t i = 0; i < a->count; i++)
		if (!slow__text_is(&a->token[i], &b->token[i]))
			return false;
	return true;
}

struct slow_program *slow__program(struct slow *s, const struct hash *hash)
{
	for (uint32_t i = 0; i < s->program_count; i++)
		if (slow__same(&s->programs[i].hash, hash))
			return &s->programs[i];
	return NULL;
}

struct slow_crn *slow__crn(struct slow *s, const struct hash *hash)
{
	for (uint32_t i = 0; i < s->crn_count; i++)
		if (slow__same(&s->crns[i].hash, hash))
			return &s->crns[i];
	return NULL;
}

bool slow__placed(const struct slow_program *p)
{
	return p->state == PROGRAM_ASSIGNED || p->state == PROGRAM_REVOKING;
}

bool slow__on(const struct slow_program *p, const struct slow_crn *c)
{
	return slow__placed(p) && slow__same(&p->crn, &c->hash);
}

bool slow__survey_due(const struct slow *s)
{
	for (uint32_t i = 0; i < s->crn_count; i++)
		if (!s->crns[i].surveyed)
			return true;
	return false;
}

/* --- one command --------------------------------------------------------- */

/* R3: a term begins once, with its Lead. */
static enum fsm_refusal lead(struct slow *s, const struct command_lead *m,
			     uint64_t term)
{
	if (m->term != term)
		return FSM_REFUSED_MALFORMED;
	if (m->term <= s->term)
		return FSM_REFUSED_TERM;
	s->term = m->term;
	s->leader = m->leader;
	return FSM_OK;
}

static enum fsm_refusal obey(struct slow *s, const struct command *c,
			     uint64_t term)
{
	switch (c->type) {
	case FSM_LEAD:
		return lead(s, &c->lead, term);
	case FSM_BEAT:
		return slow__beat(s, &c->beat);
	case FSM_REGISTER:
		return slow__register(s, &c->reg);
	case FSM_CRN_REPORT:
		return slow__report(s, &c->report);
	case FSM_EXPIRE:
		return slow__expire(s, &c->expire);
	case FSM_ASSIGN:
		return slow__assign(s, &c->assign);
	case FSM_REVOKE:
		return slow__revoke_command(s, &c->revoke);
	case FSM_FENCE_CONFIRM:
		return slow__fence_confirm(s, &c->fence_confirm);
	case FSM_NEW_GEN:
		return slow__new_gen(s, &c->new_gen);
	case FSM_CONFIG:
		return slow__config(s, &c->config);
	case FSM_PROGRAM_PUT:
		return slow__put(s, &c->program_put);
	case FSM_PROGRAM_FORGET:
		return slow__forget(s, &c->program_forget);
	case FSM_CRN_PUT:
		return slow__crn_put(s, &c->crn_put);
	case FSM_CRN_REMOVE:
		return slow__crn_remove(s, &c->crn_remove);
	}
	NEVER("a type without a rule");
}

static const struct slow_request *remembered(const struct slow *s,
					     const uint8_t id[16])
{
	uint64_t count = s->request_count < SLOW_REQUESTS ? s->request_count
							  : SLOW_REQUESTS;

	for (uint64_t i = 0; i < count; i++)
		if (memcmp(s->requests[i].id, id, 16) == 0)
			return &s->requests[i];
	return NULL;
}

static void remember(struct slow *s, const uint8_t id[16],
		     const struct slow_verdict *verdict)
{
	struct slow_request *r =
		&s->requests[s->request_count++ % SLOW_REQUESTS];

	memcpy(r->id, id, 16);
	r->refusal = verdict->refusal;
	r->stamp = verdict->stamp;
}

/* The very first command configures; every other is of the current term. */
static enum fsm_refusal admitted(const struct slow *s, const struct command *c,
				 uint64_t term)
{
	if (!s->configured)
		return c->type == FSM_CONFIG ? FSM_OK : FSM_REFUSED_STATE;
	if (c->type == FSM_LEAD)
		return FSM_OK;
	return term == s->term ? FSM_OK : FSM_REFUSED_TERM;
}

/* The nonce of a live session names that session. */
static stamp_t stamp_of(struct slow *s, const struct command *c,
			enum fsm_refusal refusal)
{
	if (c->type == FSM_REGISTER && refusal == FSM_DUPLICATE)
		return slow__crn(s, &c->reg.crn)->session;
	return s->stamp;
}

static struct slow_verdict decide(struct slow *s, const struct command *c,
				  uint64_t term)
{
	static const uint8_t none[16];
	bool asked = memcmp(c->request, none, 16) != 0;
	struct slow_verdict v = {admitted(s, c, term), s->stamp, false};
	const struct slow_request *first;

	if (v.refusal != FSM_OK)
		return v;
	first = asked ? remembered(s, c->request) : NULL;
	if (first) {
		v.refusal = first->refusal == FSM_OK ? FSM_DUPLICATE
						     : first->refusal;
		v.stamp = first->stamp;
		v.again = true;
		return v;
	}
	v.refusal = obey(s, c, term);
	v.stamp = stamp_of(s, c, v.refusal);
	slow__sweep(s);
	if (asked && v.refusal != FSM_REFUSED_TERM)
		remember(s, c->request, &v);
	return v;
}

/* --- entries ------------------------------------------------------------- */

void slow_heard(void *slow, const struct fsm_result *result)
{
	struct slow *s = slow;

	if (s->heard_count == s->heard_room) {
		s->heard_room = s->heard_room * 2 + 64;
		s->heard = realloc(s->heard, s->heard_room * sizeof *s->heard);
		REQUIRE(s->heard);
	}
	s->heard[s->heard_count++] = *result;
}

static bool agrees(struct slow *s, const struct command *c, uint32_t position,
		   const struct slow_verdict *v, char *message, size_t room)
{
	const struct fsm_result *heard = &s->heard[position];
	char words[600];

	if (position >= s->heard_count) {
		snprintf(message, room, "only %u answers", s->heard_count);
		return false;
	}
	if (heard->refusal == v->refusal && heard->stamp == v->stamp &&
	    heard->type == c->type && heard->position == position &&
	    memcmp(heard->request, c->request, 16) == 0)
		return true;
	slow_words(c, words, sizeof words);
	snprintf(message, room, "%s: expected %s (stamp %llx), the state says "
		 "%s (stamp %llx)", words, fsm_refusal_name(v->refusal),
		 (unsigned long long)v->stamp,
		 fsm_refusal_name(heard->refusal),
		 (unsigned long long)heard->stamp);
	return false;
}

/* Without a message to write to nothing is compared. */
static bool obey_all(struct slow *s, struct slow_reader *reader,
		     char *message, size_t room)
{
	struct command c;
	uint32_t position = 0;
	bool ok = true;

	for (; ok && slow_read_next(reader, &c); position++) {
		struct slow_verdict v;

		s->stamp = stamp_make(s->index, position);
		v = decide(s, &c, reader->term);
		s->reached[v.again ? 0 : c.type][v.refusal]++;
		ok = !message || agrees(s, &c, position, &v, message, room);
	}
	if (ok && message && position != s->heard_count) {
		snprintf(message, room, "%u commands, %u answers", position,
			 s->heard_count);
		return false;
	}
	return ok;
}

static void say_last(struct slow *s, const void *data, size_t size,
		     char *message, size_t room)
{
	struct slow_reader reader;
	struct command c;
	size_t at = strlen(message);

	slow_read_open(&reader, data, size);
	at += (size_t)snprintf(message + at, room - at, "\n  entry %llu, term "
			       "%llu:", (unsigned long long)s->index,
			       (unsigned long long)reader.term);
	while (at + 700 < room && slow_read_next(&reader, &c)) {
		char words[600];

		slow_words(&c, words, sizeof words);
		at += (size_t)snprintf(message + at, room - at, "\n    %s",
				       words);
	}
	slow_read_close(&reader);
}

static bool apply(struct slow *s, uint64_t index, const void *data, size_t size,
		  char *message, size_t room)
{
	struct slow_reader reader;
	bool ok;

	s->index = index;
	s->entries++;
	slow_read_open(&reader, data, size);
	ok = obey_all(s, &reader, message, room);
	slow_read_close(&reader);
	s->heard_count = 0;
	return ok;
}

void slow_replay(struct slow *slow, uint64_t index, const void *data,
		 size_t size)
{
	(void)apply(slow, index, data, size, NULL, 0);
}

bool slow_entry(struct slow *s, uint64_t index, const void *data, size_t size,
		const struct fsm_view *view, enum slow_depth depth,
		char *message, size_t room)
{
	bool ok;

	for (uint32_t i = 0; i < s->program_count; i++)
		s->programs[i].touched = false;
	for (uint32_t i = 0; i < s->crn_count; i++)
		s->crns[i].touched = false;
	message[0] = '\0';
	ok = apply(s, index, data, size, message, room);
	ok = ok && slow__records_agree(s, view, depth, message, room);
	if (!ok)
		say_last(s, data, size, message, room);
	return ok;
}

uint64_t slow_reached(const struct slow *slow, uint32_t type,
		      enum fsm_refusal refusal)
{
	return slow->reached[type][refusal];
}

struct slow *slow_open(void)
{
	struct slow *s = calloc(1, sizeof *s);

	REQUIRE(s);
	return s;
}

void slow_close(struct slow *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->program_count; i++)
		free(s->programs[i].wish);
	free(s->programs);
	free(s->crns);
	free(s->heard);
	free(s);
}
