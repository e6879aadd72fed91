/* IPFS names of files, as `ipfs add` gives them by default: CIDv0 of a UnixFS
 * tree of 256 KiB leaves, at most 174 links a node. Sources: UnixFS and DAG-PB
 * specifications. */
#ifndef NODE_CCN_CID_H
#define NODE_CCN_CID_H

#include "fsm/base.h"

#define CID_TEXT_SIZE 64

void cid_of_file(const void *data, size_t size, char cid[CID_TEXT_SIZE]);

#endif
