/* Clients and operators: they ask under request ids until they are answered,
 * sometimes of two replicas at once, and act on what they read, which may be
 * old. */
#include <stdio.h>
#include <stdlib.h>

#include "fsm/place.h"
#include "tests/sim/whole/oracle.h"

/* One submission of a request to one replica. */
struct asking {
	struct driver_client client;
	struct world *world;
	struct request *request;
	uint32_t number;
	struct fsm_result result;
	bool has_result;
};

static void on_result(struct driver_client *client,
		      const struct fsm_result *result)
{
	struct asking *asking = (struct asking *)client;

	asking->result = *result;
	asking->has_result = true;
}

static void on_done(struct driver_client *client, int code, uint64_t index)
{
	struct asking *asking = (struct asking *)client;
	struct request *request = asking->request;
	struct world *world = asking->world;

	(void)index;
	if (code == 0 && asking->has_result && !world->over &&
	    request->number == asking->number && !request->acked &&
	    (world->healed || !chance_percent(&world->chance, 10))) {
		spoil_acked(request, &asking->result);
		oracle_acked(request, &asking->result);
		request->acked = true;
		if (request->type == FSM_PROGRAM_PUT)
			world->programs[program_number(world,
				&asking->result.subject)].put = true;
	}
	free((void *)(uintptr_t)client->commands);
	free(asking);
}

static void ask(struct request *request, struct node *node)
{
	struct asking *asking = need(calloc(1, sizeof *asking));
	uint8_t *copy = need(malloc(request->size));

	memcpy(copy, request->data, request->size);
	spoil_request(request, copy);
	asking->world = request->world;
	asking->request = request;
	asking->number = request->number;
	asking->client.commands = copy;
	asking->client.size = request->size;
	asking->client.count = 1;
	asking->client.result = on_result;
	asking->client.done = on_done;
	driver_submit(node->driver, &asking->client);
	node->next_us = request->world->now_us;
}

static void again(struct request *request, uint64_t us)
{
	struct event event = { .kind = EVENT_CLIENT,
			       .a = request->number };

	event.at_us = request->world->now_us + us;
	event_push(request->world, &event);
}

/* Tries at whoever some replica thinks leads, until it is answered. */
void people_client(struct world *world, const struct event *event)
{
	struct request *request = &world->requests[event->a % REQUESTS_MAX];
	struct node *node = node_any(world);

	if (!request->used || request->number != event->a || request->acked)
		return;
	request->tries++;
	if (node_ready(node) && node->leader != 0) {
		node = &world->nodes[node->leader - 1];
		if (node_ready(node))
			ask(request, node);
		spoil_asked(request);
	}
	again(request, chance_between(&world->chance, 300000, 4000000));
}

struct bytes {
	uint8_t *data;
	size_t size, size_max;
};

static bool bytes_write(void *ctx, const void *data, size_t size)
{
	struct bytes *b = ctx;

	if (size > b->size_max - b->size)
		return false;
	memcpy(b->data + b->size, data, size);
	b->size += size;
	return true;
}

void request_new(struct world *world, struct command *command,
			const char *what)
{
	uint32_t number = ++world->request_count;
	struct request *request = &world->requests[number % REQUESTS_MAX];
	struct bytes bytes = { request->data, 0, sizeof request->data };
	struct byte_sink sink = { &bytes, bytes_write };

	memset(request, 0, sizeof *request);
	request->world = world;
	request->used = true;
	request->number = number;
	request->type = command->type;
	memcpy(command->request, &number, sizeof number);
	memcpy(command->request + 8, &world->seed, sizeof world->seed);
	memcpy(request->id, command->request, sizeof request->id);
	snprintf(request->what, sizeof request->what, "%s", what);
	REQUIRE(command_encode(&sink, command));
	request->size = bytes.size;
	story(world, "request %u: %s", number, what);
	again(request, chance_below(&world->chance, 50000));
}

static struct text text_of(const char *text)
{
	return (struct text){ text, (uint32_t)strlen(text) };
}

/* --- what they ask for ---------------------------------------------------------------- */

