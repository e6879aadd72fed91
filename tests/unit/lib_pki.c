/* The authority of a cluster: files, certificates, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <time.h>

#include "node/lib/pki.h"
#include "tests/kit/certs.h"

static char root[CERTS_PATH_SIZE];

static X509 *load(const char *name)
{
	char path[CERTS_PATH_SIZE * 2];
	X509 *certificate;
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", root, name);
	file = fopen(path, "r");
	assert_non_null(file);
	certificate = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	assert_non_null(certificate);
	return certificate;
}

static int mode_of(const char *name)
{
	char path[CERTS_PATH_SIZE * 2];
	struct stat status;

	snprintf(path, sizeof path, "%s/%s", root, name);
	assert_int_equal(stat(path, &status), 0);
	return (int)(status.st_mode & 0777);
}

static void test_authority(void **state)
{
	X509 *ca = load("demo-ca/ca.pem");

	(void)state;
	assert_int_equal(mode_of("demo-ca/ca-key.pem"), 0600);
	assert_true(X509_check_ca(ca) == 1);
	assert_int_equal(X509_get_key_usage(ca),
			 KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	assert_int_equal(X509_get_pathlen(ca), 0);
	X509_free(ca);
}

static void test_leaf(void **state)
{
	X509 *ca = load("demo-ca/ca.pem"), *leaf = load("r1/cert.pem");
	time_t yesterday = time(NULL) - 23L * 3600;

	(void)state;
	assert_int_equal(mode_of("r1/key.pem"), 0600);
	assert_int_equal(X509_verify(leaf, X509_get0_pubkey(ca)), 1);
	assert_int_equal(X509_check_ca(leaf), 0);
	assert_int_equal(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_extended_key_usage(leaf),
			 XKU_SSL_SERVER | XKU_SSL_CLIENT);
	assert_int_equal(X509_check_ip_asc(leaf, "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(leaf, "127.0.0.2", 0), 0);
	assert_int_equal(X509_check_host(leaf, "localhost", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(leaf, "other", 0, 0, NULL), 0);
	assert_true(X509_cmp_time(X509_get0_notBefore(leaf), &yesterday) < 0);
	assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(leaf)), 256);
	X509_free(ca);
	X509_free(leaf);
}

static void test_serials_differ(void **state)
{
	X509 *one = load("r1/cert.pem"), *two = load("r2/cert.pem");

	(void)state;
	assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(one),
					      X509_get0_serialNumber(two)), 0);
	X509_free(one);
	X509_free(two);
}

static void test_identity(void **state)
{
	struct stream_tls *tls = certs_open(root, "r1");
	const struct identity *self = stream_tls_self(tls);

	(void)state;
	assert_string_equal(self->cluster, "demo");
	assert_int_equal(self->role, IDENTITY_REPLICA);
	assert_string_equal(self->name, "1");
	stream_tls_close(tls);
}

static void test_never_overwrites(void **state)
{
	char path[CERTS_PATH_SIZE * 2];
	struct fault fault;

	(void)state;
	snprintf(path, sizeof path, "%s/demo-ca", root);
	assert_int_equal(pki_init(path, "demo", &fault), BERTH_EXISTS);
	assert_non_null(strstr(fault.text, path));
}

static void issue(const char *from, struct identity who,
		  const char *const *hosts, int code, const char *text)
{
	char ca[CERTS_PATH_SIZE * 2], out[CERTS_PATH_SIZE * 2];
	struct fault fault;

	snprintf(ca, sizeof ca, "%s/%s", root, from);
	snprintf(out, sizeof out, "%s/never", root);
	assert_int_equal(pki_issue(ca, out, &who, hosts, 1, &fault), code);
	if (!strstr(fault.text, text))
		fail_msg("\"%s\" lacks \"%s\"", fault.text, text);
	assert_int_not_equal(access(out, F_OK), 0);
}

static void test_refusals(void **state)
{
	static const char *const bad[] = { "a b", NULL };
	struct identity good = { .cluster = "demo", .role = IDENTITY_REPLICA,
				 .name = "1" };
	struct identity other = good, nobody = good;
	char path[CERTS_PATH_SIZE * 2];
	struct fault fault;

	(void)state;
	snprintf(other.cluster, sizeof other.cluster, "other");
	issue("demo-ca", other, NULL, BERTH_MISMATCH, "\"demo\"");
	snprintf(nobody.name, sizeof nobody.name, "01");
	issue("demo-ca", nobody, NULL, BERTH_INVALID, "identity");
	issue("demo-ca", good, bad, BERTH_INVALID, "\"a b\"");
	issue("nowhere", good, NULL, BERTH_IO, "nowhere/ca.pem");
	snprintf(path, sizeof path, "%s/bad", root);
	assert_int_equal(pki_init(path, "no/slash", &fault), BERTH_INVALID);
	assert_int_equal(pki_init(path, "", &fault), BERTH_INVALID);
	assert_int_equal(pki_init("/proc/none/x", "demo", &fault), BERTH_IO);
}

static void spoil(const char *from, const char *what, const char *with)
{
	char command[CERTS_PATH_SIZE * 8];

	snprintf(command, sizeof command,
		 "rm -rf %s/spoilt && cp -r %s/%s %s/spoilt && cp %s/%s "
		 "%s/spoilt/%s", root, root, from, root, root, with, root,
		 what);
	assert_int_equal(system(command), 0);
}

static void opening_fails(const char *text)
{
	struct stream_tls *tls = NULL;
	char path[CERTS_PATH_SIZE * 2];
	struct fault fault;

	snprintf(path, sizeof path, "%s/spoilt", root);
	assert_true(stream_tls_open(&tls, path, &fault) != 0);
	assert_null(tls);
	if (!strstr(fault.text, text))
		fail_msg("\"%s\" lacks \"%s\"", fault.text, text);
}

static void test_spoilt_directories(void **state)
{
	(void)state;
	spoil("r1", "key.pem", "r2/key.pem");
	opening_fails("key.pem");
	spoil("r1", "ca.pem", "foreign-ca/ca.pem");
	opening_fails("cert.pem");
	spoil("r1", "cert.pem", "demo-ca/ca-key.pem");
	opening_fails("cert.pem");
}

static int setup(void **state)
{
	(void)state;
	certs_folder(root);
	certs_authority(root, "demo", "demo");
	certs_authority(root, "foreign", "demo");
	certs_issue(root, "demo", "r1", "demo", IDENTITY_REPLICA, "1");
	certs_issue(root, "demo", "r2", "demo", IDENTITY_REPLICA, "2");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	certs_remove(root);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_authority),
		cmocka_unit_test(test_leaf),
		cmocka_unit_test(test_serials_differ),
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_never_overwrites),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_spoilt_directories),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
