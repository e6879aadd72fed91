/* A reference to a STORE message becomes a directory here: message, newest
 * revision if asked for, file, unpacked. Private to preparation. */
#ifndef NODE_AGENT_PREPARE_REFERENCE_H
#define NODE_AGENT_PREPARE_REFERENCE_H

#include "node/agent/archive.h"
#include "node/agent/prepare_fetch.h"

struct reference_work;

struct reference {
	struct agent *agent;
	struct fetch fetch;
	struct reference_work *work; /* unpacking in the pool, or NULL */
	struct hash ref;
	struct file_name file;
	bool use_latest;
	enum aleph_encoding encoding;
	char name[256];               /* PLAIN: of the file */
	char owner[128];
	char path[PREPARE_PATH_MAX];  /* the directory, when done */
	struct fault fault;
	void (*done)(struct reference *reference, int code);
	void *ctx;
};
/* Call done once, perhaps before it returns; code 0 and path, or fault. */
void reference_start(struct reference *reference);
void reference_cancel(struct reference *reference);

#endif
