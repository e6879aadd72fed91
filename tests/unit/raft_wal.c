/* The log on disk: what a restart finds, what is cut, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "raft/bytes.h"
#include "raft/cache.h"
#include "raft/crc32c.h"
#include "raft/wal_internal.h"
#include "tests/kit/lab.h"

static const uint8_t disk_id[16] = { 1, 2, 3 };

struct found {
	uint64_t prev, first, last, terms;
	uint32_t begins, cuts;
};

static void on_begin(void *ctx, uint64_t index, uint64_t term)
{
	struct found *found = ctx;

	(void)term;
	found->begins++;
	found->prev = found->last = index;
}

static void on_cut(void *ctx, uint64_t index)
{
	struct found *found = ctx;

	found->cuts++;
	found->last = index - 1;
}

static int on_entry(void *ctx, uint64_t index, uint64_t term, uint8_t type,
		    const uint8_t *data, size_t size)
{
	struct found *found = ctx;

	assert_int_equal(type, 1);
	assert_int_equal(index, found->last + 1);
	assert_true(size >= 8);
	assert_memory_equal(data, &index, 8);
	found->last = index;
	found->terms = term;
	return 0;
}

static int reopen(struct wal *wal, struct lab *lab, struct found *found,
		  struct fault *fault)
{
	const struct wal_replay replay = { found, on_begin, on_cut, on_entry };

	memset(found, 0, sizeof *found);
	return wal_open(wal, &lab->replicas[0].io.files, disk_id, 8192,
			&replay, fault);
}

static int put(struct wal *wal, uint64_t index, uint64_t term, size_t size)
{
	struct log_entry *entry = entry_new(1, index, term, NULL, size);
	int code;

	assert_non_null(entry);
	memset(entry->data, 7, size);
	memcpy(entry->data, &index, 8);
	code = wal_put(wal, entry);
	entry_give(entry);
	return code;
}

static void fill(struct wal *wal, uint64_t from, uint64_t to, uint64_t term)
{
	uint64_t i;

	for (i = from; i <= to; i++) {
		assert_int_equal(put(wal, i, term, 100), 0);
		assert_int_equal(wal_sync(wal), 0);
	}
}

static void begin(struct wal *wal, struct lab *lab, struct found *found)
{
	lab_open(lab, 1);
	assert_int_equal(reopen(wal, lab, found, NULL), 0);
	assert_int_equal(wal->count, 0);
	assert_int_equal(wal_reset(wal, 0, 0), 0);
}

static void *last_file(struct lab *lab, uint64_t number)
{
	const struct replica_files *f = &lab->replicas[0].io.files;
	char name[32];
	void *file;

	snprintf(name, sizeof name, "log-%016llx", (unsigned long long)number);
	assert_int_equal(f->open(f->ctx, name, false, &file), 0);
	return file;
}

static void spoil(struct lab *lab, uint64_t number, uint64_t offset)
{
	const struct replica_files *f = &lab->replicas[0].io.files;
	void *file = last_file(lab, number);
	uint8_t byte;
	size_t got;

	assert_int_equal(f->read(f->ctx, file, offset, &byte, 1, &got), 0);
	byte ^= 0x10;
	assert_int_equal(f->write(f->ctx, file, offset, &byte, 1), 0);
	f->close(f->ctx, file);
}

static void restart_finds_all(void **state)
{
	struct found found;
	struct lab lab;
	struct wal wal;

	(void)state;
	begin(&wal, &lab, &found);
	fill(&wal, 1, 300, 3); /* over several segments */
	assert_true(wal.count > 3);
	wal_close(&wal);
	assert_int_equal(reopen(&wal, &lab, &found, NULL), 0);
	assert_int_equal(found.last, 300);
	assert_int_equal(found.terms, 3);
	fill(&wal, 301, 310, 4);
	wal_close(&wal);
	assert_int_equal(reopen(&wal, &lab, &found, NULL), 0);
	assert_int_equal(found.last, 310);
	wal_close(&wal);
	lab_close(&lab);
}

static void lower_index_truncates(void **state)
{
	struct found found;
	struct lab lab;
	struct wal wal;

	(void)state;
	begin(&wal, &lab, &found);
	fill(&wal, 1, 200, 3);
	fill(&wal, 20, 25, 4); /* far behind, in another segment */
	wal_close(&wal);
	assert_int_equal(reopen(&wal, &lab, &found, NULL), 0);
	assert_int_equal(found.last, 25);
	assert_int_equal(found.terms, 4);
	assert_int_equal(found.cuts, 1);
	wal_close(&wal);
	lab_close(&lab);
}

