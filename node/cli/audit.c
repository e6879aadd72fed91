/* audit export|verify: the replicated log as evidence that anyone can check.
 * Exporting copies one replica's audit trail, page by page; verifying is
 * another program's, which shares no code with the scheduler. */
#include "node/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#define VERIFIER "berth-audit-verify"
#define RECORD_HEAD 5u /* u32 size, u8 type */
#define MAGIC_SIZE 8u

/* --- what was exported ------------------------------------------------------ */

/* Reads along, to say what is in the file; nothing is judged here. */
struct tally {
	uint8_t head[64]; /* of the record at hand */
	size_t have, left; /* left: of its payload, passed over */
	uint64_t first, last, entries, gaps, segments, segment;
	bool whole;
};

static uint64_t number(const uint8_t *at, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++)
		value = value << 8 | at[i];
	return value;
}

/* As much of a record as tells its index. */
static size_t wanted(const struct tally *t)
{
	size_t size;

	if (t->have < RECORD_HEAD)
		return RECORD_HEAD;
	if (memcmp(t->head, "BRTHA", RECORD_HEAD) == 0)
		return MAGIC_SIZE;
	size = (size_t)number(t->head, 4);
	return RECORD_HEAD + (size < 17 ? size : 17);
}

static void take(struct tally *t)
{
	const uint8_t *payload = t->head + RECORD_HEAD;
	uint64_t index;

	if (memcmp(t->head, "BRTHA", RECORD_HEAD) == 0)
		return;
	t->left = (size_t)number(t->head, 4) - (t->have - RECORD_HEAD);
	switch (t->head[4]) {
	case 'H': /* segment: a damaged one is left out */
		if (t->segments++ && number(payload, 8) != t->segment + 1)
			t->gaps++;
		t->segment = number(payload, 8);
		break;
	case 'E':
		index = number(payload, 8);
		if (!t->entries++ && !t->first)
			t->first = index;
		t->last = index;
		break;
	case 'A': /* how, index, index before */
		index = number(payload + 1, 8);
		if (!t->last && !t->first)
			t->first = index;
		else if (payload[0] != 1)
			t->gaps++;
		break;
	case 'Z':
		t->whole = true;
		break;
	default:
		break;
	}
}

static void tally(struct tally *t, const char *data, size_t size)
{
	while (size) {
		size_t n = t->left ? t->left : wanted(t) - t->have;

		if (n > size)
			n = size;
		if (t->left) {
			t->left -= n;
		} else {
			memcpy(t->head + t->have, data, n);
			t->have += n;
			if (t->have == wanted(t)) {
				take(t);
				t->have = 0;
			}
		}
		data += n;
		size -= n;
	}
}

/* --- export ----------------------------------------------------------------- */

static int save(FILE *out, const struct http_answer *answer, struct tally *t)
{
	tally(t, answer->body, answer->body_size);
	if (fwrite(answer->body, 1, answer->body_size, out) ==
	    answer->body_size)
		return 0;
	return cli_fail(CLI_FAILED, "cannot write: %s", strerror(errno));
}

/* All pages of one replica; *begun when something of it was written. */
static int export_from(struct cli *one, const char *since, FILE *out,
		       struct tally *t, bool *begun)
{
	char path[160];
	bool more = true;
	int code = 0;

	snprintf(path, sizeof path, "/admin/v1/audit?since=%s", since);
	while (more && !code) {
		struct http_answer answer;
		char next[64];

		code = cli_get_raw(one, path, &answer);
		if (code)
			break;
		*begun = true;
		code = save(out, &answer, t);
		more = http_answer_header(&answer, "Berth-Audit-Next", next,
					  sizeof next);
		http_answer_fini(&answer);
		snprintf(path, sizeof path, "/admin/v1/audit?from=%s", next);
	}
	return code;
}

/* Trails are of one replica each: the first that answers gives all of it. */
static int export_first(struct cli *cli, const char *since, FILE *out,
			struct tally *t)
{
	const char *at = cli->url ? cli->url : "";
	int code = CLI_NO_LEADER;
	bool begun = false;

