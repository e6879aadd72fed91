/* The core's messages as frames. The decoder is bounded: it takes nothing that
 * the core could stumble over (zero terms, decreasing terms, configurations
 * that do not decode). Fields are written one by one, so that what the core
 * leaves unset never leaves the process (T14). */
#include "raft/internal.h"

#include <stdlib.h>

#include "raft/bytes.h"

#define FLAG_DISRUPT 1u
#define FLAG_PRE_VOTE 2u
#define FLAG_GRANTED 4u

size_t codec_encode_append(const struct raft_append_entries *append,
			   struct log_entry *const *entries, uint32_t count,
			   uint8_t *out)
{
	uint32_t i;

	out[0] = FRAME_APPEND;
	put_u64(out + 1, append->term);
	put_u64(out + 9, append->prev_log_index);
	put_u64(out + 17, append->prev_log_term);
	put_u64(out + 25, append->leader_commit);
	put_u32(out + 33, count);
	for (i = 0; i < count; i++) {
		uint8_t *at = out + 37 + i * CODEC_ENTRY_HEAD;

		put_u64(at, entries[i]->term);
		put_u32(at + 8, (uint32_t)entries[i]->size);
		put_u32(at + 12, entries[i]->type);
	}
	return 37 + count * CODEC_ENTRY_HEAD;
}

static size_t encode_result(const struct raft_append_entries_result *result,
			    uint8_t *out)
{
	out[0] = FRAME_APPEND_RESULT;
	put_u64(out + 1, result->term);
	put_u64(out + 9, result->rejected);
	put_u64(out + 17, result->last_log_index);
	return 25;
}

static size_t encode_vote(const struct raft_request_vote *vote, uint8_t *out)
{
	out[0] = FRAME_VOTE;
	put_u64(out + 1, vote->term);
	put_u64(out + 9, vote->candidate_id);
	put_u64(out + 17, vote->last_log_index);
	put_u64(out + 25, vote->last_log_term);
	out[33] = (uint8_t)((vote->disrupt_leader ? FLAG_DISRUPT : 0) |
			    (vote->pre_vote ? FLAG_PRE_VOTE : 0));
	return 34;
}

static size_t encode_vote_result(const struct raft_request_vote_result *result,
				 uint8_t *out)
{
	out[0] = FRAME_VOTE_RESULT;
	put_u64(out + 1, result->term);
	out[9] = (uint8_t)((result->vote_granted ? FLAG_GRANTED : 0) |
			   (result->pre_vote ? FLAG_PRE_VOTE : 0));
	return 10;
}

static size_t encode_timeout(const struct raft_timeout_now *now, uint8_t *out)
{
	out[0] = FRAME_TIMEOUT_NOW;
	put_u64(out + 1, now->term);
	put_u64(out + 9, now->last_log_index);
	put_u64(out + 17, now->last_log_term);
	return 25;
}

static size_t encode_install(const struct raft_install_snapshot *install,
			     uint8_t *out)
{
	out[0] = FRAME_INSTALL;
	put_u64(out + 1, install->term);
	put_u64(out + 9, install->last_index);
	put_u64(out + 17, install->last_term);
	return 25;
}

size_t codec_encode(const struct raft_message *message, uint8_t *out)
{
	switch (message->type) {
	case RAFT_APPEND_ENTRIES_RESULT:
		return encode_result(&message->append_entries_result, out);
	case RAFT_REQUEST_VOTE:
		return encode_vote(&message->request_vote, out);
	case RAFT_REQUEST_VOTE_RESULT:
		return encode_vote_result(&message->request_vote_result, out);
	case RAFT_TIMEOUT_NOW:
		return encode_timeout(&message->timeout_now, out);
	case RAFT_INSTALL_SNAPSHOT:
		return encode_install(&message->install_snapshot, out);
	case RAFT_APPEND_ENTRIES:
	default:
		return 0;
	}
}

/* --- decoding ------------------------------------------------------------ */

static bool entry_fine(const struct log_entry *entry)
{
	struct members members;

	if (entry->type == RAFT_CHANGE)
		return members_decode(&members, entry->data, entry->size);
	return entry->type == RAFT_COMMAND || entry->type == RAFT_BARRIER;
}

static bool decode_entries(struct cursor *heads, struct cursor *bodies,
			   struct decoded *out, uint32_t count)
{
	struct raft_append_entries *append = &out->message.append_entries;
	uint64_t term = append->prev_log_term;
	void *batch = raft_malloc(8);
	uint32_t i;

	for (i = 0; i < count; i++) {
		struct raft_entry *core = &append->entries[i];
		uint64_t entry_term = cursor_u64(heads);
		uint32_t size = cursor_u32(heads), type = cursor_u32(heads);
		const uint8_t *body = cursor_bytes(bodies, size);
		struct log_entry *entry;

		if (!batch || !body || entry_term < term || !entry_term ||
		    entry_term > append->term || type > UINT8_MAX)
			break;
		entry = entry_new((uint8_t)type,
				  append->prev_log_index + 1 + i, entry_term,
				  body, size);
		if (!entry)
			break;
		out->entries[i] = entry;
		append->n_entries = out->count = i + 1;
		core->term = entry_term;
		core->type = (enum raft_entry_type)type;
		core->buf.base = entry->data;
		core->buf.len = size;
		core->batch = batch;
		term = entry_term;
		if (!entry_fine(entry))
			break;
	}
	if (i == count && !bodies->left)
		return true;
	raft_free(batch);
	return false;
}

