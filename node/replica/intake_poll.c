/* Polling one CCN: a snapshot page by page until exhausted, then newer code of
 * what is in use; for long lists a look at the newest between full ones. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/replica/intake_internal.h"

#define QUERY "msgTypes=PROGRAM,INSTANCE&msgStatuses=processed,removing" \
	      "&pagination=200"

static void next_step(struct ccn *ccn);

/* --- what a snapshot says ------------------------------------------------- */

bool intake_absent(const struct intake *intake,
		   const struct intake_entry *entry)
{
	bool any = false;

	for (uint32_t i = 0; i < intake->ccn_count; i++) {
		const struct ccn *ccn = &intake->ccns[i];

		if (ccn->complete_count < 2)
			continue;
		if (entry && entry->seen[i] >= ccn->complete[0])
			return false;
		any = true;
	}
	return any;
}

bool intake_present(const struct intake *intake,
		    const struct intake_entry *entry)
{
	for (uint32_t i = 0; i < intake->ccn_count; i++) {
		const struct ccn *ccn = &intake->ccns[i];

		if (entry->seen[i] && entry->seen[i] >= ccn->complete[0])
			return true;
	}
	return false;
}

/* --- ends of a round ------------------------------------------------------ */

static void clear_refs(struct ccn *ccn)
{
	for (uint32_t i = 0; i < ccn->ref_count; i++)
		free(ccn->refs[i]);
	free(ccn->refs);
	ccn->refs = NULL;
	ccn->ref_count = 0;
	ccn->ref_at = 0;
}

static void begin(uv_timer_t *timer);

static void rest(struct ccn *ccn)
{
	uint32_t ms = ccn->intake->edge->config.ccn_poll_ms;

	ccn->phase = CCN_IDLE;
	clear_refs(ccn);
	if (!ccn->intake->closing)
		uv_timer_start(&ccn->timer, begin, ms ? ms : 2000, 0);
}

static void fail(struct ccn *ccn, const char *what)
{
	enum ccn_phase phase = ccn->phase;

	if (!ccn->failing && !ccn->intake->closing)
		log_warn("intake", "%s: %s; what is known is kept", ccn->url,
			 what);
	ccn->failing = true;
	snprintf(ccn->problem, sizeof ccn->problem, "%.319s", what);
	if (phase == CCN_PAGES)
		metric_add(&ccn->intake->edge->metrics.intake_void, 1);
	rest(ccn);
	if (phase == CCN_STORES)
		intake_reconcile(ccn->intake);
}

static void succeed(struct ccn *ccn)
{
	if (ccn->failing)
		log_info("intake", "%s answers again", ccn->url);
	ccn->failing = false;
	ccn->problem[0] = 0;
	rest(ccn);
	intake_reconcile(ccn->intake);
}

static void snapshot_done(struct ccn *ccn)
{
	uv_mutex_lock(&ccn->intake->table.mutex);
	ccn->complete[0] = ccn->complete[1];
	ccn->complete[1] = ccn->snapshot;
	ccn->complete_count += ccn->complete_count < 2;
	uv_mutex_unlock(&ccn->intake->table.mutex);
	ccn->full_ms = uv_now(ccn->intake->edge->loop);
	metric_add(&ccn->intake->edge->metrics.intake_polls, 1);
}

/* --- newer code ----------------------------------------------------------- */

static bool has_ref(const struct ccn *ccn, const char *ref)
{
	for (uint32_t i = 0; i < ccn->ref_count; i++)
		if (!strcmp(ccn->refs[i], ref))
			return true;
	return false;
}

