// Requests of the API server's front proxy, over TLS, with its ConfigMap watched.
#include "auth/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "auth/auth_fixture.h"
#include "base/banned.h"

#define USER "X-Remote-User: alice"

static struct kp_test_cert server_ca, server, ca, other_ca, proxy, other_proxy, wrong_name, user;
static const char *const as_alice[] = {USER, "X-Remote-Group: dev", "X-Remote-Uid: 7", NULL};

static int make_certs(void **state)
{
    (void)state;
    server_ca = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "server ca", .ca = true});
    server = kp_test_cert_make(&(struct kp_test_cert_recipe){
        .name = "registry", .by = &server_ca, .usage = "serverAuth", .alt = "IP:127.0.0.1"});
    ca = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "front-proxy-ca", .ca = true});
    other_ca = kp_test_cert_make(&(struct kp_test_cert_recipe){.name = "front-proxy-ca", .ca = true});
    proxy = kp_test_cert_make(
        &(struct kp_test_cert_recipe){.name = "front-proxy-client", .by = &ca, .usage = "clientAuth"});
    other_proxy = kp_test_cert_make(
        &(struct kp_test_cert_recipe){.name = "front-proxy-client", .by = &other_ca, .usage = "clientAuth"});
    wrong_name = kp_test_cert_make(
        &(struct kp_test_cert_recipe){.name = "somebody-else", .by = &ca, .usage = "clientAuth"});
    user = kp_test_cert_make(
        &(struct kp_test_cert_recipe){.name = "controller", .by = &server_ca, .usage = "clientAuth"});
    return 0;
}

static int drop_certs(void **state)
{
    struct kp_test_cert *all[] = {
        &server_ca, &server, &ca, &other_ca, &proxy, &other_proxy, &wrong_name, &user};
    (void)state;
    for (size_t i = 0; i < KP_COUNT(all); i++)
        kp_test_cert_finish(all[i]);
    return 0;
}

// The ConfigMap's data; two CAs: the second may be NULL. names: as JSON in JSON.
static char *config(const struct kp_test_cert *one, const struct kp_test_cert *two, const char *names)
{
    kp_auto_strbuf out;
    size_t len;
    kp_auto_free char *pem = kp_asprintf("%s%s", one->cert, two ? two->cert : "");
    kp_strbuf_init(&out, 65536);
    kp_strbuf_adds(&out, "{\"requestheader-client-ca-file\":");
    kp_strbuf_add_json(&out, pem);
    kp_strbuf_addf(&out, ",\"requestheader-allowed-names\":\"%s\"}", names);
    return kp_strbuf_take(&out, &len);
}

#define ONE_NAME "[\\\"front-proxy-client\\\"]"

static void publish(
    struct fixture *f, const struct kp_test_cert *one, const struct kp_test_cert *two, const char *names)
{
    kp_auto_free char *data = config(one, two, names);
    kp_test_api_set_front_proxy(f->api, data);
}

static void run_for(struct fixture *f, int ms)
{
    const bool never = false;
    kp_loop_run_until(f->loop, &never, ms);
}

static struct fixture *start(void)
{
    struct fixture *f = fixture_start((struct kp_auth_options){.front_proxy = true}, &server);
    f->ca = &server_ca;
    return f;
}

static struct fixture *start_well(void)
{
    const char *why;
    struct fixture *f = start();
    publish(f, &ca, NULL, ONE_NAME);
    while (!kp_auth_ready(f->auth, &why))
        run_for(f, 5);
    return f;
}

static int ask_as(
    struct fixture *f, const struct kp_test_cert *cert, const char *path, const char *const *headers)
{
    // a connection of its own each time: libcurl keeps them apart by certificate
    f->cert = cert;
    return ask_with(f, path, NULL, headers);
}

