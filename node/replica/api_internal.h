/* What the files of the HTTP interface share. */
#ifndef NODE_REPLICA_API_INTERNAL_H
#define NODE_REPLICA_API_INTERNAL_H

#include "fsm/place.h"
#include "node/lib/clock.h"
#include "node/lib/crypto.h"
#include "node/lib/json.h"
#include "node/replica/api.h"
#include "node/replica/relay.h"

#define API_BODY_SIZE_MAX (4u << 20)
#define API_WAIT_MS_MAX 60000u
#define API_WAITING_MAX 1024u
#define API_PAGE_SIZE_MAX 200u
#define API_BATCH_MAX 4096u
#define API_MOVES_MAX 8u
#define API_FORWARD_MS 15000u
#define API_LOG_SIZE_MAX (1u << 20)

enum consistency { STALE = 1, LEADER, LINEARIZABLE };
enum collection { COLLECTION_NONE = 0, COLLECTION_PROGRAMS, COLLECTION_CRNS };

struct api_request;

/* One row of a list, whose "status" ends there in the JSON. */
struct api_run_row {
	struct hash program;
	uint64_t gen;
	stamp_t epoch;
	size_t end;
	enum run_status status; /* 0: not known */
};

/* A program, its CRN and what the state says, copied on the consensus loop:
 * texts point into `texts`. */
struct api_copy {
	struct fsm_status status;
	struct replica_status replica;
	struct driver_status driver;
	struct core_audit audit;
	bool found, has_crn, has_verdict;
	struct fsm_program program;
	struct fsm_crn crn;
	uint32_t move_count;
	struct fsm_move moves[API_MOVES_MAX];
	enum place_reason reason;
	char explained[512];
	char *texts;
	size_t text_size, text_capacity;
};
enum { COPY_STATUS = 1, COPY_PROGRAM = 2, COPY_CRN = 4, COPY_REASON = 8,
       COPY_REPLICA = 16 };

struct api_route {
	const char *method, *path; /* "{hash}", "..." at the end: the rest */
	enum consistency consistency;
	enum collection collection;
	bool open;     /* public: any origin may read it */
	bool mutation; /* needs authority, goes to the leader */
	bool fallback; /* without a leader a stale answer is better than none */
	bool want_run; /* how the program runs, from the leader */
	bool runs;     /* a list with how each runs, if this is the leader */
	bool at_leader; /* linearizable there at once; here a beat later */
	unsigned copy; /* records to copy, then render */
	void (*render)(struct api_request *request);
	/* or in the pool, on a view; then the JSON is sent */
	void (*view)(struct api_request *request, const struct fsm_view *view);
	/* or the handler does as it likes */
	void (*handle)(struct api_request *request);
};

struct api_request {
	struct api *api;
	struct edge *edge;
	const struct api_route *route;
	struct httpd_request *http; /* NULL: forwarded by `peer` */
	uint64_t peer, forward_id;
	bool local_only, waiting, waited;
	char method[8], *path, *query; /* path as it came, not decoded */
	uint8_t *body;
	size_t body_size;
	enum httpd_authority authority;
	char who[256];
	uint8_t id[16];
	struct hash hash; /* of {hash} */
	const char *rest; /* of "...", with its slash */
	enum consistency consistency;
	stamp_t wait_index;
	uint64_t wait_until_ms;
	struct api_request *next; /* of those that wait */
	/* what is read */
	struct edge_read read;
	struct edge_view_job job;
	struct core_call call;
	uv_work_t work;
	struct api_copy copy;
	uint64_t index, age_ms;
	/* what is answered */
	struct json_writer json;
	int status;
	const char *error;
	char message[512], location[2048];
	char audit_next[48]; /* a header: where the audit trail goes on */
	/* the handlers' own */
	struct edge_submit *submit;
	struct hash *subjects;
	uint32_t subject_count;
	bool batch;
	struct agent_log *log;
	uint32_t peer_at;
	struct api_run_row *rows; /* API_PAGE_SIZE_MAX of them */
	uint32_t row_count;
};

struct api {
	struct edge *edge;
	struct place_overlay *overlay; /* empty */
	struct api_request *waiting;
	uint32_t waiting_count, audit_readers;
	uv_timer_t tick;
	bool closing;
};

/* --- api.c: the way of a request ------------------------------------------ */

/* Takes a request whose fields up to `who` are set. */
void api_begin(struct api_request *request);
struct api_request *api_request_open(struct api *api);
/* Each ends the request and frees it. */
void api_respond(struct api_request *request, int status,
		 const char *content_type, const void *body, size_t size);
void api_respond_json(struct api_request *request, int status);
void api_fail(struct api_request *request, int status, const char *code,
	      const char *format, ...) PRINTF_LIKE(4, 5);
void api_fail_code(struct api_request *request, int code);
void api_free(struct api_request *request);

/* --- api_serve.c ---------------------------------------------------------- */

