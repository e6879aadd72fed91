#include "node/ccn/query.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

struct getter {
	const char *(*get)(void *ctx, const char *name);
	void *ctx;
};

static const char *get(const struct getter *from, const char *name)
{
	const char *value = from->get(from->ctx, name);

	return value && *value ? value : NULL;
}

/* Walks the words of a comma-separated list. */
static bool next_word(const char **list, const char **word, size_t *size)
{
	if (!*list)
		return false;
	*word = *list;
	*size = strcspn(*list, ",");
	*list = (*list)[*size] ? *list + *size + 1 : NULL;
	return true;
}

static bool has_word(const char *list, const char *text, bool any_case)
{
	const char *word;
	size_t size;

	while (next_word(&list, &word, &size)) {
		if (size != strlen(text))
			continue;
		if (any_case ? strncasecmp(word, text, size) == 0 :
			       memcmp(word, text, size) == 0)
			return true;
	}
	return false;
}

static int check_words(const char *name, const char *list,
		       const char *const *known, struct fault *fault)
{
	const char *word;
	size_t size, i;

	while (next_word(&list, &word, &size)) {
		for (i = 0; known[i]; i++)
			if (strlen(known[i]) == size &&
			    memcmp(known[i], word, size) == 0)
				break;
		if (!known[i])
			return fault_set(fault, BERTH_INVALID,
					 "%s: \"%.*s\" is not known here", name,
					 (int)(size < 40 ? size : 40), word);
	}
	return BERTH_OK;
}

static int read_count(const struct getter *from, const char *name,
		      uint32_t min, uint32_t *out, struct fault *fault)
{
	const char *text = get(from, name);
	unsigned long value;
	char *end;

	if (!text)
		return BERTH_OK;
	value = strtoul(text, &end, 10);
	if (*end || *text < '0' || *text > '9' || value < min ||
	    value > 1000000000)
		return fault_set(fault, BERTH_INVALID,
				 "%s: \"%.40s\" is not a count from %u", name,
				 text, min);
	*out = (uint32_t)value;
	return BERTH_OK;
}

static int read_time(const struct getter *from, const char *name, double *out,
		     struct fault *fault)
{
	const char *text = get(from, name);
	double value;
	char *end;

	if (!text)
		return BERTH_OK;
	value = strtod(text, &end);
	if (*end || !isfinite(value) || value < 0)
		return fault_set(fault, BERTH_INVALID,
				 "%s: \"%.40s\" is not a time in seconds",
				 name, text);
	*out = value;
	return BERTH_OK;
}

static int read_choice(const struct getter *from, const char *name,
		       const char *const *choices, unsigned *out,
		       struct fault *fault)
{
	const char *text = get(from, name);

	for (unsigned i = 0; text && choices[i]; i++) {
		if (strcasecmp(choices[i], text) != 0)
			continue;
		*out = i;
		return BERTH_OK;
	}
	if (text)
		return fault_set(fault, BERTH_INVALID,
				 "%s: \"%.40s\" is not known here", name,
				 text);
	return BERTH_OK;
}

static int read_statuses(const struct getter *from, struct query *out,
			 struct fault *fault)
{
	static const char *const known[] = { "pending", "processed",
		"removing", "rejected", "forgotten", "removed", NULL };
	const char *list = get(from, "msgStatuses");
	bool gone;
	int rc;

	if (!list)
		return BERTH_OK;
	rc = check_words("msgStatuses", list, known, fault);
	if (rc != BERTH_OK)
		return rc;
	gone = has_word(list, "forgotten", false) ||
	       has_word(list, "removed", false);
	if (gone && strchr(list, ','))
		return fault_set(fault, BERTH_DENIED, "msgStatuses: forgotten "
				 "and removed can not be asked with others");
	out->forgotten = has_word(list, "forgotten", false);
	out->nothing = !out->forgotten && !has_word(list, "processed", false);
	return BERTH_OK;
}

static int read_filters(const struct getter *from, struct query *out,
			struct fault *fault)
{
	static const char *const types[] = { "POST", "AGGREGATE", "STORE",
		"PROGRAM", "INSTANCE", "FORGET", "V-PROGRAM", NULL };
	int rc;

	out->types = get(from, "msgTypes");
	if (!out->types)
		out->types = get(from, "msgType");
	out->addresses = get(from, "addresses");
	out->owners = get(from, "owners");
	out->refs = get(from, "refs");
	out->content_hashes = get(from, "contentHashes");
	out->content_keys = get(from, "contentKeys");
	out->content_types = get(from, "contentTypes");
	out->chains = get(from, "chains");
	out->channels = get(from, "channels");
	out->tags = get(from, "tags");
	out->hashes = get(from, "hashes");
	out->payment_types = get(from, "paymentTypes");
	rc = check_words("msgTypes", out->types, types, fault);
	if (rc == BERTH_OK)
		rc = read_statuses(from, out, fault);
	if (rc == BERTH_OK)
		rc = read_time(from, "startDate", &out->start, fault);
	if (rc == BERTH_OK)
		rc = read_time(from, "endDate", &out->end, fault);
	if (rc == BERTH_OK && out->end > 0 && out->end < out->start)
		rc = fault_set(fault, BERTH_INVALID,
			       "endDate: before startDate");
	return rc;
}

