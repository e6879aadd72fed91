/* All configurations must hold, all mutants must be caught.
 *
 * model                                 everything; the table to stdout
 * model --config NAME                   one configuration, without a mutant
 * model --mutant NAME [--config NAME]   one mutant, with its story
 * model --list                          names
 */
#include <stdlib.h>
#include <string.h>

#include "tests/model/model.h"

/* What a mutant must break: the promise itself. */
#define PROMISE (CHECK_I1 | CHECK_I2)

static uint64_t states_total, states_max = 60000000;
static unsigned unfinished; /* redundant, but not to the last state */

static const struct options *find(const char *name)
{
	for (unsigned i = 0; i < configuration_count; i++)
		if (strcmp(configurations[i].name, name) == 0)
			return &configurations[i];
	fprintf(stderr, "model: no configuration %s\n", name);
	exit(2);
}

static const struct trial *find_trial(const char *name)
{
	for (unsigned i = 0; i < trial_count; i++)
		if (strcmp(mutant_name(trials[i].mutant), name) == 0)
			return &trials[i];
	fprintf(stderr, "model: no mutant %s\n", name);
	exit(2);
}

static struct outcome explore(const struct options *o, enum mutant m,
			      FILE *story, unsigned which)
{
	struct outcome out;

	opt = o;
	mutant = m;
	out = search(story, which, states_max);
	states_total += out.states;
	return out;
}

/* --- one by one --------------------------------------------------- */

static int run_configuration(const struct options *o, FILE *table)
{
	struct outcome out = explore(o, M_NONE_AT_ALL, stdout, CHECK_ALL);
	const char *verdict = out.broken ? "BROKEN"
			      : out.full ? "NOT EXHAUSTED" : "holds";

	fprintf(table, "| %s | %s | %llu | %llu | %u | %.1f | %s |\n", o->name,
		verdict, (unsigned long long)out.states,
		(unsigned long long)out.steps, out.depth, out.seconds,
		o->about);
	printf("config %s: %s, %llu states, %llu steps, depth %u, %.1f s\n",
	       o->name, verdict, (unsigned long long)out.states,
	       (unsigned long long)out.steps, out.depth, out.seconds);
	fflush(stdout);
	return out.broken || out.full ? 1 : 0;
}

static bool run_mutant(const struct trial *t, const struct options *o,
		       FILE *table, FILE *stories)
{
	struct outcome out;

	fprintf(stories, "\n%s (%s): %s; configuration %s\n",
		mutant_name(t->mutant), mutant_rule(t->mutant),
		mutant_about(t->mutant), o->name);
	out = explore(o, t->mutant, stories,
		      t->twice ? CHECK_I1 : PROMISE);
	if (!out.broken)
		fprintf(stories, "  not caught%s\n",
			out.full ? ", and not exhausted" : "");
	unfinished += out.full;
	fprintf(table, "| %s | %s | %s | %s | %s | %llu | %u | %.1f |\n",
		mutant_name(t->mutant), mutant_rule(t->mutant),
		mutant_about(t->mutant), o->name,
		out.broken ? out.broken : t->redundant ? "redundant" : "-",
		(unsigned long long)out.states, out.depth, out.seconds);
	printf("mutant %s: %s, %llu states, depth %u, %.1f s (%s)\n",
	       mutant_name(t->mutant), out.broken ? out.broken : "not caught",
	       (unsigned long long)out.states, out.depth, out.seconds,
	       o->name);
	fflush(stdout);
	return out.broken != NULL;
}

/* --- all ---------------------------------------------------------- */

static FILE *table_open(const char *path)
{
	FILE *file = fopen(path, "w");

	if (!file) {
		perror(path);
		exit(2);
	}
	return file;
}

static unsigned all_mutants(FILE *table, FILE *stories, unsigned *caught,
			    unsigned *redundant)
{
	unsigned surprises = 0;

	fprintf(table, "\n| mutant | rule | what is left out | configuration "
		"| broken | states | depth | s |\n"
		"|---|---|---|---|---|---|---|---|\n");
	for (unsigned i = 0; i < trial_count; i++) {
		const struct trial *t = &trials[i];
		bool hit = run_mutant(t, find(t->configuration), table,
				      stories);

		*caught += hit;
		*redundant += t->redundant;
		surprises += hit == t->redundant;
	}
	return surprises + unfinished;
}

static int all(const char *folder)
{
	char path[256];
	FILE *table, *stories;
	unsigned bad = 0, caught = 0, redundant = 0;

	snprintf(path, sizeof path, "%s/model.md", folder);
	table = table_open(path);
	snprintf(path, sizeof path, "%s/model-stories.txt", folder);
	stories = table_open(path);
	fprintf(table, "# The lease protocol, exhaustively\n\n"
		"| configuration | verdict | states | steps | depth | s | "
		"what |\n|---|---|---|---|---|---|---|\n");
	for (unsigned i = 0; i < configuration_count; i++)
		bad += (unsigned)run_configuration(&configurations[i], table);
	bad += all_mutants(table, stories, &caught, &redundant);
	fclose(table);
	fclose(stories);
	printf("configs=%u states=%llu mutants=%u caught=%u redundant=%u\n",
	       configuration_count, (unsigned long long)states_total,
	       trial_count, caught, redundant);
	return bad == 0 ? 0 : 1;
}

static void list(void)
{
	for (unsigned i = 0; i < configuration_count; i++)
		printf("config %s: %s\n", configurations[i].name,
		       configurations[i].about);
	for (unsigned i = 0; i < trial_count; i++)
		printf("mutant %s: %s (%s)\n", mutant_name(trials[i].mutant),
		       mutant_about(trials[i].mutant),
		       mutant_rule(trials[i].mutant));
}

int main(int argc, char **argv)
{
	const char *config = NULL, *name = NULL, *folder = "build";
	const struct trial *t;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--list") == 0) {
			list();
			return 0;
		}
		if (i + 1 == argc) {
			fprintf(stderr, "model: what is %s?\n", argv[i]);
			return 2;
		}
		if (strcmp(argv[i], "--config") == 0)
			config = argv[++i];
		else if (strcmp(argv[i], "--mutant") == 0)
			name = argv[++i];
		else if (strcmp(argv[i], "--max") == 0)
			states_max = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--out") == 0)
			folder = argv[++i];
	}
	if (!name && !config)
		return all(folder);
	if (!name)
		return run_configuration(find(config), stderr);
	t = find_trial(name);
	return run_mutant(t, find(config ? config : t->configuration), stderr,
			  stdout) == t->redundant || unfinished > 0;
}
