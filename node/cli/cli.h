/* The command line `berth`: noun, verb, one function a command.
 *
 * A command returns its exit code. Tables and JSON go to stdout; what went
 * wrong, and why, to stderr. Read deploy/API.md for the HTTP below it.
 */
#ifndef NODE_CLI_CLI_H
#define NODE_CLI_CLI_H

#include <argp.h>
#include <stdio.h>

#include "node/lib/crypto.h"
#include "node/lib/http_client.h"
#include "node/lib/json.h"

enum cli_exit {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_PLACED = 3,
	CLI_UNKNOWN = 4,
	CLI_DENIED = 5,
	CLI_NO_LEADER = 6,
	CLI_OUTCOME_UNKNOWN = 7,
};

/* What the common options and the environment said; strings live as long as
 * the process. */
struct cli {
	const char *dir, *url, *ccn, *pki, *key;
	bool json;
	bool terminal; /* stderr is one: progress may be drawn */
};

struct cli_command {
	const char *noun, *verb, *args, *help;
	int (*run)(struct cli *cli, const struct cli_command *command, int argc,
		   char **argv);
};
/* All commands, ended by a NULL noun. */
extern const struct cli_command cli_commands[];

/* Parses the options of one command: `options` are its own (NULL: none), the
 * common ones are accepted too. `arg_min` to `arg_max` words are put into
 * `args`. Returns 0 or exits with usage, as argp does. */
struct cli_option_value {
	const char *value; /* the option's argument, "" for a flag, or NULL */
	const char *values[16];
	uint32_t count;
};
void cli_parse(struct cli *cli, const struct cli_command *command, int argc,
	       char **argv, const struct argp_option *options,
	       struct cli_option_value *values, uint32_t arg_min,
	       uint32_t arg_max, const char **args);
/* Whole number of an option, or the default; exits with usage when it is not
 * one or out of range. */
uint64_t cli_number(const struct cli_option_value *value, const char *name,
		    uint64_t otherwise, uint64_t min, uint64_t max);

/* Prints "berth: ..." to stderr and returns `code`. */
int cli_fail(int code, const char *format, ...) PRINTF_LIKE(2, 3);

/* --- asking the cluster -------------------------------------------------- */

/* GET, or a mutation with a JSON body. Replicas are asked in the order of
 * cli->url until one answers; a mutation carries one request id throughout, so
 * that asking the next one is safe. Returns 0 and a new reference, or an exit
 * code after having printed why (unless it is CLI_UNKNOWN and `quiet`). */
MUST_CHECK int cli_get(struct cli *cli, const char *path, bool quiet,
		       json_t **out);
MUST_CHECK int cli_mutate(struct cli *cli, const char *method,
			  const char *path, const json_t *body, json_t **out);
/* The body as it is, not JSON (logs). */
MUST_CHECK int cli_get_raw(struct cli *cli, const char *path,
			   struct http_answer *answer);

/* --- asking the CCN ------------------------------------------------------ */

MUST_CHECK int cli_ccn(struct cli *cli, const char *method, const char *path,
		       const char *content_type, const void *body,
		       size_t body_size, int *status, json_t **out);
MUST_CHECK int cli_key(struct cli *cli, bool create, struct eth_key *key);
/* Makes, signs and posts a message; on a refusal prints why. `hash` gets the
 * item hash. */
MUST_CHECK int cli_publish(struct cli *cli, const struct eth_key *key,
			   int type, json_t *content, bool sync, char hash[65]);

/* Uploads a file and publishes its STORE; `ref` (or NULL) is the STORE that it
 * is a newer version of. `store_hash` gets the item hash. */
MUST_CHECK int cli_store(struct cli *cli, const struct eth_key *key,
			 const void *data, size_t size, const char *ref,
			 double now, char store_hash[65]);
double cli_now(void); /* Unix time in seconds, to the millisecond */

/* --- showing ------------------------------------------------------------- */

/* A table whose columns are read from objects: "title", "json key", how. */
enum cli_cell { CELL_TEXT, CELL_HASH, CELL_BOOL, CELL_COUNT, CELL_MS };
struct cli_column {
	const char *title, *key;
	enum cli_cell cell;
};
void cli_table(const struct cli_column *columns, uint32_t count,
	       const json_t *rows);
void cli_json(const json_t *value);
/* Value of a possibly dotted key as text into `text`; "-" if absent. */
const char *cli_value(const json_t *object, const char *key, enum cli_cell cell,
		      char *text, size_t size);

/* Prints each plain field of an object on a line of its own. */
void cli_show_fields(const json_t *object);
/* All pages of a collection: as one array, or shown. */
MUST_CHECK int cli_all_pages(struct cli *cli, const char *path,
			     const char *key, json_t **out);
MUST_CHECK int cli_show_pages(struct cli *cli, const char *path,
			      const char *key,
			      const struct cli_column *columns,
			      uint32_t count);
/* A name, or the beginning of a hash, is as good as the whole hash if only one
 * fits. */
MUST_CHECK int cli_resolve(struct cli *cli, const char *path, const char *key,
			   const char *given, char hash[65]);

/* "/admin/v1/programs/HASH" and `rest` for a name or a hash that was given. */
MUST_CHECK int cli_program_path(struct cli *cli, const char *given,
				const char *rest, char *path, size_t size);

int cli_progress_begin(struct cli *cli, const char *what);
void cli_progress(void *ctx, uint64_t done, uint64_t total);
void cli_progress_end(struct cli *cli, const char *outcome);

#define CLI_COMMAND(name)                                           \
	int name(struct cli *cli, const struct cli_command *command, \
		 int argc, char **argv)
CLI_COMMAND(cmd_cluster_status);
CLI_COMMAND(cmd_replica_list);
CLI_COMMAND(cmd_member_add);
CLI_COMMAND(cmd_member_promote);
CLI_COMMAND(cmd_member_demote);
CLI_COMMAND(cmd_member_remove);
CLI_COMMAND(cmd_member_transfer);
CLI_COMMAND(cmd_crn_list);
CLI_COMMAND(cmd_crn_show);
CLI_COMMAND(cmd_crn_fence_confirm);
CLI_COMMAND(cmd_program_list);
CLI_COMMAND(cmd_program_show);
CLI_COMMAND(cmd_program_where);
CLI_COMMAND(cmd_program_logs);
CLI_COMMAND(cmd_program_upload);
CLI_COMMAND(cmd_program_update);
CLI_COMMAND(cmd_program_persist);
CLI_COMMAND(cmd_program_unpersist);
CLI_COMMAND(cmd_program_forget);
CLI_COMMAND(cmd_event_list);
CLI_COMMAND(cmd_event_watch);
CLI_COMMAND(cmd_audit_export);
CLI_COMMAND(cmd_audit_verify);
CLI_COMMAND(cmd_pki_init);
CLI_COMMAND(cmd_pki_issue);

#endif
