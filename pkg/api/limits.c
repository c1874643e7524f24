#include "api/limits.h"

#include <string.h>

#include "api/state.h"
#include "base/alloc.h"
#include "base/map.h"
#include "base/text.h"
#include "base/banned.h"

#define BURST_S     10                 // of bytes may come at once
#define MAX_RATE    (INT64_C(1) << 40) // so that sums of it stay small
#define MAX_TENANTS 10000
#define ALONE_MS    60000 // nobody else has asked for so long

struct kp_tenant {
    int64_t spent;      // bytes not paid back yet
    int64_t paid_to_ms; // until when
    size_t n_heavy;
    size_t n_waiting, waiting_bytes;
    size_t n_unread, unread_bytes;
    bool is_dropped;  // freed when nothing is unread any more
    int64_t asked_ms; // for heavy work, last; 0 = never
    UT_hash_handle hh;
    char namespace[];
};

struct kp_limits {
    struct kp_tenant *all;
    struct kp_metric_family *m_refused;
};

void kp_limits_start(struct kp_api *api)
{
    static const char *const labels[] = {"limit", NULL};
    struct kp_limits *limits = KP_NEW(struct kp_limits);
    if (api->options.max_ingest_per_namespace > MAX_RATE)
        api->options.max_ingest_per_namespace = MAX_RATE;
    if (api->options.metrics)
        limits->m_refused =
            kp_metrics_family(api->options.metrics, KP_COUNTER, "kube_pprof_registry_namespace_limits_total",
                "Requests refused because their namespace has what it may.", labels, NULL, 0, 8);
    api->limits = limits;
}

static void drop(struct kp_limits *limits, struct kp_tenant *t)
{
    HASH_DEL(limits->all, t);
    t->is_dropped = true;
    if (t->n_unread == 0)
        kp_free(t);
}

void kp_limits_free(struct kp_limits *limits)
{
    struct kp_tenant *t;
    struct kp_tenant *next;
    if (limits == NULL)
        return;
    HASH_ITER (hh, limits->all, t, next)
        drop(limits, t);
    kp_free(limits);
}

static void pay_back(const struct kp_api *api, struct kp_tenant *t, int64_t now_ms)
{
    int64_t rate = api->options.max_ingest_per_namespace;
    int64_t ms = now_ms - t->paid_to_ms;
    t->paid_to_ms = now_ms;
    if (ms <= 0)
        return;
    bool all = rate == 0 || ms > (int64_t)BURST_S * 1000 * 100 || t->spent <= rate * ms / 1000;
    t->spent -= all ? t->spent : rate * ms / 1000;
}

// Those of whom nothing is to be remembered.
static void drop_idle(struct kp_api *api, int64_t now_ms)
{
    struct kp_tenant *t;
    struct kp_tenant *next;
    HASH_ITER (hh, api->limits->all, t, next) {
        pay_back(api, t, now_ms);
        if (t->n_heavy == 0 && t->n_waiting == 0 && t->n_unread == 0 && t->spent == 0)
            drop(api->limits, t);
    }
}

// NULL: there are too many, all of them busy.
static struct kp_tenant *tenant_of(struct kp_api *api, const char *namespace, int64_t now_ms)
{
    struct kp_tenant *t;
    const char *name = namespace ? namespace : "";
    HASH_FIND_STR(api->limits->all, name, t);
    if (t)
        return t;
    if (HASH_COUNT(api->limits->all) >= MAX_TENANTS)
        drop_idle(api, now_ms);
    if (HASH_COUNT(api->limits->all) >= MAX_TENANTS)
        return NULL;
    size_t len = strlen(name);
    t = kp_calloc(1, sizeof *t + len + 1);
    memcpy(t->namespace, name, len);
    t->paid_to_ms = now_ms;
    HASH_ADD_KEYPTR(hh, api->limits->all, t->namespace, len, t);
    return t;
}

void kp_limits_count(struct kp_api *api, const char *limit)
{
    if (api->limits->m_refused)
        kp_metric_inc(kp_metric_with(api->limits->m_refused, (const char *const[]){limit}));
}

static int too_many_tenants(struct kp_error *err)
{
    err->retry_after_s = 1;
    return kp_fail(err, KP_THROTTLED, "more than %d namespaces are served at once", MAX_TENANTS);
}

// ---- uploads ----

