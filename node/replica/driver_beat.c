/* Beats and what follows them: acknowledgements and desired sets.
 *
 * R5 and R6: the batch of heartbeats is frozen, then the clock read, then the
 * entry proposed, in one call; what is answered later is exactly that batch.
 */
#include <stdlib.h>

#include "node/replica/driver_impl.h"

/* Is the session of this heartbeat alive in the state? Advisory here: apply
 * tests again (R7). */
static bool session_lives(const struct fsm_view *view, const struct hash *crn,
			  uint64_t gen, stamp_t session, struct fsm_crn *out)
{
	struct fsm_status status;
	slot_t slot = fsm_crn_find(view, crn);

	if (slot == SLOT_NONE || !fsm_crn_read(view, slot, out))
		return false;
	fsm_status(view, &status);
	return out->alive && out->session == session && gen == status.gen;
}

/* Moves what waits into `renewals` and the entry's acks. */
static uint32_t freeze(struct driver *d, const struct fsm_view *view,
		       struct driver_ack *acks)
{
	struct driver_agent *a;
	struct fsm_crn crn;
	uint32_t count = 0;

	for (uint32_t i = 0; i < d->agent_count; i++) {
		a = &d->agents[(d->beat_start + i) % d->agent_count];
		if (!a->pending || count == DRIVER_RENEWALS_MAX)
			continue;
		if (!session_lives(view, &a->crn, a->renewal.gen,
				   a->renewal.session, &crn)) {
			a->pending = false;
			continue;
		}
		d->renewals[count] = a->renewal;
		acks[count] = (struct driver_ack){
			(uint32_t)(a - d->agents), a->renewal.gen,
			a->renewal.session, a->have, a->renewal.seq };
		count++;
	}
	return count;
}

static uint32_t pending_count(const struct driver *d)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < d->agent_count; i++)
		count += d->agents[i].pending;
	return count < DRIVER_RENEWALS_MAX ? count : DRIVER_RENEWALS_MAX;
}

static uint32_t beat_ms_of(const struct fsm_view *view)
{
	struct fsm_status status;

	fsm_status(view, &status);
	return status.config.beat_ms == 0 ? 250 : status.config.beat_ms;
}

/* R4: the interval is consumed here, whatever becomes of the entry. */
static uint32_t take_interval(struct driver *d)
{
	uint64_t now_ms = d->ops.clock_ms(d->ops.ctx);
	uint64_t dt_ms = now_ms - d->anchor_ms;

	d->anchor_ms = now_ms;
	return dt_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)dt_ms;
}

void driver__beat(struct driver *d, const struct fsm_view *view,
		  uint64_t now_ms)
{
	struct command beat = { .type = FSM_BEAT };
	struct driver_entry *entry;
	uint32_t waiting;

	d->next_beat_ms = now_ms + beat_ms_of(view);
	if (d->beat_count >= DRIVER_BEATS_MAX ||
	    d->ops.raft_term(d->ops.ctx) != d->term)
		return;
	waiting = pending_count(d);
	entry = driver__alloc(sizeof *entry);
	entry->kind = ENTRY_BEAT;
	entry->acks = driver__alloc((waiting + 1) * sizeof *entry->acks);
	entry->ack_count = freeze(d, view, entry->acks);
	beat.beat.renewal_count = entry->ack_count;
	beat.beat.renewals = d->renewals;
	beat.beat.wall_ms = d->ops.wall_ms(d->ops.ctx);
	beat.beat.dt_ms = take_interval(d);
	driver__body_reset(d);
	REQUIRE(driver__encode(d, &beat));
	if (!driver__propose(d, entry, true, 1)) {
		/* Surely not submitted: the heartbeats wait on. */
		free(entry->acks);
		free(entry);
		return;
	}
	for (uint32_t i = 0; i < entry->ack_count; i++)
		d->agents[entry->acks[i].agent].pending = false;
#ifdef MUTANT_ack_early
	driver__beat_applied(d, view, entry);
#endif
	/* Were there more than one entry takes, the rest comes first next. */
	if (entry->ack_count == DRIVER_RENEWALS_MAX)
		d->beat_start = entry->acks[entry->ack_count - 1].agent + 1;
}

/* Fills the set from the state. False: more rows than a frame can tell; then
 * no set is sent at all, for a part of it would stop programs. */
static bool fill_desired(struct driver *d, const struct fsm_view *view,
			 slot_t slot, struct agent_reply *reply)
{
	uint32_t count = fsm_desired(view, slot, d->desired,
				     AGENT_DESIRED_MAX);

	if (count > AGENT_DESIRED_MAX)
		return false;
	reply->has_desired = true;
	reply->desired = d->desired;
	reply->desired_count = count;
	return true;
}

/* One Reply, all of it read from the state at d->applied. */
static void send_reply(struct driver *d, const struct fsm_view *view,
		       struct driver_agent *a, const struct fsm_crn *crn,
		       uint64_t ack_seq, stamp_t have)
{
	struct agent_reply reply = { 0 };
	struct fsm_status status;
	size_t size;

	fsm_status(view, &status);
	reply.gen = status.gen;
	reply.session = crn->session;
	reply.ack_seq = ack_seq;
	reply.ttl_a_ms = status.config.ttl_a_ms;
	reply.version = stamp_version(d->applied);
	reply.changed = crn->changed;
	if (have == crn->changed ||
	    fill_desired(d, view, fsm_crn_find(view, &a->crn), &reply))
		a->sent_changed = crn->changed;
	size = agent_reply_encode(&reply, d->frame, AGENT_FRAME_SIZE_MAX);
	if (size == 0)
		d->counts.dropped_frames++;
	else
		d->ops.send(d->ops.ctx, &a->route, AGENT_REPLY, d->frame,
			    size);
}

/* R6: exactly the tuples of this Beat, and of them those that it renewed: a
 * tuple of a session that has ended meanwhile is not acknowledged. */
void driver__beat_applied(struct driver *d, const struct fsm_view *view,
			  const struct driver_entry *entry)
{
	const struct driver_ack *ack;
	struct driver_agent *a;
	struct fsm_crn crn;

	d->counts.beats++;
	d->counts.last_beat_ms = d->ops.clock_ms(d->ops.ctx) -
				 entry->proposed_ms;
	if (d->counts.last_beat_ms > d->counts.slowest_beat_ms)
		d->counts.slowest_beat_ms = d->counts.last_beat_ms;
	for (uint32_t i = 0; i < entry->ack_count; i++) {
		ack = &entry->acks[i];
		a = &d->agents[ack->agent];
		if (!a->has_route || !session_lives(view, &a->crn, ack->gen,
						    ack->session, &crn))
			continue;
		send_reply(d, view, a, &crn, ack->seq, ack->have);
	}
}

/* A set that changed goes out at once, without an acknowledgement: to agents
 * whose live session this leader has heard. */
void driver__push(struct driver *d, const struct fsm_view *view)
{
	struct driver_agent *a;
	struct fsm_crn crn;
	slot_t slot;

	for (uint32_t i = 0; i < d->agent_count; i++) {
		a = &d->agents[i];
		if (!a->has_route || a->session == 0)
			continue;
		slot = fsm_crn_find(view, &a->crn);
		if (slot == SLOT_NONE || !fsm_crn_read(view, slot, &crn) ||
		    !crn.alive || crn.session != a->session ||
		    crn.changed == a->sent_changed)
			continue;
		send_reply(d, view, a, &crn, 0, a->sent_changed);
		a->sent_changed = crn.changed;
	}
}