	if (!*at)
		return cli_fail(CLI_USAGE, "no replica to ask: give --dir,"
				" --url, or set BERTH_DIR or BERTH_URL");
	while (*at && code == CLI_NO_LEADER && !begun) {
		size_t size = strcspn(at, ",");
		char *url = strndup(at, size);
		struct cli one = *cli;

		one.url = url;
		code = export_from(&one, since, out, t, &begun);
		free(url);
		at += size;
		at += *at == ',';
	}
	return code;
}

static void told(const struct tally *t, const char *name)
{
	fprintf(stderr, "berth: %s: %" PRIu64 " entries, %" PRIu64 " to %"
		PRIu64 ", %s%s\n", name, t->entries, t->first, t->last,
		t->gaps ? "with gaps, which the file tells"
			: "without a gap", t->whole ? "" : "; it was cut");
}

CLI_COMMAND(cmd_audit_export)
{
	static const struct argp_option options[] = {
		{ "since", 1, "INDEX", 0, "from the segment that has this"
		  " entry (default: all that is kept)", 0 },
		{ "file", 2, "FILE", 0, "write it there, not to stdout", 0 },
		{ NULL, 0, NULL, 0, NULL, 0 },
	};
	struct cli_option_value values[2] = { 0 };
	struct tally t = { 0 };
	const char *file;
	char since[24];
	FILE *out = stdout;
	int code;

	cli_parse(cli, command, argc, argv, options, values, 0, 0, NULL);
	snprintf(since, sizeof since, "%" PRIu64,
		 cli_number(&values[0], "since", 0, 0, UINT64_MAX));
	file = values[1].value;
	if (!file && isatty(STDOUT_FILENO))
		return cli_fail(CLI_USAGE, "the trail is no text: give --file"
				" FILE, or send it somewhere");
	if (file && !(out = fopen(file, "wb")))
		return cli_fail(CLI_FAILED, "%s: %s", file, strerror(errno));
	code = export_first(cli, since, out, &t);
	if ((file ? fclose(out) : fflush(out)) != 0 && !code)
		code = cli_fail(CLI_FAILED, "cannot write: %s",
				strerror(errno));
	if (!code)
		told(&t, file ? file : "audit trail");
	return code ? code : t.whole ? CLI_DONE : CLI_FAILED;
}

/* --- verify ----------------------------------------------------------------- */

/* Beside this program where it is installed, or in the source. */
static bool find_verifier(char *path, size_t size)
{
	static const char *const places[] = { "", "../../deploy/" };
	char own[4096], *slash;
	ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);

	if (length <= 0)
		return false;
	own[length] = '\0';
	slash = strrchr(own, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < COUNT_OF(places); i++) {
		snprintf(path, size, "%s/%s" VERIFIER, own, places[i]);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

CLI_COMMAND(cmd_audit_verify)
{
	static const struct argp_option options[] = {
		{ "leases", 1, NULL, 0, "list each program's leases", 0 },
		{ "program", 2, "HASH", 0, "only those of the program that"
		  " begins so", 0 },
		{ NULL, 0, NULL, 0, NULL, 0 },
	};
	struct cli_option_value values[2] = { 0 };
	const char *words[16] = { NULL };
	char path[8192];
	char *args[32];
	int count = 0;

	cli_parse(cli, command, argc, argv, options, values, 1,
		  COUNT_OF(words), words);
	if (!find_verifier(path, sizeof path))
		return cli_fail(CLI_FAILED, VERIFIER " is not installed beside"
				" berth");
	args[count++] = path;
	if (values[0].value)
		args[count++] = (char *)(uintptr_t)"--leases";
	if (values[1].value) {
		args[count++] = (char *)(uintptr_t)"--program";
		args[count++] = (char *)(uintptr_t)values[1].value;
	}
	if (cli->json) {
		args[count++] = (char *)(uintptr_t)"-o";
		args[count++] = (char *)(uintptr_t)"json";
	}
	args[count++] = (char *)(uintptr_t)"--";
	for (size_t i = 0; i < COUNT_OF(words) && words[i]; i++)
		args[count++] = (char *)(uintptr_t)words[i];
	args[count] = NULL;
	execv(path, args);
	return cli_fail(CLI_FAILED, "%s: %s", path, strerror(errno));
}
