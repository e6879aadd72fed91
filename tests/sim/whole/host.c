/* A machine: its power, its clock, what runs on it, the run table, and the
 * fencer, which does what tenure says. fencer*.c and launcher*.c are tied to
 * the kernel; here is what they do, at the same points and in the same order. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/whole/weather.h"

#define GRACE_MS 10500u

uint64_t host_ms(const struct host *host)
{
	return drifting_ms(&host->clock, host->world->now_us);
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
	return host->on && host->fencer_up && host->tenure.session != 0 &&
	       host_ms(host) < host->tenure.deadline_ms;
}

bool host_may_start(const struct host *host, const struct hash *program,
		    uint64_t gen, stamp_t epoch)
{
	if (!lease_valid(host) || !host->tenure.set_taken)
		return false;
	for (uint32_t i = 0; i < host->tenure.desired_count; i++) {
		const struct desired_row *row = &host->tenure.desired[i];

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

/* A death takes up to K; nobody sees it at once. */
void run_kill(struct host *host, uint32_t slot)
{
	struct world *world = host->world;
	uint64_t k_us = host->k_ms * 1000ull - 1000, us;

	if (host->live[slot].state == LIVE_NONE ||
	    host->live[slot].state == LIVE_DEAD)
		return;
	host->live[slot].dying = true;
	us = chance_percent(&world->chance, 70) ?
		     chance_below(&world->chance, 30000) :
	     chance_percent(&world->chance, 50) ?
		     chance_below(&world->chance, k_us) : k_us;
	if (world->options.mutation == MUTATE_SLOW_KILL)
		us = us * 5 / 2;
	if (host->live[slot].far)
		us = us * 6 / 10; /* the fencer counts K on its own clock */
	run_event(host, slot, RUN_IS_DEAD, world->now_us + us);
}

/* Politely first; many a program does not listen. */
static void run_stop(struct host *host, uint32_t slot)
{
	struct world *world = host->world;
	uint64_t us = chance_below(&world->chance, GRACE_MS * 1000);

	if (host->live[slot].state == LIVE_NONE ||
	    host->live[slot].state == LIVE_DEAD || host->live[slot].dying)
		return;
	if (chance_percent(&world->chance, 70)) {
		run_event(host, slot, RUN_IS_DEAD, world->now_us + us / 4);
	} else {
		faults_count(world, FAULT_STOP);
		run_event(host, slot, RUN_IS_KILLED,
			  world->now_us + GRACE_MS * 1000ull);
	}
}

/* By the fencer: it reaches what it can see. */
static void fencer_kill(struct host *host, uint32_t slot)
{
	if (host->live[slot].far != FAR_UNSEEN)
		run_kill(host, slot);
}

static void run_ended(struct host *host, uint32_t slot)
{
	struct live *live = &host->live[slot];

	if (live->state == LIVE_GOING || live->state == LIVE_EXECUTING)
		oracle_ends(host, live);
	live->state = LIVE_DEAD;
}

/* --- the fencer's decisions -------------------------------------------------------- */

/* The fencer sees what died: the row goes, then tenure is told. */
static void reap(struct host *host)
{
	struct tenure *t = &host->tenure;

	for (uint32_t i = 0; i < RUNS_MAX && host->live_count; i++) {
		struct live *live = &host->live[i];

		if (live->state != LIVE_DEAD || live->far == FAR_UNSEEN)
			continue;
		host->cache.rows[i].used = false;
		if (chance_percent(&host->world->chance, 50))
			host->durable.rows[i].used = false;
		live->state = LIVE_NONE;
		live->far = FAR_NOT;
		live->token++;
		host->live_count--;
		if (t->runs[i].state != TENURE_RUN_NONE)
			tenure_dead(t, &t->runs[i]);
		if (t->session != 0)
			agent_soon(host, host->world->now_us + 5000);
	}
}

