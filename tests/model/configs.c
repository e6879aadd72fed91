/* What is explored: bounds small enough to be exhausted. */
#include "tests/model/model.h"

#define TIMES .ttl_a = 2, .ttl_s = 3, .k = 1, .dt_max = 2
#define BRIEF .ttl_a = 1, .ttl_s = 2, .k = 1, .dt_max = 1
#define SHORT .ttl_a = 1, .ttl_s = 1, .k = 0, .dt_max = 1
#define ALONE .alone = true
#define ONE(g) .programs = 1, .guarantee = { g }
#define TWO(g, h) .programs = 2, .guarantee = { g, h }

const struct options configurations[] = {
	{ "lease", "CRN A runs p0 (exclusive); silence, elections, a move to B",
	  RUNNING, TIMES, ONE(0), .beats = 1, .slots = 1, .keep = true,
	  .budget = { [B_ASSIGN] = 1, [B_ELECT] = 1, [B_PAUSE] = 1 } },
	{ "pipeline", "the same, two Beats in flight, two messages of a kind",
	  RUNNING, TIMES, ONE(0), .beats = 2, .slots = 2,
	  .budget = { [B_ASSIGN] = 1, [B_ELECT] = 1 } },
	{ "moves", "p0 (exclusive) is assigned and revoked, over and over; "
	  "old sets come late", IDLE, TIMES, ONE(0), ALONE, .beats = 1,
	  .slots = 2, .keep = true,
	  .budget = { [B_ASSIGN] = 3, [B_REVOKE] = 2 } },
	{ "moves-two", "CRN A runs p0 (exclusive); it is revoked and goes to "
	  "CRN B", RUNNING, BRIEF, ONE(0), .beats = 1, .slots = 1,
	  .budget = { [B_ASSIGN] = 1, [B_REVOKE] = 1 } },
	{ "deltas", "moves with replies that omit the set", IDLE, BRIEF,
	  ONE(0), ALONE, .beats = 1, .slots = 2, .deltas = true, .keep = true,
	  .budget = { [B_ASSIGN] = 2, [B_REVOKE] = 2 } },
	{ "register", "CRN A runs p0 (exclusive); fencer crashes, sessions end "
	  "and begin again, messages come twice", RUNNING, TIMES, ONE(0),
	  ALONE, .beats = 1, .slots = 2, .keep = true,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 1, [B_CRASH] = 1 } },
	{ "register-revoke", "sessions begin and end while p0 is revoked",
	  RUNNING, BRIEF, ONE(0), ALONE, .beats = 1, .slots = 2, .keep = true,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 1, [B_REVOKE] = 1,
		      [B_CRASH] = 1 } },
	{ "register-two", "CRN A runs p0 (exclusive), crashes and comes back; "
	  "CRN B waits for it", RUNNING, BRIEF, ONE(0), .beats = 1, .slots = 1,
	  .budget = { [B_HELLO] = 1, [B_ASSIGN] = 1, [B_CRASH] = 1 } },
	{ "cold", "nobody is registered yet", COLD, TIMES, ONE(0), ALONE,
	  .beats = 1, .slots = 2,
	  .budget = { [B_HELLO] = 3, [B_ASSIGN] = 2, [B_ELECT] = 1 } },
	{ "reboot", "CRN A runs p0 (exclusive); the machine reboots", RUNNING,
	  TIMES, ONE(0), ALONE, .beats = 1, .slots = 1, .keep = true,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 1, [B_REBOOT] = 2 } },
	{ "operator", "CRN A runs p0 (exclusive); power fails, FenceConfirm "
	  "comes late", RUNNING, BRIEF, ONE(0), ALONE, .beats = 1, .slots = 1,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 2, [B_OFF] = 2 } },
	{ "operator-hold", "the same with p0 exclusive-hold", RUNNING, SHORT,
	  ONE(1), ALONE, .beats = 1, .slots = 1,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 1, [B_OFF] = 2,
		      [B_REVOKE] = 1 } },
	{ "hold", "CRN A runs p0 (exclusive-hold); crashes, reboots, new "
	  "sessions, Revokes", RUNNING, SHORT, ONE(1), ALONE, .beats = 1,
	  .slots = 1, .keep = true,
	  .budget = { [B_HELLO] = 3, [B_ASSIGN] = 1, [B_CRASH] = 1,
		      [B_REBOOT] = 1, [B_REVOKE] = 1 } },
	{ "hold-deltas", "p0 (exclusive-hold) is revoked between sessions; "
	  "replies omit the set", RUNNING, SHORT, ONE(1), ALONE, .beats = 1,
	  .slots = 1, .deltas = true, .keep = true,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 1, [B_REVOKE] = 1 } },
	{ "hold-container", "the fencer starts in another container and knows "
	  "nothing of p0 (exclusive-hold)", RUNNING, SHORT, ONE(1), ALONE,
	  .beats = 1, .slots = 1,
	  .budget = { [B_HELLO] = 3, [B_ASSIGN] = 1, [B_CONTAINER] = 2,
		      [B_REVOKE] = 1 } },
	{ "hold-two", "p0 (exclusive-hold) is revoked and goes from CRN A to B",
	  RUNNING, SHORT, ONE(1), .beats = 1, .slots = 1,
	  .budget = { [B_HELLO] = 1, [B_ASSIGN] = 1, [B_REVOKE] = 1,
		      [B_CRASH] = 1 } },
	{ "hold-pause", "p0 is exclusive-hold; the host is paused and its "
	  "clock stands still", RUNNING, SHORT, ONE(1), ALONE, .beats = 1,
	  .slots = 1,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 1, [B_PAUSE] = 2,
		      [B_REVOKE] = 1, [B_CRASH] = 1 } },
	{ "clone", "a copy of CRN A's machine bears its name; p0 is exclusive",
	  RUNNING, BRIEF, ONE(0), .clone = true, .beats = 1, .slots = 1,
	  .keep = true,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 1, [B_CRASH] = 1 } },
	{ "clone-hold", "a copy of CRN A, or A with its data directory lost; "
	  "p0 is exclusive-hold", RUNNING, SHORT, ONE(1), .clone = true,
	  .beats = 1, .slots = 1,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 1, [B_REVOKE] = 1,
		      [B_OFF] = 1 } },
	{ "two", "p0 is exclusive, p1 exclusive-hold", RUNNING, BRIEF,
	  TWO(0, 1), ALONE, .beats = 1, .slots = 1,
	  .budget = { [B_HELLO] = 1, [B_ASSIGN] = 2, [B_CRASH] = 1,
		      [B_REVOKE] = 1 } },
	{ "guarantee", "the guarantee of p0 changes while it runs", RUNNING,
	  BRIEF, ONE(1), ALONE, .beats = 1, .slots = 1,
	  .budget = { [B_HELLO] = 1, [B_ASSIGN] = 2, [B_GUARANTEE] = 2,
		      [B_REVOKE] = 1 } },
	{ "lineage", "p1 replaces p0, which runs on CRN A", RUNNING, SHORT,
	  TWO(1, 1), .lineage = true, .beats = 1, .slots = 1,
	  .budget = { [B_ASSIGN] = 1, [B_PUT] = 1 } },
	{ "config", "Config raises ttl_a and ttl_s; leaders answer late",
	  RUNNING, TIMES, ONE(0), .beats = 1, .slots = 1, .config_ttl_a = 3,
	  .config_ttl_s = 4,
	  .budget = { [B_ASSIGN] = 1, [B_CONFIG] = 1, [B_ELECT] = 1 } },
	{ "restore", "a backup is restored; no program was ever held", RUNNING,
	  BRIEF, ONE(0), ALONE, .no_holds = true, .gens = true, .beats = 1,
	  .slots = 1,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 1, [B_BACKUP] = 1,
		      [B_NEW_GEN] = 1, [B_REVOKE] = 1 } },
	{ "restore-hold", "the backup has p0 (exclusive-hold) on CRN A; in the "
	  "lost tail it went to CRN B", MOVED, SHORT, ONE(1), .gens = true,
	  .beats = 1, .slots = 1,
	  .budget = { [B_HELLO] = 2, [B_NEW_GEN] = 1 } },
	{ "restore-clone", "a backup is restored; CRN A lost its data "
	  "directory or was copied", RUNNING, SHORT, ONE(1), .clone = true,
	  .gens = true, .beats = 1, .slots = 1,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 1, [B_NEW_GEN] = 1 } },
	{ "restore-orphan", "the backup has p0 as A's orphan; since then A was "
	  "seen off, p0 went to A's copy, A came back", ORPHAN, SHORT, ONE(1),
	  .clone = true, .gens = true, .beats = 1, .slots = 1,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 1, [B_NEW_GEN] = 1 } },
	{ "restore-container", "a backup is restored; the fencer knows nothing "
	  "of what it holds", RUNNING, SHORT, ONE(1), ALONE, .gens = true,
	  .beats = 1, .slots = 1,
	  .budget = { [B_HELLO] = 2, [B_ASSIGN] = 1, [B_NEW_GEN] = 1,
		      [B_CONTAINER] = 1 } },
	{ "drift", "clocks err by one tick in eight, both ways, unscaled",
	  RUNNING, .ttl_a = 2, .ttl_s = 5, .k = 1, .dt_max = 2, ONE(0), ALONE,
	  .beats = 1, .slots = 1, .drift = 8,
	  .budget = { [B_ELECT] = 1 } },
};
const unsigned configuration_count =
	sizeof configurations / sizeof configurations[0];

