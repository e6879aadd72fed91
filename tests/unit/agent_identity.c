/* What is on disk when it matters, and who a machine is (lease.md 2.6, "What
 * boot is", "Machine and run table"). The kernel's answers are ours where they
 * have to differ: its boot id, the pid namespace, a disk that fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "node/agent/machine.h"
#include "node/agent/run_table.h"

static struct {
	uint32_t syncs, data_syncs;
	bool disk_fails, short_write;
	const char *boot_id; /* a file instead of the kernel's */
	ino_t pid_namespace; /* 0: the true one */
} kernel;

int fdatasync(int fd)
{
	(void)fd;
	kernel.data_syncs++;
	errno = EIO;
	return kernel.disk_fails ? -1 : 0;
}

int fsync(int fd)
{
	(void)fd;
	kernel.syncs++;
	return 0;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
	if (kernel.short_write)
		size /= 2;
	return (ssize_t)syscall(SYS_pwrite64, fd, data, size, at);
}

int openat(int folder, const char *path, int flags, ...)
{
	va_list list;
	int mode;

	va_start(list, flags);
	mode = flags & O_CREAT ? va_arg(list, int) : 0;
	va_end(list);
	if (kernel.boot_id && strstr(path, "boot_id"))
		path = kernel.boot_id;
	return (int)syscall(SYS_openat, folder, path, flags, mode);
}

int stat(const char *path, struct stat *out)
{
	int rv = fstatat(AT_FDCWD, path, out, 0);

	if (kernel.pid_namespace && strstr(path, "ns/pid"))
		out->st_ino = kernel.pid_namespace;
	return rv;
}

static char folder[32], other[64], boot_id[64];

static int setup(void **state)
{
	FILE *file;

	(void)state;
	memset(&kernel, 0, sizeof kernel);
	strcpy(folder, "/tmp/berth-identity-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(other, sizeof other, "%s-b", folder);
	snprintf(boot_id, sizeof boot_id, "%s.boot", folder);
	file = fopen(boot_id, "we");
	fputs("00112233-4455-6677-8899-aabbccddeeff\n", file);
	fclose(file);
	return 0;
}

static int teardown(void **state)
{
	char command[200];

	(void)state;
	snprintf(command, sizeof command, "rm -rf %s %s %s", folder, other,
		 boot_id);
	return system(command);
}

static struct machine who(const char *directory)
{
	struct run_table table;
	struct machine machine;
	struct fault fault;

	assert_int_equal(machine_open(&machine, directory, &fault), 0);
	assert_int_equal(run_table_open(&table, machine.directory, &fault), 0);
	run_table_close(&table);
	machine_close(&machine);
	return machine;
}

static void test_a_restart_changes_nothing(void **state)
{
	struct machine first = who(folder), second = who(folder);

	(void)state;
	assert_true(hash_equal(&first.host, &second.host));
	assert_true(hash_equal(&first.boot, &second.boot));
}

static void test_a_reboot_is_another_boot_of_the_host(void **state)
{
	struct machine first = who(folder), second;

	(void)state;
	kernel.boot_id = boot_id;
	second = who(folder);
	assert_true(hash_equal(&first.host, &second.host));
	assert_false(hash_equal(&first.boot, &second.boot));
	assert_memory_equal(second.kernel_boot, "\x00\x11\x22\x33", 4);
}

/* Two containers of one host share a boot id. */
static void test_a_container_is_another_boot(void **state)
{
	struct machine first = who(folder), second;

	(void)state;
	kernel.pid_namespace = 4711;
	second = who(folder);
	assert_true(hash_equal(&first.host, &second.host));
	assert_false(hash_equal(&first.boot, &second.boot));
	assert_int_equal(second.pid_namespace, 4711);
}

/* A copied directory is another boot: its first run may still be there. */
static void test_a_copied_directory_is_another_boot(void **state)
{
	struct machine first = who(folder), second;
	char command[200];

	(void)state;
	snprintf(command, sizeof command, "cp -a %s %s", folder, other);
	assert_int_equal(system(command), 0);
	second = who(other);
	assert_true(hash_equal(&first.host, &second.host));
	assert_false(hash_equal(&first.boot, &second.boot));
}

static void test_a_new_id_is_durable(void **state)
{
	(void)state;
	(void)who(folder);
	assert_true(kernel.syncs >= 4); /* id and table, and their folder */
}

/* R11: "a row is made durable before clone3". */
static void test_a_durable_row_is(void **state)
{
	struct run_row row = { .epoch = 5 };
	struct machine machine;
	struct run_table table;
	struct fault fault;

	(void)state;
	assert_int_equal(machine_open(&machine, folder, &fault), 0);
	assert_int_equal(run_table_open(&table, machine.directory, &fault), 0);
	assert_int_equal(run_table_write(&table, 0, &row, false), 0);
	assert_int_equal(kernel.data_syncs, 0);
	assert_int_equal(run_table_write(&table, 0, &row, true), 0);
	assert_int_equal(kernel.data_syncs, 1);
	kernel.disk_fails = true;
	assert_int_equal(run_table_write(&table, 0, &row, true), BERTH_IO);
	kernel.disk_fails = false;
	kernel.short_write = true;
	assert_int_equal(run_table_write(&table, 0, &row, true), BERTH_IO);
	run_table_close(&table);
	machine_close(&machine);
}

int main(void)
{
#define STORY(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		STORY(test_a_restart_changes_nothing),
		STORY(test_a_reboot_is_another_boot_of_the_host),
		STORY(test_a_container_is_another_boot),
		STORY(test_a_copied_directory_is_another_boot),
		STORY(test_a_new_id_is_durable),
		STORY(test_a_durable_row_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
