/* Pages of messages, in the pool: JSON, hashes, signatures, files. */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "node/lib/crypto.h"
#include "node/replica/intake_internal.h"

/* --- the keys of what is remembered --------------------------------------- */

static const char *string_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static bool key_of(const json_t *message, struct hash *key)
{
	const char *text = string_of(message, "item_hash");

	return strlen(text) == 64 && hash_parse(text, key) == 0;
}

/* A refusal is of this very envelope: another CCN may have a good one with the
 * same item hash. */
static void envelope_key(const json_t *message, struct hash *key)
{
	static const char *const fields[] = { "item_hash", "signature",
		"sender", "chain", "type", "channel", "item_type",
		"item_content" };
	struct sha256 *sha = sha256_open();

	sha256_add(sha, "refused", 8);
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		const char *text = string_of(message, fields[i]);

		sha256_add(sha, text, strlen(text) + 1);
	}
	sha256_close(sha, key);
}

/* Persistent ones and instances; and what ends one: a message that replaces it
 * and does not want to run itself (aleph.md 2.3). */
static bool is_ours(const struct command_program_put *put)
{
	return put->persistent || put->kind == KIND_INSTANCE ||
	       put->has_replaces;
}

static bool known(struct intake *intake, const struct hash *key, uint32_t ccn,
		  uint32_t snapshot)
{
	struct intake_table *table = &intake->table;
	struct intake_entry *entry;

	uv_mutex_lock(&table->mutex);
	entry = intake_table_find(table, key);
	if (entry)
		entry->seen[ccn] = snapshot;
	if (entry && entry->kind == ENTRY_GONE && entry->texts)
		entry->kind = is_ours(&entry->put) ? ENTRY_TAKEN : ENTRY_SPARE;
	if (entry && entry->kind == ENTRY_TOMB)
		entry = NULL; /* it is there after all: read it */
	uv_mutex_unlock(&table->mutex);
	return entry != NULL;
}

/* --- one message ---------------------------------------------------------- */

struct reading {
	struct intake *intake;
	uint32_t ccn, snapshot, taken;
	bool asked; /* for this one: that is no sight of it in the list */
	struct hash key, refusal;
	struct aleph_message message;
	struct aleph_program program;
	struct aleph_put_scratch scratch;
	struct command_program_put put;
};

static struct intake_entry *remember(struct reading *r, const struct hash *key,
				     enum entry_kind kind)
{
	struct intake_entry *entry = intake_table_add(&r->intake->table, key);

	if (!entry)
		return NULL;
	entry->kind = kind;
	if (!r->asked)
		entry->seen[r->ccn] = r->snapshot;
	if (!entry->first) {
		entry->first = r->snapshot;
		entry->first_ccn = r->ccn;
	}
	return entry;
}

static void refuse(struct reading *r, const json_t *message,
		   const struct fault *fault)
{
	uv_mutex_lock(&r->intake->table.mutex);
	if (remember(r, &r->refusal, ENTRY_REFUSED))
		intake_table_refuse(&r->intake->table,
			     string_of(message, "item_hash"), fault->text);
	uv_mutex_unlock(&r->intake->table.mutex);
	metric_add(&r->intake->edge->metrics.intake_refused, 1);
}

static void ignore(struct reading *r, const struct hash *key)
{
	uv_mutex_lock(&r->intake->table.mutex);
	(void)remember(r, key, ENTRY_IGNORED);
	uv_mutex_unlock(&r->intake->table.mutex);
}

static bool on_channel(const struct intake *intake, const char *channel)
{
	const char *const *list = intake->edge->config.channels;

	if (!list || !*list)
		return true;
	for (; *list; list++)
		if (!strcmp(*list, channel))
			return true;
	return false;
}

static int check(struct reading *r, struct fault *fault)
{
	const struct aleph_message *m = &r->message;
	int code;

	if (m->type != ALEPH_PROGRAM && m->type != ALEPH_INSTANCE)
		return fault_set(fault, BERTH_INVALID,
				 "type: neither PROGRAM nor INSTANCE");
	if (m->item_type != ALEPH_INLINE || !m->content)
		return fault_set(fault, BERTH_INVALID,
				 "item_type: only inline content is taken");
	code = aleph_message_verify(m, fault);
	if (!code)
		code = aleph_program_parse(m->content, m->type, &r->program,
					   fault);
	if (!code)
		code = aleph_program_put(m, &r->program, &r->scratch, &r->put,
					 fault);
	return code;
}

/* The content first, then the entry: what is taken can be served. */
static int take(struct reading *r, struct fault *fault)
{
	const struct aleph_message *m = &r->message;
	struct intake *intake = r->intake;
	const char *ref = r->program.code_use_latest ? r->program.code_ref
						     : NULL;
	struct intake_entry *entry;
	bool good = false;
	int code = store_put(intake->edge->store, &r->key, m->item_content,
			     m->item_content_size, fault);

	if (code)
		return fault_wrap(fault, "keep %.16s", m->item_hash);
	uv_mutex_lock(&intake->table.mutex);
	entry = remember(r, &r->key, ENTRY_TAKEN);
	good = entry && intake_entry_take(entry, &r->put, ref);
	if (entry && !good)
		entry->kind = ENTRY_IGNORED;
	uv_mutex_unlock(&intake->table.mutex);
	if (!good)
		return fault_set(fault, BERTH_NOMEM, "too many messages");
	r->taken++;
	metric_add(&intake->edge->metrics.intake_taken, 1);
	return 0;
}

