/* What goes wrong only to see that the oracle notices (--mutation): each of
 * these breaks what one check of the oracle's asks for, and nothing else. */
#include <stdlib.h>

#include "tests/sim/whole/oracle.h"

#define ENTRY_MAX (1u << 20)

static bool is(const struct world *world, enum mutation mutation)
{
	return world->options.mutation == mutation;
}

/* I7: what fsm_check counts; I8 and snapshots: what the hash is of. */
void spoil_state(const struct world *world, enum mutation mutation,
		 struct fsm *fsm)
{
	if (is(world, mutation))
		state_spoil(fsm, mutation == MUTATE_BROKEN_STATE);
}

/* I8: one replica has applied something else than the others. */
void spoil_applied(struct node *node, uint64_t index)
{
	if (node->id == 2 && index % 64 == 0)
		spoil_state(node->world, MUTATE_OTHER_STATE, node->fsm);
}

/* I8: one replica has an entry that the others do not have. */
const void *spoil_entry(const struct node *node, uint64_t index,
			const void *data, size_t size)
{
	static uint8_t other[ENTRY_MAX];

	if (!is(node->world, MUTATE_OTHER_ENTRY) || node->id != 2 ||
	    index > oracle_max(node->world) || size == 0 || size > ENTRY_MAX)
		return data;
	memcpy(other, data, size);
	other[size - 1] ^= 1;
	return other;
}

/* I1: what is let go here, another machine executes as well. */
void spoil_start(struct host *host, const struct live *live)
{
	struct world *world = host->world;

	for (uint32_t h = 0; is(world, MUTATE_TWO_RUN) &&
			     h < world->host_count; h++) {
		struct host *other = world->hosts[h];
		struct live *free = &other->live[RUNS_MAX - 1];

		if (other == host || !other->on || free->state != LIVE_NONE)
			continue;
		*free = *live;
		free->state = LIVE_EXECUTING;
		other->live_count++;
		oracle_executes(other, free);
		return;
	}
}

/* Capacity: a CRN says that it has more than it has. */
void spoil_report(const struct world *world, struct command_crn_report *report)
{
	if (is(world, MUTATE_MORE_VCPUS))
		report->vcpus *= 4;
	if (is(world, MUTATE_MORE_MEMORY))
		report->memory_mib *= 4;
	if (is(world, MUTATE_MORE_DISK))
		report->disk_mib *= 4;
}

/* Applied once: each try of a request has an id of its own. */
void spoil_request(const struct request *request, uint8_t *data)
{
	uint8_t *id = memmem(data, request->size, request->id,
			     sizeof request->id);

	if (is(request->world, MUTATE_APPLIED_TWICE) && id)
		id[7] = (uint8_t)request->tries;
}

/* A client is told what nobody has committed yet. */
void spoil_asked(struct request *request)
{
	const struct fsm_result nothing = { 0 };

	if (is(request->world, MUTATE_ACK_EARLY))
		oracle_acked(request, &nothing);
}

/* A client is told another result than the log has. */
void spoil_acked(const struct request *request, struct fsm_result *result)
{
	if (is(request->world, MUTATE_ACK_OTHER))
		result->stamp++;
}

/* What is healed must do its work again. */
bool spoil_lazy(const struct world *world)
{
	return is(world, MUTATE_LAZY) && world->healed;
}
