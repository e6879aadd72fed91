#include "node/lib/crypto.h"

#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/rand.h>

void crypto_random(void *data, size_t size)
{
	/* No entropy is no reason to go on with guessable secrets. */
	REQUIRE(size <= INT32_MAX);
	REQUIRE(RAND_bytes(data, (int)size) == 1);
}

void crypto_sha256(const void *data, size_t size, struct hash *out)
{
	unsigned written = 0;

	REQUIRE(EVP_Digest(data, size, out->bytes, &written, EVP_sha256(),
			   NULL) == 1);
	ENSURE(written == sizeof out->bytes);
}

struct sha256 {
	EVP_MD_CTX *context;
};

struct sha256 *sha256_open(void)
{
	struct sha256 *sha = malloc(sizeof *sha);

	if (!sha)
		return NULL;
	sha->context = EVP_MD_CTX_new();
	if (sha->context &&
	    EVP_DigestInit_ex(sha->context, EVP_sha256(), NULL) == 1)
		return sha;
	EVP_MD_CTX_free(sha->context);
	free(sha);
	return NULL;
}

void sha256_add(struct sha256 *sha, const void *data, size_t size)
{
	REQUIRE(EVP_DigestUpdate(sha->context, data, size) == 1);
}

void sha256_close(struct sha256 *sha, struct hash *out)
{
	unsigned written = 0;

	if (out) {
		REQUIRE(EVP_DigestFinal_ex(sha->context, out->bytes,
					   &written) == 1);
		ENSURE(written == sizeof out->bytes);
	}
	EVP_MD_CTX_free(sha->context);
	free(sha);
}

void hex_encode(const void *data, size_t size, char *text)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * size] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int hex_decode(const char *text, size_t text_size, void *data, size_t size)
{
	uint8_t *bytes = data;

	if (text_size != 2 * size)
		return BERTH_MALFORMED;
	for (size_t i = 0; i < text_size; i++)
		if (hex_digit(text[i]) < 0)
			return BERTH_MALFORMED;
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(hex_digit(text[2 * i]) << 4 |
				     hex_digit(text[2 * i + 1]));
	return BERTH_OK;
}

int hash_parse(const char *text, struct hash *out)
{
	return hex_decode(text, strnlen(text, 65), out->bytes,
			  sizeof out->bytes);
}

void hash_text(const struct hash *hash, char text[65])
{
	hex_encode(hash->bytes, sizeof hash->bytes, text);
}
