/* Unpacking of what strangers uploaded: nothing is written outside the given
 * directory, no link leads out of it, nothing but files, directories and
 * harmless links is made, and it ends within the limits below.
 *
 * Blocks: call it in the pool.
 */
#ifndef NODE_AGENT_ARCHIVE_H
#define NODE_AGENT_ARCHIVE_H

#include <sys/stat.h>

#include "node/lib/aleph.h"

#define ARCHIVE_ENTRIES_MAX 20000u
#define ARCHIVE_SIZE_MAX (1ull << 30)   /* bytes, unpacked */
#define ARCHIVE_RATIO_MAX 200u          /* unpacked to packed ... */
#define ARCHIVE_RATIO_FREE (16ull << 20) /* ... above this size */
#define ARCHIVE_PATH_MAX 1024u
#define ARCHIVE_DEPTH_MAX 64u

/* Unpacks `file` so that `directory` appears whole or not at all; it must not
 * exist. ZIP takes zip and tar (also compressed). PLAIN makes one executable
 * file `name`. The result is readable by everybody and holds no set-uid bits.
 * Errors: INVALID (not such an archive, or something it must not contain, with
 * the entry's name), TOOBIG (a limit, named), MALFORMED (truncated, damaged),
 * NOSPACE, IO. */
MUST_CHECK int archive_unpack(const char *file, enum aleph_encoding encoding,
			      const char *name, const char *directory,
			      struct fault *fault);

/* --- shared by the formats ------------------------------------------------- */

/* A directory being filled, and what is left of the limits. */
struct archive_tree {
	int fd;              /* of the directory */
	uint32_t entries;
	uint64_t size, size_max;
	uint64_t packed;     /* of the archive's file */
};
MUST_CHECK int archive_tree_open(struct archive_tree *tree, const char *path,
				 uint64_t packed, struct fault *fault);
void archive_tree_close(struct archive_tree *tree);
/* Counts one entry. Errors: TOOBIG. */
MUST_CHECK int archive_tree_count(struct archive_tree *tree,
				  struct fault *fault);
/* Counts unpacked bytes before they are written. Errors: TOOBIG. */
MUST_CHECK int archive_tree_grow(struct archive_tree *tree, uint64_t size,
				 struct fault *fault);
MUST_CHECK int archive_tree_directory(struct archive_tree *tree,
				      const char *path, struct fault *fault);
/* Gives an open, empty file; an earlier one of that name is replaced. */
MUST_CHECK int archive_tree_file(struct archive_tree *tree, const char *path,
				 bool executable, int *fd,
				 struct fault *fault);
MUST_CHECK int archive_tree_symlink(struct archive_tree *tree,
				    const char *path, const char *target,
				    struct fault *fault);
MUST_CHECK int archive_tree_hardlink(struct archive_tree *tree,
				     const char *path, const char *target,
				     struct fault *fault);
/* Walks what another program unpacked: refuses what must not be there, counts,
 * and makes the rest readable. */
MUST_CHECK int archive_tree_inspect(struct archive_tree *tree,
				    struct fault *fault);
/* Would a link at `path` to `target` stay inside? Lexically. */
bool archive_link_inside(const char *path, const char *target);

MUST_CHECK int archive_zip(const char *file, struct archive_tree *tree,
			   struct fault *fault);
MUST_CHECK int archive_squashfs(const char *file, const char *directory,
				struct archive_tree *tree,
				struct fault *fault);

#endif
