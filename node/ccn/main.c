/* berth-ccn: a small core channel node for one machine, private networks and
 * tests. Plain HTTP, on the address that it is told and on no other. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <systemd/sd-daemon.h>

#include "node/ccn/routes.h"
#include "node/lib/config.h"
#include "node/lib/log.h"

#define REQUEST_TIMEOUT_MS 30000
#define CONNECTIONS_MAX 256
#define HELD_MAX (1u << 30) /* bytes of uploads and downloads on their way */

struct settings {
	char *directory, *listen;
};

static const struct config_setting config_settings[] = {
	{ .path = "directory", .kind = CONFIG_STRING,
	  .offset = offsetof(struct settings, directory) },
	{ .path = "listen", .kind = CONFIG_STRING,
	  .offset = offsetof(struct settings, listen) },
};

struct arguments {
	const char *directory, *listen, *config;
};

const char *argp_program_version = CCN_VERSION;

static const struct argp_option options[] = {
	{ "directory", 'd', "DIR", 0, "Keep messages and files here", 0 },
	{ "listen", 'l', "HOST:PORT", 0,
	  "Serve HTTP here (127.0.0.1:4024)", 0 },
	{ "config", 'c', "FILE", 0,
	  "Read `directory' and `listen' from a libconfig file", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};

static error_t take_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case 'd':
		arguments->directory = value;
		return 0;
	case 'l':
		arguments->listen = value;
		return 0;
	case 'c':
		arguments->config = value;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "what is `%s' for?", value);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = take_option,
	.doc = "A small Aleph core channel node.\v"
	       "Messages are checked, kept durably and served as the "
	       "network's nodes serve them. It binds to what --listen says "
	       "and speaks plain HTTP: put it on a loopback or a private "
	       "network. Nothing costs anything here.",
};

/* "127.0.0.1:4024", "[::1]:4024". Cuts `text`. */
static int address_parse(char *text, struct httpd_listen *out,
			 struct fault *fault)
{
	char *colon = strrchr(text, ':'), *end = NULL;
	unsigned long port = 0;

	if (colon && colon[1] >= '0' && colon[1] <= '9')
		port = strtoul(colon + 1, &end, 10);
	if (!end || *end || port == 0 || port > 65535 || colon == text)
		return fault_set(fault, BERTH_INVALID,
				 "--listen: \"%s\" is not HOST:PORT", text);
	*colon = '\0';
	if (text[0] == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		text++;
	}
	*out = (struct httpd_listen){ .kind = HTTPD_TCP, .host = text,
				      .port = (uint16_t)port };
	return BERTH_OK;
}

struct server {
	struct ccn *ccn;
	struct httpd *httpd;
	uv_signal_t signals[2];
	bool closing;
};

static void stop(uv_signal_t *handle, int number)
{
	struct server *server = handle->data;

	(void)number;
	if (server->closing)
		return;
	server->closing = true;
	httpd_close(server->httpd, NULL, NULL);
	for (size_t i = 0; i < COUNT_OF(server->signals); i++)
		uv_close((uv_handle_t *)&server->signals[i], NULL);
}

static void watch_signals(struct server *server, uv_loop_t *loop)
{
	static const int numbers[] = { SIGTERM, SIGINT };

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		REQUIRE(uv_signal_init(loop, &server->signals[i]) == 0);
		server->signals[i].data = server;
		REQUIRE(uv_signal_start(&server->signals[i], stop,
					numbers[i]) == 0);
	}
}

static int serve(struct ccn *ccn, const char *directory, const char *listen,
		 struct fault *fault)
{
	const struct httpd_options limits = {
		.body_size_max = CCN_BODY_SIZE_MAX,
		.timeout_ms = REQUEST_TIMEOUT_MS,
		.connections_max = CONNECTIONS_MAX,
		.held_max = HELD_MAX,
		.server = CCN_VERSION,
		/* libwebsockets 4.1 now and then takes the head of a POST for
		 * its body when it is not the first on its connection, and
		 * clients of the network send such by the dozen. */
		.close_each = true,
	};
	struct server server = { .ccn = ccn };
	struct httpd_listen where;
	char *text = strdup(listen);
	uv_loop_t loop;
	int rc;

	REQUIRE(text != NULL && uv_loop_init(&loop) == 0);
	rc = address_parse(text, &where, fault);
	if (rc == BERTH_OK)
		rc = httpd_open(&server.httpd, &loop, &where, 1, &limits,
				routes_handle, ccn, fault);
	if (rc == BERTH_OK) {
		watch_signals(&server, &loop);
		printf("berth-ccn: ready on http://%s, %u messages, %u files "
		       "in %s\n", listen, ccn->record_count, ccn->file_count,
		       directory);
		fflush(stdout);
		sd_notify(0, "READY=1");
		uv_run(&loop, UV_RUN_DEFAULT);
	}
	uv_loop_close(&loop);
	free(text);
	return rc;
}

static int run(const char *directory, const char *listen, struct fault *fault)
{
	struct ccn *ccn;
	int rc;

	rc = ccn_open(&ccn, directory, fault);
	if (rc != BERTH_OK)
		return rc;
	if (ccn->cut > 0) {
		printf("berth-ccn: %s/journal: cut a torn tail of %llu bytes "
		       "at offset %llu\n", directory,
		       (unsigned long long)ccn->cut,
		       (unsigned long long)ccn->journal.end);
		fflush(stdout);
	}
	rc = serve(ccn, directory, listen, fault);
	ccn_close(ccn);
	return rc;
}

int main(int argc, char **argv)
{
	struct arguments given = { NULL, NULL, NULL };
	struct settings settings = { NULL, NULL };
	const char *directory, *listen;
	struct fault fault;
	int rc = BERTH_OK;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &given);
	log_init("berth-ccn", LOG_LEVEL_INFO);
	if (given.config)
		rc = config_load(given.config, config_settings,
				 COUNT_OF(config_settings), &settings, &fault);
	directory = given.directory ? given.directory : settings.directory;
	listen = given.listen ? given.listen : settings.listen;
	if (rc == BERTH_OK && !directory)
		rc = fault_set(&fault, BERTH_INVALID,
			       "--directory: missing (see --help)");
	if (rc == BERTH_OK)
		rc = run(directory, listen ? listen : "127.0.0.1:4024",
			 &fault);
	config_fini(config_settings, COUNT_OF(config_settings), &settings);
	if (rc == BERTH_OK)
		return 0;
	fprintf(stderr, "berth-ccn: %s\n", fault.text);
	return 1;
}
