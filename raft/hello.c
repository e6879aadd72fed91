/* The handshake of two replicas (R18).
 *
 * A hello names cluster, id, disk, incarnation (one more at each start, made
 * durable before anything is sent) and a nonce drawn at the start. Who is
 * heard for the first time is bound to its disk, durably, before it takes
 * part; a configuration that names a member's disk id binds it beforehand.
 * Afterwards another disk, a lower incarnation, or the same incarnation with
 * another nonce is refused: that disk is older than the cluster remembers. An
 * old copy could start until its number is high enough; so a hello also names
 * the nonces of the starts before, and the one remembered must be among them.
 * Who is refused writes that down and never starts again.
 */
#include "raft/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/bytes.h"

#define PROTOCOL 1u
#define PAST_AT 107u
#define PAST (IDENTITY_NONCES - 1)
#define HELLO_SIZE (PAST_AT + PAST * 8u)

enum refusal {
	REFUSAL_CLUSTER = 1,
	REFUSAL_PROTOCOL,
	REFUSAL_DISK,
};

struct hello {
	uint16_t protocol;
	char cluster[64];
	struct peer_memory who;
	uint64_t past[PAST];
};

void hello_send(struct replica *r, uint64_t id)
{
	uint8_t data[HELLO_SIZE] = { FRAME_HELLO };
	struct replica_part part = { data, sizeof data };
	uint32_t i;

	put_u16(data + 1, PROTOCOL);
	memcpy(data + 3, r->identity.cluster, 64);
	put_u64(data + 67, r->config.id);
	memcpy(data + 75, r->identity.disk_id, 16);
	put_u64(data + 91, r->identity.incarnation);
	put_u64(data + 99, r->nonce);
	for (i = 0; i < PAST; i++)
		put_u64(data + PAST_AT + i * 8, r->identity.nonces[i + 1]);
	r->io->link_send(r->io->ctx, id, &part, 1);
}

static bool hello_decode(const uint8_t *data, size_t size, struct hello *out)
{
	uint32_t i;

	if (size != HELLO_SIZE)
		return false;
	out->protocol = get_u16(data + 1);
	memcpy(out->cluster, data + 3, 64);
	if (out->cluster[63])
		return false;
	out->who.id = get_u64(data + 67);
	memcpy(out->who.disk_id, data + 75, 16);
	out->who.incarnation = get_u64(data + 91);
	out->who.nonce = get_u64(data + 99);
	for (i = 0; i < PAST; i++)
		out->past[i] = get_u64(data + PAST_AT + i * 8);
	return true;
}

static void refuse(struct replica *r, struct peer *peer, enum refusal why,
		   const char *text)
{
	uint8_t head[2] = { FRAME_REFUSED, (uint8_t)why };
	struct replica_part parts[2] = { { head, 2 },
					 { text, strlen(text) } };

	engine_log(r, 4, "replica %" PRIu64 " is refused: %s", peer->id, text);
	r->io->link_send(r->io->ctx, peer->id, parts, 2);
	r->io->link_drop(r->io->ctx, peer->id, text);
}

/* The start that is remembered is none of this disk's. */
static bool other_past(const struct peer_memory *known,
		       const struct hello *hello)
{
	uint64_t since = hello->who.incarnation - known->incarnation;

	if (!since)
		return hello->who.nonce != known->nonce;
	return since <= PAST && hello->past[since - 1] != known->nonce;
}

/* What the cluster remembers of that id, against what it says of itself. */
static const char *disk_wrong(struct replica *r, const struct hello *hello)
{
	const struct peer_memory *who = &hello->who;
	const struct peer_memory *known = peers_find(&r->peers, who->id);
	const struct replica_member *member =
		members_find(&r->applied_members, who->id);

	if (member && disk_id_known(member->disk_id) &&
	    memcmp(member->disk_id, who->disk_id, 16) != 0)
		return "its disk is not the one that this id was added with";
	if (!known)
		return NULL;
	if (memcmp(known->disk_id, who->disk_id, 16) != 0)
		return "its disk is another one than the cluster remembers";
	if (who->incarnation < known->incarnation ||
	    other_past(known, hello))
		return "its disk is older than the cluster remembers";
	return NULL;
}

struct bind_job {
	struct replica_job job;
	struct replica *replica;
	uint64_t peer, number;
	struct peers_file peers;
};

static int bind_run(struct replica_job *job)
{
	struct bind_job *bind = (struct bind_job *)job;

	return peers_store(&bind->replica->io->files, &bind->peers);
}

