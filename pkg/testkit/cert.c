#include "testkit/cert.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/banned.h"

static char *text_of(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    char *text = kp_strndup(data, (size_t)len);
    BIO_free(bio);
    return text;
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)strlen(pem));
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(key);
    return key;
}

static X509 *read_cert(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)strlen(pem));
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
}

static X509 *make(const struct kp_test_cert_recipe *recipe, EVP_PKEY *key, X509 *issuer)
{
    X509 *cert = X509_new();
    bool usual = recipe->from_s == 0 && recipe->to_s == 0;
    uint64_t serial;
    assert_int_equal(RAND_bytes((unsigned char *)&serial, sizeof serial), 1);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), usual ? -3600 : recipe->from_s);
    X509_gmtime_adj(X509_getm_notAfter(cert), usual ? 3600 : recipe->to_s);
    if (recipe->name != NULL)
        X509_NAME_add_entry_by_txt(
            X509_get_subject_name(cert), "CN", MBSTRING_UTF8, (const unsigned char *)recipe->name, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer != NULL ? issuer : cert));
    X509_set_pubkey(cert, key);
    issuer = issuer != NULL ? issuer : cert;
    extend(cert, issuer, NID_basic_constraints, recipe->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extend(cert, issuer, NID_subject_key_identifier, "hash");
    if (recipe->usage != NULL)
        extend(cert, issuer, NID_ext_key_usage, recipe->usage);
    if (recipe->alt != NULL)
        extend(cert, issuer, NID_subject_alt_name, recipe->alt);
    return cert;
}

struct kp_test_cert kp_test_cert_make(const struct kp_test_cert_recipe *recipe)
{
    struct kp_test_cert ret = {0};
    EVP_PKEY *key = recipe->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    EVP_PKEY *issuer_key = recipe->by != NULL ? read_key(recipe->by->key) : key;
    X509 *issuer = recipe->by != NULL ? read_cert(recipe->by->cert) : NULL;
    X509 *cert = make(recipe, key, issuer);
    assert_true(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert);
    ret.cert = text_of(bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    ret.key = text_of(bio);
    X509_free(cert);
    X509_free(issuer);
    if (issuer_key != key)
        EVP_PKEY_free(issuer_key);
    EVP_PKEY_free(key);
    return ret;
}

void kp_test_cert_finish(struct kp_test_cert *cert)
{
    kp_free(kp_take(cert->cert));
    kp_free(kp_take(cert->key));
}
