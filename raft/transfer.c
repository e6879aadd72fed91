#include "raft/internal.h"

void transfer_offer(struct replica *r, const struct raft_message *message)
{
	(void)r;
	(void)message;
}
void transfer_frame(struct replica *r, struct peer *peer, const uint8_t *data,
		    size_t size)
{
	(void)r;
	(void)peer;
	(void)data;
	(void)size;
}
void transfer_link_down(struct replica *r, struct peer *peer)
{
	(void)r;
	(void)peer;
}
uint64_t transfer_oldest(const struct replica *r)
{
	(void)r;
	return UINT64_MAX;
}
bool transfer_staged(struct replica *r, uint64_t index, uint64_t term,
		     struct snapshot_meta *meta)
{
	(void)r;
	(void)index;
	(void)term;
	(void)meta;
	return false;
}
void transfer_consumed(struct replica *r)
{
	(void)r;
}
void transfer_fini(struct replica *r)
{
	(void)r;
}
