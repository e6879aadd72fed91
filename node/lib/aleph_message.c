#include "node/lib/aleph_shape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "node/lib/crypto.h"

static const char *const type_names[] = {
	[ALEPH_POST] = "POST",	     [ALEPH_AGGREGATE] = "AGGREGATE",
	[ALEPH_STORE] = "STORE",     [ALEPH_PROGRAM] = "PROGRAM",
	[ALEPH_INSTANCE] = "INSTANCE", [ALEPH_FORGET] = "FORGET",
};

const char *aleph_type_name(enum aleph_type type)
{
	return (size_t)type < COUNT_OF(type_names) && type_names[type] ?
		       type_names[type] : "?";
}

/* Seconds as a number, or as a CCN's item page writes them:
 * "2022-10-06T11:15:54.517756Z". */
static int time_read(const json_t *value, const char *path, double *out,
		     struct fault *fault)
{
	int year, month, day, hour, minute, used = 0;
	double second, time = NAN;
	const char *text;

	if (json_is_number(value))
		time = json_number_value(value);
	text = json_string_value(value);
	if (text && sscanf(text, "%4d-%2d-%2dT%2d:%2d:%lf%n", &year, &month,
			   &day, &hour, &minute, &second, &used) == 6 &&
	    month >= 1 && month <= 12 && second >= 0 && second < 61 &&
	    (strcmp(text + used, "Z") == 0 ||
	     strcmp(text + used, "+00:00") == 0)) {
		struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1,
				 .tm_mday = day, .tm_hour = hour,
				 .tm_min = minute };

		time = (double)timegm(&tm) + second;
	}
	if (!(time >= 0 && time <= ALEPH_TIME_MAX))
		return fault_set(fault, BERTH_INVALID,
				 "%s: not seconds between 0 and %.0f", path,
				 ALEPH_TIME_MAX);
	*out = time;
	return BERTH_OK;
}

static int check_time(const json_t *value, const char *path,
		      struct fault *fault)
{
	double time;

	return time_read(value, path, &time, fault);
}

static const char *const type_choices[] = { "POST", "AGGREGATE", "STORE",
	"PROGRAM", "INSTANCE", "FORGET", NULL };
static const char *const item_type_choices[] = { "inline", "storage", "ipfs",
						 NULL };
static const char *const hash_type_choices[] = { "sha256", NULL };

static const struct shape any = { .kind = SHAPE_ANY };
static const struct shape boolean = { .kind = SHAPE_BOOL };
static const struct shape chain = { .kind = SHAPE_CHAIN };
static const struct shape sender = { .kind = SHAPE_STRING, .max = 127 };
static const struct shape type = { .kind = SHAPE_CHOICE,
				   .choices = type_choices };
static const struct shape channel = { .kind = SHAPE_STRING, .max = 128 };
static const struct shape time_shape = { .kind = SHAPE_CUSTOM,
					 .check = check_time };
static const struct shape item_type = { .kind = SHAPE_CHOICE,
					.choices = item_type_choices };
static const struct shape item_content = { .kind = SHAPE_STRING,
					   .max = ALEPH_INLINE_SIZE_MAX };
static const struct shape item_hash = { .kind = SHAPE_STRING, .max = 95 };
static const struct shape hash_type = { .kind = SHAPE_CHOICE,
					.choices = hash_type_choices };
static const struct shape size = { .kind = SHAPE_UINT, .max = INT64_MAX };
static const struct shape list = { .kind = SHAPE_LIST, .item = &any };

/* aleph.md 1.1, and what the item and list pages of a CCN add (3.1, 3.2). */
static const struct shape_field envelope_fields[] = {
	{ "chain", SHAPE_REQUIRED, &chain },
	{ "sender", SHAPE_REQUIRED, &sender },
	{ "type", SHAPE_REQUIRED, &type },
	{ "channel", SHAPE_NULLABLE, &channel },
	{ "time", SHAPE_REQUIRED, &time_shape },
	{ "item_type", SHAPE_REQUIRED, &item_type },
	{ "item_content", SHAPE_NULLABLE, &item_content },
	{ "item_hash", SHAPE_REQUIRED, &item_hash },
	{ "signature", SHAPE_NULLABLE, &any },
	{ "content", SHAPE_NULLABLE, &any },
	{ "confirmations", SHAPE_NULLABLE, &list },
	{ "confirmed", SHAPE_NULLABLE, &boolean },
	{ "size", SHAPE_NULLABLE, &size },
	{ "hash_type", SHAPE_NULLABLE, &hash_type },
	{ "forgotten_by", SHAPE_NULLABLE, &list },
	{ "_id", SHAPE_NULLABLE, &any },
	{ "reception_time", SHAPE_NULLABLE, &any },
	{ "status", SHAPE_NULLABLE, &any },
	{ "reason", SHAPE_NULLABLE, &any },
	{ NULL, 0, NULL },
};
static const struct shape envelope_shape = { .kind = SHAPE_OBJECT,
					     .fields = envelope_fields };

