/* What may happen to a machine and its identity besides its power: the fencer
 * moves into another container of the same kernel, the data directory is copied
 * to another machine, the machine itself is copied (outside of A4). */
#include "tests/sim/whole/oracle.h"

static struct host *some_host(struct world *world)
{
	return world->hosts[chance_below(&world->chance, world->host_count)];
}

/* --- another container (lease.md 2.6, "Machine and run table") --------------- */

/* Launchers and programs stay, in the pid namespace of before; nobody but
 * their timers reaches them, unless their groups are seen from the new one. */
bool container_changes(struct world *world)
{
	struct host *host = some_host(world);
	bool seen = chance_percent(&world->chance, 50) && host->has_groups;
	enum far far = seen ? FAR_SEEN : FAR_UNSEEN;

	if (!host->on || !host->fencer_up)
		return false;
	story(world, "%s: the fencer moves into another container, groups are "
	      "%s", host_name(host), far == FAR_SEEN ? "seen" : "not seen");
	for (uint32_t i = 0; i < RUNS_MAX && host->live_count; i++) {
		struct live *live = &host->live[i];

		if (live->state == LIVE_NONE || live->far == FAR_UNSEEN)
			continue;
		live->far = far;
	}
	host->groups_unseen = far == FAR_UNSEEN;
	fencer_stop(host);
	agent_stop(host);
	draw_hash(world, &host->boot_hash);
	host->container++;
	return true;
}

bool has_unknown(const struct host *host)
{
	for (uint32_t i = 0; host->on && i < RUNS_MAX; i++)
		if ((host->live[i].state != LIVE_NONE &&
		     host->live[i].far == FAR_UNSEEN) ||
		    host->fencer.tenure.runs[i].state == TENURE_RUN_UNKNOWN)
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
