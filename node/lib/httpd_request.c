#include "node/lib/httpd_inner.h"

#include <stdio.h>
#include <stdlib.h>

/* Everything is copied out of libwebsockets, which drops its own tables as it
 * likes. It decodes the path once and resolves "//", "." and ".."; raw_path
 * and query are put back into their encoded form from that. */

#define TARGET_SIZE_MAX HTTPD_HEADERS_SIZE_MAX

struct httpd_request *httpd__request_make(struct httpd_conn *conn)
{
	struct httpd_request *request = calloc(1, sizeof *request);

	if (!request)
		return NULL;
	request->httpd = conn->httpd;
	request->conn = conn;
	request->authority = conn->authority;
	snprintf(request->who, sizeof request->who, "%s", conn->who);
	return request;
}

void httpd__request_free(struct httpd_request *request)
{
	struct httpd_piece *piece;
	struct httpd_param *param;

	request->httpd->held -= request->held + request->queued;
	while ((piece = request->first)) {
		request->first = piece->next;
		free(piece);
	}
	while ((param = request->params)) {
		request->params = param->next;
		free(param->name);
		free(param->value);
		free(param);
	}
	for (uint32_t i = 0; i < request->header_count; i++)
		free((void *)(uintptr_t)request->headers[i].name);
	free(request->path);
	free(request->raw_path);
	free(request->query);
	free(request->body);
	free(request);
}

/* Name and value share one allocation. */
static bool add_header(struct httpd_request *request, const char *name,
		       size_t name_size, const char *value)
{
	size_t value_size = strlen(value);
	char *text;

	if (request->header_count == HTTPD_HEADERS_MAX)
		return false;
	text = malloc(name_size + value_size + 2);
	if (!text)
		return false;
	memcpy(text, name, name_size);
	text[name_size] = '\0';
	memcpy(text + name_size + 1, value, value_size + 1);
	request->headers[request->header_count].name = text;
	request->headers[request->header_count].value = text + name_size + 1;
	request->header_count++;
	return true;
}

static const struct {
	enum lws_token_indexes token;
	const char *name;
} methods[] = {
	{ WSI_TOKEN_GET_URI, "GET" },	    { WSI_TOKEN_POST_URI, "POST" },
	{ WSI_TOKEN_PUT_URI, "PUT" },	    { WSI_TOKEN_DELETE_URI, "DELETE" },
	{ WSI_TOKEN_PATCH_URI, "PATCH" },   { WSI_TOKEN_HEAD_URI, "HEAD" },
	{ WSI_TOKEN_OPTIONS_URI, "OPTIONS" },
};

static bool is_method(int token)
{
	for (uint32_t i = 0; i < COUNT_OF(methods); i++)
		if ((int)methods[i].token == token)
			return true;
	return false;
}

/* Headers that libwebsockets knows by number. "get ", ":path" and the like
 * are in the same table. */
static bool read_known(struct httpd_request *request, struct lws *wsi)
{
	char value[HTTPD_HEADERS_SIZE_MAX + 512];

	for (int token = 0; token < WSI_TOKEN_COUNT; token++) {
		enum lws_token_indexes at = (enum lws_token_indexes)token;
		const char *name = (const char *)lws_token_to_string(at);
		size_t size = name ? strlen(name) : 0;

		if (size < 2 || name[0] == ':' || name[size - 1] != ':' ||
		    is_method(token) || lws_hdr_total_length(wsi, at) <= 0)
			continue;
		if (lws_hdr_copy(wsi, value, sizeof value, at) < 0 ||
		    !add_header(request, name, size - 1, value))
			return false;
	}
	return true;
}

static bool read_custom(struct httpd_request *request, struct lws *wsi,
			const char *name, size_t size)
{
	char value[HTTPD_HEADERS_SIZE_MAX + 512];

	if (lws_hdr_custom_copy(wsi, value, sizeof value, name, (int)size) < 0)
		return false;
	return add_header(request, name, size - 1, value);
}

