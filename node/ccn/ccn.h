/* A small core channel node: messages, what becomes of them, and files.
 *
 * State is what the journal's records make of it, one after the other, so that
 * a restart finds the same verdicts. A record is a message as it was posted
 * with the verdict on its signature, or a file that has arrived. Read
 * process.c for the rules (aleph.md 2.2 to 2.5), routes.c for the HTTP side
 * (aleph.md 3). One thread.
 *
 * Where it differs from the network's CCN: nothing is fetched from other nodes
 * or from IPFS (what is missing stays pending until it is posted here), no
 * balance ever runs out, forgotten files stay on the disk, runtimes and
 * volumes of a program need not be known here (its code must be), and a
 * program may replace an update once the first version was forgotten.
 */
#ifndef NODE_CCN_CCN_H
#define NODE_CCN_CCN_H

#include "node/ccn/journal.h"
#include "node/ccn/map.h"
#include "node/lib/aleph.h"

#define CCN_RECORDS_MAX 1000000u
#define CCN_PENDING_MAX 4096u
#define CCN_FILE_SIZE_MAX (100u << 20)

enum ccn_status { CCN_PENDING = 1, CCN_PROCESSED, CCN_REJECTED, CCN_FORGOTTEN };

/* Codes of the network: aleph.md 2.5. */
enum ccn_code {
	CCN_CODE_FORMAT = 0,
	CCN_CODE_SIGNATURE = 1,
	CCN_CODE_PERMISSION = 2,
	CCN_CODE_CONTENT = 3,
	CCN_CODE_FILE = 4,
	CCN_CODE_POST_TARGET = 101,
	CCN_CODE_STORE_TARGET = 200,
	CCN_CODE_STORE_UPDATE = 201,
	CCN_CODE_VM_REF = 300,
	CCN_CODE_VM_AMEND = 302,
	CCN_CODE_VM_UPDATE = 303,
	CCN_CODE_FORGET_NO_TARGET = 500,
	CCN_CODE_FORGET_TARGET = 501,
	CCN_CODE_FORGET_FORGET = 502,
	CCN_CODE_FORGET_DENIED = 503,
};

struct ccn_file {
	char hash[65];     /* sha256 of its bytes */
	char cid[64];      /* its IPFS name when added as one, or "" */
	uint64_t size;
};

struct ccn_record {
	struct aleph_message message; /* content: of its file, too, once there */
	enum ccn_status status;
	int code;            /* rejected: why; pending: what it waits for */
	char error[512];     /* the sentence for the code */
	char forgotten_by[96];
	uint64_t reception_us; /* Unix time */
	uint64_t size;       /* bytes of content */
};

struct ccn {
	char *directory, *files;
	int lock_fd;
	struct journal journal;
	struct ccn_record **records; /* in order of arrival */
	uint32_t record_count, record_capacity, pending_count;
	struct map by_hash;   /* item hash to record */
	struct map file_map;  /* sha256 and CID to file */
	uint32_t file_count;
	uint64_t cut; /* bytes of a torn tail, cut when it was opened */
};

const char *ccn_status_name(enum ccn_status status);

/* Takes the lock on the folder, makes what is missing, replays. Errors: BUSY
 * (another process has it), CORRUPT, IO, NOMEM. */
MUST_CHECK int ccn_open(struct ccn **out, const char *directory,
			struct fault *fault);
void ccn_close(struct ccn *ccn);

/* Takes a message; what it became is durable when this returns. Errors:
 * MALFORMED, TOOBIG, INVALID (it is not one: nothing is kept), BUSY (too many
 * pending or in all), NOSPACE, IO. */
MUST_CHECK int ccn_post(struct ccn *ccn, const json_t *envelope,
			uint64_t now_us, const struct ccn_record **out,
			struct fault *fault);
/* Takes a file under its sha256, and under `cid` if that is not NULL; messages
 * that waited for it go on. Errors: TOOBIG, NOSPACE, IO, NOMEM. */
MUST_CHECK int ccn_file_add(struct ccn *ccn, const void *data, size_t size,
			    const char *cid, const struct ccn_file **out,
			    struct fault *fault);
const struct ccn_file *ccn_file_find(const struct ccn *ccn, const char *hash);
MUST_CHECK int ccn_file_read(const struct ccn *ccn,
			     const struct ccn_file *file, void **out,
			     struct fault *fault);
const struct ccn_record *ccn_find(const struct ccn *ccn,
				  const char *item_hash);

/* Between the files of this folder. */

/* Decides a pending record once more, and applies it when it can be. */
void ccn__process(struct ccn *ccn, struct ccn_record *record);
void ccn__process_forget(struct ccn *ccn, struct ccn_record *record);
/* Set status, code and sentence. */
void ccn__reject(struct ccn_record *record, int code, const char *format, ...)
	PRINTF_LIKE(3, 4);
void ccn__wait(struct ccn_record *record, int code, const char *format, ...)
	PRINTF_LIKE(3, 4);
const char *ccn__owner(const struct ccn_record *record); /* content.address */
const char *ccn__content_string(const struct ccn_record *record,
				const char *key); /* or NULL */

#endif
