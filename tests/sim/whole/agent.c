/* The agent, as agent_session.c and agent_register.c have it: registers, sends
 * heartbeats, passes replies to the fencer, asks it to start what is desired.
 * It may be killed and paused at any time; the fencer stays. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/whole/whole.h"

#define ANSWER_US 1500000u
#define REFUSED_US_MAX 15000000u
#define REPORT_US 60000000u

static void enter(struct host *host, enum phase phase)
{
	host->phase = phase;
	host->began_us = host->world->now_us;
}

static void again(struct host *host, uint64_t us)
{
	enter(host, PHASE_SETTLING);
	host->wait_us = host->world->now_us + us;
}

static uint64_t backed_off(struct host *host)
{
	uint64_t us = host->refused_us;

	host->refused_us = us * 2 > REFUSED_US_MAX ? REFUSED_US_MAX : us * 2;
	return us;
}

void agent_soon(struct host *host, uint64_t at_us)
{
	struct event event = { .kind = EVENT_AGENT, .to = host->number,
			       .life = host->life, .at_us = at_us };

	if (host->agent_next_us <= at_us)
		return;
	host->agent_next_us = at_us;
	event.a = ++host->agent_token;
	event_push(host->world, &event);
}

/* --- the link ------------------------------------------------------------------- */

static void rotate_link(struct host *host)
{
	struct world *world = host->world;

	uint32_t at = host->link_node + 1 +
		      (uint32_t)chance_below(&world->chance, 2);

	/* Replies list all replicas; a list may be old. */
	for (uint32_t i = 0; i < world->node_count; i++) {
		host->link_node = (at + i) % world->node_count;
		if (!world->nodes[host->link_node].gone ||
		    chance_below(&world->chance, 20) == 0)
			break;
	}
	host->link = (uint64_t)host->number << 40 | ++world->links;
	host->link_us = world->now_us + wire_delay(world, true) % 3000000;
}

/* --- registration ------------------------------------------------------------------ */

static void greet(struct host *host)
{
	struct world *world = host->world;
	struct agent_hello m = { .gen = host->fencer.tenure.gen,
				 .crn = host->crn_hash,
				 .boot = host->boot_hash };

	memcpy(m.nonce, host->nonce, sizeof m.nonce);
	host->sent_us = world->now_us;
	wire_up(host, AGENT_HELLO, world->frame,
		agent_hello_encode(&m, world->frame, AGENT_FRAME_SIZE_MAX));
}

static void say_hello(struct host *host)
{
	struct fencer_answer a;
	enum fencer_code code;

	fencer_wake(host);
	code = fencer_ask_for(host, FENCER_HELLO, NULL, 0, &a);
	if (code != FENCER_OK) {
		host->wait_us = host->world->now_us + 100000;
		if (code == FENCER_HAS_SESSION)
			enter(host, PHASE_OPEN);
		return;
	}
	memcpy(host->nonce, a.nonce, sizeof host->nonce);
	enter(host, PHASE_GREETING);
	greet(host);
}

static void challenged(struct host *host, const uint8_t *data, size_t size)
{
	struct world *world = host->world;
	struct command command = { .type = FSM_REGISTER };
	struct command_register *reg = &command.reg;
	struct tenure *t = &host->fencer.tenure;
	struct agent_challenge m;
	struct fencer_answer a;

	if (host->phase != PHASE_GREETING ||
	    agent_challenge_decode(data, size, &m) != 0 ||
	    memcmp(m.nonce, host->nonce, sizeof m.nonce) != 0)
		return;
	if (fencer_ask_for(host, FENCER_CHALLENGE, data, size, &a) !=
	    FENCER_OK) {
		again(host, backed_off(host));
		return;
	}
	reg->gen = a.gen;
	reg->crn = host->crn_hash;
	reg->host = a.host;
	reg->boot = a.boot;
	reg->prev = a.prev;
	memcpy(reg->nonce, a.nonce, sizeof reg->nonce);
	reg->k_ms = a.k_ms;
	reg->watchdog = WATCHDOG_SOFT;
	reg->class = CRN_FENCED;
	reg->held_count = a.held_count;
	reg->held = t->held;
	host->reg_size = agent_command_encode(&command, world->frame,
					      AGENT_FRAME_SIZE_MAX);
	host->reg = need(realloc(host->reg, host->reg_size + 1));
	memcpy(host->reg, world->frame, host->reg_size);
	enter(host, PHASE_REGISTERING);
	host->sent_us = world->now_us;
	wire_up(host, AGENT_REGISTER, host->reg, host->reg_size);
}

