/* A small writer and a bounded reader of msgpack: no heap, no recursion.
 *
 * Both carry their first fault along, so that a message reads straight down
 * the page and is judged once at its end. What the reader returns after a
 * fault is zero. For the fencer, which may not allocate, and for everything
 * that comes from a network. Source: the msgpack specification.
 */
#ifndef NODE_LIB_PACK_H
#define NODE_LIB_PACK_H

#include "fsm/command.h"

struct pack_writer {
	uint8_t *data;
	size_t size, size_max;
	bool full;
};

void pack_array(struct pack_writer *w, uint32_t count);
void pack_uint(struct pack_writer *w, uint64_t value);
void pack_bool(struct pack_writer *w, bool value);
void pack_nil(struct pack_writer *w);
void pack_bytes(struct pack_writer *w, const void *data, size_t size);
void pack_text(struct pack_writer *w, struct text text);
void pack_hash(struct pack_writer *w, const struct hash *hash);
/* The size written, or 0 if there was no room. */
size_t pack_end(const struct pack_writer *w);

struct pack_reader {
	const uint8_t *data;
	size_t size, offset;
	int error; /* the first: MALFORMED, TOOBIG */
};

/* An array of exactly `count`. */
void unpack_array(struct pack_reader *r, uint32_t count);
/* An array of at most `count_max`; more is TOOBIG. */
uint32_t unpack_array_up_to(struct pack_reader *r, uint32_t count_max);
/* Is the next value nil? Then it is passed over. */
bool unpack_nil(struct pack_reader *r);
/* An integer up to `max`; more is MALFORMED. */
uint64_t unpack_uint(struct pack_reader *r, uint64_t max);
bool unpack_bool(struct pack_reader *r);
/* Exactly `size` bytes, copied. */
void unpack_bytes(struct pack_reader *r, void *data, size_t size);
/* At most `size_max` bytes, borrowed. */
const uint8_t *unpack_view(struct pack_reader *r, size_t size_max,
			   size_t *size);
struct text unpack_text(struct pack_reader *r, size_t size_max);
void unpack_hash(struct pack_reader *r, struct hash *hash);
/* 0 if all was read and nothing is left over; else the fault. */
MUST_CHECK int unpack_end(const struct pack_reader *r);

#endif
