/* The content store: only bytes of their hash get in, and only such come out;
 * what nothing names is swept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/lib/crypto.h"
#include "node/replica/store.h"
#include "tests/kit/certs.h"

static char root[CERTS_PATH_SIZE];
static struct store *store;

static int setup(void **state)
{
	struct fault fault;

	(void)state;
	certs_folder(root);
	return store_open(&store, NULL, root, &fault);
}

static int teardown(void **state)
{
	(void)state;
	store_close(store);
	certs_remove(root);
	return 0;
}

static void keep_text(const char *text, struct hash *hash)
{
	struct fault fault = { 0 };

	crypto_sha256(text, strlen(text), hash);
	if (store_put(store, hash, text, strlen(text), &fault))
		fail_msg("%s", fault.text);
}

static void path_of(const struct hash *hash, char path[512])
{
	char text[65];

	hash_text(hash, text);
	snprintf(path, 512, "%s/content/%.2s/%s", root, text, text);
}

static void what_is_put_is_read(void **state)
{
	struct hash hash;
	uint8_t *data;
	size_t size;

	(void)state;
	keep_text("{\"a\":1}", &hash);
	keep_text("{\"a\":1}", &hash); /* again: no error */
	assert_true(store_has(store, &hash));
	assert_int_equal(store_read(store, &hash, &data, &size), 0);
	assert_int_equal(size, 7);
	assert_memory_equal(data, "{\"a\":1}", 7);
	free(data);
	hash.bytes[5] ^= 1;
	assert_false(store_has(store, &hash));
	assert_int_equal(store_read(store, &hash, &data, &size),
			 BERTH_NOTFOUND);
}

static void other_bytes_are_refused(void **state)
{
	char *big = calloc(1, STORE_CONTENT_SIZE_MAX + 1);
	struct fault fault = { 0 };
	struct hash hash;

	(void)state;
	crypto_sha256("good", 4, &hash);
	assert_int_equal(store_put(store, &hash, "evil", 4, &fault),
			 BERTH_MISMATCH);
	assert_false(store_has(store, &hash));
	crypto_sha256(big, STORE_CONTENT_SIZE_MAX + 1, &hash);
	assert_int_equal(store_put(store, &hash, big,
				   STORE_CONTENT_SIZE_MAX + 1, &fault),
			 BERTH_TOOBIG);
	free(big);
}

static void a_corrupt_file_goes(void **state)
{
	struct hash hash;
	char path[512];
	uint8_t *data;
	size_t size;
	int fd;

	(void)state;
	keep_text("whole", &hash);
	path_of(&hash, path);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "W", 1, 0), 1);
	close(fd);
	assert_int_equal(store_read(store, &hash, &data, &size),
			 BERTH_CORRUPT);
	assert_false(store_has(store, &hash));
}

static bool keep_one(void *ctx, const struct hash *hash)
{
	return hash_equal(ctx, hash);
}

static void what_nothing_names_is_swept(void **state)
{
	struct hash wanted, other;
	char aside[512];
	int fd;

	(void)state;
	keep_text("wanted", &wanted);
	keep_text("other", &other);
	snprintf(aside, sizeof aside, "%s/content/aside-1-2", root);
	fd = open(aside, O_WRONLY | O_CREAT, 0600);
	close(fd);
	/* Young files stay: their program may be on its way. */
	assert_int_equal(store_sweep(store, 3600, keep_one, &wanted), 0);
	assert_int_equal(store_sweep(store, 0, keep_one, &wanted), 2);
	assert_true(store_has(store, &wanted));
	assert_false(store_has(store, &other));
	assert_int_not_equal(access(aside, F_OK), 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(what_is_put_is_read),
		CASE(other_bytes_are_refused),
		CASE(a_corrupt_file_goes),
		CASE(what_nothing_names_is_swept),
	};

	return cmocka_run_group_tests_name("replica_store", tests, NULL, NULL);
}
