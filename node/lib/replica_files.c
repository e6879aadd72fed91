/* replica_files over a real directory. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/lib/replica_io_internal.h"

struct open_file {
	int fd;
};

static int code_of(int error)
{
	switch (error) {
	case ENOENT:
		return BERTH_NOTFOUND;
	case ENOSPC:
	case EDQUOT:
		return BERTH_NOSPACE;
	case EEXIST:
		return BERTH_EXISTS;
	case ENOMEM:
		return BERTH_NOMEM;
	case EWOULDBLOCK:
		return BERTH_BUSY;
	default:
		return BERTH_IO;
	}
}

static int file_open(void *ctx, const char *name, bool create, void **out)
{
	struct node_files *files = ctx;
	struct open_file *file = malloc(sizeof *file);
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0);

	if (!file)
		return BERTH_NOMEM;
	file->fd = openat(files->directory, name, flags, 0600);
	if (file->fd < 0) {
		free(file);
		return code_of(errno);
	}
	*out = file;
	return 0;
}

static void file_close(void *ctx, void *handle)
{
	struct open_file *file = handle;

	(void)ctx;
	close(file->fd);
	free(file);
}

static int file_size(void *ctx, void *handle, uint64_t *size)
{
	struct open_file *file = handle;
	struct stat status;

	(void)ctx;
	if (fstat(file->fd, &status))
		return code_of(errno);
	*size = (uint64_t)status.st_size;
	return 0;
}

static int file_read(void *ctx, void *handle, uint64_t offset, void *data,
		     size_t size, size_t *got)
{
	struct open_file *file = handle;
	size_t done = 0;

	(void)ctx;
	while (done < size) {
		ssize_t part = pread(file->fd, (char *)data + done,
				     size - done, (off_t)(offset + done));

		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			return code_of(errno);
		if (part == 0)
			break;
		done += (size_t)part;
	}
	*got = done;
	return 0;
}

static int file_write(void *ctx, void *handle, uint64_t offset,
		      const void *data, size_t size)
{
	struct open_file *file = handle;
	size_t done = 0;

	(void)ctx;
	while (done < size) {
		ssize_t part = pwrite(file->fd, (const char *)data + done,
				      size - done, (off_t)(offset + done));

		if (part < 0 && errno == EINTR)
			continue;
		if (part <= 0)
			return part ? code_of(errno) : BERTH_IO;
		done += (size_t)part;
	}
	return 0;
}

static int file_allocate(void *ctx, void *handle, uint64_t size)
{
	struct open_file *file = handle;
	int error;

	(void)ctx;
	do {
		error = posix_fallocate(file->fd, 0, (off_t)size);
	} while (error == EINTR);
	return error ? code_of(error) : 0;
}

static int file_truncate(void *ctx, void *handle, uint64_t size)
{
	struct open_file *file = handle;

	(void)ctx;
	return ftruncate(file->fd, (off_t)size) ? code_of(errno) : 0;
}

static int file_sync(void *ctx, void *handle)
{
	struct open_file *file = handle;

	(void)ctx;
	return fdatasync(file->fd) ? code_of(errno) : 0;
}

static int rename_file(void *ctx, const char *from, const char *to)
{
	struct node_files *files = ctx;

	return renameat(files->directory, from, files->directory, to) ?
		       code_of(errno) :
		       0;
}

static int remove_file(void *ctx, const char *name)
{
	struct node_files *files = ctx;

	return unlinkat(files->directory, name, 0) ? code_of(errno) : 0;
}

static int sync_directory(void *ctx)
{
	struct node_files *files = ctx;

	return fsync(files->directory) ? code_of(errno) : 0;
}

static int plain_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int byte_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int list_files(void *ctx, void (*each)(void *each_ctx, const char *name),
		      void *each_ctx)
{
	struct node_files *files = ctx;
	struct dirent **entries;
	int i, count = scandirat(files->directory, ".", &entries, plain_file,
				 byte_order);

	if (count < 0)
		return code_of(errno);
	for (i = 0; i < count; i++) {
		each(each_ctx, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return 0;
}

/* Held until the directory is closed; taking it twice is once. */
static int lock_directory(void *ctx)
{
	struct node_files *files = ctx;
	int fd;

	if (files->lock >= 0)
		return 0;
	fd = openat(files->directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return code_of(errno);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		int error = errno;

		close(fd);
		return code_of(error);
	}
	files->lock = fd;
	return 0;
}

void node_files_calls(struct node_files *files, struct replica_files *out)
{
	*out = (struct replica_files){
		.ctx = files,
		.open = file_open,
		.close = file_close,
		.size = file_size,
		.read = file_read,
		.write = file_write,
		.allocate = file_allocate,
		.truncate = file_truncate,
		.sync = file_sync,
		.rename = rename_file,
		.remove = remove_file,
		.sync_directory = sync_directory,
		.list = list_files,
		.lock = lock_directory,
	};
}
