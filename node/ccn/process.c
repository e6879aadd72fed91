/* What becomes of a message: aleph.md 2.2, 2.3, 2.5. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "node/ccn/ccn.h"
#include "node/lib/crypto.h"

static void conclude(struct ccn_record *record, enum ccn_status status,
		     int code, const char *format, va_list args)
	PRINTF_LIKE(4, 0);

static void conclude(struct ccn_record *record, enum ccn_status status,
		     int code, const char *format, va_list args)
{
	record->status = status;
	record->code = code;
	vsnprintf(record->error, sizeof record->error, format, args);
}

void ccn__reject(struct ccn_record *record, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	conclude(record, CCN_REJECTED, code, format, args);
	va_end(args);
}

void ccn__wait(struct ccn_record *record, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	conclude(record, CCN_PENDING, code, format, args);
	va_end(args);
}

const char *ccn__content_string(const struct ccn_record *record,
				const char *key)
{
	return json_string_value(json_object_get(record->message.content,
						 key));
}

const char *ccn__owner(const struct ccn_record *record)
{
	const char *address = ccn__content_string(record, "address");

	return address ? address : "";
}

/* True: the content is there. */
static bool resolve_content(struct ccn *ccn, struct ccn_record *record)
{
	struct aleph_message *m = &record->message;
	const struct ccn_file *file;
	struct fault fault;
	void *data;
	int rc;

	if (m->content) {
		if (m->item_type == ALEPH_INLINE)
			record->size = m->item_content_size;
		return true;
	}
	file = ccn_file_find(ccn, m->item_hash);
	if (!file) {
		ccn__wait(record, CCN_CODE_CONTENT,
			  "the content %s is not stored here", m->item_hash);
		return false;
	}
	if (ccn_file_read(ccn, file, &data, &fault) != BERTH_OK) {
		ccn__wait(record, CCN_CODE_CONTENT, "%s", fault.text);
		return false;
	}
	rc = json_parse(data, (size_t)file->size, CCN_FILE_SIZE_MAX,
			&m->content, &fault);
	free(data);
	record->size = file->size;
	if (rc != BERTH_OK || !json_is_object(m->content)) {
		ccn__reject(record, CCN_CODE_FORMAT, "content: %s",
			    rc != BERTH_OK ? fault.text : "not an object");
		return false;
	}
	return true;
}

static bool list_has(const json_t *list, const char *text)
{
	const char *item;

	if (json_array_size(list) == 0)
		return true;
	for (size_t i = 0; i < json_array_size(list); i++) {
		item = json_string_value(json_array_get(list, i));
		if (item && strcasecmp(item, text) == 0)
			return true;
	}
	return false;
}

/* An entry of the owner's `security` aggregate that lets the sender sign. */
static bool authorizes(const json_t *entry, const struct aleph_message *m)
{
	const char *address = json_string_value(json_object_get(entry,
								"address"));
	const char *chain = json_string_value(json_object_get(entry, "chain"));

	return address && strcasecmp(address, m->sender) == 0 &&
	       (!chain || strcmp(chain, m->chain) == 0) &&
	       list_has(json_object_get(entry, "types"),
			aleph_type_name(m->type)) &&
	       list_has(json_object_get(entry, "channels"), m->channel);
}

static bool is_delegated(const struct ccn *ccn,
			 const struct ccn_record *record)
{
	const json_t *entries, *security = NULL;
	const struct ccn_record *other;
	const char *key;

	for (uint32_t i = 0; i < ccn->record_count; i++) {
		other = ccn->records[i];
		if (other->status != CCN_PROCESSED ||
		    other->message.type != ALEPH_AGGREGATE)
			continue;
		key = ccn__content_string(other, "key");
		if (key && strcmp(key, "security") == 0 &&
		    strcasecmp(ccn__owner(other), ccn__owner(record)) == 0)
			security = json_object_get(other->message.content,
						   "content");
	}
	entries = json_object_get(security, "authorizations");
	for (size_t i = 0; i < json_array_size(entries); i++)
		if (authorizes(json_array_get(entries, i), &record->message))
			return true;
	return false;
}

static bool is_permitted(const struct ccn *ccn, struct ccn_record *record)
{
	if (strcasecmp(ccn__owner(record), record->message.sender) == 0)
		return true;
	if (is_delegated(ccn, record))
		return true;
	ccn__reject(record, CCN_CODE_PERMISSION, "%s may not sign for %s",
		    record->message.sender, ccn__owner(record));
	return false;
}

static const struct ccn_record *processed(const struct ccn *ccn,
					  const char *hash,
					  enum aleph_type type)
{
	const struct ccn_record *found = ccn_find(ccn, hash);

