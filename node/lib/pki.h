/* The cluster's own certificate authority (ECDSA P-256, X.509 v3). */
#ifndef NODE_LIB_PKI_H
#define NODE_LIB_PKI_H

#include "node/lib/stream.h"

/* Makes DIR/ca.pem and DIR/ca-key.pem (0600). Errors: EXISTS, IO. */
MUST_CHECK int pki_init(const char *directory, const char *cluster,
			struct fault *fault);
/* Issues into OUT/{ca,cert,key}.pem from the CA in DIR. `hosts` (NULL-ended)
 * are DNS names and addresses for the certificate's alternative names. */
MUST_CHECK int pki_issue(const char *directory, const char *out,
			 const struct identity *identity,
			 const char *const *hosts, uint32_t days,
			 struct fault *fault);

#endif
