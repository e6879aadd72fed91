/* File: a head (where in the log it stands, the configuration there), the
 * machine's bytes as one lz4 frame, and a trailer with size and CRC-32C. */
#include "raft/snapshot.h"

#include <inttypes.h>
#include <lz4frame.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/bytes.h"
#include "raft/crc32c.h"

#define MAGIC 0x31504e5368747242ull /* "BrthSNP1" */
#define HEAD_SIZE 512u
#define TRAILER_SIZE 24u
#define MEMBER_SIZE 32u
#define CHUNK_SIZE (256u << 10)
#define ASIDE "snapshot.new"

void snapshot_name(char name[SNAPSHOT_NAME_SIZE], uint64_t index,
		   uint64_t term)
{
	snprintf(name, SNAPSHOT_NAME_SIZE,
		 "snapshot-%016" PRIx64 "-%016" PRIx64, index, term);
}

void snapshot_staging_name(char name[SNAPSHOT_NAME_SIZE], uint64_t index,
			   uint64_t term)
{
	snprintf(name, SNAPSHOT_NAME_SIZE,
		 "incoming-%016" PRIx64 "-%016" PRIx64, index, term);
}

static void head_encode(uint8_t head[HEAD_SIZE],
			const struct snapshot_meta *meta)
{
	uint32_t i;

	memset(head, 0, HEAD_SIZE);
	put_u64(head, MAGIC);
	put_u64(head + 8, meta->index);
	put_u64(head + 16, meta->term);
	put_u64(head + 24, meta->conf_index);
	put_u32(head + 32, meta->members.count);
	for (i = 0; i < meta->members.count; i++) {
		uint8_t *at = head + 40 + i * MEMBER_SIZE;

		put_u64(at, meta->members.list[i].id);
		put_u32(at + 8, (uint32_t)meta->members.list[i].role);
		memcpy(at + 16, meta->members.list[i].disk_id, 16);
	}
	put_u32(head + HEAD_SIZE - 4, crc32c(0, head, HEAD_SIZE - 4));
}

static bool head_decode(const uint8_t *head, struct snapshot_meta *meta)
{
	uint32_t i, count = get_u32(head + 32);

	if (get_u64(head) != MAGIC || count == 0 ||
	    count > REPLICA_MEMBERS_MAX ||
	    get_u32(head + HEAD_SIZE - 4) != crc32c(0, head, HEAD_SIZE - 4))
		return false;
	memset(meta, 0, sizeof *meta);
	meta->index = get_u64(head + 8);
	meta->term = get_u64(head + 16);
	meta->conf_index = get_u64(head + 24);
	meta->members.count = count;
	for (i = 0; i < count; i++) {
		const uint8_t *at = head + 40 + i * MEMBER_SIZE;
		struct replica_member *member = &meta->members.list[i];

		member->id = get_u64(at);
		member->role = (enum replica_role)get_u32(at + 8);
		memcpy(member->disk_id, at + 16, 16);
	}
	return meta->index && meta->term;
}

/* --- writing ------------------------------------------------------------- */

struct writing {
	const struct replica_files *files;
	void *file;
	uint64_t offset, plain;
	uint32_t crc;
	LZ4F_cctx *lz4;
	uint8_t *out;
	size_t room;
	int code;
};

static bool emit(struct writing *w, size_t size)
{
	if (LZ4F_isError(size)) {
		w->code = BERTH_NOMEM;
		return false;
	}
	if (!size)
		return true;
	w->code = w->files->write(w->files->ctx, w->file, w->offset, w->out,
				  size);
	w->crc = crc32c(w->crc, w->out, size);
	w->offset += size;
	return w->code == 0;
}

static bool sink(void *ctx, const void *data, size_t size)
{
	struct writing *w = ctx;
	const uint8_t *at = data;

	while (size && !w->code) {
		size_t part = size < CHUNK_SIZE ? size : CHUNK_SIZE;

		if (!emit(w, LZ4F_compressUpdate(w->lz4, w->out, w->room, at,
						 part, NULL)))
			return false;
		w->plain += part;
		at += part;
		size -= part;
	}
	return w->code == 0;
}

