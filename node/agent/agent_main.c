/* berth-agent: a CRN's network side. See agent.h for its parts. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "node/agent/agent.h"
#include "node/agent/door.h"
#include "node/agent/prepare.h"
#include "node/agent/runner.h"
#include "node/lib/log.h"

#define LOG_TAIL_SIZE_MAX (1u << 20)

const char *argp_program_version = "berth-agent 0.1";
static const char doc[] =
	"Runs Aleph programs on this machine under a lease of a Berth cluster."
	"\vberth-fencer must run with the same file: it alone starts and kills. "
	"The agent may be stopped and started again at any time; programs go on.";

struct options {
	const char *config;
	bool debug;
};

static const struct argp_option option_table[] = {
	{ "config", 'c', "FILE", 0, "Configuration, shared with berth-fencer",
	  0 },
	{ "debug", 'd', NULL, 0, "Log more", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'c':
		options->config = arg;
		return 0;
	case 'd':
		options->debug = true;
		return 0;
	case ARGP_KEY_END:
		if (!options->config)
			argp_error(state, "--config FILE is needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* --- what comes in ---------------------------------------------------------------- */

static void fencer_up(void *ctx)
{
	struct agent *agent = ctx;

	session_fencer_up(agent->session);
}

static void fencer_down(void *ctx)
{
	struct agent *agent = ctx;

	if (!agent->stopping)
		session_fencer_down(agent->session);
}

static void fencer_event(void *ctx, const struct fencer_answer *event)
{
	struct agent *agent = ctx;

	(void)event;
	session_fencer_event(agent->session);
}

static void link_is_up(void *ctx)
{
	struct agent *agent = ctx;

	session_link_up(agent->session);
}

static void link_is_down(void *ctx)
{
	struct agent *agent = ctx;

	if (!agent->stopping)
		prepare_link_down(agent->prepare);
}

static void give_log(struct agent *agent, const uint8_t *payload, size_t size)
{
	struct agent_ask ask;
	struct agent_answer answer = { 0 };
	char *data = NULL;
	uint8_t *frame;
	uint64_t wanted;

	if (agent_ask_decode(payload, size, &ask) != 0)
		return;
	wanted = ask.tail_size == 0 || ask.tail_size > LOG_TAIL_SIZE_MAX ?
		 LOG_TAIL_SIZE_MAX : ask.tail_size;
	answer.id = ask.id;
	answer.code = runner_log(agent->runner, &ask.program, wanted, &data,
				 &answer.size);
	answer.data = (const uint8_t *)data;
	frame = malloc(answer.size + 64);
	if (frame && link_send(agent->link, AGENT_LOG, frame,
			       agent_answer_encode(&answer, frame,
						   answer.size + 64)) != 0)
		log_warn("link", "a log was not sent");
	free(frame);
	free(data);
}

static void learn(struct agent *agent, const uint8_t *payload, size_t size)
{
	struct agent_replicas replicas;

	if (agent_replicas_decode(payload, size, &replicas) == 0)
		link_learn(agent->link, &replicas);
}

static void link_frame(void *ctx, uint8_t type, const uint8_t *payload,
		       size_t size)
{
	struct agent *agent = ctx;

	switch (type) {
	case AGENT_REPLICAS:
		learn(agent, payload, size);
		break;
	case AGENT_CONTENT:
		prepare_frame(agent->prepare, type, payload, size);
		break;
	case AGENT_LOG_GET:
		give_log(agent, payload, size);
		break;
	default:
		session_frame(agent->session, type, payload, size);
	}
}

/* --- its life ---------------------------------------------------------------------- */

static int check_identity(const struct agent *agent, struct fault *fault)
{
	const struct identity *self = stream_tls_self(agent->tls);

	if (self->role != IDENTITY_CRN ||
	    strcmp(self->name, agent->config.crn) != 0 ||
	    strcmp(self->cluster, agent->config.cluster) != 0)
		return fault_set(fault, BERTH_MISMATCH,
				 "%s/cert.pem is not that of CRN %s of cluster %s",
				 agent->config.pki, agent->config.crn,
				 agent->config.cluster);
	return 0;
}

