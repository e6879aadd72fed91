/* The story of a world, a line an event, with the real time and C as it was
 * then; and of a violation what a reader wants first: why it is one, how those
 * whom it concerns stand in the state and in truth, and what they did last. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/whole/oracle.h"

#define THEIRS 40u /* lines of those concerned */
#define LATEST 12u /* lines of anybody */

void story(struct world *world, const char *format, ...)
{
	struct story_line *line =
		&world->story[world->story_at++ % STORY_LINES];
	va_list args;

	line->at_us = world->now_us;
	line->c_ms = world->oracle ? world->oracle->c_ms : 0;
	va_start(args, format);
	vsnprintf(line->text, sizeof line->text, format, args);
	va_end(args);
	if (world->talk)
		printf("%10.3f s  C %9.3f  %s\n", (double)line->at_us / 1e6,
		       (double)line->c_ms / 1e3, line->text);
}

void world_fail(struct world *world, const char *format, ...)
{
	va_list args;

	if (world->violation[0])
		return;
	va_start(args, format);
	vsnprintf(world->violation, sizeof world->violation, format, args);
	va_end(args);
	story(world, "VIOLATION: %.150s", world->violation);
}

/* --- what the log says, in words ------------------------------------------------- */

static uint32_t crn_of(const struct hash *hash)
{
	uint32_t number;

	memcpy(&number, hash->bytes + 28, sizeof number);
	return number;
}

static void program_effect(struct world *world, const struct fsm_effect *e,
			   const char *what)
{
	story(world, "committed: program %u %s crn %u; epoch %" PRIu64
	      ", generation %" PRIu64 "%s%.*s", program_number(world,
	      &e->program), what, crn_of(&e->crn), e->epoch >> 16, e->gen,
	      e->reason.size ? ": " : "", (int)e->reason.size, e->reason.data);
}

static void crn_effect(struct world *world, const struct fsm_effect *e,
		       const char *what)
{
	story(world, "committed: crn %u, session %" PRIu64 ": %s",
	      crn_of(&e->crn), e->session >> 16, what);
}

void story_effect(struct world *world, const struct fsm_effect *e)
{
	static const char *const programs[] = {
		[EFFECT_ASSIGNED] = "is given to",
		[EFFECT_REVOKING] = "shall stop on",
		[EFFECT_FREED] = "is free again and may go elsewhere, off",
		[EFFECT_HELD] = "stays, for it is held, though its lease is "
				"over, with",
		[EFFECT_ADOPTED] = "goes on in the new session of",
		[EFFECT_LOST] = "is lost, nobody knows where it runs, last on",
	};
	static const char *const crns[] = {
		[EFFECT_CRN_REGISTERED] = "begins",
		[EFFECT_CRN_EXPIRED] = "C is past its lease, it is over",
		[EFFECT_CRN_FENCE_CONFIRMED] =
			"an operator says that its machine was seen off",
		[EFFECT_CRN_REMOVED] = "the record is removed",
	};

	if (e->type < COUNT_OF(programs) && programs[e->type])
		program_effect(world, e, programs[e->type]);
	else if (e->type < COUNT_OF(crns) && crns[e->type])
		crn_effect(world, e, crns[e->type]);
}

/* --- whom it concerns --------------------------------------------------------------- */

enum { PROGRAM, CRN, REPLICA, KINDS };
static const char *const kinds[KINDS] = { "program ", "crn ", "replica " };
#define NAMED_MAX 16u

struct named {
	uint32_t count[KINDS], number[KINDS][NAMED_MAX];
};

static bool knows(const struct named *named, uint32_t kind, uint32_t number)
{
	for (uint32_t i = 0; i < named->count[kind]; i++)
		if (named->number[kind][i] == number)
			return true;
	return false;
}

static void names(const char *text, struct named *out)
{
	memset(out, 0, sizeof *out);
	for (uint32_t kind = 0; kind < KINDS; kind++) {
		const char *at = text;

		while ((at = strstr(at, kinds[kind])) != NULL) {
			at += strlen(kinds[kind]);
			if (!isdigit((unsigned char)*at) ||
			    out->count[kind] == NAMED_MAX)
				continue;
			out->number[kind][out->count[kind]++] =
				(uint32_t)strtoul(at, NULL, 10);
		}
	}
}

