/* Throw-away authorities and certificates for tests. Everything here asserts.
 */
#ifndef TESTS_KIT_CERTS_H
#define TESTS_KIT_CERTS_H

#include "node/lib/stream.h"

#define CERTS_PATH_SIZE 160

/* A temporary folder, and its removal with all that is in it. */
void certs_folder(char path[CERTS_PATH_SIZE]);
void certs_remove(const char *path);
/* An authority in ROOT/NAME-ca of `cluster`. */
void certs_authority(const char *root, const char *name, const char *cluster);
/* A certificate in ROOT/NAME of the authority AUTHORITY; for 127.0.0.1 and
 * localhost. */
void certs_issue(const char *root, const char *authority, const char *name,
		 const char *cluster, enum identity_role role,
		 const char *identity);
/* The same, opened. */
struct stream_tls *certs_open(const char *root, const char *name);

#endif
