#include "node/lib/stream.h"

#include <openssl/x509v3.h>
#include <stdio.h>

#include "node/lib/stream_inner.h"

#define SCHEME "berth://"

static const char *const role_names[] = {
	[IDENTITY_REPLICA] = "replica",
	[IDENTITY_CRN] = "crn",
	[IDENTITY_OPERATOR] = "operator",
};

static bool all_of(const char *text, const char *allowed)
{
	return *text && text[strspn(text, allowed)] == '\0';
}

#define DIGITS "0123456789"
#define WORD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "._-"

static bool name_valid(enum identity_role role, const char *name)
{
	switch (role) {
	case IDENTITY_REPLICA:
		return all_of(name, DIGITS) && name[0] != '0' &&
		       strlen(name) <= 20;
	case IDENTITY_CRN:
		return all_of(name, DIGITS "abcdef") && strlen(name) == 64;
	case IDENTITY_OPERATOR:
		return all_of(name, WORD "@");
	}
	return false;
}

/* Copies up to `end` and moves past it; false if it does not fit. */
static bool take(const char **at, char end, char *text, size_t size)
{
	size_t length = strcspn(*at, (char[]){ end, '\0' });

	if (length >= size || (*at)[length] != end)
		return false;
	memcpy(text, *at, length);
	text[length] = '\0';
	*at += length + (end != '\0');
	return true;
}

int identity_parse(const char *uri, struct identity *out)
{
	struct identity identity = { .role = 0 };
	const char *at = uri + sizeof SCHEME - 1;
	char role[16];

	if (strncmp(uri, SCHEME, sizeof SCHEME - 1) != 0 ||
	    !take(&at, '/', identity.cluster, sizeof identity.cluster) ||
	    !take(&at, '/', role, sizeof role) ||
	    !take(&at, '\0', identity.name, sizeof identity.name))
		return BERTH_MALFORMED;
	for (uint32_t i = 1; i < COUNT_OF(role_names); i++)
		if (strcmp(role, role_names[i]) == 0)
			identity.role = (enum identity_role)i;
	if (!all_of(identity.cluster, WORD) ||
	    !name_valid(identity.role, identity.name))
		return BERTH_MALFORMED;
	*out = identity;
	return BERTH_OK;
}

void identity_text(const struct identity *identity, char *text, size_t size)
{
	bool known = identity->role >= IDENTITY_REPLICA &&
		     identity->role <= IDENTITY_OPERATOR;

	snprintf(text, size, SCHEME "%s/%s/%s", identity->cluster,
		 known ? role_names[identity->role] : "?", identity->name);
}

/* The URI as a string without NUL inside; false if it does not fit. */
static bool uri_text(const ASN1_IA5STRING *value, char *text, size_t size)
{
	const unsigned char *data = ASN1_STRING_get0_data(value);
	int length = ASN1_STRING_length(value);

	if (length <= 0 || (size_t)length >= size ||
	    memchr(data, 0, (size_t)length))
		return false;
	memcpy(text, data, (size_t)length);
	text[length] = '\0';
	return true;
}

int stream__identity_of(X509 *certificate, struct identity *out)
{
	GENERAL_NAMES *names;
	int found = 0, code = BERTH_MALFORMED;

	names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		char uri[192];

		if (name->type != GEN_URI)
			continue;
		found++;
		if (uri_text(name->d.uniformResourceIdentifier, uri,
			     sizeof uri))
			code = identity_parse(uri, out);
	}
	GENERAL_NAMES_free(names);
	/* Two URIs are two identities: neither is proven. */
	return found == 1 ? code : BERTH_MALFORMED;
}
