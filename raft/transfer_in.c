/* Receiving a snapshot: chunks go in order to a staging file, which is synced
 * and verified when whole (size, checksum of the file, and what the snapshot
 * store itself checks). A link that breaks, another leader with the same
 * snapshot, or our own restart go on where the file ends; a checksum that
 * differs begins anew. Only then may the core hear of it. */
#include "raft/internal.h"

#include <stdlib.h>

#include "raft/bytes.h"
#include "raft/crc32c.h"

#define CHUNKS_MAX 8u

struct chunk {
	size_t size;
	uint8_t *data;
};

struct transfer_in {
	struct replica_job job;
	struct replica *replica;
	uint64_t peer, index, term, size;
	uint32_t crc;
	void *file;
	uint64_t offset;   /* written */
	uint64_t received; /* written and waiting */
	struct chunk chunks[CHUNKS_MAX];
	uint32_t count;
	bool busy, cancelled, whole;
	uint64_t progress_ms;
	struct snapshot_meta meta;
	struct fault fault;
};

static void free_in(struct transfer_in *in)
{
	const struct replica_files *f = &in->replica->io->files;
	uint32_t i;

	for (i = 0; i < in->count; i++)
		free(in->chunks[i].data);
	if (in->file)
		f->close(f->ctx, in->file);
	free(in);
}

static void cancel(struct replica *r)
{
	struct transfer_in *in = r->in;

	if (!in)
		return;
	r->in = NULL;
	in->cancelled = true;
	if (!in->busy)
		free_in(in);
}

void transfer_consumed(struct replica *r)
{
	cancel(r);
}

void transfer_obsolete(struct replica *r, uint64_t index)
{
	if (r->in && r->in->index <= index)
		cancel(r);
}

void transfer_fini(struct replica *r)
{
	uint32_t i;

	cancel(r);
	for (i = 0; i < PEERS_LINKED_MAX; i++)
		transfer_link_down(r, &r->linked[i]);
}

static void want(struct replica *r, uint64_t peer, uint64_t index,
		 uint64_t term, uint64_t offset, uint8_t kind)
{
	uint8_t data[26] = { FRAME_SNAPSHOT_WANT };
	struct replica_part part = { data, sizeof data };

	put_u64(data + 1, index);
	put_u64(data + 9, term);
	put_u64(data + 17, offset);
	data[25] = kind;
	link_send_parts(r, peer, &part, 1);
}

static void want_more(struct transfer_in *in, uint8_t kind)
{
	if (in->whole)
		kind = WANT_NOTHING;
	want(in->replica, in->peer, in->index, in->term, in->received, kind);
}

/* --- off the loop -------------------------------------------------------- */

/* What the file holds may be in the kernel's memory only: an earlier sync
 * failed, and the kernel forgot that there was something to write. */
static int write_again(struct transfer_in *in)
{
	const struct replica_files *f = &in->replica->io->files;
	uint8_t *buffer = malloc(CHUNK_SIZE);
	uint64_t at = 0;
	int code = buffer ? 0 : BERTH_NOMEM;

	while (!code && at < in->offset) {
		size_t got = 0, left = (size_t)(in->offset - at);

		code = f->read(f->ctx, in->file, at, buffer,
			       left < CHUNK_SIZE ? left : CHUNK_SIZE, &got);
		if (!code && !got)
			code = BERTH_IO;
		if (!code)
			code = f->write(f->ctx, in->file, at, buffer, got);
		at += got;
	}
	free(buffer);
	return code;
}

static int open_run(struct replica_job *job)
{
	struct transfer_in *in = (struct transfer_in *)job;
	const struct replica_files *f = &in->replica->io->files;
	char name[SNAPSHOT_NAME_SIZE];
	int code;

	snapshot_staging_name(name, in->index, in->term);
	code = f->open(f->ctx, name, true, &in->file);
	if (code) {
		in->file = NULL;
		return code;
	}
	code = f->size(f->ctx, in->file, &in->offset);
	if (!code && in->offset > in->size) {
		in->offset = 0;
		code = f->truncate(f->ctx, in->file, 0);
	}
	return code ? code : write_again(in);
}

