#include "node/ccn/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void render_time(uint64_t time_us, char *text, size_t size)
{
	time_t seconds = (time_t)(time_us / 1000000);
	struct tm tm;
	char head[24];

	gmtime_r(&seconds, &tm);
	strftime(head, sizeof head, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, size, "%s.%06uZ", head, (unsigned)(time_us % 1000000));
}

static void put_time(struct json_writer *w, const char *key, uint64_t time_us)
{
	char text[40];

	render_time(time_us, text, sizeof text);
	jsonw_string(w, key, text);
}

static void put_json(struct json_writer *w, const char *key,
		     const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	if (text)
		jsonw_raw(w, key, text, strlen(text));
	else
		jsonw_null(w, key);
	free(text);
}

/* Inline content is given as it was signed, byte for byte. */
static void put_content(struct json_writer *w, const struct ccn_record *r)
{
	const struct aleph_message *m = &r->message;

	if (m->item_content)
		jsonw_raw(w, "content", m->item_content,
			  m->item_content_size);
	else
		put_json(w, "content", m->content);
}

static void put_content_head(struct json_writer *w,
			     const struct ccn_record *r)
{
	static const char *const kept[] = { "address", "time", "type", "key",
		"ref", "item_hash", "item_type", "payment", "on", "replaces" };
	const json_t *value;

	jsonw_object(w, "content");
	for (size_t i = 0; i < COUNT_OF(kept); i++) {
		value = json_object_get(r->message.content, kept[i]);
		if (value)
			put_json(w, kept[i], value);
	}
	jsonw_object_end(w);
}

static void put_envelope(struct json_writer *w, const struct ccn_record *r,
			 bool time_as_text)
{
	const struct aleph_message *m = &r->message;

	jsonw_string(w, "sender", m->sender);
	jsonw_string(w, "chain", m->chain);
	if (m->signature[0] == '{')
		jsonw_raw(w, "signature", m->signature, strlen(m->signature));
	else
		jsonw_string(w, "signature",
			     m->signature[0] ? m->signature : NULL);
	jsonw_string(w, "type", aleph_type_name(m->type));
	jsonw_string(w, "item_type", m->item_type == ALEPH_INLINE ? "inline" :
		     m->item_type == ALEPH_STORAGE ? "storage" : "ipfs");
	jsonw_string(w, "item_hash", m->item_hash);
	if (time_as_text)
		put_time(w, "time", (uint64_t)(m->time * 1e6 + 0.5));
	else
		jsonw_double(w, "time", m->time);
	jsonw_string(w, "channel", m->channel[0] ? m->channel : NULL);
}

static void put_message(struct json_writer *w, const char *key,
			const struct ccn_record *r, enum query_format format)
{
	jsonw_object(w, key);
	put_envelope(w, r, false);
	jsonw_uint(w, "size", r->size);
	jsonw_bool(w, "confirmed", false);
	jsonw_array(w, "confirmations");
	jsonw_array_end(w);
	if (format == QUERY_FULL) {
		jsonw_string(w, "item_content", r->message.item_content);
		put_content(w, r);
	} else if (format == QUERY_HEADERS) {
		put_content_head(w, r);
	}
	jsonw_object_end(w);
}

/* What is left to be seen of a message that is gone. */
static void put_forgotten(struct json_writer *w, const struct ccn_record *r)
{
	jsonw_object(w, NULL);
	put_envelope(w, r, false);
	jsonw_string(w, "status", "forgotten");
	jsonw_string(w, "owner", ccn__owner(r));
	jsonw_array(w, "forgotten_by");
	jsonw_string(w, NULL, r->forgotten_by);
	jsonw_array_end(w);
	jsonw_object_end(w);
}

static size_t base64url(const char *data, size_t size, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn"
				     "opqrstuvwxyz0123456789-_";
	uint32_t bits = 0, held = 0;
	size_t n = 0;

	for (size_t i = 0; i < size; i++) {
		bits = bits << 8 | (uint8_t)data[i];
		for (held += 8; held >= 6; held -= 6)
			out[n++] = digits[bits >> (held - 6) & 63];
	}
	if (held > 0)
		out[n++] = digits[bits << (6 - held) & 63];
	out[n] = '\0';
	return n;
}

