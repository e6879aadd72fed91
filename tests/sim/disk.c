/* A disk that keeps its promises and nothing else: what was synced stays; of
 * what was not, a crash keeps any subset of sectors, and any prefix of the
 * directory's operations. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim.h"

#define SECTOR 512u
#define NAMES_MAX 4096u

struct change { /* not yet synced */
	struct change *next;
	uint64_t offset, size; /* without data: the file's new size */
	uint8_t *data;
};

struct inode {
	uint32_t links;
	uint8_t *now, *durable;
	uint64_t now_size, durable_size, capacity;
	struct change *changes, **changes_end;
};

struct name {
	char text[64];
	struct inode *inode;
};

struct directory {
	struct name names[NAMES_MAX];
	uint32_t count;
};

struct turn { /* of the directory, not yet synced */
	char from[64], to[64]; /* to "" : removed; from "": made */
	struct inode *inode;
};

struct disk {
	struct chance *chance;
	struct directory now, durable;
	struct turn *turns;
	uint32_t turn_count, turn_capacity;
	uint64_t fuse;
	bool off, full, torn, sync_fails;
};

static void *need(void *memory)
{
	if (!memory) {
		fputs("simulator: out of memory\n", stderr);
		abort();
	}
	return memory;
}

static void drop_changes(struct inode *inode)
{
	while (inode->changes) {
		struct change *next = inode->changes->next;

		free(inode->changes->data);
		free(inode->changes);
		inode->changes = next;
	}
	inode->changes_end = &inode->changes;
}

static void inode_give(struct inode *inode)
{
	if (--inode->links)
		return;
	drop_changes(inode);
	free(inode->now);
	free(inode->durable);
	free(inode);
}

static struct name *find(struct directory *directory, const char *text)
{
	uint32_t i;

	for (i = 0; i < directory->count; i++)
		if (strcmp(directory->names[i].text, text) == 0)
			return &directory->names[i];
	return NULL;
}

static void enter(struct directory *directory, const char *text,
		  struct inode *inode)
{
	struct name *name = find(directory, text);

	inode->links++;
	if (name) {
		inode_give(name->inode);
		name->inode = inode;
		return;
	}
	if (directory->count == NAMES_MAX)
		abort();
	name = &directory->names[directory->count++];
	snprintf(name->text, sizeof name->text, "%s", text);
	name->inode = inode;
}

static void leave(struct directory *directory, const char *text)
{
	struct name *name = find(directory, text);

	if (!name)
		return;
	inode_give(name->inode);
	*name = directory->names[--directory->count];
}

static void turn(struct directory *directory, const struct turn *turn)
{
	if (turn->to[0])
		enter(directory, turn->to, turn->inode);
	if (turn->from[0])
		leave(directory, turn->from);
}

static void remember(struct disk *disk, const char *from, const char *to,
		     struct inode *inode)
{
	struct turn *last;

	if (disk->turn_count == disk->turn_capacity) {
		disk->turn_capacity = disk->turn_capacity * 2 + 16;
		disk->turns = need(realloc(disk->turns,
					   disk->turn_capacity *
						   sizeof *disk->turns));
	}
	last = &disk->turns[disk->turn_count++];
	memset(last, 0, sizeof *last);
	snprintf(last->from, sizeof last->from, "%s", from);
	snprintf(last->to, sizeof last->to, "%s", to);
	last->inode = inode;
	inode->links++;
	turn(&disk->now, last);
}

static void forget_turns(struct disk *disk)
{
	uint32_t i;

	for (i = 0; i < disk->turn_count; i++)
		inode_give(disk->turns[i].inode);
	disk->turn_count = 0;
}

static bool burn(struct disk *disk)
{
	if (!disk->off && disk->fuse && --disk->fuse == 0)
		disk->off = true;
	return disk->off;
}

/* --- files --------------------------------------------------------------- */

static void grow(struct inode *inode, uint64_t size)
{
	uint64_t capacity = inode->capacity ? inode->capacity : 4096;

	while (capacity < size)
		capacity *= 2;
	if (capacity == inode->capacity)
		return;
	inode->now = need(realloc(inode->now, capacity));
	inode->durable = need(realloc(inode->durable, capacity));
	memset(inode->now + inode->capacity, 0, capacity - inode->capacity);
	memset(inode->durable + inode->capacity, 0,
	       capacity - inode->capacity);
	inode->capacity = capacity;
}

static void set_size(uint8_t *data, uint64_t *size, uint64_t to)
{
	if (to < *size)
		memset(data + to, 0, *size - to);
	*size = to;
}

static void put(uint8_t *data, uint64_t *size, const struct change *change,
		uint64_t from, uint64_t count)
{
	if (!change->data) {
		set_size(data, size, change->size);
		return;
	}
	memcpy(data + change->offset + from, change->data + from, count);
	if (*size < change->offset + from + count)
		*size = change->offset + from + count;
}

