// What the leader keeps for the registry, for its tests: an API server that keeps objects, and a registry
// over TLS. Include cmocka.h first.
#ifndef KP_CONTROLLER_REGISTRYLINK_FIXTURE_H
#define KP_CONTROLLER_REGISTRYLINK_FIXTURE_H

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "controller/apiservice.h"
#include "controller/registrylink.h"
#include "http/server.h"
#include "sink/sink.h"
#include "testkit/peer.h"
#include "testkit/testkit.h"

enum { OBJECT_CA, OBJECT_TLS, OBJECT_SWITCH, OBJECT_API, OBJECTS };
static const char *const paths[OBJECTS] = {"/api/v1/namespaces/kp/secrets/localhost-ca",
    "/api/v1/namespaces/kp/secrets/localhost-tls", "/api/v1/namespaces/kp/configmaps/on", KP_APISERVICE_PATH};

struct bench {
    pthread_mutex_t lock;
    json_t *objects[OBJECTS];
    int version, writes[OBJECTS], deletes[OBJECTS], reads[OBJECTS];
    struct kp_peer *peer;
    struct kp_loop *loop;
    struct kp_kube *kube;
    void *registry;
    const struct kp_sink_ops *ops;
    struct kp_registrylink *link;
    struct kp_registrylink_config config;
    struct kp_http_trust *trust;
    int showed; // requests with the controller's certificate
    bool usable;
    // the registry
    char *dir, *cert_file, *key_file;
    struct kp_http_server *server;
    char *told; // bodies of /api/v1/namespaces
    int n_full; // so many more of them it has no room for
    bool knows; // all were told since it started
    int n_back;
};

// ---- the API server ----

static json_t *stamped(struct bench *b, json_t *object)
{
    char version[20];
    json_t *metadata = json_object_get(object, "metadata");
    snprintf(version, sizeof version, "%d", ++b->version);
    json_object_set_new(metadata, "resourceVersion", json_string(version));
    if (json_object_get(metadata, "uid") == NULL)
        json_object_set_new(metadata, "uid", json_string(version));
    return object;
}

static int put(struct bench *b, int i, json_t *object)
{
    json_t *old = json_object_get(json_object_get(b->objects[i], "metadata"), "resourceVersion");
    if (!json_equal(old, json_object_get(json_object_get(object, "metadata"), "resourceVersion"))) {
        json_decref(object);
        return 409;
    }
    json_decref(b->objects[i]);
    b->objects[i] = stamped(b, object);
    b->writes[i]++;
    return 200;
}

static bool is_of(const json_t *options, const json_t *object)
{
    const json_t *uid = json_object_get(json_object_get(options, "preconditions"), "uid");
    return uid != NULL && json_equal(uid, json_object_get(json_object_get(object, "metadata"), "uid"));
}

// Only the one that was read is deleted.
static int delete (struct bench *b, int i, json_t *options)
{
    json_t *object = b->objects[i];
    int status = object == NULL ? 404 : is_of(options, object) ? 200 : 409;
    json_decref(options);
    if (status == 200) {
        json_decref(object);
        b->objects[i] = NULL;
        b->deletes[i]++;
    }
    return status;
}

static int store(struct bench *b, int i, const char *method, json_t *object)
{
    if (kp_streq(method, "DELETE"))
        return delete (b, i, object);
    if (kp_streq(method, "PUT"))
        return put(b, i, object);
    if (kp_streq(method, "POST") && b->objects[i] != NULL) {
        json_decref(object);
        return 409;
    }
    if (kp_streq(method, "POST") || kp_streq(method, "PATCH")) {
        json_decref(b->objects[i]);
        b->objects[i] = stamped(b, object);
        b->writes[i]++;
        return 201;
    }
    json_decref(object);
    b->reads[i] += kp_streq(method, "GET");
    return b->objects[i] != NULL ? 200 : 404;
}

static const struct kp_step *api(void *user, struct kp_peer *peer, const struct kp_peer_request *request)
{
    struct bench *b = user;
    json_t *object = json_loadb(request->body, request->body_len, 0, NULL);
    const char *name = json_string_value(json_object_get(json_object_get(object, "metadata"), "name"));
    int found = -1;
    for (int i = 0; i < OBJECTS; i++)
        if (kp_starts_with(request->target, paths[i]) ||
            (kp_streq(request->method, "POST") && name != NULL && kp_ends_with(paths[i], name)))
            found = i;
    pthread_mutex_lock(&b->lock);
    int status = found >= 0 ? store(b, found, request->method, object) : 500;
    char *text = status < 300 && b->objects[found] != NULL ? json_dumps(b->objects[found], 0)
                                                           : json_dumps(json_null(), JSON_ENCODE_ANY);
    pthread_mutex_unlock(&b->lock);
    const struct kp_step *step = kp_peer_answer(peer, status, "application/json", text, strlen(text));
    free(text);
    return step;
}

// A copy of what lies there now.
static json_t *look(struct bench *b, int i)
{
    pthread_mutex_lock(&b->lock);
    json_t *copy = json_deep_copy(b->objects[i]);
    pthread_mutex_unlock(&b->lock);
    return copy;
}

static void drop(struct bench *b, int i)
{
    pthread_mutex_lock(&b->lock);
    json_decref(b->objects[i]);
    b->objects[i] = NULL;
    pthread_mutex_unlock(&b->lock);
}

// ---- the registry ----

