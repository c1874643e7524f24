// What the authority makes, verified by OpenSSL's own rules; what is not good, and the sentence for it.
#include "pki/pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/alloc.h"
#include "base/banned.h"

#define NOW_MS  INT64_C(1800000000000)
#define HOUR_MS INT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)

static const char *const names[] = {"kube-pprof-registry.kube-pprof.svc", "kube-pprof-registry"};

static struct kp_pki_pair make_ca(int64_t now_ms, int64_t valid_ms)
{
    struct kp_pki_pair ca = {0};
    struct kp_error err = {0};
    if (kp_pki_make_ca("kube-pprof CA", now_ms, valid_ms, &ca, &err) != 0)
        fail_msg("%s", err.text);
    return ca;
}

static struct kp_pki_pair sign(const struct kp_pki_pair *ca, int64_t now_ms, int64_t valid_ms)
{
    const struct kp_pki_request request = {.common_name = "registry",
        .dns_names = names,
        .n_dns_names = 2,
        .server = true,
        .valid_ms = valid_ms};
    struct kp_pki_pair pair = {0};
    struct kp_error err = {0};
    if (kp_pki_sign(ca, &request, now_ms, &pair, &err) != 0)
        fail_msg("%s", err.text);
    return pair;
}

static X509 *load(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

static void what_it_signs_is_good(void **state)
{
    struct kp_pki_pair ca = make_ca(NOW_MS, 3650 * DAY_MS), pair = sign(&ca, NOW_MS, 90 * DAY_MS);
    struct kp_pki_facts of_ca, of_pair;
    struct kp_error err = {0};
    (void)state;
    assert_int_equal(kp_pki_check(&pair, ca.cert, names, 2, NOW_MS, &err), 0);
    assert_int_equal(kp_pki_check(&pair, ca.cert, names, 2, NOW_MS - HOUR_MS + 1000, &err), 0);
    assert_int_equal(kp_pki_check(&pair, ca.cert, names, 2, NOW_MS + 90 * DAY_MS - 1000, &err), 0);
    assert_int_equal(kp_pki_read(ca.cert, &of_ca, NULL), 0);
    assert_int_equal(kp_pki_read(pair.cert, &of_pair, NULL), 0);
    assert_string_equal(of_ca.common_name, "kube-pprof CA");
    assert_true(of_ca.is_ca);
    assert_false(of_pair.is_ca);
    assert_memory_equal(of_pair.issuer_key_id, of_ca.key_id, 20);
    assert_memory_not_equal(of_pair.key_id, of_ca.key_id, 20);
    assert_true(of_pair.not_before_ms == NOW_MS - HOUR_MS);
    assert_true(of_pair.not_after_ms == NOW_MS + 90 * DAY_MS);
    assert_true(of_ca.not_after_ms == NOW_MS + 3650 * DAY_MS);
    kp_pki_pair_finish(&pair);
    assert_null(pair.key);
    kp_pki_pair_finish(&ca);
}

static void usages_are_narrow(void **state)
{
    struct kp_pki_pair ca = make_ca(NOW_MS, DAY_MS), pair = sign(&ca, NOW_MS, HOUR_MS);
    X509 *of_ca = load(ca.cert), *cert = load(pair.cert);
    (void)state;
    assert_int_equal(X509_get_version(cert), X509_VERSION_3);
    assert_int_equal(X509_get_key_usage(of_ca), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_int_equal(X509_get_pathlen(of_ca), 0);
    assert_int_equal(X509_get_key_usage(cert), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER);
    assert_int_equal(X509_check_purpose(cert, X509_PURPOSE_SSL_CLIENT, 0), 0);
    assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(cert)), 256);
    assert_true(ASN1_INTEGER_cmp(X509_get0_serialNumber(cert), X509_get0_serialNumber(of_ca)) != 0);
    assert_int_equal(X509_check_host(cert, "registry", 0, 0, NULL), 0); // the common name names no host
    X509_free(cert);
    X509_free(of_ca);
    kp_pki_pair_finish(&pair);
    kp_pki_pair_finish(&ca);
}

