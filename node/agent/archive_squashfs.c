/* Squashfs images, by squashfs-tools in a sandbox that sees nothing but the
 * image and the directory to fill; listed first, inspected afterwards. */
#include "node/agent/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define CPU_SECONDS "--cpu=120"
#define ADDRESS_SPACE "--as=2147483648"
#define FILE_SIZE "--fsize=1073741824"

/* Runs a program with its output in `out`. */
static int spawn(char *const argv[], int out, pid_t *pid)
{
	static char *const env[] = { "PATH=/usr/bin:/bin", "LC_ALL=C", NULL };
	posix_spawn_file_actions_t actions;
	int rv = posix_spawn_file_actions_init(&actions);

	if (rv != 0)
		return rv;
	rv = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null",
					      O_RDONLY, 0);
	if (rv == 0)
		rv = posix_spawn_file_actions_adddup2(&actions, out, 1);
	if (rv == 0)
		rv = posix_spawn_file_actions_adddup2(&actions, out, 2);
	if (rv == 0)
		rv = posix_spawn(pid, argv[0], &actions, NULL, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	return rv;
}

/* A line of the listing: "drwxr-xr-x root/root 27 2026-11-22 20:00 name". A
 * name with a line break only adds lines, which can only refuse more. */
static int check_line(const char *line, struct archive_tree *tree,
		      struct fault *fault)
{
	unsigned long long size;
	int code;

	if (!line[0] || !strchr("-dlbcps", line[0]) || strlen(line) < 20 ||
	    strspn(line + 1, "rwxsStT-") != 9)
		return 0; /* a heading, or what a tool complains of */
	code = archive_tree_count(tree, fault);
	if (code != 0)
		return code;
	if (strchr("bcps", line[0]))
		return fault_set(fault, BERTH_INVALID,
				 "a device, pipe or socket: %.200s", line);
	if (line[0] == '-' && sscanf(line, "%*s %*s %llu", &size) == 1)
		return archive_tree_grow(tree, size, fault);
	return 0;
}

static int read_listing(FILE *listing, struct archive_tree *tree,
			char *last, size_t last_size, struct fault *fault)
{
	char line[4096];
	int code = 0;

	while (fgets(line, sizeof line, listing)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0])
			snprintf(last, last_size, "%.150s", line);
		if (code == 0)
			code = check_line(line, tree, fault);
	}
	return code;
}

/* Runs argv and reads what it prints as a listing. */
static int run(char *const argv[], struct archive_tree *tree,
	       struct fault *fault)
{
	char last[200] = "";
	int ends[2], status = 0, code, rv;
	FILE *listing;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return fault_set(fault, BERTH_IO, "pipe: %s", strerror(errno));
	rv = spawn(argv, ends[1], &pid);
	close(ends[1]);
	if (rv != 0) {
		close(ends[0]);
		return fault_set(fault, BERTH_IO, "start %s: %s", argv[0],
				 strerror(rv));
	}
	listing = fdopen(ends[0], "r");
	REQUIRE(listing);
	code = read_listing(listing, tree, last, sizeof last, fault);
	fclose(listing);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (code == 0 && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
		code = fault_set(fault, BERTH_MALFORMED, "unsquashfs: %s",
				 last[0] ? last : "failed");
	return code;
}

#define SANDBOX(file)                                                     \
	"/usr/bin/prlimit", CPU_SECONDS, ADDRESS_SPACE, FILE_SIZE,        \
	"/usr/bin/bwrap", "--unshare-all", "--die-with-parent",           \
	"--new-session", "--cap-drop", "ALL", "--uid", "65534", "--gid",  \
	"65534", "--ro-bind", "/usr", "/usr",                             \
	"--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib",   \
	"--symlink", "usr/lib64", "/lib64", "--proc", "/proc",            \
	"--ro-bind", (file), "/image"

static int unpack(const char *file, const char *directory,
		  struct archive_tree *tree, struct fault *fault)
{
	char *list[] = { SANDBOX((char *)(uintptr_t)file),
			 "/usr/bin/unsquashfs", "-p", "1", "-lln", "/image",
			 NULL };
	char *fill[] = { SANDBOX((char *)(uintptr_t)file), "--bind",
			 (char *)(uintptr_t)directory, "/out",
			 "/usr/bin/unsquashfs", "-p", "1", "-da", "32", "-fr",
			 "32", "-n", "-q", "-no-xattrs", "-f", "-d", "/out",
			 "/image", NULL };
	int code = run(list, tree, fault);

	if (code == 0 && tree->entries == 0)
		code = fault_set(fault, BERTH_INVALID, "an empty image");
	/* Counted once: the second run prints nothing that looks like a row. */
	return code == 0 ? run(fill, tree, fault) : code;
}

int archive_squashfs(const char *file, const char *directory,
		     struct archive_tree *tree, struct fault *fault)
{
	char magic[4] = "";
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, magic, sizeof magic);
	int code;

	if (fd >= 0)
		close(fd);
	if (size != 4 || memcmp(magic, "hsqs", 4) != 0)
		return fault_set(fault, BERTH_INVALID, "no squashfs image");
	code = unpack(file, directory, tree, fault);
	return code == 0 ? archive_tree_inspect(tree, fault) : code;
}
