// Figures of the store, as JSON and as metrics.
#include "api/state.h"

#include "base/alloc.h"
#include "base/banned.h"

static void stats_work(struct kp_call *call)
{
    struct kp_store_stats s;
    kp_auto_strbuf out;
    kp_store_get_stats(call->api->options.store, &s);
    kp_strbuf_init(&out, 65536);
    struct kp_json j = {.out = &out};
    kp_json_open(&j, NULL, '{');
    kp_json_int(&j, "profiles", (int64_t)s.n_profiles);
    kp_json_int(&j, "sealedProfiles", (int64_t)s.n_sealed);
    kp_json_int(&j, "series", (int64_t)s.n_series);
    kp_json_int(&j, "segments", (int64_t)s.n_segments);
    kp_json_int(&j, "logBytes", (int64_t)s.log_bytes);
    kp_json_int(&j, "segmentBytes", (int64_t)s.segment_bytes);
    kp_json_int(&j, "indexBytes", (int64_t)s.index_bytes);
    kp_json_bool(&j, "full", s.full);
    kp_json_close(&j, '}');
    kp_call_body(call, &out);
}

void kp_api_stats(struct kp_http_exchange *x, void *user)
{
    kp_call_start(user, x, KP_API_NATIVE, stats_work, NULL, NULL);
}

struct gauges {
    struct kp_store *store;
    struct kp_metric *profiles, *sealed, *log_bytes, *segment_bytes, *index_bytes, *series, *segments, *full,
        *limit_bytes, *failing;
};

static void collect(void *user)
{
    struct gauges *g = user;
    struct kp_store_stats s;
    kp_store_get_stats(g->store, &s);
    kp_metric_set(g->profiles, (double)s.n_profiles);
    kp_metric_set(g->sealed, (double)s.n_sealed);
    kp_metric_set(g->log_bytes, (double)s.log_bytes);
    kp_metric_set(g->segment_bytes, (double)s.segment_bytes);
    kp_metric_set(g->index_bytes, (double)s.index_bytes);
    kp_metric_set(g->series, (double)s.n_series);
    kp_metric_set(g->segments, (double)s.n_segments);
    kp_metric_set(g->full, s.full ? 1 : 0);
    kp_metric_set(g->limit_bytes, (double)s.limit_bytes);
    struct kp_error trouble;
    bool is_in_trouble = kp_store_trouble(g->store, &trouble);
    kp_metric_set(g->failing, is_in_trouble && trouble.code != KP_LIMIT ? 1 : 0);
}

void kp_api_start_gauges(struct kp_api *api)
{
    struct kp_metrics *m = api->options.metrics;
    if (m == NULL)
        return;
    api->gauges = KP_NEW(struct gauges);
    *api->gauges = (struct gauges){.store = api->options.store,
        .profiles = kp_gauge(m, "kube_pprof_registry_profiles", "Profiles that can be read."),
        .sealed = kp_gauge(m, "kube_pprof_registry_sealed_profiles", "Of them: in segments."),
        .log_bytes = kp_gauge(m, "kube_pprof_registry_log_bytes", "Bytes of the log on disk."),
        .segment_bytes = kp_gauge(m, "kube_pprof_registry_segment_bytes", "Bytes of segments."),
        .index_bytes =
            kp_gauge(m, "kube_pprof_registry_index_bytes", "Bytes of the rows that find profiles."),
        .series = kp_gauge(m, "kube_pprof_registry_series", "Series with profiles."),
        .segments = kp_gauge(m, "kube_pprof_registry_segments", "Segments."),
        .limit_bytes = kp_gauge(m, "kube_pprof_registry_limit_bytes",
            "Bytes the log, segments and index may have together: max-bytes, or what the volume leaves."),
        .full =
            kp_gauge(m, "kube_pprof_registry_store_full", "1 while profiles are refused for lack of space."),
        .failing = kp_gauge(m, KP_STORE_FAILING_METRIC, KP_STORE_FAILING_HELP)};
    kp_metrics_on_collect(m, collect, api->gauges);
}
