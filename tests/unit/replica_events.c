/* The event files: what is written is read, once, after whatever restart; the
 * oldest go whole, and what is asked below them is told so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/replica/events_log.h"
#include "tests/kit/certs.h"

#define SEGMENT 10u
#define KEEP 25u

struct seen {
	stamp_t stamps[400];
	uint32_t ordinals[400], count;
	char reason[300];
};

static char root[CERTS_PATH_SIZE];

static struct events_log *open_log(uint64_t keep)
{
	struct events_log *log = NULL;
	struct fault fault = { 0 };

	if (events_log_open(&log, root, SEGMENT, keep, &fault))
		fail_msg("%s", fault.text);
	return log;
}

static int setup(void **state)
{
	(void)state;
	certs_folder(root);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	certs_remove(root);
	return 0;
}

/* `count` events of `each` a stamp, from stamp index `first`. */
static void append(struct events_log *log, uint64_t first, uint32_t count,
		   uint32_t each)
{
	struct event *list = calloc(count, sizeof *list);
	struct fault fault = { 0 };

	for (uint32_t i = 0; i < count; i++) {
		list[i].type = EFFECT_FREED;
		list[i].stamp = stamp_make(first + i / each, 0);
		list[i].ordinal = i % each;
		list[i].wall_ms = 1000 + i;
		list[i].program.bytes[0] = (uint8_t)(i + 1);
		list[i].reason = (struct text){ "because", 7 };
	}
	if (events_log_append(log, list, count, &fault))
		fail_msg("%s", fault.text);
	free(list);
}

static void note(void *ctx, const struct event *e)
{
	struct seen *seen = ctx;

	assert_true(seen->count < COUNT_OF(seen->stamps));
	seen->stamps[seen->count] = e->stamp;
	seen->ordinals[seen->count++] = e->ordinal;
	snprintf(seen->reason, sizeof seen->reason, "%.*s",
		 (int)e->reason.size, e->reason.data);
}

static int look(struct events_log *log, stamp_t since, uint32_t limit,
		struct seen *seen, stamp_t *oldest)
{
	*seen = (struct seen){ 0 };
	return events_log_read(log, since, limit, note, seen, oldest);
}

static void what_is_written_is_read(void **state)
{
	struct events_log *log = open_log(KEEP);
	struct seen seen;
	stamp_t oldest;

	(void)state;
	assert_int_equal(look(log, 0, 100, &seen, &oldest), 0);
	assert_int_equal(seen.count, 0);
	append(log, 1, 23, 1);
	assert_int_equal(look(log, 0, 100, &seen, &oldest), 0);
	assert_int_equal(seen.count, 23);
	assert_int_equal(oldest, 0);
	assert_string_equal(seen.reason, "because");
	for (uint32_t i = 0; i < 23; i++)
		assert_int_equal(seen.stamps[i], stamp_make(1 + i, 0));
	assert_int_equal(look(log, stamp_make(15, 0), 3, &seen, &oldest), 0);
	assert_int_equal(seen.count, 3);
	assert_int_equal(seen.stamps[0], stamp_make(16, 0));
	events_log_close(log);
}

static void what_the_log_gives_again_is_skipped(void **state)
{
	struct events_log *log = open_log(1000);
	struct seen seen;
	stamp_t oldest;

	(void)state;
	append(log, 1, 9, 3);
	events_log_close(log);
	log = open_log(1000);
	assert_int_equal(events_log_last(log), stamp_make(3, 0));
	/* The same entries from the start, and new ones behind them. */
	append(log, 1, 15, 3);
	append(log, 2, 12, 3);
	assert_int_equal(look(log, 0, 100, &seen, &oldest), 0);
	assert_int_equal(seen.count, 15);
	for (uint32_t i = 0; i < 15; i++) {
		assert_int_equal(seen.stamps[i], stamp_make(1 + i / 3, 0));
		assert_int_equal(seen.ordinals[i], i % 3);
	}
	events_log_close(log);
}

static void newest_file(char path[512])
{
	char directory[400], best[64] = "";
	struct dirent *entry;
	DIR *dir;

	snprintf(directory, sizeof directory, "%s/events", root);
	dir = opendir(directory);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, best) > 0)
			snprintf(best, sizeof best, "%.60s", entry->d_name);
	closedir(dir);
	snprintf(path, 512, "%s/%s", directory, best);
}

/* At every length that a crash may leave: whole events stay, the rest is
 * written again when the entry is applied again. */
static void torn_end_is_cut(void **state)
{
	struct events_log *log = open_log(1000);
	struct seen seen;
	stamp_t oldest;
	char path[512];
	off_t size;

	(void)state;
	append(log, 1, 4, 2);
	events_log_close(log);
	newest_file(path);
	for (int cut = 1; cut < 160; cut += 7) {
		int fd = open(path, O_RDWR);

		size = lseek(fd, 0, SEEK_END);
		assert_int_equal(ftruncate(fd, size - cut), 0);
		close(fd);
		log = open_log(1000);
		append(log, 1, 4, 2);
		assert_int_equal(look(log, 0, 100, &seen, &oldest), 0);
		assert_int_equal(seen.count, 4);
		assert_int_equal(seen.ordinals[3], 1);
		events_log_close(log);
	}
}

