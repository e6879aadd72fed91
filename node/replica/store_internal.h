#ifndef NODE_REPLICA_STORE_INTERNAL_H
#define NODE_REPLICA_STORE_INTERNAL_H

#include "node/replica/store.h"

struct edge *store_edge(const struct store *store);

#endif
