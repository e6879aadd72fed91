#include "tests/kit/driver_world.h"

#include <stdlib.h>

#include "node/replica/conf.h"

static uint64_t clock_of(void *ctx)
{
	struct world *w = ctx;

	return w->now_ms;
}

static uint64_t term_of(void *ctx)
{
	struct world *w = ctx;

	return w->term;
}

static int on_propose(void *ctx, const void *data, size_t size, bool urgent,
		      uint64_t *index)
{
	struct world *w = ctx;
	struct world_entry *entry;

	if (w->refuse != 0)
		return w->refuse;
	if (w->refuse_work && !urgent)
		return BERTH_BUSY;
	entry = calloc(1, sizeof *entry + size);
	REQUIRE(entry != NULL);
	entry->index = ++w->last;
	entry->urgent = urgent;
	entry->size = size;
	memcpy(entry->data, data, size);
	*w->log_end = entry;
	w->log_end = &entry->next;
	*index = entry->index;
	return 0;
}

static void on_send(void *ctx, const struct agent_route *route, uint8_t type,
		    const void *payload, size_t size)
{
	struct world *w = ctx;
	struct world_frame *frame = &w->frames[w->frame_count];

	REQUIRE(w->frame_count < WORLD_FRAMES_MAX);
	w->frame_count++;
	*frame = (struct world_frame){ *route, type, size, malloc(size + 1) };
	REQUIRE(frame->payload != NULL);
	memcpy(frame->payload, payload, size);
}

static void on_alarm(void *ctx, const struct driver_clock *clock)
{
	struct world *w = ctx;

	w->alarms++;
	w->alarm = *clock;
}

static void on_result(void *ctx, const struct fsm_result *result)
{
	struct world *w = ctx;

	if (w->result_count == w->result_capacity) {
		w->result_capacity = w->result_capacity * 2 + 64;
		w->results = realloc(w->results, w->result_capacity *
							 sizeof *w->results);
		REQUIRE(w->results != NULL);
	}
	w->results[w->result_count++] = *result;
}

static void apply_bytes(struct world *w, uint64_t index, const void *data,
			size_t size)
{
	const struct fsm_observer observer = { w, on_result, NULL };

	w->result_count = 0;
	fsm_apply(w->fsm, index, data, size, &observer);
	fsm_check(w->fsm);
	w->applied = index;
	driver_applied(w->driver, fsm_live(w->fsm), index, w->results,
		       w->result_count);
}

struct bytes {
	uint8_t *data;
	size_t size;
};

static bool bytes_write(void *ctx, const void *data, size_t size)
{
	struct bytes *b = ctx;

	b->data = realloc(b->data, b->size + size);
	REQUIRE(b->data != NULL);
	memcpy(b->data + b->size, data, size);
	b->size += size;
	return true;
}

void world_open(struct world *w)
{
	const struct driver_ops ops = {
		.ctx = w, .self = 1, .clock_ms = clock_of, .wall_ms = clock_of,
		.propose = on_propose, .raft_term = term_of, .send = on_send,
		.clock_alarm = on_alarm };
	struct command first = { .type = FSM_CONFIG };
	struct bytes bytes = { NULL, 0 };
	struct byte_sink sink = { &bytes, bytes_write };

	memset(w, 0, sizeof *w);
	w->now_ms = 1000;
	w->log_end = &w->log;
	w->fsm = fsm_open();
	REQUIRE(driver_open(&w->driver, &ops) == 0);
	REQUIRE(conf_profile("fast", &first.config));
	first.config.watchdog_none_ok = true;
	REQUIRE(command_entry_begin(&sink, 0, 1) &&
		command_encode(&sink, &first));
	apply_bytes(w, ++w->last, bytes.data, bytes.size);
	free(bytes.data);
}

void world_forget_frames(struct world *w)
{
	for (uint32_t i = 0; i < w->frame_count; i++)
		free(w->frames[i].payload);
	w->frame_count = 0;
}

static void log_forget(struct world *w)
{
	struct world_entry *next;

	for (; w->log != NULL; w->log = next) {
		next = w->log->next;
		free(w->log);
	}
	w->log_end = &w->log;
}

void world_close(struct world *w)
{
	driver_close(w->driver);
	world_forget_frames(w);
	log_forget(w);
	fsm_close(w->fsm);
	free(w->results);
}

int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);

	REQUIRE(w);
	world_open(w);
	*state = w;
	return 0;
}

int world_teardown(void **state)
{
	world_close(*state);
	free(*state);
	return 0;
}

void world_lead(struct world *w)
{
	struct driver_status status;

	driver_leader(w->driver, true, ++w->term);
	world_tick(w);
	REQUIRE(world_apply(w));
	driver_status(w->driver, &status);
	REQUIRE(status.leading);
}

uint64_t world_tick(struct world *w)
{
	return driver_tick(w->driver, fsm_live(w->fsm));
}

bool world_apply(struct world *w)
{
	struct world_entry *entry = w->log;

	if (entry == NULL)
		return false;
	w->log = entry->next;
	if (w->log == NULL)
		w->log_end = &w->log;
	apply_bytes(w, entry->index, entry->data, entry->size);
	free(entry);
	return true;
}

