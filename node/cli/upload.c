/* program upload: the exchanges of `aleph program upload --persistent`
 * (aleph.md 2.1): archive, STORE with its file, prices, balance, PROGRAM. */
#include "node/cli/archive.h"
#include "node/cli/cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "node/lib/aleph.h"

#define RUNTIME_DEFAULT \
	"63f07193e6ee9d207b7d1fcf8286f9aee34e6f12f101d2ec77c1229f92964696"
#define PRICES "0xFba561a84A537fCaa567bb7A2257e7142701ae2A"
#define ADD_FILE_SIZE_MAX (4u << 20) /* larger ones go the IPFS way */

enum { OPT_PERSISTENT = 1, OPT_UPDATABLE, OPT_PAYMENT, OPT_NAME, OPT_VCPUS,
       OPT_MEMORY, OPT_TIMEOUT, OPT_RUNTIME, OPT_ENV, OPT_INTERNET, OPT_PVOL,
       OPT_EVOL, OPT_IVOL, OPT_NODE, OPT_ARCH, OPT_WAIT };

static const struct argp_option options[] = {
	{ "persistent", OPT_PERSISTENT, NULL, 0, "run it all the time", 0 },
	{ "updatable", OPT_UPDATABLE, NULL, 0,
	  "allow later changes (persist, unpersist)", 0 },
	{ "payment", OPT_PAYMENT, "TYPE", 0, "hold (default) or credit", 0 },
	{ "name", OPT_NAME, "NAME", 0, "name to show", 0 },
	{ "vcpus", OPT_VCPUS, "N", 0, "virtual cores (default 1)", 0 },
	{ "memory", OPT_MEMORY, "MIB", 0, "memory (default 256)", 0 },
	{ "timeout", OPT_TIMEOUT, "SECONDS", 0, "of a request (default 30)",
	  0 },
	{ "runtime", OPT_RUNTIME, "HASH", 0, "runtime's reference", 0 },
	{ "env", OPT_ENV, "NAME=VALUE", 0, "a variable; again for more", 0 },
	{ "internet", OPT_INTERNET, NULL, 0, "let it reach the internet", 0 },
	{ "persistent-volume", OPT_PVOL, "NAME:MOUNT:MIB", 0,
	  "a volume that stays on its CRN", 0 },
	{ "ephemeral-volume", OPT_EVOL, "MOUNT:MIB", 0,
	  "a volume that ends with the run", 0 },
	{ "immutable-volume", OPT_IVOL, "HASH:MOUNT", 0, "a read-only volume",
	  0 },
	{ "node", OPT_NODE, "CRN", 0, "run on this CRN only", 0 },
	{ "arch", OPT_ARCH, "ARCH", 0, "x86_64 or arm64", 0 },
	{ "wait", OPT_WAIT, "SECONDS", 0, "until it runs; exit 3 if not", 0 },
	{ NULL, 0, NULL, 0, NULL, 0 },
};
enum { OPTION_COUNT = COUNT_OF(options) - 1 };

/* Indexes into the values, in the order of the options above. */
#define V(option) values[(option) - 1]

/* "metadata" (unless NULL), then "file". */
static char *multipart(const json_t *metadata, const void *file, size_t size,
		       const char *boundary, size_t *out_size)
{
	char *json = metadata ? json_dumps(metadata, JSON_COMPACT) : NULL;
	size_t room = (json ? strlen(json) : 0) + size + 1024;
	char *body = malloc(room);
	int length = 0;

	if (!body)
		exit(cli_fail(CLI_FAILED, "out of memory"));
	if (json)
		length = snprintf(body, room,
				  "--%s\r\nContent-Disposition: form-data;"
				  " name=\"metadata\"\r\nContent-Type:"
				  " application/json\r\n\r\n%s\r\n", boundary,
				  json);
	length += snprintf(body + length, room - (size_t)length,
			   "--%s\r\nContent-Disposition: form-data;"
			   " name=\"file\"; filename=\"file\"\r\n"
			   "Content-Type: application/octet-stream\r\n\r\n",
			   boundary);
	memcpy(body + length, file, size);
	*out_size = (size_t)length + size;
	*out_size += (size_t)snprintf(body + *out_size, room - *out_size,
				      "\r\n--%s--\r\n", boundary);
	free(json);
	return body;
}

