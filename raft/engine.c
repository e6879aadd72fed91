/* One step of the core, and what its update owes (libraft-step.md 1.1): term
 * and vote first, then entries, an install, messages; then whoever stands
 * above is told, and what is committed is applied.
 *
 * Term and vote are written off the loop. Until they are durable, every frame
 * waits (link.c); entries of the new term wait by themselves, because the log
 * lane is first in, first out.
 */
#include "raft/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void engine_log(struct replica *r, int level, const char *format, ...)
{
	char text[512];
	va_list args;

	if (!r->io->log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	r->io->log(r->io->ctx, level, text);
}

void engine_fatal_fault(struct replica *r, const struct fault *fault)
{
	if (r->dead)
		return;
	r->dead = true;
	r->machine->fatal(r->machine->ctx, fault);
}

void engine_fatal(struct replica *r, int code, const char *format, ...)
{
	struct fault fault = { .code = code };
	va_list args;

	va_start(args, format);
	vsnprintf(fault.text, sizeof fault.text, format, args);
	va_end(args);
	engine_fatal_fault(r, &fault);
}

uint64_t engine_now(struct replica *r)
{
	uint64_t now = r->io->now_ms(r->io->ctx);

	/* A clock that goes back would break the core's differences. */
	if (now > r->now_ms)
		r->now_ms = now;
	return r->now_ms;
}

bool engine_is_leader(struct replica *r)
{
	return !r->dead && raft_state(&r->raft) == RAFT_LEADER;
}

uint64_t engine_term_of(const struct replica *r, uint64_t index)
{
	const struct log_entry *entry = cache_find(&r->cache, index);

	if (entry)
		return entry->term;
	return index && index == r->raft.trail.snapshot.index ?
		       r->raft.trail.snapshot.term :
		       0;
}

/* --- what an update owes ------------------------------------------------- */

/* The no-op of a new leader is the core's own; its eight bytes were never
 * written, so they are not kept. */
static struct log_entry *from_core(const struct raft_entry *entry,
				   uint64_t index)
{
	return entry_new((uint8_t)entry->type, index, entry->term, NULL, 0);
}

static int keep_entries(struct replica *r, struct raft_update *update)
{
	uint64_t index = update->entries.index;
	uint32_t i, n = update->entries.n;
	const struct raft_entry *batch = update->entries.batch;
	struct log_entry **list;
	bool ours = r->step_array && batch >= r->step_array &&
		    batch < r->step_array + r->step_count;
	int code = 0;

	/* A core that lost count (T1) must not take us along, and what it
	 * points to cannot be trusted. */
	if ((ours && n > r->step_count - (size_t)(batch - r->step_array)) ||
	    index < r->cache.start || index > cache_last(&r->cache) + 1)
		return BERTH_CORRUPT;
	list = malloc(n * sizeof *list);
	if (!list)
		code = BERTH_NOMEM;
	cache_cut(&r->cache, index);
	for (i = 0; !code && i < n; i++) {
		struct log_entry *entry =
			ours ? entry_take(r->step_entries[batch + i -
							  r->step_array]) :
			       from_core(&batch[i], index + i);

		code = entry ? cache_append(&r->cache, entry) : BERTH_NOMEM;
		list[i] = entry;
		if (!code)
			r->appended_bytes += entry->size;
	}
	r->appended_entries += n;
	raft_free(batch[0].batch);
	if (!code)
		code = lane_entries(r, list, n);
	free(list);
	return code;
}

static void send_messages(struct replica *r, struct raft_update *update)
{
	unsigned i;

	for (i = 0; i < update->messages.n; i++) {
		struct raft_message *message = &update->messages.batch[i];

		filter_send(r, message);
		link_send_message(r, message);
	}
}

static int process(struct replica *r, struct raft_update *update)
{
	int code = 0;

	if (update->flags & (RAFT_UPDATE_CURRENT_TERM) ||
	    update->flags & (RAFT_UPDATE_VOTED_FOR))
		lane_vote(r, raft_current_term(&r->raft),
			  raft_voted_for(&r->raft));
	if (update->flags & (RAFT_UPDATE_ENTRIES))
		code = keep_entries(r, update);
	if (code) {
		engine_fatal(r, code, "log: %s", berth_error_text(code));
		return code;
	}
	if (update->flags & (RAFT_UPDATE_SNAPSHOT))
		install_begin(r, update);
	if (update->flags & (RAFT_UPDATE_MESSAGES))
		send_messages(r, update);
	lane_kick(r);
	return 0;
}

static int map_code(int rv)
{
	switch (rv) {
	case 0:
		return 0;
	case RAFT_NOTLEADER:
	case RAFT_LEADERSHIPLOST:
		return BERTH_NOTLEADER;
	case RAFT_CANTCHANGE:
	case RAFT_BUSY:
		return BERTH_BUSY;
	case RAFT_NOMEM:
		return BERTH_NOMEM;
	case RAFT_NOSPACE:
		return BERTH_NOSPACE;
	case RAFT_MALFORMED:
		return BERTH_MALFORMED;
	case RAFT_NOTFOUND:
	case RAFT_BADID:
		return BERTH_NOTFOUND;
	case RAFT_SHUTDOWN:
		return BERTH_CORRUPT;
	default:
		return BERTH_INVALID;
	}
}

int engine_event(struct replica *r, struct raft_event *event)
{
	struct raft_update update;
	int rv;

	if (r->dead)
		return BERTH_CLOSED;
	memset(&update, 0, sizeof update);
	event->time = engine_now(r);
	rv = raft_step(&r->raft, event, &update);
	if (rv)
		return map_code(rv);
	return process(r, &update);
}

int engine_receive(struct replica *r, struct raft_message *message,
		   struct log_entry **entries)
{
	struct raft_event event;
	uint64_t term = raft_current_term(&r->raft);
	int code;

	memset(&event, 0, sizeof event);
	event.type = RAFT_RECEIVE;
	event.receive.message = message;
	if (message->type == RAFT_APPEND_ENTRIES) {
		r->step_array = message->append_entries.entries;
		r->step_count = message->append_entries.n_entries;
		r->step_entries = entries;
		if (message->append_entries.term >= term)
			r->heard_ms = engine_now(r);
		/* T14: the answer's hint is never set then. */
		r->stale_reply = message->append_entries.term < term;
	} else if (message->type == RAFT_INSTALL_SNAPSHOT &&
		   message->install_snapshot.term >= term) {
		r->heard_ms = engine_now(r);
	}
	code = engine_event(r, &event);
	r->step_array = NULL;
	r->step_count = 0;
	r->stale_reply = false;
	if (code == BERTH_CORRUPT)
		engine_fatal(r, code,
			     "log differs from the leader's below the commit "
			     "index %llu: this disk cannot be trusted",
			     raft_commit_index(&r->raft));
	else if (code == BERTH_NOMEM)
		engine_fatal(r, code, "receive: out of memory");
	return code;
}

int engine_append(struct replica *r, uint8_t type, const void *data,
		  size_t size, uint64_t *index)
{
	uint64_t next = raft_last_index(&r->raft) + 1;
	struct log_entry *entry = entry_new(
		type, next, raft_current_term(&r->raft), data, size);
	struct raft_entry core = { 0 };
	struct raft_event event;
	int code;

	core.batch = raft_malloc(8);
	if (!entry || !core.batch) {
		entry_give(entry);
		raft_free(core.batch);
		return BERTH_NOMEM;
	}
	core.term = entry->term;
	core.type = type;
	core.buf.base = entry->data;
	core.buf.len = size;
	memset(&event, 0, sizeof event);
	event.type = RAFT_SUBMIT;
	event.submit.entries = &core;
	event.submit.n = 1;
	r->step_array = &core;
	r->step_count = 1;
	r->step_entries = &entry;
	code = engine_event(r, &event);
	r->step_array = NULL;
	r->step_count = 0;
	if (code && !r->dead)
		raft_free(core.batch);
	entry_give(entry);
	if (code)
		return code;
	*index = next;
	read_submitted(r, next);
	return 0;
}

/* --- applying ------------------------------------------------------------ */

static void note_leadership(struct replica *r)
{
	bool leader = raft_state(&r->raft) == RAFT_LEADER;
	uint64_t term = raft_current_term(&r->raft);

	if (r->leading && (!leader || term != r->leading_term)) {
		uint64_t old = r->leading_term;

		r->leading = false;
		r->inflight_count = r->inflight_urgent = 0;
		r->inflight_size = 0;
		r->stalled = false;
		r->transfer_to = 0;
		read_lost(r);
		member_lost(r);
		r->machine->leadership(r->machine->ctx, false, old);
	}
	if (leader && !r->leading && !r->dead) {
		r->leading = true;
		r->leading_term = term;
		r->elections++;
		r->machine->leadership(r->machine->ctx, true, term);
	}
}

static void inflight_applied(struct replica *r, uint64_t index)
{
	const uint32_t size = COUNT_OF(r->inflight);

	while (r->inflight_count &&
	       r->inflight[r->inflight_head].index <= index) {
		r->inflight_size -= r->inflight[r->inflight_head].size;
		r->inflight_urgent -= r->inflight[r->inflight_head].urgent;
		r->inflight_head = (r->inflight_head + 1) % size;
		r->inflight_count--;
	}
}

void engine_tell_change(struct replica *r, uint64_t index)
{
	struct raft_event event;
	int code;

	memset(&event, 0, sizeof event);
	event.type = RAFT_CONFIGURATION;
	event.configuration.index = index;
	code = members_to_raft(&r->applied_members,
			       &event.configuration.conf);
	if (!code)
		code = engine_event(r, &event);
	if (code)
		engine_fatal(r, code, "apply configuration %" PRIu64 ": %s",
			     index, berth_error_text(code));
}

static void apply_one(struct replica *r, struct log_entry *entry)
{
	r->applied = entry->index;
	r->entries_since_snap++;
	r->bytes_since_snap += entry->size;
	inflight_applied(r, entry->index);
	if (entry->type == RAFT_COMMAND) {
		r->machine->apply(r->machine->ctx, entry->index, entry->term,
				  entry->data, entry->size);
	} else if (entry->type == RAFT_CHANGE) {
		if (!members_decode(&r->applied_members, entry->data,
				    entry->size)) {
			engine_fatal(r, BERTH_CORRUPT,
				     "apply %" PRIu64 ": bad configuration",
				     entry->index);
			return;
		}
		r->applied_conf_index = entry->index;
		engine_tell_change(r, entry->index);
	}
}

static void apply_all(struct replica *r)
{
	if (r->applying)
		return;
	r->applying = true;
	while (!r->dead && filter_may_apply(r) &&
	       r->applied < raft_commit_index(&r->raft)) {
		struct log_entry *entry =
			cache_find(&r->cache, r->applied + 1);

		if (!entry) {
			/* The core is ahead of the log: only while a snapshot
			 * is being installed (T12). */
			engine_fatal(r, BERTH_CORRUPT,
				     "entry %" PRIu64 " is committed and not "
				     "in the log",
				     r->applied + 1);
			break;
		}
		entry_take(entry);
		apply_one(r, entry);
		entry_give(entry);
		note_leadership(r);
	}
	r->applying = false;
}

/* Callbacks may come back into the engine (a submit in apply): then the outer
 * call goes on with what the inner one left. */
void engine_settle(struct replica *r)
{
	if (r->dead || !r->settled)
		return;
	note_leadership(r);
	apply_all(r);
	if (r->applying || r->dead)
		return;
	lane_report_postponed(r);
	read_settle(r);
	member_settle(r);
	take_maybe(r);
	link_tell_commit(r);
	r->next_timeout_ms = filter_next_timeout(r);
	if (!r->dead)
		r->io->wake(r->io->ctx);
}
