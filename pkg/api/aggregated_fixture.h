// What the tests of the aggregated API share: a door that writes down what it is asked, a clock that stands,
// profiles of two namespaces. Tests only.
#ifndef KP_API_AGGREGATED_FIXTURE_H
#define KP_API_AGGREGATED_FIXTURE_H

#include "api/api_fixture.h"

#include <jansson.h>

#include "base/text.h"

#define ROOT "/apis/data.kube-pprof.dev/v1alpha1"
#define NS   ROOT "/namespaces/"
#define T0   INT64_C(1764000000000) // 2025-11-24T16:00:00Z

static int64_t agg_clock_ms = T0;

static inline int64_t agg_now(void)
{
    return agg_clock_ms;
}

// ---- the door ----

struct door {
    char asked[512];   // "get profiles/merge ns=shop name=-"
    const char *allow; // only this namespace ("" = the right in all of them); NULL = everything
};

static inline void door_authenticate(void *self, struct kp_http_exchange *x,
    void (*on_done)(void *user, struct kp_identity *identity, const struct kp_error *err), void *user)
{
    (void)self;
    struct kp_error err = {0};
    if (kp_http_header(x, "X-Nobody")) {
        kp_fail(&err, KP_UNAUTHENTICATED, "nobody said who he is");
        on_done(user, NULL, &err);
        return;
    }
    struct kp_identity *identity = KP_NEW(struct kp_identity);
    identity->by = KP_BY_FRONT_PROXY;
    identity->name = kp_strdup("alice");
    on_done(user, identity, NULL);
}

static inline void door_authorize(void *self, const struct kp_identity *identity,
    const struct kp_access *access, void (*on_done)(void *user, const struct kp_error *err), void *user)
{
    struct door *door = self;
    struct kp_error err = {0};
    snprintf(door->asked, sizeof door->asked, "%s %s%s%s ns=%s%s%s", access->verb, access->resource,
        access->subresource ? "/" : "", access->subresource ? access->subresource : "", access->namespace,
        access->name ? " name=" : "", access->name ? access->name : "");
    if (door->allow == NULL || kp_streq(door->allow, access->namespace))
        on_done(user, NULL);
    else
        on_done(user, kp_access_denied(identity, access, &err) ? &err : NULL);
}

static inline void door_cancel(void *self, void *user)
{
    (void)self;
    (void)user;
}

static const struct kp_gate_ops door_ops = {
    .name = "test", .authenticate = door_authenticate, .authorize = door_authorize, .cancel = door_cancel};

// ---- profiles ----

struct world {
    struct bench *b;
    struct door door;
    struct bench_answer a;
    char *ids[16];
    size_t n;
};

static inline const char *put_profile(struct world *w, const char *namespace, const char *service,
    const char *type, const char *pod, const char *team)
{
    struct kp_record r = {0};
    size_t len;
    kp_record_init(&r);
    agg_clock_ms += 60000;
    r.namespace = kp_strdup(namespace);
    r.service = kp_strdup(service);
    r.type = kp_strdup(type);
    r.format = kp_strdup("pprof");
    r.pod = kp_strdup(pod);
    r.container = kp_strdup("main");
    r.node = kp_strdup("node-1");
    r.workload_kind = kp_strdup("Deployment");
    r.workload_name = kp_strdup(service);
    r.revision = kp_strdup("6d4b8c");
    r.image = kp_strdup("registry.example/app:1");
    r.policies = kp_strdup("shop/all,/cluster");
    r.port = 6060;
    r.path = kp_strdup("/debug/pprof/profile");
    r.start_ms = agg_clock_ms - 11000;
    r.end_ms = agg_clock_ms - 1000;
    r.duration_ms = 10000;
    r.sample_k = 1;
    r.sample_n = 3;
    r.labels = kp_labels_create((struct kp_label[]){{"team", team}, {"odd", "a b"}}, 2);
    uint8_t *body = kp_pprof_make(
        &(struct kp_pprof_recipe){
            .stacks = 5, .value = 100, .time_nanos = r.start_ms * 1000000, .seed = w->n},
        &len);
    struct kp_append append = {.record = &r, .body = kp_blob_take(body, len)};
    kp_store_append(w->b->store, &append, 1);
    assert_int_equal(append.status, KP_APPEND_STORED);
    w->ids[w->n] = kp_strdup(r.id);
    kp_blob_unref(append.body);
    kp_record_finish(&r);
    return w->ids[w->n++];
}