int kp_limits_upload(struct kp_api *api, const char *namespace, size_t bytes, struct kp_error *err)
{
    int64_t rate = api->options.max_ingest_per_namespace;
    int64_t now_ms = kp_loop_mono_ms(api->options.loop);
    if (rate == 0)
        return 0;
    struct kp_tenant *t = tenant_of(api, namespace, now_ms);
    if (t == NULL)
        return too_many_tenants(err);
    pay_back(api, t, now_ms);
    if (t->spent < rate * BURST_S) { // the last one may be larger than what is left
        t->spent += (int64_t)bytes;
        return 0;
    }
    kp_limits_count(api, "ingest");
    err->retry_after_s = (int)((t->spent - rate * BURST_S) / rate) + 1;
    return kp_fail(err, KP_THROTTLED,
        "namespace '%.63s' sends more than %lld bytes a second (--max-ingest-per-namespace): profile less "
        "often, "
        "fewer pods or fewer types, or raise it",
        t->namespace, (long long)rate);
}

int kp_limits_queue(
    struct kp_api *api, const char *namespace, size_t bytes, struct kp_tenant **ret, struct kp_error *err)
{
    *ret = NULL;
    if (namespace == NULL)
        return 0;
    struct kp_tenant *t = tenant_of(api, namespace, kp_loop_mono_ms(api->options.loop));
    if (t == NULL)
        return too_many_tenants(err);
    bool fits = t->n_waiting < (api->options.max_waiting + 1) / 2 &&
                t->waiting_bytes + bytes <= api->options.max_waiting_bytes / 2;
    if (!fits && t->n_waiting > 0) { // one always may
        kp_limits_count(api, "waiting");
        err->retry_after_s = 1;
        return kp_fail(err, KP_THROTTLED,
            "%zu uploads of namespace '%.63s' wait already; send it again in a second", t->n_waiting,
            t->namespace);
    }
    t->n_waiting++;
    t->waiting_bytes += bytes;
    *ret = t;
    return 0;
}

void kp_limits_leave_queue(struct kp_tenant *tenant, size_t bytes)
{
    if (tenant == NULL)
        return;
    tenant->n_waiting--;
    tenant->waiting_bytes -= bytes;
}

// ---- answers ----

int kp_limits_unread(
    struct kp_api *api, const char *namespace, size_t bytes, struct kp_tenant **ret, struct kp_error *err)
{
    *ret = NULL;
    if (namespace == NULL)
        return 0;
    struct kp_tenant *t = tenant_of(api, namespace, kp_loop_mono_ms(api->options.loop));
    if (t == NULL)
        return too_many_tenants(err);
    if (t->n_unread > 0 && t->unread_bytes + bytes > api->options.max_unsent_bytes / 2) {
        kp_limits_count(api, "unread");
        err->retry_after_s = 5;
        return kp_fail(err, KP_THROTTLED,
            "%zu large answers from namespace '%.63s' wait for their clients to read them; ask again later",
            t->n_unread, t->namespace);
    }
    t->n_unread++;
    t->unread_bytes += bytes;
    *ret = t;
    return 0;
}

void kp_limits_leave_unread(struct kp_tenant *tenant, size_t bytes)
{
    if (tenant == NULL)
        return;
    tenant->unread_bytes -= bytes;
    if (--tenant->n_unread == 0 && tenant->is_dropped)
        kp_free(tenant);
}

// ---- heavy work ----

static bool is_alone(const struct kp_api *api, const struct kp_tenant *t, int64_t now_ms)
{
    for (const struct kp_tenant *other = api->limits->all; other; other = other->hh.next)
        if (other != t &&
            (other->n_heavy > 0 || (other->asked_ms != 0 && other->asked_ms > now_ms - ALONE_MS)))
            return false;
    return true;
}

int kp_limits_enter(struct kp_api *api, const char *namespace, struct kp_tenant **ret, struct kp_error *err)
{
    int64_t now_ms = kp_loop_mono_ms(api->options.loop);
    size_t max = api->options.max_merges_per_namespace;
    size_t half = api->options.max_merges > 1 ? api->options.max_merges / 2 : 1;
    struct kp_tenant *t = tenant_of(api, namespace, now_ms);
    if (t == NULL)
        return too_many_tenants(err);
    t->asked_ms = now_ms;
    if (max == 0)
        max = is_alone(api, t, now_ms) ? api->options.max_merges : half;
    if (t->n_heavy < max) {
        t->n_heavy++;
        *ret = t;
        return 0;
    }
    kp_limits_count(api, "merges");
    err->retry_after_s = 2;
    return kp_fail(err, KP_THROTTLED,
        "%s%.63s%s %zu merges and searches under way, as many as may be at once "
        "(--max-merges-per-namespace): ask again in a few seconds",
        namespace ? "namespace '" : "requests over all namespaces", t->namespace,
        namespace ? "' has" : " have", t->n_heavy);
}

void kp_limits_leave(struct kp_tenant *tenant)
{
    tenant->n_heavy--;
}
