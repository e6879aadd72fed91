#include "node/ccn/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASIDE ".part-"

static int io_fault(const char *path, const char *what, struct fault *fault)
{
	int code = errno == ENOSPC || errno == EDQUOT ? BERTH_NOSPACE :
		   errno == ENOENT ? BERTH_NOTFOUND : BERTH_IO;

	return fault_set(fault, code, "%s: %s: %s", path, what,
			 strerror(errno));
}

static int sync_directory(const char *path, struct fault *fault)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = BERTH_OK;

	if (fd < 0)
		return io_fault(path, "open", fault);
	if (fsync(fd) != 0)
		rc = io_fault(path, "sync", fault);
	close(fd);
	return rc;
}

int files_sync_parent(const char *name, struct fault *fault)
{
	char copy[PATH_MAX];

	if (snprintf(copy, sizeof copy, "%s", name) >= (int)sizeof copy)
		return fault_set(fault, BERTH_IO, "%s: name too long", name);
	return sync_directory(dirname(copy), fault);
}

int files_directory(const char *path, struct fault *fault)
{
	if (mkdir(path, 0700) == 0)
		return files_sync_parent(path, fault);
	if (errno != EEXIST)
		return io_fault(path, "make the folder", fault);
	return BERTH_OK;
}

static int write_all(int fd, const char *data, size_t size)
{
	ssize_t n;

	for (; size > 0; data += n, size -= (size_t)n) {
		n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return -1;
	}
	return fsync(fd);
}

static int write_aside(const char *aside, const void *data, size_t size,
		       struct fault *fault)
{
	int fd, rc = BERTH_OK;

	fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return io_fault(aside, "create", fault);
	if (write_all(fd, data, size) != 0) {
		rc = io_fault(aside, "write", fault);
		unlink(aside);
	}
	close(fd);
	return rc;
}

int files_write(const char *directory, const char *name, const void *data,
		size_t size, struct fault *fault)
{
	char path[PATH_MAX], aside[PATH_MAX];
	struct stat st;
	int rc;

	if (snprintf(path, sizeof path, "%s/%s", directory, name) >=
		    (int)sizeof path ||
	    snprintf(aside, sizeof aside, "%s/" ASIDE "%s", directory, name) >=
		    (int)sizeof aside)
		return fault_set(fault, BERTH_IO, "%s: name too long", name);
	if (stat(path, &st) == 0 && st.st_size == (off_t)size)
		return BERTH_OK;
	rc = write_aside(aside, data, size, fault);
	if (rc != BERTH_OK)
		return rc;
	if (rename(aside, path) != 0)
		return io_fault(path, "rename", fault);
	return sync_directory(directory, fault);
}

static int read_all(int fd, char *data, size_t size)
{
	ssize_t n;

	for (; size > 0; data += n, size -= (size_t)n) {
		n = read(fd, data, size);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			return -1;
	}
	return 0;
}

int files_read(const char *directory, const char *name, uint64_t size,
	       void **out, struct fault *fault)
{
	char path[PATH_MAX];
	int fd, rc = BERTH_OK;
	struct stat st;
	void *data;

	if (snprintf(path, sizeof path, "%s/%s", directory, name) >=
	    (int)sizeof path)
		return fault_set(fault, BERTH_IO, "%s: name too long", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return io_fault(path, "open", fault);
	data = malloc((size_t)size + 1);
	if (!data)
		rc = fault_set(fault, BERTH_NOMEM, "%s: no memory", path);
	else if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != size)
		rc = fault_set(fault, BERTH_CORRUPT,
			       "%s: not %llu bytes as it was", path,
			       (unsigned long long)size);
	else if (read_all(fd, data, (size_t)size) != 0)
		rc = io_fault(path, "read", fault);
	close(fd);
	if (rc == BERTH_OK)
		*out = data;
	else
		free(data);
	return rc;
}

void files_sweep(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, ASIDE, strlen(ASIDE)) == 0)
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}
