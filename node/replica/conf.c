#include "node/replica/conf.h"

#include <stdio.h>
#include <stdlib.h>

#include "node/lib/crypto.h"

#define PROGRAMS_MAX 1000000u
#define CRNS_MAX 10000u

struct peer_row {
	uint64_t id;
	char *address, *http;
	bool joins;
};

struct crn_row {
	char *hash, *name;
};

static const struct config_setting peer_settings[] = {
	{ .path = "id", .kind = CONFIG_UINT, .required = true, .min = 1,
	  .max = UINT32_MAX, .offset = offsetof(struct peer_row, id) },
	{ .path = "address", .kind = CONFIG_STRING, .required = true,
	  .offset = offsetof(struct peer_row, address) },
	{ .path = "http", .kind = CONFIG_STRING,
	  .offset = offsetof(struct peer_row, http) },
	{ .path = "joins", .kind = CONFIG_BOOL,
	  .offset = offsetof(struct peer_row, joins) },
};

static const struct config_setting crn_settings[] = {
	{ .path = "hash", .kind = CONFIG_STRING, .required = true,
	  .offset = offsetof(struct crn_row, hash) },
	{ .path = "name", .kind = CONFIG_STRING, .fallback = "",
	  .offset = offsetof(struct crn_row, name) },
};

#define AT(member) .offset = offsetof(struct conf, member)

static const struct config_setting settings[] = {
	{ .path = "cluster", .kind = CONFIG_STRING, .required = true,
	  AT(cluster) },
	{ .path = "directory", .kind = CONFIG_STRING, .required = true,
	  AT(directory) },
	{ .path = "id", .kind = CONFIG_UINT, .required = true, .min = 1,
	  .max = UINT32_MAX, AT(id) },
	{ .path = "pki", .kind = CONFIG_STRING, .required = true, AT(pki) },
	{ .path = "listen", .kind = CONFIG_STRING, .required = true,
	  AT(listen) },
	{ .path = "http", .kind = CONFIG_STRING, .required = true, AT(http) },
	{ .path = "admin_tls", .kind = CONFIG_STRING, AT(admin_tls) },
	{ .path = "profile", .kind = CONFIG_STRING, .fallback = "default",
	  AT(profile) },
	{ .path = "peers", .kind = CONFIG_LIST, .required = true,
	  .min = 1, .max = CORE_PEERS_MAX, .row = peer_settings,
	  .row_settings = COUNT_OF(peer_settings),
	  .row_size = sizeof(struct peer_row), AT(peers) },
	{ .path = "bootstrap", .kind = CONFIG_BOOL, AT(bootstrap) },
	{ .path = "join", .kind = CONFIG_BOOL, AT(join) },
	{ .path = "election_ms", .kind = CONFIG_UINT, .min = 100,
	  .max = 60000, AT(election_ms) },
	{ .path = "audit_mib", .kind = CONFIG_UINT, .max = 1u << 20,
	  AT(audit_mib) },
	{ .path = "watchdog_none_ok", .kind = CONFIG_BOOL,
	  AT(watchdog_none_ok) },
	{ .path = "unfenced_hold_ok", .kind = CONFIG_BOOL,
	  AT(unfenced_hold_ok) },
	{ .path = "ccns", .kind = CONFIG_STRINGS, .max = EDGE_CCNS_MAX,
	  AT(ccns) },
	{ .path = "ccn_poll_ms", .kind = CONFIG_UINT, .min = 50,
	  .max = 3600000, AT(ccn_poll_ms) },
	{ .path = "channels", .kind = CONFIG_STRINGS, .max = 64,
	  AT(channels) },
	{ .path = "crns", .kind = CONFIG_LIST, .max = EDGE_CRNS_MAX,
	  .row = crn_settings, .row_settings = COUNT_OF(crn_settings),
	  .row_size = sizeof(struct crn_row), AT(crns) },
};

bool conf_profile(const char *name, struct fsm_config *out)
{
	static const struct {
		const char *name;
		uint32_t heartbeat_ms, ttl_a_ms, k_ms, ttl_s_ms;
	} profiles[] = {
		{ "fast", 500, 4000, 1000, 5200 },
		{ "default", 1000, 10000, 2000, 12500 },
		{ "calm", 3000, 30000, 5000, 36000 },
	};

	for (size_t i = 0; i < COUNT_OF(profiles); i++) {
		if (strcmp(profiles[i].name, name) != 0)
			continue;
		*out = (struct fsm_config){
			.heartbeat_ms = profiles[i].heartbeat_ms,
			.ttl_a_ms = profiles[i].ttl_a_ms,
			.ttl_s_ms = profiles[i].ttl_s_ms,
			.k_ms = profiles[i].k_ms,
			.sticky_ms = 2 * profiles[i].ttl_a_ms,
			.dt_max_ms = 2000, .beat_ms = 250,
			.start_failures_max = 3, .start_timeout_ms = 60000,
			.exclude_ms = 600000, .rho_ppm = 10000,
			.programs_max = PROGRAMS_MAX, .crns_max = CRNS_MAX,
		};
		return true;
	}
	return false;
}

static bool parse_port(const char *text, uint16_t *out)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || port == 0 ||
	    port > 65535)
		return false;
	*out = (uint16_t)port;
	return true;
}

/* "host:port" or "[v6]:port". */
static bool parse_address(const char *text, struct conf_address *out)
{
	const char *colon = strrchr(text, ':');
	size_t size;

	if (colon == NULL || !parse_port(colon + 1, &out->port))
		return false;
	size = (size_t)(colon - text);
	if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
		text++;
		size -= 2;
	}
	if (size == 0 || size >= sizeof out->host)
		return false;
	memcpy(out->host, text, size);
	out->host[size] = '\0';
	return true;
}

