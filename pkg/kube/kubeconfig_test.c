#include "kube/kubeconfig.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"
#include "testkit/testkit.h"

#include "base/banned.h"

// ---- the environment of a test ----

static char *dir;
static struct kp_kube_pair env_values[8];

static const char *env(const char *name)
{
    for (size_t i = 0; i < KP_COUNT(env_values) && env_values[i].name; i++) {
        if (strcmp(env_values[i].name, name) == 0)
            return env_values[i].value;
    }
    return NULL;
}

// Takes value.
static void set_env(const char *name, char *value)
{
    size_t i = 0;
    while (env_values[i].name)
        i++;
    env_values[i] = (struct kp_kube_pair){kp_strdup(name), value};
}

static int setup(void **state)
{
    (void)state;
    dir = kp_test_tmpdir();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < KP_COUNT(env_values); i++) {
        kp_free(env_values[i].name);
        kp_free(env_values[i].value);
        env_values[i] = (struct kp_kube_pair){0};
    }
    kp_test_rmdir(dir);
    return 0;
}

static void put(const char *name, const char *text)
{
    kp_auto_free char *path = kp_asprintf("%s/%s", dir, name);
    struct kp_error err = {0};
    if (kp_file_write_atomic(path, text, strlen(text), 0600, &err) < 0)
        fail_msg("%s", err.text);
}

