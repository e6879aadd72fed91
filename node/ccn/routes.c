#include "node/ccn/routes.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/ccn/render.h"

/* Read by anybody, from any page: there is nothing here to protect. */
static const struct httpd_header headers[] = {
	{ "Access-Control-Allow-Origin", "*" },
};

static void answer(struct httpd_request *request, int status,
		   const char *type, const void *body, size_t size)
{
	httpd_respond(request, status, headers, COUNT_OF(headers), type, body,
		      size);
}

void routes__answer(struct httpd_request *request, int status,
		    struct json_writer *w)
{
	if (w->failed)
		httpd_respond_error(request, 503, "busy", "out of memory");
	else
		answer(request, status, "application/json", w->data, w->size);
	jsonw_fini(w);
}

static void answer_json(struct httpd_request *request, const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	if (text)
		answer(request, 200, "application/json", text, strlen(text));
	else
		httpd_respond_error(request, 503, "busy", "out of memory");
	free(text);
}

void routes__fail(struct httpd_request *request, const struct fault *fault)
{
	static const struct {
		int code, status;
		const char *name;
	} rows[] = {
		{ BERTH_MALFORMED, 422, "malformed" },
		{ BERTH_INVALID, 422, "invalid" },
		{ BERTH_MISMATCH, 422, "mismatch" },
		{ BERTH_TOOBIG, 413, "too_big" },
		{ BERTH_DENIED, 400, "denied" },
		{ BERTH_NOTFOUND, 404, "not_found" },
		{ BERTH_BUSY, 503, "busy" },
		{ BERTH_NOMEM, 503, "busy" },
		{ BERTH_NOSPACE, 507, "no_space" },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		if (rows[i].code == fault->code) {
			httpd_respond_error(request, rows[i].status,
					    rows[i].name, "%s", fault->text);
			return;
		}
	httpd_respond_error(request, 500, "io", "%s", fault->text);
}

static const char *param(void *request, const char *name)
{
	return httpd_param(request, name);
}

static void list(struct ccn *ccn, struct httpd_request *request,
		 struct query *query)
{
	struct json_writer w;

	jsonw_init(&w);
	if (render_list(ccn, query, &w) != BERTH_OK)
		w.failed = true;
	routes__answer(request, 200, &w);
}

static void get_messages(struct ccn *ccn, struct httpd_request *request,
			 const char *rest)
{
	struct query query;
	struct fault fault;

	(void)rest;
	if (query_parse(ccn, param, request, &query, &fault) != BERTH_OK)
		routes__fail(request, &fault);
	else
		list(ccn, request, &query);
}

static void get_messages_page(struct ccn *ccn, struct httpd_request *request,
			      const char *rest)
{
	unsigned long page;
	struct query query;
	struct fault fault;
	char *end;

	page = strtoul(rest, &end, 10);
	if (*end || *rest < '0' || *rest > '9' || page < 1 ||
	    page > 1000000000)
		fault_set(&fault, BERTH_INVALID,
			  "page: \"%.40s\" is not a count from 1", rest);
	else if (query_parse(ccn, param, request, &query, &fault) ==
		 BERTH_OK) {
		query.page = (uint32_t)page;
		list(ccn, request, &query);
		return;
	}
	routes__fail(request, &fault);
}

static const struct ccn_record *known(struct ccn *ccn,
				      struct httpd_request *request,
				      const char *hash)
{
	const struct ccn_record *record = ccn_find(ccn, hash);

	if (!record)
		httpd_respond_error(request, 404, "not_found",
				    "no message %.100s", hash);
	return record;
}

static void get_message(struct ccn *ccn, struct httpd_request *request,
			const char *rest)
{
	const struct ccn_record *record = known(ccn, request, rest);
	struct json_writer w;

	if (!record)
		return;
	jsonw_init(&w);
	render_item(record, &w);
	routes__answer(request, 200, &w);
}

static void get_message_status(struct ccn *ccn, struct httpd_request *request,
			       const char *rest)
{
	const struct ccn_record *record = known(ccn, request, rest);
	struct json_writer w;

	if (!record)
		return;
	jsonw_init(&w);
	render_status(record, &w);
	routes__answer(request, 200, &w);
}

static void get_message_content(struct ccn *ccn, struct httpd_request *request,
				const char *rest)
{
	const struct ccn_record *record = known(ccn, request, rest);

	if (record && record->status == CCN_PROCESSED)
		answer_json(request, record->message.content);
	else if (record)
		httpd_respond_error(request,
				    record->status == CCN_FORGOTTEN ? 410 : 404,
				    "not_found", "the message is %s",
				    ccn_status_name(record->status));
}

static void get_aggregates(struct ccn *ccn, struct httpd_request *request,
			   const char *rest)
{
	const char *only = httpd_param(request, "value_only");
	const char *keys = httpd_param(request, "keys");
	json_t *data = render_aggregates(ccn, rest, keys), *body;

	if (!data) {
		httpd_respond_error(request, 404, "not_found",
				    "no aggregate of %.100s", rest);
		return;
	}
	if (only && (*only == '1' || *only == 't'))
		body = json_incref(json_object_size(data) == 1 ?
			json_object_iter_value(json_object_iter(data)) : data);
	else
		body = json_pack("{ss sO s{}}", "address", rest, "data", data,
				 "info");
	answer_json(request, body);
	json_decref(body);
	json_decref(data);
}

/* Reads a whole file: true, and the caller frees it. */
static bool load(struct ccn *ccn, struct httpd_request *request,
		 const char *hash, const struct ccn_file **file, void **data)
{
	struct fault fault;

	*file = ccn_file_find(ccn, hash);
	if (!*file) {
		httpd_respond_error(request, 404, "not_found",
				    "no file %.100s", hash);
		return false;
	}
	if (ccn_file_read(ccn, *file, data, &fault) == BERTH_OK)
		return true;
	routes__fail(request, &fault);
	return false;
}

static void get_raw(struct ccn *ccn, struct httpd_request *request,
		    const char *rest)
{
	const struct ccn_file *file;
	void *data;

	if (!load(ccn, request, rest, &file, &data))
		return;
	answer(request, 200, "application/octet-stream", data,
	       (size_t)file->size);
	free(data);
}

static void get_stored(struct ccn *ccn, struct httpd_request *request,
		       const char *rest)
{
	const struct ccn_file *file;
	unsigned char *text;
	struct json_writer w;
	void *data;
	int size;

	if (!load(ccn, request, rest, &file, &data))
		return;
	text = malloc((size_t)file->size / 3 * 4 + 8);
	jsonw_init(&w);
	if (text) {
		size = EVP_EncodeBlock(text, data, (int)file->size);
		jsonw_object(&w, NULL);
		jsonw_string(&w, "status", "success");
		jsonw_string(&w, "hash", rest);
		jsonw_string(&w, "engine", "storage");
		jsonw_text(&w, "content", (char *)text, (size_t)size);
		jsonw_object_end(&w);
	} else {
		w.failed = true;
	}
	routes__answer(request, 200, &w);
	free(text);
	free(data);
}

static void get_version(struct ccn *ccn, struct httpd_request *request,
			const char *rest)
{
	static const char text[] = "{\"version\":\"" CCN_VERSION "\"}";

	(void)ccn;
	(void)rest;
	answer(request, 200, "application/json", text, sizeof text - 1);
}

static void get_info(struct ccn *ccn, struct httpd_request *request,
		     const char *rest)
{
	struct json_writer w;

	(void)rest;
	jsonw_init(&w);
	jsonw_object(&w, NULL);
	jsonw_array(&w, "node_multi_addresses");
	jsonw_array_end(&w);
	jsonw_uint(&w, "messages", ccn->record_count);
	jsonw_uint(&w, "pending", ccn->pending_count);
	jsonw_uint(&w, "files", ccn->file_count);
	jsonw_object_end(&w);
	routes__answer(request, 200, &w);
}

/* Everybody is rich here. */
static void get_balance(struct ccn *ccn, struct httpd_request *request,
			const char *rest)
{
	struct json_writer w;

	(void)ccn;
	jsonw_init(&w);
	jsonw_object(&w, NULL);
	jsonw_string(&w, "address", rest);
	jsonw_double(&w, "balance", 1e6);
	jsonw_object(&w, "details");
	jsonw_double(&w, "ETH", 1e6);
	jsonw_object_end(&w);
	jsonw_double(&w, "locked_amount", 0);
	jsonw_uint(&w, "credit_balance", 1000000000);
	jsonw_object_end(&w);
	routes__answer(request, 200, &w);
}

static void answer_price(struct httpd_request *request,
			 const json_t *content)
{
	const char *type = json_string_value(json_object_get(
		json_object_get(content, "payment"), "type"));
	struct json_writer w;

	jsonw_init(&w);
	jsonw_object(&w, NULL);
	jsonw_double(&w, "required_tokens", 0);
	jsonw_string(&w, "payment_type", type ? type : "hold");
	jsonw_string(&w, "cost", "0");
	jsonw_array(&w, "detail");
	jsonw_array_end(&w);
	jsonw_string(&w, "charged_address",
		     json_string_value(json_object_get(content, "address")));
	jsonw_object_end(&w);
	routes__answer(request, 200, &w);
}

/* The signature is a dummy then: only the content is looked at. */
static void estimate_price(struct ccn *ccn, struct httpd_request *request,
			   const char *rest)
{
	struct aleph_message message = { .content = NULL };
	struct fault fault;
	json_t *body = NULL;
	const void *data;
	size_t size;
	int rc;

	(void)ccn;
	(void)rest;
	data = httpd_body(request, &size);
	rc = json_parse(data, size, ALEPH_MESSAGE_SIZE_MAX, &body, &fault);
	if (rc == BERTH_OK)
		rc = aleph_message_parse(json_object_get(body, "message"),
					 &message, &fault);
	if (rc == BERTH_OK)
		rc = aleph_content_check(&message, &fault);
	if (rc == BERTH_OK)
		answer_price(request, message.content);
	else
		routes__fail(request, &fault);
	aleph_message_fini(&message);
	json_decref(body);
}

static void get_price(struct ccn *ccn, struct httpd_request *request,
		      const char *rest)
{
	const struct ccn_record *record = known(ccn, request, rest);

	if (record)
		answer_price(request, record->message.content);
}

struct route {
	const char *method, *prefix, *suffix;
	void (*handle)(struct ccn *ccn, struct httpd_request *request,
		       const char *rest);
};

/* The first that fits; "" as suffix: all that remains, without a slash. NULL:
 * the path is the prefix. */
static const struct route routes[] = {
	{ "POST", "/api/v0/messages", NULL, routes__post_message },
	{ "POST", "/api/v0/ipfs/pubsub/pub", NULL, routes__pubsub },
	{ "POST", "/api/v0/p2p/pubsub/pub", NULL, routes__pubsub },
	{ "GET", "/api/v0/messages.json", NULL, get_messages },
	{ "GET", "/api/v0/messages/page/", ".json", get_messages_page },
	{ "GET", "/api/v0/messages/", "/status", get_message_status },
	{ "GET", "/api/v0/messages/", "/content", get_message_content },
	{ "GET", "/api/v0/messages/", "", get_message },
	{ "GET", "/api/v0/aggregates/", ".json", get_aggregates },
	{ "POST", "/api/v0/storage/add_file", NULL, routes__add_file },
	{ "POST", "/api/v0/storage/add_json", NULL, routes__add_json },
	{ "POST", "/api/v0/ipfs/add_file", NULL, routes__add_file_ipfs },
	{ "POST", "/api/v0/ipfs/add_json", NULL, routes__add_json_ipfs },
	{ "GET", "/api/v0/storage/raw/", "", get_raw },
	{ "GET", "/api/v0/storage/", "", get_stored },
	{ "GET", "/api/v0/version", NULL, get_version },
	{ "GET", "/version", NULL, get_version },
	{ "GET", "/api/v0/info/public.json", NULL, get_info },
	{ "GET", "/api/v0/addresses/", "/balance", get_balance },
	{ "POST", "/api/v0/price/estimate", NULL, estimate_price },
	{ "GET", "/api/v0/price/", "", get_price },
};

/* True: the path is of this route; `rest` is what stands in the middle. */
static bool fits(const struct route *route, const char *path, char *rest,
		 size_t rest_size)
{
	size_t before = strlen(route->prefix), size = strlen(path), after;

	if (!route->suffix)
		return strcmp(path, route->prefix) == 0;
	after = strlen(route->suffix);
	if (size <= before + after || size - before - after >= rest_size ||
	    memcmp(path, route->prefix, before) != 0 ||
	    memcmp(path + size - after, route->suffix, after) != 0)
		return false;
	memcpy(rest, path + before, size - before - after);
	rest[size - before - after] = '\0';
	return !strchr(rest, '/');
}

void routes_handle(void *ctx, struct httpd_request *request)
{
	const char *path = httpd_path(request);
	bool other_method = false;
	char rest[256] = "";

	for (size_t i = 0; i < COUNT_OF(routes); i++) {
		if (!fits(&routes[i], path, rest, sizeof rest))
			continue;
		if (strcmp(httpd_method(request), routes[i].method) == 0) {
			routes[i].handle(ctx, request, rest);
			return;
		}
		other_method = true;
	}
	if (other_method)
		httpd_respond_error(request, 405, "method", "%s is not for %s",
				    httpd_method(request), path);
	else
		httpd_respond_error(request, 404, "not_found",
				    "nothing at %.200s", path);
}
