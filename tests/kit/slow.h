/* A second state machine: slow, obvious, from lease.md's words alone.
 *
 * Plain arrays, linear search, nothing kept that can be looked at again: what
 * is in use, what blocks a lineage, whether a survey is due are loops. It
 * predicts the result of each command of each entry and the facts after it,
 * and says in words where the shipped state machine differs. It shares no code
 * with fsm/ but the shapes of commands and of records that are read.
 *
 * slow.c: entries, time, requests. slow_crn.c: CRNs and leases.
 * slow_survey.c: registrations and restores. slow_program.c: programs and
 * their lineages. slow_read.c: the
 * bytes of an entry. slow_agree.c: compares.
 * slow_words.c: commands as texts.
 */
#ifndef TESTS_KIT_SLOW_H
#define TESTS_KIT_SLOW_H

#include "fsm/fsm.h"

struct slow;

struct slow *slow_open(void);
void slow_close(struct slow *slow);

/* Tells what the shipped state machine answered, in order, while it applied an
 * entry: `slow` and this function fit its observer. */
void slow_heard(void *slow, const struct fsm_result *result);

/* Applies the same entry; compares with what was heard, and records with
 * `view`: those that the entry touched, or all of them. False: `message` says
 * which command, what was expected and what was seen. */
enum slow_depth { SLOW_TOUCHED, SLOW_ALL };
MUST_CHECK bool slow_entry(struct slow *slow, uint64_t index, const void *data,
			   size_t size, const struct fsm_view *view,
			   enum slow_depth depth, char *message, size_t room);

/* The same, believing every prediction: to come to a state again. */
void slow_replay(struct slow *slow, uint64_t index, const void *data,
		 size_t size);

/* How often each result was reached, by type of command; type 0: commands
 * whose request id had been answered before. */
uint64_t slow_reached(const struct slow *slow, uint32_t type,
		      enum fsm_refusal refusal);

/* A command in words, for people. */
void slow_words(const struct command *command, char *text, size_t size);
const char *slow_command_name(enum fsm_command_type type);
/* A readable hash: its letters, or its last bytes. */
const char *slow_name(const struct hash *hash);

#endif
