/* Opening the audit trail: which segments there are, and where the newest
 * ends. */
#include "node/replica/trail_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/lib/log.h"

#define RECORD_SIZE_MAX (1u << 30)
#define HEAD_READ_SIZE 256u /* of a segment: its head and where it begins */
#define SUFFIX_DAMAGED ".damaged"

void trail__path(const struct trail *trail, uint64_t number, char path[4096])
{
	snprintf(path, 4096, "%s/%016" PRIx64, trail->directory, number);
}

bool trail__next(struct wire_reader *r, enum trail_record *type,
		 struct wire_reader *payload)
{
	struct wire_reader at = *r;
	uint32_t size = wire_get_u32(&at);
	uint8_t letter = wire_get_u8(&at);
	const uint8_t *data;

	if (at.bad || size > RECORD_SIZE_MAX)
		return false;
	data = wire_get(&at, size);
	if (!data)
		return false;
	*type = (enum trail_record)letter;
	*payload = (struct wire_reader){ data, size, 0, false };
	*r = at;
	return true;
}

/* --- what is in a segment ------------------------------------------------- */

static bool take_hash(struct wire_reader *r, struct hash *out)
{
	const uint8_t *bytes = wire_get(r, TRAIL_HASH);

	if (bytes)
		memcpy(out->bytes, bytes, TRAIL_HASH);
	return bytes != NULL;
}

static bool take_anchor(struct wire_reader *r, struct trail_found *found)
{
	struct hash hash;

	wire_get_u8(r);
	found->last = found->first = wire_get_u64(r);
	wire_get_u64(r);
	if (r->bad || !take_hash(r, &hash))
		return false;
	found->head = hash;
	found->begun = true;
	return true;
}

static bool take_entry(struct wire_reader *r, struct trail_found *found)
{
	struct wire_reader in = *r;
	struct hash hash, said;
	uint64_t index;

	if (r->size < TRAIL_HASH || !found->begun)
		return false;
	in.size -= TRAIL_HASH;
	index = wire_get_u64(&in);
	trail__chain(&found->head, in.data, in.size, &hash);
	memcpy(said.bytes, r->data + in.size, TRAIL_HASH);
	if (!hash_equal(&hash, &said) || index <= found->last)
		return false;
	found->head = hash;
	found->last = index;
	return true;
}

static bool take_record(enum trail_record type, struct wire_reader *payload,
			struct trail_found *found)
{
	switch (type) {
	case TRAIL_BEGIN:
		found->begun = take_hash(payload, &found->head);
		return found->begun;
	case TRAIL_ANCHOR:
		return take_anchor(payload, found);
	case TRAIL_ENTRY:
		return take_entry(payload, found);
	case TRAIL_HEAD:
	case TRAIL_END:
	default:
		return false;
	}
}

enum head { HEAD_DAMAGED, HEAD_FOREIGN, HEAD_OURS };

static enum head read_head(const struct trail *trail, struct wire_reader *r)
{
	const uint8_t *magic = wire_get(r, TRAIL_MAGIC_SIZE);
	struct wire_reader payload;
	enum trail_record type;
	struct text cluster;

	if (!magic || memcmp(magic, TRAIL_MAGIC, TRAIL_MAGIC_SIZE) != 0 ||
	    !trail__next(r, &type, &payload) || type != TRAIL_HEAD)
		return HEAD_DAMAGED;
	wire_get_u64(&payload);
	wire_get_u64(&payload);
	cluster = wire_get_bytes(&payload, sizeof trail->cluster);
	if (payload.bad)
		return HEAD_DAMAGED;
	return cluster.size == strlen(trail->cluster) &&
	       memcmp(cluster.data, trail->cluster, cluster.size) == 0
		       ? HEAD_OURS : HEAD_FOREIGN;
}

void trail__scan(const struct trail *trail, const struct wire *file,
		 struct trail_found *out)
{
	struct wire_reader r = { file->data, file->size, 0, false }, payload;
	struct trail_found found = { 0 };
	enum head head = read_head(trail, &r);
	enum trail_record type;

	found.foreign = head == HEAD_FOREIGN;
	found.size = r.at;
	while (head == HEAD_OURS && trail__next(&r, &type, &payload) &&
	       take_record(type, &payload, &found))
		found.size = r.at;
	*out = found;
}

/* --- files ---------------------------------------------------------------- */

