/* What people do after a restore: the messages of the lost tail come again from
 * the network, what was not wanted is forgotten again, and a CRN whose machine
 * is gone is surveyed by hand: all its machines are seen off. */
#include <stdio.h>

#include "tests/sim/whole/oracle.h"

#define AGAIN_US 20000000u
#define PATIENCE_US 15000000u

static void remember(struct world *world, uint32_t number)
{
	const struct fsm_view *view = oracle_view(world);
	struct program *p = &world->programs[number];
	slot_t slot = fsm_program_find(view, &p->hash);
	struct fsm_program program;
	bool known = slot != SLOT_NONE &&
		     fsm_program_read(view, slot, &program);

	if (p->asked_us > world->now_us)
		return;
	if (!known && !p->forgotten)
		put_program(world, number);
	else if (known && !program.forgotten && p->forgotten && p->put)
		forget_program(world, number);
	else
		return;
	p->asked_us = world->now_us + AGAIN_US;
}

/* One that was found running before its message came again has a record that
 * is on its way out: later. */
void people_remember(struct world *world)
{
	for (uint32_t i = 0; i < world->program_count; i++)
		remember(world, i);
}

/* Every machine that ever had this identity is off now. */
static void see_off(struct world *world, uint32_t crn)
{
	for (uint32_t i = 0; i < world->host_count; i++)
		if (world->hosts[i]->crn == crn)
			host_off(world->hosts[i], "an operator sees it off");
}

static void attest(struct world *world, uint32_t crn, uint64_t gen,
		   stamp_t session)
{
	struct command command = { .type = FSM_FENCE_CONFIRM };
	char what[80];

	see_off(world, crn);
	command.fence_confirm.gen = gen;
	command.fence_confirm.crn = world->crns[crn];
	command.fence_confirm.session = session;
	command.fence_confirm.all_machines = true;
	command.fence_confirm.who = (struct text){ "operator", 8 };
	snprintf(what, sizeof what, "all machines of crn %u were seen off, "
		 "session %" PRIu64, crn, session >> 16);
	world->totals.surveys++;
	request_new(world, &command, what);
}

/* After the heal only those that had their time to register; before it any, as
 * some replica shows it. */
void survey_by_hand(struct world *world)
{
	const struct fsm_view *view = world->healed ? oracle_view(world) :
						      some_view(world);
	uint32_t first = (uint32_t)chance_below(&world->chance,
						world->options.crns);
	struct fsm_status status;
	struct fsm_crn crn;

	if (!view)
		return;
	fsm_status(view, &status);
	if (status.gen != world->gen || status.unsurveyed_count == 0)
		return;
	for (uint32_t i = 0; i < world->options.crns; i++) {
		uint32_t number = (first + i) % world->options.crns;
		slot_t slot = fsm_crn_find(view, &world->crns[number]);

		if (slot == SLOT_NONE || !fsm_crn_read(view, slot, &crn) ||
		    crn.surveyed || world->attested_us[number] > world->now_us)
			continue;
		world->attested_us[number] = world->now_us + PATIENCE_US;
		/* Now and then of another session: that surveys nothing. */
		attest(world, number, status.gen,
		       !world->healed && chance_percent(&world->chance, 15) ?
			       crn.session : crn.survey_session);
		if (!world->healed)
			return;
	}
}
