#include "node/agent/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "node/agent/agent.h"
#include "node/lib/crypto.h"

static int copy(int from, int to, struct archive_tree *tree,
		struct fault *fault)
{
	char data[65536];
	ssize_t size;

	while ((size = read(from, data, sizeof data)) > 0) {
		int code = archive_tree_grow(tree, (uint64_t)size, fault);

		if (code != 0)
			return code;
		if (write(to, data, (size_t)size) != size)
			return fault_set(fault, errno == ENOSPC ?
					 BERTH_NOSPACE : BERTH_IO, "write: %s",
					 strerror(errno));
	}
	return size < 0 ? fault_set(fault, BERTH_IO, "read: %s",
				    strerror(errno)) : 0;
}

static int plain(const char *file, const char *name, struct archive_tree *tree,
		 struct fault *fault)
{
	int from = open(file, O_RDONLY | O_CLOEXEC), to = -1, code;

	if (from < 0)
		return fault_set(fault, BERTH_IO, "open %s: %s", file,
				 strerror(errno));
	code = archive_tree_file(tree, name, true, &to, fault);
	if (code == 0)
		code = copy(from, to, tree, fault);
	close(from);
	if (to >= 0)
		close(to);
	return code;
}

static int fill(const char *file, enum aleph_encoding encoding,
		const char *name, const char *part, struct fault *fault)
{
	struct archive_tree tree;
	struct stat status;
	int code;

	if (stat(file, &status) < 0)
		return fault_set(fault, BERTH_IO, "%s: %s", file,
				 strerror(errno));
	code = archive_tree_open(&tree, part, (uint64_t)status.st_size, fault);
	if (code != 0)
		return code;
	switch (encoding) {
	case ENCODING_PLAIN:
		code = plain(file, name, &tree, fault);
		break;
	case ENCODING_ZIP:
		code = archive_zip(file, &tree, fault);
		break;
	case ENCODING_SQUASHFS:
		code = archive_squashfs(file, part, &tree, fault);
		break;
	default:
		code = fault_set(fault, BERTH_INVALID, "unknown encoding");
	}
	archive_tree_close(&tree);
	return code;
}

int archive_unpack(const char *file, enum aleph_encoding encoding,
		   const char *name, const char *directory,
		   struct fault *fault)
{
	char part[4096];
	uint64_t random;
	int code;

	crypto_random(&random, sizeof random);
	if (snprintf(part, sizeof part, "%s.part-%016llx", directory,
		     (unsigned long long)random) >= (int)sizeof part)
		return fault_set(fault, BERTH_TOOBIG, "%s: name", directory);
	if (mkdir(part, 0755) < 0)
		return fault_set(fault, errno == ENOSPC ? BERTH_NOSPACE :
				 BERTH_IO, "make directory %s: %s", part,
				 strerror(errno));
	code = fill(file, encoding, name, part, fault);
	if (code == 0 && rename(part, directory) < 0)
		code = fault_set(fault, BERTH_IO, "rename to %s: %s",
				 directory, strerror(errno));
	if (code != 0)
		agent_tree_remove(part);
	return code;
}
