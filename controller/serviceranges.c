#include "controller/serviceranges.h"

#include <stdbool.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/banned.h"

#define RETRY_MS      1000
#define RETRY_MAX_MS  300000
#define MAX_LIST_BODY (1u << 20)

struct found;

struct source { // something that the API server knows
    const char *path;
    bool (*take)(struct found *found, json_t *json); // false: it is not what was asked for
    int64_t every_ms;
    const char *what, *absent, *forbidden;
};

struct question { // to the API server, again and again
    const struct source *source;
    struct kp_serviceranges *owner;
    size_t (*on_answer)(void *user, const char *const *texts);
    struct kp_timer *timer;
    struct kp_kube_call *call;
    struct kp_backoff backoff;
    bool told_fallback, told_failure;
};

struct kp_serviceranges {
    struct kp_serviceranges_options options;
    struct question ranges, servers;
};

struct found {
    const char *texts[KP_SERVICERANGES_MAX + 1];
    size_t n;
    bool too_many;
};

static void take(struct found *found, json_t *value)
{
    const char *text = json_string_value(value);
    if (text == NULL)
        KP_SAY(KP_LOG_DEBUG, "an address to be learned is no text: ignored");
    else if (found->n == KP_SERVICERANGES_MAX)
        found->too_many = true;
    else
        found->texts[found->n++] = text;
}

static bool take_ranges(struct found *found, json_t *json)
{
    size_t i, k;
    json_t *item, *cidr, *items = json_object_get(json, "items");
    const char *more = json_string_value(json_object_get(json_object_get(json, "metadata"), "continue"));
    json_array_foreach(items, i, item)
    {
        json_t *cidrs = json_object_get(json_object_get(item, "spec"), "cidrs");
        json_array_foreach(cidrs, k, cidr) take(found, cidr);
    }
    found->too_many |= more != NULL && more[0] != '\0';
    return json_is_array(items);
}

static bool take_servers(struct found *found, json_t *json)
{
    size_t i, k;
    json_t *endpoint, *ip, *endpoints = json_object_get(json, "endpoints");
    json_array_foreach(endpoints, i, endpoint)
    {
        json_t *addresses = json_object_get(endpoint, "addresses");
        json_array_foreach(addresses, k, ip) take(found, ip);
    }
    return json_is_array(endpoints);
}

static const struct source ranges = {"/apis/networking.k8s.io/v1/servicecidrs?limit=64", take_ranges, 3600000,
    "service ranges",
    "the API server has no ServiceCIDRs (Kubernetes before 1.33): only --denied-cidrs and the API server's "
    "address are kept from being scraped, so name the service range there",
    "may not list ServiceCIDRs: only --denied-cidrs and the API server's address are kept from being "
    "scraped, so "
    "name the service range there, or give the controller's ServiceAccount 'list' on "
    "servicecidrs.networking.k8s.io"};

static const struct source servers = {
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes", take_servers, 600000,
    "addresses of the API server",
    "the API server does not tell where it is: name its addresses in --denied-cidrs, so that they are never "
    "scraped",
    "may not read the EndpointSlice kubernetes in the namespace default: name the API server's addresses in "
    "--denied-cidrs, so that they are never scraped, or give the controller's ServiceAccount 'get' on it"};

static void learn(struct question *q, struct found *found)
{
    found->texts[found->n] = NULL;
    size_t used = q->on_answer(q->owner->options.user, found->texts);
    KP_DEBUG("addresses never to be scraped were learned", KP_S("of", q->source->what),
        KP_I("networks", (int64_t)used), KP_S("first", found->n > 0 ? found->texts[0] : ""));
    if (found->too_many)
        KP_WARN(
            "the cluster has more of what is never scraped than is taken: name the others in --denied-cidrs",
            KP_S("of", q->source->what), KP_I("taken", (int64_t)used));
}

static void failed(struct question *q, int http_status, const struct kp_error *err)
{
    bool is_missing = http_status == 404 || http_status == 403;
    if (is_missing && !q->told_fallback)
        KP_WARN(http_status == 404 ? q->source->absent : q->source->forbidden, KP_I("status", http_status));
    else if (!is_missing && !q->told_failure)
        KP_WARN("what is never scraped cannot be asked for, trying again", KP_S("of", q->source->what),
            KP_E(err));
    q->told_fallback |= is_missing;
    q->told_failure |= !is_missing;
    // A right may be given and a server upgraded at any time: those are asked again as well.
    kp_timer_start(q->timer, kp_backoff_next_ms(&q->backoff, kp_mono_ms()), 0);
}

static void on_answer(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct question *q = user;
    struct kp_error strange = {0};
    struct found found = {.n = 0};
    q->call = NULL;
    if (err == NULL && !q->source->take(&found, json)) {
        kp_fail(&strange, KP_CORRUPT, "the API server's answer for %s is none", q->source->what);
        err = &strange;
    }
    if (err != NULL) {
        failed(q, http_status, err);
        return;
    }
    learn(q, &found);
    q->told_failure = false;
    kp_backoff_reset(&q->backoff);
    int64_t every_ms = q->owner->options.every_ms;
    kp_timer_start(q->timer, every_ms != 0 ? every_ms : q->source->every_ms, 0);
}

static void on_timer(void *user)
{
    struct question *q = user;
    struct kp_error err = {0};
    struct kp_kube_request request = {.method = "GET",
        .path = q->source->path,
        .max_body = MAX_LIST_BODY,
        .timeout_ms = 10000,
        .max_tries = 1,
        .on_done = on_answer,
        .user = q};
    if (q->call == NULL && kp_kube_start(q->owner->options.kube, &request, &q->call, &err) != 0)
        failed(q, 0, &err);
}

static void question_open(struct question *q, struct kp_serviceranges *owner, struct kp_loop *loop,
    const struct source *source, size_t (*on_texts)(void *user, const char *const *texts))
{
    int64_t first_ms = owner->options.retry_ms != 0 ? owner->options.retry_ms : RETRY_MS;
    q->owner = owner;
    q->source = source;
    q->on_answer = on_texts;
    kp_backoff_init(&q->backoff, first_ms, RETRY_MAX_MS, 0.5, (uint64_t)kp_mono_ms());
    q->timer = kp_timer_create(loop, on_timer, q);
}

static void question_close(struct question *q)
{
    kp_kube_forget(q->call);
    kp_timer_destroy(q->timer);
}

void kp_serviceranges_start(struct kp_serviceranges *asked)
{
    kp_timer_start(asked->ranges.timer, 0, 0);
    if (asked->options.on_servers != NULL)
        kp_timer_start(asked->servers.timer, 0, 0);
}

struct kp_serviceranges *kp_serviceranges_create(
    struct kp_loop *loop, const struct kp_serviceranges_options *options)
{
    struct kp_serviceranges *asked = KP_NEW(struct kp_serviceranges);
    asked->options = *options;
    question_open(&asked->ranges, asked, loop, &ranges, options->on_ranges);
    question_open(&asked->servers, asked, loop, &servers, options->on_servers);
    return asked;
}

void kp_serviceranges_destroy(struct kp_serviceranges *asked)
{
    if (asked == NULL)
        return;
    question_close(&asked->ranges);
    question_close(&asked->servers);
    kp_free(asked);
}
