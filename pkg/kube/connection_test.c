// How a client comes to the API server: TLS with real certificates, proxies, both, as a kubeconfig says.
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "kube/client_fixture.h"
#include "kube/kubeconfig.h"
#include "testkit/cert.h"
#include "testkit/relay.h"
#include "testkit/testkit.h"

#include "base/banned.h"

// An API server behind TLS whose certificate is for the name "api.test" only, and a folder for files.
struct bench {
    struct fixture f;
    struct kp_test_cert ca, cert;
    struct kp_relay *tls;
    char *dir, *kubeconfig;
};

static void put(const struct bench *b, const char *name, const char *text, unsigned mode)
{
    kp_auto_free char *path = kp_asprintf("%s/%s", b->dir, name);
    struct kp_error err = {0};
    if (kp_file_write_atomic(path, text, strlen(text), mode, &err) < 0)
        fail_msg("%s", err.text);
}

static void bench_begin(struct bench *b, const struct peer_step *steps, size_t n, bool client_certs)
{
    memset(b, 0, sizeof *b);
    b->dir = kp_test_tmpdir();
    b->kubeconfig = kp_asprintf("%s/config", b->dir);
    b->ca = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "ca", .ca = true});
    b->cert = kp_test_cert_make(&(struct kp_test_cert_recipe){
        .name = "api", .by = &b->ca, .usage = "serverAuth", .alt = "DNS:api.test"});
    put(b, "ca.crt", b->ca.cert, 0600);
    b->f.peer = peer_start(steps, n);
    b->f.loop = kp_loop_create();
    b->f.metrics = kp_metrics_create();
    b->tls = kp_relay_start(&(struct kp_relay_options){.kind = KP_RELAY_TLS,
        .to_port = b->f.peer->port,
        .cert = &b->cert,
        .client_ca = client_certs ? &b->ca : NULL});
}

static void bench_end(struct bench *b)
{
    kp_kube_destroy(b->f.kube);
    b->f.kube = NULL;
    kp_relay_stop(b->tls);
    end(&b->f);
    kp_test_cert_finish(&b->ca);
    kp_test_cert_finish(&b->cert);
    kp_test_rmdir(b->dir);
    kp_free(b->kubeconfig);
}

// A client by a kubeconfig with these lines for its cluster and user (flow style, behind the server).
static void connect_as(
    struct bench *b, const char *cluster, const char *user, struct kp_kubeconfig_wishes wishes)
{
    kp_auto_free char *text =
        kp_asprintf("current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
                    "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:%d'%s}}]\n"
                    "users: [{name: u, user: {%s}}]\n",
            kp_relay_port(b->tls), cluster, user);
    put(b, "config", text, 0600);
    struct kp_kube_config config;
    struct kp_error err = {0};
    wishes.kubeconfig = b->kubeconfig;
    if (kp_kubeconfig_load(&wishes, &config, &err) < 0)
        fail_msg("%s", err.text);
    kp_kube_destroy(b->f.kube);
    b->f.kube = kp_kube_create(b->f.loop, &config, NULL);
    kp_kube_config_finish(&config);
}

static void ask(struct bench *b, int code)
{
    b->f.answers = b->f.wanted = 0;
    start(&b->f, (struct kp_kube_request){.method = "GET", .path = "/x", .max_tries = 1});
    wait(&b->f);
    if (b->f.error.code != code)
        fail_msg("%d: %s", b->f.error.code, b->f.error.text);
}

#define TRUSTED ", certificate-authority: ca.crt, tls-server-name: api.test"

static void test_server_name(void **state)
{
    (void)state;
    static const struct peer_step step = {"Authorization: Bearer t\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE};
    struct bench b;
    bench_begin(&b, &step, 1, false);
    connect_as(&b, ", certificate-authority: ca.crt", "token: t", (struct kp_kubeconfig_wishes){0});
    ask(&b, KP_TLS); // its certificate is not for 127.0.0.1
    connect_as(&b, TRUSTED, "token: t", (struct kp_kubeconfig_wishes){0});
    ask(&b, KP_OK);
    assert_string_equal(kp_relay_note(b.tls, kp_relay_connections(b.tls) - 1), "api.test/-");
    kp_auto_free char *host = kp_asprintf("Host: 127.0.0.1:%d\r\n", kp_relay_port(b.tls));
    assert_non_null(strstr(b.f.peer->seen[0], host));
    bench_end(&b);
}

static void test_wrong_ca(void **state)
{
    (void)state;
    static const struct peer_step step = {NULL, 200, NULL, "{}", 0, 0, PEER_WHOLE};
    struct bench b;
    bench_begin(&b, &step, 1, false);
    struct kp_test_cert other = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "other", .ca = true});
    put(&b, "other.crt", other.cert, 0600);
    connect_as(&b, ", certificate-authority: other.crt, tls-server-name: api.test", "token: t",
        (struct kp_kubeconfig_wishes){0});
    ask(&b, KP_TLS);
    if (!strstr(b.f.error.text, "cannot trust the server 127.0.0.1:") ||
        !strstr(b.f.error.text, "is its certificate authority the right one?"))
        fail_msg("'%s'", b.f.error.text);
    assert_int_equal(peer_seen(b.f.peer), 0);
    // the flag makes it go, and the CA of the file is no contradiction
    connect_as(&b, ", certificate-authority: other.crt, tls-server-name: api.test", "token: t",
        (struct kp_kubeconfig_wishes){.insecure = true});
    ask(&b, KP_OK);
    kp_test_cert_finish(&other);
    bench_end(&b);
}