static void record(struct inode *inode, uint64_t offset, const void *data,
		   uint64_t size)
{
	struct change *change = need(calloc(1, sizeof *change));

	change->offset = offset;
	change->size = size;
	if (data) {
		change->data = need(malloc(size + 1));
		memcpy(change->data, data, size);
	}
	*inode->changes_end = change;
	inode->changes_end = &change->next;
	put(inode->now, &inode->now_size, change, 0, size);
}

static int file_open(void *ctx, const char *text, bool create, void **out)
{
	struct disk *disk = ctx;
	struct name *name = find(&disk->now, text);
	struct inode *inode;

	if (burn(disk))
		return BERTH_IO;
	if (!name && !create)
		return BERTH_NOTFOUND;
	if (name) {
		inode = name->inode;
	} else {
		inode = need(calloc(1, sizeof *inode));
		inode->changes_end = &inode->changes;
		grow(inode, 1);
		remember(disk, "", text, inode);
	}
	inode->links++;
	*out = inode;
	return 0;
}

static void file_close(void *ctx, void *file)
{
	(void)ctx;
	inode_give(file);
}

static int file_size(void *ctx, void *file, uint64_t *size)
{
	struct inode *inode = file;

	if (burn(ctx))
		return BERTH_IO;
	*size = inode->now_size;
	return 0;
}

static int file_read(void *ctx, void *file, uint64_t offset, void *data,
		     size_t size, size_t *got)
{
	struct inode *inode = file;

	if (burn(ctx))
		return BERTH_IO;
	*got = offset >= inode->now_size ? 0 :
	       inode->now_size - offset < size ?
					   (size_t)(inode->now_size - offset) :
					   size;
	if (*got)
		memcpy(data, inode->now + offset, *got);
	return 0;
}

static int file_write(void *ctx, void *file, uint64_t offset, const void *data,
		      size_t size)
{
	struct disk *disk = ctx;

	if (disk->off)
		return BERTH_IO;
	if (disk->full)
		return BERTH_NOSPACE;
	grow(file, offset + size);
	record(file, offset, data, size);
	return burn(disk) ? BERTH_IO : 0;
}

static int file_allocate(void *ctx, void *file, uint64_t size)
{
	struct disk *disk = ctx;
	struct inode *inode = file;

	if (burn(disk))
		return BERTH_IO;
	if (disk->full)
		return BERTH_NOSPACE;
	grow(inode, size);
	if (inode->now_size < size)
		record(inode, 0, NULL, size);
	return 0;
}

static int file_truncate(void *ctx, void *file, uint64_t size)
{
	if (burn(ctx))
		return BERTH_IO;
	grow(file, size);
	record(file, 0, NULL, size);
	return 0;
}

static int file_sync(void *ctx, void *file)
{
	struct disk *disk = ctx;
	struct inode *inode = file;

	if (burn(ctx))
		return BERTH_IO;
	if (disk->sync_fails) {
		disk->sync_fails = false;
		drop_changes(inode);
		return BERTH_IO;
	}
	while (inode->changes) {
		struct change *change = inode->changes;

		put(inode->durable, &inode->durable_size, change, 0,
		    change->size);
		inode->changes = change->next;
		free(change->data);
		free(change);
	}
	inode->changes_end = &inode->changes;
	return 0;
}

static int file_rename(void *ctx, const char *from, const char *to)
{
	struct disk *disk = ctx;
	struct name *name = find(&disk->now, from);

	if (burn(disk))
		return BERTH_IO;
	if (!name)
		return BERTH_NOTFOUND;
	remember(disk, from, to, name->inode);
	return 0;
}

static int file_remove(void *ctx, const char *text)
{
	struct disk *disk = ctx;
	struct name *name = find(&disk->now, text);

	if (burn(disk))
		return BERTH_IO;
	if (!name)
		return BERTH_NOTFOUND;
	remember(disk, text, "", name->inode);
	return 0;
}

