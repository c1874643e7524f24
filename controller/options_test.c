// One table gives flags, environment, file and --help: which of them wins, and what is refused with which
// words.
#include "options/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/text.h"
#include "controller/controller_options.h"
#include "controller/registry_options.h"
#include "testkit/testkit.h"
#include "base/banned.h"

static const char *env_name, *env_value; // the environment

static const char *env(const char *name)
{
    return env_name != NULL && kp_streq(name, env_name) ? env_value : NULL;
}

struct load {
    int rc;
    struct kp_controller_options options;
    struct kp_error err;
};

static void load(struct load *l, const char *flag, const char *other_flag)
{
    char *argv[4] = {kp_strdup("controller"), NULL, NULL, NULL};
    int argc = 1;
    memset(l, 0, sizeof *l);
    if (flag != NULL)
        argv[argc++] = kp_strdup(flag);
    if (other_flag != NULL)
        argv[argc++] = kp_strdup(other_flag);
    l->rc = kp_controller_options_load(argc, argv, env, &l->options, &l->err);
    for (int i = 0; i < argc; i++)
        kp_free(argv[i]);
}

static void unload(struct load *l)
{
    if (l->rc == 0)
        kp_controller_options_finish(&l->options);
    env_name = NULL;
}

static char *write_config(const char *dir, const char *text)
{
    char *path = kp_asprintf("%s/config.yaml", dir);
    assert_int_equal(kp_file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
    return path;
}

static void test_a_flag_wins_over_environment_over_file(void **state)
{
    char *dir = kp_test_tmpdir();
    struct load l;
    (void)state;
    kp_auto_free char *path =
        write_config(dir, "# a comment\nmax-captures: 7\nlog-level: warn\nwatch-namespaces: [a, b]\n");
    kp_auto_free char *config = kp_asprintf("--config=%s", path);
    load(&l, NULL, NULL);
    assert_int_equal(l.options.max_captures, 500); // the default
    unload(&l);
    load(&l, config, NULL);
    assert_int_equal(l.options.max_captures, 7);
    assert_string_equal(l.options.log_level, "warn");
    assert_int_equal(l.options.watch_namespaces.n, 2);
    unload(&l);
    env_name = "KUBE_PPROF_MAX_CAPTURES", env_value = "8";
    load(&l, config, NULL);
    assert_int_equal(l.options.max_captures, 8);
    assert_string_equal(l.options.log_level, "warn");
    kp_controller_options_finish(&l.options);
    load(&l, config, "--max-captures=9");
    assert_int_equal(l.options.max_captures, 9);
    unload(&l);
    env_name = "KUBE_PPROF_WATCH_NAMESPACES", env_value = "c"; // a list is replaced, not added to
    load(&l, config, NULL);
    assert_int_equal(l.options.watch_namespaces.n, 1);
    assert_string_equal(l.options.watch_namespaces.items[0], "c");
    kp_controller_options_finish(&l.options);
    load(&l, "--watch-namespaces=d,e", "--watch-namespaces=f");
    assert_int_equal(l.options.watch_namespaces.n, 3);
    unload(&l);
    env_name = "KUBE_PPROF_CONFIG", env_value = path; // names the file as well
    load(&l, NULL, NULL);
    assert_int_equal(l.options.max_captures, 7);
    unload(&l);
    kp_test_rmdir(dir);
}

static void test_what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *flag, *words;
    } rows[] = {
        {"--max-capture=3", "unknown flag '--max-capture'"},
        {"--max-captures=many", "--max-captures"},
        {"--max-captures=0", "between"},
        {"--max-overhead-percent=101", "not a percentage between 0 and 100"},
        {"--max-overhead-percent=nan", "not a percentage"},
        {"--captures-per-second-per-namespace=-1", "not a number"},
        {"--min-interval=1w", "--min-interval"},
        {"--min-interval=10ms", "between 1s and"},
        {"--log-level=loud", "none of debug|info|warn|error"},
        {"--leader-elect=perhaps", "--leader-elect"},
        {"--registry-url", "needs a value"},
        {"registry-url=x", "flags start with --"},
        {"--config=/nowhere/at/all.yaml", "/nowhere/at/all.yaml"},
    };
    struct load l;
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        load(&l, rows[i].flag, NULL);
        assert_int_not_equal(l.rc, 0);
        if (strstr(l.err.text, rows[i].words) == NULL)
            fail_msg("%s: '%s'", rows[i].flag, l.err.text);
    }
}