void world_settle(struct world *w)
{
	do
		world_tick(w);
	while (world_apply(w));
}

void world_pass(struct world *w, uint64_t ms)
{
	for (uint64_t i = 0; i < ms; i += 50) {
		w->now_ms += 50;
		world_settle(w);
	}
}

void world_lose(struct world *w)
{
	driver_leader(w->driver, false, w->term);
	log_forget(w);
	w->last = w->applied;
}

uint32_t world_waiting(const struct world *w)
{
	uint32_t count = 0;

	for (struct world_entry *e = w->log; e != NULL; e = e->next)
		count++;
	return count;
}

uint32_t world_proposed(const struct world *w, enum fsm_command_type type)
{
	struct command_cursor cursor;
	struct command command;
	uint32_t count = 0;

	for (struct world_entry *e = w->log; e != NULL; e = e->next) {
		REQUIRE(command_cursor_open(&cursor, e->data, e->size) == 0);
		while (command_cursor_next(&cursor, &command) == 0)
			count += command.type == type;
		command_cursor_close(&cursor);
	}
	return count;
}

const struct world_frame *world_sent(const struct world *w, uint8_t type)
{
	for (uint32_t i = w->frame_count; i > 0; i--)
		if (w->frames[i - 1].type == type)
			return &w->frames[i - 1];
	return NULL;
}

struct one_client {
	struct driver_client client;
	struct fsm_result result;
	bool done;
	int code;
};

static void one_result(struct driver_client *client,
		       const struct fsm_result *result)
{
	((struct one_client *)client)->result = *result;
}

static void one_done(struct driver_client *client, int code, uint64_t index)
{
	struct one_client *one = (struct one_client *)client;

	(void)index;
	one->done = true;
	one->code = code;
}

enum fsm_refusal world_command(struct world *w, const struct command *command)
{
	struct one_client one = { .done = false };
	struct bytes bytes = { NULL, 0 };
	struct byte_sink sink = { &bytes, bytes_write };

	REQUIRE(command_encode(&sink, command));
	one.client.commands = bytes.data;
	one.client.size = bytes.size;
	one.client.count = 1;
	one.client.result = one_result;
	one.client.done = one_done;
	driver_submit(w->driver, &one.client);
	world_settle(w);
	REQUIRE(one.done && one.code == 0);
	free(bytes.data);
	return one.result.refusal;
}

/* --- agents ---------------------------------------------------------------- */

void world_agent(struct world_agent *a, uint8_t number)
{
	memset(a, 0, sizeof *a);
	memset(a->crn.bytes, number, sizeof a->crn.bytes);
	memset(a->host.bytes, 100 + number, sizeof a->host.bytes);
	memset(a->boot.bytes, 200 + number, sizeof a->boot.bytes);
	a->route.replica = 1;
	a->route.link = number;
}

void world_admit(struct world *w, const struct world_agent *a)
{
	struct command put = { .type = FSM_CRN_PUT };

	put.crn_put.crn = a->crn;
	put.crn_put.name = (struct text){ "crn", 3 };
	put.crn_put.linked = true;
	REQUIRE(world_command(w, &put) == FSM_OK);
}

static int say(struct world *w, const struct world_agent *a, uint8_t type,
	       const uint8_t *payload, size_t size)
{
	REQUIRE(size != 0);
	return driver_agent_frame(w->driver, fsm_live(w->fsm), &a->route,
				  &a->crn, type, payload, size);
}

int world_hello(struct world *w, const struct world_agent *a, uint8_t nonce)
{
	struct agent_hello m = { .gen = a->gen, .crn = a->crn,
				 .boot = a->boot };
	uint8_t data[512];

	memset(m.nonce, nonce, sizeof m.nonce);
	return say(w, a, AGENT_HELLO, data,
		   agent_hello_encode(&m, data, sizeof data));
}

int world_say_register(struct world *w, const struct world_agent *a,
		       stamp_t prev, uint8_t nonce)
{
	struct command command = { .type = FSM_REGISTER };
	uint8_t data[1024];

	command.reg.gen = a->gen;
	command.reg.crn = a->crn;
	command.reg.host = a->host;
	command.reg.boot = a->boot;
	command.reg.prev = prev;
	command.reg.k_ms = 900;
	command.reg.class = CRN_FENCED;
	memset(command.reg.nonce, nonce, sizeof command.reg.nonce);
	return say(w, a, AGENT_REGISTER, data,
		   agent_command_encode(&command, data, sizeof data));
}

