#include "node/agent/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/lib/crypto.h"

#define LOCK_TRIES 20 /* of 100 ms: a launcher just born may hold it */

/* Reads a small file whole; its size, or -1. */
static ssize_t read_small(int at, const char *path, char *text, size_t size)
{
	int fd = openat(at, path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -1;
	got = read(fd, text, size - 1);
	close(fd);
	if (got >= 0)
		text[got] = '\0';
	return got;
}

uint64_t process_start(uint32_t pid)
{
	char path[48], text[1024], *at;
	unsigned long long start = 0;
	ssize_t size;

	snprintf(path, sizeof path, "/proc/%u/stat", pid);
	errno = 0;
	size = read_small(AT_FDCWD, path, text, sizeof text);
	if (size < 0 && (errno == ENOENT || errno == ESRCH))
		return 0;
	if (size <= 0)
		return PROCESS_UNSEEN;
	/* The name, field 2, may hold spaces and parentheses. */
	at = strrchr(text, ')');
	for (int field = 2; at != NULL && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (at != NULL)
		start = strtoull(at + 1, NULL, 10);
	return start != 0 ? start : PROCESS_UNSEEN;
}

static int lock(struct machine *machine, const char *directory,
		struct fault *fault)
{
	machine->lock = openat(machine->directory, "fencer.lock",
			       O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (machine->lock < 0)
		return fault_set(fault, BERTH_IO, "%s/fencer.lock: %s",
				 directory, strerror(errno));
	for (int try = 0; flock(machine->lock, LOCK_EX | LOCK_NB) != 0; try++) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return fault_set(fault, BERTH_IO,
					 "%s/fencer.lock: %s", directory,
					 strerror(errno));
		if (try == LOCK_TRIES)
			return fault_set(fault, BERTH_BUSY,
					 "%s: another berth-fencer runs on "
					 "this directory", directory);
		usleep(100000);
	}
	return 0;
}

static int make_id(struct machine *machine, uint8_t id[16], struct fault *fault)
{
	int fd = openat(machine->directory, "host.id.new",
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	bool done;

	crypto_random(id, 16);
	if (fd < 0)
		return fault_set(fault, BERTH_IO, "host.id: %s",
				 strerror(errno));
	done = write(fd, id, 16) == 16 && fsync(fd) == 0;
	done = close(fd) == 0 && done;
	done = done && renameat(machine->directory, "host.id.new",
				machine->directory, "host.id") == 0;
	done = done && fsync(machine->directory) == 0;
	return done ? 0 : fault_set(fault, BERTH_IO, "host.id: %s",
				    strerror(errno));
}

/* The run table of an id is made after it and never goes without it. */
static bool table_lost(const struct machine *machine)
{
	struct stat st;

	if (fstatat(machine->directory, "runs.table", &st, 0) != 0)
		return errno == ENOENT;
	return st.st_size == 0;
}

/* A lost id is a new host, and so is a lost table: neither can say anything
 * about runs of the old one, which an empty table would call dead. */
static int random_id(struct machine *machine, uint8_t id[16],
		     struct fault *fault)
{
	char text[32];
	ssize_t size = read_small(machine->directory, "host.id", text,
				  sizeof text);

	if ((size < 0 && errno == ENOENT) || table_lost(machine))
		return make_id(machine, id, fault);
	if (size < 0)
		return fault_set(fault, BERTH_IO, "host.id: %s",
				 strerror(errno));
	if (size != 16)
		return fault_set(fault, BERTH_CORRUPT,
				 "host.id: 16 bytes are needed, %zd are there",
				 size);
	memcpy(id, text, 16);
	return 0;
}

static int kernel_boot(struct machine *machine, struct fault *fault)
{
	char text[64], digits[33];
	size_t count = 0;

	if (read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text,
		       sizeof text) < 0)
		return fault_set(fault, BERTH_IO, "boot_id: %s",
				 strerror(errno));
	for (const char *c = text; *c != '\0' && count < 32; c++)
		if (*c != '-' && *c != '\n')
			digits[count++] = *c;
	if (hex_decode(digits, count, machine->kernel_boot, 16) != 0)
		return fault_set(fault, BERTH_CORRUPT, "boot_id: \"%s\"", text);
	return 0;
}

static int identify(struct machine *machine, const char *directory,
		    struct fault *fault)
{
	struct {
		uint8_t id[16], kernel_boot[16];
		uint64_t pid_namespace, device, inode;
		char machine_id[64], product[64];
	} m;
	struct stat pid, folder;
	int rv;

	memset(&m, 0, sizeof m);
	rv = random_id(machine, m.id, fault);
	if (rv == 0)
		rv = kernel_boot(machine, fault);
	if (rv != 0)
		return fault_wrap(fault, "%s", directory);
	if (stat("/proc/self/ns/pid", &pid) != 0 ||
	    fstat(machine->directory, &folder) != 0)
		return fault_set(fault, BERTH_IO, "%s: %s", directory,
				 strerror(errno));
	/* Neither need be there; the random id always is. */
	read_small(AT_FDCWD, "/etc/machine-id", m.machine_id,
		   sizeof m.machine_id);
	read_small(AT_FDCWD, "/sys/class/dmi/id/product_uuid", m.product,
		   sizeof m.product);
	crypto_sha256(&m, sizeof m, &machine->host);
	memset(m.product, 0, sizeof m.product);
	memcpy(m.kernel_boot, machine->kernel_boot, sizeof m.kernel_boot);
	m.pid_namespace = machine->pid_namespace = pid.st_ino;
	m.device = folder.st_dev;
	m.inode = folder.st_ino;
	crypto_sha256(&m, sizeof m, &machine->boot);
	return 0;
}

int machine_open(struct machine *machine, const char *directory,
		 struct fault *fault)
{
	int rv;

	memset(machine, 0, sizeof *machine);
	machine->lock = -1;
	if (mkdir(directory, 0700) != 0 && errno != EEXIST)
		return fault_set(fault, BERTH_IO, "%s: %s", directory,
				 strerror(errno));
	machine->directory =
		open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (machine->directory < 0)
		return fault_set(fault, BERTH_IO, "%s: %s", directory,
				 strerror(errno));
	rv = lock(machine, directory, fault);
	if (rv == 0)
		rv = identify(machine, directory, fault);
	if (rv != 0)
		machine_close(machine);
	return rv;
}

void machine_close(struct machine *machine)
{
	if (machine->lock >= 0)
		close(machine->lock);
	close(machine->directory);
	machine->lock = -1;
	machine->directory = -1;
}
