#include "serve/serve.h"

#include "base/alloc.h"
#include "base/array.h"
#include "base/limits.h"
#include "base/banned.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define TEXT_TYPE    "text/plain; charset=utf-8"

struct check {
    const char *name;
    kp_check_fn check;
    void *user;
};

struct kp_serve {
    struct kp_metrics *metrics;
    KP_ARRAY(struct check) checks;
};

struct kp_serve *kp_serve_create(struct kp_metrics *metrics)
{
    struct kp_serve *serve = KP_NEW(struct kp_serve);
    serve->metrics = metrics;
    return serve;
}

void kp_serve_destroy(struct kp_serve *serve)
{
    if (serve == NULL)
        return;
    kp_array_free(&serve->checks);
    kp_free(serve);
}

void kp_serve_add_check(struct kp_serve *serve, const char *name, kp_check_fn check, void *user)
{
    *kp_array_add(&serve->checks) = (struct check){name, check, user};
}

// An answer as Kubernetes' components give it: "ok", or the list where something fails or ?verbose is asked.
static void answer_checks(
    struct kp_http_exchange *x, const struct kp_serve *serve, const char *what, size_t n_checks)
{
    bool ok = true;
    kp_auto_strbuf list;
    kp_strbuf_init(&list, 64 * KP_KIB);
    kp_strbuf_adds(&list, "[+]loop ok\n");
    for (size_t i = 0; i < n_checks; i++) {
        const struct check *check = &serve->checks.items[i];
        const char *why_not = "";
        bool holds = check->check(check->user, &why_not);
        ok &= holds;
        if (holds)
            kp_strbuf_addf(&list, "[+]%s ok\n", check->name);
        else
            kp_strbuf_addf(&list, "[-]%s failed: %s\n", check->name, why_not);
    }
    kp_strbuf_addf(&list, "%s check %s\n", what, ok ? "passed" : "failed");
    bool brief = ok && kp_http_arg(x, "verbose") == NULL;
    kp_http_reply_text(x, ok ? 200 : 503, TEXT_TYPE, brief ? "ok" : list.data);
}

static void get_healthz(struct kp_http_exchange *x, void *user)
{
    answer_checks(x, user, "healthz", 0); // that it answers is the check
}

static void get_readyz(struct kp_http_exchange *x, void *user)
{
    const struct kp_serve *serve = user;
    answer_checks(x, serve, "readyz", serve->checks.n);
}

static void get_metrics(struct kp_http_exchange *x, void *user)
{
    const struct kp_serve *serve = user;
    struct kp_strbuf text;
    size_t len;
    kp_strbuf_init(&text, 64 * KP_MIB);
    kp_metrics_write(serve->metrics, &text);
    char *data = kp_strbuf_take(&text, &len);
    kp_strbuf_finish(&text);
    struct kp_blob *body = kp_blob_take(data, len);
    kp_http_reply(x, 200, METRICS_TYPE, body);
    kp_blob_unref(body);
}

const struct kp_http_route *kp_serve_routes(void)
{
    static const struct kp_http_route routes[] = {
        {.method = "GET", .path = "/healthz", .handler = get_healthz},
        {.method = "GET", .path = "/readyz", .handler = get_readyz},
        {.method = "GET", .path = "/metrics", .handler = get_metrics},
        {0},
    };
    return routes;
}
