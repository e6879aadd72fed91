/* The engine's inside: what its files share. Read replica.h first, then
 * engine.c (one step of the core), lane.c (the log's writes), filter.c. */
#ifndef RAFT_INTERNAL_H
#define RAFT_INTERNAL_H

#include <raft.h>

#include "raft/cache.h"
#include "raft/meta.h"
#include "raft/snapshot.h"

#if RAFT_VERSION_NUMBER / 100 != 22
#error "libraft 0.22 is needed: ownership in raft_step differs from version to version"
#endif

#define PEERS_LINKED_MAX 16u
#define INFLIGHT_BYTES_MAX (2u << 20)
#define INFLIGHT_ENTRIES_MAX 256u
#define URGENT_ENTRIES_MAX 64u /* on top of the others */
#define APPEND_FRAME_SIZE (1u << 20)
#define WRITE_HANG_MS 10000u
#define CHUNK_SIZE (128u << 10)
#define HELD_BYTES_MAX (64u << 20)

/* Frames between replicas; the first byte. */
enum frame_type {
	FRAME_HELLO = 1,
	FRAME_REFUSED,
	FRAME_APPEND,
	FRAME_APPEND_RESULT,
	FRAME_VOTE,
	FRAME_VOTE_RESULT,
	FRAME_TIMEOUT_NOW,
	FRAME_INSTALL,
	FRAME_SNAPSHOT_OFFER,
	FRAME_SNAPSHOT_WANT,
	FRAME_SNAPSHOT_CHUNK,
};

/* One thing to do on the log lane. They are done in order; the entries of
 * consecutive ones go to disk together. */
enum log_op_kind { OP_VOTE = 1, OP_ENTRIES, OP_INSTALL, OP_DROP };

struct log_op {
	struct log_op *next;
	enum log_op_kind kind;
	uint64_t term, vote;          /* OP_VOTE */
	uint64_t first, last;         /* OP_ENTRIES; first cuts. OP_DROP */
	struct log_entry **entries;   /* each with a reference */
	uint32_t count;
	struct snapshot_meta meta;    /* OP_INSTALL */
	uint8_t *data;                /* its bytes, when done */
	size_t size;
};

struct log_job {
	struct replica_job job;
	struct replica *replica;
	struct log_op *ops;
	struct fault fault;
	bool busy;
	uint64_t since_ms;
};

struct held_frame {
	struct held_frame *next;
	uint64_t peer;
	size_t size;
	uint8_t data[];
};

struct snapshot_job {
	struct replica_job job;
	struct replica *replica;
	struct snapshot_meta meta;
	void *view;
	struct fault fault;
	bool busy, cancelled;
};

struct transfer_out; /* transfer_out.c: a snapshot that we send */
struct transfer_in;  /* transfer_in.c: one that we are sent */

struct peer {
	uint64_t id;
	bool up, accepted;
	uint64_t binding; /* number of the write that it waits for; 0: none */
	struct transfer_out *out;
	uint64_t told;    /* the commit index that frames have told it */
	uint64_t told_ms; /* when one was sent for that alone */
};

/* A membership change on its way (member.c). */
struct pending_change {
	struct replica_change *change;
	struct members target;
	uint64_t promote; /* id that must catch up first; 0: none */
	uint64_t index;   /* of the submitted entry; 0: not yet */
	uint64_t term, deadline_ms;
	bool active, catching;
};

struct replica {
	struct replica_config config;
	const struct replica_io *io;
	const struct replica_machine *machine;
	struct raft raft;
	bool started, dead, closing, settled;
	uint64_t now_ms, next_timeout_ms, last_timeout_ms, ticked_ms;
	char address[24];

	struct identity_file identity;
	uint64_t nonce;
	struct peers_file peers;
	struct peer linked[PEERS_LINKED_MAX];
	uint64_t tell_ms; /* a commit index waits to be told; UINT64_MAX: none */
	uint64_t binds, binds_durable; /* writes of peers: begun, done */
	uint32_t jobs; /* in flight; close waits for them */

	struct cache cache;
	struct wal wal;
	struct vote_file vote;
	struct log_op *waiting, **waiting_end;
	struct log_job writing;
	uint64_t postponed; /* persisted, told when no longer candidate */
	uint64_t votes_wanted, votes_durable;
	struct held_frame *held, **held_end;
	size_t held_size;

	uint64_t applied, applied_conf_index;
	struct members applied_members;
	bool applying, installing, stale_reply;
	uint64_t heard_ms; /* from a leader, last */

	/* What the present step's entries are (they go from here to the
	 * cache when the core takes them). */
	struct raft_entry *step_array;
	struct log_entry **step_entries;
	uint32_t step_count;

	struct snapshot_meta snap; /* index 0: none */
	struct snapshot_job snapping;
	uint64_t entries_since_snap, bytes_since_snap;
	struct raft_snapshot_metadata install_metadata;
	void *install_handle;
	struct transfer_in *in;

	bool leading;
	uint64_t leading_term;
	struct replica_read *reads_new, **reads_new_end;
	struct reads_waiting {
		struct replica_read *head;
		uint64_t index;
	} *reads;
	uint32_t reads_count, reads_capacity;
	uint64_t read_barrier; /* index of one in flight; 0: none */
	struct {
		uint64_t index;
		size_t size;
		bool urgent;
	} inflight[INFLIGHT_ENTRIES_MAX + URGENT_ENTRIES_MAX + 64];
	uint32_t inflight_head, inflight_count, inflight_urgent;
	size_t inflight_size;
	bool stalled;
	struct pending_change change;
	uint64_t transfer_to, transfer_deadline_ms;
	bool transferring;