static void deadline_watch(struct host *host)
{
	struct event event = { .kind = EVENT_DEADLINE, .to = host->number,
			       .life = host->life };

	if (host->page_ms == 0)
		return;
	event.at_us = drifting_when(&host->clock, host->page_ms);
	if (event.at_us >= host->deadline_event_us)
		return;
	host->deadline_event_us = event.at_us;
	event_push(host->world, &event);
}

void fencer_arm(struct host *host)
{
	host->page_ms = tenure_deadline(&host->tenure);
	if (host->page_ms > host->last_page_ms)
		host->last_page_ms = host->page_ms;
	deadline_watch(host);
}

static void fence(struct host *host)
{
	struct tenure *t = &host->tenure;

	story(host->world, "%s fences", host_name(host));
	if (host->world->options.internet)
		weather_fenced(host);
	fencer_arm(host);
	for (uint32_t i = 0; i < RUNS_MAX; i++)
		if (t->runs[i].state != TENURE_RUN_NONE &&
		    (!t->runs[i].hold ||
		     t->runs[i].state == TENURE_RUN_QUEUED))
			fencer_kill(host, i);
	agent_soon(host, host->world->now_us + 1000);
}

static void tick(struct host *host)
{
	if (tenure_tick(&host->tenure, host_ms(host)))
		fence(host);
}

void fencer_prune(struct host *host)
{
	struct tenure *t = &host->tenure;

	for (uint32_t i = 0; i < RUNS_MAX; i++) {
		struct tenure_run *run = &t->runs[i];

		if (run->state == TENURE_RUN_NONE || tenure_wanted(t, run) ||
		    host->live[i].state == LIVE_NONE)
			continue;
		if (run->state == TENURE_RUN_QUEUED &&
		    host->world->options.mutation == MUTATE_LET_GO) {
			tenure_dead(t, run); /* it was told so, and goes on */
			continue;
		}
		if (run->condemned || run->state == TENURE_RUN_QUEUED ||
		    run->state == TENURE_RUN_UNKNOWN) {
			fencer_kill(host, i);
			continue;
		}
		if (run->state != TENURE_RUN_LIVE)
			continue;
		tenure_stopping(t, run);
		run_stop(host, i);
	}
}

void fencer_wake(struct host *host)
{
	if (!fencer_ready(host))
		return;
	tick(host);
	reap(host);
	fencer_prune(host);
}

enum fencer_code fencer_challenge(struct host *host,
				  const struct agent_challenge *m)
{
	enum fencer_code code = tenure_challenge(&host->tenure, m);

	if (code != FENCER_OK)
		return code;
	/* R15's memory is on disk before the Register can be sent. */
	host->cache.gen = host->durable.gen = host->tenure.gen;
	host->cache.prev_max = host->durable.prev_max = host->tenure.prev_max;
	host->cache.boot = host->durable.boot = host->boot_hash;
	tenure_register_mark(&host->tenure, host_ms(host));
	return FENCER_OK;
}

/* START: the gate, the row made durable, and then the launcher. */
enum fencer_code fencer_run(struct host *host, const struct hash *program,
			    uint64_t gen, stamp_t epoch)
{
	struct world *world = host->world;
	struct tenure_run *run;
	enum fencer_code code = tenure_gate(&host->tenure, host_ms(host),
					    program, gen, epoch, &run);
	uint64_t us = 100 + chance_below(&world->chance, 4000);
	uint32_t slot;

	if (code != FENCER_OK)
		return code;
	slot = (uint32_t)(run - host->tenure.runs);
	if (world->options.mutation == MUTATE_LET_GO &&
	    host->live[slot].state != LIVE_NONE) {
		tenure_dead(&host->tenure, run); /* goes on there */
		return FENCER_NOT_DEAD;
	}
	REQUIRE(host->live[slot].state == LIVE_NONE);
	host->live[slot] = (struct live){
		.state = LIVE_PREPARED, .hold = run->hold,
		.token = host->live[slot].token + 1, .gen = gen,
		.program = program_number(world, program), .epoch = epoch };
	host->live_count++;
	host->cache.rows[slot] = (struct row){
		.used = true, .hold = run->hold, .program = *program,
		.lineage = run->lineage, .gen = gen, .epoch = epoch,
		.kernel = host->kernel, .container = host->container };
	host->durable.rows[slot] = host->cache.rows[slot];
	if (!world->healed && chance_below(&world->chance, 100) == 0)
		us += chance_below(&world->chance, 9000000); /* slow disk */
	run_event(host, slot, RUN_IS_WRITTEN, world->now_us + us);
	return FENCER_OK;
}

