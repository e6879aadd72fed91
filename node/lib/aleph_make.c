#include <stdio.h>
#include <stdlib.h>

#include "node/lib/aleph.h"
#include "node/lib/crypto.h"

static int sign(const struct eth_key *key, enum aleph_type type,
		const char *item_hash, char signature[ETH_SIGNATURE_TEXT_SIZE])
{
	char text[256];
	int length;

	length = snprintf(text, sizeof text, "ETH\n%s\n%s\n%s", key->address,
			  aleph_type_name(type), item_hash);
	ENSURE(length > 0 && (size_t)length < sizeof text);
	return eth_sign(key, text, (size_t)length, signature);
}

static int make(const struct eth_key *key, enum aleph_type type,
		const char *item_content, double time, const char *channel,
		json_t **envelope, struct fault *fault)
{
	char item_hash[65], signature[ETH_SIGNATURE_TEXT_SIZE];
	struct hash hash;
	json_t *made;
	int rc;

	if (strlen(item_content) > ALEPH_INLINE_SIZE_MAX)
		return fault_set(fault, BERTH_TOOBIG,
				 "item_content: %zu bytes are above %u",
				 strlen(item_content), ALEPH_INLINE_SIZE_MAX);
	crypto_sha256(item_content, strlen(item_content), &hash);
	hash_text(&hash, item_hash);
	rc = sign(key, type, item_hash, signature);
	if (rc != BERTH_OK)
		return fault_set(fault, rc, "signature: %s",
				 berth_error_text(rc));
	made = json_pack("{ss ss ss ss ss ss ss sf ss?}", "sender",
			 key->address, "chain", "ETH", "signature", signature,
			 "type", aleph_type_name(type), "item_hash", item_hash,
			 "item_type", "inline", "item_content", item_content,
			 "time", time, "channel", channel);
	if (!made)
		return fault_set(fault, BERTH_NOMEM, "message: no memory, or "
				 "content is not UTF-8");
	*envelope = made;
	return BERTH_OK;
}

int aleph_message_make(const struct eth_key *key, enum aleph_type type,
		       const json_t *content, double time, const char *channel,
		       json_t **envelope, struct fault *fault)
{
	char *text = json_dumps(content, JSON_COMPACT);
	int rc;

	if (!text)
		return fault_set(fault, BERTH_NOMEM,
				 "content: can not be written");
	rc = make(key, type, text, time, channel, envelope, fault);
	free(text);
	return rc;
}