static void put_folder(const char *name)
{
    kp_auto_free char *path = kp_asprintf("%s/%s", dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static struct kp_kube_config load(struct kp_kubeconfig_wishes wishes)
{
    struct kp_kube_config config;
    struct kp_error err = {0};
    wishes.env = env;
    if (!wishes.home)
        wishes.home = dir;
    if (!wishes.service_account_dir)
        wishes.service_account_dir = "/nowhere";
    if (kp_kubeconfig_load(&wishes, &config, &err) < 0)
        fail_msg("%s", err.text);
    return config;
}

static void fails(struct kp_kubeconfig_wishes wishes, const char *says)
{
    struct kp_kube_config config;
    struct kp_error err = {0};
    wishes.env = env;
    wishes.home = wishes.home ? wishes.home : dir;
    wishes.service_account_dir = "/nowhere";
    if (kp_kubeconfig_load(&wishes, &config, &err) == KP_OK)
        fail_msg("it should have said '%s'", says);
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
}

#define assert_in_dir(path, name)                                                                            \
    do {                                                                                                     \
        kp_auto_free char *whole_ = kp_asprintf("%s/%s", dir, name);                                         \
        assert_string_equal(path, whole_);                                                                   \
    } while (0)

static const char three_contexts[] = "current-context: dev\n"
                                     "contexts:\n"
                                     "- {name: dev, context: {cluster: one, user: ann, namespace: shop}}\n"
                                     "- {name: prod, context: {cluster: two, user: bob}}\n"
                                     "- {name: lost, context: {cluster: gone, user: ann}}\n"
                                     "- {name: nobody, context: {cluster: one, user: gone}}\n"
                                     "- {name: bare, context: {user: ann}}\n";
static const char two_clusters[] =
    "clusters:\n"
    "- {name: one, cluster: {server: 'https://one:6443/', certificate-authority: pki/ca.crt, "
    "tls-server-name: k8s}}\n"
    "- {name: two, cluster: {server: 'https://two/k8s/clusters/c-1', proxy-url: 'socks5://proxy:1080', "
    "certificate-authority-data: Q0E=}}\n";
static const char two_users[] =
    "users:\n"
    "- {name: ann, user: {client-certificate: ann.crt, client-key: /abs/ann.key}}\n"
    "- name: bob\n  user: {token: t0k, tokenFile: bob.token, as: boss, as-uid: u1, as-groups: [g1, g2],\n"
    "    as-user-extra: {scopes: [a, b], 'acme.com/x': [c]}}\n";

static void put_three(void)
{
    put_folder("a");
    put_folder("b");
    put("a/contexts", three_contexts);
    put("a/clusters", two_clusters);
    put("b/users", two_users);
    set_env(
        "KUBECONFIG", kp_asprintf("%s/a/contexts:/nowhere/at/all::%s/a/clusters:%s/b/users", dir, dir, dir));
}

// ---- files ----

static void test_three_files(void **state)
{
    (void)state;
    put_three();
    struct kp_kube_config config = load((struct kp_kubeconfig_wishes){0});
    assert_string_equal(config.server, "https://one:6443");
    assert_in_dir(config.ca_file, "a/pki/ca.crt");
    assert_in_dir(config.cert_file, "b/ann.crt");
    assert_string_equal(config.key_file, "/abs/ann.key");
    assert_string_equal(config.namespace, "shop");
    assert_string_equal(config.tls_server_name, "k8s");
    assert_null(config.last_resort);
    kp_kube_config_finish(&config);

    config = load((struct kp_kubeconfig_wishes){.context = "prod"});
    assert_string_equal(config.server, "https://two/k8s/clusters/c-1");
    assert_string_equal(config.ca_pem, "CA");
    assert_string_equal(config.token, "t0k");
    assert_in_dir(config.token_file, "b/bob.token");
    assert_string_equal(config.proxy, "socks5://proxy:1080");
    assert_string_equal(config.namespace, "default");
    assert_string_equal(config.as, "boss");
    assert_string_equal(config.as_uid, "u1");
    assert_string_equal(config.as_groups[1], "g2");
    assert_null(config.as_groups[2]);
    assert_int_equal(config.n_as_extra, 3);
    kp_kube_config_finish(&config);
}

static void test_first_file_wins_the_whole_entry(void **state)
{
    (void)state;
    put("first", "clusters: [{name: c, cluster: {server: 'https://first'}}]\n"
                 "contexts: [{name: x, context: {cluster: c, user: u}}]\n");
    put("second",
        "current-context: x\nusers: [{name: u, user: {token: '123'}}]\n"
        "clusters: [{name: c, cluster: {server: 'https://2nd', insecure-skip-tls-verify: true}}]\n");
    put("third", "current-context: y\nusers: [{name: u, user: {token: '456'}}]\n");
    set_env("KUBECONFIG", kp_asprintf("%s/first:%s/second:%s/third", dir, dir, dir));
    struct kp_kube_config config = load((struct kp_kubeconfig_wishes){0});
    assert_string_equal(config.server, "https://first");
    assert_false(config.insecure);
    assert_string_equal(config.token, "123");
    kp_kube_config_finish(&config);
}

static void test_the_flag_names_one_file_that_exists(void **state)
{
    (void)state;
    put_three();
    put("own", "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n"
               "clusters: [{name: c, cluster: {server: 'http://own:1'}}]\n");
    kp_auto_free char *own = kp_asprintf("%s/own", dir);
    struct kp_kube_config config = load((struct kp_kubeconfig_wishes){.kubeconfig = own});
    assert_string_equal(config.server, "http://own:1");
    kp_kube_config_finish(&config);
    fails((struct kp_kubeconfig_wishes){.kubeconfig = "/nowhere/config"}, "'/nowhere/config'");
    kp_auto_free char *list = kp_asprintf("%s:%s", own, own);
    fails((struct kp_kubeconfig_wishes){.kubeconfig = list}, "cannot read kubeconfig"); // no list
}

static void test_home(void **state)
{
    (void)state;
    put_folder(".kube");
    put(".kube/config",
        "current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n"
        "clusters: [{name: c, cluster: {server: 'https://home', certificate-authority: ca}}]\n");
    struct kp_kube_config config = load((struct kp_kubeconfig_wishes){0});
    assert_string_equal(config.server, "https://home");
    assert_in_dir(config.ca_file, ".kube/ca");
    kp_kube_config_finish(&config);
}

static void test_nothing_at_all(void **state)
{
    (void)state;
    struct kp_kube_config config = load((struct kp_kubeconfig_wishes){.home = "/nowhere"});
    assert_string_equal(config.server, "http://localhost:8080");
    assert_string_equal(config.namespace, "default");
    assert_string_equal(config.last_resort, "there is no kubeconfig '/nowhere/.kube/config'");
    kp_kube_config_finish(&config);
    set_env("KUBECONFIG", kp_strdup("/nowhere/a:/nowhere/b"));
    config = load((struct kp_kubeconfig_wishes){.namespace = "shop"});
    assert_string_equal(config.server, "http://localhost:8080");
    assert_string_equal(config.namespace, "shop");
    assert_non_null(strstr(config.last_resort, "/nowhere/a:/nowhere/b"));
    kp_kube_config_finish(&config);
    fails((struct kp_kubeconfig_wishes){.context = "x"}, "no context 'x'");
    fails((struct kp_kubeconfig_wishes){.cluster = "x"}, "no cluster 'x'");
    fails((struct kp_kubeconfig_wishes){.user = "x"}, "no user 'x'");
}

static void test_in_a_pod(void **state)
{
    (void)state;
    put("ca.crt", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    put("token", "secret");
    put("namespace", "shop");
    set_env("KUBERNETES_SERVICE_HOST", kp_strdup("10.96.0.1"));
    set_env("KUBERNETES_SERVICE_PORT", kp_strdup("443"));
    struct kp_kube_config config =
        load((struct kp_kubeconfig_wishes){.service_account_dir = dir, .as = "ann"});
    assert_string_equal(config.server, "https://10.96.0.1:443");
    assert_string_equal(config.namespace, "shop");
    assert_in_dir(config.token_file, "token");
    assert_string_equal(config.as, "ann");
    assert_null(config.last_resort);
    kp_kube_config_finish(&config);
    config = load((struct kp_kubeconfig_wishes){
        .service_account_dir = dir, .token = "mine", .server = "https://other", .namespace = "n"});
    assert_string_equal(config.server, "https://other");
    assert_string_equal(config.token, "mine");
    assert_null(config.token_file);
    assert_string_equal(config.namespace, "n");
    kp_kube_config_finish(&config);
    // a kubeconfig counts more
    put_three();
    fails((struct kp_kubeconfig_wishes){.service_account_dir = dir, .context = "x"}, "no context 'x'");
}

// ---- flags over files ----

static void test_flags_override(void **state)
{
    (void)state;
    put_three();
    const char *groups[] = {"g9", NULL};
    const char *extra[] = {"scopes=a", "scopes=b=c,d", NULL};
    struct kp_kube_config config = load((struct kp_kubeconfig_wishes){.context = "prod",
        .cluster = "one",
        .namespace = "n",
        .token = "flag",
        .as = "eve",
        .as_groups = groups,
        .as_extra = extra,
        .insecure = true});
    assert_string_equal(config.server, "https://one:6443");
    assert_true(config.insecure); // and the CA of the file does not count
    assert_null(config.ca_file);
    assert_string_equal(config.tls_server_name, "k8s");
    assert_string_equal(config.token, "flag");
    assert_null(config.token_file);
    assert_string_equal(config.namespace, "n");
    assert_string_equal(config.as, "eve");
    assert_string_equal(config.as_groups[0], "g9");
    assert_null(config.as_groups[1]);
    assert_int_equal(config.n_as_extra, 2);
    assert_string_equal(config.as_extra[1].name, "scopes");
    assert_string_equal(config.as_extra[1].value, "b=c,d");
    kp_kube_config_finish(&config);

    config = load((struct kp_kubeconfig_wishes){.server = "https://else", .user = "bob"});
    assert_string_equal(config.server, "https://else");
    assert_null(config.tls_server_name); // a name for another server
    assert_in_dir(config.ca_file, "a/pki/ca.crt");
    assert_string_equal(config.token, "t0k");
    kp_kube_config_finish(&config);

    config = load((struct kp_kubeconfig_wishes){.context = "prod",
        .certificate_authority = "ca.crt",
        .client_certificate = "c.crt",
        .client_key = "c.key",
        .tls_server_name = "name"});
    assert_null(config.ca_pem);
    assert_string_equal(config.ca_file, "ca.crt");
    assert_string_equal(config.cert_file, "c.crt");
    assert_string_equal(config.key_file, "c.key");
    assert_string_equal(config.tls_server_name, "name");
    kp_kube_config_finish(&config);
    fails((struct kp_kubeconfig_wishes){.insecure = true, .certificate_authority = "x"}, "cannot go with");
    fails((struct kp_kubeconfig_wishes){.as_uid = "7"}, "without a user");
    fails((struct kp_kubeconfig_wishes){.context = "prod", .username = "u"}, "only one is allowed");
    fails((struct kp_kubeconfig_wishes){.context = "prod", .client_key = "k"}, "come together");
}

static void test_flags_alone(void **state)
{
    (void)state;
    struct kp_kube_config config = load((struct kp_kubeconfig_wishes){.server = "localhost:8001"});
    assert_string_equal(config.server, "http://localhost:8001");
    assert_null(config.last_resort);
    kp_kube_config_finish(&config);
    config = load((struct kp_kubeconfig_wishes){.server = "api:6443/", .insecure = true, .token = "t"});
    assert_string_equal(config.server, "https://api:6443");
    kp_kube_config_finish(&config);
    fails((struct kp_kubeconfig_wishes){.server = "ftp://x"}, "not an http or https URL");
    config = load((struct kp_kubeconfig_wishes){.server = "", .context = "", .token = ""});
    assert_non_null(config.last_resort); // empty flags are no flags
    kp_kube_config_finish(&config);
}

static void test_names_that_lead_nowhere(void **state)
{
    (void)state;
    put_three();
    fails((struct kp_kubeconfig_wishes){.context = "x"}, "no context 'x' (there are: dev, prod, lost");
    fails((struct kp_kubeconfig_wishes){.context = "lost"},
        "no cluster 'gone', named by context 'lost' (there are: one, two)");
    fails((struct kp_kubeconfig_wishes){.context = "nobody"}, "no user 'gone', named by context 'nobody'");
    fails((struct kp_kubeconfig_wishes){.context = "bare"},
        "context 'bare' of the kubeconfig names no cluster");
    fails((struct kp_kubeconfig_wishes){.cluster = "x"}, "no cluster 'x' (there are");
    fails((struct kp_kubeconfig_wishes){.user = "x"}, "no user 'x' (there are");
}

static void test_no_current_context(void **state)
{
    (void)state;
    put_folder(".kube");
    put(".kube/config", "contexts: [{name: x, context: {cluster: c}}, {name: y, context: {cluster: c}}]\n"
                        "clusters: [{name: c, cluster: {server: 'https://c'}}]\n");
    fails((struct kp_kubeconfig_wishes){0}, "no current-context; name one with --context (there are: x, y)");
    struct kp_kube_config config = load((struct kp_kubeconfig_wishes){.cluster = "c"});
    assert_string_equal(config.server, "https://c");
    kp_kube_config_finish(&config);
    config = load((struct kp_kubeconfig_wishes){.server = "https://s"});
    assert_string_equal(config.server, "https://s");
    kp_kube_config_finish(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_three_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_first_file_wins_the_whole_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_flag_names_one_file_that_exists, setup, teardown),
        cmocka_unit_test_setup_teardown(test_home, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_at_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_in_a_pod, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flags_override, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flags_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_that_lead_nowhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_current_context, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
