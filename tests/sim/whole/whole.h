/* The simulator of the whole system: replicas, agents, fencers, programs,
 * operators, in one thread over a clock that only the simulator moves. One
 * seed draws everything, and the same seed gives the same trace hash.
 *
 * It runs the shipped fsm/, placement, leader's driver, replica engine with
 * libraft, relay, the fencer and the wire; README.md says what it imitates.
 *
 * base.c: events, chance. story.c: what is told. node.c: a replica. wire.c: the network.
 * edge.c: the shipped relay and links of agents, and their surroundings.
 * host.c: a machine with its processes. kernel.c: what its fencer sees of it.
 * agent.c: the agent on it. oracle.c:
 * what must hold. people.c: clients and operators. faults.c: disasters.
 * restore.c: backups, and what follows a disaster. members.c: replicas that
 * come and go. spoil.c: what the oracle must notice. main.c: options, phases.
 */
#ifndef TESTS_SIM_WHOLE_WHOLE_H
#define TESTS_SIM_WHOLE_WHOLE_H

#include <inttypes.h>

/* Machines with less room: what scans all rows is quicker. */
#define FENCER_RUNS_MAX 48

#include "node/agent/fencer.h"
#include "node/replica/driver.h"
#include "raft/replica.h"

#define NODES_MAX 16u   /* of these options.replicas at first */
#define HOSTS_MAX 96u    /* machines; a CRN may get another one */
#define CRNS_MAX 50u
#define PROGRAMS_MAX 160u
#define RUNS_MAX FENCER_RUNS_MAX
#define STORY_LINES 4096u
#define NEVER_US UINT64_MAX

/* --- chance and disks ------------------------------------------------------ */
struct chance {
	uint64_t state;
};
uint64_t chance_next(struct chance *chance);
uint64_t chance_below(struct chance *chance, uint64_t bound);
uint64_t chance_between(struct chance *chance, uint64_t low, uint64_t high);
bool chance_percent(struct chance *chance, uint32_t percent);

/* tests/sim/disk.c, the engine simulator's disk. */
struct disk;
struct disk *disk_new(struct chance *chance);
void disk_free(struct disk *disk);
void disk_files(struct disk *disk, struct replica_files *out);
void disk_fuse(struct disk *disk, uint64_t operations);
bool disk_off(const struct disk *disk);
void disk_crash(struct disk *disk);
/* The last crash kept a part of a file's latest writes, and not all. */
bool disk_torn(const struct disk *disk);
void disk_full(struct disk *disk, bool full);
/* The process was killed, the machine was not: what was written is there, and
 * is as little durable as before. */
void disk_kill(struct disk *disk);
/* The next sync of a file fails, and the kernel forgets that there was
 * something to write: what is read is not what a crash leaves. */
void disk_sync_fails(struct disk *disk);
/* Another disk with what is durable on this one. */
struct disk *disk_copy(const struct disk *disk);

/* --- options --------------------------------------------------------------- */
enum mutation { /* of what the harness imitates, not of shipped code */
	MUTATE_NONE = 0,
	MUTATE_SLOW_KILL,    /* a kill takes longer than K */
	MUTATE_LET_GO,       /* a start that was cancelled goes on */
	MUTATE_FAST_CLOCK,   /* a replica's clock beyond rho */
	MUTATE_NO_TIMER,     /* launchers without the dead man's timer */
	MUTATE_ROW_LOST,     /* the run table forgets at a fencer's restart */
	MUTATE_LYING_FENCE,  /* FenceConfirm of a machine that is on */
	MUTATE_TTL_S,        /* ttl_s below the formula */
	MUTATE_SAME_GEN,     /* an older backup begins a generation anew */
	MUTATE_CONFIG_LOST,  /* the longest ttl_s is in the lost tail */
	MUTATE_EARLY_GONE,   /* K is not waited for in another container */
	MUTATE_TWIN_LEFT,    /* two machines of a CRN stay on over a restore */
	/* spoil.c: each breaks what one check of the oracle's asks for */
	MUTATE_TWO_RUN,
	MUTATE_BROKEN_STATE,
	MUTATE_OTHER_STATE,
	MUTATE_OTHER_ENTRY,
	MUTATE_SNAPSHOT,
	MUTATE_MORE_VCPUS,
	MUTATE_MORE_MEMORY,
	MUTATE_MORE_DISK,
	MUTATE_APPLIED_TWICE,
	MUTATE_ACK_EARLY,
	MUTATE_ACK_OTHER,
	MUTATE_LAZY,
	MUTATE_COUNT
};