static void test_the_front_proxy_speaks_for_users(void **state)
{
    (void)state;
    struct fixture *f = start_well();
    assert_int_equal(ask_as(f, &proxy, "/apis/x", as_alice), 200);
    assert_string_equal(f->body, "front proxy: alice uid=7 +dev");
    assert_int_equal(ask_as(f, &proxy, "/apis", as_alice), 200);
    assert_int_equal(ask_as(f, &proxy, "/openapi/v2", as_alice), 200);
    kp_test_api_grant(f->api, "alice", "get", NULL, "shop");
    assert_int_equal(ask_as(f, &proxy, "/apis/x?verb=get&namespace=shop", as_alice), 200);
    assert_int_equal(ask_as(f, &proxy, "/apis/x?verb=get&namespace=pay", as_alice), 403);
    assert_int_equal(kp_test_api_token_reviews(f->api), 0);
    fixture_stop(f);
}

static void test_nobody_else_does(void **state)
{
    (void)state;
    struct fixture *f = start_well();
    assert_int_equal(ask_as(f, NULL, "/apis/x", as_alice), 401);
    assert_int_equal(ask_as(f, &other_proxy, "/apis/x", as_alice), 401);
    assert_int_equal(ask_as(f, &wrong_name, "/apis/x", as_alice), 401);
    assert_int_equal(ask_as(f, &user, "/apis/x", as_alice), 401);
    fixture_stop(f);
}

static void test_and_only_on_its_paths(void **state)
{
    (void)state;
    struct fixture *f = start_well();
    assert_int_equal(ask_as(f, &proxy, "/api/v1/x", as_alice), 401);
    assert_int_equal(ask_as(f, &proxy, "/api/0/x", as_alice), 401);
    assert_int_equal(ask_as(f, &proxy, "/apisnot", as_alice), 401);
    fixture_stop(f);
}

static void test_certificate_and_token(void **state)
{
    (void)state;
    struct fixture *f = start_well();
    f->cert = &proxy;
    assert_int_equal(ask_with(f, "/apis/x", "bo@kube-pprof", as_alice), 200);
    assert_non_null(strstr(f->body, "alice")); // the certificate wins
    assert_int_equal(ask_with(f, "/apis/x", "bo@kube-pprof", NULL), 200);
    assert_non_null(strstr(f->body, "token: bo")); // and says nothing of a user
    assert_int_equal(ask_with(f, "/apis/x", NULL, NULL), 401);
    f->cert = NULL;
    assert_int_equal(ask_with(f, "/apis/x", "bo@kube-pprof", as_alice), 200);
    assert_non_null(strstr(f->body, "token: bo"));
    assert_int_equal(ask_with(f, "/apis/x", "made-up", as_alice), 401);
    f->cert = &proxy;
    const char *const twice[] = {USER, "x-remote-user: root", NULL};
    assert_int_equal(ask_with(f, "/apis/x", "bo@kube-pprof", twice), 401); // not judged by the token instead
    fixture_stop(f);
}

static void until(struct fixture *f, const struct kp_test_cert *cert, int status)
{
    for (int i = 0; ask_as(f, cert, "/apis/x", as_alice) != status; i++) {
        assert_true(i < 1000);
        run_for(f, 10);
    }
}

static void test_the_ca_is_replaced_live(void **state)
{
    (void)state;
    struct fixture *f = start_well();
    publish(f, &ca, &other_ca, ONE_NAME); // both of the same name
    until(f, &other_proxy, 200);
    assert_int_equal(ask_as(f, &proxy, "/apis/x", as_alice), 200);
    publish(f, &other_ca, NULL, ONE_NAME);
    until(f, &proxy, 401); // on the connection it had open
    assert_int_equal(ask_as(f, &other_proxy, "/apis/x", as_alice), 200);
    publish(f, &ca, NULL, "[\\\"somebody-else\\\"]");
    until(f, &wrong_name, 200);
    assert_int_equal(ask_as(f, &proxy, "/apis/x", as_alice), 401);
    publish(f, &ca, NULL, "[]");
    until(f, &proxy, 200);
    assert_int_equal(ask_as(f, &wrong_name, "/apis/x", as_alice), 200);
    fixture_stop(f);
}

