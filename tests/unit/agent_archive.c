/* Archives of strangers: what is unpacked, and what is refused unharmed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/agent/agent.h"
#include "node/agent/archive.h"

static char folder[64], file[96], out[96];

static int set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/berth-archive-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(file, sizeof file, "%s/archive", folder);
	snprintf(out, sizeof out, "%s/out", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	agent_tree_remove(folder);
	return 0;
}

/* --- making archives ------------------------------------------------------- */

struct maker {
	struct archive *archive;
};

static struct maker make(bool zip)
{
	struct maker m = { archive_write_new() };

	if (zip)
		archive_write_set_format_zip(m.archive);
	else
		archive_write_set_format_pax_restricted(m.archive);
	assert_int_equal(archive_write_open_filename(m.archive, file), 0);
	return m;
}

static void entry(struct maker *m, const char *path, unsigned type,
		  const char *link, const char *hard, const void *data,
		  size_t size)
{
	struct archive_entry *e = archive_entry_new();

	archive_entry_set_pathname(e, path);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, 06755);
	archive_entry_set_size(e, (la_int64_t)size);
	if (link)
		archive_entry_set_symlink(e, link);
	if (hard)
		archive_entry_set_hardlink(e, hard);
	if (type == AE_IFCHR)
		archive_entry_set_rdev(e, 0x103);
	assert_true(archive_write_header(m->archive, e) >= ARCHIVE_WARN);
	if (size > 0)
		assert_int_equal(archive_write_data(m->archive, data, size),
				 size);
	archive_entry_free(e);
}

static void text(struct maker *m, const char *path, const char *data)
{
	entry(m, path, AE_IFREG, NULL, NULL, data, strlen(data));
}

static void done(struct maker *m)
{
	assert_int_equal(archive_write_close(m->archive), ARCHIVE_OK);
	archive_write_free(m->archive);
}

static int unpack(enum aleph_encoding encoding, struct fault *fault)
{
	*fault = (struct fault){ 0 };
	return archive_unpack(file, encoding, "main.py", out, fault);
}

static bool exists(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0;
}

static void assert_holds(const char *name, const char *expected)
{
	char path[256], *data;
	size_t size;
	struct fault fault;

	snprintf(path, sizeof path, "%s/%s", out, name);
	assert_int_equal(agent_file_read(path, 1 << 20, &data, &size, &fault),
			 0);
	assert_string_equal(data, expected);
	free(data);
}

/* Refused with this code and words; nothing is left behind, nothing outside
 * was touched. */
static void assert_refused(enum aleph_encoding encoding, int code,
			   const char *words)
{
	struct fault fault;
	char escaped[96];

	assert_int_equal(unpack(encoding, &fault), code);
	if (!strstr(fault.text, words))
		fail_msg("\"%s\" says nothing of \"%s\"", fault.text, words);
	assert_false(exists(out));
	snprintf(escaped, sizeof escaped, "%s/escaped", folder);
	assert_false(exists(escaped));
	snprintf(escaped, sizeof escaped, "rmdir %s/out.part-* 2>/dev/null",
		 folder);
	assert_int_not_equal(system(escaped), 0);
}

/* --- what is taken ------------------------------------------------------------ */

static void takes(bool zip)
{
	struct maker m = make(zip);
	struct fault fault;
	struct stat status;
	char path[256];

	text(&m, "main.py", "app = 1\n");
	text(&m, "./deep/er/file", "x");
	entry(&m, "empty", AE_IFDIR, NULL, NULL, NULL, 0);
	entry(&m, "deep/link", AE_IFLNK, "../main.py", NULL, NULL, 0);
	done(&m);
	assert_int_equal(unpack(ENCODING_ZIP, &fault), 0);
	assert_holds("main.py", "app = 1\n");
	assert_holds("deep/er/file", "x");
	assert_holds("deep/link", "app = 1\n");
	snprintf(path, sizeof path, "%s/main.py", out);
	assert_int_equal(stat(path, &status), 0);
	/* Readable by all, and no set-uid bit got through. */
	assert_int_equal(status.st_mode & 07777, 0755);
	snprintf(path, sizeof path, "%s/empty", out);
	assert_true(exists(path));
}

static void takes_zip(void **state)
{
	(void)state;
	takes(true);
}

static void takes_tar(void **state)
{
	(void)state;
	takes(false);
}

static void takes_plain(void **state)
{
	struct fault fault;

	(void)state;
	assert_int_equal(agent_file_write(file, "print(1)\n", 9, 0600, &fault),
			 0);
	assert_int_equal(unpack(ENCODING_PLAIN, &fault), 0);
	assert_holds("main.py", "print(1)\n");
}

static void takes_hardlinks_inside(void **state)
{
	struct maker m = make(false);
	struct fault fault;

	(void)state;
	text(&m, "a", "same");
	entry(&m, "b", AE_IFREG, NULL, "a", NULL, 0);
	done(&m);
	assert_int_equal(unpack(ENCODING_ZIP, &fault), 0);
	assert_holds("b", "same");
}

/* --- what is refused ------------------------------------------------------------ */

