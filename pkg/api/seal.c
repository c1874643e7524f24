// Sealing: what is closed in the log moves into segments, one stretch after the other. A stretch is picked
// and put in place by the writer's worker; the work between runs in a job. At most one stretch is under way.
#include "api/state.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/banned.h"

#define EVERY_MS      15000
#define AFTER_WORK_MS 50 // uploads get their turn at the worker
#define AFTER_ERROR_S 60

enum step { BEGIN, RUN, END, TIDY };

struct kp_sealing {
    struct kp_api *api;
    struct kp_timer *timer;
    bool running, stopping;
    int cancelled; // atomic
    // the stretch under way
    enum step step;
    bool now; // also what is not due yet
    struct kp_seal *seal;
    bool more; // to be tidied
    struct kp_error error;
    int64_t since_us;
    // who asked for all to be sealed
    struct kp_list asked;
    uint64_t n_stretches; // since the start
    struct kp_metric *m_failures;
    struct kp_metric_family *m_seconds;
};

struct asker {
    struct kp_sealing *s;
    struct kp_http_exchange *x; // NULL: the client left
    struct kp_list node;
    bool started;
    uint64_t stretches;
    struct kp_store_stats before;
};

static void next(struct kp_sealing *s);

// ---- the steps ----

static void step_work(void *arg)
{
    struct kp_sealing *s = arg;
    struct kp_error end_error = {0};
    switch (s->step) {
    case BEGIN:
        (void)!kp_store_seal_begin(s->api->options.store, s->now, &s->seal, &s->error);
        break;
    case RUN:
        (void)!kp_seal_run(s->seal, &s->cancelled, &s->error);
        break;
    case END:
        (void)!kp_seal_end(s->seal, &end_error); // also after a failed run
        if (s->error.code == 0)
            s->error = end_error;
        s->seal = NULL;
        break;
    case TIDY: // what was sealed leaves the log
        (void)!kp_store_retain(s->api->options.store, &s->more, &s->error);
        break;
    }
}

static void step_done(void *arg);

static void start_step(struct kp_sealing *s, enum step step)
{
    s->step = step;
    s->api->busy++;
    if (step == RUN)
        kp_job_run(s->api->options.loop, KP_JOB_LONG, step_work, step_done, s);
    else
        kp_worker_run(s->api->worker, step_work, step_done, s);
}

static void count(struct kp_sealing *s)
{
    s->n_stretches += s->error.code == 0;
    if (s->error.code != 0 && s->error.code != KP_CANCELED)
        kp_metric_inc(s->m_failures);
    if (s->m_seconds)
        kp_metric_observe(kp_metric_with(s->m_seconds, NULL), (double)(kp_mono_us() - s->since_us) / 1e6);
}

static void step_done(void *arg)
{
    struct kp_sealing *s = arg;
    s->api->busy--;
    if (s->step == BEGIN && s->seal != NULL) {
        s->since_us = kp_mono_us();
        start_step(s, RUN);
    } else if (s->step == RUN) {
        start_step(s, END);
    } else if (s->step == END && s->error.code == 0) {
        count(s);
        start_step(s, TIDY);
    } else if (s->step == TIDY && s->more && s->error.code == 0 && !s->stopping) {
        start_step(s, TIDY);
    } else {
        if (s->step == END)
            count(s);
        s->running = false;
        next(s);
    }
}

static void run_stretch(struct kp_sealing *s, bool now)
{
    s->running = true;
    s->now = now;
    kp_error_clear(&s->error);
    s->seal = NULL;
    start_step(s, BEGIN);
}

// ---- who asks ----

static void answer(struct asker *a, const struct kp_error *err)
{
    struct kp_sealing *s = a->s;
    struct kp_store_stats now;
    kp_list_remove(&a->node);
    kp_store_get_stats(s->api->options.store, &now);
    if (a->x) {
        struct kp_strbuf buf;
        kp_strbuf_init(&buf, 4096);
        struct kp_json j = {.out = &buf};
        kp_http_on_gone(a->x, NULL, NULL);
        kp_json_open(&j, NULL, '{');
        kp_json_int(&j, "stretches", (int64_t)(s->n_stretches - a->stretches));
        kp_json_int(&j, "sealedProfiles",
            now.n_sealed > a->before.n_sealed ? (int64_t)(now.n_sealed - a->before.n_sealed) : 0);
        kp_json_int(&j, "logBytes", (int64_t)now.log_bytes);
        kp_json_int(&j, "segmentBytes", (int64_t)now.segment_bytes);
        kp_json_int(&j, "segments", (int64_t)now.n_segments);
        kp_json_close(&j, '}');
        if (err && err->code != 0)
            kp_api_refuse_write(a->x, err);
        else
            kp_http_reply_text(a->x, 200, "application/json", buf.data);
        kp_strbuf_finish(&buf);
    }
    kp_free(a);
}