static int write_run(struct replica_job *job)
{
	struct transfer_in *in = (struct transfer_in *)job;
	const struct replica_files *f = &in->replica->io->files;

	return f->write(f->ctx, in->file, in->offset, in->chunks[0].data,
			in->chunks[0].size);
}

static int checksum(struct transfer_in *in, uint32_t *crc)
{
	const struct replica_files *f = &in->replica->io->files;
	uint8_t *buffer = malloc(CHUNK_SIZE);
	uint64_t at = 0;
	int code = buffer ? 0 : BERTH_NOMEM;

	*crc = 0;
	while (!code && at < in->size) {
		size_t got = 0;

		code = f->read(f->ctx, in->file, at, buffer, CHUNK_SIZE, &got);
		if (!code && !got)
			code = BERTH_IO;
		*crc = crc32c(*crc, buffer, got);
		at += got;
	}
	free(buffer);
	return code;
}

/* CORRUPT: what came is not what was offered. */
static int verify_run(struct replica_job *job)
{
	struct transfer_in *in = (struct transfer_in *)job;
	const struct replica_files *f = &in->replica->io->files;
	char name[SNAPSHOT_NAME_SIZE];
	uint32_t crc;
	int code = f->sync(f->ctx, in->file);

	if (!code)
		code = checksum(in, &crc);
	if (!code && crc != in->crc)
		code = BERTH_CORRUPT;
	snapshot_staging_name(name, in->index, in->term);
	if (!code)
		code = snapshot_load(f, name, &in->meta, NULL, NULL,
				     &in->fault);
	if (!code && (in->meta.index != in->index ||
		      in->meta.term != in->term))
		code = BERTH_CORRUPT;
	if (code == BERTH_CORRUPT &&
	    f->truncate(f->ctx, in->file, 0))
		code = BERTH_IO;
	return code;
}

/* --- on the loop --------------------------------------------------------- */

static void go_on(struct transfer_in *in);

static void submit(struct transfer_in *in,
		   int (*run)(struct replica_job *job),
		   void (*done)(struct replica_job *job, int code))
{
	struct replica *r = in->replica;

	in->job.run = run;
	in->job.done = done;
	in->busy = true;
	r->jobs++;
	r->io->submit_slow(r->io->ctx, &in->job);
}

/* True: it is over (cancelled, or the disk failed). */
static bool ended(struct transfer_in *in, int code)
{
	struct replica *r = in->replica;

	r->jobs--;
	in->busy = false;
	if (code && !r->dead && !in->cancelled)
		engine_fatal(r, code, "receive snapshot %llu: %s",
			     (unsigned long long)in->index,
			     berth_error_text(code));
	if (in->cancelled) {
		free_in(in);
		return true;
	}
	in->progress_ms = r->now_ms;
	return r->dead;
}

static void opened(struct replica_job *job, int code)
{
	struct transfer_in *in = (struct transfer_in *)job;
	struct replica *r = in->replica;

	if (!ended(in, code)) {
		in->received = in->offset;
		want_more(in, WANT_AGAIN);
		go_on(in);
	}
	replica_tick(r);
}

static void written(struct replica_job *job, int code)
{
	struct transfer_in *in = (struct transfer_in *)job;
	struct replica *r = in->replica;

	if (!ended(in, code)) {
		in->offset += in->chunks[0].size;
		free(in->chunks[0].data);
		in->count--;
		memmove(in->chunks, in->chunks + 1,
			in->count * sizeof *in->chunks);
		want_more(in, WANT_MORE);
		go_on(in);
	}
	replica_tick(r);
}

static void verified(struct replica_job *job, int code)
{
	struct transfer_in *in = (struct transfer_in *)job;
	struct replica *r = in->replica;

	if (!ended(in, code == BERTH_CORRUPT ? 0 : code)) {
		if (code == BERTH_CORRUPT) {
			engine_log(r, 4, "snapshot %llu came damaged",
				   (unsigned long long)in->index);
			in->offset = in->received = 0;
			want_more(in, WANT_AGAIN);
		} else {
			in->whole = true;
			want_more(in, WANT_NOTHING);
		}
	}
	replica_tick(r);
}

static void go_on(struct transfer_in *in)
{
	if (in->busy || in->whole)
		return;
	if (in->count)
		submit(in, write_run, written);
	else if (in->offset == in->size)
		submit(in, verify_run, verified);
}

