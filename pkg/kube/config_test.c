#include "kube/config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "kube/config_internal.h"
#include "kube/credentials.h"
#include "testkit/testkit.h"

#include "base/banned.h"

static int setup(void **state)
{
    *state = kp_test_tmpdir();
    return 0;
}

static int teardown(void **state)
{
    kp_test_rmdir(*state);
    return 0;
}

static char *write_file(const char *dir, const char *name, const char *text)
{
    char *path = kp_asprintf("%s/%s", dir, name);
    struct kp_error err = {0};
    if (kp_file_write_atomic(path, text, strlen(text), 0600, &err) < 0)
        fail_msg("%s", err.text);
    return path;
}

static const char certificate[] = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

// ---- in a cluster ----

static void test_in_cluster(void **state)
{
    const char *dir = *state;
    struct kp_kube_config config;
    kp_free(write_file(dir, "ca.crt", certificate));
    kp_free(write_file(dir, "token", "secret\n"));
    kp_free(write_file(dir, "namespace", "shop\n"));
    assert_int_equal(kp_kube_config_in_cluster("10.96.0.1", "443", dir, &config, NULL), KP_OK);
    assert_string_equal(config.server, "https://10.96.0.1:443");
    assert_string_equal(config.namespace, "shop");
    assert_non_null(config.ca_file);
    assert_non_null(config.token_file);
    kp_kube_config_finish(&config);
    assert_int_equal(kp_kube_config_in_cluster("fd00::1", NULL, dir, &config, NULL), KP_OK);
    assert_string_equal(config.server, "https://[fd00::1]:443");
    kp_kube_config_finish(&config);
}

static void test_in_cluster_without_trust(void **state)
{
    const char *dir = *state;
    struct kp_kube_config config;
    struct kp_error err = {0};
    assert_int_equal(kp_kube_config_in_cluster(NULL, "443", dir, &config, &err), KP_NOT_FOUND);
    kp_error_clear(&err);
    assert_int_equal(kp_kube_config_in_cluster("10.96.0.1", "443", dir, &config, &err), KP_NOT_FOUND);
    assert_non_null(strstr(err.text, "ca.crt"));
    kp_error_clear(&err);
    kp_free(write_file(dir, "ca.crt", "nothing"));
    assert_int_equal(kp_kube_config_in_cluster("10.96.0.1", "443", dir, &config, &err), KP_INVALID);
    assert_non_null(strstr(err.text, "holds no certificate"));
}

static void test_in_cluster_without_namespace(void **state)
{
    struct kp_kube_config config;
    kp_free(write_file(*state, "ca.crt", certificate));
    assert_int_equal(kp_kube_config_in_cluster("10.96.0.1", "443", *state, &config, NULL), KP_OK);
    assert_string_equal(config.namespace, "default");
    kp_kube_config_finish(&config);
}

// ---- kubeconfig ----

static const char one[] =
    "apiVersion: v1\nkind: Config\ncurrent-context: dev\n"
    "clusters:\n- name: c\n  cluster: {server: 'https://one:6443/', certificate-authority: pki/ca.crt}\n"
    "- {name: d, cluster: {server: 'http://localhost:8080', tls-server-name: k8s}}\n"
    "users:\n- name: u\n  user:\n    client-certificate-data: Q0VS\n      VA==\n"
    "    client-key-data: S0VZ\n"
    "- {name: t, user: {token: abc, tokenFile: /run/token}}\n"
    "contexts:\n- {name: dev, context: {cluster: c, user: u, namespace: shop}}\n"
    "- {name: other, context: {cluster: d, user: t}}\n";

static void test_one_file(void **state)
{
    kp_auto_free char *path = write_file(*state, "config", one);
    struct kp_kube_config config;
    struct kp_error err = {0};
    if (kp_kube_config_load(path, NULL, &config, &err) < 0)
        fail_msg("%s", err.text);
    kp_auto_free char *ca = kp_asprintf("%s/pki/ca.crt", (char *)*state);
    assert_string_equal(config.server, "https://one:6443");
    assert_string_equal(config.ca_file, ca);
    assert_string_equal(config.cert_pem, "CERT");
    assert_string_equal(config.key_pem, "KEY");
    assert_string_equal(config.namespace, "shop");
    assert_null(config.token);
    kp_kube_config_finish(&config);
    assert_int_equal(kp_kube_config_load(path, "other", &config, NULL), KP_OK);
    assert_string_equal(config.server, "http://localhost:8080");
    assert_string_equal(config.tls_server_name, "k8s");
    assert_string_equal(config.token, "abc");
    assert_string_equal(config.token_file, "/run/token");
    assert_string_equal(config.namespace, "default");
    kp_kube_config_finish(&config);
}