static bool shares(const struct named *a, const struct named *b, uint32_t kind)
{
	for (uint32_t i = 0; i < b->count[kind]; i++)
		if (knows(a, kind, b->number[kind][i]))
			return true;
	return false;
}

/* A CRN's line about another program than those is not theirs. */
static bool theirs(const struct named *concerned, const char *text)
{
	struct named line;

	names(text, &line);
	if (strstr(text, "leads, term") || strstr(text, "DISASTER") ||
	    strstr(text, "generation begins") || strstr(text, "is healed") ||
	    strstr(text, "VIOLATION"))
		return true;
	if (shares(concerned, &line, PROGRAM) ||
	    shares(concerned, &line, REPLICA))
		return true;
	return shares(concerned, &line, CRN) &&
	       (!line.count[PROGRAM] || !concerned->count[PROGRAM]);
}

/* --- how they stand ------------------------------------------------------------------- */

static void program_stands(struct world *world, uint32_t number)
{
	static const char *const states[] = { "free", "assigned", "revoking",
					      "lost" };
	const struct fsm_view *view = oracle_view(world);
	struct fsm_program p;
	slot_t slot;

	if (number >= world->program_count)
		return;
	slot = fsm_program_find(view, &world->programs[number].hash);
	printf("    program %u (%s, lineage of program %u): ", number,
	       world->programs[number].hold ? "exclusive-hold" : "exclusive",
	       world->programs[number].root);
	if (slot == SLOT_NONE || !fsm_program_read(view, slot, &p))
		printf("the state does not know it\n");
	else if (p.state == PROGRAM_FREE)
		printf("the state has it free%s%s, last epoch %" PRIu64 "\n",
		       p.superseded ? ", superseded" : "",
		       p.forgotten ? ", forgotten" : "", p.epoch >> 16);
	else
		printf("the state has it %s on crn %u, session %" PRIu64
		       ", epoch %" PRIu64 ", generation %" PRIu64 "%s\n",
		       (uint32_t)p.state < COUNT_OF(states) ?
			       states[p.state] : "?",
		       crn_of(&p.crn_hash), p.session >> 16, p.epoch >> 16,
		       p.gen, p.orphan ? ", an orphan" : "");
}

static void machine_stands(const struct host *host)
{
	const struct tenure *t = &host->fencer.tenure;
	const char *comma = " ";

	printf("      machine %u: %s, clock %+d ppm, ", host->number,
	       host->gone ? "gone" : host->on ? "on" : "off", host->clock.ppm);
	if (!host->fencer_up)
		printf("no fencer");
	else if (t->session == 0)
		printf("no session");
	else
		printf("in session %" PRIu64 " of generation %" PRIu64
		       ", lease %s %.3f s of its clock", t->session >> 16,
		       t->gen, lease_valid(host) ? "for" : "over, by",
		       ((double)t->deadline_ms - (double)host_ms(host)) / 1e3);
	printf("; executes");
	for (uint32_t i = 0; i < RUNS_MAX; i++)
		if (executing(&host->live[i])) {
			printf("%sprogram %u (epoch %" PRIu64 "%s)", comma,
			       host->live[i].program,
			       host->live[i].epoch >> 16,
			       host->live[i].hold ? ", held" : "");
			comma = ", ";
		}
	printf("%s\n", *comma == ' ' ? " nothing" : "");
}

static void crn_stands(struct world *world, uint32_t number)
{
	const struct fsm_view *view = oracle_view(world);
	struct fsm_crn c;
	slot_t slot;

	if (number >= world->options.crns)
		return;
	slot = fsm_crn_find(view, &world->crns[number]);
	printf("    crn %u: ", number);
	if (slot == SLOT_NONE || !fsm_crn_read(view, slot, &c))
		printf("the state does not know it\n");
	else
		printf("the state has it in session %" PRIu64 ", %s, its lease "
		       "until C = %.3f s\n", c.session >> 16,
		       c.alive ? "alive" : "not alive", (double)c.exp_ms / 1e3);
	for (uint32_t i = 0; i < world->host_count; i++)
		if (world->hosts[i]->crn == number)
			machine_stands(world->hosts[i]);
}

