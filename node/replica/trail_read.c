/* Reading the audit trail: pages of whole segments, as they are on disk. */
#include "node/replica/trail_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/clock.h"

/* The oldest that can be read; the newest always can. */
static uint32_t oldest(const struct trail *trail)
{
	uint32_t i = 0;

	while (trail->segments[i].damaged)
		i++;
	return i;
}

void trail_status(struct trail *trail, struct trail_status *out)
{
	*out = (struct trail_status){ 0 };
	pthread_mutex_lock(&trail->mutex);
	out->segments = trail->count;
	out->first = trail->count ? trail->segments[oldest(trail)].first : 0;
	out->last = trail->last;
	out->head = trail->head;
	for (uint32_t i = 0; i < trail->count; i++)
		out->size += trail->segments[i].size;
	pthread_mutex_unlock(&trail->mutex);
}

struct trail_place trail_find(struct trail *trail, uint64_t since)
{
	struct trail_place place = { 0 };

	pthread_mutex_lock(&trail->mutex);
	if (trail->count)
		place.segment = trail->segments[oldest(trail)].number;
	for (uint32_t i = 0; i < trail->count; i++)
		if (!trail->segments[i].damaged &&
		    trail->segments[i].first <= since)
			place.segment = trail->segments[i].number;
	pthread_mutex_unlock(&trail->mutex);
	return place;
}

/* What there is to read at a place, and what the end would tell. */
struct part {
	uint64_t size; /* of the segment, as published */
	bool newest;
	uint64_t next; /* segment: those that are damaged are passed over */
	uint64_t last;
	struct hash head;
};

static int part_at(struct trail *trail, struct trail_place *place,
		   struct part *out)
{
	int code = BERTH_NOTFOUND;

	pthread_mutex_lock(&trail->mutex);
	out->last = trail->last;
	out->head = trail->head;
	if (!trail->count) { /* nothing but an end */
		*out = (struct part){ .newest = true };
		code = 0;
	}
	for (uint32_t i = 0; i < trail->count; i++) {
		if (code == 0 && !out->next && !trail->segments[i].damaged)
			out->next = trail->segments[i].number;
		if (trail->segments[i].number != place->segment)
			continue;
		out->size = trail->segments[i].size;
		out->newest = i + 1 == trail->count;
		code = place->offset <= out->size ? 0 : BERTH_NOTFOUND;
	}
	pthread_mutex_unlock(&trail->mutex);
	return code;
}

static int read_file(struct trail *trail, const struct trail_place *place,
		     size_t size, uint8_t **out)
{
	char path[4096];
	uint8_t *data = malloc(size ? size : 1);
	size_t done = 0;
	ssize_t n = 1;
	int fd;

	if (!data)
		return BERTH_NOMEM;
	trail__path(trail, place->segment, path);
	fd = size ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (size && fd < 0) {
		free(data);
		return errno == ENOENT ? BERTH_NOTFOUND : BERTH_IO;
	}
	for (; done < size && n > 0; done += n > 0 ? (size_t)n : 0)
		n = pread(fd, data + done, size - done,
			  (off_t)(place->offset + done));
	if (fd >= 0)
		close(fd);
	if (done == size)
		*out = data;
	else
		free(data);
	return done == size ? 0 : BERTH_IO;
}

/* Without it an export was cut. */
static int put_end(const struct part *part, uint8_t **data, size_t *size)
{
	struct wire payload = { 0 }, w = { *data, *size, *size, false };

	wire_u64(&payload, part->last);
	wire_put(&payload, part->head.bytes, TRAIL_HASH);
	wire_u64(&payload, clock_wall_ms());
	trail__record(&w, TRAIL_END, payload.data, payload.size);
	w.failed |= payload.failed;
	wire_fini(&payload);
	*data = w.data;
	*size = w.size;
	return w.failed ? BERTH_NOMEM : 0;
}

int trail_read(struct trail *trail, struct trail_place *place, uint8_t **out,
	       size_t *size, bool *end)
{
	struct part part = { 0 };
	uint8_t *data = NULL;
	size_t got;
	int code = part_at(trail, place, &part);

	if (code)
		return code;
	got = part.size - place->offset > TRAIL_PAGE_SIZE
		      ? TRAIL_PAGE_SIZE : (size_t)(part.size - place->offset);
	code = read_file(trail, place, got, &data);
	if (code)
		return code;
	place->offset += got;
	*end = part.newest && place->offset == part.size;
	if (!part.newest && place->offset == part.size)
		*place = (struct trail_place){ part.next, 0 };
	*size = got;
	if (*end)
		code = put_end(&part, &data, size);
	if (code)
		free(data);
	else
		*out = data;
	return code;
}