/* A file that is small enough goes with its signed STORE in one request; a
 * larger one goes to IPFS first, which names it. */
static bool by_ipfs(size_t size)
{
	return size > ADD_FILE_SIZE_MAX;
}

static json_t *store_content(const struct eth_key *key, const char *item_type,
			     const char *file_hash, const char *ref, double now)
{
	return json_pack("{s:s, s:f, s:s, s:s, s:s*, s:{s:s, s:s}}", "address",
			 key->address, "time", now, "item_type", item_type,
			 "item_hash", file_hash, "ref", ref, "payment",
			 "chain", "ETH", "type", "hold");
}

/* Sends the file, with its envelope if there is one; `name` gets what the CCN
 * calls it. */
static int add_file(struct cli *cli, json_t *envelope, const void *data,
		    size_t size, char name[96])
{
	static const char boundary[] = "berth-5f0c8d7b64a14e0c";
	json_t *metadata = envelope ? json_pack("{s:O, s:b}", "message",
						envelope, "sync", true) : NULL;
	json_t *answer = NULL;
	const char *text;
	size_t body_size;
	char *body = multipart(metadata, data, size, boundary, &body_size);
	int status = 0, code;

	cli_progress_begin(cli, "uploading the code");
	code = cli_ccn(cli, "POST", envelope ? "/api/v0/storage/add_file" :
		       "/api/v0/ipfs/add_file",
		       "multipart/form-data; boundary=berth-5f0c8d7b64a14e0c",
		       body, body_size, &status, &answer);
	cli_progress_end(cli, code || status / 100 != 2 ? "failed" : "done");
	text = json_string_value(json_object_get(answer, status / 100 == 2 ?
						 "hash" : "message"));
	if (code == 0 && (status / 100 != 2 || !text))
		code = cli_fail(CLI_FAILED, "the CCN did not take the file"
				" (HTTP %d: %s)", status, text ? text : "-");
	if (code == 0)
		snprintf(name, 96, "%s", text);
	json_decref(answer);
	json_decref(metadata);
	free(body);
	return code;
}

static int make_store(const struct eth_key *key, const char *item_type,
		      const char *name, const char *ref, double now,
		      json_t **envelope)
{
	json_t *content = store_content(key, item_type, name, ref, now);
	struct fault fault;
	int code = 0;

	if (aleph_message_make(key, ALEPH_STORE, content, now,
			       "ALEPH-CLOUDSOLUTIONS", envelope, &fault))
		code = cli_fail(CLI_FAILED, "%s", fault.text);
	json_decref(content);
	return code;
}

static int post_store(struct cli *cli, json_t *envelope)
{
	json_t *body = json_pack("{s:b, s:O}", "sync", true, "message",
				 envelope);
	char *text = json_dumps(body, JSON_COMPACT);
	json_t *answer = NULL;
	int status = 0, code;

	code = cli_ccn(cli, "POST", "/api/v0/messages", "application/json",
		       text, strlen(text), &status, &answer);
	if (code == 0 && status != 200 && status != 202)
		code = cli_fail(CLI_FAILED, "the CCN rejected the STORE"
				" message (HTTP %d)", status);
	json_decref(answer);
	json_decref(body);
	free(text);
	return code;
}

/* The STORE is posted as a message too: older CCNs need that, and for a file
 * on IPFS it is the only time. */
