#include "node/agent/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "node/agent/usage.h"
#include "node/lib/crypto.h"
#include "node/lib/log.h"

#define PATH_SIZE 4096u

const char *const cache_kinds[CACHE_KINDS] = { "messages", "files", "code",
					       "latest" };

void cache_touch(const char *path)
{
	(void)utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW);
}

/* --- what is there --------------------------------------------------------- */

static bool name_hash(const char *name, struct hash *hash)
{
	char text[65];

	if (strnlen(name, 64) < 64)
		return false;
	memcpy(text, name, 64);
	text[64] = '\0';
	return hash_parse(text, hash) == 0;
}

static struct cache_entry *more(struct cache_list *list)
{
	if (list->count == list->capacity) {
		uint32_t capacity = list->capacity ? list->capacity * 2 : 64;
		void *rows = reallocarray(list->rows, capacity,
					  sizeof *list->rows);

		if (!rows)
			return NULL;
		list->rows = rows;
		list->capacity = capacity;
	}
	return &list->rows[list->count];
}

static void add(struct cache_list *list, const char *directory,
		const char *kind, const char *name)
{
	struct cache_entry *entry = more(list);
	char path[PATH_SIZE];
	struct stat status;

	if (!entry || !name_hash(name, &entry->hash) || strstr(name, ".part") ||
	    snprintf(entry->path, sizeof entry->path, "%s/%s", kind, name) >=
		    (int)sizeof entry->path ||
	    snprintf(path, sizeof path, "%s/cache/%s", directory,
		     entry->path) >= (int)sizeof path ||
	    lstat(path, &status) < 0)
		return;
	entry->size = usage_measure(path, UINT64_MAX / 4);
	entry->used_ns = (int64_t)status.st_mtim.tv_sec * 1000000000 +
			 status.st_mtim.tv_nsec;
	list->size += entry->size;
	list->count++;
}

static int by_use(const void *a, const void *b)
{
	const struct cache_entry *x = a, *y = b;

	return x->used_ns < y->used_ns ? -1 : x->used_ns > y->used_ns;
}

void cache_list(const char *directory, struct cache_list *out)
{
	char path[PATH_SIZE];
	struct dirent *row;

	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < CACHE_KINDS; i++) {
		DIR *folder;

		if (snprintf(path, sizeof path, "%s/cache/%s", directory,
			     cache_kinds[i]) >= (int)sizeof path)
			continue;
		folder = opendir(path);
		while (folder && (row = readdir(folder)))
			add(out, directory, cache_kinds[i], row->d_name);
		if (folder)
			closedir(folder);
	}
	if (out->count > 0)
		qsort(out->rows, out->count, sizeof *out->rows, by_use);
}

void cache_list_fini(struct cache_list *list)
{
	free(list->rows);
	memset(list, 0, sizeof *list);
}

/* --- what must stay ---------------------------------------------------------- */

void cache_pin(struct cache_pins *pins, const struct hash *hash)
{
	if (pins->count == pins->capacity) {
		uint32_t capacity = pins->capacity ? pins->capacity * 2 : 64;
		void *rows = reallocarray(pins->rows, capacity,
					  sizeof *pins->rows);

		if (!rows) {
			pins->failed = true;
			return;
		}
		pins->rows = rows;
		pins->capacity = capacity;
	}
	pins->rows[pins->count++] = *hash;
}

void cache_pin_text(struct cache_pins *pins, const char *text)
{
	struct hash hash;

	if (text && name_hash(text, &hash))
		cache_pin(pins, &hash);
}

void cache_pin_path(struct cache_pins *pins, const char *path)
{
	const char *name = strrchr(path, '/');

	cache_pin_text(pins, name ? name + 1 : path);
}

void cache_pins_fini(struct cache_pins *pins)
{
	free(pins->rows);
	memset(pins, 0, sizeof *pins);
}

static bool is_pinned(const struct cache_pins *pins, const struct hash *hash)
{
	for (uint32_t i = 0; i < pins->count; i++)
		if (hash_equal(&pins->rows[i], hash))
			return true;
	return false;
}

/* --- what goes ----------------------------------------------------------------- */

static bool move(const char *directory, const struct cache_entry *entry)
{
	const char *name = strchr(entry->path, '/') + 1;
	char from[PATH_SIZE], to[PATH_SIZE];
	uint64_t random;

	crypto_random(&random, sizeof random);
	if (snprintf(from, sizeof from, "%s/cache/%s", directory,
		     entry->path) >= (int)sizeof from ||
	    snprintf(to, sizeof to, "%s/cache/gone/%.64s-%016llx", directory,
		     name, (unsigned long long)random) >= (int)sizeof to)
		return false;
	return rename(from, to) == 0;
}

uint64_t cache_evict(const char *directory, const struct cache_list *list,
		     const struct cache_pins *pins, uint64_t size_max)
{
	uint64_t size = list->size, gone = 0;
	char path[PATH_SIZE];
	struct fault fault;

	if (pins->failed || size <= size_max)
		return 0;
	if (snprintf(path, sizeof path, "%s/cache/gone", directory) >=
		    (int)sizeof path ||
	    agent_directory(path, &fault) != 0)
		return 0;
	for (uint32_t i = 0; i < list->count && size - gone > size_max; i++)
		if (!is_pinned(pins, &list->rows[i].hash) &&
		    move(directory, &list->rows[i]))
			gone += list->rows[i].size;
	log_info("cache", "%llu MiB of %llu MiB forgotten",
		 (unsigned long long)(gone >> 20),
		 (unsigned long long)(size >> 20));
	return gone;
}

void cache_sweep(const char *directory)
{
	char path[PATH_SIZE];

	if (snprintf(path, sizeof path, "%s/cache/gone", directory) <
	    (int)sizeof path)
		agent_tree_remove(path);
}
