/* What a tree takes of the disk. Its owner may be hostile and at work in it:
 * no link is followed, no name is walked twice.
 *
 * Blocks: call it in the pool.
 */
#ifndef NODE_AGENT_USAGE_H
#define NODE_AGENT_USAGE_H

#include <stdint.h>

#define USAGE_ENTRY_SIZE 4096u /* what an entry counts at least, bytes */
#define USAGE_DEPTH_MAX 100u

/* Bytes that the tree at `path` takes, itself included; a file with several
 * names counts its share at each. Stops when it is above `limit`; a tree that
 * is deeper than USAGE_DEPTH_MAX counts as endless. 0 if it is not there. */
uint64_t usage_measure(const char *path, uint64_t limit);

#endif