static void report(struct host *host)
{
	struct world *world = host->world;
	struct command command = { .type = FSM_CRN_REPORT };

	command.report.crn = host->crn_hash;
	command.report.session = host->fencer.tenure.session;
	command.report.vcpus = host->size.vcpus;
	command.report.memory_mib = host->size.memory_mib;
	command.report.disk_mib = host->size.disk_mib;
	command.report.url = (struct text){ "http://crn", 10 };
	spoil_report(world, &command.report);
	command.report.token_count = 1;
	command.report.tokens[0] = (struct text){ "runner:program", 14 };
	host->report_us = world->now_us + REPORT_US;
	wire_up(host, AGENT_REPORT, world->frame,
		agent_command_encode(&command, world->frame,
				     AGENT_FRAME_SIZE_MAX));
}

static void opened(struct host *host)
{
	host->beat_us = host->report_us = host->heard_us = host->world->now_us;
	host->refused_us = 500000;
	host->attempt_count = 0;
	enter(host, PHASE_OPEN);
}

static void acknowledged(struct host *host, const uint8_t *data, size_t size)
{
	struct hash kept[RUNS_MAX];
	struct agent_register_ack m = { .kept = kept, .kept_max = RUNS_MAX };
	struct fencer_answer a;
	enum fencer_code code;

	if (host->phase != PHASE_REGISTERING ||
	    agent_register_ack_decode(data, size, &m) != 0)
		return;
	code = fencer_ask_for(host, FENCER_ADOPT, data, size, &a);
	if (code == FENCER_STALE)
		return;
	if (code != FENCER_OK) {
		again(host, 0);
		return;
	}
	host->heartbeat_ms = m.heartbeat_ms;
	story(host->world, "%s adopts session %" PRIu64, host_name(host),
	      m.session >> 16);
	oracle_lease(host);
	opened(host);
}

static void refused(struct host *host, const uint8_t *data, size_t size)
{
	struct agent_refused m;

	if (agent_refused_decode(data, size, &m) != 0 ||
	    host->phase == PHASE_OPEN ||
	    memcmp(m.nonce, host->nonce, sizeof m.nonce) != 0)
		return;
	if ((m.of == AGENT_HELLO && host->phase == PHASE_GREETING) ||
	    (m.of == AGENT_REGISTER && host->phase == PHASE_REGISTERING))
		again(host, backed_off(host));
}

/* --- an open session ------------------------------------------------------------------ */

static struct attempt *attempt_of(struct host *host,
				  const struct desired_row *row)
{
	struct attempt *a;

	for (uint32_t i = 0; i < host->attempt_count; i++) {
		a = &host->attempts[i];
		if (a->epoch == row->epoch &&
		    hash_equal(&a->program, &row->program))
			return a;
	}
	if (host->attempt_count == RUNS_MAX)
		return NULL;
	a = &host->attempts[host->attempt_count++];
	*a = (struct attempt){ .program = row->program, .epoch = row->epoch };
	a->ready_us = host->world->now_us +
		      chance_below(&host->world->chance, 1500000);
	return a;
}

static void attempts_prune(struct host *host)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < host->attempt_count; i++)
		if (host->attempts[i].seen)
			host->attempts[kept++] = host->attempts[i];
	host->attempt_count = kept;
}

