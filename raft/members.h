/* Configurations: as a plain list, as libraft's struct, and as the bytes of a
 * RAFT_CHANGE entry. The "address" that libraft wants is made of the id and,
 * where known when the member was added, its disk id: "4" or "4/00ff...". */
#ifndef RAFT_MEMBERS_H
#define RAFT_MEMBERS_H

#include <raft.h>

#include "raft/replica.h"

struct members {
	uint32_t count;
	struct replica_member list[REPLICA_MEMBERS_MAX];
};

/* Bounded; false: malformed. Takes only what libraft's decoder can take. */
bool members_decode(struct members *out, const void *data, size_t size);
/* Gives raft_malloc'ed bytes. Errors: NOMEM, INVALID. */
MUST_CHECK int members_encode(const struct members *members,
			      struct raft_buffer *out);
/* The caller, or the core, closes it. */
MUST_CHECK int members_to_raft(const struct members *members,
			       struct raft_configuration *out);
void members_from_raft(struct members *out,
		       const struct raft_configuration *configuration);
const struct replica_member *members_find(const struct members *members,
					  uint64_t id);
bool members_sole_voter(const struct members *members, uint64_t id);
bool disk_id_known(const uint8_t disk_id[16]);

#endif
