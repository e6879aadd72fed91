/* Names for programs and sentences for people. */
#include "fsm/fsm.h"
#include "fsm/place.h"

static const struct {
	const char *name, *text;
} refusals[] = {
	[FSM_OK] = {"ok", "done"},
	[FSM_DUPLICATE] = {"duplicate", "this was done before"},
	[FSM_REFUSED_TERM] = {"term", "it was proposed by a former leader"},
	[FSM_REFUSED_GEN] = {"gen", "it is of another cluster generation"},
	[FSM_REFUSED_MALFORMED] = {"malformed", "it has no sensible content"},
	[FSM_REFUSED_UNKNOWN_CRN] = {"unknown_crn", "this CRN is not known"},
	[FSM_REFUSED_UNKNOWN_PROGRAM] = {"unknown_program",
					 "this program is not known"},
	[FSM_REFUSED_SESSION] = {"session",
				 "it is not of the CRN's live session"},
	[FSM_REFUSED_PREV] = {"prev",
			      "the CRN's session has changed in between"},
	[FSM_REFUSED_BOOT] = {"boot", "the CRN's former session, of another "
				      "boot, has not expired yet"},
	[FSM_REFUSED_K] = {"k", "the CRN needs longer to stop its programs "
				"than the configured k"},
	[FSM_REFUSED_NOT_DUE] = {"not_due", "the lease has not run out yet"},
	[FSM_REFUSED_NOT_FREE] = {"not_free",
				  "nothing proves yet that it stopped"},
	[FSM_REFUSED_LINEAGE] = {"lineage",
				 "it was replaced, or another version of it "
				 "has not stopped yet"},
	[FSM_REFUSED_QUARANTINE] = {"quarantine",
				    "after a restore, older leases must run "
				    "out first"},
	[FSM_REFUSED_NOT_ESTABLISHED] = {"not_established",
					 "the CRN is not ready"},
	[FSM_REFUSED_CLASS] = {"class", "the CRN's class does not allow it"},
	[FSM_REFUSED_CAPACITY] = {"capacity", "the CRN has no room for it"},
	[FSM_REFUSED_TOKENS] = {"tokens",
				"the CRN does not offer what it requires"},
	[FSM_REFUSED_PIN] = {"pin", "it, or its data, is bound to another "
				    "CRN"},
	[FSM_REFUSED_EXCLUDED] = {"excluded",
				  "it failed to start on that CRN lately"},
	[FSM_REFUSED_EPOCH] = {"epoch", "the program has another epoch now"},
	[FSM_REFUSED_STATE] = {"state", "its state does not allow it now"},
	[FSM_REFUSED_CONFIG] = {"config", "the numbers do not keep a lease "
					  "safe"},
	[FSM_REFUSED_FULL] = {"full", "a limit of the cluster is reached"},
	[FSM_REFUSED_OWNER] = {"owner",
			       "its owner is not that of the program it "
			       "replaces"},
	[FSM_REFUSED_NOT_AMENDABLE] = {"not_amendable",
				       "the program it replaces may not be "
				       "amended"},
	[FSM_REFUSED_CONFLICT] = {"conflict",
				  "the name is taken by another content"},
};
_Static_assert(COUNT_OF(refusals) == FSM_REFUSAL_COUNT, "a name each");

const char *fsm_refusal_name(enum fsm_refusal refusal)
{
	return (size_t)refusal < COUNT_OF(refusals) ? refusals[refusal].name
						    : "unknown";
}

const char *fsm_refusal_text(enum fsm_refusal refusal)
{
	return (size_t)refusal < COUNT_OF(refusals) ? refusals[refusal].text
						    : "unknown";
}

static const char *const effects[] = {
	[EFFECT_PROGRAM_KNOWN] = "program_known",
	[EFFECT_PROGRAM_GONE] = "program_gone",
	[EFFECT_PROGRAM_DELETED] = "program_deleted",
	[EFFECT_ASSIGNED] = "assigned",
	[EFFECT_REVOKING] = "revoking",
	[EFFECT_FREED] = "freed",
	[EFFECT_HELD] = "held",
	[EFFECT_ADOPTED] = "adopted",
	[EFFECT_LOST] = "lost",
	[EFFECT_CRN_KNOWN] = "crn_known",
	[EFFECT_CRN_REGISTERED] = "crn_registered",
	[EFFECT_CRN_ESTABLISHED] = "crn_established",
	[EFFECT_CRN_EXPIRED] = "crn_expired",
	[EFFECT_CRN_FENCE_CONFIRMED] = "crn_fence_confirmed",
	[EFFECT_CRN_REPORTED] = "crn_reported",
	[EFFECT_CRN_REMOVED] = "crn_removed",
	[EFFECT_CRN_ALARM] = "crn_alarm",
	[EFFECT_LEAD] = "lead",
	[EFFECT_CONFIG] = "config",
	[EFFECT_NEW_GEN] = "new_gen",
};

const char *fsm_effect_name(enum fsm_effect_type type)
{
	return (size_t)type < COUNT_OF(effects) && effects[type]
		       ? effects[type] : "unknown";
}

static const char *const reasons[] = {
	[PLACE_OK] = "ok",
	[PLACE_NOT_WANTED] = "not_wanted",
	[PLACE_WAITS_REPLACED] = "waits_replaced",
	[PLACE_LINEAGE] = "lineage",
	[PLACE_LOST] = "lost",
	[PLACE_QUARANTINE] = "quarantine",
	[PLACE_REVOKING] = "revoking",
	[PLACE_HELD] = "held",
	[PLACE_NO_CRN] = "no_crn",
	[PLACE_PIN] = "pin",
	[PLACE_DATA] = "data",
	[PLACE_TOKENS] = "tokens",
	[PLACE_CLASS] = "class",
	[PLACE_SLOTS] = "slots",
	[PLACE_UNKNOWN_SIZE] = "unknown_size",
	[PLACE_VCPUS] = "vcpus",
	[PLACE_MEMORY] = "memory",
	[PLACE_DISK] = "disk",
	[PLACE_EXCLUDED] = "excluded",
	[PLACE_STICKY] = "sticky",
	[PLACE_IN_FLIGHT] = "in_flight",
};
_Static_assert(COUNT_OF(reasons) == PLACE_REASON_COUNT, "a name each");

const char *place_reason_name(enum place_reason reason)
{
	return (size_t)reason < COUNT_OF(reasons) ? reasons[reason] : "unknown";
}
