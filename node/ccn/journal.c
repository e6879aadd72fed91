#include "node/ccn/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "node/ccn/files.h"
#include "node/lib/crypto.h"

#define FILE_HEAD "berth-ccn 1\n"
#define FILE_HEAD_SIZE (sizeof(FILE_HEAD) - 1)
#define MARK "\xb5" "CJ\n"
#define RECORD_HEAD_SIZE 16u /* mark 4, size 4, check 8 */

static int io_fault(const struct journal *journal, const char *what,
		    struct fault *fault)
{
	int code = errno == ENOSPC || errno == EDQUOT ? BERTH_NOSPACE :
							BERTH_IO;

	return fault_set(fault, code, "%s: %s: %s", journal->path, what,
			 strerror(errno));
}

/* The offset is in it, so that no record can be taken for one elsewhere. */
static void check_of(uint64_t offset, const void *payload, uint32_t size,
		     uint8_t check[8])
{
	struct sha256 *sha = sha256_open();
	struct hash hash;

	REQUIRE(sha != NULL);
	sha256_add(sha, &offset, sizeof offset);
	sha256_add(sha, &size, sizeof size);
	sha256_add(sha, payload, size);
	sha256_close(sha, &hash);
	memcpy(check, hash.bytes, 8);
}

/* True: a whole, good record stands at `offset`. */
static bool record_at(const uint8_t *data, uint64_t file_size, uint64_t offset,
		      uint32_t *size)
{
	uint8_t check[8];

	if (file_size - offset < RECORD_HEAD_SIZE ||
	    memcmp(data + offset, MARK, 4) != 0)
		return false;
	memcpy(size, data + offset + 4, sizeof *size);
	if (*size > JOURNAL_PAYLOAD_SIZE_MAX ||
	    *size > file_size - offset - RECORD_HEAD_SIZE)
		return false;
	check_of(offset, data + offset + RECORD_HEAD_SIZE, *size, check);
	return memcmp(check, data + offset + 8, 8) == 0;
}

static bool good_record_after(const uint8_t *data, uint64_t file_size,
			      uint64_t offset, uint64_t *where)
{
	const uint8_t *found;
	uint32_t size;

	while (offset < file_size) {
		found = memmem(data + offset, file_size - offset, MARK, 4);
		if (!found)
			return false;
		*where = (uint64_t)(found - data);
		if (record_at(data, file_size, *where, &size))
			return true;
		offset = *where + 1;
	}
	return false;
}

struct taker {
	int (*take)(void *ctx, const char *payload, size_t size,
		    struct fault *fault);
	void *ctx;
};

static int replay(struct journal *journal, const uint8_t *data,
		  uint64_t file_size, const struct taker *taker,
		  struct fault *fault)
{
	uint64_t offset = FILE_HEAD_SIZE, where;
	uint32_t size;
	int rc;

	for (; offset < file_size; offset += RECORD_HEAD_SIZE + size) {
		if (!record_at(data, file_size, offset, &size))
			break;
		rc = taker->take(taker->ctx,
				 (const char *)data + offset +
					 RECORD_HEAD_SIZE,
				 size, fault);
		if (rc != BERTH_OK) {
			fault_wrap(fault, "%s: offset %llu", journal->path,
				   (unsigned long long)offset);
			return rc;
		}
	}
	if (offset < file_size &&
	    good_record_after(data, file_size, offset + 1, &where))
		return fault_set(fault, BERTH_CORRUPT,
				 "%s: offset %llu: damaged record, and a good "
				 "one follows at %llu", journal->path,
				 (unsigned long long)offset,
				 (unsigned long long)where);
	journal->end = offset;
	return BERTH_OK;
}

static int cut_tail(struct journal *journal, uint64_t file_size, uint64_t *cut,
		    struct fault *fault)
{
	if (cut)
		*cut = file_size - journal->end;
	if (file_size == journal->end)
		return BERTH_OK;
	if (ftruncate(journal->fd, (off_t)journal->end) != 0 ||
	    fdatasync(journal->fd) != 0)
		return io_fault(journal, "cut the torn tail", fault);
	return BERTH_OK;
}