/* A cursor names the last message of the page before, base64url of
 * {"h":item hash,"t":ISO time}: the hash tells the place exactly. */
static int base64url_decode(const char *text, char *out, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
				     "opqrstuvwxyz0123456789-_";
	uint32_t bits = 0, held = 0;
	size_t n = 0;
	const char *at;

	for (; *text && *text != '='; text++) {
		at = strchr(digits, *text);
		if (!at || n + 1 >= size)
			return -1;
		bits = bits << 6 | (uint32_t)(at - digits);
		held += 6;
		if (held >= 8) {
			held -= 8;
			out[n++] = (char)(bits >> held & 255);
		}
	}
	out[n] = '\0';
	return (int)n;
}

static int read_cursor(const struct ccn *ccn, const struct getter *from,
		       struct query *out, struct fault *fault)
{
	const char *text = from->get(from->ctx, "cursor"), *hash;
	struct fault unused;
	json_t *json = NULL;
	char plain[512];
	int size;

	out->has_cursor = text;
	if (!text || !*text)
		return BERTH_OK;
	size = base64url_decode(text, plain, sizeof plain);
	if (size > 0 && json_parse(plain, (size_t)size, sizeof plain, &json,
				   &unused) == BERTH_OK) {
		hash = json_string_value(json_object_get(json, "h"));
		out->after = hash ? ccn_find(ccn, hash) : NULL;
		json_decref(json);
	}
	if (!out->after)
		return fault_set(fault, BERTH_INVALID,
				 "cursor: \"%.80s\" was not given here", text);
	return BERTH_OK;
}

static int read_order(const struct getter *from, struct query *out,
		      struct fault *fault)
{
	static const char *const keys[] = { "time", "tx-time", NULL };
	static const char *const orders[] = { "-1", "1", NULL };
	static const char *const formats[] = { "full", "headers", "none",
					       NULL };
	static const char *const flags[] = { "false", "true", "0", "1", NULL };
	unsigned key = 0, order = 0, format = 0, exclude = 0;
	int rc;

	rc = read_choice(from, "sortBy", keys, &key, fault);
	if (rc == BERTH_OK)
		rc = read_choice(from, "sortOrder", orders, &order, fault);
	if (rc == BERTH_OK)
		rc = read_choice(from, "contentFormat", formats, &format,
				 fault);
	if (rc == BERTH_OK)
		rc = read_choice(from, "excludeContent", flags, &exclude,
				 fault);
	if (rc != BERTH_OK)
		return rc;
	out->by_reception = key == 1;
	out->oldest_first = order == 1;
	out->format = exclude % 2 ? QUERY_NONE : (enum query_format)format;
	return BERTH_OK;
}

static int read_page(const struct ccn *ccn, const struct getter *from,
		     struct query *out, struct fault *fault)
{
	int rc;

	rc = read_count(from, "pagination", 0, &out->page_size, fault);
	if (rc == BERTH_OK)
		rc = read_count(from, "page", 1, &out->page, fault);
	if (rc == BERTH_OK)
		rc = read_cursor(ccn, from, out, fault);
	if (rc != BERTH_OK || !out->has_cursor)
		return rc;
	if (out->page_size == 0)
		return fault_set(fault, BERTH_INVALID,
				 "pagination: 0 does not go with a cursor");
	if (out->by_reception)
		return fault_set(fault, BERTH_INVALID,
				 "sortBy: tx-time does not go with a cursor");
	if (out->forgotten)
		return fault_set(fault, BERTH_INVALID, "msgStatuses: forgotten "
				 "does not go with a cursor");
	if (out->page_size > QUERY_CURSOR_PAGE_SIZE_MAX)
		out->page_size = QUERY_CURSOR_PAGE_SIZE_MAX;
	return BERTH_OK;
}

int query_parse(const struct ccn *ccn,
		const char *(*getter)(void *ctx, const char *name), void *ctx,
		struct query *out, struct fault *fault)
{
	struct query query = { .page_size = QUERY_PAGE_SIZE, .page = 1 };
	struct getter from = { getter, ctx };
	int rc;

	rc = read_filters(&from, &query, fault);
	if (rc == BERTH_OK)
		rc = read_order(&from, &query, fault);
	if (rc == BERTH_OK)
		rc = read_page(ccn, &from, &query, fault);
	if (rc == BERTH_OK)
		*out = query;
	return rc;
}