static void drop_keeps_what_is_needed(void **state)
{
	struct found found;
	struct lab lab;
	struct wal wal;
	uint32_t before;

	(void)state;
	begin(&wal, &lab, &found);
	fill(&wal, 1, 300, 3);
	before = wal.count;
	assert_int_equal(wal_drop(&wal, 150), 0);
	assert_true(wal.count < before);
	wal_close(&wal);
	assert_int_equal(reopen(&wal, &lab, &found, NULL), 0);
	assert_true(found.prev > 0 && found.prev < 150);
	assert_int_equal(found.last, 300);
	assert_int_equal(wal_reset(&wal, 500, 9), 0);
	fill(&wal, 501, 502, 9);
	wal_close(&wal);
	assert_int_equal(reopen(&wal, &lab, &found, NULL), 0);
	assert_int_equal(found.prev, 500);
	assert_int_equal(found.last, 502);
	wal_close(&wal);
	lab_close(&lab);
}

/* Three entries in one write; the middle one did not reach the disk. */
static void torn_tail_is_cut(void **state)
{
	struct found found;
	struct lab lab;
	struct wal wal;
	uint64_t end;

	(void)state;
	begin(&wal, &lab, &found);
	fill(&wal, 1, 10, 3);
	end = wal.segments[0].end;
	assert_int_equal(put(&wal, 11, 3, 100), 0);
	assert_int_equal(put(&wal, 12, 3, 100), 0);
	assert_int_equal(put(&wal, 13, 3, 100), 0);
	assert_int_equal(wal_sync(&wal), 0);
	wal_close(&wal);
	spoil(&lab, 1, end + 144 + 60);
	assert_int_equal(reopen(&wal, &lab, &found, NULL), 0);
	assert_int_equal(found.last, 11);
	assert_int_equal(wal.count, 2); /* goes on in a new segment */
	/* The stale 13 must not come back behind a new 12. */
	fill(&wal, 12, 12, 5);
	wal_close(&wal);
	assert_int_equal(reopen(&wal, &lab, &found, NULL), 0);
	assert_int_equal(found.last, 12);
	assert_int_equal(found.terms, 5);
	wal_close(&wal);
	lab_close(&lab);
}

static void corrupt_middle_is_refused(void **state)
{
	struct fault fault = { 0 };
	struct found found;
	struct lab lab;
	struct wal wal;

	(void)state;
	begin(&wal, &lab, &found);
	fill(&wal, 1, 10, 3); /* each synced: none may be lost */
	wal_close(&wal);
	spoil(&lab, 1, 64 + 4 * 144 + 50);
	assert_int_equal(reopen(&wal, &lab, &found, &fault), BERTH_CORRUPT);
	assert_non_null(strstr(fault.text, "log-0000000000000001"));
	assert_non_null(strstr(fault.text, "offset 640"));
	lab_close(&lab);
}

static void corrupt_older_segment_is_refused(void **state)
{
	struct fault fault = { 0 };
	struct found found;
	struct lab lab;
	struct wal wal;
	uint64_t end;

	(void)state;
	begin(&wal, &lab, &found);
	fill(&wal, 1, 200, 3);
	end = wal.segments[1].end;
	wal_close(&wal);
	spoil(&lab, 2, end - 20); /* its last record */
	assert_int_equal(reopen(&wal, &lab, &found, &fault), BERTH_CORRUPT);
	assert_non_null(strstr(fault.text, "log-0000000000000002"));
	assert_int_equal(lab.replicas[0].io.files.remove(
				 &lab.replicas[0].files,
				 "log-0000000000000002"), 0);
	assert_int_equal(reopen(&wal, &lab, &found, &fault), BERTH_CORRUPT);
	assert_non_null(strstr(fault.text, "missing"));
	lab_close(&lab);
}

/* Another head for a segment, whole in itself. */
static void rehead(struct lab *lab, uint64_t number, uint64_t prev_index,
		   uint64_t prev_term)
{
	const struct replica_files *f = &lab->replicas[0].io.files;
	void *file = last_file(lab, number);
	uint8_t head[WAL_SEGMENT_HEAD];
	size_t got;

	assert_int_equal(f->read(f->ctx, file, 0, head, sizeof head, &got), 0);
	put_u64(head + 24, prev_index);
	put_u64(head + 32, prev_term);
	put_u32(head + 52, crc32c(0, head, 52));
	assert_int_equal(f->write(f->ctx, file, 0, head, sizeof head), 0);
	f->close(f->ctx, file);
}

