/* What the files of intake share. The table is guarded by a mutex: pages are
 * read into it in the pool. */
#ifndef NODE_REPLICA_INTAKE_INTERNAL_H
#define NODE_REPLICA_INTAKE_INTERNAL_H

#include "node/lib/aleph.h"
#include "node/replica/intake.h"
#include "node/replica/store.h"

#define INTAKE_PAGE 200u
#define INTAKE_PAGES_MAX 1000u
#define INTAKE_ANSWER_SIZE_MAX (96u << 20)
#define INTAKE_ENTRIES_MAX 200000u
#define INTAKE_REFUSALS 100u   /* the last ones are shown */
#define INTAKE_BATCH_MAX 256u  /* commands of one submit */
#define INTAKE_CONFIRMS_MAX 32u
#define INTAKE_REFS 40u        /* code references asked for at once */
#define INTAKE_FULL_MS 30000u  /* between full snapshots of long lists */
#define INTAKE_RETRY_MS 60000u /* a refused ProgramPut is tried again */
#define INTAKE_TIMEOUT_MS 10000u
#define INTAKE_SEEKS_MAX 32u     /* unknown `replaces` asked for in a round */
#define INTAKE_SEEK_MS 3000u     /* and again, if no CCN could tell */

enum entry_kind {
	ENTRY_TAKEN = 1, /* a program that wants to run, or ends one */
	ENTRY_SPARE,     /* on demand: told only if a taken one replaces it */
	ENTRY_IGNORED,   /* good, but not ours: another channel */
	ENTRY_REFUSED,   /* bad: the key is of its whole envelope */
	ENTRY_GONE,      /* was dropped */
	ENTRY_TOMB,      /* was gone when first heard of: only its sender */
};

struct intake_entry {
	struct intake_entry *next;
	struct hash key;
	enum entry_kind kind;
	/* Snapshot of each CCN that last showed it. */
	uint32_t seen[EDGE_CCNS_MAX];
	/* Where it was first heard of: two whole snapshots later all that was
	 * forgotten before it is seen to be gone. */
	uint32_t first, first_ccn;
	/* TAKEN, SPARE, GONE, TOMB: texts are in `texts`. */
	struct command_program_put put;
	char *texts, *code_ref; /* code_ref: NULL unless use_latest */
	uint64_t retry_ms;      /* not before this, after a refusal */
	/* What it replaces is not known: asked for again then; why it waits. */
	uint64_t seek_ms;
	char *why;
};

struct intake_refusal {
	char hash[97], reason[320];
	uint64_t wall_ms;
};

struct intake_table {
	uv_mutex_t mutex;
	struct intake_entry **buckets;
	uint32_t bucket_count, count, offset;
	struct intake_refusal refusals[INTAKE_REFUSALS];
	uint64_t refused; /* in all: the ring's head */
};

enum ccn_phase { CCN_IDLE = 0, CCN_PAGES, CCN_QUICK, CCN_STORES };

struct ccn {
	struct intake *intake;
	uint32_t index;
	const char *url;
	uv_timer_t timer;
	enum ccn_phase phase;
	/* Of the snapshot under way. */
	uint32_t snapshot, page, count;
	uint64_t full_ms;
	/* The last two complete ones; 0: none. */
	uint32_t complete[2], complete_count;
	bool failing, busy;
	char problem[320];
	/* The page in the pool. */
	uv_work_t work;
	char *body;
	size_t body_size;
	struct fault fault;
	int code;
	uint32_t page_count, page_size, taken;
	uint64_t page_total;
	bool has_total;
	/* References whose newer code is asked for. */
	char **refs;
	uint32_t ref_count, ref_at;
};

struct intake {
	struct edge *edge;
	struct intake_table table;
	struct ccn ccns[EDGE_CCNS_MAX];
	uint32_t ccn_count;
	bool closing, reconciling, again, seeking;
	char *channels; /* for the query, encoded; "" for all */
	uint32_t gone_at; /* where the last round's look for absent ones ended */
};

/* --- intake_table.c: call with the mutex held ----------------------------- */

int intake_table_init(struct intake_table *table);
void intake_table_fini(struct intake_table *table);
struct intake_entry *intake_table_find(const struct intake_table *table,
				const struct hash *key);
/* Gives the entry, new or not; NULL: full or no memory. */
struct intake_entry *intake_table_add(struct intake_table *table,
			       const struct hash *key);
void intake_entry_clear(struct intake_entry *entry); /* frees what it has */
/* Keeps a copy of the command's texts. False: no memory. */
bool intake_entry_take(struct intake_entry *entry,
		const struct command_program_put *put, const char *code_ref);
void intake_table_refuse(struct intake_table *table, const char *hash,
		  const char *reason);

/* Why `entry` waits; NULL: it does not. Mutex held. Told when it changes. */
void intake_entry_wait(struct intake_entry *entry, const char *why);

/* --- intake_page.c: in the pool ------------------------------------------- */

struct page_result {
	uint32_t count, page_size, taken;
	uint64_t total;
	bool has_total;
};
/* One page of messages.json: verifies what is new, keeps its content, marks
 * what was seen. Errors: MALFORMED, TOOBIG (the page is void), NOSPACE, IO. */
MUST_CHECK int intake_page(struct intake *intake, uint32_t ccn,
			   uint32_t snapshot, const char *body, size_t size,
			   struct page_result *out, struct fault *fault);
/* One page of STORE messages that refer to code in use. */
MUST_CHECK int intake_stores(struct intake *intake, const char *body,
			     size_t size, struct fault *fault);

/* A message that was asked for by its hash, verified; takes the mutex. What
 * the list will show anyway is left to it. Errors: those of the message. */
MUST_CHECK int intake_take_spare(struct intake *intake, uint32_t ccn,
				 const json_t *json, const struct hash *hash,
				 struct fault *fault);
/* What a CCN keeps of a message that is gone: hash and sender, signed. */
MUST_CHECK int intake_take_tomb(struct intake *intake, uint32_t ccn,
				const json_t *json, const struct hash *hash,
				struct fault *fault);

/* --- intake_poll.c -------------------------------------------------------- */

void intake_ccn_start(struct ccn *ccn);
/* Neither of the last two complete snapshots of any CCN that has them shows
 * it, and one CCN at least has them. Mutex held; entry may be NULL. */
bool intake_absent(const struct intake *intake,
		   const struct intake_entry *entry);
/* Shown by a complete snapshot, or by the one under way. */
bool intake_present(const struct intake *intake,
		    const struct intake_entry *entry);

/* --- intake_reconcile.c, intake_confirm.c: at the leader ------------------ */

void intake_reconcile(struct intake *intake);
/* Asks the CCNs for the status of each and forgets those that are gone. done
 * is called when all were. */
void intake_confirm(struct intake *intake, const struct hash *programs,
		    uint32_t count, void (*done)(struct intake *intake));
/* A program whose `replaces` the state does not know. */
struct seek_row {
	struct hash program, replaces;
};
/* intake_seek.c: asks the CCNs for each `replaces`. done is called when all
 * were asked; found: something was learned. */
void intake_seek(struct intake *intake, const struct seek_row *rows,
		 uint32_t count, void (*done)(struct intake *intake,
					      bool found));
/* What one CCN says of a message. */
enum confirm_word { CONFIRM_FAILED = 0, CONFIRM_GONE, CONFIRM_THERE,
		    CONFIRM_UNKNOWN };
enum confirm_word intake_confirm_read(int status, const char *body,
				      size_t size);

#endif
