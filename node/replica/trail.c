/* Writing the audit trail; trail_open.c opens it, trail_read.c reads it. */
#include "node/replica/trail_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/crypto.h"
#include "node/lib/log.h"

#define FIRST_INDEX 2u /* of a new cluster's log: its first configuration */

/* --- records and hashes --------------------------------------------------- */

void trail__record(struct wire *w, enum trail_record type, const void *data,
		   size_t size)
{
	wire_u32(w, (uint32_t)size);
	wire_u8(w, (uint8_t)type);
	wire_put(w, data, size);
}

void trail__begin_hash(const char *cluster, struct hash *out)
{
	struct sha256 *sha = sha256_open();

	sha256_add(sha, "berth audit 1 begin\n", 20);
	sha256_add(sha, cluster, strlen(cluster));
	sha256_close(sha, out);
}

void trail__anchor_hash(const void *state, size_t size, struct hash *out)
{
	struct sha256 *sha = sha256_open();

	sha256_add(sha, "berth audit 1 anchor\n", 21);
	sha256_add(sha, state, size);
	sha256_close(sha, out);
}

void trail__chain(const struct hash *before, const void *payload, size_t size,
		  struct hash *out)
{
	struct sha256 *sha = sha256_open();

	sha256_add(sha, before->bytes, sizeof before->bytes);
	sha256_add(sha, payload, size);
	sha256_close(sha, out);
}

/* --- what breaks it ------------------------------------------------------- */

void trail_break(struct trail *trail, const char *why)
{
	if (!trail->broken)
		snprintf(trail->why, sizeof trail->why, "%s", why);
	trail->broken = true;
}

bool trail_broken(const struct trail *trail)
{
	return trail->broken;
}

bool trail_wants(const struct trail *trail)
{
	uint64_t size = trail->out.size;

	if (trail->count)
		size += trail->segments[trail->count - 1].size;
	return trail->broken || (trail->count && size >= trail->segment_size);
}

/* --- entries -------------------------------------------------------------- */

static void put_entry(struct wire *w, const struct trail_entry *e)
{
	wire_u64(w, e->index);
	wire_u64(w, e->term);
	wire_bytes(w, e->results, e->result_count);
	wire_bytes(w, e->data, e->size);
}

static void add_entry(struct trail *trail, const struct trail_entry *e)
{
	struct wire payload = { 0 };

	put_entry(&payload, e);
	trail__chain(&trail->out_head, payload.data, payload.size,
		     &trail->out_head);
	wire_put(&payload, trail->out_head.bytes, TRAIL_HASH);
	trail->out.failed |= payload.failed;
	trail__record(&trail->out, TRAIL_ENTRY, payload.data, payload.size);
	wire_fini(&payload);
	trail->out_last = e->index;
}

static bool same(const struct trail_entry *e, const struct wire_reader *payload)
{
	struct wire ours = { 0 };
	bool equal;

	put_entry(&ours, e);
	equal = payload->size == ours.size + TRAIL_HASH &&
		!memcmp(payload->data, ours.data, ours.size);
	wire_fini(&ours);
	return equal;
}

/* An entry that is on disk already is compared with what stands there. */
static void compare(struct trail *trail, const struct trail_entry *e)
{
	struct wire_reader file = { trail->again.data, trail->again.size,
				    trail->again_at, false }, payload;
	enum trail_record type;

	if (!trail->again.size ||
	    e->index <= trail->segments[trail->count - 1].first)
		return;
	while (trail__next(&file, &type, &payload)) {
		struct wire_reader r = payload;

		if (type != TRAIL_ENTRY)
			continue;
		if (wire_get_u64(&r) < e->index)
			continue;
		if (!same(e, &payload)) {
			log_error("trail", "entry %" PRIu64 " is not the one "
				  "that the trail has: this log is another",
				  e->index);
			trail_break(trail, "another log took this one's place");
		}
		break;
	}
	trail->again_at = file.at;
	if (e->index >= trail->out_last || trail->broken)
		wire_fini(&trail->again);
}

static void begin(struct trail *trail);