static int sync_directory(void *ctx)
{
	struct disk *disk = ctx;
	uint32_t i;

	if (burn(disk))
		return BERTH_IO;
	for (i = 0; i < disk->turn_count; i++)
		turn(&disk->durable, &disk->turns[i]);
	forget_turns(disk);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int list(void *ctx, void (*each)(void *each_ctx, const char *name),
		void *each_ctx)
{
	struct disk *disk = ctx;
	char(*names)[64];
	uint32_t i, count = disk->now.count;

	if (burn(disk))
		return BERTH_IO;
	names = need(calloc(count + 1, sizeof *names));
	for (i = 0; i < count; i++)
		memcpy(names[i], disk->now.names[i].text, sizeof names[i]);
	qsort(names, count, sizeof *names, by_text);
	for (i = 0; i < count; i++)
		each(each_ctx, names[i]);
	free(names);
	return 0;
}

static int lock(void *ctx)
{
	(void)ctx;
	return 0;
}

void disk_files(struct disk *disk, struct replica_files *out)
{
	*out = (struct replica_files){
		disk,	       file_open,   file_close,	    file_size,
		file_read,     file_write,  file_allocate,  file_truncate,
		file_sync,     file_rename, file_remove,    sync_directory,
		list,	       lock,
	};
}

/* --- crashes ------------------------------------------------------------- */

/* Any subset of the sectors that were not synced. */
static void tear(struct disk *disk, struct inode *inode)
{
	uint32_t keep = (uint32_t)chance_below(disk->chance, 3) * 50;
	bool kept, some = false, all = true;

	while (inode->changes) {
		struct change *change = inode->changes;
		uint64_t at = 0;

		while (change->data && at < change->size) {
			uint64_t end = (change->offset + at + SECTOR) /
				       SECTOR * SECTOR;
			uint64_t count = end - change->offset - at;

			if (count > change->size - at)
				count = change->size - at;
			kept = chance_percent(disk->chance, keep);
			some = some || kept;
			all = all && kept;
			if (kept)
				put(inode->durable, &inode->durable_size,
				    change, at, count);
			at += count;
		}
		if (!change->data && chance_percent(disk->chance, keep))
			put(inode->durable, &inode->durable_size, change, 0, 0);
		inode->changes = change->next;
		free(change->data);
		free(change);
	}
	inode->changes_end = &inode->changes;
	disk->torn = disk->torn || (some && !all);
	memcpy(inode->now, inode->durable, inode->capacity);
	inode->now_size = inode->durable_size;
}

void disk_crash(struct disk *disk)
{
	uint64_t i, keep = chance_below(disk->chance, disk->turn_count + 1);

	disk->torn = false;
	for (i = 0; i < keep; i++)
		turn(&disk->durable, &disk->turns[i]);
	forget_turns(disk);
	while (disk->now.count)
		leave(&disk->now, disk->now.names[0].text);
	for (i = 0; i < disk->durable.count; i++) {
		tear(disk, disk->durable.names[i].inode);
		enter(&disk->now, disk->durable.names[i].text,
		      disk->durable.names[i].inode);
	}
	disk->off = false;
	disk->fuse = 0;
}

/* For the simulator of the whole system. */
bool disk_torn(const struct disk *disk);
void disk_sync_fails(struct disk *disk);

bool disk_torn(const struct disk *disk)
{
	return disk->torn;
}

void disk_sync_fails(struct disk *disk)
{
	disk->sync_fails = true;
}

void disk_kill(struct disk *disk)
{
	disk->off = false;
	disk->fuse = 0;
}

void disk_forget(struct disk *disk)
{
	uint32_t i;

	for (i = 0; i < disk->now.count; i++) {
		struct name *name = &disk->now.names[i];

		if (strncmp(name->text, "log-", 4) == 0 ||
		    strcmp(name->text, "vote") == 0)
			drop_changes(name->inode);
	}
}

struct disk *disk_new(struct chance *chance)
{
	struct disk *disk = need(calloc(1, sizeof *disk));

	disk->chance = chance;
	return disk;
}

struct disk *disk_copy(const struct disk *disk)
{
	struct disk *copy = disk_new(disk->chance);

	for (uint32_t i = 0; i < disk->durable.count; i++) {
		const struct name *name = &disk->durable.names[i];
		struct inode *inode = need(calloc(1, sizeof *inode));

		inode->changes_end = &inode->changes;
		grow(inode, name->inode->capacity);
		memcpy(inode->now, name->inode->durable, inode->capacity);
		memcpy(inode->durable, name->inode->durable, inode->capacity);
		inode->now_size = inode->durable_size =
			name->inode->durable_size;
		enter(&copy->now, name->text, inode);
		enter(&copy->durable, name->text, inode);
	}
	return copy;
}

void disk_free(struct disk *disk)
{
	forget_turns(disk);
	free(disk->turns);
	while (disk->now.count)
		leave(&disk->now, disk->now.names[0].text);
	while (disk->durable.count)
		leave(&disk->durable, disk->durable.names[0].text);
	free(disk);
}

void disk_fuse(struct disk *disk, uint64_t operations)
{
	disk->fuse = operations;
}

bool disk_off(const struct disk *disk)
{
	return disk->off;
}

void disk_full(struct disk *disk, bool full)
{
	disk->full = full;
}

bool disk_durable(const struct disk *disk, const char *name,
		  const uint8_t **data, uint64_t *size)
{
	const struct name *found =
		find((struct directory *)&disk->durable, name);

	if (!found)
		return false;
	*data = found->inode->durable;
	*size = found->inode->durable_size;
	return true;
}