static void garbage_in_the_newest_is_cut(void **state)
{
	struct events_log *log = open_log(1000);
	struct seen seen;
	stamp_t oldest;
	char path[512], noise[64];
	int fd;

	(void)state;
	append(log, 1, 4, 1);
	events_log_close(log);
	newest_file(path);
	memset(noise, 0x5a, sizeof noise);
	fd = open(path, O_WRONLY | O_APPEND);
	assert_int_equal(write(fd, noise, sizeof noise), sizeof noise);
	close(fd);
	log = open_log(1000);
	append(log, 5, 1, 1);
	assert_int_equal(look(log, 0, 100, &seen, &oldest), 0);
	assert_int_equal(seen.count, 5);
	events_log_close(log);
}

static void another_file_is_refused(void **state)
{
	struct events_log *log = open_log(1000);
	struct fault fault = { 0 };
	char path[512];
	int fd;

	(void)state;
	append(log, 1, 4, 1);
	events_log_close(log);
	newest_file(path);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "X", 1, 0), 1);
	close(fd);
	assert_int_equal(events_log_open(&log, root, SEGMENT, KEEP, &fault),
			 BERTH_CORRUPT);
	assert_non_null(strstr(fault.text, path));
}

static void oldest_go_whole(void **state)
{
	struct events_log *log = open_log(KEEP);
	struct seen seen;
	stamp_t oldest;

	(void)state;
	for (uint32_t i = 0; i < 30; i++)
		append(log, 1 + 5 * i, 5, 1);
	/* 150 events, segments of 10, at least 25 are kept. */
	assert_int_equal(look(log, 0, 400, &seen, &oldest), BERTH_NOTFOUND);
	assert_true(oldest > 0);
	assert_int_equal(look(log, oldest - 1, 400, &seen, &oldest),
			 BERTH_NOTFOUND);
	assert_int_equal(look(log, oldest, 400, &seen, &oldest), 0);
	assert_true(seen.count >= KEEP && seen.count < KEEP + 2 * SEGMENT);
	assert_int_equal(seen.stamps[seen.count - 1], stamp_make(150, 0));
	assert_int_equal(seen.stamps[0],
			 stamp_make(stamp_index(oldest) + 1, 0));
	events_log_close(log);
	/* And after a restart the same. */
	log = open_log(KEEP);
	assert_int_equal(look(log, 0, 400, &seen, &oldest), BERTH_NOTFOUND);
	assert_int_equal(look(log, oldest, 400, &seen, &oldest), 0);
	assert_int_equal(seen.stamps[seen.count - 1], stamp_make(150, 0));
	events_log_close(log);
}

/* A page never ends inside a stamp, nor does a segment. */
static void stamps_stay_whole(void **state)
{
	struct events_log *log = open_log(1000);
	struct seen seen;
	stamp_t oldest;

	(void)state;
	append(log, 1, 36, 12);
	assert_int_equal(look(log, 0, 5, &seen, &oldest), 0);
	assert_int_equal(seen.count, 12);
	assert_int_equal(look(log, seen.stamps[11], 13, &seen, &oldest), 0);
	assert_int_equal(seen.count, 24);
	events_log_close(log);
}

/* A replica that came by a snapshot has not seen what was before. */
static void a_late_start_is_told(void **state)
{
	struct events_log *log = open_log(1000);
	struct seen seen;
	stamp_t oldest;

	(void)state;
	append(log, 5000, 3, 1);
	assert_int_equal(look(log, 0, 10, &seen, &oldest), BERTH_NOTFOUND);
	assert_int_equal(look(log, oldest, 10, &seen, &oldest), 0);
	assert_int_equal(seen.count, 3);
	events_log_close(log);
}

/* So has one that was given a snapshot while it ran: what it has of the time
 * before is no whole story any more. */
static void a_gap_is_told(void **state)
{
	const struct event gap = { .stamp = stamp_make(101, 0) - 1 };
	const struct event old = { .stamp = stamp_make(40, 0) - 1 };
	struct events_log *log = open_log(1000);
	struct fault fault = { 0 };
	struct seen seen;
	stamp_t oldest, last;

	(void)state;
	append(log, 1, 30, 1);
	last = events_log_last(log);
	assert_int_equal(events_log_append(log, &gap, 1, &fault), 0);
	assert_int_equal(look(log, last, 10, &seen, &oldest), BERTH_NOTFOUND);
	assert_true(oldest == gap.stamp);
	assert_int_equal(look(log, oldest, 10, &seen, &oldest), 0);
	assert_int_equal(seen.count, 0);
	append(log, 99, 5, 1); /* 99 and 100 are of the snapshot */
	for (int turn = 0; turn < 2; turn++) {
		assert_int_equal(look(log, gap.stamp, 10, &seen, &oldest), 0);
		assert_int_equal(seen.count, 3);
		assert_int_equal(look(log, last, 10, &seen, &oldest),
				 BERTH_NOTFOUND);
		events_log_close(log);
		log = open_log(1000);
	}
	/* What was seen leaves no gap. */
	assert_int_equal(events_log_append(log, &old, 1, &fault), 0);
	assert_int_equal(look(log, gap.stamp, 10, &seen, &oldest), 0);
	assert_int_equal(seen.count, 3);
	events_log_close(log);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(what_is_written_is_read),
		CASE(what_the_log_gives_again_is_skipped),
		CASE(torn_end_is_cut),
		CASE(garbage_in_the_newest_is_cut),
		CASE(another_file_is_refused),
		CASE(oldest_go_whole),
		CASE(stamps_stay_whole),
		CASE(a_late_start_is_told),
		CASE(a_gap_is_told),
	};

	return cmocka_run_group_tests_name("replica_events", tests, NULL,
					   NULL);
}
