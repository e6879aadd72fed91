/* What the files of the audit trail share. Read trail.h first. */
#ifndef NODE_REPLICA_TRAIL_INTERNAL_H
#define NODE_REPLICA_TRAIL_INTERNAL_H

#include <pthread.h>

#include "node/replica/relay_wire.h"
#include "node/replica/trail.h"

#define TRAIL_MAGIC "BRTHAUD1"
#define TRAIL_MAGIC_SIZE 8u
#define TRAIL_RECORD_HEAD 5u /* u32 size of what follows the type, u8 type */
#define TRAIL_HASH 32u
#define TRAIL_SEGMENTS_MAX 1024u

enum trail_record {
	TRAIL_HEAD = 'H',   /* u64 segment, u64 replica, text cluster */
	TRAIL_BEGIN = 'B',  /* hash: the chain begins with the cluster */
	TRAIL_ANCHOR = 'A', /* how, index, index before, hash, why, state */
	TRAIL_ENTRY = 'E',  /* index, term, results, bytes, hash */
	TRAIL_END = 'Z',    /* index, hash, wall time: only in exports */
};

enum trail_how {
	TRAIL_GOES_ON = 1, /* the chain does; the hash is its head */
	TRAIL_ANEW,        /* entries are missing; the hash is the anchor's */
};

struct trail_segment {
	uint64_t number, size, first; /* first: index before its first entry */
	bool damaged; /* left as it is, and left out of what is read */
};

struct trail {
	char directory[3800], cluster[64];
	uint64_t id, size_max, segment_size;
	int fd;           /* of the newest segment, -1: not open yet */
	struct wire out;  /* records that are not written yet */
	bool broken;      /* nothing goes in without an anchor */
	bool dirty;       /* written and not synced */
	char why[128];    /* what broke it */
	uint64_t out_last;
	struct hash out_head;
	/* The newest segment as it was opened, until replay has passed it. */
	struct wire again;
	size_t again_at;

	pthread_mutex_t mutex; /* what readers see */
	struct trail_segment segments[TRAIL_SEGMENTS_MAX];
	uint32_t count;
	uint64_t last;
	struct hash head;
};

void trail__path(const struct trail *trail, uint64_t number, char path[4096]);
/* Appends a whole record whose payload is `data`. */
void trail__record(struct wire *w, enum trail_record type, const void *data,
		   size_t size);
/* The next record; false at the end or where there is no whole one. */
bool trail__next(struct wire_reader *r, enum trail_record *type,
		 struct wire_reader *payload);
/* The hash that a chain begins with: the cluster's, or an anchor's. */
void trail__begin_hash(const char *cluster, struct hash *out);
void trail__anchor_hash(const void *state, size_t size, struct hash *out);
/* The hash after `before` of an entry's payload (up to its own hash). */
void trail__chain(const struct hash *before, const void *payload, size_t size,
		  struct hash *out);
/* trail_anchor.c: the state as msgpack. */
void trail__state(struct wire *w, const struct fsm_view *view);
/* trail_open.c: what stands where a new segment is to be is kept. Errors: IO. */
MUST_CHECK int trail__set_aside(const char *path);
/* What is in a segment, up to its last whole record. */
struct trail_found {
	size_t size; /* of the whole records */
	uint64_t first, last;
	struct hash head;
	bool begun, foreign; /* foreign: it names another cluster */
};
void trail__scan(const struct trail *trail, const struct wire *file,
		 struct trail_found *out);

#endif
