#include "node/cli/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARCHIVE_SIZE_MAX (256u << 20)

static int read_file(const char *path, void **data, size_t *size,
		     struct fault *fault)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t got;
	void *bytes;

	if (fd < 0 || fstat(fd, &st) != 0) {
		fault_set(fault, BERTH_IO, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return BERTH_IO;
	}
	if (st.st_size > ARCHIVE_SIZE_MAX) {
		close(fd);
		return fault_set(fault, BERTH_TOOBIG, "%s: %lld bytes, above"
				 " %u", path, (long long)st.st_size,
				 ARCHIVE_SIZE_MAX);
	}
	bytes = malloc((size_t)st.st_size + 1);
	got = bytes ? read(fd, bytes, (size_t)st.st_size) : -1;
	close(fd);
	if (got != st.st_size) {
		free(bytes);
		return fault_set(fault, BERTH_IO, "%s: short read", path);
	}
	*data = bytes;
	*size = (size_t)got;
	return 0;
}

/* Reproducible: no owners, no times beyond the files' own. */
static int squash(const char *directory, const char *out, struct fault *fault)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, STDOUT_FILENO);
		execlp("mksquashfs", "mksquashfs", directory, out, "-noappend",
		       "-all-root", "-no-progress", "-no-xattrs", "-quiet",
		       (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return fault_set(fault, BERTH_IO, "mksquashfs %s failed",
				 directory);
	return 0;
}

static int add_entry(struct archive *writer, struct archive *disk,
		     struct archive_entry *entry, const char *root)
{
	const char *name = archive_entry_pathname(entry) + strlen(root);
	char buffer[65536], relative[4096];
	const char *source = archive_entry_sourcepath(entry);
	ssize_t got = 0;
	int fd;

	while (*name == '/')
		name++;
	archive_read_disk_descend(disk);
	if (!*name)
		return 0;
	/* The new name may lie inside the old one's memory. */
	snprintf(relative, sizeof relative, "%s", name);
	fd = archive_entry_filetype(entry) == AE_IFREG ?
	     open(source, O_RDONLY | O_CLOEXEC) : -1;
	archive_entry_set_pathname(entry, relative);
	if (archive_write_header(writer, entry) < ARCHIVE_WARN) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while (fd >= 0 && (got = read(fd, buffer, sizeof buffer)) > 0)
		if (archive_write_data(writer, buffer, (size_t)got) < 0)
			got = -1;
	if (fd >= 0)
		close(fd);
	return got < 0 ? -1 : 0;
}

static int zip(const char *directory, const char *out, struct fault *fault)
{
	struct archive *writer = archive_write_new();
	struct archive *disk = archive_read_disk_new();
	struct archive_entry *entry = archive_entry_new();
	int code = 0;

	archive_write_set_format_zip(writer);
	archive_read_disk_set_symlink_physical(disk);
	if (archive_write_open_filename(writer, out) != ARCHIVE_OK ||
	    archive_read_disk_open(disk, directory) != ARCHIVE_OK)
		code = -1;
	while (code == 0 &&
	       archive_read_next_header2(disk, entry) == ARCHIVE_OK)
		code = add_entry(writer, disk, entry, directory);
	if (code == 0 && archive_write_close(writer) != ARCHIVE_OK)
		code = -1;
	archive_entry_free(entry);
	archive_read_free(disk);
	archive_write_free(writer);
	if (code)
		return fault_set(fault, BERTH_IO, "zip of %s failed",
				 directory);
	return 0;
}

static bool have_mksquashfs(void)
{
	return access("/usr/bin/mksquashfs", X_OK) == 0 ||
	       access("/usr/local/bin/mksquashfs", X_OK) == 0;
}

static int pack(const char *path, const char **encoding, void **data,
		size_t *size, struct fault *fault)
{
	char folder[] = "/tmp/berth-upload-XXXXXX", file[64];
	bool squashfs = have_mksquashfs();
	int code;

	if (!mkdtemp(folder))
		return fault_set(fault, BERTH_IO, "%s: %s", folder,
				 strerror(errno));
	snprintf(file, sizeof file, "%s/code", folder);
	code = squashfs ? squash(path, file, fault) : zip(path, file, fault);
	if (code == 0)
		code = read_file(file, data, size, fault);
	if (code == 0)
		*encoding = squashfs ? "squashfs" : "zip";
	unlink(file);
	rmdir(folder);
	return code;
}

int archive_make(const char *path, const char **encoding, void **data,
		 size_t *size, struct fault *fault)
{
	struct stat st;
	int code;

	if (stat(path, &st) != 0)
		return fault_set(fault, BERTH_NOTFOUND, "%s: %s", path,
				 strerror(errno));
	if (S_ISDIR(st.st_mode))
		return pack(path, encoding, data, size, fault);
	code = read_file(path, data, size, fault);
	if (code)
		return code;
	if (*size >= 4 && memcmp(*data, "PK\3\4", 4) == 0)
		*encoding = "zip";
	else if (*size >= 4 && memcmp(*data, "hsqs", 4) == 0)
		*encoding = "squashfs";
	else
		*encoding = "plain";
	return 0;
}
