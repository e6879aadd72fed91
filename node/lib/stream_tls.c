#include "node/lib/stream.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "node/lib/stream_inner.h"

const char *stream__ssl_reason(void)
{
	unsigned long error = ERR_peek_last_error();
	const char *reason = error ? ERR_reason_error_string(error) : NULL;

	ERR_clear_error();
	return reason ? reason : "no reason was given";
}

size_t stream__alpn_wire(const char *const *alpns,
			 uint8_t wire[STREAM_ALPN_SIZE_MAX])
{
	size_t size = 0;

	for (; *alpns; alpns++) {
		size_t length = strlen(*alpns);

		if (length == 0 || length > 31 ||
		    size + 1 + length > STREAM_ALPN_SIZE_MAX)
			return 0;
		wire[size++] = (uint8_t)length;
		memcpy(wire + size, *alpns, length);
		size += length;
	}
	return size;
}

static int refuse(X509_STORE_CTX *store, struct fault *refusal, int code,
		  const char *what, const struct identity *peer)
{
	char text[192];

	identity_text(peer, text, sizeof text);
	fault_set(refusal, code, "%s (%s)", what, text);
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

static int check_identity(X509_STORE_CTX *store,
			  struct stream_session *session,
			  const struct identity *peer)
{
	const struct identity *expected = &session->expected;

	if (strcmp(peer->cluster, session->tls->self.cluster) != 0)
		return refuse(store, &session->refusal, BERTH_DENIED,
			      "its certificate is of another cluster", peer);
	if (session->has_expected &&
	    (peer->role != expected->role ||
	     strcmp(peer->name, expected->name) != 0))
		return refuse(store, &session->refusal, BERTH_MISMATCH,
			      "it is another than the one expected", peer);
	session->peer = *peer;
	session->has_peer = true;
	return 1;
}

/* Called for each certificate of the chain, root first. */
static int on_verify(int good, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct stream_session *session = SSL_get_app_data(ssl);
	struct identity peer = { .role = 0 };
	X509 *leaf = X509_STORE_CTX_get0_cert(store);
	int unreadable = leaf ? stream__identity_of(leaf, &peer) : 1;

	if (!session)
		return good;
	if (!good) {
		fault_set(&session->refusal, BERTH_DENIED,
			  "its certificate is refused: %s%s%s",
			  X509_verify_cert_error_string(
				  X509_STORE_CTX_get_error(store)),
			  unreadable ? "" : "; it says it is of cluster ",
			  peer.cluster);
		return 0;
	}
	if (X509_STORE_CTX_get_error_depth(store) > 0)
		return 1;
	if (!unreadable)
		return check_identity(store, session, &peer);
	fault_set(&session->refusal, BERTH_DENIED,
		  "its certificate carries no berth:// identity");
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
		   const unsigned char *in, unsigned int in_size, void *ctx)
{
	struct stream_session *session = SSL_get_app_data(ssl);
	unsigned char *chosen;

	(void)ctx;
	if (!session ||
	    SSL_select_next_proto(&chosen, out_size, session->offer,
				  (unsigned)session->offer_size, in,
				  in_size) != OPENSSL_NPN_NEGOTIATED) {
		if (session)
			fault_set(&session->refusal, BERTH_DENIED,
				  "it offers no protocol that is spoken here");
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int load(SSL_CTX *context, const char *directory, struct fault *fault)
{
	char ca[4096], cert[4096], key[4096];

	snprintf(ca, sizeof ca, "%s/ca.pem", directory);
	snprintf(cert, sizeof cert, "%s/cert.pem", directory);
	snprintf(key, sizeof key, "%s/key.pem", directory);
	ERR_clear_error();
	if (SSL_CTX_load_verify_file(context, ca) != 1)
		return fault_set(fault, BERTH_IO, "%s: %s", ca,
				 stream__ssl_reason());
	if (SSL_CTX_use_certificate_chain_file(context, cert) != 1)
		return fault_set(fault, BERTH_IO, "%s: %s", cert,
				 stream__ssl_reason());
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		return fault_set(fault, BERTH_IO, "%s: %s", key,
				 stream__ssl_reason());
	return BERTH_OK;
}

/* Our own certificate must be one that our peers will take: finding out here
 * is kinder than at the first handshake. */
static int check_self(struct stream_tls *tls, const char *directory,
		      struct fault *fault)
{
	X509 *self = SSL_CTX_get0_certificate(tls->context);
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	int code = BERTH_OK;

	if (stream__identity_of(self, &tls->self))
		code = fault_set(fault, BERTH_INVALID,
				 "%s/cert.pem carries no berth:// identity",
				 directory);
	else if (!store ||
		 !X509_STORE_CTX_init(
			 store, SSL_CTX_get_cert_store(tls->context), self,
			 NULL))
		code = fault_set(fault, BERTH_NOMEM, "out of memory");
	else if (X509_verify_cert(store) != 1)
		code = fault_set(fault, BERTH_INVALID, "%s/cert.pem: %s",
				 directory,
				 X509_verify_cert_error_string(
					 X509_STORE_CTX_get_error(store)));
	X509_STORE_CTX_free(store);
	return code;
}

static void configure(SSL_CTX *context)
{
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(context, 0);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(context,
			   SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
			   on_verify);
	SSL_CTX_set_verify_depth(context, 2);
	SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
}

int stream_tls_open(struct stream_tls **out, const char *directory,
		    struct fault *fault)
{
	struct stream_tls *tls = calloc(1, sizeof *tls);
	int code;

	if (!tls)
		return fault_set(fault, BERTH_NOMEM, "out of memory");
	atomic_init(&tls->references, 1);
	tls->context = SSL_CTX_new(TLS_method());
	if (!tls->context) {
		free(tls);
		return fault_set(fault, BERTH_NOMEM, "TLS: %s",
				 stream__ssl_reason());
	}
	configure(tls->context);
	code = load(tls->context, directory, fault);
	if (!code)
		code = check_self(tls, directory, fault);
	if (code)
		stream_tls_close(tls);
	else
		*out = tls;
	return code;
}

struct stream_tls *stream__tls_ref(struct stream_tls *tls)
{
	atomic_fetch_add(&tls->references, 1);
	return tls;
}

void stream_tls_close(struct stream_tls *tls)
{
	if (!tls || atomic_fetch_sub(&tls->references, 1) > 1)
		return;
	SSL_CTX_free(tls->context);
	free(tls);
}

const struct identity *stream_tls_self(const struct stream_tls *tls)
{
	return &tls->self;
}
