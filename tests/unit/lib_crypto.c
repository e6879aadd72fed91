/* Hashes against OpenSSL and nettle, Ethereum against published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <nettle/sha3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/lib/crypto.h"

static const char secret_hex[] =
	"4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318";

static struct eth_key known_key(void)
{
	uint8_t secret[32];
	struct eth_key key;

	assert_int_equal(hex_decode(secret_hex, 64, secret, 32), 0);
	assert_int_equal(eth_key_from_secret(secret, &key), 0);
	return key;
}

/* Keccak from nettle's permutation: an independent sponge around it. */
static void keccak_by_nettle(const uint8_t *data, size_t size, uint8_t out[32])
{
	struct sha3_state state = { 0 };
	size_t at = 0;

	for (size_t i = 0; i < size; i++) {
		state.a[at / 8] ^= (uint64_t)data[i] << 8 * (at % 8);
		if (++at == SHA3_256_BLOCK_SIZE) {
			sha3_permute(&state);
			at = 0;
		}
	}
	state.a[at / 8] ^= (uint64_t)1 << 8 * (at % 8);
	state.a[16] ^= (uint64_t)0x80 << 56;
	sha3_permute(&state);
	for (size_t i = 0; i < 32; i++)
		out[i] = (uint8_t)(state.a[i / 8] >> 8 * (i % 8));
}

static void keccak_agrees_with_nettle(void **unused)
{
	uint8_t data[700], ours[32], theirs[32];

	(void)unused;
	crypto_random(data, sizeof data);
	for (size_t size = 0; size <= sizeof data; size++) {
		crypto_keccak256(data, size, ours);
		keccak_by_nettle(data, size, theirs);
		assert_memory_equal(ours, theirs, 32);
	}
}

static void keccak_of_nothing(void **unused)
{
	uint8_t digest[32];
	char text[65];

	(void)unused;
	crypto_keccak256("", 0, digest);
	hex_encode(digest, 32, text);
	assert_string_equal(text, "c5d2460186f7233c927e7db2dcc703c0"
				  "e500b653ca82273b7bfad8045d85a470");
}

static void sha256_whole_and_in_pieces(void **unused)
{
	struct hash whole, pieces;
	struct sha256 *sha;
	char text[65];

	(void)unused;
	crypto_sha256("abc", 3, &whole);
	hash_text(&whole, text);
	assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223"
				  "b00361a396177a9cb410ff61f20015ad");
	sha = sha256_open();
	assert_non_null(sha);
	sha256_add(sha, "a", 1);
	sha256_add(sha, "bc", 2);
	sha256_close(sha, &pieces);
	assert_true(hash_equal(&whole, &pieces));
	sha = sha256_open();
	sha256_close(sha, NULL);
}

static void hex_refuses(void **unused)
{
	uint8_t out[2] = { 7, 7 };
	struct hash hash;

	(void)unused;
	assert_int_equal(hex_decode("0aF", 3, out, 2), BERTH_MALFORMED);
	assert_int_equal(hex_decode("0aFg", 4, out, 2), BERTH_MALFORMED);
	assert_int_equal(out[0], 7);
	assert_int_equal(hex_decode("0aFf", 4, out, 2), 0);
	assert_int_equal(out[1], 255);
	assert_int_equal(hash_parse("12", &hash), BERTH_MALFORMED);
	assert_int_equal(hash_parse(secret_hex, &hash), 0);
}

static void address_is_checksummed(void **unused)
{
	(void)unused;
	struct eth_key key = known_key();

	assert_string_equal(key.address,
			    "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23");
}

static void personal_sign_vectors(void **unused)
{
	static const char payload[] =
		"{\"body_sha256\":\"74f3c71a4fa6e3ab64167945887bcaaf577b6554af"
		"a41913aacf18d525b733ea\",\"iat\":1790000000,\"method\":\"POST"
		"\",\"path\":\"/control/allocations\"}";
	struct eth_key key = known_key();
	char signature[ETH_SIGNATURE_TEXT_SIZE];

	(void)unused;
	assert_int_equal(eth_sign(&key, "Some data", 9, signature), 0);
	assert_string_equal(
		signature,
		"0xb91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f33"
		"9f5fd6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300"
		"f8e1a0291c");
	assert_int_equal(eth_sign(&key, payload, strlen(payload), signature),
			 0);
	assert_string_equal(
		signature,
		"0x9a9b9dfb56c75d0471a0c7775ba842b1b07179014f65e5249da5e80b5ed"
		"1d4ca43b95f8f3d3788a4581509a89b333cb044e9e76d1b6f4a6b6a10b223"
		"55ca115e1b");
}

static void recover_tells_the_signer(void **unused)
{
	struct eth_key key = known_key();
	char signature[ETH_SIGNATURE_TEXT_SIZE];
	char address[ETH_ADDRESS_TEXT_SIZE];
	char *v = signature + 130;

	(void)unused;
	assert_int_equal(eth_sign(&key, "Some data", 9, signature), 0);
	assert_int_equal(eth_recover("Some data", 9, signature, address), 0);
	assert_string_equal(address, key.address);
	assert_int_equal(eth_recover("Some data", 9, signature + 2, address),
			 0);
	assert_string_equal(address, key.address);
	assert_string_equal(v, "1c");
	strcpy(v, "01"); /* v of 1 is v of 28 */
	assert_int_equal(eth_recover("Some data", 9, signature, address), 0);
	assert_string_equal(address, key.address);
	strcpy(v, "00"); /* the other point: somebody else, or nobody */
	if (eth_recover("Some data", 9, signature, address) == 0)
		assert_string_not_equal(address, key.address);
}

