/* A machine: its power, its clock, what runs on it. Its fencer is the shipped
 * one, over kernel.c; launchers and inits do here what launcher*.c has them do,
 * at the same points and in the same order. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/whole/kernel.h"
#include "tests/sim/whole/oracle.h"
#include "tests/sim/whole/weather.h"

#define GRACE_MS 10500u

uint64_t host_us(const struct host *host)
{
	return host->world->now_us + host->stall_us;
}

uint64_t host_ms(const struct host *host)
{
	return drifting_ms(&host->clock, host_us(host));
}

const char *host_name(const struct host *host)
{
	static char names[4][40];
	static uint32_t at;
	char *name = names[at++ % 4];

	snprintf(name, sizeof names[0], "crn %u (machine %u)", host->crn,
		 host->number);
	return name;
}

bool fencer_ready(const struct host *host)
{
	return host->on && host->fencer_up &&
	       host->fencer_paused_us <= host->world->now_us;
}

bool lease_valid(const struct host *host)
{
	return host->on && host->fencer_up && host->fencer.tenure.session != 0 &&
	       host_ms(host) < host->fencer.tenure.deadline_ms;
}

bool host_may_start(const struct host *host, const struct hash *program,
		    uint64_t gen, stamp_t epoch)
{
	if (!lease_valid(host) || !host->fencer.tenure.set_taken)
		return false;
	for (uint32_t i = 0; i < host->fencer.tenure.desired_count; i++) {
		const struct desired_row *row = &host->fencer.tenure.desired[i];

		if (row->epoch == epoch && row->gen == gen &&
		    hash_equal(&row->program, program))
			return true;
	}
	return false;
}

/* --- processes ------------------------------------------------------------------- */

void run_event(struct host *host, uint32_t slot, uint32_t what,
	       uint64_t at_us)
{
	struct event event = { .kind = EVENT_RUN, .to = host->number,
			       .life = host->life, .a = slot,
			       .b = host->live[slot].token, .x = what,
			       .at_us = at_us };

	event_push(host->world, &event);
}

/* A death takes up to K; nobody sees it at once, and the launcher may be gone
 * before what it watched. */
void run_kill(struct host *host, uint32_t slot)
{
	struct world *world = host->world;
	struct live *live = &host->live[slot];
	uint64_t k_us = host->k_ms * 1000ull - 1000, us;

	if (live->state == LIVE_NONE || live->state == LIVE_DEAD || live->dying)
		return;
	if (world->options.mutation == MUTATE_LET_GO &&
	    live->state == LIVE_PREPARED) {
		live->ghost = live->launcher_dead = host->happened = true;
		return;
	}
	live->dying = true;
	us = chance_percent(&world->chance, 70) ?
		     chance_below(&world->chance, 30000) :
	     chance_percent(&world->chance, 50) ?
		     chance_below(&world->chance, k_us) : k_us;
	if (world->options.mutation == MUTATE_SLOW_KILL)
		us = us * 5 / 2;
	if (live->far)
		us = us * 6 / 10; /* the fencer counts K on its own clock */
	if (chance_percent(&world->chance, 50))
		run_event(host, slot, RUN_LAUNCHER_DEAD,
			  host_us(host) + chance_below(&world->chance, us + 1));
	run_event(host, slot, RUN_IS_DEAD, host_us(host) + us);
}

/* Politely; many a program does not listen. */
void run_stop(struct host *host, uint32_t slot)
{
	struct world *world = host->world;

	if (chance_percent(&world->chance, 70))
		run_event(host, slot, RUN_IS_DEAD,
			  host_us(host) + chance_below(&world->chance,
						       GRACE_MS * 250));
	else
		faults_count(world, FAULT_STOP);
}

static void fencer_sees(struct host *host)
{
	host->happened = true;
	if (fencer_ready(host))
		fencer_wake(host);
}

static void run_ended(struct host *host, uint32_t slot)
{
	struct live *live = &host->live[slot];

	if (executing(live))
		oracle_ends(host, live);
	live->state = LIVE_DEAD;
	if (!live->launcher_dead)
		run_event(host, slot, RUN_LAUNCHER_DEAD,
			  host->world->now_us +
				  chance_below(&host->world->chance, 2000));
	fencer_sees(host);
}