static int write_body(struct writing *w, const struct replica_machine *machine,
		      void *view)
{
	uint8_t trailer[TRAILER_SIZE] = { 0 };

	if (!emit(w, LZ4F_compressBegin(w->lz4, w->out, w->room, NULL)))
		return w->code;
	if (!machine->snapshot_write(view, sink, w))
		return w->code ? w->code : BERTH_CLOSED;
	if (w->code || !emit(w, LZ4F_compressEnd(w->lz4, w->out, w->room,
						 NULL)))
		return w->code;
	put_u64(trailer, w->offset - HEAD_SIZE);
	put_u64(trailer + 8, w->plain);
	put_u32(trailer + 16, w->crc);
	put_u32(trailer + 20, crc32c(0, trailer, 20));
	return w->files->write(w->files->ctx, w->file, w->offset, trailer,
			       sizeof trailer);
}

static int write_all(struct writing *w, const struct snapshot_meta *meta,
		     const struct replica_machine *machine, void *view)
{
	const struct replica_files *f = w->files;
	uint8_t head[HEAD_SIZE];
	int code = f->truncate(f->ctx, w->file, 0);

	head_encode(head, meta);
	if (!code)
		code = f->write(f->ctx, w->file, 0, head, sizeof head);
	w->offset = HEAD_SIZE;
	if (!code)
		code = write_body(w, machine, view);
	if (!code)
		code = f->sync(f->ctx, w->file);
	return code;
}

int snapshot_store(const struct replica_files *files,
		   const struct snapshot_meta *meta,
		   const struct replica_machine *machine, void *view,
		   struct fault *fault)
{
	struct writing w = { .files = files };
	char name[SNAPSHOT_NAME_SIZE];
	int code;

	snapshot_name(name, meta->index, meta->term);
	w.room = LZ4F_compressBound(CHUNK_SIZE, NULL) + 64;
	w.out = malloc(w.room);
	if (!w.out || LZ4F_isError(LZ4F_createCompressionContext(
			      &w.lz4, LZ4F_VERSION))) {
		free(w.out);
		return fault_set(fault, BERTH_NOMEM, "%s: no memory", name);
	}
	code = files->open(files->ctx, ASIDE, true, &w.file);
	if (!code) {
		code = write_all(&w, meta, machine, view);
		files->close(files->ctx, w.file);
	}
	if (!code)
		code = files->rename(files->ctx, ASIDE, name);
	if (!code)
		code = files->sync_directory(files->ctx);
	LZ4F_freeCompressionContext(w.lz4);
	free(w.out);
	if (code)
		return fault_set(fault, code, "write %s: %s", name,
				 berth_error_text(code));
	return 0;
}

/* --- reading ------------------------------------------------------------- */

static int load_file(const struct replica_files *files, const char *name,
		     uint8_t **out, uint64_t *size, struct fault *fault)
{
	size_t got = 0;
	void *file;
	int code = files->open(files->ctx, name, false, &file);

	if (code)
		return fault_set(fault, code, "%s: %s", name,
				 berth_error_text(code));
	code = files->size(files->ctx, file, size);
	*out = code ? NULL : malloc(*size + 1);
	if (!code && !*out)
		code = BERTH_NOMEM;
	if (!code)
		code = files->read(files->ctx, file, 0, *out, *size, &got);
	if (!code && got < *size)
		code = BERTH_IO;
	files->close(files->ctx, file);
	if (code) {
		free(*out);
		return fault_set(fault, code, "%s: %s", name,
				 berth_error_text(code));
	}
	return 0;
}

static const char *verify(const uint8_t *data, uint64_t size,
			  struct snapshot_meta *meta)
{
	const uint8_t *trailer;

	if (size < HEAD_SIZE + TRAILER_SIZE)
		return "too short";
	if (!head_decode(data, meta))
		return "checksum of the head differs";
	trailer = data + size - TRAILER_SIZE;
	if (get_u32(trailer + 20) != crc32c(0, trailer, 20) ||
	    get_u64(trailer) != size - HEAD_SIZE - TRAILER_SIZE)
		return "checksum of the trailer differs";
	if (get_u32(trailer + 16) !=
	    crc32c(0, data + HEAD_SIZE, size - HEAD_SIZE - TRAILER_SIZE))
		return "checksum differs";
	return NULL;
}

