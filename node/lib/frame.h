/* Frames: u32 big-endian size of what follows, u8 type, payload. The decoder
 * is bounded: a size above the limit of the protocol ends the stream. */
#ifndef NODE_LIB_FRAME_H
#define NODE_LIB_FRAME_H

#include "fsm/base.h"

#define FRAME_HEAD_SIZE 5u

/* Collects bytes and gives whole frames. The buffer grows to the largest frame
 * seen and never above size_max. */
struct frame_reader {
	uint8_t *data;
	size_t size, capacity, size_max, start;
};
void frame_reader_init(struct frame_reader *reader, size_t size_max);
void frame_reader_fini(struct frame_reader *reader);
/* Takes bytes in; size_max bounds payloads. Errors: TOOBIG (an announced size
 * above size_max), MALFORMED (size 0), NOMEM. A bad head behind whole frames
 * shows at the next feed, which may be an empty one. */
MUST_CHECK int frame_reader_feed(struct frame_reader *reader, const void *data,
				 size_t size);
/* True: a frame, borrowed until the next feed. */
bool frame_reader_next(struct frame_reader *reader, uint8_t *type,
		       const uint8_t **payload, size_t *size);
void frame_head(uint8_t head[FRAME_HEAD_SIZE], uint8_t type, size_t size);

#endif