static void refuses_entry(const char *path, unsigned type, const char *link,
			  int code, const char *words)
{
	struct maker m = make(false);

	text(&m, "main.py", "x");
	entry(&m, path, type, link, NULL, "y", type == AE_IFREG ? 1 : 0);
	done(&m);
	assert_refused(ENCODING_ZIP, code, words);
}

static void refuses_paths(void **state)
{
	(void)state;
	refuses_entry("../escaped", AE_IFREG, NULL, BERTH_INVALID, "..");
	refuses_entry("a/../../escaped", AE_IFREG, NULL, BERTH_INVALID, "..");
	refuses_entry("/tmp/escaped", AE_IFREG, NULL, BERTH_INVALID,
		      "absolute");
	refuses_entry("a/..", AE_IFDIR, NULL, BERTH_INVALID, "..");
}

static void refuses_zip_paths(void **state)
{
	struct maker m = make(true);

	(void)state;
	text(&m, "../escaped", "x");
	done(&m);
	assert_refused(ENCODING_ZIP, BERTH_INVALID, "..");
}

static void refuses_long_and_deep_paths(void **state)
{
	char path[2100];

	(void)state;
	memset(path, 'a', 300);
	path[300] = '\0';
	refuses_entry(path, AE_IFREG, NULL, BERTH_TOOBIG, "too");
	for (size_t i = 0; i < 140; i += 2)
		memcpy(path + i, "d/", 2);
	strcpy(path + 140, "f");
	refuses_entry(path, AE_IFREG, NULL, BERTH_TOOBIG, "too deep");
}

static void refuses_links_outside(void **state)
{
	(void)state;
	refuses_entry("link", AE_IFLNK, "/etc/passwd", BERTH_INVALID,
		      "outside");
	refuses_entry("link", AE_IFLNK, "../escaped", BERTH_INVALID,
		      "outside");
	refuses_entry("a/b/link", AE_IFLNK, "../../../escaped", BERTH_INVALID,
		      "outside");
	refuses_entry("link", AE_IFLNK, "a/../../escaped", BERTH_INVALID,
		      "outside");
}

/* A link to a directory inside, then a file through it: even that is refused,
 * for a chain of such links may lead anywhere. */
static void refuses_writing_through_a_link(void **state)
{
	struct maker m = make(false);

	(void)state;
	entry(&m, "d", AE_IFDIR, NULL, NULL, NULL, 0);
	entry(&m, "link", AE_IFLNK, "d", NULL, NULL, 0);
	text(&m, "link/file", "x");
	done(&m);
	assert_refused(ENCODING_ZIP, BERTH_INVALID, "through a link");
}

static void refuses_hardlinks_outside(void **state)
{
	static const char *const targets[] = { "../escaped", "/etc/passwd",
					       "absent" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(targets); i++) {
		struct maker m = make(false);
		struct fault fault;

		text(&m, "main.py", "x");
		entry(&m, "b", AE_IFREG, NULL, targets[i], NULL, 0);
		done(&m);
		assert_int_equal(unpack(ENCODING_ZIP, &fault), BERTH_INVALID);
		assert_false(exists(out));
	}
}

static void refuses_devices(void **state)
{
	(void)state;
	refuses_entry("null", AE_IFCHR, NULL, BERTH_INVALID, "neither");
	refuses_entry("pipe", AE_IFIFO, NULL, BERTH_INVALID, "neither");
}

static void refuses_too_many_entries(void **state)
{
	struct maker m = make(false);

	(void)state;
	/* Entries count, not names: the same again costs time as well. */
	for (uint32_t i = 0; i <= ARCHIVE_ENTRIES_MAX; i++)
		entry(&m, i % 2 ? "a" : "b", AE_IFDIR, NULL, NULL, NULL, 0);
	done(&m);
	assert_refused(ENCODING_ZIP, BERTH_TOOBIG, "entries");
}

/* 64 MiB of zeros in some 64 KiB: a thousand to one. */
static void refuses_a_bomb(void **state)
{
	size_t size = 64u << 20;
	char *zeros = calloc(1, size);
	struct maker m = make(true);

	(void)state;
	entry(&m, "zeros", AE_IFREG, NULL, NULL, zeros, size);
	done(&m);
	free(zeros);
	assert_refused(ENCODING_ZIP, BERTH_TOOBIG, "unpacked");
}

/* Each layer multiplies: the limits of what is unpacked come too late. */
static void refuses_layers(void **state)
{
	char command[400];
	struct maker m = make(false);
	struct fault fault;

	(void)state;
	text(&m, "main.py", "x");
	done(&m);
	snprintf(command, sizeof command, "gzip -nf %s && mv %s.gz %s", file,
		 file, file);
	assert_int_equal(system(command), 0);
	assert_int_equal(unpack(ENCODING_ZIP, &fault), 0);
	agent_tree_remove(out);
	assert_int_equal(system(command), 0);
	assert_refused(ENCODING_ZIP, BERTH_INVALID, "more than once");
}

