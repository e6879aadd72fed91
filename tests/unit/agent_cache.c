/* What trees take of the disk, and what leaves the cache when it is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/agent/cache.h"
#include "node/agent/usage.h"
#include "node/lib/crypto.h"

#define KIB 1024u
#define NO_LIMIT UINT64_MAX

static char folder[64];

static int set_up(void **state)
{
	static const char *const kinds[] = { "messages", "files", "code",
					     "latest" };
	struct fault fault;
	char path[128];

	(void)state;
	strcpy(folder, "/tmp/berth-cache-XXXXXX");
	assert_non_null(mkdtemp(folder));
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		snprintf(path, sizeof path, "%s/cache/%s", folder, kinds[i]);
		assert_int_equal(agent_directory(path, &fault), 0);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	agent_tree_remove(folder);
	return 0;
}

static void file(const char *path, size_t size)
{
	struct fault fault;
	char *data = malloc(size + 1);

	assert_non_null(data);
	memset(data, 'x', size);
	if (agent_file_write(path, data, size, 0644, &fault) != 0)
		fail_msg("%s", fault.text);
	free(data);
}

/* --- usage ------------------------------------------------------------------ */

static void measures(void **state)
{
	char path[128], other[128];
	uint64_t empty = usage_measure(folder, NO_LIMIT), size;

	(void)state;
	assert_true(empty >= 6 * USAGE_ENTRY_SIZE);
	snprintf(path, sizeof path, "%s/cache/code/big", folder);
	file(path, 400 * KIB);
	size = usage_measure(folder, NO_LIMIT) - empty;
	assert_in_range(size, 400 * KIB, 420 * KIB);
	/* Another name for it is no other file. */
	snprintf(other, sizeof other, "%s/cache/code/same", folder);
	assert_int_equal(link(path, other), 0);
	assert_in_range(usage_measure(folder, NO_LIMIT) - empty, 400 * KIB,
			420 * KIB);
	/* A hole takes nothing, whatever its file says of itself. */
	snprintf(other, sizeof other, "%s/cache/code/hole", folder);
	file(other, 0);
	assert_int_equal(truncate(other, 1 << 30), 0);
	assert_in_range(usage_measure(folder, NO_LIMIT) - empty, 400 * KIB,
			440 * KIB);
	assert_int_equal(usage_measure("/tmp/berth-cache-nothing", NO_LIMIT),
			 0);
}

static void follows_no_link(void **state)
{
	uint64_t empty = usage_measure(folder, NO_LIMIT);
	char path[128];

	(void)state;
	snprintf(path, sizeof path, "%s/cache/code/out", folder);
	assert_int_equal(symlink("/usr", path), 0);
	assert_true(usage_measure(folder, NO_LIMIT) <= empty + 8 * KIB);
	assert_int_equal(usage_measure(path, NO_LIMIT), USAGE_ENTRY_SIZE);
}

/* A limit in bytes is one of names, too, and one of depth. */
static void counts_names_and_depth(void **state)
{
	uint64_t empty = usage_measure(folder, NO_LIMIT);
	char path[128];
	int fd;

	(void)state;
	for (int i = 0; i < 50; i++) {
		snprintf(path, sizeof path, "%s/cache/code/%d", folder, i);
		fd = open(path, O_CREAT | O_WRONLY, 0644);
		assert_true(fd >= 0);
		close(fd);
	}
	assert_true(usage_measure(folder, NO_LIMIT) >=
		    empty + 50 * USAGE_ENTRY_SIZE);
	assert_true(usage_measure(folder, empty) > empty);
	assert_int_equal(chdir(folder), 0);
	for (uint32_t i = 0; i < USAGE_DEPTH_MAX + 2; i++)
		assert_true(mkdir("d", 0755) == 0 && chdir("d") == 0);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(usage_measure(folder, NO_LIMIT), UINT64_MAX);
}

/* --- the cache ---------------------------------------------------------------- */

static struct hash named(uint8_t number)
{
	struct hash hash = { { number } };

	return hash;
}

/* An entry of this size, last used at this second; its path. */
static void entry(const char *kind, uint8_t number, const char *suffix,
		  size_t size, time_t used, char *path)
{
	struct timespec times[2] = { { used, 0 }, { used, 0 } };
	struct hash hash = named(number);
	struct fault fault;
	char text[65], inner[512];

	hash_text(&hash, text);
	snprintf(path, 400, "%s/cache/%s/%s%s", folder, kind, text, suffix);
	if (strcmp(kind, "code") == 0) {
		assert_int_equal(agent_directory(path, &fault), 0);
		snprintf(inner, sizeof inner, "%s/main.py", path);
		file(inner, size);
	} else {
		file(path, size);
	}
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static void drops_the_oldest(void **state)
{
	char oldest[400], pinned[400], newer[400], touched[400], part[400];
	struct cache_pins pins = { 0 };
	struct cache_list list;
	struct hash hash = named(2);

	(void)state;
	entry("code", 1, "-zip", 100 * KIB, 1000, oldest);
	entry("code", 2, "-zip", 100 * KIB, 900, pinned);
	entry("files", 3, "", 100 * KIB, 2000, newer);
	entry("files", 4, "", 100 * KIB, 500, touched);
	entry("code", 5, "-zip.part-1", 100 * KIB, 1, part);
	cache_touch(touched);
	cache_pin(&pins, &hash);
	cache_list(folder, &list);
	assert_int_equal(list.count, 4);
	assert_in_range(list.size, 400 * KIB, 450 * KIB);
	/* All fits: nothing goes. */
	assert_int_equal(cache_evict(folder, &list, &pins, 450 * KIB), 0);
	assert_true(is_there(oldest));
	assert_in_range(cache_evict(folder, &list, &pins, 340 * KIB),
			100 * KIB, 120 * KIB);
	assert_false(is_there(oldest));
	assert_true(is_there(pinned) && is_there(newer) && is_there(touched));
	cache_list_fini(&list);
	cache_list(folder, &list);
	assert_true(cache_evict(folder, &list, &pins, 0) >= 200 * KIB);
	assert_true(is_there(pinned));
	assert_false(is_there(newer) || is_there(touched));
	/* What is being made is not touched. */
	assert_true(is_there(part));
	cache_sweep(folder);
	snprintf(oldest, sizeof oldest, "%s/cache/gone", folder);
	assert_false(is_there(oldest));
	cache_list_fini(&list);
	cache_pins_fini(&pins);
}

static void keeps_all_in_doubt(void **state)
{
	struct cache_pins pins = { .failed = true };
	struct cache_list list;
	char path[400];

	(void)state;
	entry("files", 1, "", 100 * KIB, 1, path);
	cache_list(folder, &list);
	assert_int_equal(cache_evict(folder, &list, &pins, 0), 0);
	assert_true(is_there(path));
	pins.failed = false;
	cache_pin_path(&pins, path);
	assert_int_equal(pins.count, 1);
	cache_pin_text(&pins, "no hash");
	cache_pin_text(&pins, NULL);
	assert_int_equal(pins.count, 1);
	assert_int_equal(cache_evict(folder, &list, &pins, 0), 0);
	assert_true(is_there(path));
	cache_list_fini(&list);
	cache_pins_fini(&pins);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(measures),
		TEST(follows_no_link),
		TEST(counts_names_and_depth),
		TEST(drops_the_oldest),
		TEST(keeps_all_in_doubt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
