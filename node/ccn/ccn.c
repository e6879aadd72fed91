#include "node/ccn/ccn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "node/ccn/files.h"
#include "node/lib/crypto.h"

const char *ccn_status_name(enum ccn_status status)
{
	static const char *const names[] = {
		[CCN_PENDING] = "pending",     [CCN_PROCESSED] = "processed",
		[CCN_REJECTED] = "rejected",   [CCN_FORGOTTEN] = "forgotten",
	};

	return names[status];
}

const struct ccn_record *ccn_find(const struct ccn *ccn, const char *item_hash)
{
	return map_find(&ccn->by_hash, item_hash);
}

const struct ccn_file *ccn_file_find(const struct ccn *ccn, const char *hash)
{
	return map_find(&ccn->file_map, hash);
}

int ccn_file_read(const struct ccn *ccn, const struct ccn_file *file,
		  void **out, struct fault *fault)
{
	return files_read(ccn->files, file->hash, file->size, out, fault);
}

static void record_free(struct ccn_record *record)
{
	if (record)
		aleph_message_fini(&record->message);
	free(record);
}

/* What waited may go on now; what goes on may free others. */
static void process_pending(struct ccn *ccn)
{
	struct ccn_record *r;
	bool moved = ccn->pending_count > 0;

	while (moved) {
		moved = false;
		for (uint32_t i = 0; i < ccn->record_count; i++) {
			r = ccn->records[i];
			if (r->status != CCN_PENDING)
				continue;
			ccn__process(ccn, r);
			if (r->status == CCN_PENDING)
				continue;
			ccn->pending_count--;
			moved = true;
		}
	}
}

/* Puts a new record in, or in the place of a rejected one. */
static int record_place(struct ccn *ccn, struct ccn_record *record)
{
	const char *hash = record->message.item_hash;
	struct ccn_record *old = map_find(&ccn->by_hash, hash), **grown;
	uint32_t capacity = ccn->record_capacity ? 2 * ccn->record_capacity :
						   64;
	uint32_t i = ccn->record_count;

	if (i == ccn->record_capacity) {
		grown = realloc(ccn->records, capacity * sizeof *grown);
		if (!grown)
			return BERTH_NOMEM;
		ccn->records = grown;
		ccn->record_capacity = capacity;
	}
	if (map_put(&ccn->by_hash, hash, record) != BERTH_OK)
		return BERTH_NOMEM;
	if (old) {
		for (i = 0; ccn->records[i] != old; i++)
			;
		record_free(old);
		/* It arrives now: the later ones stay in order. */
		memmove(ccn->records + i, ccn->records + i + 1,
			(ccn->record_count - i - 1) * sizeof *ccn->records);
		ccn->record_count--;
	}
	ccn->records[ccn->record_count++] = record;
	return BERTH_OK;
}

static void apply_record(struct ccn *ccn, struct ccn_record *record)
{
	if (record->status == CCN_PENDING) {
		ccn__process(ccn, record);
		if (record->status == CCN_PENDING)
			ccn->pending_count++;
	}
	if (record->status == CCN_PROCESSED)
		process_pending(ccn);
}

static int apply_file(struct ccn *ccn, const char *hash, const char *cid,
		      uint64_t size)
{
	struct ccn_file *file = map_find(&ccn->file_map, hash);

	if (!file) {
		file = calloc(1, sizeof *file);
		if (!file)
			return BERTH_NOMEM;
		snprintf(file->hash, sizeof file->hash, "%s", hash);
		file->size = size;
		if (map_put(&ccn->file_map, file->hash, file) != BERTH_OK) {
			free(file);
			return BERTH_NOMEM;
		}
		ccn->file_count++;
	}
	if (cid && !file->cid[0]) {
		snprintf(file->cid, sizeof file->cid, "%s", cid);
		if (map_put(&ccn->file_map, file->cid, file) != BERTH_OK)
			return BERTH_NOMEM;
	}
	process_pending(ccn);
	return BERTH_OK;
}

/* The journal's records. A message: {"at", "envelope"} and, when the signature
 * did not hold, {"code", "error"}. A file: {"file", "cid", "size"}. */

static int take_message(struct ccn *ccn, const json_t *event,
			struct fault *fault)
{
	const json_t *code = json_object_get(event, "code");
	const char *why = json_string_value(json_object_get(event, "error"));
	struct ccn_record *record = calloc(1, sizeof *record);
	int rc;