static void warn_internet(const struct agent_config *config)
{
	if (strcmp(config->internet, "host") == 0)
		log_warn("agent", "internet = \"host\": programs with environment.internet share this machine's network, its loopback included");
}

static void prepare_dev_bind(const struct agent_config *config)
{
	if (!config->dev_bind[0])
		return;
	log_warn("agent", "dev_bind: programs may read and write %s; for development only",
		 config->dev_bind);
	/* Programs have users of their own. */
	(void)mkdir(config->dev_bind, 0777);
	if (chmod(config->dev_bind, 0777) < 0)
		log_warn("agent", "%s: its mode could not be changed",
			 config->dev_bind);
}

static int open_parts(struct agent *agent, struct fault *fault)
{
	static const struct fencer_client_events fencer_events = {
		fencer_up, fencer_down, fencer_event };
	static const struct link_events link_events = {
		link_is_up, link_is_down, link_frame };
	char socket[4096];
	int code = stream_tls_open(&agent->tls, agent->config.pki, fault);

	if (code == 0)
		code = check_identity(agent, fault);
	if (code == 0)
		code = http_client_open(&agent->http, agent->loop, fault);
	if (code == 0)
		code = prepare_open(&agent->prepare, agent, fault);
	if (code == 0)
		code = runner_open(&agent->runner, agent, fault);
	if (code == 0)
		code = session_open(&agent->session, agent, fault);
	if (code == 0)
		code = door_open(&agent->door, agent, fault);
	snprintf(socket, sizeof socket, "%s/fencer.sock",
		 agent->config.directory);
	if (code == 0)
		code = fencer_client_open(&agent->fencer, agent->loop, socket,
					  &fencer_events, agent, fault);
	if (code == 0)
		code = link_open(&agent->link, agent->loop, agent->tls,
				 (const char *const *)agent->config.replicas,
				 &link_events, agent, fault);
	return code;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

/* The agent ends; programs stay, the fencer guards them. */
static void stop(uv_signal_t *signal, int number)
{
	struct agent *agent = signal->data;

	if (agent->stopping)
		return;
	log_info("agent", "signal %d: ends; programs stay until their deadline",
		 number);
	agent->stopping = true;
	uv_stop(agent->loop);
}

static void close_parts(struct agent *agent)
{
	link_close(agent->link);
	fencer_client_close(agent->fencer);
	door_close(agent->door, nothing, NULL);
	prepare_close(agent->prepare);
	runner_close(agent->runner);
	session_close(agent->session);
	http_client_close(agent->http, nothing, NULL);
	/* Some turns so that closings go out; nothing depends on them. */
	for (int i = 0; i < 20 && uv_run(agent->loop, UV_RUN_NOWAIT); i++)
		;
}

static int run(const struct options *options, struct fault *fault)
{
	static struct agent agent;
	static uv_loop_t loop;
	static uv_signal_t signals[2];
	static const int numbers[] = { SIGTERM, SIGINT };
	int code = agent_config_read(options->config, &agent.config, fault);

	if (code != 0)
		return code;
	if (uv_loop_init(&loop) < 0)
		return fault_set(fault, BERTH_IO, "event loop");
	agent.loop = &loop;
	warn_internet(&agent.config);
	prepare_dev_bind(&agent.config);
	code = open_parts(&agent, fault);
	if (code != 0)
		return code;
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		(void)uv_signal_init(&loop, &signals[i]);
		signals[i].data = &agent;
		(void)uv_signal_start(&signals[i], stop, numbers[i]);
		uv_unref((uv_handle_t *)&signals[i]);
	}
	log_info("agent", "CRN %.12s (%s), door %s", agent.config.crn,
		 agent.config.name, agent.config.door);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	close_parts(&agent);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { option_table, parse_option, NULL,
					  doc, NULL, NULL, NULL };
	struct options options = { 0 };
	struct fault fault = { 0 };

	argp_parse(&argp, argc, argv, 0, NULL, &options);
	(void)signal(SIGPIPE, SIG_IGN);
	log_init("berth-agent", options.debug ? LOG_LEVEL_DEBUG :
		 LOG_LEVEL_INFO);
	if (run(&options, &fault) == 0)
		return 0;
	log_error("agent", "%s", fault.text);
	return 1;
}
