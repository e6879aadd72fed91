#include "node/agent/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsm/base.h"

static uint64_t entry_size(const struct stat *status)
{
	uint64_t size = (uint64_t)status->st_blocks * 512u;

	if (!S_ISDIR(status->st_mode) && status->st_nlink > 1)
		size /= status->st_nlink;
	return size > USAGE_ENTRY_SIZE ? size : USAGE_ENTRY_SIZE;
}

/* Takes fd. */
static uint64_t measure(int fd, uint64_t limit, uint32_t depth)
{
	DIR *directory = depth > USAGE_DEPTH_MAX ? NULL : fdopendir(fd);
	uint64_t size = 0;
	struct stat status;
	struct dirent *row;

	if (!directory) {
		close(fd);
		return UINT64_MAX; /* what cannot be counted is too much */
	}
	while (size <= limit && (row = readdir(directory))) {
		const char *name = row->d_name;
		int next;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		size += entry_size(&status);
		if (!S_ISDIR(status.st_mode) || size > limit)
			continue;
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
			      O_CLOEXEC);
		if (next >= 0) {
			uint64_t below = measure(next, limit - size, depth + 1);

			size = below > UINT64_MAX - size ? UINT64_MAX :
			       size + below;
		}
	}
	closedir(directory);
	return size;
}

uint64_t usage_measure(const char *path, uint64_t limit)
{
	struct stat status;
	uint64_t size;
	int fd;

	if (lstat(path, &status) < 0)
		return 0;
	size = entry_size(&status);
	if (!S_ISDIR(status.st_mode) || size > limit)
		return size;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0) {
		uint64_t below = measure(fd, limit - size, 0);

		size = below > UINT64_MAX - size ? UINT64_MAX : size + below;
	}
	return size;
}