void trail_append(struct trail *trail, const struct trail_entry *entry)
{
	if (trail->broken)
		return;
	if (entry->index <= trail->out_last) {
		compare(trail, entry);
		return;
	}
	wire_fini(&trail->again);
	if (!trail->count && entry->index > FIRST_INDEX) {
		trail_break(trail, "the trail begins here");
		return;
	}
	if (!trail->count)
		begin(trail);
	add_entry(trail, entry);
}

/* --- segments ------------------------------------------------------------- */

static void drop_first(struct trail *trail)
{
	char path[4096];

	trail__path(trail, trail->segments[0].number, path);
	unlink(path);
	trail->count--;
	memmove(&trail->segments[0], &trail->segments[1],
		trail->count * sizeof trail->segments[0]);
}

/* Until it is within its limit, but never the newest. */
static void drop_oldest(struct trail *trail)
{
	uint64_t size = 0;

	pthread_mutex_lock(&trail->mutex);
	for (uint32_t i = 0; i < trail->count; i++)
		size += trail->segments[i].size;
	while (trail->count > 1 &&
	       (size > trail->size_max || trail->count == TRAIL_SEGMENTS_MAX)) {
		size -= trail->segments[0].size;
		drop_first(trail);
	}
	pthread_mutex_unlock(&trail->mutex);
}

static void put_head(struct trail *trail, uint64_t number)
{
	struct wire payload = { 0 };

	wire_u64(&payload, number);
	wire_u64(&payload, trail->id);
	wire_bytes(&payload, trail->cluster, strlen(trail->cluster));
	trail->out.failed |= payload.failed;
	wire_put(&trail->out, TRAIL_MAGIC, TRAIL_MAGIC_SIZE);
	trail__record(&trail->out, TRAIL_HEAD, payload.data, payload.size);
	wire_fini(&payload);
}

/* Makes the next segment the one that is written. */
static void next_segment(struct trail *trail, uint64_t first)
{
	struct trail_segment segment = { .first = first };

	if (trail->fd >= 0) {
		fdatasync(trail->fd);
		close(trail->fd);
		trail->fd = -1;
	}
	if (trail->count)
		segment.number = trail->segments[trail->count - 1].number + 1;
	drop_oldest(trail);
	pthread_mutex_lock(&trail->mutex);
	trail->segments[trail->count++] = segment;
	pthread_mutex_unlock(&trail->mutex);
	put_head(trail, segment.number);
}

/* The first segment of a cluster that we saw from its beginning. */
static void begin(struct trail *trail)
{
	next_segment(trail, 0);
	trail__begin_hash(trail->cluster, &trail->out_head);
	trail__record(&trail->out, TRAIL_BEGIN, trail->out_head.bytes,
		      TRAIL_HASH);
}

static void put_anchor(struct trail *trail, uint64_t index, enum trail_how how,
		       const char *why, const struct wire *state)
{
	struct wire payload = { 0 };

	if (how == TRAIL_ANEW)
		trail__anchor_hash(state->data, state->size, &trail->out_head);
	wire_u8(&payload, (uint8_t)how);
	wire_u64(&payload, index);
	wire_u64(&payload, trail->out_last);
	wire_put(&payload, trail->out_head.bytes, TRAIL_HASH);
	wire_bytes(&payload, why, strlen(why));
	wire_bytes(&payload, state->data, state->size);
	trail->out.failed |= payload.failed || state->failed;
	trail__record(&trail->out, TRAIL_ANCHOR, payload.data, payload.size);
	wire_fini(&payload);
	trail->out_last = index;
}

int trail_anchor(struct trail *trail, uint64_t index,
		 const struct fsm_view *view, const char *why,
		 struct fault *fault)
{
	struct wire state = { 0 };
	enum trail_how how = TRAIL_ANEW;
	int code = trail_flush(trail, fault);

