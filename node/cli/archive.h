/* Makes the archive of a program's code, as the aleph client does: a squashfs
 * where mksquashfs is at hand, else a zip. */
#ifndef NODE_CLI_ARCHIVE_H
#define NODE_CLI_ARCHIVE_H

#include "raft/fault.h"

/* `encoding` gets "zip", "squashfs" or "plain". The bytes are the caller's to
 * free. A file that is an archive already is taken as it is. Errors: IO,
 * NOTFOUND, TOOBIG. */
MUST_CHECK int archive_make(const char *path, const char **encoding,
			    void **data, size_t *size, struct fault *fault);

#endif