/* Bounded copy of a string member; absent and null give "". */
static int copy(const json_t *envelope, const char *name, char *out,
		size_t out_size, struct fault *fault)
{
	const char *text = aleph__string(envelope, name, "");

	if (strlen(text) >= out_size)
		return fault_set(fault, BERTH_TOOBIG,
				 "%s: %zu bytes are above %zu", name,
				 strlen(text), out_size - 1);
	strcpy(out, text);
	return BERTH_OK;
}

/* Some chains sign with an object; it is kept as its text. */
static int copy_signature(const json_t *envelope, struct aleph_message *out,
			  struct fault *fault)
{
	const json_t *value = json_object_get(envelope, "signature");
	char *text;
	size_t length;

	if (!json_is_object(value))
		return !value || json_is_null(value) || json_is_string(value) ?
			copy(envelope, "signature", out->signature,
			     sizeof out->signature, fault) :
			fault_set(fault, BERTH_MALFORMED,
				  "signature: not a string");
	text = json_dumps(value, JSON_COMPACT);
	if (!text)
		return fault_set(fault, BERTH_NOMEM, "signature: no memory");
	length = strlen(text);
	if (length < sizeof out->signature)
		strcpy(out->signature, text);
	free(text);
	if (length >= sizeof out->signature)
		return fault_set(fault, BERTH_TOOBIG,
				 "signature: %zu bytes are above %zu", length,
				 sizeof out->signature - 1);
	return BERTH_OK;
}

/* Inline hashes are compared, not looked at: a made-up one is a mismatch. */
static int check_item_hash(const struct aleph_message *m, struct fault *fault)
{
	static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
	const char *hash = m->item_hash;
	bool good;

	if (m->item_type == ALEPH_INLINE)
		good = hash[0] && strspn(hash, allowed) == strlen(hash);
	else if (m->item_type == ALEPH_STORAGE)
		good = strlen(hash) == 64 && aleph__item_hash_valid(hash);
	else
		good = aleph__item_hash_valid(hash);
	if (!good)
		return fault_set(fault, BERTH_INVALID,
				 "item_hash: \"%s\" is not an item hash", hash);
	return BERTH_OK;
}

static int read_content(const json_t *envelope, struct aleph_message *out,
			struct fault *fault)
{
	const json_t *text = json_object_get(envelope, "item_content");
	int rc;

	if (out->item_type != ALEPH_INLINE)
		return json_is_string(text) ?
			fault_set(fault, BERTH_INVALID, "item_content: only "
				  "with item_type inline") : BERTH_OK;
	if (!json_is_string(text))
		return fault_set(fault, BERTH_MALFORMED, "item_content: "
				 "missing with item_type inline");
	out->item_content_size = json_string_length(text);
	rc = json_parse(json_string_value(text), out->item_content_size,
			ALEPH_MESSAGE_SIZE_MAX, &out->content, fault);
	if (rc != BERTH_OK) {
		fault_wrap(fault, "item_content");
		return rc;
	}
	if (!json_is_object(out->content))
		return fault_set(fault, BERTH_MALFORMED,
				 "item_content: not an object");
	out->item_content = strdup(json_string_value(text));
	if (!out->item_content)
		return fault_set(fault, BERTH_NOMEM, "item_content: no memory");
	return BERTH_OK;
}

static unsigned choice_index(const json_t *envelope, const char *name,
			     const char *const *choices)
{
	const char *text = aleph__string(envelope, name, "");
	unsigned i = 0;

	while (strcmp(choices[i], text) != 0)
		i++;
	return i + 1;
}

static int check_confirmed(const json_t *envelope, struct fault *fault)
{
	if (aleph__bool(envelope, "confirmed", false) &&
	    json_array_size(json_object_get(envelope, "confirmations")) == 0)
		return fault_set(fault, BERTH_INVALID,
				 "confirmed: true without confirmations");
	return BERTH_OK;
}