static void start(struct host *host, const struct desired_row *row)
{
	struct fencer_request request = { .type = FENCER_START,
					  .program = row->program,
					  .gen = row->gen,
					  .epoch = row->epoch };
	struct fencer_answer a;

	(void)fencer_ask(host, &request, NULL, &a);
}

/* START for what is desired, prepared and does not run. */
static uint64_t start_desired(struct host *host)
{
	struct tenure *t = &host->fencer.tenure;
	uint64_t now = host->world->now_us, next = NEVER_US;

	if (spoil_lazy(host->world))
		return next;
	for (uint32_t i = 0; i < host->attempt_count; i++)
		host->attempts[i].seen = false;
	for (uint32_t i = 0; t->set_taken && i < t->desired_count; i++) {
		const struct desired_row *row = &t->desired[i];
		struct attempt *a = attempt_of(host, row);

		if (!a)
			continue;
		a->seen = true;
		if (tenure_find(t, &row->program, row->gen, row->epoch))
			continue;
		if (a->ready_us <= now) {
			a->ready_us = now + 700000 +
				      a->failures * 1000000ull;
			start(host, row);
		}
		if (a->ready_us < next)
			next = a->ready_us;
	}
	attempts_prune(host);
	return next;
}

static uint32_t statuses(struct host *host, struct agent_run *runs)
{
	struct tenure *t = &host->fencer.tenure;
	uint32_t count = 0;

	for (uint32_t i = 0; t->set_taken && i < t->desired_count; i++) {
		const struct desired_row *row = &t->desired[i];
		struct tenure_run *run = tenure_find(t, &row->program, row->gen,
						     row->epoch);
		struct attempt *a = attempt_of(host, row);

		runs[count] = (struct agent_run){
			.program = row->program, .gen = row->gen,
			.epoch = row->epoch, .status = RUN_PREPARING,
			.failures = a ? a->failures : 0 };
		if (run)
			runs[count].status =
				run->state == TENURE_RUN_LIVE ? RUN_RUNNING :
				run->state == TENURE_RUN_QUEUED ?
								RUN_STARTING :
								RUN_STOPPING;
		count++;
	}
	return count;
}

static void heartbeat(struct host *host)
{
	struct world *world = host->world;
	struct agent_run runs[RUNS_MAX];
	struct agent_heartbeat m = { .crn = host->crn_hash };
	struct fencer_answer a;
	uint64_t ms = host->heartbeat_ms ? host->heartbeat_ms : 500;

	host->beat_us = world->now_us + ms * 1000;
	if (world->now_us < host->link_us ||
	    fencer_ask_for(host, FENCER_MARK, NULL, 0, &a) != FENCER_OK)
		return;
	m.seq = a.seq;
	m.gen = a.gen;
	m.session = a.session;
	m.applied = a.applied;
	m.have = a.have;
	m.got_ack = a.got_ack;
	m.clock_ms = a.clock_ms;
	m.runs = runs;
	m.run_count = statuses(host, runs);
	wire_up(host, AGENT_HEARTBEAT, world->frame,
		agent_heartbeat_encode(&m, world->frame,
				       AGENT_FRAME_SIZE_MAX));
}

static void replied(struct host *host, const uint8_t *data, size_t size)
{
	struct world *world = host->world;
	struct agent_reply m = { .desired = world->rows,
				 .desired_max = RUNS_MAX };
	struct fencer_answer a;
	bool took, first = !host->fencer.tenure.got_ack;
	stamp_t have = host->fencer.tenure.have;

	if (host->phase != PHASE_OPEN || agent_reply_decode(data, size, &m))
		return;
	if (fencer_ask_for(host, FENCER_ACK, data, size, &a) != FENCER_OK)
		return;
	took = a.have != have;
	host->heard_us = world->now_us;
	if (!host->heartbeat_ms)
		host->heartbeat_ms = m.ttl_a_ms / 10;
	oracle_lease(host);
	if (took || (first && host->fencer.tenure.got_ack)) {
		host->beat_us = world->now_us + 5000;
		agent_soon(host, host->beat_us);
	}
}

