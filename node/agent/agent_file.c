#include "node/agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int agent_directory(const char *path, struct fault *fault)
{
	char part[4096];
	size_t size = strlen(path);

	if (size == 0 || size >= sizeof part)
		return fault_set(fault, BERTH_INVALID, "directory \"%s\"", path);
	memcpy(part, path, size + 1);
	for (size_t i = 1; i <= size; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		part[i] = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return fault_set(fault, errno == ENOSPC ?
					 BERTH_NOSPACE : BERTH_IO,
					 "make directory %s: %s", part,
					 strerror(errno));
		if (i < size)
			part[i] = '/';
	}
	return 0;
}

static int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t done = write(fd, data, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		data += done;
		size -= (size_t)done;
	}
	return 0;
}

int agent_file_write(const char *path, const void *data, size_t size,
		     unsigned mode, struct fault *fault)
{
	char part[4096];
	int fd, bad;

	if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
		return fault_set(fault, BERTH_TOOBIG, "%s: name", path);
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return fault_set(fault, BERTH_IO, "create %s: %s", part,
				 strerror(errno));
	bad = write_all(fd, data, size) < 0 || fsync(fd) < 0 ? errno : 0;
	if (close(fd) < 0 && !bad)
		bad = errno;
	if (!bad && rename(part, path) < 0)
		bad = errno;
	if (!bad)
		return 0;
	(void)unlink(part);
	return fault_set(fault, bad == ENOSPC ? BERTH_NOSPACE : BERTH_IO,
			 "write %s: %s", path, strerror(bad));
}

static int read_all(int fd, char *data, size_t size)
{
	while (size > 0) {
		ssize_t done = read(fd, data, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -1;
		data += done;
		size -= (size_t)done;
	}
	return 0;
}

int agent_file_read(const char *path, size_t size_max, char **data,
		    size_t *size, struct fault *fault)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC), code = 0;
	char *bytes = NULL;

	if (fd < 0)
		return fault_set(fault, errno == ENOENT ? BERTH_NOTFOUND :
				 BERTH_IO, "open %s: %s", path,
				 strerror(errno));
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
		code = fault_set(fault, BERTH_IO, "%s: no file", path);
	else if ((uint64_t)status.st_size > size_max)
		code = fault_set(fault, BERTH_TOOBIG, "%s: too big", path);
	else if (!(bytes = malloc((size_t)status.st_size + 1)))
		code = fault_set(fault, BERTH_NOMEM, "%s", path);
	else if (read_all(fd, bytes, (size_t)status.st_size) < 0)
		code = fault_set(fault, BERTH_IO, "read %s", path);
	close(fd);
	if (code != 0) {
		free(bytes);
		return code;
	}
	bytes[status.st_size] = '\0';
	*data = bytes;
	*size = (size_t)status.st_size;
	return 0;
}

static int remove_one(const char *path, const struct stat *status, int flag,
		      struct FTW *where)
{
	(void)status;
	(void)where;
	/* Unpacked directories may lack the owner's write bit. */
	(void)(flag == FTW_DP ? rmdir(path) : unlink(path));
	return 0;
}

static int open_one(const char *path, const struct stat *status, int flag,
		    struct FTW *where)
{
	(void)status;
	(void)where;
	if (flag == FTW_D || flag == FTW_DNR)
		(void)chmod(path, 0700);
	return 0;
}

void agent_tree_remove(const char *path)
{
	(void)nftw(path, open_one, 16, FTW_PHYS);
	(void)nftw(path, remove_one, 16, FTW_PHYS | FTW_DEPTH);
}
