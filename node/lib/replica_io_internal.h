/* What replica_io.c and replica_files.c share. */
#ifndef NODE_LIB_REPLICA_IO_INTERNAL_H
#define NODE_LIB_REPLICA_IO_INTERNAL_H

#include "raft/io.h"

struct node_files {
	int directory; /* descriptor */
	int lock;      /* descriptor, -1: not held */
};

/* Fills the calls; ctx is the node_files. */
void node_files_calls(struct node_files *files, struct replica_files *out);

#endif