static void asker_gone(void *user)
{
    struct asker *a = user;
    a->x = NULL;
}

// What was there when it was asked is sealed; what has come since waits for its time.
static bool has_enough(const struct asker *a, const struct kp_store_stats *now)
{
    uint64_t wanted = a->before.n_profiles - a->before.n_sealed;
    return now->n_sealed >= a->before.n_sealed && now->n_sealed - a->before.n_sealed >= wanted;
}

// All who were there when the last stretch began are served when nothing is left, or when it failed.
static void serve_askers(struct kp_sealing *s, bool over)
{
    struct kp_store_stats now;
    kp_store_get_stats(s->api->options.store, &now);
    kp_list_foreach_safe (node, &s->asked) {
        struct asker *a = kp_container_of(node, struct asker, node);
        if (a->started && (over || has_enough(a, &now)))
            answer(a, &s->error);
        else
            a->started = true;
    }
}

// After a stretch, or when nothing was there to do.
static void next(struct kp_sealing *s)
{
    bool failed = s->error.code != 0;
    bool idle = !failed && s->step == BEGIN;
    if (s->stopping)
        return;
    if (failed && s->api->options.on_seal_failed)
        s->api->options.on_seal_failed(s->api->options.user, &s->error);
    bool had_asked = s->now;
    serve_askers(s, had_asked && (failed || idle));
    if (!kp_list_empty(&s->asked) && !failed)
        run_stretch(s, true);
    else
        kp_timer_start(s->timer, failed ? AFTER_ERROR_S * 1000 : idle ? EVERY_MS : AFTER_WORK_MS, 0);
}

static void on_timer(void *user)
{
    struct kp_sealing *s = user;
    if (!s->running && !s->stopping)
        run_stretch(s, !kp_list_empty(&s->asked));
}

void kp_api_seal(struct kp_http_exchange *x, void *user)
{
    struct kp_api *api = user;
    struct kp_sealing *s = api->sealing;
    bool unknown = kp_api_scope(x)->who->by == KP_BY_NOTHING;
    if (unknown && !kp_http_peer_is_loopback(x)) {
        kp_http_reply_status(x, 403, "Denied", "sealing is asked for from the registry's own machine only");
        return;
    }
    struct asker *a = KP_NEW(struct asker);
    a->s = s;
    a->x = x;
    a->stretches = s->n_stretches;
    kp_store_get_stats(api->options.store, &a->before);
    kp_http_on_gone(x, asker_gone, a);
    kp_list_append(&s->asked, &a->node);
    if (!s->running) {
        a->started = true;
        run_stretch(s, true);
    }
}

// ---- life ----

void kp_api_start_sealing(struct kp_api *api)
{
    struct kp_sealing *s = KP_NEW(struct kp_sealing);
    struct kp_metrics *m = api->options.metrics;
    s->api = api;
    kp_list_init(&s->asked);
    if (m) {
        s->m_failures = kp_counter(m, "kube_pprof_registry_seal_failures_total",
            "Stretches of the log that could not be made into segments; they stay in the log.");
        s->m_seconds = kp_metrics_family(m, KP_HISTOGRAM, "kube_pprof_registry_seal_seconds",
            "Time to make one stretch of the log into segments.", NULL, kp_buckets_seconds,
            kp_buckets_seconds_n, 1);
    }
    s->timer = kp_timer_create(api->options.loop, on_timer, s);
    kp_timer_start(s->timer, EVERY_MS, 0);
    api->sealing = s;
}

// The step under way ends soon, and is the last.
void kp_api_stop_sealing(struct kp_api *api)
{
    struct kp_sealing *s = api->sealing;
    s->stopping = true;
    __atomic_store_n(&s->cancelled, 1, __ATOMIC_RELAXED);
    kp_timer_stop(s->timer);
}

void kp_api_free_sealing(struct kp_api *api)
{
    struct kp_sealing *s = api->sealing;
    const struct kp_error err = {.code = KP_UNAVAILABLE, .text = "the registry is stopping"};
    while (!kp_list_empty(&s->asked))
        answer(kp_container_of(s->asked.next, struct asker, node), &err);
    kp_timer_destroy(s->timer);
    kp_free(s);
}
