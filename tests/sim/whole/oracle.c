/* What must hold, looked at from outside: a state machine of the oracle's own
 * applies each entry when the first replica does, and the real world, which no
 * replica sees, is compared with it. lease.md 2.4, I1 to I8. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/whole/oracle.h"

#define HASH_EVERY 64u
#define CHECK_EVERY 512u
#define RESTORE_EVERY 4096u

const struct fsm_view *oracle_view(const struct world *world)
{
	return fsm_live(world->oracle->fsm);
}

uint64_t oracle_max(const struct world *world)
{
	return world->oracle->max;
}

uint32_t program_number(const struct world *world, const struct hash *hash)
{
	uint32_t number;

	memcpy(&number, hash->bytes + 28, sizeof number);
	REQUIRE(number < world->program_count &&
		hash_equal(&world->programs[number].hash, hash));
	return number;
}

bool executing(const struct live *live)
{
	return live->state == LIVE_GOING || live->state == LIVE_EXECUTING;
}

/* Until its first renewal a session counts from its Register, which no time
 * travels with; it has nothing yet that an Expire could free. */
static bool renewed(const struct fsm_view *view, const struct host *host)
{
	slot_t slot = fsm_crn_find(view, &host->crn_hash);
	struct fsm_crn crn;

	return host->fencer.tenure.got_ack ||
	       (slot != SLOT_NONE && fsm_crn_read(view, slot, &crn) &&
		crn.session == host->fencer.tenure.session && crn.seq_seen > 0);
}

/* Of this generation (I3), within the assumptions. */
static bool asked(const struct host *host)
{
	return host->fencer.tenure.gen == host->world->gen && guarded(host) &&
	       clock_trusted(host->world);
}

/* --- I3: where sessions moved ------------------------------------------------------- */

static void check_sessions(struct world *world)
{
	const struct fsm_view *view = oracle_view(world);
	struct fsm_crn crn;
	slot_t slot;

	for (uint32_t h = 0; h < world->host_count; h++) {
		struct host *host = world->hosts[h];

		if (!lease_valid(host) || !asked(host) || !renewed(view, host))
			continue;
		slot = fsm_crn_find(view, &host->crn_hash);
		if (slot == SLOT_NONE || !fsm_crn_read(view, slot, &crn) ||
		    !crn.alive || crn.session != host->fencer.tenure.session)
			world_fail(world, "I3: %s has a valid lease in session "
				   "%" PRIu64 ", which is not alive",
				   host_name(host),
				   host->fencer.tenure.session >> 16);
	}
}

/* --- effects of a committed entry ------------------------------------------------------ */

static void check_assigned(struct world *world, const struct fsm_effect *e)
{
	uint32_t number = program_number(world, &e->program);
	struct program *p = &world->programs[number];

	if (e->gen == p->gen && e->epoch <= p->epoch)
		world_fail(world, "I6: program %u: epoch %" PRIu64 " after %"
			   PRIu64, number, e->epoch >> 16, p->epoch >> 16);
	p->epoch = e->epoch;
	p->gen = e->gen;
	world->totals.moves++;
	oracle_placed(world, e);
}

/* An entry may have the Registers of several CRNs. */
static void boots_look(struct oracle *o)
{
	if (!hash_is_zero(&o->registered))
		oracle_boots(o->world, &o->registered, o->alarmed);
	o->alarmed = false;
	memset(&o->registered, 0, sizeof o->registered);
}

