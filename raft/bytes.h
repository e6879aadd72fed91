/* Numbers in little-endian bytes, and a cursor that never reads too far. */
#ifndef RAFT_BYTES_H
#define RAFT_BYTES_H

#include "fsm/base.h"

static inline void put_u16(uint8_t *to, uint16_t value)
{
	to[0] = (uint8_t)value;
	to[1] = (uint8_t)(value >> 8);
}

static inline void put_u32(uint8_t *to, uint32_t value)
{
	put_u16(to, (uint16_t)value);
	put_u16(to + 2, (uint16_t)(value >> 16));
}

static inline void put_u64(uint8_t *to, uint64_t value)
{
	put_u32(to, (uint32_t)value);
	put_u32(to + 4, (uint32_t)(value >> 32));
}

static inline uint16_t get_u16(const uint8_t *from)
{
	return (uint16_t)(from[0] | from[1] << 8);
}

static inline uint32_t get_u32(const uint8_t *from)
{
	return (uint32_t)get_u16(from) | (uint32_t)get_u16(from + 2) << 16;
}

static inline uint64_t get_u64(const uint8_t *from)
{
	return (uint64_t)get_u32(from) | (uint64_t)get_u32(from + 4) << 32;
}

/* Reads what came from outside: once it would read past the end, `bad` is set
 * and everything read is zero. */
struct cursor {
	const uint8_t *at;
	size_t left;
	bool bad;
};

static inline const uint8_t *cursor_bytes(struct cursor *cursor, size_t size)
{
	const uint8_t *at = cursor->at;

	if (cursor->bad || cursor->left < size) {
		cursor->bad = true;
		return NULL;
	}
	cursor->at += size;
	cursor->left -= size;
	return at;
}

static inline uint64_t cursor_u64(struct cursor *cursor)
{
	const uint8_t *at = cursor_bytes(cursor, 8);

	return at ? get_u64(at) : 0;
}

static inline uint32_t cursor_u32(struct cursor *cursor)
{
	const uint8_t *at = cursor_bytes(cursor, 4);

	return at ? get_u32(at) : 0;
}

static inline uint8_t cursor_u8(struct cursor *cursor)
{
	const uint8_t *at = cursor_bytes(cursor, 1);

	return at ? at[0] : 0;
}

#endif