// The authority is another one, and some time later the file says so: it is read again at the first refusal,
// not when its five minutes are over.
static void test_ca_is_read_again(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {NULL, 200, NULL, "{}", 0, 0, PEER_WHOLE}, {NULL, 200, NULL, "{}", 0, 0, PEER_WHOLE}};
    struct bench b;
    bench_begin(&b, steps, KP_COUNT(steps), false);
    struct kp_test_cert other = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "other", .ca = true});
    put(&b, "ca.crt", other.cert, 0600);
    connect_as(&b, TRUSTED, "token: t", (struct kp_kubeconfig_wishes){0});
    ask(&b, KP_TLS);
    ask(&b, KP_TLS);
    put(&b, "ca.crt", "", 0600); // half of a change: what was known stays
    ask(&b, KP_TLS);
    kp_auto_free char *both = kp_asprintf("%s%s", other.cert, b.ca.cert);
    put(&b, "ca.crt", both, 0600);
    ask(&b, KP_OK);
    put(&b, "ca.crt", other.cert, 0600); // a connection that stands is used on
    ask(&b, KP_OK);
    kp_test_cert_finish(&other);
    bench_end(&b);
}

static struct kp_test_cert client_cert(const struct bench *b, const char *name)
{
    return kp_test_cert_make(
        &(struct kp_test_cert_recipe){.name = name, .by = &b->ca, .usage = "clientAuth"});
}

static void test_client_certificate(void **state)
{
    (void)state;
    static const struct peer_step step = {NULL, 200, NULL, "{}", 0, 0, PEER_WHOLE};
    struct bench b;
    bench_begin(&b, &step, 1, true);
    struct kp_test_cert ann = client_cert(&b, "ann");
    put(&b, "ann.crt", ann.cert, 0600);
    put(&b, "ann.key", ann.key, 0600);
    connect_as(
        &b, TRUSTED, "client-certificate: ann.crt, client-key: ann.key", (struct kp_kubeconfig_wishes){0});
    ask(&b, KP_OK);
    assert_string_equal(kp_relay_note(b.tls, 0), "api.test/ann");
    kp_test_cert_finish(&ann);
    bench_end(&b);
}

// An exec plugin's certificate, another one after the first was refused: on a connection of its own.
static void test_plugin_with_certificates(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {{NULL, 200, NULL, "{}", 0, 0, PEER_WHOLE},
        {NULL, 200, NULL, "{}", 0, 0, PEER_WHOLE},
        {NULL, 401, NULL, STATUS(401, "Unauthorized"), 0, 0, PEER_WHOLE},
        {NULL, 200, NULL, "{}", 0, 0, PEER_WHOLE}};
    struct bench b;
    bench_begin(&b, steps, KP_COUNT(steps), true);
    for (int i = 1; i <= 2; i++) {
        char name[8];
        snprintf(name, sizeof name, "who%d", i);
        struct kp_test_cert pair = client_cert(&b, name);
        json_t *json = json_pack("{s:s,s:s,s:{s:s,s:s}}", "kind", "ExecCredential", "apiVersion",
            "client.authentication.k8s.io/v1", "status", "clientCertificateData", pair.cert, "clientKeyData",
            pair.key);
        char *text = json_dumps(json, 0);
        put(&b, name, text, 0600);
        free(text);
        json_decref(json);
        kp_test_cert_finish(&pair);
    }
    put(&b, "login",
        "#!/bin/sh\ncd \"${0%/*}\"\necho run >>runs\n"
        "case $KUBERNETES_EXEC_INFO in *certificate-authority-data*api.test*) ;; "
        "*api.test*certificate-authority-data*) ;; *) exit 7;; esac\n"
        "cat who$(grep -c run runs)\n",
        0700);
    connect_as(&b, TRUSTED,
        "exec: {apiVersion: client.authentication.k8s.io/v1, command: ./login, interactiveMode: Never, "
        "provideClusterInfo: true}",
        (struct kp_kubeconfig_wishes){0});
    ask(&b, KP_OK);
    ask(&b, KP_OK);
    ask(&b, KP_OK);
    assert_int_equal(peer_seen(b.f.peer), 4);
    assert_int_equal(kp_relay_connections(b.tls), 2);
    assert_string_equal(kp_relay_note(b.tls, 0), "api.test/who1");
    assert_string_equal(kp_relay_note(b.tls, 1), "api.test/who2");
    bench_end(&b);
}