static void test_files_are_merged(void **state)
{
    struct kp_kube_config config;
    kp_auto_free char *first = write_file(*state, "first",
        "clusters: [{name: c, cluster: {server: 'https://first'}}]\ncontexts: [{name: x, context: {cluster: "
        "c, user: u}}]\n");
    kp_auto_free char *second = write_file(*state, "second",
        "current-context: x\nclusters: [{name: c, cluster: {server: 'https://second', "
        "insecure-skip-tls-verify: true}}]\n"
        "users: [{name: u, user: {token: '123'}}]\n");
    kp_auto_free char *paths = kp_asprintf("%s:/nowhere/at/all::%s", first, second);
    struct kp_error err = {0};
    if (kp_kube_config_load(paths, NULL, &config, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(config.server, "https://first");
    assert_false(config.insecure);
    assert_string_equal(config.token, "123");
    kp_kube_config_finish(&config);
}

static void test_missing_files(void **state)
{
    struct kp_kube_config config;
    struct kp_error err = {0};
    (void)state;
    assert_int_equal(kp_kube_config_load("/nowhere/config", NULL, &config, &err), KP_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nowhere/config"));
    kp_error_clear(&err);
    assert_int_equal(kp_kube_config_load("/nowhere/a:/nowhere/b", NULL, &config, &err), KP_NOT_FOUND);
}

static const struct {
    const char *text, *says;
} wrong[] = {
    {"a: [", "line"},
    {"[]", "current-context"},
    {"{}", "current-context"},
    {"current-context: x\n", "no context 'x'"},
    {"current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n", "no cluster 'c'"},
    {"current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\nclusters: [{name: c, cluster: {}}]\n",
        "names no server"},
    {"current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\nclusters: [{name: c, cluster: "
     "{server: 'ftp://x'}}]\n",
        "not an http"},
    {"current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\nclusters: [{name: c, cluster: "
     "{server: 'https://x', "
     "insecure-skip-tls-verify: true, certificate-authority: a}}]\n",
        "cannot go with"},
#define CLUSTER                                                                                              \
    "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"                            \
    "clusters: [{name: c, cluster: {server: 'https://x'}}]\n"
    {CLUSTER, "no user 'u'"},
    {CLUSTER "users: [{name: u, user: {auth-provider: {name: oidc}}}]\n", "auth-provider"},
    {CLUSTER "users: [{name: u, user: {client-certificate: a}}]\n", "must come together"},
    {CLUSTER "users: [{name: u, user: {client-certificate-data: '***'}}]\n", "not base64"},
};

static void test_wrong_files_say_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(wrong); i++) {
        struct kp_kube_config config;
        struct kp_error err = {0};
        assert_true(kp_kube_config_parse(wrong[i].text, strlen(wrong[i].text), "/", &config, &err) < 0);
        if (!strstr(err.text, wrong[i].says))
            fail_msg("'%s' does not say '%s'", err.text, wrong[i].says);
    }
}

// ---- credentials ----

static const char *header_at(struct kp_credentials *c, int64_t mono_ms)
{
    const char *header = kp_credentials_header(c, mono_ms);
    return header ? header : "none";
}

static void test_token_file_is_read_again(void **state)
{
    kp_auto_free char *path = write_file(*state, "token", "first\n");
    struct kp_kube_config config = {.server = (char[]){"https://x:1"}, .token_file = path};
    struct kp_credentials c;
    kp_credentials_init(&c, &config);
    assert_string_equal(header_at(&c, 1000), "Authorization: Bearer first");
    kp_free(write_file(*state, "token", "second"));
    assert_string_equal(header_at(&c, 2000), "Authorization: Bearer first");
    assert_string_equal(header_at(&c, 61000), "Authorization: Bearer second");
    kp_free(write_file(*state, "token", "third"));
    kp_credentials_drop(&c); // a 401
    assert_string_equal(header_at(&c, 61001), "Authorization: Bearer third");
    assert_int_equal(remove(path), 0);
    assert_string_equal(header_at(&c, 200000), "Authorization: Bearer third");
    kp_free(write_file(*state, "token", "bad\r\nHost: evil"));
    assert_string_equal(header_at(&c, 300000), "Authorization: Bearer third");
    kp_free(write_file(*state, "token", "fourth"));
    assert_string_equal(header_at(&c, 300001), "Authorization: Bearer fourth");
    assert_string_equal(c.host, "x:1");
    kp_credentials_finish(&c);
}

static void test_token_goes_over_https_only(void **state)
{
    static const struct {
        const char *server;
        bool sent;
    } servers[] = {{"https://a", true}, {"http://a", false}, {"http://127.0.0.1:80", true},
        {"http://localhost", true}, {"http://localhost.evil", false}, {"http://[::1]:1", true},
        {"unix:/run/api.sock", true}, {"ftp://a", false}};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(servers); i++) {
        kp_auto_free char *server = kp_strdup(servers[i].server);
        struct kp_kube_config config = {.server = server, .token = (char[]){"t"}};
        struct kp_credentials c;
        kp_credentials_init(&c, &config);
        if ((kp_credentials_header(&c, 1) != NULL) != servers[i].sent)
            fail_msg("%s", server);
        kp_credentials_finish(&c);
    }
}

static void test_ca_file_is_read_again(void **state)
{
    kp_auto_free char *path = write_file(*state, "ca", certificate);
    struct kp_kube_config config = {.server = (char[]){"https://x"}, .ca_file = path};
    struct kp_credentials c;
    struct kp_http_tls tls;
    kp_credentials_init(&c, &config);
    kp_credentials_tls(&c, 1, &tls);
    assert_string_equal(tls.ca_pem, certificate);
    kp_free(write_file(*state, "ca", "-----BEGIN CERTIFICATE-----\nnew\n"));
    kp_credentials_tls(&c, 1000, &tls);
    assert_string_equal(tls.ca_pem, certificate);
    kp_credentials_tls(&c, 6 * 60 * 1000, &tls);
    assert_non_null(strstr(tls.ca_pem, "new"));
    assert_int_equal(remove(path), 0);
    kp_credentials_tls(&c, 60 * 60 * 1000, &tls);
    assert_non_null(strstr(tls.ca_pem, "new"));
    kp_credentials_finish(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_cluster, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_cluster_without_trust, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_cluster_without_namespace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_are_merged, setup, teardown),
        cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_wrong_files_say_what_is_wrong),
        cmocka_unit_test_setup_teardown(test_token_file_is_read_again, setup, teardown),
        cmocka_unit_test(test_token_goes_over_https_only),
        cmocka_unit_test_setup_teardown(test_ca_file_is_read_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
