/* CRC-32C (Castagnoli), as in RFC 3720: of log records, snapshots, chunks. */
#ifndef RAFT_CRC32C_H
#define RAFT_CRC32C_H

#include "fsm/base.h"

/* Continues `crc` (0 to begin) over the bytes. Any thread. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

#endif
