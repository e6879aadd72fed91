#include "node/replica/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "node/lib/crypto.h"
#include "node/replica/store_internal.h"

#define STORE_PATH_MAX 4096

struct store {
	struct edge *edge;
	char directory[STORE_PATH_MAX - 160];
	_Atomic uint64_t aside; /* numbers names of files written aside */
};

int store_open(struct store **out, struct edge *edge, const char *directory,
	       struct fault *fault)
{
	struct store *store = calloc(1, sizeof *store);

	if (!store)
		return fault_set(fault, BERTH_NOMEM, "content store");
	store->edge = edge;
	snprintf(store->directory, sizeof store->directory, "%s/content",
		 directory);
	if (mkdir(store->directory, 0700) && errno != EEXIST) {
		int code = fault_set(fault, BERTH_IO, "make %s: %s",
				     store->directory, strerror(errno));
		free(store);
		return code;
	}
	*out = store;
	return 0;
}

struct edge *store_edge(const struct store *store)
{
	return store->edge;
}

void store_close(struct store *store)
{
	free(store);
}

static void path_of(const struct store *store, const struct hash *hash,
		    char path[STORE_PATH_MAX])
{
	char text[65];

	hash_text(hash, text);
	snprintf(path, STORE_PATH_MAX, "%s/%.2s/%s", store->directory, text,
		 text);
}

bool store_has(struct store *store, const struct hash *hash)
{
	char path[STORE_PATH_MAX];

	path_of(store, hash, path);
	return access(path, F_OK) == 0;
}

static int write_whole(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	const char *at = data;
	ssize_t n = 0;

	if (fd < 0)
		return errno;
	for (; size; at += n, size -= (size_t)n) {
		n = write(fd, at, size);
		if (n <= 0)
			break;
	}
	if (!size && fdatasync(fd) == 0 && close(fd) == 0)
		return 0;
	n = errno ? errno : EIO;
	close(fd);
	return (int)n;
}

static int io_fault(struct fault *fault, const char *path, int error)
{
	return fault_set(fault, error == ENOSPC ? BERTH_NOSPACE : BERTH_IO,
			 "write %s: %s", path, strerror(error));
}

int store_put(struct store *store, const struct hash *hash, const void *data,
	      size_t size, struct fault *fault)
{
	char path[STORE_PATH_MAX], aside[STORE_PATH_MAX];
	struct hash found;
	int error;

	if (size > STORE_CONTENT_SIZE_MAX)
		return fault_set(fault, BERTH_TOOBIG, "%zu bytes", size);
	crypto_sha256(data, size, &found);
	if (!hash_equal(&found, hash))
		return fault_set(fault, BERTH_MISMATCH,
				 "content is not that of its hash");
	path_of(store, hash, path);
	if (access(path, F_OK) == 0)
		return 0;
	snprintf(aside, sizeof aside, "%.*s", (int)strlen(path) - 65, path);
	if (mkdir(aside, 0700) && errno != EEXIST)
		return io_fault(fault, aside, errno);
	snprintf(aside, sizeof aside, "%s/aside-%ld-%llu", store->directory,
		 (long)getpid(), (unsigned long long)store->aside++);
	error = write_whole(aside, data, size);
	if (!error && rename(aside, path))
		error = errno;
	if (error) {
		unlink(aside);
		return io_fault(fault, path, error);
	}
	return 0;
}

static int read_whole(int fd, uint8_t **data, size_t *size)
{
	struct stat st;
	uint8_t *bytes;

	if (fstat(fd, &st))
		return BERTH_IO;
	if (st.st_size < 0 || st.st_size > STORE_CONTENT_SIZE_MAX)
		return BERTH_CORRUPT;
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return BERTH_NOMEM;
	if (read(fd, bytes, (size_t)st.st_size) != st.st_size) {
		free(bytes);
		return BERTH_IO;
	}
	*data = bytes;
	*size = (size_t)st.st_size;
	return 0;
}

int store_read(struct store *store, const struct hash *hash, uint8_t **data,
	       size_t *size)
{
	char path[STORE_PATH_MAX];
	struct hash found;
	int fd, code;

	path_of(store, hash, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? BERTH_NOTFOUND : BERTH_IO;
	code = read_whole(fd, data, size);
	close(fd);
	if (code == 0) {
		crypto_sha256(*data, *size, &found);
		if (hash_equal(&found, hash))
			return 0;
		free(*data);
		*data = NULL;
		*size = 0;
		code = BERTH_CORRUPT;
	}
	if (code == BERTH_CORRUPT) {
		log_warn("store", "%s is corrupt: removed", path);
		unlink(path);
	}
	return code;
}

static bool old_enough(int directory, const char *name, uint64_t age_s)
{
	struct stat st;
	time_t now = time(NULL);

	return fstatat(directory, name, &st, 0) == 0 &&
	       now - st.st_mtime >= (time_t)age_s;
}

static uint32_t sweep_directory(const char *path, uint64_t age_s,
				bool (*keep)(void *ctx, const struct hash *),
				void *ctx)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	struct hash hash;
	uint32_t count = 0;

	while (dir && (entry = readdir(dir))) {
		if (hash_parse(entry->d_name, &hash)) {
			if (strncmp(entry->d_name, "aside-", 6))
				continue;
		} else if (keep(ctx, &hash)) {
			continue;
		}
		if (old_enough(dirfd(dir), entry->d_name, age_s) &&
		    unlinkat(dirfd(dir), entry->d_name, 0) == 0)
			count++;
	}
	if (dir)
		closedir(dir);
	return count;
}

uint32_t store_sweep(struct store *store, uint64_t age_s,
		     bool (*keep)(void *ctx, const struct hash *hash),
		     void *ctx)
{
	char path[STORE_PATH_MAX];
	uint32_t count = sweep_directory(store->directory, age_s, keep, ctx);

	for (unsigned i = 0; i < 256; i++) {
		snprintf(path, sizeof path, "%s/%02x", store->directory, i);
		count += sweep_directory(path, age_s, keep, ctx);
	}
	return count;
}