	if (code)
		return code;
	if (!trail->broken) {
		if (index < trail->last ||
		    (index == trail->last && !trail_wants(trail)))
			return 0;
		if (index == trail->last)
			how = TRAIL_GOES_ON;
	}
	if (trail->broken)
		why = trail->why;
	if (how == TRAIL_ANEW)
		log_info("trail", "the chain begins anew after entry %" PRIu64
			 ": %s", index, why);
	trail__state(&state, view);
	next_segment(trail, index);
	put_anchor(trail, index, how, how == TRAIL_ANEW ? why : "", &state);
	wire_fini(&state);
	wire_fini(&trail->again);
	trail->broken = false;
	return trail_flush(trail, fault);
}

/* --- to disk -------------------------------------------------------------- */

/* The newest segment, cut behind its last whole record. */
static int open_newest(struct trail *trail, struct fault *fault)
{
	const struct trail_segment *s = &trail->segments[trail->count - 1];
	char path[4096];

	trail__path(trail, s->number, path);
	if (s->size == 0 && trail__set_aside(path) != 0)
		return fault_set(fault, BERTH_IO, "put aside %s: %s", path,
				 strerror(errno));
	trail->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (trail->fd >= 0 && ftruncate(trail->fd, (off_t)s->size) == 0)
		return 0;
	return fault_set(fault, errno == ENOSPC ? BERTH_NOSPACE : BERTH_IO,
			 "open %s: %s", path, strerror(errno));
}

static int write_all(int fd, uint64_t at, const struct wire *w,
		     struct fault *fault)
{
	ssize_t n;

	for (size_t done = 0; done < w->size; done += (size_t)n) {
		n = pwrite(fd, w->data + done, w->size - done,
			   (off_t)(at + done));
		if (n <= 0)
			return fault_set(fault, errno == ENOSPC ? BERTH_NOSPACE
								: BERTH_IO,
					 "write: %s", strerror(errno));
	}
	return 0;
}

/* What could not be written is gone; the next anchor begins a segment. */
static void give_up(struct trail *trail)
{
	struct trail_segment *s = &trail->segments[trail->count - 1];

	if (trail->fd >= 0) {
		if (ftruncate(trail->fd, (off_t)s->size) != 0)
			log_warn("trail", "cannot cut a failed write");
		close(trail->fd);
		trail->fd = -1;
	}
	pthread_mutex_lock(&trail->mutex);
	if (s->size == 0) /* nothing of it is there */
		trail->count--;
	pthread_mutex_unlock(&trail->mutex);
	trail->out_last = trail->last;
	trail->out_head = trail->head;
	trail_break(trail, "the disk did not take it");
}

int trail_flush(struct trail *trail, struct fault *fault)
{
	struct trail_segment *s;
	int code = 0;

	if (!trail->out.size)
		return 0;
	s = &trail->segments[trail->count - 1];
	if (trail->out.failed)
		code = fault_set(fault, BERTH_NOMEM, "audit");
	if (!code && trail->fd < 0)
		code = open_newest(trail, fault);
	if (!code)
		code = write_all(trail->fd, s->size, &trail->out, fault);
	if (code) {
		give_up(trail);
	} else {
		pthread_mutex_lock(&trail->mutex);
		s->size += trail->out.size;
		trail->last = trail->out_last;
		trail->head = trail->out_head;
		pthread_mutex_unlock(&trail->mutex);
		trail->dirty = true;
	}
	trail->out.size = 0;
	trail->out.failed = false;
	return code;
}

int trail_sync(struct trail *trail, struct fault *fault)
{
	if (!trail->dirty || trail->fd < 0)
		return 0;
	trail->dirty = false;
	if (fdatasync(trail->fd) == 0)
		return 0;
	return fault_set(fault, BERTH_IO, "audit: %s", strerror(errno));
}

void trail_close(struct trail *trail)
{
	struct fault fault;

	if (!trail)
		return;
	if (trail_flush(trail, &fault) || trail_sync(trail, &fault))
		log_error("trail", "%s", fault.text);
	if (trail->fd >= 0)
		close(trail->fd);
	pthread_mutex_destroy(&trail->mutex);
	wire_fini(&trail->out);
	wire_fini(&trail->again);
	free(trail);
}