static void on_effect(void *ctx, const struct fsm_effect *e)
{
	struct world *world = ctx;
	struct oracle *o = world->oracle;

	story_effect(world, e);
	if (e->type == EFFECT_LEAD)
		o->slack_us += 1000; /* the anchor was rounded */
	if (e->type == EFFECT_LEAD)
		o->read_us = world->now_us; /* R4: the anchor is no older */
	if (e->type == EFFECT_ASSIGNED)
		check_assigned(world, e);
	if (e->type == EFFECT_FREED)
		oracle_freed(world, e);
	if (e->type == EFFECT_ADOPTED)
		oracle_adopted(world, e);
	if (e->type == EFFECT_NEW_GEN)
		restore_done(world, e->gen);
	if (e->type == EFFECT_CONFIG)
		restore_config(world);
	if (e->type == EFFECT_CRN_REGISTERED || e->type == EFFECT_CRN_REMOVED) {
		boots_look(o);
		o->registered = e->crn;
	}
	o->alarmed |= e->type == EFFECT_CRN_ALARM;
	o->sessions_moved |= e->type == EFFECT_CRN_EXPIRED ||
			     e->type == EFFECT_CRN_REGISTERED ||
			     e->type == EFFECT_CRN_FENCE_CONFIRMED ||
			     e->type == EFFECT_CRN_REMOVED;
	world->totals.expiries += e->type == EFFECT_CRN_EXPIRED;
	world->totals.registers += e->type == EFFECT_CRN_REGISTERED;
	world->totals.confirms += e->type == EFFECT_CRN_FENCE_CONFIRMED;
}

static void on_result(void *ctx, const struct fsm_result *result)
{
	struct world *world = ctx;
	struct request *request;
	uint32_t number;

	audit_result(world, result);
	slow_log_heard(world->oracle, result);
	memcpy(&number, result->request, sizeof number);
	if (number == 0)
		return;
	request = &world->requests[number % REQUESTS_MAX];
	if (!request->used || request->number != number)
		return;
	if (result->refusal == FSM_REFUSED_TERM)
		return;
	if (request->once) {
		if (result->refusal == FSM_OK || result->stamp != request->stamp)
			world_fail(world, "request %u is applied twice: %s",
				   number, request->what);
		return;
	}
	request->once = true;
	request->stamp = result->stamp;
	request->refusal = result->refusal;
}

/* What a client was told must be what the log holds. */
void oracle_acked(struct request *request, const struct fsm_result *result)
{
	struct world *world = request->world;

	world->totals.acks++;
	if (!request->once)
		world_fail(world, "request %u is acknowledged and was never "
			   "committed: %s", request->number, request->what);
	else if (result->stamp != request->stamp ||
		 (result->refusal != request->refusal &&
		  result->refusal != FSM_DUPLICATE))
		world_fail(world, "request %u is acknowledged with another "
			   "result than it had: %s", request->number,
			   request->what);
}

/* --- time: I4, I5 -------------------------------------------------------------------- */

static struct proposal *proposal_slot(struct oracle *o, uint64_t index,
				      uint64_t bytes)
{
	return &o->proposals[(index * 64 + bytes % 64) % ORACLE_RING];
}

void oracle_proposed(struct node *node, uint64_t index, const void *data,
		     size_t size)
{
	uint64_t bytes = bytes_hash(data, size);

	/* Two leaders may propose for one index. */
	*proposal_slot(node->world->oracle, index, bytes) = (struct proposal){
		index, bytes, node->world->now_us };
}

static void check_time(struct world *world, uint64_t index, uint64_t bytes)
{
	struct oracle *o = world->oracle;
	const struct proposal *p = proposal_slot(o, index, bytes);
	struct fsm_status status;
	uint64_t before_ms = o->c_ms;
	int64_t slack_us;
	bool moved;

	fsm_status(oracle_view(world), &status);
	if (p->index == index && p->bytes == bytes)
		o->proposed_us = p->at_us;
	moved = status.c_ms != o->c_ms;
	o->c_ms = status.c_ms;
	if (moved && status.c_ms > before_ms + world->config.dt_max_ms)
		world_fail(world, "H38: the state's clock made a step of %"
			   PRIu64 " ms", status.c_ms - before_ms);
	if (!moved || p->index != index || p->bytes != bytes)
		return;
	slack_us = (int64_t)(status.c_ms * 1000) -
		   (int64_t)(p->at_us * (1000000 + world->rho_ppm) /
			     1000000);
	if (o->has_slack && clock_trusted(world) &&
	    slack_us > o->slack_us + 2000)
		world_fail(world, "I5: the state's clock gained %" PRId64
			   " us on (1 + rho) real time",
			   slack_us - o->slack_us);
	if (!o->has_slack || slack_us < o->slack_us)
		o->slack_us = slack_us;
	o->has_slack = true;
	o->read_us = p->at_us;
	clock_beat(world, p->at_us);
}

