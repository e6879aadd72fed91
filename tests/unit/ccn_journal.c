/* The journal: what was acknowledged is there; tails are cut, damage is not. */
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

#include "node/ccn/journal.h"

static char path[] = "/tmp/berth-journal-XXXXXX";
static char seen[256];

static int take(void *ctx, const char *payload, size_t size,
		struct fault *fault)
{
	(void)ctx;
	if (size == 4 && memcmp(payload, "evil", 4) == 0)
		return fault_set(fault, BERTH_INVALID, "evil");
	strncat(seen, payload, size);
	strcat(seen, ";");
	return BERTH_OK;
}

static int open_it(struct journal *journal, uint64_t *cut,
		   struct fault *fault)
{
	seen[0] = '\0';
	return journal_open(journal, path, take, NULL, cut, fault);
}

static void append(struct journal *journal, const char *text)
{
	struct fault fault;

	assert_int_equal(journal_append(journal, text, strlen(text), &fault),
			 0);
}

/* Three records; gives where the second and the third begin. */
static void fill(uint64_t offsets[3])
{
	struct journal journal;
	struct fault fault;

	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(open_it(&journal, NULL, &fault), 0);
	append(&journal, "one");
	offsets[0] = journal.end;
	append(&journal, "two");
	offsets[1] = journal.end;
	append(&journal, "three");
	offsets[2] = journal.end;
	journal_close(&journal);
}

static void flip(uint64_t offset)
{
	int fd = open(path, O_RDWR);
	char c;

	assert_int_equal(pread(fd, &c, 1, (off_t)offset), 1);
	c = (char)(c ^ 0x20);
	assert_int_equal(pwrite(fd, &c, 1, (off_t)offset), 1);
	close(fd);
}

static void replays_in_order(void **unused)
{
	struct journal journal;
	struct fault fault;
	uint64_t at[3], cut = 9;

	(void)unused;
	fill(at);
	assert_int_equal(open_it(&journal, &cut, &fault), 0);
	assert_string_equal(seen, "one;two;three;");
	assert_true(cut == 0 && journal.end == at[2]);
	append(&journal, "four");
	journal_close(&journal);
	assert_int_equal(open_it(&journal, &cut, &fault), 0);
	assert_string_equal(seen, "one;two;three;four;");
	journal_close(&journal);
}

/* Wherever a crash cuts the file, the whole records before it stay. */
static void every_torn_tail_is_cut(void **unused)
{
	struct journal journal;
	struct fault fault;
	uint64_t at[3], cut;

	(void)unused;
	for (uint64_t size = 0;; size++) {
		fill(at);
		if (size > at[2])
			break;
		assert_int_equal(truncate(path, (off_t)size), 0);
		assert_int_equal(open_it(&journal, &cut, &fault), 0);
		assert_string_equal(seen, size == at[2] ? "one;two;three;" :
					  size >= at[1] ? "one;two;" :
					  size >= at[0] ? "one;" : "");
		append(&journal, "next");
		journal_close(&journal);
		assert_int_equal(open_it(&journal, &cut, &fault), 0);
		assert_true(cut == 0);
		assert_non_null(strstr(seen, "next;"));
		journal_close(&journal);
	}
}

static void garbage_at_the_end_is_cut(void **unused)
{
	struct journal journal;
	struct fault fault;
	uint64_t at[3], cut;

	(void)unused;
	fill(at);
	flip(at[2] - 1);
	assert_int_equal(open_it(&journal, &cut, &fault), 0);
	assert_string_equal(seen, "one;two;");
	assert_true(cut == at[2] - at[1]);
	journal_close(&journal);
}

/* Any byte of a record that another follows. */
static void a_damaged_middle_is_refused(void **unused)
{
	struct journal journal;
	struct fault fault;
	char where[64];
	uint64_t at[3];

	(void)unused;
	fill(at);
	for (uint64_t i = at[0]; i < at[1]; i++) {
		flip(i);
		assert_int_equal(open_it(&journal, NULL, &fault),
				 BERTH_CORRUPT);
		snprintf(where, sizeof where, "%s: offset %llu:", path,
			 (unsigned long long)at[0]);
		assert_non_null(strstr(fault.text, where));
		flip(i);
	}
	assert_int_equal(open_it(&journal, NULL, &fault), 0);
	journal_close(&journal);
}

static void other_files_are_refused(void **unused)
{
	struct journal journal;
	struct fault fault;
	uint64_t at[3];

	(void)unused;
	fill(at);
	flip(3);
	assert_int_equal(open_it(&journal, NULL, &fault), BERTH_CORRUPT);
	assert_non_null(strstr(fault.text, "not a journal"));
}

static void a_record_that_is_not_taken_ends_it(void **unused)
{
	struct journal journal;
	struct fault fault;
	uint64_t at[3];

	(void)unused;
	fill(at);
	assert_int_equal(open_it(&journal, NULL, &fault), 0);
	append(&journal, "evil");
	journal_close(&journal);
	assert_int_equal(open_it(&journal, NULL, &fault), BERTH_INVALID);
	assert_non_null(strstr(fault.text, "offset"));
}

static void oversized_records_are_refused(void **unused)
{
	struct journal journal;
	struct fault fault;
	uint64_t at[3];

	(void)unused;
	fill(at);
	assert_int_equal(open_it(&journal, NULL, &fault), 0);
	assert_int_equal(journal_append(&journal, "",
					JOURNAL_PAYLOAD_SIZE_MAX + 1u, &fault),
			 BERTH_TOOBIG);
	append(&journal, "after");
	journal_close(&journal);
	assert_int_equal(open_it(&journal, NULL, &fault), 0);
	assert_string_equal(seen, "one;two;three;after;");
	journal_close(&journal);
}

/* A disk that is full: nothing is added, and what was there stays. */
static void a_full_disk_adds_nothing(void **unused)
{
	struct journal journal;
	struct fault fault;
	uint64_t at[3];
	int full;

	(void)unused;
	fill(at);
	assert_int_equal(open_it(&journal, NULL, &fault), 0);
	full = open("/dev/full", O_WRONLY);
	assert_true(full >= 0);
	assert_true(dup2(full, journal.fd) >= 0);
	close(full);
	assert_int_not_equal(journal_append(&journal, "x", 1, &fault), 0);
	assert_non_null(strstr(fault.text, path));
	/* It could not be cut either: no more appends. */
	assert_true(journal.broken);
	assert_int_equal(journal_append(&journal, "x", 1, &fault), BERTH_IO);
	journal_close(&journal);
	assert_int_equal(open_it(&journal, NULL, &fault), 0);
	assert_string_equal(seen, "one;two;three;");
	journal_close(&journal);
}

static int setup(void **unused)
{
	int fd = mkstemp(path);

	(void)unused;
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **unused)
{
	(void)unused;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replays_in_order),
		cmocka_unit_test(every_torn_tail_is_cut),
		cmocka_unit_test(garbage_at_the_end_is_cut),
		cmocka_unit_test(a_damaged_middle_is_refused),
		cmocka_unit_test(other_files_are_refused),
		cmocka_unit_test(a_record_that_is_not_taken_ends_it),
		cmocka_unit_test(oversized_records_are_refused),
		cmocka_unit_test(a_full_disk_adds_nothing),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
