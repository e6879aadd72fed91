/* What clients send: messages and files. */
#include <stdio.h>
#include <stdlib.h>

#include "node/ccn/multipart.h"
#include "node/ccn/routes.h"
#include "node/lib/cid.h"
#include "node/lib/clock.h"
#include "node/lib/crypto.h"

int routes__status(enum ccn_status status)
{
	switch (status) {
	case CCN_PENDING:
		return 202;
	case CCN_PROCESSED:
		return 200;
	case CCN_REJECTED:
		return 422;
	case CCN_FORGOTTEN:
		return 410;
	}
	return 500;
}

static int post(struct ccn *ccn, const json_t *envelope,
		const struct ccn_record **out, struct fault *fault)
{
	int rc;

	if (!json_is_object(envelope))
		return fault_set(fault, BERTH_MALFORMED, "message: missing");
	rc = ccn_post(ccn, envelope, clock_wall_ms() * 1000, out, fault);
	/* A field above its limit makes it no message: 422, not 413. */
	if (rc == BERTH_TOOBIG)
		rc = fault->code = BERTH_INVALID;
	return rc;
}

static void answer_posted(struct httpd_request *request,
			  const struct ccn_record *record)
{
	struct json_writer w;

	jsonw_init(&w);
	jsonw_object(&w, NULL);
	jsonw_object(&w, "publication_status");
	jsonw_string(&w, "status", "success");
	jsonw_array(&w, "failed");
	jsonw_array_end(&w);
	jsonw_object_end(&w);
	jsonw_string(&w, "message_status", ccn_status_name(record->status));
	jsonw_object_end(&w);
	routes__answer(request, routes__status(record->status), &w);
}

/* `sync` needs no waiting: the verdict is there when the disk has it. */
void routes__post_message(struct ccn *ccn, struct httpd_request *request,
			  const char *rest)
{
	const struct ccn_record *record;
	json_t *body = NULL;
	struct fault fault;
	const void *data;
	size_t size;
	int rc;

	(void)rest;
	data = httpd_body(request, &size);
	rc = json_parse(data, size, ALEPH_MESSAGE_SIZE_MAX, &body, &fault);
	if (rc == BERTH_OK)
		rc = post(ccn, json_object_get(body, "message"), &record,
			  &fault);
	json_decref(body);
	if (rc == BERTH_OK)
		answer_posted(request, record);
	else
		routes__fail(request, &fault);
}

/* What clients of old nodes send: {"topic", "data": the message as text}. */
void routes__pubsub(struct ccn *ccn, struct httpd_request *request,
		    const char *rest)
{
	const struct ccn_record *record;
	json_t *body = NULL, *envelope = NULL;
	struct fault fault;
	const void *data;
	size_t size;
	int rc;

	(void)rest;
	data = httpd_body(request, &size);
	rc = json_parse(data, size, 2 * ALEPH_MESSAGE_SIZE_MAX, &body, &fault);
	if (rc == BERTH_OK) {
		const json_t *text = json_object_get(body, "data");

		rc = json_is_string(text) ?
			json_parse(json_string_value(text),
				   json_string_length(text),
				   ALEPH_MESSAGE_SIZE_MAX, &envelope, &fault) :
			fault_set(&fault, BERTH_MALFORMED, "data: missing");
	}
	if (rc == BERTH_OK)
		rc = post(ccn, envelope, &record, &fault);
	json_decref(body);
	json_decref(envelope);
	if (rc == BERTH_OK)
		answer_posted(request, record);
	else
		routes__fail(request, &fault);
}

static void answer_stored(struct httpd_request *request, int status,
			  const char *hash)
{
	struct json_writer w;

	jsonw_init(&w);
	jsonw_object(&w, NULL);
	jsonw_string(&w, "status", "success");
	jsonw_string(&w, "hash", hash);
	jsonw_object_end(&w);
	routes__answer(request, status, &w);
}

/* A multipart body's `file`, or the whole of any other. */
static int file_of(struct httpd_request *request, struct multipart *parts,
		   const void **data, size_t *size, struct fault *fault)
{
	const char *type = httpd_header(request, "content-type");
	const struct multipart_part *file;
	int rc;

	parts->count = 0;
	*data = httpd_body(request, size);
	if (!multipart_is(type))
		return BERTH_OK;
	rc = multipart_parse(type, *data, *size, parts, fault);
	if (rc != BERTH_OK)
		return rc;
	file = multipart_find(parts, "file");
	if (!file)
		return fault_set(fault, BERTH_MALFORMED,
				 "multipart body: no part named file");
	*data = file->data;
	*size = file->size;
	return BERTH_OK;
}

/* The signed STORE that comes with a file must be of this file. Nothing is
 * kept before that is known. */
static int check_store(const json_t *envelope, const void *data, size_t size,
		       struct fault *fault)
{
	struct aleph_message message;
	struct hash hash;
	const char *said;
	char text[65];
	int rc;

