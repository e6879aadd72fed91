#include "node/replica/peer.h"

#include <stdlib.h>

#include "node/lib/log.h"

struct peer_link {
	struct peers *peers;
	uint32_t slot;
	uint64_t id;
	struct stream *stream;
};

static uint32_t find(struct peers *peers, uint64_t id)
{
	uint32_t count = atomic_load(&peers->count);

	for (uint32_t i = 0; i < count; i++)
		if (atomic_load(&peers->slots[i].id) == id)
			return i;
	return PEER_SLOTS_MAX;
}

bool peers_expect(struct peers *peers, uint64_t id, uint32_t *slot)
{
	uint32_t at = find(peers, id), count = atomic_load(&peers->count);

	if (at == PEER_SLOTS_MAX && count < PEER_SLOTS_MAX) {
		at = count;
		atomic_store(&peers->slots[at].id, id);
		atomic_store(&peers->count, count + 1);
	}
	if (at == PEER_SLOTS_MAX)
		return false;
	atomic_fetch_add(&peers->slots[at].links, 1);
	*slot = at;
	return true;
}

void peers_forget(struct peers *peers, uint32_t slot)
{
	atomic_fetch_sub(&peers->slots[slot].links, 1);
}

bool peers_linked(struct peers *peers, uint64_t id)
{
	uint32_t at = find(peers, id);

	return at != PEER_SLOTS_MAX &&
	       atomic_load(&peers->slots[at].links) != 0;
}

static void on_frame(void *ctx, struct stream *stream, uint8_t type,
		     const uint8_t *payload, size_t size)
{
	struct peer_link *link = ctx;
	struct peers *peers = link->peers;

	(void)stream;
	if (peers->slots[link->slot].current != link ||
	    *peers->replica == NULL)
		return;
	if (type == PEER_KEEP_TYPE && size == 0)
		return;
	if (type == PEER_STATE_TYPE) {
		if (!peers->state(peers->state_ctx, link->id, payload, size))
			stream_close(stream, "a malformed hash of a state");
		return;
	}
	if (type != PEER_FRAME_TYPE)
		stream_close(stream, "a frame that is not raft's");
	else
		replica_link_frame(*peers->replica, link->id, payload, size);
}

/* The engine is told once that the link in use is gone. */
static void leave(struct peers *peers, struct peer_link *link)
{
	if (peers->slots[link->slot].current != link)
		return;
	peers->slots[link->slot].current = NULL;
	if (*peers->replica != NULL)
		replica_link_down(*peers->replica, link->id);
}

static void on_link_closed(void *ctx, struct stream *stream,
			   const struct fault *fault)
{
	struct peer_link *link = ctx;
	struct peers *peers = link->peers;

	(void)stream;
	if (peers->slots[link->slot].current == link && !peers->closing)
		log_info("raft", "link of replica %llu ended: %s",
			 (unsigned long long)link->id, fault->text);
	leave(peers, link);
	atomic_fetch_sub(&peers->slots[link->slot].links, 1);
	free(link);
}

static const struct stream_events link_events = {
	.frame = on_frame,
	.closed = on_link_closed,
};

static void replace(struct peers *peers, uint32_t slot)
{
	struct peer_link *old = peers->slots[slot].current;

	if (old == NULL)
		return;
	leave(peers, old);
	stream_close(old->stream, "replaced by a newer link");
}

void peers_attach(struct peers *peers, uint32_t slot,
		  struct stream_parcel *parcel)
{
	struct peer_link *link = calloc(1, sizeof *link);

	REQUIRE(link != NULL);
	link->peers = peers;
	link->slot = slot;
	link->id = atomic_load(&peers->slots[slot].id);
	if (peers->closing || *peers->replica == NULL) {
		stream_parcel_free(parcel);
		goto failed;
	}
	replace(peers, slot);
	/* Frames that came before are given now or later; then the link must
	 * be known already. */
	if (stream_attach(&link->stream, peers->loop, parcel, &link_events,
			  link) != 0)
		goto failed;
	peers->slots[slot].current = link;
	stream_keep(link->stream, PEER_KEEP_TYPE, PEER_KEEP_MS);
	log_info("raft", "link of replica %llu is up (%s)",
		 (unsigned long long)link->id, stream_address(link->stream));
	replica_link_up(*peers->replica, link->id);
	return;
failed:
	atomic_fetch_sub(&peers->slots[slot].links, 1);
	free(link);
}

static struct peer_link *current(struct peers *peers, uint64_t id)
{
	uint32_t at = find(peers, id);

	return at == PEER_SLOTS_MAX ? NULL : peers->slots[at].current;
}

#define PARTS_MAX 64u

bool peers_send(struct peers *peers, uint64_t id,
		const struct replica_part *parts, uint32_t count)
{
	struct peer_link *link = current(peers, id);
	struct stream_part few[PARTS_MAX] = { { NULL, 0 } }, *all = few;
	int code;

	if (link == NULL)
		return false;
	if (count > PARTS_MAX)
		all = malloc(count * sizeof *all);
	REQUIRE(all != NULL);
	for (uint32_t i = 0; i < count; i++)
		all[i] = (struct stream_part){ parts[i].data, parts[i].size };
	code = stream_send(link->stream, PEER_FRAME_TYPE, all, count);
	if (all != few)
		free(all);
	return code == 0;
}

void peers_state(struct peers *peers, uint64_t id, const void *data,
		 size_t size)
{
	const struct stream_part part = { data, size };
	struct peer_link *link = current(peers, id);

	if (link != NULL)
		(void)!stream_send(link->stream, PEER_STATE_TYPE, &part, 1);
}

size_t peers_queued(struct peers *peers, uint64_t id)
{
	struct peer_link *link = current(peers, id);

	return link == NULL ? 0 : stream_queued(link->stream);
}

void peers_drop(struct peers *peers, uint64_t id, const char *why)
{
	struct peer_link *link = current(peers, id);

	if (link == NULL)
		return;
	log_warn("raft", "link of replica %llu dropped: %s",
		 (unsigned long long)id, why);
	stream_close(link->stream, why);
}

void peers_close(struct peers *peers)
{
	struct peer_link *link;

	peers->closing = true;
	for (uint32_t i = 0; i < atomic_load(&peers->count); i++) {
		link = peers->slots[i].current;
		if (link == NULL)
			continue;
		peers->slots[i].current = NULL;
		stream_close(link->stream, "stopping");
	}
}
