/* The small files of a replica's directory: who it is, term and vote, and what
 * it remembers of its peers' disks (R18). Blocking: jobs of the log lane, and
 * open. */
#ifndef RAFT_META_H
#define RAFT_META_H

#include "raft/replica.h"

#define IDENTITY_NONCES 64u

/* "identity": replaced by rename, so it is whole or it is the old one. */
struct identity_file {
	char cluster[64];
	uint64_t id;
	uint8_t disk_id[16];
	uint64_t incarnation; /* of the last start; 0 before the first */
	uint64_t nonces[IDENTITY_NONCES]; /* of that start, the one before, ... */
	bool refused; /* a peer knows this disk to be older: never again */
};

/* Errors: NOTFOUND, CORRUPT, VERSION, IO. */
MUST_CHECK int identity_load(const struct replica_files *files,
			     struct identity_file *out, struct fault *fault);
MUST_CHECK int identity_store(const struct replica_files *files,
			      const struct identity_file *identity);

/* "vote": two slots, written in turn, so that a torn write leaves the other. */
struct vote_file {
	void *file;
	uint64_t sequence, term, vote;
};
MUST_CHECK int vote_open(struct vote_file *vote,
			 const struct replica_files *files,
			 struct fault *fault);
MUST_CHECK int vote_store(struct vote_file *vote,
			  const struct replica_files *files, uint64_t term,
			  uint64_t voted_for);
/* Makes durable what vote_open has read: a process that was killed may have
 * written it and not synced it. */
MUST_CHECK int vote_settle(struct vote_file *vote,
			   const struct replica_files *files);
void vote_close(struct vote_file *vote, const struct replica_files *files);

/* "peers": id to disk, highest incarnation and the start's nonce. */
#define PEERS_MAX 64u
struct peer_memory {
	uint64_t id;
	uint8_t disk_id[16];
	uint64_t incarnation, nonce;
};
struct peers_file {
	uint32_t count;
	struct peer_memory peers[PEERS_MAX];
};
MUST_CHECK int peers_load(const struct replica_files *files,
			  struct peers_file *out, struct fault *fault);
MUST_CHECK int peers_store(const struct replica_files *files,
			   const struct peers_file *peers);
struct peer_memory *peers_find(struct peers_file *peers, uint64_t id);

#endif
