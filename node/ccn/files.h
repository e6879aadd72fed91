/* Files by the sha256 of their bytes, in one folder. */
#ifndef NODE_CCN_FILES_H
#define NODE_CCN_FILES_H

#include "raft/fault.h"

/* Makes `name` durable in its folder. Errors: IO. */
MUST_CHECK int files_sync_parent(const char *name, struct fault *fault);
/* Makes a directory (0700) if it is not there. Errors: IO. */
MUST_CHECK int files_directory(const char *path, struct fault *fault);
/* Writes aside, syncs, renames, syncs the folder; a file that is there is left
 * as it is. Errors: NOSPACE, IO. */
MUST_CHECK int files_write(const char *directory, const char *name,
			   const void *data, size_t size, struct fault *fault);
/* Gives malloc'ed bytes. Errors: NOTFOUND, IO, NOMEM, CORRUPT (other size). */
MUST_CHECK int files_read(const char *directory, const char *name,
			  uint64_t size, void **out, struct fault *fault);
/* Removes what a crash left half written. */
void files_sweep(const char *directory);

#endif
