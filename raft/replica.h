/* The replica engine: a durable, replicated log of bytes.
 *
 * libraft's pure core (raft_step, 0.22) over our own log, snapshot store and
 * peer links. Everything it may not decide itself is injected (raft/io.h):
 * time, chance, files, links; so the simulator runs this very code. All calls
 * and callbacks are on one loop. Recipe and filters: libraft-step.md.
 */
#ifndef RAFT_REPLICA_H
#define RAFT_REPLICA_H

#include "raft/fault.h"
#include "raft/io.h"

struct replica;

#define REPLICA_MEMBERS_MAX 9

enum replica_role { ROLE_VOTER = 1, ROLE_STANDBY, ROLE_SPARE };
enum replica_state { REPLICA_FOLLOWER = 1, REPLICA_CANDIDATE, REPLICA_LEADER };

struct replica_member {
	uint64_t id;
	enum replica_role role;
	uint8_t disk_id[16]; /* R18: an id is bound to one disk */
};

struct replica_config {
	uint64_t id;
	char cluster[64];        /* refused when the directory is of another */
	uint32_t election_ms, heartbeat_ms;
	uint32_t snapshot_entries; /* take one after this many entries... */
	uint64_t snapshot_bytes;   /* ...or this many bytes of log */
	uint32_t trailing;         /* entries kept behind a snapshot */
	uint32_t max_inflight;     /* entries per peer */
	uint32_t filters_off;      /* bit per filter T1..T13: tests only */
	uint64_t segment_size;     /* of the log; 0: 64 MiB */
};

/* What stands above the log. apply and the restore calls run on the loop;
 * snapshot bytes are produced from a frozen view by `snapshot_write`, off the
 * loop. */
struct replica_machine {
	void *ctx;
	void (*apply)(void *ctx, uint64_t index, uint64_t term,
		      const void *data, size_t size);
	/* Freezes the state at the last applied index; NULL: not now. */
	void *(*snapshot_begin)(void *ctx);
	/* Any thread. Writes all bytes through the sink; false: it refused. */
	bool (*snapshot_write)(void *view, bool (*sink)(void *sink_ctx,
							const void *data,
							size_t size),
			       void *sink_ctx);
	void (*snapshot_end)(void *ctx, void *view);
	/* Replaces the state; errors: CORRUPT, VERSION. */
	int (*restore)(void *ctx, bool (*source)(void *source_ctx, void *data,
						 size_t size),
		       void *source_ctx);
	/* Leadership gained (true) or lost, told exactly, with its term. */
	void (*leadership)(void *ctx, bool leader, uint64_t term);
	/* The engine cannot go on (a failed write, an older disk, ...): the
	 * process must stop; nothing more will be sent. */
	void (*fatal)(void *ctx, const struct fault *fault);
};

/* Makes a directory that holds nothing a member of a new cluster. Every
 * bootstrap member must be given the same list and `first` entry (the
 * initial configuration command): the log of each begins with the members at
 * index 1 and `first` at index 2, both of term 1, in which nobody ever leads.
 * With count 0 the directory is one that joins, under an id never used before:
 * it has a disk id and no log, and waits to be added (R18). Members' disk ids
 * are not known yet: peers bind each id to the disk that they meet first.
 * Errors: EXISTS, BUSY, INVALID, IO. */
MUST_CHECK int replica_bootstrap(const struct replica_io *io,
				 const struct replica_config *config,
				 const struct replica_member *members,
				 uint32_t count, const void *first,
				 size_t first_size, struct fault *fault);

/* Opens the directory behind io->files, loads snapshot and log, and starts.
 * Of the callbacks only machine->restore is called from here; the others come
 * from replica_tick (due at once) or later.
 * Borrows io and machine until replica_close has called back. Errors: BUSY
 * (another process holds the directory), MISMATCH (another cluster or id),
 * CORRUPT with file and offset, NOTFOUND (empty and neither bootstrapped nor
 * joining: R18), VERSION. */