	rc = aleph_message_parse(envelope, &message, fault);
	if (rc != BERTH_OK)
		return rc;
	rc = aleph_message_verify(&message, fault);
	if (rc == BERTH_OK && message.type != ALEPH_STORE)
		rc = fault_set(fault, BERTH_INVALID,
			       "metadata.message: not a STORE");
	if (rc == BERTH_OK)
		rc = aleph_content_check(&message, fault);
	if (rc == BERTH_OK) {
		crypto_sha256(data, size, &hash);
		hash_text(&hash, text);
		said = json_string_value(json_object_get(message.content,
							 "item_hash"));
		if (strcmp(said, text) != 0)
			rc = fault_set(fault, BERTH_MISMATCH, "metadata."
				       "message: content.item_hash is %s, the "
				       "file's is %s", said, text);
	}
	aleph_message_fini(&message);
	return rc;
}

static int add_signed(struct ccn *ccn, const struct multipart_part *metadata,
		      const void *data, size_t size,
		      const struct ccn_file **file,
		      const struct ccn_record **record, struct fault *fault)
{
	const json_t *envelope;
	json_t *json;
	int rc;

	rc = json_parse(metadata->data, metadata->size,
			ALEPH_MESSAGE_SIZE_MAX, &json, fault);
	if (rc != BERTH_OK) {
		fault_wrap(fault, "metadata");
		return rc;
	}
	envelope = json_object_get(json, "message");
	rc = check_store(envelope, data, size, fault);
	if (rc == BERTH_OK)
		rc = ccn_file_add(ccn, data, size, NULL, file, fault);
	if (rc == BERTH_OK)
		rc = post(ccn, envelope, record, fault);
	json_decref(json);
	return rc;
}

void routes__add_file(struct ccn *ccn, struct httpd_request *request,
		      const char *rest)
{
	const struct ccn_record *record = NULL;
	const struct multipart_part *metadata;
	const struct ccn_file *file;
	struct multipart parts;
	struct fault fault;
	const void *data;
	size_t size;
	int rc;

	(void)rest;
	rc = file_of(request, &parts, &data, &size, &fault);
	metadata = rc == BERTH_OK ? multipart_find(&parts, "metadata") : NULL;
	if (metadata)
		rc = add_signed(ccn, metadata, data, size, &file, &record,
				&fault);
	else if (rc == BERTH_OK && size > CCN_PLAIN_FILE_SIZE_MAX)
		rc = fault_set(&fault, BERTH_TOOBIG, "file: %zu bytes are "
			       "above %u without a signed STORE", size,
			       CCN_PLAIN_FILE_SIZE_MAX);
	else if (rc == BERTH_OK)
		rc = ccn_file_add(ccn, data, size, NULL, &file, &fault);
	if (rc == BERTH_DENIED)
		httpd_respond_error(request, 403, "denied", "%s", fault.text);
	else if (rc != BERTH_OK)
		routes__fail(request, &fault);
	else
		answer_stored(request,
			      record ? routes__status(record->status) : 200,
			      file->hash);
}

void routes__add_file_ipfs(struct ccn *ccn, struct httpd_request *request,
			   const char *rest)
{
	const struct ccn_file *file;
	struct multipart parts;
	char cid[CID_TEXT_SIZE];
	struct hash digest;
	struct fault fault;
	const void *data;
	size_t size;
	int rc;

	(void)rest;
	rc = file_of(request, &parts, &data, &size, &fault);
	if (rc == BERTH_OK) {
		cid_of_file(data, size, &digest);
		cid_text(&digest, cid);
		rc = ccn_file_add(ccn, data, size, cid, &file, &fault);
	}
	if (rc == BERTH_OK)
		answer_stored(request, 200, file->cid);
	else
		routes__fail(request, &fault);
}

static void add_json(struct ccn *ccn, struct httpd_request *request, bool ipfs)
{
	const struct ccn_file *file;
	char cid[CID_TEXT_SIZE];
	struct hash digest;
	struct fault fault;
	const void *data;
	json_t *json;
	size_t size;
	int rc;

	data = httpd_body(request, &size);
	rc = json_parse(data, size, CCN_PLAIN_FILE_SIZE_MAX, &json, &fault);
	if (rc == BERTH_OK) {
		json_decref(json);
		cid_of_file(data, size, &digest);
		cid_text(&digest, cid);
		rc = ccn_file_add(ccn, data, size, ipfs ? cid : NULL, &file,
				  &fault);
	}
	if (rc == BERTH_OK)
		answer_stored(request, 200, ipfs ? file->cid : file->hash);
	else
		routes__fail(request, &fault);
}

void routes__add_json(struct ccn *ccn, struct httpd_request *request,
		      const char *rest)
{
	(void)rest;
	add_json(ccn, request, false);
}

void routes__add_json_ipfs(struct ccn *ccn, struct httpd_request *request,
			   const char *rest)
{
	(void)rest;
	add_json(ccn, request, true);
}
