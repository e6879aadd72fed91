/* The log's lines about CRNs and the cluster: the leader's word, once. What
 * happens to each program is for the event stream. */
#include <inttypes.h>
#include <stdio.h>

#include "node/lib/crypto.h"
#include "node/replica/edge_internal.h"

/* Placed between the CRN's name and the reason. */
static const struct say {
	enum fsm_effect_type type;
	bool alarm;
	const char *text;
} said[] = {
	{ EFFECT_CRN_KNOWN, false, "may register" },
	{ EFFECT_CRN_ESTABLISHED, false, "is ready" },
	{ EFFECT_CRN_EXPIRED, true, "was silent until its lease ended: what "
	  "it holds stays with it, its other programs go elsewhere" },
	{ EFFECT_CRN_FENCE_CONFIRMED, true, "is off, an operator confirms: "
	  "what its machine held is free" },
	{ EFFECT_CRN_REMOVED, false, "was removed" },
	{ EFFECT_CRN_ALARM, true, "registers as two machines in turn" },
	{ EFFECT_CONFIG, false, "configuration changed" },
	{ EFFECT_NEW_GEN, true, "restored from a backup, a new generation: "
	  "programs wait until every CRN was surveyed" },
};

static const char *name_of(const struct edge *edge, const struct hash *crn)
{
	for (uint32_t i = 0; i < edge->config.crn_count; i++)
		if (hash_equal(&edge->config.crns[i].hash, crn))
			return edge->config.crns[i].name;
	return "";
}

static void say(const struct edge *edge, const struct say *what,
		const struct fsm_effect *effect)
{
	char who[128] = "", hash[65];
	const char *name = name_of(edge, &effect->crn);
	const char *colon = effect->reason.size ? ": " : "";
	int size = (int)effect->reason.size;

	hash_text(&effect->crn, hash);
	if (!hash_is_zero(&effect->crn))
		snprintf(who, sizeof who, "CRN %.12s%s%s%s ", hash,
			 *name ? " (" : "", name, *name ? ")" : "");
	if (what->alarm)
		log_warn("crns", "%s%s%s%.*s", who, what->text, colon, size,
			 size ? effect->reason.data : "");
	else
		log_info("crns", "%s%s%s%.*s", who, what->text, colon, size,
			 size ? effect->reason.data : "");
}

void edge_say_effects(const struct edge *edge, const struct fsm_effect *effects,
		      uint32_t count)
{
	if (!edge_is_leader(edge))
		return;
	for (uint32_t i = 0; i < count; i++)
		for (size_t j = 0; j < COUNT_OF(said); j++)
			if (effects[i].type == said[j].type)
				say(edge, &said[j], &effects[i]);
}

void edge_say_leader(const struct edge *edge, uint64_t leader, uint64_t term)
{
	if (leader)
		log_info("edge", "replica %" PRIu64 "%s leads in term %" PRIu64,
			 leader, leader == edge->config.id ? " (this one)" : "",
			 term);
	else
		log_warn("edge", "nobody leads in term %" PRIu64 ": until one "
			 "does nothing is placed or moved, and leases are not "
			 "renewed", term);
}
