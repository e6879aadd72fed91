/* Links to peers: frames in and out, and the gate that lets nothing out while
 * term and vote are not durable. The handshake is in hello.c. */
#include "raft/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/bytes.h"

#define TELL_GAP_MS 2u
#define TELL_GAP_MOVING_MS 10u
#define TELL_OFF 31u /* bit of filters_off: to measure without */

struct peer *link_find(struct replica *r, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < PEERS_LINKED_MAX; i++)
		if (r->linked[i].id == id)
			return &r->linked[i];
	return NULL;
}

static struct peer *find_or_add(struct replica *r, uint64_t id)
{
	struct peer *peer = link_find(r, id);
	uint32_t i;

	for (i = 0; !peer && i < PEERS_LINKED_MAX; i++)
		if (!r->linked[i].id || (!r->linked[i].up &&
					 !r->linked[i].binding &&
					 !r->linked[i].out))
			peer = &r->linked[i];
	if (peer && peer->id != id) {
		memset(peer, 0, sizeof *peer);
		peer->id = id;
	}
	return peer;
}

/* --- out ----------------------------------------------------------------- */

static void hold(struct replica *r, uint64_t peer,
		 const struct replica_part *parts, uint32_t count)
{
	struct held_frame *frame;
	size_t size = 0;
	uint32_t i;

	for (i = 0; i < count; i++)
		size += parts[i].size;
	if (r->held_size + size > HELD_BYTES_MAX)
		return; /* as if lost on the way */
	frame = malloc(sizeof *frame + size);
	if (!frame)
		return;
	frame->next = NULL;
	frame->peer = peer;
	frame->size = 0;
	for (i = 0; i < count; i++) {
		if (parts[i].size)
			memcpy(frame->data + frame->size, parts[i].data,
			       parts[i].size);
		frame->size += parts[i].size;
	}
	r->held_size += size;
	*r->held_end = frame;
	r->held_end = &frame->next;
}

bool link_send_parts(struct replica *r, uint64_t id,
		     const struct replica_part *parts, uint32_t count)
{
	struct peer *peer = link_find(r, id);

	if (r->dead || !peer || !peer->up || !peer->accepted)
		return false;
	if (r->votes_durable != r->votes_wanted) {
		hold(r, id, parts, count);
		return true;
	}
	return r->io->link_send(r->io->ctx, id, parts, count);
}

void link_release_held(struct replica *r)
{
	struct held_frame *frame = r->held;

	r->held = NULL;
	r->held_end = &r->held;
	r->held_size = 0;
	while (frame) {
		struct held_frame *next = frame->next;
		struct replica_part part = { frame->data, frame->size };

		link_send_parts(r, frame->peer, &part, 1);
		free(frame);
		frame = next;
	}
}

void link_fini(struct replica *r)
{
	while (r->held) {
		struct held_frame *next = r->held->next;

		free(r->held);
		r->held = next;
	}
	r->held_end = &r->held;
}

static void note_told(struct replica *r, uint64_t id,
		      const struct raft_append_entries *append)
{
	struct peer *peer = link_find(r, id);
	uint64_t reach = append->prev_log_index;

	if (reach > append->leader_commit)
		reach = append->leader_commit;
	if (peer && peer->told < reach)
		peer->told = reach;
}

/* One message may hold more than a frame should: consecutive AppendEntries say
 * the same. */
static void send_append(struct replica *r, uint64_t id,
			const struct raft_append_entries *whole)
{
	struct raft_append_entries append = *whole;
	struct log_entry *entries[INFLIGHT_ENTRIES_MAX] = { 0 };
	struct replica_part parts[INFLIGHT_ENTRIES_MAX + 1];
	uint8_t head[CODEC_SIZE_MAX + INFLIGHT_ENTRIES_MAX * CODEC_ENTRY_HEAD];
	uint32_t left = whole->n_entries;
	bool sent = true;

	do {
		uint32_t count = 0;
		size_t size = 0;

		while (count < left && count < INFLIGHT_ENTRIES_MAX &&
		       size < APPEND_FRAME_SIZE) {
			struct log_entry *entry = cache_find(
				&r->cache, append.prev_log_index + 1 + count);

			if (!entry || (count && size + entry->size >
							APPEND_FRAME_SIZE))
				break;
			entries[count] = entry;
			parts[++count] = (struct replica_part){ entry->data,
								entry->size };
			size += entry->size;
		}
		if (left && !count)
			return; /* compacted meanwhile: as if lost */
		parts[0].data = head;
		parts[0].size = codec_encode_append(&append, entries, count,
						    head);
		sent = link_send_parts(r, id, parts, count + 1);
		append.prev_log_index += count;
		if (count)
			append.prev_log_term = entries[count - 1]->term;
		left -= count;
		if (sent)
			note_told(r, id, &append);
	} while (left && sent);
}

/* A peer learns of a commit with the next frame, and on a quiet cluster that
 * is the next heartbeat: too late for who waits there for an index. So, when
 * nothing else says it, an empty AppendEntries does. It is anchored at the
 * match index, where the peer cannot reject it, and its answer says again what
 * the core knows already. While entries are on
 * their way more is likely to be sent soon, and it is done less often. */
static bool worth_telling(struct replica *r, const struct raft_server *server,
			  struct peer **peer, struct raft_append_entries *out)
{
	raft_index commit = raft_commit_index(&r->raft), match = 0;

