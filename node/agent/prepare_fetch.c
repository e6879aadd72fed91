#include "node/agent/prepare_fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#include "node/agent/cache.h"
#include "node/lib/cid.h"
#include "node/lib/crypto.h"
#include "node/lib/log.h"

#define MESSAGE_TIMEOUT_MS 10000u
#define FILE_TIMEOUT_MS 300000u
#define CONNECT_MS 3000u
#define PAGE_SIZE_MAX (16u << 20)

/* Outlives its fetch when that is cancelled: the client can not be told. */
struct fetch_call {
	struct fetch *fetch;
};

static void ask_next(struct fetch *fetch);

int cache_path(const struct agent_config *config, const char *kind,
	       const struct hash *hash, const char *suffix,
	       char path[PREPARE_PATH_MAX])
{
	char text[65];

	hash_text(hash, text);
	if (snprintf(path, PREPARE_PATH_MAX, "%s/cache/%s/%s%s",
		     config->directory, kind, text, suffix) >=
	    (int)PREPARE_PATH_MAX)
		return BERTH_TOOBIG;
	return 0;
}

static bool has_hash(const void *data, size_t size, const struct hash *hash)
{
	struct hash found;

	crypto_sha256(data, size, &found);
	return hash_equal(&found, hash);
}

char *cache_message(const struct agent_config *config,
		    const struct hash *hash, size_t *size)
{
	char path[PREPARE_PATH_MAX], *data;
	struct fault fault;

	if (cache_path(config, "messages", hash, "", path) != 0 ||
	    agent_file_read(path, ALEPH_MESSAGE_SIZE_MAX, &data, size,
			    &fault) != 0)
		return NULL;
	if (has_hash(data, *size, hash)) {
		cache_touch(path);
		return data;
	}
	log_warn("prepare", "%s is damaged: fetched anew", path);
	free(data);
	return NULL;
}

void cache_message_put(const struct agent_config *config,
		       const struct hash *hash, const char *data, size_t size)
{
	char path[PREPARE_PATH_MAX];
	struct fault fault;

	if (cache_path(config, "messages", hash, "", path) == 0 &&
	    agent_file_write(path, data, size, 0644, &fault) != 0)
		log_warn("prepare", "%s", fault.text);
}

/* --- the round over the CCNs ------------------------------------------------ */

static void finish(struct fetch *fetch)
{
	char *data = fetch->data;

	fetch->data = NULL;
	fetch->done(fetch, data, data ? fetch->size : 0);
	free(data);
}

static int check_status(struct fetch *fetch, const struct http_answer *answer)
{
	if (answer->status == 0) {
		fetch->fault = answer->fault;
		return fetch->fault.code ? fetch->fault.code : BERTH_IO;
	}
	if (answer->status == 200)
		return 0;
	return fault_set(&fetch->fault, answer->status == 404 ?
			 BERTH_NOTFOUND : BERTH_IO, "HTTP status %d",
			 answer->status);
}

static void answered(void *ctx, const struct http_answer *answer)
{
	struct fetch_call *call = ctx;
	struct fetch *fetch = call->fetch;
	const char *ccn;
	int code;

	free(call);
	if (!fetch)
		return;
	fetch->call = NULL;
	code = check_status(fetch, answer);
	if (code == 0)
		code = fetch->use(fetch, answer);
	if (code == 0) {
		finish(fetch);
		return;
	}
	ccn = fetch->agent->config.ccns[fetch->ccn];
	fault_wrap(&fetch->fault, "%s", ccn);
	fetch->ccn++;
	ask_next(fetch);
}