// ---- proxies ----

static char *proxy_value;

static const char *proxy_env(const char *name)
{
    return strcmp(name, "HTTPS_PROXY") == 0 ? proxy_value : NULL;
}

static void test_http_proxy(void **state)
{
    (void)state;
    static const struct peer_step steps[] = {
        {"Authorization: Bearer t\r\n", 200, NULL, "{\"a\":1}", 0, 0, PEER_WHOLE},
        {"Authorization: Bearer t\r\n", 200, "X-Proxy: no\r\n", "{}", 0, 0, PEER_WHOLE}};
    struct bench b;
    bench_begin(&b, steps, 2, false);
    struct kp_relay *proxy =
        kp_relay_start(&(struct kp_relay_options){.kind = KP_RELAY_CONNECT, .to_port = kp_relay_port(b.tls)});
    kp_auto_free char *cluster =
        kp_asprintf(TRUSTED ", proxy-url: 'http://ann:pw@127.0.0.1:%d'", kp_relay_port(proxy));
    connect_as(&b, cluster, "token: t", (struct kp_kubeconfig_wishes){0});
    ask(&b, KP_OK);
    assert_string_equal(b.f.json, "{\"a\":1}");
    const char *head = kp_relay_note(proxy, 0);
    kp_auto_free char *line = kp_asprintf("CONNECT 127.0.0.1:%d HTTP/1.1\r\n", kp_relay_port(b.tls));
    assert_ptr_equal(strstr(head, line), head);
    assert_non_null(strstr(head, "Proxy-Authorization: Basic YW5uOnB3\r\n"));
    assert_null(strstr(head, "\nAuthorization")); // ours are for the API server only
    // by the environment, for a name that is none of ours: the proxy finds it
    proxy_value = kp_asprintf("127.0.0.1:%d", kp_relay_port(proxy));
    connect_as(&b, TRUSTED, "token: t",
        (struct kp_kubeconfig_wishes){.env = proxy_env, .server = "https://api.test:6443"});
    ask(&b, KP_OK);
    assert_ptr_equal(
        strstr(kp_relay_note(proxy, 1), "CONNECT api.test:6443 HTTP/1.1\r\n"), kp_relay_note(proxy, 1));
    kp_free(proxy_value);
    kp_kube_destroy(kp_take(b.f.kube));
    kp_relay_stop(proxy);
    bench_end(&b);
}

static void test_proxy_that_refuses(void **state)
{
    (void)state;
    struct bench b;
    bench_begin(&b, NULL, 0, false);
    struct kp_relay *proxy = kp_relay_start(&(struct kp_relay_options){.kind = KP_RELAY_CONNECT,
        .refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"});
    kp_auto_free char *cluster =
        kp_asprintf(TRUSTED ", proxy-url: 'http://127.0.0.1:%d'", kp_relay_port(proxy));
    connect_as(&b, cluster, "token: t", (struct kp_kubeconfig_wishes){0});
    ask(&b, KP_NETWORK);
    if (!strstr(b.f.error.text, "407"))
        fail_msg("'%s'", b.f.error.text);
    assert_int_equal(b.f.status, 0); // it is not the API server's
    kp_kube_destroy(kp_take(b.f.kube));
    kp_relay_stop(proxy);
    bench_end(&b);
}

static void test_socks_proxy_gets_names(void **state)
{
    (void)state;
    static const struct peer_step step = {"Bearer t\r\n", 200, NULL, "{}", 0, 0, PEER_WHOLE};
    struct bench b;
    bench_begin(&b, &step, 1, false);
    struct kp_relay *proxy =
        kp_relay_start(&(struct kp_relay_options){.kind = KP_RELAY_SOCKS5, .to_port = kp_relay_port(b.tls)});
    kp_auto_free char *cluster = kp_asprintf(
        ", certificate-authority: ca.crt, proxy-url: 'socks5://127.0.0.1:%d'", kp_relay_port(proxy));
    connect_as(&b, cluster, "token: t", (struct kp_kubeconfig_wishes){.server = "https://api.test:6443"});
    ask(&b, KP_OK);
    assert_string_equal(kp_relay_note(proxy, 0), "api.test:6443");
    kp_kube_destroy(kp_take(b.f.kube));
    kp_relay_stop(proxy);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_name),
        cmocka_unit_test(test_wrong_ca),
        cmocka_unit_test(test_ca_is_read_again),
        cmocka_unit_test(test_client_certificate),
        cmocka_unit_test(test_plugin_with_certificates),
        cmocka_unit_test(test_http_proxy),
        cmocka_unit_test(test_proxy_that_refuses),
        cmocka_unit_test(test_socks_proxy_gets_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