	uint64_t log_bytes, appended_entries, appended_bytes, log_writes,
		snapshots, installs, elections, last_state;
	void (*closed)(void *ctx);
	void *closed_ctx;
};

/* engine.c */
MUST_CHECK int engine_event(struct replica *r, struct raft_event *event);
MUST_CHECK int engine_receive(struct replica *r, struct raft_message *message,
			      struct log_entry **entries);
MUST_CHECK int engine_append(struct replica *r, uint8_t type, const void *data,
			     size_t size, uint64_t *index);
/* Tells the core that the change at index is applied. */
void engine_tell_change(struct replica *r, uint64_t index);
MUST_CHECK int engine_start(struct replica *r, uint64_t term, uint64_t vote);
void engine_restart(struct replica *r);
void engine_settle(struct replica *r); /* callbacks, apply, what follows */
void engine_fatal(struct replica *r, int code, const char *format, ...)
	PRINTF_LIKE(3, 4);
void engine_fatal_fault(struct replica *r, const struct fault *fault);
void engine_log(struct replica *r, int level, const char *format, ...)
	PRINTF_LIKE(3, 4);
uint64_t engine_term_of(const struct replica *r, uint64_t index);
uint64_t engine_now(struct replica *r);
bool engine_is_leader(struct replica *r);
void engine_restored(struct replica *r, const struct snapshot_meta *meta);

/* filter.c: the faults T1 to T14 of the core, one function each. */
bool filter_on(const struct replica *r, int t);
MUST_CHECK int filter_receive(struct replica *r, struct raft_message *message,
			      struct log_entry **entries);
void filter_send(struct replica *r, struct raft_message *message);
MUST_CHECK int filter_timeout(struct replica *r);
bool filter_may_change(struct replica *r);
bool filter_may_apply(const struct replica *r);
uint64_t filter_next_timeout(const struct replica *r);
bool filter_start_needs_term(const struct replica *r,
			     const struct members *members);

/* lane.c */
void lane_vote(struct replica *r, uint64_t term, uint64_t vote);
MUST_CHECK int lane_entries(struct replica *r, struct log_entry **entries,
			    uint32_t count);
void lane_install(struct replica *r, const struct snapshot_meta *meta);
void lane_drop(struct replica *r, uint64_t first);
void lane_kick(struct replica *r);
void lane_tick(struct replica *r);
uint64_t lane_next_ms(const struct replica *r);
void lane_report_postponed(struct replica *r);
void lane_fini(struct replica *r);

/* link.c */
void link_send_message(struct replica *r, struct raft_message *message);
bool link_send_parts(struct replica *r, uint64_t peer,
		     const struct replica_part *parts, uint32_t count);
void link_release_held(struct replica *r);
void link_fini(struct replica *r);
/* Tells followers of a commit index that no other frame has told them of. */
void link_tell_commit(struct replica *r);
struct peer *link_find(struct replica *r, uint64_t id);

/* hello.c */
void hello_send(struct replica *r, uint64_t id);
void hello_take(struct replica *r, struct peer *peer, const uint8_t *data,
		size_t size);
void hello_take_refused(struct replica *r, struct peer *peer,
			const uint8_t *data, size_t size);

/* codec.c */
struct decoded {
	struct raft_message message;
	struct log_entry **entries;
	uint32_t count;
};
size_t codec_encode(const struct raft_message *message, uint8_t *out);
size_t codec_encode_append(const struct raft_append_entries *append,
			   struct log_entry *const *entries, uint32_t count,
			   uint8_t *out);
#define CODEC_SIZE_MAX 64u
#define CODEC_ENTRY_HEAD 16u
/* False: malformed. Entries are ours; message entries are raft_malloc'ed. */
bool codec_decode(const uint8_t *data, size_t size, struct decoded *out);
void codec_free(struct decoded *decoded);

/* take.c: taking and installing snapshots. */
void take_maybe(struct replica *r);
void install_begin(struct replica *r, struct raft_update *update);
void install_done(struct replica *r, struct log_op *op);
void sweep(struct replica *r);

/* transfer_out.c */
#define WANT_MORE 0u
#define WANT_AGAIN 1u /* from that offset on, what was sent is lost */
#define WANT_NOTHING 2u
void transfer_offer(struct replica *r, const struct raft_message *message);
void transfer_wanted(struct replica *r, struct peer *peer,
		     const uint8_t *data, size_t size);
void transfer_link_down(struct replica *r, struct peer *peer);
uint64_t transfer_oldest(const struct replica *r); /* index in use; or max */

/* transfer_in.c */
void transfer_frame(struct replica *r, struct peer *peer, const uint8_t *data,
		    size_t size);
/* True: that snapshot is here, as a whole staging file or because we are
 * further; its metadata. */
bool transfer_staged(struct replica *r, uint64_t index, uint64_t term,
		     struct snapshot_meta *meta);
void transfer_consumed(struct replica *r);
void transfer_obsolete(struct replica *r, uint64_t index);
void transfer_fini(struct replica *r);

/* read.c */
void read_settle(struct replica *r);
void read_submitted(struct replica *r, uint64_t index);
void read_lost(struct replica *r);

/* member.c */
void member_settle(struct replica *r);
void member_lost(struct replica *r);
uint64_t member_next_ms(const struct replica *r);

#endif
