#include "node/agent/archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static int world(struct fault *fault, const char *path)
{
	return fault_set(fault, errno == ENOSPC || errno == EDQUOT ?
			 BERTH_NOSPACE : BERTH_IO, "%s: %s", path,
			 strerror(errno));
}

int archive_tree_open(struct archive_tree *tree, const char *path,
		      uint64_t packed, struct fault *fault)
{
	uint64_t ratio_max = packed > ARCHIVE_SIZE_MAX / ARCHIVE_RATIO_MAX ?
			     ARCHIVE_SIZE_MAX : packed * ARCHIVE_RATIO_MAX;

	*tree = (struct archive_tree){ .packed = packed };
	tree->size_max = ratio_max > ARCHIVE_RATIO_FREE ? ratio_max :
			 ARCHIVE_RATIO_FREE;
	tree->fd = open(path, DIRECTORY_FLAGS);
	return tree->fd < 0 ? world(fault, path) : 0;
}

void archive_tree_close(struct archive_tree *tree)
{
	close(tree->fd);
}

int archive_tree_count(struct archive_tree *tree, struct fault *fault)
{
	if (++tree->entries > ARCHIVE_ENTRIES_MAX)
		return fault_set(fault, BERTH_TOOBIG,
				 "more than %u entries", ARCHIVE_ENTRIES_MAX);
	return 0;
}

int archive_tree_grow(struct archive_tree *tree, uint64_t size,
		      struct fault *fault)
{
	if (size > tree->size_max - tree->size)
		return fault_set(fault, BERTH_TOOBIG, tree->size_max ==
				 ARCHIVE_SIZE_MAX ?
				 "more than %llu bytes unpacked" :
				 "more than %llu bytes unpacked: too much for an archive of this size",
				 (unsigned long long)tree->size_max);
	tree->size += size;
	return 0;
}

/* Takes the next component; false at the end. ".", empty ones are skipped. */
static bool component(const char **rest, const char **start, size_t *size)
{
	for (;;) {
		while (**rest == '/')
			(*rest)++;
		if (**rest == '\0')
			return false;
		*start = *rest;
		*size = strcspn(*rest, "/");
		*rest += *size;
		if (*size != 1 || **start != '.')
			return true;
	}
}

static bool is_parent(const char *start, size_t size)
{
	return size == 2 && start[0] == '.' && start[1] == '.';
}

static int check_path(const char *path, struct fault *fault)
{
	const char *rest = path, *start;
	size_t size, depth = 0;

	if (*path == '/')
		return fault_set(fault, BERTH_INVALID,
				 "\"%.200s\": an absolute path", path);
	if (strlen(path) > ARCHIVE_PATH_MAX)
		return fault_set(fault, BERTH_TOOBIG,
				 "\"%.200s...\": path too long", path);
	while (component(&rest, &start, &size)) {
		if (is_parent(start, size))
			return fault_set(fault, BERTH_INVALID,
					 "\"%.200s\": a path with ..", path);
		if (size > 255 || ++depth > ARCHIVE_DEPTH_MAX)
			return fault_set(fault, BERTH_TOOBIG,
					 "\"%.200s\": path too deep or name too long",
					 path);
	}
	return 0;
}

bool archive_link_inside(const char *path, const char *target)
{
	const char *rest = path, *start;
	size_t size;
	int depth = -1; /* of the directory that holds the link */

	while (component(&rest, &start, &size))
		depth++;
	if (*target == '/' || *target == '\0')
		return false;
	for (rest = target; component(&rest, &start, &size);) {
		depth += is_parent(start, size) ? -1 : 1;
		if (depth < 0)
			return false;
	}
	return true;
}

static int step(int fd, const char *name, bool make)
{
	int next;

	if (make && mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
		return -1;
	next = openat(fd, name, DIRECTORY_FLAGS);
	return next;
}

/* Opens the directory that holds the last component, never through a link;
 * `name` gets that component, empty for the root itself. */
static int descend(struct archive_tree *tree, const char *path, bool make,
		   int *out, char name[256], struct fault *fault)
{
	const char *rest = path, *start;
	size_t size;
	int fd = fcntl(tree->fd, F_DUPFD_CLOEXEC, 3), next;
	int code = check_path(path, fault);

	if (code != 0 || fd < 0) {
		if (fd >= 0)
			close(fd);
		return code != 0 ? code : world(fault, path);
	}
	name[0] = '\0';
	while (component(&rest, &start, &size)) {
		if (name[0]) {
			next = step(fd, name, make);
			if (next < 0)
				code = errno == ELOOP || errno == ENOTDIR ?
				       fault_set(fault, BERTH_INVALID,
						 "\"%.200s\": leads through a link or a file",
						 path) : world(fault, path);
			close(fd);
			if (next < 0)
				return code;
			fd = next;
		}
		memcpy(name, start, size);
		name[size] = '\0';
	}
	*out = fd;
	return 0;
}

int archive_tree_directory(struct archive_tree *tree, const char *path,
			   struct fault *fault)
{
	char name[256];
	int fd, next, code = descend(tree, path, true, &fd, name, fault);

	if (code != 0 || !name[0]) {
		if (code == 0)
			close(fd);
		return code;
	}
	next = step(fd, name, true);
	if (next < 0)
		code = fault_set(fault, BERTH_INVALID,
				 "\"%.200s\": leads through a link or a file",
				 path);
	else
		close(next);
	close(fd);
	return code;
}

static int parent_for(struct archive_tree *tree, const char *path, int *fd,
		      char name[256], struct fault *fault)
{
	int code = descend(tree, path, true, fd, name, fault);

	if (code != 0)
		return code;
	if (!name[0]) {
		close(*fd);
		return fault_set(fault, BERTH_INVALID, "an entry without name");
	}
	/* A later entry replaces an earlier one; never writes through it. */
	if (unlinkat(*fd, name, 0) < 0 && errno != ENOENT) {
		code = fault_set(fault, BERTH_INVALID,
				 "\"%.200s\": is a directory already", path);
		close(*fd);
	}
	return code;
}

int archive_tree_file(struct archive_tree *tree, const char *path,
		      bool executable, int *out, struct fault *fault)
{
	char name[256];
	int fd, code = parent_for(tree, path, &fd, name, fault);
	mode_t mode = executable ? 0755 : 0644;

	if (code != 0)
		return code;
	*out = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
		      O_CLOEXEC, mode);
	if (*out < 0 || fchmod(*out, mode) < 0)
		code = world(fault, path);
	close(fd);
	return code;
}