struct options {
	uint32_t replicas, crns, programs, profile, tight;
	uint32_t loss, duplicate, reorder, net_ms, wan_ms, late;
	uint32_t disk_ms, cut, one_way;
	uint32_t crash_node_ms, pause_node_ms, crash_host_ms, pause_host_ms;
	uint32_t fencer_ms, agent_ms, cut_ms, clog_ms, clock_ms, data_ms, twin_ms;
	uint32_t disk_fault_ms, operator_ms, client_ms, program_ms;
	uint32_t drift, hold, start_fails, snapshot_entries, minutes;
	uint32_t container_ms, directory_ms, copy_ms, wild_host_ms;
	uint32_t wild_node_ms;
	uint32_t internet; /* figures only: weather.c */
	uint32_t restore_ms, replace_ms, member_ms;
	uint32_t kill_ms, sync_ms, slow_ms;
	enum mutation mutation;
};

/* --- events ------------------------------------------------------------------ */
enum event_kind {
	EVENT_JOB = 1,    /* to: node; a: lane */
	EVENT_PEER,       /* from, to: nodes; a: link's epoch */
	EVENT_UP,         /* from: host, to: node; a: link */
	EVENT_DOWN,       /* from: node, to: host; a: link */
	EVENT_RELAY,      /* from, to: nodes; a: connection; x: what */
	EVENT_EDGE,       /* to: node; a: timer, b: start */
	EVENT_AGENT,      /* to: host: its timer */
	EVENT_DEADLINE,   /* to: host: the page's deadline */
	EVENT_RUN,        /* to: host; a: slot, b: token; x: what */
	EVENT_FENCER,     /* to: host: awake again */
	EVENT_CLIENT,     /* to: request */
	EVENT_FAULT,      /* x: which */
	EVENT_KIND_COUNT
};

struct event {
	uint64_t at_us, sequence, a, b;
	enum event_kind kind;
	uint32_t from, to, life, x;
	uint8_t type;
	uint8_t *data;
	size_t size;
};

/* --- what a CRN has, and a program needs --------------------------- */
struct size {
	uint32_t vcpus;
	uint64_t memory_mib, disk_mib;
};

/* --- a clock that runs a little wrong ---------------------------------------- */
struct drifting {
	uint64_t at_us, base_us; /* base was read at at_us */
	int32_t ppm;
};
uint64_t drifting_us(const struct drifting *clock, uint64_t now_us);
uint64_t drifting_ms(const struct drifting *clock, uint64_t now_us);
/* The first real instant at which it reads at least `ms`. */
uint64_t drifting_when(const struct drifting *clock, uint64_t ms);
void drifting_set(struct drifting *clock, uint64_t now_us, int32_t ppm);

/* --- replicas ------------------------------------------------------------------ */
struct lane {
	struct replica_job *head, **tail;
	bool busy;
};

struct node {
	struct world *world;
	uint32_t number; /* id - 1 */
	uint64_t id;
	uint32_t life;
	bool alive, dying, stepping;
	struct disk *disk;
	struct replica_io io;
	struct replica_machine machine;
	struct replica *replica;
	struct lane lanes[2];
	struct fsm *fsm;
	struct fsm_view *view; /* of a snapshot that is being written */
	struct fsm *old;       /* that view's, when a restore replaced it */
	struct driver *driver;
	struct edge_sim *edge; /* edge.h */
	struct drifting clock;
	uint64_t leader, term; /* as told to the edge */
	uint64_t restart_us, paused_us, next_us;
	/* Its disk is slow until then: so much a job; 0: nothing before it. */
	uint64_t slow_until_us, slow_us;
	uint64_t applied;
	bool failed;
	/* Its disk is lost; it is off for good; it is not added yet; it is to
	 * be removed. */
	bool lost, gone, joining, leaving;
	bool changing; /* a change of members that it leads is under way */
	uint32_t change_what;
	uint64_t change_id, copy_incarnation;
	struct replica_change change;
	struct disk *copy; /* an older state of its disk */
	struct fsm_result *results;
	uint32_t result_count, result_capacity;
};

/* --- machines -------------------------------------------------------------------- */
enum live_state { LIVE_NONE = 0, LIVE_PREPARED, LIVE_GOING, LIVE_EXECUTING,
		  LIVE_DEAD /* not seen by the fencer */ };