static void a_client_is_no_server(void **state)
{
    struct kp_pki_pair ca = make_ca(NOW_MS, DAY_MS), pair = {0};
    const struct kp_pki_request request = {.common_name = "controller", .client = true, .valid_ms = HOUR_MS};
    struct kp_error err = {0};
    (void)state;
    assert_int_equal(kp_pki_sign(&ca, &request, NOW_MS, &pair, &err), 0);
    assert_int_equal(kp_pki_check(&pair, ca.cert, NULL, 0, NOW_MS, &err), 0);
    assert_int_equal(kp_pki_check(&pair, ca.cert, names, 1, NOW_MS, &err), KP_TLS);
    kp_pki_pair_finish(&pair);
    kp_pki_pair_finish(&ca);
}

static void nothing_outlives_its_ca(void **state)
{
    struct kp_pki_pair ca = make_ca(NOW_MS, HOUR_MS), pair = sign(&ca, NOW_MS + HOUR_MS / 2, DAY_MS);
    struct kp_pki_facts facts;
    const struct kp_pki_request request = {.common_name = "late", .server = true, .valid_ms = HOUR_MS};
    struct kp_pki_pair late = {0};
    struct kp_error err = {0};
    (void)state;
    assert_int_equal(kp_pki_read(pair.cert, &facts, NULL), 0);
    assert_true(facts.not_after_ms == NOW_MS + HOUR_MS);
    assert_int_equal(kp_pki_sign(&ca, &request, NOW_MS + HOUR_MS, &late, &err), KP_INVALID);
    assert_non_null(strstr(err.text, "has expired"));
    assert_null(late.cert);
    kp_pki_pair_finish(&pair);
    kp_pki_pair_finish(&ca);
}

static void what_is_not_so_is_said(void **state)
{
    struct kp_pki_pair ca = make_ca(NOW_MS, DAY_MS), other = make_ca(NOW_MS, DAY_MS);
    struct kp_pki_pair pair = sign(&ca, NOW_MS, HOUR_MS), strange = sign(&other, NOW_MS, HOUR_MS);
    static const char *const wrong[] = {"kube-pprof-registry", "registry"};
    const struct kp_pki_pair mixed = {pair.cert, strange.key};
    const struct kp_pki_pair no_key = {pair.cert, (char[]){"-----BEGIN"}}, empty = {0};
    const struct {
        const struct kp_pki_pair *pair;
        const char *ca;
        const char *const *names;
        int64_t at_ms;
        const char *say;
    } rows[] = {
        {&pair, ca.cert, names, NOW_MS + HOUR_MS + 1000, "expired"},
        {&pair, ca.cert, names, NOW_MS - HOUR_MS - 1000, "not yet valid"},
        {&pair, other.cert, names, NOW_MS, "issuer"}, {&pair, ca.cert, wrong, NOW_MS, "not for 'registry'"},
        {&mixed, ca.cert, names, NOW_MS, "not that of the certificate"},
        {&no_key, ca.cert, names, NOW_MS, "private key is not readable"},
        {&empty, ca.cert, names, NOW_MS, "the certificate is empty"},
        {&pair, "", names, NOW_MS, "the CA cannot be used"},
        {&pair, pair.cert, names, NOW_MS, ""}, // a certificate that signs nothing is no CA of itself
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_error err = {0};
        assert_int_not_equal(
            kp_pki_check(rows[i].pair, rows[i].ca, rows[i].names, 2, rows[i].at_ms, &err), 0);
        if (strstr(err.text, rows[i].say) == NULL)
            fail_msg("row %zu says '%s'", i, err.text);
    }
    kp_pki_pair_finish(&pair);
    kp_pki_pair_finish(&strange);
    kp_pki_pair_finish(&ca);
    kp_pki_pair_finish(&other);
}