static void ask_next(struct fetch *fetch)
{
	char url[512];
	char **ccns = fetch->agent->config.ccns;
	struct http_call http = { .method = "GET", .url = url,
		.connect_ms = CONNECT_MS, .answer_size_max = fetch->size_max,
		.follow = true };

	for (; ccns && ccns[fetch->ccn]; fetch->ccn++) {
		const char *ccn = ccns[fetch->ccn];
		size_t size = strlen(ccn);

		while (size > 0 && ccn[size - 1] == '/')
			size--;
		http.timeout_ms = fetch->size_max > PAGE_SIZE_MAX ?
				  FILE_TIMEOUT_MS : MESSAGE_TIMEOUT_MS;
		if (snprintf(url, sizeof url, "%.*s%s", (int)size, ccn,
			     fetch->query) >= (int)sizeof url)
			continue;
		fetch->call = calloc(1, sizeof *fetch->call);
		if (!fetch->call)
			break;
		fetch->call->fetch = fetch;
		http.ctx = fetch->call;
		if (http_client_send(fetch->agent->http, &http, answered) == 0)
			return;
		free(fetch->call);
		fetch->call = NULL;
	}
	if (fetch->fault.code == 0)
		fault_set(&fetch->fault, BERTH_NOTFOUND, "no CCN to ask");
	finish(fetch);
}

static void begin(struct fetch *fetch)
{
	fetch->ccn = 0;
	fetch->fault = (struct fault){ 0 };
	free(fetch->data);
	fetch->data = NULL;
	ask_next(fetch);
}

void fetch_cancel(struct fetch *fetch)
{
	if (fetch->call)
		fetch->call->fetch = NULL;
	fetch->call = NULL;
	free(fetch->data);
	fetch->data = NULL;
}

static int keep(struct fetch *fetch, const char *data, size_t size)
{
	fetch->data = malloc(size + 1);
	if (!fetch->data)
		return fault_set(&fetch->fault, BERTH_NOMEM, "out of memory");
	memcpy(fetch->data, data, size);
	fetch->data[size] = '\0';
	fetch->size = size;
	return 0;
}

/* --- messages ------------------------------------------------------------------ */

static int use_message(struct fetch *fetch, const struct http_answer *answer)
{
	json_t *root, *envelope, *text;
	int code = json_parse(answer->body, answer->body_size, PAGE_SIZE_MAX,
			      &root, &fetch->fault);

	if (code != 0)
		return code;
	envelope = json_object_get(root, "message");
	text = json_object_get(envelope, "item_content");
	if (!json_is_string(text))
		code = fault_set(&fetch->fault, BERTH_NOTFOUND,
				 "the message has no item_content");
	else if (!has_hash(json_string_value(text), json_string_length(text),
			   &fetch->hash))
		code = fault_set(&fetch->fault, BERTH_MISMATCH,
				 "item_content has another hash");
	else
		code = keep(fetch, json_string_value(text),
			    json_string_length(text));
	json_decref(root);
	return code;
}

static void query_hash(struct fetch *fetch, const char *before,
		       const struct hash *hash, const char *after)
{
	char text[65];

	hash_text(hash, text);
	fetch->hash = *hash;
	snprintf(fetch->query, sizeof fetch->query, "%s%s%s", before, text,
		 after);
}

void fetch_message(struct fetch *fetch, const struct hash *hash,
		   void (*done)(struct fetch *, const char *, size_t))
{
	query_hash(fetch, "/api/v0/messages/", hash, "");
	fetch->size_max = PAGE_SIZE_MAX;
	fetch->use = use_message;
	fetch->done = done;
	begin(fetch);
}

/* Is this envelope a STORE that its owner signed, about our ref? */
static bool is_successor(const struct fetch *fetch,
			 const struct aleph_message *m)
{
	const char *ref, *owner;
	char text[65];
	struct fault fault;

	if (m->type != ALEPH_STORE || !m->content)
		return false;
	ref = json_string_value(json_object_get(m->content, "ref"));
	owner = json_string_value(json_object_get(m->content, "address"));
	hash_text(&fetch->hash, text);
	return ref && owner && strcmp(ref, text) == 0 &&
	       strcasecmp(owner, fetch->owner) == 0 &&
	       strcasecmp(m->sender, owner) == 0 &&
	       aleph_message_verify(m, &fault) == 0;
}