static void test_a_wrong_file_is_told_by_line(void **state)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"max-captures: 3\nmax-capture: 3\n", "config.yaml:2"},
        {"max-captures: {a: 1}\n", "config.yaml:1"},
        {"\n\n  max-captures: 3\n", "config.yaml:3"},
        {"- 3\n", "without a key"},
        {"watch-namespaces: [a, b\n", "must end with ']'"},
        {"log-level: \"info\n", "quote is not closed"},
        {"config: other.yaml\n", "there is no option 'config'"},
    };
    char *dir = kp_test_tmpdir();
    struct load l;
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        kp_auto_free char *path = write_config(dir, rows[i].text);
        kp_auto_free char *flag = kp_asprintf("--config=%s", path);
        load(&l, flag, NULL);
        assert_int_not_equal(l.rc, 0);
        if (strstr(l.err.text, rows[i].words) == NULL)
            fail_msg("%s: '%s'", rows[i].text, l.err.text);
    }
    kp_test_rmdir(dir);
}

static void test_a_rate_may_be_large(void **state)
{
    struct load l;
    (void)state;
    load(&l, "--captures-per-second-per-namespace=250.5", NULL);
    if (l.rc != 0)
        fail_msg("%s", l.err.text);
    assert_true(l.options.captures_per_second_per_namespace > 250.4);
    unload(&l);
}

static void test_help_lists_every_row(void **state)
{
    static const struct kp_option rows[] = {{"alpha", "N", KP_OPTION_INT, 0, "3", 0, 0, "First."},
        {"beta", NULL, KP_OPTION_BOOL, 8, NULL, 0, 0, "Second."}};
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    (void)state;
    kp_options_help(rows, KP_COUNT(rows), "x", "Does things.", out);
    fclose(out);
    for (const char *const *word = (const char *const[]){"--alpha=N", "KUBE_PPROF_ALPHA", "default 3",
             "First.", "--beta ", "KUBE_PPROF_BETA", "Second.", "Does things.", NULL};
         *word != NULL; word++)
        if (strstr(text, *word) == NULL)
            fail_msg("no '%s' in\n%s", *word, text);
    free(text);
}

static void test_configuration_of_the_controller(void **state)
{
    struct load l;
    struct kp_controller_config config;
    (void)state;
    load(&l, "--leader-elect", NULL);
    assert_int_equal(kp_controller_options_config(&l.options, &config, &l.err), 0);
    assert_true(config.leader_elect && !config.lease_goes_on);
    unload(&l);
    load(&l, "--leader-elect=true", "--lease-goes-on=true");
    assert_int_equal(kp_controller_options_config(&l.options, &config, &l.err), 0);
    assert_true(config.leader_elect && config.lease_goes_on);
    unload(&l);
    load(&l, "--annotation-dialects=profefe,zipkin", NULL);
    assert_int_not_equal(kp_controller_options_config(&l.options, &config, &l.err), 0);
    assert_non_null(strstr(l.err.text, "'zipkin' is not a dialect"));
    unload(&l);
    load(&l, "--path-prefixes=/debug/../", NULL);
    assert_int_not_equal(kp_controller_options_config(&l.options, &config, &l.err), 0);
    unload(&l);
    load(&l, "--registry-url=ftp://x", NULL);
    assert_int_not_equal(kp_controller_options_config(&l.options, &config, &l.err), 0);
    unload(&l);
    load(&l, "--certificate-lifetime=59m", NULL);
    l.options.certificate_settle_ms = 1000;
    assert_int_not_equal(kp_controller_options_config(&l.options, &config, &l.err), 0);
    assert_non_null(strstr(l.err.text, "--certificate-lifetime must be at least 1h"));
    unload(&l);
    load(&l, "--certificate-lifetime=75s", "--allow-short-certificates");
    l.options.certificate_settle_ms = 1000;
    assert_int_equal(kp_controller_options_config(&l.options, &config, &l.err), 0);
    unload(&l);
}

static void test_the_api_server_is_denied(void **state)
{
    static const struct {
        const char *server, *denied;
    } rows[] = {
        {"https://10.96.0.1:443", "10.96.0.1"},
        {"https://[fd00::1]:6443/prefix", "fd00::1"},
        {"https://192.0.2.7/prefix", "192.0.2.7"},
        {"https://api.example:6443", NULL},
        {"unix:/run/api.sock", NULL},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct load l;
        struct kp_controller_config config;
        load(&l, "--denied-cidrs=10.0.0.0/24", NULL);
        assert_int_equal(kp_controller_options_config(&l.options, &config, &l.err), 0);
        kp_auto_free char *server = kp_strdup(rows[i].server);
        config.kube.server = server;
        kp_controller_options_deny_server(&l.options, &config);
        assert_string_equal(config.capture.denied_cidrs[0], "10.0.0.0/24");
        if (rows[i].denied == NULL) {
            assert_null(config.capture.denied_cidrs[1]);
        } else {
            assert_string_equal(config.capture.denied_cidrs[1], rows[i].denied);
            assert_null(config.capture.denied_cidrs[2]);
        }
        unload(&l);
    }
}

