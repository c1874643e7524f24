#include "pki/pem.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/banned.h"

#define MAX_TEXT  (256 * KP_KIB)
#define MAX_CERTS 32

int kp_pem_fail(struct kp_error *err, int code, const char *fmt, ...)
{
    char text[200];
    va_list args;
    unsigned long queued = ERR_peek_last_error();
    const char *reason = queued != 0 ? ERR_reason_error_string(queued) : NULL;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    ERR_clear_error();
    return reason != NULL ? kp_fail(err, code, "%s: %s", text, reason) : kp_fail(err, code, "%s", text);
}

// Nobody is asked for a pass phrase.
static int no_password(char *out, int size, int writing, void *user)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)user;
    return -1;
}

static int open_text(const char *text, const char *what, BIO **ret, struct kp_error *err)
{
    size_t len = text != NULL ? strlen(text) : 0;
    ERR_clear_error();
    if (len == 0)
        return kp_fail(err, KP_INVALID, "the %s is empty", what);
    if (len > MAX_TEXT)
        return kp_fail(err, KP_LIMIT, "the %s has %zu bytes, more than 256 KiB", what, len);
    *ret = BIO_new_mem_buf(text, (int)len);
    return *ret != NULL ? 0 : kp_pem_fail(err, KP_INTERNAL, "cannot read the %s", what);
}

int kp_pem_cert(const char *text, X509 **ret, struct kp_error *err)
{
    BIO *bio = NULL;
    if (open_text(text, "certificate", &bio, err) != 0)
        return KP_INVALID;
    X509 *cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
    BIO_free(bio);
    if (cert == NULL)
        return kp_pem_fail(err, KP_INVALID, "the certificate is not readable as PEM");
    *ret = cert;
    ERR_clear_error();
    return 0;
}

int kp_pem_certs(const char *text, X509 **ret_first, STACK_OF(X509) * *ret, struct kp_error *err)
{
    BIO *bio = NULL;
    X509 *cert, *first = NULL;
    if (open_text(text, "certificate", &bio, err) != 0)
        return KP_INVALID;
    STACK_OF(X509) *all = sk_X509_new_null();
    size_t n = 0;
    while (
        all != NULL && n <= MAX_CERTS && (cert = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
        if (n++ == 0 && ret_first != NULL)
            first = cert;
        else if (sk_X509_push(all, cert) <= 0)
            X509_free(cert);
    }
    BIO_free(bio);
    bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (n == 0 || n > MAX_CERTS || !is_end) {
        X509_free(first);
        sk_X509_pop_free(all, X509_free);
        return n > MAX_CERTS ? kp_pem_fail(err, KP_LIMIT, "there are more than %d certificates", MAX_CERTS)
                             : kp_pem_fail(err, KP_INVALID, "certificate %zu is not readable as PEM", n + 1);
    }
    ERR_clear_error();
    if (ret_first != NULL)
        *ret_first = first;
    *ret = all;
    return 0;
}

int kp_pem_key(const char *text, EVP_PKEY **ret, struct kp_error *err)
{
    BIO *bio = NULL;
    if (open_text(text, "private key", &bio, err) != 0)
        return KP_INVALID;
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    if (key == NULL)
        return kp_pem_fail(err, KP_INVALID, "the private key is not readable as PEM");
    *ret = key;
    ERR_clear_error();
    return 0;
}

static char *text_of(BIO *bio)
{
    char *data = NULL;
    long n = BIO_get_mem_data(bio, &data);
    return n > 0 ? kp_strndup(data, (size_t)n) : NULL;
}

char *kp_pem_of_cert(X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = bio != NULL && PEM_write_bio_X509(bio, cert) == 1 ? text_of(bio) : NULL;
    BIO_free(bio);
    return text;
}

char *kp_pem_of_key(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem()); // cleared when freed
    char *text = bio != NULL && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1
                     ? text_of(bio)
                     : NULL;
    BIO_free(bio);
    return text;
}
