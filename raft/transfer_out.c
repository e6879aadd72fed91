/* Sending a snapshot: offer (where it stands, size, checksum of the file);
 * the receiver wants an offset; chunks from there, a window ahead; when it
 * wants nothing more, the core's InstallSnapshot is sent.
 *
 * The core repeats InstallSnapshot very often; while a transfer to that peer
 * runs the others are dropped, and only wake a transfer that stands still.
 */
#include "raft/internal.h"

#include <stdlib.h>

#include "raft/bytes.h"
#include "raft/crc32c.h"

#define WINDOW (4u * CHUNK_SIZE)
#define QUEUED_MAX (1u << 20)

struct transfer_out {
	struct replica_job job;
	struct replica *replica;
	uint64_t peer, index, term;
	void *file;
	uint64_t size;
	uint32_t crc;
	bool busy, cancelled, offered;
	uint64_t want, next; /* offsets: asked for, to be read next */
	uint64_t progress_ms;
	size_t chunk_size;
	uint8_t chunk[CHUNK_SIZE];
};

static void free_out(struct transfer_out *out)
{
	const struct replica_files *f = &out->replica->io->files;

	if (out->file)
		f->close(f->ctx, out->file);
	free(out);
}

static void cancel(struct peer *peer)
{
	struct transfer_out *out = peer->out;

	if (!out)
		return;
	peer->out = NULL;
	out->cancelled = true;
	if (!out->busy)
		free_out(out);
}

void transfer_link_down(struct replica *r, struct peer *peer)
{
	(void)r;
	cancel(peer);
}

uint64_t transfer_oldest(const struct replica *r)
{
	uint64_t oldest = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < PEERS_LINKED_MAX; i++)
		if (r->linked[i].out && r->linked[i].out->index < oldest)
			oldest = r->linked[i].out->index;
	return oldest;
}

/* --- off the loop -------------------------------------------------------- */

static int open_run(struct replica_job *job)
{
	struct transfer_out *out = (struct transfer_out *)job;
	const struct replica_files *f = &out->replica->io->files;
	char name[SNAPSHOT_NAME_SIZE];
	uint64_t at = 0;
	int code;

	snapshot_name(name, out->index, out->term);
	code = f->open(f->ctx, name, false, &out->file);
	if (code) {
		out->file = NULL;
		return code;
	}
	code = f->size(f->ctx, out->file, &out->size);
	while (!code && at < out->size) {
		size_t got = 0;

		code = f->read(f->ctx, out->file, at, out->chunk, CHUNK_SIZE,
			       &got);
		if (!code && !got)
			code = BERTH_IO;
		out->crc = crc32c(out->crc, out->chunk, got);
		at += got;
	}
	return code;
}

static int read_run(struct replica_job *job)
{
	struct transfer_out *out = (struct transfer_out *)job;
	const struct replica_files *f = &out->replica->io->files;

	return f->read(f->ctx, out->file, out->next, out->chunk, CHUNK_SIZE,
		       &out->chunk_size);
}

/* --- on the loop --------------------------------------------------------- */

static void send_offer(struct transfer_out *out)
{
	uint8_t data[29] = { FRAME_SNAPSHOT_OFFER };
	struct replica_part part = { data, sizeof data };

	put_u64(data + 1, out->index);
	put_u64(data + 9, out->term);
	put_u64(data + 17, out->size);
	put_u32(data + 25, out->crc);
	link_send_parts(out->replica, out->peer, &part, 1);
	out->progress_ms = out->replica->now_ms;
	out->offered = true;
}

static void send_chunk(struct transfer_out *out)
{
	uint8_t head[29] = { FRAME_SNAPSHOT_CHUNK };
	struct replica_part parts[2] = { { head, sizeof head },
					 { out->chunk, out->chunk_size } };

	put_u64(head + 1, out->index);
	put_u64(head + 9, out->term);
	put_u64(head + 17, out->next);
	put_u32(head + 25, crc32c(0, out->chunk, out->chunk_size));
	if (link_send_parts(out->replica, out->peer, parts, 2))
		out->next += out->chunk_size;
}

static void go_on(struct transfer_out *out);