/* It may be replaced by one of ours before it is seen again. */
static void spare(struct reading *r)
{
	struct intake_table *table = &r->intake->table;
	struct intake_entry *entry;

	uv_mutex_lock(&table->mutex);
	entry = remember(r, &r->key, ENTRY_IGNORED);
	if (entry && intake_entry_take(entry, &r->put, NULL))
		entry->kind = ENTRY_SPARE;
	uv_mutex_unlock(&table->mutex);
}

/* Errors are ours (a full disk), never the message's. */
static int read_new(struct reading *r, const json_t *json, struct fault *fault)
{
	int code = aleph_message_parse(json, &r->message, fault);

	if (code == BERTH_NOMEM)
		return code;
	if (code) {
		refuse(r, json, fault);
		return 0;
	}
	if (!on_channel(r->intake, r->message.channel)) {
		ignore(r, &r->refusal);
	} else if (check(r, fault)) {
		refuse(r, json, fault);
	} else if (!is_ours(&r->put)) {
		spare(r);
	} else {
		code = take(r, fault);
	}
	aleph_message_fini(&r->message);
	return code;
}

static int read_message(struct reading *r, const json_t *json,
			struct fault *fault)
{
	bool has_key = key_of(json, &r->key);

	if (has_key && known(r->intake, &r->key, r->ccn, r->snapshot))
		return 0;
	envelope_key(json, &r->refusal);
	if (known(r->intake, &r->refusal, r->ccn, r->snapshot))
		return 0;
	memset(&r->put, 0, sizeof r->put);
	return read_new(r, json, fault);
}

/* --- messages asked for by their hash ------------------------------------- */

static bool is_hash(const char *text, const struct hash *hash)
{
	struct hash other;

	return strlen(text) == 64 && hash_parse(text, &other) == 0 &&
	       hash_equal(&other, hash);
}

/* `key`, `put` and so on of *r, when the message is what was asked for. */
static int read_asked(struct reading *r, const json_t *json, bool *listed,
		      struct fault *fault)
{
	int code = aleph_message_parse(json, &r->message, fault);

	if (code)
		return code;
	if (is_hash(r->message.item_hash, &r->key))
		code = check(r, fault);
	else
		code = fault_set(fault, BERTH_MISMATCH, "another message");
	if (!code && on_channel(r->intake, r->message.channel) &&
	    is_ours(&r->put)) {
		*listed = true;
	} else if (!code) {
		r->put.persistent = false;
		spare(r);
	}
	aleph_message_fini(&r->message);
	return code;
}

static struct reading *reading_open(struct intake *intake, uint32_t ccn,
				    const struct hash *hash)
{
	struct reading *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->intake = intake;
	r->ccn = ccn;
	r->snapshot = intake->ccns[ccn].snapshot + 1;
	r->key = *hash;
	r->asked = true;
	return r;
}

int intake_take_spare(struct intake *intake, uint32_t ccn, const json_t *json,
		      const struct hash *hash, struct fault *fault)
{
	struct reading *r = reading_open(intake, ccn, hash);
	bool listed = false;
	int code;

	if (!r)
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	code = read_asked(r, json, &listed, fault);
	free(r);
	if (!code && listed)
		return fault_set(fault, BERTH_BUSY,
				 "the CCN has it but does not list it yet");
	return code;
}

/* The signature binds sender and hash; the content is not there any more. */
static int read_tomb(struct reading *r, const json_t *json,
		     struct fault *fault)
{
	struct aleph_message *m = &r->message;
	const char *type = string_of(json, "type");

	m->type = !strcmp(type, "INSTANCE") ? ALEPH_INSTANCE : ALEPH_PROGRAM;
	m->item_type = ALEPH_STORAGE; /* no content to check the hash of */
	snprintf(m->chain, sizeof m->chain, "%s", string_of(json, "chain"));
	snprintf(m->sender, sizeof m->sender, "%s", string_of(json, "sender"));
	snprintf(m->signature, sizeof m->signature, "%s",
		 string_of(json, "signature"));
	snprintf(m->item_hash, sizeof m->item_hash, "%s",
		 string_of(json, "item_hash"));
	if (strcmp(type, aleph_type_name(m->type)) ||
	    !is_hash(m->item_hash, &r->key))
		return fault_set(fault, BERTH_MISMATCH, "another message");
	r->put = (struct command_program_put){
		.program = r->key, .source = SOURCE_CCN, .amendable = true,
		.kind = m->type == ALEPH_INSTANCE ? KIND_INSTANCE
						  : KIND_PROGRAM,
		.owner = { m->sender, (uint32_t)strlen(m->sender) },
		.name = { "", 0 },
	};
	return aleph_message_verify(m, fault);
}