static void on_healthz(struct kp_http_exchange *x, void *user)
{
    struct bench *b = user;
    const char *name = b->trust != NULL ? kp_http_client_trusted(x, b->trust) : NULL;
    if (name != NULL && kp_streq(name, "kube-pprof controller"))
        b->showed++;
    kp_http_reply_text(x, 200, "text/plain", "ok");
}

static void on_namespaces(struct kp_http_exchange *x, void *user)
{
    struct bench *b = user;
    const struct kp_blob *body = kp_http_body(x);
    if (b->n_full > 0) {
        b->n_full--;
        kp_http_reply_status(x, 507, "StoreFull", "the store is full");
        return;
    }
    kp_auto_free char *text = kp_strndup((const char *)body->data, body->len);
    b->knows = b->knows || strstr(text, "\"all\":{") != NULL;
    if (!b->knows) {
        kp_http_reply_status(x, 409, "Conflict", "tell all of them");
        return;
    }
    char *told =
        kp_asprintf("%s%.*s\n", b->told != NULL ? b->told : "", (int)body->len, (const char *)body->data);
    kp_free(b->told);
    b->told = told;
    kp_http_reply_text(x, 200, "application/json", "{}");
}

static int registry_up(struct bench *b, const char *address)
{
    static const struct kp_http_route routes[] = {
        {.method = "GET", .path = "/healthz", .handler = on_healthz},
        {.method = "POST", .path = "/api/v1/namespaces", .handler = on_namespaces, .max_body = 100000}, {0}};
    struct kp_error err = {0};
    int port = 0;
    const struct kp_http_listener listener = {
        .address = address, .cert_file = b->cert_file, .key_file = b->key_file, .ask_client_cert = true};
    b->server = kp_http_server_create(b->loop, &(struct kp_http_server_options){0}, &err);
    if (b->server == NULL || kp_http_server_listen(b->server, &listener, routes, NULL, b, &port, &err) != 0)
        fail_msg("%s", err.text);
    return port;
}

// ---- the bench ----

static void on_usable(void *user)
{
    ((struct bench *)user)->usable = true;
}

// A Secret as the chart makes it.
static void make_empty(struct bench *b, int i, const char *name)
{
    pthread_mutex_lock(&b->lock);
    b->objects[i] = stamped(b, json_pack("{s:s,s:{s:s,s:{s:s}}}", "type", "Opaque", "metadata", "name", name,
                                   "labels", "app.kubernetes.io/managed-by", "Helm"));
    pthread_mutex_unlock(&b->lock);
}

static void bench_open(struct bench *b)
{
    kp_log_setup(KP_LOG_ERROR, false, 2);
    *b = (struct bench){.loop = kp_loop_create(), .dir = kp_test_tmpdir()};
    pthread_mutex_init(&b->lock, NULL);
    b->objects[OBJECT_SWITCH] = json_pack("{s:{s:s}}", "metadata", "name", "on");
    make_empty(b, OBJECT_CA, "localhost-ca");
    make_empty(b, OBJECT_TLS, "localhost-tls");
    b->peer = kp_peer_start(api, b);
    const struct kp_kube_config config = {.server = (char *)(uintptr_t)kp_peer_url(b->peer)};
    b->kube = kp_kube_create(b->loop, &config, &(struct kp_kube_options){.writes_per_second = 1000});
    b->cert_file = kp_asprintf("%s/tls.crt", b->dir);
    b->key_file = kp_asprintf("%s/tls.key", b->dir);
}

static void on_back(void *user)
{
    ((struct bench *)user)->n_back++;
}

// The registry is at url; no certificate of it is known yet.
static void bench_link(struct bench *b, const char *url)
{
    const struct kp_sink_registry_options registry = {.url = url};
    assert_int_equal(kp_sink_registry_create(b->loop, &registry, &b->ops, &b->registry, NULL), 0);
    b->config = (struct kp_registrylink_config){.service = "localhost",
        .manage_certificates = true,
        .client_certificate = true,
        .certificate_lifetime_ms = 3600000,
        .ca_lifetime_ms = 36000000,
        .settle_ms = 0,
        .api_service_switch = "on",
        .api_service = true,
        .api_service_port = 443,
        .every_ms = 100};
    const struct kp_registrylink_options options = {.config = &b->config,
        .kube = b->kube,
        .namespace = "kp",
        .registry = b->registry,
        .on_usable = on_usable,
        .on_back = on_back,
        .user = b};
    b->link = kp_registrylink_create(b->loop, &options);
}

static void bench_unlink(struct bench *b)
{
    kp_registrylink_stop(b->link);
    b->ops->close(b->registry);
    kp_registrylink_destroy(b->link);
}

static void bench_close(struct bench *b)
{
    kp_kube_destroy(b->kube);
    if (b->server != NULL)
        kp_http_server_close(b->server);
    kp_loop_destroy(b->loop);
    if (b->server != NULL)
        kp_http_server_free(b->server);
    kp_peer_stop(b->peer);
    for (int i = 0; i < OBJECTS; i++)
        json_decref(b->objects[i]);
    pthread_mutex_destroy(&b->lock);
    kp_free(b->cert_file);
    kp_free(b->key_file);
    kp_free(b->told);
    kp_http_trust_unref(b->trust);
    kp_test_rmdir(b->dir);
}

static void until(struct bench *b, bool (*check)(struct bench *b))
{
    const bool never = false;
    int64_t end = kp_mono_ms() + 60000;
    while (!check(b)) {
        if (kp_mono_ms() > end)
            fail_msg("waited too long");
        kp_loop_run_until(b->loop, &never, 5);
    }
}

#endif
