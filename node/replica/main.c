/* berthd: one replica of the scheduler. Reads the configuration, opens the
 * core and the edge, and ends when told to, or when the engine cannot go on. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "node/lib/log.h"
#include "node/replica/conf.h"
#include "node/replica/peer_dial.h"

#define STOP_SECONDS_MAX 20u

const char *argp_program_version = "berthd 0.1.0";

struct daemon {
	uv_loop_t loop;
	struct conf conf;
	char log_directory[4096];
	struct stream_tls *tls;
	struct edge *edge;
	struct edge_config edge_config;
	struct core *core;
	struct peer_dialer *dialer;
	uv_signal_t terminate, interrupt;
	uv_timer_t watchdog;
	bool stopping;
};

/* --- options --------------------------------------------------------------- */

static const struct argp_option options[] = {
	{ "config", 'c', "FILE", 0, "the configuration file", 0 },
	{ "verbose", 'v', NULL, 0, "log more", 0 },
	{ 0 },
};

struct arguments {
	const char *config;
	bool verbose;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case 'c':
		arguments->config = arg;
		return 0;
	case 'v':
		arguments->verbose = true;
		return 0;
	case ARGP_KEY_END:
		if (arguments->config == NULL)
			argp_error(state, "--config FILE is needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.doc = "A replica of the Berth scheduler.\v"
	       "The configuration file is described in deploy/API.md.",
};

/* --- the directory ----------------------------------------------------------- */

static int make_directory(const char *path, struct fault *fault)
{
	char part[4096];

	if ((size_t)snprintf(part, sizeof part, "%s", path) >= sizeof part)
		return fault_set(fault, BERTH_INVALID, "%s: too long", path);
	for (char *at = part + 1; *at != '\0'; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		(void)mkdir(part, 0755);
		*at = '/';
	}
	if (mkdir(part, 0700) != 0 && errno != EEXIST)
		return fault_set(fault, BERTH_IO, "%s: %s", path,
				 strerror(errno));
	return 0;
}

/* One berthd a directory. The descriptor stays open for life. */
static int lock_directory(const char *path, struct fault *fault)
{
	char name[4096];
	int fd;

	snprintf(name, sizeof name, "%s/berthd.lock", path);
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fault_set(fault, BERTH_IO, "%s: %s", name,
				 strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		close(fd);
		return fault_set(fault, BERTH_BUSY,
				 "%s: another berthd uses this directory",
				 path);
	}
	return 0;
}

static int open_directory(struct daemon *d, struct fault *fault)
{
	const char *path = d->conf.directory;
	int code = make_directory(path, fault);

	if (code == 0)
		code = lock_directory(path, fault);
	snprintf(d->log_directory, sizeof d->log_directory, "%s/raft", path);
	if (code == 0)
		code = make_directory(d->log_directory, fault);
	return code;
}

/* --- starting ------------------------------------------------------------------ */

static void raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		log_warn("main", "the limit of open files stays low: %s",
			 strerror(errno));
}

/* The certificate must be of this cluster and this replica: else every peer
 * would refuse us, and say less clearly why. */
static int check_identity(const struct daemon *d, struct fault *fault)
{
	const struct identity *self = stream_tls_self(d->tls);
	char name[32], text[192];

	snprintf(name, sizeof name, "%" PRIu64, d->conf.id);
	if (self->role == IDENTITY_REPLICA &&
	    strcmp(self->cluster, d->conf.cluster) == 0 &&
	    strcmp(self->name, name) == 0)
		return 0;
	identity_text(self, text, sizeof text);
	return fault_set(fault, BERTH_MISMATCH,
			 "%s: the certificate is %s, not "
			 "berth://%s/replica/%s", d->conf.pki, text,
			 d->conf.cluster, name);
}

static int open_tls(struct daemon *d, struct fault *fault)
{
	int code = stream_tls_open(&d->tls, d->conf.pki, fault);

	return code == 0 ? check_identity(d, fault) : code;
}

static int open_edge(struct daemon *d, struct fault *fault)
{
	struct conf *conf = &d->conf;

	d->edge_config = (struct edge_config){
		.cluster = conf->cluster,
		.directory = conf->directory,
		.pki = conf->pki,
		.tls = d->tls,
		.id = conf->id,
		.listen_host = conf->listen_at.host,
		.listen_port = conf->listen_at.port,
		.http_host = conf->http_at.host,
		.http_port = conf->http_at.port,
		.admin_host = conf->admin_tls ? conf->admin_at.host : NULL,
		.admin_port = conf->admin_at.port,
		.peers = conf->replicas,
		.peer_count = conf->replica_count,
		.ccns = (const char *const *)conf->ccns,
		.ccn_poll_ms = (uint32_t)conf->ccn_poll_ms,
		.channels = (const char *const *)conf->channels,
		.crns = conf->allowed,
		.crn_count = conf->allowed_count,
	};
	return edge_open(&d->edge, &d->loop, &d->edge_config, fault);
}

/* Fail-stop: nothing more is said to anyone but this line. */
static void on_fatal(void *ctx, const struct fault *fault)
{
	const struct daemon *d = ctx;

	log_error("main", "this replica stops: %s: %s", d->log_directory,
		  fault->text);
	fflush(NULL);
	_exit(1);
}

