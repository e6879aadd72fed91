/* The commands of the log: their shapes, and their bytes.
 *
 * An entry is msgpack [format, term, [command...]]; a command is
 * [type, field...]. A field is never removed and a meaning never changed: a
 * new meaning is a new type. Encoding writes through a sink; decoding borrows
 * from the bytes it was given. Read fsm/fsm.h for what apply does with them.
 * Source of the rules: lease.md 2.2, 2.3, 2.6.
 */
#ifndef FSM_COMMAND_H
#define FSM_COMMAND_H

#include "fsm/base.h"

#define FSM_TOKENS_MAX 24    /* capability tokens of a program or a CRN */
#define FSM_TOKEN_SIZE_MAX 128
#define FSM_TEXT_SIZE_MAX 256 /* reasons, names, urls, owners; bytes, no NUL */
#define FSM_HELD_MAX 4096    /* held rows in a Register */
#define FSM_RENEWALS_MAX 65535 /* renewals in a Beat */
#define FSM_UNIVERSE_MAX 65535 /* CRNs named by a NewGen */
#define FSM_CRN_PROGRAMS_MAX 1024 /* on one CRN: its fencer has no more slots */
#define FSM_ENTRY_SIZE_MAX (4u << 20)

/* Borrowed bytes, not terminated. */
struct text {
	const char *data;
	uint32_t size;
};

enum fsm_command_type {
	FSM_LEAD = 1,
	FSM_BEAT,
	FSM_REGISTER,
	FSM_CRN_REPORT,
	FSM_EXPIRE,
	FSM_ASSIGN,
	FSM_REVOKE,
	FSM_FENCE_CONFIRM,
	FSM_NEW_GEN,
	FSM_CONFIG,
	FSM_PROGRAM_PUT,
	FSM_PROGRAM_FORGET,
	FSM_CRN_PUT,
	FSM_CRN_REMOVE,
};

enum crn_class { CRN_UNFENCED = 0, CRN_FENCED = 1 };
enum crn_watchdog { WATCHDOG_NONE = 0, WATCHDOG_SOFT, WATCHDOG_HARDWARE };
enum guarantee {
	GUARANTEE_EXCLUSIVE = 0, /* dies at the deadline, moves after ttl_s */
	GUARANTEE_HOLD,          /* exclusive-hold: outlives the deadline */
};
enum program_source { SOURCE_CCN = 0, SOURCE_OPERATOR };
enum program_kind { KIND_PROGRAM = 0, KIND_INSTANCE };

/* Replicated configuration. Times in ms; everything here is in the hash. */
struct fsm_config {
	uint32_t heartbeat_ms, ttl_a_ms, ttl_s_ms, k_ms, dt_max_ms;
	uint32_t beat_ms;          /* how often the leader proposes a Beat */
	uint32_t sticky_ms;        /* R20 */
	uint32_t start_failures_max, start_timeout_ms, exclude_ms; /* R24 */
	uint32_t rho_ppm;          /* clock rate error, 10000 = 1 % */
	uint32_t programs_max, crns_max;
	bool watchdog_none_ok;     /* no watchdog still counts as exclusive */
	bool unfenced_hold_ok;     /* unfenced CRNs may run programs, as held */
};

struct command_lead {
	uint64_t term;
	uint64_t leader; /* replica id, told in status only */
};

/* One renewal: an agent's heartbeat as the leader heard it (R5, R6). */
struct command_renewal {
	uint64_t gen;
	struct hash crn;
	stamp_t session;
	uint64_t seq;
	stamp_t applied;
	bool got_ack;
};

struct command_beat {
	uint32_t dt_ms;
	uint64_t wall_ms; /* Unix time, for people only; no rule reads it */
	uint32_t renewal_count;
	const struct command_renewal *renewals;
};

struct held_row {
	struct hash program;
	uint64_t gen;
	stamp_t epoch;
	struct hash lineage;
	bool running; /* false: unknown */
};

struct command_register {
	uint64_t gen;
	struct hash crn, host, boot;
	stamp_t prev;
	uint8_t nonce[16];
	uint32_t k_ms;
	enum crn_watchdog watchdog;
	enum crn_class class; /* what the agent found it can promise */
	struct text unfenced_reason;
	uint32_t held_count;
	const struct held_row *held;
};

/* What a CRN has and offers. Tokens are what placement matches: "arch:x86_64",
 * "vendor:AuthenticAMD", "feature:sev", "gpu:10de:2504", "runner:program",
 * "runtime:HASH"; a program needs each of its tokens offered. */
