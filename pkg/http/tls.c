// TLS of a listener: certificate and key are read as a pair, checked before lws sees them so that a bad one
// gets a sentence, given to each handshake, and swapped while serving. Clients are asked for a certificate
// and shown to hold its key; whose it is, trust.c finds out when somebody wants to know.
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/limits.h"
#include "http/private.h"
#include "base/banned.h"

#define MAX_CHAIN 16

struct kp_http_pair {
    X509 *cert;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
};

int kp_http_tls_fail(struct kp_error *err, const char *what, const char *subject)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    kp_fail(err, KP_TLS, "cannot use %s '%s': %s", what, subject,
        reason != NULL ? reason : "not readable as PEM");
    ERR_clear_error();
    return KP_TLS;
}

// ---- the pair ----

static void pair_free(struct kp_http_pair *pair)
{
    if (pair == NULL)
        return;
    X509_free(pair->cert);
    sk_X509_pop_free(pair->chain, X509_free);
    EVP_PKEY_free(pair->key);
    kp_free(pair);
}

// A key with a passphrase is refused: nobody is there to be asked for it.
static int no_passphrase(char *buf, int size, int for_writing, void *user)
{
    (void)buf;
    (void)size;
    (void)for_writing;
    (void)user;
    return -1;
}

static int read_pem(const char *file, BIO **ret, char **ret_text, struct kp_error *err)
{
    size_t len;
    ERR_clear_error();
    int code = kp_file_read(file, KP_MIB, ret_text, &len, err);
    if (code == 0)
        *ret = BIO_new_mem_buf(*ret_text, (int)len);
    return code;
}

static int read_cert(struct kp_http_pair *pair, const char *file, struct kp_error *err)
{
    kp_auto_free char *text = NULL;
    BIO *bio = NULL;
    if (read_pem(file, &bio, &text, err) != 0)
        return kp_wrap(err, "cannot use certificate");
    pair->cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    pair->chain = sk_X509_new_null();
    X509 *next;
    while (pair->cert != NULL && sk_X509_num(pair->chain) < MAX_CHAIN &&
           (next = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL)
        sk_X509_push(pair->chain, next);
    BIO_free(bio);
    // the last try finds no further block: any other end is a damaged file
    bool whole = pair->cert != NULL && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    return whole ? 0 : kp_http_tls_fail(err, "certificate", file);
}

static int read_key(struct kp_http_pair *pair, const char *file, struct kp_error *err)
{
    kp_auto_free char *text = NULL;
    BIO *bio = NULL;
    if (read_pem(file, &bio, &text, err) != 0)
        return kp_wrap(err, "cannot use private key");
    pair->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    OPENSSL_cleanse(text, strlen(text));
    if (pair->key == NULL)
        return kp_http_tls_fail(err, "private key", file);
    return X509_check_private_key(pair->cert, pair->key) == 1 ? 0
                                                              : kp_http_tls_fail(err, "private key", file);
}

static int read_pair(
    const char *cert_file, const char *key_file, struct kp_http_pair **ret, struct kp_error *err)
{
    struct kp_error failure = {0};
    struct kp_http_pair *pair = KP_NEW(struct kp_http_pair);
    if (read_cert(pair, cert_file, &failure) == 0 && read_key(pair, key_file, &failure) == 0) {
        ERR_clear_error();
        *ret = pair;
        return 0;
    }
    pair_free(pair);
    return kp_fail(err, failure.code, "%s", failure.text);
}

// ---- whether files are what they were ----

static void look_at(const char *file, struct kp_http_file *ret)
{
    struct stat info;
    *ret = (struct kp_http_file){0};
    if (stat(file, &info) != 0)
        return;
    ret->dev = info.st_dev;
    ret->ino = info.st_ino;
    ret->size = info.st_size;
    ret->changed = info.st_mtim;
    ret->moved = info.st_ctim;
}

static bool is_same(const struct kp_http_file *a, const struct kp_http_file *b)
{
    return a->ino != 0 && a->ino == b->ino && a->dev == b->dev && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec &&
           a->moved.tv_sec == b->moved.tv_sec && a->moved.tv_nsec == b->moved.tv_nsec;
}

// ---- a listener's TLS ----

int kp_http_tls_open(
    struct kp_listener *listener, const struct kp_http_listener *options, struct kp_error *err)
{
    if ((options->cert_file == NULL) != (options->key_file == NULL))
        return kp_fail(err, KP_INVALID, "a certificate needs its private key and the other way round");
    if (options->cert_file == NULL && options->ask_client_cert)
        return kp_fail(err, KP_INVALID, "client certificates need a certificate of the server");
    if (options->cert_file == NULL)
        return 0;
    listener->cert_file = kp_strdup(options->cert_file);
    listener->key_file = kp_strdup(options->key_file);
    listener->ask_client_cert = options->ask_client_cert;
    return kp_http_tls_reload(listener, err);
}

int kp_http_tls_reload(struct kp_listener *listener, struct kp_error *err)
{
    struct kp_http_file cert, key;
    struct kp_http_pair *pair = NULL;
    if (listener->cert_file == NULL)
        return 0;
    // looked at before they are read: what changes in between is read again the next time
    look_at(listener->cert_file, &cert);
    look_at(listener->key_file, &key);
    if (is_same(&cert, &listener->cert_seen) && is_same(&key, &listener->key_seen))
        return 0;
    int code = read_pair(listener->cert_file, listener->key_file, &pair, err);
    if (code != 0)
        return code;
    pair_free(listener->pair);
    listener->pair = pair;
    listener->cert_seen = cert;
    listener->key_seen = key;
    return 0;
}

void kp_http_tls_finish(struct kp_listener *listener)
{
    pair_free(kp_take(listener->pair));
    kp_free(listener->cert_file);
    kp_free(listener->key_file);
}

// Each handshake takes the pair of now. Set in the context it would stay there beside one with a key of
// another kind.
static int on_handshake(SSL *ssl, void *user)
{
    const struct kp_http_pair *pair = ((struct kp_listener *)user)->pair;
    SSL_certs_clear(ssl);
    return SSL_use_cert_and_key(ssl, pair->cert, pair->key, pair->chain, 1);
}

// Not whether the certificate is anybody's: only that the client holds the key, which TLS itself checks.
static int on_client_cert(X509_STORE_CTX *store, void *user)
{
    (void)user;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

void kp_http_tls_set_up(struct kp_listener *listener, void *ssl_ctx)
{
    SSL_CTX *ctx = ssl_ctx;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_cert_cb(ctx, on_handshake, listener);
    if (!listener->ask_client_cert)
        return;
    SSL_CTX_set_cert_verify_callback(ctx, on_client_cert, NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
}