static void failed(struct host *host, uint32_t slot)
{
	const struct live *live = &host->live[slot];
	const struct hash *program = &host->world->programs[live->program].hash;

	for (uint32_t i = 0; i < host->attempt_count; i++)
		if (host->attempts[i].epoch == live->epoch &&
		    hash_equal(&host->attempts[i].program, program))
			host->attempts[i].failures++;
	faults_count(host->world, FAULT_START);
	run_ended(host, slot);
}

/* --- launchers ---------------------------------------------------------------------- */

static uint64_t page_ms(const struct host *host)
{
	return host->page.deadline_ns / 1000000;
}

static void deadline_watch(struct host *host)
{
	struct event event = { .kind = EVENT_DEADLINE, .to = host->number,
			       .life = host->life };

	event.at_us = drifting_when(&host->clock, host->armed_ms);
	if (event.at_us >= host->deadline_event_us)
		return;
	host->deadline_event_us = event.at_us;
	event_push(host->world, &event);
}

/* Launchers look at the page well before their timers expire. */
void host_armed(struct host *host)
{
	uint64_t ms = page_ms(host);

	if (ms == host->armed_ms || ms <= host_ms(host))
		return;
	host->armed_ms = ms;
	deadline_watch(host);
}

/* The page's deadline: every launcher's own timer, and then the fencer's. */
void host_deadline(struct host *host)
{
	host->deadline_event_us = NEVER_US;
	if (host->armed_ms == 0)
		return;
	if (page_ms(host) > host_ms(host))
		host->armed_ms = page_ms(host);
	if (host->armed_ms > host_ms(host)) {
		deadline_watch(host);
		return;
	}
	host->armed_ms = 0;
	if (host->live_count)
		story(host->world, "the launchers of %s are at the deadline",
		      host_name(host));
	if (host->world->options.mutation != MUTATE_NO_TIMER)
		for (uint32_t i = 0; i < RUNS_MAX && host->live_count; i++)
			if (!host->live[i].hold && !host->live[i].orphan)
				run_kill(host, i);
	if (fencer_ready(host) && host->timer_ms &&
	    host->timer_ms <= host_ms(host))
		fencer_wake(host);
}

/* Of a launcher whose fencer is no more: its page does not change again. */
static void orphan_timer(struct host *host, uint32_t slot)
{
	struct live *live = &host->live[slot];
	struct world *world = host->world;
	uint64_t at_us;

	if (world->options.mutation == MUTATE_NO_TIMER)
		return;
	if (host_ms(host) >= live->timer_ms) {
		run_kill(host, slot);
		return;
	}
	/* Its rate may change: looked at in time. */
	at_us = drifting_when(&host->clock, live->timer_ms);
	if (at_us > world->now_us + 200000)
		at_us = world->now_us + 200000;
	run_event(host, slot, RUN_TIMER, at_us);
}

/* The launcher is there, and past its deadline dies; its init tells its pid. */
static void made(struct host *host, uint32_t slot)
{
	struct live *live = &host->live[slot];
	struct world *world = host->world;

	if (!live->hold && !live->orphan && page_ms(host) <= host_ms(host) &&
	    world->options.mutation != MUTATE_NO_TIMER)
		run_kill(host, slot);
	live->told = true;
	fencer_sees(host);
	if (!live->ghost)
		return;
	live->state = LIVE_GOING;
	oracle_executes(host, live);
	run_event(host, slot, RUN_EXECUTES, world->now_us + 1000);
}

void host_run(struct host *host, const struct event *event)
{
	uint32_t slot = (uint32_t)event->a;
	struct live *live = &host->live[slot];

	if (!host->on || host->life != event->life || live->token != event->b ||
	    live->state == LIVE_NONE ||
	    (live->state == LIVE_DEAD && event->x != RUN_LAUNCHER_DEAD))
		return;
	switch (event->x) {
	case RUN_IS_MADE:
		if (live->state == LIVE_PREPARED && !live->dying)
			made(host, slot);
		break;
	case RUN_EXECUTES:
		if (live->state == LIVE_GOING)
			live->state = LIVE_EXECUTING;
		break;
	case RUN_FAILS:
		failed(host, slot);
		break;
	case RUN_TIMER:
		orphan_timer(host, slot);
		break;
	case RUN_IS_DEAD:
		run_ended(host, slot);
		break;
	case RUN_LAUNCHER_DEAD:
		live->launcher_dead = true;
		fencer_sees(host);
		break;
	default:
		break;
	}
}

/* --- the fencer's turns ------------------------------------------------------------- */

