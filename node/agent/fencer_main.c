/* berth-fencer: owns a CRN's deadline, gate and kills. See fencer.h. */
#include <argp.h>
#include <errno.h>
#include <libconfig.h>
#include <malloc.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "node/agent/fencer.h"
#include "node/lib/crypto.h"
#include "node/lib/log.h"

#define K_MS_MIN 100
#define K_MS_MAX 600000
#define PRIORITY 10

static struct fencer fencer; /* all of its memory */

static const struct argp_option options[] = {
	{ "config", 'c', "FILE", 0, "The CRN's file, shared with berth-agent",
	  0 },
	{ "kill-all", 'k', NULL, 0, "Kill all that an earlier berth-fencer of "
	  "this file left, held programs too, and leave", 0 },
	{ 0 },
};

struct arguments {
	const char *file;
	bool kill_all;
};

static error_t on_option(int key, char *argument, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case 'c':
		arguments->file = argument;
		return 0;
	case 'k':
		arguments->kill_all = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument \"%s\"", argument);
		return EINVAL;
	case ARGP_KEY_END:
		if (arguments->file == NULL)
			argp_error(state, "--config FILE is needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Five settings of the file are ours; the agent checks the others. */
static int settings_take(const config_t *config, struct fencer_options *out,
			 struct fault *fault)
{
	const char *crn = NULL, *directory = NULL, *watchdog = "";
	long long k_ms = 0, slew_ppm = FENCER_SLEW_PPM;

	if (!config_lookup_string(config, "crn", &crn) ||
	    hash_parse(crn, &out->crn) != 0)
		return fault_set(fault, BERTH_INVALID,
				 "crn: 64 hexadecimal digits are needed");
	if (!config_lookup_string(config, "directory", &directory) ||
	    *directory == '\0')
		return fault_set(fault, BERTH_INVALID,
				 "directory: the data folder is needed");
	if (!config_lookup_int64(config, "k_ms", &k_ms) || k_ms < K_MS_MIN ||
	    k_ms > K_MS_MAX)
		return fault_set(fault, BERTH_INVALID,
				 "k_ms: %d to %d is needed", K_MS_MIN,
				 K_MS_MAX);
	config_lookup_int64(config, "slew_ppm", &slew_ppm);
	if (slew_ppm < FENCER_SLEW_PPM_MIN || slew_ppm > FENCER_SLEW_PPM_MAX)
		return fault_set(fault, BERTH_INVALID,
				 "slew_ppm: %u to %u is needed",
				 FENCER_SLEW_PPM_MIN, FENCER_SLEW_PPM_MAX);
	config_lookup_string(config, "watchdog", &watchdog);
	out->k_ms = (uint32_t)k_ms;
	out->slew_ppm = (uint32_t)slew_ppm;
	out->directory = strdup(directory);
	out->watchdog = strdup(watchdog);
	if (out->directory == NULL || out->watchdog == NULL)
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	return 0;
}

static int settings_read(const char *file, struct fencer_options *out,
			 struct fault *fault)
{
	config_t config;
	int rv;

	config_init(&config);
	if (config_read_file(&config, file) != CONFIG_TRUE)
		rv = fault_set(fault, BERTH_MALFORMED, "%s:%d: %s", file,
			       config_error_line(&config),
			       config_error_text(&config));
	else if ((rv = settings_take(&config, out, fault)) != 0)
		fault_wrap(fault, "%s", file);
	config_destroy(&config);
	return rv;
}

/* A fencer that waits for memory or for the processor fences late; launchers'
 * timers then do it, so that both may be refused. */
static void claim_machine(void)
{
	struct sched_param priority = { .sched_priority = PRIORITY };

	mallopt(M_TRIM_THRESHOLD, -1);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		log_warn("fencer", "memory is not locked: %s",
			 strerror(errno));
	if (sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK,
			       &priority) != 0)
		log_warn("fencer", "no real-time priority: %s",
			 strerror(errno));
}

int main(int argc, char **argv)
{
	static const struct argp parser = {
		.options = options,
		.parser = on_option,
		.doc = "Starts and kills the programs of a CRN, and no one "
		       "else does.",
	};
	struct fencer_options settings = { 0 };
	struct fault fault = { 0 };
	struct arguments arguments = { 0 };
	struct mallinfo2 before;
	bool alive;

	argp_parse(&parser, argc, argv, 0, NULL, &arguments);
	log_init("berth-fencer", LOG_LEVEL_INFO);
	if (settings_read(arguments.file, &settings, &fault) != 0 ||
	    fencer_open(&fencer, &settings, &fault) != 0) {
		log_error("fencer", "%s", fault.text);
		return 1;
	}
	claim_machine();
	log_info("fencer", "listens at %s, k_ms %u", fencer.path, fencer.k_ms);
	if (arguments.kill_all)
		fencer_kill_all(&fencer);
	before = mallinfo2();
	fencer_loop(&fencer);
	if (mallinfo2().uordblks != before.uordblks)
		log_error("fencer", "the heap was used while looping");
	alive = fencer__exclusive_count(&fencer) > 0;
	fencer_close(&fencer);
	log_info("fencer", "left");
	free(settings.directory);
	free(settings.watchdog);
	return alive ? 1 : 0;
}
