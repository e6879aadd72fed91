#include "raft/internal.h"

void member_settle(struct replica *r)
{
	(void)r;
}
void member_lost(struct replica *r)
{
	(void)r;
}
uint64_t member_next_ms(const struct replica *r)
{
	(void)r;
	return UINT64_MAX;
}
int replica_member_add(struct replica *r, const struct replica_member *member,
		       struct replica_change *change)
{
	(void)r;
	(void)member;
	(void)change;
	return BERTH_BUSY;
}
int replica_member_role(struct replica *r, uint64_t id, enum replica_role role,
			struct replica_change *change)
{
	(void)r;
	(void)id;
	(void)role;
	(void)change;
	return BERTH_BUSY;
}
int replica_member_remove(struct replica *r, uint64_t id,
			  struct replica_change *change)
{
	(void)r;
	(void)id;
	(void)change;
	return BERTH_BUSY;
}
int replica_transfer(struct replica *r, uint64_t id)
{
	(void)r;
	(void)id;
	return BERTH_BUSY;
}
