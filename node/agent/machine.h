/* Which machine this is, and which life of it (lease.md 2.6).
 *
 * `host` survives reboots: a hash of machine-id, DMI product UUID and the
 * random id of the data directory. `boot` does not: the kernel's boot id,
 * machine-id, pid namespace, and the directory's device, inode and random id.
 * The directory is locked for the life of the process.
 */
#ifndef NODE_AGENT_MACHINE_H
#define NODE_AGENT_MACHINE_H

#include "raft/fault.h"

struct machine {
	struct hash host, boot;
	uint8_t kernel_boot[16]; /* the kernel's boot id */
	uint64_t pid_namespace;  /* inode of ours */
	int directory, lock;     /* descriptors, kept for life */
};

/* Makes the directory and its random id if they are not there; the id is made
 * anew if the run table beside it is gone. Errors: BUSY
 * (another fencer has it), IO, CORRUPT. Uses the heap. */
MUST_CHECK int machine_open(struct machine *machine, const char *directory,
			    struct fault *fault);
void machine_close(struct machine *machine);

/* Field 22 of /proc/PID/stat, in ticks since boot; 0: there is no such
 * process; PROCESS_UNSEEN: it cannot be looked at now, which proves nothing.
 * With the pid it names a process for the life of the kernel. */
#define PROCESS_UNSEEN UINT64_MAX
uint64_t process_start(uint32_t pid);

/* This capability, in the initial user namespace. */
bool machine_capable(unsigned capability);

#endif