void agent_frame(struct host *host, uint8_t type, const uint8_t *data,
		 size_t size)
{
	if (!fencer_ready(host))
		return;
	fencer_wake(host);
	if (type == AGENT_CHALLENGE)
		challenged(host, data, size);
	else if (type == AGENT_REGISTER_ACK)
		acknowledged(host, data, size);
	else if (type == AGENT_REFUSED)
		refused(host, data, size);
	else if (type == AGENT_REPLY)
		replied(host, data, size);
	if (host->phase != PHASE_OPEN)
		agent_soon(host, host->world->now_us + 50000);
	else
		agent_soon(host, host->beat_us);
}

/* --- time ----------------------------------------------------------------------------- */

static uint64_t tick_open(struct host *host)
{
	uint64_t now = host->world->now_us, next;
	uint64_t ms = host->heartbeat_ms ? host->heartbeat_ms : 500;
	uint64_t heard = host->heard_us > host->link_us ? host->heard_us :
							   host->link_us;

	if (host->fencer.tenure.session == 0) {
		again(host, 0);
		return now + 1000;
	}
	next = start_desired(host);
	if (now >= host->report_us && now >= host->link_us)
		report(host);
	if (now >= host->beat_us)
		heartbeat(host);
	if (now > heard + (2 * ms + 300) * 1000) {
		rotate_link(host);
		host->report_us = host->beat_us = host->link_us;
	}
	return next < host->beat_us ? next : host->beat_us;
}

static uint64_t tick_register(struct host *host)
{
	uint64_t now = host->world->now_us;

	if (now < host->sent_us + ANSWER_US)
		return host->sent_us + ANSWER_US;
	if (host->phase == PHASE_GREETING &&
	    now < host->began_us + 2 * ANSWER_US) {
		greet(host);
		return now + ANSWER_US;
	}
	rotate_link(host);
	again(host, 0);
	return now + 1000;
}

void agent_timer(struct host *host)
{
	struct world *world = host->world;
	uint64_t next = world->now_us + 100000;

	host->agent_next_us = NEVER_US;
	if (!host->on)
		return;
	if (!host->fencer_up && world->now_us >= host->fencer_again_us)
		fencer_start(host);
	if (!host->agent_up && world->now_us >= host->agent_again_us)
		agent_start(host);
	if (!host->fencer_up && host->phase != PHASE_SETTLING)
		again(host, 0);
	if (!host->agent_up || host->agent_paused_us > world->now_us ||
	    !fencer_ready(host)) {
		if (host->agent_up && host->agent_paused_us > next)
			next = host->agent_paused_us;
		agent_soon(host, next);
		return;
	}
	fencer_wake(host);
	if (host->phase == PHASE_OPEN) {
		next = tick_open(host);
	} else if (host->phase == PHASE_SETTLING) {
		if (world->now_us >= host->wait_us)
			say_hello(host);
		next = host->phase == PHASE_SETTLING ? host->wait_us :
						       next;
		if (next <= world->now_us)
			next = world->now_us + 50000;
	} else {
		next = tick_register(host);
	}
	agent_soon(host, next);
}

/* A restarted agent asks STATE and goes on in the same session. */
void agent_start(struct host *host)
{
	struct world *world = host->world;

	host->agent_up = true;
	host->agent_life++;
	host->agent_paused_us = 0;
	host->agent_next_us = NEVER_US;
	host->heartbeat_ms = 0;
	host->refused_us = 500000;
	host->attempt_count = 0;
	rotate_link(host);
	if (host->fencer_up && host->fencer.tenure.session != 0)
		opened(host);
	else
		again(host, 0);
	agent_soon(host, world->now_us + chance_below(&world->chance, 300000));
}

void agent_stop(struct host *host)
{
	host->agent_up = false;
	host->agent_again_us = host->world->now_us +
			       chance_below(&host->world->chance, 6000000);
}

void agent_pause(struct host *host, uint64_t us)
{
	if (host->agent_paused_us < host->world->now_us + us)
		host->agent_paused_us = host->world->now_us + us;
}
