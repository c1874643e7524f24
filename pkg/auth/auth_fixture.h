// What the tests of auth share: an API server, the gate in front of a server that says who asks and whether
// he may, clients, and a clock that stands still. Include cmocka.h first.
#ifndef KP_AUTH_AUTH_FIXTURE_H
#define KP_AUTH_AUTH_FIXTURE_H

#include <stdio.h>
#include <string.h>

#include "aio/http.h"
#include "auth/auth.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "testkit/cert.h"
#include "testkit/kube_api.h"
#include "testkit/testkit.h"

struct fixture {
    struct kp_loop *loop;
    struct kp_metrics *metrics;
    struct kp_test_api *api;
    struct kp_kube *kube;
    struct kp_auth *auth;
    struct kp_gate gate;
    struct kp_http_server *server;
    struct kp_http *client;
    char *url;
    const struct kp_test_cert *ca, *cert; // of clients, with TLS
    char *dir;
    int wanted, n_done, status, retry_after_s, n_troubles, n_well;
    bool done;
    char body[1024], trouble[300];
};

static int64_t fixture_mono_ms;

static inline int64_t fixture_now(void)
{
    return fixture_mono_ms;
}

// ---- the server: GET PATH?verb=&subresource=&namespace= ----

struct fixture_request {
    struct fixture *f;
    struct kp_http_exchange *x;
    struct kp_identity *who;
    struct kp_access access;
};

static inline void fixture_end_request(struct fixture_request *r)
{
    kp_identity_free(r->who);
    kp_free(r);
}

static inline void fixture_on_gone(void *user)
{
    struct fixture_request *r = user;
    r->f->gate.ops->cancel(r->f->gate.self, r);
    fixture_end_request(r);
}

static inline void fixture_say_who(struct fixture_request *r)
{
    static const char *const by[] = {"nothing", "token", "front proxy", "tenant"};
    const struct kp_identity *who = r->who;
    kp_auto_strbuf out;
    kp_strbuf_init(&out, 1000);
    kp_strbuf_addf(&out, "%s: %s uid=%s", by[who->by], who->name, who->uid ? who->uid : "-");
    for (size_t i = 0; i < who->n_groups; i++)
        kp_strbuf_addf(&out, " +%s", who->groups[i]);
    for (size_t i = 0; i < who->n_extra; i++)
        kp_strbuf_addf(&out, " %s=%s", who->extra[i].key, who->extra[i].value);
    if (who->namespace != NULL)
        kp_strbuf_addf(&out, " in %s", who->namespace);
    kp_http_reply_text(r->x, 200, "text/plain", out.data);
    fixture_end_request(r);
}

static inline void fixture_on_access(void *user, const struct kp_error *err)
{
    struct fixture_request *r = user;
    if (err != NULL)
        kp_http_reply_error(r->x, err);
    else
        kp_http_reply_text(r->x, 200, "text/plain", "yes");
    fixture_end_request(r);
}

static inline void fixture_on_identity(void *user, struct kp_identity *who, const struct kp_error *err)
{
    struct fixture_request *r = user;
    r->who = who;
    assert_true((who == NULL) == (err != NULL));
    if (err != NULL) {
        kp_http_reply_error(r->x, err);
        fixture_end_request(r);
    } else if (kp_http_arg(r->x, "verb") == NULL) {
        fixture_say_who(r);
    } else {
        r->access = (struct kp_access){.verb = kp_http_arg(r->x, "verb"),
            .resource = "profiles",
            .subresource = kp_http_arg(r->x, "subresource"),
            .namespace = kp_http_arg(r->x, "namespace")};
        r->f->gate.ops->authorize(r->f->gate.self, who, &r->access, fixture_on_access, r);
    }
}

static inline void fixture_gate(struct kp_http_exchange *x, void *user)
{
    struct fixture_request *r = KP_NEW(struct fixture_request);
    r->f = user;
    r->x = x;
    kp_http_on_gone(x, fixture_on_gone, r);
    r->f->gate.ops->authenticate(r->f->gate.self, x, fixture_on_identity, r);
}

static inline void fixture_handler(struct kp_http_exchange *x, void *user)
{
    (void)user;
    kp_http_reply_text(x, 500, "text/plain", "the gate answers");
}

static const struct kp_http_route fixture_routes[] = {
    {.method = "GET", .path = "/api/v1/x", .handler = fixture_handler},
    {.method = "GET", .path = "/api/0/x", .handler = fixture_handler},
    {.method = "GET", .path = "/apis", .handler = fixture_handler},
    {.method = "GET", .path = "/apis/{rest...}", .handler = fixture_handler},
    {.method = "GET", .path = "/apisnot", .handler = fixture_handler},
    {.method = "GET", .path = "/openapi/v2", .handler = fixture_handler},
    {0},
};

// ---- life ----

static inline void fixture_on_trouble(void *user, const char *what, const struct kp_error *err)
{
    struct fixture *f = user;
    if (err == NULL) {
        f->n_well++;
        return;
    }
    f->n_troubles++;
    snprintf(f->trouble, sizeof f->trouble, "%s: %s", what, err->text);
}