	if (!record)
		return fault_set(fault, BERTH_NOMEM, "message: no memory");
	rc = aleph_message_parse(json_object_get(event, "envelope"),
				 &record->message, fault);
	if (rc == BERTH_OK) {
		record->status = CCN_PENDING;
		record->reception_us = (uint64_t)json_integer_value(
			json_object_get(event, "at"));
		if (code)
			ccn__reject(record, (int)json_integer_value(code),
				    "%s", why ? why : "");
		rc = record_place(ccn, record);
		if (rc == BERTH_OK) {
			apply_record(ccn, record);
			return BERTH_OK;
		}
		fault_set(fault, rc, "message: no memory");
	}
	record_free(record);
	return rc;
}

static int take_file(struct ccn *ccn, const json_t *event,
		     struct fault *fault)
{
	const char *hash = json_string_value(json_object_get(event, "file"));
	json_int_t size = json_integer_value(json_object_get(event, "size"));

	if (!hash || strlen(hash) != 64 || size < 0)
		return fault_set(fault, BERTH_CORRUPT, "not a known record");
	if (apply_file(ccn, hash,
		       json_string_value(json_object_get(event, "cid")),
		       (uint64_t)size) != BERTH_OK)
		return fault_set(fault, BERTH_NOMEM, "file: no memory");
	return BERTH_OK;
}

static int take_event(struct ccn *ccn, const json_t *event,
		      struct fault *fault)
{
	return json_object_get(event, "envelope") ?
		       take_message(ccn, event, fault) :
		       take_file(ccn, event, fault);
}

static int take_payload(void *ctx, const char *payload, size_t size,
			struct fault *fault)
{
	json_t *event;
	int rc;

	rc = json_parse(payload, size, JOURNAL_PAYLOAD_SIZE_MAX, &event,
			fault);
	if (rc != BERTH_OK)
		return rc;
	rc = take_event(ctx, event, fault);
	json_decref(event);
	return rc;
}

static int commit(struct ccn *ccn, const json_t *event, struct fault *fault)
{
	char *text = json_dumps(event, JSON_COMPACT);
	int rc;

	if (!text)
		return fault_set(fault, BERTH_NOMEM, "journal: no memory");
	rc = journal_append(&ccn->journal, text, strlen(text), fault);
	free(text);
	if (rc == BERTH_OK)
		rc = take_event(ccn, event, fault);
	return rc;
}

/* What is kept of a message is what was signed, and no more. */
static json_t *event_make(const json_t *envelope, uint64_t now_us)
{
	static const char *const kept[] = { "sender", "chain", "signature",
		"type", "item_hash", "item_type", "item_content", "time",
		"channel" };
	json_t *inner = json_object(), *event = json_object(), *value;

	for (size_t i = 0; i < COUNT_OF(kept); i++) {
		value = json_object_get(envelope, kept[i]);
		if (value)
			json_object_set(inner, kept[i], value);
	}
	if (json_object_set_new(event, "at", json_integer(
				(json_int_t)now_us)) == 0 &&
	    json_object_set_new(event, "envelope", inner) == 0)
		return event;
	json_decref(event);
	return NULL;
}

static int post_new(struct ccn *ccn, const json_t *envelope, uint64_t now_us,
		    const struct fault *refused, struct fault *fault)
{
	json_t *event;
	int rc;

	if (ccn->record_count >= CCN_RECORDS_MAX ||
	    ccn->pending_count >= CCN_PENDING_MAX)
		return fault_set(fault, BERTH_BUSY, "too many messages: %u, "
				 "of them %u pending", ccn->record_count,
				 ccn->pending_count);
	event = event_make(envelope, now_us);
	if (!event)
		return fault_set(fault, BERTH_NOMEM, "message: no memory");
	if (refused->code != BERTH_OK) {
		json_object_set_new(event, "code", json_integer(
			refused->code == BERTH_MISMATCH ? CCN_CODE_FORMAT :
							  CCN_CODE_SIGNATURE));
		json_object_set_new(event, "error",
				    json_string(refused->text));
	}
	rc = commit(ccn, event, fault);
	json_decref(event);
	return rc;
}