/* What really is there, whoever knows of it. */
enum far { FAR_NOT = 0, FAR_SEEN, FAR_UNSEEN };
struct live {
	enum live_state state;
	enum far far; /* of another container; is its group to be seen? */
	bool dying, hold;
	bool launcher_dead;   /* it may go before its init, and after it */
	bool told, went;      /* its pid waits to be read; it was let go */
	bool ghost;           /* MUTATE_LET_GO: taken for dead, and goes on */
	bool orphan;          /* its page is of a fencer that is no more */
	uint32_t program, token;
	uint64_t gen, timer_ms; /* timer: the last deadline of an orphan's page */
	uint64_t group;       /* id of its control group; 0: none */
	stamp_t epoch;
};

/* The file of the run table, as node/agent/run_table.c writes it. */
#define TABLE_BLOCK 512u
struct image {
	bool there;
	uint8_t bytes[(RUNS_MAX + 1) * TABLE_BLOCK];
};

enum phase { PHASE_SETTLING = 1, PHASE_GREETING, PHASE_REGISTERING,
	     PHASE_OPEN };

struct attempt { /* of the agent: a desired row that does not run */
	struct hash program;
	stamp_t epoch;
	uint64_t ready_us;
	uint32_t failures;
	bool seen;
};

struct weather {
	uint64_t turn_us[2], outage_us, outage_end_us, last_end_us;
	bool bad[2];
};

struct host {
	struct world *world;
	uint32_t number, crn;
	bool on, gone, frozen; /* gone: never on again */
	uint32_t life;         /* of the machine: of each boot */
	struct hash crn_hash, host_hash, boot_hash, kernel;
	uint32_t container; /* that the fencer is in, of this kernel's */
	struct drifting clock;
	uint32_t k_ms;
	struct size size;
	uint64_t on_us;

	struct live live[RUNS_MAX];
	uint32_t live_count;
	struct image cache, durable;
	struct fence_page page; /* of the fencer that is */
	uint64_t armed_ms;    /* what its launchers' timers are set to; 0: off */
	uint64_t timer_ms;    /* the fencer's own; 0: off */
	uint64_t deadline_event_us, poll_us;
	uint64_t groups, group_ids[RUNS_MAX]; /* the last made of each slot */
	bool has_groups, groups_unseen; /* those of containers before */
	bool happened; /* something that the fencer's descriptors tell */
	bool had_session, starting;
	uint64_t stall_us; /* by which the fencer is ahead of the world */

	bool fencer_up;
	uint32_t fencer_life;
	uint64_t fencer_paused_us, fencer_again_us;
	struct fencer fencer;
	stamp_t last_version, last_session;
	uint64_t last_gen;

	bool agent_up;
	uint32_t agent_life;
	uint64_t agent_paused_us, agent_again_us, agent_next_us;
	uint32_t agent_token;
	enum phase phase;
	uint64_t wait_us, sent_us, began_us, beat_us, report_us, heard_us;
	uint64_t refused_us;
	uint32_t heartbeat_ms;
	uint8_t nonce[16];
	uint8_t *reg;
	size_t reg_size;
	uint32_t link_node;
	uint64_t link, link_us; /* number; connected since */
	struct attempt attempts[RUNS_MAX];
	uint32_t attempt_count;
	/* Cut between this machine and each replica, by way. */
	bool cut_up[NODES_MAX], cut_down[NODES_MAX];
	struct weather weather;
};

/* --- programs and people ------------------------------------------------------ */
struct program {
	struct hash hash;
	uint32_t root; /* number of the lineage's first */
	uint32_t executing;
	struct size size;
	bool hold, put, forgotten, replaces;
	bool outside; /* of a root: what a CRN outside said of it was believed */
	uint32_t replaced;
	uint64_t asked_us; /* put or forgotten again, after a restore */
	stamp_t epoch; /* I6 */
	uint64_t gen;
};

struct request {
	struct driver_client client;
	struct world *world;
	bool used, waiting, acked, once;
	uint32_t number, tries;
	enum fsm_command_type type;
	uint8_t id[16], data[2048];
	size_t size;
	uint32_t node, life;
	enum fsm_refusal refusal;
	stamp_t stamp;
	char what[80];
};
#define REQUESTS_MAX 512u

enum message_kind { /* what befell a message */
	MESSAGE_LOST = 0, MESSAGE_LATE, MESSAGE_DOUBLED, MESSAGE_REORDERED,
	MESSAGE_KIND_COUNT
};

