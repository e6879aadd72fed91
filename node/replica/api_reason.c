/* Why a program does not run, in words that say what would help. */
#include <stdarg.h>
#include <stdio.h>

#include "node/replica/api_internal.h"

struct words {
	char *text;
	size_t size, used;
};

static void say(struct words *s, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(struct words *s, const char *format, ...)
{
	va_list args;
	int length;

	if (s->used >= s->size)
		return;
	va_start(args, format);
	length = vsnprintf(s->text + s->used, s->size - s->used, format, args);
	va_end(args);
	if (length > 0)
		s->used += (size_t)length;
}

/* "CRN 1b97eabc8c50 (crn-2)" */
static void say_crn(struct words *s, const struct fsm_crn *crn)
{
	char hash[65];

	hash_text(&crn->hash, hash);
	say(s, "CRN %.12s", hash);
	if (crn->name.size)
		say(s, " (%.*s)", (int)crn->name.size, crn->name.data);
}

bool api_away(const struct fsm_program *p, const struct fsm_crn *crn)
{
	return !crn->alive || crn->session != p->session;
}

/* R23: silence is no proof; what is. */
static void say_held(struct words *s, const struct fsm_program *p,
		     const struct fsm_crn *crn)
{
	bool stops = p->state == PROGRAM_REVOKING;

	say(s, stops ? "being stopped on " : "held by ");
	say_crn(s, crn);
	if (crn->alive)
		say(s, ", whose earlier machine is gone: nothing proves that "
		       "it stopped there; ");
	else
		say(s, ", which is silent: nothing proves that it stopped; ");
	say(s, stops ? "it ends when " : "it goes on when ");
	say(s, crn->alive ? "that machine" : "the CRN");
	say(s, " is back, or when an operator confirms that the machine is "
	       "off");
}

static void say_run(struct words *s, const struct fsm_crn *crn,
		    const struct agent_run *run)
{
	say_crn(s, crn);
	if (!run)
		say(s, " was told to run it and has not said yet how it does");
	else if (run->status == RUN_PREPARING)
		say(s, " fetches and unpacks its code, runtime and volumes");
	else if (run->status == RUN_STARTING)
		say(s, " has started it and waits for it to answer");
	else
		say(s, " says that it is %s", run_status_name(run->status));
	if (run && run->failures)
		say(s, ", after %u failed starts", run->failures);
	if (run && run->reason.size)
		say(s, ": %.*s", (int)run->reason.size, run->reason.data);
}

const char *api_run_reason(const struct fsm_program *p,
			   const struct fsm_crn *crn,
			   const struct agent_run *run, char *text,
			   size_t size)
{
	struct words s = { text, size, 0 };

	if (p->state != PROGRAM_ASSIGNED || (run && run->status == RUN_RUNNING))
		return NULL;
	say_run(&s, crn, run);
	return run ? run_status_name(run->status) : "assigned";
}

const char *api_reason_name(enum place_reason reason)
{
	return reason == PLACE_OK ? "placing" : place_reason_name(reason);
}

bool api_reason(const struct fsm_view *view, const struct api *api, slot_t slot,
		const struct fsm_program *p, enum place_reason *reason,
		char *text, size_t size)
{
	struct place_verdict verdict = { 0 };
	struct words s = { text, size, 0 };
	struct fsm_crn crn;
	bool on_crn = (p->state == PROGRAM_ASSIGNED ||
		       p->state == PROGRAM_REVOKING) && p->crn != SLOT_NONE &&
		      fsm_crn_read(view, p->crn, &crn);

	if (on_crn && api_away(p, &crn)) {
		*reason = PLACE_HELD;
		say_held(&s, p, &crn);
		return true;
	}
	if (p->state == PROGRAM_ASSIGNED)
		return false;
	if (on_crn) {
		*reason = PLACE_REVOKING;
		say_crn(&s, &crn);
		say(&s, " was told to stop it and has not said yet that it did");
		return true;
	}
	place_choose(view, api->overlay, slot, &verdict);
	*reason = verdict.reason;
	if (verdict.reason == PLACE_OK) {
		say(&s, "a CRN is chosen, being committed");
		return true;
	}
	s.used = place_explain(view, slot, &verdict, text, size);
	if (verdict.reason == PLACE_LOST)
		say(&s, "; a CRN counts when it is back, or when an operator "
			"confirms that all its machines are off");
	return true;
}
