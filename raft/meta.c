#include "raft/meta.h"

#include <stdlib.h>

#include "raft/bytes.h"
#include "raft/crc32c.h"

#define IDENTITY_MAGIC 0x314e444968747242ull /* "BrthIDN1" */
#define VOTE_MAGIC 0x31544f5668747242ull     /* "BrthVOT1" */
#define PEERS_MAGIC 0x3152455068747242ull    /* "BrthPER1" */
#define NONCES_AT 112u
#define IDENTITY_SIZE (NONCES_AT + IDENTITY_NONCES * 8u + 4u)
#define VOTE_SLOT 4096u /* a sector of its own, whatever the disk's is */
#define VOTE_SIZE 40u
#define PEER_SIZE 40u
#define PEERS_SIZE (16u + PEERS_MAX * PEER_SIZE + 4u)

/* Writes aside, syncs, renames, syncs the directory. */
static int replace(const struct replica_files *f, const char *name,
		   const char *aside, const uint8_t *data, size_t size)
{
	void *file;
	int code = f->open(f->ctx, aside, true, &file);

	if (code)
		return code;
	code = f->truncate(f->ctx, file, 0);
	if (!code)
		code = f->write(f->ctx, file, 0, data, size);
	if (!code)
		code = f->sync(f->ctx, file);
	f->close(f->ctx, file);
	if (!code)
		code = f->rename(f->ctx, aside, name);
	if (!code)
		code = f->sync_directory(f->ctx);
	return code;
}

static int slurp(const struct replica_files *f, const char *name,
		 uint8_t *data, size_t size, size_t *got)
{
	void *file;
	int code = f->open(f->ctx, name, false, &file);

	if (code)
		return code;
	code = f->read(f->ctx, file, 0, data, size, got);
	f->close(f->ctx, file);
	return code;
}

static int whole(const char *name, const uint8_t *data, size_t got,
		 size_t size, uint64_t magic, struct fault *fault)
{
	if (got != size || get_u64(data) != magic ||
	    get_u32(data + size - 4) != crc32c(0, data, size - 4))
		return fault_set(fault, BERTH_CORRUPT,
				 "%s: offset 0: checksum differs", name);
	return 0;
}

int identity_load(const struct replica_files *files,
		  struct identity_file *out, struct fault *fault)
{
	uint8_t data[IDENTITY_SIZE];
	size_t got = 0;
	uint32_t i;
	int code = slurp(files, "identity", data, sizeof data, &got);

	if (code)
		return fault_set(fault, code, "identity: %s",
				 berth_error_text(code));
	code = whole("identity", data, got, sizeof data, IDENTITY_MAGIC,
		     fault);
	if (code)
		return code;
	memcpy(out->cluster, data + 8, sizeof out->cluster);
	out->cluster[sizeof out->cluster - 1] = 0;
	out->id = get_u64(data + 72);
	memcpy(out->disk_id, data + 80, 16);
	out->incarnation = get_u64(data + 96);
	out->refused = data[104] != 0;
	for (i = 0; i < IDENTITY_NONCES; i++)
		out->nonces[i] = get_u64(data + NONCES_AT + i * 8);
	return 0;
}

int identity_store(const struct replica_files *files,
		   const struct identity_file *identity)
{
	uint8_t data[IDENTITY_SIZE] = { 0 };
	uint32_t i;

	put_u64(data, IDENTITY_MAGIC);
	memcpy(data + 8, identity->cluster, sizeof identity->cluster);
	put_u64(data + 72, identity->id);
	memcpy(data + 80, identity->disk_id, 16);
	put_u64(data + 96, identity->incarnation);
	data[104] = identity->refused;
	for (i = 0; i < IDENTITY_NONCES; i++)
		put_u64(data + NONCES_AT + i * 8, identity->nonces[i]);
	put_u32(data + sizeof data - 4, crc32c(0, data, sizeof data - 4));
	return replace(files, "identity", "identity.new", data, sizeof data);
}

static void vote_take(struct vote_file *vote, const uint8_t *slot)
{
	if (get_u64(slot) != VOTE_MAGIC ||
	    get_u32(slot + 32) != crc32c(0, slot, 32) ||
	    get_u64(slot + 8) <= vote->sequence)
		return;
	vote->sequence = get_u64(slot + 8);
	vote->term = get_u64(slot + 16);
	vote->vote = get_u64(slot + 24);
}

int vote_open(struct vote_file *vote, const struct replica_files *files,
	      struct fault *fault)
{
	uint8_t slot[VOTE_SIZE];
	int code, i;