/* R11 again, before the launcher is made and before the program is let go. */
static bool still_wanted(struct host *host, uint32_t slot)
{
	struct tenure_run *run = &host->tenure.runs[slot];

	if (host->world->options.mutation == MUTATE_LET_GO &&
	    run->state == TENURE_RUN_NONE)
		return true;
	return run->state == TENURE_RUN_QUEUED && !host->live[slot].dying &&
	       tenure_wanted(&host->tenure, run) &&
	       host_ms(host) < tenure_deadline(&host->tenure);
}

static void let_go(struct host *host, uint32_t slot)
{
	struct world *world = host->world;
	struct live *live = &host->live[slot];
	uint64_t us = chance_below(&world->chance, 40000);

	if (!still_wanted(host, slot)) {
		run_kill(host, slot);
		return;
	}
	/* A pause between the test and the word. */
	if (!world->healed && chance_below(&world->chance, 50) == 0) {
		us = chance_below(&world->chance, 20000000);
		faults_count(world, FAULT_GATE);
		fencer_pause(host, us);
		us += 1000;
	}
	live->state = LIVE_GOING;
	if (host->tenure.runs[slot].state == TENURE_RUN_QUEUED)
		tenure_started(&host->tenure, &host->tenure.runs[slot]);
	oracle_executes(host, live);
	spoil_start(host, live);
	if (!world->healed &&
	    chance_percent(&world->chance, world->options.start_fails))
		run_event(host, slot, RUN_FAILS, world->now_us + us);
	else
		run_event(host, slot, RUN_EXECUTES, world->now_us + us);
}

static bool put_off(struct host *host, const struct event *event)
{
	struct event later = *event;

	if (fencer_ready(host))
		return false;
	later.at_us = host->fencer_paused_us;
	if (host->fencer_up && later.at_us > host->world->now_us)
		event_push(host->world, &later);
	return true;
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
	if (fencer_ready(host))
		reap(host);
}

void host_run(struct host *host, const struct event *event)
{
	uint32_t slot = (uint32_t)event->a;
	struct live *live = &host->live[slot];

	if (!host->on || host->life != event->life || live->token != event->b ||
	    live->state == LIVE_NONE ||
	    (live->state == LIVE_DEAD && event->x != RUN_GONE))
		return;
	switch (event->x) {
	case RUN_IS_WRITTEN:
		if (live->state != LIVE_PREPARED || put_off(host, event))
			break;
		tick(host);
		if (live->dying)
			break;
		if (host_ms(host) >= tenure_deadline(&host->tenure)) {
			run_ended(host, slot);
			reap(host);
			break;
		}
		run_event(host, slot, RUN_IS_MADE,
			  host->world->now_us +
				  chance_below(&host->world->chance, 20000));
		break;
	case RUN_IS_MADE:
		if (live->state != LIVE_PREPARED || put_off(host, event))
			break;
		tick(host);
		if (live->state == LIVE_PREPARED && !live->dying)
			let_go(host, slot);
		break;
	case RUN_EXECUTES:
		if (live->state == LIVE_GOING)
			live->state = LIVE_EXECUTING;
		break;
	case RUN_FAILS:
		failed(host, slot);
		break;
	case RUN_IS_KILLED:
		if (!put_off(host, event))
			fencer_kill(host, slot);
		break;
	case RUN_TIMER:
		container_timer(host, slot);
		break;
	case RUN_GONE:
		if (!put_off(host, event))
			container_gone(host, slot);
		break;
	case RUN_IS_DEAD:
		run_ended(host, slot);
		if (fencer_ready(host))
			reap(host);
		break;
	default:
		break;
	}
}