int cli_store(struct cli *cli, const struct eth_key *key, const void *data,
	      size_t size, const char *ref, double now, char store_hash[65])
{
	char name[96] = "";
	struct hash hash;
	json_t *envelope = NULL;
	int code;

	if (by_ipfs(size)) {
		code = add_file(cli, NULL, data, size, name);
		if (code == 0)
			code = make_store(key, "ipfs", name, ref, now,
					  &envelope);
	} else {
		crypto_sha256(data, size, &hash);
		hash_text(&hash, name);
		code = make_store(key, "storage", name, ref, now, &envelope);
		if (code == 0)
			code = add_file(cli, envelope, data, size, name);
	}
	if (code == 0) {
		snprintf(store_hash, 65, "%s", json_string_value(
			 json_object_get(envelope, "item_hash")));
		code = post_store(cli, envelope);
	}
	json_decref(envelope);
	return code;
}

/* "a:b:c" into parts; exits with usage when there are not `count`. */
static void split(const char *text, char parts[3][256], uint32_t count,
		  const char *what)
{
	const char *at = text;

	for (uint32_t i = 0; i < count; i++) {
		size_t size = strcspn(at, ":");

		if (size == 0 || size >= 256 || (i + 1 < count && !at[size]))
			exit(cli_fail(CLI_USAGE, "\"%s\" is not %s", text,
				      what));
		memcpy(parts[i], at, size);
		parts[i][size] = 0;
		at += size + (at[size] == ':');
	}
	if (*at)
		exit(cli_fail(CLI_USAGE, "\"%s\" is not %s", text, what));
}

static json_int_t mib(const char *text, json_int_t max)
{
	char *end;
	long long value = strtoll(text, &end, 10);

	if (*end || end == text || value < 1 || value > max)
		exit(cli_fail(CLI_USAGE, "\"%s\" is not a size in MiB from 1"
			      " to %lld", text, (long long)max));
	return value;
}

static json_t *volumes(const struct cli_option_value *values)
{
	json_t *list = json_array();
	char p[3][256];

	for (uint32_t i = 0; i < V(OPT_IVOL).count; i++) {
		split(V(OPT_IVOL).values[i], p, 2, "HASH:MOUNT");
		json_array_append_new(list, json_pack(
			"{s:s, s:s, s:b}", "mount", p[1], "ref", p[0],
			"use_latest", true));
	}
	for (uint32_t i = 0; i < V(OPT_EVOL).count; i++) {
		split(V(OPT_EVOL).values[i], p, 2, "MOUNT:MIB");
		json_array_append_new(list, json_pack(
			"{s:s, s:b, s:I}", "mount", p[0], "ephemeral", true,
			"size_mib", mib(p[1], 1000)));
	}
	for (uint32_t i = 0; i < V(OPT_PVOL).count; i++) {
		split(V(OPT_PVOL).values[i], p, 3, "NAME:MOUNT:MIB");
		json_array_append_new(list, json_pack(
			"{s:s, s:s, s:s, s:I}", "mount", p[1], "persistence",
			"host", "name", p[0], "size_mib", mib(p[2], 1953125)));
	}
	return list;
}

static json_t *variables(const struct cli_option_value *values)
{
	json_t *map = json_object();

	for (uint32_t i = 0; i < V(OPT_ENV).count; i++) {
		const char *text = V(OPT_ENV).values[i];
		const char *equals = strchr(text, '=');
		char name[129];

		if (!equals || equals == text || equals - text > 128)
			exit(cli_fail(CLI_USAGE, "--env takes NAME=VALUE, not"
				      " \"%s\"", text));
		snprintf(name, sizeof name, "%.*s", (int)(equals - text),
			 text);
		json_object_set_new(map, name, json_string(equals + 1));
	}
	return map;
}

static json_t *requirements(const struct cli_option_value *values)
{
	json_t *r = json_object();

	if (V(OPT_ARCH).value)
		json_object_set_new(r, "cpu", json_pack(
			"{s:s}", "architecture", V(OPT_ARCH).value));
	if (V(OPT_NODE).value)
		json_object_set_new(r, "node", json_pack(
			"{s:s}", "node_hash", V(OPT_NODE).value));
	return r;
}

