#include "node/lib/pki.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/lib/stream_inner.h"

#define CA_DAYS 3650
#define BACKDATE_SECONDS (24L * 3600)
#define PATH_SIZE 4096

static int failed(struct fault *fault, const char *what)
{
	return fault_set(fault, BERTH_IO, "%s: %s", what,
			 stream__ssl_reason());
}

/* Files: written aside, synced and renamed. */

static int open_aside(const char *path, mode_t mode, char aside[PATH_SIZE],
		      BIO **out, struct fault *fault)
{
	int fd;

	if (snprintf(aside, PATH_SIZE, "%s.new", path) >= PATH_SIZE)
		return fault_set(fault, BERTH_TOOBIG, "%s: path too long",
				 path);
	unlink(aside);
	fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return fault_set(fault, BERTH_IO, "%s: %s", aside,
				 strerror(errno));
	*out = BIO_new_fd(fd, BIO_CLOSE);
	if (*out)
		return BERTH_OK;
	close(fd);
	return fault_set(fault, BERTH_NOMEM, "out of memory");
}

static int put_aside_in_place(const char *path, const char *aside, BIO *bio,
			      bool written, struct fault *fault)
{
	long fd = BIO_get_fd(bio, NULL);
	int code = BERTH_OK;

	if (!written || fsync((int)fd) != 0)
		code = fault_set(fault, BERTH_IO, "%s: cannot be written",
				 aside);
	BIO_free(bio);
	if (!code && rename(aside, path) != 0)
		code = fault_set(fault, BERTH_IO, "rename to %s: %s", path,
				 strerror(errno));
	if (code)
		unlink(aside);
	return code;
}

static int write_certificate(const char *path, X509 *certificate,
			     struct fault *fault)
{
	char aside[PATH_SIZE];
	BIO *bio = NULL;
	int code = open_aside(path, 0644, aside, &bio, fault);

	if (code)
		return code;
	return put_aside_in_place(path, aside, bio,
				  PEM_write_bio_X509(bio, certificate) == 1,
				  fault);
}

static int write_key(const char *path, EVP_PKEY *key, struct fault *fault)
{
	char aside[PATH_SIZE];
	BIO *bio = NULL;
	int code = open_aside(path, 0600, aside, &bio, fault);

	if (code)
		return code;
	return put_aside_in_place(path, aside, bio,
				  PEM_write_bio_PKCS8PrivateKey(
					  bio, key, NULL, NULL, 0, NULL,
					  NULL) == 1,
				  fault);
}

static int make_directory(const char *path, struct fault *fault)
{
	char part[PATH_SIZE];

	if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
		return fault_set(fault, BERTH_TOOBIG, "%s: path too long",
				 path);
	for (char *at = part + 1; *at; at++) {
		if (*at != '/')
			continue;
		*at = '\0';
		mkdir(part, 0755);
		*at = '/';
	}
	if (mkdir(part, 0700) != 0 && errno != EEXIST)
		return fault_set(fault, BERTH_IO, "%s: %s", path,
				 strerror(errno));
	return BERTH_OK;
}

/* Certificates. */

static bool set_serial(X509 *certificate)
{
	unsigned char random[16];
	BIGNUM *number;
	bool good;

	if (RAND_bytes(random, sizeof random) != 1)
		return false;
	random[0] = (random[0] & 0x7f) | 0x40; /* positive, never short */
	number = BN_bin2bn(random, sizeof random, NULL);
	good = number && BN_to_ASN1_INTEGER(
				 number, X509_get_serialNumber(certificate));
	BN_free(number);
	return good;
}

static bool set_subject(X509_NAME *name, const char *cluster,
			const char *common)
{
	return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
					  (const unsigned char *)cluster, -1,
					  -1, 0) == 1 &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
					  (const unsigned char *)common, -1, -1,
					  0) == 1;
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid,
			  const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX ctx;
	bool good;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return good;
}

static X509 *start_certificate(EVP_PKEY *key, const char *cluster,
			       const char *common, uint32_t days)
{
	X509 *certificate = X509_new();
	long seconds = (long)days * 24 * 3600;
	char name[65]; /* X.509 allows 64; nobody compares this one */

	snprintf(name, sizeof name, "%s", common);
	if (certificate && X509_set_version(certificate, X509_VERSION_3) &&
	    set_serial(certificate) &&
	    X509_gmtime_adj(X509_getm_notBefore(certificate),
			    -BACKDATE_SECONDS) &&
	    X509_gmtime_adj(X509_getm_notAfter(certificate), seconds) &&
	    X509_set_pubkey(certificate, key) &&
	    set_subject(X509_get_subject_name(certificate), cluster, name))
		return certificate;
	X509_free(certificate);
	return NULL;
}

