/* Scenarios of the state machine as texts: one command or one question a line.
 *
 * After each command the invariants are checked, and a second state, read from
 * a snapshot taken just before, must give the same result and the same hash.
 *
 *   put p1 owner=al hold=1     a command, default fields; expects "ok"
 *   assign p1 A -> session     expects this refusal
 *   = revoking p1 A epoch=$e   the effects of the command above, all in order
 *   = none                     it had none
 *   ready A vcpus=8            put, register, report and acknowledge a CRN
 *   pass 6000 B C              time in beats that renew B and C
 *   beat dt=250 A/ack/applied=$now   one beat; a renewal is NAME/field...
 *   let old = $A               $A: session of CRN A; $p1: epoch of p1; $A-1
 *   result stamp=$p1           the stamp that the command above gave
 *   moves p1 freed/A/why       its moves, newest first; CRN and reason if told,
 *                              then freed/A/why/epoch=$e/stamp=$s/wall=250
 *   program p1 state=free      questions about records; crn, status likewise
 *   desired A p1 p2            the set; kept and due likewise
 *   place p1 -> pin            the reason; "place p1 -> ok B" the choice
 *   explain p1 some words      the sentence contains the words
 *   round p1=A p2=B            a whole round, applied
 *
 * Names are words; a hash is its name's bytes, so order follows the alphabet.
 */
#ifndef TESTS_KIT_FSM_SCRIPT_H
#define TESTS_KIT_FSM_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

struct fsm;
struct fsm_view;

/* Runs one file. False: `message` says file, line, and what was seen. */
bool fsm_script_run(const char *path, char *message, size_t size);
/* Runs one file to its end, printing "FILE:LINE: what" for each line that
 * fails; gives how many. */
int fsm_script_report(const char *path);
/* Runs every .txt of a folder; prints what fails; gives how many failed, or -1
 * if there is none. */
int fsm_script_run_all(const char *folder);
/* Runs these lines, and gives the state that they end in; NULL: it printed
 * which of them failed. Gives ownership. */
struct fsm *fsm_script_state(const char *lines);
/* Do two equal states use the same texts equally often? What is read from a
 * snapshot counts them anew: a text that nobody gave back, or that was given
 * back twice, shows in the state that the snapshot was taken of. */
bool fsm_script_texts_agree(const struct fsm_view *a, const struct fsm_view *b);
/* From now on each entry is compared with the slow model (tests/kit/slow.h) as
 * well. Without it a scenario stands on its own expectations, and mutants show
 * that they suffice. */
void fsm_script_compare(bool compare);

#endif
