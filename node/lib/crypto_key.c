/* Ethereum key files: 32 raw bytes, as the aleph client keeps them, or hex. */
#include "node/lib/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_SIZE_MAX 80

static int io_fault(struct fault *fault, const char *path, const char *what)
{
	return fault_set(fault, errno == ENOENT ? BERTH_NOTFOUND : BERTH_IO,
			 "key %s: %s: %s", path, what, strerror(errno));
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
	ssize_t n;

	for (; size > 0; data += n, size -= (size_t)n) {
		n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return -1;
	}
	return fsync(fd);
}

/* A name is durable once its directory is. */
static int sync_parent(const char *path)
{
	char copy[PATH_MAX];
	int fd, rc;

	if (strlen(path) >= sizeof copy) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(copy, path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

static int key_create(const char *path, struct eth_key *out,
		      struct fault *fault)
{
	struct eth_key key;
	int fd, rc;

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return io_fault(fault, path, "create");
	rc = eth_key_make(&key);
	if (rc == BERTH_OK && (write_all(fd, key.secret, 32) != 0 ||
			       sync_parent(path) != 0)) {
		rc = io_fault(fault, path, "write");
		unlink(path);
	}
	close(fd);
	if (rc == BERTH_OK)
		*out = key;
	explicit_bzero(&key, sizeof key);
	return rc;
}

static int private_file(int fd, const char *path, struct fault *fault)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return io_fault(fault, path, "stat");
	if (!S_ISREG(st.st_mode))
		return fault_set(fault, BERTH_INVALID,
				 "key %s: not a regular file", path);
	if (st.st_mode & 077)
		return fault_set(fault, BERTH_DENIED,
				 "key %s: others can read it (mode %04o): "
				 "chmod 600 it", path, st.st_mode & 07777u);
	return BERTH_OK;
}

/* Raw, or hex with an optional "0x" and a line end. */
static int secret_parse(const uint8_t *data, size_t size, uint8_t secret[32])
{
	if (size == 32) {
		memcpy(secret, data, 32);
		return BERTH_OK;
	}
	while (size > 0 && (data[size - 1] == '\n' || data[size - 1] == '\r' ||
			    data[size - 1] == ' '))
		size--;
	if (size >= 2 && data[0] == '0' && (data[1] | 32) == 'x') {
		data += 2;
		size -= 2;
	}
	return hex_decode((const char *)data, size, secret, 32);
}

static int key_read(int fd, const char *path, struct eth_key *out,
		    struct fault *fault)
{
	uint8_t data[KEY_FILE_SIZE_MAX + 1], secret[32];
	ssize_t size;
	int rc;

	rc = private_file(fd, path, fault);
	if (rc != BERTH_OK)
		return rc;
	size = read(fd, data, sizeof data);
	if (size < 0)
		return io_fault(fault, path, "read");
	if (size > KEY_FILE_SIZE_MAX)
		rc = BERTH_TOOBIG;
	else
		rc = secret_parse(data, (size_t)size, secret);
	if (rc == BERTH_OK)
		rc = eth_key_from_secret(secret, out);
	explicit_bzero(data, sizeof data);
	explicit_bzero(secret, sizeof secret);
	if (rc != BERTH_OK)
		return fault_set(fault, rc, "key %s: not a secp256k1 secret "
				 "(32 bytes, raw or in hex)", path);
	return BERTH_OK;
}

int eth_key_load(const char *path, bool create, struct eth_key *out,
		 struct fault *fault)
{
	int fd, rc;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT && create)
		return key_create(path, out, fault);
	if (fd < 0)
		return io_fault(fault, path, "open");
	rc = key_read(fd, path, out, fault);
	close(fd);
	return rc;
}
