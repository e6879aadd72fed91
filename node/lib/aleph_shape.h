/* Shapes of JSON: a table of fields per object, checked in one walk. Private
 * to aleph_*.c. After aleph__shape_check a value can be read without asking
 * again what it is. */
#ifndef NODE_LIB_ALEPH_SHAPE_H
#define NODE_LIB_ALEPH_SHAPE_H

#include "node/lib/aleph.h"

#define SHAPE_PATH_SIZE 160
#define ALEPH_TIME_MAX 9223372036.0 /* aleph.md 1.3 */

enum shape_kind {
	SHAPE_STRING = 1, /* max: characters */
	SHAPE_UINT,       /* min..max */
	SHAPE_TIME,       /* seconds, 0..ALEPH_TIME_MAX */
	SHAPE_BOOL,
	SHAPE_HASH,    /* an item hash: sha256 in hex, or a CID */
	SHAPE_CHOICE,  /* one of `choices` */
	SHAPE_OBJECT,  /* `fields`, nothing else unless `open` */
	SHAPE_MAP,     /* any keys up to key_max, max entries, each `item` */
	SHAPE_LIST,    /* up to max items, each `item` */
	SHAPE_ANY,
	SHAPE_CHAIN,
	SHAPE_CUSTOM,  /* `check` decides */
};

enum { SHAPE_REQUIRED = 1, SHAPE_NULLABLE = 2 };

struct shape {
	enum shape_kind kind;
	uint64_t min, max;
	uint32_t key_max;
	bool open;
	const char *const *choices; /* NULL-ended */
	const struct shape_field *fields; /* ends with a NULL name */
	const struct shape *item;
	int (*check)(const json_t *value, const char *path,
		     struct fault *fault);
};

struct shape_field {
	const char *name;
	unsigned flags;
	const struct shape *shape;
};

/* Errors: MALFORMED (type, missing), TOOBIG (size, count), INVALID (unknown
 * field, value out of range); the fault begins with the path. */
MUST_CHECK int aleph__shape_check(const struct shape *shape,
				  const json_t *value, const char *path,
				  struct fault *fault);
bool aleph__chain_known(const char *name);
bool aleph__chain_is_evm(const char *name);
bool aleph__item_hash_valid(const char *text);

/* Reads after a check; absent and null give the default. */
const char *aleph__string(const json_t *object, const char *key,
			  const char *otherwise);
uint32_t aleph__uint(const json_t *object, const char *key,
		     uint32_t otherwise);
bool aleph__bool(const json_t *object, const char *key, bool otherwise);
/* NULL unless an object (or array) stands there. */
const json_t *aleph__object(const json_t *object, const char *key);

#endif