static void bind_done(struct replica_job *job, int code)
{
	struct bind_job *bind = (struct bind_job *)job;
	struct replica *r = bind->replica;
	struct peer *peer = link_find(r, bind->peer);

	r->jobs--;
	if (code)
		engine_fatal(r, code, "write peers: %s",
			     berth_error_text(code));
	if (peer && peer->binding == bind->number) {
		peer->binding = 0;
		peer->accepted = peer->up;
	}
	if (r->binds == bind->number)
		r->binds_durable = bind->number;
	free(bind);
	replica_tick(r);
}

static void bind_peer(struct replica *r, struct peer *peer,
		      const struct peer_memory *who)
{
	struct peer_memory *known = peers_find(&r->peers, who->id);
	struct bind_job *bind;

	/* Known, and nothing of what is known still on its way to the disk. */
	if (known && memcmp(known, who, sizeof *known) == 0 &&
	    r->binds_durable == r->binds) {
		peer->accepted = true;
		return;
	}
	if (!known && r->peers.count == PEERS_MAX) {
		r->io->link_drop(r->io->ctx, peer->id, "too many peers");
		return;
	}
	bind = calloc(1, sizeof *bind);
	if (!bind) {
		r->io->link_drop(r->io->ctx, peer->id, "out of memory");
		return;
	}
	if (!known)
		known = &r->peers.peers[r->peers.count++];
	*known = *who;
	bind->job.run = bind_run;
	bind->job.done = bind_done;
	bind->replica = r;
	bind->peer = peer->id;
	bind->peers = r->peers;
	bind->number = peer->binding = ++r->binds;
	r->jobs++;
	r->io->submit_log(r->io->ctx, &bind->job);
}

void hello_take(struct replica *r, struct peer *peer,
		const uint8_t *data, size_t size)
{
	struct hello hello;
	const char *wrong;

	if (!hello_decode(data, size, &hello)) {
		r->io->link_drop(r->io->ctx, peer->id, "malformed hello");
	} else if (hello.protocol != PROTOCOL) {
		refuse(r, peer, REFUSAL_PROTOCOL,
		       "it speaks another version of the protocol");
	} else if (strcmp(hello.cluster, r->identity.cluster) != 0 ||
		   hello.who.id != peer->id) {
		refuse(r, peer, REFUSAL_CLUSTER,
		       hello.who.id != peer->id ?
			       "it says another id than its certificate" :
			       "it belongs to another cluster");
	} else if ((wrong = disk_wrong(r, &hello))) {
		refuse(r, peer, REFUSAL_DISK, wrong);
	} else {
		bind_peer(r, peer, &hello.who);
	}
}

struct refusal_job {
	struct replica_job job;
	struct replica *replica;
	struct identity_file identity;
	struct fault fault;
};

static int refusal_run(struct replica_job *job)
{
	struct refusal_job *refusal = (struct refusal_job *)job;

	return identity_store(&refusal->replica->io->files,
			      &refusal->identity);
}

static void refusal_done(struct replica_job *job, int code)
{
	struct refusal_job *refusal = (struct refusal_job *)job;
	struct replica *r = refusal->replica;

	r->jobs--;
	if (code)
		engine_log(r, 3, "the refusal could not be written down: %s",
			   berth_error_text(code));
	engine_fatal_fault(r, &refusal->fault);
	free(refusal);
	replica_tick(r);
}

/* Stops for ever, and first sees to it that a new start does not try again. */
static void refused_for_ever(struct replica *r, const struct fault *fault)
{
	struct refusal_job *refusal;

	if (r->identity.refused)
		return;
	refusal = calloc(1, sizeof *refusal);
	if (!refusal) {
		engine_fatal_fault(r, fault);
		return;
	}
	r->identity.refused = true;
	refusal->job.run = refusal_run;
	refusal->job.done = refusal_done;
	refusal->replica = r;
	refusal->identity = r->identity;
	refusal->fault = *fault;
	r->jobs++;
	r->io->submit_log(r->io->ctx, &refusal->job);
}

void hello_take_refused(struct replica *r, struct peer *peer,
			const uint8_t *data, size_t size)
{
	struct fault fault = { 0 };
	char text[200];

	if (size < 2) {
		r->io->link_drop(r->io->ctx, peer->id, "malformed refusal");
		return;
	}
	snprintf(text, sizeof text, "%.*s", (int)(size - 2 < 150 ? size - 2 :
						  150),
		 (const char *)data + 2);
	if (data[1] == REFUSAL_DISK) {
		fault_set(&fault, BERTH_DENIED,
			  "replica %" PRIu64 " refuses replica %" PRIu64
			  ": %s; it must be removed and rejoin under a new id",
			  peer->id, r->config.id, text);
		refused_for_ever(r, &fault);
		return;
	}
	engine_log(r, 3, "replica %" PRIu64 " refuses us: %s", peer->id, text);
}
