// Certificates: checked before lws sees them, so that a bad one gets a sentence; swapped while serving.
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/alloc.h"
#include "http/private.h"
#include "base/banned.h"

static int openssl_fail(struct kp_error *err, const char *what, const char *file)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    kp_fail(
        err, KP_TLS, "cannot use %s '%s': %s", what, file, reason != NULL ? reason : "not readable as PEM");
    ERR_clear_error();
    return KP_TLS;
}

static int check_pair(SSL_CTX *ctx, const char *cert, const char *key, struct kp_error *err)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
        return openssl_fail(err, "certificate", cert);
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        return openssl_fail(err, "private key", key);
    if (SSL_CTX_check_private_key(ctx) != 1)
        return openssl_fail(err, "private key", key);
    return 0;
}

static int check_files(const char *cert, const char *key, const char *ca, struct kp_error *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int code = ctx == NULL ? kp_fail(err, KP_INTERNAL, "OpenSSL makes no context") : 0;
    if (code == 0)
        code = check_pair(ctx, cert, key, err);
    if (code == 0 && ca != NULL && SSL_CTX_load_verify_locations(ctx, ca, NULL) != 1)
        code = openssl_fail(err, "client CA", ca);
    SSL_CTX_free(ctx);
    return code;
}

int kp_http_tls_check(const struct kp_http_listener *options, struct kp_error *err)
{
    if ((options->cert_file == NULL) != (options->key_file == NULL))
        return kp_fail(err, KP_INVALID, "a certificate needs its private key and the other way round");
    if (options->cert_file == NULL && options->client_ca_file != NULL)
        return kp_fail(err, KP_INVALID, "a client CA needs a certificate of the server");
    if (options->cert_file == NULL)
        return 0;
    return check_files(options->cert_file, options->key_file, options->client_ca_file, err);
}

static int reload_ca(const struct kp_listener *listener, struct kp_error *err)
{
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(listener->client_ca_file);
    if (store == NULL || names == NULL ||
        X509_STORE_load_locations(store, listener->client_ca_file, NULL) != 1) {
        X509_STORE_free(store);
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return openssl_fail(err, "client CA", listener->client_ca_file);
    }
    SSL_CTX_set_cert_store(listener->ssl_ctx, store); // takes both
    SSL_CTX_set_client_CA_list(listener->ssl_ctx, names);
    return 0;
}

int kp_http_tls_reload(struct kp_listener *listener, struct kp_error *err)
{
    if (listener->cert_file == NULL)
        return 0;
    int code = check_files(listener->cert_file, listener->key_file, listener->client_ca_file, err);
    if (code != 0)
        return code;
    if (lws_tls_cert_updated(
            listener->server->lws, listener->cert_file, listener->key_file, NULL, 0, NULL, 0) != 0)
        return kp_fail(err, KP_TLS, "cannot swap certificate '%s'", listener->cert_file);
    return listener->client_ca_file != NULL && listener->ssl_ctx != NULL ? reload_ca(listener, err) : 0;
}