void put_program(struct world *world, uint32_t number)
{
	struct command command = { .type = FSM_PROGRAM_PUT };
	struct command_program_put *m = &command.program_put;
	struct program *p = &world->programs[number];
	char what[80];

	m->program = p->hash;
	m->source = SOURCE_OPERATOR;
	m->guarantee = p->hold ? GUARANTEE_HOLD : GUARANTEE_EXCLUSIVE;
	m->amendable = m->persistent = true;
	m->move_without_data = true;
	m->has_replaces = p->replaces;
	if (p->replaces)
		m->replaces = world->programs[p->replaced].hash;
	m->time_ms = 1000 + number;
	m->owner = text_of("owner");
	m->name = text_of("program");
	m->vcpus = p->size.vcpus;
	m->memory_mib = p->size.memory_mib;
	m->disk_mib = p->size.disk_mib;
	snprintf(what, sizeof what, "put program %u%s", number,
		 p->hold ? ", exclusive-hold" : "");
	request_new(world, &command, what);
}

static uint32_t program_new(struct world *world)
{
	uint32_t number = world->program_count++;
	struct program *p = &world->programs[number];

	memset(p, 0, sizeof *p);
	for (uint32_t i = 0; i < 28; i++)
		p->hash.bytes[i] = (uint8_t)chance_next(&world->chance);
	memcpy(p->hash.bytes + 28, &number, sizeof number);
	p->root = number;
	p->hold = chance_percent(&world->chance, world->options.hold);
	p->size = (struct size){
		(uint32_t)chance_between(&world->chance, 1, 2),
		chance_between(&world->chance, 64, 1024),
		chance_below(&world->chance, 2049) };
	return number;
}

static void put_crn(struct world *world, uint32_t crn, bool linked)
{
	struct command command = { .type = FSM_CRN_PUT };
	char what[80];

	command.crn_put.crn = world->crns[crn];
	command.crn_put.name = text_of("crn");
	command.crn_put.owner = text_of("host");
	command.crn_put.linked = linked;
	snprintf(what, sizeof what, "crn %u is %s", crn,
		 linked ? "admitted" : "unlinked");
	request_new(world, &command, what);
}

/* What some replica's applied state shows, perhaps an old one. */
const struct fsm_view *some_view(struct world *world)
{
	struct node *node = node_any(world);

	return node->alive ? fsm_live(node->fsm) : NULL;
}

static void revoke(struct world *world, uint32_t number)
{
	static const enum revoke_cause causes[] = { REVOKE_OPERATOR,
						    REVOKE_DRAIN,
						    REVOKE_UPDATE };
	struct command command = { .type = FSM_REVOKE };
	const struct fsm_view *view = some_view(world);
	struct fsm_program program;
	slot_t slot = view ? fsm_program_find(view,
					      &world->programs[number].hash) :
			     SLOT_NONE;
	char what[80];

	if (slot == SLOT_NONE || !fsm_program_read(view, slot, &program) ||
	    program.state != PROGRAM_ASSIGNED)
		return;
	command.revoke.program = program.hash;
	command.revoke.epoch = program.epoch;
	command.revoke.cause = causes[chance_below(&world->chance, 3)];
	command.revoke.reason = text_of("moved");
	snprintf(what, sizeof what, "revoke program %u, epoch %" PRIu64, number,
		 program.epoch >> 16);
	request_new(world, &command, what);
}

void forget_program(struct world *world, uint32_t number)
{
	struct command command = { .type = FSM_PROGRAM_FORGET };
	char what[80];

	if (!world->programs[number].put)
		return;
	command.program_forget.program = world->programs[number].hash;
	command.program_forget.reason = text_of("not wanted");
	world->programs[number].forgotten = true;
	snprintf(what, sizeof what, "forget program %u", number);
	request_new(world, &command, what);
}

static void remove_crn(struct world *world, uint32_t crn)
{
	struct command command = { .type = FSM_CRN_REMOVE };
	char what[80];

	command.crn_remove.crn = world->crns[crn];
	snprintf(what, sizeof what, "remove crn %u", crn);
	request_new(world, &command, what);
}