static json_t *program_content(const struct eth_key *key,
			       const struct cli_option_value *values,
			       const char *entrypoint, const char *encoding,
			       const char *code_ref, double now)
{
	const char *runtime = V(OPT_RUNTIME).value ? V(OPT_RUNTIME).value :
						    RUNTIME_DEFAULT;
	json_t *content = json_pack(
		"{s:s, s:f, s:b, s:s, s:{s:s, s:s, s:s, s:s, s:b},"
		" s:{s:s, s:b, s:s}, s:{s:b, s:b}, s:{s:b, s:b, s:b, s:b},"
		" s:{s:I, s:I, s:I}, s:o, s:o, s:[], s:{s:s, s:s}}",
		"address", key->address, "time", now, "allow_amend",
		V(OPT_UPDATABLE).value != NULL, "type", "vm-function", "code",
		"encoding", encoding, "entrypoint", entrypoint, "ref",
		code_ref, "interface", strchr(entrypoint, ':') ? "asgi" :
		"binary", "use_latest", true, "runtime", "ref", runtime,
		"use_latest", true, "comment", "", "on", "http", true,
		"persistent", V(OPT_PERSISTENT).value != NULL, "environment",
		"reproducible", false, "internet",
		V(OPT_INTERNET).value != NULL, "aleph_api", true,
		"shared_cache", false, "resources", "vcpus",
		(json_int_t)cli_number(&V(OPT_VCPUS), "vcpus", 1, 1, 256),
		"memory", (json_int_t)cli_number(&V(OPT_MEMORY), "memory", 256,
						 1, 1048576), "seconds",
		(json_int_t)cli_number(&V(OPT_TIMEOUT), "timeout", 30, 1,
				       315360000), "variables",
		variables(values), "volumes", volumes(values),
		"authorized_keys", "payment", "chain", "ETH", "type",
		V(OPT_PAYMENT).value ? V(OPT_PAYMENT).value : "hold");
	json_t *needs = requirements(values);

	if (V(OPT_NAME).value)
		json_object_set_new(content, "metadata", json_pack(
			"{s:s}", "name", V(OPT_NAME).value));
	if (json_object_size(needs))
		json_object_set(content, "requirements", needs);
	json_decref(needs);
	return content;
}

/* What it costs and what there is; the CCN has the last word, so nothing is
 * refused here. */
static int show_price(struct cli *cli, const struct eth_key *key,
		      json_t *content, double now)
{
	char path[160], *text;
	struct fault fault;
	json_t *answer = NULL, *envelope = NULL, *body;
	int status = 0, code;

	code = cli_ccn(cli, "GET", "/api/v0/aggregates/" PRICES
		       ".json?keys=pricing", NULL, NULL, 0, &status, &answer);
	json_decref(answer);
	if (code || aleph_message_make(key, ALEPH_PROGRAM, content, now,
				       "ALEPH-CLOUDSOLUTIONS", &envelope,
				       &fault))
		return code ? code : cli_fail(CLI_FAILED, "%s", fault.text);
	snprintf(path, sizeof path, "0x%0130d", 0);
	json_object_set_new(envelope, "signature", json_string(path));
	body = json_pack("{s:o}", "message", envelope);
	text = json_dumps(body, JSON_COMPACT);
	code = cli_ccn(cli, "POST", "/api/v0/price/estimate",
		       "application/json", text, strlen(text), &status,
		       &answer);
	free(text);
	json_decref(body);
	if (code == 0 && status == 200 && json_is_string(
			json_object_get(answer, "cost")))
		fprintf(stderr, "cost: %s (%s)\n", json_string_value(
			json_object_get(answer, "cost")), json_string_value(
			json_object_get(answer, "payment_type")));
	json_decref(answer);
	if (code)
		return code;
	snprintf(path, sizeof path, "/api/v0/addresses/%s/balance",
		 key->address);
	code = cli_ccn(cli, "GET", path, NULL, NULL, 0, &status, &answer);
	json_decref(answer);
	return code;
}