#if LWS_LIBRARY_VERSION_NUMBER >= 4003000
struct custom {
	struct httpd_request *request;
	struct lws *wsi;
	bool failed;
};

static void each_custom(const char *name, int size, void *opaque)
{
	struct custom *custom = opaque;

	if (size > 1 && !read_custom(custom->request, custom->wsi, name,
				     (size_t)size))
		custom->failed = true;
}

static bool read_all_custom(struct httpd_request *request, struct lws *wsi)
{
	struct custom custom = { request, wsi, false };

	lws_hdr_custom_name_foreach(wsi, each_custom, &custom);
	return !custom.failed;
}
#else
/* This version cannot list headers that it has no number for: ask for those
 * that matter to us and to programs behind the door. */
static bool read_all_custom(struct httpd_request *request, struct lws *wsi)
{
	static const char *const names[] = {
		"berth-request-id:", "dnt:", "forwarded:", "idempotency-key:",
		"keep-alive:", "priority:", "sec-ch-ua:", "sec-fetch-dest:",
		"sec-fetch-mode:", "sec-fetch-site:", "sec-fetch-user:",
		"te:", "traceparent:", "tracestate:", "trailer:",
		"upgrade-insecure-requests:", "x-api-key:", "x-auth-token:",
		"x-csrf-token:", "x-forwarded-host:", "x-forwarded-port:",
		"x-forwarded-prefix:", "x-forwarded-proto:",
		"x-http-method-override:", "x-original-uri:",
		"x-request-id:", "x-requested-with:", "x-signature:",
		"x-signedpubkey:", "x-signedoperation:",
	};

	for (uint32_t i = 0; i < COUNT_OF(names); i++) {
		size_t size = strlen(names[i]);

		if (lws_hdr_custom_length(wsi, names[i], (int)size) >= 0 &&
		    !read_custom(request, wsi, names[i], size))
			return false;
	}
	return true;
}
#endif

static bool is_plain(unsigned char c, const char *also)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr(also, c));
}

/* Appends `text` in percent-encoding; false if there is no room. */
static bool encode(char *out, size_t *used, size_t size, const char *text,
		   const char *also)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (*used + 4 > size)
			return false;
		if (is_plain(c, also))
			out[(*used)++] = (char)c;
		else
			*used += (size_t)snprintf(out + *used, 4, "%%%02X", c);
	}
	out[*used] = '\0';
	return true;
}

/* Fragments stand where '&' or ';' was, also in the path. */
static bool read_path(struct httpd_request *request, struct lws *wsi,
		      enum lws_token_indexes token)
{
	char path[TARGET_SIZE_MAX + 512], raw[3 * sizeof path];
	size_t used = 0, raw_used = 0;
	int size;

	path[0] = '\0';
	for (int i = 0; used < sizeof path - 2; i++) {
		char *at = path + used + (i > 0);

		size = lws_hdr_copy_fragment(
			wsi, at, (int)(sizeof path - used - 2), token, i);
		if (size < 0)
			break;
		if ((size_t)size != strlen(at)) /* a NUL inside: "%00" */
			return false;
		if (i > 0)
			path[used++] = '&';
		used += strlen(at);
	}
	if (path[0] != '/' ||
	    !encode(raw, &raw_used, sizeof raw, path, "/-._~!$&'()*+,;=:@"))
		return false;
	request->path = strdup(path);
	request->raw_path = strdup(raw);
	return request->path && request->raw_path;
}

static bool add_param(struct httpd_request *request, const char *name,
		      const char *value)
{
	struct httpd_param *param = calloc(1, sizeof *param);

	if (!param)
		return false;
	param->next = request->params;
	request->params = param;
	param->name = strdup(name);
	param->value = strdup(value);
	return param->name && param->value;
}