static int use_latest(struct fetch *fetch, const struct http_answer *answer)
{
	json_t *root, *row;
	size_t index;
	double newest = -1;
	int code = json_parse(answer->body, answer->body_size, PAGE_SIZE_MAX,
			      &root, &fetch->fault);

	if (code != 0)
		return code;
	if (!json_is_array(json_object_get(root, "messages")))
		code = fault_set(&fetch->fault, BERTH_MALFORMED,
				 "no list of messages");
	json_array_foreach(json_object_get(root, "messages"), index, row) {
		struct aleph_message m;
		struct fault fault;

		if (code != 0 || aleph_message_parse(row, &m, &fault) != 0)
			continue;
		if (m.time > newest && is_successor(fetch, &m)) {
			free(fetch->data);
			fetch->data = NULL;
			newest = m.time;
			code = keep(fetch, m.item_content,
				    m.item_content_size);
		}
		aleph_message_fini(&m);
	}
	json_decref(root);
	if (code == 0 && !fetch->data)
		code = keep(fetch, "", 0);
	return code;
}

void fetch_latest(struct fetch *fetch, const struct hash *ref,
		  const char *owner,
		  void (*done)(struct fetch *, const char *, size_t))
{
	query_hash(fetch, "/api/v0/messages.json?msgTypes=STORE&refs=", ref,
		   "&sortOrder=-1&pagination=100&page=1");
	snprintf(fetch->owner, sizeof fetch->owner, "%s", owner);
	fetch->size_max = PAGE_SIZE_MAX;
	fetch->use = use_latest;
	fetch->done = done;
	begin(fetch);
}

/* --- files ---------------------------------------------------------------------- */

int file_name_parse(const char *item_type, const char *item_hash,
		    struct file_name *out)
{
	out->ipfs = strcmp(item_type, "ipfs") == 0;
	if (out->ipfs)
		return cid_parse(item_hash, &out->digest);
	return strcmp(item_type, "storage") == 0 ?
	       hash_parse(item_hash, &out->digest) : BERTH_MALFORMED;
}

void file_name_text(const struct file_name *name,
		    char text[FILE_NAME_TEXT_SIZE])
{
	if (name->ipfs)
		cid_text(&name->digest, text);
	else
		hash_text(&name->digest, text);
}

static int file_path(const struct fetch *fetch, char path[PREPARE_PATH_MAX])
{
	return cache_path(&fetch->agent->config, "files", &fetch->file.digest,
			  fetch->file.ipfs ? "-ipfs" : "", path);
}

/* A CID names one way to cut the file up; another way has another name for
 * the same bytes, and cannot be verified here. */
static int check_file(struct fetch *fetch, const struct http_answer *answer)
{
	struct hash digest;

	if (!fetch->file.ipfs)
		return has_hash(answer->body, answer->body_size,
				&fetch->file.digest) ? 0 :
		       fault_set(&fetch->fault, BERTH_MISMATCH,
				 "the file has another sha256");
	cid_of_file(answer->body, answer->body_size, &digest);
	return hash_equal(&digest, &fetch->file.digest) ? 0 :
	       fault_set(&fetch->fault, BERTH_MISMATCH, "the file has another"
			 " CID (only the default way of `ipfs add` can be"
			 " verified)");
}

static int use_file(struct fetch *fetch, const struct http_answer *answer)
{
	char path[PREPARE_PATH_MAX];
	int code = check_file(fetch, answer);

	if (code == 0)
		code = file_path(fetch, path);
	if (code == 0)
		code = agent_file_write(path, answer->body, answer->body_size,
					0644, &fetch->fault);
	return code == 0 ? keep(fetch, path, strlen(path)) : code;
}

void fetch_file(struct fetch *fetch, const struct file_name *name,
		void (*done)(struct fetch *, const char *, size_t))
{
	char path[PREPARE_PATH_MAX], text[FILE_NAME_TEXT_SIZE];
	struct stat status;

	fetch->file = *name;
	file_name_text(name, text);
	snprintf(fetch->query, sizeof fetch->query, "/api/v0/storage/raw/%s",
		 text);
	fetch->size_max = PREPARE_FILE_SIZE_MAX;
	fetch->use = use_file;
	fetch->done = done;
	/* It was hashed when it was written; unpacking tests its shape. */
	if (file_path(fetch, path) == 0 &&
	    stat(path, &status) == 0 && S_ISREG(status.st_mode)) {
		cache_touch(path);
		done(fetch, path, strlen(path));
		return;
	}
	begin(fetch);
}
