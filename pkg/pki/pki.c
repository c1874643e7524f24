#include "pki/pki.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "pki/pem.h"
#include "base/banned.h"

#define SERIAL_BITS     128
#define MAX_COMMON_NAME 64 // ub-common-name
#define MAX_DNS_NAME    253

void kp_pki_pair_finish(struct kp_pki_pair *pair)
{
    if (pair->cert != NULL)
        explicit_bzero(pair->cert, strlen(pair->cert));
    if (pair->key != NULL)
        explicit_bzero(pair->key, strlen(pair->key));
    kp_free(pair->cert);
    kp_free(pair->key);
    *pair = (struct kp_pki_pair){0};
}

// ---- parts of a certificate ----

static bool set_serial(X509 *cert)
{
    BIGNUM *number = BN_new();
    bool ok = number != NULL && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
              BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok;
}

static bool set_subject(X509 *cert, const char *common_name)
{
    return X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8,
               (const unsigned char *)common_name, -1, -1, 0) == 1;
}

static bool set_times(X509 *cert, int64_t from_ms, int64_t to_ms)
{
    return ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(from_ms / 1000)) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(to_ms / 1000)) != NULL;
}

// value is a constant of ours: names from outside never go through OpenSSL's configuration language.
static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx = {0};
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

static bool add_dns_name(GENERAL_NAMES *names, const char *dns)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    if (name == NULL || text == NULL || ASN1_STRING_set(text, dns, -1) != 1) {
        GENERAL_NAME_free(name);
        ASN1_IA5STRING_free(text);
        return false;
    }
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