static int expand(const uint8_t *in, size_t left, uint8_t *out, size_t room)
{
	LZ4F_dctx *lz4;
	size_t done = 0, hint = 1;

	if (LZ4F_isError(LZ4F_createDecompressionContext(&lz4, LZ4F_VERSION)))
		return BERTH_NOMEM;
	while (hint && left) {
		size_t produced = room - done, consumed = left;

		hint = LZ4F_decompress(lz4, out + done, &produced, in,
				       &consumed, NULL);
		if (LZ4F_isError(hint) || (!produced && !consumed))
			break;
		done += produced;
		in += consumed;
		left -= consumed;
	}
	LZ4F_freeDecompressionContext(lz4);
	return hint || left || done != room ? BERTH_CORRUPT : 0;
}

int snapshot_load(const struct replica_files *files, const char *name,
		  struct snapshot_meta *meta, uint8_t **data, size_t *size,
		  struct fault *fault)
{
	const char *wrong;
	uint8_t *raw = NULL, *out = NULL;
	uint64_t raw_size;
	size_t plain;
	int code = load_file(files, name, &raw, &raw_size, fault);

	if (code)
		return code;
	wrong = verify(raw, raw_size, meta);
	if (wrong) {
		free(raw);
		return fault_set(fault, BERTH_CORRUPT, "%s: %s", name, wrong);
	}
	if (!data) {
		free(raw);
		return 0;
	}
	plain = (size_t)get_u64(raw + raw_size - TRAILER_SIZE + 8);
	out = malloc(plain + 1);
	code = !out ? BERTH_NOMEM :
		      expand(raw + HEAD_SIZE,
			     (size_t)raw_size - HEAD_SIZE - TRAILER_SIZE, out,
			     plain);
	free(raw);
	if (code) {
		free(out);
		return fault_set(fault, code, "%s: %s", name,
				 berth_error_text(code));
	}
	*data = out;
	*size = plain;
	return 0;
}

bool snapshot_source_read(void *ctx, void *data, size_t size)
{
	struct snapshot_source *source = ctx;

	if (source->left < size)
		return false;
	if (size)
		memcpy(data, source->at, size);
	source->at += size;
	source->left -= size;
	return true;
}

/* --- the directory ------------------------------------------------------- */

struct listing {
	uint64_t index, term; /* newest */
	uint64_t keep;
	char old[64][SNAPSHOT_NAME_SIZE];
	uint32_t old_count;
};

static bool parse(const char *name, const char *prefix, uint64_t *index,
		  uint64_t *term)
{
	size_t length = strlen(prefix);

	return strncmp(name, prefix, length) == 0 &&
	       strlen(name) == length + 33 &&
	       sscanf(name + length, "%16" SCNx64 "-%16" SCNx64, index,
		      term) == 2;
}

static void each(void *ctx, const char *name)
{
	struct listing *listing = ctx;
	uint64_t index = 0, term = 0;
	bool old = strcmp(name, ASIDE) == 0;

	if (parse(name, "snapshot-", &index, &term)) {
		if (index >= listing->index) {
			listing->index = index;
			listing->term = term;
		}
		old = index < listing->keep;
	} else if (parse(name, "incoming-", &index, &term)) {
		old = index <= listing->keep;
	}
	if (old && listing->old_count < COUNT_OF(listing->old))
		snprintf(listing->old[listing->old_count++],
			 SNAPSHOT_NAME_SIZE, "%s", name);
}

int snapshot_newest(const struct replica_files *files, uint64_t *index,
		    uint64_t *term)
{
	struct listing listing = { 0 };
	int code = files->list(files->ctx, each, &listing);

	if (code)
		return code;
	if (!listing.index)
		return BERTH_NOTFOUND;
	*index = listing.index;
	*term = listing.term;
	return 0;
}

int snapshot_sweep(const struct replica_files *files, uint64_t keep)
{
	struct listing listing = { .keep = keep };
	uint32_t i;
	int code = files->list(files->ctx, each, &listing);

	for (i = 0; !code && i < listing.old_count; i++)
		code = files->remove(files->ctx, listing.old[i]);
	return code;
}
