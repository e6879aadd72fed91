/* IPFS names of files, as `ipfs add` gives them by default: CIDv0 of a UnixFS
 * tree of 256 KiB leaves, at most 174 links a node. Sources: UnixFS and DAG-PB
 * specifications. */
#ifndef NODE_LIB_CID_H
#define NODE_LIB_CID_H

#include "fsm/base.h"

#define CID_TEXT_SIZE 47 /* "Qm", 44 more, NUL */

/* The digest of the file's root block: all that a CIDv0 says. */
void cid_of_file(const void *data, size_t size, struct hash *digest);
void cid_text(const struct hash *digest, char text[CID_TEXT_SIZE]);
/* Errors: MALFORMED, other versions of CID among them. */
MUST_CHECK int cid_parse(const char *text, struct hash *digest);

#endif