int archive_tree_symlink(struct archive_tree *tree, const char *path,
			 const char *target, struct fault *fault)
{
	char name[256];
	int fd, code;

	if (!archive_link_inside(path, target))
		return fault_set(fault, BERTH_INVALID,
				 "\"%.100s\": a link to \"%.100s\", outside",
				 path, target);
	code = parent_for(tree, path, &fd, name, fault);
	if (code != 0)
		return code;
	if (symlinkat(target, fd, name) < 0)
		code = world(fault, path);
	close(fd);
	return code;
}

int archive_tree_hardlink(struct archive_tree *tree, const char *path,
			  const char *target, struct fault *fault)
{
	char name[256], other[256];
	struct stat status;
	int fd, from, code = descend(tree, target, false, &from, other, fault);

	if (code != 0)
		return code;
	if (fstatat(from, other, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(status.st_mode)) {
		close(from);
		return fault_set(fault, BERTH_INVALID,
				 "\"%.100s\": a hard link to \"%.100s\", which is no file of it",
				 path, target);
	}
	code = parent_for(tree, path, &fd, name, fault);
	if (code == 0) {
		if (linkat(from, other, fd, name, 0) < 0)
			code = world(fault, path);
		close(fd);
	}
	close(from);
	return code;
}

/* --- what another program unpacked ------------------------------------------- */

static int inspect(struct archive_tree *tree, int fd, const char *path,
		   uint32_t depth, struct fault *fault);

static int inspect_directory(struct archive_tree *tree, int fd,
			     const char *name, const char *path,
			     uint32_t depth, struct fault *fault)
{
	int next, code;

	if (depth >= ARCHIVE_DEPTH_MAX)
		return fault_set(fault, BERTH_TOOBIG, "\"%.200s\": too deep",
				 path);
	if (fchmodat(fd, name, 0755, 0) < 0)
		return world(fault, path);
	next = openat(fd, name, DIRECTORY_FLAGS);
	if (next < 0)
		return world(fault, path);
	code = inspect(tree, next, path, depth + 1, fault);
	close(next);
	return code;
}

static int inspect_link(int fd, const char *name, const char *path,
			struct fault *fault)
{
	char target[ARCHIVE_PATH_MAX + 1];
	ssize_t size = readlinkat(fd, name, target, sizeof target - 1);

	if (size < 0)
		return world(fault, path);
	target[size] = '\0';
	if (!archive_link_inside(path, target))
		return fault_set(fault, BERTH_INVALID,
				 "\"%.100s\": a link to \"%.100s\", outside",
				 path, target);
	return 0;
}

static int inspect_entry(struct archive_tree *tree, int fd, const char *name,
			 const char *path, uint32_t depth,
			 struct fault *fault)
{
	struct stat status;
	int code = archive_tree_count(tree, fault);

	if (code != 0)
		return code;
	if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return world(fault, path);
	if (S_ISDIR(status.st_mode))
		return inspect_directory(tree, fd, name, path, depth, fault);
	if (S_ISLNK(status.st_mode))
		return inspect_link(fd, name, path, fault);
	if (!S_ISREG(status.st_mode))
		return fault_set(fault, BERTH_INVALID,
				 "\"%.200s\": neither file, directory nor link",
				 path);
	code = archive_tree_grow(tree, (uint64_t)status.st_size, fault);
	if (code == 0 &&
	    fchmodat(fd, name, status.st_mode & 0111 ? 0755 : 0644, 0) < 0)
		code = world(fault, path);
	return code;
}

static int inspect(struct archive_tree *tree, int fd, const char *path,
		   uint32_t depth, struct fault *fault)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3), code = 0;
	DIR *directory = copy < 0 ? NULL : fdopendir(copy);
	char below[ARCHIVE_PATH_MAX + 256 + 2];
	struct dirent *row;

	if (!directory) {
		if (copy >= 0)
			close(copy);
		return world(fault, path);
	}
	while (code == 0 && (row = readdir(directory))) {
		size_t size = strlen(path), more = strlen(row->d_name);

		if (strcmp(row->d_name, ".") == 0 ||
		    strcmp(row->d_name, "..") == 0)
			continue;
		if (size + more + 1 > ARCHIVE_PATH_MAX) {
			code = fault_set(fault, BERTH_TOOBIG,
					 "\"%.200s...\": path too long", path);
			break;
		}
		memcpy(below, path, size);
		if (size > 0)
			below[size++] = '/';
		memcpy(below + size, row->d_name, more + 1);
		code = inspect_entry(tree, fd, row->d_name, below, depth,
				     fault);
	}
	closedir(directory);
	return code;
}

int archive_tree_inspect(struct archive_tree *tree, struct fault *fault)
{
	tree->entries = 0;
	tree->size = 0;
	return inspect(tree, tree->fd, "", 0, fault);
}