struct totals {
	uint64_t seeds, ms, faults, moves, starts, applied, acks, expiries,
		elections, snapshots, restores, registers, confirms, healed_ms,
		new_gens, surveys, clock_alarms, boot_alarms;
	uint64_t ends, fences, fences_outage, sent, lost; /* figures */
	uint64_t by_fault[40], by_message[MESSAGE_KIND_COUNT];
};

struct oracle;

/* A replica's clock beyond rho, and what must come of it (clocks.c). */
enum wild_state { WILD_NOT = 0, WILD_RATE, WILD_OVER, WILD_SETTLES };
struct wild_crn {
	stamp_t session;
	uint64_t seq, moved_us;
};
struct wild {
	enum wild_state state;
	bool watching;
	uint32_t node, beats;
	uint64_t until_us, end_us, look_us, from_us, c_ms, alarms, term;
	struct wild_crn crns[CRNS_MAX];
};

/* A state of some replica, kept elsewhere. */
struct backup {
	uint8_t *data;
	size_t size;
	uint64_t at_us;
};
#define BACKUPS_MAX 4u

struct story_line {
	uint64_t at_us, c_ms;
	char text[176];
};

struct world {
	struct options options;
	struct chance chance, weather;
	struct fsm_config config;
	uint32_t rho_ppm; /* what clocks keep to */
	uint64_t seed, now_us, sequence, trace, links;
	bool healed, over;
	struct event *heap;
	uint32_t heap_count, heap_capacity;
	struct node nodes[NODES_MAX]; /* by id - 1 */
	uint32_t node_count, voters, replacing;
	uint64_t operate_us;
	struct host *hosts[HOSTS_MAX];
	uint32_t host_count;
	int32_t host_of_crn[CRNS_MAX]; /* the newest machine */
	struct hash crns[CRNS_MAX];
	struct size crn_sizes[CRNS_MAX];
	struct program programs[PROGRAMS_MAX];
	uint32_t program_count;
	struct {
		uint64_t epoch, since_us, last_us[2];
		uint64_t closing_us; /* by `closer`; 0: not */
		uint32_t closer;
		bool up, cut[2];
	} peers[NODES_MAX][NODES_MAX];
	struct clog {
		uint64_t until_us, last_us;
		uint32_t rate; /* bytes a second */
	} clogs[NODES_MAX][NODES_MAX][2];
	uint64_t peers_look_us, next_sweep_us;
	struct request requests[REQUESTS_MAX];
	uint32_t request_count;
	struct oracle *oracle;
	struct audit_file *audit; /* NULL: none is written */
	struct backup backups[BACKUPS_MAX];
	uint64_t next_backup_us, next_people_us;
	uint64_t gen;              /* the newest that was ever begun */
	struct fsm_config longest; /* the one with the largest ttl_s so far */
	bool restored;             /* at least once */
	bool outside[CRNS_MAX];    /* of the assumptions: not asked */
	uint32_t outside_crn;      /* the one that may come to be */
	struct wild wild;
	uint64_t attested_us[CRNS_MAX]; /* not again before */
	struct totals totals;
	uint8_t *frame;
	struct desired_row *rows;
	struct story_line story[STORY_LINES];
	uint32_t story_at;
	char violation[512];
	bool talk, events;
};

/* main.c */
void world_open(struct world *world, uint64_t seed,
		const struct options *options);
void world_run(struct world *world, uint64_t until_us);
void world_close(struct world *world);

/* base.c */
void event_push(struct world *world, const struct event *event);
bool event_pop(struct world *world, struct event *out, uint64_t until_us);
void world_trace(struct world *world, uint64_t value);
void *need(void *memory);
uint64_t bytes_hash(const void *data, size_t size);

/* story.c */
void world_fail(struct world *world, const char *format, ...)
	PRINTF_LIKE(2, 3);
void story(struct world *world, const char *format, ...) PRINTF_LIKE(2, 3);
void story_effect(struct world *world, const struct fsm_effect *effect);
void story_print(struct world *world);

/* node.c */
void node_init(struct world *world, uint32_t number);
void node_start(struct node *node);
void node_crash(struct node *node, const char *why);
/* The process ends, the machine goes on. */
void node_kill(struct node *node, const char *why);
void node_fini(struct node *node);
void node_step(struct node *node);
void node_job(struct world *world, const struct event *event);
struct node *node_leader(struct world *world);
struct node *node_best(struct world *world); /* the most applied, or NULL */
bool node_ready(const struct node *node);    /* alive and not paused */

