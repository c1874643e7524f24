#include "controller/confirm.h"

#include <stdio.h>
#include <string.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/share.h"
#include "base/text.h"
#include "kube/reflector.h"
#include "base/banned.h"

#define TICK_MS      100
#define ASK_MS       1000 // patience with the watch
#define FETCH_MS     2000
#define AGAIN_MS     5000
#define SET_MS       5000  // by which the clock was set, not put right little by little
#define FAILED_MS    5000  // a failure is told then, whatever the watch says
#define MAX_ASKED_MS 60000 // what a Retry-After may ask for

struct waiting {
    struct kp_list node;
    struct kp_share *space; // of its namespace
    struct kp_capture_result result;
    char ip[46];
    int64_t ended_mono_ms, fetch_after_ms;
    struct kp_kube_call *call;
    struct kp_confirm *owner;
};

struct kp_confirm {
    struct kp_confirm_options options;
    struct kp_list list;
    struct kp_share *spaces;
    size_t n, bytes;
    struct kp_bucket fetches;
    struct kp_backoff backoff;
    int64_t asked_ms;      // the watch
    int64_t away_until_ms; // the API server does not answer or does not want to
    int64_t behind_ms;     // our clock, that of the API server, at least
    int64_t apart_ms;      // our clock and the monotonic one, when that was seen
    struct kp_timer *timer;
    struct kp_metric *waiting;
};

static void settle(struct waiting *w, enum kp_outcome outcome, const char *message)
{
    struct kp_confirm *confirm = w->owner;
    kp_list_remove(&w->node);
    confirm->n--;
    confirm->bytes -= w->result.bytes;
    kp_share_leave(&confirm->spaces, w->space, w->result.bytes);
    kp_metric_set(confirm->waiting, (double)confirm->n);
    confirm->options.on_verdict(confirm->options.user, &w->result, outcome, message);
    kp_capture_result_finish(&w->result);
    kp_free(w);
}

// Whether the pod is the one that was captured: same life of the pod, same address, same life of the
// container.
static bool stands(const struct waiting *w, const struct kp_pod *pod)
{
    if (pod == NULL || !kp_streq(pod->uid, w->result.record.pod_uid) || !kp_streq(pod->ip, w->ip))
        return false;
    for (size_t i = 0; i < pod->n_containers; i++)
        if (kp_streq(pod->containers[i].name, w->result.record.container))
            return kp_streq(pod->containers[i].container_id, w->result.record.container_id);
    return false;
}

// By the API server's clock, as the age of namespaces: the registry keeps nothing from before.
static void put_right(struct kp_confirm *confirm, struct kp_record *record, const struct kp_pod *pod)
{
    int64_t by_ms = pod->created_ms - record->start_ms;
    if (by_ms <= 0)
        return;
    int64_t set_ms = kp_now_ms() - kp_mono_ms() - confirm->apart_ms;
    if (set_ms > SET_MS || set_ms < -SET_MS) {
        confirm->apart_ms += set_ms;
        confirm->behind_ms = 0;
    }
    if (confirm->behind_ms == 0)
        KP_WARN("the clock is behind that of the API server: see to the time service of this node; captures "
                "of young pods get times by the API server's",
            KP_S("namespace", record->namespace), KP_S("pod", record->pod), KP_I("behindAtLeastMs", by_ms));
    if (by_ms > confirm->behind_ms)
        confirm->behind_ms = by_ms;
    record->start_ms += confirm->behind_ms;
    record->end_ms += confirm->behind_ms;
}

static bool failed(const struct waiting *w)
{
    return w->result.outcome != KP_OUTCOME_SUCCEEDED;
}

// Whether the pod went, or goes, and took the connection along. A container that ended by itself is no
// excuse.
static bool leaves(const struct waiting *w, const struct kp_pod *pod)
{
    return pod == NULL || pod->deleting || !kp_streq(pod->uid, w->result.record.pod_uid) ||
           !kp_streq(pod->ip, w->ip);
}

static void judge(struct waiting *w, const struct kp_pod *pod)
{
    if (failed(w) && leaves(w, pod))
        settle(w, KP_OUTCOME_POD_GONE, "the pod ended while it was captured");
    else if (failed(w))
        settle(w, w->result.outcome, w->result.message);
    else if (!stands(w, pod))
        settle(w, KP_OUTCOME_POD_GONE,
            "the pod or its container was replaced while the capture ran: dropped, since the address "
            "may have answered for another process");
    else {
        put_right(w->owner, &w->result.record, pod);
        settle(w, KP_OUTCOME_SUCCEEDED, "");
    }
}

// What one is told counts for all: many results must not ask an API server that is in trouble one by one.
static void stay_away(struct kp_confirm *confirm, const struct kp_error *err)
{
    int64_t now = kp_mono_ms();
    // those that were asked together tell one thing
    int64_t wait = now < confirm->away_until_ms ? 0 : kp_backoff_next_ms(&confirm->backoff, now);
    int64_t asked = err != NULL && err->retry_after_s > 0 ? err->retry_after_s * 1000LL : 0;
    asked = asked < MAX_ASKED_MS ? asked : MAX_ASKED_MS;
    wait = asked > wait ? asked : wait;
    if (now + wait > confirm->away_until_ms)
        confirm->away_until_ms = now + wait;
}

