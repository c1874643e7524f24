#include "controller/serviceranges.h"

#include <stdbool.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/banned.h"

#define PATH          "/apis/networking.k8s.io/v1/servicecidrs?limit=64"
#define RETRY_MS      1000
#define RETRY_MAX_MS  300000
#define EVERY_MS      3600000
#define MAX_LIST_BODY (1u << 20)

struct kp_serviceranges {
    struct kp_serviceranges_options options;
    struct kp_timer *timer;
    struct kp_kube_call *call;
    struct kp_backoff backoff;
    bool told_fallback, told_failure;
};

struct found {
    const char *cidrs[KP_SERVICERANGES_MAX + 1];
    size_t n;
    bool too_many;
};

static void take(struct found *found, json_t *value)
{
    const char *cidr = json_string_value(value);
    if (cidr == NULL)
        KP_SAY(KP_LOG_DEBUG, "a ServiceCIDR holds something that is no text: ignored");
    else if (found->n == KP_SERVICERANGES_MAX)
        found->too_many = true;
    else
        found->cidrs[found->n++] = cidr;
}

static void take_all(struct found *found, json_t *items)
{
    size_t i, k;
    json_t *item, *cidr;
    json_array_foreach(items, i, item)
    {
        json_t *cidrs = json_object_get(json_object_get(item, "spec"), "cidrs");
        json_array_foreach(cidrs, k, cidr) take(found, cidr);
    }
    found->cidrs[found->n] = NULL;
}

static void learn(struct kp_serviceranges *ranges, json_t *json)
{
    struct found found = {.n = 0};
    take_all(&found, json_object_get(json, "items"));
    const char *more = json_string_value(json_object_get(json_object_get(json, "metadata"), "continue"));
    size_t used = ranges->options.on_ranges(ranges->options.user, found.cidrs);
    KP_DEBUG("service ranges are never scraped", KP_I("ranges", (int64_t)used),
        KP_S("first", found.n > 0 ? found.cidrs[0] : ""));
    if (found.too_many || (more != NULL && more[0] != '\0'))
        KP_WARN("the cluster has more service ranges than are taken: name the others in --denied-cidrs",
            KP_I("taken", (int64_t)used));
}

// Says once what is missing.
static void tell_fallback(struct kp_serviceranges *ranges, int http_status)
{
    if (!ranges->told_fallback)
        KP_WARN(
            http_status == 404
                ? "the API server has no ServiceCIDRs (Kubernetes before 1.33): only --denied-cidrs and the "
                  "API server's address are kept from being scraped, so name the service range there"
                : "may not list ServiceCIDRs: only --denied-cidrs and the API server's address are kept from "
                  "being scraped, so name the service range there, or give the controller's ServiceAccount "
                  "'list' on servicecidrs.networking.k8s.io",
            KP_I("status", http_status));
    ranges->told_fallback = true;
}

static void failed(struct kp_serviceranges *ranges, int http_status, const struct kp_error *err)
{
    if (http_status == 404 || http_status == 403) {
        tell_fallback(ranges, http_status);
    } else if (!ranges->told_failure) {
        KP_WARN("service ranges cannot be listed, trying again", KP_E(err));
        ranges->told_failure = true;
    }
    // A right may be given and a server upgraded at any time: those are asked again as well.
    kp_timer_start(ranges->timer, kp_backoff_next_ms(&ranges->backoff, kp_mono_ms()), 0);
}

static void on_list(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct kp_serviceranges *ranges = user;
    struct kp_error strange = {0};
    ranges->call = NULL;
    if (err == NULL && !json_is_array(json_object_get(json, "items"))) {
        kp_fail(&strange, KP_CORRUPT, "the API server's list of ServiceCIDRs has no items");
        err = &strange;
    }
    if (err != NULL) {
        failed(ranges, http_status, err);
        return;
    }
    learn(ranges, json);
    ranges->told_failure = false;
    kp_backoff_reset(&ranges->backoff);
    kp_timer_start(ranges->timer, ranges->options.every_ms, 0);
}

static void on_timer(void *user)
{
    struct kp_serviceranges *ranges = user;
    struct kp_error err = {0};
    struct kp_kube_request request = {.method = "GET",
        .path = PATH,
        .max_body = MAX_LIST_BODY,
        .timeout_ms = 10000,
        .max_tries = 1,
        .on_done = on_list,
        .user = ranges};
    if (ranges->call == NULL && kp_kube_start(ranges->options.kube, &request, &ranges->call, &err) != 0)
        failed(ranges, 0, &err);
}

void kp_serviceranges_start(struct kp_serviceranges *ranges)
{
    kp_timer_start(ranges->timer, 0, 0);
}

struct kp_serviceranges *kp_serviceranges_create(
    struct kp_loop *loop, const struct kp_serviceranges_options *options)
{
    struct kp_serviceranges *ranges = KP_NEW(struct kp_serviceranges);
    ranges->options = *options;
    if (ranges->options.every_ms == 0)
        ranges->options.every_ms = EVERY_MS;
    int64_t first_ms = options->retry_ms != 0 ? options->retry_ms : RETRY_MS;
    kp_backoff_init(&ranges->backoff, first_ms, RETRY_MAX_MS, 0.5, (uint64_t)kp_mono_ms());
    ranges->timer = kp_timer_create(loop, on_timer, ranges);
    return ranges;
}

void kp_serviceranges_destroy(struct kp_serviceranges *ranges)
{
    if (ranges == NULL)
        return;
    kp_kube_forget(ranges->call);
    kp_timer_destroy(ranges->timer);
    kp_free(ranges);
}