/* The numbers move within what the formula allows for the largest K. */
static void change_config(struct world *world)
{
	struct command command = { .type = FSM_CONFIG };
	uint32_t more = (uint32_t)chance_below(&world->chance, 4) *
			(world->config.ttl_a_ms / 8);

	command.config = world->config;
	if (chance_percent(&world->chance, 30))
		command.config.beat_ms = 400;
	command.config.ttl_a_ms += more;
	command.config.ttl_s_ms += more + more / 16;
	request_new(world, &command, "change the configuration");
}

/* Where a session of that machine is still in the state. */
static stamp_t session_of(const struct fsm_view *view, const struct host *host,
			  const struct hash *machine)
{
	slot_t slot = fsm_crn_find(view, &host->crn_hash), p = SLOT_NONE;
	struct fsm_program program;
	struct fsm_crn crn;

	if (slot == SLOT_NONE || !fsm_crn_read(view, slot, &crn))
		return 0;
	if (crn.session != 0 && hash_equal(&crn.host, machine))
		return crn.session;
	while ((p = fsm_crn_next_program(view, slot, p)) != SLOT_NONE)
		if (fsm_program_read(view, p, &program) && program.hold &&
		    hash_equal(&program.host, machine))
			return program.session;
	return 0;
}

/* Of a copied machine nobody can tell which one is off; in the end they look. */
static bool copy_is_on(const struct host *host)
{
	const struct world *world = host->world;

	for (uint32_t i = 0; world->healed && i < world->host_count; i++)
		if (world->hosts[i]->on &&
		    hash_equal(&world->hosts[i]->host_hash, &host->host_hash))
			return true;
	return false;
}

/* The session is read first; then the machine is seen off. */
static void confirm(struct world *world, struct host *host)
{
	struct command command = { .type = FSM_FENCE_CONFIRM };
	const struct fsm_view *view = some_view(world);
	struct fsm_status status;
	stamp_t session;
	char what[80];

	if (!view)
		return;
	if (host->on && world->options.mutation != MUTATE_LYING_FENCE)
		return;
	if (copy_is_on(host) && world->options.mutation != MUTATE_LYING_FENCE)
		return;
	session = session_of(view, host, &host->host_hash);
	if (session == 0)
		return;
	fsm_status(view, &status);
	command.fence_confirm.gen = status.gen;
	command.fence_confirm.crn = host->crn_hash;
	command.fence_confirm.session = session;
	command.fence_confirm.who = text_of("operator");
	snprintf(what, sizeof what, "%s was seen off, session %" PRIu64,
		 host_name(host), session >> 16);
	request_new(world, &command, what);
}

static void supersede(struct world *world)
{
	uint32_t old = (uint32_t)chance_below(&world->chance,
					      world->program_count), new;

	if (world->program_count == PROGRAMS_MAX ||
	    !world->programs[old].put || world->programs[old].forgotten)
		return;
	new = program_new(world);
	world->programs[new].root = world->programs[old].root;
	world->programs[new].size = world->programs[old].size;
	world->programs[new].replaces = true;
	world->programs[new].replaced = old;
	put_program(world, new);
}

void people_act(struct world *world, uint32_t which)
{
	uint32_t number = (uint32_t)chance_below(&world->chance,
						 world->program_count);
	uint32_t crn = (uint32_t)chance_below(&world->chance,
					      world->options.crns);
	uint32_t dice = (uint32_t)chance_below(&world->chance, 100);
	struct host *host = world->hosts[chance_below(&world->chance,
						      world->host_count)];

	if (which == FAULT_CLIENT) {
		if (dice < 15)
			supersede(world);
		else if (dice < 20)
			forget_program(world, number);
		else
			revoke(world, number);
	} else if (dice < 50) {
		for (uint32_t i = 0; i < world->host_count; i++)
			if (!world->hosts[i]->on && dice % 2)
				host = world->hosts[i];
		confirm(world, host);
	} else if (dice < 60 && world->restored) {
		survey_by_hand(world);
	} else if (dice < 70) {
		put_crn(world, crn, chance_percent(&world->chance, 60));
	} else if (dice < 80) {
		remove_crn(world, crn);
		put_crn(world, crn, true);
	} else {
		change_config(world);
	}
}

void people_open(struct world *world)
{
	for (uint32_t i = 0; i < world->options.crns; i++)
		put_crn(world, i, true);
	for (uint32_t i = 0; i < world->options.programs; i++) {
		put_program(world, program_new(world));
	}
}