bool world_register(struct world *w, struct world_agent *a, uint8_t nonce)
{
	const struct world_frame *frame;
	struct agent_challenge challenge;
	struct agent_register_ack ack = { 0 };
	struct hash kept[16];

	world_forget_frames(w);
	if (world_hello(w, a, nonce) != 0)
		return false;
	frame = world_sent(w, AGENT_CHALLENGE);
	if (frame == NULL || agent_challenge_decode(frame->payload, frame->size,
						    &challenge) != 0)
		return false;
	a->gen = challenge.gen;
	if (world_say_register(w, a, challenge.session, nonce) != 0)
		return false;
	world_settle(w);
	frame = world_sent(w, AGENT_REGISTER_ACK);
	ack.kept = kept;
	ack.kept_max = 16;
	if (frame == NULL || agent_register_ack_decode(
				     frame->payload, frame->size, &ack) != 0)
		return false;
	a->session = ack.session;
	a->seq = 0;
	a->have = 0;
	a->got_ack = false;
	return true;
}

void world_report(struct world *w, const struct world_agent *a, uint32_t vcpus)
{
	struct command command = { .type = FSM_CRN_REPORT };
	uint8_t data[1024];

	command.report.crn = a->crn;
	command.report.session = a->session;
	command.report.vcpus = vcpus;
	command.report.memory_mib = 1u << 20;
	command.report.disk_mib = 1u << 20;
	command.report.url = (struct text){ "http://crn", 10 };
	command.report.token_count = 1;
	command.report.tokens[0] = (struct text){ "runner:program", 14 };
	REQUIRE(say(w, a, AGENT_REPORT, data,
		    agent_command_encode(&command, data, sizeof data)) == 0);
	world_settle(w);
}

int world_heartbeat(struct world *w, struct world_agent *a,
		    struct agent_run *runs, uint32_t run_count)
{
	struct agent_heartbeat m = { 0 };
	static uint8_t data[1u << 20];

	m.gen = a->gen;
	m.crn = a->crn;
	m.session = a->session;
	m.seq = ++a->seq;
	m.applied = a->applied;
	m.have = a->have;
	m.got_ack = a->got_ack;
	m.clock_ms = a->clock_ms;
	m.runs = runs;
	m.run_count = run_count;
	m.run_max = run_count;
	return say(w, a, AGENT_HEARTBEAT, data,
		   agent_heartbeat_encode(&m, data, sizeof data));
}

bool world_follow(struct world *w, struct world_agent *a,
		  struct agent_reply *out)
{
	static struct desired_row rows[AGENT_DESIRED_MAX];
	const struct world_frame *frame;

	for (uint32_t i = w->frame_count; i > 0; i--) {
		frame = &w->frames[i - 1];
		if (frame->type != AGENT_REPLY ||
		    frame->route.link != a->route.link)
			continue;
		memset(out, 0, sizeof *out);
		out->desired = rows;
		out->desired_max = AGENT_DESIRED_MAX;
		REQUIRE(agent_reply_decode(frame->payload, frame->size,
					   out) == 0);
		REQUIRE(out->session == a->session && out->gen == a->gen);
		a->got_ack |= out->ack_seq != 0;
		if (out->has_desired) {
			a->have = out->changed;
			a->applied = out->version;
		}
		return true;
	}
	return false;
}

void world_join(struct world *w, struct world_agent *a, uint32_t vcpus)
{
	struct agent_reply reply;

	world_admit(w, a);
	REQUIRE(world_register(w, a, (uint8_t)(a->route.link + 1)));
	world_report(w, a, vcpus);
	for (uint32_t i = 0; i < 2; i++) {
		REQUIRE(world_heartbeat(w, a, NULL, 0) == 0);
		world_pass(w, 300);
		REQUIRE(world_follow(w, a, &reply));
	}
}

void world_program(struct command *out, uint32_t number)
{
	memset(out, 0, sizeof *out);
	out->type = FSM_PROGRAM_PUT;
	memcpy(out->program_put.program.bytes, &number, sizeof number);
	out->program_put.program.bytes[31] = 1;
	out->program_put.source = SOURCE_OPERATOR;
	out->program_put.persistent = true;
	out->program_put.owner = (struct text){ "owner", 5 };
	out->program_put.name = (struct text){ "name", 4 };
	out->program_put.vcpus = 1;
	out->program_put.memory_mib = 1;
	out->program_put.disk_mib = 1;
}

/* --- what is there ----------------------------------------------------------- */

struct fsm_status world_status(const struct world *w)
{
	struct fsm_status status;

	fsm_status(fsm_live(w->fsm), &status);
	return status;
}

struct fsm_crn world_crn_of(const struct world *w, const struct world_agent *a)
{
	struct fsm_crn crn;
	slot_t slot = fsm_crn_find(fsm_live(w->fsm), &a->crn);

	REQUIRE(slot != SLOT_NONE &&
		fsm_crn_read(fsm_live(w->fsm), slot, &crn));
	return crn;
}

struct fsm_program world_program_of(const struct world *w,
				    const struct command *put)
{
	struct fsm_program p;
	slot_t slot = fsm_program_find(fsm_live(w->fsm),
				       &put->program_put.program);

	REQUIRE(slot != SLOT_NONE &&
		fsm_program_read(fsm_live(w->fsm), slot, &p));
	return p;
}

struct driver_status world_counts(const struct world *w)
{
	struct driver_status counts;

	driver_status(w->driver, &counts);
	return counts;
}
