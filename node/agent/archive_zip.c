#include "node/agent/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <unistd.h>

#define BLOCK_SIZE 65536u

static int broken(struct archive *archive, struct fault *fault)
{
	const char *text = archive_error_string(archive);

	return fault_set(fault, BERTH_MALFORMED, "%s",
			 text ? text : "damaged archive");
}

static int copy_data(struct archive *archive, int fd,
		     struct archive_tree *tree, struct fault *fault)
{
	static _Thread_local char data[BLOCK_SIZE];

	for (;;) {
		la_ssize_t size = archive_read_data(archive, data, sizeof data);
		int code;

		if (size == 0)
			return 0;
		if (size < 0)
			return broken(archive, fault);
		code = archive_tree_grow(tree, (uint64_t)size, fault);
		if (code != 0)
			return code;
		if (write(fd, data, (size_t)size) != size)
			return fault_set(fault, errno == ENOSPC ?
					 BERTH_NOSPACE : BERTH_IO,
					 "write: %s", strerror(errno));
	}
}

static int unpack_file(struct archive *archive, struct archive_entry *entry,
		       const char *path, struct archive_tree *tree,
		       struct fault *fault)
{
	bool executable = (archive_entry_perm(entry) & 0111) != 0;
	int fd = -1;
	int code = archive_tree_file(tree, path, executable, &fd, fault);

	if (code == 0)
		code = copy_data(archive, fd, tree, fault);
	if (fd >= 0)
		close(fd);
	return code;
}

static int unpack_entry(struct archive *archive, struct archive_entry *entry,
			struct archive_tree *tree, struct fault *fault)
{
	const char *path = archive_entry_pathname(entry);
	const char *target;
	int code = archive_tree_count(tree, fault);

	if (code != 0)
		return code;
	if (!path)
		return fault_set(fault, BERTH_INVALID,
				 "an entry's name is not UTF-8");
	target = archive_entry_hardlink(entry);
	/* What comes with a second name is skipped, after it was unpacked. */
	if (target && archive_entry_size(entry) > 0)
		return fault_set(fault, BERTH_INVALID,
				 "\"%.200s\": a hard link with content", path);
	if (target)
		return archive_tree_hardlink(tree, path, target, fault);
	switch (archive_entry_filetype(entry)) {
	case AE_IFREG:
		return unpack_file(archive, entry, path, tree, fault);
	case AE_IFDIR:
		return archive_tree_directory(tree, path, fault);
	case AE_IFLNK:
		target = archive_entry_symlink(entry);
		return archive_tree_symlink(tree, path, target ? target : "",
					    fault);
	default:
		return fault_set(fault, BERTH_INVALID,
				 "\"%.200s\": neither file, directory nor link",
				 path);
	}
}

static int unpack_all(struct archive *archive, struct archive_tree *tree,
		      struct fault *fault)
{
	struct archive_entry *entry;
	int code = 0, rv;

	while (code == 0) {
		rv = archive_read_next_header(archive, &entry);
		if (rv == ARCHIVE_EOF)
			return tree->entries > 0 ? 0 :
			       fault_set(fault, BERTH_INVALID,
					 "an archive without entries");
		if (rv < ARCHIVE_WARN)
			return broken(archive, fault);
		code = unpack_entry(archive, entry, tree, fault);
	}
	return code;
}

/* A file compressed many times over grows at each: it would take the pool's
 * time for hours before the limits of what is unpacked see a byte. */
static int unpack_once(struct archive *archive, struct archive_tree *tree,
		       struct fault *fault)
{
	if (archive_filter_count(archive) > 2) /* its own and the file */
		return fault_set(fault, BERTH_INVALID,
				 "compressed more than once");
	return unpack_all(archive, tree, fault);
}

int archive_zip(const char *file, struct archive_tree *tree,
		struct fault *fault)
{
	struct archive *archive = archive_read_new();
	int code;

	if (!archive)
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	/* By its directory only: one that is cut off, or says something else
	 * than the entries, is damaged. */
	archive_read_support_format_zip_seekable(archive);
	archive_read_support_format_tar(archive);
	archive_read_support_filter_gzip(archive);
	archive_read_support_filter_bzip2(archive);
	archive_read_support_filter_xz(archive);
	archive_read_support_filter_zstd(archive);
	if (archive_read_open_filename(archive, file, BLOCK_SIZE) != ARCHIVE_OK)
		code = fault_set(fault, BERTH_INVALID,
				 "neither zip nor tar: %s",
				 archive_error_string(archive));
	else
		code = unpack_once(archive, tree, fault);
	archive_read_free(archive);
	return code;
}