	*peer = link_find(r, server->id);
	if (!*peer || !(*peer)->accepted || (*peer)->out ||
	    server->role == RAFT_SPARE ||
	    raft_match_index(&r->raft, server->id, &match) || !match)
		return false;
	out->prev_log_index = match;
	out->prev_log_term = engine_term_of(r, match);
	out->leader_commit = commit;
	return out->prev_log_term &&
	       (match < commit ? match : commit) > (*peer)->told;
}

void link_tell_commit(struct replica *r)
{
	struct raft_append_entries append = { 0 };
	bool moving;
	uint64_t gap;
	unsigned i;

	r->tell_ms = UINT64_MAX;
	if (!engine_is_leader(r) || r->config.filters_off >> TELL_OFF & 1)
		return;
	moving = raft_last_index(&r->raft) > raft_commit_index(&r->raft);
	gap = moving ? TELL_GAP_MOVING_MS : TELL_GAP_MS;
	append.term = raft_current_term(&r->raft);
	for (i = 0; i < r->raft.configuration.n; i++) {
		struct peer *peer;

		if (!worth_telling(r, &r->raft.configuration.servers[i],
				   &peer, &append))
			continue;
		if (r->now_ms - peer->told_ms >= gap) {
			peer->told_ms = r->now_ms;
			send_append(r, peer->id, &append);
		} else if (peer->told_ms + gap < r->tell_ms) {
			r->tell_ms = peer->told_ms + gap;
		}
	}
}

void link_send_message(struct replica *r, struct raft_message *message)
{
	uint8_t data[CODEC_SIZE_MAX];
	struct replica_part part = { data, 0 };

	if (message->type == RAFT_APPEND_ENTRIES) {
		send_append(r, message->server_id, &message->append_entries);
		return;
	}
	if (message->type == RAFT_INSTALL_SNAPSHOT) {
		transfer_offer(r, message);
		return;
	}
	part.size = codec_encode(message, data);
	if (part.size)
		link_send_parts(r, message->server_id, &part, 1);
}

/* --- in ------------------------------------------------------------------ */

void replica_link_up(struct replica *r, uint64_t id)
{
	struct peer *peer;

	if (r->dead || !id || id == r->config.id)
		return;
	peer = find_or_add(r, id);
	if (!peer) {
		r->io->link_drop(r->io->ctx, id, "too many links");
		return;
	}
	if (peer->up)
		transfer_link_down(r, peer);
	peer->up = true;
	peer->told = 0; /* it may have started anew */
	peer->accepted = false;
	peer->binding = 0;
	hello_send(r, id);
}

void replica_link_down(struct replica *r, uint64_t id)
{
	struct peer *peer = link_find(r, id);

	if (!peer)
		return;
	peer->up = peer->accepted = false;
	peer->binding = 0;
	transfer_link_down(r, peer);
}

static void take_message(struct replica *r, struct peer *peer,
			 const uint8_t *data, size_t size)
{
	struct decoded decoded;
	char address[24];
	int code;

	if (!codec_decode(data, size, &decoded) ||
	    (decoded.message.type == RAFT_REQUEST_VOTE &&
	     decoded.message.request_vote.candidate_id != peer->id)) {
		r->io->link_drop(r->io->ctx, peer->id, "malformed frame");
		return;
	}
	snprintf(address, sizeof address, "%" PRIu64, peer->id);
	decoded.message.server_id = peer->id;
	decoded.message.server_address = address;
	if (decoded.message.type == RAFT_INSTALL_SNAPSHOT) {
		struct raft_install_snapshot *install =
			&decoded.message.install_snapshot;
		struct snapshot_meta meta;

		if ((r->installing && filter_on(r, 10)) ||
		    !transfer_staged(r, install->last_index,
				     install->last_term, &meta))
			return;
		install->conf_index = meta.conf_index;
		install->data.base = raft_malloc(8);
		install->data.len = 8;
		if (!install->data.base ||
		    members_to_raft(&meta.members, &install->conf)) {
			engine_fatal(r, BERTH_NOMEM, "install: no memory");
			return;
		}
		memset(install->data.base, 0, 8);
	}
	code = filter_receive(r, &decoded.message, decoded.entries);
	if (decoded.message.type == RAFT_APPEND_ENTRIES)
		codec_free(&decoded);
	if (code && !r->dead)
		r->io->link_drop(r->io->ctx, peer->id, "refused message");
}

void replica_link_frame(struct replica *r, uint64_t id, const void *data,
			size_t size)
{
	struct peer *peer = link_find(r, id);
	const uint8_t *bytes = data;

	if (r->dead || !peer || !peer->up)
		return;
	engine_now(r);
	if (!size || size > REPLICA_FRAME_SIZE_MAX) {
		r->io->link_drop(r->io->ctx, id, "bad frame size");
	} else if (bytes[0] == FRAME_HELLO) {
		hello_take(r, peer, bytes, size);
	} else if (bytes[0] == FRAME_REFUSED) {
		hello_take_refused(r, peer, bytes, size);
	} else if (!peer->accepted) {
		return; /* its hello is being made durable, or never came */
	} else if (bytes[0] >= FRAME_SNAPSHOT_OFFER) {
		transfer_frame(r, peer, bytes, size);
	} else {
		take_message(r, peer, bytes, size);
	}
	engine_settle(r);
}