static int open_core(struct daemon *d, struct fault *fault)
{
	const struct conf *conf = &d->conf;
	struct core_config config = {
		.directory = d->log_directory,
		.replica = {
			.id = conf->id,
			.election_ms = (uint32_t)conf->election_ms,
			.heartbeat_ms = (uint32_t)conf->election_ms / 5,
			.snapshot_entries = 16384,
			.snapshot_bytes = 64u << 20,
			.trailing = 4096,
			.max_inflight = 256,
		},
		.initial = conf->initial,
		.bootstrap = conf->bootstrap && !conf->founded,
		.join = conf->join,
		.trail_directory = conf->directory,
		.trail_size = conf->audit_mib << 20,
	};
	struct core_events events;
	int code;

	snprintf(config.replica.cluster, sizeof config.replica.cluster, "%s",
		 conf->cluster);
	for (uint32_t i = 0; i < conf->replica_count; i++)
		if (!conf->replicas[i].joins)
			config.members[config.member_count++] =
				(struct replica_member){
					.id = conf->replicas[i].id,
					.role = ROLE_VOTER,
				};
	edge_core_events(d->edge, &events, on_fatal, d);
	code = core_open(&d->core, &config, &d->loop, &events, fault);
	if (code != 0)
		fault_wrap(fault, "%s", d->log_directory);
	return code;
}

static int open_dialer(struct daemon *d, struct fault *fault)
{
	if (peer_dialer_open(&d->dialer, &d->loop, d->tls, d->core,
			     d->conf.id, d->conf.replicas,
			     d->conf.replica_count) != 0)
		return fault_set(fault, BERTH_NOMEM, "the raft links");
	return 0;
}

static int open_all(struct daemon *d, struct fault *fault)
{
	int code = open_directory(d, fault);

	if (code == 0)
		code = open_tls(d, fault);
	if (code == 0)
		code = open_edge(d, fault);
	if (code == 0)
		code = open_core(d, fault);
	if (code == 0)
		edge_set_core(d->edge, d->core);
	return code == 0 ? open_dialer(d, fault) : code;
}

/* --- stopping: in the reverse order of opening ----------------------------------- */

static void on_core_closed(void *ctx)
{
	struct daemon *d = ctx;

	stream_tls_close(d->tls);
	uv_close((uv_handle_t *)&d->terminate, NULL);
	uv_close((uv_handle_t *)&d->interrupt, NULL);
	uv_close((uv_handle_t *)&d->watchdog, NULL);
}

static void on_edge_closed(void *ctx)
{
	struct daemon *d = ctx;

	core_close(d->core, on_core_closed, d);
}

static void on_dialer_closed(void *ctx)
{
	struct daemon *d = ctx;

	edge_close(d->edge, on_edge_closed, d);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct daemon *d = handle->data;

	if (d->stopping) {
		log_warn("main", "told twice to stop: stopping at once");
		_exit(1);
	}
	d->stopping = true;
	log_info("main", "stopping: signal %d", number);
	sd_notify(0, "STOPPING=1");
	alarm(STOP_SECONDS_MAX); /* ends us if something does not close */
	peer_dialer_close(d->dialer, on_dialer_closed, d);
}

/* --- systemd --------------------------------------------------------------------- */

static void on_watchdog(uv_timer_t *timer)
{
	(void)timer;
	sd_notify(0, "WATCHDOG=1");
}

static void tell_ready(struct daemon *d)
{
	uint64_t period_us = 0;

	if (sd_watchdog_enabled(0, &period_us) > 0 && period_us >= 2000)
		uv_timer_start(&d->watchdog, on_watchdog, 0,
			       period_us / 2000);
	sd_notify(0, "READY=1");
}

static int run(struct daemon *d)
{
	struct fault fault = { .code = 0 };

	uv_signal_init(&d->loop, &d->terminate);
	uv_signal_init(&d->loop, &d->interrupt);
	uv_timer_init(&d->loop, &d->watchdog);
	d->terminate.data = d->interrupt.data = d;
	if (open_all(d, &fault) != 0) {
		log_error("main", "%s", fault.text);
		return 1;
	}
	uv_signal_start(&d->terminate, on_signal, SIGTERM);
	uv_signal_start(&d->interrupt, on_signal, SIGINT);
	log_info("main", "replica %" PRIu64 " of %s listens at %s, http %s",
		 d->conf.id, d->conf.cluster, d->conf.listen, d->conf.http);
	tell_ready(d);
	uv_run(&d->loop, UV_RUN_DEFAULT);
	log_info("main", "stopped");
	return 0;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	static struct daemon daemon;
	struct fault fault;
	int code;

	argp_parse(&argp, argc, argv, 0, NULL, &arguments);
	log_init("berthd", arguments.verbose ? LOG_LEVEL_DEBUG
					     : LOG_LEVEL_INFO);
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	if (conf_load(arguments.config, &daemon.conf, &fault) != 0) {
		log_error("main", "%s", fault.text);
		return 2;
	}
	if (uv_loop_init(&daemon.loop) != 0)
		return 1;
	code = run(&daemon);
	conf_fini(&daemon.conf);
	return code;
}
