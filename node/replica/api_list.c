/* Lists, read in the pool from a frozen view. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "node/replica/api_internal.h"

struct page {
	uint64_t number, size, skip, total;
};

static bool number(const struct api_request *request, const char *name,
		   uint64_t standard, uint64_t *out)
{
	char value[16];
	uint64_t n = 0;

	*out = standard;
	if (!api_param(request, name, value, sizeof value))
		return true;
	for (const char *at = value; *at; at++) {
		if (!isdigit((unsigned char)*at))
			return false;
		n = n * 10 + (uint64_t)(*at - '0');
	}
	*out = n;
	return n > 0;
}

static void refuse(struct api_request *request, const char *message)
{
	request->status = 400;
	request->error = "malformed";
	snprintf(request->message, sizeof request->message, "%s", message);
}

static bool page_of(struct api_request *request, struct page *page)
{
	*page = (struct page){ 0 };
	if (!number(request, "page", 1, &page->number) ||
	    page->number > UINT32_MAX) {
		refuse(request, "page: a number from 1");
		return false;
	}
	if (!number(request, "page_size", 100, &page->size)) {
		refuse(request, "page_size: a number from 1 to 200");
		return false;
	}
	if (page->size > API_PAGE_SIZE_MAX)
		page->size = API_PAGE_SIZE_MAX;
	page->skip = (page->number - 1) * page->size;
	return true;
}

/* Counts one that fits; true if it is on the page. */
static bool on_page(struct page *page)
{
	uint64_t at = page->total++;

	return at >= page->skip && at - page->skip < page->size;
}

static void list_end(struct json_writer *w, const struct page *page,
		     stamp_t changed)
{
	char text[24];

	jsonw_array_end(w);
	snprintf(text, sizeof text, "%llu", (unsigned long long)changed);
	jsonw_string(w, "changed", text);
	jsonw_uint(w, "total", page->total);
	jsonw_uint(w, "page", page->number);
	jsonw_uint(w, "page_size", page->size);
	jsonw_object_end(w);
}

void api_crns(struct api_request *request, const struct fsm_view *view)
{
	struct json_writer *w = &request->json;
	struct fsm_status status;
	struct fsm_crn crn;
	struct page page;

	if (!page_of(request, &page))
		return;
	fsm_status(view, &status);
	jsonw_object(w, NULL);
	jsonw_array(w, "crns");
	for (slot_t i = 0; i < fsm_crn_bound(view); i++)
		if (fsm_crn_read(view, i, &crn) && on_page(&page))
			api_json_crn(w, &crn, status.c_ms);
	list_end(w, &page, status.crns_changed);
}

struct filter {
	bool by_owner, by_state, by_crn;
	char owner[FSM_TEXT_SIZE_MAX + 1], state[16];
	struct hash crn;
};

static bool filter_of(struct api_request *request, struct filter *f)
{
	char crn[80];

	*f = (struct filter){ 0 };
	f->by_owner = api_param(request, "owner", f->owner, sizeof f->owner);
	f->by_state = api_param(request, "state", f->state, sizeof f->state);
	f->by_crn = api_param(request, "crn", crn, sizeof crn);
	if (f->by_crn && (strlen(crn) != 64 || hash_parse(crn, &f->crn))) {
		refuse(request, "crn: 64 hexadecimal digits");
		return false;
	}
	return true;
}

/* Addresses are compared without regard to case: checksums differ by it. */
static bool fits(const struct filter *f, const struct fsm_program *p)
{
	if (f->by_owner && (strlen(f->owner) != p->owner.size ||
			    strncasecmp(f->owner, p->owner.data,
					p->owner.size)))
		return false;
	if (f->by_state && strcmp(f->state, api_program_state(p)))
		return false;
	return !f->by_crn || (p->crn != SLOT_NONE &&
			      hash_equal(&f->crn, &p->crn_hash));
}

static void program(struct api_request *request, const struct fsm_view *view,
		    slot_t slot, const struct fsm_program *p, uint64_t c_ms)
{
	struct api_program_row row = { .program = p, .c_ms = c_ms };
	enum place_reason reason;
	struct api_run_row *run = NULL;
	struct fsm_crn crn;
	char text[512];

	if (request->rows && p->state != PROGRAM_FREE &&
	    request->row_count < API_PAGE_SIZE_MAX) {
		run = &request->rows[request->row_count++];
		*run = (struct api_run_row){ .program = p->hash,
					     .gen = p->gen,
					     .epoch = p->epoch };
		row.status_end = &run->end;
	}
	if ((p->state == PROGRAM_ASSIGNED || p->state == PROGRAM_REVOKING) &&
	    p->crn != SLOT_NONE && fsm_crn_read(view, p->crn, &crn))
		row.crn = &crn;
	if (api_reason(view, request->api, slot, p, &reason, text,
		       sizeof text)) {
		row.reason = api_reason_name(reason);
		row.explained = text;
	}
	api_json_program(&request->json, &row);
}

/* The JSON anew, with a word for each "null" whose row has one. */
void api_rows_fill(struct api_request *request)
{
	struct json_writer *w = &request->json;
	size_t capacity = w->size + (size_t)request->row_count * 16 + 1;
	size_t from = 0, to = 0;
	char *data = w->failed ? NULL : malloc(capacity);

	for (uint32_t i = 0; data && i < request->row_count; i++) {
		const struct api_run_row *row = &request->rows[i];
		size_t size = row->end - strlen("null") - from;

		if (!row->status)
			continue;
		memcpy(data + to, w->data + from, size);
		to += size;
		to += (size_t)snprintf(data + to, 16, "\"%.12s\"",
				       run_status_name(row->status));
		from = row->end;
	}
	if (!data)
		return;
	memcpy(data + to, w->data + from, w->size - from);
	w->size = to + w->size - from;
	w->capacity = capacity;
	free(w->data);
	w->data = data;
}

void api_programs(struct api_request *request, const struct fsm_view *view)
{
	struct json_writer *w = &request->json;
	struct fsm_status status;
	struct fsm_program p;
	struct filter filter;
	struct page page;

	if (!page_of(request, &page) || !filter_of(request, &filter))
		return;
	fsm_status(view, &status);
	jsonw_object(w, NULL);
	jsonw_array(w, "programs");
	for (slot_t i = 0; i < fsm_program_bound(view); i++)
		if (fsm_program_read(view, i, &p) && fits(&filter, &p) &&
		    on_page(&page))
			program(request, view, i, &p, status.c_ms);
	list_end(w, &page, status.programs_changed);
}