static void recover_refuses(void **unused)
{
	struct eth_key key = known_key();
	char signature[ETH_SIGNATURE_TEXT_SIZE];
	char address[ETH_ADDRESS_TEXT_SIZE] = "untouched";

	(void)unused;
	assert_int_equal(eth_recover("x", 1, "", address), BERTH_MALFORMED);
	assert_int_equal(eth_recover("x", 1, "0x1234", address),
			 BERTH_MALFORMED);
	assert_int_equal(eth_sign(&key, "x", 1, signature), 0);
	strcpy(signature + 130, "1d");
	assert_int_equal(eth_recover("x", 1, signature, address),
			 BERTH_MALFORMED);
	memset(signature + 2, '0', 128); /* r = s = 0 */
	strcpy(signature + 130, "1b");
	assert_int_equal(eth_recover("x", 1, signature, address),
			 BERTH_INVALID);
	memset(signature + 2, 'f', 128); /* above the order */
	assert_int_equal(eth_recover("x", 1, signature, address),
			 BERTH_INVALID);
	assert_string_equal(address, "untouched");
}

static void secrets_out_of_range(void **unused)
{
	uint8_t secret[32] = { 0 };
	struct eth_key key;

	(void)unused;
	assert_int_equal(eth_key_from_secret(secret, &key), BERTH_INVALID);
	memset(secret, 0xff, sizeof secret);
	assert_int_equal(eth_key_from_secret(secret, &key), BERTH_INVALID);
}

static char directory[] = "/tmp/berth-crypto-XXXXXX";

static void write_file(const char *path, const void *data, size_t size,
		       mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, size), (ssize_t)size);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void key_file_is_made_private(void **unused)
{
	struct eth_key made, read_again;
	struct fault fault;
	struct stat st;
	char path[128];

	(void)unused;
	snprintf(path, sizeof path, "%s/new.key", directory);
	assert_int_equal(eth_key_load(path, false, &made, &fault),
			 BERTH_NOTFOUND);
	assert_non_null(strstr(fault.text, path));
	assert_int_equal(eth_key_load(path, true, &made, &fault), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, 32);
	assert_int_equal(eth_key_load(path, true, &read_again, &fault), 0);
	assert_string_equal(made.address, read_again.address);
}

static void key_file_in_hex(void **unused)
{
	char path[128], text[80];
	struct fault fault;
	struct eth_key key;

	(void)unused;
	snprintf(path, sizeof path, "%s/hex.key", directory);
	snprintf(text, sizeof text, "0x%s\n", secret_hex);
	write_file(path, text, strlen(text), 0600);
	assert_int_equal(eth_key_load(path, false, &key, &fault), 0);
	assert_string_equal(key.address, known_key().address);
	write_file(path, secret_hex, 64, 0400);
	assert_int_equal(eth_key_load(path, false, &key, &fault), 0);
}

static void key_file_refused(void **unused)
{
	char path[128], big[200] = { 0 };
	struct fault fault;
	struct eth_key key;

	(void)unused;
	snprintf(path, sizeof path, "%s/bad.key", directory);
	write_file(path, secret_hex, 64, 0640);
	assert_int_equal(eth_key_load(path, false, &key, &fault),
			 BERTH_DENIED);
	assert_non_null(strstr(fault.text, "chmod 600"));
	write_file(path, secret_hex, 63, 0600);
	assert_int_equal(eth_key_load(path, false, &key, &fault),
			 BERTH_MALFORMED);
	write_file(path, big, sizeof big, 0600);
	assert_int_equal(eth_key_load(path, false, &key, &fault),
			 BERTH_TOOBIG);
	write_file(path, big, 32, 0600);
	assert_int_equal(eth_key_load(path, false, &key, &fault),
			 BERTH_INVALID);
	assert_int_equal(eth_key_load(directory, true, &key, &fault),
			 BERTH_INVALID);
}

static int setup(void **unused)
{
	(void)unused;
	return mkdtemp(directory) ? 0 : -1;
}

static int teardown(void **unused)
{
	static const char *const names[] = { "new", "hex", "bad" };
	char path[128];

	(void)unused;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(path, sizeof path, "%s/%s.key", directory, names[i]);
		unlink(path);
	}
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keccak_agrees_with_nettle),
		cmocka_unit_test(keccak_of_nothing),
		cmocka_unit_test(sha256_whole_and_in_pieces),
		cmocka_unit_test(hex_refuses),
		cmocka_unit_test(address_is_checksummed),
		cmocka_unit_test(personal_sign_vectors),
		cmocka_unit_test(recover_tells_the_signer),
		cmocka_unit_test(recover_refuses),
		cmocka_unit_test(secrets_out_of_range),
		cmocka_unit_test(key_file_is_made_private),
		cmocka_unit_test(key_file_in_hex),
		cmocka_unit_test(key_file_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