static bool have(const struct replica *r, uint64_t index, uint64_t term)
{
	return r->raft.trail.snapshot.index >= index ||
	       engine_term_of(r, index) == term;
}

static void begin(struct replica *r, const struct transfer_in *offer)
{
	struct transfer_in *in = calloc(1, sizeof *in);

	if (!in)
		return; /* it is offered again */
	*in = *offer;
	in->replica = r;
	in->progress_ms = r->now_ms;
	r->in = in;
	submit(in, open_run, opened);
}

/* One at a time. Another one takes its place if it is further, or if nothing
 * comes of the first. */
static bool give_way(const struct replica *r, const struct transfer_in *offer)
{
	return offer->index > r->in->index ||
	       r->now_ms - r->in->progress_ms >= 2 * r->config.election_ms;
}

static void take_offer(struct replica *r, struct peer *peer,
		       struct cursor *cursor)
{
	struct transfer_in offer = { .peer = peer->id };

	offer.index = cursor_u64(cursor);
	offer.term = cursor_u64(cursor);
	offer.size = cursor_u64(cursor);
	offer.crc = cursor_u32(cursor);
	if (cursor->bad || cursor->left || !offer.index || !offer.term) {
		r->io->link_drop(r->io->ctx, peer->id, "malformed frame");
		return;
	}
	if (have(r, offer.index, offer.term)) {
		want(r, peer->id, offer.index, offer.term, 0, WANT_NOTHING);
		return;
	}
	if (r->in && r->in->index == offer.index &&
	    r->in->term == offer.term && r->in->size == offer.size &&
	    r->in->crc == offer.crc) {
		r->in->peer = peer->id;
		want_more(r->in, WANT_AGAIN);
		return;
	}
	if (r->in && (r->in->busy || !give_way(r, &offer)))
		return;
	cancel(r);
	begin(r, &offer);
}

static void take_chunk(struct replica *r, struct peer *peer,
		       struct cursor *cursor)
{
	struct transfer_in *in = r->in;
	uint64_t index = cursor_u64(cursor), term = cursor_u64(cursor);
	uint64_t offset = cursor_u64(cursor);
	uint32_t crc = cursor_u32(cursor);
	uint8_t *copy;

	if (cursor->bad || !cursor->left || cursor->left > CHUNK_SIZE ||
	    crc != crc32c(0, cursor->at, cursor->left)) {
		r->io->link_drop(r->io->ctx, peer->id, "malformed frame");
		return;
	}
	if (!in || in->index != index || in->term != term || !in->file ||
	    in->whole || in->peer != peer->id || offset < in->received)
		return;
	if (offset > in->received || in->count == CHUNKS_MAX) {
		want_more(in, WANT_AGAIN);
		return;
	}
	copy = in->received + cursor->left > in->size ? NULL :
							malloc(cursor->left);
	if (!copy)
		return;
	memcpy(copy, cursor->at, cursor->left);
	in->chunks[in->count].data = copy;
	in->chunks[in->count++].size = cursor->left;
	in->received += cursor->left;
	go_on(in);
}

void transfer_frame(struct replica *r, struct peer *peer, const uint8_t *data,
		    size_t size)
{
	struct cursor cursor = { .at = data + 1, .left = size - 1 };

	if (data[0] == FRAME_SNAPSHOT_WANT)
		transfer_wanted(r, peer, data, size);
	else if (r->installing)
		return;
	else if (data[0] == FRAME_SNAPSHOT_OFFER)
		take_offer(r, peer, &cursor);
	else if (data[0] == FRAME_SNAPSHOT_CHUNK)
		take_chunk(r, peer, &cursor);
	else
		r->io->link_drop(r->io->ctx, peer->id, "malformed frame");
}

bool transfer_staged(struct replica *r, uint64_t index, uint64_t term,
		     struct snapshot_meta *meta)
{
	if (have(r, index, term)) {
		/* The core answers at once and forgets the configuration. */
		memset(meta, 0, sizeof *meta);
		meta->members = r->applied_members;
		return true;
	}
	if (!r->in || !r->in->whole || r->in->index != index ||
	    r->in->term != term)
		return false;
	*meta = r->in->meta;
	return true;
}