static void leave(struct host *host)
{
	kernel_leave(host);
	if (!host->had_session || host->fencer.tenure.session != 0)
		return;
	story(host->world, "%s fences", host_name(host));
	if (host->world->options.internet)
		weather_fenced(host);
	agent_soon(host, host->world->now_us + 1000);
}

/* What its descriptors tell of a slot. */
static void look(struct host *host, uint32_t slot)
{
	struct fencer *f = &host->fencer;
	const struct fencer_proc *p = &f->procs[slot];
	const struct live *live = &host->live[slot];
	bool ended = live->state == LIVE_NONE || live->state == LIVE_DEAD;

	if (p->used && p->socket >= 0 && (live->told || !kernel_lives(live)))
		fencer_turn(f, SOURCE_RUN, slot);
	if (p->used && p->launcher >= 0 && !p->launcher_dead &&
	    (live->state == LIVE_NONE || live->launcher_dead))
		fencer_turn(f, SOURCE_LAUNCHER, slot);
	if (p->used && p->init >= 0 && !p->init_dead && ended)
		fencer_turn(f, SOURCE_INIT, slot);
}

void fencer_wake(struct host *host)
{
	struct fencer *f = &host->fencer;
	bool happened = host->happened;

	if (!fencer_ready(host))
		return;
	if (host->poll_us <= host->world->now_us)
		host->poll_us = NEVER_US;
	kernel_enter(host);
	host->happened = false;
	if (host->timer_ms && host->timer_ms <= host_ms(host)) {
		host->timer_ms = 0;
		fencer_turn(f, SOURCE_TIMER, 0);
	}
	for (uint32_t i = 0; happened && i < RUNS_MAX; i++) {
		look(host, i);
		if (host->stall_us) {
			host->happened = true;
			break;
		}
	}
	if (!host->stall_us)
		fencer_rest(f);
	leave(host);
}

enum fencer_code fencer_ask(struct host *host,
			    const struct fencer_request *request,
			    const void *bytes, struct fencer_answer *answer)
{
	enum fencer_code code;

	memset(answer, 0, sizeof *answer);
	if (!fencer_ready(host))
		return FENCER_FAILED;
	kernel_enter(host);
	if (request->size)
		kernel_bytes(bytes, request->size);
	host->starting = request->type == FENCER_START;
	fencer__tick(&host->fencer);
	code = fencer_obey(&host->fencer, request, answer);
	host->starting = false;
	leave(host);
	return code;
}

enum fencer_code fencer_ask_for(struct host *host, uint32_t type,
				const void *bytes, size_t size,
				struct fencer_answer *answer)
{
	const struct fencer_request request = { .type = type,
						.size = (uint32_t)size };

	return fencer_ask(host, &request, bytes, answer);
}

/* --- the fencer's life ---------------------------------------------------------------- */

static void fencer_spoil(struct host *host)
{
	struct fencer *f = &host->fencer;

	for (uint32_t i = 0; i < RUNS_MAX; i++)
		if (f->procs[i].gone_ns)
			f->procs[i].gone_ns = f->head.deadline_ns;
}

void fencer_start(struct host *host)
{
	enum mutation mutation = host->world->options.mutation;
	struct fencer_options options = { .crn = host->crn_hash,
					  .directory = (char *)(uintptr_t)"sim",
					  .k_ms = host->k_ms,
					  .slew_ppm = FENCER_SLEW_PPM_MIN };
	struct fault fault;
	int rv;

	host->fencer_up = true;
	host->fencer_life++;
	host->fencer_paused_us = 0;
	host->timer_ms = host->armed_ms = 0;
	host->poll_us = NEVER_US;
	host->happened = true;
	host->last_session = host->last_version = 0;
	if (mutation == MUTATE_ROW_LOST)
		memset(host->cache.bytes + TABLE_BLOCK, 0,
		       sizeof host->cache.bytes - TABLE_BLOCK);
	kernel_enter(host);
	host->had_session = false;
	rv = fencer_open(&host->fencer, &options, &fault);
	REQUIRE(rv == 0);
	host->fencer.client = 1; /* an agent, or soon */
	if (mutation == MUTATE_EARLY_GONE)
		fencer_spoil(host);
	story(host->world, "the fencer of %s starts, %u runs found",
	      host_name(host), host->fencer.tenure.run_count);
	leave(host);
	agent_soon(host, host->world->now_us + 1000);
}

/* kill -9: launchers stay, with the page as it was; what was not let go sees
 * its socket's end. */
