/* The HTTP side of berth-ccn. Source of the shapes: aleph.md 3. */
#ifndef NODE_CCN_ROUTES_H
#define NODE_CCN_ROUTES_H

#include "node/ccn/ccn.h"
#include "node/lib/httpd.h"

#define CCN_VERSION "berth-ccn 1"
#define CCN_PLAIN_FILE_SIZE_MAX (25u << 20) /* without a signed STORE */
#define CCN_BODY_SIZE_MAX (CCN_FILE_SIZE_MAX + (1u << 20))

/* An httpd_handler; ctx is the struct ccn. */
void routes_handle(void *ctx, struct httpd_request *request);

/* Between the files of this folder. `rest` is what follows the route's prefix,
 * without its suffix. */
void routes__post_message(struct ccn *ccn, struct httpd_request *request,
			  const char *rest);
void routes__add_file(struct ccn *ccn, struct httpd_request *request,
		      const char *rest);
void routes__add_file_ipfs(struct ccn *ccn, struct httpd_request *request,
			   const char *rest);
void routes__add_json(struct ccn *ccn, struct httpd_request *request,
		      const char *rest);
void routes__add_json_ipfs(struct ccn *ccn, struct httpd_request *request,
			   const char *rest);
void routes__pubsub(struct ccn *ccn, struct httpd_request *request,
		    const char *rest);
/* Answers with what was written, and frees it. */
void routes__answer(struct httpd_request *request, int status,
		    struct json_writer *w);
void routes__fail(struct httpd_request *request, const struct fault *fault);
/* 200 processed, 202 pending, 422 rejected, 410 forgotten. */
int routes__status(enum ccn_status status);

#endif
