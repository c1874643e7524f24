// Certificates read and verified.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "pki/pem.h"
#include "pki/pki.h"
#include "base/banned.h"

// ---- reading ----

static bool time_ms(const ASN1_TIME *time, int64_t *ret)
{
    struct tm tm = {0};
    if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1)
        return false;
    *ret = (int64_t)timegm(&tm) * 1000;
    return true;
}

static void copy_key_id(uint8_t out[20], const ASN1_OCTET_STRING *id)
{
    memset(out, 0, 20);
    if (id != NULL && ASN1_STRING_length(id) == 20)
        memcpy(out, ASN1_STRING_get0_data(id), 20);
}

static void copy_common_name(char *out, size_t size, const X509_NAME *name)
{
    unsigned char *text = NULL;
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    int n =
        at >= 0 ? ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at))) : -1;
    kp_printable(out, size, n > 0 ? (const char *)text : "", n > 0 ? (size_t)n : 0);
    OPENSSL_free(text);
}

static int read_cert(X509 *cert, struct kp_pki_facts *ret, struct kp_error *err)
{
    struct kp_pki_facts facts = {.is_ca = X509_check_ca(cert) == 1};
    if (!time_ms(X509_get0_notBefore(cert), &facts.not_before_ms) ||
        !time_ms(X509_get0_notAfter(cert), &facts.not_after_ms))
        return kp_fail(err, KP_INVALID, "the certificate's dates are not readable");
    copy_common_name(facts.common_name, sizeof facts.common_name, X509_get_subject_name(cert));
    copy_key_id(facts.key_id, X509_get0_subject_key_id(cert));
    copy_key_id(facts.issuer_key_id, X509_get0_authority_key_id(cert));
    *ret = facts;
    return 0;
}

int kp_pki_read(const char *cert, struct kp_pki_facts *ret, struct kp_error *err)
{
    X509 *read = NULL;
    int code = kp_pem_cert(cert, &read, err);
    if (code == 0)
        code = read_cert(read, ret, err);
    X509_free(read);
    ERR_clear_error();
    return code;
}

// ---- verifying ----

struct check {
    X509 *cert;
    STACK_OF(X509) * between, *roots;
    EVP_PKEY *key;
    X509_STORE *store;
};

static void check_finish(struct check *check)
{
    X509_free(check->cert);
    sk_X509_pop_free(check->between, X509_free);
    sk_X509_pop_free(check->roots, X509_free);
    EVP_PKEY_free(check->key);
    X509_STORE_free(check->store);
    ERR_clear_error();
}

static int check_open(
    struct check *check, const struct kp_pki_pair *pair, const char *ca, struct kp_error *err)
{
    int code = kp_pem_certs(pair->cert, &check->cert, &check->between, err);
    if (code == 0)
        code = kp_pem_key(pair->key, &check->key, err);
    struct kp_error why = {0};
    if (code == 0 && kp_pem_certs(ca, NULL, &check->roots, &why) != 0)
        code = kp_fail(err, KP_INVALID, "the CA cannot be used: %s", why.text);
    if (code != 0)
        return code;
    check->store = X509_STORE_new();
    for (int i = 0; check->store != NULL && i < sk_X509_num(check->roots); i++)
        if (X509_STORE_add_cert(check->store, sk_X509_value(check->roots, i)) != 1)
            return kp_pem_fail(err, KP_INTERNAL, "cannot use the CA");
    return check->store != NULL ? 0 : kp_pem_fail(err, KP_INTERNAL, "cannot use the CA");
}

static int check_chain(struct check *check, bool is_server, int64_t at_ms, struct kp_error *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int code = 0;
    if (ctx == NULL || X509_STORE_CTX_init(ctx, check->store, check->cert, check->between) != 1) {
        X509_STORE_CTX_free(ctx);
        return kp_pem_fail(err, KP_INTERNAL, "cannot verify a certificate");
    }
    X509_STORE_CTX_set_time(ctx, 0, (time_t)(at_ms / 1000));
    X509_STORE_CTX_set_purpose(ctx, is_server ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_ANY);
    if (X509_verify_cert(ctx) != 1) {
        char when[KP_TIME_TEXT];
        code = kp_fail(err, KP_TLS, "the certificate is not good at %s: %s", kp_time_format(when, at_ms),
            X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    }
    X509_STORE_CTX_free(ctx);
    return code;
}

static int check_names(const struct check *check, const char *const *names, size_t n, struct kp_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (X509_check_host(
                check->cert, names[i], strlen(names[i]), X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) != 1)
            return kp_fail(err, KP_TLS, "the certificate is not for '%.120s'", names[i]);
    return 0;
}

int kp_pki_check(const struct kp_pki_pair *pair, const char *ca, const char *const *dns_names,
    size_t n_dns_names, int64_t at_ms, struct kp_error *err)
{
    struct check check = {0};
    int code = check_open(&check, pair, ca, err);
    if (code == 0 && X509_check_private_key(check.cert, check.key) != 1)
        code = kp_pem_fail(err, KP_TLS, "the private key is not that of the certificate");
    if (code == 0)
        code = check_chain(&check, n_dns_names > 0, at_ms, err);
    if (code == 0)
        code = check_names(&check, dns_names, n_dns_names, err);
    check_finish(&check);
    return code;
}
