// The registry as a process that asks an API server who its clients are.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aio/http.h"
#include "aio/loop.h"
#include "controller/process_fixture.h"
#include "testkit/cert.h"
#include "testkit/kube_api.h"
#include "testkit/testkit.h"
#include "base/banned.h"

enum { REQUESTS = 1000 };

struct bench {
    struct kp_test_api *api;
    struct process registry;
    char *dir, *kubeconfig, *socket, *data, *listen;
    char answer[4096];
    int left, bad;
    bool done;
};

static struct bench *start_with(const char *const *flags)
{
    struct bench *b = KP_NEW(struct bench);
    const char *argv[16] = {
        "kube-pprof", "registry", "--authentication=Kubernetes", "--namespace=kube-pprof"};
    size_t n = 4;
    b->dir = kp_test_tmpdir();
    b->api = kp_test_api_start();
    kp_auto_free char *file = kp_asprintf("%s/kubeconfig", b->dir);
    kp_auto_free char *text =
        kp_asprintf("current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
                    "clusters: [{name: c, cluster: {server: '%s'}}]\n"
                    "users: [{name: u, user: {}}]\n",
            kp_test_api_url(b->api));
    write_file(file, text);
    b->kubeconfig = kp_asprintf("--kubeconfig=%s", file);
    b->socket = kp_asprintf("%s/s", b->dir);
    b->listen = kp_asprintf("--listen=unix:%s", b->socket);
    b->data = kp_asprintf("--data-dir=%s/data", b->dir);
    argv[n++] = b->kubeconfig;
    argv[n++] = b->listen;
    argv[n++] = b->data;
    for (size_t i = 0; flags && flags[i]; i++)
        argv[n++] = flags[i];
    start(&b->registry, argv);
    return b;
}

static void stop(struct bench *b)
{
    kill(b->registry.pid, SIGTERM);
    assert_int_equal(ends(&b->registry), 0);
    kp_test_api_stop(b->api);
    kp_test_rmdir(b->dir);
    kp_free(b->kubeconfig);
    kp_free(b->socket);
    kp_free(b->data);
    kp_free(b->listen);
    kp_free(b);
}

static int ask_as(struct bench *b, const char *token, const char *target)
{
    kp_auto_free char *header = token ? kp_asprintf("Authorization: Bearer %s\r\n", token) : kp_strdup("");
    return ask_for(b->socket, target, header, b->answer, sizeof b->answer);
}

#define LIST "/api/v1/profiles?namespace=shop"

static void test_who_may_read_and_what_is_said_of_it(void **state)
{
    (void)state;
    struct bench *b = start_with(NULL);
    until_it_is_well(&b->registry, b->socket);
    kp_test_api_grant(b->api, "ann", "list", NULL, "shop");
    assert_int_equal(ask_as(b, NULL, LIST), 401);
    assert_non_null(strstr(b->answer, "\r\nWWW-Authenticate: Bearer\r\n"));
    assert_int_equal(ask_as(b, "ann@other", LIST), 401);
    assert_int_equal(ask_as(b, "ann@kube-pprof", LIST), 200);
    until_it_says(&b->registry,
        "\"msg\":\"audit\",\"user\":\"ann\",\"verb\":\"list\",\"resource\":\"profiles\","
        "\"namespace\":\"shop\",\"method\":\"GET\",\"path\":\"" LIST "\",\"status\":200");
    assert_int_equal(ask_as(b, "ann@kube-pprof", "/api/v1/top?namespace=shop&service=api"), 403);
    until_it_says(&b->registry,
        "\"user\":\"ann\",\"verb\":\"get\",\"resource\":\"profiles/top\",\"namespace\":\"shop\"");
    until_it_says(&b->registry, "\"status\":403");
    assert_int_equal(ask_as(b, "ann@kube-pprof", "/api/v1/profiles"), 403);
    assert_non_null(strstr(b->answer, "at the cluster scope"));
    assert_int_equal(ask_as(b, NULL, "/readyz"), 200);
    assert_int_equal(ask_as(b, NULL, "/metrics"), 200);
    assert_null(strstr(b->registry.said, "ann@")); // no token in the log
    kp_test_api_set_mode(b->api, KP_TEST_API_FORBIDS);
    assert_int_equal(ask_as(b, "ann@kube-pprof", LIST), 200); // known
    assert_int_equal(ask_as(b, "bo@kube-pprof", LIST), 503);
    until_it_says(&b->registry, "the API server does not say who it is");
    until_it_says(&b->registry, "reviews are forbidden");
    kp_test_api_set_mode(b->api, KP_TEST_API_WELL);
    assert_int_equal(ask_as(b, "bo@kube-pprof", LIST), 403);
    until_it_says(&b->registry, "authentication works again");
    stop(b);
}