static bool add_names(X509 *cert, const struct kp_pki_request *request)
{
    if (request->n_dns_names == 0)
        return true;
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    bool ok = names != NULL;
    for (size_t i = 0; ok && i < request->n_dns_names; i++)
        ok = add_dns_name(names, request->dns_names[i]);
    ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static bool add_usages(X509 *cert, const struct kp_pki_request *request)
{
    const char *extended = request->server && request->client ? "serverAuth,clientAuth"
                           : request->server                  ? "serverAuth"
                                                              : "clientAuth";
    return add_extension(cert, cert, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, cert, NID_key_usage, "critical,digitalSignature") &&
           add_extension(cert, cert, NID_ext_key_usage, extended);
}

// ---- texts ----

static int write_pair(X509 *cert, EVP_PKEY *key, struct kp_pki_pair *ret, struct kp_error *err)
{
    struct kp_pki_pair pair = {kp_pem_of_cert(cert), kp_pem_of_key(key)};
    if (pair.cert == NULL || pair.key == NULL) {
        kp_pki_pair_finish(&pair);
        return kp_pem_fail(err, KP_INTERNAL, "cannot write a certificate and its key as PEM");
    }
    *ret = pair;
    return 0;
}

static int check_common_name(const char *name, struct kp_error *err)
{
    size_t n = name != NULL ? strlen(name) : 0;
    if (n == 0 || n > MAX_COMMON_NAME)
        return kp_fail(err, KP_INVALID,
            "cannot make a certificate for '%.80s': a common name has 1 to 64 bytes",
            name != NULL ? name : "");
    return 0;
}

static int check_dns_name(const char *name, struct kp_error *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    size_t n = strlen(name);
    if (n == 0 || n > MAX_DNS_NAME || strspn(name, letters) != n || name[0] == '.' || name[n - 1] == '.')
        return kp_fail(err, KP_INVALID, "cannot make a certificate for '%.80s': it is not a DNS name", name);
    return 0;
}

// ---- the CA ----

static X509 *build_ca(EVP_PKEY *key, const char *common_name, int64_t now_ms, int64_t valid_ms)
{
    X509 *cert = X509_new();
    if (cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        set_subject(cert, common_name) && X509_set_issuer_name(cert, X509_get_subject_name(cert)) == 1 &&
        set_times(cert, now_ms - KP_PKI_BACKDATE_MS, now_ms + valid_ms) && X509_set_pubkey(cert, key) == 1 &&
        add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
        add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
        add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
        add_extension(cert, cert, NID_authority_key_identifier, "keyid:always") &&
        X509_sign(cert, key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}

static int check_validity(int64_t now_ms, int64_t valid_ms, struct kp_error *err)
{
    const int64_t year_9999_ms = INT64_C(253402300799000);
    if (valid_ms < 1000 || now_ms < KP_PKI_BACKDATE_MS || now_ms > year_9999_ms ||
        valid_ms > year_9999_ms - now_ms)
        return kp_fail(err, KP_INVALID,
            "cannot make a certificate that is valid for %lld s from %lld on: it would be over at once or "
            "past "
            "the year 9999",
            (long long)(valid_ms / 1000), (long long)(now_ms / 1000));
    return 0;
}

int kp_pki_make_ca(
    const char *common_name, int64_t now_ms, int64_t valid_ms, struct kp_pki_pair *ret, struct kp_error *err)
{
    if (check_common_name(common_name, err) != 0 || check_validity(now_ms, valid_ms, err) != 0)
        return KP_INVALID;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key != NULL ? build_ca(key, common_name, now_ms, valid_ms) : NULL;
    int code = cert != NULL ? write_pair(cert, key, ret, err)
                            : kp_pem_fail(err, KP_INTERNAL, "cannot make a certificate authority");
    X509_free(cert);
    EVP_PKEY_free(key);
    return code;
}

// ---- what it signs ----

struct signing {
    X509 *ca;
    EVP_PKEY *ca_key;
    int64_t from_ms, to_ms;
};

static void signing_finish(struct signing *signing)
{
    X509_free(signing->ca);
    EVP_PKEY_free(signing->ca_key);
}

static int signing_init(struct signing *signing, const struct kp_pki_pair *ca,
    const struct kp_pki_request *request, int64_t now_ms, struct kp_error *err)
{
    struct kp_pki_facts facts;
    if (check_validity(now_ms, request->valid_ms, err) != 0 || kp_pki_read(ca->cert, &facts, err) != 0 ||
        kp_pem_cert(ca->cert, &signing->ca, err) != 0 || kp_pem_key(ca->key, &signing->ca_key, err) != 0)
        return kp_wrap(err, "cannot sign");
    if (!facts.is_ca)
        return kp_fail(
            err, KP_INVALID, "cannot sign: '%s' is not a certificate authority", facts.common_name);
    if (X509_check_private_key(signing->ca, signing->ca_key) != 1)
        return kp_pem_fail(err, KP_INVALID, "cannot sign: the key is not that of the certificate authority");
    if (now_ms >= facts.not_after_ms)
        return kp_fail(
            err, KP_INVALID, "cannot sign: the certificate authority '%s' has expired", facts.common_name);
    signing->from_ms =
        now_ms - KP_PKI_BACKDATE_MS > facts.not_before_ms ? now_ms - KP_PKI_BACKDATE_MS : facts.not_before_ms;
    signing->to_ms =
        now_ms + request->valid_ms < facts.not_after_ms ? now_ms + request->valid_ms : facts.not_after_ms;
    return 0;
}

static X509 *build_signed(const struct signing *signing, EVP_PKEY *key, const struct kp_pki_request *request)
{
    X509 *cert = X509_new();
    if (cert != NULL && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
        set_subject(cert, request->common_name) &&
        X509_set_issuer_name(cert, X509_get_subject_name(signing->ca)) == 1 &&
        set_times(cert, signing->from_ms, signing->to_ms) && X509_set_pubkey(cert, key) == 1 &&
        add_usages(cert, request) && add_names(cert, request) &&
        add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
        add_extension(cert, signing->ca, NID_authority_key_identifier, "keyid:always") &&
        X509_sign(cert, signing->ca_key, EVP_sha256()) > 0)
        return cert;
    X509_free(cert);
    return NULL;
}

int kp_pki_sign(const struct kp_pki_pair *ca, const struct kp_pki_request *request, int64_t now_ms,
    struct kp_pki_pair *ret, struct kp_error *err)
{
    struct signing signing = {0};
    int code = check_common_name(request->common_name, err);
    for (size_t i = 0; code == 0 && i < request->n_dns_names; i++)
        code = check_dns_name(request->dns_names[i], err);
    if (code == 0 && !request->server && !request->client)
        code = kp_fail(
            err, KP_INVALID, "cannot sign for '%s': for a server or for a client?", request->common_name);
    if (code == 0)
        code = signing_init(&signing, ca, request, now_ms, err);
    if (code == 0) {
        EVP_PKEY *key = EVP_EC_gen("P-256");
        X509 *cert = key != NULL ? build_signed(&signing, key, request) : NULL;
        code = cert != NULL ? write_pair(cert, key, ret, err)
                            : kp_pem_fail(err, KP_INTERNAL, "cannot sign for '%s'", request->common_name);
        X509_free(cert);
        EVP_PKEY_free(key);
    }
    signing_finish(&signing);
    return code;
}
