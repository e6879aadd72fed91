#include "node/agent/fencer_wire.h"

const char *fencer_code_text(enum fencer_code code)
{
	switch (code) {
	case FENCER_OK:
		return "done";
	case FENCER_BAD_REQUEST:
		return "not a request that the fencer understands";
	case FENCER_NO_SESSION:
		return "there is no session";
	case FENCER_HAS_SESSION:
		return "there is a session";
	case FENCER_NOT_DEAD:
		return "something earlier is not dead yet";
	case FENCER_STALE:
		return "of another session, generation or nonce";
	case FENCER_PAST_DEADLINE:
		return "the lease is over";
	case FENCER_NOT_DESIRED:
		return "not in the desired set";
	case FENCER_RUNNING:
		return "it runs already";
	case FENCER_FULL:
		return "no room";
	case FENCER_FAILED:
		return "the system refused";
	}
	return "unknown code";
}