static bool read_query(struct httpd_request *request, struct lws *wsi)
{
	char text[TARGET_SIZE_MAX + 512], raw[3 * sizeof text];
	size_t used = 0;

	raw[0] = '\0';
	for (int i = 0;; i++) {
		char *value;
		int size = lws_hdr_copy_fragment(wsi, text, sizeof text,
						 WSI_TOKEN_HTTP_URI_ARGS, i);

		if (size < 0)
			break;
		if ((size_t)size != strlen(text))
			return false;
		value = strchr(text, '=');
		if (value)
			*value++ = '\0';
		if (used + 2 > sizeof raw)
			return false;
		if (i > 0)
			raw[used++] = '&';
		if (!encode(raw, &used, sizeof raw, text, "-._~!$'()*,:@/?"))
			return false;
		if (value) {
			if (used + 2 > sizeof raw)
				return false;
			raw[used++] = '=';
			if (!encode(raw, &used, sizeof raw, value,
				    "-._~!$'()*,:@/?="))
				return false;
		}
		raw[used] = '\0';
		if (!add_param(request, text, value ? value : ""))
			return false;
	}
	request->query = strdup(raw);
	return request->query != NULL;
}

bool httpd__request_read(struct httpd_request *request, struct lws *wsi)
{
	enum lws_token_indexes token = WSI_TOKEN_GET_URI;
	char version[16] = "";
	bool found = false;

	for (uint32_t i = 0; i < COUNT_OF(methods) && !found; i++) {
		if (lws_hdr_total_length(wsi, methods[i].token) <= 0)
			continue;
		token = methods[i].token;
		snprintf(request->method, sizeof request->method, "%s",
			 methods[i].name);
		found = true;
	}
	lws_hdr_copy(wsi, version, sizeof version, WSI_TOKEN_HTTP);
	request->http11 = strcmp(version, "HTTP/1.1") == 0;
	if (!request->http11)
		request->close = true;
	request->head = strcmp(request->method, "HEAD") == 0;
	return found && read_path(request, wsi, token) &&
	       read_query(request, wsi) && read_known(request, wsi) &&
	       read_all_custom(request, wsi);
}

const char *httpd_method(const struct httpd_request *request)
{
	return request->method;
}

const char *httpd_path(const struct httpd_request *request)
{
	return request->path;
}

const char *httpd_raw_path(const struct httpd_request *request)
{
	return request->raw_path;
}

const char *httpd_query(const struct httpd_request *request)
{
	return request->query;
}

const char *httpd_param(const struct httpd_request *request, const char *name)
{
	for (struct httpd_param *at = request->params; at; at = at->next)
		if (strcmp(at->name, name) == 0)
			return at->value;
	return NULL;
}

/* One that was not copied with the others may still be asked for by name. */
static const char *find_custom(struct httpd_request *request, const char *name)
{
	char text[128];
	int size = snprintf(text, sizeof text, "%s:", name);

	if (!request->conn || size <= 0 || (size_t)size >= sizeof text ||
	    lws_hdr_custom_length(request->conn->wsi, text, size) < 0 ||
	    !read_custom(request, request->conn->wsi, text, (size_t)size))
		return NULL;
	return request->headers[request->header_count - 1].value;
}

const char *httpd_header(const struct httpd_request *request, const char *name)
{
	for (uint32_t i = 0; i < request->header_count; i++)
		if (strcmp(request->headers[i].name, name) == 0)
			return request->headers[i].value;
	return find_custom((struct httpd_request *)(uintptr_t)request, name);
}

const void *httpd_body(const struct httpd_request *request, size_t *size)
{
	*size = request->body_size;
	return request->body ? request->body : "";
}

enum httpd_authority httpd_authority(const struct httpd_request *request)
{
	return request->authority;
}

const char *httpd_who(const struct httpd_request *request)
{
	return request->who;
}

bool httpd_header_at(const struct httpd_request *request, uint32_t index,
		     const char **name, const char **value)
{
	if (index >= request->header_count)
		return false;
	*name = request->headers[index].name;
	*value = request->headers[index].value;
	return true;
}

void httpd_set_data(struct httpd_request *request, void *data)
{
	request->data = data;
}

void *httpd_data(const struct httpd_request *request)
{
	return request->data;
}