static void one_of_a_bundle_is_enough(void **state)
{
    struct kp_pki_pair old = make_ca(NOW_MS, DAY_MS), new = make_ca(NOW_MS + HOUR_MS, DAY_MS);
    struct kp_pki_pair of_old = sign(&old, NOW_MS, 2 * HOUR_MS),
                       of_new = sign(&new, NOW_MS + HOUR_MS, HOUR_MS);
    kp_auto_free char *bundle = kp_asprintf("%s%s", new.cert, old.cert);
    kp_auto_free char *damaged = kp_asprintf("%s-----BEGIN CERTIFICATE-----\nAAAA\n", new.cert);
    struct kp_error err = {0};
    (void)state;
    assert_int_equal(kp_pki_check(&of_old, bundle, names, 2, NOW_MS + HOUR_MS, NULL), 0);
    assert_int_equal(kp_pki_check(&of_new, bundle, names, 2, NOW_MS + HOUR_MS, NULL), 0);
    assert_int_equal(kp_pki_check(&of_new, old.cert, names, 2, NOW_MS + HOUR_MS, NULL), KP_TLS);
    assert_int_equal(kp_pki_check(&of_new, damaged, names, 2, NOW_MS + HOUR_MS, &err), KP_INVALID);
    kp_pki_pair_finish(&old);
    kp_pki_pair_finish(&new);
    kp_pki_pair_finish(&of_old);
    kp_pki_pair_finish(&of_new);
}

static void nonsense_is_refused(void **state)
{
    static const char *const texts[] = {"", "x", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"};
    static const char *const bad_names[] = {"a,DNS:evil", "", ".a", "a.", "UPPER", "a b", "*.a"};
    struct kp_pki_pair ca = make_ca(NOW_MS, DAY_MS), pair = {0};
    struct kp_pki_facts facts;
    (void)state;
    for (size_t i = 0; i < KP_COUNT(texts); i++)
        assert_int_not_equal(kp_pki_read(texts[i], &facts, NULL), 0);
    assert_int_not_equal(kp_pki_read(NULL, &facts, NULL), 0);
    for (size_t i = 0; i < KP_COUNT(bad_names); i++) {
        const struct kp_pki_request request = {.common_name = "x",
            .dns_names = &bad_names[i],
            .n_dns_names = 1,
            .server = true,
            .valid_ms = HOUR_MS};
        struct kp_error err = {0};
        assert_int_equal(kp_pki_sign(&ca, &request, NOW_MS, &pair, &err), KP_INVALID);
        assert_non_null(strstr(err.text, "not a DNS name"));
    }
    char long_name[80];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(kp_pki_make_ca(long_name, NOW_MS, DAY_MS, &pair, NULL), KP_INVALID);
    assert_int_equal(kp_pki_make_ca("x", NOW_MS, 0, &pair, NULL), KP_INVALID);
    assert_int_equal(kp_pki_make_ca("x", NOW_MS, INT64_MAX, &pair, NULL), KP_INVALID);
    kp_pki_pair_finish(&ca);
}

static void only_a_ca_signs(void **state)
{
    struct kp_pki_pair ca = make_ca(NOW_MS, DAY_MS), pair = sign(&ca, NOW_MS, HOUR_MS), third = {0};
    const struct kp_pki_request request = {.common_name = "x", .server = true, .valid_ms = HOUR_MS};
    const struct kp_pki_request useless = {.common_name = "x", .valid_ms = HOUR_MS};
    const struct kp_pki_pair mixed = {ca.cert, pair.key};
    struct kp_error err = {0};
    (void)state;
    assert_int_equal(kp_pki_sign(&pair, &request, NOW_MS, &third, &err), KP_INVALID);
    assert_non_null(strstr(err.text, "is not a certificate authority"));
    err = (struct kp_error){0};
    assert_int_equal(kp_pki_sign(&mixed, &request, NOW_MS, &third, &err), KP_INVALID);
    assert_non_null(strstr(err.text, "not that of the certificate authority"));
    assert_int_equal(kp_pki_sign(&ca, &useless, NOW_MS, &third, NULL), KP_INVALID);
    assert_null(third.cert);
    kp_pki_pair_finish(&pair);
    kp_pki_pair_finish(&ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_signs_is_good),
        cmocka_unit_test(usages_are_narrow),
        cmocka_unit_test(a_client_is_no_server),
        cmocka_unit_test(nothing_outlives_its_ca),
        cmocka_unit_test(what_is_not_so_is_said),
        cmocka_unit_test(one_of_a_bundle_is_enough),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(only_a_ca_signs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