static inline char *fixture_write(struct fixture *f, const char *name, const char *text)
{
    char *path = kp_asprintf("%s/%s", f->dir, name);
    assert_int_equal(kp_file_write_atomic(path, text, strlen(text), 0600, NULL), 0);
    return path;
}

// pair: of the server, NULL = without TLS.
static inline void fixture_serve(struct fixture *f, const struct kp_test_cert *pair)
{
    int port;
    struct kp_http_listener listener = {.address = "127.0.0.1:0", .ask_client_cert = pair != NULL};
    kp_auto_free char *cert = pair ? fixture_write(f, "tls.crt", pair->cert) : NULL;
    kp_auto_free char *key = pair ? fixture_write(f, "tls.key", pair->key) : NULL;
    listener.cert_file = cert;
    listener.key_file = key;
    f->server = kp_http_server_create(f->loop, &(struct kp_http_server_options){0}, NULL);
    assert_int_equal(
        kp_http_server_listen(f->server, &listener, fixture_routes, fixture_gate, f, &port, NULL), 0);
    f->url = kp_asprintf("http%s://127.0.0.1:%d", pair ? "s" : "", port);
    f->client = kp_http_create(f->loop, &(struct kp_http_options){.reuse = true});
}

static const char *const fixture_audiences[] = {"kube-pprof"};

static inline struct fixture *fixture_start(struct kp_auth_options options, const struct kp_test_cert *pair)
{
    struct fixture *f = KP_NEW(struct fixture);
    fixture_mono_ms = 1000000;
    f->dir = kp_test_tmpdir();
    f->loop = kp_loop_create();
    f->metrics = kp_metrics_create();
    f->api = kp_test_api_start();
    kp_auto_free char *server = kp_strdup(kp_test_api_url(f->api));
    f->kube = kp_kube_create(f->loop, &(struct kp_kube_config){.server = server},
        &(struct kp_kube_options){.writes_per_second = 10000});
    options.loop = f->loop;
    options.kube = f->kube;
    options.metrics = f->metrics;
    options.audiences = fixture_audiences;
    options.n_audiences = 1;
    options.now_mono_ms = fixture_now;
    options.on_trouble = fixture_on_trouble;
    options.user = f;
    f->auth = kp_auth_create(&options);
    f->gate = kp_auth_gate(f->auth);
    fixture_serve(f, pair);
    return f;
}

static inline void fixture_stop(struct fixture *f)
{
    kp_http_destroy(f->client);
    kp_http_server_close(f->server);
    kp_auth_destroy(f->auth);
    kp_kube_destroy(f->kube);
    kp_loop_destroy(f->loop);
    kp_http_server_free(f->server);
    kp_test_api_stop(f->api);
    kp_metrics_destroy(f->metrics);
    kp_test_rmdir(f->dir);
    kp_free(f->url);
    kp_free(f);
}

// ---- clients ----

static inline void fixture_on_done(void *user, const struct kp_http_result *result)
{
    struct fixture *f = user;
    f->status = result->status;
    f->retry_after_s = result->retry_after_s;
    snprintf(f->body, sizeof f->body, "%.*s", result->body ? (int)result->body->len : 0,
        result->body ? (const char *)result->body->data : "");
    f->done = ++f->n_done >= f->wanted;
}

// headers: NULL-terminated; token: NULL = none.
static inline struct kp_http_call *fixture_send(
    struct fixture *f, const char *path, const char *token, const char *const *headers)
{
    const char *all[110] = {0};
    size_t n = 0;
    struct kp_http_call *call;
    kp_auto_free char *bearer = token ? kp_asprintf("Authorization: Bearer %s", token) : NULL;
    kp_auto_free char *url = kp_asprintf("%s%s", f->url, path);
    if (bearer)
        all[n++] = bearer;
    for (size_t i = 0; headers && headers[i]; i++)
        all[n++] = headers[i];
    const struct kp_http_request get = {.method = "GET",
        .url = url,
        .headers = all,
        .tls = {.ca_pem = f->ca ? f->ca->cert : NULL,
            .cert_pem = f->cert ? f->cert->cert : NULL,
            .key_pem = f->cert ? f->cert->key : NULL},
        .on_done = fixture_on_done,
        .user = f};
    f->wanted++;
    f->done = false;
    assert_int_equal(kp_http_start(f->client, &get, &call, NULL), 0);
    return call;
}

static inline void fixture_wait(struct fixture *f)
{
    if (f->n_done < f->wanted)
        assert_true(kp_loop_run_until(f->loop, &f->done, 30000));
}

// Status of the answer, which is in f->body.
static inline int ask_with(struct fixture *f, const char *path, const char *token, const char *const *headers)
{
    fixture_send(f, path, token, headers);
    fixture_wait(f);
    return f->status;
}

static inline int ask(struct fixture *f, const char *path, const char *token)
{
    return ask_with(f, path, token, NULL);
}

static inline double fixture_metric(struct fixture *f, const char *line)
{
    kp_auto_strbuf out;
    double value = -1;
    kp_strbuf_init(&out, 1 << 20);
    kp_metrics_write(f->metrics, &out);
    kp_auto_free char *start = kp_asprintf("\n%s ", line);
    const char *at = strstr(out.data, start);
    if (at != NULL)
        sscanf(at + strlen(start), "%lf", &value);
    return value;
}

#endif