static inline struct world *world_begin(void)
{
    struct world *w = KP_NEW(struct world);
    agg_clock_ms = T0;
    w->b = bench_start((struct kp_api_options){
        .now_ms = agg_now, .gate = {.ops = &door_ops, .self = &w->door}, .retain_every_ms = 3600000});
    put_profile(w, "shop", "api", "cpu", "api-0", "a");
    put_profile(w, "shop", "api", "heap", "api-0", "a");
    put_profile(w, "shop", "web", "cpu", "web-0", "b");
    put_profile(w, "pay", "api", "cpu", "pay-0", "a");
    agg_clock_ms += 90 * 60000;
    return w;
}

static inline void world_end(struct world *w)
{
    bench_answer_clear(&w->a);
    bench_stop(w->b);
    for (size_t i = 0; i < w->n; i++)
        kp_free(w->ids[i]);
    kp_free(w);
}

// ---- requests ----

static inline const char *ask(
    struct world *w, const char *method, const char *path, const char *accept, const char *body, int status)
{
    kp_auto_free char *header = kp_asprintf("Accept: %s", accept ? accept : "application/json");
    const char *const headers[] = {header, "Content-Type: application/json", NULL};
    w->door.asked[0] = '\0';
    bench_request(w->b, method, path, headers, body, body ? strlen(body) : 0, &w->a);
    if (w->a.status != status)
        fail_msg("%s %s: %d instead of %d: %.300s", method, path, w->a.status, status, w->a.body);
    return w->a.body;
}

static inline json_t *parse(const char *text)
{
    json_error_t why;
    json_t *json = json_loads(text, 0, &why);
    if (json == NULL)
        fail_msg("%s: %.300s", why.text, text);
    return json;
}

static inline const char *text_at(const json_t *json, const char *path)
{
    kp_auto_free char *copy = kp_strdup(path);
    char *rest = copy;
    for (char *key = strsep(&rest, "/"); key && json; key = strsep(&rest, "/"))
        json = json_is_array(json) ? json_array_get(json, (size_t)strtoul(key, NULL, 10))
                                   : json_object_get(json, key);
    return json_string_value(json);
}

// The Status of a failed request.
static inline void check_status(struct world *w, const char *reason, const char *message)
{
    json_t *s = parse(w->a.body);
    assert_string_equal(text_at(s, "kind"), "Status");
    assert_string_equal(text_at(s, "apiVersion"), "v1");
    assert_string_equal(text_at(s, "status"), "Failure");
    assert_int_equal(json_integer_value(json_object_get(s, "code")), w->a.status);
    if (strcmp(text_at(s, "reason"), reason) != 0 || (message && !strstr(text_at(s, "message"), message)))
        fail_msg("not '%s: %s' but: %s", reason, message ? message : "", w->a.body);
    assert_string_equal(text_at(s, "details/group"), "data.kube-pprof.dev");
    assert_string_equal(text_at(s, "details/kind"), "profiles");
    json_decref(s);
}

// Names of items, or of rows, with a blank between.
static inline char *names_in(const char *body)
{
    json_t *list = parse(body);
    struct kp_strbuf out;
    kp_strbuf_init(&out, 65536);
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(list, "items"), i, item)
        kp_strbuf_addf(&out, "%s%s", i > 0 ? " " : "", text_at(item, "metadata/name"));
    json_array_foreach(json_object_get(list, "rows"), i, item)
        kp_strbuf_addf(&out, "%s%s", i > 0 ? " " : "", text_at(item, "cells/0"));
    json_decref(list);
    return kp_strbuf_take(&out, NULL);
}

// That a list holds just these, by their place: "2 0".
static inline void check_names(struct world *w, const char *places)
{
    kp_auto_free char *have = names_in(w->a.body);
    kp_auto_strbuf want;
    kp_strbuf_init(&want, 65536);
    for (const char *p = places; *p; p += strcspn(p, " "), p += *p == ' ')
        kp_strbuf_addf(&want, "%s%s", want.len > 0 ? " " : "", w->ids[*p - '0']);
    assert_string_equal(have, want.data ? want.data : "");
}

#endif
