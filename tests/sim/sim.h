/* The simulator of the replica engine: one thread, one clock that only the
 * simulator moves, one seed that draws everything: how many replicas, how bad
 * network and disks are, when who crashes. It runs the shipped engine
 * (raft/) over its own disk and network, and checks Raft's promises from
 * outside. The same seed gives the same trace hash.
 *
 * disk.c: files that tear and lose what was not synced. world.c: events,
 * links, crashes. oracle.c: what must hold. main.c: options and phases.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "raft/internal.h"

#define NODES_MAX 16u

/* --- chance -------------------------------------------------------------- */
struct chance {
	uint64_t state;
};
uint64_t chance_next(struct chance *chance);
uint64_t chance_below(struct chance *chance, uint64_t bound);
uint64_t chance_between(struct chance *chance, uint64_t low, uint64_t high);
bool chance_percent(struct chance *chance, uint32_t percent);

/* --- disk ---------------------------------------------------------------- */
struct disk;
struct disk *disk_new(struct chance *chance);
void disk_free(struct disk *disk);
void disk_files(struct disk *disk, struct replica_files *out);
/* The power fails after so many more operations (0: never). */
void disk_fuse(struct disk *disk, uint64_t operations);
bool disk_off(const struct disk *disk);
/* What a power failure leaves; then the disk is on again. */
void disk_crash(struct disk *disk);
/* The process was killed, the machine was not: all that was written is there,
 * and is as little durable as before. */
void disk_kill(struct disk *disk);
/* A sync of the log or the vote failed and the kernel forgot that there was
 * something to write: what is read is not what a crash leaves. */
void disk_forget(struct disk *disk);
/* Writes fail with NOSPACE from now on, or no longer. */
void disk_full(struct disk *disk, bool full);
struct disk *disk_copy(const struct disk *disk);
/* The bytes that a crash now could not take away. False: no such file. */
bool disk_durable(const struct disk *disk, const char *name,
		  const uint8_t **data, uint64_t *size);

/* --- world --------------------------------------------------------------- */
struct options {
	uint32_t voters, minutes;
	uint32_t loss, duplicate, reorder; /* percent; 0,0,0: as TCP */
	uint32_t net_ms, disk_ms, slow_disk_ms;
	uint32_t crash_every_ms, cut_every_ms, one_way;
	uint32_t submit_every_ms, change_every_ms, transfer_every_ms;
	uint32_t snapshot_entries, trailing, inflight, segment_size;
	uint32_t entry_size, filler;
	uint32_t election_ms, heartbeat_ms;
	uint32_t full_every_ms, hang_every_ms, lose_every_ms;
	uint32_t filters_off;
};

/* The state machine: a chain of hashes, and some ballast for snapshots. */
struct chain {
	uint64_t index, hash;
};

struct lane {
	struct replica_job *head, **tail;
	bool busy;
};

struct node {
	struct world *world;
	uint64_t id;
	uint32_t life; /* counts starts */
	bool used, alive, gone, dying;
	bool full, stopped; /* its disk; the engine gave up, as it should */
	uint64_t hang_until_us;
	struct disk *disk;
	struct replica_io io;
	struct replica_machine machine;
	struct replica *replica;
	struct lane lanes[2];
	struct chain chain;
	uint64_t restart_us, commit, submitted;
	struct replica_change change;
	bool changing;
	uint64_t leading_term; /* 0: not leading */
};

enum event_kind { EVENT_JOB = 1, EVENT_FRAME, EVENT_LINK };

struct sim_event {
	uint64_t at_us, sequence;
	enum event_kind kind;
	uint32_t from, to; /* node numbers */
	uint32_t life, lane;
	uint64_t link; /* epoch */
	uint8_t *data;
	size_t size;
};

struct totals {
	uint64_t seeds, ms, crashes, torn, commits, elections, snapshots,
		installs, changes, transfers, reads, frames, kills, full,
		hangs, lost, cuts, stops;
};

struct world {
	struct options options;
	struct chance chance;
	uint64_t seed, now_us, sequence, trace;
	bool healed;
	struct node nodes[NODES_MAX];
	uint32_t node_count;
	struct sim_event *heap;
	uint32_t heap_count, heap_capacity;
	struct {
		uint64_t epoch, since_us, last_us[2], up_us;
		bool up, cut[2]; /* cut[0]: low to high */
	} links[NODES_MAX][NODES_MAX]; /* a < b */
	uint64_t next_submit_us, next_crash_us, next_cut_us, next_change_us,
		next_transfer_us, next_read_us, next_full_us, next_hang_us,
		next_lose_us;
	struct oracle *oracle;
	struct totals totals;
	char violation[512];
};

void world_init(struct world *world, uint64_t seed,
		const struct options *options);
void world_fini(struct world *world);
/* Runs until `until_us` or a violation. */
void world_run(struct world *world, uint64_t until_us);
void world_heal(struct world *world);
bool world_converged(struct world *world);
void world_fail(struct world *world, const char *format, ...)
	PRINTF_LIKE(2, 3);
void world_trace(struct world *world, uint64_t value);
struct node *world_leader(struct world *world);
struct node *world_add_node(struct world *world, bool voter, uint32_t voters);
void node_start(struct node *node);
void node_crash(struct node *node);
/* The process ends, the machine goes on. */
void node_kill(struct node *node);

/* links.c */
bool link_transmit(struct node *from, uint64_t to,
		   const struct replica_part *parts, uint32_t count);
void link_arrive(struct world *world, struct sim_event *event);
void link_keep(struct world *world);
void link_break(struct world *world, uint32_t a, uint32_t b,
		uint64_t again_us);
void links_of_crashed(struct world *world, uint32_t number);
void event_push(struct world *world, const struct sim_event *event);

/* faults.c: what happens to the world, and what its users want. */
void faults_plan(struct world *world);
void faults_happen(struct world *world);
uint64_t faults_next_us(const struct world *world);

/* --- oracle -------------------------------------------------------------- */
struct oracle *oracle_new(void);
void oracle_free(struct oracle *oracle);
void oracle_applied(struct node *node, uint64_t index, uint64_t term,
		    const void *data, size_t size);
void oracle_restored(struct node *node);
void oracle_leader(struct node *node, uint64_t term);
void oracle_sending(struct node *node, const uint8_t *frame, size_t size);
void oracle_stepped(struct node *node);
uint64_t oracle_last(const struct oracle *oracle);

#endif
