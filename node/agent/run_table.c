#include "node/agent/run_table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/agent/fencer_wire.h"

#define BLOCK_SIZE 512u /* a sector: a row is torn within it or not at all */
#define TABLE_SIZE ((off_t)(FENCER_RUNS_MAX + 1) * BLOCK_SIZE)

/* Block 0 is the head, block 1 + slot a row. All zero is free. */
struct block {
	char magic[8];
	uint64_t check; /* of the body */
	uint8_t body[BLOCK_SIZE - 16];
};

_Static_assert(sizeof(struct block) == BLOCK_SIZE, "one sector");
_Static_assert(sizeof(struct run_row) <= BLOCK_SIZE - 16, "a row fits");
_Static_assert(sizeof(struct run_table_head) <= BLOCK_SIZE - 16, "head fits");

static const char magic_row[8] = "BRTHROW1";
static const char magic_head[8] = "BRTHTAB1";

/* FNV-1a, 64 bits: finds torn writes; nobody forges these. */
static uint64_t check(const uint8_t *data, size_t size)
{
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < size; i++)
		sum = (sum ^ data[i]) * 0x100000001b3u;
	return sum;
}

static off_t offset(uint32_t block)
{
	return (off_t)block * BLOCK_SIZE;
}

static int block_write(const struct run_table *table, uint32_t at,
		       const struct block *block, bool durable)
{
	if (pwrite(table->fd, block, sizeof *block, offset(at)) !=
	    (ssize_t)sizeof *block)
		return BERTH_IO;
	if (durable && fdatasync(table->fd) != 0)
		return BERTH_IO;
	return 0;
}

static int block_put(const struct run_table *table, uint32_t at,
		     const char magic[8], const void *body, size_t size,
		     bool durable)
{
	struct block block;

	memset(&block, 0, sizeof block);
	memcpy(block.magic, magic, sizeof block.magic);
	memcpy(block.body, body, size);
	block.check = check(block.body, sizeof block.body);
	return block_write(table, at, &block, durable);
}

static int block_get(const struct run_table *table, uint32_t at,
		     const char magic[8], void *body, size_t size)
{
	static const struct block zero;
	struct block block;

	if (pread(table->fd, &block, sizeof block, offset(at)) !=
	    (ssize_t)sizeof block)
		return BERTH_IO;
	if (memcmp(&block, &zero, sizeof block) == 0)
		return BERTH_NOTFOUND;
	if (memcmp(block.magic, magic, sizeof block.magic) != 0 ||
	    block.check != check(block.body, sizeof block.body))
		return BERTH_CORRUPT;
	memcpy(body, block.body, size);
	return 0;
}

/* The whole file is there before the first row, so that a full disk is told
 * at start and not in the middle of a move. */
static int make(int fd, int directory, struct fault *fault)
{
	int error = posix_fallocate(fd, 0, TABLE_SIZE);

	if (error != 0)
		return fault_set(fault,
				 error == ENOSPC ? BERTH_NOSPACE : BERTH_IO,
				 "runs.table: %s", strerror(error));
	if (fsync(fd) != 0 || fsync(directory) != 0)
		return fault_set(fault, BERTH_IO, "runs.table: %s",
				 strerror(errno));
	return 0;
}

int run_table_open(struct run_table *table, int directory, struct fault *fault)
{
	struct stat st;
	int fd = openat(directory, "runs.table", O_RDWR | O_CREAT | O_CLOEXEC,
			0600);
	int rv = 0;

	if (fd < 0 || fstat(fd, &st) != 0)
		rv = fault_set(fault, BERTH_IO, "runs.table: %s",
			       strerror(errno));
	else if (st.st_size == 0)
		rv = make(fd, directory, fault);
	else if (st.st_size != TABLE_SIZE)
		rv = fault_set(fault, BERTH_CORRUPT,
			       "runs.table: %lld bytes, %lld expected",
			       (long long)st.st_size, (long long)TABLE_SIZE);
	if (rv != 0 && fd >= 0)
		close(fd);
	else
		table->fd = fd;
	return rv;
}

void run_table_close(struct run_table *table)
{
	close(table->fd);
	table->fd = -1;
}

int run_table_head_read(const struct run_table *table,
			struct run_table_head *out)
{
	return block_get(table, 0, magic_head, out, sizeof *out);
}

int run_table_head_write(const struct run_table *table,
			 const struct run_table_head *head, bool durable)
{
	return block_put(table, 0, magic_head, head, sizeof *head, durable);
}

int run_table_read(const struct run_table *table, uint32_t slot,
		   struct run_row *out)
{
	REQUIRE(slot < FENCER_RUNS_MAX);
	return block_get(table, 1 + slot, magic_row, out, sizeof *out);
}

int run_table_write(const struct run_table *table, uint32_t slot,
		    const struct run_row *row, bool durable)
{
	REQUIRE(slot < FENCER_RUNS_MAX);
	return block_put(table, 1 + slot, magic_row, row, sizeof *row, durable);
}

int run_table_clear(const struct run_table *table, uint32_t slot)
{
	static const struct block zero;

	REQUIRE(slot < FENCER_RUNS_MAX);
	return block_write(table, 1 + slot, &zero, false);
}
