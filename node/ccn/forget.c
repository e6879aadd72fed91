/* FORGET: all of its targets, or none. Source: aleph.md 2.4. */
#include <strings.h>

#include "node/ccn/ccn.h"

static bool targets(const json_t *hashes, const char *hash)
{
	const char *item;

	for (size_t i = 0; i < json_array_size(hashes); i++) {
		item = json_string_value(json_array_get(hashes, i));
		if (item && strcmp(item, hash) == 0)
			return true;
	}
	return false;
}

/* A program that lives, and is not forgotten by the same message, runs this
 * code. */
static const struct ccn_record *user_of(const struct ccn *ccn,
					const char *store,
					const json_t *hashes)
{
	const struct ccn_record *r;
	const char *ref;

	for (uint32_t i = 0; i < ccn->record_count; i++) {
		r = ccn->records[i];
		if (r->message.type != ALEPH_PROGRAM ||
		    r->status != CCN_PROCESSED)
			continue;
		ref = json_string_value(json_object_get(
			json_object_get(r->message.content, "code"), "ref"));
		if (ref && strcmp(ref, store) == 0 &&
		    !targets(hashes, r->message.item_hash))
			return r;
	}
	return NULL;
}

static void check_target(const struct ccn *ccn, struct ccn_record *record,
			 const char *hash, const json_t *hashes)
{
	const struct ccn_record *target = ccn_find(ccn, hash), *user;
	const struct aleph_message *m;

	if (!target) {
		ccn__wait(record, CCN_CODE_FORGET_TARGET,
			  "content.hashes: %s is not known here", hash);
		return;
	}
	m = &target->message;
	/* Nobody's word stands in a message that was refused. */
	if (target->status == CCN_REJECTED)
		return;
	if (m->type == ALEPH_FORGET) {
		ccn__reject(record, CCN_CODE_FORGET_FORGET,
			    "content.hashes: %s is itself a FORGET", hash);
		return;
	}
	if (strcasecmp(m->sender, record->message.sender) != 0 &&
	    strcasecmp(ccn__owner(target), ccn__owner(record)) != 0) {
		ccn__reject(record, CCN_CODE_PERMISSION, "content.hashes: %s "
			    "is of %s", hash, m->sender);
		return;
	}
	user = m->type == ALEPH_STORE ? user_of(ccn, hash, hashes) : NULL;
	if (user)
		ccn__reject(record, CCN_CODE_FORGET_DENIED, "content.hashes: "
			    "%s is the code of the program %s", hash,
			    user->message.item_hash);
}

static void forget(struct ccn *ccn, const struct ccn_record *by,
		   const char *hash)
{
	struct ccn_record *target = map_find(&ccn->by_hash, hash);

	if (target->status == CCN_REJECTED || target->status == CCN_FORGOTTEN)
		return;
	if (target->status == CCN_PENDING)
		ccn->pending_count--;
	target->status = CCN_FORGOTTEN;
	strcpy(target->forgotten_by, by->message.item_hash);
}

void ccn__process_forget(struct ccn *ccn, struct ccn_record *record)
{
	static const char *const lists[] = { "hashes", "aggregates" };
	const json_t *hashes;

	for (size_t l = 0; l < COUNT_OF(lists); l++) {
		hashes = json_object_get(record->message.content, lists[l]);
		for (size_t i = 0; i < json_array_size(hashes) &&
				   record->status == CCN_PROCESSED; i++)
			check_target(ccn, record, json_string_value(
				json_array_get(hashes, i)), hashes);
	}
	if (record->status != CCN_PROCESSED)
		return;
	for (size_t l = 0; l < COUNT_OF(lists); l++) {
		hashes = json_object_get(record->message.content, lists[l]);
		for (size_t i = 0; i < json_array_size(hashes); i++)
			forget(ccn, record, json_string_value(
				json_array_get(hashes, i)));
	}
}