static uint64_t when_due(uint64_t from_us, uint64_t exp_ms, uint64_t c_ms,
			 uint64_t rho)
{
	return exp_ms <= c_ms ? from_us :
				from_us + (exp_ms - c_ms) * 1000000000u /
						  (1000000 + rho);
}

/* The slowest agent's clock against the fastest leader's. */
static void check_lease_time(struct host *host, const struct fsm_crn *crn)
{
	struct world *world = host->world;
	struct oracle *o = world->oracle;
	uint64_t million = 1000000, rho = world->rho_ppm;
	uint64_t left_us = host->fencer.tenure.deadline_ms * 1000 -
			   drifting_us(&host->clock, world->now_us);
	uint64_t dead_us = world->now_us + left_us * million / (million - rho) +
			   host->k_ms * 1000ull;
	uint64_t free_us = when_due(o->read_us, crn->exp_ms, o->c_ms, rho);
	uint64_t later_us = when_due(o->proposed_us, crn->exp_ms,
				     o->c_ms + world->config.dt_max_ms, rho);

	if (free_us < later_us)
		free_us = later_us;
	if (o->has_slack && dead_us >= free_us)
		world_fail(world, "I4: %s may execute until %.3f s, its lease "
			   "may be over at %.3f s (exp %" PRIu64 ", C %" PRIu64
			   " of %.3f s)", host_name(host),
			   (double)dead_us / 1e6, (double)free_us / 1e6,
			   crn->exp_ms, o->c_ms, (double)o->read_us / 1e6);
}

void oracle_lease(struct host *host)
{
	struct world *world = host->world;
	const struct fsm_view *view = oracle_view(world);
	slot_t slot = fsm_crn_find(view, &host->crn_hash);
	const struct tenure *t = &host->fencer.tenure;
	struct fsm_crn crn;

	if (!lease_valid(host))
		return;
	if (t->gen < host->last_gen ||
	    (t->gen == host->last_gen && (t->session < host->last_session ||
	     (t->session == host->last_session &&
	      t->version < host->last_version))))
		world_fail(world, "I6: %s: session or version goes back",
			   host_name(host));
	host->last_gen = t->gen;
	host->last_session = t->session;
	host->last_version = t->version;
	if (!asked(host) || !renewed(view, host))
		return;
	if (slot == SLOT_NONE || !fsm_crn_read(view, slot, &crn) ||
	    !crn.alive || crn.session != t->session)
		world_fail(world, "I3: %s extends session %" PRIu64 ", which is "
			   "not alive", host_name(host), t->session >> 16);
	else
		check_lease_time(host, &crn);
}

/* --- I1 and capacity ---------------------------------------------------------------------- */

static void other_of_lineage(struct host *host, const struct live *live)
{
	struct world *world = host->world;
	uint32_t root = world->programs[live->program].root;

	for (uint32_t h = 0; h < world->host_count; h++)
		for (uint32_t i = 0; i < RUNS_MAX; i++) {
			const struct live *other = &world->hosts[h]->live[i];

			if (other == live || !executing(other) ||
			    world->programs[other->program].root != root ||
			    world->programs[root].outside ||
			    !guarded(world->hosts[h]))
				continue;
			if (!clock_trusted(world) &&
			    !(other->hold && live->hold))
				continue;
			world_fail(world, "I1: %s executes program %u (epoch %"
				   PRIu64 ") while %s executes program %u "
				   "(epoch %" PRIu64 ")", host_name(host),
				   live->program, live->epoch >> 16,
				   host_name(world->hosts[h]), other->program,
				   other->epoch >> 16);
		}
}