static void test_the_open_tenant_is_said_loudly(void **state)
{
    (void)state;
    struct bench *b = start_with((const char *const[]){"--allow-anonymous=legacy", NULL});
    until_it_says(&b->registry, "\"level\":\"warn\",\"msg\":\"--allow-anonymous: whoever reaches /api/0");
    until_it_is_well(&b->registry, b->socket);
    assert_int_equal(ask_as(b, NULL, "/api/0/services"), 404); // let in: profefe's answer when there are none
    assert_int_equal(ask_as(b, NULL, "/api/v1/services"), 401);
    assert_int_equal(ask_as(b, NULL, "/metrics"), 200);
    until_it_says(&b->registry, "\"user\":\"system:anonymous\",\"verb\":\"list\"");
    stop(b);
}

static void test_a_ca_that_cannot_be_read_is_said_at_start(void **state)
{
    (void)state;
    char *dir = kp_test_tmpdir();
    struct kp_test_cert ca = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "ca", .ca = true});
    kp_auto_free char *cert = kp_asprintf("%s/tls.crt", dir), *key = kp_asprintf("%s/tls.key", dir);
    kp_auto_free char *cert_flag = kp_asprintf("--tls-cert-file=%s", cert),
                      *key_flag = kp_asprintf("--tls-key-file=%s", key),
                      *ca_flag = kp_asprintf("--controller-client-ca-file=%s/nothing", dir);
    write_file(cert, ca.cert);
    write_file(key, ca.key);
    struct bench *b = start_with((const char *const[]){cert_flag, key_flag, ca_flag, NULL});
    assert_int_equal(ends(&b->registry), 1);
    assert_non_null(strstr(b->registry.said, "--controller-client-ca-file: "));
    start(&b->registry, (const char *const[]){"kube-pprof", "registry", "--listen=127.0.0.1:0", b->data,
                            cert_flag, key_flag, NULL});
    until_it_says(&b->registry, "listening");
    write_file(key, "nothing of the kind");
    kill(b->registry.pid, SIGHUP);
    until_it_says(&b->registry, "the certificate is not taken over, the old one is served");
    stop(b);
    kp_test_cert_finish(&ca);
    kp_test_rmdir(dir);
}

// ---- the CA of controllers ----

static void on_status(void *user, const struct kp_http_result *result)
{
    struct bench *b = user;
    b->bad = result->code == 0 ? result->status : result->code;
    b->done = true;
}

// Status of a post of target states with that certificate (NULL = none), on a connection of its own.
static int post_states(struct bench *b, const struct kp_test_cert *ca, const struct kp_test_cert *client)
{
    const char *port = strstr(b->registry.said, "\"port\":");
    assert_non_null(port);
    kp_auto_free char *url =
        kp_asprintf("https://127.0.0.1:%.*s/api/v1/targets", (int)strcspn(port + 7, ",}"), port + 7);
    struct kp_loop *loop = kp_loop_create();
    struct kp_http *http = kp_http_create(loop, &(struct kp_http_options){0});
    struct kp_http_call *call;
    const struct kp_http_request post = {.method = "POST",
        .url = url,
        .headers = (const char *const[]){"Authorization: Bearer c@kube-pprof", NULL},
        .tls = {.ca_pem = ca->cert,
            .cert_pem = client ? client->cert : NULL,
            .key_pem = client ? client->key : NULL},
        .on_done = on_status,
        .user = b};
    b->done = false;
    assert_int_equal(kp_http_start(http, &post, &call, NULL), 0);
    assert_true(kp_loop_run_until(loop, &b->done, PATIENCE_MS));
    kp_http_destroy(http);
    kp_loop_destroy(loop);
    return b->bad;
}