static void replica_stands(const struct world *world, uint32_t id)
{
	const struct node *node = &world->nodes[id - 1];

	if (id == 0 || id > world->node_count)
		return;
	printf("    replica %u: %s%s, applied %" PRIu64 ", term %" PRIu64
	       ", believes that replica %" PRIu64 " leads\n", id,
	       node->alive ? "alive" : "not alive",
	       node->lost ? ", its disk was lost" : "", node->applied,
	       node->term, node->leader);
}

/* --- why ----------------------------------------------------------------------------- */

static const char *why(const char *violation)
{
	static const char *const table[][2] = {
		{ "I1", "two machines execute one program (or one lineage) at "
			"the same instant" },
		{ "I2", "free means that it may be started elsewhere; here it "
			"may still execute, or be started, on the machine that "
			"is named" },
		{ "I3", "the machine may start programs by its lease, and the "
			"state takes that session for dead: what it runs can "
			"be given to others" },
		{ "I4", "the lease may end in the state before the machine's "
			"programs are surely dead" },
		{ "I5", "C ran faster than real time may (1 + rho): leases end "
			"early" },
		{ "I6", "epochs, sessions and versions only rise" },
		{ "I8", "replicas with the same log have the same state" },
		{ "capacity", "what runs on a CRN is never more than it has" },
		{ "K:", "K is what the machine promised for a kill" },
		{ "R17", "after a restore nothing of an older generation may "
			 "execute unseen" },
		{ "R18", "who lost its disk may vote twice or forget what it "
			 "acknowledged" },
		{ "H38", "a leader's jump of time is clamped to dt_max" },
		{ "the slow", "a plain model of the state machine says "
			      "otherwise" },
		{ "request", "an acknowledged command is applied exactly once, "
			     "with the result that was told" },
	};

	for (uint32_t i = 0; i < COUNT_OF(table); i++)
		if (strncmp(violation, table[i][0], strlen(table[i][0])) == 0)
			return table[i][1];
	if (strstr(violation, "after the heal"))
		return "with everything healed each program that fits runs, "
		       "once, in bounded time";
	return "this must not be, whatever happened";
}

/* --- the page -------------------------------------------------------------------------- */

static void line_print(const struct story_line *line)
{
	printf("    %10.3f  %9.3f  %s\n", (double)line->at_us / 1e6,
	       (double)line->c_ms / 1e3, line->text);
}

/* The last `most` lines that concern them, or anybody. */
static void lines(const struct world *world, const struct named *concerned,
		  uint32_t most)
{
	uint32_t low = world->story_at < STORY_LINES ?
			       0 : world->story_at - STORY_LINES;
	uint32_t first = world->story_at, count = 0;

	while (first > low && count < most) {
		first--;
		count += !concerned ||
			 theirs(concerned,
				world->story[first % STORY_LINES].text);
	}
	for (uint32_t i = first; i < world->story_at; i++)
		if (!concerned ||
		    theirs(concerned, world->story[i % STORY_LINES].text))
			line_print(&world->story[i % STORY_LINES]);
}

void story_print(struct world *world)
{
	struct named concerned;

	names(world->violation, &concerned);
	if (world->violation[0])
		printf("  why it matters: %s\n", why(world->violation));
	printf("  how they stand, C is %.3f s:\n",
	       (double)world->oracle->c_ms / 1e3);
	for (uint32_t i = 0; i < concerned.count[PROGRAM]; i++)
		program_stands(world, concerned.number[PROGRAM][i]);
	for (uint32_t i = 0; i < concerned.count[CRN]; i++)
		crn_stands(world, concerned.number[CRN][i]);
	for (uint32_t i = 0; i < concerned.count[REPLICA]; i++)
		replica_stands(world, concerned.number[REPLICA][i]);
	printf("  what they did last (real time, C):\n");
	lines(world, &concerned, THEIRS);
	printf("  what everybody did last:\n");
	lines(world, NULL, LATEST);
}