static void refuses_truncated(void **state)
{
	char noise[40000];
	struct maker m = make(true);
	struct stat status;

	(void)state;
	for (size_t i = 0; i < sizeof noise; i++)
		noise[i] = (char)(i * 2654435761u >> 13);
	entry(&m, "noise", AE_IFREG, NULL, NULL, noise, sizeof noise);
	done(&m);
	assert_int_equal(stat(file, &status), 0);
	for (off_t size = status.st_size - 1; size > 0; size = size / 3) {
		struct fault fault;

		assert_int_equal(truncate(file, size), 0);
		assert_int_not_equal(unpack(ENCODING_ZIP, &fault), 0);
		assert_int_not_equal(fault.text[0], 0);
		assert_false(exists(out));
	}
}

static void refuses_garbage(void **state)
{
	struct fault fault;

	(void)state;
	assert_int_equal(agent_file_write(file, "no archive at all, no", 21,
					  0600, &fault), 0);
	assert_int_not_equal(unpack(ENCODING_ZIP, &fault), 0);
	assert_false(exists(out));
	assert_int_equal(unpack(ENCODING_SQUASHFS, &fault), BERTH_INVALID);
	assert_int_equal(agent_file_write(file, "hsqs, but nothing more", 22,
					  0600, &fault), 0);
	assert_int_equal(unpack(ENCODING_SQUASHFS, &fault), BERTH_MALFORMED);
	assert_false(exists(out));
}

/* --- squashfs --------------------------------------------------------------------- */

static void squash(const char *commands)
{
	char line[1024];

	if (access("/usr/bin/mksquashfs", X_OK) != 0 ||
	    access("/usr/bin/bwrap", X_OK) != 0) {
		print_message("skipped: no squashfs-tools or bubblewrap\n");
		skip();
	}
	snprintf(line, sizeof line,
		 "set -e; cd %s; rm -rf src archive; mkdir src; cd src; %s; cd ..; "
		 "mksquashfs src archive -quiet -no-progress -no-xattrs >/dev/null",
		 folder, commands);
	assert_int_equal(system(line), 0);
}

static void takes_squashfs(void **state)
{
	struct fault fault;
	struct stat status;
	char path[128];

	(void)state;
	squash("mkdir d; echo -n hello >d/f; chmod 0600 d/f; chmod 0700 d; "
	       "ln -s d/f link");
	if (unpack(ENCODING_SQUASHFS, &fault) != 0)
		fail_msg("%s", fault.text);
	assert_holds("link", "hello");
	snprintf(path, sizeof path, "%s/d/f", out);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0644);
}

static void refuses_squashfs_links(void **state)
{
	(void)state;
	squash("ln -s /etc/passwd link");
	assert_refused(ENCODING_SQUASHFS, BERTH_INVALID, "outside");
}

static void refuses_squashfs_devices(void **state)
{
	(void)state;
	squash("mkfifo pipe");
	assert_refused(ENCODING_SQUASHFS, BERTH_INVALID, "pipe");
}

static void refuses_squashfs_bomb(void **state)
{
	(void)state;
	squash("truncate -s 64M zeros");
	assert_refused(ENCODING_SQUASHFS, BERTH_TOOBIG, "unpacked");
}

static void refuses_squashfs_truncated(void **state)
{
	struct fault fault;
	struct stat status;

	(void)state;
	squash("head -c 300000 /dev/urandom >noise");
	assert_int_equal(stat(file, &status), 0);
	assert_int_equal(truncate(file, status.st_size / 2), 0);
	assert_int_not_equal(unpack(ENCODING_SQUASHFS, &fault), 0);
	assert_false(exists(out));
}

/* --- the lexical rule by itself --------------------------------------------------- */

static void knows_links_inside(void **state)
{
	static const struct {
		const char *path, *target;
		bool inside;
	} rows[] = {
		{ "a", "b", true }, { "a/b", "../c", true },
		{ "a/b", "../../c", false }, { "a", "..", false },
		{ "a/b", "..", true }, { "a", "", false }, { "a", "/b", false },
		{ "./a/b", "../c", true }, { "a//b", "../../c", false },
		{ "a", "./b/../c", true }, { "a", "b/../../c", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(archive_link_inside(rows[i].path,
						     rows[i].target),
				 rows[i].inside);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(takes_zip),
		TEST(takes_tar),
		TEST(takes_plain),
		TEST(takes_hardlinks_inside),
		TEST(refuses_paths),
		TEST(refuses_zip_paths),
		TEST(refuses_long_and_deep_paths),
		TEST(refuses_links_outside),
		TEST(refuses_writing_through_a_link),
		TEST(refuses_hardlinks_outside),
		TEST(refuses_devices),
		TEST(refuses_too_many_entries),
		TEST(refuses_a_bomb),
		TEST(refuses_layers),
		TEST(refuses_truncated),
		TEST(refuses_garbage),
		TEST(takes_squashfs),
		TEST(refuses_squashfs_links),
		TEST(refuses_squashfs_devices),
		TEST(refuses_squashfs_bomb),
		TEST(refuses_squashfs_truncated),
		cmocka_unit_test(knows_links_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