/* After the heal: every CRN is linked, and what is gone is told to be. */
void people_settle(struct world *world)
{
	const struct fsm_view *view = oracle_view(world);
	struct fsm_crn record;

	for (uint32_t i = 0; i < world->options.crns; i++) {
		slot_t slot = fsm_crn_find(view, &world->crns[i]);

		if (slot == SLOT_NONE || !fsm_crn_read(view, slot, &record) ||
		    !record.linked)
			put_crn(world, i, true);
	}
	for (uint32_t i = 0; i < world->host_count; i++)
		if (world->hosts[i]->gone)
			confirm(world, world->hosts[i]);
	survey_by_hand(world);
}

/* --- is everything as it should be? -------------------------------------------------------- */

static bool runs_well(struct world *world, uint32_t number,
		      const struct fsm_program *program)
{
	uint32_t count = 0;

	for (uint32_t h = 0; h < world->host_count; h++)
		for (uint32_t i = 0; i < RUNS_MAX; i++) {
			const struct live *live = &world->hosts[h]->live[i];

			count += live->state == LIVE_EXECUTING &&
				 live->program == number &&
				 live->epoch == program->epoch &&
				 live->gen == program->gen;
		}
	return count == 1;
}

static bool fits_nowhere(const struct fsm_view *view, slot_t slot,
			 struct place_verdict *verdict)
{
	struct place_overlay *overlay = place_overlay_open();

	REQUIRE(overlay != NULL);
	place_choose(view, overlay, slot, verdict);
	place_overlay_close(overlay);
	return verdict->reason == PLACE_VCPUS ||
	       verdict->reason == PLACE_MEMORY ||
	       verdict->reason == PLACE_DISK;
}

/* What it replaces was forgotten before it came, or waits for such a one. */
static bool waits_for_ever(const struct fsm_view *view,
			   const struct fsm_program *program)
{
	struct fsm_program at = *program;

	while (at.waiting_for_replaced) {
		slot_t slot = fsm_program_find(view, &at.replaces);

		if (slot == SLOT_NONE || !fsm_program_read(view, slot, &at) ||
		    at.forgotten)
			return true;
	}
	return false;
}

static bool program_satisfied(struct world *world, uint32_t number, char *why,
			      size_t size)
{
	const struct fsm_view *view = oracle_view(world);
	struct program *p = &world->programs[number];
	slot_t slot = fsm_program_find(view, &p->hash);
	struct place_verdict verdict;
	struct fsm_program program;

	if (slot == SLOT_NONE || !fsm_program_read(view, slot, &program)) {
		snprintf(why, size, "program %u is not known", number);
		return p->forgotten;
	}
	if (program.superseded || program.forgotten || p->forgotten) {
		snprintf(why, size, "program %u is not wanted and has a place "
			 "(state %d%s, session %" PRIu64 ", crn %u)", number,
			 (int)program.state, program.orphan ? ", orphan" : "",
			 program.session >> 16, program.crn_hash.bytes[28]);
		return program.state == PROGRAM_FREE;
	}
	if (program.state == PROGRAM_ASSIGNED) {
		snprintf(why, size, "program %u has a place and does not run",
			 number);
		return runs_well(world, number, &program);
	}
	if (program.waiting_for_replaced) {
		snprintf(why, size, "program %u waits for a known one", number);
		return waits_for_ever(view, &program);
	}
	if (program.state == PROGRAM_FREE &&
	    fits_nowhere(view, slot, &verdict))
		return true;
	snprintf(why, size, "program %u has no place: state %d, %s", number,
		 (int)program.state, program.state == PROGRAM_FREE ?
		 place_reason_name(verdict.reason) : "it does not stop");
	return false;
}

bool people_satisfied(struct world *world, char *why, size_t size)
{
	for (uint32_t i = 0; i < world->request_count && i < REQUESTS_MAX; i++) {
		struct request *request = &world->requests[i];

		if (request->used && !request->acked) {
			snprintf(why, size, "request %u is not answered: %s",
				 request->number, request->what);
			return false;
		}
	}
	for (uint32_t i = 0; i < world->program_count; i++)
		if (!program_satisfied(world, i, why, size))
			return false;
	return true;
}
