/* What a program may not ask of the kernel, whatever sandbox it is put in. */
#ifndef NODE_AGENT_CONFINE_H
#define NODE_AGENT_CONFINE_H

/* For the process that becomes the sandbox, with rights of its own: a session
 * keyring of its own, and a filter that stays with all its descendants. None
 * can make a user namespace, where it would have rights over parts of the
 * kernel that nobody else reaches; none uses keys, io_uring and others that a
 * program does not need. 0, or -1 with errno. */
int confine_program(void);

#endif