/* A new replica under a new id, which waits to be added. */
void node_join(struct world *world);
void node_config(const struct node *node, struct replica_config *config);

/* members.c */
struct node *node_any(struct world *world); /* that is not off for good */
void members_keep(struct world *world);
void members_replace(struct world *world);
void members_change(struct world *world);
void members_refused(struct node *node, const char *why);
void members_restart(struct world *world);
bool members_satisfied(struct world *world, char *why, size_t size);

/* restore.c */
void restore_keep(struct world *world); /* backups; what was lost is told */
bool restore_backup(struct world *world);
/* What a leader of a restored state proposes in place of its Lead. */
bool restore_first(struct node *node, const void *data, size_t size,
		   uint8_t *out, size_t *out_size);
void restore_done(struct world *world, uint64_t gen);
void restore_config(struct world *world);
void restore_close(struct world *world);

/* clocks.c */
bool clock_of_node(struct world *world);
bool clock_of_host(struct world *world);
bool clock_is_wild(const struct node *node);
void clock_beat(struct world *world, uint64_t proposed_us);
void clock_keep(struct world *world);

/* wire.c */
bool peer_transmit(struct node *node, uint64_t id,
		   const struct replica_part *parts, uint32_t count);
void peer_break(struct world *world, uint32_t a, uint32_t b, uint64_t again_us);
/* Closed by that end; what it has sent still arrives. */
void peer_close(struct world *world, uint32_t closer, uint32_t other);
void peers_of_crashed(struct world *world, uint32_t number);
void peers_keep(struct world *world);
void wire_up(struct host *host, uint8_t type, const void *data, size_t size);
void wire_down(struct node *node, uint64_t link, uint8_t type,
	       const void *data, size_t size);
void wire_relay(struct node *node, uint32_t to, uint64_t id, uint8_t type,
		const void *data, size_t size);
void wire_control(struct world *world, uint32_t from, uint32_t to,
		  uint32_t what, uint64_t id);
/* What has arrived; the node whose core heard of it (which then steps). */
struct node *wire_arrive(struct world *world, struct event *event);
uint64_t wire_delay(struct world *world, bool wide);

/* edge.c: the shipped relay and links of agents */
void edge_start(struct node *node);
void edge_stop(struct node *node);
void edge_told(struct node *node); /* who leads, and the term */
void edge_answer(struct node *node, const struct agent_route *route,
		 uint8_t type, const void *data, size_t size);
/* From an agent, a relay or a timer; true when the core heard of it. */
bool edge_arrive(struct node *node, const struct event *event);

/* clog.c */
void clog_begin(struct world *world);
uint64_t clog_passes(struct world *world, uint32_t from, uint32_t to,
		     size_t size, uint64_t at_us);
size_t clog_queued(const struct world *world, uint32_t from, uint32_t to);

/* host.c */
struct host *host_new(struct world *world, uint32_t crn);
void host_on(struct host *host);
void host_off(struct host *host, const char *why);
void fencer_start(struct host *host);
void fencer_stop(struct host *host);
bool fencer_ready(const struct host *host);
void fencer_wake(struct host *host); /* catches up after a pause */
void fencer_pause(struct host *host, uint64_t us);
/* What the agent asks; `bytes` of a message, if any. */
enum fencer_code fencer_ask(struct host *host,
			    const struct fencer_request *request,
			    const void *bytes, struct fencer_answer *answer);
enum fencer_code fencer_ask_for(struct host *host, uint32_t type,
				const void *bytes, size_t size,
				struct fencer_answer *answer);
uint64_t host_ms(const struct host *host);
void host_deadline(struct host *host);
void host_run(struct host *host, const struct event *event);
void host_armed(struct host *host);
bool host_may_start(const struct host *host, const struct hash *program,
		    uint64_t gen, stamp_t epoch);
const char *host_name(const struct host *host);
bool lease_valid(const struct host *host);
enum { RUN_IS_MADE = 1, RUN_EXECUTES, RUN_FAILS, RUN_TIMER, RUN_IS_DEAD,
       RUN_LAUNCHER_DEAD };
void run_event(struct host *host, uint32_t slot, uint32_t what,
	       uint64_t at_us);
void run_kill(struct host *host, uint32_t slot);
void run_stop(struct host *host, uint32_t slot);
uint64_t host_us(const struct host *host); /* real time, as far as it is here */
void draw_hash(struct world *world, struct hash *hash);