int ccn_post(struct ccn *ccn, const json_t *envelope, uint64_t now_us,
	     const struct ccn_record **out, struct fault *fault)
{
	struct fault refused = { .code = BERTH_OK };
	struct aleph_message message;
	const struct ccn_record *known;
	int rc;

	rc = aleph_message_parse(envelope, &message, fault);
	if (rc != BERTH_OK)
		return rc;
	known = ccn_find(ccn, message.item_hash);
	/* Known, and not refused before: acknowledged once more. */
	if (!known || known->status == CCN_REJECTED) {
		if (aleph_message_verify(&message, &refused) == BERTH_NOMEM)
			rc = fault_set(fault, BERTH_NOMEM, "no memory");
		else if (!known || refused.code == BERTH_OK)
			rc = post_new(ccn, envelope, now_us, &refused, fault);
	}
	if (rc == BERTH_OK)
		*out = ccn_find(ccn, message.item_hash);
	aleph_message_fini(&message);
	return rc;
}

int ccn_file_add(struct ccn *ccn, const void *data, size_t size,
		 const char *cid, const struct ccn_file **out,
		 struct fault *fault)
{
	const struct ccn_file *known;
	struct hash hash;
	json_t *event;
	char text[65];
	int rc;

	if (size > CCN_FILE_SIZE_MAX)
		return fault_set(fault, BERTH_TOOBIG, "file: %zu bytes are "
				 "above %u", size, CCN_FILE_SIZE_MAX);
	crypto_sha256(data, size, &hash);
	hash_text(&hash, text);
	known = ccn_file_find(ccn, text);
	if (!known || (cid && !known->cid[0])) {
		rc = files_write(ccn->files, text, data, size, fault);
		if (rc != BERTH_OK)
			return rc;
		event = json_pack("{ss sI ss*}", "file", text, "size",
				  (json_int_t)size, "cid", cid);
		if (!event)
			return fault_set(fault, BERTH_NOMEM, "no memory");
		rc = commit(ccn, event, fault);
		json_decref(event);
		if (rc != BERTH_OK)
			return rc;
	}
	*out = ccn_file_find(ccn, text);
	return BERTH_OK;
}

static int lock(struct ccn *ccn, struct fault *fault)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/lock", ccn->directory);
	ccn->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (ccn->lock_fd < 0)
		return fault_set(fault, BERTH_IO, "%s: %s", path,
				 strerror(errno));
	if (flock(ccn->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return fault_set(fault, BERTH_BUSY, "%s: another berth-ccn "
				 "uses this folder", ccn->directory);
	return BERTH_OK;
}

static int open_directory(struct ccn *ccn, const char *directory,
			  struct fault *fault)
{
	char path[PATH_MAX];
	int rc;

	if (strlen(directory) > PATH_MAX - 80)
		return fault_set(fault, BERTH_INVALID, "%s: name too long",
				 directory);
	snprintf(path, sizeof path, "%s/files", directory);
	ccn->directory = strdup(directory);
	ccn->files = strdup(path);
	if (!ccn->directory || !ccn->files)
		return fault_set(fault, BERTH_NOMEM, "no memory");
	rc = files_directory(ccn->directory, fault);
	if (rc == BERTH_OK)
		rc = lock(ccn, fault);
	if (rc == BERTH_OK)
		rc = files_directory(ccn->files, fault);
	if (rc != BERTH_OK)
		return rc;
	files_sweep(ccn->files);
	snprintf(path, sizeof path, "%s/journal", directory);
	return journal_open(&ccn->journal, path, take_payload, ccn, &ccn->cut,
			    fault);
}

int ccn_open(struct ccn **out, const char *directory, struct fault *fault)
{
	struct ccn *ccn = calloc(1, sizeof *ccn);
	int rc;

	if (!ccn)
		return fault_set(fault, BERTH_NOMEM, "no memory");
	ccn->lock_fd = ccn->journal.fd = -1;
	map_init(&ccn->by_hash);
	map_init(&ccn->file_map);
	rc = open_directory(ccn, directory, fault);
	if (rc == BERTH_OK)
		*out = ccn;
	else
		ccn_close(ccn);
	return rc;
}

void ccn_close(struct ccn *ccn)
{
	struct ccn_file *file;

	for (uint32_t i = 0; i < ccn->record_count; i++)
		record_free(ccn->records[i]);
	free(ccn->records);
	for (size_t i = 0; i < ccn->file_map.capacity; i++) {
		file = ccn->file_map.entries[i].value;
		/* A file stands there under two names: free it by one. */
		if (file && ccn->file_map.entries[i].key == file->hash)
			free(file);
	}
	map_fini(&ccn->file_map);
	map_fini(&ccn->by_hash);
	journal_close(&ccn->journal);
	if (ccn->lock_fd >= 0)
		close(ccn->lock_fd);
	free(ccn->directory);
	free(ccn->files);
	free(ccn);
}