static X509 *make_ca(EVP_PKEY *key, const char *cluster)
{
	X509 *ca = start_certificate(key, cluster, "Berth CA", CA_DAYS);

	if (ca && X509_set_issuer_name(ca, X509_get_subject_name(ca)) &&
	    add_extension(ca, ca, NID_basic_constraints,
			  "critical,CA:TRUE,pathlen:0") &&
	    add_extension(ca, ca, NID_key_usage,
			  "critical,keyCertSign,cRLSign") &&
	    add_extension(ca, ca, NID_subject_key_identifier, "hash") &&
	    X509_sign(ca, key, EVP_sha256()) > 0)
		return ca;
	X509_free(ca);
	return NULL;
}

static bool cluster_valid(const char *cluster)
{
	struct identity parsed;
	char uri[128];

	snprintf(uri, sizeof uri, "berth://%s/operator/x", cluster);
	return strlen(cluster) < sizeof parsed.cluster &&
	       identity_parse(uri, &parsed) == BERTH_OK &&
	       strcmp(parsed.cluster, cluster) == 0;
}

int pki_init(const char *directory, const char *cluster, struct fault *fault)
{
	char ca_path[PATH_SIZE], key_path[PATH_SIZE];
	EVP_PKEY *key = NULL;
	X509 *ca = NULL;
	int code;

	if (!cluster_valid(cluster))
		return fault_set(fault, BERTH_INVALID,
				 "cluster name \"%s\": letters, digits, . _ "
				 "and - are allowed, at most 63", cluster);
	code = make_directory(directory, fault);
	if (code)
		return code;
	snprintf(ca_path, sizeof ca_path, "%s/ca.pem", directory);
	snprintf(key_path, sizeof key_path, "%s/ca-key.pem", directory);
	if (access(ca_path, F_OK) == 0 || access(key_path, F_OK) == 0)
		return fault_set(fault, BERTH_EXISTS,
				 "%s has a certificate authority already",
				 directory);
	ERR_clear_error();
	key = EVP_EC_gen("P-256");
	ca = key ? make_ca(key, cluster) : NULL;
	if (!ca)
		code = failed(fault, "certificate authority");
	if (!code)
		code = write_key(key_path, key, fault);
	if (!code)
		code = write_certificate(ca_path, ca, fault);
	X509_free(ca);
	EVP_PKEY_free(key);
	return code;
}

struct authority {
	X509 *certificate;
	EVP_PKEY *key;
};

static void authority_fini(struct authority *ca)
{
	X509_free(ca->certificate);
	EVP_PKEY_free(ca->key);
}

static int authority_load(struct authority *ca, const char *directory,
			  struct fault *fault)
{
	char path[PATH_SIZE];
	BIO *bio;

	snprintf(path, sizeof path, "%s/ca.pem", directory);
	bio = BIO_new_file(path, "r");
	ca->certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	if (!ca->certificate)
		return failed(fault, path);
	snprintf(path, sizeof path, "%s/ca-key.pem", directory);
	bio = BIO_new_file(path, "r");
	ca->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	if (!ca->key)
		return failed(fault, path);
	if (X509_check_private_key(ca->certificate, ca->key) != 1)
		return fault_set(fault, BERTH_MISMATCH,
				 "%s: ca-key.pem is not the key of ca.pem",
				 directory);
	return BERTH_OK;
}

static int add_name(GENERAL_NAMES *names, int kind, const char *value)
{
	GENERAL_NAME *name = a2i_GENERAL_NAME(NULL, NULL, NULL, kind, value, 0);

	if (name && sk_GENERAL_NAME_push(names, name) > 0)
		return BERTH_OK;
	GENERAL_NAME_free(name);
	return BERTH_INVALID;
}