static void out_done(struct replica_job *job, int code)
{
	struct transfer_out *out = (struct transfer_out *)job;
	struct replica *r = out->replica;
	struct peer *peer = link_find(r, out->peer);

	r->jobs--;
	out->busy = false;
	if (out->cancelled || r->dead) {
		if (!out->cancelled && peer)
			peer->out = NULL;
		free_out(out);
		replica_tick(r);
		return;
	}
	if (code) {
		/* It may have been replaced meanwhile; the core asks again. */
		engine_log(r, 4, "snapshot %llu cannot be sent: %s",
			   (unsigned long long)out->index,
			   berth_error_text(code));
		cancel(peer);
	} else if (!out->offered) {
		send_offer(out);
	} else {
		if (out->chunk_size)
			send_chunk(out);
		go_on(out);
	}
	replica_tick(r);
}

static void submit(struct transfer_out *out,
		   int (*run)(struct replica_job *job))
{
	struct replica *r = out->replica;

	out->job.run = run;
	out->job.done = out_done;
	out->busy = true;
	r->jobs++;
	r->io->submit_slow(r->io->ctx, &out->job);
}

static void go_on(struct transfer_out *out)
{
	struct replica *r = out->replica;

	if (out->busy || out->next >= out->size ||
	    out->next >= out->want + WINDOW ||
	    r->io->link_queued(r->io->ctx, out->peer) > QUEUED_MAX)
		return;
	submit(out, read_run);
}

static void begin(struct replica *r, struct peer *peer)
{
	struct transfer_out *out = calloc(1, sizeof *out);

	if (!out)
		return; /* the core asks again */
	out->replica = r;
	out->peer = peer->id;
	out->index = r->snap.index;
	out->term = r->snap.term;
	out->progress_ms = r->now_ms;
	peer->out = out;
	submit(out, open_run);
}

void transfer_offer(struct replica *r, const struct raft_message *message)
{
	struct peer *peer = link_find(r, message->server_id);
	uint64_t patience = r->config.election_ms;

	if (!peer || !peer->accepted || r->closing)
		return;
	if (!peer->out) {
		begin(r, peer);
	} else if (peer->out->offered && !peer->out->busy &&
		   r->now_ms - peer->out->progress_ms >= patience) {
		if (peer->out->index != r->snap.index) {
			cancel(peer);
			begin(r, peer);
		} else {
			send_offer(peer->out);
		}
	}
}

static void send_install(struct replica *r, const struct transfer_out *out)
{
	struct raft_message message;
	uint8_t data[CODEC_SIZE_MAX];
	struct replica_part part = { data, 0 };

	memset(&message, 0, sizeof message);
	message.type = RAFT_INSTALL_SNAPSHOT;
	message.install_snapshot.term = raft_current_term(&r->raft);
	message.install_snapshot.last_index = out->index;
	message.install_snapshot.last_term = out->term;
	part.size = codec_encode(&message, data);
	link_send_parts(r, out->peer, &part, 1);
}

void transfer_wanted(struct replica *r, struct peer *peer,
		     const uint8_t *data, size_t size)
{
	struct cursor cursor = { .at = data + 1, .left = size - 1 };
	struct transfer_out *out = peer->out;
	uint64_t index = cursor_u64(&cursor), term = cursor_u64(&cursor);
	uint64_t offset = cursor_u64(&cursor);
	uint8_t kind = cursor_u8(&cursor);

	if (cursor.bad || cursor.left || kind > WANT_NOTHING) {
		r->io->link_drop(r->io->ctx, peer->id, "malformed frame");
		return;
	}
	if (!out || !out->offered || out->index != index ||
	    out->term != term || offset > out->size)
		return;
	if (!engine_is_leader(r)) {
		cancel(peer);
		return;
	}
	out->progress_ms = r->now_ms;
	if (kind == WANT_NOTHING) {
		send_install(r, out);
		cancel(peer);
		return;
	}
	if (offset > out->want || kind == WANT_AGAIN)
		out->want = offset;
	if (!out->busy && (kind == WANT_AGAIN || out->next < offset))
		out->next = offset;
	go_on(out);
}