static void put_next_cursor(struct json_writer *w,
			    const struct ccn_record *last)
{
	char plain[192], encoded[sizeof plain * 2], time[40];
	int size;

	if (!last) {
		jsonw_null(w, "next_cursor");
		return;
	}
	render_time((uint64_t)(last->message.time * 1e6 + 0.5), time,
		    sizeof time);
	size = snprintf(plain, sizeof plain, "{\"h\":\"%s\",\"t\":\"%s\"}",
			last->message.item_hash, time);
	base64url(plain, (size_t)size, encoded);
	jsonw_string(w, "next_cursor", encoded);
}

int render_list(const struct ccn *ccn, const struct query *query,
		struct json_writer *w)
{
	const struct ccn_record **found;
	uint32_t count, total;
	bool more;

	if (query_run(ccn, query, &found, &count, &total, &more) != BERTH_OK)
		return BERTH_NOMEM;
	jsonw_object(w, NULL);
	jsonw_array(w, "messages");
	for (uint32_t i = 0; i < count; i++) {
		if (query->forgotten)
			put_forgotten(w, found[i]);
		else
			put_message(w, NULL, found[i], query->format);
	}
	jsonw_array_end(w);
	jsonw_uint(w, "pagination_per_page", query->page_size);
	if (query->has_cursor) {
		put_next_cursor(w, more ? found[count - 1] : NULL);
	} else {
		jsonw_uint(w, "pagination_page", query->page);
		jsonw_uint(w, "pagination_total", total);
		jsonw_string(w, "pagination_item", "messages");
	}
	jsonw_object_end(w);
	free(found);
	return w->failed ? BERTH_NOMEM : BERTH_OK;
}

static void put_status(const struct ccn_record *r, struct json_writer *w)
{
	jsonw_string(w, "status", ccn_status_name(r->status));
	jsonw_string(w, "item_hash", r->message.item_hash);
	put_time(w, "reception_time", r->reception_us);
}

void render_status(const struct ccn_record *record, struct json_writer *w)
{
	jsonw_object(w, NULL);
	put_status(record, w);
	jsonw_object_end(w);
}

static void put_pending(const struct ccn_record *r, struct json_writer *w)
{
	jsonw_array(w, "messages");
	jsonw_object(w, NULL);
	put_envelope(w, r, true);
	jsonw_string(w, "item_content", r->message.item_content);
	put_content(w, r);
	put_time(w, "reception_time", r->reception_us);
	jsonw_object_end(w);
	jsonw_array_end(w);
	/* Ours: what it waits for. */
	jsonw_int(w, "error_code", r->code);
	jsonw_object(w, "details");
	jsonw_array(w, "errors");
	jsonw_string(w, NULL, r->error);
	jsonw_array_end(w);
	jsonw_object_end(w);
}

static void put_rejected(const struct ccn_record *r, struct json_writer *w)
{
	put_message(w, "message", r, QUERY_FULL);
	jsonw_int(w, "error_code", r->code);
	jsonw_object(w, "details");
	jsonw_array(w, "errors");
	jsonw_string(w, NULL, r->error);
	jsonw_array_end(w);
	jsonw_object_end(w);
}

void render_item(const struct ccn_record *record, struct json_writer *w)
{
	jsonw_object(w, NULL);
	put_status(record, w);
	switch (record->status) {
	case CCN_PENDING:
		put_pending(record, w);
		break;
	case CCN_PROCESSED:
		put_message(w, "message", record, QUERY_FULL);
		break;
	case CCN_REJECTED:
		put_rejected(record, w);
		break;
	case CCN_FORGOTTEN:
		jsonw_object(w, "message");
		put_envelope(w, record, true);
		jsonw_object_end(w);
		jsonw_array(w, "forgotten_by");
		jsonw_string(w, NULL, record->forgotten_by);
		jsonw_array_end(w);
		break;
	}
	jsonw_object_end(w);
}
