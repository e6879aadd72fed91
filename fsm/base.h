/* What every layer shares: sizes, stamps, hashes, error codes, assertions.
 *
 * This is the only header of fsm/ that raft/ may include. Read fsm/fsm.h next.
 */
#ifndef FSM_BASE_H
#define FSM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* Codes of refusals and faults. A function that can fail returns 0 or one of
 * these, and leaves its outputs untouched when it fails. */
#define BERTH_ERRORS(X)                                                  \
	X(NOMEM, "out of memory")                                        \
	X(IO, "input or output failed")                                  \
	X(CORRUPT, "data is corrupt")                                    \
	X(NOSPACE, "no space left")                                      \
	X(TOOBIG, "too big")                                             \
	X(MALFORMED, "malformed")                                        \
	X(INVALID, "not valid")                                          \
	X(VERSION, "version not supported")                              \
	X(NOTLEADER, "not the leader")                                   \
	X(UNKNOWN_OUTCOME, "outcome unknown: ask again with the same id") \
	X(BUSY, "busy")                                                  \
	X(EXISTS, "exists already")                                      \
	X(NOTFOUND, "not found")                                         \
	X(DENIED, "not allowed")                                         \
	X(TIMEOUT, "timed out")                                          \
	X(CLOSED, "closed")                                              \
	X(MISMATCH, "does not match")

enum berth_error {
	BERTH_OK = 0,
#define X(name, text) BERTH_##name,
	BERTH_ERRORS(X)
#undef X
	BERTH_ERROR_COUNT
};

/* A SHA-256, or another 32-byte name: of a program, a CRN, a host, a boot. */
struct hash {
	uint8_t bytes[32];
};

static inline bool hash_equal(const struct hash *a, const struct hash *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static inline int hash_compare(const struct hash *a, const struct hash *b)
{
	return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static inline bool hash_is_zero(const struct hash *a)
{
	static const struct hash zero;
	return hash_equal(a, &zero);
}

/* A stamp is a place in the log: entry index * 2^16 + position of the command
 * in its entry. Epochs, session ids, v_rev, changed and versions are stamps
 * (lease.md 2.6). Stamps of different generations are never compared. */
typedef uint64_t stamp_t;

#define STAMP_POSITION_BITS 16
#define ENTRY_COMMANDS_MAX 65535u

static inline stamp_t stamp_make(uint64_t index, uint32_t position)
{
	return index << STAMP_POSITION_BITS | position;
}

/* Version of a desired set that is computed after entry `index`. */
static inline stamp_t stamp_version(uint64_t index)
{
	return stamp_make(index, 65535u);
}

static inline uint64_t stamp_index(stamp_t stamp)
{
	return stamp >> STAMP_POSITION_BITS;
}

/* Assertions are always on. The hook prints what, where and the last applied
 * index, and aborts; it is the node's (libfsm.a leaves it undefined). */
__attribute__((noreturn)) void berth_panic(const char *what, const char *file,
					   int line);

#define REQUIRE(condition)                                           \
	do {                                                         \
		if (!(condition))                                    \
			berth_panic("require: " #condition, __FILE__, \
				    __LINE__);                       \
	} while (0)

#define ENSURE(condition)                                           \
	do {                                                        \
		if (!(condition))                                   \
			berth_panic("ensure: " #condition, __FILE__, \
				    __LINE__);                      \
	} while (0)

/* Where no input can lead; `what` says what would have to be. */
#define NEVER(what) berth_panic("never: not " what, __FILE__, __LINE__)

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