/* A file's first bytes, at most `size`; with IO as many as can be read. */
static int slurp(const char *path, uint64_t size, struct wire *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = 1;

	if (fd < 0)
		return BERTH_IO;
	if (fstat(fd, &st) == 0 && size > (uint64_t)st.st_size)
		size = (uint64_t)st.st_size;
	out->data = malloc(size ? size : 1);
	out->capacity = size;
	while (out->data && out->size < size && n > 0) {
		n = read(fd, out->data + out->size, size - out->size);
		out->size += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	if (!out->data)
		return BERTH_NOMEM;
	return out->size == size ? 0 : BERTH_IO;
}

static int by_number(const void *a, const void *b)
{
	const struct trail_segment *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static int list(struct trail *trail, struct fault *fault)
{
	DIR *dir = opendir(trail->directory);
	struct dirent *entry;
	char *end;

	if (!dir)
		return fault_set(fault, BERTH_IO, "read %s: %s",
				 trail->directory, strerror(errno));
	while ((entry = readdir(dir)) && trail->count < TRAIL_SEGMENTS_MAX) {
		uint64_t number = strtoull(entry->d_name, &end, 16);

		if (strlen(entry->d_name) == 16 && !*end)
			trail->segments[trail->count++].number = number;
	}
	closedir(dir);
	qsort(trail->segments, trail->count, sizeof trail->segments[0],
	      by_number);
	return 0;
}

/* An older one: only its size, and where it begins. One that is damaged stays
 * where it is until its turn to be dropped. */
static void look_at(struct trail *trail, struct trail_segment *segment)
{
	struct wire file = { 0 };
	struct wire_reader r;
	char path[4096];
	struct stat st;
	uint8_t type = 0;

	trail__path(trail, segment->number, path);
	if (stat(path, &st) == 0)
		segment->size = (uint64_t)st.st_size;
	if (slurp(path, HEAD_READ_SIZE, &file))
		file.size = 0;
	r = (struct wire_reader){ file.data, file.size, 0, false };
	if (read_head(trail, &r) == HEAD_OURS) {
		wire_get_u32(&r);
		type = wire_get_u8(&r);
		wire_get_u8(&r);
	}
	if (type == TRAIL_ANCHOR)
		segment->first = wire_get_u64(&r);
	segment->damaged = r.bad ||
			   (type != TRAIL_ANCHOR && type != TRAIL_BEGIN);
	if (segment->damaged)
		log_error("trail", "%s is damaged: it is left as it is, and "
			  "what is exported has a gap there", path);
	wire_fini(&file);
}

int trail__set_aside(const char *path)
{
	char aside[4096 + 32];
	struct stat st;

	if (stat(path, &st) != 0 || st.st_size <= (off_t)HEAD_READ_SIZE)
		return 0;
	snprintf(aside, sizeof aside, "%s" SUFFIX_DAMAGED, path);
	for (uint32_t i = 2; stat(aside, &st) == 0 && i < 100; i++)
		snprintf(aside, sizeof aside, "%s" SUFFIX_DAMAGED "-%u", path,
			 i);
	if (rename(path, aside) != 0)
		return BERTH_IO;
	log_warn("trail", "a damaged segment is now %s", aside);
	return 0;
}

/* A torn end is cut; what cannot be read is no end: it is put aside whole. */
static int scan_newest(struct trail *trail, struct trail_found *found,
		       struct fault *fault)
{
	char path[4096];
	int code;

	trail__path(trail, trail->segments[trail->count - 1].number, path);
	wire_fini(&trail->again);
	code = slurp(path, UINT64_MAX, &trail->again);
	if (code == BERTH_NOMEM)
		return fault_set(fault, code, "read %s", path);
	if (code)
		log_error("trail", "read %s: %s", path, strerror(errno));
	trail__scan(trail, &trail->again, found);
	if (code)
		found->begun = false;
	if (!found->begun && (code || trail->again.size > HEAD_READ_SIZE))
		log_error("trail", "%s is damaged or foreign, and will be put "
			  "aside: the trail goes on without it", path);
	else if (found->size < trail->again.size)
		log_warn("trail", "%s: a torn end of %zu bytes is cut", path,
			 trail->again.size - found->size);
	return 0;
}

/* A crash while a segment was begun leaves one that says nothing: the one
 * before it is the newest. So it is where the newest is damaged: what it had
 * the log gives again, or a snapshot's state tells the gap. */
static int read_newest(struct trail *trail, struct fault *fault)
{
	struct trail_found found = { 0 };
	struct trail_segment *segment;
	bool foreign = false;

	while (trail->count && !found.begun) {
		int code = scan_newest(trail, &found, fault);

		if (code)
			return code;
		foreign = foreign || found.foreign;
		if (!found.begun)
			trail->count--;
	}
	if (!trail->count && foreign)
		return fault_set(fault, BERTH_CORRUPT, "%s: not an audit trail"
				 " of cluster %s", trail->directory,
				 trail->cluster);
	if (!trail->count)
		return 0;
	segment = &trail->segments[trail->count - 1];
	trail->again.size = found.size;
	trail->again_at = TRAIL_MAGIC_SIZE;
	segment->size = found.size;
	segment->first = found.first;
	trail->last = trail->out_last = found.last;
	trail->head = trail->out_head = found.head;
	return 0;
}

static int open_segments(struct trail *trail, struct fault *fault)
{
	int code = list(trail, fault);

	if (!code)
		code = read_newest(trail, fault);
	for (uint32_t i = 0; i + 1 < trail->count && !code; i++) {
		const struct trail_segment *s = &trail->segments[i];

		look_at(trail, &trail->segments[i]);
		if (s[0].number + 1 != s[1].number)
			log_error("trail", "%s: the segment after %016" PRIx64
				  " is gone, and what is exported has a gap "
				  "there", trail->directory, s->number);
	}
	return code;
}

int trail_open(struct trail **out, const struct trail_config *config,
	       struct fault *fault)
{
	struct trail *trail = calloc(1, sizeof *trail);
	int code;

	if (!trail)
		return fault_set(fault, BERTH_NOMEM, "audit");
	trail->fd = -1;
	trail->id = config->id;
	trail->size_max = config->size;
	trail->segment_size = config->size / 4 < TRAIL_SEGMENT_SIZE
				      ? config->size / 4 : TRAIL_SEGMENT_SIZE;
	snprintf(trail->cluster, sizeof trail->cluster, "%s", config->cluster);
	pthread_mutex_init(&trail->mutex, NULL);
	snprintf(trail->directory, sizeof trail->directory, "%s/audit",
		 config->directory);
	if (mkdir(trail->directory, 0700) && errno != EEXIST)
		code = fault_set(fault, BERTH_IO, "make %s: %s",
				 trail->directory, strerror(errno));
	else
		code = open_segments(trail, fault);
	if (code) {
		trail_close(trail);
		return code;
	}
	*out = trail;
	return 0;
}