/* Each takes a request that has its route: a read, or a mutation. */
void api__query(struct api_request *request);
void api__mutate(struct api_request *request);

/* --- api_param.c ---------------------------------------------------------- */

/* Decoded value of a query parameter into `value`; false: absent or empty. */
bool api_param(const struct api_request *request, const char *name,
	       char *value, size_t size);
/* Whole number of a parameter; false and a 400 when it is not in range. */
MUST_CHECK bool api_param_number(struct api_request *request, const char *name,
				 uint64_t standard, uint64_t max,
				 uint64_t *out);
MUST_CHECK bool api_param_duration(struct api_request *request,
				   const char *name, uint64_t *ms);

/* --- api_forward.c -------------------------------------------------------- */

/* of_leader: lost as soon as another leads. */
void api_forward(struct api_request *request, uint64_t peer, bool local_only,
		 bool of_leader,
		 void (*lost)(struct api_request *request, int code));
void api_forward_answer(struct api_request *request, int status,
			const char *content_type, const void *body,
			size_t size);

/* --- api_copy.c: on the consensus loop ------------------------------------ */

void api_copy_run(struct core *core, struct core_call *call);
/* How the rows of a list run. */
void api_rows_run(struct core *core, struct core_call *call);

/* --- api_json.c ----------------------------------------------------------- */

void api_json_time(struct json_writer *w, const char *key, uint64_t wall_ms);
void api_json_stamp(struct json_writer *w, const char *key, stamp_t stamp);
void api_json_text(struct json_writer *w, const char *key,
		   const struct text *text);
const char *api_program_state(const struct fsm_program *p);
const char *api_guarantee(enum guarantee guarantee);
bool api_wanted(const struct fsm_program *p);
void api_json_crn(struct json_writer *w, const struct fsm_crn *crn,
		  uint64_t c_ms);
/* crn, run and the reason may be NULL. */
struct api_program_row {
	const struct fsm_program *program;
	const struct fsm_crn *crn;
	const struct agent_run *run;
	const char *reason, *explained;
	uint64_t c_ms;
	const struct fsm_status *status; /* NULL in lists: less is told */
	const struct fsm_move *moves;
	uint32_t move_count;
	size_t *status_end; /* gives where "status" ends in the JSON; or NULL */
};
void api_json_program(struct json_writer *w, const struct api_program_row *row);

/* --- api_truth.c ---------------------------------------------------------- */

/* "guarantee" and what it really is worth where the program is. */
void api_json_guarantee(struct json_writer *w,
			const struct api_program_row *row);
/* "downtime" of moves[at], if a run begins with it. */
void api_json_downtime(struct json_writer *w, const struct api_program_row *row,
		       uint32_t at);
/* "reason" of moves[at]; of an assignment, what ended the run before it. */
void api_json_move_reason(struct json_writer *w,
			  const struct api_program_row *row, uint32_t at);
void api_json_down_since(struct json_writer *w,
			 const struct api_program_row *row);

/* --- api_reason.c --------------------------------------------------------- */

/* Why it is not placed, is held or still stops, in words; false: its CRN is
 * there and has it. */
bool api_reason(const struct fsm_view *view, const struct api *api, slot_t slot,
		const struct fsm_program *program, enum place_reason *reason,
		char *text, size_t size);
const char *api_reason_name(enum place_reason reason);
/* Its CRN is silent, or there with another machine. */
bool api_away(const struct fsm_program *p, const struct fsm_crn *crn);
/* How it is on its way to running, in words; run: NULL if nothing was heard.
 * Gives the reason's code; NULL: there is nothing to explain. */
const char *api_run_reason(const struct fsm_program *p,
			   const struct fsm_crn *crn,
			   const struct agent_run *run, char *text,
			   size_t size);

/* --- handlers ------------------------------------------------------------- */

void api_health(struct api_request *request);
void api_metrics(struct api_request *request);
void api_cluster(struct api_request *request);
void api_replicas(struct api_request *request);
void api_crn(struct api_request *request);
void api_program(struct api_request *request);
void api_where(struct api_request *request);
void api_crns(struct api_request *request, const struct fsm_view *view);
void api_programs(struct api_request *request, const struct fsm_view *view);
void api_rows_fill(struct api_request *request); /* what api_rows_run gave */
void api_v0_plan(struct api_request *request, const struct fsm_view *view);
void api_v0_nodes(struct api_request *request, const struct fsm_view *view);
void api_v0_allocation(struct api_request *request);
void api_door(struct api_request *request);
void api_logs(struct api_request *request);
void api_events(struct api_request *request);
void api_audit(struct api_request *request);
void api_intake(struct api_request *request);
void api_change_member(struct api_request *request);
void api_put_programs(struct api_request *request);
void api_forget_program(struct api_request *request);
void api_put_crn(struct api_request *request);
void api_remove_crn(struct api_request *request);
void api_fence_confirm(struct api_request *request);

#endif
