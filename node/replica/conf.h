/* The configuration file of berthd (deploy/API.md), checked, in the terms of
 * the core and the edge. */
#ifndef NODE_REPLICA_CONF_H
#define NODE_REPLICA_CONF_H

#include "node/lib/config.h"
#include "node/replica/edge.h"

struct conf_address {
	char host[64];
	uint16_t port; /* 0: none given */
};

struct conf {
	/* As read; freed by conf_fini. */
	char *cluster, *directory, *pki, *listen, *http, *admin_tls, *profile;
	uint64_t id, election_ms, ccn_poll_ms, audit_mib;
	bool bootstrap, join, watchdog_none_ok, unfenced_hold_ok;
	struct config_list peers, crns;
	char **ccns, **channels;
	/* Derived. */
	struct conf_address listen_at, http_at, admin_at;
	struct core_peer replicas[CORE_PEERS_MAX];
	uint32_t replica_count;
	bool founded; /* peers names joiners: never bootstrap it again */
	struct edge_crn *allowed;
	uint32_t allowed_count;
	struct fsm_config initial;
};

/* Errors: as config_load's, and INVALID naming the setting. */
MUST_CHECK int conf_load(const char *file, struct conf *out,
			 struct fault *fault);
void conf_fini(struct conf *conf);

/* The constants of lease.md 2.5 and 2.6: "fast", "default" or "calm". False:
 * no such profile. */
bool conf_profile(const char *name, struct fsm_config *out);

#endif
