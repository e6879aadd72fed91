/* One group among all of this kernel's, by the id that no other ever gets:
 * what a fencer made is found again from another container, at another path or
 * at none. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/agent/cgroup.h"
#include "node/agent/machine.h"

#define KERNFS_HANDLE 0xfe /* FILEID_KERNFS: a handle is the id */

#define GONE -2

union handle {
	struct file_handle head;
	char space[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static bool is_it(int fd, uint64_t id)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == id;
}

/* Handles are ids here, and a stale one is one of no group at all: said only
 * to whom the kernel lets look everywhere. Tried on the mount itself. */
static bool handles_tell(int mount, union handle *handle)
{
	struct stat st;
	int id, fd;
	bool done;

	handle->head.handle_bytes = MAX_HANDLE_SZ;
	if (!machine_capable(CAP_DAC_READ_SEARCH) || fstat(mount, &st) != 0 ||
	    name_to_handle_at(mount, "", &handle->head, &id, AT_EMPTY_PATH) !=
		    0 ||
	    handle->head.handle_type != KERNFS_HANDLE ||
	    handle->head.handle_bytes != sizeof(uint64_t) ||
	    memcmp(handle->head.f_handle, &(uint64_t){ st.st_ino },
		   sizeof(uint64_t)) != 0)
		return false;
	fd = open_by_handle_at(mount, &handle->head,
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	done = is_it(fd, st.st_ino);
	if (fd >= 0)
		close(fd);
	return done;
}

static int open_handle(const struct cgroup *cgroup, uint64_t id)
{
	union handle handle;
	char path[CGROUP_PATH_MAX];
	int mount, fd = -1;
	char *leaf;

	snprintf(path, sizeof path, "%s", cgroup->root);
	leaf = strrchr(path, '/');
	if (leaf == NULL)
		return -1;
	*leaf = '\0';
	mount = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount >= 0 && handles_tell(mount, &handle)) {
		memcpy(handle.head.f_handle, &id, sizeof id);
		fd = open_by_handle_at(mount, &handle.head,
				       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 && errno == ESTALE)
			fd = GONE;
	}
	if (mount >= 0)
		close(mount);
	return fd;
}

/* The very group, GONE, or -1: not seen. */
static int open_id(const struct cgroup *cgroup, uint64_t id, const char *path)
{
	int fd = open_handle(cgroup, id);

	if (fd == GONE || is_it(fd, id))
		return fd;
	if (fd >= 0)
		close(fd);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (is_it(fd, id))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static enum cgroup_life look(int folder)
{
	int fd = openat(folder, "cgroup.events", O_RDONLY | O_CLOEXEC);
	char text[256];
	ssize_t size;

	if (fd < 0)
		return CGROUP_UNSEEN;
	size = read(fd, text, sizeof text - 1);
	close(fd);
	if (size < 0)
		return CGROUP_UNSEEN;
	text[size] = '\0';
	if (strstr(text, "populated 0") != NULL)
		return CGROUP_EMPTY;
	return strstr(text, "populated 1") != NULL ? CGROUP_LIVES :
						     CGROUP_UNSEEN;
}

enum cgroup_life cgroup_id_look(const struct cgroup *cgroup, uint64_t id,
				const char *path)
{
	enum cgroup_life life;
	int fd;

	if (id == 0)
		return CGROUP_UNSEEN;
	fd = open_id(cgroup, id, path);
	if (fd == GONE)
		return CGROUP_EMPTY;
	if (fd < 0)
		return CGROUP_UNSEEN;
	life = look(fd);
	close(fd);
	return life;
}

void cgroup_id_kill(const struct cgroup *cgroup, uint64_t id, const char *path)
{
	int folder = id != 0 ? open_id(cgroup, id, path) : -1, fd;

	if (folder < 0)
		return;
	fd = openat(folder, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		(void)(write(fd, "1", 1) < 0); /* whoever looks will see */
		close(fd);
	}
	close(folder);
}

uint64_t cgroup_root_id(const struct cgroup *cgroup)
{
	struct stat st;

	return cgroup->present && stat(cgroup->root, &st) == 0 ? st.st_ino : 0;
}

uint64_t cgroup_fd_id(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}
