/* Linearizable reads. A read is confirmed by the commit of an entry of our own
 * term that was submitted after the read came in: whoever acknowledged it did
 * so later than the read, and knew no newer leader. An entry that was already
 * in flight proves nothing: it may have been acknowledged before the read, and
 * another leader may have committed since. All reads that wait share the next
 * entry; an empty one is submitted only when nothing else is on its way. */
#include "raft/internal.h"

#include <stdlib.h>

static void finish(struct replica_read *read, int code, uint64_t index)
{
	while (read) {
		struct replica_read *next = read->next;

		read->next = NULL;
		read->done(read->ctx, code, index);
		read = next;
	}
}

void read_lost(struct replica *r)
{
	struct replica_read *fresh = r->reads_new;
	uint32_t i, count = r->reads_count;
	struct reads_waiting *waiting = r->reads;

	r->reads_new = NULL;
	r->reads_new_end = &r->reads_new;
	r->reads = NULL;
	r->reads_count = r->reads_capacity = 0;
	r->read_barrier = 0;
	for (i = 0; i < count; i++)
		finish(waiting[i].head, BERTH_NOTLEADER, 0);
	free(waiting);
	finish(fresh, BERTH_NOTLEADER, 0);
}

void read_submitted(struct replica *r, uint64_t index)
{
	if (!r->reads_new)
		return;
	if (r->reads_count == r->reads_capacity) {
		uint32_t capacity = r->reads_capacity * 2 + 8;
		struct reads_waiting *more =
			realloc(r->reads, capacity * sizeof *more);

		if (!more)
			return; /* the next entry then */
		r->reads = more;
		r->reads_capacity = capacity;
	}
	r->reads[r->reads_count].head = r->reads_new;
	r->reads[r->reads_count].index = index;
	r->reads_count++;
	r->reads_new = NULL;
	r->reads_new_end = &r->reads_new;
}

static void submit_barrier(struct replica *r)
{
	uint64_t index;

	/* Refused only while leadership is being handed over: the next settle
	 * tries again, or it is lost. */
	if (engine_append(r, RAFT_BARRIER, NULL, 0, &index) == 0)
		r->read_barrier = index;
}

void read_settle(struct replica *r)
{
	while (r->reads_count && r->reads[0].index <= r->applied) {
		struct reads_waiting first = r->reads[0];

		r->reads_count--;
		memmove(r->reads, r->reads + 1,
			r->reads_count * sizeof *r->reads);
		finish(first.head, 0, first.index);
	}
	if (r->reads_new && r->leading && !r->dead &&
	    raft_commit_index(&r->raft) >= raft_last_index(&r->raft))
		submit_barrier(r);
}

void replica_read_index(struct replica *r, struct replica_read *read)
{
	read->next = NULL;
	if (!engine_is_leader(r) || !r->leading) {
		read->done(read->ctx, BERTH_NOTLEADER, 0);
		return;
	}
	engine_now(r);
	*r->reads_new_end = read;
	r->reads_new_end = &read->next;
	engine_settle(r);
}