const struct trial trials[] = {
	{ M_K_LEFT_OUT, "lease", false, false },
	{ M_TTL_S_SHORT, "lease", false, false },
	{ M_KILL_SLOW, "lease", false, false },
	{ M_NO_VERSION_TEST, "moves", false, false },
	{ M_VERSION_FORGOTTEN, "moves", false, false },
	{ M_REVOKE_FREES, "moves", false, false },
	{ M_APPLIED_EARLY, "moves", false, false },
	{ M_APPLIED_SESSION, "hold", false, false },
	{ M_QUEUED_SURVIVES, "moves", false, false },
	{ M_NO_GATE, "lease", false, false },
	{ M_CRASH_ORPHANS, "register", false, false },
	{ M_RESPAWN, "lease", false, false },
	{ M_HELLO_ALIVE, "register", false, false },
	{ M_NO_PREV_TEST, "register", false, false },
	{ M_NO_BOOT_TEST, "clone", false, false },
	{ M_NO_NONCE_TEST, "register", false, false },
	{ M_TWO_PREVS, "register", true, false },
	{ M_TWO_ADOPTIONS, "reboot", true, false },
	{ M_RECEIVE_TIME, "lease", false, false },
	{ M_RESEND_REFRESHES, "lease", false, false },
	{ M_FENCED_RESUMES, "lease", true, false },
	{ M_ACK_BEFORE_COMMIT, "lease", false, false },
	{ M_ACK_MORE, "lease", false, false },
	{ M_ANCHOR_KEPT, "lease", false, false },
	{ M_INTERVAL_AGAIN, "lease", false, false },
	{ M_FORWARDED, "lease", false, false },
	{ M_SEPARATE_TICK, "lease", false, false },
	{ M_RENEW_FIRST, "lease", false, false },
	{ M_CLOCK_FIRST, "lease", false, false },
	{ M_EXPIRE_AT_PROPOSE, "register", false, false },
	{ M_NO_EXPIRE_TEST, "lease", false, false },
	{ M_RENEW_ANY_SESSION, "register-revoke", false, false },
	{ M_NO_ESTABLISHED, "register", false, false },
	{ M_ASSIGN_NOT_FREE, "lease", false, false },
	{ M_NO_QUARANTINE, "restore", false, false },
	{ M_CLOCK_STOPS, "lease", false, false },
	{ M_SESSION_AND_VERSION, "register-revoke", false, false },
	{ M_HOLD_EXPIRES, "hold", false, false },
	{ M_GUARANTEE_NOW, "guarantee", false, false },
	{ M_HOST_NOT_TESTED, "clone-hold", false, false },
	{ M_HELD_NOT_TOLD, "hold", false, false },
	{ M_KEPT_NOT_KILLED, "hold", true, false },
	{ M_STOP_BY_CRN_SESSION, "clone-hold", false, false },
	{ M_CONFIRM_ANY, "operator-hold", false, false },
	{ M_CONFIRM_NOT_OFF, "operator", false, false },
	{ M_KEPT_IS_SET, "hold-deltas", false, false },
	{ M_HAVE_NOT_TESTED, "deltas", false, false },
	{ M_RESTORE_FREES, "restore-hold", false, false },
	{ M_SURVEY_NEW_HOST, "restore-clone", false, false },
	{ M_SURVEY_LEFT_OVER, "restore-container", false, false },
	{ M_ORPHAN_NOT_LOST, "restore-orphan", false, true },
	{ M_CONFIG_NO_EXTEND, "config", false, false },
	{ M_LINEAGE_NOT_TESTED, "lineage", false, false },
	{ M_SUPERSEDED_FREED, "lineage", false, false },
	{ M_GEN_NOT_TESTED, "restore-container", false, false },
	{ M_NONCE_GUARDS, "register", false, false },
	{ M_ADOPT_ANY, "register", true, false },
	{ M_FIRST_VERSION, "register-two", true, false },
	{ M_SESSION_NOT_TESTED, "register-two", true, false },
	{ M_HELD_EPOCH, "hold", true, false },
};
const unsigned trial_count = sizeof trials / sizeof trials[0];

#define X(id, name, rule, about) { name, rule, about },
static const struct {
	const char *name, *rule, *about;
} names[] = { MUTANTS(X) };
#undef X

const char *mutant_name(enum mutant m)
{
	return names[m].name;
}

const char *mutant_rule(enum mutant m)
{
	return names[m].rule;
}

const char *mutant_about(enum mutant m)
{
	return names[m].about;
}