static void test_the_registry_is_not_opened_by_accident(void **state)
{
    static const struct {
        const char *listen;
        bool is_local;
    } rows[] = {{"127.0.0.1:1", true}, {"[::1]:1", true}, {"localhost:1", true}, {"unix:/x", true},
        {":1", false}, {"0.0.0.0:1", false}, {"127.example.org:1", false}, {"10.0.0.1:1", false},
        {"[::]:1", false}};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(rows); i++) {
        struct kp_registry_options options = {0};
        struct kp_error err = {0};
        kp_auto_free char *listen = kp_asprintf("--listen=%s", rows[i].listen);
        char command[] = "registry", allow[] = "--insecure-allow-everyone";
        char *argv[] = {command, listen, allow};
        assert_int_equal(kp_listen_is_local(rows[i].listen), rows[i].is_local);
        int rc = kp_registry_options_load(2, argv, env, &options, &err);
        assert_int_equal(rc == 0, rows[i].is_local);
        if (rc == 0)
            kp_registry_options_finish(&options);
        else
            assert_non_null(strstr(err.text, "--insecure-allow-everyone"));
        options = (struct kp_registry_options){0};
        err = (struct kp_error){0};
        assert_int_equal(kp_registry_options_load(3, argv, env, &options, &err), 0);
        kp_registry_options_finish(&options);
    }
}

static void test_who_may_use_the_registry(void **state)
{
    static const struct {
        const char *flags[6];
        const char *refused; // NULL = it starts
    } cases[] = {
        {{"--listen=:1", "--authentication=Kubernetes"}, "--insecure-http"},
        {{"--listen=:1", "--authentication=Kubernetes", "--insecure-http"}, NULL},
        {{"--listen=:1", "--authentication=Kubernetes", "--tls-cert-file=c", "--tls-key-file=k"}, NULL},
        {{"--listen=:1", "--tls-cert-file=c", "--tls-key-file=k"}, "--authentication=Kubernetes"},
        {{"--listen=:1", "--insecure-http"}, "--authentication=Kubernetes"},
        {{"--authentication=Kubernetes"}, NULL},
        {{"--authentication=Everyone"}, "--authentication"},
        {{"--authentication=Kubernetes", "--insecure-allow-everyone"}, "exclude each other"},
        {{"--authentication=Kubernetes", "--token-audiences="}, "--token-audiences"},
        {{"--authentication=Kubernetes", "--allow-anonymous=legacy"}, NULL},
        {{"--authentication=Kubernetes", "--allow-anonymous=a/b"}, "--allow-anonymous=a/b"},
        {{"--authentication=Kubernetes", "--namespace=A"}, "--namespace=A"},
        {{"--allow-anonymous=legacy"}, "--allow-anonymous needs --authentication=Kubernetes"},
        {{"--accept-api-server-tokens"}, "--accept-api-server-tokens needs"},
        {{"--aggregated-api"}, "--aggregated-api needs --authentication=Kubernetes"},
        {{"--authentication=Kubernetes", "--aggregated-api"}, "--aggregated-api needs --tls-cert-file"},
        {{"--authentication=Kubernetes", "--controller-client-ca-file=f"}, "needs --tls-cert-file"},
        {{"--authentication=Kubernetes", "--aggregated-api", "--controller-client-ca-file=f",
             "--tls-cert-file=c", "--tls-key-file=k"},
            NULL},
    };
    (void)state;
    for (size_t i = 0; i < KP_COUNT(cases); i++) {
        struct kp_registry_options options = {0};
        struct kp_error err = {0};
        const char *argv[7] = {"registry"};
        int n = 1;
        for (; n < 7 && cases[i].flags[n - 1] != NULL; n++)
            argv[n] = cases[i].flags[n - 1];
        int rc = kp_registry_options_load(n, (char **)(uintptr_t)argv, env, &options, &err);
        if ((rc == 0) != (cases[i].refused == NULL))
            fail_msg("case %zu: %d %s", i, rc, err.text);
        if (rc != 0 && strstr(err.text, cases[i].refused) == NULL)
            fail_msg("case %zu says '%s'", i, err.text);
        if (rc == 0)
            kp_registry_options_finish(&options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_may_use_the_registry),
        cmocka_unit_test(test_a_flag_wins_over_environment_over_file),
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_a_wrong_file_is_told_by_line),
        cmocka_unit_test(test_a_rate_may_be_large),
        cmocka_unit_test(test_help_lists_every_row),
        cmocka_unit_test(test_configuration_of_the_controller),
        cmocka_unit_test(test_the_api_server_is_denied),
        cmocka_unit_test(test_the_registry_is_not_opened_by_accident),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