static void is_refused(struct lab *lab, const char *why)
{
	struct fault fault = { 0 };
	struct found found;
	struct wal wal;

	assert_int_equal(reopen(&wal, lab, &found, &fault), BERTH_CORRUPT);
	if (!strstr(fault.text, why))
		fail_msg("%s: not \"%s\"", fault.text, why);
}

/* Segments follow each other by index and by term, with heads that are whole;
 * only the very last may lack its head, and then nothing is behind it. */
static void segments_that_do_not_follow_are_refused(void **state)
{
	struct found found;
	struct lab lab;
	struct wal wal;
	uint64_t index;

	(void)state;
	begin(&wal, &lab, &found);
	fill(&wal, 1, 200, 3);
	assert_true(wal.count > 3);
	index = wal.segments[1].last;
	wal_close(&wal);
	rehead(&lab, 3, index - 1, 3);
	is_refused(&lab, "does not follow");
	rehead(&lab, 3, index, 2);
	is_refused(&lab, "does not follow");
	rehead(&lab, 3, index, 3);
	spoil(&lab, 3, 30);
	is_refused(&lab, "bad segment head");
	spoil(&lab, 3, 30);
	assert_int_equal(reopen(&wal, &lab, &found, NULL), 0);
	assert_int_equal(found.last, 200);
	index = wal.segments[wal.count - 1].number;
	wal_close(&wal);
	spoil(&lab, index, 30);
	is_refused(&lab, "bad record before valid ones");
	lab_close(&lab);
}

/* The first entry that is needed may be the last of its segment. */
static void drop_keeps_the_very_first(void **state)
{
	struct found found;
	struct lab lab;
	struct wal wal;
	uint64_t first;

	(void)state;
	begin(&wal, &lab, &found);
	fill(&wal, 1, 200, 3);
	first = wal.segments[1].last;
	assert_int_equal(wal_drop(&wal, first), 0);
	wal_close(&wal);
	assert_int_equal(reopen(&wal, &lab, &found, NULL), 0);
	assert_true(found.prev > 0 && found.prev < first);
	assert_int_equal(found.last, 200);
	assert_int_equal(wal_drop(&wal, first + 1), 0);
	wal_close(&wal);
	assert_int_equal(reopen(&wal, &lab, &found, NULL), 0);
	assert_int_equal(found.prev, first);
	wal_close(&wal);
	lab_close(&lab);
}

static void gap_is_refused(void **state)
{
	struct found found;
	struct lab lab;
	struct wal wal;

	(void)state;
	begin(&wal, &lab, &found);
	fill(&wal, 1, 3, 3);
	fill(&wal, 5, 6, 3);
	wal_close(&wal);
	is_refused(&lab, "out of sequence");
	lab_close(&lab);
}

static int no_space(void *ctx, void *file, uint64_t offset, const void *data,
		    size_t size)
{
	(void)ctx;
	(void)file;
	(void)offset;
	(void)data;
	(void)size;
	return BERTH_NOSPACE;
}

static void full_disk_is_told(void **state)
{
	int (*write)(void *ctx, void *file, uint64_t offset, const void *data,
		     size_t size);
	struct found found;
	struct lab lab;
	struct wal wal;

	(void)state;
	begin(&wal, &lab, &found);
	fill(&wal, 1, 3, 3);
	write = lab.replicas[0].io.files.write;
	lab.replicas[0].io.files.write = no_space;
	assert_int_equal(put(&wal, 4, 3, 100), 0);
	assert_int_equal(wal_sync(&wal), BERTH_NOSPACE);
	wal_close(&wal);
	lab.replicas[0].io.files.write = write;
	assert_int_equal(reopen(&wal, &lab, &found, NULL), 0);
	assert_int_equal(found.last, 3);
	wal_close(&wal);
	lab_close(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(restart_finds_all),
		cmocka_unit_test(lower_index_truncates),
		cmocka_unit_test(drop_keeps_what_is_needed),
		cmocka_unit_test(torn_tail_is_cut),
		cmocka_unit_test(corrupt_middle_is_refused),
		cmocka_unit_test(corrupt_older_segment_is_refused),
		cmocka_unit_test(segments_that_do_not_follow_are_refused),
		cmocka_unit_test(drop_keeps_the_very_first),
		cmocka_unit_test(gap_is_refused),
		cmocka_unit_test(full_disk_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
