/* Ethereum: addresses (EIP-55), personal_sign (EIP-191), keys. Signatures are
 * deterministic (RFC 6979) and low-s, as libsecp256k1 makes them. */
#include "node/lib/crypto.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include <secp256k1.h>
#include <secp256k1_recovery.h>

#define SIGNATURE_SIZE 65

/* Made once, used by many threads: signing and verifying only read it. */
static const secp256k1_context *context(void)
{
	static secp256k1_context *made;
	secp256k1_context *mine, *none = NULL;

	mine = __atomic_load_n(&made, __ATOMIC_ACQUIRE);
	if (mine)
		return mine;
	mine = secp256k1_context_create(SECP256K1_CONTEXT_SIGN |
					SECP256K1_CONTEXT_VERIFY);
	REQUIRE(mine != NULL);
	if (__atomic_compare_exchange_n(&made, &none, mine, false,
					__ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return mine;
	secp256k1_context_destroy(mine);
	return none;
}

static void address_text(const uint8_t address[20],
			 char text[ETH_ADDRESS_TEXT_SIZE])
{
	uint8_t digest[32];
	unsigned nibble;

	memcpy(text, "0x", 2);
	hex_encode(address, 20, text + 2);
	crypto_keccak256(text + 2, 40, digest);
	for (unsigned i = 0; i < 40; i++) {
		nibble = (unsigned)digest[i / 2] >> (i % 2 ? 0 : 4) & 15u;
		if (nibble >= 8)
			text[2 + i] = (char)toupper((unsigned char)text[2 + i]);
	}
}

static void address_of(const secp256k1_pubkey *key,
		       char text[ETH_ADDRESS_TEXT_SIZE])
{
	uint8_t point[65], digest[32];
	size_t size = sizeof point;

	secp256k1_ec_pubkey_serialize(context(), point, &size, key,
				      SECP256K1_EC_UNCOMPRESSED);
	ENSURE(size == sizeof point);
	crypto_keccak256(point + 1, 64, digest);
	address_text(digest + 12, text);
}

/* Errors: NOMEM. */
static int personal_digest(const void *text, size_t size, uint8_t digest[32])
{
	char head[64], *whole;
	int length;

	length = snprintf(head, sizeof head,
			  "\x19" "Ethereum Signed Message:\n%zu", size);
	whole = malloc((size_t)length + size + 1);
	if (!whole)
		return BERTH_NOMEM;
	memcpy(whole, head, (size_t)length);
	if (size > 0)
		memcpy(whole + length, text, size);
	crypto_keccak256(whole, (size_t)length + size, digest);
	free(whole);
	return BERTH_OK;
}

int eth_key_from_secret(const uint8_t secret[32], struct eth_key *out)
{
	secp256k1_pubkey key;

	/* Refuses zero and what is not below the group's order. */
	if (!secp256k1_ec_pubkey_create(context(), &key, secret))
		return BERTH_INVALID;
	memcpy(out->secret, secret, sizeof out->secret);
	address_of(&key, out->address);
	return BERTH_OK;
}

int eth_key_make(struct eth_key *out)
{
	uint8_t secret[32];
	int rc;

	do {
		crypto_random(secret, sizeof secret);
		rc = eth_key_from_secret(secret, out);
	} while (rc == BERTH_INVALID);
	explicit_bzero(secret, sizeof secret);
	return rc;
}

int eth_sign(const struct eth_key *key, const void *text, size_t size,
	     char signature[ETH_SIGNATURE_TEXT_SIZE])
{
	secp256k1_ecdsa_recoverable_signature made;
	uint8_t digest[32], bytes[SIGNATURE_SIZE];
	int rc, id = 0;

	rc = personal_digest(text, size, digest);
	if (rc != BERTH_OK)
		return rc;
	if (!secp256k1_ecdsa_sign_recoverable(context(), &made, digest,
					      key->secret, NULL, NULL))
		return BERTH_INVALID;
	secp256k1_ecdsa_recoverable_signature_serialize_compact(
		context(), bytes, &id, &made);
	bytes[64] = (uint8_t)(27 + id);
	memcpy(signature, "0x", 2);
	hex_encode(bytes, sizeof bytes, signature + 2);
	return BERTH_OK;
}

/* With or without "0x"; v in {0, 1, 27, 28}. */
static int signature_parse(const char *text, uint8_t bytes[SIGNATURE_SIZE])
{
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		text += 2;
	if (hex_decode(text, strnlen(text, 2 * SIGNATURE_SIZE + 1), bytes,
		       SIGNATURE_SIZE) != BERTH_OK)
		return BERTH_MALFORMED;
	if (bytes[64] >= 27)
		bytes[64] = (uint8_t)(bytes[64] - 27);
	return bytes[64] <= 1 ? BERTH_OK : BERTH_MALFORMED;
}

int eth_recover(const void *text, size_t size, const char *signature,
		char address[ETH_ADDRESS_TEXT_SIZE])
{
	secp256k1_ecdsa_recoverable_signature parsed;
	uint8_t digest[32], bytes[SIGNATURE_SIZE];
	secp256k1_pubkey key;
	int rc;

	rc = signature_parse(signature, bytes);
	if (rc != BERTH_OK)
		return rc;
	rc = personal_digest(text, size, digest);
	if (rc != BERTH_OK)
		return rc;
	if (!secp256k1_ecdsa_recoverable_signature_parse_compact(
		    context(), &parsed, bytes, bytes[64]) ||
	    !secp256k1_ecdsa_recover(context(), &key, &parsed, digest))
		return BERTH_INVALID;
	address_of(&key, address);
	return BERTH_OK;
}
