/* Hashes, hex and Ethereum signatures. SHA-256 and random bytes are OpenSSL's,
 * secp256k1 is libsecp256k1's, Keccak-256 (legacy padding) is ours. */
#ifndef NODE_LIB_CRYPTO_H
#define NODE_LIB_CRYPTO_H

#include "raft/fault.h"

#define ETH_ADDRESS_TEXT_SIZE 43   /* "0x" + 40 hex + NUL, checksummed */
#define ETH_SIGNATURE_TEXT_SIZE 133 /* "0x" + 130 hex + NUL */

void crypto_random(void *data, size_t size);
void crypto_sha256(const void *data, size_t size, struct hash *out);
struct sha256; /* incremental */
struct sha256 *sha256_open(void);
void sha256_add(struct sha256 *sha, const void *data, size_t size);
void sha256_close(struct sha256 *sha, struct hash *out); /* out may be NULL */
void crypto_keccak256(const void *data, size_t size, uint8_t out[32]);

void hex_encode(const void *data, size_t size, char *text); /* 2*size + NUL */
/* Exactly 2*size hex digits; errors: MALFORMED. */
MUST_CHECK int hex_decode(const char *text, size_t text_size, void *data,
			  size_t size);
/* 64 hex digits to a hash; errors: MALFORMED. */
MUST_CHECK int hash_parse(const char *text, struct hash *out);
void hash_text(const struct hash *hash, char text[65]);

struct eth_key {
	uint8_t secret[32];
	char address[ETH_ADDRESS_TEXT_SIZE];
};
MUST_CHECK int eth_key_make(struct eth_key *out);
MUST_CHECK int eth_key_from_secret(const uint8_t secret[32],
				   struct eth_key *out);
/* A file with the secret in hex or raw (as the aleph client keeps it), mode
 * 0600; created if asked and not there. */
MUST_CHECK int eth_key_load(const char *path, bool create, struct eth_key *out,
			    struct fault *fault);
/* EIP-191 personal_sign of `text`: r || s || v, v in {27, 28}. */
MUST_CHECK int eth_sign(const struct eth_key *key, const void *text,
			size_t size, char signature[ETH_SIGNATURE_TEXT_SIZE]);
/* Who signed; errors: MALFORMED, INVALID. Address is checksummed. */
MUST_CHECK int eth_recover(const void *text, size_t size,
			   const char *signature,
			   char address[ETH_ADDRESS_TEXT_SIZE]);

#endif
