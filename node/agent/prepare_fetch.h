/* Messages and files by their hash: from the cache, else from the CCNs in
 * turn. Private to preparation. */
#ifndef NODE_AGENT_PREPARE_FETCH_H
#define NODE_AGENT_PREPARE_FETCH_H

#include "node/agent/prepare.h"

struct fetch_call;

/* What a STORE calls its file: by sha256, or by the digest of a CIDv0. */
struct file_name {
	struct hash digest;
	bool ipfs;
};
#define FILE_NAME_TEXT_SIZE 65
/* `item_type` and `item_hash` of a STORE. Errors: MALFORMED. */
MUST_CHECK int file_name_parse(const char *item_type, const char *item_hash,
			       struct file_name *out);
void file_name_text(const struct file_name *name,
		    char text[FILE_NAME_TEXT_SIZE]);

/* One fetch at a time a job; memory of the job. */
struct fetch {
	struct agent *agent;
	uint32_t ccn;             /* the one being asked */
	struct fetch_call *call;  /* open request, or NULL */
	struct hash hash;         /* what is asked for */
	struct file_name file;    /* of fetch_file */
	char query[256];          /* path and query at the CCN */
	char owner[128];          /* of fetch_latest */
	size_t size_max;
	struct fault fault;       /* of the last CCN that failed */
	int (*use)(struct fetch *fetch, const struct http_answer *answer);
	/* data is borrowed until it returns; NULL: see fetch->fault. */
	void (*done)(struct fetch *fetch, const char *data, size_t size);
	void *ctx;                /* the caller's */
	char *data;               /* what `use` found, malloc'd */
	size_t size;
};

/* The item_content of an inline message, verified to have this hash. */
void fetch_message(struct fetch *fetch, const struct hash *hash,
		   void (*done)(struct fetch *, const char *, size_t));
/* The newest STORE by `owner` with content.ref == ref: gives its item_content;
 * empty data if there is none. */
void fetch_latest(struct fetch *fetch, const struct hash *ref,
		  const char *owner,
		  void (*done)(struct fetch *, const char *, size_t));
/* A stored file, verified to have this name: put into DIRECTORY/cache/files;
 * data is its path. */
void fetch_file(struct fetch *fetch, const struct file_name *name,
		void (*done)(struct fetch *, const char *, size_t));
/* done is not called any more. */
void fetch_cancel(struct fetch *fetch);

MUST_CHECK int cache_path(const struct agent_config *config, const char *kind,
			  const struct hash *hash, const char *suffix,
			  char path[PREPARE_PATH_MAX]);
/* A cached message whose hash still fits; malloc'd, or NULL. */
char *cache_message(const struct agent_config *config,
		    const struct hash *hash, size_t *size);
void cache_message_put(const struct agent_config *config,
		       const struct hash *hash, const char *data, size_t size);

#endif
