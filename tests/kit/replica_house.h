/* A whole replica in the test's process: edge and core on one loop's thread
 * and the consensus thread, a client to ask it, and a pretended CCN. */
#ifndef TESTS_KIT_REPLICA_HOUSE_H
#define TESTS_KIT_REPLICA_HOUSE_H

#include "node/lib/crypto.h"
#include "node/lib/http_client.h"
#include "node/lib/httpd.h"
#include "node/lib/json.h"
#include "node/replica/edge.h"
#include "tests/kit/certs.h"

/* The CCN: a list of envelopes, and ways to misbehave. */
#define FAKE_MESSAGES_MAX 600
struct fake_ccn {
	json_t *messages[FAKE_MESSAGES_MAX]; /* borrowed by the answers */
	uint32_t count, asked, confirms;
	uint32_t lie_total;    /* added to the total: the list looks shrunk */
	uint32_t fail_page;    /* this page answers 500; 0: none */
	bool fail, truncate, garbage, not_list;
	const char *status;    /* of messages/{hash}; NULL: 404 */
	json_t *items;         /* instead, by hash: the whole answer, borrowed */
	struct httpd *httpd;
};

struct house {
	uv_loop_t loop;
	uv_timer_t wake;
	char root[CERTS_PATH_SIZE], directory[CERTS_PATH_SIZE + 16];
	char socket[CERTS_PATH_SIZE + 64], pki[300];
	char ccn_url[64], other_url[64];
	const char *ccns[3];
	struct stream_tls *tls;
	struct core_config core_config;
	struct edge_config edge_config;
	struct core_peer peers[3];
	struct edge_crn crns[2];
	struct edge *edge;
	struct core *core;
	struct http_client *client;
	struct fake_ccn ccn, other;
	uint16_t port; /* +0 TLS, +1 HTTP, +2 CCN, +3 the other CCN */
	bool fatal, closed, answered;
	/* The last answer. */
	int status;
	char *body, headers[4096];
	json_t *json; /* of the body, or NULL */
};

void house_open(struct house *h, uint16_t port);
/* A second CCN, before the start; `up`: it answers. */
void house_other_ccn(struct house *h, bool up);
void house_start(struct house *h); /* edge and core; waits for leadership */
void house_stop(struct house *h);
void house_close(struct house *h);
/* Turns the loop until it is so; fails the test after a while. */
void house_wait(struct house *h, bool (*until)(struct house *h));
/* Asks; local: by the admin socket. The answer is in the house. */
int house_ask(struct house *h, const char *method, const char *path,
	      const char *body, bool local, const char *header);
/* Asks again and again until `until` is so. */
void house_poll(struct house *h, const char *path,
		bool (*until)(struct house *h));
/* By path ("crns.0.hash"), borrowed; NULL: not there. */
const json_t *house_json(struct house *h, const char *path);
const char *house_text(struct house *h, const char *path);

#endif