static void check_capacity(struct host *host)
{
	struct world *world = host->world;
	const struct size *all = &host->size;
	struct size used = { 0 };

	for (uint32_t i = 0; i < RUNS_MAX; i++) {
		const struct live *live = &host->live[i];
		const struct size *size = &world->programs[live->program].size;

		if (!executing(live))
			continue;
		used.vcpus += size->vcpus;
		used.memory_mib += size->memory_mib;
		used.disk_mib += size->disk_mib;
	}
	if (used.vcpus > all->vcpus)
		world_fail(world, "capacity, vcpus: %s has %u and executes %u",
			   host_name(host), all->vcpus, used.vcpus);
	if (used.memory_mib > all->memory_mib)
		world_fail(world, "capacity, memory: %s has %" PRIu64
			   " MiB and executes %" PRIu64, host_name(host),
			   all->memory_mib, used.memory_mib);
	if (used.disk_mib > all->disk_mib)
		world_fail(world, "capacity, disk: %s has %" PRIu64
			   " MiB and executes %" PRIu64, host_name(host),
			   all->disk_mib, used.disk_mib);
}

void oracle_executes(struct host *host, struct live *live)
{
	struct world *world = host->world;

	world->totals.starts++;
	if (world->programs[world->programs[live->program].root].executing++ &&
	    guarded(host))
		other_of_lineage(host, live);
	if (guarded(host))
		check_capacity(host);
	story(world, "%s lets program %u go, epoch %" PRIu64 "%s",
	      host_name(host), live->program, live->epoch >> 16,
	      live->hold ? ", held" : "");
}

void oracle_ends(struct host *host, struct live *live)
{
	struct world *world = host->world;

	world->programs[world->programs[live->program].root].executing--;
	world->totals.ends++;
	if (!world->over)
		story(world, "program %u, epoch %" PRIu64 ", is dead on %s",
		      live->program, live->epoch >> 16, host_name(host));
}

/* --- the log and the states: I7, I8 --------------------------------------------------------- */

bool oracle_write(void *ctx, const void *data, size_t size)
{
	struct memory *m = ctx;

	while (m->capacity < m->size + size) {
		m->capacity = m->capacity * 2 + 4096;
		m->data = need(realloc(m->data, m->capacity));
	}
	memcpy(m->data + m->size, data, size);
	m->size += size;
	return true;
}

bool oracle_read(void *ctx, void *data, size_t size)
{
	struct memory *m = ctx;

	if (size > m->size - m->at)
		return false;
	memcpy(data, m->data + m->at, size);
	m->at += size;
	return true;
}

/* The oracle goes on from the restored state: its next results are compared
 * with those of replicas that never restored. */
static void restore(struct world *world)
{
	struct oracle *o = world->oracle;
	struct memory memory = { 0 };
	const struct byte_sink sink = { &memory, oracle_write };
	const struct byte_source source = { &memory, oracle_read };
	struct fsm *fsm = NULL;

	if (!fsm_snapshot_write(fsm_live(o->fsm), &sink) ||
	    fsm_snapshot_read(&fsm, &source) != 0) {
		world_fail(world, "the snapshot at %" PRIu64 " is not readable",
			   o->max);
		free(memory.data);
		return;
	}
	spoil_state(world, MUTATE_SNAPSHOT, fsm);
	if (fsm_hash(fsm) != fsm_hash(o->fsm)) {
		world_fail(world, "the snapshot at %" PRIu64 " restores to "
			   "another state", o->max);
		fsm_close(fsm);
	} else {
		fsm_close(o->fsm);
		o->fsm = fsm;
	}
	free(memory.data);
}

void oracle_note(struct oracle *o, uint64_t index)
{
	o->states[index % ORACLE_RING].index = index;
	o->states[index % ORACLE_RING].hash = fsm_hash(o->fsm);
	world_trace(o->world, o->states[index % ORACLE_RING].hash);
}

