/* Bootstrap: from an empty directory to one that replica_open takes. */
#include <inttypes.h>
#include <stdio.h>

#include "raft/internal.h"

static void draw(const struct replica_io *io, uint8_t *bytes, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		bytes[i] = (uint8_t)(io->random(io->ctx) >> 17);
}

/* Every member starts with the same two entries of term 1: the configuration
 * and `first`. Nobody is ever leader in term 1 (elections begin at 2, and T3
 * raises the term of a sole voter), so index and term name the same bytes
 * everywhere, as log matching wants. */
static int write_log(const struct replica_io *io,
		     const struct replica_config *config,
		     const struct identity_file *identity,
		     const struct members *members, const void *first,
		     size_t first_size)
{
	static const struct wal_replay nothing;
	struct raft_buffer buffer = { 0 };
	struct log_entry *change = NULL, *command = NULL;
	struct wal wal;
	int code = members_encode(members, &buffer);

	if (code)
		return code;
	code = wal_open(&wal, &io->files, identity->disk_id,
			config->segment_size, &nothing, NULL);
	if (code) {
		raft_free(buffer.base);
		return code;
	}
	change = entry_new(RAFT_CHANGE, 1, 1, buffer.base, buffer.len);
	command = entry_new(RAFT_COMMAND, 2, 1, first, first_size);
	raft_free(buffer.base);
	if (!change || !command)
		code = BERTH_NOMEM;
	if (!code)
		code = wal_reset(&wal, 0, 0);
	if (!code)
		code = wal_put(&wal, change);
	if (!code && first_size)
		code = wal_put(&wal, command);
	if (!code)
		code = wal_sync(&wal);
	entry_give(change);
	entry_give(command);
	wal_close(&wal);
	return code;
}

static void remove_one(void *ctx, const char *name)
{
	char (*names)[SNAPSHOT_NAME_SIZE] = ctx;
	int i;

	for (i = 0; i < 64; i++)
		if (!names[i][0]) {
			snprintf(names[i], SNAPSHOT_NAME_SIZE, "%s", name);
			return;
		}
}

/* What a bootstrap that was interrupted left: the identity comes last. */
static int clean(const struct replica_files *f)
{
	char names[64][SNAPSHOT_NAME_SIZE] = { { 0 } };
	int i, code = f->list(f->ctx, remove_one, names);

	for (i = 0; !code && i < 64 && names[i][0]; i++)
		if (strncmp(names[i], "log-", 4) == 0 ||
		    strcmp(names[i], "vote") == 0)
			code = f->remove(f->ctx, names[i]);
	return code;
}

static int write_vote(const struct replica_files *files, uint64_t term)
{
	struct vote_file vote;
	int code = vote_open(&vote, files, NULL);

	if (code)
		return code;
	code = vote_store(&vote, files, term, 0);
	vote_close(&vote, files);
	return code;
}

int replica_bootstrap(const struct replica_io *io,
		      const struct replica_config *config,
		      const struct replica_member *members, uint32_t count,
		      const void *first, size_t first_size,
		      struct fault *fault)
{
	struct identity_file identity = { .id = config->id };
	struct members list = { .count = count };
	int code = io->files.lock(io->files.ctx);

	if (code)
		return fault_set(fault, code,
				 "bootstrap: the directory is in use");
	if (count > REPLICA_MEMBERS_MAX ||
	    first_size > REPLICA_ENTRY_SIZE_MAX || !config->id)
		return fault_set(fault, BERTH_INVALID,
				 "bootstrap: bad members");
	code = identity_load(&io->files, &identity, fault);
	if (!code)
		return fault_set(fault, BERTH_EXISTS,
				 "bootstrap: the directory is replica "
				 "%" PRIu64 " of cluster %s",
				 identity.id, identity.cluster);
	if (code != BERTH_NOTFOUND)
		return fault_wrap(fault, "bootstrap");
	memset(&identity, 0, sizeof identity);
	identity.id = config->id;
	memcpy(identity.cluster, config->cluster, sizeof identity.cluster - 1);
	draw(io, identity.disk_id, sizeof identity.disk_id);
	if (count)
		memcpy(list.list, members, count * sizeof *members);
	code = clean(&io->files);
	if (!code && count)
		code = write_log(io, config, &identity, &list, first,
				 first_size);
	if (!code)
		code = write_vote(&io->files, count ? 1 : 0);
	if (!code)
		code = identity_store(&io->files, &identity);
	if (code)
		return fault_set(fault, code, "bootstrap: %s",
				 berth_error_text(code));
	return 0;
}
