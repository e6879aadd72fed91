#include "node/agent/prepare_reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#include "node/lib/crypto.h"
#include "node/lib/log.h"

/* Unpacking outlives a cancelled reference. */
struct reference_work {
	uv_work_t work;
	struct reference *reference;
	enum aleph_encoding encoding;
	char file[PREPARE_PATH_MAX], directory[PREPARE_PATH_MAX];
	char name[256];
	struct fault fault;
	int code;
};

static void fail(struct reference *r, const struct fault *fault)
{
	char text[65];

	if (fault != &r->fault)
		r->fault = *fault;
	hash_text(&r->ref, text);
	fault_wrap(&r->fault, "code or volume %.16s", text);
	r->done(r, r->fault.code);
}

static void unpack_work(uv_work_t *work)
{
	struct reference_work *w = work->data;

	w->code = archive_unpack(w->file, w->encoding, w->name, w->directory,
				 &w->fault);
}

static bool is_directory(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static void unpack_done(uv_work_t *work, int status)
{
	struct reference_work *w = work->data;
	struct reference *r = w->reference;

	(void)status;
	if (r) {
		r->work = NULL;
		/* Another job may have unpacked the same in the meantime. */
		if (w->code == 0 || is_directory(w->directory)) {
			memcpy(r->path, w->directory, sizeof r->path);
			r->done(r, 0);
		} else {
			fail(r, &w->fault);
		}
	}
	free(w);
}

static void suffix_for(const struct reference *r, char *text, size_t size)
{
	/* The digest of a CID is the sha256 of another file than the CID's. */
	const char *kind = r->file.ipfs ? "-ipfs" : "";
	struct hash name;
	char hex[65];

	if (r->encoding != ENCODING_PLAIN) {
		snprintf(text, size, "%s-%s", kind, r->encoding ==
			 ENCODING_ZIP ? "zip" : "squashfs");
		return;
	}
	crypto_sha256(r->name, strlen(r->name), &name);
	hash_text(&name, hex);
	snprintf(text, size, "%s-plain-%.16s", kind, hex);
}

static void got_file(struct fetch *fetch, const char *path, size_t size)
{
	struct reference *r = fetch->ctx;
	struct reference_work *w;
	char suffix[64];

	(void)size;
	if (!path) {
		fail(r, &fetch->fault);
		return;
	}
	w = calloc(1, sizeof *w);
	suffix_for(r, suffix, sizeof suffix);
	if (!w || cache_path(&r->agent->config, "code", &r->file.digest, suffix,
			     w->directory) != 0) {
		free(w);
		fault_set(&r->fault, BERTH_NOMEM, "unpack");
		fail(r, &r->fault);
		return;
	}
	w->work.data = w;
	w->reference = r;
	w->encoding = r->encoding;
	snprintf(w->file, sizeof w->file, "%s", path);
	memcpy(w->name, r->name, sizeof w->name);
	if (is_directory(w->directory)) {
		memcpy(r->path, w->directory, sizeof r->path);
		free(w);
		r->done(r, 0);
		return;
	}
	r->work = w;
	if (uv_queue_work(r->agent->loop, &w->work, unpack_work,
			  unpack_done) < 0) {
		r->work = NULL;
		free(w);
		fault_set(&r->fault, BERTH_IO, "unpack: no pool");
		fail(r, &r->fault);
	}
}

/* The file's hash and the owner out of a STORE's item_content. */
static int read_store(struct reference *r, const char *data, size_t size)
{
	json_t *content;
	const char *text, *type, *owner;
	int code = json_parse(data, size, ALEPH_MESSAGE_SIZE_MAX, &content,
			      &r->fault);

	if (code != 0)
		return code;
	text = json_string_value(json_object_get(content, "item_hash"));
	type = json_string_value(json_object_get(content, "item_type"));
	owner = json_string_value(json_object_get(content, "address"));
	if (!text || !type || !owner)
		code = fault_set(&r->fault, BERTH_INVALID,
				 "is no STORE message");
	else if (file_name_parse(type, text, &r->file) != 0)
		code = fault_set(&r->fault, BERTH_INVALID,
				 "is kept as %.20s %.80s: neither a sha256"
				 " nor a CIDv0", type, text);
	else
		snprintf(r->owner, sizeof r->owner, "%s", owner);
	json_decref(content);
	return code;
}

/* Which STORE was the newest when a CCN was last asked: for the times when
 * none answers. */
static void latest_put(struct reference *r)
{
	char path[PREPARE_PATH_MAX], text[FILE_NAME_TEXT_SIZE];
	struct fault fault;

	file_name_text(&r->file, text);
	if (cache_path(&r->agent->config, "latest", &r->ref, "", path) == 0 &&
	    agent_file_write(path, text, strlen(text), 0644, &fault) != 0)
		log_warn("prepare", "%s", fault.text);
}

static void latest_cached(struct reference *r)
{
	char path[PREPARE_PATH_MAX], *text;
	struct fault fault;
	size_t size;

	if (cache_path(&r->agent->config, "latest", &r->ref, "", path) != 0 ||
	    agent_file_read(path, 64, &text, &size, &fault) != 0)
		return;
	if (file_name_parse(text[0] == 'Q' ? "ipfs" : "storage", text,
			    &r->file) == 0)
		log_warn("prepare", "no CCN tells the newest code: the last known is taken");
	free(text);
}

static void got_latest(struct fetch *fetch, const char *data, size_t size)
{
	struct reference *r = fetch->ctx;
	struct file_name file = r->file;

	if (!data)
		latest_cached(r);
	/* size 0: there is none newer. */
	else if (size > 0 && read_store(r, data, size) != 0)
		r->file = file;
	if (data)
		latest_put(r);
	fetch_file(&r->fetch, &r->file, got_file);
}

static void have_message(struct reference *r, const char *data, size_t size)
{
	if (read_store(r, data, size) != 0) {
		fail(r, &r->fault);
		return;
	}
	if (r->use_latest)
		fetch_latest(&r->fetch, &r->ref, r->owner, got_latest);
	else
		fetch_file(&r->fetch, &r->file, got_file);
}

static void got_message(struct fetch *fetch, const char *data, size_t size)
{
	struct reference *r = fetch->ctx;

	if (!data) {
		fail(r, &fetch->fault);
		return;
	}
	cache_message_put(&r->agent->config, &r->ref, data, size);
	have_message(r, data, size);
}

void reference_start(struct reference *r)
{
	size_t size;
	char *cached;

	r->fetch.agent = r->agent;
	r->fetch.ctx = r;
	cached = cache_message(&r->agent->config, &r->ref, &size);
	if (!cached) {
		fetch_message(&r->fetch, &r->ref, got_message);
		return;
	}
	have_message(r, cached, size);
	free(cached);
}

void reference_cancel(struct reference *r)
{
	fetch_cancel(&r->fetch);
	if (r->work)
		r->work->reference = NULL;
	r->work = NULL;
}