static int add_host(GENERAL_NAMES *names, const char *host)
{
	unsigned char address[16];
	bool numeric = inet_pton(AF_INET, host, address) == 1 ||
		       inet_pton(AF_INET6, host, address) == 1;

	if (numeric)
		return add_name(names, GEN_IPADD, host);
	if (*host == '\0' || strlen(host) > 253 ||
	    host[strspn(host, "abcdefghijklmnopqrstuvwxyz"
			      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-*")])
		return BERTH_INVALID;
	return add_name(names, GEN_DNS, host);
}

static int add_names(X509 *leaf, const struct identity *identity,
		     const char *const *hosts, struct fault *fault)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	char uri[192];
	int code;

	if (!names)
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	identity_text(identity, uri, sizeof uri);
	code = add_name(names, GEN_URI, uri);
	for (; !code && hosts && *hosts; hosts++) {
		code = add_host(names, *hosts);
		if (code)
			fault_set(fault, code, "\"%s\" is no host name",
				  *hosts);
	}
	if (!code && X509_add1_ext_i2d(leaf, NID_subject_alt_name, names, 0,
				       X509V3_ADD_DEFAULT) != 1)
		code = failed(fault, "alternative names");
	GENERAL_NAMES_free(names);
	return code;
}

static int sign_leaf(X509 *leaf, const struct authority *ca,
		     struct fault *fault)
{
	if (X509_set_issuer_name(leaf, X509_get_subject_name(ca->certificate)) &&
	    add_extension(leaf, ca->certificate, NID_basic_constraints,
			  "critical,CA:FALSE") &&
	    add_extension(leaf, ca->certificate, NID_key_usage,
			  "critical,digitalSignature") &&
	    add_extension(leaf, ca->certificate, NID_ext_key_usage,
			  "serverAuth,clientAuth") &&
	    add_extension(leaf, ca->certificate, NID_subject_key_identifier,
			  "hash") &&
	    add_extension(leaf, ca->certificate, NID_authority_key_identifier,
			  "keyid") &&
	    X509_sign(leaf, ca->key, EVP_sha256()) > 0)
		return BERTH_OK;
	return failed(fault, "sign");
}

/* The CA signs for its own cluster only: its subject says which. */
static int check_request(const struct authority *ca,
			 const struct identity *identity, struct fault *fault)
{
	struct identity parsed;
	char uri[192], cluster[64] = "";

	X509_NAME_get_text_by_NID(X509_get_subject_name(ca->certificate),
				  NID_organizationName, cluster,
				  sizeof cluster);
	identity_text(identity, uri, sizeof uri);
	if (identity_parse(uri, &parsed))
		return fault_set(fault, BERTH_INVALID,
				 "\"%s\" is no identity", uri);
	if (strcmp(cluster, identity->cluster) != 0)
		return fault_set(fault, BERTH_MISMATCH,
				 "this is the authority of cluster \"%s\", "
				 "not of \"%s\"", cluster, identity->cluster);
	return BERTH_OK;
}

static int write_all(const char *out, const struct authority *ca, X509 *leaf,
		     EVP_PKEY *key, struct fault *fault)
{
	char path[PATH_SIZE];
	int code = make_directory(out, fault);

	if (code)
		return code;
	snprintf(path, sizeof path, "%s/key.pem", out);
	code = write_key(path, key, fault);
	snprintf(path, sizeof path, "%s/cert.pem", out);
	if (!code)
		code = write_certificate(path, leaf, fault);
	snprintf(path, sizeof path, "%s/ca.pem", out);
	if (!code)
		code = write_certificate(path, ca->certificate, fault);
	return code;
}

int pki_issue(const char *directory, const char *out,
	      const struct identity *identity, const char *const *hosts,
	      uint32_t days, struct fault *fault)
{
	struct authority ca = { NULL, NULL };
	EVP_PKEY *key = NULL;
	X509 *leaf = NULL;
	int code;

	ERR_clear_error();
	code = authority_load(&ca, directory, fault);
	if (!code)
		code = check_request(&ca, identity, fault);
	if (!code) {
		key = EVP_EC_gen("P-256");
		leaf = key ? start_certificate(key, identity->cluster,
					       identity->name, days)
			   : NULL;
		if (!leaf)
			code = failed(fault, "certificate");
	}
	if (!code)
		code = add_names(leaf, identity, hosts, fault);
	if (!code)
		code = sign_leaf(leaf, &ca, fault);
	if (!code)
		code = write_all(out, &ca, leaf, key, fault);
	X509_free(leaf);
	EVP_PKEY_free(key);
	authority_fini(&ca);
	return code;
}