void fencer_stop(struct host *host)
{
	struct world *world = host->world;

	if (!host->fencer_up)
		return;
	story(world, "the fencer of %s is killed", host_name(host));
	host->fencer_up = false;
	for (uint32_t i = 0; i < RUNS_MAX; i++) {
		struct live *live = &host->live[i];

		if (!kernel_lives(live) || live->orphan)
			continue;
		live->orphan = true;
		live->timer_ms = page_ms(host);
		if (!live->hold)
			run_event(host, i, RUN_TIMER, world->now_us + 1000);
		if (live->state == LIVE_PREPARED)
			run_event(host, i, RUN_IS_DEAD, world->now_us + 3000);
	}
	host->page.deadline_ns = 0;
	host->fencer_again_us = world->now_us +
				chance_below(&world->chance, 8000000);
	agent_soon(host, host->fencer_again_us);
}

void fencer_pause(struct host *host, uint64_t us)
{
	struct event event = { .kind = EVENT_FENCER, .to = host->number,
			       .life = host->life };

	if (!host->fencer_up ||
	    host->fencer_paused_us >= host->world->now_us + us)
		return;
	host->fencer_paused_us = host->world->now_us + us;
	event.at_us = host->fencer_paused_us;
	event_push(host->world, &event);
}

/* --- the machine's -------------------------------------------------------------------- */

void draw_hash(struct world *world, struct hash *hash)
{
	for (uint32_t i = 0; i < 4; i++) {
		uint64_t word = chance_next(&world->chance);

		memcpy(hash->bytes + i * 8, &word, 8);
	}
}

struct host *host_new(struct world *world, uint32_t crn)
{
	struct host *host = need(calloc(1, sizeof *host));

	host->world = world;
	host->number = world->host_count;
	host->crn = crn;
	host->crn_hash = world->crns[crn];
	host->size = world->crn_sizes[crn];
	host->k_ms = world->config.k_ms;
	draw_hash(world, &host->host_hash);
	host->deadline_event_us = host->poll_us = NEVER_US;
	/* Without groups the pid namespaces alone tell and kill. */
	host->has_groups = host->number % 4 != 0;
	world->hosts[world->host_count++] = host;
	world->host_of_crn[crn] = (int32_t)host->number;
	return host;
}

void host_on(struct host *host)
{
	struct world *world = host->world;
	int32_t drift = (int32_t)world->options.drift;

	host->on = true;
	host->life++;
	draw_hash(world, &host->boot_hash);
	draw_hash(world, &host->kernel);
	host->clock.at_us = world->now_us;
	host->clock.base_us = 1000000 + chance_below(&world->chance, 900000000);
	host->clock.ppm = (int32_t)chance_below(&world->chance,
						2 * (uint64_t)drift + 1) -
			  drift;
	host->cache = host->durable;
	host->groups_unseen = false;
	host->page.deadline_ns = 0;
	host->deadline_event_us = NEVER_US;
	story(world, "%s is on, clock %+d ppm", host_name(host),
	      host->clock.ppm);
	fencer_start(host);
	agent_start(host);
}

/* What was not flushed may be on the disk all the same, or half of a row. */
static void disk_left(struct host *host)
{
	struct chance *chance = &host->world->chance;

	for (uint32_t i = 0; i <= RUNS_MAX; i++) {
		uint8_t *to = host->durable.bytes + i * TABLE_BLOCK;
		const uint8_t *from = host->cache.bytes + i * TABLE_BLOCK;
		size_t size = TABLE_BLOCK;

		if (memcmp(to, from, size) == 0 || chance_percent(chance, 50))
			continue;
		if (i > 0 && chance_percent(chance, 10))
			size = chance_below(chance, size);
		memcpy(to, from, size);
	}
	host->durable.there = host->cache.there;
}

/* The power goes: nothing of it executes any more. */
void host_off(struct host *host, const char *why)
{
	struct world *world = host->world;

	if (!host->on)
		return;
	if (!world->over)
		story(world, "%s is off: %s", host_name(host), why);
	for (uint32_t i = 0; i < RUNS_MAX; i++) {
		struct live *live = &host->live[i];

		if (executing(live))
			oracle_ends(host, live);
		live->state = LIVE_NONE;
		live->far = FAR_NOT;
		live->token++;
	}
	host->live_count = 0;
	disk_left(host);
	agent_stop(host);
	host->fencer_up = false;
	host->on = false;
	host->page.deadline_ns = 0;
	host->on_us = world->now_us +
		      chance_between(&world->chance, 500000, 30000000);
}