/* The page's deadline: every launcher's own timer, and then the fencer's. */
void host_deadline(struct host *host)
{
	host->deadline_event_us = NEVER_US;
	if (host->page_ms == 0)
		return;
	if (host_ms(host) < host->page_ms) {
		deadline_watch(host);
		return;
	}
	host->page_ms = 0;
	if (host->live_count)
		story(host->world, "the launchers of %s are at the deadline",
		      host_name(host));
	if (host->world->options.mutation != MUTATE_NO_TIMER)
		for (uint32_t i = 0; i < RUNS_MAX && host->live_count; i++)
			if (host->live[i].state != LIVE_NONE &&
			    !host->live[i].hold)
				run_kill(host, i);
	if (fencer_ready(host))
		tick(host);
}

/* --- the fencer's life ---------------------------------------------------------------- */

static void settle(struct host *host, uint32_t slot)
{
	struct row *row = &host->cache.rows[slot];
	struct live *live = &host->live[slot];
	bool lives = live->state != LIVE_NONE && live->state != LIVE_DEAD;
	bool held = row->hold && lives && live->state != LIVE_PREPARED &&
		    !live->dying;
	struct tenure_run run = {
		.state = held ? TENURE_RUN_LIVE : TENURE_RUN_STOPPING,
		.program = row->program, .lineage = row->lineage,
		.gen = row->gen, .epoch = row->epoch, .hold = held };

	if (hash_equal(&row->kernel, &host->kernel) &&
	    row->container != host->container &&
	    container_settle(host, slot))
		return;
	if (!hash_equal(&row->kernel, &host->kernel) || !lives) {
		row->used = false;
		if (live->state == LIVE_DEAD)
			host->live_count--;
		live->state = LIVE_NONE;
		live->far = FAR_NOT;
		live->token++;
		return;
	}
	if (host->world->options.mutation == MUTATE_ROW_LOST)
		return;
	tenure_found(&host->tenure, slot, &run);
	if (!held)
		run_kill(host, slot);
}

void fencer_start(struct host *host)
{
	host->fencer_up = true;
	host->fencer_life++;
	host->fencer_paused_us = 0;
	host->page_ms = 0;
	tenure_init(&host->tenure, &host->crn_hash, &host->host_hash,
		    &host->boot_hash, host->cache.gen);
	host->last_session = host->last_version = 0;
	if (hash_equal(&host->cache.boot, &host->boot_hash))
		host->tenure.prev_max = host->cache.prev_max;
	for (uint32_t i = 0; i < RUNS_MAX; i++)
		if (host->cache.rows[i].used)
			settle(host, i);
	story(host->world, "the fencer of %s starts, %u runs found",
	      host_name(host), host->tenure.run_count);
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
	for (uint32_t i = 0; i < RUNS_MAX; i++)
		if (host->live[i].state == LIVE_PREPARED)
			run_event(host, i, RUN_IS_DEAD, world->now_us + 3000);
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
	host->deadline_event_us = NEVER_US;
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
	host->last_page_ms = 0;
	host->clock.at_us = world->now_us;
	host->clock.base_us = 1000000 + chance_below(&world->chance, 900000000);
	host->clock.ppm = (int32_t)chance_below(&world->chance,
						2 * (uint64_t)drift + 1) -
			  drift;
	host->cache = host->durable;
	host->page_ms = 0;
	host->deadline_event_us = NEVER_US;
	story(world, "%s is on, clock %+d ppm", host_name(host),
	      host->clock.ppm);
	fencer_start(host);
	agent_start(host);
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

		if (live->state == LIVE_GOING || live->state == LIVE_EXECUTING)
			oracle_ends(host, live);
		live->state = LIVE_NONE;
		live->far = FAR_NOT;
		live->token++;
	}
	host->live_count = 0;
	agent_stop(host);
	host->fencer_up = false;
	host->on = false;
	host->page_ms = 0;
	host->on_us = world->now_us +
		      chance_between(&world->chance, 500000, 30000000);
}