static void test_what_is_taken_back_is_taken_back(void **state)
{
    (void)state;
    struct fixture *f = start_well();
    const char *why = NULL;
    kp_test_api_set_front_proxy(f->api, "{\"requestheader-client-ca-file\":\"nonsense\"}");
    while (f->n_troubles < 1)
        run_for(f, 5);
    assert_non_null(strstr(f->trouble, "front proxy: cannot read the front proxy's CA"));
    assert_int_equal(ask_as(f, &proxy, "/apis/x", as_alice), 200); // as before
    assert_true(kp_auth_ready(f->auth, &why));
    kp_test_api_set_front_proxy(f->api, "{}");
    until(f, &proxy, 401);
    assert_false(kp_auth_ready(f->auth, &why));
    assert_non_null(strstr(why, "names no requestheader-client-ca-file"));
    publish(f, &ca, NULL, ONE_NAME);
    until(f, &proxy, 200);
    assert_int_equal(f->n_well, 1);
    kp_test_api_set_front_proxy(f->api, NULL);
    until(f, &proxy, 401);
    assert_false(kp_auth_ready(f->auth, &why));
    assert_non_null(strstr(why, "has been deleted"));
    fixture_stop(f);
}

static void test_not_ready_without_the_config_map(void **state)
{
    (void)state;
    struct fixture *f = start();
    const char *why = NULL;
    assert_false(kp_auth_ready(f->auth, &why));
    assert_non_null(strstr(why, "not known yet"));
    while (f->n_troubles < 1)
        run_for(f, 5);
    assert_false(kp_auth_ready(f->auth, &why));
    assert_non_null(strstr(why, "there is no ConfigMap"));
    assert_int_equal(ask_as(f, &proxy, "/apis/x", as_alice), 401);
    fixture_stop(f);
    f = fixture_start((struct kp_auth_options){0}, &server);
    f->ca = &server_ca;
    assert_true(kp_auth_ready(f->auth, &why)); // it is not wanted
    fixture_stop(f);
}

static void test_the_ca_outlives_the_api_server(void **state)
{
    (void)state;
    struct fixture *f = start_well();
    const char *why;
    kp_test_api_set_mode(f->api, KP_TEST_API_CLOSES);
    publish(f, &ca, NULL, ONE_NAME); // ends the watch that is open
    run_for(f, 300);
    assert_true(kp_auth_ready(f->auth, &why));
    assert_int_equal(ask_as(f, &proxy, "/apis/x", as_alice), 200);
    assert_int_equal(f->n_troubles, 0);
    fixture_stop(f);
}

// ---- the controllers' CA ----

#define CAPTURE "/api/v1/x?verb=create&subresource=captures&namespace=kube-pprof"

static void test_captures_need_a_certificate_if_so_said(void **state)
{
    (void)state;
    struct fixture *f = start();
    struct kp_http_trust *trust;
    kp_test_api_grant(f->api, "c", "create", "*", "kube-pprof");
    assert_int_equal(ask(f, CAPTURE, "c@kube-pprof"), 200);
    assert_int_equal(kp_http_trust_create(server_ca.cert, &trust, NULL), 0);
    kp_auth_set_controller_ca(f->auth, trust);
    assert_int_equal(ask(f, CAPTURE, "c@kube-pprof"), 403); // although the token and the right are known
    assert_non_null(strstr(f->body, "certificate of the controllers' CA"));
    assert_int_equal(ask(f, "/api/v1/x?verb=create&namespace=kube-pprof", "c@kube-pprof"), 200);
    f->cert = &user;
    assert_int_equal(ask(f, CAPTURE, "c@kube-pprof"), 200);
    assert_int_equal(ask(f, CAPTURE, "d@kube-pprof"), 403); // the certificate alone is nobody
    assert_int_equal(ask(f, CAPTURE, NULL), 401);
    f->cert = &proxy;
    assert_int_equal(ask(f, CAPTURE, "c@kube-pprof"), 403);
    fixture_stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_front_proxy_speaks_for_users),
        cmocka_unit_test(test_nobody_else_does),
        cmocka_unit_test(test_and_only_on_its_paths),
        cmocka_unit_test(test_certificate_and_token),
        cmocka_unit_test(test_the_ca_is_replaced_live),
        cmocka_unit_test(test_what_is_taken_back_is_taken_back),
        cmocka_unit_test(test_not_ready_without_the_config_map),
        cmocka_unit_test(test_the_ca_outlives_the_api_server),
        cmocka_unit_test(test_captures_need_a_certificate_if_so_said),
    };
    return cmocka_run_group_tests(tests, make_certs, drop_certs);
}
