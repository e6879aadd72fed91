#include "raft/crc32c.h"

#include <pthread.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

/* Eight tables, so that eight bytes are taken at a time. */
static uint32_t tables[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void build(void)
{
	uint32_t i, j;

	for (i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (j = 0; j < 8; j++)
			crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
		tables[0][i] = crc;
	}
	for (i = 0; i < 256; i++)
		for (j = 1; j < 8; j++)
			tables[j][i] = tables[j - 1][i] >> 8 ^
				       tables[0][tables[j - 1][i] & 255];
}

static uint32_t eight(uint32_t crc, const uint8_t *at)
{
	uint32_t low, high;

	memcpy(&low, at, 4);
	memcpy(&high, at + 4, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	low = __builtin_bswap32(low);
	high = __builtin_bswap32(high);
#endif
	low ^= crc;
	return tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^
	       tables[5][low >> 16 & 255] ^ tables[4][low >> 24] ^
	       tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^
	       tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
}

static uint32_t plain(uint32_t crc, const uint8_t *at, size_t size)
{
	for (; size >= 8; at += 8, size -= 8)
		crc = eight(crc, at);
	for (; size; at++, size--)
		crc = crc >> 8 ^ tables[0][(crc ^ *at) & 255];
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
hardware(uint32_t crc, const uint8_t *at, size_t size)
{
	uint64_t wide = crc;

	for (; size >= 8; at += 8, size -= 8) {
		uint64_t word;

		memcpy(&word, at, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; size; at++, size--)
		crc = __builtin_ia32_crc32qi(crc, *at);
	return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~hardware(~crc, data, size);
#endif
	pthread_once(&once, build);
	return ~plain(~crc, data, size);
}