struct command_crn_report {
	struct hash crn;
	stamp_t session;
	uint32_t vcpus;
	uint64_t memory_mib, disk_mib;
	struct text url; /* the agent's door, no trailing slash */
	uint32_t token_count;
	struct text tokens[FSM_TOKENS_MAX];
};

struct command_expire {
	struct hash crn;
	stamp_t session;
};

struct command_assign {
	struct hash program, crn;
	stamp_t session;
};

enum revoke_cause {
	REVOKE_OPERATOR = 1,
	REVOKE_START_FAILED, /* excludes that CRN for exclude_ms (R24) */
	REVOKE_DRAIN,
	REVOKE_UPDATE,       /* new code: stop and start on the same CRN */
};

struct command_revoke {
	struct hash program;
	stamp_t epoch;
	enum revoke_cause cause;
	struct text reason;
};

struct command_fence_confirm {
	uint64_t gen;
	struct hash crn;
	stamp_t session;
	bool all_machines; /* attested for every machine of the CRN (R17) */
	struct text who;
};

struct command_new_gen {
	uint64_t gen; /* must be state gen + 1 */
	bool no_holds;
	uint32_t universe_count;
	const struct hash *universe;
	struct text who;
};

/* A program that wants to run. `lineage` is found by apply from `replaces`. */
struct command_program_put {
	struct hash program;
	enum program_source source;
	enum program_kind kind;
	enum guarantee guarantee;
	bool amendable, has_data, move_without_data, persistent;
	bool has_replaces;
	struct hash replaces;
	uint64_t time_ms; /* the message's own time: orders siblings (R21) */
	uint64_t code_revision; /* changes when use_latest finds new code */
	struct text owner, name;
	uint32_t vcpus;
	uint64_t memory_mib, disk_mib;
	bool has_node_pin;
	struct hash node_pin;
	uint32_t token_count;
	struct text tokens[FSM_TOKENS_MAX];
};

struct command_program_forget {
	struct hash program;
	struct text reason;
};

/* A CRN that may register: from the operator's list or the network's. */
struct command_crn_put {
	struct hash crn;
	struct text name, owner;
	bool linked; /* false: no new Assign, drained (R22) */
};

struct command_crn_remove {
	struct hash crn;
};

struct command {
	enum fsm_command_type type;
	/* Idempotence: zero means none. The state remembers the last results. */
	uint8_t request[16];
	union {
		struct command_lead lead;
		struct command_beat beat;
		struct command_register reg;
		struct command_crn_report report;
		struct command_expire expire;
		struct command_assign assign;
		struct command_revoke revoke;
		struct command_fence_confirm fence_confirm;
		struct command_new_gen new_gen;
		struct fsm_config config;
		struct command_program_put program_put;
		struct command_program_forget program_forget;
		struct command_crn_put crn_put;
		struct command_crn_remove crn_remove;
	};
};

/* Where encoded bytes go. write returns false when there is no room. */
struct byte_sink {
	void *ctx;
	bool (*write)(void *ctx, const void *data, size_t size);
};

/* Writes the head of an entry; `count` commands must follow. False: sink full.
 * command_encode gives false as well for what no decoder would take: a text
 * that is too long or has a NUL inside, an empty token, an enum out of its
 * range. What it wrote until then is to be thrown away. */
MUST_CHECK bool command_entry_begin(const struct byte_sink *sink, uint64_t term,
				    uint32_t count);
MUST_CHECK bool command_encode(const struct byte_sink *sink,
			       const struct command *command);

/* Walks an entry. Arrays and texts of a decoded command point into `data` or
 * into the cursor, and are good until the next call. */
struct command_cursor {
	const uint8_t *data;
	size_t size, offset;
	uint64_t term;
	uint32_t count, position;
	/* Scratch for the arrays of the command at hand; owned by the cursor,
	 * freed by command_cursor_close. */
	void *scratch;
	size_t scratch_size;
};

/* Errors: MALFORMED (not an entry), VERSION (format from the future), TOOBIG. */
MUST_CHECK int command_cursor_open(struct command_cursor *cursor,
				   const void *data, size_t size);
/* Errors: NOTFOUND at the end, MALFORMED, TOOBIG. */
MUST_CHECK int command_cursor_next(struct command_cursor *cursor,
				   struct command *out);
void command_cursor_close(struct command_cursor *cursor);

/* Decodes `size` bytes that are one command without an entry's head, as
 * command_encode wrote it (agents' REGISTER and REPORT). The cursor is zeroed
 * before its first use, may be used again and again, and is closed at the end;
 * *out is good until its next use. Errors: MALFORMED, VERSION (a type from the
 * future), TOOBIG. */
MUST_CHECK int command_decode(struct command_cursor *cursor, const void *data,
			      size_t size, struct command *out);

#endif