	return found && found->status == CCN_PROCESSED &&
	       found->message.type == type ? found : NULL;
}

/* A STORE that updates another: the other is an original, and its owner's. */
static void process_store(struct ccn *ccn, struct ccn_record *record)
{
	const char *file = ccn__content_string(record, "item_hash");
	const char *ref = ccn__content_string(record, "ref");
	const struct ccn_record *target;
	struct hash unused;

	if (!ccn_file_find(ccn, file)) {
		ccn__wait(record, CCN_CODE_FILE,
			  "the file %s is not stored here", file);
		return;
	}
	/* A ref that is no hash is a name of the user's own. */
	if (!ref || hash_parse(ref, &unused) != BERTH_OK)
		return;
	target = processed(ccn, ref, ALEPH_STORE);
	if (!target)
		ccn__wait(record, CCN_CODE_STORE_TARGET,
			  "content.ref: no STORE %s is known here", ref);
	else if (ccn__content_string(target, "ref"))
		ccn__reject(record, CCN_CODE_STORE_UPDATE, "content.ref: %s "
			    "is itself an update", ref);
	else if (strcasecmp(ccn__owner(target), ccn__owner(record)) != 0)
		ccn__reject(record, CCN_CODE_PERMISSION, "content.ref: %s is "
			    "of another owner", ref);
}

/* aleph.md 2.3. An update whose original was forgotten counts as an original,
 * so that a program can be persisted and unpersisted again and again. */
static void process_replaces(struct ccn *ccn, struct ccn_record *record)
{
	const char *hash = ccn__content_string(record, "replaces"), *before;
	const struct ccn_record *target;

	if (!hash || !*hash)
		return;
	target = processed(ccn, hash, record->message.type);
	if (!target) {
		ccn__wait(record, CCN_CODE_VM_REF, "content.replaces: no %s "
			  "%.96s is known here",
			  aleph_type_name(record->message.type), hash);
		return;
	}
	before = ccn__content_string(target, "replaces");
	if (strcasecmp(ccn__owner(target), ccn__owner(record)) != 0)
		ccn__reject(record, CCN_CODE_PERMISSION, "content.replaces: "
			    "%.96s is of another owner", hash);
	else if (before && processed(ccn, before, record->message.type))
		ccn__reject(record, CCN_CODE_VM_UPDATE, "content.replaces: "
			    "%.96s is itself an update of %.96s", hash,
			    before);
	else if (!json_is_true(json_object_get(target->message.content,
					       "allow_amend")))
		ccn__reject(record, CCN_CODE_VM_AMEND, "content.replaces: "
			    "%.96s does not allow to be amended", hash);
}

static void process_program(struct ccn *ccn, struct ccn_record *record)
{
	const json_t *code = json_object_get(record->message.content, "code");
	const char *ref = json_string_value(json_object_get(code, "ref"));

	if (ref && !processed(ccn, ref, ALEPH_STORE)) {
		ccn__wait(record, CCN_CODE_VM_REF,
			  "content.code.ref: no STORE %s is known here", ref);
		return;
	}
	process_replaces(ccn, record);
}

static void process_post(struct ccn *ccn, struct ccn_record *record)
{
	const char *type = ccn__content_string(record, "type");
	const char *ref = ccn__content_string(record, "ref");

	if (type && strcmp(type, "amend") == 0 && ref &&
	    !processed(ccn, ref, ALEPH_POST))
		ccn__wait(record, CCN_CODE_POST_TARGET,
			  "content.ref: no POST %.96s is known here", ref);
}

static void process_type(struct ccn *ccn, struct ccn_record *record)
{
	switch (record->message.type) {
	case ALEPH_POST:
		process_post(ccn, record);
		return;
	case ALEPH_AGGREGATE:
		return;
	case ALEPH_STORE:
		process_store(ccn, record);
		return;
	case ALEPH_PROGRAM:
	case ALEPH_INSTANCE:
		process_program(ccn, record);
		return;
	case ALEPH_FORGET:
		ccn__process_forget(ccn, record);
		return;
	}
}

void ccn__process(struct ccn *ccn, struct ccn_record *record)
{
	struct fault fault;

	REQUIRE(record->status == CCN_PENDING);
	if (!resolve_content(ccn, record))
		return;
	if (aleph_content_check(&record->message, &fault) != BERTH_OK) {
		ccn__reject(record, CCN_CODE_FORMAT, "%s", fault.text);
		return;
	}
	if (!is_permitted(ccn, record))
		return;
	record->status = CCN_PROCESSED;
	process_type(ccn, record);
	if (record->status == CCN_PROCESSED)
		record->error[0] = '\0';
}