static bool decode_append(struct cursor *cursor, struct decoded *out)
{
	struct raft_append_entries *append = &out->message.append_entries;
	struct cursor heads;
	uint32_t count;

	out->message.type = RAFT_APPEND_ENTRIES;
	append->term = cursor_u64(cursor);
	append->prev_log_index = cursor_u64(cursor);
	append->prev_log_term = cursor_u64(cursor);
	append->leader_commit = cursor_u64(cursor);
	count = cursor_u32(cursor);
	if (cursor->bad || !append->term ||
	    append->prev_log_index > UINT64_MAX / 2 ||
	    !append->prev_log_index != !append->prev_log_term ||
	    append->prev_log_term > append->term ||
	    count > INFLIGHT_ENTRIES_MAX ||
	    count > cursor->left / CODEC_ENTRY_HEAD)
		return false;
	if (!count)
		return !cursor->left;
	heads = (struct cursor){ .at = cursor->at,
				 .left = (size_t)count * CODEC_ENTRY_HEAD };
	cursor_bytes(cursor, heads.left);
	append->entries = raft_calloc(count, sizeof *append->entries);
	out->entries = calloc(count, sizeof(struct log_entry *));
	if (!append->entries || !out->entries)
		return false;
	return decode_entries(&heads, cursor, out, count);
}

static bool decode_result(struct cursor *cursor, struct decoded *out)
{
	struct raft_append_entries_result *result =
		&out->message.append_entries_result;

	out->message.type = RAFT_APPEND_ENTRIES_RESULT;
	result->version = 1;
	result->features = 0;
	result->term = cursor_u64(cursor);
	result->rejected = cursor_u64(cursor);
	result->last_log_index = cursor_u64(cursor);
	return result->term != 0;
}

static bool decode_vote(struct cursor *cursor, struct decoded *out)
{
	struct raft_request_vote *vote = &out->message.request_vote;
	uint8_t flags;

	out->message.type = RAFT_REQUEST_VOTE;
	vote->version = 2;
	vote->term = cursor_u64(cursor);
	vote->candidate_id = cursor_u64(cursor);
	vote->last_log_index = cursor_u64(cursor);
	vote->last_log_term = cursor_u64(cursor);
	flags = cursor_u8(cursor);
	vote->disrupt_leader = flags & FLAG_DISRUPT;
	vote->pre_vote = flags & FLAG_PRE_VOTE;
	return vote->term && vote->candidate_id;
}

static bool decode_vote_result(struct cursor *cursor, struct decoded *out)
{
	struct raft_request_vote_result *result =
		&out->message.request_vote_result;
	uint8_t flags;

	out->message.type = RAFT_REQUEST_VOTE_RESULT;
	result->version = 3;
	result->term = cursor_u64(cursor);
	flags = cursor_u8(cursor);
	result->vote_granted = flags & FLAG_GRANTED;
	result->pre_vote = flags & FLAG_PRE_VOTE;
	return result->term != 0;
}

static bool decode_timeout(struct cursor *cursor, struct decoded *out)
{
	struct raft_timeout_now *now = &out->message.timeout_now;

	out->message.type = RAFT_TIMEOUT_NOW;
	now->version = 1;
	now->term = cursor_u64(cursor);
	now->last_log_index = cursor_u64(cursor);
	now->last_log_term = cursor_u64(cursor);
	return now->term != 0;
}

static bool decode_install(struct cursor *cursor, struct decoded *out)
{
	struct raft_install_snapshot *install = &out->message.install_snapshot;

	out->message.type = RAFT_INSTALL_SNAPSHOT;
	install->version = 1;
	install->term = cursor_u64(cursor);
	install->last_index = cursor_u64(cursor);
	install->last_term = cursor_u64(cursor);
	return install->term && install->last_index && install->last_term &&
	       install->last_term <= install->term;
}

static bool decode_body(uint8_t type, struct cursor *cursor,
			struct decoded *out)
{
	switch (type) {
	case FRAME_APPEND:
		return decode_append(cursor, out);
	case FRAME_APPEND_RESULT:
		return decode_result(cursor, out);
	case FRAME_VOTE:
		return decode_vote(cursor, out);
	case FRAME_VOTE_RESULT:
		return decode_vote_result(cursor, out);
	case FRAME_TIMEOUT_NOW:
		return decode_timeout(cursor, out);
	case FRAME_INSTALL:
		return decode_install(cursor, out);
	default:
		return false;
	}
}

bool codec_decode(const uint8_t *data, size_t size, struct decoded *out)
{
	struct cursor cursor = { .at = data, .left = size };
	uint8_t type = cursor_u8(&cursor);

	memset(out, 0, sizeof *out);
	if (decode_body(type, &cursor, out) && !cursor.bad && !cursor.left)
		return true;
	codec_free(out);
	return false;
}

void codec_free(struct decoded *decoded)
{
	struct raft_append_entries *append = &decoded->message.append_entries;
	uint32_t i;

	if (decoded->message.type != RAFT_APPEND_ENTRIES)
		return;
	for (i = 0; decoded->entries && i < decoded->count; i++)
		entry_give(decoded->entries[i]);
	free(decoded->entries);
	raft_free(append->entries);
	decoded->entries = NULL;
	append->entries = NULL;
	append->n_entries = decoded->count = 0;
}
