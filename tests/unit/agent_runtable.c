/* The run table: rows that last, rows that are torn, files that are not it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "node/agent/fencer_wire.h"
#include "node/agent/machine.h"
#include "node/agent/run_table.h"

static char folder[64];
static int directory;
static struct run_table table;
static struct fault fault;

static int open_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof folder, "/tmp/berth-runtable-XXXXXX");
	assert_non_null(mkdtemp(folder));
	directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return run_table_open(&table, directory, &fault);
}

static int close_folder(void **state)
{
	static const char *const files[] = { "runs.table", "host.id",
					     "fencer.lock" };

	(void)state;
	run_table_close(&table);
	for (size_t i = 0; i < COUNT_OF(files); i++)
		unlinkat(directory, files[i], 0);
	close(directory);
	return rmdir(folder);
}

static struct run_row row_of(uint8_t number)
{
	struct run_row row;

	memset(&row, 0, sizeof row);
	memset(row.program.bytes, number, sizeof row.program.bytes);
	row.gen = 3;
	row.epoch = 1u << 20 | number;
	row.hold = number & 1;
	row.launcher = 100u + number;
	return row;
}

/* Overwrites `size` bytes of a file, as a disk would that tears. */
static void scribble(off_t at, size_t size)
{
	char garbage[512];

	memset(garbage, 0x5a, sizeof garbage);
	assert_int_equal(pwrite(table.fd, garbage, size, at), (ssize_t)size);
}

static void test_rows_last(void **state)
{
	struct run_row in, out;

	(void)state;
	for (uint8_t i = 0; i < 8; i++) {
		in = row_of(i);
		assert_int_equal(run_table_write(&table, i * 100u, &in, true),
				 0);
	}
	run_table_close(&table);
	assert_int_equal(run_table_open(&table, directory, &fault), 0);
	for (uint8_t i = 0; i < 8; i++) {
		in = row_of(i);
		assert_int_equal(run_table_read(&table, i * 100u, &out), 0);
		assert_memory_equal(&in, &out, sizeof in);
	}
	assert_int_equal(run_table_read(&table, 1, &out), BERTH_NOTFOUND);
	assert_int_equal(run_table_read(&table, FENCER_RUNS_MAX - 1, &out),
			 BERTH_NOTFOUND);
}

static void test_cleared(void **state)
{
	struct run_row row = row_of(1);

	(void)state;
	assert_int_equal(run_table_write(&table, 5, &row, true), 0);
	assert_int_equal(run_table_clear(&table, 5), 0);
	assert_int_equal(run_table_read(&table, 5, &row), BERTH_NOTFOUND);
}

/* Every way to tear a row is seen, and is never taken for a free slot. */
static void test_torn(void **state)
{
	struct run_row row = row_of(1), out = row_of(9);

	(void)state;
	for (off_t at = 0; at < 512; at += 8) {
		assert_int_equal(run_table_write(&table, 2, &row, false), 0);
		scribble(3 * 512 + at, 8);
		assert_int_equal(run_table_read(&table, 2, &out),
				 BERTH_CORRUPT);
	}
	assert_int_equal(out.launcher, 109); /* untouched */
	/* its neighbours are well */
	assert_int_equal(run_table_read(&table, 1, &out), BERTH_NOTFOUND);
	assert_int_equal(run_table_read(&table, 3, &out), BERTH_NOTFOUND);
}

static void test_head(void **state)
{
	struct run_table_head in = { .gen = 4, .prev_max = 77,
				     .deadline_ns = 1234567890123u };
	struct run_table_head out;

	(void)state;
	assert_int_equal(run_table_head_read(&table, &out), BERTH_NOTFOUND);
	assert_int_equal(run_table_head_write(&table, &in, true), 0);
	assert_int_equal(run_table_head_read(&table, &out), 0);
	assert_memory_equal(&in, &out, sizeof in);
	scribble(20, 4);
	assert_int_equal(run_table_head_read(&table, &out), BERTH_CORRUPT);
}

static void test_another_size(void **state)
{
	struct run_table other;

	(void)state;
	assert_int_equal(ftruncate(table.fd, 1000), 0);
	assert_int_equal(run_table_open(&other, directory, &fault),
			 BERTH_CORRUPT);
	assert_non_null(strstr(fault.text, "runs.table: 1000 bytes"));
}

/* One fencer a folder; the id makes the host, and is not made anew. */
static void test_machine(void **state)
{
	struct machine first, second;
	struct hash host;
	int fd;

	(void)state;
	assert_int_equal(machine_open(&first, folder, &fault), 0);
	assert_int_equal(machine_open(&second, folder, &fault), BERTH_BUSY);
	assert_non_null(strstr(fault.text, folder));
	host = first.host;
	assert_false(hash_equal(&first.host, &first.boot));
	machine_close(&first);
	assert_int_equal(machine_open(&second, folder, &fault), 0);
	assert_true(hash_equal(&host, &second.host));
	machine_close(&second);
	assert_int_equal(unlinkat(directory, "host.id", 0), 0);
	assert_int_equal(machine_open(&second, folder, &fault), 0);
	assert_false(hash_equal(&host, &second.host));
	machine_close(&second);
	/* nor is an empty table silently taken for "nothing runs" */
	host = second.host;
	assert_int_equal(ftruncate(table.fd, 0), 0);
	assert_int_equal(machine_open(&second, folder, &fault), 0);
	assert_false(hash_equal(&host, &second.host));
	machine_close(&second);
	host = second.host;
	assert_int_equal(unlinkat(directory, "runs.table", 0), 0);
	assert_int_equal(machine_open(&second, folder, &fault), 0);
	assert_false(hash_equal(&host, &second.host));
	machine_close(&second);
	/* the other cases have one */
	run_table_close(&table);
	assert_int_equal(run_table_open(&table, directory, &fault), 0);
	/* a short id is not silently replaced: that would be another host */
	fd = openat(directory, "host.id", O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "short", 5), 5);
	close(fd);
	assert_int_equal(machine_open(&second, folder, &fault), BERTH_CORRUPT);
}

static void test_process_start(void **state)
{
	uint64_t start = process_start((uint32_t)getpid());
	struct rlimit all, none;

	(void)state;
	assert_true(start > 0);
	assert_true(process_start((uint32_t)getpid()) == start);
	assert_true(process_start(1u << 30) == 0);
	/* what cannot be looked at is not called gone */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	none = (struct rlimit){ .rlim_cur = 0, .rlim_max = all.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	start = process_start((uint32_t)getpid());
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	assert_true(start == PROCESS_UNSEEN);
}

#define STORY(function) \
	cmocka_unit_test_setup_teardown(function, open_folder, close_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORY(test_rows_last),	  STORY(test_cleared),
		STORY(test_torn),	  STORY(test_head),
		STORY(test_another_size), STORY(test_machine),
		cmocka_unit_test(test_process_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
