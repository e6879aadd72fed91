/* Keccak-256 with the padding of the first submission (0x01), as Ethereum
 * uses it; SHA3-256 of FIPS 202 differs in that byte alone. Source: The Keccak
 * reference, version 3.0, sections 1.2 and 1.3. */
#include "node/lib/crypto.h"

#define LANES 25
#define RATE 136 /* bytes: 200 - 2 * 32 */
#define ROUNDS 24

static const uint64_t round_constants[ROUNDS] = {
	0x0000000000000001, 0x0000000000008082, 0x800000000000808a,
	0x8000000080008000, 0x000000000000808b, 0x0000000080000001,
	0x8000000080008081, 0x8000000000008009, 0x000000000000008a,
	0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
	0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
	0x8000000000008003, 0x8000000000008002, 0x8000000000000080,
	0x000000000000800a, 0x800000008000000a, 0x8000000080008081,
	0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

static uint64_t rotate(uint64_t lane, unsigned by)
{
	return by == 0 ? lane : lane << by | lane >> (64 - by);
}

static void theta(uint64_t lanes[LANES])
{
	uint64_t column[5], mix;

	for (unsigned x = 0; x < 5; x++)
		column[x] = lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^
			    lanes[x + 15] ^ lanes[x + 20];
	for (unsigned x = 0; x < 5; x++) {
		mix = column[(x + 4) % 5] ^ rotate(column[(x + 1) % 5], 1);
		for (unsigned y = 0; y < LANES; y += 5)
			lanes[x + y] ^= mix;
	}
}

/* Walks the one cycle of 24 lanes from (1, 0); the t-th step turns its lane by
 * the triangular number t(t+1)/2. */
static void rho_and_pi(uint64_t lanes[LANES])
{
	uint64_t carried = lanes[1], held;
	unsigned x = 1, y = 0, next;

	for (unsigned t = 1; t <= 24; t++) {
		next = (2 * x + 3 * y) % 5;
		x = y;
		y = next;
		held = lanes[x + 5 * y];
		lanes[x + 5 * y] = rotate(carried, t * (t + 1) / 2 % 64);
		carried = held;
	}
}

static void chi(uint64_t lanes[LANES])
{
	uint64_t row[5];

	for (unsigned y = 0; y < LANES; y += 5) {
		memcpy(row, lanes + y, sizeof row);
		for (unsigned x = 0; x < 5; x++)
			lanes[x + y] = row[x] ^
				       (~row[(x + 1) % 5] & row[(x + 2) % 5]);
	}
}

static void permute(uint64_t lanes[LANES])
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		theta(lanes);
		rho_and_pi(lanes);
		chi(lanes);
		lanes[0] ^= round_constants[round];
	}
}

static void absorb(uint64_t lanes[LANES], const uint8_t block[RATE])
{
	for (unsigned i = 0; i < RATE; i++)
		lanes[i / 8] ^= (uint64_t)block[i] << i % 8 * 8;
	permute(lanes);
}

void crypto_keccak256(const void *data, size_t size, uint8_t out[32])
{
	uint64_t lanes[LANES] = { 0 };
	uint8_t last[RATE] = { 0 };
	const uint8_t *at = data;

	for (; size >= RATE; at += RATE, size -= RATE)
		absorb(lanes, at);
	if (size > 0)
		memcpy(last, at, size);
	last[size] |= 0x01;
	last[RATE - 1] |= 0x80;
	absorb(lanes, last);
	for (unsigned i = 0; i < 32; i++)
		out[i] = (uint8_t)(lanes[i / 8] >> i % 8 * 8);
}