static int wait_running(struct cli *cli, const char *hash, uint64_t seconds)
{
	char path[160], state[64], why[512];
	time_t until = time(NULL) + (time_t)seconds;
	json_t *answer = NULL;
	bool running = false;

	cli_progress_begin(cli, "waiting until it runs");
	snprintf(path, sizeof path, "/admin/v1/programs/%s/where", hash);
	snprintf(why, sizeof why, "the scheduler has not seen the message");
	while (!running && time(NULL) <= until) {
		int code = cli_get(cli, path, true, &answer);

		if (code == 0) {
			cli_value(answer, "state", CELL_TEXT, state,
				  sizeof state);
			running = strcmp(state, "running") == 0;
			cli_value(answer, json_is_object(json_object_get(
					answer, "reason")) ?
				  "reason.message" : "reason", CELL_TEXT, why,
				  sizeof why);
			json_decref(answer);
		} else if (code != CLI_UNKNOWN && code != CLI_NO_LEADER) {
			return code;
		}
		if (!running)
			usleep(100000);
	}
	cli_progress_end(cli, running ? "it runs" : "it does not run");
	return running ? CLI_DONE :
	       cli_fail(CLI_NOT_PLACED, "not running after %" PRIu64 " s: %s",
			seconds, why);
}

static void show_hash(struct cli *cli, const char *hash, const char *code_ref)
{
	if (cli->json)
		printf("{\"program\": \"%s\", \"code\": \"%s\"}\n", hash,
		       code_ref);
	else
		printf("%s\n", hash);
	fflush(stdout);
}

double cli_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)(now.tv_nsec / 1000000) / 1000;
}

static int publish(struct cli *cli, const struct eth_key *key,
		   const struct cli_option_value *values, const char *path,
		   const char *entrypoint, char hash[65])
{
	const char *encoding = NULL;
	char code_ref[65];
	struct fault fault;
	struct aleph_program *check;
	json_t *content;
	void *data = NULL;
	size_t size = 0;
	double now = cli_now();
	int code;

	if (archive_make(path, &encoding, &data, &size, &fault))
		return cli_fail(CLI_FAILED, "%s", fault.text);
	code = cli_store(cli, key, data, size, NULL, now, code_ref);
	free(data);
	if (code)
		return code;
	content = program_content(key, values, entrypoint, encoding, code_ref,
				  now);
	check = calloc(1, sizeof *check);
	if (!content || !check ||
	    aleph_program_parse(content, ALEPH_PROGRAM, check, &fault))
		code = cli_fail(CLI_USAGE, "%s", content && check ? fault.text :
				"a word is not valid UTF-8");
	free(check);
	if (code == 0)
		code = show_price(cli, key, content, now);
	if (code == 0)
		code = cli_publish(cli, key, ALEPH_PROGRAM, content, true,
				   hash);
	if (code == 0)
		show_hash(cli, hash, code_ref);
	json_decref(content);
	return code;
}

CLI_COMMAND(cmd_program_upload)
{
	struct cli_option_value values[OPTION_COUNT];
	const char *words[2];
	struct eth_key key;
	char hash[65];
	uint64_t wait;
	int code;

	memset(values, 0, sizeof values);
	cli_parse(cli, command, argc, argv, options, values, 2, 2, words);
	wait = cli_number(&V(OPT_WAIT), "wait", 0, 1, 86400);
	if (V(OPT_PAYMENT).value && strcmp(V(OPT_PAYMENT).value, "hold") &&
	    strcmp(V(OPT_PAYMENT).value, "credit"))
		return cli_fail(CLI_USAGE, "--payment takes hold or credit,"
				" not \"%s\"", V(OPT_PAYMENT).value);
	code = cli_key(cli, true, &key);
	if (code == 0)
		code = publish(cli, &key, values, words[0], words[1], hash);
	if (code == 0 && wait)
		code = wait_running(cli, hash, wait);
	return code;
}
