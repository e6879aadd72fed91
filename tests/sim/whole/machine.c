/* What may happen to a machine and its identity besides its power: the fencer
 * moves into another container of the same kernel, the data directory is copied
 * to another machine, the machine itself is copied (outside of A4). */
#include "tests/sim/whole/oracle.h"

static struct host *some_host(struct world *world)
{
	return world->hosts[chance_below(&world->chance, world->host_count)];
}

/* --- another container (lease.md 2.6, "Machine and run table") --------------- */

static uint64_t min_us(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Launchers and programs stay, in the pid namespace of before; nobody but
 * their timers reaches them, unless their groups are seen from the new one. */
bool container_changes(struct world *world)
{
	struct host *host = some_host(world);
	enum far far = chance_percent(&world->chance, 50) ? FAR_SEEN :
							    FAR_UNSEEN;

	if (!host->on || !host->fencer_up)
		return false;
	story(world, "%s: the fencer moves into another container, groups are "
	      "%s", host_name(host), far == FAR_SEEN ? "seen" : "not seen");
	for (uint32_t i = 0; i < RUNS_MAX && host->live_count; i++) {
		struct live *live = &host->live[i];

		if (!executing(live) || live->far == FAR_UNSEEN)
			continue;
		if (!live->far && !live->hold && !live->dying) {
			live->timer_ms = host->page_ms;
			run_event(host, i, RUN_TIMER, world->now_us + 1000);
		}
		live->far = far;
	}
	fencer_stop(host);
	agent_stop(host);
	draw_hash(world, &host->boot_hash);
	host->container++;
	return true;
}

/* The launcher's own: it dies at the deadline whoever watches. */
void container_timer(struct host *host, uint32_t slot)
{
	struct live *live = &host->live[slot];
	struct world *world = host->world;

	if (world->options.mutation == MUTATE_NO_TIMER)
		return;
	if (host_ms(host) >= live->timer_ms)
		run_kill(host, slot);
	else
		/* Its rate may change: looked at in time. */
		run_event(host, slot, RUN_TIMER, min_us(world->now_us + 200000,
			  drifting_when(&host->clock, live->timer_ms)));
}

static uint64_t gone_ms(const struct host *host)
{
	if (host->world->options.mutation == MUTATE_EARLY_GONE)
		return host->last_page_ms;
	/* K is real time, and this clock may be ahead. */
	return host->last_page_ms + host->k_ms + host->k_ms / 50;
}

/* A row of another container whose death cannot be seen. True: it is settled
 * as unknown; an exclusive one is over K after the last deadline. */
bool container_settle(struct host *host, uint32_t slot)
{
	struct live *live = &host->live[slot];
	const struct row *row = &host->cache.rows[slot];
	bool lives = live->state != LIVE_NONE && live->state != LIVE_DEAD;
	struct tenure_run run = {
		.state = TENURE_RUN_UNKNOWN, .program = row->program,
		.lineage = row->lineage, .gen = row->gen,
		.epoch = row->epoch, .hold = row->hold };

	if (live->state == LIVE_NONE || live->far == FAR_NOT ||
	    (live->far == FAR_SEEN && !lives))
		return false;
	tenure_found(&host->tenure, slot, &run);
	if (row->hold)
		return true;
	if (live->far == FAR_SEEN)
		run_kill(host, slot);
	else
		run_event(host, slot, RUN_GONE,
			  drifting_when(&host->clock, gone_ms(host)));
	return true;
}

/* It was not seen to die, and must be dead. */
void container_gone(struct host *host, uint32_t slot)
{
	struct live *live = &host->live[slot];

	if (host_ms(host) < gone_ms(host)) {
		run_event(host, slot, RUN_GONE,
			  drifting_when(&host->clock, gone_ms(host)));
		return;
	}
	if (executing(live) && guarded(host))
		world_fail(host->world, "K: program %u executes on %s, K after "
			   "the deadline of its launcher", live->program,
			   host_name(host));
	if (!executing(live))
		live->state = LIVE_DEAD;
	live->far = FAR_SEEN; /* as good as */
	fencer_wake(host);
}

bool has_unknown(const struct host *host)
{
	for (uint32_t i = 0; host->on && i < RUNS_MAX; i++)
		if (host->live[i].state != LIVE_NONE &&
		    host->live[i].far == FAR_UNSEEN)
			return true;
	return false;
}

/* --- copies --------------------------------------------------------------------- */

static struct host *original(struct world *world, uint32_t crn)
{
	struct host *host = world->hosts[world->host_of_crn[crn]];

	return host->gone || world->host_count + 8 >= HOSTS_MAX ? NULL : host;
}

/* The directory alone: the run table and its memory of R15 on a machine that
 * has another machine-id. Both go on. */
bool directory_copied(struct world *world)
{
	struct host *host = original(world, some_host(world)->crn), *next;

	if (!host)
		return false;
	story(world, "the data directory of %s is copied to another machine",
	      host_name(host));
	next = host_new(world, host->crn);
	next->durable = host->durable;
	next->on_us = world->now_us + chance_below(&world->chance, 5000000);
	return true;
}

/* All of the machine, with its ids: outside of A4. What is asked of it is that
 * it is noticed (oracle_boots). Always the same CRN; one copy goes before the
 * next one comes. */
bool machine_copied(struct world *world)
{
	uint32_t crn = world->outside_crn;
	struct host *host = original(world, crn), *next;

	if (!host)
		return false;
	for (uint32_t i = 0; i < world->host_count; i++)
		if (world->hosts[i]->crn == crn && world->hosts[i] != host &&
		    !world->hosts[i]->gone) {
			host_off(world->hosts[i], "its copy has its place");
			world->hosts[i]->gone = true;
			return false;
		}
	story(world, "%s is copied, with its ids", host_name(host));
	world->outside[crn] = true;
	next = host_new(world, crn);
	next->host_hash = host->host_hash;
	next->durable = host->durable;
	next->on_us = world->now_us + chance_below(&world->chance, 5000000);
	return true;
}