static int address_of(const char *file, const char *path, const char *text,
		      struct conf_address *out, struct fault *fault)
{
	if (text == NULL || parse_address(text, out))
		return 0;
	return fault_set(fault, BERTH_INVALID,
			 "%s: %s: \"%s\" is not an address like "
			 "\"127.0.0.1:7101\"", file, path, text);
}

static int take_peer(const char *file, const struct peer_row *row,
		     struct core_peer *out, struct fault *fault)
{
	struct conf_address raft = { .port = 0 }, http = { .port = 0 };
	int code = address_of(file, "peers.address", row->address, &raft,
			      fault);

	if (code == 0)
		code = address_of(file, "peers.http", row->http, &http, fault);
	if (code != 0)
		return code;
	out->id = row->id;
	out->joins = row->joins;
	out->raft_port = raft.port;
	out->http_port = http.port;
	snprintf(out->host, sizeof out->host, "%s", raft.host);
	return 0;
}

/* R18: an id that founded the cluster, or was ever a member, is bound to its
 * disk; an empty one comes in under a new id. And a list with joiners is of a
 * cluster that lives: nothing founds it a second time. */
static int take_start(const char *file, struct conf *conf,
		      const struct peer_row *own, struct fault *fault)
{
	const unsigned long long id = conf->id;

	if (conf->join && conf->bootstrap)
		return fault_set(fault, BERTH_INVALID,
				 "%s: bootstrap and join: a replica founds a "
				 "cluster or joins one, not both", file);
	if (conf->join && !own->joins)
		return fault_set(fault, BERTH_INVALID,
				 "%s: join: replica %llu is listed in peers as "
				 "a founding member; an empty directory joins "
				 "under an id that was never used, whose row "
				 "says joins = true in every replica's file",
				 file, id);
	if (conf->bootstrap && own->joins)
		return fault_set(fault, BERTH_INVALID,
				 "%s: bootstrap: replica %llu joins (see "
				 "peers): it starts with join = true", file,
				 id);
	for (uint32_t i = 0; i < conf->peers.count; i++)
		conf->founded |= conf->replicas[i].joins;
	return 0;
}

static int take_peers(const char *file, struct conf *conf, struct fault *fault)
{
	const struct peer_row *rows = conf->peers.rows, *own = NULL;
	int code;

	for (uint32_t i = 0; i < conf->peers.count; i++) {
		code = take_peer(file, &rows[i], &conf->replicas[i], fault);
		if (code != 0)
			return code;
		for (uint32_t j = 0; j < i; j++)
			if (rows[j].id == rows[i].id)
				return fault_set(fault, BERTH_INVALID,
						 "%s: peers: id %llu twice",
						 file, (unsigned long long)
						 rows[i].id);
		if (rows[i].id == conf->id)
			own = &rows[i];
	}
	conf->replica_count = conf->peers.count;
	if (!own)
		return fault_set(fault, BERTH_INVALID,
				 "%s: peers: our own id %llu is missing", file,
				 (unsigned long long)conf->id);
	return take_start(file, conf, own, fault);
}

static int take_crns(const char *file, struct conf *conf, struct fault *fault)
{
	const struct crn_row *rows = conf->crns.rows;

	conf->allowed = calloc(conf->crns.count + 1, sizeof *conf->allowed);
	if (conf->allowed == NULL)
		return fault_set(fault, BERTH_NOMEM, "%s: crns", file);
	for (uint32_t i = 0; i < conf->crns.count; i++) {
		if (hash_parse(rows[i].hash, &conf->allowed[i].hash) != 0)
			return fault_set(fault, BERTH_INVALID,
					 "%s: crns: \"%s\" is not a hash of "
					 "64 hex digits", file, rows[i].hash);
		snprintf(conf->allowed[i].name, sizeof conf->allowed[i].name,
			 "%s", rows[i].name);
	}
	conf->allowed_count = conf->crns.count;
	return 0;
}

static int derive(const char *file, struct conf *conf, struct fault *fault)
{
	int code;

	if (strlen(conf->cluster) >= sizeof((struct replica_config *)0)->cluster)
		return fault_set(fault, BERTH_INVALID,
				 "%s: cluster: the name is too long", file);
	if (!conf_profile(conf->profile, &conf->initial))
		return fault_set(fault, BERTH_INVALID,
				 "%s: profile: \"%s\" is none of fast, "
				 "default, calm", file, conf->profile);
	conf->initial.watchdog_none_ok = conf->watchdog_none_ok;
	conf->initial.unfenced_hold_ok = conf->unfenced_hold_ok;
	code = address_of(file, "listen", conf->listen, &conf->listen_at,
			  fault);
	if (code == 0)
		code = address_of(file, "http", conf->http, &conf->http_at,
				  fault);
	if (code == 0)
		code = address_of(file, "admin_tls", conf->admin_tls,
				  &conf->admin_at, fault);
	if (code == 0)
		code = take_peers(file, conf, fault);
	return code == 0 ? take_crns(file, conf, fault) : code;
}

int conf_load(const char *file, struct conf *out, struct fault *fault)
{
	struct conf conf = { .election_ms = 500, .ccn_poll_ms = 2000,
			     .audit_mib = 1024 };
	int code = config_load(file, settings, COUNT_OF(settings), &conf,
			       fault);

	if (code != 0)
		return code;
	code = derive(file, &conf, fault);
	if (code != 0)
		conf_fini(&conf);
	else
		*out = conf;
	return code;
}

void conf_fini(struct conf *conf)
{
	free(conf->allowed);
	config_fini(settings, COUNT_OF(settings), conf);
}
