#include "kube/exec_credential.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <jansson.h>

#include "base/alloc.h"
#include "testkit/cert.h"

#include "base/banned.h"

#define V1                 "client.authentication.k8s.io/v1"
#define CREDENTIAL(status) "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":" status "}\n"

static void test_token(void **state)
{
    static const char text[] =
        CREDENTIAL("{\"token\":\"abc\",\"expirationTimestamp\":\"2026-01-02T03:04:05Z\"}");
    struct kp_exec_credential c;
    (void)state;
    assert_int_equal(kp_exec_credential_parse(text, strlen(text), V1, &c, NULL), KP_OK);
    assert_string_equal(c.token, "abc");
    assert_null(c.cert_pem);
    assert_true(c.expires_ms == 1767323045000);
    kp_exec_credential_finish(&c);
    static const char bare[] = CREDENTIAL("{\"token\":\"abc\"}");
    assert_int_equal(kp_exec_credential_parse(bare, strlen(bare), V1, &c, NULL), KP_OK);
    assert_true(c.expires_ms == 0);
    kp_exec_credential_finish(&c);
}

static char *with_pair(const char *cert, const char *key)
{
    json_t *json = json_pack("{s:s,s:s,s:{s:s,s:s}}", "kind", "ExecCredential", "apiVersion", V1, "status",
        "clientCertificateData", cert, "clientKeyData", key);
    char *text = json_dumps(json, 0);
    char *copy = kp_strdup(text);
    free(text);
    json_decref(json);
    return copy;
}

static void test_pair(void **state)
{
    struct kp_test_cert one = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "one"});
    struct kp_test_cert two = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "two"});
    kp_auto_free char *good = with_pair(one.cert, one.key);
    kp_auto_free char *mixed = with_pair(one.cert, two.key);
    kp_auto_free char *turned = with_pair(one.key, one.cert);
    struct kp_exec_credential c;
    struct kp_error err = {0};
    (void)state;
    assert_int_equal(kp_exec_credential_parse(good, strlen(good), V1, &c, NULL), KP_OK);
    assert_string_equal(c.cert_pem, one.cert);
    assert_string_equal(c.key_pem, one.key);
    assert_null(c.token);
    kp_exec_credential_finish(&c);
    assert_int_equal(kp_exec_credential_parse(mixed, strlen(mixed), V1, &c, &err), KP_INVALID);
    assert_non_null(strstr(err.text, "do not belong together"));
    assert_int_equal(kp_exec_credential_parse(turned, strlen(turned), V1, &c, NULL), KP_INVALID);
    kp_test_cert_finish(&one);
    kp_test_cert_finish(&two);
}

static void test_wrong_ones(void **state)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"", "not one JSON object"},
        {"please log in\n{}", "not one JSON object"},
        {CREDENTIAL("{\"token\":\"a\"}") CREDENTIAL("{}"), "not one JSON object"},
        {"[]", "not one JSON object"},
        {"{\"kind\":\"Config\"}", "not of kind"},
        {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1beta1\"}", "v1beta1"},
        {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\"}", "no status"},
        {CREDENTIAL("{}"), "neither a token"},
        {CREDENTIAL("{\"token\":\"\"}"), "neither a token"},
        {CREDENTIAL("{\"clientKeyData\":\"x\"}"), "only one of"},
        {CREDENTIAL("{\"token\":\"a\",\"clientCertificateData\":\"x\"}"), "only one of"},
        {CREDENTIAL("{\"token\":\"a\\r\\nX: y\"}"), "header"},
        {CREDENTIAL("{\"token\":\"a\",\"expirationTimestamp\":\"soon\"}"), "not a time"},
        {CREDENTIAL("{\"clientCertificateData\":\"x\",\"clientKeyData\":\"y\"}"), "not PEM"},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_exec_credential c;
        struct kp_error err = {0};
        if (kp_exec_credential_parse(rows[i].text, strlen(rows[i].text), V1, &c, &err) != KP_INVALID)
            fail_msg("taken: %s", rows[i].text);
        if (!strstr(err.text, rows[i].says))
            fail_msg("'%s' does not say '%s'", err.text, rows[i].says);
    }
}

static void test_info(void **state)
{
    struct kp_kube_exec exec = {.api_version = (char[]){V1}};
    (void)state;
    kp_auto_free char *bare = kp_exec_info(&exec, false);
    assert_string_equal(
        bare, "{\"apiVersion\":\"" V1 "\",\"kind\":\"ExecCredential\",\"spec\":{\"interactive\":false}}");
    exec.cluster_info = (char[]){"{\"server\":\"https://a\"}"};
    kp_auto_free char *full = kp_exec_info(&exec, true);
    assert_non_null(strstr(full, "\"spec\":{\"interactive\":true,\"cluster\":{\"server\":\"https://a\"}}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_pair),
        cmocka_unit_test(test_wrong_ones),
        cmocka_unit_test(test_info),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