static void on_pod(void *user, int http_status, json_t *json, const struct kp_error *err)
{
    struct waiting *w = user;
    w->call = NULL;
    if (err == NULL && json != NULL) {
        kp_auto_free char *text = NULL;
        char *dumped = json_dumps(json, JSON_COMPACT);
        text = kp_strdup(dumped);
        kp_free(dumped);
        char key[512], rv[64];
        struct kp_pod *pod = kp_decode_pod(NULL, text, strlen(text), key, rv, NULL);
        kp_backoff_reset(&w->owner->backoff);
        judge(w, pod);
        kp_unref_pod(pod);
    } else if (http_status == 404) {
        judge(w, NULL);
    } else {
        stay_away(w->owner, err);
        w->fetch_after_ms = kp_mono_ms() + AGAIN_MS; // the result waits
    }
}

static void fetch(struct kp_confirm *confirm, struct waiting *w)
{
    const struct kp_record *record = &w->result.record;
    kp_auto_free char *path = kp_asprintf("/api/v1/namespaces/%s/pods/%s", record->namespace, record->pod);
    struct kp_kube_request request = {.method = "GET",
        .path = path,
        .max_body = KP_MAX_WATCH_OBJECT_BYTES,
        .timeout_ms = 5000,
        .max_tries = 1,
        .on_done = on_pod,
        .user = w};
    if (kp_kube_start(confirm->options.kube, &request, &w->call, NULL) != 0)
        w->fetch_after_ms = kp_mono_ms() + AGAIN_MS;
}

static const struct kp_pod *cached(const struct kp_confirm *confirm, const struct waiting *w)
{
    return kp_inventory_pod(confirm->options.inventory, w->result.record.namespace, w->result.record.pod);
}

static void ask_watch(struct kp_confirm *confirm, int64_t now)
{
    if (confirm->options.ask_watch == NULL || now < confirm->away_until_ms ||
        now - confirm->asked_ms < ASK_MS)
        return;
    confirm->asked_ms = now;
    confirm->options.ask_watch(confirm->options.watch_user);
}

static void on_tick(void *user)
{
    struct kp_confirm *confirm = user;
    int64_t now = kp_mono_ms();
    int64_t watched = confirm->options.watch_mono_ms(confirm->options.watch_user);
    kp_list_foreach_safe (node, &confirm->list) {
        struct waiting *w = kp_container_of(node, struct waiting, node);
        if (watched <= w->ended_mono_ms && now - w->ended_mono_ms >= ASK_MS)
            ask_watch(confirm, now);
        if (w->call != NULL)
            continue;
        if (watched > w->ended_mono_ms)
            judge(w, cached(confirm, w));
        else if (failed(w) && now - w->ended_mono_ms >= FAILED_MS)
            settle(w, w->result.outcome, w->result.message);
        else if (!failed(w) && now >= confirm->away_until_ms && now >= w->fetch_after_ms &&
                 kp_bucket_take(&confirm->fetches, now))
            fetch(confirm, w);
    }
    if (confirm->n == 0)
        kp_timer_stop(confirm->timer);
}

void kp_confirm_put(struct kp_confirm *confirm, struct kp_capture_result *result, const char *pod_ip)
{
    struct waiting *w = KP_NEW(struct waiting);
    w->owner = confirm;
    w->result = *result;
    memset(result, 0, sizeof *result);
    if (failed(w))
        w->result.bytes = 0; // none are kept
    kp_copy(w->ip, sizeof w->ip, pod_ip);
    w->ended_mono_ms = kp_mono_ms();
    w->fetch_after_ms = w->ended_mono_ms + FETCH_MS;
    kp_list_append(&confirm->list, &w->node);
    confirm->n++;
    confirm->bytes += w->result.bytes;
    const char *namespace = w->result.record.namespace;
    w->space = kp_share_enter(&confirm->spaces, namespace != NULL ? namespace : "", w->result.bytes);
    kp_metric_set(confirm->waiting, (double)confirm->n);
    size_t most = confirm->options.max_bytes;
    bool full = confirm->bytes > most || !kp_share_fits(w->space->bytes, 0, confirm->bytes, most);
    if (full && confirm->n > 1 && !failed(w))
        settle(w, KP_OUTCOME_UNDELIVERED,
            "too many captures wait for the API server to confirm their pods: it is away, or too slow");
    else if (!kp_timer_active(confirm->timer))
        kp_timer_start(confirm->timer, TICK_MS, TICK_MS);
}

size_t kp_confirm_bytes(const struct kp_confirm *confirm)
{
    return confirm->bytes;
}

size_t kp_confirm_waiting(const struct kp_confirm *confirm)
{
    return confirm->n;
}

struct kp_confirm *kp_confirm_create(struct kp_loop *loop, const struct kp_confirm_options *options)
{
    struct kp_confirm *confirm = KP_NEW(struct kp_confirm);
    confirm->options = *options;
    if (confirm->options.max_bytes == 0)
        confirm->options.max_bytes = 48 * KP_MIB;
    kp_list_init(&confirm->list);
    kp_bucket_init(&confirm->fetches, 10, 10, kp_mono_ms());
    kp_backoff_init(&confirm->backoff, 500, AGAIN_MS, 0.5, (uint64_t)kp_mono_us());
    confirm->timer = kp_timer_create(loop, on_tick, confirm);
    if (options->metrics != NULL)
        confirm->waiting = kp_gauge(options->metrics, "kube_pprof_captures_unconfirmed",
            "Captures that wait for the API server to confirm their pod.");
    return confirm;
}

void kp_confirm_destroy(struct kp_confirm *confirm)
{
    if (confirm == NULL)
        return;
    kp_timer_destroy(confirm->timer);
    kp_list_foreach_safe (node, &confirm->list) {
        struct waiting *w = kp_container_of(node, struct waiting, node);
        judge(w, cached(confirm, w));
    }
    kp_free(confirm);
}