/* References go into a query: only what needs no escape. */
static bool plain(const char *ref)
{
	return strspn(ref, "0123456789abcdefghijklmnopqrstuvwxyz"
			   "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(ref);
}

static void gather_refs(struct ccn *ccn)
{
	struct intake_table *table = &ccn->intake->table;
	struct intake_entry *entry;

	uv_mutex_lock(&table->mutex);
	ccn->refs = calloc((size_t)table->count + 1, sizeof *ccn->refs);
	for (uint32_t i = 0; ccn->refs && i < table->bucket_count; i++)
		for (entry = table->buckets[i]; entry; entry = entry->next) {
			char *ref;

			if (entry->kind != ENTRY_TAKEN || !entry->code_ref ||
			    !plain(entry->code_ref) ||
			    ccn->ref_count >= 4096 ||
			    has_ref(ccn, entry->code_ref))
				continue;
			ref = strdup(entry->code_ref);
			if (ref)
				ccn->refs[ccn->ref_count++] = ref;
		}
	uv_mutex_unlock(&table->mutex);
	ccn->ref_at = 0;
}

static void stores_url(struct ccn *ccn, char *url, size_t size)
{
	uint32_t end = ccn->ref_at + INTAKE_REFS;
	int used = snprintf(url, size, "%s/api/v0/messages.json?msgTypes=STORE"
			    "&pagination=200&page=1&sortOrder=-1&refs=",
			    ccn->url);

	if (end > ccn->ref_count)
		end = ccn->ref_count;
	for (; ccn->ref_at < end && (size_t)used < size; ccn->ref_at++)
		used += snprintf(url + used, size - (size_t)used, "%s%s",
				 url[used - 1] == '=' ? "" : ",",
				 ccn->refs[ccn->ref_at]);
}

/* --- pages ---------------------------------------------------------------- */

static void work(uv_work_t *req)
{
	struct ccn *ccn = req->data;
	struct page_result page = { 0 };

	if (ccn->phase == CCN_STORES) {
		ccn->code = intake_stores(ccn->intake, ccn->body,
					  ccn->body_size, &ccn->fault);
		return;
	}
	ccn->code = intake_page(ccn->intake, ccn->index, ccn->snapshot,
				ccn->body, ccn->body_size, &page, &ccn->fault);
	ccn->page_count = page.count;
	ccn->page_size = page.page_size;
	ccn->page_total = page.total;
	ccn->has_total = page.has_total;
	ccn->taken = page.taken;
}

static void page_done(struct ccn *ccn)
{
	ccn->count += ccn->page_count;
	if (ccn->phase == CCN_QUICK) {
		ccn->phase = CCN_STORES;
		gather_refs(ccn);
	} else if (ccn->page_count >= ccn->page_size) {
		ccn->page++;
		if (ccn->page > INTAKE_PAGES_MAX) {
			fail(ccn, "more pages than are read");
			return;
		}
	} else if (ccn->has_total && ccn->count < ccn->page_total) {
		fail(ccn, "the list ends before its own total");
		return;
	} else {
		snapshot_done(ccn);
		ccn->phase = CCN_STORES;
		gather_refs(ccn);
	}
	next_step(ccn);
}

static void worked(uv_work_t *req, int status)
{
	struct ccn *ccn = req->data;
	struct edge *edge = ccn->intake->edge;

	(void)status;
	free(ccn->body);
	ccn->body = NULL;
	ccn->busy = false;
	if (ccn->intake->closing)
		clear_refs(ccn);
	else if (ccn->code)
		fail(ccn, ccn->fault.text);
	else if (ccn->phase == CCN_STORES)
		next_step(ccn);
	else
		page_done(ccn);
	edge_release(edge);
}

static void answered(void *ctx, const struct http_answer *answer)
{
	struct ccn *ccn = ctx;
	struct edge *edge = ccn->intake->edge;
	char what[400];

	if (ccn->intake->closing || answer->status != 200) {
		ccn->busy = false;
		if (answer->status)
			snprintf(what, sizeof what, "answered %d",
				 answer->status);
		else
			snprintf(what, sizeof what, "%.300s",
				 answer->fault.text);
		fail(ccn, what);
		edge_release(edge);
		return;
	}
	ccn->body = malloc(answer->body_size + 1);
	if (!ccn->body) {
		ccn->busy = false;
		fail(ccn, "out of memory");
		edge_release(edge);
		return;
	}
	memcpy(ccn->body, answer->body, answer->body_size);
	ccn->body[answer->body_size] = 0;
	ccn->body_size = answer->body_size;
	ccn->work.data = ccn;
	uv_queue_work(edge->loop, &ccn->work, work, worked);
}

static void ask(struct ccn *ccn, const char *url)
{
	struct edge *edge = ccn->intake->edge;
	const struct http_call call = {
		.method = "GET", .url = url, .ctx = ccn,
		.timeout_ms = INTAKE_TIMEOUT_MS, .connect_ms = 3000,
		.answer_size_max = INTAKE_ANSWER_SIZE_MAX,
	};

	edge_hold(edge);
	ccn->busy = true;
	if (http_client_send(edge->http, &call, answered) == 0)
		return;
	ccn->busy = false;
	fail(ccn, "cannot ask");
	edge_release(edge);
}

static void next_step(struct ccn *ccn)
{
	char url[INTAKE_REFS * 100 + 1024];

	if (ccn->phase == CCN_STORES && ccn->ref_at >= ccn->ref_count) {
		succeed(ccn);
		return;
	}
	if (ccn->phase == CCN_STORES)
		stores_url(ccn, url, sizeof url);
	else
		snprintf(url, sizeof url,
			 "%s/api/v0/messages.json?" QUERY
			 "&page=%u&sortOrder=%s%s",
			 ccn->url, ccn->page,
			 ccn->phase == CCN_QUICK ? "-1" : "1",
			 ccn->intake->channels);
	ask(ccn, url);
}

/* A list that fits in a page is always read whole; a longer one now and then,
 * and its newest page between. */
static void begin(uv_timer_t *timer)
{
	struct ccn *ccn = timer->data;
	uint64_t now = uv_now(ccn->intake->edge->loop);

	if (ccn->busy || ccn->intake->closing)
		return;
	if (ccn->complete_count == 2 && ccn->count > INTAKE_PAGE &&
	    now - ccn->full_ms < INTAKE_FULL_MS) {
		ccn->phase = CCN_QUICK;
		ccn->page = 1;
		next_step(ccn);
		return;
	}
	ccn->phase = CCN_PAGES;
	ccn->snapshot++;
	ccn->page = 1;
	ccn->count = 0;
	next_step(ccn);
}

void intake_ccn_start(struct ccn *ccn)
{
	ccn->timer.data = ccn;
	uv_timer_init(ccn->intake->edge->loop, &ccn->timer);
	uv_timer_start(&ccn->timer, begin, 1, 0);
}
