// Whose a client certificate is. Every CA is tried by itself: two with the same name (a CA that is being
// replaced) do not stand in each other's light.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "http/private.h"
#include "base/banned.h"

#define MAX_CAS   64
#define MAX_DEPTH 8

struct kp_http_trust {
    int refs;
    size_t n;
    X509_STORE *stores[MAX_CAS]; // each of one CA
};

// ---- trust ----

static int add_ca(struct kp_http_trust *trust, X509 *cert, struct kp_error *err)
{
    if (X509_check_ca(cert) == 0)
        return 0; // could only ever trust itself
    if (trust->n == MAX_CAS)
        return kp_fail(err, KP_LIMIT, "more than %d CA certificates", MAX_CAS);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_add_cert(store, cert);
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN); // it need not be a root
    X509_STORE_set_purpose(store, X509_PURPOSE_SSL_CLIENT);
    X509_STORE_set_depth(store, MAX_DEPTH);
    X509_VERIFY_PARAM_set_auth_level(X509_STORE_get0_param(store), 1); // neither MD5 nor SHA-1
    trust->stores[trust->n++] = store;
    return 0;
}

static int read_cas(struct kp_http_trust *trust, BIO *bio, struct kp_error *err)
{
    X509 *cert;
    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        int code = add_ca(trust, cert, err);
        X509_free(cert);
        if (code != 0)
            return code;
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return kp_http_tls_fail(err, "CA certificates", "a block of them");
    ERR_clear_error();
    return trust->n > 0 ? 0 : kp_fail(err, KP_TLS, "no certificate of a CA is in them");
}

int kp_http_trust_create(const char *pem, struct kp_http_trust **ret, struct kp_error *err)
{
    size_t len = strlen(pem);
    if (len > KP_MIB)
        return kp_fail(err, KP_LIMIT, "more than 1 MiB of CA certificates");
    struct kp_http_trust *trust = KP_NEW(struct kp_http_trust);
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    trust->refs = 1;
    ERR_clear_error();
    int code = read_cas(trust, bio, err);
    BIO_free(bio);
    if (code == 0)
        *ret = trust;
    else
        kp_http_trust_unref(trust);
    return code;
}

void kp_http_trust_unref(struct kp_http_trust *trust)
{
    if (trust == NULL || --trust->refs > 0)
        return;
    for (size_t i = 0; i < trust->n; i++)
        X509_STORE_free(trust->stores[i]);
    kp_free(trust);
}

// ---- a client ----

static bool was_issued_by(X509_STORE *ca, X509 *cert, STACK_OF(X509) * chain)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool is_good = X509_STORE_CTX_init(ctx, ca, cert, chain) == 1 && X509_verify_cert(ctx) == 1;
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return is_good;
}

// The last of several, as Go's crypto/x509 reads it; "" if there is none. NULL: not to be read as text.
static char *common_name(X509 *cert)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    int at = -1, next = -1;
    while ((next = X509_NAME_get_index_by_NID(subject, NID_commonName, next)) >= 0)
        at = next;
    if (at < 0)
        return kp_strdup("");
    unsigned char *text = NULL;
    int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    char *name = NULL;
    if (len >= 0 && memchr(text, '\0', (size_t)len) == NULL)
        name = kp_strndup((const char *)text, (size_t)len);
    OPENSSL_free(text);
    ERR_clear_error();
    return name;
}

static char *name_if_trusted(SSL *ssl, X509 *cert, const struct kp_http_trust *trust)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl); // borrowed
    if (sk_X509_num(chain) > MAX_DEPTH)
        return NULL;
    for (size_t i = 0; i < trust->n; i++)
        if (was_issued_by(trust->stores[i], cert, chain))
            return common_name(cert);
    return NULL;
}

void kp_conn_forget_trusted(struct kp_conn *conn)
{
    for (size_t i = 0; i < KP_COUNT(conn->trusted); i++) {
        kp_http_trust_unref(kp_take(conn->trusted[i].trust));
        kp_free(kp_take(conn->trusted[i].name));
    }
}

const char *kp_http_client_trusted(const struct kp_http_exchange *x, struct kp_http_trust *trust)
{
    struct kp_conn *conn = x->conn;
    SSL *ssl = conn != NULL && conn->wsi != NULL ? lws_get_ssl(conn->wsi) : NULL;
    X509 *cert = ssl != NULL ? SSL_get0_peer_certificate(ssl) : NULL;
    if (trust == NULL || cert == NULL || X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
        return NULL;
    for (size_t i = 0; i < KP_COUNT(conn->trusted); i++)
        if (conn->trusted[i].trust == trust)
            return conn->trusted[i].name;
    struct kp_trusted *slot = &conn->trusted[conn->next_trusted];
    conn->next_trusted = (conn->next_trusted + 1) % KP_COUNT(conn->trusted);
    kp_http_trust_unref(slot->trust);
    kp_free(slot->name);
    trust->refs++; // so that its address means this trust as long as it stands here
    *slot = (struct kp_trusted){trust, name_if_trusted(ssl, cert, trust)};
    return slot->name;
}