/* machine.c: what may happen to a machine and its identity. */
bool container_changes(struct world *world);
bool has_unknown(const struct host *host);
bool directory_copied(struct world *world);
bool machine_copied(struct world *world);

/* agent.c */
void agent_start(struct host *host);
void agent_stop(struct host *host);
void agent_pause(struct host *host, uint64_t us);
void agent_timer(struct host *host);
void agent_soon(struct host *host, uint64_t at_us);
void agent_frame(struct host *host, uint8_t type, const uint8_t *data,
		 size_t size);

/* oracle.c */
void oracle_open(struct world *world);
void oracle_close(struct world *world);
/* Before and after a replica applies an entry. */
void oracle_apply(struct node *node, uint64_t index, const void *data,
		  size_t size);
void oracle_applied(struct node *node, uint64_t index);
void oracle_restored(struct node *node, uint64_t index);
void oracle_snapshot(struct node *node, uint64_t index);
void oracle_proposed(struct node *node, uint64_t index, const void *data,
		     size_t size);
void oracle_executes(struct host *host, struct live *live);
void oracle_ends(struct host *host, struct live *live);
void oracle_lease(struct host *host); /* adopted or extended */
void oracle_acked(struct request *request, const struct fsm_result *result);
uint64_t oracle_max(const struct world *world);
bool guarded(const struct host *host);
bool clock_trusted(const struct world *world);
uint32_t program_number(const struct world *world, const struct hash *hash);

/* spoil.c: each does nothing without its mutation */
void spoil_state(const struct world *world, enum mutation mutation,
		 struct fsm *fsm);
void spoil_applied(struct node *node, uint64_t index);
const void *spoil_entry(const struct node *node, uint64_t index,
			const void *data, size_t size);
void spoil_start(struct host *host, const struct live *live);
void spoil_report(const struct world *world, struct command_crn_report *report);
void spoil_request(const struct request *request, uint8_t *data);
void spoil_asked(struct request *request);
void spoil_acked(const struct request *request, struct fsm_result *result);
bool spoil_lazy(const struct world *world);

/* audit.c: each does nothing unless it was opened */
void audit_open(struct world *world, const char *directory);
void audit_result(struct world *world, const struct fsm_result *result);
void audit_entry(struct world *world, uint64_t index, const void *data,
		 size_t size, const struct fsm_view *view);
void audit_rewind(struct world *world, uint64_t index,
		  const struct fsm_view *view);
void audit_close(struct world *world);

/* people.c */
void people_open(struct world *world);
void people_client(struct world *world, const struct event *event);
void people_act(struct world *world, uint32_t which);
void request_config(struct world *world);
void people_settle(struct world *world);
void request_new(struct world *world, struct command *command,
		 const char *what);
void put_program(struct world *world, uint32_t number);
void forget_program(struct world *world, uint32_t number);
const struct fsm_view *some_view(struct world *world);

/* people_restore.c: after a restore what was lost is told again, and the CRNs
 * that cannot be surveyed by themselves are seen off. */
void people_remember(struct world *world);
void survey_by_hand(struct world *world);
bool people_satisfied(struct world *world, char *why, size_t size);

/* faults.c */
enum fault_kind {
	FAULT_NODE_CRASH = 0, FAULT_NODE_PAUSE, FAULT_HOST_CRASH,
	FAULT_HOST_FREEZE, FAULT_FENCER, FAULT_AGENT, FAULT_CUT, FAULT_CLOCK,
	FAULT_DATA, FAULT_TWIN, FAULT_DISK, FAULT_OPERATOR, FAULT_PROGRAM,
	FAULT_CLIENT, FAULT_RESTORE, FAULT_REPLACED, FAULT_MEMBER,
	FAULT_OLD_DISK, FAULT_CONTAINER, FAULT_DIRECTORY, FAULT_COPY,
	FAULT_WILD_HOST, FAULT_WILD_NODE, FAULT_CLOG,
	FAULT_KILL, FAULT_SYNC, FAULT_SLOW,
	/* In the course of something else, none of them at a pace. */
	FAULT_TORN, FAULT_START, FAULT_STOP, FAULT_GATE,
	FAULT_KIND_COUNT
};
void faults_plan(struct world *world);
/* It has happened; after the heal nothing is a fault. */
void faults_count(struct world *world, enum fault_kind which);
void faults_happen(struct world *world, uint32_t which);
void faults_heal(struct world *world);

#endif
