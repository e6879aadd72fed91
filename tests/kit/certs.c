#include "tests/kit/certs.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/lib/pki.h"

static void must(int code, const struct fault *fault)
{
	if (code == BERTH_OK)
		return;
	fprintf(stderr, "certs: %s: %s\n", berth_error_name(code),
		fault->text);
	abort();
}

void certs_folder(char path[CERTS_PATH_SIZE])
{
	const char *base = getenv("TMPDIR");

	snprintf(path, CERTS_PATH_SIZE, "%s/berth-test-XXXXXX",
		 base && strlen(base) < 100 ? base : "/tmp");
	REQUIRE(mkdtemp(path) != NULL);
}

static int remove_one(const char *path, const struct stat *status, int flag,
		      struct FTW *walk)
{
	(void)status;
	(void)flag;
	(void)walk;
	return remove(path);
}

void certs_remove(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void certs_authority(const char *root, const char *name, const char *cluster)
{
	char path[CERTS_PATH_SIZE * 2];
	struct fault fault;

	snprintf(path, sizeof path, "%s/%s-ca", root, name);
	must(pki_init(path, cluster, &fault), &fault);
}

void certs_issue(const char *root, const char *authority, const char *name,
		 const char *cluster, enum identity_role role,
		 const char *identity)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost", NULL };
	char from[CERTS_PATH_SIZE * 2], to[CERTS_PATH_SIZE * 2];
	struct identity who = { .role = role };
	struct fault fault;

	snprintf(who.cluster, sizeof who.cluster, "%s", cluster);
	snprintf(who.name, sizeof who.name, "%s", identity);
	snprintf(from, sizeof from, "%s/%s-ca", root, authority);
	snprintf(to, sizeof to, "%s/%s", root, name);
	must(pki_issue(from, to, &who, hosts, 30, &fault), &fault);
}

struct stream_tls *certs_open(const char *root, const char *name)
{
	struct stream_tls *tls = NULL;
	char path[CERTS_PATH_SIZE * 2];
	struct fault fault;

	snprintf(path, sizeof path, "%s/%s", root, name);
	must(stream_tls_open(&tls, path, &fault), &fault);
	return tls;
}