	memset(vote, 0, sizeof *vote);
	code = files->open(files->ctx, "vote", true, &vote->file);
	for (i = 0; !code && i < 2; i++) {
		size_t got = 0;

		code = files->read(files->ctx, vote->file,
				   (uint64_t)i * VOTE_SLOT, slot, sizeof slot,
				   &got);
		if (!code && got == sizeof slot)
			vote_take(vote, slot);
	}
	if (code)
		return fault_set(fault, code, "vote: %s",
				 berth_error_text(code));
	return 0;
}

static int write_slot(const struct vote_file *vote,
		      const struct replica_files *files, uint64_t sequence,
		      uint64_t term, uint64_t voted_for)
{
	uint8_t slot[VOTE_SIZE] = { 0 };
	int code;

	put_u64(slot, VOTE_MAGIC);
	put_u64(slot + 8, sequence);
	put_u64(slot + 16, term);
	put_u64(slot + 24, voted_for);
	put_u32(slot + 32, crc32c(0, slot, 32));
	code = files->write(files->ctx, vote->file, sequence % 2 * VOTE_SLOT,
			    slot, sizeof slot);
	return code ? code : files->sync(files->ctx, vote->file);
}

/* The same slot again, never the other: until this one is durable, the other
 * is the only one that is. */
int vote_settle(struct vote_file *vote, const struct replica_files *files)
{
	return write_slot(vote, files, vote->sequence, vote->term, vote->vote);
}

int vote_store(struct vote_file *vote, const struct replica_files *files,
	       uint64_t term, uint64_t voted_for)
{
	uint64_t sequence = vote->sequence + 1;
	int code = write_slot(vote, files, sequence, term, voted_for);

	if (!code && sequence == 1)
		code = files->sync_directory(files->ctx);
	if (code)
		return code;
	vote->sequence = sequence;
	vote->term = term;
	vote->vote = voted_for;
	return 0;
}

void vote_close(struct vote_file *vote, const struct replica_files *files)
{
	if (vote->file)
		files->close(files->ctx, vote->file);
	vote->file = NULL;
}

int peers_load(const struct replica_files *files, struct peers_file *out,
	       struct fault *fault)
{
	uint8_t *data = calloc(1, PEERS_SIZE);
	struct peers_file peers = { 0 };
	size_t got = 0;
	uint32_t i;
	int code;

	if (!data)
		return fault_set(fault, BERTH_NOMEM, "peers: no memory");
	code = slurp(files, "peers", data, PEERS_SIZE, &got);
	if (code == BERTH_NOTFOUND) {
		free(data);
		*out = peers;
		return 0;
	}
	if (code)
		fault_set(fault, code, "peers: %s", berth_error_text(code));
	else
		code = whole("peers", data, got, PEERS_SIZE, PEERS_MAGIC,
			     fault);
	if (!code && get_u32(data + 8) > PEERS_MAX)
		code = fault_set(fault, BERTH_CORRUPT, "peers: too many");
	for (i = 0; !code && i < get_u32(data + 8); i++) {
		const uint8_t *at = data + 16 + i * PEER_SIZE;

		peers.peers[i].id = get_u64(at);
		memcpy(peers.peers[i].disk_id, at + 8, 16);
		peers.peers[i].incarnation = get_u64(at + 24);
		peers.peers[i].nonce = get_u64(at + 32);
		peers.count = i + 1;
	}
	free(data);
	if (!code)
		*out = peers;
	return code;
}

int peers_store(const struct replica_files *files,
		const struct peers_file *peers)
{
	uint8_t *data = calloc(1, PEERS_SIZE);
	uint32_t i;
	int code;

	if (!data)
		return BERTH_NOMEM;
	put_u64(data, PEERS_MAGIC);
	put_u32(data + 8, peers->count);
	for (i = 0; i < peers->count; i++) {
		uint8_t *at = data + 16 + i * PEER_SIZE;

		put_u64(at, peers->peers[i].id);
		memcpy(at + 8, peers->peers[i].disk_id, 16);
		put_u64(at + 24, peers->peers[i].incarnation);
		put_u64(at + 32, peers->peers[i].nonce);
	}
	put_u32(data + PEERS_SIZE - 4, crc32c(0, data, PEERS_SIZE - 4));
	code = replace(files, "peers", "peers.new", data, PEERS_SIZE);
	free(data);
	return code;
}

struct peer_memory *peers_find(struct peers_file *peers, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < peers->count; i++)
		if (peers->peers[i].id == id)
			return &peers->peers[i];
	return NULL;
}