static void commit(struct world *world, uint64_t index, const void *data,
		   size_t size)
{
	struct oracle *o = world->oracle;
	const struct fsm_observer observer = { world, on_result, on_effect };
	uint64_t bytes = bytes_hash(data, size);

	o->max = index;
	o->sessions_moved = false;
	o->entries[index % ORACLE_RING].index = index;
	o->entries[index % ORACLE_RING].bytes = bytes;
	fsm_apply(o->fsm, index, data, size, &observer);
	audit_entry(world, index, data, size, oracle_view(world));
	slow_log_entry(o, index, data, size);
	world->totals.applied++;
	check_time(world, index, bytes);
	if (o->sessions_moved)
		check_sessions(world);
	boots_look(o);
	oracle_quarantine(world);
	if (index % HASH_EVERY == 0)
		oracle_note(o, index);
	if (index % CHECK_EVERY == 0) {
		spoil_state(world, MUTATE_BROKEN_STATE, o->fsm);
		fsm_check(o->fsm);
	}
	if (index >= o->next_restore) {
		o->next_restore = index + RESTORE_EVERY;
		restore(world);
	}
}

/* Before a replica applies an entry. */
void oracle_apply(struct node *node, uint64_t index, const void *data,
		  size_t size)
{
	struct world *world = node->world;
	struct oracle *o = world->oracle;

	if (index > o->max)
		commit(world, index, data, size);
	else if (o->entries[index % ORACLE_RING].index == index &&
		 o->entries[index % ORACLE_RING].bytes != bytes_hash(data, size))
		world_fail(world, "I8: replica %" PRIu64 " has another entry "
			   "%" PRIu64, node->id, index);
}

static void compare(struct node *node, uint64_t index)
{
	struct oracle *o = node->world->oracle;

	if (o->states[index % ORACLE_RING].index == index &&
	    o->states[index % ORACLE_RING].hash != fsm_hash(node->fsm))
		world_fail(node->world, "I8: replica %" PRIu64 " has another "
			   "state at %" PRIu64, node->id, index);
}

/* After a replica has applied it. */
void oracle_applied(struct node *node, uint64_t index)
{
	if (index % HASH_EVERY == 0)
		compare(node, index);
}

/* When a snapshot is taken its state's hash is kept, if it is the newest. */
void oracle_snapshot(struct node *node, uint64_t index)
{
	struct oracle *o = node->world->oracle;

	if (index == o->max)
		oracle_note(o, index);
	else
		compare(node, index);
}

void oracle_restored(struct node *node, uint64_t index)
{
	compare(node, index);
}

/* --- a disaster: only what the backup holds ever was --------------------------------- */

static void recall(struct request *request, const struct fsm_view *view)
{
	uint32_t refusal = 0;

	request->once = state_recalls(view, request->id, &request->stamp,
				      &refusal);
	request->refusal = (enum fsm_refusal)refusal;
}

void oracle_rewind(struct world *world, struct fsm *fsm)
{
	struct oracle *o = world->oracle;
	const struct fsm_view *view = fsm_live(fsm);
	struct fsm_status status;

	fsm_close(o->fsm);
	o->fsm = fsm;
	fsm_status(view, &status);
	memset(o->states, 0, sizeof o->states);
	memset(o->entries, 0, sizeof o->entries);
	memset(o->proposals, 0, sizeof o->proposals);
	memset(o->boots, 0, sizeof o->boots);
	audit_rewind(world, status.index, view);
	slow_log_rewind(o);
	o->max = status.index;
	o->c_ms = status.c_ms;
	o->read_us = o->proposed_us = world->now_us;
	o->next_restore = status.index + 500;
	o->has_slack = false;
	o->in_quarantine = false;
	oracle_note(o, o->max);
	for (uint32_t i = 0; i < REQUESTS_MAX; i++)
		if (world->requests[i].used)
			recall(&world->requests[i], view);
}

void oracle_open(struct world *world)
{
	struct oracle *o = need(calloc(1, sizeof *o));

	world->oracle = o;
	o->world = world;
	o->fsm = fsm_open();
	slow_log_open(o);
	o->next_restore = 500;
}

void oracle_close(struct world *world)
{
	fsm_close(world->oracle->fsm);
	slow_log_close(world->oracle);
	free(world->oracle);
}