static int replay_file(struct journal *journal, uint64_t file_size,
		       const struct taker *taker, uint64_t *cut,
		       struct fault *fault)
{
	uint8_t *data;
	int rc;

	data = mmap(NULL, file_size, PROT_READ, MAP_PRIVATE, journal->fd, 0);
	if (data == MAP_FAILED)
		return io_fault(journal, "map", fault);
	if (memcmp(data, FILE_HEAD, FILE_HEAD_SIZE) != 0)
		rc = fault_set(fault, BERTH_CORRUPT, "%s: offset 0: not a "
			       "journal of berth-ccn, version 1",
			       journal->path);
	else
		rc = replay(journal, data, file_size, taker, fault);
	munmap(data, file_size);
	if (rc == BERTH_OK)
		rc = cut_tail(journal, file_size, cut, fault);
	return rc;
}

/* Also when a crash tore the head itself: nothing was acknowledged then. */
static int begin_file(struct journal *journal, struct fault *fault)
{
	if (ftruncate(journal->fd, 0) != 0 ||
	    pwrite(journal->fd, FILE_HEAD, FILE_HEAD_SIZE, 0) !=
		    (ssize_t)FILE_HEAD_SIZE ||
	    fsync(journal->fd) != 0)
		return io_fault(journal, "begin", fault);
	journal->end = FILE_HEAD_SIZE;
	return files_sync_parent(journal->path, fault);
}

int journal_open(struct journal *journal, const char *path,
		 int (*take)(void *ctx, const char *payload, size_t size,
			     struct fault *fault),
		 void *ctx, uint64_t *cut, struct fault *fault)
{
	struct taker taker = { take, ctx };
	struct stat st;
	int rc;

	*journal = (struct journal){ .path = strdup(path), .fd = -1 };
	if (cut)
		*cut = 0;
	if (!journal->path)
		return fault_set(fault, BERTH_NOMEM, "%s: no memory", path);
	journal->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (journal->fd < 0 || fstat(journal->fd, &st) != 0)
		rc = io_fault(journal, "open", fault);
	else if (st.st_size < (off_t)FILE_HEAD_SIZE)
		rc = begin_file(journal, fault);
	else
		rc = replay_file(journal, (uint64_t)st.st_size, &taker, cut,
				 fault);
	if (rc != BERTH_OK)
		journal_close(journal);
	return rc;
}

/* What a failed write left is cut; if that fails too, nothing is known. */
static int undo(struct journal *journal, int code)
{
	if (ftruncate(journal->fd, (off_t)journal->end) != 0)
		journal->broken = true;
	return code;
}

int journal_append(struct journal *journal, const void *payload, size_t size,
		   struct fault *fault)
{
	uint8_t head[RECORD_HEAD_SIZE];
	uint32_t size32 = (uint32_t)size;
	struct iovec parts[2] = { { head, sizeof head },
				  { (void *)(uintptr_t)payload, size } };
	ssize_t written;

	if (journal->broken)
		return fault_set(fault, BERTH_IO, "%s: an earlier write "
				 "failed: restart", journal->path);
	if (size > JOURNAL_PAYLOAD_SIZE_MAX)
		return fault_set(fault, BERTH_TOOBIG, "%s: a record of %zu "
				 "bytes", journal->path, size);
	memcpy(head, MARK, 4);
	memcpy(head + 4, &size32, sizeof size32);
	check_of(journal->end, payload, size32, head + 8);
	errno = ENOSPC; /* a short write sets none */
	written = pwritev(journal->fd, parts, 2, (off_t)journal->end);
	if (written != (ssize_t)(sizeof head + size))
		return undo(journal, io_fault(journal, "write", fault));
	if (fdatasync(journal->fd) != 0) {
		/* The kernel may have dropped the pages: do not try again. */
		journal->broken = true;
		return io_fault(journal, "sync", fault);
	}
	journal->end += sizeof head + size;
	return BERTH_OK;
}

void journal_close(struct journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	free(journal->path);
	*journal = (struct journal){ .fd = -1 };
}
