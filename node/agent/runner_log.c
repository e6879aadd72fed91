/* Logs of programs: one file each, kept to a size by dropping its older half. */
#include "node/agent/runner_inner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/lib/crypto.h"
#include "node/lib/log.h"

#define NOTE "berth: "
#define LOGS_LISTED_MAX 1024u

static int open_log(struct runner *runner, const struct hash *program,
		    int flags)
{
	char path[PREPARE_PATH_MAX], text[65];

	hash_text(program, text);
	snprintf(path, sizeof path, "%s/logs/%s.log",
		 runner->agent->config.directory, text);
	return open(path, flags | O_CLOEXEC, 0640);
}

int runner__log_open(struct runner *runner, const struct hash *program)
{
	return open_log(runner, program, O_WRONLY | O_APPEND | O_CREAT);
}

void runner__log_note(struct run *run, const char *format, ...)
{
	char line[512] = NOTE;
	size_t room = sizeof line - sizeof NOTE, size;
	struct stat status;
	va_list list;
	int fd = runner__log_open(run->runner, &run->row.program);

	if (fd < 0)
		return;
	va_start(list, format);
	(void)vsnprintf(line + sizeof NOTE - 1, room, format, list);
	va_end(list);
	size = strlen(line);
	line[size++] = '\n';
	if (write(fd, line, size) == (ssize_t)size && fstat(fd, &status) == 0)
		run->log_start = (uint64_t)status.st_size;
	close(fd);
}

/* Moves the newest bytes to the front. What a program writes in between may
 * be lost; where the file system can cut a file's front off, nothing is. */
static void copy_newest(int fd, off_t size, off_t keep)
{
	char *data = malloc((size_t)keep);
	ssize_t got = data ? pread(fd, data, (size_t)keep, size - keep) : -1;

	if (got > 0 && ftruncate(fd, 0) == 0 &&
	    write(fd, data, (size_t)got) != got)
		log_warn("run", "a log could not be kept: %s",
			 strerror(errno));
	free(data);
}

void runner__log_trim(struct run *run)
{
	uint64_t limit = run->runner->agent->config.log_size_max;
	struct stat status;
	off_t cut;
	int fd = open_log(run->runner, &run->row.program, O_RDWR | O_APPEND);

	if (fd < 0)
		return;
	if (fstat(fd, &status) == 0 && (uint64_t)status.st_size > limit) {
		cut = status.st_size - (off_t)(limit / 2);
		if (status.st_blksize > 0)
			cut -= cut % status.st_blksize;
		if (cut > 0 && fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0,
					 cut) < 0)
			copy_newest(fd, status.st_size, (off_t)(limit / 2));
		run->log_start = 0;
	}
	close(fd);
}

/* --- logs of programs that went ------------------------------------------- */

struct old_log {
	char name[80];
	int64_t used_s;
};

static int newest_first(const void *a, const void *b)
{
	const struct old_log *x = a, *y = b;

	return x->used_s > y->used_s ? -1 : x->used_s < y->used_s;
}

static bool is_here(const struct runner *runner, const char *name)
{
	char text[65];

	for (const struct run *run = runner->runs; run; run = run->next) {
		hash_text(&run->row.program, text);
		if (strncmp(name, text, 64) == 0)
			return true;
	}
	return false;
}

static uint32_t list_old(const struct runner *runner, DIR *folder,
			 struct old_log *rows, uint32_t max)
{
	struct dirent *entry;
	struct stat status;
	uint32_t count = 0;

	while (count < max && (entry = readdir(folder)))
		if (strlen(entry->d_name) == 68 &&
		    !is_here(runner, entry->d_name) &&
		    fstatat(dirfd(folder), entry->d_name, &status,
			    AT_SYMLINK_NOFOLLOW) == 0) {
			snprintf(rows[count].name, sizeof rows[count].name,
				 "%.68s", entry->d_name);
			rows[count++].used_s = (int64_t)status.st_mtime;
		}
	return count;
}

void runner__logs_forget(const struct runner *runner)
{
	char path[PREPARE_PATH_MAX];
	struct old_log *rows = calloc(LOGS_LISTED_MAX, sizeof *rows);
	DIR *folder;
	uint32_t count;

	snprintf(path, sizeof path, "%s/logs", runner->agent->config.directory);
	folder = rows ? opendir(path) : NULL;
	if (folder) {
		count = list_old(runner, folder, rows, LOGS_LISTED_MAX);
		qsort(rows, count, sizeof *rows, newest_first);
		for (uint32_t i = RUNNER_LOGS_OLD_MAX; i < count; i++)
			(void)unlinkat(dirfd(folder), rows[i].name, 0);
		closedir(folder);
	}
	free(rows);
}

/* --- reading ---------------------------------------------------------------- */

static int tail(struct runner *runner, const struct hash *program,
		uint64_t from, uint64_t size_max, char **data, size_t *size)
{
	struct stat status;
	int fd = open_log(runner, program, O_RDONLY);
	uint64_t end;
	ssize_t got;

	if (fd < 0)
		return errno == ENOENT ? BERTH_NOTFOUND : BERTH_IO;
	if (fstat(fd, &status) < 0) {
		close(fd);
		return BERTH_IO;
	}
	end = (uint64_t)status.st_size;
	if (from > end)
		from = end;
	if (end - from > size_max)
		from = end - size_max;
	*data = malloc(end - from + 1);
	if (!*data) {
		close(fd);
		return BERTH_NOMEM;
	}
	got = pread(fd, *data, end - from, (off_t)from);
	close(fd);
	*size = got > 0 ? (size_t)got : 0;
	(*data)[*size] = '\0';
	return 0;
}

int runner_log(struct runner *runner, const struct hash *program,
	       uint64_t size_max, char **data, size_t *size)
{
	return tail(runner, program, 0, size_max, data, size);
}

void runner__log_last(struct run *run, char *line, size_t size)
{
	char *data, *start;
	size_t length;

	line[0] = '\0';
	if (tail(run->runner, &run->row.program, run->log_start, 4096, &data,
		 &length) != 0)
		return;
	while (length > 0 && (unsigned char)data[length - 1] <= ' ')
		data[--length] = '\0';
	start = data + length;
	while (start > data && start[-1] != '\n')
		start--;
	snprintf(line, size, "%s", start);
	for (char *at = line; *at; at++)
		if ((unsigned char)*at < ' ' || (unsigned char)*at > '~')
			*at = '?';
	free(data);
}
