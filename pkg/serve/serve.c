#include "serve/serve.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "base/banned.h"

#define METRICS_BYTES (64 * 1024 * 1024)

struct check {
    char *name;
    kp_serve_check_fn is_ready;
    void *user;
};

struct kp_serve {
    struct kp_loop *loop;
    struct kp_metrics *metrics;
    struct kp_metric *hold;
    KP_ARRAY(struct check) checks;
    struct kp_http_route routes[KP_SERVE_ROUTES + 1];
};

static const struct kp_serve *serve_of(const struct kp_http_exchange *x)
{
    return kp_http_matched_route(x)->tag;
}

// ---- handlers ----

static void on_healthz(struct kp_http_exchange *x, void *user)
{
    (void)user;
    kp_http_reply_text(x, 200, "text/plain; charset=utf-8", "ok");
}

// ret_all_well: nobody had anything to say. exclude: not this one; NULL = all count.
static bool write_checks(
    const struct kp_serve *serve, const char *exclude, struct kp_strbuf *out, bool *ret_all_well)
{
    bool is_ready = true;
    *ret_all_well = true;
    for (size_t i = 0; i < serve->checks.n; i++) {
        const struct check *check = &serve->checks.items[i];
        const char *why = NULL;
        bool ok = check->is_ready(check->user, &why);
        bool is_excluded = kp_streq(check->name, exclude);
        is_ready &= ok || is_excluded;
        *ret_all_well = *ret_all_well && ok && why == NULL;
        if (!ok && is_excluded)
            kp_strbuf_addf(out, "[+]%s excluded: %s\n", check->name, why != NULL ? why : "not ready yet");
        else if (ok && why)
            kp_strbuf_addf(out, "[+]%s ok, but: %s\n", check->name, why);
        else if (ok)
            kp_strbuf_addf(out, "[+]%s ok\n", check->name);
        else
            kp_strbuf_addf(out, "[-]%s failed: %s\n", check->name, why != NULL ? why : "not ready yet");
    }
    return is_ready;
}

// As Kubernetes' own: a plain "ok", the list of checks when one has something to say or with ?verbose;
// ?exclude=NAME for a probe that is not to fail by that one.
static void on_readyz(struct kp_http_exchange *x, void *user)
{
    kp_auto_strbuf out;
    (void)user;
    kp_strbuf_init(&out, 64 * 1024);
    bool all_well;
    bool is_ready = write_checks(serve_of(x), kp_http_arg(x, "exclude"), &out, &all_well);
    kp_strbuf_adds(&out, is_ready ? "readyz check passed\n" : "readyz check failed\n");
    bool is_short = all_well && kp_http_arg(x, "verbose") == NULL;
    kp_http_reply_text(x, is_ready ? 200 : 503, "text/plain; charset=utf-8", is_short ? "ok" : out.data);
}

static void on_metrics(struct kp_http_exchange *x, void *user)
{
    struct kp_strbuf out;
    size_t len;
    (void)user;
    kp_strbuf_init(&out, METRICS_BYTES);
    kp_metrics_write(serve_of(x)->metrics, &out);
    char *text = kp_strbuf_take(&out, &len);
    kp_strbuf_finish(&out);
    struct kp_blob *body = kp_blob_take(text, len);
    kp_http_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", body);
    kp_blob_unref(body);
}

// ---- life ----

static void collect(void *user)
{
    struct kp_serve *serve = user;
    kp_metric_set(serve->hold, kp_loop_take_max_hold_ms(serve->loop) / 1000);
}

struct kp_serve *kp_serve_create(struct kp_loop *loop, struct kp_metrics *metrics)
{
    struct kp_serve *serve = KP_NEW(struct kp_serve);
    serve->loop = loop;
    serve->metrics = metrics;
    serve->hold = kp_gauge(metrics, "kube_pprof_loop_max_hold_seconds",
        "Longest time the event loop was held by one turn since the last scrape.");
    kp_metrics_on_collect(metrics, collect, serve);
    const struct kp_http_route rows[KP_SERVE_ROUTES + 1] = {
        {.method = "GET", .path = "/healthz", .handler = on_healthz, .tag = serve},
        {.method = "GET", .path = "/readyz", .handler = on_readyz, .tag = serve},
        {.method = "GET", .path = "/metrics", .handler = on_metrics, .tag = serve},
        {.method = "GET", .path = "/debug/metrics", .handler = on_metrics, .tag = serve}, // profefe's place
        {0},
    };
    memcpy(serve->routes, rows, sizeof rows);
    return serve;
}

void kp_serve_destroy(struct kp_serve *serve)
{
    if (serve == NULL)
        return;
    for (size_t i = 0; i < serve->checks.n; i++)
        kp_free(serve->checks.items[i].name);
    kp_array_free(&serve->checks);
    kp_free(serve);
}

void kp_serve_add_check(struct kp_serve *serve, const char *name, kp_serve_check_fn check, void *user)
{
    *kp_array_add(&serve->checks) = (struct check){kp_strdup(name), check, user};
}

const struct kp_http_route *kp_serve_routes(const struct kp_serve *serve)
{
    return serve->routes;
}

void kp_serve_add_routes(const struct kp_serve *serve, struct kp_http_route out[KP_SERVE_ROUTES])
{
    memcpy(out, serve->routes, KP_SERVE_ROUTES * sizeof out[0]);
}

bool kp_serve_is_open(const struct kp_http_exchange *x)
{
    const struct kp_http_route *route = kp_http_matched_route(x);
    return route != NULL &&
           (route->handler == on_healthz || route->handler == on_readyz || route->handler == on_metrics);
}