static void test_the_ca_of_controllers_is_replaced(void **state)
{
    (void)state;
    enum { LET_IN = 415, REFUSED = 403 }; // let in, it is told that it posts nothing of the kind
    char *dir = kp_test_tmpdir();
    struct kp_test_cert ca = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "ca", .ca = true});
    struct kp_test_cert next = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "ca", .ca = true});
    struct kp_test_cert server = kp_test_cert_make(
        &(struct kp_test_cert_recipe){.name = "r", .by = &ca, .usage = "serverAuth", .alt = "IP:127.0.0.1"});
    struct kp_test_cert old = kp_test_cert_make(
        &(struct kp_test_cert_recipe){.name = "controller", .by = &ca, .usage = "clientAuth"});
    struct kp_test_cert new = kp_test_cert_make(
        &(struct kp_test_cert_recipe){.name = "controller", .by = &next, .usage = "clientAuth"});
    kp_auto_free char *cert = kp_asprintf("%s/c", dir), *key = kp_asprintf("%s/k", dir),
                      *file = kp_asprintf("%s/ca", dir);
    kp_auto_free char *c = kp_asprintf("--tls-cert-file=%s", cert),
                      *k = kp_asprintf("--tls-key-file=%s", key),
                      *f = kp_asprintf("--controller-client-ca-file=%s", file);
    write_file(cert, server.cert);
    write_file(key, server.key);
    write_file(file, ca.cert);
    struct bench *b = start_with((const char *const[]){"--listen=127.0.0.1:0", c, k, f, NULL});
    until_it_says(&b->registry, "listening");
    kp_test_api_grant(b->api, "c", "create", "captures", "kube-pprof");
    assert_int_equal(post_states(b, &ca, NULL), REFUSED);
    assert_int_equal(post_states(b, &ca, &new), REFUSED);
    assert_int_equal(post_states(b, &ca, &old), LET_IN);
    write_file(file, "half");
    kill(b->registry.pid, SIGHUP);
    until_it_says(&b->registry, "the CA of controllers is not taken over");
    assert_int_equal(post_states(b, &ca, &old), LET_IN);
    write_file(file, next.cert);
    kill(b->registry.pid, SIGHUP);
    until_it_says(&b->registry, "took over the new CA of controllers");
    assert_int_equal(post_states(b, &ca, &old), REFUSED);
    assert_int_equal(post_states(b, &ca, &new), LET_IN);
    stop(b);
    struct kp_test_cert *all[] = {&ca, &next, &server, &old, &new};
    for (size_t i = 0; i < KP_COUNT(all); i++)
        kp_test_cert_finish(all[i]);
    kp_test_rmdir(dir);
}

// ---- until the controller has told ----

static int tell_all(struct bench *b)
{
    static const char body[] = "{\"items\":[{\"name\":\"shop\",\"created\":\"2026-01-01T00:00:00Z\"}],"
                               "\"all\":{\"round\":\"r\",\"part\":0}}";
    struct kp_loop *loop = kp_loop_create();
    struct kp_http *http = kp_http_create(loop, &(struct kp_http_options){0});
    struct kp_blob *blob = kp_blob_copy(body, strlen(body));
    struct kp_http_call *call;
    const struct kp_http_request post = {.method = "POST",
        .url = "http://x/api/v1/namespaces",
        .unix_socket = b->socket,
        .headers = (const char *const[]){"Authorization: Bearer c@kube-pprof", NULL},
        .body = blob,
        .on_done = on_status,
        .user = b};
    b->done = false;
    assert_int_equal(kp_http_start(http, &post, &call, NULL), 0);
    assert_true(kp_loop_run_until(loop, &b->done, PATIENCE_MS));
    kp_blob_unref(blob);
    kp_http_destroy(http);
    kp_loop_destroy(loop);
    return b->bad;
}