MUST_CHECK int replica_open(struct replica **out,
			    const struct replica_config *config,
			    const struct replica_io *io,
			    const struct replica_machine *machine,
			    struct fault *fault);
void replica_close(struct replica *replica, void (*closed)(void *ctx),
		   void *ctx);

/* The next time (io now_ms) replica_tick must be called; it may move after any
 * call, and io->wake tells. */
uint64_t replica_next_ms(const struct replica *replica);
void replica_tick(struct replica *replica);

/* Submits one entry; copies the bytes. Nothing waits in here: an entry is
 * appended at once or refused. `urgent` (a Beat) is let in when others are
 * refused for too much in flight. Takes entries up to REPLICA_ENTRY_SIZE_MAX;
 * may be called from apply and leadership. BUSY also while leadership is being
 * handed over, or the disk hangs. The outcome: apply is called with its index (given in *index), or
 * leadership(false) comes first: then it is unknown. Errors: NOTLEADER, BUSY
 * (too much in flight), TOOBIG; then it was surely not submitted. */
#define REPLICA_ENTRY_SIZE_MAX (REPLICA_FRAME_SIZE_MAX - 4096u)
MUST_CHECK int replica_submit(struct replica *replica, const void *data,
			      size_t size, bool urgent, uint64_t *index);

/* Asks for an index that, once applied here, makes a read linearizable. Leader
 * only: the next entry that is submitted confirms all that wait; an empty one
 * is submitted when nothing else is in flight. done(code, index), perhaps
 * before the call returns: 0 (and that index is applied here) or NOTLEADER. */
struct replica_read {
	struct replica_read *next;
	void *ctx;
	void (*done)(void *ctx, int code, uint64_t index);
};
void replica_read_index(struct replica *replica, struct replica_read *read);

struct replica_status {
	uint64_t id, leader, term, commit, applied, last, stored;
	uint64_t snapshot_index, log_bytes, incarnation;
	uint8_t disk_id[16];
	enum replica_state state;
	uint32_t member_count;
	struct replica_member members[REPLICA_MEMBERS_MAX];
	uint64_t match[REPLICA_MEMBERS_MAX]; /* leader only; else 0 */
	bool installing, snapshotting, connected[REPLICA_MEMBERS_MAX];
	uint64_t appended_entries, appended_bytes, log_writes, snapshots,
		installs, elections;
};
void replica_status(const struct replica *replica,
		    struct replica_status *status);

/* Membership, one change at a time, leader only; done(code) when committed (0),
 * given up (TIMEOUT), or leadership is lost (UNKNOWN_OUTCOME, or NOTLEADER:
 * surely not done). A member is added as ROLE_STANDBY (it follows and does not
 * vote) and promoted when level with the leader; a disk id that is not zero
 * binds it. Removing or demoting the leader itself is refused with INVALID:
 * transfer first (T5). Errors also: BUSY, NOTFOUND, EXISTS. */
struct replica_change {
	void *ctx;
	void (*done)(void *ctx, int code);
};
MUST_CHECK int replica_member_add(struct replica *replica,
				  const struct replica_member *member,
				  struct replica_change *change);
MUST_CHECK int replica_member_role(struct replica *replica, uint64_t id,
				   enum replica_role role,
				   struct replica_change *change);
MUST_CHECK int replica_member_remove(struct replica *replica, uint64_t id,
				     struct replica_change *change);
/* Starts to hand leadership to a voter; it may fail: look who leads. */
MUST_CHECK int replica_transfer(struct replica *replica, uint64_t id);

/* --- links: called by who owns the streams ------------------------------ */

/* A peer's link was made (its certificate says it is `id`); frames go through
 * io->link_send. The engine speaks first (a handshake with disk id and
 * incarnation) and says link_drop if the peer may not take part. */
void replica_link_up(struct replica *replica, uint64_t id);
void replica_link_down(struct replica *replica, uint64_t id);
/* One frame from that peer; bounds are checked here. */
void replica_link_frame(struct replica *replica, uint64_t id, const void *data,
			size_t size);

#endif
