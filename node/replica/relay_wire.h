/* Bytes of berth-peer/1. Integers are big-endian; byte strings carry a u32
 * size. Decoding is bounded and borrows from the payload; what is left over at
 * the end of a payload makes it malformed. */
#ifndef NODE_REPLICA_RELAY_WIRE_H
#define NODE_REPLICA_RELAY_WIRE_H

#include "fsm/command.h"

#define PEER_VERSION 1u
#define PEER_FRAME_SIZE_MAX (8u << 20)

enum peer_frame {
	PEER_HELLO = 1,      /* version, id; also the sign of life */
	PEER_RELAY_UP,       /* term, then items {link, crn, type, bytes} */
	PEER_RELAY_DOWN,     /* term, then items {link, type, bytes} */
	PEER_FORWARD,        /* an HTTP request */
	PEER_FORWARD_ANSWER,
	PEER_READ_INDEX,     /* id, want_run, program */
	PEER_READ_ANSWER,
	PEER_CONTENT_GET,    /* id, hash */
	PEER_CONTENT,        /* id, code, bytes */
};

/* A growing buffer. */
struct wire {
	uint8_t *data;
	size_t size, capacity;
	bool failed;
};
void wire_fini(struct wire *w);
void wire_put(struct wire *w, const void *data, size_t size); /* bare */
void wire_u8(struct wire *w, uint8_t value);
void wire_u32(struct wire *w, uint32_t value);
void wire_u64(struct wire *w, uint64_t value);
void wire_bytes(struct wire *w, const void *data, size_t size);

struct wire_reader {
	const uint8_t *data;
	size_t size, at;
	bool bad;
};
uint8_t wire_get_u8(struct wire_reader *r);
uint32_t wire_get_u32(struct wire_reader *r);
uint64_t wire_get_u64(struct wire_reader *r);
const uint8_t *wire_get(struct wire_reader *r, size_t size);
struct text wire_get_bytes(struct wire_reader *r, size_t size_max);
bool wire_end(const struct wire_reader *r); /* all read, nothing bad */

struct relay_item {
	uint64_t link;
	struct hash crn; /* up only */
	uint8_t type;
	struct text bytes;
};
void relay_item_put(struct wire *w, const struct relay_item *item, bool up);
/* False at the end or when malformed (r->bad). */
bool relay_item_next(struct wire_reader *r, bool up, struct relay_item *out);

struct forward_request {
	uint64_t id;
	uint8_t authority;
	bool local_only; /* answer yourself or not at all */
	uint8_t request[16];
	struct text who, method, path, query, body;
};
void forward_request_put(struct wire *w, const struct forward_request *m);
MUST_CHECK int forward_request_get(const uint8_t *data, size_t size,
				   struct forward_request *out);

struct forward_answer {
	uint64_t id, index, term, leader, age_ms;
	uint32_t status;
	struct text content_type, location, body;
};
void forward_answer_put(struct wire *w, const struct forward_answer *m);
MUST_CHECK int forward_answer_get(const uint8_t *data, size_t size,
				  struct forward_answer *out);

struct read_answer {
	uint64_t id, index, gen;
	stamp_t epoch;
	int code;
	bool has_run;
	uint8_t status;
	uint32_t failures;
	struct text reason;
};
void read_answer_put(struct wire *w, const struct read_answer *m);
MUST_CHECK int read_answer_get(const uint8_t *data, size_t size,
			       struct read_answer *out);

#endif