static void test_nothing_is_shown_until_the_controller_has_told(void **state)
{
    (void)state;
    struct bench *b = start_with((const char *const[]){"--await-namespaces=200ms", NULL});
    until_it_is_well(&b->registry, b->socket);
    kp_test_api_grant(b->api, "ann", "list", NULL, "shop");
    kp_test_api_grant(b->api, "root", "list", NULL, "");
    kp_test_api_grant(b->api, "c", "create", "captures", "kube-pprof");
    assert_int_equal(ask_as(b, "ann@kube-pprof", LIST), 503);
    assert_non_null(strstr(b->answer, "\r\nRetry-After: 1\r\n"));
    assert_int_equal(ask_as(b, NULL, "/readyz?verbose"), 200);
    assert_non_null(strstr(b->answer, "reads wait until the controller has told"));
    until_it_says(&b->registry, "\"level\":\"warn\",\"msg\":\"the controller has not told how old");
    assert_int_equal(ask_as(b, "ann@kube-pprof", LIST), 503);
    assert_int_equal(ask_as(b, "root@kube-pprof", "/api/v1/profiles"), 200);
    assert_int_equal(tell_all(b), 204);
    until_it_says(&b->registry, "the controller has told how old the namespaces are");
    assert_int_equal(ask_as(b, "ann@kube-pprof", LIST), 200);
    stop(b);
}

// ---- load ----

static void on_done(void *user, const struct kp_http_result *result)
{
    struct bench *b = user;
    b->bad += result->status != 200;
    b->done = --b->left == 0;
}

static void test_many_reads_cost_few_questions(void **state)
{
    (void)state;
    static const char *const users[] = {"ann", "bo"};
    struct bench *b = start_with(NULL);
    until_it_is_well(&b->registry, b->socket);
    struct kp_loop *loop = kp_loop_create();
    struct kp_http *client =
        kp_http_create(loop, &(struct kp_http_options){.max_connections = 32, .reuse = true});
    for (size_t i = 0; i < KP_COUNT(users); i++)
        kp_test_api_grant(b->api, users[i], "list", NULL, "shop");
    b->left = REQUESTS;
    for (int i = 0; i < REQUESTS; i++) {
        kp_auto_free char *header = kp_asprintf("Authorization: Bearer %s@kube-pprof", users[i % 2]);
        const char *const headers[] = {header, NULL};
        const struct kp_http_request get = {.method = "GET",
            .url = i % 4 < 2 ? "http://x/api/v1/profiles?namespace=shop"
                             : "http://x/api/v1/services?namespace=shop",
            .headers = headers,
            .unix_socket = b->socket,
            .on_done = on_done,
            .user = b};
        struct kp_http_call *call;
        assert_int_equal(kp_http_start(client, &get, &call, NULL), 0);
    }
    while (!b->done) {
        listen_to(&b->registry, kp_mono_ms() + 1); // audit lines: its pipe must not fill
        kp_loop_run_until(loop, &b->done, 50);
        if (b->registry.len > sizeof b->registry.said / 2)
            b->registry.len = 0;
    }
    assert_int_equal(b->bad, 0);
    assert_int_equal(kp_test_api_token_reviews(b->api), 2);
    assert_int_equal(kp_test_api_access_reviews(b->api), 2); // (user, verb, namespace)
    kp_http_destroy(client);
    kp_loop_destroy(loop);
    b->registry.len = 0;
    stop(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_may_read_and_what_is_said_of_it),
        cmocka_unit_test(test_the_open_tenant_is_said_loudly),
        cmocka_unit_test(test_a_ca_that_cannot_be_read_is_said_at_start),
        cmocka_unit_test(test_the_ca_of_controllers_is_replaced),
        cmocka_unit_test(test_nothing_is_shown_until_the_controller_has_told),
        cmocka_unit_test(test_many_reads_cost_few_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