static bool passes(const char *list, const char *text, bool any_case)
{
	return !list || (text && has_word(list, text, any_case));
}

static bool passes_tags(const char *list, const json_t *content)
{
	const json_t *tags = json_object_get(json_object_get(content,
							     "content"),
					     "tags");
	const char *tag;

	if (!list)
		return true;
	for (size_t i = 0; i < json_array_size(tags); i++) {
		tag = json_string_value(json_array_get(tags, i));
		if (tag && has_word(list, tag, false))
			return true;
	}
	return false;
}

/* Not paid otherwise is paid by holding: aleph.md 1.3. */
static const char *payment_of(const struct ccn_record *r)
{
	const char *type = json_string_value(json_object_get(
		json_object_get(r->message.content, "payment"), "type"));

	return type ? type : "hold";
}

static bool matches(const struct query *q, const struct ccn_record *r)
{
	const struct aleph_message *m = &r->message;

	if (q->nothing ||
	    r->status != (q->forgotten ? CCN_FORGOTTEN : CCN_PROCESSED))
		return false;
	return passes(q->types, aleph_type_name(m->type), false) &&
	       passes(q->hashes, m->item_hash, false) &&
	       passes(q->addresses, m->sender, true) &&
	       passes(q->owners, ccn__owner(r), true) &&
	       passes(q->chains, m->chain, false) &&
	       passes(q->channels, m->channel, false) &&
	       passes(q->refs, ccn__content_string(r, "ref"), false) &&
	       passes(q->content_hashes, ccn__content_string(r, "item_hash"),
		      false) &&
	       passes(q->content_keys, ccn__content_string(r, "key"), false) &&
	       passes(q->content_types, ccn__content_string(r, "type"),
		      false) &&
	       passes(q->payment_types, payment_of(r), false) &&
	       passes_tags(q->tags, m->content) && m->time >= q->start &&
	       (!(q->end > 0) || m->time < q->end);
}

/* Oldest first; equal times by hash, so that the order is one. */
static int compare_time(const struct ccn_record *a, const struct ccn_record *b)
{
	if (a->message.time < b->message.time)
		return -1;
	if (a->message.time > b->message.time)
		return 1;
	return strcmp(a->message.item_hash, b->message.item_hash);
}

static int by_time(const void *a, const void *b)
{
	return compare_time(*(const struct ccn_record *const *)a,
			    *(const struct ccn_record *const *)b);
}

static int by_time_down(const void *a, const void *b)
{
	return by_time(b, a);
}

static int by_reception(const void *a, const void *b)
{
	const struct ccn_record *x = *(const struct ccn_record *const *)a;
	const struct ccn_record *y = *(const struct ccn_record *const *)b;

	if (x->reception_us != y->reception_us)
		return x->reception_us < y->reception_us ? -1 : 1;
	return compare_time(x, y);
}

static int by_reception_down(const void *a, const void *b)
{
	return by_reception(b, a);
}

static void sort(const struct query *q, const struct ccn_record **found,
		 uint32_t count)
{
	int (*compare)(const void *, const void *);

	if (q->by_reception)
		compare = q->oldest_first ? by_reception : by_reception_down;
	else
		compare = q->oldest_first ? by_time : by_time_down;
	if (count > 1)
		qsort(found, count, sizeof *found, compare);
}

/* Index of the page's first record. */
static uint32_t first_of(const struct query *q,
			 const struct ccn_record *const *found, uint32_t count)
{
	uint64_t first = (uint64_t)(q->page - 1) * q->page_size;
	uint32_t i = 0;
	int order;

	if (!q->has_cursor)
		return first < count ? (uint32_t)first : count;
	for (; q->after && i < count; i++) {
		order = compare_time(found[i], q->after);
		if (q->oldest_first ? order > 0 : order < 0)
			break;
	}
	return i;
}

int query_run(const struct ccn *ccn, const struct query *query,
	      const struct ccn_record ***out, uint32_t *count, uint32_t *total,
	      bool *more)
{
	const struct ccn_record **found;
	uint32_t n = 0, first, left;

	found = calloc(ccn->record_count + 1u, sizeof *found);
	if (!found)
		return BERTH_NOMEM;
	for (uint32_t i = 0; i < ccn->record_count; i++)
		if (matches(query, ccn->records[i]))
			found[n++] = ccn->records[i];
	sort(query, found, n);
	first = first_of(query, found, n);
	left = n - first;
	if (query->page_size > 0 && left > query->page_size)
		left = query->page_size;
	memmove(found, found + first, left * sizeof *found);
	*out = found;
	*count = left;
	*total = n;
	*more = first + left < n;
	return BERTH_OK;
}
