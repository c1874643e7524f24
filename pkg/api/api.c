#include "api/api.h"

#include <string.h>

#include "api/state.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/banned.h"

#define STUCK_MS    10000
#define WAIT_END_MS 60000

bool kp_api_ready(void *user, const char **ret_why_not)
{
    struct kp_api *api = user;
    if (kp_store_trouble(api->options.store, &api->trouble) && api->trouble.code == KP_UNAVAILABLE) {
        *ret_why_not = api->trouble.text;
        return false;
    }
    if (kp_told_waits(api->told))
        *ret_why_not = "reads wait until the controller has told how old the namespaces are";
    return true;
}

bool kp_api_writes(void *user, const char **ret_why_not)
{
    struct kp_api *api = user;
    int64_t for_ms = kp_loop_mono_ms(api->options.loop) - api->writing_since_ms;
    bool is_stuck = api->writing && for_ms > STUCK_MS;
    if (kp_store_trouble(api->options.store, &api->write_trouble))
        *ret_why_not = api->write_trouble.text;
    else if (is_stuck)
        *ret_why_not = "the disk has not finished a write for more than 10 s; what is stored can be read";
    else
        return true;
    return false;
}

static void make_metrics(struct kp_api *api)
{
    struct kp_metrics *m = api->options.metrics;
    if (m == NULL)
        return;
    static const char *const labels[] = {"result", NULL};
    api->m_uploads = kp_metrics_family(m, KP_COUNTER, "kube_pprof_registry_uploads_total",
        "Uploads by what became of them.", labels, NULL, 0, 16);
    api->m_waiting = kp_gauge(m, "kube_pprof_registry_uploads_waiting", "Uploads between body and answer.");
    kp_api_start_gauges(api);
    kp_api_start_profefe_metrics(api);
}

struct kp_api *kp_api_create(const struct kp_api_options *options)
{
    struct kp_api *api = KP_NEW(struct kp_api);
    api->options = *options;
    if (api->options.now_ms == NULL)
        api->options.now_ms = kp_now_ms;
    if (api->options.max_waiting == 0)
        api->options.max_waiting = 4096;
    if (api->options.max_waiting_bytes == 0)
        api->options.max_waiting_bytes = (size_t)256 * KP_MIB;
    if (api->options.max_state_bytes == 0)
        api->options.max_state_bytes = (size_t)64 * KP_MIB;
    if (api->options.retain_every_ms == 0)
        api->options.retain_every_ms = 60000;
    if (api->options.review_every_ms == 0)
        api->options.review_every_ms = 30000;
    if (api->options.aggregated_timeout_ms == 0)
        api->options.aggregated_timeout_ms = 55000;
    if (api->options.max_merges == 0)
        api->options.max_merges = 4;
    if (api->options.max_unsent_bytes == 0)
        api->options.max_unsent_bytes = (size_t)256 * KP_MIB;
    if (api->options.gate.ops == NULL)
        api->options.gate = kp_gate_everyone();
    kp_limits_start(api);
    api->fair = kp_fair_create(options->loop, KP_JOB_SHORT, 0);
    api->fair_large = kp_fair_create(options->loop, KP_JOB_LONG, 1);
    api->told = kp_told_create(api);
    kp_list_init(&api->asking);
    kp_list_init(&api->late);
    kp_list_init(&api->waiting);
    api->states = kp_states_create(api->options.max_state_bytes);
    api->worker = kp_worker_create(options->loop, "store");
    make_metrics(api);
    kp_api_start_retention(api);
    kp_api_start_sealing(api);
    kp_api_start_watches(api);
    return api;
}

void kp_api_destroy(struct kp_api *api)
{
    if (api == NULL)
        return;
    kp_api_stop_sealing(api);
    // Everything under way ends by itself: jobs are bounded, and so is the queue of the worker.
    int64_t deadline = kp_mono_ms() + WAIT_END_MS;
    while (api->busy > 0 && kp_mono_ms() < deadline) {
        const bool never = false;
        kp_loop_run_until(api->options.loop, &never, 5);
    }
    kp_api_end_asking(api);
    kp_api_end_late(api);
    kp_timer_destroy(api->retain_timer);
    kp_api_free_sealing(api);
    kp_api_free_watches(api);
    kp_worker_destroy(api->worker);
    kp_states_destroy(api->states);
    kp_told_destroy(api->told);
    kp_limits_free(api->limits);
    kp_fair_destroy(api->fair);
    kp_fair_destroy(api->fair_large);
    kp_free(api->gauges);
    kp_free(api);
}
