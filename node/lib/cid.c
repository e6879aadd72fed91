#include "node/lib/cid.h"

#include <stdlib.h>

#include "node/lib/crypto.h"

#define LEAF_SIZE (256u << 10)
#define LINKS_MAX 174u
#define MULTIHASH_SIZE 34u /* 0x12 0x20, sha256 */

struct node {
	uint8_t multihash[MULTIHASH_SIZE];
	uint64_t tree_size;    /* bytes of this block and all below */
	uint64_t file_size;    /* bytes of the file below */
};

static size_t put_varint(uint8_t *out, uint64_t value)
{
	size_t n = 0;

	for (; value >= 0x80; value >>= 7)
		out[n++] = (uint8_t)(value | 0x80);
	out[n++] = (uint8_t)value;
	return n;
}

static size_t put_field(uint8_t *out, uint8_t tag, uint64_t value)
{
	out[0] = tag;
	return 1 + put_varint(out + 1, value);
}

static void node_close(struct node *node, struct sha256 *sha)
{
	struct hash hash;

	sha256_close(sha, &hash);
	node->multihash[0] = 0x12;
	node->multihash[1] = 0x20;
	memcpy(node->multihash + 2, hash.bytes, 32);
}

/* PBNode{Data: UnixFS{Type: File, Data, filesize}} */
static void make_leaf(struct node *node, const uint8_t *data, size_t size)
{
	uint8_t head[32], inner[32], tail[16];
	size_t head_size, inner_size = 0, tail_size;
	struct sha256 *sha = sha256_open();

	REQUIRE(sha != NULL);
	inner_size += put_field(inner, 0x08, 2);
	if (size > 0)
		inner_size += put_field(inner + inner_size, 0x12, size);
	tail_size = put_field(tail, 0x18, size);
	head_size = put_field(head, 0x0a, inner_size + size + tail_size);
	sha256_add(sha, head, head_size);
	sha256_add(sha, inner, inner_size);
	sha256_add(sha, data, size);
	sha256_add(sha, tail, tail_size);
	node_close(node, sha);
	node->tree_size = head_size + inner_size + size + tail_size;
	node->file_size = size;
}

/* One link: PBLink{Hash, Name: "", Tsize}. */
static size_t put_link(uint8_t *out, const struct node *child)
{
	uint8_t link[64];
	size_t n, size = 0;

	size += put_field(link, 0x0a, sizeof child->multihash);
	memcpy(link + size, child->multihash, sizeof child->multihash);
	size += sizeof child->multihash;
	size += put_field(link + size, 0x12, 0);
	size += put_field(link + size, 0x18, child->tree_size);
	n = put_field(out, 0x12, size);
	memcpy(out + n, link, size);
	return n + size;
}

/* PBNode{Links, Data: UnixFS{Type: File, filesize, blocksizes}} */
static void make_parent(struct node *node, const struct node *children,
			size_t count)
{
	uint8_t block[LINKS_MAX * 96 + 64], inner[LINKS_MAX * 12 + 32];
	size_t size = 0, inner_size;
	struct sha256 *sha = sha256_open();
	struct node parent = { .tree_size = 0 };

	REQUIRE(sha != NULL && count <= LINKS_MAX);
	for (size_t i = 0; i < count; i++) {
		size += put_link(block + size, &children[i]);
		parent.file_size += children[i].file_size;
		parent.tree_size += children[i].tree_size;
	}
	inner_size = put_field(inner, 0x08, 2);
	inner_size += put_field(inner + inner_size, 0x18, parent.file_size);
	for (size_t i = 0; i < count; i++)
		inner_size += put_field(inner + inner_size, 0x20,
					children[i].file_size);
	size += put_field(block + size, 0x0a, inner_size);
	sha256_add(sha, block, size);
	sha256_add(sha, inner, inner_size);
	parent.tree_size += size + inner_size;
	node_close(&parent, sha);
	*node = parent;
}

static const char digits[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
			     "abcdefghijkmnopqrstuvwxyz";

void cid_of_file(const void *data, size_t size, struct hash *digest)
{
	size_t count = size == 0 ? 1 : (size + LEAF_SIZE - 1) / LEAF_SIZE, n;
	struct node *nodes = calloc(count, sizeof *nodes);
	const uint8_t *bytes = data;

	REQUIRE(nodes != NULL);
	for (size_t i = 0; i < count; i++, bytes += LEAF_SIZE) {
		n = size - i * LEAF_SIZE;
		make_leaf(&nodes[i], bytes, n < LEAF_SIZE ? n : LEAF_SIZE);
	}
	while (count > 1) {
		n = 0;
		for (size_t i = 0; i < count; i += LINKS_MAX)
			make_parent(&nodes[n++], nodes + i,
				    count - i < LINKS_MAX ? count - i :
							    LINKS_MAX);
		count = n;
	}
	memcpy(digest->bytes, nodes[0].multihash + 2, sizeof digest->bytes);
	free(nodes);
}

void cid_text(const struct hash *digest, char text[CID_TEXT_SIZE])
{
	uint8_t number[CID_TEXT_SIZE] = { 0 }; /* little-endian, base 58 */
	size_t count = 0, i;
	uint32_t carry;

	for (size_t at = 0; at < MULTIHASH_SIZE; at++) {
		carry = at == 0 ? 0x12 : at == 1 ? 0x20 : digest->bytes[at - 2];
		for (i = 0; i < count || carry > 0; i++) {
			carry += 256u * number[i];
			number[i] = (uint8_t)(carry % 58);
			carry /= 58;
		}
		count = i;
	}
	for (i = 0; i < count; i++)
		text[i] = digits[number[count - 1 - i]];
	text[count] = '\0';
}

int cid_parse(const char *text, struct hash *digest)
{
	uint8_t number[MULTIHASH_SIZE] = { 0 }; /* big-endian bytes */
	const char *digit;
	uint32_t carry;

	if (strlen(text) != CID_TEXT_SIZE - 1)
		return BERTH_MALFORMED;
	for (; *text; text++) {
		digit = strchr(digits, *text);
		if (!digit)
			return BERTH_MALFORMED;
		carry = (uint32_t)(digit - digits);
		for (size_t i = MULTIHASH_SIZE; i-- > 0;) {
			carry += 58u * number[i];
			number[i] = (uint8_t)carry;
			carry >>= 8;
		}
		if (carry)
			return BERTH_MALFORMED;
	}
	if (number[0] != 0x12 || number[1] != 0x20)
		return BERTH_MALFORMED;
	memcpy(digest->bytes, number + 2, sizeof digest->bytes);
	return BERTH_OK;
}