int intake_take_tomb(struct intake *intake, uint32_t ccn, const json_t *json,
		     const struct hash *hash, struct fault *fault)
{
	struct reading *r = reading_open(intake, ccn, hash);
	struct intake_entry *entry;
	int code;

	if (!r)
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	code = read_tomb(r, json, fault);
	uv_mutex_lock(&intake->table.mutex);
	entry = code ? NULL : intake_table_find(&intake->table, hash);
	if (entry && entry->texts) {
		entry->kind = ENTRY_GONE; /* its content is known to us */
	} else if (!code) {
		entry = intake_table_add(&intake->table, hash);
		if (entry && intake_entry_take(entry, &r->put, NULL))
			entry->kind = ENTRY_TOMB;
	}
	uv_mutex_unlock(&intake->table.mutex);
	free(r);
	return code;
}

/* --- pages ---------------------------------------------------------------- */

static int messages_of(const char *body, size_t size, json_t **out,
		       const json_t **list, struct fault *fault)
{
	int code = json_parse(body, size, INTAKE_ANSWER_SIZE_MAX, out, fault);

	if (code)
		return code;
	*list = json_object_get(*out, "messages");
	if (json_is_array(*list))
		return 0;
	json_decref(*out);
	*out = NULL;
	return fault_set(fault, BERTH_MALFORMED, "no list of messages");
}

static uint64_t integer_of(const json_t *object, const char *name, bool *has)
{
	const json_t *value = json_object_get(object, name);

	*has = json_is_integer(value) && json_integer_value(value) >= 0;
	return *has ? (uint64_t)json_integer_value(value) : 0;
}

int intake_page(struct intake *intake, uint32_t ccn, uint32_t snapshot,
		const char *body, size_t size, struct page_result *out,
		struct fault *fault)
{
	struct reading *r = calloc(1, sizeof *r);
	const json_t *list;
	json_t *json = NULL;
	uint64_t per_page;
	bool has;
	int code;

	if (!r)
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	r->intake = intake;
	r->ccn = ccn;
	r->snapshot = snapshot;
	code = messages_of(body, size, &json, &list, fault);
	for (size_t i = 0; !code && i < json_array_size(list); i++)
		code = read_message(r, json_array_get(list, i), fault);
	if (!code) {
		out->count = (uint32_t)json_array_size(list);
		out->taken = r->taken;
		out->total = integer_of(json, "pagination_total",
					&out->has_total);
		per_page = integer_of(json, "pagination_per_page", &has);
		out->page_size = has && per_page && per_page < INTAKE_PAGE
					 ? (uint32_t)per_page : INTAKE_PAGE;
	}
	if (json)
		json_decref(json);
	free(r);
	return code;
}

/* --- newer code ----------------------------------------------------------- */

static uint64_t revision_of(const json_t *content)
{
	double time = json_number_value(json_object_get(content, "time"));

	return time > 0 && time < 1e11 ? (uint64_t)(time * 1000) : 0;
}

static bool follows(const struct intake_entry *entry, const json_t *content)
{
	const char *owner = string_of(content, "address");
	const struct text *of = &entry->put.owner;

	return entry->kind == ENTRY_TAKEN && entry->code_ref &&
	       !strcmp(entry->code_ref, string_of(content, "ref")) &&
	       of->size == strlen(owner) &&
	       !strncasecmp(of->data, owner, of->size) &&
	       entry->put.code_revision < revision_of(content);
}

/* A STORE that replaces code which follows its latest version: by the owner of
 * the program, and by a time that its hash binds. Counts those it is new to;
 * `set` notes it. */
static uint32_t newer_code(struct intake *intake, const struct aleph_message *m,
			   bool set)
{
	struct intake_table *table = &intake->table;
	struct intake_entry *entry;
	uint32_t count = 0;

	uv_mutex_lock(&table->mutex);
	for (uint32_t i = 0; i < table->bucket_count; i++)
		for (entry = table->buckets[i]; entry; entry = entry->next) {
			if (!follows(entry, m->content))
				continue;
			count++;
			if (set)
				entry->put.code_revision =
					revision_of(m->content);
		}
	uv_mutex_unlock(&table->mutex);
	return count;
}

static void read_store(struct intake *intake, const json_t *json)
{
	struct aleph_message m;
	struct fault fault;

	if (aleph_message_parse(json, &m, &fault))
		return;
	if (m.type == ALEPH_STORE && m.item_type == ALEPH_INLINE &&
	    m.content && newer_code(intake, &m, false) &&
	    aleph_message_verify(&m, &fault) == 0) {
		log_info("intake", "newer code %.16s for %u programs",
			 m.item_hash, newer_code(intake, &m, true));
	}
	aleph_message_fini(&m);
}

int intake_stores(struct intake *intake, const char *body, size_t size,
		  struct fault *fault)
{
	const json_t *list;
	json_t *json = NULL;
	int code = messages_of(body, size, &json, &list, fault);

	if (code)
		return code;
	for (size_t i = 0; i < json_array_size(list); i++)
		read_store(intake, json_array_get(list, i));
	json_decref(json);
	return 0;
}
