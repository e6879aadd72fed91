/* trace/main [--mutant NAME] < STEPS: exit 0 iff the model can follow. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/trace/trace.h"

struct state model;
enum mutant mutant = M_NONE_AT_ALL;
bool telling;
char told[512];

struct options options = { .dt_max = 2000 };
const struct options *opt = &options;

static struct line line;
static char *text;
static size_t text_size;
static bool again, lost; /* lost: this world had its finding */
static unsigned long worlds, steps, findings, line_number;
static num seed;

void finding(const char *format, ...)
{
	va_list list;

	printf("finding: seed %lu, line %lu: %s\n  ", (unsigned long)seed,
	       line_number, line.text);
	va_start(list, format);
	vprintf(format, list);
	va_end(list);
	printf("\n");
	findings++;
	lost = true;
}

void line_back(void)
{
	again = true;
}

static void parse(struct line *out, char *at)
{
	char *end;

	snprintf(out->text, sizeof out->text, "%.*s",
		 (int)strcspn(at, "\n"), at);
	out->count = 0;
	out->stamp = 0;
	out->has_stamp = false;
	snprintf(out->word, sizeof out->word, "%.*s",
		 (int)strcspn(at, " \n"), at);
	for (at += strlen(out->word); *at == ' '; at = end) {
		num value = strtoull(at, &end, 10);

		if (end == at && strncmp(at, " stamp", 6) == 0) {
			out->has_stamp = true;
			out->stamp = strtoull(at + 6, &end, 10);
			continue;
		}
		if (end == at || out->count == ARGS_MAX) {
			fprintf(stderr, "not a step: %s\n", out->text);
			exit(2);
		}
		out->args[out->count++] = value;
	}
}

bool line_read(struct line *out)
{
	if (!again) {
		if (getline(&text, &text_size, stdin) < 0)
			return false;
		line_number++;
	}
	again = false;
	parse(out, text);
	return true;
}

static void skip(void)
{
	static struct line other;

	while (line_read(&other))
		if (strcmp(other.word, "world") == 0) {
			line_back();
			return;
		}
}

static void world_open(void)
{
	worlds++;
	seed = line.args[0];
	lost = false;
	memset(&model, 0, sizeof model);
	state_open();
	machines_open();
}

static void step(void)
{
	steps++;
	if (strcmp(line.word, "world") == 0)
		world_open();
	else if (line.has_stamp)
		state_step(&line);
	else if (!machine_step(&line))
		finding("no such step");
	if (lost)
		skip();
}

static const char *const mutant_names[] = {
#define X(id, name, rule, about) name,
	MUTANTS(X)
#undef X
};

int main(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--mutant") != 0)
			return 2;
		for (mutant = 0; mutant < M_COUNT; mutant++)
			if (strcmp(mutant_names[mutant], argv[i + 1]) == 0)
				break;
		if (mutant == M_COUNT) {
			fprintf(stderr, "no mutant %s\n", argv[i + 1]);
			return 2;
		}
	}
	while (line_read(&line))
		step();
	printf("worlds=%lu steps=%lu findings=%lu\n", worlds, steps, findings);
	free(text);
	return findings > 0 || worlds == 0;
}