static int read_envelope(const json_t *envelope, struct aleph_message *out,
			 struct fault *fault)
{
	int rc;

	rc = aleph__shape_check(&envelope_shape, envelope, "", fault);
	if (rc == BERTH_OK)
		rc = check_confirmed(envelope, fault);
	if (rc != BERTH_OK)
		return rc;
	out->type = choice_index(envelope, "type", type_choices);
	out->item_type = choice_index(envelope, "item_type",
				      item_type_choices);
	rc = copy(envelope, "chain", out->chain, sizeof out->chain, fault);
	if (rc == BERTH_OK)
		rc = copy(envelope, "sender", out->sender, sizeof out->sender,
			  fault);
	if (rc == BERTH_OK)
		rc = copy_signature(envelope, out, fault);
	if (rc == BERTH_OK)
		rc = copy(envelope, "item_hash", out->item_hash,
			  sizeof out->item_hash, fault);
	if (rc == BERTH_OK)
		rc = copy(envelope, "channel", out->channel,
			  sizeof out->channel, fault);
	if (rc == BERTH_OK)
		rc = time_read(json_object_get(envelope, "time"), "time",
			       &out->time, fault);
	if (rc == BERTH_OK)
		rc = check_item_hash(out, fault);
	return rc;
}

int aleph_message_parse(const json_t *envelope, struct aleph_message *out,
			struct fault *fault)
{
	struct aleph_message message = { 0 };
	int rc;

	if (!json_is_object(envelope))
		return fault_set(fault, BERTH_MALFORMED,
				 "message: not an object");
	rc = read_envelope(envelope, &message, fault);
	if (rc == BERTH_OK)
		rc = read_content(envelope, &message, fault);
	if (rc == BERTH_OK)
		*out = message;
	else
		aleph_message_fini(&message);
	return rc;
}

void aleph_message_fini(struct aleph_message *message)
{
	free(message->item_content);
	json_decref(message->content);
	memset(message, 0, sizeof *message);
}

static int verify_hash(const struct aleph_message *m, struct fault *fault)
{
	struct hash hash;
	char text[65];

	crypto_sha256(m->item_content, m->item_content_size, &hash);
	hash_text(&hash, text);
	if (strcmp(text, m->item_hash) != 0)
		return fault_set(fault, BERTH_MISMATCH,
				 "item_hash: \"%s\" is not the sha256 of "
				 "item_content, %s", m->item_hash, text);
	return BERTH_OK;
}

/* AVAX also has addresses that are not of the EVM. */
static bool address_is_evm(const char *address)
{
	return strlen(address) == 42 && address[0] == '0' &&
	       address[1] == 'x' &&
	       strspn(address + 2, "0123456789abcdefABCDEF") == 40;
}

static int verify_signature(const struct aleph_message *m,
			    struct fault *fault)
{
	char text[384], address[ETH_ADDRESS_TEXT_SIZE];
	int length, rc;

	length = snprintf(text, sizeof text, "%s\n%s\n%s\n%s", m->chain,
			  m->sender, aleph_type_name(m->type), m->item_hash);
	ENSURE(length > 0 && (size_t)length < sizeof text);
	if (!m->signature[0])
		return fault_set(fault, BERTH_DENIED, "signature: missing");
	rc = eth_recover(text, (size_t)length, m->signature, address);
	if (rc == BERTH_NOMEM)
		return fault_set(fault, rc, "signature: no memory");
	if (rc != BERTH_OK)
		return fault_set(fault, BERTH_DENIED,
				 "signature: not one of an Ethereum key");
	if (strcasecmp(address, m->sender) != 0)
		return fault_set(fault, BERTH_DENIED,
				 "signature: by %s, not by the sender %s",
				 address, m->sender);
	return BERTH_OK;
}

int aleph_message_verify(const struct aleph_message *message,
			 struct fault *fault)
{
	int rc;

	if (message->item_type == ALEPH_INLINE) {
		rc = verify_hash(message, fault);
		if (rc != BERTH_OK)
			return rc;
	}
	if (!aleph__chain_is_evm(message->chain) ||
	    !address_is_evm(message->sender))
		return fault_set(fault, BERTH_INVALID,
				 "signature: cannot verify chain %s (sender "
				 "%s)", message->chain, message->sender);
	return verify_signature(message, fault);
}
