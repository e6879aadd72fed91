/* What this process may see of the machine. No heap: the fencer uses it. */
#include "node/agent/machine.h"

#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's fixed inode of the user namespace that it starts with. */
#define INITIAL_USER 0xeffffffdu

bool machine_capable(unsigned capability)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	struct stat user;

	memset(data, 0, sizeof data);
	return stat("/proc/self/ns/user", &user) == 0 &&
	       user.st_ino == INITIAL_USER &&
	       syscall(SYS_capget, &head, data) == 0 &&
	       (data[capability / 32].effective >> capability % 32 & 1) != 0;
}
